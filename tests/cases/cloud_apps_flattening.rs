//! Alerts of Defender for Cloud Apps, flattened: one event for each combination of the entities of its kinds.
//!
//! What an event must have is worked out here a second time, member by member, and compared as sets of names with the
//! bytes of their values. Numbers of records and of events are told apart.

use std::fs;

use jiff::SignedDuration;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use simulator::records::cloud_apps_record;
use simulator::tenant::{CloudAppsList, Fault, Rule};

use crate::world::flattened::{Event, arrived, assert_counts, raw_members, sorted};
use crate::world::{World, ago, artefacts, payloads, service};

const ALERTS: &str = "cloud-apps-alerts";
/// The tag of all events.
const TAG: &str = "casb.microsoft_defender.cloud_apps.alerts";

async fn world(settings: &Value) -> World {
    let world = World::new(service(ALERTS)).await;
    world.configure(settings);
    world
}

fn emit(world: &World, record: &str) {
    world.tenant.emit_cloud_apps(CloudAppsList::Alerts, record.to_owned()).unwrap();
}

/// From now on the API gives these alerts once, whatever they say of themselves.
fn give(world: &World, records: &[String]) {
    let page = Fault::Status { code: 200, body: Some(payloads::listed(records)), headers: Vec::new() };
    world.tenant.script(vec![Rule::on_cloud_apps(CloudAppsList::Alerts, page).nth(1)]);
}

/// The events of an alert whose entities are objects that say of which kind they are.
fn events_of(record: &str) -> Vec<Event> {
    let mut shared = raw_members(record);
    let Some(entities) = shared.remove("entities") else { return vec![shared] };
    let entities: Vec<&RawValue> = serde_json::from_str(&entities).unwrap();
    let mut kinds: Vec<(String, Vec<Event>)> = Vec::new();
    for entity in entities {
        let mut members = raw_members(entity.get());
        let kind: String = serde_json::from_str(&members.remove("type").unwrap()).unwrap();
        let prefixed = members.into_iter().map(|(name, value)| (format!("{kind}_{name}"), value)).collect();
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, group)) => group.push(prefixed),
            None => kinds.push((kind, vec![prefixed])),
        }
    }
    let counts = kinds.iter().map(|(kind, group)| (format!("related_{kind}s"), group.len().to_string()));
    shared.extend(counts.collect::<Vec<_>>());
    kinds.into_iter().fold(vec![shared], |events, (_, group)| {
        let with_one = |event: &Event, one: &Event| event.iter().chain(one).map(owned).collect();
        events.iter().flat_map(|event| group.iter().map(move |one| with_one(event, one))).collect()
    })
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_domains_and_three_users_are_the_six_events_of_the_vendors_example() {
    let world = world(&json!({"flatten": true})).await;
    let timestamp = ago(SignedDuration::from_mins(5)).as_millisecond();
    emit(
        &world,
        &format!(
            "{{\"id\":\"baseEventId1\",\"type\":\"alert\",\"timestamp\":{timestamp},\"entities\":[\
             {{\"type\":\"domain\",\"id\":1,\"name\":\"domain1\"}},{{\"type\":\"domain\",\"id\":2,\"name\":\"domain2\"}},\
             {{\"type\":\"user\",\"id\":1,\"name\":\"user1\"}},{{\"type\":\"user\",\"id\":2,\"name\":\"user2\"}},\
             {{\"type\":\"user\",\"id\":3,\"name\":\"user3\"}}]}}"
        ),
    );
    let answer = world.tick().await;
    assert_counts(&answer, TAG, 1, 6);
    assert_eq!(answer["warnings"], json!([]), "{answer}");
    let event = |domain: u8, user: u8| {
        Event::from(
            [
                ("id", "\"baseEventId1\"".to_owned()),
                ("type", "\"alert\"".to_owned()),
                ("timestamp", timestamp.to_string()),
                ("related_domains", "2".to_owned()),
                ("related_users", "3".to_owned()),
                ("domain_id", domain.to_string()),
                ("domain_name", format!("\"domain{domain}\"")),
                ("user_id", user.to_string()),
                ("user_name", format!("\"user{user}\"")),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        )
    };
    let expected = [1, 2].into_iter().flat_map(|domain| [1, 2, 3].map(|user| event(domain, user))).collect();
    assert_eq!(arrived(&world, TAG), sorted(expected));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_alerts_become_one_event_a_combination_of_their_entities() {
    let Some(samples) = artefacts::samples() else {
        println!("skipped: COLLECTOR_SAMPLES is not set");
        return;
    };
    let mut files: Vec<_> =
        fs::read_dir(samples.join("cloud_apps/alerts")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for file in files {
        let records = payloads::of_document(&fs::read_to_string(&file).unwrap());
        assert!(!records.is_empty(), "{}", file.display());
        let world = world(&json!({"flatten": true})).await;
        give(&world, &records);
        let expected: Vec<Event> = records.iter().flat_map(|record| events_of(record)).collect();
        let answer = world.tick().await;
        assert_counts(&answer, TAG, records.len(), expected.len());
        assert_eq!(answer["warnings"], json!([]));
        println!("{}: {} alerts, {} events", file.display(), records.len(), expected.len());
        assert_eq!(arrived(&world, TAG), sorted(expected));
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_alerts_with_and_without_entities_are_flattened_and_known_however_they_were_sent() {
    let world = world(&json!({})).await;
    let time = |seed: u64| ago(SignedDuration::from_mins(3 + seed.cast_signed()));
    let record = |seed| cloud_apps_record(CloudAppsList::Alerts, seed, time(seed));
    let first: Vec<String> = (20..24).map(record).collect();
    first.iter().for_each(|record| emit(&world, record));
    // Off as long as nobody says otherwise.
    assert_counts(&world.tick().await, TAG, 4, 4);
    world.configure(&json!({"flatten": true}));
    let second: Vec<String> = (0..20).map(record).collect();
    second.iter().for_each(|record| emit(&world, record));
    let mut expected: Vec<Event> = second.iter().flat_map(|record| events_of(record)).collect();
    assert!(second.iter().any(|record| record.contains("\"entities\":[]")), "no entity is one event");
    assert!(expected.len() > 30, "{}", expected.len());
    let answer = world.force().await;
    assert_eq!(
        (&answer["duplicates"], &answer["delivered"], &answer["sent"]),
        (&json!(4), &json!(20), &json!(expected.len())),
        "{answer}"
    );
    expected.extend(first.iter().map(|record| raw_members(record)));
    assert_eq!(arrived(&world, TAG), sorted(expected));
    // Nor is anything new when it is off again.
    world.configure(&json!({"flatten": false}));
    assert_eq!(world.force().await["delivered"], 0);
    world.close().await;
}

/// An alert with so many addresses and so many accounts.
fn alert_with(id: &str, addresses: usize, accounts: usize) -> String {
    let address =
        |number| format!("{{\"id\":\"10.0.0.{number}\",\"type\":\"ip\",\"level\":\"l\",\"Level\":{number}}}");
    let account =
        |number| format!("{{\"type\":\"account\",\"id\":\"account{number}\",\"em\":null,\"inst\":1.50}}");
    let entities: Vec<String> = (0..addresses).map(address).chain((0..accounts).map(account)).collect();
    let timestamp = ago(SignedDuration::from_mins(2)).as_millisecond();
    format!(
        "{{\"_id\":\"{id}\",\"timestamp\":{timestamp},\"title\":\"a\",\"entities\":[{}]}}",
        entities.join(",")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_combinations_than_allowed_are_one_record_as_it_was_and_a_warning() {
    let world = world(&json!({"flatten": true, "flatten_max_events": 12})).await;
    let (fits, too_much) = (alert_with("fits", 3, 4), alert_with("too-much", 13, 1));
    [&fits, &too_much].into_iter().for_each(|record| emit(&world, record));
    let mut expected = events_of(&fits);
    assert_eq!(expected.len(), 12);
    expected.push(raw_members(&too_much));
    let answer = world.tick().await;
    assert_counts(&answer, TAG, 2, 13);
    let warnings = answer["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{answer}");
    let told = warnings[0].as_str().unwrap();
    assert!(told.contains("flatten_max_events") && told.contains("13"), "{told}");
    assert_eq!(arrived(&world, TAG), sorted(expected));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_mask_entities_by_their_name_in_the_record_and_by_their_name_in_the_events() {
    let rules = json!([
        {"name": ["entities", "*", "em"], "value": "masked"},
        {"name": ["ip_id"], "value": "masked address"},
        {"name": ["account_id"], "value": "masked account"},
    ]);
    for most in [10, 5] {
        let settings = json!({"flatten": true, "flatten_max_events": most, "obfuscation_data": rules});
        let world = world(&settings).await;
        emit(&world, &alert_with("masked", 2, 3));
        let answer = world.tick().await;
        assert_counts(&answer, TAG, 1, if most == 10 { 6 } else { 1 });
        for event in arrived(&world, TAG) {
            let text = serde_json::to_string(&event).unwrap();
            for secret in ["10.0.0.", "account0", "account1", "account2"] {
                assert!(!text.contains(secret), "{secret} is not masked in {text}");
            }
            assert!(text.contains("masked address") && text.contains("masked account"), "{text}");
        }
        world.close().await;
    }
}
