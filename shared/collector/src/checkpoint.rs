//! The service's one row of position, and how it is read from any release's form of it.
//!
//! The row's members are plain attributes that an operator can read in the table. Members this release does not know
//! are carried along untouched, so that a rollback finds its own again. The vendor's older names are read where ours are
//! absent. A member of the wrong kind makes the state unreadable: it is never guessed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorType, code};
use crate::instant;
use crate::ports::{CHECKPOINT_KEY, Row};
use crate::report::Status;
use crate::run::Enriching;
use crate::story::Line;
use crate::window::Window;

/// The format this release writes.
pub const PERSISTENCE_VERSION: u64 = 1;

/// A walk through windows that can be left and taken up again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// Start of the window at hand.
    #[serde(rename = "window_from_in_utc", skip_serializing_if = "Option::is_none")]
    pub window_from: Option<Timestamp>,
    /// Its end.
    #[serde(rename = "window_to_in_utc", skip_serializing_if = "Option::is_none")]
    pub window_to: Option<Timestamp>,
    /// When its first page was asked for.
    #[serde(rename = "window_read_at_in_utc", skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
    /// The first of its pages that was not read to its end; absent for the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_link: Option<String>,
    /// The query that the link belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Where the next window begins, while a cycle (or a backfill) is not at its end.
    #[serde(rename = "cursor_in_utc", skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Timestamp>,
    /// The API was not ready for the window at hand: it is asked again in its time, not sooner.
    #[serde(default, rename = "window_waits", skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
    /// The record that is being enriched, as far as its counts are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enriching: Option<Enriching>,
    /// Something of the window at hand was missing in an answer.
    #[serde(default, rename = "window_is_partial", skip_serializing_if = "std::ops::Not::not")]
    pub is_partial: bool,
}

impl Walk {
    /// The window at hand.
    pub fn window(&self) -> Option<Window> {
        Some(Window { from: self.window_from?, to: self.window_to? })
    }

    /// Begins a window, or changes the one at hand: its first page comes next.
    pub fn open(&mut self, window: Window, read_at: Timestamp) {
        self.window_from = Some(window.from);
        self.window_to = Some(window.to);
        self.read_at = Some(read_at);
        self.next_link = None;
        self.is_partial = false;
    }

    /// The window at hand is complete.
    pub fn close(&mut self) {
        self.window_from = None;
        self.window_to = None;
        self.read_at = None;
        self.next_link = None;
        self.waits = false;
        self.is_partial = false;
        self.enriching = None;
    }
}

/// The late sweep: hours that were read before and are read again, for what came late.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateSweep {
    /// Before the first one: since when the service waits for it, up to date.
    #[serde(default, rename = "waits_since_in_utc", skip_serializing_if = "Option::is_none")]
    pub waits_since: Option<Timestamp>,
    /// When the last one began.
    #[serde(default, rename = "began_in_utc", skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    /// When the one before began.
    #[serde(default, rename = "previous_began_in_utc", skip_serializing_if = "Option::is_none")]
    pub previous_began: Option<Timestamp>,
    /// Where the last one ends; absent once it is complete.
    #[serde(default, rename = "ends_at_in_utc", skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// Its walk; nothing of it is left once it is complete.
    #[serde(flatten)]
    pub walk: Walk,
}

impl LateSweep {
    /// One that begins now and reads what lies within the span, which may hold nothing.
    pub fn begun(&self, now: Timestamp, span: Window) -> Self {
        let previous_began = self.began.filter(|instant| *instant <= now);
        let is_empty = span.to <= span.from;
        let walk = Walk { cursor: (!is_empty).then_some(span.from), ..Walk::default() };
        let ends_at = (!is_empty).then_some(span.to);
        Self { waits_since: None, began: Some(now), previous_began, ends_at, walk }
    }

    /// The last one is at its end.
    pub fn complete(&mut self) {
        self.ends_at = None;
        self.walk = Walk::default();
    }

    /// The time between the beginnings of the last two.
    pub fn period(&self) -> Option<SignedDuration> {
        Some(self.began?.duration_since(self.previous_began?))
    }

    /// For how long the last one is at work, unless it is complete.
    pub fn at_work(&self, now: Timestamp) -> Option<SignedDuration> {
        self.began.filter(|_| self.ends_at.is_some()).map(|began| now.duration_since(began))
    }

    /// The same period while one is at work that takes longer: then, as long as that does.
    pub fn period_at(&self, now: Timestamp) -> Option<SignedDuration> {
        self.period().map(|period| self.at_work(now).map_or(period, |so_far| so_far.max(period)))
    }

    /// There never was one, and none is waited for.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// Counts of the ledger: one row a service and UTC hour.
pub type Counts = BTreeMap<String, u64>;

/// The retry queue in short; its entries are rows of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Content URIs that wait.
    pub waiting: u64,
    /// When the content of the first of them expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_expiry_in_utc: Option<Timestamp>,
}

impl Queue {
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }
}

/// The position of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Format of the row.
    #[serde(default)]
    pub persistence_version: u64,
    /// Counts up with every acquisition and every commit.
    #[serde(default)]
    pub version: u64,
    /// Nonce of the invocation that wrote the row last.
    #[serde(default)]
    pub writer: String,
    /// Request id of the lease's holder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_owner: Option<String>,
    /// End of the lease, epoch milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_expires_at: Option<i64>,
    /// Key of the record hashes.
    #[serde(default)]
    pub hash_key: String,
    /// Counts the restarts: the key space of the record hashes.
    #[serde(default)]
    pub generation: u64,
    /// Where the service started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time_in_utc: Option<Timestamp>,
    /// The document's `reset_persistence_auth` when it was last seen: another value restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_mark: Option<String>,
    /// Newest record seen; never dated after the instant it was seen at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_time_in_utc: Option<Timestamp>,
    /// End of the last complete window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete_to_in_utc: Option<Timestamp>,
    /// From there on something was missing in the API's answers: it is read again until nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed_from_in_utc: Option<Timestamp>,
    /// Since when the first part of that is asked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed_since_in_utc: Option<Timestamp>,
    /// Event time of the oldest record without an end that the last complete cycle met: the next one begins there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished_from_in_utc: Option<Timestamp>,
    /// The same, as far as the cycle at work has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished_so_far_in_utc: Option<Timestamp>,
    /// When the first fresh window of the last cycle was read (see `window`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_since_in_utc: Option<Timestamp>,
    /// The walk through the live windows.
    #[serde(flatten)]
    pub walk: Walk,
    /// The walk through hours that are read again.
    #[serde(default, skip_serializing_if = "LateSweep::is_unknown")]
    pub late_sweep: LateSweep,
    /// When the last pull began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_pull_in_utc: Option<Timestamp>,
    /// Earliest instant of the next request to the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before_in_utc: Option<Timestamp>,
    /// How the last pull ended: a status or an error type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_result: Option<String>,
    /// The last pull's error, `[code] message`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Ledger counts by UTC hour that wait for the next commit with rows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ledger_carry: BTreeMap<String, Counts>,
    /// What the source wants to know again.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub source_memo: Map<String, Value>,
    /// How many records the memory of a feed holds, at the most.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub remembered: u64,
    /// The retry queue of a content feed.
    #[serde(default, skip_serializing_if = "Queue::is_empty")]
    pub retry_queue: Queue,
    /// What Devo could not be told yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untold: Vec<Line>,
    /// Members of other releases.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A vendor's older name of a time and ours, which wins when both are there.
const OLDER_TIMES: [(&str, &str); 2] =
    [("last_event_time", "last_event_time_in_utc"), ("last_polled_timestamp", "complete_to_in_utc")];

/// Times that the vendor has under our names, written in its own way.
const VENDOR_TIMES: [&str; 2] = ["start_time_in_utc", "last_event_time_in_utc"];

impl Checkpoint {
    /// Reads the row that a store gave.
    ///
    /// # Errors
    /// StateError 700 that names the member.
    pub fn read(row: &Row) -> Result<Self, Error> {
        let mut fields = row.fields.clone();
        for (older, name) in OLDER_TIMES {
            let Some(value) = fields.get(older).cloned() else { continue };
            if !fields.contains_key(name) {
                let instant = older_time(&value).ok_or_else(|| unreadable(&format!("{older} is no time")))?;
                fields.insert(name.to_owned(), Value::from(instant.to_string()));
                fields.shift_remove(older);
            }
        }
        fields.retain(|_, value| !value.is_null());
        for name in VENDOR_TIMES {
            let Some(Value::String(text)) = fields.get(name) else { continue };
            if let Some(instant) = instant::parse(text) {
                fields.insert(name.to_owned(), Value::from(instant.to_string()));
            }
        }
        serde_json::from_value(Value::Object(fields.clone())).map_err(|error| match culprit(&fields) {
            Some(member) => unreadable(&member),
            None => unreadable(&error.to_string()),
        })
    }

    /// The row to store.
    ///
    /// # Errors
    /// StateError 700; only a member of another release could be the cause.
    pub fn row(&self) -> Result<Row, Error> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => {
                Ok(Row { key: CHECKPOINT_KEY.to_owned(), fields, data: None, expires_at: None })
            }
            Ok(_) | Err(_) => Err(unreadable("it cannot be written back")),
        }
    }

    /// Whether the last pull found the API retired.
    pub fn is_retired(&self) -> bool {
        self.last_result.as_deref() == Some(Status::Retired.word())
    }

    /// Forgets position, window and record memory: the service starts again at `start`.
    pub fn restart(&mut self, start: Timestamp) {
        self.generation += 1;
        self.start_time_in_utc = Some(start);
        self.last_event_time_in_utc = None;
        self.complete_to_in_utc = None;
        self.owed_from_in_utc = None;
        self.owed_since_in_utc = None;
        self.unfinished_from_in_utc = None;
        self.unfinished_so_far_in_utc = None;
        self.fresh_since_in_utc = None;
        self.walk = Walk::default();
        self.late_sweep = LateSweep::default();
        self.retry_queue = Queue::default();
        self.remembered = 0;
        self.last_pull_in_utc = None;
    }
}

fn unreadable(what: &str) -> Error {
    let message = format!(
        "the checkpoint cannot be read: {what}; nothing was changed: repair the member, or delete the row to start anew"
    );
    Error::new(ErrorType::StateError, code::STATE, message)
}

/// The member that cannot be read and why. Every member has a default, so each can be tried by itself.
fn culprit(fields: &Map<String, Value>) -> Option<String> {
    fields.iter().find_map(|(name, value)| {
        let alone = Map::from_iter([(name.clone(), value.clone())]);
        let error = serde_json::from_value::<Checkpoint>(Value::Object(alone)).err()?;
        Some(format!("{name}: {error}"))
    })
}

/// A time as any release wrote it: RFC 3339, `%Y-%m-%d %H:%M:%S` (UTC, fractions allowed), or epoch seconds.
fn older_time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(seconds) => Timestamp::from_second(seconds.as_i64()?).ok(),
        Value::String(text) => instant::parse(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(members: Value) -> Row {
        let fields = members.as_object().cloned().unwrap();
        Row { key: CHECKPOINT_KEY.to_owned(), fields, ..Row::default() }
    }

    #[test]
    fn a_row_from_before_there_were_feeds_loads_and_gets_no_member_that_it_does_not_need() {
        let before = json!({"persistence_version": 1, "version": 7, "writer": "w", "hash_key": "k", "generation": 2,
            "complete_to_in_utc": "2026-11-20T10:00:00Z"});
        let checkpoint = Checkpoint::read(&row(before.clone())).unwrap();
        assert!(checkpoint.retry_queue.is_empty() && checkpoint.source_memo.is_empty());
        assert_eq!(json!(checkpoint.row().unwrap().fields), before);
    }

    #[test]
    fn queue_and_memo_come_back_as_they_were() {
        let members = json!({"retry_queue": {"waiting": 3, "first_expiry_in_utc": "2026-11-27T10:00:00Z"},
            "source_memo": {"budget": {"used": [1, 2]}, "started_at": "2026-11-20T10:00:00Z"}});
        let checkpoint = Checkpoint::read(&row(members.clone())).unwrap();
        let first = Some("2026-11-27T10:00:00Z".parse().unwrap());
        assert_eq!(checkpoint.retry_queue, Queue { waiting: 3, first_expiry_in_utc: first });
        let written = checkpoint.row().unwrap().fields;
        for (name, value) in members.as_object().unwrap() {
            assert_eq!(written[name], *value);
        }
    }

    #[test]
    fn a_queue_or_memo_of_the_wrong_kind_is_named() {
        let wrong = [
            ("retry_queue", json!(3)),
            ("retry_queue", json!({})),
            ("retry_queue", json!({"waiting": -1})),
            ("retry_queue", json!({"waiting": 1, "first_expiry_in_utc": "soon"})),
            ("source_memo", json!([])),
            ("source_memo", json!("x")),
        ];
        for (name, value) in wrong {
            let error = Checkpoint::read(&row(json!({name: value}))).unwrap_err();
            assert_eq!(error.code, code::STATE);
            assert!(
                error.message.starts_with(&format!("the checkpoint cannot be read: {name}: ")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_restart_forgets_the_queue_and_keeps_what_the_source_knows() {
        let queue = Queue { waiting: 3, first_expiry_in_utc: None };
        let memo = Map::from_iter([("used".to_owned(), json!(5))]);
        let mut checkpoint = Checkpoint {
            generation: 4,
            retry_queue: queue,
            source_memo: memo.clone(),
            ..Checkpoint::default()
        };
        checkpoint.restart("2026-11-01T00:00:00Z".parse().unwrap());
        assert_eq!((checkpoint.generation, checkpoint.retry_queue), (5, Queue::default()));
        assert_eq!(checkpoint.source_memo, memo);
    }
}
