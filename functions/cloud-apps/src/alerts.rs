//! Alerts: what a policy or a detection found, and how it was resolved.

use collector::service::{Flatten, Query, Reading, Service, Tag};

use crate::{LIST, PAGE};

/// `POST /api/v1/alerts/` (Defender for Cloud Apps API, List alerts). There is no filter on changes: those that were
/// triggered in a window are asked for, and those that were resolved in it, whenever they were triggered.
pub static SERVICE: Service = Service {
    name: "alerts",
    function: "cloud-apps-alerts",
    query: Query::FilteredList {
        path: "/api/v1/alerts/",
        times: &["date", "resolutionDate"],
        page_size: PAGE,
        reading: Reading::Pages,
    },
    event_time: &["timestamp"],
    tag: Tag::Fixed("casb.microsoft_defender.cloud_apps.alerts"),
    flatten: Some(Flatten::Groups { array: "entities", by: "type" }),
    ..LIST
};
