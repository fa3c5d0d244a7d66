//! Advanced hunting: which rows a query is about, and what becomes of too much.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::support::{code, now, start_defender};
use crate::records::hunting_row;
use crate::tenant::{
    Addressee, DefenderCall, Fault, HuntingError, HuntingLimits, ResultNames, RetryAfter, Rule, Tenant,
    ToldWait,
};

const TABLE: &str = "DeviceProcessEvents";

/// Status, wait and body of a query.
async fn hunt(tenant: &Tenant, token: &str, query: &str) -> (u16, Option<String>, Value) {
    post(tenant, token, "application/json", &json!({ "Query": query }).to_string()).await
}

async fn post(tenant: &Tenant, token: &str, kind: &str, body: &str) -> (u16, Option<String>, Value) {
    let url = format!("{}/api/advancedqueries/run", tenant.base_url());
    let request = reqwest::Client::new().post(url).bearer_auth(token).header("Content-Type", kind);
    let response = request.body(body.to_owned()).send().await.unwrap();
    let wait = response.headers().get("retry-after").map(|text| text.to_str().unwrap().to_owned());
    (response.status().as_u16(), wait, response.json().await.unwrap())
}

/// Rows `0` … `9`, one each minute from 10:00 on.
fn emit_ten(tenant: &Tenant) {
    let start: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
    for number in 0..10 {
        let row = json!({ "N": number, "Text": "a", "Share": 0.5, "Nothing": null }).to_string();
        tenant.emit_hunting(TABLE, start + SignedDuration::from_mins(number), row);
    }
}

fn numbers(body: &Value) -> Vec<u64> {
    body["Results"].as_array().unwrap().iter().map(|row| row["N"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_query_is_about_the_rows_that_its_datetimes_bound() {
    let (tenant, token) = start_defender(|_| {}).await;
    emit_ten(&tenant);
    for (condition, expected) in [
        ("", 0..10),
        (
            "| where Timestamp >= datetime(2026-11-20T10:02:00Z) and Timestamp < datetime(2026-11-20T10:05:00Z)",
            2..5,
        ),
        (
            "| where Timestamp > datetime(2026-11-20T10:02:00.0000000Z)\n| where Timestamp <= datetime(2026-11-20T10:05:00Z)",
            3..6,
        ),
        (
            "| where Timestamp between (datetime(2026-11-20T10:02:00Z) .. datetime(2026-11-20T10:05:00Z))",
            2..6,
        ),
        ("| where Timestamp == datetime(2026-11-20 10:04:00)", 4..5),
        ("| where Timestamp >= datetime(2026-11-20)", 0..10),
        ("| where Timestamp >= datetime(2026-11-21)", 0..0),
        ("| extend X = datetime(2030-01-01)", 0..10),
    ] {
        let (status, _, body) = hunt(&tenant, &token, &format!("// first line\n{TABLE} {condition}")).await;
        assert_eq!((status, numbers(&body)), (200, expected.collect()), "{condition}");
    }
    let (_, _, body) = hunt(&tenant, &token, TABLE).await;
    assert_eq!(body["Schema"][0], json!({ "Name": "N", "Type": "Int64" }));
    let seen = tenant.requests();
    let last = seen.last().unwrap();
    assert_eq!((last.option("Query"), last.records), (Some(TABLE), 10));
    assert_eq!(last.addressee, Addressee::Defender(DefenderCall::Hunting));
}

#[tokio::test]
async fn rows_keep_their_bytes_and_may_come_to_light_late_and_go() {
    let (tenant, token) = start_defender(|_| {}).await;
    let texts: Vec<String> = (0..3).map(|seed| hunting_row(seed, now())).collect();
    for text in &texts {
        tenant.emit_hunting(TABLE, now(), text.clone());
    }
    tenant.emit_hunting_from(TABLE, now(), "{\"late\":1}".to_owned(), now() + SignedDuration::from_secs(1));
    tenant.emit_hunting(TABLE, now() - SignedDuration::from_hours(24 * 31), "{\"old\":1}".to_owned());
    let url = format!("{}/api/advancedqueries/run", tenant.base_url());
    let body = json!({ "Query": TABLE });
    let request = reqwest::Client::new().post(url).bearer_auth(&token).body(body.to_string());
    let answer = request.header("Content-Type", "application/json; charset=utf-8").send().await.unwrap();
    let text = answer.text().await.unwrap();
    assert!(text.ends_with(&format!("\"Results\":[{}]}}", texts.join(","))), "{text}");
    assert_eq!(tenant.hunting_rows(TABLE).len(), 5);
}

#[tokio::test]
async fn what_is_no_query_is_refused() {
    let (tenant, token) = start_defender(|_| {}).await;
    emit_ten(&tenant);
    tenant.add_hunting_table("DeviceInfo");
    let json = "application/json";
    for (kind, body, expected, expected_code) in [
        (json, r#"{"Query":"DeviceInfo"}"#, 200, ""),
        (json, r#"{"query":"DeviceInfo"}"#, 400, "InvalidRequestBody"),
        (json, r#"{"Query":7}"#, 400, "InvalidRequestBody"),
        (json, "DeviceInfo", 400, "InvalidRequestBody"),
        ("text/plain", r#"{"Query":"DeviceInfo"}"#, 415, "UnsupportedMediaType"),
        (json, r#"{"Query":""}"#, 400, "BadRequest"),
        (json, r#"{"Query":"| take 5"}"#, 400, "BadRequest"),
        (json, r#"{"Query":"NoSuchTable | take 5"}"#, 400, "BadRequest"),
        (json, r#"{"Query":"DeviceInfo | where Timestamp > {from}"}"#, 400, "BadRequest"),
        (json, r#"{"Query":"DeviceInfo | where Timestamp > datetime(soon)"}"#, 400, "BadRequest"),
        (json, r#"{"Query":"DeviceInfo | where Timestamp > datetime(2026-11-20"}"#, 400, "BadRequest"),
    ] {
        let (status, _, answer) = post(&tenant, &token, kind, body).await;
        assert_eq!((status, code(&answer)), (expected, expected_code), "{body}");
        if body.contains("NoSuchTable") {
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(
                message.contains("Failed to resolve table") && message.contains("'NoSuchTable'"),
                "{message}"
            );
        }
    }
    assert_eq!(super::support::ask_path(&tenant, &token, "/api/advancedqueries/run", &[]).await.0, 405);
}

#[tokio::test]
async fn a_result_is_cut_at_the_row_limit_without_a_word_and_refused_above_the_byte_limit() {
    for (most_rows, most_bytes, expected) in [(4, 1_000_000, 200), (10, 1_000_000, 200), (10, 100, 400)] {
        let (tenant, token) = start_defender(|config| {
            (config.hunting.most_rows, config.hunting.most_bytes) = (most_rows, most_bytes);
        })
        .await;
        emit_ten(&tenant);
        let (status, _, body) = hunt(&tenant, &token, TABLE).await;
        assert_eq!(status, expected);
        if status == 200 {
            assert_eq!(numbers(&body).len(), most_rows);
        } else {
            let message = body["error"]["message"].as_str().unwrap();
            assert!(message.contains("exceeded the allowed result size"), "{message}");
        }
    }
}

#[tokio::test]
async fn queries_above_the_quota_are_refused_with_a_status_for_a_code() {
    for (told_wait, wait) in [(ToldWait::Header, Some("60".to_owned())), (ToldWait::Silent, None)] {
        let (tenant, token) = start_defender(|config| {
            config.hunting.limits = HuntingLimits::PUBLISHED;
            config.hunting.told_wait = told_wait;
        })
        .await;
        emit_ten(&tenant);
        for _ in 0..45 {
            assert_eq!(hunt(&tenant, &token, TABLE).await.0, 200);
        }
        let (status, found_wait, body) = hunt(&tenant, &token, TABLE).await;
        assert_eq!((status, found_wait), (429, wait));
        assert_eq!(body["error"]["code"], json!("429"), "a text");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.ends_with("maximum allowed 45 per 00:01:00"), "{message}");
        let (status, _) = super::support::ask_path(&tenant, &token, "/api/alerts", &[]).await;
        assert_eq!(status, 200, "lists have limits of their own");
    }
}

#[tokio::test]
async fn a_script_has_the_refusals_of_hunting() {
    let (tenant, token) = start_defender(|_| {}).await;
    emit_ten(&tenant);
    let wait = RetryAfter::Seconds(9);
    for (error, status, told, part) in [
        (HuntingError::CallsPerMinute(wait), 429, true, "45 per 00:01:00"),
        (HuntingError::CallsPerHour(RetryAfter::Absent), 429, false, "1500 per 01:00:00"),
        (HuntingError::RunTime(RetryAfter::Absent), 429, false, "CPU"),
        (HuntingError::TooLarge, 400, false, "exceeded the allowed result size"),
        (HuntingError::Preempted, 400, false, "exceeded the allowed limits"),
    ] {
        tenant.script(vec![Rule::on_hunting(Fault::Hunting(error)).nth(1)]);
        let (found, found_wait, body) = hunt(&tenant, &token, TABLE).await;
        assert_eq!((found, found_wait.is_some()), (status, told), "{error:?}");
        assert!(body["error"]["message"].as_str().unwrap().contains(part), "{body}");
        assert_eq!(hunt(&tenant, &token, TABLE).await.0, 200);
    }
}

#[tokio::test]
async fn answers_may_be_spelled_in_lower_case() {
    let (tenant, token) = start_defender(|config| config.hunting.names = ResultNames::Lower).await;
    emit_ten(&tenant);
    let (_, _, body) = hunt(&tenant, &token, TABLE).await;
    assert_eq!(body["results"].as_array().unwrap().len(), 10);
    assert!(body["schema"].is_array() && body.get("Results").is_none());
}
