//! Every sample invocation of the folder `events`, through the artefact.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::tenant::{Addressee, Fault, PageSize, Rule, TenantConfig};

use crate::world::artefacts::workspace;
use crate::world::{AMPLE, World, ago, contract, service};

/// The samples filter by a property of this service.
const FUNCTION: &str = "graph-directory-audits";

fn sample(name: &str) -> Value {
    let path = workspace().join("events").join(name).with_extension("json");
    serde_json::from_slice(&fs::read(&path).unwrap()).unwrap()
}

async fn world() -> World {
    let page_size = PageSize { default: 10, maximum: 10 };
    World::with(service(FUNCTION), TenantConfig { page_size, ..TenantConfig::default() }).await
}

fn emit_minutes(world: &World, minutes: impl IntoIterator<Item = i64>) -> Vec<String> {
    let records = minutes
        .into_iter()
        .map(|minute| world.emit(minute.unsigned_abs(), ago(SignedDuration::from_mins(minute))));
    records.collect()
}

fn arrived(world: &World) -> BTreeSet<String> {
    world.records().iter().map(|arrival| contract::record_of(&arrival.message)).collect()
}

#[test]
fn every_sample_is_played_by_a_test_of_this_file() {
    let files = fs::read_dir(workspace().join("events")).unwrap();
    let names: BTreeSet<String> =
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let source = include_str!("events.rs");
    for name in &names {
        assert!(source.contains(&format!("sample(\"{name}\")")), "events/{name}.json is played by no test");
    }
    assert!(names.len() >= 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_and_a_scheduler_mean_the_same_tick_and_force_comes_before_its_time() {
    for tick in [sample("timer"), sample("scheduler"), json!({})] {
        let world = world().await;
        let emitted = emit_minutes(&world, 3..15);
        let answer = world.once(&tick).await.answer();
        assert_eq!((&answer["status"], &answer["delivered"]), (&json!("up_to_date"), &json!(12)), "{answer}");
        let early = world.once(&tick).await.answer();
        assert_eq!((&early["status"], &early["requests"]), (&json!("not_due"), &json!(0)), "{early}");
        let forced = world.once(&sample("force")).await.answer();
        assert_eq!(
            (&forced["status"], &forced["duplicates"]),
            (&json!("up_to_date"), &json!(12)),
            "{forced}"
        );
        assert_eq!(arrived(&world), emitted.into_iter().collect());
        world.close().await;
    }
}

/// The sample backfill, from `from` minutes ago to `to` minutes ago.
fn backfill(from: i64, to: i64) -> Value {
    let mut event = sample("backfill");
    event["backfill"]["start_time_in_utc"] = json!(ago(SignedDuration::from_mins(from)).to_string());
    event["backfill"]["end_time_in_utc"] = json!(ago(SignedDuration::from_mins(to)).to_string());
    event
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_is_continued_until_it_is_complete_and_sends_only_what_is_missing() {
    let world = world().await;
    let live = emit_minutes(&world, 5..8);
    assert_eq!(world.tick().await["delivered"], 3);
    // Before the start of the service, three days ago; each page takes so long that one invocation reads few of them.
    let old = emit_minutes(&world, (0..60).map(|minute| 3 * 1440 + minute));
    let slow = Fault::Delay(Duration::from_millis(400));
    world.tenant.script(vec![Rule::on_endpoint(world.endpoint(), slow)]);
    let event = backfill(3 * 1440 + 100, 3 * 1440 - 100);
    let process = world.process().await;
    let mut words = Vec::new();
    for _ in 0..12 {
        let answer = world.invoke(&process, &event, Duration::from_millis(2600)).await.answer();
        assert_eq!(answer["received"], answer["delivered"], "nothing of it was sent before: {answer}");
        words.push(answer["status"].as_str().unwrap().to_owned());
        if answer["status"] != "more" {
            break;
        }
    }
    let (last, before) = words.split_last().unwrap();
    assert_eq!(last, "up_to_date");
    assert!(!before.is_empty(), "one invocation sufficed");
    world.tenant.script(Vec::new());
    let everything: BTreeSet<String> = live.into_iter().chain(old).collect();
    assert_eq!(arrived(&world), everything);
    assert_eq!(world.records().len(), everything.len(), "nothing came twice");

    // Complete: the same request begins anew, and finds nothing that is missing.
    let again = world.invoke(&process, &event, AMPLE).await.answer();
    assert_eq!(
        (&again["received"], &again["duplicates"], &again["delivered"]),
        (&json!(60), &json!(60), &json!(0))
    );
    // Another request, which sends again what it finds.
    let mut resend = event.clone();
    resend["backfill"]["resend"] = json!(true);
    let sent_again = world.invoke(&process, &resend, AMPLE).await.answer();
    assert_eq!(sent_again["delivered"], 60, "{sent_again}");
    assert_eq!(world.records().len(), everything.len() + 60);
    // None of this moved the live position.
    let live_again = world.force().await;
    assert_eq!((&live_again["received"], &live_again["delivered"]), (&json!(3), &json!(0)), "{live_again}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_that_meets_a_held_lease_is_recorded_and_the_next_tick_goes_on_with_it() {
    let world = world().await;
    let old = emit_minutes(&world, [3 * 1440, 3 * 1440 + 7]);
    let gate = simulator::tenant::Gate::new();
    world.tenant.script(vec![Rule::on_endpoint(world.endpoint(), Fault::Hold(gate.clone())).nth(1)]);
    let (holder, asker) = (world.process().await, world.process().await);
    let tick = json!({});
    let (held, asked) = tokio::join!(world.invoke(&holder, &tick, AMPLE), async {
        gate.arrived(1).await;
        let event = backfill(3 * 1440 + 60, 3 * 1440 - 60);
        let asked = world.invoke(&asker, &event, AMPLE).await.answer();
        gate.release();
        asked
    });
    assert_eq!(asked["status"], "locked", "{asked}");
    assert_eq!(held.answer()["delivered"], 0, "the live window does not reach so far back");
    let tick = world.once(&json!({})).await.answer();
    assert_eq!((&tick["status"], &tick["delivered"]), (&json!("up_to_date"), &json!(2)), "{tick}");
    assert_eq!(arrived(&world), old.into_iter().collect());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_shows_what_would_be_sent_and_neither_writes_nor_connects() {
    let world = world().await;
    let delivered = emit_minutes(&world, 20..25);
    assert_eq!(world.tick().await["delivered"], 5);
    let fresh = emit_minutes(&world, 3..8);
    let (rows, connections) = (world.table.rows().await, world.to_devo.connections());
    let mut with_backfill = backfill(3 * 1440, 60);
    with_backfill["dry_run"] = json!(true);
    for (event, shown) in [(sample("dry_run"), 3), (with_backfill, 0)] {
        let answer = world.once(&event).await.answer();
        assert_eq!(answer["status"], "dry_run", "{answer}");
        let samples = answer["samples"].as_array().unwrap();
        assert_eq!(samples.len(), shown, "{answer}");
        for sample in samples {
            assert_eq!(sample["tag"], format!("cloud.azure.ad.audit.{}.msgraph", world.id));
            let mut record = sample["message"].clone();
            let members = record.as_object_mut().unwrap();
            assert_eq!(members.shift_remove("@devo_environment"), Some(json!(world.id)));
            assert!(members.shift_remove("@devo_pulling_id").is_some());
            let is_fresh = fresh.iter().any(|text| serde_json::from_str::<Value>(text).unwrap() == record);
            assert!(is_fresh, "shown, though it was delivered: {record}");
        }
        assert_eq!(world.table.rows().await, rows, "a dry run writes nothing");
        assert_eq!(world.to_devo.connections(), connections, "a dry run opens no connection");
    }
    assert_eq!(arrived(&world), delivered.into_iter().collect());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_an_event_hold_for_one_invocation_and_are_never_stored() {
    let world = world().await;
    let all = emit_minutes(&world, (1..40).map(|step| step * 30));
    let is_group =
        |record: &&String| serde_json::from_str::<Value>(record).unwrap()["category"] == "GroupManagement";
    let groups: BTreeSet<String> = all.iter().filter(is_group).cloned().collect();
    assert!(!groups.is_empty() && groups.len() < all.len());
    let answer = world.once(&sample("settings")).await.answer();
    assert_eq!(
        (&answer["status"], &answer["delivered"]),
        (&json!("up_to_date"), &json!(groups.len())),
        "{answer}"
    );
    let windows = answer["windows"].as_u64().unwrap();
    assert!(windows >= 24, "a day in windows of an hour: {answer}");
    assert_eq!(arrived(&world), groups);
    let rows = serde_json::to_string(&world.table.rows().await).unwrap();
    assert!(!rows.contains("GroupManagement"), "the settings are in the table: {rows}");

    // Without them the service asks for everything again; what was behind the filter comes by a backfill.
    assert_eq!(world.once(&backfill(25 * 60, 1)).await.answer()["delivered"], all.len() - groups.len());
    assert_eq!(arrived(&world), all.into_iter().collect());
    let filters: BTreeSet<bool> = world
        .tenant
        .requests()
        .iter()
        .filter(|seen| seen.addressee == Addressee::Graph(world.endpoint()))
        .map(|seen| seen.option("$filter").unwrap().contains("GroupManagement"))
        .collect();
    assert_eq!(filters.len(), 2, "with the filter, and without it");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_with_an_unknown_key_or_a_bad_time_pulls_nothing_and_is_named() {
    let world = world().await;
    emit_minutes(&world, 3..6);
    let tomorrow = Timestamp::now() + SignedDuration::from_hours(24);
    let yesterday = ago(SignedDuration::from_hours(24));
    let cases = [
        (json!({"fource": true}), "force"),
        (
            json!({"backfill": {"start_time_in_utc": "soon", "end_time_in_utc": yesterday}}),
            "start_time_in_utc",
        ),
        (
            json!({"backfill": {"start_time_in_utc": yesterday, "end_time_in_utc": tomorrow}}),
            "end_time_in_utc",
        ),
        (json!({"settings": {"start_time_in_utc": yesterday}}), "start_time_in_utc"),
        (json!({"settings": {"additional_filtre": "x"}}), "additional_filter"),
    ];
    let process = world.process().await;
    for (event, name) in cases {
        let error = world.invoke(&process, &event, AMPLE).await.error();
        assert_eq!(error.error_type, "InitVariablesError", "{event}");
        assert!(
            error.message.starts_with("[1] ") && error.message.contains(name),
            "{event}: {}",
            error.message
        );
    }
    assert!(world.tenant.requests().is_empty() && world.table.rows().await.is_empty());
    assert_eq!(world.to_devo.connections(), 0);
    world.close().await;
}
