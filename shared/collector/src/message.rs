//! What is sent of a record: its tag, and its text on one line with the collector's two members at its end.
//!
//! The text is the API's own, byte for byte. Only raw line breaks between tokens become a space, because Devo ends an
//! event at LF, CR or NUL. Nothing is parsed and written again.

use crate::record::{MAX_PICKS, plain_string};
use crate::service::{SameBy, Tag};
use crate::settings::Settings;

/// Finds the tag of a record.
#[derive(Debug)]
pub struct Tags {
    /// Every tag the service has given or can give. Of those that are declared, the last one is for records without a
    /// known value.
    tags: Vec<String>,
    /// Values with the index of their tag: in lower case those that are declared, as they came those that were met.
    routes: Vec<(String, usize)>,
    /// What tags made of a record's own value begin with.
    prefix: Option<String>,
}

/// A tag has no more characters.
const LONGEST_TAG: usize = 1_024;
/// Values whose tag is found without making it anew. Each further one costs time; its tag is kept once like the others.
const MOST_VALUES: usize = 1_000;

impl Tags {
    /// The tags of a service under its settings; of the operator's own queries those of each, in their order.
    pub fn new(settings: &Settings) -> Self {
        if !settings.queries.is_empty() {
            let tags = settings.queries.iter().map(|query| query.tag.clone()).collect();
            return Self { tags, routes: Vec::new(), prefix: None };
        }
        if let Some(tag) = &settings.override_tag {
            return Self { tags: vec![tag.clone()], routes: Vec::new(), prefix: None };
        }
        let environment = settings.environment_label();
        let filled = |pattern: &str| pattern.replace("{env}", &environment);
        match &settings.service.tag {
            Tag::Fixed(pattern) => Self { tags: vec![filled(pattern)], routes: Vec::new(), prefix: None },
            Tag::ByField { routes, otherwise, .. } => Self {
                tags: routes.iter().map(|(_, pattern)| filled(pattern)).chain([filled(otherwise)]).collect(),
                routes: routes
                    .iter()
                    .enumerate()
                    .map(|(index, (value, _))| (value.to_lowercase(), index))
                    .collect(),
                prefix: None,
            },
            Tag::Suffixed { prefix, otherwise, .. } => Self {
                tags: vec![filled(&format!("{prefix}{otherwise}"))],
                routes: Vec::new(),
                prefix: Some(filled(prefix)),
            },
        }
    }

    /// The tag of this index.
    pub fn get(&self, index: usize) -> &str {
        self.tags.get(index).map_or("", String::as_str)
    }

    /// Index of the tag for a record whose routing member is `raw_value`: a string, or an array of strings whose first
    /// known one counts.
    pub fn index(&mut self, raw_value: Option<&[u8]>) -> usize {
        if self.prefix.is_some() {
            return raw_value.map_or(0, |raw| self.suffixed(raw));
        }
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

    /// Index of the tag that ends in this value; 0 when nothing of the value can stand in a tag.
    fn suffixed(&mut self, raw_value: &[u8]) -> usize {
        let known = plain_string(raw_value)
            .and_then(|text| self.routes.iter().find(|(value, _)| value == text))
            .map(|(_, index)| *index);
        if let Some(index) = known {
            return index;
        }
        let text: Option<String> = serde_json::from_slice(raw_value).ok();
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let Some(tag) = text.as_deref().and_then(|value| tag_ending_in(prefix, value)) else { return 0 };
        let index = self.tags.iter().position(|other| *other == tag).unwrap_or_else(|| {
            self.tags.push(tag);
            self.tags.len() - 1
        });
        if self.routes.len() < MOST_VALUES {
            self.routes.extend(text.map(|value| (value, index)));
        }
        index
    }

    fn route(&self, value: &str) -> Option<usize> {
        let exact = self.routes.iter().find(|(known, _)| known.eq_ignore_ascii_case(value));
        exact.map(|(_, index)| *index)
    }
}

/// The tag that ends in a record's own value; none when nothing of the value can stand in a tag.
fn tag_ending_in(prefix: &str, value: &str) -> Option<String> {
    let room = LONGEST_TAG.saturating_sub(prefix.len());
    let characters = value.chars().map(|c| c.to_ascii_lowercase()).filter(char::is_ascii_alphanumeric);
    let level: String = characters.take(room).collect();
    (!level.is_empty()).then(|| format!("{prefix}{level}"))
}

/// The members that one pass over a record picks, in the order of [`Picked`].
pub fn paths(settings: &Settings) -> [&'static [&'static str]; 4] {
    let service = settings.service;
    let route: &[&str] = match &service.tag {
        Tag::Fixed(_) => &[],
        Tag::ByField { field, .. } | Tag::Suffixed { field, .. } => field,
    };
    let is_known_by_id = matches!(service.same_by, SameBy::LastVersion { .. });
    let id: &[&str] = if is_known_by_id || !settings.enrichments.is_empty() { service.id } else { &[] };
    [service.event_time, route, id, service.end_time]
}

/// The members that one pass over a record picked.
#[derive(Debug, Clone, Copy)]
pub struct Picked<'a> {
    /// The event time, raw.
    pub event_time: Option<&'a [u8]>,
    /// The member that the tag depends on, raw.
    pub route: Option<&'a [u8]>,
    /// The id, raw; none where it is null or empty.
    pub id: Option<&'a [u8]>,
    /// The end of what the record tells of, raw.
    pub end_time: Option<&'a [u8]>,
}

/// What stands in the place of an id where there is none: all such records would be versions of one.
const NO_IDS: [&[u8]; 2] = [b"null", b"\"\""];

impl<'a> Picked<'a> {
    /// Names what was picked by [`paths`].
    pub fn new(picked: [Option<&'a [u8]>; MAX_PICKS]) -> Self {
        let id = picked[2].filter(|raw| !NO_IDS.contains(raw));
        Self { event_time: picked[0], route: picked[1], id, end_time: picked[3] }
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
    use jiff::SignedDuration;

    use super::*;
    use crate::service::{Family, Period, Query, Rate, Service, WindowRule};
    use crate::settings::document::resolve;

    fn written(record: &str, is_object: bool) -> String {
        let mut messages = Messages::new(Some("pr\"od"), "17");
        String::from_utf8(messages.write(record.as_bytes(), is_object).to_vec()).unwrap()
    }

    static FEED: Service = Service {
        input: "content",
        name: "mail",
        aliases: &[],
        function: "content-mail",
        query: Query::Content { content_type: "Audit.Mail" },
        event_time: &["CreationTime"],
        same_by: SameBy::Content,
        window: WindowRule {
            max: SignedDuration::from_hours(24),
            lookback: SignedDuration::from_hours(1),
            retention: SignedDuration::from_hours(167),
        },
        tag: Tag::Suffixed { prefix: "my.content.{env}.", field: &["Workload"], otherwise: "general" },
        period: Period { default_seconds: 300, minimum_seconds: 60 },
        rate: Rate { requests: 2_000, seconds: 60, budget: "content" },
        permission: "",
        ..Service::PLAIN
    };

    fn tags(override_tag: Option<&str>) -> Tags {
        static FAMILY: Family = Family {
            input: "content",
            aliases: &[],
            older: crate::service::Older::NONE,
            clouds: &[],
            services: &[&FEED],
        };
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let document = serde_json::json!({"inputs": {}});
        let resolved = resolve(&document, &[&FAMILY], FEED.function, None, now).unwrap();
        let override_tag = override_tag.map(str::to_owned);
        Tags::new(&Settings { environment: Some("pr od".to_owned()), override_tag, ..resolved.settings })
    }

    #[test]
    fn a_record_goes_to_the_tag_of_its_workload_whatever_that_is() {
        let long = format!("\"{}\"", "Ab-".repeat(2_000));
        let level: String = "ab".chars().cycle().take(LONGEST_TAG - "my.content.pr_od.".len()).collect();
        let cut = format!("my.content.pr_od.{level}");
        let table: [(Option<&str>, &str); 17] = [
            (Some("\"Exchange\""), "my.content.pr_od.exchange"),
            (Some("\"AzureActiveDirectory\""), "my.content.pr_od.azureactivedirectory"),
            (Some("\"Not-Yet Invented_2031!\""), "my.content.pr_od.notyetinvented2031"),
            (Some("\"365\""), "my.content.pr_od.365"),
            (Some("\"\\u0045xchange\""), "my.content.pr_od.exchange"),
            (Some("\"Éxchange\""), "my.content.pr_od.xchange"),
            (Some("\"my.other.tag\""), "my.content.pr_od.myothertag"),
            (Some("\"a\\nb\""), "my.content.pr_od.ab"),
            (None, "my.content.pr_od.general"),
            (Some("null"), "my.content.pr_od.general"),
            (Some("7"), "my.content.pr_od.general"),
            (Some("true"), "my.content.pr_od.general"),
            (Some("[\"Exchange\"]"), "my.content.pr_od.general"),
            (Some("{}"), "my.content.pr_od.general"),
            (Some("\"\""), "my.content.pr_od.general"),
            (Some("\"-._ ü\""), "my.content.pr_od.general"),
            (Some(&long), &cut),
        ];
        let mut tags = tags(None);
        // Once more each: what was met before is found again.
        for (raw, expected) in table.into_iter().chain(table) {
            let index = tags.index(raw.map(str::as_bytes));
            assert_eq!(tags.get(index), expected, "{raw:?}");
            assert!(tags.get(index).len() <= LONGEST_TAG);
        }
    }

    #[test]
    fn workloads_that_nobody_can_count_have_their_tags_all_the_same() {
        let mut tags = tags(None);
        for round in 0..2 {
            for number in 0..3 * MOST_VALUES {
                let index = tags.index(Some(format!("\"W{number}\"").as_bytes()));
                assert_eq!(tags.get(index), format!("my.content.pr_od.w{number}"), "round {round}");
            }
        }
    }

    #[test]
    fn an_override_replaces_the_tag_and_no_workload_is_appended() {
        let mut tags = tags(Some("my.own.tag"));
        for raw in [None, Some("\"Exchange\""), Some("7")] {
            let index = tags.index(raw.map(str::as_bytes));
            assert_eq!(tags.get(index), "my.own.tag");
        }
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
