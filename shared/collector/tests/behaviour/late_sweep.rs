//! The late sweep: what comes later than the look-back is found, exactly once and in time, whatever dies on the way.

use std::collections::BTreeMap;

use collector::report::Status;
use collector::settings::RequestRate;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use testing::dice::Dice;
use testing::site::{Seen, Site, Visit, thing};
use testing::source::Emitted;
use testing::store::WriteFault;

use crate::NOON;

const TICK: i64 = 300;
const HOUR: i64 = 3_600;

/// An empty world whose sweeps are on: every hour, a day back.
pub fn site() -> Site {
    let mut site = Site::new(NOON);
    site.settings.late_sweep_period = SignedDuration::from_hours(1);
    site.settings.late_sweep_range = SignedDuration::from_hours(24);
    site
}

/// A record with this id that happened so many seconds after noon and is visible so many seconds later.
pub fn late(id: &str, after_noon: i64, lateness: i64) -> Emitted {
    let noon: Timestamp = NOON.parse().unwrap();
    let mut record = thing(id, &(noon + SignedDuration::from_secs(after_noon)).to_string());
    record.visible_from = record.time + SignedDuration::from_secs(lateness);
    record
}

/// The windows of the requests that a sweep made: those of live windows end at the present.
pub fn swept(site: &Site, seen: &Seen) -> usize {
    let is_old = |end: Timestamp| end < site.now() - SignedDuration::from_secs(60);
    seen.requests.iter().filter(|request| is_old(request.window.to)).count()
}

/// Plain ticks for so many seconds.
pub fn ticks(site: &mut Site, seconds: i64) -> Vec<Seen> {
    let tick = |_| {
        site.pass(TICK);
        site.visit(Visit::default())
    };
    (0..seconds / TICK).map(tick).collect()
}

pub fn sweep_of(site: &Site) -> Value {
    site.checkpoint().get("late_sweep").cloned().unwrap_or_default()
}

/// The sum of a count over the ledger and what waits for it.
pub fn booked(site: &Site, name: &str) -> u64 {
    let carried = site.checkpoint().get("ledger_carry").cloned().unwrap_or_default();
    let waiting = carried.as_object().into_iter().flat_map(|hours| hours.values().cloned());
    let rows = site.rows_of("ledger#").into_iter().map(|row| Value::Object(row.fields));
    rows.chain(waiting).filter_map(|hour| hour[name].as_u64()).sum()
}

/// Four days of records every four minutes; of those of the first three, one of twenty is 1 minute to 20 hours late.
fn four_days(seed: u64) -> Vec<Emitted> {
    let mut dice = Dice::new(seed);
    let one = |number: i64| {
        let is_late = number * 240 < 3 * 86_400 && dice.sometimes(20);
        let lateness = if is_late { 60 + dice.below(20 * 3_600 - 60) as i64 } else { 0 };
        late(&format!("r{number}"), number * 240, lateness)
    };
    (0..4 * 86_400 / 240).map(one).collect()
}

#[test]
fn records_up_to_twenty_hours_late_come_once_and_in_time_and_ledger_and_answers_say_how_many() {
    let wide = RequestRate { requests: 1_000_000, per: SignedDuration::from_secs(1) };
    // Thirty requests in a period, of which seven or eight are a sweep's.
    let narrow = RequestRate { requests: 1, per: SignedDuration::from_secs(10) };
    // As many, and yet no more than six without waiting most of a tick.
    let slow = RequestRate { requests: 6, per: SignedDuration::from_secs(60) };
    // A sweep of a day in pages of twenty takes eighteen of them; spread over
    // twenty minutes, that is five a tick, and over an hour it is two.
    let table = [(1, wide, 24, 5, 3), (2, narrow, 24, 5, 3), (3, narrow, 5, 5, 3), (4, slow, 24, 2, 1)];
    for (seed, rate, hours, most_swept, parts_of_hour) in table {
        let mut site = site();
        site.records = four_days(seed);
        site.settings.start_time = NOON.parse().ok();
        site.settings.rate = rate;
        site.settings.window_max = SignedDuration::from_hours(hours);
        site.page_size = 20;
        let mut came: BTreeMap<String, Timestamp> = BTreeMap::new();
        let (mut found, mut is_spread) = (0, false);
        for _ in 0..4 * 86_400 / TICK {
            site.pass(TICK);
            let seen = site.visit(Visit::default());
            assert_eq!(seen.status(), Status::UpToDate);
            let swept = swept(&site, &seen);
            assert!(swept <= most_swept, "seed {seed}: {swept} requests of a sweep");
            is_spread |= swept == most_swept;
            found += seen.outcome.report.late;
            came.extend(seen.ids().into_iter().map(|id| (id, site.now())));
        }
        assert!(is_spread, "seed {seed}");
        assert!(site.arrived().values().all(|times| *times == 1), "seed {seed}");
        for record in &site.records {
            let id = testing_id(record);
            let waited = came[&id].duration_since(record.visible_from).as_secs();
            assert!(
                waited <= HOUR + HOUR / parts_of_hour + 2 * TICK,
                "seed {seed}: {id} came {waited} s after it was there"
            );
        }
        let later_than = |seconds: i64| {
            let records = site.records.iter();
            let lateness = records.map(|record| record.visible_from.duration_since(record.time).as_secs());
            lateness.filter(|late| *late > seconds).count() as u64
        };
        // The near window begins an hour behind the newest record, which is a few minutes old.
        let range = later_than(HOUR + 2 * TICK)..=later_than(HOUR - TICK);
        assert!(range.contains(&found) && found > 30, "seed {seed}: {found} late records, not {range:?}");
        assert_eq!((booked(&site, "late"), booked(&site, "delivered")), (found, site.records.len() as u64));
    }
}

pub fn testing_id(record: &Emitted) -> String {
    let value: Value = serde_json::from_slice(&record.text).unwrap();
    value["id"].as_str().unwrap().to_owned()
}

/// A world in the midst of a sweep: of sixteen records, two a page, some came late; two requests a tick.
fn in_the_midst() -> Site {
    let mut site = site();
    site.page_size = 2;
    site.settings.rate = RequestRate { requests: 8, per: SignedDuration::from_secs(TICK) };
    for number in 0..12 {
        site.records.push(late(&format!("old{number}"), -20 * HOUR + number * HOUR, 0));
    }
    site.records.push(late("now", -600, 0));
    site.visit(Visit::default());
    // They are there when the first sweep begins.
    site.records.push(late("late1", -19 * HOUR + 10, 19 * HOUR + 600));
    site.records.push(late("late2", -13 * HOUR + 10, 13 * HOUR + 600));
    site.records.push(late("late3", -9 * HOUR + 10, 9 * HOUR + 600));
    site.records.push(late("fresh", HOUR + 300, 0));
    ticks(&mut site, HOUR);
    assert!(sweep_of(&site)["next_link"].is_string(), "{}", sweep_of(&site));
    site
}

#[test]
fn a_sweep_that_is_killed_at_any_step_goes_on_and_repeats_at_most_the_batch_in_flight() {
    let mut crashes = 0;
    for crash_at in 0.. {
        let mut site = in_the_midst();
        site.pass(TICK);
        let known = site.receiver.connections().len();
        let place = sweep_of(&site);
        if site.visit_until(Visit::default(), crash_at).is_some() {
            assert_ne!(sweep_of(&site), place, "the step is one of a sweep");
            break;
        }
        crashes += 1;
        let in_flight: Vec<String> = site
            .receiver
            .connections()
            .split_off(known)
            .last()
            .map_or_else(Vec::new, |batch| batch.records().map(|(_, text)| text.clone()).collect());
        site.pass(64);
        site.new_process();
        let goes_on = ticks(&mut site, 3 * HOUR);
        assert!(goes_on.iter().all(|seen| seen.status() == Status::UpToDate), "step {crash_at}");
        for (id, times) in site.arrived() {
            let may_repeat = in_flight.iter().any(|text| text.contains(&format!("\"{id}\"")));
            assert!(times == 1 || (times == 2 && may_repeat), "step {crash_at}: {id} came {times} times");
        }
        assert_eq!((site.arrived().len(), booked(&site, "delivered")), (17, 17), "step {crash_at}");
        assert_eq!(booked(&site, "late"), 3, "step {crash_at}");
    }
    assert!(crashes > 10, "{crashes}");
}

#[test]
fn a_delivery_or_commit_that_fails_in_a_sweep_brings_everything_at_the_next_tick() {
    for visit in [
        Visit { breaks: vec![Some(0)], ..Visit::default() },
        Visit { writes: vec![None, Some(WriteFault::Refused)], ..Visit::default() },
    ] {
        let mut site = in_the_midst();
        let place = sweep_of(&site);
        site.pass(TICK);
        assert!(site.visit(visit).outcome.failure.is_some());
        assert_eq!(sweep_of(&site), place, "it goes on where it was");
        ticks(&mut site, 3 * HOUR);
        assert_eq!((site.arrived().len(), booked(&site, "late")), (17, 3));
    }
}

#[test]
fn the_first_sweep_begins_a_period_after_the_start_and_each_other_a_period_after_the_one_before() {
    let mut site = site();
    site.records.push(late("late", -6 * HOUR, 6 * HOUR + 60));
    assert_eq!(
        (site.visit(Visit::default()).status(), sweep_of(&site)),
        (Status::UpToDate, json!({"waits_since_in_utc": NOON}))
    );
    let mut begins = Vec::new();
    for _ in 0..4 * HOUR / TICK {
        let tick = ticks(&mut site, TICK).pop().unwrap();
        // The near window reaches back to the newest record, which is old here.
        if sweep_of(&site)["began_in_utc"] == json!(site.now()) {
            begins.push((site.now().to_string(), tick.outcome.report.late_sweep_period_in_seconds));
        }
    }
    let begin = |hour: i64, period| (format!("2026-11-20T{}:00:00Z", 12 + hour), period);
    assert_eq!(begins, [begin(1, None), begin(2, Some(3_600)), begin(3, Some(3_600)), begin(4, Some(3_600))]);
}

#[test]
fn a_sweep_reads_from_the_range_the_start_or_the_retention_to_where_the_next_near_window_begins() {
    let day = SignedDuration::from_hours(24);
    let table = [
        (day, None, "2026-11-20T01:00:00Z"),
        (day, Some("2026-11-20T04:30:00Z"), "2026-11-20T04:30:00Z"),
        (day * 90, Some("2026-01-01T00:00:00Z"), "2026-10-22T01:00:01Z"),
        (SignedDuration::from_hours(3), None, "2026-11-20T22:00:00Z"),
    ];
    for (range, start, from) in table {
        let mut site = site();
        site.settings.late_sweep_range = range;
        site.settings.start_time = start.map(|text| text.parse().unwrap());
        site.settings.window_max = day * 90;
        site.visit(Visit::default());
        site.pass(12 * HOUR + 3_000);
        site.records.push(late("newest", 13 * HOUR - 600, 0));
        site.settings.late_sweep_period = SignedDuration::from_hours(14);
        site.visit(Visit::default());
        site.settings.late_sweep_period = SignedDuration::from_hours(1);
        site.edit_checkpoint(json!({"late_sweep": {"waits_since_in_utc": "2026-11-21T00:00:00Z"}}));
        site.pass(600);
        let seen = site.visit(Visit::default());
        let near = "2026-11-20T23:50:00Z";
        assert_eq!(seen.windows(), [format!("{near}/2026-11-21T01:00:00Z"), format!("{from}/{near}")]);
        assert_eq!(sweep_of(&site), json!({"began_in_utc": "2026-11-21T01:00:00Z"}), "it is complete");
        let report = &seen.outcome.report;
        let window = report.window.unwrap();
        assert_eq!(
            (report.windows, window.from.to_string().as_str()),
            (1, near),
            "the answer's are live ones"
        );
    }
}

#[test]
fn a_near_window_that_reaches_back_over_the_range_is_a_sweep_that_costs_nothing() {
    let mut site = site();
    site.settings.lookback = SignedDuration::from_hours(30);
    site.settings.window_max = SignedDuration::from_hours(48);
    site.visit(Visit::default());
    let seen = ticks(&mut site, 3 * HOUR);
    assert!(seen.iter().all(|tick| tick.requests.len() == 1));
    assert_eq!(seen.last().unwrap().outcome.report.late_sweep_period_in_seconds, Some(3_600));
}

#[test]
fn what_a_sweep_finds_leaves_the_live_position_alone() {
    let mut site = site();
    site.records.push(late("newest", -600, 0));
    site.visit(Visit::default());
    site.records.push(late("late", -9 * HOUR, 9 * HOUR + 60));
    let seen = ticks(&mut site, HOUR).pop().unwrap();
    let report = &seen.outcome.report;
    assert_eq!((seen.ids(), report.late, report.delivered), (vec!["late".to_owned()], 1, 1));
    assert_eq!(site.checkpoint()["last_event_time_in_utc"], "2026-11-20T11:50:00Z");
    assert_eq!(site.checkpoint()["complete_to_in_utc"], "2026-11-20T13:00:00Z");
    assert_eq!(report.lag_seconds, Some(0));
}
