//! Content feeds at the command line: subscriptions, the retry queue, and two processes at one feed.

use jiff::{SignedDuration, Timestamp};
use local::Reads;
use serde_json::Value;
use simulator::tenant::{Addressee, ContentType, Fault, FeedCall, FeedError, Gate, Rule, Subscription};

use crate::support::{
    RETRY, assert_each_arrived_once_in, collector, each_record, emit, play, printed_records, status_of, text,
    world_with,
};

const EXCHANGE: &str = "office365.exchange";
const EXCHANGE_FUNCTION: &str = "office365-exchange";
const FEED: Reads = Reads::Feed(ContentType::Exchange);

/// The content that is asked for first is not there.
fn first_blob_fails() -> Rule {
    Rule::on_blobs(ContentType::Exchange, Fault::Feed(FeedError::ContentUnknown)).nth(1)
}

fn starts(world: &local::World) -> usize {
    let requests = world.tenant.requests();
    let is_start = |addressee| matches!(addressee, Addressee::Feed(FeedCall::Start(_)));
    requests.iter().filter(|request| is_start(request.addressee)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_starts_no_subscription_and_warns_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 3).await;
    world.tenant.set_subscription(ContentType::Dlp, Subscription::Enabled);
    let checked = play(&world, &["check"]).await;
    let shown = text(&checked.stdout);
    assert!(checked.status.success(), "{shown}{}", text(&checked.stderr));
    for service in ["azure_active_directory", "sharepoint", "exchange", "general_audit"] {
        assert!(shown.contains(&format!("warning office365.{service}: ")), "{shown}");
    }
    assert!(
        shown.contains("ok      office365.dlp: login and first page work, 1 content blobs in the last hour"),
        "{shown}"
    );
    assert!(shown.contains("ok      office365.uri_retry: login works"), "{shown}");
    assert_eq!(starts(&world), 0);
    assert_eq!(world.tenant.subscription(ContentType::Exchange), Subscription::Missing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_to_look_at_prints_a_feeds_records_and_starts_no_subscription() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 25).await;
    let look = async |arguments: &[&str]| {
        let pulled = play(&world, &[&["pull", EXCHANGE, "--output", "stdout"], arguments].concat()).await;
        assert!(pulled.status.success(), "{}", text(&pulled.stderr));
        (printed_records(&text(&pulled.stdout)), text(&pulled.stderr))
    };
    let (nothing, told) = look(&[]).await;
    assert!(nothing.is_empty());
    assert!(told.contains("subscription"), "it says why: {told}");
    assert_eq!(starts(&world), 0);

    world.tenant.set_subscription(ContentType::Exchange, Subscription::Enabled);
    for _ in 0..2 {
        assert_eq!(look(&[]).await.0, each_record(&world, FEED, 1));
    }
    let ago = |minutes| format!("{:.0}", Timestamp::now() - SignedDuration::from_mins(minutes));
    assert_eq!(look(&["--from", &ago(120), "--to", &ago(0)]).await.0, each_record(&world, FEED, 1));
    assert!(look(&["--from", &ago(180), "--to", &ago(60)]).await.0.is_empty(), "the records are that old");
    assert!(!world.state.exists() && world.receiver.event_count() == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_a_feed_that_was_pulled_by_itself_is_not_sent_again_by_the_live_pull() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 25).await;
    let hours_ago = |hours| format!("{:.0}", Timestamp::now() - SignedDuration::from_hours(hours));
    let pull = async |window: &[&str]| {
        let pulled = play(&world, &[&["pull", EXCHANGE], window].concat()).await;
        assert!(pulled.status.success(), "{}", text(&pulled.stderr));
        let answer = text(&pulled.stderr);
        let line = answer.lines().find(|line| line.starts_with('{')).unwrap().to_owned();
        serde_json::from_str::<Value>(&line).unwrap()["delivered"].as_u64().unwrap()
    };
    let past = SignedDuration::from_hours(5);
    let record = simulator::records::office365(ContentType::Exchange, 1_000, Timestamp::now() - past * 2);
    world.tenant.emit_blob(ContentType::Exchange, Timestamp::now() - past, vec![record]);
    assert_eq!(pull(&["--from", &hours_ago(6), "--to", &hours_ago(4)]).await, 1);
    assert_eq!(pull(&["--from", &hours_ago(6), "--to", &hours_ago(4)]).await, 0);
    assert_eq!(pull(&[]).await, 25);
    assert_each_arrived_once_in(&world, |reads| reads == FEED);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_fails_waits_is_shown_and_is_brought_by_the_retry_service() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 30).await;
    world.tenant.script(vec![first_blob_fails()]);
    let pull = async |service: &str| {
        let pulled = play(&world, &["pull", service]).await;
        assert!(pulled.status.success(), "{}", text(&pulled.stderr));
        let answer = text(&pulled.stderr);
        serde_json::from_str::<Value>(answer.lines().find(|line| line.starts_with('{')).unwrap()).unwrap()
    };
    let waiting = async || {
        let (feed, retry) = (status_of(&world, EXCHANGE_FUNCTION).await, status_of(&world, RETRY).await);
        (feed["pending_retries"].clone(), retry["pending_retries"].clone())
    };

    let first = pull(EXCHANGE).await;
    assert_eq!((&first["delivered"], &first["failed_uris"]), (&20.into(), &1.into()), "{first}");
    assert_eq!(waiting().await, (1.into(), 1.into()));
    let table = text(&play(&world, &["status"]).await.stdout);
    assert!(table.contains("office365-uri-retry: retries are those of all feeds"), "{table}");

    let second = pull(EXCHANGE).await;
    assert_eq!((&second["delivered"], &second["failed_uris"]), (&0.into(), &0.into()), "{second}");
    assert_eq!(waiting().await, (1.into(), 1.into()), "the feed leaves it to the retry service");

    let retried = pull("office365.uri_retry").await;
    assert_eq!((&retried["delivered"], &retried["failed_uris"]), (&10.into(), &0.into()), "{retried}");
    assert_eq!(waiting().await, (0.into(), 0.into()));
    let counts = &status_of(&world, EXCHANGE_FUNCTION).await["last_24_hours"];
    assert_eq!(counts["delivered"], 30, "what was retried counts as the feed's");
    assert_each_arrived_once_in(&world, |reads| reads == FEED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_busy_is_passed_over_and_the_service_that_finds_it_locked_fails_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 30).await;
    world.tenant.script(vec![first_blob_fails()]);
    assert!(play(&world, &["pull", EXCHANGE]).await.status.success());

    // The feed is at work: its listing is held.
    let gate = Gate::new();
    world.tenant.script(vec![Rule::on_listing(ContentType::Exchange, Fault::Hold(gate.clone()))]);
    emit(&world, FEED, 30..40);
    let feed = collector(&world, &["pull", EXCHANGE]).spawn().unwrap();
    gate.arrived(1).await;
    let passed_over = play(&world, &["pull", "office365.uri_retry"]).await;
    assert!(passed_over.status.success(), "{}", text(&passed_over.stderr));
    assert!(text(&passed_over.stderr).contains("\"delivered\":0"), "{}", text(&passed_over.stderr));
    gate.release();
    assert!(feed.wait_with_output().await.unwrap().status.success());

    // The retry service is at work: the content is held.
    let held = Gate::new();
    world.tenant.script(vec![Rule::on_blobs(ContentType::Exchange, Fault::Hold(held.clone()))]);
    let retry = collector(&world, &["pull", "office365.uri_retry"]).spawn().unwrap();
    held.arrived(1).await;
    let locked = play(&world, &["pull", EXCHANGE]).await;
    assert_eq!(locked.status.code(), Some(1));
    let told = text(&locked.stderr);
    assert!(told.contains("\"status\":\"locked\"") && !told.contains("error"), "{told}");
    held.release();
    assert!(retry.wait_with_output().await.unwrap().status.success());
    assert_each_arrived_once_in(&world, |reads| reads == FEED);
}
