//! The shipped executable at work: invoked as Lambda does, with everything it talks to on this machine.
//!
//! State and secrets are served from this process, so only the executable's own memory is in its account.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use simulator::runtime::{InvocationAnswer, Runtime, RuntimeConfig};
use simulator::secrets::Secrets;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::memory::Peak;
use crate::pipeline::Packing;
use crate::receiver::Received;
use crate::server::Served;
use crate::{Outcome, cpu};

/// The Handler that is played where nothing is pulled.
pub const HANDLER: &str = "graph-directory-audits";
/// Time of one invocation.
const TIME: Duration = Duration::from_secs(300);
/// The database looks at the form of a signature alone.
const ANY_SIGNATURE: &str = "AWS4-HMAC-SHA256 Credential=benchmark/20260101/eu-central-1/dynamodb/aws4_request, \
                             SignedHeaders=host, Signature=0";
/// The table of the state.
pub const TABLE: &str = "state";
/// Who is logged in.
pub const TENANT: &str = "0b6ac2d5-3c5e-4b1f-9f0e-6a1d2c3b4e5f";
/// The secrets: the document, and Devo's.
pub const SECRETS: [&str; 2] = ["collector", "devo"];

/// What the executable is to do.
#[derive(Debug)]
pub struct Job {
    /// The Handler that is played.
    pub handler: &'static str,
    /// Where the document has its service.
    pub input: &'static str,
    /// The service's key there.
    pub service: &'static str,
    /// Where the API is.
    pub api: Served,
    /// Where the events go.
    pub receiver: Received,
    /// How they are sent.
    pub packing: Packing,
    /// How often it is all done.
    pub rounds: u32,
    /// Records that the first round delivers.
    pub records: usize,
}

/// What the executable used.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Usage {
    /// Its memory, in bytes.
    #[serde(flatten)]
    pub memory: Peak,
    /// Processor time of all its threads from the first invocation to the last answer, in microseconds.
    pub cpu_micros: f64,
}

/// Variables as Lambda sets them, with a runtime API at this address.
pub fn variables(runtime_api: SocketAddr, handler: &'static str) -> Vec<(&'static str, String)> {
    let fixed = [
        ("_HANDLER", handler),
        ("AWS_LAMBDA_FUNCTION_NAME", handler),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "benchmark"),
        ("AWS_SECRET_ACCESS_KEY", "benchmark"),
        ("COLLECTOR_SECRET_ID", SECRETS[0]),
        ("DEVO_SECRET_ID", SECRETS[1]),
        ("STATE_TABLE", TABLE),
    ];
    let mut variables: Vec<_> = fixed.map(|(name, value)| (name, value.to_owned())).into();
    variables.push(("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string()));
    variables
}

/// A pull that somebody asks for.
#[derive(Debug, Clone)]
pub struct Pull {
    /// The event of the invocation.
    pub event: Value,
    /// Records that it delivers; anything else is a failure of the benchmark.
    pub delivers: u64,
}

/// Has the executable pull everything there is, as often as the job says, and tells what it used.
pub fn run(artefact: &Path, job: &Job) -> Outcome<Usage> {
    // What was delivered in the first round is known in the others.
    let delivers = |round| if round == 0 { job.records as u64 } else { 0 };
    let pulls: Vec<Pull> = (0..job.rounds)
        .map(|round| Pull { event: json!({"force": true}), delivers: delivers(round) })
        .collect();
    tokio::runtime::Runtime::new()?.block_on(async {
        let stage = Stage::set(job, start_database().await?).await?;
        Ok(stage.play(artefact, &pulls).await?.0)
    })
}

/// What the executable talks to beside the API and Devo.
pub struct Stage {
    handler: &'static str,
    database: SocketAddr,
    secrets: Secrets,
}

impl Stage {
    /// The stage of a job, with this database.
    pub async fn set(job: &Job, database: SocketAddr) -> Outcome<Self> {
        let secrets = Secrets::start().await?;
        let (collector, devo) = documents(job);
        secrets.put(SECRETS[0], &collector.to_string())?;
        secrets.put(SECRETS[1], &devo.to_string())?;
        Ok(Self { handler: job.handler, database, secrets })
    }

    /// Has a new process do these pulls, one after another. Gives what it used, and its answers.
    pub async fn play(&self, artefact: &Path, pulls: &[Pull]) -> Outcome<(Usage, Vec<Value>)> {
        let runtime = Runtime::start(RuntimeConfig::default()).await?;
        let process = Command::new(artefact)
            .env_clear()
            .envs(variables(runtime.address(), self.handler))
            .env("AWS_ENDPOINT_URL_DYNAMODB", format!("http://{}", self.database))
            .env("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets.url())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let id = process.id().ok_or("the process ended at once")?.to_string();
        while runtime.open_polls() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        let before = cpu::memory(&id)?;
        let cpu_before = cpu::time_of(&id)?;
        let mut answers = Vec::new();
        for pull in pulls {
            let answer = invoke(&runtime, pull).await?;
            if answer["delivered"].as_u64() != Some(pull.delivers) {
                let expected = pull.delivers;
                return Err(format!("{expected} records were to be delivered, not as in {answer}").into());
            }
            answers.push(answer);
        }
        let cpu = cpu::time_of(&id)?.saturating_sub(cpu_before);
        let memory = Peak { before, peak: cpu::peak_memory(&id)? };
        Ok((Usage { memory, cpu_micros: cpu.as_secs_f64() * 1e6 }, answers))
    }
}

async fn invoke(runtime: &Runtime, pull: &Pull) -> Outcome<Value> {
    let invocation = runtime.invoke(&pull.event.to_string(), TIME)?;
    match timeout(TIME, invocation.answer()).await {
        Ok(InvocationAnswer::Response(answer)) => Ok(answer),
        Ok(other) => Err(format!("the executable failed: {other:?}").into()),
        Err(_) => Err("the executable gives no answer".into()),
    }
}

fn documents(job: &Job) -> (Value, Value) {
    let base_url = &job.api.base_url;
    let (input, service) = (job.input, job.service);
    let collector = json!({"inputs": {input: {
        "id": "bench",
        "environment": "prod",
        "credentials": {"tenant_id": TENANT, "client_id": "client", "client_secret": "secret"},
        "override_base_url": base_url,
        "override_login_url": base_url,
        "requests_per_second": 1_000_000,
        "services": {service: {}},
    }}});
    let receiver = &job.receiver;
    let devo = json!({
        "address": "127.0.0.1", "port": receiver.port,
        "chain": receiver.chain, "cert": receiver.cert, "key": receiver.key,
        "compression": match job.packing { Packing::Gzip => "gzip", Packing::Plain => "none" },
    });
    (collector, devo)
}

/// A database with an empty table, in memory.
pub async fn start_database() -> Outcome<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let database = dynoxide::Database::memory()?;
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    let table = json!({
        "TableName": TABLE, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "S"},
        ],
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    });
    ask_database(address, "CreateTable", &table).await?;
    Ok(address)
}

/// The answer of the database to a call.
pub async fn ask_database(address: SocketAddr, operation: &str, call: &Value) -> Outcome<Value> {
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()?
        .post(format!("http://{address}"))
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
        .header("x-amz-date", "20260101T000000Z")
        .header("authorization", ANY_SIGNATURE)
        .body(call.to_string())
        .send()
        .await?;
    if !answer.status().is_success() {
        return Err(format!("{operation} was refused: {}", answer.text().await?).into());
    }
    Ok(answer.json().await?)
}
