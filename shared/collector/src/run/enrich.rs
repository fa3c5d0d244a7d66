//! Enrichment: counts of what belongs to a record, each asked for with a request of its own before the record is sent.
//!
//! There are thousands of such requests and few are allowed an hour, so the work goes on over many invocations. Nothing of
//! it is lost: what was sent is remembered like every record, and what was counted of the record at hand is kept beside
//! the page it stands on. A record is sent when all of its counts are there. What the application may not ask for is left
//! out of all records; what the API refuses for one record alone, of that record.
//!
//! An invocation first asks for the page at hand and then for counts. Where the limit allows no more than the page, the
//! next invocation asks for a count first: one request an invocation is enough to get on.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Error;
use crate::obfuscate::obfuscate;
use crate::outlook::Matter;
use crate::ports::{Related, RelatedRequest, Sink, Source, SourceError, StateStore};
use crate::service::Enrichment;

use super::batch::SAMPLES;
use super::{Run, Stop};

/// A request for a count that failed in so many invocations in a row is not made again for the same record.
const MOST_FAILURES: u32 = 3;
/// Characters of a record's id that a warning shows.
const SHOWN_OF_ID: usize = 20;

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

/// The record at hand, as far as its counts are known. They belong to the id, whatever becomes of the record's content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enriching {
    /// Id of the record.
    pub id: String,
    /// What is known, by member: `None` for a count that is left out.
    #[serde(default)]
    pub counts: BTreeMap<String, Option<u64>>,
    /// In how many invocations in a row the next count could not be had.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// An invocation had a request for its page and none for its counts: they come before the page.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_starved: bool,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// Asks for the counts of a record with this id, as far as they are wanted and were not counted before. They stay with
    /// the walk until the record is in the batch.
    pub(super) async fn counts_of(&mut self, id: Option<&str>) -> Result<Counts, Stop> {
        let settings = self.settings;
        if settings.enrichments.is_empty() || self.has_all_samples() {
            return Ok(Counts::default());
        }
        let Some(id) = id else {
            self.warn(
                "records that are no objects or have no usable id are sent without their counts".to_owned(),
            );
            return Ok(Counts::default());
        };
        if self.id_at_hand() != Some(id) {
            self.walk_mut().enriching = Some(Enriching { id: id.to_owned(), ..Enriching::default() });
        }
        self.ask_for_counts().await?;
        let known = self.walk().enriching.as_ref().map(|begun| &begun.counts);
        let wanted = settings.enrichments.iter().filter_map(|enrichment| {
            let count = known?.get(enrichment.member)?.as_ref()?;
            Some((enrichment.member, *count))
        });
        Ok(Counts(wanted.collect()))
    }

    /// Asks for the counts of the record at hand before its page, if page requests left none for them.
    pub(super) async fn feed_the_starved(&mut self) -> Result<(), Stop> {
        if self.walk().enriching.as_ref().is_some_and(|begun| begun.is_starved) {
            self.ask_for_counts().await?;
        }
        Ok(())
    }

    /// The record that was left with some of its counts: it is the first to go on with.
    pub(super) fn id_at_hand(&self) -> Option<&str> {
        self.walk().enriching.as_ref().map(|begun| begun.id.as_str())
    }

    /// A dry run asks for no counts that it does not show.
    fn has_all_samples(&self) -> bool {
        self.report.samples.as_ref().is_some_and(|samples| samples.len() >= SAMPLES)
    }

    /// Asks for what is not known yet of the record at hand.
    async fn ask_for_counts(&mut self) -> Result<(), Stop> {
        for enrichment in self.settings.enrichments.iter().copied() {
            let Some(begun) = &self.walk().enriching else { return Ok(()) };
            if begun.counts.contains_key(enrichment.member) || self.not_permitted.contains(enrichment.member)
            {
                continue;
            }
            let id = begun.id.clone();
            let answer = self.ask_for(enrichment, &id).await;
            let count = match answer {
                Ok(related) => self.count_in(related, enrichment, &id),
                Err(stop) => self.without_count(enrichment, &id, stop)?,
            };
            self.has_counted = true;
            if let Some(begun) = &mut self.walk_mut().enriching {
                begun.counts.insert(enrichment.member.to_owned(), count);
                begun.failures = 0;
            }
        }
        Ok(())
    }

    /// One request. What is in the batch is not kept waiting by it: neither by what the request limit makes it wait for
    /// nor by an API that takes its time.
    async fn ask_for(&mut self, enrichment: &'static Enrichment, id: &str) -> Result<Related, Stop> {
        loop {
            if self.is_share_used() {
                return Err(Stop::OutOfShare);
            }
            self.ship_what_would_grow_old().await?;
            let work_until = self.work_until();
            if self.now() >= work_until {
                return Err(Stop::OutOfTime);
            }
            let batch_until = self.batch.is_sent_by();
            let deadline = batch_until.map_or(work_until, |instant| instant.min(work_until));
            let request = RelatedRequest { enrichment, id: id.to_owned(), deadline };
            let answer = self.ports.source.related(&request).await;
            self.count_requests();
            (self.ports.progress)(&self.report);
            let is_for_the_batch = deadline < work_until
                && match &answer {
                    Err(SourceError::OutOfTime) => true,
                    Err(SourceError::Throttled { until }) => *until < work_until,
                    _ => false,
                };
            if !is_for_the_batch {
                return self.without_masked_id(answer.map_err(|refused| self.stop_for(refused)), id);
            }
            self.ship().await?;
        }
    }

    /// The count that came, if one did. What is not permitted is asked for again in the next invocation, for the next
    /// record: so a permission that is granted is noticed, and this record does not wait for it.
    fn count_in(&mut self, related: Related, enrichment: &'static Enrichment, id: &str) -> Option<u64> {
        match related {
            Related::Count(number) => return Some(number),
            Related::NotPermitted(why) => {
                self.not_permitted.insert(enrichment.member);
                let now = self.now();
                if self.is_dry() || self.warm.reminders.is_due(Matter::Count(enrichment.member), now) {
                    self.warn(format!("{} is left out of all records: {why}", enrichment.member));
                }
            }
            Related::Refused(why) => {
                let record = self.shown_id(id);
                self.warn(format!("{} is left out of the record {record}: {why}", enrichment.member));
            }
        }
        None
    }

    /// A count that fails time and again for one record must not keep all others behind it.
    fn without_count(&mut self, enrichment: &Enrichment, id: &str, stop: Stop) -> Result<Option<u64>, Stop> {
        let has_counted = self.has_counted;
        let Some(begun) = &mut self.walk_mut().enriching else { return Err(stop) };
        let error = match stop {
            Stop::Failed(error) => error,
            Stop::OutOfTime | Stop::OutOfShare | Stop::Throttled(_) => {
                begun.is_starved |= !has_counted;
                return Err(stop);
            }
            Stop::NotReady(_) | Stop::Retired(_) | Stop::Broken(_) => return Err(stop),
        };
        // A page that fails, too, shows whether it is this count or the whole API.
        begun.is_starved = false;
        begun.failures += 1;
        if begun.failures < MOST_FAILURES {
            return Err(Stop::Failed(error));
        }
        let record = self.shown_id(id);
        self.warn(format!(
            "{} is left out of the record {record}, for it failed {MOST_FAILURES} times: {error}",
            enrichment.member
        ));
        Ok(None)
    }

    /// As much of an id as tells the record to an operator, masked as in the record itself.
    fn shown_id(&self, id: &str) -> String {
        let sent = self.masked_id(id).unwrap_or_else(|| id.to_owned());
        let mut characters = sent.chars().filter(|letter| !letter.is_control());
        let start: String = characters.by_ref().take(SHOWN_OF_ID).collect();
        if characters.next().is_some() { format!("{start}…") } else { start }
    }

    /// What stands for the id in what is sent; `None` where it is sent as it is.
    fn masked_id(&self, id: &str) -> Option<String> {
        let path = self.settings.service.id;
        let record = path.iter().rev().fold(Value::from(id), |inner, name| json!({*name: inner}));
        let masked: Value = match obfuscate(record.to_string().as_bytes(), &self.settings.obfuscation) {
            Ok(text) => serde_json::from_slice(&text?).unwrap_or_default(),
            Err(_) => Value::Null,
        };
        let shown = path.iter().try_fold(&masked, |inner, name| inner.get(name)).and_then(Value::as_str);
        Some(shown.unwrap_or("with a masked id").to_owned())
    }

    /// The API may name the record in what it says of it.
    fn without_masked_id(&self, answer: Result<Related, Stop>, id: &str) -> Result<Related, Stop> {
        let words = |text: String| match self.masked_id(id) {
            Some(masked) => text.replace(id, &masked),
            None => text,
        };
        match answer {
            Ok(Related::NotPermitted(why)) => Ok(Related::NotPermitted(words(why))),
            Ok(Related::Refused(why)) => Ok(Related::Refused(words(why))),
            Err(Stop::Failed(error)) => Err(Stop::Failed(Error { message: words(error.message), ..error })),
            other => other,
        }
    }
}
