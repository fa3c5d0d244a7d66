//! One service in a small world, visited again and again: what a test of the run loop's behaviour is made of.
//!
//! The world (records, clock, store, Devo, settings) stays; each visit is one invocation with its own request and its
//! own faults, and gives back everything that could be seen of it from outside.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use collector::event::{Backfill, Request};
use collector::outlook::Certificate;
use collector::ports::{CHECKPOINT_KEY, PageRequest, Preparation, Row, SourceError};
use collector::report::Status;
use collector::run::{Outcome, Ports, Warm, invoke};
use collector::settings::Settings;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::clock::TestClock;
use crate::content::FetchFault;
use crate::drive::{Driven, drive};
use crate::enriched::{CountFault, Counting, Turns};
use crate::service::{settings, tick};
use crate::sink::{Connection, Receiver, RecordingSink};
use crate::source::{Emitted, PageFault, ScriptedSource};
use crate::store::{MemoryStore, WriteFault};

/// Steps after which an invocation is taken to be endless.
const ENDLESS: usize = 10_000_000;

/// The world of one service.
pub struct Site {
    /// Where its state is.
    pub store: MemoryStore,
    /// Devo.
    pub receiver: Receiver,
    /// Its settings.
    pub settings: Settings,
    /// What the API holds.
    pub records: Vec<Emitted>,
    /// The time of day.
    pub clock: TestClock,
    /// Records of one page.
    pub page_size: usize,
    /// Length of an invocation, seconds.
    pub patience: i64,
    /// What the process kept; [`Site::new_process`] forgets it.
    pub warm: Warm,
    /// What belongs to its records (what is asked for is seen of each visit).
    pub counting: Counting,
    /// How many requests the API lets through, if there is a limit.
    pub turns: Option<Turns>,
    /// The `job_id` of its story.
    pub job_id: Option<String>,
    visits: u64,
}

/// One invocation: what is asked, and what goes wrong. The default is a plain tick without faults.
#[derive(Default)]
pub struct Visit {
    /// What is asked.
    pub request: Request,
    /// What becomes of the login.
    pub login: Option<SourceError>,
    /// What becomes of each request for a page.
    pub pages: Vec<Option<PageFault>>,
    /// What becomes of each request for a count.
    pub counts: Vec<Option<CountFault>>,
    /// What becomes of each wait for content (content feeds alone).
    pub fetches: Vec<Option<FetchFault>>,
    /// What a listing page says instead of its blobs (content feeds alone).
    pub not_ready: Option<&'static str>,
    /// After how many events each delivery breaks.
    pub breaks: Vec<Option<usize>>,
    /// What becomes of each write; the first one takes the lease.
    pub writes: Vec<Option<WriteFault>>,
    /// Which reads of the state fail.
    pub failing_reads: Vec<bool>,
    /// What the query is, if it is another than usual.
    pub query: Option<&'static str>,
    /// What each page has to say.
    pub page_warning: Option<&'static str>,
    /// What the host has to say.
    pub warnings: Vec<String>,
    /// The certificates that are used.
    pub certificates: Vec<Certificate>,
    /// How much of its quota the source says it used.
    pub quota_used_percent: Option<u64>,
    /// How long each page takes, seconds.
    pub seconds_per_page: i64,
    /// How long each part and each end of a blob takes, seconds (content feeds alone).
    pub seconds_per_fetch: i64,
    /// Whether somebody else takes the lease over while this invocation is at work.
    pub loses_lease: bool,
}

impl Visit {
    /// A tick that does not wait for the period.
    pub fn forced() -> Self {
        Self { request: Request { force: true, ..Request::default() }, ..Self::default() }
    }

    /// A dry run.
    pub fn dry() -> Self {
        Self { request: Request { dry_run: true, ..Request::default() }, ..Self::default() }
    }

    /// A backfill.
    pub fn backfill(from: &str, to: &str, resend: bool) -> Self {
        let backfill = Some(Backfill { from: from.parse().unwrap(), to: to.parse().unwrap(), resend });
        Self { request: Request { backfill, ..Request::default() }, ..Self::default() }
    }

    /// A forced tick with these answers of the API.
    pub fn with_pages(pages: &[Option<PageFault>]) -> Self {
        Self { pages: pages.to_vec(), ..Self::forced() }
    }

    /// A plain tick with these answers to waits for content.
    pub fn with_fetches(fetches: &[Option<FetchFault>]) -> Self {
        Self { fetches: fetches.to_vec(), ..Self::default() }
    }

    /// A forced tick whose deliveries break after so many events.
    pub fn with_breaks(breaks: &[Option<usize>]) -> Self {
        Self { breaks: breaks.to_vec(), ..Self::forced() }
    }

    /// A forced tick with these faults of the store.
    pub fn with_writes(writes: &[Option<WriteFault>]) -> Self {
        Self { writes: writes.to_vec(), ..Self::forced() }
    }
}

/// What was seen of one invocation.
#[derive(Debug)]
pub struct Seen {
    /// Its answer.
    pub outcome: Outcome,
    /// The requests it made.
    pub requests: Vec<PageRequest>,
    /// The counts that it asked for, as id and member.
    pub counted: Vec<(String, &'static str)>,
    /// How often progress was told.
    pub progress: usize,
    /// The blobs whose fetch it began, in that order.
    pub fetched: Vec<String>,
    /// What it told the source at the beginning, if it got that far.
    pub preparation: Option<Preparation>,
    /// The connections to Devo that carried anything.
    pub connections: Vec<Connection>,
    /// Whether a connection to Devo was opened at all.
    pub opened_devo: bool,
}

impl Seen {
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

    /// The ids of the records that arrived, in their order.
    pub fn ids(&self) -> Vec<String> {
        self.connections.iter().flat_map(Connection::records).map(|(_, message)| id_of(message)).collect()
    }

    /// A member of each record that arrived, in their order.
    pub fn members(&self, name: &str) -> Vec<Value> {
        let messages = self.connections.iter().flat_map(Connection::records).map(|(_, message)| message);
        messages
            .map(|message| serde_json::from_str::<Value>(message).unwrap_or_default()[name].clone())
            .collect()
    }

    /// The collector's own lines that arrived, as (level, text).
    pub fn lines(&self) -> Vec<(String, String)> {
        let events = self.connections.iter().flat_map(|connection| &connection.events);
        events
            .filter_map(|(tag, message)| {
                let level = tag.strip_prefix("devo.collectors.out.local.")?;
                let line: Value = serde_json::from_str(message).unwrap();
                Some((level.to_owned(), line["msg"].as_str().unwrap().to_owned()))
            })
            .collect()
    }

    /// The windows of the first pages that were asked for, as `from/to`.
    pub fn windows(&self) -> Vec<String> {
        let first_pages = self.requests.iter().filter(|request| request.link.is_none());
        first_pages.map(|request| format!("{}/{}", request.window.from, request.window.to)).collect()
    }

    /// The warnings of the answer, one a line.
    pub fn warnings(&self) -> String {
        self.outcome.report.warnings.join("\n")
    }
}

impl Site {
    /// An empty world whose clock shows `now`.
    pub fn new(now: &str) -> Self {
        Self {
            store: MemoryStore::default(),
            receiver: Receiver::default(),
            settings: settings(),
            records: Vec::new(),
            clock: TestClock::at(now.parse().unwrap()),
            page_size: 100,
            patience: 60,
            warm: Warm::default(),
            counting: Counting::default(),
            turns: None,
            job_id: None,
            visits: 0,
        }
    }

    /// The same with records, see [`thing`].
    pub fn with(now: &str, records: &[(&str, &str)]) -> Self {
        let mut site = Self::new(now);
        site.records = records.iter().map(|(id, time)| thing(id, time)).collect();
        site
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Time passes.
    pub fn pass(&mut self, seconds: i64) {
        self.clock.pass(SignedDuration::from_secs(seconds));
    }

    /// The next visit is made by a process that remembers nothing.
    pub fn new_process(&mut self) {
        self.warm = Warm::default();
    }

    /// A forced tick without faults.
    pub fn tick(&mut self) -> Seen {
        self.visit(Visit::forced())
    }

    /// One invocation to its end.
    pub fn visit(&mut self, visit: Visit) -> Seen {
        self.visit_until(visit, ENDLESS).expect("the invocation ends")
    }

    /// One invocation that is killed after `steps` steps; `None` when it was.
    pub fn visit_until(&mut self, visit: Visit, steps: usize) -> Option<Seen> {
        self.visits += 1;
        let known_connections = self.receiver.connections().len();
        let mut source = ScriptedSource::new(&self.records, self.page_size, self.clock.now());
        source.is_list = self.settings.service.query.is_snapshot();
        source.faults = visit.pages.into();
        source.counting = Counting { faults: visit.counts.into(), ..self.counting.clone() };
        source.turns.clone_from(&self.turns);
        source.login = visit.login;
        source.quota_used_percent = visit.quota_used_percent;
        source.warning = visit.page_warning.map(str::to_owned);
        source.pace = Some((self.clock.clone(), SignedDuration::from_secs(visit.seconds_per_page)));
        if let Some(query) = visit.query {
            source.fingerprint = query.to_owned();
        }
        let mut sink = RecordingSink::new(&self.receiver);
        sink.breaks = visit.breaks.into();
        self.store.script(visit.writes);
        self.store.script_reads(visit.failing_reads);
        let mut invocation = tick(self.visits, self.clock.now(), self.patience);
        invocation.request = visit.request;
        invocation.warnings = visit.warnings;
        invocation.certificates = visit.certificates;
        invocation.identity.job_id.clone_from(&self.job_id);
        let clock = self.clock.clone();
        // What the process kept dies with it when it is killed.
        let mut warm = std::mem::take(&mut self.warm);
        let progress = AtomicUsize::new(0);
        let ports = Ports {
            source: &mut source,
            sink: &mut sink,
            state: &self.store,
            clock: &move || clock.now(),
            progress: &|_| {
                progress.fetch_add(1, Ordering::Relaxed);
                if visit.loses_lease {
                    self.take_over();
                }
            },
        };
        let driven = drive(invoke(&invocation, &self.settings, ports, &mut warm), steps);
        let connections = self.receiver.connections().split_off(known_connections);
        let Driven::Ended(outcome, _) = driven else {
            return None;
        };
        self.warm = warm;
        let counts = &outcome.report;
        assert_eq!(counts.received, counts.duplicates + counts.delivered + counts.failed, "{counts:?}");
        let opened_devo = sink.prepared > 0 || !connections.is_empty();
        let (requests, preparation) = (source.requests, source.preparation);
        Some(Seen {
            outcome,
            requests,
            counted: source.counting.asked,
            progress: progress.into_inner(),
            fetched: Vec::new(),
            preparation,
            connections,
            opened_devo,
        })
    }

    /// All rows of the service's partition.
    pub fn rows(&self) -> Vec<Row> {
        self.store.rows(&self.settings.partition())
    }

    /// The rows whose key begins so.
    pub fn rows_of(&self, prefix: &str) -> Vec<Row> {
        self.rows().into_iter().filter(|row| row.key.starts_with(prefix)).collect()
    }

    /// The members of the checkpoint; none when there is no such row.
    pub fn checkpoint(&self) -> Map<String, Value> {
        self.rows_of(CHECKPOINT_KEY).into_iter().next().map(|row| row.fields).unwrap_or_default()
    }

    /// Changes members of the checkpoint, as another release or an operator would; null removes one.
    pub fn edit_checkpoint(&self, members: Value) {
        let mut row = self.rows_of(CHECKPOINT_KEY).into_iter().next().unwrap_or_default();
        row.key = CHECKPOINT_KEY.to_owned();
        for (name, value) in members.as_object().unwrap() {
            match value {
                Value::Null => row.fields.shift_remove(name),
                other => row.fields.insert(name.clone(), other.clone()),
            };
        }
        self.store.put(&self.settings.partition(), row);
    }

    /// Somebody else takes the lease, as if it had ended.
    fn take_over(&self) {
        let Some(version) = self.checkpoint().get("version").and_then(Value::as_u64) else { return };
        self.edit_checkpoint(
            json!({"version": version + 1, "writer": "somebody else", "lease_owner": "somebody else"}),
        );
    }

    /// Whether somebody holds the lease at this moment.
    pub fn is_leased(&self) -> bool {
        let end = self.checkpoint().get("lease_expires_at").and_then(Value::as_i64);
        end.is_some_and(|instant| instant >= self.now().as_millisecond())
    }

    /// How often each record arrived over all visits, by id.
    pub fn arrived(&self) -> BTreeMap<String, usize> {
        let mut arrived = BTreeMap::new();
        for connection in self.receiver.connections() {
            for (_, message) in connection.records() {
                *arrived.entry(id_of(message)).or_default() += 1;
            }
        }
        arrived
    }
}

/// A record with this id and event time, visible from that time on.
pub fn thing(id: &str, time: &str) -> Emitted {
    let instant: Timestamp = time.parse().unwrap();
    record(&format!("{{\"id\":\"{id}\",\"time\":\"{time}\",\"kind\":[\"red\"]}}"), instant)
}

/// An alert in one of its versions, which was changed then.
pub fn alert(id: &str, changed: Timestamp, state: &str) -> Emitted {
    record(&format!("{{\"id\":\"{id}\",\"state\":\"{state}\",\"time\":\"{changed}\"}}"), changed)
}

/// A line of an inventory, which has no time.
pub fn line(id: &str, state: &str) -> Emitted {
    record(&format!("{{\"id\":\"{id}\",\"state\":\"{state}\"}}"), Timestamp::UNIX_EPOCH)
}

/// A record of any text, given for windows that `time` is in, visible from then on.
pub fn record(text: &str, time: Timestamp) -> Emitted {
    Emitted { time, visible_from: time, text: Bytes::from(text.to_owned()) }
}

/// The id of a record, or all of it when it has none.
pub(crate) fn id_of(message: &str) -> String {
    let value: Value = serde_json::from_str(message).unwrap_or_default();
    let id = value["id"].as_str().or_else(|| value["Id"].as_str());
    id.unwrap_or(message).to_owned()
}
