//! Lists by slices of time and by rows, as Defender for Endpoint answers.

use collector::ports::{Page, Source as _, SourceError};
use collector::service::{Bounds, Enrichment, Paging, Query, Service};
use collector::settings::Setting;

use crate::support::{Reply, Stage, fast, fatal, template};

static ALERTS: Service = Service {
    name: "alerts",
    query: Query::OData {
        path: "/api/alerts",
        page_size: Some(500),
        bounds: Bounds::Inclusive,
        base_filter: None,
        expand: Some("evidence"),
        headers: &[],
        paging: Paging::Slices,
        successor: None,
    },
    event_time: &["t"],
    permission: "Alert.Read.All",
    ..template()
};

static MACHINES: Service = Service {
    name: "machines",
    query: Query::Snapshot { path: "/api/machines", page_size: Some(4000) },
    event_time: &[],
    permission: "Machine.Read.All",
    ..template()
};

static FILES: Enrichment = Enrichment {
    switch: Setting::named("request_files"),
    member: "related_files",
    path: "/api/alerts/{id}/files",
    permission: "File.Read.All",
};

const NO_MACHINES: &str = r#"{"error":{"code":"ResourceNotFound","message":"none","target":"c-1"}}"#;

/// A page of records numbered from one number to before another.
fn numbers(numbers: std::ops::Range<usize>, next: Option<&str>) -> Reply {
    let texts: Vec<String> = numbers.map(|number| number.to_string()).collect();
    Reply::page(&texts.iter().map(String::as_str).collect::<Vec<_>>(), next)
}

/// The same of records that lie in any slice which begins with the window.
fn timed(numbers: std::ops::Range<usize>, next: Option<&str>) -> Reply {
    let texts: Vec<String> =
        numbers.map(|number| format!(r#"{{"t":"2026-11-20T10:00:00Z","n":{number}}}"#)).collect();
    Reply::page(&texts.iter().map(String::as_str).collect::<Vec<_>>(), next)
}

/// Follows the walk to its end, each page in an invocation of its own, and gives its pages.
async fn walk(stage: &mut Stage) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    let mut link = None;
    loop {
        stage.next_invocation();
        let page = stage.page(link.as_deref()).await.unwrap();
        link = page.next.clone();
        pages.push(page);
        assert!(pages.len() < 20, "the walk has no end");
        if link.is_none() {
            return pages;
        }
    }
}

fn asked(stage: &Stage) -> Vec<String> {
    let line = |seen: crate::server::Seen| {
        let url = seen.line().split(' ').nth(1).unwrap().replace("%20", " ");
        url.replace("/api/", "").replace("2026-11-20T", "")
    };
    stage.api.seen().into_iter().map(line).collect()
}

#[tokio::test]
async fn a_window_that_fits_one_page_costs_two_requests_and_an_empty_one_costs_one() {
    let mut stage = Stage::of(&ALERTS, [timed(0..3, None), timed(2..3, None), timed(0..0, None)]).await;
    let pages = walk(&mut stage).await;
    assert_eq!(pages.iter().map(|page| page.records.len()).collect::<Vec<_>>(), [3, 0]);
    assert_eq!(walk(&mut stage).await.len(), 1);
    let window = "alerts?$filter=t ge 10:00:00Z and t le 11:00:00Z&$expand=evidence&$top=500";
    assert_eq!(asked(&stage), [window.to_owned(), format!("{window}&$skip=2"), window.to_owned()]);
}

#[tokio::test]
async fn a_window_that_does_not_fit_is_asked_for_in_halves_and_a_foreign_link_is_not_followed() {
    let mut stage = Stage::of(
        &ALERTS,
        [
            timed(0..2, Some("https://api-eu.elsewhere.example/api/alerts?$skip=10000")),
            timed(0..2, None),
            timed(1..3, None),
            // The two quarters of the first half, and the second half.
            timed(0..1, None),
            timed(0..0, None),
            Reply::new(404, &[], ""),
            Reply::new(404, &[], NO_MACHINES),
        ],
    )
    .await;
    let pages = walk(&mut stage).await;
    assert_eq!(pages.iter().map(|page| page.records.len()).collect::<Vec<_>>(), [2, 2, 1, 1, 0, 0, 0]);
    let slice = |from: &str, to: &str, skip: &str| {
        format!("alerts?$filter=t ge {from}:00Z and t le {to}:00Z&$expand=evidence&$top=500{skip}")
    };
    assert_eq!(
        asked(&stage),
        [
            slice("10:00", "11:00", ""),
            slice("10:00", "10:30", ""),
            slice("10:00", "10:30", "&$skip=1"),
            slice("10:00", "10:15", ""),
            slice("10:00", "10:15", "&$skip=1"),
            slice("10:15", "10:30", ""),
            slice("10:30", "11:00", ""),
        ]
    );
}

#[tokio::test]
async fn pages_of_records_that_are_enriched_are_small() {
    for service in [&ALERTS, &MACHINES] {
        let mut stage = Stage::with(fast(), |settings| {
            settings.service = service;
            settings.enrichments = vec![&FILES];
        })
        .await;
        stage.login.answers([Reply::token("t0ken")]);
        stage.api.answers([numbers(0..0, None)]);
        stage.page(None).await.unwrap();
        assert!(asked(&stage)[0].ends_with("$top=100"), "{:?}", asked(&stage));
    }
}

#[tokio::test]
async fn rows_are_asked_for_until_a_page_is_empty() {
    let mut stage = Stage::of(
        &MACHINES,
        [numbers(0..4000, None), numbers(3960..5000, None), numbers(4990..5000, None), numbers(0..0, None)],
    )
    .await;
    let pages = walk(&mut stage).await;
    assert_eq!(pages.iter().map(|page| page.records.len()).collect::<Vec<_>>(), [4000, 1040, 10, 0]);
    assert_eq!(
        asked(&stage),
        [
            "machines?$top=4000",
            "machines?$top=4000&$skip=3960",
            "machines?$top=4000&$skip=4990",
            "machines?$top=4000&$skip=5000",
        ]
    );
}

#[tokio::test]
async fn a_link_is_followed_with_its_path_and_query_at_the_configured_host() {
    let link = "https://api-eu.elsewhere.example/api/machines?$top=2&$skip=2&more=a%2Bb";
    let mut stage = Stage::with(fast(), |settings| {
        settings.service = &MACHINES;
        settings.connection.base_url.push_str("/gateway/");
    })
    .await;
    stage.login.answers([Reply::token("t0ken")]);
    stage.api.answers([numbers(0..2, Some(link)), numbers(2..4, None), Reply::new(404, &[], NO_MACHINES)]);
    let pages = walk(&mut stage).await;
    assert_eq!(pages.iter().map(|page| page.records.len()).collect::<Vec<_>>(), [2, 2, 0]);
    assert_eq!(
        asked(&stage),
        [
            "/gatewaymachines?$top=4000",
            "/gatewaymachines?$top=2&$skip=2&more=a%2Bb",
            "/gatewaymachines?$top=4000&$skip=4",
        ]
    );
}

#[tokio::test]
async fn pages_that_go_in_a_circle_end_the_walk() {
    // The server does not heed what is skipped, and there may be more.
    let mut stage = Stage::of(&MACHINES, [numbers(0..4000, None), numbers(0..4000, None)]).await;
    let first = stage.page(None).await.unwrap();
    stage.next_invocation();
    let error = fatal(stage.page(first.next.as_deref()).await).to_string();
    assert!(error.starts_with("[300] ") && error.contains("circle"), "{error}");

    let links = ["a", "b", "a"].map(|token| format!("https://x.example/api/machines?$skiptoken={token}"));
    let replies = links.iter().enumerate().map(|(index, link)| numbers(index..index + 1, Some(link)));
    let mut stage = Stage::of(&MACHINES, replies).await;
    let first = stage.page(None).await.unwrap();
    let second = stage.page(first.next.as_deref()).await.unwrap();
    let error = fatal(stage.page(second.next.as_deref()).await).to_string();
    assert!(error.starts_with("[300] ") && error.contains("circle"), "{error}");
}

#[tokio::test]
async fn a_server_without_skip_gives_its_list_and_that_is_its_end() {
    let mut stage = Stage::of(&MACHINES, [numbers(0..3, None), numbers(0..3, None)]).await;
    assert_eq!(walk(&mut stage).await.len(), 2);

    let link = "https://x.example/api/machines?$skiptoken=a";
    let pages = [numbers(0..3, Some(link)), numbers(3..5, None), numbers(0..3, Some(link))];
    let mut stage = Stage::of(&MACHINES, pages).await;
    assert_eq!(walk(&mut stage).await.len(), 3);
    assert_eq!(asked(&stage)[1..], ["machines?$skiptoken=a", "machines?$top=4000&$skip=5"]);
}

#[tokio::test]
async fn where_halving_helps_no_more_a_link_is_followed_at_the_configured_host() {
    // All of it lies outside the slices, whatever is asked for.
    let link = "https://api-eu.elsewhere.example/api/alerts?$skiptoken=a";
    let row = |number: usize| format!(r#"{{"t":"2020-01-01T00:00:00Z","n":{number}}}"#);
    let page = |from: usize, next| Reply::page(&[&row(from), &row(from + 1)], next);
    let first = page(0, Some(link));
    let mut stage = Stage::of(&ALERTS, [first.clone(), first, page(2, None)]).await;
    let pages = walk(&mut stage).await;
    assert_eq!(pages.iter().map(|page| page.records.len()).collect::<Vec<_>>(), [2, 0, 2]);
    assert_eq!(asked(&stage)[2], "alerts?$skiptoken=a");
}

#[tokio::test]
async fn a_list_that_is_not_there_is_empty_where_the_api_says_so() {
    let absent = [
        Reply::new(404, &[], ""),
        Reply::new(404, &[], NO_MACHINES),
        Reply::error(404, "NotFound", "No recent machines"),
        Reply::error(404, "notFound", "No recent machines"),
        Reply::new(404, &[], r#"{"value":[]}"#),
        Reply::new(404, &[], "{}"),
    ];
    for service in [&ALERTS, &MACHINES] {
        for reply in absent.clone() {
            let mut stage = Stage::of(service, [reply]).await;
            let page = stage.page(None).await.unwrap();
            assert_eq!((page.records.len(), page.next), (0, None));
        }
        for body in [
            "<html>not found</html>",
            r#"{"statusCode":404,"message":"Resource not found (request id c-1)"}"#,
            r#"{"error":{"code":"Other","message":"m","target":"c-1"}}"#,
        ] {
            let mut stage = Stage::of(service, [Reply::new(404, &[], body)]).await;
            let error = fatal(stage.page(None).await);
            assert_eq!((error.error_type.as_str(), error.code), ("SetupError", 102), "{body}");
            assert!(body.starts_with('<') || error.message.contains("(request id c-1)"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_number_of_rows_that_is_refused_is_told_as_it_is() {
    let refused = Reply::error(400, "BadRequest", "The limit of '10000' for Skip query has been exceeded");
    let mut stage = Stage::of(&MACHINES, [numbers(0..3, None), refused]).await;
    let first = stage.page(None).await.unwrap();
    let error = fatal(stage.page(first.next.as_deref()).await);
    assert_eq!((error.error_type.as_str(), error.code), ("ApiError", 400));
    assert!(error.message.contains("Skip query"), "{error}");
}

#[tokio::test]
async fn a_quota_is_waited_for_as_long_as_its_words_say() {
    let quota = |span: &str| format!("API calls quota exceeded! maximum allowed 45 per {span}");
    let table = [
        (Reply::error(429, "429", &quota("00:01:00")), 60),
        (Reply::error(400, "429", &quota("00:01:00")), 60),
        (Reply::error(200, "TooManyRequests", &quota("01:00:00")), 900),
        (Reply::error(403, "TooManyRequests", "CPU quota exceeded"), 900),
        (
            Reply::new(
                429,
                &[("retry-after", "77")],
                format!(r#"{{"error":{{"message":"{}"}}}}"#, quota("00:01:00")),
            ),
            77,
        ),
    ];
    for (reply, seconds) in table {
        let mut stage = Stage::of(&MACHINES, [reply.clone()]).await;
        let until = stage.deadline(seconds * 1000);
        assert_eq!(stage.page(None).await.unwrap_err(), SourceError::Throttled { until }, "{reply:?}");
        assert_eq!(stage.source.stats().throttled, 1);
        assert_eq!(stage.source.waits_until(), Some(until));
    }
}
