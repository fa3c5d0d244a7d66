//! A server that reads in measured pieces and ends as its script says.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection};
use tokio::net::TcpSocket;
use tokio::sync::{mpsc, oneshot};

/// How one connection goes. Counts are bytes of TCP after the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Drops the connection before the handshake.
    DropAtOnce,
    /// Reads everything, answers close_notify, ends TCP.
    Polite,
    /// Reads everything, ends TCP without close_notify.
    BareEnd,
    /// Reads everything, answers close_notify, keeps TCP open.
    NotifyAlone,
    /// Reads everything and keeps the stream open.
    KeepOpen,
    /// Reads nothing and keeps the stream open.
    Deaf,
    /// Reads everything, then resets.
    ResetAtEnd,
    /// Reads everything and ends politely, but sends this many bytes first.
    Chatter(usize),
    /// Closes after that many bytes.
    CloseAt(usize),
    /// Sends close_notify after that many bytes and closes.
    NotifyAt(usize),
    /// Ends TCP at the first byte, reads nothing and closes. Plain TCP only.
    EndUnread,
    /// Resets after that many bytes.
    ResetAt(usize),
}

/// What a connection gave.
#[derive(Debug)]
pub struct Received {
    /// The plaintext that was read from the socket.
    pub bytes: Vec<u8>,
    /// Whether the client's end (close_notify, or the end of plain TCP) was read too.
    pub complete: bool,
    /// Why the handshake failed, if it did.
    pub refused: Option<String>,
}

/// So small that most of a batch waits on the sender's side.
const SMALL_BUFFER: u32 = 4096;

type Held = Arc<Mutex<Vec<TcpStream>>>;

/// A listener on a port of its own that plays one script a connection, one after the other.
pub struct Receiver {
    pub port: u16,
    /// One a connection, in the order of their beginnings.
    received: mpsc::UnboundedReceiver<oneshot::Receiver<Received>>,
    /// The connections that their scripts keep open.
    _held: Held,
}

impl Receiver {
    pub async fn start(tls: Option<Arc<ServerConfig>>, scripts: &[Script]) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        if scripts.contains(&Script::EndUnread) {
            socket.set_recv_buffer_size(SMALL_BUFFER).unwrap();
        }
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(8).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, received) = mpsc::unbounded_channel();
        let mut scripts: VecDeque<Script> = scripts.iter().copied().collect();
        let held = Held::default();
        let holder = Arc::clone(&held);
        tokio::spawn(async move {
            while let Some(script) = scripts.pop_front() {
                let (socket, _) = listener.accept().await.unwrap();
                if matches!(script, Script::ResetAt(_) | Script::ResetAtEnd) {
                    socket.set_zero_linger().unwrap();
                }
                let socket = socket.into_std().unwrap();
                socket.set_nonblocking(false).unwrap();
                let tls = tls.clone();
                let (result, received) = oneshot::channel();
                _ = sender.send(received);
                let keeper = Arc::clone(&holder);
                // The test may be over before the connection is.
                std::thread::spawn(move || _ = result.send(play(socket, tls, script, &keeper)));
            }
        });
        Self { port, received, _held: held }
    }

    /// The next connection, in the order of their beginnings, once it came to its end.
    pub async fn next(&mut self) -> Received {
        self.received.recv().await.unwrap().await.unwrap()
    }
}

/// A socket that gives only so many bytes, then an error.
struct Measured {
    socket: TcpStream,
    budget: usize,
}

impl Read for Measured {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.budget == 0 {
            return Err(io::Error::other("budget"));
        }
        let length = buffer.len().min(self.budget);
        let count = self.socket.read(&mut buffer[..length])?;
        self.budget -= count;
        Ok(count)
    }
}

impl Write for Measured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn play(socket: TcpStream, tls: Option<Arc<ServerConfig>>, script: Script, keeper: &Held) -> Received {
    let mut received = Received { bytes: Vec::new(), complete: false, refused: None };
    if script == Script::DropAtOnce {
        return received;
    }
    if script == Script::EndUnread {
        _ = socket.peek(&mut [0]);
        _ = socket.shutdown(Shutdown::Write);
        return received;
    }
    let mut wire = Measured { socket, budget: usize::MAX };
    let mut session = tls.map(|config| ServerConnection::new(config).unwrap());
    if let Some(session) = session.as_mut() {
        while session.is_handshaking() {
            if let Err(error) = session.complete_io(&mut wire) {
                received.refused = Some(error.to_string());
                return received;
            }
        }
    }
    match script {
        Script::CloseAt(count) | Script::NotifyAt(count) | Script::ResetAt(count) => wire.budget = count,
        Script::Deaf => wire.budget = 0,
        Script::Chatter(count) => {
            let chatter = vec![b'.'; count];
            match session.as_mut() {
                Some(session) => _ = rustls::Stream::new(session, &mut wire).write_all(&chatter),
                None => _ = wire.write_all(&chatter),
            }
        }
        _ => {}
    }
    received.complete = read_all(session.as_mut(), &mut wire, &mut received.bytes).is_ok();
    let notify =
        matches!(script, Script::Polite | Script::NotifyAlone | Script::NotifyAt(_) | Script::Chatter(_));
    if let Some(session) = session.as_mut().filter(|_| notify) {
        session.send_close_notify();
        _ = session.write_tls(&mut wire);
    }
    if matches!(script, Script::KeepOpen | Script::Deaf | Script::NotifyAlone) {
        keeper.lock().unwrap().push(wire.socket);
    }
    received
}

/// Reads to the client's end, or to the end of the budget (an error).
fn read_all(
    session: Option<&mut ServerConnection>,
    wire: &mut Measured,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    let Some(session) = session else {
        return wire.read_to_end(bytes).map(|_| ());
    };
    loop {
        match session.reader().read_to_end(bytes) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        session.read_tls(wire)?;
        session.process_new_packets().map_err(io::Error::other)?;
    }
}
