//! Raw points → one value a bucket and group.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Aggregate, TimeAxis};

/// Gathers the points of stored series into groups and buckets. Begin a stored series with [`Accumulator::series`], push its
/// points in any order, and [`Accumulator::finish`].
pub struct Accumulator<'a> {
    aggregate: Aggregate,
    axis: &'a TimeAxis,
    whole: Option<(i64, i64)>,
    groups: BTreeMap<Vec<Arc<str>>, Vec<Bucket>>,
    current: Vec<Arc<str>>,
    points: usize,
}

/// What is known of the points of one bucket; the last bucket of a group is that of the whole range.
#[derive(Debug, Clone, Default)]
struct Bucket {
    count: u64,
    sum: f64,
    least: f64,
    greatest: f64,
    first: (i64, f64),
    last: (i64, f64),
    values: Vec<f64>,
}

impl Bucket {
    fn push(&mut self, timestamp: i64, value: f64, keep: bool) {
        if self.count == 0 {
            (self.least, self.greatest) = (value, value);
            (self.first, self.last) = ((timestamp, value), (timestamp, value));
        }
        self.count += 1;
        self.sum += value;
        self.least = self.least.min(value);
        self.greatest = self.greatest.max(value);
        // A tie between stored series goes to the greater value.
        if timestamp < self.first.0 || (timestamp == self.first.0 && value > self.first.1) {
            self.first = (timestamp, value);
        }
        if timestamp > self.last.0 || (timestamp == self.last.0 && value > self.last.1) {
            self.last = (timestamp, value);
        }
        if keep {
            self.values.push(value);
        }
    }

    fn value(&mut self, aggregate: Aggregate) -> f64 {
        if self.count == 0 {
            return f64::NAN;
        }
        match aggregate {
            Aggregate::Sum => self.sum,
            Aggregate::Avg => self.sum / self.count as f64,
            Aggregate::Min => self.least,
            Aggregate::Max => self.greatest,
            Aggregate::Count => self.count as f64,
            Aggregate::First => self.first.1,
            Aggregate::Last => self.last.1,
            Aggregate::Percentile(_) => percentile(&mut self.values, aggregate.quantile().unwrap_or(0.5)),
        }
    }
}

/// The percentile at the zero-based rank `(n − 1)·q` of the sorted values, interpolated linearly (numpy's default).
fn percentile(values: &mut [f64], quantile: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let rank = (values.len() - 1) as f64 * quantile;
    let (low, high) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
    low + (high - low) * rank.fract()
}

/// One group: its key, a value a bucket (NaN where there is no point), and the value of the whole range.
pub type GroupValues = (Vec<Arc<str>>, Vec<f64>, f64);

impl<'a> Accumulator<'a> {
    /// Begins with no points. `whole` is a range `[from, to)` that is aggregated as one bucket beside the others.
    pub fn new(aggregate: Aggregate, axis: &'a TimeAxis, whole: Option<(i64, i64)>) -> Accumulator<'a> {
        Accumulator { aggregate, axis, whole, groups: BTreeMap::new(), current: Vec::new(), points: 0 }
    }

    /// The points that follow belong to this group.
    pub fn series(&mut self, key: Vec<Arc<str>>) {
        self.current = key;
    }

    /// A point of the stored series; one outside the axis is passed over.
    pub fn push(&mut self, timestamp: i64, value: f64) {
        let Some(index) = self.axis.index_of(timestamp) else { return };
        let keep = matches!(self.aggregate, Aggregate::Percentile(_));
        let len = self.axis.len();
        let buckets = match self.groups.get_mut(&self.current) {
            Some(buckets) => buckets,
            None => self.groups.entry(self.current.clone()).or_insert_with(|| vec![Bucket::default(); len + 1]),
        };
        buckets[index].push(timestamp, value, keep);
        if self.whole.is_some_and(|(from, to)| (from..to).contains(&timestamp)) {
            buckets[len].push(timestamp, value, keep);
        }
        self.points += usize::from(keep);
    }

    /// How many groups have a point.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// How many raw points are kept.
    pub fn kept_points(&self) -> usize {
        self.points
    }

    /// The groups, ascending by key.
    pub fn finish(self) -> Vec<GroupValues> {
        let aggregate = self.aggregate;
        let groups = self.groups.into_iter().map(|(key, mut buckets)| {
            let whole = buckets.pop().unwrap_or_default().value(aggregate);
            (key, buckets.iter_mut().map(|bucket| bucket.value(aggregate)).collect(), whole)
        });
        groups.collect()
    }
}
