//! Faults: what a script can do to a request.
//!
//! Some stand in the place of the right answer, some change what a page says, some break the answer on its way. Which
//! request meets which is the matter of rules.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::watch;

use super::defender::HuntingError;
use super::feed::FeedError;

/// What happens to a request. Those that change a page's content do nothing to the login.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status with this body and these headers instead of an answer. Without a body: the usual error body.
    Status {
        /// HTTP status.
        code: u16,
        /// The body, or `None` for the usual error object of whoever is asked.
        body: Option<String>,
        /// Further headers.
        headers: Vec<(String, String)>,
    },
    /// 429 with a Retry-After of that kind, in the words of whoever is asked.
    TooManyRequests(RetryAfter),
    /// 200 with a page of HTML.
    Html,
    /// That status with a page of HTML, as consoles and gateways have it.
    HtmlPage(u16),
    /// 200, `application/json`, and no JSON.
    NotJson,
    /// 200 with JSON of another shape.
    WrongShape(Shape),
    /// The right answer, cut behind that many bytes of its body (as it travels, compressed or not).
    Truncate {
        /// Bytes of the body that still arrive.
        at: usize,
    },
    /// A complete answer whose JSON ends behind that many bytes (before compression).
    EndsEarly {
        /// Bytes of the JSON.
        at: usize,
    },
    /// The right answer up to that many bytes of its body, then silence.
    Stall {
        /// Bytes of the body that arrive.
        after: usize,
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
    /// The right listing, but its content URIs point to this host. Other answers stay as they are.
    ForeignContentUri {
        /// Scheme and host.
        host: String,
    },
    /// The right page, but its next link leads to the same page again. In a scan `nextQueryFilters` are what the request
    /// had for `filters`.
    LoopNextLink,
    /// A page without records whose next link leads to the page that was asked for.
    EmptyPageWithNext,
    /// The right page with every record (listing: every entry) twice.
    DuplicateRecords,
    /// The right page with its records (listing: its entries) in an order of their own.
    ShuffleOrder,
    /// The token of this request is dead from now on: 401 now and whenever it comes again.
    TokenRevoked,
    /// 504 with an error body (Defender for Cloud Apps: a page of HTML).
    GatewayTimeout,
    /// 206 and a `Warning` header: the right page without the records of these providers (`vendorInformation.provider`,
    /// in any case), as the legacy alerts have it when a provider does not answer. With its next link, if it has one.
    PartialContent(Vec<ProviderFailure>),
    /// The right answer with further headers.
    ExtraHeaders(Vec<(String, String)>),
    /// A refusal in the words of the Management Activity API, whoever is asked.
    Feed(FeedError),
    /// A refusal in the words of advanced hunting, whoever is asked.
    Hunting(HuntingError),
}

impl Fault {
    /// A status with the usual error object of whoever is asked.
    pub fn status(code: u16) -> Self {
        Self::Status { code, body: None, headers: Vec::new() }
    }

    /// That status with a body that tells of throttling, as Defender for Cloud Apps has it; `seconds` are in its text.
    pub fn throttled(code: u16, seconds: Option<u64>) -> Self {
        let told = seconds
            .map_or_else(String::new, |seconds| format!(" Expected available in {seconds}.0 seconds."));
        let body = serde_json::json!({ "detail": format!("Request was throttled.{told}") });
        Self::Status { code, body: Some(body.to_string()), headers: Vec::new() }
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

/// A provider of security alerts that did not answer, as the `Warning` header tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderFailure {
    /// For example `Microsoft`.
    pub vendor: String,
    /// For example `MCAS`.
    pub provider: String,
    /// What it answered; 504 when it was too slow.
    pub status: u16,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
}

impl ProviderFailure {
    /// A provider of Microsoft's that answered with this status, within ten milliseconds.
    pub fn new(provider: &str, status: u16) -> Self {
        Self { vendor: "Microsoft".to_owned(), provider: provider.to_owned(), status, latency_ms: 10 }
    }

    /// A provider of Microsoft's that took longer than its ten seconds.
    pub fn timed_out(provider: &str) -> Self {
        Self { latency_ms: 10_000, ..Self::new(provider, 504) }
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
    /// An object without `value` (Defender for Cloud Apps: `data`).
    ValueMissing,
    /// `value` (or `data`) is an object.
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
