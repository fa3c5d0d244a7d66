//! Records that real services once gave, from the folder that `COLLECTOR_SAMPLES` names.
//!
//! A file is one record, a page of them (`value`), or one record a line. Records stay as they are, white space and all.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use serde_json::value::RawValue;

/// Folder of each function's records, below the folder of samples.
const FOLDERS: [(&str, &str); 4] = [
    ("graph-directory-audits", "graph/directoryAudits"),
    ("graph-provisioning-audits", "graph/provisioning"),
    ("graph-sign-ins", "graph/signIns"),
    ("graph-sign-ins-v2", "graph/signIns_beta"),
];

/// Functions and their folders.
pub fn folders() -> impl Iterator<Item = (&'static str, &'static str)> {
    FOLDERS.into_iter()
}

/// The records of a folder in order of the files' names, those with the same content once.
pub fn distinct_records(folder: &Path) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
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

fn of_document(text: &str) -> Vec<String> {
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).unwrap();
    match members.get("value") {
        Some(page) => {
            let records: Vec<&RawValue> = serde_json::from_str(page.get()).unwrap();
            records.into_iter().map(|record| record.get().to_owned()).collect()
        }
        None => vec![text.trim().to_owned()],
    }
}
