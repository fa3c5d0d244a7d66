//! Records that real services once gave, from the folder that `COLLECTOR_SAMPLES` names.
//!
//! A file is one record, a page of them (`value`), an array of them, or one record a line. Records stay as they are, white space and all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use serde_json::value::RawValue;

/// Where each function's records are, below the folder of samples: folders, or single files of a folder of many kinds.
const PLACES: [(&str, &[&str]); 19] = [
    ("graph-directory-audits", &["graph/directoryAudits"]),
    ("graph-provisioning-audits", &["graph/provisioning"]),
    ("graph-sign-ins", &["graph/signIns"]),
    ("graph-sign-ins-v2", &["graph/signIns_beta"]),
    ("graph-alerts", &["graph/alerts"]),
    ("graph-alerts-v2", &["graph/alerts_v2"]),
    ("graph-secure-scores", &["graph/secureScores"]),
    ("graph-secure-score-control-profiles", &["graph/secureScoreControlProfiles"]),
    ("endpoint-alerts", &["endpoint/alerts"]),
    ("endpoint-machines", &["endpoint/machines", "endpoint/defectdojo/machines.json"]),
    ("endpoint-software", &["endpoint/software"]),
    ("endpoint-vulnerabilities", &["endpoint/vulnerabilities", "endpoint/defectdojo/vulnerabilities.json"]),
    ("endpoint-recommendations", &["endpoint/recommendations"]),
    ("endpoint-investigations", &["endpoint/investigations"]),
    ("cloud-apps-activities", &["cloud_apps/activities"]),
    ("cloud-apps-alerts", &["cloud_apps/alerts"]),
    ("cloud-apps-entities", &["cloud_apps/entities"]),
    ("cloud-apps-data-enrichment", &["cloud_apps/subnet"]),
    ("cloud-apps-files", &["cloud_apps/files"]),
];

/// Folder of audit records of all workloads.
const AUDIT_RECORDS: &str = "office365/msdocs";

/// The functions and their records, below the folder of samples; places that are not there are named in `skipped`.
pub fn by_function(samples: &Path, mut skipped: impl FnMut(&str)) -> Vec<(&'static str, Vec<String>)> {
    let mut found = Vec::new();
    let mut read = |places: &[&str]| {
        let paths = places.iter().map(|place| samples.join(place));
        let (there, absent): (Vec<_>, Vec<_>) = paths.partition(|path| path.exists());
        absent.iter().for_each(|path| skipped(&format!("there is no {}", path.display())));
        distinct_records(&there)
    };
    found.extend(PLACES.map(|(function, places)| (function, read(places))));
    let mut of_feeds: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for record in read(&[AUDIT_RECORDS]) {
        of_feeds.entry(feed_of(&serde_json::from_str(&record).unwrap())).or_default().push(record);
    }
    found.extend(of_feeds);
    found.retain(|(_, records)| !records.is_empty());
    found
}

/// The feed that a record comes in: those of data loss prevention by their type, others by their workload.
fn feed_of(record: &Value) -> &'static str {
    if matches!(record["RecordType"].as_u64(), Some(11 | 13 | 33 | 63 | 99..=100 | 107)) {
        return "office365-dlp";
    }
    match record["Workload"].as_str() {
        Some("AzureActiveDirectory") => "office365-azure-active-directory",
        Some("SharePoint" | "OneDrive") => "office365-sharepoint",
        Some("Exchange") => "office365-exchange",
        _ => "office365-general-audit",
    }
}

/// Records as they are, between brackets: a content blob.
pub fn blob(records: &[String]) -> String {
    format!("[{}]", records.join(",\r\n"))
}

/// The records of files, and of folders in order of their files' names; those with the same content once.
fn distinct_records(places: &[PathBuf]) -> Vec<String> {
    let files = places.iter().flat_map(|place| {
        if place.is_file() {
            return vec![place.clone()];
        }
        let mut files: Vec<_> = fs::read_dir(place).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    });
    let mut records: Vec<String> = Vec::new();
    let mut known: Vec<Value> = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let is_lines = file.extension().is_some_and(|extension| extension == "ndjson");
        let found = if is_lines { text.lines().map(str::to_owned).collect() } else { of_document(&text) };
        for record in found {
            let content: Value = serde_json::from_str(&record).unwrap();
            if !known.contains(&content) {
                known.push(content);
                records.push(record);
            }
        }
    }
    records
}

/// One page that holds these records as they are.
pub fn page(records: &[String]) -> String {
    format!("{{\"value\":[{}]}}", records.join(",\n"))
}

/// The same as Defender for Cloud Apps has it, and nothing behind it.
pub fn listed(records: &[String]) -> String {
    format!("{{\"data\":[{}],\"hasNext\":false}}", records.join(",\n"))
}

/// The records of a document: a page (`value` or `data`), an array, or one record.
pub fn of_document(text: &str) -> Vec<String> {
    if let Ok(records) = serde_json::from_str::<Vec<&RawValue>>(text) {
        return records.into_iter().map(|record| record.get().to_owned()).collect();
    }
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).unwrap();
    match members.get("value").or_else(|| members.get("data")) {
        Some(page) => of_array(page.get()),
        None => vec![text.trim().to_owned()],
    }
}

/// The records of the array that this member of a document is.
pub fn of_member(text: &str, member: &str) -> Vec<String> {
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).unwrap();
    of_array(members[member].get())
}

fn of_array(text: &str) -> Vec<String> {
    let records: Vec<&RawValue> = serde_json::from_str(text).unwrap();
    records.into_iter().map(|record| record.get().to_owned()).collect()
}
