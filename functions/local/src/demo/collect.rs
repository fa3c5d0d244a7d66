//! The collecting side of the demo: each service is invoked again and again until it has seen the end.
//!
//! A service with windows is done when one of them reaches past the end of the emission. The service that retries
//! failed content is done when the feeds are and nothing waits in their queues.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use collector::event::Request;
use collector::report::{Report, Status};
use futures::future::join_all;
use jiff::Timestamp;
use local_host::runner::ServiceRunner;
use local_host::status::pending_retries;
use local_host::stop::Stop;
use local_host::store::FileStore;
use tokio::sync::watch;

use super::emission::Ended;
use super::reads::Reads;
use super::world::World;

/// Pause before the next invocation while the tenant still emits, or after it asked for patience.
const PAUSE: Duration = Duration::from_millis(150);

/// The demo gives up after this long: something is broken.
const LIMIT: Duration = Duration::from_secs(300);

/// What the collector says of its own work on one service.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// The function.
    pub service: &'static str,
    /// Records received, those that come again included.
    pub received: u64,
    /// Records dropped because they were delivered before.
    pub duplicates: u64,
    /// Requests to the API.
    pub requests: u64,
    /// Invocations.
    pub invocations: u64,
    /// What failed on the way, in order.
    pub failures: Vec<String>,
}

/// What the services of one demo know of it.
pub struct Surroundings<'a> {
    /// What the services read.
    pub world: &'a World,
    /// When the last record was emitted.
    pub emission_ended: &'a watch::Receiver<Ended>,
    /// Where the queues of failed content are.
    pub state: &'a FileStore,
    /// Ends the demo early.
    pub stop: &'a Stop,
}

/// What was so when an invocation began.
#[derive(Debug, Clone, Copy)]
struct Before {
    emission_ended: Option<Timestamp>,
    services_with_windows: usize,
    /// Whether nothing was left half-way: what changed in a part that was read already is met from the beginning.
    begins_anew: bool,
}

/// Collects all services side by side until each has read everything, or the process shall stop.
pub async fn all(runners: Vec<ServiceRunner>, surroundings: &Surroundings<'_>) -> Vec<Tally> {
    let with_windows = AtomicUsize::new(runners.iter().filter(|runner| has_windows(runner)).count());
    join_all(runners.into_iter().map(|runner| one(runner, surroundings, &with_windows))).await
}

/// Collects one service. `with_windows` counts the services with windows that are still at it.
async fn one(
    mut runner: ServiceRunner,
    surroundings: &Surroundings<'_>,
    with_windows: &AtomicUsize,
) -> Tally {
    let mut tally = Tally { service: runner.settings().service.function, ..Tally::default() };
    let service = runner.settings().service;
    let reads = surroundings.world.services.iter().find(|(its, _)| std::ptr::eq(*its, service));
    let reads = reads.map_or(Reads::Queue, |(_, reads)| *reads);
    let started = Instant::now();
    let mut begins_anew = true;
    while !surroundings.stop.is_asked() && started.elapsed() < LIMIT {
        let before = Before {
            emission_ended: surroundings.emission_ended.borrow().of(reads),
            services_with_windows: with_windows.load(Ordering::SeqCst),
            begins_anew,
        };
        let invoked = Instant::now();
        let request = Request { force: true, ..Request::default() };
        let outcome = runner.invoke(request, &|_| {}).await;
        tally.add(&outcome.report);
        begins_anew = outcome.failure.is_none() && outcome.report.status == Status::UpToDate;
        match (&outcome.failure, outcome.report.status) {
            (Some(failure), _) => tally.failures.push(failure.to_string()),
            (None, Status::UpToDate) => {
                match has_seen_the_end(&runner, &outcome.report, before, surroundings.state).await {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(unreadable) => tally.failures.push(unreadable),
                }
            }
            (None, Status::More) => continue,
            (None, _) => {}
        }
        // Who reads much again each time leaves the processor to the others for as long.
        tokio::time::sleep(PAUSE.max(invoked.elapsed())).await;
    }
    if has_windows(&runner) {
        with_windows.fetch_sub(1, Ordering::SeqCst);
    }
    tally
}

/// Whether nothing is left after an invocation that ended up to date.
async fn has_seen_the_end(
    runner: &ServiceRunner,
    report: &Report,
    before: Before,
    state: &FileStore,
) -> Result<bool, String> {
    let Some(emission_ended) = before.emission_ended else { return Ok(false) };
    if has_windows(runner) {
        // A window that was left half-way ends before what was emitted since.
        let reaches_the_end = report.window.is_some_and(|window| window.to >= emission_ended);
        return Ok(before.begins_anew && reaches_the_end);
    }
    if before.services_with_windows > 0 {
        return Ok(false);
    }
    let pending = pending_retries(Some(state), runner.settings()).await;
    pending.map(|pending| pending == 0).map_err(|error| error.to_string())
}

fn has_windows(runner: &ServiceRunner) -> bool {
    !runner.settings().service.query.has_no_listing()
}

impl Tally {
    fn add(&mut self, report: &Report) {
        self.received += report.received;
        self.duplicates += report.duplicates;
        self.requests += report.requests;
        self.invocations += 1;
    }
}
