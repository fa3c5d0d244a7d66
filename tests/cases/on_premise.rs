//! The shipped `collector`, killed at any byte: its state is one file, and the next run goes on with it.
//!
//! What the commands print and how they end is tested beside their source; here is what only the outside can do to them.

use std::sync::Mutex;

use futures::future::join_all;
use jiff::SignedDuration;
use simulator::records;
use simulator::tenant::{
    ContentType, Fault, FeedCall, FeedConfig, FeedError, PageSize, Rule, Subscription, TenantConfig,
};

use crate::world::chance::Chance;
use crate::world::contract::Asks;
use crate::world::feeds::call_of;
use crate::world::site::Site;
use crate::world::wire::Direction;
use crate::world::{ago, all_services, contract, services};

const WORLDS: u64 = 10;
const WORLDS_OF_FEEDS: u64 = 4;
const RECORDS: u64 = 300;
/// Blobs of three records each.
const BLOBS: u64 = 160;
/// About what one invocation sends, compressed, and what it gets back.
const BYTES: [(Direction, u64); 2] = [(Direction::Towards, 40_000), (Direction::From, 2_200)];
/// About what one invocation of a feed sends, compressed.
const BYTES_OF_A_FEED: u64 = 12_000;

/// A site with Graph's first service alone.
async fn site(number: u64) -> Site {
    let page_size = PageSize { default: 50, maximum: 50 };
    let service = services().next().unwrap();
    Site::new(&format!("site{number}"), &[service], TenantConfig { page_size, ..TenantConfig::default() })
        .await
}

fn emit(site: &Site, first: u64, count: u64) -> Vec<String> {
    let Asks::Collection(endpoint) = contract::promise(site.services[0].function).asks else {
        panic!("{} asks no collection", site.services[0].function);
    };
    let emit = |seed: u64| {
        let time = ago(SignedDuration::from_secs(60 + seed.cast_signed() * 7));
        let record = records::record(endpoint, seed, time);
        site.tenant.emit(endpoint, record.clone()).unwrap();
        record
    };
    (first..first + count).map(emit).collect()
}

/// A site with all services of the input `office365`.
async fn site_of_feeds(id: &str) -> Site {
    let services: Vec<_> = all_services().filter(|service| service.input == "office365").collect();
    let feed = FeedConfig { page_size: 7, ..FeedConfig::default() };
    Site::new(id, &services, TenantConfig { feed, ..TenantConfig::default() }).await
}

/// Emits blobs of three records to all feeds in turn.
fn emit_blobs(site: &Site, first: u64, count: u64) -> Vec<String> {
    let of_blob = |number: u64| {
        let content_type = ContentType::ALL[usize::try_from(number).unwrap() % ContentType::ALL.len()];
        let created = ago(SignedDuration::from_secs(10 + number.cast_signed() * 31));
        let records: Vec<String> = (number * 3..number * 3 + 3)
            .map(|seed| records::office365(content_type, seed, created))
            .collect();
        site.tenant.emit_blob(content_type, created, records.clone());
        records
    };
    (first..first + count).flat_map(of_blob).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_killed_at_any_byte_goes_on_from_its_state_file_and_loses_nothing() {
    let chance = Chance::seeded();
    let plays = join_all((0..WORLDS).map(|number| play(number, chance.fork(number))));
    let of_feeds = |number: u64| play_feeds(number, chance.fork(WORLDS + number));
    let (repeated, of_feeds) = tokio::join!(plays, join_all((0..WORLDS_OF_FEEDS).map(of_feeds)));
    println!(
        "{WORLDS} runs and {WORLDS_OF_FEEDS} of feeds killed; {} and {} records arrived more than once",
        repeated.iter().sum::<usize>(),
        of_feeds.iter().sum::<usize>()
    );
}

/// One site's life; gives how many records arrived more than once.
async fn play(number: u64, mut chance: Chance) -> usize {
    let site = site(number).await;
    let mut emitted = emit(&site, 0, RECORDS);
    let (direction, bytes) = BYTES[usize::try_from(number).unwrap() % BYTES.len()];
    let died_at = site
        .run_and_kill(|kill| {
            if number % 5 != 4 {
                site.to_devo.strike(direction, 1 + chance.below(bytes), kill);
                return;
            }
            let last = 1 + chance.below(7);
            let kill = Mutex::new(Some(kill));
            site.tenant.on_request(move |seen| {
                if seen.number >= last
                    && let Some(kill) = kill.lock().unwrap().take()
                {
                    kill();
                }
            });
        })
        .await;
    emitted.extend(emit(&site, RECORDS, 20));
    go_on(&site, &emitted, died_at).await
}

/// The same of a site with all feeds.
async fn play_feeds(number: u64, mut chance: Chance) -> usize {
    let site = site_of_feeds(&format!("feedsite{number}")).await;
    let mut emitted = emit_blobs(&site, 0, BLOBS);
    let at = 1 + chance.below(BYTES_OF_A_FEED);
    let died_at = site.run_and_kill(|kill| site.to_devo.strike(Direction::Towards, at, kill)).await;
    emitted.extend(emit_blobs(&site, BLOBS, 10));
    let repeated = go_on(&site, &emitted, died_at).await;
    assert!(site.tenant.violations().is_empty(), "{:?}", site.tenant.violations());
    repeated
}

async fn go_on(site: &Site, emitted: &[String], died_at: i64) -> usize {
    site.run_until_arrived(emitted).await;
    site.assert_repeats_are_due_to_the_kill(died_at);
    site.copies().values().filter(|count| **count > 1).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_of_the_feeds_starts_no_subscription_and_a_run_starts_each_once() {
    let site = site_of_feeds("feedsite").await;
    let emitted = emit_blobs(&site, 0, 40);
    let (code, text) = site.play(&["check"]).await;
    assert_eq!(code, 0, "{text}");
    for service in &site.services {
        assert!(text.contains(&format!("office365.{}", service.name)), "{text}");
    }
    let starts = || {
        let requests = site.tenant.requests();
        requests.iter().filter_map(call_of).filter(|call| matches!(call, FeedCall::Start(_))).count()
    };
    assert_eq!(starts(), 0);
    for content_type in ContentType::ALL {
        assert_eq!(site.tenant.subscription(content_type), Subscription::Missing);
    }

    // What fails in the run waits, is shown, and arrives once it is pulled again.
    let unknown = Fault::Feed(FeedError::ContentUnknown);
    site.tenant.script(vec![Rule::on_blobs(ContentType::Exchange, unknown).every_nth_blob(4)]);
    let comes: Vec<String> = emitted
        .chunks(3)
        .zip(0..)
        .filter(|(_, blob)| !is_failing(*blob))
        .flat_map(|(three, _)| three.to_vec())
        .collect();
    site.run_until_arrived(&comes).await;
    assert_eq!(starts(), ContentType::ALL.len());
    let (code, status) = site.play(&["status", "--json"]).await;
    assert_eq!(code, 0, "{status}");
    assert!(status.replace(' ', "").contains("\"pending_retries\":2"), "{status}");
    site.tenant.script(Vec::new());
    let (code, text) = site.play(&["pull", "office365.uri_retry", "--output", "devo"]).await;
    assert_eq!(code, 0, "{text}");
    let copies = site.copies();
    assert_eq!(copies.len(), emitted.len());
    assert!(copies.values().all(|count| *count == 1));
    assert!(site.tenant.violations().is_empty(), "{:?}", site.tenant.violations());
}

/// Whether this blob is an Exchange one that the script refuses: every fourth of every fifth one.
fn is_failing(blob: usize) -> bool {
    let is_exchange = ContentType::ALL[blob % ContentType::ALL.len()] == ContentType::Exchange;
    is_exchange && (blob / ContentType::ALL.len() + 1).is_multiple_of(4)
}
