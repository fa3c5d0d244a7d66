//! Queries in a world where everything breaks: nothing is lost, only the batch in flight comes twice, no position goes back.

use std::collections::BTreeMap;

use collector::settings::QuerySpan::{Whole, Window};
use jiff::{SignedDuration, Timestamp};
use testing::dice::Dice;
use testing::hunting::{HuntingSite, query};
use testing::sink::Connection;
use testing::site::Visit;
use testing::source::PageFault;
use testing::store::WriteFault;

use crate::NOON;

const NAMES: [&str; 3] = ["a", "b", "all"];
const ROUNDS: i64 = 8;

/// Two queries with windows and one without, of which some answers are too heavy.
fn world() -> HuntingSite {
    let mut site = HuntingSite::new(NOON, vec![query("a", Window), query("all", Whole), query("b", Window)]);
    site.most_rows = 10;
    site.patience = 60;
    site
}

/// What comes to be there before this round: all of it some time ago, one row of all queries alike.
fn grow(site: &mut HuntingSite, round: i64) {
    let now = site.now();
    for (number, name) in NAMES.into_iter().enumerate() {
        let rows = if name == "all" { 1 } else { 4 };
        for row in 0..rows {
            let age = SignedDuration::from_secs(40 * row + 7 * i64::try_from(number).unwrap());
            site.add(name, &format!("{round}.{row}"), now - age);
        }
        if round == 0 {
            site.add(name, "alike", "2026-11-20T11:30:00Z".parse().unwrap());
        }
    }
}

/// A tick of this round; pages take so long that one invocation has several batches.
fn round_of(number: i64) -> Visit {
    Visit { seconds_per_page: if number % 2 == 0 { 9 } else { 1 }, ..Visit::default() }
}

fn positions(site: &HuntingSite) -> BTreeMap<&'static str, Option<Timestamp>> {
    let position = |name| site.place(name).get("complete_to_in_utc")?.as_str()?.parse().ok();
    NAMES.into_iter().map(|name| (name, position(name))).collect()
}

/// Ticks until everything that will ever be there was there for a while.
fn settle(site: &mut HuntingSite) {
    for _ in 0..6 {
        site.pass(600);
        assert_eq!(site.tick().outcome.failure, None);
    }
}

fn check(site: &HuntingSite, broken: usize) {
    let arrived = site.all_arrived();
    for (name, rows) in &site.rows {
        for row in rows {
            let text = String::from_utf8_lossy(&row.text);
            let is_there = |key: &&String| {
                key.strip_prefix(&format!("my.app.{name} "))
                    .is_some_and(|id| text.contains(&format!("\"{id}\"")))
            };
            assert!(arrived.keys().any(|key| is_there(&key)), "lost of {name}: {text}");
        }
    }
    let repeats: usize = arrived.values().map(|count| count - 1).sum();
    let connections = site.receiver.connections();
    let mut sizes: Vec<usize> = connections.iter().map(|it: &Connection| it.records().count()).collect();
    sizes.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
    let allowed: usize = sizes.iter().take(broken).sum();
    assert!(repeats <= allowed, "{repeats} repeats, {allowed} by {broken} broken batches: {arrived:?}");
}

#[test]
fn a_quiet_run_sends_every_row_of_every_query_once() {
    let mut site = world();
    for round in 0..ROUNDS {
        grow(&mut site, round);
        site.visit(round_of(round));
        site.pass(300);
    }
    settle(&mut site);
    check(&site, 0);
}

#[test]
fn a_crash_at_any_step_loses_no_row_and_repeats_at_most_the_batch_in_flight() {
    let mut points = 0;
    for crashed_round in 0..ROUNDS {
        for step in 0.. {
            let mut site = world();
            let mut has_crashed = false;
            let mut before = positions(&site);
            for round in 0..ROUNDS {
                grow(&mut site, round);
                let seen = if round == crashed_round {
                    site.visit_until(round_of(round), step)
                } else {
                    Some(site.visit(round_of(round)))
                };
                has_crashed |= seen.is_none();
                let now = positions(&site);
                assert!(now.iter().all(|(name, position)| *position >= before[name]), "{before:?} {now:?}");
                before = now;
                site.pass(300);
            }
            if !has_crashed {
                break;
            }
            points += 1;
            settle(&mut site);
            check(&site, 1);
        }
    }
    println!("crashed at {points} points");
    assert!(points >= 240, "{points}");
}

#[test]
fn faults_of_api_devo_and_store_lose_no_row_and_repeat_only_what_they_broke() {
    let page_faults = [
        PageFault::TooHeavy,
        PageFault::Fatal,
        PageFault::Throttled(90),
        PageFault::NoTurn(5),
        PageFault::OutOfTime,
    ];
    let write_faults = [WriteFault::HappensSilently, WriteFault::VanishesSilently, WriteFault::Refused];
    for seed in 0..200 {
        let mut dice = Dice::new(seed);
        let mut site = world();
        let (mut broken, mut before) = (0, positions(&site));
        for round in 0..8 {
            grow(&mut site, round);
            for name in NAMES {
                let faults: Vec<_> = (0..3)
                    .map(|_| dice.sometimes(3).then(|| page_faults[dice.below(page_faults.len())]))
                    .collect();
                site.script(name, &faults);
            }
            let visit = Visit {
                breaks: (0..3).map(|_| dice.sometimes(4).then(|| dice.below(12))).collect(),
                writes: (0..4).map(|_| dice.sometimes(5).then(|| write_faults[dice.below(3)])).collect(),
                ..round_of(round)
            };
            broken += usize::from(site.visit(visit).outcome.failure.is_some());
            let now = positions(&site);
            assert!(
                now.iter().all(|(name, position)| *position >= before[name]),
                "seed {seed}: {before:?} {now:?}"
            );
            before = now;
            site.pass(300);
            if dice.sometimes(2) {
                site.new_process();
            }
        }
        site.faults.clear();
        settle(&mut site);
        check(&site, broken);
    }
}

/// The crash of an invocation is the same thing for a backfill.
#[test]
fn a_backfill_that_is_killed_at_any_step_is_gone_on_with_and_sends_each_row_once() {
    let visit = || Visit {
        seconds_per_page: 9,
        ..Visit::backfill("2026-11-10T00:00:00Z", "2026-11-11T00:00:00Z", false)
    };
    let site = || {
        let mut site = world();
        site.settings.window_max = SignedDuration::from_hours(12);
        for hour in 0..6 {
            let time =
                "2026-11-10T00:30:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(4 * hour);
            NAMES
                .iter()
                .filter(|name| **name != "all")
                .for_each(|name| site.add(name, &format!("{hour}"), time));
        }
        site
    };
    let mut points = 0;
    for step in 0.. {
        let mut site = site();
        if site.visit_until(visit(), step).is_some() {
            break;
        }
        points += 1;
        site.pass(64);
        for _ in 0..4 {
            site.tick();
            site.pass(300);
        }
        // It was killed before it was noted: then whoever asked asks again.
        let seen = site.visit(visit());
        assert_eq!(seen.outcome.failure, None);
        site.pass(64);
        site.tick();
        check(&site, 1);
    }
    assert!(points >= 20, "{points}");
}
