//! The token endpoint: `POST /{tenant}/oauth2/v2.0/token`, client credentials only.
//!
//! Answers and error bodies are those of Microsoft's identity platform: an OAuth `error`, a description that begins
//! with an AADSTS number, and the number once more in `error_codes`. Refusals of the credential itself are 401, all
//! others 400.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::assertion::{AssertionRefused, Expected, verify};
use super::config::{Application, ClientSecret, TenantConfig};
use super::log::decoded;
use super::{Outcome, State};
use crate::http::{Answer, Request};
use crate::sync::{locked, request_id};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A refusal in Microsoft's words.
#[derive(Debug)]
struct Refusal {
    status: u16,
    error: &'static str,
    number: u32,
    text: String,
}

impl Refusal {
    fn new(status: u16, error: &'static str, number: u32, text: impl Into<String>) -> Self {
        Self { status, error, number, text: text.into() }
    }
}

/// Whether a path is that of a token endpoint.
pub(super) fn is_token_path(path: &str) -> bool {
    path.ends_with("/oauth2/v2.0/token")
}

/// Answers a login.
pub(super) fn answer(state: &State, request: &Request) -> std::io::Result<Outcome> {
    let now = state.config.clock.now();
    match check(state, request, now) {
        Ok(Permit { client_id, scope }) => {
            let lifetime = state.config.token_lifetime;
            let roles = roles_for(state, &scope);
            let token = locked(&state.tokens).issue(&client_id, &scope, roles, now, lifetime)?;
            let body = json!({
                "token_type": "Bearer",
                "expires_in": lifetime.as_secs(),
                "ext_expires_in": lifetime.as_secs(),
                "access_token": token,
            });
            Ok(Outcome::of(as_json(200, &body)?))
        }
        Err(refusal) => {
            let note = format!("AADSTS{}: {}", refusal.number, refusal.text);
            Ok(Outcome { note: Some(note), ..Outcome::of(refused(&refusal, now)?) })
        }
    }
}

/// Who may have a token, and for what.
struct Permit {
    client_id: String,
    scope: String,
}

fn check(state: &State, request: &Request, now: Timestamp) -> Result<Permit, Refusal> {
    let tenant = request.path.trim_start_matches('/').split('/').next().unwrap_or_default();
    if !tenant.eq_ignore_ascii_case(&state.config.tenant_id) {
        let text = format!("Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID.");
        return Err(Refusal::new(400, "invalid_request", 90002, text));
    }
    let form = decoded(&request.body);
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let required = |name: &str| {
        field(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            let text = format!("The request body must contain the following parameter: '{name}'.");
            Refusal::new(400, "invalid_request", 900_144, text)
        })
    };
    if required("grant_type")? != "client_credentials" {
        return Err(Refusal::new(
            400,
            "unsupported_grant_type",
            70003,
            "The app requested an unsupported grant type.",
        ));
    }
    let client_id = required("client_id")?;
    let scope = required("scope")?;
    let TenantConfig { scope: graph_scope, feed, defender, .. } = &state.config;
    let cloud_apps_scope = locked(&state.cloud_apps).config.scope.clone();
    check_scope(scope, &[graph_scope, &feed.scope, &defender.scope, &cloud_apps_scope])?;
    let applications = locked(&state.applications);
    let application = applications.iter().find(|known| known.client_id == client_id).ok_or_else(|| {
        let text =
            format!("Application with identifier '{client_id}' was not found in the directory '{tenant}'.");
        Refusal::new(400, "unauthorized_client", 700_016, text)
    })?;
    match (field("client_assertion"), field("client_secret")) {
        (Some(assertion), _) => {
            if field("client_assertion_type") != Some(ASSERTION_TYPE) {
                let text = "The request body must contain the following parameter: 'client_assertion_type'.";
                return Err(Refusal::new(400, "invalid_request", 900_144, text));
            }
            let expected = Expected {
                client_id,
                certificates_pem: &application.certificates_pem,
                token_path: &request.path,
                now,
            };
            verify(assertion, &expected).map_err(|reason| assertion_refusal(&reason))?;
        }
        (None, Some(secret)) => check_secret(application, secret, now)?,
        (None, None) => {
            let text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
            return Err(Refusal::new(401, "invalid_client", 7_000_218, text));
        }
    }
    Ok(Permit { client_id: client_id.to_owned(), scope: scope.to_owned() })
}

/// What a token for that scope allows, where the API looks at roles.
fn roles_for(state: &State, scope: &str) -> Arc<[String]> {
    let cloud_apps = &locked(&state.cloud_apps).config;
    if scope == cloud_apps.scope {
        return cloud_apps.roles.clone().into();
    }
    Arc::clone(&locked(&state.defender).roles)
}

fn check_scope(scope: &str, known: &[&str]) -> Result<(), Refusal> {
    if !scope.ends_with("/.default") || scope.contains(' ') {
        let text = format!(
            "The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
        );
        return Err(Refusal::new(400, "invalid_scope", 70011, text));
    }
    if !known.contains(&scope) {
        let text = format!("The resource principal named {scope} was not found in the tenant.");
        return Err(Refusal::new(400, "invalid_resource", 500_011, text));
    }
    Ok(())
}

fn check_secret(application: &Application, secret: &str, now: Timestamp) -> Result<(), Refusal> {
    let known: Vec<&ClientSecret> =
        application.secrets.iter().filter(|known| known.value == secret).collect();
    let client_id = &application.client_id;
    if known.is_empty() {
        let text = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, \
             not the client secret ID, for a secret added to app '{client_id}'."
        );
        return Err(Refusal::new(401, "invalid_client", 7_000_215, text));
    }
    if known.iter().all(|one| one.expires_at.is_some_and(|end| end <= now)) {
        let text = format!("The provided client secret keys for app '{client_id}' are expired.");
        return Err(Refusal::new(401, "invalid_client", 7_000_222, text));
    }
    Ok(())
}

fn assertion_refusal(reason: &AssertionRefused) -> Refusal {
    match reason {
        AssertionRefused::Signature(reason) => {
            let text = format!("Client assertion failed signature validation. [Reason - {reason}.]");
            Refusal::new(401, "invalid_client", 700_027, text)
        }
        AssertionRefused::Issuer => {
            let text = "Client assertion application identifier doesn't match 'client_id' parameter.";
            Refusal::new(401, "invalid_client", 700_021, text)
        }
        AssertionRefused::Audience => {
            let text = "Client assertion audience claim does not match Realm issuer.";
            Refusal::new(401, "invalid_client", 700_023, text)
        }
        AssertionRefused::Time => {
            let text = "Client assertion is not within its valid time range.";
            Refusal::new(401, "invalid_client", 700_024, text)
        }
    }
}

fn refused(refusal: &Refusal, now: Timestamp) -> std::io::Result<Answer> {
    let trace_id = request_id()?;
    let correlation_id = request_id()?;
    let timestamp = now.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    let Refusal { status, error, number, text } = refusal;
    let description = format!(
        "AADSTS{number}: {text} Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {timestamp}"
    );
    let body = json!({
        "error": error,
        "error_description": description,
        "error_codes": [number],
        "timestamp": timestamp,
        "trace_id": trace_id,
        "correlation_id": correlation_id,
        "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
    });
    as_json(*status, &body)
}

fn as_json(status: u16, body: &serde_json::Value) -> std::io::Result<Answer> {
    let answer = Answer::new(status, "application/json; charset=utf-8", body.to_string());
    Ok(answer
        .with_header("Cache-Control", "no-store, no-cache")
        .with_header("x-ms-request-id", request_id()?))
}
