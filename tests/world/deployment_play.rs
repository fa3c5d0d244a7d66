//! The created functions at work: each a process of the shipped artefact with exactly the variables, the secrets and the
//! table that the stack gives it, behind recorders of its own.
//!
//! Beside what Lambda sets by itself, only the addresses of the emulators are added. Secrets lie in the emulated Secrets
//! Manager under the ARNs of the stack, the table in the emulator of DynamoDB under the name of the stack.

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use collector::service::Service;
use serde_json::{Value, json};
use simulator::tenant::Tenant;

use super::deployment::{Deployment, Function};
use super::iam::Call;
use super::parties::{self, receiver};
use super::process::{Ended, Process};
use super::recorder::Recorder;
use super::{AMPLE, all_services, document};

/// Whatever AWS accepts: the emulators do not check signatures.
const KEY_ID: &str = "AKIDTEST";
const KEY: &str = "aws+secret+access+key";

/// One created function, running.
pub struct Player {
    /// What it plays.
    pub service: &'static Service,
    process: Process,
    to_dynamodb: Recorder,
    to_secrets: Recorder,
}

impl Player {
    /// Starts the artefact as Lambda would start this function.
    pub async fn start(deployment: &Deployment, function: &Function) -> Self {
        let service = super::service(&function.handler);
        let to_dynamodb = Recorder::before(parties::dynamodb(), deployment.owner()).await;
        let to_secrets = Recorder::before(deployment.address(), deployment.owner()).await;
        let log_group = format!("/aws/lambda/{}", function.name);
        let by_lambda = [
            ("_HANDLER", function.handler.as_str()),
            ("AWS_REGION", &deployment.region),
            ("AWS_DEFAULT_REGION", &deployment.region),
            ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023"),
            ("AWS_LAMBDA_FUNCTION_NAME", &function.name),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &function.memory.to_string()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", &log_group),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/11/20/[$LATEST]0123456789abcdef"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_ACCESS_KEY_ID", KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", KEY),
            ("LAMBDA_TASK_ROOT", "/var/task"),
            ("TZ", ":UTC"),
        ];
        let endpoints = [
            ("AWS_ENDPOINT_URL_DYNAMODB", to_dynamodb.url()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", to_secrets.url()),
        ];
        let mut variables: BTreeMap<String, String> =
            by_lambda.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        for (name, value) in &function.environment {
            let taken = variables.insert(name.clone(), value.clone());
            assert!(taken.is_none(), "{} sets {name}, which is Lambda's", function.name);
        }
        variables.extend(endpoints.map(|(name, value)| (name.to_owned(), value)));
        let variables: Vec<(String, String)> = variables.into_iter().collect();
        Self { service, process: Process::start(&variables).await, to_dynamodb, to_secrets }
    }

    /// Invokes it; anything but an answer fails the test.
    pub async fn invoke(&self, event: &Value) -> Value {
        match self.process.invoke(event, AMPLE).await {
            Ended::Answer(answer) => answer,
            other => panic!("{} {event}: {other:?}\n{}", self.service.function, self.process.output()),
        }
    }

    /// The same, forced.
    pub async fn force(&self) -> Value {
        self.invoke(&json!({"force": true})).await
    }

    /// Ends the process; gives the calls it made and what it wrote.
    pub async fn end(self) -> Played {
        self.process.ask_to_end();
        self.process.ended().await;
        let calls = [self.to_dynamodb.calls(), self.to_secrets.calls()].concat();
        Played { function: self.service.function, calls, output: self.process.output() }
    }
}

/// What a function did.
pub struct Played {
    /// The function.
    pub function: &'static str,
    /// Its calls to AWS, in order for each service.
    pub calls: Vec<Call>,
    /// All it wrote.
    pub output: String,
}

impl Played {
    /// The lines with metrics, as CloudWatch would read them.
    pub fn metric_lines(&self) -> Vec<Value> {
        let lines = self.output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line.get("_aws").is_some()).collect()
    }
}

/// Puts the documents of this tenant and the receiver's certificates under the ARNs that the functions are given.
pub async fn store_secrets(deployment: &Deployment, tenant: &Tenant, id: &str) {
    let config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(deployment.region.clone()))
        .endpoint_url(&deployment.endpoint)
        .credentials_provider(Credentials::new(KEY_ID, KEY, None, None, "test"))
        .build();
    let client = Client::from_conf(config);
    let receiver = receiver();
    let (chain, cert) = (receiver.pem("chain.pem"), receiver.pem("client.pem"));
    let devo = document::devo(receiver.address(), &chain, &cert, &receiver.pem("client.key"));
    let mut values: BTreeMap<&str, Value> = BTreeMap::new();
    for function in deployment.functions.values() {
        values.insert(&function.environment["DEVO_SECRET_ID"], devo.clone());
    }
    for function in deployment.functions.values() {
        let input = super::service(&function.handler).input;
        let services: Vec<_> = all_services().filter(|service| service.input == input).collect();
        let inputs = document::configuration(&services, tenant, id);
        // Several inputs may share one secret.
        let secret = function.environment["COLLECTOR_SECRET_ID"].as_str();
        let shared = values.entry(secret).or_insert_with(|| json!({"inputs": {}}));
        shared["inputs"][input] = inputs["inputs"][input].clone();
    }
    for (arn, value) in values {
        client.put_secret_value().secret_id(arn).secret_string(value.to_string()).send().await.unwrap();
    }
}
