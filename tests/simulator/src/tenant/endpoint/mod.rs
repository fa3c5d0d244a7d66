//! The collections of Graph: two families, what each is called, and what it lets a caller ask.
//!
//! The audit logs are append-only and ordered by their event time. The security collections differ from one another:
//! alerts of the newer kind move in time when they change, scores are one a day, and control profiles have no time.

mod audit;
mod property;
mod security;

pub(crate) use self::property::{Collection, Kind, Operator, Property};

/// One collection of the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// `/v1.0/auditLogs/directoryAudits`
    DirectoryAudits,
    /// `/v1.0/auditLogs/provisioning`
    Provisioning,
    /// `/v1.0/auditLogs/signIns`
    SignIns,
    /// `/beta/auditLogs/signIns`
    SignInsBeta,
    /// `/v1.0/security/alerts`, the legacy alerts of several providers.
    Alerts,
    /// `/v1.0/security/alerts_v2`
    AlertsV2,
    /// `/v1.0/security/secureScores`
    SecureScores,
    /// `/v1.0/security/secureScoreControlProfiles`
    ControlProfiles,
}

/// Collections that share a request limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Below `auditLogs`.
    AuditLogs,
    /// Below `security`.
    Security,
}

/// Which way the records of a collection run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    OldestFirst,
    NewestFirst,
}

/// What the next links of a collection are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkStyle {
    /// An opaque `$skiptoken`, known by the tenant.
    Token,
    /// The number of records before the page, as `$skip`.
    Skip,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::DirectoryAudits,
        Self::Provisioning,
        Self::SignIns,
        Self::SignInsBeta,
        Self::Alerts,
        Self::AlertsV2,
        Self::SecureScores,
        Self::ControlProfiles,
    ];

    /// Those of the audit logs.
    pub const AUDIT_LOGS: [Self; 4] =
        [Self::DirectoryAudits, Self::Provisioning, Self::SignIns, Self::SignInsBeta];

    /// Those of the security family.
    pub const SECURITY: [Self; 4] = [Self::Alerts, Self::AlertsV2, Self::SecureScores, Self::ControlProfiles];

    /// The family it belongs to.
    pub fn family(self) -> Family {
        if Self::SECURITY.contains(&self) { Family::Security } else { Family::AuditLogs }
    }

    /// Path under the host.
    pub fn path(self) -> &'static str {
        match self {
            Self::DirectoryAudits => "/v1.0/auditLogs/directoryAudits",
            Self::Provisioning => "/v1.0/auditLogs/provisioning",
            Self::SignIns => "/v1.0/auditLogs/signIns",
            Self::SignInsBeta => "/beta/auditLogs/signIns",
            Self::Alerts => "/v1.0/security/alerts",
            Self::AlertsV2 => "/v1.0/security/alerts_v2",
            Self::SecureScores => "/v1.0/security/secureScores",
            Self::ControlProfiles => "/v1.0/security/secureScoreControlProfiles",
        }
    }

    /// The property that holds a record's place in time. Control profiles have none: their place is the instant of
    /// their emission.
    pub fn time_property(self) -> Option<&'static str> {
        match self {
            Self::DirectoryAudits | Self::Provisioning => Some("activityDateTime"),
            Self::SignIns | Self::SignInsBeta | Self::Alerts | Self::SecureScores => Some("createdDateTime"),
            Self::AlertsV2 => Some("lastUpdateDateTime"),
            Self::ControlProfiles => None,
        }
    }

    /// The endpoint of a request's path; Graph does not mind the case of path segments.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.path().eq_ignore_ascii_case(path))
    }

    /// The part of `@odata.context` behind the host.
    pub(crate) fn context(self) -> &'static str {
        match self {
            Self::DirectoryAudits => "/v1.0/$metadata#auditLogs/directoryAudits",
            Self::Provisioning => "/v1.0/$metadata#auditLogs/provisioning",
            Self::SignIns => "/v1.0/$metadata#auditLogs/signIns",
            Self::SignInsBeta => "/beta/$metadata#auditLogs/signIns",
            Self::Alerts => "/v1.0/$metadata#Security/alerts",
            Self::AlertsV2 => "/v1.0/$metadata#security/alerts_v2",
            Self::SecureScores => "/v1.0/$metadata#Security/secureScores",
            Self::ControlProfiles => "/v1.0/$metadata#Security/secureScoreControlProfiles",
        }
    }

    /// The order that records have when nobody asks for one.
    pub(crate) fn usual_order(self) -> Order {
        if self == Self::ControlProfiles { Order::OldestFirst } else { Order::NewestFirst }
    }

    /// The property that `$orderby` takes, if the endpoint takes that option.
    pub(crate) fn order_property(self) -> Option<&'static str> {
        if matches!(self, Self::SecureScores | Self::ControlProfiles) { None } else { self.time_property() }
    }

    /// What its next links are made of.
    pub(crate) fn link_style(self) -> LinkStyle {
        match self {
            Self::AlertsV2 | Self::SecureScores | Self::ControlProfiles => LinkStyle::Skip,
            Self::DirectoryAudits | Self::Provisioning | Self::SignIns | Self::SignInsBeta | Self::Alerts => {
                LinkStyle::Token
            }
        }
    }

    /// The property of that path, if a filter may name it.
    pub(crate) fn property(self, path: &str) -> Option<&'static Property> {
        let tables: &[&'static [Property]] = match self {
            Self::DirectoryAudits => &[audit::DIRECTORY_AUDITS],
            Self::Provisioning => &[audit::PROVISIONING],
            Self::SignIns => &[audit::SIGN_INS],
            Self::SignInsBeta => &[audit::SIGN_INS, audit::SIGN_INS_BETA],
            Self::Alerts => &[security::ALERTS],
            Self::AlertsV2 => &[security::ALERTS_V2],
            Self::SecureScores => &[security::SECURE_SCORES],
            Self::ControlProfiles => &[security::CONTROL_PROFILES],
        };
        tables.iter().flat_map(|table| table.iter()).find(|property| property.path == path)
    }
}

impl Collection for Endpoint {
    fn time_property(self) -> Option<&'static str> {
        Self::time_property(self)
    }

    fn property(self, path: &str) -> Option<&'static Property> {
        Self::property(self, path)
    }
}
