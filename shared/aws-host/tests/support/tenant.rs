//! AWS and a Microsoft tenant on one port, as far as one invocation needs them: two secrets, the state table (passed on
//! to the emulator), a login that knows one client secret, an API with one record, and content with one record.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_host::environment::{self, Environment};
use aws_host::handler::{Call, Handler, Telemetry};
use aws_host::logs::CurrentRequest;
use collector::service::{Cloud, Family, Older};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::wire::{answer, read_message};
use super::{Dynamo, sdk_config};

/// A family of one service.
static THINGS: Family = Family {
    input: "test_input",
    aliases: &[],
    older: Older::NONE,
    clouds: CLOUDS,
    services: &[&testing::service::SERVICE],
};

/// A family of two content feeds and the service that retries what failed in them.
static CONTENT: Family = Family {
    input: "test_content",
    aliases: &[],
    older: Older::NONE,
    clouds: CLOUDS,
    services: &[&testing::service::FEED, &testing::service::OTHER_FEED, &testing::service::RETRY],
};

const CLOUDS: &[Cloud] = &[Cloud {
    top_level_domain: None,
    base_url: "https://things.test",
    login_url: "https://login.test",
    scope: "https://things.test/.default",
}];

const FAMILIES: &[&Family] = &[&THINGS, &CONTENT];

/// Everything one invocation talks to.
pub struct Tenant {
    /// `127.0.0.1:port`.
    pub address: String,
    /// The state table behind it.
    pub dynamo: Dynamo,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    secrets: BTreeMap<String, Value>,
    client_secret: String,
    /// The API refuses the tokens of a login with this secret.
    refused: Option<String>,
    counts: BTreeMap<String, usize>,
    metrics: Vec<u8>,
}

struct Metrics(Arc<Mutex<Inner>>);

impl Write for Metrics {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().metrics.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Tenant {
    /// A tenant whose client secret is `right`, and secrets that hold the same.
    pub async fn start() -> Self {
        let dynamo = Dynamo::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let inner = Arc::new(Mutex::new(Inner { client_secret: "right".to_owned(), ..Inner::default() }));
        let tenant = Self { address, dynamo, inner: Arc::clone(&inner) };
        let behind = tenant.dynamo.address.clone();
        tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { return };
                tokio::spawn(serve(client, behind.clone(), Arc::clone(&inner)));
            }
        });
        tenant.set_secret("collector", json!({"SecretString": tenant.document("right").to_string()}));
        tenant.set_secret("devo", json!({"SecretString": devo_secret(1_000)}));
        tenant
    }

    /// The configuration document with this client secret.
    pub fn document(&self, client_secret: &str) -> Value {
        let here = format!("http://{}", self.address);
        json!({"inputs": {"test_input": {
            "id": "ab123",
            "credentials": {"tenant_id": "tenant", "client_id": "client", "client_secret": client_secret},
            "override_base_url": here, "override_login_url": here,
            "services": {"things": {}},
        }}})
    }

    /// A document of the content feeds and their retry service.
    pub fn document_of_content(&self) -> Value {
        let mut input = self.document("right")["inputs"]["test_input"].take();
        input["services"] = json!({"mail": {}, "files": {}, "retry": {}});
        json!({"inputs": {"test_content": input}})
    }

    /// What Secrets Manager answers for this secret: `SecretString`, `SecretBinary` or `__type`.
    pub fn set_secret(&self, id: &str, given: Value) {
        self.inner.lock().unwrap().secrets.insert(id.to_owned(), given);
    }

    /// The document becomes this text.
    pub fn set_document(&self, text: &str) {
        self.set_secret("collector", json!({"SecretString": text}));
    }

    /// From now on the API refuses the tokens of a login with this secret, and logins know the other one.
    pub fn rotate(&self, from: &str, to: &str) {
        let mut inner = self.inner.lock().unwrap();
        inner.refused = Some(from.to_owned());
        inner.client_secret = to.to_owned();
    }

    /// How many requests of each kind came since the last time.
    pub fn take_counts(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.inner.lock().unwrap().counts)
    }

    /// The SDK's configuration for this place.
    pub fn config(&self) -> SdkConfig {
        sdk_config(&self.address)
    }

    /// A process of the service `test-things`, just started.
    pub fn handler(&self) -> Handler {
        self.handler_of("test-things")
    }

    /// A process of that function, just started.
    pub fn handler_of(&self, function: &str) -> Handler {
        let telemetry = Telemetry {
            current: CurrentRequest::default(),
            metrics: Mutex::new(Box::new(Metrics(Arc::clone(&self.inner)))),
        };
        Handler::new(FAMILIES, environment(function), &self.config(), Timestamp::now, telemetry)
    }

    /// The lines of metrics that were written so far.
    pub fn metrics(&self) -> String {
        String::from_utf8(self.inner.lock().unwrap().metrics.clone()).unwrap()
    }

    /// The same lines parsed, each with the names of the metrics that it declares.
    pub fn measured(&self) -> Vec<(Value, Vec<String>)> {
        let parse = |text: &str| {
            let line: Value = serde_json::from_str(text).unwrap();
            let declared = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
            let name = |metric: &Value| metric["Name"].as_str().unwrap().to_owned();
            let names = declared.iter().map(name).collect();
            (line, names)
        };
        self.metrics().lines().map(parse).collect()
    }
}

/// A call with this event and a minute of time.
pub fn call(event: Value) -> Call {
    Call {
        request_id: "request-1".to_owned(),
        deadline: Timestamp::now() + SignedDuration::from_secs(60),
        event,
    }
}

fn environment(function: &str) -> Environment {
    let lookup = |name: &str| {
        let value = match name {
            "_HANDLER" => function,
            "COLLECTOR_SECRET_ID" => "collector",
            "DEVO_SECRET_ID" => "devo",
            "STATE_TABLE" => super::TABLE,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE" => "256",
            "AWS_LAMBDA_RUNTIME_API" | "AWS_LAMBDA_FUNCTION_NAME" | "AWS_LAMBDA_FUNCTION_VERSION" => "x",
            _ => return None,
        };
        Some(value.to_owned())
    };
    environment::read(&lookup, FAMILIES).unwrap()
}

/// A Devo secret with a certificate made on the spot, which ends after so many days and a few hours; nothing listens at
/// its address.
pub fn devo_secret(days: i64) -> String {
    let (cert, key) = certificate(days, &rcgen::PKCS_ECDSA_P256_SHA256);
    json!({"address": "127.0.0.1", "port": 1, "chain": cert, "cert": cert, "key": key}).to_string()
}

/// A certificate that ends after so many days and a few hours, and its key, both PEM.
pub fn certificate(days: i64, algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
    let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let mut params = rcgen::CertificateParams::default();
    let at = |hours: i64| SystemTime::from(Timestamp::now() + SignedDuration::from_hours(hours)).into();
    params.not_before = at(-24_000);
    params.not_after = at(24 * days + 12);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

async fn serve(mut client: TcpStream, behind: String, inner: Arc<Mutex<Inner>>) {
    let mut dynamo = TcpStream::connect(behind).await.unwrap();
    while let Some(request) = read_message(&mut client).await {
        let text = String::from_utf8_lossy(&request).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let given = if head.contains("DynamoDB_20120810.") {
            count(&inner, "state");
            dynamo.write_all(&request).await.unwrap();
            read_message(&mut dynamo).await.unwrap()
        } else {
            play(head, body, &inner)
        };
        client.write_all(&given).await.unwrap();
    }
}

fn play(head: &str, body: &str, inner: &Mutex<Inner>) -> Vec<u8> {
    if head.contains("secretsmanager.GetSecretValue") {
        count(inner, "secret");
        let asked: Value = serde_json::from_str(body).unwrap();
        let id = asked["SecretId"].as_str().unwrap();
        let given = inner.lock().unwrap().secrets.get(id).cloned();
        let given =
            given.unwrap_or_else(|| json!({"__type": "ResourceNotFoundException", "Message": "none"}));
        let status = if given.get("__type").is_some() { 400 } else { 200 };
        return answer(status, &given.to_string());
    }
    if head.starts_with("POST /tenant/oauth2/v2.0/token") {
        count(inner, "login");
        let secret = body.split('&').find_map(|pair| pair.strip_prefix("client_secret=")).unwrap_or_default();
        let inner = inner.lock().unwrap();
        // A login goes on with a secret that was taken back for a while after the API has noticed.
        if secret == inner.client_secret || inner.refused.as_deref() == Some(secret) {
            let token = format!("t0ken-of-{secret}");
            let given = json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"});
            return answer(200, &given.to_string());
        }
        let refusal = r#"{"error": "invalid_client", "error_description": "AADSTS7000215: wrong", "error_codes": [7000215]}"#;
        return answer(401, refusal);
    }
    if head.starts_with("GET /content/") {
        count(inner, "content");
        return answer(200, r#"[{"Id": "1", "CreationTime": "2026-11-20T09:00:00", "Workload": "Mail"}]"#);
    }
    count(inner, "page");
    let refused = inner.lock().unwrap().refused.as_ref().map(|secret| format!("Bearer t0ken-of-{secret}"));
    if refused.is_some_and(|refused| head.contains(&refused)) {
        return answer(401, r#"{"detail": "Invalid token."}"#);
    }
    let time = (Timestamp::now() - SignedDuration::from_mins(5)).to_string();
    answer(200, &json!({"value": [{"id": "1", "kind": "red", "time": time}]}).to_string())
}

fn count(inner: &Mutex<Inner>, kind: &str) {
    *inner.lock().unwrap().counts.entry(kind.to_owned()).or_default() += 1;
}
