//! Documents for version 1.x of the vendor's collector, put into today's words.
//!
//! A document is translated as a whole before anything reads it: an input that was split, services that became one,
//! settings that moved from the services to the input. What comes out is a document of today, so no reader knows older
//! words, and a translated document that is translated again stays as it is. Each translation leaves one note for the
//! operator, and places are always named as in the document that the operator wrote.

mod endpoints;
mod older_service;
mod parts;
mod split;
mod spread;
mod twice;

use std::fmt;

use serde_json::{Map, Value};

use super::outline::names_of_family;
use super::read::join;
use crate::service::{Family, Service};

/// A document in today's words.
pub(super) struct Translation {
    /// The document.
    pub(super) document: Value,
    /// What was translated, and what could not be; places are those of the document as it was written.
    pub(super) notes: Vec<Note>,
    /// Where things were before.
    pub(super) origins: Origins,
}

/// What there is to say about one translation.
#[derive(Debug, Clone)]
pub(super) struct Note {
    pub(super) scope: Scope,
    pub(super) kind: NoteKind,
    /// Where it is in the document.
    pub(super) path: String,
    /// What it is today, or what is wrong with it.
    pub(super) text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.text)
    }
}

/// Whom a note concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scope {
    /// Key of the input.
    pub(super) input: &'static str,
    /// Key of the service; `None` is all of the input's.
    pub(super) service: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoteKind {
    /// It cannot be translated.
    Problem,
    /// It has other words today; the operator is told at each invocation.
    Translated,
    /// It is a spelling of today in another place, which is as good; told by `migrate` alone.
    Moved,
}

/// Which place of the translated document was which in the document as it was written.
#[derive(Debug, Default)]
pub(super) struct Origins {
    places: Vec<(String, String)>,
}

impl Origins {
    /// The place as the operator wrote it.
    pub(super) fn place(&self, path: &str) -> String {
        let moved = self.places.iter().filter_map(|(now, before)| {
            let rest = path.strip_prefix(now.as_str())?;
            (rest.is_empty() || rest.starts_with(['.', '['])).then_some((now.len(), before, rest))
        });
        let nearest = moved.max_by_key(|(length, ..)| *length);
        nearest.map_or_else(|| path.to_owned(), |(_, before, rest)| format!("{before}{rest}"))
    }

    fn add(&mut self, now: String, written: &str) {
        let before = self.place(written);
        if now != before {
            self.places.push((now, before));
        }
    }
}

/// What a translation leaves beside the document.
#[derive(Default)]
struct Trace {
    notes: Vec<Note>,
    origins: Origins,
}

impl Trace {
    fn note(&mut self, scope: Scope, kind: NoteKind, path: &str, text: impl Into<String>) {
        let note = Note { scope, kind, path: self.origins.place(path), text: text.into() };
        self.notes.push(note);
    }
}

/// Translates a document. What is of no known shape stays as it is: whoever reads it says what is wrong.
pub(super) fn translate(document: &Value, families: &[&'static Family]) -> Translation {
    let mut translated = document.clone();
    let mut trace = Trace::default();
    if let Some(inputs) = translated.get_mut("inputs").and_then(Value::as_object_mut) {
        split::split(inputs, families, &mut trace);
        twice::leave_working_inputs(inputs, families, &mut trace);
        for (key, input) in inputs.iter_mut() {
            let family = families.iter().find(|family| names_of_family(family).any(|name| name == key));
            if let (Some(family), Some(members)) = (family, input.as_object_mut()) {
                translate_input(&InputPlace { family, path: join("inputs", key) }, members, &mut trace);
            }
        }
    }
    Translation { document: translated, notes: trace.notes, origins: trace.origins }
}

/// Where an input is.
struct InputPlace {
    family: &'static Family,
    path: String,
}

impl InputPlace {
    fn scope(&self) -> Scope {
        Scope { input: self.family.input, service: None }
    }

    fn scope_of(&self, service: &Service) -> Scope {
        Scope { input: self.family.input, service: Some(service.name) }
    }

    fn path_of_service(&self, key: &str) -> String {
        join(&join(&self.path, "services"), key)
    }

    /// Whether this names a service, or a part of one.
    fn has_service(&self, key: &str) -> bool {
        self.service(key).is_some() || self.family.older.parts.iter().any(|part| part.name == key)
    }

    /// The service of today that has this name.
    fn service(&self, key: &str) -> Option<&'static Service> {
        self.family.services.iter().copied().find(|it| it.name == key || it.aliases.contains(&key))
    }
}

fn translate_input(place: &InputPlace, members: &mut Map<String, Value>, trace: &mut Trace) {
    if let Some(services) = members.get_mut("services").and_then(Value::as_object_mut) {
        twice::leave_working_services(place, services, trace);
    }
    // Before parts are joined: what moves to the input is no difference between them.
    endpoints::gather(place, members, trace);
    spread::to_services(place, members, trace);
    let Some(services) = members.get_mut("services").and_then(Value::as_object_mut) else {
        return;
    };
    parts::join_parts(place, services, trace);
    for (key, value) in services.iter_mut() {
        if let (Some(service), Some(settings)) = (place.service(key), value.as_object_mut()) {
            older_service::translate(place, service, &place.path_of_service(key), settings, trace);
        }
    }
}

/// Whether a block says that it is switched off.
fn is_off(members: &Map<String, Value>) -> bool {
    match members.get("enabled") {
        Some(Value::Bool(enabled)) => !enabled,
        Some(Value::String(text)) => text.trim().eq_ignore_ascii_case("false"),
        _ => false,
    }
}

/// Puts other members in the place of one.
fn replace(members: &mut Map<String, Value>, key: &str, others: Vec<(String, Value)>) {
    let mut others = Some(others);
    let old = std::mem::take(members);
    for (name, value) in old {
        if name == key {
            members.extend(others.take().into_iter().flatten());
        } else {
            members.insert(name, value);
        }
    }
}
