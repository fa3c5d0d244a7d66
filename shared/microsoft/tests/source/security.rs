//! The security services of Graph: a boundary that moves, the newest days, whole lists, answers in part, retirement.

use collector::ports::{Page, Source as _, SourceError};
use collector::service::{Bounds, Paging, Query, Service};
use collector::settings::AdditionalFilter;
use jiff::SignedDuration;

use crate::support::{Reply, Server, Stage, fast, fatal, page_body, template};

static ALERTS: Service = Service {
    name: "alerts",
    query: Query::OData {
        path: "/v1.0/security/alerts",
        page_size: Some(1000),
        bounds: Bounds::Inclusive,
        base_filter: None,
        expand: None,
        headers: &[],
        paging: Paging::Links,
        successor: Some("alerts_v2"),
    },
    event_time: &["createdDateTime"],
    permission: "SecurityEvents.Read.All",
    ..template()
};

static ALERTS_V2: Service = Service {
    name: "alerts_v2",
    query: Query::OData {
        path: "/v1.0/security/alerts_v2",
        page_size: Some(1000),
        bounds: Bounds::Inclusive,
        base_filter: None,
        expand: None,
        headers: &[("prefer", "include-unknown-enum-members")],
        paging: Paging::MovingBoundary,
        successor: None,
    },
    event_time: &["lastUpdateDateTime"],
    permission: "SecurityAlert.Read.All",
    ..template()
};

static SCORES: Service = Service {
    name: "secure_scores",
    query: Query::NewestDays { path: "/v1.0/security/secureScores" },
    event_time: &["createdDateTime"],
    permission: "SecurityEvents.Read.All",
    ..template()
};

static PROFILES: Service = Service {
    name: "secure_score_control_profiles",
    query: Query::Snapshot { path: "/v1.0/security/secureScoreControlProfiles", page_size: None },
    event_time: &[],
    permission: "SecurityEvents.Read.All",
    ..template()
};

/// A page of records with these times.
fn dated(member: &str, times: &[&str], next: Option<&str>) -> Reply {
    let records: Vec<String> = times.iter().map(|time| format!(r#"{{"{member}":"{time}"}}"#)).collect();
    Reply::page(&records.iter().map(String::as_str).collect::<Vec<_>>(), next)
}

fn updated(times: &[&str], next: Option<&str>) -> Reply {
    dated("lastUpdateDateTime", times, next)
}

/// Follows the walk to its end, each page in an invocation of its own, and gives its pages.
async fn walk(stage: &mut Stage) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    loop {
        let link = pages.last().map(|page| page.next.clone());
        if link == Some(None) {
            return pages;
        }
        stage.next_invocation();
        pages.push(stage.page(link.flatten().as_deref()).await.unwrap());
        assert!(pages.len() < 20, "the walk has no end");
    }
}

/// What was asked for: path and query, without what they have in common.
fn asked(stage: &Stage) -> Vec<String> {
    let line = |seen: crate::server::Seen| {
        let url = seen.line().split(' ').nth(1).unwrap().replace("%20", " ");
        url.replace("/v1.0/security/", "").replace("2026-11-20T", "").replace("lastUpdateDateTime", "t")
    };
    stage.api.seen().into_iter().map(line).collect()
}

#[tokio::test]
async fn a_walk_through_alerts_asks_anew_from_the_last_time_on_until_nothing_later_comes() {
    let skip = |stage: &Stage, rows: u32| format!("{}/v1.0/security/alerts_v2?$skip={rows}", stage.api.url);
    let mut stage = Stage::of(&ALERTS_V2, []).await;
    let tied = "2026-11-20T10:20:00.1234567Z";
    stage.api.answers([
        updated(&["2026-11-20T10:00:00Z", "2026-11-20T10:10:00.5Z"], Some(&skip(&stage, 2))),
        // Without a link, as a clamped page may come.
        updated(&["2026-11-20T10:10:00.5Z", tied], None),
        updated(&[tied, tied], Some(&skip(&stage, 2))),
        updated(&[tied, "2026-11-20T10:30:00Z"], Some(&skip(&stage, 4))),
        updated(&["2026-11-20T10:30:00Z"], None),
    ]);
    let pages = walk(&mut stage).await;
    assert_eq!(pages.iter().map(|page| page.records.len()).sum::<usize>(), 9);
    assert_eq!(
        asked(&stage),
        [
            "alerts_v2?$filter=t ge 10:00:00Z and t le 11:00:00Z&$orderby=t asc&$top=1000",
            "alerts_v2?$filter=t ge 10:10:00.5Z and t le 11:00:00Z&$orderby=t asc&$top=1000",
            "alerts_v2?$filter=t ge 10:20:00.1234567Z and t le 11:00:00Z&$orderby=t asc&$top=1000",
            "alerts_v2?$skip=2",
            "alerts_v2?$filter=t ge 10:30:00Z and t le 11:00:00Z&$orderby=t asc&$top=1000",
        ]
    );
    let prefers = |seen: &crate::server::Seen| seen.header("prefer") == Some("include-unknown-enum-members");
    assert!(stage.api.seen().iter().all(prefers), "every request says so, the moved ones too");
}

#[tokio::test]
async fn a_quiet_window_of_alerts_is_one_request() {
    let mut stage = Stage::of(&ALERTS_V2, [updated(&[], None)]).await;
    assert_eq!(walk(&mut stage).await.len(), 1);
    assert_eq!(stage.api.count(), 1);
}

#[tokio::test]
async fn the_operators_filter_stays_when_the_boundary_moves() {
    let mut stage = Stage::with(fast(), |settings| {
        settings.service = &ALERTS_V2;
        settings.additional_filter = Some(AdditionalFilter::Clause("severity eq 'high'".to_owned()));
    })
    .await;
    stage.login.answers([Reply::token("t0ken")]);
    stage.api.answers([updated(&["2026-11-20T10:10:00Z"], None), updated(&["2026-11-20T10:10:00Z"], None)]);
    walk(&mut stage).await;
    assert_eq!(
        asked(&stage)[1],
        "alerts_v2?$filter=(t ge 10:10:00Z and t le 11:00:00Z) and (severity eq %27high%27)&$orderby=t asc&$top=1000"
    );
}

#[tokio::test]
async fn alerts_that_come_newest_first_are_read_by_their_links_to_the_end() {
    let mut stage = Stage::of(&ALERTS_V2, []).await;
    let links = ["a", "b"].map(|page| format!("{}/x?page={page}", stage.api.url));
    stage.api.answers([
        updated(&["2026-11-20T10:50:00Z", "2026-11-20T10:40:00Z"], Some(&links[0])),
        // This page by itself is in order; what is behind it is older all the same.
        updated(&["2026-11-20T10:20:00Z", "2026-11-20T10:30:00Z"], Some(&links[1])),
        updated(&["2026-11-20T10:10:00Z"], None),
    ]);
    assert_eq!(walk(&mut stage).await.len(), 3);
    assert_eq!(asked(&stage)[1..], ["/x?page=a", "/x?page=b"]);
}

#[tokio::test]
async fn a_page_of_alerts_that_never_moves_is_a_circle() {
    let mut stage = Stage::of(&ALERTS_V2, []).await;
    let link = format!("{}/x?page=a", stage.api.url);
    stage.api.answers(std::iter::repeat_n(updated(&["2026-11-20T10:00:00Z"], Some(&link)), 9));
    let first = stage.page(None).await.unwrap();
    let error = fatal(stage.page(first.next.as_deref()).await).to_string();
    assert!(error.contains("circle"), "{error}");
    assert_eq!(stage.api.count(), 2);
}

#[tokio::test]
async fn a_foreign_link_is_no_position_whatever_its_page_leads_to() {
    let foreign = Server::start().await;
    let link = format!("{}/v1.0/security/alerts_v2?$skip=2", foreign.url);
    let times = ["2026-11-20T10:00:00Z", "2026-11-20T10:10:00Z"];
    for service in [&ALERTS_V2, &SCORES, &PROFILES] {
        let mut stage = Stage::of(service, [updated(&times, Some(&link))]).await;
        let received = fatal(stage.page(None).await).to_string();
        assert!(received.contains("foreign link"), "{received}");
        for mark in ["#from=2026-11-20T10:00:00Z", "#behind=2026-11-20T10:00:00Z", "#unordered", ""] {
            let followed = fatal(stage.page(Some(&format!("{link}{mark}"))).await).to_string();
            assert!(followed.contains("foreign link"), "{followed}");
        }
    }
    assert_eq!(foreign.count(), 0);
}

#[tokio::test]
async fn the_newest_days_are_read_until_a_page_is_older_and_the_others_left_out() {
    let mut stage = Stage::of(&SCORES, []).await;
    let links = ["a", "b", "c"].map(|page| format!("{}/x?page={page}", stage.api.url));
    let day = |times: &[&str], next: &str| dated("createdDateTime", times, Some(next));
    stage.api.answers([
        day(&["2026-11-20T11:30:00Z", "2026-11-20T10:30:00Z"], &links[0]),
        day(&["2026-11-20T10:00:00Z", "2026-11-19T00:00:00Z"], &links[1]),
        day(&["2026-11-18T00:00:00Z", "2026-11-17T00:00:00Z"], &links[2]),
    ]);
    let pages = walk(&mut stage).await;
    let records: Vec<_> = pages.iter().map(|page| page.records.clone()).collect();
    let (first, second) =
        (r#"{"createdDateTime":"2026-11-20T10:30:00Z"}"#, r#"{"createdDateTime":"2026-11-20T10:00:00Z"}"#);
    assert_eq!(records, [vec![first], vec![second], vec![]]);
    assert_eq!(asked(&stage), ["secureScores?$top=1", "/x?page=a", "/x?page=b"]);
    assert!(pages.iter().all(|page| page.warnings.is_empty()));
}

#[tokio::test]
async fn days_that_come_oldest_first_are_read_to_the_end() {
    let mut stage = Stage::of(&SCORES, []).await;
    let links = ["a", "b"].map(|page| format!("{}/x?page={page}", stage.api.url));
    let day = |times: &[&str], next: Option<&str>| dated("createdDateTime", times, next);
    stage.api.answers([
        day(&["2026-11-17T00:00:00Z"], Some(&links[0])),
        day(&["2026-11-18T00:00:00Z", "2026-11-19T00:00:00Z"], Some(&links[1])),
        day(&["2026-11-20T10:00:00Z"], None),
    ]);
    let pages = walk(&mut stage).await;
    assert_eq!(pages.iter().map(|page| page.records.len()).collect::<Vec<_>>(), [1, 0, 1]);
}

#[tokio::test]
async fn a_snapshot_is_the_whole_list_and_knows_no_window() {
    let mut stage = Stage::of(&PROFILES, []).await;
    let link = format!("{}/x?$skiptoken=a", stage.api.url);
    stage
        .api
        .answers([Reply::page(&["{\"id\":\"a\"}"], Some(&link)), Reply::page(&["{\"id\":\"b\"}"], None)]);
    let pages = walk(&mut stage).await;
    assert_eq!(pages.iter().map(|page| page.records.len()).sum::<usize>(), 2);
    assert_eq!(asked(&stage), ["secureScoreControlProfiles", "/x?$skiptoken=a"]);
}

#[tokio::test]
async fn every_kind_of_query_tells_of_a_deprecation_once_and_of_what_is_missing_each_time() {
    for service in [&ALERTS, &ALERTS_V2, &SCORES, &PROFILES] {
        let body = page_body(&["{}"], None);
        let headers = [
            ("sunset", "Fri, 31 Dec 2027 00:00:00 GMT"),
            ("warning", "199 - \"Microsoft/WDATP/504/10003\", 199 - \"Microsoft/MCAS/401/1\""),
        ];
        let partial = || Reply::new(206, &headers, &body);
        let mut stage = Stage::of(service, [partial(), partial()]).await;
        let first = stage.page(None).await.unwrap();
        stage.next_invocation();
        let second = stage.page(None).await.unwrap();
        assert_eq!((first.records.len(), second.records.len()), (1, 1), "{}", service.name);
        assert_eq!((first.warnings.len(), second.warnings.len()), (2, 0), "{:?}", first.warnings);
        let words = " answered in part (206): provider WDATP failed with 504";
        assert!(first.missing.as_deref().unwrap().ends_with(words), "{:?}", first.missing);
        assert_eq!(first.missing, second.missing);
    }
}

async fn retired(stage: &mut Stage) -> String {
    match stage.page(None).await {
        Err(SourceError::Retired(words)) => words,
        other => panic!("{other:?} is no retirement"),
    }
}

#[tokio::test]
async fn an_endpoint_that_is_gone_or_has_not_a_single_row_is_retired() {
    let table: [(&[Reply], &str); 6] = [
        (&[Reply::error(404, "", "")], "404"),
        (&[Reply::error(410, "Gone", "x")], "410 Gone: x"),
        (&[Reply::error(400, "BadRequest", "Resource not found for the segment 'alerts'.")], "segment"),
        (&[Reply::page(&[], None), Reply::page(&[], None)], "without a single record"),
        (&[Reply::page(&[], None), Reply::error(404, "", "")], "404"),
        (&[Reply::page(&[], None), Reply::error(410, "", "")], "410"),
    ];
    for (replies, reason) in table {
        let mut stage = Stage::of(&ALERTS, replies.to_vec()).await;
        let words = retired(&mut stage).await;
        let named = ["/v1.0/security/alerts was retired by Microsoft", "alerts_v2", reason];
        assert!(named.iter().all(|part| words.contains(part)), "{words}");
        assert_eq!(stage.source.stats().requests, replies.len() as u64);
        if let Some(probe) = asked(&stage).get(1) {
            assert_eq!(probe, "alerts?$top=1");
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_may_still_live_is_not_retired() {
    let provider = [("warning", "199 - \"Microsoft/WDATP/504/1\"")];
    let in_part = || Reply::new(206, &provider, page_body(&[], None));
    let mut linked = Stage::of(&ALERTS, []).await;
    let link = format!("{}/x?page=a", linked.api.url);
    linked.api.answers([Reply::page(&[], Some(&link))]);
    assert_eq!(linked.page(None).await.unwrap().next, Some(link.clone()));

    let table = [
        (vec![Reply::page(&[], None), Reply::page(&["{}"], None)], 2),
        (vec![Reply::page(&[], None), in_part()], 2),
        (vec![Reply::page(&["{}"], None)], 1),
        (vec![in_part()], 1),
    ];
    for (replies, requests) in table {
        let mut stage = Stage::of(&ALERTS, replies).await;
        stage.page(None).await.unwrap();
        assert_eq!(stage.api.count(), requests);
    }
    let mut stage = Stage::of(&ALERTS, [Reply::error(404, "", "")]).await;
    let link = format!("{}/x?page=a", stage.api.url);
    let expired = stage.page(Some(&link)).await.unwrap_err();
    assert!(matches!(expired, SourceError::LinkExpired(_)), "{expired:?}");
    // Whoever has no successor is not asked for a row.
    let mut stage = Stage::of(&ALERTS_V2, [Reply::page(&[], None)]).await;
    stage.page(None).await.unwrap();
    assert_eq!(stage.api.count(), 1);
}

#[tokio::test]
async fn an_endpoint_that_gave_a_row_is_not_asked_again_in_the_same_invocation() {
    let empty = || Reply::page(&[], None);
    let mut stage =
        Stage::of(&ALERTS, [empty(), Reply::page(&["{}"], None), empty(), empty(), empty()]).await;
    stage.page(None).await.unwrap();
    stage.page(None).await.unwrap();
    assert_eq!(stage.api.count(), 3);
    stage.next_invocation();
    retired(&mut stage).await;
}

#[tokio::test]
async fn a_probe_that_fails_is_a_failure_like_any_other_and_keeps_the_pace() {
    let mut stage = Stage::of(&ALERTS, [Reply::page(&[], None), Reply::error(403, "Forbidden", "no")]).await;
    let error = fatal(stage.page(None).await);
    assert_eq!((error.error_type.as_str(), error.code), ("ApiError", 403));
    assert!(error.message.contains("SecurityEvents.Read.All"), "{error}");

    let mut stage = Stage::with(fast(), |settings| {
        settings.service = &ALERTS;
        settings.rate.requests = 1;
        settings.rate.per = SignedDuration::from_hours(1);
    })
    .await;
    stage.login.answers([Reply::token("t0ken")]);
    stage.api.answers([Reply::page(&[], None)]);
    let error = stage.page(None).await.unwrap_err();
    assert!(matches!(error, SourceError::Throttled { .. }), "{error:?}");
    assert_eq!(stage.api.count(), 1);
}

#[tokio::test]
async fn the_queries_of_different_kinds_have_different_fingerprints() {
    let mut fingerprints = Vec::new();
    for service in [&ALERTS, &ALERTS_V2, &SCORES, &PROFILES] {
        for filter in [None, Some("a eq 1".to_owned())] {
            let stage = Stage::with(fast(), |settings| {
                settings.service = service;
                settings.connection.base_url = "https://graph.example".to_owned();
                settings.additional_filter = filter.map(AdditionalFilter::Clause);
            })
            .await;
            fingerprints.push(stage.source.fingerprint());
        }
    }
    let count = fingerprints.len();
    fingerprints.sort();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), count);
}
