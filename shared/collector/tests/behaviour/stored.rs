//! The stored formats: what any release or the vendor's collector wrote is read, what a newer one wrote is left alone.
//!
//! `golden/*_v1.json` are rows as format 1 wrote them. They load for ever. What today's code writes may have more members,
//! but a reader of format 1 must find its own in it, of the same kind. A file that is not there is written by the test,
//! which then fails: so a new format gets its files.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use collector::ports::{CHECKPOINT_KEY, Row};
use collector::report::Status;
use serde_json::{Map, Value, json};
use testing::site::{Site, Visit, record};
use testing::source::PageFault;

use crate::NOON;

/// The formats: name of the file, and how the keys of its rows begin.
const FORMATS: [(&str, &str); 4] = [
    ("checkpoint_v1", "checkpoint"),
    ("memory_v1", "memory#"),
    ("ledger_v1", "ledger#"),
    ("backfill_v1", "request#"),
];

pub(crate) fn path_of(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"))
}

fn golden(name: &str) -> Value {
    serde_json::from_slice(&fs::read(path_of(name)).unwrap()).unwrap()
}

/// Writes a file that is not there yet; one that is there is never changed.
pub(crate) fn write_golden(name: &str, rows: &[Row]) {
    let texts: Vec<Value> = rows
        .iter()
        .map(|row| {
            let hex = |data: &Bytes| data.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let data = row.data.as_ref().map(hex);
            json!({"key": row.key, "fields": row.fields, "data": data, "expires_at": row.expires_at})
        })
        .collect();
    fs::write(path_of(name), format!("{:#}\n", Value::from(texts))).unwrap();
}

pub(crate) fn golden_rows(name: &str) -> Vec<Row> {
    golden(name).as_array().unwrap().iter().map(row_of).collect()
}

fn row_of(text: &Value) -> Row {
    let hex = text["data"].as_str().map(|digits| {
        let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2).unwrap(), 16).unwrap();
        (0..digits.len()).step_by(2).map(byte).collect::<Vec<u8>>()
    });
    Row {
        key: text["key"].as_str().unwrap().to_owned(),
        fields: text["fields"].as_object().unwrap().clone(),
        data: hex.map(Bytes::from),
        expires_at: text["expires_at"].as_i64(),
    }
}

/// The world that the golden rows come from, before anything happened in it.
fn world(now: &str) -> Site {
    let mut site = Site::with(
        now,
        &[
            ("past1", "2026-11-10T06:00:00Z"),
            ("past2", "2026-11-12T06:00:00Z"),
            ("past3", "2026-11-12T07:00:00Z"),
            ("past4", "2026-11-14T06:00:00Z"),
            ("live1", "2026-11-19T19:00:00Z"),
            ("live2", "2026-11-19T20:00:00Z"),
            ("live3", "2026-11-20T02:00:00Z"),
            ("live4", "2026-11-20T03:00:00Z"),
        ],
    );
    site.records.push(record("{\"id\":\"timeless\"}", "2026-11-20T01:00:00Z".parse().unwrap()));
    site.settings.start_time = Some("2026-11-19T18:00:00Z".parse().unwrap());
    site.settings.window_max = jiff::SignedDuration::from_hours(6);
    site.settings.lookback = jiff::SignedDuration::from_hours(24);
    site.page_size = 1;
    site
}

fn complete_backfill() -> Visit {
    Visit::backfill("2026-11-10T00:00:00Z", "2026-11-10T12:00:00Z", false)
}

fn open_backfill() -> Visit {
    Visit::backfill("2026-11-12T06:00:00Z", "2026-11-12T12:00:00Z", true)
}

fn asked_backfill() -> Visit {
    Visit::backfill("2026-11-14T00:00:00Z", "2026-11-14T12:00:00Z", false)
}

/// Lets everything happen that leaves a row or a member behind: a complete, an open and a waiting backfill, a walk left
/// at a link, a failure of the API and one of Devo, patience asked for, a holder that was killed.
fn lived_through() -> Site {
    let mut site = world(NOON);
    site.visit(complete_backfill());
    site.visit(Visit { seconds_per_page: 50, ..open_backfill() });
    site.pass(10);
    site.visit(Visit::with_pages(&[None, None, None, Some(PageFault::Fatal)]));
    site.pass(60);
    let pages = vec![Some(PageFault::Throttled(600))];
    site.visit(Visit { pages, breaks: vec![Some(0)], ..Visit::forced() });
    assert!(site.visit_until(Visit::forced(), 2).is_none());
    assert_eq!(site.visit(asked_backfill()).status(), Status::Locked);
    site
}

pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => "time",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
    }
}

#[test]
fn a_reader_of_format_1_finds_all_it_knows_in_what_is_written_today() {
    let site = lived_through();
    let missing: Vec<&str> =
        FORMATS.iter().map(|(file, _)| *file).filter(|file| !path_of(file).exists()).collect();
    for (file, prefix) in FORMATS.iter().filter(|(file, _)| missing.contains(file)) {
        write_golden(file, &site.rows_of(prefix));
    }
    assert!(missing.is_empty(), "{missing:?} were written: look at them and keep them");
    for (file, prefix) in FORMATS {
        let (known, written) = (golden_rows(file), site.rows_of(prefix));
        let keys = |rows: &[Row]| rows.iter().map(|row| row.key.clone()).collect::<BTreeSet<_>>();
        assert_eq!(keys(&written), keys(&known), "{file}");
        for (old, new) in known.iter().zip(&written) {
            // The hashes, too: another way of hashing would send everything again.
            assert_eq!((&new.data, new.expires_at), (&old.data, old.expires_at), "{}", old.key);
            for (name, value) in &old.fields {
                let found = new.fields.get(name).unwrap_or(&Value::Null);
                assert_eq!(kind(found), kind(value), "{}: {name} is {found}", old.key);
            }
        }
    }
}

/// A world whose sweep was left at a page link.
fn in_a_sweep() -> Site {
    let mut site = world(NOON);
    site.settings.start_time = None;
    site.settings.lookback = jiff::SignedDuration::from_hours(1);
    site.settings.late_sweep_period = site.settings.request_period;
    site.settings.late_sweep_range = jiff::SignedDuration::from_hours(24);
    site.settings.window_max = jiff::SignedDuration::from_hours(24);
    site.visit(Visit::default());
    site.pass(900);
    site.visit(Visit::default());
    site.pass(900);
    site.visit(Visit { seconds_per_page: 16, ..Visit::default() });
    site
}

#[test]
fn a_sweep_of_format_1_is_gone_on_with_and_a_reader_of_it_finds_all_it_knows() {
    let (file, site) = ("late_sweep_v1", in_a_sweep());
    if !path_of(file).exists() {
        write_golden(file, &site.rows_of(CHECKPOINT_KEY));
        panic!("{file} was written: look at it and keep it");
    }
    let known = golden_rows(file);
    let old = &known[0].fields["late_sweep"];
    for (name, value) in old.as_object().unwrap() {
        assert_eq!(kind(&site.checkpoint()["late_sweep"][name]), kind(value), "{name}");
    }
    let mut site = in_a_sweep();
    site.store.put(&site.settings.partition(), known[0].clone());
    site.new_process();
    site.pass(300);
    let seen = site.visit(Visit::default());
    assert_eq!((seen.status(), seen.ids().len()), (Status::UpToDate, 0));
    let links: Vec<_> = seen.requests.iter().filter_map(|request| request.link.as_deref()).collect();
    assert!(links.contains(&old["next_link"].as_str().unwrap()), "{links:?} lack that of {old}");
    assert_eq!(seen.outcome.report.late_sweep_period_in_seconds, Some(900));
}

#[test]
fn rows_of_format_1_are_gone_on_with() {
    let mut site = world("2026-11-20T12:30:00Z");
    for row in FORMATS.iter().flat_map(|(file, _)| golden_rows(file)) {
        site.store.put(&site.settings.partition(), row);
    }
    let link = site.checkpoint()["next_link"].as_str().map(str::to_owned);
    let seen = site.tick();
    assert_eq!(seen.status(), Status::UpToDate);
    assert_eq!((seen.requests[0].link.clone(), link.is_some()), (link, true), "position");
    assert_eq!(seen.ids(), ["live3", "live4", "past3", "past4"], "memory, and the place of each backfill");
    assert_eq!(seen.warnings(), "", "nothing was restarted");
    let errors: Vec<String> =
        seen.lines().into_iter().filter(|(level, _)| level == "error").map(|(_, text)| text).collect();
    assert_eq!(
        errors,
        ["collector failed Connection closed by server. [602] scripted"],
        "what waited is told"
    );
    assert!(site.rows_of("request#").iter().all(|row| row.fields["complete"] == true), "backfills");
    let hour = |rows: &[Row]| rows[0].fields["delivered"].as_u64().unwrap();
    assert_eq!(hour(&site.rows_of("ledger#")), hour(&golden_rows("ledger_v1")) + 4, "ledger");
    site.new_process();
    site.settings.lookback = jiff::SignedDuration::from_hours(48);
    let again = site.tick();
    assert_eq!((again.ids().len(), again.outcome.report.duplicates), (0, 5));
}

#[test]
fn a_checkpoint_of_the_vendors_collector_is_gone_on_with() {
    for (index, members) in golden("checkpoint_vendor").as_array().unwrap().iter().enumerate() {
        let mut site = Site::with(NOON, &[("a", "2026-11-20T06:30:00Z"), ("b", "2026-11-20T09:00:00Z")]);
        site.edit_checkpoint(members.clone());
        let seen = site.tick();
        assert_eq!(seen.status(), Status::UpToDate, "{members}");
        assert_eq!(seen.windows(), [format!("2026-11-20T07:00:00Z/{NOON}")], "checkpoint {index}: {members}");
        assert_eq!((seen.ids(), seen.warnings().as_str()), (vec!["b".to_owned()], ""));
        for name in ["last_ids", "@persistence_version"] {
            assert_eq!(site.checkpoint().get(name), members.get(name), "{name} is carried along");
        }
        site.pass(300);
        site.new_process();
        let again = site.tick();
        assert_eq!((again.status(), again.ids().len()), (Status::UpToDate, 0));
    }
}

#[test]
fn a_start_of_the_vendors_checkpoint_is_compared_by_instant() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T09:00:00Z")]);
    site.edit_checkpoint(
        json!({"start_time_in_utc": "2026-11-01 00:00:00", "last_event_time_in_utc": "2026-11-20 08:00:00"}),
    );
    site.settings.start_time = Some("2026-11-01T00:00:00Z".parse().unwrap());
    let seen = site.tick();
    assert_eq!((seen.warnings().as_str(), seen.ids().len()), ("", 1), "the same start restarts nothing");
}

#[test]
fn a_checkpoint_of_a_newer_release_is_refused_and_not_touched() {
    let newer = [json!(2), json!(99), json!("2"), json!("newest"), json!(1.5)];
    for version in newer {
        for visit in [Visit::forced(), Visit::dry(), Visit::backfill("2026-11-01T00:00:00Z", NOON, true)] {
            let mut site = Site::new(NOON);
            site.edit_checkpoint(
                json!({"persistence_version": version, "version": 7, "of_the_future": [1, {"x": null}]}),
            );
            let before = site.rows();
            let seen = site.visit(visit);
            assert!(seen.failure().starts_with("StateError [700] the checkpoint"), "{}", seen.failure());
            assert_eq!((site.rows(), seen.requests.len(), seen.opened_devo), (before, 0, false));
        }
    }
}

#[test]
fn a_member_of_the_wrong_kind_is_named_and_never_guessed() {
    let wrong = [
        ("generation", json!("one")),
        ("generation", json!(-1)),
        ("start_time_in_utc", json!("yesterday")),
        ("last_event_time_in_utc", json!(17)),
        ("last_event_time", json!([])),
        ("last_polled_timestamp", json!("soon")),
        ("complete_to_in_utc", json!("2026-11-20")),
        ("fresh_since_in_utc", json!(true)),
        ("window_from_in_utc", json!({})),
        ("window_to_in_utc", json!(1)),
        ("next_link", json!(1)),
        ("query", json!([])),
        ("cursor_in_utc", json!("")),
        ("last_pull_in_utc", json!("x")),
        ("not_before_in_utc", json!("x")),
        ("last_result", json!(1)),
        ("last_error", json!(1)),
        ("ledger_carry", json!([1])),
        ("late_sweep", json!(3)),
        ("late_sweep", json!({"began_in_utc": "soon"})),
        ("untold", json!("x")),
        ("untold", json!([{"level": "loud", "message": "x"}])),
        ("hash_key", json!("short")),
        ("hash_key", json!(7)),
    ];
    for (name, value) in wrong {
        let mut site = Site::new(NOON);
        site.edit_checkpoint(Value::Object(Map::from_iter([(name.to_owned(), value.clone())])));
        for visit in [Visit::dry(), Visit::forced()] {
            let seen = site.visit(visit);
            assert!(
                seen.failure().starts_with("StateError [700] the checkpoint cannot be read: "),
                "{}",
                seen.failure()
            );
            assert!(seen.failure().contains(name), "{name}: {}", seen.failure());
            assert!(seen.requests.is_empty() && !site.is_leased());
            assert_eq!(site.checkpoint()[name], value);
        }
    }
}

#[test]
fn members_of_other_releases_are_carried_along() {
    let mut site = Site::new(NOON);
    let others = json!({"of_another_release": {"list": [1, "x", {"deep": true}]}, "flag": false, "@x": 7});
    site.edit_checkpoint(others.clone());
    site.tick();
    site.visit(Visit::default());
    site.visit(Visit::with_breaks(&[Some(0)]));
    for (name, value) in others.as_object().unwrap() {
        assert_eq!(site.checkpoint()[name], *value);
    }
    assert_eq!(site.rows_of(CHECKPOINT_KEY)[0].fields["persistence_version"], 1);
}
