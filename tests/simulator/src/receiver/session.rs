//! One connection from its first byte to its end.
//!
//! Bytes are read no further than the next place where the script or a hook wants to look, so that a fault or a kill
//! hits the very byte it was written for. What was read before counts as received.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::decode::{Decoded, Decoder, Violation};
use super::frame::parse;
use super::journal::{ConnectionEnd, Event};
use super::{CloseAnswer, ConnectionFault, State};
use crate::sync::locked;

const READ_BUFFER: usize = 64 * 1024;
const EXCERPT: usize = 80;
/// How long a refused or closed client may still talk before its socket is dropped: without the wait, unread bytes
/// would turn the polite end into a reset.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves one connection.
pub(super) async fn run(stream: TcpStream, state: &State) {
    let number = locked(&state.journal).open();
    let fault = state.fault_of(number);
    state.fire_byte_hooks();
    let Some(link) = shake_hands(stream, number, fault, state).await else {
        return;
    };
    serve(link, number, fault, state).await;
}

enum Link {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

async fn shake_hands(
    stream: TcpStream,
    number: u64,
    fault: Option<ConnectionFault>,
    state: &State,
) -> Option<Link> {
    let Some(acceptors) = &state.acceptors else {
        return Some(Link::Plain(stream));
    };
    let acceptor = match fault {
        Some(ConnectionFault::RefuseCertificate) => &acceptors.refusing,
        _ => &acceptors.ordinary,
    };
    match acceptor.accept(stream).into_fallible().await {
        Ok(tls) => {
            let session = tls.get_ref().1;
            let certificate = session.peer_certificates().and_then(<[_]>::first);
            let client = certificate.and_then(|der| subject(der));
            let version = session.protocol_version().map(|version| format!("{version:?}"));
            locked(&state.journal).change(number, |entry| {
                entry.client = client;
                entry.tls_version = version;
            });
            Some(Link::Tls(Box::new(tls)))
        }
        Err((error, mut plain)) => {
            state.end(number, ConnectionEnd::HandshakeFailed(error.to_string()));
            // The alert was written; let it arrive.
            let _ = plain.shutdown().await;
            drain(&mut Link::Plain(plain)).await;
            None
        }
    }
}

fn subject(der: &[u8]) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(certificate.subject().to_string())
}

async fn serve(mut link: Link, number: u64, fault: Option<ConnectionFault>, state: &State) {
    let mut decoder = Decoder::new();
    let mut buffer = vec![0; READ_BUFFER];
    let mut received = 0_u64;
    loop {
        let limit = fault.and_then(ConnectionFault::limit);
        if limit.is_some_and(|limit| received >= limit) {
            state.end(number, ConnectionEnd::Scripted);
            return strike(link, fault).await;
        }
        let until_limit = limit.map_or(u64::MAX, |limit| limit - received);
        let wanted = usize::try_from(until_limit.min(state.bytes_to_next_hook())).unwrap_or(usize::MAX);
        let room = buffer.len().min(wanted.max(1));
        let end = match link.read(buffer.get_mut(..room).unwrap_or_default()).await {
            Ok(0) => link.clean_end(),
            Ok(count) => {
                received += count as u64;
                let mut decoded = Vec::new();
                decoder.feed(buffer.get(..count).unwrap_or_default(), &mut decoded);
                state.take(number, count as u64, decoded);
                continue;
            }
            Err(error) => end_of(&error),
        };
        let mut decoded = Vec::new();
        decoder.finish(&mut decoded);
        state.take(number, 0, decoded);
        let is_over = !matches!(end, ConnectionEnd::CloseNotify | ConnectionEnd::Fin);
        state.end(number, end);
        if !is_over {
            let close_answer = match fault {
                Some(ConnectionFault::AnswerClose(close_answer)) => close_answer,
                _ => state.close_answer(),
            };
            close(link, close_answer).await;
        }
        return;
    }
}

fn end_of(error: &io::Error) -> ConnectionEnd {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ConnectionEnd::Fin,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => ConnectionEnd::Reset,
        _ => ConnectionEnd::Broken(error.to_string()),
    }
}

/// What the script does once its byte was read.
async fn strike(mut link: Link, fault: Option<ConnectionFault>) {
    match fault {
        Some(ConnectionFault::ResetAfter { .. }) => link.reset(),
        Some(ConnectionFault::StopReadingAfter { .. }) => std::future::pending().await,
        _ => {
            link.close_notify().await;
            drain(&mut link).await;
        }
    }
}

async fn close(mut link: Link, close_answer: CloseAnswer) {
    match close_answer {
        CloseAnswer::CloseNotify => link.close_notify().await,
        CloseAnswer::BareFin => link.fin().await,
        CloseAnswer::Reset => link.reset(),
        CloseAnswer::Never => std::future::pending().await,
    }
}

/// Reads and forgets until the client ends, for a while.
async fn drain(link: &mut Link) {
    let mut buffer = vec![0; READ_BUFFER];
    let until_end = async { while matches!(link.read(&mut buffer).await, Ok(count) if count > 0) {} };
    let _ = tokio::time::timeout(DRAIN, until_end).await;
}

impl Link {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer).await,
            Self::Tls(stream) => stream.read(buffer).await,
        }
    }

    fn clean_end(&self) -> ConnectionEnd {
        match self {
            Self::Plain(_) => ConnectionEnd::Fin,
            Self::Tls(_) => ConnectionEnd::CloseNotify,
        }
    }

    /// Ends our half: close_notify, then FIN.
    async fn close_notify(&mut self) {
        // The client may be gone already, which is its own affair.
        let _ = match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(stream) => stream.shutdown().await,
        };
    }

    /// Ends our half without close_notify.
    async fn fin(&mut self) {
        let _ = match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(stream) => stream.get_mut().0.shutdown().await,
        };
    }

    /// Makes the coming drop a reset.
    fn reset(&mut self) {
        let _ = match self {
            Self::Plain(stream) => stream.set_zero_linger(),
            Self::Tls(stream) => stream.get_ref().0.set_zero_linger(),
        };
    }
}

impl State {
    /// Enters what was decoded from the next `count` bytes of a connection, then calls the hooks.
    fn take(&self, number: u64, count: u64, decoded: Vec<Decoded>) {
        let mut arrived = Vec::new();
        let mut journal = locked(&self.journal);
        journal.bytes += count;
        journal.change(number, |entry| entry.bytes += count);
        for one in decoded {
            match one {
                Decoded::Line(line) => match event(number, line) {
                    Ok(event) => {
                        arrived.push(event.clone());
                        journal.enter(event);
                    }
                    Err(violation) => journal.change(number, |entry| entry.violations.push(violation)),
                },
                Decoded::MemberEnd => journal.change(number, |entry| entry.gzip_members += 1),
                Decoded::Violation(violation) => {
                    journal.change(number, |entry| entry.violations.push(violation))
                }
            }
        }
        drop(journal);
        let hook = locked(&self.event_hook).clone();
        if let Some(hook) = hook {
            arrived.iter().for_each(|event| hook(event));
        }
        self.fire_byte_hooks();
        self.changed.send_modify(|changes| *changes += 1);
    }

    fn end(&self, number: u64, end: ConnectionEnd) {
        locked(&self.journal).change(number, |entry| entry.end = Some(end));
        self.changed.send_modify(|changes| *changes += 1);
    }
}

fn event(connection: u64, line: Vec<u8>) -> Result<Event, Violation> {
    let line = Bytes::from(line);
    match parse(&line) {
        Ok(frame) => Ok(Event {
            connection,
            date: frame.date.to_owned(),
            host: frame.host.to_owned(),
            tag: frame.tag.to_owned(),
            message: line.slice_ref(frame.message),
        }),
        Err(reason) => {
            let excerpt = String::from_utf8_lossy(line.get(..EXCERPT).unwrap_or(&line)).into_owned();
            Err(Violation::BadHeader(reason, excerpt))
        }
    }
}
