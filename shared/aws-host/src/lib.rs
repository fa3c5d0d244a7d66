//! Runs one service of the collector as a Lambda function.
//!
//! [`run`] is the whole of the function's `main`: it reads the environment, answers Lambda's calls one after another
//! until the process is asked to end, and tells Lambda when it cannot start. Everything that costs time (credentials,
//! secrets, connections) waits for the first call, so that the first poll comes a few milliseconds after the start. The
//! process is one thread: a function of the usual size has less than one processor.

pub mod attempts;
pub mod dynamo;
pub mod environment;
#[cfg(test)]
mod fixtures;
pub mod handler;
mod init_error;
pub mod logs;
mod metrics;
pub mod rows;
pub mod secrets;
mod session;

use std::io;
use std::process::ExitCode;
use std::sync::Mutex;

use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::{BehaviorVersion, SdkConfig};
use collector::service::Family;
use jiff::Timestamp;
use lambda_runtime::tower::util::MapFutureLayer;
use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::environment::Environment;
use crate::handler::{Handler, Telemetry};
use crate::logs::CurrentRequest;

/// Plays the service of `families` that `_HANDLER` names, until Lambda ends the process. Fails when the environment
/// does not say what to play; Lambda is told why.
pub fn run(families: &[&'static Family]) -> ExitCode {
    let lookup = |name: &str| std::env::var(name).ok();
    let function = lookup("_HANDLER").unwrap_or_default();
    let current = logs::start(environment::log_filter(&lookup).as_deref(), &function);
    let environment = match environment::read(&lookup, families) {
        Ok(environment) => environment,
        Err(error) => {
            tracing::error!(
                error_type = error.error_type.as_str(),
                code = error.code,
                "cannot start: {error}"
            );
            if let Some(address) = environment::runtime_api(&lookup)
                && let Err(problem) = init_error::report(&address, &error)
            {
                tracing::error!("the runtime API at {address} could not be told: {problem}");
            }
            return ExitCode::FAILURE;
        }
    };
    let started = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(serve(families, environment, current)));
    match started {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the runtime API failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers calls until the runtime API fails or the process is asked to end.
async fn serve(
    families: &[&'static Family],
    environment: Environment,
    current: CurrentRequest,
) -> Result<(), lambda_runtime::Error> {
    let ending = signal(SignalKind::terminate())?;
    let config = sdk_config().await;
    let telemetry = Telemetry { current, metrics: Mutex::new(Box::new(io::stdout())) };
    let handler = Handler::new(families, environment, &config, Timestamp::now, telemetry);
    let (busy, at_work) = watch::channel(false);
    let busy = &busy;
    let runtime = Runtime::new(service_fn(|event: LambdaEvent<Value>| handler.handle(event)))
        // Around the whole call, the posting of its answer included.
        .layer(MapFutureLayer::new(move |call| async move {
            busy.send_replace(true);
            let end = call.await;
            busy.send_replace(false);
            end
        }));
    tokio::select! {
        end = runtime.run() => end,
        end = asked_to_end(ending, at_work) => end.map_err(Into::into),
    }
}

/// Ends when the process was asked to and no call is at work. A call is not cut short: its state is safe at any
/// moment, but what it has read would have to be read again.
async fn asked_to_end(mut ending: Signal, mut at_work: watch::Receiver<bool>) -> io::Result<()> {
    if ending.recv().await.is_none() {
        return std::future::pending().await;
    }
    tracing::info!("asked to end");
    at_work.wait_for(|busy| !busy).await.map(|_| ()).map_err(io::Error::other)
}

/// The AWS SDK's configuration: the environment's, as Lambda sets it. Region and credentials are not asked for over
/// the network.
async fn sdk_config() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .region(EnvironmentVariableRegionProvider::new())
        .load()
        .await
}
