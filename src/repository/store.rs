//! What a repository holds, as it was last listed or read. Shared by the reflector, which writes, and the handlers, which read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Listing, SourceFile, content_revision, keyspace_of};

/// How a file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// Its content is another.
    Updated,
    /// It is gone.
    Deleted,
}

impl ChangeKind {
    /// As in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            ChangeKind::Added => "added",
            ChangeKind::Updated => "updated",
            ChangeKind::Deleted => "deleted",
        }
    }
}

/// One file that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its path.
    pub path: String,
    /// How.
    pub kind: ChangeKind,
}

/// The files of a repository.
#[derive(Debug, Default)]
pub struct Store {
    held: RwLock<Held>,
}

#[derive(Debug, Default)]
struct Held {
    revision: Option<String>,
    files: BTreeMap<String, (Arc<SourceFile>, blake3::Hash)>,
    /// Files that are none of a keyspace because of their names.
    strays: BTreeSet<String>,
}

/// The files that one keyspace can be made of, all of one moment.
#[derive(Debug, Clone)]
pub struct KeyspaceFiles {
    /// What names the content of the whole repository.
    pub revision: Option<String>,
    /// Its own.
    pub own: Vec<(Arc<SourceFile>, blake3::Hash)>,
    /// The libraries that it could include.
    pub libraries: Vec<(Arc<SourceFile>, blake3::Hash)>,
}

impl KeyspaceFiles {
    /// Names the content of what the keyspace is made of: its own files, and those libraries that it looks for.
    pub fn fingerprint(&self, looked_for: &BTreeSet<String>) -> String {
        let libraries = self.libraries.iter().filter(|(file, _)| looked_for.contains(&file.path));
        content_revision(self.own.iter().chain(libraries).map(|(file, hash)| (file.path.as_str(), *hash)))
    }
}

impl Store {
    /// Takes a listing in the place of everything, and says what changed.
    pub fn replace(&self, listing: Listing) -> Vec<Change> {
        let files = listing.files.into_iter().map(|file| {
            let hash = file.hash();
            (file.path.clone(), (Arc::new(file), hash))
        });
        let files: BTreeMap<String, (Arc<SourceFile>, blake3::Hash)> = files.collect();
        let mut held = self.write();
        let mut changes = Vec::new();
        for (path, (_, hash)) in &files {
            match held.files.get(path) {
                None => changes.push(Change { path: path.clone(), kind: ChangeKind::Added }),
                Some((_, before)) if before != hash => {
                    changes.push(Change { path: path.clone(), kind: ChangeKind::Updated });
                }
                Some(_) => {}
            }
        }
        let strays: BTreeSet<String> = listing.strays.into_iter().collect();
        let added = strays.difference(&held.strays);
        changes.extend(added.map(|path| Change { path: path.clone(), kind: ChangeKind::Added }));
        let deleted = held.files.keys().filter(|path| !files.contains_key(*path));
        let deleted = deleted.chain(held.strays.difference(&strays));
        changes.extend(deleted.map(|path| Change { path: path.clone(), kind: ChangeKind::Deleted }));
        *held = Held { revision: listing.revision, files, strays };
        changes
    }

    /// Puts what is held of some files into a listing, in the place of what it says of them.
    pub fn keep(&self, listing: &mut Listing, paths: &BTreeSet<String>) {
        if paths.is_empty() {
            return;
        }
        let held = self.read();
        listing.files.retain(|file| !paths.contains(&file.path));
        let kept = paths.iter().filter_map(|path| held.files.get(path));
        listing.files.extend(kept.map(|(file, _)| SourceFile::clone(file)));
    }

    /// Takes one file as it is now, and says whether that changed anything.
    pub fn put(&self, file: SourceFile) -> Option<Change> {
        let hash = file.hash();
        let path = file.path.clone();
        let before = self.write().files.insert(path.clone(), (Arc::new(file), hash));
        match before {
            None => Some(Change { path, kind: ChangeKind::Added }),
            Some((_, before)) if before != hash => Some(Change { path, kind: ChangeKind::Updated }),
            Some(_) => None,
        }
    }

    /// What one keyspace can be made of.
    pub fn keyspace(&self, name: &str) -> KeyspaceFiles {
        let held = self.read();
        let folder = format!("{name}/");
        let inside = held.files.range(folder.clone()..).take_while(|(path, _)| path.starts_with(&folder));
        let single = held.files.get_key_value(&format!("{name}.yaml")).into_iter();
        let mut files = KeyspaceFiles { revision: held.revision.clone(), own: Vec::new(), libraries: Vec::new() };
        for (path, file) in single.chain(inside) {
            match keyspace_of(path) {
                Some(_) => files.own.push(file.clone()),
                None if !path.ends_with(".test.yaml") => files.libraries.push(file.clone()),
                None => {}
            }
        }
        // `_` and what follows it sort together, so that only libraries are looked at.
        let shared = held.files.range("_".to_owned()..).take_while(|(path, _)| path.starts_with('_'));
        let shared = shared.filter(|(path, _)| !path.contains('/') && !path.ends_with(".test.yaml"));
        files.libraries.extend(shared.map(|(_, file)| file.clone()));
        files
    }

    /// Whether a keyspace has files.
    pub fn holds(&self, name: &str) -> bool {
        let held = self.read();
        let folder = format!("{name}/");
        let mut inside = held.files.range(folder.clone()..).take_while(|(path, _)| path.starts_with(&folder));
        held.files.contains_key(&format!("{name}.yaml")) || inside.any(|(path, _)| keyspace_of(path).is_some())
    }

    /// The libraries of the whole repository.
    pub fn libraries(&self) -> Vec<Arc<SourceFile>> {
        let held = self.read();
        let libraries =
            held.files.iter().filter(|(path, _)| keyspace_of(path).is_none() && !path.ends_with(".test.yaml"));
        libraries.map(|(_, (file, _))| Arc::clone(file)).collect()
    }

    /// Whether there is such a file that its name or its place keeps from being read.
    pub fn has_stray(&self, path: &str) -> bool {
        self.read().strays.contains(path)
    }

    /// The keyspaces that have files.
    pub fn keyspaces(&self) -> BTreeSet<String> {
        self.read().files.keys().filter_map(|path| keyspace_of(path)).map(str::to_owned).collect()
    }

    /// What names the content, else a hash of it.
    pub fn revision(&self) -> String {
        let held = self.read();
        let files = held.files.iter().map(|(path, (_, hash))| (path.as_str(), *hash));
        held.revision.clone().unwrap_or_else(|| content_revision(files))
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.read().files.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}
