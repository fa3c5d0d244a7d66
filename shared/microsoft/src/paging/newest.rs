//! The newest days: a list of one record a day that comes newest first and takes no filter on its time.
//!
//! As many days are asked for as the window has, back from the present. What is asked for may come in several pages; they
//! are read until one is older than the window, if everything so far came newest first, or else to their end. Left out are
//! records newer than the window, and behind the first page older ones.

use collector::window::Window;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::paging::trail::Trail;

/// The API keeps 90 days; the first and the last of them may be cut in two.
const MOST_DAYS: i64 = 91;

/// How many of the newest days hold the window, if the newest is of the present day.
pub(crate) fn days(window: Window, now: Timestamp) -> i64 {
    let day = |instant: Timestamp| instant.to_zoned(TimeZone::UTC).date();
    let newest = day(window.to.max(now));
    let span = newest.duration_since(day(window.from)).as_hours() / 24;
    span.saturating_add(1).clamp(1, MOST_DAYS)
}

/// The trail of the link behind a page whose records have these times, in their order; `None` where everything behind it
/// is older than the window.
pub(crate) fn behind(trail: Trail, window_from: Timestamp, times: &[Timestamp]) -> Option<Trail> {
    let before = match trail {
        Trail::From(_) => None,
        Trail::Behind(instant) => Some(instant),
        Trail::Unordered => return Some(Trail::Unordered),
    };
    let (Some(&first), Some(&last)) = (times.first(), times.last()) else { return Some(trail) };
    let begins_at = before.unwrap_or(first);
    if first > begins_at || !times.is_sorted_by(|newer, older| newer >= older) {
        return Some(Trail::Unordered);
    }
    // One instant shows no order: the API may have begun with the oldest.
    let is_shown = begins_at > last;
    (first >= window_from || !is_shown).then_some(Trail::Behind(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_days_from_the_windows_start_to_the_present_are_asked_for() {
        let table = [
            ("2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z", "2026-11-20T11:00:00Z", 1),
            ("2026-11-19T23:59:59Z", "2026-11-20T00:00:00Z", "2026-11-20T00:00:00Z", 2),
            ("2026-08-22T12:00:00Z", "2026-11-20T12:00:00Z", "2026-11-20T12:00:00Z", 91),
            ("2020-01-01T00:00:00Z", "2026-11-20T12:00:00Z", "2026-11-20T12:00:00Z", 91),
            // A backfill of a week that is long past.
            ("2026-10-01T00:00:00Z", "2026-10-08T00:00:00Z", "2026-11-20T12:00:00Z", 51),
            ("2026-11-20T10:00:00Z", "2026-11-22T10:00:00Z", "2026-11-20T12:00:00Z", 3),
        ];
        for (from, to, now, expected) in table {
            let window = Window { from: from.parse().unwrap(), to: to.parse().unwrap() };
            assert_eq!(days(window, now.parse().unwrap()), expected, "{from} to {to}");
        }
    }

    #[test]
    fn pages_are_read_until_one_is_older_if_the_newest_came_first() {
        use Trail::{Behind, From, Unordered};
        let table: [(&str, Trail, &[i64], Option<Trail>); 13] = [
            ("a page of the window", From(at(50)), &[70, 60, 50], Some(Behind(at(50)))),
            ("a page with an older end", From(at(50)), &[70, 30], Some(Behind(at(30)))),
            ("an older page at the beginning", From(at(50)), &[40, 30], None),
            ("an older page later on", Behind(at(60)), &[40, 30], None),
            ("a lone older record behind newer ones", Behind(at(60)), &[40], None),
            ("a lone older record shows no order", From(at(50)), &[40], Some(Behind(at(40)))),
            ("nor does a second one", Behind(at(40)), &[40], Some(Behind(at(40)))),
            ("a newer one behind it does", Behind(at(40)), &[60], Some(Unordered)),
            ("an ascending page", From(at(50)), &[10, 20], Some(Unordered)),
            ("a page in no order", Behind(at(90)), &[80, 10, 20], Some(Unordered)),
            ("once out of order, always so", Unordered, &[40, 30], Some(Unordered)),
            ("an empty page", Behind(at(60)), &[], Some(Behind(at(60)))),
            ("an empty page at the beginning", From(at(50)), &[], Some(From(at(50)))),
        ];
        for (name, trail, seconds, expected) in table {
            let times: Vec<Timestamp> = seconds.iter().copied().map(at).collect();
            assert_eq!(behind(trail, at(50), &times), expected, "{name}");
        }
    }
}
