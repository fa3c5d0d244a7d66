//! The legacy alerts: several providers, some silent or deaf to the filter, and their end.

use serde_json::Value;

use super::support::{ask, get, ids, query, start, token};
use crate::records;
use crate::tenant::{
    Endpoint, Fault, PageKind, PageSize, ProviderFailure, RequestSeen, Retirement, Rule, Tenant, TenantConfig,
};

const ENDPOINT: Endpoint = Endpoint::Alerts;

/// Alerts of these providers, one a second, with the providers' positions as ids.
async fn alerts_of(providers: &[&str], change: impl FnOnce(&mut TenantConfig)) -> (Tenant, String) {
    let tenant = start(change).await;
    for (number, provider) in providers.iter().enumerate() {
        let text = format!(
            "{{\"id\":\"{number}\",\"createdDateTime\":\"2026-11-20T11:00:0{number}Z\",\
             \"eventDateTime\":\"2026-11-20T10:00:0{number}.5Z\",\"closedDateTime\":null,\
             \"vendorInformation\":{{\"provider\":\"{provider}\"}}}}"
        );
        tenant.emit(ENDPOINT, text).unwrap();
    }
    let token = token(&tenant).await;
    (tenant, token)
}

#[tokio::test]
async fn a_window_in_ascending_order_is_walked_by_links() {
    let three_a_page = |config: &mut TenantConfig| config.page_size = PageSize { default: 2, maximum: 3 };
    let (tenant, token) = alerts_of(&["IPC"; 8], three_a_page).await;
    let filter = "createdDateTime ge 2026-11-20T11:00:01Z and createdDateTime le 2026-11-20T11:00:06Z";
    let options = [("$filter", filter), ("$orderby", "createdDateTime asc"), ("$top", "1000")];
    let (_, first) = ask(&tenant, &token, ENDPOINT, &options).await;
    assert_eq!(ids(&first), ["1", "2", "3"]);
    let link = first["@odata.nextLink"].as_str().unwrap();
    assert!(link.contains("$skiptoken="), "{link}");
    let second: Value = get(link, &token).await.json().await.unwrap();
    assert_eq!(ids(&second), ["4", "5", "6"]);
    assert!(second.get("@odata.nextLink").is_none());
    assert_eq!(tenant.requests().last().map(|seen| seen.page), Some(PageKind::Next));
}

#[tokio::test]
async fn a_top_above_1000_and_a_skip_above_500_are_refused() {
    let (tenant, token) = alerts_of(&["IPC"; 3], |_| {}).await;
    for (option, value, expected) in [
        ("$top", "1000", 200),
        ("$top", "1001", 400),
        ("$skip", "500", 200),
        ("$skip", "501", 400),
        ("$skip", "-1", 400),
        ("$select", "id", 400),
        ("$orderby", "title", 400),
        ("$skiptoken", "made-up", 400),
    ] {
        let (status, _) = ask(&tenant, &token, ENDPOINT, &[(option, value)]).await;
        assert_eq!(status, expected, "{option}={value}");
    }
    let (_, page) = ask(&tenant, &token, ENDPOINT, &[("$skip", "1"), ("$top", "1")]).await;
    assert_eq!(ids(&page), ["1"], "newest first");
    let rest: Value = get(page["@odata.nextLink"].as_str().unwrap(), &token).await.json().await.unwrap();
    assert_eq!(ids(&rest), ["0"], "a link does not skip a second time");
}

#[tokio::test]
async fn filters_compare_all_times_as_instants_and_null_with_nothing() {
    let (tenant, token) = alerts_of(&["IPC", "MCAS", "IPC"], |_| {}).await;
    for (filter, expected) in [
        ("vendorInformation/provider eq 'IPC'", vec!["2", "0"]),
        ("eventDateTime gt 2026-11-20T10:00:00.5Z", vec!["2", "1"]),
        ("eventDateTime ge 2026-11-20T12:00:00.50+02:00 and not (id eq '1')", vec!["2", "0"]),
        ("closedDateTime le 2026-11-20T12:00:00Z", vec![]),
        ("lastModifiedDateTime ge 2026-11-20T00:00:00Z", vec![]),
    ] {
        let (status, page) = ask(&tenant, &token, ENDPOINT, &[("$filter", filter)]).await;
        assert_eq!(
            (status, ids(&page)),
            (200, expected.iter().map(ToString::to_string).collect()),
            "{filter}"
        );
    }
}

#[tokio::test]
async fn a_silent_provider_is_206_with_a_warning_and_without_its_records() {
    let (tenant, token) =
        alerts_of(&["IPC", "MCAS", "mcas", "ASC"], |config| config.page_size.default = 1).await;
    let failures = vec![ProviderFailure::timed_out("McAs"), ProviderFailure::new("Azure Sentinel", 403)];
    tenant.script(vec![Rule::on_endpoint(ENDPOINT, Fault::PartialContent(failures)).first(2)]);
    let response = get(&query(&tenant, ENDPOINT, &[("$count", "true")]), &token).await;
    assert_eq!(response.status(), 206);
    assert_eq!(
        response.headers()["warning"],
        "199 - \"Microsoft/McAs/504/10000\", 199 - \"Microsoft/Azure Sentinel/403/10\""
    );
    let page: Value = response.json().await.unwrap();
    assert_eq!((ids(&page), &page["@odata.count"]), (vec!["3".to_owned()], &Value::from(2)));
    let rest = get(page["@odata.nextLink"].as_str().unwrap(), &token).await;
    assert_eq!(rest.status(), 206, "a next page may be partial too");
    assert_eq!(ids(&rest.json().await.unwrap()), ["0"]);
    let (status, page) = ask(&tenant, &token, ENDPOINT, &[("$top", "9")]).await;
    assert_eq!((status, ids(&page).len()), (200, 4), "the provider is there again");
    let seen: Vec<RequestSeen> = tenant.requests();
    assert_eq!(seen[1].status, Some(206));
    assert!(seen[1].note.as_deref().unwrap().contains("PartialContent"));
}

#[tokio::test]
async fn a_provider_that_ignores_the_filter_sends_everything_it_has() {
    let deaf = |config: &mut TenantConfig| config.security.unfiltered_providers = vec!["asc".to_owned()];
    let (tenant, token) = alerts_of(&["IPC", "ASC", "IPC", "ASC"], deaf).await;
    let filter = [("$filter", "createdDateTime ge 2026-11-20T11:00:02Z")];
    let (_, page) = ask(&tenant, &token, ENDPOINT, &filter).await;
    assert_eq!(ids(&page), ["3", "2", "1"]);
    let (status, _) = ask(&tenant, &token, ENDPOINT, &[("$filter", "nonsense")]).await;
    assert_eq!(status, 400, "Graph itself still reads the filter");
}

#[tokio::test]
async fn the_alerts_retire_in_three_ways_while_the_other_collections_live_on() {
    let (tenant, token) =
        alerts_of(&["IPC"], |config| config.security.retirement = Retirement::NotFound).await;
    for (retirement, expected) in [
        (Retirement::NotFound, (404, None)),
        (Retirement::Gone, (410, None)),
        (Retirement::Empty, (200, Some(0))),
        (Retirement::None, (200, Some(1))),
    ] {
        tenant.set_retirement(retirement);
        assert_eq!(tenant.retirement(), retirement);
        let (status, body) = ask(&tenant, &token, ENDPOINT, &[("$top", "1")]).await;
        assert_eq!((status, body["value"].as_array().map(Vec::len)), expected);
        assert_eq!(body["error"]["code"].is_string(), status != 200);
        for endpoint in [Endpoint::AlertsV2, Endpoint::SecureScores, Endpoint::SignIns] {
            assert_eq!(ask(&tenant, &token, endpoint, &[]).await.0, 200);
        }
        let foreign = get(&query(&tenant, ENDPOINT, &[]), "no token").await;
        assert_eq!(foreign.status(), 401, "tokens are checked first");
    }
    tenant.set_retirement(Retirement::Empty);
    let (status, _) = ask(&tenant, &token, ENDPOINT, &[("$filter", "nonsense")]).await;
    assert_eq!(status, 400, "an empty collection still reads the query");
}

#[tokio::test]
async fn generated_alerts_are_found_by_their_provider() {
    let tenant = start(|_| {}).await;
    for (seed, provider) in (0..).zip(records::ALERT_PROVIDERS) {
        tenant.emit(ENDPOINT, records::alert(seed, super::support::now(), provider)).unwrap();
    }
    let token = token(&tenant).await;
    for provider in records::ALERT_PROVIDERS {
        let filter = format!("vendorInformation/provider eq '{provider}'");
        let (_, page) = ask(&tenant, &token, ENDPOINT, &[("$filter", &filter)]).await;
        assert_eq!(ids(&page).len(), 1, "{provider}");
    }
}
