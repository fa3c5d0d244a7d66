//! Alerts of the newer kind: they move when they change, their pages count, and their enumerations hide members.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::support::{ask, get, ids, now, query, record, start, token};
use crate::records;
use crate::tenant::{
    ClampedPage, Endpoint, PageKind, PageSize, RecordRefused, Tenant, TenantConfig, Visibility,
};

const ENDPOINT: Endpoint = Endpoint::AlertsV2;
const OLDEST_FIRST: (&str, &str) = ("$orderby", "lastUpdateDateTime asc");

/// Eight alerts, one a second, at most three on a page.
async fn eight(change: impl FnOnce(&mut TenantConfig)) -> (Tenant, String) {
    let tenant = start(|config| {
        config.page_size = PageSize { default: 3, maximum: 3 };
        change(config);
    })
    .await;
    for number in 1..=8 {
        let text = record(ENDPOINT, &number.to_string(), &format!("2026-11-20T11:00:0{number}Z"));
        tenant.emit(ENDPOINT, text).unwrap();
    }
    let token = token(&tenant).await;
    (tenant, token)
}

#[tokio::test]
async fn the_newest_come_first_unless_asked_and_a_clamped_page_leads_on() {
    let (tenant, token) = eight(|_| {}).await;
    let (_, page) = ask(&tenant, &token, ENDPOINT, &[]).await;
    assert_eq!(ids(&page), ["8", "7", "6"]);
    let options = [("$filter", "lastUpdateDateTime ge 2026-11-20T11:00:02Z"), OLDEST_FIRST, ("$top", "1000")];
    let (status, page) = ask(&tenant, &token, ENDPOINT, &options).await;
    assert_eq!((status, ids(&page)), (200, ["2", "3", "4"].map(str::to_owned).to_vec()));
    let link = page["@odata.nextLink"].as_str().unwrap();
    assert!(link.ends_with("&$skip=3") && link.contains("$top=1000") && link.contains("$filter="), "{link}");
    let second: Value = get(link, &token).await.json().await.unwrap();
    assert_eq!(ids(&second), ["5", "6", "7"]);
    let last: Value = get(second["@odata.nextLink"].as_str().unwrap(), &token).await.json().await.unwrap();
    assert_eq!(ids(&last), ["8"]);
    assert!(last.get("@odata.nextLink").is_none());
    let kinds: Vec<PageKind> = tenant.requests().iter().skip(2).map(|seen| seen.page).collect();
    assert_eq!(kinds, [PageKind::First, PageKind::Next, PageKind::Next]);
}

#[tokio::test]
async fn links_beyond_the_deepest_skip_are_given_and_refused() {
    let (tenant, token) = eight(|config| config.security.deepest_skip = 3).await;
    let (_, first) = ask(&tenant, &token, ENDPOINT, &[OLDEST_FIRST]).await;
    let second = get(first["@odata.nextLink"].as_str().unwrap(), &token).await;
    assert_eq!(second.status(), 200);
    let second: Value = second.json().await.unwrap();
    assert_eq!(get(second["@odata.nextLink"].as_str().unwrap(), &token).await.status(), 400);
    for (skip, expected) in [("3", 200), ("4", 400), ("x", 400)] {
        assert_eq!(ask(&tenant, &token, ENDPOINT, &[("$skip", skip)]).await.0, expected, "{skip}");
    }
}

#[tokio::test]
async fn a_clamped_page_may_lack_its_link() {
    let (tenant, token) = eight(|config| config.security.clamped_page = ClampedPage::LacksNext).await;
    for (top, has_link) in [("1000", false), ("4", false), ("3", true), ("2", true)] {
        let (_, page) = ask(&tenant, &token, ENDPOINT, &[OLDEST_FIRST, ("$top", top)]).await;
        assert_eq!(page.get("@odata.nextLink").is_some(), has_link, "{top}");
        assert_eq!(ids(&page).first().map(String::as_str), Some("1"));
    }
    let (_, page) = ask(&tenant, &token, ENDPOINT, &[OLDEST_FIRST]).await;
    assert!(page.get("@odata.nextLink").is_some(), "nothing was clamped");
}

#[tokio::test]
async fn an_updated_alert_moves_to_the_place_that_its_new_text_says() {
    let (tenant, token) = eight(|_| {}).await;
    let order = [OLDEST_FIRST, ("$filter", "lastUpdateDateTime ge 2026-11-20T11:00:07Z")];
    let updated =
        "{\"id\":\"2\",\"lastUpdateDateTime\":\"2026-11-20T11:30:00.1234567Z\",\"status\":\"resolved\"}";
    tenant.update(ENDPOINT, 2, updated.to_owned()).unwrap();
    let (_, page) = ask(&tenant, &token, ENDPOINT, &order).await;
    assert_eq!(ids(&page), ["7", "8", "2"]);
    assert_eq!(page["value"][2]["status"], "resolved");
    assert_eq!(tenant.emitted(ENDPOINT).len(), 8, "it has left its old place");

    tenant.update_at(ENDPOINT, 2, updated.to_owned(), Some("2026-11-20T11:00:00Z".parse().unwrap())).unwrap();
    assert_eq!(ids(&ask(&tenant, &token, ENDPOINT, &order).await.1), ["7", "8"]);
    let (_, page) = ask(&tenant, &token, ENDPOINT, &[OLDEST_FIRST, ("$top", "1")]).await;
    assert_eq!(ids(&page), ["2"], "its number is still good");

    assert_eq!(tenant.update(ENDPOINT, 99, updated.to_owned()), Err(RecordRefused::Unknown(99)));
    assert_eq!(
        tenant.update(ENDPOINT, 1, "{}".to_owned()),
        Err(RecordRefused::NoEventTime("lastUpdateDateTime"))
    );
    assert!(matches!(tenant.update(ENDPOINT, 1, "[]".to_owned()), Err(RecordRefused::NoObject(_))));
    assert_eq!(tenant.emitted(ENDPOINT).len(), 8, "a refused update changes nothing");
}

#[tokio::test]
async fn an_update_does_not_show_what_is_not_yet_visible() {
    let tenant = start(|_| {}).await;
    let text = |time: &str| record(ENDPOINT, "late", time);
    let visible_from = Visibility::From(now() + SignedDuration::from_secs(1));
    let number = tenant.emit_when(ENDPOINT, text("2026-11-20T11:00:00Z"), visible_from).unwrap();
    tenant.update(ENDPOINT, number, text("2026-11-20T11:00:01Z")).unwrap();
    assert!(tenant.visible(ENDPOINT).is_empty());
}

#[tokio::test]
async fn an_alert_that_moves_between_two_pages_shifts_the_pages_that_count() {
    let (tenant, token) = eight(|_| {}).await;
    let (_, first) = ask(&tenant, &token, ENDPOINT, &[OLDEST_FIRST]).await;
    assert_eq!(ids(&first), ["1", "2", "3"]);
    tenant.update(ENDPOINT, 1, record(ENDPOINT, "1", "2026-11-20T11:30:00Z")).unwrap();
    let second: Value = get(first["@odata.nextLink"].as_str().unwrap(), &token).await.json().await.unwrap();
    assert_eq!(ids(&second), ["5", "6", "7"], "the fourth was passed over");
}

#[tokio::test]
async fn filters_take_the_eight_documented_properties_alone() {
    let tenant = start(|_| {}).await;
    let created: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
    let updated: Timestamp = "2026-11-20T11:00:00Z".parse().unwrap();
    tenant.emit(ENDPOINT, records::alert_v2_revision(1, created, updated, 1)).unwrap();
    let token = token(&tenant).await;
    for (filter, status, found) in [
        ("lastUpdateDateTime ge 2026-11-20T11:00:00Z and lastUpdateDateTime le 2026-11-20T11:00:00Z", 200, 1),
        ("lastUpdateDateTime gt 2026-11-20T11:00:00Z", 200, 0),
        ("createdDateTime lt 2026-11-20T10:00:01Z", 200, 1),
        ("createdDateTime lt 2026-11-20T10:00:00Z", 200, 0),
        ("assignedTo eq 'analyst@example.com' and status ne 'new'", 200, 1),
        ("classification eq null and determination eq null", 200, 1),
        ("severity eq 'x' or serviceSource eq 'x'", 200, 0),
        ("createdDateTime lt '2026-11-20T10:00:01Z'", 400, 0),
        ("id eq '1'", 400, 0),
        ("title eq '1'", 400, 0),
        ("contains(status, 'n')", 400, 0),
    ] {
        let (got, page) = ask(&tenant, &token, ENDPOINT, &[("$filter", filter)]).await;
        assert_eq!(got, status, "{filter}");
        assert_eq!(page["value"].as_array().map_or(0, Vec::len), found, "{filter}");
    }
    for order in ["createdDateTime", "id", "lastUpdateDateTime sideways"] {
        assert_eq!(ask(&tenant, &token, ENDPOINT, &[("$orderby", order)]).await.0, 400, "{order}");
    }
    assert_eq!(ask(&tenant, &token, ENDPOINT, &[("$skiptoken", "x")]).await.0, 400, "its links count");
}

async fn body_with(tenant: &Tenant, token: &str, prefer: &[&str], options: &[(&str, &str)]) -> String {
    let mut request = reqwest::Client::new().get(query(tenant, ENDPOINT, options)).bearer_auth(token);
    for value in prefer {
        request = request.header("Prefer", *value);
    }
    request.send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn members_behind_the_sentinel_are_shown_to_those_who_ask() {
    let tenant = start(|_| {}).await;
    let odd = |service: &str, detection: &str| {
        format!(
            "{{ \"detectionSource\" : {detection} ,\"n\":1.50E+0,\"lastUpdateDateTime\":\"2026-11-20T11:00:00Z\",\
             \"nested\":{{\"serviceSource\":\"microsoftSentinel\"}},\t\"serviceSource\":{service} }}"
        )
    };
    let newer = odd("\"microsoft\\u0053entinel\"", "\"scheduledAlerts\"");
    tenant.emit(ENDPOINT, newer.clone()).unwrap();
    let token = token(&tenant).await;
    let hidden = odd("\"unknownFutureValue\"", "\"unknownFutureValue\"");
    for (prefer, expected) in [
        (vec![], &hidden),
        (vec!["odata.maxpagesize=5"], &hidden),
        (vec!["include-unknown-enum-members"], &newer),
        (vec!["odata.maxpagesize=5, Include-Unknown-Enum-Members"], &newer),
        (vec!["odata.maxpagesize=5", "include-unknown-enum-members"], &newer),
    ] {
        let body = body_with(&tenant, &token, &prefer, &[]).await;
        assert!(body.contains(expected.as_str()), "{prefer:?}: {body}");
    }
    let by_member = [("$filter", "serviceSource eq 'microsoftSentinel'")];
    assert!(body_with(&tenant, &token, &[], &by_member).await.contains(&hidden), "filters see what is");

    let older = [
        odd("\"microsoftDefenderForEndpoint\"", "null"),
        odd("null", "\"antivirus\""),
        // Known as a detection, not as a service.
        odd("\"scheduledAlerts\"", "7"),
    ];
    for text in older {
        tenant.update(ENDPOINT, 1, text.clone()).unwrap();
        assert!(body_with(&tenant, &token, &[], &[]).await.contains(&text), "{text}");
    }
}
