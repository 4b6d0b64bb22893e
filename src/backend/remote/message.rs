//! The messages of remote read and write, as far as they are used here.
//!
//! What an answer holds in great number is declared as bytes, which are the same on the wire as the message in them: results
//! and stored series are decoded one after the other, and an answer is never in memory twice.

use bytes::Bytes;
use prost::Message;

/// The label that holds the name of a stored series.
pub const NAME_LABEL: &str = "__name__";

/// What is read.
#[derive(Clone, PartialEq, Message)]
pub struct ReadRequest {
    /// Each has its own result.
    #[prost(message, repeated, tag = "1")]
    pub queries: Vec<Query>,
}

/// The points of the stored series that all matchers match.
#[derive(Clone, PartialEq, Message)]
pub struct Query {
    /// Epoch milliseconds, inclusive.
    #[prost(int64, tag = "1")]
    pub start: i64,
    /// Epoch milliseconds; inclusive or not, as the server has it.
    #[prost(int64, tag = "2")]
    pub end: i64,
    /// Data in every part.
    #[prost(message, repeated, tag = "3")]
    pub matchers: Vec<Matcher>,
}

/// What one label must be.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Matcher {
    /// A [`MatcherKind`].
    #[prost(enumeration = "MatcherKind", tag = "1")]
    pub kind: i32,
    /// The label.
    #[prost(string, tag = "2")]
    pub name: String,
    /// A value or an expression.
    #[prost(string, tag = "3")]
    pub value: String,
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MatcherKind {
    /// As it is; an empty one is that of a missing label.
    Equal = 0,
    /// Against an expression in RE2's syntax, from its beginning to its end.
    Regex = 2,
}

/// What was read.
#[derive(Clone, PartialEq, Message)]
pub struct ReadAnswer {
    /// A [`QueryResult`] for each query, in order.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub results: Vec<Bytes>,
}

/// The answer to a [`Query`].
#[derive(Clone, PartialEq, Message)]
pub struct QueryResult {
    /// A [`StoredSeries`] each.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub series: Vec<Bytes>,
}

/// What is written.
#[derive(Clone, PartialEq, Message)]
pub struct WriteRequest {
    /// Labels and points.
    #[prost(message, repeated, tag = "1")]
    pub series: Vec<StoredSeries>,
}

/// Points of one stored series.
#[derive(Clone, PartialEq, Message)]
pub struct StoredSeries {
    /// Its name is one of them.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Ascending by time.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
}

impl StoredSeries {
    /// The value of a label; `""` where it is missing.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|label| label.name == name).map_or("", |label| label.value.as_str())
    }
}

/// A name and its value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Message)]
pub struct Label {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value; an empty one is the same as no label.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A point.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Sample {
    /// Its value; NaN marks the end of a series.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Epoch milliseconds.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}
