//! Enrichment: counts of what belongs to a record, each asked for with a request of its own before the record is sent.
//!
//! There are thousands of such requests and few are allowed an hour, so the work goes on over many invocations. Nothing of
//! it is lost: what was sent is remembered like every record, and what was counted of the record at hand is kept beside
//! the page it stands on. A record is sent when all of its counts are there. What the application may not ask for is left
//! out of all records; what the API refuses for one record alone, of that record.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ports::{Related, RelatedRequest, Sink, Source, SourceError, StateStore};
use crate::service::Enrichment;

use super::{Run, Stop};

/// A request for a count that failed in so many invocations is not made again for the same record.
const MOST_FAILURES: u32 = 3;

/// The counts of one record, by the member that holds them, in the order in which they are sent.
#[derive(Debug, Default)]
pub(super) struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The record with these counts as its last members; unchanged if it is no object.
    pub(super) fn added_to(&self, record: &[u8]) -> Bytes {
        let text = record.trim_ascii_end();
        let Some(inside) = text.strip_suffix(b"}").map(<[u8]>::trim_ascii_end).filter(|_| !self.is_empty())
        else {
            return Bytes::copy_from_slice(record);
        };
        let mut enriched = Vec::with_capacity(text.len() + self.0.len() * 32);
        enriched.extend_from_slice(inside);
        for (member, count) in &self.0 {
            let separator = if enriched.ends_with(b"{") { "" } else { "," };
            enriched.extend_from_slice(format!("{separator}\"{member}\":{count}").as_bytes());
        }
        enriched.push(b'}');
        Bytes::from(enriched)
    }
}

/// The record at hand, as far as its counts are known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enriching {
    /// Hash of the record, hexadecimal.
    pub record: String,
    /// What is known, by member: `None` for a count that is left out.
    pub counts: BTreeMap<String, Option<u64>>,
    /// In how many invocations the next count could not be had.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// Asks for the counts of a record with this id, as far as they are wanted and were not counted before.
    pub(super) async fn counts_of(&mut self, hash: u64, id: Option<&str>) -> Result<Counts, Stop> {
        let mut counts = Counts::default();
        let settings = self.settings;
        let Some(id) = id.filter(|_| !settings.enrichments.is_empty()) else { return Ok(counts) };
        let record = format!("{hash:016x}");
        let begun = self.walk().enriching.as_ref();
        if begun.is_none_or(|begun| begun.record != record) {
            self.walk_mut().enriching = Some(Enriching { record, ..Enriching::default() });
        }
        for enrichment in settings.enrichments.iter().copied() {
            let count = match self.known_count(enrichment) {
                Some(known) => known,
                None => self.ask_for(enrichment, id).await?,
            };
            counts.0.extend(count.map(|number| (enrichment.member, number)));
        }
        Ok(counts)
    }

    fn known_count(&self, enrichment: &Enrichment) -> Option<Option<u64>> {
        self.walk().enriching.as_ref()?.counts.get(enrichment.member).copied()
    }

    async fn ask_for(&mut self, enrichment: &'static Enrichment, id: &str) -> Result<Option<u64>, Stop> {
        if self.not_permitted.contains(enrichment.member) {
            return Ok(None);
        }
        if self.is_share_used() {
            return Err(Stop::OutOfShare);
        }
        // What is ready does not wait for what the request limit keeps waiting.
        let old_from = self.batch.is_old_from();
        let waits_until = self.ports.source.waits_until();
        if old_from.is_some_and(|old| old <= waits_until.unwrap_or_else(|| self.now())) {
            self.ship().await?;
        }
        let deadline = self.work_until();
        if self.now() >= deadline {
            return Err(Stop::OutOfTime);
        }
        let request = RelatedRequest { enrichment, id: id.to_owned(), deadline };
        let answer = self.ports.source.related(&request).await;
        self.count_requests();
        let count = match answer {
            Ok(Related::Count(number)) => Some(number),
            Ok(Related::NotPermitted(why)) => {
                self.not_permitted.insert(enrichment.member);
                self.warn(format!("{} is left out of all records: {why}", enrichment.member));
                return Ok(None);
            }
            Ok(Related::Refused(why)) => {
                self.warn(format!("{} is left out of a record: {why}", enrichment.member));
                None
            }
            Err(refused) => return self.without_count(enrichment, refused),
        };
        if let Some(begun) = &mut self.walk_mut().enriching {
            begun.counts.insert(enrichment.member.to_owned(), count);
            begun.failures = 0;
        }
        Ok(count)
    }

    /// A count that fails time and again for one record must not keep all others behind it.
    fn without_count(&mut self, enrichment: &Enrichment, refused: SourceError) -> Result<Option<u64>, Stop> {
        let stop = self.stop_for(refused);
        let Stop::Failed(error) = stop else { return Err(stop) };
        let Some(begun) = &mut self.walk_mut().enriching else { return Err(Stop::Failed(error)) };
        begun.failures += 1;
        if begun.failures < MOST_FAILURES {
            return Err(Stop::Failed(error));
        }
        begun.failures = 0;
        begun.counts.insert(enrichment.member.to_owned(), None);
        self.warn(format!(
            "{} is left out of a record, for it failed {MOST_FAILURES} times: {error}",
            enrichment.member
        ));
        Ok(None)
    }
}
