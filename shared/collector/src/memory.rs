//! Which records were delivered before: exact, keyed, in time buckets.
//!
//! Records that are the same have the same event time, so a record need only be compared with the bucket of its own
//! hour; one without a readable event time goes to the bucket `timeless`. Each commit adds one row (a *segment*) a
//! bucket that it touched: the sorted 64-bit hashes of its records, 8 bytes each. Among n records of a bucket, n²/2⁶⁵ are
//! expected to be dropped wrongly: 3·10⁻⁸ at a million.
//!
//! Buckets are loaded when a page first needs them, forgotten when too many are held, and trusted for as long as the
//! checkpoint's version is the one this process wrote. Hashes are *staged* until their commit: what was not committed
//! was not delivered for certain, and is not remembered.

use std::collections::{BTreeMap, BTreeSet, HashSet};
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
        event_time.map_or(Self::Timeless, |instant| Self::Hour(instant.as_second().div_euclid(3600)))
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
    segments: Vec<Segment>,
    /// The batch that used it last.
    used: u64,
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

    /// Takes in the rows of a read. Rows of other kinds or spaces are passed over.
    pub fn loaded(&mut self, load: &Load, rows: Vec<Row>) {
        for bucket in &load.buckets {
            let used = self.clock;
            self.held.entry(*bucket).or_insert_with(|| Held { used, ..Held::default() });
        }
        for row in rows {
            let Some(bucket) = self.bucket_of_key(&row.key) else { continue };
            let Some(held) = self.held.get_mut(&bucket) else { continue };
            let data = row.data.unwrap_or_default();
            held.hashes.extend(hashes_in(&data));
            held.segments.push(segment(row.key, row.expires_at.unwrap_or(i64::MAX), data));
        }
    }

    fn bucket_of_key(&self, key: &str) -> Option<Bucket> {
        let rest = key.strip_prefix("memory#")?.strip_prefix(self.space.as_str())?.strip_prefix('#')?;
        Bucket::parse(rest.split('#').next()?)
    }

    /// Remembers the record until the next [`Self::committed`] or [`Self::forget_staged`]; false if it was known.
    pub fn stage(&mut self, bucket: Bucket, hash: u64) -> bool {
        debug_assert!(self.held.contains_key(&bucket), "a bucket is loaded before its records are judged");
        let held = self.held.entry(bucket).or_default();
        held.used = self.clock;
        if !held.hashes.insert(hash) {
            return false;
        }
        self.staged.entry(bucket).or_default().push(hash);
        true
    }

    /// Whether the record was delivered before, or is staged.
    pub fn knows(&self, bucket: Bucket, hash: u64) -> bool {
        self.held.get(&bucket).is_some_and(|held| held.hashes.contains(&hash))
    }

    /// How many buckets the staged records touch: the rows that their commit will need.
    pub fn staged_buckets(&self) -> usize {
        self.staged.len()
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
                    held.segments.push(segment(row.key.clone(), row.expires_at.unwrap_or(i64::MAX), data));
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

    /// The commit did not happen, or nobody knows.
    pub fn forget_staged(&mut self) {
        for (bucket, hashes) in std::mem::take(&mut self.staged) {
            if let Some(held) = self.held.get_mut(&bucket) {
                for hash in hashes {
                    held.hashes.remove(&hash);
                }
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
                .take(4 * MERGE_AT_SEGMENTS)
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

fn hours(first: i64, last: i64) -> Vec<Bucket> {
    (first..=last).map(Bucket::Hour).collect()
}

fn segment(key: String, expires_at: i64, data: Bytes) -> Segment {
    // A large row is never merged, so its bytes are not needed again.
    let data = if data.len() < MERGED_BELOW_BYTES { data } else { Bytes::new() };
    Segment { key, expires_at, data }
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
mod tests {
    use super::*;

    const RETENTION: SignedDuration = SignedDuration::from_hours(30 * 24);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn loaded(buckets: &[Bucket], rows: Vec<Row>) -> Memory {
        let mut memory = Memory::new("1".to_owned());
        for load in memory.loads(&buckets.iter().copied().collect()) {
            let inside =
                rows.iter().filter(|row| load.first <= row.key && row.key <= load.last).cloned().collect();
            memory.loaded(&load, inside);
        }
        memory
    }

    fn put_rows(writes: &[Write]) -> Vec<Row> {
        writes
            .iter()
            .filter_map(|write| if let Write::Put(row) = write { Some(row.clone()) } else { None })
            .collect()
    }

    #[test]
    fn what_was_committed_is_known_to_the_next_process_and_what_was_not_is_new_again() {
        let now = at("2026-11-20T12:00:00Z");
        let hour = Bucket::of(Some(at("2026-11-20T11:59:59.9999999Z")));
        let mut memory = loaded(&[hour, Bucket::Timeless], vec![]);
        assert!(memory.stage(hour, 1) && memory.stage(Bucket::Timeless, 1) && memory.stage(hour, u64::MAX));
        assert!(!memory.stage(hour, 1));
        let writes = memory.rows(7, now, RETENTION);
        memory.committed(&writes);
        assert!(memory.stage(hour, 2));
        memory.forget_staged();
        assert!(!memory.stage(hour, 1) && memory.stage(hour, 2));

        let mut next = loaded(&[hour, Bucket::Timeless], put_rows(&writes));
        assert!(!next.stage(hour, 1) && !next.stage(hour, u64::MAX) && !next.stage(Bucket::Timeless, 1));
        assert!(next.stage(Bucket::Timeless, 2));
    }

    #[test]
    fn near_hours_are_read_together_and_far_ones_apart() {
        let memory = loaded(&[Bucket::Hour(100)], vec![]);
        let wanted =
            [98, 99, 100, 101, 104, 400].map(Bucket::Hour).into_iter().chain([Bucket::Timeless]).collect();
        let loads = memory.loads(&wanted);
        let ranges: BTreeSet<(&str, &str)> =
            loads.iter().map(|load| (load.first.as_str(), load.last.as_str())).collect();
        let expected = [
            ("memory#1#1970-01-05T02#", "memory#1#1970-01-05T08#~"),
            ("memory#1#1970-01-17T16#", "memory#1#1970-01-17T16#~"),
            ("memory#1#timeless#", "memory#1#timeless#~"),
        ];
        assert_eq!(ranges, expected.into());
        assert_eq!(loads.iter().map(|load| load.buckets.len()).sum::<usize>(), 7 + 1 + 1);
    }

    #[test]
    fn rows_outlive_the_retention_counted_from_the_later_of_commit_and_event() {
        let now = at("2026-11-20T12:00:00Z");
        let kept = RETENTION.as_secs() + GRACE.as_secs();
        let late = Bucket::of(Some(at("2026-11-01T00:00:00Z")));
        let future = Bucket::of(Some(at("2026-11-21T00:10:00Z")));
        let absurd = Bucket::of(Some(at("9999-01-01T00:00:00Z")));
        assert_eq!(expiry(late, now, RETENTION), now.as_second() + kept);
        assert_eq!(expiry(future, now, RETENTION), at("2026-11-21T01:00:00Z").as_second() + kept);
        assert_eq!(expiry(absurd, now, RETENTION), now.as_second() + LONGEST_KEPT.as_secs() + kept);
        assert_eq!(expiry(Bucket::Timeless, now, RETENTION), now.as_second() + kept);
    }

    #[test]
    fn many_small_rows_become_one_that_remembers_the_same_and_expires_last() {
        let now = at("2026-11-20T12:00:00Z");
        let bucket = Bucket::of(Some(now));
        let mut memory = loaded(&[bucket], vec![]);
        for version in 1..=16 {
            assert!(memory.merge(99).is_empty());
            assert!(memory.stage(bucket, version) && memory.stage(bucket, version << 32));
            let writes = memory.rows(
                version,
                later(now, SignedDuration::from_secs(i64::try_from(version).unwrap())),
                RETENTION,
            );
            memory.committed(&writes);
        }
        let writes = memory.merge(99);
        assert_eq!(writes.len(), 17);
        let merged = put_rows(&writes);
        assert_eq!(merged[0].expires_at, Some(later(now, RETENTION + GRACE).as_second() + 3600));
        memory.committed(&writes);
        assert!(memory.merge(100).is_empty());
        let mut next = loaded(&[bucket], merged);
        assert!(
            (1..=16).all(|version: u64| !next.stage(bucket, version) && !next.stage(bucket, version << 32))
        );
    }

    #[test]
    fn too_many_hashes_are_forgotten_by_the_page_but_never_the_staged_ones() {
        let (first, second) = (Bucket::Hour(1), Bucket::Hour(2));
        let mut memory = loaded(&[first, second], vec![]);
        for hash in 0..=(MOST_HASHES as u64) {
            memory.stage(first, hash);
        }
        memory.page_begins();
        assert_eq!(
            memory.loads(&[first, second].into()).len(),
            1,
            "the empty one was dropped, the staged one stays"
        );
        memory.committed(&[]);
        memory.page_begins();
        assert_eq!(memory.loads(&[first].into()).len(), 1);
    }
}
