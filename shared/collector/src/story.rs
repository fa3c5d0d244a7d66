//! The collector's own story: what it tells Devo about itself.
//!
//! Every warning and error, and one line of statistics a pull cycle, goes to `devo.collectors.out.local.{level}` in the
//! vendor's form and words; the count of messages goes to `devo.collector.metric.message_sent`. So existing alerts and
//! dashboards go on working.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::report::Report;
use crate::settings::Settings;

/// Who tells the story: the members that every line of it carries.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `collector_name`: the stack's name, or the function.
    pub collector_name: String,
    /// `collector_version`.
    pub collector_version: String,
    /// `job_id`, when set.
    pub job_id: Option<String>,
}

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Ordinary.
    Info,
    /// The operator should look.
    Warning,
    /// Something failed.
    Error,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// How serious.
    pub level: Level,
    /// The text.
    pub message: String,
}

impl Line {
    /// A line of this level.
    pub fn new(level: Level, message: impl Into<String>) -> Self {
        Self { level, message: message.into() }
    }
}

/// Tag of the message count.
pub const METRIC_TAG: &str = "devo.collector.metric.message_sent";

/// Tag of a line.
pub fn tag(level: Level) -> &'static str {
    match level {
        Level::Info => "devo.collectors.out.local.info",
        Level::Warning => "devo.collectors.out.local.warning",
        Level::Error => "devo.collectors.out.local.error",
    }
}

/// A line as Devo gets it.
pub fn event(line: &Line, time: Timestamp, identity: &Identity, settings: &Settings) -> Vec<u8> {
    let mut message = json!({
        "msg": line.message,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        "level": line.level,
        "collector_name": identity.collector_name,
        "collector_version": identity.collector_version,
        "collector_image": image(identity, settings),
        "input_name": settings.service.input,
        "service_name": settings.service.name,
        "module_name": "puller",
    });
    if let (Some(job_id), Some(members)) = (&identity.job_id, message.as_object_mut()) {
        members.insert("job_id".to_owned(), Value::from(job_id.as_str()));
    }
    message.to_string().into_bytes()
}

/// The count of what was sent in a cycle, as Devo gets it. `since` is when the cycle began.
pub fn metric(
    events: u64,
    bytes: u64,
    since: Timestamp,
    identity: &Identity,
    settings: &Settings,
) -> Vec<u8> {
    json!({
        "col_id": identity.job_id.as_deref().unwrap_or(&settings.input_id),
        "col_name": identity.collector_name,
        "col_version": identity.collector_version,
        "col_image": image(identity, settings),
        "msg_sent": {"part_counter": events, "part_bytes": bytes, "since_ts": since.as_millisecond()},
    })
    .to_string()
    .into_bytes()
}

/// The line of statistics of a pull cycle, in the vendor's words. `elapsed_ms` is its duration so far.
pub fn statistics(pulling_id: &str, report: &Report, sent: u64, elapsed_ms: u64) -> Line {
    let rate = if elapsed_ms == 0 { 0.0 } else { sent as f64 * 1000.0 / elapsed_ms as f64 };
    let message = format!(
        "Statistics for this pull cycle (@devo_pulling_id={pulling_id}):Number of requests made: {}; \
         Number of events received: {}; Number of duplicated events filtered out: {}; \
         Number of events generated and sent: {sent}; Average of events per second: {rate:.3}.",
        report.requests, report.received, report.duplicates
    );
    Line::new(Level::Info, message)
}

fn image(identity: &Identity, settings: &Settings) -> String {
    format!("{}:{}", settings.service.input, identity.collector_version)
}
