//! Filters: a JSON object of fields, each with an object of operators, all of them ANDed.
//!
//! Instants are whole epoch milliseconds and are compared without looking into the record; everything else is. What the
//! API does not know, a field, an operator or a value of another type, is named in the refusal.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::field::{Field, Kind, Operator, field_of};
use super::list::{CloudAppsList, INSTANTS};

/// The instants of a record, in the order of its list.
pub(super) type Times = [Option<i64>; INSTANTS];

const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// A filter that was understood.
#[derive(Debug, Default)]
pub(super) struct Filter {
    times: Vec<(usize, TimeTest)>,
    fields: Vec<(&'static Field, Operator, Value)>,
}

/// What is not valid in a filter, in the caller's own words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotValid(pub(super) String);

#[derive(Debug)]
enum TimeTest {
    Eq(i64),
    Gt(i64),
    Gte(i64),
    Lt(i64),
    Lte(i64),
    AnyOf(Vec<(i64, i64)>),
}

impl Filter {
    /// Understands an object of filters. `now` is what a number of days is counted back from.
    pub(super) fn of(
        list: CloudAppsList,
        members: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Self, NotValid> {
        let mut filter = Self::default();
        for (name, operators) in members {
            let time = list.instants().iter().position(|instant| instant.filter == name);
            let field = field_of(list, name);
            if time.is_none() && field.is_none() {
                return Err(NotValid(name.clone()));
            }
            let operators = operators.as_object().filter(|operators| !operators.is_empty());
            for (operator_name, value) in operators.ok_or_else(|| NotValid(name.clone()))? {
                let operator =
                    Operator::of_name(operator_name).ok_or_else(|| NotValid(operator_name.clone()))?;
                if let Some(index) = time {
                    filter.times.push((index, time_test(operator, operator_name, value, now)?));
                } else if let Some(field) = field {
                    if !field.operators.contains(&operator) {
                        return Err(NotValid(operator_name.clone()));
                    }
                    check_type(field.kind, operator, value)?;
                    filter.fields.push((field, operator, value.clone()));
                }
            }
        }
        Ok(filter)
    }

    /// Whether the record's instants pass.
    pub(super) fn passes_in_time(&self, times: &Times) -> bool {
        self.times.iter().all(|(index, test)| {
            times.get(*index).copied().flatten().is_some_and(|instant| test.passes(instant))
        })
    }

    /// Whether anything but instants is looked at.
    pub(super) fn looks_inside(&self) -> bool {
        !self.fields.is_empty()
    }

    /// Whether the rest of the record passes.
    pub(super) fn passes_inside(&self, document: &Value) -> bool {
        self.fields.iter().all(|(field, operator, value)| {
            let mut found = Vec::new();
            field.paths.iter().for_each(|path| values_at(document, path, &mut found));
            passes(field.kind, *operator, value, &found)
        })
    }
}

impl TimeTest {
    fn passes(&self, instant: i64) -> bool {
        match self {
            Self::Eq(other) => instant == *other,
            Self::Gt(other) => instant > *other,
            Self::Gte(other) => instant >= *other,
            Self::Lt(other) => instant < *other,
            Self::Lte(other) => instant <= *other,
            Self::AnyOf(ranges) => ranges.iter().any(|(start, end)| (*start..=*end).contains(&instant)),
        }
    }
}

fn time_test(
    operator: Operator,
    operator_name: &str,
    value: &Value,
    now: Timestamp,
) -> Result<TimeTest, NotValid> {
    let whole = |value: &Value| value.as_i64().ok_or_else(|| NotValid(told(value)));
    let days_ago = |value: &Value| {
        whole(value).map(|days| now.as_millisecond().saturating_sub(days.saturating_mul(DAY_MS)))
    };
    Ok(match operator {
        Operator::Eq => TimeTest::Eq(whole(value)?),
        Operator::Gt => TimeTest::Gt(whole(value)?),
        Operator::Gte => TimeTest::Gte(whole(value)?),
        Operator::Lt => TimeTest::Lt(whole(value)?),
        Operator::Lte => TimeTest::Lte(whole(value)?),
        Operator::GteDays => TimeTest::Gte(days_ago(value)?),
        Operator::LteDays => TimeTest::Lte(days_ago(value)?),
        Operator::Range => {
            let ranges = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            let bounds = |range: &Value| {
                let bound = |name: &str| range.get(name).ok_or_else(|| NotValid(told(range))).and_then(whole);
                Ok((bound("start")?, bound("end")?))
            };
            let ranges: Vec<(i64, i64)> = ranges.iter().map(bounds).collect::<Result<_, _>>()?;
            if ranges.is_empty() {
                return Err(NotValid(operator_name.to_owned()));
            }
            TimeTest::AnyOf(ranges)
        }
        Operator::Neq
        | Operator::IsSet
        | Operator::IsNotSet
        | Operator::Contains
        | Operator::ContainsNot
        | Operator::StartsWith
        | Operator::StartsNotWith
        | Operator::EndsWith => return Err(NotValid(operator_name.to_owned())),
    })
}

fn check_type(kind: Kind, operator: Operator, value: &Value) -> Result<(), NotValid> {
    let is_right = |value: &Value| match kind {
        _ if matches!(operator, Operator::IsSet | Operator::IsNotSet) => value.is_boolean(),
        // `null` stands for "no value" in several of the documented lists.
        Kind::Text => value.is_string() || value.is_null(),
        Kind::Integer => value.is_i64(),
        Kind::Boolean | Kind::NumberIs(_) => value.is_boolean(),
        Kind::EntityKey => value.get("id").is_some_and(Value::is_string),
    };
    let wanted = one_or_several(value);
    match wanted.iter().find(|value| !is_right(value)) {
        Some(wrong) => Err(NotValid(told(wrong))),
        None if wanted.is_empty() => Err(NotValid(told(value))),
        None => Ok(()),
    }
}

fn passes(kind: Kind, operator: Operator, wanted: &Value, found: &[&Value]) -> bool {
    if let Kind::NumberIs(number) = kind {
        let is_it = found.iter().any(|value| value.as_i64() == Some(number));
        return one_or_several(wanted).iter().any(|one| one.as_bool() == Some(is_it));
    }
    let is_any = |test: &dyn Fn(&Value, &Value) -> bool| {
        one_or_several(wanted).iter().any(|one| match found {
            [] => test(one, &Value::Null),
            _ => found.iter().any(|value| test(one, value)),
        })
    };
    let is_same = |one: &Value, value: &Value| match kind {
        Kind::EntityKey => one.get("id") == Some(value),
        // Numbers are written as texts here and there.
        Kind::Integer => one == value || value.as_str().and_then(|text| text.parse().ok()) == one.as_i64(),
        Kind::Text | Kind::Boolean | Kind::NumberIs(_) => one == value,
    };
    let of_texts = |test: fn(&str, &str) -> bool| {
        is_any(&|one, value| match (one.as_str(), value.as_str()) {
            (Some(one), Some(text)) => test(&text.to_lowercase(), &one.to_lowercase()),
            _ => false,
        })
    };
    let is_there = found.iter().any(|value| !value.is_null() && value.as_str() != Some(""));
    match operator {
        Operator::Eq => is_any(&is_same),
        Operator::Neq => !is_any(&is_same),
        Operator::IsSet => wanted.as_bool() == Some(is_there),
        Operator::IsNotSet => wanted.as_bool() == Some(!is_there),
        Operator::Contains => of_texts(|text, one| text.contains(one)),
        Operator::ContainsNot => !of_texts(|text, one| text.contains(one)),
        Operator::StartsWith => of_texts(|text, one| text.starts_with(one)),
        Operator::StartsNotWith => !of_texts(|text, one| text.starts_with(one)),
        Operator::EndsWith => of_texts(|text, one| text.ends_with(one)),
        // Only instants are compared, and those elsewhere.
        Operator::Gt
        | Operator::Gte
        | Operator::Lt
        | Operator::Lte
        | Operator::Range
        | Operator::GteDays
        | Operator::LteDays => false,
    }
}

/// The values at a dotted path: arrays are gone through, `*` is every member.
pub(super) fn values_at<'a>(document: &'a Value, path: &str, found: &mut Vec<&'a Value>) {
    if let Value::Array(elements) = document {
        return elements.iter().for_each(|element| values_at(element, path, found));
    }
    if path.is_empty() {
        return found.push(document);
    }
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    match document {
        Value::Object(members) if name == "*" => {
            members.values().for_each(|member| values_at(member, rest, found));
        }
        Value::Object(members) => {
            if let Some(member) = members.get(name) {
                values_at(member, rest, found);
            }
        }
        _ => {}
    }
}

fn one_or_several(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}

fn told(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
