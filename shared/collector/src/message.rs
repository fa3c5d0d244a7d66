//! What is sent of a record: its tag, and its text on one line with the collector's two members at its end.
//!
//! The text is the API's own, byte for byte. Only raw line breaks between tokens become a space, because Devo ends an
//! event at LF, CR or NUL. Nothing is parsed and written again.

use crate::record::{MAX_PICKS, plain_string};
use crate::service::{Service, Tag};
use crate::settings::Settings;

/// Finds the tag of a record.
#[derive(Debug)]
pub struct Tags {
    /// Every tag the service can give; the last one is for records without a known value.
    tags: Vec<String>,
    /// Values in lower case with the index of their tag.
    routes: Vec<(String, usize)>,
}

impl Tags {
    /// The tags of a service under its settings.
    pub fn new(settings: &Settings) -> Self {
        if let Some(tag) = &settings.override_tag {
            return Self { tags: vec![tag.clone()], routes: Vec::new() };
        }
        let environment = settings.environment_label();
        let filled = |pattern: &str| pattern.replace("{env}", &environment);
        match &settings.service.tag {
            Tag::Fixed(pattern) => Self { tags: vec![filled(pattern)], routes: Vec::new() },
            Tag::ByField { routes, otherwise, .. } => Self {
                tags: routes.iter().map(|(_, pattern)| filled(pattern)).chain([filled(otherwise)]).collect(),
                routes: routes
                    .iter()
                    .enumerate()
                    .map(|(index, (value, _))| (value.to_lowercase(), index))
                    .collect(),
            },
        }
    }

    /// The tag of this index.
    pub fn get(&self, index: usize) -> &str {
        self.tags.get(index).map_or("", String::as_str)
    }

    /// Index of the tag for a record whose routing member is `raw_value`: a string, or an array of strings whose first
    /// known one counts.
    pub fn index(&self, raw_value: Option<&[u8]>) -> usize {
        let otherwise = self.tags.len() - 1;
        let Some(raw) = raw_value.filter(|_| !self.routes.is_empty()) else { return otherwise };
        if let Some(text) = plain_string(raw) {
            return self.route(text).unwrap_or(otherwise);
        }
        let values: Vec<serde_json::Value> = match serde_json::from_slice(raw) {
            Ok(serde_json::Value::Array(items)) => items,
            Ok(single) => vec![single],
            Err(_) => return otherwise,
        };
        values
            .iter()
            .filter_map(|value| value.as_str())
            .find_map(|text| self.route(text))
            .unwrap_or(otherwise)
    }

    fn route(&self, value: &str) -> Option<usize> {
        let exact = self.routes.iter().find(|(known, _)| known.eq_ignore_ascii_case(value));
        exact.map(|(_, index)| *index)
    }
}

/// The members that one pass over a record picks, in the order of [`Picked`].
pub fn paths(service: &'static Service) -> Vec<&'static [&'static str]> {
    match &service.tag {
        Tag::Fixed(_) => vec![service.event_time],
        Tag::ByField { field, .. } => vec![service.event_time, field],
    }
}

/// The members that one pass over a record picked.
#[derive(Debug, Clone, Copy)]
pub struct Picked<'a> {
    /// The event time, raw.
    pub event_time: Option<&'a [u8]>,
    /// The member that the tag depends on, raw.
    pub route: Option<&'a [u8]>,
}

impl<'a> Picked<'a> {
    /// Names what was picked by [`paths`].
    pub fn new(picked: [Option<&'a [u8]>; MAX_PICKS]) -> Self {
        Self { event_time: picked[0], route: picked[1] }
    }
}

/// Writes the messages of one invocation.
#[derive(Debug)]
pub struct Messages {
    /// `"@devo_environment":"…","@devo_pulling_id":"…"}`
    members: Vec<u8>,
    text: Vec<u8>,
}

impl Messages {
    /// `pulling_id` is the pull cycle's epoch milliseconds.
    pub fn new(environment: Option<&str>, pulling_id: &str) -> Self {
        let mut members = String::new();
        if let Some(name) = environment {
            members.push_str(&format!("\"@devo_environment\":{},", serde_json::Value::from(name)));
        }
        members.push_str(&format!("\"@devo_pulling_id\":{}}}", serde_json::Value::from(pulling_id)));
        Self { members: members.into_bytes(), text: Vec::new() }
    }

    /// How many bytes the message of a record is longer than the record, at the most.
    pub fn added_bytes(&self) -> usize {
        self.members.len() + 1
    }

    /// The message of a record. A record that is no object stays as it is.
    pub fn write(&mut self, record: &[u8], is_object: bool) -> &[u8] {
        self.text.clear();
        push_on_one_line(&mut self.text, record);
        if is_object && self.text.ends_with(b"}") {
            self.text.pop();
            let inner_end = self.text.trim_ascii_end();
            if !inner_end.ends_with(b"{") {
                self.text.push(b',');
            }
            self.text.extend_from_slice(&self.members);
        }
        &self.text
    }
}

/// Appends `text`, each run of LF, CR and NUL as one space.
fn push_on_one_line(line: &mut Vec<u8>, text: &[u8]) {
    let is_break = |byte: u8| matches!(byte, b'\n' | b'\r' | 0);
    let mut rest = text.trim_ascii();
    while let Some(at) = memchr::memchr3(b'\n', b'\r', 0, rest) {
        line.extend_from_slice(&rest[..at]);
        line.push(b' ');
        let breaks = rest[at..].iter().take_while(|byte| is_break(**byte)).count();
        rest = &rest[at + breaks..];
    }
    line.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(record: &str, is_object: bool) -> String {
        let mut messages = Messages::new(Some("pr\"od"), "17");
        String::from_utf8(messages.write(record.as_bytes(), is_object).to_vec()).unwrap()
    }

    #[test]
    fn a_record_stays_byte_for_byte_and_gets_its_members_at_the_end() {
        let end = r#""@devo_environment":"pr\"od","@devo_pulling_id":"17"}"#;
        let table = [
            (r#"{"a": 1.00}"#, true, format!(r#"{{"a": 1.00,{end}"#)),
            ("{ }", true, format!("{{ {end}")),
            ("{\"a\":1\r\n}\n", true, format!("{{\"a\":1 ,{end}")),
            ("{\r\n\n  \"a\" :\t[ ] }", true, format!("{{   \"a\" :\t[ ] ,{end}")),
            ("[1,\n2]", false, "[1, 2]".to_owned()),
            ("\"text}\"", false, "\"text}\"".to_owned()),
            ("null", false, "null".to_owned()),
        ];
        for (record, is_object, expected) in table {
            assert_eq!(written(record, is_object), expected, "{record:?}");
        }
    }

    #[test]
    fn no_environment_adds_no_member() {
        let mut messages = Messages::new(None, "17");
        assert_eq!(messages.write(b"{\"a\":1}", true), b"{\"a\":1,\"@devo_pulling_id\":\"17\"}");
    }
}
