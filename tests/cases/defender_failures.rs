//! What Defender for Endpoint answers when it does not answer: no list, no permission, no JSON, no time.
//!
//! An empty list may be absent altogether; a wrong address may not pass for that. What was committed stays, and a tick
//! after the failure delivers the rest, once.

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::json;
use simulator::tenant::{DefenderConfig, Fault, NoMachines, PageKind, RetryAfter, Rule, Shape};

use crate::world::defender::{RECORDS, emit, pages, short_pages, time_of, world};
use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::{AMPLE, ago, defender_lists};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_absent_is_an_empty_list_and_the_next_tick_finds_what_has_come() {
    let envelope = |code: &str| {
        let error = json!({"error": {"code": code, "message": "None was found.", "target": "7f0c-11"}});
        Fault::Status { code: 404, body: Some(error.to_string()), headers: Vec::new() }
    };
    let nothing = Fault::Status { code: 404, body: Some(String::new()), headers: Vec::new() };
    let answers = [envelope("NotFound"), envelope("ResourceNotFound"), nothing];
    join_all(defender_lists().map(|service| {
        let answers = answers.clone();
        async move {
            let world = world(service.function, short_pages()).await;
            let newer = || ago(SignedDuration::from_secs(3));
            let (process, force) = (world.process().await, json!({"force": true}));
            let mut emitted = Vec::new();
            for (seed, fault) in (0..).zip(answers) {
                world.tenant.script(vec![Rule::on_defender(world.list(), fault)]);
                let absent = world.invoke(&process, &force, AMPLE).await.answer();
                assert_answer(&absent, service.function, 0);
                assert_eq!(
                    (&absent["received"], &absent["warnings"], &absent["requests"]),
                    (&json!(0), &json!([]), &json!(1)),
                    "{absent}"
                );
                world.tenant.script(Vec::new());
                emitted.push(world.emit(seed, newer()));
                let found = world.invoke(&process, &force, AMPLE).await.answer();
                assert_answer(&found, service.function, 1);
            }
            assert_arrived(&world, &emitted);
            world.close().await;
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_machine_in_either_way_is_no_failure() {
    join_all([NoMachines::Envelope, NoMachines::EmptyBody, NoMachines::EmptyArray].map(
        |no_machines| async move {
            let world = world("endpoint-machines", DefenderConfig { no_machines, ..short_pages() }).await;
            for answer in [world.tick().await, world.force().await] {
                assert_answer(&answer, "endpoint-machines", 0);
                assert_eq!(answer["warnings"], json!([]), "{no_machines:?}: {answer}");
            }
            let emitted = emit(&world);
            assert_answer(&world.force().await, "endpoint-machines", RECORDS);
            assert_arrived(&world, &emitted);
            world.close().await;
        },
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_gateway_is_no_empty_list_but_a_wrong_address_with_its_remedy() {
    join_all(defender_lists().map(|service| async move {
        let world = world(service.function, short_pages()).await;
        let html = "<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>";
        let headers = vec![("Content-Type".to_owned(), "text/html".to_owned())];
        let other = json!({"error": {"code": "PathUnknown", "message": "no such path"}}).to_string();
        for body in [html.to_owned(), other] {
            let gateway = Fault::Status { code: 404, body: Some(body), headers: headers.clone() };
            world.tenant.script(vec![Rule::on_defender(world.list(), gateway)]);
            let error = world.once(&json!({"force": true})).await.error();
            assert_eq!(error.error_type, "SetupError", "{}", error.message);
            for words in ["[102] Failed to fetch data from ", "Source is not pullable", "override_base_url"] {
                assert!(error.message.contains(words), "{}: {words}: {}", service.function, error.message);
            }
        }
        world.tenant.script(Vec::new());
        let emitted = emit(&world);
        assert_answer(&world.force().await, service.function, RECORDS);
        assert_arrived(&world, &emitted);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_permission_is_named_for_each_list_and_the_next_token_has_it() {
    join_all(defender_lists().map(|service| async move {
        let world = world(service.function, short_pages()).await;
        let emitted = emit(&world);
        let permission = world.list().permission();
        let all = world.tenant.config().defender.roles.clone();
        let others = all.iter().filter(|role| *role != permission).cloned();
        world.tenant.set_defender_roles(others.collect::<Vec<_>>());
        let error = world.once(&json!({})).await.error();
        assert_eq!(error.error_type, "SetupError", "{}", error.message);
        assert!(error.message.starts_with("[102] Failed to fetch data from "), "{}", error.message);
        assert!(error.message.contains(permission), "{}: {}", service.function, error.message);
        world.tenant.set_defender_roles(all);
        assert_answer(&world.tick().await, service.function, RECORDS);
        assert_arrived(&world, &emitted);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_another_audience_is_refused_with_words_about_the_audience() {
    let world = world("endpoint-machines", short_pages()).await;
    let emitted = emit(&world);
    let mut document = world.document_with(&crate::world::defender::settings(world.list()));
    document["inputs"]["microsoft_defender_endpoint"]["override_scope_value"] =
        json!("https://graph.microsoft.com/.default");
    world.store_secrets(&document, &world.devo_secret());
    let error = world.once(&json!({})).await.error();
    assert_eq!(error.error_type, "SetupError", "{}", error.message);
    assert!(error.message.starts_with("[102] Failed to fetch data from "), "{}", error.message);
    assert!(error.message.contains("401"), "{}", error.message);
    assert!(error.message.contains("override_scope_value"), "{}", error.message);
    world.configure(&crate::world::defender::settings(world.list()));
    assert_answer(&world.tick().await, "endpoint-machines", RECORDS);
    assert_arrived(&world, &emitted);
    world.close().await;
}

/// One list with a time, and one without.
const BOTH_KINDS: [&str; 2] = ["endpoint-alerts", "endpoint-machines"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_no_answer_is_error_300_and_the_next_tick_goes_on_from_where_it_stood() {
    let faults = [
        Fault::Html,
        Fault::NotJson,
        Fault::WrongShape(Shape::ValueMissing),
        Fault::WrongShape(Shape::ValueIsObject),
        Fault::WrongShape(Shape::TopLevelArray),
        Fault::WrongShape(Shape::Null),
    ];
    // Each shape meets one kind of list, and each kind three of them.
    let plays = faults.into_iter().zip(BOTH_KINDS.into_iter().cycle());
    join_all(plays.map(|(fault, function)| async move {
        let play = format!("{function}: {fault:?}");
        let world = world(function, short_pages()).await;
        let emitted = emit(&world);
        world.tenant.script(vec![Rule::on_defender(world.list(), fault).page(PageKind::Next)]);
        let error = world.once(&json!({})).await.error();
        assert_eq!(error.error_type, "PullError", "{play}: {}", error.message);
        assert!(error.message.starts_with("[300] "), "{play}: {}", error.message);
        let had = world.records().len() as u64;
        assert!(had < RECORDS, "{play}");
        world.tenant.script(Vec::new());
        let rest = world.tick().await;
        assert_eq!(
            (&rest["status"], &rest["delivered"]),
            (&json!("up_to_date"), &json!(RECORDS - had)),
            "{play}: due after an error: {rest}"
        );
        assert_arrived(&world, &emitted);
        assert_answer(&world.force().await, function, 0);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_passes_is_waited_for_within_the_invocation() {
    let plays = [
        ("429", vec![(2, Fault::TooManyRequests(RetryAfter::Seconds(1)))]),
        ("429 without a wish", vec![(1, Fault::TooManyRequests(RetryAfter::Absent))]),
        ("500", vec![(1, Fault::status(500)), (2, Fault::status(500))]),
        ("gateway", vec![(3, Fault::GatewayTimeout)]),
        ("reset", vec![(2, Fault::Reset)]),
        ("closed", vec![(2, Fault::CloseBeforeAnswer)]),
        ("cut", vec![(2, Fault::Truncate { at: 50 })]),
        ("ends early", vec![(2, Fault::EndsEarly { at: 300 })]),
        ("token revoked", vec![(3, Fault::TokenRevoked)]),
        ("in disorder", vec![(1, Fault::ShuffleOrder), (2, Fault::ShuffleOrder)]),
    ];
    join_all(plays.iter().flat_map(|play| BOTH_KINDS.map(|function| (play.clone(), function))).map(
        |((what, faults), function)| async move {
            let play = format!("{function}: {what}");
            let world = world(function, short_pages()).await;
            let emitted = emit(&world);
            let rule = |(nth, fault)| Rule::on_defender(world.list(), fault).nth(nth);
            world.tenant.script(faults.into_iter().map(rule).collect());
            let answer = world.tick().await;
            assert_eq!(
                (&answer["status"], &answer["delivered"]),
                (&json!("up_to_date"), &json!(RECORDS)),
                "{play}: {answer}"
            );
            assert_eq!(answer["throttled"], u64::from(what.starts_with("429")), "{play}: {answer}");
            assert_arrived(&world, &emitted);
            world.close().await;
        },
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_for_patience_beyond_the_deadline_is_kept_by_the_ticks_that_follow() {
    join_all(BOTH_KINDS.map(|function| async move {
        let world = world(function, short_pages()).await;
        let emitted = emit(&world);
        let wish = Fault::TooManyRequests(RetryAfter::Date(SignedDuration::from_hours(1)));
        world.tenant.script(vec![Rule::on_defender(world.list(), wish).page(PageKind::Next)]);
        let answer = world.tick().await;
        assert_eq!((&answer["status"], &answer["throttled"]), (&json!("throttled"), &json!(1)), "{answer}");
        assert!(answer["delivered"].as_u64().unwrap() > 0, "the first page is committed: {answer}");
        let asked = world.tenant.requests().len();
        for event in [json!({}), json!({"force": true})] {
            let patient = world.once(&event).await.answer();
            assert_eq!(
                (&patient["status"], &patient["requests"]),
                (&json!("throttled"), &json!(0)),
                "{patient}"
            );
        }
        assert_eq!(world.tenant.requests().len(), asked, "not even a login");
        assert!(world.records().len() < emitted.len());
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_does_not_pass_is_an_error_that_costs_four_requests_and_no_record() {
    // Of a list with a time a gateway that gives up is asked for half, until it is a matter of half a minute.
    let plays = [
        (Fault::status(500), BOTH_KINDS[0]),
        (Fault::status(500), BOTH_KINDS[1]),
        (Fault::GatewayTimeout, BOTH_KINDS[1]),
    ];
    join_all(plays.map(|(fault, function)| async move {
        let world = world(function, short_pages()).await;
        let mut emitted = emit(&world);
        world.tenant.script(vec![Rule::on_defender(world.list(), fault)]);
        let error = world.once(&json!({})).await.error();
        assert_eq!(error.error_type, "ApiError", "{}", error.message);
        assert!(error.message.starts_with("[498] "), "{}", error.message);
        assert!(error.message.contains(world.list().path()), "{}", error.message);
        assert_eq!(pages(&world).len(), 4, "once, and three times again");
        world.tenant.script(Vec::new());
        emitted.push(world.emit(100, time_of(0)));
        assert_answer(&world.tick().await, function, RECORDS + 1);
        assert_arrived(&world, &emitted);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_that_the_api_refuses_is_error_301_and_names_the_filter() {
    let world = world("endpoint-alerts", short_pages()).await;
    world.configure(&json!({"additional_filter": "nonsense eq 'x'"}));
    let error = world.once(&json!({})).await.error();
    assert_eq!(error.error_type, "PullError", "{}", error.message);
    assert!(
        error.message.starts_with("[301] ") && error.message.contains("nonsense eq 'x'"),
        "{}",
        error.message
    );
    // One that it takes goes beside the window, each in its parentheses.
    world.configure(&json!({"additional_filter": "severity ne 'Nothing'"}));
    world.emit(1, time_of(1));
    assert_eq!(world.tick().await["delivered"], json!(1));
    let asked = pages(&world).last().unwrap().option("$filter").unwrap().to_owned();
    assert!(
        asked.starts_with("(lastUpdateTime ge ") && asked.ends_with(" and (severity ne 'Nothing')"),
        "{asked}"
    );
    world.close().await;
}
