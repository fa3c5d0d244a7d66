//! The lists of Defender for Cloud Apps: paths, filters, pages by counting, their order, and what the log says of them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::support::{ask_list, ask_path, client, now, object_ids, post_json, start_cloud_apps};
use crate::tenant::{
    Addressee, AnswerMember, BeyondDeepest, CloudAppsList, CloudAppsOrder, LinkPlace, PageKind,
    PostWithoutSlash, Tenant, Violation, Visibility,
};

const ALERTS: CloudAppsList = CloudAppsList::Alerts;
const ACTIVITIES: CloudAppsList = CloudAppsList::Activities;

/// Milliseconds that many seconds before the tests' present.
fn ms(seconds_ago: i64) -> i64 {
    now().as_millisecond() - seconds_ago * 1_000
}

fn emit(tenant: &Tenant, list: CloudAppsList, record: &Value) -> u64 {
    tenant.emit_cloud_apps(list, record.to_string()).unwrap()
}

#[tokio::test]
async fn filters_select_by_instants_in_each_way_that_a_record_writes_them() {
    let (tenant, token) = start_cloud_apps(|config| config.order = CloudAppsOrder::Inserted).await;
    emit(&tenant, ALERTS, &json!({ "_id": "a", "timestamp": ms(30) }));
    emit(&tenant, ALERTS, &json!({ "_id": "b", "timestamp": ms(20) as f64 + 0.75, "resolveTime": ms(5) }));
    let iso = "2026-11-20T11:59:50.000Z";
    emit(&tenant, ALERTS, &json!({ "_id": "c", "timestamp": iso, "resolveTime": "2026-11-20T11:59:58.5Z" }));
    emit(&tenant, ALERTS, &json!({ "_id": "d", "timestamp": ms(86_400 * 3), "resolveTime": null }));
    let range = |start: i64, end: i64| json!({ "start": ms(start), "end": ms(end) });
    for (filters, expected) in [
        (json!({}), "abcd"),
        (json!({ "date": { "gte": ms(20), "lte": ms(10) } }), "bc"),
        (json!({ "date": { "gt": ms(20), "lt": ms(10) } }), ""),
        (json!({ "date": { "eq": ms(20) } }), "b"),
        (json!({ "date": { "range": [range(31, 30), range(11, 9)] } }), "ac"),
        (json!({ "date": { "range": range(25, 15) } }), "b"),
        (json!({ "date": { "range": range(25, 5), "gt": ms(20) } }), "c"),
        (json!({ "date": { "gte_ndays": 1 } }), "abc"),
        (json!({ "date": { "lte_ndays": 1 } }), "d"),
        (json!({ "resolutionDate": { "gte": ms(5), "lte": ms(0) } }), "bc"),
        (json!({ "resolutionDate": { "gte": ms(5) }, "date": { "lt": ms(10) } }), "b"),
    ] {
        let (status, page) = ask_list(&tenant, &token, ALERTS, &json!({ "filters": filters })).await;
        assert_eq!((status, object_ids(&page).concat()), (200, expected.to_owned()), "{filters}");
    }
}

#[tokio::test]
async fn activities_are_found_by_when_they_happened_and_by_when_they_were_saved() {
    let (tenant, token) = start_cloud_apps(|_| {}).await;
    emit(&tenant, ACTIVITIES, &json!({ "_id": "late", "timestamp": ms(9_000), "created": ms(5) }));
    emit(&tenant, ACTIVITIES, &json!({ "_id": "soon", "timestamp": ms(60), "created": ms(50) }));
    for (filters, expected) in [
        (json!({ "created": { "gte": ms(10) } }), "late"),
        (json!({ "date": { "gte": ms(100) } }), "soon"),
        (json!({ "date": { "lt": ms(100) }, "created": { "gte": ms(50) } }), "late"),
    ] {
        let (_, page) = ask_list(&tenant, &token, ACTIVITIES, &json!({ "filters": filters })).await;
        assert_eq!(object_ids(&page), [expected], "{filters}");
    }
}

#[tokio::test]
async fn filters_look_into_records_where_the_pages_of_the_api_say_so() {
    let (tenant, token) = start_cloud_apps(|config| config.order = CloudAppsOrder::Inserted).await;
    let rows = [
        (
            ALERTS,
            json!({ "_id": "a", "timestamp": ms(1), "severityValue": 2, "resolutionStatusValue": 0,
            "entities": [{ "id": 11770, "type": "service" }, { "id": "user1", "saas": 1, "inst": 0 }] }),
        ),
        (ALERTS, json!({ "_id": "b", "timestamp": ms(1), "severityValue": 0, "resolutionStatusValue": 4 })),
        (
            ACTIVITIES,
            json!({ "_id": "a", "created": ms(1), "appId": 15600, "user": { "userName": "Ann@x" },
            "device": { "userAgent": "Chrome/131" } }),
        ),
        (
            ACTIVITIES,
            json!({ "_id": "b", "created": ms(1), "appId": 1, "device": { "clientIP": "203.0.113.7" } }),
        ),
        (
            CloudAppsList::Entities,
            json!({ "_id": "a", "type": 2, "isAdmin": true, "isExternal": null, "domain": null }),
        ),
        (
            CloudAppsList::Entities,
            json!({ "_id": "b", "type": 1, "isAdmin": false, "domain": "example.com" }),
        ),
        (CloudAppsList::Subnet, json!({ "_id": "a", "category": 5, "tags": [{ "id": "t" }] })),
        (CloudAppsList::Subnet, json!({ "_id": "b", "category": 1, "tags": [] })),
        (
            CloudAppsList::Files,
            json!({ "_id": "a", "modifiedDate": ms(1), "fileType": [5, "IMAGE"], "fileStatus": [1, "TRASHED"] }),
        ),
        (
            CloudAppsList::Files,
            json!({ "_id": "b", "modifiedDate": ms(1), "fileType": [1, "DOCUMENT"], "fileStatus": [0, "EXISTS"] }),
        ),
    ];
    for (list, record) in &rows {
        emit(&tenant, *list, record);
    }
    for (list, filters, expected) in [
        (ALERTS, json!({ "severity": { "eq": 2 } }), "a"),
        (ALERTS, json!({ "severity": { "eq": [0, 2] } }), "ab"),
        (ALERTS, json!({ "severity": { "neq": [1, 2] } }), "b"),
        (ALERTS, json!({ "alertOpen": { "eq": true } }), "a"),
        (ALERTS, json!({ "alertOpen": { "eq": false }, "severity": { "eq": 0 } }), "b"),
        (ALERTS, json!({ "entity.service": { "eq": 11770 } }), "a"),
        (ALERTS, json!({ "entity.entity": { "eq": [{ "id": "user1", "saas": 1, "inst": 0 }] } }), "a"),
        (ACTIVITIES, json!({ "service": { "eq": [15600] } }), "a"),
        (ACTIVITIES, json!({ "user.username": { "startswith": "ann" } }), "a"),
        (ACTIVITIES, json!({ "user.username": { "isset": true } }), "a"),
        (ACTIVITIES, json!({ "user.username": { "isnotset": true } }), "b"),
        (ACTIVITIES, json!({ "userAgent.userAgent": { "contains": "chrome" } }), "a"),
        (ACTIVITIES, json!({ "userAgent.userAgent": { "ncontains": "chrome" } }), "b"),
        (ACTIVITIES, json!({ "ip.address": { "startswith": "203.0" } }), "b"),
        (CloudAppsList::Entities, json!({ "type": { "eq": 2 } }), "a"),
        (CloudAppsList::Entities, json!({ "isAdmin": { "eq": false } }), "b"),
        (CloudAppsList::Entities, json!({ "domain": { "isset": true } }), "b"),
        (CloudAppsList::Subnet, json!({ "category": { "neq": 5 } }), "b"),
        (CloudAppsList::Subnet, json!({ "tags": { "eq": "t" } }), "a"),
        (CloudAppsList::Files, json!({ "fileType": { "eq": 5 } }), "a"),
        (CloudAppsList::Files, json!({ "trashed": { "eq": false } }), "b"),
    ] {
        let (status, page) = ask_list(&tenant, &token, list, &json!({ "filters": filters })).await;
        assert_eq!((status, object_ids(&page).concat()), (200, expected.to_owned()), "{list:?} {filters}");
    }
}

#[tokio::test]
async fn what_a_filter_cannot_be_is_named_in_the_words_of_the_api() {
    let (tenant, token) = start_cloud_apps(|_| {}).await;
    let cases = [
        (ALERTS, json!({ "alert_id": { "eq": "x" } }), "alert_id"),
        (ALERTS, json!({ "created": { "gte": 1 } }), "created"),
        (CloudAppsList::Entities, json!({ "date": { "gte": 1 } }), "date"),
        (ALERTS, json!({ "date": { "since": 1 } }), "since"),
        (ALERTS, json!({ "date": { "contains": 1 } }), "contains"),
        (ALERTS, json!({ "severity": { "gte": 1 } }), "gte"),
        (ALERTS, json!({ "date": { "gte": "2026-11-20T11:00:00Z" } }), "2026-11-20T11:00:00Z"),
        (ALERTS, json!({ "date": { "gte": 1.5 } }), "1.5"),
        (ALERTS, json!({ "date": { "range": { "start": 1 } } }), "{\"start\":1}"),
        (ALERTS, json!({ "date": 7 }), "date"),
        (ALERTS, json!({ "severity": { "eq": "high" } }), "high"),
        (CloudAppsList::Entities, json!({ "isAdmin": { "eq": [true, "yes"] } }), "yes"),
        (ACTIVITIES, json!({ "scan": { "after": "guess" } }), "scan"),
    ];
    for status in [400, 200] {
        tenant.change_cloud_apps(|config| config.refused_filter_status = status);
        for (list, filters, value) in &cases {
            let answered = ask_list(&tenant, &token, *list, &json!({ "filters": filters })).await;
            let expected = json!({
                "filters": [{
                    "error": format!("{value} is not valid"),
                    "errorMessageCode": "CONSOLE_FORMS_NOT_VALID_VALUE",
                    "errorMessageParams": { "value": value },
                }],
                "error": true,
            });
            assert_eq!(answered, (status, expected), "{filters}");
        }
    }
    assert!(tenant.violations().is_empty(), "a filter is judged by the API alone");
}

#[tokio::test]
async fn a_page_has_a_hundred_rows_whatever_is_asked_for_and_skip_goes_through_a_list_once() {
    let (tenant, token) = start_cloud_apps(|_| {}).await;
    let make = |index: usize| format!("{{\"_id\":\"{index:03}\"}}");
    tenant.fill_cloud_apps(CloudAppsList::Entities, 250, &(Arc::new(make) as _)).unwrap();
    for (body, rows, max, has_next) in [
        (json!({}), 100, 100, true),
        (json!({ "limit": 5_000 }), 100, 100, true),
        (json!({ "limit": 30, "skip": 210 }), 30, 30, true),
        (json!({ "limit": 40, "skip": 210 }), 40, 40, false),
        (json!({ "skip": 250 }), 0, 100, false),
    ] {
        let (status, page) = ask_list(&tenant, &token, CloudAppsList::Entities, &body).await;
        assert_eq!((status, object_ids(&page).len()), (200, rows), "{body}");
        assert_eq!((&page["max"], &page["hasNext"]), (&json!(max), &json!(has_next)), "{body}");
        assert_eq!((&page["total"], &page["moreThanTotal"]), (&json!(250), &json!(false)), "{body}");
        assert!(page.get("nextQueryFilters").is_none());
    }
    let mut found = Vec::new();
    for skip in [0, 100, 200] {
        found.extend(object_ids(
            &ask_list(&tenant, &token, CloudAppsList::Entities, &json!({ "skip": skip })).await.1,
        ));
    }
    assert_eq!(found, (0..250).map(|index| format!("{index:03}")).collect::<Vec<_>>());
    let kinds: Vec<PageKind> = tenant.requests().iter().rev().take(3).map(|seen| seen.page).collect();
    assert_eq!(kinds, [PageKind::Next, PageKind::Next, PageKind::First]);
}

#[tokio::test]
async fn skip_leads_to_five_thousand_rows_and_no_further_and_total_is_capped() {
    let (tenant, token) = start_cloud_apps(|_| {}).await;
    tenant
        .fill_cloud_apps(
            CloudAppsList::Subnet,
            5_200,
            &(Arc::new(|index| format!("{{\"_id\":\"{index}\"}}")) as _),
        )
        .unwrap();
    let ask =
        async |skip: usize| ask_list(&tenant, &token, CloudAppsList::Subnet, &json!({ "skip": skip })).await;
    let (status, page) = ask(4_900).await;
    assert_eq!((status, &page["total"], &page["moreThanTotal"]), (200, &json!(5_000), &json!(true)));
    assert_eq!(page["hasNext"], true);
    let (status, refused) = ask(4_901).await;
    assert_eq!((status, &refused["filters"][0]["error"]), (400, &json!("skip is not valid")));
    tenant.change_cloud_apps(|config| config.beyond_deepest = BeyondDeepest::Empty);
    let (status, page) = ask(5_000).await;
    assert_eq!((status, &page["data"], &page["hasNext"]), (200, &json!([]), &json!(false)));
    tenant.change_cloud_apps(|config| config.beyond_deepest = BeyondDeepest::Rows);
    assert_eq!(object_ids(&ask(5_150).await.1).len(), 50);
}

#[tokio::test]
async fn rows_come_in_the_order_that_is_asked_for_or_in_one_of_the_lists_own() {
    let (tenant, token) = start_cloud_apps(|_| {}).await;
    for (id, happened, saved) in [("a", 50, 40), ("b", 90, 10), ("c", 20, 10), ("d", 30, 20)] {
        emit(&tenant, ACTIVITIES, &json!({ "_id": id, "timestamp": ms(happened), "created": ms(saved) }));
    }
    let ids = async |body: Value| object_ids(&ask_list(&tenant, &token, ACTIVITIES, &body).await.1).concat();
    for (body, expected) in [
        (json!({ "sortField": "date", "sortDirection": "asc" }), "badc"),
        (json!({ "sortField": "date", "sortDirection": "desc" }), "cdab"),
        (json!({ "sortField": "created" }), "bcda"),
        (json!({ "sortDirection": "asc" }), "adbc"),
    ] {
        assert_eq!(ids(body.clone()).await, expected, "{body}");
    }
    for (order, expected) in [
        (CloudAppsOrder::Newest, "bcda"),
        (CloudAppsOrder::Oldest, "adbc"),
        (CloudAppsOrder::Inserted, "abcd"),
    ] {
        tenant.change_cloud_apps(|config| config.order = order);
        assert_eq!(ids(json!({})).await, expected, "{order:?}");
    }
    tenant.change_cloud_apps(|config| config.order = CloudAppsOrder::Shuffled { seed: 3 });
    let shuffled = ids(json!({})).await;
    assert_eq!((shuffled.len(), ids(json!({})).await), (4, shuffled), "it stays the same");
    let (status, _) = ask_list(&tenant, &token, ACTIVITIES, &json!({ "sortField": "severity" })).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn paths_have_their_slash_and_may_stand_behind_cas() {
    let (tenant, token) = start_cloud_apps(|_| {}).await;
    let authorization = format!("Bearer {token}");
    for path in ["/api/v1/alerts/", "/cas/api/v1/alerts/"] {
        assert_eq!(post_json(&tenant, &authorization, path, "{}").await.status(), 200, "{path}");
        let bare = path.trim_end_matches('/');
        let refused = post_json(&tenant, &authorization, bare, "{}").await;
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["content-type"]),
            (404, &"text/html; charset=utf-8".parse().unwrap())
        );
        tenant.change_cloud_apps(|config| config.redirect_status = 302);
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let url = format!("{}{bare}?limit=1", tenant.base_url());
        let redirected = client.get(url).header("Authorization", &authorization).send().await.unwrap();
        assert_eq!(redirected.status(), 302);
        assert_eq!(redirected.headers()["location"], format!("{path}?limit=1"));
        tenant.change_cloud_apps(|config| config.post_without_slash = PostWithoutSlash::Redirected);
        let url = format!("{}{bare}", tenant.base_url());
        assert_eq!(client.post(url).send().await.unwrap().status(), 302);
        tenant.change_cloud_apps(|config| config.post_without_slash = PostWithoutSlash::NotFound);
    }
    assert!(tenant.requests().iter().skip(1).all(|seen| seen.addressee == Addressee::CloudApps(ALERTS)));
    assert_eq!(post_json(&tenant, &authorization, "/api/v1/Alerts/", "{}").await.status(), 400, "nobody's");
}

#[tokio::test]
async fn a_get_asks_the_same_with_its_query() {
    let (tenant, token) = start_cloud_apps(|_| {}).await;
    for number in 0..5 {
        emit(&tenant, ALERTS, &json!({ "_id": number.to_string(), "timestamp": ms(number) }));
    }
    let filters = json!({ "date": { "gte": ms(3) } }).to_string();
    let options = [("filters", filters.as_str()), ("skip", "1"), ("limit", "2"), ("sortDirection", "asc")];
    let (status, page) = ask_path(&tenant, &token, ALERTS.path(), &options).await;
    assert_eq!((status, object_ids(&page).concat()), (200, "21".to_owned()));
    assert!(tenant.violations().is_empty());
    let put = client().put(format!("{}{}", tenant.base_url(), ALERTS.path())).bearer_auth(&token);
    assert_eq!(put.send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn the_log_has_what_was_asked_for_and_what_nobody_should_ask_for() {
    let (tenant, token) = start_cloud_apps(|_| {}).await;
    let authorization = format!("Bearer {token}");
    let filters = "{ \"created\" : {\"gte\": 1} }";
    let body = format!("{{\"filters\":{filters},\"isScan\":true,\"limit\":700}}");
    post_json(&tenant, &authorization, ACTIVITIES.path(), &body).await;
    let seen = tenant.requests().pop().unwrap();
    let asked = ["filters", "isScan", "limit", "skip"].map(|name| seen.option(name));
    assert_eq!(asked, [Some(filters), Some("true"), Some("700"), None]);
    assert!(tenant.violations().is_empty());
    for (list, body, status, violation) in [
        (ACTIVITIES, r#"{"isScan":true,"skip":0}"#, 200, Violation::SkipInScan),
        (ALERTS, r#"{"isScan":true}"#, 200, Violation::ScanNotOffered),
        (ALERTS, r#"{"top":5}"#, 200, Violation::UnknownMember),
        (ALERTS, r#"{"limit":"5"}"#, 400, Violation::WrongType),
        (ALERTS, r#"{"limit":0}"#, 400, Violation::WrongType),
        (ALERTS, r#"{"skip":-1}"#, 400, Violation::WrongType),
        (ALERTS, r#"{"skip":1e3}"#, 400, Violation::WrongType),
        (ALERTS, r#"{"filters":[]}"#, 400, Violation::WrongType),
        (ALERTS, r#"{"filters":"{}"}"#, 400, Violation::WrongType),
        (ACTIVITIES, r#"{"isScan":"yes"}"#, 400, Violation::WrongType),
        (ALERTS, r#"{"sortDirection":"down"}"#, 400, Violation::WrongType),
        (ALERTS, "[]", 400, Violation::WrongType),
        (ALERTS, "no JSON", 400, Violation::WrongType),
    ] {
        let response = post_json(&tenant, &authorization, list.path(), body).await;
        assert_eq!(response.status(), status, "{body}");
        assert_eq!(tenant.requests().pop().unwrap().violations, [violation], "{body}");
    }
    let request = client().post(format!("{}{}", tenant.base_url(), ALERTS.path())).bearer_auth(&token);
    assert_eq!(request.body("filters={}").send().await.unwrap().status(), 415);
}

#[tokio::test]
async fn members_of_an_answer_can_be_absent_and_stand_on_either_side_of_the_rows() {
    let (tenant, token) = start_cloud_apps(|_| {}).await;
    let record = "{\"_id\":\"a\" , \"timestamp\":1763639999000.50}";
    let record = record.replace("1763639999000", &ms(1).to_string());
    tenant.emit_cloud_apps(ALERTS, record.clone()).unwrap();
    let text = async || {
        let response = post_json(&tenant, &format!("Bearer {token}"), ALERTS.path(), "{}").await;
        response.text().await.unwrap()
    };
    let rest = "\"hasNext\":false,\"max\":100,\"total\":1,\"moreThanTotal\":false";
    assert_eq!(text().await, format!("{{\"data\":[{record}],{rest}}}"), "bytes stay as they were emitted");
    tenant.change_cloud_apps(|config| config.member_place = LinkPlace::BeforeRecords);
    assert_eq!(text().await, format!("{{{rest},\"data\":[{record}]}}"));
    for (member, name) in [
        (AnswerMember::Data, "data"),
        (AnswerMember::HasNext, "hasNext"),
        (AnswerMember::Max, "max"),
        (AnswerMember::Total, "total"),
        (AnswerMember::MoreThanTotal, "moreThanTotal"),
    ] {
        tenant.change_cloud_apps(|config| config.absent = vec![member]);
        let page: Value = serde_json::from_str(&text().await).unwrap();
        assert_eq!((page.get(name), page.as_object().unwrap().len()), (None, 4), "{name}");
    }
}

#[tokio::test]
async fn records_are_seen_in_their_time_change_and_go() {
    let (tenant, token) = start_cloud_apps(|_| {}).await;
    let alert = |id: &str, seconds_ago| json!({ "_id": id, "timestamp": ms(seconds_ago) }).to_string();
    let ids = async || object_ids(&ask_list(&tenant, &token, ALERTS, &json!({})).await.1).concat();
    tenant.emit_cloud_apps_when(ALERTS, alert("x", 1), Visibility::AfterRequests(1)).unwrap();
    tenant
        .emit_cloud_apps_when(
            ALERTS,
            alert("y", 1),
            Visibility::From("2026-11-20T12:00:01Z".parse().unwrap()),
        )
        .unwrap();
    let number = tenant.emit_cloud_apps(ALERTS, alert("a", 2)).unwrap();
    tenant.emit_cloud_apps(ALERTS, alert("a", 2)).unwrap();
    tenant.emit_cloud_apps(ALERTS, alert("old", 181 * 86_400)).unwrap();
    assert_eq!(ids().await, "aa", "one id, two rows");
    assert_eq!(ids().await, "xaa");
    tenant.update_cloud_apps(ALERTS, number, alert("b", 0)).unwrap();
    assert_eq!(ids().await, "bxa", "it moves to its new instant");
    tenant.remove_cloud_apps(ALERTS, number).unwrap();
    assert_eq!(ids().await, "xa");
    assert_eq!(tenant.cloud_apps_records(ALERTS).len(), 4);
    assert!(tenant.remove_cloud_apps(ALERTS, number).is_err());
    for (list, text) in [
        (ACTIVITIES, "{\"timestamp\":1}"),
        (CloudAppsList::Files, "{\"modifiedDate\":null}"),
        (ALERTS, "{\"timestamp\":\"yesterday\"}"),
        (CloudAppsList::Entities, "[]"),
    ] {
        assert!(tenant.emit_cloud_apps(list, text.to_owned()).is_err(), "{text}");
    }
}
