//! A state row as DynamoDB keeps it.
//!
//! The key is `pk` (the partition) and `sk` (the row's key); `expires_at` is the table's TTL attribute, `data` the one
//! binary member, and every member of `Row::fields` is an attribute of its own, so that conditions, counters and an
//! operator's console can see it. `commit_token` names the commit that wrote a checkpoint last: it belongs to the
//! store alone and is no member of a row. Numbers come back in DynamoDB's spelling: `1.0` as `1`.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use collector::ports::Row;
use serde_json::{Map, Number, Value};

/// Partition key of the table.
pub const PARTITION: &str = "pk";
/// Sort key of the table.
pub const SORT: &str = "sk";
/// TTL attribute of the table, epoch seconds.
pub const EXPIRES_AT: &str = "expires_at";
/// The binary member.
pub const DATA: &str = "data";
/// Idempotency token of the commit that wrote the row last.
pub const COMMIT_TOKEN: &str = "commit_token";

/// The attributes of one item.
pub type Item = HashMap<String, AttributeValue>;

/// The key of one item.
pub fn key(partition: &str, sort: &str) -> Item {
    Item::from([
        (PARTITION.to_owned(), AttributeValue::S(partition.to_owned())),
        (SORT.to_owned(), AttributeValue::S(sort.to_owned())),
    ])
}

/// The whole item of a row. Refused, with the row and the member named, when a member has a name the table needs for
/// itself.
pub fn item_of(partition: &str, row: &Row) -> Result<Item, String> {
    let mut item = key(partition, &row.key);
    item.extend(attributes_of(row)?);
    Ok(item)
}

/// The attributes of a row without its key, in the order of their names.
pub fn attributes_of(row: &Row) -> Result<BTreeMap<String, AttributeValue>, String> {
    let mut attributes = BTreeMap::new();
    for (name, value) in &row.fields {
        if is_reserved(name) {
            return Err(format!(
                "row {} has a member {name}, a name that the table keeps for itself",
                row.key
            ));
        }
        attributes.insert(name.clone(), attribute_of(value));
    }
    if let Some(expires_at) = row.expires_at {
        attributes.insert(EXPIRES_AT.to_owned(), AttributeValue::N(expires_at.to_string()));
    }
    if let Some(data) = &row.data {
        attributes.insert(DATA.to_owned(), AttributeValue::B(Blob::new(data.to_vec())));
    }
    Ok(attributes)
}

/// The row of an item. Refused, with row and attribute named, when an attribute is of a type that no row holds.
pub fn row_of(mut item: Item) -> Result<Row, String> {
    item.remove(PARTITION);
    item.remove(COMMIT_TOKEN);
    let sort_key = match item.remove(SORT) {
        Some(AttributeValue::S(text)) => text,
        _ => return Err(format!("an item has no {SORT} of type S: the table is not this collector's")),
    };
    let expires_at = match item.remove(EXPIRES_AT) {
        None => None,
        Some(AttributeValue::N(digits)) => digits.parse().ok(),
        Some(_) => return Err(format!("row {sort_key} has an {EXPIRES_AT} that is no number")),
    };
    let data = match item.remove(DATA) {
        None => None,
        Some(AttributeValue::B(blob)) => Some(Bytes::from(blob.into_inner())),
        Some(_) => return Err(format!("row {sort_key} has a {DATA} that is not binary")),
    };
    let mut fields = Map::new();
    for (name, attribute) in item.into_iter().collect::<BTreeMap<_, _>>() {
        let value = value_of(attribute)
            .ok_or_else(|| format!("row {sort_key} has a member {name} of a type that no row holds"))?;
        fields.insert(name, value);
    }
    Ok(Row { key: sort_key, fields, data, expires_at })
}

/// The attribute of a JSON value.
pub fn attribute_of(value: &Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(flag) => AttributeValue::Bool(*flag),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Array(members) => AttributeValue::L(members.iter().map(attribute_of).collect()),
        Value::Object(members) => AttributeValue::M(
            members.iter().map(|(name, member)| (name.clone(), attribute_of(member))).collect(),
        ),
    }
}

/// True for the names that are not free for members.
fn is_reserved(name: &str) -> bool {
    matches!(name, PARTITION | SORT | EXPIRES_AT | DATA | COMMIT_TOKEN)
}

/// The JSON value of an attribute; sets become lists, `None` stands for binary.
fn value_of(attribute: AttributeValue) -> Option<Value> {
    match attribute {
        AttributeValue::Null(_) => Some(Value::Null),
        AttributeValue::Bool(flag) => Some(Value::Bool(flag)),
        AttributeValue::N(digits) => number_of(&digits),
        AttributeValue::S(text) => Some(Value::String(text)),
        AttributeValue::Ss(texts) => Some(texts.into_iter().map(Value::String).collect()),
        AttributeValue::Ns(numbers) => numbers.iter().map(|digits| number_of(digits)).collect(),
        AttributeValue::L(members) => members.into_iter().map(value_of).collect(),
        AttributeValue::M(members) => members
            .into_iter()
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .map(|(name, member)| value_of(member).map(|value| (name, value)))
            .collect::<Option<Map<_, _>>>()
            .map(Value::Object),
        _ => None,
    }
}

/// A number: an integer where it is one, else the nearest float.
fn number_of(digits: &str) -> Option<Value> {
    if let Ok(integer) = digits.parse::<i64>() {
        return Some(Value::from(integer));
    }
    if let Ok(integer) = digits.parse::<u64>() {
        return Some(Value::from(integer));
    }
    digits.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_of_every_json_type_comes_back_as_it_was() {
        let row = Row {
            key: "checkpoint".to_owned(),
            fields: json!({
                "text": "ü \u{1f600} \n", "empty": "", "integer": -7, "large": u64::MAX, "float": 0.25,
                "flag": false, "nothing": null, "list": [1, "two", [], {}],
                "map": {"window": {"from": "2026-11-20T00:00:00Z", "to": null}},
            })
            .as_object()
            .unwrap()
            .clone(),
            data: Some(Bytes::from_static(b"\x00\xff")),
            expires_at: Some(1_763_632_800),
        };
        assert_eq!(row_of(item_of("ab123#graph-sign-ins", &row).unwrap()).unwrap(), row);
    }

    #[test]
    fn a_member_cannot_take_a_name_the_table_needs() {
        for name in [PARTITION, SORT, EXPIRES_AT, DATA, COMMIT_TOKEN] {
            let fields = Map::from_iter([(name.to_owned(), json!("x"))]);
            let problem =
                item_of("p", &Row { key: "queue".to_owned(), fields, ..Row::default() }).unwrap_err();
            assert!(problem.contains("queue") && problem.contains(name), "{problem}");
        }
    }

    #[test]
    fn an_item_that_is_no_row_is_refused_by_name() {
        let cases = [
            (DATA, AttributeValue::S("text".to_owned())),
            (EXPIRES_AT, AttributeValue::S("tomorrow".to_owned())),
            ("picture", AttributeValue::B(Blob::new(vec![1]))),
            ("pictures", AttributeValue::L(vec![AttributeValue::B(Blob::new(vec![1]))])),
        ];
        for (name, attribute) in cases {
            let mut item = key("p", "checkpoint");
            item.insert(name.to_owned(), attribute);
            let problem = row_of(item).unwrap_err();
            assert!(problem.contains("checkpoint") && problem.contains(name), "{problem}");
        }
        assert!(row_of(Item::new()).unwrap_err().contains("not this collector's"));
    }

    #[test]
    fn sets_that_others_wrote_are_read_as_lists() {
        let mut item = key("p", "checkpoint");
        item.insert("ids".to_owned(), AttributeValue::Ss(vec!["a".to_owned(), "b".to_owned()]));
        item.insert("counts".to_owned(), AttributeValue::Ns(vec!["1".to_owned(), "2.5".to_owned()]));
        assert_eq!(
            Value::Object(row_of(item).unwrap().fields),
            json!({"ids": ["a", "b"], "counts": [1, 2.5]})
        );
    }
}
