//! The records of the lists, in whatever order each list has, and the rows of hunting.
//!
//! Emitted records are kept as their bytes. An inventory of any size can be filled in instead: its rows are made from
//! their numbers each time somebody looks, so that 200,000 machines cost no more than a few. Rows of either kind change
//! and go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::config::{DefenderConfig, ListOrder};
use super::hunting::Tables;
use super::list::DefenderList;
use crate::tenant::feed::RecordMaker;
use crate::tenant::filter::Filter;
use crate::tenant::store::{Emission, Moment, Record, RecordRefused, Store};

/// Everything that a test puts into Defender for Endpoint.
pub(in crate::tenant) struct DefenderBook {
    store: Store<DefenderList>,
    blocks: BTreeMap<DefenderList, Vec<Block>>,
    ids: HashMap<(DefenderList, String), u64>,
    usual_order: ListOrder,
    orders: BTreeMap<DefenderList, ListOrder>,
    pub(in crate::tenant) roles: Arc<[String]>,
    pub(super) tables: Tables,
}

/// Rows that are made on the way, with numbers in a row.
struct Block {
    first: u64,
    count: u64,
    make: RecordMaker,
    changed: BTreeMap<u64, Bytes>,
    removed: BTreeSet<u64>,
    /// Hashes of the ids, with their numbers: found out when somebody first asks for one.
    ids: OnceLock<HashMap<u64, u64>>,
}

/// One row of a list.
#[derive(Clone, Copy)]
enum Row<'a> {
    Emitted(&'a Record),
    Made(&'a Block, u64),
}

/// Which part of a list somebody wants.
pub(super) struct Part<'a> {
    pub(super) filter: Option<&'a Filter>,
    pub(super) skip: usize,
    pub(super) rows: usize,
}

impl DefenderBook {
    /// Nothing yet.
    pub(in crate::tenant) fn new(config: &DefenderConfig) -> Self {
        Self {
            store: Store::default(),
            blocks: BTreeMap::new(),
            ids: HashMap::new(),
            usual_order: config.order,
            orders: BTreeMap::new(),
            roles: config.roles.clone().into(),
            tables: Tables::default(),
        }
    }

    pub(super) fn emit(
        &mut self,
        list: DefenderList,
        text: String,
        emission: Emission,
    ) -> Result<u64, RecordRefused> {
        let id = id_of(&text);
        let number = self.store.emit(list, text, emission)?;
        self.ids.extend(id.map(|id| ((list, id), number)));
        Ok(number)
    }

    /// Takes rows that are made on the way; gives the number of the first one.
    pub(super) fn fill(&mut self, list: DefenderList, count: usize, make: RecordMaker) -> u64 {
        let count = count as u64;
        let first = self.store.reserve(count);
        let (changed, removed, ids) = (BTreeMap::new(), BTreeSet::new(), OnceLock::new());
        self.blocks.entry(list).or_default().push(Block { first, count, make, changed, removed, ids });
        first
    }

    pub(super) fn update(
        &mut self,
        list: DefenderList,
        number: u64,
        text: String,
        now: Timestamp,
    ) -> Result<(), RecordRefused> {
        let Some(id) = id_of(&text) else {
            // Texts without an id are judged by the store alone.
            return self.store.update(list, number, text, None, now);
        };
        if let Some(block) = self.block(list, number) {
            block.changed.insert(number, Bytes::from(text));
            return Ok(());
        }
        self.store.update(list, number, text, None, now)?;
        self.ids.retain(|_, known| *known != number);
        self.ids.insert((list, id), number);
        Ok(())
    }

    pub(super) fn remove(&mut self, list: DefenderList, number: u64) -> Result<(), RecordRefused> {
        if let Some(block) = self.block(list, number) {
            block.removed.insert(number);
            return Ok(());
        }
        self.store.remove(list, number)?;
        self.ids.retain(|_, known| *known != number);
        Ok(())
    }

    pub(super) fn set_order(&mut self, list: DefenderList, order: ListOrder) {
        self.orders.insert(list, order);
    }

    /// The bytes of all records that are there, in order of emission.
    pub(super) fn records(&self, list: DefenderList) -> Vec<Bytes> {
        let mut rows: Vec<Row<'_>> = self.store.emitted(list).map(Row::Emitted).collect();
        rows.extend(self.made(list));
        rows.sort_by_key(|row| row.number());
        rows.into_iter().map(Row::text).collect()
    }

    /// Whether a record of that id is there.
    pub(super) fn has(&self, list: DefenderList, id: &str) -> bool {
        self.ids.contains_key(&(list, id.to_owned()))
            || self.blocks.get(&list).into_iter().flatten().any(|block| block.has(id))
    }

    /// Whether the list has any row at that moment.
    pub(super) fn has_any(&self, list: DefenderList, moment: Moment) -> bool {
        self.store.visible(list, moment).next().is_some() || self.made(list).next().is_some()
    }

    /// The rows of a part of a list at that moment, in the list's order.
    pub(super) fn part(&self, list: DefenderList, moment: Moment, part: &Part<'_>) -> Vec<Bytes> {
        let mut rows: Vec<Row<'_>> = self.store.visible(list, moment).map(Row::Emitted).collect();
        rows.extend(self.made(list));
        match self.orders.get(&list).copied().unwrap_or(self.usual_order) {
            ListOrder::Inserted => rows.sort_unstable_by_key(|row| row.number()),
            ListOrder::Reversed => rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.number())),
            ListOrder::Shuffled { seed } => rows.sort_by_cached_key(|row| hash_of(&(seed, row.number()))),
            ListOrder::ByLastUpdate => rows.sort_unstable_by_key(|row| (row.time(), row.number())),
        }
        let passes = |row: &Row<'_>| part.filter.is_none_or(|filter| row.passes(list, filter));
        rows.into_iter().filter(passes).skip(part.skip).take(part.rows).map(Row::text).collect()
    }

    fn made(&self, list: DefenderList) -> impl Iterator<Item = Row<'_>> {
        self.blocks.get(&list).into_iter().flatten().flat_map(Block::rows)
    }

    fn block(&mut self, list: DefenderList, number: u64) -> Option<&mut Block> {
        self.blocks.get_mut(&list)?.iter_mut().find(|block| block.includes(number))
    }
}

impl Block {
    fn includes(&self, number: u64) -> bool {
        (self.first..self.first + self.count).contains(&number) && !self.removed.contains(&number)
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let numbers = self.first..self.first + self.count;
        let is_there = |number: &u64| self.removed.is_empty() || !self.removed.contains(number);
        numbers.filter(is_there).map(|number| Row::Made(self, number))
    }

    fn text(&self, number: u64) -> Bytes {
        let make = || (self.make)(usize::try_from(number - self.first).unwrap_or_default());
        self.changed.get(&number).cloned().unwrap_or_else(|| Bytes::from(make()))
    }

    fn has(&self, id: &str) -> bool {
        let ids = self.ids.get_or_init(|| {
            let of_row =
                |number| Some((hash_of(&id_of(&String::from_utf8_lossy(&self.text(number)))?), number));
            (self.first..self.first + self.count).filter_map(of_row).collect()
        });
        ids.get(&hash_of(&id)).is_some_and(|number| !self.removed.contains(number))
    }
}

impl Row<'_> {
    fn number(self) -> u64 {
        match self {
            Self::Emitted(record) => record.key.1,
            Self::Made(_, number) => number,
        }
    }

    fn time(self) -> Timestamp {
        match self {
            Self::Emitted(record) => record.key.0,
            Self::Made(..) => Timestamp::MIN,
        }
    }

    fn text(self) -> Bytes {
        match self {
            Self::Emitted(record) => record.raw.clone(),
            Self::Made(block, number) => block.text(number),
        }
    }

    fn passes(self, list: DefenderList, filter: &Filter) -> bool {
        match self {
            Self::Emitted(record) => filter.matches(record),
            Self::Made(block, number) => {
                let text = String::from_utf8_lossy(&block.text(number)).into_owned();
                filter.matches(&Record::made(list, number, text))
            }
        }
    }
}

fn id_of(text: &str) -> Option<String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    serde_json::from_str(members.get("id")?.get()).ok()
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
