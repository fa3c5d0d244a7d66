//! Counts of what belongs to a record: the switches that ask for them, as the contract names them, and the records that
//! are promised for them.
//!
//! The numbers are the tenant's own. A record is otherwise untouched: its counts stand at its end, in the order of the
//! table.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use simulator::tenant::{Addressee, DefenderCall, DefenderRelation, RequestSeen};

use super::World;

/// One switch.
pub struct Switch {
    /// The function that has it.
    pub function: &'static str,
    /// Its name in the document.
    pub name: &'static str,
    /// The member that it adds.
    pub member: &'static str,
    /// What it counts.
    pub relation: DefenderRelation,
}

/// Every switch, in the order of the members; those that are spelt in two ways stand twice, the vendor's way last.
pub const SWITCHES: [Switch; 20] = [
    alerts("request_alert_related_files", "related_files", DefenderRelation::AlertFiles),
    alerts("request_alert_related_ips", "related_ips", DefenderRelation::AlertIps),
    alerts("request_alert_related_machines", "related_machines", DefenderRelation::AlertMachine),
    alerts("request_alert_related_domains", "related_domains", DefenderRelation::AlertDomains),
    alerts("request_alert_related_users", "related_users", DefenderRelation::AlertUser),
    machines("request_machine_logon_users", "related_logon_users", DefenderRelation::MachineLogonUsers),
    machines("request_machine_related_alerts", "related_alerts", DefenderRelation::MachineAlerts),
    machines(
        "request_machine_vulnerabilities",
        "related_vulnerabilities",
        DefenderRelation::MachineVulnerabilities,
    ),
    machines(
        "request_machine_security_recommendations",
        "related_recommendations",
        DefenderRelation::MachineRecommendations,
    ),
    machines("request_machine_software", "related_software", DefenderRelation::MachineSoftware),
    software(
        "request_vulnerabilities_by_software",
        "related_vulnerabilities",
        DefenderRelation::SoftwareVulnerabilities,
    ),
    software("request_software_missing_kbs", "related_missing_kbs", DefenderRelation::SoftwareMissingKbs),
    software("request_machines_by_software", "related_machines", DefenderRelation::SoftwareMachines),
    software(
        "request_software_version_distributions",
        "related_version_distribution",
        DefenderRelation::SoftwareDistributions,
    ),
    Switch {
        function: "endpoint-vulnerabilities",
        name: "request_machine_by_vulnerabilities",
        member: "related_machines",
        relation: DefenderRelation::VulnerabilityMachines,
    },
    recommendations(
        "request_recommendation_software",
        "related_software",
        DefenderRelation::RecommendationSoftware,
    ),
    recommendations(
        "request_recommendation_machines",
        "related_machines",
        DefenderRelation::RecommendationMachines,
    ),
    recommendations(
        "request_recommendation_vulnerabilities",
        "related_vulnerabilities",
        DefenderRelation::RecommendationVulnerabilities,
    ),
    software("request_softtware_missing_kbs", "related_missing_kbs", DefenderRelation::SoftwareMissingKbs),
    software(
        "request_softtware_version_distributions",
        "related_version_distribution",
        DefenderRelation::SoftwareDistributions,
    ),
];

const fn alerts(name: &'static str, member: &'static str, relation: DefenderRelation) -> Switch {
    Switch { function: "endpoint-alerts", name, member, relation }
}

const fn machines(name: &'static str, member: &'static str, relation: DefenderRelation) -> Switch {
    Switch { function: "endpoint-machines", name, member, relation }
}

const fn software(name: &'static str, member: &'static str, relation: DefenderRelation) -> Switch {
    Switch { function: "endpoint-software", name, member, relation }
}

const fn recommendations(name: &'static str, member: &'static str, relation: DefenderRelation) -> Switch {
    Switch { function: "endpoint-recommendations", name, member, relation }
}

/// The switches of a function that add these members; all of its members where none is named.
pub fn switches(function: &str, members: &[&str]) -> Vec<&'static Switch> {
    let is_wanted = |switch: &&Switch| {
        let is_wanted = members.is_empty() || members.contains(&switch.member);
        switch.function == function && is_wanted && !switch.name.contains("softtware")
    };
    SWITCHES.iter().filter(is_wanted).collect()
}

/// Settings with these switches on. A list is sent when it changed, whatever the hour.
pub fn settings(switches: &[&Switch], more: &Value) -> Value {
    let mut settings: Map<String, Value> =
        switches.iter().map(|switch| (switch.name.to_owned(), json!(true))).collect();
    if switches.iter().any(|switch| switch.function != "endpoint-alerts") {
        settings.insert("snapshot_mode".to_owned(), json!("changes"));
    }
    settings.extend(more.as_object().cloned().unwrap_or_default());
    Value::Object(settings)
}

/// The record as it is promised with these switches on.
pub fn enriched(world: &World, record: &str, switches: &[&Switch]) -> String {
    let counts = switches.iter().map(|switch| {
        let path = path_of(switch.relation, record);
        let count = world.tenant.related_count(&path);
        (switch.member, count.unwrap_or_else(|| panic!("{}: nothing at {path}", world.id)))
    });
    with_members(record, &counts.collect::<Vec<_>>())
}

/// The record with these numbers at its end.
pub fn with_members(record: &str, counts: &[(&str, usize)]) -> String {
    let mut text = record.strip_suffix('}').unwrap().to_owned();
    for (member, count) in counts {
        write!(text, ",\"{member}\":{count}").unwrap();
    }
    text + "}"
}

/// Where a count is asked for, every character that means something in a path escaped.
pub fn path_of(relation: DefenderRelation, record: &str) -> String {
    let id = id_of(record);
    let escaped = id.bytes().fold(String::new(), |mut path, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => path.push(char::from(byte)),
            other => write!(path, "%{other:02X}").unwrap(),
        }
        path
    });
    format!("{}/{escaped}/{}", relation.list().path(), relation.segment())
}

/// The id of a record.
pub fn id_of(record: &str) -> String {
    let record: Value = serde_json::from_str(record).unwrap();
    record["id"].as_str().unwrap().to_owned()
}

/// The requests for what belongs to records, in order.
pub fn asked(world: &World) -> Vec<RequestSeen> {
    let is_related =
        |seen: &RequestSeen| matches!(seen.addressee, Addressee::Defender(DefenderCall::Related(_)));
    world.tenant.requests().into_iter().filter(is_related).collect()
}

/// Those of one relation.
pub fn asked_for(world: &World, relation: DefenderRelation) -> Vec<RequestSeen> {
    let addressee = Addressee::Defender(DefenderCall::Related(relation));
    asked(world).into_iter().filter(|seen| seen.addressee == addressee).collect()
}
