//! What the activity feeds of a tenant are like before anybody calls them.
//!
//! The defaults are the documented behaviour; the other values are what has been met in the wild.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::tenant::config::Throttle;
use crate::tenant::fault::RetryAfter;

/// Settings of the feeds. Compression, white space and the lifetime of next links are those of the tenant.
#[derive(Debug, Clone)]
pub struct FeedConfig {
    /// The scope whose tokens the feeds take. The login gives tokens for it beside those for Graph.
    pub scope: String,
    /// Entries of a listing page.
    pub page_size: usize,
    /// Name of the header that leads to the next page, spelled so on the wire.
    pub next_page_header: String,
    /// Version in the path of a next link.
    pub next_page_path: NextPagePath,
    /// Which times a next link repeats.
    pub next_page_times: NextPageTimes,
    /// What all subscriptions are at first.
    pub subscriptions: Subscription,
    /// How long a subscription that was just started is not yet known to listings; `None`: it is known at once.
    pub subscription_lag: Option<SubscriptionLag>,
    /// How the list of subscriptions spells content types.
    pub listed_names: ListedNames,
    /// Whether the list of subscriptions says their status.
    pub listed_status: ListedStatus,
    /// What a call without PublisherIdentifier gets. It is a violation in either case.
    pub publisher: PublisherRule,
    /// How an impossible window is refused.
    pub window_code: WindowCode,
    /// The limit over all calls to the feeds, for an application; `None`: no limit.
    pub throttle: Option<Throttle>,
    /// What a call above the limit is told.
    pub throttled_as: ThrottledAs,
    /// How long a blob takes to answer.
    pub blob_latency: Duration,
    /// How long a listing page takes to answer.
    pub listing_latency: Duration,
    /// How blobs travel.
    pub blob_framing: Framing,
    /// From `contentCreated` to `contentExpiration`.
    pub content_lifetime: SignedDuration,
    /// HTTP status of AF20051, the answer for expired content.
    pub expired_status: u16,
}

impl Default for FeedConfig {
    fn default() -> Self {
        Self {
            scope: "https://manage.office.com/.default".to_owned(),
            page_size: 100,
            next_page_header: "NextPageUri".to_owned(),
            next_page_path: NextPagePath::V1Point0,
            next_page_times: NextPageTimes::Both,
            subscriptions: Subscription::Missing,
            subscription_lag: None,
            listed_names: ListedNames::Documented,
            listed_status: ListedStatus::Always,
            publisher: PublisherRule::Noted,
            window_code: WindowCode::Af20055,
            throttle: None,
            throttled_as: ThrottledAs::Forbidden,
            blob_latency: Duration::ZERO,
            listing_latency: Duration::ZERO,
            blob_framing: Framing::Chunked,
            content_lifetime: SignedDuration::from_hours(7 * 24),
            expired_status: 400,
        }
    }
}

/// State of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscription {
    /// Never started: not in the list, AF20022.
    Missing,
    /// In the list, and its content can be listed.
    Enabled,
    /// In the list as disabled, AF20023.
    Disabled,
}

/// A subscription that was started and is not yet known to listings. The list shows it as enabled all the while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionLag {
    /// What listings are told.
    pub code: LagCode,
    /// For how long.
    pub lasts: LagLength,
}

/// What listings are told about a subscription that was just started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LagCode {
    /// AF20022: there is none.
    NoSubscription,
    /// AF20023: it is disabled.
    Disabled,
}

/// How long a subscription lags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LagLength {
    /// Up to that instant.
    Until(Timestamp),
    /// That long after its start.
    For(SignedDuration),
    /// For that many listings after its start.
    Listings(u64),
}

/// Version in the path of a next link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextPagePath {
    /// `/api/v1.0/`, as in all other paths.
    V1Point0,
    /// `/api/v1/`, as in the reference's sample.
    V1,
}

/// Which times a next link repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextPageTimes {
    /// `starttime` and `endtime`.
    Both,
    /// `endtime` alone.
    EndOnly,
}

/// How the list of subscriptions spells content types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListedNames {
    /// `Audit.SharePoint`
    Documented,
    /// `Audit.Sharepoint`
    OtherCase,
}

/// Whether the list of subscriptions says their status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListedStatus {
    /// Each entry has one.
    Always,
    /// Entries of enabled subscriptions have none.
    OnlyDisabled,
}

/// What a call without PublisherIdentifier gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublisherRule {
    /// The ordinary answer.
    Noted,
    /// AF429 that names a publisher of all zeros.
    Required,
}

/// How an impossible window is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowCode {
    /// AF20055, with the times.
    Af20055,
    /// AF20030, as in the reference.
    Af20030,
}

/// How AF429 is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThrottledAs {
    /// 403 without Retry-After, in single quotes: no JSON.
    Forbidden,
    /// 429 with a Retry-After of that kind.
    TooManyRequests(RetryAfter),
}

/// How blobs travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// In chunks, their length not announced.
    Chunked,
    /// With their length. Compressed blobs and those that are made while they go out are chunked all the same.
    ContentLength,
}
