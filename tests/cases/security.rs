//! The security services of Graph, one after another: what was emitted arrives once, what is refused is named.
//!
//! They differ in how they ask, so each has its own pace of records: alerts by the minute, scores by the day, and control
//! profiles without a time. What is peculiar to one of them has a file of its own.

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::tenant::{Addressee, Endpoint, Fault, PageSize, RequestSeen, Rule, TenantConfig};

use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::pictures::{keep, normal, shown};
use crate::world::{AMPLE, World, ago, security};

/// Rows of a page: small, so that a few records make several pages.
const PAGE: usize = 7;
const RECORDS: u64 = 30;

/// What is peculiar to a service, as far as every test of this file must know it.
struct Manner {
    /// Between two records.
    pace: SignedDuration,
    /// Where the first pull starts.
    reach: SignedDuration,
    /// Requests for thirty records.
    requests: u64,
    permission: &'static str,
}

fn manner(endpoint: Endpoint) -> Manner {
    let alerts = Manner {
        pace: SignedDuration::from_mins(40),
        reach: SignedDuration::from_hours(24),
        requests: 5,
        permission: "SecurityEvents.Read.All",
    };
    match endpoint {
        // Each page begins with the record that the one before ended with, and the last one holds that record alone.
        Endpoint::AlertsV2 => Manner { requests: 6, permission: "SecurityAlert.Read.All", ..alerts },
        Endpoint::SecureScores => Manner {
            pace: SignedDuration::from_hours(24),
            reach: SignedDuration::from_hours(40 * 24),
            ..alerts
        },
        _ => alerts,
    }
}

async fn world(service: &'static collector::service::Service) -> World {
    let page_size = PageSize { default: PAGE, maximum: PAGE };
    let world = World::with(service, TenantConfig { page_size, ..TenantConfig::default() }).await;
    let start = ago(manner(world.endpoint()).reach);
    // A list has no start, and a midnight in the middle of a test must not send it again.
    world.configure(&match world.endpoint() {
        Endpoint::ControlProfiles => json!({"snapshot_mode": "changes"}),
        _ => json!({"start_time_in_utc": start.to_string()}),
    });
    world
}

/// The instant of the n-th newest record.
fn time_of(world: &World, number: u64) -> Timestamp {
    let pace = manner(world.endpoint()).pace * i32::try_from(number).unwrap();
    ago(SignedDuration::from_mins(3) + pace)
}

fn emit(world: &World) -> Vec<String> {
    (0..RECORDS).map(|seed| world.emit(seed, time_of(world, seed))).collect()
}

/// The requests for pages.
fn pages(world: &World) -> Vec<RequestSeen> {
    let is_page = |seen: &RequestSeen| seen.addressee == Addressee::Graph(world.endpoint());
    world.tenant.requests().into_iter().filter(is_page).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_security_service_delivers_what_was_emitted_once_under_the_tag_that_is_promised() {
    let played = join_all(security().map(|service| async move {
        let world = world(service).await;
        delivers_once(&world).await;
        asks_as_promised(&world);
        world.close().await;
    }));
    assert_eq!(played.await.len(), 4);
}

async fn delivers_once(world: &World) {
    let function = world.service.function;
    let mut emitted = emit(world);
    let first = world.tick().await;
    assert_answer(&first, function, RECORDS);
    assert_eq!(first["requests"], manner(world.endpoint()).requests, "{function}: pages of {PAGE}");
    assert_eq!(first["warnings"], json!([]), "{function}");
    assert_arrived(world, &emitted);

    let early = world.tick().await;
    assert_eq!((&early["status"], &early["requests"]), (&json!("not_due"), &json!(0)), "{function}");
    let second = world.force().await;
    assert_answer(&second, function, 0);
    assert_arrived(world, &emitted);

    // A newer one, and one that comes late, between those that are there.
    emitted.push(world.emit(100, ago(SignedDuration::from_secs(2))));
    emitted.push(world.emit(101, time_of(world, 0) - SignedDuration::from_mins(25)));
    let third = world.force().await;
    assert_answer(&third, function, 2);
    assert_arrived(world, &emitted);

    keep("answer", function, &serde_json::to_string_pretty(&normal(&first, world)).unwrap());
    let shown: Vec<String> = pages(world).iter().take(2).map(shown).collect();
    keep("requests", function, &shown.join("\n"));
}

/// What the snapshots show of two requests holds for all of them.
fn asks_as_promised(world: &World) {
    let asked = pages(world);
    assert!(asked.iter().all(|seen| seen.status == Some(200)), "{:?}", world.service.function);
    for seen in asked {
        let option = |name: &str| seen.option(name).unwrap_or_default().to_owned();
        match world.endpoint() {
            Endpoint::AlertsV2 => {
                assert_eq!(seen.header("prefer"), Some("include-unknown-enum-members"));
                assert_eq!(option("$orderby"), "lastUpdateDateTime asc");
                assert_eq!(seen.option("$skip"), None, "{:?}", seen.query);
            }
            Endpoint::SecureScores | Endpoint::ControlProfiles => {
                assert_eq!((seen.option("$filter"), seen.option("$orderby")), (None, None));
            }
            _ => assert!(option("$filter").contains("createdDateTime ge "), "{:?}", seen.query),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_permission_is_named_in_the_words_of_the_api_and_in_ours() {
    join_all(security().map(|service| async move {
        let world = world(service).await;
        let emitted = emit(&world);
        let permission = manner(world.endpoint()).permission;
        let named_by_the_api = Fault::missing_permission("Some.Other.Permission");
        for (fault, name) in [(Fault::status(403), permission), (named_by_the_api, "Some.Other.Permission")] {
            world.tenant.script(vec![Rule::on_endpoint(world.endpoint(), fault)]);
            let error = world.once(&json!({"force": true})).await.error();
            assert_eq!(error.error_type, "SetupError", "{}", error.message);
            assert!(error.message.starts_with("[102] Failed to fetch data from "), "{}", error.message);
            assert!(error.message.contains("Source is not pullable"), "{}", error.message);
            assert!(error.message.contains(name), "{}: {name}: {}", service.function, error.message);
        }
        world.tenant.script(Vec::new());
        assert_answer(&world.tick().await, service.function, RECORDS);
        assert_arrived(&world, &emitted);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announced_end_is_told_once_a_process() {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let announced = [
        header("Deprecation", "@1735689599"),
        header("Sunset", "Sat, 31 Dec 2033 23:59:59 GMT"),
        header("Link", "<https://developer.example/changes>; rel=\"deprecation\"; type=\"text/html\""),
    ];
    for service in security() {
        let world = world(service).await;
        let emitted = emit(&world);
        let rule = Rule::on_endpoint(world.endpoint(), Fault::ExtraHeaders(announced.to_vec()));
        world.tenant.script(vec![rule]);
        let process = world.process().await;
        let mut told = Vec::new();
        for _ in 0..3 {
            let answer = world.invoke(&process, &json!({"force": true}), AMPLE).await.answer();
            assert_eq!(answer["status"], "up_to_date", "{answer}");
            told.push(warnings_about(&answer, "is announced to end"));
        }
        told.push(warnings_about(&world.force().await, "is announced to end"));
        assert_eq!(told, [1, 0, 0, 1], "{}: many pages, three pulls, then another process", service.function);
        let in_devo = world.story().iter().filter(|(_, text)| text.contains("is announced to end")).count();
        assert_eq!(in_devo, 2, "{}", service.function);
        assert_arrived(&world, &emitted);
        world.close().await;
    }
}

fn warnings_about(answer: &Value, words: &str) -> usize {
    let warnings = answer["warnings"].as_array().unwrap();
    warnings.iter().filter(|warning| warning.as_str().unwrap().contains(words)).count()
}
