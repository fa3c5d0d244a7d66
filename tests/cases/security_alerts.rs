//! The legacy alerts: many providers that answer together, some of them silent for a while, and an end that was announced.

use std::collections::BTreeSet;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::records::{self, ALERT_PROVIDERS};
use simulator::tenant::{
    Addressee, Endpoint, Fault, PageKind, PageSize, ProviderFailure, Retirement, Rule, SecurityConfig,
    TenantConfig,
};

use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::{AMPLE, World, ago, service};

const FUNCTION: &str = "graph-alerts";
const SILENT: &str = "MCAS";

async fn world() -> World {
    let page_size = PageSize { default: 5, maximum: 5 };
    World::with(service(FUNCTION), TenantConfig { page_size, ..TenantConfig::default() }).await
}

fn emit_of(world: &World, seed: u64, provider: &str, time: Timestamp) -> String {
    let record = records::alert(seed, time, provider);
    world.tenant.emit(Endpoint::Alerts, record.clone()).unwrap();
    record
}

/// Alerts of all providers in turn, an hour between two of them.
fn emit(world: &World, seeds: std::ops::Range<u64>) -> Vec<String> {
    seeds
        .map(|seed| {
            let provider = ALERT_PROVIDERS[usize::try_from(seed).unwrap() % ALERT_PROVIDERS.len()];
            emit_of(world, seed, provider, ago(SignedDuration::from_mins(2 + 60 * seed.cast_signed())))
        })
        .collect()
}

fn is_of_silent(record: &&String) -> bool {
    serde_json::from_str::<Value>(record).unwrap()["vendorInformation"]["provider"] == SILENT
}

fn requests(world: &World) -> u64 {
    world.tenant.request_count(Addressee::Graph(Endpoint::Alerts))
}

fn warnings(answer: &Value) -> Vec<String> {
    answer["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_goes_to_the_table_of_its_provider_whatever_its_case_and_others_to_the_common_one() {
    let world = world().await;
    let mixed = |name: &str| {
        let letters = name.chars().enumerate();
        let swapped = letters.map(|(at, letter)| match at % 2 {
            0 => letter.to_ascii_lowercase(),
            _ => letter.to_ascii_uppercase(),
        });
        swapped.collect::<String>()
    };
    let known =
        ALERT_PROVIDERS.iter().flat_map(|name| [(*name).to_owned(), name.to_lowercase(), mixed(name)]);
    let unknown = ["", "IPC2", " IPC", "Office 365", "ASC\u{fc}", "Provider \"\u{e9}\""].map(str::to_owned);
    let mut emitted = Vec::new();
    for (seed, provider) in (0..).zip(known.chain(unknown)) {
        emitted.push(emit_of(
            &world,
            seed,
            &provider,
            ago(SignedDuration::from_mins(1 + seed.cast_signed())),
        ));
    }
    // Providers that are no text, or not there at all.
    let record = records::alert(1000, ago(SignedDuration::from_mins(2)), "IPC");
    let mut found = serde_json::from_str::<Value>(&record).unwrap();
    for vendor in [json!({"provider": null}), json!({"provider": 7}), json!({}), Value::Null] {
        found["vendorInformation"] = vendor;
        found["id"] = json!(format!("odd-{}", emitted.len()));
        emitted.push(found.to_string());
    }
    found.as_object_mut().unwrap().shift_remove("vendorInformation");
    emitted.push(found.to_string());
    for odd in &emitted[emitted.len() - 5..] {
        world.tenant.emit(Endpoint::Alerts, odd.clone()).unwrap();
    }
    let answer = world.tick().await;
    assert_answer(&answer, FUNCTION, emitted.len() as u64);
    assert_arrived(&world, &emitted);
    let tables: BTreeSet<&String> = answer["tables"].as_object().unwrap().keys().collect();
    assert_eq!(tables.len(), 8, "two of the eight known providers share one: {tables:?}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_silent_provider_holds_back_comes_with_a_later_tick_and_nothing_comes_twice() {
    join_all([PageKind::First, PageKind::Next].map(|page| async move {
        let world = world().await;
        let mut emitted = emit(&world, 0..20);
        let timed_out = Fault::PartialContent(vec![ProviderFailure::timed_out(SILENT)]);
        let rule = || Rule::on_endpoint(Endpoint::Alerts, timed_out.clone());
        // The whole answer is in part, or only one of its pages is, of which nobody knows what it lacks.
        world.tenant.script(vec![if page == PageKind::First { rule() } else { rule().page(page) }]);
        for _ in 0..3 {
            let answer = world.force().await;
            assert_eq!(answer["status"], "up_to_date", "{answer}");
            let told = warnings(&answer);
            assert_eq!(told.len(), 1, "{told:?}");
            for word in ["206", SILENT, "504"] {
                assert!(told[0].contains(word), "{told:?}");
            }
            let here: Vec<String> = emitted.iter().filter(|record| !is_of_silent(record)).cloned().collect();
            let arrived = world.records().len();
            assert!(arrived >= here.len() && arrived < emitted.len(), "{arrived} of {}", emitted.len());
            // While it is silent, others have more to say.
            let seed = 100 + emitted.len() as u64;
            let newer = ago(SignedDuration::from_secs(30));
            emitted.push(emit_of(&world, seed, "IPC", newer));
        }
        world.tenant.script(Vec::new());
        let whole = world.force().await;
        assert_eq!((&whole["status"], &whole["warnings"]), (&json!("up_to_date"), &json!([])), "{whole}");
        assert_arrived(&world, &emitted);
        // Nothing is owed any more: the next window reaches back no further than the look-back.
        let next = world.force().await;
        assert_eq!(next["delivered"], 0, "{next}");
        let from: Timestamp = next["window"]["from"].as_str().unwrap().parse().unwrap();
        assert!(from > ago(SignedDuration::from_hours(2)), "{next}");
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_without_a_licence_is_told_once_and_holds_nothing_up() {
    for status in [401, 403] {
        let world = world().await;
        let emitted = emit(&world, 0..20);
        let unlicensed = Fault::PartialContent(vec![ProviderFailure::new(SILENT, status)]);
        world.tenant.script(vec![Rule::on_endpoint(Endpoint::Alerts, unlicensed)]);
        let process = world.process().await;
        let first = world.invoke(&process, &json!({}), AMPLE).await.answer();
        let here: Vec<String> = emitted.iter().filter(|record| !is_of_silent(record)).cloned().collect();
        assert_answer(&first, FUNCTION, here.len() as u64);
        let told = warnings(&first);
        assert!(told.len() == 1 && told[0].contains(SILENT) && told[0].contains("licence"), "{told:?}");
        for _ in 0..2 {
            let next = world.invoke(&process, &json!({"force": true}), AMPLE).await.answer();
            assert_eq!((&next["delivered"], &next["warnings"]), (&json!(0), &json!([])), "{next}");
            let from: Timestamp = next["window"]["from"].as_str().unwrap().parse().unwrap();
            assert!(from > ago(SignedDuration::from_hours(2)), "the position moved: {next}");
        }
        assert_arrived(&world, &here);
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_ignores_the_filter_sends_each_of_its_alerts_once() {
    let security =
        SecurityConfig { unfiltered_providers: vec![SILENT.to_lowercase()], ..SecurityConfig::default() };
    let world = World::with(service(FUNCTION), TenantConfig { security, ..TenantConfig::default() }).await;
    let mut emitted = emit(&world, 0..20);
    let old = emit_of(&world, 900, SILENT, ago(SignedDuration::from_hours(20 * 24)));
    let first = world.tick().await;
    // Whether what nobody asked for is sent is the collector's choice; it is the same choice every time.
    let took_the_old_one = first["delivered"] == 21;
    emitted.extend(took_the_old_one.then_some(old));
    assert_arrived(&world, &emitted);
    for _ in 0..2 {
        assert_eq!(world.force().await["delivered"], 0);
    }
    assert_arrived(&world, &emitted);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retired_endpoint_is_one_warning_that_names_its_successor_and_asked_again_by_force_alone() {
    join_all([Retirement::Empty, Retirement::NotFound, Retirement::Gone].map(|retirement| async move {
        let world = world().await;
        let mut emitted = emit(&world, 0..8);
        assert_answer(&world.tick().await, FUNCTION, 8);
        world.tenant.set_retirement(retirement);
        // Emitted meanwhile, should it ever come back.
        emitted.push(emit_of(&world, 50, "IPC", ago(SignedDuration::from_secs(40))));

        let found = world.force().await;
        assert_eq!((&found["status"], &found["delivered"]), (&json!("retired"), &json!(0)), "{found}");
        let told = warnings(&found);
        assert!(told.len() == 1 && told[0].contains("alerts_v2"), "{retirement:?}: {told:?}");
        let is_told = |(tag, text): &(String, String)| tag.ends_with(".warning") && *text == told[0];
        assert!(world.story().iter().any(is_told), "{retirement:?}: {:?}", world.story());

        let (asked, connections) = (requests(&world), world.to_devo.connections());
        for _ in 0..2 {
            let quiet = world.tick().await;
            assert_eq!(
                (&quiet["status"], &quiet["requests"], &quiet["warnings"]),
                (&json!("retired"), &json!(0), &json!([])),
                "{retirement:?}: {quiet}"
            );
        }
        assert_eq!((requests(&world), world.to_devo.connections()), (asked, connections));
        let forced = world.force().await;
        assert_eq!((&forced["status"], warnings(&forced).len()), (&json!("retired"), 1), "{forced}");
        assert!(requests(&world) > asked, "{retirement:?}: force asks again at once");

        // It comes back: a tick before its day is over does not ask, force does, and then all is as it was.
        world.tenant.set_retirement(Retirement::None);
        assert_eq!(world.tick().await["status"], "retired");
        let back = world.force().await;
        assert_answer(&back, FUNCTION, 1);
        emitted.push(emit_of(&world, 51, SILENT, ago(SignedDuration::from_secs(5))));
        assert_answer(&world.force().await, FUNCTION, 1);
        assert_arrived(&world, &emitted);
        assert_eq!(world.tick().await["status"], "not_due");
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_hour_is_no_retirement_and_a_collection_that_never_had_a_row_is() {
    let world = world().await;
    // Old, and outside of what is asked for.
    emit_of(&world, 1, "IPC", ago(SignedDuration::from_hours(20 * 24)));
    for _ in 0..2 {
        let quiet = world.force().await;
        assert_answer(&quiet, FUNCTION, 0);
        assert_eq!(quiet["warnings"], json!([]), "{quiet}");
    }
    let probes = world.tenant.requests().into_iter().filter(|seen| seen.option("$top") == Some("1"));
    for probe in probes {
        assert_eq!(probe.option("$filter"), None, "asked whether there is anything at all");
    }
    world.close().await;

    let empty = World::new(service(FUNCTION)).await;
    let answer = empty.tick().await;
    assert_eq!(answer["status"], "retired", "{answer}");
    assert!(warnings(&answer)[0].contains("alerts_v2"), "{answer}");
    empty.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_answer_in_part_is_no_retirement() {
    let world = world().await;
    let emitted = vec![emit_of(&world, 1, SILENT, ago(SignedDuration::from_mins(4)))];
    let timed_out = Fault::PartialContent(vec![ProviderFailure::timed_out(SILENT)]);
    world.tenant.script(vec![Rule::on_endpoint(Endpoint::Alerts, timed_out)]);
    let answer = world.tick().await;
    assert_eq!((&answer["status"], &answer["delivered"]), (&json!("up_to_date"), &json!(0)), "{answer}");
    assert!(warnings(&answer)[0].contains("206"), "{answer}");
    world.tenant.script(Vec::new());
    assert_answer(&world.force().await, FUNCTION, 1);
    assert_arrived(&world, &emitted);
    world.close().await;
}
