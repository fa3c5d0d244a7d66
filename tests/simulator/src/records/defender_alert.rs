//! Alerts of Defender for Endpoint, with their evidence, and its investigations.
//!
//! Both change while somebody works on them: an alert's last update moves with each change, an investigation gets its
//! end. Evidence is a row of many members, most of them null, that says in `entityType` what it is about.

use jiff::{SignedDuration, Timestamp};

use super::content::{AGENTS, DISPLAY_NAMES, Dice};
use crate::tenant::USUAL_TENANT_ID;

/// A new alert, 1 to 6 kB, created up to two hours before `time`, its `lastUpdateTime`.
pub fn defender_alert(seed: u64, time: Timestamp) -> String {
    let minutes = i64::try_from(Dice::new(seed, "defender alert age").below(120)).unwrap_or_default();
    let created = time.saturating_sub(SignedDuration::from_mins(minutes)).unwrap_or(time);
    defender_alert_revision(seed, created, time, 0)
}

/// One version of an alert. The same seed, creation and revision give the same alert: only `lastUpdateTime` follows
/// `updated`. Another revision differs in status, assignment and comments. `evidence` has 0 to 4 members, `relatedUser`
/// is an object or null.
pub fn defender_alert_revision(seed: u64, created: Timestamp, updated: Timestamp, revision: u32) -> String {
    let mut dice = Dice::new(seed, "defender alert");
    let (id, detector, machine) = (alert_id(seed), dice.guid(), machine_id(dice.throw()));
    let created_text = dice.time(created);
    // Dice of its own: how an instant is written may change from update to update, the rest may not.
    let updated_text = Dice::new(seed ^ updated.as_millisecond().unsigned_abs(), "update").time(updated);
    let event = dice.time(created);
    let name = dice.one_of(DISPLAY_NAMES);
    let severity = dice.one_of(&["Low", "Medium", "High", "Informational"]);
    let source = dice.one_of(&["WindowsDefenderAtp", "WindowsDefenderAv", "CustomTI", "SmartScreen", ""]);
    let description = match dice.below(4) {
        0 => "null".to_owned(),
        1 => "\"\"".to_owned(),
        _ => format!("\"A hidden file was run by {name}:\\n{}\"", dice.one_of(AGENTS)),
    };
    let related_user = match dice.below(3) {
        0 => "null".to_owned(),
        _ => format!("{{\"userName\":\"user{seed}\",\"domainName\":\"SIMULATED\"}}"),
    };
    let incident = dice.below(2_000_000);
    let investigation = if dice.below(2) == 0 { "null".to_owned() } else { dice.below(900_000).to_string() };
    let group = dice.one_of(&["null", "\"Caf\u{e9} kiosks\"", "\"\"", "\"Servers\""]);
    let evidence: Vec<String> = (0..dice.below(5)).map(|_| evidence(&mut dice, seed, created)).collect();
    let evidence = evidence.join(",");
    let status = if revision == 0 { "New" } else { "InProgress" };
    let (assigned, classification, comments) = if revision == 0 {
        ("null", "null", String::new())
    } else {
        let comment = format!(
            "{{\"comment\":\"{name}: step {revision}\",\"createdBy\":\"analyst@example.com\",\"createdTime\":\"{created_text}\"}}"
        );
        ("\"analyst@example.com\"", "\"InformationalExpectedActivity\"", comment)
    };
    format!(
        "{{\"id\":\"{id}\",\"incidentId\":{incident},\"investigationId\":{investigation},\"assignedTo\":{assigned},\
         \"severity\":\"{severity}\",\"status\":\"{status}\",\"classification\":{classification},\"determination\":null,\
         \"investigationState\":\"UnsupportedAlertType\",\"detectionSource\":\"{source}\",\"detectorId\":\"{detector}\",\
         \"category\":\"Execution\",\"threatFamilyName\":null,\"title\":\"Suspicious use of {name}\",\
         \"description\":{description},\"alertCreationTime\":\"{created_text}\",\"firstEventTime\":\"{event}\",\
         \"lastEventTime\":\"{event}\",\"lastUpdateTime\":\"{updated_text}\",\"resolvedTime\":null,\
         \"machineId\":\"{machine}\",\"computerDnsName\":\"host{seed}.example.com\",\"rbacGroupName\":{group},\
         \"aadTenantId\":\"{USUAL_TENANT_ID}\",\"threatName\":null,\"mitreTechniques\":[\"T1204.002\"],\
         \"relatedUser\":{related_user},\"loggedOnUsers\":[],\"comments\":[{comments}],\"evidence\":[{evidence}],\
         \"domains\":[]}}"
    )
}

/// An investigation that runs since `start`.
pub fn investigation(seed: u64, start: Timestamp) -> String {
    investigation_in(seed, start, "Running", "null")
}

/// The same, come to its end.
pub fn investigation_ended(seed: u64, start: Timestamp, end: Timestamp) -> String {
    let end_text = Dice::new(seed, "investigation end").time(end);
    investigation_in(seed, start, "SuccessfullyRemediated", &format!("\"{end_text}\""))
}

fn investigation_in(seed: u64, start: Timestamp, state: &str, end: &str) -> String {
    let mut dice = Dice::new(seed, "investigation");
    let (start_text, machine, alert) = (dice.time(start), machine_id(dice.throw()), alert_id(dice.throw()));
    let id = 60_000 + seed;
    format!(
        "{{\"id\":\"{id}\",\"startTime\":\"{start_text}\",\"endTime\":{end},\"state\":\"{state}\",\"cancelledBy\":null,\
         \"statusDetails\":null,\"machineId\":\"{machine}\",\"computerDnsName\":\"host{seed}.example.com\",\
         \"triggeringAlertId\":\"{alert}\"}}"
    )
}

/// One piece of evidence: a user, a process, a file, an address, a URL or a registry value.
fn evidence(dice: &mut Dice, seed: u64, time: Timestamp) -> String {
    const MEMBERS: [&str; 22] = [
        "sha1",
        "sha256",
        "fileName",
        "filePath",
        "processId",
        "processCommandLine",
        "processCreationTime",
        "parentProcessId",
        "parentProcessFileName",
        "ipAddress",
        "url",
        "registryKey",
        "registryHive",
        "registryValueType",
        "registryValue",
        "registryValueName",
        "accountName",
        "domainName",
        "userSid",
        "aadUserId",
        "userPrincipalName",
        "detectionStatus",
    ];
    let (created, digest) = (dice.time(time), machine_id(dice.throw()));
    let process = format!("{}", dice.below(60_000));
    let address = match dice.below(5) {
        0 => "\"\"".to_owned(),
        _ => format!("\"{}\"", dice.address()),
    };
    let name = format!("\"{}\"", dice.one_of(DISPLAY_NAMES));
    let (digest, command) = (format!("\"{digest}\""), format!("\"{}\"", dice.one_of(AGENTS)));
    let created_text = format!("\"{created}\"");
    let account = format!("\"user{seed}\"");
    let (kind, known): (&str, Vec<(&str, &str)>) = match dice.below(6) {
        0 => ("User", vec![("accountName", &account), ("domainName", "\"SIMULATED\""), ("userSid", "\"\"")]),
        1 => (
            "Process",
            vec![
                ("sha1", &digest),
                ("fileName", "\"run\\\\dll32.exe\""),
                ("processId", &process),
                ("processCommandLine", &command),
                ("processCreationTime", &created_text),
                ("detectionStatus", "\"Detected\""),
            ],
        ),
        2 => ("File", vec![("sha1", &digest), ("fileName", &name), ("filePath", "\"c:\\\\temp\"")]),
        3 => ("Ip", vec![("ipAddress", &address)]),
        4 => ("Url", vec![("url", "\"http:\\/\\/example.com\\/?a=1&b=%20\"")]),
        _ => (
            "RegistryKey",
            vec![("registryHive", "\"HKEY_LOCAL_MACHINE\""), ("registryKey", "\"SOFTWARE\\\\Run\"")],
        ),
    };
    let value =
        |member: &str| known.iter().find(|(name, _)| *name == member).map_or("null", |(_, value)| value);
    let members: Vec<String> =
        MEMBERS.iter().map(|member| format!("\"{member}\":{}", value(member))).collect();
    format!("{{\"entityType\":\"{kind}\",\"evidenceCreationTime\":\"{created}\",{}}}", members.join(","))
}

/// What the API calls an alert.
pub(super) fn alert_id(seed: u64) -> String {
    let mut dice = Dice::new(seed, "alert id");
    let sign = dice.one_of(&["", "-"]);
    format!("da{:018}_{sign}{}", dice.throw() % 1_000_000_000_000_000_000, dice.below(2_000_000_000))
}

/// What the API calls a machine: 40 hexadecimal digits.
pub(super) fn machine_id(seed: u64) -> String {
    let mut dice = Dice::new(seed, "machine id");
    format!("{:016x}{:016x}{:08x}", dice.throw(), dice.throw(), dice.throw() >> 32)
}
