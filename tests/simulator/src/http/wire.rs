//! A TCP stream that breaks where it is told to.
//!
//! The plan is set by the handler just before its answer is written. hyper writes the head and the first bytes of the
//! body in one piece, so the end of the head is found in the first write under the plan; the bytes behind it are
//! counted. Dropping the stream ends it: with a FIN, or with a reset when the plan says so. hyper writes the names of
//! headers in lower case; one name can be given back its capitals here.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use memchr::memmem;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::sync::locked;

/// What shall become of the bytes written next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// All of them go out.
    Whole,
    /// The head and that many bytes behind it go out; then writing fails.
    CutAfterHead { body_bytes: usize },
    /// That many bytes go out; then writing fails.
    CutAfter { bytes: usize },
    /// Dropping the stream resets the connection.
    Reset,
}

/// What the handler wants done with the answer it is about to give.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) plan: Plan,
    /// A header's name with its capitals.
    pub(super) spelling: Option<String>,
}

impl Default for Orders {
    fn default() -> Self {
        Self { plan: Plan::Whole, spelling: None }
    }
}

/// The stream.
#[derive(Debug)]
pub(super) struct BreakingStream {
    stream: TcpStream,
    orders: Arc<Mutex<Orders>>,
}

impl BreakingStream {
    /// A stream that asks `orders` before every write.
    pub(super) fn new(stream: TcpStream, orders: Arc<Mutex<Orders>>) -> Self {
        Self { stream, orders }
    }

    /// The bytes with the header's name in its capitals, if they hold that header. They are as many as before.
    fn respelled(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut orders = locked(&self.orders);
        let name = orders.spelling.as_ref()?;
        let head = bytes.get(..memmem::find(bytes, b"\r\n\r\n")?)?;
        let line = format!("\r\n{}:", name.to_ascii_lowercase());
        let found = memmem::find(head, line.as_bytes());
        let respelled = found.and_then(|start| {
            let (before, after) = (bytes.get(..start + 2)?, bytes.get(start + 2 + name.len()..)?);
            Some([before, name.as_bytes(), after].concat())
        });
        orders.spelling = None;
        respelled
    }

    /// How many of these bytes may go out; settles where the cut is.
    fn allowance(&self, bytes: &[u8]) -> usize {
        let plan = &mut locked(&self.orders).plan;
        if let Plan::CutAfterHead { body_bytes } = *plan {
            let head = memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |end| end + 4);
            *plan = Plan::CutAfter { bytes: head + body_bytes };
        }
        match *plan {
            Plan::CutAfter { bytes: left } => left.min(bytes.len()),
            _ => bytes.len(),
        }
    }

    fn spend(&self, written: usize) {
        if let Plan::CutAfter { bytes } = &mut locked(&self.orders).plan {
            *bytes -= written;
        }
    }
}

impl Drop for BreakingStream {
    fn drop(&mut self) {
        if locked(&self.orders).plan == Plan::Reset {
            // Without it the drop sends a FIN; there is nobody to tell.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for BreakingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for BreakingStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let allowance = self.allowance(bytes);
        if allowance == 0 && !bytes.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let respelled = self.respelled(bytes);
        let written_bytes = respelled.as_deref().unwrap_or(bytes);
        let allowed = written_bytes.get(..allowance).unwrap_or(written_bytes);
        let outcome = Pin::new(&mut self.stream).poll_write(context, allowed);
        if let Poll::Ready(Ok(written)) = outcome {
            self.spend(written);
        }
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
