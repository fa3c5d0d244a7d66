//! Several content blobs at once, each once, in whatever order they come.
//!
//! Blobs stand in line; a few streams are open at a time. A blob that fails goes to the back of the line and is tried
//! once more, so a broken one holds nobody up. Everything is a future that is polled by whoever asks for the next thing:
//! no task outlives the invocation, and nothing is read while nobody asks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use collector::ports::{Blob, BlobEnd, Fetched, SourceError};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use tokio::time::Instant;
use url::Url;

use crate::access::Access;
use crate::content::blob_stream::{BlobStream, Step, StreamEnd, Terms};
use crate::content::pauses::Pauses;
use crate::failure::Failure;
use crate::paging::content::ContentQuery;
use crate::retry::{after, jittered_upwards, time_left};

/// Blobs that are open at once. At 200 ms a blob, 40 a second: a shared quota of 2,000 requests a minute lasts, and eight
/// buffers are a small part of the smallest function's memory.
const OPEN_AT_ONCE: usize = 8;

/// Attempts at a blob in one fetch.
const ATTEMPTS: u32 = 2;

/// An attempt may take this part of the time there is, so that even a blob which never answers has failed, and stands in
/// nobody's way, before an invocation ends …
const ATTEMPT_PART: u32 = 4;

/// … but no less than what a busy tenant needs.
const SHORTEST_ATTEMPT: Duration = Duration::from_secs(10);

/// The blobs of one fetch.
pub(crate) struct Fetch {
    terms: Arc<Terms>,
    /// Those not open, in the order of their next attempt.
    line: VecDeque<Waiting>,
    open: FuturesUnordered<BoxFuture<'static, (BlobStream, Step)>>,
    /// What is known of each blob, by its index.
    blobs: Vec<Known>,
    /// Why no more requests may be sent; what is under way goes on to its end.
    closing: Option<SourceError>,
}

struct Waiting {
    blob: usize,
    not_before: Option<Instant>,
}

struct Known {
    url: Result<Url, String>,
    attempts: u32,
}

impl Fetch {
    /// Puts the blobs in line. Nothing is asked for yet.
    pub(crate) fn new(
        access: Arc<Access>,
        query: &ContentQuery,
        permission: &'static str,
        blobs: &[Blob],
        deadline: Timestamp,
    ) -> Self {
        access.begin_series();
        let known = |blob: &Blob| Known { url: query.content(&blob.uri).map_err(|bad| bad.0), attempts: 0 };
        let time = time_left(access.clock.now(), deadline).unwrap_or_default();
        let attempt_timeout = time_for_attempt(access.kept.tuning.attempt_timeout, time);
        Self {
            terms: Arc::new(Terms {
                access,
                permission,
                deadline,
                attempt_timeout,
                pauses: Pauses::default(),
            }),
            line: (0..blobs.len()).map(|blob| Waiting { blob, not_before: None }).collect(),
            open: FuturesUnordered::new(),
            blobs: blobs.iter().map(known).collect(),
            closing: None,
        }
    }

    /// The next thing that comes of the blobs, or `NotYet` when nothing did before `until`. Gives all up after an error.
    pub(crate) async fn next(&mut self, until: Timestamp) -> Result<Fetched, SourceError> {
        self.terms.pauses.end();
        let next = self.next_or_stop(until).await;
        self.terms.pauses.begin();
        if next.is_err() {
            self.line.clear();
            self.open.clear();
        }
        next
    }

    async fn next_or_stop(&mut self, until: Timestamp) -> Result<Fetched, SourceError> {
        loop {
            if let Some(ended) = self.fill() {
                return Ok(ended);
            }
            if self.open.is_empty() {
                return self.closing.take().map_or(Ok(Fetched::AllEnded), Err);
            }
            let deadline = self.terms.deadline;
            let now = self.terms.access.clock.now();
            let Some(left) = time_left(now, deadline) else {
                return Err(self.out_of_time());
            };
            let wait = time_left(now, until).unwrap_or_default().min(left);
            let (stream, step) = match tokio::time::timeout(wait, self.open.next()).await {
                Ok(Some(stepped)) => stepped,
                Ok(None) => continue,
                Err(_) if until < deadline => return Ok(Fetched::NotYet),
                Err(_) => return Err(self.out_of_time()),
            };
            let blob = stream.blob;
            match step {
                Step::Part(records) => {
                    self.open.push(Box::pin(stream.step()));
                    return Ok(Fetched::Part { blob, records });
                }
                Step::End(end) => {
                    if let Some(end) = self.take_end(blob, end)? {
                        return Ok(Fetched::Ended { blob, end });
                    }
                }
            }
        }
    }

    /// Opens streams while there is room. Gives a blob that may not be asked for at all.
    fn fill(&mut self) -> Option<Fetched> {
        while self.open.len() < OPEN_AT_ONCE {
            let Waiting { blob, not_before } = self.line.pop_front()?;
            let known = self.blobs.get_mut(blob)?;
            known.attempts += 1;
            match &known.url {
                Err(words) => {
                    return Some(Fetched::Ended { blob, end: BlobEnd::Failed(words.clone()) });
                }
                Ok(url) => {
                    let stream = BlobStream::new(Arc::clone(&self.terms), blob, url.clone(), not_before);
                    self.open.push(Box::pin(stream.step()));
                }
            }
        }
        None
    }

    /// What the end of an attempt means for its blob; `None` when it is tried once more.
    fn take_end(&mut self, blob: usize, end: StreamEnd) -> Result<Option<BlobEnd>, SourceError> {
        match end {
            StreamEnd::Complete => Ok(Some(BlobEnd::Complete)),
            StreamEnd::Failed(failure) => Ok(Some(BlobEnd::Failed(failure.sentence()))),
            StreamEnd::Gone(failure) => Ok(Some(BlobEnd::Gone(failure.sentence()))),
            StreamEnd::Stopped(error @ (SourceError::Throttled { .. } | SourceError::OutOfTime)) => {
                // What was asked for before is on its way, and would have to be asked for again.
                self.line.clear();
                self.closing.get_or_insert(error);
                Ok(None)
            }
            StreamEnd::Stopped(error) => Err(error),
            StreamEnd::MayPass(failure) => {
                let is_last = self.blobs.get(blob).is_none_or(|known| known.attempts >= ATTEMPTS);
                let Some(wait) = self.wait_after(&failure).filter(|_| !is_last) else {
                    return Ok(Some(BlobEnd::Failed(failure.sentence())));
                };
                tracing::info!(failure = failure.sentence(), "content failed, trying once more");
                self.line.push_back(Waiting { blob, not_before: Some(Instant::now() + wait) });
                Ok(None)
            }
        }
    }

    /// How long to wait before another attempt; `None` when the API asks for longer than a fetch should last.
    fn wait_after(&self, failure: &Failure) -> Option<Duration> {
        let Access { kept, clock, .. } = &*self.terms.access;
        let Some(wish) = failure.retry_after else {
            return Some(jittered_upwards(kept.tuning.blob_wait));
        };
        let is_short = wish <= kept.tuning.retry_cap && after(clock.now(), wish) < self.terms.deadline;
        is_short.then_some(wish)
    }

    /// The end at the deadline: when the API named an instant for the next request, that is told.
    fn out_of_time(&mut self) -> SourceError {
        self.closing.take().unwrap_or(SourceError::OutOfTime)
    }
}

/// The time for one attempt, of a fetch that has so much time.
fn time_for_attempt(longest: Duration, time: Duration) -> Duration {
    longest.min((time / ATTEMPT_PART).max(SHORTEST_ATTEMPT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_that_never_answers_has_failed_before_the_time_is_over() {
        let longest = Duration::from_secs(60);
        for (seconds, expected) in [(900, 60), (300, 60), (240, 60), (60, 15), (30, 10), (1, 10), (0, 10)] {
            let timeout = time_for_attempt(longest, Duration::from_secs(seconds));
            assert_eq!(timeout, Duration::from_secs(expected), "{seconds}");
        }
        assert_eq!(time_for_attempt(Duration::from_millis(5), longest), Duration::from_millis(5));
    }
}
