//! One process of the artefact, started as Lambda starts it, with a runtime API of its own.
//!
//! A process can be killed at any instant from any thread (a hook of the tenant, a wire), is ended as Lambda ends it
//! (SIGTERM), and everything it writes is kept. Dropping it kills it.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use simulator::runtime::{FunctionError, InvocationAnswer, Runtime, RuntimeConfig};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::artefacts;

/// How long a process may take for what takes milliseconds on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a condition that nobody tells about.
pub const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What became of an invocation.
#[derive(Debug)]
pub enum Ended {
    /// The function answered.
    Answer(Value),
    /// The function reported an error.
    Error(FunctionError),
    /// The process ended without an answer.
    Died,
}

impl Ended {
    /// The answer; anything else fails the test.
    #[track_caller]
    pub fn answer(self) -> Value {
        match self {
            Self::Answer(answer) => answer,
            other => panic!("expected an answer, got {other:?}"),
        }
    }

    /// The error; anything else fails the test.
    #[track_caller]
    pub fn error(self) -> FunctionError {
        match self {
            Self::Error(error) => error,
            other => panic!("expected an error, got {other:?}"),
        }
    }
}

/// A running process.
pub struct Process {
    runtime: Runtime,
    child: Arc<Mutex<Child>>,
    output: Arc<Mutex<String>>,
    end: watch::Receiver<Option<ExitStatus>>,
}

/// The power to kill a process.
#[derive(Clone)]
pub struct Killer(Arc<Mutex<Child>>);

impl Killer {
    /// SIGKILL, at once. Nothing happens to a process that is gone.
    pub fn kill(&self) {
        // An error means that there is nobody left to kill.
        let _ = self.0.lock().unwrap().start_kill();
    }
}

impl Process {
    /// Starts the artefact with these variables and no others, except where its runtime API is.
    pub async fn start(variables: &[(String, String)]) -> Self {
        let runtime = Runtime::start(RuntimeConfig::default()).await.unwrap();
        let mut command = Command::new(artefacts::bootstrap());
        command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", runtime.address().to_string())
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let child = Arc::new(Mutex::new(child));
        let (told, end) = watch::channel(None);
        tokio::spawn(watch_over(Arc::clone(&child), stdout, stderr, Arc::clone(&output), told));
        Self { runtime, child, output, end }
    }

    /// Whom the process asks for work.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Everything it has written so far.
    pub fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// Its output as it grows.
    pub fn shared_output(&self) -> Arc<Mutex<String>> {
        Arc::clone(&self.output)
    }

    /// The power to kill it.
    pub fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.child))
    }

    /// Asks it to end, as Lambda does. One that is gone already cannot be asked.
    pub fn ask_to_end(&self) {
        let Some(id) = self.child.lock().unwrap().id() else { return };
        let mut kill = std::process::Command::new("kill");
        kill.args(["-TERM", &id.to_string()]).stderr(Stdio::null()).status().unwrap();
    }

    /// The most memory that it ever had resident, in bytes, as the kernel says; it must be running.
    pub fn peak_memory(&self) -> u64 {
        let id = self.child.lock().unwrap().id().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Waits for its end.
    pub async fn ended(&self) -> ExitStatus {
        let mut end = self.end.clone();
        let status = timeout(PATIENCE, end.wait_for(Option::is_some)).await;
        let status = status.unwrap_or_else(|_| panic!("the process does not end:\n{}", self.output()));
        status.unwrap().unwrap()
    }

    /// Waits until it has polled for its n-th invocation.
    pub async fn has_polled(&self, count: usize) {
        let waited = timeout(PATIENCE, async {
            while self.runtime.polls().len() < count {
                sleep(LOOK_EVERY).await;
            }
        });
        assert!(waited.await.is_ok(), "the process does not poll:\n{}", self.output());
    }

    /// Invokes it once. A process that outlives its deadline without an answer fails the test: Lambda would end it.
    pub async fn invoke(&self, event: &Value, deadline: Duration) -> Ended {
        let invocation = self.runtime.invoke(&event.to_string(), deadline).unwrap();
        let mut end = self.end.clone();
        let played = async {
            tokio::select! {
                biased;
                answer = invocation.answer() => self.told(answer),
                _ = end.wait_for(Option::is_some) => Ended::Died,
            }
        };
        match timeout(deadline + OVERTIME, played).await {
            Ok(ended) => ended,
            Err(_) => panic!("no answer to {event} by the deadline:\n{}", self.output()),
        }
    }

    fn told(&self, answer: InvocationAnswer) -> Ended {
        match answer {
            InvocationAnswer::Response(answer) => Ended::Answer(answer),
            InvocationAnswer::Error(error) | InvocationAnswer::InitError(error) => Ended::Error(error),
            InvocationAnswer::Unreadable(text) => panic!("the answer is no JSON: {text}"),
            InvocationAnswer::Stopped => panic!("the runtime API was stopped"),
        }
    }
}

/// A machine under full load starts threads and timers late; Lambda's own clock would be as patient.
const OVERTIME: Duration = Duration::from_secs(2);

/// Gathers what the process writes; its end is told once both streams have ended.
async fn watch_over(
    child: Arc<Mutex<Child>>,
    stdout: impl AsyncRead + Unpin,
    stderr: impl AsyncRead + Unpin,
    output: Arc<Mutex<String>>,
    told: watch::Sender<Option<ExitStatus>>,
) {
    tokio::join!(gather(stdout, &output), gather(stderr, &output));
    loop {
        let status = child.lock().unwrap().try_wait().unwrap();
        if status.is_some() {
            told.send_replace(status);
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn gather(stream: impl AsyncRead + Unpin, output: &Mutex<String>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut text = output.lock().unwrap();
        text.push_str(&line);
        text.push('\n');
    }
}
