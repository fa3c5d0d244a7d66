//! Which of several like things a script strikes.

/// Which of the requests or connections that a rule is meant for it strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occurrence {
    /// Each of them.
    Every,
    /// The n-th, counted from 1.
    Nth(u64),
    /// The first n.
    First(u64),
}

impl Occurrence {
    /// Whether the one with that number, counted from 1, is struck.
    pub(crate) fn includes(self, number: u64) -> bool {
        match self {
            Self::Every => true,
            Self::Nth(nth) => number == nth,
            Self::First(first) => number <= first,
        }
    }
}
