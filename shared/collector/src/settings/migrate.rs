//! A document in today's form: what an operator keeps instead of one for version 1.x of the vendor's collector.
//!
//! The translation that every reading makes is made for good here, and then what is merely another spelling gets its
//! name of today. A result stays as it is when it is migrated again, and means what the document meant.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::document::check_all;
use super::findings::Findings;
use super::keys::{
    self, CREDENTIALS, HUNTING_QUERY, IGNORED_INSIDE, QUERIES, RESET, START_TIME, Setting, TIME_DELTA,
    TIME_RANGE,
};
use super::outline::{Outline, names_of_family};
use super::queries::{KNOWN, WITHOUT_WINDOW, is_whole};
use super::read::{join, whole_number};
use super::service_block::WITHOUT_START;
use super::translate::{NoteKind, Origins, translate};
use crate::error::{Error, ErrorType, code};
use crate::service::Family;
use crate::window::{earlier, whole_second};

/// A document in today's form.
#[derive(Debug, Clone)]
pub struct Migrated {
    /// The document. It holds the credentials of the old one.
    pub document: Value,
    /// What was changed, one line each with its place in the old document; never a secret.
    pub changes: Vec<String>,
    /// What the operator should know of the document as it is now.
    pub warnings: Vec<String>,
}

/// Puts a document into today's form. `now` is where a start that was given in days counts from.
///
/// # Errors
/// InitVariablesError 1 that names every problem of the document, one a line.
pub fn migrate(document: &Value, families: &[&'static Family], now: Timestamp) -> Result<Migrated, Error> {
    let problems = problems(document, families, now);
    if !problems.is_empty() {
        return Err(Error::new(ErrorType::InitVariablesError, code::SETTINGS, problems.join("\n")));
    }
    let translation = translate(document, families);
    let told = translation.notes.iter().filter(|note| note.kind != NoteKind::Problem);
    let mut changes =
        Changes { origins: &translation.origins, lines: told.map(ToString::to_string).collect() };
    let mut today = translation.document.clone();
    rename_inputs(&mut today, families, now, &mut changes);
    let lines = each_once(changes.lines);
    let untranslated = translation.notes.iter().filter(|note| note.kind == NoteKind::Problem);
    let left_out = untranslated.map(|note| format!("not in use, and left out: {note}"));
    let warnings = each_once(left_out.chain(warnings(&today, families, now)));
    Ok(Migrated { document: today, changes: lines, warnings })
}

/// The problems of all services, and the inputs that nobody knows: whoever migrates a document wants all of it.
fn problems(document: &Value, families: &[&'static Family], now: Timestamp) -> Vec<String> {
    let translation = translate(document, families);
    let outline = Outline::read(&translation, families);
    let mut unknown = Findings::default();
    for input in &outline.unknown_inputs {
        unknown.problem(&input.path, &input.text);
    }
    let of_services = check_all(document, families, now).into_iter().filter_map(|(_, result)| result.err());
    let messages: Vec<String> = unknown.error().into_iter().chain(of_services).map(|it| it.message).collect();
    each_once(messages.iter().flat_map(|message| message.lines()).map(str::to_owned))
}

/// What is beside the inputs is not this module's matter: on-premise it has a meaning, on AWS none.
fn warnings(document: &Value, families: &[&'static Family], now: Timestamp) -> Vec<String> {
    let inputs = json!({"inputs": document.get("inputs")});
    let resolved = check_all(&inputs, families, now).into_iter().filter_map(|(_, result)| result.ok());
    each_once(resolved.flat_map(|it| it.warnings))
}

fn each_once(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut known = BTreeSet::new();
    lines.into_iter().filter(|line| known.insert(line.clone())).collect()
}

/// What was changed so far.
struct Changes<'a> {
    origins: &'a Origins,
    lines: Vec<String>,
}

impl Changes<'_> {
    fn note(&mut self, path: &str, text: &str) {
        self.lines.push(format!("{}: {text}", self.origins.place(path)));
    }
}

fn rename_inputs(
    document: &mut Value,
    families: &[&'static Family],
    now: Timestamp,
    changes: &mut Changes<'_>,
) {
    let Some(inputs) = document.get_mut("inputs").and_then(Value::as_object_mut) else {
        return;
    };
    for (key, mut value) in std::mem::take(inputs) {
        let path = join("inputs", &key);
        let family = families.iter().find(|family| names_of_family(family).any(|name| name == key));
        let Some(family) = family else {
            inputs.insert(key, value);
            continue;
        };
        if let Some(members) = value.as_object_mut() {
            rename_settings(&path, members, &keys::of_input(family), changes);
            if let Some(credentials) = members.get_mut(CREDENTIALS.name).and_then(Value::as_object_mut) {
                rename_settings(
                    &join(&path, CREDENTIALS.name),
                    credentials,
                    &keys::of_credentials(family),
                    changes,
                );
            }
            if let Some(services) = members.get_mut("services").and_then(Value::as_object_mut) {
                rename_services(&join(&path, "services"), services, family, now, changes);
            }
        }
        if key != family.input {
            changes.note(&path, &format!("is `{}` today", family.input));
        }
        inputs.insert(family.input.to_owned(), value);
    }
}

fn rename_services(
    services_path: &str,
    services: &mut Map<String, Value>,
    family: &'static Family,
    now: Timestamp,
    changes: &mut Changes<'_>,
) {
    for (key, mut value) in std::mem::take(services) {
        let path = join(services_path, &key);
        let known = family.services.iter();
        let Some(service) = known.into_iter().find(|it| it.name == key || it.aliases.contains(&key.as_str()))
        else {
            services.insert(key, value);
            continue;
        };
        if let Some(settings) = value.as_object_mut() {
            if service.query.is_snapshot() {
                leave_out_start(&path, settings, changes);
            }
            settle_start(&path, settings, now, changes);
            if service.query.is_hunting() {
                rename_queries(&path, settings, changes);
            }
            rename_settings(&path, settings, &keys::of_service(service), changes);
        }
        if services.contains_key(service.name) {
            services.insert(key, value);
            continue;
        }
        if key != service.name {
            changes.note(&path, &format!("is `{}` today", service.name));
        }
        services.insert(service.name.to_owned(), value);
    }
}

/// What reads the whole list each time starts nowhere, and each reading would say so.
fn leave_out_start(path: &str, settings: &mut Map<String, Value>, changes: &mut Changes<'_>) {
    settings.retain(|key, value| {
        let is_start = (START_TIME.is_spelt(key) || key == TIME_DELTA.name) && !value.is_null();
        if is_start {
            changes.note(&join(path, key), &format!("is left out; it {WITHOUT_START}"));
        }
        !is_start
    });
}

/// Settings of queries get their names of today; a range where there is no window is left out.
fn rename_queries(path: &str, settings: &mut Map<String, Value>, changes: &mut Changes<'_>) {
    let path = join(path, QUERIES.name);
    let queries = settings.get_mut(QUERIES.name).and_then(Value::as_array_mut);
    for (index, query) in queries.into_iter().flatten().enumerate() {
        let Some(members) = query.as_object_mut() else { continue };
        let at = format!("{path}[{index}]");
        let text = members.get(HUNTING_QUERY.name).and_then(Value::as_str).unwrap_or_default();
        if is_whole(text) && members.shift_remove(TIME_RANGE.name).is_some_and(|value| !value.is_null()) {
            changes.note(&join(&at, TIME_RANGE.name), &format!("is left out; it {WITHOUT_WINDOW}"));
        }
        rename_settings(&at, members, &KNOWN, changes);
    }
}

/// A start in days becomes an instant; a restart has been made, or will be by another start.
fn settle_start(path: &str, settings: &mut Map<String, Value>, now: Timestamp, changes: &mut Changes<'_>) {
    if settings.shift_remove(RESET.name).is_some_and(|value| !value.is_null()) {
        let text = format!("is left out; another `{}` restarts a service today", START_TIME.name);
        changes.note(&join(path, RESET.name), &text);
    }
    let Some(days) = settings.get(TIME_DELTA.name).and_then(whole_number) else {
        settings.shift_remove(TIME_DELTA.name);
        return;
    };
    let has_start = settings.iter().any(|(key, value)| START_TIME.is_spelt(key) && !value.is_null());
    if has_start {
        // Only something that is switched off may have both.
        changes.note(&join(path, TIME_DELTA.name), &format!("is left out beside `{}`", START_TIME.name));
        settings.shift_remove(TIME_DELTA.name);
        return;
    }
    let start = start_of(now, days).to_string();
    let text = format!(
        "is `{}: {start}` now; leave that out for a service that this collector has started already, or it restarts \
         there",
        START_TIME.name
    );
    changes.note(&join(path, TIME_DELTA.name), &text);
    for (key, value) in std::mem::take(settings) {
        if key == TIME_DELTA.name {
            settings.insert(START_TIME.name.to_owned(), Value::from(start.clone()));
        } else if !START_TIME.is_spelt(&key) {
            settings.insert(key, value);
        }
    }
}

/// That many days before now. A start must be in the past, so no days are a second.
fn start_of(now: Timestamp, days: i64) -> Timestamp {
    let back = SignedDuration::from_hours(days.saturating_mul(24)).max(SignedDuration::from_secs(1));
    whole_second(earlier(now, back))
}

/// Gives settings the names of today and takes out what has no effect.
fn rename_settings(
    path: &str,
    members: &mut Map<String, Value>,
    known: &[&'static Setting],
    changes: &mut Changes<'_>,
) {
    for (key, value) in std::mem::take(members) {
        let at = join(path, &key);
        if IGNORED_INSIDE.contains(&key.as_str()) {
            changes.note(&at, "is left out; it has no effect here");
            continue;
        }
        let Some(setting) = known.iter().find(|setting| setting.is_spelt(&key)) else {
            members.insert(key, value);
            continue;
        };
        let other = members.get(setting.name).filter(|other| !other.is_null());
        if other.is_some_and(|other| *other != value && !value.is_null()) {
            // Only something that is switched off may contradict itself; it stays as it is.
            members.insert(key, value);
            continue;
        }
        if key != setting.name {
            changes.note(&at, &format!("is `{}` today", setting.name));
        }
        if other.is_none() {
            members.insert(setting.name.to_owned(), value);
        }
    }
}
