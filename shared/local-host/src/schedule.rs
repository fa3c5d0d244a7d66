//! All services in one process, each on its own period.
//!
//! A service has one task and so never runs twice at once; a semaphore bounds how many run side by side. What a turn
//! ended with decides when the next one is: at once while there is more, after the period when all is read, sooner
//! after a failure. The run loop itself knows what is due, so a turn that comes too early costs one look at the state.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use collector::report::Status;
use collector::run::Outcome;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::stop::Stop;

/// How long running turns may take to end themselves once the process shall stop. They end after the page at hand, so
/// this is only for a receiver that does not answer; what is cut off is repeated, not lost.
const GRACE: Duration = Duration::from_secs(30);

/// How soon a service that must wait for the API or another process looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// How soon a service that ran before a restart of this process looks again: the tick of the timer on AWS.
const TICK: Duration = Duration::from_secs(60);

/// First pause after a failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// Longest pause after a failure, unless the period is shorter.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// One service on the schedule.
pub trait Turn: Send + 'static {
    /// Time between the starts of two turns.
    fn period(&self) -> Duration;

    /// Time from the start of the process to the first turn.
    fn head_start_of_others(&self) -> Duration {
        Duration::ZERO
    }

    /// Plays one invocation to its end. It ends early, and cleanly, once the process shall stop.
    fn play(&mut self) -> impl Future<Output = Outcome> + Send;
}

/// Plays the services until asked to stop, at most `side_by_side` of them at once. Returns when no turn runs any more.
pub async fn run<T: Turn>(services: Vec<T>, side_by_side: usize, mut stop: Stop) {
    let slots = Arc::new(Semaphore::new(side_by_side));
    let mut tasks = JoinSet::new();
    for service in services {
        tasks.spawn(keep_playing(service, Arc::clone(&slots), stop.clone()));
    }
    tokio::select! {
        () = stop.asked() => {}
        () = drain(&mut tasks) => return,
    }
    if tokio::time::timeout(GRACE, drain(&mut tasks)).await.is_err() {
        tracing::warn!(
            running = tasks.len(),
            "pulls that did not end in time were cut off; their last batch comes again"
        );
        tasks.shutdown().await;
    }
}

async fn drain(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(lost) = ended {
            tracing::error!("a service's task ended early: {lost}");
        }
    }
}

async fn keep_playing<T: Turn>(mut service: T, slots: Arc<Semaphore>, mut stop: Stop) {
    let mut failures = 0;
    tokio::select! {
        biased;
        () = stop.asked() => return,
        () = tokio::time::sleep(service.head_start_of_others()) => {}
    }
    loop {
        let slot = tokio::select! {
            biased;
            () = stop.asked() => return,
            slot = slots.acquire() => slot,
        };
        let Ok(slot) = slot else { return };
        let started = Instant::now();
        let outcome = service.play().await;
        drop(slot);
        failures = if outcome.failure.is_some() { failures + 1 } else { 0 };
        let Some(pause) = pause_after(&outcome, service.period(), failures) else { return };
        tokio::select! {
            biased;
            () = stop.asked() => return,
            () = tokio::time::sleep_until(started + pause) => {}
        }
    }
}

/// Time from the start of a turn to the start of the next one; `None` when there is no next one. `failures` counts
/// the failed turns in a row, this one included.
fn pause_after(outcome: &Outcome, period: Duration, failures: u32) -> Option<Duration> {
    if outcome.failure.is_some() {
        let doublings = failures.saturating_sub(1).min(16);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings);
        return Some(pause.min(LONGEST_PAUSE).min(period));
    }
    match outcome.report.status {
        Status::More => Some(Duration::ZERO),
        Status::UpToDate | Status::Retired | Status::DryRun => Some(period),
        Status::Throttled | Status::Locked => Some(period.min(LOOK_AGAIN)),
        Status::NotDue => Some(period.min(TICK)),
        Status::Disabled => None,
    }
}

#[cfg(test)]
mod tests;
