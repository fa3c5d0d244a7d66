//! A feed's process is killed again and again in the middle of a window of 2,000 blobs, and goes on.
//!
//! The lease of a dead process is ended by hand, as time would: that it is respected until then is tested with `kills`.
//! Beside what must hold of every service (`world::crashes`), a blob is fetched again only because it was on its way
//! when its process died, or its records were in the batch that was not committed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use simulator::records;
use simulator::tenant::{Fault, FeedConfig, FeedError, Rule, TenantConfig};

use crate::world::chance::Chance;
use crate::world::crashes::{Armed, Extent, PLACES, Place, arm, extent_of, judge, ledger, pulling_id};
use crate::world::feeds::{Content, SIDE_BY_SIDE, URI_RETRY, records_of};
use crate::world::process::Ended;
use crate::world::{AMPLE, World, contract, feeds, now};

const WORLDS: u64 = 10;
const AT_A_TIME: usize = 4;
const KILLS_EACH: usize = 20;
const BLOBS: u64 = 2_000;
const RECORDS_EACH: u64 = 3;
/// Blobs whose records happened in the same hour. A commit holds the hashes of at most 80 hours, so a batch is some
/// hundred blobs and a window many batches.
const BLOBS_OF_AN_HOUR: u64 = 2;
const HOURS: u64 = 140;
const LEAST_BYTES: usize = 300;
/// A kill comes within this share of what the whole window needs.
const SHARE: u64 = 8;

/// Places a kill is struck at, the plain instant among them.
fn places() -> Vec<Place> {
    PLACES.into_iter().chain([Place::Instant]).collect()
}

async fn world(number: u64) -> World {
    let all: Vec<_> = feeds().collect();
    let feed = FeedConfig { blob_latency: Duration::from_millis(3), ..FeedConfig::default() };
    let service = all[usize::try_from(number).unwrap() % all.len()];
    let world = World::with(service, TenantConfig { feed, ..TenantConfig::default() }).await;
    world.configure(&json!({
        "request_period_in_seconds": 60,
        "start_time_in_utc": (now() - SignedDuration::from_hours(23)).to_string(),
    }));
    world
}

/// Emits a window of blobs, whose records happened on many days.
fn emit(world: &World) -> Vec<Content> {
    let begun = now() - SignedDuration::from_hours(21);
    let created = |number: u64| begun + SignedDuration::from_secs(36 * number.cast_signed());
    (0..BLOBS).map(|number| emit_one(world, created(number), number)).collect()
}

/// A few hundred more blobs, the newest of all.
fn emit_more(world: &World, known: u64) -> Vec<Content> {
    let created = now() - SignedDuration::from_secs(1);
    (known..known + BLOBS / 8).map(|number| emit_one(world, created, number)).collect()
}

fn emit_one(world: &World, created: Timestamp, number: u64) -> Content {
    let hours = 1 + number / BLOBS_OF_AN_HOUR % HOURS;
    let time = now() - SignedDuration::from_hours(hours.cast_signed());
    let seeds = number * RECORDS_EACH..(number + 1) * RECORDS_EACH;
    let records: Vec<String> =
        seeds.map(|seed| records::sized_audit_record(seed, time, "Exchange", LEAST_BYTES)).collect();
    Content { id: world.tenant.emit_blob(world.content_type(), created, records.clone()), records }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_killed_200_times_loses_nothing_and_repeats_and_fetches_again_only_what_was_under_way() {
    let chance = Chance::seeded();
    let extent = &measure().await;
    let plays = (0..WORLDS).map(|number| play(number, chance.fork(number), extent));
    let lives: Vec<Life> = stream::iter(plays).buffer_unordered(AT_A_TIME).collect().await;
    let mut by_place: BTreeMap<Place, usize> = BTreeMap::new();
    for place in lives.iter().flat_map(|life| &life.places) {
        *by_place.entry(*place).or_default() += 1;
    }
    let kills: usize = by_place.values().sum();
    let repeated: usize = lives.iter().map(|life| life.repeated).sum();
    let fetched_again: usize = lives.iter().map(|life| life.fetched_again).sum();
    println!(
        "{kills} kills of {extent:?}: {by_place:?}; {repeated} records arrived again, {fetched_again} blobs were fetched again"
    );
    assert!(kills >= KILLS_EACH * usize::try_from(WORLDS).unwrap() && by_place.len() == places().len());
}

/// Plays one invocation without a fault.
async fn measure() -> Extent {
    let world = world(0).await;
    let contents = emit(&world);
    let begun = Instant::now();
    let answer = world.tick().await;
    let extent = extent_of(&world, begun.elapsed());
    assert_eq!(answer["delivered"], records_of(&contents).len(), "{answer}");
    assert!(world.to_devo.connections() >= 10, "the window is many batches: {}", world.to_devo.connections());
    world.close().await;
    extent
}

/// What became of one world.
struct Life {
    places: Vec<Place>,
    repeated: usize,
    fetched_again: usize,
}

async fn play(number: u64, mut chance: Chance, extent: &Extent) -> Life {
    let world = world(number).await;
    let mut contents = emit(&world);
    let mut killed = Vec::new();
    let mut answered = BTreeSet::new();
    // How many requests there had been when each process began.
    let mut beginnings = Vec::new();
    let all = places();
    while killed.len() < KILLS_EACH {
        let place = all[(usize::try_from(number).unwrap() + killed.len()) % all.len()];
        let process = world.process().await;
        beginnings.push(world.tenant.requests().len());
        let at = 1 + chance.below(extent[&place] / SHARE);
        let armed: Armed<'_> = arm(&world, &process, place, at);
        let ended = world.invoke(&process, &json!({"force": true}), AMPLE).await;
        drop(armed);
        world.table.let_leases_end().await;
        match ended {
            Ended::Died => killed.push(place),
            // The window was read to its end: there is more to do for those that come.
            Ended::Answer(answer) => {
                answered.extend(answer["devo_pulling_id"].as_str().map(str::to_owned));
                assert!(
                    (contents.len() as u64) < 20 * BLOBS,
                    "{}: no process can be killed at {place:?}",
                    world.id
                );
                contents.extend(emit_more(&world, contents.len() as u64));
            }
            Ended::Error(error) => panic!("{}: {place:?} {at}: {error:?}\n{}", world.id, process.output()),
        }
    }
    beginnings.push(world.tenant.requests().len());
    let answer = world.force().await;
    assert_eq!(answer["status"], "up_to_date", "{answer}");
    answered.extend(answer["devo_pulling_id"].as_str().map(str::to_owned));
    let emitted = records_of(&contents);
    let repeated = judge(&world, &emitted, &answered);
    assert_eq!(
        ledger(&world).await,
        emitted.len() as u64,
        "{}: the ledger counts what was committed",
        world.id
    );
    let fetched_again = judge_fetches(&world, &beginnings, &contents);
    world.close().await;
    Life { places: killed, repeated, fetched_again }
}

/// No process fetches a blob twice, and each kill makes few of them be fetched again: those on their way, those read
/// ahead, and those of the batch that was not committed. Gives how many there were.
fn judge_fetches(world: &World, beginnings: &[usize], contents: &[Content]) -> usize {
    let largest_batch = blobs_of_largest_batch(world, contents);
    let mut processes: Vec<BTreeSet<String>> = vec![BTreeSet::new(); beginnings.len()];
    for seen in world.tenant.requests() {
        let Some(blob) = seen.blob else { continue };
        let begun =
            beginnings.partition_point(|beginning| *beginning < usize::try_from(seen.number).unwrap());
        let is_new = processes[begun - 1].insert(blob.content_id.to_string());
        assert!(is_new, "{}: one process fetched {} twice", world.id, blob.content_id);
    }
    let mut fetched_later: BTreeSet<String> = BTreeSet::new();
    let mut again = 0;
    for fetched in processes.iter().rev() {
        let repeated = fetched.intersection(&fetched_later).count();
        assert!(
            repeated <= largest_batch + 2 * SIDE_BY_SIDE,
            "{}: {repeated} blobs were fetched again after one kill; the largest batch has {largest_batch}",
            world.id
        );
        again += repeated;
        fetched_later.extend(fetched.iter().cloned());
    }
    again
}

/// How many blobs one connection carried records of, at most.
fn blobs_of_largest_batch(world: &World, contents: &[Content]) -> usize {
    let pairs = contents
        .iter()
        .flat_map(|content| content.records.iter().map(move |one| (one.as_str(), &content.id)));
    let home: BTreeMap<&str, &String> = pairs.collect();
    let mut batches: BTreeMap<(String, u64), BTreeSet<&String>> = BTreeMap::new();
    for arrival in world.records() {
        let record = contract::record_of(&arrival.message);
        let batch = batches.entry((pulling_id(&arrival), arrival.connection)).or_default();
        batch.insert(home[record.as_str()]);
    }
    batches.values().map(BTreeSet::len).max().unwrap()
}

const WAITING: u64 = 150;
const KILLS_OF_RETRIES: usize = 12;

/// A world whose feed has content that waits for a retry.
async fn world_with_queue() -> (World, Vec<Content>) {
    let world = world(1).await;
    let contents: Vec<Content> = (0..WAITING)
        .map(|number| emit_one(&world, now() - SignedDuration::from_secs(10 + number.cast_signed()), number))
        .collect();
    let unknown = Fault::Feed(FeedError::ContentUnknown);
    world.tenant.script(vec![Rule::on_blobs(world.content_type(), unknown)]);
    let answer = world.tick().await;
    assert_eq!(answer["failed_uris"], WAITING, "{answer}");
    world.tenant.script(Vec::new());
    (world, contents)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_service_killed_again_and_again_loses_nothing_and_repeats_only_what_was_under_way() {
    let mut chance = Chance::seeded();
    let (measured, _) = world_with_queue().await;
    let before = extent_of(&measured, Duration::ZERO);
    let begun = Instant::now();
    measured.retry().await;
    let after = extent_of(&measured, begun.elapsed());
    measured.close().await;

    let (mut world, mut contents) = world_with_queue().await;
    let (mut kills, mut repeated) = (0, 0);
    let mut answered = BTreeSet::new();
    let all = places();
    while kills < KILLS_OF_RETRIES {
        let place = all[kills % all.len()];
        let process = world.process_of(URI_RETRY).await;
        let armed = arm(&world, &process, place, 1 + chance.below((after[&place] - before[&place]) / 3));
        let ended = world.invoke(&process, &json!({"force": true}), AMPLE).await;
        drop(armed);
        world.table.let_leases_end().await;
        match ended {
            Ended::Died => kills += 1,
            Ended::Answer(answer) => answered.extend(answer["devo_pulling_id"].as_str().map(str::to_owned)),
            Ended::Error(error) => panic!("{place:?}: {error:?}\n{}", process.output()),
        }
        if world.queue().await.is_empty() {
            repeated += finish_retries(world, &contents, &answered).await;
            (world, contents) = world_with_queue().await;
            answered.clear();
        }
    }
    repeated += finish_retries(world, &contents, &answered).await;
    println!("the retry service was killed {kills} times; {repeated} records arrived again");
}

/// The last retry, undisturbed, and what came of them all.
async fn finish_retries(world: World, contents: &[Content], answered: &BTreeSet<String>) -> usize {
    let mut answered = answered.clone();
    for answer in [world.retry().await, world.force().await] {
        assert_eq!(answer["status"], "up_to_date", "{answer}");
        answered.extend(answer["devo_pulling_id"].as_str().map(str::to_owned));
    }
    assert!(world.queue().await.is_empty());
    let emitted = records_of(contents);
    let repeated = judge(&world, &emitted, &answered);
    assert_eq!(ledger(&world).await, emitted.len() as u64);
    world.close().await;
    repeated
}
