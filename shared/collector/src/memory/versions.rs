//! Versions: of each id, the content that was delivered last.
//!
//! A set of hashes knows that a content was delivered once; it cannot know that another one came after it. So records that
//! change and change back are remembered as pairs, the hash of the id and that of the content. Each commit adds a row with
//! the pairs that it delivered, and where rows differ the newer one holds. All rows are read, part by part, about 16 bytes a
//! record in the store and 40 in memory: these are alerts and inventories, not logs.
//!
//! A row is named `versions#{space}#{version}`, the version being that of the commit that wrote it: keys sort by age. Many
//! small neighbours become one, which takes the place of the newest of them. When a checkpoint was deleted, versions count
//! from 1 again under another hash key: what older rows hold then meets no id of ours, but they sort behind our rows, so
//! age is compared id by id, and no row is merged before its version is in the past.
//!
//! A list that changes as a whole each time leaves rows behind of which nothing holds any more. They end by themselves,
//! which costs nothing, while deleting them costs as much as writing them did: so only what is too much is deleted.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;

use bytes::Bytes;
use serde_json::Map;

use super::bucket::Uniform;
use super::{MERGE_AT_ROWS, MOST_MERGED, Verdict};
use crate::ports::{Row, Write};

/// What keys of rows of versions begin with.
const VERSIONS: &str = "versions#";
/// Bytes of one hash.
const HASH: usize = size_of::<u64>();
/// Bytes of a pair in a row.
const PAIR: usize = 2 * HASH;
/// More pairs are never put into one row: with 16 bytes each it stays well below 400 kB.
pub(super) const MOST_IN_ROW: usize = 16 * 1024;
/// Rows of this many pairs or more are left alone: merging them costs more writes than it ever saves reads.
const MERGED_BELOW: usize = 1_024;
/// About what a pair takes in memory, in bytes.
const HELD_BYTES: usize = 40;
/// So many pairs that hold no more are left to end by themselves: 16 MB that a cold start reads in vain. They are a list of
/// 200,000 records, each of them changed once a day.
const MOST_SUPERSEDED: usize = 1_000_000;
/// Pairs of the rows that one commit deletes, in the store a megabyte of the four that a commit may touch.
const MOST_DELETED: usize = 64 * 1024;

/// The versions of one key space.
#[derive(Debug, Default)]
pub(super) struct Versions {
    /// What is stored; nothing is known before it was read.
    stored: Option<Stored>,
    /// What the next commit will remember, by id.
    staged: BTreeMap<u64, u64>,
}

/// Versions that are being read.
#[derive(Debug, Default)]
pub struct Stored {
    latest: HashMap<u64, Latest, BuildHasherDefault<Uniform>>,
    /// The rows by version, oldest first.
    rows: BTreeMap<String, Stake>,
    /// What counts of each row that was taken in, be it still there or not.
    origins: Vec<Origin>,
}

/// The newest version of an id.
#[derive(Debug, Clone, Copy)]
struct Latest {
    content: u64,
    /// Index of the newest row that holds it.
    origin: u32,
}

/// Where versions come from.
#[derive(Debug, Clone, Copy)]
struct Origin {
    /// Version of the commit that wrote the row.
    written: u64,
    /// Epoch seconds.
    kept_until: i64,
    /// Ids whose newest version it holds.
    holding: u32,
}

/// What must be known of a row to merge or to delete it.
#[derive(Debug)]
struct Stake {
    /// Its pairs, unless they are too many to be merged.
    pairs: Option<Vec<(u64, u64)>>,
    /// How many they are.
    count: usize,
    origin: u32,
    /// Epoch seconds.
    expires_at: i64,
}

impl Versions {
    /// First and last key of what must be read before anything can be judged; none once it was read.
    pub(super) fn keys_to_read(&self, space: &str) -> Option<(String, String)> {
        let prefix = prefix_of(space);
        self.stored.is_none().then(|| (prefix.clone(), format!("{prefix}~")))
    }

    /// Takes in what was read.
    pub(super) fn loaded(&mut self, stored: Stored) {
        self.stored = Some(stored);
    }

    /// What is known of this content of an id. A row that ends before `enough`, epoch seconds, ends too soon.
    pub(super) fn judge(&self, id: u64, content: u64, enough: i64) -> Verdict {
        debug_assert!(self.stored.is_some(), "versions are read before a record is judged");
        if let Some(staged) = self.staged.get(&id) {
            return if *staged == content { Verdict::Known } else { Verdict::New };
        }
        match self.stored.as_ref().and_then(|stored| stored.latest.get(&id)) {
            Some(latest) if latest.content != content => Verdict::New,
            Some(latest) if self.kept_until(latest) < enough => Verdict::Ending,
            Some(_) => Verdict::Known,
            None => Verdict::New,
        }
    }

    fn kept_until(&self, latest: &Latest) -> i64 {
        let origin = self.stored.as_ref().and_then(|stored| stored.origin(latest.origin));
        origin.map_or(i64::MIN, |origin| origin.kept_until)
    }

    /// The content of an id that was delivered or staged last.
    pub(super) fn last(&self, id: u64) -> Option<u64> {
        let stored = || self.stored.as_ref()?.latest.get(&id).map(|latest| latest.content);
        self.staged.get(&id).copied().or_else(stored)
    }

    /// Remembers this content as the newest of its id.
    pub(super) fn stage(&mut self, id: u64, content: u64) {
        self.staged.insert(id, content);
    }

    /// How many pairs are staged.
    pub(super) fn staged(&self) -> usize {
        self.staged.len()
    }

    /// How many rows they need, with so many more.
    pub(super) fn staged_rows(&self, more: usize) -> usize {
        (self.staged.len() + more).div_ceil(MOST_IN_ROW)
    }

    /// The rows of the staged pairs in the commit with this version, kept until `expires_at`, epoch seconds.
    pub(super) fn rows(&self, space: &str, version: u64, expires_at: i64) -> Vec<Write> {
        let pairs: Vec<(u64, u64)> = self.staged.iter().map(|(id, content)| (*id, *content)).collect();
        let chunks = pairs.chunks(MOST_IN_ROW).enumerate();
        chunks
            .map(|(index, chunk)| {
                let named =
                    if index == 0 { format!("{version:012}") } else { format!("{version:012}.{index:06}") };
                put(space, &named, chunk, expires_at)
            })
            .collect()
    }

    /// The commit with these writes happened.
    pub(super) fn committed(&mut self, space: &str, writes: &[Write]) {
        self.staged.clear();
        let Some(stored) = &mut self.stored else { return };
        for write in writes {
            match write {
                Write::Put(row) => stored.take_in(space, row),
                Write::Delete(key) => {
                    if let Some(version) = version_of(space, key) {
                        stored.rows.remove(version);
                    }
                }
                Write::Add(_) => {}
            }
        }
    }

    /// The writes that make one row of many small neighbours in the commit with this version; empty when there is nothing
    /// to gain. It sorts where they did, holds what is newest of theirs, and ends when the last of them would have.
    pub(super) fn merge(&self, space: &str, version: u64) -> Vec<Write> {
        let Some(stored) = &self.stored else { return Vec::new() };
        let is_past = |(name, _): &(&String, &Stake)| number_of(name) < version;
        let rows: Vec<(&String, &Stake)> = stored.rows.iter().take_while(is_past).collect();
        let runs = rows.chunk_by(|(_, before), (_, after)| before.pairs.is_some() == after.pairs.is_some());
        let mut small = runs.filter(|run| run.iter().all(|(_, row)| row.pairs.is_some()));
        let Some(run) = small.find(|run| run.len() >= MERGE_AT_ROWS) else { return Vec::new() };
        let run = run.get(..run.len().min(MOST_MERGED)).unwrap_or(run);
        let Some((newest, _)) = run.last() else { return Vec::new() };
        let pairs: BTreeMap<u64, u64> =
            run.iter().flat_map(|(_, row)| row.pairs.iter().flatten().copied()).collect();
        let merged: Vec<(u64, u64)> = pairs.into_iter().collect();
        let expires_at = run.iter().map(|(_, row)| row.expires_at).max().unwrap_or(i64::MAX);
        let deletes = run.iter().map(|(version, _)| Write::Delete(format!("{}{version}", prefix_of(space))));
        merged
            .chunks(MOST_IN_ROW)
            .enumerate()
            .map(|(index, chunk)| put(space, &format!("{newest}m{index:02}"), chunk, expires_at))
            .chain(deletes)
            .collect()
    }

    /// The writes that delete rows of which no pair holds any more, the oldest first, if there are too many of them: no more
    /// than `most` and than one commit takes.
    pub(super) fn superseded(&self, space: &str, most: usize) -> Vec<Write> {
        self.superseded_beyond(MOST_SUPERSEDED, space, most)
    }

    fn superseded_beyond(&self, left_alone: usize, space: &str, most: usize) -> Vec<Write> {
        let Some(stored) = &self.stored else { return Vec::new() };
        let pairs: usize = stored.rows.values().map(|row| row.count).sum();
        let surplus = pairs.saturating_sub(stored.latest.len() + left_alone).min(MOST_DELETED);
        let holds = |row: &Stake| stored.origin(row.origin).is_none_or(|origin| origin.holding > 0);
        let idle = stored.rows.iter().filter(|(_, row)| !holds(row));
        let mut deleted = 0;
        idle.take_while(|(_, row)| {
            deleted += row.count;
            deleted <= surplus
        })
        .take(most)
        .map(|(version, _)| Write::Delete(format!("{}{version}", prefix_of(space))))
        .collect()
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let stored = self.stored.as_ref().map_or(0, |stored| stored.latest.len());
        (stored + self.staged.len()) * HELD_BYTES
    }
}

impl Stored {
    /// Takes in a part of what is read. A row that is damaged holds less: its records are sent again.
    pub(super) fn part(&mut self, space: &str, rows: &[Row]) {
        rows.iter().for_each(|row| self.take_in(space, row));
    }

    /// Takes in a row: of each id what was written last counts, whatever the order in which rows come.
    fn take_in(&mut self, space: &str, row: &Row) {
        let Some(version) = version_of(space, &row.key) else { return };
        let expires_at = row.expires_at.unwrap_or(i64::MAX);
        let data = row.data.clone().unwrap_or_default();
        let (pairs, _) = data.as_chunks::<PAIR>();
        let index = u32::try_from(self.origins.len()).unwrap_or(u32::MAX);
        self.origins.push(Origin { written: number_of(version), kept_until: expires_at, holding: 0 });
        for (id, content) in pairs.iter().map(read_pair) {
            self.take_in_pair(id, Latest { content, origin: index });
        }
        let count = pairs.len();
        let kept = (count < MERGED_BELOW).then(|| pairs.iter().map(read_pair).collect());
        self.rows.insert(version.to_owned(), Stake { pairs: kept, count, origin: index, expires_at });
    }

    fn take_in_pair(&mut self, id: u64, read: Latest) {
        let written =
            |origins: &[Origin], index: u32| origins.get(index as usize).map(|origin| origin.written);
        let before = match self.latest.entry(id) {
            Entry::Vacant(vacant) => {
                vacant.insert(read);
                None
            }
            Entry::Occupied(held)
                if written(&self.origins, held.get().origin) > written(&self.origins, read.origin) =>
            {
                return;
            }
            Entry::Occupied(mut held) => Some(held.insert(read).origin),
        };
        if let Some(origin) = before.and_then(|index| self.origins.get_mut(index as usize)) {
            origin.holding -= 1;
        }
        if let Some(origin) = self.origins.get_mut(read.origin as usize) {
            origin.holding += 1;
        }
    }

    fn origin(&self, index: u32) -> Option<&Origin> {
        self.origins.get(index as usize)
    }
}

fn prefix_of(space: &str) -> String {
    format!("{VERSIONS}{space}#")
}

fn version_of<'k>(space: &str, key: &'k str) -> Option<&'k str> {
    key.strip_prefix(VERSIONS)?.strip_prefix(space)?.strip_prefix('#')
}

/// The version of the commit that wrote a row of this name, or the newest part of it.
fn number_of(name: &str) -> u64 {
    let digits = name.split(|character: char| !character.is_ascii_digit()).next();
    digits.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn put(space: &str, version: &str, pairs: &[(u64, u64)], expires_at: i64) -> Write {
    let data: Vec<u8> =
        pairs.iter().flat_map(|(id, content)| [id.to_le_bytes(), content.to_le_bytes()]).flatten().collect();
    Write::Put(Row {
        key: format!("{}{version}", prefix_of(space)),
        fields: Map::new(),
        data: Some(Bytes::from(data)),
        expires_at: Some(expires_at),
    })
}

fn read_pair(pair: &[u8; PAIR]) -> (u64, u64) {
    let half = |index| {
        pair.as_chunks::<HASH>().0.get(index).map_or(0, |bytes: &[u8; HASH]| u64::from_le_bytes(*bytes))
    };
    (half(0), half(1))
}

#[cfg(test)]
#[path = "tests_versions.rs"]
mod tests;
