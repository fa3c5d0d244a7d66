//! What a rule says: a path, a replacement, and patterns that limit it to parts of a text.

use std::fmt;

use regex::Regex;
use serde_json::Value;

use crate::settings::{kind_of, nearest};

/// One rule of `obfuscation_data`.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Where the values are; never empty.
    pub(super) path: Vec<Part>,
    /// What a value of the same kind becomes: a text, number or boolean.
    pub(super) value: Option<Value>,
    /// Only what they match is masked in a text; empty masks the whole.
    pub(super) patterns: Vec<Regex>,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// `*`: every member of an object, every element of a list.
    Every,
    /// The member of this name, or the element of this index.
    Named {
        /// The name.
        name: String,
        /// The same as an index, when it is one.
        index: Option<usize>,
    },
}

/// Something wrong in a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleProblem {
    /// Where it is, for example `….obfuscation_data[0].name`.
    pub path: String,
    /// What is wrong and what to do about it.
    pub text: String,
}

impl fmt::Display for RuleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.text)
    }
}

const KNOWN_KEYS: [&str; 3] = ["name", "value", "string_patterns"];

impl Rule {
    /// Reads one rule, which stands at `path` in the document. All of its problems are given.
    pub fn parse(value: &Value, path: &str) -> Result<Self, Vec<RuleProblem>> {
        let mut problems = Vec::new();
        let mut complain = |key: &str, text: String| {
            problems.push(RuleProblem { path: format!("{path}{key}"), text });
        };
        let Value::Object(members) = value else {
            complain("", format!("expected an object, found {}", kind_of(value)));
            return Err(problems);
        };
        for key in members.keys().filter(|key| !KNOWN_KEYS.contains(&key.as_str())) {
            let known = nearest(key, KNOWN_KEYS).unwrap_or_default();
            let shown: String = key.chars().take(80).flat_map(char::escape_debug).collect();
            complain(
                &format!(".{shown}"),
                format!("unknown key, the nearest known one is `{known}`; rename or remove it"),
            );
        }
        let parts = match members.get("name") {
            Some(name) => parse_path(name),
            None => Err("is missing; give the path as a list of keys".to_owned()),
        };
        let replacement = match members.get("value") {
            None | Some(Value::Null) => Ok(None),
            Some(scalar @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => Ok(Some(scalar.clone())),
            Some(other) => Err(format!("expected a text, a number, true or false, found {}", kind_of(other))),
        };
        let (patterns, pattern_problems) =
            members.get("string_patterns").map(parse_patterns).unwrap_or_default();
        for (index, text) in pattern_problems {
            complain(&format!(".string_patterns{index}"), text);
        }
        match (parts, replacement) {
            (Ok(path_parts), Ok(new_value)) if problems.is_empty() => {
                return Ok(Self { path: path_parts, value: new_value, patterns });
            }
            (parts_result, replacement_result) => {
                for (key, error) in [(".name", parts_result.err()), (".value", replacement_result.err())] {
                    problems.extend(error.map(|text| RuleProblem { path: format!("{path}{key}"), text }));
                }
            }
        }
        Err(problems)
    }
}

fn parse_path(name: &Value) -> Result<Vec<Part>, String> {
    let Value::Array(items) = name else {
        return Err(format!("expected a list of keys, found {}", kind_of(name)));
    };
    if items.is_empty() {
        return Err("is empty; give the path as a list of keys".to_owned());
    }
    items
        .iter()
        .map(|item| match item {
            Value::String(text) if text == "*" => Ok(Part::Every),
            Value::String(text) => Ok(named(text.clone())),
            Value::Number(number) if number.is_u64() => Ok(named(number.to_string())),
            other => {
                Err(format!("expected keys, `*` or indexes from 0 in the list, found {}", kind_of(other)))
            }
        })
        .collect()
}

fn named(name: String) -> Part {
    let is_index = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let index = if is_index { name.parse().ok() } else { None };
    Part::Named { name, index }
}

/// The patterns, and for each bad one its index and what is wrong with it.
fn parse_patterns(value: &Value) -> (Vec<Regex>, Vec<(String, String)>) {
    let items = match value {
        Value::Null => return (Vec::new(), Vec::new()),
        Value::Array(items) => items,
        other => {
            let text = format!("expected a list of regular expressions, found {}", kind_of(other));
            return (Vec::new(), vec![(String::new(), text)]);
        }
    };
    let mut patterns = Vec::new();
    let mut problems = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let place = format!("[{index}]");
        match item.as_str().map(Regex::new) {
            Some(Ok(pattern)) => patterns.push(pattern),
            Some(Err(error)) => {
                problems.push((place, format!("is no regular expression: {}", reason(&error))))
            }
            None => {
                problems.push((place, format!("expected a regular expression, found {}", kind_of(item))));
            }
        }
    }
    (patterns, problems)
}

/// The last line of a pattern's error; the lines before it draw the pattern.
fn reason(error: &regex::Error) -> String {
    let drawn = error.to_string();
    let last = drawn.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}
