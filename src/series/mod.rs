//! Tags, steps, time axes and columns: the nouns that every other module speaks in.
//!
//! Depends on nothing else of this crate. Timestamps are epoch milliseconds (`i64`), values are 64-bit floats; a null is
//! [`f64::NAN`] inside a column and never leaves the process as such.

pub mod aggregate;
pub mod agreement;
pub mod axis;
pub mod column;
pub mod kind;
pub mod pattern;
pub mod step;

pub use axis::{TimeAxis, TooManyBuckets};
pub use column::Column;
pub use kind::{Aggregate, Fill, Kind};
pub use step::{Step, StepUnit};

use std::collections::BTreeMap;

/// The tags of a stored series. A missing tag reads as `""`, and an empty value is the same as a missing tag.
pub type Tags = BTreeMap<String, String>;

/// One stored point of one stored series, as `load` writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The stored name.
    pub series: String,
    /// The tags, without empty values.
    pub tags: Tags,
    /// Epoch milliseconds.
    pub timestamp: i64,
    /// A finite value.
    pub value: f64,
}
