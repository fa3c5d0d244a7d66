//! Records at random, judged by a second, naive way to take them apart and by what must be true of any.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::tests::{GROUPS, MEMBERS, events};
use super::tests_masks::leaving;
use super::{Flattened, flatten};
use crate::service::Flatten;

/// The members that each element of a group adds.
type Elements = Vec<Map<String, Value>>;

/// The events of a record of which no two names are the same, in the straightforward way.
fn naive(record: &Value, rule: &Flatten) -> Vec<Value> {
    let Value::Object(members) = record else { return vec![record.clone()] };
    let mut base = Map::new();
    let mut groups: Vec<(String, String, Elements)> = Vec::new();
    let prefixed = |prefix: &str, members: &Map<String, Value>| -> Map<String, Value> {
        members.iter().map(|(name, value)| (format!("{prefix}_{name}"), value.clone())).collect()
    };
    for (name, value) in members {
        match (rule, value) {
            (Flatten::Members { object, .. }, Value::Object(inner)) if name == object => {
                base.extend(prefixed(object, inner));
            }
            (Flatten::Members { array, .. }, Value::Array(elements)) if name == array => {
                let texts = elements.iter().map(|element| match element {
                    Value::Object(inner) => prefixed(array, inner),
                    other => Map::from_iter([((*array).to_owned(), other.clone())]),
                });
                groups.push(((*array).to_owned(), format!("related_{array}"), texts.collect()));
            }
            (Flatten::Groups { array, by }, Value::Array(elements)) if name == array => {
                let mut rest = Vec::new();
                for element in elements {
                    let group = match &element[by] {
                        Value::String(text) if !text.is_empty() => text.clone(),
                        Value::Number(number) => number.to_string(),
                        _ => {
                            rest.push(element.clone());
                            continue;
                        }
                    };
                    let mut inner = element.as_object().unwrap().clone();
                    inner.shift_remove(*by);
                    let made = prefixed(&group, &inner);
                    match groups.iter_mut().find(|known| known.0 == group) {
                        Some(known) => known.2.push(made),
                        None => groups.push((group.clone(), format!("related_{group}s"), vec![made])),
                    }
                }
                if !rest.is_empty() {
                    base.insert(name.clone(), Value::Array(rest));
                }
            }
            _ => drop(base.insert(name.clone(), value.clone())),
        }
    }
    groups.iter().for_each(|group| drop(base.insert(group.1.clone(), group.2.len().into())));
    let mut made = vec![base];
    for (_, _, elements) in groups.iter().filter(|group| !group.2.is_empty()) {
        let with_each = |event: &Map<String, Value>| -> Vec<Map<String, Value>> {
            elements
                .iter()
                .map(|element| event.clone().into_iter().chain(element.clone()).collect())
                .collect()
        };
        made = made.iter().flat_map(with_each).collect();
    }
    made.into_iter().map(Value::Object).collect()
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f32>().prop_map(|number| json!(number)),
        ".{0,6}".prop_map(Value::from),
    ]
}

fn anything() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec(("[a-c\"\\\\é]{0,2}", inner), 0..3).prop_map(object),
        ]
    })
}

fn object(members: Vec<(String, Value)>) -> Value {
    Value::Object(members.into_iter().collect())
}

fn element() -> impl Strategy<Value = Value> {
    let kind = prop_oneof![
        4 => "[xyz]".prop_map(|text| Some(json!(text))),
        1 => Just(Some(json!(7))),
        1 => Just(Some(json!(""))),
        1 => Just(None),
        1 => scalar().prop_filter("no name", |it| !it.is_string() && !it.is_number()).prop_map(Some),
    ];
    let members = prop::collection::vec(("[a-d\"\\\\é]{0,2}", anything()), 0..4);
    let whole = (kind, members, any::<bool>()).prop_map(|(named, mut inner, is_first)| {
        let at = if is_first { 0 } else { inner.len() };
        inner.splice(at..at, named.map(|value| ("type".to_owned(), value)));
        object(inner)
    });
    prop_oneof![8 => whole, 1 => anything()]
}

fn record(own: &'static str) -> impl Strategy<Value = Value> {
    let list =
        || prop_oneof![6 => prop::collection::vec(element(), 0..7).prop_map(Value::from), 1 => anything()];
    let inner = prop::collection::vec(("[a-d]{1,2}", anything()), 0..4).prop_map(object);
    let special = prop_oneof![
        3 => list().prop_map(|value| ("evidence".to_owned(), value)),
        3 => list().prop_map(|value| ("entities".to_owned(), value)),
        2 => prop_oneof![3 => inner, 1 => anything()].prop_map(|value| ("relatedUser".to_owned(), value)),
    ];
    let plain = (own, anything());
    prop::collection::vec(prop_oneof![special, plain], 0..6).prop_map(object)
}

/// Gives each text, number and boolean its own text.
fn number_leaves(value: &mut Value, next: &mut u32) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(|inner| number_leaves(inner, next)),
        Value::Object(members) => {
            let inner = members.iter_mut().filter(|(name, _)| *name != "type");
            inner.for_each(|(_, value)| number_leaves(value, next));
        }
        leaf => {
            *leaf = json!(format!("leaf{next}."));
            *next += 1;
        }
    }
}

/// The leaves that a text holds.
fn leaves(text: &str) -> Vec<String> {
    let mut found: Vec<String> = text
        .split("leaf")
        .skip(1)
        .filter_map(|rest| rest.split_once('.'))
        .map(|(digits, _)| digits.to_owned())
        .collect();
    found.sort();
    found
}

/// Names of the objects of a text that stand twice in one object, at its first level.
fn has_names_twice(event: &str) -> bool {
    let members = super::raw::Members::of(event.as_bytes()).unwrap().unwrap().0;
    let names: std::collections::HashSet<_> =
        members.iter().map(|member| super::raw::says(member.key)).collect();
    names.len() != members.len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn events_are_what_the_naive_way_makes(record in record("[A-Z]{1,2}"), is_grouped: bool) {
        let rule = if is_grouped { GROUPS } else { MEMBERS };
        let expected: Vec<String> = naive(&record, &rule).iter().map(Value::to_string).collect();
        prop_assert_eq!(events(&record.to_string(), &rule), expected);
    }

    #[test]
    fn no_name_stands_twice_and_each_value_is_in_its_events_whatever_the_names(
        mut record in record("(related_(evidence|[xyz]s)|(relatedUser|evidence|[xyz])_[a-d](_2)?)"),
        is_grouped: bool,
    ) {
        number_leaves(&mut record, &mut 0);
        let rule = if is_grouped { GROUPS } else { MEMBERS };
        let made = events(&record.to_string(), &rule);
        let expected = naive(&record, &rule);
        prop_assert_eq!(made.len(), expected.len());
        let (object, array) = if is_grouped { ("", "entities") } else { ("relatedUser", "evidence") };
        for event in &made {
            prop_assert!(!has_names_twice(event), "{}", event);
            let read: Value = serde_json::from_str(event).unwrap();
            for (name, value) in record.as_object().unwrap() {
                if name != object && name != array {
                    prop_assert_eq!(&read[name], value, "a member of the record gave way: {}", event);
                }
            }
        }
        // Each leaf is in all events, or in those of one element: as many as there are of the other groups.
        let mut times = std::collections::BTreeMap::new();
        for event in &made {
            let held = leaves(event);
            let distinct: std::collections::BTreeSet<&String> = held.iter().collect();
            prop_assert_eq!(held.len(), distinct.len(), "a value is twice in an event");
            held.into_iter().for_each(|leaf| *times.entry(leaf).or_insert(0_usize) += 1);
        }
        for leaf in leaves(&record.to_string()) {
            let element_text = record[array].as_array().into_iter().flatten().find(|element| {
                leaves(&element.to_string()).contains(&leaf)
            });
            let same_group = |other: &&Value| match is_grouped {
                true => other["type"].as_str().is_some_and(|text| !text.is_empty() && element_text.unwrap()["type"] == text),
                false => true,
            };
            let stays = element_text.is_some_and(|element| {
                is_grouped && !matches!(&element["type"], Value::String(text) if !text.is_empty())
                    && !element["type"].is_number()
            });
            let share = match element_text {
                Some(_) if stays => 1,
                Some(element) if element["type"].is_number() && is_grouped => {
                    record[array].as_array().unwrap().iter().filter(|other| other["type"].is_number()).count()
                }
                Some(_) => record[array].as_array().unwrap().iter().filter(same_group).count(),
                None => 1,
            };
            prop_assert_eq!(times.get(&leaf).copied(), Some(made.len() / share), "leaf {} of {}", leaf, record);
        }
    }

    #[test]
    fn nothing_that_a_rule_names_in_either_form_leaves_unmasked(
        mut record in record("[A-Z]{1,2}"), is_grouped: bool, most in 1_u32..20, name in "[a-d]{1,2}",
    ) {
        number_leaves(&mut record, &mut 0);
        let rule = if is_grouped { GROUPS } else { MEMBERS };
        let array = if is_grouped { "entities" } else { "evidence" };
        let elements = record[array].as_array().cloned().unwrap_or_default();
        let users = record["relatedUser"].as_object().into_iter().collect::<Vec<_>>();
        let hidden = |values: Vec<&Value>| -> Vec<String> {
            values.iter().flat_map(|value| leaves(&value.to_string())).collect()
        };
        let of_elements = |kind: Option<&str>| {
            let meant = elements.iter().filter(|element| kind.is_none_or(|kind| element["type"] == kind));
            hidden(meant.map(|element| &element[&name]).collect())
        };
        let mut cases = vec![
            (json!([array]), hidden(vec![&record[array]])),
            (json!(["*"]), hidden(vec![&record])),
            (json!([array, "*", name]), of_elements(None)),
        ];
        if is_grouped {
            cases.extend(["x", "y", "z"].map(|kind| (json!([format!("{kind}_{name}")]), of_elements(Some(kind)))));
        } else {
            let of_user = hidden(users.iter().filter_map(|user| user.get(&name)).collect());
            cases.push((json!([format!("evidence_{name}")]), of_elements(None)));
            cases.push((json!(["relatedUser", name]), of_user.clone()));
            cases.push((json!([format!("relatedUser_{name}")]), of_user));
        }
        for (path, secret) in cases {
            for event in leaving(&record.to_string(), &rule, most, &[json!({"name": path})]) {
                let seen = leaves(&event);
                prop_assert!(secret.iter().all(|leaf| !seen.contains(leaf)), "{} left {}", path, event);
            }
        }
    }

    #[test]
    fn the_number_of_events_is_the_product_of_the_groups_and_no_more_than_allowed(
        sizes in prop::collection::vec(1_usize..6, 0..6), most in 1_u32..2_000,
    ) {
        let entities: Vec<Value> = sizes.iter().enumerate()
            .flat_map(|(group, size)| (0..*size).map(move |id| json!({"type": format!("g{group}"), "id": id})))
            .collect();
        let record = json!({"entities": entities}).to_string();
        let product = sizes.iter().product::<usize>();
        match flatten(record.as_bytes(), &GROUPS, most, &[]).unwrap() {
            Flattened::Events(events) => {
                let texts: std::collections::HashSet<Vec<u8>> = events.collect();
                prop_assert_eq!(texts.len(), product, "all of them differ");
                prop_assert!(product <= most as usize);
            }
            Flattened::InOnePiece { .. } => prop_assert!(product > most as usize),
            Flattened::Unchanged => prop_assert!(false, "the array is taken out"),
        }
    }
}
