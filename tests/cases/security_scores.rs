//! Secure scores, a record a day that may come late and be revised, and control profiles, a list without a time.

use futures::future::join_all;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::records::{control_profile, secure_score};
use simulator::tenant::{Addressee, Endpoint, PageSize, TenantConfig};

use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::process::LOOK_EVERY;
use crate::world::{AMPLE, World, ago, contract, now, service};

const SCORES: &str = "graph-secure-scores";
const PROFILES: &str = "graph-secure-score-control-profiles";
/// Days that the API holds.
const DAYS: i64 = 90;
const CONTROLS: u64 = 25;

async fn world(function: &str, rows: usize) -> World {
    let page_size = PageSize { default: rows, maximum: rows };
    World::with(service(function), TenantConfig { page_size, ..TenantConfig::default() }).await
}

fn arrived(world: &World) -> Vec<String> {
    let mut records: Vec<String> =
        world.records().iter().map(|arrival| contract::record_of(&arrival.message)).collect();
    records.sort_unstable();
    records
}

fn sorted(mut records: Vec<String>) -> Vec<String> {
    records.sort_unstable();
    records
}

/// Emits the score of a day, as its first reading or another one; gives its number and text.
fn emit_score(world: &World, reading: u64, time: Timestamp) -> (u64, String) {
    let record = secure_score(reading, time);
    (world.tenant.emit(Endpoint::SecureScores, record.clone()).unwrap(), record)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninety_days_are_sent_once_and_a_day_that_is_revised_or_comes_late_is_sent_when_it_does() {
    join_all([1000, 20].map(|rows| async move {
        let world = world(SCORES, rows).await;
        let base = now() - SignedDuration::from_secs(30);
        let day = |number: i64| base - SignedDuration::from_hours(24 * number);
        let start = day(DAYS - 1).to_string();
        world.configure(&json!({"start_time_in_utc": start}));
        let late = [3, 40, 88];
        let mut numbers = Vec::new();
        let mut emitted = Vec::new();
        for number in (0..DAYS).filter(|number| !late.contains(number)) {
            let (at, record) = emit_score(&world, number.unsigned_abs(), day(number));
            numbers.push((number, at));
            emitted.push(record);
        }
        let first = world.tick().await;
        assert_answer(&first, SCORES, emitted.len() as u64);
        assert_eq!(first["warnings"], json!([]), "{first}");
        assert_answer(&world.force().await, SCORES, 0);
        assert_arrived(&world, &emitted);

        // Days that come late, between those that were there.
        for number in late {
            emitted.push(emit_score(&world, 500, day(number)).1);
        }
        assert_answer(&world.force().await, SCORES, 3);
        // Days that are revised, one of them twice.
        for (at, reading) in [(0, 701), (50, 702), (50, 703), (80, 704)] {
            let (number, record_number) = numbers[at];
            let revised = secure_score(reading, day(number));
            world.tenant.update(Endpoint::SecureScores, record_number, revised.clone()).unwrap();
            emitted.push(revised);
            assert_answer(&world.force().await, SCORES, 1);
        }
        assert_answer(&world.force().await, SCORES, 0);
        assert_arrived(&world, &emitted);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_start_only_the_days_since_yesterday_are_asked_for() {
    for rows in [1000, 1] {
        let world = world(SCORES, rows).await;
        let emitted: Vec<String> = (0..DAYS)
            .map(|number| emit_score(&world, 1, ago(SignedDuration::from_hours(24 * number + 1))).1)
            .collect();
        let answer = world.tick().await;
        assert_eq!(answer["status"], "up_to_date", "{answer}");
        let delivered = usize::try_from(answer["delivered"].as_u64().unwrap()).unwrap();
        // The day before yesterday's end belongs to the days that were asked for, or it does not.
        assert!((1..=2).contains(&delivered), "{rows} rows: {answer}");
        assert_arrived(&world, &emitted[..delivered]);
        let asked = world.tenant.requests();
        let top = asked.iter().find_map(|seen| seen.option("$top")).unwrap().to_owned();
        assert_eq!(top, "2", "from yesterday to today");
        assert!(asked.iter().filter(|seen| seen.addressee != Addressee::Login).count() <= 3, "{rows} rows");
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_before_the_days_that_are_held_is_moved_and_the_gap_named() {
    let world = world(SCORES, 1000).await;
    let start = ago(SignedDuration::from_hours(24 * 200));
    world.configure(&json!({"start_time_in_utc": start.to_string()}));
    let emitted: Vec<String> = (0..DAYS)
        .map(|number| emit_score(&world, 1, ago(SignedDuration::from_hours(24 * number + 1))).1)
        .collect();
    let answer = world.tick().await;
    assert_eq!((&answer["status"], &answer["delivered"]), (&json!("up_to_date"), &json!(DAYS)), "{answer}");
    assert!(answer["warnings"].to_string().contains(&start.strftime("%Y-%m-%d").to_string()), "{answer}");
    assert_arrived(&world, &emitted);
    world.close().await;
}

/// Emits the profiles; gives their numbers and texts.
fn emit_profiles(world: &World) -> Vec<(u64, String)> {
    let emit = |seed: u64| {
        let record = control_profile(seed, ago(SignedDuration::from_hours(5)));
        (world.tenant.emit(Endpoint::ControlProfiles, record.clone()).unwrap(), record)
    };
    (0..CONTROLS).map(emit).collect()
}

/// The same control with a word put before its title.
fn changed(record: &str, word: &str) -> String {
    let text = record.replacen("\"title\":\"", &format!("\"title\":\"{word} "), 1);
    assert_ne!(text, record);
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_whole_list_only_what_is_new_or_changed_is_sent_again_also_what_changed_back() {
    let world = world(PROFILES, 10).await;
    world.configure(&json!({"snapshot_mode": "changes"}));
    let profiles = emit_profiles(&world);
    let mut sent: Vec<String> = profiles.iter().map(|(_, record)| record.clone()).collect();
    assert_answer(&world.tick().await, PROFILES, CONTROLS);
    assert_eq!(world.tick().await["status"], "not_due", "its period has not passed");
    assert_answer(&world.force().await, PROFILES, 0);

    let (number, first) = &profiles[7];
    for text in [changed(first, "Another"), first.clone(), changed(first, "A third")] {
        world.tenant.replace(Endpoint::ControlProfiles, *number, text.clone()).unwrap();
        sent.push(text);
        for expected in [1, 0] {
            assert_answer(&world.force().await, PROFILES, expected);
        }
    }
    // One more control.
    sent.push(world.emit(90, ago(SignedDuration::from_hours(1))));
    assert_answer(&world.force().await, PROFILES, 1);
    assert_eq!(arrived(&world), sorted(sent));
    world.close().await;
}

/// Lists are told apart by the second in which they were begun.
async fn next_second() {
    let began = Timestamp::now().as_second();
    while Timestamp::now().as_second() == began {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_sent_whole_each_time_or_once_a_day_as_the_operator_wishes() {
    for (mode, again) in [(json!("always"), CONTROLS), (json!("daily"), 0), (Value::Null, 0)] {
        // The day may end between two pulls: then the second one is the first of another day.
        let day = || Timestamp::now().to_zoned(TimeZone::UTC).date();
        loop {
            let (world, began) = (world(PROFILES, 10).await, day());
            if !mode.is_null() {
                world.configure(&json!({"snapshot_mode": mode}));
            }
            let profiles: Vec<String> = emit_profiles(&world).into_iter().map(|(_, record)| record).collect();
            let process = world.process().await;
            let mut delivered = Vec::new();
            for event in [json!({}), json!({"force": true}), json!({"force": true})] {
                next_second().await;
                let answer = world.invoke(&process, &event, AMPLE).await.answer();
                assert_eq!(
                    (&answer["status"], &answer["received"]),
                    (&json!("up_to_date"), &json!(CONTROLS))
                );
                delivered.push(answer["delivered"].as_u64().unwrap());
            }
            let records = arrived(&world);
            world.close().await;
            if day() != began {
                continue;
            }
            assert_eq!(delivered, [CONTROLS, again, again], "{mode}");
            let copies = if again == 0 { 1 } else { 3 };
            let expected: Vec<String> = std::iter::repeat_n(profiles, copies).flatten().collect();
            assert_eq!(records, sorted(expected), "{mode}");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_has_no_start_and_no_past() {
    let world = world(PROFILES, 10).await;
    let start = ago(SignedDuration::from_hours(50)).to_string();
    world.configure(&json!({"snapshot_mode": "changes", "start_time_in_utc": start}));
    let profiles: Vec<String> = emit_profiles(&world).into_iter().map(|(_, record)| record).collect();
    let answer = world.tick().await;
    assert_answer(&answer, PROFILES, CONTROLS);
    let told = answer["warnings"].as_array().unwrap();
    assert!(told.len() == 1 && told[0].as_str().unwrap().contains("start_time_in_utc"), "{told:?}");
    assert_eq!(world.tick().await["status"], "not_due");

    let backfill = json!({"backfill": {
        "start_time_in_utc": start, "end_time_in_utc": ago(SignedDuration::from_hours(40)).to_string(),
    }});
    let asked = world.tenant.requests().len();
    let error = world.once(&backfill).await.error();
    assert_eq!(error.error_type, "InitVariablesError", "{}", error.message);
    assert!(error.message.starts_with("[1] ") && error.message.contains("backfill"), "{}", error.message);
    assert_eq!(world.tenant.requests().len(), asked, "nothing is pulled");
    assert_arrived(&world, &profiles);
    world.close().await;
}
