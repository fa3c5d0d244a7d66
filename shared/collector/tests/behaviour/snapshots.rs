//! Snapshots: the whole list each time, of which only what the mode asks for is sent.

use collector::report::Status;
use collector::settings::SnapshotMode;
use collector::settings::SnapshotMode::{Always, Changes, Daily};
use testing::service::inventory_settings;
use testing::site::{Site, Visit, line, record};
use testing::source::PageFault;

const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;
const MORNING: &str = "2026-11-20T06:00:00Z";
const MODES: [SnapshotMode; 3] = [Daily, Changes, Always];

/// An inventory of these lines, one a page.
fn site(mode: SnapshotMode, ids: &[&str]) -> Site {
    let mut site = Site::new(MORNING);
    site.settings = inventory_settings(mode);
    site.page_size = 1;
    site.records = ids.iter().map(|id| line(id, "A")).collect();
    site
}

/// The ids that a forced tick of a process of its own sends.
fn sent(site: &mut Site) -> String {
    site.new_process();
    let seen = site.tick();
    assert_eq!((seen.status(), seen.warnings().as_str()), (Status::UpToDate, ""));
    assert_eq!(seen.outcome.report.received, site.records.len() as u64, "the whole list is read");
    seen.ids().concat()
}

#[test]
fn over_three_days_each_mode_sends_what_it_says() {
    // (hours later, state of `b`, whether `c` is there, what is sent in each mode)
    let visits = [
        (0, "A", false, ["ab", "ab", "ab"]),
        (6, "A", false, ["", "", "ab"]),
        (6, "B", false, ["b", "b", "ab"]),
        // Another day, from 00:00 on.
        (6, "B", false, ["ab", "", "ab"]),
        (6, "B", true, ["c", "c", "abc"]),
        (0, "B", true, ["", "", "abc"]),
        (12, "A", true, ["b", "b", "abc"]),
        (5, "B", true, ["b", "b", "abc"]),
        (1, "B", true, ["abc", "", "abc"]),
        (1, "B", false, ["", "", "ab"]),
        // Gone and back is no change.
        (1, "B", true, ["", "", "abc"]),
    ];
    for (index, mode) in MODES.into_iter().enumerate() {
        let mut site = site(mode, &["a", "b"]);
        for (number, (hours, b, has_c, expected)) in visits.into_iter().enumerate() {
            site.pass(hours * HOUR + 1);
            site.records.truncate(1);
            site.records.push(line("b", b));
            site.records.extend(has_c.then(|| line("c", "A")));
            assert_eq!(sent(&mut site), expected[index], "{mode:?}, visit {number}");
        }
    }
}

#[test]
fn another_mode_knows_what_was_sent_in_the_one_before() {
    // (hours later, mode, what is sent)
    let visits = [
        (0, Daily, "ab"),
        (1, Always, "ab"),
        (1, Daily, ""),
        (1, Changes, ""),
        (1, Always, "ab"),
        (1, Changes, ""),
        // Another day, on which nothing was sent yet.
        (24, Changes, ""),
        (1, Daily, "ab"),
        (1, Changes, ""),
        (24 * 31, Changes, ""),
        (1, Daily, "ab"),
    ];
    let mut site = site(Changes, &["a", "b"]);
    for (number, (hours, mode, expected)) in visits.into_iter().enumerate() {
        for hour in 0..hours {
            site.pass(HOUR);
            if hour % 24 == 23 {
                site.settings = inventory_settings(Changes);
                assert_eq!(sent(&mut site), "", "while it waits for visit {number}");
            }
        }
        site.settings = inventory_settings(mode);
        assert_eq!(sent(&mut site), expected, "{mode:?}, visit {number}");
    }
}

#[test]
fn a_line_without_an_id_and_one_that_is_there_twice_are_sent_once_a_snapshot() {
    for (mode, again) in [(Daily, 0), (Changes, 0), (Always, 2)] {
        let mut site = site(mode, &["a", "a"]);
        site.records.push(record("{\"state\":\"A\"}", "1970-01-01T00:00:00Z".parse().unwrap()));
        assert_eq!(site.tick().ids().len(), 2);
        site.pass(60);
        site.new_process();
        assert_eq!(site.tick().ids().len(), again, "{mode:?}");
    }
}

#[test]
fn a_snapshot_belongs_to_the_day_on_which_it_began() {
    let mut site = site(Daily, &["a", "b", "c"]);
    site.settings.request_period = jiff::SignedDuration::from_hours(1);
    site.pass(18 * HOUR - 20);
    // 23:59:40
    let left = site.visit(Visit { seconds_per_page: 30, ..Visit::default() });
    assert_eq!((left.status(), left.ids().concat().as_str()), (Status::More, "ab"));
    let rest = site.visit(Visit::default());
    assert_eq!((rest.status(), rest.ids().concat().as_str()), (Status::UpToDate, "c"));
    assert_eq!(site.checkpoint()["complete_to_in_utc"], "2026-11-20T23:59:40Z");
    assert_eq!(site.visit(Visit::default()).status(), Status::NotDue);
    site.pass(HOUR);
    assert_eq!(site.visit(Visit::default()).ids().concat(), "abc", "the first one of the new day has all");
}

#[test]
fn a_snapshot_that_was_left_for_longer_than_its_period_is_followed_by_a_fresh_one() {
    let mut site = site(Daily, &["a", "b", "c"]);
    assert_eq!(site.visit(Visit { seconds_per_page: 30, ..Visit::default() }).status(), Status::More);
    site.pass(2 * DAY);
    let seen = site.visit(Visit::default());
    assert_eq!(
        (seen.status(), seen.ids().concat().as_str(), seen.outcome.report.windows),
        (Status::UpToDate, "cabc", 2)
    );
    assert_eq!(site.checkpoint()["complete_to_in_utc"], site.now().to_string());
    assert_eq!(seen.outcome.report.lag_seconds, Some(0));
}

#[test]
fn time_that_is_used_up_is_more_and_the_rest_comes_at_the_next_tick() {
    for mode in MODES {
        let mut site = site(mode, &["a", "b", "c", "d"]);
        let left = site.visit(Visit { seconds_per_page: 30, ..Visit::default() });
        assert_eq!((left.status(), left.ids().concat().as_str()), (Status::More, "ab"));
        assert_eq!(site.checkpoint().get("complete_to_in_utc"), None);
        // What changes in the part that was read is found by the next snapshot.
        site.records[0] = line("a", "B");
        site.new_process();
        let rest = site.visit(Visit::default());
        assert_eq!((rest.status(), rest.ids().concat().as_str()), (Status::UpToDate, "cd"), "{mode:?}");
        assert_eq!((rest.requests.len(), rest.outcome.report.lag_seconds), (2, Some(60)));
        assert_eq!(site.checkpoint()["complete_to_in_utc"], MORNING);
        site.pass(HOUR);
        assert_eq!(sent(&mut site), if mode == Always { "abcd" } else { "a" });
    }
}

#[test]
fn a_snapshot_that_is_killed_at_any_step_sends_each_line_once_but_for_the_batch_in_flight() {
    for mode in MODES {
        for crash_at in 0.. {
            let mut site = site(mode, &["a", "b", "c"]);
            let is_dead =
                site.visit_until(Visit { seconds_per_page: 1, ..Visit::default() }, crash_at).is_none();
            site.new_process();
            site.pass(64);
            let seen = site.visit(Visit::default());
            let arrived = site.arrived();
            assert!(
                ["a", "b", "c"].iter().all(|id| (1..=2).contains(&arrived[*id])),
                "{crash_at}: {arrived:?}"
            );
            if !is_dead {
                assert!(arrived.values().all(|count| *count == 1), "{arrived:?}");
                assert_eq!(seen.status(), Status::NotDue);
                break;
            }
        }
    }
}

#[test]
fn a_snapshot_killed_after_a_commit_goes_on_at_its_link() {
    for mode in MODES {
        let mut site = site(mode, &["a", "b", "c"]);
        // A batch that is 20 seconds old is sent before the next page.
        let slow = || Visit { seconds_per_page: 21, ..Visit::default() };
        let committed = |site: &Site| site.checkpoint().contains_key("next_link");
        for crash_at in 0.. {
            site = self::site(mode, &["a", "b", "c"]);
            assert!(site.visit_until(slow(), crash_at).is_none());
            if committed(&site) {
                break;
            }
        }
        site.new_process();
        site.pass(64);
        let seen = site.visit(Visit::default());
        assert!(seen.requests[0].link.is_some(), "{:?}", seen.requests);
        assert_eq!(
            (seen.status(), site.arrived().values().all(|count| *count == 1)),
            (Status::UpToDate, true)
        );
        assert_eq!(site.arrived().len(), 3, "{mode:?}");
    }
}

#[test]
fn a_link_that_expired_starts_the_list_again_without_repeats() {
    for mode in MODES {
        for is_left in [false, true] {
            let mut site = site(mode, &["a", "b", "c"]);
            let mut ids = Vec::new();
            if is_left {
                ids = site.visit(Visit { seconds_per_page: 30, ..Visit::default() }).ids();
                site.new_process();
                site.pass(20 * HOUR);
            }
            let pages = [Some(PageFault::LinkExpired), Some(PageFault::LinkExpired)];
            let seen = site.visit(Visit { pages: pages.to_vec(), ..Visit::default() });
            assert!(seen.warnings().contains("a page link was not accepted any more"), "{}", seen.warnings());
            ids.extend(seen.ids());
            assert_eq!(
                (seen.status(), ids.concat().as_str()),
                (Status::UpToDate, "abc"),
                "{mode:?} {is_left}"
            );
        }
    }
}

#[test]
fn a_link_that_expires_again_and_again_is_a_failure_that_the_next_tick_mends() {
    let mut site = site(Always, &["a", "b", "c"]);
    let pages: Vec<_> = (0..20).flat_map(|_| [None, Some(PageFault::LinkExpired)]).collect();
    let failing = site.visit(Visit { pages, ..Visit::default() });
    assert!(failing.failure().starts_with("ApiError [400]"), "{}", failing.failure());
    let seen = site.visit(Visit::default());
    let ids: Vec<String> = failing.ids().into_iter().chain(seen.ids()).collect();
    assert_eq!((seen.status(), ids.concat().as_str()), (Status::UpToDate, "abc"));
}

#[test]
fn a_snapshot_waits_for_its_period_and_force_does_not() {
    for (mode, forced) in [(Daily, ""), (Changes, ""), (Always, "ab")] {
        let mut site = site(mode, &["a", "b"]);
        site.settings.late_sweep_period = jiff::SignedDuration::ZERO;
        assert_eq!(site.visit(Visit::default()).ids().concat(), "ab");
        for _ in 0..10 {
            site.pass(DAY / 12);
            let idle = site.visit(Visit::default());
            assert_eq!((idle.status(), idle.requests.len()), (Status::NotDue, 0));
        }
        assert_eq!(
            site.tick().ids().concat(),
            if mode == Daily { "ab" } else { forced },
            "another day began"
        );
        site.pass(60);
        assert_eq!(site.tick().ids().concat(), forced);
        site.pass(DAY);
        let seen = site.visit(Visit::default());
        assert_eq!((seen.status(), seen.requests.len()), (Status::UpToDate, 2), "one list, and no sweep");
        assert_eq!(site.checkpoint().get("late_sweep"), None);
    }
}

#[test]
fn a_dry_run_shows_what_would_be_sent_and_changes_nothing() {
    for mode in MODES {
        let mut site = site(mode, &["a", "b"]);
        site.tick();
        site.records.push(line("c", "A"));
        site.pass(60);
        let before = site.rows();
        let seen = site.visit(Visit::dry());
        let expected = if mode == Always { 3 } else { 1 };
        assert_eq!((seen.status(), seen.outcome.report.samples.unwrap().len()), (Status::DryRun, expected));
        assert_eq!(site.rows(), before);
        assert_eq!(site.tick().ids().len(), expected);
    }
}

#[test]
fn a_backfill_is_refused_in_words_that_say_what_to_do() {
    for dry_run in [false, true] {
        let mut site = site(Daily, &["a"]);
        let mut visit = Visit::backfill("2026-11-10T00:00:00Z", "2026-11-11T00:00:00Z", false);
        visit.request.dry_run = dry_run;
        let seen = site.visit(visit);
        assert_eq!(
            seen.failure(),
            "InitVariablesError [1] backfill: test-inventory has no windows to pull again; it reads the whole list \
             each time: pull with force"
        );
        assert!(site.rows().is_empty() && seen.requests.is_empty());
    }
}

#[test]
fn a_list_of_many_thousands_is_sent_in_several_batches_and_only_its_changes_come_again() {
    let count = 45_000;
    for mode in [Daily, Changes] {
        let mut site = site(mode, &[]);
        site.page_size = 999;
        site.records = (0..count).map(|number| line(&format!("{number}"), "A")).collect();
        let first = site.tick();
        assert_eq!((first.status(), first.ids().len()), (Status::UpToDate, count));
        assert!(first.connections.len() >= 3, "{}", first.connections.len());
        site.records[44_444] = line("44444", "B");
        site.pass(HOUR);
        assert_eq!(sent(&mut site), "44444");
        let bytes =
            site.rows_of("versions#").iter().filter_map(|row| row.data.as_ref()).map(|data| data.len()).max();
        assert!(bytes.is_some_and(|most| most <= 16 * 16 * 1_024), "{bytes:?}");
        // Long enough for rows to be extended.
        site.pass(5 * DAY);
        site.new_process();
        assert_eq!(site.tick().ids().len(), if mode == Daily { count } else { 0 });
    }
}

#[test]
fn a_list_of_which_a_part_is_missing_is_no_debt() {
    let mut site = site(Changes, &["a", "b"]);
    let seen = site
        .visit(Visit { pages: vec![Some(PageFault::Missing("half of it is missing"))], ..Visit::default() });
    assert_eq!(
        seen.warnings(),
        "half of it is missing: the list may lack something, until it is read the next time"
    );
    assert_eq!(site.checkpoint().get("owed_from_in_utc"), None);
    site.pass(DAY);
    assert_eq!(sent(&mut site), "");
}

#[test]
fn a_snapshot_that_fails_for_a_month_loses_nothing_for_good() {
    let mut site = site(Daily, &["a"]);
    site.tick();
    for _ in 0..35 {
        site.pass(DAY);
        site.new_process();
        let seen = site.visit(Visit::with_pages(&[Some(PageFault::Fatal)]));
        assert!(
            seen.warnings().contains("later than its period")
                == (site.now().to_string().as_str() > "2026-11-21T09")
        );
        assert!(!seen.warnings().contains("for good"), "{}", seen.warnings());
        assert_eq!(seen.outcome.report.outlook.edge_hours, None);
    }
    assert_eq!(site.tick().ids(), ["a"]);
}

#[test]
fn an_idle_tick_reads_nothing_but_its_position() {
    let mut site = site(Daily, &["a"]);
    site.tick();
    site.pass(HOUR);
    site.new_process();
    let before = site.store.usage();
    site.visit(Visit::default());
    let after = site.store.usage();
    assert_eq!((after.0 - before.0, after.1 - before.1), (1, 0), "there are no backfills to be looked for");
}

#[test]
fn a_list_that_is_read_less_often_than_its_records_are_remembered_is_no_news_either() {
    let mut site = site(Changes, &["a", "b"]);
    let forty_days = jiff::SignedDuration::from_hours(40 * 24);
    site.settings.request_period = forty_days;
    assert!(site.settings.service.window.retention < forty_days);
    assert_eq!(sent(&mut site), "ab");
    for visit in 0..3 {
        site.pass(forty_days.as_secs());
        site.store.expire(site.now());
        assert_eq!(sent(&mut site), "", "visit {visit}");
    }
}

#[test]
fn a_snapshot_that_takes_longer_than_its_records_are_remembered_goes_on_where_it_was() {
    let mut site = site(Daily, &["a", "b", "c", "d"]);
    for (days, expected) in [(0, "a"), (20, "b"), (20, "c"), (20, "d")] {
        site.pass(days * DAY);
        let seen = site.visit(Visit { seconds_per_page: 60, ..Visit::default() });
        assert_eq!(seen.ids().concat(), expected, "{days} days later");
        assert!(!seen.warnings().contains("cannot be had"), "{}", seen.warnings());
    }
    assert_eq!(site.checkpoint()["complete_to_in_utc"], MORNING);
}
