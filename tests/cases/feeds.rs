//! Every content feed, over the list that is declared: what is asked for, in which order, and what arrives.

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::records;
use simulator::tenant::{
    BodyStyle, Compression, ContentType, Fault, FeedCall, FeedConfig, FeedError, Framing, ListedNames,
    ListedStatus, NextPagePath, NextPageTimes, PageKind, Rule, Subscription, Target, TenantConfig,
    WindowCode,
};

use crate::world::feeds::{Content, URI_RETRY, call_of, records_of};
use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::pictures::{keep, normal, shown};
use crate::world::{World, ago, feeds, service};

/// Entries of a listing page: few, so that a few blobs make several pages.
const PAGE: usize = 3;

fn paged() -> TenantConfig {
    TenantConfig { feed: FeedConfig { page_size: PAGE, ..FeedConfig::default() }, ..TenantConfig::default() }
}

/// Records whose tags need care: variants in case and shape, unknown ones, none.
fn odd_workloads(world: &World) -> Content {
    let created = ago(SignedDuration::from_mins(4));
    let time = created - SignedDuration::from_mins(30);
    let words = [
        "AzureActiveDirectory",
        "OneDrive",
        "MicrosoftTeams",
        "SecurityComplianceCenter",
        "Air Investigation-2",
        "CRM",
        "Nobody.Knows_This",
        "Ünïcode",
        "exchange",
        "***",
        "",
    ];
    let mut texts: Vec<String> =
        (0_u64..).zip(words).map(|(seed, word)| records::audit_record(9_000 + seed, time, word)).collect();
    texts.extend([
        r#"{"Id":"without","CreationTime":"2026-11-01T10:00:00","Operation":"None"}"#.to_owned(),
        r#"{"Id":"null","CreationTime":"2026-11-01 10:00:00","Workload":null}"#.to_owned(),
        r#"{"Id":"number","CreationTime":"","Workload":7,"Parameters":[{"Name":"a"}]}"#.to_owned(),
        r#"{"Id":"repeated","Nested":{"Workload":"Yammer"},"Workload":"Power\u0042I"}"#.to_owned(),
    ]);
    let id = world.tenant.emit_blob(world.content_type(), created, texts.clone());
    Content { id, records: texts }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_feed_starts_its_subscription_and_delivers_each_record_once_under_the_tag_of_its_workload() {
    join_all(feeds().map(|service| async move {
        let world = World::with(service, paged()).await;
        delivers_once(&world).await;
        world.close().await;
    }))
    .await;
}

async fn delivers_once(world: &World) {
    let function = world.service.function;
    // Half a day is one window, whatever time passes until it is asked for.
    world.configure(&json!({"start_time_in_utc": ago(SignedDuration::from_hours(12)).to_string()}));
    let mut contents = world.emit_blobs(7, 4, SignedDuration::from_mins(6));
    contents.push(odd_workloads(world));
    let mut emitted = records_of(&contents);
    let first = world.tick().await;
    assert_answer(&first, function, emitted.len() as u64);
    assert_arrived(world, &emitted);
    assert_calls_of_first_tick(world);
    assert!(world.fetched_otherwise_than(1, &contents).is_empty());
    assert_eq!(world.tenant.subscription(world.content_type()), Subscription::Enabled);

    // A tick before its time does nothing; one in time lists again and fetches nothing again.
    let early = world.tick().await;
    assert_eq!((&early["status"], &early["requests"]), (&json!("not_due"), &json!(0)), "{function}");
    let known = world.feed_calls().len();
    assert_answer(&world.force().await, function, 0);
    let content_type = world.content_type();
    assert!(
        world.feed_calls()[known..].iter().all(|call| *call == FeedCall::Listing(content_type)),
        "{function}"
    );
    assert_arrived(world, &emitted);

    // New content, and some that is listed late: older than the newest, within the look-back.
    let late = ago(SignedDuration::from_mins(35));
    contents.push(world.emit_blob(ago(SignedDuration::from_secs(2)), 500..503));
    contents.push(world.emit_blob(late, 600..602));
    emitted = records_of(&contents);
    assert_answer(&world.force().await, function, 5);
    assert_arrived(world, &emitted);
    assert!(world.fetched_otherwise_than(1, &contents).is_empty(), "{function}");

    keep("answer", function, &serde_json::to_string_pretty(&normal(&first, world)).unwrap());
    keep("requests", function, &kinds_of_requests(world));
}

/// One list, one start, and only then listings; each blob behind the listing that names it.
fn assert_calls_of_first_tick(world: &World) {
    let content_type = world.content_type();
    let calls = world.feed_calls();
    let beginning = [FeedCall::Subscriptions, FeedCall::Start(content_type), FeedCall::Listing(content_type)];
    assert_eq!(calls[..3], beginning, "{}", world.service.function);
    let others = &calls[3..];
    assert!(
        others
            .iter()
            .all(|call| [FeedCall::Listing(content_type), FeedCall::Blob(content_type)].contains(call)),
        "{calls:?}"
    );
    let listings = calls.iter().filter(|call| **call == FeedCall::Listing(content_type)).count();
    assert_eq!(listings, 3, "eight blobs on pages of {PAGE}: {calls:?}");
}

/// The first request of each kind, in order.
fn kinds_of_requests(world: &World) -> String {
    let requests = world.feed_requests();
    let mut kinds: Vec<(Option<FeedCall>, PageKind)> = Vec::new();
    let mut pictures = Vec::new();
    for request in &requests {
        let kind = (call_of(request), request.page);
        if !kinds.contains(&kind) {
            kinds.push(kind);
            pictures.push(shown(request));
        }
    }
    pictures.join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_retry_service_delivers_what_failed_once_it_can_be_had_and_asks_nobody_when_nothing_waits() {
    let world = World::with(service(URI_RETRY), paged()).await;
    let idle = world.tick().await;
    assert_eq!((&idle["status"], &idle["requests"]), (&json!("up_to_date"), &json!(0)), "{idle}");
    assert!(world.tenant.requests().is_empty(), "not even a login");

    let mut good = Vec::new();
    let mut failing = Vec::new();
    for (index, content_type) in (0_u64..).zip(ContentType::ALL) {
        let at = |minutes| ago(SignedDuration::from_mins(minutes));
        good.push(world.emit_blob_of(content_type, at(20), index * 100..index * 100 + 3));
        failing.push(world.emit_blob_of(content_type, at(10), index * 100 + 50..index * 100 + 52));
    }
    let refuse = |content: &Content| {
        Rule::on(Target::AnyBlob, Fault::Feed(FeedError::ContentUnknown)).content(&content.id)
    };
    world.tenant.script(failing.iter().map(refuse).collect());
    for feed in feeds() {
        let answer = world.once_of(feed.function, &json!({})).await.answer();
        assert_eq!((&answer["status"], &answer["delivered"]), (&json!("up_to_date"), &json!(3)), "{answer}");
        assert_eq!(answer["failed_uris"], 1, "{answer}");
    }
    assert_eq!(world.queue().await.len(), ContentType::ALL.len());
    // They are not due yet: a tick of the retry service has nothing to do. Forced, it fails once more, and they wait on.
    let before = world.tenant.requests().len();
    let early = world.once(&json!({})).await.answer();
    assert!(["not_due", "up_to_date"].contains(&early["status"].as_str().unwrap()), "{early}");
    assert_eq!(world.tenant.requests().len(), before, "nothing was due: {early}");
    let failed_again = world.retry().await;
    assert_eq!(
        (&failed_again["failed_uris"], &failed_again["delivered"]),
        (&json!(5), &json!(0)),
        "{failed_again}"
    );
    assert_eq!(world.queue().await.len(), ContentType::ALL.len());

    world.tenant.script(Vec::new());
    let known = world.feed_requests().len();
    let answer = world.retry().await;
    assert_answer(&answer, URI_RETRY, 10);
    assert!(world.queue().await.is_empty());
    let calls = &world.feed_calls()[known..];
    assert!(calls.iter().all(|call| matches!(call, FeedCall::Blob(_))) && calls.len() == 5, "{calls:?}");
    let everything: Vec<Content> = good.into_iter().chain(failing).collect();
    let hosts: Vec<String> = world.records().into_iter().map(|arrival| arrival.host).collect();
    assert_eq!(hosts.iter().filter(|host| *host == URI_RETRY).count(), 10, "{hosts:?}");
    assert_arrived_from_all(&world, &records_of(&everything));

    keep("answer", URI_RETRY, &serde_json::to_string_pretty(&normal(&answer, &world)).unwrap());
    keep("requests", URI_RETRY, &shown(&world.feed_requests()[known]));
    // What was delivered by retry is known to the feed: content that names it again brings nothing.
    for feed in feeds() {
        let again = world.once_of(feed.function, &json!({"force": true})).await.answer();
        assert_eq!(again["delivered"], 0, "{again}");
    }
    world.close().await;
}

/// As `assert_arrived`, whichever function they came from.
fn assert_arrived_from_all(world: &World, emitted: &[String]) {
    let mut arrived: Vec<String> =
        world.records().iter().map(|arrival| crate::world::contract::record_of(&arrival.message)).collect();
    let mut expected = emitted.to_vec();
    arrived.sort_unstable();
    expected.sort_unstable();
    assert_eq!(arrived, expected);
}

/// What tenants have been seen to do otherwise than the reference says.
fn habits() -> Vec<(&'static str, TenantConfig)> {
    let feed = |change: fn(&mut FeedConfig)| {
        let mut config = paged();
        change(&mut config.feed);
        config
    };
    vec![
        ("a header of another case", feed(|feed| feed.next_page_header = "Nextpageuri".to_owned())),
        ("a header in lower case", feed(|feed| feed.next_page_header = "nextpageuri".to_owned())),
        ("a next link of another version", feed(|feed| feed.next_page_path = NextPagePath::V1)),
        ("a next link without a start", feed(|feed| feed.next_page_times = NextPageTimes::EndOnly)),
        (
            "content types in another case",
            feed(|feed| {
                feed.listed_names = ListedNames::OtherCase;
                feed.subscriptions = Subscription::Enabled;
            }),
        ),
        (
            "no status in the list",
            feed(|feed| {
                feed.listed_status = ListedStatus::OnlyDisabled;
                feed.subscriptions = Subscription::Enabled;
            }),
        ),
        ("subscriptions that are disabled", feed(|feed| feed.subscriptions = Subscription::Disabled)),
        ("another code for a bad window", feed(|feed| feed.window_code = WindowCode::Af20030)),
        ("blobs with their length", feed(|feed| feed.blob_framing = Framing::ContentLength)),
        ("no compression", TenantConfig { compression: Compression::Never, ..paged() }),
        ("indented bodies", TenantConfig { body_style: BodyStyle::Pretty, ..paged() }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_with_habits_of_its_own_loses_and_repeats_nothing() {
    let all: Vec<_> = feeds().collect();
    join_all(habits().into_iter().enumerate().map(|(number, (what, config))| {
        let service = all[number % all.len()];
        async move {
            let is_subscribed = config.feed.subscriptions == Subscription::Enabled;
            let world = World::with(service, config).await;
            let contents = world.emit_blobs(8, 3, SignedDuration::from_mins(2));
            let answer = world.tick().await;
            assert_eq!(
                (&answer["status"], &answer["delivered"]),
                (&json!("up_to_date"), &json!(24)),
                "{what}: {answer}"
            );
            assert_arrived(&world, &records_of(&contents));
            let starts = world.feed_calls().iter().filter(|call| matches!(call, FeedCall::Start(_))).count();
            assert_eq!(starts, usize::from(!is_subscribed), "{what}: starts only what has to be started");
            assert_eq!(world.force().await["delivered"], 0, "{what}");
            assert!(world.fetched_otherwise_than(1, &contents).is_empty(), "{what}");
            world.close().await;
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_week_without_a_tick_is_read_in_windows_of_a_day_and_never_beyond_what_the_api_keeps() {
    let world = World::with(feeds().next().unwrap(), paged()).await;
    world.configure(&json!({"start_time_in_utc": ago(SignedDuration::from_hours(24 * 20)).to_string()}));
    let contents: Vec<Content> = (0..13_u64)
        .map(|step| {
            world.emit_blob(
                ago(SignedDuration::from_hours(1 + 12 * step.cast_signed())),
                step * 10..step * 10 + 2,
            )
        })
        .collect();
    let answer = world.tick().await;
    assert_eq!((&answer["status"], &answer["delivered"]), (&json!("up_to_date"), &json!(26)), "{answer}");
    assert!(answer["windows"].as_u64().unwrap() >= 7, "{answer}");
    let warnings = answer["warnings"].as_array().unwrap();
    let is_gap = |warning: &&Value| warning.as_str().unwrap().contains("cannot be had");
    assert_eq!(warnings.iter().filter(is_gap).count(), 1, "{answer}");
    assert_arrived(&world, &records_of(&contents));
    let refused = world.feed_requests().into_iter().filter(|seen| seen.status != Some(200)).count();
    assert_eq!(refused, 0, "no window was longer than a day, and none began too early");
    world.close().await;
}
