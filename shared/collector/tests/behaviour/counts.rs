//! The ledger and the answers: they tell the same numbers, over any number of invocations.

use std::collections::BTreeMap;

use collector::report::Status;
use serde_json::Value;
use testing::site::{Seen, Site, Visit, thing};
use testing::source::PageFault;
use testing::store::WriteFault;

use crate::NOON;

/// The sums of the ledger's rows and of what waits in the checkpoint.
fn ledger(site: &Site) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    let mut add = |members: &serde_json::Map<String, Value>| {
        for (name, count) in members {
            *sums.entry(name.clone()).or_default() += count.as_u64().unwrap();
        }
    };
    site.rows_of("ledger#").iter().for_each(|row| add(&row.fields));
    if let Some(carried) = site.checkpoint().get("ledger_carry") {
        carried.as_object().unwrap().values().for_each(|hour| add(hour.as_object().unwrap()));
    }
    sums
}

fn reported(visits: &[Seen]) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for report in visits.iter().map(|seen| &seen.outcome.report) {
        for (name, count) in [
            ("pulls", u64::from(report.devo_pulling_id.is_some())),
            ("requests", report.requests),
            ("received", report.received),
            ("duplicates", report.duplicates),
            ("delivered", report.delivered),
            ("failed", report.failed),
            ("sent", report.sent),
            ("bytes_sent", report.bytes_sent),
            ("throttled", report.throttled),
            ("late", report.late),
        ] {
            *sums.entry(name.to_owned()).or_default() += count;
        }
    }
    sums.retain(|_, count| *count > 0);
    sums
}

#[test]
fn the_ledger_adds_up_to_the_answers_over_working_idle_and_failing_runs() {
    let mut site = Site::new(NOON);
    site.page_size = 3;
    let mut visits = Vec::new();
    for round in 0..400_u32 {
        site.pass(i64::from(round % 7) * 97);
        if round % 5 == 0 {
            let time = site.now().to_string();
            site.records.extend((0..round % 4).map(|number| thing(&format!("{round}.{number}"), &time)));
        }
        let visit = match round % 11 {
            1 => Visit::with_breaks(&[Some(1)]),
            3 => Visit::with_pages(&[Some(PageFault::Fatal)]),
            4 => Visit::with_pages(&[None, Some(PageFault::Throttled(60))]),
            6 => Visit::with_writes(&[None, Some(WriteFault::Refused)]),
            7 => Visit { seconds_per_page: 30, ..Visit::forced() },
            8 => Visit::dry(),
            9 => Visit::forced(),
            _ => Visit::default(),
        };
        let is_dry = visit.request.dry_run;
        let seen = site.visit(visit);
        if !is_dry {
            visits.push(seen);
        }
    }
    let statuses: Vec<Option<Status>> = visits
        .iter()
        .map(|seen| seen.outcome.failure.is_none().then_some(seen.outcome.report.status))
        .collect();
    for expected in
        [None, Some(Status::NotDue), Some(Status::UpToDate), Some(Status::Throttled), Some(Status::More)]
    {
        assert!(statuses.contains(&expected), "{expected:?} never happened");
    }
    assert_eq!(ledger(&site), reported(&visits));
    assert!(site.rows_of("ledger#").len() > 3);
}

#[test]
fn after_crashes_the_ledger_has_each_delivered_record_once() {
    let mut site = Site::new(NOON);
    site.page_size = 2;
    for round in 0..60 {
        let time = site.now().to_string();
        site.records.extend((0..3).map(|number| thing(&format!("{round}.{number}"), &time)));
        site.visit_until(Visit::forced(), round % 30);
        site.pass(64);
    }
    site.visit(Visit::forced());
    let ledger = ledger(&site);
    assert_eq!(ledger["delivered"], 180);
    let duplicates = ledger.get("duplicates").copied().unwrap_or(0);
    assert_eq!(ledger["received"], duplicates + ledger["delivered"]);
}

#[test]
fn a_row_is_one_utc_hour_and_ends_after_thirty_days() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T11:00:00Z")]);
    site.tick();
    site.pass(3_600);
    site.records.push(thing("b", "2026-11-20T12:30:00Z"));
    site.tick();
    let rows = site.rows_of("ledger#");
    let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    assert_eq!(keys, ["ledger#2026-11-20T12", "ledger#2026-11-20T13"]);
    let kept: Vec<i64> = rows.iter().filter_map(|row| row.expires_at).collect();
    let noon = NOON.parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(kept, [noon + 30 * 86_400, noon + 3_600 + 30 * 86_400]);
    assert_eq!(rows[0].fields["delivered"], 1);
    assert_eq!(rows[1].fields["duplicates"], 1);
}

#[test]
fn counts_of_runs_without_records_wait_in_the_checkpoint_and_are_booked_by_their_hours() {
    let mut site = Site::new(NOON);
    for hour in 1..=9 {
        for _ in 0..3 {
            site.tick();
            site.pass(60);
        }
        assert!(
            site.checkpoint().get("ledger_carry").is_none_or(|hours| hours.as_object().unwrap().len() <= 6)
        );
        site.pass(3_600 - 180);
        assert_eq!(ledger(&site)["pulls"], hour * 3);
    }
    site.records.push(thing("a", "2026-11-20T20:30:00Z"));
    site.tick();
    assert_eq!(site.checkpoint().get("ledger_carry"), None);
    let pulls: Vec<u64> =
        site.rows_of("ledger#").iter().filter_map(|row| row.fields["pulls"].as_u64()).collect();
    assert_eq!(pulls, [3, 3, 3, 3, 3, 3, 3, 3, 3, 1]);
}

#[test]
fn an_idle_tick_is_no_pull_and_changes_no_count() {
    let mut site = Site::new(NOON);
    site.tick();
    let before = ledger(&site);
    for _ in 0..3 {
        site.pass(30);
        assert_eq!(site.visit(Visit::default()).status(), Status::NotDue);
    }
    assert_eq!(ledger(&site), before);
}

#[test]
fn lag_and_newest_of_an_answer_are_what_is_committed() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T11:00:00Z")]);
    let failing = site.visit(Visit::with_breaks(&[Some(0)]));
    let report = &failing.outcome.report;
    assert_eq!((report.lag_seconds, report.last_event_time_in_utc), (None, None));
    let seen = site.visit(Visit { seconds_per_page: 7, ..Visit::forced() });
    let report = &seen.outcome.report;
    assert_eq!((report.lag_seconds, report.elapsed_ms), (Some(7), 7_000));
    assert_eq!(report.last_event_time_in_utc, Some("2026-11-20T11:00:00Z".parse().unwrap()));
    site.pass(100);
    site.records.push(thing("b", "2026-11-20T12:01:00Z"));
    for visit in [Visit::with_breaks(&[Some(0)]), Visit::dry(), Visit::with_pages(&[Some(PageFault::Fatal)])]
    {
        let report = site.visit(visit).outcome.report;
        assert_eq!(report.lag_seconds, Some(107));
        assert_eq!(report.last_event_time_in_utc, Some("2026-11-20T11:00:00Z".parse().unwrap()));
    }
}

#[test]
fn every_key_of_the_answer_is_always_there() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T11:00:00Z")]);
    let keys = |seen: &Seen| {
        let answer = serde_json::to_value(&seen.outcome.report).unwrap();
        answer.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let expected = [
        "service",
        "status",
        "devo_pulling_id",
        "window",
        "windows",
        "requests",
        "received",
        "duplicates",
        "delivered",
        "failed",
        "sent",
        "late",
        "late_sweep_period_in_seconds",
        "bytes_sent",
        "failed_uris",
        "throttled",
        "tables",
        "warnings",
        "last_event_time_in_utc",
        "lag_seconds",
        "elapsed_ms",
    ];
    let pulled = site.tick();
    assert_eq!(keys(&pulled), expected);
    assert_eq!(keys(&site.visit(Visit::default())), expected);
    assert_eq!(keys(&site.visit(Visit::dry())), [expected.as_slice(), &["samples"]].concat());
    let answer = serde_json::to_value(&pulled.outcome.report).unwrap();
    assert_eq!((&answer["status"], &answer["tables"]["my.app.red.prod"]), (&"up_to_date".into(), &1.into()));
}
