//! What the collector tells Devo about itself, over which connection, and how often.

use collector::report::Status;
use serde_json::{Value, json};
use testing::site::{Seen, Site, Visit, thing};
use testing::source::PageFault;

use crate::NOON;

const FAILED: &str = "collector failed Connection closed by server. [602] scripted";

fn site() -> Site {
    Site::with(NOON, &[("a", "2026-11-20T10:00:00Z"), ("b", "2026-11-20T11:00:00Z")])
}

fn told(seen: &Seen, level: &str) -> Vec<String> {
    seen.lines().into_iter().filter(|(known, _)| known == level).map(|(_, text)| text).collect()
}

fn events_of(seen: &Seen, wanted: &str) -> Vec<String> {
    let events = seen.connections.iter().flat_map(|connection| &connection.events);
    events.filter(|(tag, _)| tag == wanted).map(|(_, message)| message.clone()).collect()
}

#[test]
fn a_cycle_ends_with_its_statistics_in_the_vendors_words() {
    let mut site = site();
    let seen = site.visit(Visit { seconds_per_page: 2, ..Visit::forced() });
    assert_eq!(
        told(&seen, "info"),
        ["Statistics for this pull cycle (@devo_pulling_id=1795176000000):Number of requests made: 1; \
          Number of events received: 2; Number of duplicated events filtered out: 0; \
          Number of events generated and sent: 2; Average of events per second: 1.000."]
    );
    assert_eq!(seen.outcome.report.devo_pulling_id.as_deref(), Some("1795176000000"));
    site.pass(298);
    site.records.push(thing("c", "2026-11-20T11:59:00Z"));
    let seen = site.tick();
    assert_eq!(
        told(&seen, "info"),
        ["Statistics for this pull cycle (@devo_pulling_id=1795176300000):Number of requests made: 1; \
          Number of events received: 3; Number of duplicated events filtered out: 2; \
          Number of events generated and sent: 1; Average of events per second: 0.000."]
    );
}

#[test]
fn a_line_has_the_vendors_members_in_the_vendors_order() {
    for job_id in [None, Some("7".to_owned())] {
        let mut site = site();
        site.job_id.clone_from(&job_id);
        let seen = site.visit(Visit { warnings: vec!["look at this".to_owned()], ..Visit::forced() });
        let line = events_of(&seen, "devo.collectors.out.local.warning").remove(0);
        let job = if job_id.is_some() { ",\"job_id\":\"7\"" } else { "" };
        let expected = format!(
            "{{\"msg\":\"look at this\",\"time\":\"2026-11-20T12:00:00.000000Z\",\"level\":\"warning\",\
             \"collector_name\":\"test\",\"collector_version\":\"0.0.0\",\"collector_image\":\"test_input:0.0.0\",\
             \"input_name\":\"test_input\",\"service_name\":\"things\",\"module_name\":\"puller\"{job}}}"
        );
        assert_eq!(line, expected);
    }
}

#[test]
fn the_count_of_messages_is_sent_once_a_cycle_and_counts_records_alone() {
    let mut site = site();
    site.records = (0..20_500).map(|number| thing(&format!("{number}"), "2026-11-20T11:00:00Z")).collect();
    site.page_size = 1_000;
    let seen = site.tick();
    assert_eq!(seen.connections.len(), 2, "two batches, one cycle");
    let metrics = events_of(&seen, "devo.collector.metric.message_sent");
    let expected = json!({
        "col_id": "ab123", "col_name": "test", "col_version": "0.0.0", "col_image": "test_input:0.0.0",
        "msg_sent": {"part_counter": 20_500, "part_bytes": seen.outcome.report.bytes_sent, "since_ts": 1_795_176_000_000_u64},
    });
    let found: Vec<Value> = metrics.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(found, [expected]);
    assert_eq!(told(&seen, "info").len(), 1);
    assert!(told(&seen, "info")[0].contains("Number of events generated and sent: 20500;"));
}

#[test]
fn warnings_of_the_host_of_the_api_and_of_the_run_are_lines_each_told_once_a_cycle() {
    let mut site = site();
    site.page_size = 1;
    let visit = Visit {
        warnings: vec!["from the host".to_owned(), "from the host".to_owned()],
        page_warning: Some("deprecated"),
        pages: vec![Some(PageFault::TooHeavy)],
        ..Visit::forced()
    };
    let seen = site.visit(visit);
    let expected = [
        "from the host",
        "the query is too heavy and is asked for in windows of 43200 s: [498] scripted",
        "deprecated",
    ];
    assert_eq!(told(&seen, "warning"), expected);
    assert_eq!(seen.outcome.report.warnings, expected);
}

#[test]
fn a_flood_of_warnings_is_cut_off() {
    let mut site = site();
    let warnings = (0..500).map(|number| format!("warning {number}")).collect();
    let seen = site.visit(Visit { warnings, ..Visit::forced() });
    let told = told(&seen, "warning");
    assert_eq!((told.len(), told[99].as_str()), (101, "warning 99"));
    assert_eq!(told[100], "there are more warnings than these, left out of this answer");
    assert_eq!(seen.outcome.report.warnings, told);
}

#[test]
fn a_failure_of_the_api_is_a_line_of_the_same_cycle() {
    let mut site = site();
    site.page_size = 1;
    let seen = site.visit(Visit::with_pages(&[None, Some(PageFault::Fatal)]));
    assert_eq!(told(&seen, "error"), ["[498] scripted"]);
    assert_eq!((seen.ids(), told(&seen, "info").len()), (vec!["a".to_owned()], 1));
    site.pass(1);
    assert_eq!(told(&site.tick(), "error"), [""; 0], "it is told once");
}

#[test]
fn a_delivery_that_fails_is_kept_and_told_exactly_once_over_the_next_connection() {
    let mut site = site();
    for breaks_after in [0, 1, 2, 4] {
        site.records.push(thing(&format!("c{breaks_after}"), "2026-11-20T11:30:00Z"));
        let warnings = vec!["beside it".to_owned()];
        let seen = site.visit(Visit { warnings, ..Visit::with_breaks(&[Some(breaks_after)]) });
        assert_eq!(seen.failure(), "DeliveryError [602] scripted");
        assert_eq!(site.checkpoint()["untold"][1], json!({"level": "error", "message": FAILED}));
        site.pass(60);
        site.new_process();
        let next = site.tick();
        assert_eq!(told(&next, "error"), [FAILED]);
        assert_eq!(told(&next, "warning"), ["beside it"]);
        site.pass(60);
        assert_eq!(told(&site.tick(), "error"), [""; 0]);
        assert_eq!(site.checkpoint().get("untold"), None);
    }
}

#[test]
fn each_of_many_failures_is_told_and_repeated_warnings_do_not_push_them_out() {
    let mut site = site();
    for _ in 0..8 {
        let warnings = (0..5).map(|number| format!("warning {number}")).collect();
        site.visit(Visit { warnings, ..Visit::with_breaks(&[Some(0)]) });
        site.pass(60);
    }
    let next = site.tick();
    assert_eq!(told(&next, "error"), [FAILED; 8]);
    assert_eq!(told(&next, "warning").len(), 5);
    for _ in 0..100 {
        site.visit(Visit::with_breaks(&[Some(0)]));
        site.pass(60);
    }
    let errors = told(&site.tick(), "error").len();
    assert_eq!(errors, 20, "what waits stays a small part of the checkpoint");
}

#[test]
fn what_could_not_be_told_is_told_by_the_first_cycle_that_can_and_not_by_an_idle_tick() {
    let mut site = site();
    site.visit(Visit::with_breaks(&[Some(0)]));
    site.edit_checkpoint(json!({"not_before_in_utc": "2026-11-20T12:10:00Z"}));
    site.pass(60);
    let idle = site.visit(Visit::default());
    assert_eq!((idle.status(), idle.opened_devo), (Status::Throttled, false));
    site.pass(600);
    assert_eq!(told(&site.tick(), "error"), [FAILED]);
}

#[test]
fn a_cycle_without_records_tells_its_statistics_all_the_same() {
    let mut site = Site::new(NOON);
    let seen = site.tick();
    assert_eq!(seen.connections.len(), 1);
    assert!(told(&seen, "info")[0].contains("Number of events received: 0;"));
    let tags: Vec<&str> = seen.connections[0].events.iter().map(|(tag, _)| tag.as_str()).collect();
    assert_eq!(tags, ["devo.collectors.out.local.info", "devo.collector.metric.message_sent"]);
}

#[test]
fn nobody_is_told_twice_when_the_commit_behind_a_story_was_silent() {
    let mut site = site();
    site.visit(Visit::with_breaks(&[Some(0)]));
    site.pass(60);
    let happens = testing::store::WriteFault::HappensSilently;
    let seen = site.visit(Visit::with_writes(&[None, Some(happens)]));
    assert_eq!((seen.status(), told(&seen, "error").len()), (Status::UpToDate, 1));
    site.pass(60);
    assert_eq!(told(&site.tick(), "error"), [""; 0]);
}
