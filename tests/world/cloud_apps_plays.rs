//! What the plays about single services of Cloud Apps share: versions of records, ticks until nothing is left, and much
//! that arrives.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use simulator::receiver::Receiver;
use simulator::tenant::{CloudAppsConfig, TenantConfig};
use tokio::time::sleep;

use super::cloud_apps_lists::{pages, settings};
use super::counted::Counted;
use super::process::LOOK_EVERY;
use super::{World, contract, service};

/// A world whose list has so many rows that are made on the way; what arrives is counted.
pub struct Filled {
    /// The world.
    pub world: World,
    /// What arrives.
    pub counted: Counted,
    /// Where; it lives as long as this does.
    pub receiver: Receiver,
    /// The secret that leads there.
    pub devo: Value,
}

impl Filled {
    /// A list of this function with `count` rows of `make`.
    pub async fn with(
        function: &str,
        cloud_apps: CloudAppsConfig,
        count: usize,
        make: impl Fn(usize) -> String + Send + Sync + 'static,
    ) -> Self {
        let world =
            World::with(service(function), TenantConfig { cloud_apps, ..TenantConfig::default() }).await;
        world.tenant.fill_cloud_apps(world.filtered_list(), count, &(Arc::new(make) as _)).unwrap();
        let counted = Counted::default();
        let (receiver, devo) = counted.receiver().await;
        world.store_secrets(&world.document_with(&settings(world.filtered_list())), &devo);
        Self { world, counted, receiver, devo }
    }
}

/// The warnings of an answer, one text each.
pub fn warnings(answer: &Value) -> Vec<String> {
    let texts = answer["warnings"].as_array().unwrap().iter();
    texts.map(|text| text.as_str().map_or_else(|| text.to_string(), str::to_owned)).collect()
}

/// Whether the operator is told that something may be missing.
pub fn is_told(answer: &Value) -> bool {
    warnings(answer).iter().any(|text| text.contains("may be missing") || text.contains("may lack something"))
}

/// Waits until the clock shows another second. Windows end at whole ones, and lists are told apart by theirs.
pub async fn next_second() {
    let began = Timestamp::now().as_second();
    while Timestamp::now().as_second() == began {
        sleep(LOOK_EVERY).await;
    }
}

/// Ticks, all waits passed, until one is up to date and delivers nothing of all that there was when this began. Gives how
/// many there were.
pub async fn ticks_to_the_end(world: &World) -> usize {
    next_second().await;
    for tick in 1..40 {
        world.table.let_waits_pass().await;
        let answer = world.force().await;
        let status = answer["status"].as_str().unwrap();
        assert!(["up_to_date", "throttled", "more"].contains(&status), "{answer}");
        if status == "up_to_date" && answer["delivered"] == 0 {
            return tick;
        }
    }
    panic!("{} does not come to its end", world.id);
}

/// What arrived, in no order.
pub fn arrived(world: &World) -> Vec<String> {
    world.records().iter().map(|arrival| contract::record_of(&arrival.message)).collect()
}

/// Of records that changed meanwhile: the last version of each arrived, each version once at the most, and nothing else.
pub fn assert_versions(world: &World, last: &[String], all: &BTreeSet<String>) {
    let came = arrived(world);
    let distinct: BTreeSet<&String> = came.iter().collect();
    assert_eq!(came.len(), distinct.len(), "{}: a version came twice", world.id);
    for text in last {
        assert!(distinct.contains(text), "{}: lost {text}", world.id);
    }
    for text in came {
        assert!(all.contains(&text), "{}: never emitted: {text}", world.id);
    }
}

/// So many requests for pages since the last so many.
pub fn pages_since(world: &World, before: usize) -> usize {
    pages(world).len() - before
}

/// Settings with a budget of so many requests for each tick.
pub fn with_requests(settings: &Value, requests: u64) -> Value {
    let mut all = settings.clone();
    all["requests_limits"] = json!([{"period": "5m", "number_of_requests": requests}]);
    all
}
