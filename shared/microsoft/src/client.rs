//! One attempt at one request: from connecting to the last byte of the answer, within a bound of time and size.
//!
//! The client is pooled and lives as long as the process. It follows no redirect: a redirect could carry a token to
//! another host. A body is read into one buffer, because a page of sign-ins has tens of megabytes; the caller brings the
//! buffer, so that one serves for all pages of a walk.

use std::error::Error as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response, StatusCode};

/// Bodies of error answers are read for their code and message only.
pub(crate) const ERROR_BODY_LIMIT: usize = 64 * 1024;

/// Establishing a connection takes milliseconds; a host that is silent for so long is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Shorter than what load balancers in front of Microsoft's APIs keep an idle connection for.
const POOL_IDLE: Duration = Duration::from_secs(50);

/// What HTTP/2 may send ahead of a reader who rests, one body and all bodies together, in bytes: enough for 10 MB/s at
/// 25 ms, and little beside the memory of the smallest function.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;

/// How long sent bytes may stay unacknowledged: a connection that died while the process was frozen is noticed here.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

/// An answer, complete.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why an attempt gave no complete answer.
#[derive(Debug)]
pub(crate) enum TransportFailure {
    /// The deadline came before the answer.
    OutOfTime,
    /// The attempt's own time was over.
    TimedOut,
    /// No connection, with its cause.
    Unreachable(String),
    /// The connection ended before there was an answer, with its cause.
    Disconnected(String),
    /// The answer's body ended before its time, with its cause.
    BrokeOff(HeaderMap),
    /// The body is larger than the limit.
    TooLarge,
}

/// The bounds of one attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttemptBounds {
    /// Time until the deadline; `None` when it is over.
    pub(crate) time_left: Option<Duration>,
    /// Time that one attempt may take at the most.
    pub(crate) timeout: Duration,
    /// Largest body of a successful answer, in bytes.
    pub(crate) body_limit: usize,
}

/// Whether requests may go through the proxy that the system names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proxy {
    /// As the system says.
    System,
    /// Never, for hosts on this very machine.
    Never,
}

/// Builds the client of a process. Fails with its cause when the system has no usable trust store.
///
/// It has no time-out of its own for reading: a body that is read bit by bit, while its records are delivered, rests for
/// as long as that takes. Whoever waits for an answer says for how long.
pub(crate) fn build(proxy: Proxy) -> Result<reqwest::Client, String> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("microsoft-security-collector/", env!("CARGO_PKG_VERSION")))
        .gzip(true)
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .tcp_nodelay(true);
    #[cfg(target_os = "linux")]
    let builder = builder.tcp_user_timeout(UNACKNOWLEDGED);
    let builder = match proxy {
        Proxy::System => builder,
        Proxy::Never => builder.no_proxy(),
    };
    builder.build().map_err(|error| cause(&error))
}

/// Makes one attempt. The body of a successful answer is read into `buffer`, whatever that holds now.
pub(crate) async fn exchange(
    request: RequestBuilder,
    bounds: AttemptBounds,
    buffer: BytesMut,
) -> Result<Answer, TransportFailure> {
    bounded(bounds, async {
        let (head, mut response) = match open(request).await? {
            Opened::Refused(answer) => return Ok(answer),
            Opened::Body(head, response) => (head, response),
        };
        match read_body(&mut response, bounds.body_limit, buffer).await {
            Ok(body) => Ok(Answer { body, ..head }),
            Err(BodyFailure::TooLarge) => Err(TransportFailure::TooLarge),
            Err(BodyFailure::TimedOut) => Err(TransportFailure::TimedOut),
            Err(BodyFailure::BrokeOff) => Err(TransportFailure::BrokeOff(head.headers)),
        }
    })
    .await
}

/// An answer whose body, where it is a successful one, is still to be read.
pub(crate) enum Opened {
    /// Not a success; complete.
    Refused(Answer),
    /// A success: status and headers with an empty body, and where the body comes from.
    Body(Answer, Response),
}

/// Makes one attempt, up to the first byte of a successful answer's body.
pub(crate) async fn begin_exchange(
    request: RequestBuilder,
    bounds: AttemptBounds,
) -> Result<Opened, TransportFailure> {
    bounded(bounds, open(request)).await
}

async fn bounded<T>(
    bounds: AttemptBounds,
    attempt: impl Future<Output = Result<T, TransportFailure>>,
) -> Result<T, TransportFailure> {
    let Some(time_left) = bounds.time_left else {
        return Err(TransportFailure::OutOfTime);
    };
    match tokio::time::timeout(bounds.timeout.min(time_left), attempt).await {
        Ok(outcome) => outcome,
        Err(_) if time_left <= bounds.timeout => Err(TransportFailure::OutOfTime),
        Err(_) => Err(TransportFailure::TimedOut),
    }
}

async fn open(request: RequestBuilder) -> Result<Opened, TransportFailure> {
    let mut response = request.send().await.map_err(|error| classify(&error))?;
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    if !status.is_success() {
        let body = read_error_body(&mut response).await;
        return Ok(Opened::Refused(Answer { status, headers, body }));
    }
    Ok(Opened::Body(Answer { status, headers, body: Bytes::new() }, response))
}

enum BodyFailure {
    TooLarge,
    TimedOut,
    BrokeOff,
}

async fn read_body(response: &mut Response, limit: usize, mut body: BytesMut) -> Result<Bytes, BodyFailure> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    if announced > limit {
        return Err(BodyFailure::TooLarge);
    }
    body.clear();
    body.reserve(announced);
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => return Err(BodyFailure::TooLarge),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body.freeze()),
            Err(error) if error.is_timeout() => return Err(BodyFailure::TimedOut),
            Err(_) => return Err(BodyFailure::BrokeOff),
        }
    }
}

/// What could be read of an error's body: its status alone says enough, so a body that breaks off is no new failure.
async fn read_error_body(response: &mut Response) -> Bytes {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= ERROR_BODY_LIMIT {
            break;
        }
    }
    Bytes::from(body)
}

fn classify(error: &reqwest::Error) -> TransportFailure {
    if error.is_connect() {
        return TransportFailure::Unreachable(cause(error));
    }
    if error.is_timeout() {
        return TransportFailure::TimedOut;
    }
    TransportFailure::Disconnected(cause(error))
}

/// The innermost cause: the outer ones repeat the URL, which holds filters and page links.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: Option<&dyn std::error::Error> = error.source();
    while let Some(inner) = innermost.and_then(std::error::Error::source) {
        innermost = Some(inner);
    }
    innermost.map_or_else(|| "no cause known".to_owned(), ToString::to_string)
}
