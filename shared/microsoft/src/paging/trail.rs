//! What the pages of a walk have shown of its order so far, which decides what the next one means.
//!
//! A stored position is a link and nothing else, so what is known travels in the link's fragment, which is never sent: a
//! walk that goes on in another process goes on with the same knowledge. A link without it, or with one that cannot be
//! read, is of an unknown order, and nothing is left out because of it.

use jiff::Timestamp;

/// What is known where a page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trail {
    /// It is a request of our own, for the records from this instant on.
    From(Timestamp),
    /// It is a link of the API, on a page whose last record has this instant; everything before was in order.
    Behind(Timestamp),
    /// It is a link of the API in a walk whose order is not known.
    Unordered,
}

impl Trail {
    /// The link with this trail, in place of any fragment that it has.
    pub(crate) fn mark(self, link: &str) -> String {
        let bare = link.split('#').next().unwrap_or_default();
        match self {
            Self::From(instant) => format!("{bare}#from={instant}"),
            Self::Behind(instant) => format!("{bare}#behind={instant}"),
            Self::Unordered => format!("{bare}#unordered"),
        }
    }

    /// The link as it is asked for, and its trail.
    pub(crate) fn read(marked: &str) -> (&str, Self) {
        let (bare, fragment) = marked.split_once('#').unwrap_or((marked, ""));
        let instant = |text: &str| text.parse().ok();
        let trail = match fragment.split_once('=') {
            Some(("from", text)) => instant(text).map(Self::From),
            Some(("behind", text)) => instant(text).map(Self::Behind),
            _ => None,
        };
        (bare, trail.unwrap_or(Self::Unordered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_comes_back_from_its_link_with_every_digit() {
        let instant: Timestamp = "2026-11-20T10:00:00.1234567Z".parse().unwrap();
        for trail in [Trail::From(instant), Trail::Behind(instant), Trail::Unordered] {
            let marked = trail.mark("https://x.example/a?b=c%23");
            assert_eq!(Trail::read(&marked), ("https://x.example/a?b=c%23", trail), "{marked}");
        }
    }

    #[test]
    fn a_fragment_of_the_api_says_nothing() {
        let marked = Trail::Unordered.mark("https://x.example/a#from=2026-11-20T10:00:00Z");
        assert_eq!(marked, "https://x.example/a#unordered");
    }

    #[test]
    fn a_link_without_a_readable_trail_is_of_an_unknown_order() {
        for fragment in ["", "#", "#from=", "#behind=soon", "#from", "#other=2026-11-20T10:00:00Z"] {
            let marked = format!("https://x.example/a{fragment}");
            assert_eq!(Trail::read(&marked), ("https://x.example/a", Trail::Unordered), "{fragment}");
        }
    }
}
