//! Advanced hunting refused: too much, too often, not understood, not permitted. Rows come late then, and none is lost.

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use simulator::tenant::{DEFENDER_ROLES, Fault, HuntingConfig, HuntingError, RetryAfter, Rule};

use crate::world::hunting::{
    HUNTING, arrived, asked, configure, emit, emit_at, expected, texts, whole, window, windowed, world,
};
use crate::world::judge::assert_answer;
use crate::world::{ago, now};

/// An answer of as many rows as the API gives at the most, none of which a test knows.
fn full() -> Fault {
    let rows = vec!["null"; 100_000].join(",");
    Fault::Status {
        code: 200,
        body: Some(format!("{{\"Schema\":[],\"Results\":[{rows}]}}")),
        headers: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_full_or_refused_for_its_size_is_asked_for_in_halves() {
    let faults = [full(), Fault::Hunting(HuntingError::TooLarge), Fault::Hunting(HuntingError::Preempted)];
    join_all(faults.map(|fault| async move {
        let what = format!("{fault:?}").chars().take(40).collect::<String>();
        let world = world(HuntingConfig::default(), &[windowed("logons", "Logons")]).await;
        let begin = ago(SignedDuration::from_hours(20));
        let rows: Vec<String> = (0..20)
            .map(|hour| {
                emit_at(&world, "Logons", hour, begin + SignedDuration::from_hours(hour.cast_signed()))
            })
            .collect();
        world.tenant.script(vec![Rule::on_hunting(fault).first(2)]);
        let answer = world.tick().await;
        assert_answer(&answer, HUNTING, 20);
        assert_eq!(arrived(&world), expected([("logons", rows)]), "{what}");
        let windows: Vec<(Timestamp, Timestamp)> =
            texts(&world, "Logons").iter().map(|text| window(text)).collect();
        let lengths: Vec<i64> = windows.iter().map(|(from, to)| to.duration_since(*from).as_secs()).collect();
        assert_eq!((windows[0].0, windows[0].0), (windows[1].0, windows[2].0), "{what}: {windows:?}");
        assert!(lengths[1] <= lengths[0] / 2 + 1 && lengths[2] <= lengths[1] / 2 + 1, "{what}: {lengths:?}");
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_shrink_until_the_api_gives_their_rows_and_nothing_is_lost() {
    let hunting = HuntingConfig { most_bytes: 4_000, ..HuntingConfig::default() };
    let world = world(hunting, &[windowed("logons", "Logons")]).await;
    let start = ago(SignedDuration::from_mins(64));
    configure(&world, &[windowed("logons", "Logons")], &json!({"start_time_in_utc": start.to_string()}));
    let rows = emit(&world, "Logons", 0..50);
    assert_answer(&world.tick().await, HUNTING, 50);
    assert_eq!(arrived(&world), expected([("logons", rows)]));
    let refused = asked(&world).iter().filter(|seen| seen.status == Some(400)).count();
    assert!(refused >= 3, "{refused} refusals are no test");
    println!("{} requests, {refused} of them refused", asked(&world).len());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_too_large_is_named_and_the_others_go_on() {
    let faults = [full(), Fault::Hunting(HuntingError::TooLarge), Fault::Hunting(HuntingError::Preempted)];
    join_all(faults.map(|fault| async move {
        let queries =
            [whole("everything", "Devices"), windowed("logons", "Logons"), whole("few", "Processes")];
        let world = world(HuntingConfig::default(), &queries).await;
        let devices = emit(&world, "Devices", 0..3);
        let (logons, few) = (emit(&world, "Logons", 0..4), emit(&world, "Processes", 0..5));
        world.tenant.script(vec![Rule::on_hunting(fault).first(1)]);
        let error = world.once(&json!({})).await.error();
        assert_eq!(error.error_type, "PullError", "{}", error.message);
        assert!(error.message.starts_with("[301] "), "{}", error.message);
        assert!(error.message.contains("everything"), "{}", error.message);
        let so_far = [("logons", logons.clone()), ("few", few.clone())];
        assert_eq!(arrived(&world), expected(so_far));
        // The operator asks for less, or the day has fewer.
        assert_eq!(world.force().await["delivered"], 3);
        assert_eq!(arrived(&world), expected([("logons", logons), ("few", few), ("everything", devices)]));
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_that_is_used_up_is_waited_for_across_invocations() {
    let by_code = |status: u16, code: &str| {
        let error = json!({"error": {"code": code, "message": "API calls quota exceeded! maximum allowed 45 per 00:01:00"}});
        Fault::Status { code: status, body: Some(error.to_string()), headers: Vec::new() }
    };
    let hunting = Fault::Hunting;
    let hours = |hours| RetryAfter::Date(SignedDuration::from_hours(hours));
    let table = [
        (hunting(HuntingError::CallsPerMinute(RetryAfter::Absent)), 60),
        (hunting(HuntingError::CallsPerHour(RetryAfter::Absent)), 900),
        (hunting(HuntingError::RunTime(RetryAfter::Absent)), 900),
        (hunting(HuntingError::CallsPerMinute(RetryAfter::Seconds(90))), 90),
        (hunting(HuntingError::CallsPerHour(RetryAfter::Seconds(1800))), 1800),
        (hunting(HuntingError::RunTime(hours(2))), 7200),
        (Fault::TooManyRequests(RetryAfter::Seconds(300)), 300),
        (by_code(400, "429"), 60),
        (by_code(403, "TooManyRequests"), 60),
        (by_code(429, "429"), 60),
    ];
    for (fault, seconds) in table {
        let what = format!("{fault:?}");
        let queries =
            [windowed("logons", "Logons"), windowed("processes", "Processes"), whole("devices", "Devices")];
        let world = world(HuntingConfig::default(), &queries).await;
        let (logons, processes) = (emit(&world, "Logons", 0..4), emit(&world, "Processes", 0..3));
        let devices = emit(&world, "Devices", 0..5);
        world.tenant.script(vec![Rule::on_hunting(fault).nth(2)]);
        let before = now();
        let answer = world.tick().await;
        assert_eq!(
            (&answer["status"], &answer["delivered"]),
            (&json!("throttled"), &json!(4)),
            "{what}: {answer}"
        );
        assert_eq!(arrived(&world), expected([("logons", logons.clone())]), "{what}");
        let checkpoint = world.table.checkpoint().await.unwrap();
        let not_before: Timestamp = checkpoint["not_before_in_utc"].as_str().unwrap().parse().unwrap();
        let wait = not_before.duration_since(before).as_secs();
        assert!((seconds - 2..=seconds + 10 + seconds / 5).contains(&wait), "{what}: {wait}");
        let requests = world.tenant.requests().len();
        for event in [json!({}), json!({})] {
            let early = world.once(&event).await.answer();
            assert_eq!(
                (&early["status"], &early["requests"]),
                (&json!("throttled"), &json!(0)),
                "{what}: {early}"
            );
        }
        assert_eq!(world.tenant.requests().len(), requests, "{what}: not even a login");
        world.table.let_waits_pass().await;
        let after = world.tick().await;
        assert_eq!(
            (&after["status"], &after["delivered"]),
            (&json!("up_to_date"), &json!(8)),
            "{what}: {after}"
        );
        let all = [("logons", logons), ("processes", processes), ("devices", devices)];
        assert_eq!(arrived(&world), expected(all), "{what}");
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_wait_is_waited_for_in_the_same_invocation() {
    let world = world(HuntingConfig::default(), &[windowed("logons", "Logons")]).await;
    let rows = emit(&world, "Logons", 0..4);
    let quota = Fault::Hunting(HuntingError::CallsPerMinute(RetryAfter::Seconds(1)));
    world.tenant.script(vec![Rule::on_hunting(quota).first(1)]);
    let answer = world.tick().await;
    assert_answer(&answer, HUNTING, 4);
    assert_eq!(answer["requests"], 2, "{answer}");
    assert_eq!(arrived(&world), expected([("logons", rows)]));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_is_wrong_is_named_and_does_not_stop_the_others() {
    for wrong in [windowed("wrong", "NoSuchTable"), whole("wrong", "NoSuchTable")] {
        let queries = [wrong, windowed("logons", "Logons"), whole("devices", "Devices")];
        let world = world(HuntingConfig::default(), &queries).await;
        let (mut logons, devices) = (emit(&world, "Logons", 0..4), emit(&world, "Devices", 0..2));
        for round in 0..2 {
            let error = world.once(&json!({"force": true})).await.error();
            assert_eq!(error.error_type, "PullError", "{round}: {}", error.message);
            assert!(error.message.starts_with("[301] "), "{round}: {}", error.message);
            assert!(error.message.contains("wrong"), "{round}: {}", error.message);
            let so_far = [("logons", logons.clone()), ("devices", devices.clone())];
            assert_eq!(arrived(&world), expected(so_far), "{round}");
            logons.push(emit_at(&world, "Logons", 100 + round, ago(SignedDuration::from_secs(2))));
        }
        // The table comes to be, and with it what the query would have found.
        let late = vec![emit_at(&world, "NoSuchTable", 200, ago(SignedDuration::from_mins(5)))];
        let answer = world.force().await;
        assert_answer(&answer, HUNTING, 2);
        let all = [("logons", logons), ("devices", devices), ("wrong", late)];
        assert_eq!(arrived(&world), expected(all));
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_permission_is_named_and_rows_come_once_it_is_granted() {
    let queries = [windowed("logons", "Logons"), whole("devices", "Devices")];
    let world = world(HuntingConfig::default(), &queries).await;
    let (logons, devices) = (emit(&world, "Logons", 0..4), emit(&world, "Devices", 0..2));
    world.tenant.set_defender_roles(["Alert.Read.All"]);
    let error = world.once(&json!({})).await.error();
    assert_eq!(error.error_type, "SetupError", "{}", error.message);
    assert!(error.message.starts_with("[102] Failed to fetch data from "), "{}", error.message);
    assert!(error.message.contains("AdvancedQuery.Read.All"), "{}", error.message);
    assert!(error.message.contains("Source is not pullable"), "{}", error.message);
    world.tenant.set_defender_roles(DEFENDER_ROLES);
    assert_answer(&world.tick().await, HUNTING, 6);
    assert_eq!(arrived(&world), expected([("logons", logons), ("devices", devices)]));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mishaps_on_the_way_are_repeated_and_lose_nothing() {
    let faults =
        [Fault::Reset, Fault::status(503), Fault::Truncate { at: 300 }, Fault::Html, Fault::TokenRevoked];
    join_all(faults.map(|fault| async move {
        let what = format!("{fault:?}");
        let queries = [windowed("logons", "Logons"), whole("devices", "Devices")];
        let world = world(HuntingConfig::default(), &queries).await;
        let (logons, devices) = (emit(&world, "Logons", 0..4), emit(&world, "Devices", 0..2));
        let is_html = matches!(fault, Fault::Html);
        world.tenant.script(vec![Rule::on_hunting(fault).nth(2)]);
        let ended = world.once(&json!({})).await;
        if is_html {
            // A page in place of an answer is told at once, and asked for again by the next invocation.
            let error = ended.error();
            assert!(
                error.message.starts_with("[300] ") && error.message.contains("devices"),
                "{}",
                error.message
            );
            assert_eq!(world.force().await["delivered"], 2, "{what}");
        } else {
            assert_answer(&ended.answer(), HUNTING, 6);
        }
        assert_eq!(arrived(&world), expected([("logons", logons), ("devices", devices)]), "{what}");
        world.close().await;
    }))
    .await;
}
