//! Records that go on to change until they have an end, though only their start can be asked for.

use collector::report::Status;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use testing::enriched::task_settings;
use testing::site::{Seen, Site, Visit, record, thing};
use testing::source::{Emitted, PageFault};

use crate::NOON;

const HOUR: i64 = 3_600;

/// A task that began then, in this state; `end` is the raw member, if there is one.
pub fn task(id: &str, start: &str, state: &str, end: Option<&str>) -> Emitted {
    let end = end.map(|raw| format!(",\"end\":{raw}")).unwrap_or_default();
    let time: Timestamp = start.parse().unwrap();
    record(&format!("{{\"id\":\"{id}\",\"state\":\"{state}\",\"time\":\"{start}\"{end}}}"), time)
}

const RUNNING: Option<&str> = Some("null");
const ENDED: Option<&str> = Some("\"2026-11-20T13:00:00Z\"");

fn site(records: &[Emitted]) -> Site {
    let mut site = Site::new(NOON);
    site.settings = task_settings();
    site.records = records.to_vec();
    site
}

/// The start of the first window of a visit.
fn start(seen: &Seen) -> String {
    seen.windows()[0].split_once('/').unwrap().0.to_owned()
}

fn states(seen: &Seen) -> Vec<String> {
    let member = |name| seen.members(name).into_iter().map(|value| value.as_str().unwrap_or("").to_owned());
    member("id").zip(member("state")).map(|(id, state)| format!("{id} {state}")).collect()
}

fn unfinished(site: &Site) -> [Value; 2] {
    let row = site.checkpoint();
    ["unfinished_from_in_utc", "unfinished_so_far_in_utc"]
        .map(|name| row.get(name).cloned().unwrap_or_default())
}

#[test]
fn a_task_of_hours_ago_is_delivered_at_each_change_and_not_looked_for_once_it_ended() {
    const BEGAN: &str = "2026-11-20T07:00:00Z";
    let mut site = site(&[task("t", BEGAN, "A", RUNNING), task("n", "2026-11-20T11:30:00Z", "A", ENDED)]);
    assert_eq!(states(&site.tick()), ["t A", "n A"]);
    let visits: [(&str, Option<&str>, &[&str], &str); 6] = [
        ("A", RUNNING, &[], BEGAN),
        ("B", RUNNING, &["t B"], BEGAN),
        ("B", RUNNING, &[], BEGAN),
        ("C", RUNNING, &["t C"], BEGAN),
        ("C", ENDED, &["t C"], BEGAN),
        ("C", ENDED, &[], "2026-11-20T10:30:00Z"),
    ];
    for (number, (state, end, expected, from)) in visits.into_iter().enumerate() {
        site.records[0] = task("t", BEGAN, state, end);
        site.pass(300);
        site.new_process();
        let seen = site.tick();
        assert_eq!(states(&seen), expected, "visit {number}");
        assert_eq!((start(&seen).as_str(), seen.warnings().as_str()), (from, ""), "visit {number}");
    }
    assert_eq!(unfinished(&site), [Value::Null, Value::Null]);
}

#[test]
fn the_oldest_of_several_counts_and_the_look_back_holds_where_it_reaches_further() {
    let mut site = site(&[
        task("old", "2026-11-20T08:00:00Z", "A", RUNNING),
        task("young", "2026-11-20T10:00:00.5Z", "A", RUNNING),
        task("new", "2026-11-20T11:45:00Z", "A", RUNNING),
    ]);
    site.tick();
    let mut next = |index: usize, id: &str, time: &str| {
        site.records[index] = task(id, time, "A", ENDED);
        site.pass(300);
        site.tick();
        site.pass(300);
        start(&site.tick())
    };
    assert_eq!(next(0, "old", "2026-11-20T08:00:00Z"), "2026-11-20T10:00:00Z");
    assert_eq!(next(1, "young", "2026-11-20T10:00:00.5Z"), "2026-11-20T10:45:00Z");
}

#[test]
fn only_a_null_of_the_past_says_that_there_is_no_end_yet() {
    let early = "2026-11-20T07:00:00Z";
    let ended: [Option<&str>; 6] =
        [None, Some("\"\""), Some("\"soon\""), Some("0"), Some("{}"), Some("\"0001-01-01T00:00:00Z\"")];
    for end in ended {
        let mut site = site(&[task("t", early, "A", end)]);
        site.tick();
        assert_eq!(unfinished(&site)[0], Value::Null, "{end:?}");
    }
    for text in ["{\"id\":\"t\",\"end\":null}", "{\"id\":\"t\",\"end\":null,\"time\":\"soon\"}"] {
        let mut site = site(&[record(text, early.parse().unwrap())]);
        site.tick();
        assert_eq!(unfinished(&site)[0], Value::Null, "{text}");
    }
    let mut ahead = task("t", "2026-11-21T07:00:00Z", "A", RUNNING);
    ahead.time = early.parse().unwrap();
    ahead.visible_from = ahead.time;
    let mut site = site(&[ahead]);
    site.tick();
    assert_eq!(unfinished(&site)[0], Value::Null, "dated after now");
}

#[test]
fn a_service_whose_records_have_no_end_keeps_none_in_mind() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T07:00:00Z")]);
    site.records.push(record(
        "{\"id\":\"b\",\"end\":null,\"time\":\"2026-11-20T06:00:00Z\"}",
        "2026-11-20T06:00:00Z".parse().unwrap(),
    ));
    site.tick();
    assert_eq!(unfinished(&site), [Value::Null, Value::Null]);
}

#[test]
fn a_cycle_that_is_left_half_way_keeps_what_it_met_and_only_its_end_makes_it_count() {
    let mut site = site(&[
        task("a", "2026-11-20T06:00:00Z", "A", RUNNING),
        task("b", "2026-11-20T07:00:00Z", "A", RUNNING),
        task("c", "2026-11-20T08:00:00Z", "A", RUNNING),
    ]);
    site.page_size = 1;
    site.tick();
    assert_eq!(unfinished(&site), [json!("2026-11-20T06:00:00Z"), Value::Null]);
    site.records[0] = task("a", "2026-11-20T06:00:00Z", "A", ENDED);
    for expected in ["2026-11-20T07:00:00Z", "2026-11-20T07:00:00Z"] {
        site.pass(300);
        site.new_process();
        let pages = if unfinished(&site)[1].is_null() {
            vec![None, None, Some(PageFault::Fatal)]
        } else {
            vec![Some(PageFault::Fatal)]
        };
        site.visit(Visit::with_pages(&pages)).failure();
        assert_eq!(unfinished(&site), [json!("2026-11-20T06:00:00Z"), json!(expected)]);
    }
    site.pass(300);
    site.new_process();
    assert_eq!(site.tick().status(), Status::UpToDate);
    assert_eq!(unfinished(&site), [json!("2026-11-20T07:00:00Z"), Value::Null]);
}

#[test]
fn a_cycle_of_many_windows_knows_the_oldest_of_all_of_them() {
    let mut site = site(&[
        task("a", "2026-11-17T13:00:00Z", "A", RUNNING),
        task("b", "2026-11-19T13:00:00Z", "A", RUNNING),
    ]);
    site.settings.start_time = Some("2026-11-17T12:00:00Z".parse().unwrap());
    site.settings.window_max = SignedDuration::from_hours(12);
    site.tick();
    for _ in 0..3 {
        assert_eq!(unfinished(&site), [json!("2026-11-17T13:00:00Z"), Value::Null]);
        site.pass(300);
        let seen = site.tick();
        assert_eq!((seen.status(), start(&seen).as_str()), (Status::UpToDate, "2026-11-17T13:00:00Z"));
        assert!(seen.outcome.report.windows > 5);
    }
}

#[test]
fn a_task_that_never_ends_leaves_with_the_retention_without_a_word() {
    let mut site = site(&[task("t", "2026-11-20T11:00:00Z", "A", RUNNING)]);
    site.tick();
    for day in 1..40 {
        site.pass(24 * HOUR);
        site.records.push(task(&format!("{day}"), &site.now().to_string(), "A", ENDED));
        if day > 30 {
            let oldest = site.now() - SignedDuration::from_hours(30 * 24);
            site.records.retain(|it| it.time > oldest);
        }
        // A window that is left at its first page is older than what the API keeps by the time it is gone on with.
        let left = site.visit(Visit::with_pages(&[Some(PageFault::Fatal)]));
        assert!(!left.warnings().contains("cannot be had"), "day {day}: {}", left.warnings());
        site.pass(HOUR);
        let seen = site.tick();
        assert_eq!((seen.status(), seen.warnings().as_str()), (Status::UpToDate, ""), "day {day}");
        assert_eq!(seen.ids(), [format!("{day}")]);
    }
    assert_eq!(unfinished(&site), [Value::Null, Value::Null]);
}

#[test]
fn a_new_start_forgets_what_was_unfinished_before_it() {
    let mut site = site(&[task("t", "2026-11-20T07:00:00Z", "A", RUNNING)]);
    site.tick();
    site.settings.start_time = Some("2026-11-20T11:00:00Z".parse().unwrap());
    site.pass(300);
    let seen = site.tick();
    assert_eq!(
        (start(&seen).as_str(), unfinished(&site)),
        ("2026-11-20T11:00:00Z", [Value::Null, Value::Null])
    );
}

#[test]
fn a_task_that_only_the_sweep_found_is_followed_and_one_of_a_backfill_is_not() {
    let mut site = site(&[task("n", "2026-11-20T11:30:00Z", "A", ENDED)]);
    site.settings.late_sweep_period = SignedDuration::from_hours(1);
    site.settings.late_sweep_range = SignedDuration::from_hours(24);
    site.tick();
    site.records.push(task("late", "2026-11-20T01:00:00Z", "A", RUNNING));
    site.records.push(task("past", "2026-11-10T01:00:00Z", "A", RUNNING));
    site.visit(Visit::backfill("2026-11-10T00:00:00Z", "2026-11-10T12:00:00Z", false));
    assert_eq!(unfinished(&site)[0], Value::Null);
    let mut sent = Vec::new();
    for _ in 0..40 {
        site.pass(300);
        sent.extend(states(&site.tick()));
    }
    assert_eq!(
        (sent, unfinished(&site)[0].clone()),
        (vec!["late A".to_owned()], json!("2026-11-20T01:00:00Z"))
    );
    site.records[1] = task("late", "2026-11-20T01:00:00Z", "B", ENDED);
    site.pass(300);
    assert_eq!(states(&site.tick()), ["late B"]);
}

#[test]
fn a_row_of_a_release_that_follows_nothing_loads_and_gets_no_member_that_it_does_not_need() {
    let mut site = site(&[task("n", "2026-11-20T11:30:00Z", "A", ENDED)]);
    site.tick();
    let names: Vec<String> = site.checkpoint().keys().cloned().collect();
    assert!(names.iter().all(|name| !name.contains("unfinished") && name != "enriching"), "{names:?}");
    site.records.push(thing("x", "2026-11-20T12:01:00Z"));
    site.pass(300);
    assert_eq!(site.tick().status(), Status::UpToDate);
}
