//! The HTTP side of the runtime API: next, response, error, init error.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use super::{FunctionError, InvocationAnswer, Queued, State};
use crate::http::{Answer, Handler, Request};
use crate::sync::locked;

const ROOT: &str = "/2018-06-01/runtime/";
const JSON: &str = "application/json";

impl Handler for State {
    async fn answer(&self, request: Request) -> Answer {
        let Some(path) = request.path.strip_prefix(ROOT) else {
            return refusal(404, "UnknownPath", "no such path");
        };
        let parts: Vec<&str> = path.split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["invocation", "next"]) => self.next().await,
            ("POST", ["invocation", request_id, "response"]) => self.settle(request_id, response(&request)),
            ("POST", ["invocation", request_id, "error"]) => {
                self.settle(request_id, InvocationAnswer::Error(function_error(&request)))
            }
            ("POST", ["init", "error"]) => self.fail_to_start(&function_error(&request)),
            _ => refusal(404, "UnknownPath", "no such path"),
        }
    }
}

impl State {
    async fn next(&self) -> Answer {
        let _open = OpenPoll::of(&self.open_polls);
        locked(&self.polls).push(Instant::now());
        loop {
            let queued = locked(&self.queue).pop_front();
            if let Some(queued) = queued {
                return self.handed_out(queued);
            }
            self.queued.notified().await;
        }
    }

    fn handed_out(&self, queued: Queued) -> Answer {
        // Another process may be polling for the next one in the queue.
        self.queued.notify_one();
        let trace = format!("Root=1-00000000-{};Sampled=0", queued.request_id.replace('-', ""));
        Answer::new(200, JSON, queued.event)
            .with_header("Lambda-Runtime-Aws-Request-Id", queued.request_id)
            .with_header("Lambda-Runtime-Deadline-Ms", queued.deadline_ms.to_string())
            .with_header("Lambda-Runtime-Invoked-Function-Arn", self.function_arn.clone())
            .with_header("Lambda-Runtime-Trace-Id", trace)
    }

    fn settle(&self, request_id: &str, answer: InvocationAnswer) -> Answer {
        match locked(&self.waiting).remove(request_id) {
            Some(waiting) => {
                // Whoever invoked may have lost interest.
                let _ = waiting.send(answer);
                Answer::new(202, JSON, json!({ "status": "OK" }).to_string())
            }
            None => refusal(403, "InvalidRequestID", "no invocation waits under this request id"),
        }
    }

    fn fail_to_start(&self, error: &FunctionError) -> Answer {
        locked(&self.init_errors).push(error.clone());
        locked(&self.queue).clear();
        for (_, waiting) in std::mem::take(&mut *locked(&self.waiting)) {
            let _ = waiting.send(InvocationAnswer::InitError(error.clone()));
        }
        Answer::new(202, JSON, json!({ "status": "OK" }).to_string())
    }
}

/// Counts a poll for as long as somebody waits for it: dropped with the answer or with the connection.
struct OpenPoll<'a>(&'a AtomicUsize);

impl<'a> OpenPoll<'a> {
    fn of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for OpenPoll<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn response(request: &Request) -> InvocationAnswer {
    match serde_json::from_slice(&request.body) {
        Ok(value) => InvocationAnswer::Response(value),
        Err(_) => InvocationAnswer::Unreadable(String::from_utf8_lossy(&request.body).into_owned()),
    }
}

fn function_error(request: &Request) -> FunctionError {
    let body: Value = serde_json::from_slice(&request.body)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&request.body).into_owned()));
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    FunctionError {
        header_type: request.header("lambda-runtime-function-error-type").map(str::to_owned),
        error_type: text("errorType"),
        message: text("errorMessage"),
        body,
    }
}

fn refusal(status: u16, error_type: &str, message: &str) -> Answer {
    Answer::new(status, JSON, json!({ "errorType": error_type, "errorMessage": message }).to_string())
}
