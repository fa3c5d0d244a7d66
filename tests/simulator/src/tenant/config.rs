//! What a simulated tenant is like before anybody calls it.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use jiff::{SignedDuration, Timestamp};

use super::cloud_apps::CloudAppsConfig;
use super::defender::DefenderConfig;
use super::endpoint::Endpoint;
use super::feed::FeedConfig;
use super::security::SecurityConfig;
use crate::clock::Clock;

/// The directory of a tenant that was given no other, and of generated records.
pub(crate) const USUAL_TENANT_ID: &str = "5d9a3c52-7c3e-4f0e-9a55-0c6f5f3d1b10";

/// Settings of a tenant. `TenantConfig::default()` has one application whose secret never expires.
#[derive(Debug, Clone)]
pub struct TenantConfig {
    /// Address to listen on; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The directory's id, the first segment of the login path.
    pub tenant_id: String,
    /// Its registered applications.
    pub applications: Vec<Application>,
    /// The scope that tokens for Graph are given for.
    pub scope: String,
    /// How long a token lives.
    pub token_lifetime: SignedDuration,
    /// Rows of a page when the caller does not say, and the most a caller can have.
    pub page_size: PageSize,
    /// How `@odata.nextLink` finds its place.
    pub paging: Paging,
    /// How long a next link is good for; `None`: for ever.
    pub link_lifetime: Option<SignedDuration>,
    /// White space of the bodies.
    pub body_style: BodyStyle,
    /// Where `@odata.nextLink` stands.
    pub link_place: LinkPlace,
    /// Whether bodies are compressed for those who accept it.
    pub compression: Compression,
    /// Records of the audit logs older than this are gone.
    pub retention: SignedDuration,
    /// A sign-ins filter that starts longer ago than this is refused with "Invalid filter clause"; `None`: never.
    pub sign_ins_guard: Option<SignedDuration>,
    /// The limit over all audit logs, for an application; `None`: no limit.
    pub throttle: Option<Throttle>,
    /// The limit over the whole security family, for an application; `None`: no limit.
    pub security_throttle: Option<Throttle>,
    /// The security collections.
    pub security: SecurityConfig,
    /// The activity feeds.
    pub feed: FeedConfig,
    /// Defender for Endpoint.
    pub defender: DefenderConfig,
    /// Defender for Cloud Apps, until `Tenant::change_cloud_apps` says otherwise.
    pub cloud_apps: CloudAppsConfig,
    /// The tenant's time of day.
    pub clock: Clock,
}

impl Default for TenantConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tenant_id: USUAL_TENANT_ID.to_owned(),
            applications: vec![Application::with_secret(
                "b7f1c3de-24a8-4c5b-8f9e-6a1d2e3f4051",
                "simulated~client-secret",
            )],
            scope: "https://graph.microsoft.com/.default".to_owned(),
            token_lifetime: SignedDuration::from_secs(3599),
            page_size: PageSize { default: 1000, maximum: 1000 },
            paging: Paging::ByKey,
            link_lifetime: None,
            body_style: BodyStyle::Compact,
            link_place: LinkPlace::BeforeRecords,
            compression: Compression::WhenAccepted,
            retention: SignedDuration::from_hours(30 * 24),
            sign_ins_guard: Some(SignedDuration::from_hours(90 * 24)),
            throttle: None,
            security_throttle: None,
            security: SecurityConfig::default(),
            feed: FeedConfig::default(),
            defender: DefenderConfig::default(),
            cloud_apps: CloudAppsConfig::default(),
            clock: Clock::system(),
        }
    }
}

impl TenantConfig {
    /// The oldest instant whose records the endpoint still has.
    pub(super) fn oldest(&self, endpoint: Endpoint, now: Timestamp) -> Timestamp {
        let retention = match endpoint {
            Endpoint::ControlProfiles => return Timestamp::MIN,
            Endpoint::Alerts | Endpoint::AlertsV2 => self.security.alert_retention,
            Endpoint::SecureScores => self.security.score_retention,
            Endpoint::DirectoryAudits
            | Endpoint::Provisioning
            | Endpoint::SignIns
            | Endpoint::SignInsBeta => self.retention,
        };
        now.saturating_sub(retention).unwrap_or(Timestamp::MIN)
    }
}

/// A registered application.
#[derive(Debug, Clone, Default)]
pub struct Application {
    /// Its client id.
    pub client_id: String,
    /// Its secrets; any one that has not expired is good.
    pub secrets: Vec<ClientSecret>,
    /// Its certificates as PEM text, for client assertions.
    pub certificates_pem: Vec<String>,
}

impl Application {
    /// An application with one secret that never expires.
    pub fn with_secret(client_id: &str, secret: &str) -> Self {
        let secrets = vec![ClientSecret { value: secret.to_owned(), expires_at: None }];
        Self { client_id: client_id.to_owned(), secrets, certificates_pem: Vec::new() }
    }

    /// An application that signs its own assertions.
    pub fn with_certificate(client_id: &str, certificate_pem: &str) -> Self {
        let certificates_pem = vec![certificate_pem.to_owned()];
        Self { client_id: client_id.to_owned(), secrets: Vec::new(), certificates_pem }
    }
}

/// A client secret.
#[derive(Clone)]
pub struct ClientSecret {
    /// The secret itself.
    pub value: String,
    /// When it ends; `None`: never.
    pub expires_at: Option<Timestamp>,
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientSecret").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Rows of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize {
    /// Without `$top`.
    pub default: usize,
    /// A larger `$top` is clamped to it.
    pub maximum: usize,
}

/// How a next link finds its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// Behind the last record served: records that come in between shift nothing.
    ByKey,
    /// By counting: records that come in before the place shift the rest, so that some are served twice or never.
    ByPosition,
}

/// White space of the bodies. The records themselves are the emitted bytes in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyStyle {
    /// None between tokens.
    Compact,
    /// Lines and indentation around the members and between the records.
    Pretty,
}

/// Where `@odata.nextLink` stands in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkPlace {
    /// Before `value`, as Graph has it.
    BeforeRecords,
    /// Behind `value`.
    AfterRecords,
}

/// Whether bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// With gzip, for requests that accept it.
    WhenAccepted,
    /// Never.
    Never,
}

/// A request limit, counted over a sliding period. Refused requests count too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttle {
    /// That many requests …
    pub requests: usize,
    /// … in that time.
    pub period: SignedDuration,
}

impl Throttle {
    /// What Microsoft publishes for the audit logs: 5 requests in 10 seconds.
    pub const PUBLISHED: Self = Self { requests: 5, period: SignedDuration::from_secs(10) };
    /// What Microsoft publishes for security alerts and scores: 150 requests a minute.
    pub const SECURITY_PUBLISHED: Self = Self { requests: 150, period: SignedDuration::from_secs(60) };
    /// What Microsoft publishes for a small tenant's activity feeds: 2,000 requests a minute.
    pub const FEED_BASELINE: Self = Self { requests: 2_000, period: SignedDuration::from_secs(60) };
}
