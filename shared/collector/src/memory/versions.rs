//! Versions: of each id, the content that was delivered last.
//!
//! A set of hashes knows that a content was delivered once; it cannot know that another one came after it. So records that
//! change and change back are remembered as pairs, the hash of the id and that of the content. Each commit adds a row with
//! the pairs that it delivered, and where rows differ the newer one holds. Rows are read as a whole, about 16 bytes a record
//! in the store and 48 in memory: these are alerts and inventories, not logs.
//!
//! A row is named `versions#{space}#{version}`, the version being that of the commit that wrote it: keys sort by age. Many
//! small neighbours become one, which takes the place of the newest of them. When a checkpoint was deleted, versions count
//! from 1 again under another hash key: what older rows hold then meets no id of ours, but they sort behind our rows, so
//! age is compared id by id, and no row is merged before its version is in the past.

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
const HELD_BYTES: usize = 48;

/// The versions of one key space.
#[derive(Debug, Default)]
pub(super) struct Versions {
    /// What is stored; nothing is known before it was read.
    stored: Option<Stored>,
    /// What the next commit will remember, by id.
    staged: BTreeMap<u64, u64>,
}

#[derive(Debug, Default)]
struct Stored {
    latest: HashMap<u64, Latest, BuildHasherDefault<Uniform>>,
    /// The rows by version, oldest first.
    rows: BTreeMap<String, Stake>,
}

/// The newest version of an id.
#[derive(Debug, Clone, Copy)]
struct Latest {
    content: u64,
    /// Version of the commit that wrote it.
    written: u64,
    /// Epoch seconds.
    kept_until: i64,
}

/// What must be known of a row to merge it.
#[derive(Debug)]
struct Stake {
    /// Its pairs, unless they are too many to be merged.
    pairs: Option<Vec<(u64, u64)>>,
    /// Epoch seconds.
    expires_at: i64,
}

impl Versions {
    /// First and last key of what must be read before anything can be judged; none once it was read.
    pub(super) fn keys_to_read(&self, space: &str) -> Option<(String, String)> {
        let prefix = prefix_of(space);
        self.stored.is_none().then(|| (prefix.clone(), format!("{prefix}~")))
    }

    /// Takes in what was read. A row that is damaged holds less: its records are sent again.
    pub(super) fn loaded(&mut self, space: &str, mut rows: Vec<Row>) {
        rows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let mut stored = Stored::default();
        rows.iter().for_each(|row| stored.take_in(space, row));
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
            Some(latest) if latest.kept_until < enough => Verdict::Ending,
            Some(_) => Verdict::Known,
            None => Verdict::New,
        }
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

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let stored = self.stored.as_ref().map_or(0, |stored| stored.latest.len());
        (stored + self.staged.len()) * HELD_BYTES
    }
}

impl Stored {
    /// Takes in a row: of each id what was written last counts, whatever the order in which rows come.
    fn take_in(&mut self, space: &str, row: &Row) {
        let Some(version) = version_of(space, &row.key) else { return };
        let expires_at = row.expires_at.unwrap_or(i64::MAX);
        let data = row.data.clone().unwrap_or_default();
        let pairs: Vec<(u64, u64)> = data.as_chunks::<PAIR>().0.iter().map(read_pair).collect();
        let written = number_of(version);
        for (id, content) in &pairs {
            let read = Latest { content: *content, written, kept_until: expires_at };
            let latest = self.latest.entry(*id).or_insert(read);
            if latest.content == *content {
                latest.written = latest.written.max(written);
                latest.kept_until = latest.kept_until.max(expires_at);
            } else if latest.written <= written {
                *latest = read;
            }
        }
        let pairs = (pairs.len() < MERGED_BELOW).then_some(pairs);
        self.rows.insert(version.to_owned(), Stake { pairs, expires_at });
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
