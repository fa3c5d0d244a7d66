//! Alerts that change in a simulated world: every version that a pull could see is delivered, and none twice but with a
//! batch that was broken.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must stop")]

use collector::report::Status;
use jiff::SignedDuration;
use serde_json::Value;
use testing::dice::Dice;
use testing::service::alert_settings;
use testing::site::{Site, Visit, alert};
use testing::source::{Emitted, PageFault};
use testing::store::WriteFault;

/// Alerts of one world.
const ALERTS: usize = 7;

struct World {
    site: Site,
    dice: Dice,
    /// The state of each alert at this moment; none before it was raised.
    states: Vec<Option<u64>>,
    /// For each alert the states that a pull without faults would have seen one after the other, repeats left out.
    visible: Vec<Vec<u64>>,
    /// Pulls that a fault or a crash broke.
    broken: usize,
    is_always_new: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut site = Site::new("2026-11-20T12:00:00Z");
        site.settings = alert_settings();
        site.page_size = 1 + dice.below(5);
        if dice.sometimes(2) {
            site.settings.window_max = SignedDuration::from_secs(600 + dice.below(7200) as i64);
        }
        Self {
            site,
            dice,
            states: vec![None; ALERTS],
            visible: vec![Vec::new(); ALERTS],
            broken: 0,
            is_always_new: seed.is_multiple_of(2),
        }
    }

    /// Some minutes, in which some alerts are changed and of others the time of change moves.
    fn advance(&mut self) {
        for _ in 0..1 + self.dice.below(6) {
            self.site.pass(1 + self.dice.below(300) as i64);
            let id = self.dice.below(ALERTS);
            let state = match self.states[id] {
                Some(state) if self.dice.sometimes(2) => state,
                _ => self.dice.below(3) as u64,
            };
            self.states[id] = Some(state);
            let changed = alert(&format!("{id}"), self.site.now(), &format!("{state}"));
            let name = format!("\"id\":\"{id}\"");
            let is_other = |known: &Emitted| !String::from_utf8_lossy(&known.text).contains(&name);
            self.site.records.retain(is_other);
            self.site.records.push(changed);
        }
        self.site.pass(64);
    }

    /// A pull of now without faults would see this.
    fn note_visible(&mut self) {
        for (seen, state) in self.visible.iter_mut().zip(&self.states) {
            if let Some(state) = state
                && seen.last() != Some(state)
            {
                seen.push(*state);
            }
        }
    }

    fn faults(&mut self) -> Visit {
        let pages = [
            PageFault::LinkExpired,
            PageFault::TooHeavy,
            PageFault::Throttled(30),
            PageFault::Fatal,
            PageFault::EmptyPage,
            PageFault::Doubled,
            PageFault::Reversed,
            PageFault::Missing("a part is missing"),
            PageFault::OutOfTime,
        ];
        let writes = [WriteFault::HappensSilently, WriteFault::VanishesSilently, WriteFault::Refused];
        let dice = &mut self.dice;
        Visit {
            pages: (0..6).map(|_| dice.sometimes(4).then(|| pages[dice.below(pages.len())])).collect(),
            breaks: (0..3).map(|_| dice.sometimes(5).then(|| dice.below(9))).collect(),
            writes: (0..4).map(|_| dice.sometimes(5).then(|| writes[dice.below(3)])).collect(),
            ..Visit::forced()
        }
    }

    fn new_process_sometimes(&mut self) {
        if self.is_always_new {
            self.site.new_process();
        }
    }

    fn pull_with_faults(&mut self) {
        let visit = self.faults();
        self.new_process_sometimes();
        let seen = self.site.visit(visit);
        self.broken += usize::from(seen.outcome.failure.is_some());
        self.site.pass(64);
    }

    fn crash_at(&mut self, steps: usize) -> bool {
        self.new_process_sometimes();
        let is_dead = self.site.visit_until(Visit::forced(), steps).is_none();
        self.broken += usize::from(is_dead);
        self.site.pass(64);
        is_dead
    }

    /// Without faults until the service is up to date.
    fn catch_up(&mut self) {
        self.note_visible();
        for _ in 0..100 {
            self.new_process_sometimes();
            if self.site.tick().status() == Status::UpToDate {
                return;
            }
            self.site.pass(64);
        }
        panic!("it never gets up to date");
    }

    /// What arrived of each alert, batch by batch in order.
    fn arrived(&self) -> Vec<Vec<u64>> {
        let mut arrived = vec![Vec::new(); ALERTS];
        for connection in self.site.receiver.connections() {
            for (_, message) in connection.records() {
                let record: Value = serde_json::from_str(message).unwrap();
                let text = |name: &str| record[name].as_str().unwrap();
                arrived[text("id").parse::<usize>().unwrap()].push(text("state").parse().unwrap());
            }
        }
        arrived
    }

    fn check(&self, seed: u64) {
        let arrived = self.arrived();
        let mut repeats = 0;
        for (id, (came, visible)) in arrived.iter().zip(&self.visible).enumerate() {
            // What was visible is a subsequence of what came: pulls in between may have seen more.
            let mut rest = came.iter();
            let is_whole = visible.iter().all(|state| rest.any(|other| other == state));
            assert!(is_whole, "seed {seed}, alert {id}: {visible:?} of {came:?}");
            repeats += came.windows(2).filter(|pair| pair[0] == pair[1]).count();
        }
        assert!(
            repeats <= self.broken * ALERTS,
            "seed {seed}: {repeats} repeats by {} broken pulls",
            self.broken
        );
        if self.broken == 0 {
            assert_eq!(arrived, self.visible, "seed {seed}");
        }
    }
}

#[test]
fn a_quiet_run_delivers_exactly_the_versions_that_were_visible() {
    for seed in 0..150 {
        let mut world = World::new(seed);
        for _ in 0..40 {
            world.advance();
            world.catch_up();
        }
        assert!(world.site.rows_of("versions#").len() <= 17);
        world.check(seed);
    }
}

#[test]
fn faults_lose_no_version_that_a_later_pull_saw_and_repeat_only_what_they_broke() {
    for seed in 0..150 {
        let mut world = World::new(seed);
        for _ in 0..12 {
            world.advance();
            world.pull_with_faults();
            world.pull_with_faults();
            world.catch_up();
        }
        world.check(seed);
    }
}

#[test]
fn a_crash_at_any_step_loses_no_version() {
    let mut points = 0;
    for seed in 0..60 {
        for crash_at in 0.. {
            let mut world = World::new(seed);
            world.advance();
            world.catch_up();
            world.advance();
            if !world.crash_at(crash_at) {
                break;
            }
            points += 1;
            for _ in 0..3 {
                world.catch_up();
                world.advance();
            }
            world.catch_up();
            world.check(seed);
        }
    }
    assert!(points > 1_000, "{points} points");
}
