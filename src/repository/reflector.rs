//! Keeps the store like the source: lists it, then follows its hints, and lists it anew from time to time, for hints may be
//! lost.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use super::{Change, Due, Hints, Listing, RepositoryError, Source, SourceFile, Store};

/// The first wait after a listing that failed; the longest is the time between listings.
const FIRST_RETRY: Duration = Duration::from_millis(200);

/// How changes were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundBy {
    /// The first listing.
    Start,
    /// A hint of the source.
    Watch,
    /// A listing that no hint asked for: in a source that gives hints, they were lost.
    Resync,
    /// An operator, or whoever pushed.
    Reload,
}

impl FoundBy {
    /// As in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            FoundBy::Start => "start",
            FoundBy::Watch => "watch",
            FoundBy::Resync => "resync",
            FoundBy::Reload => "reload",
        }
    }
}

/// What a listing, or a read of some files, came to.
#[derive(Debug)]
pub struct Changed {
    /// Which files.
    pub changes: Vec<Change>,
    /// When that was noticed.
    pub since: Instant,
    /// How.
    pub found_by: FoundBy,
    /// Whether the source gives hints, and none was given.
    pub missed: bool,
    /// Whether the revision of the whole repository is another, so that every keyspace's is.
    pub revised: bool,
}

/// Is told what the reflector finds.
pub trait Observer: Send + Sync {
    /// The store has changed.
    fn changed(&self, changed: &Changed);
    /// The repository was listed, or could not be.
    fn listed(&self, outcome: Result<(), &RepositoryError>);
    /// Hints were lost, and why; a listing follows.
    fn lost(&self, reason: &str);
}

/// How often a source is listed where nothing asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// A source that gives hints.
    pub resync: Duration,
    /// A source that gives none.
    pub poll: Duration,
}

/// How the repository is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Why it could not be listed last; `None`: it could.
    pub error: Option<String>,
    /// How often in a row it could not.
    pub failures: u32,
}

/// Follows one source.
pub struct Reflector {
    source: Arc<dyn Source>,
    /// What the source holds.
    pub store: Store,
    hints: Arc<Hints>,
    intervals: Intervals,
    backoff: Backoff,
    health: Mutex<Health>,
    /// Held while the source is read and the store written, so that an older read never takes the place of a newer one.
    reading: tokio::sync::Mutex<()>,
}

impl Reflector {
    /// For one source, which is not read yet.
    pub fn new(source: Arc<dyn Source>, intervals: Intervals) -> Reflector {
        Reflector {
            source,
            store: Store::default(),
            hints: Arc::default(),
            intervals,
            backoff: Backoff::new(FIRST_RETRY, intervals.resync.max(FIRST_RETRY)),
            health: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Lists the source and takes what it holds, but for files that are being written. Where it cannot be listed, or holds
    /// no keyspace any more, the store stays as it is.
    ///
    /// # Errors
    /// Why nothing was taken.
    pub async fn list(&self, found_by: FoundBy, observer: &dyn Observer) -> Result<(), RepositoryError> {
        self.list_since(found_by, Instant::now(), observer).await
    }

    async fn list_since(
        &self,
        found_by: FoundBy,
        since: Instant,
        observer: &dyn Observer,
    ) -> Result<(), RepositoryError> {
        let _reading = self.reading.lock().await;
        let held_back = match found_by {
            // Whoever asks for it wants what is there now.
            FoundBy::Start | FoundBy::Reload => BTreeSet::new(),
            FoundBy::Watch | FoundBy::Resync => self.hints.held_back(),
        };
        let source = Arc::clone(&self.source);
        let listed = tokio::task::spawn_blocking(move || list(source.as_ref())).await;
        let listed = listed.unwrap_or_else(|error| {
            Err(RepositoryError::Unreadable { place: self.source.place(), reason: error.to_string() })
        });
        self.set_health(listed.as_ref().err());
        observer.listed(listed.as_ref().map(drop));
        let mut listing = listed?;
        let before = self.store.revision();
        self.store.keep(&mut listing, &held_back);
        let revised = listing.revision.as_ref().is_some_and(|revision| *revision != before);
        let changes = self.store.replace(listing);
        if !changes.is_empty() || revised {
            let missed = found_by == FoundBy::Resync && self.source.gives_hints();
            observer.changed(&Changed { changes, since, found_by, missed, revised });
        }
        Ok(())
    }

    /// Reads files again that were found to be bad, in case a hint was lost.
    pub async fn read_again(&self, paths: Vec<String>, observer: &dyn Observer) {
        let now = Instant::now();
        let held_back = self.hints.held_back();
        let paths = paths.into_iter().filter(|path| !held_back.contains(path)).map(|path| (path, now)).collect();
        self.read(paths, FoundBy::Resync, observer).await;
    }

    /// Reads single files; where one is gone, only a listing can tell whether the whole repository is.
    async fn read(&self, paths: Vec<(String, Instant)>, found_by: FoundBy, observer: &dyn Observer) {
        let since = paths.iter().map(|(_, since)| *since).min().unwrap_or_else(Instant::now);
        if self.health().error.is_none() {
            let _reading = self.reading.lock().await;
            let source = Arc::clone(&self.source);
            let read =
                move || paths.into_iter().map(|(path, _)| source.read(&path)).collect::<Option<Vec<SourceFile>>>();
            if let Ok(Some(files)) = tokio::task::spawn_blocking(read).await {
                let changes: Vec<Change> = files.into_iter().filter_map(|file| self.store.put(file)).collect();
                if !changes.is_empty() {
                    let missed = found_by == FoundBy::Resync && self.source.gives_hints();
                    observer.changed(&Changed { changes, since, found_by, missed, revised: false });
                }
                return;
            }
        }
        // Its failure was told to the observer, and is tried again.
        let _ = self.list_since(found_by, since, observer).await;
    }

    /// Follows the source for ever.
    pub async fn follow(&self, observer: &dyn Observer) {
        let _watch = Arc::clone(&self.source).watch(Arc::clone(&self.hints));
        // What changed between the first listing and the watch gave no hint.
        self.hints.anything();
        let mut next = self.next_listing();
        loop {
            let due = tokio::select! {
                due = self.hints.due() => Some(due),
                () = tokio::time::sleep_until(next) => None,
            };
            match due {
                Some(Due::Files(paths)) => {
                    self.read(paths, FoundBy::Watch, observer).await;
                    // A repository that has turned bad is looked at soon; one that is well keeps its time.
                    next = next.min(self.next_listing());
                    continue;
                }
                Some(Due::Listing { since, lost }) => {
                    let found_by = if lost.is_some() { FoundBy::Resync } else { FoundBy::Watch };
                    lost.iter().for_each(|reason| observer.lost(reason));
                    let _ = self.list_since(found_by, since, observer).await;
                }
                None => drop(self.list(FoundBy::Resync, observer).await),
            }
            next = self.next_listing();
        }
    }

    /// Asks for a listing soon.
    pub fn poke(&self) {
        self.hints.anything();
    }

    /// Has the source give back what it holds on disk.
    pub fn close(&self) {
        self.source.close();
    }

    /// How the repository is.
    pub fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether single files are worth reading again: a source without hints changes as a whole.
    pub fn can_read_again(&self) -> bool {
        self.source.gives_hints()
    }

    fn set_health(&self, error: Option<&RepositoryError>) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.failures = error.map_or(0, |_| health.failures.saturating_add(1));
        health.error = error.map(ToString::to_string);
    }

    fn next_listing(&self) -> Instant {
        let failures = self.health().failures;
        let wait = match failures {
            0 if self.source.gives_hints() => self.intervals.resync,
            0 => self.intervals.poll,
            _ => self.backoff.after("listing", failures),
        };
        Instant::now() + wait
    }
}

/// Lists a source; a repository without one keyspace is an error, never the deletion of all.
fn list(source: &dyn Source) -> Result<Listing, RepositoryError> {
    let listing = source.list()?;
    listing.check_not_empty(|| source.place())?;
    Ok(listing)
}
