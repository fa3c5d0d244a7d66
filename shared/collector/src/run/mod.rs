//! The run loop: one invocation of one service.

use jiff::Timestamp;

use crate::error::Error;
use crate::event::Request;
use crate::ports::{Clock, Sink, Source, StateStore};
use crate::report::Report;
use crate::settings::Settings;
use crate::story::{Identity, Line};

/// What a host knows about one invocation.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Holder of the lease; Lambda's request id.
    pub request_id: String,
    /// Random text, new for each invocation.
    pub nonce: String,
    /// 32 random hexadecimal digits: becomes the key of the record hashes in a partition that has none.
    pub fresh_hash_key: String,
    /// Work has ended by then.
    pub deadline: Timestamp,
    /// What is asked.
    pub request: Request,
    /// Who tells the story.
    pub identity: Identity,
}

/// The ports of one invocation.
pub struct Ports<'a, S, K, T> {
    /// Where records come from.
    pub source: &'a mut S,
    /// Where they go.
    pub sink: &'a mut K,
    /// Where the position is kept.
    pub state: &'a T,
    /// The time of day.
    pub clock: &'a dyn Clock,
    /// Called after each page and each commit with the counts so far.
    pub progress: &'a (dyn Fn(&Report) + Send + Sync),
}

/// What a process keeps from one invocation of a service to the next: record hashes, valid while nobody else wrote.
#[derive(Debug, Default)]
pub struct Warm {}

/// What became of an invocation.
#[derive(Debug)]
pub struct Outcome {
    /// The counts, also after a failure.
    pub report: Report,
    /// Why it failed, if it did.
    pub failure: Option<Error>,
    /// What was told about it, for the host's own log.
    pub story: Vec<Line>,
}

/// Plays one invocation to its end. No task of it outlives the answer.
pub async fn invoke<S: Source, K: Sink, T: StateStore>(
    _invocation: &Invocation,
    _settings: &Settings,
    _ports: Ports<'_, S, K, T>,
    _warm: &mut Warm,
) -> Outcome {
    std::future::pending().await
}
