//! Every function of the artefact, one after another, over the list that the crates declare.

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::json;
use simulator::tenant::{Addressee, BodyStyle, LinkPlace, PageSize, RequestSeen, TenantConfig};

use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::pictures::{keep, normal, shown};
use crate::world::process::Process;
use crate::world::{World, ago, all_services, security, services};

/// Rows of a page: small, so that a few records make several pages.
const PAGE: usize = 7;

fn paged() -> TenantConfig {
    TenantConfig { page_size: PageSize { default: PAGE, maximum: PAGE }, ..TenantConfig::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_delivers_what_was_emitted_once_and_byte_for_byte_under_the_tag_that_is_promised() {
    join_all(services().map(|service| async move {
        let world = World::with(service, paged()).await;
        delivers_once(&world).await;
        world.close().await;
    }))
    .await;
}

async fn delivers_once(world: &World) {
    let function = world.service.function;
    let mut emitted: Vec<String> =
        (0..30).map(|seed| world.emit(seed, ago(SignedDuration::from_mins(3 + 40 * seed as i64)))).collect();
    let first = world.tick().await;
    assert_answer(&first, function, 30);
    assert_eq!(first["requests"], 5, "{function}: five pages of {PAGE}");
    assert_arrived(world, &emitted);

    // A tick before its time does nothing; one in time reads again and sends nothing again.
    let early = world.tick().await;
    assert_eq!((&early["status"], &early["requests"]), (&json!("not_due"), &json!(0)), "{function}");
    let second = world.force().await;
    assert_answer(&second, function, 0);
    assert_arrived(world, &emitted);

    // Newer records, and one that comes late: older than the newest, within the look-back.
    emitted.push(world.emit(100, ago(SignedDuration::from_secs(2))));
    let late = world.service.window.lookback.as_secs() / 2;
    emitted.push(world.emit(101, ago(SignedDuration::from_secs(180 + late))));
    let third = world.force().await;
    assert_answer(&third, function, 2);
    assert_arrived(world, &emitted);

    let answer = normal(&first, world);
    keep("answer", function, &serde_json::to_string_pretty(&answer).unwrap());
    let requests = world.tenant.requests();
    let of_endpoint = |request: &&RequestSeen| request.addressee == Addressee::Graph(world.endpoint());
    let shown: Vec<String> = requests.iter().filter(of_endpoint).take(2).map(shown).collect();
    keep("requests", function, &shown.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_read_whatever_white_space_they_have_and_wherever_their_link_stands() {
    join_all(services().chain(security()).map(|service| async move {
        let config = TenantConfig {
            body_style: BodyStyle::Pretty,
            link_place: LinkPlace::AfterRecords,
            compression: simulator::tenant::Compression::Never,
            ..paged()
        };
        let world = World::with(service, config).await;
        let emitted: Vec<String> =
            (0..20).map(|seed| world.emit(seed, ago(SignedDuration::from_mins(5 + seed as i64)))).collect();
        assert_answer(&world.tick().await, service.function, 20);
        assert_arrived(&world, &emitted);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_process_serves_many_ticks_with_one_login() {
    let world = World::new(services().next().unwrap()).await;
    let process = world.process().await;
    let mut emitted = Vec::new();
    for round in 0..5 {
        emitted.push(world.emit(round, ago(SignedDuration::from_mins(9 - round as i64))));
        let force = json!({"force": true});
        let answer = world.invoke(&process, &force, crate::world::AMPLE).await.answer();
        assert_answer(&answer, world.service.function, 1);
    }
    assert_arrived(&world, &emitted);
    let logins = world.tenant.requests().iter().filter(|seen| seen.addressee == Addressee::Login).count();
    assert_eq!(logins, 1);
    assert_eq!(world.secrets.requests().len(), 2, "each secret is read once");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_handler_is_an_initialisation_error_that_lists_the_known_ones() {
    for handler in ["graph-audits", "", "Graph-Directory-Audits"] {
        let process = Process::start(&[
            ("_HANDLER".to_owned(), handler.to_owned()),
            ("AWS_LAMBDA_FUNCTION_NAME".to_owned(), "stack-function".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION".to_owned(), "$LATEST".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE".to_owned(), "256".to_owned()),
            ("COLLECTOR_SECRET_ID".to_owned(), "collector".to_owned()),
            ("DEVO_SECRET_ID".to_owned(), "devo".to_owned()),
            ("STATE_TABLE".to_owned(), "state".to_owned()),
        ])
        .await;
        assert!(!process.ended().await.success());
        let errors = process.runtime().init_errors();
        assert_eq!(errors.len(), 1, "{handler}");
        assert_eq!(errors[0].error_type, "InitVariablesError");
        assert_eq!(errors[0].header_type.as_deref(), Some("InitVariablesError"));
        assert!(errors[0].message.starts_with("[1] _HANDLER "), "{}", errors[0].message);
        for service in all_services() {
            assert!(errors[0].message.contains(service.function), "{}", errors[0].message);
        }
        assert!(process.runtime().polls().is_empty(), "it asks for no work");
    }
}
