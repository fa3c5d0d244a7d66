//! How a collection is walked page by page. One module a kind of paging; what they share is the guard of a walk.

pub(crate) mod odata;

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use collector::window::Window;

/// Remembers the page links of one walk through one window, so that a circle is noticed. Links have kilobytes and a walk
/// has thousands of pages: their hashes are kept.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    window: Option<Window>,
    seen: HashSet<u64>,
    hasher: RandomState,
}

/// The API gave a link that was followed before in the same walk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Circle;

impl Walk {
    /// Notes that the page at `link` was read, and the link to the page after it. The first page of a window begins a
    /// new walk. Reading the same page again is no circle.
    pub(crate) fn step(
        &mut self,
        window: Window,
        link: Option<&str>,
        next: Option<&str>,
    ) -> Result<(), Circle> {
        if link.is_none() || self.window != Some(window) {
            self.seen.clear();
            self.window = Some(window);
        }
        if let Some(link) = link {
            self.seen.insert(self.hasher.hash_one(link));
        }
        match next {
            Some(next) if self.seen.contains(&self.hasher.hash_one(next)) => Err(Circle),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(day: i64) -> Window {
        let from = jiff::Timestamp::from_second(day * 86_400).unwrap();
        Window { from, to: from + jiff::SignedDuration::from_hours(1) }
    }

    #[test]
    fn a_link_that_was_followed_before_is_a_circle() {
        let mut walk = Walk::default();
        assert_eq!(walk.step(window(1), None, Some("a")), Ok(()));
        assert_eq!(walk.step(window(1), Some("a"), Some("b")), Ok(()));
        assert_eq!(walk.step(window(1), Some("b"), Some("a")), Err(Circle));
    }

    #[test]
    fn a_page_that_links_to_itself_is_a_circle() {
        assert_eq!(Walk::default().step(window(1), Some("a"), Some("a")), Err(Circle));
    }

    #[test]
    fn the_same_page_may_be_read_again() {
        let mut walk = Walk::default();
        for _ in 0..3 {
            assert_eq!(walk.step(window(1), Some("a"), Some("b")), Ok(()));
        }
    }

    #[test]
    fn another_walk_may_follow_the_same_links() {
        let mut walk = Walk::default();
        for link in [None, Some("a"), None] {
            assert_eq!(walk.step(window(1), link, Some(if link.is_none() { "a" } else { "b" })), Ok(()));
        }
        assert_eq!(walk.step(window(1), Some("a"), Some("b")), Ok(()));
        assert_eq!(walk.step(window(2), Some("b"), Some("a")), Ok(()));
    }
}
