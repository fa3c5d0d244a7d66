//! Reads members of a document and collects what is wrong with them.
//!
//! A reader never stops at the first problem: it notes the problem under the member's place and gives `None`, so that
//! one pass finds them all. Numbers and booleans may be strings, and identifiers may be numbers, as in existing files.

use serde_json::{Map, Value};

/// Words less alike than this (Jaro-Winkler, 0 to 1) are no misspellings of each other.
const LEAST_LIKENESS: f64 = 0.7;

/// Collects the problems and warnings of one document.
#[derive(Default)]
pub(super) struct Reader {
    /// What makes the document unusable.
    pub(super) problems: Vec<String>,
    /// What the operator should know.
    pub(super) warnings: Vec<String>,
}

impl Reader {
    /// Notes a problem of the member at `place`.
    pub(super) fn problem(&mut self, place: &str, text: &str) {
        self.problems.push(format!("{place}: {text}"));
    }

    /// The object under `key`; absent and null are `None` without a problem.
    pub(super) fn object<'a>(
        &mut self,
        parent: &'a Map<String, Value>,
        key: &str,
        place: &str,
    ) -> Option<&'a Map<String, Value>> {
        match parent.get(key)? {
            Value::Object(map) => Some(map),
            Value::Null => None,
            _ => {
                self.problem(place, "must be a group of settings");
                None
            }
        }
    }

    /// A text, or a number written as one; absent, null and empty are `None` without a problem.
    pub(super) fn text(&mut self, parent: &Map<String, Value>, key: &str, place: &str) -> Option<String> {
        match parent.get(key)? {
            Value::String(text) if text.trim().is_empty() => None,
            Value::String(text) => Some(text.trim().to_owned()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null => None,
            _ => {
                self.problem(&format!("{place}.{key}"), "must be a text");
                None
            }
        }
    }

    /// true or false, also as a text.
    pub(super) fn flag(&mut self, parent: &Map<String, Value>, key: &str, place: &str) -> Option<bool> {
        match parent.get(key)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            Value::Null => None,
            _ => {
                self.problem(&format!("{place}.{key}"), "must be true or false");
                None
            }
        }
    }

    /// A TCP port, also as a text.
    pub(super) fn port(&mut self, parent: &Map<String, Value>, key: &str, place: &str) -> Option<u16> {
        let value = parent.get(key)?;
        let port = match value {
            Value::Null => return None,
            Value::Number(number) => number.as_u64().and_then(|number| u16::try_from(number).ok()),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        if port.is_none_or(|port| port == 0) {
            self.problem(&format!("{place}.{key}"), "must be a port, 1 to 65535");
            return None;
        }
        port
    }

    /// Notes each key that is neither known nor ignored, with the nearest known one; ignored keys give one warning.
    pub(super) fn unknown_keys(
        &mut self,
        map: &Map<String, Value>,
        place: &str,
        known: &[&str],
        ignored: &[&str],
    ) {
        let mut skipped = Vec::new();
        for key in map.keys() {
            if ignored.contains(&key.as_str()) {
                skipped.push(key.as_str());
            } else if !known.contains(&key.as_str()) {
                let text = format!("unknown key, {}; rename or remove it", hint(key, known));
                self.problem(&format!("{place}.{key}"), &text);
            }
        }
        if !skipped.is_empty() {
            self.warnings.push(format!("{place}: ignored, not needed here: {}", skipped.join(", ")));
        }
    }
}

/// Points to the known word that looks most like `word`, or to all of them when none does.
pub(super) fn hint(word: &str, known: &[&str]) -> String {
    let likeness = |other: &str| strsim::jaro_winkler(word, other);
    let nearest = known.iter().max_by(|left, right| likeness(left).total_cmp(&likeness(right)));
    match nearest.filter(|other| likeness(other) >= LEAST_LIKENESS) {
        Some(other) => format!("the nearest known one is `{other}`"),
        None => format!("known are {}", known.join(", ")),
    }
}
