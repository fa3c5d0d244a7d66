//! Counting that lasts over many invocations while the world goes on: records change and go, tokens end, quotas are used up.
//!
//! What is at hand when an invocation ends need not be there when the next one begins.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::records::{defender_alert_revision, machine};
use simulator::tenant::{DefenderRelation, Fault, ListOrder, RetryAfter, Rule, TenantConfig};

use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::related::{asked, enriched, id_of, settings, switches};
use crate::world::{World, ago, service};

const ALERTS: &str = "endpoint-alerts";

/// A world whose invocations have so many requests each.
async fn world(function: &str, members: &[&str], requests: u64, more: &Value) -> World {
    let world = World::with(service(function), TenantConfig::default()).await;
    let mut all = json!({"requests_limits": [{"period": "5m", "number_of_requests": requests}]});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.configure(&settings(&switches(function, members), &all));
    world
}

/// Ticks until nothing is left, all waits passed; gives how many records were delivered.
async fn play_on(world: &World) -> u64 {
    let mut delivered = 0;
    for _ in 0..60 {
        world.table.let_waits_pass().await;
        let answer = world.tick().await;
        delivered += answer["delivered"].as_u64().unwrap();
        if ["up_to_date", "not_due"].contains(&answer["status"].as_str().unwrap()) {
            return delivered;
        }
        assert_eq!(answer["status"], "throttled", "{answer}");
    }
    panic!("{} does not come to its end", world.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_changes_while_it_is_counted_arrives_as_it_became() {
    let members = ["related_files", "related_users"];
    let world = world(ALERTS, &members, 2, &json!({})).await;
    let wanted = switches(ALERTS, &members);
    let created = ago(SignedDuration::from_hours(2));
    let mut numbers = Vec::new();
    let mut records: Vec<String> = Vec::new();
    for seed in 0..4_u64 {
        let updated = ago(SignedDuration::from_mins(20 - seed.cast_signed()));
        let record = defender_alert_revision(seed, created, updated, 0);
        numbers.push(world.tenant.emit_defender(world.list(), record.clone()).unwrap());
        records.push(record);
    }
    let first = world.tick().await;
    assert_eq!((&first["status"], &first["delivered"]), (&json!("throttled"), &json!(0)), "{first}");
    // The one at hand changes, another one goes, and all the others stand elsewhere.
    let at_hand = asked(&world)[0].path.clone();
    let index = records.iter().position(|record| at_hand.contains(&id_of(record))).unwrap();
    let gone = (index + 2) % 4;
    let seed = index as u64;
    let changed = defender_alert_revision(seed, created, ago(SignedDuration::from_secs(5)), 1);
    world.tenant.update_defender(world.list(), numbers[index], changed.clone()).unwrap();
    world.tenant.remove_defender(world.list(), numbers[gone]).unwrap();
    world.tenant.set_defender_order(world.list(), ListOrder::Shuffled { seed: 7 });
    records[index] = changed;
    records.remove(gone);
    let mut delivered = play_on(&world).await;
    world.table.set_back("last_pull_in_utc", SignedDuration::from_hours(1)).await;
    delivered += play_on(&world).await;
    assert_eq!(delivered, 3);
    let expected: Vec<String> = records.iter().map(|record| enriched(&world, record, &wanted)).collect();
    assert_arrived(&world, &expected);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_that_change_their_order_and_their_rows_while_they_are_counted_arrive_once() {
    let members = ["related_alerts"];
    let world = world("endpoint-machines", &members, 3, &json!({})).await;
    let wanted = switches("endpoint-machines", &members);
    let time = ago(SignedDuration::from_mins(5));
    let mut numbers = Vec::new();
    let mut records: Vec<String> = Vec::new();
    for seed in 0..8 {
        let record = machine(seed, time);
        numbers.push(world.tenant.emit_defender(world.list(), record.clone()).unwrap());
        records.push(record);
    }
    for round in 0..4 {
        world.table.let_waits_pass().await;
        assert_eq!(world.tick().await["status"], "throttled", "{round}");
        world.tenant.set_defender_order(world.list(), ListOrder::Shuffled { seed: round });
        let record = machine(100 + round, time);
        world.tenant.emit_defender(world.list(), record.clone()).unwrap();
        records.push(record);
    }
    play_on(&world).await;
    let expected: Vec<String> = records.iter().map(|record| enriched(&world, record, &wanted)).collect();
    assert_arrived(&world, &expected);
    assert_eq!(asked(&world).len(), records.len(), "each record is counted once");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flattened_alerts_that_are_counted_in_pieces_arrive_once_with_all_their_events() {
    let members = ["related_files", "related_ips"];
    let world = world(ALERTS, &members, 2, &json!({"flatten": true})).await;
    let records: Vec<String> =
        (0..5).map(|seed| world.emit(seed, ago(SignedDuration::from_mins(3 + seed.cast_signed())))).collect();
    assert_eq!(play_on(&world).await, 5);
    let pieces = |record: &String| {
        let alert: Value = serde_json::from_str(record).unwrap();
        alert["evidence"].as_array().unwrap().len().max(1)
    };
    let arrived = world.records();
    assert_eq!(arrived.len(), records.iter().map(pieces).sum::<usize>());
    for record in &records {
        let id = id_of(record);
        let whole: Value =
            serde_json::from_str(&enriched(&world, record, &switches(ALERTS, &members))).unwrap();
        let events: Vec<Value> =
            arrived.iter().map(|arrival| arrival.json().clone()).filter(|event| event["id"] == *id).collect();
        assert_eq!(events.len(), pieces(record), "{id}");
        for event in events {
            assert_eq!(
                (&event["related_files"], &event["related_ips"]),
                (&whole["related_files"], &whole["related_ips"])
            );
        }
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_is_counted_in_pieces_beside_the_live_window() {
    let members = ["related_files", "related_users"];
    // Two are for the live window, which comes first.
    let world = world(ALERTS, &members, 3, &json!({})).await;
    let wanted = switches(ALERTS, &members);
    let begin = ago(SignedDuration::from_hours(100));
    let past: Vec<String> = (0..3)
        .map(|seed| world.emit(seed, begin + SignedDuration::from_hours(2 + seed.cast_signed())))
        .collect();
    let live: Vec<String> =
        (10..13).map(|seed| world.emit(seed, ago(SignedDuration::from_mins(10)))).collect();
    let end = begin + SignedDuration::from_hours(24);
    let event =
        json!({"backfill": {"start_time_in_utc": begin.to_string(), "end_time_in_utc": end.to_string()}});
    let begun = world.once(&event).await.answer();
    assert_eq!(begun["status"], "throttled", "{begun}");
    let delivered = begun["delivered"].as_u64().unwrap() + play_on(&world).await;
    assert_eq!(delivered, 6, "ticks go on with it");
    let expected: Vec<String> =
        past.iter().chain(&live).map(|record| enriched(&world, record, &wanted)).collect();
    assert_arrived(&world, &expected);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_429_and_a_dead_token_in_the_middle_of_counting_cost_time_and_nothing_else() {
    let members = ["related_files", "related_users"];
    let world = world(ALERTS, &members, 1000, &json!({})).await;
    let wanted = switches(ALERTS, &members);
    let records: Vec<String> =
        (0..6).map(|seed| world.emit(seed, ago(SignedDuration::from_mins(3 + seed.cast_signed())))).collect();
    let far = Fault::TooManyRequests(RetryAfter::Seconds(900));
    let rules = vec![
        Rule::on_related(DefenderRelation::AlertFiles, Fault::TokenRevoked).nth(2),
        Rule::on_related(DefenderRelation::AlertUser, far).nth(4),
    ];
    world.tenant.script(rules);
    let answer = world.tick().await;
    assert_eq!((&answer["status"], &answer["delivered"]), (&json!("throttled"), &json!(3)), "{answer}");
    for event in [json!({}), json!({"force": true})] {
        let early = world.once(&event).await.answer();
        assert_eq!(
            (&early["status"], &early["requests"]),
            (&json!("throttled"), &json!(0)),
            "{event}: {early}"
        );
    }
    assert_eq!(play_on(&world).await, 3);
    let expected: Vec<String> = records.iter().map(|record| enriched(&world, record, &wanted)).collect();
    assert_arrived(&world, &expected);
    assert_eq!(asked(&world).len(), 12 + 2, "the two that were refused were asked again, and no others");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_is_masked_finds_its_counts_and_is_told_to_nobody() {
    let rules = json!([{"name": ["id"], "value": "masked"}, {"name": ["related_software"]}]);
    let more = json!({"obfuscation_data": rules});
    let members = ["related_alerts", "related_software"];
    let world = world("endpoint-machines", &members, 1000, &more).await;
    let wanted = switches("endpoint-machines", &members);
    let records: Vec<String> =
        (0..3).map(|seed| world.emit(seed, ago(SignedDuration::from_mins(3 + seed.cast_signed())))).collect();
    let refuse = |status: u16| {
        let message = format!("no counts for {}", id_of(&records[1]));
        let body = json!({"error": {"code": "BadRequest", "message": message}}).to_string();
        Fault::Status { code: status, body: Some(body), headers: Vec::new() }
    };
    world.tenant.script(vec![Rule::on_related(DefenderRelation::MachineAlerts, refuse(400)).nth(2)]);
    let process = world.process().await;
    let answer = world.invoke(&process, &json!({}), crate::world::AMPLE).await.answer();
    process.ask_to_end();
    process.ended().await;
    assert_answer(&answer, "endpoint-machines", 3);
    assert_eq!(answer["warnings"].as_array().unwrap().len(), 1, "{answer}");
    let arrived: BTreeSet<String> = world.records().iter().map(|arrival| arrival.message.clone()).collect();
    assert_eq!(arrived.len(), 3);
    for message in &arrived {
        assert!(
            message.contains("\"id\":\"masked\"") && message.contains("\"related_software\":-1"),
            "{message}"
        );
    }
    for (index, record) in records.iter().enumerate() {
        let id = id_of(record);
        for text in world.arrivals().iter().map(|arrival| arrival.message.clone()) {
            assert!(!text.contains(&id), "an event: {text}");
        }
        for (what, text) in [("the answer", answer.to_string()), ("the log", process.output())] {
            assert!(!text.contains(&id), "{what}: {text}");
        }
        let whole: Value = serde_json::from_str(&enriched(&world, record, &wanted)).unwrap();
        let is_there = arrived.iter().any(|message| {
            let event: Value = serde_json::from_str(message).unwrap();
            let count = if index == 1 { &Value::Null } else { &whole["related_alerts"] };
            event["computerDnsName"] == whole["computerDnsName"]
                && event.get("related_alerts").unwrap_or(&Value::Null) == count
        });
        assert!(is_there, "{index}: {arrived:?}");
    }
    world.close().await;
}
