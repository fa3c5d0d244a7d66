//! What one connection and one commit hold at the most, and that nothing is too large, too sparse or too old for them.

use collector::obfuscate::Rule;
use collector::ports::Limits;
use collector::report::Status;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use testing::site::{Seen, Site, Visit, record, thing};
use testing::source::{Emitted, PageFault};
use testing::store::MemoryStore;

use crate::NOON;

const MOST_BYTES: usize = 16 * 1024 * 1024;
const MOST_RECORDS: usize = 20_000;
const MOST_ROWS: usize = 100;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// `count` records of `bytes` or a little more, one each `apart` milliseconds from `start` on.
fn many(count: usize, bytes: usize, start: &str, apart: i64) -> Vec<Emitted> {
    let padding = "x".repeat(bytes);
    (0..count)
        .map(|number| {
            let time = at(start) + SignedDuration::from_millis(apart * i64::try_from(number).unwrap());
            record(
                &format!("{{\"id\":\"{number}\",\"time\":\"{time}\",\"p\":\"{padding}\",\"s\":\"\"}}"),
                time,
            )
        })
        .collect()
}

/// Every record arrived exactly once, in connections and commits within their bounds. Gives records by connection.
fn check(site: &Site, seen: &[Seen]) -> Vec<usize> {
    let arrived = site.arrived();
    assert_eq!(arrived.len(), site.records.len(), "something is missing");
    assert!(arrived.values().all(|times| *times == 1), "something came twice");
    assert!(site.store.usage().3 <= MOST_ROWS, "{} rows in a commit", site.store.usage().3);
    let delivered: u64 = seen.iter().map(|visit| visit.outcome.report.delivered).sum();
    assert_eq!(usize::try_from(delivered).unwrap(), site.records.len());
    let mut sizes = Vec::new();
    for connection in seen.iter().flat_map(|visit| &visit.connections) {
        let records = connection.records().count();
        let bytes: usize =
            connection.events.iter().map(|(tag, message)| tag.len() + message.len() + 40).sum();
        assert!(records <= MOST_RECORDS, "{records} records in a batch");
        assert!(bytes <= MOST_BYTES || records == 1, "{bytes} bytes in a batch of {records} records");
        // The last connection of a visit may carry nothing but its story.
        sizes.extend((records > 0).then_some(records));
    }
    sizes
}

#[test]
fn a_batch_holds_20_000_records_whatever_the_size_of_a_page() {
    for page_size in [1_000, 19_999, 60_000] {
        let mut site = Site::new(NOON);
        site.page_size = page_size;
        site.records = many(45_000, 0, "2026-11-20T01:00:00Z", 100);
        let seen = site.tick();
        assert_eq!(seen.status(), Status::UpToDate);
        assert_eq!(check(&site, &[seen]), [20_000, 20_000, 5_000], "pages of {page_size}");
    }
}

#[test]
fn a_batch_holds_16_mib_of_frames_whatever_the_tag_the_masks_and_the_story_add() {
    let long_tag = format!("my.app.{}", "t".repeat(1_000));
    let mask = json!({"name": ["s"], "value": "m".repeat(5_000)});
    for (bytes, count, tag, masks) in [
        (1_000_000, 40, None, None),
        (10_000, 4_000, None, None),
        (100, 30_000, Some(long_tag.clone()), None),
        (100, 7_000, Some(long_tag), Some(mask)),
    ] {
        let mut site = Site::new(NOON);
        site.settings.environment = Some("e".repeat(500));
        site.settings.override_tag = tag;
        site.settings.obfuscation =
            masks.iter().map(|rule| Rule::parse(rule, "obfuscation_data").unwrap()).collect();
        site.page_size = 5_000;
        site.records = many(count, bytes, "2026-11-20T01:00:00Z", 100);
        let seen = site.visit(Visit { warnings: vec!["w".repeat(3_000)], ..Visit::forced() });
        assert_eq!(seen.status(), Status::UpToDate);
        let sizes = check(&site, &[seen]);
        assert!(sizes.len() > 2, "{bytes}: {sizes:?}");
    }
}

#[test]
fn a_record_larger_than_a_batch_is_sent_whole_and_alone_and_logged() {
    let mut site = Site::new(NOON);
    site.records = many(3, 10, "2026-11-20T01:00:00Z", 1_000);
    site.records[1] = many(2, 17 * 1024 * 1024, "2026-11-20T01:00:00Z", 1_000).remove(1);
    let seen = site.tick();
    assert_eq!(seen.status(), Status::UpToDate);
    assert!(seen.warnings().contains("is sent whole"), "{}", seen.warnings());
    assert_eq!(check(&site, &[seen]), [1, 1, 1]);
}

#[test]
fn sparse_records_fill_a_commit_by_their_hours() {
    for (lookback, hours) in [(1, 700), (24, 700), (0, 91), (1, 2)] {
        let mut site = Site::new(NOON);
        site.settings.start_time = Some(at("2026-10-22T00:00:00Z"));
        site.settings.lookback = SignedDuration::from_hours(lookback);
        site.settings.window_max = SignedDuration::from_hours(31 * 24);
        site.page_size = 1_000;
        site.records = many(hours, 0, "2026-10-22T01:00:00Z", 3_600_000);
        let seen = site.tick();
        assert_eq!(seen.status(), Status::UpToDate);
        check(&site, &[seen]);
    }
}

/// A commit at the end of a long life: hours of counts that wait, requests for backfills, and as many hours of records as
/// a batch takes.
#[test]
fn everything_that_a_commit_may_carry_at_once_still_fits() {
    for resend in [false, true] {
        let mut site = Site::new("2026-11-20T04:00:00Z");
        site.settings.window_max = SignedDuration::from_hours(31 * 24);
        site.page_size = 1_000;
        for _ in 0..7 {
            site.pass(3_600);
            site.tick();
        }
        site.records = many(250, 0, "2026-11-01T00:00:00Z", 3_600_000);
        for hours in [1, 2] {
            assert!(site.visit_until(Visit::forced(), 4).is_none(), "killed with the lease in its hand");
            for _ in 0..60 {
                let end = format!("2026-11-1{hours}T00:00:00Z");
                let asked = Visit::backfill("2026-11-01T00:00:00Z", &end, resend);
                assert_eq!(site.visit(asked).status(), Status::Locked);
            }
            site.pass(3_600);
        }
        let seen = site.tick();
        assert_eq!(seen.status(), Status::UpToDate);
        assert!(site.store.usage().3 <= MOST_ROWS, "{} rows in a commit", site.store.usage().3);
        for _ in 0..20 {
            site.pass(300);
            assert_eq!(site.tick().ids().len(), 0, "each backfill is done once");
        }
        assert_eq!(site.rows_of("request#").len(), 2, "no request is left over");
    }
}

#[test]
fn a_batch_that_waits_for_pages_is_sent_when_it_is_old() {
    let mut site = Site::new(NOON);
    site.page_size = 1;
    site.patience = 600;
    site.records = many(6, 0, "2026-11-20T01:00:00Z", 1_000);
    let seen = site.visit(Visit { seconds_per_page: 12, ..Visit::forced() });
    assert_eq!(seen.status(), Status::UpToDate);
    let sizes = check(&site, &[seen]);
    assert!(sizes.iter().all(|records| *records <= 3), "older than 30 s: {sizes:?}");
}

#[test]
fn a_page_that_is_larger_than_the_time_left_is_taken_in_parts() {
    for (page_size, expected) in
        [(50_000, vec![20_000, 20_000, 10_000]), (30_000, vec![20_000, 10_000, 20_000])]
    {
        let mut site = Site::new(NOON);
        site.page_size = page_size;
        site.records = many(50_000, 0, "2026-11-20T01:00:00Z", 10);
        let mut visits = Vec::new();
        while visits.len() < 9 {
            visits.push(site.visit(Visit { seconds_per_page: 55, ..Visit::forced() }));
            if visits.last().map(Seen::status) == Some(Status::UpToDate) {
                break;
            }
        }
        assert_eq!(check(&site, &visits), expected, "pages of {page_size}");
    }
}

#[test]
fn a_commit_over_the_stores_limits_is_refused_before_anything_is_sent() {
    let mut site = Site::new(NOON);
    site.store = MemoryStore::with_limits(Limits { rows: 100, commit_bytes: 1 << 20, row_bytes: 2_000 });
    site.records = many(1_000, 0, "2026-11-20T01:00:00Z", 1);
    site.page_size = 1_000;
    let seen = site.tick();
    assert!(seen.failure().starts_with("StateError [700] a commit of"), "{}", seen.failure());
    assert_eq!((seen.connections.len(), seen.outcome.report.failed), (0, 1_000));
    assert!(!site.is_leased(), "the lease is given back");
    site.records.truncate(10);
    assert_eq!(site.tick().ids().len(), 10);
}

#[test]
fn records_that_come_twice_in_a_page_or_in_several_are_sent_once() {
    let mut site = Site::new(NOON);
    site.page_size = 2;
    site.records = (0..5).map(|number| thing(&format!("{number}"), "2026-11-20T10:00:00Z")).collect();
    let seen = site.visit(Visit::with_pages(&[Some(PageFault::Doubled), None, Some(PageFault::Doubled)]));
    let report = &seen.outcome.report;
    assert_eq!((report.received, report.duplicates, report.delivered), (8, 3, 5));
    check(&site, &[seen]);
}
