//! The source: pages and content of one service, fetched with patience.
//!
//! `Microsoft` is what a process keeps between invocations (connections, token, pace, what is known of a subscription);
//! `ApiSource` is one invocation of it. What is asked for and how an answer is read is the matter of `paging` and
//! `content`, `hunting` and `related`; how a request is made, repeated and paced is that of `access`.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use collector::error::Error;
use collector::ports::{
    Blob, Clock, Fetched, Page, PageRequest, Preparation, Related, RelatedRequest, Source, SourceError,
    SourceStats,
};
use collector::service::Query;
use collector::settings::Settings;
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use url::{Host, Url};

use crate::access::{Access, Ask, Expected, Kept, Repeats, Unanswered, no_page};
use crate::client::{self, Answer, Proxy};
use crate::content::fetch::Fetch;
use crate::content::subscription::Subscription;
use crate::content::{ContentFeed, recall};
use crate::failure::{Context, Target, retired};
use crate::filtered::FilteredList;
use crate::hunting::Hunting;
use crate::identity::{Identity, settings_error};
use crate::notices::Notices;
use crate::paging::content::ContentQuery;
use crate::paging::link::BadLink;
use crate::paging::odata::{Collection, ODataQuery, Plan, read_collection};
use crate::paging::{Circle, Walk};
use crate::related::Counts;
use crate::throttle::{Throttle, Used};
use crate::token::Tokens;
use crate::tuning::Tuning;

/// One service's access to Microsoft's APIs: made once per process, kept between invocations.
pub struct Microsoft {
    shared: Arc<Shared>,
    warnings: Vec<String>,
}

struct Shared {
    kept: Arc<Kept>,
    api: Api,
    counts: Counts,
    additional_filter: Option<String>,
    permission: &'static str,
    /// The service that takes the place of this one, where Microsoft retires it.
    successor: Option<&'static str>,
    subscription: Mutex<Subscription>,
}

/// What the service's declaration says, made ready.
enum Api {
    OData(ODataQuery),
    Filtered(FilteredList),
    Hunting(Hunting),
    Content(ContentQuery),
    /// Content is fetched by its URIs; nothing is listed.
    FailedContent(ContentQuery),
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
        let api = Api::new(settings)?;
        let client = client::build(proxy(&connection.base_url))
            .map_err(|cause| settings_error(format!("no HTTP client can be made: {cause}")))?;
        let kept = Kept {
            client,
            tuning,
            tokens: Tokens::new(connection, identity)?,
            throttle: Throttle::new(settings.rate),
            period: settings.request_period.unsigned_abs(),
            notices: Notices::default(),
            largest_page: Default::default(),
        };
        let shared = Shared {
            kept: Arc::new(kept),
            api,
            counts: Counts::at(&settings.connection)?,
            additional_filter: settings.filter_clause().map(str::to_owned),
            permission: settings.service.permission,
            successor: match settings.service.query {
                Query::OData { successor, .. } => successor,
                _ => None,
            },
            subscription: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared), warnings })
    }

    /// What the operator should know about the credentials: a certificate that is not valid yet.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The source of one invocation. Its counts begin at zero.
    pub fn source(&self, clock: Arc<dyn Clock>) -> ApiSource {
        ApiSource {
            access: Arc::new(Access::new(Arc::clone(&self.shared.kept), clock)),
            shared: Arc::clone(&self.shared),
            is_dry: true,
            walk: Walk::default(),
            has_given_rows: false,
            last_body: Bytes::new(),
            fetch: None,
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
    access: Arc<Access>,
    /// Nothing may be changed on the API's side; so it is until an invocation says otherwise.
    is_dry: bool,
    walk: Walk,
    /// Whether the collection has given any record in this invocation.
    has_given_rows: bool,
    /// Body of the page before.
    last_body: Bytes,
    fetch: Option<Fetch>,
}

impl Source for ApiSource {
    async fn prepare(&mut self, preparation: &Preparation) -> Result<(), SourceError> {
        self.is_dry = preparation.is_dry;
        recall(&self.shared.subscription, Subscription::read(&preparation.memo));
        let kept = &self.shared.kept;
        if let Some(used) = read_used(&preparation.memo) {
            kept.throttle.remember(used, self.access.clock.now());
        }
        kept.throttle.foresee(&*self.access.clock, preparation.deadline)?;
        self.access.bearer(preparation.deadline).await.map(|_| ())
    }

    async fn page(&mut self, request: &PageRequest) -> Result<Page, SourceError> {
        // What is still being fetched may hold what a page has to wait for: the gate, or a login.
        self.fetch = None;
        let shared = Arc::clone(&self.shared);
        match &shared.api {
            Api::OData(query) => self.collection_page(query, request).await,
            Api::Content(query) => {
                let feed = ContentFeed {
                    access: &self.access,
                    query,
                    permission: shared.permission,
                    subscription: &shared.subscription,
                    is_dry: self.is_dry,
                };
                feed.page(request, &mut self.walk).await
            }
            Api::Filtered(list) => {
                list.page(&self.access, request, &mut self.last_body, &mut self.walk).await
            }
            Api::Hunting(hunting) => {
                hunting.page(&self.access, request, &mut self.last_body, shared.permission).await
            }
            Api::FailedContent(_) => Ok(Page::default()),
        }
    }

    fn fetch(&mut self, blobs: Vec<Blob>, deadline: Timestamp) {
        self.fetch = None;
        let (Api::Content(query) | Api::FailedContent(query)) = &self.shared.api else { return };
        let access = Arc::clone(&self.access);
        let permission = self.shared.permission;
        self.fetch = Some(Fetch::new(access, query, permission, &blobs, deadline));
    }

    async fn fetched(&mut self, until: Timestamp) -> Result<Fetched, SourceError> {
        match &mut self.fetch {
            Some(fetch) => fetch.next(until).await,
            None => Ok(Fetched::AllEnded),
        }
    }

    async fn related(&mut self, request: &RelatedRequest) -> Result<Related, SourceError> {
        self.shared.counts.count(&self.access, request).await
    }

    fn waits_until(&self) -> Option<Timestamp> {
        self.access.waits_until()
    }

    fn memo(&self) -> Map<String, Value> {
        let mut memo = Map::new();
        self.shared.subscription.lock().unwrap_or_else(PoisonError::into_inner).write(&mut memo);
        if let Some(used) = self.shared.kept.throttle.used(self.access.clock.now()) {
            write_used(used, &mut memo);
        }
        memo
    }

    fn fingerprint(&self) -> String {
        match &self.shared.api {
            Api::OData(query) => query.fingerprint(),
            Api::Filtered(list) => list.fingerprint(),
            Api::Hunting(hunting) => hunting.fingerprint(),
            Api::Content(query) | Api::FailedContent(query) => query.fingerprint(),
        }
    }

    fn stats(&self) -> SourceStats {
        self.access.stats()
    }
}

impl ApiSource {
    async fn collection_page(
        &mut self,
        query: &ODataQuery,
        request: &PageRequest,
    ) -> Result<Page, SourceError> {
        let not_followed = |bad: BadLink| no_page(&query.endpoint, &bad);
        let link = request.link.as_deref();
        let of_walk = |link| query.identity(link);
        let now = self.access.clock.now();
        let address = query.page(request.window, link, now).map_err(not_followed)?;
        let target = if link.is_some() && address.may_expire() { Target::Link } else { Target::Window };
        let filter = query.filter(request.window);
        let asked = self.collection(query, &address.url, request, target, &filter).await?;
        self.access.establish();
        let Some((collection, answer)) = asked else {
            return Ok(Page { next: query.after_none(&address).next, ..Page::default() });
        };
        self.has_given_rows |= !collection.records.is_empty();
        if link.is_none() && collection.next.is_none() && answer.status == StatusCode::OK {
            self.look_for_rows(query, request).await?;
        }
        let page = query.after(request.window, &address, collection, now).map_err(not_followed)?;
        self.walk
            .step(request.window, link.map(of_walk), page.next.as_deref().map(of_walk))
            .map_err(|Circle| not_followed(BadLink("the page links go in a circle".to_owned())))?;
        let noticed = self.access.kept.notices.of(&answer, &query.endpoint, now);
        Ok(Page {
            records: page.records,
            complete_to: query.complete_to(page.next.as_deref()),
            next: page.next,
            missing: noticed.missing,
            warnings: noticed.warnings,
            ..Page::default()
        })
    }

    /// Asks an endpoint that is to be retired for any row at all, unless it has given one. An answer in part proves
    /// nothing, nor does one with a link.
    async fn look_for_rows(&mut self, query: &ODataQuery, request: &PageRequest) -> Result<(), SourceError> {
        let Some(successor) = self.shared.successor.filter(|_| !self.has_given_rows) else { return Ok(()) };
        let url = query.probe().map_err(|bad| no_page(&query.endpoint, &bad))?;
        let asked = self.collection(query, &url, request, Target::Window, "").await?;
        let Some((collection, answer)) = asked else { return Ok(()) };
        self.has_given_rows = !collection.records.is_empty();
        if self.has_given_rows || collection.next.is_some() || answer.status != StatusCode::OK {
            return Ok(());
        }
        Err(retired(&query.endpoint, successor, "it answers without a single record, whatever is asked"))
    }

    /// One request for a page of a collection; none where the API says that there is no list, and means an empty one.
    async fn collection(
        &mut self,
        query: &ODataQuery,
        url: &Url,
        request: &PageRequest,
        target: Target,
        filter: &str,
    ) -> Result<Option<(Collection, Answer)>, SourceError> {
        let ask = Ask {
            method: Method::GET,
            url,
            told_as: url.path(),
            headers: query.headers.clone(),
            deadline: request.deadline,
            repeats: Repeats::Patient,
            unsaid_patience: None,
            body: Bytes::new(),
            answer: Expected::Page,
        };
        let read =
            |answer: &Answer| read_collection(&answer.body).map_err(|flaw| self.access.flawed(answer, flaw));
        match self.access.ask(&ask, &mut self.last_body, read).await {
            Ok(answered) => Ok(Some(answered)),
            Err(Unanswered::Failed(failure)) if query.may_be_absent() && failure.says_nothing_is_there() => {
                Ok(None)
            }
            Err(unanswered) => Err(unanswered.tell(&Context {
                endpoint: &query.endpoint,
                contact: self.access.contact(),
                target,
                window_from: request.window.from,
                now: self.access.clock.now(),
                filter,
                additional_filter: self.shared.additional_filter.as_deref().filter(|_| !filter.is_empty()),
                permission: self.shared.permission,
                token_setting: None,
                successor: self.shared.successor,
            })),
        }
    }
}

impl Api {
    fn new(settings: &Settings) -> Result<Self, Error> {
        Ok(match &settings.service.query {
            Query::OData { path, page_size, bounds, base_filter, headers, paging, .. } => {
                let page_size = page_size.map(|size| page_size_of(settings, size));
                let plan = Plan::Window { bounds: *bounds, page_size, paging: *paging };
                Self::OData(ODataQuery::new(settings, plan, path, *base_filter, headers)?)
            }
            Query::NewestDays { path } => {
                Self::OData(ODataQuery::new(settings, Plan::NewestDays, path, None, &[])?)
            }
            Query::Snapshot { path, page_size } => {
                let plan = match page_size {
                    Some(size) => Plan::Rows { page_size: page_size_of(settings, *size) },
                    None => Plan::WholeList,
                };
                Self::OData(ODataQuery::new(settings, plan, path, None, &[])?)
            }
            Query::FilteredList { .. } => Self::Filtered(FilteredList::new(settings)?),
            Query::Hunting { path } => Self::Hunting(Hunting::new(settings, path)?),
            Query::Content { content_type } => {
                Self::Content(ContentQuery::at(&settings.connection, content_type)?)
            }
            Query::FailedContent => Self::FailedContent(ContentQuery::at(&settings.connection, "")?),
        })
    }
}

/// A page whose records are asked about one by one is worked on by many invocations, and each asks for it again.
const ENRICHED_PAGE: u32 = 100;

fn page_size_of(settings: &Settings, declared: u32) -> u32 {
    if settings.enrichments.is_empty() { declared } else { declared.min(ENRICHED_PAGE) }
}

/// Name of the used budget among what a source remembers.
const BUDGET: &str = "budget";
const TURNS: &str = "requests";
const LAST: &str = "last_at";

fn write_used(used: Used, memo: &mut Map<String, Value>) {
    memo.insert(BUDGET.to_owned(), json!({TURNS: used.turns, LAST: used.last.to_string()}));
}

fn read_used(memo: &Map<String, Value>) -> Option<Used> {
    let budget = memo.get(BUDGET)?;
    let turns = usize::try_from(budget.get(TURNS)?.as_u64()?).ok()?;
    Some(Used { turns, last: budget.get(LAST)?.as_str()?.parse().ok()? })
}

/// A proxy stands between networks, never between a process and its own machine.
fn proxy(base_url: &str) -> Proxy {
    let is_loopback = match Url::parse(base_url).as_ref().map(Url::host) {
        Ok(Some(Host::Ipv4(address))) => address.is_loopback(),
        Ok(Some(Host::Ipv6(address))) => address.is_loopback(),
        Ok(Some(Host::Domain(name))) => name == "localhost",
        _ => false,
    };
    if is_loopback { Proxy::Never } else { Proxy::System }
}
