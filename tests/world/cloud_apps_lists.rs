//! The lists of Defender for Cloud Apps, as the tests of all of them must know them: how old their records are and what was
//! asked.

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

/// A list without a time has no start, and a midnight in the middle of a test must not send it again.
pub fn settings(list: CloudAppsList) -> Value {
    match list {
        CloudAppsList::Activities | CloudAppsList::Alerts | CloudAppsList::Files => {
            json!({"start_time_in_utc": ago(SignedDuration::from_hours(24)).to_string()})
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
