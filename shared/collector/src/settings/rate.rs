//! Request limits: what the document says, or what the API publishes, as the one rate of a function.
//!
//! Several limits at once (5 in 10 s, 1,000 a day) become one that keeps all of them in any span: the smallest burst, as
//! often as each of them has room for whole ones. Of a limit that several functions share each has its part of the requests in the same time, so that all
//! of them together keep it in any such span; where there are more functions than requests, one in a longer time.

use jiff::SignedDuration;
use serde_json::Value;

use super::RequestRate;
use super::findings::Findings;
use super::keys::{REQUESTS_LIMITS, REQUESTS_PER_SECOND};
use super::read::{Block, join, kind_of, unknown_key, whole_number};
use crate::service::Rate;

/// The most requests that one limit may name, as in the vendor's schema.
const MOST_REQUESTS: u32 = 9_999_999;

/// The longest period that one limit may name: ten years.
const LONGEST_PERIOD_SECONDS: i64 = 10 * 365 * 86_400;

/// The rate of one function: the service's own limits, else its share of the input's, else its share of the published
/// one. `sharers` is the number of enabled services that draw on the same budget.
pub(super) fn of_function(
    own: Option<RequestRate>,
    of_input: Option<RequestRate>,
    published: Rate,
    sharers: usize,
) -> RequestRate {
    if let Some(rate) = own {
        return rate;
    }
    let published_rate = RequestRate {
        requests: published.requests.max(1),
        per: SignedDuration::from_secs(published.seconds.into()),
    };
    share(of_input.unwrap_or(published_rate), sharers)
}

/// The limits of a block, as one; `None` when it names none (or switches all of them off with -1).
pub(super) fn read(block: &Block<'_>, findings: &mut Findings) -> Option<RequestRate> {
    let mut limits: Vec<RequestRate> = per_second(block, findings).into_iter().collect();
    limits.extend(listed(block, findings));
    combine(&limits)
}

fn share(rate: RequestRate, sharers: usize) -> RequestRate {
    let sharers = u32::try_from(sharers.max(1)).unwrap_or(u32::MAX);
    if sharers <= rate.requests {
        return RequestRate { requests: rate.requests / sharers, ..rate };
    }
    let spans = i32::try_from(sharers.div_ceil(rate.requests.max(1))).unwrap_or(i32::MAX);
    RequestRate { requests: 1, per: rate.per.checked_mul(spans).unwrap_or(rate.per) }
}

fn per_second(block: &Block<'_>, findings: &mut Findings) -> Option<RequestRate> {
    let (path, value) = block.raw(&REQUESTS_PER_SECOND)?;
    if let Some(number) = whole_number(value)
        && let Some(requests) = u32::try_from(number).ok().filter(|n| (1..=MOST_REQUESTS).contains(n))
    {
        return Some(RequestRate { requests, per: SignedDuration::from_secs(1) });
    }
    let fraction = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    let Some(per_second) = fraction else {
        findings.problem(path, format!("expected a number, found {}", kind_of(value)));
        return None;
    };
    // One request a day is the slowest that makes sense; the bound also keeps NaN and infinity out.
    if !(1.0 / 86_400.0..=f64::from(MOST_REQUESTS)).contains(&per_second) {
        findings.problem(path, format!("must be above 0 and at most {MOST_REQUESTS} requests a second"));
        return None;
    }
    let per = SignedDuration::try_from_secs_f64(1.0 / per_second).ok()?;
    Some(RequestRate { requests: 1, per })
}

fn listed(block: &Block<'_>, findings: &mut Findings) -> Vec<RequestRate> {
    let Some((path, value)) = block.raw(&REQUESTS_LIMITS) else {
        return Vec::new();
    };
    let Value::Array(items) = value else {
        findings.problem(path, format!("expected a list, found {}", kind_of(value)));
        return Vec::new();
    };
    let paths = (0..).map(|index: usize| format!("{path}[{index}]"));
    items.iter().zip(paths).filter_map(|(item, item_path)| listed_one(item, &item_path, findings)).collect()
}

fn listed_one(item: &Value, path: &str, findings: &mut Findings) -> Option<RequestRate> {
    let Value::Object(members) = item else {
        findings.problem(path, format!("expected an object, found {}", kind_of(item)));
        return None;
    };
    let known = ["period", "number_of_requests"];
    for key in members.keys().filter(|key| !known.contains(&key.as_str())) {
        findings.problem(join(path, key), unknown_key(key, known));
    }
    let per = members.get("period").and_then(Value::as_str).and_then(parse_period);
    if per.is_none() {
        let text = "expected a number and a unit of s, m, h, d, w, M or y, at most ten years, for example 1m";
        findings.problem(join(path, "period"), text);
    }
    let Some(number) = members.get("number_of_requests").and_then(whole_number) else {
        findings.problem(join(path, "number_of_requests"), "expected a whole number, or -1 for no limit");
        return None;
    };
    if number == -1 {
        return None;
    }
    let Some(requests) = u32::try_from(number).ok().filter(|n| (1..=MOST_REQUESTS).contains(n)) else {
        let text = format!("must be from 1 to {MOST_REQUESTS}, or -1 for no limit, found {number}");
        findings.problem(join(path, "number_of_requests"), text);
        return None;
    };
    Some(RequestRate { requests, per: per? })
}

/// `10s`, `1m`, `1h`, `1d`, `1w`, `1M` (30 days), `1y` (365 days).
fn parse_period(text: &str) -> Option<SignedDuration> {
    let trimmed = text.trim();
    let unit = trimmed.chars().next_back()?;
    let unit_seconds: i64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        'M' => 30 * 86_400,
        'y' => 365 * 86_400,
        _ => return None,
    };
    let count: u32 = trimmed.strip_suffix(unit)?.parse().ok()?;
    let seconds = unit_seconds.checked_mul(count.into())?;
    (1..=LONGEST_PERIOD_SECONDS).contains(&seconds).then(|| SignedDuration::from_secs(seconds))
}

/// A limit that holds in any span of its length lets one burst more pass than a longer span has whole lengths, so an
/// average as slow as the slowest is not enough: 3 in 6 s may be 6 in 10 s.
fn combine(limits: &[RequestRate]) -> Option<RequestRate> {
    let burst = limits.iter().map(|limit| limit.requests).min().filter(|burst| *burst > 0)?;
    let slowest = limits.iter().filter_map(|limit| split(limit.per, limit.requests / burst)).max()?;
    Some(RequestRate { requests: burst, per: slowest })
}

/// One of so many equal parts of a span. Rounded up: as many of them are never shorter than the span.
fn split(span: SignedDuration, parts: u32) -> Option<SignedDuration> {
    let parts = i32::try_from(parts).ok()?;
    let part = span.checked_div(parts)?;
    let is_whole = part.checked_mul(parts) == Some(span);
    if is_whole { Some(part) } else { part.checked_add(SignedDuration::from_nanos(1)) }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn rate(requests: u32, seconds: i64) -> RequestRate {
        RequestRate { requests, per: SignedDuration::from_secs(seconds) }
    }

    #[test]
    fn several_limits_become_one_that_keeps_all_of_them() {
        let cases = [
            (vec![], None),
            (vec![rate(5, 10)], Some(rate(5, 10))),
            (vec![rate(5, 10), rate(1_000, 86_400)], Some(rate(5, 432))),
            (vec![rate(1, 1), rate(100, 10)], Some(rate(1, 1))),
            (vec![rate(5, 10), rate(3, 1)], Some(rate(3, 10))),
            (vec![rate(7, 10), rate(6, 2)], Some(rate(6, 10))),
            (vec![rate(13, 60), rate(5, 10)], Some(rate(5, 30))),
        ];
        for (limits, expected) in cases {
            assert_eq!(combine(&limits), expected, "{limits:?}");
        }
    }

    proptest! {
        #[test]
        fn no_span_of_any_limit_has_more_requests_than_that_limit(
            limits in vec((1_u32..10_000, 1_i64..100_000), 1..4)
        ) {
            let limits: Vec<RequestRate> =
                limits.into_iter().map(|(requests, seconds)| rate(requests, seconds)).collect();
            let combined = combine(&limits).unwrap();
            for limit in &limits {
                // Whoever uses up the burst at the beginning of each span meets so many of them.
                let spans = limit.per.as_nanos().unsigned_abs().div_ceil(combined.per.as_nanos().unsigned_abs());
                let most = u128::from(combined.requests) * spans;
                prop_assert!(most <= limit.requests.into(), "{limits:?}: {combined:?} is {most} in {:?}", limit.per);
            }
        }
    }

    #[test]
    fn a_period_is_a_number_and_a_unit() {
        let cases = [
            ("1s", Some(1)),
            ("10s", Some(10)),
            ("1m", Some(60)),
            ("1h", Some(3_600)),
            ("1d", Some(86_400)),
            ("1w", Some(604_800)),
            ("1M", Some(2_592_000)),
            ("1y", Some(31_536_000)),
            ("0s", None),
            ("s", None),
            ("10", None),
            ("1 s", None),
            ("-1s", None),
            ("11y", None),
            ("1é", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_period(text).map(|period| period.as_secs()), expected, "{text}");
        }
    }

    #[test]
    fn a_shared_limit_is_divided_and_an_own_one_is_not() {
        let published = Rate { requests: 5, seconds: 10, budget: "any" };
        assert_eq!(of_function(None, None, published, 1), rate(5, 10));
        assert_eq!(of_function(None, None, published, 2), rate(2, 10));
        assert_eq!(of_function(None, None, published, 4), rate(1, 10));
        assert_eq!(of_function(None, None, published, 11), rate(1, 30));
        assert_eq!(of_function(None, Some(rate(2, 1)), published, 4), rate(1, 2));
        assert_eq!(of_function(Some(rate(2, 1)), Some(rate(9, 1)), published, 4), rate(2, 1));
    }
}
