//! The start of the artefact: from the start of its process to its first poll of the Lambda runtime API.
//!
//! The poll is never answered, so nothing behind it is measured, and no AWS is needed. Part of the time belongs to the
//! kernel: it loads the executable, and on a busy machine it lets the process wait.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::{Outcome, cpu, shipped};

const STARTS: usize = 20;
/// A process that has not polled by then never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// The starts.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// The executable.
    pub artefact: PathBuf,
    /// Bytes of it.
    pub artefact_bytes: u64,
    /// Milliseconds to the first poll, in ascending order.
    pub milliseconds: Vec<f64>,
    /// The most memory that a process had resident at its first poll, in bytes.
    pub memory: u64,
}

/// The executable that is named, or the one beside this executable.
pub fn artefact(named: Option<PathBuf>) -> Outcome<PathBuf> {
    let path = match named {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("bootstrap"),
    };
    if !path.is_file() {
        let message =
            format!("there is no {}: build it with cargo build --release -p lambda", path.display());
        return Err(message.into());
    }
    Ok(path)
}

/// Starts the executable again and again.
pub fn measure(artefact: &Path) -> Outcome<Finding> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut milliseconds = Vec::new();
    let mut memory = 0;
    for _ in 0..STARTS {
        let (elapsed, resident) = runtime.block_on(start(artefact))?;
        milliseconds.push(elapsed.as_secs_f64() * 1e3);
        memory = memory.max(resident);
    }
    milliseconds.sort_by(f64::total_cmp);
    let artefact_bytes = artefact.metadata()?.len();
    Ok(Finding { artefact: artefact.to_owned(), artefact_bytes, milliseconds, memory })
}

/// One start: the time to the first poll, and the memory by then.
async fn start(artefact: &Path) -> Outcome<(Duration, u64)> {
    let runtime_api = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut command = Command::new(artefact);
    command
        .env_clear()
        .envs(shipped::variables(runtime_api.local_addr()?, shipped::HANDLER))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let begin = Instant::now();
    let process = Started(command.spawn()?);
    let poll = timeout(PATIENCE, first_request(&runtime_api)).await;
    let elapsed = begin.elapsed();
    let (_connection, request) = poll.map_err(|_| format!("{} does not poll", artefact.display()))??;
    if !request.contains("/invocation/next") {
        return Err(format!("the first request is no poll but `{}`", request.trim()).into());
    }
    Ok((elapsed, cpu::peak_memory(&process.0.id().to_string())?))
}

/// The first line of the first request, and its connection, held open.
async fn first_request(runtime_api: &TcpListener) -> io::Result<(BufReader<TcpStream>, String)> {
    let mut connection = BufReader::new(runtime_api.accept().await?.0);
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    Ok((connection, line))
}

/// A process that does not outlive its measurement.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself, and that is as good.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}
