//! Who may ask Defender for Endpoint, for what, and how often.

use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::support::{ask_path, code, defender_token, get, now, start, start_defender, token};
use crate::clock::Clock;
use crate::records::defender_record;
use crate::tenant::{
    Addressee, DEFENDER_ROLES, DefenderConfig, DefenderLimits, DefenderList, DefenderRelation, Fault,
    RetryAfter, Rule, Target, Tenant, TenantConfig, Throttle, ToldWait,
};

#[tokio::test]
async fn a_token_for_another_audience_or_none_is_refused() {
    let tenant = start(|_| {}).await;
    let own = defender_token(&tenant).await;
    assert_eq!(ask_path(&tenant, &own, "/api/alerts", &[]).await.0, 200);
    for foreign in [token(&tenant).await, "made up".to_owned(), String::new()] {
        let (status, body) = ask_path(&tenant, &foreign, "/api/alerts", &[]).await;
        assert_eq!((status, code(&body)), (401, "Unauthorized"));
        assert!(body["error"]["message"].is_string() && body["error"]["target"].is_string());
    }
    let (status, _) = ask_path(&tenant, &own, "/v1.0/security/alerts_v2", &[]).await;
    assert_eq!(status, 401, "its own token is none for Graph");
    tenant.revoke_tokens();
    assert_eq!(ask_path(&tenant, &own, "/api/alerts", &[]).await.0, 401);
}

#[tokio::test]
async fn a_token_opens_what_its_roles_say_and_a_new_consent_needs_a_new_token() {
    let (tenant, all) = start_defender(|config| config.most_related = 0).await;
    for list in DefenderList::ALL {
        tenant
            .emit_defender(
                list,
                format!("{{\"id\":\"1\",\"lastUpdateTime\":\"{0}\",\"startTime\":\"{0}\"}}", now()),
            )
            .unwrap();
    }
    let lists = DefenderList::ALL.map(|list| (list.path().to_owned(), list.permission()));
    let relations = DefenderRelation::ALL
        .map(|one| (format!("{}/1/{}", one.list().path(), one.segment()), one.permission()));
    for role in DEFENDER_ROLES {
        tenant.set_defender_roles([role]);
        let token = defender_token(&tenant).await;
        for (path, permission) in lists.iter().chain(&relations) {
            let (status, body) = ask_path(&tenant, &token, path, &[]).await;
            if *permission == role {
                assert_ne!(status, 403, "{path} with {role}");
            } else {
                assert_eq!((status, code(&body)), (403, "Forbidden"), "{path} with {role}");
                assert!(body["error"]["message"].as_str().unwrap().contains(permission), "{body}");
            }
        }
    }
    assert_eq!(ask_path(&tenant, &all, "/api/software", &[]).await.0, 200, "a token keeps its roles");
    let (status, body) = hunt(&tenant, &defender_token(&tenant).await).await;
    assert_eq!(status, 400, "allowed, but there is no such table: {body}");
    tenant.set_defender_roles(["Alert.Read.All"]);
    assert_eq!(hunt(&tenant, &defender_token(&tenant).await).await.0, 403);
}

async fn hunt(tenant: &Tenant, token: &str) -> (u16, Value) {
    let url = format!("{}/api/advancedqueries/run", tenant.base_url());
    let body = serde_json::json!({ "Query": "NoSuchTable" }).to_string();
    let request = reqwest::Client::new().post(url).bearer_auth(token).body(body);
    let response = request.header("Content-Type", "application/json").send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// A tenant whose clock is moved by hand.
async fn timed(defender: DefenderConfig) -> (Tenant, Arc<Mutex<Timestamp>>, String) {
    let hand = Arc::new(Mutex::new(now()));
    let shown = Arc::clone(&hand);
    let clock = Clock::new(move || *shown.lock().unwrap());
    let token_lifetime = SignedDuration::from_hours(48);
    let config = TenantConfig { clock, defender, token_lifetime, ..TenantConfig::default() };
    let tenant = Tenant::start(config).await.unwrap();
    let token = defender_token(&tenant).await;
    (tenant, hand, token)
}

#[tokio::test]
async fn a_hundred_requests_a_minute_and_1500_an_hour_are_allowed_over_all_lists_and_relations() {
    let (tenant, hand, token) = timed(DefenderConfig::default().published()).await;
    // One client for all: each would load its own trust.
    let client = reqwest::Client::new();
    let ask = async |path: &str| {
        let request = client.get(format!("{}{path}", tenant.base_url())).bearer_auth(&token);
        let response = request.send().await.unwrap();
        let wait = response.headers().get("retry-after").map(|text| text.to_str().unwrap().to_owned());
        (response.status().as_u16(), wait)
    };
    for number in 0..100 {
        let path = if number % 2 == 0 { "/api/alerts" } else { "/api/software/x/distributions" };
        assert_ne!(ask(path).await.0, 429, "request {number}");
    }
    assert_eq!(ask("/api/investigations").await, (429, Some("60".to_owned())));
    let (_, body) = ask_path(&tenant, &token, "/api/alerts", &[]).await;
    assert_eq!(code(&body), "TooManyRequests");
    // What was refused counts, too: of the next hour the first minute has 102.
    for minute in 1..=14 {
        *hand.lock().unwrap() = now() + SignedDuration::from_mins(minute);
        for _ in 0..if minute == 14 { 98 } else { 100 } {
            assert_eq!(ask("/api/alerts").await.0, 200);
        }
    }
    *hand.lock().unwrap() = now() + SignedDuration::from_mins(20);
    let (status, wait) = ask("/api/alerts").await;
    assert_eq!((status, wait), (429, Some((40 * 60).to_string())), "the hour is used up");
    *hand.lock().unwrap() = now() + SignedDuration::from_mins(60);
    assert_eq!(ask("/api/alerts").await.0, 200);
    // The log has the instant of each: every window can be looked at.
    let late = tenant.requests().iter().filter(|seen| seen.received_at > now()).count();
    assert_eq!(late, 13 * 100 + 98 + 2);
}

#[tokio::test]
async fn vulnerabilities_of_machines_have_a_tighter_limit_and_the_wait_may_be_untold() {
    let vulnerabilities = Some(Throttle { requests: 2, period: SignedDuration::from_secs(60) });
    let limits = DefenderLimits { machine_vulnerabilities: vulnerabilities, ..DefenderLimits::NONE };
    let defender = DefenderConfig { limits, told_wait: ToldWait::Silent, ..DefenderConfig::default() };
    let (tenant, hand, token) = timed(defender).await;
    for list in DefenderList::ALL {
        tenant.emit_defender(list, defender_record(list, 1, now())).unwrap();
    }
    let ask = async |path: &str| get(&format!("{}{path}", tenant.base_url()), &token).await;
    for _ in 0..5 {
        assert_eq!(ask("/api/machines/x/software").await.status(), 404);
    }
    for expected in [404, 404, 429] {
        let response = ask("/api/machines/x/vulnerabilities").await;
        assert_eq!(response.status(), expected);
        assert!(response.headers().get("retry-after").is_none());
    }
    assert_eq!(ask("/api/machines").await.status(), 200, "the others go on");
    *hand.lock().unwrap() = now() + SignedDuration::from_secs(60);
    assert_eq!(ask("/api/machines/x/vulnerabilities").await.status(), 404);
}

#[tokio::test]
async fn one_rule_can_strike_the_whole_family_in_its_own_words() {
    let (tenant, token) = start_defender(|_| {}).await;
    tenant.script(vec![
        Rule::on(Target::AnyDefender, Fault::TooManyRequests(RetryAfter::Seconds(7))).nth(1),
        Rule::on(Target::AnyDefender, Fault::TooManyRequests(RetryAfter::Absent)).nth(2),
        Rule::on(Target::AnyDefender, Fault::TokenRevoked).nth(3),
    ]);
    let url = format!("{}/api/alerts", tenant.base_url());
    let first = get(&url, &token).await;
    assert_eq!((first.status().as_u16(), &first.headers()["retry-after"]), (429, &"7".parse().unwrap()));
    assert_eq!(code(&first.json().await.unwrap()), "TooManyRequests");
    let (status, body) = hunt(&tenant, &token).await;
    assert_eq!((status, code(&body)), (429, "429"), "hunting speaks in another way");
    assert_eq!(get(&url, &token).await.status(), 401);
    assert_eq!(get(&url, &token).await.status(), 401, "it stays dead");
    let response = reqwest::Client::new().post(&url).bearer_auth(defender_token(&tenant).await).send().await;
    assert_eq!(response.unwrap().status(), 405);
    assert!(tenant.requests().iter().all(|seen| seen.addressee != Addressee::Nobody));
}
