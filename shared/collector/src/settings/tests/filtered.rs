//! Settings of lists that take filters as JSON: the vendor's page, and the operator's own filters.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::family::{changes, now, problems};
use super::filtered_family::{FUNCTIONS, HARBOUR, SCOPE, WHOLE_LISTS, fields, harbour, resolve_harbour};
use crate::settings::document::{check_all, resolve};
use crate::settings::migrate::migrate;

const START: &str = "2026-11-01T00:00:00Z";

/// A document whose service `alarms` has this additional filter.
fn alarms(filter: &Value) -> Value {
    harbour(json!({"services": {"alarms": {"additional_filter": filter}}}))
}

/// The only problem of such a document.
fn refused(filter: &Value) -> String {
    let error = resolve_harbour(&alarms(filter), "harbour-alarms").unwrap_err();
    assert_eq!((error.error_type.as_str(), error.code), ("InitVariablesError", 1), "{filter}");
    assert_eq!(error.message.lines().count(), 1, "{error}");
    error.message
}

#[test]
fn what_the_vendors_page_names_is_read_wherever_it_stands_for_all_services_at_once() {
    let hosts = [
        ("https://portal.example.com/", "https://portal.example.com"),
        ("https://contoso.us3.portal.example.com/cas/", "https://contoso.us3.portal.example.com/cas"),
        ("https://contoso.us3.portal.example.com", "https://contoso.us3.portal.example.com"),
        ("https://portal.example.gov/", "https://portal.example.gov"),
    ];
    for (host, base_url) in hosts {
        let named = json!({
            "api_base_url": host, "token_url": "https://login.example.com/", "historic_date_utc": START,
            "tag": "my.app.harbour", "requests_limits": [{"period": "1m", "number_of_requests": "20"}],
        });
        let in_services: Value = FUNCTIONS
            .iter()
            .map(|function| (function.trim_start_matches("harbour-").to_owned(), named.clone()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let places = [
            (named.clone(), 4, 0),
            (json!({"credentials": named}), 4, 0),
            // In a snapshot's own block its start is a mistake.
            (json!({"services": in_services}), 20, 1),
        ];
        for (more, requests, said) in places {
            for (function, result) in check_all(&harbour(more.clone()), &[&HARBOUR], now()) {
                let found = result.unwrap();
                let is_whole = WHOLE_LISTS.contains(&function);
                assert_eq!(found.warnings.len(), if is_whole { said } else { 0 }, "{:?}", found.warnings);
                let (settings, connection) = (&found.settings, &found.settings.connection);
                assert!(settings.enabled);
                assert_eq!(connection.base_url, base_url);
                assert_eq!(connection.login_url, "https://login.example.com");
                assert_eq!(connection.scope, SCOPE, "every host has the one audience");
                let start = (!is_whole).then(|| START.parse().unwrap());
                assert_eq!(settings.start_time, start, "{function}");
                assert_eq!(settings.override_tag.as_deref(), Some("my.app.harbour"));
                assert_eq!(
                    (settings.rate.requests, settings.rate.per),
                    (requests, SignedDuration::from_mins(1))
                );
                assert_eq!(settings.has_windows(), !is_whole);
                assert_eq!(settings.late_sweep_period.is_zero(), is_whole);
            }
        }
    }
}

#[test]
fn request_limits_of_input_and_credentials_must_agree() {
    let limits = |of_input: Value, of_credentials: Value| {
        harbour(json!({"requests_per_second": of_input,
            "credentials": {"requests_per_second": of_credentials}}))
    };
    for of_input in [json!(null), json!(10), json!("10")] {
        let found = resolve_harbour(&limits(of_input, json!(10)), "harbour-ships").unwrap();
        assert_eq!((found.settings.rate.requests, found.warnings), (2, vec![]));
    }
    let error = resolve_harbour(&limits(json!(5), json!(10)), "harbour-ships").unwrap_err();
    let place = "inputs.harbour.credentials.requests_per_second";
    let text = "says something else than `inputs.harbour.requests_per_second`; make them agree";
    assert_eq!(error.message, format!("{place}: {text}"));
    let error = resolve_harbour(&limits(json!(null), json!(0)), "harbour-ships").unwrap_err();
    assert!(error.message.starts_with(&format!("{place}: must be above 0")), "{error}");
}

#[test]
fn sweeps_belong_to_lists_by_time_and_modes_to_those_without() {
    let sweep = json!({"late_sweep_period_in_seconds": 7_200, "late_sweep_range_in_seconds": 600});
    let mode = json!({"snapshot_mode": "changes"});
    for function in FUNCTIONS {
        let name = function.trim_start_matches("harbour-");
        let accepts = |settings: &Value| {
            resolve_harbour(&harbour(json!({"services": {name: settings}})), function).is_ok()
        };
        let is_whole = WHOLE_LISTS.contains(&function);
        assert_eq!((accepts(&sweep), accepts(&mode)), (!is_whole, is_whole), "{function}");
    }
}

#[test]
fn fields_are_an_object_or_the_text_of_one() {
    let fields_of_an_alarm =
        json!({"severity": {"eq": 2}, "entity.policy": {"neq": ["a", "b"], "isset": true}});
    let table = [
        (fields_of_an_alarm.clone(), Some(fields_of_an_alarm.clone())),
        (json!(fields_of_an_alarm.to_string()), Some(fields_of_an_alarm.clone())),
        (json!(format!("\n  {fields_of_an_alarm}\n")), Some(fields_of_an_alarm)),
        (json!({"created": {"gte": 1}}), Some(json!({"created": {"gte": 1}}))),
        (json!({}), None),
        (json!("{}"), None),
        (json!(null), None),
    ];
    for (given, expected) in table {
        let document = alarms(&given);
        let found = resolve_harbour(&document, "harbour-alarms").unwrap();
        assert_eq!((fields(&found), found.warnings.len()), (expected.clone(), 0), "{given}");
        assert_eq!(found.settings.filter_clause(), None, "no clause is made of fields");
        let overlay = json!({"additional_filter": given});
        let laid_over =
            resolve(&harbour(json!({})), &[&HARBOUR], "harbour-alarms", overlay.as_object(), now()).unwrap();
        assert_eq!(fields(&laid_over), expected);
        let migrated = migrate(&document, &[&HARBOUR], now()).unwrap();
        assert_eq!(fields(&resolve_harbour(&migrated.document, "harbour-alarms").unwrap()), expected);
        assert_eq!(migrated.warnings, Vec::<String>::new());
    }
}

#[test]
fn what_is_no_object_of_operators_is_named_with_an_example() {
    let place = "inputs.harbour.services.alarms.additional_filter";
    let example = "{\"severity\": {\"eq\": 2}}";
    for (operators, found) in [
        (json!(2), "a number"),
        (json!("high"), "a text"),
        (json!([2]), "a list"),
        (json!(null), "null"),
        (json!(true), "true or false"),
        (json!({}), "an empty one"),
    ] {
        let text = format!("expected an object of operators, for example {example}, found {found}");
        for given in [json!({"severity": operators}), json!(json!({"severity": operators}).to_string())] {
            assert_eq!(refused(&given), format!("{place}.severity: {text}"));
        }
    }
    for (given, found) in [(json!([]), "a list"), (json!(1), "a number"), (json!("\"x\""), "a text")] {
        assert_eq!(refused(&given), format!("{place}: expected an object such as {example}, found {found}"));
    }
    assert_eq!(refused(&json!(" ")), format!("{place}: is empty; give a value or remove it"));
    let two = json!({"severity": 2, "date": {"gte": 1}});
    let error = resolve_harbour(&alarms(&two), "harbour-alarms").unwrap_err();
    assert_eq!(error.message.lines().count(), 2, "all problems are told together: {error}");
}

#[test]
fn text_that_is_no_json_is_refused_by_place_and_never_quoted() {
    for (text, place) in [
        ("severity eq 'hunter2'", "line 1, column 1"),
        ("{\"severity\":\n {\"eq\": hunter2}}", "line 2, column 9"),
        ("{\"severity\": {\"eq\": 2}} hunter2", "line 1, column 25"),
        ("{\"hunter2\"", "line 1, column 10"),
    ] {
        let problem = refused(&json!(text));
        assert!(
            problem.contains(&format!("additional_filter: is no JSON at {place}; give an object")),
            "{problem}"
        );
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn no_filter_takes_the_place_of_the_windows_own() {
    let times = [
        ("arrivals", &["created"][..]),
        ("alarms", &["date", "resolutionDate"]),
        ("cargo", &["modifiedDate"]),
        ("ships", &[]),
    ];
    let all = ["created", "date", "resolutionDate", "modifiedDate"];
    for ((service, own), time) in times.into_iter().flat_map(|it| all.map(|time| (it, time))) {
        let filter = json!({"severity": {"eq": 1}, time: {"gte": 0}});
        let document = harbour(json!({"services": {service: {"additional_filter": filter}}}));
        let found = resolve_harbour(&document, &format!("harbour-{service}"));
        if !own.contains(&time) {
            assert!(found.is_ok(), "{service} {time}");
            continue;
        }
        let message = found.unwrap_err().message;
        let place = format!("inputs.harbour.services.{service}.additional_filter.{time}: ");
        assert!(message.starts_with(&place) && message.contains("`start_time_in_utc`"), "{message}");
    }
}

#[test]
fn a_clause_is_no_object_and_services_of_clauses_say_so() {
    let found = problems(&changes(json!({"additional_filter": {"severity": {"eq": 2}}})));
    let place = "inputs.audit_logs.services.changes.additional_filter";
    assert_eq!(found, [format!("{place}: expected a text, found an object; put it in quotes")]);
}
