//! The one limit of Defender for Cloud Apps is kept by all services together, and a backlog comes as fast as it allows.
//!
//! All five read side by side, each in a process of its own that knows nothing of the others, and a tenant that refuses the
//! 31st request of a minute sees all of them. Judged is by its log, in every span wherever it begins.

use std::time::Duration;

use collector::report::{Report, Status};
use jiff::{SignedDuration, Timestamp};
use simulator::tenant::{BeyondDeepest, CloudAppsConfig, CloudAppsList, CloudAppsOrder};

use crate::world::cloud_apps_pace::{
    Books, LIMIT, Stock, assert_keeps_up, blocks, caught_up, list_of, requests_of,
};
use crate::world::pace::fullest;
use crate::world::shift::{Death, Director, Done, Failures, Rota, Shift, TICK, undisturbed};

/// A backlog of a tenant of middling size, in pages as the API has them.
const BACKLOG: Stock = Stock {
    activities: 50_000,
    alerts: 3_000,
    entities: 20_000,
    subnets: 300,
    files: 10_000,
    new: 12,
    changed: 6,
};
/// As many pages, of a tenth of the rows.
const SHORT_PAGES: Stock =
    Stock { activities: 4_000, alerts: 200, entities: 1_500, subnets: 80, files: 400, new: 2, changed: 1 };
const SHORT: usize = 10;
/// By then each service has read all of it: 200 pages of entities are the longest way, at 24 a tick.
const LONGEST_HOURS: f64 = 1.5;

/// Everything changes as it goes on, for so many ticks; then there is time to read the last of it.
struct Course<'a> {
    books: &'a Books,
    ticks: u64,
    /// Ticks between two rounds of changes.
    changes_every: u64,
    /// Which tick of each service dies, and when.
    deaths: fn(u64) -> Option<Death>,
}

/// Ticks without a change.
const QUIET: u64 = 3;

impl<'a> Course<'a> {
    fn new(books: &'a Books, ticks: u64) -> Self {
        Self { books, ticks, changes_every: 1, deaths: |_| None }
    }
}

impl Director for Course<'_> {
    fn before(&self, shift: &Shift, function: &str, tick: u64) {
        if tick > 0
            && tick + QUIET * self.changes_every < self.ticks
            && tick.is_multiple_of(self.changes_every)
        {
            self.books.go_on(shift, function, tick);
        }
    }

    fn is_done(&self, _: &str, tick: u64, _: &Report) -> bool {
        tick + 1 >= self.ticks
    }

    fn death(&self, _: &str, tick: u64) -> Option<Death> {
        (self.deaths)(tick)
    }
}

/// Pages of a few rows, so that a few thousand rows take a few hundred requests.
fn short_pages() -> CloudAppsConfig {
    CloudAppsConfig {
        largest_page: SHORT,
        smallest_scan: SHORT * 20,
        largest_scan: SHORT * 20,
        order: CloudAppsOrder::Shuffled { seed: 7 },
        ..CloudAppsConfig::default()
    }
}

/// Plays the usual course, and says what each service took.
fn played(
    what: &str,
    cloud_apps: &CloudAppsConfig,
    rota: Rota,
    stock: Stock,
    ticks: u64,
) -> (Shift, Vec<Done>) {
    let (shift, all) = undisturbed(async || {
        let shift = Shift::of_cloud_apps(cloud_apps.clone(), rota, &blocks(&[])).await;
        let books = Books::fill(&shift, stock);
        let all = shift.perform(&Course::new(&books, ticks)).await;
        books.assert_arrived(&all, what);
        (shift, all)
    });
    tell(what, &shift, &all);
    (shift, all)
}

fn tell(what: &str, shift: &Shift, all: &[Done]) {
    for done in all {
        let requests = requests_of(shift, list_of(done.function)).len();
        println!(
            "{what}: {}: {} records, {requests} requests, caught up after {:?}",
            done.function,
            done.arrived.len(),
            caught_up(done).map(hours),
        );
    }
}

fn hours(time: SignedDuration) -> f64 {
    time.as_secs_f64() / 3600.0
}

#[test]
fn a_backlog_of_five_services_arrives_once_inside_thirty_requests_a_minute_and_then_they_keep_up() {
    // Entities have no time to be parted by: as many as these are read where `skip` leads on, which it need not.
    let cloud_apps = CloudAppsConfig {
        order: CloudAppsOrder::Inserted,
        beyond_deepest: BeyondDeepest::Rows,
        ..CloudAppsConfig::default()
    };
    let what = "a backlog";
    let (shift, all) = played(what, &cloud_apps, Rota::default(), BACKLOG, 30);
    let full = shift.assert_cloud_apps_limit_is_kept(what);
    println!("{what}: {full} requests in the fullest minute");
    assert_eq!(all.len(), 5);
    for done in &all {
        let time = hours(caught_up(done).unwrap());
        assert!(time < LONGEST_HOURS, "{}: {time:.2} h", done.function);
        if let Some(lag) = assert_keeps_up(done, what) {
            println!("{what}: {}: at the most {lag} s behind", done.function);
        }
    }
}

#[test]
fn the_limit_is_kept_whoever_begins_when_and_whichever_process_it_is() {
    let rota =
        |seconds, cold_every| Rota { lane: Duration::from_secs(seconds), cold_every, ..Rota::default() };
    let table = [
        ("all at the same second, each tick a new process", rota(0, 1)),
        ("all at the same second, processes stay", rota(0, u64::MAX)),
        ("one after another, each tick a new process", rota(13, 1)),
    ];
    for (what, rota) in table {
        let (shift, all) = played(what, &short_pages(), rota, SHORT_PAGES, 14);
        let full = shift.assert_cloud_apps_limit_is_kept(what);
        println!("{what}: {full} requests in the fullest minute");
        if rota.lane.is_zero() {
            // Who does nothing keeps any limit.
            assert_eq!(full, LIMIT.requests, "{what}");
        }
        for done in &all {
            assert_keeps_up(done, what);
        }
    }
}

/// After how many seconds a process dies, and with which request then. The lease of the dead is over three seconds after its
/// deadline, when the requests of its last minute still count.
const DEATHS: [(u64, u64); 8] = [(190, 3), (30, 3), (1, 0), (178, 1), (181, 4), (200, 2), (215, 0), (239, 0)];
/// The next invocation begins as soon as the lease of a dead one is over.
const NO_PAUSE: Duration = Duration::from_secs(244);

#[test]
fn what_a_process_used_that_was_killed_its_successor_does_not_use_again() {
    for (tick, lane, cold_every) in [(NO_PAUSE, 0, 1), (TICK, 17, u64::MAX)] {
        let what = format!("killed, ticks of {tick:?}");
        let rota = Rota { tick, lane: Duration::from_secs(lane), cold_every, ..Rota::default() };
        let (shift, _) = undisturbed(async || {
            let shift = Shift::of_cloud_apps(short_pages(), rota, &blocks(&[])).await;
            let books = Books::fill(&shift, SHORT_PAGES);
            let course = Course { deaths: death_of, ..Course::new(&books, 22) };
            let all = shift.perform(&course).await;
            books.assert_arrived(&all, &what);
            tell(&what, &shift, &all);
            (shift, all)
        });
        let full = shift.assert_cloud_apps_limit_is_kept(&what);
        println!("{what}: {full} requests in the fullest minute");
        for list in CloudAppsList::ALL {
            assert!(fullest_of(&shift, list) <= LIMIT.requests / 5, "{what}: {list:?}");
        }
    }
}

/// Every other tick dies, until each of the deaths was had.
fn death_of(tick: u64) -> Option<Death> {
    let (after, requests) = *DEATHS.get(usize::try_from(tick / 2).unwrap())?;
    (tick % 2 == 1).then_some(Death { after: Duration::from_secs(after), requests })
}

#[test]
fn who_is_left_shares_the_budget_of_the_services_that_are_off() {
    let table: [(&[&str], usize); 3] = [
        (&["files"], 7),
        (&["entities", "data_enrichment"], 10),
        (&["activities", "alerts", "data_enrichment", "files"], 30),
    ];
    for (disabled, share) in table {
        let what = format!("without {disabled:?}");
        let (shift, all) = undisturbed(async || {
            let shift = Shift::of_cloud_apps(short_pages(), Rota::default(), &blocks(disabled)).await;
            let books = Books::fill(&shift, SHORT_PAGES);
            let all = shift.perform(&Course::new(&books, 12)).await;
            (shift, all)
        });
        tell(&what, &shift, &all);
        shift.assert_cloud_apps_limit_is_kept(&what);
        for done in &all {
            let is_off = done.reports.iter().all(|report| report.status == Status::Disabled);
            let full = fullest_of(&shift, list_of(done.function));
            let expected = match (is_off, list_of(done.function)) {
                (true, _) => 0,
                // Of these there is less than that.
                (false, CloudAppsList::Subnet | CloudAppsList::Alerts) => continue,
                (false, _) => share,
            };
            assert_eq!(full, expected, "{what}: {}", done.function);
        }
    }
}

/// What another client of the tenant takes a minute: half of what all may.
const ANOTHER_TAKES: u32 = 15;
/// The shortest period that a service may have.
const MINUTE: Duration = Duration::from_secs(60);
/// After a refusal that says nothing of when to come back nobody asks for so long.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);

#[test]
fn beside_another_client_that_takes_half_of_the_limit_everything_arrives_once_with_a_minute_after_each_refusal()
 {
    let table = [(TICK, 60, 7), (TICK, 0, 1)];
    for (tick, lane, cold_every) in table {
        let what = format!("beside another client, ticks of {tick:?}, lanes of {lane} s");
        let rota =
            Rota { lane: Duration::from_secs(lane), cold_every, failures: Failures::OfThrottling, tick };
        let (shift, all) = undisturbed(async || {
            let shift = Shift::of_cloud_apps(short_pages(), rota, &blocks(&[])).await;
            let books = Books::fill(&shift, SHORT_PAGES);
            let ticks_of_changes = TICK.as_secs() / tick.as_secs();
            let course =
                Course { changes_every: ticks_of_changes, ..Course::new(&books, 30 * ticks_of_changes) };
            let ends = TICK * 30;
            let (all, ()) =
                futures::join!(shift.perform(&course), shift.be_another_client(ANOTHER_TAKES, ends));
            books.assert_arrived(&all, &what);
            (shift, all)
        });
        tell(&what, &shift, &all);
        let failures: usize = all.iter().map(|done| done.failures).sum();
        let refused = assert_patience(&shift, &what);
        println!("{what}: {refused} refused, {failures} invocations failed");
        assert!(refused > 0, "{what}: nothing was refused");
    }
}

/// So long another client leaves nothing to anybody: each invocation gives up in the end.
const NOTHING_LEFT: Duration = Duration::from_secs(20 * 60);

#[test]
fn who_gave_up_after_a_refusal_is_patient_at_the_next_tick_too() {
    let what = "nothing left";
    let rota = Rota { tick: MINUTE, lane: Duration::ZERO, cold_every: 1, failures: Failures::OfThrottling };
    let (shift, all) = undisturbed(async || {
        let shift = Shift::of_cloud_apps(short_pages(), rota, &blocks(&[])).await;
        let books = Books::fill(&shift, Stock { activities: 300, entities: 30, files: 30, ..SHORT_PAGES });
        let course = Course { changes_every: 5, ..Course::new(&books, 50) };
        let (all, ()) = futures::join!(shift.perform(&course), shift.be_another_client(60, NOTHING_LEFT));
        books.assert_arrived(&all, what);
        (shift, all)
    });
    let failures: usize = all.iter().map(|done| done.failures).sum();
    let refused = assert_patience(&shift, what);
    println!("{what}: {refused} refused, {failures} invocations failed");
    assert!(failures > 0, "nobody gave up");
}

/// Between a refusal and the next request of the same service lies a minute. Gives how many were refused.
fn assert_patience(shift: &Shift, what: &str) -> usize {
    let mut refused = 0;
    for list in CloudAppsList::ALL {
        let requests = requests_of(shift, list);
        for pair in requests.windows(2).filter(|pair| pair[0].status == Some(429)) {
            refused += 1;
            let wait = pair[1].received_at.duration_since(pair[0].received_at);
            assert!(wait >= PATIENCE, "{what}: {list:?}: {wait:#} after a refusal");
        }
    }
    refused
}

/// The most requests of one service in any minute.
fn fullest_of(shift: &Shift, list: CloudAppsList) -> usize {
    let times: Vec<Timestamp> = requests_of(shift, list).iter().map(|seen| seen.received_at).collect();
    fullest(&times, LIMIT.period)
}
