//! What the next commit will remember: the hashes of the open batch, and how many rows they will need.
//!
//! The counts are asked for with every record, so they are kept up with each hash and never added up.

use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasherDefault;

use super::bucket::{Bucket, Uniform};
use super::row::{Form, MOST_IN_ROW};

type Hashes = HashSet<u64, BuildHasherDefault<Uniform>>;

#[derive(Debug)]
pub(super) struct Staged {
    buckets: BTreeMap<Bucket, Hashes>,
    /// Most hashes of records in one row.
    row_cap: usize,
    rows: usize,
    records: u64,
    largest: usize,
}

impl Default for Staged {
    fn default() -> Self {
        Self { buckets: BTreeMap::new(), row_cap: MOST_IN_ROW, rows: 0, records: 0, largest: 0 }
    }
}

impl Staged {
    /// Rows of records shall hold no more hashes than this.
    pub(super) fn set_row_cap(&mut self, cap: usize) {
        self.row_cap = cap.clamp(1, MOST_IN_ROW);
        self.rows = self.buckets.iter().map(|(bucket, hashes)| self.rows_of(*bucket, hashes.len())).sum();
    }

    /// Most hashes in one row of this bucket.
    pub(super) fn row_cap(&self, bucket: Bucket) -> usize {
        match bucket {
            Bucket::Content(_) | Bucket::Version(_) => MOST_IN_ROW,
            Bucket::Hour(_) | Bucket::Timeless => self.row_cap,
        }
    }

    pub(super) fn insert(&mut self, bucket: Bucket, hash: u64) {
        let rows = self.rows_with(bucket);
        let hashes = self.buckets.entry(bucket).or_default();
        if !hashes.insert(hash) {
            return;
        }
        self.largest = self.largest.max(hashes.len());
        self.rows = rows;
        if !matches!(bucket, Bucket::Content(_)) {
            self.records += 1;
        }
    }

    pub(super) fn contains(&self, bucket: Bucket, hash: u64) -> bool {
        self.buckets.get(&bucket).is_some_and(|hashes| hashes.contains(&hash))
    }

    pub(super) fn clear(&mut self) {
        *self = Self { row_cap: self.row_cap, ..Self::default() };
    }

    /// The buckets, each with its hashes in order, cut into rows.
    pub(super) fn sorted_rows(&self) -> impl Iterator<Item = (Bucket, Vec<Vec<u64>>)> {
        self.buckets.iter().map(|(bucket, hashes)| {
            let mut sorted: Vec<u64> = hashes.iter().copied().collect();
            sorted.sort_unstable();
            (*bucket, sorted.chunks(self.row_cap(*bucket)).map(<[u64]>::to_vec).collect())
        })
    }

    pub(super) fn buckets(&self) -> impl Iterator<Item = Bucket> {
        self.buckets.keys().copied()
    }

    pub(super) fn touches(&self, bucket: Bucket) -> bool {
        self.buckets.contains_key(&bucket)
    }

    /// Rows that all of it needs.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Rows that it would need with one more hash of this bucket.
    pub(super) fn rows_with(&self, bucket: Bucket) -> usize {
        let staged = self.buckets.get(&bucket).map_or(0, HashSet::len);
        self.rows - self.rows_of(bucket, staged) + self.rows_of(bucket, staged + 1)
    }

    /// Hashes of records.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Hashes of the bucket with the most.
    pub(super) fn largest(&self) -> usize {
        self.largest
    }

    fn rows_of(&self, bucket: Bucket, hashes: usize) -> usize {
        let cap = self.row_cap(bucket);
        let rest = hashes % cap;
        let of_rest = if rest == 0 { 0 } else { Form::of(bucket, rest).rows() };
        hashes / cap * Form::of(bucket, cap).rows() + of_rest
    }
}
