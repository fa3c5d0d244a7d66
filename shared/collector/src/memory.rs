//! Which records were delivered before: exact, keyed, in time buckets.
//!
//! Records that are the same have the same event time, so a record need only be compared with the bucket of its own
//! hour; one without a readable event time goes to the bucket `timeless`. Each commit adds one row a bucket that it
//! touched: the sorted 64-bit hashes of its records. Among n records of a bucket, n²/2⁶⁵ are expected to be dropped
//! wrongly: 3·10⁻⁸ at a million.
//!
//! Buckets are loaded when a page first needs them, forgotten when too many are held, and trusted for as long as the
//! checkpoint's version is the one this process wrote. Hashes are *staged* until their commit: what was not committed
//! was not delivered for certain, so a memory whose commit failed is dropped as a whole.
//!
//! Of a large row a cold start reads only a Bloom filter (`filter`). What it says "no" to is new; what it says "maybe"
//! to is a *doubt*, and the exact row is read before the record is judged, so nothing is dropped on a guess:
//! load → [`Memory::doubts`] → [`Memory::confirmed`] → [`Memory::judge`]. The sums, for a million records in commits of
//! 20,000, in write units of 1 kB, twice in a transaction:
//!
//! | | a row | a commit | a million |
//! |---|---|---|---|
//! | hashes alone, 8 bytes each | 160,000 bytes, 157 units | 314 | 15,700 |
//! | filter, 512 + 3 bytes each, and exact row, 4 bytes each | 60,512 + 80,000 bytes, 60 + 79 units | 278 | 13,900 |
//!
//! With checkpoint and ledger, about 7 units a commit, that is about 14,250 of the 20,000 allowed; spread over the hours of
//! a day, whose rows are smaller, 14,690. A cold start over rows of 20,000 reads 38 % of the bytes of the hashes alone
//! when every record is new, 39 to 48 % when one of a hundred is known, and 88 % when every row is doubted.
//!
//! Rows of an hour outlive everything the API can still give of it. Timeless records may be given for ever, so one that
//! is seen again when its row has not much longer to live is staged once more.

mod bucket;
mod filter;
mod guard;
mod held;
mod limit;
mod row;
mod staged;
mod versions;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use crate::ports::{Row, Write};
use crate::settings::MemoryLimits;

use held::Held;
use limit::Census;
use row::{HASHES, MEMORY, Name};
use staged::Staged;
use versions::Versions;

pub use bucket::Bucket;
pub use limit::{Forgotten, most_hashes_a_row};
pub use versions::Stored;

/// What is known of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Never seen.
    New,
    /// Delivered before, or staged.
    Known,
    /// Delivered before, but its row ends too soon: it is to be staged again, and not to be sent.
    Ending,
}

/// The hashes of one partition and generation.
#[derive(Debug, Default)]
pub struct Memory {
    space: String,
    held: BTreeMap<Bucket, Held>,
    staged: Staged,
    versions: Versions,
    limits: Option<MemoryLimits>,
    census: Option<Census>,
    clock: u64,
}

/// A range of row keys to read, and the buckets that it is read for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// First key.
    pub first: String,
    /// Last key.
    pub last: String,
    buckets: Vec<Bucket>,
}

impl Load {
    /// Whether its rows are many, and can be taken in one after another ([`Memory::part_loaded`]).
    pub fn is_read_in_parts(&self) -> bool {
        matches!(self.buckets[..], [Bucket::Version(_)])
    }
}

/// No more bytes than about these are held beside the page at hand: 2 million hashes of large rows, or 8 million in filters.
const MOST_HELD_BYTES: usize = 24_000_000;
/// Hours further apart than this are read in ranges of their own.
const WIDEST_GAP_HOURS: i64 = 6;
/// Longest range of one read.
const WIDEST_READ_HOURS: i64 = 24;
/// So many small rows of one bucket become one.
const MERGE_AT_ROWS: usize = 16;
/// More are not merged at once: each is a row of the commit.
const MOST_MERGED: usize = 48;

impl Memory {
    /// An empty memory of the key space `space`.
    pub fn new(space: String) -> Self {
        Self { space, ..Self::default() }
    }

    /// The key space.
    pub fn space(&self) -> &str {
        &self.space
    }

    /// What must be read before records of these buckets can be judged.
    pub fn loads(&self, buckets: &BTreeSet<Bucket>) -> Vec<Load> {
        let version = buckets.iter().find(|bucket| matches!(bucket, Bucket::Version(_)));
        let versions = version.and_then(|bucket| {
            let (first, last) = self.versions.keys_to_read(&self.space)?;
            Some(Load { first, last, buckets: vec![*bucket] })
        });
        let missing = || buckets.iter().filter(|bucket| !self.held.contains_key(bucket));
        let timeless = missing().filter(|bucket| **bucket == Bucket::Timeless).map(|bucket| vec![*bucket]);
        let records = ranges(missing().filter_map(|bucket| match bucket {
            Bucket::Hour(hour) => Some(*hour),
            Bucket::Content(_) | Bucket::Timeless | Bucket::Version(_) => None,
        }));
        let contents = ranges(missing().filter_map(|bucket| match bucket {
            Bucket::Content(hour) => Some(*hour),
            Bucket::Hour(_) | Bucket::Timeless | Bucket::Version(_) => None,
        }));
        let records = records.into_iter().map(|range| range.map(Bucket::Hour).collect());
        let contents = contents.into_iter().map(|range| range.map(Bucket::Content).collect());
        let others = timeless.chain(records).chain(contents).map(|loaded: Vec<Bucket>| self.load(&loaded));
        others.chain(versions).collect()
    }

    /// The read that loads all records from the hour of `from` on, `to` being the present.
    pub fn load_from(&self, from: Timestamp, to: Timestamp) -> Load {
        let buckets: Vec<Bucket> = hours(from, to).map(Bucket::Hour).chain([Bucket::Timeless]).collect();
        self.load(&buckets)
    }

    /// The read that loads all content that became available from the hour of `from` on, `to` being the present.
    pub fn load_content_from(&self, from: Timestamp, to: Timestamp) -> Load {
        let buckets: Vec<Bucket> = hours(from, to).map(Bucket::Content).collect();
        self.load(&buckets)
    }

    fn load(&self, buckets: &[Bucket]) -> Load {
        let name = |bucket: Option<&Bucket>| bucket.map_or_else(String::new, |known| known.name());
        Load {
            first: format!("{MEMORY}{}#{}#", self.space, name(buckets.first())),
            last: format!("{MEMORY}{}#{}#~", self.space, name(buckets.last())),
            buckets: buckets.to_vec(),
        }
    }

    /// Takes in the rows of a read. Rows of other kinds or spaces are passed over, and those of buckets between the
    /// wanted ones that are held already.
    pub fn loaded(&mut self, load: &Load, rows: Vec<Row>) {
        if load.is_read_in_parts() {
            let mut read = Stored::default();
            self.part_loaded(&mut read, &rows);
            self.parts_loaded(read);
            return;
        }
        let mut fresh: BTreeMap<Bucket, Held> = load
            .buckets
            .iter()
            .filter(|bucket| !self.held.contains_key(bucket))
            .map(|bucket| (*bucket, Held::used_at(self.clock)))
            .collect();
        for stored in rows {
            let Some((bucket, version)) = row::parse_key(MEMORY, &self.space, &stored.key) else { continue };
            let Some(held) = fresh.get_mut(&bucket) else { continue };
            held.take_in(bucket, version, row::read(&stored));
        }
        self.held.append(&mut fresh);
    }

    /// Takes in some rows of a read in parts. Nothing is known before the last of them: see [`Self::parts_loaded`].
    pub fn part_loaded(&self, read: &mut Stored, rows: &[Row]) {
        read.part(&self.space, rows);
    }

    /// All rows of a read in parts were read.
    pub fn parts_loaded(&mut self, read: Stored) {
        self.versions.loaded(read);
    }

    /// The writes that delete, in the next commit, rows that nothing is known by any more, if they are too many to be
    /// left to end by themselves; no more than `most`.
    pub fn superseded(&self, most: usize) -> Vec<Write> {
        self.versions.superseded(&self.space, most)
    }

    /// The exact rows that must be read before these records, whose buckets are loaded, can be judged: those behind a
    /// filter that says "maybe" to one that is not known for certain. Neighbours are read together.
    pub fn doubts(&self, wanted: &[(Bucket, u64)]) -> Vec<Load> {
        let mut doubted: BTreeMap<Bucket, BTreeSet<&str>> = BTreeMap::new();
        for (bucket, hash) in wanted {
            let Some(held) = self.held.get(bucket).filter(|_| !self.staged.contains(*bucket, *hash)) else {
                continue;
            };
            let mut versions = held.doubts(*hash).peekable();
            if versions.peek().is_some() && held.kept_until(*hash).is_none() {
                doubted.entry(*bucket).or_default().extend(versions);
            }
        }
        let loads = doubted.iter().flat_map(|(bucket, versions)| {
            let runs = self.held.get(bucket).map(|held| held.runs(|version| versions.contains(version)));
            let key = |version: &str| Name { space: &self.space, bucket: *bucket, version }.key(HASHES);
            runs.into_iter().flatten().map(move |run| Load {
                first: key(run.start()),
                last: key(run.end()),
                buckets: vec![*bucket],
            })
        });
        loads.collect()
    }

    /// Takes in the rows of a read that [`Self::doubts`] asked for. A row that is missing or damaged counts as empty:
    /// its records are sent again, which is better than to lose some.
    pub fn confirmed(&mut self, load: &Load, rows: Vec<Row>) {
        let stored: HashMap<(Bucket, &str), &Bytes> =
            rows.iter().filter_map(|row| exact_half(&self.space, row)).collect();
        let version = |key| row::parse_key(HASHES, &self.space, key).map(|(_, version)| version.to_owned());
        let Some((first, last)) = version(&load.first).zip(version(&load.last)) else { return };
        for bucket in &load.buckets {
            if let Some(held) = self.held.get_mut(bucket) {
                held.open(first.clone()..=last.clone(), |it| {
                    stored.get(&(*bucket, it)).map(|data| &data[..])
                });
            }
        }
    }

    /// What is known of the record. A row that ends before `enough`, epoch seconds, ends too soon.
    pub fn judge(&self, bucket: Bucket, hash: u64, enough: i64) -> Verdict {
        if let Bucket::Version(id) = bucket {
            return self.versions.judge(id, hash, enough);
        }
        if self.staged.contains(bucket, hash) {
            return Verdict::Known;
        }
        let held = self.held.get(&bucket);
        debug_assert!(held.is_some(), "a bucket is loaded before its records are judged");
        let Some(end) = held.and_then(|rows| rows.kept_until(hash)) else {
            debug_assert!(
                held.is_none_or(|rows| rows.doubts(hash).next().is_none()),
                "doubts of {bucket:?} are settled before its records are judged"
            );
            return Verdict::New;
        };
        // What else has a time cannot be given for longer than its row is kept.
        if bucket == Bucket::Timeless && end < enough { Verdict::Ending } else { Verdict::Known }
    }

    /// The version that was delivered or staged last of the id that this bucket stands for.
    pub fn last_version(&self, bucket: Bucket) -> Option<u64> {
        match bucket {
            Bucket::Version(id) => self.versions.last(id),
            Bucket::Hour(_) | Bucket::Content(_) | Bucket::Timeless => None,
        }
    }

    /// Remembers the record, unless it is known for long enough, and gives what was known of it before. A memory whose
    /// commit does not happen must be dropped.
    pub fn stage(&mut self, bucket: Bucket, hash: u64, enough: i64) -> Verdict {
        let verdict = self.judge(bucket, hash, enough);
        if let Bucket::Version(id) = bucket {
            if verdict != Verdict::Known {
                self.versions.stage(id, hash);
            }
            return verdict;
        }
        self.held.entry(bucket).or_default().used = self.clock;
        if verdict != Verdict::Known {
            self.staged.insert(bucket, hash);
        }
        verdict
    }

    /// How many hashes are staged of the bucket with the most.
    pub fn most_staged(&self) -> usize {
        self.staged.largest().max(self.versions.staged())
    }

    /// How many rows the staged hashes need in their commit.
    pub fn staged_rows(&self) -> usize {
        self.staged.rows() + self.versions.staged_rows(0)
    }

    /// How many it would be with one more hash of this bucket.
    pub fn rows_with(&self, bucket: Bucket) -> usize {
        match bucket {
            Bucket::Version(_) => self.staged.rows() + self.versions.staged_rows(1),
            Bucket::Hour(_) | Bucket::Content(_) | Bucket::Timeless => {
                self.staged.rows_with(bucket) + self.versions.staged_rows(0)
            }
        }
    }

    /// The rows that the commit with this version must hold. Times in UTC; `retention` is how long the API keeps records.
    pub fn rows(&self, version: u64, now: Timestamp, retention: SignedDuration) -> Vec<Write> {
        let mut writes = Vec::with_capacity(self.staged_rows());
        for (bucket, rows) in self.staged.sorted_rows() {
            let expires_at = row::expiry(bucket, now, retention);
            for (index, sorted) in rows.iter().enumerate() {
                // Most often there is one row; further ones sort behind it and before those of the next version.
                let named =
                    if index == 0 { format!("{version:012}") } else { format!("{version:012}.{index:06}") };
                let name = Name { space: &self.space, bucket, version: &named };
                writes.extend(name.puts(sorted, expires_at));
            }
        }
        let expires_at = row::expiry(Bucket::Version(0), now, retention);
        writes.extend(self.versions.rows(&self.space, version, expires_at));
        writes
    }

    /// The commit with these rows happened: what was staged is remembered for good, and what was deleted is forgotten.
    pub fn committed(&mut self, writes: &[Write]) {
        self.staged.clear();
        self.versions.committed(&self.space, writes);
        let mut deleted: BTreeMap<Bucket, Vec<&str>> = BTreeMap::new();
        for write in writes {
            match write {
                Write::Put(stored) => self.note_put(stored),
                Write::Delete(key) => {
                    if let Some(census) = &mut self.census {
                        census.delete(&self.space, key);
                    }
                    if let Some((bucket, version)) = row::parse_key(MEMORY, &self.space, key) {
                        deleted.entry(bucket).or_default().push(version);
                    }
                }
                Write::Add(_) => {}
            }
        }
        for (bucket, versions) in deleted {
            if let Some(held) = self.held.get_mut(&bucket) {
                held.remove(&versions);
            }
        }
    }

    /// A row of this process: it comes after its filter, if it has one, and needs no read later.
    fn note_put(&mut self, stored: &Row) {
        if let Some(census) = &mut self.census {
            census.put(&self.space, stored);
        }
        if let Some((bucket, version)) = row::parse_key(MEMORY, &self.space, &stored.key)
            && let Some(held) = self.held.get_mut(&bucket)
        {
            held.take_in(bucket, version, row::read(stored));
        }
        if let Some(((bucket, version), rests)) = exact_half(&self.space, stored)
            && let Some(held) = self.held.get_mut(&bucket)
        {
            held.open(version.to_owned()..=version.to_owned(), |_| Some(&rests[..]));
        }
    }

    /// A page begins: drops the buckets used longest ago until little enough is held. Staged ones stay.
    pub fn page_begins(&mut self) {
        self.clock += 1;
        let mut total: usize = self.held.values().map(Held::bytes).sum::<usize>() + self.versions.bytes();
        while total > MOST_HELD_BYTES {
            let droppable = self.held.iter().filter(|(bucket, _)| !self.staged.touches(**bucket));
            let Some(oldest) = droppable.min_by_key(|(_, held)| held.used).map(|(bucket, _)| *bucket) else {
                return;
            };
            total -= self.held.remove(&oldest).map_or(0, |held| held.bytes());
        }
    }

    /// The writes that make one row of many small ones, of one bucket at a time; empty when there is nothing to gain.
    /// The merged row expires when the last of its parts would have. Pairs are large, and stay as they are.
    pub fn merge(&self, version: u64) -> Vec<Write> {
        for (bucket, held) in &self.held {
            let mut hashes = 0;
            let mut small = held.mergeable();
            let count = small
                .iter()
                .take(MOST_MERGED)
                .take_while(|(_, row, _)| {
                    hashes += row.len();
                    hashes <= self.staged.row_cap(*bucket)
                })
                .count();
            if count < MERGE_AT_ROWS {
                continue;
            }
            small.truncate(count);
            let mut merged: Vec<u64> = small.iter().flat_map(|(_, row, _)| row.iter().copied()).collect();
            merged.sort_unstable();
            merged.dedup();
            let expires_at = small.iter().map(|(_, _, end)| *end).max().unwrap_or(i64::MAX);
            let named = format!("{version:012}m");
            let mut writes =
                Name { space: &self.space, bucket: *bucket, version: &named }.puts(&merged, expires_at);
            writes.extend(small.iter().flat_map(|(old, _, _)| {
                Name { space: &self.space, bucket: *bucket, version: old }.deletes(row::Form::Single)
            }));
            return writes;
        }
        self.versions.merge(&self.space, version)
    }
}

/// Bucket, version and bytes of an exact row behind a filter.
fn exact_half<'r>(space: &str, stored: &'r Row) -> Option<((Bucket, &'r str), &'r Bytes)> {
    Some((row::parse_key(HASHES, space, &stored.key)?, stored.data.as_ref()?))
}

fn hours(from: Timestamp, to: Timestamp) -> RangeInclusive<i64> {
    let (first, last) = (from.as_second().div_euclid(3600), to.as_second().div_euclid(3600));
    first..=last.max(first)
}

/// Few ranges that cover the hours, which come in order.
fn ranges(hours: impl Iterator<Item = i64>) -> Vec<RangeInclusive<i64>> {
    let mut ranges: Vec<RangeInclusive<i64>> = Vec::new();
    for hour in hours {
        match ranges.last_mut() {
            Some(range)
                if hour - range.end() <= WIDEST_GAP_HOURS && hour - range.start() < WIDEST_READ_HOURS =>
            {
                *range = *range.start()..=hour;
            }
            _ => ranges.push(hour..=hour),
        }
    }
    ranges
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_filter;
#[cfg(test)]
mod tests_limit;
