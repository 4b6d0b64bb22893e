//! How the repository and each keyspace fare, for `/status`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::diagnostic::Diagnostic;

/// The repository and its keyspaces. Times are epoch milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Status {
    /// What the repository is.
    pub source: String,
    /// When a catalog was last published.
    pub published_at: Option<i64>,
    /// When the repository was looked at last.
    pub tried_at: Option<i64>,
    /// When it was last listed well.
    pub listed_at: Option<i64>,
    /// Why the last look failed; absent when it went well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What of the operator's file does nothing, or nothing yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What is still to be done.
    pub queue: QueueStatus,
    /// By name.
    pub keyspaces: BTreeMap<String, KeyspaceStatus>,
    /// Of files that are no keyspace's own: libraries.
    pub diagnostics: Vec<Diagnostic>,
}

/// The work queue at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct QueueStatus {
    /// Keyspaces that wait for a handler, or are with one.
    pub depth: usize,
    /// How long the oldest of them has been there.
    pub age_ms: u64,
    /// Keyspaces that will be looked at again.
    pub retrying: usize,
}

/// How one keyspace fares.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyspaceStatus {
    /// Whether what is served is what the files say.
    pub state: KeyspaceState,
    /// The revision that is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Since when it is in this state, with this content.
    pub since: i64,
    /// How often in a row it was found bad.
    pub retries: u32,
    /// When it is looked at again at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
    /// What was found in its files last.
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
    /// The files are gone; it is served for a grace time.
    Leaving,
}

impl KeyspaceState {
    /// As in metrics and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyspaceState::Serving => "serving",
            KeyspaceState::LastGood => "last_good",
            KeyspaceState::Broken => "broken",
            KeyspaceState::Leaving => "leaving",
        }
    }
}
