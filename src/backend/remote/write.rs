//! Points → what remote write takes, and what of it can be read again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::Dialect;
use super::decode::{self, stored_series};
use super::message::{Label, Matcher, MatcherKind, NAME_LABEL, Query, ReadRequest, Sample, StoredSeries, WriteRequest};
use super::names::Names;
use crate::series::{Point, Tags};

/// Points of one request.
const POINTS_PER_REQUEST: usize = 5_000;
/// Stored series of one request that looks for them.
const SERIES_PER_LOOK: usize = 500;

/// The requests that store points, in the order of time: some servers take nothing that is older than what they have. Within
/// one the points of a stored series ascend, and of those at the same instant the last one counts.
///
/// # Errors
/// Points that cannot be told apart once stored, in words for the user.
pub fn requests(points: &[Point], names: Names) -> Result<Vec<WriteRequest>, String> {
    let mut ordered: Vec<&Point> = points.iter().collect();
    // Stable: points at the same instant stay in the order in which they were written.
    ordered.sort_by_key(|point| point.timestamp);
    ordered.chunks(POINTS_PER_REQUEST).map(|points| stored(points.iter().copied(), names)).collect()
}

/// What is stored of points: those of a stored series ascend, and of those at the same instant the last one counts.
///
/// # Errors
/// Points that cannot be told apart once stored, in words for the user.
pub fn stored<'p>(points: impl IntoIterator<Item = &'p Point>, names: Names) -> Result<WriteRequest, String> {
    let mut told_apart: BTreeMap<(&str, &Tags), Vec<Sample>> = BTreeMap::new();
    for point in points {
        let samples = told_apart.entry((&point.series, &point.tags)).or_default();
        samples.push(Sample { value: point.value, timestamp: point.timestamp });
    }
    let mut stored: BTreeMap<Vec<Label>, Vec<Sample>> = BTreeMap::new();
    for ((series, tags), samples) in told_apart {
        stored.entry(labels(series, tags, names)?).or_default().extend(samples);
    }
    let series = stored.into_iter().map(|(labels, samples)| StoredSeries { labels, samples: last_ones(samples) });
    Ok(WriteRequest { series: series.collect() })
}

/// The labels of a stored series, sorted.
fn labels(series: &str, tags: &Tags, names: Names) -> Result<Vec<Label>, String> {
    if series.is_empty() {
        return Err("a series without a name cannot be stored".to_owned());
    }
    let mut labels = BTreeMap::from([(NAME_LABEL.to_owned(), names.series(series).into_owned())]);
    for (tag, value) in tags.iter().filter(|(_, value)| !value.is_empty()) {
        let label = names.label(tag).map_err(|error| error.to_string())?.into_owned();
        if label.is_empty() {
            return Err(format!("the series `{series}` has a tag without a name, which cannot be stored"));
        }
        if labels.insert(label.clone(), value.clone()).is_some() {
            return Err(format!("two tags of the series `{series}` would both be stored as `{label}`; rename one"));
        }
    }
    Ok(labels.into_iter().map(|(name, value)| Label { name, value }).collect())
}

fn last_ones(mut samples: Vec<Sample>) -> Vec<Sample> {
    samples.sort_by_key(|sample| sample.timestamp);
    let mut last: Vec<Sample> = Vec::with_capacity(samples.len());
    for sample in samples {
        match last.last_mut() {
            Some(before) if before.timestamp == sample.timestamp => *before = sample,
            _ => last.push(sample),
        }
    }
    last
}

/// The first point of each of the stored series that `wanted` chooses.
pub fn first_points(request: &WriteRequest, wanted: impl Fn(&StoredSeries) -> bool) -> WriteRequest {
    let first = |series: &StoredSeries| StoredSeries {
        labels: series.labels.clone(),
        samples: series.samples.iter().take(1).copied().collect(),
    };
    WriteRequest { series: request.series.iter().filter(|series| wanted(series)).map(first).collect() }
}

/// Asks for stored points again, a part of them at a time.
pub fn looks(written: &WriteRequest) -> impl Iterator<Item = &[StoredSeries]> {
    written.series.chunks(SERIES_PER_LOOK)
}

/// The message that asks for stored points.
pub fn look(dialect: &Dialect, written: &[StoredSeries]) -> ReadRequest {
    let matcher = |label: &Label| Matcher {
        kind: MatcherKind::Equal.into(),
        name: label.name.clone(),
        value: label.value.clone(),
    };
    let query = |series: &StoredSeries| {
        let first = series.samples.first().map_or(0, |sample| sample.timestamp);
        let last = series.samples.last().map_or(0, |sample| sample.timestamp);
        let matchers = series.labels.iter().map(matcher).collect();
        Query { start: first, end: dialect.end_of(last + 1), matchers }
    };
    ReadRequest { queries: written.iter().map(query).collect() }
}

/// Of the points that were written, those that an answer to [`look`] does not have.
///
/// # Errors
/// Bytes that are no answer.
pub fn missing(body: &[u8], written: &[StoredSeries]) -> Result<Vec<StoredSeries>, String> {
    let results = decode::results(body, written.len())?;
    let mut missing = Vec::new();
    for (series, result) in written.iter().zip(results) {
        let found = found(result, series)?;
        let is_missing =
            |sample: &&Sample| !sample.value.is_nan() && !found.contains(&(sample.timestamp, bits(sample.value)));
        let samples: Vec<Sample> = series.samples.iter().filter(is_missing).copied().collect();
        if !samples.is_empty() {
            missing.push(StoredSeries { labels: series.labels.clone(), samples });
        }
    }
    Ok(missing)
}

/// The points of a stored series, perhaps with labels that the server adds to all of them.
fn found(result: Bytes, series: &StoredSeries) -> Result<BTreeSet<(i64, u64)>, String> {
    let mut exact = None;
    let mut others = BTreeSet::new();
    for other in stored_series(result)? {
        let other = other?;
        let points = other.samples.iter().map(|sample| (sample.timestamp, bits(sample.value)));
        match other.labels.len() == series.labels.len() {
            true => exact = Some(points.collect()),
            false => others.extend(points),
        }
    }
    Ok(exact.unwrap_or(others))
}

/// How many points these are and which is the first; `None` for none.
pub fn described(points: &WriteRequest) -> Option<String> {
    let count: usize = points.series.iter().map(|series| series.samples.len()).sum();
    let series = points.series.first()?;
    let first = series.samples.first()?;
    let labels: Vec<String> = series.labels.iter().map(|label| format!("{}={:?}", label.name, label.value)).collect();
    let at = jiff::Timestamp::from_millisecond(first.timestamp)
        .map_or_else(|_| first.timestamp.to_string(), |timestamp| timestamp.to_string());
    Some(format!("{count} point(s), the first of {{{}}} at {at}", labels.join(", ")))
}

/// A value as it is compared: both zeros are the same.
fn bits(value: f64) -> u64 {
    (value + 0.0).to_bits()
}
