//! The Office 365 Management Activity API: the input `office365`.
//!
//! Five feeds of content blobs, each a subscription of its own, and the service that retries what failed in them. They
//! share the tenant's quota (2,000 requests a minute to start with), the clouds, and the rule that a record's tag ends
//! in its `Workload`, whatever that is (Office 365 Management Activity API reference).

mod azure_active_directory;
mod dlp;
mod exchange;
mod general_audit;
mod sharepoint;
mod uri_retry;

use collector::service::{Cloud, Family, Older, Period, Query, Rate, SameBy, Service, Tag, WindowRule};
use jiff::SignedDuration;

/// The audit logs of Microsoft 365.
pub static MANAGEMENT: Family = Family {
    input: "office365",
    aliases: &[],
    older: Older::NONE,
    clouds: CLOUDS,
    services: &[
        &azure_active_directory::SERVICE,
        &sharepoint::SERVICE,
        &exchange::SERVICE,
        &general_audit::SERVICE,
        &dlp::SERVICE,
        &uri_retry::SERVICE,
    ],
};

/// Enterprise, GCC, GCC High and DoD. A token's audience is the host of its own plan; GCC logs in where everybody does.
const CLOUDS: &[Cloud] = &[
    Cloud {
        top_level_domain: None,
        base_url: "https://manage.office.com",
        login_url: "https://login.microsoftonline.com",
        scope: "https://manage.office.com/.default",
    },
    Cloud {
        top_level_domain: None,
        base_url: "https://manage-gcc.office.com",
        login_url: "https://login.microsoftonline.com",
        scope: "https://manage-gcc.office.com/.default",
    },
    Cloud {
        top_level_domain: None,
        base_url: "https://manage.office365.us",
        login_url: "https://login.microsoftonline.us",
        scope: "https://manage.office365.us/.default",
    },
    Cloud {
        top_level_domain: None,
        base_url: "https://manage.protection.apps.mil",
        login_url: "https://login.microsoftonline.us",
        scope: "https://manage.protection.apps.mil/.default",
    },
];

/// What all services of this input have in common. Windows lie on `contentCreated`; a listing is at most 24 hours long and
/// reaches back 7 days, less five minutes for the time between asking and being asked. Blobs are listed late at times,
/// so a cycle looks an hour back; known ones are not fetched again.
const FEED: Service = Service {
    input: "office365",
    name: "",
    aliases: &[],
    function: "",
    query: Query::FailedContent,
    event_time: &["CreationTime"],
    same_by: SameBy::Content,
    window: WindowRule {
        max: SignedDuration::from_hours(24),
        lookback: SignedDuration::from_hours(1),
        retention: SignedDuration::from_secs(7 * 86_400 - 300),
    },
    tag: Tag::Suffixed { prefix: "cloud.office365.management.", field: &["Workload"], otherwise: "general" },
    period: Period { default_seconds: 300, minimum_seconds: 60 },
    rate: Rate { requests: 2_000, seconds: 60, budget: "Management Activity API" },
    permission: "",
    ..Service::PLAIN
};
