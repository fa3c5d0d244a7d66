//! Counts of what belongs to the records of Defender for Endpoint: each switch adds one number, and the record stays.
//!
//! The numbers are those that the simulated tenant gives itself. A count that cannot be had costs its member and a
//! warning, never the record.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::tenant::{
    DEFENDER_ROLES, DefenderConfig, DefenderRelation, Fault, Gate, NextLinks, NoRelated, Rule, TenantConfig,
};

use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::related::{
    SWITCHES, Switch, asked, asked_for, enriched, id_of, path_of, settings, switches, with_members,
};
use crate::world::{World, ago, service};

/// Worlds side by side; more would only wait for one another's processors.
const SIDE_BY_SIDE: usize = 4;

async fn world(function: &str, defender: DefenderConfig) -> World {
    World::with(service(function), TenantConfig { defender, ..TenantConfig::default() }).await
}

/// Emits so many records, one a minute; gives their texts.
fn emit(world: &World, seeds: std::ops::Range<u64>) -> Vec<String> {
    seeds.map(|seed| world.emit(seed, ago(SignedDuration::from_mins(3 + seed.cast_signed())))).collect()
}

fn all_enriched(world: &World, records: &[String], switches: &[&Switch]) -> Vec<String> {
    records.iter().map(|record| enriched(world, record, switches)).collect()
}

fn warnings(answer: &Value) -> Vec<&str> {
    answer["warnings"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_switch_adds_its_own_number_at_the_end_of_an_untouched_record() {
    let plays = SWITCHES.iter().map(|switch| async move {
        let world = world(switch.function, DefenderConfig::default()).await;
        world.configure(&settings(&[switch], &json!({})));
        let records = emit(&world, 0..4);
        let answer = world.tick().await;
        assert_answer(&answer, switch.function, 4);
        assert_eq!(answer["warnings"], json!([]), "{}", switch.name);
        assert_arrived(&world, &all_enriched(&world, &records, &[switch]));
        let (asked, of_it) = (asked(&world), asked_for(&world, switch.relation));
        assert_eq!((asked.len(), of_it.len()), (4, 4), "{}: one request a record", switch.name);
        // What was sent is known: neither it nor its counts are asked for again.
        let again = world.force().await;
        assert_answer(&again, switch.function, 0);
        assert_eq!(asked_for(&world, switch.relation).len(), 4, "{}", switch.name);
        world.close().await;
    });
    let played: Vec<()> = stream::iter(plays).buffer_unordered(SIDE_BY_SIDE).collect().await;
    assert_eq!(played.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_switches_of_a_service_together_add_their_numbers_in_the_order_of_the_table() {
    let functions: BTreeSet<&str> = SWITCHES.iter().map(|switch| switch.function).collect();
    let plays = functions.into_iter().map(|function| async move {
        for no_related in [NoRelated::EmptyArray, NoRelated::NotFound] {
            let world =
                world(function, DefenderConfig { no_related, most_related: 2, ..DefenderConfig::default() })
                    .await;
            let all = switches(function, &[]);
            world.configure(&settings(&all, &json!({})));
            let records = emit(&world, 0..8);
            let expected = all_enriched(&world, &records, &all);
            for switch in &all {
                let none = format!("\"{}\":0", switch.member);
                assert!(expected.iter().any(|record| record.contains(&none)), "{none} is not among them");
                assert!(expected.iter().any(|record| !record.contains(&none)), "{none} is all of them");
            }
            let answer = world.tick().await;
            assert_answer(&answer, function, 8);
            assert_eq!(answer["warnings"], json!([]), "{function}");
            assert_arrived(&world, &expected);
            world.close().await;
        }
    });
    let played: Vec<()> = stream::iter(plays).buffer_unordered(SIDE_BY_SIDE).collect().await;
    assert_eq!(played.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_counts_as_one_and_where_there_is_none_it_counts_as_nothing() {
    let world =
        world("endpoint-alerts", DefenderConfig { most_related: 1, ..DefenderConfig::default() }).await;
    let both = switches("endpoint-alerts", &["related_machines", "related_users"]);
    world.configure(&settings(&both, &json!({})));
    let records = emit(&world, 0..12);
    let answer = world.tick().await;
    assert_answer(&answer, "endpoint-alerts", 12);
    let statuses: BTreeSet<Option<u16>> = asked(&world).iter().map(|seen| seen.status).collect();
    assert_eq!(statuses, BTreeSet::from([Some(200), Some(404)]), "both are met");
    assert_eq!(answer["warnings"], json!([]), "a 404 is no news");
    assert_arrived(&world, &all_enriched(&world, &records, &both));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_of_a_relation_are_added_together_at_the_configured_host() {
    let defender = DefenderConfig {
        most_related: 9,
        related_page: 2,
        next_links: NextLinks::Always,
        link_host: Some("https://api-eu.securitycenter.windows.com".to_owned()),
        ..DefenderConfig::default()
    };
    let world = world("endpoint-machines", defender).await;
    let both = switches("endpoint-machines", &["related_alerts", "related_software"]);
    world.configure(&settings(&both, &json!({})));
    let records = emit(&world, 0..6);
    assert_answer(&world.tick().await, "endpoint-machines", 6);
    assert_arrived(&world, &all_enriched(&world, &records, &both));
    let pages = |relation, record: &String| {
        world.tenant.related_count(&path_of(relation, record)).unwrap().div_ceil(2).max(1)
    };
    for switch in both {
        let expected: usize = records.iter().map(|record| pages(switch.relation, record)).sum();
        assert_eq!(asked_for(&world, switch.relation).len(), expected, "{}", switch.name);
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_of_any_spelling_find_their_own_counts() {
    let ids = [
        "microsoft-_-edge",
        "back\\slash",
        "a/b",
        "a b",
        "c#",
        "100%",
        "100%25",
        "caf\u{e9}",
        "c++",
        "a?b=c&d",
        "a;b",
        "\"quoted\"",
        "a:b@c",
        "\u{65e5}\u{672c}",
        "..-_-..",
        "va-_-x-_-y,z",
        "{id}",
        "$skip=1",
        "%2e%2e",
    ];
    for function in ["endpoint-software", "endpoint-recommendations"] {
        let world = world(function, DefenderConfig::default()).await;
        let all = switches(function, &[]);
        world.configure(&settings(&all, &json!({})));
        let records: Vec<String> =
            ids.iter().map(|id| format!("{{\"id\":{},\"name\":\"x\"}}", json!(id))).collect();
        for record in &records {
            world.tenant.emit_defender(world.list(), record.clone()).unwrap();
        }
        let answer = world.tick().await;
        assert_answer(&answer, function, ids.len() as u64);
        assert_eq!(answer["warnings"], json!([]), "{function}");
        assert_arrived(&world, &all_enriched(&world, &records, &all));
        assert_eq!(asked(&world).len(), ids.len() * all.len(), "{function}: one request each");
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_that_is_missing_costs_its_member_alone_until_it_is_granted() {
    let world = world("endpoint-alerts", DefenderConfig::default()).await;
    let all = switches("endpoint-alerts", &[]);
    let granted = switches(
        "endpoint-alerts",
        &["related_files", "related_machines", "related_domains", "related_users"],
    );
    world.configure(&settings(&all, &json!({})));
    world.tenant.set_defender_roles(DEFENDER_ROLES.into_iter().filter(|role| *role != "Ip.Read.All"));
    let first = emit(&world, 0..5);
    let mut expected = all_enriched(&world, &first, &granted);
    let answer = world.tick().await;
    assert_answer(&answer, "endpoint-alerts", 5);
    let told = warnings(&answer);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("Ip.Read.All") && told[0].contains("related_ips"), "{told:?}");
    assert_eq!(asked_for(&world, DefenderRelation::AlertIps).len(), 1, "once, not for each record");
    assert_arrived(&world, &expected);

    world.tenant.set_defender_roles(DEFENDER_ROLES);
    let second: Vec<String> =
        (10..13).map(|seed| world.emit(seed, ago(SignedDuration::from_secs(2)))).collect();
    expected.extend(all_enriched(&world, &second, &all));
    let answer = world.force().await;
    assert_answer(&answer, "endpoint-alerts", 3);
    assert_eq!(answer["warnings"], json!([]));
    assert_arrived(&world, &expected);
    let story: Vec<String> = world.story().into_iter().map(|(_, text)| text).collect();
    assert_eq!(story.iter().filter(|text| text.contains("Ip.Read.All")).count(), 1, "{story:?}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_between_its_list_and_its_counts_has_nothing() {
    let world = world("endpoint-machines", DefenderConfig::default()).await;
    let all = switches("endpoint-machines", &[]);
    world.configure(&settings(&all, &json!({})));
    let mut numbers = Vec::new();
    let mut records = Vec::new();
    for seed in 0..4 {
        let record = simulator::records::machine(seed, ago(SignedDuration::from_mins(3)));
        numbers.push(world.tenant.emit_defender(world.list(), record.clone()).unwrap());
        records.push(record);
    }
    let mut expected = all_enriched(&world, &records, &all);
    let gate = Gate::new();
    let first = Rule::on_related(DefenderRelation::MachineLogonUsers, Fault::Hold(gate.clone())).nth(1);
    world.tenant.script(vec![first]);
    let delete = async {
        gate.arrived(1).await;
        world.tenant.remove_defender(world.list(), numbers[2]).unwrap();
        gate.release();
    };
    let (answer, ()) = tokio::join!(world.tick(), delete);
    let nothing: Vec<(&str, usize)> = all.iter().map(|switch| (switch.member, 0)).collect();
    expected[2] = with_members(&records[2], &nothing);
    assert_answer(&answer, "endpoint-machines", 4);
    assert_eq!(answer["warnings"], json!([]));
    assert_arrived(&world, &expected);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_for_one_record_is_left_out_of_that_one_alone() {
    let world = world("endpoint-recommendations", DefenderConfig::default()).await;
    let all = switches("endpoint-recommendations", &[]);
    world.configure(&settings(&all, &json!({})));
    let records = emit(&world, 0..4);
    let refused = Rule::on_related(DefenderRelation::RecommendationMachines, Fault::status(400)).nth(2);
    world.tenant.script(vec![refused]);
    let answer = world.tick().await;
    assert_answer(&answer, "endpoint-recommendations", 4);
    let of_second = asked_for(&world, DefenderRelation::RecommendationMachines)[1].path.clone();
    let rest = switches("endpoint-recommendations", &["related_software", "related_vulnerabilities"]);
    let is_it = |record: &&String| path_of(DefenderRelation::RecommendationMachines, record) == of_second;
    assert_eq!(records.iter().filter(is_it).count(), 1, "{of_second}");
    let expected: Vec<String> = records
        .iter()
        .map(|record| enriched(&world, record, if is_it(&record) { &rest } else { &all }))
        .collect();
    assert_arrived(&world, &expected);
    let told = warnings(&answer);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("related_machines is left out of the record"), "{told:?}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relation_that_fails_for_ever_costs_three_invocations_and_its_member_and_not_the_record() {
    let world = world("endpoint-machines", DefenderConfig::default()).await;
    let (failing, fine) = (DefenderRelation::MachineVulnerabilities, DefenderRelation::MachineAlerts);
    let both = switches("endpoint-machines", &["related_alerts", "related_vulnerabilities"]);
    world.configure(&settings(&both, &json!({})));
    let records = emit(&world, 0..2);
    // Four requests an invocation: one and its three repeats.
    let rule = Rule::on_related(failing, Fault::status(500)).first(12);
    world.tenant.script(vec![rule]);
    for round in 1..3 {
        let error = world.once(&json!({"force": true})).await.error();
        assert_eq!(error.error_type, "ApiError", "{round}: {}", error.message);
        assert!(error.message.starts_with("[498] Error during API call to "), "{}", error.message);
        assert!(error.message.contains("/vulnerabilities"), "{}", error.message);
        assert!(world.records().is_empty(), "it is not sent without its counts");
        assert_eq!(asked_for(&world, fine).len(), 1, "what was counted is kept");
    }
    let answer = world.force().await;
    assert_answer(&answer, "endpoint-machines", 2);
    let told = warnings(&answer);
    assert!(
        told.iter().any(|told| told.contains("related_vulnerabilities is left out of the record")),
        "{told:?}"
    );
    let without = switches("endpoint-machines", &["related_alerts"]);
    let expected = [enriched(&world, &records[0], &without), enriched(&world, &records[1], &both)];
    assert_arrived(&world, &expected);
    assert_eq!(asked_for(&world, fine).len(), 2, "one request a record, whatever else failed");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_html_and_a_broken_connection_are_asked_again() {
    for fault in [Fault::Html, Fault::Reset, Fault::Truncate { at: 20 }, Fault::NotJson] {
        let world = world("endpoint-vulnerabilities", DefenderConfig::default()).await;
        let all = switches("endpoint-vulnerabilities", &[]);
        world.configure(&settings(&all, &json!({})));
        let records = emit(&world, 0..3);
        let what = format!("{fault:?}");
        world.tenant.script(vec![Rule::on_related(DefenderRelation::VulnerabilityMachines, fault).nth(2)]);
        let answer = world.tick().await;
        assert_answer(&answer, "endpoint-vulnerabilities", 3);
        assert_arrived(&world, &all_enriched(&world, &records, &all));
        assert_eq!(asked(&world).len(), 4, "{what}");
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_that_change_make_no_new_record_and_a_record_that_changes_is_counted_anew() {
    let world = world("endpoint-software", DefenderConfig::default()).await;
    let all = switches("endpoint-software", &[]);
    world.configure(&settings(&all, &json!({})));
    let mut records = [emit(&world, 0..1), emit(&world, 2..3)].concat();
    let last = simulator::records::software(1);
    let number = world.tenant.emit_defender(world.list(), last.clone()).unwrap();
    records.push(last);
    let mut expected = all_enriched(&world, &records, &all);
    assert_answer(&world.tick().await, "endpoint-software", 3);
    let counted = asked(&world).len();

    let body = json!({"value": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}).to_string();
    let more = || Fault::Status { code: 200, body: Some(body.clone()), headers: Vec::new() };
    world.tenant.script(all.iter().map(|switch| Rule::on_related(switch.relation, more())).collect());
    let again = world.force().await;
    assert_answer(&again, "endpoint-software", 0);
    assert_eq!((again["duplicates"].clone(), asked(&world).len()), (json!(3), counted));

    let changed = records[2].replace("\"activeAlert\":false", "\"activeAlert\":true");
    assert_ne!(changed, records[2]);
    world.tenant.update_defender(world.list(), number, changed.clone()).unwrap();
    assert_answer(&world.force().await, "endpoint-software", 1);
    let eleven: Vec<(&str, usize)> = all.iter().map(|switch| (switch.member, 11)).collect();
    expected.push(with_members(&changed, &eleven));
    assert_arrived(&world, &expected);
    assert_eq!(id_of(&changed), id_of(&records[2]));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_shows_counts_and_asks_for_no_more_of_them_than_it_shows() {
    let world = world("endpoint-alerts", DefenderConfig::default()).await;
    let all = switches("endpoint-alerts", &[]);
    world.configure(&settings(&all, &json!({})));
    let records = emit(&world, 0..9);
    let expected: BTreeSet<String> = all_enriched(&world, &records, &all).into_iter().collect();
    let answer = world.once(&json!({"dry_run": true})).await.answer();
    assert_eq!(answer["status"], "dry_run", "{answer}");
    let samples = answer["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 3, "{answer}");
    for sample in samples {
        let message = &sample["message"];
        let mut shown = message
            .as_object()
            .cloned()
            .unwrap_or_else(|| serde_json::from_str(message.as_str().unwrap()).unwrap());
        shown.retain(|name, _| !name.starts_with("@devo_"));
        let is_it =
            |record: &String| serde_json::from_str::<Value>(record).unwrap() == Value::Object(shown.clone());
        assert!(expected.iter().any(is_it), "{shown:?}");
    }
    assert_eq!(asked(&world).len(), 3 * all.len());
    assert_eq!(
        (world.arrivals().len(), world.table.rows().await.len()),
        (0, 0),
        "nothing sent, nothing kept"
    );
    world.close().await;
}
