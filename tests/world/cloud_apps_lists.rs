//! The lists of Defender for Cloud Apps, as the tests of all of them must know them: how old their records are, how many
//! requests a walk needs by the rules that the collector states, and what was asked.
//!
//! The number of requests is worked out a second time here, from the records' own times: a window is read in parts of time
//! that each fit one page, a scan and an inventory page by page.

use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::tenant::{Addressee, CloudAppsConfig, CloudAppsList, RequestSeen, TenantConfig};

use super::{World, ago, service};

/// Rows of a page: small, so that a few records make several pages.
pub const PAGE: usize = 7;
/// Records of a world, unless its test says otherwise.
pub const RECORDS: u64 = 30;

/// A world of this function at a tenant whose Cloud Apps is like this.
pub async fn world(function: &str, cloud_apps: CloudAppsConfig) -> World {
    let world = World::with(service(function), TenantConfig { cloud_apps, ..TenantConfig::default() }).await;
    world.configure(&settings(world.filtered_list()));
    world
}

/// The usual kind of tenant: pages are short, whatever is asked.
pub fn short_pages() -> CloudAppsConfig {
    CloudAppsConfig {
        largest_page: PAGE,
        smallest_scan: PAGE,
        largest_scan: PAGE,
        ..CloudAppsConfig::default()
    }
}

/// A list without a time has no start, and a midnight in the middle of a test must not send it again. The start lies less
/// than a day back, so that all records lie in one window, whose length for files is a day; it is always the same, because another one begins
/// everything anew.
pub fn settings(list: CloudAppsList) -> Value {
    static START: OnceLock<Timestamp> = OnceLock::new();
    let start = START.get_or_init(|| ago(SignedDuration::from_hours(23)));
    match list {
        CloudAppsList::Activities | CloudAppsList::Alerts | CloudAppsList::Files => {
            json!({"start_time_in_utc": start.to_string()})
        }
        CloudAppsList::Entities | CloudAppsList::Subnet => json!({"snapshot_mode": "changes"}),
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
    let list = Addressee::CloudApps(world.filtered_list());
    world.tenant.requests().into_iter().filter(|seen| seen.addressee == list).collect()
}

/// The filters of a request, as JSON.
pub fn filters(seen: &RequestSeen) -> Value {
    let text = seen.option("filters").unwrap_or_else(|| panic!("no filters: {:?}", seen.query));
    serde_json::from_str(text).unwrap()
}

/// The filters on a time that a list is asked by, in their order.
pub fn time_filters(list: CloudAppsList) -> &'static [&'static str] {
    match list {
        CloudAppsList::Activities => &["created"],
        CloudAppsList::Alerts => &["date", "resolutionDate"],
        CloudAppsList::Files => &["modifiedDate"],
        CloudAppsList::Entities | CloudAppsList::Subnet => &[],
    }
}

/// Both ends of the part that these filters ask for, epoch milliseconds.
pub fn asked_span(filters: &Value, time: &str) -> (i64, i64) {
    let span = &filters[time];
    let end = |name: &str| span[name].as_i64().unwrap_or_else(|| panic!("no {name}: {filters}"));
    (end("gte"), end("lte"))
}

/// The epoch milliseconds of a record whose time is a whole number.
pub fn milliseconds(record: &str, member: &str) -> i64 {
    let record: Value = serde_json::from_str(record).unwrap();
    record[member].as_i64().unwrap_or_else(|| panic!("no {member}: {record}"))
}

/// How many requests the first walk over these records needs.
pub fn requests_needed(world: &World, emitted: &[String]) -> u64 {
    let list = world.filtered_list();
    let by_page = emitted.len().div_ceil(PAGE) as u64;
    let Some(member) = list.time_member().filter(|_| list != CloudAppsList::Activities) else {
        return by_page;
    };
    let times: Vec<i64> = emitted.iter().map(|record| milliseconds(record, member)).collect();
    let asked_by = time_filters(list);
    let span = asked_span(&filters(&pages(world)[0]), asked_by[0]);
    // Whoever asks by another time of theirs finds nothing, in one request.
    parts(&times, span) + asked_by.len() as u64 - 1
}

/// One request for a part that fits a page, and for one that does not its quarters beside its own: of fewer rows than some
/// hundred there are never more parts.
fn parts(times: &[i64], (from, to): (i64, i64)) -> u64 {
    let rows = times.iter().filter(|time| (from..=to).contains(time)).count();
    if rows <= PAGE {
        return 1;
    }
    let (length, count) = (to - from, 4);
    assert!(length > count, "this world has more records in some milliseconds than a page");
    let end = |part: i64| from + length * part / count;
    1 + (0..count).map(|part| parts(times, (end(part), end(part + 1)))).sum::<u64>()
}
