//! Alerts: what Defender found on devices, and every change of it.

use collector::service::{Bounds, Enrichment, Flatten, Paging, Query, SameBy, Service, Tag};
use collector::settings::Setting;

use crate::{LISTS, WINDOW};

/// `GET /api/alerts` (Defender for Endpoint API, List alerts). An alert changes for months; its time of change moves with
/// each change. One with its evidence may have tens of kilobytes.
pub static SERVICE: Service = Service {
    input: "microsoft_defender_endpoint",
    name: "alerts",
    function: "endpoint-alerts",
    query: Query::OData {
        path: "/api/alerts",
        page_size: Some(500),
        bounds: Bounds::Inclusive,
        base_filter: None,
        expand: Some("evidence"),
        headers: &[],
        paging: Paging::Slices,
        successor: None,
    },
    event_time: &["lastUpdateTime"],
    same_by: SameBy::Content,
    window: WINDOW,
    tag: Tag::Fixed("edr.microsoft_defender.endpoint.alerts"),
    rate: LISTS,
    permission: "Alert.Read.All",
    enrichments: &[
        Enrichment {
            switch: Setting::named("request_alert_related_files"),
            member: "related_files",
            path: "/api/alerts/{id}/files",
            permission: "File.Read.All",
        },
        Enrichment {
            switch: Setting::named("request_alert_related_ips"),
            member: "related_ips",
            path: "/api/alerts/{id}/ips",
            permission: "Ip.Read.All",
        },
        Enrichment {
            switch: Setting::named("request_alert_related_machines"),
            member: "related_machines",
            path: "/api/alerts/{id}/machine",
            permission: "Machine.Read.All",
        },
        Enrichment {
            switch: Setting::named("request_alert_related_domains"),
            member: "related_domains",
            path: "/api/alerts/{id}/domains",
            permission: "Url.Read.All",
        },
        Enrichment {
            switch: Setting::named("request_alert_related_users"),
            member: "related_users",
            path: "/api/alerts/{id}/user",
            permission: "User.Read.All",
        },
    ],
    flatten: Some(Flatten::Members { object: "relatedUser", array: "evidence" }),
    ..Service::PLAIN
};
