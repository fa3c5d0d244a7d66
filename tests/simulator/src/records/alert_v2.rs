//! Alerts of the newer kind. They change while somebody works on them, and each change moves their last update.

use jiff::{SignedDuration, Timestamp};

use super::content::{AGENTS, DISPLAY_NAMES, Dice};
use super::time_text;
use crate::tenant::USUAL_TENANT_ID;

/// Service and detection; the later ones lie behind the sentinel of their enumerations.
const SOURCES: &[(&str, &str)] = &[
    ("microsoftDefenderForEndpoint", "antivirus"),
    ("microsoftDefenderForOffice365", "microsoftDefenderForOffice365"),
    ("azureAdIdentityProtection", "azureAdIdentityProtection"),
    ("microsoft365Defender", "customDetection"),
    ("microsoftDefenderForCloud", "microsoftDefenderForServers"),
    ("microsoftSentinel", "scheduledAlerts"),
    ("microsoftDefenderForCloudApps", "builtInMl"),
];

/// A new alert, about 2 kB, created up to two hours before `time`, its `lastUpdateDateTime`.
pub fn alert_v2(seed: u64, time: Timestamp) -> String {
    let minutes = i64::try_from(Dice::new(seed, "alert v2 age").below(120)).unwrap_or_default();
    let created = time.saturating_sub(SignedDuration::from_mins(minutes)).unwrap_or(time);
    alert_v2_revision(seed, created, time, 0)
}

/// One version of an alert. The same seed, creation and revision give the same alert: only `lastUpdateDateTime`
/// follows `updated`. Another revision differs in status, assignment and comments.
pub fn alert_v2_revision(seed: u64, created: Timestamp, updated: Timestamp, revision: u32) -> String {
    let mut dice = Dice::new(seed, "alert v2");
    let [id, detector, user, device] = std::array::from_fn(|_| dice.guid());
    let (service, detection) = dice.one_of(SOURCES);
    let created_text = dice.time(created);
    // Dice of its own: how an instant is written may change from update to update, the rest may not.
    let updated_text = Dice::new(seed ^ updated.as_millisecond().unsigned_abs(), "update").time(updated);
    let activity = time_text(created, dice.one_of(&[0, 3, 6, 7]));
    let (name, address) = (dice.one_of(DISPLAY_NAMES), dice.address());
    let severity = dice.one_of(&["low", "medium", "high", "informational"]);
    let incident = dice.below(100_000);
    let command = dice.one_of(AGENTS);
    let status = if revision == 0 { "new" } else { "inProgress" };
    let assigned = if revision == 0 { "null".to_owned() } else { "\"analyst@example.com\"".to_owned() };
    let comments = if revision == 0 {
        "[]".to_owned()
    } else {
        format!(
            "[{{\"@odata.type\":\"microsoft.graph.security.alertComment\",\"comment\":\"{name}: step {revision}\",\
             \"createdByDisplayName\":\"{name}\",\"createdDateTime\":\"{created_text}\"}}]"
        )
    };
    format!(
        "{{\"@odata.type\":\"#microsoft.graph.security.alert\",\"id\":\"da{id}_1\",\"providerAlertId\":\"{id}_1\",\
         \"incidentId\":\"{incident}\",\"status\":\"{status}\",\"severity\":\"{severity}\",\"classification\":null,\
         \"determination\":null,\"serviceSource\":\"{service}\",\"detectionSource\":\"{detection}\",\"productName\":\
         \"Microsoft Defender \\u2013 simulated\",\"detectorId\":\"{detector}\",\"tenantId\":\"{USUAL_TENANT_ID}\",\
         \"title\":\"Suspicious activity of {name}\",\"description\":\"A hidden file was run:\\n{command}\",\
         \"recommendedActions\":\"Isolate the device\\r\\n\\u2022\\tReview the timeline\",\"category\":\"DefenseEvasion\",\
         \"assignedTo\":{assigned},\"alertWebUrl\":\"https:\\/\\/security.example.com\\/alerts\\/da{id}_1\",\
         \"incidentWebUrl\":\"https:\\/\\/security.example.com\\/incidents\\/{incident}\",\"actorDisplayName\":null,\
         \"threatDisplayName\":null,\"threatFamilyName\":null,\"mitreTechniques\":[\"T1564.001\"],\
         \"createdDateTime\":\"{created_text}\",\"lastUpdateDateTime\":\"{updated_text}\",\"resolvedDateTime\":null,\
         \"firstActivityDateTime\":\"{activity}\",\"lastActivityDateTime\":\"{activity}\",\"systemTags\":[],\
         \"alertPolicyId\":null,\"additionalData\":{{\"score\":1E0,\"\\u00e9tat\":\"-0.0\"}},\"comments\":{comments},\
         \"evidence\":[{{\"@odata.type\":\"#microsoft.graph.security.userEvidence\",\"createdDateTime\":\"{created_text}\",\
         \"verdict\":\"suspicious\",\"remediationStatus\":\"none\",\"remediationStatusDetails\":null,\"roles\":[],\"tags\":[],\
         \"userAccount\":{{\"accountName\":\"user{seed}\",\"azureAdUserId\":\"{user}\",\"displayName\":\"{name}\",\
         \"domainName\":null,\"userPrincipalName\":\"user{seed}@example.com\",\"userSid\":\"\"}}}},{{\
         \"@odata.type\":\"#microsoft.graph.security.deviceEvidence\",\"createdDateTime\":\"{created_text}\",\
         \"verdict\":\"unknown\",\"remediationStatus\":\"none\",\"mdeDeviceId\":\"{device}\",\"deviceDnsName\":\"host{seed}\",\
         \"osBuild\":22631,\"rbacGroupId\":-1,\"riskScore\":\"medium\",\"ipInterfaces\":[\"{address}\"],\"vmMetadata\":null,\
         \"roles\":[\"compromised\"]}}]}}"
    )
}
