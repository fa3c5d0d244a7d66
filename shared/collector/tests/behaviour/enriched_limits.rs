//! Few requests for many counts: what is left half-way is gone on with, and what is ready does not wait.

use collector::report::Status;
use collector::settings::SnapshotMode;
use jiff::SignedDuration;
use testing::enriched::{CountFault, Turns, counted_inventory_settings};
use testing::site::{Site, Visit, line, thing};

use crate::NOON;
use crate::enriched::{arrived, asked, site};

#[test]
fn a_throttled_page_ships_what_it_has_waits_without_requests_and_goes_on_behind_it() {
    let mut site = site(&["a", "b", "c"], 2);
    let counts = vec![None, None, None, Some(CountFault::Throttled(600))];
    let first = site.visit(Visit { counts, ..Visit::forced() });
    assert_eq!((first.status(), arrived(&first)), (Status::Throttled, vec!["a:ab".to_owned()]));
    for _ in 0..3 {
        site.pass(60);
        site.new_process();
        let seen = site.visit(Visit::default());
        assert_eq!((seen.status(), seen.outcome.report.requests), (Status::Throttled, 0));
        assert!(!seen.opened_devo);
    }
    site.pass(600);
    let rest = site.visit(Visit::default());
    assert_eq!(rest.status(), Status::UpToDate);
    assert_eq!(
        (arrived(&rest), asked(&rest)),
        (vec!["b:ab".into(), "c:ab".into()], vec!["b:b".into(), "c:a".into(), "c:b".into()])
    );
    assert_eq!(rest.outcome.report.duplicates, 1);
}

#[test]
fn every_ordinary_end_keeps_what_was_counted_of_the_record_at_hand() {
    let ends = [CountFault::Throttled(10), CountFault::OutOfTime, CountFault::Fatal];
    for end in ends {
        let mut site = site(&["a"], 4);
        for number in 0..3 {
            site.visit(Visit { counts: vec![None, Some(end)], ..Visit::forced() });
            assert_eq!(
                site.checkpoint()["enriching"]["counts"].as_object().unwrap().len(),
                number + 1,
                "{end:?}"
            );
            site.pass(60);
            site.new_process();
        }
        let seen = site.tick();
        assert_eq!(
            (asked(&seen), arrived(&seen)),
            (vec!["a:d".to_owned()], vec!["a:abcd".to_owned()]),
            "{end:?}"
        );
        assert_eq!(site.checkpoint().get("enriching"), None);
    }
}

#[test]
fn a_killed_invocation_asks_again_only_for_what_was_not_committed() {
    let mut site = site(&["a"], 3);
    site.visit(Visit { counts: vec![None, Some(CountFault::Throttled(10))], ..Visit::forced() });
    site.pass(60);
    assert!(site.visit_until(Visit::forced(), 12).is_none());
    site.pass(70);
    let seen = site.tick();
    assert_eq!((asked(&seen), arrived(&seen)), (vec!["a:b".into(), "a:c".into()], vec!["a:abc".to_owned()]));
}

#[test]
fn one_request_an_invocation_is_enough_to_get_to_the_end() {
    for most in 1..4 {
        for page_size in [1, 2, 10] {
            let mut site = site(&["a", "b", "c"], 3);
            site.counting.not_permitted.insert("related_b");
            site.page_size = page_size;
            site.turns = Some(Turns::new(&site.clock, most, 100));
            let mut sent = Vec::new();
            let mut ticks = 0;
            loop {
                site.new_process();
                let seen = site.visit(Visit::forced());
                sent.extend(arrived(&seen));
                assert!(seen.outcome.report.requests <= most as u64);
                if seen.status() == Status::UpToDate {
                    break;
                }
                site.pass(120);
                ticks += 1;
                assert!(ticks < 40, "{most} requests in pages of {page_size}: {sent:?}");
            }
            assert_eq!(sent, ["a:ac", "b:ac", "c:ac"], "{most} requests in pages of {page_size}");
        }
    }
}

#[test]
fn an_outage_leaves_no_count_out_even_of_a_record_that_is_counted_before_its_page() {
    let mut site = site(&["a"], 2);
    site.turns = Some(Turns::new(&site.clock, 1, 100));
    site.tick();
    assert_eq!(site.checkpoint()["enriching"]["is_starved"], true);
    for _ in 0..6 {
        site.pass(120);
        let visit = Visit::with_pages(&[Some(testing::source::PageFault::Fatal)]);
        site.visit(Visit { counts: vec![Some(CountFault::Fatal)], ..visit }).failure();
    }
    let mut sent = Vec::new();
    for _ in 0..6 {
        site.pass(120);
        sent.extend(arrived(&site.tick()));
    }
    assert_eq!(sent, ["a:ab"]);
}

#[test]
fn a_count_that_always_fails_holds_nobody_up_even_with_one_request_an_invocation() {
    let mut site = site(&["a", "b"], 2);
    site.counting.failing.insert(("a".to_owned(), "related_a"));
    site.turns = Some(Turns::new(&site.clock, 1, 100));
    let mut sent = Vec::new();
    for _ in 0..20 {
        sent.extend(arrived(&site.tick()));
        site.pass(120);
    }
    assert_eq!(sent, ["a:b", "b:ab"]);
}

#[test]
fn pages_that_come_in_any_order_go_on_with_the_record_at_hand() {
    use testing::source::PageFault::Reversed;
    let mut site = site(&["a", "b", "c"], 2);
    site.turns = Some(Turns::new(&site.clock, 1, 100));
    let mut sent = Vec::new();
    for tick in 0..30 {
        let pages = vec![(tick % 2 == 0).then_some(Reversed)];
        sent.extend(arrived(&site.visit(Visit::with_pages(&pages))));
        site.pass(120);
    }
    sent.sort();
    assert_eq!(sent, ["a:ab", "b:ab", "c:ab"]);
}

#[test]
fn what_is_ready_is_shipped_within_thirty_seconds_while_others_wait_for_turns() {
    let mut site = site(&["a", "b", "c", "d"], 2);
    site.patience = 900;
    site.turns = Some(Turns::new(&site.clock, 3, 100));
    let seen = site.tick();
    assert_eq!((seen.status(), arrived(&seen).len()), (Status::UpToDate, 4));
    let batches: Vec<usize> = seen.connections.iter().map(|it| it.records().count()).collect();
    assert_eq!(batches, [1, 1, 2], "each is sent before the wait");
    assert_eq!(site.now().duration_since(NOON.parse().unwrap()), SignedDuration::from_secs(200));
}

#[test]
fn what_is_ready_does_not_wait_for_an_api_that_takes_its_time_or_asks_for_patience() {
    let slow = [
        vec![None, None, Some(CountFault::Slow(500))],
        vec![None, None, Some(CountFault::Throttled(60)), None],
    ];
    for counts in slow {
        let mut site = site(&["a", "b"], 2);
        site.patience = 900;
        let seen = site.visit(Visit { counts, ..Visit::forced() });
        assert_eq!((seen.status(), arrived(&seen)), (Status::UpToDate, vec!["a:ab".into(), "b:ab".into()]));
        let batches: Vec<usize> = seen.connections.iter().map(|it| it.records().count()).collect();
        assert_eq!(batches, [1, 1]);
        let waited = site.now().duration_since(NOON.parse().unwrap());
        assert!(waited <= SignedDuration::from_secs(30), "the first one waited for {waited:#}");
    }
}

#[test]
fn answers_of_some_seconds_each_are_not_cut_short_for_the_batch_and_batches_are_young() {
    for seconds in [1, 3, 7, 9] {
        let mut site = site(&["a", "b", "c", "d", "e", "f"], 2);
        site.patience = 900;
        let seen =
            site.visit(Visit { counts: vec![Some(CountFault::Slow(seconds)); 100], ..Visit::forced() });
        assert_eq!((seen.status(), asked(&seen).len()), (Status::UpToDate, 12), "{seconds} seconds");
        let largest = seen.connections.iter().map(|it| it.records().count()).max().unwrap();
        assert!((largest as i64 - 1) * 2 * seconds <= 30, "{largest} records of {seconds} seconds a count");
    }
}

#[test]
fn a_turn_that_comes_after_the_invocation_is_not_called_a_wish_of_the_api() {
    let mut site = site(&["a"], 3);
    site.turns = Some(Turns::new(&site.clock, 2, 200));
    let seen = site.tick();
    assert_eq!((seen.status(), asked(&seen).len()), (Status::Throttled, 1));
    assert!(!seen.warnings().contains("asks for patience"), "{}", seen.warnings());
}

#[test]
fn progress_is_told_with_each_count() {
    let mut site = site(&["a", "b"], 5);
    assert!(site.tick().progress >= 10);
}

#[test]
fn the_sweep_counts_within_its_share_and_gets_on_even_if_that_is_one_request() {
    let mut site = site(&["a"], 3);
    site.settings.late_sweep_period = SignedDuration::from_hours(1);
    site.settings.late_sweep_range = SignedDuration::from_hours(24);
    // A quarter of it: one in five minutes.
    site.settings.rate =
        collector::settings::RequestRate { requests: 4, per: SignedDuration::from_secs(300) };
    site.tick();
    site.records.push(thing("late", "2026-11-20T01:00:00Z"));
    site.pass(3_600);
    let mut sent = Vec::new();
    for _ in 0..12 {
        site.pass(300);
        let seen = site.visit(Visit::default());
        let in_sweep = seen.outcome.report.requests - 1;
        assert!(in_sweep <= 2, "{in_sweep} requests in one tick");
        sent.extend(arrived(&seen));
    }
    assert_eq!(sent, ["late:abc"]);
}

/// 5,000 lines of 5 counts each are 25,000 requests, of which 1,500 an hour are allowed; their pages add 1 in 50.
#[test]
fn five_thousand_lines_of_five_counts_take_the_hours_that_the_limit_dictates_and_come_once_each() {
    let mut site = Site::new(NOON);
    site.settings = counted_inventory_settings(SnapshotMode::Daily, 5);
    site.records = (0..5_000).map(|number| line(&format!("{number}"), "1")).collect();
    site.page_size = 100;
    site.turns = Some(Turns::new(&site.clock, 50, 120));
    let (mut counted, mut ticks, mut requests) = (0, 0, 0);
    loop {
        if ticks % 7 == 0 {
            site.new_process();
        }
        let seen = site.visit(Visit::default());
        counted += seen.counted.len();
        requests += seen.outcome.report.requests;
        if seen.status() == Status::UpToDate {
            break;
        }
        let next = 60 - site.now().as_second().rem_euclid(60);
        site.pass(next);
        ticks += 1;
        assert!(ticks < 2_000, "{counted} after {ticks} minutes");
    }
    let hours = site.now().duration_since(NOON.parse().unwrap()).as_secs_f64() / 3_600.0;
    println!("{counted} counts, {requests} requests, {hours:.2} hours, {ticks} ticks");
    assert_eq!(counted, 25_000, "nothing is asked for twice");
    assert!((16.6..18.0).contains(&hours), "{hours} hours");
    let arrived = site.arrived();
    assert_eq!((arrived.len(), arrived.values().max()), (5_000, Some(&1)));
}

/// A page that takes longer than the period, a list that takes longer than the API keeps records, and midnights between.
#[test]
fn a_list_that_takes_longer_than_its_period_and_the_retention_is_read_to_its_end() {
    let mut site = Site::new(NOON);
    site.settings = counted_inventory_settings(SnapshotMode::Daily, 5);
    site.settings.request_period = SignedDuration::from_hours(1);
    site.records = (0..40).map(|number| line(&format!("{number}"), "1")).collect();
    site.page_size = 10;
    // 40 days for 40 lines; the API keeps records for 30 days.
    site.turns = Some(Turns::new(&site.clock, 1, 4 * 3_600));
    let mut ticks = 0;
    while site.arrived().len() < 40 {
        site.visit(Visit::default());
        site.pass(3_600);
        ticks += 1;
        assert!(ticks < 24 * 70, "{} lines after {ticks} hours", site.arrived().len());
    }
    assert_eq!(site.arrived().values().max(), Some(&1));
}

#[test]
fn a_page_that_names_ids_twice_is_read_to_its_end_and_each_of_its_lines_comes_once() {
    let mut site = Site::new(NOON);
    site.settings = counted_inventory_settings(SnapshotMode::Changes, 2);
    let twice = |id: &str| [line(id, "one"), line(id, "other")];
    site.records = ["a", "b", "c", "d"].into_iter().flat_map(twice).chain([line("e", "one")]).collect();
    site.turns = Some(Turns::new(&site.clock, 5, 100));
    for _ in 0..20 {
        site.new_process();
        site.visit(Visit::default());
        site.pass(120);
    }
    let arrived = site.arrived();
    assert_eq!((arrived["a"], arrived["d"], arrived["e"]), (2, 2, 1), "{arrived:?}");
    assert_eq!(site.checkpoint().get("window_from_in_utc"), None);
    site.pass(86_400);
    assert_eq!(site.visit(Visit::default()).outcome.report.delivered, 0, "all of them are known");
}
