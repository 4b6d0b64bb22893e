//! What is served, and how each keyspace fares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::status::{KeyspaceState, KeyspaceStatus, QueueStatus, Status};
use crate::catalog::{Catalog, Compiled, Keyspace};
use crate::diagnostic::{self, Diagnostic, Severity};
use crate::repository::{Store, WorkQueue};
use crate::telemetry::{KeyspaceGauge, ReloadMetrics};

/// What is served, and how each keyspace fares.
#[derive(Default)]
pub struct Served {
    /// Whether catalogs are published yet.
    pub is_open: bool,
    /// Whether that waits until a reload is through, so that all of it is published as one.
    pub is_held: bool,
    /// By name.
    pub keyspaces: BTreeMap<String, Arc<Keyspace>>,
    /// Of each keyspace that has files or is served.
    records: BTreeMap<String, Record>,
    /// What was found in each library alone.
    library_faults: BTreeMap<String, Vec<Diagnostic>>,
    /// When a catalog was published last, in epoch milliseconds.
    pub published_at: Option<i64>,
    /// When the repository was looked at last.
    pub tried_at: Option<i64>,
    /// When it was last listed well.
    pub listed_at: Option<i64>,
    /// Whether the last look failed.
    pub is_failing: bool,
}

/// How one keyspace fares.
struct Record {
    state: KeyspaceState,
    since: i64,
    diagnostics: Vec<Diagnostic>,
    /// Of the files that were compiled last, well or not.
    fingerprint: String,
    /// Where its libraries were looked for.
    libraries: BTreeSet<String>,
    gone: Option<Gone>,
}

/// Its files are gone.
#[derive(Clone, Copy)]
struct Gone {
    since: Instant,
    /// It leaves without its grace time.
    at_once: bool,
}

/// Whether a keyspace without files may stay.
#[derive(Debug, PartialEq, Eq)]
pub enum Absence {
    /// There is nothing of it.
    Unknown,
    /// It is served for so long.
    Grace(Duration),
    /// It was removed.
    Removed,
}

/// What was compiled last of a keyspace.
pub struct Known {
    /// Of its files.
    pub fingerprint: String,
    /// Where its libraries were looked for.
    pub libraries: BTreeSet<String>,
    /// Whether it was good.
    pub is_good: bool,
}

impl Served {
    /// What was compiled last of a keyspace.
    pub fn known(&self, name: &str) -> Option<Known> {
        self.records.get(name).map(|record| Known {
            fingerprint: record.fingerprint.clone(),
            libraries: record.libraries.clone(),
            is_good: !record.has_errors(),
        })
    }

    /// The keyspaces that looked for a library at a path.
    pub fn users_of<'a>(&'a self, library: &'a str) -> impl Iterator<Item = String> + 'a {
        self.records.iter().filter(|(_, record)| record.libraries.contains(library)).map(|(name, _)| name.clone())
    }

    /// Takes what became of a keyspace's files. True: what is served changed.
    pub fn compiled(
        &mut self,
        name: &str,
        compiled: Compiled,
        fingerprint: String,
        now: i64,
        metrics: &ReloadMetrics,
    ) -> bool {
        let is_good = compiled.keyspace.is_some();
        if let Some(keyspace) = compiled.keyspace {
            self.keyspaces.insert(name.to_owned(), keyspace);
        }
        let state = match (is_good, self.keyspaces.contains_key(name)) {
            (true, _) => KeyspaceState::Serving,
            (false, true) => KeyspaceState::LastGood,
            (false, false) => KeyspaceState::Broken,
        };
        // A good keyspace with other content counts from now on; a bad one from when it turned bad.
        let unchanged = |record: &&Record| record.state == state && (!is_good || record.fingerprint == fingerprint);
        let since = self.records.get(name).filter(unchanged).map_or(now, |record| record.since);
        let libraries = compiled.libraries;
        let record = Record { state, since, diagnostics: compiled.diagnostics, fingerprint, libraries, gone: None };
        self.put(name, Some(record), metrics);
        is_good
    }

    /// A keyspace's files are as they were; it may be of another commit now. True: what is served changed.
    pub fn same(&mut self, name: &str, revision: Option<&str>, metrics: &ReloadMetrics) -> bool {
        let Some(mut record) = self.records.remove(name) else { return false };
        if record.gone.take().is_some() {
            record.state = if record.has_errors() { KeyspaceState::LastGood } else { KeyspaceState::Serving };
        }
        let mut changed = false;
        if let (Some(revision), KeyspaceState::Serving, Some(keyspace)) =
            (revision, record.state, self.keyspaces.get_mut(name))
            && keyspace.revision != revision
        {
            *keyspace = Arc::new(Keyspace { revision: revision.to_owned(), ..Keyspace::clone(keyspace) });
            changed = true;
        }
        self.put(name, Some(record), metrics);
        changed
    }

    /// A keyspace has no files. It leaves once its grace time is over, unless what the repository holds now is not to be
    /// believed.
    pub fn absent(
        &mut self,
        name: &str,
        grace: Duration,
        is_believed: bool,
        metrics: &ReloadMetrics,
        now: i64,
    ) -> Absence {
        let Some(mut record) = self.records.remove(name) else { return Absence::Unknown };
        let gone = record.gone.unwrap_or(Gone { since: Instant::now(), at_once: false });
        let waited = gone.since.elapsed();
        let is_over = (gone.at_once || waited >= grace) && is_believed;
        if is_over || !self.keyspaces.contains_key(name) {
            self.keyspaces.remove(name);
            self.put(name, None, metrics);
            return Absence::Removed;
        }
        if record.gone.is_none() {
            (record.state, record.since) = (KeyspaceState::Leaving, now);
        }
        record.gone = Some(gone);
        self.put(name, Some(record), metrics);
        Absence::Grace(if waited >= grace { grace.max(Duration::from_millis(100)) } else { grace - waited })
    }

    /// Whether some keyspace that has files is served. Where none is, what is served stays, files or not: files that are all
    /// broken, in the place of good ones, are a slip, and would take away everything that works.
    pub fn has_any_of(&self, store: &Store) -> bool {
        self.keyspaces.keys().any(|name| store.holds(name))
    }

    /// Keyspaces that are none of `present` leave without their grace time; their names.
    pub fn forget_grace(&mut self, present: &BTreeSet<String>) -> Vec<String> {
        let absent = self.records.iter_mut().filter(|(name, _)| !present.contains(*name));
        let forget = |(name, record): (&String, &mut Record)| {
            record.gone = Some(Gone { since: Instant::now(), at_once: true });
            name.clone()
        };
        absent.map(forget).collect()
    }

    /// Shows no more of the keyspaces that the successor does not have.
    pub fn leave_metrics(&self, successor: &Served, metrics: &ReloadMetrics) {
        let left = self.records.keys().filter(|name| !successor.records.contains_key(*name));
        left.for_each(|name| metrics.show(name, None));
    }

    /// What was found in a library alone; `None`: it is gone.
    pub fn library(&mut self, path: &str, faults: Option<Vec<Diagnostic>>) {
        match faults.filter(|faults| !faults.is_empty()) {
            Some(faults) => drop(self.library_faults.insert(path.to_owned(), faults)),
            None => drop(self.library_faults.remove(path)),
        }
    }

    /// Everything that is found, by place.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        let all = self.records.values().map(|record| &record.diagnostics).chain(self.library_faults.values());
        let mut all: Vec<Diagnostic> = all.flatten().cloned().collect();
        diagnostic::sort(&mut all);
        all
    }

    /// What is published.
    pub fn catalog(&self, revision: String) -> Catalog {
        Catalog { revision, keyspaces: self.keyspaces.clone(), diagnostics: self.diagnostics() }
    }

    /// The keyspaces whose files have errors.
    pub fn broken(&self) -> Vec<String> {
        self.records.iter().filter(|(_, record)| record.has_errors()).map(|(name, _)| name.clone()).collect()
    }

    /// What an operator sees.
    pub fn status(&self, queue: &WorkQueue) -> Status {
        let sample = queue.sample();
        let keyspaces = self.records.iter().map(|(name, record)| {
            let retry = queue.retry(name);
            let status = KeyspaceStatus {
                state: record.state,
                revision: self.keyspaces.get(name).map(|keyspace| keyspace.revision.clone()),
                since: record.since,
                retries: retry.map_or(0, |(failures, _)| failures),
                retry_in_ms: retry.map(|(_, wait)| wait.as_millis() as u64),
                diagnostics: record.diagnostics.clone(),
            };
            (name.clone(), status)
        });
        Status {
            source: String::new(),
            published_at: self.published_at,
            tried_at: self.tried_at,
            listed_at: self.listed_at,
            error: None,
            warnings: Vec::new(),
            queue: QueueStatus {
                depth: sample.depth,
                age_ms: sample.age.as_millis() as u64,
                retrying: sample.retrying,
            },
            keyspaces: keyspaces.collect(),
            diagnostics: self.library_faults.values().flatten().cloned().collect(),
        }
    }

    fn put(&mut self, name: &str, record: Option<Record>, metrics: &ReloadMetrics) {
        let revision = self.keyspaces.get(name).map_or(String::new(), |keyspace| keyspace.revision.clone());
        let gauge = record.as_ref().map(|record| KeyspaceGauge {
            keyspace: name.to_owned(),
            state: record.state.as_str(),
            revision,
            since: record.since,
        });
        metrics.show(name, gauge);
        match record {
            Some(record) => drop(self.records.insert(name.to_owned(), record)),
            None => drop(self.records.remove(name)),
        }
    }
}

impl Record {
    /// Whether what was compiled last was not good.
    fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|found| found.severity == Severity::Error)
    }
}
