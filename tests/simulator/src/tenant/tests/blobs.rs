//! Blobs: their bytes, how they travel, and what is counted about them.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use jiff::SignedDuration;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{ask_feed, blob_url, code, get, now, raw_get, start_feeds};
use crate::records;
use crate::tenant::{
    BlobTraffic, BodyStyle, Compression, ContentType, Fault, Framing, Gate, Rule, Violation,
};

const FEED: ContentType = ContentType::General;

fn created() -> jiff::Timestamp {
    now() - SignedDuration::from_hours(1)
}

#[tokio::test]
async fn records_are_served_as_the_bytes_that_were_emitted() {
    let (tenant, token) = start_feeds(|_| {}).await;
    let odd = ["{ \"a\" : 1E0 }", "{\"b\":\"\\u00eb\\/\"}", "null", "{\"a\":1,\"a\":2}"];
    let given: Vec<String> = odd.iter().map(|record| (*record).to_owned()).collect();
    let stored = tenant.emit_blob(FEED, created(), given.clone());
    let made = tenant.emit_blob_with(FEED, created(), 4, Arc::new(move |index| given[index].clone()));
    for content_id in [&stored, &made] {
        let text = get(&blob_url(&tenant, content_id), &token).await.text().await.unwrap();
        assert_eq!(text, format!("[{}]", odd.join(",")));
    }
    let escaped = blob_url(&tenant, &stored).replace('$', "%24");
    assert_eq!(get(&escaped, &token).await.status(), 200, "an escaped dollar sign is one");
    let empty = tenant.emit_blob(FEED, created(), Vec::new());
    assert_eq!(get(&blob_url(&tenant, &empty), &token).await.text().await.unwrap(), "[]");
    let raw = tenant.emit_blob_raw(FEED, created(), "{\"no\": \"array\"}");
    assert_eq!(get(&blob_url(&tenant, &raw), &token).await.text().await.unwrap(), "{\"no\": \"array\"}");
    assert_eq!(tenant.emitted_records(FEED).len(), 8);
    assert_eq!(tenant.requests().last().unwrap().records, 0);
    assert!(tenant.emitted_records(ContentType::Dlp).is_empty());
}

#[tokio::test]
async fn white_space_stands_between_records_and_never_inside() {
    let (tenant, token) = start_feeds(|config| {
        config.body_style = BodyStyle::Pretty;
        config.compression = Compression::Never;
        config.feed.blob_framing = Framing::ContentLength;
    })
    .await;
    for (records, expected) in
        [(vec![], "[\n]\n"), (vec!["{}"], "[\n  {}\n]\n"), (vec!["{}", "1"], "[\n  {},\n  1\n]\n")]
    {
        let given = records.iter().map(|record| (*record).to_owned()).collect();
        let content_id = tenant.emit_blob(FEED, created(), given);
        let response = get(&blob_url(&tenant, &content_id), &token).await;
        assert_eq!(response.headers()["content-length"], expected.len().to_string());
        assert_eq!(response.text().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_large_blob_is_the_same_in_chunks_with_a_length_and_compressed() {
    let given: Vec<String> = (0..500).map(|seed| records::office365(FEED, seed, created())).collect();
    let expected = format!("[{}]", given.join(","));
    assert!(expected.len() > 500_000);
    for (framing, compression) in [
        (Framing::Chunked, Compression::Never),
        (Framing::ContentLength, Compression::Never),
        (Framing::ContentLength, Compression::WhenAccepted),
    ] {
        let (tenant, token) = start_feeds(|config| {
            config.feed.blob_framing = framing;
            config.compression = compression;
        })
        .await;
        let content_id = tenant.emit_blob(FEED, created(), given.clone());
        // A client that does not undo what it asks for.
        let client = reqwest::Client::builder().no_gzip().build().unwrap();
        let request = client.get(blob_url(&tenant, &content_id)).bearer_auth(&token);
        let response = request.header("Accept-Encoding", "gzip").send().await.unwrap();
        let is_compressed = compression == Compression::WhenAccepted;
        assert_eq!(response.headers().contains_key("content-encoding"), is_compressed);
        let has_length = framing == Framing::ContentLength && !is_compressed;
        assert_eq!(
            response.headers().contains_key("content-length"),
            has_length,
            "{framing:?} {compression:?}"
        );
        let bytes = response.bytes().await.unwrap();
        let mut text = String::new();
        if is_compressed {
            assert!(bytes.len() < expected.len() / 2);
            GzDecoder::new(bytes.as_ref()).read_to_string(&mut text).unwrap();
        } else {
            text = String::from_utf8(bytes.to_vec()).unwrap();
        }
        assert!(text == expected);
        assert_eq!(tenant.requests().last().unwrap().records, 500);
    }
}

#[tokio::test]
async fn a_blob_is_made_no_faster_than_it_is_taken() {
    let (tenant, token) = start_feeds(|_| {}).await;
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let million = 1_000_000;
    let make = Arc::new(move |index: usize| {
        counted.fetch_add(1, Ordering::SeqCst);
        format!("{{\"n\":{index},\"text\":\"{}\"}}", "x".repeat(1_000))
    });
    let content_id = tenant.emit_blob_with(FEED, created(), million, make);
    let url = blob_url(&tenant, &content_id);
    let path = url.strip_prefix(&tenant.base_url()).unwrap();
    let mut stream = tokio::net::TcpStream::connect(tenant.address()).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut beginning = vec![0; 1_000_000];
    stream.read_exact(&mut beginning).await.unwrap();
    assert!(made.load(Ordering::SeqCst) < million / 20, "{}", made.load(Ordering::SeqCst));
    assert_eq!(tenant.blob_traffic().in_flight, 1);
    drop(stream);
    while tenant.blob_traffic().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    assert!(made.load(Ordering::SeqCst) < million / 20, "a client that went away ends it");
}

#[tokio::test]
async fn fetches_are_counted_for_each_blob_and_in_sum() {
    let (tenant, token) = start_feeds(|_| {}).await;
    let ids: Vec<String> = (0..3).map(|_| tenant.emit_blob(FEED, created(), Vec::new())).collect();
    tenant.script(vec![Rule::on_blobs(FEED, Fault::status(500)).content(&ids[1]).fetch(1)]);
    for (index, status) in [(0, 200), (1, 500), (1, 200), (1, 200)] {
        assert_eq!(get(&blob_url(&tenant, &ids[index]), &token).await.status(), status);
    }
    assert_eq!(ids.iter().map(|id| tenant.fetches(id)).collect::<Vec<_>>(), [1, 3, 0]);
    assert_eq!(tenant.fetches("unknown"), 0);
    assert_eq!(tenant.blob_fetches().values().copied().sum::<u64>(), 4);
    assert_eq!(tenant.blob_fetches().len(), 3);
    let traffic = BlobTraffic { in_flight: 0, ..tenant.blob_traffic() };
    assert_eq!(
        traffic,
        BlobTraffic { blobs: 3, fetched: 2, requests: 4, answered: 3, in_flight: 0, most_in_flight: 1 }
    );
    let seen: Vec<_> = tenant.requests().into_iter().filter_map(|seen| seen.blob).collect();
    let places: Vec<_> = seen.iter().map(|blob| (blob.number, blob.fetch)).collect();
    assert_eq!(places, [(1, 1), (2, 1), (2, 2), (2, 3)]);
}

#[tokio::test]
async fn the_most_requests_in_flight_at_once_are_remembered() {
    let (tenant, token) = start_feeds(|_| {}).await;
    let gate = Gate::new();
    tenant.script(vec![Rule::on_blobs(FEED, Fault::Hold(gate.clone())).first(5)]);
    let url = blob_url(&tenant, &tenant.emit_blob(FEED, created(), vec!["{}".to_owned()]));
    let requests: Vec<_> = (0..5)
        .map(|_| {
            let (url, token) = (url.clone(), token.clone());
            tokio::spawn(async move { get(&url, &token).await.text().await.unwrap() })
        })
        .collect();
    gate.arrived(5).await;
    assert_eq!((tenant.blob_traffic().in_flight, tenant.most_in_flight()), (5, 5));
    gate.release();
    for request in requests {
        assert_eq!(request.await.unwrap(), "[{}]");
    }
    while tenant.blob_traffic().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    get(&url, &token).await;
    assert_eq!(tenant.most_in_flight(), 5);
}

#[tokio::test]
async fn a_blob_takes_its_latency_and_others_do_not_wait_for_it() {
    let latency = Duration::from_millis(100);
    let (tenant, token) = start_feeds(|config| config.feed.blob_latency = latency).await;
    let url = blob_url(&tenant, &tenant.emit_blob(FEED, created(), Vec::new()));
    let client = reqwest::Client::new();
    let begin = Instant::now();
    let requests = (0..20).map(|_| client.get(&url).bearer_auth(&token).send());
    for response in futures::future::join_all(requests).await {
        assert_eq!(response.unwrap().status(), 200);
    }
    assert!(begin.elapsed() >= latency);
    assert!(tenant.most_in_flight() > 1, "while one waits the next is let in");
}

#[tokio::test]
async fn content_that_is_unknown_misspelled_or_expired_is_refused_each_in_its_way() {
    let (tenant, token) = start_feeds(|config| config.feed.expired_status = 410).await;
    let content_id = tenant.emit_blob(FEED, created(), Vec::new());
    tenant.expire_blob(&content_id, now()).unwrap();
    let unknown = content_id.replace("2026", "2025");
    for (id, status, expected) in [
        (unknown.as_str(), 404, "AF20050"),
        ("492638008028$492638008028$f28ab78a$04", 404, "AF20050"),
        ("nonsense", 400, "AF20052"),
        (content_id.as_str(), 410, "AF20051"),
    ] {
        let (seen, body) = ask_feed(&blob_url(&tenant, id), &token).await;
        assert_eq!((seen, code(&body)), (status, expected));
        assert!(body["error"]["message"].as_str().unwrap().contains(id), "{body}");
    }
    let violations: Vec<_> = tenant.violations().into_iter().map(|(_, violation)| violation).collect();
    assert_eq!(violations, [Violation::ExpiredFetched]);
}

#[tokio::test]
async fn twenty_thousand_blobs_cost_little() {
    let (tenant, token) = start_feeds(|config| config.feed.page_size = 1_000).await;
    let make: crate::tenant::RecordMaker = Arc::new(|index| records::office365(FEED, index as u64, now()));
    for number in 0..20_000 {
        let at = created() + SignedDuration::from_millis(number * 100);
        tenant.emit_blob_with(FEED, at, 50, Arc::clone(&make));
    }
    assert_eq!(tenant.blob_traffic().blobs, 20_000);
    let url = super::support::listing_url(&tenant, FEED, "2026-11-20T00:00:00", "2026-11-20T12:00:00");
    let (_, page) = ask_feed(&url, &token).await;
    assert_eq!(page.as_array().map(Vec::len), Some(1_000));
    let uri = page[999]["contentUri"].as_str().unwrap();
    let records: Vec<Value> = get(uri, &token).await.json().await.unwrap();
    assert_eq!(records.len(), 50);
}

#[tokio::test]
async fn the_framing_shows_on_the_wire() {
    let (tenant, token) = start_feeds(|_| {}).await;
    let url = blob_url(&tenant, &tenant.emit_blob(FEED, created(), vec!["{}".to_owned()]));
    let (answer, _) = raw_get(&tenant, &token, url.strip_prefix(&tenant.base_url()).unwrap()).await;
    let text = String::from_utf8(answer).unwrap();
    assert!(
        text.contains("transfer-encoding: chunked") && text.ends_with("\r\n4\r\n[{}]\r\n0\r\n\r\n"),
        "{text}"
    );
}
