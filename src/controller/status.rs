//! How each keyspace fares, for `/status`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalog::Catalog;
use crate::diagnostic::Diagnostic;
use crate::repository::keyspace_of;

/// The repository and its keyspaces as the last reloads left them. Times are epoch milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Status {
    /// The revision that was published last.
    pub revision: String,
    /// When that was.
    pub published_at: Option<i64>,
    /// When a reload was tried last.
    pub tried_at: Option<i64>,
    /// Why the last reload changed nothing; absent when it went well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// By name.
    pub keyspaces: BTreeMap<String, KeyspaceStatus>,
    /// Of files that are no keyspace's own, such as libraries.
    pub diagnostics: Vec<Diagnostic>,
}

/// How one keyspace fares.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyspaceStatus {
    /// Whether what is served is what the files say.
    pub state: KeyspaceState,
    /// The revision that is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Since when it is in this state.
    pub since: i64,
    /// What was found in its files by the last reload.
    pub diagnostics: Vec<Diagnostic>,
}

/// Whether what is served is what the files say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyspaceState {
    /// It is.
    Serving,
    /// The files have errors; the last good version is served.
    LastGood,
    /// The files have errors, and there never was a good version.
    Broken,
}

impl Status {
    pub(super) fn failed(&mut self, now: i64, error: String) {
        self.tried_at = Some(now);
        self.error = Some(error);
    }

    pub(super) fn succeeded(&mut self, now: i64, catalog: &Catalog, broken: &[String]) {
        let names = catalog.keyspaces.keys().chain(broken.iter().filter(|name| !catalog.keyspaces.contains_key(*name)));
        let mut keyspaces = BTreeMap::new();
        for name in names {
            let state = match (broken.contains(name), catalog.keyspaces.contains_key(name)) {
                (false, _) => KeyspaceState::Serving,
                (true, true) => KeyspaceState::LastGood,
                (true, false) => KeyspaceState::Broken,
            };
            let revision = catalog.keyspaces.get(name).map(|keyspace| keyspace.revision.clone());
            let unchanged = |old: &&KeyspaceStatus| old.state == state && old.revision == revision;
            let since = self.keyspaces.get(name).filter(unchanged).map_or(now, |old| old.since);
            keyspaces.insert(name.clone(), KeyspaceStatus { state, revision, since, diagnostics: Vec::new() });
        }
        let mut others = Vec::new();
        for diagnostic in &catalog.diagnostics {
            match keyspace_of(&diagnostic.location.file).and_then(|name| keyspaces.get_mut(name)) {
                Some(keyspace) => keyspace.diagnostics.push(diagnostic.clone()),
                None => others.push(diagnostic.clone()),
            }
        }
        *self = Status {
            revision: catalog.revision.clone(),
            published_at: Some(now),
            tried_at: Some(now),
            error: None,
            keyspaces,
            diagnostics: others,
        };
    }
}
