//! What belongs to a record of Defender for Endpoint: how many rows, and each of them, made up from the record's id.

use jiff::Timestamp;

use super::content::{DISPLAY_NAMES, Dice};
use super::defender_alert::{defender_alert, machine_id};
use super::defender_inventory::{machine, recommendation, software, vulnerability};
use super::time_text;
use crate::tenant::{DefenderRelation, RelatedKind};

/// How many rows of a relation the record of that id has: 0 to `most`.
pub(crate) fn related_count(relation: DefenderRelation, id: &str, most: usize) -> usize {
    dice(relation, id, "count").below(most.saturating_add(1))
}

/// One of them.
pub(crate) fn related_row(relation: DefenderRelation, id: &str, index: usize) -> String {
    let mut dice = dice(relation, id, &index.to_string());
    let (seed, name) = (dice.throw() % 1_000_000, dice.one_of(DISPLAY_NAMES));
    let time = Timestamp::UNIX_EPOCH + std::time::Duration::from_secs(1_790_000_000 + seed);
    let seen = dice.time(time);
    match relation.kind() {
        RelatedKind::File => format!(
            "{{\"sha1\":\"{}\",\"sha256\":null,\"globalPrevalence\":{},\"globalFirstObserved\":\"{seen}\",\"size\":{seed},\
             \"fileType\":null,\"isPeFile\":true,\"filePublisher\":\"{name}\",\"signer\":\"\",\
             \"isValidCertificate\":null,\"determinationType\":\"Unknown\",\"determinationValue\":null}}",
            machine_id(seed),
            dice.below(1_000)
        ),
        RelatedKind::Ip => format!("{{\"id\":\"{}\"}}", dice.address()),
        RelatedKind::Domain => format!("{{\"host\":\"host{seed}.example.com\"}}"),
        RelatedKind::Machine => machine(seed, time),
        RelatedKind::User | RelatedKind::LogonUser => format!(
            "{{\"id\":\"simulated\\\\user{seed}\",\"accountName\":\"user{seed}\",\"accountDomain\":\"simulated\",\
             \"accountSid\":null,\"firstSeen\":\"{seen}\",\"lastSeen\":\"{seen}\",\"logonTypes\":\"Interactive\",\
             \"isDomainAdmin\":false,\"isOnlyNetworkUser\":null}}"
        ),
        RelatedKind::Alert => defender_alert(seed, time),
        RelatedKind::Vulnerability => vulnerability(seed, time),
        RelatedKind::Recommendation => recommendation(seed),
        RelatedKind::Software => software(seed),
        RelatedKind::MissingKb => format!(
            "{{\"id\":\"{}\",\"name\":\"Updates of {}\",\"productsNames\":[\"edge\"],\
             \"url\":\"https:\\/\\/example.com\\/?q=KB{seed}\",\"machineMissedOn\":{},\"cveAddressed\":{}}}",
            4_000_000 + seed,
            time_text(time, 0),
            dice.below(300),
            dice.below(100)
        ),
        RelatedKind::Distribution => format!(
            "{{\"version\":\"11.0.{seed}.535\",\"installations\":{},\"vulnerabilities\":{}}}",
            dice.below(900),
            dice.below(20)
        ),
        RelatedKind::MachineReference => format!(
            "{{\"id\":\"{}\",\"computerDnsName\":\"host{seed} \",\"osPlatform\":\"Windows11\",\"rbacGroupName\":null}}",
            machine_id(seed)
        ),
    }
}

fn dice(relation: DefenderRelation, id: &str, purpose: &str) -> Dice {
    Dice::new(relation as u64, &format!("{purpose} of {id}"))
}
