//! One connection: bytes out, and an ear for everything that speaks against them.
//!
//! TLS and TCP are driven here by hand, in one future without a task of its own, because the proof of delivery is a
//! matter of order: an end, an alert or a reset that comes before our own end must be noticed at whatever point it
//! comes, and one that comes after it is the only sign of success there is. The peer has nothing to say; what it says
//! nevertheless is dropped, up to a bound.
//!
//! An end of stream that meets bytes still under way is no success either: those bytes are answered by a reset a
//! moment later. So after the peer's end the socket must also have got our own end acknowledged.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, ClientConfig, ClientConnection};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::batch::Outgoing;

/// Data from a peer that has nothing to say, before it is taken for something else than Devo.
const HEARD_BYTES: usize = 64 * 1024;
/// Time for the alert that explains a failed write to be found; it is there already or never comes.
const EXPLANATION: Duration = Duration::from_millis(250);
/// Time for a reset to follow the peer's close_notify. A peer that keeps TCP open after it has still said its end.
const AFTER_NOTIFY: Duration = Duration::from_secs(1);
/// First and longest pause between two looks at whether our end was acknowledged; the first look nearly always says so.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Whether a closed socket forgets its peer, which tells that both ends were acknowledged. Elsewhere the peer's end
/// counts alone.
const CLOSED_SOCKET_FORGETS_PEER: bool = cfg!(target_os = "linux");

/// Why a connection is of no more use.
#[derive(Debug)]
pub(crate) enum WireError {
    /// The peer ended the stream before we did.
    EndedEarly,
    /// The peer broke the connection, or the network did.
    Reset(io::Error),
    /// The peer ended the stream with a complaint.
    Alert(AlertDescription),
    /// The peer sends data.
    Talkative,
    /// What the peer sends is no TLS, or its certificate is refused.
    Tls(rustls::Error),
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    session: Option<Box<ClientConnection>>,
    peer: Peer,
    heard: usize,
}

/// What the peer has said about its end of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// Nothing.
    Open,
    /// close_notify.
    Notified,
    /// The end of the TCP stream.
    Ended,
}

/// Whether everything that was to be written went into the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flushed {
    All,
    NotYet,
}

impl Connection {
    /// A connection without TLS.
    pub(crate) fn plain(socket: TcpStream) -> Self {
        Self { socket, session: None, peer: Peer::Open, heard: 0 }
    }

    /// Shakes hands as the client of `name`.
    pub(crate) async fn secure(
        socket: TcpStream,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, WireError> {
        let session = ClientConnection::new(config, name).map_err(WireError::Tls)?;
        let mut connection = Self { socket, session: Some(Box::new(session)), peer: Peer::Open, heard: 0 };
        loop {
            let flushed = connection.flush().await?;
            connection.listen()?;
            let handshaking = connection.session.as_ref().is_some_and(|session| session.is_handshaking());
            let more_to_write = connection.session.as_ref().is_some_and(|session| session.wants_write());
            match (handshaking, more_to_write) {
                (false, false) => return Ok(connection),
                _ if connection.peer != Peer::Open => return Err(WireError::EndedEarly),
                (_, true) if flushed == Flushed::All => {}
                _ => connection.wait(flushed).await?,
            }
        }
    }

    /// Waits until the peer says something against the connection, and gives that.
    pub(crate) async fn complaint(&mut self) -> WireError {
        loop {
            if let Err(error) = self.listen() {
                return error;
            }
            if self.peer != Peer::Open {
                return WireError::EndedEarly;
            }
            if let Err(error) = self.wait(Flushed::All).await {
                return error;
            }
        }
    }

    /// Writes the batch, ends the stream and waits for the peer's end. `Ok` is the proof of delivery. The batch is
    /// given up as it is written; there is no time limit in here.
    pub(crate) async fn deliver(&mut self, outgoing: &mut Outgoing) -> Result<(), WireError> {
        self.write(outgoing).await?;
        if let Some(session) = self.session.as_mut() {
            session.send_close_notify();
        }
        self.write(outgoing).await?;
        self.socket.shutdown().await.map_err(WireError::Reset)?;
        self.peers_end().await?;
        self.acknowledged().await
    }

    /// Writes until both the batch and the session have nothing left, listening all the while.
    async fn write(&mut self, outgoing: &mut Outgoing) -> Result<(), WireError> {
        loop {
            self.listen()?;
            if self.peer != Peer::Open {
                return Err(WireError::EndedEarly);
            }
            if self.push(outgoing).await? == Flushed::All {
                return Ok(());
            }
            self.wait(Flushed::NotYet).await?;
        }
    }

    /// Moves bytes from the batch into the socket for as long as it takes them.
    async fn push(&mut self, outgoing: &mut Outgoing) -> Result<Flushed, WireError> {
        loop {
            if self.flush().await? == Flushed::NotYet {
                return Ok(Flushed::NotYet);
            }
            let bytes = outgoing.next_bytes();
            if bytes.is_empty() {
                return Ok(Flushed::All);
            }
            let taken = match self.session.as_mut() {
                Some(session) => session.writer().write(bytes),
                None => self.socket.try_write(bytes),
            };
            match taken {
                Ok(0) => return Err(WireError::Reset(io::ErrorKind::WriteZero.into())),
                Ok(count) => outgoing.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::NotYet),
                Err(error) => return Err(self.explained(error).await),
            }
        }
    }

    /// Moves what the session has ready into the socket.
    async fn flush(&mut self) -> Result<Flushed, WireError> {
        let Some(session) = self.session.as_mut() else { return Ok(Flushed::All) };
        while session.wants_write() {
            match session.write_tls(&mut TrySocket(&self.socket)) {
                Ok(0) => return Err(WireError::Reset(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::NotYet),
                Err(error) => return Err(self.explained(error).await),
            }
        }
        Ok(Flushed::All)
    }

    /// A write fails because the peer is gone; what it said on leaving is the better reason.
    async fn explained(&mut self, write_error: io::Error) -> WireError {
        match timeout(EXPLANATION, self.complaint()).await {
            Ok(reason @ (WireError::Alert(_) | WireError::Tls(_) | WireError::EndedEarly)) => reason,
            _ => WireError::Reset(write_error),
        }
    }

    /// Reads until the peer has ended the stream.
    async fn peers_end(&mut self) -> Result<(), WireError> {
        while self.peer == Peer::Open {
            self.listen()?;
            if self.peer == Peer::Open {
                self.wait(Flushed::All).await?;
            }
        }
        // Most peers end TCP at once after their close_notify; a reset in its place is no clean end.
        let tcp_end = async {
            while self.peer != Peer::Ended {
                self.wait(Flushed::All).await?;
                self.listen()?;
            }
            Ok(())
        };
        timeout(AFTER_NOTIFY, tcp_end).await.unwrap_or(Ok(()))
    }

    /// Waits until the peer's system has acknowledged our end, or reset the connection instead.
    async fn acknowledged(&mut self) -> Result<(), WireError> {
        let mut pause = FIRST_PAUSE;
        while CLOSED_SOCKET_FORGETS_PEER && self.peer == Peer::Ended && self.socket.peer_addr().is_ok() {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        match self.socket.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(WireError::Reset(error)),
        }
    }

    /// Waits until the socket has something to read, or room to write when that is wanted.
    async fn wait(&self, flushed: Flushed) -> Result<(), WireError> {
        // A peer that is always ready must not keep the time limits around this future from being looked at.
        tokio::task::consume_budget().await;
        let interest = match flushed {
            Flushed::All => Interest::READABLE,
            Flushed::NotYet => Interest::READABLE | Interest::WRITABLE,
        };
        self.socket.ready(interest).await.map(|_| ()).map_err(WireError::Reset)
    }

    /// Takes in what the peer has sent so far.
    fn listen(&mut self) -> Result<(), WireError> {
        while self.peer != Peer::Ended {
            let heard = match self.session.as_mut() {
                // After close_notify the session reads no more, but TCP goes on.
                Some(session) if self.peer == Peer::Open => session.read_tls(&mut TrySocket(&self.socket)),
                _ => self.socket.try_read(&mut [0; 4096]),
            };
            match heard {
                Ok(0) => self.peer = Peer::Ended,
                Ok(count) => self.take_in(count)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(WireError::Reset(error)),
            }
        }
        Ok(())
    }

    fn take_in(&mut self, count: usize) -> Result<(), WireError> {
        let Some(session) = self.session.as_mut().filter(|_| self.peer == Peer::Open) else {
            self.heard += count;
            return if self.heard > HEARD_BYTES { Err(WireError::Talkative) } else { Ok(()) };
        };
        let state = match session.process_new_packets() {
            Ok(state) => state,
            Err(rustls::Error::AlertReceived(alert)) => return Err(WireError::Alert(alert)),
            Err(error) => {
                // The peer may still learn why; whether it does makes no difference here.
                _ = session.write_tls(&mut TrySocket(&self.socket));
                return Err(WireError::Tls(error));
            }
        };
        let plaintext = state.plaintext_bytes_to_read();
        if plaintext > 0 {
            let dropped = io::copy(&mut session.reader().take(plaintext as u64), &mut io::sink());
            dropped.map_err(WireError::Reset)?;
        }
        if state.peer_has_closed() {
            self.peer = Peer::Notified;
        }
        self.heard += plaintext;
        if self.heard > HEARD_BYTES { Err(WireError::Talkative) } else { Ok(()) }
    }
}

/// The socket as the session wants it: it gives and takes what it can at once.
struct TrySocket<'a>(&'a TcpStream);

impl Read for TrySocket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for TrySocket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
