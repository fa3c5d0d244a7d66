//! Counting that is interrupted: by request limits that leave an invocation one or two requests, by crashes, by others.
//!
//! Whatever happens in between, a record arrives once and with all of its counts. Every tick is a process of its own, so
//! what is not in the state is not there.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::world::chance::Chance;
use crate::world::crashes::{Place, extent_of, finish, judge, kill_once, ledger};
use crate::world::judge::assert_arrived;
use crate::world::related::{asked, enriched, path_of, settings, switches};
use crate::world::{AMPLE, World, ago, service};

/// Where ten processes die: half of them between two counts.
const DEATHS: [Place; 10] = [
    Place::RequestToMicrosoft,
    Place::ByteToDevo,
    Place::RequestToMicrosoft,
    Place::ByteFromDevo,
    Place::RequestToMicrosoft,
    Place::ByteToDynamoDb,
    Place::RequestToMicrosoft,
    Place::ByteFromDynamoDb,
    Place::RequestToMicrosoft,
    Place::ByteToDevo,
];

fn emit(world: &World, seeds: std::ops::Range<u64>) -> Vec<String> {
    seeds.map(|seed| world.emit(seed, ago(SignedDuration::from_mins(3 + seed.cast_signed())))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_or_two_requests_an_invocation_are_enough_to_get_every_record_once_and_whole() {
    tokio::join!(
        gets_on("endpoint-machines", 1, &["related_alerts", "related_software"]),
        gets_on("endpoint-machines", 2, &[]),
        gets_on("endpoint-alerts", 1, &["related_files", "related_users"]),
        gets_on("endpoint-alerts", 2, &[]),
    );
}

/// Ticks at so many requests each, until all is there.
async fn gets_on(function: &str, requests: u64, members: &[&str]) {
    let world = World::new(service(function)).await;
    let wanted = switches(function, members);
    let limit = json!([{"period": "5m", "number_of_requests": requests}]);
    world.configure(&settings(&wanted, &json!({"requests_limits": limit})));
    let records = emit(&world, 0..3);
    let expected: Vec<String> = records.iter().map(|record| enriched(&world, record, &wanted)).collect();
    let (mut ticks, mut delivered) = (0, 0);
    loop {
        ticks += 1;
        assert!(ticks <= 60, "{function}: {requests} requests an invocation lead nowhere");
        let before = world.tenant.requests().len();
        let answer = world.tick().await;
        let status = answer["status"].as_str().unwrap();
        let made = answer["requests"].as_u64().unwrap();
        assert!(made <= requests, "{function}: {answer}");
        // A login is no request to the API.
        assert!(world.tenant.requests().len() - before <= usize::try_from(requests).unwrap() + 1);
        delivered += answer["delivered"].as_u64().unwrap();
        if status == "up_to_date" {
            break;
        }
        assert_eq!(status, "throttled", "{function}: {answer}");
        if ticks == 1 {
            let early = world.tick().await;
            assert_eq!((&early["status"], &early["requests"]), (&json!("throttled"), &json!(0)), "{early}");
        }
        world.table.let_waits_pass().await;
    }
    println!("{function}: {ticks} ticks of {requests} requests");
    assert_eq!(delivered, 3, "{function}");
    assert_arrived(&world, &expected);
    for switch in &wanted {
        for record in &records {
            let path = path_of(switch.relation, record);
            let times = asked(&world).iter().filter(|seen| seen.path == path).count();
            assert_eq!(times, 1, "{function}: what was counted is not counted again: {path}");
        }
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_while_it_counts_loses_nothing_and_repeats_at_most_the_batch_in_flight() {
    let chance = Chance::seeded();
    let repeated =
        tokio::join!(killed("endpoint-machines", chance.fork(0)), killed("endpoint-alerts", chance.fork(1)),);
    println!("killed {} times each; {repeated:?} records arrived more than once", DEATHS.len());
}

async fn counting(function: &str) -> World {
    let world = World::new(service(function)).await;
    world.configure(&settings(&switches(function, &[]), &json!({})));
    world
}

async fn killed(function: &str, mut chance: Chance) -> usize {
    let measured = counting(function).await;
    emit(&measured, 0..10);
    assert_eq!(measured.tick().await["delivered"], 10);
    let extent = extent_of(&measured, Duration::ZERO);
    measured.close().await;

    let world = counting(function).await;
    let all = switches(function, &[]);
    let (mut emitted, mut answered) = (Vec::new(), BTreeSet::new());
    let more = |emitted: &mut Vec<String>, count: u64| {
        let first = emitted.len() as u64;
        let records = emit(&world, first..first + count);
        emitted.extend(records.iter().map(|record| enriched(&world, record, &all)));
    };
    more(&mut emitted, 10);
    for place in DEATHS {
        kill_once(&world, (place, extent[&place]), &mut chance, &mut answered, |_| more(&mut emitted, 5))
            .await;
        world.table.let_leases_end().await;
        more(&mut emitted, 3);
    }
    finish(&world, &mut answered).await;
    let repeated = judge(&world, &emitted, &answered);
    assert_eq!(ledger(&world).await, emitted.len() as u64, "{function}");
    world.close().await;
    repeated
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_would_count_at_once_one_does() {
    for function in ["endpoint-alerts", "endpoint-software"] {
        let world = counting(function).await;
        let all = switches(function, &[]);
        let records = emit(&world, 0..6);
        let expected: Vec<String> = records.iter().map(|record| enriched(&world, record, &all)).collect();
        let (left, right) = tokio::join!(world.process(), world.process());
        tokio::join!(left.has_polled(1), right.has_polled(1));
        let tick = json!({});
        let answers = tokio::join!(world.invoke(&left, &tick, AMPLE), world.invoke(&right, &tick, AMPLE));
        let answers: [Value; 2] = [answers.0.answer(), answers.1.answer()];
        let count = |statuses: &[&str]| {
            answers.iter().filter(|answer| statuses.contains(&answer["status"].as_str().unwrap())).count()
        };
        assert_eq!((count(&["up_to_date"]), count(&["locked", "not_due"])), (1, 1), "{answers:?}");
        assert_eq!(asked(&world).len(), records.len() * all.len(), "nobody counts beside it");
        assert_arrived(&world, &expected);
        world.close().await;
    }
}
