//! Where keyspace files come from: a directory, listed whole.

use std::path::Path;

/// The keyspace files of one revision.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// A hash of all paths and contents, 12 hexadecimal digits.
    pub revision: String,
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

/// Why a repository could not be listed at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the repository {path}: {reason}")]
pub struct RepositoryError {
    /// The directory.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Lists a directory.
///
/// # Errors
/// When the directory cannot be read. A file that cannot be read is in the listing, with its reason.
pub fn list_directory(directory: &Path) -> Result<Listing, RepositoryError> {
    let _ = directory;
    todo!("catalog helper")
}
