//! A secret store that speaks as much of AWS Secrets Manager as a collector asks for: `GetSecretValue`.
//!
//! JSON 1.1 over HTTP, signed requests only (the signature itself is not verified, there is no account behind it).
//! Values can be replaced while it runs, so that a test can rotate a secret under a warm process.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::http::{Answer, Handler, Request, Server};
use crate::sync::{locked, request_id};

const ARN_PREFIX: &str = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:";
const ARN_SUFFIX: &str = "-Sim4La";

/// A request for a secret. Values are not written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRequest {
    /// What was asked for: a name or an ARN.
    pub secret_id: String,
    /// Status of the answer.
    pub status: u16,
}

/// A running secret store. Cheap to clone; dropping the last clone stops it.
#[derive(Clone)]
pub struct Secrets {
    server: Server,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    values: Mutex<BTreeMap<String, Stored>>,
    requests: Mutex<Vec<SecretRequest>>,
}

struct Stored {
    value: String,
    version: String,
    created_at: Timestamp,
}

impl Secrets {
    /// Starts an empty store on a free port.
    pub async fn start() -> io::Result<Self> {
        let state = Arc::new(State::default());
        let server = Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Arc::clone(&state)).await?;
        Ok(Self { server, state })
    }

    /// Stops listening and cuts all connections.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// The value of `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Stores a value under a name; a value that was there is replaced by a new version.
    pub fn put(&self, name: &str, value: &str) -> io::Result<()> {
        let stored = Stored { value: value.to_owned(), version: request_id()?, created_at: Timestamp::now() };
        locked(&self.state.values).insert(name.to_owned(), stored);
        Ok(())
    }

    /// Removes a value.
    pub fn remove(&self, name: &str) {
        locked(&self.state.values).remove(name);
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<SecretRequest> {
        locked(&self.state.requests).clone()
    }
}

impl Handler for State {
    async fn answer(&self, request: Request) -> Answer {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let secret_id = body["SecretId"].as_str().unwrap_or_default().to_owned();
        let answer = self.value_of(&request, &secret_id);
        locked(&self.requests).push(SecretRequest { secret_id, status: answer.status });
        answer
    }
}

impl State {
    fn value_of(&self, request: &Request, secret_id: &str) -> Answer {
        if !request.header("authorization").is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256 ")) {
            return refusal("MissingAuthenticationTokenException", "Missing Authentication Token");
        }
        if request.header("x-amz-target") != Some("secretsmanager.GetSecretValue") {
            return refusal("UnknownOperationException", "the simulated store knows GetSecretValue alone");
        }
        let name = secret_id
            .strip_prefix(ARN_PREFIX)
            .map_or(secret_id, |named| named.strip_suffix(ARN_SUFFIX).unwrap_or(named));
        match locked(&self.values).get(name) {
            Some(stored) => {
                let body = json!({
                    "ARN": format!("{ARN_PREFIX}{name}{ARN_SUFFIX}"),
                    "Name": name,
                    "VersionId": stored.version,
                    "SecretString": stored.value,
                    "VersionStages": ["AWSCURRENT"],
                    "CreatedDate": stored.created_at.as_second(),
                });
                Answer::new(200, "application/x-amz-json-1.1", body.to_string())
            }
            None => refusal("ResourceNotFoundException", "Secrets Manager can't find the specified secret."),
        }
    }
}

fn refusal(error_type: &str, message: &str) -> Answer {
    let body = json!({ "__type": error_type, "Message": message });
    Answer::new(400, "application/x-amz-json-1.1", body.to_string())
        .with_header("x-amzn-ErrorType", error_type)
}
