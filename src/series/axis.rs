//! The shared time axis of an answer: the starts of its buckets.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::Step;

/// Consecutive buckets `[starts[i], starts[i + 1])`, the last one up to `end`. Cheap to clone.
#[derive(Debug, Clone, Eq)]
pub struct TimeAxis {
    starts: Arc<[i64]>,
    end: i64,
    exact: Option<i64>,
}

impl PartialEq for TimeAxis {
    fn eq(&self, other: &TimeAxis) -> bool {
        self.end == other.end
            && self.exact == other.exact
            && (Arc::ptr_eq(&self.starts, &other.starts) || self.starts == other.starts)
    }
}

impl Hash for TimeAxis {
    /// By the ends alone: the axes of one request that have both in common are equal, and starts may be many.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.from(), self.end, self.len()).hash(state);
    }
}

/// More buckets than a limit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the range has about {count} buckets, over the limit of {limit}")]
pub struct TooManyBuckets {
    /// How many there would be (an estimate for calendar steps).
    pub count: u64,
    /// The limit.
    pub limit: usize,
}

impl TimeAxis {
    /// The buckets that `[from, to)` touches, widened to whole ones. `from < to` must hold, else there is one bucket.
    ///
    /// # Errors
    /// [`TooManyBuckets`] before anything is allocated.
    pub fn covering(
        from: i64,
        to: i64,
        step: Step,
        timezone: &TimeZone,
        limit: usize,
    ) -> Result<TimeAxis, TooManyBuckets> {
        let count = to.saturating_sub(from).max(0) as u64 / step.nominal_millis().max(1) as u64;
        if count > limit as u64 + 1 {
            return Err(TooManyBuckets { count, limit });
        }
        let mut starts = Vec::with_capacity(count as usize + 2);
        let mut start = step.floor(from, timezone);
        loop {
            starts.push(start);
            if starts.len() > limit {
                return Err(TooManyBuckets { count: count.max(starts.len() as u64), limit });
            }
            start = step.next(start, timezone);
            if start >= to {
                break;
            }
        }
        Ok(TimeAxis { starts: starts.into(), end: start, exact: step.exact_millis() })
    }

    /// One bucket `[from, to)`.
    pub fn single(from: i64, to: i64) -> TimeAxis {
        TimeAxis { starts: Arc::new([from]), end: to, exact: Some((to - from).max(1)) }
    }

    /// The starts, ascending, never empty.
    pub fn starts(&self) -> &[i64] {
        &self.starts
    }

    /// The first instant of the first bucket.
    pub fn from(&self) -> i64 {
        self.starts[0]
    }

    /// The first instant after the last bucket.
    pub fn to(&self) -> i64 {
        self.end
    }

    /// How many buckets.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Never true: an axis has at least one bucket.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The first instant after bucket `index`.
    pub fn end_of(&self, index: usize) -> i64 {
        self.starts.get(index + 1).copied().unwrap_or(self.end)
    }

    /// The length of every bucket where all have the same by the step's nature.
    pub fn exact_millis(&self) -> Option<i64> {
        self.exact
    }

    /// The bucket that holds `timestamp`.
    pub fn index_of(&self, timestamp: i64) -> Option<usize> {
        if timestamp < self.from() || timestamp >= self.end {
            return None;
        }
        Some(match self.exact {
            Some(length) => ((timestamp - self.from()) / length) as usize,
            None => self.starts.partition_point(|start| *start <= timestamp) - 1,
        })
    }
}
