//! Recommendations: what would make the devices of the tenant safer.

use collector::service::{Enrichment, Query, Service, Tag};
use collector::settings::Setting;

use crate::{INVENTORY, PAGE};

/// `GET /api/recommendations` (Defender for Endpoint API, List all recommendations).
pub static SERVICE: Service = Service {
    name: "recommendations",
    function: "endpoint-recommendations",
    query: Query::Snapshot { path: "/api/recommendations", page_size: PAGE },
    tag: Tag::Fixed("edr.microsoft_defender.endpoint.recommendations"),
    permission: "SecurityRecommendation.Read.All",
    enrichments: &[
        Enrichment {
            switch: Setting::named("request_recommendation_software"),
            member: "related_software",
            path: "/api/recommendations/{id}/software",
            permission: "Software.Read.All",
        },
        Enrichment {
            switch: Setting::named("request_recommendation_machines"),
            member: "related_machines",
            path: "/api/recommendations/{id}/machineReferences",
            permission: "SecurityRecommendation.Read.All",
        },
        Enrichment {
            switch: Setting::named("request_recommendation_vulnerabilities"),
            member: "related_vulnerabilities",
            path: "/api/recommendations/{id}/vulnerabilities",
            permission: "Vulnerability.Read.All",
        },
    ],
    ..INVENTORY
};
