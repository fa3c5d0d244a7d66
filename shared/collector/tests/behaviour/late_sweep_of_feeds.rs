//! The late sweep of a content feed: it lists again, and fetches only what is new.

use collector::report::Status;
use collector::settings::{MemoryLimits, RequestRate};
use jiff::SignedDuration;
use testing::content_site::{ContentSite, Who};
use testing::site::{Seen, Visit};

use crate::NOON;

const TICK: i64 = 300;

/// A feed of twelve blobs, one an hour, that was read; since then five more were listed that are as old.
fn site() -> ContentSite {
    let mut site = ContentSite::new(NOON);
    site.mail.late_sweep_period = SignedDuration::from_hours(1);
    site.mail.late_sweep_range = SignedDuration::from_hours(24);
    for hour in 0..12 {
        site.add(
            Who::Mail,
            &format!("b{hour}"),
            &format!("2026-11-20T{hour:02}:30:00Z"),
            &[&format!("r{hour}")],
        );
    }
    site.tick(Who::Mail);
    for hour in 1..6 {
        let created = format!("2026-11-20T{hour:02}:10:00Z");
        let content = site.add(
            Who::Mail,
            &format!("late{hour}"),
            &created,
            &[&format!("l{hour}a"), &format!("l{hour}b")],
        );
        content.visible_from = "2026-11-20T12:05:00Z".parse().unwrap();
    }
    site
}

fn ticks(site: &ContentSite, count: i64) -> Vec<Seen> {
    let tick = |_| {
        site.pass(TICK);
        site.tick(Who::Mail)
    };
    (0..count).map(tick).collect()
}

fn check_all_came_once(site: &ContentSite) {
    let arrived = site.arrived();
    assert_eq!((arrived.len(), arrived.values().max()), (22, Some(&1)));
    assert!(site.tenant.fetches().values().all(|times| *times == 1), "{:?}", site.tenant.fetches());
    let booked = site.ledger(Who::Mail);
    assert_eq!((booked["late"], booked["delivered"]), (10, 22));
}

#[test]
fn a_feed_lists_again_and_fetches_only_what_is_new() {
    let site = site();
    let seen = ticks(&site, 12);
    let (sweep, before) = seen.split_last().unwrap();
    assert!(before.iter().all(|tick| tick.outcome.report.late == 0 && tick.fetched.is_empty()));
    let report = &sweep.outcome.report;
    assert_eq!((sweep.status(), report.late, report.delivered), (Status::UpToDate, 10, 10));
    assert_eq!((sweep.requests.len(), sweep.fetched.len(), report.requests), (2, 5, 7));
    assert_eq!(site.checkpoint(Who::Mail)["last_event_time_in_utc"], "2026-11-20T11:30:00Z");
    check_all_came_once(&site);
    ticks(&site, 24);
    check_all_came_once(&site);
}

#[test]
fn listings_and_blobs_of_a_tick_keep_to_a_quarter_of_the_limit_and_each_tick_comes_on() {
    for (requests, most) in [(1, 2), (8, 2), (12, 4), (16, 4), (40, 10)] {
        for page_size in [1, 3, 100] {
            let mut site = site();
            site.page_size = page_size;
            let seen = ticks(&site, 11);
            assert!(seen.iter().all(|tick| tick.outcome.report.late == 0));
            site.mail.rate = RequestRate { requests, per: SignedDuration::from_secs(TICK) };
            let mut swept_in = 0;
            while site.arrived().len() < 22 {
                swept_in += 1;
                assert!(swept_in < 200, "{requests} {page_size}");
                let tick = ticks(&site, 1).pop().unwrap();
                assert_eq!(tick.status(), Status::UpToDate);
                let end = site.now();
                let live = tick.requests.iter().filter(|request| request.window.to >= end).count();
                let swept = tick.outcome.report.requests - live as u64;
                assert!(swept <= most, "{swept} requests, not {most}");
            }
            ticks(&site, 1);
            check_all_came_once(&site);
        }
    }
}

#[test]
fn content_that_fails_in_a_sweep_waits_in_the_queue_like_any_other() {
    let mut site = site();
    site.tenant.content_mut("late3").attempts = vec![testing::content::Attempt::FailsAfter(0)];
    let sweep = ticks(&site, 12).pop().unwrap();
    assert_eq!((sweep.outcome.report.late, sweep.outcome.report.failed_uris), (8, 1));
    assert_eq!(site.queue(Who::Mail), ["late3"]);
    site.pass(TICK);
    assert_eq!(site.tick(Who::Retry).outcome.report.delivered, 2);
    assert_eq!(site.arrived().len(), 22);
}

#[test]
fn the_service_that_retries_has_nothing_to_sweep() {
    let mut site = site();
    site.retry.late_sweep_period = SignedDuration::from_secs(60);
    site.retry.late_sweep_range = SignedDuration::from_hours(24);
    for _ in 0..3 {
        site.pass(TICK);
        let seen = site.visit(Who::Retry, Visit::default());
        assert_eq!((seen.status(), seen.outcome.report.requests), (Status::UpToDate, 0));
    }
    assert_eq!(site.checkpoint(Who::Retry).get("late_sweep"), None);
}

#[test]
fn a_memory_that_is_full_forgets_records_and_still_no_blob_is_fetched_again() {
    let mut site = site();
    site.mail.memory = Some(MemoryLimits { most: 6, least: 1 });
    let seen = ticks(&site, 36);
    assert!(seen.iter().any(|tick| tick.warnings().contains("memory is full")));
    check_all_came_once(&site);
}
