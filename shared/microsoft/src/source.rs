//! The source: pages of one service, fetched with patience.
//!
//! `Microsoft` is what a process keeps between invocations (connections, token, pace); `ApiSource` is one invocation of
//! it. Each request takes its turn at the throttle, carries the token to the configured origin alone, and is repeated as
//! `retry` and `failure` say. The deadline of a page bounds everything that is done for it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use collector::error::{Error, ErrorType, code};
use collector::ports::{Clock, Page, PageRequest, Source, SourceError, SourceStats};
use collector::settings::Settings;
use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION};
use url::{Host, Url};

use crate::client::{self, AttemptBounds, Proxy, exchange};
use crate::failure::{Contact, Context, Failure, FailureKind, Retry, Target, source_error};
use crate::identity::{Identity, settings_error};
use crate::notices::Notices;
use crate::paging::odata::{BadLink, Collection, Flaw, ODataQuery, read_collection};
use crate::paging::{Circle, Walk};
use crate::retry::{Next, Retries, time_left};
use crate::throttle::Throttle;
use crate::token::{Bearer, Caller, Tokens};
use crate::tuning::Tuning;

/// One service's access to Microsoft's APIs: made once per process, kept between invocations.
pub struct Microsoft {
    shared: Arc<Shared>,
    warnings: Vec<String>,
}

struct Shared {
    client: reqwest::Client,
    tuning: Tuning,
    tokens: Tokens,
    throttle: Throttle,
    notices: Notices,
    query: ODataQuery,
    additional_filter: Option<String>,
    permission: &'static str,
}

impl Microsoft {
    /// Prepares everything that needs no network, with the waits of production.
    ///
    /// # Errors
    /// InitVariablesError 1 that names the setting: a URL that is none, a certificate or key that cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Self::with_tuning(settings, Tuning::default())
    }

    /// The same with other waits and bounds.
    ///
    /// # Errors
    /// As for [`Microsoft::new`].
    pub fn with_tuning(settings: &Settings, tuning: Tuning) -> Result<Self, Error> {
        let connection = &settings.connection;
        let (identity, warnings) = Identity::load(&connection.credential, Timestamp::now())?;
        let query = ODataQuery::new(settings)?;
        let client = client::build(tuning.attempt_timeout, proxy(&query.endpoint))
            .map_err(|cause| settings_error(format!("no HTTP client can be made: {cause}")))?;
        let shared = Shared {
            client,
            tuning,
            tokens: Tokens::new(connection, identity)?,
            throttle: Throttle::new(settings.rate),
            notices: Notices::default(),
            query,
            additional_filter: settings.additional_filter.clone(),
            permission: settings.service.permission,
        };
        Ok(Self { shared: Arc::new(shared), warnings })
    }

    /// What the operator should know about the credentials, for example a certificate that ends soon.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The source of one invocation. Its counts begin at zero.
    pub fn source(&self, clock: Arc<dyn Clock>) -> ApiSource {
        ApiSource {
            shared: Arc::clone(&self.shared),
            clock,
            stats: SourceStats::default(),
            contact: Contact::First,
            walk: Walk::default(),
            last_body: Bytes::new(),
        }
    }
}

/// Checks the credentials of a service without network, and gives warnings about them.
///
/// # Errors
/// InitVariablesError 1 that names the setting which is wrong.
pub fn check_credentials(settings: &Settings) -> Result<Vec<String>, Error> {
    Identity::load(&settings.connection.credential, Timestamp::now()).map(|(_, warnings)| warnings)
}

/// One invocation's source of records.
pub struct ApiSource {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    stats: SourceStats,
    contact: Contact,
    walk: Walk,
    /// Body of the page before.
    last_body: Bytes,
}

impl Source for ApiSource {
    async fn prepare(&mut self, deadline: Timestamp) -> Result<(), SourceError> {
        self.bearer(deadline).await.map(|_| ())
    }

    async fn page(&mut self, request: &PageRequest) -> Result<Page, SourceError> {
        let shared = Arc::clone(&self.shared);
        let query = &shared.query;
        let filter = query.filter(request.window);
        let url = match &request.link {
            Some(link) => query.linked_page(link),
            None => query.first_page(&filter),
        };
        let url = url.map_err(|bad| no_page(&query.endpoint, &bad))?;
        let fetched = self.fetch(&url, request, &filter).await?;
        self.contact = Contact::Established;
        if let Some(next) = &fetched.collection.next {
            // Looked at before the page is handed out: a link that cannot be followed must not become a position.
            query.linked_page(next).map_err(|bad| no_page(&query.endpoint, &bad))?;
        }
        let next = fetched.collection.next.as_deref();
        self.walk.step(request.window, request.link.as_deref(), next).map_err(|Circle| {
            no_page(&query.endpoint, &BadLink("the page links go in a circle".to_owned()))
        })?;
        Ok(Page {
            records: fetched.collection.records,
            next: fetched.collection.next,
            warnings: fetched.warnings,
        })
    }

    fn fingerprint(&self) -> String {
        self.shared.query.fingerprint()
    }

    fn stats(&self) -> SourceStats {
        self.stats
    }
}

struct Fetched {
    collection: Collection,
    warnings: Vec<String>,
}

/// Why an attempt gave no page.
enum AttemptError {
    OutOfTime,
    Failed(Box<Failure>),
}

impl ApiSource {
    /// Makes one request until it gives a page or cannot.
    async fn fetch(
        &mut self,
        url: &Url,
        request: &PageRequest,
        filter: &str,
    ) -> Result<Fetched, SourceError> {
        let shared = Arc::clone(&self.shared);
        let deadline = request.deadline;
        let mut retries = Retries::new(&shared.tuning);
        let mut may_log_in_again = true;
        let mut heavy: Option<Box<Failure>> = None;
        loop {
            let bearer = self.bearer(deadline).await?;
            let failure = match self.attempt(url, &bearer, deadline).await {
                Ok(fetched) => return Ok(fetched),
                // A request that was too heavy a minute ago would use up the next invocation's time as well.
                Err(AttemptError::OutOfTime) => {
                    return Err(
                        heavy.map_or(SourceError::OutOfTime, |failure| self.tell(&failure, request, filter))
                    );
                }
                Err(AttemptError::Failed(failure)) => failure,
            };
            match failure.kind.retryable() {
                Retry::AfterLogin if may_log_in_again => {
                    may_log_in_again = false;
                    shared.tokens.discard(&bearer).await;
                    continue;
                }
                Retry::AfterLogin | Retry::Never => {
                    self.forget_token_after(&failure, &bearer).await;
                    return Err(self.tell(&failure, request, filter));
                }
                Retry::AfterWait => {}
            }
            match retries.next(failure.retry_after, self.clock.now(), deadline) {
                Next::Wait(wait) => {
                    tracing::info!(
                        endpoint = shared.query.endpoint,
                        failure = failure.sentence(),
                        wait_ms = wait.as_millis(),
                        "request failed, trying again"
                    );
                    tokio::time::sleep(wait).await;
                }
                Next::PastDeadline(until) if waits_for_next_invocation(&failure) => {
                    return Err(SourceError::Throttled { until });
                }
                Next::PastDeadline(_) | Next::Exhausted => {
                    self.forget_token_after(&failure, &bearer).await;
                    return Err(self.tell(&failure, request, filter));
                }
            }
            if failure.kind.is_heavy() {
                heavy = Some(failure);
            }
        }
    }

    /// One attempt, counted.
    async fn attempt(
        &mut self,
        url: &Url,
        bearer: &Bearer,
        deadline: Timestamp,
    ) -> Result<Fetched, AttemptError> {
        let shared = Arc::clone(&self.shared);
        shared.throttle.turn(&*self.clock, deadline).await.map_err(|_| AttemptError::OutOfTime)?;
        let bounds = AttemptBounds {
            time_left: time_left(self.clock.now(), deadline),
            timeout: shared.tuning.attempt_timeout,
            body_limit: shared.tuning.body_limit,
        };
        if bounds.time_left.is_none() {
            return Err(AttemptError::OutOfTime);
        }
        let http_request = shared
            .client
            .get(url.clone())
            .header(ACCEPT, "application/json")
            .headers(shared.query.headers.clone())
            .header(AUTHORIZATION, bearer.header.clone());
        self.stats.requests += 1;
        let answer = exchange(http_request, bounds, self.buffer()).await.map_err(|transport| {
            Failure::transport(transport, bounds.timeout, bounds.body_limit)
                .map_or(AttemptError::OutOfTime, |failure| AttemptError::Failed(Box::new(failure)))
        })?;
        let now = self.clock.now();
        if !answer.status.is_success() {
            let failure = Failure::refused(&answer, now);
            self.count_throttling(&failure);
            return Err(AttemptError::Failed(Box::new(failure)));
        }
        match read_collection(&answer.body) {
            Ok(collection) => {
                self.last_body = answer.body.clone();
                let warnings = shared.notices.of(&answer, &shared.query.endpoint, now);
                Ok(Fetched { collection, warnings })
            }
            Err(flaw) => {
                let (kind, detail) = match flaw {
                    Flaw::EndsEarly(detail) => (FailureKind::BrokenBody, detail),
                    Flaw::NotAPage(detail) => (FailureKind::NotAPage, detail),
                };
                Err(AttemptError::Failed(Box::new(Failure::bad_body(kind, &answer, detail))))
            }
        }
    }

    /// Memory for the next body: that of the last one, once its records are gone. A buffer of tens of megabytes that is
    /// given back and asked for again with every page leaves holes behind that the next one does not fit into.
    fn buffer(&mut self) -> BytesMut {
        std::mem::take(&mut self.last_body).try_into_mut().unwrap_or_default()
    }

    fn count_throttling(&mut self, failure: &Failure) {
        let asks_for_patience = match failure.kind {
            FailureKind::Throttled => true,
            FailureKind::Unavailable => failure.retry_after.is_some(),
            _ => false,
        };
        self.stats.throttled += u64::from(asks_for_patience);
    }

    async fn bearer(&self, deadline: Timestamp) -> Result<Bearer, SourceError> {
        let caller = Caller { client: &self.shared.client, tuning: &self.shared.tuning, clock: &*self.clock };
        self.shared.tokens.bearer(&caller, deadline).await
    }

    /// A permission that is granted later is part of a later token only.
    async fn forget_token_after(&self, failure: &Failure, bearer: &Bearer) {
        if matches!(failure.status, Some(401 | 403)) {
            self.shared.tokens.discard(bearer).await;
        }
    }

    fn tell(&self, failure: &Failure, request: &PageRequest, filter: &str) -> SourceError {
        let context = Context {
            endpoint: &self.shared.query.endpoint,
            contact: self.contact,
            target: if request.link.is_some() { Target::Link } else { Target::Window },
            window_from: request.window.from,
            now: self.clock.now(),
            filter,
            additional_filter: self.shared.additional_filter.as_deref(),
            permission: self.shared.permission,
        };
        source_error(failure, &context)
    }
}

/// Whether a wait past the deadline is a matter of coming back later. What was too heavy will be so then, too, unless
/// the API says when; and a missing licence is told, not waited for.
fn waits_for_next_invocation(failure: &Failure) -> bool {
    if failure.retry_after.is_some() {
        return true;
    }
    !failure.kind.is_heavy() && failure.kind != FailureKind::LicenceUnclear
}

fn no_page(endpoint: &str, bad: &BadLink) -> SourceError {
    let message = format!("{endpoint} gave no page: {}", bad.0);
    SourceError::Fatal(Error::new(ErrorType::PullError, code::BAD_ANSWER, message))
}

/// A proxy stands between networks, never between a process and its own machine.
fn proxy(endpoint: &str) -> Proxy {
    let is_loopback = match Url::parse(endpoint).as_ref().map(Url::host) {
        Ok(Some(Host::Ipv4(address))) => address.is_loopback(),
        Ok(Some(Host::Ipv6(address))) => address.is_loopback(),
        Ok(Some(Host::Domain(name))) => name == "localhost",
        _ => false,
    };
    if is_loopback { Proxy::Never } else { Proxy::System }
}
