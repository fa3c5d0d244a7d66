//! The rows of a memory: their keys, their coding, how long they are kept.
//!
//! A row is named `memory#{space}#{bucket}#{version}`, the version being that of the commit that wrote it. A *single* row
//! holds its sorted hashes, 8 bytes each, little-endian. A *pair* is two rows of one commit: the one of that name has the
//! member `filter` and holds a Bloom filter, its twin `hashes#{space}#{bucket}#{version}` what the filter leaves out of
//! the hashes. `hashes#` sorts before `memory#`: reading a bucket meets filters and single rows alone.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::ports::{Row, Write};
use crate::window::later;

use super::bucket::Bucket;
use super::filter::{self, Filter, POSITION_BITS};

/// What keys of single rows and filters begin with.
pub(super) const MEMORY: &str = "memory#";
/// What keys of exact rows behind a filter begin with.
pub(super) const HASHES: &str = "hashes#";
/// Rows of so many hashes are pairs. From here on a pair takes no more write units than a single row, which has 8 bytes a
/// hash against 7 bytes, 512 for counts and a second key; and a read is charged by 4 kB, so smaller rows save nothing.
pub(super) const PAIRED_FROM: usize = 1_024;
/// More hashes are never put into one row: with 8 bytes each it stays well below 400 kB.
pub(super) const MOST_IN_ROW: usize = 32 * 1024;
/// Member of a filter.
const FILTER: &str = "filter";
/// Hashes outlive the API's own memory by this much.
pub(super) const GRACE: SignedDuration = SignedDuration::from_hours(48);
/// An event time in the far future must not keep a row for ever.
pub(super) const LONGEST_KEPT: SignedDuration = SignedDuration::from_hours(365 * 24);

/// Whether hashes are stored in one row or in two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Single,
    Pair,
}

impl Form {
    /// How so many hashes of this bucket are stored. Only records with an event time are many enough to gain by a filter,
    /// and timeless ones are needed with their rows' ends as soon as they are read.
    pub(super) fn of(bucket: Bucket, hashes: usize) -> Self {
        match bucket {
            Bucket::Hour(_) if hashes >= PAIRED_FROM => Self::Pair,
            Bucket::Hour(_) | Bucket::Content(_) | Bucket::Timeless | Bucket::Version(_) => Self::Single,
        }
    }

    /// Rows it takes.
    pub(super) fn rows(self) -> usize {
        match self {
            Self::Single => 1,
            Self::Pair => 2,
        }
    }
}

/// What is held of a stored row or pair.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// The hashes, sorted.
    Exact(Vec<u64>),
    /// The filter; the exact row was not read.
    Filter(Filter),
}

/// A row or pair as it is known.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) form: Form,
    /// Epoch seconds.
    pub(super) expires_at: i64,
    pub(super) content: Content,
}

/// The name of a row or pair within a space.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'a> {
    pub(super) space: &'a str,
    pub(super) bucket: Bucket,
    pub(super) version: &'a str,
}

impl Name<'_> {
    /// The key of its row with this prefix, [`MEMORY`] or [`HASHES`].
    pub(super) fn key(&self, prefix: &str) -> String {
        format!("{prefix}{}#{}#{}", self.space, self.bucket.name(), self.version)
    }

    /// What stores these sorted hashes under this name.
    pub(super) fn puts(&self, sorted: &[u64], expires_at: i64) -> Vec<Write> {
        let row = |prefix: &str, fields: Map<String, Value>, data: Bytes| {
            Write::Put(Row { key: self.key(prefix), fields, data: Some(data), expires_at: Some(expires_at) })
        };
        let halves = match Form::of(self.bucket, sorted.len()) {
            Form::Pair => filter::coded(sorted),
            Form::Single => None,
        };
        let Some((positions, rests)) = halves else {
            let plain: Vec<u8> = sorted.iter().flat_map(|hash| hash.to_le_bytes()).collect();
            return vec![row(MEMORY, Map::new(), plain.into())];
        };
        let fields = Map::from_iter([(FILTER.to_owned(), about_filter(sorted.len()))]);
        vec![row(MEMORY, fields, positions), row(HASHES, Map::new(), rests)]
    }

    /// What removes it.
    pub(super) fn deletes(&self, form: Form) -> Vec<Write> {
        let prefixes: &[&str] = match form {
            Form::Single => &[MEMORY],
            Form::Pair => &[MEMORY, HASHES],
        };
        prefixes.iter().map(|prefix| Write::Delete(self.key(prefix))).collect()
    }
}

/// What a filter row says of itself. A reader that finds anything else does not know how to read it.
fn about_filter(hashes: usize) -> Value {
    json!({"bits": POSITION_BITS, "hashes": hashes})
}

/// Bucket and version of the row of this key, if it is one of this space with this prefix.
pub(super) fn parse_key<'k>(prefix: &str, space: &str, key: &'k str) -> Option<(Bucket, &'k str)> {
    let rest = key.strip_prefix(prefix)?.strip_prefix(space)?.strip_prefix('#')?;
    let (bucket, version) = rest.split_once('#')?;
    Some((Bucket::parse(bucket)?, version))
}

/// Reads a `memory#` row. One that is damaged holds nothing: its records are sent again, which is better than to lose
/// some.
pub(super) fn read(row: &Row) -> Segment {
    let expires_at = row.expires_at.unwrap_or(i64::MAX);
    let data = row.data.clone().unwrap_or_default();
    let Some(about) = row.fields.get(FILTER) else {
        let mut hashes: Vec<u64> =
            data.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        if !hashes.is_sorted() {
            hashes.sort_unstable();
        }
        return Segment { form: Form::Single, expires_at, content: Content::Exact(hashes) };
    };
    let filter = Filter::read(&data).filter(|filter| *about == about_filter(filter.len()));
    let content = filter.map_or_else(|| Content::Exact(Vec::new()), Content::Filter);
    Segment { form: Form::Pair, expires_at, content }
}

/// How many hashes a `memory#` row stands for, and in which form.
pub(super) fn counted(row: &Row) -> (u64, Form) {
    let bytes = row.data.as_ref().map_or(0, Bytes::len);
    match row.fields.get(FILTER) {
        Some(_) => (filter::len_of(bytes), Form::Pair),
        None => (bytes as u64 / 8, Form::Single),
    }
}

/// Until when a row is kept that is written now, epoch seconds: the API's retention and a grace, counted from the later
/// of now and the hour's end.
pub(super) fn expiry(bucket: Bucket, now: Timestamp, retention: SignedDuration) -> i64 {
    let event_end = match bucket {
        Bucket::Hour(hour) | Bucket::Content(hour) => hour.saturating_add(1).saturating_mul(3600),
        Bucket::Timeless | Bucket::Version(_) => 0,
    };
    let kept_from = event_end.clamp(now.as_second(), later(now, LONGEST_KEPT).as_second());
    kept_from + retention.as_secs() + GRACE.as_secs()
}
