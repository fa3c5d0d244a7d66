//! Paces the requests of one service: at most so many in any span of so long.
//!
//! Microsoft counts requests by application and tenant; going over the limit costs more time than waiting does, and
//! every refused request counts too. So each request to the API, repeats included, takes a turn here first. Logins go
//! to another service and take none. The instants of the turns taken are kept for as long as they count, so the limit
//! holds for every span, wherever it begins. What was used is handed over to the next process, which counts all of it as
//! of the last turn: too late, but never too early.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use collector::ports::{Clock, SourceError};
use collector::settings::RequestRate;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::retry::after;

/// Spans shorter than this are over before another process could begin: delivery, commit, lease and login lie between.
/// Seconds may be all that does, where an invocation ends as the next tick comes and finds a new process.
const SHORTEST_HANDED_OVER: Duration = Duration::from_secs(2);

/// A wait for a budget of less than this is no news to the operator.
const SHORTEST_TOLD: Duration = Duration::from_secs(60);

/// Requests do not all take the same time to the server: each span is longer by a hundredth, but by no more than this.
const LONGEST_MARGIN: Duration = Duration::from_millis(25);

/// The request limit of one service in this process.
pub(crate) struct Throttle {
    requests: usize,
    per: Duration,
    /// When the turns were taken that still count, oldest first; no more than `requests`.
    taken: Mutex<VecDeque<Instant>>,
}

/// How much of a budget is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Used {
    /// That many turns …
    pub(crate) turns: usize,
    /// … the last of which was taken then.
    pub(crate) last: Timestamp,
}

/// The next request would have to wait until the deadline or longer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoTurn {
    /// When its turn comes.
    pub(crate) until: Timestamp,
    /// Whether that is worth telling: the budget is one of a minute or longer.
    is_told: bool,
}

impl From<NoTurn> for SourceError {
    fn from(no_turn: NoTurn) -> Self {
        if no_turn.is_told { Self::Throttled { until: no_turn.until } } else { Self::OutOfTime }
    }
}

impl Throttle {
    /// At most `rate.requests` in any span of `rate.per`. A span of no length is no limit.
    pub(crate) fn new(rate: RequestRate) -> Self {
        Self {
            requests: usize::try_from(rate.requests).unwrap_or(usize::MAX).max(1),
            per: Duration::try_from(rate.per).unwrap_or_default(),
            taken: Mutex::default(),
        }
    }

    /// Waits for the next request's turn, but never until the deadline. Gives how many turns of the span are taken then,
    /// this one included.
    pub(crate) async fn turn(&self, clock: &dyn Clock, deadline: Timestamp) -> Result<usize, NoTurn> {
        loop {
            let wait = match self.take() {
                Ok(taken) => return Ok(taken),
                Err(wait) => wait,
            };
            self.within(wait, clock, deadline)?;
            tokio::time::sleep(wait).await;
        }
    }

    /// How much of what the limit allows was used, rounded upwards, in per cent of 100 at the most. A limit whose span is
    /// as long as the period of the pulls is measured by how full it was at its fullest. A shorter one is over before the
    /// next pull, and five quick requests in ten seconds are no shortage: there the requests made count, against all that
    /// the limit would have allowed in one period.
    pub(crate) fn used_percent(&self, fullest: usize, made: u64, period: Duration) -> Option<u64> {
        if self.per.is_zero() {
            return None;
        }
        let limit = self.requests as u128;
        let (used, allowed) = if self.per >= period {
            (fullest as u128, limit)
        } else {
            (u128::from(made) * self.per.as_millis(), limit * period.as_millis())
        };
        let percent = (used * 100).div_ceil(allowed.max(1)).min(100);
        u64::try_from(percent).ok()
    }

    /// Says whether a turn will come before the deadline, without taking it.
    pub(crate) fn foresee(&self, clock: &dyn Clock, deadline: Timestamp) -> Result<(), NoTurn> {
        let wait = self.wait_from(Instant::now(), &mut self.taken());
        wait.map_or(Ok(()), |wait| self.within(wait, clock, deadline))
    }

    /// When the next turn comes, without taking it; `None` when it is now.
    pub(crate) fn waits_until(&self, clock: &dyn Clock) -> Option<Timestamp> {
        self.wait_from(Instant::now(), &mut self.taken()).map(|wait| after(clock.now(), wait))
    }

    /// How much of the budget is used now, when that matters to the next process.
    pub(crate) fn used(&self, now: Timestamp) -> Option<Used> {
        if self.per < SHORTEST_HANDED_OVER {
            return None;
        }
        let instant = Instant::now();
        let mut taken = self.taken();
        self.forget_old(instant, &mut taken);
        let age = instant.saturating_duration_since(*taken.back()?);
        Some(Used { turns: taken.len(), last: before(now, age) })
    }

    /// Counts what another process used, as far as it is not known here: all of it as of its last turn.
    pub(crate) fn remember(&self, used: Used, now: Timestamp) {
        let age = Duration::try_from(now.duration_since(used.last)).unwrap_or_default();
        let instant = Instant::now();
        if self.per < SHORTEST_HANDED_OVER || age >= self.per {
            return;
        }
        let mut taken = self.taken();
        self.forget_old(instant, &mut taken);
        let last = instant.checked_sub(age).unwrap_or(instant);
        // Whoever took the last turn here wrote that down, or took one since: its own account is better.
        if taken.back().is_some_and(|own| *own + Duration::from_secs(1) >= last) {
            return;
        }
        let unknown = used.turns.min(self.requests).saturating_sub(taken.len());
        taken.extend(std::iter::repeat_n(last, unknown));
    }

    /// Takes a turn, or says how long to wait before the next try.
    fn take(&self) -> Result<usize, Duration> {
        let now = Instant::now();
        let mut taken = self.taken();
        if let Some(wait) = self.wait_from(now, &mut taken) {
            return Err(wait);
        }
        if !self.per.is_zero() {
            taken.push_back(now);
        }
        Ok(taken.len())
    }

    fn wait_from(&self, now: Instant, taken: &mut VecDeque<Instant>) -> Option<Duration> {
        self.forget_old(now, taken);
        if self.per.is_zero() || taken.len() < self.requests {
            return None;
        }
        let free_at = *taken.front()? + self.span();
        Some(free_at.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    fn forget_old(&self, now: Instant, taken: &mut VecDeque<Instant>) {
        let span = self.span();
        while taken.front().is_some_and(|oldest| now.saturating_duration_since(*oldest) >= span) {
            taken.pop_front();
        }
    }

    fn within(&self, wait: Duration, clock: &dyn Clock, deadline: Timestamp) -> Result<(), NoTurn> {
        let until = after(clock.now(), wait);
        if until < deadline {
            return Ok(());
        }
        Err(NoTurn { until, is_told: self.per >= SHORTEST_TOLD })
    }

    fn span(&self) -> Duration {
        self.per + LONGEST_MARGIN.min(self.per / 100)
    }

    fn taken(&self) -> MutexGuard<'_, VecDeque<Instant>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    SignedDuration::try_from(age).ok().and_then(|age| now.checked_sub(age).ok()).unwrap_or(now)
}

#[cfg(test)]
#[path = "throttle_tests.rs"]
mod tests;
