//! The late sweep keeps out of the way: when it is off, when it waits, and what it leaves to the live windows and backfills.

use collector::report::Status;
use collector::settings::RequestRate;
use jiff::SignedDuration;
use serde_json::{Value, json};
use testing::service::{INCIDENTS, SERVICE};
use testing::site::{Site, Visit};
use testing::source::PageFault;

use crate::late_sweep::{late, site, sweep_of, swept, ticks};

const TICK: i64 = 300;
const HOUR: i64 = 3_600;

/// A world whose sweep is due at the next tick, five minutes later. It has 30 records of the last day, and one that came late.
fn due() -> Site {
    due_of(site())
}

fn due_of(mut site: Site) -> Site {
    for number in 0..30 {
        site.records.push(late(&format!("r{number}"), -20 * HOUR + number * 1_800, 0));
    }
    site.records.push(late("newest", HOUR - 600, 0));
    site.visit(Visit::default());
    ticks(&mut site, HOUR - TICK);
    site.records.push(late("late", -9 * HOUR + 1, 9 * HOUR + 60));
    site.pass(TICK);
    site
}

/// The same with a sweep that a period of one tick lets do everything at once.
fn due_at_once() -> Site {
    let mut site = due();
    site.settings.late_sweep_period = site.settings.request_period;
    site
}

/// Requests of a sweep, one in four of these a tick.
fn limit(site: &mut Site, requests_a_period: u32) {
    site.settings.rate = RequestRate { requests: requests_a_period, per: SignedDuration::from_secs(TICK) };
}

#[test]
fn it_is_off_with_a_period_of_zero_and_forgets_where_it_was() {
    let mut site = due();
    site.page_size = 2;
    limit(&mut site, 8);
    site.visit(Visit::default());
    assert!(sweep_of(&site)["ends_at_in_utc"].is_string());
    site.settings.late_sweep_period = SignedDuration::ZERO;
    for _ in 0..3 * HOUR / TICK {
        site.pass(TICK);
        let seen = site.visit(Visit::default());
        assert_eq!(swept(&site, &seen), 0);
        assert_eq!(seen.outcome.report.late_sweep_period_in_seconds, None);
    }
    assert_eq!(sweep_of(&site), Value::Null);
}

#[test]
fn nothing_is_swept_by_a_dry_run_or_a_backfill_that_is_asked_for_by_itself() {
    let mut site = due();
    for visit in [Visit::dry(), Visit::backfill("2026-11-20T00:00:00Z", "2026-11-20T01:00:00Z", false)] {
        let before = sweep_of(&site);
        let seen = site.visit(visit);
        assert_eq!((seen.requests.len(), sweep_of(&site)), (1, before));
    }
    assert_eq!(site.visit(Visit::default()).ids(), ["late"]);
}

#[test]
fn it_waits_until_the_live_windows_have_caught_up() {
    let mut site = due();
    site.pass(6 * HOUR);
    site.page_size = 1;
    for number in 0..6 {
        site.records.push(late(&format!("behind{number}"), 2 * HOUR + number * 600, 0));
    }
    let began = sweep_of(&site);
    let behind = site.visit(Visit { seconds_per_page: 20, ..Visit::default() });
    assert_eq!((behind.status(), swept(&site, &behind), sweep_of(&site)), (Status::More, 0, began));
    site.page_size = 100;
    let seen = site.visit(Visit::default());
    assert_eq!((seen.status(), seen.outcome.report.late), (Status::UpToDate, 1));
}

#[test]
fn a_restart_forgets_it() {
    let mut site = due();
    site.page_size = 2;
    limit(&mut site, 8);
    site.visit(Visit::default());
    assert!(sweep_of(&site)["ends_at_in_utc"].is_string());
    site.settings.start_time = Some("2026-11-20T06:00:00Z".parse().unwrap());
    let seen = site.tick();
    assert!(seen.warnings().contains("start_time_in_utc changed"));
    assert_eq!(sweep_of(&site), json!({"waits_since_in_utc": "2026-11-20T13:00:00Z"}));
}

#[test]
fn a_release_without_sweeps_that_moved_the_start_leaves_no_place_before_it() {
    let mut site = due();
    site.page_size = 2;
    limit(&mut site, 8);
    site.visit(Visit::default());
    site.edit_checkpoint(json!({"start_time_in_utc": "2026-11-20T11:00:00Z"}));
    site.pass(HOUR);
    site.tick();
    assert_eq!(sweep_of(&site)["began_in_utc"], "2026-11-20T14:00:00Z", "it begins anew, behind the start");
}

#[test]
fn an_unfinished_sweep_makes_the_status_no_other_and_the_service_due_no_sooner() {
    let mut site = due_at_once();
    site.page_size = 2;
    limit(&mut site, 8);
    let first = site.visit(Visit::default());
    assert_eq!((first.status(), swept(&site, &first)), (Status::UpToDate, 2));
    assert!(sweep_of(&site)["next_link"].is_string());
    site.pass(60);
    assert_eq!(site.visit(Visit::default()).status(), Status::NotDue);
    site.pass(TICK - 60);
    let second = site.visit(Visit::default());
    assert_eq!(second.requests.last().unwrap().window, first.requests.last().unwrap().window);
    assert!(second.requests.iter().any(|request| request.link.is_some()), "it goes on at its page");
}

#[test]
fn ticks_before_their_time_share_what_the_limit_allows_in_that_time() {
    let mut site = due_at_once();
    site.page_size = 1;
    limit(&mut site, 40);
    let whole = site.visit(Visit::default());
    assert_eq!(swept(&site, &whole), 10);
    site.pass(120);
    let early = site.tick();
    assert_eq!(swept(&site, &early), 4);
    let at_once = site.tick();
    assert_eq!(swept(&site, &at_once), 0, "nothing was allowed for anew");
}

#[test]
fn records_in_no_order_say_nothing_of_how_far_a_sweep_came() {
    let swept_at_first = |service| {
        let mut unswept = site();
        unswept.settings.service = service;
        let mut site = due_of(unswept);
        site.page_size = 2;
        site.settings.rate = RequestRate { requests: 6, per: SignedDuration::from_secs(60) };
        let seen = site.visit(Visit::default());
        swept(&site, &seen)
    };
    // As far as a twelfth of the hour goes, or a quarter of what the limit allows.
    assert_eq!((swept_at_first(&SERVICE), swept_at_first(&INCIDENTS)), (1, 8));
}

#[test]
fn a_limit_too_small_for_a_request_with_each_tick_gives_one_every_few_ticks() {
    let mut site = due();
    site.page_size = 10;
    limit(&mut site, 2);
    let mut found = 0;
    for tick in 0..8 {
        let seen = site.visit(Visit::default());
        assert_eq!(swept(&site, &seen), 1 - tick % 2, "{tick}");
        found += seen.outcome.report.late;
        site.pass(TICK);
    }
    assert_eq!(found, 1);
}

#[test]
fn a_period_that_cannot_be_kept_is_stretched_and_told_once_a_day() {
    let mut site = due();
    site.page_size = 1;
    limit(&mut site, 4);
    let words = "late records are looked for every";
    let (mut periods, mut warned) = (Vec::new(), Vec::new());
    let mut live = 0;
    for _ in 0..2 * 86_400 / TICK {
        live += 1;
        if live % 4 == 0 {
            site.records.push(late(&format!("more{live}"), HOUR + live * TICK, 0));
        }
        site.pass(TICK);
        let seen = site.visit(Visit::default());
        assert_eq!(seen.status(), Status::UpToDate);
        periods.extend(seen.outcome.report.late_sweep_period_in_seconds);
        if seen.warnings().contains(words) {
            assert!(seen.warnings().contains("late_sweep_range_in_seconds"));
            warned.push(site.now().strftime("%F").to_string());
        }
    }
    assert!(periods.iter().any(|period| *period > 2 * HOUR), "{periods:?}");
    assert_eq!(warned, ["2026-11-20", "2026-11-21", "2026-11-22"]);
    assert!(site.arrived().values().all(|times| *times == 1));
}

#[test]
fn a_service_that_is_pulled_more_seldom_than_swept_is_swept_at_each_pull_without_a_word() {
    let mut site = due();
    site.settings.request_period = SignedDuration::from_hours(24);
    for _ in 0..3 {
        site.pass(24 * HOUR);
        let seen = site.visit(Visit::default());
        assert!(!seen.warnings().contains("late records"), "{}", seen.warnings());
    }
    site.pass(60);
    let idle = site.visit(Visit::default());
    assert_eq!(
        (idle.status(), idle.outcome.report.late_sweep_period_in_seconds),
        (Status::NotDue, Some(86_400))
    );
}

#[test]
fn patience_that_the_api_asks_of_a_sweep_holds_for_all_and_our_own_limit_for_the_sweep_alone() {
    let mut site = due();
    let asked = site.visit(Visit { pages: vec![None, Some(PageFault::Throttled(900))], ..Visit::default() });
    assert_eq!(asked.status(), Status::Throttled);
    assert_eq!(site.checkpoint()["not_before_in_utc"], "2026-11-20T13:15:00Z");
    assert_eq!(
        site.checkpoint()["complete_to_in_utc"],
        "2026-11-20T13:00:00Z",
        "the live window is committed"
    );
    site.pass(900);
    let own = site.visit(Visit { pages: vec![None, Some(PageFault::NoTurn(900))], ..Visit::default() });
    assert_eq!((own.status(), site.checkpoint().get("not_before_in_utc")), (Status::UpToDate, None));
    site.pass(TICK);
    assert_eq!(site.visit(Visit::default()).outcome.report.late, 1);
}

#[test]
fn a_sweep_that_fails_says_so_and_neither_live_windows_nor_backfills_wait_for_it() {
    let mut site = due();
    site.records.push(late("past", -9 * 24 * HOUR, 0));
    site.records.push(late("fresh", HOUR - 30, 0));
    site.edit_checkpoint(
        json!({"lease_owner": "other", "lease_expires_at": site.now().as_millisecond() + 1}),
    );
    let asked = site.visit(Visit::backfill("2026-11-11T00:00:00Z", "2026-11-12T00:00:00Z", false));
    assert_eq!(asked.status(), Status::Locked);
    site.pass(1);
    let pages = vec![None, Some(PageFault::Fatal)];
    let seen = site.visit(Visit { pages, ..Visit::default() });
    assert_eq!(
        (seen.failure().as_str(), seen.ids()),
        (
            "ApiError [498] scripted (in the late sweep; the live windows are up to date)",
            vec!["fresh".into(), "past".into()]
        )
    );
    assert_eq!(site.checkpoint()["complete_to_in_utc"], "2026-11-20T13:00:01Z");
    assert!(site.rows_of("request#").iter().all(|row| row.fields["complete"] == true));
    site.pass(TICK);
    assert_eq!(site.visit(Visit::default()).ids(), ["late"], "it goes on at the next tick");
}

#[test]
fn a_slow_sweep_leaves_an_open_backfill_the_better_part_of_the_time() {
    let mut site = due();
    site.page_size = 1;
    for number in 0..6 {
        site.records.push(late(&format!("past{number}"), -9 * 24 * HOUR + number, 0));
    }
    site.edit_checkpoint(
        json!({"lease_owner": "other", "lease_expires_at": site.now().as_millisecond() + 1}),
    );
    site.visit(Visit::backfill("2026-11-11T00:00:00Z", "2026-11-12T00:00:00Z", false));
    site.pass(1);
    site.patience = 120;
    let seen = site.visit(Visit { seconds_per_page: 4, ..Visit::default() });
    let is_past = |id: &String| id.starts_with("past");
    assert_eq!(seen.ids().into_iter().filter(is_past).count(), 6);
    assert!(swept(&site, &seen) > 3);
}

#[test]
fn a_query_of_a_sweep_that_is_too_heavy_is_halved_and_one_that_stalls_is_asked_for_in_halves_next_time() {
    let mut site = due_at_once();
    let heavy = Visit { pages: vec![None, Some(PageFault::TooHeavy)], ..Visit::default() };
    let seen = site.visit(heavy);
    assert_eq!((seen.status(), seen.outcome.report.late), (Status::UpToDate, 1));
    assert!(seen.warnings().contains("the query is too heavy"));

    let mut site = due_at_once();
    let stalls = Visit { pages: vec![None, Some(PageFault::OutOfTime)], ..Visit::default() };
    let stalled = site.visit(stalls);
    assert_eq!(stalled.status(), Status::UpToDate);
    site.pass(TICK);
    let next = site.visit(Visit::default());
    let span = |seen: &testing::site::Seen| seen.requests[1].window.span();
    assert_eq!((span(&next).as_secs(), next.outcome.report.late), (span(&stalled).as_secs() / 2, 1));
}

#[test]
fn hours_that_the_api_keeps_no_longer_are_passed_over_without_a_word() {
    let mut site = due();
    let oldest = "2026-11-20T06:00:00Z".parse().ok();
    let pages = vec![None, Some(PageFault::StartTooOld(oldest))];
    let seen = site.visit(Visit { pages, ..Visit::default() });
    assert_eq!((seen.status(), seen.warnings().as_str()), (Status::UpToDate, ""));
    assert_eq!(sweep_of(&site).get("ends_at_in_utc"), None);
}

#[test]
fn a_clock_that_was_wrong_does_not_stop_the_sweeps() {
    let mut site = due();
    for member in ["began_in_utc", "waits_since_in_utc"] {
        site.edit_checkpoint(json!({"late_sweep": {member: "2030-01-01T00:00:00Z"}}));
        let seen = site.tick();
        assert_eq!(sweep_of(&site)["began_in_utc"], json!(site.now()), "{member}");
        assert_eq!(seen.outcome.report.late_sweep_period_in_seconds, None);
    }
}

#[test]
fn an_idle_tick_without_a_due_sweep_still_takes_two_writes_and_one_query() {
    let mut site = due();
    site.visit(Visit::default());
    for is_new_process in [false, true] {
        site.pass(TICK);
        if is_new_process {
            site.new_process();
        }
        let before = site.store.usage();
        let seen = site.visit(Visit::default());
        let after = site.store.usage();
        assert_eq!((seen.requests.len(), seen.outcome.report.delivered), (1, 0));
        assert_eq!((after.0 - before.0, after.1 - before.1), (1, 1), "the lease is the other write");
        assert!(after.2 - before.2 <= 4, "{} write units", after.2 - before.2);
    }
}
