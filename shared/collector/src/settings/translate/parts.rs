//! Services of version 1.x that are parts of one of today's: they become that one, limited to the parts there are.
//!
//! Where the parts say different things, the one service takes what loses nothing: the shorter period, the earlier
//! start, a restart when any of them asks for one. Anything else that differs cannot be said of one service and is a problem.

use serde_json::{Map, Value};

use super::twice::{gives_way, is_value_off};
use super::{InputPlace, NoteKind, Scope, Trace, is_off};
use crate::service::{Part, Service};
use crate::settings::filter::check_clause;
use crate::settings::keys::{
    ADDITIONAL_FILTER, IGNORED_INSIDE, REQUEST_PERIOD, RESET, SLIDING_WINDOW, START_TIME, TAG_VERSION,
    TIME_DELTA, of_service,
};
use crate::settings::read::{join, kind_of, plain, whole_number};
use crate::settings::times::parse_instant;

/// Puts one service in the place of its parts.
pub(super) fn join_parts(place: &InputPlace, services: &mut Map<String, Value>, trace: &mut Trace) {
    for service in place.family.services {
        let parts: Vec<&'static Part> = place
            .family
            .older
            .parts
            .iter()
            .filter(|part| part.service == service.name && services.contains_key(part.name))
            .collect();
        if !parts.is_empty() {
            join_into(service, &parts, place, services, trace);
        }
    }
}

fn join_into(
    service: &'static Service,
    parts: &[&'static Part],
    place: &InputPlace,
    services: &mut Map<String, Value>,
    trace: &mut Trace,
) {
    let scope = place.scope_of(service);
    let parts = match beside_the_whole(service, parts, place, services, trace) {
        Beside::Parts(working) => working,
        Beside::Whole => return,
    };
    let parts = parts.as_slice();
    let mut blocks = working_blocks(parts, place, scope, services, trace);
    for block in &mut blocks {
        block.take_names_of_today(service, scope, trace);
    }
    let mut joined = Joined { place, service, settings: Map::new(), trace };
    for (index, block) in blocks.iter().enumerate() {
        let earlier = blocks.get(..index).unwrap_or_default();
        joined.add(block, earlier);
    }
    let mut settings = joined.settings;
    limit(&mut settings, &blocks);
    if let Some(first) = blocks.first() {
        trace.origins.add(place.path_of_service(service.name), &first.path);
        let names: Vec<&str> = blocks.iter().map(|block| block.part.name).collect();
        let names = names.join(", ");
        let text = format!("is of version 1.x; read as one `{}` that is limited to: {names}", service.name);
        trace.note(scope, NoteKind::Translated, &first.path, text);
    }
    put(services, parts, service.name, Value::Object(settings));
}

/// Which of a service and its parts count.
enum Beside {
    /// These parts; the service itself is not there, or not any more.
    Parts(Vec<&'static Part>),
    /// The service; its parts are not there any more.
    Whole,
}

/// Where the service is there beside its parts, what is switched off gives way; all the parts do when none works.
fn beside_the_whole(
    service: &'static Service,
    parts: &[&'static Part],
    place: &InputPlace,
    services: &mut Map<String, Value>,
    trace: &mut Trace,
) -> Beside {
    let scope = place.scope_of(service);
    let whole = services.keys().find(|key| place.service(key).is_some_and(|it| it.name == service.name));
    let Some(whole) = whole.cloned() else {
        return Beside::Parts(parts.to_vec());
    };
    let is_off = |key: &str| services.get(key).is_some_and(is_value_off);
    let (off, working): (Vec<_>, Vec<_>) = parts.iter().copied().partition(|part| is_off(part.name));
    let path_of_whole = trace.origins.place(&place.path_of_service(&whole));
    if let Some(first) = working.first().filter(|_| is_off(&whole)) {
        let text = gives_way(&trace.origins.place(&place.path_of_service(first.name)));
        trace.note(scope, NoteKind::Translated, &path_of_whole, text);
        services.shift_remove(&whole);
        return Beside::Parts(parts.to_vec());
    }
    for part in &off {
        let text = gives_way(&path_of_whole);
        trace.note(scope, NoteKind::Translated, &place.path_of_service(part.name), text);
    }
    for part in &working {
        let text = format!("is a part of `{path_of_whole}`; keep one");
        trace.note(scope, NoteKind::Problem, &place.path_of_service(part.name), text);
    }
    services.retain(|key, _| !parts.iter().any(|part| part.name == key));
    Beside::Whole
}

/// What the document says of one part.
struct Block {
    part: &'static Part,
    path: String,
    settings: Map<String, Value>,
}

impl Block {
    /// Gives settings the names of today, so that two spellings are no difference between parts. One that is there twice
    /// stays as it is: whoever reads it says so.
    fn take_names_of_today(&mut self, service: &'static Service, scope: Scope, trace: &mut Trace) {
        let known = of_service(service);
        let written = std::mem::take(&mut self.settings);
        for (key, value) in &written {
            let setting = known.iter().find(|setting| setting.is_spelt(key));
            let only = setting.filter(|it| written.keys().filter(|other| it.is_spelt(other)).count() == 1);
            let name = only.map_or(key.as_str(), |setting| setting.name);
            if name != key {
                let (path, text) = (join(&self.path, key), format!("is `{name}` today"));
                trace.note(scope, NoteKind::Moved, &path, text);
                trace.origins.add(join(&self.path, name), &path);
            }
            self.settings.insert(name.to_owned(), value.clone());
        }
    }
}

/// The parts that work; all of them when none does.
fn working_blocks(
    parts: &[&'static Part],
    place: &InputPlace,
    scope: Scope,
    services: &Map<String, Value>,
    trace: &mut Trace,
) -> Vec<Block> {
    let mut blocks = Vec::new();
    for part in parts {
        let path = place.path_of_service(part.name);
        let mut settings = match services.get(part.name) {
            Some(Value::Object(settings)) => settings.clone(),
            Some(Value::Null) | None => Map::new(),
            Some(other) => {
                let text = format!("expected an object, found {}", kind_of(other));
                trace.note(scope, NoteKind::Problem, &path, text);
                Map::new()
            }
        };
        settings.retain(|_, value| !value.is_null());
        blocks.push(Block { part, path, settings });
    }
    let is_any_on = blocks.iter().any(|block| !is_off(&block.settings));
    blocks.retain(|block| !is_any_on || !is_off(&block.settings));
    blocks
}

/// The one service, as far as its parts have been joined.
struct Joined<'a> {
    place: &'a InputPlace,
    service: &'static Service,
    settings: Map<String, Value>,
    trace: &'a mut Trace,
}

impl Joined<'_> {
    fn add(&mut self, block: &Block, earlier: &[Block]) {
        for (key, value) in &block.settings {
            let known = self.settings.get(key);
            let chosen = match known {
                None if earlier.is_empty() || may_be_of_one_part(key) => Some(value.clone()),
                None => None,
                Some(known) if plain(known) == plain(value) => continue,
                Some(known) => lossless(key, known, value),
            };
            let Some(chosen) = chosen else {
                self.tell_difference(&block.path, key, earlier);
                continue;
            };
            if Some(&chosen) != known {
                let today = join(&self.place.path_of_service(self.service.name), key);
                self.trace.origins.add(today, &join(&block.path, key));
            }
            self.settings.insert(key.clone(), chosen);
        }
        let lacking: Vec<String> =
            self.settings.keys().filter(|key| !block.settings.contains_key(*key)).cloned().collect();
        for key in lacking.iter().filter(|key| !may_be_of_one_part(key)) {
            let first = earlier.first().map_or(block.path.as_str(), |first| first.path.as_str());
            self.tell_difference(first, key, std::slice::from_ref(block));
        }
    }

    fn tell_difference(&mut self, path: &str, key: &str, others: &[Block]) {
        let other = others.first().map(|block| self.trace.origins.place(&block.path)).unwrap_or_default();
        let today = self.service.name;
        let text =
            format!("is not the same as of `{other}`, and both are one `{today}` today; make them agree");
        let scope = self.place.scope_of(self.service);
        self.trace.note(scope, NoteKind::Problem, &join(path, key), text);
    }
}

/// Settings that loosen, or say nothing of the whole; that one part lacks them is no contradiction.
fn may_be_of_one_part(key: &str) -> bool {
    let without_weight = [SLIDING_WINDOW, TAG_VERSION, "enabled"];
    let loosening = [&REQUEST_PERIOD, &START_TIME, &TIME_DELTA, &RESET];
    without_weight.contains(&key)
        || IGNORED_INSIDE.contains(&key)
        || loosening.iter().any(|it| it.is_spelt(key))
}

/// The one of two values with which nothing is lost.
fn lossless(key: &str, one: &Value, other: &Value) -> Option<Value> {
    if RESET.is_spelt(key) {
        return Some(Value::from(format!("{}, {}", plain(one), plain(other))));
    }
    let is_first_better = if REQUEST_PERIOD.is_spelt(key) {
        whole_number(one)? <= whole_number(other)?
    } else if TIME_DELTA.is_spelt(key) {
        whole_number(one)? >= whole_number(other)?
    } else if START_TIME.is_spelt(key) {
        parse_instant(one.as_str()?)? <= parse_instant(other.as_str()?)?
    } else if IGNORED_INSIDE.contains(&key) || [SLIDING_WINDOW, "enabled"].contains(&key) {
        true
    } else {
        return None;
    };
    Some(if is_first_better { one } else { other }.clone())
}

/// Limits the service to the parts, beside what its own filter says.
fn limit(settings: &mut Map<String, Value>, blocks: &[Block]) {
    let Some(first) = blocks.first() else { return };
    let values: Vec<String> = blocks.iter().map(|block| format!("t eq '{}'", block.part.value)).collect();
    let of_parts = format!("{}/any(t: {})", first.part.member, values.join(" or "));
    let filter = match settings.get(ADDITIONAL_FILTER.name) {
        None | Some(Value::Null) => of_parts,
        Some(Value::String(own)) if is_sound_clause(own) => format!("({of_parts}) and ({own})"),
        // Whoever reads it says what is wrong with it.
        Some(_) => return,
    };
    settings.insert(ADDITIONAL_FILTER.name.to_owned(), Value::from(filter));
}

fn is_sound_clause(clause: &str) -> bool {
    !clause.trim().is_empty() && check_clause(clause).is_ok()
}

/// Puts the service where the first of its parts was.
fn put(services: &mut Map<String, Value>, parts: &[&'static Part], name: &str, settings: Value) {
    let mut whole = Some(settings);
    for (key, value) in std::mem::take(services) {
        if !parts.iter().any(|part| part.name == key) {
            services.insert(key, value);
        } else if let Some(joined) = whole.take() {
            services.insert(name.to_owned(), joined);
        }
    }
}
