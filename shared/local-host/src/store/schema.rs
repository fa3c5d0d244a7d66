//! The format of the state file: how it is made, recognised and refused.
//!
//! `application_id` says that a SQLite file is ours, `user_version` which format it has. Both are read over a
//! read-only connection before anything that could write, so a file of a newer release, of another program, or no
//! database at all is left byte for byte as it was.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

/// Format of the tables below. Raise it one release after the readers of the next format are out.
pub(super) const FORMAT: i64 = 1;

/// "DvMs" in ASCII: marks the file as this collector's.
pub(super) const APPLICATION_ID: i64 = 0x4476_4D73;

/// How long a call waits for another process that is writing. Commits take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two looks at a file that another process is making or closing. SQLite itself does not wait then: its busy
/// timeout is passed over where waiting could end in a deadlock.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS rows (
        pk TEXT NOT NULL, sk TEXT NOT NULL, fields TEXT NOT NULL, data BLOB, expires_at INTEGER,
        PRIMARY KEY (pk, sk)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS rows_by_expiry ON rows (expires_at) WHERE expires_at IS NOT NULL;
    CREATE TABLE IF NOT EXISTS tokens (
        pk TEXT NOT NULL, token TEXT NOT NULL, used_at INTEGER NOT NULL,
        PRIMARY KEY (pk, token)) WITHOUT ROWID;";

/// What a file is, judged without writing to it.
enum Kind {
    /// An empty database: nothing was ever stored.
    Fresh,
    /// A state file of the present format.
    Ours,
}

/// Why a file was not opened.
enum Refusal {
    /// Another process is making or closing it at this moment.
    Busy(String),
    /// For good, in a sentence that names the cause and the remedy.
    Final(String),
}

impl From<rusqlite::Error> for Refusal {
    fn from(cause: rusqlite::Error) -> Self {
        match cause.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(explain(cause)),
            _ => Self::Final(explain(cause)),
        }
    }
}

/// Opens the file for reading and writing, making it when absent.
///
/// # Errors
/// A sentence that names the cause and the remedy.
pub(super) fn open_for_writing(path: &Path) -> Result<Connection, String> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|cause| format!("the folder cannot be made ({cause}); choose another directory_name"))?;
    }
    patiently(|| try_to_open_for_writing(path))
}

/// Opens an existing file for reading alone.
///
/// # Errors
/// A sentence that names the cause and the remedy.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, String> {
    patiently(|| {
        let connection = open_read_only_connection(path)?;
        match recognise(&connection)? {
            Kind::Ours => Ok(connection),
            Kind::Fresh => Err(Refusal::Final("it is empty: no service has run yet".to_owned())),
        }
    })
}

/// Tries again while another process makes or closes the file.
fn patiently(open: impl Fn() -> Result<Connection, Refusal>) -> Result<Connection, String> {
    let begun = Instant::now();
    loop {
        match open() {
            Ok(connection) => return Ok(connection),
            Err(Refusal::Final(message)) => return Err(message),
            Err(Refusal::Busy(message)) if begun.elapsed() >= BUSY_TIMEOUT => return Err(message),
            Err(Refusal::Busy(_)) => std::thread::sleep(BUSY_PAUSE),
        }
    }
}

fn try_to_open_for_writing(path: &Path) -> Result<Connection, Refusal> {
    if path.exists() {
        recognise(&open_read_only_connection(path)?)?;
    }
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    prepare(&mut connection)?;
    // Another process of another release may have made the file in between.
    recognise(&connection)?;
    Ok(connection)
}

fn open_read_only_connection(path: &Path) -> Result<Connection, Refusal> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

fn recognise(connection: &Connection) -> Result<Kind, Refusal> {
    // One snapshot: the file may be made between two looks at it.
    let snapshot = connection.unchecked_transaction()?;
    let tables: i64 = snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let application: i64 = snapshot.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let format: i64 = snapshot.pragma_query_value(None, "user_version", |row| row.get(0))?;
    snapshot.finish()?;
    if tables == 0 && application == 0 && format == 0 {
        return Ok(Kind::Fresh);
    }
    if application != APPLICATION_ID {
        let message = "this database belongs to another program; choose another directory_name";
        return Err(Refusal::Final(message.to_owned()));
    }
    if format != FORMAT {
        return Err(Refusal::Final(format!(
            "it has format {format}, this release reads {FORMAT}; run the release that wrote it, or a newer one"
        )));
    }
    Ok(Kind::Ours)
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let format: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if format == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
    }
    transaction.commit()
}

fn explain(cause: rusqlite::Error) -> String {
    match cause.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            format!("it is no readable database ({cause}); move it away or restore a copy of it")
        }
        Some(ErrorCode::CannotOpen) => {
            format!("it cannot be opened ({cause}); check that it exists and its folder's permissions")
        }
        _ => cause.to_string(),
    }
}
