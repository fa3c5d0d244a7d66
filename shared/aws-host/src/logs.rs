//! The function's log: one JSON object a line on standard output, as CloudWatch takes it.
//!
//! Every line has `time`, `level`, `message`, `function`, `request_id` (null outside an invocation) and `module`, then
//! the values of the event. The filter is `RUST_LOG`'s; but what libraries tell below the level `info` is never
//! written, whatever the filter says: it may hold headers and bodies, and with them a token or a secret.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use collector::story::{Level as StoryLevel, Line};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// What is written when the filter is absent or cannot be read.
const DEFAULT_FILTER: &str = "info";
/// A field of this name holds JSON text and is written as the value it stands for.
const JSON_FIELD: &str = "report";
/// Crates whose every level is the collector's own: they keep secrets out of their messages.
const OWN_CRATES: [&str; 5] = ["aws_host", "bootstrap", "collector", "devo", "microsoft"];

/// The request id that lines carry; shared by the log and the handler.
#[derive(Debug, Clone, Default)]
pub struct CurrentRequest(Arc<Mutex<Option<String>>>);

impl CurrentRequest {
    /// Lines belong to this request from now on, or to none.
    pub fn set(&self, request_id: Option<&str>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = request_id.map(str::to_owned);
    }

    fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Starts the log of the whole process. A second call in one process changes nothing.
pub fn start(filter: Option<&str>, function: &str) -> CurrentRequest {
    let current = CurrentRequest::default();
    let lines = JsonLines::new(function, current.clone(), Timestamp::now, io::stdout());
    let (filter, problem) = parse_filter(filter);
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok()
        && let Some(problem) = problem
    {
        tracing::warn!("RUST_LOG cannot be read, `{DEFAULT_FILTER}` is used: {problem}");
    }
    current
}

/// Writes what an invocation told about itself, each line at its own level.
pub fn tell(story: &[Line]) {
    for line in story {
        match line.level {
            StoryLevel::Info => tracing::info!("{}", line.message),
            StoryLevel::Warning => tracing::warn!("{}", line.message),
            StoryLevel::Error => tracing::error!("{}", line.message),
        }
    }
}

/// Levels by target. Filters by span and value would bring an engine of regular expressions into the artefact.
fn parse_filter(text: Option<&str>) -> (Targets, Option<String>) {
    match text.filter(|text| !text.trim().is_empty()).unwrap_or(DEFAULT_FILTER).parse() {
        Ok(filter) => (filter, None),
        Err(problem) => (Targets::new().with_default(Level::INFO), Some(problem.to_string())),
    }
}

/// Turns events into lines.
struct JsonLines<W> {
    function: String,
    current: CurrentRequest,
    clock: fn() -> Timestamp,
    out: Mutex<W>,
}

impl<W: Write> JsonLines<W> {
    fn new(function: &str, current: CurrentRequest, clock: fn() -> Timestamp, out: W) -> Self {
        Self { function: function.to_owned(), current, clock, out: Mutex::new(out) }
    }

    fn line(&self, event: &Event<'_>) -> String {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut members = Map::new();
        let time = (self.clock)().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
        members.insert("time".to_owned(), Value::from(time));
        members.insert("level".to_owned(), Value::from(metadata.level().as_str()));
        members.insert("message".to_owned(), Value::from(fields.message));
        members.insert("function".to_owned(), Value::from(self.function.as_str()));
        members.insert("request_id".to_owned(), Value::from(self.current.get()));
        members.insert("module".to_owned(), Value::from(metadata.target()));
        for (name, value) in fields.others {
            members.entry(name).or_insert(value);
        }
        format!("{}\n", Value::Object(members))
    }
}

impl<S: Subscriber, W: Write + Send + 'static> Layer<S> for JsonLines<W> {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if may_hold_secrets(event.metadata()) {
            return;
        }
        let line = self.line(event);
        // A log that cannot be written must not stop the collector.
        let _ = self.out.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    }
}

/// True for the fine-grained lines of libraries.
fn may_hold_secrets(metadata: &Metadata<'_>) -> bool {
    let crate_name = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() > Level::INFO && !OWN_CRATES.contains(&crate_name)
}

/// The values of one event.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(String, Value)>,
}

impl Fields {
    fn push(&mut self, field: &Field, value: Value) {
        self.others.push((field.name().to_owned(), value));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            // `log` records that were turned into events repeat their metadata.
            name if name.starts_with("log.") => {}
            JSON_FIELD => self.push(field, serde_json::from_str(&text).unwrap_or(Value::String(text))),
            _ => self.push(field, Value::String(text)),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Value::from(value));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A writer whose content can be looked at afterwards.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn noon() -> Timestamp {
        "2026-11-20T12:00:00.5Z".parse().unwrap()
    }

    /// What is written under this filter while the events are played.
    fn written(filter: &str, request_id: Option<&str>, events: impl FnOnce()) -> String {
        let paper = Paper::default();
        let current = CurrentRequest::default();
        current.set(request_id);
        let lines = JsonLines::new("graph-sign-ins", current, noon, paper.clone());
        let subscriber = tracing_subscriber::registry().with(parse_filter(Some(filter)).0).with(lines);
        tracing::subscriber::with_default(subscriber, events);
        let bytes = paper.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_is_one_json_object_with_the_function_and_the_request() {
        let lines = written("info", Some("request-1"), || {
            tracing::info!(count = 3, share = 0.5, done = true, table = "state", "two\nlines");
            tracing::warn!(report = %r#"{"delivered":18}"#, "finished");
        });
        insta::assert_snapshot!(lines);
    }

    #[test]
    fn outside_an_invocation_the_request_is_null() {
        let line = written("info", None, || tracing::error!("no"));
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["request_id"], Value::Null);
    }

    #[test]
    fn the_story_is_told_at_its_own_levels() {
        let story = [(StoryLevel::Info, "a"), (StoryLevel::Warning, "b"), (StoryLevel::Error, "c")]
            .map(|(level, message)| Line { level, message: message.to_owned() });
        let lines = written("info", None, || tell(&story));
        let told: Vec<(String, String)> = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|line| {
                (line["level"].as_str().unwrap().to_owned(), line["message"].as_str().unwrap().to_owned())
            })
            .collect();
        let expected = [("INFO", "a"), ("WARN", "b"), ("ERROR", "c")];
        assert_eq!(told, expected.map(|(level, message)| (level.to_owned(), message.to_owned())));
    }

    #[test]
    fn the_filter_is_obeyed_and_a_broken_one_is_the_default() {
        let play = || {
            tracing::debug!("fine");
            tracing::info!("ordinary");
            tracing::warn!("serious");
        };
        for (filter, expected) in [("info", 2), ("warn", 1), ("aws_host=debug", 3), ("off", 0), ("a=b=c", 2)]
        {
            assert_eq!(written(filter, None, play).lines().count(), expected, "{filter}");
        }
        assert!(parse_filter(Some("a=b=c")).1.is_some());
    }

    #[test]
    fn what_libraries_say_in_detail_is_never_written() {
        let lines = written("trace", None, || {
            tracing::trace!(target: "hyper::proto", "authorization: Bearer x");
            tracing::debug!(target: "aws_smithy_runtime::client", "SecretString");
            tracing::debug!(target: "microsoft_other", "x");
            tracing::info!(target: "hyper::proto", "connected");
            tracing::trace!(target: "microsoft::token", "login");
        });
        assert_eq!(lines.lines().count(), 2, "{lines}");
    }
}
