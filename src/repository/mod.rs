//! Where keyspace files come from, and how what changes there reaches its handlers: never lost, each keyspace at most once
//! at a time.
//!
//! ```text
//! source ─ hints ─▶ reflector ─▶ store        what the repository holds, as it was last listed or read
//!                       └─ keys ─▶ work queue  which keyspaces are to be looked at again, and when
//! ```
//! - a [`Source`] lists a repository whole, reads single files of it, and gives hints of what may have changed;
//! - [`Hints`] gather them, wait until a file has been written whole, and never grow without bound;
//! - the [`Reflector`] follows the hints, lists anew from time to time to make good what they missed, and keeps the last
//!   good state where the repository cannot be read;
//! - the [`Store`] holds that state, and says what a listing changed;
//! - the [`WorkQueue`] hands out keys, retries with back-off, and drops nothing.

pub mod backoff;
mod built_in;
mod directory;
mod git;
mod hints;
mod location;
mod queue;
mod reflector;
mod secret;
mod store;

pub use built_in::BuiltIn;
pub use directory::Directory;
pub use git::{Credentials, Git, next_object};
pub use hints::{Due, Hints};
pub use location::{GitLocation, Location};
pub use queue::{Outcome, Sample, Taken, WorkQueue};
pub use reflector::{Changed, FoundBy, Health, Intervals, Observer, Reflector};
pub use secret::Secret;
pub use store::{Change, ChangeKind, KeyspaceFiles, Store};

use std::sync::Arc;

/// The keyspace files of one revision.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// What names the content, such as a commit; `None` where only a hash of it does.
    pub revision: Option<String>,
    /// By path.
    pub files: Vec<SourceFile>,
    /// Paths of files that somebody surely takes for keyspace files, and that are none: `shop.yml`, `shop/deep/shop.yaml`
    /// (of a folder that is too deep, the first).
    pub strays: Vec<String>,
}

/// One `*.yaml` file.
#[derive(Debug, Clone, PartialEq, Eq)]
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

impl Listing {
    /// Whether it holds a keyspace.
    ///
    /// # Errors
    /// That it holds none, and why that may be.
    pub fn check_not_empty(&self, place: impl FnOnce() -> String) -> Result<(), RepositoryError> {
        if self.files.iter().any(|file| keyspace_of(&file.path).is_some()) {
            return Ok(());
        }
        Err(match self.strays.first() {
            Some(path) => RepositoryError::Stray { place: place(), path: path.clone() },
            None => RepositoryError::Empty(place()),
        })
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

/// A place that keyspace files come from. Its methods block.
pub trait Source: Send + Sync + 'static {
    /// What it is, for people; without secrets.
    fn place(&self) -> String;

    /// All files as they are now. A file that cannot be read is in the listing, with its reason.
    ///
    /// # Errors
    /// When the repository cannot be listed at all, or holds more than it may.
    fn list(&self) -> Result<Listing, RepositoryError>;

    /// One file as it is now; `None` where there is none any more.
    fn read(&self, path: &str) -> Option<SourceFile>;

    /// Whether [`Source::watch`] gives hints; where not, only listings find what changed.
    fn gives_hints(&self) -> bool;

    /// Hints at what changes until what is returned is dropped. Hints may be lost: the repository is listed from time to
    /// time all the same.
    fn watch(self: Arc<Self>, hints: Arc<Hints>) -> Option<Watch>;

    /// Gives back what it holds on disk; it is not listed any more.
    fn close(&self) {}
}

/// Dropped when nobody follows a source any more.
pub type Watch = Box<dyn Send + Sync>;

/// Why a repository is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    /// It could not be listed.
    #[error("cannot read the repository {place}: {reason}")]
    Unreadable {
        /// What it is.
        place: String,
        /// Why, and what to do.
        reason: String,
    },
    /// It holds no keyspace file, which is more often a volume that is not mounted than what somebody wants.
    #[error("{0} holds no keyspace files (<keyspace>.yaml, or a folder of them)")]
    Empty(String),
    /// It holds none, but a file that only its name or place keeps from being one.
    #[error("{place} holds no keyspace files; {path} is none because of its name: rename it to {}", renamed(path))]
    Stray {
        /// What it is.
        place: String,
        /// The file's path.
        path: String,
    },
}

/// A keyspace file has at most so many bytes.
pub const MAX_FILE: u64 = 1 << 20;
/// All of them together have at most so many.
pub const MAX_BYTES: u64 = 256 << 20;

/// What to say of a file that is too large.
pub fn too_large() -> String {
    "the file is larger than 1 MiB; split it".to_owned()
}

/// What to say of a repository that holds too many files.
fn too_many(max: usize) -> String {
    format!("it holds more than {max} files; raise repository.files, or name a folder of it")
}

/// What to say of a repository whose files are too large together.
fn too_large_together() -> String {
    format!("its files are larger than {} MiB together", MAX_BYTES >> 20)
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
    (!keyspace.starts_with('_') && !stem.contains('/')).then_some(keyspace)
}

/// Whether a file is of a repository: a visible `*.yaml`, at the top or in a visible folder there.
pub fn is_of_repository(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    parts.len() <= 2 && path.ends_with(".yaml") && parts.iter().all(|part| !part.starts_with('.') && !part.is_empty())
}

/// Whether only its name or its place keeps a file from being one of the repository: `shop.yml`, `shop.YAML`,
/// `shop/deep/funnel.yaml`.
pub fn is_stray(path: &str) -> bool {
    let Some((stem, end)) = path.rsplit_once('.') else { return false };
    let path = match end {
        "yaml" if path.matches('/').count() < 2 => return false,
        end if end.eq_ignore_ascii_case("yaml") || end.eq_ignore_ascii_case("yml") => format!("{stem}.yaml"),
        _ => return false,
    };
    is_of_repository(&renamed(&path)) && !path.split('/').any(|part| part.starts_with('.'))
}

/// The path that a stray file should have: that of a `.yaml` file, at most in one folder.
pub fn renamed(path: &str) -> String {
    let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    let mut parts = stem.split('/');
    match (parts.next(), parts.next_back()) {
        (Some(folder), Some(name)) => format!("{folder}/{name}.yaml"),
        _ => format!("{stem}.yaml"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_the_keyspaces_they_are_part_of() {
        let cases = [
            ("shop.yaml", Some("shop")),
            ("shop/funnel.yaml", Some("shop")),
            ("shop/_common.yaml", None),
            ("_common.yaml", None),
            ("shop.test.yaml", None),
            ("shop/funnel.test.yaml", None),
            ("README.md", None),
            ("shop/deep/funnel.yaml", None),
        ];
        for (path, keyspace) in cases {
            assert_eq!(keyspace_of(path), keyspace, "{path}");
        }
    }

    #[test]
    fn hidden_folders_and_other_files_are_not_of_the_repository() {
        let cases = [
            ("shop.yaml", true),
            ("shop/funnel.yaml", true),
            ("shop/deep/funnel.yaml", false),
            (".shop.yaml", false),
            ("..2024_11/shop.yaml", false),
            ("shop.yaml.swp", false),
            ("README.md", false),
        ];
        for (path, expected) in cases {
            assert_eq!(is_of_repository(path), expected, "{path}");
        }
    }

    #[test]
    fn names_that_are_nearly_right() {
        for path in
            ["shop.yml", "shop.YML", "shop/funnel.yml", "shop.Yaml", "shop.test.yml", "shop/deep/a.yaml", "a/b/c/d.yml"]
        {
            assert!(is_stray(path), "{path}");
        }
        for path in
            ["shop.yaml", ".shop.yml", "shop/a.yaml", "yml", "shop.json", ".yml", "shop/.git/a.yaml", "a/b/c.json"]
        {
            assert!(!is_stray(path), "{path}");
        }
        assert_eq!(renamed("shop.test.yml"), "shop.test.yaml");
        assert_eq!(renamed("shop/deep/er/a.yml"), "shop/a.yaml");
    }
}
