//! Reload: list the repository, compile, keep what worked, publish.
//!
//! Start-up is the first reload. A keyspace whose files now have errors stays as it was last good; a repository that cannot be
//! listed, or that holds no keyspace any more, changes nothing.

mod status;

pub use status::{KeyspaceState, KeyspaceStatus, Status};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::catalog::publish::Published;
use crate::catalog::{self, Catalog};
use crate::diagnostic::{Diagnostic, Severity};
use crate::repository::{self, Listing, RepositoryError, SourceFile, keyspace_of};

/// An error message names at most so many errors of keyspace files.
const SHOWN_ERRORS: usize = 20;

/// Where keyspace files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A directory.
    Directory(PathBuf),
    /// The demo's files, which are part of the program: path and text.
    BuiltIn(&'static [(&'static str, &'static str)]),
}

impl Source {
    /// Lists the files as they are now.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Listing, RepositoryError> {
        match self {
            Source::Directory(directory) => repository::list_directory(directory),
            Source::BuiltIn(files) => {
                let files = files
                    .iter()
                    .map(|(path, text)| SourceFile { path: (*path).to_owned(), content: Ok(text.as_bytes().to_vec()) })
                    .collect();
                Ok(Listing { revision: Some(format!("built-in-{}", env!("CARGO_PKG_VERSION"))), files })
            }
        }
    }
}

/// Why nothing was published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The repository could not be listed.
    #[error("{0}")]
    Repository(String),
    /// It holds no keyspace file.
    #[error("{0} holds no keyspace files (<keyspace>.yaml, or a folder of them)")]
    Empty(String),
    /// It holds keyspaces, all with errors, and none was served before.
    #[error("no keyspace of the repository could be compiled{}", listed(.0))]
    AllBroken(Vec<Diagnostic>),
}

/// The first errors, a line each.
fn listed(diagnostics: &[Diagnostic]) -> String {
    let errors: Vec<&Diagnostic> = diagnostics.iter().filter(|found| found.severity == Severity::Error).collect();
    let mut lines = String::new();
    for error in errors.iter().take(SHOWN_ERRORS) {
        lines.push_str(&format!("\n  {}: {}", error.location, error.message));
    }
    if errors.len() > SHOWN_ERRORS {
        lines.push_str(&format!("\n  and {} more; `tsdb-ws check` shows all", errors.len() - SHOWN_ERRORS));
    }
    lines
}

/// What a reload came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// The revision that is served now.
    pub revision: String,
    /// Keyspaces that are served.
    pub keyspaces: usize,
    /// Keyspaces that have errors now: served as they were last good, or not at all.
    pub broken: Vec<String>,
}

/// Reloads one repository, one reload at a time, and remembers how each keyspace fares.
#[derive(Debug, Default)]
pub struct Reloader {
    status: Mutex<Status>,
}

impl Reloader {
    /// Lists, compiles and publishes. `now` is told in the status.
    ///
    /// # Errors
    /// Why nothing was published; what was served before still is.
    pub fn reload(&self, source: &Source, published: &Published, now: i64) -> Result<Reloaded, ReloadError> {
        let mut status = self.lock();
        let result = prepare(source, &published.snapshot());
        match &result {
            Err(error) => status.failed(now, error.to_string()),
            Ok((catalog, broken)) => status.succeeded(now, catalog, broken),
        }
        let (catalog, broken) = result?;
        let reloaded = Reloaded { revision: catalog.revision.clone(), keyspaces: catalog.keyspaces.len(), broken };
        published.publish(catalog);
        Ok(reloaded)
    }

    /// How each keyspace fares.
    pub fn status(&self) -> Status {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The catalog to be published, and the keyspaces that have errors.
fn prepare(source: &Source, before: &Catalog) -> Result<(Catalog, Vec<String>), ReloadError> {
    let listing = source.list().map_err(|error| ReloadError::Repository(error.to_string()))?;
    let names = keyspace_names(&listing);
    if names.is_empty() {
        let place = match source {
            Source::Directory(directory) => directory.display().to_string(),
            Source::BuiltIn(_) => "the program".to_owned(),
        };
        return Err(ReloadError::Empty(place));
    }
    let mut catalog = catalog::compile(&listing);
    let broken: Vec<String> = names.into_keys().filter(|name| !catalog.keyspaces.contains_key(name)).collect();
    for name in &broken {
        if let Some(last_good) = before.keyspaces.get(name) {
            catalog.keyspaces.insert(name.clone(), last_good.clone());
        }
    }
    if catalog.keyspaces.is_empty() {
        return Err(ReloadError::AllBroken(catalog.diagnostics));
    }
    Ok((catalog, broken))
}

/// The keyspaces that a listing has files for, with how many.
fn keyspace_names(listing: &Listing) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for name in listing.files.iter().filter_map(|file| keyspace_of(&file.path)) {
        *names.entry(name.to_owned()).or_default() += 1;
    }
    names
}

#[cfg(test)]
mod tests;
