//! One invocation's way to the API: every request goes through here, whatever it asks for.
//!
//! A request takes the token, passes the gate, takes its turn at the throttle and is counted. `ask` repeats it as
//! `failure` says until there is a whole answer; streamed content begins with `begin` and has its own patience. Both
//! send the token to the configured origin alone, because whoever builds a URL has looked at its origin.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use collector::error::{Error, ErrorType, code};
use collector::ports::{Clock, SourceError, SourceStats};
use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder, Response};
use url::Url;

use crate::activity::NO_PERMISSION;
use crate::client::{Answer, AttemptBounds, ERROR_BODY_LIMIT, Opened, begin_exchange, exchange};
use crate::failure::{Contact, Context, Failure, FailureKind, Retry, source_error};
use crate::gate::{Gate, Permit};
use crate::notices::Notices;
use crate::paging::Flaw;
use crate::paging::link::BadLink;
use crate::retry::{Next, Retries, jittered_upwards, time_left};
use crate::throttle::Throttle;
use crate::token::{Bearer, Caller, Renewal, Tokens};
use crate::tuning::Tuning;

/// What a process keeps of its access to an API between invocations.
pub(crate) struct Kept {
    pub(crate) client: reqwest::Client,
    pub(crate) tuning: Tuning,
    pub(crate) tokens: Tokens,
    pub(crate) throttle: Throttle,
    /// Time between two pulls.
    pub(crate) period: Duration,
    pub(crate) notices: Notices,
    /// Bytes of the largest page so far: room for the next one.
    pub(crate) largest_page: AtomicUsize,
}

/// One invocation's access.
pub(crate) struct Access {
    pub(crate) kept: Arc<Kept>,
    pub(crate) clock: Arc<dyn Clock>,
    gate: Gate,
    requests: AtomicU64,
    throttled: AtomicU64,
    /// The most turns that the span of the request limit held.
    fullest: AtomicUsize,
    is_established: AtomicBool,
}

/// One request.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Of the configured origin.
    pub(crate) url: &'a Url,
    /// What the log calls it: the path of a URL may hold what nobody shall read.
    pub(crate) told_as: &'a str,
    /// Headers beside the usual ones.
    pub(crate) headers: HeaderMap,
    pub(crate) deadline: Timestamp,
    pub(crate) repeats: Repeats,
    /// The wait after an answer that asks for patience and names no time; without it the waits double.
    pub(crate) unsaid_patience: Option<Duration>,
    /// What is posted, JSON; empty where nothing is.
    pub(crate) body: Bytes,
    /// What the answer will be like.
    pub(crate) answer: Expected,
}

/// What is to be expected of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A page, which may be large.
    Page,
    /// A page that the API may work on for minutes.
    SlowPage,
    /// Not much.
    Little,
}

/// Whether a request may be made again when its answer asks for that or does not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeats {
    /// As often as the waits and bounds allow.
    Patient,
    /// The same, but what is too heavy is not asked for again: it uses up a quota each time.
    UnlessHeavy,
    /// Never: the request itself has an effect.
    Once,
}

/// Why there is no answer.
pub(crate) enum Unanswered {
    /// Told as it is.
    Stopped(SourceError),
    /// The last failure, to be weighed with where it happened.
    Failed(Box<Failure>),
}

impl Unanswered {
    /// What the run loop is told.
    pub(crate) fn tell(&self, context: &Context<'_>) -> SourceError {
        match self {
            Self::Stopped(error) => error.clone(),
            Self::Failed(failure) => source_error(failure, context),
        }
    }
}

/// A request that was sent, as far as an answer came.
pub(crate) struct Begun<'a> {
    pub(crate) permit: Permit<'a>,
    pub(crate) bearer: Bearer,
    /// Status and headers of a success, and where its body comes from.
    pub(crate) outcome: Result<(Answer, Response), Box<Failure>>,
}

impl Access {
    pub(crate) fn new(kept: Arc<Kept>, clock: Arc<dyn Clock>) -> Self {
        Self {
            kept,
            clock,
            gate: Gate::default(),
            requests: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            fullest: AtomicUsize::new(0),
            is_established: AtomicBool::new(false),
        }
    }

    /// Makes one request until `read` makes something of its answer, or until that is not to be had. `last_body` lends
    /// its memory to the next body and is the answer's body afterwards.
    pub(crate) async fn ask<T>(
        &self,
        ask: &Ask<'_>,
        last_body: &mut Bytes,
        read: impl Fn(&Answer) -> Result<T, Box<Failure>>,
    ) -> Result<(T, Answer), Unanswered> {
        let kept = &self.kept;
        let mut retries = Retries::new(&kept.tuning);
        let mut may_log_in_again = true;
        let mut heavy: Option<Box<Failure>> = None;
        self.gate.begin();
        loop {
            let bearer = self.bearer(ask.deadline).await.map_err(Unanswered::Stopped)?;
            let (permit, mut bounds) = match self.admission(ask.deadline).await {
                Ok(admitted) => admitted,
                Err(stopped) => return Err(stop(stopped, heavy)),
            };
            if ask.answer == Expected::SlowPage {
                bounds.timeout = kept.tuning.query_timeout;
            }
            let failure = match self.attempt(ask, bounds, &bearer, last_body, &read).await {
                Ok(answered) => {
                    permit.answered();
                    return Ok(answered);
                }
                Err(Unanswered::Stopped(stopped)) => return Err(stop(stopped, heavy)),
                Err(Unanswered::Failed(failure)) => failure,
            };
            if ask.repeats == Repeats::Once {
                return Err(self.give_up(failure, &bearer).await);
            }
            match failure.kind.retryable() {
                Retry::AfterLogin if may_log_in_again => {
                    may_log_in_again = false;
                    match kept.tokens.discard(&bearer).await {
                        Renewal::Possible => continue,
                        Renewal::Impossible => return Err(Unanswered::Failed(failure)),
                    }
                }
                Retry::AfterLogin | Retry::Never => return Err(self.give_up(failure, &bearer).await),
                Retry::AfterWait if ask.repeats == Repeats::UnlessHeavy && failure.kind.is_heavy() => {
                    return Err(self.give_up(failure, &bearer).await);
                }
                Retry::AfterWait => {}
            }
            if failure.asks_for_patience() {
                // Several functions were told the same at once: they come back one after the other.
                let unsaid = || ask.unsaid_patience.map(jittered_upwards);
                let wish = failure.retry_after.or_else(unsaid);
                let is_over = permit.throttled(wish, &kept.tuning, &*self.clock).is_err();
                if is_over || !retries.count() {
                    return Err(self.give_up(failure, &bearer).await);
                }
                tracing::info!(url = ask.told_as, failure = failure.sentence(), "asked for patience");
                continue;
            }
            if failure.status.is_some() {
                permit.answered();
            }
            match retries.next(failure.retry_after, self.clock.now(), ask.deadline) {
                Next::Wait(wait) => {
                    tracing::info!(
                        url = ask.told_as,
                        failure = failure.sentence(),
                        wait_ms = wait.as_millis(),
                        "request failed, trying again"
                    );
                    tokio::time::sleep(wait).await;
                }
                Next::PastDeadline(until) if waits_for_next_invocation(&failure) => {
                    return Err(Unanswered::Stopped(SourceError::Throttled { until }));
                }
                Next::PastDeadline(_) | Next::Exhausted => return Err(self.give_up(failure, &bearer).await),
            }
            if failure.kind.is_heavy() {
                heavy = Some(failure);
            }
        }
    }

    /// Begins one attempt whose answer is streamed, without any repeat; the answer may take so long to begin. Fails when it
    /// may not be sent at all.
    pub(crate) async fn begin(
        &self,
        url: &Url,
        deadline: Timestamp,
        timeout: Duration,
    ) -> Result<Begun<'_>, SourceError> {
        let bearer = self.bearer(deadline).await?;
        let (permit, bounds) = self.admission(deadline).await?;
        let bounds = AttemptBounds { timeout, ..bounds };
        let http_request = self.request(Method::GET, url, HeaderMap::new(), &bearer);
        let outcome = match begin_exchange(http_request, bounds).await {
            Ok(Opened::Refused(answer)) => Err(self.refused(&answer)),
            Ok(Opened::Body(head, response)) => Ok((head, response)),
            Err(transport) => {
                let failure = Failure::transport(transport, bounds.timeout, bounds.body_limit);
                Err(Box::new(failure.ok_or(SourceError::OutOfTime)?))
            }
        };
        Ok(Begun { permit, bearer, outcome })
    }

    /// A new series of repeats begins.
    pub(crate) fn begin_series(&self) {
        self.gate.begin();
    }

    /// The cached token, or a new one.
    pub(crate) async fn bearer(&self, deadline: Timestamp) -> Result<Bearer, SourceError> {
        let caller = Caller { client: &self.kept.client, tuning: &self.kept.tuning, clock: &*self.clock };
        self.kept.tokens.bearer(&caller, deadline).await
    }

    /// A permission that is granted later is part of a later token only.
    pub(crate) async fn forget_token_after(&self, failure: &Failure, bearer: &Bearer) {
        if matches!(failure.status, Some(401 | 403)) || failure.complaint.code == NO_PERMISSION {
            self.kept.tokens.discard(bearer).await;
        }
    }

    /// The failure of a refusal, counted; that of a success whose body is none, too.
    pub(crate) fn refused(&self, answer: &Answer) -> Box<Failure> {
        let failure = self.refusal(answer);
        self.throttled.fetch_add(u64::from(failure.asks_for_patience()), Ordering::Relaxed);
        Box::new(failure)
    }

    /// The failure of a success whose body is not what was asked for: the API may have wrapped a refusal in it.
    pub(crate) fn flawed(&self, answer: &Answer, flaw: Flaw) -> Box<Failure> {
        if answer.body.len() <= ERROR_BODY_LIMIT {
            let failure = self.refusal(answer);
            if failure.kind == FailureKind::Throttled {
                self.throttled.fetch_add(1, Ordering::Relaxed);
                return Box::new(failure);
            }
            if failure.complaint.refuses_filter() {
                return Box::new(failure);
            }
        }
        Failure::flawed(answer, flaw)
    }

    fn refusal(&self, answer: &Answer) -> Failure {
        let body = self.kept.tokens.without_secrets(&answer.body);
        let answer = Answer { status: answer.status, headers: answer.headers.clone(), body };
        Failure::refused(&answer, self.clock.now())
    }

    /// When the next request can be sent at the earliest; `None` when that is now.
    pub(crate) fn waits_until(&self) -> Option<Timestamp> {
        self.gate.closed_until().max(self.kept.throttle.waits_until(&*self.clock))
    }

    /// The API has given what was asked for: a refusal from now on is a failure of its request, not of the setup.
    pub(crate) fn establish(&self) {
        self.is_established.store(true, Ordering::Relaxed);
    }

    pub(crate) fn contact(&self) -> Contact {
        if self.is_established.load(Ordering::Relaxed) { Contact::Established } else { Contact::First }
    }

    pub(crate) fn stats(&self) -> SourceStats {
        let requests = self.requests.load(Ordering::Relaxed);
        let fullest = self.fullest.load(Ordering::Relaxed);
        SourceStats {
            requests,
            throttled: self.throttled.load(Ordering::Relaxed),
            quota_used_percent: self.kept.throttle.used_percent(fullest, requests, self.kept.period),
        }
    }

    /// One attempt, counted.
    async fn attempt<T>(
        &self,
        ask: &Ask<'_>,
        bounds: AttemptBounds,
        bearer: &Bearer,
        last_body: &mut Bytes,
        read: &impl Fn(&Answer) -> Result<T, Box<Failure>>,
    ) -> Result<(T, Answer), Unanswered> {
        let mut http_request = self.request(ask.method.clone(), ask.url, ask.headers.clone(), bearer);
        if !ask.body.is_empty() {
            http_request = http_request.header(CONTENT_TYPE, "application/json").body(ask.body.clone());
        }
        // Memory for the next body: that of the last one, once its records are gone. A buffer of tens of megabytes that
        // is given back and asked for again with every page leaves holes behind that the next one does not fit into.
        // So is one that grows: while it is copied it is there twice.
        let largest = &self.kept.largest_page;
        let room = if ask.answer == Expected::Little { 0 } else { largest.load(Ordering::Relaxed) };
        let fresh = |_| BytesMut::with_capacity(room);
        let buffer = match std::mem::take(last_body) {
            none if none.is_empty() => fresh(none),
            some => some.try_into_mut().unwrap_or_else(fresh),
        };
        let answer = exchange(http_request, bounds, buffer).await.map_err(|transport| {
            Failure::transport(transport, bounds.timeout, bounds.body_limit)
                .map_or(Unanswered::Stopped(SourceError::OutOfTime), |failure| {
                    Unanswered::Failed(Box::new(failure))
                })
        })?;
        if !answer.status.is_success() {
            return Err(Unanswered::Failed(self.refused(&answer)));
        }
        let made = read(&answer).map_err(Unanswered::Failed)?;
        largest.fetch_max(answer.body.len(), Ordering::Relaxed);
        *last_body = answer.body.clone();
        Ok((made, answer))
    }

    /// Waits until a request may be sent, and gives the bounds of its attempt. Whoever waits for a turn while the gate
    /// closes stays behind it.
    async fn admission(&self, deadline: Timestamp) -> Result<(Permit<'_>, AttemptBounds), SourceError> {
        let tuning = &self.kept.tuning;
        loop {
            let passed = self.gate.pass(deadline).await;
            let permit = passed.map_err(|until| SourceError::Throttled { until })?;
            let taken = self.kept.throttle.turn(&*self.clock, deadline).await?;
            self.fullest.fetch_max(taken, Ordering::Relaxed);
            let bounds = AttemptBounds {
                time_left: time_left(self.clock.now(), deadline),
                timeout: tuning.attempt_timeout,
                body_limit: tuning.body_limit,
            };
            if bounds.time_left.is_none() {
                return Err(SourceError::OutOfTime);
            }
            if permit.is_current() {
                return Ok((permit, bounds));
            }
        }
    }

    fn request(&self, method: Method, url: &Url, headers: HeaderMap, bearer: &Bearer) -> RequestBuilder {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.kept
            .client
            .request(method, url.clone())
            .header(ACCEPT, "application/json")
            .headers(headers)
            .header(AUTHORIZATION, bearer.header.clone())
    }

    async fn give_up(&self, failure: Box<Failure>, bearer: &Bearer) -> Unanswered {
        self.forget_token_after(&failure, bearer).await;
        Unanswered::Failed(failure)
    }
}

/// The end before an answer. A request that was too heavy a minute ago would use up the next invocation's time as well,
/// so that is told, and not that the time was over.
fn stop(stopped: SourceError, heavy: Option<Box<Failure>>) -> Unanswered {
    match (stopped, heavy) {
        (SourceError::OutOfTime, Some(failure)) => Unanswered::Failed(failure),
        (stopped, _) => Unanswered::Stopped(stopped),
    }
}

/// What the run loop is told when an answer leads nowhere.
pub(crate) fn no_page(endpoint: &str, bad: &BadLink) -> SourceError {
    let message = format!("{endpoint} gave no page: {}", bad.0);
    SourceError::Fatal(Error::new(ErrorType::PullError, code::BAD_ANSWER, message))
}

/// Whether a wait past the deadline is a matter of coming back later. What was too heavy will be so then, too, unless
/// the API says when; and a missing licence is told, not waited for.
fn waits_for_next_invocation(failure: &Failure) -> bool {
    if failure.retry_after.is_some() {
        return true;
    }
    !failure.kind.is_heavy() && failure.kind != FailureKind::LicenceUnclear
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
