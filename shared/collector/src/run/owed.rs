//! What is owed: spans of time of which the API gave only a part.
//!
//! Where several providers answer one request together, one that fails is missing in an answer that is no failure. What
//! the others gave is delivered and the walk goes on, but from the start of such a window on everything is read again with
//! each cycle until its answers miss nothing; the record memory drops the repeats. So a debt is one instant: everything
//! from there to the end of the last complete window. Windows that are complete by now move it on, one after another; a
//! part that is missing still after a day of asking is given up, with a warning that names the span: some providers never
//! answer, and all would be read again for ever.

use jiff::{SignedDuration, Timestamp};

use crate::ports::{Sink, Source, StateStore};
use crate::window::{Reached, Window};

use super::Run;

/// So long the same span is asked for again.
const PATIENCE: SignedDuration = SignedDuration::from_hours(24);

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// A page of the window at hand misses something, in these words.
    pub(super) fn note_missing(&mut self, window: &Window, what: &str) {
        if self.settings.service.query.is_snapshot() {
            self.warn(format!("{what}: the list may lack something, until it is read the next time"));
            return;
        }
        let remedy = if self.course.is_live() { "; they are asked for again" } else { "" };
        self.warn(format!("{what}: records from {} to {} may be missing{remedy}", window.from, window.to));
        self.walk_mut().is_partial = true;
    }

    /// How far the live walk came, as far as nothing is owed.
    pub(super) fn owed(&self, reached: Reached) -> Reached {
        let owed = self.next.owed_from_in_utc;
        let complete_to =
            reached.complete_to.map(|complete| owed.map_or(complete, |from| from.min(complete)));
        Reached { complete_to, ..reached }
    }

    /// Nothing from before this instant can be read again: the warning about that is the caller's matter.
    pub(super) fn forget_what_is_owed_before(&mut self, instant: Timestamp) {
        self.next.owed_from_in_utc = self.next.owed_from_in_utc.map(|from| from.max(instant));
    }

    /// A window is complete, or complete but for what is missing in it. The position is still that before it.
    pub(super) fn settle_what_is_owed(&mut self, window: &Window) {
        if !self.course.is_live() {
            return;
        }
        let is_partial = self.walk().is_partial;
        let read_to = self.next.complete_to_in_utc;
        let Some(from) = self.next.owed_from_in_utc else {
            if is_partial {
                // What the look-back reads was complete before.
                self.owe(read_to.map_or(window.from, |end| end.max(window.from)));
            }
            return;
        };
        // A window that ends before the debt says nothing of it. Behind its start, what a window lacks is owed already, and
        // what is owed before the window is not settled by it.
        if window.to <= from || window.from > from {
            return;
        }
        let rest = read_to.filter(|end| *end > window.to).map(|_| window.to);
        match (is_partial, rest) {
            (false, Some(rest)) => self.owe(rest),
            (false, None) => self.owe_nothing(),
            (true, _) if self.is_asked_for_long_enough() => self.give_up(from, window),
            (true, _) => {}
        }
    }

    /// Of the debt from that instant on, what lies in the window is asked for no more.
    fn give_up(&mut self, from: Timestamp, window: &Window) {
        let read_to = self.next.complete_to_in_utc.unwrap_or(window.to);
        let to = window.to.min(read_to).max(from);
        self.warn(format!(
            "parts of the records from {from} to {to} were missing for a day and are given up; a backfill of that span \
             asks for them again"
        ));
        if read_to > window.to {
            // The rest is as old, and was not asked for in this cycle yet.
            self.next.owed_from_in_utc = Some(window.to);
        } else if window.to > to {
            self.owe(to);
        } else {
            self.owe_nothing();
        }
    }

    fn owe(&mut self, from: Timestamp) {
        self.next.owed_from_in_utc = Some(from);
        self.next.owed_since_in_utc = Some(self.now());
    }

    fn owe_nothing(&mut self) {
        self.next.owed_from_in_utc = None;
        self.next.owed_since_in_utc = None;
    }

    /// Whether the first part of the debt was asked for long enough. An instant from after now was noted by a clock that
    /// was wrong: the debt counts from now on.
    fn is_asked_for_long_enough(&mut self) -> bool {
        let now = self.now();
        let since = self.next.owed_since_in_utc.filter(|since| *since <= now).unwrap_or(now);
        self.next.owed_since_in_utc = Some(since);
        now.duration_since(since) > PATIENCE
    }
}
