//! `collector backfill` with an `aws` command that plays a list of answers.

#![cfg(unix)]

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::text;

const FUNCTION: &str = "collector-graph-sign-ins";
const FROM: &str = "2026-11-01T00:00:00Z";
const TO: &str = "2026-11-08T00:00:00Z";

/// What one call of `aws` gives.
#[derive(Default)]
struct Play {
    answer: Option<Value>,
    out: &'static str,
    err: &'static str,
    code: i32,
}

fn answers(answer: Value) -> Play {
    Play {
        answer: Some(answer),
        out: r#"{"StatusCode": 200, "ExecutedVersion": "$LATEST"}"#,
        ..Play::default()
    }
}

fn fails(error_type: &str, message: &str) -> Play {
    Play {
        answer: Some(json!({"errorType": error_type, "errorMessage": message})),
        out: r#"{"StatusCode": 200, "FunctionError": "Unhandled", "ExecutedVersion": "$LATEST"}"#,
        ..Play::default()
    }
}

fn complains(code: i32, err: &'static str) -> Play {
    Play { err, code, ..Play::default() }
}

fn counted(status: &str, from: &str, to: &str, received: u64, delivered: u64) -> Play {
    answers(json!({"service": "graph-sign-ins", "status": status, "devo_pulling_id": "1",
        "window": {"from": from, "to": to}, "windows": 2, "requests": 10, "received": received,
        "duplicates": received - delivered, "delivered": delivered, "failed": 0, "sent": delivered,
        "bytes_sent": 100 * delivered, "warnings": ["the API is slow"]}))
}

fn locked() -> Play {
    answers(json!({"status": "locked", "devo_pulling_id": null, "window": null}))
}

/// A folder in which the fake command finds what to play.
struct Stage(tempfile::TempDir);

impl Stage {
    fn with(plays: Vec<Play>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (index, play) in plays.into_iter().enumerate() {
            let write = |extension: &str, content: String| {
                std::fs::write(folder.path().join(format!("{}.{extension}", index + 1)), content).unwrap();
            };
            if let Some(answer) = play.answer {
                write("answer", answer.to_string());
            }
            write("out", play.out.to_owned());
            write("err", play.err.to_owned());
            write("code", play.code.to_string());
        }
        Self(folder)
    }

    /// The command with these arguments behind the function and the window; it waits for nothing.
    fn command(&self, more: &[&str]) -> Command {
        self.bare(
            &[&["--function", FUNCTION, "--from", FROM, "--to", TO, "--first-wait-seconds", "0"], more]
                .concat(),
        )
    }

    fn bare(&self, arguments: &[&str]) -> Command {
        let fakes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands/fake");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
        command
            .arg("backfill")
            .args(arguments)
            .env("PATH", format!("{}:{path}", fakes.display()))
            .env("FAKE_AWS", self.0.path())
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, more: &[&str]) -> Output {
        let output = self.command(more).output().await.unwrap();
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "no colours in a pipe");
        output
    }

    /// The arguments of each call, the line about its environment first.
    fn calls(&self) -> Vec<Vec<String>> {
        let lines = std::fs::read_to_string(self.0.path().join("calls")).unwrap_or_default();
        let mut calls: Vec<Vec<String>> = Vec::new();
        for line in lines.lines() {
            if line.starts_with("call ") {
                calls.push(Vec::new());
            }
            calls.last_mut().unwrap().push(line.to_owned());
        }
        calls
    }

    /// The payload of each call.
    fn payloads(&self) -> Vec<Value> {
        let payload = |call: Vec<String>| {
            let place = call.iter().position(|argument| argument == "--payload").unwrap();
            serde_json::from_str(&call[place + 1]).unwrap()
        };
        self.calls().into_iter().map(payload).collect()
    }
}

fn wanted(resend: bool) -> Value {
    json!({"backfill": {"start_time_in_utc": FROM, "end_time_in_utc": TO, "resend": resend}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_is_pulled_to_its_end_and_summed_up() {
    let middle = "2026-11-04T00:00:00Z";
    let plays = || {
        vec![
            counted("more", FROM, middle, 1_000, 900),
            locked(),
            complains(
                254,
                "An error occurred (TooManyRequestsException) when calling the Invoke operation: Rate exceeded",
            ),
            fails("DeliveryError", "[602] collector failed Connection closed by server."),
            counted("more", middle, TO, 500, 500),
            counted("up_to_date", middle, TO, 50, 40),
            counted("up_to_date", FROM, TO, 1_550, 0),
        ]
    };
    let stage = Stage::with(plays());
    let shown = stage.run(&[]).await;
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    assert_eq!(stage.payloads(), vec![wanted(false); 6], "once it is complete it is not asked for again");
    let result = text(&shown.stdout);
    assert!(
        result.contains("is complete") && result.contains("1,550 received, 110 duplicates, 1,440 delivered"),
        "{result}"
    );
    let told = text(&shown.stderr);
    assert!(
        told.contains("more: 2026-11-01T00:00:00Z to 2026-11-04T00:00:00Z, 10 requests, 1000 received"),
        "{told}"
    );
    assert_eq!(told.matches("the API is slow").count(), 1, "a warning is shown once: {told}");
    for reason in ["another invocation is at work", "TooManyRequestsException", "[602]"] {
        assert!(told.contains(reason), "{told}");
    }

    let stage = Stage::with(plays());
    let printed = stage.run(&["--json"]).await;
    let object: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let expected = json!({"function": FUNCTION, "status": "complete", "problem": null, "start_time_in_utc": FROM,
        "end_time_in_utc": TO, "resend": false, "answers": 4, "ticks": 0, "windows": 6, "requests": 30, "received": 1550,
        "duplicates": 110, "delivered": 1440, "failed": 0, "sent": 1440, "bytes_sent": 144_000, "throttled": 0,
        "elapsed_ms": object["elapsed_ms"], "warnings": ["the API is slow"]});
    assert_eq!(object, expected);
    assert!(object["elapsed_ms"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resend_is_asked_for_once_and_then_gone_on_with_by_ticks() {
    let not_due = answers(json!({"status": "not_due", "devo_pulling_id": null}));
    let stage = Stage::with(vec![locked(), counted("more", FROM, TO, 30, 30), not_due]);
    let shown = stage.run(&["--resend"]).await;
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    assert_eq!(stage.payloads(), [wanted(true), json!({}), json!({})]);
    assert!(text(&shown.stdout).contains("2 answers were those of ticks"), "{}", text(&shown.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_aws_command_is_called_with_what_an_invocation_of_minutes_needs() {
    let stage = Stage::with(vec![counted("up_to_date", FROM, TO, 1, 1)]);
    let shown = stage.run(&["--region", "eu-west-1", "--profile", "security"]).await;
    assert!(shown.status.success());
    let calls = stage.calls();
    let call: Vec<&str> = calls[0].iter().map(String::as_str).collect();
    let pairs = [
        ["--function-name", FUNCTION],
        ["--cli-binary-format", "raw-in-base64-out"],
        ["--cli-read-timeout", "300"],
        ["--cli-connect-timeout", "10"],
        ["--region", "eu-west-1"],
        ["--profile", "security"],
        ["--output", "json"],
    ];
    assert_eq!(call[..3], ["call 1 attempts=1 pager=[] prompt=off", "lambda", "invoke"]);
    for pair in pairs {
        assert!(call.windows(2).any(|two| two == pair), "{pair:?} is not in {call:?}");
    }
    assert!(call.last().unwrap().ends_with("answer.json"), "{call:?}");
    assert!(!Path::new(call.last().unwrap()).exists(), "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aws_command_that_does_not_know_how_to_be_told_of_plain_text_takes_it_anyway() {
    let refusal = "usage: aws [options]\n\nUnknown options: --cli-binary-format, answer.json\n";
    let stage = Stage::with(vec![
        complains(255, refusal),
        counted("more", FROM, TO, 1, 1),
        counted("up_to_date", FROM, TO, 1, 1),
    ]);
    let shown = stage.run(&[]).await;
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let has_option: Vec<bool> = stage
        .calls()
        .iter()
        .map(|call| call.iter().any(|argument| argument == "--cli-binary-format"))
        .collect();
    assert_eq!(has_option, [true, false, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_a_backfill_early_is_said_with_its_exit_code() {
    let lost = "Read timeout on endpoint URL: \"https://lambda.us-east-1.amazonaws.com\"";
    let cases: Vec<(&[&str], Play, i32, &str)> = vec![
        (
            &[],
            fails("SetupError", "[101] the client secret has expired"),
            1,
            "SetupError [101] the client secret",
        ),
        (&[], answers(json!({"status": "disabled"})), 1, "switched off"),
        (&[], answers(json!({"status": "retired"})), 1, "retired"),
        (&[], answers(json!({"statusCode": 200, "body": "hello"})), 1, "none of this collector's"),
        (
            &[],
            complains(254, "An error occurred (ResourceNotFoundException): not found"),
            1,
            "ResourceNotFound",
        ),
        (&[], complains(253, "Unable to locate credentials."), 2, "AWS_ACCESS_KEY_ID"),
        (&["--resend"], complains(255, lost), 1, "request#2026-11-01T00:00:00Z#2026-11-08T00:00:00Z#resend"),
    ];
    for (more, play, code, words) in cases {
        let stage = Stage::with(vec![play]);
        let shown = stage.run(&[more, &["--json"]].concat()).await;
        let told = text(&shown.stderr);
        assert_eq!(shown.status.code(), Some(code), "{told}");
        assert!(told.contains(words), "{told}");
        assert_eq!(stage.calls().len(), 1);
        if code == 1 {
            let object: Value = serde_json::from_slice(&shown.stdout).unwrap();
            assert_eq!(object["status"], "failed");
            assert!(told.contains(object["problem"].as_str().unwrap()), "{object} {told}");
        } else {
            assert!(shown.stdout.is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_refused_here_costs_no_invocation() {
    let stage = Stage::with(Vec::new());
    let cases = [
        ("soon", TO, "event.backfill.start_time_in_utc: is no time"),
        (FROM, "2999-01-01T00:00:00Z", "event.backfill.end_time_in_utc: is in the future"),
        (TO, FROM, "event.backfill.end_time_in_utc: must be after start_time_in_utc"),
    ];
    for (from, to, words) in cases {
        let refused =
            stage.bare(&["--function", FUNCTION, "--from", from, "--to", to]).output().await.unwrap();
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains(words), "{}", text(&refused.stderr));
    }
    assert!(stage.calls().is_empty());
    let nothing = tempfile::tempdir().unwrap();
    let absent = stage.command(&[]).env("PATH", nothing.path()).output().await.unwrap();
    assert_eq!(absent.status.code(), Some(2));
    for remedy in ["not in PATH", "install the AWS CLI", "AWS_SECRET_ACCESS_KEY", "--profile"] {
        assert!(text(&absent.stderr).contains(remedy), "{}", text(&absent.stderr));
    }
}

fn interrupt(child: &tokio::process::Child) {
    let id = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_it_in_the_middle_of_an_invocation_and_says_how_to_go_on() {
    let stage = Stage::with(vec![counted("more", FROM, TO, 3, 3)]);
    let arrived = stage.0.path().join("2.arrived");
    for pipe in [&arrived, &stage.0.path().join("never")] {
        assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
    }
    let child = stage.command(&["--json"]).spawn().unwrap();
    let word = tokio::task::spawn_blocking(move || std::fs::read_to_string(arrived)).await.unwrap().unwrap();
    assert_eq!(word, "here\n");
    interrupt(&child);
    let ended = child.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", text(&ended.stderr));
    assert!(text(&ended.stderr).contains("goes on in AWS"), "{}", text(&ended.stderr));
    assert!(text(&ended.stderr).contains("the same command goes on"), "{}", text(&ended.stderr));
    let object: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((&object["status"], &object["delivered"]), (&json!("interrupted"), &json!(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_wait() {
    let stage = Stage::with(vec![locked()]);
    let mut child = stage
        .bare(&["--function", FUNCTION, "--from", FROM, "--to", TO, "--first-wait-seconds", "86400"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().unwrap().contains("asked again in 86400 s") {}
    interrupt(&child);
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
}
