//! Directory audits: who changed what in Entra ID.

use collector::service::{Bounds, Period, Query, Service, Tag, WindowRule};
use jiff::SignedDuration;

use crate::AUDIT_LOGS;

/// `GET /v1.0/auditLogs/directoryAudits` (Graph, List directoryAudits). Kept for 30 days; there is no time of
/// ingestion, so late records are found by looking back.
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
        headers: &[],
    },
    event_time: &["activityDateTime"],
    window: WindowRule {
        max: SignedDuration::from_hours(7 * 24),
        lookback: SignedDuration::from_hours(1),
        retention: SignedDuration::from_hours(30 * 24),
    },
    tag: Tag::Fixed("cloud.azure.ad.audit.{env}.msgraph"),
    period: Period { default_seconds: 300, minimum_seconds: 60 },
    rate: AUDIT_LOGS,
    permission: "AuditLog.Read.All",
};
