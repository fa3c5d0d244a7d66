//! A Devo receiver: TCP, mutual TLS or plain, that decodes what really arrives.
//!
//! An event counts as received as soon as its complete line was read, even if the connection breaks afterwards: that
//! is how Devo takes it, and it is what makes a repeat visible. Everything a stream must not do is written down as a
//! violation of its connection. Nothing is ever acknowledged, except that the end of the stream is answered.

mod decode;
mod frame;
mod journal;
mod session;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

pub use self::decode::Violation;
pub use self::journal::{ConnectionEnd, ConnectionSeen, Event};
pub use self::tls::TlsVersions;
pub use crate::occurrence::Occurrence;
pub use crate::pki::{DevoPki, Identity};

use self::journal::Journal;
use self::tls::Acceptors;
use crate::sync::locked;

/// Settings of a receiver.
#[derive(Debug, Clone)]
pub struct ReceiverConfig {
    /// Address to listen on; port 0 takes any free one.
    pub listen: SocketAddr,
    /// TLS with client certificates, or plain TCP as an on-premise relay has it.
    pub transport: Transport,
    /// How the end of a client's stream is answered.
    pub close_answer: CloseAnswer,
    /// Every event is appended to this file, one JSON object a line.
    pub copy_to: Option<PathBuf>,
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            transport: Transport::mutual_tls(),
            close_answer: CloseAnswer::CloseNotify,
            copy_to: None,
        }
    }
}

/// What lies under the stream.
#[derive(Debug, Clone)]
pub enum Transport {
    /// TLS; keys and certificates are made at the start.
    MutualTls {
        /// Names and addresses that the server's certificate is valid for.
        server_names: Vec<String>,
        /// Versions spoken.
        versions: TlsVersions,
    },
    /// TCP alone.
    Plain,
}

impl Transport {
    /// TLS 1.2 and 1.3 under `localhost` and `127.0.0.1`.
    pub fn mutual_tls() -> Self {
        let server_names = vec!["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string()];
        Self::MutualTls { server_names, versions: TlsVersions::Both }
    }
}

/// How the end of a client's stream is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseAnswer {
    /// With close_notify and FIN (plain TCP: FIN).
    CloseNotify,
    /// With a FIN alone.
    BareFin,
    /// With a reset.
    Reset,
    /// Not at all; the connection hangs.
    Never,
}

/// What the script does to a connection. Bytes are those of the stream under TLS, before decompression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionFault {
    /// Refuses the client's certificate, whatever it is.
    RefuseCertificate,
    /// Ends the stream politely after that many bytes, before the client is done.
    CloseAfter {
        /// Bytes that are still received.
        bytes: u64,
    },
    /// Resets the connection after that many bytes.
    ResetAfter {
        /// Bytes that are still received.
        bytes: u64,
    },
    /// Reads no further than that; the connection stays open.
    StopReadingAfter {
        /// Bytes that are still received.
        bytes: u64,
    },
    /// Answers the end of this stream in another way.
    AnswerClose(CloseAnswer),
}

impl ConnectionFault {
    fn limit(self) -> Option<u64> {
        match self {
            Self::CloseAfter { bytes } | Self::ResetAfter { bytes } | Self::StopReadingAfter { bytes } => {
                Some(bytes)
            }
            Self::RefuseCertificate | Self::AnswerClose(_) => None,
        }
    }
}

type EventHook = Arc<dyn Fn(&Event) + Send + Sync>;
type ByteHook = Box<dyn FnOnce() + Send>;

/// A running receiver. Cheap to clone; dropping the last clone stops it.
#[derive(Clone)]
pub struct Receiver {
    running: Arc<Running>,
    state: Arc<State>,
}

struct Running {
    address: SocketAddr,
    pki: Option<DevoPki>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct State {
    acceptors: Option<Acceptors>,
    journal: Mutex<Journal>,
    script: Mutex<Script>,
    close_answer: Mutex<CloseAnswer>,
    event_hook: Mutex<Option<EventHook>>,
    byte_hooks: Mutex<Vec<(u64, ByteHook)>>,
    changed: watch::Sender<u64>,
}

/// Rules, and how many connections there had been when they came.
#[derive(Default)]
struct Script {
    rules: Vec<(Occurrence, ConnectionFault)>,
    before: u64,
}

impl Receiver {
    /// Starts a receiver; makes its keys and certificates. Fails when the address cannot be listened on or the file
    /// of `copy_to` cannot be opened.
    pub async fn start(config: ReceiverConfig) -> io::Result<Self> {
        let (pki, acceptors) = match &config.transport {
            Transport::Plain => (None, None),
            Transport::MutualTls { server_names, versions } => {
                let pki = DevoPki::generate(server_names).map_err(io::Error::other)?;
                let acceptors = Acceptors::new(&pki, *versions)?;
                (Some(pki), Some(acceptors))
            }
        };
        let copy = match &config.copy_to {
            Some(path) => Some(OpenOptions::new().create(true).append(true).open(path)?),
            None => None,
        };
        let state = Arc::new(State {
            acceptors,
            journal: Mutex::new(Journal { copy, ..Journal::default() }),
            script: Mutex::default(),
            close_answer: Mutex::new(config.close_answer),
            event_hook: Mutex::new(None),
            byte_hooks: Mutex::new(Vec::new()),
            changed: watch::Sender::new(0),
        });
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, Arc::clone(&state))).abort_handle();
        Ok(Self { running: Arc::new(Running { address, pki, task }), state })
    }

    /// Stops listening and cuts all connections.
    pub fn stop(&self) {
        self.running.task.abort();
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// Its certificates and those of clients; `None` on plain TCP.
    pub fn pki(&self) -> Option<&DevoPki> {
        self.running.pki.as_ref()
    }

    /// Replaces the script; connections are counted from 1 from now on, in order of acceptance.
    pub fn script(&self, rules: Vec<(Occurrence, ConnectionFault)>) {
        let before = locked(&self.state.journal).connections.len() as u64;
        *locked(&self.state.script) = Script { rules, before };
    }

    /// How the ends of streams are answered from now on.
    pub fn set_close_answer(&self, close_answer: CloseAnswer) {
        *locked(&self.state.close_answer) = close_answer;
    }

    /// Calls `hook` for every event, after it was entered and before anything else is read.
    pub fn on_event(&self, hook: impl Fn(&Event) + Send + Sync + 'static) {
        *locked(&self.state.event_hook) = Some(Arc::new(hook));
    }

    /// Calls `hook` once, when `bytes` bytes have been received over all connections (0: at the next connection) and
    /// before another one is read.
    pub fn on_byte(&self, bytes: u64, hook: impl FnOnce() + Send + 'static) {
        locked(&self.state.byte_hooks).push((bytes, Box::new(hook)));
    }

    /// All events so far, in order of arrival.
    pub fn events(&self) -> Vec<Event> {
        locked(&self.state.journal).events.clone()
    }

    /// How many events there are so far.
    pub fn event_count(&self) -> usize {
        locked(&self.state.journal).events.len()
    }

    /// The messages of each tag, in order of arrival.
    pub fn messages_by_tag(&self) -> BTreeMap<String, Vec<Bytes>> {
        let mut by_tag: BTreeMap<String, Vec<Bytes>> = BTreeMap::new();
        for event in &locked(&self.state.journal).events {
            by_tag.entry(event.tag.clone()).or_default().push(event.message.clone());
        }
        by_tag
    }

    /// All connections so far.
    pub fn connections(&self) -> Vec<ConnectionSeen> {
        locked(&self.state.journal).connections.clone()
    }

    /// The violations of all connections, each with the connection's number.
    pub fn violations(&self) -> Vec<(u64, Violation)> {
        let connections = self.connections();
        let pairs =
            |seen: ConnectionSeen| seen.violations.into_iter().map(move |violation| (seen.number, violation));
        connections.into_iter().flat_map(pairs).collect()
    }

    /// Why an event could not be appended to the file, if that happened.
    pub fn copy_error(&self) -> Option<String> {
        locked(&self.state.journal).copy_error.clone()
    }

    /// Waits until `holds` is true of this receiver; asked anew whenever something arrives or ends.
    pub async fn wait_until(&self, holds: impl Fn(&Self) -> bool) {
        let mut changes = self.state.changed.subscribe();
        while !holds(self) {
            // The sender lives as long as `self`: waiting cannot fail.
            let _ = changes.changed().await;
        }
    }
}

impl State {
    fn fault_of(&self, number: u64) -> Option<ConnectionFault> {
        let script = locked(&self.script);
        let position = number.checked_sub(script.before)?;
        script.rules.iter().find(|(occurrence, _)| occurrence.includes(position)).map(|(_, fault)| *fault)
    }

    fn close_answer(&self) -> CloseAnswer {
        *locked(&self.close_answer)
    }

    /// How many bytes may be read before a hook wants to look.
    fn bytes_to_next_hook(&self) -> u64 {
        let received = locked(&self.journal).bytes;
        let hooks = locked(&self.byte_hooks);
        hooks.iter().map(|(bytes, _)| bytes.saturating_sub(received)).min().unwrap_or(u64::MAX)
    }

    /// Calls the hooks whose byte was received.
    fn fire_byte_hooks(&self) {
        let received = locked(&self.journal).bytes;
        let due: Vec<(u64, ByteHook)> =
            locked(&self.byte_hooks).extract_if(.., |(bytes, _)| *bytes <= received).collect();
        // Called without the lock: a hook may look at the receiver.
        due.into_iter().for_each(|(_, hook)| hook());
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A connection that was reset before it was accepted is no reason to stop.
                if let Ok((stream, _)) = accepted {
                    let state = Arc::clone(&state);
                    connections.spawn(async move { session::run(stream, &state).await });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
