//! Raw points to buckets: streams the points of one stored series after the other into groups.
//!
//! ```text
//! let mut groups = GroupAccumulator::new(kind, aggregate, whole, &axis);
//! for series in stored { groups.series(&key); for point in series { groups.push(point.timestamp, point.value); } }
//! let columns = groups.finish()?;
//! ```

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::{Aggregate, Kind, TimeAxis};

/// How far before a read the previous point of a counter's stored series is sought, in milliseconds.
pub const COUNTER_LOOKBACK: i64 = 5 * 60_000;

/// One group: its values on the axis, and over the whole range.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupColumn {
    /// The values of the selection's `group_by` tags, in its order; `""` for a missing tag.
    pub key: Vec<Arc<str>>,
    /// One value a bucket; NaN where the bucket has no point. Infinite where an aggregate overflowed.
    pub values: Vec<f64>,
    /// The aggregate over the selection's `whole` range; NaN where that has no point or was not asked for.
    pub whole: f64,
}

/// A distinct count over more than one stored series a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a distinct count cannot be added up: the group {} has {series} stored series; filter or group by more tags so that \
     each group has one", describe(.key)
)]
pub struct NotAdditive {
    /// The values of the `group_by` tags of the first such group.
    pub key: Vec<Arc<str>>,
    /// How many stored series it has.
    pub series: usize,
}

/// The first instant of which points are needed to answer for an axis: counters need the point before.
pub fn read_from(kind: Kind, axis: &TimeAxis) -> i64 {
    match kind {
        Kind::Counter => axis.from().saturating_sub(COUNTER_LOOKBACK),
        _ => axis.from(),
    }
}

/// Folds points into groups and buckets. Within one stored series timestamps ascend and do not repeat.
#[derive(Debug)]
pub struct GroupAccumulator {
    kind: Kind,
    aggregate: Aggregate,
    whole: Option<Range<i64>>,
    axis: TimeAxis,
    read_from: i64,
    index: BTreeMap<Vec<Arc<str>>, usize>,
    groups: Vec<Group>,
    kept: usize,
    key: Vec<Arc<str>>,
    /// The group of the stored series under way, found at its first point on the axis.
    group: Option<usize>,
    /// The last value of the stored series under way; only counters look at it.
    previous: Option<f64>,
    /// The bucket of the last point: the next one is most often in it too.
    bucket: (Range<i64>, usize),
}

impl GroupAccumulator {
    /// Without points yet. `whole` lies within the axis.
    pub fn new(kind: Kind, aggregate: Aggregate, whole: Option<Range<i64>>, axis: &TimeAxis) -> GroupAccumulator {
        GroupAccumulator {
            kind,
            aggregate,
            whole,
            axis: axis.clone(),
            read_from: read_from(kind, axis),
            index: BTreeMap::new(),
            groups: Vec::new(),
            kept: 0,
            key: Vec::new(),
            group: None,
            previous: None,
            bucket: (0..0, 0),
        }
    }

    /// Begins a stored series: the points that follow are its own. `key` has the values of the `group_by` tags.
    pub fn series(&mut self, key: &[Arc<str>]) {
        self.key.clear();
        self.key.extend_from_slice(key);
        self.group = None;
        self.previous = None;
    }

    /// Adds a point of the stored series under way. Points that are not on the axis are passed over; a counter also needs
    /// those from [`read_from`] on.
    pub fn push(&mut self, timestamp: i64, value: f64) {
        let amount = if self.kind == Kind::Counter && timestamp >= self.read_from {
            match self.previous.replace(value) {
                Some(previous) if value >= previous => Some(value - previous),
                Some(_) => Some(value),
                None => None,
            }
        } else {
            Some(value)
        };
        let Some(bucket) = self.bucket_of(timestamp) else { return };
        let group = self.current_group();
        let Some(amount) = amount else { return };
        let in_whole = self.whole.as_ref().is_some_and(|whole| whole.contains(&timestamp));
        let group = &mut self.groups[group];
        if let Aggregate::Percentile(_) = self.aggregate {
            group.ranked.push(Ranked { bucket: bucket as u32, in_whole, value: amount });
            self.kept += 1;
            return;
        }
        group.cells[bucket].add(self.aggregate, timestamp, amount);
        if in_whole {
            group.whole.add(self.aggregate, timestamp, amount);
        }
    }

    /// How many groups have a point so far.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// How many cells the answer has so far: groups × buckets.
    pub fn cells(&self) -> usize {
        self.groups.len().saturating_mul(self.axis.len())
    }

    /// How many raw points are kept so far: those of percentiles.
    pub fn kept_points(&self) -> usize {
        self.kept
    }

    /// The groups that have a point on the axis, ascending by key.
    ///
    /// # Errors
    /// [`NotAdditive`] for a distinct count with more than one stored series in a group.
    pub fn finish(self) -> Result<Vec<GroupColumn>, NotAdditive> {
        let mut groups: Vec<Option<Group>> = self.groups.into_iter().map(Some).collect();
        let mut columns = Vec::with_capacity(groups.len());
        for (key, index) in self.index {
            let Some(group) = groups[index].take() else { continue };
            if self.kind == Kind::Distinct && group.series > 1 {
                return Err(NotAdditive { key, series: group.series });
            }
            columns.push(group.finish(key, self.aggregate, self.axis.len()));
        }
        Ok(columns)
    }

    fn bucket_of(&mut self, timestamp: i64) -> Option<usize> {
        if !self.bucket.0.contains(&timestamp) {
            let index = self.axis.index_of(timestamp)?;
            self.bucket = (self.axis.starts()[index]..self.axis.end_of(index), index);
        }
        Some(self.bucket.1)
    }

    /// The group of the stored series under way, counted into it at its first point on the axis.
    fn current_group(&mut self) -> usize {
        if let Some(group) = self.group {
            return group;
        }
        let group = match self.index.get(&self.key) {
            Some(group) => *group,
            None => {
                self.index.insert(self.key.clone(), self.groups.len());
                self.groups.push(Group::new(self.aggregate, self.axis.len()));
                self.groups.len() - 1
            }
        };
        self.groups[group].series += 1;
        self.group = Some(group);
        group
    }
}

#[derive(Debug)]
struct Group {
    /// Stored series with a point on the axis.
    series: usize,
    /// One for each bucket; empty for percentiles.
    cells: Vec<Cell>,
    whole: Cell,
    /// Every point, for percentiles only.
    ranked: Vec<Ranked>,
}

/// A point that a percentile needs.
#[derive(Debug, Clone, Copy)]
struct Ranked {
    bucket: u32,
    in_whole: bool,
    value: f64,
}

impl Group {
    fn new(aggregate: Aggregate, buckets: usize) -> Group {
        let cells = if aggregate.quantile().is_some() { 0 } else { buckets };
        Group { series: 0, cells: vec![Cell::Empty; cells], whole: Cell::Empty, ranked: Vec::new() }
    }

    fn finish(self, key: Vec<Arc<str>>, aggregate: Aggregate, buckets: usize) -> GroupColumn {
        if let Aggregate::Percentile(thousandths) = aggregate {
            let (values, whole) = percentiles(self.ranked, thousandths, buckets);
            return GroupColumn { key, values, whole };
        }
        let values = self.cells.iter().map(|cell| cell.value()).collect();
        GroupColumn { key, values, whole: self.whole.value() }
    }
}

/// What the points of one bucket came to.
#[derive(Debug, Clone, Copy)]
enum Cell {
    Empty,
    /// A sum and what rounding took from it (Neumaier), so that the order of the points hardly matters.
    Sum {
        sum: f64,
        rest: f64,
    },
    Mean {
        sum: f64,
        rest: f64,
        count: u64,
    },
    Extreme(f64),
    Count(u64),
    At {
        timestamp: i64,
        value: f64,
    },
}

impl Cell {
    fn add(&mut self, aggregate: Aggregate, timestamp: i64, new: f64) {
        match self {
            Cell::Empty => *self = Cell::first(aggregate, timestamp, new),
            Cell::Sum { sum, rest } => add_compensated(sum, rest, new),
            Cell::Mean { sum, rest, count } => {
                add_compensated(sum, rest, new);
                *count += 1;
            }
            Cell::Extreme(value) if aggregate == Aggregate::Min => *value = value.min(new),
            Cell::Extreme(value) => *value = value.max(new),
            Cell::Count(count) => *count += 1,
            Cell::At { timestamp: held, value } => {
                let replaces = match aggregate {
                    Aggregate::First => timestamp < *held,
                    _ => timestamp > *held,
                };
                if replaces || (timestamp == *held && new > *value) {
                    (*held, *value) = (timestamp, new);
                }
            }
        }
    }

    fn first(aggregate: Aggregate, timestamp: i64, value: f64) -> Cell {
        match aggregate {
            Aggregate::Sum => Cell::Sum { sum: value, rest: 0.0 },
            Aggregate::Avg => Cell::Mean { sum: value, rest: 0.0, count: 1 },
            Aggregate::Min | Aggregate::Max => Cell::Extreme(value),
            Aggregate::Count => Cell::Count(1),
            // Percentiles keep their points elsewhere.
            Aggregate::First | Aggregate::Last | Aggregate::Percentile(_) => Cell::At { timestamp, value },
        }
    }

    fn value(&self) -> f64 {
        match *self {
            Cell::Empty => f64::NAN,
            Cell::Sum { sum, rest } => compensated(sum, rest),
            Cell::Mean { sum, rest, count } => compensated(sum, rest) / count as f64,
            Cell::Extreme(value) | Cell::At { value, .. } => value,
            Cell::Count(count) => count as f64,
        }
    }
}

fn add_compensated(sum: &mut f64, rest: &mut f64, value: f64) {
    let total = *sum + value;
    *rest += if sum.abs() >= value.abs() { (*sum - total) + value } else { (value - total) + *sum };
    *sum = total;
}

/// The rest of a sum that overflowed is not a number and must not hide that.
fn compensated(sum: f64, rest: f64) -> f64 {
    if sum.is_finite() { sum + rest } else { sum }
}

/// The percentile of each bucket and of the whole range.
fn percentiles(mut ranked: Vec<Ranked>, thousandths: u32, buckets: usize) -> (Vec<f64>, f64) {
    let mut values = vec![f64::NAN; buckets];
    ranked.sort_unstable_by(|a, b| a.bucket.cmp(&b.bucket).then(a.value.total_cmp(&b.value)));
    for bucket in ranked.chunk_by(|a, b| a.bucket == b.bucket) {
        values[bucket[0].bucket as usize] = percentile(bucket, thousandths);
    }
    ranked.retain(|point| point.in_whole);
    ranked.sort_unstable_by(|a, b| a.value.total_cmp(&b.value));
    (values, percentile(&ranked, thousandths))
}

/// At the zero-based rank `(n − 1)·p`, interpolated linearly; NaN of nothing.
fn percentile(sorted: &[Ranked], thousandths: u32) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    // In whole numbers: p60 of 6 points is the fourth, not a hair before it.
    let rank = last as u64 * u64::from(thousandths);
    let (low, part) = ((rank / 100_000) as usize, (rank % 100_000) as f64 / 100_000.0);
    let (below, above) = (sorted[low].value, sorted[(low + 1).min(last)].value);
    // The difference of two values may overflow, the weighted sum cannot.
    if part == 0.0 || below == above { below } else { below * (1.0 - part) + above * part }
}

fn describe(key: &[Arc<str>]) -> String {
    let values: Vec<&str> = key.iter().map(|value| &**value).collect();
    format!("({})", values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMS: [(Aggregate, f64); 7] = [
        (Aggregate::Sum, 10.0),
        (Aggregate::Avg, 2.5),
        (Aggregate::Min, 1.0),
        (Aggregate::Max, 4.0),
        (Aggregate::Count, 4.0),
        (Aggregate::First, 3.0),
        (Aggregate::Last, 4.0),
    ];

    fn fold(kind: Kind, aggregate: Aggregate, axis: &TimeAxis, series: &[&[(i64, f64)]]) -> Vec<f64> {
        let mut groups = GroupAccumulator::new(kind, aggregate, None, axis);
        for points in series {
            groups.series(&[]);
            points.iter().for_each(|(timestamp, value)| groups.push(*timestamp, *value));
        }
        groups.finish().unwrap().into_iter().next().map_or(Vec::new(), |group| group.values)
    }

    #[test]
    fn every_aggregate_over_two_series_with_ties_between_them() {
        let axis = TimeAxis::single(0, 100);
        for (aggregate, expected) in SUMS {
            let values = fold(Kind::Delta, aggregate, &axis, &[&[(10, 1.0), (50, 4.0)], &[(10, 3.0), (50, 2.0)]]);
            assert_eq!(values, [expected], "{aggregate}");
        }
    }

    #[test]
    fn percentiles_interpolate_and_do_not_overflow() {
        let axis = TimeAxis::single(0, 100);
        let points: Vec<(i64, f64)> =
            [4.0, 1.0, 3.0, 2.0, 6.0, 5.0].into_iter().enumerate().map(|(i, v)| (i as i64, v)).collect();
        for (text, expected) in [("p0", 1.0), ("p50", 3.5), ("p60", 4.0), ("p95", 5.75), ("p100", 6.0)] {
            assert_eq!(fold(Kind::Gauge, text.parse().unwrap(), &axis, &[&points]), [expected], "{text}");
        }
        let wide = [(0, f64::MAX), (1, -f64::MAX)];
        assert_eq!(fold(Kind::Gauge, "p50".parse().unwrap(), &axis, &[&wide]), [0.0]);
    }

    #[test]
    fn an_overflow_is_infinite_and_small_terms_are_not_lost() {
        let axis = TimeAxis::single(0, 100);
        assert_eq!(
            fold(Kind::Delta, Aggregate::Sum, &axis, &[&[(0, f64::MAX), (1, f64::MAX), (2, 1.0)]]),
            [f64::INFINITY]
        );
        assert_eq!(fold(Kind::Delta, Aggregate::Sum, &axis, &[&[(0, 1e100), (1, 1.0), (2, -1e100)]]), [1.0]);
    }

    #[test]
    fn a_counter_adds_increases_its_own_value_after_a_fall_and_nothing_without_a_previous_point() {
        let axis = TimeAxis::covering(0, 180_000, "1m".parse().unwrap(), &jiff::tz::TimeZone::UTC, 10).unwrap();
        let first = [(-300_000, 5.0), (0, 7.0), (60_000, 3.0), (61_000, 4.0)];
        let second = [(-300_001, 5.0), (60_000, 100.0), (60_001, 101.0)];
        let values = fold(Kind::Counter, Aggregate::Sum, &axis, &[&first, &second]);
        assert_eq!(values[..2], [2.0, 5.0]);
        assert!(values[2].is_nan());
    }

    #[test]
    fn a_distinct_count_bears_one_series_a_group() {
        let axis = TimeAxis::single(0, 100);
        let mut groups = GroupAccumulator::new(Kind::Distinct, Aggregate::Sum, None, &axis);
        for timestamp in [5, 200] {
            groups.series(&["a".into()]);
            groups.push(timestamp, 1.0);
        }
        groups.series(&["b".into()]);
        groups.push(5, 1.0);
        groups.series(&["b".into()]);
        groups.push(6, 1.0);
        assert_eq!(groups.finish(), Err(NotAdditive { key: vec!["b".into()], series: 2 }));
    }

    #[test]
    fn groups_are_sorted_and_only_those_with_a_point_on_the_axis_and_the_whole_is_its_own_range() {
        let axis = TimeAxis::covering(0, 120_000, "1m".parse().unwrap(), &jiff::tz::TimeZone::UTC, 10).unwrap();
        for (aggregate, expected) in [(Aggregate::Sum, 4.0), (Aggregate::Percentile(50_000), 4.0)] {
            let mut groups = GroupAccumulator::new(Kind::Delta, aggregate, Some(60_000..120_000), &axis);
            for (key, timestamp, value) in [("b", 0, 2.0), ("b", 60_000, 4.0), ("c", 120_000, 1.0), ("", 0, 8.0)] {
                groups.series(&[key.into()]);
                groups.push(timestamp, value);
            }
            let columns = groups.finish().unwrap();
            let keys: Vec<&str> = columns.iter().map(|column| &*column.key[0]).collect();
            assert_eq!(keys, ["", "b"]);
            assert!(columns[0].whole.is_nan() && columns[0].values[1].is_nan());
            assert_eq!((columns[1].values.as_slice(), columns[1].whole), ([2.0, 4.0].as_slice(), expected));
        }
    }
}
