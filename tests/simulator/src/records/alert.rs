//! Legacy alerts: one shape, filled in by several providers.

use jiff::{SignedDuration, Timestamp};

use super::content::{DISPLAY_NAMES, Dice};
use super::time_text;
use crate::tenant::USUAL_TENANT_ID;

/// Providers that Microsoft's pages or published records name, as they spell themselves; the last is made up.
pub const ALERT_PROVIDERS: [&str; 9] = [
    "IPC",
    "MCAS",
    "Microsoft Defender ATP",
    "Microsoft 365 Defender",
    "Office 365 Security and Compliance",
    "Azure Sentinel",
    "ASC",
    "Azure Advanced Threat Protection",
    "Provider Of 2031",
];

const TITLES: &[(&str, &str)] = &[
    ("Unfamiliar sign-in properties", "UnfamiliarLocation"),
    ("Impossible travel activity", "MCAS_ALERT_ANUBIS_DETECTION_VELOCITY"),
    ("Suspicious \\\"PowerShell\\\" command line", "SuspiciousActivity"),
    ("Creation of forwarding\\/redirect rule", "ThreatManagement"),
    ("Caf\u{e9} network \\u2013 port scan", "None"),
];

/// A legacy alert of any provider, known or not, about 1.7 kB. `time` is its `createdDateTime`.
pub fn alert(seed: u64, time: Timestamp, provider: &str) -> String {
    let mut dice = Dice::new(seed, "alert");
    let id = dice.guid();
    let created = dice.time(time);
    let minutes_before = i64::try_from(dice.below(90)).unwrap_or_default();
    let happened = time.saturating_sub(SignedDuration::from_mins(minutes_before)).unwrap_or(time);
    let happened = time_text(happened, dice.one_of(&[6, 7, 0]));
    let modified = time_text(time, dice.one_of(&[2, 7, 0]));
    let (title, category) = dice.one_of(TITLES);
    let name = dice.one_of(DISPLAY_NAMES);
    let severity = dice.one_of(&["low", "medium", "high", "informational", "unknownFutureValue"]);
    let (status, closed) = match dice.below(3) {
        0 => ("resolved", format!("\"{modified}\"")),
        1 => ("inProgress", "null".to_owned()),
        _ => ("newAlert", "null".to_owned()),
    };
    let confidence = dice.one_of(&["null", "0", "95", "1E2"]);
    let (address, user, host) = (dice.address(), dice.guid(), dice.below(10_000));
    let provider = serde_json::Value::from(provider);
    let sub_provider = dice.one_of(&["null", "\"\"", "\"MicrosoftDefenderATP\""]);
    format!(
        "{{\"id\":\"{id}\",\"azureTenantId\":\"{USUAL_TENANT_ID}\",\"azureSubscriptionId\":null,\"riskScore\":null,\
         \"tags\":[],\"activityGroupName\":null,\"assignedTo\":null,\"category\":\"{category}\",\
         \"closedDateTime\":{closed},\"comments\":[\"seen by {name}\"],\"confidence\":{confidence},\
         \"createdDateTime\":\"{created}\",\"description\":\"{title}: user{seed}@example.com,\\r\\n\\tsee runbook \\u00a7 7\",\
         \"detectionIds\":[],\"eventDateTime\":\"{happened}\",\"feedback\":null,\"incidentIds\":[],\
         \"lastEventDateTime\":null,\"lastModifiedDateTime\":\"{modified}\",\
         \"recommendedActions\":[\"Ask {name}\",\"Reset the password\"],\"severity\":\"{severity}\",\
         \"sourceMaterials\":[\"https:\\/\\/portal.example.com\\/alerts\\/{id}\"],\"status\":\"{status}\",\
         \"title\":\"{title}\",\"vendorInformation\":{{\"provider\":{provider},\"providerVersion\":null,\
         \"subProvider\":{sub_provider},\"vendor\":\"Microsoft\"}},\"alertDetections\":[],\"cloudAppStates\":[],\
         \"fileStates\":[],\"hostStates\":[{{\"fqdn\":\"host{host}.example.com\",\"isAzureAdJoined\":true,\
         \"isAzureAdRegistered\":null,\"isHybridAzureDomainJoined\":null,\"netBiosName\":\"HOST{host}\",\"os\":\"Windows11\",\
         \"privateIpAddress\":null,\"publicIpAddress\":\"{address}\",\"riskScore\":\"High\"}}],\"historyStates\":[],\
         \"investigationSecurityStates\":[],\"malwareStates\":[],\"messageSecurityStates\":[],\"networkConnections\":[],\
         \"processes\":[],\"registryKeyStates\":[],\"securityResources\":[],\"triggers\":[],\"userStates\":[{{\
         \"aadUserId\":\"{user}\",\"accountName\":\"user{seed}\",\"domainName\":\"example.com\",\"emailRole\":\"unknown\",\
         \"isVpn\":null,\"logonDateTime\":null,\"logonId\":\"0\",\"logonIp\":\"{address}\",\"logonLocation\":\"M\u{fc}nchen, DE\",\
         \"userPrincipalName\":\"user{seed}@example.com\"}}],\"uriClickSecurityStates\":[],\"vulnerabilityStates\":[]}}"
    )
}
