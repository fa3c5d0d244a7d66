//! What the tests stand on: DynamoDB's API served from memory on a port of its own, a wire in front of it that can
//! lose answers, a tenant that knows one client secret, and rows to store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod tenant;
pub mod wire;

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_host::attempts::Patience;
use aws_host::dynamo::DynamoStore;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use collector::ports::{CHECKPOINT_KEY, Commit, Guard, LeaseRequest, Row, Write, lease_fields};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The table of all tests.
pub const TABLE: &str = "state";
/// The partition of all tests.
pub const PARTITION: &str = "ab123#graph-directory-audits";
/// The present of all tests, epoch milliseconds.
pub const NOW_MS: i64 = 1_763_632_800_000;

/// A DynamoDB that lives as long as the test, and what it takes to talk to it.
pub struct Dynamo {
    /// Where it listens, `127.0.0.1:port`.
    pub address: String,
    /// A client beside the store under test.
    pub client: Client,
}

impl Dynamo {
    /// Serves an empty table.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let database = dynoxide::Database::memory().unwrap();
        tokio::spawn(dynoxide::server::serve_on(listener, database));
        let client = Client::new(&sdk_config(&address));
        let attribute = |name: &str| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build()
                .unwrap()
        };
        let element = |name: &str, kind: KeyType| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
        };
        client
            .create_table()
            .table_name(TABLE)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute("pk"))
            .attribute_definitions(attribute("sk"))
            .key_schema(element("pk", KeyType::Hash))
            .key_schema(element("sk", KeyType::Range))
            .send()
            .await
            .unwrap();
        Self { address, client }
    }

    /// The store under test, connected directly.
    pub fn store(&self) -> DynamoStore {
        store_at(&self.address)
    }

    /// The item of a row as the table has it.
    pub async fn item(&self, sort_key: &str) -> Option<aws_host::rows::Item> {
        let answer = self
            .client
            .get_item()
            .table_name(TABLE)
            .set_key(Some(aws_host::rows::key(PARTITION, sort_key)))
            .consistent_read(true)
            .send()
            .await
            .unwrap();
        answer.item
    }

    /// Writes a row behind the store's back.
    pub async fn put(&self, row: &Row) {
        self.put_into(PARTITION, row).await;
    }

    /// Writes a row of that partition behind the store's back.
    pub async fn put_into(&self, partition: &str, row: &Row) {
        let item = aws_host::rows::item_of(partition, row).unwrap();
        self.client.put_item().table_name(TABLE).set_item(Some(item)).send().await.unwrap();
    }
}

/// The store that talks to this address, with little patience.
pub fn store_at(address: &str) -> DynamoStore {
    let patience = Patience {
        total: Duration::from_secs(1),
        attempt: Duration::from_secs(2),
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(50),
    };
    DynamoStore::with_patience(&sdk_config(address), TABLE, patience)
}

/// An SDK configuration that reads neither environment nor files.
pub fn sdk_config(address: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(format!("http://{address}"))
        .credentials_provider(aws_sdk_dynamodb::config::SharedCredentialsProvider::new(Credentials::new(
            "AKIDTEST", "secret", None, None, "test",
        )))
        .build()
}

/// A request for the lease by this writer, under the request id `request-{writer}`, for a minute from `now_ms`.
pub fn lease(writer: &str, now_ms: i64) -> LeaseRequest {
    LeaseRequest {
        owner: format!("request-{writer}"),
        writer: writer.to_owned(),
        now_ms,
        expires_at_ms: now_ms + 60_000,
        readable_version: 1,
        fresh_hash_key: "0123456789abcdef0123456789abcdef".to_owned(),
    }
}

/// A row with these members.
pub fn row(key: &str, fields: Value) -> Row {
    Row { key: key.to_owned(), fields: fields.as_object().unwrap().clone(), ..Row::default() }
}

/// A commit by this writer that makes the checkpoint one version higher and sets `last_event_time_in_utc`.
pub fn commit(writer: &str, version: u64, position: &str, writes: Vec<Write>) -> Commit {
    Commit {
        partition: PARTITION.to_owned(),
        guard: Guard { writer: writer.to_owned(), version },
        checkpoint: row(
            CHECKPOINT_KEY,
            json!({
                lease_fields::VERSION: version + 1, lease_fields::WRITER: writer,
                lease_fields::OWNER: format!("request-{writer}"), lease_fields::EXPIRES_AT: NOW_MS + 60_000,
                lease_fields::PERSISTENCE_VERSION: 1, "last_event_time_in_utc": position,
            }),
        ),
        writes,
        token: format!("{writer}-{version}-{position}"),
    }
}
