//! Settings of one service that have another name today, or none.

use serde_json::{Map, Value};

use super::{InputPlace, NoteKind, Scope, Trace, replace};
use crate::service::Service;
use crate::settings::keys::{SLIDING_WINDOW, TAG, TAG_VERSION};
use crate::settings::read::{join, kind_of};

/// Translates `tag_version` and takes out what has no meaning any more.
pub(super) fn translate(
    place: &InputPlace,
    service: &'static Service,
    path: &str,
    settings: &mut Map<String, Value>,
    trace: &mut Trace,
) {
    let scope = place.scope_of(service);
    let version_1_tag = place.family.older.tags.iter().find(|(name, _)| *name == service.name);
    tag_version(settings, scope, path, version_1_tag.map(|(_, tag)| *tag), trace);
    if settings.shift_remove(SLIDING_WINDOW).is_some_and(|value| !value.is_null()) {
        let text = "is of version 1.x and has no effect: windows follow from what was delivered";
        trace.note(scope, NoteKind::Translated, &join(path, SLIDING_WINDOW), text);
    }
}

fn tag_version(
    settings: &mut Map<String, Value>,
    scope: Scope,
    path: &str,
    version_1_tag: Option<&'static str>,
    trace: &mut Trace,
) {
    let Some(value) = settings.get(TAG_VERSION).cloned() else {
        return;
    };
    let at = join(path, TAG_VERSION);
    let own_tag = settings.iter().find(|(key, tag)| TAG.is_spelt(key) && !tag.is_null());
    let own_tag = own_tag.map(|(key, tag)| (join(path, key), tag.clone()));
    let version = match &value {
        Value::String(text) => text.trim().to_lowercase(),
        Value::Number(number) => number.to_string(),
        Value::Null => {
            settings.shift_remove(TAG_VERSION);
            return;
        }
        other => kind_of(other).to_owned(),
    };
    let mut others = Vec::new();
    match (version.trim_start_matches('v'), version_1_tag) {
        ("1", Some(tag)) => match own_tag {
            Some((_, own)) if own != tag => {
                let text = format!("stands for the tag {tag}, but `{}` gives another; keep one", TAG.name);
                trace.note(scope, NoteKind::Problem, &at, text);
            }
            Some(_) => {
                trace.note(
                    scope,
                    NoteKind::Translated,
                    &at,
                    "is of version 1.x; `override_tag` says the same",
                );
            }
            None => {
                let text = format!("is of version 1.x; read as `{}: {tag}`", TAG.name);
                trace.note(scope, NoteKind::Translated, &at, text);
                let tag_path = join(path, TAG.name);
                trace.origins.add(tag_path, &at);
                others.push((TAG.name.to_owned(), Value::from(tag)));
            }
        },
        ("1", None) => {
            let text = "is of version 1.x and has no effect: this service never had other tags";
            trace.note(scope, NoteKind::Translated, &at, text);
        }
        ("2", _) => {
            let text = "is of version 1.x and has no effect: v2 is what all services do today";
            trace.note(scope, NoteKind::Translated, &at, text);
        }
        _ => trace.note(scope, NoteKind::Problem, &at, "must be v1 or v2"),
    }
    replace(settings, TAG_VERSION, others);
}
