//! Sign-ins: interactive sign-ins of users, as the v1.0 API gives them.

use collector::service::{Bounds, Paging, Period, Query, SameBy, Service, Tag};

use crate::{AUDIT_LOGS, SIGN_IN_WINDOW};

/// `GET /v1.0/auditLogs/signIns` (Graph, List signIns). Needs Entra ID P1 or P2; several records may share an id while a
/// login goes on.
pub static SERVICE: Service = Service {
    input: "microsoft_graph_audit",
    name: "signIns",
    aliases: &["signIn"],
    function: "graph-sign-ins",
    query: Query::OData {
        path: "/v1.0/auditLogs/signIns",
        page_size: Some(1000),
        bounds: Bounds::Inclusive,
        base_filter: None,
        expand: None,
        headers: &[],
        paging: Paging::Links,
        successor: None,
    },
    event_time: &["createdDateTime"],
    same_by: SameBy::Content,
    window: SIGN_IN_WINDOW,
    tag: Tag::Fixed("cloud.azure.ad.signin.{env}.msgraph"),
    period: Period { default_seconds: 300, minimum_seconds: 60 },
    rate: AUDIT_LOGS,
    permission: "AuditLog.Read.All",
    ..Service::PLAIN
};
