//! Secrets, kept in the process for at most an hour.
//!
//! A warm function would otherwise pay for two reads a tick; an hour bounds how long a withdrawn secret is used. When a
//! login, an API or Devo refuses what a secret holds, it is read again once, before its hour is over. The age is taken
//! from the time of day, because a process that Lambda froze does not notice the hours that pass. Values are
//! `SecretString`s and occur in no message.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{Builder, retry::RetryConfig, timeout::TimeoutConfig};
use collector::error::{Error, ErrorType, code};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use crate::attempts::{Failure, Patience, persistently, sort};

/// The longest that a secret is used without being read again.
pub const LONGEST_USE: SignedDuration = SignedDuration::from_mins(60);

/// Reads secrets and remembers them.
#[derive(Debug)]
pub struct Secrets {
    client: Client,
    patience: Patience,
    kept: Mutex<HashMap<String, Kept>>,
}

#[derive(Debug, Clone)]
struct Kept {
    text: SecretString,
    read_at: Timestamp,
}

impl Secrets {
    /// An empty memory. Opens no connection.
    pub fn new(config: &SdkConfig) -> Self {
        let patience = Patience::default();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(patience.attempt / 2)
            .operation_timeout(patience.attempt)
            .build();
        let client_config =
            Builder::from(config).retry_config(RetryConfig::disabled()).timeout_config(timeouts).build();
        Self { client: Client::from_conf(client_config), patience, kept: Mutex::default() }
    }

    /// The text of the secret `id`, read no longer ago than [`LONGEST_USE`]. `InitVariablesError` 1 names the secret
    /// and the remedy.
    pub async fn get(&self, id: &str, now: Timestamp) -> Result<SecretString, Error> {
        self.get_read_since(id, now - LONGEST_USE, now).await
    }

    /// The text of the secret `id`, read at `since` or later: however often it is asked for in one invocation, it is
    /// read once after its beginning.
    pub async fn get_read_since(
        &self,
        id: &str,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<SecretString, Error> {
        if let Some(kept) = self.kept(id)
            && (since..=now).contains(&kept.read_at)
        {
            return Ok(kept.text);
        }
        let text =
            persistently(self.patience, || self.read(id)).await.map_err(|failure| explain(id, failure))?;
        let kept = Kept { text: text.clone(), read_at: now };
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), kept);
        Ok(text)
    }

    fn kept(&self, id: &str) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    async fn read(&self, id: &str) -> Result<SecretString, Failure> {
        match self.client.get_secret_value().secret_id(id).send().await {
            Ok(output) => output.secret_string.map(SecretString::from).ok_or_else(|| Failure::Rejected {
                code: "NoString".to_owned(),
                message: "it holds bytes and no text".to_owned(),
            }),
            Err(error) => Err(sort(&error)),
        }
    }
}

/// The failure to read a secret, with the remedy.
fn explain(id: &str, failure: Failure) -> Error {
    let (cause, remedy) = match failure {
        Failure::Busy(message) => (message, "it is read again at the next invocation"),
        Failure::Unknown(message) | Failure::Unreachable(message) => (
            message,
            "give the function a route to Secrets Manager, in a VPC by an interface endpoint or a NAT gateway",
        ),
        Failure::Refused(_) => ("refused".to_owned(), "it is read again at the next invocation"),
        Failure::Rejected { code, message } => {
            let remedy = match code.as_str() {
                "ResourceNotFoundException" => {
                    "create it in this region or correct COLLECTOR_SECRET_ID or DEVO_SECRET_ID"
                }
                "AccessDeniedException" => {
                    "allow the function's role secretsmanager:GetSecretValue on it, and kms:Decrypt on its key"
                }
                "DecryptionFailure" => "enable its key and allow the function's role kms:Decrypt on it",
                "InvalidRequestException" => "cancel its deletion, or create it anew",
                "NoString" => "store its value as text",
                "NoCredentials" | "UnrecognizedClientException" | "ExpiredTokenException" => {
                    "give the function a role whose credentials are valid"
                }
                _ => "correct COLLECTOR_SECRET_ID or DEVO_SECRET_ID",
            };
            (format!("{code}: {message}"), remedy)
        }
    };
    let message = format!("secret {id} cannot be read ({cause}): {remedy}");
    Error::new(ErrorType::InitVariablesError, code::SETTINGS, message)
}
