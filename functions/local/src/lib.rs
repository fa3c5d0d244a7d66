//! `collector`: all services on-premise in one process, and the tools around them.
//!
//! This crate is a declaration: the families it knows, the command line, and one file a command. What they do lives
//! in `local-host`; only the demo, which needs the simulated parties, lives here. No AWS is linked.

mod backfill;
mod check;
mod cli;
mod demo;
mod migrate;
mod outcome;
mod pull;
mod run;
mod status;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use collector::service::Family;
use collector::story::Identity;

use cli::{Cli, Command, ConfigArg, DemoArgs};
use outcome::Ending;

pub use demo::{List, Reads, World};

/// The families this collector knows, in the order of the README's table.
pub static FAMILIES: &[&Family] =
    &[&graph::AUDIT, &graph::SECURITY, &office365::MANAGEMENT, &endpoint::DEFENDER, &cloud_apps::CLOUD_APPS];

/// Plays the command that this process was started with.
pub fn main() -> ExitCode {
    let command = Cli::parse().command.unwrap_or_else(|| Command::Demo(DemoArgs::default()));
    if let Command::Completions(arguments) = &command {
        clap_complete::generate(arguments.shell, &mut Cli::command(), "collector", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let ending = runtime.block_on(play(command));
            // Blocking threads may hang on a pipe that nobody reads: nothing of value waits there.
            runtime.shutdown_background();
            ending.into()
        }
        Err(cause) => {
            outcome::refuse(&format!("the system refuses the threads of this process: {cause}")).into()
        }
    }
}

async fn play(command: Command) -> Ending {
    match command {
        Command::Demo(arguments) => demo::demo(&arguments, FAMILIES).await,
        Command::Run(arguments) => run::run(&arguments, FAMILIES).await,
        Command::Check(arguments) => check::check(&arguments, FAMILIES).await,
        Command::Pull(arguments) => pull::pull(&arguments, FAMILIES).await,
        Command::Status(arguments) => status::status(&arguments, FAMILIES).await,
        Command::Backfill(arguments) => backfill::backfill(&arguments).await,
        Command::Migrate(arguments) => migrate::migrate(&arguments, FAMILIES),
        Command::Completions(_) => Ending::Good,
    }
}

/// Where the configuration is, by the command line, `CONFIG_FILE` or the vendor's layout.
fn locate(argument: &ConfigArg) -> PathBuf {
    local_host::config::locate(Path::new(""), argument.config.as_deref())
}

/// Who tells the story to Devo; `COLLECTOR_NAME` and `COLLECTOR_JOB_ID` count as they do on AWS.
fn identity(configured_name: &str) -> Identity {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Identity {
        collector_name: variable("COLLECTOR_NAME").unwrap_or_else(|| configured_name.to_owned()),
        collector_version: env!("CARGO_PKG_VERSION").to_owned(),
        job_id: variable("COLLECTOR_JOB_ID"),
    }
}

#[cfg(test)]
mod tests;
