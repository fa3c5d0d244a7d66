//! The moving boundary: an ascending list is read by asking anew from the last record's instant on.
//!
//! Links that count rows lose their place when the list changes, and end before a long list does; an instant does neither.
//! The bound is inclusive, so that records of the same instant are not lost: they come again, and the record memory drops
//! them. A link is followed only where the time cannot move: while whole pages have one instant, or no readable one. A
//! page out of order ends the moving for the rest of the walk, because what the boundary passes over is never asked for.
//!
//! So a walk ends: the boundary only grows, and a circle of links is noticed elsewhere.

use jiff::Timestamp;

use crate::paging::trail::Trail;

/// How a walk goes on behind a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// With a new first page, from this instant on.
    MoveTo(Timestamp),
    /// With the API's link, under this trail; without one it is over.
    Follow(Trail),
}

/// Whether the API gave a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiLink {
    /// It did.
    Given,
    /// It did not.
    None,
}

/// The step behind a page whose records have these times, in their order; `window_to` is the end of what is asked for.
pub(crate) fn step(trail: Trail, window_to: Timestamp, times: &[Timestamp], link: ApiLink) -> Step {
    let reached = match trail {
        Trail::From(instant) | Trail::Behind(instant) => instant,
        Trail::Unordered => return Step::Follow(Trail::Unordered),
    };
    let (Some(&first), Some(&last)) = (times.first(), times.last()) else {
        return Step::Follow(Trail::Behind(reached));
    };
    let goes_back = matches!(trail, Trail::Behind(_)) && first < reached;
    if goes_back || !times.is_sorted() {
        return Step::Follow(Trail::Unordered);
    }
    let goal = last.min(window_to);
    if goal <= reached {
        return Step::Follow(Trail::Behind(reached));
    }
    // One instant shows no order: the API may have begun with the newest. The page behind the link will show it.
    if matches!(trail, Trail::From(_)) && first == last && link == ApiLink::Given {
        return Step::Follow(Trail::Behind(last));
    }
    Step::MoveTo(goal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_step_depends_on_the_trail_the_times_and_the_link() {
        use ApiLink::{Given, None};
        use Step::{Follow, MoveTo};
        use Trail::{Behind, From, Unordered};
        let table: [(&str, Trail, &[i64], ApiLink, Step); 20] = [
            ("later records move it", From(at(1)), &[1, 2, 3], Given, MoveTo(at(3))),
            ("without a link, too", From(at(1)), &[1, 2, 3], None, MoveTo(at(3))),
            ("a lone later record moves it", From(at(1)), &[2], None, MoveTo(at(2))),
            ("ties at the end are asked for again", From(at(1)), &[1, 3, 3], Given, MoveTo(at(3))),
            ("beyond the end there is nothing", From(at(1)), &[2, 99], Given, MoveTo(at(50))),
            ("at the end nothing moves", From(at(50)), &[50, 99], Given, Follow(Behind(at(50)))),
            ("the boundary's own instant stays", From(at(3)), &[3, 3], Given, Follow(Behind(at(3)))),
            ("the last page", From(at(3)), &[3, 3], None, Follow(Behind(at(3)))),
            ("records before the boundary stay, too", From(at(3)), &[1, 2], Given, Follow(Behind(at(3)))),
            ("a coarser bound gives earlier ones as well", From(at(3)), &[2, 3, 4], Given, MoveTo(at(4))),
            ("an empty page may have a link", From(at(3)), &[], Given, Follow(Behind(at(3)))),
            ("one instant shows no order", From(at(1)), &[7, 7], Given, Follow(Behind(at(7)))),
            ("behind it there is more of it", Behind(at(7)), &[7, 7], Given, Follow(Behind(at(7)))),
            ("behind it there is later", Behind(at(7)), &[7, 8], Given, MoveTo(at(8))),
            ("behind it there is only later", Behind(at(7)), &[8, 8], Given, MoveTo(at(8))),
            ("behind it there is earlier", Behind(at(7)), &[6, 6], Given, Follow(Unordered)),
            ("behind it the list begins anew", Behind(at(7)), &[6, 9], Given, Follow(Unordered)),
            ("a descending page", From(at(1)), &[3, 2], Given, Follow(Unordered)),
            ("a page in no order", From(at(1)), &[1, 3, 2, 4], None, Follow(Unordered)),
            ("once out of order, always so", Unordered, &[8, 9], Given, Follow(Unordered)),
        ];
        for (name, trail, seconds, link, expected) in table {
            let times: Vec<Timestamp> = seconds.iter().copied().map(at).collect();
            assert_eq!(step(trail, at(50), &times, link), expected, "{name}");
        }
    }
}
