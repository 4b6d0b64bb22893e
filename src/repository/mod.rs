//! Where keyspace files come from: a directory, listed whole.

use std::path::Path;

/// The keyspace files of one revision.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// What names the content, such as a commit; `None` where only a hash of it does.
    pub revision: Option<String>,
    /// By path.
    pub files: Vec<SourceFile>,
}

/// One `*.yaml` file.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Relative to the repository, with `/`.
    pub path: String,
    /// Its bytes, or why they could not be read (too large, not a regular file, a link out of the repository, …).
    pub content: Result<Vec<u8>, String>,
}

impl Listing {
    /// The revision, else a hash of all paths and contents.
    pub fn revision(&self) -> String {
        let files = self.files.iter().map(|file| (file.path.as_str(), file.hash()));
        self.revision.clone().unwrap_or_else(|| content_revision(files))
    }
}

impl SourceFile {
    /// Of its content, or of the reason why there is none.
    pub fn hash(&self) -> blake3::Hash {
        match &self.content {
            Ok(bytes) => blake3::hash(bytes),
            Err(reason) => {
                blake3::Hasher::new_derive_key("tsdb-ws unreadable file").update(reason.as_bytes()).finalize()
            }
        }
    }
}

/// Names files by their paths and contents: 12 hexadecimal digits.
pub fn content_revision<'a>(files: impl Iterator<Item = (&'a str, blake3::Hash)>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (path, hash) in files {
        hasher.update(&(path.len() as u64).to_le_bytes()).update(path.as_bytes()).update(hash.as_bytes());
    }
    hasher.finalize().to_hex()[..12].to_owned()
}

/// The keyspace that a file is part of; `None` for libraries, tests and anything else.
pub fn keyspace_of(path: &str) -> Option<&str> {
    let (folder, name) = path.split_once('/').map_or((None, path), |(folder, name)| (Some(folder), name));
    let stem = name.strip_suffix(".yaml").filter(|stem| !stem.starts_with('_') && !stem.ends_with(".test"))?;
    let keyspace = folder.unwrap_or(stem);
    (!keyspace.starts_with('_')).then_some(keyspace)
}

/// Why a repository could not be listed at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the repository {path}: {reason}")]
pub struct RepositoryError {
    /// The directory.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// A keyspace file has at most so many bytes.
pub const MAX_FILE: u64 = 1 << 20;
const MAX_FILES: usize = 100_000;

/// Lists a directory and the folders in it.
///
/// # Errors
/// When the directory cannot be read. A file that cannot be read is in the listing, with its reason.
pub fn list_directory(directory: &Path) -> Result<Listing, RepositoryError> {
    let failed = |error: &dyn std::fmt::Display| RepositoryError {
        path: directory.display().to_string(),
        reason: error.to_string(),
    };
    let mut files = Vec::new();
    for (path, name) in entries(directory, "").map_err(|error| failed(&error))? {
        if path.is_dir() {
            for (path, name) in entries(&path, &format!("{name}/")).map_err(|error| failed(&error))? {
                files.extend(file(&path, name));
            }
        } else {
            files.extend(file(&path, name));
        }
        if files.len() > MAX_FILES {
            return Err(failed(&format!("it holds more than {MAX_FILES} files")));
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Listing { revision: None, files })
}

fn entries(directory: &Path, prefix: &str) -> std::io::Result<Vec<(std::path::PathBuf, String)>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            entries.push((entry.path(), format!("{prefix}{name}")));
        }
    }
    Ok(entries)
}

fn file(path: &Path, name: String) -> Option<SourceFile> {
    if !name.ends_with(".yaml") {
        return None;
    }
    let content = match std::fs::metadata(path) {
        Err(error) => Err(format!("the file cannot be read: {error}")),
        Ok(meta) if !meta.is_file() => Err("this is not a regular file".to_owned()),
        Ok(meta) if meta.len() > MAX_FILE => Err("the file is larger than 1 MiB; split it".to_owned()),
        Ok(_) => std::fs::read(path).map_err(|error| format!("the file cannot be read: {error}")),
    };
    Some(SourceFile { path: name, content })
}
