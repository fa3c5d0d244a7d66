//! The settings of one service within its input.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::findings::Findings;
use super::keys::{
    FLATTEN, FLATTEN_MOST, LATE_SWEEP_PERIOD, LATE_SWEEP_RANGE, LOOKBACK, MEMORY_LEAST, MEMORY_MOST,
    OBFUSCATION, REQUEST_PERIOD, RESET, SNAPSHOT_MODE, START_TIME, Setting, TAG, TIME_DELTA, WINDOW_MAX,
};
use super::read::{Block, kind_of};
use super::times::parse_instant;
use super::{
    AdditionalFilter, HuntingQuery, MemoryLimits, OlderStart, RequestRate, SnapshotMode, filter,
    is_word_character, queries, rate,
};
use crate::obfuscate::Rule;
use crate::service::{Enrichment, Service};

/// What a service's block says; `None` where the declaration decides.
#[derive(Debug)]
pub(super) struct ServiceSettings {
    pub(super) request_period: SignedDuration,
    pub(super) start_time: Option<Timestamp>,
    pub(super) older_start: OlderStart,
    pub(super) additional_filter: Option<AdditionalFilter>,
    pub(super) override_tag: Option<String>,
    pub(super) window_max: SignedDuration,
    pub(super) lookback: SignedDuration,
    pub(super) late_sweep_period: SignedDuration,
    pub(super) late_sweep_range: SignedDuration,
    pub(super) snapshot_mode: SnapshotMode,
    pub(super) obfuscation: Vec<Rule>,
    pub(super) rate: Option<RequestRate>,
    pub(super) memory: Option<MemoryLimits>,
    pub(super) enrichments: Vec<&'static Enrichment>,
    pub(super) flatten: Option<u32>,
    pub(super) queries: Vec<HuntingQuery>,
}

/// No length of time in a document is longer: ten years. Sums with an instant stay far from any overflow.
pub(super) const LONGEST_SECONDS: i64 = 10 * 365 * 86_400;

const LATE_SWEEP_PERIOD_DEFAULT: SignedDuration = SignedDuration::from_secs(3_600);
const LATE_SWEEP_RANGE_DEFAULT: SignedDuration = SignedDuration::from_secs(86_400);

/// Records that a feed's memory holds, and below which it never falls, as in the vendor's collector.
const MEMORY_MOST_DEFAULT: u64 = 10_000_000;
const MEMORY_LEAST_DEFAULT: u64 = 100_000;
/// Events that one record becomes at the most.
const FLATTEN_MOST_DEFAULT: u32 = 10_000;
/// More of them, each as long as its record, would fill any memory.
const MOST_EVENTS: i64 = 1_000_000;
/// More would be years of the busiest feed there can be.
const MOST_REMEMBERED: i64 = 10_000_000_000;

/// What there is to say of a start that a snapshot was given.
pub(super) const WITHOUT_START: &str = "has no effect: a snapshot reads the whole list each time";

/// The longest tag that Devo's own collectors accept.
const LONGEST_TAG: usize = 1_024;

/// Reads a service's settings.
pub(super) fn read(
    block: &Block<'_>,
    service: &'static Service,
    now: Timestamp,
    findings: &mut Findings,
) -> ServiceSettings {
    let mut seconds = |setting: &'static Setting, least: i64| {
        let number = block.whole_number(setting, least..=LONGEST_SECONDS, findings);
        number.map(SignedDuration::from_secs)
    };
    let request_period = seconds(&REQUEST_PERIOD, service.period.minimum_seconds.into());
    let window_max = seconds(&WINDOW_MAX, 1);
    let lookback = seconds(&LOOKBACK, 0);
    let late_sweep_period = seconds(&LATE_SWEEP_PERIOD, 0).unwrap_or(LATE_SWEEP_PERIOD_DEFAULT);
    let late_sweep_range = seconds(&LATE_SWEEP_RANGE, 1);
    let is_snapshot = service.query.is_snapshot();
    let default_period = SignedDuration::from_secs(service.period.default_seconds.into());
    let own_period = request_period.unwrap_or(default_period);
    let start_time = start_time(block, is_snapshot, now, findings);
    let older_start = OlderStart { reach: reach(block, is_snapshot, findings), mark: mark(block, findings) };
    let additional_filter = filter::read(block, service, findings);
    let tag = override_tag(block, findings);
    let defaults = queries::Defaults { tag: tag.clone(), period: own_period };
    let queries = queries::read(block, service, &defaults, findings);
    let has_sweeps = !is_snapshot && !service.query.is_hunting();
    ServiceSettings {
        request_period: queries.iter().map(|query| query.period).min().unwrap_or(own_period),
        start_time,
        older_start,
        additional_filter,
        override_tag: tag,
        window_max: window_max.unwrap_or(service.window.max),
        lookback: lookback.unwrap_or(service.window.lookback),
        late_sweep_period: if has_sweeps { late_sweep_period } else { SignedDuration::ZERO },
        late_sweep_range: late_sweep_range.unwrap_or(LATE_SWEEP_RANGE_DEFAULT),
        snapshot_mode: snapshot_mode(block, findings),
        obfuscation: obfuscation(block, findings),
        rate: rate::read(block, findings),
        memory: service.query.is_content().then(|| memory(block, findings)),
        enrichments: service
            .enrichments
            .iter()
            .filter(|enrichment| block.boolean(&enrichment.switch, findings) == Some(true))
            .collect(),
        flatten: flatten(block, findings),
        queries,
    }
}

fn memory(block: &Block<'_>, findings: &mut Findings) -> MemoryLimits {
    let mut count = |setting: &'static Setting, least: i64| {
        let number = block.whole_number(setting, least..=MOST_REMEMBERED, findings);
        number.and_then(|it| u64::try_from(it).ok())
    };
    let most = count(&MEMORY_MOST, 2).unwrap_or(MEMORY_MOST_DEFAULT);
    let given_least = count(&MEMORY_LEAST, 0);
    if let Some(least) = given_least.filter(|least| *least >= most) {
        let text = format!("must be below `{}` ({most}), found {least}", MEMORY_MOST.name);
        findings.problem(block.path_of(&MEMORY_LEAST), text);
    }
    MemoryLimits { most, least: given_least.unwrap_or(MEMORY_LEAST_DEFAULT.min(most / 2)).min(most - 1) }
}

/// Into how many events a record may be taken apart, if at all.
fn flatten(block: &Block<'_>, findings: &mut Findings) -> Option<u32> {
    let most = block.whole_number(&FLATTEN_MOST, 1..=MOST_EVENTS, findings);
    let most = most.and_then(|number| u32::try_from(number).ok()).unwrap_or(FLATTEN_MOST_DEFAULT);
    (block.boolean(&FLATTEN, findings) == Some(true)).then_some(most)
}

fn start_time(
    block: &Block<'_>,
    is_snapshot: bool,
    now: Timestamp,
    findings: &mut Findings,
) -> Option<Timestamp> {
    let (path, value) = block.raw(&START_TIME)?;
    if is_snapshot {
        findings.remarks.push(format!("{path}: {WITHOUT_START}"));
        return None;
    }
    let shown: String = match value {
        Value::String(text) => text.chars().take(80).flat_map(char::escape_debug).collect(),
        Value::Number(number) => number.to_string(),
        other => kind_of(other).to_owned(),
    };
    let Some(instant) = value.as_str().and_then(parse_instant) else {
        findings.unreadable_start(path, &shown);
        return None;
    };
    if instant >= now {
        findings.future_start(path, &shown);
        return None;
    }
    Some(instant)
}

fn snapshot_mode(block: &Block<'_>, findings: &mut Findings) -> SnapshotMode {
    match block.text(&SNAPSHOT_MODE, findings).map(str::trim) {
        None | Some("daily") => SnapshotMode::Daily,
        Some("changes") => SnapshotMode::Changes,
        Some("always") => SnapshotMode::Always,
        Some(_) => {
            findings.problem(block.path_of(&SNAPSHOT_MODE), "must be daily, changes or always");
            SnapshotMode::Daily
        }
    }
}

/// `override_time_delta_in_days`: how long before its first pull a fresh service starts.
fn reach(block: &Block<'_>, is_snapshot: bool, findings: &mut Findings) -> Option<SignedDuration> {
    let days = time_delta(block, findings)?;
    if let Some(other) = [&START_TIME, &RESET].into_iter().find(|other| block.has(other)) {
        let text = format!("cannot go with `{}`; keep one", block.path_of(other));
        findings.problem(block.path_of(&TIME_DELTA), text);
        return None;
    }
    let path = block.path_of(&TIME_DELTA);
    if is_snapshot {
        findings.remarks.push(format!("{path}: {WITHOUT_START}"));
        return None;
    }
    let today = format!("today `{}` says where", START_TIME.name);
    findings.remarks.push(format!(
        "{path}: is of version 1.x; a fresh service starts {days} days before its first pull; {today}"
    ));
    Some(SignedDuration::from_hours(days * 24))
}

/// The number of days that `override_time_delta_in_days` holds.
pub(super) fn time_delta(block: &Block<'_>, findings: &mut Findings) -> Option<i64> {
    block.whole_number(&TIME_DELTA, 0..=LONGEST_SECONDS / 86_400, findings)
}

/// `reset_persistence_auth`: any text; only whether it changes counts.
fn mark(block: &Block<'_>, findings: &mut Findings) -> Option<String> {
    let (path, value) = block.raw(&RESET)?;
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            findings.problem(path, format!("expected a text, found {}", kind_of(value)));
            return None;
        }
    };
    if text.is_empty() || text.len() > LONGEST_TAG {
        findings.problem(path, "must have 1 to 1,024 characters; remove it, or give a text");
        return None;
    }
    let today = format!("today another `{}` does so", START_TIME.name);
    findings.remarks.push(format!("{path}: is of version 1.x; another value restarts the service; {today}"));
    Some(text)
}

pub(super) fn override_tag(block: &Block<'_>, findings: &mut Findings) -> Option<String> {
    let tag = block.text(&TAG, findings)?.trim();
    let levels: Vec<&str> = tag.split('.').collect();
    let is_sound = (2..=8).contains(&levels.len())
        && tag.len() <= LONGEST_TAG
        && levels.iter().all(|level| !level.is_empty() && level.chars().all(is_word_character));
    if !is_sound {
        let remedy = "give 2 to 8 levels of A-Z a-z 0-9 _ -, joined by dots, at most 1,024 characters";
        findings.problem(block.path_of(&TAG), format!("is no tag; {remedy}"));
        return None;
    }
    Some(tag.to_owned())
}

fn obfuscation(block: &Block<'_>, findings: &mut Findings) -> Vec<Rule> {
    let Some((path, value)) = block.raw(&OBFUSCATION) else {
        return Vec::new();
    };
    let Value::Array(items) = value else {
        findings.problem(path, format!("expected a list, found {}", kind_of(value)));
        return Vec::new();
    };
    let paths = (0..).map(|index: usize| format!("{path}[{index}]"));
    items
        .iter()
        .zip(paths)
        .filter_map(|(item, item_path)| match Rule::parse(item, &item_path) {
            Ok(rule) => Some(rule),
            Err(problems) => {
                problems.into_iter().for_each(|problem| findings.problem(problem.path, problem.text));
                None
            }
        })
        .collect()
}
