//! What will go wrong if nobody looks: the figures that alarms read, and the words that say what to do.
//!
//! A service is late, its oldest data is about to leave the API, its request quota is used up, a certificate is about to
//! end: each is a figure of every invocation, and in time a warning in the answer, in the host's log and in Devo. A
//! process gives a warning once a UTC day for each matter: what stays true for weeks must not fill a log.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::settings::Settings;
use crate::window::later;

/// Later than one period by more than this, a service falls behind.
const LATE: u64 = 2 * 3600;
/// Nearer to the end of the API's memory than this, data may be lost over a weekend.
const NEAR_EDGE_HOURS: u64 = 48;
/// Below this, a certificate should be replaced now: somebody has to ask somebody else for a new one.
const FEW_DAYS: i64 = 30;
/// All of a quota.
const WHOLE: u64 = 100;

const SECONDS_PER_HOUR: i64 = 3_600;
const SECONDS_PER_DAY: i64 = 86_400;

/// The figures of one invocation; each absent where it is not known or does not apply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outlook {
    /// How much longer ago than one period the last complete window ended; 0 when within. A service that never completed
    /// a window has none.
    pub lag_beyond_period_seconds: Option<u64>,
    /// Whole hours until the oldest data that was not collected yet leaves the API; 0 when some of it is leaving. Of a
    /// content feed also failed content counts, which expires on its own; backfills and the queues that the retry
    /// service works off do not: each feed speaks of its own queue. A service without windows has none.
    pub edge_hours: Option<u64>,
    /// How much of the request quota was used; 100 whenever the API asked for patience.
    pub quota_used_percent: Option<u64>,
}

/// How far a service is, as far as its outlook depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Where the service started; absent before its first run.
    pub start: Option<Timestamp>,
    /// Everything up to then was collected.
    pub complete_to: Option<Timestamp>,
    /// When the next complete window was to end, where that is not one period after the last one.
    pub due_at: Option<Timestamp>,
    /// When the first content in the retry queue expires.
    pub first_expiry: Option<Timestamp>,
}

impl Standing {
    /// How much longer ago than one period the last complete window ended, seconds.
    fn lag_beyond(&self, period: SignedDuration, now: Timestamp) -> Option<u64> {
        let due = self.due_at.or_else(|| Some(later(self.complete_to?, period)))?;
        Some(u64::try_from(now.duration_since(due).as_secs()).unwrap_or(0))
    }

    /// Whole hours until the first uncollected data leaves an API that keeps data for so long.
    fn edge_hours(&self, retention: SignedDuration, now: Timestamp) -> Option<u64> {
        let leaves = self.complete_to.or(self.start).map(|instant| later(instant, retention));
        let first = [leaves, self.first_expiry].into_iter().flatten().min()?;
        Some(u64::try_from(first.duration_since(now).as_secs() / SECONDS_PER_HOUR).unwrap_or(0))
    }
}

impl Outlook {
    /// The outlook of a service that stands there.
    pub fn new(
        standing: &Standing,
        settings: &Settings,
        quota_used_percent: Option<u64>,
        now: Timestamp,
    ) -> Self {
        let rule = &settings.service.window;
        Self {
            lag_beyond_period_seconds: standing.lag_beyond(settings.request_period, now),
            edge_hours: standing.edge_hours(rule.retention, now).filter(|_| settings.has_windows()),
            quota_used_percent,
        }
    }

    /// What the operator should know, each matter with its remedy. `asked` is how often the API asked for patience.
    pub fn warnings(&self, settings: &Settings, asked: u64) -> Vec<(Matter, String)> {
        let late = self.lag_beyond_period_seconds.filter(|seconds| *seconds > LATE).map(|seconds| {
            let hours = seconds / SECONDS_PER_HOUR.unsigned_abs();
            format!(
                "this service is {hours} hours later than its period of {} seconds: see its failures and \
                 throttling in the log; after a long pause it catches up by itself",
                settings.request_period.as_secs()
            )
        });
        let near = self.edge_hours.filter(|hours| *hours < NEAR_EDGE_HOURS).map(|hours| {
            let queue = if settings.service.query.is_content() {
                ", and enable uri_retry for content that failed"
            } else {
                ""
            };
            format!(
                "the oldest data that was not collected yet leaves the API in {hours} hours, for good: \
                 remove what keeps this service from pulling (see its failures and throttling in the log){queue}"
            )
        });
        let used_up = self.quota_used_percent.filter(|percent| *percent >= WHOLE).map(|_| {
            let cause = match asked {
                0 => "this service made all the requests that its limit allows".to_owned(),
                1 => "the API asked for patience".to_owned(),
                times => format!("the API asked for patience {times} times"),
            };
            format!(
                "the request quota is used up: {cause}; raise request_period_in_seconds, set requests_limits to what \
                 the API grants, or give other programs an application of their own"
            )
        });
        [(Matter::Lag, late), (Matter::Edge, near), (Matter::Quota, used_up)]
            .into_iter()
            .filter_map(|(matter, text)| Some((matter, text?)))
            .collect()
    }
}

/// A certificate that ends some day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Certificate {
    /// What it is for.
    pub purpose: Purpose,
    /// Its last second, UTC.
    pub ends_at: Timestamp,
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The login at Microsoft.
    Login,
    /// The client side of the connection to Devo.
    Devo,
    /// An issuer of the latter, which ends sooner than that.
    IssuerForDevo,
}

impl Purpose {
    /// The certificate in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "the client certificate for Microsoft's login",
            Self::Devo => "the client certificate for devo",
            Self::IssuerForDevo => "an issuer of the client certificate for devo",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Login => {
                "register a new one beside it with the application, then store it in credentials.client_certificate \
                 and its key in credentials.client_private_key"
            }
            Self::Devo | Self::IssuerForDevo => {
                "download new ones from devo and store all three of certificate, key and chain"
            }
        }
    }
}

impl Certificate {
    /// Whole days that are left at `now`; below zero once it has ended.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        self.ends_at.duration_since(now).as_secs().div_euclid(SECONDS_PER_DAY)
    }

    /// Which certificate ends when and what is to be done, when that is soon.
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        let days = self.days_left(now);
        let (name, end, remedy) = (self.purpose.name(), self.ends_at, self.purpose.remedy());
        (days < FEW_DAYS).then(|| format!("{name} ends at {end}, days left: {days}; {remedy}"))
    }
}

/// What a warning is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Matter {
    /// A service is late.
    Lag,
    /// Data is about to leave the API.
    Edge,
    /// The request quota is used up.
    Quota,
    /// Late records are looked for less often than they should be.
    Sweep,
    /// This certificate is about to end.
    Certificate(Certificate),
    /// The count in this member may not be asked for.
    Count(&'static str),
}

/// Which matters a process has warned of, and on which UTC day.
#[derive(Debug, Default)]
pub struct Reminders(BTreeMap<Matter, Date>);

impl Reminders {
    /// Whether a warning of this matter is due: the first time on each UTC day. Being asked counts as the warning.
    pub fn is_due(&mut self, matter: Matter, now: Timestamp) -> bool {
        let today = now.to_zoned(TimeZone::UTC).date();
        self.0.insert(matter, today) != Some(today)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-20T12:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn hours(count: i64) -> SignedDuration {
        SignedDuration::from_hours(count)
    }

    #[test]
    fn lag_counts_from_the_end_of_the_period_that_the_service_is_read_in() {
        let (five_minutes, day) = (SignedDuration::from_mins(5), hours(24));
        let table = [
            (None, five_minutes, None),
            (Some("2026-11-20T12:00:00Z"), five_minutes, Some(0)),
            (Some("2026-11-20T11:55:00Z"), five_minutes, Some(0)),
            (Some("2026-11-20T11:54:59Z"), five_minutes, Some(1)),
            (Some("2026-11-20T09:55:00Z"), five_minutes, Some(7_200)),
            (Some("2026-11-20T11:00:00Z"), day, Some(0)),
            (Some("2026-11-19T11:00:00Z"), day, Some(3_600)),
            // A clock that went back.
            (Some("2026-11-20T13:00:00Z"), five_minutes, Some(0)),
        ];
        for (complete_to, period, expected) in table {
            let standing = Standing { complete_to: complete_to.map(at), ..Standing::default() };
            assert_eq!(standing.lag_beyond(period, at(NOW)), expected, "{complete_to:?} {period}");
        }
    }

    #[test]
    fn the_edge_is_where_the_first_uncollected_data_or_failed_content_leaves() {
        let week = hours(7 * 24);
        let table = [
            (None, None, None, None),
            // Nothing was collected since the start.
            (Some("2026-11-19T12:00:00Z"), None, None, Some(6 * 24)),
            (Some("2026-11-01T12:00:00Z"), Some("2026-11-20T12:00:00Z"), None, Some(7 * 24)),
            (Some("2026-11-01T12:00:00Z"), Some("2026-11-20T11:59:59Z"), None, Some(7 * 24 - 1)),
            (Some("2026-11-01T12:00:00Z"), Some("2026-11-15T11:00:00Z"), None, Some(47)),
            (Some("2026-11-01T12:00:00Z"), Some("2026-11-12T12:00:00Z"), None, Some(0)),
            (None, Some("2026-11-20T12:00:00Z"), Some("2026-11-21T11:30:00Z"), Some(23)),
            (None, Some("2026-11-15T12:00:00Z"), Some("2026-11-25T12:00:00Z"), Some(48)),
            (None, Some("2026-11-20T12:00:00Z"), Some("2026-11-20T11:00:00Z"), Some(0)),
        ];
        for (start, complete_to, first_expiry, expected) in table {
            let standing = Standing {
                start: start.map(at),
                complete_to: complete_to.map(at),
                first_expiry: first_expiry.map(at),
                ..Standing::default()
            };
            assert_eq!(standing.edge_hours(week, at(NOW)), expected, "{standing:?}");
        }
    }

    #[test]
    fn days_are_whole_and_go_below_zero_after_the_end() {
        let table = [
            ("2026-12-20T12:00:00Z", 30, false),
            ("2026-12-20T11:59:59Z", 29, true),
            ("2026-11-21T12:00:00Z", 1, true),
            ("2026-11-21T11:00:00Z", 0, true),
            ("2026-11-20T12:00:00Z", 0, true),
            ("2026-11-20T11:59:59Z", -1, true),
            ("2026-11-18T12:00:00Z", -2, true),
        ];
        for (end, days, warned) in table {
            for purpose in [Purpose::Login, Purpose::Devo, Purpose::IssuerForDevo] {
                let certificate = Certificate { purpose, ends_at: at(end) };
                assert_eq!(certificate.days_left(at(NOW)), days, "{end}");
                let warning = certificate.warning(at(NOW));
                assert_eq!(warning.is_some(), warned, "{end}");
                assert!(
                    warning.is_none_or(|text| text.starts_with(purpose.name()) && text.contains(end)),
                    "{end}"
                );
            }
        }
    }

    #[test]
    fn a_matter_is_due_once_a_utc_day_whatever_the_others_are() {
        let mut reminders = Reminders::default();
        let certificate = Certificate { purpose: Purpose::Devo, ends_at: at("2026-11-30T00:00:00Z") };
        let other = Certificate { ends_at: at("2026-12-01T00:00:00Z"), ..certificate };
        let asked = [
            (Matter::Lag, "2026-11-20T00:00:00Z", true),
            (Matter::Lag, "2026-11-20T23:59:59Z", false),
            (Matter::Edge, "2026-11-20T23:59:59Z", true),
            (Matter::Lag, "2026-11-21T00:00:00Z", true),
            (Matter::Certificate(certificate), "2026-11-21T00:00:00Z", true),
            (Matter::Certificate(other), "2026-11-21T00:00:00Z", true),
            (Matter::Certificate(certificate), "2026-11-21T12:00:00Z", false),
        ];
        for (matter, instant, expected) in asked {
            assert_eq!(reminders.is_due(matter, at(instant)), expected, "{matter:?} {instant}");
        }
    }
}
