//! Positions, record hashes and queues in DynamoDB.
//!
//! Taking a lease is one conditional UpdateItem that answers with the checkpoint; a commit is one PutItem when only the
//! checkpoint changes and one transaction otherwise, both on the condition that the checkpoint still is the version
//! this invocation wrote. So an idle tick costs two writes and no read beside what it asks for. A refused condition
//! brings the row along, which tells a lost race from our own success whose answer was lost.

use std::collections::HashMap;
use std::hash::Hash;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Builder, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::error::TransactionCanceledException;
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use collector::ports::{
    CHECKPOINT_KEY, Commit, Guard, LeaseRequest, Limits, Row, StateError, StateStore, Write, lease_fields,
};
use serde_json::Value;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::attempts::{Failure, Patience, persistently, sort};
use crate::rows::{self, COMMIT_TOKEN, Item, PARTITION, SORT};

/// The lease is free, or over.
const LEASE_IS_FREE: &str = "(attribute_not_exists(#lease_expires_at) OR #lease_expires_at < :now)";
/// The row is of a format that this release reads; a comparison with another type than a number is false.
const ROW_IS_READABLE: &str = "(attribute_not_exists(#persistence_version) OR #persistence_version <= :readable) \
     AND (attribute_not_exists(#version) OR attribute_type(#version, :number))";
/// What taking the lease changes.
const TAKE_LEASE: &str = "SET #lease_owner = :owner, #lease_expires_at = :expires_at, #writer = :writer, \
     #version = if_not_exists(#version, :zero) + :one, #hash_key = if_not_exists(#hash_key, :hash_key)";
/// The checkpoint is what this invocation wrote last.
const GUARD_HOLDS: &str = "#version = :version AND #writer = :writer";

/// The state of all services in one DynamoDB table (`pk`, `sk`, TTL `expires_at`).
#[derive(Debug, Clone)]
pub struct DynamoStore {
    client: Client,
    table: String,
    patience: Patience,
}

impl DynamoStore {
    /// A store in this table. Opens no connection.
    pub fn new(config: &SdkConfig, table: impl Into<String>) -> Self {
        Self::with_patience(config, table, Patience::default())
    }

    /// The same with other times.
    pub fn with_patience(config: &SdkConfig, table: impl Into<String>, patience: Patience) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(patience.attempt / 2)
            .operation_timeout(patience.attempt)
            .build();
        let client_config =
            Builder::from(config).retry_config(RetryConfig::disabled()).timeout_config(timeouts).build();
        Self { client: Client::from_conf(client_config), table: table.into(), patience }
    }

    /// One attempt to take the lease.
    async fn try_acquire(&self, partition: &str, request: &LeaseRequest) -> Result<Item, Failure> {
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(rows::key(partition, CHECKPOINT_KEY)))
            .condition_expression(format!("{LEASE_IS_FREE} AND {ROW_IS_READABLE}"))
            .update_expression(TAKE_LEASE)
            .set_expression_attribute_names(Some(names(&[
                lease_fields::OWNER,
                lease_fields::EXPIRES_AT,
                lease_fields::WRITER,
                lease_fields::VERSION,
                lease_fields::PERSISTENCE_VERSION,
                lease_fields::HASH_KEY,
            ])))
            .expression_attribute_values(":now", number(request.now_ms))
            .expression_attribute_values(":readable", number(request.readable_version))
            .expression_attribute_values(":number", text("N"))
            .expression_attribute_values(":owner", text(&request.owner))
            .expression_attribute_values(":expires_at", number(request.expires_at_ms))
            .expression_attribute_values(":writer", text(&request.writer))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":hash_key", text(&request.fresh_hash_key))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            Ok(output) => Ok(output.attributes.unwrap_or_default()),
            Err(SdkError::ServiceError(service)) => match service.into_err() {
                UpdateItemError::ConditionalCheckFailedException(refusal) => {
                    Err(Failure::Refused(refusal.item))
                }
                other => Err(sort_operation(other)),
            },
            Err(error) => Err(sort(&error)),
        }
    }

    /// One attempt to store a row without any condition.
    async fn try_leave(&self, item: Item) -> Result<(), Failure> {
        let answer = self.client.put_item().table_name(&self.table).set_item(Some(item)).send().await;
        answer.map(|_| ()).map_err(|error| sort(&error))
    }

    /// One attempt of a commit that changes the checkpoint alone.
    async fn try_put(&self, checkpoint: Item, guard: &Guard) -> Result<(), Failure> {
        let answer = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(checkpoint))
            .condition_expression(GUARD_HOLDS)
            .set_expression_attribute_names(Some(names(&[lease_fields::VERSION, lease_fields::WRITER])))
            .expression_attribute_values(":version", number(guard.version))
            .expression_attribute_values(":writer", text(&guard.writer))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(service)) => match service.into_err() {
                PutItemError::ConditionalCheckFailedException(refusal) => Err(Failure::Refused(refusal.item)),
                other => Err(sort_operation(other)),
            },
            Err(error) => Err(sort(&error)),
        }
    }

    /// One attempt of a commit of several rows; the first action is the checkpoint's.
    async fn try_transaction(&self, actions: Vec<TransactWriteItem>, token: &str) -> Result<(), Failure> {
        let answer = self
            .client
            .transact_write_items()
            .set_transact_items(Some(actions))
            .client_request_token(token)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(service)) => match service.into_err() {
                TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                    Err(sort_cancellation(cancelled))
                }
                other => Err(sort_operation(other)),
            },
            Err(error) => Err(sort(&error)),
        }
    }

    /// One page of a query, and the last key that was looked at if there may be more.
    async fn try_query(
        &self,
        partition: &str,
        first: &str,
        last: &str,
    ) -> Result<(Vec<Item>, Option<String>), Failure> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :first AND :last")
            .set_expression_attribute_names(Some(names(&[PARTITION, SORT])))
            .expression_attribute_values(":pk", text(partition))
            .expression_attribute_values(":first", text(first))
            .expression_attribute_values(":last", text(last))
            .send()
            .await;
        match answer {
            Ok(output) => {
                let end = output.last_evaluated_key.and_then(|mut key| key.remove(SORT));
                let end = end.and_then(|key| key.as_s().ok().cloned());
                Ok((output.items.unwrap_or_default(), end))
            }
            Err(error) => Err(sort(&error)),
        }
    }

    /// The commit as the actions of one transaction, the checkpoint's first.
    fn actions(&self, commit: &Commit, checkpoint: Item) -> Result<Vec<TransactWriteItem>, String> {
        let mut actions = Vec::with_capacity(commit.writes.len() + 1);
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(checkpoint))
            .condition_expression(GUARD_HOLDS)
            .set_expression_attribute_names(Some(names(&[lease_fields::VERSION, lease_fields::WRITER])))
            .expression_attribute_values(":version", number(commit.guard.version))
            .expression_attribute_values(":writer", text(&commit.guard.writer))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(incomplete)?;
        actions.push(TransactWriteItem::builder().put(put).build());
        for write in &commit.writes {
            actions.extend(self.action(&commit.partition, write)?);
        }
        Ok(actions)
    }

    /// One change beside the checkpoint; `None` when it changes nothing.
    fn action(&self, partition: &str, write: &Write) -> Result<Option<TransactWriteItem>, String> {
        let action = TransactWriteItem::builder();
        let complete = match write {
            Write::Put(row) => {
                let item = rows::item_of(partition, row)?;
                let put = Put::builder().table_name(&self.table).set_item(Some(item)).build();
                action.put(put.map_err(incomplete)?)
            }
            Write::Delete(sort_key) => {
                let item_key = rows::key(partition, sort_key);
                let delete = Delete::builder().table_name(&self.table).set_key(Some(item_key)).build();
                action.delete(delete.map_err(incomplete)?)
            }
            Write::Add(row) => match self.addition(partition, row)? {
                Some(update) => action.update(update),
                None => return Ok(None),
            },
        };
        Ok(Some(complete.build()))
    }

    /// Numbers of the row are added, everything else is set. `None` for a row without members.
    fn addition(&self, partition: &str, row: &Row) -> Result<Option<Update>, String> {
        let mut update =
            Update::builder().table_name(&self.table).set_key(Some(rows::key(partition, &row.key)));
        let mut added = Vec::new();
        let mut set = Vec::new();
        for (index, (name, attribute)) in rows::attributes_of(row)?.into_iter().enumerate() {
            // `expires_at` is a number that is not counted.
            if matches!(attribute, AttributeValue::N(_)) && name != rows::EXPIRES_AT {
                added.push(format!("#n{index} :v{index}"));
            } else {
                set.push(format!("#n{index} = :v{index}"));
            }
            update = update
                .expression_attribute_names(format!("#n{index}"), name)
                .expression_attribute_values(format!(":v{index}"), attribute);
        }
        let clauses: Vec<String> = [("ADD", added), ("SET", set)]
            .into_iter()
            .filter(|(_, parts)| !parts.is_empty())
            .map(|(verb, parts)| format!("{verb} {}", parts.join(", ")))
            .collect();
        if clauses.is_empty() {
            return Ok(None);
        }
        update.update_expression(clauses.join(" ")).build().map(Some).map_err(incomplete)
    }

    /// A failure in the words of the port, the table and the remedy named.
    fn state_error(&self, failure: Failure) -> StateError {
        let table = &self.table;
        let (code, message) = match failure {
            Failure::Unknown(message) => return StateError::Unknown(format!("table {table}: {message}")),
            Failure::Refused(_) => return StateError::LeaseLost,
            Failure::Busy(message) => {
                return StateError::Unavailable(format!(
                    "table {table} is throttled ({message}): give it on-demand capacity or raise its limits"
                ));
            }
            Failure::Unreachable(message) => {
                return StateError::Unavailable(format!(
                    "table {table} cannot be reached ({message}): give the function a route to DynamoDB, \
                     in a VPC by a gateway endpoint"
                ));
            }
            Failure::Rejected { code, message } => (code, message),
        };
        let remedy = match code.as_str() {
            "ResourceNotFoundException" => {
                "set STATE_TABLE to the name of a table of this region with the keys pk and sk, both of type S"
            }
            "AccessDeniedException" => {
                "allow the function's role dynamodb:UpdateItem, PutItem, DeleteItem and Query on its own partition"
            }
            "NoCredentials" | "UnrecognizedClientException" | "ExpiredTokenException" => {
                "give the function a role whose credentials are valid"
            }
            "IdempotentParameterMismatchException" => "an idempotency token was used for two commits",
            _ => "the request was refused as it is; the table needs the keys pk and sk, both of type S",
        };
        StateError::Unavailable(format!("table {table}: {code}: {message}: {remedy}"))
    }
}

impl StateStore for DynamoStore {
    /// DynamoDB's limits in decimal units: the difference to 4 MiB and 400 KiB is room for keys and attribute names.
    fn limits(&self) -> Limits {
        Limits { rows: 100, commit_bytes: 4_000_000, row_bytes: 400_000 }
    }

    async fn acquire(&self, partition: &str, request: &LeaseRequest) -> Result<Row, StateError> {
        match persistently(self.patience, || self.try_acquire(partition, request)).await {
            Ok(item) => rows::row_of(item).map_err(|problem| self.unreadable(&problem)),
            Err(Failure::Refused(Some(item))) => {
                let row = rows::row_of(item).map_err(|problem| self.unreadable(&problem))?;
                refused_lease(row, request)
            }
            Err(failure) => Err(self.state_error(failure)),
        }
    }

    async fn query(&self, partition: &str, first: &str, last: &str) -> Result<Vec<Row>, StateError> {
        let (mut found, mut rest) = self.query_part(partition, first, last).await?;
        while let Some(from) = rest {
            let (rows, behind) = self.query_part(partition, &from, last).await?;
            found.extend(rows);
            rest = behind;
        }
        Ok(found)
    }

    /// A megabyte, as DynamoDB gives it.
    async fn query_part(
        &self,
        partition: &str,
        first: &str,
        last: &str,
    ) -> Result<(Vec<Row>, Option<String>), StateError> {
        if first > last || last.is_empty() {
            return Ok((Vec::new(), None));
        }
        // No key is empty, and DynamoDB refuses to compare one with an empty text.
        let first = if first.is_empty() { "\0" } else { first };
        let part = persistently(self.patience, || self.try_query(partition, first, last)).await;
        let (items, end) = part.map_err(|failure| match failure {
            // Nothing is in doubt after a read.
            Failure::Unknown(message) => self.state_error(Failure::Unreachable(message)),
            other => self.state_error(other),
        })?;
        let read = items.into_iter().map(rows::row_of).collect::<Result<Vec<Row>, String>>();
        let rows = read.map_err(|problem| self.unreadable(&problem))?;
        // The key that follows this one.
        Ok((rows, end.map(|key| format!("{key}\0"))))
    }

    async fn leave(&self, partition: &str, row: &Row) -> Result<(), StateError> {
        let item = rows::item_of(partition, row).map_err(|problem| self.unreadable(&problem))?;
        persistently(self.patience, || self.try_leave(item.clone()))
            .await
            .map_err(|failure| self.state_error(failure))
    }

    async fn commit(&self, commit: &Commit) -> Result<(), StateError> {
        let mut checkpoint = rows::item_of(&commit.partition, &commit.checkpoint)
            .map_err(|problem| self.unreadable(&problem))?;
        checkpoint.insert(COMMIT_TOKEN.to_owned(), text(&commit.token));
        let outcome = if commit.writes.is_empty() {
            persistently(self.patience, || self.try_put(checkpoint.clone(), &commit.guard)).await
        } else {
            let actions = self.actions(commit, checkpoint).map_err(|problem| self.unreadable(&problem))?;
            let token = request_token(commit);
            persistently(self.patience, || self.try_transaction(actions.clone(), &token)).await
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(Failure::Refused(Some(item))) if is_our_own(&item, commit) => Ok(()),
            Err(failure) => Err(self.state_error(failure)),
        }
    }
}

impl DynamoStore {
    /// A row that cannot be read or written as it is.
    fn unreadable(&self, problem: &str) -> StateError {
        StateError::Unavailable(format!("table {}: {problem}", self.table))
    }
}

/// Why the lease was refused, or the row after all when it is ours already: the first answer was lost.
fn refused_lease(row: Row, request: &LeaseRequest) -> Result<Row, StateError> {
    let member = |name: &str| row.fields.get(name);
    let owner = member(lease_fields::OWNER).and_then(Value::as_str).unwrap_or("somebody without a name");
    let lease_runs =
        member(lease_fields::EXPIRES_AT).and_then(Value::as_i64).is_some_and(|end| end >= request.now_ms);
    if lease_runs && member(lease_fields::WRITER).and_then(Value::as_str) == Some(request.writer.as_str()) {
        return Ok(row);
    }
    let newer = |found: String| Err(StateError::Newer { found, readable: request.readable_version });
    if let Some(format) = member(lease_fields::PERSISTENCE_VERSION) {
        match format.as_f64() {
            Some(_) if format.as_u64().is_some_and(|number| number <= request.readable_version) => {}
            Some(_) => return newer(format.to_string()),
            None => return newer(format.as_str().map_or_else(|| format.to_string(), str::to_owned)),
        }
    }
    for name in [lease_fields::VERSION, lease_fields::EXPIRES_AT] {
        if let Some(value) = member(name)
            && !value.is_number()
        {
            return newer(format!("unknown, its member {name} is no number"));
        }
    }
    Err(StateError::Locked { owner: owner.to_owned() })
}

/// The commit's token as DynamoDB gets it: there a token is one of the whole account, here one of its partition.
fn request_token(commit: &Commit) -> String {
    let mut hasher = SipHasher13::new();
    (&commit.partition, &commit.token).hash(&mut hasher);
    format!("{:032x}", hasher.finish128().as_u128())
}

/// True when the checkpoint is what this very commit would write: it was done, and only its answer was lost.
fn is_our_own(item: &Item, commit: &Commit) -> bool {
    item.get(lease_fields::VERSION) == Some(&number(commit.guard.version + 1))
        && item.get(lease_fields::WRITER) == Some(&text(&commit.guard.writer))
        && item.get(COMMIT_TOKEN) == Some(&text(&commit.token))
}

/// Sorts a cancelled transaction: the checkpoint's condition counts first, then what a retry can mend.
fn sort_cancellation(cancelled: TransactionCanceledException) -> Failure {
    let reasons = cancelled.cancellation_reasons.unwrap_or_default();
    let mut passing = None;
    let mut lasting = None;
    for (index, reason) in reasons.into_iter().enumerate() {
        let code = reason.code.unwrap_or_default();
        let message = format!("row {index} of the commit: {}", reason.message.unwrap_or_default());
        match code.as_str() {
            "None" | "" => {}
            "ConditionalCheckFailed" => return Failure::Refused(reason.item),
            "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded" => {
                passing = Some(Failure::Busy(format!("{code}: {message}")));
            }
            _ => lasting = Some(Failure::Rejected { code, message }),
        }
    }
    lasting
        .or(passing)
        .unwrap_or_else(|| Failure::Busy("TransactionCanceledException without a reason".to_owned()))
}

/// Sorts a service error that holds no item.
fn sort_operation<E>(error: E) -> Failure
where
    E: aws_sdk_dynamodb::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    sort(&SdkError::<E, ()>::service_error(error, ()))
}

/// Names for an expression: `#member` stands for `member`, as several are reserved words.
fn names(members: &[&str]) -> HashMap<String, String> {
    members.iter().map(|member| (format!("#{member}"), (*member).to_owned())).collect()
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn incomplete(error: BuildError) -> String {
    format!("a request could not be built: {error}")
}
