//! A small HTTP/1.1 server whose answers may break on the wire.
//!
//! hyper parses requests and writes answers; underneath lies a stream that can cut an answer after any byte of its
//! body, end without a word, or reset the connection. Every connection belongs to the server's task: stopping the
//! server cuts them all, so that a client with pooled connections cannot go on talking to a dead party.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::sync::locked;

mod body;
mod wire;

pub(crate) use body::{Payload, Pieces, first_bytes};

use wire::{BreakingStream, Orders, Plan};

/// One request, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// For example `GET`.
    pub(crate) method: String,
    /// Path without the query, as sent.
    pub(crate) path: String,
    /// Query without the question mark, as sent.
    pub(crate) query: String,
    /// Headers in order, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The whole body.
    pub(crate) body: Bytes,
}

impl Request {
    /// The first header of that name (lower case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// How an answer goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// As HTTP wants it.
    Whole,
    /// In pieces of that many bytes with a pause between.
    Slow { piece: usize, pause: Duration },
    /// The head and that many bytes of the body (its framing counts where it is chunked), then the end of the stream.
    Cut { body_bytes: usize },
    /// The head and that many bytes of the body, then silence.
    Stalled { body_bytes: usize },
    /// Nothing but the end of the stream.
    Close,
    /// Nothing but a TCP reset.
    Reset,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Headers in order.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Payload,
    /// How it goes out.
    pub(crate) delivery: Delivery,
    /// A header whose name goes out spelled exactly like this; all others go out in lower case.
    pub(crate) spelling: Option<String>,
    /// Dropped when the answer is out, or its client is gone.
    pub(crate) held: Option<Box<dyn Held>>,
}

/// What an answer holds until it is out.
pub(crate) trait Held: std::fmt::Debug + Send {}

impl Answer {
    /// An answer with a content type and a body.
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Self::with_payload(status, headers, Payload::Whole(body.into()))
    }

    /// An answer whose body is made while it goes out.
    pub(crate) fn streamed(status: u16, content_type: &str, pieces: Pieces, length: Option<u64>) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Self::with_payload(status, headers, Payload::Streamed { pieces, length })
    }

    fn with_payload(status: u16, headers: Vec<(String, String)>, body: Payload) -> Self {
        Self { status, headers, body, delivery: Delivery::Whole, spelling: None, held: None }
    }

    /// The same with one header more.
    pub(crate) fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// What gives the answers.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Answers one request. The future is dropped when the client goes away.
    fn answer(&self, request: Request) -> impl Future<Output = Answer> + Send;
}

/// A running server. Dropping the last clone stops it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    inner: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    address: SocketAddr,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Listens on `listen` (port 0: any free one) and answers with `handler`.
    pub(crate) async fn start<H: Handler>(listen: SocketAddr, handler: Arc<H>) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, handler)).abort_handle();
        Ok(Self { inner: Arc::new(Running { address, task }) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.inner.address
    }

    /// Stops listening and cuts all connections.
    pub(crate) fn stop(&self) {
        self.inner.task.abort();
    }
}

async fn accept<H: Handler>(listener: TcpListener, handler: Arc<H>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A connection that was reset before it was accepted is no reason to stop.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, Arc::clone(&handler)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve<H: Handler>(stream: TcpStream, handler: Arc<H>) {
    // Answers are small and awaited: Nagle's algorithm would only add latency.
    let _ = stream.set_nodelay(true);
    let orders = Arc::new(Mutex::new(Orders::default()));
    let io = TokioIo::new(BreakingStream::new(stream, Arc::clone(&orders)));
    let service = service_fn(|request| respond(request, Arc::clone(&handler), Arc::clone(&orders)));
    // The error is the fault that was asked for, or the client's going away.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
}

async fn respond<H: Handler>(
    incoming: hyper::Request<Incoming>,
    handler: Arc<H>,
    orders: Arc<Mutex<Orders>>,
) -> io::Result<hyper::Response<body::Body>> {
    let answer = handler.answer(read(incoming).await?).await;
    match answer.delivery {
        Delivery::Close => return Err(io::Error::other("closed before the answer, as scripted")),
        Delivery::Reset => {
            locked(&orders).plan = Plan::Reset;
            return Err(io::Error::other("reset before the answer, as scripted"));
        }
        Delivery::Cut { body_bytes } => locked(&orders).plan = Plan::CutAfterHead { body_bytes },
        Delivery::Whole | Delivery::Slow { .. } | Delivery::Stalled { .. } => {}
    }
    let mut builder = hyper::Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        builder = builder.header(name, value);
    }
    // Known before the first byte, so that a cut body is seen as cut. Without it hyper sends chunks.
    if let Some(length) = answer.body.length() {
        builder = builder.header("Content-Length", length);
    }
    locked(&orders).spelling = answer.spelling;
    builder.body(body::on_the_wire(answer.body, answer.delivery, answer.held)).map_err(io::Error::other)
}

async fn read(incoming: hyper::Request<Incoming>) -> io::Result<Request> {
    let (parts, body) = incoming.into_parts();
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    Ok(Request {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers,
        body: body.collect().await.map_err(io::Error::other)?.to_bytes(),
    })
}
