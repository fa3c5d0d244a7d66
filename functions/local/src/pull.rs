//! `collector pull`: one service now, to its outputs or to be looked at.
//!
//! What is only looked at has a state of its own, thrown away at the end, so that the live position cannot move.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use collector::error::{Error, ErrorType, code};
use collector::event::Request;
use collector::report::{Report, Status};
use collector::service::{Family, Service};
use collector::settings::Settings;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use local_host::check::NO_TURN;
use local_host::config::{self, Configuration};
use local_host::outputs::Outputs;
use local_host::runner::{Host, ServiceRunner, require_outputs, resolve};
use local_host::stop::Stop;
use local_host::store::FileStore;
use local_host::{log, stop};
use serde_json::json;

use crate::cli::PullArgs;
use crate::outcome::{Ending, fail, warn};
use crate::{identity, locate};

/// What is said after Ctrl-C.
const STOPPED: &str = "stopped; pull again to go on";

/// A longer wait ends a pull: the published limits let the next request through within this.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// A wait for an instant ends a little behind it.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// Pulls until the window is complete.
pub async fn pull(arguments: &PullArgs, families: &[&'static Family]) -> Ending {
    log::start("error");
    let stop = stop::on_signals();
    let mut prepared = match prepare(arguments, families, stop.clone()) {
        Ok(prepared) => prepared,
        Err(error) => return fail(&error),
    };
    let bar = ProgressBar::new_spinner().with_style(style());
    let ending = pull_to_the_end(&mut prepared, &bar, &stop).await;
    bar.finish_and_clear();
    ending
}

/// A service that is ready to be pulled. The scratch state lives as long as this does.
struct Prepared {
    runner: ServiceRunner,
    request: Request,
    /// Folder of a state that is thrown away; `None` when the live state is used.
    _scratch: Option<tempfile::TempDir>,
}

fn prepare(arguments: &PullArgs, families: &[&'static Family], stop: Stop) -> Result<Prepared, Error> {
    let configuration = config::load(&locate(&arguments.config))?;
    let service = find(&arguments.service, families)?;
    let request = request(arguments)?;
    if arguments.output != "devo" && service.query.has_no_listing() {
        return Err(usage(&format!(
            "{} works off what waits in the live state, which --output {} leaves alone; pull it with --output devo",
            arguments.service, arguments.output
        )));
    }
    let services = resolve(&configuration, families)?;
    warn(&services.warnings);
    let settings =
        services.enabled.into_iter().find(|settings| std::ptr::eq(settings.service, service)).ok_or_else(
            || usage(&format!("{} is not enabled in {}", arguments.service, configuration.path.display())),
        )?;
    let runner = |settings, outputs, state| {
        let identity = identity(&configuration.name);
        ServiceRunner::new(settings, outputs, &Host { state, stop, identity })
    };
    if arguments.output == "devo" {
        require_outputs(&configuration)?;
        let outputs = Outputs::open(&configuration.outputs, service.function)?;
        let runner = runner(settings, outputs, FileStore::open(&configuration.state_file)?)?;
        return Ok(Prepared { runner, request, _scratch: None });
    }
    let outputs = match arguments.output.as_str() {
        "stdout" => Outputs::records_to_writer(Arc::new(Mutex::new(std::io::stdout()))),
        file => Outputs::records_to_file(Path::new(file)),
    };
    let (scratch, state) = scratch_state(&configuration)?;
    // The configured start may lie months back; who wants that names it with --from.
    let runner = runner(Settings { start_time: None, ..settings }, outputs, state)?.only_looking();
    Ok(Prepared { runner, request, _scratch: Some(scratch) })
}

fn request(arguments: &PullArgs) -> Result<Request, Error> {
    let event = match (&arguments.from, &arguments.to) {
        (Some(from), Some(to)) => json!({"backfill": {"start_time_in_utc": from, "end_time_in_utc": to}}),
        _ => json!({"force": true}),
    };
    Request::parse(&event, Timestamp::now())
}

/// Finds `INPUT.SERVICE`, in any spelling that a document may have, or the function's name.
fn find(name: &str, families: &[&'static Family]) -> Result<&'static Service, Error> {
    let (input, service_name) = name.split_once('.').unwrap_or(("", name));
    for family in families {
        let is_input = family.input == input || family.aliases.contains(&input);
        for service in family.services {
            let is_service = service.name == service_name || service.aliases.contains(&service_name);
            if (is_input && is_service) || service.function == name {
                return Ok(service);
            }
        }
    }
    let known: Vec<_> = families
        .iter()
        .flat_map(|family| family.services)
        .map(|service| format!("{}.{}", service.input, service.name))
        .collect();
    Err(usage(&format!("there is no service {name}; known are {}", known.join(", "))))
}

fn scratch_state(configuration: &Configuration) -> Result<(tempfile::TempDir, FileStore), Error> {
    let folder = tempfile::tempdir().map_err(|cause| {
        let message = format!("no temporary folder can be made for a scratch state: {cause}");
        Error::new(ErrorType::StateError, code::STATE, message)
    })?;
    let name = configuration.state_file.file_name().unwrap_or_default();
    let state = FileStore::open(&folder.path().join(name))?;
    Ok((folder, state))
}

fn usage(message: &str) -> Error {
    Error::new(ErrorType::InitVariablesError, code::SETTINGS, message)
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {elapsed} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// Invokes until there is no more, and shows each answer on standard error: standard output may carry the records.
async fn pull_to_the_end(prepared: &mut Prepared, bar: &ProgressBar, stop: &Stop) -> Ending {
    let progress = |report: &Report| {
        bar.set_message(format!(
            "{} requests, {} received, {} delivered, {} dropped",
            report.requests, report.received, report.delivered, report.duplicates
        ));
        bar.tick();
    };
    loop {
        let outcome = prepared.runner.invoke(prepared.request.clone(), &progress).await;
        let answer = serde_json::to_string(&outcome.report).unwrap_or_default();
        bar.suspend(|| anstream::eprintln!("{answer}"));
        if let Some(failure) = &outcome.failure {
            return fail(failure);
        }
        let obstacle = match outcome.report.status {
            Status::More if stop.is_asked() => STOPPED.to_owned(),
            Status::More => continue,
            Status::UpToDate | Status::DryRun => return Ending::Good,
            Status::Locked => {
                "another process pulls this service now; a window that was named is left to it".to_owned()
            }
            Status::Throttled => match Patience::of(&outcome.report, Timestamp::now()) {
                Patience::Wait { wait, why } => {
                    bar.suspend(|| anstream::eprintln!("{why}; waiting"));
                    match wait_out(wait, stop.clone()).await {
                        Waited::ToTheEnd => continue,
                        Waited::Stopped => STOPPED.to_owned(),
                    }
                }
                Patience::End { why } => format!("{why}; pull again then"),
            },
            Status::Retired => "this API was retired; see the warnings above".to_owned(),
            Status::NotDue | Status::Disabled => "there was nothing to do".to_owned(),
        };
        warn(&[obstacle]);
        return Ending::Problems;
    }
}

/// What a pull does while no request may be sent.
#[derive(Debug, PartialEq, Eq)]
enum Patience {
    /// It goes on by itself: limits of requests are those of a minute or two.
    Wait { wait: Duration, why: String },
    /// It is over: the API may ask for hours.
    End { why: String },
}

/// How a wait ended.
#[derive(Debug, PartialEq, Eq)]
enum Waited {
    ToTheEnd,
    Stopped,
}

impl Patience {
    /// What an answer with the status `throttled` means at `now`. Only answers of the API that asked for patience are
    /// counted as such: everything else is the collector's own restraint.
    fn of(report: &Report, now: Timestamp) -> Self {
        let until = report.no_request_before.unwrap_or(now);
        if report.throttled > 0 {
            return Self::End { why: format!("the API asks for patience: no request before {until:.0}") };
        }
        let why = format!("no request before {until:.0}: {NO_TURN}");
        match Duration::try_from(until.duration_since(now)) {
            Ok(wait) if wait > LONGEST_WAIT => Self::End { why },
            // An instant that is over now is waited for, too: what follows would find the same one.
            wait => Self::Wait { wait: wait.unwrap_or_default() + SHORTEST_WAIT, why },
        }
    }
}

async fn wait_out(wait: Duration, mut stop: Stop) -> Waited {
    tokio::select! {
        biased;
        () = stop.asked() => Waited::Stopped,
        () = tokio::time::sleep(wait) => Waited::ToTheEnd,
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_pull_waits_for_its_own_limit_and_blames_the_api_only_for_what_it_asked() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let patience = |throttled, seconds| {
            let mut report = Report::new("a", &Request::default());
            report.throttled = throttled;
            report.no_request_before = Some(now + SignedDuration::from_secs(seconds));
            Patience::of(&report, now)
        };
        let table = [(0, 40, true), (0, 98, true), (0, -1, true), (0, 3_600, false), (1, 40, false)];
        for (throttled, seconds, waits) in table {
            let (told, waited) = match patience(throttled, seconds) {
                Patience::Wait { wait, why } => (why, Some(wait)),
                Patience::End { why } => (why, None),
            };
            let expected = Duration::from_secs(seconds.max(0).unsigned_abs()) + SHORTEST_WAIT;
            assert_eq!(waited, waits.then_some(expected), "{told}");
            assert_eq!(told.contains("the API asks"), throttled > 0, "{told}");
            assert_eq!(told.contains("the request limit"), throttled == 0, "{told}");
        }
        let told = patience(0, 40);
        assert!(format!("{told:?}").contains("no request before 2026-11-20T12:00:40Z: "), "{told:?}");
    }

    #[tokio::test]
    async fn whoever_waits_can_be_stopped() {
        let (stopper, stop) = stop::pair();
        stopper.stop();
        assert_eq!(wait_out(LONGEST_WAIT, stop).await, Waited::Stopped);
        assert_eq!(wait_out(Duration::ZERO, stop::pair().1).await, Waited::ToTheEnd);
    }
}
