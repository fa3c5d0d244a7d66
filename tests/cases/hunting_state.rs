//! What is kept of a query and what is told of it: its place goes by its name, and its text is nobody's business.

use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::tenant::{Fault, HuntingConfig, HuntingError, RetryAfter, Rule};

use crate::world::hunting::{
    HUNTING, MARK, arrived, asked, configure, emit, emit_at, expected, tag, whole, windowed, world,
};
use crate::world::judge::assert_answer;
use crate::world::{AMPLE, ago};

fn with(mut query: Value, member: &str, value: Value) -> Value {
    query[member] = value;
    query
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_goes_by_the_querys_name_and_by_nothing_else() {
    let (logons, devices) = (windowed("logons", "Logons"), whole("devices", "Devices"));
    let world = world(HuntingConfig::default(), &[logons.clone(), devices.clone()]).await;
    let (mut of_logons, of_devices) = (emit(&world, "Logons", 0..6), emit(&world, "Devices", 0..4));
    assert_answer(&world.tick().await, HUNTING, 10);

    // In another order, with another text, another period; left out for a while.
    let reworded =
        format!("Logons | where Timestamp >= {{from}} | where Timestamp <= {{to}} | where Note != '{MARK}'");
    let documents = [
        vec![devices.clone(), logons.clone()],
        vec![devices.clone(), with(logons.clone(), "query", json!(reworded))],
        vec![with(logons.clone(), "request_period_in_seconds", json!(3600)), devices.clone()],
        vec![devices.clone()],
        vec![logons.clone(), devices.clone()],
    ];
    for (round, queries) in documents.iter().enumerate() {
        configure(&world, queries, &json!({}));
        assert_answer(&world.force().await, HUNTING, 0);
        assert_eq!(asked(&world).len(), [4, 6, 8, 9, 11][round], "{round}");
    }
    of_logons.push(emit_at(&world, "Logons", 50, ago(SignedDuration::from_secs(2))));
    assert_answer(&world.force().await, HUNTING, 1);
    let so_far = [("logons", of_logons.clone()), ("devices", of_devices.clone())];
    assert_eq!(arrived(&world), expected(so_far));

    // Another name is another query, that has sent nothing yet.
    let renamed = with(windowed("sign-ins", "Logons"), "override_tag", json!(tag("logons")));
    configure(
        &world,
        &[renamed, with(whole("machines", "Devices"), "override_tag", json!(tag("devices")))],
        &json!({}),
    );
    assert_answer(&world.force().await, HUNTING, 11);
    let twice = |records: &Vec<String>| records.iter().chain(records).cloned().collect::<Vec<_>>();
    assert_eq!(arrived(&world), expected([("logons", twice(&of_logons)), ("devices", twice(&of_devices))]));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_start_sends_what_lies_behind_it_again_and_the_same_one_respelt_sends_nothing() {
    let queries = [windowed("logons", "Logons")];
    let world = world(HuntingConfig::default(), &queries).await;
    let start = ago(SignedDuration::from_hours(10));
    let at = |hours: i64| ago(SignedDuration::from_hours(hours)) + SignedDuration::from_mins(1);
    let rows: Vec<String> =
        (1..=9_i64).map(|hours| emit_at(&world, "Logons", hours.unsigned_abs(), at(hours))).collect();
    let respelt = start.to_string().replace('Z', ".000Z");
    let later = ago(SignedDuration::from_hours(4)).to_string();
    let mut all = rows.clone();
    let table = [
        (json!({"start_time_in_utc": start.to_string()}), 9),
        (json!({"start_time_in_utc": respelt}), 0),
        (json!({}), 0),
        (json!({"start_time_in_utc": later}), 4),
        (json!({"start_time_in_utc": later}), 0),
    ];
    for (settings, delivered) in table {
        configure(&world, &queries, &settings);
        let answer = world.force().await;
        assert_eq!(
            (&answer["status"], &answer["delivered"]),
            (&json!("up_to_date"), &json!(delivered)),
            "{settings}: {answer}"
        );
        if delivered == 4 {
            all.extend(rows.iter().take(4).cloned());
        }
        assert_eq!(arrived(&world), expected([("logons", all.clone())]), "{settings}");
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_an_invocation_is_enough_for_all_queries_and_for_windows_that_shrink() {
    let hunting = HuntingConfig { most_bytes: 4_000, ..HuntingConfig::default() };
    let queries =
        [windowed("logons", "Logons"), windowed("processes", "Processes"), whole("devices", "Devices")];
    let world = world(hunting, &queries).await;
    let more = json!({
        "start_time_in_utc": ago(SignedDuration::from_mins(64)).to_string(),
        "requests_limits": [{"period": "5m", "number_of_requests": 1}],
    });
    configure(&world, &queries, &more);
    let (logons, processes) = (emit(&world, "Logons", 0..15), emit(&world, "Processes", 0..3));
    let devices = emit(&world, "Devices", 0..3);
    let mut delivered = 0;
    for round in 0..40 {
        let answer = world.tick().await;
        assert!(answer["requests"].as_u64().unwrap() <= 1, "{answer}");
        delivered += answer["delivered"].as_u64().unwrap();
        if delivered == 21 {
            println!("{round} ticks");
            break;
        }
        assert_eq!(answer["status"], "throttled", "{answer}");
        world.table.let_waits_pass().await;
    }
    assert_eq!(
        arrived(&world),
        expected([("logons", logons), ("processes", processes), ("devices", devices)])
    );
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_that_meets_a_quota_is_gone_on_with_by_ticks() {
    let queries =
        [windowed("logons", "Logons"), windowed("processes", "Processes"), whole("devices", "Devices")];
    let world = world(HuntingConfig::default(), &queries).await;
    let begin = ago(SignedDuration::from_hours(4 * 24));
    let past = |table: &str, first: u64| -> Vec<String> {
        let time = |step: u64| begin + SignedDuration::from_hours(1 + 3 * step.cast_signed());
        (0..5).map(|step| emit_at(&world, table, first + step, time(step))).collect()
    };
    let (logons, processes) = (past("Logons", 0), past("Processes", 100));
    let devices = emit(&world, "Devices", 0..2);
    let quota = Fault::Hunting(HuntingError::CallsPerHour(RetryAfter::Absent));
    world.tenant.script(vec![Rule::on_hunting(quota).nth(2)]);
    let end = (begin + SignedDuration::from_hours(30)).to_string();
    let event = json!({"backfill": {"start_time_in_utc": begin.to_string(), "end_time_in_utc": end}});
    let begun = world.once(&event).await.answer();
    assert_eq!((&begun["status"], &begun["delivered"]), (&json!("throttled"), &json!(5)), "{begun}");
    let early = world.once(&event).await.answer();
    assert_eq!((&early["status"], &early["requests"]), (&json!("throttled"), &json!(0)), "{early}");
    world.table.let_waits_pass().await;
    let ticked = world.tick().await;
    assert_eq!((&ticked["status"], &ticked["delivered"]), (&json!("up_to_date"), &json!(7)), "{ticked}");
    assert_eq!(
        arrived(&world),
        expected([("logons", logons), ("processes", processes), ("devices", devices)])
    );
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_text_of_a_query_is_in_no_log_no_answer_no_event_and_no_row() {
    let secret = "sas-token-within-the-query";
    let query = |one: Value| {
        let text = one["query"].as_str().unwrap().replace(MARK, secret);
        with(one, "query", json!(text))
    };
    let queries = [query(windowed("logons", "Logons")), query(whole("devices", "Devices"))];
    let world = world(HuntingConfig::default(), &queries).await.logging("debug");
    emit(&world, "Logons", 0..3);
    emit(&world, "Devices", 0..3);
    let quota = Fault::Hunting(HuntingError::CallsPerHour(RetryAfter::Absent));
    let faults = [
        Fault::Hunting(HuntingError::TooLarge),
        Fault::status(400),
        Fault::status(403),
        Fault::status(404),
        Fault::Html,
        Fault::NotJson,
        Fault::Reset,
        quota,
    ];
    let mut searched = 0;
    let mut search = |what: &str, text: &str| {
        searched += 1;
        assert!(!text.contains(secret), "{what}: {text}");
    };
    let broken =
        with(query(windowed("logons", "Logons")), "query", json!(format!("Logons | {secret} {{from}}")));
    let unknown = with(
        query(windowed("logons", "Logons")),
        "query",
        json!(format!("Nowhere | where '{secret}' between ({{from}} .. {{to}})")),
    );
    for fault in faults.into_iter().map(Some).chain([None]) {
        let what = format!("{fault:?}");
        let rules = fault.map(|fault| Rule::on_hunting(fault).first(1));
        world.tenant.script(rules.into_iter().collect());
        let process = world.process().await;
        for event in [
            json!({"force": true}),
            json!({"dry_run": true}),
            json!({"force": true, "settings": {"queries": 7}}),
        ] {
            search(&what, &format!("{:?}", world.invoke(&process, &event, AMPLE).await));
        }
        process.ask_to_end();
        process.ended().await;
        search(&what, &process.output());
        world.table.let_waits_pass().await;
    }
    for one in [broken, unknown] {
        configure(&world, &[one, whole("devices", "Devices")], &json!({}));
        let process = world.process().await;
        let ended = world.invoke(&process, &json!({"force": true}), AMPLE).await.error();
        assert!(
            ended.message.contains("logons") || ended.message.contains("queries[0]"),
            "{}",
            ended.message
        );
        search("an error", &ended.message);
        process.ask_to_end();
        process.ended().await;
        search("its log", &process.output());
    }
    for arrival in world.arrivals() {
        search("an event", &arrival.message);
    }
    for row in world.table.rows().await {
        search("a row", &row.to_string());
    }
    println!("{searched} texts");
    assert!(!arrived(&world).is_empty());
    world.close().await;
}
