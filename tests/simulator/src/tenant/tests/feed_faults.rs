//! Scripted faults of the feeds as a client meets them, and which requests a rule of theirs strikes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::support::{
    ask_feed, blob_url, body_of, code, content_ids, feed_token, feed_url, get, listing_url, now, raw_get,
    start_feeds, start_subscription,
};
use crate::clock::Clock;
use crate::tenant::{
    Compression, ContentType, Fault, FeedError, Framing, PageKind, Quotes, RetryAfter, Rule, RuleTally,
    Shape, Subscription, Target, Tenant, ThrottledAs,
};

const FEED: ContentType = ContentType::SharePoint;
const START: &str = "2026-11-20T00:00:00";
const END: &str = "2026-11-20T12:00:00";

/// A tenant with so many blobs in the feed, two on a page, their ids, and a clock that is moved by hand.
async fn with_blobs(count: i64) -> (Tenant, String, Vec<String>, Arc<Mutex<Timestamp>>) {
    let clock = Arc::new(Mutex::new(now()));
    let shared = Arc::clone(&clock);
    let (tenant, token) = start_feeds(|config| {
        config.clock = Clock::new(move || *shared.lock().unwrap());
        config.feed.page_size = 2;
        config.compression = Compression::Never;
    })
    .await;
    let ids = (0..count)
        .map(|number| {
            let created = now() - SignedDuration::from_mins(100 - number);
            tenant.emit_blob(
                FEED,
                created,
                vec![format!("{{\"n\":{number}}}"), "{\"second\":true}".to_owned()],
            )
        })
        .collect();
    (tenant, token, ids, clock)
}

async fn statuses(tenant: &Tenant, token: &str, ids: &[String]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for id in ids {
        statuses.push(get(&blob_url(tenant, id), token).await.status().as_u16());
    }
    statuses
}

#[tokio::test]
async fn refusals_come_in_the_words_of_the_api() {
    let json = |status, code| (status, code, true);
    for (error, (status, expected, is_json)) in [
        (FeedError::PermissionMissing, json(401, "AF10001")),
        (FeedError::NoSubscription, json(400, "AF20022")),
        (FeedError::SubscriptionDisabled, json(400, "AF20023")),
        (FeedError::NextPageInvalid, json(400, "AF20031")),
        (FeedError::ContentUnknown, json(404, "AF20050")),
        (FeedError::ContentExpired { status: 410 }, json(410, "AF20051")),
        (FeedError::ContentExpired { status: 400 }, json(400, "AF20051")),
        (FeedError::ContentIdInvalid, json(400, "AF20052")),
        (FeedError::Internal(Quotes::Double), json(500, "AF50000")),
        (FeedError::Internal(Quotes::Single), (500, "AF50000", false)),
        (FeedError::InternalForAnHour, json(500, "AF50000")),
        (FeedError::Throttled(ThrottledAs::Forbidden), (403, "AF429", false)),
        (FeedError::Throttled(ThrottledAs::TooManyRequests(RetryAfter::Absent)), json(429, "AF429")),
        (FeedError::TenantUnknown, json(400, "StartSubscription [CorrelationId=")),
    ] {
        let (tenant, token, ids, _clock) = with_blobs(1).await;
        tenant.script(vec![Rule::on_content_type(FEED, Fault::Feed(error))]);
        let response = get(&blob_url(&tenant, &ids[0]), &token).await;
        assert_eq!(response.status(), status, "{error:?}");
        let text = response.text().await.unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).is_ok(), is_json, "{text}");
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("innerError"), "that is Graph's: {text}");
    }
}

#[tokio::test]
async fn an_audit_log_that_is_off_and_throttled_calls_name_whom_they_concern() {
    let (tenant, token, ids, _clock) = with_blobs(1).await;
    tenant.script(vec![
        Rule::on_start(FEED, Fault::Feed(FeedError::TenantUnknown)),
        Rule::on_blobs(FEED, Fault::Feed(FeedError::Throttled(ThrottledAs::Forbidden))),
        Rule::on_listing(FEED, Fault::TooManyRequests(RetryAfter::Seconds(7))),
        Rule::on_subscriptions(Fault::status(503)),
    ]);
    let (_, body) = start_subscription(&tenant, &token, FEED).await;
    let expected = format!("DataServiceException: Tenant {} does not exist", tenant.config().tenant_id);
    assert!(body["error"]["message"].as_str().unwrap().contains(&expected), "{body}");
    let text = get(&blob_url(&tenant, &ids[0]), &token).await.text().await.unwrap();
    assert!(text.contains(&format!("Method=GetBlob, PublisherId={}", super::support::PUBLISHER)), "{text}");
    let response = get(&listing_url(&tenant, FEED, START, END), &token).await;
    assert_eq!(response.headers()["retry-after"], "7");
    assert_eq!(code(&response.json().await.unwrap()), "AF429");
    let (status, body) = ask_feed(&feed_url(&tenant, "subscriptions/list", &[]), &token).await;
    assert_eq!((status, code(&body)), (503, "AF50000"));
}

#[tokio::test]
async fn a_rule_for_one_content_type_leaves_the_others_alone() {
    let (tenant, token, _ids, _clock) = with_blobs(0).await;
    tenant.script(vec![Rule::on_content_type(FEED, Fault::Feed(FeedError::PermissionMissing))]);
    for content_type in ContentType::ALL {
        let status = get(&listing_url(&tenant, content_type, START, END), &token).await.status();
        assert_eq!(status, if content_type == FEED { 401 } else { 200 });
        tenant.set_subscription(content_type, Subscription::Disabled);
        let (status, _) = start_subscription(&tenant, &token, content_type).await;
        assert_eq!(status, if content_type == FEED { 401 } else { 200 });
    }
    assert_eq!(tenant.rule_tallies(), [RuleTally { matched: 2, struck: 2 }]);
}

#[tokio::test]
async fn a_share_of_the_blobs_fails_at_its_first_fetch() {
    let (tenant, token, ids, _clock) = with_blobs(7).await;
    let fault = || Fault::Feed(FeedError::ContentUnknown);
    tenant.script(vec![Rule::on(Target::AnyBlob, fault()).every_nth_blob(3).fetch(1)]);
    assert_eq!(statuses(&tenant, &token, &ids).await, [200, 200, 404, 200, 200, 404, 200]);
    assert_eq!(statuses(&tenant, &token, &ids).await, [200; 7]);
    assert_eq!(tenant.rule_tallies(), [RuleTally { matched: 2, struck: 2 }]);

    tenant.script(vec![Rule::on_blobs(FEED, fault()).content(&ids[4]).fetches_up_to(4)]);
    for expected in [404, 404, 200] {
        assert_eq!(statuses(&tenant, &token, &ids[3..5]).await, [200, expected]);
    }
    tenant.script(vec![Rule::on(Target::AnyFeed, fault()).nth(2), Rule::on(Target::AnyListing, fault())]);
    assert_eq!(statuses(&tenant, &token, &ids[..3]).await, [200, 404, 200]);
    assert_eq!(get(&listing_url(&tenant, FEED, START, END), &token).await.status(), 404);
}

#[tokio::test]
async fn a_rule_lasts_an_interval_and_tells_how_many_came_in() {
    let (tenant, token, ids, clock) = with_blobs(1).await;
    let throttled = || Fault::Feed(FeedError::Throttled(ThrottledAs::Forbidden));
    let at = |seconds| now() + SignedDuration::from_secs(seconds);
    tenant.script(vec![
        Rule::on(Target::AnyBlob, throttled()).during(Duration::from_secs(6)),
        Rule::on(Target::AnyBlob, Fault::status(500)).between(at(20), at(22)),
    ]);
    let mut seen = Vec::new();
    for second in [10, 12, 15, 16, 19, 20, 21, 22] {
        *clock.lock().unwrap() = at(second);
        seen.extend(statuses(&tenant, &token, &ids).await);
    }
    assert_eq!(seen, [403, 403, 403, 200, 200, 500, 500, 200], "six seconds from the first one on");
    let tallies = [RuleTally { matched: 8, struck: 3 }, RuleTally { matched: 2, struck: 2 }];
    assert_eq!(tenant.rule_tallies(), tallies);
}

#[tokio::test]
async fn bodies_that_are_no_array() {
    for (fault, expected) in [
        (Fault::Html, "<!DOCTYPE html>"),
        (Fault::NotJson, "{\"value\": ["),
        (Fault::WrongShape(Shape::ValueIsObject), "{\"value\":{"),
        (Fault::WrongShape(Shape::Null), "null"),
        (Fault::EndsEarly { at: 9 }, "[{\"n\":0},"),
        (Fault::EndsEarly { at: 0 }, ""),
    ] {
        let (tenant, token, ids, _clock) = with_blobs(1).await;
        tenant.script(vec![Rule::on_blobs(FEED, fault.clone())]);
        let response = get(&blob_url(&tenant, &ids[0]), &token).await;
        assert_eq!(response.status(), 200);
        let text = response.text().await.unwrap();
        assert!(text.starts_with(expected), "{text}");
        assert!(!serde_json::from_str::<Value>(&text).is_ok_and(|body| body.is_array()));
        if matches!(fault, Fault::EndsEarly { .. }) {
            assert_eq!(text, expected, "nothing behind it");
        }
    }
    let (tenant, token, _ids, _clock) = with_blobs(1).await;
    tenant.script(vec![Rule::on_listing(FEED, Fault::EndsEarly { at: 20 })]);
    let text = get(&listing_url(&tenant, FEED, START, END), &token).await.text().await.unwrap();
    assert_eq!(text.len(), 20);
}

#[tokio::test]
async fn blobs_break_on_the_wire_behind_exactly_that_byte() {
    let (tenant, token) = start_feeds(|config| config.feed.blob_framing = Framing::ContentLength).await;
    let created = now() - SignedDuration::from_mins(5);
    let content_id = tenant.emit_blob(FEED, created, vec!["{}".to_owned(); 100_000]);
    let url = blob_url(&tenant, &content_id);
    let path = url.strip_prefix(&tenant.base_url()).unwrap();
    for at in [0, 1, 200_000] {
        tenant.script(vec![Rule::on_blobs(FEED, Fault::Truncate { at })]);
        let (cut, end) = raw_get(&tenant, &token, path).await;
        assert_eq!(body_of(&cut).len(), at);
        assert!(end.is_ok());
    }
    tenant.script(vec![Rule::on_blobs(FEED, Fault::Reset)]);
    assert!(raw_get(&tenant, &token, path).await.1.is_err());
}

#[tokio::test]
async fn a_stalled_blob_gives_its_first_bytes_and_then_nothing() {
    let (tenant, token, ids, _clock) = with_blobs(1).await;
    tenant.script(vec![Rule::on_blobs(FEED, Fault::Stall { after: 9 })]);
    let mut response = get(&blob_url(&tenant, &ids[0]), &token).await;
    assert_eq!(response.chunk().await.unwrap().unwrap(), "[{\"n\":0},");
    let silence = tokio::time::timeout(Duration::from_millis(50), response.chunk()).await;
    assert!(silence.is_err(), "{silence:?}");
    drop(response);
    while tenant.blob_traffic().in_flight > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn slow_and_late_blobs_are_whole() {
    let slow = Fault::SlowBody { piece: 5, pause: Duration::from_millis(1) };
    for fault in [slow, Fault::Delay(Duration::from_millis(20))] {
        let (tenant, token, ids, _clock) = with_blobs(1).await;
        tenant.script(vec![Rule::on_blobs(FEED, fault)]);
        let text = get(&blob_url(&tenant, &ids[0]), &token).await.text().await.unwrap();
        assert_eq!(text, "[{\"n\":0},{\"second\":true}]");
    }
}

#[tokio::test]
async fn faulty_listings_and_links() {
    let (tenant, token, ids, _clock) = with_blobs(5).await;
    let url = listing_url(&tenant, FEED, START, END);
    let page = async |fault: Fault| {
        tenant.script(vec![Rule::on_listing(FEED, fault).nth(1)]);
        let response = get(&url, &token).await;
        let next = response.headers().get("nextpageuri").map(|value| value.to_str().unwrap().to_owned());
        (response.json::<Value>().await.unwrap(), next)
    };
    let elsewhere = "https://elsewhere.example".to_owned();
    let (body, next) = page(Fault::ForeignNextLink { host: elsewhere.clone() }).await;
    assert_eq!(content_ids(&body), ids[..2]);
    assert!(next.unwrap().starts_with("https://elsewhere.example/api/v1.0/"));
    let (body, next) = page(Fault::ForeignContentUri { host: elsewhere }).await;
    assert!(body[1]["contentUri"].as_str().unwrap().starts_with("https://elsewhere.example/api/v1.0/"));
    assert!(next.unwrap().starts_with(&tenant.base_url()));
    let (body, next) = page(Fault::LoopNextLink).await;
    let (_, again) = ask_feed(&next.unwrap(), &token).await;
    assert_eq!(body, again);
    let (body, next) = page(Fault::EmptyPageWithNext).await;
    assert_eq!(body, serde_json::json!([]));
    assert_eq!(content_ids(&ask_feed(&next.unwrap(), &token).await.1), ids[..2]);
    let (body, _) = page(Fault::DuplicateRecords).await;
    assert_eq!(content_ids(&body), [&ids[0], &ids[0], &ids[1], &ids[1]].map(Clone::clone));
    let (body, _) = page(Fault::ShuffleOrder).await;
    assert_eq!(content_ids(&body), [&ids[1], &ids[0]].map(Clone::clone));

    let (_, next) = page(Fault::Delay(Duration::ZERO)).await;
    tenant.script(vec![Rule::on_listing(FEED, Fault::ExpireLinks).page(PageKind::Next).nth(1)]);
    assert_eq!(code(&ask_feed(&next.unwrap(), &token).await.1), "AF20031");
}

#[tokio::test]
async fn a_token_dies_in_the_middle_and_a_new_one_works() {
    let (tenant, token, ids, _clock) = with_blobs(3).await;
    tenant.script(vec![Rule::on_blobs(FEED, Fault::TokenRevoked).nth(2)]);
    assert_eq!(statuses(&tenant, &token, &ids).await, [200, 401, 401]);
    assert_eq!(statuses(&tenant, &feed_token(&tenant).await, &ids).await, [200, 200, 200]);
}
