//! Which span of event time is asked for next.
//!
//! Windows come in *cycles*. A cycle begins behind the newest record, reaching back for late arrivals, and lays windows
//! end to end until one of them reaches the present; then the service is up to date. Laying them end to end, with the
//! look-back only at the start of a cycle, means that a look-back longer than the longest window still makes progress.
//! A cycle that outlasts its look-back leaves behind when its first fresh window was read: the next cycle starts there.
//! Where records go on to change until their end, a cycle begins at the oldest that has none yet, if that is earlier.
//!
//! The timer's time is never used: a missed tick costs nothing.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A span of event time; both ends are whole seconds and belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its start.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
}

impl Window {
    /// Its length.
    pub fn span(&self) -> SignedDuration {
        self.to.duration_since(self.from)
    }

    /// The first half, unless it is too short to be halved.
    pub fn halved(&self) -> Option<Self> {
        self.half_of_at_least(SHORTEST_HALF)
    }

    /// The first half, as long as that has a second.
    pub fn halved_to_seconds(&self) -> Option<Self> {
        self.half_of_at_least(SignedDuration::from_secs(1))
    }

    fn half_of_at_least(&self, least: SignedDuration) -> Option<Self> {
        let half = SignedDuration::from_secs(self.span().as_secs() / 2);
        (half >= least).then(|| Self { from: self.from, to: later(self.from, half) })
    }
}

/// Below this a query that is still too heavy is a failure of the API, not a matter of its size.
const SHORTEST_HALF: SignedDuration = SignedDuration::from_secs(30);

/// How far a service has read, as far as the next window depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reached {
    /// Newest record seen; none is dated after the instant it was seen at.
    pub newest: Option<Timestamp>,
    /// End of the last complete window.
    pub complete_to: Option<Timestamp>,
    /// When the first window of the last cycle that could still miss late arrivals was read.
    pub fresh_since: Option<Timestamp>,
    /// Event time of the oldest record that is known to have no end yet: a cycle begins no later.
    pub unfinished_from: Option<Timestamp>,
    /// Where the next window of an unfinished cycle begins.
    pub cursor: Option<Timestamp>,
}

/// What limits a window.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Where the service starts: nothing before it is wanted.
    pub start: Timestamp,
    /// The oldest instant that the API still keeps.
    pub oldest: Timestamp,
    /// Longest window.
    pub max: SignedDuration,
    /// Reach of a cycle behind the newest record.
    pub lookback: SignedDuration,
    /// The present.
    pub now: Timestamp,
}

/// A planned window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The window.
    pub window: Window,
    /// Records of this span will never be asked for, because the API keeps them no longer.
    pub gap: Option<Window>,
}

/// Lays the next window.
pub fn plan(reached: &Reached, bounds: &Bounds) -> Plan {
    let now = whole_second(bounds.now);
    let read_before = [reached.newest, reached.complete_to, reached.fresh_since].into_iter().flatten().min();
    let wanted = match (reached.cursor, read_before) {
        (Some(cursor), _) => cursor,
        (None, Some(instant)) => {
            let behind = earlier(instant, bounds.lookback);
            reached.unfinished_from.map_or(behind, |oldest| oldest.min(behind)).max(bounds.start)
        }
        (None, None) => bounds.start,
    };
    let unread = reached.complete_to.map_or(wanted, |complete| complete.max(wanted));
    let oldest = ceiling(bounds.oldest);
    let gap = (unread < oldest).then_some(Window { from: unread, to: oldest });
    let from = whole_second(wanted).max(oldest).min(now);
    Plan { window: Window { from, to: later(from, bounds.max).min(now) }, gap }
}

/// What a complete window means for the next ones. `read_at` is when its first page was asked for.
pub fn complete(reached: &Reached, window: &Window, lookback: SignedDuration, read_at: Timestamp) -> Reached {
    let cycle_ends = window.to >= whole_second(read_at);
    let begins_cycle = reached.cursor.is_none();
    let fresh_before = if begins_cycle { None } else { reached.fresh_since };
    let is_fresh = later(window.to, lookback) > read_at;
    Reached {
        newest: reached.newest,
        complete_to: Some(reached.complete_to.map_or(window.to, |complete| complete.max(window.to))),
        fresh_since: fresh_before.or(is_fresh.then(|| whole_second(read_at))),
        unfinished_from: reached.unfinished_from,
        cursor: (!cycle_ends).then_some(window.to),
    }
}

/// The instant without its fraction of a second.
pub fn whole_second(instant: Timestamp) -> Timestamp {
    let seconds = instant.as_second() - i64::from(instant.subsec_nanosecond() < 0);
    Timestamp::from_second(seconds).unwrap_or(instant)
}

fn ceiling(instant: Timestamp) -> Timestamp {
    let floor = whole_second(instant);
    if floor == instant { floor } else { later(floor, SignedDuration::from_secs(1)) }
}

/// `instant + span`, no further than time goes.
pub fn later(instant: Timestamp, span: SignedDuration) -> Timestamp {
    instant.saturating_add(span).unwrap_or(Timestamp::MAX)
}

/// `instant − span`, no further than time goes.
pub fn earlier(instant: Timestamp, span: SignedDuration) -> Timestamp {
    instant.saturating_sub(span).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn seconds(count: i64) -> SignedDuration {
        SignedDuration::from_secs(count)
    }

    fn bounds(now: i64) -> Bounds {
        Bounds { start: at(1_000), oldest: at(0), max: seconds(500), lookback: seconds(60), now: at(now) }
    }

    fn planned(reached: Reached, bounds: Bounds) -> (i64, i64, Option<(i64, i64)>) {
        let plan = plan(&reached, &bounds);
        let gap = plan.gap.map(|gap| (gap.from.as_second(), gap.to.as_second()));
        (plan.window.from.as_second(), plan.window.to.as_second(), gap)
    }

    #[test]
    fn a_window_starts_behind_the_older_of_newest_record_and_last_window_but_never_before_start_or_retention()
    {
        let fresh = Reached::default();
        let read = Reached { newest: Some(at(1_900)), complete_to: Some(at(2_000)), ..fresh };
        let table = [
            (fresh, bounds(1_200), (1_000, 1_200, None)),
            (fresh, bounds(9_000), (1_000, 1_500, None)),
            (read, bounds(2_100), (1_840, 2_100, None)),
            (Reached { newest: Some(at(1_030)), ..read }, bounds(2_100), (1_000, 1_500, None)),
            (Reached { newest: None, ..read }, bounds(2_100), (1_940, 2_100, None)),
            (Reached { fresh_since: Some(at(1_700)), ..read }, bounds(2_100), (1_640, 2_100, None)),
            (Reached { cursor: Some(at(1_500)), ..read }, bounds(2_100), (1_500, 2_000, None)),
            // What is unfinished: without a look-back of its own, no later than that of the others, and no gap.
            (Reached { unfinished_from: Some(at(1_700)), ..read }, bounds(2_100), (1_700, 2_100, None)),
            (Reached { unfinished_from: Some(at(1_880)), ..read }, bounds(2_100), (1_840, 2_100, None)),
            (Reached { unfinished_from: Some(at(900)), ..read }, bounds(2_100), (1_000, 1_500, None)),
            (
                Reached { unfinished_from: Some(at(1_200)), ..read },
                Bounds { oldest: at(1_600), ..bounds(2_050) },
                (1_600, 2_050, None),
            ),
            (
                Reached { unfinished_from: Some(at(1_200)), cursor: Some(at(1_950)), ..read },
                bounds(2_050),
                (1_950, 2_050, None),
            ),
            (fresh, Bounds { oldest: at(1_100), ..bounds(1_200) }, (1_100, 1_200, Some((1_000, 1_100)))),
            (read, Bounds { oldest: at(1_990), ..bounds(2_100) }, (1_990, 2_100, None)),
            (read, Bounds { oldest: at(2_050), ..bounds(2_100) }, (2_050, 2_100, Some((2_000, 2_050)))),
        ];
        for (reached, bounds, expected) in table {
            assert_eq!(planned(reached, bounds), expected, "{reached:?} {bounds:?}");
        }
    }

    #[test]
    fn half_a_window_keeps_its_start_and_a_minute_is_the_least_to_halve() {
        let window = Window { from: at(0), to: at(121) };
        assert_eq!(window.halved(), Some(Window { from: at(0), to: at(60) }));
        assert_eq!(Window { from: at(0), to: at(59) }.halved(), None);
        assert_eq!(
            Window { from: at(0), to: at(3) }.halved_to_seconds(),
            Some(Window { from: at(0), to: at(1) })
        );
        assert_eq!(Window { from: at(0), to: at(1) }.halved_to_seconds(), None);
    }

    proptest! {
        /// Records arrive up to the look-back late while windows are read with pauses; each must be inside a window
        /// that was read after it arrived.
        #[test]
        fn every_record_up_to_the_lookback_late_is_inside_a_later_window(
            records in prop::collection::vec((0i64..5_000, 0i64..=60), 1..30),
            pauses in prop::collection::vec(0i64..400, 1..40),
            max in 1i64..400,
        ) {
            let (start, lookback) = (at(0), seconds(60));
            let mut waiting: Vec<(i64, i64)> = records.iter().map(|(event, late)| (*event, event + late)).collect();
            let mut reached = Reached::default();
            let (mut now, mut windows) = (0i64, 0u32);
            let mut pauses = pauses.into_iter().cycle();
            while now < 6_000 || reached.cursor.is_some() {
                let bounds = Bounds { start, oldest: start, max: seconds(max), lookback, now: at(now) };
                let window = plan(&reached, &bounds).window;
                let inside = |event: i64| window.from <= at(event) && at(event) <= window.to;
                let newest = waiting.iter().filter(|(event, arrival)| inside(*event) && *arrival <= now).map(|(event, _)| at(*event)).max();
                waiting.retain(|(event, arrival)| !(inside(*event) && *arrival <= now));
                reached.newest = reached.newest.max(newest);
                reached = complete(&reached, &window, lookback, at(now));
                // A pause between windows of a cycle is time the reading took; it must stay shorter than a window.
                now += if reached.cursor.is_some() { pauses.next().unwrap_or(1) % max.max(2) } else { 1 + pauses.next().unwrap_or(1) };
                windows += 1;
                prop_assert!(windows < 100_000, "stuck at {reached:?}");
            }
            prop_assert!(waiting.is_empty(), "missed {waiting:?}");
        }
    }
}
