//! Secure scores and control profiles, and what the whole security family shares.

use std::sync::{Arc, Mutex};

use jiff::SignedDuration;
use serde_json::Value;

use super::support::{ask, get, ids, now, query, record, start, token};
use crate::clock::Clock;
use crate::records;
use crate::tenant::{Addressee, Endpoint, Family, Fault, Rule, Target, Throttle};

const SCORES: Endpoint = Endpoint::SecureScores;
const PROFILES: Endpoint = Endpoint::ControlProfiles;

#[tokio::test]
async fn scores_come_newest_first_by_days_and_are_held_for_ninety() {
    let tenant = start(|_| {}).await;
    for day in 0..100 {
        tenant
            .emit(
                SCORES,
                records::secure_score(
                    day,
                    now() - SignedDuration::from_hours(24) * i32::try_from(day).unwrap(),
                ),
            )
            .unwrap();
    }
    let token = token(&tenant).await;
    let (_, page) = ask(&tenant, &token, SCORES, &[("$top", "2")]).await;
    let days = |page: &Value| -> Vec<String> {
        ids(page).iter().map(|id| id.rsplit('_').next().unwrap().to_owned()).collect()
    };
    assert_eq!(days(&page), ["2026-11-20", "2026-11-19"]);
    let link = page["@odata.nextLink"].as_str().unwrap();
    assert!(link.ends_with("$skip=2"), "{link}");
    let next: Value = get(link, &token).await.json().await.unwrap();
    assert_eq!(days(&next), ["2026-11-18", "2026-11-17"]);
    let (_, page) = ask(&tenant, &token, SCORES, &[("$count", "true"), ("$skip", "90")]).await;
    assert_eq!((days(&page), &page["@odata.count"]), (vec!["2026-08-22".to_owned()], &Value::from(91)));
    assert_eq!(tenant.visible(SCORES).len(), 91, "today and ninety days before it");
}

#[tokio::test]
async fn only_equality_is_taken_of_scores_and_profiles() {
    let tenant = start(|_| {}).await;
    tenant.emit(SCORES, record(SCORES, "a", "2026-11-20T01:00:00Z")).unwrap();
    tenant.emit(PROFILES, "{\"id\":\"a\",\"deprecated\":false,\"rank\":5.0}".to_owned()).unwrap();
    let token = token(&tenant).await;
    for (endpoint, option, value, expected) in [
        (SCORES, "$filter", "createdDateTime eq 2026-11-20T01:00:00Z", Some(1)),
        (SCORES, "$filter", "createdDateTime eq 2026-11-20T00:00:00Z", Some(0)),
        (SCORES, "$filter", "id eq 'a'", Some(1)),
        (SCORES, "$filter", "createdDateTime ge 2026-11-20T00:00:00Z", None),
        (SCORES, "$filter", "createdDateTime gt 2026-11-20T00:00:00Z", None),
        (SCORES, "$filter", "createdDateTime le 2026-11-20T00:00:00Z", None),
        (SCORES, "$filter", "createdDateTime lt 2026-11-20T00:00:00Z", None),
        (SCORES, "$filter", "id ne 'a'", None),
        (SCORES, "$orderby", "createdDateTime asc", None),
        (SCORES, "$skiptoken", "x", None),
        (PROFILES, "$filter", "id eq 'a' and deprecated eq false and rank eq 5", Some(1)),
        (PROFILES, "$filter", "rank eq 6", Some(0)),
        (PROFILES, "$filter", "rank ge 5", None),
        (PROFILES, "$filter", "lastModifiedDateTime ge 2026-11-20T00:00:00Z", None),
        (PROFILES, "$orderby", "id", None),
        (PROFILES, "$expand", "x", None),
    ] {
        let (status, page) = ask(&tenant, &token, endpoint, &[(option, value)]).await;
        assert_eq!(status, if expected.is_some() { 200 } else { 400 }, "{option}={value}");
        assert_eq!(page["value"].as_array().map(Vec::len), expected, "{option}={value}");
    }
}

#[tokio::test]
async fn profiles_need_no_time_and_are_listed_in_the_order_of_their_emission() {
    let clock = Arc::new(Mutex::new(now()));
    let present = Arc::clone(&clock);
    let tenant = start(|config| config.clock = Clock::new(move || *present.lock().unwrap())).await;
    let mut expected = Vec::new();
    for seed in 0..5 {
        let text = records::control_profile(seed, now());
        let parsed: Value = serde_json::from_str(&text).unwrap();
        expected.push(parsed["id"].as_str().unwrap().to_owned());
        tenant.emit(PROFILES, text).unwrap();
    }
    *clock.lock().unwrap() += SignedDuration::from_hours(24 * 400);
    let token = token(&tenant).await;
    let mut found = Vec::new();
    let mut url = query(&tenant, PROFILES, &[("$top", "2")]);
    for _ in 0..3 {
        let page: Value = get(&url, &token).await.json().await.unwrap();
        found.extend(ids(&page));
        url = page["@odata.nextLink"].as_str().unwrap_or_default().to_owned();
    }
    assert_eq!((found, url.as_str()), (expected, ""), "they do not age");
}

#[tokio::test]
async fn the_security_family_has_a_limit_of_its_own_which_all_its_endpoints_share() {
    let clock = Arc::new(Mutex::new(now()));
    let present = Arc::clone(&clock);
    let tenant = start(|config| {
        config.clock = Clock::new(move || *present.lock().unwrap());
        config.throttle = Some(Throttle { requests: 1, ..Throttle::PUBLISHED });
        config.security_throttle = Some(Throttle { requests: 4, ..Throttle::SECURITY_PUBLISHED });
    })
    .await;
    let token = token(&tenant).await;
    let status = async |endpoint| get(&query(&tenant, endpoint, &[]), &token).await.status().as_u16();
    for endpoint in Endpoint::SECURITY {
        assert_eq!(status(endpoint).await, 200);
        *clock.lock().unwrap() += SignedDuration::from_secs(1);
    }
    let refused = get(&query(&tenant, Endpoint::AlertsV2, &[]), &token).await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"57".parse().unwrap()));
    assert_eq!(status(Endpoint::SignIns).await, 200, "the audit logs count for themselves");
    assert_eq!(status(Endpoint::SignIns).await, 429);
    *clock.lock().unwrap() += SignedDuration::from_secs(56);
    assert_eq!(status(SCORES).await, 429, "the refused request counts: four lie within the minute");
    let seen = tenant.requests();
    let limited =
        |addressee| seen.iter().filter(|one| one.addressee == addressee && one.status == Some(429)).count();
    assert_eq!(limited(Addressee::Graph(Endpoint::AlertsV2)), 1);
    assert_eq!(
        (Throttle::SECURITY_PUBLISHED.requests, Throttle::SECURITY_PUBLISHED.period.as_secs()),
        (150, 60)
    );
}

#[tokio::test]
async fn a_rule_may_be_meant_for_one_family() {
    let tenant = start(|_| {}).await;
    let token = token(&tenant).await;
    let forbidden = Fault::missing_permission("SecurityEvents.Read.All");
    tenant.script(vec![Rule::on(Target::Family(Family::Security), forbidden)]);
    for endpoint in Endpoint::ALL {
        let expected = if Endpoint::AUDIT_LOGS.contains(&endpoint) { 200 } else { 403 };
        assert_eq!(ask(&tenant, &token, endpoint, &[]).await.0, expected, "{endpoint:?}");
    }
}
