//! One thing under two of its names: what is switched off gives way to what works.
//!
//! That is how a document looks while an operator changes over: the older name is switched off before it is removed. Two
//! that work stay, and whoever reads the document says that they are one; so do two that are both switched off, of which
//! the first counts.

use serde_json::{Map, Value};

use super::{InputPlace, NoteKind, Scope, Trace, is_off};
use crate::service::Family;
use crate::settings::outline::names_of_family;
use crate::settings::read::join;

/// What a note says of the one that gives way, `working` being the place of the other.
pub(super) fn gives_way(working: &str) -> String {
    format!("is switched off; `{working}` is there in its place, so remove this one")
}

/// Whether a value is a block that says it is switched off.
pub(super) fn is_value_off(value: &Value) -> bool {
    value.as_object().is_some_and(is_off)
}

/// Takes out the inputs that give way to another spelling of theirs.
pub(super) fn leave_working_inputs(
    inputs: &mut Map<String, Value>,
    families: &[&'static Family],
    trace: &mut Trace,
) {
    for family in families {
        let scope = Scope { input: family.input, service: None };
        leave_working(inputs, "inputs", scope, &|key| names_of_family(family).any(|name| name == key), trace);
    }
}

/// Takes out the services that give way to another spelling of theirs.
pub(super) fn leave_working_services(
    place: &InputPlace,
    services: &mut Map<String, Value>,
    trace: &mut Trace,
) {
    let path = join(&place.path, "services");
    for service in place.family.services {
        let is_its_name = |key: &str| place.service(key).is_some_and(|it| it.name == service.name);
        leave_working(services, &path, place.scope_of(service), &is_its_name, trace);
    }
}

fn leave_working(
    members: &mut Map<String, Value>,
    path: &str,
    scope: Scope,
    is_its_name: &dyn Fn(&str) -> bool,
    trace: &mut Trace,
) {
    let named = members.iter().filter(|(key, _)| is_its_name(key));
    let (off, working): (Vec<_>, Vec<_>) = named.partition(|(_, value)| is_value_off(value));
    let Some((first_working, _)) = working.first() else { return };
    let text = gives_way(&trace.origins.place(&join(path, first_working)));
    let off: Vec<String> = off.into_iter().map(|(key, _)| key.clone()).collect();
    for key in &off {
        trace.note(scope, NoteKind::Translated, &join(path, key), text.clone());
        members.shift_remove(key);
    }
}
