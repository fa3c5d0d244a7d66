//! Directory audits: who changed what in Entra ID.

use collector::service::{Bounds, Paging, Period, Query, SameBy, Service, Tag};

use crate::{AUDIT_LOGS, WINDOW};

/// `GET /v1.0/auditLogs/directoryAudits` (Graph, List directoryAudits).
pub static SERVICE: Service = Service {
    input: "microsoft_graph_audit",
    name: "directory_audits",
    aliases: &["audit"],
    function: "graph-directory-audits",
    query: Query::OData {
        path: "/v1.0/auditLogs/directoryAudits",
        page_size: Some(1000),
        bounds: Bounds::Inclusive,
        base_filter: None,
        expand: None,
        headers: &[],
        paging: Paging::Links,
        successor: None,
    },
    event_time: &["activityDateTime"],
    same_by: SameBy::Content,
    window: WINDOW,
    tag: Tag::Fixed("cloud.azure.ad.audit.{env}.msgraph"),
    period: Period { default_seconds: 300, minimum_seconds: 60 },
    rate: AUDIT_LOGS,
    permission: "AuditLog.Read.All",
    ..Service::PLAIN
};
