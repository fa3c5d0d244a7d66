//! The collecting side of the demo: each service is invoked again and again until it has seen the end.

use std::time::{Duration, Instant};

use collector::event::Request;
use collector::report::{Report, Status};
use futures::future::join_all;
use local_host::runner::ServiceRunner;
use local_host::stop::Stop;
use tokio::sync::watch;

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

/// Collects all services side by side until each has read everything, or the process shall stop.
pub async fn all(
    runners: Vec<ServiceRunner>,
    emission_ended: &watch::Receiver<bool>,
    stop: &Stop,
) -> Vec<Tally> {
    join_all(runners.into_iter().map(|runner| one(runner, emission_ended, stop))).await
}

async fn one(mut runner: ServiceRunner, emission_ended: &watch::Receiver<bool>, stop: &Stop) -> Tally {
    let mut tally = Tally { service: runner.settings().service.function, ..Tally::default() };
    let started = Instant::now();
    while !stop.is_asked() && started.elapsed() < LIMIT {
        let saw_the_end = *emission_ended.borrow();
        let request = Request { force: true, ..Request::default() };
        let outcome = runner.invoke(request, &|_| {}).await;
        tally.add(&outcome.report);
        match (&outcome.failure, outcome.report.status) {
            (Some(failure), _) => tally.failures.push(failure.to_string()),
            (None, Status::UpToDate) if saw_the_end => break,
            (None, Status::More) => continue,
            (None, _) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
    tally
}

impl Tally {
    fn add(&mut self, report: &Report) {
        self.received += report.received;
        self.duplicates += report.duplicates;
        self.requests += report.requests;
        self.invocations += 1;
    }
}
