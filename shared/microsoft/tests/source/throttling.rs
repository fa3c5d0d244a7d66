//! Answers that ask for patience, while several blobs are under way.

use std::time::{Duration, Instant};

use collector::ports::{Blob, Fetched, Source as _, SourceError};
use jiff::SignedDuration;
use microsoft::Tuning;

use crate::support::{FEED, Outcome, Reply, Stage, confirmed, fast, fatal};

const PSEUDO_JSON: &str = "{'error':{'code':'AF429','message':'Too many requests. Method=GetBlob, PublisherId=00000000-0000-0000-0000-000000000000'}}";

fn shapes() -> [Reply; 5] {
    [
        Reply::error(429, "", ""),
        Reply::error(403, "AF429", "Too many requests."),
        Reply::new(403, &[], PSEUDO_JSON),
        Reply::error(200, "AF429", "Too many requests."),
        Reply::new(503, &[("retry-after", "1")], ""),
    ]
}

async fn feed(throttle_base: Duration) -> Stage {
    let mut stage =
        Stage::unsubscribed(Tuning { throttle_base, retry_cap: Duration::from_secs(30), ..fast() }).await;
    stage.prepare(confirmed()).await.unwrap();
    stage
}

fn blobs(stage: &Stage, count: usize) -> Vec<Blob> {
    (0..count).map(|index| stage.blob(&format!("b/{index}"))).collect()
}

#[tokio::test]
async fn throttling_is_no_failure_of_a_blob_whatever_its_shape() {
    for shape in shapes() {
        let mut stage = feed(Duration::from_millis(5)).await;
        for index in 0..3 {
            stage.api.answers_to(&format!("b/{index}"), [shape.clone(), Reply::body("[1]")]);
        }
        let three = blobs(&stage, 3);
        let outcomes = stage.fetch(three).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::complete(&["1"])), "{shape:?}");
        assert_eq!(stage.source.stats().throttled, 3, "{shape:?}");
        assert_eq!(stage.source.stats().requests, 6, "{shape:?}");
    }
}

#[tokio::test]
async fn while_the_api_throttles_one_probe_goes_out_at_a_time() {
    let mut stage = feed(Duration::from_millis(100)).await;
    stage.api.answers_to("b/", [Reply::new(403, &[], PSEUDO_JSON)]);
    let many = blobs(&stage, 30);
    let begin = Instant::now();
    // The waits are 0.1, 0.2 and 0.4 s, each up to a quarter longer.
    let error = match stage.fetch(many).await.unwrap_err() {
        SourceError::Fatal(error) => error,
        other => panic!("{other:?}"),
    };
    assert!(begin.elapsed() >= Duration::from_millis(700), "{:?}", begin.elapsed());
    assert_eq!(stage.api.count(), 8 + 3);
    assert_eq!((error.error_type.as_str(), error.code), ("ApiError", 429));
    assert!(error.message.starts_with("429 Error during API call to "), "{error}");
    assert!(error.message.contains("set publisher_identifier"), "{error}");
}

#[tokio::test]
async fn blobs_that_wait_for_their_turn_stay_behind_a_gate_that_closes() {
    let tuning =
        Tuning { throttle_base: Duration::from_secs(5), retry_cap: Duration::from_secs(30), ..fast() };
    let mut stage = Stage::with(tuning, |settings| {
        settings.service = &FEED;
        settings.rate.requests = 1;
        settings.rate.per = SignedDuration::from_millis(100);
    })
    .await;
    stage.login.answers([Reply::token("t0ken")]);
    stage.prepare(confirmed()).await.unwrap();
    stage.api.answers_to("b/", [Reply::error(429, "", "")]);
    let (until, deadline) = (stage.deadline(600), stage.deadline(60_000));
    let many = blobs(&stage, 8);
    stage.source.fetch(many, deadline);
    assert!(matches!(stage.source.fetched(until).await, Ok(Fetched::NotYet)));
    assert_eq!(stage.api.count(), 1);
}

#[tokio::test]
async fn a_fetch_survives_throttling_that_ends_within_its_patience() {
    let mut stage = feed(Duration::from_millis(50)).await;
    let throttled = || Reply::error(429, "", "");
    let script: Vec<Reply> =
        std::iter::repeat_with(throttled).take(8 + 2).chain([Reply::body("[1]")]).collect();
    stage.api.answers_to("b/", script);
    let many = blobs(&stage, 20);
    let outcomes = stage.fetch(many).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::complete(&["1"])));
    assert_eq!(stage.api.count(), 8 + 2 + 20);
}

#[tokio::test]
async fn the_apis_own_wish_is_kept_by_all() {
    let mut stage = feed(Duration::from_millis(1)).await;
    let wish = Reply::new(429, &[("retry-after", "1")], "");
    stage.api.answers_to("b/0", [wish, Reply::body("[1]")]);
    stage.api.answers_to("b/", [Reply::body("[1]")]);
    let many = blobs(&stage, 9);
    let begin = Instant::now();
    stage.fetch(many).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!(stage.api.count(), 10);
}

#[tokio::test]
async fn a_wait_past_the_deadline_is_told_with_its_end() {
    let mut stage = feed(Duration::from_millis(1)).await;
    stage.api.answers_to("b/", [Reply::new(403, &[("retry-after", "90")], PSEUDO_JSON)]);
    let until = stage.deadline(90_000);
    let many = blobs(&stage, 8);
    assert_eq!(stage.fetch(many).await.unwrap_err(), SourceError::Throttled { until });
    assert!(stage.api.count() <= 8);
    // A listing of the same invocation does not go out either.
    assert_eq!(stage.page(None).await.unwrap_err(), SourceError::Throttled { until });
    assert_eq!(stage.api.count_of("/subscriptions/"), 0);
}

#[tokio::test]
async fn a_listing_waits_as_blobs_do() {
    let mut stage = feed(Duration::from_millis(20)).await;
    stage.api.answers_to(
        "/subscriptions/content",
        [Reply::new(403, &[], PSEUDO_JSON), Reply::error(429, "", ""), Reply::body("[]")],
    );
    let begin = Instant::now();
    stage.page(None).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(60), "{:?}", begin.elapsed());

    let mut hopeless = feed(Duration::from_millis(1)).await;
    hopeless.api.answers_to("/subscriptions/content", [Reply::new(403, &[], PSEUDO_JSON)]);
    let error = fatal(hopeless.page(None).await);
    assert_eq!((error.code, hopeless.api.count()), (429, 4));
    assert!(error.message.contains("set publisher_identifier"), "{error}");
}
