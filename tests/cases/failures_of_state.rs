//! State that cannot be used is refused and left as it is; state of older releases is read.

use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::tenant::Addressee;

use crate::world::{World, ago, services};

fn checkpoint(world: &World, members: Value) -> Value {
    let mut row = json!({
        "pk": format!("{}#{}", world.id, world.service.function),
        "sk": "checkpoint",
    });
    row.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    row
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_of_a_newer_format_is_refused_and_not_touched() {
    let rows = [
        json!({"persistence_version": 99, "version": 7, "last_event_time_in_utc": "2026-11-20T10:00:00Z"}),
        json!({"persistence_version": "two", "version": 7}),
    ];
    for row in rows {
        let world = World::new(services().next().unwrap()).await;
        world.emit(1, ago(SignedDuration::from_mins(5)));
        let row = checkpoint(&world, row);
        world.table.put(&row).await;
        for event in [json!({}), json!({"force": true}), json!({"dry_run": true})] {
            if event["dry_run"] == true && !row["persistence_version"].is_number() {
                continue;
            }
            let error = world.once(&event).await.error();
            assert_eq!(error.error_type, "StateError", "{event}: {}", error.message);
            assert!(error.message.starts_with("[700] "), "{event}: {}", error.message);
        }
        assert_eq!(world.table.rows().await, [row]);
        assert!(world.tenant.requests().is_empty(), "nothing is asked for without a position");
        assert_eq!(world.to_devo.connections(), 0);
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_under_the_vendors_older_names_is_gone_on_with() {
    let world = World::new(services().next().unwrap()).await;
    let newest = ago(SignedDuration::from_hours(5));
    let lookback = world.service.window.lookback;
    world.emit(1, newest - lookback - SignedDuration::from_hours(2));
    let wanted = world.emit(2, newest + SignedDuration::from_hours(1));
    let written = newest.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let polled = newest.to_string();
    let row = json!({"last_event_time": written, "last_polled_timestamp": polled});
    world.table.put(&checkpoint(&world, row)).await;
    let answer = world.tick().await;
    assert_eq!((&answer["status"], &answer["delivered"]), (&json!("up_to_date"), &json!(1)), "{answer}");
    assert!(world.records()[0].message.starts_with(wanted.trim_end_matches('}')));
    let first = world.tenant.requests().into_iter().find(|seen| seen.addressee != Addressee::Login).unwrap();
    let from = newest - lookback;
    assert!(first.option("$filter").unwrap().contains(&from.to_string()), "{:?}", first.query);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_start_time_restarts_the_service_and_the_same_instant_spelt_anew_does_not() {
    let world = World::new(services().next().unwrap()).await;
    let (old, new) = (ago(SignedDuration::from_hours(30)), ago(SignedDuration::from_hours(3)));
    world.emit(1, old);
    world.emit(2, new);
    let start = |hours: i64| ago(SignedDuration::from_hours(hours));
    let first = start(10);
    world.configure(&json!({"start_time_in_utc": first.to_string()}));
    assert_eq!(world.tick().await["delivered"], 1);
    let respelt = first.strftime("%Y-%m-%dT%H:%M:%S.000+00:00").to_string();
    for same in [json!({"start_time_in_utc": respelt}), json!({})] {
        world.configure(&same);
        assert_eq!(world.force().await["delivered"], 0, "{same}");
    }
    world.configure(&json!({"start_time_in_utc": start(40).to_string()}));
    let answer = world.force().await;
    assert_eq!(answer["delivered"], 2, "records from there on are sent again: {answer}");
    assert!(answer["warnings"].to_string().contains("start_time_in_utc changed"), "{answer}");
    world.close().await;
}
