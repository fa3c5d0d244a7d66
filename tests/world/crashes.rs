//! Crashes: where a process is killed, and what may and must have arrived after many of them.
//!
//! What must hold at the end: every record that was emitted arrived; and a record arrived again only where it may: its
//! earlier copies went over the last connection of a process that was killed, because the batch in flight is all that a
//! crash repeats.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::task::JoinHandle;

use super::chance::Chance;
use super::parties::{Arrival, receiver};
use super::process::{Ended, Process};
use super::wire::Direction;
use super::{World, contract};

/// The deadline of an invocation that may be killed. Short, because a dead process's lease ends three seconds after it.
pub const DEADLINE: Duration = Duration::from_millis(3000);
/// Attempts to kill one process before the world is given up.
const ATTEMPTS: usize = 8;

/// Where a process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// When a request comes in, counted from the process's first.
    RequestToMicrosoft,
    /// At a byte.
    ByteToDevo,
    /// At a byte.
    ByteFromDevo,
    /// At a byte.
    ByteToDynamoDb,
    /// At a byte.
    ByteFromDynamoDb,
    /// So many milliseconds after it was invoked.
    Instant,
}

/// The places that are counted and not timed.
pub const PLACES: [Place; 5] = [
    Place::RequestToMicrosoft,
    Place::ByteToDevo,
    Place::ByteFromDevo,
    Place::ByteToDynamoDb,
    Place::ByteFromDynamoDb,
];

/// What one undisturbed invocation needs of each: the places to choose from.
pub type Extent = BTreeMap<Place, u64>;

/// What the invocations of this world have needed so far; `elapsed` is their time.
pub fn extent_of(world: &World, elapsed: Duration) -> Extent {
    let (devo, dynamodb) = (&world.to_devo, &world.to_dynamodb);
    Extent::from([
        (Place::RequestToMicrosoft, world.tenant.requests().len() as u64),
        (Place::ByteToDevo, devo.bytes(Direction::Towards)),
        (Place::ByteFromDevo, devo.bytes(Direction::From)),
        (Place::ByteToDynamoDb, dynamodb.bytes(Direction::Towards)),
        (Place::ByteFromDynamoDb, dynamodb.bytes(Direction::From)),
        (Place::Instant, u64::try_from(elapsed.as_millis()).unwrap()),
    ])
}

/// A process that will be killed. Dropping it spares a process that is still alive.
pub struct Armed<'a> {
    world: &'a World,
    timer: Option<JoinHandle<()>>,
}

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        self.world.tenant.on_request(|_| {});
        self.world.to_devo.disarm();
        self.world.to_dynamodb.disarm();
        if let Some(timer) = &self.timer {
            timer.abort();
        }
    }
}

/// Kills the process at the `at`-th of the place's units, counted from now.
pub fn arm<'a>(world: &'a World, process: &Process, place: Place, at: u64) -> Armed<'a> {
    let killer = process.killer();
    let strike = move || killer.kill();
    let mut timer = None;
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
        Place::Instant => {
            timer = Some(tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(at)).await;
                strike();
            }));
        }
    }
    Armed { world, timer }
}

/// When the lease in the table ends, if there is one.
pub async fn lease_end(world: &World) -> Option<Timestamp> {
    let checkpoint = world.table.checkpoint_of(world.service.function).await?;
    Some(Timestamp::from_millisecond(checkpoint["lease_expires_at"].as_i64()?).unwrap())
}

/// Waits until nobody holds the lease.
pub async fn lease_is_over(world: &World) {
    while let Some(end) = lease_end(world).await {
        let left = end.duration_since(Timestamp::now());
        match Duration::try_from(left) {
            Ok(left) => tokio::time::sleep(left + Duration::from_millis(1)).await,
            Err(_) => return,
        }
    }
}

/// Whoever comes while a dead process's lease runs is turned away.
pub async fn the_lease_of_the_dead_is_respected(world: &World) {
    if lease_end(world).await.is_some_and(|end| end > Timestamp::now() + SignedDuration::from_secs(2)) {
        let answer = world.force().await;
        assert_eq!((&answer["status"], &answer["requests"]), (&json!("locked"), &json!(0)), "{answer}");
    }
}

/// Invokes processes until one is killed at such a place, whose extent is given with it; `emit` makes more records for the
/// next one where a process was over before.
pub async fn kill_once(
    world: &World,
    (place, extent): (Place, u64),
    chance: &mut Chance,
    answered: &mut BTreeSet<String>,
    mut emit: impl FnMut(&mut Chance),
) {
    let mut farthest = extent;
    for _ in 0..ATTEMPTS {
        lease_is_over(world).await;
        let process = world.process().await;
        let at = 1 + chance.below(farthest);
        let armed = arm(world, &process, place, at);
        let ended = world.invoke(&process, &json!({"force": true}), DEADLINE).await;
        drop(armed);
        match ended {
            Ended::Died => {
                println!("{}: killed at {place:?} {at}", world.id);
                return;
            }
            Ended::Answer(answer) => {
                answered.extend(answer["devo_pulling_id"].as_str().map(str::to_owned));
            }
            Ended::Error(error) => panic!("{}: {place:?} {at}: {error:?}\n{}", world.id, process.output()),
        }
        // It was over before that: the next one has as much to do, and is struck earlier.
        farthest = farthest.div_ceil(2);
        emit(chance);
    }
    panic!("{}: no process could be killed at {place:?} of {extent}", world.id);
}

/// Undisturbed cycles until one of them has nothing left to deliver: a walk that goes on where the dead one stood leaves
/// the late records behind it to the next cycle.
pub async fn finish(world: &World, answered: &mut BTreeSet<String>) {
    for _ in 0..8 {
        lease_is_over(world).await;
        let answer = world.force().await;
        answered.extend(answer["devo_pulling_id"].as_str().map(str::to_owned));
        if answer["status"] == "up_to_date" && answer["delivered"] == 0 {
            return;
        }
    }
    panic!("{} does not come to its end", world.id);
}

/// Everything arrived, and what arrived again did so in a batch that was in flight when its process was killed. Gives
/// how many records did. `answered` are the pulling ids of the invocations that were not killed.
pub fn judge(world: &World, emitted: &[String], answered: &BTreeSet<String>) -> usize {
    let arrivals = world.records();
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

/// The invocation that a record came from.
pub fn pulling_id(arrival: &Arrival) -> String {
    arrival.json()["@devo_pulling_id"].as_str().unwrap().to_owned()
}

/// A killed process may leave a line or a member unfinished, and no process does anything else wrong.
fn assert_sound(world: &World, arrival: &Arrival, was_killed: bool) {
    let Some((_, violations)) = receiver().end_of(arrival.connection) else { return };
    let is_forgivable = |violation: &&String| was_killed && violation.starts_with("Incomplete");
    let others: Vec<&String> = violations.iter().filter(|violation| !is_forgivable(violation)).collect();
    assert!(others.is_empty(), "{}: {others:?}", world.id);
}

/// Records delivered by the account of all ledgers in the table.
pub async fn ledger(world: &World) -> u64 {
    let mut delivered = 0;
    for row in world.table.rows().await {
        let key = row["sk"].as_str().unwrap();
        if key.starts_with("ledger#") {
            delivered += row["delivered"].as_u64().unwrap_or(0);
        } else if key == "checkpoint" {
            let carried = row["ledger_carry"].as_object().cloned().unwrap_or_default();
            delivered += carried.values().filter_map(|counts| counts["delivered"].as_u64()).sum::<u64>();
        }
    }
    delivered
}
