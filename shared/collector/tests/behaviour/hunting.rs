//! The operator's own queries: windows and snapshots, each with a period, a tag, a memory and a place of its own.

use collector::report::Status;
use collector::settings::QuerySpan::{Whole, Window};
use collector::settings::SnapshotMode;
use jiff::{SignedDuration, Timestamp};
use testing::hunting::{HuntingSite, query};
use testing::site::Visit;
use testing::source::PageFault;

use crate::NOON;

const FATAL: Option<PageFault> = Some(PageFault::Fatal);
const TOO_HEAVY: Option<PageFault> = Some(PageFault::TooHeavy);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

/// Two queries with windows and one without.
fn site() -> HuntingSite {
    HuntingSite::new(NOON, vec![query("a", Window), query("b", Window), query("all", Whole)])
}

#[test]
fn each_query_sends_its_rows_to_its_own_tag_and_none_of_them_twice() {
    let mut site = site();
    site.add("a", "1", at("2026-11-20T11:00:00Z"));
    site.add("a", "2", at("2026-11-20T11:59:00Z"));
    site.add("b", "1", at("2026-11-20T11:00:00Z"));
    site.add("all", "1", at("2026-11-20T11:00:00Z"));
    let first = site.tick();
    assert_eq!(first.status(), Status::UpToDate);
    assert_eq!(first.arrived(), ["my.app.a 1", "my.app.a 2", "my.app.b 1", "my.app.all 1"]);
    assert_eq!(
        first.asked,
        [
            "a 2026-11-19T12:00:00Z/2026-11-20T12:00:00Z",
            "b 2026-11-19T12:00:00Z/2026-11-20T12:00:00Z",
            "all 2026-11-20T12:00:00Z/2026-11-20T12:00:00Z",
        ]
    );
    assert_eq!(first.outcome.report.tables["my.app.a"], 2);
    for is_new_process in [false, true] {
        site.pass(300);
        if is_new_process {
            site.new_process();
        }
        let again = site.tick();
        assert_eq!((again.status(), again.arrived().len()), (Status::UpToDate, 0));
        assert_eq!((again.outcome.report.received, again.outcome.report.duplicates), (3 - 1, 2), "{again:?}");
    }
    assert_eq!(site.tick().status(), Status::NotDue, "a tick before its time asks for nothing");
}

#[test]
fn a_window_begins_where_the_last_one_ended_less_the_look_back_however_old_the_newest_row_is() {
    let mut site = site();
    site.add("a", "old", at("2026-11-19T13:00:00Z"));
    site.tick();
    site.pass(3_600);
    let seen = site.tick();
    assert_eq!(seen.asked[0], "a 2026-11-20T11:45:00Z/2026-11-20T13:00:00Z");
    assert_eq!(site.place("a")["complete_to_in_utc"], "2026-11-20T13:00:00Z");
    assert_eq!(site.place("a")["last_event_time_in_utc"], "2026-11-19T13:00:00Z");
}

#[test]
fn a_query_begins_at_the_documents_start_or_with_its_range_or_a_day_ago() {
    let days = |count: i64| SignedDuration::from_hours(24 * count);
    let start = Some(at("2026-11-17T00:00:00Z"));
    // (start, range, first window, window an hour later)
    let table = [
        (None, None, "2026-11-19T12:00:00Z", "2026-11-20T11:45:00Z"),
        (None, Some(days(7)), "2026-11-13T12:00:00Z", "2026-11-13T13:00:00Z"),
        (None, Some(minutes(5)), "2026-11-20T11:55:00Z", "2026-11-20T11:55:00Z"),
        (start, None, "2026-11-17T00:00:00Z", "2026-11-20T11:45:00Z"),
        (start, Some(days(1)), "2026-11-17T00:00:00Z", "2026-11-19T13:00:00Z"),
        (start, Some(days(7)), "2026-11-17T00:00:00Z", "2026-11-17T00:00:00Z"),
        (None, Some(days(30)), "2026-10-21T12:00:01Z", "2026-10-21T13:00:01Z"),
    ];
    for (start, range, first, second) in table {
        let mut site = site();
        site.settings.start_time = start;
        site.settings.queries[0].range = range;
        let seen = site.tick();
        assert_eq!(seen.asked[0], format!("a {first}/2026-11-20T12:00:00Z"), "{start:?} {range:?}");
        site.pass(3_600);
        let next = site.tick();
        assert_eq!(next.asked[0], format!("a {second}/2026-11-20T13:00:00Z"), "{start:?} {range:?}");
        assert_eq!([seen.warnings(), next.warnings()].concat(), "");
    }
}

#[test]
fn what_the_api_keeps_no_longer_is_a_gap_that_names_the_query() {
    let mut site = site();
    site.settings.start_time = Some(at("2026-10-01T00:00:00Z"));
    let seen = site.tick();
    assert_eq!(seen.asked[0], "a 2026-10-21T12:00:00Z/2026-11-20T12:00:00Z");
    let expected = "query \"a\": records from 2026-10-01T00:00:00Z to 2026-10-21T12:00:00Z cannot be had";
    assert!(seen.warnings().contains(expected), "{}", seen.warnings());
}

#[test]
fn each_query_has_a_period_of_its_own_and_force_asks_all_of_them() {
    let mut site = site();
    site.settings.queries[1].period = minutes(60);
    site.settings.queries[2].period = minutes(20);
    assert_eq!(site.tick().names(), ["a", "b", "all"]);
    let due = |site: &mut HuntingSite, seconds: i64| {
        site.pass(seconds);
        site.tick().names().concat()
    };
    assert_eq!(due(&mut site, 200), "");
    assert_eq!(due(&mut site, 80), "a");
    assert_eq!(due(&mut site, 300), "a");
    assert_eq!(due(&mut site, 600), "alla", "whose last turn is longest ago comes first");
    assert_eq!(site.visit(Visit::forced()).names(), ["b", "a", "all"]);
}

#[test]
fn a_query_that_is_refused_stops_no_other_and_is_named() {
    let mut site = site();
    site.add("b", "1", at("2026-11-20T11:00:00Z"));
    site.script("a", &[FATAL]);
    site.script("all", &[FATAL]);
    let seen = site.tick();
    assert_eq!(seen.failure(), "SetupError [102] scripted refusal (query \"a\")");
    assert_eq!(seen.warnings(), "[102] scripted refusal (query \"all\")");
    assert_eq!((seen.names(), seen.arrived()), (vec!["a", "b", "all"], vec!["my.app.b 1".to_owned()]));
    assert_eq!(site.place("a")["last_error"], "[102] scripted refusal (query \"a\")");
    assert_eq!(seen.outcome.report.lag_seconds, Some(86_400), "the service is as far as its slowest query");
    site.pass(60);
    let next = site.tick();
    assert_eq!((next.status(), next.names()), (Status::UpToDate, vec!["a", "all"]));
    assert_eq!(site.place("a").get("last_error"), None);
    assert_eq!(next.outcome.report.lag_seconds, Some(60));
}

#[test]
fn a_query_that_always_uses_up_the_quota_keeps_no_other_from_its_turn() {
    const THROTTLED: Option<PageFault> = Some(PageFault::Throttled(30));
    let mut site = site();
    let mut turns = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..12 {
        // Each is asked for patience once `a` was asked, and `a` itself always is.
        site.script("a", &[THROTTLED]);
        let seen = site.tick();
        for name in seen.names() {
            *turns.entry(name.to_owned()).or_default() += 1;
        }
        site.pass(300);
    }
    assert!(turns.values().all(|count| *count >= 6) && turns.len() == 3, "{turns:?}");
}

#[test]
fn where_the_limit_has_room_for_one_request_a_tick_each_query_has_its_turn() {
    let mut site = site();
    site.quota = 1;
    let mut answered = Vec::new();
    for _ in 0..6 {
        let seen = site.tick();
        assert_eq!(seen.status(), Status::Throttled);
        answered.extend(seen.names().into_iter().map(str::to_owned));
        site.pass(300);
    }
    assert_eq!(answered, ["a", "b", "all", "a", "b", "all"]);
}

#[test]
fn a_window_that_is_too_heavy_is_halved_for_its_query_alone_until_it_is_not() {
    let mut site = site();
    site.most_rows = 10;
    for minute in 0..40 {
        site.add("a", &format!("{minute}"), at(NOON) - minutes(minute));
    }
    site.add("b", "1", at("2026-11-20T11:00:00Z"));
    let seen = site.tick();
    assert_eq!((seen.status(), seen.arrived().len()), (Status::UpToDate, 41));
    assert_eq!(seen.names().iter().filter(|name| **name == "b").count(), 1);
    assert!(seen.warnings().starts_with("query \"a\": the query is too heavy"), "{}", seen.warnings());
    assert!(!seen.warnings().contains("\"b\""));
    assert!(site.all_arrived().values().all(|count| *count == 1));
    // What was learnt of it is known to the next process.
    assert!(site.place("a")["narrowed_to_seconds"].as_i64().unwrap() < 3_600);
}

#[test]
fn a_query_without_a_window_that_is_too_heavy_is_told_what_would_help() {
    let mut site = site();
    site.script("all", &[TOO_HEAVY]);
    let seen = site.tick();
    let expected = "PullError [301] scripted refusal; give the query {from} and {to}, or let it find less \
                    (query \"all\")";
    assert_eq!(seen.failure(), expected);
}

#[test]
fn a_query_without_a_window_sends_what_its_mode_says() {
    // (hours later, rows, what is sent in each mode)
    let visits: [(i64, &str, [&str; 3]); 5] = [
        (0, "xy", ["xy", "xy", "xy"]),
        (1, "xy", ["", "", "xy"]),
        (1, "xyz", ["z", "z", "xyz"]),
        (10, "xz", ["xz", "", "xz"]),
        (1, "xyz", ["y", "", "xyz"]),
    ];
    for (index, mode) in
        [SnapshotMode::Daily, SnapshotMode::Changes, SnapshotMode::Always].into_iter().enumerate()
    {
        let mut site = HuntingSite::new(NOON, vec![query("all", Whole), query("other", Whole)]);
        site.settings.snapshot_mode = mode;
        for (number, (hours, ids, expected)) in visits.into_iter().enumerate() {
            site.pass(hours * 3_600);
            site.rows.clear();
            ids.chars().for_each(|id| site.add("all", &id.to_string(), at("2026-11-20T06:00:00Z")));
            site.new_process();
            let seen = site.tick();
            let sent: String =
                seen.arrived().iter().filter_map(|row| row.strip_prefix("my.app.all ")).collect();
            assert_eq!(sent, expected[index], "{mode:?}, visit {number}");
        }
    }
}

#[test]
fn a_changed_start_restarts_every_query() {
    let mut site = site();
    site.settings.start_time = Some(at("2026-11-20T06:00:00Z"));
    site.add("a", "1", at("2026-11-20T11:00:00Z"));
    site.add("all", "1", at("2026-11-20T11:00:00Z"));
    assert_eq!(site.tick().arrived().len(), 2);
    site.pass(10);
    site.settings.start_time = Some(at("2026-11-20T10:00:00Z"));
    let seen = site.tick();
    assert_eq!(seen.arrived(), ["my.app.a 1", "my.app.all 1"]);
    assert_eq!(seen.asked[0], "a 2026-11-20T10:00:00Z/2026-11-20T12:00:10Z");
}

#[test]
fn a_query_that_is_new_or_renamed_begins_anew_and_one_that_is_gone_leaves_its_row_to_expire() {
    let mut site = HuntingSite::new(NOON, vec![query("a", Window)]);
    site.add("a", "1", at("2026-11-20T11:00:00Z"));
    site.add("ü ~#1", "1", at("2026-11-20T11:00:00Z"));
    site.tick();
    site.settings.queries = vec![query("ü ~#1", Window)];
    site.settings.queries[0].tag = "my.app.new".to_owned();
    assert_eq!(site.tick().arrived(), ["my.app.new 1"], "its memory is its own");
    site.pass(300);
    site.new_process();
    assert_eq!(site.tick().asked, ["ü ~#1 2026-11-20T11:45:00Z/2026-11-20T12:05:00Z"]);
    let rows = site.rows_of("query#");
    assert_eq!(rows.len(), 2);
    let days = |row: &collector::ports::Row| (row.expires_at.unwrap() - at(NOON).as_second()) / 86_400;
    assert!(rows.iter().all(|row| days(row) == 400), "{rows:?}");
}

#[test]
fn a_query_that_becomes_a_snapshot_and_back_is_not_confused_by_what_was_left() {
    let mut site = HuntingSite::new(NOON, vec![query("a", Window)]);
    site.tick();
    site.script("a", &[FATAL]);
    site.pass(300);
    site.tick();
    site.settings.queries = vec![query("a", Whole)];
    site.pass(60);
    assert_eq!(site.tick().asked, ["a 2026-11-20T12:06:00Z/2026-11-20T12:06:00Z"]);
    site.script("a", &[FATAL]);
    site.pass(300);
    site.tick();
    site.settings.queries = vec![query("a", Window)];
    site.pass(60);
    assert_eq!(site.tick().asked, ["a 2026-11-20T11:51:00Z/2026-11-20T12:12:00Z"]);
}

#[test]
fn a_daily_query_beside_a_frequent_one_is_not_late() {
    let mut site = site();
    site.settings.queries[2].period = SignedDuration::from_hours(24);
    site.tick();
    for _ in 0..5 {
        site.pass(3_600 * 4);
        let seen = site.tick();
        assert_eq!((seen.names(), seen.warnings().as_str()), (vec!["a", "b"], ""));
        // What was due 5 minutes after the last tick comes hours later.
        assert_eq!(seen.outcome.report.outlook.lag_beyond_period_seconds, Some(0));
        assert_eq!(seen.outcome.report.outlook.edge_hours, Some(30 * 24));
    }
}

#[test]
fn a_dry_run_shows_one_window_of_each_query_and_leaves_nothing_behind() {
    let mut site = site();
    site.add("a", "1", at("2026-11-20T11:00:00Z"));
    site.add("b", "1", at("2026-11-20T11:00:00Z"));
    site.tick();
    let before = site.store.rows(&site.settings.partition());
    site.add("b", "2", at("2026-11-20T11:50:00Z"));
    site.pass(10);
    let dry = site.visit(Visit::dry());
    assert_eq!((dry.status(), dry.names()), (Status::DryRun, vec!["a", "b", "all"]));
    let samples = dry.outcome.report.samples.clone().unwrap();
    assert_eq!((samples.len(), samples[0].tag.as_str()), (1, "my.app.b"));
    assert_eq!(site.store.rows(&site.settings.partition()), before);
}

#[test]
fn what_was_not_delivered_moves_no_query_and_comes_again() {
    let mut site = site();
    site.add("a", "1", at("2026-11-20T11:00:00Z"));
    site.add("b", "1", at("2026-11-20T11:00:00Z"));
    let broken = site.visit(Visit { breaks: vec![Some(1)], ..Visit::default() });
    assert!(broken.failure().starts_with("DeliveryError"), "{}", broken.failure());
    assert!(site.rows_of("query#").is_empty());
    site.pass(60);
    assert_eq!(site.tick().arrived(), ["my.app.a 1", "my.app.b 1"]);
}

#[test]
fn a_row_that_cannot_be_read_is_named_and_left_alone() {
    let mut site = site();
    site.tick();
    let mut row = site.rows_of("query#b").remove(0);
    row.fields.insert("complete_to_in_utc".to_owned(), "soon".into());
    site.store.put(&site.settings.partition(), row.clone());
    site.pass(300);
    let failure = site.tick().failure();
    assert!(failure.starts_with("StateError [700] the row query#b cannot be read: "), "{failure}");
    assert_eq!(site.rows_of("query#b"), [row]);
}

#[test]
fn as_many_queries_as_anybody_has_fit_into_commits() {
    let queries: Vec<_> = (0..150)
        .map(|number| query(&format!("q{number:03}"), if number % 2 == 0 { Window } else { Whole }))
        .collect();
    let mut site = HuntingSite::new(NOON, queries);
    for number in 0..150 {
        for hour in 0..20 {
            let time = at(NOON) - SignedDuration::from_hours(hour);
            site.add(&format!("q{number:03}"), &format!("{number}/{hour}"), time);
        }
    }
    let seen = site.tick();
    assert_eq!((seen.status(), seen.arrived().len()), (Status::UpToDate, 150 * 20));
    site.pass(300);
    site.new_process();
    assert_eq!((site.tick().arrived().len(), site.rows_of("query#").len()), (0, 150));
}
