//! What a function answers, read from the outside: as much of it as a backfill needs.
//!
//! The function may be of another release than this command, so members that are unknown here are passed over, and
//! counts that are absent there are 0.

use collector::report::Status;
use collector::window::Window;
use serde::Deserialize;
use serde_json::Value;

/// The answer of an invocation.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Answer {
    pub status: Status,
    /// Null when the invocation ended before it began to pull.
    #[serde(default)]
    pub devo_pulling_id: Option<String>,
    #[serde(default)]
    pub window: Option<Window>,
    #[serde(flatten)]
    pub counts: Counts,
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What an invocation counted, by the names of the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Counts {
    pub windows: u64,
    pub requests: u64,
    pub received: u64,
    pub duplicates: u64,
    pub delivered: u64,
    pub failed: u64,
    pub sent: u64,
    pub bytes_sent: u64,
    pub throttled: u64,
}

/// The failure that a function ended with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FunctionError {
    /// The stable word; Lambda leaves it out of some failures of its own.
    #[serde(default, rename = "errorType")]
    pub error_type: String,
    /// `[code] sentence`, or Lambda's own words.
    #[serde(rename = "errorMessage")]
    pub message: String,
}

impl FunctionError {
    /// Whether the same invocation may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self.error_type.as_str() {
            "ApiError" => matches!(self.code(), Some(429 | 498)),
            "DeliveryError" => matches!(self.code(), Some(600 | 602)),
            "StateError" => self.code() == Some(701),
            _ => self.is_timeout(),
        }
    }

    /// Whether Devo did not take what was sent. The function notes the backfill then, so that it is not forgotten.
    pub fn is_of_delivery(&self) -> bool {
        self.error_type == "DeliveryError"
    }

    fn is_timeout(&self) -> bool {
        self.error_type == "Sandbox.Timedout" || self.message.contains("Task timed out after")
    }

    fn code(&self) -> Option<u16> {
        let (code, _) = self.message.strip_prefix('[')?.split_once(']')?;
        code.parse().ok()
    }
}

/// What stands in the file that `aws` writes.
#[derive(Debug, PartialEq)]
pub enum Payload {
    Answer(Box<Answer>),
    Error(FunctionError),
    /// Neither: another function answers under this name.
    Foreign,
}

impl Payload {
    /// Reads the file's content.
    pub fn read(content: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(content) else { return Self::Foreign };
        if let Ok(answer) = Answer::deserialize(&value) {
            return Self::Answer(Box::new(answer));
        }
        FunctionError::deserialize(&value).map_or(Self::Foreign, Self::Error)
    }
}

#[cfg(test)]
mod tests {
    use collector::event::Request;
    use collector::report::Report;
    use serde_json::json;

    use super::*;

    fn error(error_type: &str, message: &str) -> FunctionError {
        FunctionError { error_type: error_type.to_owned(), message: message.to_owned() }
    }

    #[test]
    fn every_status_that_a_function_can_answer_is_read() {
        use collector::report::Status as Answered;
        let all = [
            (Answered::UpToDate, Status::UpToDate),
            (Answered::More, Status::More),
            (Answered::Throttled, Status::Throttled),
            (Answered::NotDue, Status::NotDue),
            (Answered::Disabled, Status::Disabled),
            (Answered::Locked, Status::Locked),
            (Answered::Retired, Status::Retired),
            (Answered::DryRun, Status::DryRun),
        ];
        for (answered, expected) in all {
            let mut report = Report::new("graph-sign-ins", &Request::default());
            (report.status, report.received, report.requests) = (answered, 7, 3);
            let text = serde_json::to_vec(&report).unwrap();
            let Payload::Answer(read) = Payload::read(&text) else { panic!("{answered:?} is not read") };
            assert_eq!((read.status, read.counts.received, read.counts.requests), (expected, 7, 3));
            assert_eq!(json!(answered), expected.word());
        }
    }

    #[test]
    fn what_is_neither_answer_nor_failure_is_foreign() {
        for text in ["", "null", "\"hello\"", "{\"statusCode\": 200}", "{\"status\": \"happy\"}", "<html>"] {
            assert_eq!(Payload::read(text.as_bytes()), Payload::Foreign, "{text}");
        }
        let failed = br#"{"errorType": "StateError", "errorMessage": "[701] lost", "stackTrace": []}"#;
        assert_eq!(Payload::read(failed), Payload::Error(error("StateError", "[701] lost")));
    }

    #[test]
    fn only_what_can_pass_by_itself_is_transient() {
        let cases = [
            ("ApiError", "[429] x", true),
            ("ApiError", "[498] x", true),
            ("ApiError", "[403] x", false),
            ("DeliveryError", "[600] x", true),
            ("DeliveryError", "[601] certificate", false),
            ("DeliveryError", "[602] x", true),
            ("StateError", "[700] x", false),
            ("StateError", "[701] x", true),
            ("SetupError", "[101] x", false),
            ("InitVariablesError", "[1] x", false),
            ("PullError", "[301] x", false),
            ("Sandbox.Timedout", "RequestId: 1 Error: Task timed out after 240.00 seconds", true),
            ("", "2026-11-20T10:00:00Z 1 Task timed out after 240.00 seconds", true),
            ("Runtime.ExitError", "RequestId: 1 Error: Runtime exited", false),
            ("ApiError", "no code", false),
        ];
        for (error_type, message, expected) in cases {
            assert_eq!(error(error_type, message).is_transient(), expected, "{error_type} {message}");
        }
    }
}
