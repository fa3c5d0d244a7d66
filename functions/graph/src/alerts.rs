//! Legacy alerts: what the security products found, in the words of each provider.

use collector::service::{Bounds, Paging, Period, Query, SameBy, Service, Tag};

use crate::{SECURITY_EVENTS, SECURITY_LOGS, WINDOW};

/// `GET /v1.0/security/alerts` (Graph, List alerts). Several providers answer together: those that fail are missing in a
/// 206. Microsoft retires the endpoint in favour of `alerts_v2` (Graph, migration from alerts to alerts_v2).
pub static SERVICE: Service = Service {
    input: "microsoft_graph_security",
    name: "alerts",
    aliases: &[],
    function: "graph-alerts",
    query: Query::OData {
        path: "/v1.0/security/alerts",
        page_size: Some(1000),
        bounds: Bounds::Inclusive,
        base_filter: None,
        expand: None,
        headers: &[],
        paging: Paging::Links,
        successor: Some("alerts_v2"),
    },
    event_time: &["createdDateTime"],
    same_by: SameBy::Content,
    window: WINDOW,
    tag: Tag::ByField {
        field: &["vendorInformation", "provider"],
        routes: &[
            ("IPC", "cloud.azure.ad.alerts.{env}.msgraph"),
            ("MCAS", "cloud.office365.cloud_apps.alerts.{env}.msgraph"),
            ("Microsoft Defender ATP", "cloud.office365.endpoint.alerts.{env}.msgraph"),
            ("Microsoft 365 Defender", "cloud.office365.endpoint.alerts.{env}.msgraph"),
            ("Office 365 Security and Compliance", "cloud.office365.security.alerts.{env}.msgraph"),
            ("Azure Sentinel", "cloud.azure.sentinel.alerts.{env}.msgraph"),
            ("ASC", "cloud.office365.identity.alerts.{env}.msgraph"),
            ("Azure Advanced Threat Protection", "cloud.azure.securitycenter.alerts.{env}.msgraph"),
        ],
        otherwise: "cloud.msgraph.security.alerts.{env}.msgraph",
    },
    period: Period { default_seconds: 300, minimum_seconds: 60 },
    rate: SECURITY_LOGS,
    permission: SECURITY_EVENTS,
    ..Service::PLAIN
};
