//! alerts_v2: alerts that move in time whenever somebody touches them, and a list that is read by a moving boundary.
//!
//! What moves and does not change is delivered once; what changes is delivered each time, also when it changes back. No
//! alert is lost to a page limit that the API neither grants nor tells of.

use std::collections::BTreeMap;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::records::alert_v2_revision;
use simulator::tenant::{Addressee, ClampedPage, Endpoint, PageSize, SecurityConfig, TenantConfig};

use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::{AMPLE, World, ago, service};

const FUNCTION: &str = "graph-alerts-v2";
/// How often an alert moves without a change.
const MOVES: i64 = 300;

async fn world() -> World {
    World::new(service(FUNCTION)).await
}

/// One alert of the tenant that is worked on.
struct Worked<'a> {
    world: &'a World,
    seed: u64,
    created: Timestamp,
    number: u64,
    /// All its versions so far, as the API gave them.
    versions: Vec<String>,
}

impl<'a> Worked<'a> {
    /// A new one.
    fn new(world: &'a World, seed: u64, created: Timestamp) -> Self {
        let first = alert_v2_revision(seed, created, created, 0);
        let number = world.tenant.emit(Endpoint::AlertsV2, first.clone()).unwrap();
        Self { world, seed, created, number, versions: vec![first] }
    }

    /// It is updated at this instant; the same revision means that nothing else changes.
    fn update(&mut self, updated: Timestamp, revision: u32) {
        let text = alert_v2_revision(self.seed, self.created, updated, revision);
        self.world.tenant.update(Endpoint::AlertsV2, self.number, text.clone()).unwrap();
        self.versions.push(text);
    }
}

/// The arrived versions of an alert, in order.
fn arrived(world: &World, of: &str) -> Vec<Value> {
    let id = serde_json::from_str::<Value>(of).unwrap()["id"].clone();
    world.records().iter().map(|arrival| arrival.json()).filter(|record| record["id"] == id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_moves_three_hundred_times_without_a_change_is_delivered_once() {
    let world = world().await;
    let created = ago(SignedDuration::from_mins(20));
    let mut moving = Worked::new(&world, 1, created);
    let others: Vec<String> = (10..14)
        .map(|seed| world.emit(seed, created + SignedDuration::from_secs(seed.cast_signed() * 40)))
        .collect();
    let process = world.process().await;
    let mut delivered = 0;
    for step in 1..=MOVES {
        let answer = world.invoke(&process, &json!({"force": true}), AMPLE).await.answer();
        assert_eq!(answer["status"], "up_to_date", "{answer}");
        delivered += answer["delivered"].as_u64().unwrap();
        moving.update(created + SignedDuration::from_secs(step), 0);
    }
    assert_eq!(moving.versions.len() as i64, MOVES + 1);
    // A process that remembers nothing reads what the first one knew.
    assert_eq!(world.force().await["delivered"], 0);
    assert_eq!(delivered, 5, "the one that moves, and four that rest");
    let expected: Vec<String> = moving.versions[..1].iter().chain(&others).cloned().collect();
    assert_arrived(&world, &expected);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_changes_five_times_is_delivered_six_times_in_all() {
    let world = world().await;
    let created = ago(SignedDuration::from_mins(30));
    let mut changing = Worked::new(&world, 1, created);
    let mut wanted = vec![changing.versions[0].clone()];
    for revision in 1..=5_u32 {
        assert_eq!(world.force().await["delivered"], 1, "revision {}", revision - 1);
        let updated = created + SignedDuration::from_mins(i64::from(revision) * 4);
        changing.update(updated, revision);
        wanted.extend(changing.versions.last().cloned());
        assert_eq!(world.force().await["delivered"], 1, "revision {revision}");
        // It moves on, and nothing else.
        changing.update(updated + SignedDuration::from_mins(1), revision);
        assert_eq!(world.force().await["delivered"], 0);
        changing.update(updated + SignedDuration::from_mins(2), revision);
        if revision < 5 {
            // The next round begins with one delivery of its own.
            let neighbour = u64::from(revision) + 100;
            wanted.push(world.emit(neighbour, updated + SignedDuration::from_mins(1)));
        }
    }
    assert_eq!(arrived(&world, &wanted[0]).len(), 6);
    assert_arrived(&world, &wanted);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_changes_back_is_delivered_again_by_whatever_process() {
    let revisions = [0_u32, 1, 0];
    for is_warm in [false, true] {
        let world = world().await;
        let created = ago(SignedDuration::from_mins(30));
        let mut changing = Worked::new(&world, 1, created);
        let process = world.process().await;
        for (round, revision) in (0_i64..).zip(revisions) {
            if round > 0 {
                changing.update(created + SignedDuration::from_mins(round * 5), revision);
            }
            for expected in [1, 0] {
                let answer = match is_warm {
                    true => world.invoke(&process, &json!({"force": true}), AMPLE).await.answer(),
                    false => world.force().await,
                };
                assert_eq!(answer["delivered"], expected, "round {round}, warm {is_warm}: {answer}");
            }
        }
        let statuses: Vec<Value> =
            arrived(&world, &changing.versions[0]).iter().map(|record| record["status"].clone()).collect();
        assert_eq!(statuses, ["new", "inProgress", "new"], "warm {is_warm}");
        assert_arrived(&world, &changing.versions);
        world.close().await;
    }
}

/// A tenant whose pages are short, whatever is asked.
fn clamped(clamped_page: ClampedPage, deepest_skip: usize) -> TenantConfig {
    TenantConfig {
        page_size: PageSize { default: 3, maximum: 3 },
        security: SecurityConfig { clamped_page, deepest_skip, ..SecurityConfig::default() },
        ..TenantConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_alert_is_lost_to_clamped_pages_equal_instants_and_links_that_end() {
    // How many alerts share an instant; a page holds three. Where a whole page has one instant, only a link leads on, and
    // it may count as far as the instant's alerts reach.
    let plays = [
        (ClampedPage::HasNext, 10_000, 7),
        (ClampedPage::HasNext, 10_000, 40),
        (ClampedPage::HasNext, 3, 5),
        (ClampedPage::HasNext, 0, 2),
        (ClampedPage::HasNext, 0, 1),
        (ClampedPage::LacksNext, 10_000, 2),
        (ClampedPage::LacksNext, 0, 2),
        (ClampedPage::LacksNext, 0, 1),
    ];
    join_all(plays.map(|(clamped_page, deepest_skip, ties)| async move {
        let play = format!("{clamped_page:?}, $skip up to {deepest_skip}, {ties} of one instant");
        let world = World::with(service(FUNCTION), clamped(clamped_page, deepest_skip)).await;
        let newest = ago(SignedDuration::from_mins(5));
        let time = |seed: u64| newest - SignedDuration::from_mins(10 * (seed / ties).cast_signed());
        let mut emitted: Vec<String> = (0..40).map(|seed| world.emit(seed, time(seed))).collect();
        let first = world.tick().await;
        assert_eq!((&first["status"], &first["delivered"]), (&json!("up_to_date"), &json!(40)), "{play}");
        assert_arrived(&world, &emitted);
        emitted.push(world.emit(100, ago(SignedDuration::from_secs(20))));
        let second = world.force().await;
        assert_eq!((&second["status"], &second["delivered"]), (&json!("up_to_date"), &json!(1)), "{play}");
        assert_arrived(&world, &emitted);

        let asked: Vec<_> = world
            .tenant
            .requests()
            .into_iter()
            .filter(|seen| seen.addressee == Addressee::Graph(Endpoint::AlertsV2))
            .collect();
        assert!(asked.iter().all(|seen| seen.status == Some(200)), "{play}: something was refused");
        let skips = asked.iter().filter(|seen| seen.option("$skip").is_some()).count();
        assert_eq!(skips > 0, ties > 2, "{play}: {skips} links followed");
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_that_move_while_pages_are_read_are_neither_lost_nor_sent_twice() {
    let world = World::with(service(FUNCTION), clamped(ClampedPage::HasNext, 0)).await;
    let oldest = ago(SignedDuration::from_mins(60));
    let created = move |seed: u64| oldest + SignedDuration::from_mins(seed.cast_signed());
    let (tenant, mut numbers, mut emitted) = (world.tenant.clone(), BTreeMap::new(), Vec::new());
    for seed in 0..40 {
        let record = alert_v2_revision(seed, created(seed), created(seed), 0);
        numbers.insert(seed, tenant.emit(Endpoint::AlertsV2, record.clone()).unwrap());
        emitted.push(record);
    }
    // With each page one of the first ones is updated, and lies behind the last one from then on: rows that are counted
    // would slip by one.
    world.tenant.on_request(move |seen| {
        let seed = seen.nth;
        if seen.addressee == Addressee::Graph(Endpoint::AlertsV2) && seed < 12 {
            let updated = created(45) + SignedDuration::from_secs(seed.cast_signed());
            let moved = alert_v2_revision(seed, created(seed), updated, 0);
            tenant.update(Endpoint::AlertsV2, numbers[&seed], moved).unwrap();
        }
    });
    let first = world.tick().await;
    assert_eq!((&first["status"], &first["delivered"]), (&json!("up_to_date"), &json!(40)), "{first}");
    world.tenant.on_request(|_| {});
    assert_answer(&world.force().await, FUNCTION, 0);
    // Which version of those that moved came is a matter of when they were read; that each came once is not.
    let ids = |texts: &[Value]| {
        let mut ids: Vec<String> = texts.iter().map(|record| record["id"].to_string()).collect();
        ids.sort_unstable();
        ids
    };
    let came: Vec<Value> = world.records().iter().map(|arrival| arrival.json()).collect();
    let wanted: Vec<Value> = emitted.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(ids(&came), ids(&wanted));
    world.close().await;
}
