//! Backfills that send again: exactly once a round, whatever happens on the way, and without a trace in the live pull.

use collector::report::Status;
use jiff::SignedDuration;
use testing::site::{Site, Visit, record, thing};
use testing::source::PageFault;

use crate::NOON;

const FROM: &str = "2026-11-19T00:00:00Z";
const TO: &str = "2026-11-20T12:00:00Z";

fn resend() -> Visit {
    Visit::backfill(FROM, TO, true)
}

/// Two records that were sent, one that never was.
fn site() -> Site {
    let mut site = Site::with(NOON, &[("sent1", "2026-11-20T10:00:00Z"), ("sent2", "2026-11-20T11:00:00Z")]);
    site.tick();
    site.records.push(thing("missing", "2026-11-19T01:00:00Z"));
    site
}

fn counts(site: &Site) -> Vec<usize> {
    let arrived = site.arrived();
    ["sent1", "sent2", "missing"].map(|id| arrived.get(id).copied().unwrap_or(0)).to_vec()
}

#[test]
fn a_round_sends_everything_of_its_window_once_and_the_next_round_once_more() {
    let mut site = site();
    for round in 1..=3 {
        site.pass(60);
        let seen = site.visit(resend());
        assert_eq!((seen.status(), seen.outcome.report.duplicates), (Status::UpToDate, 0));
        assert_eq!(counts(&site), [1 + round, 1 + round, round], "round {round}");
        let tick = site.tick();
        assert_eq!((tick.ids().len(), tick.status()), (0, Status::UpToDate), "the live pull knows them all");
    }
}

#[test]
fn a_round_that_is_left_and_taken_up_sends_nothing_twice() {
    let mut site = site();
    site.page_size = 1;
    for _ in 0..2 {
        let left = site.visit(Visit { seconds_per_page: 50, ..resend() });
        assert_eq!(left.status(), Status::More);
        site.new_process();
    }
    assert_eq!(counts(&site), [2, 1, 1]);
    // The link expires, so the window starts again: what this round sent is remembered.
    let seen = site.visit(Visit { pages: vec![Some(PageFault::LinkExpired)], ..resend() });
    assert_eq!(
        (seen.status(), seen.ids(), seen.outcome.report.duplicates),
        (Status::UpToDate, vec!["sent2".into()], 1)
    );
    assert_eq!(counts(&site), [2, 2, 1]);
}

#[test]
fn a_delivery_that_fails_is_made_up_for() {
    let mut site = site();
    let failing = site.visit(Visit { breaks: vec![Some(1)], ..resend() });
    assert!(failing.failure().starts_with("DeliveryError"));
    assert_eq!(failing.outcome.report.failed, 3);
    site.pass(1);
    let seen = site.visit(resend());
    assert_eq!((seen.status(), seen.ids().len()), (Status::UpToDate, 3));
}

#[test]
fn the_same_record_twice_in_a_page_is_sent_once_a_round() {
    let mut site = site();
    let seen = site.visit(Visit { pages: vec![Some(PageFault::Doubled)], ..resend() });
    assert_eq!((seen.outcome.report.received, seen.outcome.report.duplicates), (4, 1));
    assert_eq!(counts(&site), [2, 2, 1]);
}

#[test]
fn a_resend_and_a_backfill_of_the_same_window_have_places_of_their_own() {
    let mut site = site();
    let missing = site.visit(Visit::backfill(FROM, TO, false));
    assert_eq!(missing.ids(), ["missing"]);
    site.visit(resend());
    assert_eq!(counts(&site), [2, 2, 2]);
    assert_eq!(site.rows_of("request#").len(), 2);
}

#[test]
fn sparse_records_that_were_all_sent_before_fit_their_commits() {
    let mut site = Site::new(NOON);
    site.settings.window_max = SignedDuration::from_hours(31 * 24);
    site.settings.start_time = Some("2026-11-01T00:00:00Z".parse().unwrap());
    site.page_size = 1_000;
    site.records = (0..400)
        .map(|hour| {
            let start: jiff::Timestamp = "2026-11-01T00:30:00Z".parse().unwrap();
            let time = start + SignedDuration::from_hours(hour);
            record(&format!("{{\"id\":\"{hour}\",\"time\":\"{time}\"}}"), time)
        })
        .collect();
    assert_eq!(site.tick().ids().len(), 400);
    for is_new_process in [false, true] {
        if is_new_process {
            site.new_process();
        }
        let seen = site.visit(Visit::backfill("2026-11-01T00:00:00Z", TO, true));
        assert_eq!((seen.status(), seen.ids().len()), (Status::UpToDate, 400));
        assert!(site.store.usage().3 <= 100, "{} rows in a commit", site.store.usage().3);
    }
}

#[test]
fn an_idle_tick_does_not_read_what_resends_remember() {
    let mut site = site();
    site.visit(resend());
    // The read of a tick begins at the hour of its window and ends behind the requests.
    let first = "memory#0#2026-11-20T00#";
    let read: Vec<String> = site
        .rows()
        .into_iter()
        .map(|row| row.key)
        .filter(|key| first <= key.as_str() && key.as_str() <= "request#~")
        .collect();
    assert!(read.iter().all(|key| key.starts_with("memory#0#") || key.starts_with("request#")), "{read:?}");
}
