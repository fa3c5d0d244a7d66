//! Activities: what users did in the cloud applications.

use collector::service::{Query, Reading, Service, Tag, WindowRule};
use jiff::SignedDuration;

use crate::{LIST, WINDOW};

/// `POST /api/v1/activities/` (Defender for Cloud Apps API, List activities; Investigate activities using the API). Many are
/// saved hours after they happened, so windows lie on `created`, the instant of saving. Rows have 3 to 5 kilobytes: a page of
/// a scan, which may have 500 to 5,000 of them, stays below 10 MB.
pub static SERVICE: Service = Service {
    name: "activities",
    function: "cloud-apps-activities",
    query: Query::FilteredList {
        path: "/api/v1/activities/",
        times: &["created"],
        page_size: 2_000,
        reading: Reading::Scan,
    },
    event_time: &["created"],
    window: WindowRule { lookback: SignedDuration::from_mins(15), ..WINDOW },
    tag: Tag::Fixed("casb.microsoft_defender.cloud_apps.activities"),
    ..LIST
};
