//! The embedded state: one SQLite file that keeps what DynamoDB keeps on AWS.
//!
//! A row is (partition, key) → members, one binary member, an expiry. Every commit is one IMMEDIATE transaction: the
//! file is locked for writing before the guard is read, so two processes that share a file cannot both win. The
//! write-ahead log lets `status` read while `run` writes, and is synced at each commit: what was reported as written
//! survives a power cut. Blocking calls run on tokio's blocking threads; an abandoned call still ends as a whole.

mod rows;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use collector::error::{Error, ErrorType, code};
use collector::ports::{Clock, Commit, LeaseRequest, Limits, Row, StateError, StateStore};
use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};

/// DynamoDB's limits: a commit that fits here fits there, so both hosts split their work alike.
const LIMITS: Limits = Limits { rows: 100, commit_bytes: 4 * 1024 * 1024, row_bytes: 400 * 1024 };

/// Every so many commits of a process, expired rows are removed.
const COMMITS_PER_PRUNING: u64 = 64;

/// One embedded state file. Clones share one connection.
#[derive(Clone)]
pub struct FileStore {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    connection: Mutex<Connection>,
    commits: AtomicU64,
    clock: Box<dyn Clock>,
}

impl std::fmt::Debug for FileStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FileStore").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

impl FileStore {
    /// Opens the file for reading and writing; makes it, and the folders above it, when absent.
    ///
    /// # Errors
    /// StateError 700 when the file is no state file, was written by a newer release, or cannot be opened. The file
    /// is left as it was.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with_clock(path, Timestamp::now)
    }

    /// As [`FileStore::open`], with a time of day of the caller's choice: it decides which rows have expired.
    ///
    /// # Errors
    /// Those of [`FileStore::open`].
    pub fn open_with_clock(path: &Path, clock: impl Clock + 'static) -> Result<Self, Error> {
        schema::open_for_writing(path)
            .map(|connection| Self::of(path, connection, Box::new(clock)))
            .map_err(|message| state_error(path, &message))
    }

    /// Opens an existing file for reading alone; another process may be writing to it.
    ///
    /// # Errors
    /// StateError 700 as for [`FileStore::open`], and when there is no such file.
    pub fn open_read_only(path: &Path) -> Result<Self, Error> {
        schema::open_for_reading(path)
            .map(|connection| Self::of(path, connection, Box::new(Timestamp::now)))
            .map_err(|message| state_error(path, &message))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    fn of(path: &Path, connection: Connection, clock: Box<dyn Clock>) -> Self {
        let shared = Shared {
            path: path.to_owned(),
            connection: Mutex::new(connection),
            commits: AtomicU64::new(0),
            clock,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Runs `work` on a blocking thread, alone with the connection.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection, &Shared) -> Result<T, rows::Failure> + Send + 'static,
    ) -> Result<T, StateError> {
        let shared = Arc::clone(&self.shared);
        let finished = tokio::task::spawn_blocking(move || {
            // A thread that died in a transaction has rolled it back while unwinding: the connection is sound.
            let mut connection = shared.connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection, &shared).map_err(|failure| failure.into_state_error(&shared.path))
        });
        match finished.await {
            Ok(outcome) => outcome,
            Err(lost) => Err(StateError::Unknown(format!("the state thread ended early: {lost}"))),
        }
    }
}

impl StateStore for FileStore {
    fn limits(&self) -> Limits {
        LIMITS
    }

    async fn acquire(&self, partition: &str, request: &LeaseRequest) -> Result<Row, StateError> {
        let (partition, request) = (partition.to_owned(), request.clone());
        self.blocking(move |connection, _| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let checkpoint = rows::acquire(&transaction, &partition, &request)?;
            transaction.commit().map_err(rows::Failure::Commit)?;
            Ok(checkpoint)
        })
        .await
    }

    async fn query(&self, partition: &str, first: &str, last: &str) -> Result<Vec<Row>, StateError> {
        let (partition, first, last) = (partition.to_owned(), first.to_owned(), last.to_owned());
        self.blocking(move |connection, _| rows::read_range(connection, &partition, &first, &last)).await
    }

    async fn leave(&self, partition: &str, row: &Row) -> Result<(), StateError> {
        let (partition, row) = (partition.to_owned(), row.clone());
        self.blocking(move |connection, _| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            rows::leave(&transaction, &partition, &row)?;
            transaction.commit().map_err(rows::Failure::Commit)
        })
        .await
    }

    async fn commit(&self, commit: &Commit) -> Result<(), StateError> {
        rows::check_shape(commit, &LIMITS).map_err(StateError::Unavailable)?;
        let commit = commit.clone();
        self.blocking(move |connection, shared| {
            let now_seconds = shared.clock.now().as_second();
            let prune = shared.commits.fetch_add(1, Ordering::Relaxed).is_multiple_of(COMMITS_PER_PRUNING);
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if prune {
                rows::prune_expired(&transaction, now_seconds)?;
            }
            rows::apply(&transaction, &commit, now_seconds)?;
            transaction.commit().map_err(rows::Failure::Commit)
        })
        .await
    }
}

fn state_error(path: &Path, message: &str) -> Error {
    Error::new(ErrorType::StateError, code::STATE, format!("state file {}: {message}", path.display()))
}

#[cfg(test)]
mod tests;
