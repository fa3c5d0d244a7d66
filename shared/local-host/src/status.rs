//! What a service's rows say about it: position, lag, ledger, backfills, last result.
//!
//! Everything is read, nothing is written, so it works while another process runs the services.

use collector::checkpoint::{Checkpoint, Walk};
use collector::error::{Error, ErrorType, code};
use collector::ports::{CHECKPOINT_KEY, Row, StateStore};
use collector::run::{BACKFILL_PREFIX, LEDGER_PREFIX, QUERY_PREFIX, QueryPlace};
use collector::settings::Settings;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

/// How far back the ledger is summed.
const LEDGER_HOURS: i64 = 24;

/// One service as it stands.
#[derive(Debug, Serialize)]
pub struct ServiceStatus {
    /// The function, for example `graph-directory-audits`.
    pub service: &'static str,
    /// Its input in the configuration.
    pub input: &'static str,
    /// Its name in the configuration.
    pub name: &'static str,
    /// Newest record seen, UTC.
    pub last_event_time_in_utc: Option<Timestamp>,
    /// End of the last complete window, UTC.
    pub complete_to_in_utc: Option<Timestamp>,
    /// Now − end of the last complete window.
    pub lag_seconds: Option<i64>,
    /// When the last pull began, UTC.
    pub last_pull_in_utc: Option<Timestamp>,
    /// How the last pull ended: a status or an error type; null before the first one.
    pub last_result: Option<String>,
    /// The last pull's error, `[code] message`.
    pub last_error: Option<String>,
    /// Seconds between the beginnings of the last two late sweeps, or since the last one began if it is at work for
    /// longer; null before the second, and while they are off.
    pub late_sweep_period_in_seconds: Option<i64>,
    /// Earliest instant of the next request, where the API asked for patience.
    pub not_before_in_utc: Option<Timestamp>,
    /// Request id of the invocation that is at work.
    pub running: Option<String>,
    /// Sums of the last 24 hours.
    pub last_24_hours: Ledger,
    /// Content URIs that failed and wait to be tried again; those of all feeds for the service that retries them.
    pub pending_retries: u64,
    /// Backfills that are known, finished ones included.
    pub backfills: Vec<BackfillStatus>,
    /// Where the operator's own queries stand, in the order of the configuration; empty where there are none.
    pub queries: Vec<QueryStatus>,
}

/// Sums of the ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Requests to the API.
    pub requests: u64,
    /// Records received: duplicates + delivered + failed.
    pub received: u64,
    /// Records that were delivered before.
    pub duplicates: u64,
    /// Records delivered.
    pub delivered: u64,
    /// Records whose delivery failed; they came again.
    pub failed: u64,
    /// Records delivered that only the late sweep found.
    pub late: u64,
    /// Bytes of frames delivered, before compression.
    pub bytes_sent: u64,
    /// Content URIs whose content cannot be had any more.
    pub lost_uris: u64,
}

/// One backfill.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct BackfillStatus {
    /// Start, UTC.
    pub from: String,
    /// End, UTC.
    pub to: String,
    /// Whether records are sent again that were sent before.
    pub resend: bool,
    /// `waiting`, `open` or `complete`.
    pub state: &'static str,
    /// Where its next window begins, UTC.
    pub position_in_utc: Option<Timestamp>,
}

/// One of the operator's own queries.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct QueryStatus {
    /// Its name.
    pub name: String,
    /// Newest row seen, UTC.
    pub last_event_time_in_utc: Option<Timestamp>,
    /// End of its last complete window, or when its last complete snapshot began, UTC.
    pub complete_to_in_utc: Option<Timestamp>,
    /// When the pull began in which it had its last turn, UTC; null before the first one.
    pub last_pull_in_utc: Option<Timestamp>,
    /// What it was refused with, `[code] message`, unless its last turn went well.
    pub last_error: Option<String>,
}

/// Reads the status of one service; `None` stands for a state in which nothing was ever stored.
///
/// # Errors
/// StateError 700 when the state cannot be read.
pub async fn read(
    state: Option<&impl StateStore>,
    settings: &Settings,
    now: Timestamp,
) -> Result<ServiceStatus, Error> {
    let partition = settings.partition();
    let checkpoint = checkpoint_of(state, &partition).await?;
    let first_hour = hour_of(now - SignedDuration::from_hours(LEDGER_HOURS - 1));
    let hours = [&first_hour, &hour_of(now)].map(|hour| format!("{LEDGER_PREFIX}{hour}"));
    let ledger_rows = rows(state, &partition, &hours[0], &hours[1]).await?;
    let backfill_rows = rows(state, &partition, BACKFILL_PREFIX, &format!("{BACKFILL_PREFIX}~")).await?;
    let queries = queries(state, settings, checkpoint.generation).await?;
    let pending = pending_retries(state, settings).await?;
    let holds_lease = checkpoint.lease_expires_at.is_some_and(|end| end >= now.as_millisecond());
    Ok(ServiceStatus {
        service: settings.service.function,
        input: settings.service.input,
        name: settings.service.name,
        last_event_time_in_utc: checkpoint.last_event_time_in_utc,
        complete_to_in_utc: checkpoint.complete_to_in_utc,
        lag_seconds: checkpoint.complete_to_in_utc.map(|end| now.duration_since(end).as_secs()),
        last_pull_in_utc: checkpoint.last_pull_in_utc,
        last_result: checkpoint.last_result.clone(),
        last_error: checkpoint.last_error.clone(),
        late_sweep_period_in_seconds: sweep_period(&checkpoint, settings, now),
        not_before_in_utc: checkpoint.not_before_in_utc.filter(|instant| *instant > now),
        running: checkpoint.lease_owner.clone().filter(|_| holds_lease),
        last_24_hours: sum(&ledger_rows, &checkpoint, &first_hour),
        pending_retries: pending,
        backfills: backfill_rows.iter().filter_map(backfill_of).collect(),
        queries,
    })
}

/// Content URIs that wait to be tried again: those of the service's own queue, or of the feeds whose queues it works off.
///
/// # Errors
/// StateError 700 when the state cannot be read.
pub async fn pending_retries(state: Option<&impl StateStore>, settings: &Settings) -> Result<u64, Error> {
    let feeds = if settings.service.query.has_no_listing() {
        settings.feeds.as_slice()
    } else {
        std::slice::from_ref(settings)
    };
    let mut pending = 0;
    for feed in feeds {
        pending += checkpoint_of(state, &feed.partition()).await?.retry_queue.waiting;
    }
    Ok(pending)
}

fn sweep_period(checkpoint: &Checkpoint, settings: &Settings, now: Timestamp) -> Option<i64> {
    let is_on = !settings.late_sweep_period.is_zero();
    checkpoint.late_sweep.period_at(now).filter(|_| is_on).map(|period| period.as_secs())
}

async fn checkpoint_of(state: Option<&impl StateStore>, partition: &str) -> Result<Checkpoint, Error> {
    let rows = rows(state, partition, CHECKPOINT_KEY, CHECKPOINT_KEY).await?;
    rows.first().map_or_else(|| Ok(Checkpoint::default()), Checkpoint::read)
}

async fn rows(
    state: Option<&impl StateStore>,
    partition: &str,
    first: &str,
    last: &str,
) -> Result<Vec<Row>, Error> {
    let Some(state) = state else { return Ok(Vec::new()) };
    let answer = state.query(partition, first, last).await;
    answer.map_err(|cause| Error::new(ErrorType::StateError, code::STATE, cause.to_string()))
}

/// Where each query stands; a row of another generation does not count, nor one of a query that is not asked any more.
async fn queries(
    state: Option<&impl StateStore>,
    settings: &Settings,
    generation: u64,
) -> Result<Vec<QueryStatus>, Error> {
    let mut found = Vec::new();
    for query in &settings.queries {
        let key = format!("{QUERY_PREFIX}{}", query.name);
        let rows = rows(state, &settings.partition(), &key, &key).await?;
        let place = rows.first().map(QueryPlace::read).transpose()?;
        let place = place.filter(|place| place.generation == generation).unwrap_or_default();
        found.push(QueryStatus {
            name: query.name.clone(),
            last_event_time_in_utc: place.last_event_time_in_utc,
            complete_to_in_utc: place.complete_to_in_utc,
            last_pull_in_utc: place.last_pull_in_utc,
            last_error: place.last_error,
        });
    }
    Ok(found)
}

fn hour_of(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H").to_string()
}

/// Sums the rows, and the counts that wait in the checkpoint for a commit with rows.
fn sum(rows: &[Row], checkpoint: &Checkpoint, first_hour: &str) -> Ledger {
    let in_rows =
        |name: &str| rows.iter().filter_map(|row| row.fields.get(name).and_then(Value::as_u64)).sum::<u64>();
    let waiting = |name: &str| {
        let recent = checkpoint.ledger_carry.range(first_hour.to_owned()..);
        recent.filter_map(|(_, counts)| counts.get(name)).sum::<u64>()
    };
    let total = |name: &str| in_rows(name) + waiting(name);
    Ledger {
        requests: total("requests"),
        received: total("received"),
        duplicates: total("duplicates"),
        delivered: total("delivered"),
        failed: total("failed"),
        late: total("late"),
        bytes_sent: total("bytes_sent"),
        lost_uris: total("lost_uris"),
    }
}

/// A row `request#{from}#{to}#{mode}`; with a fifth part it is a request that nobody has begun yet.
fn backfill_of(row: &Row) -> Option<BackfillStatus> {
    let mut parts = row.key.strip_prefix(BACKFILL_PREFIX)?.split('#');
    let (from, to, mode) = (parts.next()?.to_owned(), parts.next()?.to_owned(), parts.next()?);
    let is_complete = row.fields.get("complete").and_then(Value::as_bool).unwrap_or(false);
    let walk: Walk = serde_json::from_value(Value::Object(row.fields.clone())).unwrap_or_default();
    let state = match (parts.next(), is_complete) {
        (Some(_), _) => "waiting",
        (None, true) => "complete",
        (None, false) => "open",
    };
    let position_in_utc = walk.cursor.or(walk.window_from);
    Some(BackfillStatus { from, to, resend: mode == "resend", state, position_in_utc })
}

#[cfg(test)]
mod tests;
