//! The operator's own queries in odd circumstances: clocks that were wrong, long pauses, refusals behind other work.

use collector::report::Status;
use collector::settings::QuerySpan::{Whole, Window};
use collector::settings::SnapshotMode;
use jiff::{SignedDuration, Timestamp};
use testing::hunting::{HuntingSite, query};
use testing::site::Visit;
use testing::source::PageFault;

use crate::NOON;

const FATAL: Option<PageFault> = Some(PageFault::Fatal);
const DAY: i64 = 86_400;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_clock_that_was_ahead_makes_no_query_pass_over_what_came_after_it_was_put_right() {
    for (ahead, has_rows) in [(1_200, true), (DAY, true), (DAY, false), (40 * DAY, true)] {
        let mut site = HuntingSite::new(NOON, vec![query("a", Window)]);
        if has_rows {
            site.add("a", "before", at("2026-11-20T11:50:00Z"));
        }
        site.tick();
        site.pass(300 + ahead);
        site.tick();
        site.pass(-ahead);
        for hour in 1..=6 {
            site.add("a", &format!("{hour}"), site.now() + SignedDuration::from_mins(20));
            site.pass(3_600);
            site.tick();
        }
        let arrived = site.all_arrived();
        assert_eq!(arrived.len(), 6 + usize::from(has_rows), "{ahead} {has_rows}: {:?}", arrived.keys());
        assert!(arrived.values().all(|count| *count == 1));
        assert_eq!(site.place("a")["complete_to_in_utc"], site.now().to_string());
    }
}

#[test]
fn a_service_that_was_off_for_months_goes_on_with_the_oldest_that_the_api_keeps_and_names_the_gap() {
    let mut site = HuntingSite::new(NOON, vec![query("a", Window)]);
    site.tick();
    site.pass(90 * DAY);
    site.store.expire(site.now());
    site.add("a", "weeks old", site.now() - SignedDuration::from_hours(20 * 24));
    site.new_process();
    let seen = site.tick();
    assert_eq!(seen.arrived(), ["my.app.a weeks old"]);
    assert!(
        seen.warnings().contains("records from 2026-11-20T12:00:00Z to 2027-01-19T12:00:00Z cannot be had")
    );
}

#[test]
fn a_query_that_is_refused_is_told_of_while_a_backfill_is_at_work() {
    let mut site = HuntingSite::new(NOON, vec![query("a", Window), query("b", Window)]);
    site.tick();
    site.settings.window_max = SignedDuration::from_hours(1);
    let backfill = Visit::backfill("2026-11-10T00:00:00Z", "2026-11-12T00:00:00Z", false);
    site.visit(Visit { seconds_per_page: 9, ..backfill });
    for end in [PageFault::OutOfTime, PageFault::Throttled(30), PageFault::Fatal] {
        site.pass(300);
        site.script("a", &[FATAL, Some(end)]);
        let seen = site.visit(Visit { seconds_per_page: 9, ..Visit::default() });
        let told =
            [seen.outcome.failure.as_ref().map(ToString::to_string).unwrap_or_default(), seen.warnings()];
        let is_told =
            told.iter().any(|text| text.lines().any(|line| line == "[102] scripted refusal (query \"a\")"));
        assert!(is_told, "{end:?}: {told:?} {:?}", seen.asked);
    }
}

#[test]
fn a_query_without_a_window_that_is_asked_twice_a_year_remembers_what_it_sent() {
    let half_a_year = 100 * DAY;
    let mut site = HuntingSite::new(NOON, vec![query("all", Whole), query("a", Window)]);
    site.settings.snapshot_mode = SnapshotMode::Changes;
    site.settings.queries[0].period = SignedDuration::from_secs(half_a_year);
    site.add("all", "1", at("2026-11-20T06:00:00Z"));
    assert_eq!(site.tick().arrived(), ["my.app.all 1"]);
    for _ in 0..3 {
        site.pass(half_a_year);
        site.store.expire(site.now());
        site.new_process();
        let seen = site.tick();
        assert_eq!((seen.status(), seen.arrived().len()), (Status::UpToDate, 0));
        assert!(seen.names().contains(&"all"));
    }
}

#[test]
fn a_minute_with_more_rows_than_an_answer_has_is_read_second_by_second() {
    let mut site = HuntingSite::new(NOON, vec![query("a", Window)]);
    site.most_rows = 10;
    for second in 0..60 {
        for row in 0..4 {
            let time = at("2026-11-20T11:00:00Z") + SignedDuration::from_secs(second);
            site.add("a", &format!("{second}.{row}"), time);
        }
    }
    assert_eq!(site.tick().status(), Status::UpToDate);
    let arrived = site.all_arrived();
    assert_eq!((arrived.len(), arrived.values().max()), (240, Some(&1)));
}
