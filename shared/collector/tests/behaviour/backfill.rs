//! Backfills: a window of the past beside the live one, with a place of its own and the memory of the service.

use collector::report::Status;
use serde_json::Value;
use testing::site::{Seen, Site, Visit, thing};
use testing::source::PageFault;

use crate::NOON;

const FROM: &str = "2026-11-19T00:00:00Z";
const TO: &str = "2026-11-20T00:00:00Z";

fn backfill() -> Visit {
    Visit::backfill(FROM, TO, false)
}

/// Two live records, and four of the day that the backfill asks for; the live window saw half of them.
fn site() -> Site {
    let mut site = Site::with(
        NOON,
        &[
            ("old1", "2026-11-19T01:00:00Z"),
            ("old2", "2026-11-19T02:00:00Z"),
            ("seen1", "2026-11-19T13:00:00Z"),
            ("seen2", "2026-11-19T14:00:00Z"),
            ("live1", "2026-11-20T10:00:00Z"),
            ("live2", "2026-11-20T11:00:00Z"),
        ],
    );
    site.tick();
    site
}

fn live_position(site: &Site) -> Vec<Option<Value>> {
    let checkpoint = site.checkpoint();
    let members = [
        "last_event_time_in_utc",
        "complete_to_in_utc",
        "fresh_since_in_utc",
        "start_time_in_utc",
        "window_from_in_utc",
        "next_link",
        "cursor_in_utc",
        "last_pull_in_utc",
        "last_result",
    ];
    members.iter().map(|name| checkpoint.get(*name).cloned()).collect()
}

fn place(site: &Site) -> Value {
    let rows = site.rows_of("request#");
    assert_eq!(rows.len(), 1, "{rows:?}");
    Value::Object(rows[0].fields.clone())
}

fn received(seen: &Seen) -> (u64, u64) {
    (seen.outcome.report.received, seen.outcome.report.duplicates)
}

#[test]
fn a_backfill_sends_what_is_missing_and_leaves_the_live_position_alone() {
    for is_new_process in [false, true] {
        let mut site = site();
        let before = live_position(&site);
        site.pass(60);
        if is_new_process {
            site.new_process();
        }
        let seen = site.visit(backfill());
        assert_eq!((seen.status(), seen.ids()), (Status::UpToDate, vec!["old1".into(), "old2".into()]));
        assert_eq!((seen.windows(), received(&seen)), (vec![format!("{FROM}/{TO}")], (4, 2)));
        assert_eq!(live_position(&site), before);
        assert_eq!(seen.outcome.report.last_event_time_in_utc, Some("2026-11-20T11:00:00Z".parse().unwrap()));
        assert_eq!(seen.outcome.report.lag_seconds, Some(60));
        assert_eq!(place(&site)["complete"], true);
        site.pass(240);
        let tick = site.visit(Visit::default());
        assert_eq!((tick.status(), tick.requests.len()), (Status::UpToDate, 1), "the live window stays due");
    }
}

#[test]
fn a_backfill_newer_than_everything_seen_does_not_move_the_newest_record() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T06:00:00Z")]);
    site.tick();
    site.pass(3600);
    site.records.push(thing("b", "2026-11-20T12:30:00Z"));
    let seen = site.visit(Visit::backfill("2026-11-20T12:10:00Z", "2026-11-20T13:00:00Z", false));
    assert_eq!(seen.ids(), ["b"]);
    assert_eq!(site.checkpoint()["last_event_time_in_utc"], "2026-11-20T06:00:00Z");
    assert_eq!(site.tick().ids().len(), 0, "the live window drops it");
}

#[test]
fn a_backfill_of_a_service_that_never_ran_leaves_its_start_to_the_first_tick() {
    let mut site = Site::with(NOON, &[("old", "2026-11-01T06:00:00Z"), ("live", "2026-11-20T06:00:00Z")]);
    let seen = site.visit(Visit::backfill("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", false));
    assert_eq!((seen.status(), seen.ids()), (Status::UpToDate, vec!["old".to_owned()]));
    site.pass(1);
    let tick = site.visit(Visit::default());
    assert!(tick.windows()[0].starts_with("2026-11-19T12:00:00Z/"), "{:?}", tick.windows());
    assert_eq!(tick.ids(), ["live"]);
}

#[test]
fn a_request_that_finds_the_service_at_work_is_left_and_the_next_tick_takes_it_up() {
    let mut site = site();
    site.pass(300);
    assert!(site.visit_until(Visit::forced(), 4).is_none());
    for _ in 0..3 {
        let refused = site.visit(backfill());
        assert_eq!(
            (refused.status(), refused.requests.len(), refused.opened_devo),
            (Status::Locked, 0, false)
        );
    }
    assert_eq!(site.rows_of("request#").len(), 3);
    site.pass(64);
    let tick = site.visit(Visit::default());
    assert_eq!((tick.status(), tick.ids()), (Status::UpToDate, vec!["old1".into(), "old2".into()]));
    assert_eq!(tick.windows().len(), 2, "the live window comes first: {:?}", tick.windows());
    assert!(tick.windows()[1].starts_with(FROM));
    assert_eq!(place(&site)["complete"], true, "the requests are answered and gone");
    site.pass(300);
    assert_eq!(site.visit(Visit::default()).windows().len(), 1);
}

#[test]
fn a_backfill_keeps_its_place_and_goes_on_by_itself_or_by_ticks() {
    let mut site = site();
    site.page_size = 1;
    let slow = || Visit { seconds_per_page: 50, ..backfill() };
    let first = site.visit(slow());
    assert_eq!((first.status(), first.ids()), (Status::More, vec!["old1".to_owned()]));
    assert!(place(&site)["next_link"].is_string());
    assert_eq!(place(&site)["complete"], false);
    site.new_process();
    let second = site.visit(slow());
    assert!(second.requests[0].link.is_some());
    assert_eq!((second.status(), second.ids()), (Status::More, vec!["old2".to_owned()]));
    let third = site.visit(Visit { seconds_per_page: 20, ..Visit::default() });
    assert_eq!(third.requests.len(), 3, "a tick does its live window, then a page of the backfill");
    assert_eq!(third.status(), Status::More);
    let last = site.visit(backfill());
    assert_eq!((last.status(), received(&last)), (Status::UpToDate, (1, 1)));
    assert_eq!(place(&site)["complete"], true);
}

#[test]
fn a_complete_backfill_that_is_asked_for_again_starts_anew() {
    let mut site = site();
    site.visit(backfill());
    assert_eq!(place(&site)["round"], 0);
    site.pass(60);
    site.records.push(thing("late", "2026-11-19T03:00:00Z"));
    let again = site.visit(backfill());
    assert_eq!(
        (again.status(), again.ids(), received(&again)),
        (Status::UpToDate, vec!["late".into()], (5, 4))
    );
    assert_eq!(place(&site)["round"], 1);
}

#[test]
fn a_request_left_before_the_backfill_was_complete_does_not_start_it_anew_and_one_left_later_does() {
    let mut site = site();
    assert!(site.visit_until(Visit::forced(), 4).is_none());
    for _ in 0..30 {
        assert_eq!(site.visit(backfill()).status(), Status::Locked);
    }
    site.pass(64);
    for _ in 0..10 {
        site.tick();
        site.pass(300);
    }
    assert_eq!((place(&site)["round"].clone(), place(&site)["complete"].clone()), (0.into(), true.into()));
    assert!(site.visit_until(Visit::forced(), 4).is_none());
    assert_eq!(site.visit(backfill()).status(), Status::Locked);
    site.pass(64);
    assert_eq!(site.tick().windows().len(), 2);
    assert_eq!(place(&site)["round"], 1);
}

#[test]
fn several_open_backfills_are_gone_on_with_one_after_the_other() {
    let mut site = site();
    assert!(site.visit_until(Visit::forced(), 4).is_none());
    for (from, to) in
        [(FROM, TO), ("2026-11-18T00:00:00Z", FROM), ("2026-11-17T00:00:00Z", "2026-11-17T01:00:00Z")]
    {
        assert_eq!(site.visit(Visit::backfill(from, to, false)).status(), Status::Locked);
    }
    site.pass(64);
    let tick = site.tick();
    assert_eq!((tick.status(), tick.windows().len()), (Status::UpToDate, 4));
    assert!(site.rows_of("request#").iter().all(|row| row.fields["complete"] == true));
}

#[test]
fn a_start_before_the_retention_moves_forward_with_a_warning() {
    let mut site = Site::with(NOON, &[("kept", "2026-10-22T00:00:00Z")]);
    for is_dry in [true, false] {
        let mut visit = Visit::backfill("2026-10-01T00:00:00Z", "2026-10-23T00:00:00Z", false);
        visit.request.dry_run = is_dry;
        let seen = site.visit(visit);
        assert_eq!(seen.windows()[0], "2026-10-21T12:00:01Z/2026-10-22T12:00:01Z");
        assert!(
            seen.warnings()
                .contains("records from 2026-10-01T00:00:00Z to 2026-10-21T12:00:00Z cannot be had"),
            "{}",
            seen.warnings()
        );
    }
    assert_eq!(site.arrived().len(), 1);
}

#[test]
fn a_backfill_that_lies_before_the_retention_altogether_is_complete_with_a_warning() {
    let mut site = Site::new(NOON);
    let seen = site.visit(Visit::backfill("2026-10-01T00:00:00Z", "2026-10-03T00:00:00Z", false));
    assert_eq!((seen.status(), seen.requests.len()), (Status::UpToDate, 0));
    assert!(seen.warnings().contains("from 2026-10-01T00:00:00Z to 2026-10-03T00:00:00Z cannot be had"));
    assert_eq!(place(&site)["complete"], true);
}

#[test]
fn a_start_that_the_api_calls_too_old_never_leads_beyond_the_end_of_the_backfill() {
    for (minimum, windows) in [
        ("2026-11-19T01:30:00Z", vec![format!("{FROM}/{TO}"), format!("2026-11-19T01:30:01Z/{TO}")]),
        ("2026-11-20T06:00:00Z", vec![format!("{FROM}/{TO}")]),
    ] {
        let mut site = site();
        let pages = vec![Some(PageFault::StartTooOld(Some(minimum.parse().unwrap())))];
        let seen = site.visit(Visit { pages, ..backfill() });
        assert_eq!((seen.status(), seen.windows()), (Status::UpToDate, windows));
        assert!(seen.warnings().contains("cannot be had"), "{}", seen.warnings());
        assert_eq!(place(&site)["complete"], true);
    }
}

#[test]
fn a_page_of_a_backfill_that_never_comes_in_time_is_asked_for_in_halves() {
    let mut site = site();
    let stalled = || Visit { pages: vec![Some(PageFault::OutOfTime)], ..backfill() };
    let tick_that_stalls = || Visit::with_pages(&[None, Some(PageFault::OutOfTime)]);
    let mut spans = Vec::new();
    for visit in [stalled(), stalled(), tick_that_stalls(), tick_that_stalls()] {
        let seen = site.visit(visit);
        assert_eq!(seen.status(), Status::More);
        spans.push(seen.requests.last().unwrap().window.span().as_hours());
    }
    assert_eq!(spans, [24, 12, 6, 3]);
    assert_eq!(site.visit(backfill()).ids(), ["old1", "old2"]);
}

#[test]
fn a_backfill_that_was_asked_for_is_not_forgotten_when_its_first_delivery_fails() {
    let mut site = site();
    for _ in 0..5 {
        let failing = site.visit(Visit { breaks: vec![Some(0)], ..backfill() });
        assert!(failing.failure().starts_with("DeliveryError"));
        assert_eq!(site.rows_of("request#").len(), 1, "it is noted once");
        site.pass(1);
    }
    let tick = site.visit(Visit::default());
    assert_eq!((tick.status(), tick.ids()), (Status::UpToDate, vec!["old1".into(), "old2".into()]));
    assert_eq!(place(&site)["complete"], true);
}

#[test]
fn a_crash_at_any_step_of_a_backfill_loses_nothing_and_repeats_at_most_what_was_in_flight() {
    for resend in [false, true] {
        for crash_at in 0.. {
            let mut site = site();
            site.page_size = 1;
            site.pass(60);
            let visit = || Visit::backfill(FROM, TO, resend);
            if site.visit_until(visit(), crash_at).is_some() {
                assert!(crash_at > 20, "it was killed at {crash_at} steps");
                break;
            }
            site.pass(64);
            while site.visit(visit()).status() != Status::UpToDate {}
            let arrived = site.arrived();
            assert_eq!(arrived.len(), 6, "killed at {crash_at}: {arrived:?}");
            for (id, times) in &arrived {
                let wanted = usize::from(id.starts_with("old") || resend && id.starts_with("seen"))
                    + usize::from(!id.starts_with("old"));
                assert!(
                    (wanted..=wanted + 1).contains(times),
                    "killed at {crash_at}: {id} came {times} times"
                );
            }
            site.pass(300);
            assert_eq!(site.tick().ids().len(), 0);
        }
    }
}
