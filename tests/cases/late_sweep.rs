//! What becomes available later than the look-back is found by the late sweep, and comes once. Sweeps of these worlds are
//! due a second after one another: the settings allow any period.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::world::feeds::records_of;
use crate::world::judge::assert_arrived;
use crate::world::{World, ago, service};

/// So many ticks are tried at the most; the first sweep is due at the second of them or soon after.
const MOST_TICKS: usize = 50;

fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

/// A world whose sweeps are due after this many seconds.
async fn world(function: &str, period: u32) -> World {
    let world = World::new(service(function)).await;
    world.configure(&json!({"late_sweep_period_in_seconds": period, "late_sweep_range_in_seconds": 86_400}));
    world
}

/// Ticks until one of them answers as wished.
async fn ticks_until(world: &World, is_wished: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..MOST_TICKS {
        let answer = world.force().await;
        assert_eq!((&answer["status"], &answer["failed"]), (&json!("up_to_date"), &json!(0)), "{answer}");
        if is_wished(&answer) {
            return answer;
        }
        assert_eq!((&answer["delivered"], &answer["late"]), (&json!(0), &json!(0)), "{answer}");
    }
    panic!("{MOST_TICKS} ticks answered otherwise");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_become_available_hours_late_come_once_and_are_counted_as_late() {
    let world = world("graph-directory-audits", 1).await;
    let mut emitted: Vec<String> =
        (1..20_i64).map(|hour| world.emit(hour.unsigned_abs(), ago(hours(hour)))).collect();
    emitted.push(world.emit(100, ago(SignedDuration::from_mins(2))));
    let first = world.tick().await;
    assert_eq!((&first["delivered"], &first["late"]), (&json!(20), &json!(0)), "{first}");
    assert_eq!(first["late_sweep_period_in_seconds"], Value::Null);

    let late = [(200, 5), (201, 11), (202, 20)];
    emitted.extend(late.map(|(seed, hour)| world.emit(seed, ago(hours(hour)))));
    let found = ticks_until(&world, |answer| answer["late"] != 0).await;
    assert_eq!(
        (&found["late"], &found["delivered"], &found["windows"]),
        (&json!(3), &json!(3), &json!(1)),
        "{found}"
    );
    assert_arrived(&world, &emitted);
    // The position is that of the newest record, and the next sweep finds nothing.
    assert_eq!(found["last_event_time_in_utc"], first["last_event_time_in_utc"]);
    ticks_until(&world, |answer| answer["late_sweep_period_in_seconds"].is_u64()).await;
    assert_arrived(&world, &emitted);
    let rows = world.table.rows().await;
    let booked: u64 = rows.iter().filter_map(|row| row["late"].as_u64()).sum();
    assert_eq!(booked, 3);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_is_listed_hours_late_is_fetched_once_and_nothing_else_is_fetched_again() {
    let world = world("office365-exchange", 1).await;
    let mut contents = world.emit_blobs(6, 4, hours(3));
    contents.push(world.emit_blob(ago(SignedDuration::from_mins(2)), 900..902));
    let first = world.tick().await;
    assert_eq!(first["delivered"], records_of(&contents).len(), "{first}");
    contents.push(world.emit_blob(ago(SignedDuration::from_mins(400)), 500..503));
    let found = ticks_until(&world, |answer| answer["late"] != 0).await;
    assert_eq!((&found["late"], &found["delivered"]), (&json!(3), &json!(3)), "{found}");
    ticks_until(&world, |answer| !answer["late_sweep_period_in_seconds"].is_null()).await;
    assert_arrived(&world, &records_of(&contents));
    assert!(world.fetched_otherwise_than(1, &contents).is_empty());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_again_with_a_period_of_zero() {
    let world = world("graph-directory-audits", 0).await;
    let emitted = vec![world.emit(1, ago(hours(9))), world.emit(2, ago(SignedDuration::from_mins(2)))];
    assert_eq!(world.tick().await["delivered"], 2);
    world.emit(3, ago(hours(5)));
    for _ in 0..4 {
        let answer = world.force().await;
        assert_eq!(
            (&answer["delivered"], &answer["late_sweep_period_in_seconds"]),
            (&json!(0), &Value::Null)
        );
    }
    assert_arrived(&world, &emitted);
    world.close().await;
}
