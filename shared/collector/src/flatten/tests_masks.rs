//! Masks: whatever form a rule names, the record's or the event's, nothing that it means leaves unmasked.

use serde_json::{Value, json};

use super::tests::{GROUPS, MEMBERS};
use super::{Flattened, flatten};
use crate::obfuscate::{Rule, obfuscate};
use crate::service::Flatten;

/// What leaves of a record, as a run does it: masked as it came, taken apart, and masked by its new names.
pub(super) fn leaving(record: &str, rule: &Flatten, most: u32, masks: &[Value]) -> Vec<String> {
    let masks: Vec<Rule> = masks.iter().map(|mask| Rule::parse(mask, "masks").unwrap()).collect();
    let text = obfuscate(record.as_bytes(), &masks).unwrap().unwrap_or_else(|| record.as_bytes().to_vec());
    let texts = match flatten(&text, rule, most, &masks).unwrap() {
        Flattened::Unchanged => vec![text],
        Flattened::Events(events) => events.collect(),
        Flattened::InOnePiece { masked, .. } => vec![masked.unwrap_or(text)],
    };
    texts.into_iter().map(|event| String::from_utf8(event).unwrap()).collect()
}

const ALERT: &str = r#"{"id":"1","relatedUser":{"userName":"ann","n":5},"evidence":[{"sid":"S1","l":["ann"]},"ann",{"sid":"S2"}]}"#;

#[test]
fn a_rule_may_name_the_member_of_the_record_or_that_of_the_event() {
    let s = "\"****SANITIZED****\"";
    let table: [(Value, [String; 3]); 9] = [
        (
            json!({"name": ["relatedUser", "userName"]}),
            [
                format!(r#"{{"id":"1","relatedUser_userName":{s},"relatedUser_n":5,"related_evidence":3,"evidence_sid":"S1","evidence_l":["ann"]}}"#),
                format!(r#"{{"id":"1","relatedUser_userName":{s},"relatedUser_n":5,"related_evidence":3,"evidence":"ann"}}"#),
                format!(r#"{{"id":"1","relatedUser_userName":{s},"relatedUser_n":5,"related_evidence":3,"evidence_sid":"S2"}}"#),
            ],
        ),
        (
            json!({"name": ["relatedUser_userName"], "value": "u"}),
            [
                r#"{"id":"1","relatedUser_userName":"u","relatedUser_n":5,"related_evidence":3,"evidence_sid":"S1","evidence_l":["ann"]}"#.into(),
                r#"{"id":"1","relatedUser_userName":"u","relatedUser_n":5,"related_evidence":3,"evidence":"ann"}"#.into(),
                r#"{"id":"1","relatedUser_userName":"u","relatedUser_n":5,"related_evidence":3,"evidence_sid":"S2"}"#.into(),
            ],
        ),
        (
            json!({"name": ["relatedUser", "*"], "value": "u"}),
            [
                format!(r#"{{"id":"1","relatedUser_userName":"u","relatedUser_n":{s},"related_evidence":3,"evidence_sid":"S1","evidence_l":["ann"]}}"#),
                format!(r#"{{"id":"1","relatedUser_userName":"u","relatedUser_n":{s},"related_evidence":3,"evidence":"ann"}}"#),
                format!(r#"{{"id":"1","relatedUser_userName":"u","relatedUser_n":{s},"related_evidence":3,"evidence_sid":"S2"}}"#),
            ],
        ),
        (
            json!({"name": ["evidence", 2, "sid"], "value": "x"}),
            [
                r#"{"id":"1","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":3,"evidence_sid":"S1","evidence_l":["ann"]}"#.into(),
                r#"{"id":"1","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":3,"evidence":"ann"}"#.into(),
                r#"{"id":"1","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":3,"evidence_sid":"x"}"#.into(),
            ],
        ),
        (
            json!({"name": ["evidence_sid"], "value": "x"}),
            [
                r#"{"id":"1","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":3,"evidence_sid":"x","evidence_l":["ann"]}"#.into(),
                r#"{"id":"1","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":3,"evidence":"ann"}"#.into(),
                r#"{"id":"1","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":3,"evidence_sid":"x"}"#.into(),
            ],
        ),
        (
            json!({"name": ["evidence_l", "*"], "value": "x"}),
            [
                r#"{"id":"1","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":3,"evidence_sid":"S1","evidence_l":["x"]}"#.into(),
                r#"{"id":"1","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":3,"evidence":"ann"}"#.into(),
                r#"{"id":"1","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":3,"evidence_sid":"S2"}"#.into(),
            ],
        ),
        (
            json!({"name": ["evidence", "*"], "value": "x"}),
            [
                format!(r#"{{"id":"1","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":3,"evidence_sid":"x","evidence_l":{s}}}"#),
                r#"{"id":"1","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":3,"evidence":"x"}"#.into(),
                r#"{"id":"1","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":3,"evidence_sid":"x"}"#.into(),
            ],
        ),
        (
            json!({"name": ["related_evidence"]}),
            [
                r#"{"id":"1","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":-1,"evidence_sid":"S1","evidence_l":["ann"]}"#.into(),
                r#"{"id":"1","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":-1,"evidence":"ann"}"#.into(),
                r#"{"id":"1","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":-1,"evidence_sid":"S2"}"#.into(),
            ],
        ),
        // What keeps its name is masked once: a mask that is masked again would be another one.
        (
            json!({"name": ["id"], "value": "11", "string_patterns": ["1"]}),
            [
                r#"{"id":"11","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":3,"evidence_sid":"S1","evidence_l":["ann"]}"#.into(),
                r#"{"id":"11","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":3,"evidence":"ann"}"#.into(),
                r#"{"id":"11","relatedUser_userName":"ann","relatedUser_n":5,"related_evidence":3,"evidence_sid":"S2"}"#.into(),
            ],
        ),
    ];
    for (mask, expected) in table {
        assert_eq!(leaving(ALERT, &MEMBERS, 9, std::slice::from_ref(&mask)), expected, "{mask}");
    }
}

#[test]
fn an_array_or_object_that_is_masked_whole_is_not_taken_apart() {
    let s = "\"****SANITIZED****\"";
    let table = [
        (
            json!({"name": ["evidence"]}),
            format!(r#"{{"id":"1","relatedUser_userName":"ann","relatedUser_n":5,"evidence":{s}}}"#),
        ),
        (json!({"name": ["*"]}), format!(r#"{{"id":{s},"relatedUser":{s},"evidence":{s}}}"#)),
        (
            json!({"name": ["*"], "string_patterns": ["1"]}),
            format!(r#"{{"id":{s},"relatedUser":{s},"evidence":{s}}}"#),
        ),
    ];
    for (mask, expected) in table {
        assert_eq!(leaving(ALERT, &MEMBERS, 9, std::slice::from_ref(&mask)), [expected], "{mask}");
    }
    let events = leaving(ALERT, &MEMBERS, 9, &[json!({"name": ["relatedUser"]})]);
    assert_eq!(events.len(), 3);
    assert!(
        events.iter().all(|event| event.starts_with(&format!(r#"{{"id":"1","relatedUser":{s},"related"#)))
    );
}

#[test]
fn a_record_that_stays_in_one_piece_is_masked_by_the_names_its_events_would_have() {
    let table = [
        (json!({"name": ["evidence_sid"], "value": "x"}), ALERT.replace("S1", "x").replace("S2", "x")),
        (
            json!({"name": ["relatedUser_userName"], "value": "x"}),
            ALERT.replace(r#""userName":"ann""#, r#""userName":"x""#),
        ),
        (json!({"name": ["evidence_l", 0], "value": "x"}), ALERT.replace(r#"["ann"]"#, r#"["x"]"#)),
        (json!({"name": ["evidence_none"], "value": "x"}), ALERT.to_owned()),
    ];
    for (mask, expected) in table {
        assert_eq!(leaving(ALERT, &MEMBERS, 2, std::slice::from_ref(&mask)), [expected], "{mask}");
    }
    let record =
        r#"{"entities":[{"a":"S","type":"x"},7,{"type":"y","a":"S"},{"type":"x","b":1,"a":"T"}],"id":1}"#;
    let expected =
        r#"{"entities":[{"a":"m","type":"x"},7,{"type":"y","a":"S"},{"type":"x","b":1,"a":"m"}],"id":1}"#;
    assert_eq!(leaving(record, &GROUPS, 1, &[json!({"name": ["x_a"], "value": "m"})]), [expected]);
}

#[test]
fn groups_are_masked_by_either_name_and_their_own_names_too() {
    let record = r#"{"entities":[{"type":"user","id":"ann"},{"type":"file","id":"f"},{"id":"lone"}]}"#;
    let table = [
        (
            json!({"name": ["user_id"], "value": "m"}),
            r#"{"entities":[{"id":"lone"}],"related_users":1,"related_files":1,"user_id":"m","file_id":"f"}"#,
        ),
        (
            json!({"name": ["entities", "*", "id"], "value": "m"}),
            r#"{"entities":[{"id":"m"}],"related_users":1,"related_files":1,"user_id":"m","file_id":"m"}"#,
        ),
        (
            json!({"name": ["entities", 0, "id"], "value": "m"}),
            r#"{"entities":[{"id":"m"}],"related_users":1,"related_files":1,"user_id":"m","file_id":"f"}"#,
        ),
    ];
    for (mask, expected) in table {
        assert_eq!(leaving(record, &GROUPS, 9, std::slice::from_ref(&mask)), [expected], "{mask}");
    }
    let events = leaving(record, &GROUPS, 9, &[json!({"name": ["entities", "*", "type"], "value": "m"})]);
    assert_eq!(
        events,
        [
            r#"{"entities":[{"id":"lone"}],"related_ms":2,"m_id":"ann"}"#,
            r#"{"entities":[{"id":"lone"}],"related_ms":2,"m_id":"f"}"#
        ]
    );
}

#[test]
fn a_made_member_that_gave_way_is_masked_by_its_first_name_too() {
    let record = r#"{"evidence_sid":"own","evidence":[{"sid":"S1"}]}"#;
    for (name, expected) in [
        ("evidence_sid", r#"{"evidence_sid":"m","related_evidence":1,"evidence_sid_2":"m"}"#),
        ("evidence_sid_2", r#"{"evidence_sid":"own","related_evidence":1,"evidence_sid_2":"m"}"#),
    ] {
        assert_eq!(leaving(record, &MEMBERS, 9, &[json!({"name": [name], "value": "m"})]), [expected]);
    }
}
