//! Much at once: a million records, and blobs that take their time. Everything arrives once, side by side and in pace.
//!
//! What arrives is counted by its hash and not kept: a receiver of the test's own looks at each event and forgets it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::tenant::{Compression, Fault, FeedConfig, FeedError, Rule, TenantConfig};

use crate::world::counted::Counted;
use crate::world::feeds::{SIDE_BY_SIDE, URI_RETRY};
use crate::world::{World, ago, now, service};

/// Blobs of small records, some of which stand in two of them.
#[derive(Clone, Copy)]
struct Load {
    blobs: u64,
    /// Records of a blob.
    each: u64,
    /// Those of them that stand in another blob, half the load away, too.
    shared: u64,
    /// When the newest blob became available, and how long before that the oldest.
    newest: Timestamp,
    span: SignedDuration,
}

impl Load {
    fn created(&self, blob: u64) -> Timestamp {
        self.newest
            - self.span * i32::try_from(self.blobs - 1 - blob).unwrap() / i32::try_from(self.blobs).unwrap()
    }

    /// The record at this place of a blob: its last ones are the first ones of the blob half the load away.
    fn record(&self, blob: u64, place: u64) -> String {
        let own = self.each - self.shared;
        let (home, number) =
            if place < own { (blob, place) } else { ((blob + self.blobs / 2) % self.blobs, place - own) };
        let time = (self.created(home) - SignedDuration::from_mins(20)).strftime("%Y-%m-%dT%H:%M:%S");
        format!(
            "{{\"CreationTime\":\"{time}\",\"Id\":\"{home:08x}-{number:04x}\",\"Operation\":\"FileAccessed\",\
             \"RecordType\":6,\"Version\":1,\"Workload\":\"OneDrive\",\"UserId\":\"user{home}@example.com\",\
             \"ClientIP\":\"203.0.113.7\",\"ObjectId\":\"https://example.sharepoint.com/sites/plans/{number}\"}}"
        )
    }

    fn emit(self, world: &World) {
        for blob in 0..self.blobs {
            let make = move |place: usize| self.record(blob, place as u64);
            let count = usize::try_from(self.each).unwrap();
            world.tenant.emit_blob_with(world.content_type(), self.created(blob), count, Arc::new(make));
        }
    }

    /// Each record once.
    fn distinct(self) -> impl Iterator<Item = String> {
        let own = self.each - self.shared;
        (0..self.blobs).flat_map(move |blob| (0..own).map(move |place| self.record(blob, place)))
    }
}

/// Half a million records in ten thousand blobs.
async fn half_a_million(page_size: usize) {
    const PER_SECOND: u64 = 400;
    const FAILS_EVERY: u64 = 50;
    let load = Load {
        blobs: 10_000,
        each: 50,
        shared: 2,
        newest: ago(SignedDuration::from_mins(5)),
        span: SignedDuration::from_hours(22),
    };
    let feed = FeedConfig { page_size, ..FeedConfig::default() };
    let config = TenantConfig { feed, compression: Compression::Never, ..TenantConfig::default() };
    let world = World::with(service("office365-sharepoint"), config).await;
    load.emit(&world);
    // Each fails as often as one invocation tries it, and once more.
    let unknown = Fault::Feed(FeedError::ContentUnknown);
    let rule = Rule::on_blobs(world.content_type(), unknown).every_nth_blob(FAILS_EVERY).fetches_up_to(3);
    world.tenant.script(vec![rule]);
    let counted = Counted::default();
    let (_receiver, devo) = counted.receiver().await;
    let mut document = world.document();
    document["inputs"]["office365"]["requests_per_second"] = json!(2 * PER_SECOND);
    world.store_secrets(&document, &devo);

    let begun = Instant::now();
    let mut answers = Vec::new();
    let process = world.process().await;
    while answers.last().is_none_or(|answer: &Value| answer["status"] == "more") {
        assert!(answers.len() < 20, "{answers:?}");
        answers.push(world.invoke(&process, &json!({}), Duration::from_secs(20)).await.answer());
    }
    let ticks = answers.len();
    assert_eq!(answers.last().unwrap()["status"], "up_to_date", "{answers:?}");
    let failed: u64 = answers.iter().map(|answer| answer["failed_uris"].as_u64().unwrap()).sum();
    assert_eq!(failed, load.blobs / FAILS_EVERY, "each failing blob waits: {answers:?}");
    let retry = world.process_of(URI_RETRY).await;
    for _ in 0..5 {
        answers.push(world.invoke(&retry, &json!({"force": true}), Duration::from_secs(20)).await.answer());
        if world.queue().await.is_empty() {
            break;
        }
    }
    let elapsed = begun.elapsed();
    assert!(world.queue().await.is_empty(), "{:?}", answers.last());
    println!("pages of {page_size}: 500,000 records of 10,000 blobs in {elapsed:?}, {ticks} ticks");
    counted.assert_once(load.distinct());
    let sum = |name: &str| -> u64 { answers.iter().map(|answer| answer[name].as_u64().unwrap()).sum() };
    assert_eq!(sum("delivered"), load.blobs * (load.each - load.shared));
    let fetched = world.tenant.blob_traffic();
    assert!(fetched.answered <= load.blobs + (ticks * SIDE_BY_SIDE) as u64, "{fetched:?}");
    assert_in_pace(&world, PER_SECOND);
    world.assert_well_behaved();
    world.close().await;
}

/// In no ten seconds came more requests than the document allows in them, a second's worth aside: requests are paced when
/// they are sent, and counted when they arrive.
fn assert_in_pace(world: &World, per_second: u64) {
    let times: Vec<Timestamp> = world.feed_requests().iter().map(|seen| seen.received_at).collect();
    let mut most = 0;
    let mut first = 0;
    for (index, time) in times.iter().enumerate() {
        while time.duration_since(times[first]) >= SignedDuration::from_secs(10) {
            first += 1;
        }
        most = most.max(index - first + 1);
    }
    assert!(most as u64 <= 11 * per_second, "{most} requests in ten seconds");
}

/// The slow blobs take no processor's time: they are fetched while the others are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_records_half_on_pages_of_100_and_half_of_1000_and_2000_slow_blobs_arrive_each_once() {
    tokio::join!(half_a_million(100), half_a_million(1000), two_thousand_slow_blobs());
}

/// Two thousand blobs that take their time, fetched side by side.
async fn two_thousand_slow_blobs() {
    const LATENCY: Duration = Duration::from_millis(200);
    let load = Load {
        blobs: 2_000,
        each: 50,
        shared: 0,
        newest: now() - SignedDuration::from_mins(5),
        span: SignedDuration::from_hours(20),
    };
    let feed = FeedConfig { blob_latency: LATENCY, ..FeedConfig::default() };
    let world =
        World::with(service("office365-exchange"), TenantConfig { feed, ..TenantConfig::default() }).await;
    load.emit(&world);
    let counted = Counted::default();
    let (_receiver, devo) = counted.receiver().await;
    // Only this feed is on, so the whole rate is its own.
    let mut document = world.document();
    document["inputs"]["office365"]["services"].as_object_mut().unwrap().shift_remove("uri_retry");
    world.store_secrets(&document, &devo);
    let process = world.process().await;
    let begun = Instant::now();
    let answer = world.invoke(&process, &json!({}), Duration::from_secs(170)).await.answer();
    let elapsed = begun.elapsed();
    assert_eq!(
        (&answer["status"], &answer["delivered"]),
        (&json!("up_to_date"), &json!(100_000)),
        "{answer}"
    );
    counted.assert_once(load.distinct());
    let side_by_side = u32::try_from(world.tenant.most_in_flight()).unwrap();
    let ideal = LATENCY * u32::try_from(load.blobs).unwrap() / side_by_side;
    let ratio = elapsed.as_secs_f64() / ideal.as_secs_f64();
    println!("2,000 blobs of 200 ms, {side_by_side} at once: {elapsed:?}, {ratio:.3} of the ideal");
    assert_eq!(side_by_side as usize, SIDE_BY_SIDE);
    // 1.3 on an idle machine is a matter of the benchmark; here many others work at the same time.
    assert!(ratio < 4.0, "{elapsed:?} instead of {ideal:?}: one after the other would be 8");
    let fetched = world.tenant.blob_traffic();
    assert_eq!((fetched.requests, fetched.answered), (load.blobs, load.blobs), "none twice");
    world.close().await;
}
