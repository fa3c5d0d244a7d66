//! What the security collections of a tenant are like before anybody calls them.
//!
//! The defaults are the documented behaviour, where there is one; the other values are what has been met in the wild.

use jiff::SignedDuration;

/// Settings of the security family. The size of pages, white space and compression are those of the tenant; its
/// request limit is `TenantConfig::security_throttle`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityConfig {
    /// What the legacy alerts are at first.
    pub retirement: Retirement,
    /// Providers of legacy alerts (`vendorInformation.provider`, in any case) that do not look at `$filter`: their
    /// alerts come whatever it says.
    pub unfiltered_providers: Vec<String>,
    /// Whether a page of alerts_v2 has a next link when a larger `$top` than the maximum was asked for.
    pub clamped_page: ClampedPage,
    /// A larger `$skip` to alerts_v2 is refused with 400, those of its own next links among them.
    pub deepest_skip: usize,
    /// Alerts of either kind that are older are gone, by their place in time. No number is published.
    pub alert_retention: SignedDuration,
    /// Secure scores that are older are gone.
    pub score_retention: SignedDuration,
}

impl Default for SecurityConfig {
    fn default() -> Self {
        Self {
            retirement: Retirement::None,
            unfiltered_providers: Vec::new(),
            clamped_page: ClampedPage::HasNext,
            deepest_skip: 10_000,
            alert_retention: SignedDuration::from_hours(180 * 24),
            score_retention: SignedDuration::from_hours(90 * 24),
        }
    }
}

/// Whether the legacy alerts still live, and what a caller meets if they do not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Retirement {
    /// They live.
    #[default]
    None,
    /// 200 without a row to everything that is rightly asked.
    Empty,
    /// 404 with an error body.
    NotFound,
    /// 410 with an error body.
    Gone,
}

/// What a page of alerts_v2 looks like when its `$top` was clamped and more records follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClampedPage {
    /// As any other page.
    HasNext,
    /// It has no next link: who takes that for the end loses the rest.
    LacksNext,
}
