//! The file: its tables, its version, how it is opened, and what to do when it cannot be.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, ffi};

/// Says in the file's header that it is a store of this program: `tsdb` in ASCII.
const APPLICATION_ID: i32 = 0x7473_6462;
/// Raised whenever the tables change.
const VERSION: i32 = 1;
/// How long one process waits for another one's write.
const BUSY: Duration = Duration::from_secs(10);

/// Values are REAL, for SQLite's sums of integers overflow. `tag` finds the series of a tag's value.
const TABLES: &str = "
    CREATE TABLE series (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, tags TEXT NOT NULL, UNIQUE (name, tags)
    ) STRICT;
    CREATE TABLE tag (
        series_name TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, series_id INTEGER NOT NULL,
        PRIMARY KEY (series_name, name, value, series_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE points (
        series_id INTEGER NOT NULL, ts INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (series_id, ts)
    ) STRICT, WITHOUT ROWID;";

/// The writer's connection of a file, which is created where it is missing. An error says what to do.
pub(super) fn open(path: &Path) -> Result<Connection, String> {
    let open = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        Ok(connection)
    };
    let mut connection = open().map_err(|error| explain(&error))?;
    prepare(&mut connection)?;
    // Full: a commit is on the disk before it is acknowledged, so that it also survives the loss of power.
    connection.pragma_update(None, "synchronous", "full").map_err(|error| explain(&error))?;
    Ok(connection)
}

pub(super) fn open_in_memory() -> Result<Connection, String> {
    let mut connection = Connection::open_in_memory().map_err(|error| explain(&error))?;
    prepare(&mut connection)?;
    Ok(connection)
}

/// A connection that only reads. It still needs to be opened for writing: readers of a WAL keep marks in a file beside it.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Checks that the file is a store of this version, or makes an empty file one.
fn prepare(connection: &mut Connection) -> Result<(), String> {
    // In a transaction, for another process may be making it one at this moment.
    let found = connection.transaction().and_then(|transaction| state(&transaction));
    match found.map_err(|error| explain(&error))? {
        State::Ready => return Ok(()),
        State::Refused(reason) => return Err(reason),
        State::Empty => {}
    }
    use_wal(connection).map_err(|error| explain(&error))?;
    let mut create = || -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been faster.
        if let State::Empty = state(&transaction)? {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        transaction.commit()
    };
    create().map_err(|error| explain(&error))
}

enum State {
    Ready,
    Empty,
    Refused(String),
}

fn state(connection: &Connection) -> rusqlite::Result<State> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application, version) {
        (APPLICATION_ID, VERSION) => State::Ready,
        (APPLICATION_ID, newer) if newer > VERSION => State::Refused(format!(
            "the store has version {newer} and this program knows {VERSION}; use the newer program that wrote it"
        )),
        (APPLICATION_ID, older) => State::Refused(format!(
            "the store has version {older} and this program needs {VERSION}; move the file away and `load` the points again"
        )),
        (0, 0) if tables == 0 => State::Empty,
        _ => State::Refused("the file is a SQLite database but no store of tsdb-ws; choose another file".to_owned()),
    })
}

/// The mode stays in the file. SQLite does not wait by itself for the lock that this change needs.
fn use_wal(connection: &Connection) -> rusqlite::Result<()> {
    let deadline = Instant::now() + BUSY;
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())) {
            Err(error) if is_busy(&error) && Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            outcome => return outcome,
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// What is wrong, and what to do about it.
pub(super) fn explain(error: &rusqlite::Error) -> String {
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            "the file is damaged or no store; restore it from a backup, or move it away and `load` the points again"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process has kept it locked for 10 s; wait until that is done, or stop it"
        }
        Some(ErrorCode::ReadOnly) => {
            "the file, or its directory, where SQLite keeps `-wal` and `-shm` files, cannot be written; change its permissions"
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "it cannot be opened; the directory must exist, and it and the file must be readable and writable"
        }
        Some(ErrorCode::DiskFull) => "the disk is full; make room",
        Some(ErrorCode::SystemIoFailure) => "the disk failed; look at the system's log",
        _ => return error.to_string(),
    };
    format!("{advice} ({error})")
}

/// The error of a read that nobody waits for any more.
pub(super) fn interrupted() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERRUPT), None)
}
