//! Hints from the kernel's events about the root and the folders in it.
//!
//! A thread sees to what events cannot tell: that another directory was mounted, or linked to, in the place of the root, that
//! there are other folders to watch. Where the kernel gives no events (its limits are reached), that thread compares the
//! files' metadata instead, and tries to get events again from time to time.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RemoveKind};
use notify::{ErrorKind, Event, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::{Directory, Identity};
use crate::repository::{Hints, is_of_repository};

/// How often the thread looks whether the root is still the same, and, without events, whether files changed.
const LOOK: Duration = Duration::from_millis(200);
/// How often it tries to get events where it has none.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// Watches until it is dropped.
pub struct Watcher {
    thread: Thread,
    flags: Arc<Flags>,
}

#[derive(Default)]
struct Flags {
    stop: AtomicBool,
    /// The folders may be others.
    folders: AtomicBool,
    /// A folder is gone, and the kernel's watch with it: one that comes in its place may even have its inode.
    gone: AtomicBool,
}

impl Watcher {
    /// Starts the thread. Without one, only listings find what changed.
    pub fn start(directory: Arc<Directory>, hints: Arc<Hints>) -> Option<Watcher> {
        let flags = Arc::<Flags>::default();
        let looking = Looking { directory, hints, flags: Arc::clone(&flags) };
        let thread = std::thread::Builder::new().name("tsdb-ws watch".to_owned()).spawn(move || looking.run());
        let thread = thread.inspect_err(|error| tracing::error!(%error, "cannot watch the repository")).ok()?;
        Some(Watcher { thread: thread.thread().clone(), flags })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.flags.stop.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// What events are given of.
struct Watched {
    root: Identity,
    folders: Vec<(String, Identity)>,
    _watcher: RecommendedWatcher,
}

struct Looking {
    directory: Arc<Directory>,
    hints: Arc<Hints>,
    flags: Arc<Flags>,
}

impl Looking {
    fn run(self) {
        let mut watched: Option<Watched> = None;
        let mut signature = None;
        let mut tried: Option<Instant> = None;
        let mut tried_in_vain = false;
        while !self.flags.stop.load(Ordering::Acquire) {
            let looked_at =
                self.flags.folders.swap(false, Ordering::AcqRel).then(|| self.directory.folder_identities());
            let gone = self.flags.gone.swap(false, Ordering::AcqRel);
            let root = self.directory.identity();
            let is_current = watched.as_ref().is_some_and(|watched| {
                !gone && Some(watched.root) == root && looked_at.is_none_or(|folders| folders == watched.folders)
            });
            let may_try = watched.is_some() || tried.is_none_or(|tried| tried.elapsed() >= TRY_AGAIN);
            // The listing says what is wrong with a root that is not there.
            if let (false, true, Some(root)) = (is_current, may_try, root) {
                tried = Some(Instant::now());
                // The old watch ends after the new one has begun; what happened before that gave no event.
                let found = self.watch(root);
                // Told once, not at each try.
                match (&found, std::mem::replace(&mut tried_in_vain, found.is_err())) {
                    (Err(reason), false) => self.hints.lost(format!("the kernel gives no events: {reason}")),
                    (Ok(_), true) => tracing::info!("the kernel gives events again"),
                    _ => {}
                }
                watched = found.ok();
                self.hints.anything();
                signature = None;
            } else if root.is_none() && watched.take().is_some() {
                tried = None;
                self.hints.anything();
            }
            if watched.is_none() && root.is_some() {
                let now = self.directory.signature();
                if signature.replace(now).is_some_and(|before| before != now) {
                    self.hints.anything();
                }
            }
            std::thread::park_timeout(LOOK);
        }
    }

    /// Events of the root and its folders, else why the kernel gives none.
    fn watch(&self, root: Identity) -> notify::Result<Watched> {
        let mut folders = self.directory.folder_identities();
        let path = std::path::absolute(&self.directory.root)?;
        let events = Events {
            root: path.clone(),
            has_aliases: has_aliases(root, &folders),
            hints: Arc::clone(&self.hints),
            flags: Arc::clone(&self.flags),
        };
        let mut watcher = notify::recommended_watcher(move |event| events.take(event))?;
        watcher.watch(&path, RecursiveMode::NonRecursive)?;
        let mut fault = None;
        folders.retain(|(folder, _)| match watcher.watch(&path.join(folder), RecursiveMode::NonRecursive) {
            Ok(()) => true,
            // `lost+found` and the like: what may not be read, or is gone again, gives no events to others either.
            Err(error) if is_unreadable(&error) => false,
            Err(error) => {
                fault = Some(error);
                false
            }
        });
        match fault {
            Some(error) => Err(error),
            None => Ok(Watched { root, folders, _watcher: watcher }),
        }
    }
}

/// Whether one folder is there under several names, as links make it.
fn has_aliases(root: Identity, folders: &[(String, Identity)]) -> bool {
    let mut seen = HashSet::from([root]);
    !folders.iter().all(|(_, folder)| seen.insert(*folder))
}

/// Whether a watch failed because of what was to be watched, not because of a limit of the kernel.
fn is_unreadable(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound),
        _ => false,
    }
}

/// Turns the kernel's events into hints.
struct Events {
    root: PathBuf,
    /// The kernel has one watch for a folder, whatever its names: an event may be of the same file under any of them.
    has_aliases: bool,
    hints: Arc<Hints>,
    flags: Arc<Flags>,
}

impl Events {
    fn take(&self, event: notify::Result<Event>) {
        match event {
            Err(error) => self.hints.lost(format!("the watch failed: {error}")),
            Ok(event) if event.need_rescan() => self.hints.lost("the kernel's queue of events overflowed"),
            Ok(event) => event.paths.iter().for_each(|path| self.hint(path, event.kind)),
        }
    }

    fn hint(&self, path: &Path, kind: EventKind) {
        let closed = match kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
            EventKind::Access(_) => return,
            EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => false,
            _ => true,
        };
        let relative = path.strip_prefix(&self.root).ok().and_then(Path::to_str).unwrap_or_default();
        if self.has_aliases && closed {
            self.hints.anything();
        }
        if is_of_repository(relative) {
            return self.hints.file(relative, closed);
        }
        // A folder, a link to one, or a name under which links of the repository lead somewhere else now.
        let names = matches!(
            kind,
            EventKind::Create(CreateKind::Folder | CreateKind::File | CreateKind::Any)
                | EventKind::Remove(RemoveKind::Folder | RemoveKind::File | RemoveKind::Any)
                | EventKind::Modify(ModifyKind::Name(_))
                | EventKind::Modify(ModifyKind::Metadata(_))
        );
        if matches!(kind, EventKind::Remove(_)) {
            self.flags.gone.store(true, Ordering::Release);
        }
        if names {
            self.flags.folders.store(true, Ordering::Release);
            self.hints.anything();
        }
    }
}
