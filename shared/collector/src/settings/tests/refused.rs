//! What a document must not say, and the words in which it is told.

use serde_json::{Value, json};

use super::family::{FAMILIES, changes, document, now, problems, resolve_changes};
use crate::settings::document::resolve;

/// One problem, which starts with the path and contains the text.
fn check(document: &Value, path: &str, text: &str) {
    let found = problems(document);
    assert_eq!(found.len(), 1, "{document}: {found:?}");
    assert!(found[0].starts_with(&format!("{path}: ")), "{path}: {found:?}");
    assert!(found[0].contains(text), "{text}: {found:?}");
}

#[test]
fn a_document_of_another_shape_is_refused() {
    check(&json!([]), "document", "expected an object, found a list");
    check(&json!({}), "inputs", "is missing");
    check(&json!({"inputs": []}), "inputs", "expected an object, found a list");
    check(&json!({"inputs": {"audit_logs": "on"}}), "inputs.audit_logs", "expected an object, found a text");
    check(&json!({"inputs": {}, "input": {}}), "input", "the nearest known one is `inputs`");
    let found = problems(&json!({"audit_logs": {}}));
    assert_eq!(found[0], "audit_logs: is an input; put it under `inputs`");
    check(
        &document(json!({"services": []})),
        "inputs.audit_logs.services",
        "expected an object, found a list",
    );
}

#[test]
fn an_unknown_key_is_named_with_its_path_and_the_nearest_known_one() {
    let service = "inputs.audit_logs.services.changes";
    let cases = [
        (
            changes(json!({"start_tme_in_utc": 1})),
            format!("{service}.start_tme_in_utc"),
            "`start_time_in_utc`",
        ),
        (changes(json!({"snapshot_mode": "daily"})), format!("{service}.snapshot_mode"), "unknown key"),
        (changes(json!({"id": "x"})), format!("{service}.id"), "unknown key"),
        (
            document(json!({"services": {"changes": {}}, "enviroment": "x"})),
            "inputs.audit_logs.enviroment".to_owned(),
            "`environment`",
        ),
        (
            document(json!({"services": {"changes": {}}, "credentials": {"secret": "x"}})),
            "inputs.audit_logs.credentials.secret".to_owned(),
            "unknown key",
        ),
    ];
    for (it, path, text) in cases {
        check(&it, &path, text);
    }
}

#[test]
fn a_setting_of_one_family_is_unknown_to_another() {
    let it = json!({"inputs": {"other_product": {"id": "x", "override_top_level_domain": "us",
        "credentials": {"tenant_id": "t", "client_id": "c", "client_secret": "s"}, "services": {"things": {}}}}});
    let error = resolve(&it, FAMILIES, "other-things", None, now()).unwrap_err();
    assert!(
        error.message.starts_with("inputs.other_product.override_top_level_domain: unknown key"),
        "{error}"
    );
}

#[test]
fn two_spellings_of_one_thing_must_agree() {
    check(
        &changes(json!({"tag": "a.b", "override_tag": "a.c"})),
        "inputs.audit_logs.services.changes.override_tag",
        "keep one",
    );
    let agreeing = changes(json!({"tag": "a.b", "override_tag": "a.b"}));
    assert_eq!(resolve_changes(&agreeing).unwrap().settings.override_tag.as_deref(), Some("a.b"));
    check(
        &document(json!({"services": {"changes": {}, "change": {}}})),
        "inputs.audit_logs.services.change",
        "is the same service as `inputs.audit_logs.services.changes`",
    );
    let mut twice = changes(json!({}));
    twice["inputs"]["audits"] = json!({});
    check(&twice, "inputs.audits", "is the same input as `inputs.audit_logs`");
}

#[test]
fn a_key_that_is_cut_short_names_the_one_that_goes_on() {
    for (key, nearest) in [
        ("request_period", "request_period_in_seconds"),
        ("override_query_window", "override_query_window_max_seconds"),
        ("override_lookback", "override_lookback_in_seconds"),
        ("start_time_in", "start_time_in_utc"),
        ("tagg", "tag"),
    ] {
        let place = format!("inputs.audit_logs.services.changes.{key}");
        check(&changes(json!({key: 1})), &place, &format!("the nearest known one is `{nearest}`"));
    }
}

#[test]
fn an_id_is_required_and_has_few_characters() {
    for (id, text) in [
        (json!(null), "is missing"),
        (json!(""), "is no id"),
        (json!("a#b"), "is no id"),
        (json!("a b"), "is no id"),
        (json!(1.5), "is no id"),
        (json!(true), "expected a text or a number, found true or false"),
    ] {
        check(&document(json!({"id": id, "services": {"changes": {}}})), "inputs.audit_logs.id", text);
    }
}

#[test]
fn all_missing_credentials_are_named_together() {
    let path = "inputs.audit_logs.credentials";
    let cases = [
        (
            json!(null),
            "missing: tenant_id, client_id, client_secret (or client_certificate with client_private_key)",
        ),
        (json!({"tenant_id": "t"}), "missing: client_id, client_secret"),
        (
            json!({"tenant_id": "t", "client_id": "c", "client_certificate": "x"}),
            "missing: client_private_key",
        ),
        (
            json!({"tenant_id": "t", "client_id": "c", "client_private_key": "x"}),
            "missing: client_certificate",
        ),
    ];
    for (credentials, text) in cases {
        let it = json!({"inputs": {"audit_logs": {"id": "x", "credentials": credentials, "services": {"changes": {}}}}});
        check(&it, path, text);
    }
}

#[test]
fn no_error_quotes_a_credential() {
    let cases = [
        json!({"tenant_id": "hunter2/..", "client_id": "hunter2?", "client_secret": "hunter2"}),
        json!({"tenant_id": ["hunter2"], "client_id": {"a": "hunter2"}, "client_secret": ["hunter2"]}),
        json!({"client_secret": {"hunter": "hunter2"}, "client_private_key": ["hunter2"]}),
    ];
    for credentials in cases {
        let it = document(
            json!({"credentials": credentials, "override_base_url": "https://hunter2:hunter2@x.example",
            "override_login_url": "hunter2", "services": {"changes": {}}}),
        );
        let error = resolve_changes(&it).unwrap_err();
        assert!(!error.message.contains("hunter2"), "{error}");
    }
}

#[test]
fn urls_domains_and_scopes_are_checked() {
    let cases = [
        ("override_base_url", json!("http://api.example.com"), "plain http is for loopback only"),
        ("api_base_url", json!("nonsense"), "is no URL"),
        ("token_url", json!("https://x.example?y"), "query"),
        ("override_login_url", json!(1), "expected a text, found a number"),
        ("override_scope", json!("a b"), "must be one scope"),
        ("override_top_level_domain", json!("de"), "use one of: com, us"),
        ("environment", json!(" "), "is empty"),
        ("enabled", json!("yes"), "expected true or false, found a text"),
    ];
    for (key, value, text) in cases {
        let it = document(json!({key: value, "services": {"changes": {}}}));
        check(&it, &format!("inputs.audit_logs.{key}"), text);
    }
}

#[test]
fn settings_of_a_service_are_checked() {
    let long_tag = format!("a.{}", "b".repeat(1_023));
    let cases = [
        ("request_period_in_seconds", json!(59), "must be from 60 to"),
        ("request_period_in_seconds", json!("soon"), "expected a whole number, found a text"),
        ("request_period_in_seconds", json!([300]), "expected a whole number, found a list"),
        ("request_period_in_seconds", json!(60.5), "expected a whole number, found 60.5"),
        ("override_query_window_max_seconds", json!(0), "must be from 1 to"),
        ("override_lookback_in_seconds", json!(-1), "must be from 0 to"),
        ("late_sweep_period_in_seconds", json!(-1), "must be from 0 to"),
        ("late_sweep_range_in_seconds", json!(0), "must be from 1 to"),
        ("override_tag", json!("one"), "is no tag"),
        ("override_tag", json!("a.b.c.d.e.f.g.h.i"), "is no tag"),
        ("override_tag", json!("a..b"), "is no tag"),
        ("override_tag", json!("a.b c"), "is no tag"),
        ("override_tag", json!("a.{env}"), "is no tag"),
        ("tag", json!(long_tag), "is no tag"),
        ("additional_filter", json!(""), "is empty"),
        ("additional_filter", json!("a eq 'b') or (c eq 'd'"), "closes a parenthesis"),
        ("obfuscation_data", json!({}), "expected a list, found an object"),
    ];
    for (key, value, text) in cases {
        check(&changes(json!({key: value})), &format!("inputs.audit_logs.services.changes.{key}"), text);
    }
    check(
        &changes(json!({"obfuscation_data": [{"name": ["a"]}, {"name": ["a"], "string_patterns": ["("]}]})),
        "inputs.audit_logs.services.changes.obfuscation_data[1].string_patterns[0]",
        "is no regular expression",
    );
}

#[test]
fn a_bad_start_time_has_the_published_sentence_and_number() {
    let unreadable = "Must be in parseable datetime format.";
    let cases = [
        (json!("soon"), 1, format!("Invalid start_time_in_utc: soon. {unreadable}")),
        (json!("2026-11-01"), 1, format!("Invalid start_time_in_utc: 2026-11-01. {unreadable}")),
        (json!(1_700_000_000), 1, format!("Invalid start_time_in_utc: 1700000000. {unreadable}")),
        (json!([]), 1, format!("Invalid start_time_in_utc: a list. {unreadable}")),
        (
            json!("2999-01-01T00:00:00Z"),
            2,
            "Invalid start_time_in_utc: 2999-01-01T00:00:00Z. Must be in the past.".to_owned(),
        ),
        (
            json!("2026-11-20T12-00-00Z"),
            2,
            "Invalid start_time_in_utc: 2026-11-20T12-00-00Z. Must be in the past.".to_owned(),
        ),
    ];
    for (value, number, message) in cases {
        for key in ["start_time_in_utc", "historic_date_utc"] {
            let error = resolve_changes(&changes(json!({key: value}))).unwrap_err();
            assert_eq!((error.code, &error.message), (number, &message));
        }
    }
    let both =
        resolve_changes(&changes(json!({"start_time": "2999-01-01T00:00:00Z", "tag": "one"}))).unwrap_err();
    assert_eq!(both.code, 1);
    assert_eq!(both.message.lines().count(), 2);
}

#[test]
fn an_invocations_settings_are_checked_too() {
    let overlay = json!({"historic_date_utc": "2026-11-01T00:00:00Z", "tagg": "a.b", "override_tag": "one"});
    let error =
        resolve(&changes(json!({})), FAMILIES, "audit-changes", overlay.as_object(), now()).unwrap_err();
    insta::assert_snapshot!(error.to_string(), @r#"
    [1] settings.tagg: unknown key, the nearest known one is `tag`; rename or remove it
    settings.historic_date_utc: a start time cannot be set for one invocation; change it in the configuration document, or ask for a backfill
    settings.override_tag: is no tag; give 2 to 8 levels of A-Z a-z 0-9 _ -, joined by dots, at most 1,024 characters
    "#);
}

#[test]
fn an_unknown_function_is_told_the_known_ones() {
    let error = resolve(&changes(json!({})), FAMILIES, "audit-chnages", None, now()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "[1] function `audit-chnages` is not known; known are: audit-changes, audit-logins, audit-visits, other-things"
    );
}

#[test]
fn all_problems_of_a_badly_broken_document_are_reported_together() {
    let it = json!({
        "input": {},
        "inputs": {"audit_logs": {
            "id": "not an id",
            "enabled": "perhaps",
            "credentials": {"tenant_id": "a/b", "client_secrt": "hunter2"},
            "environment": 7,
            "override_top_level_domain": "de",
            "override_base_url": "http://api.example.com",
            "requests_per_second": 0,
            "services": {
                "changes": {
                    "request_period_in_seconds": "59",
                    "start_tme_in_utc": "2026-11-01T00:00:00Z",
                    "start_time_in_utc": "2999-01-01T00:00:00Z",
                    "additional_filter": "(a eq 'b'",
                    "override_tag": "my app",
                    "requests_limits": [{"period": "1 minute", "number_of_requests": 5}],
                    "obfuscation_data": [{"name": "a", "value": {}, "string_patterns": ["["], "pattern": "x"}],
                },
                "changez": {}
            }
        }}
    });
    let error = resolve_changes(&it).unwrap_err();
    assert!(!error.message.contains("hunter2"));
    insta::assert_snapshot!(error.to_string(), @r#"
    [1] input: unknown key, the nearest known one is `inputs`; rename or remove it
    inputs.audit_logs.services.changez: unknown key, the nearest known one is `changes`; rename or remove it
    inputs.audit_logs.enabled: expected true or false, found a text
    inputs.audit_logs.services.changes.start_tme_in_utc: unknown key, the nearest known one is `start_time_in_utc`; rename or remove it
    inputs.audit_logs.id: is no id; give one or more of the characters A-Z a-z 0-9 _ -
    inputs.audit_logs.environment: expected a text, found a number; put it in quotes
    inputs.audit_logs.override_top_level_domain: names no known cloud; use one of: com, us
    inputs.audit_logs.override_base_url: plain http is for loopback only; write https
    inputs.audit_logs.credentials.client_secrt: unknown key, the nearest known one is `client_secret`; rename or remove it
    inputs.audit_logs.credentials: missing: client_id, client_secret (or client_certificate with client_private_key)
    inputs.audit_logs.credentials.tenant_id: holds other characters than A-Z a-z 0-9 . _ -; copy it from the app registration
    inputs.audit_logs.requests_per_second: must be above 0 and at most 9999999 requests a second
    inputs.audit_logs.services.changes.request_period_in_seconds: must be from 60 to 315360000, found 59
    Invalid start_time_in_utc: 2999-01-01T00:00:00Z. Must be in the past.
    inputs.audit_logs.services.changes.additional_filter: leaves a parenthesis open
    inputs.audit_logs.services.changes.override_tag: is no tag; give 2 to 8 levels of A-Z a-z 0-9 _ -, joined by dots, at most 1,024 characters
    inputs.audit_logs.services.changes.obfuscation_data[0].pattern: unknown key, the nearest known one is `string_patterns`; rename or remove it
    inputs.audit_logs.services.changes.obfuscation_data[0].string_patterns[0]: is no regular expression: unclosed character class
    inputs.audit_logs.services.changes.obfuscation_data[0].name: expected a list of keys, found a text
    inputs.audit_logs.services.changes.obfuscation_data[0].value: expected a text, a number, true or false, found an object
    inputs.audit_logs.services.changes.requests_limits[0].period: expected a number and a unit of s, m, h, d, w, M or y, at most ten years, for example 1m
    "#);
}
