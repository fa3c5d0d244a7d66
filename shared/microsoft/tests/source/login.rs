//! Where credentials and tokens go, how long they live, and what is said when they are refused.

use collector::ports::{Preparation, Source as _, SourceError};
use collector::settings::Credential;
use microsoft::{Microsoft, check_credentials};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use serde_json::{Map, json};

use crate::support::{Reply, SECRET, Stage, fast, fatal, settings};

fn login_error(status: u16, error: &str, description: &str) -> Reply {
    let body = serde_json::json!({
        "error": error,
        "error_description": description,
        "error_codes": [1],
        "trace_id": "trace-1",
    });
    Reply::new(status, &[], body.to_string())
}

/// A self-signed certificate and its RSA key, both PEM.
fn certificate() -> (String, String) {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[tokio::test]
async fn a_secret_goes_to_the_login_alone_and_a_token_to_the_api_alone() {
    let mut stage = Stage::serving([Reply::page(&[], None)]).await;
    stage.page(None).await.unwrap();
    let (login, api) = (stage.login.seen(), stage.api.seen());
    assert_eq!((login.len(), api.len()), (1, 1));
    assert_eq!(login[0].head.lines().next(), Some("POST /contoso/oauth2/v2.0/token HTTP/1.1"));
    insta::assert_snapshot!(
        login[0].body,
        @"client_id=client-1&scope=https%3A%2F%2Fgraph.example%2F.default&grant_type=client_credentials&client_secret=s3cret-value"
    );
    assert_eq!(login[0].header("authorization"), None);
    assert_eq!(api[0].header("authorization"), Some("Bearer t0ken"));
    assert!(!format!("{api:?}").contains(SECRET));
}

#[tokio::test]
async fn to_prepare_is_to_log_in_and_nothing_else() {
    let mut stage = Stage::serving([]).await;
    stage.prepare(json!({})).await.unwrap();
    stage.prepare(json!({})).await.unwrap();
    assert_eq!((stage.login.count(), stage.api.count()), (1, 0));
    assert_eq!(stage.source.stats().requests, 0, "a login is no request to the API");
}

#[tokio::test]
async fn a_token_lives_across_invocations_until_shortly_before_its_end() {
    let mut stage = Stage::open().await;
    stage.login.answers([Reply::token("one"), Reply::token("two")]);
    stage.api.answers([Reply::page(&[], None), Reply::page(&[], None), Reply::page(&[], None)]);
    stage.page(None).await.unwrap();
    stage.next_invocation();
    stage.clock.advance(3298);
    stage.page(None).await.unwrap();
    stage.clock.advance(2);
    stage.page(None).await.unwrap();
    let carried: Vec<String> =
        stage.api.seen().iter().map(|seen| seen.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(carried, ["Bearer one", "Bearer one", "Bearer two"]);
}

#[tokio::test]
async fn a_certificate_signs_an_assertion_for_this_very_login() {
    let (certificate, private_key) = certificate();
    let mut stage = Stage::with(fast(), |settings| {
        settings.connection.credential =
            Credential::Certificate { certificate, private_key: private_key.into() };
    })
    .await;
    stage.login.answers([Reply::token("t0ken")]);
    stage.prepare(json!({})).await.unwrap();
    let seen = &stage.login.seen()[0];
    assert_eq!(
        seen.form("client_assertion_type").as_deref(),
        Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    );
    assert_eq!(seen.form("client_secret"), None);
    assert_eq!(seen.form("grant_type").as_deref(), Some("client_credentials"));
    let assertion = seen.form("client_assertion").unwrap();
    let claims = jsonwebtoken::dangerous::insecure_decode::<serde_json::Value>(&assertion).unwrap().claims;
    assert_eq!(claims["aud"], format!("{}/contoso/oauth2/v2.0/token", stage.login.url));
    assert_eq!(claims["iss"], "client-1");
}

#[tokio::test]
async fn a_refused_login_names_its_cause_once_and_no_secret() {
    let table = [
        (
            400,
            "invalid_client",
            "AADSTS7000222: The provided client secret keys for app are expired.",
            "has expired",
        ),
        (
            401,
            "invalid_client",
            "AADSTS7000215: Invalid client secret s3cret-value.\r\nTrace ID: x",
            "wrong client secret",
        ),
        (400, "unauthorized_client", "AADSTS700016: Application was not found", "unknown client client-1"),
        (400, "invalid_request", "AADSTS90002: Tenant 'contoso' not found.", "unknown tenant contoso"),
        (401, "invalid_client", "AADSTS700027: The certificate is not registered.", "wrong certificate"),
        (
            400,
            "invalid_scope",
            "AADSTS70011: The scope is not valid.\r\nTrace ID: x",
            "invalid_scope: AADSTS70011: The scope",
        ),
        (403, "", "", "403"),
    ];
    for (status, error, description, words) in table {
        let mut stage = Stage::open().await;
        stage.login.answers([login_error(status, error, description)]);
        let error = fatal(stage.page(None).await);
        let text = error.to_string();
        let begin =
            format!("[101] Failed to fetch OAuth token from {}/contoso/oauth2/v2.0/token: ", stage.login.url);
        assert_eq!(error.error_type.as_str(), "SetupError");
        assert!(text.starts_with(&begin) && text.contains(words), "{text} should say {words}");
        assert!(text.contains("trace-1") && !text.contains(SECRET) && !text.contains("Trace ID"), "{text}");
        assert_eq!((stage.login.count(), stage.api.count()), (1, 0));
    }
}

#[tokio::test]
async fn a_login_that_stumbles_is_tried_again() {
    let stumbles = [
        Reply::error(429, "", ""),
        Reply::error(503, "", ""),
        Reply::hang_up(),
        Reply::token("t0ken").cut_by(5),
    ];
    for stumble in stumbles {
        let mut stage = Stage::open().await;
        stage.login.answers([stumble, Reply::token("t0ken")]);
        stage.api.answers([Reply::page(&["1"], None)]);
        assert_eq!(stage.page(None).await.unwrap().records.len(), 1);
        assert_eq!(stage.source.stats().requests, 1);
    }
}

#[tokio::test]
async fn a_login_that_never_works_is_a_setup_error() {
    let mut stage = Stage::open().await;
    stage.login.answers((0..4).map(|_| Reply::error(500, "", "")));
    let error = fatal(stage.page(None).await).to_string();
    assert!(error.starts_with("[101] ") && error.contains("500"), "{error}");
    assert_eq!(stage.login.count(), 4);

    // A port that was bound and let go again: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut stage =
        Stage::with(fast(), |settings| settings.connection.login_url = format!("http://{free}")).await;
    let error = fatal(stage.page(None).await).to_string();
    assert!(error.starts_with("[101] ") && error.contains("no connection"), "{error}");
}

#[tokio::test]
async fn an_answer_without_a_token_is_a_setup_error() {
    for body in ["", "<html>", "{}", r#"{"access_token":1}"#] {
        let mut stage = Stage::open().await;
        stage.login.answers([Reply::new(200, &[], body)]);
        let error = fatal(stage.page(None).await).to_string();
        assert!(error.starts_with("[101] "), "{error}");
    }
}

#[tokio::test]
async fn a_login_that_asks_for_more_patience_than_there_is_time_for_is_throttled() {
    let mut stage = Stage::open().await;
    stage.login.answers([Reply::new(429, &[("retry-after", "61")], "")]);
    let until = stage.deadline(61_000);
    assert_eq!(stage.page(None).await.unwrap_err(), SourceError::Throttled { until });
}

#[tokio::test]
async fn a_login_beyond_the_deadline_is_no_error() {
    let mut stage = Stage::open().await;
    stage.login.answers([Reply::silence()]);
    let preparation = Preparation { deadline: stage.deadline(50), memo: Map::new(), is_dry: false };
    assert_eq!(stage.source.prepare(&preparation).await, Err(SourceError::OutOfTime));
}

#[test]
fn settings_that_cannot_work_are_refused_before_the_first_request() {
    let (own_certificate, _) = certificate();
    let (_, other_key) = certificate();
    let mut mismatch = settings("https://graph.example", "https://login.example");
    mismatch.connection.credential =
        Credential::Certificate { certificate: own_certificate, private_key: other_key.into() };
    let no_login = settings("https://graph.example", "login");
    let no_base = settings("graph", "https://login.example");
    for (settings, words) in [
        (&mismatch, "credentials.client_private_key does not belong to credentials.client_certificate"),
        (&no_login, "override_login_url login is no URL"),
        (&no_base, "override_base_url graph/beta/auditLogs/signIns is no URL"),
    ] {
        let error = Microsoft::new(settings).err().unwrap();
        assert_eq!((error.error_type.as_str(), error.code), ("InitVariablesError", 1));
        assert!(error.message.contains(words), "{error}");
    }
    assert!(check_credentials(&mismatch).is_err());
    assert_eq!(check_credentials(&no_login), Ok(Vec::new()));
}
