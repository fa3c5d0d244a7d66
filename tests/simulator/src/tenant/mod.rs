//! A Microsoft tenant: login, the audit-log and security collections of Graph, the activity feeds of Office 365,
//! Defender for Endpoint, Defender for Cloud Apps.
//!
//! Records are emitted by the test (or the binary) and served as Graph serves them: filters are parsed and evaluated,
//! tokens checked, pages cut, next links opaque. Faults come from a script. Every request is written down, with the
//! reason when it was refused, so that a test can say what a collector did and not only what came out.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use simulator::tenant::{CloudAppsList, DefenderList, Endpoint, Fault, Rule, Tenant, TenantConfig};
//!
//! let tenant = Tenant::start(TenantConfig::default()).await?;
//! tenant.emit(Endpoint::SignIns, simulator::records::sign_in(1, jiff::Timestamp::now(), &[]))?;
//! tenant.emit_defender(DefenderList::Software, simulator::records::software(1))?;
//! let now = jiff::Timestamp::now();
//! let alert = simulator::records::cloud_apps_record(CloudAppsList::Alerts, 1, now);
//! tenant.emit_cloud_apps(CloudAppsList::Alerts, alert)?;
//! tenant.script(vec![Rule::on_endpoint(Endpoint::SignIns, Fault::GatewayTimeout).nth(1)]);
//! println!("override_base_url: {}", tenant.base_url());
//! # Ok(())
//! # }
//! ```

mod assertion;
mod body;
mod cloud_apps;
mod config;
mod defender;
mod endpoint;
mod fault;
mod feed;
mod filter;
mod links;
mod log;
mod login;
mod mishap;
mod page;
mod query;
mod rule;
mod security;
mod store;
#[cfg(test)]
mod tests;
mod throttle;
mod tokens;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;

pub use self::cloud_apps::{
    Acceptance, AnswerMember, BeyondDeepest, CloudAppsConfig, CloudAppsLimits, CloudAppsList, CloudAppsOrder,
    FilterReading, PostWithoutSlash, ScanLimit, ScanMishap, SlowFiles, ThrottledWords,
};
pub(crate) use self::config::USUAL_TENANT_ID;
pub use self::config::{
    Application, BodyStyle, ClientSecret, Compression, LinkPlace, PageSize, Paging, TenantConfig, Throttle,
};
pub(crate) use self::defender::RelatedKind;
pub use self::defender::{
    DEFENDER_ROLES, DefenderCall, DefenderConfig, DefenderLimits, DefenderList, DefenderRelation,
    HuntingConfig, HuntingError, HuntingLimits, ListOrder, NextLinks, NoMachines, NoRelated, ResultNames,
    ToldWait,
};
pub use self::endpoint::{Endpoint, Family};
pub use self::fault::{Fault, Gate, ProviderFailure, RetryAfter, Shape};
pub use self::feed::{
    BlobTraffic, ContentType, ContentUnknown, FeedCall, FeedConfig, FeedError, Framing, LagCode, LagLength,
    ListedNames, ListedStatus, NextPagePath, NextPageTimes, PublisherRule, Quotes, RecordMaker, Subscription,
    SubscriptionLag, ThrottledAs, WindowCode,
};
pub use self::log::{Addressee, AuthorizationScheme, BlobSeen, PageKind, RequestSeen, Violation};
pub use self::rule::{Rule, RuleTally, Target};
pub use self::security::{ClampedPage, Retirement, SecurityConfig};
pub use self::store::{RecordRefused, Visibility};
pub use crate::occurrence::Occurrence;

use self::cloud_apps::CloudAppsBook;
use self::defender::{DefenderBook, LimitBook};
use self::feed::{FeedBook, Traffic};
use self::links::LinkBook;
use self::log::{Circumstances, RequestLog};
use self::rule::Script;
use self::store::{Emission, Moment, Store};
use self::throttle::ThrottleBook;
use self::tokens::TokenBook;
use crate::clock::http_date;
use crate::http::{Answer, Delivery, Handler, Held, Request, Server};
use crate::sync::{locked, request_id};

type Hook = Arc<dyn Fn(&RequestSeen) + Send + Sync>;

/// A running tenant. Cheap to clone; dropping the last clone stops it.
#[derive(Clone)]
pub struct Tenant {
    server: Server,
    state: Arc<State>,
}

struct State {
    config: TenantConfig,
    applications: Mutex<Vec<Application>>,
    store: Mutex<Store<Endpoint>>,
    tokens: Mutex<TokenBook>,
    links: Mutex<LinkBook>,
    throttle: Mutex<ThrottleBook>,
    security_throttle: Mutex<ThrottleBook>,
    retirement: Mutex<Retirement>,
    feed: Mutex<FeedBook>,
    feed_throttle: Mutex<ThrottleBook>,
    feed_traffic: Arc<Traffic>,
    defender: Mutex<DefenderBook>,
    defender_limits: Mutex<LimitBook>,
    cloud_apps: Mutex<CloudAppsBook>,
    cloud_apps_throttle: Mutex<ThrottleBook>,
    script: Mutex<Script>,
    log: Mutex<RequestLog>,
    hook: Mutex<Option<Hook>>,
}

impl Tenant {
    /// Starts a tenant. Fails when the address cannot be listened on.
    pub async fn start(config: TenantConfig) -> io::Result<Self> {
        let (listen, retirement) = (config.listen, config.security.retirement);
        let state = Arc::new(State {
            applications: Mutex::new(config.applications.clone()),
            feed: Mutex::new(FeedBook::new(&config.feed, config.clock.now())),
            defender: Mutex::new(DefenderBook::new(&config.defender)),
            cloud_apps: Mutex::new(CloudAppsBook::new(&config.cloud_apps)),
            config,
            store: Mutex::default(),
            tokens: Mutex::new(TokenBook::default()),
            links: Mutex::default(),
            throttle: Mutex::default(),
            security_throttle: Mutex::default(),
            retirement: Mutex::new(retirement),
            feed_throttle: Mutex::default(),
            feed_traffic: Arc::default(),
            defender_limits: Mutex::default(),
            cloud_apps_throttle: Mutex::default(),
            script: Mutex::default(),
            log: Mutex::default(),
            hook: Mutex::new(None),
        });
        let server = Server::start(listen, Arc::clone(&state)).await?;
        Ok(Self { server, state })
    }

    /// Stops listening and cuts all connections.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Root of login and API alike, without a trailing slash: `http://127.0.0.1:…`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// What it was started with.
    pub fn config(&self) -> &TenantConfig {
        &self.state.config
    }

    /// Replaces the registered applications: secrets rotate, certificates are revoked.
    pub fn set_applications(&self, applications: Vec<Application>) {
        *locked(&self.state.applications) = applications;
    }

    /// Makes all tokens given so far invalid.
    pub fn revoke_tokens(&self) {
        locked(&self.state.tokens).revoke_all();
    }

    /// Makes all next links given so far invalid, and all filters that lead on in a scan.
    pub fn expire_links(&self) {
        locked(&self.state.links).expire_all();
        locked(&self.state.feed).expire_links();
        locked(&self.state.cloud_apps).expire_scans();
    }

    /// Whether the legacy alerts live.
    pub fn retirement(&self) -> Retirement {
        *locked(&self.state.retirement)
    }

    /// Retires the legacy alerts, or brings them back; their records stay.
    pub fn set_retirement(&self, retirement: Retirement) {
        *locked(&self.state.retirement) = retirement;
    }

    /// Emits a record, seen at once; gives its number. Its bytes are served as they are.
    pub fn emit(&self, endpoint: Endpoint, json_text: String) -> Result<u64, RecordRefused> {
        self.emit_when(endpoint, json_text, Visibility::Now)
    }

    /// Emits a record that is seen later.
    pub fn emit_when(
        &self,
        endpoint: Endpoint,
        json_text: String,
        visibility: Visibility,
    ) -> Result<u64, RecordRefused> {
        self.emit_at(endpoint, json_text, None, visibility)
    }

    /// Emits a record whose place in time is `time`, whatever it says of itself (`None`: what it says).
    pub fn emit_at(
        &self,
        endpoint: Endpoint,
        json_text: String,
        time: Option<Timestamp>,
        visibility: Visibility,
    ) -> Result<u64, RecordRefused> {
        let requests = locked(&self.state.log).count(Addressee::Graph(endpoint));
        let now = self.state.config.clock.now();
        let emission = Emission { time, visibility, requests, now };
        locked(&self.state.store).emit(endpoint, json_text, emission)
    }

    /// Changes the text of an emitted record; its place stays.
    pub fn replace(&self, endpoint: Endpoint, number: u64, json_text: String) -> Result<(), RecordRefused> {
        locked(&self.state.store).replace(endpoint, number, json_text)
    }

    /// Changes the text of an emitted record, and its place with it: the one that the new text says.
    pub fn update(&self, endpoint: Endpoint, number: u64, json_text: String) -> Result<(), RecordRefused> {
        self.update_at(endpoint, number, json_text, None)
    }

    /// The same with a place in time of its own (`None`: what the new text says).
    pub fn update_at(
        &self,
        endpoint: Endpoint,
        number: u64,
        json_text: String,
        time: Option<Timestamp>,
    ) -> Result<(), RecordRefused> {
        let now = self.state.config.clock.now();
        locked(&self.state.store).update(endpoint, number, json_text, time, now)
    }

    /// The bytes of all records emitted to the endpoint, in order of event time.
    pub fn emitted(&self, endpoint: Endpoint) -> Vec<Bytes> {
        locked(&self.state.store).emitted(endpoint).map(|record| record.raw.clone()).collect()
    }

    /// The bytes of those that the endpoint's next request would find, in order of event time.
    pub fn visible(&self, endpoint: Endpoint) -> Vec<Bytes> {
        let now = self.state.config.clock.now();
        let oldest = self.state.config.oldest(endpoint, now);
        let request = locked(&self.state.log).count(Addressee::Graph(endpoint)) + 1;
        let moment = Moment { now, oldest, request };
        locked(&self.state.store).visible(endpoint, moment).map(|record| record.raw.clone()).collect()
    }

    /// Replaces the script of faults; counting begins anew.
    pub fn script(&self, rules: Vec<Rule>) {
        *locked(&self.state.script) = Script::new(rules);
    }

    /// How often each rule of the script was met, in its order.
    pub fn rule_tallies(&self) -> Vec<RuleTally> {
        locked(&self.state.script).tallies()
    }

    /// Calls `hook` when a request has come in, before it is answered. A hook that holds a clone of this handle keeps
    /// the tenant running until it is stopped.
    pub fn on_request(&self, hook: impl Fn(&RequestSeen) + Send + Sync + 'static) {
        *locked(&self.state.hook) = Some(Arc::new(hook));
    }

    /// How many requests that addressee has had.
    pub fn request_count(&self, addressee: Addressee) -> u64 {
        locked(&self.state.log).count(addressee)
    }

    /// All requests so far, logins too.
    pub fn requests(&self) -> Vec<RequestSeen> {
        locked(&self.state.log).all()
    }
}

/// An answer and what the log shall say of it.
struct Outcome {
    answer: Answer,
    records: usize,
    note: Option<String>,
}

impl Outcome {
    fn of(answer: Answer) -> Self {
        Self { answer, records: 0, note: None }
    }
}

/// The ids that Graph gives every answer, and who is speaking.
struct Ids {
    request_id: String,
    client_request_id: String,
    speaker: Speaker,
}

/// Whose words an error body has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    Graph,
    Feed,
    Defender,
    Hunting,
    CloudApps,
}

impl Ids {
    fn of(request: &Request, addressee: Addressee) -> io::Result<Self> {
        let request_id = request_id()?;
        let client_request_id =
            request.header("client-request-id").map_or_else(|| request_id.clone(), str::to_owned);
        let speaker = match addressee {
            Addressee::Feed(_) => Speaker::Feed,
            Addressee::Defender(DefenderCall::Hunting) => Speaker::Hunting,
            Addressee::Defender(_) => Speaker::Defender,
            Addressee::CloudApps(_) => Speaker::CloudApps,
            Addressee::Login | Addressee::Graph(_) | Addressee::Nobody => Speaker::Graph,
        };
        Ok(Self { request_id, client_request_id, speaker })
    }

    /// The usual error object.
    fn error(&self, status: u16, code: &str, message: &str, now: Timestamp) -> Answer {
        match self.speaker {
            Speaker::Feed => return feed::refused(status, code, message),
            Speaker::Defender | Speaker::Hunting => {
                let error = json!({ "code": code, "message": message, "target": self.request_id });
                return Answer::new(status, "application/json", json!({ "error": error }).to_string());
            }
            Speaker::CloudApps => return cloud_apps::detail(status, message),
            Speaker::Graph => {}
        }
        let body = json!({
            "error": {
                "code": code,
                "message": message,
                "innerError": {
                    "date": now.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
                    "request-id": self.request_id,
                    "client-request-id": self.client_request_id,
                },
            },
        });
        Answer::new(status, "application/json", body.to_string())
    }
}

impl Handler for State {
    async fn answer(&self, request: Request) -> Answer {
        let now = self.config.clock.now();
        let (addressee, circumstances) = feed::arrival(self, &request, now)
            .or_else(|| cloud_apps::arrival(&request))
            .unwrap_or_else(|| (addressee_of(&request.path), Circumstances::default()));
        let in_flight = feed::begin(self, addressee);
        let seen = locked(&self.log).enter(addressee, circumstances, &request, now);
        let hook = locked(&self.hook).clone();
        if let Some(hook) = hook {
            hook(&seen);
        }
        let fault = locked(&self.script).strike(&seen);
        let outcome = self.outcome(&request, &seen, fault.as_ref()).await.unwrap_or_else(|error| Outcome {
            note: Some(format!("the simulator itself failed: {error}")),
            ..Outcome::of(Answer::new(500, "text/plain", "the simulator itself failed"))
        });
        let Outcome { mut answer, records, note } = outcome;
        answer.held = in_flight.map(|in_flight| Box::new(in_flight) as Box<dyn Held>);
        let is_answered = !matches!(answer.delivery, Delivery::Close | Delivery::Reset);
        locked(&self.log).answered(seen.number, is_answered.then_some(answer.status), records, note);
        answer
    }
}

impl State {
    async fn outcome(
        &self,
        request: &Request,
        seen: &RequestSeen,
        fault: Option<&Fault>,
    ) -> io::Result<Outcome> {
        let ids = Ids::of(request, seen.addressee)?;
        let scripted = match fault {
            Some(fault) => {
                let about = feed::about(request, seen, &ids, self.config.clock.now());
                mishap::instead_of_answer(fault, &ids, &about).await
            }
            None => None,
        };
        // A fault may have waited: the answer belongs to the time after it.
        let now = self.config.clock.now();
        let mut outcome = match (scripted, seen.addressee) {
            (Some(outcome), _) => outcome,
            (None, Addressee::Login) if request.method == "POST" => login::answer(self, request)?,
            (None, Addressee::Graph(endpoint)) if request.method == "GET" => {
                page::answer(self, &page::Call { request, seen, endpoint, fault, ids: &ids, now })?
            }
            (None, Addressee::Feed(_)) => feed::answer(self, request, seen, fault, &ids)
                .await
                .ok_or_else(|| io::Error::other("a call to the feeds has no path of theirs"))?,
            (None, Addressee::Defender(_)) => {
                defender::answer(self, &defender::Call { request, seen, fault, ids: &ids, now })?
            }
            (None, Addressee::CloudApps(_)) => {
                cloud_apps::answer(self, &cloud_apps::Call { request, seen, fault, now }).await?
            }
            (None, Addressee::Nobody) => {
                let segment = request.path.rsplit('/').next().unwrap_or_default();
                let message = format!("Resource not found for the segment '{segment}'.");
                Outcome::of(ids.error(400, "BadRequest", &message, now))
            }
            (None, _) => Outcome::of(ids.error(405, "MethodNotAllowed", "The method is not allowed.", now)),
        };
        if let Some(fault) = fault {
            mishap::on_the_way(fault, &mut outcome);
        }
        let headers = &mut outcome.answer.headers;
        headers.push(("Date".to_owned(), http_date(now)));
        headers.push(("request-id".to_owned(), ids.request_id));
        headers.push(("client-request-id".to_owned(), ids.client_request_id));
        Ok(outcome)
    }
}

fn addressee_of(path: &str) -> Addressee {
    let of_graph = || Endpoint::of_path(path).map(Addressee::Graph);
    let of_login = || login::is_token_path(path).then_some(Addressee::Login);
    of_graph().or_else(|| defender::addressee(path)).or_else(of_login).unwrap_or(Addressee::Nobody)
}
