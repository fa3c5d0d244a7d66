//! A meter in front of DynamoDB's API: asks for the consumed capacity of every call and adds it up.
//!
//! The artefact does not ask for it, so the meter writes the wish into each request on its way. The emulator answers with
//! the units that AWS would bill: a write in steps of 1 kB, twice that in a transaction, a strongly consistent read in
//! steps of 4 kB. Each answer is held back for the time that DynamoDB takes in its own region.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::Outcome;

/// Calls of this kind are not counted: nobody pays for them, or only this benchmark makes them.
const UNCOUNTED: [&str; 2] = ["Scan", "CreateTable"];
/// Reading calls; all others write.
const READING: [&str; 4] = ["BatchGetItem", "GetItem", "Query", "TransactGetItems"];

/// What was consumed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Consumed {
    /// Calls.
    pub calls: u64,
    /// Write request units.
    pub writes: f64,
    /// Read request units.
    pub reads: f64,
}

/// A running meter.
#[derive(Clone)]
pub struct Meter {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    database: SocketAddr,
    client: reqwest::Client,
    delay: Duration,
    consumed: Mutex<Consumed>,
}

impl Meter {
    /// A meter in front of this database, whose answers are held back for `delay`.
    pub async fn start(database: SocketAddr, delay: Duration) -> Outcome<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let state = Arc::new(State { database, client, delay, consumed: Mutex::default() });
        tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything so far.
    pub fn consumed(&self) -> Consumed {
        *self.state.consumed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        // A connection that was reset before it was accepted is no reason to stop.
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(converse(stream, Arc::clone(&state)));
    }
}

async fn converse(stream: TcpStream, state: Arc<State>) {
    // Answers are small and awaited: Nagle's algorithm would only add latency.
    _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let state = Arc::clone(&state);
        async move { state.pass(request).await.map_err(|error| error.to_string()) }
    });
    // An error is the client's going away, or a failure that the client sees as a cut connection.
    _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl State {
    async fn pass(&self, request: hyper::Request<Incoming>) -> Outcome<hyper::Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
        let operation = target.and_then(|target| target.rsplit('.').next()).unwrap_or_default().to_owned();
        let mut call: Value = serde_json::from_slice(&body.collect().await?.to_bytes())?;
        if !UNCOUNTED.contains(&operation.as_str()) {
            call["ReturnConsumedCapacity"] = Value::from("TOTAL");
        }
        let mut headers = parts.headers;
        for name in ["host", "content-length", "transfer-encoding"] {
            headers.remove(name);
        }
        let answer = self
            .client
            .post(format!("http://{}", self.database))
            .headers(headers)
            .body(call.to_string())
            .send()
            .await?;
        let (status, headers, body) = (answer.status(), answer.headers().clone(), answer.bytes().await?);
        if status.is_success() {
            self.count(&operation, &serde_json::from_slice(&body)?)?;
        }
        sleep(self.delay).await;
        let mut response = hyper::Response::new(Full::new(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response.headers_mut().remove("transfer-encoding");
        Ok(response)
    }

    fn count(&self, operation: &str, answer: &Value) -> Outcome<()> {
        if UNCOUNTED.contains(&operation) {
            return Ok(());
        }
        let units = units(answer).ok_or_else(|| format!("{operation} was answered without its units"))?;
        let mut consumed = self.consumed.lock().unwrap_or_else(PoisonError::into_inner);
        consumed.calls += 1;
        if READING.contains(&operation) {
            consumed.reads += units;
        } else {
            consumed.writes += units;
        }
        Ok(())
    }
}

/// The units of an answer: one figure, or one for each table.
fn units(answer: &Value) -> Option<f64> {
    let consumed = answer.get("ConsumedCapacity")?;
    let of = |one: &Value| one.get("CapacityUnits").and_then(Value::as_f64);
    match consumed {
        Value::Array(tables) => tables.iter().map(of).sum(),
        one => of(one),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_units_of_an_answer_are_found_in_either_form_and_missed_when_they_are_absent() {
        let cases = [
            (json!({"ConsumedCapacity": {"TableName": "t", "CapacityUnits": 1.5}}), Some(1.5)),
            (json!({"ConsumedCapacity": [{"CapacityUnits": 4.0}, {"CapacityUnits": 2.0}]}), Some(6.0)),
            (json!({"ConsumedCapacity": [{"CapacityUnits": 4.0}, {}]}), None),
            (json!({"Items": []}), None),
        ];
        for (answer, expected) in cases {
            assert_eq!(units(&answer), expected, "{answer}");
        }
    }
}
