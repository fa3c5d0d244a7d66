//! When a request is made again, and after which wait.
//!
//! A wait is the API's own wish (Retry-After) or exponential with jitter. A wait that would reach the deadline is not
//! begun: its end becomes the earliest instant of the next request instead.

use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::tuning::Tuning;

/// A wish beyond this is taken for a fault of the API: no header may silence a service for longer.
pub(crate) const LONGEST_WISH: Duration = Duration::from_secs(24 * 60 * 60);

/// The repeats of one request.
#[derive(Debug)]
pub(crate) struct Retries<'a> {
    tuning: &'a Tuning,
    used: u32,
}

/// What to do after a failure that may pass.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// Make the request again after this wait.
    Wait(Duration),
    /// The wait would end at or after the deadline, at this instant.
    PastDeadline(Timestamp),
    /// It was made often enough.
    Exhausted,
}

impl<'a> Retries<'a> {
    /// No repeat used yet.
    pub(crate) fn new(tuning: &'a Tuning) -> Self {
        Self { tuning, used: 0 }
    }

    /// Counts a repeat whose wait is somebody else's matter; false when none is left.
    pub(crate) fn count(&mut self) -> bool {
        if self.used >= self.tuning.retries {
            return false;
        }
        self.used += 1;
        true
    }

    /// Decides about the next repeat and counts it. `wish` is the API's Retry-After.
    pub(crate) fn next(&mut self, wish: Option<Duration>, now: Timestamp, deadline: Timestamp) -> Next {
        if self.used >= self.tuning.retries {
            return Next::Exhausted;
        }
        let wait = wish.unwrap_or_else(|| jittered(self.backoff(), random_u32()));
        let until = after(now, wait);
        if until >= deadline {
            return Next::PastDeadline(until);
        }
        self.used += 1;
        Next::Wait(wait)
    }

    fn backoff(&self) -> Duration {
        let doubled =
            2_u32.checked_pow(self.used).and_then(|factor| self.tuning.retry_base.checked_mul(factor));
        doubled.map_or(self.tuning.retry_cap, |wait| wait.min(self.tuning.retry_cap))
    }
}

/// The instant that lies `wait` after `now`.
pub(crate) fn after(now: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|span| now.checked_add(span).ok()).unwrap_or(Timestamp::MAX)
}

/// The time from `now` to `deadline`; `None` when it is over.
pub(crate) fn time_left(now: Timestamp, deadline: Timestamp) -> Option<Duration> {
    let left = Duration::try_from(deadline.duration_since(now)).ok()?;
    (!left.is_zero()).then_some(left)
}

/// The wait that the API asks for, in seconds or as an HTTP date. No wait at all counts as no wish.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wish = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::from(now)).ok()?,
    };
    (!wish.is_zero()).then_some(wish.min(LONGEST_WISH))
}

/// Between half of the wait and all of it, so that functions that failed together do not come back together.
fn jittered(wait: Duration, random: u32) -> Duration {
    wait.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}

/// Between the wait and a quarter more.
pub(crate) fn jittered_upwards(wait: Duration) -> Duration {
    wait.mul_f64(1.0 + 0.25 * f64::from(random_u32()) / f64::from(u32::MAX))
}

fn random_u32() -> u32 {
    // Without a source of randomness the wait is the longest one, which is as good.
    getrandom::u32().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-20T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let table = [
            ("5", Some(5)),
            (" 41 ", Some(41)),
            ("0", None),
            ("99999999999", Some(86_400)),
            ("Fri, 20 Nov 2026 10:00:07 GMT", Some(7)),
            ("Fri, 20 Nov 2026 09:59:00 GMT", None),
            ("soon", None),
            ("-3", None),
        ];
        for (value, seconds) in table {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            assert_eq!(retry_after(&headers, now()), seconds.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now()), None);
    }

    #[test]
    fn waits_double_up_to_the_cap_and_end_after_the_last_repeat() {
        let tuning = Tuning { retries: 7, ..Tuning::default() };
        let mut retries = Retries::new(&tuning);
        for longest in [1, 2, 4, 8, 16, 30, 30] {
            let Next::Wait(wait) = retries.next(None, now(), Timestamp::MAX) else {
                panic!("a repeat was left");
            };
            let longest = Duration::from_secs(longest);
            assert!(wait <= longest && wait >= longest / 2, "{wait:?} of {longest:?}");
        }
        assert_eq!(retries.next(None, now(), Timestamp::MAX), Next::Exhausted);
    }

    #[test]
    fn a_wait_that_would_reach_the_deadline_is_not_begun() {
        let tuning = Tuning::default();
        let deadline = after(now(), Duration::from_secs(10));
        let mut retries = Retries::new(&tuning);
        let nine = Duration::from_secs(9);
        assert_eq!(retries.next(Some(nine), now(), deadline), Next::Wait(nine));
        assert_eq!(
            retries.next(Some(Duration::from_secs(10)), now(), deadline),
            Next::PastDeadline(deadline)
        );
    }

    proptest! {
        #[test]
        fn jitter_stays_between_half_of_the_wait_and_all_of_it(millis in 0_u64..100_000, random: u32) {
            let wait = Duration::from_millis(millis);
            let jittered = jittered(wait, random);
            prop_assert!(jittered <= wait && jittered + Duration::from_nanos(2) >= wait / 2);
        }
    }
}
