//! The pipeline of a request: one function that names the stages.

mod admission;
mod catalogue;
mod explain;
mod fitting;
mod pipeline;
mod service;
mod shadow;
mod values;

pub use service::{Backends, Clock, Service, Setup};
pub use shadow::{Shadow, ShadowRead};

pub use crate::decorate::{Comparison, Evaluation, FormulaResult, SampleRatio, SeriesResult, Summary, Warning};
pub use crate::plan::{Entry, FormulaError, Formulas, InputError, LimitExceeded, PlanError, Request};

use std::time::Duration;

use crate::backend::BackendError;
use crate::catalog::Catalog;
use crate::series::TimeAxis;

/// A whole answer, ready to be encoded.
#[derive(Debug)]
pub struct Answer {
    /// The keyspace.
    pub keyspace: String,
    /// The revision that answered.
    pub revision: String,
    /// The backend that answered.
    pub backend: &'static str,
    /// The timezone's name.
    pub timezone: String,
    /// The step, such as `1m`.
    pub step: String,
    /// The shared axis; `from`, `to` and `timestamps` are its.
    pub axis: TimeAxis,
    /// The first timestamp whose bucket was not over when the data were read.
    pub partial_from: Option<i64>,
    /// The first timestamp whose bucket is younger than the keyspace's `settle`.
    pub settling_from: Option<i64>,
    /// In the order asked.
    pub results: Vec<FormulaResult>,
    /// What it took.
    pub stats: Stats,
    /// The time of each stage, for `Server-Timing`.
    pub timings: Vec<(&'static str, Duration)>,
    /// Begins the same read on the shadow when it is dropped; keep it until the answer has gone.
    pub shadow_read: ShadowRead,
}

/// What an answer took.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Requests that were sent to the backend.
    pub backend_calls: u32,
    /// Distinct selections.
    pub selections: usize,
    /// Series of all results.
    pub series: usize,
    /// Values of all results.
    pub points: usize,
}

/// Why a whole request failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// No keyspace of that name is served.
    #[error("there is no keyspace `{0}`")]
    UnknownKeyspace(String),
    /// The files of a keyspace have errors, and it never was served.
    #[error("the keyspace `{0}` is not served, for its files have errors; `tsdb-ws check` shows them")]
    BrokenKeyspace(String),
    /// Fields that are wrong.
    #[error("the request has {} wrong field(s)", .0.len())]
    Input(Vec<InputError>),
    /// Range × series over a limit.
    #[error(transparent)]
    LimitExceeded(#[from] LimitExceeded),
    /// The keyspace's rate limit.
    #[error("the keyspace's limit of {limit} queries a second is reached")]
    RateLimited {
        /// Queries a second.
        limit: u32,
        /// When to come back.
        retry_after: Duration,
    },
    /// Too many requests are under way, in the keyspace (429) or in the service (503).
    #[error("too many requests are under way")]
    Overloaded {
        /// Whether the keyspace's own limit was reached.
        keyspace: bool,
    },
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The request's deadline passed.
    #[error("the request took longer than its deadline of {} ms", .0.as_millis())]
    Deadline(Duration),
}

impl QueryError {
    /// What is said of a keyspace that is not served.
    pub fn not_served(keyspace: &str, catalog: &Catalog) -> QueryError {
        let shown = keyspace.chars().take(80).collect();
        match catalog.is_broken(keyspace) {
            true => QueryError::BrokenKeyspace(shown),
            false => QueryError::UnknownKeyspace(shown),
        }
    }
}

impl From<PlanError> for QueryError {
    fn from(error: PlanError) -> QueryError {
        match error {
            PlanError::Input(errors) => QueryError::Input(errors),
            PlanError::Limit(limit) => QueryError::LimitExceeded(limit),
        }
    }
}
