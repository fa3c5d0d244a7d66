//! The state table of one world, as an operator would look at it.

use std::net::SocketAddr;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TimeToLiveSpecification,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Number, Value};

/// A table with the keys and the time to live that the deployment gives it.
#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    name: String,
}

impl Table {
    /// Creates an empty table.
    pub async fn create(server: SocketAddr, name: &str) -> Self {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .endpoint_url(format!("http://{server}"))
            .credentials_provider(Credentials::new("AKIDTEST", "secret", None, None, "test"))
            .build();
        let client = Client::from_conf(config);
        let attribute = |key: &str| {
            let attribute = AttributeDefinition::builder().attribute_name(key);
            attribute.attribute_type(ScalarAttributeType::S).build().unwrap()
        };
        let element = |key: &str, kind: KeyType| {
            KeySchemaElement::builder().attribute_name(key).key_type(kind).build().unwrap()
        };
        client
            .create_table()
            .table_name(name)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute("pk"))
            .attribute_definitions(attribute("sk"))
            .key_schema(element("pk", KeyType::Hash))
            .key_schema(element("sk", KeyType::Range))
            .send()
            .await
            .unwrap();
        let expiry = TimeToLiveSpecification::builder().attribute_name("expires_at").enabled(true);
        let expiry = expiry.build().unwrap();
        client
            .update_time_to_live()
            .table_name(name)
            .time_to_live_specification(expiry)
            .send()
            .await
            .unwrap();
        Self { client, name: name.to_owned() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All rows, in order of their keys. The bytes of a binary member are the characters of a text.
    pub async fn rows(&self) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut start = None;
        loop {
            let scan = self.client.scan().table_name(&self.name).consistent_read(true);
            let page = scan.set_exclusive_start_key(start).send().await.unwrap();
            let items = page.items.unwrap_or_default();
            let as_object = |item: std::collections::HashMap<String, AttributeValue>| {
                Value::Object(item.into_iter().map(|(name, value)| (name, json_of(value))).collect())
            };
            rows.extend(items.into_iter().map(as_object));
            start = page.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        rows.sort_by_key(|row| format!("{} {}", row["pk"], row["sk"]));
        rows
    }

    /// The rows whose sort key begins like this.
    pub async fn rows_from(&self, beginning: &str) -> Vec<Value> {
        let rows = self.rows().await;
        rows.into_iter().filter(|row| row["sk"].as_str().unwrap().starts_with(beginning)).collect()
    }

    /// The checkpoint of the table's one partition, if there is one.
    pub async fn checkpoint(&self) -> Option<Value> {
        self.rows_from("checkpoint").await.into_iter().next()
    }

    /// The checkpoint of this function's partition, if there is one.
    pub async fn checkpoint_of(&self, function: &str) -> Option<Value> {
        let is_its =
            |row: &Value| row["pk"].as_str().is_some_and(|key| key.ends_with(&format!("#{function}")));
        self.rows_from("checkpoint").await.into_iter().find(is_its)
    }

    /// Ends the leases of the dead, as time would; whoever has given back theirs is left alone.
    pub async fn let_leases_end(&self) {
        for row in self.rows_from("checkpoint").await {
            if row["lease_expires_at"].is_null() {
                continue;
            }
            let key = |name: &str| AttributeValue::S(row[name].as_str().unwrap().to_owned());
            let update =
                self.client.update_item().table_name(&self.name).key("pk", key("pk")).key("sk", key("sk"));
            let update = update.update_expression("SET lease_expires_at = :past");
            update
                .expression_attribute_values(":past", AttributeValue::N("1".to_owned()))
                .send()
                .await
                .unwrap();
        }
    }

    /// Lets pass what the API or a request limit is waited for, as time would: the next tick may ask at once.
    pub async fn let_waits_pass(&self) {
        for row in self.rows_from("checkpoint").await {
            let key = |name: &str| AttributeValue::S(row[name].as_str().unwrap().to_owned());
            let update =
                self.client.update_item().table_name(&self.name).key("pk", key("pk")).key("sk", key("sk"));
            update.update_expression("REMOVE not_before_in_utc, source_memo").send().await.unwrap();
        }
    }

    /// Sets an instant back in the checkpoint and in the rows of queries, as if that time had passed since.
    pub async fn set_back(&self, member: &str, span: SignedDuration) {
        let rows = [self.rows_from("checkpoint").await, self.rows_from("query#").await].concat();
        for row in rows {
            let Some(instant) = row[member].as_str() else { continue };
            let earlier = instant.parse::<Timestamp>().unwrap() - span;
            let key = |name: &str| AttributeValue::S(row[name].as_str().unwrap().to_owned());
            let update =
                self.client.update_item().table_name(&self.name).key("pk", key("pk")).key("sk", key("sk"));
            let update = update.update_expression("SET #member = :earlier");
            update
                .expression_attribute_names("#member", member)
                .expression_attribute_values(":earlier", AttributeValue::S(earlier.to_string()))
                .send()
                .await
                .unwrap();
        }
    }

    /// Writes a row behind the collector's back: texts and whole numbers.
    pub async fn put(&self, row: &Value) {
        let attribute = |value: &Value| match value {
            Value::Number(number) => AttributeValue::N(number.to_string()),
            other => AttributeValue::S(other.as_str().unwrap().to_owned()),
        };
        let members = row.as_object().unwrap().iter();
        let item = members.map(|(name, value)| (name.clone(), attribute(value))).collect();
        self.client.put_item().table_name(&self.name).set_item(Some(item)).send().await.unwrap();
    }
}

fn json_of(value: AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => Value::from(text),
        AttributeValue::N(digits) => digits.parse::<Number>().map_or(Value::Null, Value::Number),
        AttributeValue::Bool(flag) => Value::from(flag),
        AttributeValue::B(bytes) => bytes.into_inner().into_iter().map(char::from).collect::<String>().into(),
        AttributeValue::L(items) => Value::Array(items.into_iter().map(json_of).collect()),
        AttributeValue::M(members) => {
            let mut sorted: Vec<_> = members.into_iter().collect();
            sorted.sort_by(|left, right| left.0.cmp(&right.0));
            let members: Map<_, _> =
                sorted.into_iter().map(|(name, member)| (name, json_of(member))).collect();
            Value::Object(members)
        }
        AttributeValue::Null(_) => Value::Null,
        other => panic!("a row holds {other:?}"),
    }
}
