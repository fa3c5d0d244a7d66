//! Content feeds: what a listing page names is fetched, and each blob is settled once.
//!
//! A blob is *settled* when its records were read to their end, when it was put into the retry queue, or when it is lost.
//! Its content id is then remembered like a record, in the same commit as its last records or its row of the queue. So
//! the work list of a feed is its window, the listing page at hand and what is remembered: a killed invocation asks for
//! that page again and fetches only what is not settled yet.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::memory::{Bucket, Verdict};
use crate::ports::{Blob, BlobEnd, Fetched, Sink, Source, StateStore};

use super::queue::{Waiting, shown};
use super::{PagesOfWalk, Run, Stop};

/// A blob to be fetched.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) blob: Blob,
    /// Its place in the retry queue, when it comes from there.
    pub(super) waiting: Option<Waiting>,
}

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// Fetches the blobs of a listing page that are not settled yet.
    pub(super) async fn take_blobs(&mut self, listed: Vec<Blob>) -> Result<(), Stop> {
        if listed.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let mut wanted = Vec::new();
        for blob in self.unsettled(listed).await? {
            let listed = Wanted { blob, waiting: None };
            if has_expired(&listed.blob, now) {
                self.lose(&listed, "it expired before it was listed").await?;
            } else {
                wanted.push(listed);
            }
        }
        let more = self.keep_to_share(&mut wanted);
        self.fetch_all(wanted, self.fetch_until()).await?;
        more.map_or(Ok(()), Err)
    }

    /// Fetches blobs side by side and settles each; out of time at `deadline`.
    pub(super) async fn fetch_all(&mut self, wanted: Vec<Wanted>, deadline: Timestamp) -> Result<(), Stop> {
        if wanted.is_empty() {
            return Ok(());
        }
        self.ports.source.fetch(wanted.iter().map(|each| each.blob.clone()).collect(), deadline);
        loop {
            if self.batch.is_old(self.now()) {
                self.ship().await?;
            }
            let until = self.batch.is_old_from().map_or(deadline, |instant| instant.min(deadline));
            let fetched = self.ports.source.fetched(until).await;
            self.count_requests();
            match fetched.map_err(|refused| self.stop_for(refused))? {
                Fetched::Part { records, .. } => self.take_records(&records).await?,
                Fetched::Ended { blob, end } => {
                    if let Some(ended) = wanted.get(blob) {
                        self.blob_ended(ended, end).await?;
                    }
                }
                Fetched::NotYet if self.now() >= deadline => return Err(Stop::OutOfTime),
                Fetched::NotYet => continue,
                Fetched::AllEnded => return Ok(()),
            }
            self.pages = PagesOfWalk::SomeCame;
            (self.ports.progress)(&self.report);
            // Content that comes faster than it is worked on never lets the source say that time is up.
            if self.now() >= deadline {
                return Err(Stop::OutOfTime);
            }
        }
    }

    /// The blobs whose ids are not remembered, each once.
    async fn unsettled(&mut self, listed: Vec<Blob>) -> Result<Vec<Blob>, Stop> {
        let places: Vec<(Bucket, u64)> = listed.iter().map(|blob| self.place_of(blob)).collect();
        self.load_memory(&places).await?;
        let mut seen = BTreeSet::new();
        let fresh = listed.into_iter().zip(places).filter(|(_, (bucket, hash))| {
            self.judge(*bucket, *hash) == Verdict::New && seen.insert((*bucket, *hash))
        });
        Ok(fresh.map(|(blob, _)| blob).collect())
    }

    async fn blob_ended(&mut self, ended: &Wanted, end: BlobEnd) -> Result<(), Stop> {
        match end {
            BlobEnd::Complete => {
                self.settle(ended).await?;
                if let Some(waiting) = &ended.waiting {
                    self.leave_queue(waiting);
                }
                Ok(())
            }
            BlobEnd::Gone(reason) => self.lose(ended, &reason).await,
            BlobEnd::Failed(reason) if has_expired(&ended.blob, self.now()) => {
                self.lose(ended, &reason).await
            }
            BlobEnd::Failed(reason) => {
                // Nothing may be committed between the two: the blob would be settled and wait nowhere.
                self.know_queue().await?;
                let Some(entry) = self.entry_of(ended, &reason) else {
                    return self
                        .lose(ended, &format!("its entry of the retry queue fits no row: {reason}"))
                        .await;
                };
                self.settle(ended).await?;
                self.enter_queue(&entry);
                Ok(())
            }
        }
    }

    /// The content cannot be had any more: it is counted and named.
    pub(super) async fn lose(&mut self, lost: &Wanted, reason: &str) -> Result<(), Stop> {
        self.settle(lost).await?;
        if let Some(waiting) = &lost.waiting {
            self.leave_queue(waiting);
        }
        self.batch.lost_uris += 1;
        self.warn(format!(
            "content {} of {} is lost, with all records in it that no other content holds: {reason}",
            shown(&lost.blob.id),
            self.settings.service.name
        ));
        Ok(())
    }

    /// Remembers the blob's id in the open batch.
    async fn settle(&mut self, settled: &Wanted) -> Result<(), Stop> {
        let (bucket, hash) = self.place_of(&settled.blob);
        // What was known when the blob was listed may have made room for its records since.
        self.load_memory(&[(bucket, hash)]).await?;
        self.make_room(0, bucket).await?;
        self.stage(bucket, hash);
        if settled.waiting.is_none() {
            self.note_event_time(Some(settled.blob.created));
        }
        Ok(())
    }

    fn place_of(&self, blob: &Blob) -> (Bucket, u64) {
        (Bucket::of_content(blob.created), self.hash_key.of_name(&blob.id))
    }
}

fn has_expired(blob: &Blob, now: Timestamp) -> bool {
    blob.expires <= now
}
