//! The contract's aggregation written plainly, point by point, with nothing of the service's own but the types.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use tsdb_ws::backend::{SelectBatch, Selection};
use tsdb_ws::series::{Aggregate, Kind, Point, Step, StepUnit, Tags};

/// One group: by the first instant of its buckets, and over the whole range.
#[derive(Debug, Default)]
pub struct Group {
    pub buckets: BTreeMap<i64, f64>,
    pub whole: Option<f64>,
}

/// The groups of a delta or gauge selection.
pub fn select(points: &[Point], selection: &Selection, batch: &SelectBatch) -> BTreeMap<Vec<String>, Group> {
    let value = |tags: &Tags, tag: &str| tags.get(tag).cloned().unwrap_or_default();
    let read: Vec<&Point> = points
        .iter()
        .filter(|point| point.series == selection.series)
        .filter(|point| selection.filter.iter().all(|(tag, any)| any.contains(&value(&point.tags, tag))))
        .filter(|point| point.timestamp >= selection.axis.from() && point.timestamp < selection.axis.to())
        .collect();
    let key = |point: &Point| selection.group_by.iter().map(|tag| value(&point.tags, tag)).collect::<Vec<String>>();
    let keys: BTreeSet<Vec<String>> = read.iter().map(|point| key(point)).collect();
    let mut groups = BTreeMap::new();
    for group_key in keys {
        let own: Vec<&Point> = read.iter().copied().filter(|point| key(point) == group_key).collect();
        let mut group = Group::default();
        let starts: BTreeSet<i64> =
            own.iter().map(|p| bucket_start(p.timestamp, batch.step, &batch.timezone)).collect();
        for start in starts {
            let inside = |p: &&&Point| bucket_start(p.timestamp, batch.step, &batch.timezone) == start;
            let bucket: Vec<&Point> = own.iter().filter(inside).copied().collect();
            group.buckets.insert(start, aggregate(&bucket, selection.aggregate));
        }
        if let Some(whole) = selection.whole {
            let inside: Vec<&Point> =
                own.iter().copied().filter(|p| p.timestamp >= whole.from && p.timestamp < whole.to).collect();
            group.whole = (!inside.is_empty()).then(|| aggregate(&inside, selection.aggregate));
        }
        groups.insert(group_key, group);
    }
    groups
}

/// The groups of a selection of any kind; `None` where a distinct count would have to be added up.
pub fn checked(points: &[Point], selection: &Selection, batch: &SelectBatch) -> Option<BTreeMap<Vec<String>, Group>> {
    let on_axis = |p: &&Point| p.timestamp >= selection.axis.from() && p.timestamp < selection.axis.to();
    let matching = |p: &&Point| {
        let value = |tag: &str| p.tags.get(tag).cloned().unwrap_or_default();
        selection.filter.iter().all(|(tag, any)| any.contains(&value(tag)))
    };
    match selection.kind {
        Kind::Delta | Kind::Gauge => Some(select(points, selection, batch)),
        Kind::Distinct => {
            let key = |tags: &Tags| -> Vec<String> {
                selection.group_by.iter().map(|tag| tags.get(tag).cloned().unwrap_or_default()).collect()
            };
            let stored: BTreeSet<&Tags> = points.iter().filter(on_axis).filter(matching).map(|p| &p.tags).collect();
            let groups: BTreeSet<Vec<String>> = stored.iter().map(|tags| key(tags)).collect();
            (stored.len() == groups.len()).then(|| select(points, selection, batch))
        }
        Kind::Counter => Some(select_increases(points, selection, batch)),
    }
}

/// A counter's points become what they add; a point without one before it is in its group and adds nothing.
fn select_increases(points: &[Point], selection: &Selection, batch: &SelectBatch) -> BTreeMap<Vec<String>, Group> {
    let sought_from = selection.axis.from() - 300_000;
    let mut stored: BTreeMap<&Tags, Vec<&Point>> = BTreeMap::new();
    for point in points.iter().filter(|p| p.timestamp >= sought_from && p.timestamp < selection.axis.to()) {
        stored.entry(&point.tags).or_default().push(point);
    }
    let mut increases = Vec::new();
    let mut bare = Vec::new();
    for series in stored.values_mut() {
        series.sort_by_key(|point| point.timestamp);
        bare.push((*series[0]).clone());
        for pair in series.windows(2) {
            let (before, after) = (pair[0].value, pair[1].value);
            let value = if after >= before { after - before } else { after };
            increases.push(Point { value, ..pair[1].clone() });
        }
    }
    let mut groups = select(&increases, selection, batch);
    // Groups all of whose points add nothing are there all the same, without values.
    for key in select(&bare, selection, batch).into_keys() {
        groups.entry(key).or_default();
    }
    groups
}

/// By the calendar itself, not by the service's steps.
fn bucket_start(timestamp: i64, step: Step, timezone: &TimeZone) -> i64 {
    let length = match step.unit() {
        StepUnit::Second => 1_000,
        StepUnit::Minute => 60_000,
        StepUnit::Hour => 3_600_000,
        StepUnit::Day | StepUnit::Week => 0,
    } * i64::from(step.count());
    if length > 0 {
        return timestamp.div_euclid(length) * length;
    }
    let local = Timestamp::from_millisecond(timestamp).unwrap().to_zoned_datetime(timezone.clone());
    let back = match step.unit() {
        StepUnit::Week => i32::from(local.weekday().to_monday_zero_offset()),
        _ => 0,
    };
    assert_eq!(step.count(), 1, "the reference knows single days and weeks");
    let first = local.date().checked_sub(back.days()).unwrap();
    first.to_zoned_datetime(timezone.clone()).unwrap().timestamp().as_millisecond()
}

fn aggregate(points: &[&Point], aggregate: Aggregate) -> f64 {
    let values: Vec<f64> = points.iter().map(|point| point.value).collect();
    let sum: f64 = values.iter().sum();
    let at = |timestamp: i64| {
        points.iter().filter(|p| p.timestamp == timestamp).map(|p| p.value).fold(f64::NEG_INFINITY, f64::max)
    };
    match aggregate {
        Aggregate::Sum => sum,
        Aggregate::Avg => sum / values.len() as f64,
        Aggregate::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
        Aggregate::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Aggregate::Count => values.len() as f64,
        Aggregate::First => at(points.iter().map(|p| p.timestamp).min().unwrap()),
        Aggregate::Last => at(points.iter().map(|p| p.timestamp).max().unwrap()),
        Aggregate::Percentile(thousandths) => {
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            let rank = (sorted.len() - 1) as f64 * f64::from(thousandths) / 100_000.0;
            let (low, high) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
            low + (high - low) * rank.fract()
        }
    }
}

/// What the aggregate may differ by: sums and averages within 1e-9 of the points' size, percentiles of the greatest.
pub fn tolerance(points: &[Point], aggregate: Aggregate) -> f64 {
    match aggregate {
        Aggregate::Sum | Aggregate::Avg => 1e-9 * points.iter().map(|point| point.value.abs()).sum::<f64>(),
        Aggregate::Percentile(_) => 1e-9 * points.iter().map(|point| point.value.abs()).fold(0.0, f64::max),
        _ => 0.0,
    }
}
