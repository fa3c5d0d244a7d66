//! The lists of Defender for Endpoint: what each is called, who may read it, and what it lets a caller filter on.
//!
//! Alerts and investigations have a place in time; the inventories have none. Filters take the properties that the
//! List pages of the API name; texts by equality and `startswith`, times and numbers by comparison.

use crate::tenant::endpoint::{Collection, Kind, Operator, Property};

const TEXT: &[Operator] = &[Operator::Eq, Operator::Ne, Operator::StartsWith];
const EQUALITY: &[Operator] = &[Operator::Eq, Operator::Ne];
const COMPARISON: &[Operator] =
    &[Operator::Eq, Operator::Ne, Operator::Ge, Operator::Gt, Operator::Le, Operator::Lt];

/// One list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefenderList {
    /// `/api/alerts`
    Alerts,
    /// `/api/machines`
    Machines,
    /// `/api/software`
    Software,
    /// `/api/vulnerabilities`
    Vulnerabilities,
    /// `/api/recommendations`
    Recommendations,
    /// `/api/investigations`
    Investigations,
}

impl DefenderList {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Alerts,
        Self::Machines,
        Self::Software,
        Self::Vulnerabilities,
        Self::Recommendations,
        Self::Investigations,
    ];

    /// Path under the host. Case does not matter.
    pub fn path(self) -> &'static str {
        match self {
            Self::Alerts => "/api/alerts",
            Self::Machines => "/api/machines",
            Self::Software => "/api/software",
            Self::Vulnerabilities => "/api/vulnerabilities",
            Self::Recommendations => "/api/recommendations",
            Self::Investigations => "/api/investigations",
        }
    }

    /// The member that holds a record's place in time. The place of the others is the instant of their emission.
    pub fn time_property(self) -> Option<&'static str> {
        match self {
            Self::Alerts => Some("lastUpdateTime"),
            Self::Investigations => Some("startTime"),
            Self::Machines | Self::Software | Self::Vulnerabilities | Self::Recommendations => None,
        }
    }

    /// The permission that reads it.
    pub fn permission(self) -> &'static str {
        match self {
            Self::Alerts | Self::Investigations => "Alert.Read.All",
            Self::Machines => "Machine.Read.All",
            Self::Software => "Software.Read.All",
            Self::Vulnerabilities => "Vulnerability.Read.All",
            Self::Recommendations => "SecurityRecommendation.Read.All",
        }
    }

    /// The list of a path segment.
    pub(super) fn of_segment(segment: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|list| {
            list.path().strip_prefix("/api/").is_some_and(|name| name.eq_ignore_ascii_case(segment))
        })
    }

    /// What `@odata.context` calls it.
    pub(super) fn context(self) -> &'static str {
        match self {
            Self::Alerts => "Alerts",
            Self::Machines => "Machines",
            Self::Software => "Software",
            Self::Vulnerabilities => "Vulnerabilities",
            Self::Recommendations => "Recommendations",
            Self::Investigations => "Investigations",
        }
    }

    /// The most rows of a page, whatever the settings say.
    pub(super) fn largest_page(self) -> usize {
        if self == Self::Vulnerabilities { 8_000 } else { 10_000 }
    }

    fn properties(self) -> &'static [Property] {
        match self {
            Self::Alerts => ALERTS,
            Self::Machines => MACHINES,
            Self::Software => SOFTWARE,
            Self::Vulnerabilities => VULNERABILITIES,
            Self::Recommendations => RECOMMENDATIONS,
            Self::Investigations => INVESTIGATIONS,
        }
    }
}

impl Collection for DefenderList {
    fn time_property(self) -> Option<&'static str> {
        Self::time_property(self)
    }

    fn property(self, path: &str) -> Option<&'static Property> {
        self.properties().iter().find(|property| property.path == path)
    }
}

const fn text(path: &'static str) -> Property {
    Property { path, kind: Kind::Text, operators: TEXT }
}

const fn number(path: &'static str) -> Property {
    Property { path, kind: Kind::Number, operators: COMPARISON }
}

const fn instant(path: &'static str) -> Property {
    Property { path, kind: Kind::Instant, operators: COMPARISON }
}

const fn event_time(path: &'static str) -> Property {
    Property { path, kind: Kind::EventTime, operators: COMPARISON }
}

const ALERTS: &[Property] = &[
    event_time("lastUpdateTime"),
    instant("alertCreationTime"),
    instant("lastEventTime"),
    number("incidentId"),
    number("investigationId"),
    text("id"),
    text("assignedTo"),
    text("detectionSource"),
    text("status"),
    text("severity"),
    text("category"),
];

const MACHINES: &[Property] = &[
    instant("lastSeen"),
    text("id"),
    text("computerDnsName"),
    text("version"),
    text("deviceValue"),
    text("aadDeviceId"),
    Property { path: "machineTags", kind: Kind::TextList, operators: TEXT },
    text("exposureLevel"),
    text("onboardingStatus"),
    text("lastIpAddress"),
    text("healthStatus"),
    text("osPlatform"),
    text("riskScore"),
    Property { path: "rbacGroupId", kind: Kind::Number, operators: EQUALITY },
];

const SOFTWARE: &[Property] = &[text("id"), text("name"), text("vendor")];

const VULNERABILITIES: &[Property] = &[
    text("id"),
    text("name"),
    text("description"),
    number("cvssV3"),
    instant("publishedOn"),
    text("severity"),
    instant("updatedOn"),
];

const RECOMMENDATIONS: &[Property] = &[
    text("id"),
    text("productName"),
    text("vendor"),
    text("recommendedVersion"),
    text("recommendationCategory"),
    text("subCategory"),
    number("severityScore"),
    text("remediationType"),
    text("recommendedProgram"),
    text("recommendedVendor"),
    text("status"),
];

const INVESTIGATIONS: &[Property] =
    &[event_time("startTime"), text("id"), text("state"), text("machineId"), text("triggeringAlertId")];
