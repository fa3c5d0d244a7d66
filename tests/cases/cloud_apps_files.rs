//! Files of Cloud Apps: lists that take too long, and files that change while they are listed.
//!
//! A window that the API cannot answer in time is asked for in halves. A file that changes stands elsewhere from then on,
//! under its new instant: what was behind the place of reading moves before it or out of the window, and neither is lost.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::records::cloud_apps_record;
use simulator::tenant::{
    Addressee, BeyondDeepest, CloudAppsConfig, CloudAppsList, CloudAppsOrder, SlowFiles, TenantConfig,
};

use crate::world::chance::Chance;
use crate::world::cloud_apps_lists::{PAGE, pages, short_pages, time_of, world};
use crate::world::cloud_apps_plays::{
    Filled, assert_versions, is_told, pages_since, ticks_to_the_end, warnings,
};
use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::{World, ago, service};

const FUNCTION: &str = "cloud-apps-files";
const FILES: CloudAppsList = CloudAppsList::Files;
const MANY: usize = 6_000;

/// Emits files of the last hours, the newest a few minutes old.
fn emit_spread(world: &World, count: u64, hours: i64) -> Vec<String> {
    let span = SignedDuration::from_hours(hours) - SignedDuration::from_mins(10);
    (0..count)
        .map(|seed| {
            let age = SignedDuration::from_secs(span.as_secs() * seed.cast_signed() / count.cast_signed());
            world.emit(seed, ago(SignedDuration::from_mins(4) + age))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_that_the_api_cannot_answer_in_time_are_halved_until_it_can() {
    // Fewer rows than a page has, and more.
    join_all([5, 25, 120].map(|above| async move {
        let config = CloudAppsConfig { slow_files: SlowFiles::GatewayTimeout { above }, ..short_pages() };
        let world = world(FUNCTION, config).await;
        let emitted = emit_spread(&world, 200, 22);
        let answer = world.tick().await;
        assert_answer(&answer, FUNCTION, 200);
        let is_narrowed = |text: &String| text.contains("too heavy and is asked for in windows of");
        assert!(warnings(&answer).iter().any(is_narrowed), "{above}: {answer}");
        assert!(!is_told(&answer), "{above}: nothing is missing: {answer}");
        assert_arrived(&world, &emitted);
        let asked = pages(&world);
        let late = asked.iter().filter(|seen| seen.status == Some(504)).count();
        println!("above {above}: {} pages, {late} of them in vain", asked.len());
        assert!(late <= 3 + 2 * 200 / above && asked.len() <= 200, "{above}: {late} of {}", asked.len());
        assert_answer(&world.force().await, FUNCTION, 0);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_that_outlast_the_invocation_are_halved_by_the_next_one() {
    let slow_files = SlowFiles::Late { above: 40, by: Duration::from_secs(20) };
    let world = world(FUNCTION, CloudAppsConfig { slow_files, ..short_pages() }).await;
    world.configure(&json!({"start_time_in_utc": ago(SignedDuration::from_hours(4)).to_string()}));
    let emitted = emit_spread(&world, 70, 4);
    let process = world.process().await;
    let mut answers: Vec<Value> = Vec::new();
    while answers.last().is_none_or(|answer| answer["status"] != "up_to_date") {
        assert!(answers.len() < 12, "{answers:?}");
        let event = json!({"force": true});
        answers.push(world.invoke(&process, &event, Duration::from_secs(3)).await.answer());
    }
    assert_eq!(answers[0]["status"], "more", "{answers:?}");
    let is_narrowed =
        |answer: &Value| warnings(answer).iter().any(|text| text.contains("the next query is for"));
    assert!(answers.iter().any(is_narrowed), "{answers:?}");
    assert_arrived(&world, &emitted);
    process.ask_to_end();
    world.close().await;
}

/// Changes while the list is read.
const CHANGES: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_change_with_every_page_arrive_as_they_became_and_each_version_once() {
    let chance = Chance::seeded();
    let orders = [
        CloudAppsOrder::Newest,
        CloudAppsOrder::Oldest,
        CloudAppsOrder::Inserted,
        CloudAppsOrder::Shuffled { seed: 5 },
    ];
    let plays = orders.into_iter().flat_map(|order| [1, 3].map(|changes| (order, changes)));
    join_all(plays.zip(0..).map(|((order, changes), number)| {
        let mut chance = chance.fork(number);
        async move {
            let world = world(FUNCTION, CloudAppsConfig { order, ..short_pages() }).await;
            let last: Vec<String> =
                (0..40).map(|seed| cloud_apps_record(FILES, seed, time_of(seed % 30))).collect();
            let numbers: Vec<u64> =
                last.iter().map(|text| world.tenant.emit_cloud_apps(FILES, text.clone()).unwrap()).collect();
            let all: BTreeSet<String> = last.iter().cloned().collect();
            // Three of them change again and again.
            let chosen: Vec<u64> = (0..CHANGES as u64)
                .map(|draw| if draw % 4 == 0 { draw / 4 % 3 } else { chance.below(numbers.len() as u64) })
                .collect();
            let state = Arc::new(Mutex::new((last, all)));
            let (tenant, shared) = (world.tenant.clone(), Arc::clone(&state));
            world.tenant.on_request(move |seen| {
                let place = usize::try_from(seen.nth - 1).unwrap() * changes;
                let chosen = chosen.get(place..place + changes).unwrap_or_default();
                if seen.addressee != Addressee::CloudApps(FILES) {
                    return;
                }
                for (seed, nth) in chosen.iter().zip(0_i64..) {
                    let index = usize::try_from(*seed).unwrap();
                    let time = Timestamp::now() - SignedDuration::from_millis(nth);
                    let text = cloud_apps_record(FILES, *seed, time);
                    tenant.update_cloud_apps(FILES, numbers[index], text.clone()).unwrap();
                    let (last, all) = &mut *shared.lock().unwrap();
                    last[index] = text.clone();
                    all.insert(text);
                }
            });
            let first = world.tick().await;
            assert_eq!(first["status"], "up_to_date", "{order:?}: {first}");
            // A tick that delivers nothing may have been the one at which a file changed.
            while pages(&world).len() * changes < CHANGES {
                world.force().await;
            }
            world.tenant.on_request(|_| {});
            ticks_to_the_end(&world).await;
            {
                let (last, all) = &*state.lock().unwrap();
                assert!(all.len() > 45, "nothing changed on the way");
                assert_versions(&world, last, all);
            }
            assert!(pages(&world).len() < 300, "{order:?}: {} pages", pages(&world).len());
            world.close().await;
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_files_in_a_window_than_can_be_counted_through_arrive_each_once() {
    let manners = [BeyondDeepest::Refused, BeyondDeepest::Empty];
    let orders = [CloudAppsOrder::Newest, CloudAppsOrder::Shuffled { seed: 9 }];
    let plays = manners.into_iter().zip(orders);
    join_all(plays.map(|(beyond_deepest, order)| async move {
        let config = CloudAppsConfig { beyond_deepest, order, ..CloudAppsConfig::default() };
        let newest = ago(SignedDuration::from_mins(2));
        // A tenth of them was uploaded at one instant, and half in one busy hour.
        let make = move |index: usize| {
            let millis = match index {
                0..600 => 40_000,
                600..3_600 => index * 1_003,
                _ => 3_600_000 + (index - 3_600) * 31_013,
            };
            let age = SignedDuration::from_millis(i64::try_from(millis).unwrap());
            cloud_apps_record(FILES, index as u64, newest - age)
        };
        let Filled { world, counted, receiver: _kept, .. } = Filled::with(FUNCTION, config, MANY, make).await;
        let answer = world.tick().await;
        assert_answer(&answer, FUNCTION, MANY as u64);
        assert!(warnings(&answer).is_empty(), "{answer}");
        counted.assert_once((0..MANY).map(make));
        let first = pages(&world).len();
        println!("{beyond_deepest:?} {order:?}: {first} pages for {MANY} files");
        assert!(first <= MANY / 20, "{first} pages");
        assert_answer(&world.force().await, FUNCTION, 0);
        assert!(pages_since(&world, first) <= first, "a quarter of an hour needs no more than the day");
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pairs_of_number_and_name_stay_as_they_are_whatever_the_size_of_a_page() {
    let sizes = [1, PAGE, 100];
    join_all(sizes.map(|largest_page| async move {
        let cloud_apps = CloudAppsConfig { largest_page, ..CloudAppsConfig::default() };
        let config = TenantConfig { cloud_apps, ..TenantConfig::default() };
        let world = World::with(service(FUNCTION), config).await;
        let start = ago(SignedDuration::from_hours(24)).to_string();
        world.configure(&json!({"start_time_in_utc": start}));
        let emitted: Vec<String> = (0..12).map(|seed| world.emit(seed, time_of(seed))).collect();
        assert_answer(&world.tick().await, FUNCTION, 12);
        assert_arrived(&world, &emitted);
        let arrivals = world.records();
        for (member, pair) in [("fileType", "[5,\"IMAGE\"]"), ("fileStatus", "[0,\"EXISTS\"]")] {
            let written = format!("\"{member}\":{pair}");
            assert!(arrivals.iter().any(|arrival| arrival.message.contains(&written)), "{written}");
        }
        world.close().await;
    }))
    .await;
}
