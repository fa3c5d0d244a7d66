//! Content blobs that cannot be had, or not whole: the others go on, it waits in the retry queue, and arrives once.

use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::records;
use simulator::tenant::{
    Addressee, BodyStyle, Fault, FeedConfig, FeedError, Quotes, Rule, Shape, Target, TenantConfig,
};

use crate::world::feeds::{Content, SIDE_BY_SIDE, records_of};
use crate::world::judge::assert_arrived;
use crate::world::{AMPLE, World, ago, service};

const BLOBS: u64 = 9;
const RECORDS: u64 = 3 * BLOBS;
/// The blob that fails.
const BAD: usize = 4;

async fn world() -> (World, Vec<Content>) {
    world_with(FeedConfig { page_size: 4, ..FeedConfig::default() }).await
}

async fn world_with(feed: FeedConfig) -> (World, Vec<Content>) {
    let config = TenantConfig { feed, ..TenantConfig::default() };
    let world = World::with(service("office365-exchange"), config).await;
    let contents = world.emit_blobs(BLOBS, 3, SignedDuration::from_mins(2));
    (world, contents)
}

fn on_blob(content: &Content, fault: Fault) -> Rule {
    Rule::on(Target::AnyBlob, fault).content(&content.id)
}

fn body(code: u16, text: &str) -> Fault {
    Fault::Status { code, body: Some(text.to_owned()), headers: Vec::new() }
}

/// What a blob can be instead of an array of records.
fn faults() -> Vec<(&'static str, Fault)> {
    vec![
        ("404 AF20050", Fault::Feed(FeedError::ContentUnknown)),
        ("400 AF20052", Fault::Feed(FeedError::ContentIdInvalid)),
        ("500 AF50000", Fault::Feed(FeedError::Internal(Quotes::Double))),
        ("500 in single quotes", Fault::Feed(FeedError::Internal(Quotes::Single))),
        ("500 for an hour", Fault::Feed(FeedError::InternalForAnHour)),
        ("503", Fault::status(503)),
        ("a gateway that gave up", Fault::GatewayTimeout),
        ("HTML", Fault::Html),
        ("no JSON", Fault::NotJson),
        ("an object", Fault::WrongShape(Shape::ValueMissing)),
        ("null", Fault::WrongShape(Shape::Null)),
        (
            "an error with status 200",
            body(200, r#"{"error":{"code":"AF50000","message":"An internal error."}}"#),
        ),
        ("single quotes with status 200", body(200, "{'error':{'code':'AF50000','message':'internal'}}")),
        ("nothing", body(200, "")),
        ("an array without an end", body(200, r#"[{"Id":"1","Workload":"Exchange"}"#)),
        ("JSON that ends early", Fault::EndsEarly { at: 700 }),
        ("a connection that ends early", Fault::Truncate { at: 200 }),
        ("a reset", Fault::Reset),
        ("an end before the answer", Fault::CloseBeforeAnswer),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_fails_waits_in_the_retry_queue_while_the_others_arrive_and_comes_once_in_the_end() {
    join_all(faults().into_iter().map(|(what, fault)| async move {
        let (world, contents) = world().await;
        let bad = &contents[BAD];
        world.tenant.script(vec![on_blob(bad, fault)]);
        let answer = world.tick().await;
        assert_eq!(answer["status"], "up_to_date", "{what}: {answer}");
        assert_eq!(answer["failed_uris"], 1, "{what}: {answer}");
        // What came of a blob before it broke off is delivered; no other blob waits for it.
        let arrived = answer["delivered"].as_u64().unwrap();
        assert!((RECORDS - 3..=RECORDS).contains(&arrived), "{what}: {answer}");
        let is_told = |warning: &&Value| warning.as_str().unwrap().contains(&bad.id);
        assert_eq!(
            answer["warnings"].as_array().unwrap().iter().filter(is_told).count(),
            1,
            "{what}: {answer}"
        );
        let queue = world.queue().await;
        assert_eq!(queue.len(), 1, "{what}: {queue:?}");
        assert_eq!(queue[0]["content_id"], bad.id.as_str(), "{what}");
        // The feed does not ask for it again; the retry service does, once it may.
        let tries = world.tenant.fetches(&bad.id);
        assert!(tries <= 4, "{what}: tried {tries} times");
        assert_eq!(world.force().await["delivered"], 0, "{what}");
        assert_eq!(world.tenant.fetches(&bad.id), tries, "{what}");
        world.tenant.script(Vec::new());
        let retried = world.retry().await;
        assert_eq!(
            (&retried["status"], &retried["failed_uris"]),
            (&json!("up_to_date"), &json!(0)),
            "{what}: {retried}"
        );
        assert_eq!(
            arrived + retried["delivered"].as_u64().unwrap(),
            distinct(&world, RECORDS),
            "{what}: {retried}"
        );
        assert!(world.queue().await.is_empty(), "{what}");
        assert_all_arrived(what, &world, &contents);
        world.close().await;
    }))
    .await;
}

/// How many different records arrived: those of a body that the script made up come on top.
fn distinct(world: &World, emitted: u64) -> u64 {
    let arrived: std::collections::BTreeSet<String> =
        world.records().iter().map(|arrival| crate::world::contract::record_of(&arrival.message)).collect();
    (arrived.len() as u64).max(emitted)
}

fn assert_all_arrived(what: &str, world: &World, contents: &[Content]) {
    let mut emitted = records_of(contents);
    if what == "an array without an end" {
        let made_up = r#"{"Id":"1","Workload":"Exchange"}"#;
        let came =
            world.records().iter().any(|one| crate::world::contract::record_of(&one.message) == made_up);
        emitted.extend(came.then(|| made_up.to_owned()));
    }
    assert_arrived(world, &emitted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_fails_once_costs_nothing_but_time() {
    join_all(faults().into_iter().map(|(what, fault)| async move {
        let (world, contents) = world().await;
        world.tenant.script(vec![on_blob(&contents[BAD], fault).fetch(1)]);
        let answer = world.tick().await;
        assert_eq!(answer["status"], "up_to_date", "{what}: {answer}");
        let retried = world.retry().await;
        assert_eq!(retried["failed_uris"], 0, "{what}: {retried}");
        assert!(world.queue().await.is_empty(), "{what}");
        assert_all_arrived(what, &world, &contents);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_the_api_calls_expired_is_lost_by_name_and_not_tried_again() {
    join_all([400, 404, 410].map(|status| async move {
        let (world, contents) = world().await;
        let bad = &contents[BAD];
        world.tenant.script(vec![on_blob(bad, Fault::Feed(FeedError::ContentExpired { status }))]);
        let answer = world.tick().await;
        assert_eq!(
            (&answer["status"], &answer["delivered"]),
            (&json!("up_to_date"), &json!(RECORDS - 3)),
            "{answer}"
        );
        assert_eq!(answer["failed_uris"], 0, "{status}: {answer}");
        let is_told = |warning: &&Value| {
            let text = warning.as_str().unwrap();
            text.contains("is lost") && text.contains(&bad.id) && text.contains("AF20051")
        };
        assert_eq!(
            answer["warnings"].as_array().unwrap().iter().filter(is_told).count(),
            1,
            "{status}: {answer}"
        );
        assert!(world.queue().await.is_empty(), "{status}");
        let tries = world.tenant.fetches(&bad.id);
        world.force().await;
        world.retry().await;
        assert_eq!(world.tenant.fetches(&bad.id), tries, "{status}");
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_but_whole_blobs_are_read() {
    let (world, mut contents) = world().await;
    let created = ago(SignedDuration::from_mins(7));
    let time = created - SignedDuration::from_hours(24 * 5);
    let one = records::audit_record(700, time, "Exchange");
    let two = records::audit_record(701, time, "Exchange");
    let bodies = [
        ("[]".to_owned(), vec![]),
        (" \r\n[ \t]\n".to_owned(), vec![]),
        (format!("\u{feff}[{one}]"), vec![one.clone()]),
        (format!("\n[\n  {one} ,\r\n\t{two}\n]\n"), vec![one, two]),
    ];
    for (text, records) in bodies {
        let id = world.tenant.emit_blob_raw(world.content_type(), created, text.into_bytes());
        contents.push(Content { id, records });
    }
    let answer = world.tick().await;
    assert_eq!((&answer["status"], &answer["failed_uris"]), (&json!("up_to_date"), &json!(0)), "{answer}");
    assert_eq!((&answer["delivered"], &answer["duplicates"]), (&json!(RECORDS + 2), &json!(1)), "{answer}");
    assert_arrived(&world, &records_of(&contents));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_falls_silent_is_left_to_the_next_tick_and_the_others_are_committed() {
    let (world, contents) = world().await;
    let bad = &contents[BAD];
    world.tenant.script(vec![on_blob(bad, Fault::Stall { after: 100 }).fetch(1)]);
    let process = world.process().await;
    let answer = world.invoke(&process, &json!({}), Duration::from_secs(6)).await.answer();
    assert_eq!(answer["status"], "more", "{answer}");
    let others: Vec<Content> = contents.iter().filter(|content| content.id != bad.id).cloned().collect();
    assert!(answer["delivered"].as_u64().unwrap() >= 3 * (others.len() as u64 / 2), "{answer}");
    let next = world.tick().await;
    assert_eq!(next["status"], "up_to_date", "{next}");
    assert_arrived(&world, &records_of(&contents));
    assert!(world.fetched_otherwise_than(1, &others).is_empty(), "what was had is not fetched again");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_dies_while_blobs_are_fetched_is_renewed_once() {
    let (world, contents) = world().await;
    world.tenant.script(vec![on_blob(&contents[BAD], Fault::TokenRevoked).fetch(1)]);
    let answer = world.tick().await;
    assert_eq!(
        (&answer["status"], &answer["delivered"]),
        (&json!("up_to_date"), &json!(RECORDS)),
        "{answer}"
    );
    let logins = world.tenant.requests().iter().filter(|seen| seen.addressee == Addressee::Login).count();
    assert_eq!(logins, 2, "the eight that were refused share one login");
    assert_arrived(&world, &records_of(&contents));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_blobs_make_progress_that_a_deadline_cannot_take_back() {
    let feed =
        FeedConfig { page_size: 25, blob_latency: Duration::from_millis(250), ..FeedConfig::default() };
    let config = TenantConfig { feed, body_style: BodyStyle::Pretty, ..TenantConfig::default() };
    let world = World::with(service("office365-general-audit"), config).await;
    let contents = world.emit_blobs(120, 2, SignedDuration::from_mins(2));
    let mut statuses: Vec<String> = Vec::new();
    while statuses.last().is_none_or(|status| status == "more") {
        assert!(statuses.len() < 20, "{statuses:?}");
        let process = world.process().await;
        let answer = world.invoke(&process, &json!({}), Duration::from_millis(2600)).await.answer();
        statuses.push(answer["status"].as_str().unwrap().to_owned());
    }
    assert!(statuses.len() > 1 && statuses.last().unwrap() == "up_to_date", "{statuses:?}");
    assert_arrived(&world, &records_of(&contents));
    let fetched = world.tenant.blob_fetches().values().sum::<u64>();
    let cut = (statuses.len() - 1) * SIDE_BY_SIDE;
    assert!(fetched <= 120 + cut as u64, "{fetched} fetches of 120 blobs in {} ticks", statuses.len());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_until_it_expires_is_lost_by_name() {
    let feed = FeedConfig { content_lifetime: SignedDuration::from_secs(130), ..FeedConfig::default() };
    let config = TenantConfig { feed, ..TenantConfig::default() };
    let world = World::with(service("office365-exchange"), config).await;
    // Ten seconds are left of it.
    let content = world.emit_blob(ago(SignedDuration::from_secs(120)), 0..3);
    world.tenant.script(vec![on_blob(&content, Fault::Feed(FeedError::ContentUnknown))]);
    assert_eq!(world.tick().await["failed_uris"], 1);
    let expiry: Timestamp = world.queue().await[0]["content_expiration"].as_str().unwrap().parse().unwrap();
    while Timestamp::now() <= expiry {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let answer = world.retry().await;
    let is_told = |warning: &Value| {
        let text = warning.as_str().unwrap();
        text.contains("is lost") && text.contains(&content.id)
    };
    assert!(answer["warnings"].as_array().unwrap().iter().any(is_told), "{answer}");
    assert!(world.queue().await.is_empty());
    assert_eq!(world.force().await["delivered"], 0);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_tries_itself_what_would_expire_within_half_a_day() {
    let feed = FeedConfig { content_lifetime: SignedDuration::from_hours(6), ..FeedConfig::default() };
    let (world, contents) = world_with(feed).await;
    let bad = &contents[BAD];
    world.tenant.script(vec![on_blob(bad, Fault::Feed(FeedError::ContentUnknown))]);
    assert_eq!(world.tick().await["failed_uris"], 1);
    world.tenant.script(Vec::new());
    assert_eq!(world.force().await["delivered"], 0, "its delay is not over");
    // Time goes by.
    let mut row = world.queue().await.remove(0);
    row["next_attempt_in_utc"] = json!(ago(SignedDuration::from_secs(1)).to_string());
    world.table.put(&row).await;
    let process = world.process().await;
    let answer = world.invoke(&process, &json!({"force": true}), AMPLE).await.answer();
    assert_eq!((&answer["status"], &answer["delivered"]), (&json!("up_to_date"), &json!(3)), "{answer}");
    assert!(world.queue().await.is_empty());
    assert_arrived(&world, &records_of(&contents));
    world.close().await;
}
