//! Lists whose windows may lie on another time than the records' own, and whose times are numbers as well as texts.

use collector::report::Status;
use collector::service::Query;
use collector::settings::{Settings, SnapshotMode};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use testing::service::{INCIDENTS, SHELVES, inventory_settings, settings};
use testing::site::{Site, Visit, line, record};
use testing::source::{Emitted, PageFault};

use super::NOON;

const TICK: i64 = 300;

/// Triggered within and before what the API keeps (30 days).
const LONG_AGO: [&str; 2] = ["2026-11-01T08:00:00Z", "2024-02-29T08:00:00Z"];

fn site() -> Site {
    let mut site = Site::new(NOON);
    site.settings = Settings { service: &INCIDENTS, ..settings() };
    site
}

/// An incident that happened at `time` and stands in the windows that `met` is in.
fn incident(id: &str, time: Timestamp, met: Timestamp) -> Emitted {
    record(&format!("{{\"id\":\"{id}\",\"time\":{}}}", time.as_millisecond()), met)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Ticks through `ticks` periods, each in a new process if `is_cold`. The position must be that of the fresh incident, and
/// no window may begin earlier than the look-back before the last one's end, or than a day for a sweep.
fn tick_through(site: &mut Site, ticks: usize, is_cold: bool, newest: Option<&str>) {
    for number in 0..ticks {
        if is_cold {
            site.new_process();
        }
        let before = site.checkpoint();
        site.pass(TICK);
        let seen = site.visit(Visit::default());
        assert_eq!((seen.status(), seen.warnings().as_str()), (Status::UpToDate, ""), "tick {number}");
        let after = site.checkpoint();
        assert_eq!(after.get("last_event_time_in_utc"), newest.map(|it| json!(it)).as_ref(), "tick {number}");
        assert_eq!(after["complete_to_in_utc"], json!(site.now().to_string()), "tick {number}");
        let read_to = newest.or_else(|| before["complete_to_in_utc"].as_str()).map(at).unwrap();
        let earliest =
            (read_to - site.settings.lookback).max(at(before["start_time_in_utc"].as_str().unwrap()));
        let live = seen.requests.first().unwrap().window;
        let latest = site.now().min(earliest + site.settings.window_max);
        assert_eq!((live.from, live.to), (earliest, latest), "tick {number}");
    }
}

#[test]
fn what_happened_long_ago_and_changed_now_is_delivered_once_and_moves_no_position() {
    for (is_cold, has_fresh) in [(false, true), (true, true), (false, false), (true, false)] {
        let mut site = site();
        site.settings.late_sweep_period = SignedDuration::from_secs(3_600);
        site.settings.late_sweep_range = SignedDuration::from_secs(86_400);
        let fresh = has_fresh.then_some("2026-11-20T11:30:00Z");
        site.records.extend(fresh.map(|time| incident("fresh", at(time), at(time))));
        site.tick();
        // Met with the second tick for the first time, and then for as long as anything reads that hour again.
        let resolved = site.now() + SignedDuration::from_secs(TICK + 100);
        site.records.extend(LONG_AGO.map(|time| incident(time, at(time), resolved)));
        // Known since it happened, and changed now.
        let known = incident("known", at(LONG_AGO[0]), at("2026-11-19T13:00:00Z"));
        let changed = record(
            &format!("{{\"id\":\"changed\",\"time\":{}}}", at(LONG_AGO[0]).as_millisecond()),
            resolved,
        );
        site.records.extend([known, changed]);
        tick_through(&mut site, 26 * 12, is_cold, fresh);
        let arrived = site.arrived();
        assert!(arrived.values().all(|times| *times == 1), "{arrived:?}");
        assert_eq!(arrived.len(), site.records.len(), "cold: {is_cold}, {arrived:?}");
    }
}

#[test]
fn one_page_may_have_times_as_whole_numbers_as_fractions_and_as_texts() {
    let times = ["2026-11-20T09:00:00.123Z", "2026-11-20T10:00:00.5Z", "2026-11-20T11:00:00Z"];
    // Each of the three forms is the newest once.
    for turn in 0..3 {
        let [whole, fraction, text] = [0, 1, 2].map(|place| at(times[(place + turn) % 3]));
        let mut site = site();
        let milliseconds = fraction.as_millisecond();
        let forms = [
            (whole, whole.as_millisecond().to_string()),
            (fraction, format!("{milliseconds}.8032")),
            (text, format!("\"{text}\"")),
        ];
        let records = forms.iter().zip(["whole", "fraction", "text"]);
        site.records = records
            .map(|((met, time), id)| record(&format!("{{\"id\":\"{id}\",\"time\":{time}}}"), *met))
            .collect();
        let seen = site.tick();
        assert_eq!((seen.status(), seen.ids().len()), (Status::UpToDate, 3));
        assert_eq!(seen.outcome.report.lag_seconds, Some(0));
        let newest = seen.outcome.report.last_event_time_in_utc.unwrap();
        assert_eq!(newest.as_second(), at(times[2]).as_second(), "turn {turn}");
        assert_eq!(newest.as_millisecond(), at(times[2]).as_millisecond());
        for is_cold in [false, true] {
            if is_cold {
                site.new_process();
            }
            site.pass(TICK);
            let again = site.tick();
            assert_eq!((again.ids().len(), again.outcome.report.duplicates), (0, 2), "turn {turn}");
            let from = again.requests.first().unwrap().window.from;
            assert_eq!(from, at("2026-11-20T10:00:00Z"), "the look-back is counted from the newest");
        }
    }
}

#[test]
fn a_number_that_is_no_time_is_delivered_once_and_moves_no_position() {
    let mut site = site();
    let absurd = [
        "1e300",
        "-1e300",
        "9223372036854775807",
        "-9223372036854775808",
        "253402300800000",
        "-62135596800001",
    ];
    let met = at("2026-11-20T11:55:00Z");
    site.records =
        absurd.iter().map(|time| record(&format!("{{\"id\":\"{time}\",\"time\":{time}}}"), met)).collect();
    assert_eq!(site.tick().ids().len(), absurd.len());
    tick_through(&mut site, 12, true, None);
    assert!(site.arrived().values().all(|times| *times == 1), "{:?}", site.arrived());
}

#[test]
fn a_list_without_a_time_is_a_snapshot_like_any_other() {
    assert!(matches!(SHELVES.query, Query::FilteredList { times: [], .. }));
    let mut site = Site::new(NOON);
    site.settings = Settings { service: &SHELVES, ..inventory_settings(SnapshotMode::Changes) };
    site.page_size = 1;
    site.records = ["a", "b", "c"].map(|id| line(id, "A")).into();
    assert_eq!(site.tick().ids(), ["a", "b", "c"]);
    site.records[1] = line("b", "B");
    site.new_process();
    site.pass(TICK);
    assert_eq!(site.visit(Visit::default()).status(), Status::NotDue, "once a day");
    let seen = site.tick();
    assert_eq!((seen.ids().as_slice(), seen.outcome.report.received), (&["b".to_owned()][..], 3));
    assert_eq!(site.tick().ids().len(), 0);
    let refused = site.visit(Visit::backfill("2026-11-10T00:00:00Z", "2026-11-11T00:00:00Z", false));
    assert!(refused.failure().ends_with("it reads the whole list each time: pull with force"));
    // A page whose list lacks something is read again with the next snapshot.
    let lacking = site.visit(Visit::with_pages(&[Some(PageFault::Missing("a part is missing"))]));
    assert!(lacking.warnings().contains("the list may lack something"), "{}", lacking.warnings());
}

#[test]
fn waiting_for_our_own_limit_is_no_news_and_the_wish_of_the_api_is() {
    let mut site = site();
    site.page_size = 1;
    let hour = |number: i64| at("2026-11-20T00:00:00Z") + SignedDuration::from_hours(number);
    site.records = (1..9).map(|number| incident(&number.to_string(), hour(number), hour(number))).collect();
    let waits = |fault| Visit { pages: vec![None, Some(fault)], ..Visit::default() };
    for tick in 0..4 {
        let seen = site.visit(waits(PageFault::NoTurn(100)));
        assert_eq!((seen.status(), seen.outcome.report.delivered), (Status::Throttled, 1));
        assert!(!seen.warnings().contains("no request before"), "{}", seen.warnings());
        // That a limit is used up is told once a day, as a matter of how things will go on.
        assert_eq!(seen.outcome.report.warnings.len(), usize::from(tick == 0), "{}", seen.warnings());
        site.pass(TICK);
    }
    let dry = site.visit(Visit { request: Visit::dry().request, ..waits(PageFault::NoTurn(100)) });
    assert_eq!(dry.status(), Status::DryRun, "which says nothing of a wait");
    assert!(dry.warnings().contains("the request limit has no turn until then"), "{}", dry.warnings());
    let asked = site.visit(waits(PageFault::Throttled(100)));
    assert!(
        asked.warnings().contains("the API asks for patience: no request before"),
        "{}",
        asked.warnings()
    );
}
