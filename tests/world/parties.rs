//! The parties that are processes of their own and serve all tests of this binary: DynamoDB's API and the receiver.
//!
//! They are started when first needed and end with the test binary: each of them reads its standard input, which nobody
//! writes to and which ends with its starter. What the receiver has written down is read from its file, sorted by the
//! world that it belongs to.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use serde_json::Value;

/// One event that arrived at the receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Number of its connection.
    pub connection: u64,
    /// HOST of the header.
    pub host: String,
    /// The Devo tag.
    pub tag: String,
    /// The message, byte for byte.
    pub message: String,
}

impl Arrival {
    /// The message as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.message).unwrap()
    }

    /// True for the collector's own story, false for records.
    pub fn is_story(&self) -> bool {
        self.tag.starts_with("devo.")
    }
}

/// Where DynamoDB's API listens.
pub fn dynamodb() -> SocketAddr {
    static EMULATOR: OnceLock<(SocketAddr, Child)> = OnceLock::new();
    let (address, _) = EMULATOR.get_or_init(|| {
        let (child, line) = start(env!("CARGO_BIN_EXE_dynamodb"));
        (line.parse().unwrap(), child)
    });
    *address
}

/// The receiver.
pub fn receiver() -> &'static ReceiverProcess {
    static RECEIVER: OnceLock<ReceiverProcess> = OnceLock::new();
    RECEIVER.get_or_init(ReceiverProcess::start)
}

/// The receiver's process, and what is known of its journal.
pub struct ReceiverProcess {
    address: SocketAddr,
    folder: PathBuf,
    journal: Mutex<Journal>,
    _child: Child,
}

impl ReceiverProcess {
    fn start() -> Self {
        let (child, line) = start(env!("CARGO_BIN_EXE_receiver"));
        let told: Value = serde_json::from_str(&line).unwrap();
        let folder = PathBuf::from(told["folder"].as_str().unwrap());
        let file = File::open(folder.join("events.jsonl")).unwrap();
        Self {
            address: told["address"].as_str().unwrap().parse().unwrap(),
            journal: Mutex::new(Journal { file, read: 0, arrivals: BTreeMap::new(), ends: BTreeMap::new() }),
            folder,
            _child: child,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// One of its files, for example `client.pem`.
    pub fn pem(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap()
    }

    /// What arrived so far from this world, in order.
    pub fn arrivals(&self, world: &str) -> Vec<Arrival> {
        let mut journal = self.journal.lock().unwrap();
        journal.catch_up();
        journal.arrivals.get(world).cloned().unwrap_or_default()
    }

    /// How a connection ended and what it did that it must not do; `None` while it is open.
    pub fn end_of(&self, connection: u64) -> Option<(String, Vec<String>)> {
        let mut journal = self.journal.lock().unwrap();
        journal.catch_up();
        journal.ends.get(&connection).cloned()
    }
}

struct Journal {
    file: File,
    /// Bytes of complete lines that were read.
    read: u64,
    arrivals: BTreeMap<String, Vec<Arrival>>,
    ends: BTreeMap<u64, (String, Vec<String>)>,
}

impl Journal {
    /// Reads the complete lines that were added.
    fn catch_up(&mut self) {
        self.file.seek(SeekFrom::Start(self.read)).unwrap();
        let mut added = Vec::new();
        self.file.read_to_end(&mut added).unwrap();
        let complete = added.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.read += complete as u64;
        for line in added[..complete].lines() {
            self.enter(&serde_json::from_str(&line.unwrap()).unwrap());
        }
    }

    fn enter(&mut self, line: &Value) {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        let connection = line["connection"].as_u64().unwrap();
        if line.get("end").is_some() {
            let violations = line["violations"].as_array().unwrap();
            let violations = violations.iter().map(|one| one.as_str().unwrap().to_owned()).collect();
            self.ends.insert(connection, (text("end"), violations));
            return;
        }
        assert!(line["is_text"].as_bool().unwrap(), "an event is no text: {line}");
        let arrival = Arrival { connection, host: text("host"), tag: text("tag"), message: text("message") };
        self.arrivals.entry(world_of(&arrival)).or_default().push(arrival);
    }
}

/// A record says its world in `@devo_environment`, a line of the story in the name of its collector.
pub fn world_of(arrival: &Arrival) -> String {
    let message = arrival.json();
    let names = ["@devo_environment", "collector_name", "col_name"];
    let found = names.iter().find_map(|name| message.get(name).and_then(Value::as_str));
    found.unwrap_or_else(|| panic!("an event of no world: {arrival:?}")).to_owned()
}

/// Starts a party; gives the first line that it prints.
fn start(executable: &str) -> (Child, String) {
    let mut command = Command::new(executable);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim().to_owned())
}
