//! When a tick pulls, and what it costs when it does not.

use collector::ports::SourceError;
use collector::report::Status;
use testing::site::{Seen, Site, Visit};
use testing::source::PageFault;

use crate::NOON;

fn check_idle(site: &Site, seen: &Seen, expected: Status) {
    assert_eq!(seen.status(), expected);
    assert_eq!((seen.requests.len(), seen.outcome.report.requests), (0, 0));
    assert!(!seen.opened_devo, "there is nothing to say");
    assert!(!site.is_leased(), "the lease is given back");
    assert_eq!(seen.outcome.report.devo_pulling_id, None, "no pull cycle began");
}

#[test]
fn a_tick_is_due_a_period_after_the_last_start_a_tenth_or_a_minute_early_at_the_most() {
    for (period, early) in [(300, 30), (60, 6), (3600, 60), (86_400, 60)] {
        let mut site = Site::new(NOON);
        site.settings.request_period = jiff::SignedDuration::from_secs(period);
        assert_eq!(site.visit(Visit::default()).status(), Status::UpToDate, "a fresh service is due");
        site.pass(period - early - 1);
        let seen = site.visit(Visit::default());
        check_idle(&site, &seen, Status::NotDue);
        site.pass(1);
        assert_eq!(site.visit(Visit::default()).status(), Status::UpToDate, "period {period}");
    }
}

#[test]
fn force_does_not_wait_for_the_period() {
    let mut site = Site::new(NOON);
    site.tick();
    site.pass(1);
    let idle = site.visit(Visit::default());
    check_idle(&site, &idle, Status::NotDue);
    let seen = site.tick();
    assert_eq!((seen.status(), seen.requests.len()), (Status::UpToDate, 1));
}

#[test]
fn after_an_error_the_next_tick_is_due_at_once() {
    let mut site = Site::new(NOON);
    let failing = site.visit(Visit { pages: vec![Some(PageFault::Fatal)], ..Visit::default() });
    assert_eq!(failing.failure(), "ApiError [498] scripted");
    assert_eq!(site.checkpoint()["last_result"], "ApiError");
    assert_eq!(site.checkpoint()["last_error"], "[498] scripted");
    site.pass(1);
    let seen = site.visit(Visit::default());
    assert_eq!((seen.status(), seen.requests.len()), (Status::UpToDate, 1));
    assert_eq!(site.checkpoint().get("last_error"), None);
    site.pass(1);
    let idle = site.visit(Visit::default());
    check_idle(&site, &idle, Status::NotDue);
}

#[test]
fn a_delivery_or_login_that_failed_makes_the_next_tick_due_too() {
    let login = || {
        let message = "no token";
        let error = collector::error::ErrorType::SetupError;
        Some(SourceError::Fatal(collector::error::Error::new(error, 101, message)))
    };
    let failing =
        [Visit { breaks: vec![Some(0)], ..Visit::default() }, Visit { login: login(), ..Visit::default() }];
    for visit in failing {
        let mut site = Site::with(NOON, &[("a", "2026-11-20T11:00:00Z")]);
        assert!(site.visit(visit).outcome.failure.is_some());
        site.pass(1);
        let seen = site.visit(Visit::default());
        assert_eq!((seen.status(), seen.ids()), (Status::UpToDate, vec!["a".to_owned()]));
    }
}

#[test]
fn an_unfinished_walk_goes_on_at_the_next_tick() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T10:00:00Z"), ("b", "2026-11-20T11:00:00Z")]);
    site.page_size = 1;
    let left = site.visit(Visit { seconds_per_page: 50, ..Visit::default() });
    assert_eq!((left.status(), left.ids()), (Status::More, vec!["a".to_owned()]));
    let seen = site.visit(Visit::default());
    assert_eq!((seen.status(), seen.ids()), (Status::UpToDate, vec!["b".to_owned()]));
}

#[test]
fn a_login_that_used_up_the_time_is_tried_again_at_the_next_tick() {
    for (login, expected) in [
        (SourceError::OutOfTime, Status::More),
        (SourceError::Throttled { until: "2026-11-20T12:00:30Z".parse().unwrap() }, Status::Throttled),
    ] {
        let mut site = Site::new(NOON);
        site.tick();
        site.pass(300);
        let out_of_time = Visit { login: Some(login), ..Visit::default() };
        assert_eq!(site.visit(out_of_time).status(), expected);
        site.pass(60);
        assert_eq!(site.visit(Visit::default()).status(), Status::UpToDate, "after {expected:?}");
    }
}

#[test]
fn an_open_backfill_makes_a_tick_due() {
    let mut site = Site::with(NOON, &[("a", "2026-11-10T10:00:00Z"), ("b", "2026-11-10T11:00:00Z")]);
    site.page_size = 1;
    site.tick();
    let backfill = Visit::backfill("2026-11-10T00:00:00Z", "2026-11-11T00:00:00Z", false);
    let left = site.visit(Visit { seconds_per_page: 50, ..backfill });
    assert_eq!((left.status(), left.ids()), (Status::More, vec!["a".to_owned()]));
    let seen = site.visit(Visit::default());
    assert_eq!((seen.status(), seen.ids()), (Status::UpToDate, vec!["b".to_owned()]));
    let idle = site.visit(Visit::default());
    check_idle(&site, &idle, Status::NotDue);
}

#[test]
fn before_the_instant_that_the_api_named_a_tick_makes_no_request_even_when_forced() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T10:00:00Z"), ("b", "2026-11-20T11:00:00Z")]);
    site.page_size = 1;
    let throttled = site.visit(Visit::with_pages(&[None, Some(PageFault::Throttled(900))]));
    assert_eq!((throttled.status(), throttled.ids()), (Status::Throttled, vec!["a".to_owned()]));
    assert_eq!(site.checkpoint()["not_before_in_utc"], "2026-11-20T12:15:00Z");
    assert!(throttled.warnings().contains("no request before 2026-11-20T12:15:00Z"));
    let told = |seen: &Seen| seen.outcome.report.no_request_before.map(|until| until.to_string());
    assert_eq!(told(&throttled).as_deref(), Some("2026-11-20T12:15:00Z"));
    for visit in [
        Visit::default(),
        Visit::forced(),
        Visit::backfill("2026-11-10T00:00:00Z", "2026-11-11T00:00:00Z", false),
    ] {
        site.pass(200);
        let seen = site.visit(visit);
        check_idle(&site, &seen, Status::Throttled);
        assert_eq!(told(&seen).as_deref(), Some("2026-11-20T12:15:00Z"));
    }
    site.pass(300);
    let seen = site.visit(Visit::default());
    assert_eq!((seen.status(), seen.ids()), (Status::UpToDate, vec!["b".to_owned()]));
    assert_eq!(told(&seen), None);
    assert!(
        seen.requests.iter().any(|request| request.window.from.to_string() == "2026-11-10T00:00:00Z"),
        "the backfill that was asked for meanwhile is not forgotten"
    );
    assert_eq!(site.checkpoint().get("not_before_in_utc"), None);
}

#[test]
fn an_instant_that_the_api_named_outlives_a_delivery_that_fails() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T10:00:00Z")]);
    let pages = vec![Some(PageFault::Throttled(900))];
    let failing = site.visit(Visit { pages, breaks: vec![Some(0)], ..Visit::forced() });
    assert!(failing.failure().starts_with("DeliveryError [602]"));
    site.pass(1);
    let seen = site.visit(Visit::default());
    check_idle(&site, &seen, Status::Throttled);
}

#[test]
fn no_wish_of_the_api_stops_a_service_for_longer_than_a_day() {
    let mut site = Site::new(NOON);
    site.visit(Visit::with_pages(&[Some(PageFault::Throttled(3_000_000_000))]));
    assert_eq!(site.checkpoint()["not_before_in_utc"], "2026-11-21T12:00:00Z");
}

#[test]
fn a_clock_that_was_wrong_does_not_stop_a_service_until_its_time_comes() {
    for member in ["last_pull_in_utc", "not_before_in_utc"] {
        let mut site = Site::new(NOON);
        site.tick();
        site.edit_checkpoint(serde_json::json!({member: "2030-01-01T00:00:00Z"}));
        site.pass(300);
        assert_eq!(site.visit(Visit::default()).status(), Status::UpToDate, "{member}");
    }
}

#[test]
fn a_service_that_is_switched_off_touches_nothing() {
    let mut site = Site::new(NOON);
    site.settings.enabled = false;
    let seen = site.tick();
    check_idle(&site, &seen, Status::Disabled);
    assert!(site.rows().is_empty());
    assert_eq!(site.store.usage(), (0, 0, 0, 0));
}

#[test]
fn a_service_at_work_is_locked_for_everybody_else() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T10:00:00Z")]);
    assert!(site.visit_until(Visit::forced(), 6).is_none(), "it is killed while it holds the lease");
    let before = site.rows();
    let seen = site.tick();
    assert_eq!((seen.status(), seen.requests.len(), seen.opened_devo), (Status::Locked, 0, false));
    assert_eq!(site.rows(), before);
    site.pass(60 + 3);
    assert_eq!(site.tick().status(), Status::Locked, "it ends 3 s after its holder's deadline");
    site.pass(1);
    assert_eq!(site.tick().ids(), ["a"]);
}
