//! What an answer says beside its content: deprecation, partial content, a clock that is wrong.
//!
//! A notice that stays true for months is told once per process, not once per page.

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

/// Remembers which notices were told.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    told: Mutex<HashSet<String>>,
}

impl Notices {
    /// The warnings that an answer gives reason for, those told before left out.
    pub(crate) fn of(&self, answer: &Answer, endpoint: &str, now: Timestamp) -> Vec<String> {
        let deprecated = deprecation(&answer.headers)
            .filter(|_| self.first_time(&format!("deprecation {endpoint}")))
            .map(|words| format!("{endpoint} is announced to end: {words}"));
        let skewed = skew(&answer.headers, now).filter(|_| self.first_time("clock")).map(|seconds| {
            format!("the clock of this machine differs from Microsoft's by {seconds} s; set it")
        });
        deprecated.into_iter().chain(skewed).chain(partial(answer, endpoint)).collect()
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

fn partial(answer: &Answer, endpoint: &str) -> Option<String> {
    if answer.status != StatusCode::PARTIAL_CONTENT {
        return None;
    }
    let words: Vec<String> =
        answer.headers.get_all(WARNING).iter().filter_map(|value| value.to_str().ok()).map(excerpt).collect();
    Some(format!("{endpoint} answered in part (206): {}", words.join(", ")))
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
        Answer { status: StatusCode::from_u16(status).unwrap(), headers: pairs.collect(), body: Bytes::new() }
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
            assert_eq!(notices.of(&answer(200, headers), "a", now()).len(), 1, "{headers:?}");
            assert_eq!(notices.of(&answer(200, headers), "a", now()).len(), 0, "{headers:?}");
            assert_eq!(notices.of(&answer(200, headers), "b", now()).len(), 1, "{headers:?}");
        }
        let next = [("link", r#"<https://x.example>; rel="next""#)];
        assert!(Notices::default().of(&answer(200, &next), "a", now()).is_empty());
    }

    #[test]
    fn a_clock_that_is_minutes_off_is_told_once() {
        let notices = Notices::default();
        let near = answer(200, &[("date", "Fri, 20 Nov 2026 10:04:59 GMT")]);
        let far = answer(200, &[("date", "Fri, 20 Nov 2026 10:05:01 GMT")]);
        assert!(notices.of(&near, "a", now()).is_empty());
        let told = notices.of(&far, "a", now());
        assert!(told[0].contains("-301 s"), "{told:?}");
        assert!(notices.of(&far, "b", now()).is_empty());
    }

    #[test]
    fn a_partial_answer_is_told_every_time_with_its_warning() {
        let notices = Notices::default();
        let partial = answer(206, &[("warning", r#"199 - "Microsoft/WDATP/401/228""#)]);
        for _ in 0..2 {
            let told = notices.of(&partial, "a", now());
            assert_eq!(told, [r#"a answered in part (206): 199 - "Microsoft/WDATP/401/228""#]);
        }
    }
}
