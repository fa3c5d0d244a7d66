//! Files: what is known of the files in the cloud applications.

use collector::service::{Authorization, Query, Reading, Service, Tag, WindowRule};
use collector::settings::Setting;
use jiff::SignedDuration;

use crate::{LIST, PAGE};

/// `POST /api/v1/files/` (Defender for Cloud Apps API, List files). Large collections take longer than the API allows
/// itself, so windows are short. A file is listed for as long as it exists: the retention is how long one is remembered. No
/// application permission reads files; a token of the portal does, with the rights of the user who made it.
pub static SERVICE: Service = Service {
    name: "files",
    function: "cloud-apps-files",
    query: Query::FilteredList {
        path: "/api/v1/files/",
        times: &["modifiedDate"],
        page_size: PAGE,
        reading: Reading::Pages,
    },
    event_time: &["modifiedDate"],
    window: WindowRule {
        max: SignedDuration::from_hours(24),
        lookback: SignedDuration::from_mins(15),
        retention: SignedDuration::from_hours(5 * 365 * 24),
    },
    tag: Tag::Fixed("casb.microsoft_defender.cloud_apps.files"),
    permission: "",
    authorization: Authorization::Token(&FILES_ACCESS_TOKEN),
    ..LIST
};

static FILES_ACCESS_TOKEN: Setting = Setting::named("files_access_token");
