//! The records of the lists: their bytes, their instants, and from when on they are seen.
//!
//! Instants are read when a record comes in, so that a window over many thousand of them is found without parsing one.
//! Rows that are made on the way are made once for their instants, where the list has any, and then again whenever
//! somebody gets them. Several rows may have the same `_id`: none is looked at.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use super::config::CloudAppsConfig;
use super::filter::{Filter, Times, values_at};
use super::list::CloudAppsList;
use super::scan::ScanBook;
use super::sort::{By, Place, Sort, shuffled};
use crate::tenant::feed::RecordMaker;
use crate::tenant::store::{Emission, Moment, RecordRefused, Visibility};

/// Everything that a test puts into Defender for Cloud Apps, and how it behaves at the moment.
pub(in crate::tenant) struct CloudAppsBook {
    pub(in crate::tenant) config: CloudAppsConfig,
    pub(super) scans: ScanBook,
    lists: BTreeMap<CloudAppsList, BTreeMap<u64, Row>>,
    emitted: u64,
}

struct Row {
    times: Times,
    place: i64,
    text: Text,
    visible_from: Option<Timestamp>,
    visible_after_request: u64,
}

enum Text {
    Kept(Bytes),
    Made(RecordMaker, usize),
}

impl Text {
    fn bytes(&self) -> Bytes {
        match self {
            Self::Kept(bytes) => bytes.clone(),
            Self::Made(make, index) => Bytes::from(make(*index)),
        }
    }
}

impl CloudAppsBook {
    /// Nothing yet.
    pub(in crate::tenant) fn new(config: &CloudAppsConfig) -> Self {
        Self { config: config.clone(), scans: ScanBook::default(), lists: BTreeMap::new(), emitted: 0 }
    }

    pub(super) fn emit(
        &mut self,
        list: CloudAppsList,
        text: String,
        emission: Emission,
    ) -> Result<u64, RecordRefused> {
        let Emission { visibility, requests, now, .. } = emission;
        let (times, place) = times_of(list, &text, now)?;
        let visible_from = if let Visibility::From(instant) = visibility { Some(instant) } else { None };
        let visible_after_request =
            if let Visibility::AfterRequests(count) = visibility { requests + count } else { 0 };
        let text = Text::Kept(Bytes::from(text));
        Ok(self.insert(list, Row { times, place, text, visible_from, visible_after_request }))
    }

    /// Takes rows that are made on the way; gives the number of the first one.
    pub(super) fn fill(
        &mut self,
        list: CloudAppsList,
        count: usize,
        make: &RecordMaker,
        now: Timestamp,
    ) -> Result<u64, RecordRefused> {
        let has_times = !list.instants().is_empty();
        let of_row = |index| if has_times { times_of(list, &make(index), now) } else { Ok(untimed(now)) };
        let times: Vec<_> = (0..count).map(of_row).collect::<Result<_, _>>()?;
        let first = self.emitted + 1;
        for (index, (times, place)) in times.into_iter().enumerate() {
            let text = Text::Made(RecordMaker::clone(make), index);
            self.insert(list, Row { times, place, text, visible_from: None, visible_after_request: 0 });
        }
        Ok(first)
    }

    /// Gives a row another text and the instants that go with it; from when on it is seen stays.
    pub(super) fn update(
        &mut self,
        list: CloudAppsList,
        number: u64,
        text: String,
        now: Timestamp,
    ) -> Result<(), RecordRefused> {
        let (times, place) = times_of(list, &text, now)?;
        let rows = self.lists.get_mut(&list);
        let row = rows.and_then(|rows| rows.get_mut(&number)).ok_or(RecordRefused::Unknown(number))?;
        (row.times, row.text) = (times, Text::Kept(Bytes::from(text)));
        if list.time_member().is_some() {
            row.place = place;
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, list: CloudAppsList, number: u64) -> Result<(), RecordRefused> {
        let removed = self.lists.get_mut(&list).and_then(|rows| rows.remove(&number));
        removed.map(drop).ok_or(RecordRefused::Unknown(number))
    }

    /// The bytes of all records that are there, in order of emission.
    pub(super) fn records(&self, list: CloudAppsList) -> Vec<Bytes> {
        self.rows(list).map(|(_, row)| row.text.bytes()).collect()
    }

    /// The places of all rows that are seen and pass the filter (`None`: all do), in that order.
    pub(super) fn places(
        &self,
        list: CloudAppsList,
        moment: Moment,
        filter: Option<&Filter>,
        sort: Sort,
    ) -> Vec<Place> {
        let has_retention = matches!(list, CloudAppsList::Activities | CloudAppsList::Alerts);
        let oldest = if has_retention { moment.oldest.as_millisecond() } else { i64::MIN };
        let is_seen = |row: &Row| {
            row.place >= oldest
                && row.visible_from.is_none_or(|instant| instant <= moment.now)
                && moment.request > row.visible_after_request
        };
        let mut places: Vec<Place> = self
            .rows(list)
            .filter(|(_, row)| is_seen(row) && filter.is_none_or(|filter| row.passes(filter)))
            .map(|(number, row)| row.place_in(sort, *number))
            .collect();
        places.sort_unstable_by(|left, right| sort.compare(left, right));
        places
    }

    /// The bytes of the rows at those places.
    pub(super) fn texts(&self, list: CloudAppsList, places: &[Place]) -> Vec<Bytes> {
        let rows = self.lists.get(&list);
        let text = |place: &Place| Some(rows?.get(&place.number)?.text.bytes());
        places.iter().filter_map(text).collect()
    }

    fn rows(&self, list: CloudAppsList) -> impl Iterator<Item = (&u64, &Row)> {
        self.lists.get(&list).into_iter().flatten()
    }

    fn insert(&mut self, list: CloudAppsList, row: Row) -> u64 {
        self.emitted += 1;
        self.lists.entry(list).or_default().insert(self.emitted, row);
        self.emitted
    }
}

impl Row {
    fn passes(&self, filter: &Filter) -> bool {
        filter.passes_in_time(&self.times)
            && (!filter.looks_inside() || filter.passes_inside(&self.document()))
    }

    fn place_in(&self, sort: Sort, number: u64) -> Place {
        let (rank, text) = match sort.by {
            By::Place => (self.place, String::new()),
            By::Instant(index) => {
                (self.times.get(index).copied().flatten().unwrap_or(i64::MIN), String::new())
            }
            By::Member(path) => {
                let document = self.document();
                let mut found = Vec::new();
                values_at(&document, path, &mut found);
                let first = found.first();
                let text = first.and_then(|value| value.as_str()).unwrap_or_default().to_owned();
                (first.and_then(|value| value.as_i64()).unwrap_or_default(), text)
            }
            By::Number => (number.cast_signed(), String::new()),
            By::Hash(seed) => (shuffled(seed, number), String::new()),
        };
        Place { rank, text, number }
    }

    fn document(&self) -> Value {
        serde_json::from_slice(&self.text.bytes()).unwrap_or_default()
    }
}

/// The instants of a record, and its place in time.
fn times_of(list: CloudAppsList, text: &str, now: Timestamp) -> Result<(Times, i64), RecordRefused> {
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|error| RecordRefused::NoObject(error.to_string()))?;
    let mut times = Times::default();
    for (time, instant) in times.iter_mut().zip(list.instants()) {
        *time = members.get(instant.member).and_then(|value| milliseconds(value.get()));
    }
    let Some(member) = list.time_member() else {
        return Ok(untimed(now));
    };
    let place = times.first().copied().flatten().ok_or(RecordRefused::NoEventTime(member))?;
    Ok((times, place))
}

fn untimed(now: Timestamp) -> (Times, i64) {
    (Times::default(), now.as_millisecond())
}

/// An instant in whole epoch milliseconds: an integer, a number with a fraction, which is cut off, or ISO 8601.
fn milliseconds(text: &str) -> Option<i64> {
    let value: Value = serde_json::from_str(text).ok()?;
    match value {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what lies outside of all instants stays outside"
        )]
        Value::Number(number) => number.as_i64().or_else(|| Some(number.as_f64()?.floor() as i64)),
        Value::String(text) => Some(text.parse::<Timestamp>().ok()?.as_millisecond()),
        _ => None,
    }
}
