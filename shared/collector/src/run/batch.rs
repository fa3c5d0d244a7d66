//! The open batch: what one connection carries and one commit makes true.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, code};
use crate::memory::{Bucket, Memory};
use crate::ports::{Commit, Event, Guard, Sink, Source, StateStore, Write};
use crate::report::Sample;
use crate::story;
use crate::window::later;

use super::{Run, Stop, proof};

/// Frames of one batch, in bytes before compression: 16 MiB, and room in them for the story that ends a cycle.
pub(super) const MOST_BYTES: usize = (16 * 1024 - 256) * 1024;
/// Records of one batch.
const MOST_RECORDS: u64 = 20_000;
/// Hashes of one bucket in one batch; there are more than records when known ones are extended.
const MOST_HASHES: usize = 20_000;
/// A batch this old is sent before anything more is asked for.
const OLDEST: SignedDuration = SignedDuration::from_secs(20);
/// A batch does not wait longer than this for an answer that is on its way.
const OLDEST_AT_ALL: SignedDuration = SignedDuration::from_secs(30);
/// Rows of one batch's commit for its hashes and the retry queue. A commit holds 100, and its other rows are the checkpoint, up to 7
/// hours of the ledger, and a backfill with a few requests that it answers.
pub(super) const MOST_ROWS: usize = 80;
/// Bytes of entries of the retry queue in one batch's commit, before the last of them. A commit holds 4 MiB and a row
/// 400 kB; a batch of hashes and the checkpoint take less than the rest.
const MOST_QUEUE_BYTES: usize = 2 * 1024 * 1024;
/// More than any frame adds to its message and tag.
const FRAME_OVERHEAD: usize = 128;
/// Records shown by a dry run.
pub(super) const SAMPLES: usize = 3;

/// What a commit is for. One that gives the lease back follows one of the same version whose outcome may be unknown: the
/// store must not take it for a repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A batch and the position behind it.
    Batch,
    /// The lease, and what happened.
    GiveBack,
}

impl Purpose {
    fn suffix(self) -> &'static str {
        match self {
            Self::Batch => "",
            Self::GiveBack => "-back",
        }
    }
}

/// The part of a nonce that goes into tokens, which are short.
pub(super) fn first_20(nonce: &str) -> String {
    nonce.chars().take(20).collect()
}

/// What a dry run shows of an event: of a record that is taken apart the first one, whose counts tell of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    AsSample,
    Nothing,
}

/// Counts of the open batch.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: u64,
    /// Those among them that the late sweep found.
    pub(super) late: u64,
    pub(super) events: u64,
    pub(super) bytes: usize,
    /// Events by index of their tag.
    tables: BTreeMap<usize, u64>,
    opened_at: Option<Timestamp>,
    /// Entries that come into the retry queue or leave it.
    pub(super) queue: Vec<Write>,
    /// Bytes of these entries, generously counted: one that was replaced counts, too.
    pub(super) queue_bytes: usize,
    /// Content URIs that failed, and such that are lost, since the last commit.
    pub(super) failed_uris: u64,
    pub(super) lost_uris: u64,
}

impl Batch {
    pub(super) fn is_old(&self, at: Timestamp) -> bool {
        self.is_old_from().is_some_and(|instant| instant <= at)
    }

    /// When it will be old; never while it is empty.
    pub(super) fn is_old_from(&self) -> Option<Timestamp> {
        self.opened_at.map(|opened| later(opened, OLDEST))
    }

    /// When it is sent at the latest; never while it is empty.
    pub(super) fn is_sent_by(&self) -> Option<Timestamp> {
        self.opened_at.map(|opened| later(opened, OLDEST_AT_ALL))
    }
}

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// Whether the batch must be sent before a record with such a frame and bucket goes in.
    pub(super) fn is_full_for(&self, frame_bytes: usize, bucket: Bucket) -> bool {
        let rows: usize = self.memories().map(|memory| memory.rows_with(bucket)).sum();
        self.batch.records >= MOST_RECORDS
            || self.memories().any(|memory| memory.most_staged() >= MOST_HASHES || !memory.has_room())
            || (self.batch.records > 0 && self.batch.bytes + frame_bytes > MOST_BYTES)
            || rows + self.batch.queue.len() + self.unsaved_places() > MOST_ROWS
            || self.batch.queue_bytes > MOST_QUEUE_BYTES
    }

    /// No frame of this text and tag is longer.
    pub(super) fn frame_bytes(&self, text: &[u8], tag_index: usize) -> usize {
        text.len() + self.messages.added_bytes() + self.tags.get(tag_index).len() + FRAME_OVERHEAD
    }

    /// Puts one event of a record into the batch.
    pub(super) fn append(&mut self, tag_index: usize, message_of: &[u8], is_object: bool, show: Show) {
        let message = self.messages.write(message_of, is_object);
        let tag = self.tags.get(tag_index);
        if self.invocation.request.dry_run {
            let samples = self.report.samples.get_or_insert_default();
            if show == Show::AsSample && samples.len() < SAMPLES {
                let shown = serde_json::from_slice(message)
                    .unwrap_or_else(|_| serde_json::Value::from(String::from_utf8_lossy(message)));
                samples.push(Sample { tag: tag.to_owned(), message: shown });
            }
        } else {
            self.batch.bytes += self.ports.sink.append(&Event { time: self.started, tag, message });
        }
        self.batch.events += 1;
        *self.batch.tables.entry(tag_index).or_default() += 1;
        self.note_opening();
    }

    /// Something is in the batch that a commit must make true.
    pub(super) fn note_opening(&mut self) {
        self.batch.opened_at.get_or_insert_with(|| self.ports.clock.now());
    }

    /// Sends the open batch if it is old, or will be when the request limit has a turn: what is ready does not wait for what
    /// is not. A turn that comes after this invocation is not waited for.
    pub(super) async fn ship_what_would_grow_old(&mut self) -> Result<(), Stop> {
        let now = self.now();
        let work_until = self.work_until();
        let turn = self.ports.source.waits_until().filter(|turn| *turn < work_until);
        if self.batch.is_old(turn.map_or(now, |instant| instant.max(now))) {
            self.ship().await
        } else {
            Ok(())
        }
    }

    /// Sends the open batch and commits what it makes true.
    pub(super) async fn ship(&mut self) -> Result<(), Stop> {
        let writes = self.rows_to_write().await;
        self.ship_with(writes).await.map_err(Stop::Broken)?;
        (self.ports.progress)(&self.report);
        if self.ports.clock.now() >= self.work_until() {
            return Err(Stop::OutOfTime);
        }
        Ok(())
    }

    /// The same with these rows beside the position. After an error the batch is still open: it must be dropped.
    pub(super) async fn ship_with(&mut self, rows: Vec<Write>) -> Result<(), Error> {
        if self.is_dry() {
            self.batch_is_committed(&rows);
            return Ok(());
        }
        let commit = self.build_commit(rows, Purpose::Batch)?;
        let delivered = proof::deliver(self.ports.sink, self.deliver_until()).await?;
        let clock = self.ports.clock;
        let deadline = self.invocation.deadline;
        if let Err(error) = proof::commit(self.ports.state, &commit, delivered, clock, deadline).await {
            // Under somebody else's lease nothing more is written.
            self.holds_lease = error.code != code::LEASE_LOST;
            return Err(error);
        }
        self.committed = self.next.clone();
        self.places_committed();
        self.batch_is_committed(&commit.writes);
        Ok(())
    }

    /// The commit of the open batch, checked against the store's limits before anything is sent.
    pub(super) fn build_commit(&mut self, mut writes: Vec<Write>, purpose: Purpose) -> Result<Commit, Error> {
        let guard = Guard { writer: self.invocation.nonce.clone(), version: self.committed.version };
        self.next.version = guard.version + 1;
        self.next.writer.clone_from(&guard.writer);
        if self.is_prepared {
            self.next.source_memo = self.ports.source.memo();
        }
        writes.extend(self.batch.queue.iter().cloned());
        writes.extend(self.places_to_write());
        writes.extend(self.course.backfill().into_iter().flat_map(super::backfill::Open::writes));
        self.book(&mut writes);
        let commit = Commit {
            partition: self.settings.partition(),
            token: format!("{}-{}{}", first_20(&guard.writer), guard.version, purpose.suffix()),
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
        self.report.late += batch.late;
        self.report.sent += batch.events;
        self.report.failed_uris += batch.failed_uris;
        self.report.lost_uris += batch.lost_uris;
        self.report.bytes_sent += batch.bytes as u64;
        for (tag_index, events) in batch.tables {
            *self.report.tables.entry(self.tags.get(tag_index).to_owned()).or_default() += events;
        }
        self.mark_booked();
        self.warm.memory.committed(writes);
        if let Some(open) = self.course.backfill_mut() {
            open.committed(writes);
        }
    }

    /// The open batch was not delivered, or not committed: its records come again.
    pub(super) fn drop_batch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.places_rolled_back();
        self.report.failed += batch.records;
        // It holds the hashes of what was not delivered.
        self.warm.memory = Memory::default();
        self.ports.sink.discard();
    }

    /// Puts a line of the collector's own story into the batch.
    pub(super) fn tell(&mut self, line: &story::Line) {
        let now = self.now();
        let message = story::event(line, now, &self.invocation.identity, self.settings);
        self.ports.sink.append(&Event { time: now, tag: story::tag(line.level), message: &message });
    }
}
