//! A TCP stream that breaks where it is told to.
//!
//! The plan is set by the handler just before its answer is written. hyper writes the head and the first bytes of the
//! body in one piece, so the end of the head is found in the first write under the plan; the bytes behind it are
//! counted. Dropping the stream ends it: with a FIN, or with a reset when the plan says so.

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

/// The stream.
#[derive(Debug)]
pub(super) struct BreakingStream {
    stream: TcpStream,
    plan: Arc<Mutex<Plan>>,
}

impl BreakingStream {
    /// A stream that asks `plan` before every write.
    pub(super) fn new(stream: TcpStream, plan: Arc<Mutex<Plan>>) -> Self {
        Self { stream, plan }
    }

    /// How many of these bytes may go out; settles where the cut is.
    fn allowance(&self, bytes: &[u8]) -> usize {
        let mut plan = locked(&self.plan);
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
        if let Plan::CutAfter { bytes } = &mut *locked(&self.plan) {
            *bytes -= written;
        }
    }
}

impl Drop for BreakingStream {
    fn drop(&mut self) {
        if *locked(&self.plan) == Plan::Reset {
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
        let allowed = bytes.get(..allowance).unwrap_or(bytes);
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
