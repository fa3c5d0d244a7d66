//! Requests as they go out, pages as they come in.

use collector::ports::Source as _;
use collector::settings::AdditionalFilter;

use crate::support::{Reply, Server, Stage, fatal, gzip, page_body};

#[tokio::test]
async fn the_first_and_the_next_request_ask_for_the_window_and_repeat_the_headers() {
    let mut stage = Stage::open().await;
    let link = format!("{}/beta/auditLogs/signIns?$filter=x%20y&$skiptoken=a%2Bb_1000", stage.api.url);
    stage.login.answers([Reply::token("t0ken")]);
    stage.api.answers([Reply::page(&["1"], Some(&link)), Reply::page(&["2"], None)]);
    let first = stage.page(None).await.unwrap();
    let second = stage.page(first.next.as_deref()).await.unwrap();
    assert_eq!((first.records[0].as_ref(), second.records[0].as_ref()), (&b"1"[..], &b"2"[..]));
    assert_eq!((first.next, second.next), (Some(link), None));

    let seen = stage.api.seen();
    insta::assert_snapshot!(stage.api.without_port(&seen[0].head), @r"
    GET /beta/auditLogs/signIns?$filter=(createdDateTime%20ge%202026-11-20T10:00:00Z%20and%20createdDateTime%20le%202026-11-20T11:00:00Z)%20and%20(signInEventTypes/any(t:%20t%20eq%20%27interactiveUser%27))&$orderby=createdDateTime%20asc&$top=1000 HTTP/1.1
    accept: application/json
    prefer: include-unknown-enum-members
    authorization: Bearer t0ken
    user-agent: microsoft-security-collector/VERSION
    accept-encoding: gzip
    host: HOST
    ");
    insta::assert_snapshot!(stage.api.without_port(&seen[1].head), @r"
    GET /beta/auditLogs/signIns?$filter=x%20y&$skiptoken=a%2Bb_1000 HTTP/1.1
    accept: application/json
    prefer: include-unknown-enum-members
    authorization: Bearer t0ken
    user-agent: microsoft-security-collector/VERSION
    accept-encoding: gzip
    host: HOST
    ");
    assert_eq!(stage.source.stats().requests, 2);
}

#[tokio::test]
async fn an_additional_filter_is_anded_to_the_others() {
    let mut stage = Stage::with(crate::support::fast(), |settings| {
        settings.additional_filter = Some(AdditionalFilter::Clause("status/errorCode ne 0".to_owned()));
    })
    .await;
    stage.login.answers([Reply::token("t0ken")]);
    stage.api.answers([Reply::page(&[], None)]);
    stage.page(None).await.unwrap();
    let head = stage.api.seen()[0].head.clone();
    assert!(head.contains("%20and%20(status/errorCode%20ne%200)&$orderby"), "{head}");
}

#[tokio::test]
async fn records_keep_every_byte() {
    let record = "{ \"b\" : 1.0 , \"a\":\"\\u00e9 é\\n\" }";
    let mut stage = Stage::serving([Reply::page(&[record, "[]", "null"], None)]).await;
    let page = stage.page(None).await.unwrap();
    assert_eq!(page.records, [record, "[]", "null"]);
}

#[tokio::test]
async fn a_record_that_is_still_held_outlives_the_pages_after_it() {
    let texts: Vec<String> =
        ["a", "b", "c", "d"].iter().map(|letter| format!("\"{}\"", letter.repeat(9_000))).collect();
    let mut stage = Stage::open().await;
    stage.login.answers([Reply::token("t0ken")]);
    stage.api.answers([
        Reply::page(&[&texts[0], &texts[1]], None),
        Reply::page(&[&texts[1], &texts[2]], None).cut_by(5_000),
        Reply::page(&[&texts[2]], None),
        Reply::page(&[&texts[3], &texts[0], &texts[1]], None),
    ]);
    let held = stage.page(None).await.unwrap().records.remove(1);
    let second = stage.page(None).await.unwrap();
    assert_eq!(second.records, [&texts[2]]);
    drop(second);
    let third = stage.page(None).await.unwrap();
    assert_eq!(third.records, [&texts[3], &texts[0], &texts[1]]);
    assert_eq!(held, texts[1]);
}

#[tokio::test]
async fn a_compressed_page_is_read_like_a_plain_one() {
    let body = gzip(page_body(&["{\"id\":1}"], None).as_bytes());
    let mut stage = Stage::serving([Reply::new(200, &[("content-encoding", "gzip")], body)]).await;
    assert_eq!(stage.page(None).await.unwrap().records, ["{\"id\":1}"]);
    assert!(stage.api.seen()[0].header("accept-encoding").unwrap().contains("gzip"));
}

#[tokio::test]
async fn a_foreign_link_is_never_asked_and_ends_the_walk() {
    let foreign = Server::start().await;
    let link = format!("{}/beta/auditLogs/signIns?$skiptoken=a", foreign.url);
    let mut stage = Stage::serving([Reply::page(&["1"], Some(&link))]).await;
    let received = fatal(stage.page(None).await);
    let followed = fatal(stage.page(Some(&link)).await);
    for error in [received, followed] {
        let text = error.to_string();
        assert!(text.starts_with("[300] ") && text.contains("foreign link"), "{text}");
        assert!(!text.contains("skiptoken"), "{text}");
    }
    assert_eq!(foreign.count(), 0);
    assert_eq!(stage.api.count(), 1);
}

#[tokio::test]
async fn a_circle_of_links_ends_the_walk() {
    let mut stage = Stage::open().await;
    let links = ["a", "b", "a"].map(|token| format!("{}/x?$skiptoken={token}", stage.api.url));
    stage.login.answers([Reply::token("t0ken")]);
    stage.api.answers(links.iter().map(|link| Reply::page(&[], Some(link))));
    stage.page(None).await.unwrap();
    stage.page(Some(&links[0])).await.unwrap();
    let error = fatal(stage.page(Some(&links[1])).await).to_string();
    assert!(error.starts_with("[300] ") && error.contains("circle"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start().await;
    let mut stage = Stage::serving([Reply::new(302, &[("location", elsewhere.url.as_str())], "")]).await;
    let error = fatal(stage.page(None).await);
    assert_eq!(error.code, 302);
    assert_eq!(elsewhere.count(), 0);
}

#[tokio::test]
async fn what_an_answer_says_beside_its_records_is_a_warning() {
    let deprecated = [("deprecation", "@1796083200"), ("sunset", "Fri, 31 Dec 2027 00:00:00 GMT")];
    let partial = [("warning", "199 - \"Microsoft/WDATP/401/228\"")];
    let body = page_body(&["1"], None);
    let mut stage = Stage::serving([
        Reply::new(200, &deprecated, &body),
        Reply::new(200, &deprecated, &body),
        Reply::new(206, &partial, &body),
    ])
    .await;
    let first = stage.page(None).await.unwrap().warnings;
    assert!(first.len() == 1 && first[0].contains("sunset Fri, 31 Dec 2027"), "{first:?}");
    stage.next_invocation();
    assert!(stage.page(None).await.unwrap().warnings.is_empty(), "a process tells it once");
    let partial = stage.page(None).await.unwrap();
    assert_eq!((partial.records.as_slice(), partial.missing), (&["1".into()][..], None));
    assert!(partial.warnings[0].contains("provider WDATP refuses with 401"), "{:?}", partial.warnings);
}

#[tokio::test]
async fn a_body_over_the_limit_is_too_heavy_even_when_it_came_small() {
    let tuning = microsoft::Tuning { body_limit: 100_000, ..crate::support::fast() };
    let bomb = gzip(format!("{{\"value\":[{}1]}}", "1,".repeat(1_000_000)).as_bytes());
    assert!(bomb.len() < 100_000);
    let plain = page_body(&[&"1".repeat(100_000)], None);
    for reply in [Reply::new(200, &[("content-encoding", "gzip")], bomb), Reply::new(200, &[], plain)] {
        let mut stage = Stage::with(tuning.clone(), |_| ()).await;
        stage.login.answers([Reply::token("t0ken")]);
        stage.api.answers([reply]);
        let error = stage.page(None).await.unwrap_err();
        assert!(
            matches!(&error, collector::ports::SourceError::TooHeavy(error) if error.code == 498),
            "{error:?}"
        );
        assert_eq!(stage.api.count(), 1, "the same request would have the same answer");
    }
}
