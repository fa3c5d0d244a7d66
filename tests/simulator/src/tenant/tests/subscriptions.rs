//! Subscriptions, and who may call the feeds at all.

use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::support::{
    ask_feed, code, feed_token, feed_url, get, listing_url, now, query, start, start_feeds,
    start_subscription, token,
};
use crate::clock::Clock;
use crate::tenant::{
    Addressee, ContentType, Endpoint, FeedCall, LagCode, LagLength, ListedNames, ListedStatus, PublisherRule,
    Subscription, SubscriptionLag, Tenant, TenantConfig, Throttle, ThrottledAs, Violation,
};

const FEED: ContentType = ContentType::SharePoint;

/// A tenant without subscriptions whose clock is moved by hand.
async fn with_clock(change: impl FnOnce(&mut TenantConfig)) -> (Tenant, String, Arc<Mutex<Timestamp>>) {
    let clock = Arc::new(Mutex::new(now()));
    let shared = Arc::clone(&clock);
    let tenant = start(|config| {
        config.clock = Clock::new(move || *shared.lock().unwrap());
        config.token_lifetime = SignedDuration::from_hours(100);
        change(config);
    })
    .await;
    let token = feed_token(&tenant).await;
    (tenant, token, clock)
}

async fn list(tenant: &Tenant, token: &str) -> Value {
    let (status, body) = ask_feed(&feed_url(tenant, "subscriptions/list", &[]), token).await;
    assert_eq!(status, 200);
    body
}

async fn content(tenant: &Tenant, token: &str) -> (u16, String) {
    let url = feed_url(tenant, "subscriptions/content", &[("contentType", FEED.name())]);
    let (status, body) = ask_feed(&url, token).await;
    (status, code(&body).to_owned())
}

#[tokio::test]
async fn a_subscription_is_listed_once_it_was_started_and_starting_it_again_says_so() {
    let (tenant, token, _clock) = with_clock(|_| {}).await;
    assert_eq!(list(&tenant, &token).await, json!([]));
    assert_eq!(content(&tenant, &token).await, (400, "AF20022".to_owned()));

    let entry = json!({ "contentType": "Audit.SharePoint", "status": "enabled", "webhook": null });
    assert_eq!(start_subscription(&tenant, &token, FEED).await, (200, entry.clone()));
    assert_eq!(list(&tenant, &token).await, json!([entry]));
    assert_eq!(content(&tenant, &token).await, (200, String::new()));
    let (status, body) = start_subscription(&tenant, &token, FEED).await;
    assert_eq!((status, code(&body)), (400, "AF20024"));
    assert_eq!(tenant.subscription(ContentType::Dlp), Subscription::Missing, "each feed has its own");
}

#[tokio::test]
async fn a_disabled_subscription_is_listed_refused_and_can_be_started() {
    let (tenant, token) = start_feeds(|_| {}).await;
    tenant.set_subscription(FEED, Subscription::Disabled);
    assert_eq!(content(&tenant, &token).await, (400, "AF20023".to_owned()));
    let listed = list(&tenant, &token).await;
    let statuses: Vec<_> = listed.as_array().unwrap().iter().map(|entry| &entry["status"]).collect();
    assert_eq!(statuses, ["enabled", "disabled", "enabled", "enabled", "enabled"]);
    assert_eq!(start_subscription(&tenant, &token, FEED).await.0, 200);
    assert_eq!(tenant.subscription(FEED), Subscription::Enabled);
}

#[tokio::test]
async fn starting_again_within_a_quarter_of_an_hour_is_a_violation() {
    let (tenant, token, clock) = with_clock(|_| {}).await;
    for (wait, expected) in [(0, 0), (14 * 60 + 59, 1), (15 * 60, 1), (60, 2)] {
        *clock.lock().unwrap() += SignedDuration::from_secs(wait);
        start_subscription(&tenant, &token, FEED).await;
        start_subscription(&tenant, &token, [ContentType::Exchange, ContentType::Dlp][expected % 2]).await;
        let of_feed: Vec<_> = tenant
            .requests()
            .into_iter()
            .filter(|seen| seen.addressee == Addressee::Feed(FeedCall::Start(FEED)))
            .flat_map(|seen| seen.violations)
            .collect();
        assert_eq!(of_feed, vec![Violation::StartedTooSoon; expected], "after {wait} s more");
    }
}

#[tokio::test]
async fn a_subscription_that_lags_is_listed_and_refused_for_as_long_as_it_was_told() {
    let later = now() + SignedDuration::from_hours(1);
    for (lasts, code) in [
        (LagLength::Until(later), LagCode::NoSubscription),
        (LagLength::For(SignedDuration::from_hours(1)), LagCode::Disabled),
    ] {
        let (tenant, token, clock) =
            with_clock(|config| config.feed.subscription_lag = Some(SubscriptionLag { code, lasts })).await;
        start_subscription(&tenant, &token, FEED).await;
        assert_eq!(list(&tenant, &token).await[0]["status"], "enabled");
        let expected = if code == LagCode::Disabled { "AF20023" } else { "AF20022" };
        for _ in 0..3 {
            assert_eq!(content(&tenant, &token).await, (400, expected.to_owned()));
        }
        *clock.lock().unwrap() = later;
        assert_eq!(content(&tenant, &token).await.0, 200);
    }
}

#[tokio::test]
async fn a_lag_of_so_many_listings_begins_with_the_start_and_can_be_set_later() {
    let (tenant, token, _clock) = with_clock(|_| {}).await;
    let lag = SubscriptionLag { code: LagCode::Disabled, lasts: LagLength::Listings(2) };
    tenant.set_subscription_lag(Some(lag));
    assert_eq!(content(&tenant, &token).await.1, "AF20022", "not started: that does not count");
    start_subscription(&tenant, &token, FEED).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(content(&tenant, &token).await.0);
    }
    assert_eq!(statuses, [400, 400, 200]);
    tenant.set_subscription_lag(Some(lag));
    assert_eq!(content(&tenant, &token).await.0, 400);
}

#[tokio::test]
async fn lists_spell_names_in_another_case_or_leave_the_status_out_as_told() {
    let (tenant, token) = start_feeds(|config| {
        config.feed.listed_names = ListedNames::OtherCase;
        config.feed.listed_status = ListedStatus::OnlyDisabled;
    })
    .await;
    tenant.set_subscription(ContentType::Dlp, Subscription::Disabled);
    let listed = list(&tenant, &token).await;
    assert_eq!(listed[1], json!({ "contentType": "Audit.Sharepoint", "webhook": null }));
    assert_eq!(listed[4]["status"], "disabled");
    for (entry, content_type) in listed.as_array().unwrap().iter().zip(ContentType::ALL) {
        let name = entry["contentType"].as_str().unwrap();
        assert_eq!(ContentType::of_name(name), Some(content_type), "the same but for its case");
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_own_audience_alone() {
    let (tenant, of_feeds) = start_feeds(|_| {}).await;
    let of_graph = token(&tenant).await;
    let list = feed_url(&tenant, "subscriptions/list", &[]);
    let graph = query(&tenant, Endpoint::SignIns, &[]);
    assert_eq!(get(&list, &of_feeds).await.status(), 200);
    assert_eq!(get(&graph, &of_graph).await.status(), 200);
    assert_eq!(get(&list, &of_graph).await.status(), 401);
    assert_eq!(get(&graph, &of_feeds).await.status(), 401);
    tenant.revoke_tokens();
    assert_eq!(get(&list, &of_feeds).await.status(), 401);
}

#[tokio::test]
async fn the_path_names_the_tenant_of_the_token_by_its_guid() {
    let (tenant, token) = start_feeds(|_| {}).await;
    let own = tenant.config().tenant_id.clone();
    let url = feed_url(&tenant, "subscriptions/list", &[]);
    for (other, status, expected) in [
        ("00000000-1111-4222-8333-444444444444", 400, "AF20010"),
        ("contoso.onmicrosoft.com", 400, "AF20013"),
        ("5d9a3c52-7c3e-4f0e-9a55-0c6f5f3d1b1g", 400, "AF20013"),
        (own.to_ascii_uppercase().as_str(), 200, ""),
    ] {
        let (seen, body) = ask_feed(&url.replace(&own, other), &token).await;
        assert_eq!((seen, code(&body)), (status, expected), "{other}");
    }
}

#[tokio::test]
async fn calls_that_nobody_understands_are_refused() {
    let (tenant, token) = start_feeds(|_| {}).await;
    let in_other_case = feed_url(&tenant, "Subscriptions/LIST", &[]).replace("/api/v1.0/", "/API/V1/");
    assert_eq!(get(&in_other_case, &token).await.status(), 200, "case and short version are accepted");
    for (operation, options, status, expected) in [
        ("subscriptions/content", vec![], 400, "AF20001"),
        ("subscriptions/content", vec![("contentType", "Audit.Sharpoint")], 400, "AF20020"),
        ("subscriptions/nothing", vec![], 404, ""),
        ("subscriptions/start", vec![("contentType", "DLP.All")], 405, ""),
    ] {
        let (seen, body) = ask_feed(&feed_url(&tenant, operation, &options), &token).await;
        assert_eq!((seen, code(&body)), (status, expected), "{operation} {options:?}");
    }
}

#[tokio::test]
async fn a_call_without_publisher_is_a_violation_and_throttled_where_that_is_the_rule() {
    for rule in [PublisherRule::Noted, PublisherRule::Required] {
        let (tenant, token) = start_feeds(|config| config.feed.publisher = rule).await;
        let with = feed_url(&tenant, "subscriptions/list", &[]);
        assert_eq!(get(&with, &token).await.status(), 200);
        assert_eq!(tenant.violations(), []);
        let without = with.split('?').next().unwrap();
        let zeros = format!("{without}?publisheridentifier=00000000-0000-0000-0000-000000000000");
        for (url, violations) in [(without, 1), (zeros.as_str(), 2)] {
            let response = get(url, &token).await;
            let status = response.status().as_u16();
            let text = response.text().await.unwrap();
            assert_eq!(tenant.violations().len(), violations);
            assert!(
                tenant.violations().iter().all(|(_, violation)| *violation == Violation::PublisherMissing)
            );
            if rule == PublisherRule::Noted {
                assert_eq!(status, 200);
                continue;
            }
            assert_eq!(status, 403);
            assert!(text.starts_with("{'error':{'code':'AF429'"), "{text}");
            assert!(text.contains("PublisherId=00000000-0000-0000-0000-000000000000"), "{text}");
        }
    }
}

#[tokio::test]
async fn all_feeds_share_one_limit_that_is_told_as_403_or_429() {
    for (told, status) in [
        (ThrottledAs::Forbidden, 403),
        (ThrottledAs::TooManyRequests(crate::tenant::RetryAfter::Seconds(0)), 429),
    ] {
        let (tenant, token) = start_feeds(|config| {
            config.feed.throttle = Some(Throttle { requests: 2, period: SignedDuration::from_secs(60) });
            config.feed.throttled_as = told;
        })
        .await;
        let one = listing_url(&tenant, FEED, "2026-11-20", "2026-11-20T12:00");
        let other = listing_url(&tenant, ContentType::Dlp, "2026-11-20", "2026-11-20T12:00");
        assert_eq!(get(&one, &token).await.status(), 200);
        assert_eq!(get(&other, &token).await.status(), 200);
        let refused = get(&one, &token).await;
        assert_eq!(refused.status(), status);
        let wait = refused.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(wait.as_deref(), if status == 429 { Some("60") } else { None });
        let text = refused.text().await.unwrap();
        assert!(text.contains("AF429") && text.contains("Method=GetAvailableContent"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).is_ok(), status == 429);
        let graph = query(&tenant, Endpoint::SignIns, &[]);
        assert_eq!(
            get(&graph, &super::support::token(&tenant).await).await.status(),
            200,
            "Graph has its own"
        );
    }
}
