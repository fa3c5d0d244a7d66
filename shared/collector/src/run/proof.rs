//! The order that everything rests on: deliver, then commit.
//!
//! A commit takes a [`Delivered`], and the only way to one is a sink that ended its stream cleanly. Committing too
//! early does not type-check.

use jiff::Timestamp;

use crate::error::{Error, ErrorType, code};
use crate::ports::{
    CHECKPOINT_KEY, Clock, Commit, Limits, Row, Sink, StateError, StateStore, Write, lease_fields,
};

/// Proof that the open batch was delivered.
#[derive(Debug)]
#[must_use]
pub(super) struct Delivered(());

/// Sends the sink's open batch and waits for the clean end of its stream.
pub(super) async fn deliver(sink: &mut impl Sink, deadline: Timestamp) -> Result<Delivered, Error> {
    let _end = sink.deliver(deadline).await?;
    Ok(Delivered(()))
}

/// A batch that is dropped instead of sent: what is committed then describes no record of it.
pub(super) fn nothing_sent(sink: &mut impl Sink) -> Delivered {
    sink.discard();
    Delivered(())
}

/// How often an unknown outcome is looked into.
const TRIES: u32 = 5;

/// Makes the commit, once and for certain.
///
/// After an unknown outcome the checkpoint is read back before anything more is done: our own version says that the
/// commit happened, the one before that it did not and can be made again under the same token.
///
/// # Errors
/// StateError 701 when the lease was lost, 700 when the store stays silent or refuses.
pub(super) async fn commit(
    state: &impl StateStore,
    commit: &Commit,
    _delivered: Delivered,
    clock: &dyn Clock,
    deadline: Timestamp,
) -> Result<(), Error> {
    let mut last = String::new();
    for _ in 0..TRIES {
        match state.commit(commit).await {
            Ok(()) => return Ok(()),
            Err(StateError::Unknown(why)) => last = why,
            Err(refused) => return Err(failure(&refused)),
        }
        match read_back(state, commit).await {
            Some(true) => return Ok(()),
            Some(false) | None if clock.now() >= deadline => break,
            Some(false) | None => {}
        }
    }
    let message = format!("the outcome of a commit is unknown: {last}; the next invocation finds out");
    Err(Error::new(ErrorType::StateError, code::STATE, message))
}

/// Whether the commit happened; `None` when the store does not say.
async fn read_back(state: &impl StateStore, commit: &Commit) -> Option<bool> {
    let rows = state.query(&commit.partition, CHECKPOINT_KEY, CHECKPOINT_KEY).await.ok()?;
    let fields = &rows.first()?.fields;
    let version = fields.get(lease_fields::VERSION)?.as_u64()?;
    let writer = fields.get(lease_fields::WRITER)?.as_str()?;
    Some(version == commit.guard.version + 1 && writer == commit.guard.writer)
}

/// What the operator sees of a state error.
pub(super) fn failure(error: &StateError) -> Error {
    match error {
        StateError::LeaseLost | StateError::Locked { .. } => {
            let message =
                "the commit lost its lease: another invocation took over; nothing was committed by this one";
            Error::new(ErrorType::StateError, code::LEASE_LOST, message)
        }
        StateError::Newer { .. } => {
            let message =
                format!("{error}; nothing was touched: run the release that wrote it, or a newer one");
            Error::new(ErrorType::StateError, code::STATE, message)
        }
        StateError::Unknown(_) | StateError::Unavailable(_) => {
            Error::new(ErrorType::StateError, code::STATE, format!("the state cannot be used: {error}"))
        }
    }
}

/// Checks a commit against the store's limits, before its batch is sent.
///
/// # Errors
/// StateError 700 that names the limit. Batches are bounded so that no commit of theirs comes near.
pub(super) fn check(commit: &Commit, limits: Limits) -> Result<(), Error> {
    let rows: Vec<&Row> = commit
        .writes
        .iter()
        .filter_map(|write| match write {
            Write::Put(row) | Write::Add(row) => Some(row),
            Write::Delete(_) => None,
        })
        .chain([&commit.checkpoint])
        .collect();
    let largest = rows.iter().map(|row| size(row)).max().unwrap_or(0);
    let total: usize = rows.iter().map(|row| size(row)).sum();
    let count = commit.writes.len() + 1;
    let too_much = [
        (count, limits.rows, "rows"),
        (total, limits.commit_bytes, "bytes"),
        (largest, limits.row_bytes, "bytes in one row"),
    ];
    match too_much.iter().find(|(found, limit, _)| found > limit) {
        None => Ok(()),
        Some((found, limit, what)) => {
            let message =
                format!("a commit of {found} {what} is over the store's limit of {limit}; nothing was sent");
            Err(Error::new(ErrorType::StateError, code::STATE, message))
        }
    }
}

/// Bytes of a row, generously counted.
pub(super) fn size(row: &Row) -> usize {
    let fields: usize = row.fields.iter().map(|(name, value)| name.len() + value.to_string().len() + 8).sum();
    row.key.len() + fields + row.data.as_ref().map_or(0, bytes::Bytes::len) + 200
}
