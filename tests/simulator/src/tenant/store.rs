//! The records of a tenant: kept as the bytes that were emitted, found in order of event time.
//!
//! A record has a key (event time, number of emission), so that records of one instant have a fixed order. Where
//! records have no time of their own, the instant of their emission is their place. A record is
//! seen from the moment its visibility allows: an old event emitted now is a late arrival. Records older than the
//! retention are not seen any more.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::endpoint::Collection;
use super::filter::Subject;

/// From when on a record is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// At once.
    Now,
    /// From that instant of the tenant's clock.
    From(Timestamp),
    /// After that many further requests to its endpoint have come in: `AfterRequests(1)` hides it from the next one.
    AfterRequests(u64),
}

/// Why a record was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordRefused {
    /// Not a JSON object.
    #[error("the record is no JSON object: {0}")]
    NoObject(String),
    /// Its event time does not say where it belongs.
    #[error("the record's {0} is no instant; emit it with a time of its own")]
    NoEventTime(&'static str),
    /// There is no record of that number.
    #[error("no record was emitted under number {0}")]
    Unknown(u64),
}

/// A record's place: event time and number of emission.
pub(crate) type Key = (Timestamp, u64);

/// One emitted record.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) key: Key,
    pub(crate) raw: Bytes,
    visible_from: Option<Timestamp>,
    visible_after_request: u64,
    time_text: String,
    document: OnceLock<Value>,
}

impl Record {
    /// Whether a request with that number to the collection, at that time, sees it.
    fn visible(&self, moment: &Moment) -> bool {
        self.key.0 >= moment.oldest
            && self.visible_from.is_none_or(|instant| instant <= moment.now)
            && moment.request > self.visible_after_request
    }
}

impl Record {
    /// A record that nobody emitted: made for the time of one look. Without a time of its own it is the oldest.
    pub(crate) fn made(collection: impl Collection, number: u64, text: String) -> Self {
        let (event_time, time_text) =
            event_time_of(collection, &text, None, Timestamp::MIN).unwrap_or((Timestamp::MIN, String::new()));
        Self {
            key: (event_time, number),
            raw: Bytes::from(text),
            visible_from: None,
            visible_after_request: 0,
            time_text,
            document: OnceLock::new(),
        }
    }
}

impl Subject for Record {
    fn event_time(&self) -> Timestamp {
        self.key.0
    }

    fn event_time_text(&self) -> &str {
        &self.time_text
    }

    fn document(&self) -> &Value {
        // Parsed once and only when a filter looks; it was valid when it was taken.
        self.document.get_or_init(|| serde_json::from_slice(&self.raw).unwrap_or(Value::Null))
    }
}

/// The circumstances of an emission.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Emission {
    /// The place in time; `None`: what the record says.
    pub(crate) time: Option<Timestamp>,
    /// From when on it is seen.
    pub(crate) visibility: Visibility,
    /// How many requests the endpoint has had so far.
    pub(crate) requests: u64,
    pub(crate) now: Timestamp,
}

/// When somebody looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Timestamp,
    /// Older records are gone.
    pub(crate) oldest: Timestamp,
    /// The endpoint's number of this request, counted from 1.
    pub(crate) request: u64,
}

/// All records of the tenant.
#[derive(Debug)]
pub(crate) struct Store<C> {
    lists: BTreeMap<C, BTreeMap<Key, Record>>,
    emitted: u64,
}

impl<C> Default for Store<C> {
    fn default() -> Self {
        Self { lists: BTreeMap::new(), emitted: 0 }
    }
}

impl<C: Collection> Store<C> {
    /// Takes a record; gives its number.
    pub(crate) fn emit(
        &mut self,
        collection: C,
        text: String,
        emission: Emission,
    ) -> Result<u64, RecordRefused> {
        let Emission { time, visibility, requests, now } = emission;
        let (event_time, time_text) = event_time_of(collection, &text, time, now)?;
        self.emitted += 1;
        let key = (event_time, self.emitted);
        let visible_from = if let Visibility::From(instant) = visibility { Some(instant) } else { None };
        let hidden_requests =
            if let Visibility::AfterRequests(count) = visibility { requests + count } else { 0 };
        let record = Record {
            key,
            raw: Bytes::from(text),
            visible_from,
            visible_after_request: hidden_requests,
            time_text,
            document: OnceLock::new(),
        };
        self.lists.entry(collection).or_default().insert(key, record);
        Ok(self.emitted)
    }

    /// Gives the record of that number another text; its place stays.
    pub(crate) fn replace(&mut self, collection: C, number: u64, text: String) -> Result<(), RecordRefused> {
        serde_json::from_str::<BTreeMap<String, Value>>(&text)
            .map_err(|error| RecordRefused::NoObject(error.to_string()))?;
        let record = self
            .lists
            .get_mut(&collection)
            .and_then(|list| list.values_mut().find(|record| record.key.1 == number))
            .ok_or(RecordRefused::Unknown(number))?;
        record.raw = Bytes::from(text);
        record.document = OnceLock::new();
        Ok(())
    }

    /// Gives the record of that number another text and the place that goes with it; from when on it is seen stays.
    pub(crate) fn update(
        &mut self,
        collection: C,
        number: u64,
        text: String,
        time: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), RecordRefused> {
        let (event_time, time_text) = event_time_of(collection, &text, time, now)?;
        let record = self.remove(collection, number)?;
        let list = self.lists.entry(collection).or_default();
        let key = (event_time, number);
        let raw = Bytes::from(text);
        list.insert(key, Record { key, raw, time_text, document: OnceLock::new(), ..record });
        Ok(())
    }

    /// Removes the record of that number; gives what it was.
    pub(crate) fn remove(&mut self, collection: C, number: u64) -> Result<Record, RecordRefused> {
        let list = self.lists.get_mut(&collection).ok_or(RecordRefused::Unknown(number))?;
        let key = list.keys().find(|key| key.1 == number).copied().ok_or(RecordRefused::Unknown(number))?;
        list.remove(&key).ok_or(RecordRefused::Unknown(number))
    }

    /// Takes that many numbers for records that are kept elsewhere; gives the first one.
    pub(crate) fn reserve(&mut self, count: u64) -> u64 {
        let first = self.emitted + 1;
        self.emitted += count;
        first
    }

    /// All records ever emitted to the collection, in order of event time.
    pub(crate) fn emitted(&self, collection: C) -> impl Iterator<Item = &Record> {
        self.lists.get(&collection).into_iter().flat_map(BTreeMap::values)
    }

    /// Those of them that are seen at that moment.
    pub(crate) fn visible(
        &self,
        collection: C,
        moment: Moment,
    ) -> impl DoubleEndedIterator<Item = &Record> + use<'_, C> {
        self.lists
            .get(&collection)
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter(move |record| record.visible(&moment))
    }
}

fn event_time_of(
    collection: impl Collection,
    text: &str,
    time: Option<Timestamp>,
    now: Timestamp,
) -> Result<(Timestamp, String), RecordRefused> {
    let members: BTreeMap<String, &serde_json::value::RawValue> =
        serde_json::from_str(text).map_err(|error| RecordRefused::NoObject(error.to_string()))?;
    let Some(property) = collection.time_property() else {
        return Ok((time.unwrap_or(now), String::new()));
    };
    let written: Option<String> =
        members.get(property).and_then(|value| serde_json::from_str(value.get()).ok());
    let event_time = time.or_else(|| written.as_deref()?.parse().ok());
    let event_time = event_time.ok_or(RecordRefused::NoEventTime(property))?;
    Ok((event_time, written.unwrap_or_default()))
}
