//! Faults by script: which request meets which mishap.
//!
//! A rule says for whom it is meant (an endpoint or the login, first or next page), for which of the matching
//! requests (every, the n-th, the first n), and what happens. Each rule counts the requests that match it; of the
//! rules that are due the first one in the script strikes. Nothing here is chance.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::watch;

use super::log::{Addressee, PageKind, RequestSeen};
use crate::occurrence::Occurrence;

/// Which requests a rule is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Everything, the login too.
    Anything,
    /// Any of the collections.
    AnyGraph,
    /// That addressee alone.
    Only(Addressee),
}

/// One line of a script.
#[derive(Debug, Clone)]
pub struct Rule {
    target: Target,
    page: Option<PageKind>,
    occurrence: Occurrence,
    fault: Fault,
}

impl Rule {
    /// A rule that strikes every request to `target`.
    pub fn on(target: Target, fault: Fault) -> Self {
        Self { target, page: None, occurrence: Occurrence::Every, fault }
    }

    /// A rule that strikes every request to that endpoint.
    pub fn on_endpoint(endpoint: super::Endpoint, fault: Fault) -> Self {
        Self::on(Target::Only(Addressee::Graph(endpoint)), fault)
    }

    /// A rule that strikes every login.
    pub fn on_login(fault: Fault) -> Self {
        Self::on(Target::Only(Addressee::Login), fault)
    }

    /// Limits it to first or next pages.
    pub fn page(mut self, page: PageKind) -> Self {
        self.page = Some(page);
        self
    }

    /// Limits it to the n-th matching request, counted from 1.
    pub fn nth(mut self, nth: u64) -> Self {
        self.occurrence = Occurrence::Nth(nth);
        self
    }

    /// Limits it to the first n matching requests.
    pub fn first(mut self, count: u64) -> Self {
        self.occurrence = Occurrence::First(count);
        self
    }

    fn meant_for(&self, request: &RequestSeen) -> bool {
        let addressed = match self.target {
            Target::Anything => true,
            Target::AnyGraph => matches!(request.addressee, Addressee::Graph(_)),
            Target::Only(addressee) => addressee == request.addressee,
        };
        addressed && self.page.is_none_or(|page| page == request.page)
    }
}

/// What happens to a request. Those that change a page's content do nothing to the login.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status with this body and these headers instead of an answer. Without a body: Graph's error body.
    Status {
        /// HTTP status.
        code: u16,
        /// The body, or `None` for Graph's usual error object.
        body: Option<String>,
        /// Further headers.
        headers: Vec<(String, String)>,
    },
    /// 429 with a Retry-After of that kind.
    TooManyRequests(RetryAfter),
    /// 200 with a page of HTML.
    Html,
    /// 200, `application/json`, and no JSON.
    NotJson,
    /// 200 with JSON of another shape.
    WrongShape(Shape),
    /// The right answer, cut behind that many bytes of its body (as it travels, compressed or not).
    Truncate {
        /// Bytes of the body that still arrive.
        at: usize,
    },
    /// The connection ends before the first byte of the answer.
    CloseBeforeAnswer,
    /// The connection is reset before the first byte of the answer.
    Reset,
    /// The right answer, that much later.
    Delay(Duration),
    /// The right answer, once the gate is released.
    Hold(Gate),
    /// The right answer, dripping.
    SlowBody {
        /// Bytes of a drop.
        piece: usize,
        /// Time before each.
        pause: Duration,
    },
    /// All next links given so far are dead from now on; this request is answered accordingly.
    ExpireLinks,
    /// The right page, but its next link points to this host (for example `https://elsewhere.example`).
    ForeignNextLink {
        /// Scheme and host.
        host: String,
    },
    /// The right page, but its next link leads to the same page again.
    LoopNextLink,
    /// A page without records whose next link leads to the page that was asked for.
    EmptyPageWithNext,
    /// The right page with every record twice.
    DuplicateRecords,
    /// The right page with its records in an order of their own.
    ShuffleOrder,
    /// The token of this request is dead from now on: 401 now and whenever it comes again.
    TokenRevoked,
    /// 504 with Graph's error body.
    GatewayTimeout,
    /// The right answer with further headers.
    ExtraHeaders(Vec<(String, String)>),
}

impl Fault {
    /// A status with Graph's usual error object.
    pub fn status(code: u16) -> Self {
        Self::Status { code, body: None, headers: Vec::new() }
    }

    /// 403: the application lacks the permission.
    pub fn missing_permission(permission: &str) -> Self {
        Self::forbidden(
            "Authentication_MSGraphPermissionMissing",
            &format!("Calling principal does not have required MSGraph permissions {permission}"),
        )
    }

    /// 403: the tenant has no premium licence.
    pub fn missing_licence() -> Self {
        Self::forbidden(
            "Authentication_RequestFromNonPremiumTenantOrB2CTenant",
            "Neither tenant is B2C or tenant doesn't have premium license",
        )
    }

    fn forbidden(error_code: &str, message: &str) -> Self {
        let error = serde_json::json!({ "error": { "code": error_code, "message": message } });
        Self::Status { code: 403, body: Some(error.to_string()), headers: Vec::new() }
    }
}

/// What a 429 says about the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// That many seconds.
    Seconds(u64),
    /// A date, that long after now.
    Date(SignedDuration),
    /// Nothing.
    Absent,
}

/// JSON that is no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// An object without `value`.
    ValueMissing,
    /// `value` is an object.
    ValueIsObject,
    /// The page is an array.
    TopLevelArray,
    /// `null`.
    Null,
}

/// Holds requests back until it is released, and tells when one has arrived.
#[derive(Debug, Clone)]
pub struct Gate {
    arrived: Arc<watch::Sender<u64>>,
    released: Arc<watch::Sender<bool>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { arrived: Arc::new(watch::Sender::new(0)), released: Arc::new(watch::Sender::new(false)) }
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets all requests pass, those that wait and those that come.
    pub fn release(&self) {
        self.released.send_replace(true);
    }

    /// Waits until that many requests have arrived at it.
    pub async fn arrived(&self, count: u64) {
        // The sender lives as long as `self`: waiting cannot fail.
        let _ = self.arrived.subscribe().wait_for(|arrived| *arrived >= count).await;
    }

    pub(crate) async fn pass(&self) {
        self.arrived.send_modify(|arrived| *arrived += 1);
        let _ = self.released.subscribe().wait_for(|released| *released).await;
    }
}

/// A script and how far it has come.
#[derive(Debug, Default)]
pub(crate) struct Script {
    rules: Vec<(Rule, u64)>,
}

impl Script {
    /// A script at its beginning.
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        Self { rules: rules.into_iter().map(|rule| (rule, 0)).collect() }
    }

    /// What happens to this request; counts it.
    pub(crate) fn strike(&mut self, request: &RequestSeen) -> Option<Fault> {
        let mut struck = None;
        for (rule, count) in &mut self.rules {
            if !rule.meant_for(request) {
                continue;
            }
            *count += 1;
            if struck.is_none() && rule.occurrence.includes(*count) {
                struck = Some(rule.fault.clone());
            }
        }
        struck
    }
}
