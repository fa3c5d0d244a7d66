//! What a receiver holds: events in order of arrival, and the story of each connection.

use std::fs::File;
use std::io::Write;

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::decode::Violation;

/// One event that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Number of its connection, counted from 1.
    pub connection: u64,
    /// Date of the header, as written.
    pub date: String,
    /// HOST of the header.
    pub host: String,
    /// The Devo tag.
    pub tag: String,
    /// The message, byte for byte.
    pub message: Bytes,
}

impl Event {
    /// The message as JSON, if it is.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.message).ok()
    }

    /// One line of JSON: tag, host, date and message, which stays as it is when it is JSON.
    pub(super) fn to_json_line(&self) -> String {
        let message = match serde_json::from_slice::<&RawValue>(&self.message) {
            Ok(raw) => raw.get().to_owned(),
            Err(_) => Value::from(String::from_utf8_lossy(&self.message)).to_string(),
        };
        let text = |value: &str| Value::from(value).to_string();
        let (tag, host, date) = (text(&self.tag), text(&self.host), text(&self.date));
        format!("{{\"tag\":{tag},\"host\":{host},\"date\":{date},\"message\":{message}}}\n")
    }
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// The client sent close_notify.
    CloseNotify,
    /// The client's stream ended: plain TCP, or TLS without close_notify.
    Fin,
    /// The client reset it.
    Reset,
    /// TLS did not come about.
    HandshakeFailed(String),
    /// The script ended it or left it hanging.
    Scripted,
    /// Something else, in the operating system's words.
    Broken(String),
}

/// One connection, as far as it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionSeen {
    /// Counted from 1.
    pub number: u64,
    /// Subject of the client's certificate; `None` without TLS.
    pub client: Option<String>,
    /// For example `TLSv1_3`; `None` without TLS.
    pub tls_version: Option<String>,
    /// Bytes that came through it, before decompression.
    pub bytes: u64,
    /// Complete events.
    pub events: u64,
    /// Complete gzip members.
    pub gzip_members: u64,
    /// What it did that it must not do.
    pub violations: Vec<Violation>,
    /// How it ended; `None` while it is open.
    pub end: Option<ConnectionEnd>,
}

/// Everything that arrived.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) events: Vec<Event>,
    pub(super) connections: Vec<ConnectionSeen>,
    pub(super) bytes: u64,
    pub(super) copy: Option<File>,
    pub(super) copy_error: Option<String>,
}

impl Journal {
    /// Enters a new connection; gives its number.
    pub(super) fn open(&mut self) -> u64 {
        let number = self.connections.len() as u64 + 1;
        self.connections.push(ConnectionSeen {
            number,
            client: None,
            tls_version: None,
            bytes: 0,
            events: 0,
            gzip_members: 0,
            violations: Vec::new(),
            end: None,
        });
        number
    }

    /// Changes the entry of a connection.
    pub(super) fn change(&mut self, number: u64, change: impl FnOnce(&mut ConnectionSeen)) {
        if let Some(entry) = self.connections.iter_mut().find(|entry| entry.number == number) {
            change(entry);
        }
    }

    /// Enters an event, and copies it to the file if there is one.
    pub(super) fn enter(&mut self, event: Event) {
        if let Some(file) = &mut self.copy
            && let Err(error) = file.write_all(event.to_json_line().as_bytes())
        {
            self.copy_error = Some(error.to_string());
        }
        self.change(event.connection, |entry| entry.events += 1);
        self.events.push(event);
    }
}
