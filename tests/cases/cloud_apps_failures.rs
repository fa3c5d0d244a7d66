//! What Defender for Cloud Apps answers when it does not answer: pages of its console, refusals, half a body, no time.
//!
//! Each failure has its error, which names it, or is waited for. What was committed stays; once it is over, a tick delivers
//! the rest, and every record came once.

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::json;
use simulator::tenant::{Fault, PageKind, RetryAfter, Rule, Shape};

use crate::world::ago;
use crate::world::cloud_apps_lists::{RECORDS, emit, pages, short_pages, time_of, world};
use crate::world::judge::{assert_answer, assert_arrived};

const ACTIVITIES: &str = "cloud-apps-activities";
const ALERTS: &str = "cloud-apps-alerts";
const ENTITIES: &str = "cloud-apps-entities";
const SUBNET: &str = "cloud-apps-data-enrichment";
const FILES: &str = "cloud-apps-files";

/// A scan, a list that is read in parts of time, and an inventory.
const KINDS: [&str; 3] = [ACTIVITIES, ALERTS, ENTITIES];

fn status(code: u16, body: &str, headers: &[(&str, &str)]) -> Fault {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault::Status { code, body: Some(body.to_owned()), headers }
}

/// A failure that does not pass, whom it meets, and what is told of it.
type Failure = (Fault, &'static str, &'static str, &'static str, &'static [&'static str]);

fn failures() -> Vec<Failure> {
    let redirect = |code| status(code, "", &[("Location", "https://elsewhere.example/api/v1/alerts/")]);
    vec![
        (
            Fault::HtmlPage(404),
            ALERTS,
            "SetupError",
            "102",
            &["404", "Source is not pullable", "override_base_url"],
        ),
        (Fault::HtmlPage(404), FILES, "SetupError", "102", &["404", "override_base_url"]),
        (Fault::status(404), SUBNET, "SetupError", "102", &["404", "Not found", "override_base_url"]),
        (Fault::HtmlPage(500), ACTIVITIES, "ApiError", "498", &["500", "Error during API call to "]),
        (Fault::HtmlPage(500), FILES, "ApiError", "498", &["500", "Error during API call to "]),
        (Fault::HtmlPage(502), ALERTS, "ApiError", "498", &["502"]),
        (Fault::HtmlPage(502), SUBNET, "ApiError", "498", &["502"]),
        (Fault::HtmlPage(504), ENTITIES, "ApiError", "498", &["504"]),
        (Fault::Html, ACTIVITIES, "PullError", "300", &["gave no page"]),
        (Fault::HtmlPage(200), FILES, "PullError", "300", &["gave no page"]),
        (Fault::NotJson, ALERTS, "PullError", "300", &["gave no page"]),
        (Fault::WrongShape(Shape::ValueMissing), ENTITIES, "PullError", "300", &["member data is missing"]),
        (Fault::WrongShape(Shape::ValueIsObject), SUBNET, "PullError", "300", &["data"]),
        (Fault::WrongShape(Shape::TopLevelArray), FILES, "PullError", "300", &["gave no page"]),
        (Fault::WrongShape(Shape::Null), ACTIVITIES, "PullError", "300", &["gave no page"]),
        (Fault::status(401), ALERTS, "SetupError", "102", &["401", "Invalid token", "override_scope_value"]),
        (Fault::status(401), FILES, "SetupError", "102", &["401", "credentials.files_access_token"]),
        (Fault::HtmlPage(401), FILES, "SetupError", "102", &["401", "credentials.files_access_token"]),
        (Fault::status(403), ACTIVITIES, "SetupError", "102", &["403", "Investigation.read"]),
        (Fault::status(403), FILES, "SetupError", "102", &["403", "credentials.files_access_token"]),
        (redirect(301), ALERTS, "ApiError", "301", &["301", "redirects are not followed"]),
        (redirect(302), FILES, "ApiError", "302", &["302", "redirects are not followed"]),
        (Fault::Truncate { at: 60 }, ENTITIES, "PullError", "300", &["the body broke off"]),
        (Fault::EndsEarly { at: 300 }, ALERTS, "PullError", "300", &["gave no page"]),
        (Fault::CloseBeforeAnswer, SUBNET, "ApiError", "498", &["Error during API call to "]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_that_does_not_pass_has_its_error_and_costs_no_record() {
    join_all(failures().into_iter().map(|(fault, function, error_type, code, words)| async move {
        let play = format!("{function}: {fault:?}");
        let world = world(function, short_pages()).await;
        let mut emitted = emit(&world);
        world.tenant.script(vec![Rule::on_cloud_apps(world.filtered_list(), fault)]);
        let error = world.once(&json!({})).await.error();
        let told = format!("{play}: {} {}", error.error_type, error.message);
        assert_eq!(error.error_type, error_type, "{told}");
        assert!(error.message.starts_with(&format!("[{code}] ")), "{told}");
        for word in words.iter().chain(&[world.filtered_list().path()]) {
            assert!(error.message.contains(word), "no {word} in {told}");
        }
        assert!(!error.message.contains("<html"), "{told}");
        assert!(pages(&world).len() <= 4, "once, and three times again: {told}");
        world.tenant.script(Vec::new());
        emitted.push(world.emit(100, time_of(0)));
        assert_answer(&world.tick().await, function, RECORDS + 1);
        assert_arrived(&world, &emitted);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_in_the_middle_of_a_walk_keeps_the_place_and_the_next_tick_goes_on() {
    let faults = [
        Fault::Html,
        Fault::NotJson,
        Fault::HtmlPage(404),
        Fault::status(403),
        Fault::WrongShape(Shape::Null),
    ];
    let functions = [ACTIVITIES, ALERTS, ENTITIES, SUBNET, FILES];
    join_all(
        functions
            .into_iter()
            .enumerate()
            .flat_map(|(number, function)| {
                [faults[number].clone(), faults[(number + 1) % 5].clone()].map(|fault| (function, fault))
            })
            .map(|(function, fault)| async move {
                let play = format!("{function}: {fault:?}");
                let world = world(function, short_pages()).await;
                let emitted = emit(&world);
                world.tenant.script(vec![Rule::on_cloud_apps(world.filtered_list(), fault).nth(3)]);
                // A link that is not known any more begins the window anew, and is no error.
                match world.once(&json!({})).await {
                    crate::world::process::Ended::Error(error) => {
                        assert!(
                            ["PullError", "ApiError"].contains(&error.error_type.as_str()),
                            "{play}: {} {}",
                            error.error_type,
                            error.message
                        );
                        let had = world.records().len() as u64;
                        assert!(had < RECORDS, "{play}");
                        let rest = world.tick().await;
                        assert_eq!(
                            (&rest["status"], &rest["delivered"]),
                            (&json!("up_to_date"), &json!(RECORDS - had)),
                            "{play}: due after an error: {rest}"
                        );
                    }
                    ended => assert_answer(&ended.answer(), function, RECORDS),
                }
                assert_arrived(&world, &emitted);
                assert_answer(&world.force().await, function, 0);
                world.close().await;
            }),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_passes_is_waited_for_within_the_invocation() {
    let plays = [
        ("throttled, told by the header", vec![(2, Fault::TooManyRequests(RetryAfter::Seconds(1)))]),
        ("throttled, told by the words", vec![(2, Fault::throttled(429, Some(1)))]),
        ("throttled as 403", vec![(2, Fault::throttled(403, Some(1)))]),
        ("throttled as 503", vec![(1, Fault::throttled(503, Some(1)))]),
        ("throttled as 200", vec![(2, Fault::throttled(200, Some(1)))]),
        ("500", vec![(1, Fault::HtmlPage(500)), (2, Fault::HtmlPage(500))]),
        ("502", vec![(2, Fault::HtmlPage(502))]),
        ("504 in the middle", vec![(3, Fault::HtmlPage(504))]),
        ("reset", vec![(2, Fault::Reset)]),
        ("closed", vec![(2, Fault::CloseBeforeAnswer)]),
        ("cut", vec![(2, Fault::Truncate { at: 50 })]),
        ("token refused once", vec![(3, Fault::status(401))]),
        ("in disorder", vec![(1, Fault::ShuffleOrder), (2, Fault::ShuffleOrder)]),
    ];
    join_all(plays.iter().flat_map(|play| KINDS.map(|function| (play.clone(), function))).map(
        |((what, faults), function)| async move {
            let play = format!("{function}: {what}");
            let world = world(function, short_pages()).await;
            let emitted = emit(&world);
            let rule = |(nth, fault)| Rule::on_cloud_apps(world.filtered_list(), fault).nth(nth);
            world.tenant.script(faults.into_iter().map(rule).collect());
            let answer = world.tick().await;
            assert_eq!(
                (&answer["status"], &answer["delivered"]),
                (&json!("up_to_date"), &json!(RECORDS)),
                "{play}: {answer}"
            );
            let is_throttled = what.starts_with("throttled");
            assert_eq!(answer["throttled"], u64::from(is_throttled), "{play}: {answer}");
            let warnings = answer["warnings"].as_array().unwrap();
            assert_eq!(warnings.len(), usize::from(is_throttled), "{play}: {answer}");
            assert_arrived(&world, &emitted);
            world.close().await;
        },
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_names_no_wait_is_a_minute_that_the_ticks_keep_whatever_the_status() {
    let faults = [
        (Fault::TooManyRequests(RetryAfter::Absent), ACTIVITIES),
        (Fault::TooManyRequests(RetryAfter::Absent), FILES),
        (Fault::throttled(429, None), ALERTS),
        (Fault::throttled(503, None), ENTITIES),
        (Fault::throttled(400, None), SUBNET),
        (Fault::throttled(403, None), FILES),
        (Fault::throttled(200, None), ALERTS),
        (Fault::throttled(500, None), ACTIVITIES),
        (status(429, "<html><body>throttled</body></html>", &[]), ENTITIES),
        (Fault::throttled(429, Some(55)), SUBNET),
        (Fault::TooManyRequests(RetryAfter::Date(SignedDuration::from_hours(1))), ALERTS),
    ];
    join_all(
        faults
            .into_iter()
            .flat_map(|(fault, function)| [(fault.clone(), function, 1), (fault, function, 2)])
            .map(|(fault, function, nth)| async move {
                let play = format!("{function}: request {nth} meets {fault:?}");
                let world = world(function, short_pages()).await;
                let emitted = emit(&world);
                let list = world.filtered_list();
                world.tenant.script(vec![Rule::on_cloud_apps(list, fault).nth(nth)]);
                let answer = world.tick().await;
                assert_eq!(
                    (&answer["status"], &answer["throttled"]),
                    (&json!("throttled"), &json!(1)),
                    "{play}: {answer}"
                );
                let had = answer["delivered"].as_u64().unwrap();
                assert_eq!(had > 0, nth > 1, "{play}: what came before is committed: {answer}");
                let asked = world.tenant.requests().len();
                for event in [json!({}), json!({"force": true})] {
                    let patient = world.once(&event).await.answer();
                    assert_eq!(
                        (&patient["status"], &patient["requests"]),
                        (&json!("throttled"), &json!(0)),
                        "{play}: {patient}"
                    );
                }
                assert_eq!(world.tenant.requests().len(), asked, "{play}: not even a login");
                world.table.let_waits_pass().await;
                let rest = world.force().await;
                assert_answer(&rest, function, RECORDS - had);
                assert_arrived(&world, &emitted);
                world.close().await;
            }),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_that_lead_nowhere_any_more_begin_the_scan_anew() {
    let world = world(ACTIVITIES, short_pages()).await;
    let mut emitted = emit(&world);
    let (tenant, list) = (world.tenant.clone(), world.filtered_list());
    world.tenant.on_request(move |seen| {
        if seen.nth == 3 && seen.page == PageKind::Next {
            tenant.expire_links();
        }
    });
    assert_answer(&world.tick().await, ACTIVITIES, RECORDS);
    world.tenant.on_request(|_| {});
    let refused = pages(&world).iter().filter(|seen| seen.status == Some(400)).count();
    assert_eq!(refused, 1, "{list:?}");
    emitted.push(world.emit(100, ago(SignedDuration::from_secs(3))));
    assert_answer(&world.force().await, ACTIVITIES, 1);
    assert_arrived(&world, &emitted);
    world.close().await;
}
