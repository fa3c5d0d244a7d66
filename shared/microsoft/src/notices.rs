//! What an answer says beside its content: deprecation, partial content, a clock that is wrong.
//!
//! A notice that stays true for months is told once per process, not once per page. Where several providers answer
//! together, one without a licence or a permission is such a notice; one that failed is missing for now, and what is
//! missing is not a notice but a part of the page.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, LINK, WARNING};

use crate::client::Answer;
use crate::complaint::excerpt;

/// A clock that differs by more breaks token life times and windows.
const TOLERATED_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What an answer says beside its content.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Noticed {
    /// What the operator should know, as far as it was not told before.
    pub(crate) warnings: Vec<String>,
    /// What is missing of the content and may come later.
    pub(crate) missing: Option<String>,
}

/// Remembers which notices were told.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    told: Mutex<HashSet<String>>,
}

impl Notices {
    /// What an answer gives reason to say, notices that were told before left out.
    pub(crate) fn of(&self, answer: &Answer, endpoint: &str, now: Timestamp) -> Noticed {
        let deprecated = deprecation(&answer.headers)
            .filter(|_| self.first_time(&format!("deprecation {endpoint}")))
            .map(|words| format!("{endpoint} is announced to end: {words}"));
        let skewed = skew(&answer.headers, now).filter(|_| self.first_time("clock")).map(|seconds| {
            format!("the clock of this machine differs from Microsoft's by {seconds} s; set it")
        });
        let (absent, failed) = absent_providers(answer);
        let partly = format!("{endpoint} answered in part (206):");
        let absent = absent.into_iter().filter(|provider| self.first_time(&format!("{endpoint} {provider}")));
        let absent = absent.map(|provider| {
            format!(
                "{partly} {provider}, and gives no records until the tenant has its licence and the application its \
                 permission"
            )
        });
        Noticed {
            warnings: deprecated.into_iter().chain(skewed).chain(absent).collect(),
            missing: (!failed.is_empty()).then(|| format!("{partly} {}", failed.join(", "))),
        }
    }

    fn first_time(&self, notice: &str) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(notice.to_owned())
    }
}

fn deprecation(headers: &HeaderMap) -> Option<String> {
    let named = ["deprecation", "sunset"]
        .into_iter()
        .flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)))
        .filter_map(|(name, value)| Some(format!("{name} {}", excerpt(value.to_str().ok()?))));
    let links = headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .filter(|value| {
            let plain = value.to_ascii_lowercase().replace(['"', ' '], "");
            plain.contains("rel=deprecation") || plain.contains("rel=sunset")
        })
        .map(|value| format!("link {}", excerpt(value)));
    let words: Vec<String> = named.chain(links).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn skew(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let difference = now.duration_since(timestamp(date)?);
    (difference.abs() > TOLERATED_SKEW).then(|| difference.as_secs())
}

fn timestamp(time: SystemTime) -> Option<Timestamp> {
    Timestamp::try_from(time).ok()
}

/// The providers that are not in an answer: those that never are, and those that failed this time, in words. An answer
/// in part that does not say what is missing counts as a failure.
fn absent_providers(answer: &Answer) -> (Vec<String>, Vec<String>) {
    if answer.status != StatusCode::PARTIAL_CONTENT {
        return (Vec::new(), Vec::new());
    }
    let headers = answer.headers.get_all(WARNING).iter();
    let entries = headers.flat_map(|value| warning_texts(&String::from_utf8_lossy(value.as_bytes())));
    let (mut absent, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        match provider_and_status(&entry) {
            Some((provider, status @ ("401" | "403"))) => {
                absent.push(format!("provider {} refuses with {status}", excerpt(provider)));
            }
            Some((provider, status)) => {
                failed.push(format!("provider {} failed with {}", excerpt(provider), excerpt(status)));
            }
            None => failed.push(format!("a provider failed ({})", excerpt(&entry))),
        }
    }
    if absent.is_empty() && failed.is_empty() {
        failed.push("it does not say which provider failed".to_owned());
    }
    (absent, failed)
}

/// The texts of a Warning header: `code agent "text" "date", code agent "text"`, the date optional. One without quotes is
/// taken for what it is meant to be.
fn warning_texts(header: &str) -> Vec<String> {
    if !header.contains('"') {
        let entries = header.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        return entries.map(|entry| entry.splitn(3, ' ').last().unwrap_or(entry).to_owned()).collect();
    }
    let pieces: Vec<&str> = header.split('"').collect();
    let quoted = pieces.chunks_exact(2).enumerate();
    // A date stands right behind its text.
    let texts = quoted.filter(|(index, pair)| *index == 0 || !pair[0].trim().is_empty());
    texts.map(|(_, pair)| pair[1].to_owned()).collect()
}

/// The parts of `Vendor/Provider/Status/LatencyMs` that matter.
fn provider_and_status(entry: &str) -> Option<(&str, &str)> {
    let mut parts = entry.rsplit('/').map(str::trim);
    let (_latency, status, provider) = (parts.next()?, parts.next()?, parts.next()?);
    let _vendor = parts.next()?;
    (!provider.is_empty() && !status.is_empty()).then_some((provider, status))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> Answer {
        let pairs = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: pairs.fold(HeaderMap::new(), |mut all, (name, value)| {
                all.append(name, value);
                all
            }),
            body: Bytes::new(),
        }
    }

    fn now() -> Timestamp {
        "2026-11-20T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_deprecation_is_told_once_per_endpoint() {
        let table: [&[(&'static str, &'static str)]; 4] = [
            &[("deprecation", "@1735689599")],
            &[("sunset", "Sat, 31 Dec 2026 23:59:59 GMT")],
            &[("link", r#"<https://developer.example/x>; rel="deprecation"; type="text/html""#)],
            &[("link", "<https://developer.example/x>;rel=sunset")],
        ];
        for headers in table {
            let notices = Notices::default();
            let count = |endpoint| notices.of(&answer(200, headers), endpoint, now()).warnings.len();
            assert_eq!((count("a"), count("a"), count("b")), (1, 0, 1), "{headers:?}");
        }
        let next = [("link", r#"<https://x.example>; rel="next""#)];
        assert_eq!(Notices::default().of(&answer(200, &next), "a", now()), Noticed::default());
    }

    #[test]
    fn a_clock_that_is_minutes_off_is_told_once() {
        let notices = Notices::default();
        let near = answer(200, &[("date", "Fri, 20 Nov 2026 10:04:59 GMT")]);
        let far = answer(200, &[("date", "Fri, 20 Nov 2026 10:05:01 GMT")]);
        assert_eq!(notices.of(&near, "a", now()), Noticed::default());
        let told = notices.of(&far, "a", now()).warnings;
        assert!(told[0].contains("-301 s"), "{told:?}");
        assert_eq!(notices.of(&far, "b", now()), Noticed::default());
    }

    #[test]
    fn a_provider_that_failed_is_missing_every_time_and_no_warning() {
        let table: [(&[&'static str], &str); 9] = [
            (&[r#"199 - "Microsoft/WDATP/504/10004""#], "provider WDATP failed with 504"),
            (&[r#"199 - "Microsoft/Azure Sentinel/429/2""#], "provider Azure Sentinel failed with 429"),
            (
                &[r#"199 - "Microsoft/WDATP/500/1", 199 - "Microsoft/MCAS/timeout/10""#],
                "provider WDATP failed with 500, provider MCAS failed with timeout",
            ),
            (
                &[r#"199 - "Microsoft/WDATP/500/1""#, r#"199 - "Microsoft/MCAS/503/10""#],
                "provider WDATP failed with 500, provider MCAS failed with 503",
            ),
            (
                &[r#"199 - "Microsoft/WDATP/504/1" "Fri, 20 Nov 2026 10:00:00 GMT""#],
                "provider WDATP failed with 504",
            ),
            (&["199 - Microsoft/Azure Sentinel/504/1"], "provider Azure Sentinel failed with 504"),
            (&[r#"199 - "out of order""#], "a provider failed (out of order)"),
            (&[], "it does not say which provider failed"),
            (&[""], "it does not say which provider failed"),
        ];
        let notices = Notices::default();
        for (values, words) in table {
            let headers: Vec<_> = values.iter().map(|value| ("warning", *value)).collect();
            let expected =
                Noticed { missing: Some(format!("a answered in part (206): {words}")), ..Noticed::default() };
            for _ in 0..2 {
                assert_eq!(notices.of(&answer(206, &headers), "a", now()), expected, "{values:?}");
            }
        }
        let whole = answer(200, &[("warning", r#"199 - "Microsoft/WDATP/504/1""#)]);
        assert_eq!(
            notices.of(&whole, "a", now()),
            Noticed::default(),
            "nothing is missing of a whole answer"
        );
    }

    #[test]
    fn a_provider_without_a_licence_is_told_once_and_not_missing() {
        let notices = Notices::default();
        for status in ["401", "403"] {
            let header: &'static str = format!(r#"199 - "Microsoft/WDATP/{status}/228""#).leak();
            let unlicensed = answer(206, &[("warning", header)]);
            let noticed = notices.of(&unlicensed, "a", now());
            let begin =
                format!("a answered in part (206): provider WDATP refuses with {status}, and gives no");
            assert!(
                noticed.warnings.len() == 1 && noticed.warnings[0].starts_with(&begin),
                "{:?}",
                noticed.warnings
            );
            assert_eq!(noticed.missing, None);
            assert_eq!(notices.of(&unlicensed, "a", now()), Noticed::default());
        }
    }

    #[test]
    fn beside_a_provider_without_a_licence_a_failed_one_is_missing() {
        let both =
            [("warning", r#"199 - "Microsoft/WDATP/403/228", 199 - "Microsoft/Office 365/504/10000""#)];
        let noticed = Notices::default().of(&answer(206, &both), "a", now());
        assert_eq!(noticed.warnings.len(), 1);
        assert_eq!(
            noticed.missing.as_deref(),
            Some("a answered in part (206): provider Office 365 failed with 504")
        );
    }
}
