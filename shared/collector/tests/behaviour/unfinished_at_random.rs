//! Tasks that begin, change and end at random while everything fails now and then: the last state of each arrives.

use std::collections::BTreeMap;

use collector::report::Status;
use jiff::SignedDuration;
use serde_json::Value;
use testing::dice::Dice;
use testing::enriched::task_settings;
use testing::sink::Connection;
use testing::site::{Site, Visit};
use testing::source::PageFault;

use crate::NOON;
use crate::unfinished::task;

struct Task {
    id: String,
    start: String,
    state: usize,
    is_running: bool,
}

fn world(dice: &mut Dice) -> Site {
    let mut site = Site::new(NOON);
    site.settings = task_settings();
    site.settings.window_max = SignedDuration::from_mins(30 + dice.below(600) as i64);
    site.page_size = 1 + dice.below(5);
    site
}

/// The API shows each task as it is now.
fn show(site: &mut Site, tasks: &[Task]) {
    site.records = tasks
        .iter()
        .map(|it| {
            let end = if it.is_running { "null" } else { "\"2026-11-20T23:00:00Z\"" };
            task(&it.id, &it.start, &it.state.to_string(), Some(end))
        })
        .collect();
}

#[test]
fn the_last_state_of_every_task_arrives_however_long_it_ran() {
    for seed in 0..300 {
        let mut dice = Dice::new(seed);
        let mut site = world(&mut dice);
        let mut tasks: Vec<Task> = Vec::new();
        for _ in 0..25 {
            if dice.sometimes(2) {
                let start = site.now() - SignedDuration::from_mins(dice.below(50) as i64);
                tasks.push(Task {
                    id: format!("{}", tasks.len()),
                    start: start.to_string(),
                    state: 0,
                    is_running: !dice.sometimes(4),
                });
            }
            for it in tasks.iter_mut().filter(|it| it.is_running) {
                it.state += usize::from(dice.sometimes(3));
                if dice.sometimes(9) {
                    it.state += 1;
                    it.is_running = false;
                }
            }
            show(&mut site, &tasks);
            if dice.sometimes(3) {
                site.new_process();
            }
            let faults =
                [PageFault::LinkExpired, PageFault::Fatal, PageFault::OutOfTime, PageFault::Reversed];
            let pages = (0..8).map(|_| dice.sometimes(6).then(|| faults[dice.below(faults.len())])).collect();
            let breaks = (0..2).map(|_| dice.sometimes(8).then(|| dice.below(4))).collect();
            let steps = if dice.sometimes(5) { dice.below(60) } else { 1_000_000 };
            if site.visit_until(Visit { pages, breaks, ..Visit::forced() }, steps).is_none() {
                site.new_process();
            }
            site.pass(300 + dice.below(3_000) as i64);
        }
        let mut ticks = 0;
        while site.tick().status() != Status::UpToDate || ticks < 2 {
            site.pass(1_000);
            ticks += 1;
            assert!(ticks < 50, "seed {seed} never gets up to date");
        }
        let oldest = tasks.iter().filter(|it| it.is_running).map(|it| it.start.clone()).min();
        let kept = site.checkpoint().get("unfinished_from_in_utc").and_then(Value::as_str).map(str::to_owned);
        assert_eq!(kept, oldest, "seed {seed}");
        let mut last: BTreeMap<String, Value> = BTreeMap::new();
        for (_, message) in site.receiver.connections().iter().flat_map(Connection::records) {
            let record: Value = serde_json::from_str(message).unwrap();
            last.insert(record["id"].as_str().unwrap().to_owned(), record);
        }
        for it in &tasks {
            let record = last.get(&it.id).unwrap_or(&Value::Null);
            assert_eq!(record["state"], it.state.to_string(), "seed {seed}: task {} of {}", it.id, it.start);
            assert_eq!(record["end"].is_null(), it.is_running, "seed {seed}: task {}", it.id);
        }
    }
}
