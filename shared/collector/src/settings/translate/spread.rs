//! Start and tag: settings of a service, which some documents have in the input or its credentials.
//!
//! What stands there is meant for every service that has none of its own; of the two places the input counts first, and
//! they must agree. A snapshot has no start, and is not given one. Request limits in the credentials are the input's. Only
//! families whose documents are known to be so are read this way: elsewhere such a key is unknown.

use serde_json::{Map, Value};

use super::endpoints::insert_before_services;
use super::{InputPlace, NoteKind, Trace};
use crate::service::Places;
use crate::settings::keys::{CREDENTIALS, REQUESTS_LIMITS, REQUESTS_PER_SECOND, START_TIME, Setting, TAG};
use crate::settings::read::{join, plain};

/// What stands beside the services and is theirs.
static OF_SERVICES: [&Setting; 2] = [&START_TIME, &TAG];
/// What stands in the credentials and is the input's.
static OF_INPUT: [&Setting; 2] = [&REQUESTS_PER_SECOND, &REQUESTS_LIMITS];

struct Found {
    setting: &'static Setting,
    path: String,
    value: Value,
}

/// Gives the services what stands beside them.
pub(super) fn to_services(place: &InputPlace, members: &mut Map<String, Value>, trace: &mut Trace) {
    if place.family.older.places == Places::Services {
        return;
    }
    let mut found = taken_out(&OF_SERVICES, &place.path, members);
    let mut limits = Vec::new();
    if let Some(credentials) = members.get_mut(CREDENTIALS.name).and_then(Value::as_object_mut) {
        let path = join(&place.path, CREDENTIALS.name);
        found.extend(taken_out(&OF_SERVICES, &path, credentials));
        limits = taken_out(&OF_INPUT, &path, credentials);
    }
    for limit in limits {
        to_input(place, limit, members, trace);
    }
    for setting in OF_SERVICES {
        let mut claims = found.iter().filter(|claim| claim.setting.name == setting.name);
        let Some(first) = claims.next() else { continue };
        for other in claims.filter(|claim| plain(&claim.value) != plain(&first.value)) {
            let text = format!("says something else than `{}`; make them agree", first.path);
            trace.note(place.scope(), NoteKind::Problem, &other.path, text);
        }
        let text = format!("is `{}` of each service that has none of its own", setting.name);
        trace.note(place.scope(), NoteKind::Moved, &first.path, text);
        give(place, first, members, trace);
    }
}

fn to_input(place: &InputPlace, given: Found, members: &mut Map<String, Value>, trace: &mut Trace) {
    let own = members.get(given.setting.name).filter(|value| !value.is_null());
    if own.is_some_and(|value| plain(value) != plain(&given.value)) {
        let other = join(&place.path, given.setting.name);
        let text = format!("says something else than `{other}`; make them agree");
        trace.note(place.scope(), NoteKind::Problem, &given.path, text);
        return;
    }
    let text = format!("is the input's `{}`", given.setting.name);
    trace.note(place.scope(), NoteKind::Moved, &given.path, text);
    if own.is_none() {
        trace.origins.add(join(&place.path, given.setting.name), &given.path);
        insert_before_services(members, given.setting.name, given.value);
    }
}

fn give(place: &InputPlace, given: &Found, members: &mut Map<String, Value>, trace: &mut Trace) {
    let services = members.get_mut("services").and_then(Value::as_object_mut);
    for (key, value) in services.into_iter().flatten() {
        let Some(service) = place.service(key) else { continue };
        if service.query.is_snapshot() && given.setting.name == START_TIME.name {
            continue;
        }
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
        let Some(settings) = value.as_object_mut() else { continue };
        if settings.iter().any(|(name, own)| given.setting.is_spelt(name) && !own.is_null()) {
            continue;
        }
        settings.insert(given.setting.name.to_owned(), given.value.clone());
        trace.origins.add(join(&place.path_of_service(key), given.setting.name), &given.path);
    }
}

fn taken_out(wanted: &[&'static Setting], path: &str, block: &mut Map<String, Value>) -> Vec<Found> {
    let mut found = Vec::new();
    for (key, value) in std::mem::take(block) {
        match wanted.iter().copied().find(|setting| setting.is_spelt(&key)) {
            None => drop(block.insert(key, value)),
            Some(setting) if !value.is_null() => {
                found.push(Found { setting, path: join(path, &key), value });
            }
            Some(_) => {}
        }
    }
    found
}
