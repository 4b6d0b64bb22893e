//! The databases: one trait, one folder each.
//!
//! A [`SelectBatch`] is everything an answer needs; a backend fetches it in one request. Requests are built and answers are
//! decoded by pure functions over bytes. Nothing outside `backend/<name>` knows a wire format.

pub mod capabilities;
pub mod client;
pub mod elasticsearch;
pub mod embedded;
pub mod kairosdb;
pub mod m3db;
pub mod prometheus;
mod remote;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::tz::TimeZone;
use serde::Serialize;

pub use crate::series::aggregate::GroupColumn;
use crate::series::aggregate::{GroupAccumulator, NotAdditive};
use crate::series::agreement::Tolerance;
use crate::series::{Aggregate, Kind, Point, Step, TimeAxis};

/// Sums, means and percentiles of the same points may be apart by so much of their scale on two backends.
pub const SAME: f64 = 1e-9;

/// One distinct read: the points of some stored series, aggregated by bucket and group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selection {
    /// The stored name; data, never syntax.
    pub series: String,
    /// For each tag the values of which any may match (sorted, no repeats, never empty). `""` matches a missing tag.
    pub filter: BTreeMap<String, Vec<String>>,
    /// What the points mean.
    pub kind: Kind,
    /// How a bucket's points become one value.
    pub aggregate: Aggregate,
    /// The tags whose combinations are groups (sorted, no repeats). Empty: one group.
    pub group_by: Arc<[String]>,
    /// What this backend needs to know of the metric: the entry of the metric's `backends` for it, as JSON text of an object
    /// with sorted keys (empty when there is none).
    pub mapping: String,
    /// A backend that cannot compute it exactly may estimate; its frame then says so.
    pub approximate: bool,
    /// The buckets that are read. Those of one batch may differ: an offset reads earlier ones, a window more of them.
    pub axis: TimeAxis,
    /// Also aggregate the points of this range `[start, end)` as one bucket, for the summary.
    pub whole: Option<WholeRange>,
}

impl Selection {
    /// What folds its raw points, one stored series after the other.
    pub fn accumulator(&self) -> GroupAccumulator {
        let whole = self.whole.map(|whole| whole.from..whole.to);
        GroupAccumulator::new(self.kind, self.aggregate, whole, &self.axis)
    }

    /// How closely the answers of two backends must agree.
    pub fn tolerance(&self) -> Tolerance {
        match self.aggregate {
            Aggregate::Count | Aggregate::Min | Aggregate::Max | Aggregate::First | Aggregate::Last => Tolerance::Exact,
            Aggregate::Sum | Aggregate::Avg | Aggregate::Percentile(_) => Tolerance::OfScale(SAME),
        }
    }
}

/// A half-open range of epoch milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WholeRange {
    /// The first instant.
    pub from: i64,
    /// The first instant after it.
    pub to: i64,
}

/// Everything that one answer needs of one backend.
#[derive(Debug, Clone)]
pub struct SelectBatch {
    /// Distinct selections.
    pub selections: Vec<Selection>,
    /// The step of all their buckets.
    pub step: Step,
    /// The timezone of calendar steps.
    pub timezone: TimeZone,
    /// What may be read at most.
    pub limits: SelectLimits,
}

/// Limits of one batch; reaching one is an error, never a smaller answer.
#[derive(Debug, Clone, Copy)]
pub struct SelectLimits {
    /// Groups of one selection.
    pub groups: usize,
    /// Cells (groups × buckets) of the whole batch.
    pub cells: usize,
    /// Raw points read by the whole batch, where they must be read.
    pub raw_points: usize,
}

/// The answer to a [`SelectBatch`].
#[derive(Debug)]
pub struct Selected {
    /// One for each selection, in order.
    pub frames: Vec<Result<SelectionFrame, SelectionError>>,
    /// How many requests were sent to the database.
    pub calls: u32,
}

/// The groups of one selection that have a point in what was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SelectionFrame {
    /// Ascending by key, no repeats.
    pub groups: Vec<GroupColumn>,
    /// The values are the backend's estimate, which the selection accepted.
    pub estimated: bool,
}

impl From<Vec<GroupColumn>> for SelectionFrame {
    /// Exact values.
    fn from(groups: Vec<GroupColumn>) -> SelectionFrame {
        SelectionFrame { groups, estimated: false }
    }
}

/// Why one selection of a batch could not be answered. The others are.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SelectionError {
    /// The backend cannot compute it exactly.
    #[error("{0}")]
    Unsupported(String),
    /// The backend refused it; its own words.
    #[error("the backend refused the selection: {0}")]
    Refused(String),
    /// A limit was reached.
    #[error("{limit} is over its limit: {value} > {maximum}")]
    Limit {
        /// The limit's name in the operator's file.
        limit: &'static str,
        /// What was reached (a lower bound where reading stopped).
        value: u64,
        /// The limit.
        maximum: u64,
    },
    /// A distinct count over more than one stored series a group, or at another step than the resolution.
    #[error("{0}")]
    NotAdditive(String),
}

impl From<NotAdditive> for SelectionError {
    fn from(error: NotAdditive) -> SelectionError {
        SelectionError::NotAdditive(error.to_string())
    }
}

/// Why a whole call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackendError {
    /// It could not be reached, or the connection broke.
    #[error("cannot reach {backend} at {address}: {reason}")]
    Unreachable {
        /// The backend's name.
        backend: &'static str,
        /// Where it was looked for (no secrets).
        address: String,
        /// Why.
        reason: String,
    },
    /// It answered with an error or with something that cannot be read.
    #[error("{backend} failed: {reason}")]
    Failed {
        /// The backend's name.
        backend: &'static str,
        /// Its own words, shortened, or what could not be read.
        reason: String,
    },
    /// It did not answer in time.
    #[error("{backend} did not answer within {millis} ms")]
    Timeout {
        /// The backend's name.
        backend: &'static str,
        /// The time that it had.
        millis: u64,
    },
}

/// One call that would be sent, for `explain`.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub struct CallPreview {
    /// `POST http://127.0.0.1:8080/api/v1/datapoints/query`, or `SQLite` and a file's name.
    pub target: String,
    /// The body as JSON where it is JSON, else as text.
    pub body: serde_json::Value,
}

/// What to list for a picker: the values of tags of stored series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValuesQuery {
    /// The stored name.
    pub series: String,
    /// As in a [`Selection`], without the tag that is asked for.
    pub filter: BTreeMap<String, Vec<String>>,
    /// The tag whose values are wanted.
    pub tag: String,
    /// The mapping, as in a [`Selection`].
    pub mapping: String,
}

/// A stored name, and the tags that its stored series bear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredSeries {
    /// The stored name.
    pub name: String,
    /// Some values of each tag: sorted, no repeats, no `""`, at most [`LISTED_VALUES`].
    pub tags: BTreeMap<String, Vec<String>>,
}

/// A listing of stored names shows at most so many values of a tag.
pub const LISTED_VALUES: usize = 20;

/// A database that answers selections.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// `embedded`, `kairosdb`, …
    fn name(&self) -> &'static str;

    /// Fetches the whole batch in one request (more only for pages, or after a selection made the batch fail).
    ///
    /// # Errors
    /// When nothing could be answered; what fails for one selection alone is in its place of the answer.
    async fn select(&self, batch: &SelectBatch) -> Result<Selected, BackendError>;

    /// The calls that `select` would send.
    fn preview(&self, batch: &SelectBatch) -> Vec<CallPreview>;

    /// The distinct values of tags, sorted, at most `limit` each query, of points in `[from, to)`; `""` is left out.
    /// True: there were more.
    ///
    /// # Errors
    /// When the database fails.
    async fn tag_values(
        &self,
        queries: &[ValuesQuery],
        range: Range<i64>,
        limit: usize,
    ) -> Result<(Vec<String>, bool), BackendError>;

    /// The stored names that `pattern` describes (`*` is any text, as [`crate::series::pattern::matches`] has it), sorted, at
    /// most `limit`, each with its tags as `tag_values` and `select` know them. True: there are more. `init` writes a first
    /// keyspace from it, and `check --live` looks stored names up.
    ///
    /// # Errors
    /// When the database fails, or its reader cannot list names.
    async fn list_series(&self, pattern: &str, limit: usize) -> Result<(Vec<StoredSeries>, bool), BackendError> {
        let _ = (pattern, limit);
        let reason = "its stored series cannot be listed by this version".to_owned();
        Err(BackendError::Failed { backend: self.name(), reason })
    }

    /// Stores points; a point of the same series, tags and timestamp is replaced. Acknowledged points survive `kill -9`.
    ///
    /// # Errors
    /// When the database fails; some of the points may then be stored, and writing all again is safe.
    async fn write(&self, points: &[Point]) -> Result<(), BackendError>;

    /// Whether it answers now.
    ///
    /// # Errors
    /// Why it does not.
    async fn check_health(&self) -> Result<(), BackendError>;
}
