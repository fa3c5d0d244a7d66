//! The tenants that the costs are computed for: what each of the 26 services gives a day.
//!
//! Volumes are assumptions: by user and day, or a number whatever the size. Look-back, page size and limit are those of the
//! services' declarations: a test compares them.

use serde::Serialize;

/// A size of tenant.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Tenant {
    /// What it is called.
    pub name: &'static str,
    /// Its users.
    pub users: u32,
}

/// The three sizes.
pub const TENANTS: [Tenant; 3] = [
    Tenant { name: "small", users: 1_000 },
    Tenant { name: "medium", users: 10_000 },
    Tenant { name: "large", users: 100_000 },
];

/// How a service collects.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Every tick reads a window that reaches back so many minutes.
    Collection {
        /// Minutes that are read again.
        look_back_minutes: f64,
    },
    /// The same without a late sweep: the look-back alone finds what comes late.
    Availability {
        /// Minutes that are read again.
        look_back_minutes: f64,
    },
    /// Every tick lists so many minutes again and fetches what is new.
    Feed {
        /// Minutes that are listed again.
        look_back_minutes: f64,
    },
    /// One tick a day reads everything; the others are before its time.
    Daily,
    /// Every tick looks at the queues of the feeds.
    Queue,
}

/// What a window is read as that has more than a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pages {
    /// Pages, each but the last one full.
    Whole,
    /// Parts of time that fit a page each, and do not all fill it.
    Parts,
}

/// One service.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Profile {
    /// Its function.
    pub function: &'static str,
    /// How it collects.
    pub kind: Kind,
    /// Records of a page; of a feed, of a blob.
    pub page_records: f64,
    /// What more than a page is read as.
    pub pages: Pages,
    /// How often each window is asked for, by another of its times each.
    pub questions: f64,
    /// So many requests …
    pub burst: f64,
    /// … in so many seconds: its part of the API's limit.
    pub span_seconds: f64,
    /// Records a day, however many users.
    pub records: f64,
    /// Records a day and user.
    pub records_a_user: f64,
}

impl Profile {
    /// Records a day.
    pub fn records_a_day(&self, tenant: Tenant) -> f64 {
        self.records + self.records_a_user * f64::from(tenant.users)
    }

    /// Requests that so many records of a window need, where parts of time need so many for what would fill a page.
    pub fn requests(&self, records: f64, requests_a_part: f64) -> f64 {
        let pages = (records / self.page_records).ceil().max(1.0);
        let requests = match self.pages {
            Pages::Parts if pages > 1.0 => (pages * requests_a_part).ceil(),
            Pages::Parts | Pages::Whole => pages,
        };
        requests * self.questions
    }

    /// The same of a list whose windows are read in parts of time.
    const fn in_parts(self) -> Self {
        Self { pages: Pages::Parts, ..self }
    }

    /// The same of a list that is asked for twice.
    const fn twice(self) -> Self {
        Self { questions: 2.0, ..self }
    }
}

const HOUR: Kind = Kind::Collection { look_back_minutes: 60.0 };
/// Many, so little is read again at each tick.
const QUARTER: Kind = Kind::Collection { look_back_minutes: 15.0 };
/// Hunting has no sweep.
const AVAILABILITY: Kind = Kind::Availability { look_back_minutes: 15.0 };
const FEED: Kind = Kind::Feed { look_back_minutes: 60.0 };

/// Of an API: records of a page, requests in seconds, the latter divided among those who share the limit.
type Api = (f64, f64, f64);
/// Audit logs: 5 requests in 10 s among 4.
const AUDIT_LOGS: Api = (1_000.0, 1.0, 10.0);
/// Graph security: 150 a minute among 4.
const SECURITY: Api = (1_000.0, 37.0, 60.0);
/// Management Activity API: 2,000 a minute among 6; blobs of the size that was measured.
const ACTIVITY: Api = (50.0, 333.0, 60.0);
/// Lists of Defender for Endpoint: 1,500 an hour as 40 in 98 s, among 6. Without enrichment.
const DEFENDER: Api = (4_000.0, 6.0, 98.0);
/// With their evidence they are longer.
const DEFENDER_ALERTS: Api = (500.0, 6.0, 98.0);
const INVESTIGATIONS: Api = (10_000.0, 6.0, 98.0);
/// Advanced hunting: 1,500 an hour as 45 in 110 s; one answer has all rows of its window.
const HUNTING: Api = (100_000.0, 45.0, 110.0);
/// Cloud Apps: 30 a minute among 5, 100 records a page.
const CLOUD_APPS: Api = (100.0, 6.0, 60.0);
/// In scan mode they are longer.
const CLOUD_APPS_SCAN: Api = (2_000.0, 6.0, 60.0);

const fn profile(
    function: &'static str,
    kind: Kind,
    (page_records, burst, span_seconds): Api,
    records: f64,
    records_a_user: f64,
) -> Profile {
    Profile {
        function,
        kind,
        page_records,
        pages: Pages::Whole,
        questions: 1.0,
        burst,
        span_seconds,
        records,
        records_a_user,
    }
}

/// All services of the contract.
pub const PROFILES: [Profile; 26] = [
    profile("graph-directory-audits", HOUR, AUDIT_LOGS, 0.0, 1.0),
    profile("graph-provisioning-audits", HOUR, AUDIT_LOGS, 0.0, 0.5),
    profile("graph-sign-ins", QUARTER, AUDIT_LOGS, 0.0, 5.0),
    profile("graph-sign-ins-v2", QUARTER, AUDIT_LOGS, 0.0, 30.0),
    // Retired by Microsoft: there is nothing to collect.
    profile("graph-alerts", HOUR, SECURITY, 0.0, 0.0),
    profile("graph-alerts-v2", HOUR, SECURITY, 0.0, 0.005),
    profile("graph-secure-scores", Kind::Daily, SECURITY, 1.0, 0.0),
    profile("graph-secure-score-control-profiles", Kind::Daily, SECURITY, 150.0, 0.0),
    profile("office365-azure-active-directory", FEED, ACTIVITY, 0.0, 15.0),
    profile("office365-sharepoint", FEED, ACTIVITY, 0.0, 25.0),
    profile("office365-exchange", FEED, ACTIVITY, 0.0, 20.0),
    profile("office365-general-audit", FEED, ACTIVITY, 0.0, 20.0),
    profile("office365-dlp", FEED, ACTIVITY, 0.0, 0.1),
    profile("office365-uri-retry", Kind::Queue, ACTIVITY, 0.0, 0.0),
    profile("endpoint-alerts", HOUR, DEFENDER_ALERTS, 0.0, 0.005),
    profile("endpoint-machines", Kind::Daily, DEFENDER, 0.0, 1.2),
    profile("endpoint-software", Kind::Daily, DEFENDER, 300.0, 0.3),
    profile("endpoint-vulnerabilities", Kind::Daily, DEFENDER, 1_500.0, 0.5),
    profile("endpoint-recommendations", Kind::Daily, DEFENDER, 200.0, 0.0),
    profile("endpoint-investigations", HOUR, INVESTIGATIONS, 0.0, 0.001),
    profile("endpoint-advanced-hunting", AVAILABILITY, HUNTING, 0.0, 0.05),
    profile("cloud-apps-activities", QUARTER, CLOUD_APPS_SCAN, 0.0, 10.0),
    profile("cloud-apps-alerts", HOUR, CLOUD_APPS, 0.0, 0.005).in_parts().twice(),
    profile("cloud-apps-entities", Kind::Daily, CLOUD_APPS, 0.0, 1.5),
    profile("cloud-apps-data-enrichment", Kind::Daily, CLOUD_APPS, 20.0, 0.0),
    profile("cloud-apps-files", QUARTER, CLOUD_APPS, 0.0, 2.0).in_parts(),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use collector::service::{Query, Reading, Service};

    use super::*;

    fn built() -> impl Iterator<Item = &'static Service> {
        [
            &graph::AUDIT,
            &graph::SECURITY,
            &office365::MANAGEMENT,
            &endpoint::DEFENDER,
            &cloud_apps::CLOUD_APPS,
        ]
        .into_iter()
        .flat_map(|family| family.services)
        .copied()
    }

    #[test]
    fn there_are_26_functions_each_named_once_and_the_snapshots_are_daily() {
        let names: BTreeSet<&str> = PROFILES.iter().map(|profile| profile.function).collect();
        assert_eq!(names.len(), 26);
        let daily = PROFILES.iter().filter(|profile| profile.kind == Kind::Daily).count();
        assert_eq!(daily, 7 + 1, "seven snapshots, and secure scores");
    }

    #[test]
    fn the_table_says_of_what_is_built_what_its_declaration_says() {
        for service in built() {
            let profile = PROFILES.iter().find(|profile| profile.function == service.function);
            let profile = profile.unwrap_or_else(|| panic!("{} has no costs", service.function));
            let sharers = built().filter(|other| other.rate.budget == service.rate.budget).count() as f64;
            let share = f64::from(service.rate.requests) / sharers;
            // A part of less than one request is one in a longer time, in whole spans.
            let per_second = share.max(1.0).floor() / f64::from(service.rate.seconds) / (1.0 / share).ceil();
            assert_eq!(profile.burst / profile.span_seconds, per_second, "{}", service.function);
            if let Query::OData { page_size: Some(rows), .. }
            | Query::Snapshot { page_size: Some(rows), .. }
            | Query::FilteredList { page_size: rows, .. } = service.query
            {
                assert_eq!(profile.page_records, f64::from(rows), "{}", service.function);
            }
            let (questions, pages) = match service.query {
                Query::FilteredList { times, reading: Reading::Pages, .. } if !times.is_empty() => {
                    (times.len(), Pages::Parts)
                }
                _ => (1, Pages::Whole),
            };
            assert_eq!((profile.questions, profile.pages), (questions as f64, pages), "{}", service.function);
            let look_back = match profile.kind {
                Kind::Collection { look_back_minutes }
                | Kind::Availability { look_back_minutes }
                | Kind::Feed { look_back_minutes } => look_back_minutes,
                Kind::Daily | Kind::Queue => continue,
            };
            let declared = service.window.lookback.as_secs_f64() / 60.0;
            assert_eq!(look_back, declared, "{}", service.function);
            assert_eq!(service.period.default_seconds, 300, "{}", service.function);
        }
    }

    #[test]
    fn a_list_in_parts_of_time_may_need_more_requests_than_pages_but_for_a_single_one() {
        let requests_of = |function: &str| {
            let profile = PROFILES.iter().find(|profile| profile.function == function).unwrap();
            [0.0, 100.0, 101.0, 1_000.0, 2_001.0].map(|records| profile.requests(records, 1.6))
        };
        assert_eq!(requests_of("cloud-apps-activities"), [1.0, 1.0, 1.0, 1.0, 2.0]);
        assert_eq!(requests_of("cloud-apps-entities"), [1.0, 1.0, 2.0, 10.0, 21.0]);
        assert_eq!(requests_of("cloud-apps-files"), [1.0, 1.0, 4.0, 16.0, 34.0]);
        assert_eq!(requests_of("cloud-apps-alerts"), [2.0, 2.0, 8.0, 32.0, 68.0]);
    }

    #[test]
    fn volumes_grow_with_the_users_alone() {
        let machines = PROFILES.iter().find(|profile| profile.function == "endpoint-software").unwrap();
        let volumes = TENANTS.map(|tenant| machines.records_a_day(tenant));
        assert_eq!(volumes, [600.0, 3_300.0, 30_300.0]);
    }
}
