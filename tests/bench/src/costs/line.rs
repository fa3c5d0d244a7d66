//! A line to Devo as long as a real one: every byte arrives half a round trip later, and is counted.
//!
//! Bytes that follow one another do not wait for each other, so the line is slow to answer and yet wide. Setting up a
//! connection takes one more round trip, which loopback does not have.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until};

use crate::Outcome;

/// A running line.
pub struct Line {
    address: SocketAddr,
    sent: Arc<AtomicU64>,
}

impl Line {
    /// A line to this receiver.
    pub async fn to(receiver: SocketAddr, round_trip: Duration) -> Outcome<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let sent = Arc::new(AtomicU64::new(0));
        tokio::spawn(accept(listener, receiver, round_trip, Arc::clone(&sent)));
        Ok(Self { address, sent })
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that went towards the receiver, those of TLS included.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, receiver: SocketAddr, round_trip: Duration, sent: Arc<AtomicU64>) {
    loop {
        // A connection that was reset before it was accepted is no reason to stop.
        let Ok((client, _)) = listener.accept().await else { continue };
        tokio::spawn(carry(client, receiver, round_trip, Arc::clone(&sent)));
    }
}

async fn carry(client: TcpStream, receiver: SocketAddr, round_trip: Duration, sent: Arc<AtomicU64>) {
    sleep(round_trip).await;
    let Ok(server) = TcpStream::connect(receiver).await else { return };
    _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (towards, arriving) = unbounded_channel();
    let (back, returning) = unbounded_channel();
    tokio::join!(
        take(from_client, towards, round_trip / 2, Some(&sent)),
        give(arriving, to_server),
        take(from_server, back, round_trip / 2, None),
        give(returning, to_client),
    );
}

/// Bytes and when they arrive; no bytes at the end of the stream.
type Piece = (Instant, Vec<u8>);

async fn take(
    mut source: OwnedReadHalf,
    line: UnboundedSender<Piece>,
    delay: Duration,
    count: Option<&AtomicU64>,
) {
    loop {
        let mut buffer = vec![0; 64 * 1024];
        // A broken stream ends like any other: whoever waits for more notices.
        let length = source.read(&mut buffer).await.unwrap_or(0);
        buffer.truncate(length);
        if let Some(count) = count {
            count.fetch_add(length as u64, Ordering::SeqCst);
        }
        if line.send((Instant::now() + delay, buffer)).is_err() || length == 0 {
            return;
        }
    }
}

async fn give(mut line: UnboundedReceiver<Piece>, mut sink: OwnedWriteHalf) {
    while let Some((due, piece)) = line.recv().await {
        sleep_until(due).await;
        if piece.is_empty() || sink.write_all(&piece).await.is_err() {
            break;
        }
    }
    _ = sink.shutdown().await;
}
