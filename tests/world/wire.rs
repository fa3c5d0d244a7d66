//! A wire in front of a server: carries TCP connections, counts their bytes, and strikes at a byte.
//!
//! A strike is written for the n-th byte in one direction, counted from the moment it is set. Exactly that many bytes
//! are carried; then its hook is called (it kills somebody), and the connection is cut. Resets and half-closed streams
//! are carried as they are.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the server.
    Towards,
    /// From the server.
    From,
}

type Hook = Box<dyn FnOnce() + Send>;

struct Strike {
    direction: Direction,
    bytes_left: u64,
    hook: Hook,
}

#[derive(Default)]
struct State {
    connections: AtomicU64,
    towards: AtomicU64,
    from: AtomicU64,
    strike: Mutex<Option<Strike>>,
}

/// A running wire. Dropping it cuts everything.
pub struct Wire {
    address: SocketAddr,
    state: Arc<State>,
    task: AbortHandle,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wire {
    /// A wire to this server.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let task = tokio::spawn(accept(listener, server, Arc::clone(&state))).abort_handle();
        Self { address, state, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Bytes carried so far.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.state.counter(direction).load(Ordering::SeqCst)
    }

    /// Calls `hook` as soon as `bytes` further bytes (at least one) were carried in that direction.
    pub fn strike(&self, direction: Direction, bytes: u64, hook: impl FnOnce() + Send + 'static) {
        let strike = Strike { direction, bytes_left: bytes.max(1), hook: Box::new(hook) };
        *self.state.strike.lock().unwrap() = Some(strike);
    }

    /// Forgets a strike that did not happen; true when there was one.
    pub fn disarm(&self) -> bool {
        self.state.strike.lock().unwrap().take().is_some()
    }
}

impl State {
    fn counter(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::Towards => &self.towards,
            Direction::From => &self.from,
        }
    }

    /// How many of these bytes are carried, and what happens after them.
    fn pass(&self, direction: Direction, count: usize) -> (usize, Option<Hook>) {
        let mut slot = self.strike.lock().unwrap();
        let Some(strike) = slot.as_mut().filter(|strike| strike.direction == direction) else {
            return (count, None);
        };
        let left = usize::try_from(strike.bytes_left).unwrap();
        if count < left {
            strike.bytes_left -= count as u64;
            return (count, None);
        }
        (left, slot.take().map(|strike| strike.hook))
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                state.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(carry(client, server, Arc::clone(&state)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(client: TcpStream, server: SocketAddr, state: Arc<State>) {
    let Ok(upstream) = TcpStream::connect(server).await else { return };
    // Small messages must not wait for one another: the time of a test is made of them.
    let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = upstream.into_split();
    // Both directions end by themselves, or a strike or a reset ends both: what is dropped is closed.
    let _ = tokio::try_join!(
        pump(from_client, to_server, Direction::Towards, &state),
        pump(from_server, to_client, Direction::From, &state),
    );
}

/// The connection is to be cut.
struct Cut;

async fn pump(
    mut source: OwnedReadHalf,
    mut sink: OwnedWriteHalf,
    direction: Direction,
    state: &State,
) -> Result<(), Cut> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match source.read(&mut buffer).await {
            Ok(0) => return sink.shutdown().await.map_err(|_| Cut),
            Ok(count) => {
                let (carried, hook) = state.pass(direction, count);
                sink.write_all(&buffer[..carried]).await.map_err(|_| Cut)?;
                state.counter(direction).fetch_add(carried as u64, Ordering::SeqCst);
                if let Some(hook) = hook {
                    hook();
                    return Err(Cut);
                }
            }
            Err(_) => {
                let _ = sink.as_ref().set_zero_linger();
                return Err(Cut);
            }
        }
    }
}
