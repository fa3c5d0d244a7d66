//! An input that is several today: each of its services goes to the input that has it.
//!
//! The declarations say so: an older name that several families share. Id, credentials and all that is not a service go
//! to each of them, so that the parts keep their own places in the state.

use serde_json::{Map, Value};

use super::twice::{gives_way, is_value_off};
use super::{NoteKind, Scope, Trace, is_off, replace};
use crate::service::Family;
use crate::settings::outline::names_of_family;
use crate::settings::read::{join, unknown_key};

/// Splits the inputs whose name several families share.
pub(super) fn split(inputs: &mut Map<String, Value>, families: &[&'static Family], trace: &mut Trace) {
    let keys: Vec<String> = inputs.keys().cloned().collect();
    for key in keys {
        let heirs: Vec<&'static Family> =
            families.iter().copied().filter(|it| names_of_family(it).any(|name| name == key)).collect();
        if heirs.len() > 1 {
            split_one(inputs, &key, &heirs, trace);
        }
    }
}

fn split_one(inputs: &mut Map<String, Value>, key: &str, heirs: &[&'static Family], trace: &mut Trace) {
    let path = join("inputs", key);
    let members = match inputs.get(key) {
        Some(Value::Object(members)) => members.clone(),
        // An absent input, or one that cannot be one: the first heir tells what is wrong with it.
        other => {
            let value = other.cloned().unwrap_or_default();
            let heir =
                heirs.iter().find(|heir| !is_there(heir, inputs)).map(|it| (it.input.to_owned(), value));
            give(inputs, key, heir.into_iter().collect(), trace);
            return;
        }
    };
    let services = match members.get("services") {
        Some(Value::Object(services)) => services.clone(),
        _ => Map::new(),
    };
    let mut shares: Vec<(&'static Family, Map<String, Value>)> =
        heirs.iter().map(|heir| (*heir, Map::new())).collect();
    for (name, settings) in services {
        match shares.iter_mut().find(|(heir, _)| has_service(heir, &name)) {
            Some((_, share)) => {
                share.insert(name, settings);
            }
            None => tell_unknown(heirs, &join(&join(&path, "services"), &name), &name, trace),
        }
    }
    let is_without = shares.iter().all(|(_, share)| share.is_empty());
    shares.retain(|(_, share)| !share.is_empty());
    if is_without {
        shares.extend(heirs.first().map(|heir| (*heir, Map::new())));
    }
    for (heir, _) in &shares {
        settle_twice(heir, key, inputs, trace);
    }
    // An older input that is switched off is nobody's beside its heirs.
    shares.retain(|(heir, _)| !(is_off(&members) && is_there(heir, inputs)));
    tell_split(&path, &shares, inputs, trace);
    let parts = shares.into_iter().filter(|(heir, _)| !is_there(heir, inputs)).map(|(heir, share)| {
        let mut input = members.clone();
        if input.get("services").is_some_and(Value::is_object) {
            input.insert("services".to_owned(), Value::Object(share));
        }
        (heir.input.to_owned(), Value::Object(input))
    });
    let parts = parts.collect();
    give(inputs, key, parts, trace);
}

/// Of an older input and one of its heirs that is there too, the one that is switched off gives way.
fn settle_twice(heir: &'static Family, key: &str, inputs: &mut Map<String, Value>, trace: &mut Trace) {
    let scope = Scope { input: heir.input, service: None };
    let (older, newer) = (join("inputs", key), join("inputs", heir.input));
    match (inputs.get(key).is_some_and(is_value_off), inputs.get(heir.input).map(is_value_off)) {
        (true, Some(_)) => trace.note(scope, NoteKind::Translated, &older, gives_way(&newer)),
        (false, Some(true)) => {
            inputs.shift_remove(heir.input);
            trace.note(scope, NoteKind::Translated, &newer, gives_way(&older));
        }
        (false, Some(false)) | (_, None) => {}
    }
}

/// One note for each heir. An input of today that is there beside the older one has its share already.
fn tell_split(
    path: &str,
    shares: &[(&'static Family, Map<String, Value>)],
    inputs: &Map<String, Value>,
    trace: &mut Trace,
) {
    let names: Vec<String> = shares.iter().map(|(heir, _)| format!("`{}`", heir.input)).collect();
    let names = names.join(" and ");
    let twice = shares.iter().map(|(heir, _)| *heir).find(|heir| is_there(heir, inputs));
    for (heir, _) in shares {
        let scope = Scope { input: heir.input, service: None };
        match twice {
            Some(known) => {
                let text = format!("is {names} today, and `{}` is there too; keep one", known.input);
                trace.note(scope, NoteKind::Problem, path, text);
            }
            None => {
                let text = format!("is an input of version 1.x; read as {names}");
                trace.note(scope, NoteKind::Translated, path, text);
            }
        }
    }
}

/// Whether an input of today is in the document, under a name that is its own.
fn is_there(heir: &'static Family, inputs: &Map<String, Value>) -> bool {
    inputs.contains_key(heir.input)
}

/// Puts the parts in the input's place.
fn give(inputs: &mut Map<String, Value>, key: &str, parts: Vec<(String, Value)>, trace: &mut Trace) {
    let path = join("inputs", key);
    for (name, _) in &parts {
        trace.origins.add(join("inputs", name), &path);
    }
    replace(inputs, key, parts);
}

fn tell_unknown(heirs: &[&'static Family], path: &str, name: &str, trace: &mut Trace) {
    let known = heirs.iter().flat_map(|heir| heir.services.iter().map(|service| service.name));
    let text = unknown_key(name, known);
    for heir in heirs {
        let scope = Scope { input: heir.input, service: None };
        trace.note(scope, NoteKind::Problem, path, text.clone());
    }
}

fn has_service(family: &Family, name: &str) -> bool {
    family.services.iter().any(|service| service.name == name || service.aliases.contains(&name))
        || family.older.parts.iter().any(|part| part.name == name)
}
