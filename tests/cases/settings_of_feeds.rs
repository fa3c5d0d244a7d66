//! What the document can say of a content feed, and what an event can ask of it.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::records;
use simulator::tenant::{FeedCall, FeedConfig, Subscription, TenantConfig};

use crate::world::feeds::{Content, URI_RETRY, records_of};
use crate::world::judge::assert_arrived;
use crate::world::{World, ago, contract, feeds, service};

const FUNCTION: &str = "office365-sharepoint";

async fn world() -> World {
    World::new(service(FUNCTION)).await
}

fn arrived(world: &World) -> Vec<String> {
    world.records().iter().map(|arrival| contract::record_of(&arrival.message)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_start_time_restarts_a_feed_and_respelling_it_changes_nothing() {
    let world = world().await;
    let contents: Vec<Content> = (0..6)
        .map(|number| {
            world.emit_blob(
                ago(SignedDuration::from_hours(1 + 8 * number)),
                number.unsigned_abs() * 10..number.unsigned_abs() * 10 + 3,
            )
        })
        .collect();
    let start = ago(SignedDuration::from_hours(18));
    world.configure(&json!({"start_time_in_utc": start.to_string()}));
    assert_eq!(world.tick().await["delivered"], 9, "the three blobs of the last eighteen hours");
    world.configure(&json!({"start_time_in_utc": start.to_string().replace('Z', "+00:00")}));
    assert_eq!(world.force().await["delivered"], 0);
    world.configure(&json!({"start_time_in_utc": ago(SignedDuration::from_hours(48)).to_string()}));
    assert_eq!(world.force().await["delivered"], 18, "all six, three of them again");
    let distinct: BTreeSet<String> = arrived(&world).into_iter().collect();
    assert_eq!(distinct, records_of(&contents).into_iter().collect());
    assert_eq!(arrived(&world).len(), 27);
    let starts = world.feed_calls().iter().filter(|call| matches!(call, FeedCall::Start(_))).count();
    assert_eq!(starts, 1, "the subscription is none of the service's state");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_that_is_full_forgets_the_oldest_and_says_how_far_back_it_reaches() {
    let world = world().await;
    world.configure(&json!({
        "override_bloom_filter_size": 400, "override_bloom_filter_buffer_size": 100,
        "start_time_in_utc": ago(SignedDuration::from_hours(60)).to_string(),
    }));
    let old = ago(SignedDuration::from_hours(50));
    let blob = |age: SignedDuration, seeds: std::ops::Range<u64>| {
        let created = ago(age);
        let texts: Vec<String> =
            seeds.map(|seed| records::audit_record(seed, created, "SharePoint")).collect();
        Content { id: world.tenant.emit_blob(world.content_type(), created, texts.clone()), records: texts }
    };
    let first = blob(SignedDuration::from_hours(50), 0..300);
    assert_eq!(world.tick().await["delivered"], 300);
    let second = blob(SignedDuration::from_mins(5), 1000..1300);
    let full = world.force().await;
    assert_eq!(full["delivered"], 300, "{full}");
    let warnings = |answer: &Value| answer["warnings"].to_string();
    let mut told = warnings(&full);
    // What is within comes again and is known; the oldest would be sent again.
    world.tenant.emit_blob(world.content_type(), ago(SignedDuration::from_secs(9)), second.records.clone());
    let again = world.force().await;
    told.push_str(&warnings(&again));
    assert_eq!((&again["delivered"], &again["duplicates"]), (&json!(0), &json!(300)), "{again}");
    assert!(told.contains("memory is full"), "{told}");
    assert!(!told.contains(&old.strftime("%Y-%m-%dT%H").to_string()), "it reaches back less far: {told}");
    world.tenant.emit_blob(world.content_type(), ago(SignedDuration::from_secs(4)), first.records.clone());
    let forgotten = world.force().await;
    assert!(forgotten["delivered"].as_u64().unwrap() > 0, "{forgotten}");
    let mut copies: Vec<String> = arrived(&world);
    copies.sort_unstable();
    copies.dedup();
    assert_eq!(copies.len(), 600);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feeds_records_are_masked_and_tagged_as_the_document_says_whatever_way_they_come() {
    let world = world().await;
    world.configure(&json!({
        "override_tag": "my.app.office.test",
        "obfuscation_data": [{"name": ["UserId"], "value": "****"}],
    }));
    let contents = world.emit_blobs(6, 3, SignedDuration::from_mins(2));
    let bad = &contents[2];
    let refused = simulator::tenant::Fault::Feed(simulator::tenant::FeedError::ContentUnknown);
    let rule = simulator::tenant::Rule::on(simulator::tenant::Target::AnyBlob, refused).content(&bad.id);
    world.tenant.script(vec![rule]);
    assert_eq!(world.tick().await["delivered"], 15);
    world.tenant.script(Vec::new());
    assert_eq!(world.retry().await["delivered"], 3);
    let records = world.records();
    assert_eq!(records.len(), 18);
    for arrival in records {
        assert_eq!(arrival.tag, "my.app.office.test");
        assert_eq!(arrival.json()["UserId"], "****");
    }
    let masked: BTreeSet<String> = arrived(&world).into_iter().collect();
    let expected: BTreeSet<String> = records_of(&contents)
        .into_iter()
        .map(|record| {
            let user = serde_json::from_str::<Value>(&record).unwrap()["UserId"].to_string();
            record.replacen(&user, "\"****\"", 1)
        })
        .collect();
    assert_eq!(masked, expected, "nothing else of a record changed");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_of_a_feed_starts_no_subscription_and_writes_and_connects_nothing() {
    let world = world().await;
    world.emit_blobs(5, 4, SignedDuration::from_mins(2));
    let missing = world.once(&json!({"dry_run": true})).await.answer();
    assert_eq!(missing["status"], "dry_run", "{missing}");
    assert!(!world.feed_calls().iter().any(|call| matches!(call, FeedCall::Start(_))));
    assert_eq!(world.tenant.subscription(world.content_type()), Subscription::Missing);
    assert!(world.table.rows().await.is_empty());
    // With a subscription that somebody else started it shows what would be sent.
    world.tenant.set_subscription(world.content_type(), Subscription::Enabled);
    let shown = world.once(&json!({"dry_run": true})).await.answer();
    assert_eq!(shown["status"], "dry_run", "{shown}");
    let samples = shown["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 3, "{shown}");
    for sample in samples {
        let tag = world.promise.tag(&sample["message"], &world.id);
        assert_eq!(sample["tag"], tag.as_str());
    }
    assert!(world.table.rows().await.is_empty(), "a dry run writes nothing");
    assert_eq!(world.to_devo.connections(), 0, "a dry run opens no connection");
    assert!(!world.feed_calls().iter().any(|call| matches!(call, FeedCall::Start(_))));
    assert_eq!(world.tick().await["delivered"], 20);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_of_a_feed_brings_what_lies_before_its_start_and_the_retry_service_refuses_one() {
    let world = world().await;
    let recent = world.emit_blobs(3, 2, SignedDuration::from_mins(2));
    let old: Vec<Content> = (0..3)
        .map(|number| {
            world.emit_blob(
                ago(SignedDuration::from_hours(70 + number)),
                500 + number.unsigned_abs() * 5..503 + number.unsigned_abs() * 5,
            )
        })
        .collect();
    assert_eq!(world.tick().await["delivered"], 6);
    let (from, to) = (ago(SignedDuration::from_hours(80)), ago(SignedDuration::from_hours(60)));
    let event =
        json!({"backfill": {"start_time_in_utc": from.to_string(), "end_time_in_utc": to.to_string()}});
    let answer = world.once(&event).await.answer();
    assert_eq!((&answer["status"], &answer["delivered"]), (&json!("up_to_date"), &json!(9)), "{answer}");
    assert_eq!(world.once(&event).await.answer()["delivered"], 0, "what was had is not had again");
    let all: Vec<Content> = recent.into_iter().chain(old).collect();
    assert_arrived(&world, &records_of(&all));
    assert!(world.fetched_otherwise_than(1, &all).is_empty());
    let error = world.once_of(URI_RETRY, &event).await.error();
    assert!(error.message.starts_with("[1] ") && error.message.contains("backfill"), "{}", error.message);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_publisher_is_the_tenant_unless_the_document_names_another() {
    let named = "11111111-2222-3333-4444-555555555555";
    for publisher in [None, Some(named)] {
        let config = TenantConfig {
            feed: FeedConfig {
                publisher: simulator::tenant::PublisherRule::Required,
                ..FeedConfig::default()
            },
            ..TenantConfig::default()
        };
        let world = World::with(feeds().next().unwrap(), config).await;
        let mut document = world.document();
        if let Some(publisher) = publisher {
            document["inputs"]["office365"]["publisher_identifier"] = json!(publisher);
        }
        world.store_secrets(&document, &world.devo_secret());
        let contents = world.emit_blobs(3, 2, SignedDuration::from_mins(2));
        assert_eq!(world.tick().await["delivered"], records_of(&contents).len());
        let expected = publisher.unwrap_or(&world.tenant.config().tenant_id);
        for seen in world.feed_requests() {
            let given = seen.query.iter().find(|(name, _)| name.eq_ignore_ascii_case("PublisherIdentifier"));
            assert_eq!(given.map(|(_, value)| value.as_str()), Some(expected), "{}", seen.path);
        }
        world.close().await;
    }
}
