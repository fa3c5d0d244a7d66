//! Software: what is installed on the devices of the tenant.

use collector::service::{Enrichment, Query, Service, Tag};
use collector::settings::Setting;

use crate::{INVENTORY, PAGE};

/// `GET /api/software` (Defender for Endpoint API, List software).
pub static SERVICE: Service = Service {
    name: "softwares",
    aliases: &["software"],
    function: "endpoint-software",
    query: Query::Snapshot { path: "/api/software", page_size: PAGE },
    tag: Tag::Fixed("edr.microsoft_defender.endpoint.software"),
    permission: "Software.Read.All",
    enrichments: &[
        Enrichment {
            switch: Setting::named("request_vulnerabilities_by_software"),
            member: "related_vulnerabilities",
            path: "/api/software/{id}/vulnerabilities",
            permission: "Vulnerability.Read.All",
        },
        Enrichment {
            switch: Setting::spelt("request_software_missing_kbs", &["request_softtware_missing_kbs"]),
            member: "related_missing_kbs",
            path: "/api/software/{id}/getmissingkbs",
            permission: "Software.Read.All",
        },
        Enrichment {
            switch: Setting::named("request_machines_by_software"),
            member: "related_machines",
            path: "/api/software/{id}/machineReferences",
            permission: "Software.Read.All",
        },
        Enrichment {
            switch: Setting::spelt(
                "request_software_version_distributions",
                &["request_softtware_version_distributions"],
            ),
            member: "related_version_distribution",
            path: "/api/software/{id}/distributions",
            permission: "Software.Read.All",
        },
    ],
    ..INVENTORY
};
