//! Client assertions: a signed JWT instead of a secret.
//!
//! What Microsoft documents: PS256, `x5t#S256` (SHA-256 of the certificate's DER, base64url), `aud` = the token
//! endpoint, `iss` = `sub` = client id, `jti`, `nbf`, `exp`. The signature is verified with the key of the registered
//! certificate that the thumbprint names. The older RS256 with `x5t` is refused.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

/// What is wrong with an assertion; each has its own AADSTS number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AssertionRefused {
    /// No JWT, another algorithm, an unknown certificate or a wrong signature (700027).
    Signature(String),
    /// `iss` or `sub` is not the client id (700021).
    Issuer,
    /// `aud` is not this tenant's token endpoint (700023).
    Audience,
    /// Before `nbf` or after `exp` (700024).
    Time,
}

/// What the assertion must say.
#[derive(Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) certificates_pem: &'a [String],
    /// Path of the token endpoint; the host is the caller's matter.
    pub(crate) token_path: &'a str,
    pub(crate) now: Timestamp,
}

/// Verifies an assertion against what is registered.
pub(crate) fn verify(assertion: &str, expected: &Expected<'_>) -> Result<(), AssertionRefused> {
    let [header_text, claims_text, signature_text] = assertion.split('.').collect::<Vec<_>>()[..] else {
        return Err(unsigned("not three parts"));
    };
    let header = json(header_text).ok_or_else(|| unsigned("the header is no JSON"))?;
    let claims = json(claims_text).ok_or_else(|| unsigned("the claims are no JSON"))?;
    let signature =
        URL_SAFE_NO_PAD.decode(signature_text).map_err(|_| unsigned("the signature is no base64url"))?;
    if header["alg"] != "PS256" {
        return Err(unsigned("the algorithm is not PS256"));
    }
    let thumbprint = header["x5t#S256"].as_str().ok_or_else(|| unsigned("x5t#S256 is missing"))?;
    let certificate =
        registered(expected.certificates_pem, thumbprint).ok_or_else(|| unsigned("the key was not found"))?;
    let signed = format!("{header_text}.{claims_text}");
    check_signature(&certificate, signed.as_bytes(), &signature)?;
    check_claims(&claims, expected)
}

fn check_claims(claims: &Value, expected: &Expected<'_>) -> Result<(), AssertionRefused> {
    if claims["iss"] != expected.client_id || claims["sub"] != expected.client_id {
        return Err(AssertionRefused::Issuer);
    }
    let audience = claims["aud"].as_str().and_then(|text| url::Url::parse(text).ok());
    if audience.is_none_or(|url| url.path() != expected.token_path) {
        return Err(AssertionRefused::Audience);
    }
    if claims["jti"].as_str().is_none_or(str::is_empty) {
        return Err(unsigned("jti is missing"));
    }
    let now = expected.now.as_second();
    let not_before = claims["nbf"].as_i64();
    let expiry = claims["exp"].as_i64();
    if not_before.is_none_or(|second| second > now) || expiry.is_none_or(|second| second <= now) {
        return Err(AssertionRefused::Time);
    }
    Ok(())
}

/// The registered certificate of that thumbprint.
fn registered(certificates_pem: &[String], thumbprint: &str) -> Option<CertificateDer<'static>> {
    certificates_pem
        .iter()
        .filter_map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).ok())
        .find(|der| URL_SAFE_NO_PAD.encode(digest(&SHA256, der).as_ref()) == thumbprint)
}

fn check_signature(
    certificate: &CertificateDer<'_>,
    signed: &[u8],
    signature: &[u8],
) -> Result<(), AssertionRefused> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|_| unsigned("the certificate does not parse"))?;
    let key = &parsed.public_key().subject_public_key.data;
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key)
        .verify(signed, signature)
        .map_err(|_| unsigned("the signature does not verify"))
}

fn json(part: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn unsigned(reason: &str) -> AssertionRefused {
    AssertionRefused::Signature(reason.to_owned())
}
