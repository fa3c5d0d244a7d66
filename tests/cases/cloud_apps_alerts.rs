//! Alerts of Cloud Apps: one that is resolved comes again, however long ago it was triggered, and no other one does.
//!
//! There is no filter on changes, so each window is asked for twice: by the instant of the alert and by that of its
//! resolution. Only the first of the two moves the position.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::records::{cloud_apps_alert_resolved, cloud_apps_record};
use simulator::tenant::{Addressee, BeyondDeepest, CloudAppsConfig, CloudAppsList, CloudAppsOrder};

use crate::world::chance::Chance;
use crate::world::cloud_apps_lists::{emit, pages, short_pages, time_of, world};
use crate::world::cloud_apps_plays::{
    Filled, assert_versions, is_told, pages_since, ticks_to_the_end, warnings,
};
use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::process::Process;
use crate::world::{AMPLE, World, ago};

const FUNCTION: &str = "cloud-apps-alerts";
const ALERTS: CloudAppsList = CloudAppsList::Alerts;
/// What lies beyond the deepest row.
const MANNERS: [BeyondDeepest; 3] = [BeyondDeepest::Refused, BeyondDeepest::Empty, BeyondDeepest::Rows];
/// More than `skip` reaches.
const MANY: usize = 6_000;
/// Ticks in which nothing is new.
const QUIET_TICKS: usize = 7;

fn mins(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

fn days(count: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * count)
}

/// A world that starts half a year ago, nearly.
async fn long_world() -> World {
    let world = world(FUNCTION, short_pages()).await;
    world.configure(&json!({"start_time_in_utc": ago(days(170)).to_string()}));
    world
}

async fn forced(world: &World, process: &Process) -> Value {
    world.invoke(process, &json!({"force": true}), AMPLE).await.answer()
}

/// An alert as it is in the list.
struct Alert {
    seed: u64,
    time: Timestamp,
    number: u64,
}

impl Alert {
    fn emitted(world: &World, seed: u64, time: Timestamp, sent: &mut Vec<String>) -> Self {
        let text = cloud_apps_record(ALERTS, seed, time);
        sent.push(text.clone());
        Self { seed, time, number: world.tenant.emit_cloud_apps(ALERTS, text).unwrap() }
    }

    fn resolve(&self, world: &World, at: Timestamp, revision: u32) -> String {
        let text = cloud_apps_alert_resolved(self.seed, self.time, at, revision);
        world.tenant.update_cloud_apps(ALERTS, self.number, text.clone()).unwrap();
        text
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_is_resolved_comes_again_whether_it_is_minutes_days_or_months_old() {
    let world = long_world().await;
    let ages = [mins(5), mins(50), days(1), days(6), days(8), days(40), days(160)];
    let mut sent = Vec::new();
    let alerts: Vec<Alert> = ages
        .into_iter()
        .zip(1..)
        .map(|(age, seed)| Alert::emitted(&world, seed, ago(age), &mut sent))
        .collect();
    let count = alerts.len() as u64;
    let first = world.tick().await;
    assert_answer(&first, FUNCTION, count);
    let newest = first["last_event_time_in_utc"].clone();
    assert_eq!(newest, alerts[0].time.to_string(), "{first}");
    let process = world.process().await;
    for (round, revision) in [(0, 0), (1, 1)] {
        // A second time they are resolved otherwise, some at the same instant.
        for alert in &alerts {
            let at = if alert.seed % 2 == 0 { ago(mins(3)) } else { ago(mins(3 - round)) };
            sent.push(alert.resolve(&world, at, revision));
        }
        let resolved = world.force().await;
        assert_answer(&resolved, FUNCTION, count);
        // It begins an hour before the newest alert and not before the oldest.
        assert_eq!(resolved["window"]["from"], (alerts[0].time - mins(60)).to_string(), "{resolved}");
        assert_eq!(
            (&resolved["last_event_time_in_utc"], &resolved["windows"]),
            (&newest, &json!(1)),
            "{resolved}"
        );
        for again in [world.force().await, forced(&world, &process).await, forced(&world, &process).await] {
            assert_answer(&again, FUNCTION, 0);
            assert!(again["duplicates"].as_u64() >= Some(count), "they are met again: {again}");
            assert_eq!(again["last_event_time_in_utc"], newest, "{again}");
        }
    }
    assert_arrived(&world, &sent);
    process.ask_to_end();
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_from_before_the_start_comes_once_it_is_resolved() {
    let world = world(FUNCTION, short_pages()).await;
    let (mut never_sent, mut sent) = (Vec::new(), vec![]);
    let old = Alert::emitted(&world, 1, ago(days(90)), &mut never_sent);
    let fresh = Alert::emitted(&world, 2, ago(mins(30)), &mut sent);
    assert_answer(&world.tick().await, FUNCTION, 1);
    sent.push(old.resolve(&world, ago(mins(1)), 0));
    let resolved = world.force().await;
    assert_answer(&resolved, FUNCTION, 1);
    assert_eq!(resolved["last_event_time_in_utc"], fresh.time.to_string());
    assert_answer(&world.force().await, FUNCTION, 0);
    assert_arrived(&world, &sent);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resolution_that_comes_to_light_hours_later_is_found_by_the_late_sweep() {
    let world = world(FUNCTION, short_pages()).await;
    world.configure(&json!({
        "start_time_in_utc": ago(days(100)).to_string(),
        "late_sweep_period_in_seconds": 1, "late_sweep_range_in_seconds": 86_400,
    }));
    let mut sent = Vec::new();
    let old = Alert::emitted(&world, 1, ago(days(60)), &mut sent);
    Alert::emitted(&world, 2, ago(mins(2)), &mut sent);
    assert_answer(&world.tick().await, FUNCTION, 2);
    sent.push(old.resolve(&world, ago(mins(300)), 0));
    let mut late = 0;
    for _ in 0..50 {
        let answer = world.force().await;
        late += answer["late"].as_u64().unwrap();
        assert_eq!(answer["late"], answer["delivered"], "{answer}");
        if late > 0 {
            break;
        }
    }
    assert_eq!(late, 1);
    assert_arrived(&world, &sent);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_that_are_resolved_while_their_window_is_read_arrive_as_they_became() {
    let chance = Chance::seeded();
    join_all((0..4).map(|number| {
        let mut chance = chance.fork(number);
        async move {
            let world = world(FUNCTION, short_pages()).await;
            let (mut last, mut alerts) = (Vec::new(), Vec::new());
            for seed in 0..30 {
                alerts.push(Alert::emitted(&world, seed, time_of(seed), &mut last));
            }
            let chosen: Vec<usize> = (0..12).map(|_| usize::try_from(chance.below(30)).unwrap()).collect();
            let all: BTreeSet<String> = last.iter().cloned().collect();
            let state = Arc::new(Mutex::new((last, all)));
            let (tenant, shared) = (world.tenant.clone(), Arc::clone(&state));
            world.tenant.on_request(move |seen| {
                let nth = usize::try_from(seen.nth).unwrap();
                let Some(index) =
                    chosen.get(nth - 1).filter(|_| seen.addressee == Addressee::CloudApps(ALERTS))
                else {
                    return;
                };
                let alert = &alerts[*index];
                let revision = u32::try_from(nth).unwrap();
                let text = cloud_apps_alert_resolved(alert.seed, alert.time, Timestamp::now(), revision);
                tenant.update_cloud_apps(ALERTS, alert.number, text.clone()).unwrap();
                let (last, all) = &mut *shared.lock().unwrap();
                last[*index] = text.clone();
                all.insert(text);
            });
            world.tick().await;
            ticks_to_the_end(&world).await;
            world.tenant.on_request(|_| {});
            {
                let (last, all) = &*state.lock().unwrap();
                assert!(all.len() > 35, "nothing was resolved on the way");
                assert_versions(&world, last, all);
            }
            world.close().await;
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unchanged_alerts_come_once_however_often_and_by_whomever_they_are_read() {
    let world = world(FUNCTION, short_pages()).await;
    let mut emitted = emit(&world);
    for seed in 100..110_u64 {
        let time = ago(days(seed.cast_signed() - 98));
        let text = cloud_apps_alert_resolved(seed, time, ago(mins(20)), 0);
        world.tenant.emit_cloud_apps(ALERTS, text.clone()).unwrap();
        emitted.push(text);
    }
    assert_answer(&world.tick().await, FUNCTION, emitted.len() as u64);
    let process = world.process().await;
    for _ in 0..QUIET_TICKS {
        assert_answer(&forced(&world, &process).await, FUNCTION, 0);
        assert_answer(&world.force().await, FUNCTION, 0);
    }
    assert_arrived(&world, &emitted);
    process.ask_to_end();
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_alerts_in_a_window_than_can_be_counted_through_arrive_each_once() {
    join_all(MANNERS.map(|beyond_deepest| async move {
        let config = CloudAppsConfig { beyond_deepest, ..CloudAppsConfig::default() };
        // Half of them in one busy hour.
        let newest = ago(mins(2));
        let make = move |index: usize| {
            let seconds = if index.is_multiple_of(2) { index / 2 } else { 13 * index };
            let time = newest - SignedDuration::from_millis(1_003) * i32::try_from(seconds).unwrap();
            cloud_apps_record(ALERTS, index as u64, time)
        };
        let Filled { world, counted, receiver: _kept, .. } = Filled::with(FUNCTION, config, MANY, make).await;
        let answer = world.tick().await;
        assert_answer(&answer, FUNCTION, MANY as u64);
        assert!(warnings(&answer).is_empty(), "{answer}");
        counted.assert_once((0..MANY).map(make));
        let first = pages(&world).len();
        println!("{beyond_deepest:?}: {first} pages for {MANY} alerts");
        assert!(first <= MANY / 20, "{first} pages");
        assert_answer(&world.force().await, FUNCTION, 0);
        assert!(pages_since(&world, first) <= first, "an hour needs no more than the day");
        assert_eq!(counted.arrived(), 0);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_thousands_of_alerts_in_one_millisecond_all_come_that_the_api_gives_and_the_rest_is_told() {
    // Exactly as many as can be reached, and more.
    let full = MANNERS.map(|manner| (manner, 5_000, 5_000));
    let many =
        MANNERS.map(|manner| (manner, MANY, if manner == BeyondDeepest::Rows { MANY as u64 } else { 5_000 }));
    join_all([full, many].concat().into_iter().map(|(beyond_deepest, count, reachable)| async move {
        let config = CloudAppsConfig { beyond_deepest, ..CloudAppsConfig::default() };
        let time = ago(mins(10)) + SignedDuration::from_millis(417);
        let make = move |index: usize| {
            // The smallest alert that there can be: what matters is their number.
            format!("{{\"_id\":\"{index:024x}\",\"timestamp\":{},\"entities\":[]}}", time.as_millisecond())
        };
        let Filled { world, counted, receiver: _kept, devo } =
            Filled::with(FUNCTION, config, count, make).await;
        // A short window: its millisecond is found in few steps.
        let start = json!({"start_time_in_utc": ago(mins(15)).to_string()});
        world.store_secrets(&world.document_with(&start), &devo);
        let (mut delivered, mut told, mut answer) = (0, false, json!({"status": "more"}));
        while answer["status"] == "more" {
            answer = world.force().await;
            delivered += answer["delivered"].as_u64().unwrap();
            told |= is_told(&answer);
        }
        let what = format!("{beyond_deepest:?} {count}: {answer}");
        assert_eq!((&answer["status"], delivered), (&json!("up_to_date"), reachable), "{what}");
        assert_eq!(told, reachable < count as u64, "{what}");
        assert_eq!(counted.arrived(), reachable, "{what}");
        // A millisecond is found in a few steps of at most 64 parts.
        assert!(pages(&world).len() <= count / 95 + 6 * 64, "{} pages: {what}", pages(&world).len());
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_that_were_triggered_at_once_and_resolved_at_once_come_although_each_span_around_them_shows_the_same_page()
 {
    let orders = [CloudAppsOrder::Newest, CloudAppsOrder::Inserted];
    let plays = [101, 130, 300].into_iter().flat_map(|count| orders.map(|order| (count, order)));
    join_all(plays.map(|(count, order)| async move {
        let world = world(FUNCTION, CloudAppsConfig { order, ..CloudAppsConfig::default() }).await;
        world.configure(&json!({"start_time_in_utc": ago(days(6)).to_string()}));
        // The middle of the window, which is an end of two of its parts.
        let (time, resolved_at) = (ago(days(3)), ago(mins(500)) + SignedDuration::from_millis(77));
        let emitted: Vec<String> =
            (0..count).map(|seed| cloud_apps_alert_resolved(seed, time, resolved_at, 0)).collect();
        for text in &emitted {
            world.tenant.emit_cloud_apps(ALERTS, text.clone()).unwrap();
        }
        let answer = world.tick().await;
        assert_answer(&answer, FUNCTION, count);
        assert!(warnings(&answer).is_empty(), "{count} {order:?}: {answer}");
        println!("{count} at once: {} pages", pages(&world).len());
        assert!(pages(&world).len() <= 300, "{count} {order:?}: {} pages", pages(&world).len());
        assert_arrived(&world, &emitted);
        world.close().await;
    }))
    .await;
}
