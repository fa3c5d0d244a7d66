//! Access tokens: fetched with the client's own credentials and kept until shortly before they end, or sent as the
//! configuration has them.
//!
//! The credential of a login goes to the login URL and nowhere else. Two requests that need a token at once share one login.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use collector::error::{Error, ErrorType, code};
use collector::ports::{Clock, SourceError};
use collector::settings::Connection;
use jiff::Timestamp;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use crate::client::{AttemptBounds, exchange};
use crate::complaint::excerpt;
use crate::failure::{Failure, FailureKind, Retry};
use crate::identity::{Identity, Proof, settings_error};
use crate::retry::{Next, Retries, after, time_left};
use crate::tuning::Tuning;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A token is not used in its last minutes: the request that carries it may wait and be repeated.
const LONGEST_MARGIN: Duration = Duration::from_secs(300);

/// Life time of a token whose answer does not say.
const UNSAID_LIFE_SECONDS: u64 = 300;

/// A token's answer has a few kilobytes.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// What a login needs beside its own settings.
pub(crate) struct Caller<'a> {
    pub(crate) client: &'a reqwest::Client,
    pub(crate) tuning: &'a Tuning,
    pub(crate) clock: &'a dyn Clock,
}

/// Where the token of a request comes from.
pub(crate) enum Tokens {
    /// From a login, whenever a new one is needed.
    Login(Box<Login>),
    /// From the configuration: there is no other, however often this one is refused.
    Fixed(FixedToken),
}

/// Whether there will be another token in place of one that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// The next request has a new one.
    Possible,
    /// The next request would have the same one.
    Impossible,
}

/// A token that is sent as it is.
pub(crate) struct FixedToken {
    text: SecretString,
    bearer: Bearer,
}

/// The tokens of one application in one tenant for one audience.
pub(crate) struct Login {
    url: Url,
    client_id: String,
    tenant_id: String,
    scope: String,
    proof: Proof,
    cached: Mutex<Cached>,
}

/// A token as a request carries it.
#[derive(Debug, Clone)]
pub(crate) struct Bearer {
    /// The value of `Authorization`, marked as sensitive.
    pub(crate) header: HeaderValue,
    /// Tells this token from those before and after it.
    serial: u64,
}

#[derive(Default)]
struct Cached {
    bearer: Option<(Bearer, Timestamp)>,
    serial: u64,
}

impl Tokens {
    /// Nothing is fetched yet.
    ///
    /// # Errors
    /// InitVariablesError 1 when the login URL is none.
    pub(crate) fn new(connection: &Connection, identity: Identity) -> Result<Self, Error> {
        match identity {
            Identity::Application(proof) => Ok(Self::Login(Box::new(Login::new(connection, proof)?))),
            Identity::Token(text) => FixedToken::new(text).map(Self::Fixed),
        }
    }

    /// The token for the next request: the one there is, or a new one.
    pub(crate) async fn bearer(
        &self,
        caller: &Caller<'_>,
        deadline: Timestamp,
    ) -> Result<Bearer, SourceError> {
        match self {
            Self::Login(login) => login.bearer(caller, deadline).await,
            Self::Fixed(token) => Ok(token.bearer.clone()),
        }
    }

    /// Forgets a token that the API refused, unless it was replaced already. Permissions are part of a token, so a new
    /// one is needed before a new grant takes effect.
    pub(crate) async fn discard(&self, refused: &Bearer) -> Renewal {
        match self {
            Self::Login(login) => {
                login.discard(refused).await;
                Renewal::Possible
            }
            Self::Fixed(_) => Renewal::Impossible,
        }
    }

    /// A body of the API without the token that the configuration holds, should the API have repeated it.
    pub(crate) fn without_secrets(&self, body: &Bytes) -> Bytes {
        match self {
            Self::Login(_) => body.clone(),
            Self::Fixed(token) => token.without_itself(body),
        }
    }
}

impl FixedToken {
    fn new(text: SecretString) -> Result<Self, Error> {
        let mut header = HeaderValue::try_from(format!("Token {}", text.expose_secret()))
            .map_err(|_| settings_error("the configured token cannot be part of a request"))?;
        header.set_sensitive(true);
        Ok(Self { text, bearer: Bearer { header, serial: 0 } })
    }

    fn without_itself(&self, body: &Bytes) -> Bytes {
        let text = String::from_utf8_lossy(body);
        if !text.contains(self.text.expose_secret()) {
            return body.clone();
        }
        Bytes::from(text.replace(self.text.expose_secret(), "…"))
    }
}

impl Login {
    fn new(connection: &Connection, proof: Proof) -> Result<Self, Error> {
        Ok(Self {
            url: token_url(&connection.login_url, &connection.tenant_id)?,
            client_id: connection.client_id.clone(),
            tenant_id: connection.tenant_id.clone(),
            scope: connection.scope.clone(),
            proof,
            cached: Mutex::default(),
        })
    }

    async fn bearer(&self, caller: &Caller<'_>, deadline: Timestamp) -> Result<Bearer, SourceError> {
        let mut cached = self.cached.lock().await;
        if let Some((bearer, usable_until)) = &cached.bearer
            && caller.clock.now() < *usable_until
        {
            return Ok(bearer.clone());
        }
        let fetched = self.log_in(caller, deadline).await?;
        cached.serial += 1;
        let bearer = Bearer { header: fetched.header, serial: cached.serial };
        cached.bearer = Some((bearer.clone(), fetched.usable_until));
        Ok(bearer)
    }

    async fn discard(&self, refused: &Bearer) {
        let mut cached = self.cached.lock().await;
        if cached.serial == refused.serial {
            cached.bearer = None;
        }
    }

    async fn log_in(&self, caller: &Caller<'_>, deadline: Timestamp) -> Result<Fetched, SourceError> {
        let mut retries = Retries::new(caller.tuning);
        loop {
            let failure = match self.attempt(caller, deadline).await? {
                Ok(fetched) => return Ok(fetched),
                Err(failure) => failure,
            };
            if failure.kind.retryable() != Retry::AfterWait {
                return Err(self.refused(&failure));
            }
            match retries.next(failure.retry_after, caller.clock.now(), deadline) {
                Next::Wait(wait) => {
                    tracing::info!(
                        status = failure.status,
                        wait_ms = wait.as_millis(),
                        "login failed, trying again"
                    );
                    tokio::time::sleep(wait).await;
                }
                Next::PastDeadline(until) => return Err(SourceError::Throttled { until }),
                Next::Exhausted => return Err(self.refused(&failure)),
            }
        }
    }

    async fn attempt(
        &self,
        caller: &Caller<'_>,
        deadline: Timestamp,
    ) -> Result<Result<Fetched, Failure>, SourceError> {
        let now = caller.clock.now();
        let bounds = AttemptBounds {
            time_left: time_left(now, deadline),
            timeout: caller.tuning.attempt_timeout,
            body_limit: ANSWER_LIMIT,
        };
        let proof = self.proof(now)?;
        let mut form = vec![
            ("client_id", self.client_id.as_str()),
            ("scope", self.scope.as_str()),
            ("grant_type", "client_credentials"),
        ];
        match &self.proof {
            Proof::Secret(_) => form.push(("client_secret", proof.expose_secret())),
            Proof::Certificate(_) => {
                form.push(("client_assertion_type", ASSERTION_TYPE));
                form.push(("client_assertion", proof.expose_secret()));
            }
        }
        let request = caller.client.post(self.url.clone()).form(&form);
        let answer = match exchange(request, bounds, BytesMut::new()).await {
            Ok(answer) => answer,
            Err(transport) => {
                let failure = Failure::transport(transport, bounds.timeout, bounds.body_limit);
                return failure.map(Err).ok_or(SourceError::OutOfTime);
            }
        };
        let received = caller.clock.now();
        if !answer.status.is_success() {
            return Ok(Err(Failure::refused(&answer, received)));
        }
        Ok(Fetched::read(&answer.body, received)
            .map_err(|detail| Failure::bad_body(FailureKind::NotAPage, &answer, detail.to_owned())))
    }

    /// The secret, or a new assertion.
    fn proof(&self, now: Timestamp) -> Result<SecretString, SourceError> {
        match &self.proof {
            Proof::Secret(secret) => Ok(secret.clone()),
            Proof::Certificate(certificate) => certificate
                .assertion(&self.client_id, self.url.as_str(), now)
                .map(SecretString::from)
                .map_err(|cause| self.error(&cause)),
        }
    }

    fn refused(&self, failure: &Failure) -> SourceError {
        let words = self.without_secrets(&failure.sentence());
        match self.cause(&failure.complaint.message) {
            Some(cause) => self.error(&format!("{cause} ({words})")),
            None => self.error(&words),
        }
    }

    fn error(&self, cause: &str) -> SourceError {
        let message = format!("Failed to fetch OAuth token from {}: {cause}", self.url);
        SourceError::Fatal(Error::new(ErrorType::SetupError, code::LOGIN, message))
    }

    /// The usual mistakes by name. Numbers without a name here are shown in the service's own words.
    fn cause(&self, message: &str) -> Option<String> {
        let number = message.split_once("AADSTS")?.1;
        let number: String = number.chars().take_while(char::is_ascii_digit).collect();
        let client = &self.client_id;
        let tenant = &self.tenant_id;
        Some(match number.as_str() {
            "7000222" => {
                "the client secret has expired, create a new one and store it in credentials.client_secret"
                    .to_owned()
            }
            "7000215" => {
                "wrong client secret, store the secret's value (not its id) in credentials.client_secret"
                    .to_owned()
            }
            "700016" => format!("unknown client {client} in tenant {tenant}, correct credentials.client_id"),
            "90002" | "900023" => format!("unknown tenant {tenant}, correct credentials.tenant_id"),
            "700027" => {
                format!(
                    "wrong certificate, register credentials.client_certificate with the application {client}"
                )
            }
            "700024" => "the assertion's time is not accepted, set the clock of this machine".to_owned(),
            _ => return None,
        })
    }

    fn without_secrets(&self, words: &str) -> String {
        match &self.proof {
            Proof::Secret(secret) if !secret.expose_secret().is_empty() => {
                words.replace(secret.expose_secret(), "…")
            }
            _ => words.to_owned(),
        }
    }
}

struct Fetched {
    header: HeaderValue,
    usable_until: Timestamp,
}

impl Fetched {
    fn read(body: &[u8], now: Timestamp) -> Result<Self, &'static str> {
        let answer: Value = serde_json::from_slice(body).map_err(|_| "the answer is no JSON")?;
        let token =
            answer.get("access_token").and_then(Value::as_str).ok_or("the answer has no access_token")?;
        let mut header = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| "the access_token cannot be part of a request")?;
        header.set_sensitive(true);
        let life = answer
            .get("expires_in")
            .and_then(|life| life.as_u64().or_else(|| life.as_str()?.parse().ok()))
            .unwrap_or(UNSAID_LIFE_SECONDS);
        let life = Duration::from_secs(life);
        let usable = life.saturating_sub(LONGEST_MARGIN.min(life / 5));
        Ok(Self { header, usable_until: after(now, usable) })
    }
}

fn token_url(login_url: &str, tenant_id: &str) -> Result<Url, Error> {
    let not_a_url = || settings_error(format!("override_login_url {} is no URL", excerpt(login_url)));
    let mut url = Url::parse(login_url).map_err(|_| not_a_url())?;
    url.path_segments_mut()
        .map_err(|()| not_a_url())?
        .pop_if_empty()
        .extend([tenant_id, "oauth2", "v2.0", "token"]);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(secret: &str) -> Login {
        let connection = Connection {
            base_url: "https://graph.example".to_owned(),
            login_url: "https://login.example".to_owned(),
            scope: "https://graph.example/.default".to_owned(),
            tenant_id: "contoso".to_owned(),
            client_id: "client-1".to_owned(),
            credential: collector::settings::Credential::Secret(SecretString::from(secret.to_owned())),
            publisher: "contoso".to_owned(),
        };
        Login::new(&connection, Proof::Secret(SecretString::from(secret.to_owned()))).unwrap()
    }

    #[test]
    fn the_usual_mistakes_are_named() {
        let table = [
            ("AADSTS7000222: The provided client secret keys are expired.", "the client secret has expired"),
            ("AADSTS7000215: Invalid client secret provided.", "wrong client secret"),
            ("AADSTS700016: Application was not found in the directory.", "unknown client client-1"),
            ("AADSTS90002: Tenant not found.", "unknown tenant contoso"),
            ("AADSTS900023: Specified tenant identifier is no DNS name.", "unknown tenant contoso"),
            ("AADSTS700027: The certificate is not registered.", "wrong certificate"),
        ];
        for (message, cause) in table {
            assert!(login("s3cret").cause(message).unwrap().starts_with(cause), "{message}");
        }
        for message in ["AADSTS70011: scope", "AADSTS7000222123: longer", "no number", ""] {
            assert_eq!(login("s3cret").cause(message), None, "{message}");
        }
    }

    #[test]
    fn a_secret_that_the_service_repeats_is_not_shown() {
        assert_eq!(login("s3cret").without_secrets("wrong: s3cret!"), "wrong: …!");
        assert_eq!(login("").without_secrets("as it is"), "as it is");
    }

    #[test]
    fn a_fixed_token_is_shown_by_nothing_and_cut_out_of_what_the_api_repeats() {
        let token = FixedToken::new(SecretString::from("s3cret+/=")).unwrap();
        assert_eq!(token.bearer.header.to_str().unwrap(), "Token s3cret+/=");
        assert!(!format!("{:?}", token.bearer).contains("s3cret"));
        let without = |body: &'static str| token.without_itself(&Bytes::from_static(body.as_bytes()));
        assert_eq!(without(r#"{"detail":"no s3cret+/=."}"#), r#"{"detail":"no …."}"#);
        assert_eq!(without("as it is"), "as it is");
    }

    #[test]
    fn a_token_ends_before_its_time_and_shows_nothing() {
        let now: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let table = [
            (r#"{"access_token":"t0ken","expires_in":3599}"#, 3299),
            (r#"{"access_token":"t0ken","expires_in":"3599"}"#, 3299),
            (r#"{"access_token":"t0ken","expires_in":100}"#, 80),
            (r#"{"access_token":"t0ken"}"#, 240),
        ];
        for (body, seconds) in table {
            let fetched = Fetched::read(body.as_bytes(), now).unwrap();
            assert_eq!(fetched.usable_until, after(now, Duration::from_secs(seconds)), "{body}");
            assert!(!format!("{:?}", fetched.header).contains("t0ken"));
        }
        for body in ["", "{}", r#"{"access_token":7}"#, r#"{"access_token":"a\nb"}"#] {
            assert!(Fetched::read(body.as_bytes(), now).is_err(), "{body}");
        }
    }

    #[test]
    fn a_tenant_cannot_change_the_path_of_the_login() {
        let table = [
            ("https://login.example", "contoso", "https://login.example/contoso/oauth2/v2.0/token"),
            ("https://login.example/", "contoso", "https://login.example/contoso/oauth2/v2.0/token"),
            ("http://127.0.0.1:1/login", "a/../b", "http://127.0.0.1:1/login/a%2F..%2Fb/oauth2/v2.0/token"),
        ];
        for (login, tenant, url) in table {
            assert_eq!(token_url(login, tenant).unwrap().as_str(), url);
        }
        assert!(token_url("mailto:x", "contoso").is_err());
        assert!(token_url("login.example", "contoso").is_err());
    }
}
