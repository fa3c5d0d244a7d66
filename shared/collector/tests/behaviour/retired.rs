//! An endpoint that Microsoft retired: said once a day, asked once a day, and no failure.

use collector::outlook::Outlook;
use collector::report::Status;
use testing::site::{Seen, Site, Visit, thing};
use testing::source::PageFault;

use crate::NOON;

const WORDS: &str = "the API of this service was retired: enable `things_v2`";
const RETIRED: Option<PageFault> = Some(PageFault::Retired(WORDS));
const DAY: i64 = 86_400;

fn tick(pages: &[Option<PageFault>]) -> Visit {
    Visit { pages: pages.to_vec(), ..Visit::default() }
}

/// A service that worked until yesterday.
fn retired() -> Site {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T11:00:00Z")]);
    site.tick();
    site.pass(300);
    check_told(&site.visit(tick(&[RETIRED])));
    site
}

fn check_told(seen: &Seen) {
    assert_eq!((seen.status(), seen.requests.len(), seen.warnings().as_str()), (Status::Retired, 1, WORDS));
    assert_eq!(seen.lines()[0], ("warning".to_owned(), WORDS.to_owned()));
}

#[test]
fn it_is_one_warning_and_a_status_and_then_no_request_for_a_day() {
    for seconds in [60, 300, 3_600] {
        let mut site = retired();
        assert_eq!(site.checkpoint()["last_result"], "retired");
        assert_eq!(site.checkpoint().get("last_error"), None);
        let mut told = 0;
        for _ in 0..(3 * DAY / seconds) {
            site.pass(seconds);
            let seen = site.visit(tick(&[RETIRED]));
            assert_eq!(seen.status(), Status::Retired);
            assert!(!site.is_leased());
            if seen.requests.is_empty() {
                assert!(!seen.opened_devo && seen.warnings().is_empty(), "{}", seen.warnings());
            } else {
                check_told(&seen);
                told += 1;
            }
        }
        assert_eq!(told, 3, "ticks of {seconds} s");
    }
}

#[test]
fn a_login_that_finds_out_says_so_too() {
    let mut site = Site::new(NOON);
    let login = Some(collector::ports::SourceError::Retired(WORDS.to_owned()));
    let seen = site.visit(Visit { login, ..Visit::default() });
    assert_eq!((seen.status(), seen.warnings().as_str()), (Status::Retired, WORDS));
    site.pass(3_600);
    assert_eq!(site.visit(Visit::default()).status(), Status::Retired);
}

#[test]
fn force_asks_at_once() {
    let mut site = retired();
    for _ in 0..3 {
        site.pass(60);
        check_told(&site.visit(Visit::with_pages(&[RETIRED])));
    }
    site.pass(60);
    assert_eq!(site.visit(tick(&[])).requests.len(), 0);
}

#[test]
fn what_is_late_or_leaves_is_no_matter_of_a_retired_service_not_even_after_months() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T11:00:00Z")]);
    site.tick();
    // Nobody pulled for weeks: what was late is so no longer once it is known why.
    site.pass(29 * DAY);
    for _ in 0..100 {
        site.new_process();
        let seen = site.visit(tick(&[RETIRED]));
        check_told(&seen);
        let quiet = Outlook::default();
        let found = seen.outcome.report.outlook;
        assert_eq!((found.lag_beyond_period_seconds, found.edge_hours), (None, None), "{quiet:?}");
        site.pass(DAY);
    }
}

#[test]
fn an_api_that_comes_back_is_read_from_where_it_was_left_as_far_as_it_keeps_its_records() {
    for (days, expected) in [(1, vec!["b", "c"]), (10, vec!["b", "c"]), (40, vec!["c"])] {
        let mut site = retired();
        for _ in 0..days {
            site.pass(DAY);
            site.visit(tick(&[RETIRED]));
        }
        site.records.push(thing("b", "2026-11-20T12:10:00Z"));
        let last = site.now() - jiff::SignedDuration::from_hours(20);
        site.records.push(thing("c", &last.to_string()));
        site.pass(DAY);
        let seen = site.visit(tick(&[]));
        assert_eq!(
            (seen.status(), seen.ids()),
            (Status::UpToDate, expected.iter().map(ToString::to_string).collect())
        );
        let gap = "records from 2026-11-20T12:00:00Z to 2026-12-01T12:05:00Z cannot be had";
        assert_eq!(seen.warnings().contains("cannot be had"), days == 40, "{}", seen.warnings());
        assert!(days != 40 || seen.warnings().contains(gap), "{}", seen.warnings());
        assert_eq!(site.checkpoint()["complete_to_in_utc"], site.now().to_string());
        site.pass(300);
        assert_eq!(site.visit(tick(&[])).status(), Status::UpToDate, "it is due as ever");
    }
}

#[test]
fn a_gap_is_not_silent_when_the_first_request_after_the_retirement_fails_otherwise() {
    let mut site = retired();
    site.pass(40 * DAY);
    let failing = site.visit(tick(&[Some(PageFault::Fatal)]));
    assert_eq!(failing.failure(), "ApiError [498] scripted");
    assert!(failing.warnings().contains("cannot be had"), "{}", failing.warnings());
}

#[test]
fn a_backfill_that_meets_it_says_so_and_is_kept() {
    let mut site = Site::with(NOON, &[("a", "2026-11-10T11:00:00Z")]);
    site.tick();
    let backfill = || Visit::backfill("2026-11-10T00:00:00Z", "2026-11-11T00:00:00Z", false);
    site.pass(60);
    check_told(&site.visit(Visit { pages: vec![RETIRED], ..backfill() }));
    assert_eq!(site.rows_of("request#").len(), 1);
    assert_eq!(site.rows_of("request#")[0].fields["complete"], false);
    site.pass(60);
    check_told(&site.visit(tick(&[RETIRED])));
    for _ in 0..5 {
        site.pass(300);
        let seen = site.visit(tick(&[]));
        assert_eq!((seen.status(), seen.requests.len()), (Status::Retired, 0), "a backfill does not wake it");
    }
    check_told(&site.visit(Visit { pages: vec![RETIRED], ..backfill() }));
    site.pass(DAY);
    let seen = site.visit(tick(&[]));
    assert_eq!((seen.status(), seen.ids()), (Status::UpToDate, vec!["a".to_owned()]));
    assert_eq!(site.rows_of("request#")[0].fields["complete"], true);
}

#[test]
fn a_dry_run_asks_and_changes_nothing() {
    let mut site = retired();
    let before = site.rows();
    let seen = site.visit(Visit { pages: vec![RETIRED], ..Visit::dry() });
    assert_eq!((seen.status(), seen.requests.len(), seen.warnings().as_str()), (Status::DryRun, 1, WORDS));
    assert_eq!(site.rows(), before);
}

#[test]
fn a_warning_that_could_not_be_delivered_is_told_later() {
    let mut site = Site::new(NOON);
    let failing = site.visit(Visit { pages: vec![RETIRED], breaks: vec![Some(0)], ..Visit::default() });
    assert!(failing.failure().starts_with("DeliveryError [602]"));
    site.pass(60);
    check_told(&site.visit(tick(&[RETIRED])));
}

#[test]
fn a_new_start_asks_at_once() {
    let mut site = retired();
    site.settings.start_time = Some("2026-11-20T10:00:00Z".parse().unwrap());
    site.pass(60);
    let seen = site.visit(tick(&[]));
    assert_eq!((seen.status(), seen.ids()), (Status::UpToDate, vec!["a".to_owned()]));
}

#[test]
fn a_crash_at_any_step_neither_loses_the_position_nor_leaves_it_stuck() {
    for crash_at in 0.. {
        let mut site = Site::with(NOON, &[("a", "2026-11-20T11:00:00Z")]);
        site.tick();
        site.pass(300);
        let is_dead = site.visit_until(tick(&[RETIRED]), crash_at).is_none();
        site.pass(DAY);
        site.records.push(thing("b", "2026-11-20T12:10:00Z"));
        site.new_process();
        let seen = site.visit(tick(&[]));
        assert_eq!(
            (seen.status(), seen.ids()),
            (Status::UpToDate, vec!["b".to_owned()]),
            "crash at {crash_at}"
        );
        if !is_dead {
            break;
        }
    }
}
