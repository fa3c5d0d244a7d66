//! Each created function at work, and its role: allowed is what it calls, and nothing else.
//!
//! Every function collects a window, goes on for so many ticks that small rows of its memory are merged, answers a
//! backfill and a dry run; feeds have content that fails first and comes by the retry service. So every kind of call
//! that the code can make is made, recorded, and put to the role's own policies. What Lambda itself does in a function's
//! name cannot be recorded and is a list.

use std::collections::{BTreeMap, BTreeSet};

use collector::service::Service;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::records;
use simulator::tenant::{ContentType, Fault, FeedError, Rule, Target, Tenant, TenantConfig};

use crate::world::contract::{self, Asks, promise};
use crate::world::deployment::{Deployment, deployment};
use crate::world::deployment_play::{Played, Player, store_secrets};
use crate::world::document::HUNTING_TABLE;
use crate::world::feeds::{URI_RETRY, content_type_of};
use crate::world::iam::{Call, Grant, Role};
use crate::world::judge::assert_answer;
use crate::world::parties::{self, receiver};
use crate::world::table::Table;
use crate::world::{ago, feeds};

use super::unmade;

/// Id and environment of the inputs of the deployed functions.
pub const ID: &str = "deployed";
/// Records of the first window.
const FIRST: u64 = 12;
/// Ticks with one new record each: more than it takes until the small rows of one hour are merged.
const TICKS: u64 = 20;
/// What Lambda does with a function's role, without the function: its log lines, its failed invocations.
pub const BY_LAMBDA: [&str; 3] = ["logs:CreateLogStream", "logs:PutLogEvents", "sqs:SendMessage"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_created_function_collects_and_its_role_allows_what_it_calls_and_nothing_it_does_not_call() {
    let stack = deployment();
    let played = play(stack).await;
    assert_eq!(played.len(), stack.functions.len());
    for one in &played {
        assert_calls_are_allowed(stack, one);
        assert_every_grant_is_used(stack, one);
        assert_own_partitions(one);
    }
    for (one, other) in played.iter().flat_map(|one| played.iter().map(move |other| (one, other))) {
        assert_calls_of_another_are_denied(stack, one, other);
    }
    unmade::assert_alarms_watch_what_is_measured(&played);
}

/// Plays all created functions side by side.
async fn play(stack: &Deployment) -> Vec<Played> {
    let tables: BTreeSet<&String> =
        stack.functions.values().map(|one| &one.environment["STATE_TABLE"]).collect();
    assert_eq!(tables.len(), 1, "one table for all: {tables:?}");
    Table::create(parties::dynamodb(), tables.first().unwrap()).await;
    let tenant = Tenant::start(TenantConfig::default()).await.unwrap();
    store_secrets(stack, &tenant, ID).await;
    let started = stack.functions.values().map(|function| Player::start(stack, function));
    let mut players: BTreeMap<&str, Player> =
        join_all(started).await.into_iter().map(|player| (player.service.function, player)).collect();
    let content = take(&mut players, feeds());
    let retry = players.remove(URI_RETRY).unwrap();
    let collections: Vec<Player> = players.into_values().collect();
    let (pulled, fed) = tokio::join!(
        join_all(collections.into_iter().map(|player| pull(player, &tenant))),
        feed(content, retry, &tenant),
    );
    let violations = tenant.violations();
    assert!(violations.is_empty(), "{violations:?}");
    pulled.into_iter().chain(fed).collect()
}

fn take(players: &mut BTreeMap<&str, Player>, wanted: impl Iterator<Item = &'static Service>) -> Vec<Player> {
    let found = wanted.map(|service| {
        let player = players.remove(service.function);
        player.unwrap_or_else(|| panic!("{} was not created", service.function))
    });
    found.collect()
}

/// A tick of a collection. A snapshot sends what is new, whatever the day: midnight may come while it is played.
fn tick(service: &Service, force: bool) -> Value {
    let mut event = if force { json!({"force": true}) } else { json!({}) };
    if service.query.is_snapshot() {
        event["settings"] = json!({"snapshot_mode": "changes"});
    }
    event
}

/// Emits a record of what the function asks for.
fn emit_to(function: &str, tenant: &Tenant, seed: u64, time: Timestamp) -> String {
    match promise(function).asks {
        Asks::Collection(endpoint) => {
            let record = records::record(endpoint, seed, time);
            tenant.emit(endpoint, record.clone()).unwrap();
            record
        }
        Asks::Defender(list) => {
            let record = records::defender_record(list, seed, time);
            tenant.emit_defender(list, record.clone()).unwrap();
            record
        }
        Asks::CloudApps(list) => {
            let record = records::cloud_apps_record(list, seed, time);
            tenant.emit_cloud_apps(list, record.clone()).unwrap();
            record
        }
        Asks::Hunting => {
            let row = records::hunting_row(seed, time);
            tenant.emit_hunting(HUNTING_TABLE, time, row.clone());
            row
        }
        other => panic!("{function} is no collection but asks {other:?}"),
    }
}

/// Whatever is no feed.
async fn pull(player: Player, tenant: &Tenant) -> Played {
    let function = player.service.function;
    let emit = |seed: u64, time: Timestamp| emit_to(function, tenant, seed, time);
    let at = ago(SignedDuration::from_mins(3));
    let mut emitted: Vec<String> = (0..FIRST).map(|seed| emit(seed, at)).collect();
    assert_answer(&player.invoke(&tick(player.service, false)).await, function, FIRST);
    for seed in FIRST..FIRST + TICKS {
        emitted.push(emit(seed, at));
        assert_answer(&player.invoke(&tick(player.service, true)).await, function, 1);
    }
    if !player.service.query.is_snapshot() {
        let old = ago(SignedDuration::from_hours(72));
        emitted.push(emit(FIRST + TICKS, old));
        assert_answer(&player.invoke(&backfill(old)).await, function, 1);
    }
    assert_eq!(player.invoke(&json!({"dry_run": true})).await["status"], "dry_run");
    assert_arrived(function, &emitted);
    player.end().await
}

/// The feeds, and the retry service between their ticks.
async fn feed(content: Vec<Player>, retry: Player, tenant: &Tenant) -> Vec<Played> {
    let at = ago(SignedDuration::from_mins(3));
    let failing: Vec<(ContentType, String, Vec<String>)> = content
        .iter()
        .map(|player| {
            let content_type = content_type_of(player.service.function);
            let (id, texts) = emit_blob(tenant, content_type, at, 500);
            (content_type, id, texts)
        })
        .collect();
    let refuse = |(_, id, _): &(ContentType, String, Vec<String>)| {
        Rule::on(Target::AnyBlob, Fault::Feed(FeedError::ContentUnknown)).content(id)
    };
    tenant.script(failing.iter().map(refuse).collect());
    let mut emitted = join_all(content.iter().map(|player| first_window(player, tenant, at))).await;
    let count = failing.len() as u64;
    let again = retry.force().await;
    assert_eq!((&again["failed_uris"], &again["delivered"]), (&json!(count), &json!(0)), "{again}");
    tenant.script(Vec::new());
    let delivered: u64 = failing.iter().map(|(_, _, texts)| texts.len() as u64).sum();
    assert_answer(&retry.force().await, URI_RETRY, delivered);
    assert_eq!(retry.invoke(&json!({"dry_run": true})).await["status"], "dry_run");
    let retried: Vec<String> = failing.into_iter().flat_map(|(_, _, texts)| texts).collect();
    assert_arrived(URI_RETRY, &retried);
    let ticking = content.iter().zip(&mut emitted).map(|(player, texts)| go_on(player, tenant, at, texts));
    join_all(ticking).await;
    let ended = content.into_iter().chain([retry]).map(Player::end);
    join_all(ended).await
}

/// The first tick of a feed: a blob that it gets, and one that it cannot get.
async fn first_window(player: &Player, tenant: &Tenant, at: Timestamp) -> Vec<String> {
    let function = player.service.function;
    let (_, texts) = emit_blob(tenant, content_type_of(function), at, 0);
    let answer = player.invoke(&json!({})).await;
    assert_answer(&answer, function, texts.len() as u64);
    assert_eq!(answer["failed_uris"], 1, "{answer}");
    texts
}

/// The further ticks of a feed.
async fn go_on(player: &Player, tenant: &Tenant, at: Timestamp, emitted: &mut Vec<String>) {
    let function = player.service.function;
    for tick in 1..=TICKS {
        let (_, texts) = emit_blob(tenant, content_type_of(function), at, tick * 10);
        assert_answer(&player.force().await, function, texts.len() as u64);
        emitted.extend(texts);
    }
    let old = ago(SignedDuration::from_hours(72));
    let (_, texts) = emit_blob(tenant, content_type_of(function), old, 900);
    assert_answer(&player.invoke(&backfill(old)).await, function, texts.len() as u64);
    emitted.extend(texts);
    assert_eq!(player.invoke(&json!({"dry_run": true})).await["status"], "dry_run");
    assert_arrived(function, emitted);
}

/// A blob of two records; its id and theirs.
fn emit_blob(tenant: &Tenant, content_type: ContentType, at: Timestamp, seed: u64) -> (String, Vec<String>) {
    let texts: Vec<String> =
        (seed..seed + 2).map(|seed| records::office365(content_type, seed, at)).collect();
    (tenant.emit_blob(content_type, at, texts.clone()), texts)
}

/// The event of a backfill of the hour around this instant.
fn backfill(around: Timestamp) -> Value {
    let half = SignedDuration::from_mins(30);
    let (from, to) = ((around - half).to_string(), (around + half).to_string());
    json!({"backfill": {"start_time_in_utc": from, "end_time_in_utc": to}})
}

/// These records, and no others, arrived from this function, each once and under its tag.
fn assert_arrived(function: &str, emitted: &[String]) {
    let arrivals = receiver().arrivals(ID);
    let own = arrivals.iter().filter(|arrival| arrival.host == function && !arrival.is_story());
    let mut found: Vec<(String, String)> =
        own.map(|arrival| (contract::record_of(&arrival.message), arrival.tag.clone())).collect();
    let mut expected: Vec<(String, String)> = emitted
        .iter()
        .map(|record| (record.clone(), promise(function).tag(&serde_json::from_str(record).unwrap(), ID)))
        .collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{function}");
}

/// The role of this function, as it was created.
pub fn role_of(stack: &Deployment, function: &str) -> Role {
    let created = stack.functions.values().find(|created| created.handler == function).unwrap();
    Role::of(&created.policies)
}

fn assert_calls_are_allowed(stack: &Deployment, played: &Played) {
    let role = role_of(stack, played.function);
    assert!(!played.calls.is_empty(), "{} called nobody", played.function);
    let denied: BTreeSet<&Call> = played.calls.iter().filter(|call| !role.allows(call)).collect();
    assert!(denied.is_empty(), "the role of {} denies calls that it makes: {denied:#?}", played.function);
}

/// What the role allows was called by this function, or is what Lambda does in its name. What a function calls anywhere
/// it may call in its own partition, although it never does: the retry service deletes in those of the feeds alone.
fn assert_every_grant_is_used(stack: &Deployment, played: &Played) {
    let at_home =
        |call: &Call| Call { leading_keys: vec![format!("{ID}#{}", played.function)], ..call.clone() };
    let is_used = |grant: &Grant| {
        played
            .calls
            .iter()
            .any(|call| grant.allows(call) || (!call.leading_keys.is_empty() && grant.allows(&at_home(call))))
    };
    let grants = role_of(stack, played.function).grants();
    let called = grants.iter().filter(|grant| !BY_LAMBDA.contains(&grant.action.as_str()));
    let unused: Vec<&str> =
        called.filter(|grant| !is_used(grant)).map(|grant| grant.words.as_str()).collect();
    assert!(unused.is_empty(), "the role of {} allows what it never calls: {unused:#?}", played.function);
}

/// Whose partitions a function works in: its own, and as the retry service those of the feeds.
pub fn partitions(function: &str) -> BTreeSet<String> {
    let own = [function].into_iter();
    let all: Vec<&str> = match function {
        URI_RETRY => own.chain(feeds().map(|feed| feed.function)).collect(),
        _ => own.collect(),
    };
    all.into_iter().map(|function| format!("{ID}#{function}")).collect()
}

fn assert_own_partitions(played: &Played) {
    let touched: BTreeSet<String> =
        played.calls.iter().flat_map(|call| call.leading_keys.iter().cloned()).collect();
    assert_eq!(touched, partitions(played.function), "{}", played.function);
}

/// A call to the table that another function made is denied, unless it is on a partition of one's own.
fn assert_calls_of_another_are_denied(stack: &Deployment, one: &Played, other: &Played) {
    let (role, own) = (role_of(stack, one.function), partitions(one.function));
    let foreign = |call: &&Call| call.leading_keys.iter().any(|key| !own.contains(key));
    let allowed: BTreeSet<&Call> =
        other.calls.iter().filter(foreign).filter(|call| role.allows(call)).collect();
    assert!(allowed.is_empty(), "{} may do what {} does: {allowed:#?}", one.function, other.function);
}
