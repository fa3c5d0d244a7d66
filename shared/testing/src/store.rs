//! A state store in memory, exactly as the port's contract says, with scripted faults.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use collector::ports::{
    CHECKPOINT_KEY, Commit, LeaseRequest, Limits, Row, StateError, StateStore, Write, lease_fields,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::drive::step;

/// What goes wrong with one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteFault {
    /// It happens, but the answer is lost.
    HappensSilently,
    /// It does not happen, and there is no answer.
    VanishesSilently,
    /// It is refused.
    Refused,
}

#[derive(Debug, Default)]
struct Inner {
    rows: BTreeMap<(String, String), Row>,
    tokens: Vec<String>,
    faults: VecDeque<Option<WriteFault>>,
    failing_reads: VecDeque<bool>,
    commits: u64,
    queries: u64,
    write_units: u64,
    largest_commit: usize,
}

/// The store. All of it vanishes with the value, so a crash of an invocation leaves it as it is.
#[derive(Debug)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
    limits: Limits,
}

impl Default for MemoryStore {
    /// A store with the limits of DynamoDB.
    fn default() -> Self {
        Self::with_limits(Limits { rows: 100, commit_bytes: 4 * 1024 * 1024, row_bytes: 400 * 1024 })
    }
}

impl MemoryStore {
    /// A store with these limits.
    pub fn with_limits(limits: Limits) -> Self {
        Self { inner: Mutex::default(), limits }
    }

    /// One entry for each of the next writes; `None` lets one pass. What was scripted before is forgotten.
    pub fn script(&self, faults: impl IntoIterator<Item = Option<WriteFault>>) {
        self.inner.lock().unwrap().faults = faults.into_iter().collect();
    }

    /// One entry for each of the next reads; true makes it fail. What was scripted before is forgotten.
    pub fn script_reads(&self, failing: impl IntoIterator<Item = bool>) {
        self.inner.lock().unwrap().failing_reads = failing.into_iter().collect();
    }

    /// All rows of a partition, in order of key.
    pub fn rows(&self, partition: &str) -> Vec<Row> {
        let inner = self.inner.lock().unwrap();
        inner.rows.iter().filter(|((pk, _), _)| pk == partition).map(|(_, row)| row.clone()).collect()
    }

    /// Stores a row as another release or an operator would have.
    pub fn put(&self, partition: &str, row: Row) {
        self.inner.lock().unwrap().rows.insert((partition.to_owned(), row.key.clone()), row);
    }

    /// Removes a row, as an operator would.
    pub fn delete(&self, partition: &str, key: &str) {
        self.inner.lock().unwrap().rows.remove(&(partition.to_owned(), key.to_owned()));
    }

    /// Removes every row whose time is over.
    pub fn expire(&self, now: Timestamp) {
        let is_kept = |row: &Row| row.expires_at.is_none_or(|instant| instant > now.as_second());
        self.inner.lock().unwrap().rows.retain(|_, row| is_kept(row));
    }

    /// (commits, queries, write units as DynamoDB would count them, rows of the largest commit) so far.
    pub fn usage(&self) -> (u64, u64, u64, usize) {
        let inner = self.inner.lock().unwrap();
        (inner.commits, inner.queries, inner.write_units, inner.largest_commit)
    }

    fn next_fault(&self) -> Option<WriteFault> {
        self.inner.lock().unwrap().faults.pop_front().flatten()
    }
}

/// Bytes of a row as DynamoDB counts them, nearly.
fn row_bytes(row: &Row) -> u64 {
    let fields: usize = row.fields.iter().map(|(name, value)| name.len() + value.to_string().len()).sum();
    (fields + row.key.len() + 40 + row.data.as_ref().map_or(0, bytes::Bytes::len)) as u64
}

fn units(bytes: u64) -> u64 {
    bytes.div_ceil(1024).max(1)
}

impl Inner {
    fn checkpoint(&self, partition: &str) -> Option<&Row> {
        self.rows.get(&(partition.to_owned(), CHECKPOINT_KEY.to_owned()))
    }

    fn acquire(&mut self, partition: &str, request: &LeaseRequest) -> Result<Row, StateError> {
        let old = self.checkpoint(partition).cloned().unwrap_or_default();
        let text = |name: &str| old.fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        if text(lease_fields::WRITER) == request.writer {
            return Ok(old);
        }
        if let Some(found) = old.fields.get(lease_fields::PERSISTENCE_VERSION)
            && found.as_u64().is_none_or(|version| version > request.readable_version)
        {
            return Err(StateError::Newer { found: found.to_string(), readable: request.readable_version });
        }
        let expires = old.fields.get(lease_fields::EXPIRES_AT).and_then(Value::as_i64);
        if expires.is_some_and(|instant| instant >= request.now_ms) {
            return Err(StateError::Locked { owner: text(lease_fields::OWNER) });
        }
        let mut row = old;
        row.key = CHECKPOINT_KEY.to_owned();
        let version = row.fields.get(lease_fields::VERSION).and_then(Value::as_u64).unwrap_or(0);
        row.fields.insert(lease_fields::VERSION.to_owned(), (version + 1).into());
        row.fields.insert(lease_fields::OWNER.to_owned(), request.owner.clone().into());
        row.fields.insert(lease_fields::EXPIRES_AT.to_owned(), request.expires_at_ms.into());
        row.fields.insert(lease_fields::WRITER.to_owned(), request.writer.clone().into());
        row.fields
            .entry(lease_fields::HASH_KEY.to_owned())
            .or_insert_with(|| request.fresh_hash_key.clone().into());
        self.write_units += units(row_bytes(&row));
        self.rows.insert((partition.to_owned(), row.key.clone()), row.clone());
        Ok(row)
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), StateError> {
        let token = format!("{}/{}", commit.partition, commit.token);
        if self.tokens.contains(&token) {
            return Ok(());
        }
        let holds = self.checkpoint(&commit.partition).is_some_and(|row| {
            row.fields.get(lease_fields::VERSION).and_then(Value::as_u64) == Some(commit.guard.version)
                && row.fields.get(lease_fields::WRITER).and_then(Value::as_str) == Some(&commit.guard.writer)
        });
        if !holds {
            return Err(StateError::LeaseLost);
        }
        assert!(commit.writes.len() < 100, "a transaction holds 100 rows");
        let factor = if commit.writes.is_empty() { 1 } else { 2 };
        self.write_units += factor * units(row_bytes(&commit.checkpoint));
        self.commits += 1;
        self.largest_commit = self.largest_commit.max(commit.writes.len() + 1);
        self.tokens.push(token);
        self.rows.insert((commit.partition.clone(), CHECKPOINT_KEY.to_owned()), commit.checkpoint.clone());
        let mut keys: Vec<&str> = vec![CHECKPOINT_KEY];
        for write in &commit.writes {
            let key = match write {
                Write::Put(row) | Write::Add(row) => row.key.as_str(),
                Write::Delete(key) => key.as_str(),
            };
            assert!(!keys.contains(&key), "{key} occurs twice in a commit");
            keys.push(key);
            let place = (commit.partition.clone(), key.to_owned());
            let bytes = match write {
                Write::Put(row) => {
                    self.rows.insert(place, row.clone());
                    row_bytes(row)
                }
                Write::Add(row) => {
                    let stored = self
                        .rows
                        .entry(place)
                        .or_insert_with(|| Row { key: key.to_owned(), ..Row::default() });
                    add(stored, row);
                    row_bytes(row)
                }
                Write::Delete(_) => self.rows.remove(&place).as_ref().map_or(0, row_bytes),
            };
            self.write_units += factor * units(bytes);
        }
        Ok(())
    }
}

fn add(stored: &mut Row, row: &Row) {
    for (name, value) in &row.fields {
        let sum = match (stored.fields.get(name).and_then(Value::as_u64), value.as_u64()) {
            (old, Some(more)) => Value::from(old.unwrap_or(0) + more),
            (_, None) => value.clone(),
        };
        stored.fields.insert(name.clone(), sum);
    }
    stored.expires_at = row.expires_at;
}

impl StateStore for MemoryStore {
    fn limits(&self) -> Limits {
        self.limits
    }

    async fn acquire(&self, partition: &str, request: &LeaseRequest) -> Result<Row, StateError> {
        step().await;
        let fault = self.next_fault();
        let answer = match fault {
            Some(WriteFault::Refused) => Err(StateError::Unavailable("scripted".to_owned())),
            Some(WriteFault::VanishesSilently) => Err(StateError::Unknown("scripted".to_owned())),
            _ => self.inner.lock().unwrap().acquire(partition, request),
        };
        step().await;
        match fault {
            Some(WriteFault::HappensSilently) => Err(StateError::Unknown("scripted".to_owned())),
            _ => answer,
        }
    }

    async fn query(&self, partition: &str, first: &str, last: &str) -> Result<Vec<Row>, StateError> {
        step().await;
        let mut inner = self.inner.lock().unwrap();
        inner.queries += 1;
        if inner.failing_reads.pop_front() == Some(true) {
            return Err(StateError::Unavailable("scripted".to_owned()));
        }
        let range = (partition.to_owned(), first.to_owned())..=(partition.to_owned(), last.to_owned());
        Ok(inner.rows.range(range).map(|(_, row)| row.clone()).collect())
    }

    async fn leave(&self, partition: &str, row: &Row) -> Result<(), StateError> {
        step().await;
        self.put(partition, row.clone());
        Ok(())
    }

    async fn commit(&self, commit: &Commit) -> Result<(), StateError> {
        step().await;
        let fault = self.next_fault();
        let answer = match fault {
            Some(WriteFault::Refused) => Err(StateError::Unavailable("scripted".to_owned())),
            Some(WriteFault::VanishesSilently) => Err(StateError::Unknown("scripted".to_owned())),
            _ => self.inner.lock().unwrap().commit(commit),
        };
        step().await;
        match fault {
            Some(WriteFault::HappensSilently) => Err(StateError::Unknown("scripted".to_owned())),
            _ => answer,
        }
    }
}
