//! Buckets: the parts of a memory that are read, held and dropped as a whole.
//!
//! Records that are the same have the same event time, so a record need only be compared with the bucket of its own hour.
//! The names of buckets are parts of row keys and sort like the hours they stand for.

use std::hash::Hasher;

use jiff::Timestamp;

/// One bucket of the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bucket {
    /// Content blobs that became available in one hour, in hours since 1970 UTC: not records, but what they came in.
    Content(i64),
    /// Records of one hour, in hours since 1970 UTC.
    Hour(i64),
    /// Records without a readable event time.
    Timeless,
    /// The last version of the record with this id, by the hash of the id: it holds one hash.
    Version(u64),
}

/// What names of content buckets begin with. `~` sorts behind everything else: a read of records does not meet them, and
/// they are next to what a feed reads together with them at its start.
const CONTENT: &str = "~content.";
/// All versions have rows in common.
const VERSIONS: &str = "~versions";
/// 0001-01-01T00:00:00Z: the names of earlier hours would not sort.
const FIRST_NAMED_SECOND: i64 = -62_135_596_800;

impl Bucket {
    /// The bucket of a record.
    pub fn of(event_time: Option<Timestamp>) -> Self {
        let written = event_time.filter(|instant| instant.as_second() >= FIRST_NAMED_SECOND);
        written.map_or(Self::Timeless, |instant| Self::Hour(instant.as_second().div_euclid(3600)))
    }

    /// The bucket of a content blob.
    pub fn of_content(created: Timestamp) -> Self {
        match Self::of(Some(created)) {
            Self::Hour(hour) => Self::Content(hour),
            other => other,
        }
    }

    /// Its part of a row key.
    pub(super) fn name(self) -> String {
        match self {
            Self::Timeless => "timeless".to_owned(),
            Self::Hour(hour) => name_of_hour(hour),
            Self::Content(hour) => format!("{CONTENT}{}", name_of_hour(hour)),
            Self::Version(_) => VERSIONS.to_owned(),
        }
    }

    /// Inverse of [`Self::name`].
    pub(super) fn parse(name: &str) -> Option<Self> {
        if name == "timeless" {
            return Some(Self::Timeless);
        }
        let hour = |text: &str| {
            let start: Timestamp = format!("{text}:00:00Z").parse().ok()?;
            Some(start.as_second().div_euclid(3600))
        };
        match name.strip_prefix(CONTENT) {
            Some(rest) => hour(rest).map(Self::Content),
            None => hour(name).map(Self::Hour),
        }
    }
}

fn name_of_hour(hour: i64) -> String {
    start_of_hour(hour).map_or_else(|| format!("{hour}"), |start| start.strftime("%Y-%m-%dT%H").to_string())
}

/// When an hour begins; `None` beyond the year 9999.
pub(super) fn start_of_hour(hour: i64) -> Option<Timestamp> {
    Timestamp::from_second(hour.saturating_mul(3600)).ok()
}

/// Hashes are uniform already.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Uniform(u64);

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
