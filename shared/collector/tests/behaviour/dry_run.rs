//! Dry runs: what would be sent, and nothing else.

use collector::obfuscate::Rule;
use collector::report::Status;
use serde_json::json;
use testing::site::{Seen, Site, Visit, thing};
use testing::source::PageFault;

use crate::NOON;

/// A dry run that must leave no trace.
fn check(site: &mut Site, visit: Visit) -> Seen {
    let before = (site.rows(), site.store.usage().0, site.store.usage().2);
    let seen = site.visit(visit);
    assert_eq!((site.rows(), site.store.usage().0, site.store.usage().2), before, "something was written");
    assert!(!seen.opened_devo && seen.connections.is_empty(), "Devo was opened");
    seen
}

fn samples(seen: &Seen) -> Vec<(String, String)> {
    let samples = seen.outcome.report.samples.as_ref().unwrap();
    samples.iter().map(|sample| (sample.tag.clone(), sample.message.to_string())).collect()
}

#[test]
fn up_to_three_records_are_shown_as_they_would_be_sent() {
    let mut site = Site::new(NOON);
    site.settings.obfuscation =
        vec![Rule::parse(&json!({"name": ["id"], "value": "masked"}), "obfuscation_data").unwrap()];
    for count in [0, 1, 3, 5] {
        site.records = (0..count).map(|number| thing(&format!("{number}"), "2026-11-20T11:00:00Z")).collect();
        let seen = check(&mut site, Visit::dry());
        assert_eq!(seen.status(), Status::DryRun);
        let report = &seen.outcome.report;
        assert_eq!((report.received, report.duplicates, report.failed), (count, 0, 0));
        let expected = (
            "my.app.red.prod".to_owned(),
            "{\"id\":\"masked\",\"time\":\"2026-11-20T11:00:00Z\",\"kind\":[\"red\"],\"@devo_environment\":\"prod\",\
             \"@devo_pulling_id\":\"1795176000000\"}"
                .to_owned(),
        );
        assert_eq!(samples(&seen), vec![expected; usize::try_from(count.min(3)).unwrap()]);
    }
}

#[test]
fn a_fresh_partition_stays_empty_and_a_used_one_stays_as_it_is() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T10:00:00Z"), ("b", "2026-11-20T11:00:00Z")]);
    let fresh = check(&mut site, Visit::dry());
    assert_eq!((fresh.status(), samples(&fresh).len()), (Status::DryRun, 2));
    assert!(site.rows().is_empty());
    assert_eq!(site.tick().ids(), ["a", "b"]);
    site.pass(60);
    site.records.push(thing("c", "2026-11-20T12:00:30Z"));
    for is_new_process in [false, true] {
        if is_new_process {
            site.new_process();
        }
        let used = check(&mut site, Visit::dry());
        assert_eq!((used.status(), samples(&used).len()), (Status::DryRun, 1), "what was sent is not shown");
        assert_eq!((used.outcome.report.received, used.outcome.report.duplicates), (3, 2));
    }
    assert_eq!(site.tick().ids(), ["c"], "the dry runs did not remember it");
}

#[test]
fn one_window_is_read_and_no_more() {
    let mut site = Site::new(NOON);
    site.settings.window_max = jiff::SignedDuration::from_hours(1);
    let seen = check(&mut site, Visit::dry());
    assert_eq!((seen.status(), seen.windows().len()), (Status::DryRun, 1));
    let backfill = Visit::backfill("2026-11-10T00:00:00Z", "2026-11-11T00:00:00Z", false);
    let request = collector::event::Request { dry_run: true, ..backfill.request };
    let seen = check(&mut site, Visit { request, ..Visit::default() });
    assert_eq!(
        (seen.status(), seen.windows()),
        (Status::DryRun, vec!["2026-11-10T00:00:00Z/2026-11-10T01:00:00Z".into()])
    );
}

#[test]
fn a_dry_run_of_a_backfill_shows_what_it_would_send() {
    let mut site = Site::with(NOON, &[("old", "2026-11-10T10:00:00Z"), ("live", "2026-11-20T11:00:00Z")]);
    site.tick();
    for (resend, to, shown) in
        [(false, "2026-11-11T00:00:00Z", 1), (false, NOON, 1), (true, "2026-11-11T00:00:00Z", 1)]
    {
        let from = "2026-11-10T00:00:00Z";
        let asked = Visit::backfill(from, to, resend).request;
        let request = collector::event::Request { dry_run: true, ..asked };
        let seen = check(&mut site, Visit { request, ..Visit::default() });
        assert_eq!((seen.status(), samples(&seen).len()), (Status::DryRun, shown));
    }
    let asked = Visit::backfill("2026-11-20T00:00:00Z", NOON, true).request;
    let request = collector::event::Request { dry_run: true, ..asked };
    let seen = check(&mut site, Visit { request, ..Visit::default() });
    assert_eq!(samples(&seen).len(), 1, "a resend shows what was sent before");
    assert!(site.rows_of("request#").is_empty());
}

#[test]
fn a_dry_run_needs_no_lease_and_waits_for_nobody() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T10:00:00Z")]);
    assert!(site.visit_until(Visit::forced(), 5).is_none());
    let seen = check(&mut site, Visit::dry());
    assert_eq!((seen.status(), samples(&seen).len()), (Status::DryRun, 1));
}

#[test]
fn a_dry_run_that_fails_or_ends_early_leaves_no_trace_either() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T10:00:00Z")]);
    let faults = [
        PageFault::Fatal,
        PageFault::TooHeavy,
        PageFault::OutOfTime,
        PageFault::Throttled(100),
        PageFault::LinkExpired,
        PageFault::StartTooOld(Some("2026-11-20T09:00:00Z".parse().unwrap())),
    ];
    for fault in faults {
        let request = Visit::dry().request;
        let seen = check(&mut site, Visit { request, pages: vec![Some(fault)], ..Visit::default() });
        match fault {
            PageFault::Fatal => assert_eq!(seen.failure(), "ApiError [498] scripted"),
            _ => assert_eq!(seen.status(), Status::DryRun),
        }
    }
    let seen = check(&mut site, Visit { failing_reads: vec![true], ..Visit::dry() });
    assert!(seen.failure().starts_with("StateError [700]"));
}

#[test]
fn a_dry_run_between_two_ticks_of_a_process_does_not_make_it_forget() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T11:30:00Z")]);
    site.tick();
    for _ in 0..3 {
        site.pass(300);
        check(&mut site, Visit::dry());
        assert_eq!(site.tick().ids().len(), 0);
    }
}

#[test]
fn a_dry_run_of_a_walk_left_half_way_shows_its_next_page() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T10:00:00Z"), ("b", "2026-11-20T11:00:00Z")]);
    site.page_size = 1;
    site.visit(Visit { seconds_per_page: 50, ..Visit::forced() });
    let seen = check(&mut site, Visit::dry());
    assert_eq!(seen.requests.len(), 1);
    assert!(samples(&seen)[0].1.contains("\"id\":\"b\""));
    assert_eq!(site.tick().ids(), ["b"]);
}
