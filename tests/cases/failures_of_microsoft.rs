//! What Microsoft refuses, breaks or delays: a stable word, a number, the cause, and no record lost by it.

use std::time::Duration;

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::tenant::{
    Addressee, Application, Fault, PageKind, PageSize, RetryAfter, Rule, Shape, TenantConfig,
};

use crate::world::process::Ended;
use crate::world::{AMPLE, World, ago, services};

/// Records in each world: three pages.
const RECORDS: u64 = 25;

async fn world() -> World {
    let page_size = PageSize { default: 10, maximum: 10 };
    let config = TenantConfig { page_size, ..TenantConfig::default() };
    let world = World::with(services().next().unwrap(), config).await;
    for seed in 0..RECORDS {
        world.emit(seed, ago(SignedDuration::from_mins(3 + seed.cast_signed())));
    }
    world
}

/// A failure and what is told of it.
struct Failure {
    what: &'static str,
    fault: Fault,
    page: PageKind,
    error_type: &'static str,
    code: u16,
    named: &'static [&'static str],
    /// Whether the answer had a request id, which must be told.
    has_request_id: bool,
}

fn failures() -> Vec<Failure> {
    let first = |what, fault, error_type, code, named| Failure {
        what,
        fault,
        page: PageKind::First,
        error_type,
        code,
        named,
        has_request_id: true,
    };
    let next = |what, fault, error_type, code, named| Failure {
        page: PageKind::Next,
        ..first(what, fault, error_type, code, named)
    };
    let permission = Fault::missing_permission("AuditLog.Read.All");
    let elsewhere = || Fault::ForeignNextLink { host: "https://elsewhere.example".to_owned() };
    let not_pullable = &["Failed to fetch data from ", "Source is not pullable"];
    vec![
        first(
            "no permission",
            permission,
            "SetupError",
            102,
            &["Source is not pullable", "AuditLog.Read.All"],
        ),
        first("not there", Fault::status(404), "SetupError", 102, not_pullable),
        first("a page of HTML", Fault::Html, "PullError", 300, &["HTML"]),
        first("no JSON", Fault::NotJson, "PullError", 300, &[]),
        first("no value", Fault::WrongShape(Shape::ValueMissing), "PullError", 300, &[]),
        first("an array", Fault::WrongShape(Shape::TopLevelArray), "PullError", 300, &[]),
        first("null", Fault::WrongShape(Shape::Null), "PullError", 300, &[]),
        first("cut off", Fault::Truncate { at: 60 }, "PullError", 300, &["broke off"]),
        first("500", Fault::status(500), "ApiError", 498, &["Error during API call to ", "500"]),
        first("503", Fault::status(503), "ApiError", 498, &["Error during API call to ", "503"]),
        next("500 later", Fault::status(500), "ApiError", 498, &["Error during API call to "]),
        next("403 later", Fault::status(403), "ApiError", 403, &["Error during API call to "]),
        next("cut off later", Fault::Truncate { at: 60 }, "PullError", 300, &[]),
        Failure {
            has_request_id: false,
            ..first("a link to elsewhere", elsewhere(), "PullError", 300, &["elsewhere.example"])
        },
        Failure { has_request_id: false, ..first("a reset", Fault::Reset, "ApiError", 498, &[]) },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_or_a_broken_answer_has_its_word_and_number_and_costs_no_record() {
    join_all(failures().into_iter().map(|failure| async move {
        let world = world().await;
        let what = failure.what;
        let rule = Rule::on_endpoint(world.endpoint(), failure.fault).page(failure.page);
        world.tenant.script(vec![rule]);
        let ended = world.once(&json!({})).await;
        let Ended::Error(error) = ended else { panic!("{what}: {ended:?}") };
        assert_eq!(error.error_type, failure.error_type, "{what}: {}", error.message);
        assert!(error.message.starts_with(&format!("[{}] ", failure.code)), "{what}: {}", error.message);
        for name in failure.named {
            assert!(error.message.contains(name), "{what}: `{name}` is not in: {}", error.message);
        }
        assert_eq!(
            error.message.contains("request id "),
            failure.has_request_id,
            "{what}: {}",
            error.message
        );
        // Devo is told in the same invocation, and the next tick is due at once and delivers what is missing.
        let is_told =
            |(tag, text): &(String, String)| tag.ends_with(".error") && text.contains(error.message.as_str());
        assert!(world.story().iter().any(is_told), "{what}: {:?}", world.story());
        world.tenant.script(Vec::new());
        let answer = world.tick().await;
        assert_eq!(answer["status"], "up_to_date", "{what}: {answer}");
        assert_eq!(world.records().len(), usize::try_from(RECORDS).unwrap(), "{what}");
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_links_that_go_in_a_circle_end_the_walk() {
    let world = world().await;
    let link = format!("{}{}?$skiptoken=again", world.tenant.base_url(), world.endpoint().path());
    let body = json!({"@odata.nextLink": link, "value": [{"id": "1"}]}).to_string();
    let circle = Fault::Status { code: 200, body: Some(body), headers: Vec::new() };
    world.tenant.script(vec![Rule::on_endpoint(world.endpoint(), circle)]);
    let error = world.once(&json!({})).await.error();
    assert_eq!(error.error_type, "PullError");
    assert!(error.message.starts_with("[300] ") && error.message.contains("circle"), "{}", error.message);
    assert!(world.tenant.requests().len() < 6, "it noticed at once");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_login_names_its_cause() {
    let id = TenantConfig::default().applications[0].client_id.clone();
    let mut expired = Application::with_secret(&id, "simulated~client-secret");
    expired.secrets[0].expires_at = Some(ago(SignedDuration::from_hours(1)));
    let cases = [
        (Application::with_secret(&id, "another~secret"), "wrong client secret"),
        (expired, "the client secret has expired"),
        (Application::with_secret("a1b2c3", "simulated~client-secret"), "unknown client"),
    ];
    join_all(cases.into_iter().map(|(application, cause)| async move {
        let world = world().await;
        world.tenant.set_applications(vec![application]);
        let error = world.once(&json!({})).await.error();
        assert_eq!(error.error_type, "SetupError", "{cause}: {}", error.message);
        assert!(
            error.message.starts_with("[101] Failed to fetch OAuth token from http://127.0.0.1"),
            "{}",
            error.message
        );
        assert!(error.message.contains(cause), "{}", error.message);
        let asked = world.tenant.requests();
        assert!(asked.iter().all(|seen| seen.addressee == Addressee::Login), "no page without a token");
        world.close().await;
    }))
    .await;
    let world = world().await;
    let mut document = world.document();
    document["inputs"][world.service.input]["credentials"]["tenant_id"] = json!("nowhere.example");
    world.store_secrets(&document, &world.devo_secret());
    let error = world.once(&json!({})).await.error();
    assert!(
        error.message.starts_with("[101] ") && error.message.contains("unknown tenant"),
        "{}",
        error.message
    );
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_that_the_api_refuses_is_error_301_and_names_the_filter() {
    let world = world().await;
    world.configure(&json!({"additional_filter": "nonsense eq 'x'"}));
    let error = world.once(&json!({})).await.error();
    assert_eq!(error.error_type, "PullError");
    assert!(
        error.message.starts_with("[301] ") && error.message.contains("nonsense eq 'x'"),
        "{}",
        error.message
    );
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_for_patience_beyond_the_deadline_is_kept_by_the_ticks_that_follow() {
    for wish in [RetryAfter::Seconds(3600), RetryAfter::Date(SignedDuration::from_hours(1))] {
        let world = world().await;
        let rule = Rule::on_endpoint(world.endpoint(), Fault::TooManyRequests(wish));
        world.tenant.script(vec![rule.page(PageKind::Next)]);
        let answer = world.tick().await;
        assert_eq!((&answer["status"], &answer["throttled"]), (&json!("throttled"), &json!(1)), "{answer}");
        assert_eq!(answer["delivered"], 10, "the first page is committed: {answer}");
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
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_passes_is_waited_for_within_the_invocation() {
    let rules = [
        ("429", vec![(2, Fault::TooManyRequests(RetryAfter::Seconds(1)))], PageKind::Next),
        ("429 without a wish", vec![(1, Fault::TooManyRequests(RetryAfter::Absent))], PageKind::First),
        ("503", vec![(1, Fault::status(503)), (2, Fault::status(503))], PageKind::First),
        ("gateway", vec![(1, Fault::GatewayTimeout)], PageKind::Next),
        ("reset", vec![(1, Fault::Reset)], PageKind::Next),
        ("cut", vec![(1, Fault::Truncate { at: 50 })], PageKind::Next),
        ("token revoked", vec![(1, Fault::TokenRevoked)], PageKind::Next),
        ("links dead", vec![(2, Fault::ExpireLinks)], PageKind::Next),
        (
            "twice and in disorder",
            vec![(1, Fault::DuplicateRecords), (2, Fault::ShuffleOrder)],
            PageKind::Next,
        ),
    ];
    join_all(rules.into_iter().map(|(what, faults, page)| async move {
        let world = world().await;
        let rule = |(nth, fault)| Rule::on_endpoint(world.endpoint(), fault).page(page).nth(nth);
        world.tenant.script(faults.into_iter().map(rule).collect());
        let answer = world.tick().await;
        assert_eq!(answer["status"], "up_to_date", "{what}: {answer}");
        assert_eq!(answer["delivered"], RECORDS, "{what}: {answer}");
        assert_eq!(world.records().len(), usize::try_from(RECORDS).unwrap(), "{what}: nothing twice");
        let asked_for_patience = u64::from(what.starts_with("429"));
        assert_eq!(answer["throttled"], asked_for_patience, "{what}: {answer}");
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_api_makes_progress_that_a_deadline_cannot_take_back() {
    let world = world().await;
    let slow = Fault::Delay(Duration::from_millis(700));
    world.tenant.script(vec![Rule::on_endpoint(world.endpoint(), slow)]);
    let mut statuses = Vec::new();
    while statuses.last().is_none_or(|status| status == "more") {
        assert!(statuses.len() < 10, "{statuses:?}");
        let process = world.process().await;
        let answer = world.invoke(&process, &json!({}), Duration::from_millis(2600)).await.answer();
        statuses.push(answer["status"].as_str().unwrap().to_owned());
    }
    assert!(statuses.len() > 1 && statuses.last().unwrap() == "up_to_date", "{statuses:?}");
    assert_eq!(world.records().len(), usize::try_from(RECORDS).unwrap());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_was_rotated_is_read_again_once_and_works_in_the_same_invocation() {
    let id = TenantConfig::default().applications[0].client_id.clone();
    // A process that has worked for a while, with a token and the old secret in its memory.
    let warm = world().await;
    let process = warm.process().await;
    let force = json!({"force": true});
    assert_eq!(warm.invoke(&process, &force, AMPLE).await.answer()["delivered"], RECORDS);
    warm.tenant.set_applications(vec![Application::with_secret(&id, "rotated~secret")]);
    warm.tenant.revoke_tokens();
    warm.store_secrets(&with_secret(&warm, "rotated~secret"), &warm.devo_secret());
    warm.emit(1000, ago(SignedDuration::from_mins(1)));
    let answer = warm.invoke(&process, &force, AMPLE).await.answer();
    assert_eq!((&answer["status"], &answer["delivered"]), (&json!("up_to_date"), &json!(1)), "{answer}");
    assert_eq!(warm.secrets.requests().len(), 4, "both secrets, once more");
    warm.close().await;

    // A new process that read the secret just before it was rotated.
    let cold = world().await;
    cold.tenant.set_applications(vec![Application::with_secret(&id, "rotated~secret")]);
    let (secrets, rotated) = (cold.secrets.clone(), with_secret(&cold, "rotated~secret"));
    cold.tenant.on_request(move |_| secrets.put("collector", &rotated.to_string()).unwrap());
    assert_eq!(cold.tick().await["delivered"], RECORDS);
    let logins = cold.tenant.requests().into_iter().filter(|seen| seen.addressee == Addressee::Login).count();
    assert_eq!(logins, 2);
    cold.close().await;
}

fn with_secret(world: &World, secret: &str) -> Value {
    let mut document = world.document();
    document["inputs"][world.service.input]["credentials"]["client_secret"] = json!(secret);
    document
}
