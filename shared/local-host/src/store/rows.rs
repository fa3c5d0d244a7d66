//! The rules of the store as plain functions over one open transaction: leases, guarded commits, expiry.
//!
//! They are the same as those of a conditional write on DynamoDB. Nothing here opens, commits or retries: a function
//! that returns an error leaves a transaction that its caller drops, and so rolls back.

use std::collections::HashSet;
use std::path::Path;

use bytes::Bytes;
use collector::ports::{CHECKPOINT_KEY, Commit, LeaseRequest, Limits, Row, StateError, Write, lease_fields};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Number, Value};

/// How long a token protects its commit from taking effect twice, seconds: DynamoDB's ten minutes.
const TOKEN_SECONDS: i64 = 600;

/// Rows that one pruning removes at the most, so that no commit waits long for it.
const ROWS_PER_PRUNING: i64 = 500;

/// Why a piece of work on the file ended.
pub(super) enum Failure {
    /// A rule refused it; nothing was written.
    Refused(StateError),
    /// SQLite failed before the commit; nothing was written.
    Sqlite(rusqlite::Error),
    /// SQLite failed while committing.
    Commit(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(cause: rusqlite::Error) -> Self {
        Self::Sqlite(cause)
    }
}

impl From<StateError> for Failure {
    fn from(refusal: StateError) -> Self {
        Self::Refused(refusal)
    }
}

impl Failure {
    /// The failure in the words of the port; `path` is the file's.
    pub(super) fn into_state_error(self, path: &Path) -> StateError {
        let name = path.display();
        match self {
            Self::Refused(refusal) => refusal,
            Self::Sqlite(cause) => StateError::Unavailable(format!("state file {name}: {cause}")),
            Self::Commit(cause) => StateError::Unknown(format!("state file {name}: {cause}")),
        }
    }
}

/// Takes the lease of a partition and gives its checkpoint as stored.
pub(super) fn acquire(
    connection: &Connection,
    partition: &str,
    request: &LeaseRequest,
) -> Result<Row, Failure> {
    let mut checkpoint = read(connection, partition, CHECKPOINT_KEY)?
        .unwrap_or_else(|| Row { key: CHECKPOINT_KEY.to_owned(), ..Row::default() });
    let fields = &checkpoint.fields;
    refuse_newer(fields, request.readable_version)?;
    let runs =
        fields.get(lease_fields::EXPIRES_AT).and_then(Value::as_i64).is_some_and(|end| end >= request.now_ms);
    if runs && fields.get(lease_fields::WRITER).and_then(Value::as_str) == Some(request.writer.as_str()) {
        // A retry whose first answer was lost: the lease is already its own.
        return Ok(checkpoint);
    }
    if runs {
        let owner = fields.get(lease_fields::OWNER).and_then(Value::as_str);
        return Err(
            StateError::Locked { owner: owner.unwrap_or("somebody without a name").to_owned() }.into()
        );
    }
    take_lease(&mut checkpoint.fields, request);
    store(connection, partition, &checkpoint)?;
    Ok(checkpoint)
}

fn take_lease(fields: &mut Map<String, Value>, request: &LeaseRequest) {
    let version = fields.get(lease_fields::VERSION).and_then(Value::as_u64).unwrap_or(0) + 1;
    fields.insert(lease_fields::OWNER.to_owned(), request.owner.clone().into());
    fields.insert(lease_fields::EXPIRES_AT.to_owned(), request.expires_at_ms.into());
    fields.insert(lease_fields::WRITER.to_owned(), request.writer.clone().into());
    fields.insert(lease_fields::VERSION.to_owned(), version.into());
    fields.entry(lease_fields::HASH_KEY).or_insert_with(|| request.fresh_hash_key.clone().into());
}

/// A format above the readable one, or members that no known format has.
fn refuse_newer(fields: &Map<String, Value>, readable: u64) -> Result<(), StateError> {
    if let Some(found) = fields.get(lease_fields::PERSISTENCE_VERSION)
        && found.as_u64().is_none_or(|version| version > readable)
    {
        let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
        return Err(StateError::Newer { found, readable });
    }
    for name in [lease_fields::VERSION, lease_fields::EXPIRES_AT] {
        if fields.get(name).is_some_and(|value| !value.is_number()) {
            let found = format!("unknown, its member {name} is no number");
            return Err(StateError::Newer { found, readable });
        }
    }
    Ok(())
}

/// Stores one row without the lease. An existing checkpoint is never replaced that way.
pub(super) fn leave(connection: &Connection, partition: &str, row: &Row) -> Result<(), Failure> {
    if row.key == CHECKPOINT_KEY && read(connection, partition, CHECKPOINT_KEY)?.is_some() {
        return Err(
            StateError::Unavailable("the checkpoint is not written without the lease".to_owned()).into()
        );
    }
    store(connection, partition, row)
}

/// Reads the rows of a range of keys, both ends included, in order of key.
pub(super) fn read_range(
    connection: &Connection,
    partition: &str,
    first: &str,
    last: &str,
) -> Result<Vec<Row>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT sk, fields, data, expires_at FROM rows WHERE pk = ?1 AND sk BETWEEN ?2 AND ?3 ORDER BY sk",
    )?;
    let stored = statement.query_map(params![partition, first, last], stored_row)?;
    let mut rows = Vec::new();
    for row in stored {
        rows.push(decode(row?)?);
    }
    Ok(rows)
}

/// Writes the commit, if its guard holds. A token that was used before succeeds without a second effect.
pub(super) fn apply(connection: &Connection, commit: &Commit, now_seconds: i64) -> Result<(), Failure> {
    let partition = commit.partition.as_str();
    let used: Option<i64> = connection
        .prepare_cached("SELECT 1 FROM tokens WHERE pk = ?1 AND token = ?2")?
        .query_row(params![partition, commit.token], |row| row.get(0))
        .optional()?;
    if used.is_some() {
        return Ok(());
    }
    let current = read(connection, partition, CHECKPOINT_KEY)?.ok_or(StateError::LeaseLost)?;
    let writer = current.fields.get(lease_fields::WRITER).and_then(Value::as_str);
    if number(&current, lease_fields::VERSION) != Some(commit.guard.version)
        || writer != Some(commit.guard.writer.as_str())
    {
        return Err(StateError::LeaseLost.into());
    }
    store(connection, partition, &commit.checkpoint)?;
    for write in &commit.writes {
        match write {
            Write::Put(row) => store(connection, partition, row)?,
            Write::Add(row) => add(connection, partition, row)?,
            Write::Delete(key) => {
                connection
                    .prepare_cached("DELETE FROM rows WHERE pk = ?1 AND sk = ?2")?
                    .execute(params![partition, key])?;
            }
        }
    }
    remember_token(connection, partition, &commit.token, now_seconds)
}

fn remember_token(
    connection: &Connection,
    partition: &str,
    token: &str,
    now_seconds: i64,
) -> Result<(), Failure> {
    connection
        .prepare_cached("DELETE FROM tokens WHERE pk = ?1 AND used_at < ?2")?
        .execute(params![partition, now_seconds.saturating_sub(TOKEN_SECONDS)])?;
    connection
        .prepare_cached("INSERT INTO tokens (pk, token, used_at) VALUES (?1, ?2, ?3)")?
        .execute(params![partition, token, now_seconds])?;
    Ok(())
}

fn add(connection: &Connection, partition: &str, change: &Row) -> Result<(), Failure> {
    let mut row = read(connection, partition, &change.key)?
        .unwrap_or_else(|| Row { key: change.key.clone(), ..Row::default() });
    for (name, value) in &change.fields {
        let sum = match value {
            Value::Number(more) => sum(row.fields.get(name), more),
            other => other.clone(),
        };
        row.fields.insert(name.clone(), sum);
    }
    row.data = change.data.clone().or(row.data);
    row.expires_at = change.expires_at.or(row.expires_at);
    store(connection, partition, &row)
}

/// Whole numbers stay whole; anything else is added as a fraction.
fn sum(before: Option<&Value>, more: &Number) -> Value {
    let zero = Number::from(0);
    let base = before.and_then(Value::as_number).unwrap_or(&zero);
    let whole = base.as_i128().zip(more.as_i128()).and_then(|(left, right)| {
        let total = left.checked_add(right)?;
        i64::try_from(total).map(Value::from).or_else(|_| u64::try_from(total).map(Value::from)).ok()
    });
    whole
        .unwrap_or_else(|| Value::from(base.as_f64().unwrap_or_default() + more.as_f64().unwrap_or_default()))
}

/// Removes rows that have expired, some at a time.
pub(super) fn prune_expired(connection: &Connection, now_seconds: i64) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "DELETE FROM rows WHERE (pk, sk) IN
                 (SELECT pk, sk FROM rows WHERE expires_at IS NOT NULL AND expires_at < ?1 LIMIT ?2)",
        )?
        .execute(params![now_seconds, ROWS_PER_PRUNING])?;
    Ok(())
}

/// Says what is wrong with a commit before anything is written: its shape, or a limit that it breaks.
///
/// # Errors
/// A sentence that names the fault.
pub(super) fn check_shape(commit: &Commit, limits: &Limits) -> Result<(), String> {
    if commit.checkpoint.key != CHECKPOINT_KEY {
        return Err(format!("the commit's checkpoint is called {}", commit.checkpoint.key));
    }
    if !(1..=36).contains(&commit.token.chars().count()) {
        return Err("the commit's token has not 1 to 36 characters".to_owned());
    }
    let count = commit.writes.len() + 1;
    if count > limits.rows {
        return Err(format!("the commit has {count} rows, the limit is {}", limits.rows));
    }
    let mut keys = HashSet::from([CHECKPOINT_KEY]);
    let mut total = row_size(&commit.checkpoint);
    for write in &commit.writes {
        let (key, size) = match write {
            Write::Put(row) | Write::Add(row) => (row.key.as_str(), row_size(row)),
            Write::Delete(key) => (key.as_str(), key.len()),
        };
        if !keys.insert(key) {
            return Err(format!("the commit names the row {key} twice"));
        }
        if size > limits.row_bytes {
            return Err(format!("the row {key} has {size} bytes, the limit is {}", limits.row_bytes));
        }
        total += size;
    }
    if total > limits.commit_bytes {
        return Err(format!("the commit has {total} bytes, the limit is {}", limits.commit_bytes));
    }
    Ok(())
}

/// The size of a row as DynamoDB counts it: names, values, binary members.
fn row_size(row: &Row) -> usize {
    row.key.len() + map_size(&row.fields) + row.data.as_ref().map_or(0, Bytes::len)
}

fn map_size(map: &Map<String, Value>) -> usize {
    map.iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

fn value_size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(_) => 11,
        Value::String(text) => text.len(),
        Value::Array(items) => 3 + items.iter().map(|item| 1 + value_size(item)).sum::<usize>(),
        Value::Object(map) => 3 + map.len() + map_size(map),
    }
}

fn number(row: &Row, name: &str) -> Option<u64> {
    row.fields.get(name).and_then(Value::as_u64)
}

fn read(connection: &Connection, partition: &str, key: &str) -> Result<Option<Row>, Failure> {
    let mut statement = connection
        .prepare_cached("SELECT sk, fields, data, expires_at FROM rows WHERE pk = ?1 AND sk = ?2")?;
    statement.query_row(params![partition, key], stored_row).optional()?.map(decode).transpose()
}

fn store(connection: &Connection, partition: &str, row: &Row) -> Result<(), Failure> {
    let fields = Value::Object(row.fields.clone()).to_string();
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO rows (pk, sk, fields, data, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![partition, row.key, fields, row.data.as_deref(), row.expires_at])?;
    Ok(())
}

/// A row as SQLite has it: key, members as JSON text, binary member, expiry.
type StoredRow = (String, String, Option<Vec<u8>>, Option<i64>);

fn stored_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn decode((key, fields, data, expires_at): StoredRow) -> Result<Row, Failure> {
    let fields = serde_json::from_str(&fields)
        .map_err(|cause| StateError::Unavailable(format!("the row {key} is damaged: {cause}")))?;
    Ok(Row { key, fields, data: data.map(Bytes::from), expires_at })
}
