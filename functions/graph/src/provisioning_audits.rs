//! Provisioning audits: what Entra ID's provisioning service created, changed and removed in other systems.

use collector::service::{Bounds, Paging, Period, Query, SameBy, Service, Tag};

use crate::{AUDIT_LOGS, WINDOW};

/// `GET /v1.0/auditLogs/provisioning` (Graph, List provisioningObjectSummary). The page documents `gt` and `lt` only.
pub static SERVICE: Service = Service {
    input: "microsoft_graph_audit",
    name: "provisioning_audits",
    aliases: &["provisioning"],
    function: "graph-provisioning-audits",
    query: Query::OData {
        path: "/v1.0/auditLogs/provisioning",
        page_size: Some(1000),
        bounds: Bounds::Exclusive,
        base_filter: None,
        expand: None,
        headers: &[],
        paging: Paging::Links,
        successor: None,
    },
    event_time: &["activityDateTime"],
    same_by: SameBy::Content,
    window: WINDOW,
    tag: Tag::Fixed("cloud.azure.ad.provisioning.{env}.msgraph"),
    period: Period { default_seconds: 300, minimum_seconds: 60 },
    rate: AUDIT_LOGS,
    permission: "AuditLog.Read.All",
    ..Service::PLAIN
};
