//! One attempt at one content blob: asked for, streamed, cut into records, with an end that says what became of it.
//!
//! A stream goes in steps, and each step is a future of its own that gives some records or the end. Between two steps
//! nothing is read: as long as nobody asks for the next one, no more than the rest of a record is held. Throttling is no
//! end: a stream waits at the gate with the others and asks again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use collector::ports::SourceError;
use jiff::Timestamp;
use reqwest::Response;
use tokio::time::Instant;
use url::Url;

use crate::access::Access;
use crate::activity::NO_PERMISSION;
use crate::client::{Answer, ERROR_BODY_LIMIT, TransportFailure};
use crate::content::pauses::Pauses;
use crate::content::splitter::{Beginning, Rest, Splitter};
use crate::failure::{Contact, Context, Failure, FailureKind, Retry, Target, source_error};
use crate::token::Renewal;

/// How much of a body is gathered for one part, in bytes: enough that a part costs little beside its records, and little
/// beside the memory of the smallest function.
const PART_BYTES: usize = 64 * 1024;

/// What holds for all blobs of one fetch.
pub(crate) struct Terms {
    pub(crate) access: Arc<Access>,
    pub(crate) permission: &'static str,
    pub(crate) deadline: Timestamp,
    /// Longest wait for an answer, and then for each part of it.
    pub(crate) attempt_timeout: Duration,
    /// When nobody asked for anything.
    pub(crate) pauses: Pauses,
}

/// A blob and what it takes to ask for it.
pub(crate) struct BlobStream {
    terms: Arc<Terms>,
    /// Index among the blobs asked for.
    pub(crate) blob: usize,
    url: Url,
    /// Not asked for before then.
    not_before: Option<Instant>,
    body: Option<Body>,
    /// How it ended, when the step before had records to give first.
    end: Option<StreamEnd>,
}

struct Body {
    head: Answer,
    response: Response,
    splitter: Splitter,
}

/// What a step gives.
pub(crate) enum Step {
    /// Some records.
    Part(Vec<Bytes>),
    /// The end; there are no more steps.
    End(StreamEnd),
}

/// How an attempt at a blob ended.
pub(crate) enum StreamEnd {
    /// All of its records were given.
    Complete,
    /// It failed; another attempt may do better.
    MayPass(Box<Failure>),
    /// It failed, and will again for now.
    Failed(Box<Failure>),
    /// The API keeps it no longer.
    Gone(Box<Failure>),
    /// Something is wrong that is not the blob's matter, or the time is over.
    Stopped(SourceError),
}

impl BlobStream {
    /// Nothing is asked for yet. `url` is of the configured origin.
    pub(crate) fn new(terms: Arc<Terms>, blob: usize, url: Url, not_before: Option<Instant>) -> Self {
        Self { terms, blob, url, not_before, body: None, end: None }
    }

    /// Goes on until there is something to give.
    pub(crate) async fn step(mut self) -> (Self, Step) {
        if let Some(end) = self.end.take() {
            return (self, Step::End(end));
        }
        let mut body = match self.body.take() {
            Some(body) => body,
            None => match self.open().await {
                Ok(body) => body,
                Err(end) => return (self, Step::End(end)),
            },
        };
        let (records, end) = self.read(&mut body).await;
        match end {
            None => self.body = Some(body),
            Some(end) if records.is_empty() => return (self, Step::End(end)),
            Some(end) => self.end = Some(end),
        }
        (self, Step::Part(records))
    }

    /// Asks for the blob until it comes or is refused for another reason than patience or the token's age.
    async fn open(&self) -> Result<Body, StreamEnd> {
        if let Some(instant) = self.not_before {
            tokio::time::sleep_until(instant).await;
        }
        let access = &*self.terms.access;
        let mut may_log_in_again = true;
        loop {
            let begun = access
                .begin(&self.url, self.terms.deadline, self.timeout())
                .await
                .map_err(StreamEnd::Stopped)?;
            let opened = match begun.outcome {
                Ok((head, response)) => self.array(Body { head, response, splitter: Splitter::new() }).await,
                Err(failure) => Err(failure),
            };
            let failure = match opened {
                Ok(body) => {
                    begun.permit.answered();
                    access.establish();
                    return Ok(body);
                }
                Err(failure) => failure,
            };
            if failure.asks_for_patience() {
                let Access { kept, clock, .. } = access;
                if begun.permit.throttled(failure.retry_after, &kept.tuning, &**clock).is_err() {
                    return Err(StreamEnd::Stopped(self.tell(&failure)));
                }
                continue;
            }
            if failure.status.is_some() {
                begun.permit.answered();
            }
            if failure.kind.retryable() == Retry::AfterLogin && may_log_in_again {
                may_log_in_again = false;
                if access.kept.tokens.discard(&begun.bearer).await == Renewal::Possible {
                    continue;
                }
            }
            if !is_own_matter(&failure, self.terms.access.contact()) {
                access.forget_token_after(&failure, &begun.bearer).await;
                return Err(StreamEnd::Stopped(self.tell(&failure)));
            }
            return Err(weigh(failure));
        }
    }

    /// Reads the beginning of a body, as far as it takes to tell an array from an error that came as a success.
    async fn array(&self, mut body: Body) -> Result<Body, Box<Failure>> {
        let mut is_over = false;
        while body.splitter.beginning() == Beginning::Unknown && !is_over {
            is_over = self.gather(&mut body, 1).await?;
        }
        if body.splitter.beginning() != Beginning::Other {
            return Ok(body);
        }
        while !is_over && body.splitter.gathered().len() < ERROR_BODY_LIMIT {
            is_over = self.gather(&mut body, PART_BYTES).await?;
        }
        let text = Bytes::copy_from_slice(body.splitter.gathered());
        Err(self.terms.access.refused(&Answer { body: text, ..body.head }))
    }

    /// Reads until there are some records, or an end, or both.
    async fn read(&self, body: &mut Body) -> (Vec<Bytes>, Option<StreamEnd>) {
        loop {
            let gathered = self.gather(body, PART_BYTES).await;
            let goes_on = matches!(gathered, Ok(false));
            if goes_on && !body.splitter.is_ripe() && !self.is_too_large(body) {
                continue;
            }
            let (records, rest) = body.splitter.cut();
            let end = match (rest, gathered) {
                (Rest::Broken(words), _) => Some(broken(&body.head, words)),
                (_, Err(failure)) => Some(StreamEnd::MayPass(failure)),
                (Rest::Ended, Ok(true)) => Some(StreamEnd::Complete),
                (Rest::Open, Ok(true)) => Some(broken(&body.head, body.splitter.ends_early())),
                (Rest::Open, Ok(false)) if self.is_too_large(body) => {
                    let failure =
                        Failure::transport(TransportFailure::TooLarge, self.timeout(), self.body_limit());
                    failure.map(Box::new).map(StreamEnd::Failed)
                }
                (Rest::Open | Rest::Ended, Ok(false)) => None,
            };
            if !records.is_empty() || end.is_some() {
                return (records, end);
            }
        }
    }

    /// Reads on until so many bytes more are there; true when the body is over. The time for one attempt is the time for
    /// each call: a body that trickles ends, and one that only takes long does not.
    async fn gather(&self, body: &mut Body, bytes: usize) -> Result<bool, Box<Failure>> {
        let goal = body.splitter.gathered().len() + bytes;
        let reading = async {
            while body.splitter.gathered().len() < goal {
                match body.response.chunk().await {
                    Ok(Some(chunk)) => body.splitter.push(&chunk),
                    Ok(None) => return Ok(true),
                    Err(_) => return Err(TransportFailure::BrokeOff(body.head.headers.clone())),
                }
            }
            Ok(false)
        };
        let outcome = self.terms.pauses.bounded(self.timeout(), reading).await;
        outcome
            .unwrap_or(Err(TransportFailure::TimedOut))
            .map_err(|transport| Box::new(Failure::in_body(transport, self.timeout(), self.body_limit())))
    }

    fn is_too_large(&self, body: &Body) -> bool {
        body.splitter.gathered().len() > self.body_limit()
    }

    fn timeout(&self) -> Duration {
        self.terms.attempt_timeout
    }

    fn body_limit(&self) -> usize {
        self.terms.access.kept.tuning.body_limit
    }

    fn tell(&self, failure: &Failure) -> SourceError {
        let now = self.terms.access.clock.now();
        let mut endpoint = self.url.clone();
        endpoint.set_query(None);
        source_error(
            failure,
            &Context {
                endpoint: endpoint.as_str(),
                contact: self.terms.access.contact(),
                target: Target::Content,
                window_from: now,
                now,
                filter: "",
                additional_filter: None,
                permission: self.terms.permission,
                token_setting: None,
                successor: None,
            },
        )
    }
}

/// Whether a failure is one of this blob. A tenant that is not accepted would be the same with every other, and so would a
/// token, unless the API has taken it before in this invocation; a 403 that names no missing permission, and a redirect,
/// need not be: the listing tells soon enough if they are.
fn is_own_matter(failure: &Failure, contact: Contact) -> bool {
    failure.complaint.code != NO_PERMISSION
        && match failure.kind {
            FailureKind::NotSetUp => false,
            FailureKind::Unauthorized => contact == Contact::Established,
            _ => true,
        }
}

/// Whether a failure of a blob may pass.
fn weigh(failure: Box<Failure>) -> StreamEnd {
    match (failure.complaint.code.as_str(), failure.status) {
        ("AF20051", _) | (_, Some(410)) => StreamEnd::Gone(failure),
        ("AF20050" | "AF20052", _) | (_, Some(404)) => StreamEnd::Failed(failure),
        _ if failure.kind == FailureKind::NotAPage => StreamEnd::MayPass(failure),
        _ if failure.kind.retryable() == Retry::AfterWait => StreamEnd::MayPass(failure),
        _ => StreamEnd::Failed(failure),
    }
}

fn broken(head: &Answer, words: String) -> StreamEnd {
    StreamEnd::MayPass(Box::new(Failure::bad_body(FailureKind::BrokenBody, head, words)))
}
