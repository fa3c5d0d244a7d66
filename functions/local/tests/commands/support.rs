//! A world to collect from, the command that does it, and what arrived.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::process::{Output, Stdio};

use jiff::{SignedDuration, Timestamp};
use local::{FAMILIES, Reads, World};
use serde_json::Value;
use simulator::receiver::{Event, Receiver};
use tokio::process::Command;

/// The function that retries the feeds' failed content.
pub const RETRY: &str = "office365-uri-retry";

/// Records of one blob at the most.
const RECORDS_OF_A_BLOB: usize = 10;

/// Of so many records of the others, a collection of one record a day gets one.
const RECORDS_A_DAY: usize = 50;

/// A world with `count` records in each collection and feed, a second apart, the newest a minute old.
pub async fn world_with(folder: &Path, count: u64) -> World {
    let world = World::create(Some(folder), 1_000, FAMILIES).await.unwrap();
    for (_, reads) in &world.services {
        emit(&world, *reads, 0..count);
    }
    world
}

/// Emits the records of these numbers. A feed gets blobs of ten, which become available when a collection's records
/// happen.
pub fn emit(world: &World, reads: Reads, numbers: Range<u64>) {
    let numbers: Vec<_> = numbers.collect();
    match reads {
        Reads::Collection(endpoint) => {
            for number in numbers {
                let record = simulator::records::record(endpoint, number, appears(number));
                world.tenant.emit(endpoint, record).unwrap();
            }
        }
        // There is a page a record: few are enough.
        Reads::Days(endpoint) => {
            for number in numbers.into_iter().step_by(RECORDS_A_DAY) {
                let record = simulator::records::record(endpoint, number, appears(number));
                world.tenant.emit(endpoint, record).unwrap();
            }
        }
        Reads::Feed(feed) => {
            for packed in numbers.chunks(RECORDS_OF_A_BLOB) {
                let created = appears(packed[0]);
                let happened = created - SignedDuration::from_hours(2);
                let record = |number: &u64| simulator::records::office365(feed, *number, happened);
                world.tenant.emit_blob(feed, created, packed.iter().map(record).collect());
            }
        }
        Reads::List(list) => {
            for number in numbers {
                list.emit(&world.tenant, list.record(number, appears(number))).unwrap();
            }
        }
        Reads::Table(table) => {
            for number in numbers {
                let time = appears(number);
                world.tenant.emit_hunting(table, time, simulator::records::hunting_row(number, time));
            }
        }
        Reads::Queue => {}
    }
}

fn appears(number: u64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(i64::try_from(60 + number).unwrap())
}

/// The command with these arguments and the world's configuration.
pub fn collector(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
    command
        .args(arguments)
        .env("CONFIG_FILE", &world.configuration)
        .env("RUST_LOG", "info")
        .env_remove("NO_COLOR");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs the command to its end.
pub async fn play(world: &World, arguments: &[&str]) -> Output {
    collector(world, arguments).output().await.unwrap()
}

/// What `collector status --json` shows of a function.
pub async fn status_of(world: &World, function: &str) -> Value {
    let shown = play(world, &["status", "--json"]).await;
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let services: Vec<Value> = serde_json::from_slice(&shown.stdout).unwrap();
    services.into_iter().find(|one| one["service"] == function).unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Replaces some text of the configuration, which must hold it.
pub fn change_config(world: &World, from: &str, to: &str) {
    let before = std::fs::read_to_string(&world.configuration).unwrap();
    assert!(before.contains(from), "{from} is not in the configuration");
    std::fs::write(&world.configuration, before.replace(from, to)).unwrap();
}

/// The record inside a delivered or printed message.
pub fn record_of(message: &str) -> String {
    let (record, _) = message.rsplit_once(",\"@devo_environment\":").unwrap();
    format!("{record}}}")
}

/// The records printed as lines of `{"tag": …, "message": {…}}`, and how often each was.
pub fn printed_records(lines: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in lines.lines() {
        let (tag, message) = line.split_once("\",\"message\":").unwrap();
        assert!(
            ["cloud.", "casb."].iter().any(|tables| tag.starts_with(&format!("{{\"tag\":\"{tables}"))),
            "{line}"
        );
        *counts.entry(record_of(message)).or_default() += 1;
    }
    counts
}

/// All distinct records of a collection or feed, each with this count.
pub fn each_record(world: &World, reads: Reads, count: usize) -> BTreeMap<String, usize> {
    world.emitted(reads).iter().map(|record| (text(record), count)).collect()
}

fn records_that_arrived(receiver: &Receiver) -> impl Iterator<Item = Event> {
    receiver.events().into_iter().filter(|event| !event.tag.starts_with("devo.collector"))
}

/// Every record of every collection and feed arrived once; a feed's under its own name or that of the retry service.
pub fn assert_each_arrived_once(world: &World) {
    assert_each_arrived_once_in(world, |_| true);
}

/// As [`assert_each_arrived_once`], for some of them.
pub fn assert_each_arrived_once_in(world: &World, is_meant: impl Fn(Reads) -> bool) {
    for (service, reads) in world.services.iter().filter(|(_, reads)| *reads != Reads::Queue) {
        if !is_meant(*reads) {
            continue;
        }
        let mut counts = each_record(world, *reads, 0);
        assert!(!counts.is_empty());
        for event in records_that_arrived(&world.receiver) {
            match counts.get_mut(&record_of(&text(&event.message))) {
                Some(count) if event.host == service.function || event.host == RETRY => *count += 1,
                _ => assert!(event.host != service.function, "an arrival that nobody emitted"),
            }
        }
        let wrong: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
        assert!(wrong.is_empty(), "{}: {wrong:?}", service.function);
    }
    assert!(world.receiver.violations().is_empty());
    assert!(world.tenant.violations().is_empty(), "{:?}", world.tenant.violations());
}

/// Waits until as many records arrived as were emitted.
pub async fn wait_for_all_arrivals(world: &World) {
    wait_for_arrivals(world, |_| true).await;
}

/// As [`wait_for_all_arrivals`], where only some of them are collected.
pub async fn wait_for_arrivals(world: &World, is_meant: impl Fn(Reads) -> bool) {
    let meant = world.services.iter().filter(|(_, reads)| is_meant(*reads));
    let expected: usize = meant.map(|(_, reads)| world.emitted(*reads).len()).sum();
    world.receiver.wait_until(|receiver| records_that_arrived(receiver).count() >= expected).await;
}
