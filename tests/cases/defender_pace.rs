//! The published limits of Defender for Endpoint are kept for many hours, and the work is done as fast as they allow.
//!
//! Counts take thousands of requests, so a backlog of alerts takes the better part of a day, in which alerts change. And
//! all seven services share one application, the six lists one budget. Judged is by the tenant's own log.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use collector::report::{Report, Status};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::records;
use simulator::tenant::{DefenderConfig, DefenderList};

use crate::world::contract::{Asks, promise};
use crate::world::shift::{Director, Shift, in_paused_time, start};

/// The counts of an alert, and the segments of their paths.
const COUNTS: [(&str, &str); 5] = [
    ("related_files", "files"),
    ("related_ips", "ips"),
    ("related_machines", "machine"),
    ("related_domains", "domains"),
    ("related_users", "user"),
];
const ALERTS: u64 = 5_000;
/// How far back they reach.
const DAYS: i32 = 20;
/// So many requests can be made at one tick: in its four minutes three spans of the budget begin.
const A_TICK: u64 = 120;
/// 25,000 counts at 1,500 an hour are 16.7 hours; the pages come on top of that, and what a tick of five minutes leaves.
const LONGEST_HOURS: f64 = 18.5;
/// Alerts that change at once.
const CHANGED_AT_ONCE: u64 = 7;

/// Alerts of the last weeks, some of which change in the hours that follow.
#[derive(Default)]
struct Backlog {
    /// Ticks between two rounds of changes, and after which there are none.
    changes_every: u64,
    changes_until: u64,
    alerts: RefCell<Vec<Alert>>,
}

struct Alert {
    number: u64,
    created: Timestamp,
    /// Each version that there was.
    versions: Vec<Value>,
}

impl Backlog {
    fn emit(shift: &Shift, alerts: u64) -> Self {
        let day = SignedDuration::from_hours(24);
        let step = day * DAYS / i32::try_from(alerts).unwrap();
        let emit = |seed: u64| {
            let created = start() - day * DAYS + step * i32::try_from(seed).unwrap();
            let text = records::defender_alert_revision(seed, created, created, 0);
            let versions = vec![serde_json::from_str(&text).unwrap()];
            Alert {
                number: shift.tenant.emit_defender(DefenderList::Alerts, text).unwrap(),
                created,
                versions,
            }
        };
        // The last changes come before the backlog is done.
        let ticks = alerts * COUNTS.len() as u64 / A_TICK;
        let alerts = RefCell::new((0..alerts).map(emit).collect());
        Self { changes_every: (ticks / 20).max(1), changes_until: ticks * 9 / 10, alerts }
    }

    /// Some alerts change, those that were sent as well as those that wait.
    fn change(&self, shift: &Shift, round: u64) {
        let mut alerts = self.alerts.borrow_mut();
        for step in 0..CHANGED_AT_ONCE {
            let seed = (round * 389 + step * 1_009) % alerts.len() as u64;
            let alert = &mut alerts[usize::try_from(seed).unwrap()];
            let revision = u32::try_from(alert.versions.len()).unwrap();
            let updated = shift.clock.now() - SignedDuration::from_secs(1 + step.cast_signed());
            let text = records::defender_alert_revision(seed, alert.created, updated, revision);
            alert.versions.push(serde_json::from_str(&text).unwrap());
            shift.tenant.update_defender(DefenderList::Alerts, alert.number, text).unwrap();
        }
    }

    /// Each alert arrived as it is in the end, no version came twice, and all have the counts that the tenant gives.
    fn assert_arrived(&self, shift: &Shift, arrived: &[Value]) {
        let key = |alert: &Value| (alert["id"].clone().to_string(), alert["lastUpdateTime"].to_string());
        let mut expected: BTreeMap<(String, String), (&Value, bool)> = BTreeMap::new();
        let alerts = self.alerts.borrow();
        for alert in &*alerts {
            let last = alert.versions.len() - 1;
            let versions = alert.versions.iter().enumerate();
            expected.extend(versions.map(|(index, version)| (key(version), (version, index == last))));
        }
        for record in arrived {
            let (version, _) =
                expected.remove(&key(record)).unwrap_or_else(|| panic!("twice or never: {record}"));
            let mut with_counts = version.clone();
            for (member, segment) in COUNTS {
                let path = format!("/api/alerts/{}/{segment}", version["id"].as_str().unwrap());
                with_counts[member] = json!(shift.tenant.related_count(&path).unwrap());
            }
            with_counts["@devo_pulling_id"] = record["@devo_pulling_id"].clone();
            assert_eq!(*record, with_counts);
        }
        let lost: Vec<_> = expected.iter().filter(|(_, (_, is_last))| *is_last).collect();
        assert!(lost.is_empty(), "{} are lost: {:?}", lost.len(), lost[0]);
    }
}

impl Director for Backlog {
    fn before(&self, shift: &Shift, _: &str, tick: u64) {
        if tick > 0 && tick <= self.changes_until && tick.is_multiple_of(self.changes_every) {
            self.change(shift, tick / self.changes_every);
        }
    }

    fn is_done(&self, _: &str, tick: u64, last: &Report) -> bool {
        tick > self.changes_until && last.status == Status::UpToDate
    }
}

#[test]
fn five_thousand_alerts_with_all_their_counts_arrive_inside_the_limits_while_some_of_them_change() {
    in_paused_time(async {
        let switches = COUNTS.map(|(member, _)| (format!("request_alert_{member}"), json!(true)));
        let mut block = serde_json::Map::from_iter(switches);
        let first = start() - SignedDuration::from_hours(25 * 24);
        block.insert("start_time_in_utc".to_owned(), json!(first.to_string()));
        let shift = Shift::of_defender(DefenderConfig::default(), &json!({"alerts": block})).await;
        let backlog = Backlog::emit(&shift, ALERTS);
        let done = shift.perform(&backlog).await;
        let done = done.first().unwrap();

        let told = shift.assert_defender_limits_are_kept();
        let hours = done.ended.duration_since(start()).as_secs_f64() / 3600.0;
        let counts = done.arrived.len() * COUNTS.len();
        let requests: u64 = done.reports.iter().map(|report| report.requests).sum();
        println!(
            "{} alerts, {counts} counts, {requests} requests in {hours:.2} h; {told}",
            done.arrived.len()
        );
        backlog.assert_arrived(&shift, &done.arrived);
        // One page for each tick, some to take the weeks apart, and those of the hours since.
        let ticks = done.reports.len();
        assert!(requests <= (counts + 2 * ticks + 200) as u64, "{requests} requests, {ticks} ticks");
        assert!(hours < LONGEST_HOURS, "{hours:.2} h");
        // As fast as three spans a tick allow, and one tick in twenty more.
        assert!(ticks as u64 * A_TICK * 20 <= requests * 21, "{ticks} ticks for {requests} requests");
    });
}

/// Rows of a page here, so that a few hundred rows take a few hundred requests.
const PAGE: usize = 5;
/// Rows of a list with a time, which takes two requests and more for each page, and of one without.
const DATED_ROWS: u64 = 250;
const ROWS: u64 = 1_200;
/// Queries of hunting: more than may be asked at one tick.
const QUERIES: u64 = 150;
/// Rows that each of them finds.
const FOUND: u64 = 3;
/// Two hours, so that the hourly limits have their say.
const LEAST_TICKS: u64 = 24;
const TABLE: &str = "DeviceEvents";

/// All services have work for an hour or more.
struct Everybody;

impl Director for Everybody {
    fn before(&self, _: &Shift, _: &str, _: u64) {}

    fn is_done(&self, function: &str, tick: u64, last: &Report) -> bool {
        match function {
            "endpoint-advanced-hunting" => tick >= LEAST_TICKS,
            _ => last.status == Status::UpToDate,
        }
    }
}

#[test]
fn six_lists_and_hunting_of_one_application_stay_inside_its_limits_side_by_side_and_all_come_to_their_end() {
    in_paused_time(async {
        let queries: Vec<Value> = (0..QUERIES)
            .map(|number| {
                let text = format!("{TABLE} | where Timestamp between ({{from}} .. {{to}})");
                json!({"name": format!("query {number}"), "query": text, "override_tag": "my.app.hunting.test"})
            })
            .collect();
        let since = |days: i64| json!((start() - SignedDuration::from_hours(24 * days)).to_string());
        let services = json!({
            "alerts": {"start_time_in_utc": since(10)},
            "machines": {},
            "softwares": {},
            "vulnerabilities": {},
            "recommendations": {},
            "investigations": {"start_time_in_utc": since(10)},
            "advanced_hunting": {"queries": queries},
        });
        let config = DefenderConfig { largest_page: PAGE, ..DefenderConfig::default() };
        let shift = Shift::of_defender(config, &services).await;
        let rows_of = |list: DefenderList| if list.time_property().is_some() { DATED_ROWS } else { ROWS };
        let step = SignedDuration::from_hours(9 * 24) / i32::try_from(DATED_ROWS).unwrap();
        for list in DefenderList::ALL {
            for seed in 0..rows_of(list) {
                let time = start() - step * i32::try_from(seed + 1).unwrap();
                shift.tenant.emit_defender(list, records::defender_record(list, seed, time)).unwrap();
            }
        }
        for seed in 0..FOUND {
            let time = start() - SignedDuration::from_hours(2 + seed.cast_signed());
            shift.tenant.emit_hunting(TABLE, time, records::hunting_row(seed, time));
        }
        let all = shift.perform(&Everybody).await;

        println!("{}", shift.assert_defender_limits_are_kept());
        for done in &all {
            let requests: u64 = done.reports.iter().map(|report| report.requests).sum();
            let hours = done.ended.duration_since(start()).as_secs_f64() / 3600.0;
            println!(
                "{}: {} records, {requests} requests in {hours:.2} h",
                done.function,
                done.arrived.len()
            );
            if done.function == "endpoint-advanced-hunting" {
                assert_eq!(done.arrived.len() as u64, QUERIES * FOUND, "each query its rows, each once");
                continue;
            }
            let ids: BTreeSet<&str> = done.arrived.iter().map(|row| row["id"].as_str().unwrap()).collect();
            let rows = rows_of(list_of(done.function));
            assert_eq!((done.arrived.len() as u64, ids.len() as u64), (rows, rows), "{}", done.function);
        }
        assert_eq!(all.len(), 7);
    });
}

fn list_of(function: &str) -> DefenderList {
    match promise(function).asks {
        Asks::Defender(list) => list,
        other => panic!("{function} asks no list but {other:?}"),
    }
}
