//! Records and rules in, records out; and the same judged by a second reading of the record.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{ObfuscateError, Rule, obfuscate};

fn rules(list: &Value) -> Vec<Rule> {
    let items = list.as_array().unwrap();
    items.iter().map(|item| Rule::parse(item, "rule").unwrap()).collect()
}

fn masked(record: &str, list: &Value) -> String {
    let changed = obfuscate(record.as_bytes(), &rules(list)).unwrap();
    changed.map_or_else(|| record.to_owned(), |bytes| String::from_utf8(bytes).unwrap())
}

fn check(record: &str, list: Value, expected: &str) {
    assert_eq!(masked(record, &list), expected, "{record} {list}");
}

#[test]
fn every_kind_has_its_own_mask_and_null_stays() {
    let record = r#"{"s":"x","i":7,"n":-0,"f":1.50,"e":1e3,"b":true,"z":null,"o":{"a":1},"l":[1]}"#;
    let expected = r#"{"s":"****SANITIZED****","i":-1,"n":-1,"f":-1.0,"e":-1.0,"b":false,"z":null,"o":"****SANITIZED****","l":"****SANITIZED****"}"#;
    check(record, json!([{"name": ["*"]}]), expected);
}

#[test]
fn a_value_of_the_same_kind_replaces_also_when_it_is_falsy() {
    let record = r#"{"s":"x","i":7,"f":1.5,"b":true,"z":null,"o":{}}"#;
    let cases = [
        (
            json!(""),
            r#"{"s":"","i":"****SANITIZED****","f":"****SANITIZED****","b":"****SANITIZED****","z":null,"o":"****SANITIZED****"}"#,
        ),
        (
            json!(0),
            r#"{"s":"****SANITIZED****","i":0,"f":0,"b":"****SANITIZED****","z":null,"o":"****SANITIZED****"}"#,
        ),
        (
            json!(true),
            r#"{"s":"****SANITIZED****","i":"****SANITIZED****","f":"****SANITIZED****","b":true,"z":null,"o":"****SANITIZED****"}"#,
        ),
        (
            json!("a\"\n"),
            r#"{"s":"a\"\n","i":"****SANITIZED****","f":"****SANITIZED****","b":"****SANITIZED****","z":null,"o":"****SANITIZED****"}"#,
        ),
    ];
    for (value, expected) in cases {
        check(record, json!([{"name": ["*"], "value": value}]), expected);
    }
}

#[test]
fn a_path_leads_through_objects_lists_and_stars() {
    let cases = [
        (r#"{"a":{"b":1,"c":2}}"#, json!(["a", "b"]), r#"{"a":{"b":-1,"c":2}}"#),
        (
            r#"{"a":[{"b":1,"c":2},{"c":3},{"b":4}]}"#,
            json!(["a", "*", "b"]),
            r#"{"a":[{"b":-1,"c":2},{"c":3},{"b":-1}]}"#,
        ),
        (
            r#"{"a":{"x":{"b":1},"y":{"b":2}}}"#,
            json!(["a", "*", "b"]),
            r#"{"a":{"x":{"b":-1},"y":{"b":-1}}}"#,
        ),
        (
            r#"{"a":[[{"b":1}],[{"b":2},{"b":3}]]}"#,
            json!(["a", "*", "*", "b"]),
            r#"{"a":[[{"b":-1}],[{"b":-1},{"b":-1}]]}"#,
        ),
        (r#"{"x":{"b":1},"y":[{"b":2}],"z":3}"#, json!(["*", "b"]), r#"{"x":{"b":-1},"y":[{"b":2}],"z":3}"#),
        (
            r#"{"x":{"b":1},"y":[{"b":2}],"z":3}"#,
            json!(["*", "*", "b"]),
            r#"{"x":{"b":1},"y":[{"b":-1}],"z":3}"#,
        ),
        (
            r#"{"a":["x","y",null,1]}"#,
            json!(["a", "*"]),
            r#"{"a":["****SANITIZED****","****SANITIZED****",null,-1]}"#,
        ),
        (
            r#"{"a":[{"x":1,"y":{"z":1}},{}]}"#,
            json!(["a", "*"]),
            r#"{"a":[{"x":-1,"y":"****SANITIZED****"},{}]}"#,
        ),
        (r#"{"a":[[1,2]]}"#, json!(["a", "*"]), r#"{"a":["****SANITIZED****"]}"#),
        (r#"{"a":[1,2,3]}"#, json!(["a", 1]), r#"{"a":[1,-1,3]}"#),
        (r#"{"a":[1,2,3]}"#, json!(["a", "2"]), r#"{"a":[1,2,-1]}"#),
        (r#"{"a":[{"b":1},{"b":2}]}"#, json!(["a", "0", "b"]), r#"{"a":[{"b":-1},{"b":2}]}"#),
        (r#"{"a":{"1":5}}"#, json!(["a", 1]), r#"{"a":{"1":-1}}"#),
        (r#"{"a.b":{"c.d":1},"a":{"b":1}}"#, json!(["a.b", "c.d"]), r#"{"a.b":{"c.d":-1},"a":{"b":1}}"#),
        (r#"{"":1}"#, json!([""]), r#"{"":-1}"#),
        (r#"[{"a":1},{"a":2}]"#, json!(["*", "a"]), r#"[{"a":-1},{"a":-1}]"#),
        (r#"{"a":{},"b":[]}"#, json!(["*", "*"]), r#"{"a":{},"b":[]}"#),
    ];
    for (record, path, expected) in cases {
        check(record, json!([{"name": path}]), expected);
    }
}

#[test]
fn a_path_that_is_missing_is_passed_over_and_the_next_rule_still_works() {
    let record = r#"{"a":{"b":"x"},"l":["q"],"n":5}"#;
    let list = json!([{"name": ["gone"]}, {"name": ["a", "b", "c"]}, {"name": ["l", "k"]}, {"name": ["l", 9]},
        {"name": ["n", "*"]}, {"name": ["a", "b"], "value": 1}, {"name": ["n"], "value": 0}]);
    check(record, list, r#"{"a":{"b":"****SANITIZED****"},"l":["q"],"n":0}"#);
}

#[test]
fn a_record_that_no_rule_matches_is_left_alone() {
    let list = rules(
        &json!([{"name": ["gone"]}, {"name": ["z"]}, {"name": ["s"], "string_patterns": ["nowhere", "q*"]}]),
    );
    assert_eq!(obfuscate(br#"{"z":null,"s":"x"}"#, &list), Ok(None));
    assert_eq!(obfuscate(br#"{"s":"x"}"#, &[]), Ok(None));
    assert_eq!(obfuscate(b"17", &list), Ok(None));
}

#[test]
fn a_record_whose_value_is_the_mask_already_counts_as_unchanged() {
    let list = rules(&json!([{"name": ["s"]}]));
    assert_eq!(obfuscate(br#"{"s":"****SANITIZED****"}"#, &list), Ok(None));
}

#[test]
fn patterns_replace_only_what_they_match() {
    let path = json!(["m"]);
    let cases = [
        (
            r#"{"m":"mail bob@x.org now"}"#,
            json!([r"\S+@\S+"]),
            json!(null),
            r#"{"m":"mail ****SANITIZED**** now"}"#,
        ),
        (r#"{"m":"a1b22"}"#, json!([r"\d+"]), json!("#"), r##"{"m":"a#b#"}"##),
        (r#"{"m":"12"}"#, json!([r"\d"]), json!("#"), r###"{"m":"##"}"###),
        (r#"{"m":"xabcx"}"#, json!(["b", "abc"]), json!("#"), r##"{"m":"x#x"}"##),
        (r#"{"m":"xabcdx"}"#, json!(["bcd", "abc"]), json!("#"), r##"{"m":"x#x"}"##),
        (r#"{"m":"one \u00e9\/two"}"#, json!(["two"]), json!("\""), r#"{"m":"one \u00e9\/\""}"#),
        (r#"{"m":"\u0062ob and b\u006fb"}"#, json!(["bob"]), json!("#"), r##"{"m":"# and #"}"##),
        (r#"{"m":"\ud83d\ude00 x \ud83d"}"#, json!(["😀"]), json!("#"), r##"{"m":"# x \ud83d"}"##),
        (r#"{"m":"café ünï"}"#, json!(["é ü"]), json!("#"), r##"{"m":"caf#nï"}"##),
        (r#"{"m":"abc"}"#, json!(["z*"]), json!("#"), r#"{"m":"abc"}"#),
        (r#"{"m":"abc"}"#, json!(["b"]), json!(7), r#"{"m":"a****SANITIZED****c"}"#),
        (r#"{"m":5}"#, json!(["5"]), json!(null), r#"{"m":-1}"#),
        (r#"{"m":["5"]}"#, json!(["5"]), json!(null), r#"{"m":"****SANITIZED****"}"#),
        (r#"{"m":"abc"}"#, json!([]), json!(null), r#"{"m":"****SANITIZED****"}"#),
    ];
    for (record, patterns, value, expected) in cases {
        check(record, json!([{"name": path, "value": value, "string_patterns": patterns}]), expected);
    }
}

#[test]
fn rules_work_one_after_the_other() {
    let list = json!([{"name": ["a"], "value": "first"}, {"name": ["a"], "string_patterns": ["fir"], "value": "wor"}]);
    check(r#"{"a":"x"}"#, list, r#"{"a":"worst"}"#);
}

#[test]
fn a_key_is_known_by_what_it_says_and_every_repeat_of_it_is_masked() {
    let list = json!([{"name": ["a"]}]);
    check(
        r#"{"\u0061":1,"a":2,"A":3,"a":"x"}"#,
        list,
        r#"{"\u0061":-1,"a":-1,"A":3,"a":"****SANITIZED****"}"#,
    );
    check(
        r#"{"\"\\\/\b\f\n\r\t":1}"#,
        json!([{"name": ["\"\\/\u{8}\u{c}\n\r\t"]}]),
        r#"{"\"\\\/\b\f\n\r\t":-1}"#,
    );
}

#[test]
fn everything_beside_the_masked_value_stays_as_it_was_written() {
    let record = " {\n \"big\" : 123456789012345678901234567890 , \"x\":\t1.00,\"y\": 1.0E+2 ,\"m\" :  \"q\" ,\"u\":\"\\u00e9\\/\" } ";
    let expected = record.replace("\"q\"", "\"****SANITIZED****\"");
    check(record, json!([{"name": ["m"]}]), &expected);
}

#[test]
fn a_text_may_hold_brackets_quotes_and_commas() {
    let record = r#"{"s":"}],\"{[\\","a":[{"k":"]}"},"\\\""],"t":"x"}"#;
    check(
        record,
        json!([{"name": ["t"]}]),
        r#"{"s":"}],\"{[\\","a":[{"k":"]}"},"\\\""],"t":"****SANITIZED****"}"#,
    );
}

#[test]
fn a_record_nested_deeper_than_any_stack_is_masked() {
    let depth = 200_000;
    let record = format!("{{\"deep\":{}{},\"m\":\"x\"}}", "[".repeat(depth), "]".repeat(depth));
    let out = masked(&record, &json!([{"name": ["m"]}]));
    assert!(out.ends_with("],\"m\":\"****SANITIZED****\"}"));
    assert_eq!(masked(&record, &json!([{"name": ["deep"]}])), r#"{"deep":"****SANITIZED****","m":"x"}"#);
}

#[test]
fn what_is_no_json_is_refused_and_not_let_through() {
    let list = rules(&json!([{"name": ["a"]}]));
    let cases: [&[u8]; 8] =
        [b"", b"{", br#"{"a":1"#, br#"{"a" 1}"#, br#"{"a":tru}"#, b"{} {}", b"\"\xff\"", br#"{"a":"\x"}"#];
    for record in cases {
        assert_eq!(obfuscate(record, &list), Err(ObfuscateError::NotJson), "{record:?}");
    }
}

#[test]
fn every_problem_of_a_rule_is_named_with_its_place() {
    let cases = [
        (json!([]), vec!["r[3]: expected an object, found a list"]),
        (json!({}), vec!["r[3].name: is missing; give the path as a list of keys"]),
        (json!({"name": []}), vec!["r[3].name: is empty; give the path as a list of keys"]),
        (
            json!({"name": [-1]}),
            vec!["r[3].name: expected keys, `*` or indexes from 0 in the list, found a number"],
        ),
        (
            json!({"name": "a", "valeu": 1, "value": [], "string_patterns": ["(", 5, "ok"]}),
            vec![
                "r[3].valeu: unknown key, the nearest known one is `value`; rename or remove it",
                "r[3].string_patterns[0]: is no regular expression: unclosed group",
                "r[3].string_patterns[1]: expected a regular expression, found a number",
                "r[3].name: expected a list of keys, found a text",
                "r[3].value: expected a text, a number, true or false, found a list",
            ],
        ),
        (
            json!({"name": ["a"], "string_patterns": "x"}),
            vec!["r[3].string_patterns: expected a list of regular expressions, found a text"],
        ),
    ];
    for (rule, expected) in cases {
        let problems = Rule::parse(&rule, "r[3]").unwrap_err();
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(texts, expected, "{rule}");
    }
}

/// The raw values that a path leads to, found by reading the record with the library's own parser.
fn found<'a>(raw: &'a RawValue, path: &[&str], into: &mut Vec<&'a str>) {
    let text = raw.get();
    let is_object = text.starts_with('{');
    let Some((part, rest)) = path.split_first() else {
        into.push(text);
        return;
    };
    if is_object {
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap();
        let mut values: Vec<&RawValue> =
            members.iter().filter(|(key, _)| *part == "*" || key == part).map(|(_, value)| *value).collect();
        values.sort_by_key(|value| value.get().as_ptr() as usize);
        values.into_iter().for_each(|value| found(value, rest, into));
    } else if text.starts_with('[') {
        let elements: Vec<&RawValue> = serde_json::from_str(text).unwrap();
        for (index, element) in elements.into_iter().enumerate() {
            if *part == "*" && rest.is_empty() && element.get().starts_with('{') {
                found(element, &["*"], into);
            } else if *part == "*" || index.to_string() == *part {
                found(element, rest, into);
            }
        }
    }
}

/// The record with the masks put in the place of what `found` finds.
fn masked_by_the_other_reading(record: &str, path: &[&str]) -> String {
    let raw: &RawValue = serde_json::from_str(record).unwrap();
    let mut spans = Vec::new();
    found(raw, path, &mut spans);
    let mut out = String::new();
    let mut copied = 0;
    for span in spans.iter().filter(|span| **span != "null") {
        let start = span.as_ptr() as usize - record.as_ptr() as usize;
        let mask = match serde_json::from_str(span).unwrap() {
            Value::Bool(_) => "false",
            Value::Number(_) if span.contains(['.', 'e', 'E']) => "-1.0",
            Value::Number(_) => "-1",
            _ => "\"****SANITIZED****\"",
        };
        out.push_str(record.get(copied..start).unwrap());
        out.push_str(mask);
        copied = start + span.len();
    }
    out + record.get(copied..).unwrap()
}

/// Raw JSON of any shape, with white space, escapes and odd numbers.
fn any_json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,3})?([eE][+-]?[0-9])?",
        "\"([ -!#-\\[\\]-~é😀]|\\\\[\"\\\\/bfnrt]|\\\\u00[0-9a-f]{2})*\"",
    ];
    let space = "[ \t\n\r]{0,2}";
    let spaced = (space, scalar, space).prop_map(|(a, b, c)| a + &b + &c);
    spaced.prop_recursive(4, 40, 4, move |inner| {
        let key = prop_oneof![
            Just("\"a\"".to_owned()),
            Just("\"b\"".to_owned()),
            Just("\"\\u0063\"".to_owned()),
            Just("\"0\"".to_owned()),
        ];
        let member = (key, space, space, inner.clone());
        let members = prop::collection::vec(member, 0..4).prop_map(|list| {
            let mut seen = Vec::new();
            let mut members = Vec::new();
            for (key, before, after, value) in list {
                if !seen.contains(&key) {
                    members.push(format!("{after}{key}{before}:{value}"));
                    seen.push(key);
                }
            }
            format!("{{{}}}", members.join(","))
        });
        let elements = prop::collection::vec(inner, 0..4).prop_map(|list| format!("[{}]", list.join(",")));
        (space, prop_oneof![members, elements], space).prop_map(|(a, b, c)| a + &b + &c)
    })
}

fn any_path() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(vec!["*", "a", "b", "c", "0", "1"]), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_a_path_leads_to_is_masked_and_nothing_else_moves(record in any_json(), path in any_path()) {
        let expected = masked_by_the_other_reading(&record, &path);
        prop_assert_eq!(masked(&record, &json!([{"name": path}])), expected);
    }

    #[test]
    fn a_masked_record_is_still_json(record in any_json(), paths in prop::collection::vec(any_path(), 1..4), pattern in "[a-z0-9\\\\]{1,2}|.") {
        let items: Vec<Value> = paths
            .iter()
            .map(|path| json!({"name": path, "value": "\"\\\n", "string_patterns": [regex::escape(&pattern)]}))
            .collect();
        let out = masked(&record, &Value::Array(items));
        prop_assert!(serde_json::from_str::<&RawValue>(&out).is_ok(), "{}", out);
    }

    #[test]
    fn nothing_that_a_pattern_matches_is_left_in_the_text(text in ".{0,20}", needle in "[a-c]{1,2}") {
        let record = serde_json::to_string(&json!({"m": [text]})).unwrap();
        let rule = json!([{"name": ["m", "*"], "value": "#", "string_patterns": [needle]}]);
        let out: Value = serde_json::from_str(&masked(&record, &rule)).unwrap();
        prop_assert_eq!(out, json!({"m": [text.replace(&needle, "#")]}));
    }

    #[test]
    fn bytes_of_any_kind_are_masked_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), path in any_path()) {
        let outcome = obfuscate(&bytes, &rules(&json!([{"name": path}])));
        let is_json = serde_json::from_slice::<&RawValue>(&bytes).is_ok();
        prop_assert_eq!(outcome.is_ok(), is_json);
    }
}
