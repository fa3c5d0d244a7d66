//! When subscriptions are listed, when one is started, and what the operator is told meanwhile.

use collector::ports::{Source as _, SourceError};
use serde_json::{Value, json};

use crate::support::{Reply, Stage, confirmed, fast, fatal};

const LIST: &str = "/subscriptions/list";
const START: &str = "/subscriptions/start";
const CONTENT: &str = "/subscriptions/content";

async fn stage(list: Value, content: impl IntoIterator<Item = Reply>) -> Stage {
    let stage = Stage::unsubscribed(fast()).await;
    stage.api.answers_to(LIST, [Reply::body(list.to_string())]);
    stage.api.answers_to(START, [Reply::body("{\"status\":\"enabled\"}")]);
    stage.api.answers_to(CONTENT, content);
    stage
}

fn enabled() -> Value {
    json!([{"contentType": "audit.exchange", "status": "enabled"}])
}

fn empty() -> [Reply; 1] {
    [Reply::body("[]")]
}

/// How often each of list, start and content was asked for.
fn asked(stage: &Stage) -> [usize; 3] {
    [LIST, START, CONTENT].map(|word| stage.api.count_of(word))
}

fn not_ready(outcome: Result<collector::ports::Page, SourceError>) -> String {
    match outcome {
        Err(SourceError::NotReady(words)) => words,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_run_looks_at_the_list_and_the_next_six_hours_do_not() {
    let mut stage = stage(enabled(), empty()).await;
    stage.prepare(json!({})).await.unwrap();
    assert!(stage.page(None).await.unwrap().warnings.is_empty());
    assert_eq!(asked(&stage), [1, 0, 1]);
    stage.login.answers([Reply::token("t2")]);
    stage.clock.advance(6 * 3600);
    stage.next_invocation();
    stage.prepare(json!({})).await.unwrap();
    stage.page(None).await.unwrap();
    assert_eq!(asked(&stage), [1, 0, 2]);
    stage.clock.advance(1);
    stage.page(None).await.unwrap();
    assert_eq!(asked(&stage), [2, 0, 3]);
}

#[tokio::test]
async fn an_ordinary_tick_of_a_cold_process_makes_no_list_request() {
    let mut stage = stage(json!([]), empty()).await;
    stage.prepare(confirmed()).await.unwrap();
    stage.page(None).await.unwrap();
    assert_eq!(asked(&stage), [0, 0, 1]);
}

#[tokio::test]
async fn what_is_missing_or_disabled_is_started_and_the_wait_is_called_normal() {
    for list in [json!([]), json!([{"contentType": "Audit.Exchange", "status": "disabled"}])] {
        let mut stage = stage(list, empty()).await;
        stage.prepare(json!({})).await.unwrap();
        let page = stage.page(None).await.unwrap();
        assert_eq!(asked(&stage), [1, 1, 1]);
        let [warning] = page.warnings.as_slice() else { panic!("{:?}", page.warnings) };
        assert!(warning.contains("12 hours") && warning.contains("2026-11-20T12:00:00Z"), "{warning}");
        let start = &stage.api.seen()[1];
        assert_eq!(
            start.line(),
            "POST /api/v1.0/contoso/activity/feed/subscriptions/start?contentType=Audit.Exchange\
             &PublisherIdentifier=contoso HTTP/1.1"
        );
        assert_eq!(start.header("content-length"), Some("0"));
        stage.login.answers([Reply::token("t2")]);
        stage.clock.advance(12 * 3600);
        stage.prepare(json!({"subscription": {"confirmed_at": "2026-11-21T00:00:00Z"}})).await.unwrap();
        assert!(
            stage.page(None).await.unwrap().warnings.is_empty(),
            "after 12 hours it is not normal any more"
        );
    }
}

#[tokio::test]
async fn a_subscription_that_was_enabled_already_is_one() {
    let mut stage = stage(json!([]), empty()).await;
    stage.api.answers_to(START, [Reply::error(400, "AF20024", "The subscription is already enabled.")]);
    stage.prepare(json!({})).await.unwrap();
    stage.page(None).await.unwrap();
    assert_eq!(asked(&stage), [1, 1, 1]);
}

#[tokio::test]
async fn a_dry_run_starts_nothing_and_says_what_to_do() {
    let mut stage = stage(json!([]), empty()).await;
    stage.prepare_as(json!({}), true).await.unwrap();
    let words = not_ready(stage.page(None).await);
    assert!(
        words.contains("no subscription to Audit.Exchange") && words.contains("run the service once"),
        "{words}"
    );
    assert_eq!(asked(&stage), [1, 0, 0]);
}

#[tokio::test]
async fn a_source_that_was_not_prepared_starts_nothing() {
    let mut stage = stage(json!([]), empty()).await;
    not_ready(stage.page(None).await);
    assert_eq!(asked(&stage), [1, 0, 0]);
}

#[tokio::test]
async fn starts_are_a_quarter_of_an_hour_apart_over_all_invocations() {
    let refused = || [Reply::error(500, "AF50000", "An internal error occurred.")];
    let mut first = stage(json!([]), empty()).await;
    first.api.answers_to(START, refused());
    first.prepare(json!({})).await.unwrap();
    let error = fatal(first.page(None).await);
    assert!(error.code == 498 && error.message.contains("/subscriptions/start"), "{error}");
    assert_eq!(asked(&first), [1, 1, 0], "a start is not repeated, whatever came of it");

    let memo: Value = first.source.memo().into();
    let mut cold = stage(json!([]), empty()).await;
    cold.prepare(memo.clone()).await.unwrap();
    cold.clock.advance(14 * 60);
    let words = not_ready(cold.page(None).await);
    assert!(words.contains("2026-11-20T12:15:00Z"), "{words}");
    assert_eq!(asked(&cold), [1, 0, 0]);
    cold.clock.advance(60);
    cold.page(None).await.unwrap();
    assert_eq!(asked(&cold), [2, 1, 1]);
}

#[tokio::test]
async fn a_start_that_may_not_be_made_is_the_same_error_until_it_is_tried_again() {
    let refused = || [Reply::error(401, "AF10001", "The permission set (ActivityFeed.Read) is missing.")];
    let mut first = stage(json!([]), empty()).await;
    first.api.answers_to(START, refused());
    first.prepare(json!({})).await.unwrap();
    let told = fatal(first.page(None).await);
    assert!(told.code == 102 && told.message.contains("ActivityFeed.Read"), "{told}");

    let mut cold = stage(json!([]), empty()).await;
    cold.prepare(first.source.memo().into()).await.unwrap();
    cold.clock.advance(14 * 60);
    assert_eq!(fatal(cold.page(None).await), told);
    assert_eq!(asked(&cold), [1, 0, 0]);
    cold.clock.advance(60);
    cold.page(None).await.unwrap();
    assert_eq!(asked(&cold), [2, 1, 1]);
}

#[tokio::test]
async fn an_attempt_is_on_record_even_when_no_answer_comes() {
    let mut stage = stage(json!([]), empty()).await;
    stage.api.answers_to(START, [Reply::silence()]);
    stage.prepare(json!({})).await.unwrap();
    stage.page_within(None, 300).await.unwrap_err();
    assert_eq!(stage.source.memo()["subscription"]["attempted_at"], "2026-11-20T12:00:00Z");
}

#[tokio::test]
async fn a_listing_without_a_subscription_is_asked_for_once_more_after_a_start() {
    for code in ["AF20022", "AF20023"] {
        let mut stage =
            stage(json!([]), [Reply::error(400, code, "No subscription."), Reply::body("[]")]).await;
        stage.prepare(confirmed()).await.unwrap();
        stage.page(None).await.unwrap();
        assert_eq!(asked(&stage), [1, 1, 2], "{code}");
    }
}

#[tokio::test]
async fn a_subscription_that_is_not_served_yet_is_waited_for() {
    let mut stage = stage(enabled(), [Reply::error(400, "AF20022", "No subscription.")]).await;
    stage
        .prepare(json!({"subscription": {
            "confirmed_at": "2026-11-20T11:55:00Z", "started_at": "2026-11-20T11:55:00Z",
            "attempted_at": "2026-11-20T11:55:00Z"}}))
        .await
        .unwrap();
    let words = not_ready(stage.page(None).await);
    assert!(
        words.contains("started at 2026-11-20T11:55:00Z")
            && words.contains("12 hours")
            && words.contains("AF20022"),
        "{words}"
    );
    assert_eq!(asked(&stage), [1, 0, 2]);
}

#[tokio::test]
async fn a_start_that_is_refused_is_an_error_that_names_the_permission() {
    let mut stage = stage(json!([]), empty()).await;
    stage.api.answers_to(START, [Reply::error(401, "AF10001", "The permission set is not enough.")]);
    stage.prepare(json!({})).await.unwrap();
    let error = fatal(stage.page(None).await);
    assert_eq!(error.code, 102);
    assert!(error.message.contains("ActivityFeed.Read"), "{error}");
    assert_eq!(asked(&stage), [1, 1, 0]);
}

#[tokio::test]
async fn a_list_that_cannot_be_had_stops_the_first_run_only() {
    let mut fresh = stage(json!([]), empty()).await;
    fresh.api.answers_to(LIST, [Reply::error(500, "", "")]);
    fresh.prepare(json!({})).await.unwrap();
    assert_eq!(fatal(fresh.page(None).await).code, 498);

    let mut known = stage(json!([]), empty()).await;
    known.api.answers_to(LIST, [Reply::error(500, "", "")]);
    known.prepare(confirmed()).await.unwrap();
    known.login.answers([Reply::token("t2")]);
    known.clock.advance(7 * 3600);
    known.page(None).await.unwrap();
    assert_eq!(known.api.count_of(START), 0);
}
