//! A feed and the retry service meet over the same queue, as two schedules do now and then.

use futures::{StreamExt, stream};
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::tenant::{Fault, FeedConfig, FeedError, Gate, Rule, Target, TenantConfig};

use crate::world::feeds::{Content, URI_RETRY, content_type_of, records_of};
use crate::world::judge::assert_arrived;
use crate::world::{AMPLE, World, ago, feeds, service};

const RACES: u64 = 20;
/// Worlds that race side by side; more would only wait for one another's processors.
const SIDE_BY_SIDE: usize = 4;
const BLOBS: u64 = 12;
const FAILING: usize = 5;

/// A world with content that waits for a retry, and new content.
async fn world(number: u64) -> (World, Vec<Content>) {
    let all: Vec<_> = feeds().collect();
    let config = TenantConfig {
        feed: FeedConfig { page_size: 5, ..FeedConfig::default() },
        ..TenantConfig::default()
    };
    let world = World::with(all[usize::try_from(number).unwrap() % all.len()], config).await;
    let mut contents = world.emit_blobs(BLOBS, 3, SignedDuration::from_mins(3));
    let refuse = |content: &Content| {
        Rule::on(Target::AnyBlob, Fault::Feed(FeedError::ContentUnknown)).content(&content.id)
    };
    world.tenant.script(contents.iter().take(FAILING).map(refuse).collect());
    let answer = world.tick().await;
    assert_eq!(answer["failed_uris"], FAILING, "{answer}");
    world.tenant.script(Vec::new());
    for round in 0..4_u64 {
        let created = ago(SignedDuration::from_secs(30 + round.cast_signed()));
        contents.push(world.emit_blob(created, 1000 + round * 10..1004 + round * 10));
    }
    (world, contents)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_and_its_retry_service_at_once_lose_and_repeat_nothing() {
    let meetings: Vec<Meeting> =
        stream::iter(0..RACES).map(race).buffer_unordered(SIDE_BY_SIDE).collect().await;
    let count = |wanted: Meeting| meetings.iter().filter(|found| **found == wanted).count();
    println!(
        "{RACES} races: the feed was locked out in {}, passed over in {}",
        count(Meeting::FeedLocked),
        count(Meeting::PassedOver)
    );
    assert!(count(Meeting::Missed) < meetings.len(), "the two never met");
}

/// How a race went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meeting {
    /// The feed found its lease taken.
    FeedLocked,
    /// The retry service found the feed busy.
    PassedOver,
    /// One was done before the other came.
    Missed,
}

async fn race(number: u64) -> Meeting {
    let (world, contents) = world(number).await;
    let (feed, retry) = tokio::join!(world.process(), world.process_of(URI_RETRY));
    tokio::join!(feed.has_polled(1), retry.has_polled(1));
    let force = json!({"force": true});
    let (pulled, retried) =
        tokio::join!(world.invoke(&feed, &force, AMPLE), world.invoke(&retry, &force, AMPLE));
    let (pulled, retried): (Value, Value) = (pulled.answer(), retried.answer());
    let meeting = match (pulled["status"].as_str().unwrap(), retried["delivered"].as_u64().unwrap()) {
        ("locked", _) => {
            assert_eq!((&pulled["requests"], &pulled["delivered"]), (&json!(0), &json!(0)), "{pulled}");
            Meeting::FeedLocked
        }
        ("up_to_date", 0) => Meeting::PassedOver,
        ("up_to_date", _) => Meeting::Missed,
        _ => panic!("{pulled} {retried}"),
    };
    assert_eq!(retried["status"], "up_to_date", "{retried}");
    for _ in 0..2 {
        assert_eq!(world.force().await["status"], "up_to_date");
        assert_eq!(world.retry().await["status"], "up_to_date");
    }
    assert!(world.queue().await.is_empty());
    assert_arrived(&world, &records_of(&contents));
    world.close().await;
    meeting
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_is_busy_is_passed_over_and_the_others_are_retried() {
    let world = World::with(service(URI_RETRY), TenantConfig::default()).await;
    let mut emitted = Vec::new();
    for (number, feed) in (0_u64..).zip(feeds()) {
        let content_type = content_type_of(feed.function);
        let created = ago(SignedDuration::from_mins(10));
        emitted.push(world.emit_blob_of(content_type, created, number * 10..number * 10 + 2));
    }
    world.tenant.script(vec![Rule::on(Target::AnyBlob, Fault::Feed(FeedError::ContentUnknown))]);
    for feed in feeds() {
        assert_eq!(world.once_of(feed.function, &json!({})).await.answer()["failed_uris"], 1);
    }
    // One of the feeds is at its listing while the retry service comes.
    let busy = feeds().nth(1).unwrap().function;
    let gate = Gate::new();
    let hold = Rule::on_listing(content_type_of(busy), Fault::Hold(gate.clone())).nth(1);
    world.tenant.script(vec![hold]);
    let process = world.process_of(busy).await;
    let force = json!({"force": true});
    let (held, retried) = tokio::join!(world.invoke(&process, &force, AMPLE), async {
        gate.arrived(1).await;
        let retried = world.retry().await;
        gate.release();
        retried
    });
    assert_eq!(held.answer()["status"], "up_to_date");
    assert_eq!((&retried["status"], &retried["delivered"]), (&json!("up_to_date"), &json!(8)), "{retried}");
    assert_eq!(world.queue().await.len(), 1);
    assert_eq!(world.retry().await["delivered"], 2);
    assert_eq!(world.records().len(), records_of(&emitted).len());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_whose_queue_is_being_retried_is_locked_until_that_is_done() {
    let (world, contents) = world(1).await;
    let gate = Gate::new();
    world.tenant.script(vec![Rule::on(Target::AnyBlob, Fault::Hold(gate.clone())).first(1)]);
    let retry = world.process_of(URI_RETRY).await;
    let force = json!({"force": true});
    let (retried, locked) = tokio::join!(world.invoke(&retry, &force, AMPLE), async {
        gate.arrived(1).await;
        let locked = world.force().await;
        gate.release();
        locked
    });
    assert_eq!((&locked["status"], &locked["requests"]), (&json!("locked"), &json!(0)), "{locked}");
    assert_eq!(retried.answer()["delivered"], 3 * FAILING);
    assert_eq!(world.force().await["delivered"], 16);
    assert_arrived(&world, &records_of(&contents));
    world.close().await;
}
