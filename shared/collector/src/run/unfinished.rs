//! What is unfinished: records that go on to change while their end is null, though only their start can be asked for.
//!
//! Each cycle begins at the oldest of them at the latest, so it meets them all; the oldest that it met is where the next
//! one begins. One that ended is met once more, with its end, and no cycle begins for its sake again. One that never ends is
//! met for as long as the API keeps it. While a cycle is at work, what it met so far is kept apart: only the whole of it
//! knows the oldest.

use jiff::Timestamp;

use crate::instant;
use crate::message::Picked;
use crate::ports::{Sink, Source, StateStore};
use crate::window::Reached;

use super::Run;
use super::course::Course;

/// What stands in the place of an end that is still to come.
const NO_END_YET: &[u8] = b"null";

/// The event time of a record that has no end yet. Without one, or where it says nothing of its end, it counts as ended.
pub(super) fn unfinished_since(picked: &Picked<'_>) -> Option<Timestamp> {
    picked.event_time.filter(|_| picked.end_time == Some(NO_END_YET)).and_then(instant::of_member)
}

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// A record that began then has no end yet. A backfill says nothing of the live position.
    pub(super) fn note_unfinished(&mut self, since: Option<Timestamp>) {
        let Some(instant) = since.filter(|instant| *instant <= self.started.max(self.now())) else { return };
        let oldest = match self.course {
            Course::Live => &mut self.next.unfinished_so_far_in_utc,
            // It came late: the live windows of this time were read without it.
            Course::Sweep(_) => &mut self.next.unfinished_from_in_utc,
            Course::Query(_) | Course::Backfill(_) => return,
        };
        *oldest = earliest(*oldest, Some(instant));
    }

    /// A window is complete. If something was missing in it, that may have been what is unfinished.
    pub(super) fn settle_what_is_unfinished(&mut self) {
        if self.course.is_live() && self.walk().is_partial {
            self.next.unfinished_so_far_in_utc =
                earliest(self.next.unfinished_so_far_in_utc, self.next.unfinished_from_in_utc);
        }
    }

    /// All windows of a cycle are complete.
    pub(super) fn cycle_done(&mut self) {
        self.next.unfinished_from_in_utc = self.next.unfinished_so_far_in_utc.take();
    }

    /// How far the live walk came, as far as nothing is unfinished.
    pub(super) fn reached_by_finished(&self) -> Reached {
        Reached { unfinished_from: None, ..self.reached() }
    }
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    [one, other].into_iter().flatten().min()
}
