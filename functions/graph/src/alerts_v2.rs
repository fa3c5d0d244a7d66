//! Alerts: what the security products found, and every change of it.

use collector::service::{Bounds, Paging, Period, Query, SameBy, Service, Tag, WindowRule};
use jiff::SignedDuration;

use crate::{SECURITY_LOGS, WINDOW};

/// `GET /v1.0/security/alerts_v2` (Graph, List alerts_v2). An alert changes for months, and its time of change moves even
/// when nothing else does. Without the header newer products come as `unknownFutureValue`.
pub static SERVICE: Service = Service {
    input: "microsoft_graph_security",
    name: "alerts_v2",
    aliases: &[],
    function: "graph-alerts-v2",
    query: Query::OData {
        path: "/v1.0/security/alerts_v2",
        page_size: Some(1000),
        bounds: Bounds::Inclusive,
        base_filter: None,
        expand: None,
        headers: &[("prefer", "include-unknown-enum-members")],
        paging: Paging::MovingBoundary,
        successor: None,
    },
    event_time: &["lastUpdateDateTime"],
    same_by: SameBy::LastVersion { ignoring: Some("lastUpdateDateTime") },
    // The page of the API leaves its retention to the environment; Defender's portal shows alerts for half a year.
    window: WindowRule { retention: SignedDuration::from_hours(180 * 24), ..WINDOW },
    tag: Tag::Fixed("cloud.msgraph.security.alerts_v2.{env}"),
    period: Period { default_seconds: 300, minimum_seconds: 60 },
    rate: SECURITY_LOGS,
    permission: "SecurityAlert.Read.All",
    ..Service::PLAIN
};
