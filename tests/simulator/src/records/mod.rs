//! Records as the audit logs, the security collections, the activity feeds, Defender for Endpoint and Defender for Cloud
//! Apps give them, made up from a seed.
//!
//! The same seed and time always give the same bytes. The shapes follow Microsoft's resource pages; the content is
//! this project's own. On purpose they hold what a collector must carry through unharmed: escapes of every kind, text
//! beyond ASCII, nulls, empty collections, numbers whose spelling a rewrite would change (`-122.120`, `1E0`), and
//! event times with 0 to 7 fractional digits, many of them on the same whole second.

mod alert;
mod alert_v2;
mod cloud_apps;
mod cloud_apps_activity;
mod content;
mod defender_alert;
mod defender_inventory;
mod directory_audit;
mod office365;
mod provisioning;
mod related;
mod secure_score;
mod sign_in;
#[cfg(test)]
mod tests;

pub use self::alert::{ALERT_PROVIDERS, alert};
pub use self::alert_v2::{alert_v2, alert_v2_revision};
pub use self::cloud_apps::{cloud_apps_alert_resolved, cloud_apps_record};
pub use self::cloud_apps_activity::activity_record;
pub use self::defender_alert::{defender_alert, defender_alert_revision, investigation, investigation_ended};
pub use self::defender_inventory::{hunting_row, machine, recommendation, software, vulnerability};
pub use self::directory_audit::directory_audit;
pub use self::office365::{audit_record, office365, sized_audit_record};
pub use self::provisioning::provisioning;
pub(crate) use self::related::{related_count, related_row};
pub use self::secure_score::{control_profile, secure_score};
pub use self::sign_in::{sign_in, sized_sign_in};

use jiff::Timestamp;

use crate::tenant::{DefenderList, Endpoint};
use content::Dice;

/// The sign-in event types that Microsoft names.
pub const SIGN_IN_EVENT_TYPES: [&str; 4] =
    ["interactiveUser", "nonInteractiveUser", "servicePrincipal", "managedIdentity"];

/// A record for that endpoint; the seed chooses the event type of beta sign-ins and the provider of legacy alerts.
pub fn record(endpoint: Endpoint, seed: u64, time: Timestamp) -> String {
    match endpoint {
        Endpoint::DirectoryAudits => directory_audit(seed, time),
        Endpoint::Provisioning => provisioning(seed, time),
        Endpoint::SignIns => sign_in(seed, time, &[]),
        Endpoint::SignInsBeta => {
            sign_in(seed, time, &[Dice::new(seed, "event type").one_of(&SIGN_IN_EVENT_TYPES)])
        }
        Endpoint::Alerts => alert(seed, time, Dice::new(seed, "provider").one_of(&ALERT_PROVIDERS)),
        Endpoint::AlertsV2 => alert_v2(seed, time),
        Endpoint::SecureScores => secure_score(seed, time),
        Endpoint::ControlProfiles => control_profile(seed, time),
    }
}

/// A record for that list of Defender for Endpoint.
pub fn defender_record(list: DefenderList, seed: u64, time: Timestamp) -> String {
    match list {
        DefenderList::Alerts => defender_alert(seed, time),
        DefenderList::Machines => machine(seed, time),
        DefenderList::Software => software(seed),
        DefenderList::Vulnerabilities => vulnerability(seed, time),
        DefenderList::Recommendations => recommendation(seed),
        DefenderList::Investigations => investigation(seed, time),
    }
}

/// The instant with that many fractional digits (0 to 7; the rest is cut off), as a record writes it.
pub fn time_text(time: Timestamp, digits: usize) -> String {
    let whole = time.strftime("%Y-%m-%dT%H:%M:%S");
    let nanoseconds = format!("{:09}", time.subsec_nanosecond());
    match nanoseconds.get(..digits.min(7)) {
        Some(fraction) if !fraction.is_empty() => format!("{whole}.{fraction}Z"),
        _ => format!("{whole}Z"),
    }
}
