//! Pages: every visible matching record once, in order, whatever the page size; and the queries around them.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::support::{ask, get, ids, now, query, record, start, token};
use crate::records;
use crate::tenant::{
    BodyStyle, Compression, Endpoint, LinkPlace, PageSize, Paging, RecordRefused, Tenant, TenantConfig,
    Visibility,
};

/// Follows next links from the first page; gives the pages. Refuses to walk for ever.
async fn walk(tenant: &Tenant, token: &str, endpoint: Endpoint, options: &[(&str, &str)]) -> Vec<Value> {
    let mut url = query(tenant, endpoint, options);
    let mut pages: Vec<Value> = Vec::new();
    loop {
        let response = get(&url, token).await;
        assert_eq!(response.status(), 200);
        let page: Value = response.json().await.unwrap();
        let next = page["@odata.nextLink"].as_str().map(str::to_owned);
        pages.push(page);
        assert!(pages.len() < 500, "the walk does not end");
        match next {
            Some(link) => url = link,
            None => return pages,
        }
    }
}

fn all_ids(pages: &[Value]) -> Vec<String> {
    pages.iter().flat_map(ids).collect()
}

/// The time of a record, some of them equal, as text with that many fractional digits.
fn moment(tick: u32, digits: usize) -> String {
    records::time_text(now() - SignedDuration::from_millis(i64::from(tick) * 250), digits)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_matching_record_comes_exactly_once_and_in_order(
        ticks in prop::collection::vec((0_u32..40, 0_usize..8), 0..50),
        top in 1_usize..12,
        newest_first in any::<bool>(),
        by_position in any::<bool>(),
        bounds in (0_u32..40, 0_u32..40),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let paging = if by_position { Paging::ByPosition } else { Paging::ByKey };
            let tenant = start(|config| config.paging = paging).await;
            let (from, to) = (moment(bounds.0.max(bounds.1), 7), moment(bounds.0.min(bounds.1), 7));
            let mut expected = Vec::new();
            for (number, (tick, digits)) in ticks.iter().enumerate() {
                let text = moment(*tick, *digits);
                let time: Timestamp = text.parse().unwrap();
                tenant.emit(Endpoint::SignIns, record(Endpoint::SignIns, &number.to_string(), &text)).unwrap();
                if time >= from.parse().unwrap() && time <= to.parse().unwrap() {
                    expected.push((time, number));
                }
            }
            expected.sort();
            if newest_first {
                expected.reverse();
            }
            let filter = format!("createdDateTime ge {from} and createdDateTime le {to}");
            let order = if newest_first { "createdDateTime desc" } else { "createdDateTime" };
            let rows = top.to_string();
            let options = [("$filter", filter.as_str()), ("$orderby", order), ("$top", rows.as_str())];
            let pages = walk(&tenant, &token(&tenant).await, Endpoint::SignIns, &options).await;
            let expected: Vec<String> = expected.into_iter().map(|(_, number)| number.to_string()).collect();
            assert_eq!(all_ids(&pages), expected);
            assert_eq!(pages.len(), expected.len().div_ceil(top).max(1));
        });
    }
}

async fn walk_with_late_record(paging: Paging) -> Vec<String> {
    let tenant = start(|config| config.paging = paging).await;
    let token = token(&tenant).await;
    let endpoint = Endpoint::DirectoryAudits;
    for tick in 1..=4 {
        tenant.emit(endpoint, record(endpoint, &tick.to_string(), &moment(tick, 2))).unwrap();
    }
    let (_, first) = ask(&tenant, &token, endpoint, &[("$top", "2")]).await;
    tenant.emit(endpoint, record(endpoint, "late", &moment(0, 0))).unwrap();
    let rest = get(first["@odata.nextLink"].as_str().unwrap(), &token).await.json().await.unwrap();
    all_ids(&[first, rest])
}

#[tokio::test]
async fn a_record_that_comes_in_between_shifts_pages_by_position_but_not_by_key() {
    assert_eq!(walk_with_late_record(Paging::ByKey).await, ["1", "2", "3", "4"]);
    assert_eq!(walk_with_late_record(Paging::ByPosition).await, ["1", "2", "2", "3"]);
}

#[tokio::test]
async fn the_newest_come_first_unless_asked_and_an_oversized_top_is_clamped() {
    let tenant = start(|config| config.page_size = PageSize { default: 2, maximum: 3 }).await;
    let token = token(&tenant).await;
    let endpoint = Endpoint::SignIns;
    for tick in 0..5 {
        tenant.emit(endpoint, record(endpoint, &tick.to_string(), &moment(tick, 2))).unwrap();
    }
    let (_, page) = ask(&tenant, &token, endpoint, &[]).await;
    assert_eq!(ids(&page), ["0", "1"]);
    let (_, page) = ask(&tenant, &token, endpoint, &[("$top", "1000"), ("$count", "true")]).await;
    assert_eq!(ids(&page), ["0", "1", "2"]);
    assert_eq!(page["@odata.count"], 5);
    let (_, page) = ask(&tenant, &token, endpoint, &[("$orderby", "createdDateTime asc")]).await;
    assert_eq!(ids(&page), ["4", "3"]);
}

#[tokio::test]
async fn queries_that_graph_refuses_are_refused() {
    let tenant = start(|_| {}).await;
    let token = token(&tenant).await;
    let too_old = "activityDateTime ge 2026-10-20T23:59:59Z";
    for (endpoint, option, value, message) in [
        (Endpoint::SignIns, "$filter", "createdDateTime ge '2026-11-20T00:00:00Z'", "Invalid filter clause"),
        (Endpoint::SignIns, "$filter", "createdDateTime gt 2026-11-20T00:00:00Z", "Invalid filter clause"),
        (Endpoint::SignIns, "$filter", "createdDateTime ge 2026-08-01T00:00:00Z", "Invalid filter clause"),
        (
            Endpoint::Provisioning,
            "$filter",
            "activityDateTime ge 2026-11-20T00:00:00Z",
            "Invalid filter clause",
        ),
        (
            Endpoint::DirectoryAudits,
            "$filter",
            too_old,
            "Specified argument was out of the range of valid values. (Parameter 'Minimum allowed time for \
             activityDateTime is 10/21/2026 12:00:00 AM')",
        ),
        (
            Endpoint::SignIns,
            "$skip",
            "10",
            "Query option 'Skip' is not allowed. To allow it, set the 'AllowedQueryOptions' property on \
             EnableQueryAttribute or QueryValidationSettings.",
        ),
        (Endpoint::SignIns, "$skiptoken", "made-up", "Invalid Skip Token"),
        (Endpoint::SignIns, "$orderby", "id", "Invalid orderby clause"),
        (Endpoint::SignIns, "$top", "0", "Invalid value '0' for $top query option found."),
    ] {
        let (status, body) = ask(&tenant, &token, endpoint, &[(option, value)]).await;
        assert_eq!((status, body["error"]["message"].as_str()), (400, Some(message)), "{option}={value}");
        assert!(body["error"]["innerError"]["request-id"].is_string());
    }
    let (status, _) = ask(
        &tenant,
        &token,
        Endpoint::DirectoryAudits,
        &[("$filter", "activityDateTime ge 2026-10-21T00:00:00Z")],
    )
    .await;
    assert_eq!(status, 200, "the named minimum itself is taken");
}

#[tokio::test]
async fn an_option_without_its_dollar_is_ignored_and_everything_comes() {
    let tenant = start(|_| {}).await;
    let endpoint = Endpoint::SignIns;
    tenant.emit(endpoint, record(endpoint, "a", &moment(1, 0))).unwrap();
    tenant.emit(endpoint, record(endpoint, "b", &moment(9, 0))).unwrap();
    let (_, page) =
        ask(&tenant, &token(&tenant).await, endpoint, &[("filter", "id eq 'a'"), ("top", "1")]).await;
    assert_eq!(ids(&page), ["a", "b"]);
}

#[tokio::test]
async fn beta_shows_interactive_sign_ins_alone_unless_the_filter_names_event_types() {
    let tenant = start(|_| {}).await;
    let endpoint = Endpoint::SignInsBeta;
    for (number, kind) in (0..).zip(records::SIGN_IN_EVENT_TYPES) {
        tenant.emit(endpoint, records::sign_in(number, now(), &[kind])).unwrap();
    }
    let token = token(&tenant).await;
    let kinds = |page: &Value| -> BTreeSet<String> {
        let records = page["value"].as_array().unwrap();
        records.iter().map(|record| record["signInEventTypes"][0].as_str().unwrap().to_owned()).collect()
    };
    let (_, page) = ask(&tenant, &token, endpoint, &[]).await;
    assert_eq!(kinds(&page), BTreeSet::from(["interactiveUser".to_owned()]));
    let all = "signInEventTypes/any(t: t eq 'interactiveUser' or t eq 'nonInteractiveUser' or t eq 'servicePrincipal' \
               or t eq 'managedIdentity')";
    let (_, page) = ask(&tenant, &token, endpoint, &[("$filter", all)]).await;
    assert_eq!(kinds(&page), records::SIGN_IN_EVENT_TYPES.map(str::to_owned).into());
}

#[tokio::test]
async fn records_are_seen_when_their_visibility_allows_and_until_the_retention_ends() {
    let tenant = start(|_| {}).await;
    let token = token(&tenant).await;
    let endpoint = Endpoint::DirectoryAudits;
    let one = |id: &str| record(endpoint, id, &moment(1, 0));
    tenant.emit_when(endpoint, one("later"), Visibility::From(now() + SignedDuration::from_secs(1))).unwrap();
    tenant.emit_when(endpoint, one("due"), Visibility::From(now())).unwrap();
    tenant.emit_when(endpoint, one("after two"), Visibility::AfterRequests(2)).unwrap();
    tenant.emit(endpoint, record(endpoint, "gone", "2026-10-01T00:00:00Z")).unwrap();
    for expected in [vec!["due"], vec!["due"], vec!["after two", "due"]] {
        let (_, page) = ask(&tenant, &token, endpoint, &[]).await;
        assert_eq!(ids(&page), expected);
    }
    assert_eq!(tenant.emitted(endpoint).len(), 4);
    assert_eq!(tenant.visible(endpoint).len(), 2);
}

#[tokio::test]
async fn a_changed_record_keeps_its_place() {
    let tenant = start(|_| {}).await;
    let token = token(&tenant).await;
    let endpoint = Endpoint::SignIns;
    let number = tenant.emit(endpoint, record(endpoint, "first", &moment(1, 0))).unwrap();
    tenant.replace(endpoint, number, record(endpoint, "changed", &moment(1, 0))).unwrap();
    let (_, page) = ask(&tenant, &token, endpoint, &[("$filter", "id eq 'changed'")]).await;
    assert_eq!(ids(&page), ["changed"]);
    assert_eq!(tenant.replace(endpoint, 99, "{}".to_owned()), Err(RecordRefused::Unknown(99)));
    assert!(matches!(tenant.emit(endpoint, "[]".to_owned()), Err(RecordRefused::NoObject(_))));
    assert_eq!(tenant.emit(endpoint, "{}".to_owned()), Err(RecordRefused::NoEventTime("createdDateTime")));
    assert!(tenant.emit_at(endpoint, "{}".to_owned(), Some(now()), Visibility::Now).is_ok());
}

async fn raw_body(change: impl FnOnce(&mut TenantConfig), record: &str) -> String {
    let tenant = start(change).await;
    tenant.emit(Endpoint::DirectoryAudits, record.to_owned()).unwrap();
    tenant.emit(Endpoint::DirectoryAudits, record.to_owned()).unwrap();
    let url = query(&tenant, Endpoint::DirectoryAudits, &[("$top", "1")]);
    get(&url, &token(&tenant).await).await.text().await.unwrap()
}

#[tokio::test]
async fn records_are_served_as_the_bytes_that_were_emitted() {
    let odd =
        "{ \"id\" : \"\\u0041\\/\" ,\n\t\"activityDateTime\":\"2026-11-20T11:00:00.10Z\", \"n\": 1.50E+0 }";
    let layouts = [
        (BodyStyle::Compact, LinkPlace::BeforeRecords),
        (BodyStyle::Compact, LinkPlace::AfterRecords),
        (BodyStyle::Pretty, LinkPlace::BeforeRecords),
        (BodyStyle::Pretty, LinkPlace::AfterRecords),
    ];
    for (style, place) in layouts {
        let change = |config: &mut TenantConfig| {
            config.body_style = style;
            config.link_place = place;
        };
        let body = raw_body(change, odd).await;
        assert!(body.contains(odd), "{body}");
        let parsed: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(parsed["value"].as_array().map(Vec::len), Some(1));
        assert!(parsed["@odata.nextLink"].as_str().unwrap().contains("$skiptoken="));
        let link_first = body.find("@odata.nextLink") < body.find("\"value\"");
        assert_eq!(link_first, place == LinkPlace::BeforeRecords);
        assert_eq!(body.contains("\n  \"value\": ["), style == BodyStyle::Pretty);
    }
}

#[tokio::test]
async fn bodies_are_compressed_for_those_who_accept_it() {
    for (compression, accepted, expected) in [
        (Compression::WhenAccepted, "gzip, deflate", Some("gzip")),
        (Compression::WhenAccepted, "identity", None),
        (Compression::Never, "gzip", None),
    ] {
        let tenant = start(|config| config.compression = compression).await;
        let client = reqwest::Client::builder().no_gzip().build().unwrap();
        let request = client.get(query(&tenant, Endpoint::SignIns, &[])).bearer_auth(token(&tenant).await);
        let response = request
            .header("Accept-Encoding", accepted)
            .header("client-request-id", "mine")
            .send()
            .await
            .unwrap();
        let header =
            |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("content-encoding").as_deref(), expected);
        assert_eq!(header("date").as_deref(), Some("Fri, 20 Nov 2026 12:00:00 GMT"));
        assert_eq!(header("client-request-id").as_deref(), Some("mine"));
        assert_eq!(header("request-id").map(|id| id.len()), Some(36));
        let magic = response.bytes().await.unwrap().starts_with(&[0x1f, 0x8b]);
        assert_eq!(magic, expected.is_some());
    }
}

#[tokio::test]
async fn requests_are_written_down_without_their_tokens() {
    let tenant = start(|_| {}).await;
    let token = token(&tenant).await;
    let (status, _) =
        ask(&tenant, &token, Endpoint::SignIns, &[("$filter", "id eq 'a b'"), ("$top", "x")]).await;
    let seen = tenant.requests().pop().unwrap();
    assert_eq!((status, seen.status, seen.option("$filter")), (400, Some(400), Some("id eq 'a b'")));
    assert_eq!(seen.note.as_deref(), Some("$top"));
    assert!(!format!("{seen:?}").contains(&token));
    assert_eq!(json!(seen.number), 2);
}
