//! The pipeline of a request: one function that names the stages.

mod input;
mod service;

pub use service::{KeyspaceBackends, Service};

pub use input::{Entry, Formulas, InputError, Request};

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::backend::BackendError;
use crate::series::{Column, TimeAxis};

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
}

/// The answer to one entry of a request.
#[derive(Debug, Clone)]
pub struct FormulaResult {
    /// The entry's name.
    pub name: String,
    /// The formula's name.
    pub formula: String,
    /// The chart, templates completed where they could be; always has `title` and `kind`.
    pub chart: Option<Value>,
    /// The series, or why there are none.
    pub outcome: Result<Evaluation, FormulaError>,
}

/// What a formula came to.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The expression, templates completed.
    pub expr: String,
    /// In the order of their tags.
    pub series: Vec<SeriesResult>,
    /// Never an error.
    pub warnings: Vec<Warning>,
}

/// One line of an answer.
#[derive(Debug, Clone)]
pub struct SeriesResult {
    /// Names and values, by name.
    pub tags: Vec<(String, Arc<str>)>,
    /// One value a bucket.
    pub column: Column,
    /// The formula over the range as one bucket, where it was asked for.
    pub summary: Option<Summary>,
}

/// The formula over the range as one bucket.
#[derive(Debug, Clone, PartialEq)]
pub enum Summary {
    /// Its value.
    Value(f64),
    /// Null, and a stable identifier of the reason: `no_data`, `undefined`, `no_single_bucket`, …
    Null(&'static str),
}

/// Something a reader of the series should know.
#[derive(Debug, Clone, PartialEq)]
pub struct Warning {
    /// A stable identifier.
    pub code: &'static str,
    /// How many points or series it is about, where that can be counted.
    pub count: Option<usize>,
    /// A sentence.
    pub detail: String,
}

/// Why one formula was not answered.
#[derive(Debug, Clone, PartialEq)]
pub struct FormulaError {
    /// A stable identifier.
    pub code: &'static str,
    /// A sentence that says what to do.
    pub detail: String,
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
    /// Fields that are wrong.
    #[error("the request has {} wrong field(s)", .0.len())]
    Input(Vec<InputError>),
    /// Range × series over a limit.
    #[error("{detail}")]
    LimitExceeded {
        /// The limit's name in the operator's file.
        limit: &'static str,
        /// What the request comes to.
        value: u64,
        /// The limit.
        maximum: u64,
        /// The step that would fit, where one would.
        step: Option<String>,
        /// A sentence that says all of this.
        detail: String,
    },
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
