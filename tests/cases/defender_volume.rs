//! Inventories of 200,000 rows: each row arrives, whatever happens on the way, and a process stays small.
//!
//! Rows are short here, so that the tenant and the receiver keep up; what large ones take is measured by the benchmark.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use simulator::tenant::{Compression, RequestSeen, TenantConfig};

use crate::world::counted::Counted;
use crate::world::{World, service};

const ROWS: usize = 200_000;
/// What a batch holds at the most.
const BATCH: usize = 20_000;
/// The process is killed when it asks for what lies behind so many rows.
const KILLED_BEHIND: u64 = 110_000;
/// The most memory that a process may take.
const MOST_BYTES: u64 = 64_000_000;
const DEADLINE: Duration = Duration::from_secs(120);

fn row(number: usize) -> String {
    format!(
        "{{\"id\":\"{number:08x}{:032x}\",\"computerDnsName\":\"host{number}.example.com\",\"osPlatform\":\"Windows11\",\
         \"riskScore\":\"Low\",\"exposureLevel\":\"Medium\",\"machineTags\":[]}}",
        (number as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    )
}

/// The `$skip` of a request for a page; none of any other.
fn skip(seen: &RequestSeen) -> Option<u64> {
    seen.option("$top")?;
    Some(seen.option("$skip").map_or(0, |text| text.parse().unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_and_vulnerabilities_by_the_hundred_thousand_arrive_and_unchanged_ones_do_not_come_again() {
    tokio::join!(snapshots("endpoint-machines"), snapshots("endpoint-vulnerabilities"));
}

async fn snapshots(function: &'static str) {
    let begun = Instant::now();
    let config = TenantConfig { compression: Compression::Never, ..TenantConfig::default() };
    let world = World::with(service(function), config).await;
    world.tenant.fill_defender(world.list(), ROWS, Arc::new(row));
    let counted = Counted::default();
    let (_receiver, mut devo) = counted.receiver().await;
    devo["compression"] = json!("none");
    // Whatever the day, what is unchanged stays away.
    world.store_secrets(&world.document_with(&json!({"snapshot_mode": "changes"})), &devo);

    // A snapshot that is cut off in the middle.
    let process = world.process().await;
    let killer = process.killer();
    world.tenant.on_request(move |seen| {
        if skip(seen).is_some_and(|rows| rows >= KILLED_BEHIND) {
            killer.kill();
        }
    });
    world.invoke(&process, &json!({}), DEADLINE).await;
    process.ended().await;
    world.tenant.on_request(|_| {});
    let arrived = counted.arrived();
    world.table.let_leases_end().await;
    let committed = world.table.checkpoint().await.unwrap();
    let link = committed["next_link"].as_str().unwrap_or_else(|| panic!("{committed}")).to_owned();
    let before = world.tenant.requests().len();

    // Another process goes on where the last commit was.
    let process = world.process().await;
    let answer = world.invoke(&process, &json!({}), DEADLINE).await.answer();
    assert_eq!(answer["status"], "up_to_date", "{answer}");
    let requests = world.tenant.requests();
    let asked: Vec<u64> = requests[before..].iter().filter_map(skip).collect();
    assert!(link.contains(&format!("#rows={}&", asked[0])), "{asked:?} {link}");
    assert!(asked[0] + BATCH as u64 + 4_000 >= KILLED_BEHIND, "{function}: it goes on at {}", asked[0]);
    let twice = counted.assert_all((0..ROWS).map(row));
    assert!(twice <= BATCH, "{function}: {twice} rows came twice");
    let first_peak = process.peak_memory();
    process.ask_to_end();
    process.ended().await;

    // A process that has to load what the others remember, and finds nothing new.
    let process = world.process().await;
    let second = world.invoke(&process, &json!({"force": true}), DEADLINE).await.answer();
    let facts = ["status", "delivered", "received"].map(|name| second[name].clone());
    assert_eq!(facts[..2], [json!("up_to_date"), json!(0)], "{second}");
    assert!(facts[2].as_u64().unwrap() >= ROWS as u64, "{second}");
    assert_eq!(counted.arrived(), 0, "{function}");
    let second_peak = process.peak_memory();
    println!(
        "{function}: {ROWS} rows, {arrived} had arrived at the kill, {twice} came twice, {} + {} requests, peaks {first_peak} \
         and {second_peak} bytes, {:?}",
        before,
        world.tenant.requests().len() - before,
        begun.elapsed()
    );
    assert!(first_peak.max(second_peak) <= MOST_BYTES, "{function}: {first_peak} and {second_peak} bytes");
    world.close().await;
}
