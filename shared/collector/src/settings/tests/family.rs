//! Two made-up families, and the shortest ways to a document and its settings.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::error::Error;
use crate::service::{
    Bounds, Cloud, Family, Older, Paging, Period, Query, Rate, SameBy, Service, Tag, WindowRule,
};
use crate::settings::document::{Resolved, resolve};

pub(super) static AUDIT: Family = Family {
    input: "audit_logs",
    aliases: &["audits"],
    older: Older::NONE,
    clouds: CLOUDS,
    services: &[&CHANGES, &LOGINS, &VISITS],
};

pub(super) static OTHER: Family = Family {
    input: "other_product",
    aliases: &[],
    older: Older::NONE,
    clouds: &[Cloud {
        top_level_domain: None,
        base_url: "https://api.other.example",
        login_url: "https://login.example.com",
        scope: "other",
    }],
    services: &[&OTHER_SERVICE],
};

pub(super) static FAMILIES: &[&Family] = &[&AUDIT, &OTHER];

pub(super) const CLOUDS: &[Cloud] = &[
    Cloud {
        top_level_domain: Some("com"),
        base_url: "https://api.example.com",
        login_url: "https://login.example.com",
        scope: "https://api.example.com/.default",
    },
    Cloud {
        top_level_domain: Some("us"),
        base_url: "https://api.example.us",
        login_url: "https://login.example.us",
        scope: "https://api.example.us/.default",
    },
    Cloud {
        top_level_domain: None,
        base_url: "https://api.example.cn",
        login_url: "https://login.example.cn",
        scope: "https://api.example.cn/.default",
    },
];

static CHANGES: Service = service("audit_logs", "changes", &["change"], "audit-changes", "auditLogs");
static LOGINS: Service = service("audit_logs", "logins", &[], "audit-logins", "auditLogs");
static VISITS: Service = service("audit_logs", "visits", &[], "audit-visits", "visits");
static OTHER_SERVICE: Service = service("other_product", "things", &[], "other-things", "things");

pub(super) const fn service(
    input: &'static str,
    name: &'static str,
    aliases: &'static [&'static str],
    function: &'static str,
    budget: &'static str,
) -> Service {
    Service {
        input,
        name,
        aliases,
        function,
        query: Query::OData {
            path: "/v1.0/things",
            page_size: None,
            bounds: Bounds::Inclusive,
            base_filter: None,
            expand: None,
            headers: &[],
            paging: Paging::Links,
            successor: None,
        },
        event_time: &["time"],
        same_by: SameBy::Content,
        window: WindowRule {
            max: SignedDuration::from_hours(24),
            lookback: SignedDuration::from_hours(1),
            retention: SignedDuration::from_hours(720),
        },
        tag: Tag::Fixed("my.app.things.{env}"),
        period: Period { default_seconds: 300, minimum_seconds: 60 },
        rate: Rate { requests: 5, seconds: 10, budget },
        permission: "Things.Read",
        ..Service::PLAIN
    }
}

pub(super) fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// An input that is complete, without services.
pub(super) fn input() -> Value {
    json!({"id": "ab123", "credentials": {"tenant_id": "t-1", "client_id": "c-1", "client_secret": "s3cr3t"}})
}

/// `base` with the members of `more` put into it, objects into objects.
pub(super) fn with(base: Value, more: Value) -> Value {
    match (base, more) {
        (Value::Object(mut members), Value::Object(additions)) => {
            for (key, value) in additions {
                let merged = with(members.shift_remove(&key).unwrap_or_default(), value);
                members.insert(key, merged);
            }
            Value::Object(members)
        }
        (_, replacement) => replacement,
    }
}

/// A document with the one input, complete, and `more` in it.
pub(super) fn document(more: Value) -> Value {
    json!({"inputs": {"audit_logs": with(input(), more)}})
}

/// A document whose one service is `changes` with these settings.
pub(super) fn changes(settings: Value) -> Value {
    document(json!({"services": {"changes": settings}}))
}

pub(super) fn resolve_changes(document: &Value) -> Result<Resolved, Error> {
    resolve(document, FAMILIES, "audit-changes", None, now())
}

/// The problems of a document for the function `audit-changes`, one a line.
pub(super) fn problems(document: &Value) -> Vec<String> {
    let error = resolve_changes(document).unwrap_err();
    assert_eq!(error.error_type.as_str(), "InitVariablesError");
    error.message.lines().map(str::to_owned).collect()
}
