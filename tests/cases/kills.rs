//! The artefact is killed at any byte and any request, again and again, and goes on.
//!
//! Records come between the kills too, late ones among them; what must hold at the end is said in `world::crashes`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::tenant::{PageSize, TenantConfig};

use crate::world::chance::Chance;
use crate::world::crashes::{
    Extent, PLACES, Place, extent_of, finish, judge, kill_once, ledger, the_lease_of_the_dead_is_respected,
};
use crate::world::{AMPLE, World, ago, now, services};

const WORLDS: u64 = 12;
const KILLS_EACH: usize = 9;
const KILLS: usize = 100;
/// Hours that the records lie in. A commit holds the record hashes of at most 80 hours: two batches at least.
const HOURS: u64 = 118;

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
    assert!(world.to_devo.connections() >= 2, "the batch in flight is not all there is: {answer}");
    let extent = extent_of(&world, Duration::ZERO);
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
        kill_once(&world, (place, extent[&place]), &mut chance, &mut pulling_ids, |chance| {
            emit(&world, &mut emitted, chance);
        })
        .await;
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
