//! A token of the configuration: it is sent as it is, nobody logs in, and a refusal is told at once.

use collector::ports::{Source as _, SourceError};
use collector::settings::Credential;
use microsoft::{Microsoft, check_credentials};
use serde_json::json;

use crate::support::{Reply, Stage, fast, fatal, settings};

const TOKEN: &str = "p0rtal-t0ken+/=";

async fn stage(replies: impl IntoIterator<Item = Reply>) -> Stage {
    let stage =
        Stage::with(fast(), |settings| settings.connection.credential = Credential::Token(TOKEN.into()))
            .await;
    stage.api.answers(replies);
    stage
}

#[tokio::test]
async fn it_goes_to_the_api_with_every_request_and_nobody_logs_in() {
    let mut stage =
        stage([Reply::error(500, "", ""), Reply::page(&["1"], None), Reply::page(&["2"], None)]).await;
    stage.prepare(json!({})).await.unwrap();
    assert_eq!((stage.login.count(), stage.api.count()), (0, 0), "there is nothing to prepare");
    stage.page(None).await.unwrap();
    stage.next_invocation();
    stage.clock.advance(100_000);
    stage.page(None).await.unwrap();
    assert_eq!(stage.login.count(), 0);
    for seen in stage.api.seen() {
        assert_eq!(seen.header("authorization"), Some("Token p0rtal-t0ken+/="));
    }
    assert_eq!((stage.api.count(), stage.source.stats().requests), (3, 1));
}

#[tokio::test]
async fn a_refusal_is_told_at_once_and_never_shows_it() {
    let body = format!(r#"{{"detail":"Invalid token {TOKEN}."}}"#);
    for status in [401, 403] {
        let mut stage = stage([Reply::new(status, &[], &body)]).await;
        let error = fatal(stage.page(None).await);
        assert_eq!((error.error_type.as_str(), error.code), ("SetupError", 102));
        assert!(error.message.contains(&format!("{status}: Invalid token ….")), "{error}");
        assert_eq!(
            (stage.login.count(), stage.api.count()),
            (0, 1),
            "the same token again would help nobody"
        );
    }
    let mut stage = stage([Reply::page(&["1"], None), Reply::new(401, &[], "<html>")]).await;
    stage.page(None).await.unwrap();
    let error = fatal(stage.page(None).await);
    assert_eq!((error.error_type.as_str(), error.code), ("ApiError", 401), "the API has taken it before");
    assert_eq!(stage.api.count(), 2);
}

#[tokio::test]
async fn it_stays_with_the_configured_origin() {
    let mut stage = stage([]).await;
    let elsewhere = stage.login.url.clone() + "/page";
    let error = fatal(stage.page(Some(&elsewhere)).await);
    assert_eq!((error.error_type.as_str(), error.code), ("PullError", 300));
    assert_eq!((stage.login.count(), stage.api.count()), (0, 0));
}

#[test]
fn one_that_cannot_be_sent_is_refused_before_the_first_request_and_not_shown() {
    for (token, is_good) in [(TOKEN, true), ("hunter2\n", false), ("hun\tter2", false), ("hünter2", false)] {
        let mut settings = settings("https://api.example", "https://login.example");
        settings.connection.credential = Credential::Token(token.into());
        let (made, checked) = (Microsoft::new(&settings).map(drop), check_credentials(&settings).map(drop));
        assert_eq!(made, checked);
        let Err(error) = made else {
            assert!(is_good, "{token}");
            continue;
        };
        assert_eq!((error.error_type.as_str(), error.code), ("InitVariablesError", 1));
        assert!(error.message.contains("credentials.files_access_token"), "{error}");
        assert!(!is_good && !error.message.contains("ter2"), "{error}");
    }
}

#[tokio::test]
async fn patience_that_a_body_names_is_kept_to_whatever_the_status() {
    let body = r#"{"detail":"Request was throttled. Expected available in 60.2 seconds."}"#;
    for status in [200, 400, 401, 403, 429, 500, 503] {
        let mut stage = stage([Reply::new(status, &[], body)]).await;
        match stage.page_within(None, 30_000).await {
            Err(SourceError::Throttled { until }) => assert_eq!(until, stage.deadline(61_000), "{status}"),
            other => panic!("{status}: {other:?}"),
        }
        assert_eq!((stage.api.count(), stage.source.stats().throttled), (1, 1), "{status}");
    }
}

#[tokio::test]
async fn a_body_that_says_throttled_is_waited_for_and_asked_for_again() {
    for status in [200, 403, 429, 502] {
        let mut stage = stage([Reply::new(status, &[], "throttled"), Reply::page(&["1"], None)]).await;
        assert_eq!(stage.page(None).await.unwrap().records.len(), 1, "{status}");
        assert_eq!(stage.source.stats().throttled, 1, "{status}");
    }
}

#[tokio::test]
async fn a_filter_that_is_refused_by_its_shape_is_told_as_such() {
    let body = r#"{"filters":[{"error":"x is not valid","errorMessageCode":"CONSOLE_FORMS_NOT_VALID_VALUE"}],"error":true}"#;
    for status in [200, 400] {
        let mut stage = stage([Reply::new(status, &[], body)]).await;
        let error = fatal(stage.page(None).await);
        assert_eq!((error.error_type.as_str(), error.code), ("PullError", 301), "{error}");
        assert!(error.message.contains("CONSOLE_FORMS_NOT_VALID_VALUE: x is not valid"), "{error}");
        stage.api.answers([Reply::new(status, &[], body)]);
        let link = format!("{}/beta/auditLogs/signIns?$skiptoken=1", stage.api.url);
        let outcome = stage.page(Some(&link)).await;
        assert!(matches!(outcome, Err(SourceError::LinkExpired(_))), "{outcome:?}");
        assert_eq!(stage.api.count(), 2, "the same filter again would help nobody");
    }
}
