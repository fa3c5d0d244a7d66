//! How the records of a content feed are packed into blobs.
//!
//! A blob holds some records in a row, each an hour older than the blob at the least, one in a hundred three days. Some
//! blobs also hold records of an earlier blob, some are listed twice, and those that appear while the services collect
//! are late every other time: dated before blobs that were listed already.

use std::ops::Range;

use jiff::{SignedDuration, Timestamp};
use simulator::records::office365;
use simulator::tenant::{ContentType, ContentUnknown, Tenant};

use super::emission::Plan;

/// Blobs of one feed, about: enough for several listing pages and for eight fetches side by side.
const BLOBS: u32 = 100;

/// Records of a blob, at the least and at the most.
const RECORDS: (u32, u32) = (5, 500);

/// Every so many blobs, one holds records of the blob so many before it, too.
const REPEATS: (u32, u32) = (5, 3);

/// Records that such a blob repeats.
const REPEATED: u32 = 2;

/// Every so many blobs, one is listed a second time, behind those of the next hours.
const LISTED_TWICE: (u32, SignedDuration) = (10, SignedDuration::from_hours(3));

/// A record is this old when its blob becomes available.
const DELAY: SignedDuration = SignedDuration::from_mins(65);

/// Every so many records, one is this old instead.
const OLD: (u32, SignedDuration) = (100, SignedDuration::from_hours(72));

/// Packs records into blobs and has them listed.
#[derive(Debug, Clone, Copy)]
pub struct Packer {
    plan: Plan,
    /// Records of a blob.
    size: u32,
}

impl Packer {
    /// A packer of the records of this plan.
    pub fn new(plan: Plan) -> Self {
        Self { plan, size: (plan.events / BLOBS).clamp(RECORDS.0, RECORDS.1) }
    }

    /// Packs the records of these numbers and emits the blobs.
    ///
    /// # Errors
    /// The tenant does not know what it was just given.
    pub fn emit_blobs(
        &self,
        tenant: &Tenant,
        feed: ContentType,
        numbers: Range<u32>,
    ) -> Result<(), ContentUnknown> {
        let mut first = numbers.start;
        while first < numbers.end {
            let end = first.saturating_add(self.size).min(numbers.end);
            let ordinal = first / self.size;
            let created = self.plan.appears(first, ordinal);
            let records = (first..end).chain(self.repeated(first, ordinal));
            let records = records.map(|number| office365(feed, u64::from(number), self.happened(number)));
            let content_id = tenant.emit_blob(feed, created, records.collect());
            if ordinal.is_multiple_of(LISTED_TWICE.0) {
                tenant.list_again(&content_id, (created + LISTED_TWICE.1).min(Timestamp::now()))?;
            }
            first = end;
        }
        Ok(())
    }

    /// Numbers of records that were in an earlier blob.
    fn repeated(&self, first: u32, ordinal: u32) -> Range<u32> {
        let (every, back) = REPEATS;
        let distance = back * self.size;
        if first < distance || ordinal % every != every - 1 {
            return 0..0;
        }
        first - distance..first - distance + REPEATED
    }

    fn happened(&self, number: u32) -> Timestamp {
        let (every, age) = OLD;
        self.plan.happened(number) - if number % every == every - 1 { age } else { DELAY }
    }
}
