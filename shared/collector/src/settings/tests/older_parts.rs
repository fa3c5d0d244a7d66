//! Services of version 1.x that are one today: what may differ in their words and still means the same.

use serde_json::json;

use super::older_family::{problems, resolved, version_1};

const ROBOTS: &str = "inputs.graph.services.login_robots";

#[test]
fn other_spellings_of_the_same_are_no_difference() {
    for (one, other) in [
        (json!({"tag": "a.b"}), json!({"override_tag": "a.b"})),
        (json!({"override_lookback_in_seconds": "300"}), json!({"override_lookback_in_seconds": 300})),
        (json!({"ms_365_environment": "gcc_high"}), json!({"ms_365_environment": "GCC High"})),
        (
            json!({"custom_endpoints": {"override_base_url_main": "https://a.example", "override_base_url_vendor": "x"}}),
            json!({"custom_endpoints": {"override_base_url_main": "https://a.example/", "override_base_url_vendor": "y"}}),
        ),
        (json!({"start_time": "2026-11-09T00:00:00Z"}), json!({"start_time_in_utc": "2026-11-10T00:00:00Z"})),
    ] {
        let settings = |services| resolved(&version_1(services), "graph-logins-v2").settings;
        let joined = settings(json!({"login_robots": one, "login_services": other}));
        let mut alone = settings(json!({"login_robots": one}));
        alone.additional_filter.clone_from(&joined.additional_filter);
        assert_eq!(format!("{joined:?}"), format!("{alone:?}"));
    }
}

#[test]
fn a_problem_in_another_spelling_is_told_where_it_is_written() {
    let cases = [
        (json!({"login_robots": {"tag": "one"}, "login_services": {"tag": "one"}}), "tag: is no tag"),
        (json!({"login_robots": {"tag": "a.b"}, "login_services": {}}), "tag: is not the same as of"),
        (json!({"login_robots": {"tag": "a.b", "override_tag": "a.c"}}), "override_tag: says something else"),
    ];
    for (services, expected) in cases {
        let found = problems(&version_1(services), "graph-logins-v2");
        assert!(found.len() == 1 && found[0].starts_with(&format!("{ROBOTS}.{expected}")), "{found:?}");
    }
}

#[test]
fn a_change_of_any_parts_reset_restarts_the_whole() {
    let mark = |robots: &str, machines: &str| {
        let services = json!({
            "login_robots": {"reset_persistence_auth": robots},
            "login_services": {},
            "login_machines": {"reset_persistence_auth": machines},
        });
        resolved(&version_1(services), "graph-logins-v2").settings.older_start.mark
    };
    assert_eq!(mark("a", "a").as_deref(), Some("a"));
    let marks = [mark("a", "b"), mark("a", "c"), mark("b", "c")];
    assert!(marks.iter().all(Option::is_some));
    assert!(marks[0] != marks[1] && marks[1] != marks[2] && marks[0] != marks[2], "{marks:?}");
}

#[test]
fn a_filter_stays_inside_its_parentheses_and_an_empty_one_is_named() {
    for (own, expected) in [
        ("a eq 1) or (b eq 2", "closes a parenthesis that it does not open"),
        ("", "is empty; give a value or remove it"),
    ] {
        let document = version_1(json!({"login_robots": {"additional_filter": own}}));
        let found = problems(&document, "graph-logins-v2");
        assert_eq!(found, [format!("{ROBOTS}.additional_filter: {expected}")]);
    }
}
