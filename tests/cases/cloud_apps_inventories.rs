//! Entities and ranges of addresses: whole lists without a time, compared with the one before.
//!
//! Numbers of rows lead no further than some thousand. Where the API gives no more, that is told and is no failure: there
//! is no other way to the rest.

use std::collections::BTreeSet;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::records::cloud_apps_record;
use simulator::tenant::{Addressee, BeyondDeepest, CloudAppsConfig, CloudAppsList, CloudAppsOrder};

use crate::world::ago;
use crate::world::chance::Chance;
use crate::world::cloud_apps_lists::{RECORDS, emit, pages, short_pages, time_of, world};
use crate::world::cloud_apps_plays::{
    Filled, arrived, assert_versions, is_told, next_second, pages_since, ticks_to_the_end, warnings,
};
use crate::world::judge::{assert_answer, assert_arrived};

const ENTITIES: &str = "cloud-apps-entities";
const RANGES: &str = "cloud-apps-data-enrichment";
const MANNERS: [BeyondDeepest; 3] = [BeyondDeepest::Refused, BeyondDeepest::Empty, BeyondDeepest::Rows];
/// How far numbers of rows lead.
const DEEPEST: u64 = 5_000;

/// A small entity, of which there can be many.
fn small(index: usize) -> String {
    format!("{{\"type\":2,\"displayName\":\"user {index}\",\"_id\":\"{index:024x}\",\"lastSeen\":null}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_more_entities_than_can_be_counted_through_all_come_that_the_api_gives_and_the_rest_is_told() {
    let counts = [4_975, DEEPEST, 6_000];
    let refusals = [400, 200];
    let plays = counts.into_iter().flat_map(|count| {
        MANNERS.into_iter().flat_map(move |manner| refusals.map(move |status| (count, manner, status)))
    });
    // How a refusal looks matters only where there is one.
    let plays = plays.filter(|(_, manner, status)| *manner == BeyondDeepest::Refused || *status == 400);
    join_all(plays.map(|(count, beyond_deepest, refused_filter_status)| async move {
        let config = CloudAppsConfig { beyond_deepest, refused_filter_status, ..CloudAppsConfig::default() };
        let rows = usize::try_from(count).unwrap();
        let Filled { world, counted, receiver: _kept, .. } =
            Filled::with(ENTITIES, config, rows, small).await;
        let reachable = if beyond_deepest == BeyondDeepest::Rows { count } else { count.min(DEEPEST) };
        let what = format!("{count} {beyond_deepest:?} {refused_filter_status}");
        for expected in [reachable, 0] {
            let before = pages(&world).len();
            let answer = world.force().await;
            assert_answer(&answer, ENTITIES, expected);
            assert_eq!(is_told(&answer), reachable < count, "{what}: {answer}");
            let names_the_number = warnings(&answer).iter().any(|text| text.contains("5000"));
            assert_eq!(names_the_number, reachable < count, "{what}: {answer}");
            let asked = pages_since(&world, before);
            assert!(asked as u64 <= count / 98 + 3, "{what}: {asked} pages");
        }
        assert_eq!(counted.arrived(), reachable, "{what}");
        if reachable == count {
            counted.assert_once((0..rows).map(small));
        }
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_row_is_passed_over_because_others_come_and_go_while_the_list_is_read() {
    let chance = Chance::seeded();
    let orders = [
        CloudAppsOrder::Inserted,
        CloudAppsOrder::Newest,
        CloudAppsOrder::Oldest,
        CloudAppsOrder::Shuffled { seed: 11 },
    ];
    let plays = [ENTITIES, RANGES].into_iter().flat_map(|function| orders.map(|order| (function, order)));
    join_all(plays.zip(0..).map(|((function, order), number)| {
        let mut chance = chance.fork(number);
        async move {
            let world = world(function, CloudAppsConfig { order, ..CloudAppsConfig::default() }).await;
            let list = world.filtered_list();
            let mut texts: Vec<String> =
                (0..450).map(|seed| cloud_apps_record(list, seed, time_of(seed % 20))).collect();
            let numbers: Vec<u64> =
                texts.iter().map(|text| world.tenant.emit_cloud_apps(list, text.clone()).unwrap()).collect();
            // With each page but the first a row goes and another one comes.
            let gone: Vec<usize> =
                (0..4).map(|page| page * 100 + usize::try_from(chance.below(100)).unwrap()).collect();
            let new: Vec<String> =
                (1_000..1_004).map(|seed| cloud_apps_record(list, seed, time_of(1))).collect();
            let (tenant, hook_gone, hook_new) = (world.tenant.clone(), gone.clone(), new.clone());
            world.tenant.on_request(move |seen| {
                let is_page = seen.addressee == Addressee::CloudApps(list) && (2..6).contains(&seen.nth);
                if is_page {
                    let index = usize::try_from(seen.nth - 2).unwrap();
                    tenant.remove_cloud_apps(list, numbers[hook_gone[index]]).unwrap();
                    tenant.emit_cloud_apps(list, hook_new[index].clone()).unwrap();
                }
            });
            let answer = world.tick().await;
            assert_eq!(answer["status"], "up_to_date", "{function} {order:?}: {answer}");
            world.tenant.on_request(|_| {});
            let came: BTreeSet<String> = arrived(&world).into_iter().collect();
            let stayed: Vec<&String> = texts
                .iter()
                .enumerate()
                .filter(|(index, _)| !gone.contains(index))
                .map(|(_, text)| text)
                .collect();
            for text in stayed {
                assert!(came.contains(text), "{function} {order:?}: passed over: {text}");
            }
            // What came behind the place of reading is in the next list.
            ticks_to_the_end(&world).await;
            texts.extend(new);
            let last: Vec<String> = world
                .tenant
                .cloud_apps_records(list)
                .into_iter()
                .map(|text| String::from_utf8(text.to_vec()).unwrap())
                .collect();
            assert_eq!(last.len(), 450);
            assert_versions(&world, &last, &texts.iter().cloned().collect());
            world.close().await;
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_sent_as_often_as_its_mode_says() {
    let modes = [("changes", 0), ("daily", 0), ("always", RECORDS)];
    let plays = [ENTITIES, RANGES].into_iter().flat_map(|function| modes.map(|mode| (function, mode)));
    join_all(plays.map(|(function, (mode, again))| async move {
        let world = world(function, short_pages()).await;
        world.configure(&json!({"snapshot_mode": mode}));
        let mut emitted = emit(&world);
        assert_answer(&world.tick().await, function, RECORDS);
        let today = Timestamp::now().strftime("%F").to_string();
        next_second().await;
        let second = world.force().await;
        if Timestamp::now().strftime("%F").to_string() == today {
            assert_answer(&second, function, again);
        }
        if mode == "changes" {
            // Not the next day either.
            emitted.push(world.emit(900, time_of(0)));
            assert_answer(&world.force().await, function, 1);
            assert_arrived(&world, &emitted);
        }
        let distinct: BTreeSet<String> = arrived(&world).into_iter().collect();
        assert_eq!(distinct, emitted.into_iter().collect::<BTreeSet<String>>());
        world.close().await;
    }))
    .await;
}

/// Members and their new values.
type Change = Vec<(&'static str, Value)>;

/// The same record with other values of these members.
fn with(record: &str, members: &[(&str, Value)]) -> String {
    let mut text = record.to_owned();
    for (name, value) in members {
        let begin = text.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("no {name}: {record}"));
        let begin = begin + name.len() + 3;
        let end = begin + text[begin..].find([',', '}']).unwrap();
        text.replace_range(begin..end, &value.to_string());
    }
    assert_ne!(text, record);
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_last_seen_is_a_change_and_so_is_the_one_before_when_it_comes_back() {
    let seen_at = |hours: i64| json!(ago(SignedDuration::from_hours(hours)).to_string());
    let changes: [(&str, CloudAppsList, Vec<Change>); 2] = [
        (
            ENTITIES,
            CloudAppsList::Entities,
            vec![
                vec![("lastSeen", seen_at(2))],
                vec![("lastSeen", seen_at(1))],
                vec![("lastSeen", Value::Null)],
                vec![("threatScore", json!(38)), ("lastSeen", seen_at(1))],
            ],
        ),
        (
            RANGES,
            CloudAppsList::Subnet,
            vec![
                vec![("lastModified", json!(1_607_952_165_309.803_2))],
                vec![("lastModified", json!(1_607_952_165_309.803_3))],
                vec![("organization", json!("another one"))],
            ],
        ),
    ];
    join_all(changes.map(|(function, list, changes)| async move {
        let world = world(function, short_pages()).await;
        let texts: Vec<String> =
            (0..RECORDS).map(|seed| cloud_apps_record(list, seed, time_of(seed))).collect();
        let numbers: Vec<u64> =
            texts.iter().map(|text| world.tenant.emit_cloud_apps(list, text.clone()).unwrap()).collect();
        assert_answer(&world.tick().await, function, RECORDS);
        let mut sent = texts.clone();
        let (original, number) = (&texts[6], numbers[6]);
        for change in &changes {
            let changed = with(original, change);
            for version in [&changed, original] {
                world.tenant.update_cloud_apps(list, number, version.clone()).unwrap();
                assert_answer(&world.force().await, function, 1);
                assert_answer(&world.force().await, function, 0);
                sent.push(version.clone());
            }
        }
        let mut came = arrived(&world);
        came.sort_unstable();
        sent.sort_unstable();
        assert_eq!(came, sent);
        world.close().await;
    }))
    .await;
}
