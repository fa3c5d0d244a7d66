//! The operator's own queries in a document.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::family::{CLOUDS, changes, input, now, problems, service, with};
use crate::error::Error;
use crate::service::{Family, Older, Query, Service, Tag};
use crate::settings::QuerySpan;
use crate::settings::document::{Resolved, resolve};
use crate::settings::migrate::migrate;

static DEFENDER: Family =
    Family { input: "defender", aliases: &[], older: Older::NONE, clouds: CLOUDS, services: &[&HUNTING] };

static HUNTING: Service = Service {
    query: Query::Hunting { path: "/run" },
    tag: Tag::Fixed(""),
    ..service("defender", "hunting", &[], "defender-hunting", "hunting")
};

const WINDOW: &str = "Logons | where Timestamp between ({from} .. {to})";

fn resolved(settings: Value, overlay: Option<Value>) -> Result<Resolved, Error> {
    let document = json!({"inputs": {"defender": with(input(), json!({"services": {"hunting": settings}}))}});
    let laid_over = overlay.as_ref().and_then(Value::as_object);
    resolve(&document, &[&DEFENDER], "defender-hunting", laid_over, now())
}

/// The settings of a service with these queries.
fn with_queries(queries: Value) -> Result<Resolved, Error> {
    resolved(json!({"queries": queries}), None)
}

/// The problems of a service with these settings, one a line, without what all places begin with.
fn problems_of(settings: Value) -> Vec<String> {
    let error = resolved(settings, None).unwrap_err();
    assert_eq!((error.error_type.as_str(), error.code), ("InitVariablesError", 1));
    error.message.lines().map(|line| line.replace("inputs.defender.services.hunting.", "")).collect()
}

#[test]
fn a_query_has_what_it_says_and_else_what_its_service_says() {
    let queries = json!([
        {"name": " logons ", "query": WINDOW, "tag": "my.app.logons", "request_period_in_seconds": "600",
            "time_range_in_seconds": "3600.0"},
        {"name": "machines", "query": "DeviceInfo | take 10"},
    ]);
    let settings =
        json!({"override_tag": "my.app.hunting", "request_period_in_seconds": 900, "queries": queries});
    let found = resolved(settings, None).unwrap();
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    let seconds = SignedDuration::from_secs;
    let [logons, machines] = &found.settings.queries[..] else { panic!("{:?}", found.settings.queries) };
    assert_eq!(
        (logons.name.as_str(), logons.text.as_str(), logons.tag.as_str()),
        ("logons", WINDOW, "my.app.logons")
    );
    assert_eq!(
        (logons.period, logons.range, logons.span),
        (seconds(600), Some(seconds(3_600)), QuerySpan::Window)
    );
    assert_eq!(
        (machines.tag.as_str(), machines.period, machines.range),
        ("my.app.hunting", seconds(900), None)
    );
    assert_eq!(machines.span, QuerySpan::Whole);
    assert_eq!(found.settings.request_period, seconds(600), "the service is due when one of them is");
    assert!(found.settings.late_sweep_period.is_zero() && found.settings.has_windows());
}

#[test]
fn all_that_is_wrong_with_queries_is_named_at_once() {
    let tag = "my.app.a";
    let queries = json!([
        {"name": "a", "query": WINDOW, "override_tag": tag},
        {"name": "a", "query": "  ", "override_tag": "one"},
        {"query": 7, "time_range_in_seconds": 0, "request_period_in_seconds": 59},
        {"name": "b\nc", "query": "Logons | where Timestamp > {from}", "override_tag": tag},
        {"name": "n".repeat(101), "query": "Logons | where Timestamp < {to}", "override_tag": tag},
        {"name": "d", "query": "q".repeat(100_001), "override_tag": tag, "time_range_in_seconds": 2_592_001},
        {"name": "e", "qery": "Logons", "override_tag": tag},
        "Logons",
    ]);
    assert_eq!(
        problems_of(json!({"queries": queries})),
        [
            "queries[1].name: is the same as `inputs.defender.services.hunting.queries[0].name`; give each query a name of its own".replace("inputs.defender.services.hunting.", "").as_str(),
            "queries[1].query: is empty; give a value or remove it",
            "queries[1].override_tag: is no tag; give 2 to 8 levels of A-Z a-z 0-9 _ -, joined by dots, at most 1,024 characters",
            "queries[2].name: is missing; give a name of its own, by which the query's state is kept",
            "queries[2].query: expected a text, found a number; put it in quotes",
            "queries[2].override_tag: is missing; give the tag of its rows here or in the service, for example my.app.defender.logons",
            "queries[2].request_period_in_seconds: must be from 60 to 315360000, found 59",
            "queries[2].time_range_in_seconds: must be from 1 to 2592000, found 0",
            "queries[3].name: must have 1 to 100 characters, none of them a control character",
            "queries[3].query: has no `{to}`; give both ends of the window, or neither for a snapshot",
            "queries[4].name: must have 1 to 100 characters, none of them a control character",
            "queries[4].query: has no `{from}`; give both ends of the window, or neither for a snapshot",
            "queries[5].query: must have at most 100,000 characters",
            "queries[5].time_range_in_seconds: must be from 1 to 2592000, found 2592001",
            "queries[6].qery: unknown key, the nearest known one is `query`; rename or remove it",
            "queries[6].query: is missing; give the query in Kusto Query Language",
            "queries[7]: expected an object, found a text",
        ]
    );
}

#[test]
fn the_longest_name_and_text_and_characters_of_any_script_are_fine() {
    let name = "ü".repeat(100);
    let text = "q".repeat(100_000);
    let found = with_queries(json!([{"name": name, "query": text, "tag": "my.app.a"}])).unwrap();
    assert_eq!((&found.settings.queries[0].name, &found.settings.queries[0].text), (&name, &text));
}

#[test]
fn a_range_without_a_window_has_no_effect_and_that_is_said() {
    let query = json!({"name": "a", "query": "DeviceInfo", "tag": "my.app.a", "time_range_in_seconds": 60});
    let found = with_queries(json!([query])).unwrap();
    assert_eq!(
        found.warnings,
        [
            "inputs.defender.services.hunting.queries[0].time_range_in_seconds: has no effect: the query names no `{from}` and `{to}`"
        ]
    );
    assert_eq!(found.settings.queries[0].range, None);
    assert!(!found.settings.has_windows());
}

#[test]
fn a_working_service_without_a_query_is_told_what_to_give_and_one_that_is_off_or_absent_is_not() {
    for nothing in [json!({}), json!({"queries": null}), json!({"queries": []})] {
        let found = problems_of(nothing);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("queries: has no query; give one or more, such as [{\"name\""),
            "{found:?}"
        );
    }
    assert_eq!(problems_of(json!({"queries": {}})), ["queries: expected a list, found an object"]);
    let off = resolved(json!({"enabled": false}), None).unwrap();
    assert!(!off.settings.enabled && off.warnings.is_empty(), "{:?}", off.warnings);
    let document = json!({"inputs": {"defender": with(input(), json!({"services": {}}))}});
    let absent = resolve(&document, &[&DEFENDER], "defender-hunting", None, now()).unwrap();
    assert!(!absent.settings.enabled);
    // The example is a query that passes.
    let example = problems_of(json!({}))[0].clone();
    let text = example.split_once("such as ").unwrap().1.rsplit_once(", or set").unwrap().0;
    let found = with_queries(serde_json::from_str(text).unwrap()).unwrap();
    assert_eq!(found.settings.queries[0].span, QuerySpan::Window);
}

#[test]
fn a_tag_of_the_service_that_is_no_tag_is_one_problem() {
    let found = problems_of(json!({"tag": "one", "queries": [{"name": "a", "query": "DeviceInfo"}]}));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("tag: is no tag"), "{found:?}");
}

#[test]
fn an_invocation_may_bring_queries_of_its_own() {
    let own = json!({"tag": "my.app.a", "queries": [{"name": "a", "query": "DeviceInfo"}]});
    let overlay = json!({"queries": [{"name": "b", "query": WINDOW}]});
    let found = resolved(own.clone(), Some(overlay)).unwrap();
    let names: Vec<&str> = found.settings.queries.iter().map(|query| query.name.as_str()).collect();
    assert_eq!(names, ["b"]);
    let error = resolved(own, Some(json!({"queries": [{"query": "x"}]}))).unwrap_err();
    assert!(error.message.starts_with("settings.queries[0].name: is missing"), "{error}");
}

#[test]
fn queries_and_sweeps_are_settings_of_other_services() {
    assert!(problems(&changes(json!({"queries": []})))[0].contains("queries: unknown key"));
    let with_sweep = json!({"late_sweep_period_in_seconds": 60, "tag": "my.app.a",
        "queries": [{"name": "a", "query": "DeviceInfo"}]});
    assert!(problems_of(with_sweep)[0].starts_with("late_sweep_period_in_seconds: unknown key"));
}

#[test]
fn a_migrated_query_has_names_of_today_and_no_range_that_has_no_effect() {
    let query = |text: &str| json!({"name": text, "query": text, "tag": "my.app.logons", "time_range_in_seconds": 60});
    let services = json!({"hunting": {"queries": [query(WINDOW), query("DeviceInfo | take 10")]}});
    let document = json!({"inputs": {"defender": with(input(), json!({"services": services}))}});
    let found = migrate(&document, &[&DEFENDER], now()).unwrap();
    let kept = |text: &str| json!({"name": text, "query": text, "override_tag": "my.app.logons"});
    let expected = [with(kept(WINDOW), json!({"time_range_in_seconds": 60})), kept("DeviceInfo | take 10")];
    let queries = &found.document["inputs"]["defender"]["services"]["hunting"]["queries"];
    assert_eq!(*queries, json!(expected));
    let left_out =
        found.changes.iter().filter(|line| line.contains("queries[1].time_range_in_seconds: is left out"));
    assert_eq!((left_out.count(), found.changes.len()), (1, 3), "{:?}", found.changes);
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    let again = migrate(&found.document, &[&DEFENDER], now()).unwrap();
    assert_eq!((again.document, again.changes), (found.document, vec![]));
}
