//! The lists of Defender for Endpoint, as the tests of all of them must know them: how old their records are, how many
//! requests a walk needs by the rules that the collector states, and what was asked.
//!
//! The number of requests is worked out a second time here, from the records' own times: a window is read in slices that
//! each fit one page, and every page that does not say what follows is looked behind.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::tenant::{Addressee, DefenderCall, DefenderConfig, DefenderList, RequestSeen, TenantConfig};

use super::{World, ago, service};

/// Rows of a page: small, so that a few records make several pages.
pub const PAGE: usize = 7;
/// Records of a world, unless its test says otherwise.
pub const RECORDS: u64 = 30;

/// A world of this function at a tenant whose Defender is like this.
pub async fn world(function: &str, defender: DefenderConfig) -> World {
    let world = World::with(service(function), TenantConfig { defender, ..TenantConfig::default() }).await;
    world.configure(&settings(world.list()));
    world
}

/// The usual kind of tenant: pages are short, whatever is asked, and none with `$top` tells of the next one.
pub fn short_pages() -> DefenderConfig {
    DefenderConfig { largest_page: PAGE, ..DefenderConfig::default() }
}

/// A list has no start, and a midnight in the middle of a test must not send it again.
pub fn settings(list: DefenderList) -> Value {
    match list.time_property() {
        Some(_) => json!({"start_time_in_utc": ago(SignedDuration::from_hours(24)).to_string()}),
        None => json!({"snapshot_mode": "changes"}),
    }
}

/// The instant of the n-th newest record.
pub fn time_of(number: u64) -> Timestamp {
    ago(SignedDuration::from_mins(3 + 40 * number.cast_signed()))
}

/// Emits records of the last hours; gives their texts.
pub fn emit(world: &World) -> Vec<String> {
    (0..RECORDS).map(|seed| world.emit(seed, time_of(seed))).collect()
}

/// The requests for pages of the list, in order.
pub fn pages(world: &World) -> Vec<RequestSeen> {
    let list = Addressee::Defender(DefenderCall::List(world.list()));
    world.tenant.requests().into_iter().filter(|seen| seen.addressee == list).collect()
}

/// The value of this member, which is a text.
pub fn member(record: &str, name: &str) -> String {
    let record: Value = serde_json::from_str(record).unwrap();
    record[name].as_str().unwrap_or_else(|| panic!("no {name}: {record}")).to_owned()
}

/// The span that a request asks for: the two ends of its filter.
pub fn asked_span(seen: &RequestSeen) -> (Timestamp, Timestamp) {
    let filter = seen.option("$filter").unwrap_or_else(|| panic!("no $filter: {:?}", seen.query));
    let words: Vec<&str> = filter.split(' ').collect();
    let [from_name, "ge", from, "and", to_name, "le", to] = words[..] else { panic!("{filter}") };
    assert_eq!(from_name, to_name, "{filter}");
    (from.parse().unwrap(), to.parse().unwrap())
}

/// Whether a page that is not the last one says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// By a link.
    Told,
    /// Not at all.
    Untold,
}

/// How many requests the first walk over these records needs.
pub fn requests_needed(world: &World, emitted: &[String], follows: Follows) -> u64 {
    let Some(property) = world.list().time_property() else {
        // Each page leads to the one behind it, and what lies behind the last one must be empty.
        return (emitted.len().div_ceil(PAGE) + 1) as u64;
    };
    let times: Vec<Timestamp> =
        emitted.iter().map(|record| member(record, property).parse().unwrap()).collect();
    slices(&times, asked_span(&pages(world)[0]), follows)
}

/// One request for a slice without rows, a second one for what lies behind its rows, and the halves of one that is cut.
fn slices(times: &[Timestamp], (from, to): (Timestamp, Timestamp), follows: Follows) -> u64 {
    let rows = times.iter().filter(|time| (from..=to).contains(time)).count();
    let is_cut = rows > PAGE;
    match (rows, is_cut) {
        (0, _) => 1,
        (_, false) => 2,
        (_, true) => {
            let seconds = to.as_second() - from.as_second();
            assert!(seconds > 1, "this world has more records in a second than a page");
            let middle = from + SignedDuration::from_secs(seconds / 2);
            let own = if follows == Follows::Told { 1 } else { 2 };
            own + slices(times, (from, middle), follows) + slices(times, (middle, to), follows)
        }
    }
}
