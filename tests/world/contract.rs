//! What must be seen from outside, written down a second time: nothing here is taken from the collector's own code.

use serde_json::Value;
use simulator::tenant::{CloudAppsList, ContentType, DefenderList, Endpoint};

use super::document;

/// Every key of an answer, in order.
pub const ANSWER_KEYS: [&str; 21] = [
    "service",
    "status",
    "devo_pulling_id",
    "window",
    "windows",
    "requests",
    "received",
    "duplicates",
    "delivered",
    "failed",
    "sent",
    "late",
    "late_sweep_period_in_seconds",
    "bytes_sent",
    "failed_uris",
    "throttled",
    "tables",
    "warnings",
    "last_event_time_in_utc",
    "lag_seconds",
    "elapsed_ms",
];

/// A service as the operator knows it: function, whom it asks, and the tag of a record.
pub struct Promise {
    /// The function.
    pub function: &'static str,
    /// Whom it asks.
    pub asks: Asks,
    tags: Tags,
}

/// Where a service's records come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// A collection of Graph.
    Collection(Endpoint),
    /// A feed of the Management Activity API.
    Feed(ContentType),
    /// What failed in any of the feeds.
    Queues,
    /// A list of Defender for Endpoint.
    Defender(DefenderList),
    /// Advanced hunting of Defender for Endpoint.
    Hunting,
    /// A list of Defender for Cloud Apps.
    CloudApps(CloudAppsList),
}

enum Tags {
    One(&'static str),
    BySignInEventType,
    ByProvider,
    ByWorkload,
    ByQuery,
}

/// The services that exist so far; one that is declared and not in this list fails the tests.
const PROMISES: &[Promise] = &[
    Promise {
        function: "graph-directory-audits",
        asks: Asks::Collection(Endpoint::DirectoryAudits),
        tags: Tags::One("cloud.azure.ad.audit.{env}.msgraph"),
    },
    Promise {
        function: "graph-provisioning-audits",
        asks: Asks::Collection(Endpoint::Provisioning),
        tags: Tags::One("cloud.azure.ad.provisioning.{env}.msgraph"),
    },
    Promise {
        function: "graph-sign-ins",
        asks: Asks::Collection(Endpoint::SignIns),
        tags: Tags::One("cloud.azure.ad.signin.{env}.msgraph"),
    },
    Promise {
        function: "graph-sign-ins-v2",
        asks: Asks::Collection(Endpoint::SignInsBeta),
        tags: Tags::BySignInEventType,
    },
    Promise { function: "graph-alerts", asks: Asks::Collection(Endpoint::Alerts), tags: Tags::ByProvider },
    Promise {
        function: "graph-alerts-v2",
        asks: Asks::Collection(Endpoint::AlertsV2),
        tags: Tags::One("cloud.msgraph.security.alerts_v2.{env}"),
    },
    Promise {
        function: "graph-secure-scores",
        asks: Asks::Collection(Endpoint::SecureScores),
        tags: Tags::One("cloud.office365.security.scores.{env}.msgraph"),
    },
    Promise {
        function: "graph-secure-score-control-profiles",
        asks: Asks::Collection(Endpoint::ControlProfiles),
        tags: Tags::One("cloud.office365.security.scorecontrol.{env}.msgraph"),
    },
    feed("office365-azure-active-directory", ContentType::AzureActiveDirectory),
    feed("office365-sharepoint", ContentType::SharePoint),
    feed("office365-exchange", ContentType::Exchange),
    feed("office365-general-audit", ContentType::General),
    feed("office365-dlp", ContentType::Dlp),
    Promise { function: "office365-uri-retry", asks: Asks::Queues, tags: Tags::ByWorkload },
    defender("endpoint-alerts", DefenderList::Alerts, "edr.microsoft_defender.endpoint.alerts"),
    defender("endpoint-machines", DefenderList::Machines, "edr.microsoft_defender.endpoint.machines"),
    defender("endpoint-software", DefenderList::Software, "edr.microsoft_defender.endpoint.software"),
    defender(
        "endpoint-vulnerabilities",
        DefenderList::Vulnerabilities,
        "edr.microsoft_defender.endpoint.vulnerabilities",
    ),
    defender(
        "endpoint-recommendations",
        DefenderList::Recommendations,
        "edr.microsoft_defender.endpoint.recommendations",
    ),
    defender(
        "endpoint-investigations",
        DefenderList::Investigations,
        "edr.microsoft_defender.endpoint.investigations",
    ),
    Promise { function: "endpoint-advanced-hunting", asks: Asks::Hunting, tags: Tags::ByQuery },
    cloud_apps(
        "cloud-apps-activities",
        CloudAppsList::Activities,
        "casb.microsoft_defender.cloud_apps.activities",
    ),
    cloud_apps("cloud-apps-alerts", CloudAppsList::Alerts, "casb.microsoft_defender.cloud_apps.alerts"),
    cloud_apps("cloud-apps-entities", CloudAppsList::Entities, "casb.microsoft_defender.cloud_apps.entities"),
    cloud_apps(
        "cloud-apps-data-enrichment",
        CloudAppsList::Subnet,
        "casb.microsoft_defender.cloud_apps.data_enrichment",
    ),
    cloud_apps("cloud-apps-files", CloudAppsList::Files, "casb.microsoft_defender.cloud_apps.files"),
];

const fn feed(function: &'static str, content_type: ContentType) -> Promise {
    Promise { function, asks: Asks::Feed(content_type), tags: Tags::ByWorkload }
}

const fn defender(function: &'static str, list: DefenderList, tag: &'static str) -> Promise {
    Promise { function, asks: Asks::Defender(list), tags: Tags::One(tag) }
}

const fn cloud_apps(function: &'static str, list: CloudAppsList, tag: &'static str) -> Promise {
    Promise { function, asks: Asks::CloudApps(list), tags: Tags::One(tag) }
}

/// What is promised of this function.
pub fn promise(function: &str) -> &'static Promise {
    let found = PROMISES.iter().find(|promise| promise.function == function);
    found.unwrap_or_else(|| panic!("nothing is promised of {function}: write its line into PROMISES"))
}

impl Promise {
    /// The tag of a record in this environment.
    pub fn tag(&self, record: &Value, environment: &str) -> String {
        let pattern = match self.tags {
            Tags::One(pattern) => pattern.to_owned(),
            Tags::BySignInEventType => {
                let kinds = record["signInEventTypes"].as_array().cloned().unwrap_or_default();
                let known = kinds.iter().filter_map(Value::as_str).find_map(sign_in_word);
                format!("cloud.azure.ad.{}_signin.{{env}}.msgraph", known.unwrap_or("unknown_future_value"))
            }
            Tags::ByProvider => {
                let provider = record["vendorInformation"]["provider"].as_str().unwrap_or_default();
                provider_tag(provider).to_owned()
            }
            Tags::ByWorkload => {
                let workload = record["Workload"].as_str().unwrap_or_default().to_ascii_lowercase();
                let level: String = workload.chars().filter(char::is_ascii_alphanumeric).collect();
                let level = if level.is_empty() { "general" } else { &level };
                format!("cloud.office365.management.{level}")
            }
            Tags::ByQuery => document::HUNTING_TAG.to_owned(),
        };
        pattern.replace("{env}", environment)
    }
}

impl Promise {
    /// Whether a record that changes back is delivered again, because it is compared with the last version of its id.
    pub fn compares_with_last_version(&self) -> bool {
        match self.asks {
            Asks::Collection(endpoint) => {
                matches!(endpoint, Endpoint::AlertsV2 | Endpoint::ControlProfiles)
            }
            // Its alerts bear the time of their change: each version is another record.
            Asks::Defender(list) => list != DefenderList::Alerts,
            Asks::CloudApps(list) => matches!(list, CloudAppsList::Entities | CloudAppsList::Subnet),
            Asks::Feed(_) | Asks::Queues | Asks::Hunting => false,
        }
    }

    /// The tag as a table shows it, or what such a cell must speak of.
    pub fn written_tag(&self) -> &'static str {
        match self.tags {
            Tags::One(pattern) => pattern,
            Tags::BySignInEventType => "signInEventTypes",
            Tags::ByProvider => "vendorInformation.provider",
            Tags::ByWorkload => "cloud.office365.management.{Workload}",
            Tags::ByQuery => "override_tag",
        }
    }
}

fn provider_tag(provider: &str) -> &'static str {
    match provider.to_lowercase().as_str() {
        "ipc" => "cloud.azure.ad.alerts.{env}.msgraph",
        "mcas" => "cloud.office365.cloud_apps.alerts.{env}.msgraph",
        "microsoft defender atp" | "microsoft 365 defender" => {
            "cloud.office365.endpoint.alerts.{env}.msgraph"
        }
        "office 365 security and compliance" => "cloud.office365.security.alerts.{env}.msgraph",
        "azure sentinel" => "cloud.azure.sentinel.alerts.{env}.msgraph",
        "asc" => "cloud.office365.identity.alerts.{env}.msgraph",
        "azure advanced threat protection" => "cloud.azure.securitycenter.alerts.{env}.msgraph",
        _ => "cloud.msgraph.security.alerts.{env}.msgraph",
    }
}

fn sign_in_word(kind: &str) -> Option<&'static str> {
    match kind {
        "interactiveUser" => Some("interactive_user"),
        "nonInteractiveUser" => Some("noninteractive_user"),
        "managedIdentity" => Some("managed_identity"),
        "servicePrincipal" => Some("service_principal"),
        _ => None,
    }
}

/// The message of a record: its bytes on one line, and the two members at its end.
pub fn message(record: &str, environment: &str, pulling_id: &str) -> String {
    let inner = on_one_line(record);
    let inner = inner.strip_suffix('}').unwrap_or_else(|| panic!("no object: {record}"));
    let comma = if inner.trim_end().ends_with('{') { "" } else { "," };
    format!(r#"{inner}{comma}"@devo_environment":"{environment}","@devo_pulling_id":"{pulling_id}"}}"#)
}

/// The record of a message: the message without its two members.
pub fn record_of(message: &str) -> String {
    let members = message.rfind(r#""@devo_environment":"#);
    let members = members.unwrap_or_else(|| panic!("no member of ours: {message}"));
    let inner = message[..members].strip_suffix(',').unwrap_or(&message[..members]);
    format!("{inner}}}")
}

/// A text whose line breaks between tokens became spaces.
pub fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for part in text.trim().split(['\n', '\r', '\0']).filter(|part| !part.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(part);
    }
    line
}
