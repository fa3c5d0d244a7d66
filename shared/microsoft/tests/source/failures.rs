//! What is tried again, what is not, and how time bounds it.

use std::time::Duration;

use collector::ports::{Source as _, SourceError, SourceStats};
use jiff::SignedDuration;
use microsoft::Tuning;
use serde_json::json;

use crate::support::{Reply, Stage, fast, fatal};

const NO_LICENCE: &str = "Authentication_RequestFromNonPremiumTenantOrB2CTenant";

#[tokio::test]
async fn what_may_pass_is_tried_again_with_the_same_request() {
    let stumbles = [
        Reply::error(429, "UnknownError", ""),
        Reply::error(500, "", ""),
        Reply::error(502, "", ""),
        Reply::error(503, "", ""),
        Reply::error(504, "", ""),
        Reply::error(509, "", ""),
        Reply::error(403, NO_LICENCE, "Neither tenant is B2C or tenant doesn't have premium license"),
        Reply::hang_up(),
        Reply::page(&["1", "2"], None).cut_by(4),
        Reply::new(200, &[], "{\"value\":[1,"),
    ];
    for stumble in stumbles {
        let mut stage = Stage::serving([stumble.clone(), Reply::page(&["1"], None)]).await;
        assert_eq!(stage.page(None).await.unwrap().records, ["1"], "{stumble:?}");
        let heads: Vec<String> = stage.api.seen().into_iter().map(|seen| seen.head).collect();
        assert_eq!(heads.len(), 2, "{stumble:?}");
        assert_eq!(heads[0], heads[1]);
        assert_eq!(stage.source.stats().requests, 2);
    }
}

#[tokio::test]
async fn after_three_repeats_the_last_failure_is_told() {
    let table = [
        (Reply::error(429, "", ""), "fatal 429"),
        (Reply::error(500, "", ""), "fatal 498"),
        (Reply::error(503, "", ""), "fatal 498"),
        (Reply::error(504, "", ""), "heavy 498"),
        (Reply::error(403, NO_LICENCE, ""), "fatal 102"),
        (Reply::hang_up(), "fatal 498"),
        (Reply::page(&["1"], None).cut_by(1), "fatal 300"),
        (Reply::new(200, &[], "{\"value\":["), "fatal 300"),
    ];
    for (reply, expected) in table {
        let mut stage = Stage::serving(std::iter::repeat_n(reply.clone(), 4)).await;
        let told = match stage.page(None).await.unwrap_err() {
            SourceError::Fatal(error) => format!("fatal {}", error.code),
            SourceError::TooHeavy(error) => format!("heavy {}", error.code),
            other => format!("{other:?}"),
        };
        assert_eq!(told, expected, "{reply:?}");
        assert_eq!(stage.api.count(), 4, "{reply:?}");
    }
}

#[tokio::test]
async fn answers_that_ask_for_patience_are_counted() {
    let mut stage = Stage::serving([
        Reply::error(429, "", ""),
        Reply::error(503, "", ""),
        Reply::new(503, &[("retry-after", "1")], ""),
        Reply::page(&[], None),
    ])
    .await;
    stage.page(None).await.unwrap();
    let counted = |stats: SourceStats| (stats.requests, stats.throttled);
    assert_eq!(counted(stage.source.stats()), (4, 2));
    stage.next_invocation();
    assert_eq!(counted(stage.source.stats()), (0, 0));
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_becomes_the_instant_of_the_next_request() {
    let date = "Fri, 20 Nov 2026 12:02:00 GMT";
    for (status, wish, seconds) in
        [(429, "60", 60), (429, "315", 315), (503, "60", 60), (504, "90", 90), (429, date, 120)]
    {
        let mut stage = Stage::serving([Reply::new(status, &[("retry-after", wish)], "")]).await;
        let until = stage.deadline(seconds * 1000);
        assert_eq!(stage.page(None).await.unwrap_err(), SourceError::Throttled { until }, "{status} {wish}");
        assert_eq!(stage.api.count(), 1);
    }
}

#[tokio::test]
async fn a_backoff_beyond_the_deadline_is_throttled_too_but_what_is_too_heavy_stays_so() {
    let wait = Duration::from_secs(20);
    let slow = Tuning { retry_base: wait, throttle_base: wait, ..Tuning::default() };
    for (status, heavy) in [(429, false), (503, false), (500, false), (504, true)] {
        let mut stage = Stage::with(slow.clone(), |_| ()).await;
        stage.login.answers([Reply::token("t0ken")]);
        stage.api.answers([Reply::error(status, "", "")]);
        let earliest = stage.deadline(5_000);
        match stage.page_within(None, 5_000).await.unwrap_err() {
            SourceError::Throttled { until } => assert!(!heavy && until > earliest, "{status} {until}"),
            SourceError::TooHeavy(_) => assert!(heavy, "{status}"),
            other => panic!("{other:?} after {status}"),
        }
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_same_request_made_again() {
    let mut stage = Stage::open().await;
    stage.login.answers([Reply::token("old"), Reply::token("new")]);
    stage.api.answers([Reply::error(401, "InvalidAuthenticationToken", ""), Reply::page(&["1"], None)]);
    stage.page(None).await.unwrap();
    let seen = stage.api.seen();
    assert_eq!(seen[0].head.replace("old", "new"), seen[1].head);
    assert_eq!(stage.source.stats().requests, 2);
}

#[tokio::test]
async fn a_second_refusal_of_the_token_is_final() {
    let refused = || Reply::error(401, "InvalidAuthenticationToken", "Access token validation failure.");
    let mut stage = Stage::open().await;
    stage.login.answers([Reply::token("a"), Reply::token("b"), Reply::token("c")]);
    stage.api.answers([refused(), refused(), Reply::page(&[], None)]);
    let error = fatal(stage.page(None).await);
    assert_eq!((error.error_type.as_str(), error.code), ("SetupError", 102));
    assert!(error.message.contains("AuditLog.Read.All") && error.message.contains("r-1"), "{error}");
    // The refused token is forgotten: a permission granted meanwhile is in the next one.
    stage.page(None).await.unwrap();
    assert_eq!(stage.login.count(), 3);
    stage.login.answers([Reply::token("d")]);
    stage.api.answers([refused(), refused()]);
    let error = fatal(stage.page(None).await);
    assert_eq!((error.error_type.as_str(), error.code), ("ApiError", 401));
}

#[tokio::test]
async fn a_missing_permission_is_asked_for_with_a_new_token_next_time() {
    let mut stage = Stage::open().await;
    stage.login.answers([Reply::token("without"), Reply::token("with")]);
    stage
        .api
        .answers([Reply::error(403, "Authentication_MSGraphPermissionMissing", ""), Reply::page(&[], None)]);
    assert_eq!(fatal(stage.page(None).await).code, 102);
    stage.next_invocation();
    stage.page(None).await.unwrap();
    assert_eq!(stage.api.seen()[1].header("authorization"), Some("Bearer with"));
}

#[tokio::test]
async fn an_answer_that_is_no_page_is_final_and_described_but_not_shown() {
    let table = [
        ("<html><body>hidden-words</body></html>", "an HTML or XML page"),
        ("{\"hidden-words\":1}", "member value is missing"),
        ("hidden-words", "not JSON at byte 1"),
    ];
    for (body, words) in table {
        let mut stage = Stage::serving([Reply::new(200, &[("request-id", "r-7")], body)]).await;
        let error = fatal(stage.page(None).await).to_string();
        let expected =
            format!("[300] {}/beta/auditLogs/signIns gave no page: {words} (request id r-7)", stage.api.url);
        assert_eq!(error, expected);
        assert_eq!(stage.api.count(), 1);
    }
}

#[tokio::test]
async fn only_the_first_contact_speaks_of_the_setup() {
    let mut stage =
        Stage::serving([Reply::error(404, "", ""), Reply::page(&[], None), Reply::error(404, "", "")]).await;
    let first = fatal(stage.page(None).await);
    assert_eq!((first.error_type.as_str(), first.code), ("SetupError", 102));
    stage.page(None).await.unwrap();
    let later = fatal(stage.page(None).await);
    assert_eq!((later.error_type.as_str(), later.code), ("ApiError", 404));
    assert!(!later.message.contains("$filter"), "the query may hold what is not for the log: {later}");
}

#[tokio::test]
async fn a_link_that_is_not_accepted_any_more_is_told_as_such() {
    for reply in
        [Reply::error(400, "", "Invalid Skip Token"), Reply::error(410, "", ""), Reply::error(404, "", "")]
    {
        let mut stage = Stage::serving([reply]).await;
        let link = format!("{}/x?$skiptoken=a", stage.api.url);
        let error = stage.page(Some(&link)).await.unwrap_err();
        assert!(matches!(error, SourceError::LinkExpired(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_deadline_during_a_request_is_no_error() {
    let mut stage = Stage::serving([Reply::silence()]).await;
    stage.prepare(json!({})).await.unwrap();
    assert_eq!(stage.page_within(None, 100).await.unwrap_err(), SourceError::OutOfTime);
    assert_eq!(stage.source.stats().requests, 1);
}

#[tokio::test]
async fn after_the_deadline_nothing_is_asked() {
    let mut stage = Stage::serving([]).await;
    stage.prepare(json!({})).await.unwrap();
    assert_eq!(stage.page_within(None, 0).await.unwrap_err(), SourceError::OutOfTime);
    assert_eq!((stage.api.count(), stage.source.stats().requests), (0, 0));
}

#[tokio::test]
async fn a_query_that_never_answers_is_too_heavy() {
    let impatient = Tuning { attempt_timeout: Duration::from_millis(50), ..fast() };
    let mut stage = Stage::with(impatient, |_| ()).await;
    stage.login.answers([Reply::token("t0ken")]);
    stage.api.answers(std::iter::repeat_n(Reply::silence(), 4));
    let error = stage.page(None).await.unwrap_err();
    assert!(
        matches!(&error, SourceError::TooHeavy(error) if error.message.contains("no complete answer")),
        "{error:?}"
    );
    assert_eq!(stage.source.stats().requests, 4);
}

#[tokio::test]
async fn a_heavy_query_is_told_even_when_the_deadline_comes_in_its_repeat() {
    let mut stage = Stage::serving([Reply::error(504, "", ""), Reply::silence()]).await;
    let error = stage.page_within(None, 500).await.unwrap_err();
    assert!(matches!(error, SourceError::TooHeavy(_)), "{error:?}");
}

#[tokio::test]
async fn a_turn_beyond_the_deadline_sends_nothing() {
    let mut stage = Stage::with(fast(), |settings| {
        settings.rate.requests = 1;
        settings.rate.per = SignedDuration::from_hours(1);
    })
    .await;
    stage.login.answers([Reply::token("t0ken")]);
    stage.api.answers([Reply::page(&[], None)]);
    stage.page(None).await.unwrap();
    stage.next_invocation();
    let earliest = stage.deadline(3_000_000);
    match stage.page(None).await.unwrap_err() {
        SourceError::Throttled { until } => {
            assert!(until > earliest, "the pace outlives the invocation: {until}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(stage.api.count(), 1);
}
