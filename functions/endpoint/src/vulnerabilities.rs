//! Vulnerabilities: what is known of the software on the devices of the tenant.

use collector::service::{Enrichment, Query, Service, Tag};
use collector::settings::Setting;

use crate::{INVENTORY, PAGE};

/// `GET /api/vulnerabilities` (Defender for Endpoint API, List vulnerabilities).
pub static SERVICE: Service = Service {
    name: "vulnerabilities",
    aliases: &["vulnerabiities"],
    function: "endpoint-vulnerabilities",
    query: Query::Snapshot { path: "/api/vulnerabilities", page_size: PAGE },
    tag: Tag::Fixed("edr.microsoft_defender.endpoint.vulnerabilities"),
    permission: "Vulnerability.Read.All",
    enrichments: &[Enrichment {
        switch: Setting::named("request_machine_by_vulnerabilities"),
        member: "related_machines",
        path: "/api/vulnerabilities/{id}/machineReferences",
        permission: "Vulnerability.Read.All",
    }],
    ..INVENTORY
};
