//! The answer of an invocation: every key always present, null or 0.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::Request;
use crate::outlook::Outlook;
use crate::window::Window;

/// How an invocation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything up to now was read.
    UpToDate,
    /// Time was used up; the next invocation goes on.
    More,
    /// The API asked to come back later, or the request limit has no turn before.
    Throttled,
    /// The period is not over yet.
    NotDue,
    /// The service or its input is absent or switched off.
    Disabled,
    /// Another invocation is at work.
    Locked,
    /// The API was retired by Microsoft.
    Retired,
    /// Nothing was sent or written.
    DryRun,
}

impl Status {
    /// The word that answers have for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::UpToDate => "up_to_date",
            Self::More => "more",
            Self::Throttled => "throttled",
            Self::NotDue => "not_due",
            Self::Disabled => "disabled",
            Self::Locked => "locked",
            Self::Retired => "retired",
            Self::DryRun => "dry_run",
        }
    }
}

/// The answer.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The function, for example `graph-directory-audits`.
    pub service: &'static str,
    /// How it ended.
    pub status: Status,
    /// Epoch milliseconds of the pull cycle, as sent with every record; null when nothing was pulled.
    pub devo_pulling_id: Option<String>,
    /// From the start of the first to the end of the last window, those of the late sweep left out.
    pub window: Option<Window>,
    /// Windows completed, those of the late sweep left out.
    pub windows: u64,
    /// Requests to the API.
    pub requests: u64,
    /// Records received: duplicates + delivered + failed.
    pub received: u64,
    /// Records dropped because they were delivered before.
    pub duplicates: u64,
    /// Records delivered and committed.
    pub delivered: u64,
    /// Records received whose delivery or commit failed; they come again.
    pub failed: u64,
    /// Events delivered, after flattening.
    pub sent: u64,
    /// Records that only the late sweep found; `delivered` counts them, too.
    pub late: u64,
    /// Seconds between the beginnings of the last two late sweeps, or since the last one began if it is at work for
    /// longer; null before the second, and while they are off.
    pub late_sweep_period_in_seconds: Option<i64>,
    /// Bytes of frames delivered, before compression.
    pub bytes_sent: u64,
    /// Content URIs that failed and wait in the retry queue, those that failed once more included.
    pub failed_uris: u64,
    /// Content URIs whose content cannot be had any more; each has a warning, so the answer does not repeat the count.
    #[serde(skip)]
    pub lost_uris: u64,
    /// Answers of the API that asked for patience.
    pub throttled: u64,
    /// Of the status `throttled`: no request before this instant. The answer does not have it.
    #[serde(skip)]
    pub no_request_before: Option<Timestamp>,
    /// Events delivered, by tag.
    pub tables: BTreeMap<String, u64>,
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// Newest record seen so far, UTC.
    pub last_event_time_in_utc: Option<Timestamp>,
    /// Now − end of the last complete window.
    pub lag_seconds: Option<i64>,
    /// What will go wrong if nobody looks; metrics and log have it, the answer does not.
    #[serde(skip)]
    pub outlook: Outlook,
    /// Duration of the invocation.
    pub elapsed_ms: u64,
    /// Dry run only: up to three records as they would be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<Vec<Sample>>,
}

impl Report {
    /// An answer with nothing in it yet.
    pub fn new(service: &'static str, request: &Request) -> Self {
        Self {
            service,
            status: Status::Disabled,
            devo_pulling_id: None,
            window: None,
            windows: 0,
            requests: 0,
            received: 0,
            duplicates: 0,
            delivered: 0,
            failed: 0,
            sent: 0,
            late: 0,
            late_sweep_period_in_seconds: None,
            bytes_sent: 0,
            failed_uris: 0,
            lost_uris: 0,
            throttled: 0,
            no_request_before: None,
            tables: BTreeMap::new(),
            warnings: Vec::new(),
            last_event_time_in_utc: None,
            lag_seconds: None,
            outlook: Outlook::default(),
            elapsed_ms: 0,
            samples: request.dry_run.then(Vec::new),
        }
    }

    /// Widens the answer's window by one that is read.
    pub fn note_window(&mut self, window: &Window) {
        let known = self.window.get_or_insert(*window);
        known.from = known.from.min(window.from);
        known.to = known.to.max(window.to);
    }
}

/// One record as it would be sent.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Its tag.
    pub tag: String,
    /// Its message: the JSON value, or text where it is none.
    pub message: Value,
}
