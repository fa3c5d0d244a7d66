//! `collector run`: what the vendor's container does, until stopped.

use collector::error::Error;
use collector::service::Family;
use local_host::config::{self, Configuration};
use local_host::runner::{Host, ServiceRunner, prepare, validate};
use local_host::store::FileStore;
use local_host::{log, schedule, stop};

use crate::cli::RunArgs;
use crate::outcome::{Ending, fail};
use crate::{identity, locate};

/// Services that pull at the same time: enough to keep a network busy, few enough for the memory of a small machine.
const SIDE_BY_SIDE: usize = 8;

/// Runs all enabled services until SIGTERM or Ctrl-C.
pub async fn run(arguments: &RunArgs, families: &[&'static Family]) -> Ending {
    log::start("info");
    let stop = stop::on_signals();
    let start = || -> Result<(Configuration, Vec<ServiceRunner>), Error> {
        let configuration = config::load(&locate(&arguments.config))?;
        // An invalid configuration makes no state.
        validate(&configuration, families)?;
        let state = FileStore::open(&configuration.state_file)?;
        let identity = identity(&configuration.name);
        let host = Host { state, stop: stop.clone(), identity };
        let runners = prepare(&configuration, families, &host)?;
        Ok((configuration, runners))
    };
    let (configuration, runners) = match start() {
        Ok(started) => started,
        Err(error) => return fail(&error),
    };
    tracing::info!(
        name = configuration.name,
        id = configuration.id,
        services = runners.len(),
        state = %configuration.state_file.display(),
        "collector started"
    );
    schedule::run(runners, SIDE_BY_SIDE, stop).await;
    tracing::info!("collector stopped");
    Ending::Good
}
