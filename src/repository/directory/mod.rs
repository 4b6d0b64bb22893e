//! A directory: `*.yaml` in it, and in the visible folders in it.
//!
//! Links are followed while they stay inside, as those of a mounted ConfigMap do; hidden files and folders, such as that
//! volume's own, are no part of the repository.

mod watch;

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{
    Hints, Listing, MAX_BYTES, MAX_FILE, RepositoryError, Source, SourceFile, Watch, is_of_repository, is_stray,
    too_large, too_large_together, too_many,
};

/// Device and number of a folder.
type Identity = (u64, u64);

/// A directory.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
    max_files: usize,
}

/// A file or a folder of the directory.
struct Entry {
    /// Relative to the root.
    path: String,
    is_link: bool,
}

/// What a look at all names found.
#[derive(Default)]
struct Found {
    files: Vec<Entry>,
    /// What stands for folders that cannot be read.
    unreadable: Vec<SourceFile>,
    strays: Vec<String>,
}

impl Found {
    fn take(&mut self, file: Entry) {
        if file.path.ends_with(".yaml") {
            self.files.push(file);
        } else if is_stray(&file.path) {
            self.strays.push(file.path);
        }
    }
}

impl Directory {
    /// The directory at `root`, which may hold so many files.
    pub fn new(root: impl Into<PathBuf>, max_files: usize) -> Directory {
        Directory { root: root.into(), max_files }
    }

    fn failed(&self, reason: impl ToString) -> RepositoryError {
        RepositoryError::Unreadable { place: self.place(), reason: reason.to_string() }
    }

    /// The visible entries of the root or of a folder in it.
    fn entries(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(self.root.join(folder))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !name.starts_with('.') {
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                entries.push(Entry { path, is_link: entry.file_type()?.is_symlink() });
            }
        }
        Ok(entries)
    }

    /// The visible folders, by name.
    fn folder_identities(&self) -> Vec<(String, Identity)> {
        let folder = |entry: Entry| {
            let meta = std::fs::metadata(self.root.join(&entry.path)).ok().filter(std::fs::Metadata::is_dir)?;
            Some((entry.path, (meta.dev(), meta.ino())))
        };
        let mut folders: Vec<_> = self.entries("").unwrap_or_default().into_iter().filter_map(folder).collect();
        folders.sort();
        folders
    }

    fn files(&self) -> Result<Found, RepositoryError> {
        let mut found = Found::default();
        for entry in self.entries("").map_err(|error| self.failed(error))? {
            if entry.path.ends_with(".yaml") {
                found.files.push(entry);
            } else if self.root.join(&entry.path).is_dir() {
                match self.entries(&entry.path) {
                    Ok(inside) => inside.into_iter().for_each(|inside| {
                        found.strays.extend(self.first_file_of(&inside));
                        found.take(inside);
                    }),
                    Err(error) if could_be_keyspace(&entry.path) => found.unreadable.push(SourceFile {
                        path: format!("{}/.yaml", entry.path),
                        content: Err(format!("the folder cannot be read: {error}")),
                    }),
                    // `lost+found` and the like, which are nobody's keyspace.
                    Err(_) => {}
                }
            } else {
                found.take(entry);
            }
            if found.files.len() > self.max_files {
                return Err(self.failed(too_many(self.max_files)));
            }
        }
        Ok(found)
    }

    fn content(&self, path: &str, is_link: bool) -> Result<Vec<u8>, String> {
        let unreadable = |error: io::Error| format!("the file cannot be read: {error}");
        let full = self.root.join(path);
        let meta = std::fs::metadata(&full).map_err(unreadable)?;
        if !meta.is_file() {
            return Err("this is not a regular file".to_owned());
        }
        if meta.len() > MAX_FILE {
            return Err(too_large());
        }
        if is_link && !self.holds(&full).map_err(unreadable)? {
            return Err("this is a link out of the repository; put the file itself there".to_owned());
        }
        std::fs::read(&full).map_err(unreadable)
    }

    /// Whether what a path leads to is in the directory.
    fn holds(&self, path: &Path) -> io::Result<bool> {
        Ok(path.canonicalize()?.starts_with(self.root.canonicalize()?))
    }

    /// The first keyspace file of a folder that is too deep for any.
    fn first_file_of(&self, entry: &Entry) -> Option<String> {
        let path = self.root.join(&entry.path);
        let leads_out = entry.is_link && !self.holds(&path).unwrap_or(false);
        if entry.path.ends_with(".yaml") || leads_out || !path.is_dir() {
            return None;
        }
        self.entries(&entry.path).ok()?.into_iter().map(|file| file.path).filter(|path| is_stray(path)).min()
    }

    /// What the directory itself is: another one may be mounted, or linked to, in its place.
    fn identity(&self) -> Option<Identity> {
        std::fs::metadata(&self.root).ok().map(|meta| (meta.dev(), meta.ino()))
    }

    /// Changes whenever a file does, as far as its metadata tell; reads no file.
    fn signature(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        let Ok(Found { mut files, .. }) = self.files() else { return hasher.finalize() };
        files.sort_by(|a, b| a.path.cmp(&b.path));
        for file in files {
            hasher.update(file.path.as_bytes());
            if let Ok(meta) = std::fs::metadata(self.root.join(&file.path)) {
                let facts = [
                    meta.ino() as i64,
                    meta.size() as i64,
                    meta.mtime(),
                    meta.mtime_nsec(),
                    meta.ctime(),
                    meta.ctime_nsec(),
                ];
                for fact in facts {
                    hasher.update(&fact.to_le_bytes());
                }
            }
        }
        hasher.finalize()
    }
}

impl Source for Directory {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    fn list(&self) -> Result<Listing, RepositoryError> {
        let Found { files, unreadable: mut listed, mut strays } = self.files()?;
        let mut bytes = 0;
        for Entry { path, is_link } in files {
            // A folder may be the link that its files are behind.
            let content = self.content(&path, is_link || path.contains('/'));
            bytes += content.as_ref().map_or(0, Vec::len) as u64;
            if bytes > MAX_BYTES {
                return Err(self.failed(too_large_together()));
            }
            listed.push(SourceFile { path, content });
        }
        listed.sort_by(|a, b| a.path.cmp(&b.path));
        strays.sort();
        Ok(Listing { revision: None, files: listed, strays })
    }

    fn read(&self, path: &str) -> Option<SourceFile> {
        let found = std::fs::symlink_metadata(self.root.join(path)).ok().filter(|_| is_of_repository(path))?;
        let content = self.content(path, found.is_symlink() || path.contains('/'));
        Some(SourceFile { path: path.to_owned(), content })
    }

    fn gives_hints(&self) -> bool {
        true
    }

    fn watch(self: Arc<Self>, hints: Arc<Hints>) -> Option<Watch> {
        watch::Watcher::start(self, hints).map(|watcher| Box::new(watcher) as Watch)
    }
}

fn could_be_keyspace(folder: &str) -> bool {
    folder.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-')
}
