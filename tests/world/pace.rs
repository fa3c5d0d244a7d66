//! The services of one app registration side by side, in time that stands still while anybody is at work.
//!
//! Each service has processes of its own, as Lambda has them: a tick a minute finds one that is free or gets a new one,
//! and now and then all of them are gone. Between them are the collector's own parts and nothing else: settings of one
//! document, the source, the run loop, a store in memory. Time is tokio's, for the collector and the tenant alike; it goes
//! on when nobody has anything left to do, so minutes take milliseconds and an answer takes no time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use collector::report::{Report, Status};
use collector::run::{Ports, Warm, invoke};
use collector::service::{Family, Service};
use collector::settings::{Settings, document};
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use microsoft::Microsoft;
use serde_json::{Value, json};
use simulator::clock::Clock;
use simulator::records;
use simulator::tenant::{
    Addressee, Endpoint, PageSize, RequestSeen, Rule, Tenant, TenantConfig, Throttle, Visibility,
};
use testing::sink::{Connection, Receiver, RecordingSink};
use testing::store::MemoryStore;
use tokio::time::Instant;

use super::contract::{self, Asks};

const START: &str = "2026-11-20T10:00:00Z";
const MINUTE: Duration = Duration::from_secs(60);
/// So long every service has more to do than it may.
pub const BUSY: SignedDuration = SignedDuration::from_mins(10);
/// By then all of it is read, and what comes to light now is late: the sweep's.
const LATE_FROM: SignedDuration = SignedDuration::from_mins(20);
/// Late records of each collection: more pages than a sweep may read at one tick.
pub const LATE: u64 = 15;
/// No play lasts longer than so many ticks.
const MOST_TICKS: u64 = 120;
/// At each so-and-so-many-th tick of a service, another one for each, no process is left of those before.
const COLD_EVERY: u64 = 3;
const ROWS_OF_A_PAGE: usize = 3;
/// A machine that is too slow to be simulated gets so many tries.
const TRIES: usize = 3;

/// What is played.
pub struct Play {
    /// Whose services.
    pub family: &'static Family,
    /// What the tenant allows all of its services together.
    pub limit: Throttle,
    /// Records of each collection at the beginning.
    pub backlog: u64,
    /// What Lambda gives an invocation.
    pub timeout: SignedDuration,
    /// So much later than that of the service before it comes the tick of a service.
    pub lane: Duration,
    /// Members that the input has beside the usual ones, and those of each service.
    pub input: Value,
    pub own: Value,
    /// What goes wrong.
    pub script: Vec<Rule>,
    /// When it is over.
    pub ends: Ends,
}

/// When a play ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Once everything has arrived.
    WithTheLast,
    /// After so many ticks.
    AfterTicks(u64),
}

impl Play {
    /// The audit logs, with much to do and no mishap.
    pub fn audit() -> Self {
        Self {
            family: &graph::AUDIT,
            limit: Throttle::PUBLISHED,
            backlog: 230,
            timeout: SignedDuration::from_secs(240),
            lane: Duration::ZERO,
            input: json!({}),
            own: json!({}),
            script: Vec::new(),
            ends: Ends::WithTheLast,
        }
    }

    /// The same with so many seconds for an invocation and between the ticks of the services.
    pub fn timed(self, timeout: i64, lane: u64) -> Self {
        Self { timeout: SignedDuration::from_secs(timeout), lane: Duration::from_secs(lane), ..self }
    }

    /// The security services, likewise.
    pub fn security() -> Self {
        Self {
            family: &graph::SECURITY,
            limit: Throttle::SECURITY_PUBLISHED,
            backlog: 1_200,
            ..Self::audit()
        }
    }
}

/// Four services of one registration, and all they meet.
pub struct Stage {
    /// What is played.
    pub play: Play,
    clock: Clock,
    began: Instant,
    /// Microsoft.
    pub tenant: Tenant,
    store: MemoryStore,
    /// The services, in the order of their family.
    pub desks: Vec<Desk>,
}

/// One service.
pub struct Desk {
    /// What it reads.
    pub endpoint: Endpoint,
    settings: Settings,
    receiver: Receiver,
    /// The last instant that its processes were told.
    told: Arc<Mutex<Timestamp>>,
}

/// What a process keeps between its invocations.
struct Process {
    microsoft: Microsoft,
    warm: Warm,
}

/// One invocation, as it ended.
pub struct Ended {
    /// When it began.
    pub began: Timestamp,
    /// Its answer.
    pub report: Report,
}

/// A play that was played.
pub struct Played {
    /// Where.
    pub stage: Stage,
    /// The invocations of each service, in the order of their ends.
    pub ended: Vec<Vec<Ended>>,
    /// The requests to the API, in order; logins are not limited.
    pub requests: Vec<RequestSeen>,
    /// Requests that came while time went on: the system had yet to hand them over when nobody seemed to be at work.
    stragglers: usize,
}

/// Plays it to its end, in time of its own. Once more where the machine was so busy that a request, which takes no time,
/// came later than it was sent: what it would say of spans is not true.
pub fn played(play: impl Fn() -> Play) -> Played {
    for _ in 0..TRIES {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let played = runtime.block_on(async { Stage::set(play()).await.perform().await });
        if played.stragglers == 0 {
            return played;
        }
        println!("{} stragglers: once more", played.stragglers);
    }
    panic!("requests took time on their way, {TRIES} times");
}

impl Stage {
    async fn set(play: Play) -> Self {
        let (start, began) = (START.parse::<Timestamp>().unwrap(), Instant::now());
        let clock = Clock::new(move || start + SignedDuration::try_from(began.elapsed()).unwrap());
        let tenant = Tenant::start(TenantConfig {
            page_size: PageSize { default: ROWS_OF_A_PAGE, maximum: ROWS_OF_A_PAGE },
            throttle: Some(play.limit),
            security_throttle: Some(play.limit),
            clock: clock.clone(),
            ..TenantConfig::default()
        })
        .await
        .unwrap();
        let document = document(&play, &tenant);
        let desks = play.family.services.iter().map(|service| Desk::new(service, &play, &document)).collect();
        tenant.script(play.script.clone());
        let stage = Self { play, clock, began, tenant, store: MemoryStore::default(), desks };
        stage.desks.iter().for_each(|desk| stage.emit(desk));
        stage
    }

    /// Much at the beginning, and something later on.
    fn emit(&self, desk: &Desk) {
        let start = self.clock.now();
        // Older than any near window reaches.
        let (oldest, newest) = (start - SignedDuration::from_hours(47), start - SignedDuration::from_mins(1));
        let step = newest.duration_since(oldest) / i32::try_from(self.play.backlog).unwrap();
        for seed in 0..self.play.backlog {
            let time = oldest + step * i32::try_from(seed).unwrap();
            self.tenant.emit(desk.endpoint, records::record(desk.endpoint, seed, time)).unwrap();
        }
        if self.play.ends != Ends::WithTheLast {
            return;
        }
        for seed in 0..LATE {
            let time = start - SignedDuration::from_hours(3) + SignedDuration::from_secs(seed.cast_signed());
            let record = records::record(desk.endpoint, self.play.backlog + seed, time);
            let from = Visibility::From(start + LATE_FROM);
            self.tenant.emit_when(desk.endpoint, record, from).unwrap();
        }
    }

    async fn perform(self) -> Played {
        let stragglers = Arc::new(Mutex::new(0));
        let count = Arc::clone(&stragglers);
        let told: BTreeMap<Endpoint, Arc<Mutex<Timestamp>>> =
            self.desks.iter().map(|desk| (desk.endpoint, Arc::clone(&desk.told))).collect();
        // Before it sends, a process looks at the time; when that is another one now, the request took time.
        self.tenant.on_request(move |seen| {
            if let Addressee::Graph(endpoint) = seen.addressee
                && *told[&endpoint].lock().unwrap() != seen.received_at
            {
                *count.lock().unwrap() += 1;
            }
        });
        let ended = join_all((0..self.desks.len()).map(|index| self.serve(index))).await;
        let is_graph = |seen: &RequestSeen| matches!(seen.addressee, Addressee::Graph(_));
        let requests = self.tenant.requests().into_iter().filter(is_graph).collect();
        let stragglers = *stragglers.lock().unwrap();
        Played { stage: self, ended, requests, stragglers }
    }

    /// The ticks of one service.
    async fn serve(&self, index: usize) -> Vec<Ended> {
        let desk = &self.desks[index];
        let nth = u32::try_from(index).unwrap();
        let (mut free, mut at_work) = (Vec::new(), FuturesUnordered::new());
        let mut ended = Vec::new();
        for tick in 0..MOST_TICKS {
            let due = self.began + self.play.lane * nth + MINUTE * u32::try_from(tick).unwrap();
            loop {
                tokio::select! {
                    biased;
                    Some((process, end)) = at_work.next() => {
                        free.push(process);
                        ended.push(end);
                    }
                    () = tokio::time::sleep_until(due) => break,
                }
            }
            if self.is_over(desk, tick) {
                break;
            }
            if tick % COLD_EVERY == u64::from(nth) % COLD_EVERY {
                free.clear();
            }
            let process = if free.is_empty() { Process::cold(&desk.settings) } else { free.remove(0) };
            at_work.push(self.invoke(desk, process, tick));
        }
        while let Some((_, end)) = at_work.next().await {
            ended.push(end);
        }
        ended
    }

    fn is_over(&self, desk: &Desk, tick: u64) -> bool {
        match self.play.ends {
            Ends::AfterTicks(ticks) => tick >= ticks,
            Ends::WithTheLast => desk.arrived().len() >= self.tenant.emitted(desk.endpoint).len(),
        }
    }

    async fn invoke(&self, desk: &Desk, mut process: Process, number: u64) -> (Process, Ended) {
        let began = self.clock.now();
        let invocation = testing::service::tick(number, began, self.play.timeout.as_secs());
        let (clock, told) = (self.clock.clone(), Arc::clone(&desk.told));
        let looked_at = move || {
            let now = clock.now();
            *told.lock().unwrap() = now;
            now
        };
        let mut source = process.microsoft.source(Arc::new(looked_at.clone()));
        let mut sink = RecordingSink::new(&desk.receiver);
        let (state, progress) = (&self.store, |_: &Report| {});
        let ports =
            Ports { source: &mut source, sink: &mut sink, state, clock: &looked_at, progress: &progress };
        let outcome = invoke(&invocation, &desk.settings, ports, &mut process.warm).await;
        (process, Ended { began, report: outcome.report })
    }
}

impl Desk {
    fn new(service: &'static Service, play: &Play, document: &Value) -> Self {
        let now = START.parse().unwrap();
        let resolved = document::resolve(document, &[play.family], service.function, None, now).unwrap();
        assert_eq!(resolved.warnings, [""; 0], "{}", service.function);
        Self {
            endpoint: endpoint(service),
            settings: resolved.settings,
            receiver: Receiver::default(),
            told: Arc::new(Mutex::new(now)),
        }
    }

    /// The records that arrived, as they were emitted, in their order.
    fn arrived(&self) -> Vec<String> {
        let connections = self.receiver.connections();
        let records = connections.iter().flat_map(Connection::records);
        records.map(|(_, message)| contract::record_of(message)).collect()
    }
}

impl Process {
    fn cold(settings: &Settings) -> Self {
        Self { microsoft: Microsoft::new(settings).unwrap(), warm: Warm::default() }
    }
}

/// The collection that the service reads.
pub fn endpoint(service: &Service) -> Endpoint {
    match contract::promise(service.function).asks {
        Asks::Collection(endpoint) => endpoint,
        other => panic!("{other:?} is no collection"),
    }
}

fn document(play: &Play, tenant: &Tenant) -> Value {
    let (config, start) = (tenant.config(), START.parse::<Timestamp>().unwrap());
    let block = |service: &&'static Service| {
        let mut block = json!({"request_period_in_seconds": 60});
        if !service.query.is_snapshot() {
            block["start_time_in_utc"] = json!((start - SignedDuration::from_hours(48)).to_string());
            block["late_sweep_period_in_seconds"] = json!(60);
            block["late_sweep_range_in_seconds"] = json!(4 * 3600);
        }
        block.as_object_mut().unwrap().extend(play.own.as_object().unwrap().clone());
        (service.name.to_owned(), block)
    };
    let mut input = json!({
        "id": "pace",
        "environment": "pace",
        "credentials": {
            "tenant_id": config.tenant_id,
            "client_id": config.applications[0].client_id,
            "client_secret": config.applications[0].secrets[0].value,
        },
        "override_base_url": tenant.base_url(),
        "override_login_url": tenant.base_url(),
        "override_scope_value": config.scope,
        "services": play.family.services.iter().map(block).collect::<serde_json::Map<_, _>>(),
    });
    input.as_object_mut().unwrap().extend(play.input.as_object().unwrap().clone());
    json!({"inputs": {play.family.input: input}})
}

/// The most requests in any span of that length, wherever it begins. In order of time.
pub fn fullest(requests: &[Timestamp], span: SignedDuration) -> usize {
    let from = |first: usize| {
        let end = requests[first] + span;
        requests[first..].partition_point(|instant| *instant < end)
    };
    (0..requests.len()).map(from).max().unwrap_or(0)
}

/// Refused for their number, and not because a script says so.
pub fn is_refused(seen: &RequestSeen) -> bool {
    seen.status == Some(429) && seen.note.is_none()
}

impl Played {
    /// When requests of this kind came, in order.
    pub fn times(&self, is_meant: impl Fn(&RequestSeen) -> bool) -> Vec<Timestamp> {
        self.requests.iter().filter(|seen| is_meant(seen)).map(|seen| seen.received_at).collect()
    }

    /// Requests in the first ten minutes.
    pub fn busy(&self) -> usize {
        let end = START.parse::<Timestamp>().unwrap() + BUSY;
        self.requests.iter().filter(|seen| seen.received_at < end).count()
    }

    /// No span has more requests of this kind than the limit, wherever it begins. Gives how many the fullest has.
    pub fn assert_within(
        &self,
        limit: Throttle,
        what: &str,
        is_meant: impl Fn(&RequestSeen) -> bool,
    ) -> usize {
        let full = fullest(&self.times(is_meant), limit.period);
        assert!(full <= limit.requests, "{what}: {full} requests in {:#}", limit.period);
        full
    }

    /// The limit of the family is kept, by this account and by the tenant's own.
    pub fn assert_limit_is_kept(&self, what: &str) {
        let play = &self.stage.play;
        let refused = self.requests.iter().filter(|seen| is_refused(seen)).count();
        println!(
            "{what}: {} requests in the first {BUSY:#}, {} in all, {} in the fullest {:#}, {refused} refused",
            self.busy(),
            self.requests.len(),
            fullest(&self.times(|_| true), play.limit.period),
            play.limit.period,
        );
        self.assert_within(play.limit, what, |_| true);
        assert_eq!(refused, 0, "{what}: refused by the tenant");
    }

    /// Everything arrived once, and nothing else did. Where the play ended before that: without a gap.
    pub fn assert_arrived(&self, what: &str) {
        for desk in &self.stage.desks {
            let mut arrived = desk.arrived();
            let mut emitted: Vec<String> = self
                .stage
                .tenant
                .emitted(desk.endpoint)
                .iter()
                .map(|raw| contract::on_one_line(std::str::from_utf8(raw).unwrap()))
                .collect();
            match self.stage.play.ends {
                Ends::WithTheLast => (arrived.sort(), emitted.sort()),
                // The audit logs are read from the oldest record on.
                Ends::AfterTicks(_) => (assert!(!arrived.is_empty()), emitted.truncate(arrived.len())),
            };
            let counts = (arrived.len(), emitted.len());
            assert!(arrived == emitted, "{what}: {:?}: {counts:?} arrived and emitted", desk.endpoint);
        }
    }

    /// Each service had more to do than it may, for as long as that is looked at.
    pub fn assert_was_busy(&self, what: &str) {
        let end = START.parse::<Timestamp>().unwrap() + BUSY;
        for (desk, ended) in self.stage.desks.iter().zip(&self.ended) {
            let is_idle = |end_of_one: &&Ended| end_of_one.report.status == Status::UpToDate;
            // A list that takes longer than its period is begun again at once: it may never be idle.
            let first_idle = ended.iter().find(is_idle).map(|one| one.began);
            assert!(
                first_idle.is_none_or(|at| at >= end),
                "{what}: {:?} was idle at {first_idle:?}",
                desk.endpoint
            );
        }
    }
}
