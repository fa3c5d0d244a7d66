//! What of a snapshot is sent again: what is new or changed, and as the mode says, everything once a day or each time.
//!
//! The version that is remembered of an id is a part of its content's hash and the second in which the snapshot began that
//! sent it. Each mode finds in that what it needs, so one knows what another has sent; and a snapshot that starts again
//! after a crash or a lost link sends nothing twice. The second is counted within half a year, and versions are kept for
//! less. Of the hash 40 bits are left, which are only ever compared with those of the same id: among 10¹² changes one is
//! expected to be missed.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::memory::Bucket;
use crate::ports::{Sink, Source, StateStore};
use crate::settings::SnapshotMode;
use crate::window::earlier;

use super::Run;

const CONTENT_BITS: u32 = 40;
const CONTENT: u64 = (1 << CONTENT_BITS) - 1;
/// The seconds that the other bits can count.
const SECONDS: i64 = 1 << (u64::BITS - CONTENT_BITS);

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// The version of a record as it is to be judged and remembered: of a snapshot the one that was sent last, if the
    /// mode is content with that.
    pub(super) fn version(&self, bucket: Bucket, hash: u64) -> u64 {
        let Some(taken) = self.walk().window_from.filter(|_| self.is_snapshot_at_hand()) else {
            return hash;
        };
        let sent = self.warm.memory.last_version(bucket);
        sent.filter(|version| is_enough(*version, hash, taken, self.settings.snapshot_mode))
            .unwrap_or_else(|| version_of(hash, taken))
    }
}

/// The version of this content in a snapshot that began then.
fn version_of(content: u64, taken: Timestamp) -> u64 {
    let second = taken.as_second().rem_euclid(SECONDS).unsigned_abs();
    content & CONTENT | second << CONTENT_BITS
}

/// Whether a version that was sent needs not be sent again by a snapshot that began at `taken`, in this mode.
fn is_enough(version: u64, content: u64, taken: Timestamp, mode: SnapshotMode) -> bool {
    let day = |instant: Timestamp| instant.to_zoned(TimeZone::UTC).date();
    version & CONTENT == content & CONTENT
        && match mode {
            SnapshotMode::Changes => true,
            SnapshotMode::Daily => day(sent_at(version, taken)) == day(taken),
            SnapshotMode::Always => version == version_of(content, taken),
        }
}

/// When the snapshot began that sent a version.
fn sent_at(version: u64, taken: Timestamp) -> Timestamp {
    let second = (version >> CONTENT_BITS).cast_signed();
    earlier(taken, SignedDuration::from_secs((taken.as_second() - second).rem_euclid(SECONDS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_content_with_what_was_sent_of_the_same_content_when_it_says() {
        use SnapshotMode::{Always, Changes, Daily};
        let taken: Timestamp = "2026-11-20T06:00:00Z".parse().unwrap();
        let table = [
            ("2026-11-20T06:00:00Z", [true, true, true]),
            ("2026-11-20T05:59:59Z", [true, true, false]),
            ("2026-11-20T00:00:00Z", [true, true, false]),
            ("2026-11-19T23:59:59Z", [true, false, false]),
            ("2026-11-19T06:00:00Z", [true, false, false]),
            ("2026-05-12T06:00:00Z", [true, false, false]),
        ];
        for (before, expected) in table {
            let sent = version_of(0x1234_5678_9abc_def0, before.parse().unwrap());
            let enough = |content| [Changes, Daily, Always].map(|mode| is_enough(sent, content, taken, mode));
            assert_eq!(enough(0x1234_5678_9abc_def0), expected, "{before}");
            assert_eq!(enough(0x1234_5678_9abc_def1), [false; 3], "{before}");
            assert_eq!(sent_at(sent, taken), before.parse().unwrap());
        }
    }
}
