//! Defender's lists killed at any byte and any request: slices, rows and what still runs are gone on with where they stood.
//!
//! What must hold at the end is said in `world::crashes`. Pages are short, so that a walk has many places to die at, and a
//! walk that a deadline left half-way has its place in the state.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::json;
use simulator::tenant::{DefenderConfig, Fault, Rule};

use crate::world::chance::Chance;
use crate::world::crashes::{
    DEADLINE, Extent, PLACES, Place, arm, extent_of, finish, judge, kill_once, lease_is_over, ledger,
    the_lease_of_the_dead_is_respected,
};
use crate::world::defender::world;
use crate::world::process::Ended;
use crate::world::{World, ago};

const FUNCTIONS: [&str; 3] = ["endpoint-alerts", "endpoint-machines", "endpoint-investigations"];
const RECORDS: u64 = 40;
/// Records that come after each kill.
const MORE: u64 = 5;

async fn short_pages(function: &str) -> World {
    let world = world(function, DefenderConfig { largest_page: 10, ..DefenderConfig::default() }).await;
    if world.list().time_property().is_some() {
        world.configure(&json!({"override_lookback_in_seconds": 86_400}));
    }
    world
}

/// Emits so many records, in no order.
fn emit(world: &World, emitted: &mut Vec<String>, count: u64) {
    for _ in 0..count {
        let seed = emitted.len() as u64;
        let number = i32::try_from(seed * 17 % 50).unwrap();
        let time = ago(SignedDuration::from_mins(4) + SignedDuration::from_mins(20) * number);
        emitted.push(world.emit(seed, time));
    }
}

/// What one undisturbed pull of such a world needs.
async fn measure(function: &str) -> Extent {
    let world = short_pages(function).await;
    emit(&world, &mut Vec::new(), RECORDS);
    let answer = world.tick().await;
    assert_eq!(answer["delivered"], RECORDS, "{answer}");
    let extent = extent_of(&world, Duration::ZERO);
    world.close().await;
    extent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_killed_anywhere_loses_nothing_and_repeats_at_most_the_batch_in_flight() {
    let chance = Chance::seeded();
    let measured = join_all(FUNCTIONS.map(measure)).await;
    let plays = FUNCTIONS.iter().zip(&measured).enumerate().map(|(number, (function, extent))| {
        let chance = chance.fork(number as u64);
        async move { play(function, extent, chance).await }
    });
    let repeated = join_all(plays).await;
    println!("killed at each of {} places; {repeated:?} records arrived more than once", PLACES.len());
}

/// One world, killed once at each place; gives how many records arrived again.
async fn play(function: &str, extent: &Extent, mut chance: Chance) -> usize {
    let world = short_pages(function).await;
    let (mut emitted, mut answered) = (Vec::new(), BTreeSet::new());
    emit(&world, &mut emitted, RECORDS);
    for (round, place) in PLACES.into_iter().enumerate() {
        kill_once(&world, (place, extent[&place]), &mut chance, &mut answered, |_| {
            emit(&world, &mut emitted, MORE);
        })
        .await;
        if round == 0 {
            the_lease_of_the_dead_is_respected(&world).await;
        }
        emit(&world, &mut emitted, MORE);
    }
    finish(&world, &mut answered).await;
    let repeated = judge(&world, &emitted, &answered);
    assert_eq!(ledger(&world).await, emitted.len() as u64, "{function}");
    world.close().await;
    repeated
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_that_was_left_half_way_and_then_killed_is_ended_by_the_ticks_that_follow() {
    join_all(FUNCTIONS.map(|function| async move {
        let world = short_pages(function).await;
        let (mut emitted, mut answered) = (Vec::new(), BTreeSet::new());
        emit(&world, &mut emitted, RECORDS);
        let slow = Fault::Delay(Duration::from_millis(700));
        world.tenant.script(vec![Rule::on_defender(world.list(), slow)]);
        let process = world.process().await;
        let left = world.invoke(&process, &json!({}), DEADLINE).await.answer();
        assert_eq!(left["status"], "more", "{function}: {left}");
        let had = left["delivered"].as_u64().unwrap();
        assert!((1..RECORDS).contains(&had), "{function}: {left}");
        answered.extend(left["devo_pulling_id"].as_str().map(str::to_owned));
        process.ask_to_end();

        // The next one dies with its second page; what it had of the first was not committed.
        let victim = world.process().await;
        let armed = arm(&world, &victim, Place::RequestToMicrosoft, 3);
        let ended = world.invoke(&victim, &json!({}), DEADLINE).await;
        assert!(matches!(ended, Ended::Died), "{function}: {ended:?}");
        drop(armed);
        world.tenant.script(Vec::new());
        lease_is_over(&world).await;
        let rest = world.tick().await;
        assert_eq!(rest["status"], "up_to_date", "{function}: {rest}");
        assert_eq!(rest["delivered"], RECORDS - had, "{function}: it goes on where it was left: {rest}");
        answered.extend(rest["devo_pulling_id"].as_str().map(str::to_owned));
        assert_eq!(judge(&world, &emitted, &answered), 0, "{function}: nothing was in flight");
        world.close().await;
    }))
    .await;
}
