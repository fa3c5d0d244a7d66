//! The settings of one service, resolved: what the configuration document says, laid over the declaration.
//!
//! Everything is parsed once, at the edge, into this typed value; all problems of a document are reported together.
//! Nothing downstream sees the document again.

pub mod document;
mod filter;
mod findings;
mod input;
mod keys;
pub mod migrate;
mod outline;
mod queries;
mod rate;
mod read;
mod service_block;
pub(crate) mod times;
mod translate;
mod urls;

#[cfg(test)]
mod tests;

pub(crate) use findings::Findings;
pub use keys::Setting;
pub(crate) use keys::nearest;
pub(crate) use read::{Block, kind_of};

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::obfuscate::Rule;
use crate::service::{Enrichment, Service};

/// The settings of one service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The declaration they belong to.
    pub service: &'static Service,
    /// The input's `id`, part of the state key.
    pub input_id: String,
    /// `environment` as given: the value of `@devo_environment`.
    pub environment: Option<String>,
    /// False when the service or its input is absent or switched off.
    pub enabled: bool,
    /// Where and as whom to log in and pull.
    pub connection: Connection,
    /// Time between two pulls.
    pub request_period: SignedDuration,
    /// `start_time_in_utc`, when the document has one.
    pub start_time: Option<Timestamp>,
    /// What a document for version 1.x says about where to start.
    pub older_start: OlderStart,
    /// What is asked for beside the window.
    pub additional_filter: Option<AdditionalFilter>,
    /// Replaces the tag of every record.
    pub override_tag: Option<String>,
    /// Longest window of one query.
    pub window_max: SignedDuration,
    /// How far a cycle reaches back for late arrivals.
    pub lookback: SignedDuration,
    /// Time between two late sweeps; zero switches them off.
    pub late_sweep_period: SignedDuration,
    /// How far back from now a late sweep reads again.
    pub late_sweep_range: SignedDuration,
    /// What is sent of a snapshot.
    pub snapshot_mode: SnapshotMode,
    /// Rules that mask members of a record.
    pub obfuscation: Vec<Rule>,
    /// The request limit of this function alone: the share of a shared budget.
    pub rate: RequestRate,
    /// How many records the memory holds, where that is limited.
    pub memory: Option<MemoryLimits>,
    /// The counts that are added to each record.
    pub enrichments: Vec<&'static Enrichment>,
    /// Into how many events a record may be taken apart; `None` leaves it in one piece.
    pub flatten: Option<u32>,
    /// The operator's own queries; empty where the service is not made of such.
    pub queries: Vec<HuntingQuery>,
    /// The enabled content feeds of the same input, for the service that retries their failed content; else empty.
    pub feeds: Vec<Settings>,
}

/// Where a service starts, in the words of version 1.x.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OlderStart {
    /// `override_time_delta_in_days`: a fresh service starts that long before its first pull. It moves no service that
    /// has started.
    pub reach: Option<SignedDuration>,
    /// `reset_persistence_auth`: another value restarts the service. Its absence changes nothing.
    pub mark: Option<String>,
}

/// What is asked for beside the window (`additional_filter`).
#[derive(Debug, Clone, PartialEq)]
pub enum AdditionalFilter {
    /// An OData clause that is ANDed to the window's.
    Clause(String),
    /// Filters of Defender for Cloud Apps by their fields; none of them is one on the window's time.
    Fields(Map<String, Value>),
}

/// What is sent of a snapshot (`snapshot_mode`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SnapshotMode {
    /// New and changed records, and all of them at the first snapshot of each UTC day.
    #[default]
    Daily,
    /// New and changed records.
    Changes,
    /// All of them, each time.
    Always,
}

/// How many records a feed's memory holds (`override_bloom_filter_size`, `override_bloom_filter_buffer_size`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Above this the oldest are forgotten.
    pub most: u64,
    /// It never forgets below this; smaller than `most`.
    pub least: u64,
}

/// One of the operator's own queries (`queries` of advanced hunting).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HuntingQuery {
    /// Its name: its state is kept by it, and messages call it so.
    pub name: String,
    /// Its text in Kusto Query Language, as the document has it.
    pub text: String,
    /// The Devo tag of its rows.
    pub tag: String,
    /// Time between two runs.
    pub period: SignedDuration,
    /// How far back from the present each run reaches at least; `None` where the look-back alone decides.
    pub range: Option<SignedDuration>,
    /// Whether it names the ends of a window.
    pub span: QuerySpan,
}

/// What one run of a query covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuerySpan {
    /// A window: `{from}` and `{to}` in its text become datetime literals.
    Window,
    /// Whatever it says itself: a snapshot.
    Whole,
}

impl Settings {
    /// Whether there are windows of the past that can be asked for again.
    pub fn has_windows(&self) -> bool {
        let is_window = |query: &HuntingQuery| query.span == QuerySpan::Window;
        match self.service.query.is_hunting() {
            true => self.queries.iter().any(is_window),
            false => self.service.query.has_windows(),
        }
    }

    /// `additional_filter` as an OData clause; `None` where there is none, or it is made of fields.
    pub fn filter_clause(&self) -> Option<&str> {
        match &self.additional_filter {
            Some(AdditionalFilter::Clause(clause)) => Some(clause),
            Some(AdditionalFilter::Fields(_)) | None => None,
        }
    }

    /// The state partition of the service: `{input id}#{function}`.
    pub fn partition(&self) -> String {
        format!("{}#{}", self.input_id, self.service.function)
    }

    /// The environment as a level of a tag: characters outside `[A-Za-z0-9_-]` become `_`; `default` when none is set.
    pub fn environment_label(&self) -> String {
        let Some(environment) = &self.environment else {
            return "default".to_owned();
        };
        environment.chars().map(|c| if is_word_character(c) { c } else { '_' }).collect()
    }
}

/// The characters that ids, levels of tags and environments of tags are made of.
fn is_word_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// Where and as whom to log in and pull. URLs have no trailing slash; only loopback may be plain http.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Root of the API.
    pub base_url: String,
    /// Root of the login service.
    pub login_url: String,
    /// Scope of the token.
    pub scope: String,
    /// Directory (tenant) id.
    pub tenant_id: String,
    /// Application (client) id.
    pub client_id: String,
    /// What proves the application's identity.
    pub credential: Credential,
    /// `PublisherIdentifier` of the Management Activity API: whose request quota is used. The tenant id unless the
    /// document names another.
    pub publisher: String,
}

/// What proves the application's identity to the login service.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A client secret.
    Secret(SecretString),
    /// A certificate and its private key, both PEM: a signed client assertion is sent.
    Certificate {
        /// The certificate, PEM (line breaks may have been lost).
        certificate: String,
        /// Its private key, PEM (line breaks may have been lost).
        private_key: SecretString,
    },
    /// A token that requests carry as it is (`Authorization: Token …`): nobody logs in.
    Token(SecretString),
}

/// At most `requests` requests in any span of `per`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RequestRate {
    /// Number of requests, 1 or more.
    pub requests: u32,
    /// In that length of time.
    pub per: SignedDuration,
}
