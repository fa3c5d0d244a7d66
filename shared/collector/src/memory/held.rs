//! A bucket as this process holds it: every stored row of it, exactly or by its filter.
//!
//! Small rows are looked up together in one index, which also says until when each hash is kept. A large row keeps its
//! sorted hashes, which are searched, behind one guard for all; before its exact half was read, its filter stands for it.
//! As each row is known by itself, one that is deleted takes nothing with it that another row holds too.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::ops::RangeInclusive;

use super::bucket::{Bucket, Uniform};
use super::guard::Guard;
use super::row::{Content, Form, PAIRED_FROM, Segment};

/// Rows of this many hashes or more are left alone: merging them costs more writes than it ever saves reads.
const MERGED_BELOW: usize = 8 * 1024;
/// About what a hash takes in an index, in bytes.
const INDEXED_BYTES: usize = 26;
const HASH_BYTES: usize = size_of::<u64>();
/// Exact rows that one read fetches at the most; it must not fill the memory.
const MOST_READ_AT_ONCE: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Held {
    /// Single rows whose hashes are in the index, by version.
    indexed: BTreeMap<String, Segment>,
    /// Large rows, by version.
    searched: BTreeMap<String, Segment>,
    /// Stands in front of the large rows that are held exactly.
    guard: Guard,
    /// Until when each hash of the indexed rows is kept, epoch seconds.
    index: HashMap<u64, i64, BuildHasherDefault<Uniform>>,
    /// The batch that used it last.
    pub(super) used: u64,
}

impl Held {
    /// Nothing, used by the batch `used`.
    pub(super) fn used_at(used: u64) -> Self {
        Self { used, ..Self::default() }
    }

    /// Takes in a row of this bucket.
    pub(super) fn take_in(&mut self, bucket: Bucket, version: &str, segment: Segment) {
        match &segment.content {
            Content::Exact(hashes) if is_indexed(bucket, segment.form, hashes.len()) => {
                add(&mut self.index, hashes, segment.expires_at);
                self.indexed.insert(version.to_owned(), segment);
            }
            Content::Exact(_) | Content::Filter(_) => {
                self.searched.insert(version.to_owned(), segment);
                self.guard_row(version);
            }
        }
    }

    /// Takes in the exact halves of the pairs with these versions, as far as they were not known: `rests` gives the bytes
    /// of each. A pair whose exact half is missing or damaged counts as empty.
    pub(super) fn open<'r>(
        &mut self,
        versions: RangeInclusive<String>,
        rests: impl Fn(&str) -> Option<&'r [u8]>,
    ) {
        let mut opened = Vec::new();
        for (version, segment) in self.searched.range_mut(versions) {
            if let Content::Filter(filter) = &segment.content {
                let hashes = rests(version).and_then(|bytes| filter.hashes(bytes));
                segment.content = Content::Exact(hashes.unwrap_or_default());
                opened.push(version.clone());
            }
        }
        for version in opened {
            self.guard_row(&version);
        }
    }

    /// Puts the hashes of a large row behind the guard, which is made anew when it becomes too small for all of them.
    fn guard_row(&mut self, version: &str) {
        let Some(Content::Exact(hashes)) = self.searched.get(version).map(|segment| &segment.content) else {
            return;
        };
        if self.guard.add(hashes) {
            return;
        }
        let exact = || {
            self.searched.values().filter_map(|segment| match &segment.content {
                Content::Exact(row) => Some(row.as_slice()),
                Content::Filter(_) => None,
            })
        };
        self.guard = Guard::with_room_for(exact().map(<[u64]>::len).sum());
        for row in exact() {
            self.guard.add(row);
        }
    }

    /// Until when the hash is kept, epoch seconds, if it is known for certain. Only of indexed rows this is exact.
    pub(super) fn kept_until(&self, hash: u64) -> Option<i64> {
        if let Some(end) = self.index.get(&hash) {
            return Some(*end);
        }
        if !self.guard.may_hold(hash) {
            return None;
        }
        self.searched.values().find_map(|segment| match &segment.content {
            Content::Exact(hashes) => hashes.binary_search(&hash).is_ok().then_some(segment.expires_at),
            Content::Filter(_) => None,
        })
    }

    /// The versions of the pairs that may hold the hash and were not read exactly.
    pub(super) fn doubts(&self, hash: u64) -> impl Iterator<Item = &str> {
        self.searched.iter().filter_map(move |(version, segment)| match &segment.content {
            Content::Filter(filter) => filter.may_hold(hash).then_some(version.as_str()),
            Content::Exact(_) => None,
        })
    }

    /// Ranges of versions that cover the chosen pairs and no others.
    pub(super) fn runs(&self, is_chosen: impl Fn(&str) -> bool) -> Vec<RangeInclusive<String>> {
        let pairs = self.searched.iter().filter(|(_, segment)| segment.form == Form::Pair);
        let versions: Vec<&String> = pairs.map(|(version, _)| version).collect();
        versions
            .chunk_by(|before, after| is_chosen(before) == is_chosen(after))
            .filter(|run| run.first().is_some_and(|version| is_chosen(version)))
            .flat_map(|run| run.chunks(MOST_READ_AT_ONCE))
            .filter_map(|run| Some((*run.first()?).clone()..=(*run.last()?).clone()))
            .collect()
    }

    /// The single rows small enough to be merged, in order of version, with their hashes.
    pub(super) fn mergeable(&self) -> Vec<(&str, &[u64], i64)> {
        let all = self.indexed.iter().chain(&self.searched);
        let mut small: Vec<(&str, &[u64], i64)> = all
            .filter_map(|(version, segment)| match &segment.content {
                Content::Exact(hashes)
                    if segment.form == Form::Single && (1..MERGED_BELOW).contains(&hashes.len()) =>
                {
                    Some((version.as_str(), hashes.as_slice(), segment.expires_at))
                }
                Content::Exact(_) | Content::Filter(_) => None,
            })
            .collect();
        small.sort_unstable_by_key(|(version, _, _)| *version);
        small
    }

    /// Forgets rows that are stored no longer.
    pub(super) fn remove(&mut self, versions: &[&str]) {
        let mut is_index_old = false;
        for version in versions {
            is_index_old |= self.indexed.remove(*version).is_some();
            self.searched.remove(*version);
        }
        if !is_index_old {
            return;
        }
        self.index.clear();
        for segment in self.indexed.values() {
            if let Content::Exact(hashes) = &segment.content {
                add(&mut self.index, hashes, segment.expires_at);
            }
        }
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let rows =
            self.indexed.values().chain(self.searched.values()).map(|segment| match &segment.content {
                Content::Exact(hashes) => hashes.len() * HASH_BYTES,
                Content::Filter(filter) => filter.bytes(),
            });
        rows.sum::<usize>() + self.index.len() * INDEXED_BYTES + self.guard.bytes()
    }
}

/// Timeless records are asked for with the end of their row, which the index knows.
fn is_indexed(bucket: Bucket, form: Form, hashes: usize) -> bool {
    form == Form::Single && (bucket == Bucket::Timeless || hashes < PAIRED_FROM)
}

fn add(index: &mut HashMap<u64, i64, BuildHasherDefault<Uniform>>, hashes: &[u64], row_end: i64) {
    for hash in hashes {
        let end = index.entry(*hash).or_insert(row_end);
        *end = row_end.max(*end);
    }
}
