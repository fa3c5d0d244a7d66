//! What is owed: spans of time of which the API gave only a part.
//!
//! Where several providers answer one request together, one that fails is missing in an answer that is no failure. What
//! the others gave is delivered and the walk goes on, but the span from there on is read again with each cycle until an
//! answer misses nothing; the record memory drops the repeats. A provider that stays silent for a day is given up, with a
//! warning that names the span: the whole list would be read again for ever.

use jiff::SignedDuration;

use crate::ports::{Sink, Source, StateStore};
use crate::window::{Reached, Window};

use super::Run;

/// No span is read again for longer.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// A page of the window at hand misses something, in these words.
    pub(super) fn note_missing(&mut self, window: &Window, what: &str) {
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

    /// A window is complete, or complete but for what is missing in it.
    pub(super) fn settle_what_is_owed(&mut self, window: &Window) {
        if !self.course.is_live() {
            return;
        }
        let read_to = self.next.complete_to_in_utc;
        let owed = self.next.owed_from_in_utc;
        if !self.walk().is_partial {
            // Parts of what is owed may lie in the windows behind this one.
            let is_rest = |from| from > window.to || read_to.is_some_and(|end| end > window.to);
            self.next.owed_from_in_utc = owed.filter(|from| is_rest(*from)).map(|from| from.max(window.to));
            return;
        }
        let from = owed.unwrap_or_else(|| read_to.map_or(window.from, |end| end.max(window.from)));
        if window.to.duration_since(from) <= LONGEST {
            self.next.owed_from_in_utc = Some(from);
            return;
        }
        self.next.owed_from_in_utc = None;
        let to = window.to;
        self.warn(format!(
            "parts of the records from {from} to {to} were missing for a day and are given up"
        ));
    }
}
