//! As whom requests are made: as an application, or as the bearer of a token that stands in the configuration.
//!
//! An application proves its identity with a client secret, or with a certificate whose RSA key signs an assertion.
//! Entra ID takes PS256 assertions whose header names the certificate by the SHA-256 of its DER form. Everything that
//! can be wrong with the pair is found here, before the first login, and reported together.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use collector::error::{Error, ErrorType, code};
use collector::outlook::{Certificate, Purpose};
use collector::settings::Credential;
use jiff::Timestamp;
use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::jwk::ThumbprintHash;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::SignatureAlgorithm;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::pem;

const CERTIFICATE: &str = "credentials.client_certificate";
const PRIVATE_KEY: &str = "credentials.client_private_key";
const FILES_ACCESS_TOKEN: &str = "credentials.files_access_token";

/// Long enough for clocks that differ, short enough that a stolen assertion is worth little.
const ASSERTION_LIFE_SECONDS: i64 = 600;

/// As whom requests are made, ready for use.
pub(crate) enum Identity {
    /// An application that logs in with this.
    Application(Proof),
    /// Whoever made this token, which is sent as it is: nobody logs in. It has visible ASCII characters only.
    Token(SecretString),
}

/// What proves the application's identity.
pub(crate) enum Proof {
    /// The secret itself.
    Secret(SecretString),
    /// A certificate and its key.
    Certificate(Box<CertificateIdentity>),
}

/// A certificate's name for Entra ID and the key that belongs to it.
pub(crate) struct CertificateIdentity {
    thumbprint: String,
    key: EncodingKey,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: String,
    nbf: i64,
    iat: i64,
    exp: i64,
}

impl Identity {
    /// Reads the credential. Gives warnings beside it, for example of a certificate that is not valid yet.
    ///
    /// # Errors
    /// InitVariablesError 1 that names every setting that is wrong, and never its content.
    pub(crate) fn load(credential: &Credential, now: Timestamp) -> Result<(Self, Vec<String>), Error> {
        match credential {
            Credential::Secret(secret) => Ok((Self::Application(Proof::Secret(secret.clone())), Vec::new())),
            Credential::Token(token) => {
                check_token(token.expose_secret())?;
                Ok((Self::Token(token.clone()), Vec::new()))
            }
            Credential::Certificate { certificate, private_key } => {
                let (identity, warnings) = CertificateIdentity::load(certificate, private_key, now)
                    .map_err(|problems| settings_error(problems.join("; ")))?;
                Ok((Self::Application(Proof::Certificate(Box::new(identity))), warnings))
            }
        }
    }
}

/// The certificate of a credential, also one that has ended; `None` for a client secret and for what is no certificate.
pub fn certificate(credential: &Credential) -> Option<Certificate> {
    let Credential::Certificate { certificate, .. } = credential else { return None };
    let der = read_certificate(certificate).ok()?;
    let (_, parsed) = X509Certificate::from_der(&der).ok()?;
    Some(Certificate { purpose: Purpose::Login, ends_at: instant(parsed.validity().not_after.timestamp()) })
}

impl CertificateIdentity {
    fn load(
        certificate: &str,
        private_key: &SecretString,
        now: Timestamp,
    ) -> Result<(Self, Vec<String>), Vec<String>> {
        let (certificate, key) = match (read_certificate(certificate), read_key(private_key)) {
            (Ok(certificate), Ok(key)) => (certificate, key),
            (certificate, key) => return Err(certificate.err().into_iter().chain(key.err()).collect()),
        };
        let (_, parsed) = X509Certificate::from_der(&certificate)
            .map_err(|_| vec![format!("{CERTIFICATE} is no X.509 certificate")])?;
        if parsed.public_key().raw != key.public_key {
            return Err(vec![format!("{PRIVATE_KEY} does not belong to {CERTIFICATE}")]);
        }
        let warnings = check_validity(&parsed, now).map_err(|problem| vec![problem])?;
        let thumbprint =
            (aws_lc::DEFAULT_PROVIDER.key_utils.compute_digest)(&certificate, ThumbprintHash::SHA256)
                .map_err(|_| vec![format!("{CERTIFICATE} cannot be hashed")])?;
        Ok((Self { thumbprint: URL_SAFE_NO_PAD.encode(thumbprint), key: key.signing }, warnings))
    }

    /// Signs an assertion that says to `audience`, the token endpoint, that we are `client_id`.
    ///
    /// # Errors
    /// A sentence without secrets, when there is no randomness or the key cannot sign.
    pub(crate) fn assertion(
        &self,
        client_id: &str,
        audience: &str,
        now: Timestamp,
    ) -> Result<String, String> {
        let mut header = Header::new(Algorithm::PS256);
        header.x5t_s256 = Some(self.thumbprint.clone());
        let begin = now.as_second();
        let claims = Claims {
            aud: audience,
            iss: client_id,
            sub: client_id,
            jti: random_guid()?,
            nbf: begin,
            iat: begin,
            exp: begin.saturating_add(ASSERTION_LIFE_SECONDS),
        };
        jsonwebtoken::encode(&header, &claims, &self.key)
            .map_err(|_| format!("{PRIVATE_KEY} cannot sign; an RSA key of 2048 bits or more is needed"))
    }
}

struct Key {
    signing: EncodingKey,
    /// SubjectPublicKeyInfo, DER.
    public_key: Vec<u8>,
}

fn read_certificate(text: &str) -> Result<CertificateDer<'static>, String> {
    let block = pem::blocks(text)
        .into_iter()
        .find(|block| block.label == "CERTIFICATE")
        .ok_or_else(|| format!("{CERTIFICATE} holds no PEM block CERTIFICATE"))?;
    CertificateDer::from_pem_slice(block.to_pem().as_bytes())
        .map_err(|_| format!("{CERTIFICATE} is damaged: its base64 does not decode"))
}

fn read_key(text: &SecretString) -> Result<Key, String> {
    let block = pem::blocks(text.expose_secret())
        .into_iter()
        .find(|block| block.label.ends_with("PRIVATE KEY"))
        .ok_or_else(|| format!("{PRIVATE_KEY} holds no PEM block PRIVATE KEY"))?;
    if block.label == "ENCRYPTED PRIVATE KEY" {
        return Err(format!("{PRIVATE_KEY} is encrypted; store it without a passphrase"));
    }
    let pem = SecretString::from(block.to_pem());
    let damaged = || format!("{PRIVATE_KEY} is damaged: it is no private key");
    let der = PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes()).map_err(|_| damaged())?;
    let rustls_key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).map_err(|_| damaged())?;
    if rustls_key.algorithm() != SignatureAlgorithm::RSA {
        return Err(format!("{PRIVATE_KEY} is no RSA key; Entra ID takes no other kind"));
    }
    let public_key = rustls_key.public_key().ok_or_else(damaged)?.to_vec();
    let signing = EncodingKey::from_rsa_pem(pem.expose_secret().as_bytes()).map_err(|_| damaged())?;
    Ok(Key { signing, public_key })
}

/// A token becomes part of a header. What cannot be in one came along when it was copied.
fn check_token(token: &str) -> Result<(), Error> {
    if token.is_empty() {
        return Err(settings_error(format!(
            "{FILES_ACCESS_TOKEN} is empty; store the API token from the portal of Defender for Cloud Apps in it"
        )));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(settings_error(format!(
            "{FILES_ACCESS_TOKEN} has white space, line breaks or letters outside ASCII, which no token has; store \
             nothing but the API token in it"
        )));
    }
    Ok(())
}

fn instant(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}

fn check_validity(certificate: &X509Certificate<'_>, now: Timestamp) -> Result<Vec<String>, String> {
    let validity = certificate.validity();
    let begin = instant(validity.not_before.timestamp());
    let end = instant(validity.not_after.timestamp());
    if end <= now {
        return Err(format!("{CERTIFICATE} expired at {end}; register a new one and store it here"));
    }
    if begin > now {
        return Ok(vec![format!("{CERTIFICATE} is not valid before {begin}")]);
    }
    Ok(Vec::new())
}

fn random_guid() -> Result<String, String> {
    let (high, low) = match (getrandom::u64(), getrandom::u64()) {
        (Ok(high), Ok(low)) => (high, low),
        _ => return Err("the system gives no random numbers".to_owned()),
    };
    // Version 4, variant 10, as RFC 9562 lays the bits.
    let high = high & 0xffff_ffff_ffff_0fff | 0x4000;
    let low = low & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000;
    Ok(format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    ))
}

pub(crate) fn settings_error(message: impl Into<String>) -> Error {
    Error::new(ErrorType::InitVariablesError, code::SETTINGS, message)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use jsonwebtoken::{DecodingKey, Validation};
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

    use super::{certificate as certificate_of, *};

    const AUDIENCE: &str = "https://login.example/contoso/oauth2/v2.0/token";

    fn now() -> Timestamp {
        "2026-11-20T10:00:00Z".parse().unwrap()
    }

    /// A self-signed certificate that ends after so many days, and its key as PKCS#8, both PEM.
    fn pair(algorithm: &'static rcgen::SignatureAlgorithm, days: i64) -> (String, KeyPair) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let date =
            |day: i64| std::time::SystemTime::from(now() + SignedDuration::from_hours(24 * day)).into();
        params.not_before = date(-400);
        params.not_after = date(days);
        (params.self_signed(&key).unwrap().pem(), key)
    }

    fn load(certificate: &str, key: &str) -> Result<(Identity, Vec<String>), Error> {
        Identity::load(
            &Credential::Certificate {
                certificate: certificate.to_owned(),
                private_key: SecretString::from(key.to_owned()),
            },
            now(),
        )
    }

    fn problem(certificate: &str, key: &str) -> String {
        load(certificate, key).err().unwrap().to_string()
    }

    #[test]
    fn the_assertion_is_signed_with_ps256_and_names_its_certificate() {
        let (certificate, key) = pair(&PKCS_RSA_SHA256, 365);
        let (Identity::Application(Proof::Certificate(identity)), warnings) =
            load(&certificate, &key.serialize_pem()).unwrap()
        else {
            panic!("a certificate was given");
        };
        assert!(warnings.is_empty());
        let assertion = identity.assertion("client-1", AUDIENCE, now()).unwrap();

        let header = jsonwebtoken::decode_header(&assertion).unwrap();
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let digest =
            (aws_lc::DEFAULT_PROVIDER.key_utils.compute_digest)(&der, ThumbprintHash::SHA256).unwrap();
        assert_eq!(header.alg, Algorithm::PS256);
        assert_eq!(header.typ.as_deref(), Some("JWT"));
        assert_eq!(header.x5t_s256, Some(URL_SAFE_NO_PAD.encode(digest)));

        // The public key is the one inside the certificate, so the pair is proven, not only the signature.
        let (_, parsed) = X509Certificate::from_der(&der).unwrap();
        let public_key = DecodingKey::from_rsa_der(&parsed.public_key().subject_public_key.data);
        let mut validation = Validation::new(Algorithm::PS256);
        validation.set_audience(&[AUDIENCE]);
        validation.validate_exp = false;
        let claims =
            jsonwebtoken::decode::<serde_json::Value>(&assertion, &public_key, &validation).unwrap().claims;
        let begin = now().as_second();
        assert_eq!(claims["iss"], "client-1");
        assert_eq!(claims["sub"], "client-1");
        assert_eq!(claims["nbf"], begin);
        assert_eq!(claims["iat"], begin);
        assert_eq!(claims["exp"], begin + 600);
        let jti = claims["jti"].as_str().unwrap();
        let lengths: Vec<usize> = jti.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{jti}");
        assert_eq!(jti.chars().nth(14), Some('4'));
        assert_ne!(random_guid(), random_guid());
    }

    #[test]
    fn keys_load_in_both_encodings_and_with_lost_line_breaks() {
        let (certificate, key) = pair(&PKCS_RSA_SHA256, 365);
        let pkcs8 = key.serialize_pem();
        let pkcs1 = pkcs1_of(&key);
        for key in [&pkcs8, &pkcs1] {
            for (certificate, key) in [
                (certificate.clone(), key.clone()),
                (certificate.replace('\n', " "), key.replace('\n', " ")),
                (certificate.replace('\n', "\\n"), key.replace('\n', "\\n")),
            ] {
                assert!(load(&certificate, &key).is_ok(), "{certificate}");
            }
        }
    }

    /// The PKCS#1 form is the octet string at the end of the PKCS#8 one.
    fn pkcs1_of(key: &KeyPair) -> String {
        let der = key.serialize_der();
        let begins_key = |bytes: &[u8]| bytes[..2] == [0x30, 0x82] && bytes[4..] == [0x02, 0x01, 0x00];
        let inner = der.windows(7).rposition(begins_key).unwrap();
        assert_ne!(inner, 0, "the outer sequence holds the inner one");
        let base64 = base64::engine::general_purpose::STANDARD.encode(&der[inner..]);
        pem::blocks(&format!("-----BEGIN RSA PRIVATE KEY-----{base64}-----END RSA PRIVATE KEY-----"))[0]
            .to_pem()
    }

    #[test]
    fn a_broken_pair_is_refused_by_the_name_of_the_setting() {
        let (certificate, key) = pair(&PKCS_RSA_SHA256, 365);
        let key = key.serialize_pem();
        let (_, other_key) = pair(&PKCS_RSA_SHA256, 365);
        let (elliptic_certificate, elliptic_key) = pair(&PKCS_ECDSA_P256_SHA256, 365);
        let (expired, expired_key) = pair(&PKCS_RSA_SHA256, -1);
        let table = [
            (
                "",
                "",
                "holds no PEM block CERTIFICATE; credentials.client_private_key holds no PEM block PRIVATE KEY",
            ),
            (
                certificate.as_str(),
                &other_key.serialize_pem(),
                "credentials.client_private_key does not belong to",
            ),
            (
                &elliptic_certificate,
                &elliptic_key.serialize_pem(),
                "credentials.client_private_key is no RSA key",
            ),
            (
                &expired,
                &expired_key.serialize_pem(),
                "credentials.client_certificate expired at 2026-11-19T10:00:00Z",
            ),
            (
                "-----BEGIN CERTIFICATE-----AAAA-----END CERTIFICATE-----",
                &key,
                "client_certificate is no X.509",
            ),
            (
                "-----BEGIN CERTIFICATE-----A!-----END CERTIFICATE-----",
                &key,
                "credentials.client_certificate is damaged",
            ),
            (
                &certificate,
                "-----BEGIN PRIVATE KEY-----AAAA-----END PRIVATE KEY-----",
                "client_private_key is damaged",
            ),
            (
                &certificate,
                "-----BEGIN ENCRYPTED PRIVATE KEY-----AAAA-----END ENCRYPTED PRIVATE KEY-----",
                "client_private_key is encrypted",
            ),
        ];
        for (certificate, key, words) in table {
            let problem = problem(certificate, key);
            assert!(problem.contains(words) && problem.starts_with("[1] "), "{problem} should say {words}");
        }
    }

    #[test]
    fn a_token_that_no_header_may_hold_is_refused_by_the_name_of_its_setting_alone() {
        let load = |token: &str| Identity::load(&Credential::Token(SecretString::from(token)), now());
        for token in ["hunter2", "aGVsbG8+/w==", "a.b-c_d~{}\"\\"] {
            let (identity, warnings) = load(token).unwrap();
            let Identity::Token(kept) = identity else { panic!("{token} is no token") };
            assert_eq!((kept.expose_secret(), warnings.len()), (token, 0));
        }
        for token in
            ["", " ", "hunter2\n", "hunter2\r\nx: y", "hun ter2", "hünter2", "hunter2\u{7f}", "Token hunter2"]
        {
            let problem = load(token).err().unwrap().to_string();
            assert!(problem.starts_with("[1] credentials.files_access_token "), "{problem}");
            assert!(!problem.contains("nter2") && !problem.contains("hun"), "{problem}");
        }
    }

    #[test]
    fn the_days_of_a_certificate_are_known_also_when_it_has_ended() {
        let of = |certificate: String| {
            let private_key = SecretString::from(String::new());
            certificate_of(&Credential::Certificate { certificate, private_key })
        };
        for days in [400, 29, 0, -3] {
            let (certificate, _) = pair(&PKCS_ECDSA_P256_SHA256, days);
            for text in [certificate.clone(), certificate.replace('\n', " ")] {
                let found = of(text).unwrap();
                assert_eq!((found.purpose, found.days_left(now())), (Purpose::Login, days));
            }
        }
        for none in ["", "hunter2", "-----BEGIN CERTIFICATE-----AAAA-----END CERTIFICATE-----"] {
            assert_eq!(of(none.to_owned()), None, "{none}");
        }
        assert_eq!(certificate_of(&Credential::Secret(SecretString::from("hunter2"))), None);
    }

    #[test]
    fn a_certificate_that_is_not_valid_yet_is_a_warning() {
        for (begins, warned) in [(now() + SignedDuration::from_hours(1), true), (now(), false)] {
            let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.not_before = std::time::SystemTime::from(begins).into();
            let certificate = params.self_signed(&key).unwrap().pem();
            let (_, warnings) = load(&certificate, &key.serialize_pem()).unwrap();
            assert_eq!(!warnings.is_empty(), warned, "{warnings:?}");
        }
    }
}
