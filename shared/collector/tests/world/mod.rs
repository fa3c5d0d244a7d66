//! A simulated world: an API with late, equal, changed and repeated records, Devo, a state store, and a clock.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use collector::run::{Outcome, Ports, Warm, invoke};
use collector::settings::{RequestRate, Settings};
use jiff::{SignedDuration, Timestamp};
use testing::dice::Dice;
use testing::drive::finish;
use testing::service::{settings, tick};
use testing::sink::{Connection, Receiver, RecordingSink};
use testing::source::{Emitted, PageFault, ScriptedSource};
use testing::store::{MemoryStore, WriteFault};

use collector::report::Status;

/// Length of an invocation, seconds.
const PATIENCE: i64 = 60;

/// What goes wrong in one invocation.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    pages: Vec<Option<PageFault>>,
    breaks: Vec<Option<usize>>,
    writes: Vec<Option<WriteFault>>,
}

impl Faults {
    /// A few faults, chosen by the seed.
    pub fn from_seed(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let page_faults = [
            PageFault::LinkExpired,
            PageFault::TooHeavy,
            PageFault::Throttled(90),
            PageFault::Fatal,
            PageFault::EmptyPage,
            PageFault::Doubled,
            PageFault::Reversed,
        ];
        let write_faults = [WriteFault::HappensSilently, WriteFault::VanishesSilently, WriteFault::Refused];
        Self {
            pages: (0..6).map(|_| dice.sometimes(3).then(|| page_faults[dice.below(7)])).collect(),
            breaks: (0..3).map(|_| dice.sometimes(4).then(|| dice.below(12))).collect(),
            writes: (0..4).map(|_| dice.sometimes(4).then(|| write_faults[dice.below(3)])).collect(),
        }
    }
}

pub struct World {
    pub store: MemoryStore,
    receiver: Receiver,
    records: Vec<Emitted>,
    /// Seconds since 1970.
    now: AtomicI64,
    invocations: AtomicU64,
    settings: Settings,
    page_size: usize,
    dice: Dice,
    /// What the process keeps from one tick to the next; one that crashes takes it along.
    warm: Mutex<Warm>,
    /// Whether each tick is a process of its own.
    is_always_new: bool,
    /// When every record is visible and old, seconds since 1970.
    quiet_from: i64,
}

impl World {
    /// A world of about `count` records over four hours, with every nuisance the seed brings.
    pub fn new(seed: u64, count: usize) -> Self {
        let mut dice = Dice::new(seed);
        let start = at(1_800_000_000);
        let mut records: Vec<Emitted> = Vec::new();
        for number in 0..count {
            let mut time = start + SignedDuration::from_secs(dice.below(4 * 3600) as i64);
            let mut text =
                format!("{{\"id\":\"{number}\",\"time\":\"{time}\",\"kind\":[\"red\"],\"n\":{number}}}");
            match (dice.below(8), records.last().cloned()) {
                // Equal times, and the same id with other content.
                (0, Some(last)) => time = last.time,
                (1, Some(last)) if !last.text.windows(7).any(|part| part == b"changed") => {
                    time = last.time;
                    text = String::from_utf8_lossy(&last.text).replace("\"n\":", "\"changed\":true,\"n\":");
                }
                // The same content once more, members in another order.
                (2, Some(last)) => {
                    time = last.time;
                    text = reordered(&last.text);
                }
                // No event time that anybody can read.
                (3, _) => text = text.replace("\"time\":", "\"when\":"),
                _ => {}
            }
            if !text.contains("\"when\"") && !text.contains("changed") && !text.ends_with(" }") {
                text =
                    format!("{{\"id\":\"{number}\",\"time\":\"{time}\",\"kind\":[\"red\"],\"n\":{number}}}");
            }
            let lateness = if dice.sometimes(3) { dice.below(3600) as i64 } else { 0 };
            records.push(Emitted {
                time,
                visible_from: time + SignedDuration::from_secs(lateness),
                text: Bytes::from(text),
            });
        }
        let mut settings = settings();
        settings.start_time = Some(start);
        if dice.sometimes(2) {
            settings.window_max = SignedDuration::from_secs(600 + dice.below(7200) as i64);
        }
        Self {
            store: MemoryStore::default(),
            receiver: Receiver::default(),
            records,
            now: AtomicI64::new(start.as_second()),
            invocations: AtomicU64::new(seed << 20),
            settings,
            page_size: 1 + dice.below(9),
            dice,
            warm: Mutex::default(),
            is_always_new: seed.is_multiple_of(2),
            quiet_from: 1_800_000_000 + 6 * 3600,
        }
    }

    /// The same with late sweeps of a few requests a tick, and some records later than the look-back.
    #[allow(dead_code, reason = "each test binary uses its part of the world")]
    pub fn sweeping(mut self) -> Self {
        self.settings.late_sweep_period = SignedDuration::from_mins(15);
        self.settings.late_sweep_range = SignedDuration::from_hours(24);
        self.settings.rate = RequestRate { requests: 32, per: SignedDuration::from_secs(300) };
        for record in self.records.iter_mut().step_by(5) {
            record.visible_from += SignedDuration::from_hours(2);
        }
        self.quiet_from += 6 * 3600;
        self
    }

    /// A world of `count` records of one day, all there from the beginning.
    #[allow(dead_code, reason = "each test binary uses its part of the world")]
    pub fn bulk(count: usize) -> Self {
        let mut world = Self::new(1, 0);
        let start = at(1_800_000_000);
        world.records = (0..count)
            .map(|number| {
                let time = start + SignedDuration::from_millis((number * 86_000_000 / count) as i64);
                let text = format!("{{\"id\":\"{number}\",\"time\":\"{time}\"}}");
                Emitted { time, visible_from: start, text: Bytes::from(text) }
            })
            .collect();
        world.page_size = 1000;
        world.settings.window_max = SignedDuration::from_hours(24);
        world.now.store(start.as_second() + 86_400, Ordering::Relaxed);
        world
    }

    /// Time goes on by some minutes.
    pub fn advance(&mut self) {
        let seconds = 300 + self.dice.below(1500) as i64;
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    pub fn wait_for_the_lease(&mut self) {
        self.now.fetch_add(PATIENCE + 4, Ordering::Relaxed);
    }

    /// Everything that will ever be visible is, and was looked at twice.
    #[allow(dead_code, reason = "each test binary uses its part of the world")]
    pub fn settle(&mut self) {
        for _ in 0..2 {
            self.now.fetch_add(7200, Ordering::Relaxed);
            finish(self.invocation(Faults::default()));
        }
    }

    fn now(&self) -> Timestamp {
        at(self.now.load(Ordering::Relaxed))
    }

    /// One tick, of a fresh process or of the one that ended last.
    pub async fn invocation(&self, faults: Faults) -> Outcome {
        let now = self.now();
        let number = self.invocations.fetch_add(1, Ordering::Relaxed);
        let mut source = ScriptedSource::new(&self.records, self.page_size, now);
        source.faults = faults.pages.into();
        let mut sink = RecordingSink::new(&self.receiver);
        sink.breaks = faults.breaks.into();
        self.store.script(faults.writes);
        let before = self.complete_to();
        let ports = Ports {
            source: &mut source,
            sink: &mut sink,
            state: &self.store,
            clock: &move || now,
            progress: &|_| {},
        };
        let mut warm = std::mem::take(&mut *self.warm.lock().unwrap());
        let outcome = invoke(&tick(number, now, PATIENCE), &self.settings, ports, &mut warm).await;
        if !self.is_always_new {
            *self.warm.lock().unwrap() = warm;
        }
        let report = &outcome.report;
        assert_eq!(report.received, report.duplicates + report.delivered + report.failed, "{report:?}");
        assert!(self.complete_to() >= before, "the checkpoint never goes back");
        outcome
    }

    fn complete_to(&self) -> Option<Timestamp> {
        let rows = self.store.rows(&self.settings.partition());
        let checkpoint = rows.iter().find(|row| row.key == "checkpoint")?;
        checkpoint.fields.get("complete_to_in_utc")?.as_str()?.parse().ok()
    }

    /// Ticks without faults until every record is visible and old: six hours after the start, twice that with sweeps.
    pub fn run_to_the_end(&mut self) {
        loop {
            let outcome = finish(self.invocation(Faults::default()));
            assert_eq!(outcome.failure, None);
            let is_done = self.now.load(Ordering::Relaxed) > self.quiet_from
                && outcome.report.status == Status::UpToDate;
            if is_done {
                return;
            }
            self.advance();
        }
    }

    /// Everything arrived; a record came again only with a batch that was broken, at most `broken` batches were, and
    /// no committed batch repeats another.
    pub fn check(&self, broken: usize) {
        let connections = self.receiver.connections();
        let clean: Vec<&Connection> =
            connections.iter().filter(|connection| connection.ended_cleanly).collect();
        let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
        for connection in &connections {
            for (_, message) in connection.records() {
                *arrived.entry(content(message)).or_default() += 1;
            }
        }
        for record in &self.records {
            let text = String::from_utf8_lossy(&record.text);
            assert!(arrived.contains_key(&content(&text)), "lost: {record:?} {text}");
        }
        let repeats: usize = arrived.values().map(|count| count - 1).sum();
        let mut batches: Vec<usize> =
            connections.iter().map(|connection| connection.records().count()).collect();
        batches.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
        let allowed: usize = batches.iter().take(broken).sum();
        assert!(
            repeats <= allowed,
            "{repeats} repeats, at most {allowed} by {broken} broken batches of {}",
            clean.len()
        );
    }
}

fn content(text: &str) -> String {
    let mut members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap();
    members.retain(|name, _| !name.starts_with("@devo"));
    let sorted: BTreeMap<_, _> = members.into_iter().collect();
    serde_json::to_string(&sorted).unwrap()
}

fn reordered(text: &[u8]) -> String {
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(text).unwrap();
    let parts: Vec<String> =
        members.iter().rev().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
    format!("{{{} }}", parts.join(", "))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}
