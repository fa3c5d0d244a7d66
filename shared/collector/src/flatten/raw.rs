//! Objects and lists as slices of the text that they stand in: names as they are escaped, values as they are written.
//!
//! Only one level is looked at; what is inside a value is skipped. So names that stand twice, numbers such as `1.00` and
//! white space inside of values survive, and no nesting is too deep.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One member of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member<'r> {
    /// Its name between the quotes, as it is escaped.
    pub(super) key: &'r str,
    /// Its value.
    pub(super) value: &'r str,
}

impl Member<'_> {
    /// Whether its name says `name`.
    pub(super) fn is_called(&self, name: &str) -> bool {
        says(self.key) == name
    }
}

/// The members of an object, in their order.
#[derive(Debug)]
pub(super) struct Members<'r>(pub(super) Vec<Member<'r>>);

impl<'r> Members<'r> {
    /// `None` for what is no object.
    pub(super) fn of(text: &'r [u8]) -> Result<Option<Self>, serde_json::Error> {
        match text.trim_ascii_start().first() {
            Some(b'{') => serde_json::from_slice(text).map(Some),
            _ => Ok(None),
        }
    }
}

/// The elements of a list; `None` for what is no list.
pub(super) fn elements_of(text: &str) -> Result<Option<Vec<&str>>, serde_json::Error> {
    if !text.starts_with('[') {
        return Ok(None);
    }
    let elements: Vec<&RawValue> = serde_json::from_str(text)?;
    Ok(Some(elements.into_iter().map(RawValue::get).collect()))
}

/// What a name or text says, given without its quotes. One that says nothing, for half of a character is missing, stands
/// for itself.
pub(super) fn says(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    serde_json::from_str(&format!("\"{raw}\"")).map_or(Cow::Borrowed(raw), Cow::Owned)
}

/// A text without its quotes; `None` for what is no text.
pub(super) fn unquoted(raw: &str) -> Option<&str> {
    raw.strip_prefix('"')?.strip_suffix('"')
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(32);
        while let Some((key, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
            members.push(Member { key: unquoted(key.get()).unwrap_or(key.get()), value: value.get() });
        }
        Ok(Members(members))
    }
}
