//! The pipeline as it is shipped: the real source, the real run loop, the real sink; only the state is in memory.

use std::sync::Arc;

use collector::event::Request;
use collector::run::{Invocation, Ports, Warm, invoke};
use collector::service::{Bounds, Paging, Period, Query, Rate, SameBy, Service, Tag, WindowRule};
use collector::settings::{Connection, Credential, RequestRate, Settings};
use collector::story::Identity;
use devo::{Compression, DevoConfig, DevoSink, TlsMaterial, Transport};
use jiff::{SignedDuration, Timestamp};
use microsoft::Microsoft;
use testing::store::MemoryStore;

use crate::Outcome;
use crate::pages::PATH;
use crate::pipeline::{Order, Packing};

/// Sign-ins, declared as the audit services are.
pub static SERVICE: Service = Service {
    input: "microsoft_graph_audit",
    name: "signIns",
    aliases: &[],
    function: "graph-sign-ins",
    query: Query::OData {
        path: PATH,
        page_size: Some(1000),
        bounds: Bounds::Inclusive,
        base_filter: None,
        expand: None,
        headers: &[],
        paging: Paging::Links,
        successor: None,
    },
    event_time: &["createdDateTime"],
    same_by: SameBy::Content,
    window: WindowRule {
        max: SignedDuration::from_hours(7 * 24),
        lookback: SignedDuration::from_hours(1),
        retention: SignedDuration::from_hours(30 * 24),
    },
    tag: Tag::Fixed("cloud.azure.ad.signin.{env}.msgraph"),
    period: Period { default_seconds: 300, minimum_seconds: 60 },
    rate: Rate { requests: 5, seconds: 10, budget: "auditLogs" },
    permission: "AuditLog.Read.All",
    ..Service::PLAIN
};

/// An invocation may take this long: nothing here is bounded by it.
const TIME: SignedDuration = SignedDuration::from_mins(15);

/// The pipeline, warm: connections and certificates are kept from run to run, the state is not.
pub struct Pipeline {
    settings: Settings,
    microsoft: Microsoft,
    sink: DevoSink,
    runs: u64,
}

impl Pipeline {
    /// Prepares everything that a process prepares once.
    pub fn new(order: &Order) -> Outcome<Self> {
        let settings = settings(&order.api.base_url);
        let receiver = &order.receiver;
        let material = TlsMaterial {
            chain: receiver.chain.clone(),
            cert: receiver.cert.clone(),
            key: receiver.key.clone().into(),
            verify_hostname: true,
        };
        let config = DevoConfig {
            address: "127.0.0.1".to_owned(),
            port: receiver.port,
            transport: Transport::Tls(material),
            compression: match order.packing {
                Packing::Gzip => Compression::Gzip,
                Packing::Plain => Compression::None,
            },
            host: SERVICE.function.to_owned(),
        };
        let microsoft = Microsoft::new(&settings).map_err(|error| error.to_string())?;
        let sink = DevoSink::new(config).map_err(|error| error.to_string())?;
        Ok(Self { settings, microsoft, sink, runs: 0 })
    }

    /// One invocation that begins with an empty state and delivers this many records.
    pub async fn run(&mut self, records: usize) -> Outcome<()> {
        self.runs += 1;
        let now = Timestamp::now();
        let invocation = Invocation {
            request_id: format!("request-{}", self.runs),
            nonce: format!("nonce-{:012}", self.runs),
            fresh_hash_key: format!("{:032x}", self.runs),
            deadline: now.checked_add(TIME)?,
            request: Request::default(),
            identity: Identity {
                collector_name: "bench".to_owned(),
                collector_version: env!("CARGO_PKG_VERSION").to_owned(),
                job_id: None,
            },
            warnings: Vec::new(),
            certificates: Vec::new(),
        };
        let mut source = self.microsoft.source(Arc::new(Timestamp::now));
        let ports = Ports {
            source: &mut source,
            sink: &mut self.sink,
            state: &MemoryStore::default(),
            clock: &Timestamp::now,
            progress: &|_| {},
        };
        let outcome = invoke(&invocation, &self.settings, ports, &mut Warm::default()).await;
        if let Some(failure) = outcome.failure {
            return Err(format!("the pipeline failed: {failure}").into());
        }
        if outcome.report.delivered != records as u64 {
            return Err(format!("{} of {records} records were delivered", outcome.report.delivered).into());
        }
        Ok(())
    }
}

fn settings(base_url: &str) -> Settings {
    Settings {
        service: &SERVICE,
        input_id: "bench".to_owned(),
        environment: Some("prod".to_owned()),
        enabled: true,
        connection: Connection {
            base_url: base_url.to_owned(),
            login_url: base_url.to_owned(),
            scope: "https://graph.microsoft.com/.default".to_owned(),
            tenant_id: "tenant".to_owned(),
            client_id: "client".to_owned(),
            credential: Credential::Secret("secret".into()),
            publisher: "tenant".to_owned(),
        },
        request_period: SignedDuration::from_secs(300),
        older_start: Default::default(),
        start_time: None,
        additional_filter: None,
        override_tag: None,
        window_max: SERVICE.window.max,
        lookback: SERVICE.window.lookback,
        late_sweep_period: SignedDuration::ZERO,
        late_sweep_range: SignedDuration::ZERO,
        snapshot_mode: Default::default(),
        obfuscation: Vec::new(),
        rate: RequestRate { requests: 1_000_000, per: SignedDuration::from_secs(1) },
        memory: None,
        enrichments: Vec::new(),
        flatten: None,
        queries: Vec::new(),
        feeds: Vec::new(),
    }
}
