//! Two content feeds and the service that retries what failed in them, in one small world that is visited again and again.
//!
//! The world (blobs, clock, store, Devo, settings) stays; each visit is one invocation of one of the three services with
//! its own request and its own faults. Two of them may also be driven in turn, by their futures.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use collector::ports::{CHECKPOINT_KEY, Row};
use collector::run::{Ports, QUEUE_PREFIX, Warm, invoke};
use collector::settings::Settings;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::clock::TestClock;
use crate::content::{Content, ContentSource, Tenant};
use crate::drive::{Driven, drive};
use crate::service::{FEED, OTHER_FEED, RETRY, feed_settings, retry_settings, tick};
use crate::sink::{Receiver, RecordingSink};
use crate::site::{Seen, Visit, id_of};
use crate::store::MemoryStore;

/// Steps after which an invocation is taken to be endless.
const ENDLESS: usize = 10_000_000;

/// One of the three services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The feed `mail`.
    Mail,
    /// The feed `files`.
    Files,
    /// The service that retries.
    Retry,
}

impl Who {
    /// Its name in the document and in listings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mail => FEED.name,
            Self::Files => OTHER_FEED.name,
            Self::Retry => RETRY.name,
        }
    }
}

/// The world of the three services.
pub struct ContentSite {
    /// Where their state is.
    pub store: MemoryStore,
    /// Devo.
    pub receiver: Receiver,
    /// Settings of the feed `mail`.
    pub mail: Settings,
    /// Settings of the feed `files`.
    pub files: Settings,
    /// Settings of the service that retries; its `feeds` are the two above, as far as they are enabled.
    pub retry: Settings,
    /// What the API holds.
    pub tenant: Tenant,
    /// The time of day.
    pub clock: TestClock,
    /// Blobs of one listing page.
    pub page_size: usize,
    /// Records of one part at the most.
    pub part_size: usize,
    /// Blobs fetched side by side.
    pub concurrency: usize,
    /// Length of an invocation, seconds.
    pub patience: i64,
    /// Chooses the order in which content comes.
    pub seed: u64,
    /// What the processes kept.
    warm: Mutex<BTreeMap<Who, Warm>>,
    visits: AtomicU64,
}

impl ContentSite {
    /// An empty world whose clock shows `now`.
    pub fn new(now: &str) -> Self {
        Self {
            store: MemoryStore::default(),
            receiver: Receiver::default(),
            mail: feed_settings(&FEED),
            files: feed_settings(&OTHER_FEED),
            retry: retry_settings(Vec::new()),
            tenant: Tenant::default(),
            clock: TestClock::at(now.parse().unwrap()),
            page_size: 100,
            part_size: 3,
            concurrency: 8,
            patience: 60,
            seed: 1,
            warm: Mutex::default(),
            visits: AtomicU64::new(0),
        }
    }

    /// Adds a blob of these records, see [`audit`], and gives it to be changed.
    pub fn add(&mut self, who: Who, id: &str, created: &str, records: &[&str]) -> &mut Content {
        let instant: Timestamp = created.parse().unwrap();
        let texts = records.iter().map(|record| audit(record, instant)).collect();
        self.tenant.contents.push(Content::new(who.name(), id, instant, texts));
        self.tenant.content_mut(id)
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Time passes.
    pub fn pass(&self, seconds: i64) {
        self.clock.pass(SignedDuration::from_secs(seconds));
    }

    /// The next visits are made by processes that remember nothing.
    pub fn new_processes(&self) {
        self.warm.lock().unwrap().clear();
    }

    /// The settings of one of the services.
    pub fn settings(&self, who: Who) -> Settings {
        match who {
            Who::Mail => self.mail.clone(),
            Who::Files => self.files.clone(),
            Who::Retry => {
                let feeds = [&self.mail, &self.files].into_iter().filter(|feed| feed.enabled);
                Settings { feeds: feeds.cloned().collect(), ..self.retry.clone() }
            }
        }
    }

    /// A plain tick without faults.
    pub fn tick(&self, who: Who) -> Seen {
        self.visit(who, Visit::default())
    }

    /// A forced tick without faults.
    pub fn force(&self, who: Who) -> Seen {
        self.visit(who, Visit::forced())
    }

    /// One invocation to its end.
    pub fn visit(&self, who: Who, visit: Visit) -> Seen {
        self.visit_until(who, visit, ENDLESS).expect("the invocation ends")
    }

    /// One invocation that is killed after `steps` steps; `None` when it was.
    pub fn visit_until(&self, who: Who, visit: Visit, steps: usize) -> Option<Seen> {
        match drive(self.invocation(who, visit), steps) {
            Driven::Ended(seen, _) => Some(seen),
            Driven::Crashed => None,
        }
    }

    /// One invocation, to be driven.
    pub async fn invocation(&self, who: Who, visit: Visit) -> Seen {
        let number = self.visits.fetch_add(1, Ordering::Relaxed) + 1;
        let settings = self.settings(who);
        let known_connections = self.receiver.connections().len();
        let known_fetches = self.tenant.begun().len();
        let seed = self.seed << 32 | number;
        let clock = self.clock.clone();
        let mut source = ContentSource::new(&self.tenant, &self.store, who.name(), clock, seed);
        source.page_size = self.page_size;
        source.part_size = self.part_size;
        source.concurrency = self.concurrency;
        source.page_faults = visit.pages.into();
        source.fetch_faults = visit.fetches.into();
        source.login = visit.login;
        source.not_ready = visit.not_ready.map(str::to_owned);
        source.warning = visit.page_warning.map(str::to_owned);
        source.page_pace = SignedDuration::from_secs(visit.seconds_per_page);
        source.fetch_pace = SignedDuration::from_secs(visit.seconds_per_fetch);
        let mut sink = RecordingSink::new(&self.receiver);
        sink.breaks = visit.breaks.into();
        self.store.script(visit.writes);
        self.store.script_reads(visit.failing_reads);
        let mut invocation = tick(number, self.clock.now(), self.patience);
        invocation.request = visit.request;
        invocation.warnings = visit.warnings;
        let clock = self.clock.clone();
        // What the process kept dies with it when it is killed.
        let mut warm = self.warm.lock().unwrap().remove(&who).unwrap_or_default();
        let ports = Ports {
            source: &mut source,
            sink: &mut sink,
            state: &self.store,
            clock: &move || clock.now(),
            progress: &|_| {},
        };
        let outcome = invoke(&invocation, &settings, ports, &mut warm).await;
        self.warm.lock().unwrap().insert(who, warm);
        let counts = &outcome.report;
        assert_eq!(counts.received, counts.duplicates + counts.delivered + counts.failed, "{counts:?}");
        let connections = self.receiver.connections().split_off(known_connections);
        let opened_devo = sink.prepared > 0 || !connections.is_empty();
        let fetched = self.tenant.begun().split_off(known_fetches);
        let (requests, preparation) = (source.requests, source.preparation);
        let (counted, progress) = (Vec::new(), 0);
        Seen { outcome, requests, counted, progress, fetched, preparation, connections, opened_devo }
    }

    /// All rows of a service's partition.
    pub fn rows(&self, who: Who) -> Vec<Row> {
        self.store.rows(&self.settings(who).partition())
    }

    /// Those whose key begins so.
    pub fn rows_of(&self, who: Who, prefix: &str) -> Vec<Row> {
        self.rows(who).into_iter().filter(|row| row.key.starts_with(prefix)).collect()
    }

    /// The members of a service's checkpoint; none when there is no such row.
    pub fn checkpoint(&self, who: Who) -> Map<String, Value> {
        self.rows_of(who, CHECKPOINT_KEY).into_iter().next().map(|row| row.fields).unwrap_or_default()
    }

    /// The content ids in a feed's retry queue, in order.
    pub fn queue(&self, who: Who) -> Vec<String> {
        let rows = self.rows_of(who, QUEUE_PREFIX);
        let mut ids: Vec<String> =
            rows.iter().map(|row| row.fields["content_id"].as_str().unwrap().to_owned()).collect();
        ids.sort_unstable();
        ids
    }

    /// What a feed's checkpoint says of its retry queue: how many wait, and when the first of them expires.
    pub fn queue_in_short(&self, who: Who) -> (u64, Option<Timestamp>) {
        let Some(queue) = self.checkpoint(who).get("retry_queue").cloned() else { return (0, None) };
        let first = queue.get("first_expiry_in_utc").and_then(Value::as_str);
        (queue["waiting"].as_u64().unwrap(), first.map(|instant| instant.parse().unwrap()))
    }

    /// Whether somebody holds the service's lease at this moment.
    pub fn is_leased(&self, who: Who) -> bool {
        let end = self.checkpoint(who).get("lease_expires_at").and_then(Value::as_i64);
        end.is_some_and(|instant| instant >= self.now().as_millisecond())
    }

    /// The sums of a service's ledger and of what waits in its checkpoint.
    pub fn ledger(&self, who: Who) -> BTreeMap<String, u64> {
        let carried = self.checkpoint(who).get("ledger_carry").cloned().unwrap_or_default();
        let waiting = carried.as_object().into_iter().flat_map(|hours| hours.values().cloned());
        let rows = self.rows_of(who, "ledger#").into_iter().map(|row| Value::Object(row.fields));
        let mut sums = BTreeMap::new();
        for hour in rows.chain(waiting) {
            for (name, count) in hour.as_object().unwrap() {
                *sums.entry(name.clone()).or_default() += count.as_u64().unwrap();
            }
        }
        sums
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

/// The text of a record with this id that happened a quarter of an hour before its blob was `created`. `id@Workload`
/// names its workload, `id@` none.
pub fn audit(name: &str, created: Timestamp) -> Bytes {
    let (id, workload) = name.split_once('@').unwrap_or((name, "Exchange"));
    let happened = (created - SignedDuration::from_mins(15)).strftime("%Y-%m-%dT%H:%M:%S");
    let member = if workload.is_empty() { String::new() } else { format!(",\"Workload\":\"{workload}\"") };
    Bytes::from(format!("{{\"CreationTime\":\"{happened}\",\"Id\":\"{id}\"{member}}}"))
}
