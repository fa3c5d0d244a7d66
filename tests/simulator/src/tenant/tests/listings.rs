//! Listings: every blob of a window once and in order, the next link, and the windows that are refused.

use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::Value;

use super::support::{
    PUBLISHER, ask_feed, code, content_ids, feed_url, get, listing_url, now, raw_get, start_feeds,
};
use crate::clock::Clock;
use crate::tenant::{
    ContentType, NextPagePath, NextPageTimes, PageKind, Tenant, TenantConfig, Violation, Visibility,
    WindowCode,
};

const FEED: ContentType = ContentType::Exchange;
const START: &str = "2026-11-19T12:00:00";
const END: &str = "2026-11-20T12:00:00";

fn hours_ago(hours: i64) -> Timestamp {
    now() - SignedDuration::from_hours(hours)
}

/// Follows next links, adding the publisher; gives the pages.
async fn walk(tenant: &Tenant, token: &str, first: &str) -> Vec<Value> {
    let mut url = first.to_owned();
    let mut pages = Vec::new();
    loop {
        let response = get(&url, token).await;
        assert_eq!(response.status(), 200, "{}", tenant.requests().len());
        let next = response.headers().get("nextpageuri").map(|value| value.to_str().unwrap().to_owned());
        pages.push(response.json().await.unwrap());
        assert!(pages.len() < 500, "the walk does not end");
        match next {
            Some(link) => url = format!("{link}&PublisherIdentifier={PUBLISHER}"),
            None => return pages,
        }
    }
}

fn all_ids(pages: &[Value]) -> Vec<String> {
    pages.iter().flat_map(content_ids).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_blob_of_a_window_comes_once_and_in_order_whatever_the_page_size(
        minutes in prop::collection::vec(0_i64..60, 0..40),
        page_size in 1_usize..9,
        bounds in (0_i64..60, 1_i64..30),
        end_only in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (tenant, token) = start_feeds(|config| {
                config.feed.page_size = page_size;
                config.feed.next_page_times =
                    if end_only { NextPageTimes::EndOnly } else { NextPageTimes::Both };
            })
            .await;
            let base = hours_ago(2);
            let (from, to) = (bounds.0, bounds.0 + bounds.1);
            let mut expected = Vec::new();
            for (number, minute) in minutes.iter().enumerate() {
                let created = base + SignedDuration::from_mins(*minute);
                let content_id = tenant.emit_blob(FEED, created, Vec::new());
                tenant.emit_blob(ContentType::General, created, Vec::new());
                if (from..to).contains(minute) {
                    expected.push((*minute, number, content_id));
                }
            }
            expected.sort();
            let text = |minute| (base + SignedDuration::from_mins(minute)).to_string();
            let pages = walk(&tenant, &token, &listing_url(&tenant, FEED, &text(from), &text(to))).await;
            let expected: Vec<String> = expected.into_iter().map(|(_, _, content_id)| content_id).collect();
            assert_eq!(all_ids(&pages), expected);
            assert_eq!(pages.len(), expected.len().div_ceil(page_size).max(1));
        });
    }
}

#[tokio::test]
async fn an_entry_says_where_its_content_is_and_until_when() {
    let (tenant, token) = start_feeds(|_| {}).await;
    let created = "2026-11-20T10:00:00.1234567Z".parse().unwrap();
    let content_id = tenant.emit_blob(FEED, created, vec!["{}".to_owned()]);
    let (_, page) = ask_feed(&listing_url(&tenant, FEED, START, END), &token).await;
    let entry = &page[0];
    assert_eq!(entry["contentType"], "Audit.Exchange");
    assert_eq!(entry["contentId"], content_id.as_str());
    assert_eq!(entry["contentCreated"], "2026-11-20T10:00:00.123Z");
    assert_eq!(entry["contentExpiration"], "2026-11-27T10:00:00.123Z");
    let uri = entry["contentUri"].as_str().unwrap();
    assert_eq!(get(uri, &token).await.text().await.unwrap(), "[{}]");
    let parts: Vec<&str> = content_id.split('$').collect();
    assert_eq!(parts[1..4], ["20261120100000123000000", "audit_exchange", "Audit_Exchange"]);
    assert!(parts[0].len() == 23 && parts[0] < parts[1]);
    for content_type in ContentType::ALL {
        let ids: std::collections::BTreeSet<String> =
            (0..50).map(|_| tenant.emit_blob(content_type, created, Vec::new())).collect();
        assert_eq!(ids.len(), 50, "ids differ though the instants do not");
    }
}

#[tokio::test]
async fn the_next_link_has_small_letters_raw_dollars_and_no_publisher() {
    for (path, version) in [(NextPagePath::V1Point0, "v1.0"), (NextPagePath::V1, "v1")] {
        let (tenant, token) = start_feeds(|config| {
            config.feed.page_size = 1;
            config.feed.next_page_path = path;
        })
        .await;
        let ids = [hours_ago(2), hours_ago(1)].map(|created| tenant.emit_blob(FEED, created, Vec::new()));
        let response = get(&listing_url(&tenant, FEED, START, END), &token).await;
        let next = response.headers()["nextpageuri"].to_str().unwrap().to_owned();
        let tenant_id = &tenant.config().tenant_id;
        let beginning = format!(
            "{}/api/{version}/{tenant_id}/activity/feed/subscriptions/content?contenttype=Audit.Exchange\
             &starttime=2026-11-19T12:00:00.000Z&endtime=2026-11-20T12:00:00.000Z&nextpage=2026",
            tenant.base_url()
        );
        assert!(next.starts_with(&beginning), "{next}");
        assert_eq!(next.matches('$').count(), 2, "{next}");
        assert_eq!(tenant.violations(), []);
        let (_, page) = ask_feed(&next, &token).await;
        assert_eq!(content_ids(&page), ids[1..]);
        assert_eq!(tenant.violations().len(), 1, "whoever follows it as it is has no publisher");
        assert_eq!(tenant.violations()[0].1, Violation::PublisherMissing);
        assert_eq!(tenant.requests().last().unwrap().page, PageKind::Next);
    }
}

#[tokio::test]
async fn the_header_of_the_next_link_is_spelled_as_told_on_the_wire() {
    for spelling in ["NextPageUri", "Nextpageuri", "NEXTPAGEURI", "nextpageuri"] {
        let (tenant, token) = start_feeds(|config| {
            config.feed.page_size = 1;
            config.feed.next_page_header = spelling.to_owned();
        })
        .await;
        tenant.emit_blob(FEED, hours_ago(2), Vec::new());
        tenant.emit_blob(FEED, hours_ago(1), Vec::new());
        let url = listing_url(&tenant, FEED, START, END);
        let path = url.strip_prefix(&tenant.base_url()).unwrap();
        let (answer, _) = raw_get(&tenant, &token, path).await;
        let text = String::from_utf8(answer).unwrap();
        assert!(text.contains(&format!("\r\n{spelling}: http://x/api/v1.0/")), "{text}");
        assert!(text.ends_with("Z\"}]"), "{text}");
    }
}

#[tokio::test]
async fn windows_are_at_most_a_day_long_and_a_week_old() {
    let (tenant, token) = start_feeds(|_| {}).await;
    for (options, expected) in [
        (vec![], ""),
        (vec![("startTime", START), ("endTime", END)], ""),
        (vec![("starttime", START), ("ENDTIME", END)], ""),
        (vec![("startTime", "2026-11-13T12:00:00"), ("endTime", "2026-11-13T12:00:01Z")], ""),
        (vec![("startTime", "2026-11-19"), ("endTime", "2026-11-20")], ""),
        (vec![("startTime", START)], "AF20055"),
        (vec![("endTime", END)], "AF20055"),
        (vec![("startTime", END), ("endTime", START)], "AF20055"),
        (vec![("startTime", END), ("endTime", END)], "AF20055"),
        (vec![("startTime", "2026-11-19T11:59:59"), ("endTime", END)], "AF20055"),
        (vec![("startTime", "2026-11-13T11:59:59"), ("endTime", "2026-11-13T12:30")], "AF20055"),
        (vec![("startTime", "yesterday"), ("endTime", END)], "AF20002"),
    ] {
        let mut all = vec![("contentType", FEED.name())];
        all.extend(options);
        let (status, body) = ask_feed(&feed_url(&tenant, "subscriptions/content", &all), &token).await;
        assert_eq!((status, code(&body)), (if expected.is_empty() { 200 } else { 400 }, expected), "{all:?}");
    }
    let raw_plus = listing_url(&tenant, FEED, START, END).replace("12%3A00%3A00&end", "12:00:00+00:00&end");
    let (_, body) = ask_feed(&raw_plus, &token).await;
    assert_eq!(code(&body), "AF20002", "a raw plus sign is a space");

    let (tenant, token) = start_feeds(|config| config.feed.window_code = WindowCode::Af20030).await;
    let (_, body) = ask_feed(&listing_url(&tenant, FEED, END, START), &token).await;
    assert_eq!(code(&body), "AF20030");
}

/// A tenant whose clock is moved by hand.
async fn with_clock(change: impl FnOnce(&mut TenantConfig)) -> (Tenant, String, Arc<Mutex<Timestamp>>) {
    let clock = Arc::new(Mutex::new(now()));
    let shared = Arc::clone(&clock);
    let (tenant, token) = start_feeds(|config| {
        config.clock = Clock::new(move || *shared.lock().unwrap());
        change(config);
    })
    .await;
    (tenant, token, clock)
}

#[tokio::test]
async fn blobs_appear_when_their_visibility_allows_in_the_order_they_became_available() {
    let (tenant, token, clock) = with_clock(|_| {}).await;
    let (start, end) = ("2026-11-20T00:00:00", "2026-11-20T12:00:00");
    let url = listing_url(&tenant, FEED, start, end);
    let later = now() + SignedDuration::from_mins(5);
    let late = tenant.emit_blob_when(FEED, hours_ago(3), Vec::new(), Visibility::From(later));
    let second = tenant.emit_blob(FEED, hours_ago(1), Vec::new());
    let first = tenant.emit_blob(FEED, hours_ago(2), Vec::new());
    let third = tenant.emit_blob_when(
        FEED,
        hours_ago(0) - SignedDuration::from_secs(1),
        Vec::new(),
        Visibility::AfterRequests(1),
    );
    let listed = async |expected: &[&String]| {
        let pages = walk(&tenant, &token, &url).await;
        assert_eq!(all_ids(&pages).iter().collect::<Vec<_>>(), expected);
    };
    listed(&[&first, &second]).await;
    listed(&[&first, &second, &third]).await;
    *clock.lock().unwrap() = later;
    listed(&[&first, &second, &third, &late]).await;
}

#[tokio::test]
async fn a_blob_can_be_listed_twice_and_an_expired_one_still_is() {
    let (tenant, token) = start_feeds(|_| {}).await;
    let one = tenant.emit_blob(FEED, hours_ago(3), Vec::new());
    let other = tenant.emit_blob(FEED, hours_ago(2), Vec::new());
    tenant.list_again(&one, hours_ago(1)).unwrap();
    tenant.expire_blob(&other, now()).unwrap();
    let pages = walk(&tenant, &token, &listing_url(&tenant, FEED, START, END)).await;
    assert_eq!(all_ids(&pages), [one.clone(), other, one]);
    assert_eq!(pages[0][1]["contentExpiration"], "2026-11-20T12:00:00.000Z");
    assert!(tenant.list_again("unknown", now()).is_err() && tenant.expire_blob("unknown", now()).is_err());
}

#[tokio::test]
async fn next_links_die_with_their_lifetime_and_belong_to_one_feed() {
    let (tenant, token, clock) = with_clock(|config| {
        config.feed.page_size = 1;
        config.link_lifetime = Some(SignedDuration::from_mins(10));
    })
    .await;
    for hours in 1..4 {
        tenant.emit_blob(FEED, hours_ago(hours), Vec::new());
    }
    let link = async || {
        let response = get(&listing_url(&tenant, FEED, START, END), &token).await;
        response.headers()["nextpageuri"].to_str().unwrap().to_owned()
    };
    let next = link().await;
    assert_eq!(get(&next, &token).await.status(), 200);
    assert_eq!(get(&next, &token).await.status(), 200, "a link may be followed again");
    let other = next.replace("Audit.Exchange", "Audit.General");
    assert_eq!(code(&ask_feed(&other, &token).await.1), "AF20031");
    *clock.lock().unwrap() += SignedDuration::from_mins(11);
    let (status, body) = ask_feed(&next, &token).await;
    assert_eq!((status, code(&body)), (400, "AF20031"));
    *clock.lock().unwrap() = now();
    let fresh = link().await;
    tenant.expire_links();
    assert_eq!(code(&ask_feed(&fresh, &token).await.1), "AF20031");
}
