//! How many records a memory holds, and what it forgets when it is full.
//!
//! Whole rows are forgotten, the oldest first: by the hour of their records, within an hour by version; timeless ones go
//! before all hours. No row holds more hashes than lie between the two limits, so there is always a row whose end leaves
//! the memory above the lower one. Rows written before the limits were narrowed may be larger: such a row stays until
//! enough came after it, for the lower limit is the one that is never broken. Content buckets are no records.
//!
//! What is remembered is known from a *census*: one read of all rows, of which only counts are kept; from then on each
//! commit keeps it up.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::ports::{Row, Write};
use crate::settings::MemoryLimits;

use super::bucket::{Bucket, start_of_hour};
use super::row::{self, Form, MEMORY, MOST_IN_ROW, Name};
use super::{Load, Memory};

/// A memory that is full forgets this part of what lies between its limits beyond what it must, so that it is not full
/// again with the next commit.
const FURTHER: u64 = 8;

/// What the next commit shall forget.
#[derive(Debug, Clone, PartialEq)]
pub struct Forgotten {
    /// The deletions; of a pair both halves.
    pub writes: Vec<Write>,
    /// How many hashes they hold.
    pub hashes: u64,
    /// Records from this instant on are compared with all that were delivered. A caller that kept a later instant from an
    /// earlier time goes on with that one.
    pub reaches_back_to: Timestamp,
}

/// A stored row or pair.
#[derive(Debug, Clone, Copy)]
struct Counted {
    hashes: u64,
    form: Form,
    /// Epoch seconds.
    expires_at: i64,
}

/// The rows of records, oldest first.
#[derive(Debug, Default)]
pub(super) struct Census {
    rows: BTreeMap<(Age, String), Counted>,
    total: u64,
}

/// Sorts the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    Timeless,
    Hour(i64),
}

impl Age {
    fn of(bucket: Bucket) -> Option<Self> {
        match bucket {
            Bucket::Content(_) | Bucket::Version(_) => None,
            Bucket::Hour(hour) => Some(Self::Hour(hour)),
            Bucket::Timeless => Some(Self::Timeless),
        }
    }

    fn bucket(self) -> Bucket {
        match self {
            Self::Timeless => Bucket::Timeless,
            Self::Hour(hour) => Bucket::Hour(hour),
        }
    }
}

impl Census {
    pub(super) fn put(&mut self, space: &str, stored: &Row) {
        let Some((age, version)) = place(space, &stored.key) else { return };
        let (hashes, form) = row::counted(stored);
        let counted = Counted { hashes, form, expires_at: stored.expires_at.unwrap_or(i64::MAX) };
        let replaced = self.rows.insert((age, version.to_owned()), counted);
        self.total = self.total + hashes - replaced.map_or(0, |old| old.hashes);
    }

    pub(super) fn delete(&mut self, space: &str, key: &str) {
        let Some((age, version)) = place(space, key) else { return };
        let removed = self.rows.remove(&(age, version.to_owned()));
        self.total -= removed.map_or(0, |old| old.hashes);
    }

    /// The rows that have not expired.
    fn live(&self, now: Timestamp) -> impl Iterator<Item = (&(Age, String), &Counted)> {
        self.rows.iter().filter(move |(_, counted)| counted.expires_at > now.as_second())
    }
}

fn place<'k>(space: &str, key: &'k str) -> Option<(Age, &'k str)> {
    let (bucket, version) = row::parse_key(MEMORY, space, key)?;
    Some((Age::of(bucket)?, version))
}

/// How many hashes a row may hold, so that whole rows can be forgotten without falling below the lower limit.
pub fn most_hashes_a_row(limits: MemoryLimits) -> usize {
    usize::try_from(limits.most.saturating_sub(limits.least)).unwrap_or(MOST_IN_ROW).clamp(1, MOST_IN_ROW)
}

impl Memory {
    /// Sets how many records the memory holds; `None` is without limits. Rows hold no more than [`most_hashes_a_row`] from
    /// then on.
    pub fn set_limits(&mut self, limits: Option<MemoryLimits>) {
        self.limits = limits;
        self.staged.set_row_cap(limits.map_or(MOST_IN_ROW, most_hashes_a_row));
    }

    /// The read that a census needs: every row of records. With 3 to 8 bytes a record it is large.
    pub fn census_load(&self) -> Load {
        // Names of content buckets sort behind all others.
        Load {
            first: format!("{MEMORY}{}#0", self.space),
            last: format!("{MEMORY}{}#~", self.space),
            buckets: Vec::new(),
        }
    }

    /// Takes the rows of that read into account. Nothing of them is held but their counts.
    pub fn take_census(&mut self, rows: Vec<Row>) {
        let mut census = Census::default();
        for stored in rows {
            census.put(&self.space, &stored);
        }
        self.census = Some(census);
    }

    /// How many hashes of records are stored, if a census was taken; at the most, for rows that expired since it was are
    /// counted.
    pub fn remembered(&self) -> Option<u64> {
        self.census.as_ref().map(|census| census.total)
    }

    /// How many hashes of records the next commit adds. It must not be more than the upper limit.
    pub fn staged_hashes(&self) -> u64 {
        self.staged.records()
    }

    /// Whether the next commit may add one more hash of a record without being above the upper limit by itself.
    pub fn has_room(&self) -> bool {
        self.limits.is_none_or(|limits| self.staged_hashes() < limits.most)
    }

    /// What the next commit must forget, so that the memory is not above its upper limit after it, as far as `most_rows`
    /// deletions go; none when there is nothing to forget, no limit, or no census. A commit that forgets must not merge:
    /// both may delete the same row.
    pub fn forget(&self, now: Timestamp, most_rows: usize) -> Option<Forgotten> {
        let (limits, census) = (self.limits?, self.census.as_ref()?);
        let staged = self.staged_hashes();
        if census.total + staged <= limits.most {
            return None;
        }
        let live: u64 = census.live(now).map(|(_, counted)| counted.hashes).sum();
        let mut left = live + staged;
        if left <= limits.most {
            return None;
        }
        let enough = limits.most - limits.most.saturating_sub(limits.least) / FURTHER;
        let mut writes = Vec::new();
        let mut newest = None;
        for ((age, version), counted) in census.live(now) {
            let is_room = writes.len() + counted.form.rows() <= most_rows;
            if left <= enough || left < limits.least + counted.hashes || !is_room {
                break;
            }
            writes.extend(Name { space: &self.space, bucket: age.bucket(), version }.deletes(counted.form));
            left -= counted.hashes;
            newest = Some(*age);
        }
        let reaches_back_to = match newest? {
            Age::Hour(hour) => start_of_hour(hour + 1),
            Age::Timeless => self.oldest_hour(census).and_then(start_of_hour),
        };
        Some(Forgotten {
            writes,
            hashes: live + staged - left,
            reaches_back_to: reaches_back_to.unwrap_or(now),
        })
    }

    fn oldest_hour(&self, census: &Census) -> Option<i64> {
        let ages = census.rows.keys().map(|(age, _)| *age).chain(self.staged.buckets().filter_map(Age::of));
        ages.filter_map(|age| match age {
            Age::Hour(hour) => Some(hour),
            Age::Timeless => None,
        })
        .min()
    }
}
