//! A recorder between the artefact and an emulator of AWS: carries every request and answer as they are, and keeps what
//! IAM would have been asked.
//!
//! It stands before DynamoDB and before Secrets Manager, which both speak JSON over HTTP/1.1 and name the operation in a
//! header. What cannot be read as a call is kept as a problem, and a test that asks for the calls fails on it: a call
//! that nobody judges must not pass.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::iam::Call;
use super::recorder_calls::{Account, calls_of};

/// A running recorder. Dropping it cuts everything.
pub struct Recorder {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: AbortHandle,
}

struct Seen {
    server: SocketAddr,
    account: Account,
    calls: Mutex<Vec<Call>>,
    problems: Mutex<Vec<String>>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Recorder {
    /// A recorder before this server, whose resources are those of `account`.
    pub async fn before(server: SocketAddr, account: Account) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen { server, account, calls: Mutex::default(), problems: Mutex::default() });
        let task = tokio::spawn(accept(listener, Arc::clone(&seen))).abort_handle();
        Self { address, seen, task }
    }

    /// The value of an endpoint variable.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The calls so far, in order. Fails the test when a request was no call that is known.
    #[track_caller]
    pub fn calls(&self) -> Vec<Call> {
        let problems = self.seen.problems.lock().unwrap();
        assert!(problems.is_empty(), "requests that IAM cannot be asked about: {problems:?}");
        self.seen.calls.lock().unwrap().clone()
    }
}

impl Seen {
    fn keep(&self, operation: &str, body: &[u8]) {
        match calls_of(operation, body, &self.account) {
            Ok(calls) => self.calls.lock().unwrap().extend(calls),
            Err(problem) => self.problems.lock().unwrap().push(problem),
        }
    }
}

async fn accept(listener: TcpListener, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(serve(stream, Arc::clone(&seen)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, seen: Arc<Seen>) {
    // Small messages must not wait for one another: the time of a test is made of them.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| carry(request, Arc::clone(&seen)));
    // An error is the client's going away.
    let _ = server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Keeps one request, asks the server over a connection of its own and gives the answer.
async fn carry(request: Request<Incoming>, seen: Arc<Seen>) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let operation =
        head.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    seen.keep(operation, &body);
    let stream = TcpStream::connect(seen.server).await?;
    stream.set_nodelay(true)?;
    let connected = client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = connected.map_err(io::Error::other)?;
    let asked = sender.send_request(Request::from_parts(head, Full::new(body)));
    let (answer, _) = tokio::join!(
        async {
            let (head, body) = asked.await.map_err(io::Error::other)?.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            // The connection ends with its only sender.
            drop(sender);
            Ok(Response::from_parts(head, Full::new(body)))
        },
        connection,
    );
    answer
}
