//! Machines: the devices of the tenant.

use collector::service::{Enrichment, Period, Query, Service, Tag};
use collector::settings::Setting;

use crate::{INVENTORY, PAGE};

/// `GET /api/machines` (Defender for Endpoint API, List machines). It answers 404 when there is none.
pub static SERVICE: Service = Service {
    name: "machines",
    function: "endpoint-machines",
    query: Query::Snapshot { path: "/api/machines", page_size: PAGE },
    tag: Tag::Fixed("edr.microsoft_defender.endpoint.machines"),
    period: Period { default_seconds: 86_400, minimum_seconds: 3_600 },
    permission: "Machine.Read.All",
    enrichments: &[
        Enrichment {
            switch: Setting::named("request_machine_logon_users"),
            member: "related_logon_users",
            path: "/api/machines/{id}/logonusers",
            permission: "User.Read.All",
        },
        Enrichment {
            switch: Setting::named("request_machine_related_alerts"),
            member: "related_alerts",
            path: "/api/machines/{id}/alerts",
            permission: "Alert.Read.All",
        },
        Enrichment {
            switch: Setting::named("request_machine_vulnerabilities"),
            member: "related_vulnerabilities",
            path: "/api/machines/{id}/vulnerabilities",
            permission: "Vulnerability.Read.All",
        },
        Enrichment {
            switch: Setting::named("request_machine_security_recommendations"),
            member: "related_recommendations",
            path: "/api/machines/{id}/recommendations",
            permission: "SecurityRecommendation.Read.All",
        },
        Enrichment {
            switch: Setting::named("request_machine_software"),
            member: "related_software",
            path: "/api/machines/{id}/software",
            permission: "Software.Read.All",
        },
    ],
    ..INVENTORY
};
