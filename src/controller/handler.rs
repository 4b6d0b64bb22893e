//! Keys off the queue: a keyspace's name, or a library's path. Compiled away from the threads that answer requests.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Shared;
use super::served::Absence;
use crate::catalog::{Compiled, ParsedFile, ParsedFiles, compile_keyspace, stray_file};
use crate::diagnostic::{Diagnostic, Location};
use crate::repository::{KeyspaceFiles, Outcome, SourceFile, Taken, is_stray};

/// So many keyspaces at most are published together; more would let the first wait for the last.
const BATCH: usize = 16;

/// Libraries as they were parsed last, for all keyspaces that include them.
#[derive(Default)]
pub struct Libraries(Mutex<BTreeMap<String, (blake3::Hash, Arc<ParsedFile>)>>);

impl Libraries {
    fn parsed(&self, file: &SourceFile, hash: blake3::Hash) -> Arc<ParsedFile> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, parsed)) = known().get(&file.path).filter(|(before, _)| *before == hash) {
            return Arc::clone(parsed);
        }
        let parsed = Arc::new(ParsedFile::parse(file));
        known().insert(file.path.clone(), (hash, Arc::clone(&parsed)));
        parsed
    }

    fn forget(&self, path: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }
}

/// What is to be done about one key.
enum Work {
    /// A library: what was found in it alone, if it is there.
    Library(Option<Vec<Diagnostic>>),
    /// A keyspace without files.
    Absent,
    /// Its files are as they were when they were compiled last.
    Same { revision: Option<String>, is_good: bool },
    /// Its files were compiled.
    Compiled { compiled: Compiled, fingerprint: String },
}

/// Takes keys off the queue for ever.
pub async fn work(shared: Arc<Shared>) {
    loop {
        let taken = shared.queue.take(BATCH).await;
        read_bad_files_again(&shared, &taken).await;
        let taken: Arc<[Taken]> = taken.into();
        let (handling, handled) = (Arc::clone(&shared), Arc::clone(&taken));
        if let Err(error) = tokio::task::spawn_blocking(move || handling.handle(&handled)).await {
            // Each key's own work is guarded, so that this is a fault of the program. Nothing is dropped all the same.
            tracing::error!(%error, "a handler ended");
            taken.iter().for_each(|taken| shared.queue.hand_back(&taken.key, Outcome::Retry));
        }
    }
}

/// Files that were found bad may have been read half written, and the hint at their end be lost.
async fn read_bad_files_again(shared: &Shared, taken: &[Taken]) {
    if !shared.reflector.can_read_again() {
        return;
    }
    for key in taken.iter().filter(|taken| taken.failures > 0) {
        shared.around.metrics.reload.retried();
        let files = shared.reflector.store.keyspace(&key.key).own;
        let paths: Vec<String> = files.iter().map(|(file, _)| file.path.clone()).collect();
        if !paths.is_empty() {
            shared.reflector.read_again(paths, shared).await;
        }
    }
}

impl Shared {
    /// Handles keys, publishes what came of them together, and hands them back.
    fn handle(&self, taken: &[Taken]) {
        let works: Vec<Work> = taken.iter().map(|taken| self.guarded(&taken.key)).collect();
        let now = (self.around.clock)();
        let mut outcomes = Vec::with_capacity(taken.len());
        let mut live = Vec::new();
        let mut served = self.served();
        let mut changed = false;
        let believed = works.iter().any(|work| matches!(work, Work::Absent)) && self.is_believed(&served);
        for (taken, work) in taken.iter().zip(works) {
            let is_good = matches!(&work, Work::Compiled { compiled, .. } if compiled.keyspace.is_some());
            let (outcome, is_changed) = self.apply(&mut served, &taken.key, work, believed, now);
            changed |= is_changed;
            if is_good && served.is_open {
                live.push(taken);
            }
            outcomes.push((taken, outcome));
        }
        if changed {
            self.publish(&mut served);
        }
        drop(served);
        for taken in live {
            let time = taken.since.elapsed();
            self.around.metrics.reload.live(time);
            tracing::info!(keyspace = taken.key, ms = time.as_millis() as u64, "a keyspace is live");
        }
        outcomes.into_iter().for_each(|(taken, outcome)| self.queue.hand_back(&taken.key, outcome));
    }

    /// Looks at one key; a panic is the key's error.
    fn guarded(&self, key: &str) -> Work {
        let work = catch_unwind(AssertUnwindSafe(|| self.look_at(key)));
        work.unwrap_or_else(|_| {
            tracing::error!(key, "the compiler panicked");
            let location = Location::start(format!("{key}.yaml"));
            let fault = Diagnostic::error("internal", location, "the compiler failed; this is a fault of the program");
            let compiled = Compiled { keyspace: None, diagnostics: vec![fault], libraries: Default::default() };
            Work::Compiled { compiled, fingerprint: String::new() }
        })
    }

    fn look_at(&self, key: &str) -> Work {
        if is_stray(key) {
            return Work::Library(self.reflector.store.has_stray(key).then(|| vec![stray_file(key)]));
        }
        if key.ends_with(".yaml") && (key.starts_with('_') || key.contains('/')) {
            return Work::Library(self.look_at_library(key));
        }
        let files = self.reflector.store.keyspace(key);
        if files.own.is_empty() {
            return Work::Absent;
        }
        let known = self.served().known(key);
        if let Some(known) = known.filter(|known| files.fingerprint(&known.libraries) == known.fingerprint) {
            return Work::Same { revision: files.revision, is_good: known.is_good };
        }
        let parsed = self.parse(&files);
        let compiled = compile_keyspace(key, &parsed, files.revision.as_deref());
        let fingerprint = files.fingerprint(&compiled.libraries);
        // A library may have changed before it was known who looks for it.
        if self.reflector.store.keyspace(key).fingerprint(&compiled.libraries) != fingerprint {
            self.queue.add([key.to_owned()], tokio::time::Instant::now());
        }
        Work::Compiled { compiled, fingerprint }
    }

    fn look_at_library(&self, path: &str) -> Option<Vec<Diagnostic>> {
        match self.reflector.store.libraries().into_iter().find(|file| file.path == path) {
            Some(file) => Some(self.libraries.parsed(&file, file.hash()).faults().to_vec()),
            None => {
                self.libraries.forget(path);
                None
            }
        }
    }

    fn parse(&self, files: &KeyspaceFiles) -> ParsedFiles {
        let own = files.own.iter().map(|(file, _)| (file.path.clone(), Arc::new(ParsedFile::parse(file))));
        let libraries =
            files.libraries.iter().map(|(file, hash)| (file.path.clone(), self.libraries.parsed(file, *hash)));
        own.chain(libraries).collect()
    }

    /// What becomes of a key, and whether what is served changed.
    fn apply(&self, served: &mut super::Served, key: &str, work: Work, is_believed: bool, now: i64) -> (Outcome, bool) {
        let metrics = &self.around.metrics.reload;
        let bad = if self.reflector.can_read_again() { Outcome::Retry } else { Outcome::Done };
        match work {
            Work::Library(faults) => {
                served.library(key, faults);
                (Outcome::Done, true)
            }
            Work::Absent => match served.absent(key, self.grace, is_believed, metrics, now) {
                Absence::Unknown => (Outcome::Done, false),
                Absence::Grace(wait) => (Outcome::After(wait.max(Duration::from_millis(1))), false),
                Absence::Removed => {
                    tracing::info!(keyspace = key, "a keyspace is gone");
                    (Outcome::Done, true)
                }
            },
            Work::Same { revision, is_good } => {
                let changed = served.same(key, revision.as_deref(), metrics);
                (if is_good { Outcome::Done } else { bad }, changed)
            }
            Work::Compiled { compiled, fingerprint } => {
                for found in &compiled.diagnostics {
                    let place = &found.location;
                    tracing::warn!(code = found.code, %place, severity = found.severity.as_str(), "{}", found.message);
                }
                let is_good = served.compiled(key, compiled, fingerprint, now, metrics);
                // Also where it is bad: what is found is a part of what is published.
                (if is_good { Outcome::Done } else { bad }, true)
            }
        }
    }
}
