//! What IAM is asked when a request arrives at DynamoDB or Secrets Manager.
//!
//! The operation of a request is not always the action that is asked about: the writes of a transaction are judged one
//! by one, as PutItem, UpdateItem, DeleteItem or ConditionCheckItem, each on its own item. The resource is the ARN of
//! the table or the secret, and the leading keys are the values of the table's partition key.

use serde_json::Value;

use super::iam::Call;

/// Partition key of the collector's table.
const PARTITION_KEY: &str = "pk";

/// Whose resources they are.
#[derive(Debug, Clone)]
pub struct Account {
    /// For example `us-east-1`.
    pub region: String,
    /// Twelve digits.
    pub number: String,
}

impl Account {
    /// ARN of a table.
    pub fn table(&self, name: &str) -> String {
        if name.starts_with("arn:") {
            return name.to_owned();
        }
        format!("arn:aws:dynamodb:{}:{}:table/{name}", self.region, self.number)
    }

    /// ARN of a log stream in the group of this function, as Lambda names it.
    pub fn log_stream(&self, function: &str) -> String {
        let group = format!("arn:aws:logs:{}:{}:log-group:/aws/lambda/{function}", self.region, self.number);
        format!("{group}:log-stream:2026/11/20/[$LATEST]0123456789abcdef")
    }
}

/// The calls of a request, by its `X-Amz-Target` and its body; in words, what keeps it from being judged.
pub fn calls_of(target: &str, body: &[u8], account: &Account) -> Result<Vec<Call>, String> {
    let body: Value = serde_json::from_slice(body).map_err(|error| format!("{target}: no JSON: {error}"))?;
    match target.split_once('.') {
        Some(("secretsmanager", operation)) => {
            let secret = body["SecretId"].as_str().filter(|id| id.starts_with("arn:"));
            let secret =
                secret.ok_or_else(|| format!("{target} names no complete ARN: {}", body["SecretId"]))?;
            Ok(vec![Call::plain(&format!("secretsmanager:{operation}"), secret)])
        }
        Some(("DynamoDB_20120810", operation)) => of_table(operation, &body, account),
        _ => Err(format!("`{target}` is no operation of a service that is judged")),
    }
}

fn of_table(operation: &str, body: &Value, account: &Account) -> Result<Vec<Call>, String> {
    match operation {
        "GetItem" | "PutItem" | "UpdateItem" | "DeleteItem" | "Query" => {
            Ok(vec![call(operation, body, account)?])
        }
        "TransactWriteItems" => items(body, "TransactItems")?
            .iter()
            .map(|item| {
                let (kind, inner) = only_member(item)?;
                let action =
                    if kind == "ConditionCheck" { "ConditionCheckItem" } else { &format!("{kind}Item") };
                call(action, inner, account)
            })
            .collect(),
        "TransactGetItems" => items(body, "TransactItems")?
            .iter()
            .map(|item| call("GetItem", only_member(item)?.1, account))
            .collect(),
        "BatchGetItem" | "BatchWriteItem" => batch(operation, body, account),
        _ => Err(format!("dynamodb:{operation} is not known here: teach it which items it touches")),
    }
}

/// One call on one item, or on one partition.
fn call(action: &str, request: &Value, account: &Account) -> Result<Call, String> {
    let table = request["TableName"].as_str().ok_or_else(|| format!("{action} names no table: {request}"))?;
    let mut resource = account.table(table);
    if let Some(index) = request["IndexName"].as_str() {
        resource.push_str(&format!("/index/{index}"));
    }
    let key = match action {
        "PutItem" => partition_of(&request["Item"]),
        "Query" => queried(request),
        _ => partition_of(&request["Key"]),
    };
    let key = key.ok_or_else(|| format!("{action} of which partition? {request}"))?;
    Ok(Call::on_keys(&format!("dynamodb:{action}"), &resource, &[&key]))
}

/// A batch is one call a table, on the partitions of all its items.
fn batch(operation: &str, body: &Value, account: &Account) -> Result<Vec<Call>, String> {
    let tables = body["RequestItems"].as_object().ok_or_else(|| format!("{operation} without items"))?;
    let of_table = |(table, requests): (&String, &Value)| {
        let keys: Option<Vec<String>> = match requests.get("Keys").and_then(Value::as_array) {
            Some(keys) => keys.iter().map(partition_of).collect(),
            None => requests.as_array().into_iter().flatten().map(written).collect(),
        };
        let keys = keys.filter(|keys| !keys.is_empty());
        let keys = keys.ok_or_else(|| format!("{operation} of which partitions? {requests}"))?;
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        Ok(Call::on_keys(&format!("dynamodb:{operation}"), &account.table(table), &keys))
    };
    tables.iter().map(of_table).collect()
}

fn written(request: &Value) -> Option<String> {
    partition_of(&request["PutRequest"]["Item"]).or_else(|| partition_of(&request["DeleteRequest"]["Key"]))
}

fn partition_of(item: &Value) -> Option<String> {
    item[PARTITION_KEY]["S"].as_str().map(str::to_owned)
}

/// The partition of a query: what its condition compares the partition key with.
fn queried(request: &Value) -> Option<String> {
    let condition = request["KeyConditionExpression"].as_str()?;
    let comparison = condition.split(" AND ").find_map(|part| part.split_once('='));
    let (name, value) = comparison.map(|(left, right)| (left.trim(), right.trim()))?;
    let name = request["ExpressionAttributeNames"][name].as_str().unwrap_or(name);
    let value = request["ExpressionAttributeValues"][value]["S"].as_str();
    value.filter(|_| name == PARTITION_KEY).map(str::to_owned)
}

fn items<'a>(body: &'a Value, name: &str) -> Result<&'a Vec<Value>, String> {
    body[name].as_array().ok_or_else(|| format!("no {name}: {body}"))
}

fn only_member(item: &Value) -> Result<(&str, &Value), String> {
    let members = item.as_object().filter(|members| members.len() == 1);
    let member = members.and_then(|members| members.iter().next());
    member.map(|(name, value)| (name.as_str(), value)).ok_or_else(|| format!("no single operation: {item}"))
}
