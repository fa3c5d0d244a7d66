//! The gate before all requests of an invocation: after an answer that asks for patience, nobody sends for a while.
//!
//! Several requests are under way at once, and each one sent into a throttled API prolongs the throttling. So the first
//! such answer closes the gate for all; those that were under way with it change nothing more. When the wait is over,
//! one request goes out to probe, and the others wait for its answer: it opens the gate, or closes it for longer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use collector::ports::Clock;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::retry::{after, jittered_upwards};
use crate::tuning::Tuning;

/// The gate of one invocation.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// `None` while it is open.
    closed: Option<Closed>,
    /// Answers in a row that asked for patience, those to requests that were under way together counted once.
    in_a_row: u32,
    /// Counts the closings: tells an answer to a request that was sent before the last one.
    closings: u64,
}

#[derive(Debug)]
struct Closed {
    until: Instant,
    /// The same instant by the clock that deadlines are told by.
    until_in_utc: Timestamp,
    is_probed: bool,
}

/// The right to send one request. Whoever has it tells what the answer was; dropped without that, for example because
/// the connection broke, it tells nothing, and somebody else may probe.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    gate: &'a Gate,
    closings: u64,
    is_probe: bool,
}

/// The API asked for patience too often in a row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

enum Step {
    Go { is_probe: bool, closings: u64 },
    WaitUntil(Instant, Timestamp),
    WaitForProbe,
}

impl Gate {
    /// Forgets how often patience was asked for, but not for how long: what begins now has its own repeats.
    pub(crate) fn begin(&self) {
        self.state().in_a_row = 0;
    }

    /// Waits until a request may be sent. Fails with the instant of the next request when that is not before the
    /// deadline.
    pub(crate) async fn pass(&self, deadline: Timestamp) -> Result<Permit<'_>, Timestamp> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Registered before the state is looked at: a change in between is not missed.
            changed.as_mut().enable();
            match self.step() {
                Step::Go { is_probe, closings } => return Ok(Permit { gate: self, closings, is_probe }),
                Step::WaitUntil(_, until) if until >= deadline => return Err(until),
                Step::WaitUntil(instant, _) => tokio::time::sleep_until(instant).await,
                Step::WaitForProbe => changed.await,
            }
        }
    }

    /// Until when nobody sends; `None` when somebody may.
    pub(crate) fn closed_until(&self) -> Option<Timestamp> {
        let state = self.state();
        let closed = state.closed.as_ref().filter(|closed| Instant::now() < closed.until);
        closed.map(|closed| closed.until_in_utc)
    }

    fn step(&self) -> Step {
        let mut state = self.state();
        let closings = state.closings;
        match &mut state.closed {
            None => Step::Go { is_probe: false, closings },
            Some(closed) if Instant::now() < closed.until => {
                Step::WaitUntil(closed.until, closed.until_in_utc)
            }
            Some(closed) if closed.is_probed => Step::WaitForProbe,
            Some(closed) => {
                closed.is_probed = true;
                Step::Go { is_probe: true, closings }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// False when the gate was closed since: whoever has not sent yet passes it again.
    pub(crate) fn is_current(&self) -> bool {
        self.gate.state().closings == self.closings
    }

    /// The answer, whatever it was, did not ask for patience.
    pub(crate) fn answered(self) {
        let mut state = self.gate.state();
        // Those under way when the gate closed say nothing about the time after.
        if self.closings == state.closings {
            state.closed = None;
            state.in_a_row = 0;
        }
    }

    /// The answer asked for patience, for as long as `wish` says. Closes the gate, unless it was closed since the
    /// request was sent.
    pub(crate) fn throttled(
        self,
        wish: Option<Duration>,
        tuning: &Tuning,
        clock: &dyn Clock,
    ) -> Result<(), Exhausted> {
        let mut state = self.gate.state();
        let now = Instant::now();
        if self.closings != state.closings {
            if let (Some(wish), Some(closed)) = (wish, &mut state.closed)
                && now + wish > closed.until
            {
                closed.until = now + wish;
                closed.until_in_utc = after(clock.now(), wish);
            }
            return Ok(());
        }
        let wait = patience(wish, state.in_a_row, tuning);
        let is_exhausted = state.in_a_row >= tuning.retries;
        state.in_a_row += 1;
        state.closings += 1;
        state.closed =
            Some(Closed { until: now + wait, until_in_utc: after(clock.now(), wait), is_probed: false });
        if is_exhausted { Err(Exhausted) } else { Ok(()) }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            let mut state = self.gate.state();
            let closings = state.closings;
            if let Some(closed) = &mut state.closed
                && closings == self.closings
            {
                closed.is_probed = false;
            }
        }
        self.gate.changed.notify_waiters();
    }
}

/// How long nobody sends after `before` other such answers in a row. The API's own wish is believed once; if it refuses
/// again after that, the usual wait is the least.
fn patience(wish: Option<Duration>, before: u32, tuning: &Tuning) -> Duration {
    let own = || {
        let doubled = 2_u32.checked_pow(before).and_then(|factor| tuning.throttle_base.checked_mul(factor));
        jittered_upwards(doubled.map_or(tuning.retry_cap, |wait| wait.min(tuning.retry_cap)))
    };
    match wish {
        Some(wish) if before == 0 => wish,
        Some(wish) => wish.max(own()),
        None => own(),
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
