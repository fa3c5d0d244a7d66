//! What a matched value becomes: the rule's value where it is of the same kind, else the default mask of the kind.
//!
//! A value for which the rule has no mask in kind (an object, a list, or another kind than the rule's value) becomes
//! the string mask, so that it does not leave unmasked.

use serde_json::Value;

use super::rule::Rule;

/// The default mask of a text, and of everything that has none in kind.
pub(super) const STRING_MASK: &str = "****SANITIZED****";

/// The kind of a raw value, told by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Fraction,
    Boolean,
    Null,
    Nested,
}

impl Kind {
    /// The kind of a raw value without white space around it.
    pub(super) fn of(raw: &[u8]) -> Self {
        match raw.first() {
            Some(b'"') => Self::Text,
            Some(b'{' | b'[') => Self::Nested,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'n') | None => Self::Null,
            Some(_) if raw.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) => Self::Fraction,
            Some(_) => Self::Integer,
        }
    }
}

/// The raw JSON that stands in the place of a whole value of this kind; `None` leaves a null as it is.
pub(super) fn whole(rule: &Rule, kind: Kind) -> Option<String> {
    let mask = match (kind, &rule.value) {
        (Kind::Null, _) => return None,
        (Kind::Text, Some(value @ Value::String(_)))
        | (Kind::Integer | Kind::Fraction, Some(value @ Value::Number(_)))
        | (Kind::Boolean, Some(value @ Value::Bool(_))) => value.to_string(),
        (Kind::Integer, None) => "-1".to_owned(),
        (Kind::Fraction, None) => "-1.0".to_owned(),
        (Kind::Boolean, None) => "false".to_owned(),
        (Kind::Text | Kind::Nested, _) | (_, Some(_)) => Value::from(STRING_MASK).to_string(),
    };
    Some(mask)
}

/// What stands, escaped and without quotes, in the place of a part of a text.
pub(super) fn part_of_text(rule: &Rule) -> String {
    let mask = match &rule.value {
        Some(Value::String(text)) => text.as_str(),
        _ => STRING_MASK,
    };
    let quoted = Value::from(mask).to_string();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(STRING_MASK).to_owned()
}
