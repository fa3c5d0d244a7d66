//! The runtime API as the client library of a function uses it.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::{InvocationAnswer, Runtime, RuntimeConfig};

const DEADLINE: Duration = Duration::from_secs(30);

async fn start() -> Runtime {
    Runtime::start(RuntimeConfig::default()).await.unwrap()
}

fn url(runtime: &Runtime, path: &str) -> String {
    format!("http://{}/2018-06-01/runtime/{path}", runtime.address())
}

async fn next(runtime: &Runtime) -> Response {
    Client::new().get(url(runtime, "invocation/next")).send().await.unwrap()
}

async fn post(runtime: &Runtime, path: &str, body: &Value) -> u16 {
    let request =
        Client::new().post(url(runtime, path)).header("Lambda-Runtime-Function-Error-Type", "SetupError");
    request.json(body).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn an_invocation_goes_out_with_its_headers_and_its_answer_comes_back() {
    let runtime = start().await;
    let before = Timestamp::now().as_millisecond();
    let invocation = runtime.invoke("{\"force\": true}", DEADLINE).unwrap();
    let handed_out = next(&runtime).await;
    let header = |name: &str| handed_out.headers()[name].to_str().unwrap().to_owned();
    let request_id = header("lambda-runtime-aws-request-id");
    assert_eq!(request_id, invocation.request_id());
    let deadline: i64 = header("lambda-runtime-deadline-ms").parse().unwrap();
    assert!(deadline >= before + 30_000 && deadline <= Timestamp::now().as_millisecond() + 30_000);
    assert!(header("lambda-runtime-invoked-function-arn").starts_with("arn:aws:lambda:"));
    assert!(header("lambda-runtime-trace-id").starts_with("Root="));
    assert_eq!(handed_out.text().await.unwrap(), "{\"force\": true}");

    let path = format!("invocation/{request_id}/response");
    assert_eq!(post(&runtime, &path, &json!({ "status": "up_to_date" })).await, 202);
    assert_eq!(invocation.answer().await, InvocationAnswer::Response(json!({ "status": "up_to_date" })));
    assert_eq!(post(&runtime, &path, &json!({})).await, 403, "an invocation is answered once");
    assert_eq!(runtime.polls().len(), 1);
}

#[tokio::test]
async fn errors_keep_their_type_and_message() {
    let runtime = start().await;
    let invocation = runtime.invoke_as("the-same-id", "{}", DEADLINE).unwrap();
    next(&runtime).await;
    let body = json!({ "errorType": "SetupError", "errorMessage": "[101] Failed", "stackTrace": [] });
    assert_eq!(post(&runtime, "invocation/the-same-id/error", &body).await, 202);
    let InvocationAnswer::Error(error) = invocation.answer().await else {
        panic!("no error");
    };
    assert_eq!((error.error_type.as_str(), error.message.as_str()), ("SetupError", "[101] Failed"));
    assert_eq!((error.header_type.as_deref(), error.body), (Some("SetupError"), body));
}

#[tokio::test]
async fn an_init_error_answers_whatever_waits() {
    let runtime = start().await;
    let invocation = runtime.invoke("{}", DEADLINE).unwrap();
    let body = json!({ "errorType": "Runtime.InitError", "errorMessage": "unknown handler" });
    assert_eq!(post(&runtime, "init/error", &body).await, 202);
    assert!(
        matches!(invocation.answer().await, InvocationAnswer::InitError(error) if error.message == "unknown handler")
    );
    assert_eq!(runtime.init_errors().len(), 1);
    assert_eq!(runtime.polls().len(), 0);
}

#[tokio::test]
async fn a_poll_waits_and_two_processes_share_the_queue() {
    let runtime = start().await;
    let polls = [0, 1].map(|_| {
        let runtime = runtime.clone();
        tokio::spawn(async move { next(&runtime).await.text().await.unwrap() })
    });
    while runtime.polls().len() < 2 {
        tokio::task::yield_now().await;
    }
    let _first = runtime.invoke("1", DEADLINE).unwrap();
    let _second = runtime.invoke("2", DEADLINE).unwrap();
    let mut handed_out = Vec::new();
    for poll in polls {
        handed_out.push(poll.await.unwrap());
    }
    handed_out.sort();
    assert_eq!(handed_out, ["1", "2"]);
}

#[tokio::test]
async fn a_process_that_dies_while_polling_takes_no_invocation_with_it() {
    let runtime = start().await;
    let mut dying = tokio::net::TcpStream::connect(runtime.address()).await.unwrap();
    dying.write_all(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    while runtime.open_polls() == 0 {
        tokio::task::yield_now().await;
    }
    dying.set_zero_linger().unwrap();
    drop(dying);
    while runtime.open_polls() > 0 {
        tokio::task::yield_now().await;
    }
    let _invocation = runtime.invoke("alive", DEADLINE).unwrap();
    assert_eq!(next(&runtime).await.text().await.unwrap(), "alive");
}

#[tokio::test]
async fn a_stopped_runtime_ends_the_wait_and_an_unreadable_answer_is_told() {
    let runtime = start().await;
    let odd = runtime.invoke("{}", DEADLINE).unwrap();
    let path = format!("invocation/{}/response", odd.request_id());
    Client::new().post(url(&runtime, &path)).body("no json").send().await.unwrap();
    assert_eq!(odd.answer().await, InvocationAnswer::Unreadable("no json".to_owned()));
    let waiting = runtime.invoke("{}", DEADLINE).unwrap();
    runtime.stop();
    assert_eq!(waiting.answer().await, InvocationAnswer::Stopped);
}
