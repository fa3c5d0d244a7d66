//! Listing pages of a content feed: what is asked, what is made of the answers.

use collector::ports::{Source as _, SourceError};
use serde_json::json;

use crate::support::{FEED, Reply, Server, Stage, URI_RETRY, confirmed, fast, fatal, window};

fn entry(stage: &Stage, id: &str) -> String {
    json!({
        "contentType": "Audit.Exchange",
        "contentId": id,
        "contentUri": format!("{}/api/v1.0/contoso/activity/feed/audit/{id}", stage.api.url),
        "contentCreated": "2026-11-20T10:30:00.123Z",
        "contentExpiration": "2026-11-27T10:30:00.123Z",
    })
    .to_string()
}

fn listing(entries: &[String], next: Option<(&str, &str)>) -> Reply {
    let headers: Vec<(&str, &str)> = next.into_iter().collect();
    Reply::new(200, &headers, format!("[{}]", entries.join(",")))
}

#[tokio::test]
async fn a_window_is_listed_page_by_page_with_the_publisher_on_each() {
    let mut stage = Stage::feed([]).await;
    let link = format!(
        "{}/api/v1/contoso/activity/feed/subscriptions/content?contenttype=Audit.Exchange&nextpage=2026$2027$na001",
        stage.api.url
    );
    let (first, second) = (entry(&stage, "a$1"), entry(&stage, "b$2"));
    stage.api.answers([listing(&[first], Some(("NEXTpageURI", &link))), listing(&[second], None)]);
    let page = stage.page(None).await.unwrap();
    assert_eq!((page.blobs.len(), page.records.len()), (1, 0));
    assert_eq!(page.blobs[0].id, "a$1");
    assert!(page.blobs[0].uri.ends_with("/audit/a$1"));
    assert_eq!(page.next.as_deref(), Some(link.as_str()));
    assert!(page.warnings.is_empty(), "{:?}", page.warnings);
    let last = stage.page(page.next.as_deref()).await.unwrap();
    assert_eq!((last.blobs[0].id.as_str(), last.next), ("b$2", None));

    let seen = stage.api.seen();
    insta::assert_snapshot!(stage.api.without_port(&seen[0].head), @r"
    GET /api/v1.0/contoso/activity/feed/subscriptions/content?contentType=Audit.Exchange&startTime=2026-11-20T10:00:00&endTime=2026-11-20T11:00:00&PublisherIdentifier=contoso HTTP/1.1
    accept: application/json
    authorization: Bearer t0ken
    user-agent: microsoft-security-collector/VERSION
    accept-encoding: gzip
    host: HOST
    ");
    assert_eq!(
        seen[1].line(),
        "GET /api/v1/contoso/activity/feed/subscriptions/content?contenttype=Audit.Exchange\
         &nextpage=2026$2027$na001&PublisherIdentifier=contoso HTTP/1.1"
    );
    assert_eq!(stage.source.stats().requests, 2);
}

#[tokio::test]
async fn a_foreign_page_link_is_never_asked_and_ends_the_walk() {
    let foreign = Server::start().await;
    let link = format!("{}/content?nextpage=1", foreign.url);
    let mut stage = Stage::feed([]).await;
    stage.api.answers([listing(&[], Some(("NextPageUrl", &link)))]);
    for outcome in [stage.page(None).await, stage.page(Some(&link)).await] {
        let text = fatal(outcome).to_string();
        assert!(text.starts_with("[300] ") && text.contains("foreign link"), "{text}");
    }
    assert_eq!((foreign.count(), stage.api.count()), (0, 1));
}

#[tokio::test]
async fn a_circle_of_page_links_ends_the_walk() {
    let mut stage = Stage::feed([]).await;
    let link = format!("{}/content?nextpage=1", stage.api.url);
    stage
        .api
        .answers([listing(&[], Some(("NextPageUri", &link))), listing(&[], Some(("NextPageUri", &link)))]);
    stage.page(None).await.unwrap();
    let text = fatal(stage.page(Some(&link)).await).to_string();
    assert!(text.starts_with("[300] ") && text.contains("circle"), "{text}");
}

#[tokio::test]
async fn what_may_pass_is_asked_again() {
    let stumbles = [
        Reply::error(500, "AF50000", "An internal error occurred."),
        Reply::error(200, "AF50000", "An internal error occurred."),
        Reply::error(503, "", ""),
        Reply::error(200, "AF429", "Too many requests."),
        Reply::hang_up(),
        Reply::body("[{"),
    ];
    for stumble in stumbles {
        let mut stage = Stage::feed([stumble.clone(), Reply::body("[]")]).await;
        stage.page(None).await.unwrap();
        assert_eq!(stage.api.count(), 2, "{stumble:?}");
    }
}

#[tokio::test]
async fn refusals_of_a_window_or_a_link_are_told_by_what_can_be_done() {
    let refused = |code: &str| Reply::error(400, code, "The request is invalid.");
    for (code, told) in [("AF20031", "expired"), ("AF20030", "expired"), ("AF20055", "expired")] {
        let mut stage = Stage::feed([refused(code)]).await;
        let link = format!("{}/content?nextpage=1", stage.api.url);
        let error = stage.page(Some(&link)).await.unwrap_err();
        assert!(matches!(error, SourceError::LinkExpired(_)), "{code} should be {told}: {error:?}");
    }
    for code in ["AF20030", "AF20055"] {
        let mut young = Stage::feed([refused(code)]).await;
        let error = young.page(None).await.unwrap_err();
        assert!(
            matches!(&error, SourceError::TooHeavy(error) if error.message.contains("Audit.Exchange from 2026")),
            "{error:?}"
        );
        let mut old = Stage::feed([refused(code)]).await;
        old.login.answers([Reply::token("t2")]);
        // Six days and 23:30 hours after the window's start.
        old.clock.advance(167 * 3600 + 1800 - 2 * 3600);
        old.prepare(json!({"subscription": {"confirmed_at": "2026-11-27T09:00:00Z"}})).await.unwrap();
        let error = old.page(None).await.unwrap_err();
        let later = window().from + jiff::SignedDuration::from_mins(5);
        assert!(
            matches!(&error, SourceError::StartTooOld { minimum: Some(minimum), .. } if *minimum == later),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_tenant_that_is_not_set_up_is_told_with_the_remedy() {
    let table = [
        (Reply::error(400, "AF20011", "Tenant not known."), "turn on auditing"),
        (
            Reply::error(400, "AF20010", "The tenant ID passed in the URL does not match."),
            "credentials.tenant_id",
        ),
        (
            Reply::new(
                500,
                &[],
                "{'error':{'code':'','message':'Microsoft.Office.Compliance.DataServiceException: Tenant 7 does not exist.'}}",
            ),
            "turn on auditing",
        ),
        (
            Reply::error(
                401,
                "AF10001",
                "The permission set () sent in the request did not include the expected permission ActivityFeed.ReadDlp.",
            ),
            "grant the application permission ActivityFeed.ReadDlp and",
        ),
        (
            Reply::error(403, "AF10001", "The permission set (ActivityFeed.Read) is not enough."),
            "grant the application permission ActivityFeed.Read and",
        ),
        (
            Reply::error(401, "InvalidAuthenticationTokenAudience", "The audience is invalid."),
            "correct override_scope_value and override_base_url",
        ),
    ];
    for (reply, words) in table {
        let mut stage = Stage::feed([reply.clone(), reply.clone()]).await;
        stage.login.answers([Reply::token("t2")]);
        let error = fatal(stage.page(None).await);
        assert_eq!((error.error_type.as_str(), error.code), ("SetupError", 102), "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_listing_is_final() {
    for (body, words) in [
        ("{\"value\":[]}", "an array of content blobs was expected"),
        ("<html>hidden-words</html>", "an HTML or XML page"),
        (
            "[{\"contentType\":\"Audit.Exchange\"}]",
            "entry 0 of the listing has neither contentUri nor contentId",
        ),
    ] {
        let mut stage = Stage::feed([Reply::body(body)]).await;
        let error = fatal(stage.page(None).await);
        assert_eq!(error.code, 300, "{error}");
        assert!(error.message.contains(words) && !error.message.contains("hidden-words"), "{error}");
    }
}

#[tokio::test]
async fn the_retry_service_lists_nothing() {
    let mut stage = Stage::with(fast(), |settings| settings.service = &URI_RETRY).await;
    stage.login.answers([Reply::token("t0ken")]);
    stage.prepare(json!({})).await.unwrap();
    let page = stage.page(None).await.unwrap();
    assert_eq!((page.blobs.len(), page.next), (0, None));
    assert_eq!(stage.api.count(), 0);
}

#[tokio::test]
async fn the_used_budget_of_a_minute_is_left_behind_and_honoured_by_a_cold_process() {
    let tight = |settings: &mut collector::settings::Settings| {
        settings.service = &FEED;
        settings.rate.requests = 2;
        settings.rate.per = jiff::SignedDuration::from_hours(1);
    };
    let mut first = Stage::with(fast(), tight).await;
    first.login.answers([Reply::token("t0ken")]);
    first.api.answers([Reply::body("[]"), Reply::body("[]")]);
    first.prepare(confirmed()).await.unwrap();
    first.page(None).await.unwrap();
    first.page(None).await.unwrap();
    let memo = first.source.memo();
    assert_eq!(memo["budget"]["requests"], 2);

    let mut cold = Stage::with(fast(), tight).await;
    let refused = cold.prepare(memo.into()).await.unwrap_err();
    assert!(matches!(refused, SourceError::Throttled { .. }), "{refused:?}");
    assert_eq!((cold.login.count(), cold.api.count()), (0, 0));
}
