//! Backfills: windows of the past, pulled beside the live ones under the same lease.
//!
//! A backfill is known by (start, end, resend) and keeps its place in a row of its own. One that is asked for while the
//! lease is held is left as a request row, which the next holder turns into a backfill. It shares the service's record
//! memory; one that sends again (`resend`) judges by a memory of its own and remembers in both.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::checkpoint::Walk;
use crate::error::{Error, ErrorType, code};
use crate::event::Backfill;
use crate::memory::{Bucket, Load, Memory};
use crate::ports::{Row, Sink, Source, StateStore, Write};
use crate::settings::{HuntingQuery, QuerySpan, Settings};
use crate::window::{Window, earlier, later, plan, whole_second};

use super::course::Course;
use super::{Run, Stop, proof};

/// Key prefix of backfills, `request#{from}#{to}#{resend}`, and of requests for one, which end in `#{nonce}`. It sorts
/// behind the record memory, so that one read finds both.
pub const BACKFILL_PREFIX: &str = "request#";
/// How long a finished one stays to be looked at.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Requests that one commit removes; somebody may have left hundreds.
const MOST_ANSWERED: usize = 5;

/// Member of a backfill: when it was complete.
const FINISHED: &str = "finished_in_utc";
/// Member of a backfill of the operator's own queries: how far each was read, by its name.
const QUERIES: &str = "queries";
/// Member of a request: when it was left.
const REQUESTED: &str = "requested_in_utc";

/// A backfill at work.
#[derive(Debug)]
pub(super) struct Open {
    what: Backfill,
    /// Counts how often it was begun anew.
    round: u64,
    pub(super) walk: Walk,
    /// Of the operator's own queries the one at hand, by its index.
    pub(super) query: Option<usize>,
    /// How far each of them was read, by its name.
    read_to: BTreeMap<String, Timestamp>,
    is_complete: bool,
    /// Its own memory, when it sends again.
    own: Option<Memory>,
    /// Request rows that it answers.
    answered: Vec<String>,
    finished_at: Option<Timestamp>,
}

impl Open {
    fn new(what: Backfill, round: u64, walk: Walk) -> Self {
        // `+` sorts before every digit: the read of a live tick does not meet what a resend remembers.
        let own = what.resend.then(|| Memory::new(format!("+{}/{}.{round}", what.from, what.to)));
        Self {
            what,
            round,
            walk,
            query: None,
            read_to: BTreeMap::new(),
            is_complete: false,
            own,
            answered: Vec::new(),
            finished_at: None,
        }
    }

    /// The instant that no window of it passes.
    pub(super) fn end(&self) -> Timestamp {
        self.what.to
    }

    /// The next window, if any is left. Nothing is asked for from before `oldest`, which the API has forgotten.
    pub(super) fn next_window(&self, max: SignedDuration, oldest: Timestamp) -> Option<Window> {
        let from = self.walk.cursor.unwrap_or(self.what.from).max(oldest);
        (from < self.what.to).then(|| Window { from, to: later(from, max).min(self.what.to) })
    }

    /// A window of it is complete, of this query if there are such.
    pub(super) fn window_done(&mut self, window: &Window, query: Option<&HuntingQuery>) {
        self.walk.cursor = Some(window.to);
        if let Some(query) = query {
            self.read_to.insert(query.name.clone(), window.to);
        }
    }

    /// The queries that have windows of it left, the one at hand first; one that is not among the settings any more is
    /// passed over.
    pub(super) fn line(&self, queries: &[HuntingQuery]) -> Vec<usize> {
        let is_left = |query: &HuntingQuery| {
            let read_to = self.read_to.get(&query.name);
            query.span == QuerySpan::Window && read_to.is_none_or(|instant| *instant < self.what.to)
        };
        let left = queries.iter().enumerate().filter(|(_, query)| is_left(query));
        let mut line: Vec<(bool, usize)> =
            left.map(|(index, query)| (self.walk.query.as_ref() != Some(&query.name), index)).collect();
        line.sort_unstable();
        line.into_iter().map(|(_, index)| index).collect()
    }

    /// This query comes to be at hand, in the window that was left of it if there is one.
    pub(super) fn take_up(&mut self, index: usize, name: &str) {
        self.query = Some(index);
        if self.walk.query.as_deref() != Some(name) {
            let cursor = self.read_to.get(name).copied();
            self.walk = Walk { cursor, query: Some(name.to_owned()), ..Walk::default() };
        }
    }

    pub(super) fn own_memory(&self) -> Option<&Memory> {
        self.own.as_ref()
    }

    pub(super) fn own_memory_mut(&mut self) -> Option<&mut Memory> {
        self.own.as_mut()
    }

    pub(super) fn loads(&self, buckets: &BTreeSet<Bucket>) -> Vec<Load> {
        self.own.as_ref().map(|own| own.loads(buckets)).unwrap_or_default()
    }

    pub(super) fn loaded(&mut self, load: &Load, rows: Vec<Row>) {
        if let Some(own) = &mut self.own {
            own.loaded(load, rows);
        }
    }

    pub(super) fn doubts(&self, places: &[(Bucket, u64)]) -> Vec<Load> {
        self.own.as_ref().map(|own| own.doubts(places)).unwrap_or_default()
    }

    pub(super) fn confirmed(&mut self, load: &Load, rows: Vec<Row>) {
        if let Some(own) = &mut self.own {
            own.confirmed(load, rows);
        }
    }

    pub(super) fn committed(&mut self, writes: &[Write]) {
        self.answered.drain(..self.answered.len().min(MOST_ANSWERED));
        if let Some(own) = &mut self.own {
            own.committed(writes);
        }
    }

    /// What a commit must hold of it: its place, and the end of the requests it answers.
    pub(super) fn writes(&self) -> Vec<Write> {
        let mut fields = Map::new();
        if let Ok(Value::Object(walk)) = serde_json::to_value(&self.walk) {
            fields.extend(walk);
        }
        fields.insert("round".to_owned(), self.round.into());
        fields.insert("complete".to_owned(), self.is_complete.into());
        if !self.read_to.is_empty() {
            let read_to =
                self.read_to.iter().map(|(name, instant)| (name.clone(), instant.to_string().into()));
            fields.insert(QUERIES.to_owned(), Value::Object(read_to.collect()));
        }
        if let Some(instant) = self.finished_at {
            fields.insert(FINISHED.to_owned(), instant.to_string().into());
        }
        let expires_at = self.finished_at.map(|instant| later(instant, KEPT).as_second());
        let place = Row { key: key(&self.what), fields, data: None, expires_at };
        let ends = self.answered.iter().take(MOST_ANSWERED).cloned().map(Write::Delete);
        [Write::Put(place)].into_iter().chain(ends).collect()
    }

    fn read(row: &Row) -> Option<Self> {
        let what = parse_key(&row.key)?;
        let round = row.fields.get("round").and_then(Value::as_u64).unwrap_or(0);
        let walk = serde_json::from_value(Value::Object(row.fields.clone())).unwrap_or_default();
        let mut open = Self::new(what, round, walk);
        open.is_complete = row.fields.get("complete").and_then(Value::as_bool).unwrap_or(false);
        open.finished_at = instant_of(row, FINISHED);
        let queries = row.fields.get(QUERIES).cloned();
        open.read_to = queries.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
        Some(open)
    }

    /// Whether it was finished after this request for it was left.
    fn was_finished_after(&self, request: &Row) -> bool {
        self.is_complete
            && self.finished_at.zip(instant_of(request, REQUESTED)).is_some_and(|(end, asked)| asked <= end)
    }

    /// The same backfill from its start.
    fn anew(&self) -> Self {
        Self::new(self.what.clone(), self.round + 1, Walk::default())
    }
}

/// A request for a backfill that the lease's holder will find.
fn request_row(what: &Backfill, nonce: &str, now: Timestamp) -> Row {
    let fields = json!({REQUESTED: now.to_string()}).as_object().cloned().unwrap_or_default();
    Row {
        key: format!("{}#{nonce}", key(what)),
        fields,
        data: None,
        expires_at: Some(later(now, KEPT).as_second()),
    }
}

fn key(what: &Backfill) -> String {
    let mode = if what.resend { "resend" } else { "missing" };
    format!("{BACKFILL_PREFIX}{}#{}#{mode}", what.from, what.to)
}

fn parse_key(row_key: &str) -> Option<Backfill> {
    let mut parts = row_key.strip_prefix(BACKFILL_PREFIX)?.split('#');
    let (from, to, mode) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Backfill { from: from.parse().ok()?, to: to.parse().ok()?, resend: mode == "resend" })
}

fn instant_of(row: &Row, name: &str) -> Option<Timestamp> {
    row.fields.get(name)?.as_str()?.parse().ok()
}

fn is_request(row_key: &str) -> bool {
    row_key.strip_prefix(BACKFILL_PREFIX).is_some_and(|rest| rest.split('#').count() > 3)
}

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// Finds the backfills to go on with. The hashes that a new cycle needs come with the same read.
    pub(super) async fn open_backfills(&mut self, is_warm: bool) -> Result<Vec<Open>, Error> {
        let wanted = self.invocation.request.backfill.clone();
        if self.is_dry() {
            wanted.iter().for_each(|what| self.warn_of_old_start(what));
            return Ok(wanted.into_iter().map(|what| Open::new(what, 0, Walk::default())).collect());
        }
        if !self.settings.has_windows() {
            return Ok(Vec::new());
        }
        let hashes = self.hashes_ahead(is_warm);
        let first = hashes.as_ref().map_or(BACKFILL_PREFIX, |load| load.first.as_str()).to_owned();
        let last = format!("{BACKFILL_PREFIX}~");
        let rows = self.ports.state.query(&self.settings.partition(), &first, &last).await;
        let (backfills, memory): (Vec<Row>, Vec<Row>) = rows
            .map_err(|error| proof::failure(&error))?
            .into_iter()
            .partition(|row| row.key.starts_with(BACKFILL_PREFIX));
        if let Some(load) = hashes {
            self.warm.memory.loaded(&load, memory);
        }
        let mut known: Vec<Open> = Vec::new();
        for row in &backfills {
            self.find(&mut known, row);
        }
        let Some(what) = wanted else {
            known.retain(|open| !open.is_complete);
            return Ok(known);
        };
        self.warn_of_old_start(&what);
        let noted = known.into_iter().find(|open| open.what == what);
        self.is_noted = noted.as_ref().is_some_and(|open| !open.is_complete);
        let open = match noted {
            Some(open) if open.is_complete => open.anew(),
            Some(open) => open,
            None => Open::new(what, 0, Walk::default()),
        };
        Ok(vec![open])
    }

    /// Rows come in order of key: a backfill before the requests for it.
    fn find(&mut self, known: &mut Vec<Open>, row: &Row) {
        let Some(open) = Open::read(row) else {
            self.warn(format!("the row {} is no backfill and is left alone", row.key));
            return;
        };
        if !is_request(&row.key) {
            known.push(open);
            return;
        }
        let place = known.iter().position(|other| other.what == open.what);
        if place.and_then(|index| known.get(index)).is_some_and(|done| done.was_finished_after(row)) {
            self.outdated.push(row.key.clone());
            return;
        }
        self.warn_of_old_start(&open.what);
        let index = place.unwrap_or_else(|| {
            known.push(Open::new(open.what, 0, Walk::default()));
            known.len() - 1
        });
        if let Some(found) = known.get_mut(index) {
            if found.is_complete {
                *found = found.anew();
            }
            found.answered.push(row.key.clone());
        }
    }

    fn warn_of_old_start(&mut self, what: &Backfill) {
        let oldest = whole_second(earlier(self.started, self.settings.service.window.retention));
        if what.from < oldest {
            let (from, to) = (what.from, what.to.min(oldest));
            self.warn(format!(
                "the backfill's records from {from} to {to} cannot be had: the API keeps none from before {oldest}"
            ));
        }
    }

    /// What a new cycle will look at again: little, since nothing newer than the newest record was delivered yet. A walk
    /// that was left half-way, or reaches back to what is unfinished, may have much ahead of it, and loads page by page.
    fn hashes_ahead(&self, is_warm: bool) -> Option<Load> {
        let walk = &self.next.walk;
        if self.settings.service.query.is_hunting() {
            return None;
        }
        if is_warm || walk.window().is_some() || walk.cursor.is_some() {
            return None;
        }
        let bounds = self.bounds(self.settings.window_max, self.started);
        let from = plan(&self.reached_by_finished(), &bounds).window.from;
        if self.settings.service.query.is_content() {
            return Some(self.warm.memory.load_content_from(from, self.started));
        }
        Some(self.warm.memory.load_from(from, self.started))
    }

    /// A backfill that cannot begin now is left as a request for the tick that can.
    pub(super) async fn leave_request(&mut self) -> Result<(), Error> {
        let is_left = self.is_dry() || self.is_noted;
        let wanted = self.invocation.request.backfill.as_ref().filter(|_| !is_left);
        let Some(wanted) = wanted else { return Ok(()) };
        let left = request_row(wanted, &self.invocation.nonce, self.started);
        let outcome = self.ports.state.leave(&self.settings.partition(), &left).await;
        outcome.map_err(|error| proof::failure(&error))
    }

    /// The backfill at hand is complete: that is committed before anything else is read.
    pub(super) async fn close_backfill(&mut self) -> Result<(), Stop> {
        let now = self.now();
        if let Some(open) = self.course.backfill_mut() {
            open.is_complete = true;
            open.finished_at = Some(now);
            open.walk = Walk::default();
            open.read_to.clear();
        }
        let rows = self.rows_to_write().await;
        self.ship_with(rows).await.map_err(Stop::Broken)?;
        self.course = Course::Live;
        Ok(())
    }
}

/// What has no windows of the past cannot be pulled again.
pub(super) fn refuse(settings: &Settings) -> Error {
    let remedy = if settings.service.query.is_snapshot() {
        "it reads the whole list each time: pull with force"
    } else if settings.service.query.is_hunting() {
        "give a query {from} and {to}, or pull with force"
    } else {
        "ask for one of the feed itself"
    };
    let function = settings.service.function;
    let message = format!("backfill: {function} has no windows to pull again; {remedy}");
    Error::new(ErrorType::InitVariablesError, code::SETTINGS, message)
}
