//! A simulated Devo: it counts what arrived, event by event, whatever becomes of the connection.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use collector::error::{Error, ErrorType, code};
use collector::ports::{CleanEnd, Event, Sink};
use jiff::Timestamp;

use crate::drive::step;

/// One connection as the receiver saw it.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// (tag, message) of each event that arrived.
    pub events: Vec<(String, String)>,
    /// Events that the sender meant to send.
    pub meant: usize,
    /// The stream was ended cleanly by both sides.
    pub ended_cleanly: bool,
}

impl Connection {
    /// Messages that are records, the collector's own story left out.
    pub fn records(&self) -> impl Iterator<Item = &(String, String)> {
        self.events.iter().filter(|(tag, _)| !tag.starts_with("devo."))
    }
}

/// The receiver. It outlives the invocations that send to it.
#[derive(Debug, Clone, Default)]
pub struct Receiver {
    connections: Arc<Mutex<Vec<Connection>>>,
}

impl Receiver {
    /// Every connection so far.
    pub fn connections(&self) -> Vec<Connection> {
        self.connections.lock().unwrap().clone()
    }

    fn with_last(&self, change: impl FnOnce(&mut Connection)) {
        if let Some(last) = self.connections.lock().unwrap().last_mut() {
            change(last);
        }
    }
}

/// A sink that sends to a [`Receiver`].
#[derive(Debug)]
pub struct RecordingSink {
    /// Where it sends to.
    pub receiver: Receiver,
    /// One entry for each of the next deliveries: after how many events the connection breaks.
    pub breaks: VecDeque<Option<usize>>,
    /// How often a connection was opened ahead of its first delivery.
    pub prepared: usize,
    open: Vec<(String, String)>,
}

impl RecordingSink {
    /// A sink without faults.
    pub fn new(receiver: &Receiver) -> Self {
        Self { receiver: receiver.clone(), breaks: VecDeque::new(), prepared: 0, open: Vec::new() }
    }
}

impl Sink for RecordingSink {
    async fn prepare(&mut self) {
        self.prepared += 1;
        step().await;
    }

    fn append(&mut self, event: &Event<'_>) -> usize {
        let message = String::from_utf8_lossy(event.message).into_owned();
        self.open.push((event.tag.to_owned(), message));
        event.tag.len() + event.message.len() + 40
    }

    async fn deliver(&mut self, _deadline: Timestamp) -> Result<CleanEnd, Error> {
        let events = std::mem::take(&mut self.open);
        let meant = events.len();
        if meant == 0 {
            return Ok(CleanEnd { events: 0 });
        }
        let breaks_after = self.breaks.pop_front().flatten();
        self.receiver.connections.lock().unwrap().push(Connection { meant, ..Connection::default() });
        for (index, event) in events.into_iter().enumerate() {
            if breaks_after == Some(index) {
                return Err(Error::new(ErrorType::DeliveryError, code::NOT_CLOSED, "scripted"));
            }
            step().await;
            self.receiver.with_last(|connection| connection.events.push(event));
        }
        step().await;
        if breaks_after.is_some() {
            return Err(Error::new(ErrorType::DeliveryError, code::NOT_CLOSED, "scripted"));
        }
        self.receiver.with_last(|connection| connection.ended_cleanly = true);
        step().await;
        Ok(CleanEnd { events: meant as u64 })
    }

    fn discard(&mut self) {
        self.open.clear();
    }
}
