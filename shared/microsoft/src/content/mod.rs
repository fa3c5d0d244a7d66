//! Content feeds: a listing page names content blobs, and the blobs hold the records.
//!
//! `ContentFeed` gives the listing pages of one content type and sees to its subscription; `fetch` gives the records of
//! the blobs that the run loop asks for. Both use the one way to the API and its patience (`access`).

pub(crate) mod blob_stream;
pub(crate) mod fetch;
pub(crate) mod pauses;
pub(crate) mod splitter;
pub(crate) mod subscription;

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use collector::error::{Error, ErrorType, code};
use collector::ports::{Page, PageRequest, SourceError};
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use url::Url;

use crate::access::{Access, Ask, Expected, Repeats, Unanswered, no_page};
use crate::client::Answer;
use crate::content::subscription::{
    Standing, Subscription, not_served_yet, not_startable, nothing_yet, standing,
};
use crate::failure::{Context, Failure, Target};
use crate::paging::content::{ContentQuery, Listing, next_page};
use crate::paging::link::BadLink;
use crate::paging::{Circle, Flaw, Walk};

/// The API's codes for a subscription that is not there, or not enabled.
const NO_SUBSCRIPTION: [&str; 2] = ["AF20022", "AF20023"];

/// The API's code for a subscription that was enabled already.
const ALREADY_ENABLED: &str = "AF20024";

/// One content type's listing, in one invocation.
pub(crate) struct ContentFeed<'a> {
    pub(crate) access: &'a Access,
    pub(crate) query: &'a ContentQuery,
    pub(crate) permission: &'static str,
    /// Kept by the process.
    pub(crate) subscription: &'a Mutex<Subscription>,
    /// Nothing may be started.
    pub(crate) is_dry: bool,
}

/// The window that is listed, and where in it.
struct Place<'a> {
    request: &'a PageRequest,
    endpoint: &'a str,
    target: Target,
}

impl ContentFeed<'_> {
    /// One listing page. An empty one of a young subscription says so.
    pub(crate) async fn page(&self, request: &PageRequest, walk: &mut Walk) -> Result<Page, SourceError> {
        let query = self.query;
        let url = match &request.link {
            Some(link) => query.linked_page(link),
            None => query.first_page(request.window),
        };
        let url = url.map_err(|bad| no_page(&query.endpoint, &bad))?;
        self.see_to_subscription(request).await?;
        let target = if request.link.is_some() { Target::Link } else { Target::Window };
        let place = Place { request, endpoint: &query.endpoint, target };
        let (listing, answer) = match self.list(&url, request).await {
            Err(Unanswered::Failed(failure)) if has_no_subscription(&failure) => {
                self.subscribe_again(request).await?;
                self.list(&url, request)
                    .await
                    .map_err(|unanswered| self.still_unserved(&unanswered, &place))?
            }
            listed => listed.map_err(|unanswered| self.tell(&unanswered, &place))?,
        };
        self.access.establish();
        let next = next_page(&answer.headers).map_err(|bad| no_page(&query.endpoint, &bad))?;
        if let Some(next) = &next {
            // Looked at before the page is handed out: a link that cannot be followed must not become a position.
            query.linked_page(next).map_err(|bad| no_page(&query.endpoint, &bad))?;
        }
        if let Some(bad) = listing.blobs.iter().find_map(|blob| query.foreign_content(&blob.uri)) {
            return Err(no_page(&query.endpoint, &bad));
        }
        walk.step(request.window, request.link.as_deref(), next.as_deref()).map_err(|Circle| {
            no_page(&query.endpoint, &BadLink("the page links go in a circle".to_owned()))
        })?;
        let now = self.access.clock.now();
        let mut warnings = listing.warnings;
        let noticed = self.access.kept.notices.of(&answer, &query.endpoint, now);
        warnings.extend(noticed.warnings);
        if listing.blobs.is_empty() && next.is_none() && request.link.is_none() {
            let started_at = self.subscription().fresh_since(now);
            warnings.extend(started_at.map(|at| nothing_yet(query.content_type, at)));
        }
        Ok(Page { blobs: listing.blobs, next, missing: noticed.missing, warnings, ..Page::default() })
    }

    /// Makes sure that there is a subscription, unless that was certain some hours ago.
    async fn see_to_subscription(&self, request: &PageRequest) -> Result<(), SourceError> {
        let known = self.subscription().clone();
        if known.is_confirmed(self.access.clock.now()) {
            return Ok(());
        }
        match self.subscribe_again(request).await {
            // The listing itself tells when a subscription is gone: a look that failed is no reason not to ask it.
            Err(SourceError::Fatal(error) | SourceError::TooHeavy(error)) if known.confirmed_at.is_some() => {
                tracing::warn!(%error, "the subscription could not be looked at");
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Looks at the list of subscriptions, and starts what is missing in it if that may be.
    async fn subscribe_again(&self, request: &PageRequest) -> Result<(), SourceError> {
        let standing = self.standing(request).await?;
        let now = self.access.clock.now();
        if standing == Standing::Enabled {
            let mut subscription = self.subscription();
            subscription.confirmed_at = Some(now);
            subscription.refused = None;
            return Ok(());
        }
        let (not_before, refused) = {
            let subscription = self.subscription();
            (subscription.start_not_before(now), subscription.refused.clone())
        };
        if let Some(message) = refused.filter(|_| not_before.is_some() && !self.is_dry) {
            // Not asked again so soon, and not forgotten meanwhile.
            return Err(SourceError::Fatal(Error::new(ErrorType::SetupError, code::NOT_PULLABLE, message)));
        }
        if let Some(words) = not_startable(self.query.content_type, &standing, not_before, self.is_dry) {
            return Err(SourceError::NotReady(words));
        }
        self.start(request).await
    }

    async fn standing(&self, request: &PageRequest) -> Result<Standing, SourceError> {
        let url = self.query.subscriptions().map_err(|bad| no_page(&self.query.endpoint, &bad))?;
        let ask = self.request(Method::GET, &url, request, Repeats::Patient);
        let read = |answer: &Answer| {
            standing(&answer.body, self.query.content_type).map_err(|flaw| self.flawed(answer, flaw))
        };
        let place = Place { request, endpoint: without_query(&url), target: Target::Window };
        let answered = self.access.ask(&ask, &mut Bytes::new(), read).await;
        answered.map(|(standing, _)| standing).map_err(|unanswered| self.tell(&unanswered, &place))
    }

    /// Starts the subscription: once, whatever comes of it, and the attempt is on record before it is made.
    async fn start(&self, request: &PageRequest) -> Result<(), SourceError> {
        let url = self.query.start().map_err(|bad| no_page(&self.query.endpoint, &bad))?;
        self.subscription().attempted_at = Some(self.access.clock.now());
        let ask = self.request(Method::POST, &url, request, Repeats::Once);
        match self.access.ask(&ask, &mut Bytes::new(), |_| Ok(())).await {
            Ok(_) => {}
            Err(Unanswered::Failed(failure)) if failure.complaint.code == ALREADY_ENABLED => {}
            Err(unanswered) => {
                let place = Place { request, endpoint: without_query(&url), target: Target::Window };
                let refused = self.tell(&unanswered, &place);
                if let SourceError::Fatal(error) = &refused
                    && error.error_type == ErrorType::SetupError
                {
                    self.subscription().refused = Some(error.message.clone());
                }
                return Err(refused);
            }
        }
        let now = self.access.clock.now();
        tracing::info!(content_type = self.query.content_type, "subscription started");
        let mut subscription = self.subscription();
        subscription.started_at = Some(now);
        subscription.confirmed_at = Some(now);
        subscription.refused = None;
        Ok(())
    }

    async fn list(&self, url: &Url, request: &PageRequest) -> Result<(Listing, Answer), Unanswered> {
        let ask = self.request(Method::GET, url, request, Repeats::Patient);
        let read = |answer: &Answer| {
            self.query.read_listing(&answer.body, request.window).map_err(|flaw| self.flawed(answer, flaw))
        };
        self.access.ask(&ask, &mut Bytes::new(), read).await
    }

    /// A success whose body is not what was asked for: an error in its place is read as one.
    fn flawed(&self, answer: &Answer, flaw: Flaw) -> Box<Failure> {
        let failure = self.access.refused(answer);
        if failure.complaint.code.is_empty() { Failure::flawed(answer, flaw) } else { failure }
    }

    fn request<'b>(&self, method: Method, url: &'b Url, request: &PageRequest, repeats: Repeats) -> Ask<'b> {
        let mut headers = HeaderMap::new();
        if method == Method::POST {
            // There is no body, and servers refuse a POST that does not say so.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let (body, answer) = (Bytes::new(), Expected::Page);
        Ask {
            method,
            url,
            told_as: url.path(),
            headers,
            deadline: request.deadline,
            repeats,
            unsaid_patience: None,
            body,
            answer,
        }
    }

    fn still_unserved(&self, unanswered: &Unanswered, place: &Place<'_>) -> SourceError {
        match unanswered {
            Unanswered::Failed(failure) if has_no_subscription(failure) => SourceError::NotReady(
                not_served_yet(self.query.content_type, self.subscription().started_at, &failure.sentence()),
            ),
            _ => self.tell(unanswered, place),
        }
    }

    fn tell(&self, unanswered: &Unanswered, place: &Place<'_>) -> SourceError {
        let window = place.request.window;
        unanswered.tell(&Context {
            endpoint: place.endpoint,
            contact: self.access.contact(),
            target: place.target,
            window_from: window.from,
            now: self.access.clock.now(),
            filter: &self.query.asked_for(window),
            additional_filter: None,
            permission: self.permission,
            token_setting: None,
            successor: None,
        })
    }

    fn subscription(&self) -> MutexGuard<'_, Subscription> {
        self.subscription.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_no_subscription(failure: &Failure) -> bool {
    NO_SUBSCRIPTION.contains(&failure.complaint.code.as_str())
}

fn without_query(url: &Url) -> &str {
    url.as_str().split('?').next().unwrap_or_default()
}

/// What is known of subscriptions is read once more from an earlier invocation's memo.
pub(crate) fn recall(subscription: &Mutex<Subscription>, earlier: Subscription) {
    let mut known = subscription.lock().unwrap_or_else(PoisonError::into_inner);
    *known = known.joined(&earlier);
}
