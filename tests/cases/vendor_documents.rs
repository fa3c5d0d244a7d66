//! The vendor's own sample documents are what existing installations have: each of the services works with them as they
//! are, and `collector migrate` turns the older one into one that loads without a word.

use std::collections::BTreeSet;
use std::process::Stdio;

use collector::service::Service;
use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::receiver::ReceiverConfig;
use simulator::tenant::Endpoint;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::world::vendor_documents::{Sample, filled, page};
use crate::world::{World, ago, artefacts, contract, security, services};

const RECORDS: u64 = 8;

/// The vendor's page, or a word that says why nothing is played.
fn page_or_skip(test: &str) -> Option<String> {
    let Some(samples) = artefacts::samples() else {
        println!("skipped: {test}: COLLECTOR_SAMPLES is not set");
        return None;
    };
    let found = page(&samples);
    if found.is_none() {
        println!("skipped: {test}: the vendor's page is not beside the samples");
    }
    found
}

fn graph_services() -> impl Iterator<Item = &'static Service> {
    services().chain(security())
}

/// Emits records of the last hours, each of which the document asks for; gives those that it shall bring.
fn emit(world: &World, sample: Sample) -> Vec<String> {
    let emitted: Vec<String> = (0..RECORDS)
        .map(|seed| world.emit(seed, ago(SignedDuration::from_mins(10 + 90 * seed.cast_signed()))))
        .collect();
    let is_wanted = |record: &String| {
        // In the older document the newer sign-ins are three services, none of which is for people at a screen.
        let is_of_parts = world.endpoint() == Endpoint::SignInsBeta && sample != Sample::Version2;
        let kinds = serde_json::from_str::<Value>(record).unwrap()["signInEventTypes"].clone();
        !is_of_parts || kinds != json!(["interactiveUser"])
    };
    let wanted: Vec<String> = emitted.into_iter().filter(is_wanted).collect();
    assert!(!wanted.is_empty());
    wanted
}

/// Pulls once with this document; gives the answer. What arrives is compared with what was to come.
async fn pull(service: &'static Service, page: &str, sample: Sample, is_migrated: bool) -> Value {
    let world = World::new(service).await;
    let (receiver, devo) = world.own_receiver(ReceiverConfig::default()).await;
    world.store_secrets(&world.document(), &devo);
    let mut document = filled(page, sample, &world);
    if is_migrated {
        document = migrated(&document).await;
    }
    world.secrets.put("collector", &document).unwrap();
    let wanted = emit(&world, sample);
    let answer = world.tick().await;
    let play = format!("{sample:?} {}: {answer}", service.function);
    assert_eq!(
        (&answer["status"], &answer["delivered"]),
        (&json!("up_to_date"), &json!(wanted.len())),
        "{play}"
    );

    let tag_of = |record: &str| match sample {
        Sample::Version2 => format!("my.app.{}.test", service.name.to_lowercase()),
        _ => world.promise.tag(&serde_json::from_str(record).unwrap(), "default"),
    };
    // Without an environment the record has one member of ours, at its end.
    let record_of = |message: &str| match sample {
        Sample::Version2 => contract::record_of(message),
        _ => format!("{}}}", message.split(r#","@devo_pulling_id":"#).next().unwrap()),
    };
    let arrived: BTreeSet<(String, String)> = receiver
        .events()
        .into_iter()
        .filter(|event| !event.tag.starts_with("devo."))
        .map(|event| (event.tag, record_of(&String::from_utf8_lossy(&event.message))))
        .collect();
    let expected: BTreeSet<(String, String)> =
        wanted.iter().map(|record| (tag_of(record), record.clone())).collect();
    assert_eq!(arrived, expected, "{play}");
    world.close().await;
    answer
}

fn warnings(answer: &Value) -> Vec<String> {
    answer["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sample_for_2_0_0_works_with_each_service_and_no_setting_is_warned_of() {
    let Some(page) = page_or_skip("the_sample_for_2_0_0_works_with_each_service") else { return };
    let answers =
        join_all(graph_services().map(|service| pull(service, &page, Sample::Version2, false))).await;
    assert_eq!(answers.len(), 8);
    for answer in answers {
        assert_eq!(warnings(&answer), [""; 0], "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sample_for_1_7_1_works_with_each_service_and_each_translated_key_is_one_warning() {
    let Some(page) = page_or_skip("the_sample_for_1_7_1_works_with_each_service") else { return };
    for sample in [Sample::Version1WithStart, Sample::Version1WithDays] {
        let pulls = graph_services().map(|service| {
            let pulled = pull(service, &page, sample, false);
            async move { (service.function, pulled.await) }
        });
        for (function, answer) in join_all(pulls).await {
            let told = warnings(&answer);
            let expected = translated(function, sample);
            for words in &expected {
                let count = told.iter().filter(|line| line.contains(words)).count();
                assert_eq!(count, 1, "{sample:?} {function}: {words}: {told:?}");
            }
            assert_eq!(told.len(), expected.len(), "{sample:?} {function}: {expected:?}: {told:?}");
        }
    }
}

/// What one function is told of the older document: a part of each warning.
fn translated(function: &str, sample: Sample) -> Vec<&'static str> {
    let mut all = vec!["inputs.microsoft_graph: ", "ms_365_environment: ", "custom_endpoints: "];
    let is_list = function == "graph-secure-score-control-profiles";
    match sample {
        Sample::Version2 => {}
        // The list's block has no reset, and a start means nothing to it.
        Sample::Version1WithStart => {
            all.push(if is_list { "start_time: " } else { "reset_persistence_auth: " })
        }
        Sample::Version1WithDays => all.push("override_time_delta_in_days: "),
    }
    all.extend_from_slice(match function {
        "graph-secure-scores" => &["tag_version: ", "pull_sliding_window_timespan_period: "],
        "graph-alerts" => &["pull_sliding_window_timespan_period: "],
        "graph-secure-score-control-profiles" => &["tag_version: "],
        "graph-sign-ins-v2" => &["signIn_nonInteractive: "],
        _ => &[],
    });
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_migrate_makes_of_each_sample_works_with_each_service_without_a_warning() {
    let Some(page) = page_or_skip("what_migrate_makes_of_each_sample_works") else { return };
    // Made before the first world, whose records are as old as they are.
    artefacts::collector();
    for sample in Sample::ALL {
        let answers = join_all(graph_services().map(|service| pull(service, &page, sample, true))).await;
        for answer in answers {
            assert_eq!(warnings(&answer), [""; 0], "{sample:?}: {answer}");
        }
    }
}

/// What `collector migrate` prints.
async fn migrated(document: &str) -> String {
    let mut command = Command::new(artefacts::collector());
    command.args(["migrate", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(document.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert!(!told.contains("simulated~client-secret"), "a secret is told");
    String::from_utf8(output.stdout).unwrap()
}
