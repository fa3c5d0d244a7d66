//! The Lambda runtime API: what the artefact of a function talks to instead of AWS.
//!
//! Start it, set `AWS_LAMBDA_RUNTIME_API` to its address, start the executable, and `invoke`. Invocations wait in a
//! queue until a process polls for the next one; the answer is what that process posts. Deadlines are announced in
//! the header as AWS does; ending a process that overruns them is the test's part.

mod api;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use crate::http::Server;
use crate::sync::{locked, request_id};

/// Settings of the runtime API.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Address to listen on; port 0 takes any free one.
    pub listen: SocketAddr,
    /// What stands in Lambda-Runtime-Invoked-Function-Arn.
    pub function_arn: String,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            function_arn: "arn:aws:lambda:eu-west-1:000000000000:function:simulated".to_owned(),
        }
    }
}

/// What became of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub enum InvocationAnswer {
    /// The function answered with JSON.
    Response(Value),
    /// The function answered with something else.
    Unreadable(String),
    /// The function reported an error.
    Error(FunctionError),
    /// The process could not start.
    InitError(FunctionError),
    /// The runtime API was stopped first.
    Stopped,
}

/// An error as a function reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionError {
    /// Header Lambda-Runtime-Function-Error-Type.
    pub header_type: Option<String>,
    /// `errorType` of the body.
    pub error_type: String,
    /// `errorMessage` of the body.
    pub message: String,
    /// The whole body; a string when it is no JSON.
    pub body: Value,
}

/// An invocation under way.
#[derive(Debug)]
pub struct Invocation {
    request_id: String,
    answer: oneshot::Receiver<InvocationAnswer>,
}

impl Invocation {
    /// Its Lambda-Runtime-Aws-Request-Id.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Waits for the answer. Nothing ends the wait when the process dies: race it against the process's end.
    pub async fn answer(self) -> InvocationAnswer {
        self.answer.await.unwrap_or(InvocationAnswer::Stopped)
    }
}

/// A running runtime API. Cheap to clone; dropping the last clone stops it.
#[derive(Clone)]
pub struct Runtime {
    server: Server,
    state: Arc<State>,
}

struct State {
    function_arn: String,
    queue: Mutex<VecDeque<Queued>>,
    queued: Notify,
    waiting: Mutex<BTreeMap<String, oneshot::Sender<InvocationAnswer>>>,
    polls: Mutex<Vec<Instant>>,
    open_polls: AtomicUsize,
    init_errors: Mutex<Vec<FunctionError>>,
}

struct Queued {
    request_id: String,
    event: String,
    deadline_ms: i64,
}

impl Runtime {
    /// Starts a runtime API. Fails when the address cannot be listened on.
    pub async fn start(config: RuntimeConfig) -> io::Result<Self> {
        let state = Arc::new(State {
            function_arn: config.function_arn,
            queue: Mutex::default(),
            queued: Notify::new(),
            waiting: Mutex::default(),
            polls: Mutex::default(),
            open_polls: AtomicUsize::new(0),
            init_errors: Mutex::default(),
        });
        let server = Server::start(config.listen, Arc::clone(&state)).await?;
        Ok(Self { server, state })
    }

    /// Stops listening; invocations without an answer end as `Stopped`.
    pub fn stop(&self) {
        self.server.stop();
        locked(&self.state.waiting).clear();
    }

    /// Where it listens: the value of `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Puts an event into the queue, under a new request id. The deadline is that long after now.
    pub fn invoke(&self, event_json: &str, deadline: Duration) -> io::Result<Invocation> {
        self.invoke_as(&request_id()?, event_json, deadline)
    }

    /// Puts an event into the queue under a request id of the caller's: AWS repeats an id when it tries again.
    pub fn invoke_as(
        &self,
        request_id: &str,
        event_json: &str,
        deadline: Duration,
    ) -> io::Result<Invocation> {
        let (sender, answer) = oneshot::channel();
        let deadline_ms = Timestamp::now().checked_add(deadline).map_err(io::Error::other)?.as_millisecond();
        let request_id = request_id.to_owned();
        locked(&self.state.waiting).insert(request_id.clone(), sender);
        let queued = Queued { request_id: request_id.clone(), event: event_json.to_owned(), deadline_ms };
        locked(&self.state.queue).push_back(queued);
        self.state.queued.notify_one();
        Ok(Invocation { request_id, answer })
    }

    /// When processes polled for an invocation, in order. The first poll is the end of a start-up.
    pub fn polls(&self) -> Vec<Instant> {
        locked(&self.state.polls).clone()
    }

    /// How many processes are polling at this moment: idle, or frozen as Lambda would have them.
    pub fn open_polls(&self) -> usize {
        self.state.open_polls.load(Ordering::SeqCst)
    }

    /// The errors that processes reported instead of polling.
    pub fn init_errors(&self) -> Vec<FunctionError> {
        locked(&self.state.init_errors).clone()
    }
}
