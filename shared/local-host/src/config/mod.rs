//! `config.yaml` as the vendor's container reads it: globals, outputs, inputs.
//!
//! Everything is read once, at the start, files of certificates included, and all problems are reported together: an
//! operator mends the file in one go. The inputs stay one JSON value; `collector::settings` judges them service by
//! service. Names of files and of the state folder are looked up in the vendor's folder layout: `certs/`, `state/`
//! and `config/` side by side.

mod files;
mod outputs;
mod reader;

use std::path::{Path, PathBuf};

use collector::error::{Error, ErrorType, code};
use serde_json::{Map, Value, json};

use files::Folders;
use reader::Reader;

pub use files::locate;
pub use outputs::{OutputPlan, Receiver};

/// Name of the state file inside the state folder.
pub const STATE_FILE_NAME: &str = "collector-state.db";

/// Keys of the whole document.
const DOCUMENT_KEYS: &[&str] = &["globals", "outputs", "inputs", "global_overrides", "job", "autoconfig"];

/// Keys of `globals` that mean something here.
const GLOBAL_KEYS: &[&str] = &["id", "name", "persistence"];

/// Keys of `globals` that tune the vendor's own queues and processes; this collector has none of them.
const IGNORED_GLOBAL_KEYS: &[&str] = &[
    "debug",
    "queue_max_size_in_mb",
    "queue_max_size_in_messages",
    "queue_max_elapsed_time_in_sec",
    "queue_wrap_max_size_in_messages",
    "queue_generate_metrics",
    "sender_stats_period_in_sec",
    "devo_sender_threshold_for_using_gzip_in_transport_layer",
    "devo_sender_compression_level",
    "devo_sender_compression_buffer_in_bytes",
    "generate_collector_details",
];

/// A configuration that was read, its outputs complete with their certificates.
#[derive(Debug)]
pub struct Configuration {
    /// The file it was read from.
    pub path: PathBuf,
    /// `globals.id`: tells this collector from others in its own log events.
    pub id: Option<String>,
    /// `globals.name`, default `collector`.
    pub name: String,
    /// The state file.
    pub state_file: PathBuf,
    /// The enabled outputs in the order of the file; may be empty.
    pub outputs: Vec<OutputPlan>,
    /// `{"inputs": …}` for `collector::settings::document::resolve`.
    pub document: Value,
    /// What makes it unusable, one line each; `runner::validate` reports it with the problems of the services.
    pub problems: Vec<String>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// Reads a configuration, YAML or JSON, as far as it can be read: what is wrong with its parts is in `problems`.
///
/// # Errors
/// InitVariablesError 1 when there is no such file or it is no document.
pub fn load(path: &Path) -> Result<Configuration, Error> {
    let unusable = |problem: String| {
        let message = format!("{}: {problem}", path.display());
        Error::new(ErrorType::InitVariablesError, code::SETTINGS, message)
    };
    let text = std::fs::read_to_string(path).map_err(|cause| {
        unusable(format!("cannot be read ({cause}); name the file with --config or CONFIG_FILE"))
    })?;
    let document = parse(&text).map_err(unusable)?;
    Ok(interpret(path, &document))
}

/// Reads a document: JSON is tried first, because its errors name the place in the words of JSON.
fn parse(text: &str) -> Result<Map<String, Value>, String> {
    let value: Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(text)
            .or_else(|cause| read_yaml(text).map_err(|_| format!("is no readable JSON: {cause}")))?
    } else {
        read_yaml(text)?
    };
    match value {
        Value::Object(document) => Ok(document),
        _ => Err("is no document with the keys globals, outputs and inputs".to_owned()),
    }
}

fn read_yaml(text: &str) -> Result<Value, String> {
    // Snippets of the source would show secrets that stand near the fault.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|cause| format!("is no readable YAML: {cause}"))
}

fn interpret(path: &Path, document: &Map<String, Value>) -> Configuration {
    let folders = Folders::of(path);
    let mut reader = Reader::default();
    reader.unknown_keys(document, "document", DOCUMENT_KEYS, &[]);
    let empty = Map::new();
    let globals = reader.object(document, "globals", "globals").unwrap_or(&empty);
    read_ignored_globals(globals, &mut reader);
    let id = reader.text(globals, "id", "globals");
    let name = reader.text(globals, "name", "globals").unwrap_or_else(|| "collector".to_owned());
    let state_file = state_file(globals, &folders, &mut reader);
    let outputs = outputs::read(document, &folders, &mut reader);
    let inputs = match document.get("inputs") {
        Some(inputs @ Value::Object(map)) if !map.is_empty() => inputs.clone(),
        _ => {
            reader.problem("inputs", "names no input; add at least one, for example microsoft_graph_audit");
            Value::Null
        }
    };
    Configuration {
        path: path.to_owned(),
        id,
        name,
        state_file,
        outputs,
        document: json!({ "inputs": inputs }),
        problems: reader.problems,
        warnings: reader.warnings,
    }
}

/// The vendor ignores what it does not know of `globals`, so an existing file may hold anything here.
fn read_ignored_globals(globals: &Map<String, Value>, reader: &mut Reader) {
    let ignored: Vec<_> =
        globals.keys().map(String::as_str).filter(|key| IGNORED_GLOBAL_KEYS.contains(key)).collect();
    if !ignored.is_empty() {
        reader.warnings.push(format!("globals: ignored, not needed here: {}", ignored.join(", ")));
    }
    for key in globals.keys() {
        if !GLOBAL_KEYS.contains(&key.as_str()) && !IGNORED_GLOBAL_KEYS.contains(&key.as_str()) {
            let hint = reader::hint(key, &[GLOBAL_KEYS, IGNORED_GLOBAL_KEYS].concat());
            reader.warnings.push(format!("globals.{key}: unknown key, ignored; {hint}"));
        }
    }
}

fn state_file(globals: &Map<String, Value>, folders: &Folders, reader: &mut Reader) -> PathBuf {
    let place = "globals.persistence";
    let empty = Map::new();
    let persistence = reader.object(globals, "persistence", place).unwrap_or(&empty);
    reader.unknown_keys(persistence, place, &["type", "config"], &[]);
    let kind = reader.text(persistence, "type", place);
    if kind.as_deref().is_some_and(|kind| kind != "filesystem") {
        reader.problem(
            "globals.persistence.type",
            "only filesystem works here: the state is one embedded file",
        );
    }
    let config = reader.object(persistence, "config", "globals.persistence.config").unwrap_or(&empty);
    reader.unknown_keys(config, "globals.persistence.config", &["directory_name"], &[]);
    let directory = reader
        .text(config, "directory_name", "globals.persistence.config")
        .unwrap_or_else(|| "state".to_owned());
    folders.beside_config(&directory).join(STATE_FILE_NAME)
}

#[cfg(test)]
mod tests;
