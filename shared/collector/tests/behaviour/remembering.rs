//! What a process keeps from one invocation to the next, and how long the rows behind it are kept.

use jiff::SignedDuration;
use testing::site::{Site, Visit, record, thing};

use crate::NOON;

const DAY: i64 = 86_400;

/// Reads of the state in one visit.
fn reads(site: &mut Site, visit: Visit) -> u64 {
    let before = site.store.usage().1;
    site.visit(visit).status();
    site.store.usage().1 - before
}

/// A walk through many hours, left after each page: a process without memory loads the hashes of each page.
fn walk() -> Site {
    let mut site = Site::new(NOON);
    site.page_size = 1;
    site.records =
        (1..10).map(|hour| thing(&format!("{hour}"), &format!("2026-11-20T{hour:02}:30:00Z"))).collect();
    site
}

fn one_page() -> Visit {
    Visit { seconds_per_page: 50, ..Visit::forced() }
}

#[test]
fn a_process_does_not_read_again_what_it_keeps() {
    let mut site = walk();
    site.visit(one_page());
    let again = || Visit { query: Some("another"), ..one_page() };
    assert_eq!(reads(&mut site, again()), 1, "the hour is held: only backfills are looked for");
    site.new_process();
    assert_eq!(reads(&mut site, Visit { query: Some("a third"), ..one_page() }), 2);
    assert_eq!(site.arrived().len(), 1);
}

#[test]
fn what_a_process_keeps_is_dropped_when_somebody_else_wrote() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T11:30:00Z")]);
    site.tick();
    let first = std::mem::take(&mut site.warm);
    site.records.push(thing("b", "2026-11-20T11:40:00Z"));
    site.pass(60);
    assert_eq!(site.tick().ids(), ["b"], "another process sends it");
    let second = std::mem::replace(&mut site.warm, first);
    site.pass(60);
    assert_eq!(site.tick().ids().len(), 0, "the first process does not trust its memory");
    site.warm = second;
    site.pass(60);
    assert_eq!(site.tick().ids().len(), 0);
}

#[test]
fn what_a_process_keeps_is_dropped_after_each_kind_of_bad_end() {
    let bad_ends = [
        Visit::with_breaks(&[Some(1)]),
        Visit::with_writes(&[None, Some(testing::store::WriteFault::Refused)]),
        Visit::with_pages(&[Some(testing::source::PageFault::Fatal)]),
    ];
    for bad in bad_ends {
        let mut site = Site::with(NOON, &[("a", "2026-11-20T11:30:00Z")]);
        site.visit(bad);
        site.pass(64);
        let before = site.arrived().get("a").copied().unwrap_or(0);
        let next = site.tick();
        assert!(!next.ids().is_empty() || before > 0);
        site.pass(60);
        assert_eq!(site.tick().ids().len(), 0);
    }
}

#[test]
fn a_restart_does_not_trust_the_memory_of_before() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T11:30:00Z")]);
    site.tick();
    for hour in [1, 2, 1] {
        site.settings.start_time = Some(format!("2026-11-20T0{hour}:00:00Z").parse().unwrap());
        site.pass(60);
        assert_eq!(site.tick().ids(), ["a"]);
        site.pass(60);
        assert_eq!(site.tick().ids().len(), 0);
    }
}

#[test]
fn hours_looked_at_again_are_not_written_again() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T11:30:00Z"), ("b", "2026-11-20T11:40:00Z")]);
    site.tick();
    let before = site.rows_of("memory#");
    for _ in 0..20 {
        site.pass(DAY);
        site.new_process();
        let seen = site.tick();
        assert!(seen.outcome.report.duplicates >= 1);
        assert_eq!(site.rows_of("memory#"), before);
    }
}

/// A record without a time that the API shows for months: it is sent once, for its row is extended while it is seen.
#[test]
fn a_timeless_record_that_is_still_seen_is_not_forgotten_at_the_end_of_the_retention() {
    for restarts_each in [1, 7, 1_000] {
        let mut site = Site::new(NOON);
        for day in 0..100 {
            let seen_at = site.now() - SignedDuration::from_secs(60);
            site.records =
                vec![record("{\"id\":\"timeless\"}", seen_at), record("{\"id\":\"other\"}", seen_at)];
            site.store.expire(site.now());
            if day % restarts_each == 0 || day == 60 {
                site.new_process();
            }
            site.tick();
            site.pass(DAY);
        }
        assert_eq!(
            site.arrived().values().collect::<Vec<_>>(),
            [&1, &1],
            "a new process every {restarts_each} days"
        );
        let rows = site.rows_of("memory#0#timeless#");
        assert!(rows.len() < 40, "{} rows: extended only when it is time", rows.len());
    }
}

#[test]
fn a_timeless_record_that_is_no_longer_seen_is_forgotten() {
    let mut site = Site::new(NOON);
    site.records = vec![record("{\"id\":\"timeless\"}", "2026-11-20T11:00:00Z".parse().unwrap())];
    site.tick();
    site.records.clear();
    for _ in 0..33 {
        site.pass(DAY);
        site.tick();
    }
    site.store.expire(site.now());
    assert!(site.rows_of("memory#").is_empty());
}

#[test]
fn many_extensions_at_once_are_made_in_several_commits() {
    let mut site = Site::new(NOON);
    site.page_size = 1_000;
    let texts: Vec<String> = (0..45_000).map(|number| format!("{{\"id\":\"{number}\"}}")).collect();
    for day in 0..40 {
        let seen_at = site.now() - SignedDuration::from_secs(60);
        site.records = texts.iter().map(|text| record(text, seen_at)).collect();
        site.store.expire(site.now());
        site.new_process();
        let seen = site.tick();
        assert_eq!(seen.ids().len(), if day == 0 { 45_000 } else { 0 }, "day {day}");
        assert!(seen.outcome.failure.is_none());
        site.pass(4 * DAY);
        if day == 10 {
            break;
        }
    }
    let longest =
        site.rows_of("memory#").iter().filter_map(|row| row.data.as_ref().map(|data| data.len())).max();
    assert!(longest.is_some_and(|bytes| bytes <= 20_000 * 8), "{longest:?}");
}

#[test]
fn an_extension_whose_commit_fails_is_made_again_and_forgets_nothing() {
    let mut site = Site::new(NOON);
    let seen_at = |site: &Site| site.now() - SignedDuration::from_secs(60);
    site.records = vec![record("{\"id\":\"timeless\"}", seen_at(&site))];
    site.tick();
    site.pass(10 * DAY);
    site.records = vec![record("{\"id\":\"timeless\"}", seen_at(&site))];
    site.visit(Visit::with_breaks(&[Some(0)]));
    assert_eq!(site.rows_of("memory#0#timeless#").len(), 1);
    site.pass(60);
    assert_eq!(site.tick().ids().len(), 0);
    assert_eq!(site.rows_of("memory#0#timeless#").len(), 2);
}
