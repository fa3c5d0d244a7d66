//! What Defender for Endpoint is like before anybody calls it.
//!
//! The defaults are the documented behaviour, where there is one; the other values are what has been met in the wild.

use jiff::SignedDuration;

use super::hunting::{HuntingConfig, HuntingLimits};
use crate::tenant::config::Throttle;

/// Every permission that the API asks for.
pub const DEFENDER_ROLES: [&str; 10] = [
    "Alert.Read.All",
    "Machine.Read.All",
    "User.Read.All",
    "File.Read.All",
    "Ip.Read.All",
    "Url.Read.All",
    "Vulnerability.Read.All",
    "Software.Read.All",
    "SecurityRecommendation.Read.All",
    "AdvancedQuery.Read.All",
];

/// Settings of Defender for Endpoint. White space, the place of links and compression are those of the tenant.
#[derive(Debug, Clone)]
pub struct DefenderConfig {
    /// The scope whose tokens the API takes. The login gives tokens for it beside those for Graph.
    pub scope: String,
    /// The permissions of tokens, until `Tenant::set_defender_roles` says otherwise.
    pub roles: Vec<String>,
    /// The most rows of a page of a list. A larger `$top` is clamped without a word; vulnerabilities have 8,000 at most.
    pub largest_page: usize,
    /// Which pages tell of the next one.
    pub next_links: NextLinks,
    /// Scheme and host of next links, for example `https://api-eu.securitycenter.windows.com`; `None`: as the caller
    /// called.
    pub link_host: Option<String>,
    /// Scheme and host of `@odata.context`.
    pub context_host: String,
    /// The order of all lists, until `Tenant::set_defender_order` says otherwise for one.
    pub order: ListOrder,
    /// What the machines answer while there is none.
    pub no_machines: NoMachines,
    /// The most rows that a record has of a relation: `Tenant::related_count` lies between 0 and this.
    pub most_related: usize,
    /// Rows of a page of related rows.
    pub related_page: usize,
    /// What a relation without rows answers.
    pub no_related: NoRelated,
    /// Alerts and investigations that are older, by their place in time, are gone. No number is published.
    pub retention: SignedDuration,
    /// The limits over lists and what belongs to their records.
    pub limits: DefenderLimits,
    /// Whether a 429 to a request above a limit says how long to wait.
    pub told_wait: ToldWait,
    /// Advanced hunting.
    pub hunting: HuntingConfig,
}

impl Default for DefenderConfig {
    fn default() -> Self {
        Self {
            scope: "https://api.securitycenter.microsoft.com/.default".to_owned(),
            roles: DEFENDER_ROLES.map(str::to_owned).to_vec(),
            largest_page: 10_000,
            next_links: NextLinks::WithoutTop,
            link_host: None,
            context_host: "https://api-eu.securitycenter.windows.com".to_owned(),
            order: ListOrder::Inserted,
            no_machines: NoMachines::Envelope,
            most_related: 7,
            related_page: 10_000,
            no_related: NoRelated::EmptyArray,
            retention: SignedDuration::from_hours(180 * 24),
            limits: DefenderLimits::NONE,
            told_wait: ToldWait::Header,
            hunting: HuntingConfig::default(),
        }
    }
}

impl DefenderConfig {
    /// The same with every limit that Microsoft publishes.
    pub fn published(mut self) -> Self {
        self.limits = DefenderLimits::PUBLISHED;
        self.hunting.limits = HuntingLimits::PUBLISHED;
        self
    }
}

/// The limits over lists and what belongs to their records, for an application. Refused requests count, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefenderLimits {
    /// Over all calls but hunting; `None`: no limit.
    pub minute: Option<Throttle>,
    /// Over all calls but hunting, in the long run; `None`: no limit.
    pub hour: Option<Throttle>,
    /// Over the vulnerabilities of machines, beside the others; `None`: no limit.
    pub machine_vulnerabilities: Option<Throttle>,
}

impl DefenderLimits {
    /// No limit.
    pub const NONE: Self = Self { minute: None, hour: None, machine_vulnerabilities: None };
    /// What Microsoft publishes: 100 calls a minute and 1,500 an hour; 50 a minute for vulnerabilities of a machine.
    pub const PUBLISHED: Self = Self {
        minute: Some(Throttle { requests: 100, period: SignedDuration::from_secs(60) }),
        hour: Some(Throttle { requests: 1_500, period: SignedDuration::from_secs(3_600) }),
        machine_vulnerabilities: Some(Throttle { requests: 50, period: SignedDuration::from_secs(60) }),
    };
}

/// Which pages that are not the last one carry `@odata.nextLink`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextLinks {
    /// Those that were asked for without `$top`.
    WithoutTop,
    /// All of them.
    Always,
    /// None.
    Never,
}

/// The order of a list. None is documented: no client may rely on any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListOrder {
    /// As records were emitted.
    Inserted,
    /// The last one emitted comes first.
    Reversed,
    /// An order of its own that stays the same as long as records do.
    Shuffled {
        /// Another seed is another order.
        seed: u64,
    },
    /// The oldest place in time first. Records made on the way have none and come first, as they were filled in.
    ByLastUpdate,
}

/// What the machines answer while there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoMachines {
    /// 404 with the usual error body.
    Envelope,
    /// 404 without a body.
    EmptyBody,
    /// 200 without a row, as every other list.
    EmptyArray,
}

/// What a relation without rows answers. Relations to one object are 404 then in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRelated {
    /// 200 without a row.
    EmptyArray,
    /// 404 with the usual error body.
    NotFound,
}

/// Whether a 429 says how long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToldWait {
    /// With Retry-After, in seconds.
    Header,
    /// Not at all.
    Silent,
}
