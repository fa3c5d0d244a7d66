//! Two families that were one input in version 1.x, and the vendor's sample documents in shape.

use serde_json::{Map, Value, json};

use super::family::{CLOUDS, now, service};
use crate::service::{Family, Older, Part, Query, Service};
use crate::settings::document::{Resolved, resolve};

pub(super) static AUDIT: Family = Family {
    input: "graph_audit",
    aliases: &["graph"],
    older: Older {
        parts: &[
            part("login_robots", "robot"),
            part("login_services", "service"),
            part("login_machines", "machine"),
        ],
        ..Older::NONE
    },
    clouds: CLOUDS,
    services: &[&AUDITS, &PROVISIONING, &LOGINS, &LOGINS_V2],
};

pub(super) static SECURITY: Family = Family {
    input: "graph_security",
    aliases: &["graph"],
    older: Older {
        tags: &[("scores", "cloud.old.scores.2"), ("alerts", "cloud.old.alerts.2")],
        ..Older::NONE
    },
    clouds: CLOUDS,
    services: &[&ALERTS, &ALERTS_V2, &SCORES, &PROFILES],
};

pub(super) static FAMILIES: &[&Family] = &[&AUDIT, &SECURITY, &super::family::OTHER];

static AUDITS: Service = service("graph_audit", "audits", &["audit"], "graph-audits", "a");
static PROVISIONING: Service = service("graph_audit", "provisions", &["provision"], "graph-provisions", "a");
static LOGINS: Service = service("graph_audit", "logins", &["login"], "graph-logins", "a");
static LOGINS_V2: Service = service("graph_audit", "logins_v2", &[], "graph-logins-v2", "a");
static ALERTS: Service = service("graph_security", "alerts", &[], "graph-alerts", "s");
static ALERTS_V2: Service = service("graph_security", "alerts_v2", &[], "graph-alerts-v2", "s");
static SCORES: Service = service("graph_security", "scores", &[], "graph-scores", "s");
static PROFILES: Service = Service {
    query: Query::Snapshot { path: "/v1.0/profiles", page_size: None },
    ..service("graph_security", "profiles", &["profile"], "graph-profiles", "s")
};

const fn part(name: &'static str, value: &'static str) -> Part {
    Part { name, service: "logins_v2", member: "types", value }
}

/// Today's services by the name that version 1.x has for them, and what they are.
pub(super) const OLDER_NAMES: [(&str, &str); 10] = [
    ("audit", "graph-audits"),
    ("provision", "graph-provisions"),
    ("login", "graph-logins"),
    ("login_robots", "graph-logins-v2"),
    ("login_services", "graph-logins-v2"),
    ("login_machines", "graph-logins-v2"),
    ("profile", "graph-profiles"),
    ("alerts", "graph-alerts"),
    ("scores", "graph-scores"),
    ("alerts_v2", "graph-alerts-v2"),
];

/// An input of version 1.x, complete, with these services.
pub(super) fn version_1(services: Value) -> Value {
    json!({"inputs": {"graph": super::family::with(super::family::input(), json!({"services": services}))}})
}

/// The settings that each service of the sample for 1.7.1 has, filled in.
fn settings_of_sample(with_tag_version: bool, with_sliding_window: bool) -> Value {
    let mut settings = json!({
        "request_period_in_seconds": 600,
        "reset_persistence_auth": "2026-11-01",
        "start_time": "2026-11-10T00-00-00Z",
        "ms_365_environment": "gcc_high_gov",
        "custom_endpoints": {
            "override_base_url_main": "https://api.example.us/",
            "override_base_url_vendor": "https://api.example.us/vendor",
            "override_base_url_vendor_with_sub_provider": "https://api.example.us/sub",
            "override_login_url": "https://login.example.us",
            "override_scope": "https://api.example.us/.default",
        }
    });
    if with_tag_version {
        settings["tag_version"] = json!("v2");
    }
    if with_sliding_window {
        settings["pull_sliding_window_timespan_period"] = json!("60");
    }
    settings
}

/// The sample for 1.7.1 in shape: all services of one input, each with everything.
pub(super) fn sample_1_7_1() -> Value {
    let services = OLDER_NAMES.iter().map(|(name, _)| {
        let has_tag_version = ["profile", "scores"].contains(name);
        let has_window = ["alerts", "scores"].contains(name);
        ((*name).to_owned(), settings_of_sample(has_tag_version, has_window))
    });
    version_1(Value::Object(services.collect::<Map<_, _>>()))
}

/// The sample for 2.0.0 in shape.
pub(super) fn sample_2_0_0() -> Value {
    let service = json!({
        "request_period_in_seconds": 600,
        "start_time_in_utc": "2026-11-10T00-00-00Z",
        "additional_filter": "kind eq 'a'",
        "override_tag": "my.app.all.test",
        "override_query_window_max_seconds": 3600,
    });
    let input = super::family::with(
        super::family::input(),
        json!({"enabled": true, "environment": "prod", "override_top_level_domain": "us",
            "override_base_url": "https://api.example.us", "override_login_url": "https://login.example.us",
            "override_scope_value": "https://api.example.us/.default"}),
    );
    let with_services = |names: [&str; 4]| {
        let mut services: Map<_, _> =
            names.iter().map(|name| ((*name).to_owned(), service.clone())).collect();
        if let Some(snapshot) = services.get_mut("profiles").and_then(Value::as_object_mut) {
            snapshot.retain(|key, _| {
                !["start_time_in_utc", "override_query_window_max_seconds"].contains(&key.as_str())
            });
        }
        super::family::with(input.clone(), json!({"services": services}))
    };
    json!({"inputs": {
        "graph_audit": with_services(["audits", "provisions", "logins", "logins_v2"]),
        "graph_security": with_services(["profiles", "scores", "alerts", "alerts_v2"]),
    }})
}

/// What one function gets out of a document.
pub(super) fn resolved(document: &Value, function: &str) -> Resolved {
    resolve(document, FAMILIES, function, None, now()).unwrap()
}

/// The problems of a document for one function.
pub(super) fn problems(document: &Value, function: &str) -> Vec<String> {
    let error = resolve(document, FAMILIES, function, None, now()).unwrap_err();
    error.message.lines().map(str::to_owned).collect()
}
