//! The executable as Lambda sees it: what it asks the runtime API for, what it answers, how it ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The runtime API, or AWS: answers by hand, one request after another.
struct Server {
    listener: TcpListener,
    open: Option<TcpStream>,
}

impl Server {
    fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap(), open: None }
    }

    fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// The next request: its head and its body. It may come over the open connection or over a new one.
    fn request(&mut self) -> (String, String) {
        loop {
            let stream = self.open.get_or_insert_with(|| self.listener.accept().unwrap().0);
            if let Some(request) = read_request(stream) {
                return request;
            }
            self.open = None;
        }
    }

    fn answer(&mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}");
        self.open.as_mut().unwrap().write_all(answer.as_bytes()).unwrap();
    }
}

fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&received).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, digits)| digits.trim().parse().unwrap());
            if body.len() >= length {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(read) => received.extend_from_slice(&chunk[..read]),
        }
    }
}

/// Starts the executable as Lambda would, for this Handler.
fn start(handler: &str, runtime_api: &Server, aws: &Server) -> Child {
    Command::new(env!("CARGO_BIN_EXE_bootstrap"))
        .env_clear()
        .envs([
            ("_HANDLER", handler),
            ("AWS_LAMBDA_RUNTIME_API", &runtime_api.address()),
            ("AWS_LAMBDA_FUNCTION_NAME", "stack-function"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "AKIDTEST"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL", &format!("http://{}", aws.address())),
            ("COLLECTOR_SECRET_ID", "collector"),
            ("DEVO_SECRET_ID", "collector"),
            ("STATE_TABLE", "state"),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Asks the process to end, as Lambda does.
fn ask_to_end(child: &Child) {
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(asked.success());
}

#[test]
fn an_unknown_handler_is_told_to_lambda_with_the_known_ones() {
    let (mut runtime_api, aws) = (Server::start(), Server::start());
    let child = start("graph-audits", &runtime_api, &aws);
    let (head, body) = runtime_api.request();
    runtime_api.answer("202 Accepted", "", "{}");
    assert!(head.starts_with("POST /2018-06-01/runtime/init/error HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Lambda-Runtime-Function-Error-Type: InitVariablesError"), "{head}");
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(told["errorType"], "InitVariablesError");
    let message = told["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("[1] _HANDLER `graph-audits` is not known"), "{message}");
    for service in graph::AUDIT.services.iter().chain(graph::SECURITY.services) {
        assert!(message.contains(service.function), "{message}");
    }
    let end = child.wait_with_output().unwrap();
    assert!(!end.status.success());
    assert!(String::from_utf8_lossy(&end.stdout).contains("\"level\":\"ERROR\""));
}

#[test]
fn every_service_is_played_by_its_handler_and_ends_when_asked() {
    for service in graph::AUDIT.services.iter().chain(graph::SECURITY.services) {
        let (mut runtime_api, aws) = (Server::start(), Server::start());
        let mut child = start(service.function, &runtime_api, &aws);
        let (head, _) = runtime_api.request();
        assert!(head.starts_with("GET /2018-06-01/runtime/invocation/next "), "{head}");
        ask_to_end(&child);
        assert!(child.wait().unwrap().success(), "{}", service.function);
    }
}

#[test]
fn a_call_at_work_is_answered_before_the_process_ends() {
    let (mut runtime_api, mut aws) = (Server::start(), Server::start());
    let child = start("graph-directory-audits", &runtime_api, &aws);
    runtime_api.request();
    let headers = "lambda-runtime-aws-request-id: request-1\r\nlambda-runtime-deadline-ms: 4102444800000\r\n\
                   content-type: application/json\r\n";
    runtime_api.answer("200 OK", headers, "{}");
    aws.request();
    ask_to_end(&child);
    let refusal = r#"{"__type": "ResourceNotFoundException", "Message": "none"}"#;
    // Both secrets are read at the same time, over two connections; here they have one name.
    aws.answer("400 Bad Request", "", refusal);
    aws.open = None;
    aws.request();
    aws.answer("400 Bad Request", "", refusal);
    let (head, body) = runtime_api.request();
    assert!(head.starts_with("POST /2018-06-01/runtime/invocation/request-1/error "), "{head}");
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(told["errorType"], "InitVariablesError");
    assert!(
        told["errorMessage"].as_str().unwrap().starts_with("[1] secret collector cannot be read"),
        "{told}"
    );
    runtime_api.answer("202 Accepted", "", "");
    let end = child.wait_with_output().unwrap();
    assert!(end.status.success());
    let log = String::from_utf8_lossy(&end.stdout).into_owned();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        lines
            .iter()
            .any(|line| line["request_id"] == "request-1" && line["error_type"] == "InitVariablesError"),
        "{log}"
    );
}
