//! What an invocation is asked to do.
//!
//! A timer's event says no more than that it is time, whatever else it carries. Anything else is a request with known
//! keys; one unknown key or bad time and nothing is pulled, because a backfill that was understood by half is worse
//! than one that was refused.

use jiff::{SignedDuration, Timestamp, TimestampRound, Unit};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::settings::times::{EXAMPLE, parse_instant};
use crate::settings::{Block, Findings, Setting, kind_of};

/// One invocation's request. A plain timer tick is the default value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// Pull now, whatever the period says.
    pub force: bool,
    /// Pull one window, send nothing, write nothing, show what would be sent.
    pub dry_run: bool,
    /// Pull this window beside the live one.
    pub backfill: Option<Backfill>,
    /// Service settings laid over the document's for this invocation only.
    pub settings: Option<Map<String, Value>>,
}

/// A window of the past to pull beside the live one. It is known by its three members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfill {
    /// Start, UTC, a whole second.
    pub from: Timestamp,
    /// End, UTC, a whole second, after the start and not in the future.
    pub to: Timestamp,
    /// Send records again that were sent before.
    pub resend: bool,
}

static FORCE: Setting = Setting::named("force");
static DRY_RUN: Setting = Setting::named("dry_run");
static BACKFILL: Setting = Setting::named("backfill");
static SETTINGS: Setting = Setting::named("settings");
static START: Setting = Setting::named("start_time_in_utc");
static END: Setting = Setting::named("end_time_in_utc");
static RESEND: Setting = Setting::named("resend");

/// Members that only the events of EventBridge rules and of the Scheduler have.
const MARKS_OF_A_TIMER: &[&str] = &["source", "detail-type"];

impl Request {
    /// Reads an invocation's event. Every problem of it is named in the one error, one a line. The settings in it are
    /// judged where they are laid over the document's ([`crate::settings::document::resolve`]).
    pub fn parse(event: &Value, now: Timestamp) -> Result<Self, Error> {
        let is_tick = match event {
            Value::Null => true,
            Value::Object(members) => MARKS_OF_A_TIMER.iter().any(|mark| members.contains_key(*mark)),
            _ => false,
        };
        if is_tick {
            return Ok(Self::default());
        }
        let mut findings = Findings::default();
        let request = read_request(event, now, &mut findings);
        match findings.error() {
            Some(error) => Err(error),
            None => Ok(request),
        }
    }
}

fn read_request(event: &Value, now: Timestamp, findings: &mut Findings) -> Request {
    let Value::Object(members) = event else {
        findings.problem("event", format!("expected an object, found {}", kind_of(event)));
        return Request::default();
    };
    let known = [&FORCE, &DRY_RUN, &BACKFILL, &SETTINGS];
    let block = Block::read_members("event", members, &known, &[], findings);
    let force = block.boolean(&FORCE, findings).unwrap_or(false);
    if force && block.has(&BACKFILL) {
        findings.problem(
            block.path_of(&FORCE),
            "does not go with `backfill`, which never waits for the period; remove one",
        );
    }
    Request {
        force,
        dry_run: block.boolean(&DRY_RUN, findings).unwrap_or(false),
        backfill: backfill(&block, now, findings),
        settings: settings(&block, findings),
    }
}

fn settings(event: &Block<'_>, findings: &mut Findings) -> Option<Map<String, Value>> {
    let (path, value) = event.raw(&SETTINGS)?;
    let Value::Object(members) = value else {
        findings.problem(path, format!("expected an object, found {}", kind_of(value)));
        return None;
    };
    Some(members.clone())
}

fn backfill(event: &Block<'_>, now: Timestamp, findings: &mut Findings) -> Option<Backfill> {
    let (path, value) = event.raw(&BACKFILL)?;
    let Value::Object(members) = value else {
        findings.problem(path, format!("expected an object, found {}", kind_of(value)));
        return None;
    };
    let block = Block::read_members(path, members, &[&START, &END, &RESEND], &[], findings);
    let resend = block.boolean(&RESEND, findings).unwrap_or(false);
    let start = past_instant(&block, &START, now, findings);
    let end = past_instant(&block, &END, now, findings);
    let (start_instant, end_instant) = (start?, end?);
    if end_instant <= start_instant {
        findings.problem(block.path_of(&END), "must be after start_time_in_utc");
        return None;
    }
    // Windows have whole seconds at both ends; rounding outwards keeps what was asked for inside.
    let from = floor_second(start_instant);
    let to = ceil_second(end_instant);
    Some(Backfill { from, to, resend })
}

/// A required time that is not in the future.
fn past_instant(
    block: &Block<'_>,
    setting: &'static Setting,
    now: Timestamp,
    findings: &mut Findings,
) -> Option<Timestamp> {
    let Some((path, value)) = block.raw(setting) else {
        findings.problem(block.path_of(setting), format!("is missing; give a time such as {EXAMPLE}"));
        return None;
    };
    let Some(instant) = value.as_str().and_then(parse_instant) else {
        findings.problem(path, format!("is no time; write it as {EXAMPLE}"));
        return None;
    };
    if instant > now {
        findings.problem(path, "is in the future; only the past can be pulled again");
        return None;
    }
    Some(instant)
}

fn floor_second(instant: Timestamp) -> Timestamp {
    let round = TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Floor);
    instant.round(round).unwrap_or(instant)
}

fn ceil_second(instant: Timestamp) -> Timestamp {
    let floor = floor_second(instant);
    if floor == instant { floor } else { floor.checked_add(SignedDuration::from_secs(1)).unwrap_or(floor) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn instant(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn check(event: Value, expected: Request) {
        assert_eq!(Request::parse(&event, now()), Ok(expected), "{event}");
    }

    fn problems_of(event: Value) -> Vec<String> {
        let error = Request::parse(&event, now()).unwrap_err();
        assert_eq!((error.error_type.as_str(), error.code), ("InitVariablesError", 1), "{event}");
        error.message.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_timer_event_is_a_tick_whatever_else_it_carries() {
        let tick = Request::default();
        check(json!({}), tick.clone());
        check(Value::Null, tick.clone());
        check(json!({"source": "aws.events", "force": true, "unknown": 1}), tick.clone());
        check(json!({"detail-type": "Scheduled Event"}), tick);
    }

    #[test]
    fn force_dry_run_and_settings_go_with_each_other() {
        let overlay = json!({"additional_filter": "a eq 'b'"});
        let expected =
            Request { force: true, dry_run: true, backfill: None, settings: overlay.as_object().cloned() };
        check(json!({"force": true, "dry_run": "true", "settings": overlay}), expected);
        check(json!({"force": false, "dry_run": false}), Request::default());
    }

    #[test]
    fn a_backfill_goes_with_dry_run_and_settings_but_not_with_force() {
        let window =
            json!({"start_time_in_utc": "2026-11-01T00-00-00Z", "end_time_in_utc": "2026-11-02T00:00:00Z"});
        let backfill = Backfill {
            from: instant("2026-11-01T00:00:00Z"),
            to: instant("2026-11-02T00:00:00Z"),
            resend: false,
        };
        let plain = Request { backfill: Some(backfill.clone()), ..Request::default() };
        check(json!({"backfill": window}), plain.clone());
        check(json!({"backfill": window, "force": false}), plain.clone());
        check(json!({"backfill": window, "dry_run": true}), Request { dry_run: true, ..plain.clone() });
        let with_settings = Request { settings: Some(Map::new()), ..plain };
        check(json!({"backfill": window, "settings": {}}), with_settings);
        let problems = problems_of(json!({"backfill": window, "force": true}));
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("event.force: does not go with `backfill`"), "{problems:?}");
    }

    #[test]
    fn the_ends_of_a_backfill_are_rounded_outwards() {
        let event = json!({"backfill": {"start_time_in_utc": "2026-11-01T00:00:00.9Z",
            "end_time_in_utc": "2026-11-02T00:00:00.1Z", "resend": "true"}});
        let backfill = Backfill {
            from: instant("2026-11-01T00:00:00Z"),
            to: instant("2026-11-02T00:00:01Z"),
            resend: true,
        };
        check(event, Request { backfill: Some(backfill), ..Request::default() });
    }

    #[test]
    fn every_problem_of_an_event_is_named_at_once() {
        let event = json!({"forse": true, "dry_run": 1, "settings": [],
            "backfill": {"start_time_in_utc": "soon", "end": "2026-11-02T00:00:00Z", "resend": []}});
        assert_eq!(
            problems_of(event),
            [
                "event.forse: unknown key, the nearest known one is `force`; rename or remove it",
                "event.dry_run: expected true or false, found a number",
                "event.backfill.end: unknown key, the nearest known one is `end_time_in_utc`; rename or remove it",
                "event.backfill.resend: expected true or false, found a list",
                "event.backfill.start_time_in_utc: is no time; write it as 2026-11-01T00:00:00Z",
                "event.backfill.end_time_in_utc: is missing; give a time such as 2026-11-01T00:00:00Z",
                "event.settings: expected an object, found a list",
            ]
        );
    }

    #[test]
    fn a_window_that_is_empty_reversed_or_in_the_future_is_refused() {
        let cases = [
            (
                "2026-11-02T00:00:00Z",
                "2026-11-01T00:00:00Z",
                "end_time_in_utc: must be after start_time_in_utc",
            ),
            (
                "2026-11-02T00:00:00Z",
                "2026-11-02T00:00:00Z",
                "end_time_in_utc: must be after start_time_in_utc",
            ),
            ("2026-11-02T00:00:00Z", "2026-11-20T12:00:01Z", "end_time_in_utc: is in the future"),
        ];
        for (start, end, expected) in cases {
            let problems =
                problems_of(json!({"backfill": {"start_time_in_utc": start, "end_time_in_utc": end}}));
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].starts_with(&format!("event.backfill.{expected}")), "{problems:?}");
        }
    }

    #[test]
    fn an_event_that_is_no_object_is_refused() {
        for event in [json!([]), json!("force"), json!(1), json!(true)] {
            assert!(problems_of(event)[0].starts_with("event: expected an object, found "));
        }
    }

    #[test]
    fn every_sample_event_is_understood() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events");
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let event: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let request = Request::parse(&event, now()).unwrap();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let is_as_named = match name.as_str() {
                "timer" | "scheduler" => request == Request::default(),
                "force" => request.force,
                "backfill" => request.backfill.is_some(),
                "dry_run" => request.dry_run,
                "settings" => request.settings.is_some(),
                _ => false,
            };
            assert!(is_as_named, "{name}: {request:?}");
            names.push(name);
        }
        names.sort_unstable();
        assert_eq!(names, ["backfill", "dry_run", "force", "scheduler", "settings", "timer"]);
    }

    proptest! {
        #[test]
        fn any_sound_window_is_read_back(start in 0_i64..1_700_000_000, length in 1_i64..1_000_000, resend: bool) {
            let from = Timestamp::from_second(start).unwrap();
            let to = Timestamp::from_second(start + length).unwrap();
            let event = json!({"backfill": {"start_time_in_utc": from.to_string(),
                "end_time_in_utc": to.strftime("%Y-%m-%dT%H-%M-%SZ").to_string(), "resend": resend}});
            let expected = Request { backfill: Some(Backfill { from, to, resend }), ..Request::default() };
            prop_assert_eq!(Request::parse(&event, now()), Ok(expected));
        }
    }
}
