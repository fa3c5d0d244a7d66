//! What a document may say, and what becomes of it.

use jiff::SignedDuration;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::family::{FAMILIES, changes, document, now, problems, resolve_changes, with};
use crate::settings::document::{functions, parse_json, resolve};
use crate::settings::{Credential, RequestRate, Settings};

fn settings(document: &Value) -> Settings {
    let resolved = resolve_changes(document).unwrap();
    assert_eq!(resolved.warnings, Vec::<String>::new());
    resolved.settings
}

#[test]
fn a_minimal_document_gives_the_defaults_of_the_declaration() {
    let it = settings(&changes(json!({})));
    assert!(it.enabled);
    assert_eq!(it.partition(), "ab123#audit-changes");
    assert_eq!(it.environment, None);
    assert_eq!(it.environment_label(), "default");
    assert_eq!(it.connection.base_url, "https://api.example.com");
    assert_eq!(it.connection.login_url, "https://login.example.com");
    assert_eq!(it.connection.scope, "https://api.example.com/.default");
    assert_eq!((it.connection.tenant_id.as_str(), it.connection.client_id.as_str()), ("t-1", "c-1"));
    assert!(
        matches!(&it.connection.credential, Credential::Secret(secret) if secret.expose_secret() == "s3cr3t")
    );
    assert_eq!(it.request_period, SignedDuration::from_secs(300));
    assert_eq!((it.start_time, it.filter_clause(), &it.override_tag), (None, None, &None));
    assert_eq!(it.window_max, SignedDuration::from_hours(24));
    assert_eq!(it.lookback, SignedDuration::from_hours(1));
    assert_eq!(it.late_sweep_period, SignedDuration::from_secs(3_600));
    assert_eq!(it.late_sweep_range, SignedDuration::from_secs(86_400));
    assert!(it.obfuscation.is_empty());
    assert_eq!(it.rate, RequestRate { requests: 5, per: SignedDuration::from_secs(10) });
}

#[test]
fn every_setting_of_a_service_is_read_also_from_text() {
    for quoted in [false, true] {
        let number = |n: i64| if quoted { json!(n.to_string()) } else { json!(n) };
        let it = settings(&changes(json!({
            "enabled": if quoted { json!("True") } else { json!(true) },
            "request_period_in_seconds": number(60),
            "start_time_in_utc": "2026-11-01T00-00-00Z",
            "additional_filter": " category eq 'A' ",
            "override_tag": "my.app.audit.test",
            "override_query_window_max_seconds": number(1),
            "override_lookback_in_seconds": number(0),
            "late_sweep_period_in_seconds": number(0),
            "late_sweep_range_in_seconds": number(7_200),
            "requests_per_second": number(2),
            "obfuscation_data": [{"name": ["a"], "value": "****"}],
        })));
        assert_eq!(it.request_period, SignedDuration::from_secs(60));
        assert_eq!(it.start_time, Some("2026-11-01T00:00:00Z".parse().unwrap()));
        assert_eq!(it.filter_clause(), Some("category eq 'A'"));
        assert_eq!(it.override_tag.as_deref(), Some("my.app.audit.test"));
        assert_eq!(it.window_max, SignedDuration::from_secs(1));
        assert_eq!(it.lookback, SignedDuration::ZERO);
        assert_eq!(it.late_sweep_period, SignedDuration::ZERO);
        assert_eq!(it.late_sweep_range, SignedDuration::from_secs(7_200));
        assert_eq!(it.rate, RequestRate { requests: 2, per: SignedDuration::from_secs(1) });
        assert_eq!(it.obfuscation.len(), 1);
    }
}

#[test]
fn every_alias_means_its_setting() {
    for alias in ["start_time_in_utc", "start_time", "historic_date_utc", "historical_poll_datetime"] {
        let it = settings(&changes(json!({alias: "2026-11-01T00:00:00Z"})));
        assert!(it.start_time.is_some(), "{alias}");
    }
    assert_eq!(settings(&changes(json!({"tag": "a.b"}))).override_tag.as_deref(), Some("a.b"));
    for alias in ["override_base_url", "api_base_url", "override_api_base_url", "override_base_url_main"] {
        let it = settings(&with(
            changes(json!({})),
            json!({"inputs": {"audit_logs": {alias: "https://x.example/"}}}),
        ));
        assert_eq!(it.connection.base_url, "https://x.example", "{alias}");
    }
    for alias in ["override_login_url", "token_url", "override_token_url"] {
        let it = settings(&with(
            changes(json!({})),
            json!({"inputs": {"audit_logs": {alias: "http://127.0.0.1:1"}}}),
        ));
        assert_eq!(it.connection.login_url, "http://127.0.0.1:1", "{alias}");
    }
    for alias in ["override_scope_value", "override_scope"] {
        let it = settings(&with(changes(json!({})), json!({"inputs": {"audit_logs": {alias: "mine"}}})));
        assert_eq!(it.connection.scope, "mine", "{alias}");
    }
}

#[test]
fn an_input_and_a_service_are_found_under_their_aliases() {
    let by_name = changes(json!({}));
    let mut by_alias = by_name.clone();
    let input = by_alias["inputs"].as_object_mut().unwrap().remove("audit_logs").unwrap();
    by_alias["inputs"]["audits"] = input;
    let services = &mut by_alias["inputs"]["audits"]["services"];
    *services = json!({"change": {"tag": "a.b"}});
    let it = settings(&by_alias);
    assert!(it.enabled);
    assert_eq!(it.override_tag.as_deref(), Some("a.b"));
}

#[test]
fn an_id_may_be_a_number() {
    assert_eq!(settings(&document(json!({"id": 12345, "services": {"changes": {}}}))).input_id, "12345");
}

#[test]
fn the_environment_becomes_a_level_of_a_tag() {
    for (environment, label) in
        [("prod", "prod"), ("my prod.eu", "my_prod_eu"), ("año", "a_o"), ("A-b_1", "A-b_1")]
    {
        let it = settings(&document(json!({"environment": environment, "services": {"changes": {}}})));
        assert_eq!(it.environment.as_deref(), Some(environment));
        assert_eq!(it.environment_label(), label);
    }
}

#[test]
fn hosts_login_and_audience_belong_together_by_cloud() {
    // (top-level domain, base URL) → (base URL, login host, audience)
    let cases = [
        (None, None, "https://api.example.com", "com", "com"),
        (Some("com"), None, "https://api.example.com", "com", "com"),
        (Some("us"), None, "https://api.example.us", "us", "us"),
        (None, Some("https://api.example.us/"), "https://api.example.us", "us", "us"),
        (None, Some("https://API.example.cn"), "https://api.example.cn", "cn", "cn"),
        (Some("us"), Some("https://api.example.cn"), "https://api.example.cn", "cn", "cn"),
        (None, Some("http://127.0.0.1:9"), "http://127.0.0.1:9", "com", "com"),
    ];
    for (domain, base_url, expected, login, audience) in cases {
        let more = json!({"override_top_level_domain": domain, "override_base_url": base_url,
            "services": {"changes": {}}});
        let it = settings(&document(more));
        assert_eq!(it.connection.base_url, expected);
        assert_eq!(
            it.connection.login_url,
            format!("https://login.example.{login}"),
            "{domain:?} {base_url:?}"
        );
        assert_eq!(it.connection.scope, format!("https://api.example.{audience}/.default"));
    }
}

#[test]
fn an_unknown_host_in_a_national_cloud_has_the_public_audience_and_a_warning() {
    let more = json!({"override_top_level_domain": "us", "override_base_url": "https://proxy.example",
        "services": {"changes": {}}});
    let resolved = resolve_changes(&document(more)).unwrap();
    assert_eq!(resolved.settings.connection.login_url, "https://login.example.us");
    assert_eq!(resolved.settings.connection.scope, "https://api.example.com/.default");
    assert_eq!(resolved.warnings.len(), 1);
    assert!(resolved.warnings[0].contains("`override_scope_value`"), "{:?}", resolved.warnings);
}

#[test]
fn a_certificate_with_its_key_stands_in_for_a_secret() {
    let credentials =
        json!({"client_secret": null, "client_certificate": "PEM", "client_private_key": "KEY"});
    let it = settings(&document(json!({"credentials": credentials, "services": {"changes": {}}})));
    let Credential::Certificate { certificate, private_key } = it.connection.credential else {
        panic!("a certificate is expected");
    };
    assert_eq!((certificate.as_str(), private_key.expose_secret()), ("PEM", "KEY"));
}

#[test]
fn what_is_absent_or_off_is_disabled_and_needs_no_credentials() {
    let cases = [
        json!({"inputs": {}}),
        json!({"inputs": {"audit_logs": null}}),
        json!({"inputs": {"audit_logs": {"enabled": false}}}),
        json!({"inputs": {"audit_logs": {"enabled": "false", "services": {"changes": {}}}}}),
        json!({"inputs": {"other_product": {"enabled": false}}}),
        document(json!({})),
        document(json!({"services": {"logins": {}}})),
        changes(json!({"enabled": false})),
    ];
    for case in cases {
        let resolved = resolve_changes(&case).unwrap();
        assert!(!resolved.settings.enabled, "{case}");
        assert_eq!(resolved.warnings, Vec::<String>::new(), "{case}");
    }
}

#[test]
fn a_null_is_the_same_as_an_absent_key() {
    let it = settings(&document(
        json!({"environment": null, "override_base_url": null, "services": {"changes": null}}),
    ));
    assert!(it.enabled);
    assert_eq!(it.environment, None);
}

#[test]
fn what_is_wrong_in_something_switched_off_is_only_mentioned() {
    let resolved = resolve_changes(&changes(json!({"enabled": false, "tag": "one"}))).unwrap();
    assert!(!resolved.settings.enabled);
    assert_eq!(resolved.warnings.len(), 1);
    assert!(resolved.warnings[0].starts_with("not in use: inputs.audit_logs.services.changes.tag: "));
}

#[test]
fn keys_of_the_vendors_runtime_are_ignored_in_one_line() {
    let mut it = changes(json!({"use_time_slots_for_retrievals": true}));
    it = with(
        it,
        json!({"globals": {"id": "x"}, "global_overrides": {}, "outputs": {}, "job": {}, "autoconfig": {}}),
    );
    it = with(it, json!({"inputs": {"audit_logs": {"autoconfig": {"enabled": true}}}}));
    let warnings = resolve_changes(&it).unwrap().warnings;
    assert_eq!(
        warnings,
        ["ignored, without effect here: globals, global_overrides, outputs, job, autoconfig, \
          inputs.audit_logs.autoconfig, inputs.audit_logs.services.changes.use_time_slots_for_retrievals"]
    );
}

#[test]
fn an_invocations_settings_lie_over_the_documents() {
    let base = changes(json!({"tag": "a.b", "request_period_in_seconds": 600}));
    let overlay = json!({"override_tag": "c.d", "additional_filter": "x eq 1"});
    let resolved = resolve(&base, FAMILIES, "audit-changes", overlay.as_object(), now()).unwrap();
    assert_eq!(resolved.settings.override_tag.as_deref(), Some("c.d"));
    assert_eq!(resolved.settings.filter_clause(), Some("x eq 1"));
    assert_eq!(resolved.settings.request_period, SignedDuration::from_secs(600));
}

#[test]
fn an_invocation_may_switch_its_service_off() {
    let overlay = json!({"enabled": false});
    let resolved =
        resolve(&changes(json!({})), FAMILIES, "audit-changes", overlay.as_object(), now()).unwrap();
    assert!(!resolved.settings.enabled);
}

#[test]
fn the_problem_of_a_document_value_is_gone_when_an_invocation_replaces_it() {
    let base = changes(json!({"tag": "one"}));
    assert_eq!(problems(&base).len(), 1);
    let overlay = json!({"tag": "a.b"});
    let resolved = resolve(&base, FAMILIES, "audit-changes", overlay.as_object(), now()).unwrap();
    assert_eq!(resolved.settings.override_tag.as_deref(), Some("a.b"));
}

#[test]
fn functions_are_listed_in_the_order_of_the_declarations() {
    let names: Vec<&str> = functions(FAMILIES).map(|service| service.function).collect();
    assert_eq!(names, ["audit-changes", "audit-logins", "audit-visits", "other-things"]);
}

#[test]
fn text_that_is_no_json_is_refused_by_place_and_never_quoted() {
    let cases = [
        ("", "it ends too early at line 1, column 0"),
        ("{\"client_secret\": \"hunter2\"", "it ends too early at line 1, column 27"),
        ("{\n  \"client_secret\": hunter2}", "it is not well-formed at line 2, column 20"),
        ("{} hunter2", "it is not well-formed at line 1, column 4"),
    ];
    for (text, expected) in cases {
        let error = parse_json(text).unwrap_err();
        assert!(error.message.ends_with(expected), "{text}: {error}");
        assert!(!error.message.contains("hunter"), "{error}");
        assert_eq!(error.code, 1);
    }
    assert_eq!(parse_json("\u{feff}{\"a\": 1}"), Ok(json!({"a": 1})));
}
