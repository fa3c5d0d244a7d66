//! Defender for Endpoint: the lists of its API, what belongs to each record, and advanced hunting.
//!
//! Endpoint means a device here, not an address. Lists page by counting, in an order that nobody documents; what belongs
//! to a record is made up from its id; hunting finds rows of registered tables by the datetimes of a query. Behaviour
//! that has been met in the wild is a switch in `DefenderConfig`, mishaps are faults in the tenant's script.

mod answer;
mod book;
mod config;
mod hunting;
mod limits;
mod list;
mod page;
mod path;
mod relation;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

pub use self::config::{
    DEFENDER_ROLES, DefenderConfig, DefenderLimits, ListOrder, NextLinks, NoMachines, NoRelated, ToldWait,
};
pub use self::hunting::{HuntingConfig, HuntingError, HuntingLimits, ResultNames};
pub use self::list::DefenderList;
pub use self::path::DefenderCall;
pub use self::relation::DefenderRelation;

pub(super) use self::answer::{Call, answer};
pub(super) use self::book::DefenderBook;
pub(super) use self::limits::LimitBook;
pub(crate) use self::relation::RelatedKind;

use self::path::DefenderPath;
use super::Tenant;
use super::feed::RecordMaker;
use super::log::Addressee;
use super::store::{Emission, RecordRefused, Visibility};
use crate::sync::locked;

impl Tenant {
    /// Emits a record to a list of Defender for Endpoint, seen at once; gives its number. Its bytes are served as they
    /// are, but for the `evidence` of alerts that nobody asked for.
    pub fn emit_defender(&self, list: DefenderList, json_text: String) -> Result<u64, RecordRefused> {
        self.emit_defender_when(list, json_text, Visibility::Now)
    }

    /// Emits a record that is seen later.
    pub fn emit_defender_when(
        &self,
        list: DefenderList,
        json_text: String,
        visibility: Visibility,
    ) -> Result<u64, RecordRefused> {
        let requests = locked(&self.state.log).count(Addressee::Defender(DefenderCall::List(list)));
        let now = self.state.config.clock.now();
        let emission = Emission { time: None, visibility, requests, now };
        locked(&self.state.defender).emit(list, json_text, emission)
    }

    /// Fills a list with `count` further records that are made each time somebody looks (`make` gets 0, 1, … and gives
    /// the same text each time), so that large inventories cost next to nothing; gives the number of the first one, the
    /// others follow.
    pub fn fill_defender(&self, list: DefenderList, count: usize, make: RecordMaker) -> u64 {
        locked(&self.state.defender).fill(list, count, make)
    }

    /// Changes the text of a record, and its place with it: the one that the new text says.
    pub fn update_defender(
        &self,
        list: DefenderList,
        number: u64,
        json_text: String,
    ) -> Result<(), RecordRefused> {
        let now = self.state.config.clock.now();
        locked(&self.state.defender).update(list, number, json_text, now)
    }

    /// Deletes a record: it leaves its list, those behind it move up, and what belonged to it is 404 from now on.
    pub fn remove_defender(&self, list: DefenderList, number: u64) -> Result<(), RecordRefused> {
        locked(&self.state.defender).remove(list, number)
    }

    /// The bytes of all records of a list that are there, in order of emission; those that are made on the way are made.
    pub fn defender_records(&self, list: DefenderList) -> Vec<Bytes> {
        locked(&self.state.defender).records(list)
    }

    /// Changes the order of a list.
    pub fn set_defender_order(&self, list: DefenderList, order: ListOrder) {
        locked(&self.state.defender).set_order(list, order);
    }

    /// Changes the permissions of tokens given from now on; those given before keep theirs, as they do until they end.
    pub fn set_defender_roles<R: Into<String>>(&self, roles: impl IntoIterator<Item = R>) {
        locked(&self.state.defender).roles = roles.into_iter().map(Into::into).collect();
    }

    /// How many rows belong to a record, by the path that asks for them (percent-encoded or not): 1 for an object that
    /// is there, 0 where none is. `None`: no such path, or no such record.
    pub fn related_count(&self, path: &str) -> Option<usize> {
        let DefenderPath { call: DefenderCall::Related(relation), id } = DefenderPath::of(path)? else {
            return None;
        };
        let is_there = locked(&self.state.defender).has(relation.list(), &id);
        is_there.then(|| relation.count(&id, self.state.config.defender.most_related))
    }

    /// Emits a row to a table of advanced hunting, found at once by queries whose datetimes include `time`. A table is
    /// known from its first row on.
    pub fn emit_hunting(&self, table: &str, time: Timestamp, json_text: String) {
        self.emit_hunting_from(table, time, json_text, Timestamp::MIN);
    }

    /// The same, found from that instant of the tenant's clock on.
    pub fn emit_hunting_from(&self, table: &str, time: Timestamp, json_text: String, seen_from: Timestamp) {
        locked(&self.state.defender).tables.emit(table, time, json_text, seen_from);
    }

    /// Makes a table of advanced hunting known, with or without rows.
    pub fn add_hunting_table(&self, table: &str) {
        locked(&self.state.defender).tables.add(table);
    }

    /// The bytes of all rows of a table, in order of emission.
    pub fn hunting_rows(&self, table: &str) -> Vec<Bytes> {
        locked(&self.state.defender).tables.rows(table)
    }
}

/// Whom a request is for, if it is for Defender for Endpoint.
pub(super) fn addressee(path: &str) -> Option<Addressee> {
    DefenderPath::of(path).map(|path| Addressee::Defender(path.call))
}

/// What the log keeps of a query to advanced hunting.
pub(super) fn query_text(body: &[u8]) -> Vec<(String, String)> {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = document.get("Query").and_then(Value::as_str);
    text.map(|text| ("Query".to_owned(), text.to_owned())).into_iter().collect()
}
