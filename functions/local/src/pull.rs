//! `collector pull`: one service now, to its outputs or to be looked at.
//!
//! What is only looked at has a state of its own, thrown away at the end, so that the live position cannot move.

use std::path::Path;
use std::sync::{Arc, Mutex};

use collector::error::{Error, ErrorType, code};
use collector::event::Request;
use collector::report::{Report, Status};
use collector::service::{Family, Service};
use collector::settings::Settings;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
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
            Status::More if stop.is_asked() => "stopped; pull again to go on",
            Status::More => continue,
            Status::UpToDate | Status::DryRun => return Ending::Good,
            Status::Locked => "another process pulls this service now; a window that was named is left to it",
            Status::Throttled => "the API asks for patience; pull again later",
            Status::Retired => "this API was retired; see the warnings above",
            Status::NotDue | Status::Disabled => "there was nothing to do",
        };
        warn(&[obstacle.to_owned()]);
        return Ending::Problems;
    }
}
