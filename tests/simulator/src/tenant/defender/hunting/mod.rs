//! Advanced hunting: rows of registered tables, found by the datetimes of a query.
//!
//! No engine: of a query only its table and its comparisons with datetimes are understood, enough to tell which rows it
//! is about. What the API does with too much is here: a result is cut at the row limit without a word, one of too many
//! bytes is refused, and so are too many queries.

mod error;
mod query;

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use self::query::HuntingQuery;
use super::answer::{Call, JSON, Refused};
use super::config::ToldWait;
use crate::sync::locked;
use crate::tenant::body::encoded;
use crate::tenant::config::Throttle;
use crate::tenant::{Outcome, State};

pub use self::error::HuntingError;
pub(super) use self::error::quota_exceeded;

/// Settings of advanced hunting.
#[derive(Debug, Clone)]
pub struct HuntingConfig {
    /// The most rows of a result; more are cut off without a word.
    pub most_rows: usize,
    /// The most bytes of a result's rows; more are refused with 400.
    pub most_bytes: usize,
    /// Rows that are older are gone.
    pub retention: SignedDuration,
    /// The limits over queries.
    pub limits: HuntingLimits,
    /// Whether a 429 to a query above a limit says how long to wait.
    pub told_wait: ToldWait,
    /// How an answer spells its members.
    pub names: ResultNames,
}

impl Default for HuntingConfig {
    fn default() -> Self {
        Self {
            most_rows: 100_000,
            most_bytes: 124 * 1024 * 1024,
            retention: SignedDuration::from_hours(30 * 24),
            limits: HuntingLimits::NONE,
            told_wait: ToldWait::Header,
            names: ResultNames::Capital,
        }
    }
}

/// The limits over queries, for an application. Refused queries count, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HuntingLimits {
    /// In the short run; `None`: no limit.
    pub minute: Option<Throttle>,
    /// In the long run; `None`: no limit.
    pub hour: Option<Throttle>,
}

impl HuntingLimits {
    /// No limit.
    pub const NONE: Self = Self { minute: None, hour: None };
    /// What Microsoft publishes: 45 queries a minute and 1,500 an hour.
    pub const PUBLISHED: Self = Self {
        minute: Some(Throttle { requests: 45, period: SignedDuration::from_secs(60) }),
        hour: Some(Throttle { requests: 1_500, period: SignedDuration::from_secs(3_600) }),
    };
}

/// How an answer spells its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultNames {
    /// `Schema` and `Results`.
    Capital,
    /// `schema` and `results`, as Graph's hunting has it.
    Lower,
}

/// The tables that a query may name.
#[derive(Debug, Default)]
pub(super) struct Tables {
    tables: BTreeMap<String, Vec<Row>>,
}

#[derive(Debug)]
struct Row {
    time: Timestamp,
    seen_from: Timestamp,
    raw: Bytes,
}

impl Tables {
    pub(super) fn add(&mut self, table: &str) {
        self.tables.entry(table.to_owned()).or_default();
    }

    pub(super) fn emit(&mut self, table: &str, time: Timestamp, text: String, seen_from: Timestamp) {
        let raw = Bytes::from(text);
        self.tables.entry(table.to_owned()).or_default().push(Row { time, seen_from, raw });
    }

    pub(super) fn rows(&self, table: &str) -> Vec<Bytes> {
        self.tables.get(table).into_iter().flatten().map(|row| row.raw.clone()).collect()
    }
}

/// Answers a query.
pub(super) fn answer(state: &State, call: &Call<'_>) -> io::Result<Result<Outcome, Refused>> {
    let rows = match found(state, call) {
        Ok(rows) => rows,
        Err(refused) => return Ok(Err(refused)),
    };
    let (schema_name, results_name) = match state.config.defender.hunting.names {
        ResultNames::Capital => ("Schema", "Results"),
        ResultNames::Lower => ("schema", "results"),
    };
    let schema = rows.first().map_or_else(Vec::new, schema);
    let mut body = format!("{{\"{schema_name}\":{},\"{results_name}\":[", Value::from(schema)).into_bytes();
    for (index, raw) in rows.iter().enumerate() {
        body.extend_from_slice(if index == 0 { b"" } else { b"," });
        body.extend_from_slice(raw);
    }
    body.extend_from_slice(b"]}");
    let answer = encoded(&state.config, call.request, call.fault, JSON, body)?;
    Ok(Ok(Outcome { records: rows.len(), ..Outcome::of(answer) }))
}

fn found(state: &State, call: &Call<'_>) -> Result<Vec<Bytes>, Refused> {
    let config = &state.config.defender.hunting;
    let is_json = call
        .request
        .header("content-type")
        .is_some_and(|value| value.trim().to_ascii_lowercase().starts_with("application/json"));
    if !is_json {
        return Err(call.refused(415, "UnsupportedMediaType", "The body must be application/json."));
    }
    let text = call.seen.option("Query").ok_or_else(|| {
        let refused = call.refused(400, "InvalidRequestBody", "Request body is incorrect");
        refused.because("no JSON object with a text as `Query`")
    })?;
    let bad_query = |message: String| call.refused(400, "BadRequest", &message);
    let query = HuntingQuery::parse(text).map_err(bad_query)?;
    let oldest = call.now.saturating_sub(config.retention).unwrap_or(Timestamp::MIN);
    let book = locked(&state.defender);
    let table = book.tables.tables.get(query.table).ok_or_else(|| {
        bad_query(format!("Failed to resolve table or column expression named '{}'", query.table))
    })?;
    let is_found = |row: &&Row| row.time >= oldest && row.seen_from <= call.now && query.includes(row.time);
    let rows: Vec<Bytes> =
        table.iter().filter(is_found).take(config.most_rows).map(|row| row.raw.clone()).collect();
    if rows.iter().map(Bytes::len).sum::<usize>() > config.most_bytes {
        return Err(Refused::with(HuntingError::TooLarge.answer(call.ids, call.now)));
    }
    Ok(rows)
}

/// Names and types of the first row's members.
fn schema(raw: &Bytes) -> Vec<Value> {
    let first: BTreeMap<String, Value> = serde_json::from_slice(raw).unwrap_or_default();
    let column = |(name, value): (&String, &Value)| json!({ "Name": name, "Type": type_of(value) });
    first.iter().map(column).collect()
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::String(text) if text.parse::<Timestamp>().is_ok() => "DateTime",
        Value::Bool(_) => "SByte",
        Value::Number(number) if number.is_f64() => "Double",
        Value::Number(_) => "Int64",
        Value::Array(_) | Value::Object(_) => "Object",
        Value::String(_) | Value::Null => "String",
    }
}
