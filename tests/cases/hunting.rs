//! Advanced hunting: the operator's queries, each with its own tag, period and place, and every row of them once.
//!
//! What a query asks is judged by the text that the tenant saw.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::tenant::{Fault, HuntingConfig, ResultNames, Rule};

use crate::world::chance::Chance;
use crate::world::crashes::{PLACES, extent_of, finish, judge, kill_once, ledger};
use crate::world::hunting::{
    Arrived, HUNTING, arrived, asked, configure, emit, emit_at, expected, tag, texts, whole, window,
    windowed, world,
};
use crate::world::judge::assert_answer;
use crate::world::{AMPLE, World, ago, artefacts, contract, now, payloads};

/// Two queries with windows and one without.
fn three() -> [Value; 3] {
    let mut slow = windowed("processes", "Processes");
    slow["request_period_in_seconds"] = json!(3600);
    let mut daily = whole("devices", "Devices");
    daily["request_period_in_seconds"] = json!(86_400);
    [windowed("logons", "Logons"), slow, daily]
}

/// The time since the last pull passes for these queries, and for the service.
async fn let_time_pass(world: &World, span: SignedDuration) {
    world.table.set_back("last_pull_in_utc", span).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_query_has_its_own_tag_period_and_window_and_every_row_of_it_arrives_once() {
    let world = world(HuntingConfig::default(), &three()).await;
    let began = now();
    let (mut logons, mut processes) = (emit(&world, "Logons", 0..20), emit(&world, "Processes", 0..10));
    let devices = emit(&world, "Devices", 0..5);
    let all = |logons: &Vec<String>, processes: &Vec<String>| {
        expected([("logons", logons.clone()), ("processes", processes.clone()), ("devices", devices.clone())])
    };
    let first = world.tick().await;
    assert_answer(&first, HUNTING, 35);
    assert_eq!((&first["requests"], &first["warnings"]), (&json!(3), &json!([])), "{first}");
    assert_eq!(first["tables"], json!({tag("logons"): 20, tag("processes"): 10, tag("devices"): 5}));
    assert_eq!(arrived(&world), all(&logons, &processes));
    for table in ["Logons", "Processes"] {
        let (from, to) = window(&texts(&world, table)[0]);
        let day = began - SignedDuration::from_hours(24);
        assert!(
            (day - SignedDuration::from_secs(1)..=day + SignedDuration::from_mins(1)).contains(&from),
            "{from}"
        );
        assert!((began..=now()).contains(&to), "{to}");
    }
    assert!(!texts(&world, "Devices")[0].contains("datetime("), "a snapshot has no window");
    assert!(asked(&world).iter().all(|seen| seen.method == "POST"));

    let early = world.tick().await;
    assert_eq!((&early["status"], &early["requests"]), (&json!("not_due"), &json!(0)), "{early}");
    let_time_pass(&world, SignedDuration::from_mins(2)).await;
    logons.push(emit_at(&world, "Logons", 100, ago(SignedDuration::from_secs(2))));
    processes.push(emit_at(&world, "Processes", 100, ago(SignedDuration::from_secs(2))));
    let second = world.tick().await;
    assert_eq!((&second["requests"], &second["delivered"]), (&json!(1), &json!(1)), "one is due: {second}");
    let_time_pass(&world, SignedDuration::from_hours(1)).await;
    let third = world.tick().await;
    assert_eq!((&third["requests"], &third["delivered"]), (&json!(2), &json!(1)), "two are due: {third}");
    let_time_pass(&world, SignedDuration::from_hours(24)).await;
    let fourth = world.tick().await;
    assert_eq!((&fourth["requests"], &fourth["delivered"]), (&json!(3), &json!(0)), "all are due: {fourth}");
    assert_eq!(arrived(&world), all(&logons, &processes));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_follow_one_another_without_a_gap_and_end_at_the_present() {
    let world = world(HuntingConfig::default(), &[windowed("logons", "Logons")]).await;
    let start = ago(SignedDuration::from_hours(12));
    let more = json!({"start_time_in_utc": start.to_string(), "override_query_window_max_seconds": 3600});
    configure(&world, &[windowed("logons", "Logons")], &more);
    let rows: Vec<String> = (0..24)
        .map(|half| {
            emit_at(&world, "Logons", half, start + SignedDuration::from_mins(half.cast_signed() * 30))
        })
        .collect();
    let before = now();
    assert_answer(&world.tick().await, HUNTING, 24);
    let windows: Vec<_> = texts(&world, "Logons").iter().map(|text| window(text)).collect();
    assert_eq!(windows.first().map(|(from, _)| *from), Some(start), "{windows:?}");
    assert!(windows.last().is_some_and(|(_, to)| *to >= before), "{windows:?}");
    for pair in windows.windows(2) {
        assert!(pair[1].0 <= pair[0].1 && pair[1].0 > pair[0].0, "{windows:?}");
    }
    assert!(windows.iter().all(|(from, to)| to.duration_since(*from) <= SignedDuration::from_hours(1)));
    assert_eq!(arrived(&world), expected([("logons", rows)]));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_rows_are_found_as_far_back_as_the_look_back_or_the_querys_own_range_reaches() {
    let mut far = windowed("far", "Logons");
    far["time_range_in_seconds"] = json!(7200);
    let queries = [windowed("near", "Logons"), far];
    let world = world(HuntingConfig::default(), &queries).await;
    let mut rows = emit(&world, "Logons", 0..3);
    assert_answer(&world.tick().await, HUNTING, 6);
    let late = emit_at(&world, "Logons", 50, ago(SignedDuration::from_mins(12)));
    let later = emit_at(&world, "Logons", 51, ago(SignedDuration::from_mins(90)));
    assert_answer(&world.force().await, HUNTING, 3);
    rows.push(late);
    let near = rows.clone();
    rows.push(later);
    assert_eq!(
        arrived(&world),
        expected([("near", near), ("far", rows)]),
        "both queries send what they find"
    );
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_spelt_in_lower_case_is_the_same() {
    let world =
        world(HuntingConfig { names: ResultNames::Lower, ..HuntingConfig::default() }, &three()).await;
    let (logons, devices) = (emit(&world, "Logons", 0..4), emit(&world, "Devices", 0..4));
    assert_answer(&world.tick().await, HUNTING, 8);
    assert_eq!(arrived(&world), expected([("logons", logons), ("devices", devices)]));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_results_arrive_byte_for_byte() {
    let Some(samples) = artefacts::samples() else {
        println!("skipped: COLLECTOR_SAMPLES is not set");
        return;
    };
    let mut played = 0;
    let mut files: Vec<_> = fs::read_dir(samples.join("endpoint/advancedqueries"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        let Some(results) = document["Results"].as_array() else { continue };
        let rows = payloads::of_member(&text, "Results");
        assert_eq!(rows.len(), results.len());
        let world = world(HuntingConfig::default(), &[windowed("logons", "Logons")]).await;
        let answer = Fault::Status { code: 200, body: Some(text), headers: Vec::new() };
        world.tenant.script(vec![Rule::on_hunting(answer)]);
        let answer = world.tick().await;
        assert_eq!(answer["delivered"], rows.len(), "{answer}");
        let lines: BTreeSet<String> = world.records().into_iter().map(|arrival| arrival.message).collect();
        let pulling_id = answer["devo_pulling_id"].as_str().unwrap();
        let promised = rows.iter().map(|row| contract::message(row, &world.id, pulling_id)).collect();
        assert_eq!(lines, promised, "{}", file.display());
        played += rows.len();
        world.close().await;
    }
    assert!(played > 0, "no sample has results");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_asks_the_queries_that_have_windows_and_no_others() {
    let world = world(HuntingConfig::default(), &three()).await;
    let live = emit(&world, "Logons", 0..3);
    let devices = emit(&world, "Devices", 0..2);
    assert_answer(&world.tick().await, HUNTING, 5);
    let begin = ago(SignedDuration::from_hours(5 * 24));
    let end = begin + SignedDuration::from_hours(48);
    let past = |table: &str| -> Vec<String> {
        (0..6)
            .map(|step| {
                emit_at(
                    &world,
                    table,
                    200 + step,
                    begin + SignedDuration::from_hours(7 * step.cast_signed() + 1),
                )
            })
            .collect()
    };
    let (logons, processes) = (past("Logons"), past("Processes"));
    // Outside of it.
    emit_at(&world, "Logons", 300, begin - SignedDuration::from_secs(2));
    emit_at(&world, "Logons", 301, end + SignedDuration::from_secs(2));
    let event = |resend: bool| json!({"backfill": {"start_time_in_utc": begin.to_string(), "end_time_in_utc": end.to_string(), "resend": resend}});
    let asked_before = texts(&world, "Devices").len();
    let answer = world.once(&event(false)).await.answer();
    assert_eq!((&answer["status"], &answer["delivered"]), (&json!("up_to_date"), &json!(12)), "{answer}");
    assert_eq!(texts(&world, "Devices").len(), asked_before, "a snapshot has no past");
    let mut all_logons = live;
    all_logons.extend(logons.clone());
    let all = |logons: &Vec<String>, processes: &Vec<String>| -> Arrived {
        expected([("logons", logons.clone()), ("processes", processes.clone()), ("devices", devices.clone())])
    };
    assert_eq!(arrived(&world), all(&all_logons, &processes));
    let again = world.once(&event(false)).await.answer();
    assert_eq!((&again["delivered"], &again["duplicates"]), (&json!(0), &json!(12)), "{again}");
    let resent = world.once(&event(true)).await.answer();
    assert_eq!(resent["delivered"], 12, "{resent}");
    all_logons.extend(logons);
    let twice = processes.iter().chain(&processes).cloned().collect();
    assert_eq!(arrived(&world), all(&all_logons, &twice));

    configure(&world, &[whole("devices", "Devices")], &json!({}));
    let requests = asked(&world).len();
    let refused = world.once(&event(false)).await.error();
    assert!(refused.message.contains("backfill"), "{}", refused.message);
    assert_eq!(asked(&world).len(), requests, "nothing is pulled");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hunt_killed_anywhere_loses_nothing_and_repeats_at_most_the_batch_in_flight() {
    let mut chance = Chance::seeded();
    let queries =
        [windowed("logons", "Logons"), windowed("processes", "Processes"), whole("devices", "Devices")];
    let tables = ["Logons", "Processes", "Devices"];
    let measured = world(HuntingConfig::default(), &queries).await;
    let more = |world: &World, emitted: &mut Vec<String>, count: u64| {
        for table in tables {
            for _ in 0..count {
                let seed = emitted.len() as u64;
                let minutes = 2 + (seed * 7 % 10).cast_signed();
                emitted.push(emit_at(world, table, seed, ago(SignedDuration::from_mins(minutes))));
            }
        }
    };
    more(&measured, &mut Vec::new(), 8);
    assert_eq!(measured.tick().await["delivered"], 24);
    let extent = extent_of(&measured, Duration::ZERO);
    measured.close().await;

    let world = world(HuntingConfig::default(), &queries).await;
    let (mut emitted, mut answered) = (Vec::new(), BTreeSet::new());
    more(&world, &mut emitted, 8);
    for place in PLACES.into_iter().chain(PLACES) {
        kill_once(&world, (place, extent[&place]), &mut chance, &mut answered, |_| {
            more(&world, &mut emitted, 2)
        })
        .await;
        world.table.let_leases_end().await;
        more(&world, &mut emitted, 1);
    }
    finish(&world, &mut answered).await;
    println!("killed 10 times; {} rows arrived more than once", judge(&world, &emitted, &answered));
    assert_eq!(ledger(&world).await, emitted.len() as u64);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hunts_at_once_one_asks() {
    let world = world(HuntingConfig::default(), &three()).await;
    let (logons, devices) = (emit(&world, "Logons", 0..5), emit(&world, "Devices", 0..5));
    let (left, right) = tokio::join!(world.process(), world.process());
    tokio::join!(left.has_polled(1), right.has_polled(1));
    let tick = json!({});
    let answers = tokio::join!(world.invoke(&left, &tick, AMPLE), world.invoke(&right, &tick, AMPLE));
    let answers = [answers.0.answer(), answers.1.answer()];
    let statuses: BTreeSet<&str> = answers.iter().map(|answer| answer["status"].as_str().unwrap()).collect();
    assert!(statuses.contains("up_to_date"), "{answers:?}");
    assert!(statuses.contains("locked") || statuses.contains("not_due"), "{answers:?}");
    assert_eq!(asked(&world).len(), 3);
    assert_eq!(arrived(&world), expected([("logons", logons), ("devices", devices)]));
    world.close().await;
}
