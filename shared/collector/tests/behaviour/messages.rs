//! What becomes of a record on its way to Devo: its tag, its masks, its one line, its place in time.

use collector::obfuscate::Rule;
use jiff::Timestamp;
use serde_json::{Value, json};
use testing::site::{Site, Visit, record, thing};

use crate::NOON;

const TIME: &str = "2026-11-20T11:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The (tag, message) that each of these texts becomes.
fn sent(site: &mut Site, texts: &[&str]) -> Vec<(String, String)> {
    site.records = texts.iter().map(|text| record(text, at(TIME))).collect();
    let seen = site.tick();
    seen.status();
    seen.connections.iter().flat_map(testing::sink::Connection::records).cloned().collect()
}

fn tags(site: &mut Site, texts: &[&str]) -> Vec<String> {
    sent(site, texts).into_iter().map(|(tag, _)| tag).collect()
}

fn rule(value: Value) -> Rule {
    Rule::parse(&value, "obfuscation_data").unwrap()
}

#[test]
fn the_first_known_value_of_the_routing_member_decides_the_tag() {
    let table = [
        (r#"{"n":1,"kind":["red"]}"#, "my.app.red.prod"),
        (r#"{"n":2,"kind":["BLUE","red"]}"#, "my.app.blue.prod"),
        (r#"{"n":3,"kind":["green","bLuE"]}"#, "my.app.blue.prod"),
        (r#"{"n":4,"kind":"Red"}"#, "my.app.red.prod"),
        (r#"{"n":5,"kind":"\u0072ed"}"#, "my.app.red.prod"),
        (r#"{"n":6,"kind":[ 7, null, {"red":1}, "red" ]}"#, "my.app.red.prod"),
        (r#"{"n":7,"kind":["green"]}"#, "my.app.other.prod"),
        (r#"{"n":8,"kind":[]}"#, "my.app.other.prod"),
        (r#"{"n":9,"kind":null}"#, "my.app.other.prod"),
        (r#"{"n":10,"kind":{"kind":"red"}}"#, "my.app.other.prod"),
        (r#"{"n":11,"sub":{"kind":"red"}}"#, "my.app.other.prod"),
        (r#"{"n":12}"#, "my.app.other.prod"),
        ("[\"red\"]", "my.app.other.prod"),
    ];
    let texts: Vec<&str> = table.iter().map(|(text, _)| *text).collect();
    let expected: Vec<&str> = table.iter().map(|(_, tag)| *tag).collect();
    assert_eq!(tags(&mut Site::new(NOON), &texts), expected);
}

#[test]
fn an_override_replaces_every_tag_and_the_environment_becomes_a_level() {
    let texts = [r#"{"kind":["red"]}"#, r#"{"kind":["green"]}"#];
    for (environment, label) in
        [(Some("prod"), "prod"), (None, "default"), (Some("a.b c/é"), "a_b_c__"), (Some(""), "")]
    {
        let mut site = Site::new(NOON);
        site.settings.environment = environment.map(str::to_owned);
        assert_eq!(tags(&mut site, &texts), [format!("my.app.red.{label}"), format!("my.app.other.{label}")]);
        let mut overridden = Site::new(NOON);
        overridden.settings.environment = environment.map(str::to_owned);
        overridden.settings.override_tag = Some("my.app.test.all".to_owned());
        assert_eq!(tags(&mut overridden, &texts), ["my.app.test.all"; 2]);
    }
}

#[test]
fn a_record_leaves_byte_for_byte_on_one_line_with_the_collectors_members_at_its_end() {
    let table = [
        ("{\"id\": 1.00, \"b\":\t\"é\\n\\u0000\"}", "{\"id\": 1.00, \"b\":\t\"é\\n\\u0000\",END"),
        ("{\r\n  \"id\" : 2\r\n}", "{   \"id\" : 2 ,END"),
        ("{}", "{END"),
        ("[1,\n2]", "[1, 2]"),
        ("\"text\"", "\"text\""),
        ("17", "17"),
        ("null", "null"),
    ];
    for environment in [None, Some("pr\"od")] {
        let mut site = Site::new(NOON);
        site.settings.environment = environment.map(str::to_owned);
        let member =
            environment.map(|name| format!("\"@devo_environment\":{},", json!(name))).unwrap_or_default();
        let end = format!("{member}\"@devo_pulling_id\":\"1795176000000\"}}");
        let texts: Vec<&str> = table.iter().map(|(text, _)| *text).collect();
        let messages: Vec<String> = sent(&mut site, &texts).into_iter().map(|(_, message)| message).collect();
        let expected: Vec<String> = table.iter().map(|(_, message)| message.replace("END", &end)).collect();
        assert_eq!(messages, expected);
    }
}

#[test]
fn records_that_differ_only_in_what_is_masked_are_different_records() {
    let mut site = Site::new(NOON);
    site.settings.lookback = jiff::SignedDuration::from_hours(12);
    site.settings.obfuscation = vec![rule(json!({"name": ["user"], "value": "***"}))];
    let texts = [r#"{"id":"1","user":"ann"}"#, r#"{"id":"1","user":"bob"}"#];
    let messages: Vec<String> = sent(&mut site, &texts).into_iter().map(|(_, message)| message).collect();
    assert_eq!(messages.len(), 2);
    assert!(messages.iter().all(|message| message.contains("\"user\":\"***\"")), "{messages:?}");
    // Another mask makes no other record.
    for obfuscation in [vec![], vec![rule(json!({"name": ["id"]}))]] {
        site.settings.obfuscation = obfuscation;
        site.pass(60);
        let seen = site.tick();
        assert_eq!((seen.outcome.report.duplicates, seen.ids().len()), (2, 0));
    }
}

#[test]
fn a_masked_record_is_no_object_less_and_keeps_its_route_and_time() {
    let mut site = Site::new(NOON);
    site.settings.obfuscation =
        vec![rule(json!({"name": ["kind", "*"]})), rule(json!({"name": ["time"], "value": "then"}))];
    let text = format!("{{\"id\":\"1\",\"time\":\"{TIME}\",\"kind\":[\"red\"]}}");
    let sent = sent(&mut site, &[&text]);
    assert_eq!(sent[0].0, "my.app.red.prod");
    assert!(sent[0].1.contains("\"time\":\"then\"") && !sent[0].1.contains("\"red\""), "{}", sent[0].1);
    assert_eq!(site.checkpoint()["last_event_time_in_utc"], TIME);
}

#[test]
fn a_record_is_the_same_when_its_tokens_are_and_new_when_one_value_changes() {
    let mut site = Site::new(NOON);
    let same = [
        r#"{"id":"1","n":[1,2],"m":{"a":1,"b":2}}"#,
        "{ \"m\" : {\"b\":2,\r\n\"a\":1}, \"id\":\"1\", \"n\":[1, 2]}",
    ];
    assert_eq!(sent(&mut site, &same).len(), 1);
    let changed = [r#"{"id":"1","n":[2,1],"m":{"a":1,"b":2}}"#, r#"{"id":"1","n":[1,2],"m":{"a":1,"b":3}}"#];
    assert_eq!(sent(&mut site, &changed).len(), 2);
}

#[test]
fn a_record_dated_after_now_is_sent_once_and_does_not_move_the_newest() {
    let mut site = Site::with(NOON, &[("past", "2026-11-20T11:00:00Z")]);
    // The API shows it inside the window although its own time lies ahead.
    let text = "{\"id\":\"future\",\"time\":\"2031-01-01T00:00:00Z\"}";
    site.records.push(record(text, at("2026-11-20T11:30:00Z")));
    assert_eq!(site.tick().ids(), ["past", "future"]);
    assert_eq!(site.checkpoint()["last_event_time_in_utc"], "2026-11-20T11:00:00Z");
    for _ in 0..3 {
        site.pass(300);
        site.new_process();
        let seen = site.tick();
        assert_eq!((seen.ids().len(), seen.outcome.report.duplicates), (0, 2));
        assert!(seen.windows()[0].starts_with("2026-11-20T10:00:00Z/"), "{:?}", seen.windows());
    }
}

#[test]
fn the_newest_record_counts_to_its_fraction_of_a_second_and_never_goes_back() {
    let mut site = Site::new(NOON);
    site.records = vec![record("{\"id\":\"1\",\"time\":\"2026-11-20T11:00:00.1234567Z\"}", at(TIME))];
    site.tick();
    assert_eq!(site.checkpoint()["last_event_time_in_utc"], "2026-11-20T11:00:00.1234567Z");
    site.pass(300);
    site.records.push(thing("late", "2026-11-20T10:30:00Z"));
    let seen = site.tick();
    assert_eq!(seen.ids(), ["late"]);
    assert_eq!(site.checkpoint()["last_event_time_in_utc"], "2026-11-20T11:00:00.1234567Z");
    assert_eq!(seen.windows(), ["2026-11-20T10:00:00Z/2026-11-20T12:05:00Z"]);
}

#[test]
fn times_that_no_calendar_holds_make_a_record_timeless_and_not_lost() {
    let mut site = Site::new(NOON);
    site.settings.lookback = jiff::SignedDuration::from_hours(12);
    let texts = [
        r#"{"id":"1","time":"soon"}"#,
        r#"{"id":"2","time":null}"#,
        r#"{"id":"3","time":"0001-01-01T00:00:00Z"}"#,
        r#"{"id":"4","time":"9999-12-31T23:59:59Z"}"#,
        r#"{"id":"5","time":"-000044-03-15T12:00:00Z"}"#,
        r#"{"id":"6","time":1763632800}"#,
    ];
    assert_eq!(sent(&mut site, &texts).len(), 6);
    for _ in 0..2 {
        site.pass(300);
        site.new_process();
        let seen = site.visit(Visit::forced());
        assert_eq!((seen.outcome.report.duplicates, seen.ids().len()), (6, 0));
    }
}
