//! Records that change once they have arrived, each once: both of their contents are to arrive.
//!
//! A list shows a record as it is now, so one that changed before anybody read it was never there. Therefore the
//! receiver tells of what arrives, and only that changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;

use super::emission::NEWEST;
use super::lists::List;

/// A record that is to change.
#[derive(Debug, Clone)]
pub struct Change {
    /// The list that it is in.
    pub list: List,
    /// Its number in the tenant.
    pub number: u64,
    /// What it was made from.
    pub seed: u64,
    /// When it was created, began, was modified or was seen last.
    pub time: Timestamp,
    /// Its text.
    pub before: String,
}

/// The records that are to change.
#[derive(Debug, Default)]
pub struct Changes {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// By what is to arrive.
    waiting: HashMap<Bytes, Change>,
    arrived: Vec<Change>,
}

impl Changes {
    /// Lets a record change once this has arrived of it.
    pub fn await_arrival(&self, arrival: Bytes, change: Change) {
        self.book().waiting.insert(arrival, change);
    }

    /// A record has arrived.
    pub fn note(&self, record: &[u8]) {
        let mut book = self.book();
        if let Some(change) = book.waiting.remove(record) {
            book.arrived.push(change);
        }
    }

    /// Those that have arrived since this was asked last.
    pub fn take_arrived(&self) -> Vec<Change> {
        std::mem::take(&mut self.book().arrived)
    }

    /// The lists of which a record is to change that has not arrived yet.
    pub fn waiting(&self) -> BTreeSet<List> {
        self.book().waiting.values().map(|change| change.list).collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Change {
    /// The record as it is from now on.
    pub fn after(&self) -> String {
        self.list.changed_record(self.seed, self.time, &self.before, Timestamp::now() - NEWEST)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_record_of_each_list_changes_once_and_only_when_it_has_arrived() {
        let time = Timestamp::now() - SignedDuration::from_hours(2);
        for list in List::all().filter(|list| list.changes()) {
            let changes = Changes::default();
            let before = list.record(9, time);
            let arrival = Bytes::from(before.clone());
            let change = Change { list, number: 1, seed: 9, time, before: before.clone() };
            changes.await_arrival(arrival.clone(), change);
            changes.note(b"{}");
            assert!(changes.take_arrived().is_empty(), "{list:?}");
            assert_eq!(changes.waiting(), BTreeSet::from([list]));
            changes.note(&arrival);
            changes.note(&arrival);
            let arrived = changes.take_arrived();
            assert_eq!((arrived.len(), changes.waiting().len()), (1, 0), "{list:?}");
            assert_ne!(arrived[0].after(), before, "{list:?}");
        }
    }
}
