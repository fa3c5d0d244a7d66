//! What the late sweep promises, and what it may cost, held against ticks, pages, limits and interruptions of any kind.

use std::collections::BTreeMap;

use collector::report::Status;
use collector::settings::RequestRate;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use testing::dice::Dice;
use testing::site::{Site, Visit};
use testing::source::{Emitted, PageFault};

use crate::late_sweep::{late, site, sweep_of, swept, testing_id, ticks};

const TICK: i64 = 300;
const HOUR: i64 = 3_600;

/// Five days of records every twenty minutes; of those of the first three, one of three comes late, up to 23 hours.
fn five_days(dice: &mut Dice) -> Vec<Emitted> {
    let one = |number: i64| {
        let lateness = match dice.below(9) {
            _ if number >= 3 * 72 => 0,
            0 | 1 => 60 + dice.below(20 * 3_600) as i64,
            2 => 23 * HOUR - dice.below(120) as i64,
            _ => 0,
        };
        late(&format!("r{number}"), number * 1_200, lateness)
    };
    (0..5 * 72).map(one).collect()
}

/// When each record came, and the most requests that sweeps made beyond a quarter of the limit, over any stretch of time.
struct Past {
    came: BTreeMap<String, Timestamp>,
    beyond: f64,
    longest_period: i64,
    longest_sweep: i64,
}

fn play(site: &mut Site, dice: &mut Dice, tick: i64, until: Timestamp) -> Past {
    let rate = site.settings.rate;
    let quarter = f64::from(rate.requests) / rate.per.as_secs_f64() / 4.0;
    let first = site.now();
    let mut past = Past { came: BTreeMap::new(), beyond: 0.0, longest_period: 0, longest_sweep: 0 };
    let (mut made, mut least) = (0, 0.0_f64);
    while site.now() < until {
        let is_forced = dice.sometimes(5);
        let pause = if is_forced { 1 + dice.below(20) as i64 } else { tick };
        site.pass(pause);
        let seen = site.visit(if is_forced { Visit::forced() } else { Visit::default() });
        if seen.outcome.report.status == Status::NotDue {
            continue;
        }
        assert_eq!(seen.status(), Status::UpToDate);
        past.came.extend(seen.ids().into_iter().map(|id| (id, site.now())));
        let granted = quarter * site.now().duration_since(first).as_secs_f64();
        made += swept(site, &seen);
        past.beyond = past.beyond.max(made as f64 - granted - least);
        least = least.min(made as f64 - granted);
        let sweep = sweep_of(site);
        let began = sweep["began_in_utc"].as_str().map(|text| text.parse::<Timestamp>().unwrap());
        if let Some(began) = began.filter(|_| sweep["ends_at_in_utc"].is_string()) {
            past.longest_sweep = past.longest_sweep.max(site.now().duration_since(began).as_secs());
        }
        past.longest_period =
            past.longest_period.max(seen.outcome.report.late_sweep_period_in_seconds.unwrap_or(0));
    }
    past
}

#[test]
fn with_any_ticks_pages_and_limits_what_is_up_to_23_hours_late_comes_once_with_the_next_sweep_for_a_quarter_of_the_limit()
 {
    for seed in 0..5 {
        let mut dice = Dice::new(seed);
        let mut site = site();
        site.records = five_days(&mut dice);
        site.settings.start_time = crate::NOON.parse().ok();
        let tick = 240 + dice.below(360) as i64;
        site.settings.request_period = SignedDuration::from_secs(tick);
        site.page_size = 5 + dice.below(60);
        let requests = [4, 9, 20, 40][dice.below(4)];
        site.settings.rate = RequestRate { requests, per: SignedDuration::from_secs(tick) };
        site.settings.window_max = SignedDuration::from_hours(3 + dice.below(30) as i64);
        let until = site.now() + SignedDuration::from_hours(3 * 24 + 30);
        let past = play(&mut site, &mut dice, tick, until);
        assert!(past.beyond < 2.0, "seed {seed}: {} requests beyond a quarter", past.beyond);
        assert!(site.arrived().values().all(|times| *times == 1), "seed {seed}");
        for record in site.records.iter().take(3 * 72) {
            let id = testing_id(record);
            let Some(came) = past.came.get(&id) else {
                let lateness = record.visible_from.duration_since(record.time);
                panic!("seed {seed}, tick {tick}: {id} of {} is lost, {lateness:#} late", record.time)
            };
            let waited = came.duration_since(record.visible_from).as_secs();
            let promised = past.longest_period.max(HOUR) + past.longest_sweep + 2 * tick;
            assert!(
                waited <= promised,
                "seed {seed}: {id} came {waited} s after it was there, not {promised}"
            );
        }
    }
}

#[test]
fn a_limit_of_a_few_requests_an_hour_gives_a_sweep_a_quarter_of_them_and_not_one_with_each_tick() {
    let mut site = site();
    let mut dice = Dice::new(1);
    site.records = five_days(&mut dice);
    site.settings.start_time = crate::NOON.parse().ok();
    site.settings.rate = RequestRate { requests: 16, per: SignedDuration::from_secs(HOUR) };
    site.page_size = 10;
    let until = site.now() + SignedDuration::from_hours(3 * 24 + 30);
    let past = play(&mut site, &mut dice, TICK, until);
    assert!(past.beyond < 2.0, "{} requests beyond a quarter", past.beyond);
    assert!(site.records.iter().take(3 * 72).all(|record| past.came.contains_key(&testing_id(record))));
}

/// Records of the hours before noon that become visible in the next minutes, while nobody looks.
fn before_a_pause() -> Site {
    let mut site = site();
    site.records.push(late("old", -20 * HOUR, 0));
    site.visit(Visit::default());
    site.records.push(late("first", HOUR - 600, 0));
    ticks(&mut site, 2 * HOUR);
    for hour in [2, 8, 20] {
        site.records.push(late(&format!("late{hour}"), (2 - hour) * HOUR, hour * HOUR + 60));
    }
    site
}

#[test]
fn what_comes_late_during_a_pause_of_the_service_is_found_after_it() {
    for pause in [12 * HOUR, 30 * HOUR, 62 * HOUR] {
        let mut site = before_a_pause();
        site.pass(pause);
        ticks(&mut site, 2 * HOUR);
        assert_eq!(site.arrived().len(), 5, "{pause} s: {:?}", site.arrived());
        assert!(site.arrived().values().all(|times| *times == 1));
    }
}

#[test]
fn what_comes_late_while_a_sweep_is_interrupted_is_found_after_it() {
    for pause in [12 * HOUR, 62 * HOUR] {
        let mut site = before_a_pause();
        site.records.push(late("read", -17 * HOUR, 0));
        site.page_size = 1;
        site.settings.rate = RequestRate { requests: 4, per: SignedDuration::from_secs(TICK) };
        ticks(&mut site, HOUR + 2 * TICK);
        assert!(site.arrived().contains_key("read") && sweep_of(&site)["next_link"].is_string());
        site.records.push(late("behind", -17 * HOUR - 60, 20 * HOUR + 1_200));
        site.pass(pause);
        ticks(&mut site, 8 * HOUR);
        assert_eq!(site.arrived().len(), 7, "{pause} s: {:?}", site.arrived());
    }
}

#[test]
fn while_a_service_cannot_deliver_its_sweeps_miss_nothing() {
    let mut site = before_a_pause();
    for _ in 0..40 * HOUR / 1_800 {
        site.pass(1_800);
        site.records.push(late(&format!("r{}", site.now().as_second()), 0, 0));
        let broken = site.visit(Visit { breaks: vec![Some(0)], ..Visit::default() });
        assert!(broken.outcome.failure.is_some());
        site.records.pop();
    }
    ticks(&mut site, 2 * HOUR);
    assert_eq!(site.arrived().len(), 5, "{:?}", site.arrived());
}

#[test]
fn a_service_that_is_pulled_once_a_day_finds_what_came_late_between_its_pulls() {
    let mut site = before_a_pause();
    site.settings.request_period = SignedDuration::from_hours(24);
    for _ in 0..3 {
        site.pass(24 * HOUR);
        site.records.push(late(&format!("new{}", site.now()), 0, 0));
        site.visit(Visit::default());
    }
    assert!(site.arrived().contains_key("late20"), "{:?}", site.arrived());
}

#[test]
fn a_sweep_that_fails_at_one_place_for_ever_does_not_keep_the_later_hours_from_being_swept() {
    let mut site = before_a_pause();
    let mut failures = 0;
    // Whoever asks for the hour of the oldest record gets a failure.
    let poisoned = crate::NOON.parse::<Timestamp>().unwrap() - SignedDuration::from_hours(17);
    site.records.push(late("newest", 2 * HOUR - 100, 0));
    for tick in 0..80 * HOUR / TICK {
        site.pass(TICK);
        if tick == 70 * HOUR / TICK {
            site.records.push(late("much later", 60 * HOUR, 12 * HOUR));
        }
        if tick % 6 == 0 {
            site.records.push(late(&format!("r{tick}"), 2 * HOUR + tick * TICK, 0));
        }
        let sweep = sweep_of(&site);
        let at_hand = |name: &str| sweep[name].as_str().map(|text| text.parse::<Timestamp>().unwrap());
        let from = at_hand("window_from_in_utc").or(at_hand("cursor_in_utc"));
        let begins = sweep.get("ends_at_in_utc").is_none();
        let reach = at_hand("began_in_utc").map(|began| began - SignedDuration::from_hours(23));
        let meets = if begins { reach } else { from }.is_none_or(|instant| instant <= poisoned);
        let pages = if meets { vec![None, Some(PageFault::Fatal)] } else { Vec::new() };
        let seen = site.visit(Visit { pages, ..Visit::default() });
        if let Some(error) = &seen.outcome.failure {
            failures += 1;
            assert!(error.message.contains("late sweep"), "{error}");
        }
    }
    assert!(failures > 0);
    assert!(site.arrived().contains_key("much later"), "{}", sweep_of(&site));
}

#[test]
fn links_that_expire_between_ticks_stretch_a_sweep_but_do_not_keep_it_from_its_end() {
    let mut site = site();
    for number in 0..48 {
        site.records.push(late(&format!("r{number}"), -23 * HOUR + number * 1_500, 0));
    }
    site.records.push(late("new", -60, 0));
    site.visit(Visit::default());
    site.records.push(late("late", -4 * HOUR, 4 * HOUR + 60));
    site.page_size = 2;
    site.settings.rate = RequestRate { requests: 12, per: SignedDuration::from_secs(TICK) };
    for _ in 0..8 * HOUR / TICK {
        site.pass(TICK);
        let is_left_at_link = sweep_of(&site)["next_link"].is_string();
        let pages = if is_left_at_link { vec![None, Some(PageFault::LinkExpired)] } else { Vec::new() };
        assert_eq!(site.visit(Visit { pages, ..Visit::default() }).status(), Status::UpToDate);
    }
    assert!(site.arrived().contains_key("late"), "{}", sweep_of(&site));
}

#[test]
fn the_period_shown_grows_while_a_sweep_is_at_work() {
    let mut site = before_a_pause();
    let shown = ticks(&mut site, TICK).pop().unwrap().outcome.report.late_sweep_period_in_seconds;
    assert_eq!(shown, Some(HOUR));
    site.edit_checkpoint(json!({"late_sweep": {
        "began_in_utc": site.now() - SignedDuration::from_hours(10),
        "previous_began_in_utc": site.now() - SignedDuration::from_hours(11),
        "ends_at_in_utc": site.now() - SignedDuration::from_hours(2),
        "cursor_in_utc": site.now() - SignedDuration::from_hours(12),
    }}));
    site.page_size = 1;
    site.settings.rate = RequestRate { requests: 4, per: SignedDuration::from_secs(TICK) };
    let seen = ticks(&mut site, TICK).pop().unwrap();
    assert_eq!(seen.outcome.report.late_sweep_period_in_seconds, Some(10 * HOUR + TICK));
}
