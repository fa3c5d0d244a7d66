//! What an invocation says about the time to come: figures for alarms, and warnings once a day.

use collector::outlook::{Certificate, Outlook, Purpose};
use collector::report::Status;
use jiff::SignedDuration;
use testing::content::Attempt;
use testing::content_site::{ContentSite, Who};
use testing::site::{Seen, Site, Visit, thing};
use testing::source::PageFault;

use crate::NOON;

const LATE: &str = "later than its period";
const NEAR: &str = "leaves the API";
const USED_UP: &str = "the request quota is used up";
const ENDS: &str = "the client certificate for devo ends at 2026-11-30T12:00:00Z, days left: 10";

fn outlook(seen: &Seen) -> Outlook {
    seen.outcome.report.outlook
}

fn site() -> Site {
    Site::with(NOON, &[("a", "2026-11-20T11:00:00Z")])
}

/// How many warnings of the answer, of the host's log and of Devo's lines have these words.
fn told(seen: &Seen, words: &str) -> [usize; 3] {
    let answer = &seen.outcome.report.warnings;
    let (log, devo) = (&seen.outcome.story, seen.lines());
    [
        answer.iter().filter(|text| text.contains(words)).count(),
        log.iter().filter(|line| line.message.contains(words)).count(),
        devo.iter().filter(|(level, text)| level == "warning" && text.contains(words)).count(),
    ]
}

#[test]
fn the_figures_are_those_of_what_is_committed() {
    let mut site = site();
    let hours = |days: u64| Some(days * 24);
    let retention = u64::try_from(site.settings.service.window.retention.as_hours()).unwrap() / 24;
    let failed = outlook(&site.visit(Visit::with_breaks(&[Some(0)])));
    assert_eq!(
        (failed.lag_beyond_period_seconds, failed.edge_hours),
        (None, hours(retention - 1)),
        "it starts a day ago and has nothing yet"
    );
    let fresh = outlook(&site.tick());
    assert_eq!((fresh.lag_beyond_period_seconds, fresh.edge_hours), (Some(0), hours(retention)));
    site.pass(3 * 86_400);
    site.records.push(thing("b", "2026-11-23T11:00:00Z"));
    for visit in [Visit::with_breaks(&[Some(0)]), Visit::dry(), Visit::with_pages(&[Some(PageFault::Fatal)])]
    {
        let late = outlook(&site.visit(visit));
        assert_eq!(late.lag_beyond_period_seconds, Some(3 * 86_400 - 300));
        assert_eq!(late.edge_hours, hours(retention - 3));
    }
    let recovered = outlook(&site.tick());
    assert_eq!((recovered.lag_beyond_period_seconds, recovered.edge_hours), (Some(0), hours(retention)));
}

#[test]
fn a_backfill_by_hand_of_a_service_that_stands_still_on_purpose_rings_no_alarm() {
    let mut site = site();
    site.tick();
    site.pass(3 * 86_400);
    let filled = site.visit(Visit::backfill("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z", false));
    assert_eq!(filled.status(), Status::UpToDate);
    let figures = outlook(&filled);
    assert_eq!((figures.lag_beyond_period_seconds, figures.edge_hours), (None, None));
    assert_eq!(told(&filled, LATE), [0, 0, 0]);
}

#[test]
fn a_tick_that_is_not_due_has_figures_and_one_without_a_position_has_none() {
    let mut site = site();
    site.settings.request_period = SignedDuration::from_hours(24);
    site.tick();
    site.pass(3 * 3_600);
    let idle = site.visit(Visit::default());
    assert_eq!(idle.status(), Status::NotDue);
    assert_eq!(outlook(&idle).lag_beyond_period_seconds, Some(0), "a service of one pull a day is in time");
    assert!(outlook(&idle).edge_hours.is_some());
    assert!(site.visit_until(Visit::forced(), 4).is_none());
    let locked = site.visit(Visit::forced());
    assert_eq!((locked.status(), outlook(&locked)), (Status::Locked, Outlook::default()));
}

#[test]
fn the_quota_is_what_the_source_says_and_all_of_it_once_the_api_asks_for_patience() {
    let mut site = site();
    let of = |seen: Seen| outlook(&seen).quota_used_percent;
    assert_eq!(of(site.tick()), None);
    assert_eq!(of(site.visit(Visit { quota_used_percent: Some(40), ..Visit::forced() })), Some(40));
    let refused = Visit::with_pages(&[Some(PageFault::Throttled(900))]);
    let throttled = site.visit(Visit { quota_used_percent: Some(40), ..refused });
    assert_eq!((throttled.status(), told(&throttled, USED_UP)), (Status::Throttled, [1, 1, 1]));
    assert_eq!(of(throttled), Some(100));
    site.pass(300);
    let idle = site.visit(Visit::default());
    assert_eq!((idle.status(), told(&idle, USED_UP)), (Status::Throttled, [0, 0, 0]));
    assert_eq!(of(idle), Some(100));
    site.pass(600);
    assert_eq!(of(site.visit(Visit { quota_used_percent: Some(4), ..Visit::forced() })), Some(4));
}

#[test]
fn a_matter_is_told_to_answer_log_and_devo_once_a_day_and_process() {
    let mut site = site();
    let certificate =
        Certificate { purpose: Purpose::Devo, ends_at: "2026-11-30T12:00:00Z".parse().unwrap() };
    let visit =
        || Visit { certificates: vec![certificate], quota_used_percent: Some(100), ..Visit::forced() };
    let first = site.visit(visit());
    assert_eq!((told(&first, ENDS), told(&first, USED_UP)), ([1; 3], [1; 3]), "{}", first.warnings());
    let second = site.visit(visit());
    assert_eq!((told(&second, ENDS), told(&second, USED_UP)), ([0; 3], [0; 3]), "{}", second.warnings());
    let asked = site.visit(Visit { certificates: vec![certificate], ..Visit::dry() });
    assert_eq!(told(&asked, ENDS), [1, 1, 0], "who asks is told");
    site.new_process();
    assert_eq!(told(&site.visit(visit()), ENDS), [1; 3]);
    site.pass(86_400);
    let next_day = site.visit(visit());
    assert_eq!(told(&next_day, "days left: 9"), [1; 3], "{}", next_day.warnings());
    let idle = site.visit(Visit { certificates: vec![certificate], ..Visit::default() });
    assert_eq!((idle.status(), told(&idle, "days left")), (Status::NotDue, [0; 3]));
}

#[test]
fn who_falls_behind_says_so_and_who_caught_up_does_not() {
    let mut site = site();
    site.tick();
    let days = site.settings.service.window.retention.as_hours() / 24;
    site.pass((days - 1) * 86_400);
    let failed = site.visit(Visit::with_breaks(&[Some(0)]));
    assert_eq!((told(&failed, LATE), told(&failed, NEAR)), ([1, 1, 0], [1, 1, 0]), "{}", failed.warnings());
    // What Devo could not be told is told with the next connection.
    let caught_up = site.tick();
    assert_eq!(outlook(&caught_up).lag_beyond_period_seconds, Some(0));
    assert_eq!((told(&caught_up, LATE), told(&caught_up, NEAR)), ([0, 0, 1], [0, 0, 1]));
    site.pass(86_400);
    let ordinary = site.tick();
    assert_eq!((told(&ordinary, LATE), told(&ordinary, NEAR)), ([0; 3], [0; 3]), "{}", ordinary.warnings());
}

#[test]
fn failed_content_is_near_the_edge_when_it_expires_and_its_feed_says_so() {
    let mut site = ContentSite::new(NOON);
    let bad = site.add(Who::Mail, "bad", "2026-11-20T11:30:00Z", &["bad1"]);
    bad.expires = "2026-11-22T11:00:00Z".parse().unwrap();
    bad.attempts = vec![Attempt::FailsAfter(0); 10];
    let feed = site.tick(Who::Mail);
    assert_eq!(feed.outcome.report.failed_uris, 1, "{}", feed.warnings());
    assert_eq!(outlook(&feed).edge_hours, Some(47));
    assert!(feed.warnings().contains("in 47 hours") && feed.warnings().contains("uri_retry"));
    site.pass(3_600);
    let retry = site.tick(Who::Retry);
    assert_eq!((outlook(&retry).edge_hours, told(&retry, NEAR)), (None, [0; 3]), "its feed speaks of it");
    assert_eq!(outlook(&site.tick(Who::Mail)).edge_hours, Some(46));
}
