//! Alerts of Defender for Endpoint, flattened: one event an element of `evidence`, every value as the API spelt it.
//!
//! What an event must have is worked out here a second time, member by member, and compared as sets of names with the
//! bytes of their values. Numbers of records and of events are told apart.

use std::fs;

use jiff::SignedDuration;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use simulator::records::defender_alert;
use simulator::tenant::{DefenderList, Fault, Rule};

use crate::world::flattened::{Event, arrived, assert_counts, raw_members, sorted};
use crate::world::related::{path_of, settings, switches};
use crate::world::{World, ago, artefacts, payloads, service};

const ALERTS: &str = "endpoint-alerts";

/// The tag of all events.
const TAG: &str = "edr.microsoft_defender.endpoint.alerts";

async fn world(settings: &Value) -> World {
    let world = World::new(service(ALERTS)).await;
    world.configure(settings);
    world
}

fn emit(world: &World, record: &str) {
    world.tenant.emit_defender(DefenderList::Alerts, record.to_owned()).unwrap();
}

/// From now on the API gives these alerts, whatever they say of themselves.
fn give(world: &World, records: &[String]) {
    let page = Fault::Status { code: 200, body: Some(payloads::page(records)), headers: Vec::new() };
    let empty = Fault::Status { code: 200, body: Some(payloads::page(&[])), headers: Vec::new() };
    let rules = [
        Rule::on_defender(DefenderList::Alerts, page).nth(1),
        Rule::on_defender(DefenderList::Alerts, empty),
    ];
    world.tenant.script(rules.to_vec());
}

/// The events of an alert.
fn events_of(record: &str) -> Vec<Event> {
    let mut shared = raw_members(record);
    if let Some(user) = shared.get("relatedUser").filter(|user| user.starts_with('{')).cloned() {
        shared.remove("relatedUser");
        let members = raw_members(&user).into_iter();
        shared.extend(members.map(|(name, value)| (format!("relatedUser_{name}"), value)));
    }
    let Some(evidence) = shared.remove("evidence") else { return vec![shared] };
    let elements: Vec<&RawValue> = serde_json::from_str(&evidence).unwrap();
    shared.insert("related_evidence".to_owned(), elements.len().to_string());
    if elements.is_empty() {
        return vec![shared];
    }
    let event = |element: &&RawValue| {
        let members = raw_members(element.get()).into_iter();
        let mut event = shared.clone();
        event.extend(members.map(|(name, value)| (format!("evidence_{name}"), value)));
        event
    };
    elements.iter().map(event).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_alerts_become_one_event_a_piece_of_evidence() {
    let Some(samples) = artefacts::samples() else {
        println!("skipped: COLLECTOR_SAMPLES is not set");
        return;
    };
    let mut files: Vec<_> =
        fs::read_dir(samples.join("endpoint/alerts")).unwrap().map(|file| file.unwrap().path()).collect();
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
async fn made_alerts_with_and_without_evidence_and_user_are_flattened_with_their_counts() {
    let wanted = switches(ALERTS, &["related_files", "related_users"]);
    let world = world(&settings(&wanted, &json!({"flatten": true}))).await;
    let mut expected = Vec::new();
    for seed in 0..20 {
        let record = defender_alert(seed, ago(SignedDuration::from_mins(3 + seed.cast_signed())));
        emit(&world, &record);
        let mut events = events_of(&record);
        for switch in &wanted {
            let count = world.tenant.related_count(&path_of(switch.relation, &record)).unwrap();
            for event in &mut events {
                event.insert(switch.member.to_owned(), count.to_string());
            }
        }
        expected.extend(events);
    }
    let is_null = |event: &Event| event.get("relatedUser").is_some_and(|user| user == "null");
    assert!(expected.iter().any(is_null), "a null stays");
    assert!(expected.iter().any(|event| event["related_evidence"] == "0"), "no evidence is one event");
    let answer = world.tick().await;
    assert_counts(&answer, TAG, 20, expected.len());
    assert_eq!(arrived(&world, TAG), sorted(expected));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_is_known_is_a_duplicate_however_it_was_sent() {
    let world = world(&json!({"flatten": false})).await;
    let time = ago(SignedDuration::from_mins(5));
    let records: Vec<String> = (0..12).map(|seed| defender_alert(seed, time)).collect();
    records.iter().for_each(|record| emit(&world, record));
    assert_counts(&world.tick().await, TAG, 12, 12);
    world.configure(&json!({"flatten": true}));
    let fresh = defender_alert(40, ago(SignedDuration::from_secs(3)));
    emit(&world, &fresh);
    let events = events_of(&fresh).len();
    let again = world.force().await;
    assert_eq!(
        (&again["duplicates"], &again["delivered"], &again["sent"]),
        (&json!(12), &json!(1), &json!(events))
    );
    assert_eq!(again["received"], 13, "{again}");
    let unflattened: Vec<Event> = records.iter().map(|record| raw_members(record)).collect();
    let expected = unflattened.into_iter().chain(events_of(&fresh)).collect();
    assert_eq!(arrived(&world, TAG), sorted(expected));
    world.close().await;
}

/// An alert with so many pieces of evidence, each with an account of its own.
fn alert_with(id: &str, pieces: usize) -> String {
    let evidence: Vec<String> = (0..pieces)
        .map(|piece| {
            format!("{{\"entityType\":\"User\",\"accountName\":\"account{piece}\",\"ipAddress\":\"10.0.0.{piece}\"}}")
        })
        .collect();
    let time = ago(SignedDuration::from_mins(2));
    format!(
        "{{\"id\":\"{id}\",\"lastUpdateTime\":\"{time}\",\"title\":\"a\",\"relatedUser\":{{\"userName\":\"someone\",\
         \"domainName\":\"D\"}},\"loggedOnUsers\":[{{\"accountName\":\"x\"}},{{\"accountName\":\"y\"}}],\
         \"comments\":[],\"evidence\":[{}]}}",
        evidence.join(",")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_mask_by_the_name_in_the_record_and_by_the_name_in_the_events() {
    let rule = |name: &[&str], value: &str| json!({"name": name, "value": value});
    let rules = json!([
        rule(&["relatedUser", "userName"], "nested user"),
        rule(&["relatedUser_domainName"], "flat domain"),
        rule(&["evidence", "*", "accountName"], "nested account"),
        rule(&["evidence_ipAddress"], "flat address"),
        rule(&["loggedOnUsers", "*", "accountName"], "logged on"),
        {"name": ["related_files"]},
    ]);
    let wanted = switches(ALERTS, &["related_files", "related_ips"]);
    for most in [10, 2] {
        let more = json!({"flatten": true, "flatten_max_events": most, "obfuscation_data": rules});
        let world = world(&settings(&wanted, &more)).await;
        let record = alert_with("masked", 3);
        emit(&world, &record);
        let ips = world.tenant.related_count(&path_of(wanted[1].relation, &record)).unwrap();
        let answer = world.tick().await;
        assert_counts(&answer, TAG, 1, if most == 2 { 1 } else { 3 });
        for event in arrived(&world, TAG) {
            let text = serde_json::to_string(&event).unwrap();
            for secret in [
                "someone",
                "\\\"D\\\"",
                "account0",
                "account1",
                "account2",
                "10.0.0.",
                "\\\"x\\\"",
                "\\\"y\\\"",
            ] {
                assert!(!text.contains(secret), "{secret} is not masked in {text}");
            }
            assert_eq!(event["related_ips"], ips.to_string());
            assert_eq!(event["related_files"], "-1", "an integer is masked in kind");
            assert_eq!(
                event["loggedOnUsers"],
                "[{\"accountName\":\"logged on\"},{\"accountName\":\"logged on\"}]"
            );
            if most == 2 {
                assert_eq!(
                    event["relatedUser"],
                    "{\"userName\":\"nested user\",\"domainName\":\"flat domain\"}"
                );
                assert!(text.contains("nested account") && text.contains("flat address"), "{text}");
                continue;
            }
            assert_eq!(event["relatedUser_userName"], "\"nested user\"");
            assert_eq!(event["relatedUser_domainName"], "\"flat domain\"");
            assert_eq!(event["evidence_accountName"], "\"nested account\"");
            assert_eq!(event["evidence_ipAddress"], "\"flat address\"");
        }
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_events_than_allowed_are_one_record_as_it_was_and_a_warning() {
    let wanted = switches(ALERTS, &["related_domains"]);
    let world = world(&settings(&wanted, &json!({"flatten": true, "flatten_max_events": 5}))).await;
    let (fits, too_much) = (alert_with("fits", 5), alert_with("too-much", 6));
    let mut expected = events_of(&fits);
    expected.push(raw_members(&too_much));
    [&fits, &too_much].into_iter().for_each(|record| emit(&world, record));
    for (index, event) in expected.iter_mut().enumerate() {
        let record = if index < 5 { &fits } else { &too_much };
        let count = world.tenant.related_count(&path_of(wanted[0].relation, record)).unwrap();
        event.insert("related_domains".to_owned(), count.to_string());
    }
    let answer = world.tick().await;
    assert_counts(&answer, TAG, 2, 6);
    let warnings = answer["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{answer}");
    let told = warnings[0].as_str().unwrap();
    assert!(told.contains("flatten_max_events") && told.contains('6'), "{told}");
    assert_eq!(arrived(&world, TAG), sorted(expected));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_one_alert_that_are_more_than_a_batch_arrive_all_the_same() {
    let world = world(&json!({"flatten": true})).await;
    let pieces = 1_500;
    let description = "x".repeat(12_000);
    let large =
        alert_with("large", pieces).replace("\"title\":\"a\"", &format!("\"title\":\"{description}\""));
    let small = alert_with("small", 2);
    [&large, &small].into_iter().for_each(|record| emit(&world, record));
    let answer = world.tick().await;
    assert_counts(&answer, TAG, 2, pieces + 2);
    let accounts: std::collections::BTreeSet<String> = world
        .records()
        .iter()
        .map(|arrival| arrival.json()["evidence_accountName"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((accounts.len(), world.records().len()), (pieces, pieces + 2), "each once");
    let bytes = answer["bytes_sent"].as_u64().unwrap();
    println!("{bytes} bytes sent");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_taken_loses_no_value_and_what_is_no_evidence_stays() {
    let time = ago(SignedDuration::from_mins(2));
    let shapes = [
        // Names that the events would make are there already.
        (
            "\"related_evidence\":9,\"evidence_a\":8,\"relatedUser_b\":7,\"relatedUser\":{\"b\":6},\"evidence\":[{\"a\":5}]",
            1,
        ),
        ("\"evidence\":null,\"relatedUser\":[1]", 1),
        ("\"evidence\":{\"a\":1}", 1),
        ("\"evidence\":\"text\"", 1),
        ("\"evidence\":[1,\"x\",null,[2],{\"a\":1.50,\"a\":2}]", 5),
        ("\"evidence\":[{},{}],\"relatedUser\":{}", 2),
    ];
    let world = world(&json!({"flatten": true})).await;
    let mut events = 0;
    for (index, (members, count)) in shapes.iter().enumerate() {
        emit(&world, &format!("{{\"id\":\"s{index}\",\"lastUpdateTime\":\"{time}\",{members}}}"));
        events += count;
    }
    let answer = world.tick().await;
    assert_eq!((&answer["delivered"], &answer["status"]), (&json!(6), &json!("up_to_date")), "{answer}");
    for arrival in world.records() {
        println!("{}", arrival.message);
    }
    assert_eq!(answer["sent"], events, "{answer}");
    let of_first = world.records().into_iter().find(|arrival| arrival.message.contains("\"s0\"")).unwrap();
    for value in ["9", "8", "7", "6", "5"] {
        assert!(raw_members(&of_first.message).values().any(|one| one == value), "{value} is lost");
    }
    world.close().await;
}
