//! What goes wrong with Defender for Cloud Apps in the wild: consoles instead of answers, filters without effect, files
//! that take too long.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{ask_list, now, object_ids, post_json, start_cloud_apps};
use crate::tenant::{
    AnswerMember, CloudAppsList, Fault, FilterReading, Rule, Shape, SlowFiles, Tenant, Violation,
};

const FILES: CloudAppsList = CloudAppsList::Files;

fn files(tenant: &Tenant, count: i64) {
    for number in 0..count {
        let record = json!({ "_id": number.to_string(), "modifiedDate": now().as_millisecond() - number });
        tenant.emit_cloud_apps(FILES, record.to_string()).unwrap();
    }
}

async fn raw(tenant: &Tenant) -> (u16, String, String) {
    let response = post_json(tenant, "Token simulated~files-token", FILES.path(), "{}").await;
    let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    (response.status().as_u16(), media_type, response.text().await.unwrap())
}

#[tokio::test]
async fn pages_of_the_console_come_with_any_status() {
    let (tenant, _) = start_cloud_apps(|_| {}).await;
    for status in [200, 404, 500, 502, 504] {
        let fault = if status == 504 { Fault::GatewayTimeout } else { Fault::HtmlPage(status) };
        tenant.script(vec![Rule::on_cloud_apps(FILES, fault)]);
        let (answered, media_type, body) = raw(&tenant).await;
        assert_eq!((answered, media_type.as_str()), (status, "text/html; charset=utf-8"));
        assert!(body.starts_with("<!DOCTYPE html>"), "{body}");
    }
}

#[tokio::test]
async fn answers_of_another_shape_lack_what_this_api_has() {
    let (tenant, _) = start_cloud_apps(|_| {}).await;
    for (shape, is_it) in [
        (Shape::ValueMissing, (|body| body.get("data").is_none()) as fn(&Value) -> bool),
        (Shape::ValueIsObject, |body| body["data"].is_object()),
        (Shape::TopLevelArray, Value::is_array),
        (Shape::Null, Value::is_null),
    ] {
        tenant.script(vec![Rule::on_cloud_apps(FILES, Fault::WrongShape(shape))]);
        let body: Value = serde_json::from_str(&raw(&tenant).await.2).unwrap();
        assert!(is_it(&body), "{shape:?} {body}");
    }
}

#[tokio::test]
async fn files_take_too_long_when_too_many_are_found() {
    let (tenant, token) =
        start_cloud_apps(|config| config.slow_files = SlowFiles::GatewayTimeout { above: 3 }).await;
    files(&tenant, 6);
    let (status, media_type, _) = raw(&tenant).await;
    assert_eq!((status, media_type.as_str()), (504, "text/html; charset=utf-8"));
    let narrow = json!({ "filters": { "modifiedDate": { "gte": now().as_millisecond() - 2 } }, "limit": 1 });
    let (status, page) = ask_list(&tenant, &token, FILES, &narrow).await;
    assert_eq!((status, object_ids(&page)), (200, vec!["0".to_owned()]));
    for number in 0..6 {
        tenant.emit_cloud_apps(CloudAppsList::Entities, format!("{{\"_id\":\"{number}\"}}")).unwrap();
    }
    assert_eq!(ask_list(&tenant, &token, CloudAppsList::Entities, &json!({})).await.0, 200, "files alone");
}

#[tokio::test]
async fn too_many_files_may_come_later_than_the_caller_waits() {
    let late = SlowFiles::Late { above: 3, by: Duration::from_secs(3_600) };
    let (tenant, _) = start_cloud_apps(|config| config.slow_files = late).await;
    files(&tenant, 3);
    let at_once = tokio::time::timeout(Duration::from_secs(60), raw(&tenant)).await;
    assert_eq!(at_once.unwrap().0, 200);
    files(&tenant, 1);
    assert!(tokio::time::timeout(Duration::from_millis(300), raw(&tenant)).await.is_err());
}

#[tokio::test]
async fn filters_may_have_no_effect_but_are_still_checked() {
    let (tenant, token) = start_cloud_apps(|config| config.filters = FilterReading::Ignored).await;
    files(&tenant, 4);
    let future = json!({ "filters": { "modifiedDate": { "gte": now().as_millisecond() + 1 } } });
    assert_eq!(object_ids(&ask_list(&tenant, &token, FILES, &future).await.1).len(), 4);
    let unknown = json!({ "filters": { "no": { "eq": 1 } } });
    assert_eq!(ask_list(&tenant, &token, FILES, &unknown).await.0, 400);
}

#[tokio::test]
async fn a_page_may_say_that_more_follow_when_it_has_none_or_not_say_it_at_all() {
    let (tenant, token) = start_cloud_apps(|_| {}).await;
    files(&tenant, 4);
    tenant.script(vec![Rule::on_cloud_apps(FILES, Fault::EmptyPageWithNext).nth(1)]);
    let (status, page) = ask_list(&tenant, &token, FILES, &json!({})).await;
    assert_eq!((status, &page["data"], &page["hasNext"]), (200, &json!([]), &json!(true)));
    tenant.change_cloud_apps(|config| config.absent = vec![AnswerMember::HasNext]);
    let (_, page) = ask_list(&tenant, &token, FILES, &json!({ "limit": 2 })).await;
    assert!(page.get("hasNext").is_none() && object_ids(&page).len() == 2);
    tenant.script(vec![Rule::on_cloud_apps(FILES, Fault::DuplicateRecords)]);
    assert_eq!(object_ids(&ask_list(&tenant, &token, FILES, &json!({})).await.1).len(), 8);
    assert_eq!(tenant.violations(), Vec::<(u64, Violation)>::new());
}
