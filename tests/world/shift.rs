//! Services of one input side by side for many hours, in time that stands still while anybody is at work.
//!
//! As in `pace`, but with ticks every five minutes that leave a minute of each unused, as the template has them, and with
//! limits that count by the hour. Each service has one process, which is gone now and then, or dies in the middle of its
//! work: then somebody asks for another run again and again, until the lease of the dead is over. What happens between two
//! ticks is the test's matter. Judged is by the tenant's own log, in every span wherever it begins.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use collector::error::Error;
use collector::report::{Report, Status};
use collector::run::{Invocation, Ports, Warm, invoke};
use collector::service::Family;
use collector::settings::{Settings, document};
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use microsoft::Microsoft;
use serde_json::{Value, json};
use simulator::clock::Clock;
use simulator::tenant::{Addressee, Compression, DefenderCall, RequestSeen, Tenant, TenantConfig};
use testing::sink::{Connection, Receiver, RecordingSink};
use testing::store::MemoryStore;
use tokio::sync::watch;
use tokio::time::Instant;

use super::contract::{self, Asks};

/// When all plays begin.
pub const START: &str = "2026-11-20T10:00:00Z";
/// Between two ticks of a service, as the template has it.
pub const TICK: Duration = Duration::from_secs(300);
/// What the template gives an invocation, in seconds.
const TIMEOUT: i64 = 240;
/// After a death another run is asked for so often.
const INSISTENCE: Duration = Duration::from_secs(1);
/// Under this path another client of Defender for Cloud Apps asks.
pub const FOREIGN: &str = "/cas";
/// A machine that is too slow to be simulated gets so many tries.
const TRIES: usize = 3;
/// No play lasts longer than so many ticks.
const MOST_TICKS: u64 = 500;

/// What the operator is told when there is more to do than the limit allows.
const OF_OUR_LIMIT: [&str; 2] = ["the request quota is used up", "later than its period"];

/// How the ticks come, and who meets them.
#[derive(Debug, Clone, Copy)]
pub struct Rota {
    /// Between two ticks of a service.
    pub tick: Duration,
    /// So much later than that of the service before it comes the tick of a service.
    pub lane: Duration,
    /// At each so-and-so-many-th tick a service gets a new process.
    pub cold_every: u64,
    /// Whether an invocation may fail, and warn of what the API asks.
    pub failures: Failures,
}

/// What invocations may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failures {
    /// That there is more to do than the limit allows, and nothing else.
    None,
    /// That the API asked for patience, too, in the end as a failure.
    OfThrottling,
}

impl Default for Rota {
    fn default() -> Self {
        Self { tick: TICK, lane: Duration::from_secs(60), cold_every: 7, failures: Failures::None }
    }
}

/// The services of one input, and what they talk to.
pub struct Shift {
    /// The time of day of all of them.
    pub clock: Clock,
    began: Instant,
    /// Microsoft, with the limits that it publishes.
    pub tenant: Tenant,
    rota: Rota,
    store: MemoryStore,
    desks: Vec<Desk>,
    stragglers: Arc<Mutex<usize>>,
}

/// One service.
struct Desk {
    function: &'static str,
    settings: Settings,
    receiver: Receiver,
    wire: Arc<Wire>,
}

/// What is known of the requests of a service.
struct Wire {
    /// The last instant that its processes were told.
    told: Mutex<Timestamp>,
    /// Requests for pages so far.
    requests: watch::Sender<u64>,
}

/// What a service did.
pub struct Done {
    /// Its function.
    pub function: &'static str,
    /// The answers to its ticks; those who died gave none.
    pub reports: Vec<Report>,
    /// When each of them came.
    pub ends: Vec<Timestamp>,
    /// How often it failed.
    pub failures: usize,
    /// When the last invocation ended.
    pub ended: Timestamp,
    /// The records that arrived, in order.
    pub arrived: Vec<Value>,
}

/// What happens between the ticks, and when it is over.
pub trait Director {
    /// What happens before the tick.
    fn before(&self, shift: &Shift, function: &str, tick: u64);
    /// Whether the service needs no further tick after the one of that number, which ended with this report.
    fn is_done(&self, function: &str, tick: u64, last: &Report) -> bool;
    /// Whether the invocation of that tick dies, and when.
    fn death(&self, _function: &str, _tick: u64) -> Option<Death> {
        None
    }
}

/// When an invocation dies.
#[derive(Debug, Clone, Copy)]
pub struct Death {
    /// So long after its beginning, …
    pub after: Duration,
    /// … and then with its so-and-so-many-th request; 0: at once.
    pub requests: u64,
}

/// Plays in a runtime of its own whose time stands still.
pub fn in_paused_time<T>(play: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(play)
}

/// The same until no request took time on its way: what it would say of spans is not true.
pub fn undisturbed<T>(play: impl AsyncFn() -> (Shift, T)) -> (Shift, T) {
    for _ in 0..TRIES {
        let (shift, played) = in_paused_time(play());
        match shift.stragglers() {
            0 => return (shift, played),
            stragglers => println!("{stragglers} stragglers: once more"),
        }
    }
    panic!("requests took time on their way, {TRIES} times");
}

impl Shift {
    /// The services of these blocks at a tenant like this, with further credentials beside the usual ones.
    pub async fn of(
        family: &'static Family,
        config: TenantConfig,
        rota: Rota,
        services: &Value,
        credentials: &Value,
    ) -> Self {
        let (start, began) = (start(), Instant::now());
        let clock = Clock::new(move || start + SignedDuration::try_from(began.elapsed()).unwrap());
        let config = TenantConfig { clock: clock.clone(), compression: Compression::Never, ..config };
        let tenant = Tenant::start(config).await.unwrap();
        let document = configuration(family, &tenant, services, credentials);
        let is_meant = |name: &str| services.get(name).is_some();
        let chosen = family.services.iter().filter(|service| is_meant(service.name));
        let desks: Vec<Desk> = chosen.map(|service| Desk::new(family, service.function, &document)).collect();
        let stragglers = Arc::new(Mutex::new(0));
        let count = Arc::clone(&stragglers);
        let wires: BTreeMap<Addressee, Arc<Wire>> =
            desks.iter().map(|desk| (addressee(desk.function), Arc::clone(&desk.wire))).collect();
        tenant.on_request(move |seen| {
            let Some(wire) = wires.get(&seen.addressee).filter(|_| !is_foreign(seen)) else { return };
            wire.requests.send_modify(|requests| *requests += 1);
            // Before it sends, a process looks at the time; when that is another one now, the request took time.
            if *wire.told.lock().unwrap() != seen.received_at {
                *count.lock().unwrap() += 1;
            }
        });
        Self { clock, began, tenant, rota, store: MemoryStore::default(), desks, stragglers }
    }

    /// Plays until every service is done.
    pub async fn perform(&self, director: &impl Director) -> Vec<Done> {
        join_all((0..self.desks.len()).map(|index| self.serve(index, director))).await
    }

    /// Requests that came while time went on: the system had yet to hand them over when nobody seemed to be at work. What
    /// is said of spans is not true then.
    pub fn stragglers(&self) -> usize {
        *self.stragglers.lock().unwrap()
    }

    /// Waits for an instant of the play, counted from its beginning.
    pub async fn until(&self, since_start: Duration) {
        tokio::time::sleep_until(self.began + since_start).await;
    }

    async fn serve(&self, index: usize, director: &impl Director) -> Done {
        let desk = &self.desks[index];
        let lane = self.rota.lane * u32::try_from(index % 5).unwrap();
        let mut process = Process::cold(&desk.settings);
        let (mut reports, mut ends, mut failures) = (Vec::new(), Vec::new(), 0);
        for tick in 0..MOST_TICKS {
            self.until(lane + self.rota.tick * u32::try_from(tick).unwrap()).await;
            director.before(self, desk.function, tick);
            if tick % self.rota.cold_every == index as u64 % self.rota.cold_every {
                process = Process::cold(&desk.settings);
            }
            let invocation = testing::service::tick(tick, self.clock.now(), TIMEOUT);
            let whole = self.invoke(desk, &mut process, &invocation);
            let death = director.death(desk.function, tick);
            let answered = tokio::select! {
                biased;
                answered = whole => Some(answered),
                () = desk.dies(death) => None,
            };
            let (report, failure) = match answered {
                Some(answered) => answered,
                None => {
                    process = Process::cold(&desk.settings);
                    self.insist(desk, &mut process, tick).await
                }
            };
            failures += usize::from(failure.is_some());
            let is_done = director.is_done(desk.function, tick, &report);
            reports.push(report);
            ends.push(self.clock.now());
            if is_done {
                break;
            }
        }
        let (ended, arrived) = (self.clock.now(), desk.arrived());
        Done { function: desk.function, reports, ends, failures, ended, arrived }
    }

    /// Asks for a run until one is granted.
    async fn insist(&self, desk: &Desk, process: &mut Process, tick: u64) -> (Report, Option<Error>) {
        for number in 0.. {
            let mut invocation =
                testing::service::tick(MOST_TICKS * (tick + 1) + number, self.clock.now(), TIMEOUT);
            invocation.request.force = true;
            let (report, failure) = self.invoke(desk, process, &invocation).await;
            if report.status != Status::Locked {
                return (report, failure);
            }
            tokio::time::sleep(INSISTENCE).await;
        }
        unreachable!("a lease ends");
    }

    async fn invoke(
        &self,
        desk: &Desk,
        process: &mut Process,
        invocation: &Invocation,
    ) -> (Report, Option<Error>) {
        let (clock, wire) = (self.clock.clone(), Arc::clone(&desk.wire));
        let now = move || {
            let now = clock.now();
            *wire.told.lock().unwrap() = now;
            now
        };
        let mut source = process.microsoft.source(Arc::new(now.clone()));
        let mut sink = RecordingSink::new(&desk.receiver);
        let (state, progress) = (&self.store, |_: &Report| {});
        let ports = Ports { source: &mut source, sink: &mut sink, state, clock: &now, progress: &progress };
        let outcome = invoke(invocation, &desk.settings, ports, &mut process.warm).await;
        let is_expected = |error: &Error| self.rota.failures == Failures::OfThrottling && error.code == 429;
        let failure = outcome.failure;
        assert!(failure.as_ref().is_none_or(is_expected), "{}: {failure:?}", desk.function);
        let is_of_limit = |text: &&String| OF_OUR_LIMIT.iter().any(|words| text.contains(words));
        let mut warnings = outcome.report.warnings.iter().filter(|text| !is_of_limit(text));
        if self.rota.failures == Failures::None {
            assert_eq!(warnings.next(), None, "{}", desk.function);
        }
        (outcome.report, failure)
    }
}

impl Desk {
    fn new(family: &'static Family, function: &'static str, document: &Value) -> Self {
        let resolved = document::resolve(document, &[family], function, None, start()).unwrap();
        assert_eq!(resolved.warnings, [""; 0], "{function}");
        let wire = Arc::new(Wire { told: Mutex::new(start()), requests: watch::Sender::new(0) });
        Self { function, settings: resolved.settings, receiver: Receiver::default(), wire }
    }

    /// Ends when an invocation that begins now dies; never without a death.
    async fn dies(&self, death: Option<Death>) {
        let Some(Death { after, requests }) = death else { return std::future::pending().await };
        tokio::time::sleep(after).await;
        let last = *self.wire.requests.borrow() + requests;
        self.wire.requests.subscribe().wait_for(|so_far| *so_far >= last).await.unwrap();
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

/// Whether another client of the tenant sent it.
pub fn is_foreign(seen: &RequestSeen) -> bool {
    seen.path.starts_with(FOREIGN)
}

/// Whom the pages of a function's list are asked of.
fn addressee(function: &str) -> Addressee {
    match contract::promise(function).asks {
        Asks::Defender(list) => Addressee::Defender(DefenderCall::List(list)),
        Asks::Hunting => Addressee::Defender(DefenderCall::Hunting),
        Asks::CloudApps(list) => Addressee::CloudApps(list),
        other => panic!("{function} asks no list but {other:?}"),
    }
}

fn configuration(family: &Family, tenant: &Tenant, services: &Value, credentials: &Value) -> Value {
    let config = tenant.config();
    let mut all_credentials = json!({
        "tenant_id": config.tenant_id,
        "client_id": config.applications[0].client_id,
        "client_secret": config.applications[0].secrets[0].value,
    });
    all_credentials.as_object_mut().unwrap().extend(credentials.as_object().unwrap().clone());
    json!({"inputs": {family.input: {
        "id": "pace",
        "credentials": all_credentials,
        "override_base_url": tenant.base_url(),
        "override_login_url": tenant.base_url(),
        "services": services,
    }}})
}
