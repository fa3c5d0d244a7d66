//! Who may ask Defender for Cloud Apps, with which token, and how often.

use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::support::{
    client, cloud_apps_token, defender_token, now, post_json, start, start_cloud_apps, token,
};
use crate::clock::Clock;
use crate::tenant::{
    Acceptance, AuthorizationScheme, CloudAppsConfig, CloudAppsList, Fault, RetryAfter, Rule, Target, Tenant,
    TenantConfig, ThrottledWords, ToldWait, Violation,
};

const FILES_TOKEN: &str = "Token simulated~files-token";

async fn ask(tenant: &Tenant, authorization: &str, list: CloudAppsList) -> (u16, Value) {
    let response = post_json(tenant, authorization, list.path(), "{}").await;
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_token_for_another_audience_or_none_is_refused() {
    let tenant = start(|_| {}).await;
    let own = format!("Bearer {}", cloud_apps_token(&tenant).await);
    let foreign = [token(&tenant).await, defender_token(&tenant).await, "made up".to_owned(), String::new()];
    for list in CloudAppsList::ALL.into_iter().filter(|list| *list != CloudAppsList::Files) {
        assert_eq!(ask(&tenant, &own, list).await.0, 200, "{list:?}");
        for token in &foreign {
            let (status, body) = ask(&tenant, &format!("Bearer {token}"), list).await;
            assert_eq!((status, body), (401, json!({ "detail": "Invalid token." })));
        }
    }
    let url = format!("{}/api/alerts", tenant.base_url());
    let elsewhere = client().get(url).header("Authorization", &own).send().await.unwrap();
    assert_eq!(elsewhere.status(), 401, "its own token is none for Defender for Endpoint");
    tenant.script(vec![Rule::on(Target::AnyCloudApps, Fault::TokenRevoked).nth(1)]);
    assert_eq!(ask(&tenant, &own, CloudAppsList::Alerts).await.0, 401);
    assert_eq!(ask(&tenant, &own, CloudAppsList::Alerts).await.0, 401, "it stays dead");
}

#[tokio::test]
async fn lists_open_to_the_role_that_the_pages_of_the_api_name() {
    let (tenant, all) = start_cloud_apps(|_| {}).await;
    for (roles, open) in [
        (vec![], vec![]),
        (vec!["Investigation.manage"], vec![]),
        (vec!["Settings.read"], vec![CloudAppsList::Subnet]),
        (
            vec!["Investigation.read"],
            vec![
                CloudAppsList::Activities,
                CloudAppsList::Alerts,
                CloudAppsList::Entities,
                CloudAppsList::Subnet,
            ],
        ),
    ] {
        tenant
            .change_cloud_apps(|config| config.roles = roles.iter().map(|role| (*role).to_owned()).collect());
        let token = format!("Bearer {}", cloud_apps_token(&tenant).await);
        for list in CloudAppsList::ALL.into_iter().filter(|list| *list != CloudAppsList::Files) {
            let (status, body) = ask(&tenant, &token, list).await;
            assert_eq!(status, if open.contains(&list) { 200 } else { 403 }, "{list:?} {roles:?}");
            assert!(status == 200 || body["detail"].is_string());
        }
    }
    assert_eq!(
        ask(&tenant, &format!("Bearer {all}"), CloudAppsList::Alerts).await.0,
        200,
        "a token keeps its roles"
    );
}

#[tokio::test]
async fn files_are_read_with_a_token_of_the_portal_and_nothing_else_is() {
    let (tenant, token) = start_cloud_apps(|_| {}).await;
    let bearer = format!("Bearer {token}");
    assert_eq!(ask(&tenant, FILES_TOKEN, CloudAppsList::Files).await.0, 200);
    let schemes = || tenant.requests().last().map(|seen| (seen.scheme, seen.violations.clone())).unwrap();
    assert_eq!(schemes(), (AuthorizationScheme::Token, vec![]));
    assert_eq!(ask(&tenant, "Token other", CloudAppsList::Files).await.0, 401);
    for (acceptance, status) in [(Acceptance::Refused, 401), (Acceptance::Taken, 200)] {
        tenant.change_cloud_apps(|config| {
            (config.bearer_for_files, config.portal_token_elsewhere) = (acceptance, acceptance);
        });
        assert_eq!(ask(&tenant, &bearer, CloudAppsList::Files).await.0, status);
        assert_eq!(schemes(), (AuthorizationScheme::Bearer, vec![Violation::ForeignScheme]));
        assert_eq!(ask(&tenant, FILES_TOKEN, CloudAppsList::Alerts).await.0, status);
        assert_eq!(schemes(), (AuthorizationScheme::Token, vec![Violation::ForeignScheme]));
    }
    tenant.set_files_token(None);
    assert_eq!(ask(&tenant, FILES_TOKEN, CloudAppsList::Files).await.0, 401);
    tenant.set_files_token(Some("new"));
    assert_eq!(ask(&tenant, FILES_TOKEN, CloudAppsList::Files).await.0, 401);
    assert_eq!(ask(&tenant, "Token new", CloudAppsList::Files).await.0, 200);
    tenant.revoke_tokens();
    assert_eq!(ask(&tenant, "Token new", CloudAppsList::Files).await.0, 200, "it is none of the login's");
    let told = format!("{:?} {:?}", tenant.config(), tenant.requests());
    assert!(!told.contains("simulated~files-token") && !told.contains(&token), "secrets are left out");
}

/// A tenant whose clock is moved by hand.
async fn timed(cloud_apps: CloudAppsConfig) -> (Tenant, Arc<Mutex<Timestamp>>, String) {
    let hand = Arc::new(Mutex::new(now()));
    let shown = Arc::clone(&hand);
    let clock = Clock::new(move || *shown.lock().unwrap());
    let tenant = Tenant::start(TenantConfig { clock, cloud_apps, ..TenantConfig::default() }).await.unwrap();
    let token = format!("Bearer {}", cloud_apps_token(&tenant).await);
    (tenant, hand, token)
}

#[tokio::test]
async fn thirty_requests_a_minute_are_allowed_over_all_lists_and_all_callers() {
    let (tenant, hand, token) = timed(CloudAppsConfig::default().published()).await;
    let bearer_or_token = |list| if list == CloudAppsList::Files { FILES_TOKEN } else { token.as_str() };
    for list in CloudAppsList::ALL.into_iter().cycle().take(30) {
        assert_eq!(ask(&tenant, bearer_or_token(list), list).await.0, 200);
    }
    let response = post_json(&tenant, &token, CloudAppsList::Alerts.path(), "{}").await;
    assert_eq!((response.status().as_u16(), response.headers().get("retry-after")), (429, None));
    assert_eq!(response.json::<Value>().await.unwrap(), json!({ "detail": "Request was throttled." }));
    let at = |seconds| *hand.lock().unwrap() = now() + SignedDuration::from_secs(seconds);
    at(59);
    assert_eq!(
        ask(&tenant, FILES_TOKEN, CloudAppsList::Files).await.0,
        429,
        "another caller, the same limit"
    );
    at(60);
    for _ in 0..29 {
        assert_eq!(ask(&tenant, &token, CloudAppsList::Alerts).await.0, 200);
    }
    assert_eq!(ask(&tenant, &token, CloudAppsList::Alerts).await.0, 429, "what was refused counts, too");
}

#[tokio::test]
async fn a_refusal_may_tell_the_wait_and_have_another_status() {
    let config = CloudAppsConfig {
        throttled_status: 403,
        told_wait: ToldWait::Header,
        throttled_words: ThrottledWords::WithSeconds,
        ..CloudAppsConfig::default().published()
    };
    let (tenant, hand, token) = timed(config).await;
    for _ in 0..30 {
        assert_eq!(ask(&tenant, &token, CloudAppsList::Alerts).await.0, 200);
    }
    *hand.lock().unwrap() = now() + SignedDuration::from_secs(39);
    let response = post_json(&tenant, &token, CloudAppsList::Alerts.path(), "{}").await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (403, &"21".parse().unwrap())
    );
    let words = "Request was throttled. Expected available in 21.0 seconds.";
    assert_eq!(response.json::<Value>().await.unwrap(), json!({ "detail": words }));
}

#[tokio::test]
async fn scripts_throttle_in_the_words_of_the_api() {
    let (tenant, token) = start_cloud_apps(|_| {}).await;
    let token = format!("Bearer {token}");
    for (fault, status, wait, words) in [
        (Fault::TooManyRequests(RetryAfter::Absent), 429, None, "Request was throttled."),
        (Fault::TooManyRequests(RetryAfter::Seconds(7)), 429, Some("7"), "Request was throttled."),
        (
            Fault::throttled(503, Some(21)),
            503,
            None,
            "Request was throttled. Expected available in 21.0 seconds.",
        ),
        (Fault::status(401), 401, None, "Invalid token."),
        (Fault::status(500), 500, None, "A server error occurred."),
    ] {
        tenant.script(vec![Rule::on_cloud_apps(CloudAppsList::Alerts, fault)]);
        let response = post_json(&tenant, &token, CloudAppsList::Alerts.path(), "{}").await;
        let told = response.headers().get("retry-after").map(|text| text.to_str().unwrap().to_owned());
        assert_eq!((response.status().as_u16(), told.as_deref()), (status, wait));
        assert_eq!(response.json::<Value>().await.unwrap(), json!({ "detail": words }));
        assert_eq!(ask(&tenant, &token, CloudAppsList::Entities).await.0, 200, "the others go on");
    }
}
