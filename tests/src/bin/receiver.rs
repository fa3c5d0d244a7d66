//! A Devo receiver with mutual TLS as a process of its own: what it has written down survives whoever is killed.
//!
//! Prints one line of JSON: `address`, and `folder`, where it keeps
//!
//! ```text
//! chain.pem server.pem server.key client.pem client.key     keys and certificates, made at the start
//! events.jsonl                                              what arrived, in order
//! ```
//!
//! A line of `events.jsonl` is one complete event (`connection`, `date`, `host`, `tag`, `message`), written before
//! another byte of its connection is read, or one connection's end (`connection`, `end`, `violations`). It serves until
//! its standard input ends and takes the folder with it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use simulator::pki::{DevoPki, Identity};
use simulator::receiver::{Event, Receiver, ReceiverConfig};
use tokio::io::AsyncReadExt;

/// Often enough for a test that waits for an end, seldom enough to cost nothing.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let journal = Arc::new(Mutex::new(File::create(folder.path().join("events.jsonl"))?));
    let receiver = Receiver::start(ReceiverConfig::default()).await?;
    let pki = receiver.pki().ok_or_else(|| io::Error::other("the receiver has no certificates"))?;
    write_keys(folder.path(), pki)?;
    let events = Arc::clone(&journal);
    // A line that cannot be written is an event that the tests miss: they notice.
    receiver.on_event(move |event| drop(write_line(&events, &event_line(event))));
    let address = receiver.address().to_string();
    writeln!(io::stdout(), "{}", json!({"address": address, "folder": folder.path()}))?;
    let mut starter = tokio::io::stdin();
    tokio::select! {
        end = write_ends(&receiver, &journal) => end,
        end = async move { starter.read_to_end(&mut Vec::new()).await } => end.map(|_| ()),
    }
}

fn write_keys(folder: &Path, pki: &DevoPki) -> io::Result<()> {
    let write_identity = |name: &str, identity: &Identity| {
        fs::write(folder.join(format!("{name}.pem")), &identity.certificate_pem)?;
        fs::write(folder.join(format!("{name}.key")), &identity.private_key_pem)
    };
    fs::write(folder.join("chain.pem"), &pki.chain_pem)?;
    write_identity("server", &pki.server)?;
    write_identity("client", &pki.client)
}

/// The message is text, so that it stays byte for byte what arrived; `is_text` is false when it was none.
fn event_line(event: &Event) -> Value {
    json!({
        "connection": event.connection,
        "date": event.date,
        "host": event.host,
        "tag": event.tag,
        "message": String::from_utf8_lossy(&event.message),
        "is_text": std::str::from_utf8(&event.message).is_ok(),
    })
}

/// Writes down each connection once it has ended, a moment later.
async fn write_ends(receiver: &Receiver, journal: &Mutex<File>) -> io::Result<()> {
    let mut written = BTreeSet::new();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        for seen in receiver.connections() {
            let Some(end) = &seen.end else { continue };
            if !written.insert(seen.number) {
                continue;
            }
            let violations: Vec<String> = seen.violations.iter().map(|one| format!("{one:?}")).collect();
            let line =
                json!({"connection": seen.number, "end": format!("{end:?}"), "violations": violations});
            write_line(journal, &line)?;
        }
    }
}

fn write_line(journal: &Mutex<File>, line: &Value) -> io::Result<()> {
    journal.lock().unwrap_or_else(PoisonError::into_inner).write_all(format!("{line}\n").as_bytes())
}
