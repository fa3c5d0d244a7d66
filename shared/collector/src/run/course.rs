//! Where a walk leads: the live windows, the late sweep, one of the operator's own queries, or a backfill.
//!
//! All of them are walks through windows that can be left at any page and taken up again; they differ in where their place
//! is kept and where the next window lies. One of them is at hand at any time, and reading, recovering and delivering do
//! not ask which. Only the live walk moves the service's position.

use jiff::{SignedDuration, Timestamp};

use crate::checkpoint::Walk;
use crate::ports::{Sink, Source, StateStore};
use crate::window::{Bounds, Reached, Window, complete, earlier, later, plan, whole_second};

use super::Run;
use super::backfill::Open;
use super::lease::due_after;
use super::sweep::Share;

/// Which walk is at hand.
#[derive(Debug)]
pub(super) enum Course {
    /// Through the live windows.
    Live,
    /// Through hours that were read before, for what came late; no further than this share allows.
    Sweep(Share),
    /// Through the windows of the operator's own query of this index.
    Query(usize),
    /// Through the windows of a backfill.
    Backfill(Box<Open>),
}

impl Course {
    /// The backfill, if it is one.
    pub(super) fn backfill(&self) -> Option<&Open> {
        match self {
            Self::Backfill(open) => Some(open),
            Self::Live | Self::Sweep(_) | Self::Query(_) => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn backfill_mut(&mut self) -> Option<&mut Open> {
        match self {
            Self::Backfill(open) => Some(open),
            Self::Live | Self::Sweep(_) | Self::Query(_) => None,
        }
    }

    /// Whether it is the live walk, which alone moves the position.
    pub(super) fn is_live(&self) -> bool {
        matches!(self, Self::Live)
    }

    /// Whether it is the late sweep.
    pub(super) fn is_sweep(&self) -> bool {
        matches!(self, Self::Sweep(_))
    }
}

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// The window at hand, or else the next one, opened; none when there is nothing left to read.
    pub(super) fn next_window(&mut self) -> Option<Window> {
        let query =
            self.query_at_hand().map_or_else(|| self.ports.source.fingerprint(), |query| query.name.clone());
        let now = self.now();
        let window = match self.left_window(now) {
            Some(left) => left,
            None => {
                let planned = self.plan_window(now)?;
                self.walk_mut().open(planned, now);
                planned
            }
        };
        // A link of another query would go on with the old filter.
        if self.walk().query.as_ref() != Some(&query) {
            self.walk_mut().next_link = None;
            self.walk_mut().query = Some(query);
        }
        self.restarts = 0;
        Some(window)
    }

    /// The window that was left half-way, as far as the API still keeps its records.
    fn left_window(&mut self, now: Timestamp) -> Option<Window> {
        let left = self.walk().window()?;
        let oldest = earlier(now, self.settings.service.window.retention);
        let from = later(whole_second(oldest), SignedDuration::from_secs(1));
        let is_snapshot = self.is_snapshot_at_hand();
        let is_of_other_span = self.is_of_other_span(&left);
        if is_snapshot && !is_of_other_span && !self.is_overdue_snapshot(&left) {
            return Some(left);
        }
        if left.to <= from || is_snapshot || is_of_other_span {
            self.walk_mut().close();
            return None;
        }
        // A page link may lead on where a new query could not.
        if left.from >= oldest || self.walk().next_link.is_some() {
            return Some(left);
        }
        // What a sweep comes too late for was read in its time, and so may what a query reads once more.
        let unread = self.unread_from(&left);
        if unread < from && !self.course.is_sweep() {
            self.warn_of_gap(Window { from: unread, to: from }, from);
        }
        let kept = Window { from, to: left.to };
        self.walk_mut().open(kept, now);
        Some(kept)
    }

    /// What of a window was not read before begins there.
    pub(super) fn unread_from(&self, window: &Window) -> Timestamp {
        let known_to = match &self.course {
            Course::Live => self.owed(self.reached()).complete_to,
            Course::Query(index) => self.query_complete_to(*index),
            Course::Sweep(_) | Course::Backfill(_) => None,
        };
        known_to.map_or(window.from, |complete| complete.max(window.from))
    }

    /// A snapshot of which no page was read to its end is begun anew once the next one is due, unless that page is being
    /// enriched.
    fn is_overdue_snapshot(&self, left: &Window) -> bool {
        self.walk().next_link.is_none()
            && self.walk().enriching.is_none()
            && due_after(left.from, self.period_at_hand()) <= self.started
    }

    /// A query that became a snapshot, or is none any more, has no use for what was left of the other.
    fn is_of_other_span(&self, left: &Window) -> bool {
        self.query_at_hand().is_some() && self.is_snapshot_at_hand() != left.span().is_zero()
    }

    pub(super) fn warn_of_gap(&mut self, gap: Window, start: Timestamp) {
        let days = self.settings.service.window.retention.as_hours() / 24;
        let text = format!(
            "records from {} to {} cannot be had: the API keeps them for {days} days; pulling starts at {start}",
            gap.from, gap.to
        );
        if self.committed.is_retired() {
            self.gaps.push(text);
        } else {
            self.warn(text);
        }
    }

    fn plan_window(&mut self, now: Timestamp) -> Option<Window> {
        let max = self.narrowed.map_or(self.settings.window_max, |span| span.min(self.settings.window_max));
        match &self.course {
            Course::Backfill(open) => return open.next_window(max, self.oldest_to_ask(now)),
            Course::Sweep(_) => return self.next_swept_window(max, now),
            Course::Query(index) => return self.next_window_of_query(*index, max, now),
            Course::Live if self.settings.service.query.is_snapshot() => return self.next_snapshot(now),
            Course::Live => {}
        }
        if self.report.windows > 0 && self.next.walk.cursor.is_none() {
            return None;
        }
        let planned = plan(&self.owed(self.reached()), &self.bounds(max, now));
        if let Some(gap) = planned.gap {
            self.warn_of_gap(gap, planned.window.from);
        }
        if self.next.walk.cursor.is_none() {
            self.forget_what_is_owed_before(planned.window.from);
        }
        Some(planned.window)
    }

    /// A snapshot has the span of an instant: that of its beginning. One that was left half-way is followed by a fresh one
    /// only when it began so long ago that this is due.
    fn next_snapshot(&self, now: Timestamp) -> Option<Window> {
        let last = self.next.complete_to_in_utc.filter(|_| self.report.windows > 0);
        let is_wanted =
            last.is_none_or(|taken| due_after(taken, self.settings.request_period) <= self.started);
        let taken = whole_second(now);
        is_wanted.then_some(Window { from: taken, to: taken })
    }

    /// What limits the live windows.
    pub(super) fn bounds(&self, max: SignedDuration, now: Timestamp) -> Bounds {
        Bounds {
            start: self.next.start_time_in_utc.unwrap_or(now),
            oldest: earlier(now, self.settings.service.window.retention),
            max,
            lookback: self.settings.lookback,
            now,
        }
    }

    /// The first whole second whose records the API keeps for another moment.
    pub(super) fn oldest_to_ask(&self, now: Timestamp) -> Timestamp {
        let oldest = earlier(now, self.settings.service.window.retention);
        whole_second(later(oldest, SignedDuration::from_secs(1)))
    }

    /// Widens the answer's window. Hours that a sweep reads again are left out: they say nothing of the position.
    pub(super) fn note_window(&mut self, window: &Window) {
        if !self.course.is_sweep() {
            self.report.note_window(window);
        }
    }

    pub(super) fn window_done(&mut self, window: &Window) {
        let read_at = self.walk().read_at.unwrap_or(self.started);
        self.settle_what_is_owed(window);
        self.settle_what_is_unfinished();
        self.note_swept(window.to);
        self.walk_mut().close();
        self.narrowed = self
            .narrowed
            .and_then(|span| span.checked_mul(2))
            .filter(|span| *span < self.settings.window_max);
        if self.course.is_sweep() {
            self.next.late_sweep.walk.cursor = Some(window.to);
            return;
        }
        self.report.windows += 1;
        if let Course::Query(index) = self.course {
            self.query_window_done(index, window, read_at);
            return;
        }
        let query = self.query_at_hand();
        if let Some(open) = self.course.backfill_mut() {
            open.window_done(window, query);
            return;
        }
        if self.settings.service.query.is_snapshot() {
            self.next.complete_to_in_utc = Some(window.to);
            return;
        }
        let reached = complete(&self.reached(), window, self.settings.lookback, read_at);
        self.next.complete_to_in_utc = reached.complete_to;
        self.next.fresh_since_in_utc = reached.fresh_since;
        // A window that was left hours ago ends where the present was then.
        let is_behind = later(window.to, self.settings.request_period) < self.started;
        self.next.walk.cursor = reached.cursor.or(is_behind.then_some(window.to));
        if self.next.walk.cursor.is_none() {
            self.cycle_done();
        }
    }

    pub(super) fn reached(&self) -> Reached {
        Reached {
            newest: self.next.last_event_time_in_utc,
            complete_to: self.next.complete_to_in_utc,
            fresh_since: self.next.fresh_since_in_utc,
            unfinished_from: self.next.unfinished_from_in_utc,
            cursor: self.next.walk.cursor,
        }
    }

    pub(super) fn walk(&self) -> &Walk {
        match &self.course {
            Course::Live => &self.next.walk,
            Course::Sweep(_) => &self.next.late_sweep.walk,
            Course::Query(index) => self.hunts.get(*index).map_or(&self.next.walk, |hunt| &hunt.next.walk),
            Course::Backfill(open) => &open.walk,
        }
    }

    pub(super) fn walk_mut(&mut self) -> &mut Walk {
        match &mut self.course {
            Course::Live => &mut self.next.walk,
            Course::Sweep(_) => &mut self.next.late_sweep.walk,
            Course::Query(index) => match self.hunts.get_mut(*index) {
                Some(hunt) => &mut hunt.next.walk,
                None => &mut self.next.walk,
            },
            Course::Backfill(open) => &mut open.walk,
        }
    }
}
