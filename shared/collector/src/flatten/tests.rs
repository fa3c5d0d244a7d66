//! Records in, events out, character by character.

use super::{Flattened, MOST_BYTES, TooMuch, flatten};
use crate::service::Flatten;

pub(super) const MEMBERS: Flatten = Flatten::Members { object: "relatedUser", array: "evidence" };
pub(super) const GROUPS: Flatten = Flatten::Groups { array: "entities", by: "type" };

/// The events of a record that is taken apart; the record itself if there is nothing to take apart.
pub(super) fn events(record: &str, rule: &Flatten) -> Vec<String> {
    match flatten(record.as_bytes(), rule, 1_000_000, &[]).unwrap() {
        Flattened::Unchanged => vec![record.to_owned()],
        Flattened::Events(texts) => texts.map(|text| String::from_utf8(text).unwrap()).collect(),
        Flattened::InOnePiece { why, .. } => panic!("{why}: {record}"),
    }
}

fn check(rule: &Flatten, table: &[(&str, &[&str])]) {
    for (record, expected) in table {
        assert_eq!(events(record, rule), *expected, "{record}");
    }
}

#[test]
fn the_vendors_example_comes_out_member_for_member() {
    let record = r#"{"id": "baseEventId1", "type": "alert", "entities": [
        {"type": "domain", "id": 1, "name": "domain1"}, {"type": "domain", "id": 2, "name": "domain2"},
        {"type": "user", "id": 1, "name": "user1"}, {"type": "user", "id": 2, "name": "user2"},
        {"type": "user", "id": 3, "name": "user3"}]}"#;
    let event = |domain: u8, user: u8| {
        format!(
            "{{\"id\":\"baseEventId1\",\"type\":\"alert\",\"related_domains\":2,\"related_users\":3,\
             \"domain_id\":{domain},\"domain_name\":\"domain{domain}\",\
             \"user_id\":{user},\"user_name\":\"user{user}\"}}"
        )
    };
    let expected = [event(1, 1), event(1, 2), event(1, 3), event(2, 1), event(2, 2), event(2, 3)];
    assert_eq!(events(record, &GROUPS), expected);
}

#[test]
fn an_object_comes_in_its_place_and_each_element_makes_an_event() {
    check(
        &MEMBERS,
        &[
            (
                r#"{"id":"1","relatedUser":{"userName":"ann","domainName":"D"},"x":1.00,"evidence":[{"t":"User","n":null},{"t":"File"}],"y":[1,{"z":2}]}"#,
                &[
                    r#"{"id":"1","relatedUser_userName":"ann","relatedUser_domainName":"D","x":1.00,"y":[1,{"z":2}],"related_evidence":2,"evidence_t":"User","evidence_n":null}"#,
                    r#"{"id":"1","relatedUser_userName":"ann","relatedUser_domainName":"D","x":1.00,"y":[1,{"z":2}],"related_evidence":2,"evidence_t":"File"}"#,
                ],
            ),
            (
                r#"{"relatedUser":null,"evidence":[{"a":{"b":[1]}}]}"#,
                &[r#"{"relatedUser":null,"related_evidence":1,"evidence_a":{"b":[1]}}"#],
            ),
            (r#"{"id":"1","evidence":[]}"#, &[r#"{"id":"1","related_evidence":0}"#]),
            (r#"{"evidence":[{}]}"#, &[r#"{"related_evidence":1}"#]),
            (r#"{"relatedUser":{}}"#, &["{}"]),
            (r#"{"relatedUser":{},"a":1}"#, &[r#"{"a":1}"#]),
            (
                r#"{"evidence":["text",7,null,[1],{"a":1}]}"#,
                &[
                    r#"{"related_evidence":5,"evidence":"text"}"#,
                    r#"{"related_evidence":5,"evidence":7}"#,
                    r#"{"related_evidence":5,"evidence":null}"#,
                    r#"{"related_evidence":5,"evidence":[1]}"#,
                    r#"{"related_evidence":5,"evidence_a":1}"#,
                ],
            ),
        ],
    );
}

#[test]
fn elements_are_grouped_by_what_they_say_and_the_last_group_varies_fastest() {
    check(
        &GROUPS,
        &[
            (
                r#"{"a":1,"entities":[{"type":"x","v":1},{"v":2,"type":"y"},{"type":"x","v":3}],"b":2}"#,
                &[
                    r#"{"a":1,"b":2,"related_xs":2,"related_ys":1,"x_v":1,"y_v":2}"#,
                    r#"{"a":1,"b":2,"related_xs":2,"related_ys":1,"x_v":3,"y_v":2}"#,
                ],
            ),
            (
                r#"{"entities":[{"type":7,"v":1},{"type":"7","v":2}]}"#,
                &[r#"{"related_7s":2,"7_v":1}"#, r#"{"related_7s":2,"7_v":2}"#],
            ),
            (r#"{"entities":[{"type":"x"}]}"#, &[r#"{"related_xs":1}"#]),
            (r#"{"entities":[],"a":1}"#, &[r#"{"a":1}"#]),
            (r#"{"entities":[]}"#, &["{}"]),
        ],
    );
}

#[test]
fn elements_of_no_group_stay_in_an_array_of_every_event() {
    check(
        &GROUPS,
        &[(
            r#"{"a":1,"entities":[{"v":1},{"type":"x","v":2},7,{"type":null},{"type":"x","v":3},{"type":""},{"type":true},{"type":["x"]},null],"b":2}"#,
            &[
                r#"{"a":1,"entities":[{"v":1},7,{"type":null},{"type":""},{"type":true},{"type":["x"]},null],"b":2,"related_xs":2,"x_v":2}"#,
                r#"{"a":1,"entities":[{"v":1},7,{"type":null},{"type":""},{"type":true},{"type":["x"]},null],"b":2,"related_xs":2,"x_v":3}"#,
            ],
        )],
    );
}

#[test]
fn what_a_rule_does_not_understand_stays_as_it_is_to_the_byte() {
    let texts = [
        "{ \"a\" : 1.00 ,\n\"evidence\":null, \"relatedUser\" :null,\"entities\": null }",
        r#"{"evidence":{"a":1},"relatedUser":["x"],"entities":{"type":"x"}}"#,
        r#"{"evidence":"text","relatedUser":"ann","entities":7}"#,
        r#"{"entities":[ {"v":1}, 7, {"type":null} ], "a":1}"#,
        r#"{"related":[{"type":"x"}],"Evidence":[1,2],"relateduser":{"a":1}}"#,
        r#"{"inside":{"evidence":[1,2],"entities":[{"type":"x"}],"relatedUser":{"a":1}}}"#,
        " {} ",
        "[{\"evidence\":[1,2]}]",
        "\"text\"",
        "null",
        "7",
    ];
    for text in texts {
        for rule in [&MEMBERS, &GROUPS] {
            assert_eq!(
                flatten(text.as_bytes(), rule, 1, &[]).unwrap(),
                Flattened::Unchanged,
                "{text} {rule:?}"
            );
        }
    }
}

#[test]
fn values_and_names_keep_their_bytes() {
    check(
        &MEMBERS,
        &[
            (
                r#"{"n":1.00,"e":1E+2,"s":"\u00e4\/","id":1,"id":2,"evidence":[{"a\"b":[ 1.50, "\u0000" ],"\u00fc":-0.0,"":0}]}"#,
                &[
                    r#"{"n":1.00,"e":1E+2,"s":"\u00e4\/","id":1,"id":2,"related_evidence":1,"evidence_a\"b":[ 1.50, "\u0000" ],"evidence_\u00fc":-0.0,"evidence_":0}"#,
                ],
            ),
            (r#"{"evid\u0065nce":[{"a":1}]}"#, &[r#"{"related_evidence":1,"evidence_a":1}"#]),
            (
                r#"{"relatedUser":{"\ud83d":1,"\ud83d\ude00":18446744073709551616}}"#,
                &[r#"{"relatedUser_\ud83d":1,"relatedUser_\ud83d\ude00":18446744073709551616}"#],
            ),
        ],
    );
    check(
        &GROUPS,
        &[(
            r#"{"entities":[{"type":"a\"\\b","v":1},{"type":"\u0061\"\\b","v":2},{"type":1.50,"v":3}]}"#,
            &[
                r#"{"related_a\"\\bs":2,"related_1.50s":1,"a\"\\b_v":1,"1.50_v":3}"#,
                r#"{"related_a\"\\bs":2,"related_1.50s":1,"a\"\\b_v":2,"1.50_v":3}"#,
            ],
        )],
    );
}

#[test]
fn a_made_name_that_is_taken_gets_a_number_and_the_same_one_in_all_events() {
    check(
        &MEMBERS,
        &[
            (
                r#"{"relatedUser":{"userName":"made"},"relatedUser_\u0075serName":"own","related_evidence":9,"evidence_a":8,"evidence":[{"a":1},{"b":2},{"a":3}]}"#,
                &[
                    r#"{"relatedUser_userName_2":"made","relatedUser_\u0075serName":"own","related_evidence":9,"evidence_a":8,"related_evidence_2":3,"evidence_a_2":1}"#,
                    r#"{"relatedUser_userName_2":"made","relatedUser_\u0075serName":"own","related_evidence":9,"evidence_a":8,"related_evidence_2":3,"evidence_b":2}"#,
                    r#"{"relatedUser_userName_2":"made","relatedUser_\u0075serName":"own","related_evidence":9,"evidence_a":8,"related_evidence_2":3,"evidence_a_2":3}"#,
                ],
            ),
            (
                r#"{"evidence_a_2":0,"evidence":[{"a":1,"a":2,"a":3},{"a":4}]}"#,
                &[
                    r#"{"evidence_a_2":0,"related_evidence":2,"evidence_a":1,"evidence_a_3":2,"evidence_a_4":3}"#,
                    r#"{"evidence_a_2":0,"related_evidence":2,"evidence_a":4}"#,
                ],
            ),
            (
                r#"{"evidence":null,"evidence":[7,{"a":1}],"evidence":[{"a":2}],"relatedUser":{"a":1},"relatedUser":{"a":2}}"#,
                &[
                    r#"{"evidence":null,"relatedUser_a":1,"relatedUser_a_2":2,"related_evidence":3,"evidence_2":7}"#,
                    r#"{"evidence":null,"relatedUser_a":1,"relatedUser_a_2":2,"related_evidence":3,"evidence_a":1}"#,
                    r#"{"evidence":null,"relatedUser_a":1,"relatedUser_a_2":2,"related_evidence":3,"evidence_a":2}"#,
                ],
            ),
        ],
    );
    check(
        &GROUPS,
        &[
            (
                r#"{"entities":[{"type":"a","b_c":1},{"type":"a_b","c":2}]}"#,
                &[r#"{"related_as":1,"related_a_bs":1,"a_b_c":1,"a_b_c_2":2}"#],
            ),
            (
                r#"{"entities":[{"type":"a","type":"b","v":1}]}"#,
                &[r#"{"related_bs":1,"b_type":"a","b_v":1}"#],
            ),
            (
                r#"{"entities":[{"type":"related","xs":1},{"type":"x"},1]}"#,
                &[r#"{"entities":[1],"related_relateds":1,"related_xs":1,"related_xs_2":1}"#],
            ),
        ],
    );
}

/// A record of so many groups of so many elements.
fn product(groups: usize, elements: usize) -> String {
    let all: Vec<String> = (0..groups)
        .flat_map(|group| (0..elements).map(move |element| format!(r#"{{"type":"g{group}","v":{element}}}"#)))
        .collect();
    format!(r#"{{"id":"1","entities":[{}]}}"#, all.join(","))
}

#[test]
fn more_combinations_than_allowed_leave_a_record_in_one_piece_and_nothing_is_built() {
    let count =
        |groups, elements, most| match flatten(product(groups, elements).as_bytes(), &GROUPS, most, &[])
            .unwrap()
        {
            Flattened::Events(events) => Ok(events.count()),
            Flattened::InOnePiece { why, masked } => {
                assert_eq!(masked, None);
                Err(why)
            }
            Flattened::Unchanged => panic!("it has entities"),
        };
    assert_eq!(count(2, 100, 10_000), Ok(10_000));
    assert_eq!(count(2, 100, 9_999), Err(TooMuch::Events(Some(10_000))));
    assert_eq!(count(1, 1, 1), Ok(1));
    assert_eq!(count(9, 100, 1_000_000), Err(TooMuch::Events(Some(10_u64.pow(18)))));
    assert_eq!(count(10, 100, 1_000_000), Err(TooMuch::Events(None)));
    assert_eq!(count(500, 100, 1_000_000), Err(TooMuch::Events(None)));
    let record = r#"{"relatedUser":{"a":1},"evidence":[1,2,3]}"#;
    let of = |most| flatten(record.as_bytes(), &MEMBERS, most, &[]).unwrap();
    assert!(matches!(of(2), Flattened::InOnePiece { why: TooMuch::Events(Some(3)), .. }));
    assert!(matches!(of(3), Flattened::Events(_)));
}

#[test]
fn events_that_no_memory_holds_leave_a_record_in_one_piece_and_others_have_the_bytes_that_were_counted() {
    let record = |padding: usize, elements: usize| {
        format!(r#"{{"p":"{}","evidence":[{}]}}"#, "x".repeat(padding), vec!["1"; elements].join(","))
    };
    let heavy = record(200_000, 6_000);
    match flatten(heavy.as_bytes(), &MEMBERS, 10_000, &[]).unwrap() {
        Flattened::InOnePiece { why: TooMuch::Bytes(bytes), masked: None } => assert!(bytes > MOST_BYTES),
        other => panic!("{}", matches!(other, Flattened::Events(_))),
    }
    for light in [record(100, 100), product(3, 7)] {
        let rule = if light.contains("type") { &GROUPS } else { &MEMBERS };
        let Flattened::Events(events) = flatten(light.as_bytes(), rule, 10_000, &[]).unwrap() else {
            panic!("it is light");
        };
        let counted = events.followed_by(b"{\"more\":1}");
        let bound = counted.bytes();
        let real: u128 = counted.map(|text| text.len() as u128).sum();
        assert!(real <= bound && bound < real * 11 / 10, "{real} {bound}");
    }
}

#[test]
fn members_of_another_object_come_last_in_every_event() {
    let with = |record: &str, more: &str| -> Vec<String> {
        let Flattened::Events(events) = flatten(record.as_bytes(), &MEMBERS, 9, &[]).unwrap() else {
            panic!("{record}");
        };
        events.followed_by(more.as_bytes()).map(|text| String::from_utf8(text).unwrap()).collect()
    };
    assert_eq!(
        with(r#"{"evidence":[{"a":1},{}]}"#, r#"{"n":1,"m":2}"#),
        [r#"{"related_evidence":2,"evidence_a":1,"n":1,"m":2}"#, r#"{"related_evidence":2,"n":1,"m":2}"#]
    );
    assert_eq!(with(r#"{"relatedUser":{}}"#, r#"{"n":1}"#), [r#"{"n":1}"#]);
    assert_eq!(with(r#"{"relatedUser":{}}"#, "{}"), ["{}"]);
    for (object, other, expected) in [
        ("{\"a\":1 } ", "{\"b\":2}", "{\"a\":1,\"b\":2}"),
        ("{ }", "{\"b\":2}", "{\"b\":2}"),
        ("[1]", "{\"b\":2}", "[1]"),
        ("{\"a\":1}", "{}", "{\"a\":1}"),
    ] {
        assert_eq!(super::joined(object.as_bytes(), other.as_bytes()), expected.as_bytes());
    }
}

#[test]
fn what_is_no_json_is_no_event() {
    for text in ["{", "{\"a\":}", "{\"evidence\":[1,]}", "{} {}", "{\"a\":1", "{\"\u{1}\":1}"] {
        assert!(flatten(text.as_bytes(), &MEMBERS, 9, &[]).is_err(), "{text}");
    }
    assert!(flatten(b"{\"a\":\"\xff\"}", &MEMBERS, 9, &[]).is_err());
}

#[test]
fn no_nesting_is_too_deep() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let record = format!("{{\"d\":{deep},\"evidence\":[{{\"d\":{deep}}}]}}");
    let expected = format!("{{\"d\":{deep},\"related_evidence\":1,\"evidence_d\":{deep}}}");
    assert!(events(&record, &MEMBERS) == [expected]);
}
