//! Services of Defender for Endpoint side by side for many hours, in time that stands still while anybody is at work.
//!
//! As in `pace`, but with ticks every five minutes that leave a minute of each unused, as the template has them, and with
//! limits that count by the hour. Each service has one process, which is gone now and then. What happens between two ticks
//! is the test's matter. Judged is by the tenant's own log, in every span wherever it begins.

use std::sync::Arc;
use std::time::Duration;

use collector::report::Report;
use collector::run::{Ports, Warm, invoke};
use collector::settings::{Settings, document};
use endpoint::DEFENDER;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use microsoft::Microsoft;
use serde_json::{Value, json};
use simulator::clock::Clock;
use simulator::tenant::{
    Addressee, DefenderCall, DefenderConfig, DefenderLimits, RequestSeen, Tenant, TenantConfig, Throttle,
};
use testing::sink::{Connection, Receiver, RecordingSink};
use testing::store::MemoryStore;
use tokio::time::Instant;

use super::pace::fullest;

/// When all plays begin.
pub const START: &str = "2026-11-20T10:00:00Z";
/// Between two ticks of a service.
pub const TICK: Duration = Duration::from_secs(300);
/// What the template gives an invocation, in seconds.
const TIMEOUT: i64 = 240;
/// So much later than that of the service before it comes the tick of a service.
const LANE: Duration = Duration::from_secs(60);
/// At each so-and-so-many-th tick a service gets a new process.
const COLD_EVERY: u64 = 7;
/// No play lasts longer than so many ticks.
const MOST_TICKS: u64 = 500;

/// What the operator is told when there is more to do than the limit allows.
const OF_OUR_LIMIT: [&str; 2] = ["the request quota is used up", "later than its period"];

/// The services of one input, and what they talk to.
pub struct Shift {
    /// The time of day of all of them.
    pub clock: Clock,
    began: Instant,
    /// Microsoft, with the limits that it publishes.
    pub tenant: Tenant,
    store: MemoryStore,
    desks: Vec<Desk>,
}

/// One service.
pub struct Desk {
    /// Its function.
    pub function: &'static str,
    settings: Settings,
    receiver: Receiver,
}

/// What a service did.
pub struct Done {
    /// Its function.
    pub function: &'static str,
    /// The answers to its ticks.
    pub reports: Vec<Report>,
    /// When the last of them came.
    pub ended: Timestamp,
    /// The records that arrived, in order.
    pub arrived: Vec<Value>,
}

/// What happens between the ticks, and when it is over.
pub trait Director {
    /// What happens before the tick.
    fn before(&self, shift: &Shift, tick: u64);
    /// Whether the service needs no further tick after the one of that number, which ended with this report.
    fn is_done(&self, function: &str, tick: u64, last: &Report) -> bool;
}

/// Plays in a runtime of its own whose time stands still.
pub fn in_paused_time<T>(play: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(play)
}

impl Shift {
    /// A tenant with the published limits and these settings, and the services of these blocks.
    pub async fn set(defender: DefenderConfig, services: &Value) -> Self {
        let (start, began) = (start(), Instant::now());
        let clock = Clock::new(move || start + SignedDuration::try_from(began.elapsed()).unwrap());
        let config = TenantConfig {
            defender: defender.published(),
            clock: clock.clone(),
            compression: simulator::tenant::Compression::Never,
            ..TenantConfig::default()
        };
        let tenant = Tenant::start(config).await.unwrap();
        let document = configuration(&tenant, services);
        let is_meant = |name: &str| services.get(name).is_some();
        let chosen = DEFENDER.services.iter().filter(|service| is_meant(service.name));
        let desks = chosen.map(|service| Desk::new(service.function, &document)).collect();
        Self { clock, began, tenant, store: MemoryStore::default(), desks }
    }

    /// Plays until every service is done.
    pub async fn perform(&self, director: &impl Director) -> Vec<Done> {
        join_all((0..self.desks.len()).map(|index| self.serve(index, director))).await
    }

    async fn serve(&self, index: usize, director: &impl Director) -> Done {
        let desk = &self.desks[index];
        let lane = LANE * u32::try_from(index % 5).unwrap();
        let (mut process, mut reports) = (Process::cold(&desk.settings), Vec::new());
        for tick in 0..MOST_TICKS {
            tokio::time::sleep_until(self.began + lane + TICK * u32::try_from(tick).unwrap()).await;
            director.before(self, tick);
            if tick % COLD_EVERY == index as u64 % COLD_EVERY {
                process = Process::cold(&desk.settings);
            }
            let report = self.invoke(desk, &mut process, tick).await;
            let is_done = director.is_done(desk.function, tick, &report);
            reports.push(report);
            if is_done {
                break;
            }
        }
        Done { function: desk.function, reports, ended: self.clock.now(), arrived: desk.arrived() }
    }

    async fn invoke(&self, desk: &Desk, process: &mut Process, number: u64) -> Report {
        let invocation = testing::service::tick(number, self.clock.now(), TIMEOUT);
        let clock = self.clock.clone();
        let now = move || clock.now();
        let mut source = process.microsoft.source(Arc::new(now.clone()));
        let mut sink = RecordingSink::new(&desk.receiver);
        let (state, progress) = (&self.store, |_: &Report| {});
        let ports = Ports { source: &mut source, sink: &mut sink, state, clock: &now, progress: &progress };
        let outcome = invoke(&invocation, &desk.settings, ports, &mut process.warm).await;
        assert!(outcome.failure.is_none(), "{}: {:?}", desk.function, outcome.failure);
        // Who has more to do than the limit allows is told so.
        let is_of_limit = |text: &&String| OF_OUR_LIMIT.iter().any(|words| text.contains(words));
        let mut warnings = outcome.report.warnings.iter().filter(|text| !is_of_limit(text));
        assert_eq!(warnings.next(), None, "{}", desk.function);
        outcome.report
    }

    /// The published limits were kept in every span, wherever it begins, and nothing was refused. Gives a line that says how
    /// full the fullest spans were.
    pub fn assert_limits_are_kept(&self) -> String {
        let requests = self.tenant.requests();
        let to_api = |seen: &&RequestSeen| matches!(seen.addressee, Addressee::Defender(_));
        let refused = requests.iter().filter(|seen| seen.status == Some(429)).count();
        assert_eq!(refused, 0, "refused by the tenant");
        // Who has no user or no machine is told so with a 404.
        let is_well = |seen: &RequestSeen| matches!(seen.status, Some(200 | 404));
        assert!(requests.iter().filter(to_api).all(is_well), "a request went wrong");
        let is_hunting = |seen: &RequestSeen| seen.addressee == Addressee::Defender(DefenderCall::Hunting);
        let times = |of_hunting: bool| -> Vec<Timestamp> {
            let of_kind = requests.iter().filter(to_api).filter(|seen| is_hunting(seen) == of_hunting);
            of_kind.map(|seen| seen.received_at).collect()
        };
        let config = self.tenant.config();
        let DefenderLimits { minute, hour, .. } = config.defender.limits;
        let hunting = config.defender.hunting.limits;
        let mut told = Vec::new();
        for (what, times, limits) in [
            ("lists", times(false), [minute, hour]),
            ("hunting", times(true), [hunting.minute, hunting.hour]),
        ] {
            for Throttle { requests, period } in limits.into_iter().flatten() {
                let full = fullest(&times, period);
                assert!(full <= requests, "{what}: {full} requests in {period:#}");
                told.push(format!("{what}: {full} of {requests} in {period:#}"));
            }
            told.push(format!("{} in all", times.len()));
        }
        told.join(", ")
    }
}

impl Desk {
    fn new(function: &'static str, document: &Value) -> Self {
        let resolved = document::resolve(document, &[&DEFENDER], function, None, start()).unwrap();
        assert_eq!(resolved.warnings, [""; 0], "{function}");
        Self { function, settings: resolved.settings, receiver: Receiver::default() }
    }

    fn arrived(&self) -> Vec<Value> {
        let connections = self.receiver.connections();
        let records = connections.iter().flat_map(Connection::records);
        records.map(|(_, message)| serde_json::from_str(message).unwrap()).collect()
    }
}

/// What a process keeps between its invocations.
struct Process {
    microsoft: Microsoft,
    warm: Warm,
}

impl Process {
    fn cold(settings: &Settings) -> Self {
        Self { microsoft: Microsoft::new(settings).unwrap(), warm: Warm::default() }
    }
}

/// When it begins.
pub fn start() -> Timestamp {
    START.parse().unwrap()
}

fn configuration(tenant: &Tenant, services: &Value) -> Value {
    let config = tenant.config();
    json!({"inputs": {DEFENDER.input: {
        "id": "pace",
        "credentials": {
            "tenant_id": config.tenant_id,
            "client_id": config.applications[0].client_id,
            "client_secret": config.applications[0].secrets[0].value,
        },
        "override_base_url": tenant.base_url(),
        "override_login_url": tenant.base_url(),
        "services": services,
    }}})
}
