//! Microsoft Defender for Endpoint: the input `microsoft_defender_endpoint`.
//!
//! What the services share: hosts by region and cloud, one audience whatever the host, how long records are kept, and two
//! request budgets. Limits count by application and tenant: 100 a minute and 1,500 an hour for the lists, 50 a minute for
//! some of what belongs to a record, 45 a minute and 1,500 an hour for advanced hunting (Defender for Endpoint API, the
//! pages of each method). A link's host may be another one: its path and query are asked for at the configured host.

mod advanced_hunting;
mod alerts;
mod investigations;
mod machines;
mod recommendations;
mod software;
mod vulnerabilities;

use collector::service::{Cloud, Family, Older, Period, Places, Query, Rate, SameBy, Service, WindowRule};
use jiff::SignedDuration;

/// Alerts, inventory and hunting of Defender for Endpoint.
pub static DEFENDER: Family = Family {
    input: "microsoft_defender_endpoint",
    aliases: &[],
    older: Older { places: Places::Anywhere, ..Older::NONE },
    clouds: CLOUDS,
    services: &[
        &alerts::SERVICE,
        &machines::SERVICE,
        &software::SERVICE,
        &vulnerabilities::SERVICE,
        &recommendations::SERVICE,
        &investigations::SERVICE,
        &advanced_hunting::SERVICE,
    ],
};

/// The public cloud, its regions, GCC (which logs in where everybody does), and GCC High with DoD.
const CLOUDS: &[Cloud] = &[
    public("https://api.securitycenter.microsoft.com"),
    public("https://api.security.microsoft.com"),
    public("https://us.api.security.microsoft.com"),
    public("https://eu.api.security.microsoft.com"),
    public("https://uk.api.security.microsoft.com"),
    public("https://au.api.security.microsoft.com"),
    public("https://swa.api.security.microsoft.com"),
    public("https://api-us.securitycenter.microsoft.com"),
    public("https://api-eu.securitycenter.microsoft.com"),
    public("https://api-uk.securitycenter.microsoft.com"),
    public("https://api-gcc.securitycenter.microsoft.us"),
    Cloud {
        login_url: "https://login.microsoftonline.us",
        ..public("https://api-gov.securitycenter.microsoft.us")
    },
];

const fn public(base_url: &'static str) -> Cloud {
    Cloud {
        top_level_domain: None,
        base_url,
        login_url: "https://login.microsoftonline.com",
        scope: "https://api.securitycenter.microsoft.com/.default",
    }
}

/// 50 a minute and 1,500 an hour in one. The lists alone might have 100 a minute, but never more an hour. Three such spans
/// begin within the four minutes that a function works of each five, so waiting from tick to tick loses nothing.
const LISTS: Rate = Rate { requests: 40, seconds: 98, budget: "Defender for Endpoint" };

/// 45 a minute and 1,500 an hour in one.
const HUNTING: Rate = Rate { requests: 45, seconds: 110, budget: "advanced hunting" };

/// Records with a time are kept for half a year, as the portal shows them; the API names no number.
const WINDOW: WindowRule = WindowRule {
    max: SignedDuration::from_hours(30 * 24),
    lookback: SignedDuration::from_hours(1),
    retention: SignedDuration::from_hours(180 * 24),
};

/// What the lists without a time have in common. Rows have some kilobytes: a page of them stays below 10 MB. What is
/// remembered of a record that vanished from its list is forgotten after two days: if it comes back, it is sent again.
const INVENTORY: Service = Service {
    input: "microsoft_defender_endpoint",
    query: Query::FailedContent,
    same_by: SameBy::LastVersion { ignoring: None },
    window: WindowRule { retention: SignedDuration::from_hours(48), ..WINDOW },
    period: Period { default_seconds: 86_400, minimum_seconds: 60 },
    rate: LISTS,
    ..Service::PLAIN
};

/// Rows of one page of an inventory.
const PAGE: Option<u32> = Some(4_000);
