//! The open batch: what one connection carries and one commit makes true.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::error::Error;
use crate::memory::Bucket;
use crate::ports::{Commit, Event, Guard, Sink, Source, StateStore, Write};
use crate::report::Sample;
use crate::story;
use crate::window::later;

use super::{Run, Stop, proof};

/// Frames of one batch, in bytes before compression.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// Records of one batch.
const MOST_RECORDS: u64 = 20_000;
/// A batch this old is sent before the next page is asked for.
const OLDEST: SignedDuration = SignedDuration::from_secs(20);
/// Buckets of one batch: each is a row of its commit, which holds 100 at the most.
const MOST_BUCKETS: usize = 90;
/// More than any frame adds to its message and tag.
const FRAME_OVERHEAD: usize = 256;
/// Records shown by a dry run.
const SAMPLES: usize = 3;

/// Counts of the open batch.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: u64,
    pub(super) events: u64,
    pub(super) bytes: usize,
    /// Events by index of their tag.
    tables: BTreeMap<usize, u64>,
    opened_at: Option<Timestamp>,
}

impl Batch {
    pub(super) fn is_old(&self, now: Timestamp) -> bool {
        self.opened_at.is_some_and(|opened| later(opened, OLDEST) <= now)
    }
}

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// Whether the batch must be sent before a record of this size and bucket goes in.
    pub(super) fn is_full_for(&self, record_bytes: usize, bucket: Bucket) -> bool {
        let memory = &self.warm.memory;
        self.batch.records >= MOST_RECORDS
            || (self.batch.records > 0 && self.batch.bytes + record_bytes + FRAME_OVERHEAD > MOST_BYTES)
            || (memory.staged_buckets() >= MOST_BUCKETS / self.spaces() && !memory.is_staged(bucket))
    }

    /// Puts one event of a record into the batch.
    pub(super) fn append(&mut self, tag_index: usize, message_of: &[u8], is_object: bool) {
        let message = self.messages.write(message_of, is_object);
        let tag = self.tags.get(tag_index);
        if self.invocation.request.dry_run {
            let samples = self.report.samples.get_or_insert_default();
            if samples.len() < SAMPLES {
                let shown = serde_json::from_slice(message)
                    .unwrap_or_else(|_| serde_json::Value::from(String::from_utf8_lossy(message)));
                samples.push(Sample { tag: tag.to_owned(), message: shown });
            }
        } else {
            self.batch.bytes += self.ports.sink.append(&Event { time: self.started, tag, message });
        }
        self.batch.events += 1;
        *self.batch.tables.entry(tag_index).or_default() += 1;
        self.batch.opened_at.get_or_insert_with(|| self.ports.clock.now());
    }

    /// Sends the open batch and commits what it makes true.
    pub(super) async fn ship(&mut self) -> Result<(), Stop> {
        let writes = self.memory_rows();
        self.ship_with(writes).await.map_err(Stop::Broken)?;
        (self.ports.progress)(&self.report);
        if self.ports.clock.now() >= self.work_until() {
            return Err(Stop::OutOfTime);
        }
        Ok(())
    }

    /// The same with these rows beside the position.
    pub(super) async fn ship_with(&mut self, rows: Vec<Write>) -> Result<(), Error> {
        if self.is_dry() {
            self.batch_is_committed(&rows);
            return Ok(());
        }
        let commit = self.build_commit(rows)?;
        let delivered = match proof::deliver(self.ports.sink, self.deliver_until()).await {
            Ok(delivered) => delivered,
            Err(error) => return Err(self.batch_is_broken(error)),
        };
        let clock = self.ports.clock;
        let deadline = self.invocation.deadline;
        match proof::commit(self.ports.state, &commit, delivered, clock, deadline).await {
            Ok(()) => {
                self.committed = self.next.clone();
                self.batch_is_committed(&commit.writes);
                Ok(())
            }
            Err(error) => {
                // Somebody else may hold the lease now, and the position is not known: nothing more is written.
                self.holds_lease = false;
                Err(self.batch_is_broken(error))
            }
        }
    }

    /// The commit of the open batch, checked against the store's limits before anything is sent.
    pub(super) fn build_commit(&mut self, mut writes: Vec<Write>) -> Result<Commit, Error> {
        let guard = Guard { writer: self.invocation.nonce.clone(), version: self.committed.version };
        self.next.version = guard.version + 1;
        self.next.writer.clone_from(&guard.writer);
        writes.extend(self.backfill.iter().flat_map(super::backfill::Open::writes));
        self.book(&mut writes);
        let commit = Commit {
            partition: self.settings.partition(),
            token: format!("{}-{}", guard.writer.chars().take(20).collect::<String>(), guard.version),
            guard,
            checkpoint: self.next.row()?,
            writes,
        };
        proof::check(&commit, self.ports.state.limits())?;
        Ok(commit)
    }

    fn batch_is_committed(&mut self, writes: &[Write]) {
        let batch = std::mem::take(&mut self.batch);
        self.report.delivered += batch.records;
        self.report.sent += batch.events;
        self.report.bytes_sent += batch.bytes as u64;
        for (tag_index, events) in batch.tables {
            *self.report.tables.entry(self.tags.get(tag_index).to_owned()).or_default() += events;
        }
        self.mark_booked();
        self.warm.memory.committed(writes);
        if let Some(open) = &mut self.backfill {
            open.committed(writes);
        }
    }

    fn batch_is_broken(&mut self, error: Error) -> Error {
        let batch = std::mem::take(&mut self.batch);
        self.report.failed += batch.records;
        self.warm.memory.forget_staged();
        self.ports.sink.discard();
        error
    }

    /// Puts a line of the collector's own story into the batch.
    pub(super) fn tell(&mut self, line: &story::Line) {
        let now = self.now();
        let message = story::event(line, now, &self.invocation.identity, self.settings);
        self.ports.sink.append(&Event { time: now, tag: story::tag(line.level), message: &message });
    }
}
