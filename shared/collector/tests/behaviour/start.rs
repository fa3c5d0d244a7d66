//! Where a service starts, and what happens when that is changed.

use collector::report::Status;
use jiff::SignedDuration;
use testing::site::{Site, Visit};
use testing::source::PageFault;

use crate::NOON;

fn start_at(site: &mut Site, start: Option<&str>) {
    site.settings.start_time = start.map(|text| text.parse().unwrap());
}

#[test]
fn a_fresh_service_starts_a_day_ago_unless_the_document_says_otherwise() {
    for (start, expected) in
        [(None, "2026-11-19T12:00:00Z"), (Some("2026-11-20T03:00:00Z"), "2026-11-20T03:00:00Z")]
    {
        let mut site = Site::new(NOON);
        start_at(&mut site, start);
        let seen = site.tick();
        assert_eq!((seen.status(), seen.warnings().as_str()), (Status::UpToDate, ""));
        assert_eq!(seen.windows(), [format!("{expected}/{NOON}")]);
        assert_eq!(site.checkpoint()["start_time_in_utc"], expected);
        assert_eq!(site.checkpoint()["complete_to_in_utc"], NOON);
    }
}

#[test]
fn a_start_in_days_is_fixed_at_the_first_pull() {
    let mut site = Site::new(NOON);
    site.settings.older_start.reach = Some(SignedDuration::from_hours(72));
    assert_eq!(site.tick().windows()[0].split('/').next(), Some("2026-11-17T12:00:00Z"));
    site.pass(86_400);
    let seen = site.tick();
    assert_eq!((seen.status(), seen.warnings().as_str()), (Status::UpToDate, ""));
    assert_eq!(
        site.checkpoint()["start_time_in_utc"],
        "2026-11-17T12:00:00Z",
        "the clock does not restart it"
    );
}

#[test]
fn another_reset_restarts_once_and_its_absence_changes_nothing() {
    let mut site = Site::with(NOON, &[("old", "2026-11-20T01:00:00Z"), ("new", "2026-11-20T11:00:00Z")]);
    start_at(&mut site, Some("2026-11-20T00:00:00Z"));
    let mark = |site: &mut Site, mark: Option<&str>| site.settings.older_start.mark = mark.map(str::to_owned);
    mark(&mut site, Some("first"));
    assert_eq!(site.tick().ids(), ["old", "new"], "a fresh service just starts");
    for (text, expected) in [
        (Some("first"), 0),
        (Some("second"), 2),
        (Some("second"), 0),
        (None, 0),
        (Some("second"), 0),
        (Some("first"), 2),
    ] {
        mark(&mut site, text);
        site.new_process();
        site.pass(300);
        let seen = site.tick();
        assert_eq!(seen.ids().len(), expected, "{text:?}: {}", seen.warnings());
        assert_eq!(seen.warnings().contains("reset_persistence_auth changed"), expected > 0);
        assert_eq!(site.checkpoint()["start_time_in_utc"], "2026-11-20T00:00:00Z");
    }
    let mut other = Site::new(NOON);
    other.tick();
    mark(&mut other, Some("added later"));
    other.pass(3_600);
    other.tick();
    assert_eq!(other.checkpoint()["start_time_in_utc"], "2026-11-19T13:00:00Z", "a day before the restart");
}

#[test]
fn another_start_restarts_position_and_memory_so_that_records_from_there_on_come_again() {
    let mut site = Site::with(
        NOON,
        &[
            ("old", "2026-11-20T01:00:00Z"),
            ("middle", "2026-11-20T06:00:00Z"),
            ("new", "2026-11-20T11:00:00Z"),
        ],
    );
    start_at(&mut site, Some("2026-11-20T00:00:00Z"));
    assert_eq!(site.tick().ids(), ["old", "middle", "new"]);
    site.pass(10);
    start_at(&mut site, Some("2026-11-20T05:00:00Z"));
    // Not due by its period, but a restart does not wait for it.
    let seen = site.visit(Visit::default());
    assert_eq!(seen.ids(), ["middle", "new"]);
    assert_eq!(seen.windows(), ["2026-11-20T05:00:00Z/2026-11-20T12:00:10Z"]);
    assert!(
        seen.warnings().starts_with(
            "start_time_in_utc changed from 2026-11-20T00:00:00Z to 2026-11-20T05:00:00Z: position and record memory restart"
        ),
        "{}",
        seen.warnings()
    );
    site.new_process();
    let again = site.tick();
    assert_eq!((again.ids().len(), again.warnings().as_str()), (0, ""), "one restart, not one a tick");
}

#[test]
fn a_restart_in_the_middle_of_a_window_leaves_nothing_of_the_old_walk() {
    let records = ["2026-11-20T01:00:00Z", "2026-11-20T02:00:00Z", "2026-11-20T03:00:00Z"];
    let mut site = Site::with(NOON, &[("a", records[0]), ("b", records[1]), ("c", records[2])]);
    site.page_size = 1;
    start_at(&mut site, Some("2026-11-20T00:00:00Z"));
    let left = site.visit(Visit { seconds_per_page: 40, ..Visit::forced() });
    assert_eq!((left.status(), left.ids().len()), (Status::More, 2));
    start_at(&mut site, Some("2026-11-20T00:30:00Z"));
    let seen = site.visit(Visit::default());
    assert_eq!(seen.requests[0].link, None);
    assert_eq!(seen.requests[0].window.from.to_string(), "2026-11-20T00:30:00Z");
    assert_eq!(seen.ids(), ["a", "b", "c"]);
}

#[test]
fn a_start_that_is_removed_or_respelt_changes_nothing() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T06:00:00Z")]);
    start_at(&mut site, Some("2026-11-20T05:00:00Z"));
    assert_eq!(site.tick().ids(), ["a"]);
    for same in [None, Some("2026-11-20T06:00:00+01:00"), None, Some("2026-11-20T05:00:00Z")] {
        site.pass(300);
        start_at(&mut site, same);
        let seen = site.visit(Visit::default());
        assert_eq!((seen.ids().len(), seen.warnings().as_str()), (0, ""), "{same:?}");
        assert_eq!(site.checkpoint()["start_time_in_utc"], "2026-11-20T05:00:00Z");
    }
}

#[test]
fn a_start_before_the_retention_moves_forward_and_the_gap_is_named_once() {
    let mut site = Site::with(NOON, &[("kept", "2026-10-22T00:00:00Z")]);
    start_at(&mut site, Some("2026-10-01T00:00:00Z"));
    let seen = site.tick();
    assert_eq!(seen.requests[0].window.from.to_string(), "2026-10-21T12:00:00Z");
    assert_eq!(
        seen.warnings(),
        "records from 2026-10-01T00:00:00Z to 2026-10-21T12:00:00Z cannot be had: the API keeps them for 30 days; \
         pulling starts at 2026-10-21T12:00:00Z"
    );
    assert_eq!(seen.ids(), ["kept"]);
    assert_eq!(site.checkpoint()["start_time_in_utc"], "2026-10-01T00:00:00Z", "what was asked for is kept");
    site.pass(300);
    assert_eq!(site.tick().warnings(), "");
}

#[test]
fn a_service_that_stood_still_for_longer_than_the_retention_names_the_gap() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T11:00:00Z")]);
    site.tick();
    site.pass(40 * 86_400);
    let seen = site.tick();
    assert_eq!(seen.requests[0].window.from.to_string(), "2026-11-30T12:00:00Z");
    assert!(
        seen.warnings()
            .starts_with("records from 2026-11-20T12:00:00Z to 2026-11-30T12:00:00Z cannot be had"),
        "{}",
        seen.warnings()
    );
    assert_eq!(site.checkpoint()["complete_to_in_utc"], "2026-12-30T12:00:00Z");
}

#[test]
fn a_window_left_half_way_for_longer_than_the_retention_is_given_up_and_the_gap_is_named() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T01:00:00Z"), ("b", "2026-11-20T02:00:00Z")]);
    site.page_size = 1;
    let left = site.visit(Visit { seconds_per_page: 50, ..Visit::forced() });
    assert_eq!((left.status(), left.ids().len()), (Status::More, 1));
    site.pass(40 * 86_400);
    let seen = site.tick();
    let from = seen.requests[0].window.from;
    assert!(from.to_string().starts_with("2026-11-30T12:0"), "{from} is older than what the API keeps");
    assert!(seen.warnings().contains("cannot be had"), "{}", seen.warnings());
    assert_eq!(seen.status(), Status::UpToDate);
}

#[test]
fn a_first_run_whose_delivery_fails_keeps_its_start() {
    let mut site = Site::with(NOON, &[("a", "2026-11-19T13:00:00Z")]);
    for _ in 0..5 {
        assert!(site.visit(Visit::with_breaks(&[Some(0)])).outcome.failure.is_some());
        site.pass(86_400);
    }
    assert_eq!(site.tick().ids(), ["a"], "Devo was away for days, and the day before them is not lost");
}

#[test]
fn a_window_at_the_edge_of_the_retention_is_halved_all_the_same_when_its_page_never_comes() {
    let mut site = Site::new(NOON);
    start_at(&mut site, Some("2026-10-01T00:00:00Z"));
    let mut spans = Vec::new();
    for _ in 0..6 {
        let seen = site.visit(Visit::with_pages(&[Some(PageFault::OutOfTime)]));
        spans.push(seen.requests[0].window.span().as_secs() / 600);
        site.pass(60);
    }
    assert_eq!(spans, [144, 71, 35, 17, 8, 4], "tens of minutes");
}

#[test]
fn a_quiet_service_is_asked_from_its_newest_record_on_and_names_no_gap_that_was_read() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T11:00:00Z")]);
    site.tick();
    for _ in 0..40 {
        site.pass(86_400);
        let seen = site.tick();
        assert_eq!((seen.status(), seen.warnings().as_str()), (Status::UpToDate, ""));
        assert_eq!(seen.ids().len(), 0);
    }
}
