//! Hunting: the operator's own queries, each a walk of its own.
//!
//! A query that names the ends of a window walks through windows, any other is a snapshot. They take turns, those first
//! whose last one is longest ago, so that one that uses up the quota each time keeps no other from it; a turn that ended
//! before its first page, because of those before it, does not count. One that is refused does not stop the others. What is
//! remembered of records is kept apart by a key of each query's own.

use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, ErrorType};
use crate::ports::{Sink, Source, StateStore};
use crate::record::HashKey;
use crate::settings::{HuntingQuery, QuerySpan};
use crate::window::{Bounds, Plan, Reached, Window, complete, earlier, later, plan, whole_second};

use super::batch::MOST_ROWS;
use super::course::Course;
use super::lease::{DEFAULT_START, due_after};
use super::places::Hunt;
use super::{PagesOfWalk, Run, Stop};

/// Rows of queries that wait for a commit at the most.
const MOST_UNSAVED: usize = 16;
/// Rows that the open batch leaves to the next query, at the least.
const ROOM: usize = 20;

impl<'a, S: Source, K: Sink, T: StateStore> Run<'a, S, K, T> {
    /// Whether any query is to have a turn.
    pub(super) fn is_hunt_due(&self) -> bool {
        self.hunts.iter().any(|hunt| hunt.next.is_due(hunt.query.period, self.started))
    }

    /// A turn of each query that is due. The first refusal is told when all have had theirs.
    pub(super) async fn hunt(&mut self) -> Result<(), Stop> {
        let mut first_failure = None;
        for (place_in_line, index) in self.line().into_iter().enumerate() {
            if self.now() >= self.work_until() {
                self.tell_failure(first_failure);
                return Err(Stop::OutOfTime);
            }
            let ended = match self.turn(index, place_in_line == 0).await {
                Ok(()) => self.save_places().await,
                Err(Stop::Failed(error)) if error.error_type != ErrorType::StateError => {
                    first_failure = self.note_failure(first_failure, error);
                    self.save_places().await
                }
                end => end,
            };
            if let Err(stop) = ended {
                self.tell_failure(first_failure);
                return Err(stop);
            }
        }
        first_failure.map_or(Ok(()), |error| Err(Stop::Failed(error)))
    }

    /// The queries that are to have a turn: whose last one is longest ago comes first. A dry run shows all of
    /// them, as it does not wait for a period elsewhere.
    fn line(&self) -> Vec<usize> {
        let are_all_wanted = self.is_dry() || self.invocation.request.force;
        let wanted = self
            .hunts
            .iter()
            .enumerate()
            .filter(|(_, hunt)| are_all_wanted || hunt.next.is_due(hunt.query.period, self.started));
        let mut line: Vec<(Option<Timestamp>, usize)> =
            wanted.map(|(index, hunt)| (hunt.next.last_turn(self.started), index)).collect();
        line.sort_unstable();
        line.into_iter().map(|(_, index)| index).collect()
    }

    /// The windows of one query. After an end that ends the invocation it is still the one at hand.
    async fn turn(&mut self, index: usize, is_first: bool) -> Result<(), Stop> {
        self.course = Course::Query(index);
        let (started, oldest) = (self.started, self.oldest_to_ask(self.started));
        let Some(hunt) = self.hunts.get_mut(index) else { return Ok(()) };
        hunt.next.forget_what_is_ahead(started, oldest);
        let last_turn = hunt.next.last_pull_in_utc.replace(started);
        hunt.next.last_error = None;
        self.narrowed =
            hunt.next.narrowed_to_seconds.filter(|seconds| *seconds > 0).map(SignedDuration::from_secs);
        let end = self.pull().await;
        let narrowed = self.narrowed.take();
        let counts = is_first || self.pages == PagesOfWalk::SomeCame;
        if let Some(hunt) = self.hunts.get_mut(index) {
            hunt.next.narrowed_to_seconds = narrowed.map(|span| span.as_secs());
            if !counts && matches!(end, Err(Stop::Throttled(_) | Stop::OutOfTime)) {
                hunt.next.last_pull_in_utc = last_turn;
            }
        }
        self.note_furthest_behind();
        match end {
            Err(Stop::Failed(error)) => {
                let named = self.named(error);
                if let Some(hunt) = self.hunts.get_mut(index) {
                    hunt.next.last_error = Some(named.to_string());
                }
                self.course = Course::Live;
                Err(Stop::Failed(named))
            }
            Ok(()) => {
                self.course = Course::Live;
                Ok(())
            }
            end => end,
        }
    }

    /// Commits before there are more rows of queries, or of the batch, than a commit has room for.
    async fn save_places(&mut self) -> Result<(), Stop> {
        let staged: usize = self.memories().map(|memory| memory.staged_rows()).sum();
        let unsaved = self.unsaved_places();
        let is_much = unsaved >= MOST_UNSAVED || staged + unsaved > MOST_ROWS - ROOM;
        if is_much && !self.is_dry() { self.ship().await } else { Ok(()) }
    }

    /// The windows of a backfill: of each query that has windows, one after another.
    pub(super) async fn pull_backfill(&mut self) -> Result<(), Stop> {
        if !self.settings.service.query.is_hunting() {
            return self.pull().await;
        }
        let mut first_failure = None;
        let Some(open) = self.course.backfill() else { return Ok(()) };
        for index in open.line(&self.settings.queries) {
            let settings = self.settings;
            let Some(query) = settings.queries.get(index) else { continue };
            if let Some(open) = self.course.backfill_mut() {
                open.take_up(index, &query.name);
            }
            self.narrowed = None;
            match self.pull().await {
                Err(Stop::Failed(error)) if error.error_type != ErrorType::StateError => {
                    let named = self.named(error);
                    self.leave_query();
                    first_failure = self.note_failure(first_failure, named);
                }
                Ok(()) => self.leave_query(),
                end => {
                    self.tell_failure(first_failure);
                    return end;
                }
            }
        }
        first_failure.map_or(Ok(()), |error| Err(Stop::Failed(error)))
    }

    /// What follows is not said of any query.
    pub(super) fn leave_query(&mut self) {
        match &mut self.course {
            Course::Query(_) => self.course = Course::Live,
            Course::Backfill(open) => open.query = None,
            Course::Live | Course::Sweep(_) => {}
        }
    }

    /// The first failure is the answer; what follows it is told as well.
    pub(super) fn note_failure(&mut self, first: Option<Error>, error: Error) -> Option<Error> {
        if first.is_some() {
            self.warn(error.to_string());
        }
        first.or(Some(error))
    }

    /// A failure that does not become the answer, because something else ends the invocation.
    pub(super) fn tell_failure(&mut self, failure: Option<Error>) {
        if let Some(error) = failure {
            let message = error.to_string();
            // The query at hand is another one.
            self.warn_plainly(message);
        }
    }

    fn named(&self, error: Error) -> Error {
        let Some(query) = self.query_at_hand() else { return error };
        let name = format!("\"{}\"", query.name);
        if error.message.contains(&name) {
            return error;
        }
        Error { message: format!("{} (query {name})", error.message), ..error }
    }

    /// The index of the query at hand, live or in a backfill.
    pub(super) fn query_index(&self) -> Option<usize> {
        match &self.course {
            Course::Query(index) => Some(*index),
            Course::Backfill(open) => open.query,
            Course::Live | Course::Sweep(_) => None,
        }
    }

    /// The query at hand, live or in a backfill.
    pub(super) fn query_at_hand(&self) -> Option<&'a HuntingQuery> {
        self.settings.queries.get(self.query_index()?)
    }

    /// The key of the hashes of the records at hand.
    pub(super) fn record_key(&self) -> HashKey {
        let hunt = self.query_index().and_then(|index| self.hunts.get(index));
        hunt.map_or(self.hash_key, |hunt| hunt.key)
    }

    /// Whether the whole list is read at once, without a window of event time.
    pub(super) fn is_snapshot_at_hand(&self) -> bool {
        let is_whole = self.query_at_hand().is_some_and(|query| query.span == QuerySpan::Whole);
        is_whole || self.settings.service.query.is_snapshot()
    }

    /// Time between two pulls of what is at hand.
    pub(super) fn period_at_hand(&self) -> SignedDuration {
        self.query_at_hand().map_or(self.settings.request_period, |query| query.period)
    }

    /// Time between two pulls of the snapshot that is taken least often. A commit may hold rows of several queries, so it
    /// counts for all of them.
    pub(super) fn longest_period_of_snapshots(&self) -> Option<SignedDuration> {
        if self.settings.service.query.is_hunting() {
            let snapshots = self.settings.queries.iter().filter(|query| query.span == QuerySpan::Whole);
            return snapshots.map(|query| query.period).max();
        }
        self.settings.service.query.is_snapshot().then_some(self.settings.request_period)
    }

    /// The next window of a query: from where its last cycle ended, less the look-back, and as far back as its range.
    pub(super) fn next_window_of_query(
        &mut self,
        index: usize,
        max: SignedDuration,
        now: Timestamp,
    ) -> Option<Window> {
        let hunt = self.hunts.get(index)?;
        let place = &hunt.next;
        if hunt.query.span == QuerySpan::Whole {
            // One that was left is followed by a fresh one only when it began so long ago that this is due.
            let last = place.complete_to_in_utc.filter(|_| hunt.windows > 0);
            let is_wanted = last.is_none_or(|taken| due_after(taken, hunt.query.period) <= self.started);
            let taken = whole_second(now);
            return is_wanted.then_some(Window { from: taken, to: taken });
        }
        if hunt.windows > 0 && place.walk.cursor.is_none() {
            return None;
        }
        let reached = place.reached();
        let begin = reached.cursor.unwrap_or_else(|| self.begin_of_cycle(hunt, now));
        let bounds = Bounds { start: begin, ..self.bounds(max, now) };
        let Plan { window, gap } =
            plan(&Reached { cursor: Some(begin), fresh_since: None, ..reached }, &bounds);
        if let Some(gap) = gap {
            self.warn_of_gap(gap, window.from);
        }
        if let Some(hunt) = self.hunts.get_mut(index) {
            hunt.next.start_time_in_utc.get_or_insert(window.from);
        }
        Some(window)
    }

    fn begin_of_cycle(&self, hunt: &Hunt<'_>, now: Timestamp) -> Timestamp {
        let place = &hunt.next;
        let given = self.settings.start_time;
        let in_range = hunt.query.range.map(|range| earlier(now, range).max(self.oldest_to_ask(now)));
        let read_to = [place.complete_to_in_utc, place.fresh_since_in_utc].into_iter().flatten().min();
        let Some(read_to) = read_to else {
            let reach = self.settings.older_start.reach.unwrap_or(DEFAULT_START);
            return given.or(in_range).unwrap_or_else(|| earlier(now, reach));
        };
        let start = place.start_time_in_utc.unwrap_or(Timestamp::MIN);
        let near = earlier(read_to, self.settings.lookback).max(start);
        // The range may reach further back than where the query once started, but not beyond what the document says.
        in_range.map_or(near, |far| near.min(far.max(given.unwrap_or(Timestamp::MIN))))
    }

    /// A window of a query is complete.
    pub(super) fn query_window_done(&mut self, index: usize, window: &Window, read_at: Timestamp) {
        let (lookback, started) = (self.settings.lookback, self.started);
        let Some(hunt) = self.hunts.get_mut(index) else { return };
        hunt.windows += 1;
        let place = &mut hunt.next;
        match hunt.query.span {
            QuerySpan::Whole => {
                place.complete_to_in_utc = place.complete_to_in_utc.max(Some(window.to));
                place.fresh_since_in_utc = None;
                place.walk.cursor = None;
            }
            QuerySpan::Window => {
                let reached = complete(&place.reached(), window, lookback, read_at);
                place.complete_to_in_utc = reached.complete_to;
                place.fresh_since_in_utc = reached.fresh_since;
                let is_behind = later(window.to, hunt.query.period) < started;
                place.walk.cursor = reached.cursor.or(is_behind.then_some(window.to));
            }
        }
        self.note_furthest_behind();
    }
}
