//! Everything that a function talks to, on this machine and as far away as in reality, and the function itself.
//!
//! The tenant answers late, the database is behind a meter, Devo at the end of a line. A function is the artefact in a
//! process of its own, invoked as Lambda does; each of its ticks gives the differences of all accounts.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value, json};
use simulator::runtime::{InvocationAnswer, Runtime, RuntimeConfig};
use simulator::secrets::Secrets;
use simulator::tenant::{Fault, FeedConfig, Rule, Subscription, Target, Tenant, TenantConfig};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::assumptions::Assumptions;
use super::line::Line;
use super::meter::Meter;
use super::units::item_bytes;
use crate::child::{self, Helper, Role};
use crate::receiver::Received;
use crate::{Outcome, cpu, shipped};

/// Time of one invocation.
const TIME: Duration = Duration::from_secs(240);
/// Between two looks at a condition that nobody tells about.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Services of the document; all of them, so that it is as long as a real one.
const AUDIT: [&str; 4] = ["directory_audits", "provisioning_audits", "signIns", "signIns_v2"];
const FEEDS: [&str; 6] =
    ["azure_active_directory", "sharepoint", "exchange", "general_audit", "dlp", "uri_retry"];

/// What one invocation took.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Tick {
    /// Its `status`.
    pub status: String,
    /// Records that were delivered.
    pub delivered: u64,
    /// Records that were read.
    pub received: u64,
    /// Requests to the API.
    pub requests: u64,
    /// From the event to the answer, in milliseconds.
    pub wall_ms: f64,
    /// Processor time, in milliseconds.
    pub cpu_ms: f64,
    /// DynamoDB's write request units.
    pub write_units: f64,
    /// DynamoDB's read request units.
    pub read_units: f64,
    /// Calls to DynamoDB.
    pub state_calls: u64,
    /// Secrets that were read.
    pub secret_calls: u64,
    /// Bytes of log lines, those of metrics included.
    pub log_bytes: u64,
    /// Log lines.
    pub log_lines: u64,
    /// Bytes that went to Devo.
    pub devo_bytes: u64,
    /// Bytes by which the stored rows grew.
    pub stored_bytes: i64,
    /// Rows by which the table grew.
    pub stored_rows: i64,
}

impl Tick {
    /// The time in which the process did nothing, in milliseconds.
    pub fn wait_ms(&self) -> f64 {
        (self.wall_ms - self.cpu_ms).max(0.0)
    }
}

/// The parties. Dropping it ends those that are processes.
pub struct World {
    /// The Microsoft tenant.
    pub tenant: Tenant,
    secrets: Secrets,
    database: SocketAddr,
    meter: Meter,
    line: Line,
    _receiver: Helper,
}

impl World {
    /// Starts all parties.
    pub async fn start(assumptions: &Assumptions) -> Outcome<Self> {
        let tenant = Tenant::start(TenantConfig {
            feed: FeedConfig { subscriptions: Subscription::Enabled, ..FeedConfig::default() },
            ..TenantConfig::default()
        })
        .await?;
        tenant
            .script(vec![Rule::on(Target::Anything, Fault::Delay(milliseconds(assumptions.api_latency_ms)))]);
        let database = shipped::start_database().await?;
        let meter = Meter::start(database, milliseconds(assumptions.state_latency_ms)).await?;
        let (helper, receiver): (_, Received) = child::start(Role::Receiver, &())?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, receiver.port));
        let line = Line::to(address, milliseconds(assumptions.devo_round_trip_ms)).await?;
        let secrets = Secrets::start().await?;
        secrets.put(shipped::SECRETS[0], &document(&tenant).to_string())?;
        let devo = json!({
            "address": "127.0.0.1", "port": line.address().port(),
            "chain": receiver.chain, "cert": receiver.cert, "key": receiver.key,
        });
        secrets.put(shipped::SECRETS[1], &devo.to_string())?;
        Ok(Self { tenant, secrets, database, meter, line, _receiver: helper })
    }

    /// Bytes and number of all stored rows.
    async fn stored(&self) -> Outcome<(i64, i64)> {
        let (mut bytes, mut rows) = (0, 0);
        let mut start = Value::Null;
        loop {
            let mut call = json!({"TableName": shipped::TABLE});
            if !start.is_null() {
                call["ExclusiveStartKey"] = start;
            }
            let mut page = shipped::ask_database(self.database, "Scan", &call).await?;
            let items = page["Items"].as_array().map(Vec::as_slice).unwrap_or_default();
            let sizes = items.iter().filter_map(Value::as_object).map(item_bytes);
            bytes += i64::try_from(sizes.sum::<u64>())?;
            rows += i64::try_from(items.len())?;
            start = page["LastEvaluatedKey"].take();
            if start.is_null() {
                return Ok((bytes, rows));
            }
        }
    }
}

/// The whole configuration at this tenant.
fn document(tenant: &Tenant) -> Value {
    let config = tenant.config();
    let application = config.applications.first();
    let input = |scope: &str, services: &[&str]| {
        let blocks: Map<String, Value> = services
            .iter()
            .map(|name| ((*name).to_owned(), json!({"override_lookback_in_seconds": 7_200})))
            .collect();
        json!({
            "id": "bench", "environment": "prod",
            "credentials": {
                "tenant_id": config.tenant_id,
                "client_id": application.map(|known| &known.client_id),
                "client_secret": application.and_then(|known| known.secrets.first()).map(|secret| &secret.value),
            },
            "override_base_url": tenant.base_url(), "override_login_url": tenant.base_url(),
            "override_scope_value": scope,
            // What the published limit makes wait is computed: nobody wants to sit through it.
            "requests_per_second": 1_000_000,
            "services": blocks,
        })
    };
    json!({"inputs": {
        "microsoft_graph_audit": input(&config.scope, &AUDIT),
        "office365": input(&config.feed.scope, &FEEDS),
    }})
}

/// A process of the artefact.
pub struct Function<'a> {
    world: &'a World,
    runtime: Runtime,
    /// Held: dropping it kills the process.
    _process: Child,
    id: String,
    log: File,
    start: Duration,
}

/// All accounts at one moment.
struct Account {
    cpu: Duration,
    consumed: super::meter::Consumed,
    secrets: usize,
    log: (u64, u64),
    devo: u64,
    stored: (i64, i64),
}

impl<'a> Function<'a> {
    /// Starts the artefact as this function.
    pub async fn start(world: &'a World, artefact: &Path, handler: &'static str) -> Outcome<Self> {
        let runtime = Runtime::start(RuntimeConfig::default()).await?;
        let log = tempfile::tempfile()?;
        let begin = Instant::now();
        let process = Command::new(artefact)
            .env_clear()
            .envs(shipped::variables(runtime.address(), handler))
            .env("COLLECTOR_NAME", "collector")
            .env("AWS_ENDPOINT_URL_DYNAMODB", format!("http://{}", world.meter.address()))
            .env("AWS_ENDPOINT_URL_SECRETS_MANAGER", world.secrets.url())
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let id = process.id().ok_or("the process ended at once")?.to_string();
        let mut function = Self { world, runtime, _process: process, id, log, start: Duration::ZERO };
        function.idle().await?;
        let poll = function.runtime.polls().first().copied();
        function.start = poll.map_or(Duration::ZERO, |first| first.saturating_duration_since(begin));
        Ok(function)
    }

    /// From the start of the process to its first poll.
    pub fn start_up(&self) -> Duration {
        self.start
    }

    /// One invocation with this event, and what it took.
    pub async fn tick(&mut self, event: &Value) -> Outcome<Tick> {
        let before = self.account().await?;
        let begin = Instant::now();
        let invocation = self.runtime.invoke(&event.to_string(), TIME)?;
        let answer = match timeout(TIME, invocation.answer()).await {
            Ok(InvocationAnswer::Response(answer)) => answer,
            Ok(other) => return Err(format!("the executable failed: {other:?}").into()),
            Err(_) => return Err("the executable gives no answer".into()),
        };
        let wall = begin.elapsed();
        self.idle().await?;
        let after = self.account().await?;
        let count = |name: &str| answer[name].as_u64().unwrap_or(0);
        Ok(Tick {
            status: answer["status"].as_str().unwrap_or_default().to_owned(),
            delivered: count("delivered"),
            received: count("received"),
            requests: count("requests"),
            wall_ms: wall.as_secs_f64() * 1e3,
            cpu_ms: after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e3,
            write_units: after.consumed.writes - before.consumed.writes,
            read_units: after.consumed.reads - before.consumed.reads,
            state_calls: after.consumed.calls - before.consumed.calls,
            secret_calls: (after.secrets - before.secrets) as u64,
            log_bytes: after.log.0 - before.log.0,
            log_lines: after.log.1 - before.log.1,
            devo_bytes: after.devo - before.devo,
            stored_bytes: after.stored.0 - before.stored.0,
            stored_rows: after.stored.1 - before.stored.1,
        })
    }

    /// Waits until the process polls for its next invocation.
    async fn idle(&self) -> Outcome<()> {
        let polls = async {
            while self.runtime.open_polls() == 0 {
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(TIME, polls).await.map_err(|_| "the executable does not poll".into())
    }

    async fn account(&mut self) -> Outcome<Account> {
        let mut text = String::new();
        self.log.seek(SeekFrom::Start(0))?;
        self.log.read_to_string(&mut text)?;
        Ok(Account {
            cpu: cpu::time_of(&self.id)?,
            consumed: self.world.meter.consumed(),
            secrets: self.world.secrets.requests().len(),
            // A line's end is the end of its event: it is not stored.
            log: (text.lines().map(|line| line.len() as u64).sum(), text.lines().count() as u64),
            devo: self.world.line.sent(),
            stored: self.world.stored().await?,
        })
    }
}

fn milliseconds(count: f64) -> Duration {
    Duration::from_secs_f64(count / 1e3)
}
