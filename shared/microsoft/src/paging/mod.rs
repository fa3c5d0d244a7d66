//! How a collection is walked page by page. One module a kind of paging; what they share is the guard of a walk, the rule
//! for following a link, and the words for a body that is no page.

mod boundary;
pub(crate) mod content;
mod digest;
pub(crate) mod link;
mod newest;
pub(crate) mod odata;
pub(crate) mod parts;
pub(crate) mod rows;
mod slices;
pub(crate) mod times;
mod trail;

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use collector::window::Window;
use serde_json::error::Category;

use crate::complaint::describe_text;

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
    /// Whether a page of the window was read before, and none of another one since.
    pub(crate) fn is_begun(&self, window: Window) -> bool {
        self.window == Some(window)
    }

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

/// Why a body is no page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It ends in the middle of a value: the connection may have broken off.
    EndsEarly(String),
    /// It is something else.
    NotAPage(String),
}

impl Flaw {
    /// What the parser found. `wrong_type` is said of JSON of another shape.
    pub(crate) fn of(body: &[u8], error: &serde_json::Error, wrong_type: &str) -> Self {
        let place = byte_offset(body, error.line(), error.column());
        match error.classify() {
            Category::Eof => Self::EndsEarly(format!("the JSON ends early at byte {place}")),
            Category::Data => Self::NotAPage(format!("{wrong_type} at byte {place}")),
            _ if matches!(body.trim_ascii_start().first(), Some(b'<')) => Self::NotAPage(describe_text(body)),
            _ => Self::NotAPage(format!("not JSON at byte {place}")),
        }
    }
}

/// The parser counts lines and columns; an operator who looks at a capture counts bytes.
pub(crate) fn byte_offset(body: &[u8], line: usize, column: usize) -> usize {
    let lines_before: usize =
        body.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    lines_before + column
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
