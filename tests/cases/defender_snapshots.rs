//! Lists without a time: a whole list is compared with the one before, and rows come and go while it is read.
//!
//! Only what is new or changed is sent, and what vanished is not told of. Whoever counts rows passes over those that move
//! up; pages of a hundred rows and more overlap for that, and what a shorter one missed comes with the next list.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use simulator::records::machine;
use simulator::tenant::{Addressee, DefenderCall, DefenderConfig, DefenderList, ListOrder};
use tokio::time::sleep;

use crate::world::defender::{PAGE, RECORDS, emit, short_pages, time_of, world};
use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::process::LOOK_EVERY;
use crate::world::{World, ago, contract, defender_lists};

const MACHINES: &str = "endpoint-machines";
/// Rows of a list that has pages of two hundred.
const MANY: usize = 450;

fn arrived(world: &World) -> Vec<String> {
    world.records().iter().map(|arrival| contract::record_of(&arrival.message)).collect()
}

fn machines() -> Addressee {
    Addressee::Defender(DefenderCall::List(DefenderList::Machines))
}

/// Lists are told apart by the second in which they were begun.
async fn next_second() {
    let began = Timestamp::now().as_second();
    while Timestamp::now().as_second() == began {
        sleep(LOOK_EVERY).await;
    }
}

/// The same machine with another state of health.
fn changed(machine: &str, health: &str) -> String {
    let text = machine.replace("\"healthStatus\":\"Active\"", &format!("\"healthStatus\":\"{health}\""));
    assert_ne!(text, machine);
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_inventory_only_what_is_new_or_changed_is_sent_again_also_what_changed_back() {
    let world = world(MACHINES, short_pages()).await;
    let texts: Vec<String> = (0..RECORDS).map(|seed| machine(seed, time_of(seed))).collect();
    let emit = |text: &String| world.tenant.emit_defender(DefenderList::Machines, text.clone()).unwrap();
    let numbers: Vec<u64> = texts.iter().map(emit).collect();
    assert_answer(&world.tick().await, MACHINES, RECORDS);
    for _ in 0..2 {
        let again = world.force().await;
        assert_answer(&again, MACHINES, 0);
        assert_eq!((&again["received"], &again["bytes_sent"]), (&json!(RECORDS), &json!(0)), "{again}");
    }
    assert_arrived(&world, &texts);

    let mut sent = texts.clone();
    for text in [changed(&texts[7], "Inactive"), texts[7].clone(), changed(&texts[7], "NoSensorData")] {
        world.tenant.update_defender(DefenderList::Machines, numbers[7], text.clone()).unwrap();
        sent.push(text);
        for expected in [1, 0] {
            assert_answer(&world.force().await, MACHINES, expected);
        }
    }
    // Two leave the list, and a new one comes.
    for index in [3, 20] {
        world.tenant.remove_defender(DefenderList::Machines, numbers[index]).unwrap();
    }
    let fewer = world.force().await;
    assert_answer(&fewer, MACHINES, 0);
    assert_eq!(fewer["received"], RECORDS - 2);
    sent.push(world.emit(90, ago(SignedDuration::from_mins(1))));
    assert_answer(&world.force().await, MACHINES, 1);
    let (mut came, mut wanted) = (arrived(&world), sent);
    came.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(came, wanted);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_inventory_is_sent_once_where_changes_are_wanted_and_each_time_where_all_of_it_is() {
    let inventories = defender_lists().filter(|service| service.query.is_snapshot());
    let played = join_all(inventories.flat_map(|service| [(service, false), (service, true)]).map(
        |(service, is_always)| async move {
            let world = world(service.function, short_pages()).await;
            if is_always {
                world.configure(&json!({"snapshot_mode": "always"}));
            }
            let emitted = emit(&world);
            assert_answer(&world.tick().await, service.function, RECORDS);
            next_second().await;
            let again = if is_always { RECORDS } else { 0 };
            assert_answer(&world.force().await, service.function, again);
            let distinct: BTreeSet<String> = arrived(&world).into_iter().collect();
            assert_eq!(distinct, emitted.into_iter().collect::<BTreeSet<String>>());
            world.close().await;
        },
    ));
    assert_eq!(played.await.len(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_machine_is_passed_over_because_another_one_was_removed_while_the_list_is_read() {
    let orders =
        [ListOrder::Inserted, ListOrder::Reversed, ListOrder::Shuffled { seed: 3 }, ListOrder::ByLastUpdate];
    join_all(orders.map(|order| async move {
        let config = DefenderConfig { order, largest_page: 200, ..DefenderConfig::default() };
        let world = world(MACHINES, config).await;
        let seen_at = ago(SignedDuration::from_hours(5));
        let make = move |index: usize| machine(index as u64, seen_at);
        let first = world.tenant.fill_defender(DefenderList::Machines, MANY, Arc::new(make));
        // One with the second page and one with the third: in any order most rows lie behind those that were read.
        let tenant = world.tenant.clone();
        world.tenant.on_request(move |seen| {
            let index = match (seen.addressee == machines(), seen.nth) {
                (true, 2) => 0,
                (true, 3) => MANY as u64 - 1,
                _ => return,
            };
            tenant.remove_defender(DefenderList::Machines, first + index).unwrap();
        });
        let answer = world.tick().await;
        assert_eq!(answer["status"], "up_to_date", "{order:?}: {answer}");
        world.tenant.on_request(|_| {});
        let came = arrived(&world);
        let distinct: BTreeSet<String> = came.iter().cloned().collect();
        assert_eq!(came.len(), distinct.len(), "{order:?}: a machine came twice");
        let left = world.tenant.defender_records(DefenderList::Machines);
        assert_eq!(left.len(), MANY - 2);
        for machine in left {
            let text = String::from_utf8(machine.to_vec()).unwrap();
            assert!(distinct.contains(&text), "{order:?}: passed over: {text}");
        }
        assert_answer(&world.force().await, MACHINES, 0);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_short_page_passed_over_comes_with_the_next_list() {
    let world = world(MACHINES, short_pages()).await;
    let texts: Vec<String> = (0..RECORDS).map(|seed| machine(seed, time_of(seed))).collect();
    let emit = |text: &String| world.tenant.emit_defender(DefenderList::Machines, text.clone()).unwrap();
    let numbers: Vec<u64> = texts.iter().map(emit).collect();
    let (tenant, first) = (world.tenant.clone(), numbers[0]);
    world.tenant.on_request(move |seen| {
        if seen.addressee == machines() && seen.nth == 2 {
            tenant.remove_defender(DefenderList::Machines, first).unwrap();
        }
    });
    // The machine behind the first page has moved onto it.
    assert_answer(&world.tick().await, MACHINES, RECORDS - 1);
    world.tenant.on_request(|_| {});
    assert!(!arrived(&world).contains(&texts[PAGE]));
    assert_answer(&world.force().await, MACHINES, 1);
    assert_arrived(&world, &texts);
    world.close().await;
}
