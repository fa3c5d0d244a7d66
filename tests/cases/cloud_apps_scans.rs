//! Scans of activities that go wrong: nothing is lost, every walk ends, and who may miss something is told.
//!
//! The API leads on by filters that it gives. Where they are not there, the same as before, or dead, the window is read in
//! another way; where they lead to nothing but empty pages, the rest is owed and asked for with each cycle.

use std::collections::BTreeSet;

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::records::{activity_record, cloud_apps_record};
use simulator::tenant::{
    AnswerMember, CloudAppsConfig, CloudAppsList, CloudAppsOrder, Fault, FilterReading, PageKind, Rule,
    ScanLimit, ScanMishap,
};

use crate::world::chance::Chance;
use crate::world::cloud_apps_lists::{RECORDS, emit, pages, settings, short_pages, world};
use crate::world::cloud_apps_plays::{
    Filled, is_told, pages_since, ticks_to_the_end, warnings, with_requests,
};
use crate::world::crashes::{self, Place, arm, judge};
use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::process::Ended;
use crate::world::{AMPLE, World, ago};

const FUNCTION: &str = "cloud-apps-activities";
const ACTIVITIES: CloudAppsList = CloudAppsList::Activities;
/// A walk over a few records needs no more requests than so many, whatever goes wrong.
const MOST_REQUESTS: usize = 60;

/// What goes wrong from that page on.
fn mishaps(from_page: u64) -> [ScanMishap; 3] {
    [
        ScanMishap::NextFiltersMissing { from_page },
        ScanMishap::SameNextFilters { from_page },
        ScanMishap::EmptyPages { from_page },
    ]
}

async fn world_with(scan_mishap: ScanMishap, order: CloudAppsOrder) -> World {
    world(FUNCTION, CloudAppsConfig { scan_mishap, order, ..short_pages() }).await
}

fn mend(world: &World) {
    world.tenant.change_cloud_apps(|config| {
        config.scan_mishap = ScanMishap::None;
        config.filters = FilterReading::Honoured;
        config.scan_limit = ScanLimit::Clamped;
    });
    world.tenant.script(Vec::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_that_does_not_lead_on_from_any_of_its_pages_loses_nothing() {
    let orders = [CloudAppsOrder::Newest, CloudAppsOrder::Shuffled { seed: 2 }];
    let plays = (1..=3).flat_map(mishaps).flat_map(|mishap| orders.map(|order| (mishap, order)));
    join_all(plays.map(|(mishap, order)| async move {
        let world = world_with(mishap, order).await;
        let emitted = emit(&world);
        let first = world.tick().await;
        assert_eq!(first["status"], "up_to_date", "{mishap:?}: {first}");
        assert!(pages(&world).len() <= MOST_REQUESTS, "{mishap:?} {order:?}: {} pages", pages(&world).len());
        let is_whole = first["delivered"] == RECORDS;
        assert_ne!(is_whole, is_told(&first), "{mishap:?} {order:?}: {first}");
        assert_eq!(is_whole, !matches!(mishap, ScanMishap::EmptyPages { .. }), "{mishap:?}: {first}");
        // As long as it lasts, each tick ends and says so, and repeats nothing.
        let before = pages(&world).len();
        let second = world.force().await;
        assert_answer(&second, FUNCTION, 0);
        assert_eq!(is_told(&second), !is_whole, "{mishap:?} {order:?}: {second}");
        assert!(pages_since(&world, before) <= MOST_REQUESTS, "{mishap:?} {order:?}");
        mend(&world);
        let rest = world.force().await;
        assert_answer(&rest, FUNCTION, RECORDS - first["delivered"].as_u64().unwrap());
        assert!(warnings(&rest).is_empty(), "{mishap:?}: {rest}");
        assert_arrived(&world, &emitted);
        assert_answer(&world.force().await, FUNCTION, 0);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_empty_pages_and_filters_that_lead_in_a_circle_for_once_hold_nothing_up() {
    let empty =
        |count| Rule::on_cloud_apps(ACTIVITIES, Fault::EmptyPageWithNext).page(PageKind::Next).first(count);
    let circle = |nth| Rule::on_cloud_apps(ACTIVITIES, Fault::LoopNextLink).nth(nth);
    let twice = Rule::on_cloud_apps(ACTIVITIES, Fault::DuplicateRecords);
    let scripts = [
        vec![empty(1)],
        vec![empty(4)],
        vec![circle(1)],
        vec![circle(3)],
        vec![circle(5), empty(2)],
        vec![twice],
    ];
    join_all(scripts.map(|script| async move {
        let world = world_with(ScanMishap::None, CloudAppsOrder::Newest).await;
        let emitted = emit(&world);
        world.tenant.script(script.clone());
        let answer = world.tick().await;
        assert_answer(&answer, FUNCTION, RECORDS);
        assert!(!is_told(&answer), "{script:?}: {answer}");
        assert!(pages(&world).len() <= MOST_REQUESTS, "{script:?}");
        assert_answer(&world.force().await, FUNCTION, 0);
        assert_arrived(&world, &emitted);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_without_filters_that_lead_on_and_without_a_count_is_read_in_parts_of_time() {
    let orders = [CloudAppsOrder::Newest, CloudAppsOrder::Oldest, CloudAppsOrder::Shuffled { seed: 8 }];
    let plays = orders.into_iter().zip(mishaps(2));
    let plays = plays.filter(|(_, mishap)| !matches!(mishap, ScanMishap::EmptyPages { .. }));
    join_all(plays.map(|(order, scan_mishap)| async move {
        let config = CloudAppsConfig {
            scan_mishap,
            order,
            largest_scan: 500,
            absent: vec![AnswerMember::Total, AnswerMember::MoreThanTotal],
            ..CloudAppsConfig::default()
        };
        // More on one millisecond than a page of a scan has: that is read by number.
        let newest = ago(SignedDuration::from_mins(3));
        let make = move |index: usize| {
            let millis = if index < 700 { 5 } else { index * 21_007 };
            let saved = newest - SignedDuration::from_millis(i64::try_from(millis).unwrap());
            activity_record(index as u64, saved, saved)
        };
        let Filled { world, counted, receiver: _kept, .. } =
            Filled::with(FUNCTION, config, 2_000, make).await;
        let answer = world.tick().await;
        assert_answer(&answer, FUNCTION, 2_000);
        assert!(!is_told(&answer), "{answer}");
        counted.assert_once((0..2_000).map(make));
        println!("{order:?}: {} pages for 2,000 activities", pages(&world).len());
        assert!(pages(&world).len() <= 200, "{} pages", pages(&world).len());
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_heeds_no_filter_is_read_to_an_end_and_nothing_comes_twice() {
    let plays = [ScanMishap::None].into_iter().chain((1..=2).flat_map(mishaps));
    join_all(plays.map(|scan_mishap| async move {
        let filters = FilterReading::Ignored;
        let world = world(FUNCTION, CloudAppsConfig { filters, scan_mishap, ..short_pages() }).await;
        let mut emitted = emit(&world);
        // Of the time before the start, most of all there is.
        let old =
            (100..150).map(|seed| world.emit(seed, ago(SignedDuration::from_hours(seed.cast_signed()))));
        let old: Vec<String> = old.collect();
        let first = world.tick().await;
        assert_eq!(first["status"], "up_to_date", "{scan_mishap:?}: {first}");
        assert!(pages(&world).len() <= MOST_REQUESTS, "{scan_mishap:?}: {} pages", pages(&world).len());
        let had = first["delivered"].as_u64().unwrap();
        let is_whole = had >= RECORDS;
        assert!(is_whole || is_told(&first), "{scan_mishap:?}: {had} and no word: {first}");
        assert!(is_whole || scan_mishap != ScanMishap::None, "{first}");
        mend(&world);
        ticks_to_the_end(&world).await;
        let came: BTreeSet<String> = world
            .records()
            .iter()
            .map(|arrival| crate::world::contract::record_of(&arrival.message))
            .collect();
        emitted.extend(old.into_iter().filter(|text| came.contains(text)));
        assert_arrived(&world, &emitted);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_whose_filters_died_begins_again_and_nothing_comes_twice() {
    let plays = [1, 2].into_iter().flat_map(|ticks| [400, 200].map(|status| (ticks, status)));
    join_all(plays.map(|(ticks, refused_filter_status)| async move {
        let world = world(FUNCTION, CloudAppsConfig { refused_filter_status, ..short_pages() }).await;
        // Two pages a tick.
        let usual = settings(ACTIVITIES);
        world.configure(&with_requests(&usual, 2));
        let emitted = emit(&world);
        for tick in 0..ticks {
            let left = world.force().await;
            assert_eq!(left["status"], "throttled", "{tick}: {left}");
            world.table.let_waits_pass().await;
        }
        let link = world.table.checkpoint().await.unwrap()["next_link"].clone();
        assert!(link.as_str().is_some_and(|link| link.contains("&filters=")), "{link}");
        world.tenant.expire_links();
        world.configure(&usual);
        let rest = world.force().await;
        assert_eq!((&rest["status"], &rest["failed"]), (&json!("up_to_date"), &json!(0)), "{rest}");
        let begins_again = |text: &String| text.contains("the window starts again");
        assert_eq!(warnings(&rest).iter().filter(|text| begins_again(text)).count(), 1, "{rest}");
        assert_arrived(&world, &emitted);
        assert_answer(&world.force().await, FUNCTION, 0);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_that_die_again_and_again_in_one_walk_are_asked_for_anew_as_often_as_that_is_of_use() {
    join_all([vec![2], vec![2, 5], vec![3, 4, 6]].map(|deaths| async move {
        let world = world_with(ScanMishap::None, CloudAppsOrder::Newest).await;
        let emitted = emit(&world);
        let death = |nth: &u64| Rule::on_cloud_apps(ACTIVITIES, Fault::ExpireLinks).nth(*nth);
        world.tenant.script(deaths.iter().map(death).collect());
        let answer = world.tick().await;
        assert_answer(&answer, FUNCTION, RECORDS);
        assert_arrived(&world, &emitted);
        assert!(pages(&world).len() <= MOST_REQUESTS, "{deaths:?}");
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_clamped_to_500_makes_more_pages_and_one_that_is_refused_is_told() {
    let newest = ago(SignedDuration::from_mins(3));
    let make = move |index: usize| {
        let saved = newest - SignedDuration::from_secs(30 * i64::try_from(index).unwrap());
        activity_record(index as u64, saved, saved)
    };
    let config = CloudAppsConfig { largest_scan: 500, ..CloudAppsConfig::default() };
    let Filled { world, counted, receiver: _kept, .. } =
        Filled::with(FUNCTION, config.clone(), 1_400, make).await;
    assert_answer(&world.tick().await, FUNCTION, 1_400);
    counted.assert_once((0..1_400).map(make));
    // 499, 499 and the rest: the last row of a page waits for those that may share its instant.
    assert_eq!(pages(&world).len(), 3);
    assert_eq!(pages(&world)[0].option("limit"), Some("2000"));
    world.close().await;

    let config = CloudAppsConfig { scan_limit: ScanLimit::Refused, ..config };
    let Filled { world, counted, receiver: _kept, .. } = Filled::with(FUNCTION, config, 1_400, make).await;
    let refused = world.once(&json!({})).await.error();
    let told = format!("{refused:?}");
    assert!(told.contains("PullError") && told.contains("limit is not valid"), "{told}");
    assert_eq!(pages(&world).len(), 1, "it is not asked for again: {told}");
    mend(&world);
    assert_answer(&world.force().await, FUNCTION, 1_400);
    counted.assert_once((0..1_400).map(make));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activities_that_are_listed_again_come_once_for_each_content() {
    let world = world_with(ScanMishap::None, CloudAppsOrder::Shuffled { seed: 4 }).await;
    let emitted = emit(&world);
    let again = |text: &String| world.tenant.emit_cloud_apps(ACTIVITIES, text.clone()).unwrap();
    emitted.iter().step_by(3).for_each(|text| {
        again(text);
    });
    let changed: Vec<String> = emitted
        .iter()
        .step_by(4)
        .map(|text| text.replace("\"confidenceLevel\":20", "\"confidenceLevel\":40"))
        .collect();
    changed.iter().for_each(|text| {
        again(text);
    });
    let all = [emitted.clone(), changed].concat();
    assert_answer(&world.tick().await, FUNCTION, all.len() as u64);
    // They are saved again without a change: the same text, and once with other white space.
    again(&emitted[0]);
    again(&emitted[0].replacen("\"adminEvent\":", "\"adminEvent\": ", 1));
    for _ in 0..3 {
        let quiet = world.force().await;
        assert_answer(&quiet, FUNCTION, 0);
        assert!(quiet["duplicates"].as_u64() >= Some(3), "{quiet}");
    }
    assert_arrived(&world, &all);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_killed_at_any_page_goes_on_where_the_last_commit_was() {
    let chance = Chance::seeded();
    let scans = [ScanMishap::None, mishaps(2)[0], mishaps(3)[1]];
    let plays = scans.into_iter().flat_map(|mishap| (1..=4).map(move |nth| (mishap, nth)));
    join_all(plays.zip(0..).map(|((mishap, nth), number)| {
        let mut chance = chance.fork(number);
        async move {
            let world = world_with(mishap, CloudAppsOrder::Newest).await;
            let emitted = emit(&world);
            let usual = settings(ACTIVITIES);
            world.configure(&with_requests(&usual, 1 + chance.below(3)));
            let mut answered = BTreeSet::new();
            let left = world.force().await;
            assert_eq!(left["status"], "throttled", "{mishap:?}: {left}");
            answered.extend(left["devo_pulling_id"].as_str().map(str::to_owned));
            world.configure(&usual);
            for place in [(Place::RequestToMicrosoft, 1 + nth), (Place::ByteToDevo, 1 + chance.below(9_000))]
            {
                world.table.let_leases_end().await;
                world.table.let_waits_pass().await;
                let victim = world.process().await;
                let armed = arm(&world, &victim, place.0, place.1);
                let ended = world.invoke(&victim, &json!({"force": true}), AMPLE).await;
                drop(armed);
                match ended {
                    Ended::Died => {}
                    Ended::Answer(answer) => {
                        answered.extend(answer["devo_pulling_id"].as_str().map(str::to_owned));
                    }
                    Ended::Error(error) => panic!("{mishap:?} {place:?}: {error:?}"),
                }
            }
            world.table.let_leases_end().await;
            crashes::finish(&world, &mut answered).await;
            judge(&world, &emitted, &answered);
            world.close().await;
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activities_that_are_listed_hours_after_they_were_saved_are_found_by_the_late_sweep() {
    join_all([ScanMishap::None, mishaps(1)[0]].map(|mishap| async move {
        let world = world_with(mishap, CloudAppsOrder::Newest).await;
        let mut sweeps = settings(ACTIVITIES);
        sweeps["late_sweep_period_in_seconds"] = json!(1);
        sweeps["late_sweep_range_in_seconds"] = json!(86_400);
        world.configure(&sweeps);
        let mut emitted = emit(&world);
        let first = world.tick().await;
        assert_answer(&first, FUNCTION, RECORDS);
        for (seed, hours) in [(200, 1), (201, 7), (202, 19)] {
            let text = cloud_apps_record(ACTIVITIES, seed, ago(SignedDuration::from_hours(hours)));
            world.tenant.emit_cloud_apps(ACTIVITIES, text.clone()).unwrap();
            emitted.push(text);
        }
        let mut late = 0;
        for _ in 0..50 {
            let answer: Value = world.force().await;
            assert_eq!(answer["late"], answer["delivered"], "{answer}");
            assert_eq!(answer["last_event_time_in_utc"], first["last_event_time_in_utc"], "{answer}");
            late += answer["late"].as_u64().unwrap();
            if late == 3 {
                break;
            }
        }
        assert_eq!(late, 3, "{mishap:?}");
        assert_arrived(&world, &emitted);
        world.close().await;
    }))
    .await;
}
