//! Orders of a list, and the place of each row in one.
//!
//! A place is a rank, a text and the number of emission; the number decides among equals and always runs upwards, so
//! that a record that comes in at an instant already reached lies behind whoever is there.

use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::config::CloudAppsOrder;
use super::list::CloudAppsList;

/// Which way an order runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Ascending,
    Descending,
}

/// What an order goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The record's place in time.
    Place,
    /// That one of its instants.
    Instant(usize),
    /// The number or text at that path.
    Member(&'static str),
    /// The number of its emission.
    Number,
    /// A hash of that with the seed.
    Hash(u64),
}

/// An order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sort {
    pub(super) by: By,
    pub(super) direction: Direction,
}

/// A row's place in an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) rank: i64,
    pub(super) text: String,
    pub(super) number: u64,
}

impl Sort {
    /// The order of those who ask for none.
    pub(super) fn usual(order: CloudAppsOrder) -> Self {
        let (by, direction) = match order {
            CloudAppsOrder::Newest => (By::Place, Direction::Descending),
            CloudAppsOrder::Oldest => (By::Place, Direction::Ascending),
            CloudAppsOrder::Inserted => (By::Number, Direction::Ascending),
            CloudAppsOrder::Shuffled { seed } => (By::Hash(seed), Direction::Ascending),
        };
        Self { by, direction }
    }

    /// What a `sortField` of the list goes by; `None`: the list has no such.
    pub(super) fn field(list: CloudAppsList, name: &str) -> Option<By> {
        let is_offered = match list {
            CloudAppsList::Activities => matches!(name, "date" | "created"),
            CloudAppsList::Alerts => matches!(name, "date" | "severity"),
            CloudAppsList::Subnet => matches!(name, "category" | "tags" | "name"),
            CloudAppsList::Entities | CloudAppsList::Files => false,
        };
        if !is_offered {
            return None;
        }
        let instant = list.instants().iter().position(|instant| instant.filter == name);
        Some(match (instant, name) {
            (Some(index), _) => By::Instant(index),
            (None, "severity") => By::Member("severityValue"),
            (None, "tags") => By::Member("tags.name"),
            (None, "category") => By::Member("category"),
            (None, _) => By::Member("name"),
        })
    }

    /// Which of two places comes first.
    pub(super) fn compare(self, left: &Place, right: &Place) -> Ordering {
        let by_value = (left.rank, &left.text).cmp(&(right.rank, &right.text));
        let directed = if self.direction == Direction::Descending { by_value.reverse() } else { by_value };
        directed.then(left.number.cmp(&right.number))
    }
}

impl Place {
    /// Whether both lie at one instant, or whatever the order goes by.
    pub(super) fn is_level_with(&self, other: &Self) -> bool {
        (self.rank, &self.text) == (other.rank, &other.text)
    }
}

/// The rank of a number in a shuffled order.
pub(super) fn shuffled(seed: u64, number: u64) -> i64 {
    let mut hasher = DefaultHasher::new();
    (seed, number).hash(&mut hasher);
    hasher.finish().cast_signed()
}
