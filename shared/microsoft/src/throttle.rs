//! Paces the requests of one service: a first burst, then evenly spread.
//!
//! Microsoft counts requests by application and tenant; going over the limit costs more time than waiting does, and
//! every refused request counts too. So each request to the API, repeats included, takes one cell here first. Logins
//! go to another service and take none.

use std::num::NonZeroU32;
use std::time::Duration;

use collector::ports::Clock;
use collector::settings::RequestRate;
use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;

use crate::retry::after;

/// The request limit of one service in this process.
pub(crate) struct Throttle {
    limiter: Option<DefaultDirectRateLimiter>,
    ticks: governor::clock::DefaultClock,
}

/// The next request would have to wait until the deadline.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoTimeLeft;

impl Throttle {
    /// At most `rate.requests` at once, refilled evenly over `rate.per`. A span of no length is no limit.
    pub(crate) fn new(rate: RequestRate) -> Self {
        Self {
            limiter: quota(rate).map(RateLimiter::direct),
            ticks: governor::clock::DefaultClock::default(),
        }
    }

    /// Waits for the next request's turn, but never until the deadline.
    pub(crate) async fn turn(&self, clock: &dyn Clock, deadline: Timestamp) -> Result<(), NoTimeLeft> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        while let Err(too_early) = limiter.check() {
            let wait = too_early.wait_time_from(self.ticks.now());
            if after(clock.now(), wait) >= deadline {
                return Err(NoTimeLeft);
            }
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }
}

fn quota(rate: RequestRate) -> Option<Quota> {
    let burst = NonZeroU32::new(rate.requests).unwrap_or(NonZeroU32::MIN);
    let per = Duration::try_from(rate.per).ok()?;
    Some(Quota::with_period(per / burst.get())?.allow_burst(burst))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use jiff::SignedDuration;

    use super::*;

    fn clock() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    #[tokio::test]
    async fn after_the_burst_requests_are_spread_evenly() {
        let throttle = Throttle::new(RequestRate { requests: 4, per: SignedDuration::from_millis(200) });
        let begin = Instant::now();
        for _ in 0..4 {
            throttle.turn(&clock, Timestamp::MAX).await.unwrap();
        }
        for _ in 0..2 {
            throttle.turn(&clock, Timestamp::MAX).await.unwrap();
        }
        // Two cells come back 50 and 100 ms after the burst began.
        assert!(begin.elapsed() >= Duration::from_millis(99), "{:?}", begin.elapsed());
    }

    #[tokio::test]
    async fn a_turn_that_would_come_after_the_deadline_is_refused_at_once() {
        let throttle = Throttle::new(RequestRate { requests: 1, per: SignedDuration::from_hours(1) });
        let deadline = after(clock(), Duration::from_secs(60));
        throttle.turn(&clock, deadline).await.unwrap();
        assert_eq!(throttle.turn(&clock, deadline).await, Err(NoTimeLeft));
    }

    #[tokio::test]
    async fn a_rate_without_a_span_is_no_limit() {
        let throttle = Throttle::new(RequestRate { requests: 1, per: SignedDuration::ZERO });
        for _ in 0..1000 {
            throttle.turn(&clock, Timestamp::MAX).await.unwrap();
        }
    }
}
