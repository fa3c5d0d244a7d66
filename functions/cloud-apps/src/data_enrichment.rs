//! Data enrichment: the ranges of IP addresses that the organization has named.

use collector::service::{Query, Reading, Service, Tag};

use crate::{INVENTORY, PAGE};

/// `POST /api/v1/subnet/` (Defender for Cloud Apps API, List IP address ranges).
pub static SERVICE: Service = Service {
    name: "data_enrichment",
    function: "cloud-apps-data-enrichment",
    query: Query::FilteredList {
        path: "/api/v1/subnet/",
        times: &[],
        page_size: PAGE,
        reading: Reading::Pages,
    },
    tag: Tag::Fixed("casb.microsoft_defender.cloud_apps.data_enrichment"),
    ..INVENTORY
};
