//! Declarations that the unit tests of this crate share: a family of two services, and a report.

use collector::event::Request;
use collector::outlook::Outlook;
use collector::report::{Report, Status};
use collector::service::{
    Bounds, Cloud, Family, Older, Paging, Period, Query, Rate, SameBy, Service, Tag, WindowRule,
};
use jiff::SignedDuration;

/// A family of two services.
pub static FAMILY: Family = Family {
    input: "microsoft_graph_audit",
    aliases: &[],
    older: Older::NONE,
    clouds: &[Cloud {
        top_level_domain: None,
        base_url: "https://graph.example.com",
        login_url: "https://login.example.com",
        scope: "https://graph.example.com/.default",
    }],
    services: &[&DIRECTORY_AUDITS, &SIGN_INS],
};

static DIRECTORY_AUDITS: Service = service("directory_audits", "graph-directory-audits");
static SIGN_INS: Service = service("signIns", "graph-sign-ins");

const fn service(name: &'static str, function: &'static str) -> Service {
    Service {
        input: "microsoft_graph_audit",
        name,
        aliases: &[],
        function,
        query: Query::OData {
            path: "/v1.0/records",
            page_size: None,
            bounds: Bounds::Inclusive,
            base_filter: None,
            expand: None,
            headers: &[],
            paging: Paging::Links,
            successor: None,
        },
        event_time: &["createdDateTime"],
        same_by: SameBy::Content,
        window: WindowRule {
            max: SignedDuration::from_hours(24),
            lookback: SignedDuration::from_hours(1),
            retention: SignedDuration::from_hours(720),
        },
        tag: Tag::Fixed("my.app.test.{env}"),
        period: Period { default_seconds: 300, minimum_seconds: 60 },
        rate: Rate { requests: 5, seconds: 10, budget: "auditLogs" },
        permission: "AuditLog.Read.All",
        ..Service::PLAIN
    }
}

/// A report of 30 records received, 12 of them seen before.
pub fn report() -> Report {
    Report {
        status: Status::UpToDate,
        devo_pulling_id: Some("1763632800000".to_owned()),
        windows: 1,
        requests: 3,
        received: 30,
        duplicates: 12,
        delivered: 18,
        sent: 18,
        bytes_sent: 24_576,
        tables: [("my.app.test.prod".to_owned(), 18)].into(),
        last_event_time_in_utc: "2026-11-20T09:59:18Z".parse().ok(),
        lag_seconds: Some(42),
        outlook: Outlook {
            lag_beyond_period_seconds: Some(0),
            edge_hours: Some(719),
            quota_used_percent: Some(10),
        },
        elapsed_ms: 318,
        ..Report::new("graph-directory-audits", &Request::default())
    }
}
