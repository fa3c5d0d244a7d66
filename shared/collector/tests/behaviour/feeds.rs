//! Content feeds: what a listing names is fetched once, delivered once, and settled with the position that moves past it.

use collector::report::Status;
use jiff::{SignedDuration, Timestamp};
use testing::content::{Attempt, FetchFault};
use testing::content_site::{ContentSite, Who};
use testing::site::{Seen, Visit};

use crate::NOON;

/// Five blobs of the last hours with three records each.
fn site() -> ContentSite {
    let mut site = ContentSite::new(NOON);
    for hour in 6..11 {
        let records = ["a", "b", "c"].map(|name| format!("{hour}{name}"));
        let names = records.each_ref().map(String::as_str);
        site.add(Who::Mail, &format!("blob{hour}"), &format!("2026-11-20T{hour:02}:30:00Z"), &names);
    }
    site
}

fn all_arrived_once(site: &ContentSite, records: usize) {
    let arrived = site.arrived();
    assert_eq!(arrived.len(), records, "{arrived:?}");
    assert!(arrived.values().all(|times| *times == 1), "{arrived:?}");
}

fn fetched_once(site: &ContentSite) {
    assert!(site.tenant.fetches().values().all(|times| *times == 1), "{:?}", site.tenant.fetches());
}

fn counts(seen: &Seen) -> (u64, u64, u64) {
    let report = &seen.outcome.report;
    (report.received, report.duplicates, report.delivered)
}

#[test]
fn every_record_of_every_listed_blob_is_delivered_once_in_whatever_order_the_parts_come() {
    for (seed, size) in (0..30).zip(0..) {
        let mut site = site();
        site.seed = seed;
        site.page_size = 1 + size % 6;
        site.part_size = 1 + size % 4;
        site.concurrency = 1 + size % 8;
        let seen = site.tick(Who::Mail);
        assert_eq!((seen.status(), counts(&seen)), (Status::UpToDate, (15, 0, 15)));
        assert_eq!(seen.outcome.report.requests, seen.requests.len() as u64 + 5);
        assert_eq!(seen.outcome.report.tables["my.content.exchange"], 15);
        assert_eq!((seen.connections.len(), seen.warnings().as_str()), (1, ""));
        all_arrived_once(&site, 15);
        fetched_once(&site);
    }
}

#[test]
fn blobs_that_are_listed_again_by_the_overlap_are_not_fetched_again() {
    for is_new_process in [false, true] {
        let site = site();
        site.tick(Who::Mail);
        for _ in 0..20 {
            site.pass(300);
            if is_new_process {
                site.new_processes();
            }
            let seen = site.tick(Who::Mail);
            assert_eq!((seen.status(), seen.fetched.len(), counts(&seen)), (Status::UpToDate, 0, (0, 0, 0)));
        }
        fetched_once(&site);
    }
}

#[test]
fn a_blob_that_is_listed_twice_is_fetched_once_on_one_page_and_on_several() {
    for page_size in [1, 2, 100] {
        let mut site = site();
        site.page_size = page_size;
        for content in &mut site.tenant.contents {
            content.times_listed = 2;
        }
        let seen = site.tick(Who::Mail);
        assert_eq!((seen.status(), counts(&seen)), (Status::UpToDate, (15, 0, 15)), "pages of {page_size}");
        fetched_once(&site);
    }
}

#[test]
fn a_blob_that_becomes_visible_late_is_found_by_the_overlap() {
    let mut site = site();
    site.tick(Who::Mail);
    let late = site.add(Who::Mail, "late", "2026-11-20T11:10:00Z", &["late"]);
    late.visible_from += SignedDuration::from_mins(58);
    let seen: Vec<usize> = (0..12)
        .map(|_| {
            site.pass(300);
            site.tick(Who::Mail).ids().len()
        })
        .collect();
    assert_eq!(seen.iter().sum::<usize>(), 1, "{seen:?}");
    all_arrived_once(&site, 16);
}

#[test]
fn a_record_that_two_blobs_hold_is_sent_once_also_days_later() {
    let mut site = site();
    let created: Timestamp = "2026-11-20T10:40:00Z".parse().unwrap();
    let first = site.tenant.content("blob10").records.clone();
    site.add(Who::Mail, "again", "2026-11-20T10:40:00Z", &[]).records = first.clone();
    let seen = site.tick(Who::Mail);
    assert_eq!(counts(&seen), (18, 3, 15));
    for day in 1..6 {
        site.pass(86_400);
        let id = format!("day{day}");
        let later = site.add(Who::Mail, &id, "2026-11-20T10:40:00Z", &[]);
        later.created = created + SignedDuration::from_hours(24 * day);
        later.visible_from = later.created;
        later.expires = later.created + SignedDuration::from_hours(7 * 24);
        later.records.clone_from(&first);
        if day % 2 == 0 {
            site.new_processes();
        }
        assert_eq!(counts(&site.tick(Who::Mail)), (3, 3, 0), "day {day}");
    }
    all_arrived_once(&site, 15);
}

#[test]
fn a_listing_that_has_expired_is_lost_by_name_once_and_holds_nobody_up() {
    let mut site = site();
    let expired = site.add(Who::Mail, "gone", "2026-11-20T10:45:00Z", &["never"]);
    expired.expires = NOON.parse().unwrap();
    let seen = site.tick(Who::Mail);
    assert_eq!((seen.status(), counts(&seen)), (Status::UpToDate, (15, 0, 15)));
    assert_eq!(
        seen.warnings(),
        "content gone of mail is lost, with all records in it that no other content holds: it expired before it was listed"
    );
    assert!(!seen.fetched.contains(&"gone".to_owned()));
    for _ in 0..3 {
        site.pass(300);
        site.new_processes();
        assert_eq!(site.tick(Who::Mail).warnings(), "");
    }
    assert_eq!((site.ledger(Who::Mail)["lost_uris"], site.queue(Who::Mail).len()), (1, 0));
}

#[test]
fn a_blob_that_the_api_keeps_no_longer_is_lost_and_not_asked_for_again() {
    let mut site = site();
    site.tenant.content_mut("blob8").attempts = vec![Attempt::Gone];
    let seen = site.tick(Who::Mail);
    assert_eq!((seen.status(), counts(&seen)), (Status::UpToDate, (12, 0, 12)));
    assert!(seen.warnings().contains("content blob8 of mail is lost"), "{}", seen.warnings());
    site.pass(300);
    assert_eq!((site.tick(Who::Mail).warnings(), site.queue(Who::Mail).len()), (String::new(), 0));
    fetched_once(&site);
}

#[test]
fn a_blob_that_fails_enters_the_queue_in_the_commit_that_moves_the_position_past_it() {
    for fails_after in [0, 2] {
        let mut is_moved_at_the_end = false;
        for steps in 0.. {
            let mut site = site();
            site.tenant.content_mut("blob7").attempts = vec![Attempt::FailsAfter(fails_after)];
            let seen = site.visit_until(Who::Mail, Visit::default(), steps);
            let is_moved = site.checkpoint(Who::Mail).contains_key("complete_to_in_utc");
            let queue = site.queue(Who::Mail);
            assert_eq!(queue, if is_moved { vec!["blob7"] } else { vec![] }, "after {steps} steps");
            assert_eq!(site.queue_in_short(Who::Mail).0, queue.len() as u64);
            is_moved_at_the_end = is_moved;
            let Some(seen) = seen else { continue };
            let given = 12 + fails_after as u64;
            assert_eq!((seen.status(), counts(&seen)), (Status::UpToDate, (given, 0, given)));
            assert_eq!(seen.outcome.report.failed_uris, 1);
            assert!(
                seen.warnings().starts_with("content blob7 of mail could not be had: [500] scripted;"),
                "{}",
                seen.warnings()
            );
            break;
        }
        assert!(is_moved_at_the_end);
    }
}

#[test]
fn newer_blobs_do_not_wait_for_one_that_fails_again_and_again() {
    let mut site = site();
    site.tenant.content_mut("blob6").attempts = vec![Attempt::FailsAfter(1); 100];
    for round in 0..10 {
        let created = (site.now() - SignedDuration::from_secs(60)).to_string();
        site.add(Who::Mail, &format!("new{round}"), &created, &[&format!("new{round}")]);
        let seen = site.tick(Who::Mail);
        assert_eq!(seen.status(), Status::UpToDate);
        assert!(seen.ids().contains(&format!("new{round}")));
        site.pass(300);
    }
    assert_eq!(site.tenant.fetches()["blob6"], 1, "the feed has other things to do");
}

#[test]
fn an_interrupted_fetch_is_gone_on_with_and_settled_blobs_are_not_fetched_again() {
    let faults = [
        (FetchFault::OutOfTime, Status::More),
        (FetchFault::Throttled(90), Status::Throttled),
        (FetchFault::Fatal, Status::More),
    ];
    for (fault, expected) in faults {
        for after in 0..25 {
            let mut site = site();
            site.page_size = 3;
            site.seed = after as u64;
            let mut fetches = vec![None; after];
            fetches.push(Some(fault));
            let seen = site.visit(Who::Mail, Visit::with_fetches(&fetches));
            if seen.outcome.failure.is_none() && seen.outcome.report.status == Status::UpToDate {
                // The pages were through before the fault could happen.
                continue;
            }
            match fault {
                FetchFault::Fatal => assert_eq!(seen.failure(), "ApiError [498] scripted"),
                _ => assert_eq!(seen.status(), expected),
            }
            assert!(!site.is_leased(Who::Mail));
            assert!(
                !site.checkpoint(Who::Mail).contains_key("complete_to_in_utc"),
                "the window is not complete"
            );
            let had = site.tenant.ended().len();
            if fault == FetchFault::Throttled(90) {
                site.pass(60);
                let early = site.force(Who::Mail);
                assert_eq!((early.status(), early.outcome.report.requests), (Status::Throttled, 0));
                site.pass(31);
            }
            site.new_processes();
            let next = site.tick(Who::Mail);
            assert_eq!(next.status(), Status::UpToDate, "{fault:?} after {after}");
            assert_eq!(next.fetched.len(), 5 - had, "{fault:?} after {after}: {:?}", next.fetched);
            all_arrived_once(&site, 15);
        }
    }
}

#[test]
fn a_killed_invocation_fetches_again_only_what_was_in_flight() {
    // Each answer takes 21 s: every batch is old before the next one comes.
    let visit = || Visit { seconds_per_fetch: 21, ..Visit::default() };
    for steps in 0.. {
        let mut site = site();
        site.page_size = 1;
        site.patience = 600;
        for content in &mut site.tenant.contents {
            content.records.truncate(1);
        }
        let is_done = site.visit_until(Who::Mail, visit(), steps).is_some();
        let committed = site.rows_of(Who::Mail, "memory#").len();
        site.pass(700);
        let next = site.tick(Who::Mail);
        assert_eq!(next.status(), Status::UpToDate);
        let again: usize = site.tenant.fetches().values().map(|times| times - 1).sum();
        assert!(again <= 2, "after {steps} steps, {committed} rows: {:?}", site.tenant.fetches());
        assert_eq!(site.arrived().len(), 5);
        if is_done {
            assert_eq!(again, 0);
            break;
        }
    }
}

#[test]
fn what_came_is_sent_while_the_rest_keeps_the_batch_waiting() {
    let mut site = site();
    site.patience = 300;
    site.concurrency = 1;
    // One answer comes, and then none for a long time.
    let seen = site.visit(Who::Mail, Visit::with_fetches(&[None, Some(FetchFault::NotYet)]));
    assert_eq!((seen.status(), seen.connections.len()), (Status::UpToDate, 2));
    assert_eq!(seen.outcome.report.elapsed_ms, 20_000, "it waited until the batch was old, and no longer");
    let mut slow = self::site();
    slow.patience = 900;
    let seen = slow.visit(Who::Mail, Visit { seconds_per_fetch: 8, ..Visit::default() });
    assert_eq!(seen.status(), Status::UpToDate);
    let most = seen.connections.iter().map(|connection| connection.records().count()).max();
    assert!(most <= Some(3 * 3), "a batch is open for 20 s: {most:?} records in one");
}

#[test]
fn waiting_for_content_ends_with_the_time_and_what_was_had_is_committed() {
    for seconds in [3, 10, 25, 200] {
        let mut site = site();
        site.concurrency = 2;
        let mut visits = 0;
        loop {
            let started = site.now();
            let seen = site.visit(Who::Mail, Visit { seconds_per_fetch: seconds, ..Visit::default() });
            let took = site.now().duration_since(started).as_secs();
            assert!(took <= 50, "{took} s of the 48 that leave room for the last batch");
            visits += 1;
            assert!(visits < 40, "{seconds} s: it gets nowhere");
            if seen.status() == Status::UpToDate {
                break;
            }
            assert_eq!(seen.status(), Status::More);
            if seconds >= 25 && visits == 5 {
                // Nothing of this blob can ever come in one invocation; that is for the source to bound.
                break;
            }
        }
        if seconds < 25 {
            all_arrived_once(&site, 15);
        }
    }
}

#[test]
fn known_records_that_come_faster_than_they_are_worked_on_do_not_outlast_the_time() {
    let mut site = site();
    site.tick(Who::Mail);
    site.pass(600);
    let known = site.tenant.content("blob10").records.clone();
    let endless = site.add(Who::Mail, "endless", "2026-11-20T12:05:00Z", &[]);
    endless.records = known.into_iter().cycle().take(3_000).collect();
    let started = site.now();
    let seen = site.visit(Who::Mail, Visit::with_fetches(&[Some(FetchFault::Busy(1)); 2_000]));
    assert_eq!((seen.status(), seen.ids().len()), (Status::More, 0));
    assert_eq!(site.now().duration_since(started).as_secs(), 48, "the rest is for the last batch");
    assert!(!site.is_leased(Who::Mail));
}

#[test]
fn a_blob_is_settled_also_when_the_memory_of_its_hour_made_room_for_that_of_its_records() {
    let mut site = ContentSite::new(NOON);
    site.part_size = 1;
    site.add(Who::Mail, "large", "2026-11-20T10:10:00Z", &["a", "b", "c"]);
    site.add(Who::Mail, "next", "2026-11-20T11:10:00Z", &["d"]);
    let hashes: Vec<u8> = (0..3_200_000_u64).flat_map(|number| (number << 40).to_le_bytes()).collect();
    let hour = collector::ports::Row {
        key: "memory#0#2026-11-20T09#000000000000".to_owned(),
        data: Some(hashes.into()),
        ..Default::default()
    };
    site.store.put(&site.mail.partition(), hour);
    let seen = site.tick(Who::Mail);
    assert_eq!((seen.status(), seen.ids().len()), (Status::UpToDate, 4));
    for _ in 0..3 {
        site.pass(300);
        assert_eq!(site.force(Who::Mail).status(), Status::UpToDate);
    }
    fetched_once(&site);
}

#[test]
fn a_resend_fetches_known_blobs_again_and_a_plain_backfill_does_not() {
    for (resend, expected) in [(false, 0), (true, 15)] {
        let site = site();
        site.tick(Who::Mail);
        site.pass(60);
        let asked = || Visit::backfill("2026-11-20T06:00:00Z", NOON, resend);
        let seen = site.visit(Who::Mail, asked());
        assert_eq!((seen.status(), seen.ids().len()), (Status::UpToDate, expected), "resend: {resend}");
        assert_eq!(seen.fetched.len() * 3, expected);
        site.pass(300);
        let tick = site.tick(Who::Mail);
        assert_eq!((tick.status(), tick.fetched.len()), (Status::UpToDate, 0));
    }
}

#[test]
fn a_backfill_fetches_what_the_live_windows_never_listed() {
    let mut site = site();
    site.add(Who::Mail, "old", "2026-11-16T10:00:00Z", &["old"]);
    site.tick(Who::Mail);
    let before = site.checkpoint(Who::Mail);
    let seen = site.visit(Who::Mail, Visit::backfill("2026-11-15T00:00:00Z", "2026-11-17T00:00:00Z", false));
    assert_eq!((seen.status(), seen.ids()), (Status::UpToDate, vec!["old".to_owned()]));
    for member in ["last_event_time_in_utc", "complete_to_in_utc", "last_pull_in_utc"] {
        assert_eq!(site.checkpoint(Who::Mail)[member], before[member], "{member}");
    }
}

#[test]
fn a_dry_run_of_a_feed_shows_records_and_leaves_no_trace() {
    let mut site = site();
    site.tenant.content_mut("blob7").attempts = vec![Attempt::FailsAfter(0); 9];
    let expired = site.add(Who::Mail, "gone", "2026-11-20T10:45:00Z", &[]);
    expired.expires = NOON.parse().unwrap();
    for has_run in [false, true] {
        if has_run {
            site.tick(Who::Mail);
        }
        let before = site.rows(Who::Mail);
        let seen = site.visit(Who::Mail, Visit::dry());
        assert_eq!(seen.status(), Status::DryRun);
        let shown = seen.outcome.report.samples.as_ref().unwrap().len();
        assert_eq!(shown, if has_run { 0 } else { 3 });
        assert!(seen.preparation.as_ref().is_some_and(|told| told.is_dry));
        assert_eq!((site.rows(Who::Mail), seen.opened_devo), (before, false));
    }
}

#[test]
fn the_newest_of_a_feed_is_when_content_became_available_and_not_when_its_records_happened() {
    let mut site = site();
    let future = site.add(Who::Mail, "skewed", "2026-11-20T11:00:00Z", &["skewed"]);
    future.created = "2026-11-20T11:59:59.500Z".parse().unwrap();
    let seen = site.tick(Who::Mail);
    let newest = seen.outcome.report.last_event_time_in_utc;
    assert_eq!(newest, Some("2026-11-20T11:59:59.500Z".parse().unwrap()));
    site.add(Who::Mail, "failing", "2026-11-20T12:02:00Z", &[]).attempts = vec![Attempt::FailsAfter(0); 9];
    site.pass(300);
    let seen = site.tick(Who::Mail);
    let newest = seen.outcome.report.last_event_time_in_utc;
    assert_eq!(newest, Some("2026-11-20T12:02:00Z".parse().unwrap()), "failed content was seen, too");
    assert_eq!(seen.windows(), ["2026-11-20T10:59:59Z/2026-11-20T12:05:00Z"]);
}
