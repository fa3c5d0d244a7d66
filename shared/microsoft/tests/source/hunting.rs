//! The operator's own queries.

use std::time::Duration;

use collector::ports::{Page, PageRequest, Source as _, SourceError};
use collector::service::{Query, Service};
use collector::settings::{HuntingQuery, QuerySpan};
use jiff::SignedDuration;
use microsoft::Tuning;

use crate::support::{Reply, Stage, fast, template, window};

static HUNTING: Service = Service {
    name: "advanced_hunting",
    query: Query::Hunting { path: "/api/advancedqueries/run" },
    event_time: &["Timestamp"],
    permission: "AdvancedQuery.Read.All",
    ..template()
};

const WINDOWED: usize = 0;
const WHOLE: usize = 1;

const TEXT: &str =
    "DeviceEvents | where Timestamp between ({from} .. {to}) and Seen >= {from} | where A == \"b\"";

fn queries() -> Vec<HuntingQuery> {
    let query = |name: &str, text: &str, span| HuntingQuery {
        name: name.to_owned(),
        text: text.to_owned(),
        tag: "my.app.hunting.x".to_owned(),
        period: SignedDuration::from_hours(1),
        range: None,
        span,
    };
    vec![query("windowed", TEXT, QuerySpan::Window), query("whole", "DeviceInfo | count", QuerySpan::Whole)]
}

async fn stage(tuning: Tuning, replies: impl IntoIterator<Item = Reply>) -> Stage {
    let stage = Stage::with(tuning, |settings| {
        settings.service = &HUNTING;
        settings.queries = queries();
    })
    .await;
    stage.login.answers([Reply::token("t0ken")]);
    stage.api.answers(replies);
    stage
}

async fn ask(stage: &mut Stage, query: usize) -> Result<Page, SourceError> {
    let deadline = stage.deadline(60_000);
    stage.source.page(&PageRequest { window: window(), query: Some(query), link: None, deadline }).await
}

/// A short form of what the run loop is told; the query's name is in it, its text is not.
fn told(outcome: Result<Page, SourceError>, query: usize) -> String {
    let told = match outcome.unwrap_err() {
        SourceError::Fatal(error) => format!("fatal {} {error}", error.error_type.as_str()),
        SourceError::TooHeavy(error) => format!("heavy {} {error}", error.error_type.as_str()),
        other => return format!("{other:?}"),
    };
    assert!(told.contains(&format!("(query {})", queries()[query].name)), "{told}");
    assert!(!told.contains("DeviceEvents") && !told.contains("DeviceInfo"), "{told}");
    told
}

#[tokio::test]
async fn a_query_is_posted_with_the_ends_of_its_window_and_its_rows_are_given_as_they_are() {
    let row = "{ \"Timestamp\" : \"2026-11-20T10:00:00.1234567Z\",\"N\":1.0 }";
    let body = format!("{{\"Schema\":[{{\"Name\":\"N\"}}],\"Results\":[{row}]}}");
    let mut stage = stage(fast(), [Reply::body(body), Reply::body("{\"results\":[]}")]).await;
    let page = ask(&mut stage, WINDOWED).await.unwrap();
    assert_eq!((page.records.as_slice(), page.next), (&[row.into()][..], None));
    assert!(ask(&mut stage, WHOLE).await.unwrap().records.is_empty());
    let seen = stage.api.seen();
    assert_eq!(seen[0].line(), "POST /api/advancedqueries/run HTTP/1.1");
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
    insta::assert_snapshot!(
        seen[0].body,
        @r#"{"Query":"DeviceEvents | where Timestamp between (datetime(2026-11-20T10:00:00Z) .. datetime(2026-11-20T11:00:00Z)) and Seen >= datetime(2026-11-20T10:00:00Z) | where A == \"b\""}"#
    );
    assert_eq!(seen[1].body, r#"{"Query":"DeviceInfo | count"}"#);
    assert_eq!(stage.source.stats().requests, 2);
}

#[tokio::test]
async fn an_answer_that_may_be_cut_is_too_heavy_or_the_operators_matter() {
    let rows = |count: usize| Reply::body(format!("{{\"Results\":[{}1]}}", "1,".repeat(count - 1)));
    let refused = |words: &str| Reply::error(400, "BadRequest", words);
    let small = Tuning { body_limit: 300_000, ..fast() };
    let cut = [
        rows(100_000),
        refused("Query execution has exceeded the allowed result size. Optimize your query."),
        refused("Query has exceeded the allowed limits and was preempted"),
        Reply::body(format!("{{\"Results\":[\"{}\"]}}", "a".repeat(300_000))),
    ];
    for reply in cut {
        let mut stage = stage(small.clone(), [reply.clone(), reply]).await;
        let windowed = told(ask(&mut stage, WINDOWED).await, WINDOWED);
        assert!(windowed.starts_with("heavy PullError [301] "), "{windowed}");
        let whole = told(ask(&mut stage, WHOLE).await, WHOLE);
        assert!(whole.starts_with("fatal PullError [301] "), "{whole}");
        assert_eq!(stage.api.count(), 2, "what is too heavy is not asked for again");
    }
    let mut stage = stage(small, [rows(99_999)]).await;
    assert_eq!(ask(&mut stage, WHOLE).await.unwrap().records.len(), 99_999);
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_too_heavy_and_asked_once() {
    let impatient = Tuning { query_timeout: Duration::from_millis(50), ..fast() };
    for reply in [Reply::silence(), Reply::error(504, "", "")] {
        let mut stage = stage(impatient.clone(), [reply.clone(), reply]).await;
        let windowed = told(ask(&mut stage, WINDOWED).await, WINDOWED);
        assert!(windowed.starts_with("heavy ApiError [498] "), "{windowed}");
        let whole = told(ask(&mut stage, WHOLE).await, WHOLE);
        assert!(whole.starts_with("fatal ApiError [498] "), "{whole}");
        assert_eq!(stage.api.count(), 2);
    }
}

#[tokio::test]
async fn a_query_may_take_longer_than_another_request() {
    let tuning = Tuning { attempt_timeout: Duration::from_millis(1), ..fast() };
    assert!(tuning.query_timeout >= Duration::from_secs(210));
    // The answer comes in pieces that a millisecond is too short for.
    let body = format!("{{\"Results\":[\"{}\"]}}", "a".repeat(3_000_000));
    let mut stage = stage(tuning, [Reply::chunked(body, 1_000)]).await;
    assert_eq!(ask(&mut stage, WHOLE).await.unwrap().records.len(), 1);
}

#[tokio::test]
async fn a_query_that_the_api_refuses_is_named_with_the_apis_words() {
    let words = format!("'where' operator: Failed to resolve column named 'X' {}", "y".repeat(400));
    let mut stage = stage(fast(), [Reply::error(400, "BadRequest", &words)]).await;
    let told = told(ask(&mut stage, WINDOWED).await, WINDOWED);
    assert!(
        told.starts_with("fatal PullError [301] ") && told.contains("Failed to resolve column"),
        "{told}"
    );
    assert!(told.contains(&"y".repeat(200)) && !told.contains(&"y".repeat(300)), "{told}");
}

#[tokio::test]
async fn an_answer_of_another_shape_names_the_query() {
    for body in ["{\"Schema\":[]}", "{\"Results\":{}}", "<html>", "[]"] {
        let mut stage = stage(fast(), [Reply::body(body)]).await;
        let told = told(ask(&mut stage, WHOLE).await, WHOLE);
        assert!(told.starts_with("fatal PullError [300] "), "{told}");
    }
}

#[tokio::test]
async fn a_missing_permission_is_named_on_the_first_contact() {
    for status in [401, 403] {
        let refused = Reply::error(status, "Forbidden", "no");
        let mut stage = stage(fast(), [refused.clone(), refused]).await;
        stage.login.answers([Reply::token("new")]);
        let told = told(ask(&mut stage, WHOLE).await, WHOLE);
        assert!(told.starts_with("fatal SetupError [102] "), "{told}");
        assert!(told.contains("grant the application permission AdvancedQuery.Read.All"), "{told}");
    }
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_waited_for_across_invocations() {
    let words = |span: &str| format!("API calls quota exceeded! maximum allowed 45 per {span}");
    for (status, span, seconds) in [(429, "00:01:00", 60), (400, "01:00:00", 900), (200, "00:01:00", 60)] {
        let mut stage = stage(fast(), [Reply::error(status, "429", &words(span))]).await;
        let until = stage.deadline(seconds * 1000);
        assert_eq!(ask(&mut stage, WHOLE).await.unwrap_err(), SourceError::Throttled { until });
        assert_eq!(stage.source.stats().throttled, 1);
    }
}

#[tokio::test]
async fn the_fingerprint_changes_with_a_querys_text() {
    let base = stage(fast(), []).await;
    let other = Stage::with(fast(), |settings| {
        settings.service = &HUNTING;
        settings.connection.base_url = base.api.url.clone();
        settings.queries = queries();
        settings.queries[1].text.push('!');
    })
    .await;
    assert_ne!(base.source.fingerprint(), other.source.fingerprint());
}
