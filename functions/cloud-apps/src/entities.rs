//! Entities: the users and accounts of the cloud applications.

use collector::service::{Query, Reading, Service, Tag};

use crate::{INVENTORY, PAGE};

/// `POST /api/v1/entities/` (Defender for Cloud Apps API, List entities). No filter on a time.
pub static SERVICE: Service = Service {
    name: "entities",
    function: "cloud-apps-entities",
    query: Query::FilteredList {
        path: "/api/v1/entities/",
        times: &[],
        page_size: PAGE,
        reading: Reading::Pages,
    },
    tag: Tag::Fixed("casb.microsoft_defender.cloud_apps.entities"),
    ..INVENTORY
};
