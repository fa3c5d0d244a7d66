//! Alerts that change: each change is delivered, and what only moves their time of change is not.

use std::collections::BTreeMap;

use collector::report::Status;
use jiff::{SignedDuration, Timestamp};
use testing::service::{ALERTS, alert_settings};
use testing::site::{Seen, Site, Visit, alert, record};
use testing::source::PageFault;

use crate::NOON;

const DAY: i64 = 86_400;
const MONTH: i64 = 30 * DAY;

fn site() -> Site {
    let mut site = Site::new(NOON);
    site.settings = alert_settings();
    site
}

/// The alert as it is from now on: the API holds one version of it.
fn change(site: &mut Site, id: &str, state: &str) {
    let now = site.now();
    let name = format!("\"id\":\"{id}\"");
    site.records.retain(|known| !String::from_utf8_lossy(&known.text).contains(&name));
    site.records.push(alert(id, now, state));
}

fn states(seen: &Seen) -> Vec<String> {
    seen.members("state").iter().map(|state| state.as_str().unwrap_or_default().to_owned()).collect()
}

/// How often each state of an alert arrived, in all.
fn deliveries(site: &Site) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for connection in site.receiver.connections() {
        for (_, message) in connection.records() {
            let alert: serde_json::Value = serde_json::from_str(message).unwrap();
            let name = format!("{}{}", alert["id"].as_str().unwrap_or("-"), alert["state"].as_str().unwrap());
            *counts.entry(name).or_default() += 1;
        }
    }
    counts
}

#[test]
fn an_alert_whose_time_moves_three_hundred_times_is_delivered_once() {
    for new_process_each in [1, 7, 1_000] {
        let mut site = site();
        for number in 0..300 {
            change(&mut site, "a", "new");
            if number % new_process_each == 0 {
                site.new_process();
            }
            let seen = site.visit(Visit::default());
            assert_eq!(seen.status(), Status::UpToDate);
            site.pass(300);
        }
        assert_eq!(deliveries(&site), BTreeMap::from([("anew".to_owned(), 1)]));
        assert_eq!(site.rows_of("versions#").len(), 1, "nothing is written of what is known");
    }
}

#[test]
fn an_alert_changed_five_times_is_delivered_six_times_in_all() {
    let mut site = site();
    for number in 0..6 {
        change(&mut site, "a", &format!("{number}"));
        for _ in 0..10 {
            site.new_process();
            site.tick();
            site.pass(120);
        }
    }
    assert_eq!(deliveries(&site).values().collect::<Vec<_>>(), [&1; 6]);
}

#[test]
fn an_alert_that_changes_back_is_delivered_each_time() {
    for is_cold in [false, true] {
        let mut site = site();
        for state in ["A", "A", "B", "B", "A", "A"] {
            change(&mut site, "a", state);
            if is_cold {
                site.new_process();
            }
            site.tick();
            site.pass(300);
        }
        assert_eq!(deliveries(&site), BTreeMap::from([("aA".to_owned(), 2), ("aB".to_owned(), 1)]));
    }
}

#[test]
fn what_was_sent_last_is_known_across_merges_of_rows() {
    let mut site = site();
    let mut changes = 0;
    let mut most_rows = 0;
    for round in 0..100 {
        for (id, each) in [("a", 1), ("b", 3), ("c", 90)] {
            if round % each == 0 {
                change(&mut site, id, if (round / each) % 2 == 0 { "A" } else { "B" });
                changes += 1;
            }
        }
        if round % 5 == 0 {
            site.new_process();
        }
        site.tick();
        site.pass(300);
        most_rows = most_rows.max(site.rows_of("versions#").len());
    }
    assert_eq!(deliveries(&site).values().sum::<usize>(), changes);
    assert!((2..=17).contains(&most_rows), "{most_rows} rows");
    for cold in [false, true] {
        if cold {
            site.new_process();
        }
        let backfill = Visit::backfill("2026-11-20T00:00:00Z", "2026-11-20T20:00:00Z", false);
        assert_eq!(states(&site.visit(backfill)).len(), 0);
    }
}

#[test]
fn two_changes_of_one_alert_are_both_delivered_inside_one_page_and_on_two() {
    for page_size in [1, 2, 100] {
        let mut site = site();
        site.page_size = page_size;
        let time = |minute: i64| site.now() - SignedDuration::from_mins(30 - minute);
        site.records = vec![
            alert("a", time(1), "A"),
            alert("b", time(2), "A"),
            alert("a", time(3), "B"),
            alert("a", time(4), "B"),
            alert("a", time(5), "A"),
        ];
        assert_eq!(states(&site.tick()), ["A", "A", "B", "A"], "pages of {page_size}");
        // From then on the API holds the last one alone.
        site.records.drain(2..4);
        site.records.remove(0);
        for _ in 0..3 {
            site.pass(60);
            site.new_process();
            assert_eq!(site.tick().ids().len(), 0);
        }
    }
}

#[test]
fn a_page_that_holds_everything_twice_delivers_it_once() {
    let mut site = site();
    change(&mut site, "a", "A");
    change(&mut site, "b", "A");
    let seen = site.visit(Visit::with_pages(&[Some(PageFault::Doubled)]));
    assert_eq!((seen.ids().len(), seen.outcome.report.duplicates), (2, 2));
}

#[test]
fn a_crash_at_any_step_repeats_at_most_the_batch_in_flight_and_loses_no_version() {
    for is_warm in [false, true] {
        for crash_at in 0.. {
            let mut site = site();
            site.page_size = 2;
            for id in ["a", "b", "c"] {
                change(&mut site, id, "A");
            }
            if is_warm {
                site.tick();
                site.pass(300);
                for (id, state) in [("a", "B"), ("b", "A"), ("c", "B"), ("d", "A")] {
                    change(&mut site, id, state);
                }
            }
            let is_dead = site.visit_until(Visit::forced(), crash_at).is_none();
            site.new_process();
            site.pass(64);
            site.tick();
            site.pass(300);
            // Back again, so that what was sent last must be known exactly.
            change(&mut site, "a", "A");
            site.tick();
            site.new_process();
            site.pass(60);
            assert_eq!(site.tick().ids().len(), 0, "crash at {crash_at}");
            let counts = deliveries(&site);
            let last_two = if is_warm { 2 } else { 1 };
            for (name, least) in [("aA", last_two), ("bA", 1), ("cA", 1)] {
                let found = counts.get(name).copied().unwrap_or(0);
                assert!((least..=least + 1).contains(&found), "crash at {crash_at}: {counts:?}");
            }
            if !is_dead {
                assert_eq!(counts.values().sum::<usize>(), if is_warm { 7 } else { 3 }, "{counts:?}");
                break;
            }
        }
    }
}

#[test]
fn a_batch_that_was_broken_comes_again_and_its_versions_are_not_taken_for_sent() {
    let mut site = site();
    change(&mut site, "a", "A");
    site.tick();
    site.pass(300);
    change(&mut site, "a", "B");
    site.visit(Visit::with_breaks(&[Some(0)])).failure();
    // It changed back before anybody heard of the change: nothing is new.
    change(&mut site, "a", "A");
    site.pass(60);
    assert_eq!(states(&site.tick()).len(), 0);
    change(&mut site, "a", "B");
    site.pass(60);
    assert_eq!(states(&site.tick()), ["B"]);
}

#[test]
fn a_backfill_sends_no_version_again_unless_it_shall_and_the_live_walk_knows_of_both() {
    for resend in [false, true] {
        let mut site = site();
        change(&mut site, "a", "A");
        site.tick();
        site.pass(2 * DAY);
        // Changed while nobody looked, further back than the live walk looks.
        site.records = vec![alert("a", site.now() - SignedDuration::from_hours(1), "A")];
        site.records.push(alert("b", site.now() - SignedDuration::from_hours(40), "A"));
        let backfill = || Visit::backfill("2026-11-20T12:00:00Z", "2026-11-22T12:00:00Z", resend);
        let expected: &[&str] = if resend { &["b", "a"] } else { &["b"] };
        assert_eq!(site.visit(backfill()).ids(), expected);
        site.new_process();
        site.pass(60);
        assert_eq!(site.tick().ids().len(), 0, "what a backfill sent is known to the live walk");
        change(&mut site, "b", "B");
        site.pass(60);
        assert_eq!(states(&site.tick()), ["B"]);
        change(&mut site, "b", "A");
        site.pass(60);
        site.new_process();
        assert_eq!(states(&site.tick()), ["A"]);
    }
}

#[test]
fn a_resend_that_is_left_half_way_sends_each_version_once() {
    let mut site = site();
    site.page_size = 1;
    for minute in 0..5 {
        let time = site.now() - SignedDuration::from_mins(30 - minute);
        site.records.push(alert(&format!("{minute}"), time, "A"));
    }
    site.tick();
    let resend = Visit::backfill("2026-11-20T11:00:00Z", NOON, true);
    let mut sent = site.visit(Visit { seconds_per_page: 20, ..resend }).ids();
    for _ in 0..8 {
        site.new_process();
        site.pass(64);
        sent.extend(site.visit(Visit { seconds_per_page: 20, ..Visit::forced() }).ids());
    }
    assert_eq!(sent, ["0", "1", "2", "3", "4"]);
}

#[test]
fn alerts_without_an_id_are_compared_by_their_content() {
    for id in ["", "\"id\":null,", "\"id\":\"\","] {
        let mut site = site();
        let text =
            |state: &str, time: Timestamp| format!("{{{id}\"state\":\"{state}\",\"time\":\"{time}\"}}");
        for (state, expected) in [("A", 1), ("A", 0), ("B", 1), ("A", 0)] {
            let now = site.now();
            site.records.push(record(&text(state, now), now));
            site.new_process();
            assert_eq!(site.tick().ids().len(), expected, "{id} {state}");
            site.pass(60);
        }
    }
}

#[test]
fn an_alert_that_is_seen_for_longer_than_the_retention_is_still_known() {
    for new_process_each in [1, 9, 1_000] {
        let mut site = site();
        change(&mut site, "old", "A");
        for day in 0..100 {
            change(&mut site, "a", "A");
            site.store.expire(site.now());
            if day % new_process_each == 0 {
                site.new_process();
            }
            site.tick();
            site.pass(DAY);
        }
        let expected = BTreeMap::from([("aA".to_owned(), 1), ("oldA".to_owned(), 1)]);
        assert_eq!(deliveries(&site), expected, "a new process every {new_process_each} days");
        let rows = site.rows_of("versions#");
        assert!(rows.len() <= 17, "{} rows", rows.len());
        site.records.clear();
        site.pass(ALERTS.window.retention.as_secs() + 3 * DAY + MONTH);
        site.store.expire(site.now());
        assert!(site.rows_of("versions#").is_empty(), "what is not seen any more is forgotten");
    }
}

#[test]
fn many_alerts_at_once_are_remembered_in_several_commits() {
    let mut site = site();
    site.page_size = 1_000;
    let alerts = |now: Timestamp, state: &str| -> Vec<_> {
        (0..45_000).map(|number| alert(&format!("{number}"), now, state)).collect()
    };
    for (state, expected) in [("A", 45_000), ("A", 0), ("B", 45_000), ("A", 45_000), ("A", 0)] {
        site.records = alerts(site.now(), state);
        site.new_process();
        let seen = site.tick();
        assert_eq!((seen.ids().len(), seen.outcome.failure), (expected, None), "{state}");
        // Long enough that rows are extended on the way.
        site.pass(3 * DAY);
    }
}

/// An operator deletes the row of position, as the message about one that cannot be read advises.
#[test]
fn rows_from_before_a_checkpoint_was_deleted_do_not_count_and_hide_nothing() {
    for is_cold in [false, true] {
        let mut site = site();
        for number in 0..40 {
            change(&mut site, "a", &format!("before {number}"));
            change(&mut site, "b", "A");
            site.tick();
            site.pass(60);
        }
        assert!(!site.rows_of("versions#").is_empty());
        site.store.delete(&site.settings.partition(), "checkpoint");
        site.new_process();
        for number in 0..60 {
            let state = if number % 2 == 0 { "A" } else { "B" };
            change(&mut site, "b", state);
            if is_cold {
                site.new_process();
            }
            assert!(states(&site.tick()).contains(&state.to_owned()), "change {number}");
            site.pass(60);
            if is_cold {
                site.new_process();
            }
            assert_eq!(site.tick().ids().len(), 0, "change {number} comes once");
            site.pass(60);
        }
    }
}
