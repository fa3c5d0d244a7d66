//! Scripted faults as a client meets them, throttling, and dead next links.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::support::{ask, body_of, get, ids, now, query, raw_get, record, start, token};
use crate::clock::Clock;
use crate::tenant::{
    Addressee, Compression, Endpoint, Fault, Gate, PageKind, RetryAfter, Rule, Shape, Target, Tenant,
    Throttle,
};

const ENDPOINT: Endpoint = Endpoint::DirectoryAudits;

/// A tenant with five records and two on a page.
async fn five() -> (Tenant, String) {
    let tenant = start(|config| {
        config.page_size.default = 2;
        config.compression = Compression::Never;
    })
    .await;
    for number in 1..=5 {
        tenant
            .emit(ENDPOINT, record(ENDPOINT, &number.to_string(), &format!("2026-11-20T11:00:0{number}Z")))
            .unwrap();
    }
    let token = token(&tenant).await;
    (tenant, token)
}

async fn struck(fault: Fault) -> (Tenant, String) {
    let (tenant, token) = five().await;
    tenant.script(vec![Rule::on_endpoint(ENDPOINT, fault).nth(1)]);
    (tenant, token)
}

#[tokio::test]
async fn a_rule_strikes_the_request_it_was_written_for_and_no_other() {
    let (tenant, token) = five().await;
    tenant.script(vec![
        Rule::on_endpoint(Endpoint::SignIns, Fault::status(500)),
        Rule::on_endpoint(ENDPOINT, Fault::status(503)).page(PageKind::Next).nth(1),
        Rule::on_endpoint(ENDPOINT, Fault::GatewayTimeout).nth(2),
        Rule::on(Target::AnyGraph, Fault::missing_permission("AuditLog.Read.All"))
            .page(PageKind::First)
            .first(1),
    ]);
    let first = query(&tenant, ENDPOINT, &[]);
    let forbidden = get(&first, &token).await;
    assert_eq!(forbidden.status(), 403);
    let body: Value = forbidden.json().await.unwrap();
    assert_eq!(body["error"]["code"], "Authentication_MSGraphPermissionMissing");
    assert_eq!(get(&first, &token).await.status(), 504);
    let page: Value = get(&first, &token).await.json().await.unwrap();
    let next = page["@odata.nextLink"].as_str().unwrap();
    assert_eq!(get(next, &token).await.status(), 503);
    assert_eq!(get(next, &token).await.status(), 200, "a link may be followed again");
    let statuses: Vec<_> = tenant
        .requests()
        .iter()
        .filter(|seen| seen.addressee == Addressee::Graph(ENDPOINT))
        .map(|seen| seen.status)
        .collect();
    assert_eq!(statuses, [403, 504, 200, 503, 200].map(Some));
}

#[tokio::test]
async fn answers_that_are_no_pages() {
    for (fault, content_type, is_json) in [
        (Fault::Html, "text/html", false),
        (Fault::NotJson, "application/json", false),
        (Fault::WrongShape(Shape::ValueMissing), "application/json", true),
        (Fault::WrongShape(Shape::ValueIsObject), "application/json", true),
        (Fault::WrongShape(Shape::TopLevelArray), "application/json", true),
        (Fault::WrongShape(Shape::Null), "application/json", true),
    ] {
        let (tenant, token) = struck(fault.clone()).await;
        let response = get(&query(&tenant, ENDPOINT, &[]), &token).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], content_type, "{fault:?}");
        let body: Result<Value, _> = serde_json::from_str(&response.text().await.unwrap());
        assert_eq!(body.is_ok(), is_json, "{fault:?}");
        assert!(body.is_ok_and(|page| page["value"].is_array()).eq(&false), "{fault:?}");
    }
}

/// The raw bytes of an answer, and how they ended.
async fn raw(tenant: &Tenant, token: &str) -> (Vec<u8>, std::io::Result<()>) {
    raw_get(tenant, token, ENDPOINT.path()).await
}

#[tokio::test]
async fn a_truncated_answer_ends_behind_exactly_that_byte() {
    let (tenant, token) = five().await;
    let (whole, _) = raw(&tenant, &token).await;
    let whole_body = body_of(&whole).to_vec();
    assert!(serde_json::from_slice::<Value>(&whole_body).is_ok());
    for at in [0, 1, 100, whole_body.len() - 1] {
        tenant.script(vec![Rule::on_endpoint(ENDPOINT, Fault::Truncate { at })]);
        let (cut, end) = raw(&tenant, &token).await;
        assert_eq!(body_of(&cut).len(), at);
        assert!(end.is_ok(), "a cut is a FIN, the announced length tells of it");
        assert!(String::from_utf8_lossy(&cut).contains(&format!("content-length: {}", whole_body.len())));
    }
}

#[tokio::test]
async fn a_connection_can_end_or_be_reset_before_the_first_byte() {
    let (tenant, token) = struck(Fault::CloseBeforeAnswer).await;
    let (received, end) = raw(&tenant, &token).await;
    assert!(received.is_empty() && end.is_ok());
    assert_eq!(tenant.requests().last().unwrap().status, None);

    let (tenant, token) = struck(Fault::Reset).await;
    let (received, end) = raw(&tenant, &token).await;
    assert!(received.is_empty());
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_held_answer_comes_when_the_gate_is_released() {
    let gate = Gate::new();
    let (tenant, token) = struck(Fault::Hold(gate.clone())).await;
    let url = query(&tenant, ENDPOINT, &[]);
    let held = tokio::spawn(async move { get(&url, &token).await.status() });
    gate.arrived(1).await;
    assert!(!held.is_finished());
    assert_eq!(tenant.requests().last().unwrap().status, None);
    gate.release();
    assert_eq!(held.await.unwrap(), 200);
}

#[tokio::test]
async fn slow_and_late_answers_are_whole() {
    let drip = Fault::SlowBody { piece: 50, pause: Duration::from_millis(1) };
    for fault in [drip, Fault::Delay(Duration::from_millis(1))] {
        let (tenant, token) = struck(fault).await;
        let (status, page) = ask(&tenant, &token, ENDPOINT, &[]).await;
        assert_eq!((status, ids(&page)), (200, vec!["5".to_owned(), "4".to_owned()]));
    }
}

#[tokio::test]
async fn faulty_pages_and_links() {
    let (tenant, token) = struck(Fault::EmptyPageWithNext).await;
    let (_, empty) = ask(&tenant, &token, ENDPOINT, &[]).await;
    assert!(ids(&empty).is_empty());
    let page: Value = get(empty["@odata.nextLink"].as_str().unwrap(), &token).await.json().await.unwrap();
    assert_eq!(ids(&page), ["5", "4"]);

    let (tenant, token) = five().await;
    tenant.script(vec![Rule::on_endpoint(ENDPOINT, Fault::LoopNextLink).page(PageKind::Next)]);
    let (_, first) = ask(&tenant, &token, ENDPOINT, &[]).await;
    let second: Value = get(first["@odata.nextLink"].as_str().unwrap(), &token).await.json().await.unwrap();
    let third: Value = get(second["@odata.nextLink"].as_str().unwrap(), &token).await.json().await.unwrap();
    assert_eq!((ids(&second), ids(&third)), (vec!["3".to_owned(), "2".to_owned()], ids(&second)));

    let (tenant, token) =
        struck(Fault::ForeignNextLink { host: "https://elsewhere.example".to_owned() }).await;
    let (_, page) = ask(&tenant, &token, ENDPOINT, &[]).await;
    assert!(page["@odata.nextLink"].as_str().unwrap().starts_with("https://elsewhere.example/v1.0/"));

    let (tenant, token) = struck(Fault::DuplicateRecords).await;
    assert_eq!(ids(&ask(&tenant, &token, ENDPOINT, &[]).await.1), ["5", "5", "4", "4"]);

    let (tenant, token) = struck(Fault::ShuffleOrder).await;
    assert_eq!(ids(&ask(&tenant, &token, ENDPOINT, &[("$top", "5")]).await.1), ["4", "2", "1", "3", "5"]);
}

#[tokio::test]
async fn a_dead_or_altered_link_is_an_invalid_skip_token() {
    let (tenant, token) = five().await;
    let (_, page) = ask(&tenant, &token, ENDPOINT, &[]).await;
    let link = page["@odata.nextLink"].as_str().unwrap().to_owned();
    let altered = format!("{link}&$top=5");
    assert_eq!(get(&altered, &token).await.status(), 400);
    tenant.script(vec![Rule::on_endpoint(ENDPOINT, Fault::ExpireLinks).nth(1)]);
    let refused = get(&link, &token).await;
    assert_eq!(refused.status(), 400);
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["error"]["message"], "Invalid Skip Token");
    assert_eq!(get(&link, &token).await.status(), 400, "dead links stay dead");
}

#[tokio::test]
async fn a_revoked_token_stays_revoked_and_a_new_one_works() {
    let (tenant, old) = struck(Fault::TokenRevoked).await;
    let url = query(&tenant, ENDPOINT, &[]);
    assert_eq!(get(&url, &old).await.status(), 401);
    assert_eq!(get(&url, &old).await.status(), 401);
    assert_eq!(get(&url, &token(&tenant).await).await.status(), 200);
}

#[tokio::test]
async fn retry_after_comes_as_seconds_as_a_date_or_not_at_all() {
    for (retry_after, expected) in [
        (RetryAfter::Seconds(7), Some("7")),
        (RetryAfter::Date(SignedDuration::from_secs(30)), Some("Fri, 20 Nov 2026 12:00:30 GMT")),
        (RetryAfter::Absent, None),
    ] {
        let (tenant, token) = struck(Fault::TooManyRequests(retry_after)).await;
        let response = get(&query(&tenant, ENDPOINT, &[]), &token).await;
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers().get("retry-after").map(|value| value.to_str().unwrap()), expected);
    }
}

#[tokio::test]
async fn all_audit_logs_share_one_limit_and_waiting_as_told_helps() {
    let clock = Arc::new(Mutex::new(now()));
    let shared = Arc::clone(&clock);
    let tenant = start(|config| {
        config.clock = Clock::new(move || *shared.lock().unwrap());
        config.throttle = Some(Throttle::PUBLISHED);
    })
    .await;
    let token = token(&tenant).await;
    let mut statuses = Vec::new();
    for endpoint in
        [Endpoint::SignIns, Endpoint::SignInsBeta, Endpoint::Provisioning, ENDPOINT, ENDPOINT, ENDPOINT]
    {
        statuses.push(get(&query(&tenant, endpoint, &[]), &token).await.status().as_u16());
        *clock.lock().unwrap() += SignedDuration::from_millis(500);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
    let refused = get(&query(&tenant, ENDPOINT, &[]), &token).await;
    let seconds: i64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!(seconds, 8, "the seventh waits until the second has left the period: 7.5 s, rounded up");
    *clock.lock().unwrap() += SignedDuration::from_secs(seconds);
    assert_eq!(get(&query(&tenant, ENDPOINT, &[]), &token).await.status(), 200);
}

#[tokio::test]
async fn a_hook_sees_each_request_before_it_is_answered() {
    let (tenant, token) = five().await;
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    tenant.on_request(move |seen| {
        assert_eq!(seen.status, None);
        counted.fetch_add(seen.nth, Ordering::SeqCst);
    });
    ask(&tenant, &token, ENDPOINT, &[]).await;
    ask(&tenant, &token, ENDPOINT, &[]).await;
    assert_eq!(calls.load(Ordering::SeqCst), 3, "the first and the second");
    let login_number =
        json!(tenant.requests().iter().filter(|seen| seen.addressee == Addressee::Login).count());
    assert_eq!(login_number, 1);
}

#[tokio::test]
async fn a_stopped_tenant_cuts_connections_that_a_client_keeps() {
    let (tenant, token) = five().await;
    let client = reqwest::Client::new();
    let url = query(&tenant, ENDPOINT, &[]);
    assert_eq!(client.get(&url).bearer_auth(&token).send().await.unwrap().status(), 200);
    drop(tenant);
    // The end of the task is not instant: the connection is gone when asking fails.
    while client.get(&url).bearer_auth(&token).send().await.is_ok() {
        tokio::task::yield_now().await;
    }
}
