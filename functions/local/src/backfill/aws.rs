//! One invocation through the `aws` command, of the current major version or of the one before.
//!
//! The command's own retries are switched off: an invocation whose answer was lost has run, and whether it may run
//! again is not for a transport to decide. What went wrong is told apart by what it leaves known: that the function was
//! not reached, that it failed, or that nobody knows.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde::Deserialize;
use tokio::process::Command;

use super::answer::{Answer, FunctionError, Payload};

const PROGRAM: &str = "aws";
/// A function's own time is up after four minutes; its answer is there by then.
const READ_TIMEOUT_SECONDS: &str = "300";
const CONNECT_TIMEOUT_SECONDS: &str = "10";
/// Exit code of a process that was ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Says that a payload is plain text. Version 1 always takes it so and does not know the option.
const PLAIN_PAYLOAD: [&str; 2] = ["--cli-binary-format", "raw-in-base64-out"];

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The command is absent, or lacks credentials, a region, or an option.
    Unusable(String),
    /// The function was surely not invoked, and may be a little later.
    NotRun(String),
    /// The service or the command says no, and will again.
    Refused(String),
    /// It may have been invoked; its answer is lost.
    Unanswered(String),
    /// It was invoked and failed.
    Failed(FunctionError),
    /// Ctrl-C ended the command.
    Interrupted,
}

/// The way to one deployed function.
#[derive(Debug)]
pub struct Aws {
    function: String,
    region: Option<String>,
    profile: Option<String>,
    /// Holds the file of the answer; removed with this value.
    folder: tempfile::TempDir,
    knows_plain_payload: bool,
}

impl Aws {
    /// The way to this function, in this region and with this profile, or else as `aws` is configured. Fails when no
    /// temporary folder can be made.
    pub fn new(function: &str, region: Option<&str>, profile: Option<&str>) -> io::Result<Self> {
        Ok(Self {
            function: function.to_owned(),
            region: region.map(str::to_owned),
            profile: profile.map(str::to_owned),
            folder: tempfile::tempdir()?,
            knows_plain_payload: true,
        })
    }

    /// Invokes the function with this payload and waits for its answer. Dropped before its end, it ends the command;
    /// the function goes on.
    pub async fn invoke(&mut self, payload: &str) -> Result<Answer, Failure> {
        let output = self.call(payload).await?;
        if self.knows_plain_payload && refuses_plain_payload(&output) {
            self.knows_plain_payload = false;
            return self.understand(self.call(payload).await?);
        }
        self.understand(output)
    }

    async fn call(&self, payload: &str) -> Result<Output, Failure> {
        let answer = self.answer_file();
        // An old answer must not be taken for a new one.
        match std::fs::remove_file(&answer) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(unreadable(&answer, &cause)),
            _ => {}
        }
        let mut command = Command::new(PROGRAM);
        command
            .args(["lambda", "invoke", "--function-name", &self.function, "--payload", payload])
            .args(["--cli-read-timeout", READ_TIMEOUT_SECONDS])
            .args(["--cli-connect-timeout", CONNECT_TIMEOUT_SECONDS])
            .args(["--output", "json"])
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("AWS_PAGER", "")
            .env("AWS_CLI_AUTO_PROMPT", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if self.knows_plain_payload {
            command.args(PLAIN_PAYLOAD);
        }
        for (option, value) in [("--region", &self.region), ("--profile", &self.profile)] {
            if let Some(value) = value {
                command.args([option, value]);
            }
        }
        command.arg(AsRef::<OsStr>::as_ref(&answer));
        command.output().await.map_err(|cause| absent(&cause))
    }

    fn understand(&self, output: Output) -> Result<Answer, Failure> {
        if !output.status.success() {
            return Err(complaint(&output));
        }
        let file = self.answer_file();
        let content = match std::fs::read(&file) {
            Ok(content) => content,
            Err(cause) => return Err(unreadable(&file, &cause)),
        };
        match Payload::read(&content) {
            Payload::Error(error) => Err(Failure::Failed(error)),
            Payload::Answer(answer) if !reports_failure(&output) => Ok(*answer),
            Payload::Answer(_) | Payload::Foreign => Err(Failure::Refused(format!(
                "the answer of {} is none of this collector's functions'; name one of them, for example with the \
                 stack's name before it: collector-graph-sign-ins",
                self.function
            ))),
        }
    }

    fn answer_file(&self) -> PathBuf {
        self.folder.path().join("answer.json")
    }
}

/// What `aws` prints about an invocation.
#[derive(Debug, Default, Deserialize)]
struct Invoked {
    #[serde(rename = "FunctionError")]
    function_error: Option<String>,
}

fn reports_failure(output: &Output) -> bool {
    serde_json::from_slice::<Invoked>(&output.stdout).unwrap_or_default().function_error.is_some()
}

fn refuses_plain_payload(output: &Output) -> bool {
    let words = String::from_utf8_lossy(&output.stderr);
    !output.status.success() && words.contains("Unknown options") && words.contains(PLAIN_PAYLOAD[0])
}

fn absent(cause: &io::Error) -> Failure {
    let what = match cause.kind() {
        ErrorKind::NotFound => "the command `aws` is not in PATH".to_owned(),
        _ => format!("the command `aws` cannot be started: {cause}"),
    };
    Failure::Unusable(format!(
        "{what}; install the AWS CLI (https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html) \
         and give it credentials and a region: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, or --profile \
         and --region"
    ))
}

fn unreadable(file: &Path, cause: &io::Error) -> Failure {
    Failure::Unanswered(format!("the answer cannot be had from {}: {cause}", file.display()))
}

/// Words of `aws` about itself: nothing was sent.
const WORDS_OF_CONFIGURATION: &[&str] = &[
    "Unknown options",
    "You must specify a region",
    "Unable to locate credentials",
    "Partial credentials found",
    "The config profile",
    "Unable to parse config file",
    "Error loading SSO Token",
    "Error when retrieving token from sso",
    "Invalid endpoint",
];
/// Exit codes of version 2 that say the same.
const CODES_OF_CONFIGURATION: [i32; 2] = [252, 253];
/// Words of `aws` when it did not get through.
const WORDS_OF_NO_CONNECTION: &[&str] =
    &["Could not connect to the endpoint URL", "Connect timeout on endpoint URL"];
/// Words of `aws` when the request went out and nothing came back.
const WORDS_OF_A_LOST_ANSWER: &[&str] =
    &["Read timeout on endpoint URL", "Connection was closed before", "Connection broken", "timed out"];
/// Errors of Lambda that say: not now.
const NOT_NOW: &[&str] = &[
    "TooManyRequestsException",
    "ThrottlingException",
    "Throttling",
    "RequestLimitExceeded",
    "ResourceNotReadyException",
];
/// Errors of Lambda that leave open whether the function ran.
const FAILED_INSIDE: &[&str] = &[
    "ServiceException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "InternalFailure",
    "InternalServerError",
    "InternalError",
];

fn complaint(output: &Output) -> Failure {
    let all = String::from_utf8_lossy(&output.stderr);
    let last = all.lines().map(str::trim).rfind(|line| !line.is_empty());
    let words = match (last, output.status.code()) {
        (Some(line), _) => format!("aws: {line}"),
        (None, Some(code)) => format!("aws ended with exit code {code} and without a word"),
        (None, None) => "aws was ended by a signal".to_owned(),
    };
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
    if output.status.code() == Some(INTERRUPTED) || was_interrupted(output) {
        return Failure::Interrupted;
    }
    if let Some(name) = service_error(&words) {
        return match name {
            _ if NOT_NOW.contains(&name) => Failure::NotRun(words),
            _ if FAILED_INSIDE.contains(&name) => Failure::Unanswered(words),
            _ => Failure::Refused(words),
        };
    }
    let is_of_configuration = output.status.code().is_some_and(|code| CODES_OF_CONFIGURATION.contains(&code));
    if is_of_configuration || says(WORDS_OF_CONFIGURATION) {
        return Failure::Unusable(format!(
            "{words}; check the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or --profile) and the region \
             (AWS_REGION, or --region) of the command `aws`"
        ));
    }
    if says(WORDS_OF_NO_CONNECTION) {
        return Failure::NotRun(words);
    }
    if says(WORDS_OF_A_LOST_ANSWER) || output.status.code().is_none() {
        return Failure::Unanswered(words);
    }
    Failure::Refused(words)
}

/// The name in `An error occurred (Name) when calling the Invoke operation: …`.
fn service_error(words: &str) -> Option<&str> {
    let (_, rest) = words.split_once("An error occurred (")?;
    rest.split_once(')').map(|(name, _)| name)
}

#[cfg(unix)]
fn was_interrupted(output: &Output) -> bool {
    use std::os::unix::process::ExitStatusExt;
    /// SIGINT.
    const CTRL_C: i32 = 2;
    output.status.signal() == Some(CTRL_C)
}

#[cfg(not(unix))]
fn was_interrupted(_: &Output) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn kind(failure: &Failure) -> &'static str {
        match failure {
            Failure::Unusable(_) => "unusable",
            Failure::NotRun(_) => "not run",
            Failure::Refused(_) => "refused",
            Failure::Unanswered(_) => "unanswered",
            Failure::Failed(_) => "failed",
            Failure::Interrupted => "interrupted",
        }
    }

    #[test]
    fn a_complaint_of_aws_is_told_by_what_it_leaves_known() {
        let service = |name: &str| {
            format!(
                "\nAn error occurred ({name}) when calling the Invoke operation (reached max retries: 0): x\n"
            )
        };
        let cases = [
            (255, "usage: aws\n\nUnknown options: --region\n".to_owned(), "unusable"),
            (255, "You must specify a region.".to_owned(), "unusable"),
            (253, "Unable to locate credentials. Run aws configure.\n\n".to_owned(), "unusable"),
            (252, "aws: error: argument operation".to_owned(), "unusable"),
            (255, "The config profile (x) could not be found".to_owned(), "unusable"),
            (254, service("TooManyRequestsException"), "not run"),
            (254, service("ResourceNotReadyException"), "not run"),
            (254, service("ServiceException"), "unanswered"),
            (254, service("ResourceNotFoundException"), "refused"),
            (254, service("AccessDeniedException"), "refused"),
            (254, service("ExpiredTokenException"), "refused"),
            (255, "Could not connect to the endpoint URL: \"https://x\"".to_owned(), "not run"),
            (255, "Connect timeout on endpoint URL: \"https://x\"".to_owned(), "not run"),
            (255, "Read timeout on endpoint URL: \"https://x\"".to_owned(), "unanswered"),
            (255, "Connection was closed before we received a valid response".to_owned(), "unanswered"),
            (255, "SSL validation failed for https://x".to_owned(), "refused"),
            (1, String::new(), "refused"),
            (130, String::new(), "interrupted"),
        ];
        for (code, stderr, expected) in cases {
            let status = ExitStatus::from_raw(code << 8);
            let output = Output { status, stdout: Vec::new(), stderr: stderr.clone().into_bytes() };
            assert_eq!(kind(&complaint(&output)), expected, "{code} {stderr}");
        }
        for (signal, expected) in [(2, "interrupted"), (9, "unanswered")] {
            let status = ExitStatus::from_raw(signal);
            let output = Output { status, stdout: Vec::new(), stderr: Vec::new() };
            assert_eq!(kind(&complaint(&output)), expected, "signal {signal}");
        }
    }
}
