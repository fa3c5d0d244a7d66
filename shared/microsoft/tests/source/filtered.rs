//! Lists that take filters as JSON, as Defender for Cloud Apps answers.

use collector::ports::{Page, SourceError};
use collector::service::{Query, Reading, Service};
use collector::settings::AdditionalFilter;
use microsoft::Tuning;
use serde_json::{Value, json};

use crate::support::{Reply, Stage, fast, fatal, template, window};

static ACTIVITIES: Service = Service {
    name: "activities",
    query: Query::FilteredList {
        path: "/api/v1/activities/",
        times: &["created"],
        page_size: 2_000,
        reading: Reading::Scan,
    },
    event_time: &["created"],
    ..list()
};

static ALERTS: Service = Service {
    name: "alerts",
    query: Query::FilteredList {
        path: "/api/v1/alerts/",
        times: &["date", "resolutionDate"],
        page_size: 100,
        reading: Reading::Pages,
    },
    event_time: &["timestamp"],
    ..list()
};

static ENTITIES: Service = Service {
    name: "entities",
    query: Query::FilteredList {
        path: "/api/v1/entities/",
        times: &[],
        page_size: 100,
        reading: Reading::Pages,
    },
    event_time: &[],
    ..list()
};

const fn list() -> Service {
    Service { permission: "Investigation.read", ..template() }
}

/// The window's start, epoch milliseconds.
fn from() -> i64 {
    window().from.as_millisecond()
}

/// A page of so many records of the window's first instant, and further members.
fn listed(count: usize, rest: &str) -> Reply {
    let rows: Vec<String> =
        (0..count).map(|n| format!(r#"{{"_id":"{n}","created":{0},"timestamp":{0}}}"#, from())).collect();
    Reply::body(format!(r#"{{"data":[{}]{rest}}}"#, rows.join(",")))
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
        assert!(pages.len() < 200, "the walk has no end");
        if link.is_none() {
            return pages;
        }
    }
}

fn lengths(pages: &[Page]) -> Vec<usize> {
    pages.iter().map(|page| page.records.len()).collect()
}

/// What was posted, in order.
fn posted(stage: &Stage) -> Vec<Value> {
    stage.api.seen().iter().map(|seen| serde_json::from_str(&seen.body).unwrap()).collect()
}

fn scan(filters: &Value) -> Value {
    json!({"filters": filters, "isScan": true, "limit": 2000})
}

#[tokio::test]
async fn a_scan_is_led_by_the_filters_that_the_api_gives() {
    let (second, third) = (json!({"x": {"after": "a\u{e9}"}}), json!({"x": {"after": "b"}}));
    let next = |filters: &Value| format!(r#","hasNext":true,"total":9,"nextQueryFilters":{filters}"#);
    let replies = [listed(3, &next(&second)), listed(0, &next(&third)), listed(2, r#","hasNext":false"#)];
    let mut stage = Stage::of(&ACTIVITIES, replies).await;
    assert_eq!(lengths(&walk(&mut stage).await), [3, 0, 2]);
    let window = json!({"created": {"gte": from(), "lte": from() + 3_600_000}});
    assert_eq!(posted(&stage), [scan(&window), scan(&second), scan(&third)]);
    let seen = &stage.api.seen()[0];
    assert_eq!(seen.line(), "POST /api/v1/activities/ HTTP/1.1");
    assert_eq!(seen.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_scan_without_a_way_on_is_read_in_parts_and_what_does_not_come_is_told() {
    let more = r#","hasNext":true,"total":300"#;
    let mut replies = vec![listed(150, more)];
    replies.extend([listed(3, r#","hasNext":false"#), listed(0, r#","hasNext":true"#)]);
    replies.extend([2, 1].map(|count| listed(count, r#","hasNext":false"#)));
    let mut stage = Stage::of(&ACTIVITIES, replies).await;
    let pages = walk(&mut stage).await;
    assert_eq!(lengths(&pages), [150, 3, 0, 2, 1]);
    let told: Vec<bool> = pages.iter().map(|page| page.missing.is_some()).collect();
    assert_eq!(told, [false, false, true, false, false], "what an empty page says more of cannot be had");
    let quarter = json!({"created": {"gte": from(), "lte": from() + 900_000}});
    assert_eq!(posted(&stage)[1], scan(&quarter));
}

#[tokio::test]
async fn filters_that_the_api_takes_no_more_begin_the_window_anew() {
    let refusal = r#"{"filters":[{"error":"x is not valid","errorMessageCode":"CONSOLE_FORMS_NOT_VALID_VALUE"}],"error":true}"#;
    for status in [400, 200] {
        let next = r#","hasNext":true,"nextQueryFilters":{"x":{"after":"a"}}"#;
        let replies = [listed(3, next), Reply::new(status, &[], refusal)];
        let mut stage = Stage::of(&ACTIVITIES, replies).await;
        let link = stage.page(None).await.unwrap().next;
        let refused = stage.page(link.as_deref()).await;
        assert!(matches!(refused, Err(SourceError::LinkExpired(_))), "{status}: {refused:?}");
    }
}

#[tokio::test]
async fn alerts_are_asked_for_by_both_of_their_times_and_the_operators_fields() {
    let mut stage = Stage::with(fast(), |settings| {
        settings.service = &ALERTS;
        settings.connection.base_url.push_str("/cas/");
        let fields = json!({"severity": {"eq": 2}}).as_object().unwrap().clone();
        settings.additional_filter = Some(AdditionalFilter::Fields(fields));
    })
    .await;
    stage.login.answers([Reply::token("t0ken")]);
    stage.api.answers([listed(100, r#","hasNext":true,"total":101"#)]);
    stage.api.answers([60, 50, 20, 10, 2].map(|count| listed(count, r#","hasNext":false"#)));
    let pages = walk(&mut stage).await;
    assert_eq!(lengths(&pages), [100, 60, 50, 20, 10, 2]);
    // Until the second filter is asked by, nothing of the window is complete.
    let complete_to =
        pages.iter().map(|page| page.complete_to.map(|instant| instant.as_millisecond() - from()));
    assert_eq!(complete_to.collect::<Vec<_>>(), [None, None, None, None, Some(0), None]);
    let asked = |field: &str, from_millis: i64, to_millis: i64| {
        let mut filters = json!({"severity": {"eq": 2}});
        filters[field] = json!({"gte": from() + from_millis, "lte": from() + to_millis});
        json!({"filters": filters, "skip": 0, "limit": 100})
    };
    let expected = [
        asked("date", 0, 3_600_000),
        asked("date", 0, 900_000),
        asked("date", 900_000, 1_800_000),
        asked("date", 1_800_000, 2_700_000),
        asked("date", 2_700_000, 3_600_000),
        asked("resolutionDate", 0, 3_600_000),
    ];
    assert_eq!(posted(&stage), expected);
    assert_eq!(stage.api.seen()[0].line(), "POST /cas/api/v1/alerts/ HTTP/1.1");
}

#[tokio::test]
async fn a_list_is_read_by_number_and_told_of_where_the_api_gives_no_more_of_it() {
    let replies = [listed(100, r#","hasNext":true"#), listed(2, r#","hasNext":false"#)];
    let mut stage = Stage::of(&ENTITIES, replies).await;
    assert_eq!(lengths(&walk(&mut stage).await), [100, 2]);
    let page = |skip: u64| json!({"filters": {}, "skip": skip, "limit": 100});
    assert_eq!(posted(&stage), [page(0), page(99)]);

    let refusal = Reply::new(400, &[], r#"{"error":{"code":"BadSkip","message":"no deeper"}}"#);
    let mut stage = Stage::of(&ENTITIES, [listed(100, r#","hasNext":true"#), refusal]).await;
    let pages = walk(&mut stage).await;
    let told = pages[1].missing.clone().unwrap();
    assert!(told.contains("no rows behind the first 99: 400 BadSkip: no deeper"), "{told}");
}

#[tokio::test]
async fn a_window_that_takes_too_long_is_not_asked_for_again_as_it_is_but_a_part_of_it_is() {
    let slow = || Reply::new(504, &[], "<html>Gateway Time-out</html>");
    let mut stage = Stage::of(&ALERTS, [slow()]).await;
    assert!(matches!(stage.page(None).await, Err(SourceError::TooHeavy(_))));
    stage.api.answers([
        listed(100, r#","hasNext":true,"total":101"#),
        slow(),
        listed(1, r#","hasNext":false"#),
    ]);
    let link = stage.page(None).await.unwrap().next;
    assert_eq!(stage.page(link.as_deref()).await.unwrap().records.len(), 1);
    let mut stage = Stage::of(&ENTITIES, [slow(), listed(1, r#","hasNext":false"#)]).await;
    assert_eq!(stage.page(None).await.unwrap().records.len(), 1, "a whole list cannot be narrowed");
}

#[tokio::test]
async fn a_refused_filter_names_the_operators_fields_and_what_is_no_list_is_told() {
    let refusal = r#"{"filters":[{"error":"<x> is not valid","errorMessageCode":"CONSOLE_FORMS_NOT_VALID_VALUE"}],"error":true}"#;
    let replies =
        [Reply::new(400, &[], refusal), Reply::new(200, &[], refusal), Reply::body("<html>no</html>")];
    let mut stage = Stage::of(&ENTITIES, replies).await;
    for expected in ["[301] ", "[301] ", "[300] "] {
        let error = fatal(stage.page(None).await).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_list_does_not_end_where_the_api_asks_for_patience_whatever_the_status() {
    let throttled = || Reply::new(400, &[], r#"{"detail":"Request was throttled."}"#);
    let first = || listed(100, r#","hasNext":true"#);
    for service in [&ENTITIES, &ALERTS] {
        let tuning = Tuning { retries: 0, ..fast() };
        let mut stage = Stage::with(tuning, |settings| settings.service = service).await;
        stage.login.answers([Reply::token("t0ken")]);
        stage.api.answers([first(), throttled()]);
        let link = stage.page(None).await.unwrap().next;
        let error = fatal(stage.page(link.as_deref()).await).to_string();
        assert!(error.contains("429 Error during API call"), "{}: {error}", service.name);
    }
}

#[tokio::test]
async fn filters_of_the_api_that_lead_nowhere_do_not_keep_the_window_for_ever() {
    let next = r#","hasNext":true,"nextQueryFilters":{"x":{"after":"a"}}"#;
    let anew = ["", "{}", r#"{"detail":"the cursor is gone"}"#, "<html>no</html>"];
    for body in anew {
        let mut stage = Stage::of(&ACTIVITIES, [listed(3, next), Reply::new(400, &[], body)]).await;
        let link = stage.page(None).await.unwrap().next;
        stage.next_invocation();
        let refused = stage.page(link.as_deref()).await;
        assert!(matches!(refused, Err(SourceError::LinkExpired(_))), "{body}: {refused:?}");
    }
    let broken = [(500, "<html>no</html>"), (502, ""), (200, "<html>no</html>"), (200, r#"{"hasNext":fal"#)];
    for (status, body) in broken {
        let tuning = Tuning { retries: 0, ..fast() };
        let mut stage = Stage::with(tuning, |settings| settings.service = &ACTIVITIES).await;
        stage.login.answers([Reply::token("t0ken")]);
        let failing = || Reply::new(status, &[], body);
        stage.api.answers([listed(3, next), failing(), failing()]);
        let link = stage.page(None).await.unwrap().next;
        fatal(stage.page(link.as_deref()).await);
        stage.next_invocation();
        let again = stage.page(link.as_deref()).await;
        assert!(matches!(again, Err(SourceError::TooHeavy(_))), "{status} {body}: {again:?}");
        stage.api.answers([failing()]);
        fatal(stage.page(None).await);
    }
}

#[tokio::test]
async fn filters_that_go_in_a_circle_are_left_for_parts_of_the_window() {
    let next = |after: &str| format!(r#","hasNext":true,"nextQueryFilters":{{"x":{{"after":"{after}"}}}}"#);
    let replies = [listed(3, &next("a")), listed(2, &next("b")), listed(1, &next("a"))];
    let mut stage = Stage::of(&ACTIVITIES, replies).await;
    let mut link = None;
    for _ in 0..3 {
        link = stage.page(link.as_deref()).await.unwrap().next;
    }
    stage.api.answers([listed(1, r#","hasNext":false"#)]);
    stage.page(link.as_deref()).await.unwrap();
    let posted = posted(&stage);
    let asked = &posted[3]["filters"]["created"];
    assert_eq!(asked["gte"], json!(from()), "{asked}");
    assert!(asked["lte"].as_i64().unwrap() < from() + 3_600_000, "{asked}");
}

#[tokio::test]
async fn a_page_behind_the_last_row_that_the_api_gives_ends_the_list_however_it_is_refused() {
    let deep = |api: &str| Some(format!("{api}/api/v1/entities/#rows=5000"));
    for (status, body) in [(400, "<html>no</html>"), (404, "<html>no</html>"), (500, "<html>no</html>")] {
        let tuning = Tuning { retries: 0, ..fast() };
        let mut stage = Stage::with(tuning, |settings| settings.service = &ENTITIES).await;
        stage.login.answers([Reply::token("t0ken")]);
        stage.api.answers([Reply::new(status, &[], body)]);
        let link = deep(&stage.api.url);
        let page = stage.page(link.as_deref()).await.unwrap();
        assert!(page.missing.unwrap().contains("no rows behind the first 5000"), "{status}");
        assert_eq!(page.next, None);
    }
}
