//! The embedded store: SQLite in one file. Aggregation happens in the scan; raw points are kept only for percentiles.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{
    Backend, BackendError, CallPreview, GroupColumn, SelectBatch, Selected, Selection, SelectionError, SelectionFrame,
    ValuesQuery,
};
use crate::series::aggregate::Accumulator;
use crate::series::{Kind, Point, Tags};

/// The version of the tables, in SQLite's `user_version`.
const VERSION: i64 = 1;
const NAME: &str = "embedded";
/// A counter's previous point is sought at most so long before the read, in milliseconds.
const COUNTER_LOOKBACK: i64 = 5 * 60_000;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS series (id INTEGER PRIMARY KEY, name TEXT NOT NULL, tags TEXT NOT NULL, UNIQUE (name, tags));
    CREATE TABLE IF NOT EXISTS points (
        series INTEGER NOT NULL, timestamp INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (series, timestamp)
    ) WITHOUT ROWID;
    PRAGMA user_version = 1;";

/// A store in a file, or in memory for tests. Cheap to clone.
#[derive(Clone)]
pub struct EmbeddedStore {
    place: Place,
}

#[derive(Clone)]
enum Place {
    File(PathBuf),
    Memory(Arc<Mutex<Connection>>),
}

impl EmbeddedStore {
    /// Opens a file, and makes it where there is none.
    ///
    /// # Errors
    /// When it cannot be opened or is not a store of this version.
    pub fn open(path: &Path) -> Result<EmbeddedStore, BackendError> {
        let store = EmbeddedStore { place: Place::File(path.to_owned()) };
        store.with(|connection| {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.execute_batch(TABLES)
        })?;
        Ok(store)
    }

    /// A store that ends with the process.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn open_in_memory() -> Result<EmbeddedStore, BackendError> {
        let connection = Connection::open_in_memory().and_then(|connection| {
            connection.execute_batch(TABLES)?;
            Ok(connection)
        });
        let connection = connection.map_err(|error| failed(&error.to_string()))?;
        Ok(EmbeddedStore { place: Place::Memory(Arc::new(Mutex::new(connection))) })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, BackendError> {
        let result = match &self.place {
            Place::File(path) => open_file(path).and_then(|mut connection| work(&mut connection)),
            Place::Memory(connection) => work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner)),
        };
        result.map_err(|error| failed(&format!("{}: {error}", self.target())))
    }

    fn target(&self) -> String {
        match &self.place {
            Place::File(path) => format!("SQLite {}", path.display()),
            Place::Memory(_) => "SQLite in memory".to_owned(),
        }
    }

    /// SQLite blocks, so its work happens beside the runtime's workers.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BackendError> {
        let store = self.clone();
        let joined = tokio::task::spawn_blocking(move || store.with(work)).await;
        joined.map_err(|error| failed(&error.to_string()))?
    }
}

fn failed(reason: &str) -> BackendError {
    BackendError::Failed { backend: NAME, reason: reason.to_owned() }
}

fn open_file(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    // With a write-ahead log a reader never waits; FULL makes a commit outlive the process and the machine.
    connection.pragma_update(None, "synchronous", "FULL")?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > VERSION {
        let detail = format!("the file was written by a newer version ({version}); this one reads {VERSION}");
        return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(26), Some(detail)));
    }
    Ok(connection)
}

#[async_trait]
impl Backend for EmbeddedStore {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn select(&self, batch: &SelectBatch) -> Result<Selected, BackendError> {
        let batch = batch.clone();
        let frames = self.blocking(move |connection| select(&connection.transaction()?, &batch)).await?;
        Ok(Selected { frames, calls: 1 })
    }

    fn preview(&self, batch: &SelectBatch) -> Vec<CallPreview> {
        let selections = batch.selections.iter().map(|selection| {
            serde_json::json!({ "series": selection.series, "filter": selection.filter,
                "aggregate": selection.aggregate.to_string(), "group_by": selection.group_by })
        });
        let body = serde_json::json!({ "from": batch.axis.from(), "to": batch.axis.to(), "step": batch.step.to_string(),
            "selections": selections.collect::<Vec<_>>() });
        vec![CallPreview { target: self.target(), body }]
    }

    async fn tag_values(
        &self,
        queries: &[ValuesQuery],
        range: Range<i64>,
        limit: usize,
    ) -> Result<(Vec<String>, bool), BackendError> {
        let queries = queries.to_vec();
        let mut values = self
            .blocking(move |connection| {
                let transaction = connection.transaction()?;
                let mut values = BTreeSet::new();
                for query in &queries {
                    for (id, tags) in stored_series(&transaction, &query.series)? {
                        let value = tags.get(&query.tag).filter(|value| !values.contains(*value));
                        if let Some(value) = value
                            && passes(&tags, &query.filter)
                            && has_points(&transaction, id, &range)?
                        {
                            values.insert(value.clone());
                        }
                    }
                }
                Ok(values.into_iter().collect::<Vec<String>>())
            })
            .await?;
        let truncated = values.len() > limit;
        values.truncate(limit);
        Ok((values, truncated))
    }

    async fn write(&self, points: &[Point]) -> Result<(), BackendError> {
        let points = points.to_vec();
        self.blocking(move |connection| {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            write(&transaction, &points)?;
            transaction.commit()
        })
        .await
    }

    async fn check_health(&self) -> Result<(), BackendError> {
        self.blocking(|connection| connection.query_row("SELECT 1", [], |_| Ok(()))).await
    }
}

fn write(transaction: &Transaction<'_>, points: &[Point]) -> rusqlite::Result<()> {
    let mut find = transaction.prepare_cached("SELECT id FROM series WHERE name = ? AND tags = ?")?;
    let mut make = transaction.prepare_cached("INSERT INTO series (name, tags) VALUES (?, ?)")?;
    let mut put =
        transaction.prepare_cached("INSERT OR REPLACE INTO points (series, timestamp, value) VALUES (?, ?, ?)")?;
    let mut known: BTreeMap<(&str, String), i64> = BTreeMap::new();
    for point in points {
        let tags: Tags =
            point.tags.iter().filter(|(_, value)| !value.is_empty()).map(|(k, v)| (k.clone(), v.clone())).collect();
        let tags = serde_json::to_string(&tags).unwrap_or_default();
        let key = (point.series.as_str(), tags);
        let id = match known.get(&key) {
            Some(id) => *id,
            None => {
                let found = find.query_row(params![key.0, key.1], |row| row.get(0)).optional()?;
                let id = match found {
                    Some(id) => id,
                    None => make.insert(params![key.0, key.1])?,
                };
                known.insert(key, id);
                id
            }
        };
        put.execute(params![id, point.timestamp, point.value])?;
    }
    Ok(())
}

fn stored_series(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<Vec<(i64, Tags)>> {
    let mut statement = transaction.prepare_cached("SELECT id, tags FROM series WHERE name = ? ORDER BY id")?;
    let rows = statement.query_map([name], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    rows.map(|row| row.map(|(id, tags)| (id, serde_json::from_str(&tags).unwrap_or_default()))).collect()
}

fn has_points(transaction: &Transaction<'_>, series: i64, range: &Range<i64>) -> rusqlite::Result<bool> {
    let mut statement = transaction
        .prepare_cached("SELECT 1 FROM points WHERE series = ? AND timestamp >= ? AND timestamp < ? LIMIT 1")?;
    statement.exists(params![series, range.start, range.end])
}

/// Whether a stored series is one of those that a filter selects; a missing tag is `""`.
fn passes(tags: &Tags, filter: &BTreeMap<String, Vec<String>>) -> bool {
    filter.iter().all(|(tag, values)| values.iter().any(|value| value == tags.get(tag).map_or("", String::as_str)))
}

/// What one selection has gathered so far.
struct Gathering<'a> {
    selection: &'a Selection,
    accumulator: Accumulator<'a>,
    /// How many stored series with points each group has, for `distinct`.
    members: BTreeMap<Vec<Arc<str>>, usize>,
    error: Option<SelectionError>,
}

fn select(
    transaction: &Transaction<'_>,
    batch: &SelectBatch,
) -> rusqlite::Result<Vec<Result<SelectionFrame, SelectionError>>> {
    let mut gatherings: Vec<Gathering<'_>> = batch
        .selections
        .iter()
        .map(|selection| Gathering {
            selection,
            accumulator: Accumulator::new(selection.aggregate, &batch.axis, selection.whole.map(|w| (w.from, w.to))),
            members: BTreeMap::new(),
            error: None,
        })
        .collect();
    let names: BTreeSet<&str> = batch.selections.iter().map(|selection| selection.series.as_str()).collect();
    for name in names {
        for (id, tags) in stored_series(transaction, name)? {
            scan(transaction, batch, &mut gatherings, (id, name, &tags))?;
        }
    }
    let mut cells = 0;
    let frames = gatherings.into_iter().map(|gathering| {
        cells += gathering.accumulator.groups() * batch.axis.len();
        match gathering.error {
            Some(error) => Err(error),
            None if cells > batch.limits.cells => Err(over("answer_points", cells, batch.limits.cells)),
            None => Ok(SelectionFrame {
                groups: gathering
                    .accumulator
                    .finish()
                    .into_iter()
                    .map(|(key, values, whole)| GroupColumn { key, values, whole })
                    .collect(),
            }),
        }
    });
    Ok(frames.collect())
}

fn over(limit: &'static str, value: usize, maximum: usize) -> SelectionError {
    SelectionError::Limit { limit, value: value as u64, maximum: maximum as u64 }
}

/// Reads a stored series once for all selections that want it.
fn scan(
    transaction: &Transaction<'_>,
    batch: &SelectBatch,
    gatherings: &mut [Gathering<'_>],
    (id, name, tags): (i64, &str, &Tags),
) -> rusqlite::Result<()> {
    let wants = |gathering: &&mut Gathering<'_>| {
        gathering.error.is_none() && gathering.selection.series == name && passes(tags, &gathering.selection.filter)
    };
    let mut readers: Vec<&mut Gathering<'_>> = gatherings.iter_mut().filter(wants).collect();
    if readers.is_empty() {
        return Ok(());
    }
    for reader in &mut readers {
        let value = |tag: &String| Arc::from(tags.get(tag).map_or("", String::as_str));
        reader.accumulator.series(reader.selection.group_by.iter().map(value).collect());
    }
    let mut statement = transaction.prepare_cached(
        "SELECT timestamp, value FROM points WHERE series = ? AND timestamp >= ? AND timestamp < ? ORDER BY timestamp",
    )?;
    let from = batch.axis.from();
    let mut rows = statement.query(params![id, from - COUNTER_LOOKBACK, batch.axis.to()])?;
    let (mut previous, mut any) = (None, false);
    while let Some(row) = rows.next()? {
        let (timestamp, value): (i64, f64) = (row.get(0)?, row.get(1)?);
        for reader in &mut readers {
            match (reader.selection.kind, previous) {
                (Kind::Counter, None) => {}
                (Kind::Counter, Some(before)) => {
                    reader.accumulator.push(timestamp, if value >= before { value - before } else { value });
                }
                _ => reader.accumulator.push(timestamp, value),
            }
        }
        any |= timestamp >= from;
        previous = Some(value);
    }
    for reader in readers {
        check(reader, batch, any, tags);
    }
    Ok(())
}

/// What a selection must not come to, checked after each stored series.
fn check(reader: &mut Gathering<'_>, batch: &SelectBatch, any: bool, tags: &Tags) {
    let (groups, kept) = (reader.accumulator.groups(), reader.accumulator.kept_points());
    if groups > batch.limits.groups {
        reader.error = Some(over("series", groups, batch.limits.groups));
    } else if kept > batch.limits.raw_points {
        reader.error = Some(over("raw_points", kept, batch.limits.raw_points));
    } else if any && reader.selection.kind == Kind::Distinct {
        let value = |tag: &String| Arc::from(tags.get(tag).map_or("", String::as_str));
        let members = reader.members.entry(reader.selection.group_by.iter().map(value).collect()).or_default();
        *members += 1;
        if *members > 1 {
            let detail = "a distinct count cannot be added up: more than one stored series is in a group; filter or group \
                by the tags that tell them apart";
            reader.error = Some(SelectionError::NotAdditive(detail.to_owned()));
        }
    }
}
