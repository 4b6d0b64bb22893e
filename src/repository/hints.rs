//! What may have changed, gathered until it is quiet.
//!
//! An editor writes a file in several steps, and a checkout many files at once. A hint is held back until nothing more is
//! heard of its file for a moment: a short one after the writer has closed the file, a longer one while it is still open. It
//! is never held back for long, whatever more is heard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// After a file was closed, renamed or removed.
const QUIET: Duration = Duration::from_millis(20);
/// While it is still being written.
const OPEN: Duration = Duration::from_millis(500);
/// No hint is held back longer than this.
const LONGEST: Duration = Duration::from_millis(800);
/// More files than these make a listing the better answer.
const MAX_FILES: usize = 1_000;

/// Hints of one source: written by its watcher, taken by the reflector.
#[derive(Debug, Default)]
pub struct Hints {
    pending: Mutex<Pending>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    files: BTreeMap<String, Held>,
    listing: Option<Held>,
    lost: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    since: Instant,
    until: Instant,
}

impl Held {
    /// Held back from now on, or for longer.
    fn extend(held: Option<Held>, quiet: Duration) -> Held {
        let now = Instant::now();
        let since = held.map_or(now, |held| held.since);
        Held { since, until: (now + quiet).min(since + LONGEST) }
    }
}

/// What is to be looked at now.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// These files, each with when it was first heard of.
    Files(Vec<(String, Instant)>),
    /// Everything.
    Listing {
        /// When that was first heard of.
        since: Instant,
        /// Why events were lost, if they were.
        lost: Option<String>,
    },
}

impl Hints {
    /// A file may have changed; `closed`: whoever wrote it is done.
    pub fn file(&self, path: &str, closed: bool) {
        let mut pending = self.lock();
        if pending.files.len() >= MAX_FILES && !pending.files.contains_key(path) {
            pending.listing = Some(Held::extend(pending.listing, QUIET));
        } else {
            let held = Held::extend(pending.files.get(path).copied(), if closed { QUIET } else { OPEN });
            pending.files.insert(path.to_owned(), held);
        }
        drop(pending);
        self.changed.notify_one();
    }

    /// Anything may have changed.
    pub fn anything(&self) {
        let mut pending = self.lock();
        pending.listing = Some(Held::extend(pending.listing, QUIET));
        drop(pending);
        self.changed.notify_one();
    }

    /// Hints were lost.
    pub fn lost(&self, reason: impl Into<String>) {
        self.lock().lost = Some(reason.into());
        self.anything();
    }

    /// The files that are not to be looked at yet.
    pub fn held_back(&self) -> BTreeSet<String> {
        let now = Instant::now();
        let pending = self.lock();
        pending.files.iter().filter(|(_, held)| held.until > now).map(|(path, _)| path.clone()).collect()
    }

    /// Waits until something is to be looked at.
    pub async fn due(&self) -> Due {
        loop {
            let next = match self.take() {
                Ok(due) => return due,
                Err(next) => next,
            };
            match next {
                Some(next) => tokio::select! {
                    () = tokio::time::sleep_until(next) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// What is due now, else when the next is.
    fn take(&self) -> Result<Due, Option<Instant>> {
        let mut pending = self.lock();
        let now = Instant::now();
        if let Some(held) = pending.listing.filter(|held| held.until <= now) {
            let first = pending.files.values().map(|held| held.since).min();
            let since = first.map_or(held.since, |first| first.min(held.since));
            let lost = pending.lost.take();
            // A file that is still being written is looked at again once it is closed; all others are in the listing.
            pending.files.retain(|_, held| held.until > now);
            pending.listing = None;
            return Ok(Due::Listing { since, lost });
        }
        let due = pending.files.iter().filter(|(_, held)| held.until <= now);
        let due: Vec<(String, Instant)> = due.map(|(path, held)| (path.clone(), held.since)).collect();
        if due.is_empty() {
            return Err(pending.files.values().chain(&pending.listing).map(|held| held.until).min());
        }
        pending.files.retain(|_, held| held.until > now);
        Ok(Due::Files(due))
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_file_is_due_a_moment_after_it_was_closed() {
        let hints = Hints::default();
        let begun = Instant::now();
        hints.file("shop.yaml", false);
        tokio::time::advance(Duration::from_millis(100)).await;
        hints.file("shop.yaml", true);
        assert_eq!(hints.due().await, Due::Files(vec![("shop.yaml".to_owned(), begun)]));
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_millis(120) && waited < OPEN, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_written_for_ever_is_due_all_the_same() {
        let hints = Hints::default();
        let begun = Instant::now();
        let writing = async {
            loop {
                hints.file("shop.yaml", false);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! { () = writing => {}, due = hints.due() => assert!(matches!(due, Due::Files(_))) }
        assert!(begun.elapsed() <= LONGEST + Duration::from_millis(50), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn many_files_become_one_listing() {
        let hints = Hints::default();
        (0..MAX_FILES + 10).for_each(|i| hints.file(&format!("k{i}.yaml"), true));
        hints.lost("overflow");
        let Due::Listing { lost, .. } = hints.due().await else { panic!("a listing") };
        assert_eq!(lost.as_deref(), Some("overflow"));
        assert!(hints.lock().files.is_empty());
    }
}
