//! All services of Defender for Cloud Apps side by side, with the one limit that they share with everybody else.
//!
//! What a shift is says `shift`; here is what the lists hold, how that changes meanwhile, and by whose account the limit is
//! kept. Most records are small: what counts is how many there are, and how many fit a page.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use cloud_apps::CLOUD_APPS;
use collector::report::Status;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::records;
use simulator::tenant::{Addressee, CloudAppsConfig, CloudAppsList, RequestSeen, TenantConfig, Throttle};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::contract::{Asks, promise};
use super::pace::fullest;
use super::shift::{Done, FOREIGN, Rota, Shift, TICK, is_foreign, start};

/// What Microsoft publishes.
pub const LIMIT: Throttle = Throttle { requests: 30, period: SignedDuration::from_secs(60) };
/// How far back the records of the beginning reach.
const DAYS: i64 = 10;
/// So many activities have one instant, and so many more, in the middle, another one.
const LEVEL: u64 = 5;
const LEVEL_CROWD: u64 = 300;

/// How many records each list has at the beginning.
#[derive(Debug, Clone, Copy)]
pub struct Stock {
    pub activities: u64,
    pub alerts: u64,
    pub entities: u64,
    pub subnets: u64,
    pub files: u64,
    /// What comes to each list with a time at each tick, and how many older records change.
    pub new: u64,
    pub changed: u64,
}

impl Stock {
    fn of(&self, list: CloudAppsList) -> u64 {
        match list {
            CloudAppsList::Activities => self.activities,
            CloudAppsList::Alerts => self.alerts,
            CloudAppsList::Entities => self.entities,
            CloudAppsList::Subnet => self.subnets,
            CloudAppsList::Files => self.files,
        }
    }
}

/// What the lists hold, in all its versions.
pub struct Books {
    stock: Stock,
    lists: RefCell<BTreeMap<CloudAppsList, Vec<Entry>>>,
}

struct Entry {
    number: u64,
    time: Timestamp,
    versions: Vec<String>,
}

impl Books {
    /// Fills the lists.
    pub fn fill(shift: &Shift, stock: Stock) -> Self {
        let books = Self { stock, lists: RefCell::default() };
        for list in CloudAppsList::ALL {
            let rows = stock.of(list);
            let step = SignedDuration::from_hours(24 * DAYS) / i32::try_from(rows.max(1)).unwrap();
            for seed in 0..rows {
                let place = if list == CloudAppsList::Activities { level(seed, rows) } else { seed };
                let age = SignedDuration::from_mins(2) + step * i32::try_from(place).unwrap();
                books.emit(shift, list, start() - age);
            }
        }
        books
    }

    /// Something new in a list with a time, and something that is not any more as it was.
    pub fn go_on(&self, shift: &Shift, function: &str, round: u64) {
        let list = list_of(function);
        if list.time_member().is_none() {
            return;
        }
        for step in 0..self.stock.new {
            // Two of them at one instant.
            let age = SignedDuration::from_secs(1 + 7 * (step / 2).cast_signed());
            self.emit(shift, list, shift.clock.now() - age);
        }
        if list == CloudAppsList::Activities {
            return;
        }
        for step in 0..self.stock.changed {
            self.change(shift, list, round * 389 + step * 1_009);
        }
    }

    /// Each record arrived as it is in the end, and no version came twice.
    pub fn assert_arrived(&self, all: &[Done], what: &str) {
        let lists = self.lists.borrow();
        for done in all {
            let entries = &lists[&list_of(done.function)];
            let mut expected: BTreeMap<String, bool> = BTreeMap::new();
            for entry in entries {
                let last = entry.versions.len() - 1;
                let versions = entry.versions.iter().enumerate();
                let canonical = |text: &str| serde_json::from_str::<Value>(text).unwrap().to_string();
                expected.extend(versions.map(|(index, text)| (canonical(text), index == last)));
            }
            for record in &done.arrived {
                let mut bare = record.clone();
                bare.as_object_mut().unwrap().remove("@devo_pulling_id");
                let text = bare.to_string();
                assert!(
                    expected.remove(&text).is_some(),
                    "{what}: {}: twice or never: {text}",
                    done.function
                );
            }
            let lost: Vec<_> = expected.iter().filter(|(_, is_last)| **is_last).collect();
            assert!(lost.is_empty(), "{what}: {}: {} lost, {:?}", done.function, lost.len(), lost[0]);
        }
    }

    fn emit(&self, shift: &Shift, list: CloudAppsList, time: Timestamp) {
        let mut lists = self.lists.borrow_mut();
        let entries = lists.entry(list).or_default();
        let text = record(list, entries.len() as u64, time, time, 0);
        let number = shift.tenant.emit_cloud_apps(list, text.clone()).unwrap();
        entries.push(Entry { number, time, versions: vec![text] });
    }

    /// An alert is resolved, or a file gets another content.
    fn change(&self, shift: &Shift, list: CloudAppsList, throw: u64) {
        let mut lists = self.lists.borrow_mut();
        let entries = lists.get_mut(&list).unwrap();
        let seed = throw % entries.len() as u64;
        let entry = &mut entries[usize::try_from(seed).unwrap()];
        let revision = u32::try_from(entry.versions.len()).unwrap();
        let changed = shift.clock.now() - SignedDuration::from_secs(1 + i64::from(revision));
        let text = record(list, seed, entry.time, changed, revision);
        shift.tenant.update_cloud_apps(list, entry.number, text.clone()).unwrap();
        entry.versions.push(text);
    }
}

/// The place in time of an activity among the others: several are level with one another.
fn level(seed: u64, rows: u64) -> u64 {
    let crowd = rows / 2..(rows / 2 + LEVEL_CROWD).min(rows);
    if crowd.contains(&seed) { crowd.start } else { seed / LEVEL * LEVEL }
}

fn record(list: CloudAppsList, seed: u64, time: Timestamp, changed: Timestamp, revision: u32) -> String {
    let saved = changed.as_millisecond();
    match list {
        // Saved hours after it happened.
        CloudAppsList::Activities => {
            let happened = saved - i64::try_from(seed % 400).unwrap() * 60_000;
            json!({"_id": format!("activity-{seed}"), "created": saved, "timestamp": happened}).to_string()
        }
        CloudAppsList::Alerts if revision == 0 => records::cloud_apps_record(list, seed, time),
        CloudAppsList::Alerts => records::cloud_apps_alert_resolved(seed, time, changed, revision),
        CloudAppsList::Entities => {
            json!({"_id": format!("entity-{seed}"), "displayName": format!("user {seed}")}).to_string()
        }
        CloudAppsList::Subnet => {
            json!({"_id": format!("subnet-{seed}"), "name": format!("range {seed}")}).to_string()
        }
        CloudAppsList::Files => {
            json!({"_id": format!("file-{seed}"), "modifiedDate": saved, "scanVersion": revision}).to_string()
        }
    }
}

/// The list that a function reads.
pub fn list_of(function: &str) -> CloudAppsList {
    match promise(function).asks {
        Asks::CloudApps(list) => list,
        other => panic!("{function} asks no list of Cloud Apps but {other:?}"),
    }
}

/// Blocks of all services, as an operator writes them; those named are off.
pub fn blocks(disabled: &[&str]) -> Value {
    let since = start() - SignedDuration::from_hours(24 * (DAYS + 1));
    let block = |service: &&'static collector::service::Service| {
        let mut block = json!({"enabled": !disabled.contains(&service.name)});
        if list_of(service.function).time_member().is_some() {
            block["start_time_in_utc"] = json!(since.to_string());
        }
        (service.name.to_owned(), block)
    };
    CLOUD_APPS.services.iter().map(block).collect::<serde_json::Map<_, _>>().into()
}

impl Shift {
    /// A tenant with the published limit and these settings, and the services of these blocks.
    pub async fn of_cloud_apps(cloud_apps: CloudAppsConfig, rota: Rota, services: &Value) -> Self {
        let token = cloud_apps.files_token.as_ref().map(|token| token.value.clone());
        let cloud_apps = cloud_apps.published();
        assert_eq!(cloud_apps.limits.minute, Some(LIMIT));
        let config = TenantConfig { cloud_apps, ..TenantConfig::default() };
        Self::of(&CLOUD_APPS, config, rota, services, &json!({"files_access_token": token})).await
    }

    /// The requests of our own for pages.
    pub fn to_cloud_apps(&self) -> Vec<RequestSeen> {
        let is_ours =
            |seen: &RequestSeen| matches!(seen.addressee, Addressee::CloudApps(_)) && !is_foreign(seen);
        self.tenant.requests().into_iter().filter(is_ours).collect()
    }

    /// No span of a minute has more requests than are allowed, and none was refused. Gives how many the fullest has.
    pub fn assert_cloud_apps_limit_is_kept(&self, what: &str) -> usize {
        let ours = self.to_cloud_apps();
        let times: Vec<Timestamp> = ours.iter().map(|seen| seen.received_at).collect();
        let full = fullest(&times, LIMIT.period);
        assert!(full <= LIMIT.requests, "{what}: {full} requests in {:#}", LIMIT.period);
        let is_well = |seen: &RequestSeen| seen.status == Some(200) && seen.violations.is_empty();
        let wrong = ours.iter().find(|seen| !is_well(seen));
        assert!(wrong.is_none(), "{what}: {wrong:?}");
        full
    }

    /// Another client takes so many requests a minute, evenly, until that instant.
    pub async fn be_another_client(&self, a_minute: u32, ends: Duration) {
        let base_url = self.tenant.base_url();
        let host = base_url.strip_prefix("http://").unwrap();
        let token = self.tenant.config().cloud_apps.files_token.as_ref().unwrap().value.clone();
        let body = json!({"filters": {"modifiedDate": {"lte": 0}}, "skip": 0, "limit": 1}).to_string();
        let head = format!(
            "POST {FOREIGN}{} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Token {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            CloudAppsList::Files.path(),
            body.len(),
        );
        for number in 0.. {
            let due = Duration::from_secs(60) * number / a_minute;
            if due > ends {
                return;
            }
            self.until(due).await;
            let mut socket = TcpStream::connect(host).await.unwrap();
            socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            socket.read_to_end(&mut Vec::new()).await.unwrap();
        }
    }
}

/// When the service had read everything there was, counted from the beginning.
pub fn caught_up(done: &Done) -> Option<SignedDuration> {
    let first = done.reports.iter().position(|report| report.status == Status::UpToDate)?;
    Some(done.ends[first].duration_since(start()))
}

/// After it had caught up a service with a time was never further behind than two of its periods. Gives the longest lag in
/// seconds.
pub fn assert_keeps_up(done: &Done, what: &str) -> Option<i64> {
    list_of(done.function).time_member()?;
    let first = done.reports.iter().position(|report| report.status == Status::UpToDate).unwrap();
    let longest = done.reports[first..].iter().map(|report| report.lag_seconds.unwrap()).max().unwrap();
    assert!(longest < 2 * TICK.as_secs().cast_signed(), "{what}: {} is {longest} s behind", done.function);
    Some(longest)
}

/// When the pages of a list were asked for.
pub fn requests_of(shift: &Shift, list: CloudAppsList) -> Vec<RequestSeen> {
    let is_meant = |seen: &RequestSeen| seen.addressee == Addressee::CloudApps(list);
    shift.to_cloud_apps().into_iter().filter(is_meant).collect()
}
