//! Batch → one query.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::Serialize;

use super::KnownTags;
use crate::backend::{SelectBatch, Selection, ValuesQuery};
use crate::series::aggregate::COUNTER_LOOKBACK;
use crate::series::{Aggregate, Kind};

/// What KairosDB does to the points of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregator {
    Sum,
    Count,
    Min,
    Max,
}

/// What is asked for where there is a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Buckets where KairosDB makes them exactly.
    Buckets,
    /// Every point.
    Points,
}

/// One metric of a request: what is read for a selection.
#[derive(Debug, PartialEq)]
pub struct Read<'a> {
    /// Which selection of the batch.
    pub index: usize,
    pub selection: &'a Selection,
    /// What KairosDB computes; `None`: the points as they are.
    pub aggregator: Option<Aggregator>,
    /// The tags by which the answer is grouped.
    pub tags: Vec<String>,
    /// Whether each group must be one stored series.
    pub by_series: bool,
    /// The length of KairosDB's buckets.
    bucket: i64,
}

/// One request.
#[derive(Debug)]
pub struct Call<'a> {
    from: i64,
    to: i64,
    /// In the order of the request's metrics; those of a selection are neighbours.
    pub reads: Vec<Read<'a>>,
}

impl<'a> Call<'a> {
    /// The request for some selections of a batch.
    pub fn new(batch: &'a SelectBatch, selections: &[usize], known: &KnownTags, depth: Depth) -> Call<'a> {
        let chosen = || selections.iter().map(|index| (*index, &batch.selections[*index]));
        let counters = chosen().any(|(_, selection)| selection.kind == Kind::Counter);
        let lookback = if counters { lookback(batch.step.exact_millis()) } else { 0 };
        let from = chosen().map(|(_, selection)| selection.axis.from()).min().unwrap_or(0).saturating_sub(lookback);
        let to = chosen().map(|(_, selection)| selection.axis.to()).max().unwrap_or(1);
        let reads = chosen().flat_map(|(index, selection)| reads(index, selection, from, known, depth)).collect();
        Call { from, to, reads }
    }

    /// The selection that a metric of the request belongs to.
    pub fn selection_of(&self, metric: usize) -> Option<usize> {
        self.reads.get(metric).map(|read| read.index)
    }

    /// The body.
    pub fn body(&self) -> Vec<u8> {
        let metrics = self.reads.iter().map(metric).collect();
        // Both ends are inclusive; our ranges are half-open.
        to_json(&Query { start_absolute: self.from, end_absolute: self.to - 1, metrics })
    }
}

/// How far before the first bucket counters are read: whole buckets, so that those of the other selections stay as long.
fn lookback(step: Option<i64>) -> i64 {
    let unit = step.unwrap_or(3_600_000);
    (COUNTER_LOOKBACK + unit - 1) / unit * unit
}

fn reads<'a>(index: usize, selection: &'a Selection, from: i64, known: &KnownTags, depth: Depth) -> Vec<Read<'a>> {
    let by_series = matches!(selection.kind, Kind::Counter | Kind::Distinct);
    let mut tags: BTreeSet<String> = selection.group_by.iter().cloned().collect();
    tags.extend(selection.filter.iter().filter(|(tag, any)| !is_plain(tag, any)).map(|(tag, _)| tag.clone()));
    if by_series {
        tags.extend(known.get(&selection.series).into_iter().flatten().cloned());
    }
    let bucket = common_bucket(selection, from);
    let aggregators: &[Option<Aggregator>] = match (by_series, depth, selection.aggregate) {
        (true, ..) | (_, Depth::Points, _) => &[None],
        (_, _, Aggregate::Sum) => &[Some(Aggregator::Sum)],
        (_, _, Aggregate::Count) => &[Some(Aggregator::Count)],
        (_, _, Aggregate::Min) => &[Some(Aggregator::Min)],
        (_, _, Aggregate::Max) => &[Some(Aggregator::Max)],
        (_, _, Aggregate::Avg) => &[Some(Aggregator::Sum), Some(Aggregator::Count)],
        (_, _, Aggregate::First | Aggregate::Last | Aggregate::Percentile(_)) => &[None],
    };
    let read = |aggregator: &Option<Aggregator>| Read {
        index,
        selection,
        aggregator: *aggregator,
        tags: tags.iter().cloned().collect(),
        by_series,
        bucket,
    };
    aggregators.iter().map(read).collect()
}

/// The greatest length that all of a selection's buckets are multiples of, as counted from the start of the request.
fn common_bucket(selection: &Selection, from: i64) -> i64 {
    let axis = &selection.axis;
    let whole = selection.whole.map(|whole| [whole.from, whole.to]);
    let edges = axis.starts().iter().copied().chain([axis.to()]).chain(whole.into_iter().flatten());
    edges.fold(0, |common, edge| gcd(common, (edge - from).abs())).max(1)
}

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Whether KairosDB finds just these values of a tag. It has no word for a missing tag, takes what begins with `regex:` for an
/// expression, and its H2 datastore pastes names and values into SQL between apostrophes. Such tags are grouped by, and
/// looked at here.
pub fn is_plain(tag: &str, any: &[String]) -> bool {
    let pasted = |text: &str| text.chars().any(|c| c == '\'' || c == '\\' || c.is_control());
    !pasted(tag) && any.iter().all(|value| !value.is_empty() && !value.starts_with("regex:") && !pasted(value))
}

#[derive(Serialize)]
struct Query<'a> {
    start_absolute: i64,
    end_absolute: i64,
    metrics: Vec<Metric<'a>>,
}

#[derive(Serialize)]
struct Metric<'a> {
    name: &'a str,
    tags: BTreeMap<&'a str, &'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_by: Option<[GroupBy<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregators: Option<[Sampled; 1]>,
}

#[derive(Serialize)]
struct GroupBy<'a> {
    name: &'static str,
    tags: &'a [String],
}

#[derive(Serialize)]
struct Sampled {
    name: Aggregator,
    align_sampling: bool,
    align_start_time: bool,
    sampling: Sampling,
}

#[derive(Serialize)]
struct Sampling {
    value: i64,
    unit: &'static str,
}

fn metric<'a>(read: &'a Read<'_>) -> Metric<'a> {
    Metric {
        name: &read.selection.series,
        tags: plain_filter(&read.selection.filter),
        group_by: group_by(&read.tags),
        aggregators: read.aggregator.map(|name| [sampled(name, read.bucket)]),
    }
}

fn plain_filter(filter: &BTreeMap<String, Vec<String>>) -> BTreeMap<&str, &[String]> {
    let plain = filter.iter().filter(|(tag, any)| is_plain(tag, any));
    plain.map(|(tag, any)| (tag.as_str(), any.as_slice())).collect()
}

/// One grouper with all tags: KairosDB ignores a second one.
fn group_by(tags: &[String]) -> Option<[GroupBy<'_>; 1]> {
    (!tags.is_empty()).then_some([GroupBy { name: "tag", tags }])
}

fn sampled(name: Aggregator, bucket: i64) -> Sampled {
    let sampling = match bucket % 1000 {
        0 => Sampling { value: bucket / 1000, unit: "seconds" },
        _ => Sampling { value: bucket, unit: "milliseconds" },
    };
    Sampled { name, align_sampling: false, align_start_time: true, sampling }
}

/// The body that asks which values of a tag have points in a range.
pub fn values_body(queries: &[ValuesQuery], range: &Range<i64>) -> Vec<u8> {
    let tags: Vec<Vec<String>> = queries.iter().map(values_tags).collect();
    let metrics = queries.iter().zip(&tags).map(|(query, tags)| Metric {
        name: &query.series,
        tags: plain_filter(&query.filter),
        group_by: group_by(tags),
        aggregators: Some([Sampled {
            name: Aggregator::Count,
            align_sampling: false,
            align_start_time: true,
            sampling: Sampling { value: 1000, unit: "years" },
        }]),
    });
    to_json(&Query { start_absolute: range.start, end_absolute: range.end - 1, metrics: metrics.collect() })
}

/// The tags by which the values of a tag are grouped: that tag first.
pub fn values_tags(query: &ValuesQuery) -> Vec<String> {
    let looked_at = query.filter.iter().filter(|(tag, any)| !is_plain(tag, any) && **tag != query.tag);
    std::iter::once(&query.tag).chain(looked_at.map(|(tag, _)| tag)).cloned().collect()
}

/// Maps with text keys, numbers and texts always serialize.
fn to_json(query: &Query<'_>) -> Vec<u8> {
    serde_json::to_vec(query).unwrap_or_default()
}
