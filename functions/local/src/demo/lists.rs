//! Lists that show each record as it is now: those of Defender for Endpoint and of Defender for Cloud Apps.
//!
//! Most of their records change while they are collected: an alert is resolved, a file is modified, an inventory sees
//! something again. Here is what the two families have in common, so that nobody else has to tell them apart.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use simulator::records::{
    cloud_apps_alert_resolved, cloud_apps_record, defender_alert_revision, defender_record,
    investigation_ended, machine, vulnerability,
};
use simulator::tenant::{CloudAppsList, DefenderList, RecordRefused, Tenant};

/// Every so many investigations, one has no end yet; those that change are among them.
const UNFINISHED: u64 = 3;

/// How long an investigation takes at the least.
const INVESTIGATED: SignedDuration = SignedDuration::from_mins(1);

/// One list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    /// Of Defender for Endpoint.
    Endpoint(DefenderList),
    /// Of Defender for Cloud Apps.
    CloudApps(CloudAppsList),
}

impl List {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let of_endpoint = DefenderList::ALL.into_iter().map(Self::Endpoint);
        of_endpoint.chain(CloudAppsList::ALL.into_iter().map(Self::CloudApps))
    }

    /// Path under the host.
    pub fn path(self) -> &'static str {
        match self {
            Self::Endpoint(list) => list.path(),
            Self::CloudApps(list) => list.path(),
        }
    }

    /// Whether its records change. An activity is what it was.
    pub fn changes(self) -> bool {
        self != Self::CloudApps(CloudAppsList::Activities)
    }

    /// Whether it has no times to ask by, so that its rows are counted from the first one on, as far as that leads.
    pub fn is_counted_through(self) -> bool {
        matches!(self, Self::CloudApps(CloudAppsList::Entities | CloudAppsList::Subnet))
    }

    /// A record as it is at first. `time` is when it was created, saved, modified or seen last.
    pub fn record(self, seed: u64, time: Timestamp) -> String {
        match self {
            Self::Endpoint(DefenderList::Alerts) => defender_alert_revision(seed, time, time, 0),
            Self::Endpoint(DefenderList::Investigations) if !seed.is_multiple_of(UNFINISHED) => {
                investigation_ended(seed, time, time)
            }
            Self::Endpoint(list) => defender_record(list, seed, time),
            Self::CloudApps(list) => cloud_apps_record(list, seed, time),
        }
    }

    /// The record of that seed and time, whose text was `before`, after something happened to it at `now`.
    pub fn changed_record(self, seed: u64, time: Timestamp, before: &str, now: Timestamp) -> String {
        match self {
            Self::Endpoint(list) => match list {
                DefenderList::Alerts => defender_alert_revision(seed, time, now, 1),
                DefenderList::Machines => machine(seed, now),
                DefenderList::Vulnerabilities => vulnerability(seed, now),
                DefenderList::Investigations => investigation_ended(seed, time, now.max(time + INVESTIGATED)),
                DefenderList::Software | DefenderList::Recommendations => {
                    before.replacen("\"activeAlert\":false", "\"activeAlert\":true", 1)
                }
            },
            Self::CloudApps(CloudAppsList::Alerts) => cloud_apps_alert_resolved(seed, time, now, 0),
            Self::CloudApps(CloudAppsList::Activities) => before.to_owned(),
            Self::CloudApps(list) => cloud_apps_record(list, seed, now),
        }
    }

    /// Emits a record; gives its number.
    ///
    /// # Errors
    /// The tenant does not take it.
    pub fn emit(self, tenant: &Tenant, record: String) -> Result<u64, RecordRefused> {
        match self {
            Self::Endpoint(list) => tenant.emit_defender(list, record),
            Self::CloudApps(list) => tenant.emit_cloud_apps(list, record),
        }
    }

    /// Changes the text of a record.
    ///
    /// # Errors
    /// The tenant does not take it.
    pub fn update(self, tenant: &Tenant, number: u64, record: String) -> Result<(), RecordRefused> {
        match self {
            Self::Endpoint(list) => tenant.update_defender(list, number, record),
            Self::CloudApps(list) => tenant.update_cloud_apps(list, number, record),
        }
    }

    /// The records as they are now.
    pub fn records(self, tenant: &Tenant) -> Vec<Bytes> {
        match self {
            Self::Endpoint(list) => tenant.defender_records(list),
            Self::CloudApps(list) => tenant.cloud_apps_records(list),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_record_is_another_one_except_where_nothing_changes() {
        let now = Timestamp::now();
        let time = now - SignedDuration::from_hours(2);
        for list in List::all() {
            let before = list.record(9, time);
            let after = list.changed_record(9, time, &before, now);
            assert_eq!(after != before, list.changes(), "{list:?}");
        }
    }
}
