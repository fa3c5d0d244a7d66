//! Which records were delivered before: exact, keyed, in time buckets.
//!
//! Records that are the same have the same event time, so a record need only be compared with the bucket of its own
//! hour; one without a readable event time goes to the bucket `timeless`. Each commit adds one row (a *segment*) a
//! bucket that it touched: the sorted 64-bit hashes of its records, 8 bytes each. Among n records of a bucket, n²/2⁶⁵ are
//! expected to be dropped wrongly: 3·10⁻⁸ at a million.
//!
//! Buckets are loaded when a page first needs them, forgotten when too many are held, and trusted for as long as the
//! checkpoint's version is the one this process wrote. Hashes are *staged* until their commit: what was not committed
//! was not delivered for certain, so a memory whose commit failed is dropped as a whole.
//!
//! Rows of an hour outlive everything the API can still give of it. Timeless records may be given for ever, so one that
//! is seen again when its row has not much longer to live is staged once more.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use crate::ports::{Row, Write};
use crate::window::later;

/// One bucket of the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bucket {
    /// Records of one hour, in hours since 1970 UTC.
    Hour(i64),
    /// Records without a readable event time.
    Timeless,
}

impl Bucket {
    /// The bucket of a record.
    pub fn of(event_time: Option<Timestamp>) -> Self {
        let written = event_time.filter(|instant| instant.as_second() >= FIRST_NAMED_SECOND);
        written.map_or(Self::Timeless, |instant| Self::Hour(instant.as_second().div_euclid(3600)))
    }

    fn name(self) -> String {
        match self {
            Self::Timeless => "timeless".to_owned(),
            Self::Hour(hour) => Timestamp::from_second(hour.saturating_mul(3600))
                .map_or_else(|_| format!("{hour}"), |start| start.strftime("%Y-%m-%dT%H").to_string()),
        }
    }

    /// Inverse of [`Self::name`].
    fn parse(name: &str) -> Option<Self> {
        if name == "timeless" {
            return Some(Self::Timeless);
        }
        let start: Timestamp = format!("{name}:00:00Z").parse().ok()?;
        Some(Self::Hour(start.as_second().div_euclid(3600)))
    }
}

/// Hashes are uniform already.
#[derive(Debug, Default, Clone, Copy)]
pub struct Uniform(u64);

impl Hasher for Uniform {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type Hashes = HashSet<u64, BuildHasherDefault<Uniform>>;

/// A stored row of a bucket.
#[derive(Debug, Clone)]
struct Segment {
    key: String,
    expires_at: i64,
    /// The hashes, kept only of rows small enough to be merged.
    data: Bytes,
}

#[derive(Debug, Default)]
struct Held {
    hashes: Hashes,
    /// Until when each hash is kept, epoch seconds; of timeless records alone.
    kept_until: HashMap<u64, i64, BuildHasherDefault<Uniform>>,
    segments: Vec<Segment>,
    /// The batch that used it last.
    used: u64,
}

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
    staged: BTreeMap<Bucket, Vec<u64>>,
    clock: u64,
}

/// A range of row keys to read, and the buckets that are complete once it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// First key.
    pub first: String,
    /// Last key.
    pub last: String,
    buckets: Vec<Bucket>,
}

/// 0001-01-01T00:00:00Z: the names of earlier hours would not sort.
const FIRST_NAMED_SECOND: i64 = -62_135_596_800;
/// More hashes than this are not held beside the page at hand: about 24 MB.
const MOST_HASHES: usize = 1_000_000;
/// Hours further apart than this are read in ranges of their own.
const WIDEST_GAP_HOURS: i64 = 6;
/// Longest range of one read.
const WIDEST_READ_HOURS: i64 = 24;
/// Rows of this size or more are left alone: merging them costs more writes than it ever saves reads.
const MERGED_BELOW_BYTES: usize = 64 * 1024;
/// So many small rows of one bucket become one.
const MERGE_AT_SEGMENTS: usize = 16;
/// More are not merged at once: each is a row of the commit.
const MOST_MERGED: usize = 48;
/// A merged row stays well below a row's limit.
const MERGED_ROW_BYTES: usize = 256 * 1024;
/// Hashes outlive the API's own memory by this much.
const GRACE: SignedDuration = SignedDuration::from_hours(48);
/// An event time in the far future must not keep a row for ever.
const LONGEST_KEPT: SignedDuration = SignedDuration::from_hours(365 * 24);

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
        let mut loads = Vec::new();
        let mut range: Option<(i64, i64)> = None;
        for bucket in buckets.iter().filter(|bucket| !self.held.contains_key(bucket)) {
            let Bucket::Hour(hour) = *bucket else {
                loads.push(self.load(&[Bucket::Timeless]));
                continue;
            };
            range = match range {
                Some((first, last))
                    if hour - last <= WIDEST_GAP_HOURS && hour - first < WIDEST_READ_HOURS =>
                {
                    Some((first, hour))
                }
                Some((first, last)) => {
                    loads.push(self.load(&hours(first, last)));
                    Some((hour, hour))
                }
                None => Some((hour, hour)),
            };
        }
        if let Some((first, last)) = range {
            loads.push(self.load(&hours(first, last)));
        }
        loads
    }

    /// The read that loads everything from the hour of `from` on, `to` being the present.
    pub fn load_from(&self, from: Timestamp, to: Timestamp) -> Load {
        let (first, last) = (from.as_second().div_euclid(3600), to.as_second().div_euclid(3600));
        let mut buckets = hours(first, last.max(first));
        buckets.push(Bucket::Timeless);
        self.load(&buckets)
    }

    fn load(&self, buckets: &[Bucket]) -> Load {
        let key = |bucket: Option<&Bucket>| bucket.map_or_else(String::new, |known| known.name());
        Load {
            first: format!("memory#{}#{}#", self.space, key(buckets.first())),
            last: format!("memory#{}#{}#~", self.space, key(buckets.last())),
            buckets: buckets.to_vec(),
        }
    }

    /// Takes in the rows of a read. Rows of other kinds or spaces are passed over, and those of buckets between the
    /// wanted ones that are held already.
    pub fn loaded(&mut self, load: &Load, rows: Vec<Row>) {
        let mut fresh: BTreeMap<Bucket, Held> = load
            .buckets
            .iter()
            .filter(|bucket| !self.held.contains_key(bucket))
            .map(|bucket| (*bucket, Held { used: self.clock, ..Held::default() }))
            .collect();
        for row in rows {
            let Some(bucket) = self.bucket_of_key(&row.key) else { continue };
            let Some(held) = fresh.get_mut(&bucket) else { continue };
            let data = row.data.unwrap_or_default();
            held.hashes.extend(hashes_in(&data));
            held.take_in(bucket, row.key, row.expires_at, data);
        }
        self.held.append(&mut fresh);
    }

    fn bucket_of_key(&self, key: &str) -> Option<Bucket> {
        let rest = key.strip_prefix("memory#")?.strip_prefix(self.space.as_str())?.strip_prefix('#')?;
        Bucket::parse(rest.split('#').next()?)
    }

    /// What is known of the record. A row that ends before `enough`, epoch seconds, ends too soon.
    pub fn judge(&self, bucket: Bucket, hash: u64, enough: i64) -> Verdict {
        debug_assert!(self.held.contains_key(&bucket), "a bucket is loaded before its records are judged");
        let Some(held) = self.held.get(&bucket).filter(|held| held.hashes.contains(&hash)) else {
            return Verdict::New;
        };
        match held.kept_until.get(&hash) {
            Some(end) if *end < enough => Verdict::Ending,
            _ => Verdict::Known,
        }
    }

    /// Remembers the record, unless it is known for long enough, and gives what was known of it before. A memory whose
    /// commit does not happen must be dropped.
    pub fn stage(&mut self, bucket: Bucket, hash: u64, enough: i64) -> Verdict {
        let verdict = self.judge(bucket, hash, enough);
        let held = self.held.entry(bucket).or_default();
        held.used = self.clock;
        if verdict == Verdict::Known {
            return verdict;
        }
        held.hashes.insert(hash);
        // Until its commit says for how long it is kept.
        held.kept_until.remove(&hash);
        self.staged.entry(bucket).or_default().push(hash);
        verdict
    }

    /// How many buckets the staged records touch: the rows that their commit will need.
    pub fn staged_buckets(&self) -> usize {
        self.staged.len()
    }

    /// How many hashes the largest of those rows will hold.
    pub fn most_staged(&self) -> usize {
        self.staged.values().map(Vec::len).max().unwrap_or(0)
    }

    /// Whether a record of this bucket would touch one more.
    pub fn is_staged(&self, bucket: Bucket) -> bool {
        self.staged.contains_key(&bucket)
    }

    /// The rows that the commit with this version must hold. Times in UTC; `retention` is how long the API keeps records.
    pub fn rows(&self, version: u64, now: Timestamp, retention: SignedDuration) -> Vec<Write> {
        self.staged
            .iter()
            .map(|(bucket, hashes)| {
                let mut sorted = hashes.clone();
                sorted.sort_unstable();
                Write::Put(self.row(
                    *bucket,
                    &format!("{version:012}"),
                    bytes_of(&sorted),
                    expiry(*bucket, now, retention),
                ))
            })
            .collect()
    }

    fn row(&self, bucket: Bucket, version: &str, data: Bytes, expires_at: i64) -> Row {
        Row {
            key: format!("memory#{}#{}#{version}", self.space, bucket.name()),
            data: Some(data),
            expires_at: Some(expires_at),
            ..Row::default()
        }
    }

    /// The commit with these rows happened: what was staged is remembered for good.
    pub fn committed(&mut self, writes: &[Write]) {
        self.staged.clear();
        for write in writes {
            match write {
                Write::Put(row) => {
                    let Some(bucket) = self.bucket_of_key(&row.key) else { continue };
                    let Some(held) = self.held.get_mut(&bucket) else { continue };
                    let data = row.data.clone().unwrap_or_default();
                    held.take_in(bucket, row.key.clone(), row.expires_at, data);
                }
                Write::Delete(key) => {
                    let Some(bucket) = self.bucket_of_key(key) else { continue };
                    let Some(held) = self.held.get_mut(&bucket) else { continue };
                    held.segments.retain(|segment| segment.key != *key);
                }
                Write::Add(_) => {}
            }
        }
    }

    /// A page begins: drops the buckets used longest ago until few enough hashes are held. Staged ones stay.
    pub fn page_begins(&mut self) {
        self.clock += 1;
        let mut total: usize = self.held.values().map(|held| held.hashes.len()).sum();
        while total > MOST_HASHES {
            let droppable = self.held.iter().filter(|(bucket, _)| !self.staged.contains_key(bucket));
            let Some(oldest) = droppable.min_by_key(|(_, held)| held.used).map(|(bucket, _)| *bucket) else {
                return;
            };
            total -= self.held.remove(&oldest).map_or(0, |held| held.hashes.len());
        }
    }

    /// The writes that make one row of many small ones, of one bucket at a time; empty when there is nothing to gain.
    /// The merged row expires when the last of its parts would have.
    pub fn merge(&self, version: u64) -> Vec<Write> {
        for (bucket, held) in &self.held {
            let mut bytes = 0;
            let small: Vec<&Segment> = held
                .segments
                .iter()
                .filter(|segment| !segment.data.is_empty())
                .take_while(|segment| {
                    bytes += segment.data.len();
                    bytes <= MERGED_ROW_BYTES
                })
                .take(MOST_MERGED)
                .collect();
            if small.len() < MERGE_AT_SEGMENTS {
                continue;
            }
            let mut merged: Vec<u64> = small.iter().flat_map(|segment| hashes_in(&segment.data)).collect();
            merged.sort_unstable();
            merged.dedup();
            let expires_at = small.iter().map(|segment| segment.expires_at).max().unwrap_or(i64::MAX);
            let mut writes = vec![Write::Put(self.row(
                *bucket,
                &format!("{version:012}m"),
                bytes_of(&merged),
                expires_at,
            ))];
            writes.extend(small.iter().map(|segment| Write::Delete(segment.key.clone())));
            return writes;
        }
        Vec::new()
    }
}

impl Held {
    /// Notes a row of this bucket whose hashes are held already.
    fn take_in(&mut self, bucket: Bucket, key: String, expires_at: Option<i64>, data: Bytes) {
        let row_end = expires_at.unwrap_or(i64::MAX);
        if bucket == Bucket::Timeless {
            for hash in hashes_in(&data) {
                let end = self.kept_until.entry(hash).or_insert(row_end);
                *end = row_end.max(*end);
            }
        }
        // A large row is never merged, so its bytes are not needed again.
        let small = if data.len() < MERGED_BELOW_BYTES { data } else { Bytes::new() };
        self.segments.push(Segment { key, expires_at: row_end, data: small });
    }
}

fn hours(first: i64, last: i64) -> Vec<Bucket> {
    (first..=last).map(Bucket::Hour).collect()
}

fn expiry(bucket: Bucket, now: Timestamp, retention: SignedDuration) -> i64 {
    let event_end = match bucket {
        Bucket::Hour(hour) => hour.saturating_add(1).saturating_mul(3600),
        Bucket::Timeless => 0,
    };
    let kept_from = event_end.clamp(now.as_second(), later(now, LONGEST_KEPT).as_second());
    kept_from + retention.as_secs() + GRACE.as_secs()
}

fn bytes_of(hashes: &[u64]) -> Bytes {
    hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect::<Vec<u8>>().into()
}

fn hashes_in(data: &Bytes) -> impl Iterator<Item = u64> + '_ {
    data.chunks_exact(8).map(|chunk| chunk.try_into().map_or(0, u64::from_le_bytes))
}

#[cfg(test)]
mod tests;
