//! A feed that is asked to slow down does: nobody storms the API, and nothing is lost by waiting.

use std::sync::Mutex;
use std::time::Duration;

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::json;
use simulator::tenant::{
    Fault, FeedCall, FeedConfig, FeedError, RequestSeen, RetryAfter, Rule, TenantConfig, ThrottledAs,
};

use crate::world::feeds::{SIDE_BY_SIDE, call_of, records_of};
use crate::world::judge::assert_arrived;
use crate::world::{AMPLE, World, ago, service};

const BLOBS: u64 = 120;
const LASTS: Duration = Duration::from_secs(6);
/// Attempts beside those that were under way when the throttling began.
const TRIES: usize = 3;

fn wishes() -> [(&'static str, ThrottledAs); 4] {
    [
        ("403 in single quotes", ThrottledAs::Forbidden),
        ("429 with seconds", ThrottledAs::TooManyRequests(RetryAfter::Seconds(2))),
        ("429 with a date", ThrottledAs::TooManyRequests(RetryAfter::Date(SignedDuration::from_secs(3)))),
        ("429 without a wish", ThrottledAs::TooManyRequests(RetryAfter::Absent)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_blobs_are_throttled_few_requests_go_out_and_nothing_is_lost() {
    join_all(wishes().map(|(what, told)| async move {
        let feed = FeedConfig { blob_latency: Duration::from_millis(20), ..FeedConfig::default() };
        let world =
            World::with(service("office365-sharepoint"), TenantConfig { feed, ..TenantConfig::default() })
                .await;
        let contents = world.emit_blobs(BLOBS, 2, SignedDuration::from_mins(2));
        // It begins in the middle of the work.
        let throttled = Fault::Feed(FeedError::Throttled(told));
        let armed = Mutex::new(Some(Rule::on_blobs(world.content_type(), throttled).during(LASTS)));
        let tenant = world.tenant.clone();
        world.tenant.on_request(move |seen| {
            let is_half = seen.blob.as_ref().is_some_and(|blob| blob.number == BLOBS / 2);
            if is_half && let Some(rule) = armed.lock().unwrap().take() {
                tenant.script(vec![rule]);
            }
        });
        let process = world.process().await;
        let mut answers = vec![world.invoke(&process, &json!({}), AMPLE).await.answer()];
        while answers.last().unwrap()["status"] != "up_to_date" {
            assert!(answers.len() < 10, "{what}: {answers:?}");
            assert_eq!(answers.last().unwrap()["status"], "throttled", "{what}: {answers:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
            answers.push(world.invoke(&process, &json!({}), AMPLE).await.answer());
        }
        world.tenant.on_request(|_| {});
        assert!(
            answers.iter().any(|answer| answer["throttled"].as_u64().unwrap() > 0),
            "{what}: {answers:?}"
        );
        assert_arrived(&world, &records_of(&contents));
        assert!(world.queue().await.is_empty(), "{what}: patience is no failure");
        let during = requests_while_throttled(&world);
        println!("{what}: {during} requests in {LASTS:?}");
        assert!(during <= SIDE_BY_SIDE + TRIES, "{what}: {during} requests while throttled");
        world.close().await;
    }))
    .await;
}

/// Requests for blobs that came from the first refusal on, as long as refusals lasted.
fn requests_while_throttled(world: &World) -> usize {
    let requests = world.feed_requests();
    let is_refused = |seen: &&RequestSeen| matches!(seen.status, Some(403 | 429));
    let first = requests.iter().find(is_refused).unwrap().received_at;
    let end = first + SignedDuration::try_from(LASTS).unwrap();
    let is_blob = |seen: &&RequestSeen| matches!(call_of(seen), Some(FeedCall::Blob(_)));
    requests.iter().filter(is_blob).filter(|seen| seen.received_at >= first && seen.received_at < end).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_listing_is_waited_for_or_left_to_a_later_tick() {
    let cases = [
        (ThrottledAs::Forbidden, 2, "up_to_date"),
        (ThrottledAs::TooManyRequests(RetryAfter::Seconds(1)), 2, "up_to_date"),
        (ThrottledAs::TooManyRequests(RetryAfter::Seconds(3600)), 1, "throttled"),
    ];
    join_all(cases.map(|(told, times, status)| async move {
        let world = World::new(service("office365-dlp")).await;
        let contents = world.emit_blobs(6, 2, SignedDuration::from_mins(2));
        let throttled = Fault::Feed(FeedError::Throttled(told));
        world.tenant.script(vec![Rule::on_listing(world.content_type(), throttled).first(times)]);
        let answer = world.tick().await;
        assert_eq!(answer["status"], status, "{told:?}: {answer}");
        assert_eq!(answer["throttled"], times, "{told:?}: {answer}");
        if status == "up_to_date" {
            assert_arrived(&world, &records_of(&contents));
        } else {
            let asked = world.tenant.requests().len();
            let patient = world.force().await;
            assert_eq!(
                (&patient["status"], &patient["requests"]),
                (&json!("throttled"), &json!(0)),
                "{patient}"
            );
            assert_eq!(world.tenant.requests().len(), asked, "not even a login");
        }
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_published_budget_of_a_minute_is_kept_across_processes() {
    let world = World::new(service("office365-sharepoint")).await;
    let mut document = world.document();
    let limits = json!([{"period": "1m", "number_of_requests": 40}]);
    let input = &mut document["inputs"]["office365"];
    input["requests_limits"] = limits;
    input.as_object_mut().unwrap().shift_remove("requests_per_second");
    input["services"].as_object_mut().unwrap().shift_remove("uri_retry");
    world.store_secrets(&document, &world.devo_secret());
    world.emit_blobs(100, 1, SignedDuration::from_mins(2));
    let begun = ago(SignedDuration::ZERO);
    let first = world.tick().await;
    assert_eq!(first["status"], "throttled", "{first}");
    for _ in 0..2 {
        let next = world.force().await;
        assert_eq!((&next["status"], &next["requests"]), (&json!("throttled"), &json!(0)), "{next}");
    }
    let asked = world.feed_requests().len();
    assert!((30..=40).contains(&asked), "{asked} requests since {begun}");
    world.close().await;
}
