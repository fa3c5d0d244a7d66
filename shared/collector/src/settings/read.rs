//! Typed reading of one block of settings.
//!
//! A block is an object of the document whose keys are known. Values come out as the type that is asked for, or as
//! `None` with a problem that says what was expected, what was found, and where. Numbers and booleans may be strings.
//! A null is the same as an absent key, as YAML's `key:` without a value is.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::findings::Findings;
use super::keys::{Setting, nearest};

/// One block of settings: the known keys that it holds, by setting. It has no `Debug`, for it holds secrets.
#[derive(Clone)]
pub(crate) struct Block<'a> {
    /// Where it is in the document.
    pub(crate) path: String,
    entries: Vec<Entry<'a>>,
}

#[derive(Clone)]
struct Entry<'a> {
    setting: &'static Setting,
    path: String,
    value: &'a Value,
}

impl<'a> Block<'a> {
    /// A block without a single key.
    pub(crate) fn empty(path: impl Into<String>) -> Self {
        Self { path: path.into(), entries: Vec::new() }
    }

    /// Reads a value that must be an object.
    pub(crate) fn read(
        path: impl Into<String>,
        value: &'a Value,
        known: &[&'static Setting],
        ignored: &[&str],
        findings: &mut Findings,
    ) -> Self {
        let own_path = path.into();
        match object(&own_path, value, findings) {
            Some(members) => Self::read_members(own_path, members, known, ignored, findings),
            None => Self::empty(own_path),
        }
    }

    /// Reads an object's members. Unknown keys are problems, and so is a setting that is there in two spellings with
    /// two values.
    pub(crate) fn read_members(
        path: impl Into<String>,
        members: &'a Map<String, Value>,
        known: &[&'static Setting],
        ignored: &[&str],
        findings: &mut Findings,
    ) -> Self {
        let mut block = Self::empty(path);
        for (key, member) in members {
            let member_path = join(&block.path, key);
            if ignored.contains(&key.as_str()) {
                findings.ignored.push(member_path);
            } else if let Some(setting) = known.iter().find(|setting| setting.is_spelt(key)) {
                block.add(Entry { setting, path: member_path, value: member }, findings);
            } else {
                let spellings = known.iter().flat_map(|setting| setting.spellings());
                findings.problem(member_path, unknown_key(key, spellings));
            }
        }
        block
    }

    /// Puts the entries of `other` in the place of this block's own.
    pub(crate) fn lay_over(&mut self, other: Self) {
        self.entries.retain(|own| other.find(own.setting).is_none());
        self.entries.extend(other.entries);
    }

    /// Names the places of the block and its entries anew.
    pub(crate) fn relocate(&mut self, place: impl Fn(&str) -> String) {
        self.path = place(&self.path);
        for entry in &mut self.entries {
            entry.path = place(&entry.path);
        }
    }

    /// Takes a setting out and gives its path, if it is there.
    pub(crate) fn remove(&mut self, setting: &'static Setting) -> Option<String> {
        let position = self.entries.iter().position(|entry| entry.setting.name == setting.name)?;
        Some(self.entries.remove(position).path)
    }

    /// Whether the setting is there.
    pub(crate) fn has(&self, setting: &'static Setting) -> bool {
        self.find(setting).is_some()
    }

    /// A setting's path and value as they stand in the document.
    pub(crate) fn raw(&self, setting: &'static Setting) -> Option<(&str, &'a Value)> {
        self.find(setting).map(|entry| (entry.path.as_str(), entry.value))
    }

    /// The path of a setting, present or not.
    pub(crate) fn path_of(&self, setting: &'static Setting) -> String {
        self.find(setting).map_or_else(|| join(&self.path, setting.name), |entry| entry.path.clone())
    }

    /// A text that is not blank. The value is never quoted in a problem: it may be a secret.
    pub(crate) fn text(&self, setting: &'static Setting, findings: &mut Findings) -> Option<&'a str> {
        let (path, value) = self.raw(setting)?;
        let Value::String(text) = value else {
            findings.problem(path, format!("expected a text, found {}; put it in quotes", kind_of(value)));
            return None;
        };
        if text.trim().is_empty() {
            findings.problem(path, "is empty; give a value or remove it");
            return None;
        }
        Some(text)
    }

    /// A whole number within `range`.
    pub(crate) fn whole_number(
        &self,
        setting: &'static Setting,
        range: RangeInclusive<i64>,
        findings: &mut Findings,
    ) -> Option<i64> {
        let (path, value) = self.raw(setting)?;
        let Some(number) = whole_number(value) else {
            let found = value.as_number().map_or_else(|| kind_of(value).to_owned(), ToString::to_string);
            findings.problem(path, format!("expected a whole number, found {found}"));
            return None;
        };
        if !range.contains(&number) {
            let (least, most) = (range.start(), range.end());
            findings.problem(path, format!("must be from {least} to {most}, found {number}"));
            return None;
        }
        Some(number)
    }

    /// A boolean.
    pub(crate) fn boolean(&self, setting: &'static Setting, findings: &mut Findings) -> Option<bool> {
        let (path, value) = self.raw(setting)?;
        let parsed = match value {
            Value::Bool(boolean) => Some(*boolean),
            Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        };
        if parsed.is_none() {
            findings.problem(path, format!("expected true or false, found {}", kind_of(value)));
        }
        parsed
    }

    fn find(&self, setting: &'static Setting) -> Option<&Entry<'a>> {
        self.entries.iter().find(|entry| entry.setting.name == setting.name)
    }

    fn add(&mut self, entry: Entry<'a>, findings: &mut Findings) {
        if entry.value.is_null() {
            return;
        }
        let Some(first) = self.find(entry.setting) else {
            self.entries.push(entry);
            return;
        };
        if plain(first.value) != plain(entry.value) {
            let text =
                format!("says something else than `{}`, which is the same setting; keep one", first.path);
            findings.problem(entry.path, text);
        }
    }
}

/// The members of an object; a null has none. Anything else is a problem.
pub(crate) fn object<'a>(
    path: &str,
    value: &'a Value,
    findings: &mut Findings,
) -> Option<&'a Map<String, Value>> {
    match value {
        Value::Object(members) => Some(members),
        Value::Null => None,
        other => {
            findings.problem(path, format!("expected an object, found {}", kind_of(other)));
            None
        }
    }
}

/// What a value is, in words that fit behind "found".
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The sentence about a key that nobody knows.
pub(crate) fn unknown_key<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(key, known) {
        Some(name) => format!("unknown key, the nearest known one is `{name}`; rename or remove it"),
        None => "unknown key; remove it".to_owned(),
    }
}

/// The path of a member. Keys come from outside: control characters are escaped and long ones cut.
pub(crate) fn join(path: &str, key: &str) -> String {
    let shown: String = key.chars().take(80).flat_map(char::escape_debug).collect();
    if path.is_empty() { shown } else { format!("{path}.{shown}") }
}

/// A whole number, given as one, as `300.0`, or as a text of either.
pub(crate) fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let text = number.to_string();
            text.strip_suffix(".0")?.parse().ok()
        }),
        Value::String(text) => {
            let digits = text.trim();
            digits.strip_suffix(".0").unwrap_or(digits).parse().ok()
        }
        _ => None,
    }
}

/// A value in one form, however it is spelt: a number or boolean may be a text.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let cases = [
            (json!(300), Some(300)),
            (json!(300.0), Some(300)),
            (json!(" 300 "), Some(300)),
            (json!("300.0"), Some(300)),
            (json!(300.5), None),
            (json!("300.5"), None),
            (json!(".0"), None),
            (json!(""), None),
            (json!(true), None),
        ];
        for (value, expected) in cases {
            assert_eq!(whole_number(&value), expected, "{value}");
        }
    }
}
