//! The embedded store: one SQLite file.
//!
//! - `schema` opens a file, creates its tables, and refuses what is not a store of this version;
//! - `read` answers a batch: every stored series is scanned once, its points streamed into all selections that need it;
//! - `write` stores points, one transaction a batch.
//!
//! The file is in WAL mode: readers never block, nor are they blocked, also when another process writes. A read is one
//! transaction, so that all of an answer is of one moment.

mod read;
mod schema;
mod write;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Backend, BackendError, CallPreview, SelectBatch, Selected, Selection, StoredSeries, ValuesQuery};
use crate::series::Point;

const NAME: &str = "embedded";

/// Reads under way at once; more wait for their turn. SQLite reads are bound by the processor.
const READERS: usize = 8;

/// A store in a SQLite file, or in memory. Cheap to clone.
#[derive(Clone)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
}

struct Shared {
    /// `None`: in memory, where the writer's connection is the only one.
    file: Option<StoreFile>,
    writer: Arc<tokio::sync::Mutex<Connection>>,
    /// Connections that no read uses now.
    readers: Mutex<Vec<Connection>>,
    permits: Arc<tokio::sync::Semaphore>,
}

/// The file of a store.
struct StoreFile {
    path: PathBuf,
    /// Device and number of what was opened: a connection goes on with that, whatever comes to lie at the path.
    identity: (u64, u64),
}

impl StoreFile {
    fn new(path: &Path) -> io::Result<StoreFile> {
        Ok(StoreFile { path: path.to_owned(), identity: identity(path)? })
    }

    /// Refuses to go on where another file, or none, is in the place of the one that is open.
    fn check(&self) -> Result<(), BackendError> {
        let reason = match identity(&self.path) {
            Ok(identity) if identity == self.identity => return Ok(()),
            Ok(_) => "another file is in its place; restart to read that".to_owned(),
            Err(error) => format!("the file is gone ({error}); put it back, or restart to create it anew"),
        };
        Err(unreachable_store(&self.path, reason))
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

impl EmbeddedStore {
    /// Opens a store, and creates it where there is none.
    ///
    /// # Errors
    /// When the file cannot be opened or written, is not a store, or is of another version.
    pub fn open(path: impl AsRef<Path>) -> Result<EmbeddedStore, BackendError> {
        let path = path.as_ref();
        let connection = schema::open(path).map_err(|reason| unreachable_store(path, reason))?;
        let file = StoreFile::new(path).map_err(|error| unreachable_store(path, error.to_string()))?;
        Ok(EmbeddedStore::new(Some(file), connection))
    }

    /// An empty store in memory, for tests of formulas.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn open_in_memory() -> Result<EmbeddedStore, BackendError> {
        let connection = schema::open_in_memory().map_err(|reason| unreachable_store(Path::new(":memory:"), reason))?;
        Ok(EmbeddedStore::new(None, connection))
    }

    fn new(file: Option<StoreFile>, writer: Connection) -> EmbeddedStore {
        EmbeddedStore {
            shared: Arc::new(Shared {
                file,
                writer: Arc::new(tokio::sync::Mutex::new(writer)),
                readers: Mutex::new(Vec::new()),
                permits: Arc::new(tokio::sync::Semaphore::new(READERS)),
            }),
        }
    }

    /// Runs `work` in one read transaction, away from the runtime's threads. Dropping the future stops the work at its next
    /// look at [`Cancelled`].
    async fn read<T, F>(&self, work: F) -> Result<T, BackendError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &Cancelled) -> rusqlite::Result<T> + Send + 'static,
    {
        self.check_file()?;
        let cancelled = Cancelled::default();
        let _cancel = CancelOnDrop(cancelled.clone());
        let permit = Arc::clone(&self.shared.permits).acquire_owned().await.map_err(|e| self.failed(&e))?;
        let shared = Arc::clone(&self.shared);
        let memory = match shared.file {
            None => Some(Arc::clone(&shared.writer).lock_owned().await),
            Some(_) => None,
        };
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            match memory {
                Some(connection) => in_transaction(&connection, |c| work(c, &cancelled)),
                None => {
                    let connection = shared.reader()?;
                    let outcome = in_transaction(&connection, |c| work(c, &cancelled))?;
                    shared.keep(connection);
                    Ok(outcome)
                }
            }
        });
        reading.await.map_err(|e| self.failed(&e))?.map_err(|e| self.failed(&schema::explain(&e)))
    }

    fn check_file(&self) -> Result<(), BackendError> {
        self.shared.file.as_ref().map_or(Ok(()), StoreFile::check)
    }

    fn failed(&self, reason: &dyn std::fmt::Display) -> BackendError {
        BackendError::Failed { backend: NAME, reason: format!("{}: {reason}", self.shared.file_name()) }
    }
}

impl Shared {
    fn reader(&self) -> rusqlite::Result<Connection> {
        let kept = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match (kept, &self.file) {
            (Some(connection), _) => Ok(connection),
            (None, Some(file)) => schema::open_reader(&file.path),
            (None, None) => Connection::open_in_memory(),
        }
    }

    fn keep(&self, connection: Connection) {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }

    fn file_name(&self) -> String {
        let name = self.file.as_ref().and_then(|file| file.path.file_name());
        name.map_or_else(|| ":memory:".to_owned(), |name| name.to_string_lossy().into_owned())
    }
}

/// Set when nobody waits for a read any more.
#[derive(Clone, Default)]
struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    /// An error as soon as nobody waits.
    fn check(&self) -> rusqlite::Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(schema::interrupted()) } else { Ok(()) }
    }
}

struct CancelOnDrop(Cancelled);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

fn in_transaction<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.unchecked_transaction()?;
    work(&transaction)
}

fn unreachable_store(path: &Path, reason: String) -> BackendError {
    BackendError::Unreachable { backend: NAME, address: path.display().to_string(), reason }
}

#[async_trait]
impl Backend for EmbeddedStore {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn select(&self, batch: &SelectBatch) -> Result<Selected, BackendError> {
        let batch = batch.clone();
        let frames = self.read(move |connection, cancelled| read::select(connection, &batch, cancelled)).await?;
        Ok(Selected { frames, calls: 1 })
    }

    fn preview(&self, batch: &SelectBatch) -> Vec<CallPreview> {
        let selections: Vec<Value> = batch.selections.iter().map(preview).collect();
        let body = json!({
            "step": batch.step.to_string(),
            "timezone": batch.timezone.iana_name(),
            "selections": selections,
        });
        vec![CallPreview { target: format!("SQLite {}", self.shared.file_name()), body }]
    }

    async fn tag_values(
        &self,
        queries: &[ValuesQuery],
        range: Range<i64>,
        limit: usize,
    ) -> Result<(Vec<String>, bool), BackendError> {
        let queries = queries.to_vec();
        self.read(move |connection, cancelled| read::tag_values(connection, &queries, range, limit, cancelled)).await
    }

    async fn list_series(&self, pattern: &str, limit: usize) -> Result<(Vec<StoredSeries>, bool), BackendError> {
        let pattern = pattern.to_owned();
        self.read(move |connection, cancelled| read::list_series(connection, &pattern, limit, cancelled)).await
    }

    async fn write(&self, points: &[Point]) -> Result<(), BackendError> {
        self.check_file()?;
        let batch = write::Batch::new(points).map_err(|reason| self.failed(&reason))?;
        let mut writer = Arc::clone(&self.shared.writer).lock_owned().await;
        let writing = tokio::task::spawn_blocking(move || batch.store(&mut writer));
        writing.await.map_err(|e| self.failed(&e))?.map_err(|e| self.failed(&schema::explain(&e)))
    }

    async fn check_health(&self) -> Result<(), BackendError> {
        self.read(|connection, _| connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))).await
    }
}

fn preview(selection: &Selection) -> Value {
    let filter: BTreeMap<&String, &Vec<String>> = selection.filter.iter().collect();
    json!({
        "series": selection.series,
        "filter": filter,
        "kind": selection.kind.as_str(),
        "aggregate": selection.aggregate.to_string(),
        "group_by": selection.group_by,
        "from": selection.axis.from(),
        "to": selection.axis.to(),
        "whole": selection.whole.map(|whole| [whole.from, whole.to]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn dropping_a_read_stops_its_scan() {
        let store = EmbeddedStore::open_in_memory().unwrap();
        let (started, has_started) = tokio::sync::oneshot::channel();
        let (stopped, has_stopped) = tokio::sync::oneshot::channel();
        let scan = async move {
            let work = move |_: &Connection, cancelled: &Cancelled| {
                started.send(()).unwrap();
                while cancelled.check().is_ok() {
                    std::thread::yield_now();
                }
                stopped.send(()).unwrap();
                cancelled.check()
            };
            store.read(work).await
        };
        tokio::select! {
            _ = scan => panic!("the scan ended by itself"),
            started = has_started => started.unwrap(),
        }
        has_stopped.await.unwrap();
    }
}
