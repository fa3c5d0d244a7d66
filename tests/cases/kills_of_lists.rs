//! Lists killed at any byte and any request: boundaries, days, slices, parts, rows and scans are gone on with where they stood.
//!
//! What must hold at the end is said in `world::crashes`. Pages are short, so that a walk has many places to die at; what is
//! compared with its last version is remembered in another way than logs, and a whole list may be one batch. A walk that a
//! deadline left half-way has its place in the state.

use std::collections::BTreeSet;
use std::time::Duration;

use collector::service::{Authorization, Service};
use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::tenant::{CloudAppsConfig, DefenderConfig, Endpoint, Fault, PageSize, Rule, TenantConfig};

use crate::world::chance::Chance;
use crate::world::contract::Asks;
use crate::world::crashes::{
    DEADLINE, Extent, PLACES, Place, arm, extent_of, finish, judge, kill_once, lease_is_over, ledger,
    the_lease_of_the_dead_is_respected,
};
use crate::world::process::Ended;
use crate::world::{World, ago, cloud_apps_lists, security, service};

const RECORDS: u64 = 40;
/// Records that come after each kill.
const MORE: u64 = 5;
/// Rows of a page.
const PAGE: usize = 10;

/// Those of Defender for Endpoint that are read in ways of their own.
const DEFENDER: [&str; 3] = ["endpoint-alerts", "endpoint-machines", "endpoint-investigations"];

/// A world whose pages are short.
async fn world(service: &'static Service) -> World {
    let cloud_apps = CloudAppsConfig {
        largest_page: PAGE,
        smallest_scan: PAGE,
        largest_scan: PAGE,
        ..CloudAppsConfig::default()
    };
    let config = TenantConfig {
        page_size: PageSize { default: PAGE, maximum: PAGE },
        defender: DefenderConfig { largest_page: PAGE, ..DefenderConfig::default() },
        cloud_apps,
        ..TenantConfig::default()
    };
    let world = World::with(service, config).await;
    world.configure(&settings(&world));
    world
}

/// What is emitted late must lie within the look-back, and a midnight must not send a list again.
fn settings(world: &World) -> Value {
    if matches!(world.promise.asks, Asks::Collection(Endpoint::SecureScores)) {
        return json!({"start_time_in_utc": ago(SignedDuration::from_hours(60 * 24)).to_string()});
    }
    if world.service.query.is_snapshot() {
        return json!({"snapshot_mode": "changes"});
    }
    match world.promise.asks {
        // A window of files is a day long, and must end behind where it began to look back.
        Asks::CloudApps(_) => json!({"override_lookback_in_seconds": 72_000}),
        _ => json!({"override_lookback_in_seconds": 86_400}),
    }
}

/// A script that strikes every page of the list.
fn on_pages(world: &World, fault: Fault) -> Rule {
    match world.promise.asks {
        Asks::Collection(endpoint) => Rule::on_endpoint(endpoint, fault),
        Asks::Defender(list) => Rule::on_defender(list, fault),
        Asks::CloudApps(list) => Rule::on_cloud_apps(list, fault),
        other => panic!("{other:?} has no pages"),
    }
}

/// Emits so many records at the service's own pace, in no order.
fn emit(world: &World, emitted: &mut Vec<String>, count: u64) {
    let pace = match world.promise.asks {
        Asks::Collection(Endpoint::SecureScores) => SignedDuration::from_hours(24),
        _ => SignedDuration::from_mins(20),
    };
    for _ in 0..count {
        let seed = emitted.len() as u64;
        let number = i32::try_from(seed * 17 % 50).unwrap();
        emitted.push(world.emit(seed, ago(SignedDuration::from_mins(4) + pace * number)));
    }
}

/// What one undisturbed pull of such a world needs.
async fn measure(service: &'static Service) -> Extent {
    let world = world(service).await;
    emit(&world, &mut Vec::new(), RECORDS);
    let answer = world.tick().await;
    assert_eq!(answer["delivered"], RECORDS, "{answer}");
    let extent = extent_of(&world, Duration::ZERO);
    world.close().await;
    extent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_security_service_killed_anywhere_loses_nothing_and_repeats_at_most_the_batch_in_flight() {
    kill(security().collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_endpoint_killed_anywhere_loses_nothing_and_repeats_at_most_the_batch_in_flight() {
    kill(DEFENDER.map(service).to_vec()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_cloud_apps_killed_anywhere_loses_nothing_and_repeats_at_most_the_batch_in_flight() {
    kill(cloud_apps_lists().collect()).await;
}

async fn kill(services: Vec<&'static Service>) {
    let chance = Chance::seeded();
    let measured = join_all(services.iter().map(|service| measure(service))).await;
    let plays = services.iter().zip(&measured).enumerate().map(|(number, (service, extent))| {
        let chance = chance.fork(number as u64);
        async move { play(service, extent, chance).await }
    });
    let repeated = join_all(plays).await;
    println!("killed at each of {} places; {repeated:?} records arrived more than once", PLACES.len());
}

/// One world, killed once at each place; gives how many records arrived again.
async fn play(service: &'static Service, extent: &Extent, mut chance: Chance) -> usize {
    let world = world(service).await;
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
    assert_eq!(ledger(&world).await, emitted.len() as u64, "{}", service.function);
    world.close().await;
    repeated
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_of_security_that_was_left_half_way_and_then_killed_is_ended_by_the_ticks_that_follow() {
    let functions = ["graph-alerts-v2", "graph-secure-score-control-profiles", "graph-secure-scores"];
    leave_half_way(functions.map(service).to_vec()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_of_endpoint_that_was_left_half_way_and_then_killed_is_ended_by_the_ticks_that_follow() {
    leave_half_way(DEFENDER.map(service).to_vec()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_of_cloud_apps_that_was_left_half_way_and_then_killed_is_ended_by_the_ticks_that_follow() {
    leave_half_way(cloud_apps_lists().collect()).await;
}

async fn leave_half_way(services: Vec<&'static Service>) {
    join_all(services.into_iter().map(|service| async move {
        let function = service.function;
        let world = world(service).await;
        let (mut emitted, mut answered) = (Vec::new(), BTreeSet::new());
        emit(&world, &mut emitted, RECORDS);
        world.tenant.script(vec![on_pages(&world, Fault::Delay(Duration::from_millis(600)))]);
        let process = world.process().await;
        let left = world.invoke(&process, &json!({}), DEADLINE).await.answer();
        assert_eq!(left["status"], "more", "{function}: {left}");
        let had = left["delivered"].as_u64().unwrap();
        assert!((1..RECORDS).contains(&had), "{function}: {left}");
        answered.extend(left["devo_pulling_id"].as_str().map(str::to_owned));
        process.ask_to_end();

        // The next one dies with its second page; what it had of the first was not committed.
        let victim = world.process().await;
        // A login comes before the pages, where there is one.
        let logins = u64::from(matches!(service.authorization, Authorization::Login));
        let armed = arm(&world, &victim, Place::RequestToMicrosoft, logins + 2);
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
