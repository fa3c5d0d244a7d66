//! What goes wrong with subscriptions and listings of a content feed, and that it costs no record.

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::tenant::{
    ContentType, Fault, FeedCall, FeedConfig, FeedError, LagCode, LagLength, PageKind, Rule, Subscription,
    SubscriptionLag, Tenant, TenantConfig, Visibility,
};

use crate::world::feeds::{Content, URI_RETRY, records_of};
use crate::world::judge::assert_arrived;
use crate::world::process::Ended;
use crate::world::{World, ago, feeds, service};

/// Blobs in each world: three pages.
const BLOBS: u64 = 8;
const RECORDS: u64 = 3 * BLOBS;

fn paged() -> TenantConfig {
    TenantConfig { feed: FeedConfig { page_size: 3, ..FeedConfig::default() }, ..TenantConfig::default() }
}

async fn world() -> (World, Vec<Content>) {
    world_with(paged()).await
}

async fn world_with(config: TenantConfig) -> (World, Vec<Content>) {
    let world = World::with(service("office365-sharepoint"), config).await;
    let contents = world.emit_blobs(BLOBS, 3, SignedDuration::from_mins(2));
    (world, contents)
}

fn starts(world: &World) -> usize {
    world.feed_calls().iter().filter(|call| matches!(call, FeedCall::Start(_))).count()
}

/// A line of a script for a feed.
type RuleFor = fn(ContentType) -> Rule;

/// A refusal, and what is told of it.
struct Refusal {
    what: &'static str,
    rule: RuleFor,
    error_type: &'static str,
    code: u16,
    named: &'static [&'static str],
}

const REFUSALS: &[Refusal] = &[
    Refusal {
        what: "no permission to list",
        rule: |content_type| Rule::on_listing(content_type, Fault::Feed(FeedError::PermissionMissing)),
        error_type: "SetupError",
        code: 102,
        named: &["Failed to fetch data from ", "Source is not pullable", "AF10001", "ActivityFeed.Read"],
    },
    Refusal {
        what: "no permission to start",
        rule: |content_type| Rule::on_start(content_type, Fault::Feed(FeedError::PermissionMissing)),
        error_type: "SetupError",
        code: 102,
        named: &["Source is not pullable", "AF10001", "ActivityFeed.Read"],
    },
    Refusal {
        what: "the audit log is off",
        rule: |content_type| Rule::on_start(content_type, Fault::Feed(FeedError::TenantUnknown)),
        error_type: "SetupError",
        code: 102,
        named: &["Source is not pullable", "does not exist", "audit"],
    },
    Refusal {
        what: "a list of HTML",
        rule: |_| Rule::on_subscriptions(Fault::Html),
        error_type: "PullError",
        code: 300,
        named: &["HTML"],
    },
    Refusal {
        what: "a listing of HTML",
        rule: |content_type| Rule::on_listing(content_type, Fault::Html),
        error_type: "PullError",
        code: 300,
        named: &["HTML"],
    },
    Refusal {
        what: "a listing that is no JSON",
        rule: |content_type| Rule::on_listing(content_type, Fault::NotJson),
        error_type: "PullError",
        code: 300,
        named: &[],
    },
    Refusal {
        what: "an object instead of a listing",
        rule: |content_type| Rule::on_listing(content_type, instead(json!({"value": []}))),
        error_type: "PullError",
        code: 300,
        named: &[],
    },
    Refusal {
        what: "an error with status 200",
        rule: |content_type| {
            let error = json!({"error": {"code": "AF50000", "message": "An internal error occurred."}});
            Rule::on_listing(content_type, instead(error))
        },
        error_type: "ApiError",
        code: 498,
        named: &["Error during API call to ", "AF50000"],
    },
    Refusal {
        what: "a later listing cut off",
        rule: |content_type| Rule::on_listing(content_type, Fault::Truncate { at: 60 }).page(PageKind::Next),
        error_type: "PullError",
        code: 300,
        named: &[],
    },
    Refusal {
        what: "500 for good, in single quotes",
        rule: |content_type| {
            Rule::on_listing(
                content_type,
                Fault::Feed(FeedError::Internal(simulator::tenant::Quotes::Single)),
            )
        },
        error_type: "ApiError",
        code: 498,
        named: &["Error during API call to ", "AF50000"],
    },
    Refusal {
        what: "links in a circle",
        rule: |content_type| Rule::on_listing(content_type, Fault::LoopNextLink).page(PageKind::Next),
        error_type: "PullError",
        code: 300,
        named: &["again"],
    },
];

/// A success that says this.
fn instead(body: Value) -> Fault {
    Fault::Status { code: 200, body: Some(body.to_string()), headers: Vec::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_or_broken_listing_has_its_word_and_number_and_costs_no_record() {
    join_all(REFUSALS.iter().map(|refusal| async move {
        let what = refusal.what;
        let (world, contents) = world().await;
        world.tenant.script(vec![(refusal.rule)(world.content_type())]);
        let error = match world.once(&json!({})).await {
            Ended::Error(error) => error,
            other => panic!("{what}: {other:?}"),
        };
        assert_eq!(error.error_type, refusal.error_type, "{what}: {}", error.message);
        assert!(error.message.starts_with(&format!("[{}] ", refusal.code)), "{what}: {}", error.message);
        for name in refusal.named {
            assert!(error.message.contains(name), "{what}: `{name}` is not in: {}", error.message);
        }
        let is_told =
            |(tag, text): &(String, String)| tag.ends_with(".error") && text.contains(error.message.as_str());
        assert!(world.story().iter().any(is_told), "{what}: {:?}", world.story());
        world.tenant.script(Vec::new());
        // A start that was refused is not tried again for a while: somebody else does it.
        world.tenant.set_subscription(world.content_type(), Subscription::Enabled);
        let answer = world.tick().await;
        assert_eq!(answer["status"], "up_to_date", "{what}: {answer}");
        assert_arrived(&world, &records_of(&contents));
        assert!(starts(&world) <= 1, "{what}");
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_another_cloud_is_refused_in_words_that_name_the_audience() {
    let (world, contents) = world().await;
    let mut document = world.document();
    document["inputs"]["office365"]["override_scope_value"] = json!(world.tenant.config().scope);
    world.store_secrets(&document, &world.devo_secret());
    let error = world.once(&json!({})).await.error();
    assert_eq!(error.error_type, "SetupError", "{}", error.message);
    assert!(error.message.starts_with("[102] ") && error.message.contains("audience"), "{}", error.message);
    world.store_secrets(&world.document(), &world.devo_secret());
    assert_eq!(world.tick().await["delivered"], RECORDS);
    assert_arrived(&world, &records_of(&contents));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_that_one_feed_lacks_is_that_feeds_matter_alone() {
    let world = World::with(service(URI_RETRY), paged()).await;
    let refused = ContentType::Dlp;
    world.tenant.script(vec![Rule::on_content_type(refused, Fault::Feed(FeedError::PermissionMissing))]);
    let created = ago(SignedDuration::from_mins(9));
    for (number, content_type) in (0_u64..).zip(ContentType::ALL) {
        world.emit_blob_of(content_type, created, number * 10..number * 10 + 4);
    }
    join_all(feeds().map(|feed| async {
        match world.once_of(feed.function, &json!({})).await {
            Ended::Answer(answer) => {
                assert_ne!(feed.function, "office365-dlp");
                assert_eq!(answer["delivered"], 4, "{answer}");
            }
            Ended::Error(error) => {
                assert_eq!(feed.function, "office365-dlp", "{}", error.message);
                assert!(error.message.starts_with("[102] "), "{}", error.message);
                assert!(error.message.contains("ActivityFeed.ReadDlp"), "{}", error.message);
            }
            Ended::Died => panic!("{} died", feed.function),
        }
    }))
    .await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_is_enabled_already_counts_as_started() {
    let mut config = paged();
    config.feed.subscriptions = Subscription::Enabled;
    let (world, contents) = world_with(config).await;
    let nothing = Fault::Status { code: 200, body: Some("[]".to_owned()), headers: Vec::new() };
    world.tenant.script(vec![Rule::on_subscriptions(nothing)]);
    let answer = world.tick().await;
    assert_eq!(
        (&answer["status"], &answer["delivered"]),
        (&json!("up_to_date"), &json!(RECORDS)),
        "{answer}"
    );
    let refused = world.feed_requests().into_iter().find(|seen| seen.status != Some(200)).unwrap();
    assert_eq!(refused.addressee, simulator::tenant::Addressee::Feed(FeedCall::Start(world.content_type())));
    assert_arrived(&world, &records_of(&contents));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_is_not_known_yet_is_waited_for_and_not_started_again() {
    join_all([LagCode::NoSubscription, LagCode::Disabled].map(|code| async move {
        let mut config = paged();
        let lasts = LagLength::For(SignedDuration::from_hours(12));
        config.feed.subscription_lag = Some(SubscriptionLag { code, lasts });
        let (world, contents) = world_with(config).await;
        for round in 0..2 {
            let answer = world.force().await;
            assert_eq!(
                (&answer["status"], &answer["delivered"]),
                (&json!("up_to_date"), &json!(0)),
                "{answer}"
            );
            let warnings = answer["warnings"].as_array().unwrap();
            let is_told = |warning: &Value| warning.as_str().unwrap().contains("12 h");
            assert!(warnings.iter().any(is_told), "{code:?}, round {round}: {answer}");
        }
        world.tenant.set_subscription_lag(None);
        let answer = world.force().await;
        assert_eq!(
            (&answer["status"], &answer["delivered"]),
            (&json!("up_to_date"), &json!(RECORDS)),
            "{answer}"
        );
        assert_eq!(starts(&world), 1, "{code:?}");
        assert_arrived(&world, &records_of(&contents));
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_somebody_disabled_is_started_again() {
    let (world, mut contents) = world().await;
    assert_eq!(world.tick().await["delivered"], RECORDS);
    // Not even then more often than once in a quarter of an hour.
    world.tenant.set_subscription(world.content_type(), Subscription::Disabled);
    contents.push(world.emit_blob(ago(SignedDuration::from_secs(5)), 900..904));
    let answer = world.force().await;
    assert_eq!((&answer["status"], &answer["delivered"]), (&json!("up_to_date"), &json!(0)), "{answer}");
    assert!(!answer["warnings"].as_array().unwrap().is_empty(), "{answer}");
    world.tenant.set_subscription(world.content_type(), Subscription::Enabled);
    assert_eq!(world.force().await["delivered"], 4);
    assert_arrived(&world, &records_of(&contents));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_to_another_host_ends_the_walk_and_the_token_is_not_shown_there() {
    let links: [fn(String, ContentType) -> Rule; 2] = [
        |host, feed| Rule::on_listing(feed, Fault::ForeignNextLink { host }),
        |host, feed| Rule::on_listing(feed, Fault::ForeignContentUri { host }).page(PageKind::First),
    ];
    join_all(links.into_iter().map(|rule| async move {
        let elsewhere = Tenant::start(TenantConfig::default()).await.unwrap();
        let (world, contents) = world().await;
        world.tenant.script(vec![rule(elsewhere.base_url(), world.content_type())]);
        let error = world.once(&json!({})).await.error();
        assert_eq!(error.error_type, "PullError", "{}", error.message);
        let names_host = error.message.contains(&elsewhere.base_url());
        assert!(error.message.starts_with("[300] ") && names_host, "{}", error.message);
        world.tenant.script(Vec::new());
        assert_eq!(world.tick().await["status"], "up_to_date");
        assert_arrived(&world, &records_of(&contents));
        assert!(elsewhere.requests().is_empty(), "the other host was asked");
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_listing_does_otherwise_than_it_should_changes_nothing_of_what_arrives() {
    let rules: Vec<(&str, RuleFor)> = vec![
        ("a link not known any more", |feed| {
            Rule::on_listing(feed, Fault::Feed(FeedError::NextPageInvalid)).page(PageKind::Next).nth(2)
        }),
        ("links dead", |feed| Rule::on_listing(feed, Fault::ExpireLinks).page(PageKind::Next).nth(1)),
        ("every entry twice", |feed| Rule::on_listing(feed, Fault::DuplicateRecords)),
        ("in disorder", |feed| Rule::on_listing(feed, Fault::ShuffleOrder)),
        ("an empty page first", |feed| Rule::on_listing(feed, Fault::EmptyPageWithNext).nth(1)),
        ("500 once", |feed| {
            Rule::on_listing(feed, Fault::Feed(FeedError::Internal(simulator::tenant::Quotes::Double))).nth(2)
        }),
        ("cut once", |feed| Rule::on_listing(feed, Fault::Truncate { at: 50 }).nth(2)),
        ("reset once", |feed| Rule::on_listing(feed, Fault::Reset).nth(1)),
        ("token revoked", |feed| Rule::on_listing(feed, Fault::TokenRevoked).nth(2)),
        ("the list fails once", |_| Rule::on_subscriptions(Fault::status(503)).nth(1)),
    ];
    join_all(rules.into_iter().map(|(what, rule)| async move {
        let (world, contents) = world().await;
        world.tenant.script(vec![rule(world.content_type())]);
        let answer = world.tick().await;
        assert_eq!(
            (&answer["status"], &answer["delivered"]),
            (&json!("up_to_date"), &json!(RECORDS)),
            "{what}: {answer}"
        );
        assert_arrived(&world, &records_of(&contents));
        assert!(world.fetched_otherwise_than(1, &contents).is_empty(), "{what}: fetched more than once");
        assert_eq!(world.force().await["delivered"], 0, "{what}");
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_is_listed_late_or_again_arrives_once() {
    let (world, mut contents) = world().await;
    let content_type = world.content_type();
    assert_eq!(world.tick().await["delivered"], RECORDS);
    // Listed from the next listing but one on, as of half an hour ago; and the same ids a second time.
    let late =
        vec![r#"{"Id":"late","CreationTime":"2026-11-15T10:00:00","Workload":"SharePoint"}"#.to_owned()];
    let created = ago(SignedDuration::from_mins(30));
    let id = world.tenant.emit_blob_when(content_type, created, late.clone(), Visibility::AfterRequests(1));
    contents.push(Content { id, records: late });
    for content in &contents[..3] {
        world.tenant.list_again(&content.id, ago(SignedDuration::from_secs(3))).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(world.force().await["status"], "up_to_date");
    }
    assert_arrived(&world, &records_of(&contents));
    assert!(world.fetched_otherwise_than(1, &contents).is_empty(), "what was had is not fetched again");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_expired_before_it_was_listed_is_counted_as_lost_by_name_and_never_asked_for() {
    let (world, contents) = world().await;
    let expired = &contents[2];
    world.tenant.expire_blob(&expired.id, ago(SignedDuration::from_secs(1))).unwrap();
    let answer = world.tick().await;
    assert_eq!(
        (&answer["status"], &answer["delivered"]),
        (&json!("up_to_date"), &json!(RECORDS - 3)),
        "{answer}"
    );
    let is_told = |warning: &&Value| {
        let text = warning.as_str().unwrap();
        text.contains("is lost") && text.contains(&expired.id)
    };
    assert_eq!(answer["warnings"].as_array().unwrap().iter().filter(is_told).count(), 1, "{answer}");
    assert_eq!(world.tenant.fetches(&expired.id), 0);
    // Once is enough.
    let again = world.force().await;
    assert!(!again["warnings"].as_array().unwrap().iter().any(|warning| is_told(&warning)), "{again}");
    let others: Vec<Content> = contents.iter().filter(|content| content.id != expired.id).cloned().collect();
    assert_arrived(&world, &records_of(&others));
    world.close().await;
}
