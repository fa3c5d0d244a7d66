//! Where the operator's own queries stand: a row each, beside the checkpoint.
//!
//! A row is found by the query's name and written in the commits that it belongs to: what changed of it since the last
//! commit belongs to the open batch, and is lost with it. A row of another generation of the service does not count, so that
//! what restarts the service restarts its queries. Rows of queries that nobody asks any more vanish in time. The service
//! itself stands where that of its queries stands that is furthest behind.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::checkpoint::Walk;
use crate::error::{Error, ErrorType, code};
use crate::outlook::Standing;
use crate::ports::{Row, Sink, Source, StateStore, Write};
use crate::record::HashKey;
use crate::settings::{HuntingQuery, QuerySpan};
use crate::window::{Reached, later};

use super::lease::due_after;
use super::{Run, proof};

/// Key prefix of the rows that say where a query stands, followed by its name as it is.
pub const QUERY_PREFIX: &str = "query#";
/// No such key sorts behind this one, whatever characters its name has.
const BEHIND_QUERIES: &str = "query$";
/// A row is kept for so long after it was written last. A query whose row is gone begins anew, near the present, and nobody
/// is told of what it missed; so a service may be off for a year.
const KEPT: SignedDuration = SignedDuration::from_hours(400 * 24);

/// Where a query stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryPlace {
    /// The service's generation: a row of another one does not count.
    #[serde(default)]
    pub generation: u64,
    /// Where the query started; absent for a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time_in_utc: Option<Timestamp>,
    /// Newest row seen; never dated after the instant it was seen at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_time_in_utc: Option<Timestamp>,
    /// End of the last complete window, or when the last complete snapshot began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete_to_in_utc: Option<Timestamp>,
    /// When the first fresh window of the last cycle was read (see `window`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_since_in_utc: Option<Timestamp>,
    /// When the invocation began in which the query had its last turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_pull_in_utc: Option<Timestamp>,
    /// What it was refused with, `[code] message`, unless its last turn went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Longest window while heavier ones fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrowed_to_seconds: Option<i64>,
    /// Its walk.
    #[serde(flatten)]
    pub walk: Walk,
    /// Members of other releases.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

impl QueryPlace {
    fn fresh(generation: u64) -> Self {
        Self { generation, ..Self::default() }
    }

    /// Reads the row of a query.
    ///
    /// # Errors
    /// StateError 700 that names the row.
    pub fn read(row: &Row) -> Result<Self, Error> {
        serde_json::from_value(Value::Object(row.fields.clone())).map_err(|error| {
            let message = format!(
                "the row {} cannot be read: {error}; nothing was changed: delete it to let the query start anew",
                row.key
            );
            Error::new(ErrorType::StateError, code::STATE, message)
        })
    }

    fn row(&self, name: &str, now: Timestamp) -> Row {
        let fields = match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) | Err(_) => Map::new(),
        };
        Row { key: key_of(name), fields, data: None, expires_at: Some(later(now, KEPT).as_second()) }
    }

    /// Whether it is to have a turn now: its period is over, or it did not come to its end.
    pub(super) fn is_due(&self, period: SignedDuration, now: Timestamp) -> bool {
        let goes_on = self.walk.window().is_some() || self.walk.cursor.is_some() || self.last_error.is_some();
        goes_on || self.last_turn(now).is_none_or(|last| due_after(last, period) <= now)
    }

    /// A turn from after now was noted by a clock that was wrong.
    pub(super) fn last_turn(&self, now: Timestamp) -> Option<Timestamp> {
        self.last_pull_in_utc.filter(|last| *last <= now)
    }

    /// What was noted of instants from after now was noted by a clock that was wrong, and says nothing of what came since it
    /// was put right. What was read for certain ends with the newest row, or where the window at hand begins.
    pub(super) fn forget_what_is_ahead(&mut self, now: Timestamp, oldest: Timestamp) {
        let noted = [self.complete_to_in_utc, self.fresh_since_in_utc, self.walk.cursor, self.walk.window_to];
        if noted.into_iter().flatten().all(|instant| instant <= now) {
            return;
        }
        let past = |instant: Option<Timestamp>| instant.filter(|it| *it <= now);
        self.start_time_in_utc = past(self.start_time_in_utc);
        let newest = past(self.last_event_time_in_utc).or(self.start_time_in_utc);
        let read_to = newest.map(|instant| self.walk.window_from.map_or(instant, |from| from.min(instant)));
        self.complete_to_in_utc = read_to.map(|instant| instant.max(oldest));
        self.fresh_since_in_utc = None;
        self.walk = Walk::default();
    }

    /// Everything up to then was read; nothing yet of one that is at its first window.
    pub fn read_to(&self) -> Option<Timestamp> {
        self.complete_to_in_utc.or(self.walk.window_from)
    }

    pub(super) fn reached(&self) -> Reached {
        Reached {
            // A cycle that began behind the newest row would ask for all the time since then of a query that rarely has
            // one, and what a query reads is counted.
            newest: None,
            complete_to: self.complete_to_in_utc,
            fresh_since: self.fresh_since_in_utc,
            unfinished_from: None,
            cursor: self.walk.cursor,
        }
    }
}

fn key_of(name: &str) -> String {
    format!("{QUERY_PREFIX}{name}")
}

/// One query, as this invocation knows it.
#[derive(Debug)]
pub(super) struct Hunt<'a> {
    pub(super) query: &'a HuntingQuery,
    /// Key of its records' hashes.
    pub(super) key: HashKey,
    /// What the store holds of it.
    committed: QueryPlace,
    /// What it will hold once the open batch is committed.
    pub(super) next: QueryPlace,
    /// Windows completed in this invocation.
    pub(super) windows: u64,
}

impl Hunt<'_> {
    fn is_unsaved(&self) -> bool {
        self.next != self.committed
    }
}

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// Reads where the queries stand.
    pub(super) async fn read_places(&mut self) -> Result<(), Error> {
        if !self.settings.service.query.is_hunting() {
            return Ok(());
        }
        let rows = self.ports.state.query(&self.settings.partition(), QUERY_PREFIX, BEHIND_QUERIES).await;
        let rows = rows.map_err(|error| proof::failure(&error))?;
        let (generation, key) = (self.next.generation, self.hash_key);
        let hunts = self.settings.queries.iter().map(|query| {
            let row = rows.iter().find(|row| row.key == key_of(&query.name));
            let known = row.map(QueryPlace::read).transpose()?;
            let place = known.filter(|place| place.generation == generation);
            let committed = place.unwrap_or_else(|| QueryPlace::fresh(generation));
            Ok(Hunt { query, key: key.derived(&query.name), next: committed.clone(), committed, windows: 0 })
        });
        self.hunts = hunts.collect::<Result<_, Error>>()?;
        Ok(())
    }

    /// The service stands where that of its queries stands that is furthest behind.
    pub(super) fn note_furthest_behind(&mut self) {
        self.next.complete_to_in_utc = self.hunts.iter().filter_map(|hunt| hunt.next.read_to()).min();
    }

    /// A row of a query has this time.
    pub(super) fn note_event_time_of_query(&mut self, index: usize, instant: Timestamp) {
        let Some(hunt) = self.hunts.get_mut(index) else { return };
        hunt.next.last_event_time_in_utc = hunt.next.last_event_time_in_utc.max(Some(instant));
        self.next.last_event_time_in_utc = self.next.last_event_time_in_utc.max(Some(instant));
    }

    /// How far the queries are: each by its own period, and by what the API keeps of windows alone.
    pub(super) fn standing_of_queries(&self, start: Option<Timestamp>) -> Standing {
        let has_windows = |hunt: &&Hunt<'_>| hunt.query.span == QuerySpan::Window;
        let due_at = |hunt: &Hunt<'_>| Some(later(hunt.next.complete_to_in_utc?, hunt.query.period));
        Standing {
            start,
            complete_to: self.hunts.iter().filter(has_windows).filter_map(|hunt| hunt.next.read_to()).min(),
            due_at: self.hunts.iter().filter_map(due_at).min(),
            first_expiry: None,
        }
    }

    /// Up to when a query was read before.
    pub(super) fn query_complete_to(&self, index: usize) -> Option<Timestamp> {
        self.hunts.get(index)?.next.complete_to_in_utc
    }

    /// How many rows of queries wait for the next commit.
    pub(super) fn unsaved_places(&self) -> usize {
        self.hunts.iter().filter(|hunt| hunt.is_unsaved()).count()
    }

    /// The rows that the next commit must hold.
    pub(super) fn places_to_write(&self) -> impl Iterator<Item = Write> {
        let unsaved = self.hunts.iter().filter(|hunt| hunt.is_unsaved());
        unsaved.map(|hunt| Write::Put(hunt.next.row(&hunt.query.name, self.started)))
    }

    /// The commit with these rows happened.
    pub(super) fn places_committed(&mut self) {
        self.hunts.iter_mut().for_each(|hunt| hunt.committed.clone_from(&hunt.next));
    }

    /// The open batch is lost, and with it what it would have made true.
    pub(super) fn places_rolled_back(&mut self) {
        self.hunts.iter_mut().for_each(|hunt| hunt.next.clone_from(&hunt.committed));
    }
}
