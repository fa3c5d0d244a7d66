//! The retry queue of a content feed: content that could not be had when it was listed.
//!
//! An entry is a row of the feed's own partition, written in the commit that moves the window past it. It is tried again
//! after growing delays until its content expires; then it is lost, by name. The checkpoint says how many wait and when
//! the first of them expires, so that a tick that has nothing to do with the queue reads none of it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checkpoint::Queue;
use crate::memory::Bucket;
use crate::ports::{Blob, Row, Sink, Source, StateStore, Write};
use crate::window::{earlier, later};

use super::content::Wanted;
use super::{Run, Stop, proof};

/// Key prefix of the queue's entries, followed by generation and hash of the content id.
pub const QUEUE_PREFIX: &str = "retry#";

/// Delay before the first retry; it doubles with each.
const FIRST_DELAY: SignedDuration = SignedDuration::from_mins(5);
/// Longest delay.
const LONGEST_DELAY: SignedDuration = SignedDuration::from_hours(6);
/// Entries handed to the source at once, those that expire first before the others.
const AT_ONCE: usize = 500;
/// A feed tries entries itself that expire this soon: its retry service may be switched off, or stuck.
const SOON: SignedDuration = SignedDuration::from_hours(12);
/// Characters of a content id that are shown.
const MOST_SHOWN: usize = 300;
/// The part of an invocation's time that a feed spends on that at the most: newer content does not wait for old.
const PART_FOR_OLD: i32 = 3;
/// An entry stays this long after its content expired, so that its loss is noticed even after a long pause.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    #[serde(skip)]
    key: String,
    content_id: String,
    content_uri: String,
    content_created: Timestamp,
    content_expiration: Timestamp,
    /// When it failed first.
    failed_since_in_utc: Timestamp,
    /// How often it was tried, the first time included.
    attempts: u32,
    next_attempt_in_utc: Timestamp,
    /// Why it failed last.
    reason: String,
}

/// Which entries are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those whose delay is over.
    Due,
    /// Those of them that expire soon.
    DueAndExpiringSoon,
    /// All of them.
    All,
}

impl Waiting {
    fn new(blob: &Blob, key: String, now: Timestamp, reason: String) -> Self {
        Self {
            key,
            content_id: blob.id.clone(),
            content_uri: blob.uri.clone(),
            content_created: blob.created,
            content_expiration: blob.expires,
            failed_since_in_utc: now,
            attempts: 0,
            next_attempt_in_utc: now,
            reason,
        }
    }

    fn read(row: &Row) -> Option<Self> {
        let entry: Self = serde_json::from_value(Value::Object(row.fields.clone())).ok()?;
        Some(Self { key: row.key.clone(), ..entry })
    }

    fn row(&self) -> Row {
        let fields = match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members,
            Ok(_) | Err(_) => serde_json::Map::default(),
        };
        let expires_at = Some(later(self.content_expiration, KEPT).as_second());
        Row { key: self.key.clone(), fields, data: None, expires_at }
    }

    /// It failed once more.
    fn failed(mut self, now: Timestamp, reason: String) -> Self {
        let doubled = 2_i32.checked_pow(self.attempts).and_then(|factor| FIRST_DELAY.checked_mul(factor));
        // The nearer the end, the more often.
        let left = self.content_expiration.duration_since(now) / 3;
        let delay = doubled.unwrap_or(LONGEST_DELAY).min(LONGEST_DELAY).min(left).max(FIRST_DELAY);
        self.attempts += 1;
        self.next_attempt_in_utc = later(now, delay);
        self.reason = reason;
        self
    }

    fn blob(&self) -> Blob {
        Blob {
            id: self.content_id.clone(),
            uri: self.content_uri.clone(),
            created: self.content_created,
            expires: self.content_expiration,
        }
    }

    fn is_tried(&self, which: Which, now: Timestamp) -> bool {
        let is_due = self.next_attempt_in_utc <= now;
        match which {
            Which::All => true,
            Which::Due => is_due,
            Which::DueAndExpiringSoon => is_due && expires_soon(self.content_expiration, now),
        }
    }
}

/// The generation that an entry belongs to.
fn generation_of(row_key: &str) -> Option<u64> {
    row_key.strip_prefix(QUEUE_PREFIX)?.split('#').next()?.parse().ok()
}

/// As much of a content id as an answer, the story and the checkpoint can bear; the API's own have about a hundred
/// characters.
pub(super) fn shown(content_id: &str) -> String {
    match content_id.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}...", content_id.get(..end).unwrap_or_default()),
        None => content_id.to_owned(),
    }
}

fn key_of(change: &Write) -> &str {
    match change {
        Write::Put(row) | Write::Add(row) => &row.key,
        Write::Delete(key) => key,
    }
}

fn expires_soon(expiry: Timestamp, now: Timestamp) -> bool {
    earlier(expiry, SOON) <= now
}

/// Whether anything is to be done about a queue of which these are the rows.
pub(super) fn has_work(rows: &[Row], which: Which, now: Timestamp) -> bool {
    rows.iter()
        .filter_map(Waiting::read)
        .any(|entry| entry.content_expiration <= now || entry.is_tried(which, now))
}

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// A feed's own tick looks after what would be lost soon.
    pub(super) async fn retry_what_expires_soon(&mut self) -> Result<(), Stop> {
        let first = self.next.retry_queue.first_expiry_in_utc;
        if !first.is_some_and(|expiry| expires_soon(expiry, self.now())) {
            return Ok(());
        }
        let now = self.now();
        let part = self.work_until().duration_since(now) / PART_FOR_OLD;
        match self.work_off_queue(Which::DueAndExpiringSoon, later(now, part)).await {
            Err(Stop::OutOfTime) if self.now() < self.work_until() => Ok(()),
            end => end,
        }
    }

    /// Tries entries again until `deadline`; those whose content has expired are lost.
    pub(super) async fn work_off_queue(&mut self, which: Which, deadline: Timestamp) -> Result<(), Stop> {
        let entries = self.read_queue().await?;
        let now = self.now();
        let mut tried = Vec::new();
        for entry in entries {
            let wanted = Wanted { blob: entry.blob(), waiting: Some(entry) };
            let Some(waiting) = &wanted.waiting else { continue };
            if waiting.content_expiration <= now {
                let reason = format!("it expired after {} attempts: {}", waiting.attempts, waiting.reason);
                self.lose(&wanted, &reason).await?;
            } else if waiting.is_tried(which, now) {
                tried.push(wanted);
            }
        }
        tried.sort_by_key(|wanted| wanted.blob.expires);
        for some in tried.chunks(AT_ONCE) {
            self.fetch_all(some.to_vec(), deadline).await?;
        }
        Ok(())
    }

    /// Learns which entries there are, so that one that waits already is not counted twice when it fails again.
    pub(super) async fn know_queue(&mut self) -> Result<(), Stop> {
        if self.queue_expiries.is_some() {
            return Ok(());
        }
        if self.next.retry_queue.is_empty() {
            self.queue_expiries = Some(BTreeMap::new());
            return Ok(());
        }
        self.read_queue().await.map(|_| ())
    }

    async fn read_queue(&mut self) -> Result<Vec<Waiting>, Stop> {
        let last = format!("{QUEUE_PREFIX}~");
        let rows = self.ports.state.query(&self.settings.partition(), QUEUE_PREFIX, &last).await;
        let mut entries = Vec::new();
        for row in rows.map_err(|error| Stop::Failed(proof::failure(&error)))? {
            if generation_of(&row.key).is_some_and(|generation| generation < self.next.generation) {
                // Since the service started anew nobody asks for it any more.
                self.make_room(0, Bucket::Timeless).await?;
                self.write_queue(Write::Delete(row.key));
                continue;
            }
            match Waiting::read(&row) {
                Some(entry) => entries.push(entry),
                None => self.warn(format!("the row {} is no entry of the retry queue, left alone", row.key)),
            }
        }
        let (counted, found) = (self.next.retry_queue.waiting, entries.len() as u64);
        if found < counted {
            self.warn(format!(
                "{} content URIs have vanished from the retry queue: their content was not had",
                counted - found
            ));
        }
        let expiries = entries.iter().map(|entry| (entry.key.clone(), entry.content_expiration)).collect();
        self.note_queue(expiries);
        Ok(entries)
    }

    /// The entry of a blob that failed (once more); `None` when no row can hold it.
    pub(super) fn entry_of(&self, failed: &Wanted, reason: &str) -> Option<Waiting> {
        let now = self.now();
        let entry = failed.waiting.clone().unwrap_or_else(|| {
            let key = format!(
                "{QUEUE_PREFIX}{}#{:016x}",
                self.next.generation,
                self.hash_key.of_name(&failed.blob.id)
            );
            Waiting::new(&failed.blob, key, now, String::new())
        });
        let entry = entry.failed(now, reason.to_owned());
        (proof::size(&entry.row()) <= self.ports.state.limits().row_bytes).then_some(entry)
    }

    /// The blob failed: it waits, in the batch that settles it. The queue is known.
    pub(super) fn enter_queue(&mut self, entry: &Waiting) {
        self.batch.failed_uris += 1;
        if self.report.failed_uris + self.batch.failed_uris == 1 {
            let sends_again = self.course.backfill().is_some_and(|open| open.own_memory().is_some());
            let then =
                if sends_again { "; from there only what was not delivered before is sent" } else { "" };
            self.warn(format!(
                "content {} of {} could not be had: {}; it waits in the retry queue, as do others that \
                 failed_uris counts{then}",
                shown(&entry.content_id),
                self.settings.service.name,
                entry.reason
            ));
        }
        let expiry = entry.content_expiration;
        let mut expiries = self.queue_expiries.take().unwrap_or_default();
        expiries.insert(entry.key.clone(), expiry);
        self.note_queue(expiries);
        self.write_queue(Write::Put(entry.row()));
    }

    /// The entry is done with.
    pub(super) fn leave_queue(&mut self, entry: &Waiting) {
        let mut expiries = self.queue_expiries.take().unwrap_or_default();
        expiries.remove(&entry.key);
        self.note_queue(expiries);
        self.write_queue(Write::Delete(entry.key.clone()));
    }

    /// Puts a change into the open batch. A commit holds each key once: the last word counts.
    fn write_queue(&mut self, change: Write) {
        self.batch.queue.retain(|earlier| key_of(earlier) != key_of(&change));
        if let Write::Put(row) = &change {
            self.batch.queue_bytes += proof::size(row);
        }
        self.batch.queue.push(change);
    }

    fn note_queue(&mut self, expiries: BTreeMap<String, Timestamp>) {
        self.next.retry_queue =
            Queue { waiting: expiries.len() as u64, first_expiry_in_utc: expiries.values().min().copied() };
        self.queue_expiries = Some(expiries);
    }
}
