//! Records as they come: which of them are new, and what is sent of them.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use crate::instant;
use crate::memory::{Bucket, Load, Memory, Stored, Verdict};
use crate::message::{Picked, paths};
use crate::ports::{RelatedRequest, Sink, Source, StateStore, Write};
use crate::record::scan;
use crate::service::SameBy;
use crate::window::later;

use super::batch::{MOST_BYTES, MOST_ROWS, Show};
use super::course::Course;
use super::unfinished::unfinished_since;
use super::{Run, Stop, proof};

/// Rows that a full memory may forget with any commit, and still the commit is small enough.
const FORGOTTEN_AT_LEAST: usize = 4;

/// What the rules need to know of a record.
struct Entry {
    hash: u64,
    bucket: Bucket,
    event_time: Option<Timestamp>,
    /// Its event time, if it has no end yet.
    unfinished_since: Option<Timestamp>,
    tag_index: usize,
    is_object: bool,
    /// Its id, where it is to be enriched.
    id: Option<String>,
}

/// A snapshot whose records are enriched, with a few requests an hour for thousands of them, takes no longer than so.
const SLOWEST_SNAPSHOT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// A record over this many bytes is worth a line in the log.
const LARGE_RECORD_BYTES: usize = 1024 * 1024;

/// Records of one list that have the same id and not the same content are no versions of each other: if they were, each
/// would be new again whenever the page is read again, and a page that takes many invocations would have no end.
fn tell_namesakes_apart(entries: &mut [Entry]) {
    let mut first: HashMap<Bucket, u64> = HashMap::with_capacity(entries.len());
    let shared: BTreeSet<Bucket> = entries
        .iter()
        .filter(|entry| *first.entry(entry.bucket).or_insert(entry.hash) != entry.hash)
        .map(|entry| entry.bucket)
        .collect();
    for entry in entries.iter_mut().filter(|entry| shared.contains(&entry.bucket)) {
        entry.bucket = Bucket::Version(entry.hash);
    }
}

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// Drops what was delivered before and puts the rest into the open batch, which is sent whenever it is full.
    pub(super) async fn take_records(&mut self, records: &[Bytes]) -> Result<(), Stop> {
        let wanted = paths(self.settings);
        let mut entries: Vec<Entry> = records.iter().map(|record| self.entry(record, &wanted)).collect();
        if self.is_snapshot_at_hand() {
            tell_namesakes_apart(&mut entries);
        }
        let places: Vec<(Bucket, u64)> = entries.iter().map(|entry| (entry.bucket, entry.hash)).collect();
        self.load_memory(&places).await?;
        let mut order: Vec<(&Bytes, &mut Entry)> = records.iter().zip(&mut entries).collect();
        if let Some(at_hand) = self.id_at_hand().map(str::to_owned) {
            // Pages need not have an order, and what was counted is kept of one record alone.
            order.sort_by_key(|(_, entry)| entry.id.as_ref() != Some(&at_hand));
        }
        for (record, entry) in order {
            entry.hash = self.version(entry.bucket, entry.hash);
            match self.judge(entry.bucket, entry.hash) {
                Verdict::New => {
                    self.send(record, entry).await?;
                    continue;
                }
                Verdict::Ending => {
                    self.make_room(0, entry.bucket).await?;
                    self.stage(entry.bucket, entry.hash);
                }
                Verdict::Known => {}
            }
            self.receive(entry);
            self.report.duplicates += 1;
        }
        Ok(())
    }

    fn receive(&mut self, entry: &Entry) {
        self.report.received += 1;
        self.note_unfinished(entry.unfinished_since);
        // A feed's position is when content became available, not when its records happened.
        if !self.settings.service.query.is_content() {
            self.note_event_time(entry.event_time);
        }
    }

    fn entry(&mut self, record: &Bytes, wanted: &[&[&str]]) -> Entry {
        let ignoring = match self.settings.service.same_by {
            SameBy::Content => None,
            SameBy::LastVersion { ignoring, .. } => ignoring,
        };
        let key = self.record_key();
        let scanned = scan(record, &key, wanted, ignoring);
        let picked = Picked::new(scanned.picked);
        let event_time = picked.event_time.and_then(instant::of_member);
        let bucket = match self.settings.service.same_by {
            SameBy::Content if self.is_snapshot_at_hand() => Bucket::Version(scanned.hash),
            SameBy::Content => Bucket::of(event_time),
            SameBy::LastVersion { .. } => {
                Bucket::Version(picked.id.map_or(scanned.hash, |id| key.of_value(id)))
            }
        };
        let is_enriched = !self.settings.enrichments.is_empty();
        let id = picked.id.filter(|_| is_enriched).and_then(RelatedRequest::id_of_member);
        Entry {
            id,
            hash: scanned.hash,
            bucket,
            event_time,
            unfinished_since: unfinished_since(&picked),
            tag_index: self.query_index().unwrap_or_else(|| self.tags.index(picked.route)),
            is_object: scanned.is_object,
        }
    }

    /// Puts a new record into the batch, which is sent first if there is no room for it.
    async fn send(&mut self, record: &Bytes, entry: &Entry) -> Result<(), Stop> {
        let counts = self.counts_of(entry.id.as_deref()).await?;
        let mut events = self.events_of(record, &counts)?;
        // The events of a record stay together in one batch. Where they are more than one holds, it is sent before them,
        // and they are not all made before they are put into the next.
        let mut ready: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        for text in events.by_ref() {
            bytes += self.frame_bytes(&text, entry.tag_index);
            ready.push(text);
            if bytes > MOST_BYTES {
                break;
            }
        }
        self.make_room(bytes, entry.bucket).await?;
        self.receive(entry);
        self.stage(entry.bucket, entry.hash);
        // Only now: a batch that was sent to make room took the counts along.
        if entry.id.is_some() {
            self.walk_mut().enriching = None;
        }
        let mut longest = 0;
        for (index, text) in ready.into_iter().chain(events).enumerate() {
            longest = longest.max(text.len());
            let show = if index == 0 { Show::AsSample } else { Show::Nothing };
            self.append(entry.tag_index, &text, entry.is_object, show);
        }
        if longest > LARGE_RECORD_BYTES {
            self.warn(format!("a record of {longest} bytes is sent whole; Devo may cut it"));
        }
        self.batch.records += 1;
        self.batch.late += u64::from(self.course.is_sweep());
        Ok(())
    }

    pub(super) async fn make_room(&mut self, frame_bytes: usize, bucket: Bucket) -> Result<(), Stop> {
        if self.is_full_for(frame_bytes, bucket) { self.ship().await } else { Ok(()) }
    }

    /// Reads what must be known before these hashes can be judged.
    pub(super) async fn load_memory(&mut self, places: &[(Bucket, u64)]) -> Result<(), Stop> {
        self.warm.memory.page_begins();
        if let Some(own) = self.course.backfill_mut().and_then(|open| open.own_memory_mut()) {
            own.page_begins();
        }
        let buckets: BTreeSet<Bucket> = places.iter().map(|(bucket, _)| *bucket).collect();
        for load in self.warm.memory.loads(&buckets) {
            if load.is_read_in_parts() {
                self.load_in_parts(&load).await?;
                continue;
            }
            let rows = self.read_rows(&load).await?;
            self.warm.memory.loaded(&load, rows);
        }
        let own_loads = self.course.backfill().map(|open| open.loads(&buckets)).unwrap_or_default();
        for load in own_loads {
            let rows = self.read_rows(&load).await?;
            if let Some(open) = self.course.backfill_mut() {
                open.loaded(&load, rows);
            }
        }
        self.confirm(places).await
    }

    /// Reads rows that are too many to be held all at once.
    async fn load_in_parts(&mut self, load: &Load) -> Result<(), Stop> {
        let mut read = Stored::default();
        let mut first = Some(load.first.clone());
        while let Some(from) = first {
            let part = self.ports.state.query_part(&self.settings.partition(), &from, &load.last).await;
            let (rows, rest) = part.map_err(|error| Stop::Failed(proof::failure(&error)))?;
            self.warm.memory.part_loaded(&mut read, &rows);
            first = rest;
        }
        self.warm.memory.parts_loaded(read);
        Ok(())
    }

    /// Reads the hashes behind filters that say "maybe": nothing is dropped because of a guess.
    async fn confirm(&mut self, places: &[(Bucket, u64)]) -> Result<(), Stop> {
        for load in self.warm.memory.doubts(places) {
            let rows = self.read_rows(&load).await?;
            self.warm.memory.confirmed(&load, rows);
        }
        let own_doubts = self.course.backfill().map(|open| open.doubts(places)).unwrap_or_default();
        for load in own_doubts {
            let rows = self.read_rows(&load).await?;
            if let Some(open) = self.course.backfill_mut() {
                open.confirmed(&load, rows);
            }
        }
        Ok(())
    }

    async fn read_rows(&mut self, load: &Load) -> Result<Vec<crate::ports::Row>, Stop> {
        let rows = self.ports.state.query(&self.settings.partition(), &load.first, &load.last).await;
        rows.map_err(|error| Stop::Failed(proof::failure(&error)))
    }

    /// What is to be done with a record. A backfill that sends again judges by its own memory.
    pub(super) fn judge(&self, bucket: Bucket, hash: u64) -> Verdict {
        let own = self.course.backfill().and_then(|open| open.own_memory());
        own.unwrap_or(&self.warm.memory).judge(bucket, hash, self.kept_long_enough())
    }

    /// Remembers a record. A backfill that sends again remembers in both memories.
    pub(super) fn stage(&mut self, bucket: Bucket, hash: u64) {
        let enough = self.kept_long_enough();
        self.note_opening();
        self.warm.memory.stage(bucket, hash, enough);
        if let Some(own) = self.course.backfill_mut().and_then(|open| open.own_memory_mut()) {
            own.stage(bucket, hash, enough);
        }
    }

    /// How long a record is remembered after it was seen last: for as long as the API may give it again. What a list
    /// gives is met again with the next snapshot, which may be long in coming, and begins when the last one is complete.
    fn remembered_for(&self) -> SignedDuration {
        let retention = self.settings.service.window.retention;
        let Some(period) = self.longest_period_of_snapshots() else { return retention };
        let two_periods = period.checked_mul(2).unwrap_or(SignedDuration::MAX);
        let slowest = if self.settings.enrichments.is_empty() { retention } else { SLOWEST_SNAPSHOT };
        retention.max(two_periods).max(slowest)
    }

    /// A row that ends before this instant, epoch seconds, has less than that left.
    fn kept_long_enough(&self) -> i64 {
        later(self.started, self.remembered_for()).as_second()
    }

    /// The memories that records are staged in.
    pub(super) fn memories(&self) -> impl Iterator<Item = &Memory> {
        let own = self.course.backfill().and_then(|open| open.own_memory());
        [&self.warm.memory].into_iter().chain(own)
    }

    /// What the next commit shall write and remove of the memories: the staged records in every memory they belong to,
    /// and what a full memory forgets.
    pub(super) async fn rows_to_write(&mut self) -> Vec<Write> {
        let version = self.committed.version + 1;
        let retention = self.remembered_for();
        let mut rows: Vec<Write> =
            self.memories().flat_map(|memory| memory.rows(version, self.started, retention)).collect();
        let room = MOST_ROWS.saturating_sub(rows.len() + self.batch.queue.len()).max(FORGOTTEN_AT_LEAST);
        rows.extend(self.forget_oldest(room).await);
        rows.extend(self.warm.memory.superseded(room));
        rows
    }

    /// Keeps a feed's memory within its limits.
    async fn forget_oldest(&mut self, most_rows: usize) -> Vec<Write> {
        let Some(limits) = self.settings.memory else { return Vec::new() };
        let staged = self.warm.memory.staged_hashes();
        self.next.remembered = self.committed.remembered + staged;
        if self.next.remembered <= limits.most {
            return Vec::new();
        }
        if self.warm.memory.remembered().is_none() && !self.is_dry() {
            let load = self.warm.memory.census_load();
            // Without an answer nothing is forgotten now; a state that does not answer ends the invocation elsewhere.
            if let Ok(rows) = self.read_rows(&load).await {
                self.warm.memory.take_census(rows);
            }
        }
        if let Some(stored) = self.warm.memory.remembered() {
            self.next.remembered = stored + staged;
        }
        let Some(forgotten) = self.warm.memory.forget(self.now(), most_rows) else { return Vec::new() };
        self.next.remembered = self.next.remembered.saturating_sub(forgotten.hashes);
        self.memory_reaches_to = self.memory_reaches_to.max(Some(forgotten.reaches_back_to));
        forgotten.writes
    }

    pub(super) fn note_event_time(&mut self, event_time: Option<Timestamp>) {
        let Some(instant) = event_time.filter(|instant| *instant <= self.started.max(self.now())) else {
            return;
        };
        if self.settings.service.query.is_in_order() {
            self.note_swept(instant);
        }
        if let Course::Query(index) = self.course {
            self.note_event_time_of_query(index, instant);
        }
        let is_newest = self.next.last_event_time_in_utc.is_none_or(|newest| newest < instant);
        if self.course.is_live() && is_newest && !self.is_from_before_its_window(instant) {
            self.next.last_event_time_in_utc = Some(instant);
        }
    }

    /// Whether a record of this time stands in a window for something that happened to it later, as an alert that was
    /// resolved does: it says nothing of how far its list was read.
    fn is_from_before_its_window(&self, event_time: Timestamp) -> bool {
        let window = self.walk().window().filter(|_| !self.is_snapshot_at_hand());
        window.is_some_and(|window| event_time < window.from)
    }
}
