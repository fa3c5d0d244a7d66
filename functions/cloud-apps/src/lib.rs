//! Microsoft Defender for Cloud Apps: the input `microsoft_defender_cloud_apps`.
//!
//! What the services share: lists that take filters as JSON, one request budget for all clients of a tenant, one audience
//! whatever the host, and how long records are kept. Each tenant has a host of its own, `{tenant}.{region}.` before the
//! general one, which works but is slower (Defender for Cloud Apps API, Introduction). Times are epoch milliseconds.

mod activities;
mod alerts;
mod data_enrichment;
mod entities;
mod files;

use collector::service::{Cloud, Family, Older, Period, Places, Query, Rate, SameBy, Service, WindowRule};
use jiff::SignedDuration;

/// Activities, alerts and inventories of Defender for Cloud Apps.
pub static CLOUD_APPS: Family = Family {
    input: "microsoft_defender_cloud_apps",
    aliases: &[],
    older: Older { places: Places::Anywhere, ..Older::NONE },
    clouds: CLOUDS,
    services: &[
        &activities::SERVICE,
        &alerts::SERVICE,
        &entities::SERVICE,
        &data_enrichment::SERVICE,
        &files::SERVICE,
    ],
};

/// The public cloud, and GCC, which logs in where everybody does.
const CLOUDS: &[Cloud] =
    &[cloud("https://portal.cloudappsecurity.com"), cloud("https://portal.cloudappsecuritygov.com")];

const fn cloud(base_url: &'static str) -> Cloud {
    Cloud {
        top_level_domain: None,
        base_url,
        login_url: "https://login.microsoftonline.com",
        scope: "05a65629-4c1b-48c1-a78b-804c4abdd4af/.default",
    }
}

/// 30 a minute for all clients of a tenant. Whoever else asks takes of the same.
const ALL: Rate = Rate { requests: 30, seconds: 60, budget: "Defender for Cloud Apps" };

/// The most rows of a page, except in scan mode.
const PAGE: u32 = 100;

/// Activities and alerts are kept for half a year, as the portal shows them; the API names no number.
const WINDOW: WindowRule = WindowRule {
    max: SignedDuration::from_hours(7 * 24),
    lookback: SignedDuration::from_hours(1),
    retention: SignedDuration::from_hours(180 * 24),
};

/// What all services have in common.
const LIST: Service = Service {
    input: "microsoft_defender_cloud_apps",
    query: Query::FailedContent,
    id: &["_id"],
    window: WINDOW,
    rate: ALL,
    permission: "Investigation.read",
    ..Service::PLAIN
};

/// What the lists without a time have in common. What is remembered of a record that vanished from its list is forgotten
/// after two days: if it comes back, it is sent again.
const INVENTORY: Service = Service {
    same_by: SameBy::LastVersion { ignoring: None },
    window: WindowRule { retention: SignedDuration::from_hours(48), ..WINDOW },
    period: Period { default_seconds: 86_400, minimum_seconds: 60 },
    ..LIST
};
