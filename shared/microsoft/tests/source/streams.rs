//! Content while it is on its way: how many at once, who waits for whom, and what a caller who rests may cost.

use std::time::Duration;

use collector::ports::{Blob, BlobEnd, Fetched, Page, Source as _, SourceError};
use jiff::SignedDuration;
use microsoft::Tuning;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::support::{FEED, Outcome, Reply, Stage, URI_RETRY, confirmed, fast};

/// Longer than anything takes on this machine that is not stuck.
const LONG: i64 = 60_000;

fn blobs(stage: &Stage, count: usize) -> Vec<Blob> {
    (0..count).map(|index| stage.blob(&format!("b/{index}."))).collect()
}

/// What comes until there is an error, as indices of the blobs that ended complete, and the error.
async fn complete_until_error(stage: &mut Stage, wanted: Vec<Blob>) -> (Vec<usize>, SourceError) {
    let deadline = stage.deadline(LONG);
    stage.source.fetch(wanted, deadline);
    let mut complete = Vec::new();
    loop {
        match stage.source.fetched(deadline).await {
            Ok(Fetched::Ended { blob, end: BlobEnd::Complete }) => complete.push(blob),
            Ok(Fetched::Part { .. }) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                complete.sort_unstable();
                return (complete, error);
            }
        }
    }
}

#[tokio::test]
async fn where_one_ends_the_next_begins() {
    let mut stage = Stage::feed([]).await;
    for index in [0, 5, 8] {
        stage.api.answers_to(&format!("b/{index}."), [Reply::body("[1]")]);
    }
    stage.api.answers_to("b/", [Reply::silence()]);
    let many = blobs(&stage, 30);
    let (until, deadline) = (stage.deadline(500), stage.deadline(LONG));
    stage.source.fetch(many, deadline);
    let mut ended = 0;
    loop {
        match stage.source.fetched(until).await.unwrap() {
            Fetched::Part { .. } => {}
            Fetched::Ended { end: BlobEnd::Complete, .. } => ended += 1,
            Fetched::NotYet => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((ended, stage.api.count()), (3, 3 + 8));
}

#[tokio::test]
async fn the_caller_hears_at_the_instant_it_named_and_at_the_deadline() {
    let mut stage = Stage::feed([]).await;
    stage.api.answers_to("b/", [Reply::silence()]);
    let one = blobs(&stage, 1);
    let (past, until, deadline) = (stage.deadline(0), stage.deadline(50), stage.deadline(100));
    stage.source.fetch(one, deadline);
    assert!(matches!(stage.source.fetched(past).await, Ok(Fetched::NotYet)));
    assert!(matches!(stage.source.fetched(until).await, Ok(Fetched::NotYet)));
    assert_eq!(stage.source.fetched(stage.deadline(LONG)).await.unwrap_err(), SourceError::OutOfTime);
    assert!(matches!(stage.source.fetched(deadline).await, Ok(Fetched::AllEnded)), "an error ends the fetch");
}

#[tokio::test]
async fn a_deadline_that_is_over_asks_for_nothing_more() {
    let mut stage = Stage::feed([]).await;
    let one = blobs(&stage, 1);
    let deadline = stage.deadline(0);
    stage.source.fetch(one, deadline);
    assert_eq!(stage.source.fetched(deadline).await.unwrap_err(), SourceError::OutOfTime);
    assert_eq!(stage.api.count(), 0);
}

#[tokio::test]
async fn what_comes_next_gives_up_what_is_under_way() {
    let mut stage = Stage::feed([]).await;
    stage.api.answers_to("b/", [Reply::silence()]);
    stage.api.answers_to("good", [Reply::body("[1]")]);
    stage.api.answers_to("/subscriptions/content", [Reply::body("[]")]);
    let (silent, until, deadline) = (blobs(&stage, 20), stage.deadline(100), stage.deadline(LONG));
    stage.source.fetch(silent.clone(), deadline);
    assert!(matches!(stage.source.fetched(until).await, Ok(Fetched::NotYet)));
    let good = vec![stage.blob("good")];
    assert_eq!(stage.fetch(good).await.unwrap(), [Outcome::complete(&["1"])]);
    stage.source.fetch(silent, deadline);
    assert!(matches!(stage.source.fetched(until).await, Ok(Fetched::NotYet)));
    stage.page(None).await.unwrap();
    assert!(matches!(stage.source.fetched(deadline).await, Ok(Fetched::AllEnded)));
}

#[tokio::test]
async fn a_probe_that_is_given_up_and_a_login_that_is_given_up_hold_nobody_up() {
    let mut stage = Stage::feed([]).await;
    stage.api.answers_to("b/0.", [Reply::error(429, "", ""), Reply::silence()]);
    stage.api.answers_to("b/1.", [Reply::error(401, "", "")]);
    stage.api.answers_to("/subscriptions/content", [Reply::body("[]")]);
    let (probing, until, deadline) = (blobs(&stage, 1), stage.deadline(100), stage.deadline(LONG));
    stage.source.fetch(probing, deadline);
    assert!(matches!(stage.source.fetched(until).await, Ok(Fetched::NotYet)));
    assert_eq!(stage.api.count(), 2);
    stage.page(None).await.unwrap();

    stage.login.answers([Reply::silence(), Reply::token("fresh")]);
    let refused = blobs(&stage, 2).split_off(1);
    stage.source.fetch(refused, deadline);
    assert!(matches!(stage.source.fetched(until).await, Ok(Fetched::NotYet)));
    assert_eq!(stage.login.count(), 2);
    stage.page(None).await.unwrap();
    assert_eq!(stage.login.count(), 3);
}

#[tokio::test]
async fn what_is_under_way_ends_before_the_fetch_is_throttled() {
    let mut stage = Stage::with(fast(), |settings| {
        settings.service = &FEED;
        settings.rate.requests = 3;
        settings.rate.per = SignedDuration::from_hours(1);
    })
    .await;
    stage.login.answers([Reply::token("t0ken")]);
    stage.prepare(confirmed()).await.unwrap();
    stage.api.answers_to("b/", [Reply::body("[1]")]);
    let many = blobs(&stage, 10);
    let (complete, error) = complete_until_error(&mut stage, many).await;
    assert_eq!(complete, [0, 1, 2]);
    assert!(matches!(error, SourceError::Throttled { .. }), "{error:?}");
    assert_eq!(stage.api.count(), 3);
}

#[tokio::test]
async fn what_streams_when_the_api_asks_for_a_long_patience_is_read_to_its_end() {
    let mut stage = Stage::feed([]).await;
    let body = format!("[{}1]", "1,".repeat(200_000));
    stage.api.answers_to("b/0.", [Reply::body(body)]);
    stage.api.answers_to("b/", [Reply::new(429, &[("retry-after", "90")], "")]);
    let many = blobs(&stage, 10);
    let until = stage.deadline(90_000);
    let (complete, error) = complete_until_error(&mut stage, many).await;
    assert_eq!((complete, error), (vec![0], SourceError::Throttled { until }));
    assert!(stage.api.count() <= 8);
}

#[tokio::test]
async fn a_caller_who_rests_longer_than_an_attempt_may_take_loses_no_content() {
    let tuning = Tuning { attempt_timeout: Duration::from_secs(3), ..fast() };
    let mut stage = Stage::unsubscribed(tuning).await;
    stage.prepare(confirmed()).await.unwrap();
    let records = 3_000;
    let record = format!("\"{}\"", "x".repeat(998));
    let body = format!("[{}]", vec![record; records].join(","));
    // One is ahead of the others, which are in the middle of a part when it gives its first.
    stage.api.answers_to("b/0.", [Reply::body(&body)]);
    stage.api.answers_to("b/", [Reply::chunked(body, 1000)]);
    let (many, deadline) = (blobs(&stage, 8), stage.deadline(LONG));
    stage.source.fetch(many, deadline);
    let (mut received, mut ended) = (0, 0);
    while ended < 8 {
        match stage.source.fetched(deadline).await.unwrap() {
            Fetched::Part { records: part, .. } => {
                if received == 0 {
                    // A delivery that takes long.
                    tokio::time::sleep(Duration::from_millis(3_200)).await;
                }
                received += part.len();
            }
            Fetched::Ended { end, .. } => {
                assert_eq!(end, BlobEnd::Complete);
                ended += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((received, stage.api.count()), (8 * records, 8));
}

const CHUNK: usize = 64 * 1024;
const CHUNKS: usize = 1024;
const RECORD: usize = 1024;

/// A server that answers one request with an array of 64 MB, and says how much of it was taken when nobody takes more.
async fn long_answer() -> (String, oneshot::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (blocked, taken) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut request).await.unwrap();
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n[0", CHUNK * CHUNKS + 3);
        stream.write_all(head.as_bytes()).await.unwrap();
        let chunk = format!(",\"{}\"", "x".repeat(RECORD - 3)).repeat(CHUNK / RECORD);
        let mut blocked = Some(blocked);
        for sent in 0..CHUNKS {
            let mut write = std::pin::pin!(stream.write_all(chunk.as_bytes()));
            if tokio::time::timeout(Duration::from_millis(300), write.as_mut()).await.is_err() {
                if let Some(blocked) = blocked.take() {
                    blocked.send(sent * CHUNK).unwrap();
                }
                write.await.unwrap();
            }
        }
        stream.write_all(b"]").await.unwrap();
    });
    (url, taken)
}

#[tokio::test]
async fn nothing_is_read_while_nobody_asks() {
    let (url, taken) = long_answer().await;
    let mut stage = Stage::with(fast(), |settings| {
        settings.service = &FEED;
        settings.connection.base_url.clone_from(&url);
    })
    .await;
    stage.login.answers([Reply::token("t0ken")]);
    stage.prepare(confirmed()).await.unwrap();
    let mut blob = stage.blob("long");
    blob.uri = format!("{url}/long");
    let deadline = stage.deadline(LONG);
    stage.source.fetch(vec![blob], deadline);
    let mut received = match stage.source.fetched(deadline).await.unwrap() {
        Fetched::Part { records, .. } => records.len(),
        other => panic!("{other:?}"),
    };
    let taken = taken.await.unwrap();
    // What lies in the buffers of two sockets on one machine.
    assert!(taken < 24 * 1024 * 1024, "{taken} bytes were taken");
    loop {
        match stage.source.fetched(deadline).await.unwrap() {
            Fetched::Part { records, .. } => received += records.len(),
            Fetched::Ended { end, .. } => break assert_eq!(end, BlobEnd::Complete),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(received, 1 + CHUNK * CHUNKS / RECORD);
}

#[tokio::test]
async fn the_retry_service_fetches_what_was_listed_long_ago_and_lists_nothing() {
    let mut stage = Stage::with(fast(), |settings| settings.service = &URI_RETRY).await;
    stage.login.answers([Reply::token("t0ken")]);
    stage.prepare(serde_json::json!({})).await.unwrap();
    stage.api.answers_to("b/0.", [Reply::body("[1]")]);
    stage.api.answers_to("b/1.", [Reply::error(404, "AF20050", "It does not exist.")]);
    for _ in 0..2 {
        let two = blobs(&stage, 2);
        let outcomes = stage.fetch(two).await.unwrap();
        assert_eq!(outcomes[0], Outcome::complete(&["1"]));
        assert!(outcomes[1].reason().starts_with("404 AF20050"), "{outcomes:?}");
    }
    assert_eq!((stage.api.count(), stage.api.count_of("subscriptions")), (4, 0));
    assert!(stage.api.seen().iter().all(|seen| seen.line().contains("?PublisherIdentifier=contoso")));
    let Page { records, blobs, next, warnings, missing: _, complete_to: _ } = stage.page(None).await.unwrap();
    assert_eq!((records.len(), blobs.len(), next, warnings.len()), (0, 0, None, 0));
}
