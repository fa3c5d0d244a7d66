//! Advanced hunting as the tests play it: queries of an operator, tables with rows, and what must have arrived of them.
//!
//! A tag belongs to one query, and a table to one query unless a test says otherwise, so that each row has one way.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::records::hunting_row;
use simulator::tenant::{Addressee, DefenderCall, DefenderConfig, HuntingConfig, RequestSeen, TenantConfig};

use super::{World, ago, contract, service};

/// The function.
pub const HUNTING: &str = "endpoint-advanced-hunting";
/// What stands in each query and nowhere else: where it is found, the query's text is.
pub const MARK: &str = "needle_of_the_operator";

/// Records by tag, sorted.
pub type Arrived = BTreeMap<String, Vec<String>>;

/// A world whose tables are known and empty.
pub async fn world(hunting: HuntingConfig, queries: &[Value]) -> World {
    let defender = DefenderConfig { hunting, ..DefenderConfig::default() };
    let world = World::with(service(HUNTING), TenantConfig { defender, ..TenantConfig::default() }).await;
    for table in ["Logons", "Processes", "Devices"] {
        world.tenant.add_hunting_table(table);
    }
    configure(&world, queries, &json!({}));
    world
}

/// Stores these queries, with further settings of the service.
pub fn configure(world: &World, queries: &[Value], more: &Value) {
    // A midnight between two pulls would send all of a snapshot again.
    let mut settings = json!({"queries": queries, "snapshot_mode": "changes"});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.configure(&settings);
}

/// A query with a window over a table: every minute.
pub fn windowed(name: &str, table: &str) -> Value {
    let text = format!("{table} | where Timestamp between ({{from}} .. {{to}}) and Note != '{MARK}'");
    json!({"name": name, "query": text, "override_tag": tag(name), "request_period_in_seconds": 60})
}

/// A query without one.
pub fn whole(name: &str, table: &str) -> Value {
    let text = format!("{table} | where Note != '{MARK}'");
    json!({"name": name, "query": text, "override_tag": tag(name), "request_period_in_seconds": 60})
}

/// The tag of a query of that name.
pub fn tag(name: &str) -> String {
    format!("my.app.hunting.{name}")
}

/// Emits rows to a table, one a minute; gives their texts.
pub fn emit(world: &World, table: &str, seeds: std::ops::Range<u64>) -> Vec<String> {
    let minutes = |seed: u64| ago(SignedDuration::from_mins(3 + seed.cast_signed()));
    seeds.map(|seed| emit_at(world, table, seed, minutes(seed))).collect()
}

/// Emits one row of that time; gives its text.
pub fn emit_at(world: &World, table: &str, seed: u64, time: Timestamp) -> String {
    let row = hunting_row(seed, time);
    world.tenant.emit_hunting(table, time, row.clone());
    row
}

/// What arrived, each record without the members that every record has at its end.
pub fn arrived(world: &World) -> Arrived {
    let mut found = Arrived::new();
    for arrival in world.records() {
        found.entry(arrival.tag.clone()).or_default().push(contract::record_of(&arrival.message));
    }
    found.values_mut().for_each(|records| records.sort_unstable());
    found
}

/// What must have arrived of these queries.
pub fn expected<'a>(of_queries: impl IntoIterator<Item = (&'a str, Vec<String>)>) -> Arrived {
    let mut expected = Arrived::new();
    for (name, mut records) in of_queries {
        records.sort_unstable();
        expected.insert(tag(name), records);
    }
    expected
}

/// The queries that were asked, in order.
pub fn asked(world: &World) -> Vec<RequestSeen> {
    let is_query = |seen: &RequestSeen| seen.addressee == Addressee::Defender(DefenderCall::Hunting);
    world.tenant.requests().into_iter().filter(is_query).collect()
}

/// The texts of those to one table.
pub fn texts(world: &World, table: &str) -> Vec<String> {
    let texts = asked(world).into_iter().map(|seen| seen.option("Query").unwrap().to_owned());
    texts.filter(|text| text.starts_with(table)).collect()
}

/// The window that a text names.
pub fn window(text: &str) -> (Timestamp, Timestamp) {
    let mut ends =
        text.split("datetime(").skip(1).map(|rest| rest.split_once(')').unwrap().0.parse().unwrap());
    (ends.next().unwrap(), ends.next().unwrap())
}
