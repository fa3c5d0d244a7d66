//! Who gets a token, who is let in with it, and in which words the others are refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

use super::support::{ask, get, login, now, query, start, token};
use crate::clock::Clock;
use crate::pki::Identity;
use crate::tenant::{Application, ClientSecret, Endpoint, Tenant};

#[tokio::test]
async fn a_login_is_refused_in_microsofts_words() {
    let expired =
        ClientSecret { value: "old".to_owned(), expires_at: Some(now() - SignedDuration::from_secs(1)) };
    let tenant = start(|config| {
        config.tenant_id = "contoso".to_owned();
        let mut application = Application::with_secret("app", "right");
        application.secrets.push(expired);
        config.applications = vec![application];
    })
    .await;
    let scope = tenant.config().scope.clone();
    for (path_tenant, grant, client, secret, scope, status, error, number) in [
        ("contoso", "client_credentials", "app", "wrong", scope.as_str(), 401, "invalid_client", 7_000_215),
        ("contoso", "client_credentials", "app", "old", &scope, 401, "invalid_client", 7_000_222),
        ("contoso", "client_credentials", "app", "", &scope, 401, "invalid_client", 7_000_218),
        ("contoso", "client_credentials", "nobody", "right", &scope, 400, "unauthorized_client", 700_016),
        ("fabrikam", "client_credentials", "app", "right", &scope, 400, "invalid_request", 90002),
        ("contoso", "password", "app", "right", &scope, 400, "unsupported_grant_type", 70003),
        (
            "contoso",
            "client_credentials",
            "app",
            "right",
            "https://graph.microsoft.com",
            400,
            "invalid_scope",
            70011,
        ),
        (
            "contoso",
            "client_credentials",
            "app",
            "right",
            "https://other.example/.default",
            400,
            "invalid_resource",
            500_011,
        ),
        ("contoso", "", "app", "right", &scope, 400, "invalid_request", 900_144),
    ] {
        let fields =
            [("grant_type", grant), ("client_id", client), ("client_secret", secret), ("scope", scope)];
        let (found, body) = login(&tenant, path_tenant, &fields).await;
        assert_eq!((found, body["error"].as_str()), (status, Some(error)), "{body}");
        assert_eq!(body["error_codes"], json!([number]), "{body}");
        let description = body["error_description"].as_str().unwrap();
        assert!(description.starts_with(&format!("AADSTS{number}: ")), "{description}");
    }
    let log = tenant.requests();
    assert!(log.iter().all(|seen| seen.option("client_secret").is_none()), "secrets are not written down");
    assert_eq!(log[0].option("client_id"), Some("app"));
}

#[tokio::test]
async fn a_token_is_checked_on_every_call() {
    let clock = Arc::new(Mutex::new(now()));
    let shared = Arc::clone(&clock);
    let tenant = start(|config| {
        config.clock = Clock::new(move || *shared.lock().unwrap());
        config.token_lifetime = SignedDuration::from_secs(60);
    })
    .await;
    let other = start(|_| {}).await;
    let (good, foreign) = (token(&tenant).await, token(&other).await);
    let url = query(&tenant, Endpoint::SignIns, &[]);
    assert_eq!(get(&url, &good).await.status(), 200);
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 401, "without a token");
    assert_eq!(get(&url, &foreign).await.status(), 401, "another tenant's token");
    assert_eq!(get(&url, &format!("{good}x")).await.status(), 401, "an invented token");
    *clock.lock().unwrap() += SignedDuration::from_secs(60);
    let (status, body) = ask(&tenant, &good, Endpoint::SignIns, &[]).await;
    assert_eq!((status, &body["error"]["code"]), (401, &json!("InvalidAuthenticationToken")), "expired");
    let renewed = token(&tenant).await;
    assert_eq!(get(&url, &renewed).await.status(), 200);
    tenant.revoke_tokens();
    assert_eq!(get(&url, &renewed).await.status(), 401, "revoked");
}

struct Assertion {
    algorithm: Algorithm,
    signer: Identity,
    thumbprint_of: Identity,
    claims: Value,
}

impl Assertion {
    fn right(tenant: &Tenant, identity: &Identity) -> Self {
        let second = now().as_second();
        let claims = json!({
            "aud": format!("{}/{}/oauth2/v2.0/token", tenant.base_url(), tenant.config().tenant_id),
            "iss": "app", "sub": "app", "jti": "1", "nbf": second, "iat": second, "exp": second + 300,
        });
        let (signer, thumbprint_of) = (identity.clone(), identity.clone());
        Self { algorithm: Algorithm::PS256, signer, thumbprint_of, claims }
    }

    async fn login(&self, tenant: &Tenant) -> (u16, Value) {
        let mut header = Header::new(self.algorithm);
        let der = CertificateDer::from_pem_slice(self.thumbprint_of.certificate_pem.as_bytes()).unwrap();
        let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
        header.x5t_s256 = Some(URL_SAFE_NO_PAD.encode(sum.as_ref()));
        let key = EncodingKey::from_rsa_pem(self.signer.private_key_pem.as_bytes()).unwrap();
        let assertion = jsonwebtoken::encode(&header, &self.claims, &key).unwrap();
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", "app"),
            ("scope", tenant.config().scope.as_str()),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion.as_str()),
        ];
        login(tenant, &tenant.config().tenant_id, &fields).await
    }
}

#[tokio::test]
async fn a_client_assertion_is_verified_not_believed() {
    let registered = Identity::self_signed_rsa("registered").unwrap();
    let stranger = Identity::self_signed_rsa("stranger").unwrap();
    let application = Application::with_certificate("app", &registered.certificate_pem);
    let tenant = start(|config| config.applications = vec![application]).await;
    let right = || Assertion::right(&tenant, &registered);

    let (status, body) = right().login(&tenant).await;
    assert_eq!(status, 200, "{body}");
    let issued = body["access_token"].as_str().unwrap();
    assert_eq!(get(&query(&tenant, Endpoint::SignIns, &[]), issued).await.status(), 200);

    let second = now().as_second();
    let with_claim = |name: &str, value: Value| {
        let mut assertion = right();
        assertion.claims[name] = value;
        assertion
    };
    for (assertion, number) in [
        (Assertion { signer: stranger.clone(), ..right() }, 700_027),
        (Assertion { thumbprint_of: stranger.clone(), ..right() }, 700_027),
        (Assertion { signer: stranger.clone(), thumbprint_of: stranger.clone(), ..right() }, 700_027),
        (Assertion { algorithm: Algorithm::RS256, ..right() }, 700_027),
        (with_claim("jti", Value::Null), 700_027),
        (with_claim("iss", json!("other")), 700_021),
        (with_claim("sub", json!("other")), 700_021),
        (with_claim("aud", json!("https://graph.microsoft.com")), 700_023),
        (with_claim("exp", json!(second)), 700_024),
        (with_claim("exp", Value::Null), 700_024),
        (with_claim("nbf", json!(second + 60)), 700_024),
    ] {
        let (status, body) = assertion.login(&tenant).await;
        assert_eq!((status, &body["error_codes"]), (401, &json!([number])), "{body}");
    }
}

#[tokio::test]
async fn a_secret_that_was_rotated_is_refused_at_once() {
    let tenant = start(|_| {}).await;
    let old = tenant.config().applications[0].clone();
    assert!(!token(&tenant).await.is_empty());
    tenant.set_applications(vec![Application::with_secret(&old.client_id, "new")]);
    let scope = tenant.config().scope.clone();
    let attempt = |secret: &str| {
        let fields = [
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", old.client_id.clone()),
            ("client_secret", secret.to_owned()),
            ("scope", scope.clone()),
        ];
        let tenant = tenant.clone();
        async move {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            login(&tenant, &tenant.config().tenant_id, &fields).await.0
        }
    };
    assert_eq!(attempt(&old.secrets[0].value).await, 401);
    assert_eq!(attempt("new").await, 200);
}
