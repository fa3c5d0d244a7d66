//! Bodies: bytes that are there, or pieces that are made while they go out.
//!
//! A piece is asked for when hyper has room for it, so that a body of any size costs the memory of a few pieces. What
//! an answer holds is dropped together with its body: when the last byte was handed over, or when the client went away.

use std::convert::Infallible;
use std::fmt;
use std::future;
use std::io;
use std::iter;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::{Delivery, Held};

/// Pieces of a body, in order.
pub(crate) type Pieces = Box<dyn Iterator<Item = Bytes> + Send>;

/// The bytes of an answer.
pub(crate) enum Payload {
    /// They are there.
    Whole(Bytes),
    /// They are made while they go out.
    Streamed {
        /// What makes them.
        pieces: Pieces,
        /// How many bytes it will be; `None`: not known, sent as chunks.
        length: Option<u64>,
    },
}

impl Payload {
    /// How many bytes, where that is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Whole(bytes) => Some(bytes.len() as u64),
            Self::Streamed { length, .. } => *length,
        }
    }

    fn into_pieces(self) -> Pieces {
        match self {
            Self::Whole(bytes) => Box::new(iter::once(bytes).filter(|whole| !whole.is_empty())),
            Self::Streamed { pieces, .. } => pieces,
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Payload({:?} bytes)", self.length())
    }
}

/// A body as hyper takes it.
pub(super) struct Body {
    bytes: UnsyncBoxBody<Bytes, io::Error>,
    _held: Option<Box<dyn Held>>,
}

/// The body that is delivered so.
pub(super) fn on_the_wire(payload: Payload, delivery: Delivery, held: Option<Box<dyn Held>>) -> Body {
    let bytes = match (delivery, payload) {
        (Delivery::Slow { piece, pause }, payload) => slow(payload.into_pieces(), piece, pause),
        (Delivery::Stalled { body_bytes }, payload) => stalled(payload.into_pieces(), body_bytes),
        (_, Payload::Whole(bytes)) => Full::new(bytes).map_err(never).boxed_unsync(),
        (_, Payload::Streamed { pieces, .. }) => {
            StreamBody::new(stream::iter(pieces.map(|piece| Ok(Frame::data(piece))))).boxed_unsync()
        }
    };
    Body { bytes, _held: held }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.bytes).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}

fn slow(pieces: Pieces, piece: usize, pause: Duration) -> UnsyncBoxBody<Bytes, io::Error> {
    let drops = stream::unfold((pieces, Bytes::new()), move |(mut pieces, mut rest)| async move {
        while rest.is_empty() {
            rest = pieces.next()?;
        }
        tokio::time::sleep(pause).await;
        let next = rest.split_to(piece.clamp(1, rest.len()));
        Some((Ok(Frame::data(next)), (pieces, rest)))
    });
    StreamBody::new(drops).boxed_unsync()
}

fn stalled(pieces: Pieces, body_bytes: usize) -> UnsyncBoxBody<Bytes, io::Error> {
    let beginning = stream::iter(first_bytes(pieces, body_bytes).map(|piece| Ok(Frame::data(piece))));
    StreamBody::new(beginning.chain(stream::once(future::pending()))).boxed_unsync()
}

/// The first so many bytes of the pieces.
pub(crate) fn first_bytes(pieces: Pieces, count: usize) -> impl Iterator<Item = Bytes> + Send {
    pieces.scan(count, |left, piece| {
        let taken = piece.slice(..piece.len().min(*left));
        *left -= taken.len();
        (!taken.is_empty()).then_some(taken)
    })
}

fn never(never: Infallible) -> io::Error {
    match never {}
}
