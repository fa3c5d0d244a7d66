//! Alerts of Defender for Endpoint: each version once, however often it is met and wherever it goes while it is looked for.
//!
//! The list has no order that anybody promises, its pages may be cut, many alerts share an instant, and an alert that
//! somebody works on leaves its place for a later one, with all behind it moving up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use simulator::records::{defender_alert_revision, time_text};
use simulator::tenant::{
    Addressee, DefenderCall, DefenderConfig, DefenderList, ListOrder, NextLinks, Tenant,
};

use crate::world::defender::{member, pages, short_pages, world};
use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::{AMPLE, World, ago, contract, now};

const FUNCTION: &str = "endpoint-alerts";
const TICKS: u64 = 300;
const ORDERS: [ListOrder; 4] =
    [ListOrder::Inserted, ListOrder::Reversed, ListOrder::Shuffled { seed: 11 }, ListOrder::ByLastUpdate];

/// The alerts of a tenant that are worked on, by seed: numbers, and all versions so far as the API gave them.
struct Worked {
    tenant: Tenant,
    numbers: BTreeMap<u64, (u64, u32)>,
    versions: BTreeMap<u64, Vec<String>>,
}

impl Worked {
    fn at(tenant: &Tenant) -> Self {
        Self { tenant: tenant.clone(), numbers: BTreeMap::new(), versions: BTreeMap::new() }
    }

    /// A new alert, updated at this instant for the last time.
    fn emit(&mut self, seed: u64, updated: Timestamp) {
        let text = defender_alert_revision(seed, created(), updated, 0);
        let number = self.tenant.emit_defender(DefenderList::Alerts, text.clone()).unwrap();
        self.numbers.insert(seed, (number, 0));
        self.versions.insert(seed, vec![text]);
    }

    /// Somebody changes it at this instant.
    fn change(&mut self, seed: u64, updated: Timestamp) {
        let (number, revision) = self.numbers.get_mut(&seed).unwrap();
        *revision += 1;
        let text = defender_alert_revision(seed, created(), updated, *revision);
        self.tenant.update_defender(DefenderList::Alerts, *number, text.clone()).unwrap();
        self.versions.get_mut(&seed).unwrap().push(text);
    }

    /// What must have arrived: of each alert the version that it has now.
    fn latest(&self) -> BTreeSet<String> {
        self.versions.values().map(|versions| versions.last().unwrap().clone()).collect()
    }

    fn all(&self) -> BTreeSet<String> {
        self.versions.values().flatten().cloned().collect()
    }
}

/// The same for all alerts of a test: some day long ago.
fn created() -> Timestamp {
    "2026-01-02T03:04:05.6789012Z".parse().unwrap()
}

fn arrived(world: &World) -> Vec<String> {
    world.records().iter().map(|arrival| contract::record_of(&arrival.message)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_that_never_change_are_delivered_once_in_three_hundred_ticks() {
    let world = world(FUNCTION, short_pages()).await;
    // One that each tick meets, one that the cursor passes, and between them those that come now and then.
    let mut emitted: Vec<String> =
        [20, 300].into_iter().zip(0..).map(|(age, seed)| world.emit(seed, minutes_ago(age))).collect();
    let warm = world.process().await;
    let (force, mut delivered) = (json!({"force": true}), 0);
    for tick in 0..TICKS {
        if tick % 30 == 15 {
            emitted.push(world.emit(10 + tick, ago(SignedDuration::from_secs(3))));
        }
        let answer = match tick % 25 {
            24 => world.force().await,
            _ => world.invoke(&warm, &force, AMPLE).await.answer(),
        };
        assert_eq!(answer["status"], "up_to_date", "tick {tick}: {answer}");
        delivered += answer["delivered"].as_u64().unwrap();
    }
    assert_eq!(delivered, emitted.len() as u64);
    assert_arrived(&world, &emitted);
    let oldest_asked =
        pages(&world).iter().skip(20).map(|seen| crate::world::defender::asked_span(seen).0).min();
    assert!(oldest_asked.unwrap() > minutes_ago(300), "the cursor has passed the older one");
    world.close().await;
}

fn minutes_ago(minutes: i64) -> Timestamp {
    ago(SignedDuration::from_mins(minutes))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_alerts_of_one_instant_than_a_page_holds_arrive_with_all_their_digits() {
    join_all(ORDERS.map(|order| async move {
        let world = world(FUNCTION, DefenderConfig { order, ..short_pages() }).await;
        let instant = minutes_ago(30) + SignedDuration::from_nanos(123_456_700);
        let mut emitted: Vec<String> = (0..40)
            .map(|seed| {
                // Some share the instant, the others its second.
                let near = instant + SignedDuration::from_nanos(100 * i64::from(seed % 3 == 0));
                let record = defender_alert_revision(seed, created(), near, 0);
                let written = member(&record, "lastUpdateTime");
                let record = record.replace(&written, &time_text(near, 7));
                world.tenant.emit_defender(DefenderList::Alerts, record.clone()).unwrap();
                record
            })
            .collect();
        assert!(member(&emitted[1], "lastUpdateTime").ends_with(".1234567Z"), "{}", emitted[1]);
        let first = world.tick().await;
        assert_answer(&first, FUNCTION, 40);
        assert_answer(&world.force().await, FUNCTION, 0);
        emitted.push(world.emit(100, minutes_ago(2)));
        assert_answer(&world.force().await, FUNCTION, 1);
        assert_arrived(&world, &emitted);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_of_an_alert_is_one_more_delivery_by_whatever_process() {
    for is_warm in [false, true] {
        let world = world(FUNCTION, short_pages()).await;
        let mut worked = Worked::at(&world.tenant);
        worked.emit(1, minutes_ago(300));
        worked.emit(2, minutes_ago(50));
        let process = world.process().await;
        let pull = || async {
            match is_warm {
                true => world.invoke(&process, &json!({"force": true}), AMPLE).await.answer(),
                false => world.force().await,
            }
        };
        assert_answer(&pull().await, FUNCTION, 2);
        for change in 0..5 {
            worked.change(1, minutes_ago(40 - change * 7));
            for expected in [1, 0] {
                assert_answer(&pull().await, FUNCTION, expected);
            }
        }
        let expected: Vec<String> = worked.all().into_iter().collect();
        assert_eq!(expected.len(), 7);
        assert_arrived(&world, &expected);
        world.close().await;
    }
}

/// Where an alert goes that somebody changes while the list is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    /// To the present, behind the window that is read.
    ToNow,
    /// To a place that the window holds.
    WithinWindow,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_that_change_between_two_pages_are_neither_lost_nor_sent_twice() {
    let plays = ORDERS.iter().flat_map(|order| {
        [
            (Move::ToNow, NextLinks::WithoutTop),
            (Move::WithinWindow, NextLinks::Never),
            (Move::WithinWindow, NextLinks::Always),
        ]
        .map(|(to, links)| (*order, to, links))
    });
    join_all(plays.map(|(order, to, links)| moving(order, to, links))).await;
}

async fn moving(order: ListOrder, to: Move, next_links: NextLinks) {
    let play = format!("{order:?} {to:?} {next_links:?}");
    let world = world(FUNCTION, DefenderConfig { order, next_links, largest_page: 5, ..short_pages() }).await;
    let worked = Arc::new(Mutex::new(Worked::at(&world.tenant)));
    let newest = minutes_ago(90);
    for seed in 0..40_u64 {
        // Some lie far from one another, some in a second that is longer than a page.
        let age = if seed < 12 { 0 } else { 10 + 15 * seed.cast_signed() };
        worked.lock().unwrap().emit(seed, newest - SignedDuration::from_mins(age));
    }
    let (hands, emitted) = (Arc::clone(&worked), 40);
    world.tenant.on_request(move |seen| {
        let is_page = seen.addressee == Addressee::Defender(DefenderCall::List(DefenderList::Alerts));
        if !is_page || seen.nth < 2 || seen.nth > 24 {
            return;
        }
        let updated = match to {
            Move::ToNow => Timestamp::now(),
            Move::WithinWindow => minutes_ago(80) + SignedDuration::from_secs(seen.nth.cast_signed() * 40),
        };
        // Each of them once, in an order that is neither theirs nor the reverse.
        hands.lock().unwrap().change(seen.nth * 17 % emitted, updated);
    });
    let first = world.tick().await;
    assert_eq!(first["status"], "up_to_date", "{play}: {first}");
    world.tenant.on_request(|_| {});
    // A window ends with a whole second: what changed in the present one comes with a later tick.
    let last_change = now();
    let mut rest = world.force().await;
    while rest["delivered"] != 0 || rest["window"]["to"].as_str().unwrap() <= last_change.to_string().as_str()
    {
        assert_eq!(rest["status"], "up_to_date", "{play}: {rest}");
        rest = world.force().await;
    }
    assert_each_version_once(&arrived(&world), &worked.lock().unwrap(), &play);
    world.close().await;
}

/// Each alert is here as it is now, no version of any came twice, and none that never was.
fn assert_each_version_once(arrived: &[String], worked: &Worked, play: &str) {
    let distinct: BTreeSet<String> = arrived.iter().cloned().collect();
    assert_eq!(distinct.len(), arrived.len(), "{play}: a version came twice");
    let changed = worked.versions.values().filter(|versions| versions.len() > 1).count();
    assert!(changed >= 10, "{play}: only {changed} alerts moved while the list was read");
    let lost: Vec<String> = worked.latest().difference(&distinct).cloned().collect();
    assert!(lost.is_empty(), "{play}: lost {lost:?}");
    assert!(distinct.is_subset(&worked.all()), "{play}: something arrived that was never there");
}
