//! A token that one service of an input sends as it is: who is told of it, who needs it, who never holds it.

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::family::{FAMILIES, changes, document, input, now, problems};
use super::filtered_family::{FUNCTIONS, HARBOUR, harbour, resolve_harbour};
use crate::settings::Credential;
use crate::settings::document::{check_all, resolve};
use crate::settings::migrate::migrate;

const PLACE: &str = "inputs.harbour.credentials.cargo_access_token";

fn with_token(token: &Value) -> Value {
    harbour(json!({"credentials": {"cargo_access_token": token}}))
}

#[test]
fn only_the_service_that_sends_the_token_holds_it() {
    for token in ["t0ken-of-hunter2", "  t0ken-of-hunter2\n"] {
        let document = with_token(&json!(token));
        for function in FUNCTIONS {
            let found = resolve_harbour(&document, function).unwrap();
            assert_eq!(found.warnings, Vec::<String>::new());
            let connection = found.settings.connection.clone();
            match connection.credential {
                Credential::Token(held) => {
                    assert_eq!((function, held.expose_secret()), ("harbour-cargo", "t0ken-of-hunter2"));
                }
                Credential::Secret(secret) => {
                    assert_ne!(function, "harbour-cargo");
                    assert_eq!(secret.expose_secret(), "s3cr3t");
                }
                Credential::Certificate { .. } => panic!("nobody gave one"),
            }
            assert!(!format!("{found:?}").contains("hunter2"));
            assert_eq!((connection.tenant_id.as_str(), connection.client_id.as_str()), ("t-1", "c-1"));
        }
        let migrated = migrate(&document, &[&HARBOUR], now()).unwrap();
        assert!(!format!("{:?}", (migrated.changes, migrated.warnings)).contains("hunter2"));
    }
}

#[test]
fn a_missing_token_is_a_problem_of_its_service_alone() {
    let wrong = [
        (json!(null), "is missing; make an API token in the portal and store it here, or switch `cargo` off"),
        (json!(" "), "is missing; make an API token"),
        (json!(4711), "expected a text, found a number; put it in quotes"),
        (json!("hunter2 hunter2"), "holds what no token does"),
        (json!("hunter2\nX-Other: hunter2"), "holds what no token does"),
    ];
    for (token, text) in wrong {
        let document = with_token(&token);
        let error = resolve_harbour(&document, "harbour-cargo").unwrap_err();
        assert!(error.message.starts_with(&format!("{PLACE}: {text}")), "{error}");
        assert_eq!((error.message.lines().count(), error.code), (1, 1), "{error}");
        for function in FUNCTIONS.into_iter().filter(|function| *function != "harbour-cargo") {
            let found = resolve_harbour(&document, function).unwrap();
            assert_eq!(found.warnings, [format!("another service: {}", error.message)]);
        }
        for (function, result) in check_all(&document, &[&HARBOUR], now()) {
            assert_eq!(result.is_err(), function == "harbour-cargo", "{function}");
        }
        assert!(!error.message.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_service_that_does_not_work_needs_no_token() {
    for off in [json!({"enabled": false}), json!({"enabled": "false"})] {
        let it = harbour(json!({"credentials": {"cargo_access_token": null}, "services": {"cargo": off}}));
        for (function, result) in check_all(&it, &[&HARBOUR], now()) {
            let found = result.unwrap();
            assert_eq!((found.settings.enabled, found.warnings.len()), (function != "harbour-cargo", 0));
        }
        assert!(resolve_harbour(&it, "harbour-ships").unwrap().warnings.is_empty());
    }
    let mut absent = input();
    absent["services"] = json!({"ships": {}});
    let absent = json!({"inputs": {"harbour": absent}});
    for function in FUNCTIONS {
        let found = resolve_harbour(&absent, function).unwrap();
        assert_eq!((found.settings.enabled, found.warnings.len()), (function == "harbour-ships", 0));
    }
    let overlay = json!({"enabled": false});
    let it = with_token(&json!(null));
    assert!(resolve(&it, &[&HARBOUR], "harbour-cargo", overlay.as_object(), now()).is_ok());
}

#[test]
fn the_login_is_required_beside_the_token() {
    let it = harbour(json!({"credentials": {"tenant_id": null, "client_secret": null}}));
    for function in FUNCTIONS {
        let error = resolve_harbour(&it, function).unwrap_err();
        let text = "inputs.harbour.credentials: missing: tenant_id, client_secret";
        assert!(error.message.starts_with(text) && error.message.lines().count() == 1, "{error}");
    }
}

#[test]
fn a_family_without_such_a_service_does_not_know_the_token() {
    let credentials = json!({"cargo_access_token": "hunter2"});
    let found = problems(&document(json!({"credentials": credentials, "services": {"changes": {}}})));
    let place = "inputs.audit_logs.credentials.cargo_access_token: unknown key";
    assert!(found.len() == 1 && found[0].starts_with(place), "{found:?}");
    // Nor is the service of another input told of anything but that.
    let mut both = with_token(&json!(null));
    both["inputs"]["audit_logs"] = changes(json!({}))["inputs"]["audit_logs"].take();
    let families = [FAMILIES, &[&HARBOUR]].concat();
    let warnings = resolve(&both, &families, "audit-changes", None, now()).unwrap().warnings;
    assert!(
        warnings.len() == 1 && warnings[0].starts_with(&format!("another service: {PLACE}")),
        "{warnings:?}"
    );
}
