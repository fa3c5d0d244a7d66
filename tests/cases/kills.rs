//! The artefact is killed at any byte and any request, again and again, and goes on.
//!
//! What must hold at the end: every record that was emitted arrived, those that came between the kills and late ones
//! included; and a record arrived again only where it may: its earlier copies went over the last connection of a process
//! that was killed, because the batch in flight is all that a crash repeats.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::tenant::{PageSize, TenantConfig};

use crate::world::chance::Chance;
use crate::world::parties::{Arrival, receiver};
use crate::world::process::{Ended, Process};
use crate::world::wire::Direction;
use crate::world::{AMPLE, World, ago, contract, now, services};

const WORLDS: u64 = 12;
const KILLS_EACH: usize = 9;
const KILLS: usize = 100;
/// Short, because a dead process's lease ends three seconds after its deadline.
const DEADLINE: Duration = Duration::from_millis(3000);
/// Hours that the records lie in. A commit holds the record hashes of at most 90 hours: two batches at least.
const HOURS: u64 = 118;
/// Attempts to kill one process before the world is given up.
const ATTEMPTS: usize = 8;

/// Where a process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    RequestToMicrosoft,
    ByteToDevo,
    ByteFromDevo,
    ByteToDynamoDb,
    ByteFromDynamoDb,
}

const PLACES: [Place; 5] = [
    Place::RequestToMicrosoft,
    Place::ByteToDevo,
    Place::ByteFromDevo,
    Place::ByteToDynamoDb,
    Place::ByteFromDynamoDb,
];

/// What one undisturbed invocation needs of each: the places to choose from.
type Extent = BTreeMap<Place, u64>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_anywhere_loses_nothing_and_repeats_at_most_the_batch_in_flight() {
    let chance = Chance::seeded();
    let extent = measure().await;
    let plays = (0..WORLDS).map(|number| play(number, chance.fork(number), &extent));
    let mut by_place: BTreeMap<Place, usize> = BTreeMap::new();
    let mut repeated = 0;
    for (places, repeats) in join_all(plays).await {
        places.into_iter().for_each(|place| *by_place.entry(place).or_default() += 1);
        repeated += repeats;
    }
    let kills: usize = by_place.values().sum();
    println!("{kills} kills of {extent:?}: {by_place:?}; {repeated} records arrived more than once");
    assert!(kills >= KILLS && by_place.len() == PLACES.len(), "{by_place:?}");
}

/// A world whose service reads all of its records again in every cycle, so that late ones are found wherever they lie.
async fn world(number: u64) -> World {
    let page_size = PageSize { default: 40, maximum: 40 };
    let all: Vec<_> = services().collect();
    let service = all[usize::try_from(number).unwrap() % all.len()];
    let world = World::with(service, TenantConfig { page_size, ..TenantConfig::default() }).await;
    world.configure(&json!({
        "request_period_in_seconds": 60,
        "start_time_in_utc": ago(SignedDuration::from_hours(HOURS.cast_signed() + 3)).to_string(),
        "override_lookback_in_seconds": 6 * 86_400,
    }));
    world
}

/// Emits a record into each of the hours, at a minute that differs from time to time.
fn emit(world: &World, emitted: &mut Vec<String>, chance: &mut Chance) {
    let this_hour = now().as_second() / 3600 * 3600;
    for hour in 1..=HOURS {
        let second = this_hour - (hour * 3600).cast_signed() + chance.below(3600).cast_signed();
        let time = Timestamp::from_second(second).unwrap();
        emitted.push(world.emit(emitted.len() as u64, time));
    }
}

/// Plays one invocation without a fault.
async fn measure() -> Extent {
    let world = world(0).await;
    emit(&world, &mut Vec::new(), &mut Chance::from(1));
    let answer = world.tick().await;
    assert_eq!(answer["delivered"], HOURS, "{answer}");
    let (devo, dynamodb) = (&world.to_devo, &world.to_dynamodb);
    assert!(devo.connections() >= 2, "the batch in flight is not all there is: {answer}");
    let extent = Extent::from([
        (Place::RequestToMicrosoft, world.tenant.requests().len() as u64),
        (Place::ByteToDevo, devo.bytes(Direction::Towards)),
        (Place::ByteFromDevo, devo.bytes(Direction::From)),
        (Place::ByteToDynamoDb, dynamodb.bytes(Direction::Towards)),
        (Place::ByteFromDynamoDb, dynamodb.bytes(Direction::From)),
    ]);
    world.close().await;
    extent
}

/// The life of one world; gives where its processes were killed and how many records arrived again.
async fn play(number: u64, mut chance: Chance, extent: &Extent) -> (Vec<Place>, usize) {
    let world = world(number).await;
    let mut emitted = Vec::new();
    let mut killed = Vec::new();
    let mut pulling_ids = BTreeSet::new();
    emit(&world, &mut emitted, &mut chance);
    for round in 0..KILLS_EACH {
        let place = PLACES[(usize::try_from(number).unwrap() + round) % PLACES.len()];
        kill_once(&world, place, extent[&place], &mut chance, &mut emitted, &mut pulling_ids).await;
        killed.push(place);
        if round == 0 {
            the_lease_of_the_dead_is_respected(&world).await;
        }
        emit(&world, &mut emitted, &mut chance);
    }
    finish(&world, &mut pulling_ids).await;
    let repeated = judge(&world, &emitted, &pulling_ids);
    let booked = ledger(&world).await;
    assert_eq!(booked, emitted.len() as u64, "{}: the ledger counts what was committed", world.id);
    world.close().await;
    (killed, repeated)
}

/// Invokes processes until one is killed at such a place.
async fn kill_once(
    world: &World,
    place: Place,
    extent: u64,
    chance: &mut Chance,
    emitted: &mut Vec<String>,
    pulling_ids: &mut BTreeSet<String>,
) {
    let mut farthest = extent;
    for _ in 0..ATTEMPTS {
        lease_is_over(world).await;
        let process = world.process().await;
        let at = 1 + chance.below(farthest);
        arm(world, &process, place, at);
        let ended = world.invoke(&process, &json!({"force": true}), DEADLINE).await;
        disarm(world);
        match ended {
            Ended::Died => {
                println!("{}: killed at {place:?} {at}", world.id);
                return;
            }
            Ended::Answer(answer) => {
                pulling_ids.extend(answer["devo_pulling_id"].as_str().map(str::to_owned));
            }
            Ended::Error(error) => panic!("{}: {place:?} {at}: {error:?}\n{}", world.id, process.output()),
        }
        // It was over before that byte: the next one has as much to do, and is struck earlier.
        farthest = farthest.div_ceil(2);
        emit(world, emitted, chance);
    }
    panic!("{}: no process could be killed at {place:?} of {extent}", world.id);
}

fn arm(world: &World, process: &Process, place: Place, at: u64) {
    let killer = process.killer();
    let strike = move || killer.kill();
    match place {
        Place::RequestToMicrosoft => {
            let last = world.tenant.requests().len() as u64 + at;
            world.tenant.on_request(move |seen| {
                if seen.number == last {
                    strike();
                }
            });
        }
        Place::ByteToDevo => world.to_devo.strike(Direction::Towards, at, strike),
        Place::ByteFromDevo => world.to_devo.strike(Direction::From, at, strike),
        Place::ByteToDynamoDb => world.to_dynamodb.strike(Direction::Towards, at, strike),
        Place::ByteFromDynamoDb => world.to_dynamodb.strike(Direction::From, at, strike),
    }
}

fn disarm(world: &World) {
    world.tenant.on_request(|_| {});
    world.to_devo.disarm();
    world.to_dynamodb.disarm();
}

/// When the lease in the table ends, if there is one.
async fn lease_end(world: &World) -> Option<Timestamp> {
    let end = world.table.checkpoint().await?["lease_expires_at"].as_i64()?;
    Some(Timestamp::from_millisecond(end).unwrap())
}

async fn lease_is_over(world: &World) {
    while let Some(end) = lease_end(world).await {
        let left = end.duration_since(Timestamp::now());
        match Duration::try_from(left) {
            Ok(left) => tokio::time::sleep(left + Duration::from_millis(1)).await,
            Err(_) => return,
        }
    }
}

async fn the_lease_of_the_dead_is_respected(world: &World) {
    if lease_end(world).await.is_some_and(|end| end > Timestamp::now() + SignedDuration::from_secs(2)) {
        let answer = world.force().await;
        assert_eq!((&answer["status"], &answer["requests"]), (&json!("locked"), &json!(0)), "{answer}");
    }
}

/// Undisturbed cycles until one of them has nothing left to deliver: a walk that goes on where the dead one stood leaves
/// the late records behind it to the next cycle.
async fn finish(world: &World, pulling_ids: &mut BTreeSet<String>) {
    for _ in 0..5 {
        lease_is_over(world).await;
        let answer = world.force().await;
        pulling_ids.extend(answer["devo_pulling_id"].as_str().map(str::to_owned));
        if answer["status"] == "up_to_date" && answer["delivered"] == 0 {
            return;
        }
    }
    panic!("{} does not come to its end", world.id);
}

/// Everything arrived, and what arrived again did so in a batch that was in flight when its process was killed. Gives
/// how many records did.
fn judge(world: &World, emitted: &[String], answered: &BTreeSet<String>) -> usize {
    let arrivals = world.records();
    let pulling_id = |arrival: &Arrival| arrival.json()["@devo_pulling_id"].as_str().unwrap().to_owned();
    let mut last_connection: BTreeMap<String, u64> = BTreeMap::new();
    let mut copies: BTreeMap<String, Vec<&Arrival>> = BTreeMap::new();
    for arrival in &arrivals {
        let last = last_connection.entry(pulling_id(arrival)).or_default();
        *last = (*last).max(arrival.connection);
        copies.entry(contract::record_of(&arrival.message)).or_default().push(arrival);
        assert_sound(world, arrival, !answered.contains(&pulling_id(arrival)));
    }
    for record in emitted {
        assert!(copies.contains_key(record), "{}: lost {record}", world.id);
    }
    assert_eq!(copies.len(), emitted.len(), "{}: something arrived that was never emitted", world.id);
    for (record, copies) in &mut copies {
        copies.sort_by_key(|copy| copy.connection);
        for earlier in &copies[..copies.len() - 1] {
            let invocation = pulling_id(earlier);
            assert!(
                !answered.contains(&invocation) && last_connection[&invocation] == earlier.connection,
                "{}: repeated without need: {record}",
                world.id
            );
        }
    }
    copies.values().filter(|copies| copies.len() > 1).count()
}

/// A killed process may leave a line or a member unfinished, and no process does anything else wrong.
fn assert_sound(world: &World, arrival: &Arrival, was_killed: bool) {
    let Some((_, violations)) = receiver().end_of(arrival.connection) else { return };
    let is_forgivable = |violation: &&String| was_killed && violation.starts_with("Incomplete");
    let others: Vec<&String> = violations.iter().filter(|violation| !is_forgivable(violation)).collect();
    assert!(others.is_empty(), "{}: {others:?}", world.id);
}

/// Records delivered by the ledger's account.
async fn ledger(world: &World) -> u64 {
    let rows = world.table.rows_from("ledger#").await;
    let checkpoint = world.table.checkpoint().await.unwrap();
    let carried = checkpoint["ledger_carry"].as_object().cloned().unwrap_or_default();
    let counts = rows.iter().chain(carried.values());
    counts.filter_map(|row| row["delivered"].as_u64()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_asked_to_end_finishes_its_call_and_nothing_is_lost_or_repeated() {
    join_all((0..6_u64).map(|number| async move {
        let world = world(number).await;
        let mut emitted = Vec::new();
        emit(&world, &mut emitted, &mut Chance::from(number));
        let process = std::sync::Arc::new(world.process().await);
        let asked = std::sync::Arc::clone(&process);
        world.tenant.on_request(move |seen| {
            // Login, first page, last page; beyond, the process is asked while it waits for work.
            if seen.number == number / 2 + 1 {
                asked.ask_to_end();
            }
        });
        let answer: Value = world.invoke(&process, &json!({}), AMPLE).await.answer();
        assert_eq!(
            (&answer["status"], &answer["delivered"]),
            (&json!("up_to_date"), &json!(HOURS)),
            "{answer}"
        );
        process.ask_to_end();
        assert!(process.ended().await.success(), "{}", process.output());
        world.tenant.on_request(|_| {});
        assert_eq!(world.force().await["delivered"], 0);
        assert_eq!(judge(&world, &emitted, &BTreeSet::new()), 0);
        world.close().await;
    }))
    .await;
}
