//! Documents for version 1.x: what each of their words means today, told once.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::family::{now, with};
use super::older_family::{FAMILIES, OLDER_NAMES, problems, resolved, sample_1_7_1, sample_2_0_0, version_1};
use crate::settings::OlderStart;
use crate::settings::document::resolve;

const SCORES: &str = "inputs.graph.services.scores";

/// The settings of `scores` in an otherwise empty document of version 1.x.
fn scores(settings: Value) -> Value {
    version_1(json!({"scores": settings}))
}

/// The warnings beside that about the split input, which is the first.
fn warnings(document: &Value, function: &str) -> Vec<String> {
    let all = resolved(document, function).warnings;
    assert!(all[0].starts_with("inputs.graph: is an input of version 1.x; read as "), "{all:?}");
    all[1..].to_vec()
}

#[test]
fn the_sample_for_1_7_1_loads_and_each_translation_is_told_once() {
    let document = sample_1_7_1();
    for (name, function) in OLDER_NAMES {
        let found = resolved(&document, function);
        let settings = &found.settings;
        assert!(settings.enabled, "{name}");
        assert_eq!(settings.partition(), format!("ab123#{function}"));
        assert_eq!(settings.connection.base_url, "https://api.example.us");
        assert_eq!(settings.connection.login_url, "https://login.example.us");
        assert_eq!(settings.connection.scope, "https://api.example.us/.default");
        assert_eq!(settings.request_period, SignedDuration::from_secs(600));
        let start = (name != "profile").then(|| "2026-11-10T00:00:00Z".parse().unwrap());
        assert_eq!(settings.start_time, start);
        assert_eq!(settings.older_start, OlderStart { reach: None, mark: Some("2026-11-01".to_owned()) });
        for key in ["custom_endpoints", "ms_365_environment", "reset_persistence_auth"] {
            let told = found.warnings.iter().filter(|line| line.contains(&format!("{key}: "))).count();
            assert_eq!(told, 1, "{name}: {key}: {:?}", found.warnings);
        }
        let of_its_own = match name {
            "scores" | "profile" => 2,
            "alerts" | "login_robots" | "login_services" | "login_machines" => 1,
            _ => 0,
        };
        assert_eq!(found.warnings.len(), 4 + of_its_own, "{name}: {:?}", found.warnings);
    }
}

#[test]
fn the_sample_for_2_0_0_loads_without_a_warning() {
    for (_, function) in OLDER_NAMES {
        let found = resolved(&sample_2_0_0(), function);
        assert_eq!(found.warnings, [""; 0], "{function}");
        assert_eq!(found.settings.override_tag.as_deref(), Some("my.app.all.test"));
        assert_eq!(found.settings.connection.base_url, "https://api.example.us");
    }
}

#[test]
fn an_input_that_was_split_gives_each_of_its_heirs_the_services_that_are_theirs() {
    let document = version_1(json!({"audit": {}, "alerts": {}}));
    for function in ["graph-audits", "graph-alerts"] {
        assert!(resolved(&document, function).settings.enabled, "{function}");
        assert_eq!(warnings(&document, function), [""; 0]);
    }
    for function in ["graph-logins", "graph-scores"] {
        assert!(!resolved(&document, function).settings.enabled, "{function}");
    }
    let only = version_1(json!({"audit": {}}));
    assert!(resolved(&only, "graph-audits").warnings[0].ends_with("read as `graph_audit`"));
    assert_eq!(resolved(&only, "graph-alerts").warnings, [""; 0]);
}

#[test]
fn a_service_that_no_heir_knows_is_an_error_that_names_it() {
    let document = version_1(json!({"audit": {}, "alerts": {}, "scroes": {}}));
    for function in ["graph-audits", "graph-alerts"] {
        assert_eq!(
            problems(&document, function),
            [
                "inputs.graph.services.scroes: unknown key, the nearest known one is `scores`; rename or remove it"
            ]
        );
    }
}

#[test]
fn an_older_input_beside_one_of_its_heirs_is_an_error() {
    let mut document = version_1(json!({"audit": {}, "alerts": {}}));
    document["inputs"]["graph_security"] = json!({"enabled": true, "services": {"alerts": {}}});
    let found = problems(&document, "graph-audits");
    assert_eq!(
        found,
        [
            "inputs.graph: is `graph_audit` and `graph_security` today, and `graph_security` is there too; keep one"
        ]
    );
}

#[test]
fn parts_of_one_service_are_joined_and_limited_to_the_parts_that_work() {
    let cases = [
        (json!({"login_robots": {}}), "types/any(t: t eq 'robot')"),
        (json!({"login_machines": null, "login_robots": {}}), "types/any(t: t eq 'robot' or t eq 'machine')"),
        (json!({"login_robots": {"enabled": "false"}, "login_services": {}}), "types/any(t: t eq 'service')"),
        (
            json!({"login_robots": {"additional_filter": "a eq 'b'"}}),
            "(types/any(t: t eq 'robot')) and (a eq 'b')",
        ),
    ];
    for (services, filter) in cases {
        let document = version_1(services);
        let found = resolved(&document, "graph-logins-v2");
        assert!(found.settings.enabled);
        assert_eq!(found.settings.filter_clause(), Some(filter));
        assert_eq!(warnings(&document, "graph-logins-v2").len(), 1);
    }
    let off = version_1(json!({"login_robots": {"enabled": false}, "login_services": {"enabled": false}}));
    assert!(!resolved(&off, "graph-logins-v2").settings.enabled);
}

#[test]
fn of_parts_that_differ_the_value_counts_that_loses_nothing() {
    let document = version_1(json!({
        "login_robots": {"request_period_in_seconds": "600", "start_time": "2026-11-10T00:00:00Z"},
        "login_services": {"request_period_in_seconds": 300, "start_time": "2026-11-09T00:00:00Z"},
        "login_machines": {},
    }));
    let settings = resolved(&document, "graph-logins-v2").settings;
    assert_eq!(settings.request_period, SignedDuration::from_secs(300));
    assert_eq!(settings.start_time, Some("2026-11-09T00:00:00Z".parse().unwrap()));
}

#[test]
fn parts_that_contradict_each_other_and_parts_beside_the_whole_are_errors() {
    let services = "inputs.graph.services";
    let cases = [
        (
            json!({"login_robots": {"override_tag": "a.b"}, "login_services": {"override_tag": "a.c"}}),
            format!(
                "{services}.login_services.override_tag: is not the same as of `{services}.login_robots`"
            ),
        ),
        (
            json!({"login_robots": {}, "login_services": {"override_tag": "a.c"}}),
            format!(
                "{services}.login_services.override_tag: is not the same as of `{services}.login_robots`"
            ),
        ),
        (
            json!({"login_robots": {"override_tag": "a.c"}, "login_services": {}}),
            format!(
                "{services}.login_robots.override_tag: is not the same as of `{services}.login_services`"
            ),
        ),
        (
            json!({"login_robots": {}, "logins_v2": {}}),
            format!("{services}.login_robots: is a part of `{services}.logins_v2`; keep one"),
        ),
        (
            json!({"login_robots": {}, "login_services": {"start_time": "soon"}}),
            "Invalid start_time_in_utc: soon".to_owned(),
        ),
        (
            json!({"login_robots": {"start_time": "2026-11-01T00:00:00Z"},
                "login_services": {"override_time_delta_in_days": 3}}),
            format!(
                "{services}.login_services.override_time_delta_in_days: cannot go with \
                 `{services}.login_robots.start_time`"
            ),
        ),
        (json!({"login_robots": []}), format!("{services}.login_robots: expected an object, found a list")),
        (json!({"login_robots": {"tagg": "a.b"}}), format!("{services}.login_robots.tagg: unknown key")),
        (
            json!({"login_robots": {"additional_filter": "(a"}}),
            format!("{services}.login_robots.additional_filter: leaves a parenthesis open"),
        ),
    ];
    for (services, expected) in cases {
        let found = problems(&version_1(services), "graph-logins-v2");
        assert!(found.len() == 1 && found[0].starts_with(&expected), "{expected}: {found:?}");
    }
}

#[test]
fn tag_version_is_the_tag_that_it_stood_for() {
    let cases = [
        ("graph-scores", json!({"scores": {"tag_version": "v1"}}), Some("cloud.old.scores.2")),
        ("graph-scores", json!({"scores": {"tag_version": 1}}), Some("cloud.old.scores.2")),
        ("graph-scores", json!({"scores": {"tag_version": "V2"}}), None),
        ("graph-alerts", json!({"alerts": {"tag_version": "v1"}}), Some("cloud.old.alerts.2")),
        ("graph-profiles", json!({"profile": {"tag_version": "v1"}}), None),
        (
            "graph-scores",
            json!({"scores": {"tag_version": "v1", "override_tag": "cloud.old.scores.2"}}),
            Some("cloud.old.scores.2"),
        ),
        ("graph-scores", json!({"scores": {"tag_version": "v2", "tag": "a.b"}}), Some("a.b")),
    ];
    for (function, services, tag) in cases {
        let document = version_1(services);
        assert_eq!(resolved(&document, function).settings.override_tag.as_deref(), tag, "{document}");
        let told = warnings(&document, function);
        assert!(told.len() == 1 && told[0].contains(".tag_version: "), "{told:?}");
    }
    for (settings, text) in [
        (json!({"tag_version": "v3"}), "must be v1 or v2"),
        (json!({"tag_version": []}), "must be v1 or v2"),
        (json!({"tag_version": "v1", "tag": "a.b"}), "stands for the tag cloud.old.scores.2, but"),
    ] {
        let found = problems(&scores(settings), "graph-scores");
        assert!(found[0].starts_with(&format!("{SCORES}.tag_version: {text}")), "{found:?}");
        assert_eq!(found.len(), 1);
    }
}

#[test]
fn the_governments_environment_is_its_top_level_domain() {
    let cases = [
        ("gcc_high_gov", "us"),
        ("GCC High", "us"),
        ("government", "us"),
        ("us", "us"),
        ("GCC", "com"),
        ("worldwide", "com"),
        ("commercial", "com"),
    ];
    for (environment, domain) in cases {
        let document = scores(json!({"ms_365_environment": environment}));
        let connection = resolved(&document, "graph-scores").settings.connection;
        assert_eq!(connection.base_url, format!("https://api.example.{domain}"), "{environment}");
        let told = warnings(&document, "graph-scores");
        assert!(
            told.len() == 1 && told[0].starts_with(&format!("{SCORES}.ms_365_environment: ")),
            "{told:?}"
        );
    }
    for value in [json!("mars"), json!("dod"), json!(1)] {
        let found = problems(&scores(json!({"ms_365_environment": value})), "graph-scores");
        assert!(found.len() == 1 && found[0].contains("names no known environment"), "{found:?}");
    }
    let other = json!({"inputs": {"other_product": with(super::family::input(),
        json!({"services": {"things": {"ms_365_environment": "government"}}}))}});
    assert!(problems(&other, "other-things")[0].contains("give the input its `override_base_url`"));
}

#[test]
fn endpoints_of_services_are_the_inputs_and_must_agree() {
    let urls = json!({"override_base_url_main": "https://proxy.example/", "override_scope": "mine",
        "override_base_url_vendor": "https://vendor.example"});
    let again = json!({"override_base_url_main": "https://proxy.example"});
    let document = version_1(json!({
        "scores": {"custom_endpoints": urls},
        "alerts": {"custom_endpoints": again},
        "alerts_v2": {},
        "profile": {"enabled": false, "custom_endpoints": {"override_base_url_main": "https://else.example"}},
        "audit": {},
    }));
    for function in ["graph-scores", "graph-alerts-v2"] {
        let connection = resolved(&document, function).settings.connection;
        assert_eq!(
            (connection.base_url.as_str(), connection.scope.as_str()),
            ("https://proxy.example", "mine")
        );
        let told = warnings(&document, function);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(
            told[0],
            format!(
                "{SCORES}.custom_endpoints: is of version 1.x (here and in 2 more places); read as the input's \
                 `override_base_url`, `override_scope_value`; URLs of single vendors have no effect"
            )
        );
    }
    let of_audit = resolved(&document, "graph-audits").settings.connection;
    assert_eq!(
        of_audit.base_url, "https://api.example.com",
        "each heir has the endpoints of its own services"
    );
}

#[test]
fn endpoints_of_a_service_that_is_switched_off_move_no_other() {
    let off = json!({"enabled": false, "ms_365_environment": "gcc_high",
        "custom_endpoints": {"override_base_url_main": "https://else.example"}});
    let document = version_1(json!({"scores": {}, "alerts": off}));
    let connection = resolved(&document, "graph-scores").settings.connection;
    assert_eq!(connection.base_url, "https://api.example.com");
    assert!(warnings(&document, "graph-scores").iter().all(|line| line.contains("has no effect")));
    let alone = resolved(&version_1(json!({"alerts": off})), "graph-alerts").settings.connection;
    assert_eq!(alone.base_url, "https://else.example", "it is kept for the day on which it works");
}

#[test]
fn endpoints_that_say_nothing_have_no_effect() {
    for endpoints in [json!({}), json!({"override_base_url_main": null, "override_base_url_vendor": null})] {
        let document = scores(json!({"custom_endpoints": endpoints}));
        let text = format!("{SCORES}.custom_endpoints: is of version 1.x and has no effect");
        assert_eq!(warnings(&document, "graph-scores"), [text]);
    }
}

#[test]
fn endpoints_that_disagree_or_are_wrong_are_errors_at_their_own_place() {
    let main = |url: &str| json!({"custom_endpoints": {"override_base_url_main": url}});
    let at = format!("{SCORES}.custom_endpoints");
    let cases = [
        (
            json!({"alerts": main("https://a.example"), "scores": main("https://b.example")}),
            format!(
                "{at}.override_base_url_main: says something else than `inputs.graph.services.alerts.custom_endpoints.override_base_url_main`"
            ),
        ),
        (json!({"scores": main("http://a.example")}), format!("{at}.override_base_url_main: plain http")),
        (json!({"scores": {"custom_endpoints": "x"}}), format!("{at}: expected an object, found a text")),
        (
            json!({"scores": {"custom_endpoints": {"override_login": "https://a.example"}}}),
            format!("{at}.override_login: unknown key, the nearest known one is `override_login_url`"),
        ),
        (
            json!({"alerts": {"ms_365_environment": "gcc_high"}, "scores": {"ms_365_environment": "public"}}),
            format!("{SCORES}.ms_365_environment: says something else than"),
        ),
    ];
    for (services, expected) in cases {
        let found = problems(&version_1(services), "graph-scores");
        assert!(found.len() == 1 && found[0].starts_with(&expected), "{expected}: {found:?}");
    }
    let mut document = scores(main("https://a.example"));
    document["inputs"]["graph"]["override_base_url"] = json!("https://b.example");
    assert!(problems(&document, "graph-scores")[0].contains("than `inputs.graph.override_base_url`"));
}

#[test]
fn urls_and_audience_may_also_be_among_the_credentials_and_the_services() {
    for more in [
        json!({"credentials": {"api_base_url": "https://x.example", "token_url": "https://l.example", "override_scope": "s"}}),
        json!({"services": {"audits": {"override_api_base_url": "https://x.example", "override_token_url": "https://l.example",
            "override_scope_value": "s"}}}),
    ] {
        let input = with(super::family::input(), json!({"services": {"audits": {}, "logins": {}}}));
        let document = json!({"inputs": {"graph_audit": with(input, more)}});
        for function in ["graph-audits", "graph-logins"] {
            let found = resolved(&document, function);
            let connection = found.settings.connection;
            assert_eq!(
                [connection.base_url, connection.login_url, connection.scope],
                ["https://x.example", "https://l.example", "s"]
            );
            assert_eq!(found.warnings, [""; 0]);
        }
    }
}

#[test]
fn a_start_in_days_is_kept_as_days_and_goes_with_no_other_start() {
    for days in [json!(3), json!("3")] {
        let document = scores(json!({"override_time_delta_in_days": days}));
        let settings = resolved(&document, "graph-scores").settings;
        assert_eq!(
            settings.start_time, None,
            "an instant that moves with the clock would restart at each tick"
        );
        assert_eq!(settings.older_start.reach, Some(SignedDuration::from_hours(72)));
        assert_eq!(warnings(&document, "graph-scores").len(), 1);
    }
    let at = format!("{SCORES}.override_time_delta_in_days");
    for (more, text) in [
        (
            json!({"start_time": "2026-11-01T00:00:00Z"}),
            format!("cannot go with `{SCORES}.start_time`; keep one"),
        ),
        (
            json!({"reset_persistence_auth": "x"}),
            format!("cannot go with `{SCORES}.reset_persistence_auth`; keep one"),
        ),
        (json!({"override_time_delta_in_days": -1}), "must be from 0 to".to_owned()),
        (json!({"override_time_delta_in_days": "soon"}), "expected a whole number".to_owned()),
    ] {
        let document = scores(with(json!({"override_time_delta_in_days": 3}), more));
        let found = problems(&document, "graph-scores");
        assert!(found.len() == 1 && found[0].starts_with(&format!("{at}: {text}")), "{found:?}");
    }
}

#[test]
fn a_reset_is_any_text_and_a_sliding_window_has_no_effect() {
    for (value, mark) in [(json!("2026-11-01"), "2026-11-01"), (json!(7), "7"), (json!(true), "true")] {
        let document = scores(json!({"reset_persistence_auth": value}));
        assert_eq!(resolved(&document, "graph-scores").settings.older_start.mark.as_deref(), Some(mark));
        assert_eq!(warnings(&document, "graph-scores").len(), 1);
    }
    assert!(
        problems(&scores(json!({"reset_persistence_auth": {}})), "graph-scores")[0]
            .contains("expected a text")
    );
    let document = scores(json!({"pull_sliding_window_timespan_period": 5}));
    let told = warnings(&document, "graph-scores");
    assert!(told.len() == 1 && told[0].contains("pull_sliding_window_timespan_period: "), "{told:?}");
}

#[test]
fn an_invocation_speaks_no_older_words() {
    for key in ["tag_version", "custom_endpoints", "override_time_delta_in_days", "reset_persistence_auth"] {
        let overlay = json!({key: "v1"});
        let document = scores(json!({}));
        let error = resolve(&document, FAMILIES, "graph-scores", overlay.as_object(), now()).unwrap_err();
        assert!(error.message.starts_with(&format!("settings.{key}: unknown key")), "{error}");
    }
}

#[test]
fn older_words_of_another_service_are_not_told_here() {
    let document = version_1(json!({
        "scores": {},
        "alerts": {"tag_version": "v1", "override_time_delta_in_days": 3, "pull_sliding_window_timespan_period": 1},
    }));
    assert_eq!(warnings(&document, "graph-scores"), [""; 0]);
    assert_eq!(warnings(&document, "graph-alerts").len(), 3);
}

#[test]
fn all_problems_of_an_older_document_are_reported_together() {
    let document = version_1(json!({"scores": {
        "tag_version": "v9", "ms_365_environment": "mars", "custom_endpoints": {"url": "hunter2"},
        "override_time_delta_in_days": 1, "start_time": "2026-11-01T00:00:00Z", "request_period_in_seconds": 1}}));
    let found = problems(&document, "graph-scores");
    assert_eq!(found.len(), 5, "{found:#?}");
    assert!(!found.join("\n").contains("hunter2"));
}
