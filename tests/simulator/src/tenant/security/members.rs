//! Evolvable enumerations: members behind the sentinel are shown to those who ask for them.
//!
//! Everybody else gets the sentinel itself, `unknownFutureValue`. Only the value is exchanged; every other byte of the
//! record stays as it was emitted.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::http::Request;

const SENTINEL: &str = "unknownFutureValue";

/// Members of `serviceSource` behind the sentinel.
const SERVICE_SOURCES: &[&str] = &[
    "microsoftDefenderForCloud",
    "microsoftSentinel",
    "microsoftInsiderRiskManagement",
    "microsoftThreatIntelligence",
    "microsoftSecurityForAI",
];

/// Members of `detectionSource` behind the sentinel, beside those above.
const DETECTION_SOURCES: &[&str] = &[
    "microsoftDefenderForIoT",
    "microsoftDefenderForServers",
    "microsoftDefenderForStorage",
    "microsoftDefenderForDNS",
    "microsoftDefenderForDatabases",
    "microsoftDefenderForContainers",
    "microsoftDefenderForNetwork",
    "microsoftDefenderForAppService",
    "microsoftDefenderForKeyVault",
    "microsoftDefenderForResourceManager",
    "microsoftDefenderForApiManagement",
    "nrtAlerts",
    "scheduledAlerts",
    "microsoftDefenderThreatIntelligenceAnalytics",
    "builtInMl",
];

/// Whether the caller sent `Prefer: include-unknown-enum-members`.
pub(in crate::tenant) fn bears_unknown_members(request: &Request) -> bool {
    let preferences = request.headers.iter().filter(|(name, _)| name == "prefer");
    preferences
        .flat_map(|(_, value)| value.split([',', ';']))
        .any(|preference| preference.trim().eq_ignore_ascii_case("include-unknown-enum-members"))
}

/// The alert as somebody sees it who did not ask for newer members.
pub(in crate::tenant) fn without_unknown_members(raw: &Bytes) -> Bytes {
    let Ok(members) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(raw) else {
        return raw.clone();
    };
    let mut hidden: Vec<(usize, usize)> = ["serviceSource", "detectionSource"]
        .into_iter()
        .filter_map(|name| members.get(name).map(|value| (name, value.get())))
        .filter(|(name, value)| is_unknown(name, value))
        // The value is a part of `raw`: the distance of their first bytes is where it stands.
        .map(|(_, value)| (value.as_ptr().addr() - raw.as_ptr().addr(), value.len()))
        .collect();
    hidden.sort_unstable();
    let mut shown = raw.to_vec();
    for (start, length) in hidden.into_iter().rev() {
        shown.splice(start..start + length, format!("\"{SENTINEL}\"").into_bytes());
    }
    Bytes::from(shown)
}

fn is_unknown(name: &str, value: &str) -> bool {
    let Ok(value) = serde_json::from_str::<String>(value) else {
        return false;
    };
    SERVICE_SOURCES.contains(&value.as_str())
        || name == "detectionSource" && DETECTION_SOURCES.contains(&value.as_str())
}
