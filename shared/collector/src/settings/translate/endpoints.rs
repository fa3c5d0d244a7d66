//! Hosts, login and audience: today they are the input's; older documents have them in the services too.
//!
//! Every place that says something makes a claim about a setting of the input. Claims that differ are a problem, because
//! one input has one of each. A service that is switched off is heard only where none works: it moves no other.

use serde_json::{Map, Value};

use super::twice::is_value_off;
use super::{InputPlace, NoteKind, Trace, is_off};
use crate::settings::keys::{
    BASE_URL, CUSTOM_ENDPOINTS, ENVIRONMENT_OF_365, LOGIN_URL, SCOPE, Setting, TOP_LEVEL_DOMAIN, VENDOR_URLS,
};
use crate::settings::read::{join, kind_of, unknown_key};

/// The settings that may be in other places.
static MOVABLE: [&Setting; 3] = [&BASE_URL, &LOGIN_URL, &SCOPE];

/// Top-level domains of the public cloud and of the one for the government.
const PUBLIC: &str = "com";
const GOVERNMENT: &str = "us";

/// Who makes a claim, the one that counts first first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claimant {
    Input,
    Working,
    SwitchedOff,
}

struct Claim {
    setting: &'static Setting,
    claimant: Claimant,
    path: String,
    value: Value,
}

/// What the document says in older words, to be told once for the whole input.
#[derive(Default)]
struct Gathered {
    claims: Vec<Claim>,
    custom_endpoints: Vec<String>,
    environments: Vec<String>,
    has_vendor_urls: bool,
}

/// Gathers everything in the input itself.
pub(super) fn gather(place: &InputPlace, members: &mut Map<String, Value>, trace: &mut Trace) {
    let mut gathered = Gathered::default();
    gathered.take_older(place, &place.path, members, Claimant::Input, trace);
    if let Some(credentials) = members.get_mut("credentials").and_then(Value::as_object_mut) {
        let path = join(&place.path, "credentials");
        gathered.take_moved(place, &path, credentials, Claimant::Working, trace);
    }
    if let Some(services) = members.get_mut("services").and_then(Value::as_object_mut) {
        for (key, value) in services.iter_mut() {
            if let (true, Some(settings)) = (place.has_service(key), value.as_object_mut()) {
                let path = place.path_of_service(key);
                let claimant = if is_off(settings) { Claimant::SwitchedOff } else { Claimant::Working };
                gathered.take_older(place, &path, settings, claimant, trace);
                gathered.take_moved(place, &path, settings, claimant, trace);
            }
        }
    }
    if has_working_service(place, members) {
        gathered.claims.retain(|claim| claim.claimant != Claimant::SwitchedOff);
    }
    gathered.claims.sort_by_key(|claim| claim.claimant);
    gathered.tell(place, trace);
    for setting in MOVABLE.into_iter().chain([&TOP_LEVEL_DOMAIN]) {
        let claims: Vec<&Claim> =
            gathered.claims.iter().filter(|claim| claim.setting.name == setting.name).collect();
        settle(place, setting, &claims, members, trace);
    }
}

fn has_working_service(place: &InputPlace, members: &Map<String, Value>) -> bool {
    let services = members.get("services").and_then(Value::as_object);
    let mut known = services.into_iter().flatten().filter(|(key, _)| place.has_service(key));
    known.any(|(_, value)| !is_value_off(value))
}

impl Gathered {
    /// Takes `custom_endpoints` and `ms_365_environment` out of a block.
    fn take_older(
        &mut self,
        place: &InputPlace,
        path: &str,
        block: &mut Map<String, Value>,
        claimant: Claimant,
        trace: &mut Trace,
    ) {
        if let Some(value) = block.shift_remove(CUSTOM_ENDPOINTS) {
            self.custom_endpoints(place, join(path, CUSTOM_ENDPOINTS), value, claimant, trace);
        }
        let Some(value) = block.shift_remove(ENVIRONMENT_OF_365).filter(|value| !value.is_null()) else {
            return;
        };
        let at = join(path, ENVIRONMENT_OF_365);
        match value.as_str().and_then(domain_of_environment) {
            Some(domain) => {
                self.environments.push(at.clone());
                let setting = &TOP_LEVEL_DOMAIN;
                self.claims.push(Claim { setting, claimant, path: at, value: Value::from(domain) });
            }
            None => {
                let text = "names no known environment; give `override_top_level_domain` (us is GCC High) or \
                            `override_base_url` to the input instead";
                trace.note(place.scope(), NoteKind::Problem, &at, text);
            }
        }
    }

    fn custom_endpoints(
        &mut self,
        place: &InputPlace,
        path: String,
        value: Value,
        claimant: Claimant,
        trace: &mut Trace,
    ) {
        let endpoints = match value {
            Value::Object(endpoints) => endpoints,
            Value::Null => return,
            other => {
                let text = format!("expected an object, found {}", kind_of(&other));
                trace.note(place.scope(), NoteKind::Problem, &path, text);
                return;
            }
        };
        for (key, url) in endpoints {
            let at = join(&path, &key);
            if VENDOR_URLS.contains(&key.as_str()) {
                self.has_vendor_urls |= !url.is_null();
            } else if let Some(setting) = MOVABLE.into_iter().find(|setting| setting.is_spelt(&key)) {
                if !url.is_null() {
                    self.claims.push(Claim { setting, claimant, path: at, value: url });
                }
            } else {
                let known =
                    MOVABLE.into_iter().flat_map(|it| it.spellings()).chain(VENDOR_URLS.iter().copied());
                trace.note(place.scope(), NoteKind::Problem, &at, unknown_key(&key, known));
            }
        }
        self.custom_endpoints.push(path);
    }

    /// Takes URLs and audience out of a block that is not the input.
    fn take_moved(
        &mut self,
        place: &InputPlace,
        path: &str,
        block: &mut Map<String, Value>,
        claimant: Claimant,
        trace: &mut Trace,
    ) {
        for (key, value) in std::mem::take(block) {
            let Some(setting) = MOVABLE.into_iter().find(|setting| setting.is_spelt(&key)) else {
                block.insert(key, value);
                continue;
            };
            if value.is_null() {
                continue;
            }
            let at = join(path, &key);
            let text = format!("is the input's `{}`", setting.name);
            trace.note(place.scope(), NoteKind::Moved, &at, text);
            self.claims.push(Claim { setting, claimant, path: at, value });
        }
    }

    /// One note for the whole input, whatever number of services repeats it.
    fn tell(&self, place: &InputPlace, trace: &mut Trace) {
        if let Some(first) = self.custom_endpoints.first() {
            let names: Vec<String> = MOVABLE
                .into_iter()
                .filter(|it| {
                    let is_of_custom = |claim: &&Claim| {
                        self.custom_endpoints.iter().any(|path| claim.path.starts_with(path.as_str()))
                    };
                    self.claims.iter().filter(is_of_custom).any(|claim| claim.setting.name == it.name)
                })
                .map(|it| format!("`{}`", it.name))
                .collect();
            let vendors = if self.has_vendor_urls { "; URLs of single vendors have no effect" } else { "" };
            let repeated = repeated(&self.custom_endpoints);
            let text = if names.is_empty() {
                format!("is of version 1.x{repeated} and has no effect")
            } else {
                format!("is of version 1.x{repeated}; read as the input's {}{vendors}", names.join(", "))
            };
            trace.note(place.scope(), NoteKind::Translated, first, text);
        }
        if let Some(first) = self.environments.first() {
            let is_government = self.claims.iter().any(|claim| {
                claim.setting.name == TOP_LEVEL_DOMAIN.name
                    && claim.value == GOVERNMENT
                    && self.environments.contains(&claim.path)
            });
            let repeated = repeated(&self.environments);
            let is_heard = self.claims.iter().any(|claim| self.environments.contains(&claim.path));
            let meaning = match (is_heard, is_government) {
                (false, _) => "has no effect".to_owned(),
                (true, true) => format!("read as the input's `{}: {GOVERNMENT}`", TOP_LEVEL_DOMAIN.name),
                (true, false) => "the public cloud is the default".to_owned(),
            };
            let text = format!("is of version 1.x{repeated}; {meaning}");
            trace.note(place.scope(), NoteKind::Translated, first, text);
        }
    }
}

/// How often the same is said elsewhere.
fn repeated(paths: &[String]) -> String {
    match paths.len() {
        0 | 1 => String::new(),
        count => format!(" (here and in {} more places)", count - 1),
    }
}

/// The domain that an environment of Microsoft 365 has. Plain GCC lives in the public cloud.
fn domain_of_environment(text: &str) -> Option<&'static str> {
    let word: String = text.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    if word.contains("dod") {
        return None;
    }
    if word.contains("high") || word.contains("gov") || word == GOVERNMENT {
        return Some(GOVERNMENT);
    }
    let public =
        [PUBLIC, "gcc", "commercial", "default", "enterprise", "global", "public", "standard", "worldwide"];
    public.contains(&word.as_str()).then_some(PUBLIC)
}

/// Makes one setting of the input out of the claims; the first one counts.
fn settle(
    place: &InputPlace,
    setting: &'static Setting,
    claims: &[&Claim],
    members: &mut Map<String, Value>,
    trace: &mut Trace,
) {
    let own = members.iter().find(|(key, value)| setting.is_spelt(key) && !value.is_null());
    let own = own.map(|(key, value)| (join(&place.path, key), value.clone()));
    let first = claims.first().map(|claim| (claim.path.clone(), claim.value.clone()));
    let Some((chosen_path, chosen)) = own.clone().or(first) else {
        return;
    };
    for claim in claims.iter().filter(|claim| claim.claimant != Claimant::SwitchedOff) {
        if plain(&claim.value) != plain(&chosen) {
            let other = trace.origins.place(&chosen_path);
            let text = format!(
                "says something else than `{other}`; an input has one `{}`: make them agree",
                setting.name
            );
            trace.note(place.scope(), NoteKind::Problem, &claim.path, text);
        }
    }
    let is_default = setting.name == TOP_LEVEL_DOMAIN.name && chosen == PUBLIC;
    if own.is_some() || is_default {
        return;
    }
    let has_domains = place.family.clouds.iter().any(|cloud| cloud.top_level_domain.is_some());
    if setting.name == TOP_LEVEL_DOMAIN.name && !has_domains {
        let text = format!("has no meaning here; give the input its `{}` instead", BASE_URL.name);
        trace.note(place.scope(), NoteKind::Problem, &chosen_path, text);
        return;
    }
    trace.origins.add(join(&place.path, setting.name), &chosen_path);
    insert_before_services(members, setting.name, chosen);
}

/// Puts a setting where an operator would write it.
pub(super) fn insert_before_services(members: &mut Map<String, Value>, key: &str, value: Value) {
    // A null of the same name would take the value's place in the order.
    members.shift_remove(key);
    let position = members.keys().position(|it| it == "services").unwrap_or(members.len());
    members.shift_insert(position, key.to_owned(), value);
}

/// A value in one form: a URL with or without its last slash is the same.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().trim_end_matches('/').to_owned(),
        other => other.to_string(),
    }
}
