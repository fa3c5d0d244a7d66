//! The operator's own queries in a small world: a simulated API that answers each by its name, and the service around it.
//!
//! Rows belong to one query and become visible over time; a query that names the ends of a window gets those within it, any
//! other all of them. An answer of more rows than the API gives is refused as too heavy. As in `site`, the world stays from
//! visit to visit, and each visit is one invocation with its own request and faults.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use collector::error::{Error, ErrorType};
use collector::ports::{
    Blob, CHECKPOINT_KEY, Fetched, Page, PageRequest, Preparation, Related, RelatedRequest, Row, Source,
    SourceError, SourceStats,
};
use collector::report::Status;
use collector::run::{Outcome, Ports, QUERY_PREFIX, Warm, invoke};
use collector::service::{Query, SameBy, Service, Tag, WindowRule};
use collector::settings::{HuntingQuery, QuerySpan, Settings};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::clock::TestClock;
use crate::drive::{Driven, drive, step};
use crate::service::{settings, tick};
use crate::sink::{Connection, Receiver, RecordingSink};
use crate::site::{Visit, id_of};
use crate::source::{Emitted, PageFault};
use crate::store::MemoryStore;

/// A service of the operator's own queries: the time of a row is in `time`.
pub static HUNTING: Service = Service {
    name: "hunting",
    function: "test-hunting",
    query: Query::Hunting { path: "/run" },
    event_time: &["time"],
    same_by: SameBy::Content,
    window: WindowRule {
        max: SignedDuration::from_hours(30 * 24),
        lookback: SignedDuration::from_mins(15),
        retention: SignedDuration::from_hours(30 * 24),
    },
    tag: Tag::Fixed(""),
    input: "test_input",
    ..Service::PLAIN
};

/// A query of this name, every five minutes, with the tag `my.app.{name}`.
pub fn query(name: &str, span: QuerySpan) -> HuntingQuery {
    HuntingQuery {
        name: name.to_owned(),
        text: format!("{name} | where true"),
        tag: format!("my.app.{name}"),
        period: SignedDuration::from_secs(300),
        range: None,
        span,
    }
}

/// The settings of the service with these queries.
pub fn hunting_settings(queries: Vec<HuntingQuery>) -> Settings {
    Settings {
        service: &HUNTING,
        window_max: HUNTING.window.max,
        lookback: HUNTING.window.lookback,
        request_period: queries.iter().map(|one| one.period).min().unwrap_or(settings().request_period),
        queries,
        ..settings()
    }
}

/// Rows by the name of their query.
pub type Rows = BTreeMap<String, Vec<Emitted>>;

/// Faults by the name of the query that meets them, one for each of its next requests.
pub type Faults = BTreeMap<&'static str, VecDeque<Option<PageFault>>>;

/// The API as one invocation sees it.
#[derive(Debug)]
pub struct HuntingSource<'a> {
    queries: &'a [HuntingQuery],
    rows: &'a Rows,
    most_rows: usize,
    quota: usize,
    now: Timestamp,
    faults: Faults,
    requests: Vec<(String, PageRequest)>,
    throttled: u64,
    pace: (TestClock, SignedDuration),
}

impl HuntingSource<'_> {
    fn refusal(&mut self, fault: PageFault, name: &str) -> Option<SourceError> {
        let later = |seconds| self.now + SignedDuration::from_secs(seconds);
        let failure = Error::new(ErrorType::SetupError, 102, "scripted refusal");
        match fault {
            PageFault::Throttled(seconds) => {
                self.throttled += 1;
                Some(SourceError::Throttled { until: later(seconds) })
            }
            PageFault::NoTurn(seconds) => Some(SourceError::Throttled { until: later(seconds) }),
            PageFault::TooHeavy => Some(SourceError::TooHeavy(failure)),
            PageFault::Fatal => Some(SourceError::Fatal(failure)),
            PageFault::OutOfTime => Some(SourceError::OutOfTime),
            other => panic!("{other:?} is no fault of the query {name}"),
        }
    }
}

impl Source for HuntingSource<'_> {
    async fn prepare(&mut self, _preparation: &Preparation) -> Result<(), SourceError> {
        step().await;
        Ok(())
    }

    async fn page(&mut self, request: &PageRequest) -> Result<Page, SourceError> {
        step().await;
        assert_eq!(request.link, None, "there are no pages behind the first");
        if self.requests.len() >= self.quota {
            return Err(SourceError::Throttled { until: self.now + SignedDuration::from_secs(30) });
        }
        let query = &self.queries[request.query.expect("one of the queries is asked")];
        self.requests.push((query.name.clone(), request.clone()));
        self.pace.0.pass(self.pace.1);
        let fault = self.faults.get_mut(query.name.as_str()).and_then(VecDeque::pop_front).flatten();
        if let Some(refusal) = fault.and_then(|fault| self.refusal(fault, &query.name)) {
            return Err(refusal);
        }
        let window = request.window;
        let is_asked_for = |row: &&Emitted| {
            let is_inside = window.from <= row.time && row.time <= window.to;
            row.visible_from <= self.now && (query.span == QuerySpan::Whole || is_inside)
        };
        let rows = self.rows.get(&query.name).map(Vec::as_slice).unwrap_or_default();
        let records: Vec<Bytes> = rows.iter().filter(is_asked_for).map(|row| row.text.clone()).collect();
        if records.len() >= self.most_rows {
            return Err(SourceError::TooHeavy(Error::new(ErrorType::PullError, 301, "too many rows")));
        }
        step().await;
        Ok(Page { records, ..Page::default() })
    }

    fn fetch(&mut self, _blobs: Vec<Blob>, _deadline: Timestamp) {}

    async fn fetched(&mut self, _until: Timestamp) -> Result<Fetched, SourceError> {
        Ok(Fetched::AllEnded)
    }

    async fn related(&mut self, _request: &RelatedRequest) -> Result<Related, SourceError> {
        Ok(Related::Count(0))
    }

    fn waits_until(&self) -> Option<Timestamp> {
        None
    }

    fn memo(&self) -> Map<String, Value> {
        Map::new()
    }

    fn fingerprint(&self) -> String {
        "hunting".to_owned()
    }

    fn stats(&self) -> SourceStats {
        let requests = self.requests.len() as u64;
        SourceStats { requests, throttled: self.throttled, quota_used_percent: None }
    }
}

/// The world of one service of queries.
pub struct HuntingSite {
    /// Where its state is.
    pub store: MemoryStore,
    /// Devo.
    pub receiver: Receiver,
    /// Its settings.
    pub settings: Settings,
    /// What the API holds.
    pub rows: Rows,
    /// So many rows and more are too heavy.
    pub most_rows: usize,
    /// Requests that the limit allows in one invocation; others are not sent.
    pub quota: usize,
    /// The time of day.
    pub clock: TestClock,
    /// Length of an invocation, seconds.
    pub patience: i64,
    /// What becomes of the next requests of each query; a visit takes all of them.
    pub faults: Faults,
    warm: Warm,
    visits: u64,
}

/// What was seen of one invocation.
#[derive(Debug)]
pub struct Hunted {
    /// Its answer.
    pub outcome: Outcome,
    /// Its requests, each as `name from/to`.
    pub asked: Vec<String>,
    /// The connections to Devo that carried anything.
    pub connections: Vec<Connection>,
}

impl Hunted {
    /// The status; panics when the invocation failed.
    pub fn status(&self) -> Status {
        assert_eq!(self.outcome.failure, None, "{:?}", self.outcome.report);
        self.outcome.report.status
    }

    /// `errorType [code] message`; panics when the invocation did not fail.
    pub fn failure(&self) -> String {
        let failure = self.outcome.failure.as_ref().expect("it fails");
        format!("{} {failure}", failure.error_type.as_str())
    }

    /// What arrived, in its order, each as `tag id`.
    pub fn arrived(&self) -> Vec<String> {
        let records = self.connections.iter().flat_map(Connection::records);
        records.map(|(tag, message)| format!("{tag} {}", id_of(message))).collect()
    }

    /// The names of the queries that were asked, in their order.
    pub fn names(&self) -> Vec<&str> {
        self.asked.iter().filter_map(|asked| asked.split(' ').next()).collect()
    }

    /// The warnings of the answer, one a line.
    pub fn warnings(&self) -> String {
        self.outcome.report.warnings.join("\n")
    }
}

impl HuntingSite {
    /// A world without rows whose clock shows `now`.
    pub fn new(now: &str, queries: Vec<HuntingQuery>) -> Self {
        Self {
            store: MemoryStore::default(),
            receiver: Receiver::default(),
            settings: hunting_settings(queries),
            rows: Rows::new(),
            most_rows: 100_000,
            quota: usize::MAX,
            clock: TestClock::at(now.parse().unwrap()),
            patience: 60,
            faults: Faults::new(),
            warm: Warm::default(),
            visits: 0,
        }
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Time passes.
    pub fn pass(&mut self, seconds: i64) {
        self.clock.pass(SignedDuration::from_secs(seconds));
    }

    /// A row of this query with this id and time, visible from that time on.
    pub fn add(&mut self, name: &str, id: &str, time: Timestamp) {
        let text = Bytes::from(format!("{{\"id\":\"{id}\",\"time\":\"{time}\"}}"));
        self.rows.entry(name.to_owned()).or_default().push(Emitted { time, visible_from: time, text });
    }

    /// The next requests of this query meet these faults.
    pub fn script(&mut self, name: &'static str, faults: &[Option<PageFault>]) {
        self.faults.insert(name, faults.iter().copied().collect());
    }

    /// The next visit is made by a process that remembers nothing.
    pub fn new_process(&mut self) {
        self.warm = Warm::default();
    }

    /// A plain tick.
    pub fn tick(&mut self) -> Hunted {
        self.visit(Visit::default())
    }

    /// One invocation to its end.
    pub fn visit(&mut self, visit: Visit) -> Hunted {
        self.visit_until(visit, 10_000_000).expect("the invocation ends")
    }

    /// One invocation that is killed after `steps` steps; `None` when it was.
    pub fn visit_until(&mut self, visit: Visit, steps: usize) -> Option<Hunted> {
        self.visits += 1;
        let known_connections = self.receiver.connections().len();
        let mut source = HuntingSource {
            queries: &self.settings.queries,
            rows: &self.rows,
            most_rows: self.most_rows,
            quota: self.quota,
            now: self.clock.now(),
            faults: std::mem::take(&mut self.faults),
            requests: Vec::new(),
            throttled: 0,
            pace: (self.clock.clone(), SignedDuration::from_secs(visit.seconds_per_page)),
        };
        let mut sink = RecordingSink::new(&self.receiver);
        sink.breaks = visit.breaks.into();
        self.store.script(visit.writes);
        self.store.script_reads(visit.failing_reads);
        let mut invocation = tick(self.visits, self.clock.now(), self.patience);
        invocation.request = visit.request;
        let clock = self.clock.clone();
        // What the process kept dies with it when it is killed.
        let mut warm = std::mem::take(&mut self.warm);
        let ports = Ports {
            source: &mut source,
            sink: &mut sink,
            state: &self.store,
            clock: &move || clock.now(),
            progress: &|_| {},
        };
        let driven = drive(invoke(&invocation, &self.settings, ports, &mut warm), steps);
        let connections = self.receiver.connections().split_off(known_connections);
        let Driven::Ended(outcome, _) = driven else { return None };
        self.warm = warm;
        let counts = &outcome.report;
        assert_eq!(counts.received, counts.duplicates + counts.delivered + counts.failed, "{counts:?}");
        let asked = source
            .requests
            .iter()
            .map(|(name, request)| format!("{name} {}/{}", request.window.from, request.window.to));
        Some(Hunted { asked: asked.collect(), outcome, connections })
    }

    /// The rows whose key begins so.
    pub fn rows_of(&self, prefix: &str) -> Vec<Row> {
        let rows = self.store.rows(&self.settings.partition());
        rows.into_iter().filter(|row| row.key.starts_with(prefix)).collect()
    }

    /// The members of the row of this query; none when there is no such row.
    pub fn place(&self, name: &str) -> Map<String, Value> {
        let key = format!("{QUERY_PREFIX}{name}");
        self.rows_of(&key).into_iter().find(|row| row.key == key).map(|row| row.fields).unwrap_or_default()
    }

    /// The members of the checkpoint; none when there is no such row.
    pub fn checkpoint(&self) -> Map<String, Value> {
        self.rows_of(CHECKPOINT_KEY).into_iter().next().map(|row| row.fields).unwrap_or_default()
    }

    /// How often each row arrived over all visits, by tag and id.
    pub fn all_arrived(&self) -> BTreeMap<String, usize> {
        let mut arrived = BTreeMap::new();
        for connection in self.receiver.connections() {
            for (tag, message) in connection.records() {
                *arrived.entry(format!("{tag} {}", id_of(message))).or_default() += 1;
            }
        }
        arrived
    }
}
