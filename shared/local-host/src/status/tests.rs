//! Status of rows as the run loop writes them.

use collector::ports::LeaseRequest;
use collector::settings::QuerySpan;
use serde_json::json;
use testing::hunting::{hunting_settings, query};
use testing::service::{FEED, OTHER_FEED, feed_settings, retry_settings, settings};

use super::*;
use crate::store::FileStore;

fn row(key: &str, fields: Value) -> Row {
    Row { key: key.to_owned(), fields: fields.as_object().unwrap().clone(), data: None, expires_at: None }
}

async fn status_of(rows: &[Row], now: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(&folder.path().join("state.db")).unwrap();
    for row in rows {
        store.leave(&settings().partition(), row).await.unwrap();
    }
    let status = read(Some(&store), &settings(), now.parse().unwrap()).await.unwrap();
    serde_json::to_value(status).unwrap()
}

#[tokio::test]
async fn a_service_that_never_ran_has_nothing_to_tell() {
    let empty = status_of(&[], "2026-11-20T10:30:00Z").await;
    let absent = read(None::<&FileStore>, &settings(), Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(empty, serde_json::to_value(absent).unwrap());
    assert_eq!((&empty["last_result"], &empty["last_24_hours"]["delivered"]), (&Value::Null, &0.into()));
}

#[tokio::test]
async fn position_lag_last_result_and_backfills_are_those_of_the_rows() {
    let rows = [
        row(
            CHECKPOINT_KEY,
            json!({
                "persistence_version": 1, "version": 7, "writer": "w", "hash_key": "k",
                "last_event_time_in_utc": "2026-11-20T10:20:00Z", "complete_to_in_utc": "2026-11-20T10:25:00Z",
                "last_pull_in_utc": "2026-11-20T10:25:01Z", "last_result": "throttled",
                "not_before_in_utc": "2026-11-20T10:31:00Z",
            }),
        ),
        row(
            "request#2026-11-01T00:00:00Z#2026-11-02T00:00:00Z#missing",
            json!({"complete": true, "round": 0}),
        ),
        row(
            "request#2026-11-03T00:00:00Z#2026-11-04T00:00:00Z#resend",
            json!({"complete": false, "cursor_in_utc": "2026-11-03T12:00:00Z"}),
        ),
        row("request#2026-11-05T00:00:00Z#2026-11-06T00:00:00Z#missing#nonce", json!({})),
    ];
    let status = status_of(&rows, "2026-11-20T10:30:00Z").await;
    assert_eq!(status["last_event_time_in_utc"], "2026-11-20T10:20:00Z");
    assert_eq!((&status["lag_seconds"], &status["last_result"]), (&300.into(), &"throttled".into()));
    assert_eq!(
        (&status["not_before_in_utc"], &status["running"]),
        (&"2026-11-20T10:31:00Z".into(), &Value::Null)
    );
    let backfills = status["backfills"].as_array().unwrap();
    let shown: Vec<_> = backfills
        .iter()
        .map(|one| (one["from"].as_str().unwrap(), one["state"].as_str().unwrap(), one["resend"] == true))
        .collect();
    let expected = [
        ("2026-11-01T00:00:00Z", "complete", false),
        ("2026-11-03T00:00:00Z", "open", true),
        ("2026-11-05T00:00:00Z", "waiting", false),
    ];
    assert_eq!(shown, expected);
    assert_eq!(backfills[1]["position_in_utc"], "2026-11-03T12:00:00Z");
}

#[tokio::test]
async fn the_ledger_is_summed_over_24_hours_with_what_waits_in_the_checkpoint() {
    let counts = |delivered: u64| json!({"requests": 1, "received": delivered + 2, "duplicates": 2, "delivered": delivered, "late": 2});
    let rows = [
        row("ledger#2026-11-19T10", counts(1_000)),
        row("ledger#2026-11-19T11", counts(100)),
        row("ledger#2026-11-20T10", counts(10)),
        row(
            CHECKPOINT_KEY,
            json!({"ledger_carry": {"2026-11-19T10": counts(5_000), "2026-11-20T10": counts(1)}, "hash_key": "k"}),
        ),
    ];
    let status = status_of(&rows, "2026-11-20T10:30:00Z").await;
    let sums = json!({
        "requests": 3, "received": 117, "duplicates": 6, "delivered": 111, "failed": 0, "late": 6,
        "bytes_sent": 0, "lost_uris": 0,
    });
    assert_eq!(status["last_24_hours"], sums);
}

#[tokio::test]
async fn the_period_of_the_last_two_sweeps_is_shown_while_they_are_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(&folder.path().join("state.db")).unwrap();
    let sweep =
        json!({"began_in_utc": "2026-11-20T10:00:00Z", "previous_began_in_utc": "2026-11-20T08:59:30Z"});
    let checkpoint = row(CHECKPOINT_KEY, json!({"hash_key": "k", "late_sweep": sweep}));
    store.leave(&settings().partition(), &checkpoint).await.unwrap();
    for (seconds, expected) in [(3_600, Some(3_630)), (0, None)] {
        let late_sweep_period = SignedDuration::from_secs(seconds);
        let swept = Settings { late_sweep_period, ..settings() };
        let status = read(Some(&store), &swept, Timestamp::UNIX_EPOCH).await.unwrap();
        assert_eq!(status.late_sweep_period_in_seconds, expected);
    }
}

#[tokio::test]
async fn what_waits_in_the_queues_of_the_feeds_is_shown_for_each_and_in_sum_for_the_service_that_retries() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(&folder.path().join("state.db")).unwrap();
    let feeds = [feed_settings(&FEED), feed_settings(&OTHER_FEED)];
    let retry = retry_settings(feeds.to_vec());
    let shown = async |settings: &Settings| {
        let status = read(Some(&store), settings, Timestamp::now()).await.unwrap();
        serde_json::to_value(status).unwrap()["pending_retries"].as_u64().unwrap()
    };
    assert_eq!(shown(&retry).await, 0, "nothing was stored yet");
    for (feed, waiting) in feeds.iter().zip([3, 4]) {
        let queue = json!({"waiting": waiting, "first_expiry_in_utc": "2026-11-27T10:00:00Z"});
        let checkpoint = row(CHECKPOINT_KEY, json!({"hash_key": "k", "retry_queue": queue}));
        store.leave(&feed.partition(), &checkpoint).await.unwrap();
    }
    assert_eq!((shown(&feeds[0]).await, shown(&feeds[1]).await, shown(&retry).await), (3, 4, 7));
    assert_eq!(pending_retries(Some(&store), &retry_settings(vec![feeds[1].clone()])).await, Ok(4));
}

#[tokio::test]
async fn content_that_was_lost_is_counted() {
    let rows = [row("ledger#2026-11-20T10", json!({"requests": 1, "lost_uris": 2}))];
    let status = status_of(&rows, "2026-11-20T10:30:00Z").await;
    assert_eq!(status["last_24_hours"]["lost_uris"], 2);
}

#[tokio::test]
async fn an_invocation_at_work_is_named_until_its_lease_ends() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(&folder.path().join("state.db")).unwrap();
    let request = LeaseRequest {
        owner: "request-1".to_owned(),
        writer: "nonce".to_owned(),
        now_ms: 1_000,
        expires_at_ms: 61_000,
        readable_version: 1,
        fresh_hash_key: "0".repeat(32),
    };
    store.acquire(&settings().partition(), &request).await.unwrap();
    for (second, running) in [(60, Some("request-1")), (62, None)] {
        let now = Timestamp::from_second(second).unwrap();
        let status = read(Some(&store), &settings(), now).await.unwrap();
        assert_eq!(status.running.as_deref(), running);
    }
}

#[tokio::test]
async fn each_query_is_shown_where_it_stands_in_the_order_of_the_configuration() {
    let hunting = hunting_settings(vec![
        query("second", QuerySpan::Whole),
        query("first", QuerySpan::Window),
        query("old", QuerySpan::Window),
    ]);
    let place = |generation: u64, error: Option<&str>| {
        json!({"generation": generation, "complete_to_in_utc": "2026-11-20T10:00:00Z",
            "last_pull_in_utc": "2026-11-20T10:00:01Z", "last_error": error})
    };
    let rows = [
        row(CHECKPOINT_KEY, json!({"persistence_version": 1, "generation": 2})),
        row("query#first", place(2, Some("[102] no"))),
        row("query#old", place(1, None)),
        row("query#gone", place(2, None)),
    ];
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(&folder.path().join("state.db")).unwrap();
    for row in &rows {
        store.leave(&hunting.partition(), row).await.unwrap();
    }
    let status = read(Some(&store), &hunting, "2026-11-20T10:30:00Z".parse().unwrap()).await.unwrap();
    let shown: Vec<_> = status
        .queries
        .iter()
        .map(|one| (one.name.as_str(), one.complete_to_in_utc.is_some(), one.last_error.as_deref()))
        .collect();
    assert_eq!(shown, [("second", false, None), ("first", true, Some("[102] no")), ("old", false, None)]);
}
