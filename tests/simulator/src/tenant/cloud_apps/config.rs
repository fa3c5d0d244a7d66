//! What Defender for Cloud Apps is like before anybody calls it.
//!
//! The defaults are the documented behaviour, where there is one; the other values are what has been met in the wild.
//! All of it can be changed while the tenant runs: `Tenant::change_cloud_apps`.

use std::time::Duration;

use jiff::SignedDuration;

use crate::tenant::config::{ClientSecret, LinkPlace, Throttle};
use crate::tenant::defender::ToldWait;

/// Settings of Defender for Cloud Apps. White space and compression are those of the tenant.
#[derive(Debug, Clone)]
pub struct CloudAppsConfig {
    /// The scope whose tokens the API takes, files excepted.
    pub scope: String,
    /// The roles of tokens given from now on; those given before keep theirs.
    pub roles: Vec<String>,
    /// The token of the portal that reads files; `None`: there is none any more.
    pub files_token: Option<ClientSecret>,
    /// Whether the token of the portal reads the other lists, too.
    pub portal_token_elsewhere: Acceptance,
    /// Whether a token of the login reads files.
    pub bearer_for_files: Acceptance,
    /// The status of the redirect from a path without its slash at the end.
    pub redirect_status: u16,
    /// What a POST to a path without its slash meets.
    pub post_without_slash: PostWithoutSlash,
    /// Rows of a page without `limit`.
    pub usual_page: usize,
    /// The most rows of a page that is no scan, whatever `limit` says.
    pub largest_page: usize,
    /// How far `skip` and `limit` together may lead.
    pub deepest_row: usize,
    /// What lies beyond.
    pub beyond_deepest: BeyondDeepest,
    /// The fewest rows that a page of a scan may ask for, which is also what it has without `limit`.
    pub smallest_scan: usize,
    /// The most rows that a page of a scan may ask for.
    pub largest_scan: usize,
    /// What a `limit` of a scan outside of these two does.
    pub scan_limit: ScanLimit,
    /// `total` is this at the most; `moreThanTotal` tells when there are more.
    pub largest_total: usize,
    /// Members that answers do not have.
    pub absent: Vec<AnswerMember>,
    /// Where the other members stand: before or behind `data`.
    pub member_place: LinkPlace,
    /// The order of all lists for those who ask for none.
    pub order: CloudAppsOrder,
    /// The status of a refused filter.
    pub refused_filter_status: u16,
    /// Whether filters count at all.
    pub filters: FilterReading,
    /// What goes wrong in scans.
    pub scan_mishap: ScanMishap,
    /// What happens to requests for files that find too many.
    pub slow_files: SlowFiles,
    /// Activities and alerts that are older, by their place in time, are gone. No number is published.
    pub retention: SignedDuration,
    /// The limits.
    pub limits: CloudAppsLimits,
    /// The status of a request above a limit.
    pub throttled_status: u16,
    /// Whether its answer has Retry-After.
    pub told_wait: ToldWait,
    /// What its body says.
    pub throttled_words: ThrottledWords,
}

impl Default for CloudAppsConfig {
    fn default() -> Self {
        Self {
            scope: "05a65629-4c1b-48c1-a78b-804c4abdd4af/.default".to_owned(),
            roles: vec!["Investigation.read".to_owned()],
            files_token: Some(ClientSecret { value: "simulated~files-token".to_owned(), expires_at: None }),
            portal_token_elsewhere: Acceptance::Refused,
            bearer_for_files: Acceptance::Refused,
            redirect_status: 301,
            post_without_slash: PostWithoutSlash::NotFound,
            usual_page: 100,
            largest_page: 100,
            deepest_row: 5_000,
            beyond_deepest: BeyondDeepest::Refused,
            smallest_scan: 500,
            largest_scan: 5_000,
            scan_limit: ScanLimit::Clamped,
            largest_total: 5_000,
            absent: Vec::new(),
            member_place: LinkPlace::AfterRecords,
            order: CloudAppsOrder::Newest,
            refused_filter_status: 400,
            filters: FilterReading::Honoured,
            scan_mishap: ScanMishap::None,
            slow_files: SlowFiles::Never,
            retention: SignedDuration::from_hours(180 * 24),
            limits: CloudAppsLimits::NONE,
            throttled_status: 429,
            told_wait: ToldWait::Silent,
            throttled_words: ThrottledWords::Plain,
        }
    }
}

impl CloudAppsConfig {
    /// The same with the limit that Microsoft publishes.
    pub fn published(mut self) -> Self {
        self.limits = CloudAppsLimits::PUBLISHED;
        self
    }
}

/// The limits over all lists and all callers of a tenant. Refused requests count, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloudAppsLimits {
    /// Over everything; `None`: no limit.
    pub minute: Option<Throttle>,
}

impl CloudAppsLimits {
    /// No limit.
    pub const NONE: Self = Self { minute: None };
    /// What Microsoft publishes: 30 requests a minute.
    pub const PUBLISHED: Self =
        Self { minute: Some(Throttle { requests: 30, period: SignedDuration::from_secs(60) }) };
}

/// Whether a token is good where it does not belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// 401.
    Refused,
    /// It is taken, although the log has a violation.
    Taken,
}

/// What a POST to a path without its slash at the end meets. A GET is redirected in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostWithoutSlash {
    /// 404 with a page of HTML.
    NotFound,
    /// The redirect that a GET meets.
    Redirected,
}

/// What lies beyond the deepest row that `skip` reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeyondDeepest {
    /// The refusal of a filter, which names `skip`.
    Refused,
    /// A page without rows that says there are no more.
    Empty,
    /// Rows, as before.
    Rows,
}

/// What a `limit` outside of a scan's bounds does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanLimit {
    /// The nearest bound is taken without a word.
    Clamped,
    /// The refusal of a filter, which names `limit`.
    Refused,
}

/// A member of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerMember {
    /// `data`
    Data,
    /// `hasNext`
    HasNext,
    /// `max`
    Max,
    /// `total`
    Total,
    /// `moreThanTotal`
    MoreThanTotal,
    /// `nextQueryFilters`
    NextQueryFilters,
}

/// The order of a list for those who ask for none. No order is documented: no client may rely on any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloudAppsOrder {
    /// The latest place in time first; of several at one instant the first one emitted.
    Newest,
    /// The earliest place in time first.
    Oldest,
    /// As records were emitted.
    Inserted,
    /// An order of its own that stays the same as long as records do.
    Shuffled {
        /// Another seed is another order.
        seed: u64,
    },
}

/// Whether filters count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterReading {
    /// As documented.
    Honoured,
    /// They are checked, and then every record passes.
    Ignored,
}

/// What goes wrong in a scan, from its n-th page on (counted from 1) and wherever more rows follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanMishap {
    /// Nothing.
    None,
    /// `hasNext` is true, and there is no `nextQueryFilters`.
    NextFiltersMissing {
        /// The first page that it happens to.
        from_page: u64,
    },
    /// `nextQueryFilters` is what the request had for `filters`.
    SameNextFilters {
        /// The first page that it happens to.
        from_page: u64,
    },
    /// No row, `hasNext` is true, and `nextQueryFilters` lead to the next empty page.
    EmptyPages {
        /// The first page that it happens to.
        from_page: u64,
    },
}

/// What happens to requests for files that find more than so many rows, on whichever page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlowFiles {
    /// Nothing.
    Never,
    /// 504 with a page of HTML.
    GatewayTimeout {
        /// As many rows are still answered.
        above: usize,
    },
    /// The right answer, later than most callers wait.
    Late {
        /// As many rows are answered at once.
        above: usize,
        /// How much later.
        by: Duration,
    },
}

/// What the body of a request above the limit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThrottledWords {
    /// That it was throttled.
    Plain,
    /// That, and in how many seconds the next one may come.
    WithSeconds,
}
