//! A world: one service's artefact and all the parties that it meets, each of them observable.
//!
//! Many worlds run side by side. Each has an id of its own, which is the id of its input, its environment and the name
//! of its collector, so that rows and events can be told apart; a tenant, a secret store and a table of its own; wires
//! to the emulator and the receiver, which all worlds share. A world is closed at its end: then everything that left the
//! process is searched for secrets.

pub mod artefacts;
pub mod chance;
pub mod cloud_apps_lists;
pub mod cloud_apps_pace;
pub mod cloud_apps_plays;
pub mod contract;
pub mod counted;
pub mod crashes;
pub mod defender;
pub mod defender_pace;
pub mod deployment;
pub mod deployment_play;
pub mod deployment_values;
pub mod document;
pub mod feeds;
pub mod flattened;
pub mod hunting;
pub mod iam;
pub mod judge;
pub mod pace;
pub mod parties;
pub mod payloads;
pub mod pictures;
pub mod process;
pub mod recorder;
pub mod recorder_calls;
pub mod related;
pub mod secrecy;
pub mod shift;
pub mod site;
pub mod table;
pub mod vendor_documents;
pub mod wire;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use collector::service::Service;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::receiver::{Receiver, ReceiverConfig};
use simulator::records;
use simulator::secrets::Secrets;
use simulator::tenant::{CloudAppsList, DefenderList, Endpoint, Tenant, TenantConfig};

use contract::{Asks, Promise};
use parties::{Arrival, receiver};
use process::{Ended, Process};
use secrecy::Confidential;
use table::Table;
use wire::Wire;

/// The deadline of an invocation whose deadline does not matter.
pub const AMPLE: Duration = Duration::from_secs(40);

/// The audit logs of Graph.
pub fn services() -> impl Iterator<Item = &'static Service> {
    graph::AUDIT.services.iter().copied()
}

/// The services of Graph security.
pub fn security() -> impl Iterator<Item = &'static Service> {
    graph::SECURITY.services.iter().copied()
}

/// The lists of Defender for Endpoint.
pub fn defender_lists() -> impl Iterator<Item = &'static Service> {
    endpoint::DEFENDER.services.iter().copied().filter(|service| !service.query.is_hunting())
}

/// The lists of Defender for Cloud Apps.
pub fn cloud_apps_lists() -> impl Iterator<Item = &'static Service> {
    cloud_apps::CLOUD_APPS.services.iter().copied()
}

/// The content feeds.
pub fn feeds() -> impl Iterator<Item = &'static Service> {
    office365::MANAGEMENT.services.iter().copied().filter(|service| service.query.is_content())
}

/// Every service of the artefact, in the order of the README's table.
pub fn all_services() -> impl Iterator<Item = &'static Service> {
    let later = [&office365::MANAGEMENT, &endpoint::DEFENDER, &cloud_apps::CLOUD_APPS];
    services().chain(security()).chain(later.into_iter().flat_map(|family| family.services).copied())
}

/// The service of this function; fails the test when there is none.
pub fn service(function: &str) -> &'static Service {
    all_services().find(|service| service.function == function).unwrap()
}

/// One world.
pub struct World {
    /// Its id.
    pub id: String,
    /// The service that is played.
    pub service: &'static Service,
    /// What is promised of that service.
    pub promise: &'static Promise,
    /// Microsoft.
    pub tenant: Tenant,
    /// The secret store.
    pub secrets: Secrets,
    /// The state.
    pub table: Table,
    /// The way to DynamoDB.
    pub to_dynamodb: Wire,
    /// The way to Devo.
    pub to_devo: Wire,
    filter: &'static str,
    confidential: Mutex<Confidential>,
    outputs: Mutex<Vec<Arc<Mutex<String>>>>,
    answers: Mutex<Vec<String>>,
    receivers: Mutex<Vec<Receiver>>,
    is_closed: Mutex<bool>,
}

impl World {
    /// A world of this service, its tenant empty.
    pub async fn new(service: &'static Service) -> Self {
        Self::with(service, TenantConfig::default()).await
    }

    /// The same at a tenant of another kind.
    pub async fn with(service: &'static Service, config: TenantConfig) -> Self {
        static WORLDS: AtomicU64 = AtomicU64::new(1);
        // Making it may take minutes, and a world's records are as old as they are.
        artefacts::bootstrap();
        let id = format!("w{}", WORLDS.fetch_add(1, Ordering::SeqCst));
        let (tenant, secrets) = (Tenant::start(config).await.unwrap(), Secrets::start().await.unwrap());
        let to_dynamodb = Wire::to(parties::dynamodb()).await;
        let to_devo = Wire::to(receiver().address()).await;
        let table = Table::create(parties::dynamodb(), &format!("state-{id}")).await;
        let world = Self {
            promise: contract::promise(service.function),
            id,
            service,
            tenant,
            secrets,
            table,
            to_dynamodb,
            to_devo,
            filter: "info",
            confidential: Mutex::default(),
            outputs: Mutex::default(),
            answers: Mutex::default(),
            receivers: Mutex::default(),
            is_closed: Mutex::new(false),
        };
        let (document, devo) = (world.document(), world.devo_secret());
        world.store_secrets(&document, &devo);
        world
    }

    /// The same with another log filter.
    pub fn logging(mut self, filter: &'static str) -> Self {
        self.filter = filter;
        self
    }

    /// The usual configuration document of this world.
    pub fn document(&self) -> Value {
        document::configuration(&self.enabled(), &self.tenant, &self.id)
    }

    /// The services of the usual document: a feed has its retry service beside it, and that one all feeds.
    fn enabled(&self) -> Vec<&'static Service> {
        match self.promise.asks {
            Asks::Collection(_) | Asks::Defender(_) | Asks::Hunting | Asks::CloudApps(_) => {
                vec![self.service]
            }
            Asks::Feed(_) => vec![self.service, service(feeds::URI_RETRY)],
            Asks::Queues => feeds().chain([self.service]).collect(),
        }
    }

    /// The usual document with changes to the service's settings.
    pub fn document_with(&self, settings: &Value) -> Value {
        let mut document = self.document();
        let service = &mut document["inputs"][self.service.input]["services"][self.service.name];
        for (name, value) in settings.as_object().unwrap() {
            service[name] = value.clone();
        }
        document
    }

    /// The usual Devo secret of this world.
    pub fn devo_secret(&self) -> Value {
        let receiver = receiver();
        let (chain, cert) = (receiver.pem("chain.pem"), receiver.pem("client.pem"));
        document::devo(self.to_devo.address(), &chain, &cert, &receiver.pem("client.key"))
    }

    /// Stores both secrets.
    pub fn store_secrets(&self, document: &Value, devo: &Value) {
        self.confidential.lock().unwrap().add_documents(document, devo);
        self.secrets.put("collector", &document.to_string()).unwrap();
        self.secrets.put("devo", &devo.to_string()).unwrap();
    }

    /// Adds a private key to what must stay inside, if it is not in the secrets as it is.
    pub fn keep_secret(&self, key_pem: &str) {
        self.confidential.lock().unwrap().add_key(key_pem);
    }

    /// Stores a document with changes to the service's settings.
    pub fn configure(&self, settings: &Value) {
        self.store_secrets(&self.document_with(settings), &self.devo_secret());
    }

    /// A receiver that this world has for itself, to be given a script, and the Devo secret that leads to it.
    pub async fn own_receiver(&self, config: ReceiverConfig) -> (Receiver, Value) {
        let receiver = Receiver::start(config).await.unwrap();
        self.receivers.lock().unwrap().push(receiver.clone());
        let pki = receiver.pki().unwrap();
        let client = &pki.client;
        let (cert, key) = (&client.certificate_pem, &client.private_key_pem);
        let secret = document::devo(receiver.address(), &pki.chain_pem, cert, key);
        (receiver, secret)
    }

    /// The endpoint of the service under test, which is a collection.
    pub fn endpoint(&self) -> Endpoint {
        match self.promise.asks {
            Asks::Collection(endpoint) => endpoint,
            other => panic!("{} asks no collection but {other:?}", self.service.function),
        }
    }

    /// The list of Defender for Endpoint that the service under test reads.
    pub fn list(&self) -> DefenderList {
        match self.promise.asks {
            Asks::Defender(list) => list,
            other => panic!("{} asks no list but {other:?}", self.service.function),
        }
    }

    /// The list of Defender for Cloud Apps that the service under test reads.
    pub fn filtered_list(&self) -> CloudAppsList {
        match self.promise.asks {
            Asks::CloudApps(list) => list,
            other => panic!("{} asks no list but {other:?}", self.service.function),
        }
    }

    /// Emits a made-up record of this time; gives its text.
    pub fn emit(&self, seed: u64, time: Timestamp) -> String {
        if let Asks::CloudApps(list) = self.promise.asks {
            let record = records::cloud_apps_record(list, seed, time);
            self.tenant.emit_cloud_apps(list, record.clone()).unwrap();
            return record;
        }
        if matches!(self.promise.asks, Asks::Defender(_)) {
            let record = records::defender_record(self.list(), seed, time);
            self.tenant.emit_defender(self.list(), record.clone()).unwrap();
            return record;
        }
        let record = records::record(self.endpoint(), seed, time);
        self.tenant.emit(self.endpoint(), record.clone()).unwrap();
        record
    }

    /// A new process of the artefact.
    pub async fn process(&self) -> Process {
        self.process_of(self.service.function).await
    }

    /// A new process of the artefact that plays another function over the same table and the same document.
    pub async fn process_of(&self, function: &str) -> Process {
        let process = Process::start(&self.variables(function)).await;
        self.outputs.lock().unwrap().push(process.shared_output());
        process
    }

    /// Invokes a process.
    pub async fn invoke(&self, process: &Process, event: &Value, deadline: Duration) -> Ended {
        let ended = process.invoke(event, deadline).await;
        self.answers.lock().unwrap().push(format!("{ended:?}"));
        ended
    }

    /// Invokes a new process once and ends it.
    pub async fn once(&self, event: &Value) -> Ended {
        self.once_of(self.service.function, event).await
    }

    /// The same with another function.
    pub async fn once_of(&self, function: &str, event: &Value) -> Ended {
        let process = self.process_of(function).await;
        let ended = self.invoke(&process, event, AMPLE).await;
        process.ask_to_end();
        process.ended().await;
        ended
    }

    /// A timer's tick of a new process, and its answer.
    pub async fn tick(&self) -> Value {
        self.once(&json!({})).await.answer()
    }

    /// A tick whatever the period says, and its answer.
    pub async fn force(&self) -> Value {
        self.once(&json!({"force": true})).await.answer()
    }

    /// What arrived at the shared receiver from this world.
    pub fn arrivals(&self) -> Vec<Arrival> {
        receiver().arrivals(&self.id)
    }

    /// The records among them.
    pub fn records(&self) -> Vec<Arrival> {
        self.arrivals().into_iter().filter(|arrival| !arrival.is_story()).collect()
    }

    /// The texts of the story among them, oldest first.
    pub fn story(&self) -> Vec<(String, String)> {
        let lines = self.arrivals().into_iter().filter(|arrival| arrival.tag.contains("collectors.out"));
        lines
            .map(|arrival| (arrival.tag.clone(), arrival.json()["msg"].as_str().unwrap().to_owned()))
            .collect()
    }

    /// Names of the variables and their values, as Lambda and the template set them.
    fn variables(&self, function: &str) -> Vec<(String, String)> {
        let dynamodb = format!("http://{}", self.to_dynamodb.address());
        let secrets = self.secrets.url();
        let variables = [
            ("_HANDLER", function),
            ("AWS_LAMBDA_FUNCTION_NAME", "stack-function"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "AKIDTEST"),
            ("AWS_SECRET_ACCESS_KEY", "aws+secret+access+key"),
            ("AWS_ENDPOINT_URL_DYNAMODB", &dynamodb),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &secrets),
            ("COLLECTOR_SECRET_ID", "collector"),
            ("DEVO_SECRET_ID", "devo"),
            ("STATE_TABLE", self.table.name()),
            ("COLLECTOR_NAME", &self.id),
            ("RUST_LOG", self.filter),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// Searches everything that left the process for secrets, and the tenant's log for what a good client does not do;
    /// gives how many texts were searched.
    pub async fn close(self) -> usize {
        self.assert_well_behaved();
        let mut confidential = self.confidential.lock().unwrap().clone();
        confidential.add("aws+secret+access+key");
        let rows = self.table.rows().await;
        // The key of the record hashes is kept in the table and goes nowhere else.
        let hash_keys = rows.iter().filter_map(|row| row["hash_key"].as_str()).filter(|key| key.len() > 20);
        let mut secret_outside = confidential.clone();
        hash_keys.for_each(|key| secret_outside.add(key));
        let mut searched = 0;
        let mut search = |what: &str, text: &str| {
            let needles = if what == "a row" { &confidential } else { &secret_outside };
            needles.must_not_be_in(what, text);
            searched += 1;
        };
        for output in self.outputs.lock().unwrap().iter() {
            search("the log", &output.lock().unwrap());
        }
        for answer in self.answers.lock().unwrap().iter() {
            search("an answer", answer);
        }
        for arrival in self.arrivals() {
            search("an event", &arrival.message);
        }
        for event in self.receivers.lock().unwrap().iter().flat_map(Receiver::events) {
            search("an event", &String::from_utf8_lossy(&event.message));
        }
        for row in rows {
            search("a row", &row.to_string());
        }
        *self.is_closed.lock().unwrap() = true;
        searched
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let is_closed = *self.is_closed.lock().unwrap();
        assert!(is_closed || std::thread::panicking(), "the world {} was not closed", self.id);
    }
}

/// The present, as whole seconds.
pub fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap()
}

/// So long before the present.
pub fn ago(span: SignedDuration) -> Timestamp {
    now() - span
}
