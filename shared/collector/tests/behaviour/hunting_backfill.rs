//! Backfills of the operator's own queries: each that has windows, one after another, with its own memory.

use collector::report::Status;
use collector::settings::QuerySpan::{Whole, Window};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use testing::hunting::{HuntingSite, query};
use testing::site::Visit;
use testing::source::PageFault;

use crate::NOON;

const FROM: &str = "2026-11-10T00:00:00Z";
const TO: &str = "2026-11-11T00:00:00Z";
const FATAL: Option<PageFault> = Some(PageFault::Fatal);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Rows of the day that a backfill asks for and of today, of each of three queries; windows of half a day.
fn site() -> HuntingSite {
    let mut site = HuntingSite::new(NOON, vec![query("b", Window), query("all", Whole), query("a", Window)]);
    site.settings.window_max = SignedDuration::from_hours(12);
    for name in ["a", "b", "all"] {
        site.add(name, "old1", at("2026-11-10T06:00:00Z"));
        site.add(name, "old2", at("2026-11-10T18:00:00Z"));
        site.add(name, "new", at("2026-11-20T11:00:00Z"));
    }
    site.tick();
    site.pass(60);
    site
}

fn backfill() -> Visit {
    Visit::backfill(FROM, TO, false)
}

#[test]
fn every_query_with_windows_is_asked_for_every_window_and_no_place_moves() {
    let mut site = site();
    let before = site.rows_of("query#");
    let seen = site.visit(backfill());
    assert_eq!(seen.status(), Status::UpToDate);
    let halves = ["2026-11-10T00:00:00Z/2026-11-10T12:00:00Z", "2026-11-10T12:00:00Z/2026-11-11T00:00:00Z"];
    let expected: Vec<String> =
        ["b", "a"].iter().flat_map(|name| halves.map(|half| format!("{name} {half}"))).collect();
    assert_eq!(seen.asked, expected);
    assert_eq!(seen.arrived(), ["my.app.b old1", "my.app.b old2", "my.app.a old1", "my.app.a old2"]);
    assert_eq!(site.rows_of("query#"), before);
    let row = site.rows_of("request#").remove(0);
    assert_eq!((&row.fields["complete"], row.fields.get("queries")), (&json!(true), None));
}

#[test]
fn what_was_sent_live_is_sent_again_only_if_that_is_asked_for() {
    for (resend, expected) in [(false, 0), (true, 2)] {
        let mut site = site();
        let seen = site.visit(Visit::backfill("2026-11-20T00:00:00Z", "2026-11-20T12:00:00Z", resend));
        assert_eq!((seen.status(), seen.arrived().len()), (Status::UpToDate, expected));
    }
}

#[test]
fn one_that_was_left_goes_on_with_the_query_and_the_window_it_was_left_at() {
    let mut site = site();
    let left = site.visit(Visit { seconds_per_page: 17, ..backfill() });
    assert_eq!((left.status(), left.names()), (Status::More, vec!["b", "b", "a"]));
    let row = site.rows_of("request#").remove(0);
    assert_eq!(row.fields["queries"], json!({"a": "2026-11-10T12:00:00Z", "b": "2026-11-11T00:00:00Z"}));
    site.new_process();
    let rest = site.tick();
    assert_eq!(rest.asked, ["a 2026-11-10T12:00:00Z/2026-11-11T00:00:00Z"], "no other query is due");
    assert_eq!(site.rows_of("request#")[0].fields["complete"], true);
    assert!(site.all_arrived().values().all(|count| *count == 1));
}

#[test]
fn a_query_that_is_refused_keeps_no_other_from_its_windows_and_is_asked_again() {
    let mut site = site();
    site.script("b", &[None, FATAL]);
    let seen = site.visit(backfill());
    assert_eq!(seen.failure(), "SetupError [102] scripted refusal (query \"b\")");
    assert_eq!(seen.names(), ["b", "b", "a", "a"]);
    let next = site.tick();
    assert_eq!(next.asked, ["b 2026-11-10T12:00:00Z/2026-11-11T00:00:00Z"]);
    assert_eq!((next.status(), next.arrived()), (Status::UpToDate, vec!["my.app.b old2".to_owned()]));
}

#[test]
fn a_query_that_is_gone_is_passed_over_and_one_that_came_is_asked() {
    let mut site = site();
    site.script("b", &[None, FATAL]);
    site.visit(Visit { seconds_per_page: 17, ..backfill() });
    site.settings.queries = vec![query("c", Window), query("a", Window)];
    site.add("c", "old1", at("2026-11-10T06:00:00Z"));
    site.pass(300);
    let seen = site.tick();
    assert_eq!(seen.status(), Status::UpToDate);
    assert!(seen.arrived().contains(&"my.app.c old1".to_owned()), "{:?}", seen.arrived());
    assert_eq!(site.rows_of("request#")[0].fields["complete"], true);
}

#[test]
fn without_any_window_a_backfill_is_refused_with_what_would_help() {
    let mut site = HuntingSite::new(NOON, vec![query("all", Whole)]);
    let seen = site.visit(backfill());
    assert_eq!(
        seen.failure(),
        "InitVariablesError [1] backfill: test-hunting has no windows to pull again; give a query {from} and {to}, \
         or pull with force"
    );
    assert!(seen.asked.is_empty());
}
