//! An answer's bytes → frames.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, Visitor};

use super::request::{Aggregator, Call, Read, values_tags};
use crate::backend::{GroupColumn, SelectBatch, SelectLimits, SelectionError, SelectionFrame, ValuesQuery};
use crate::series::aggregate::GroupAccumulator;
use crate::series::{Aggregate, Kind};

/// What an answer says of one selection.
pub enum Outcome {
    /// Its groups, or why there are none.
    Frame(Result<SelectionFrame, SelectionError>),
    /// Its stored series have tags that were not grouped by, so that several may have been taken for one.
    MoreTags(BTreeSet<String>),
}

/// KairosDB's own tag of a series that has none; it does not show.
pub const UNTAGGED: &str = "_untagged";

#[derive(Deserialize)]
struct Answer {
    queries: Vec<Answered>,
}

#[derive(Deserialize)]
struct Answered {
    results: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    group_by: Vec<Grouped>,
    #[serde(default)]
    tags: BTreeMap<String, IgnoredAny>,
    values: Vec<(i64, Number)>,
}

#[derive(Deserialize)]
struct Grouped {
    name: String,
    #[serde(default)]
    group: BTreeMap<String, String>,
    /// For the name `type`: `number` or `text`.
    #[serde(default, rename = "type")]
    kind: String,
}

impl Group {
    /// Whether these are the texts of a series. They are no points, but KairosDB's `count` counts them.
    fn is_text(&self) -> bool {
        self.group_by.iter().any(|grouped| grouped.name == "type" && grouped.kind == "text")
    }

    fn tag(&self, name: &str) -> &str {
        let groups = self.group_by.iter().filter(|grouped| grouped.name == "tag");
        groups.filter_map(|grouped| grouped.group.get(name)).next().map_or("", String::as_str)
    }
}

/// The value of a point; a text, which KairosDB can also store, is none.
struct Number(Option<f64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number or a text")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Number, E> {
        Ok(Number(Some(value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Number, E> {
        Ok(Number(Some(value as f64)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Number, E> {
        Ok(Number(Some(value as f64)))
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Number, E> {
        Ok(Number(None))
    }
}

/// What the answer to a call says of each selection that was asked for. The error is for the whole answer.
pub fn frames(bytes: &[u8], batch: &SelectBatch, call: &Call<'_>) -> Result<Vec<(usize, Outcome)>, String> {
    let answer: Answer =
        serde_json::from_slice(bytes).map_err(|error| format!("its answer cannot be read: {error}"))?;
    if answer.queries.len() != call.reads.len() {
        return Err(format!("it answered {} of {} metrics", answer.queries.len(), call.reads.len()));
    }
    let mut spent = Spent { limits: batch.limits, cells: 0, raw_points: 0 };
    let mut answered = call.reads.iter().zip(&answer.queries).peekable();
    let mut outcomes = Vec::new();
    while let Some((read, first)) = answered.next() {
        let outcome = match more_tags(read, first) {
            Some(tags) => Outcome::MoreTags(tags),
            None => {
                let second = answered.next_if(|(other, _)| other.index == read.index);
                Outcome::Frame(frame(read, first, second.map(|(_, groups)| groups), &mut spent))
            }
        };
        outcomes.push((read.index, outcome));
    }
    Ok(outcomes)
}

/// The tags that a read by stored series did not know of.
fn more_tags(read: &Read<'_>, answered: &Answered) -> Option<BTreeSet<String>> {
    let tags: BTreeSet<String> = answered.results.iter().flat_map(|group| group.tags.keys()).cloned().collect();
    let unknown = |tag: &String| *tag != UNTAGGED && !read.tags.contains(tag);
    (read.by_series && tags.iter().any(unknown)).then_some(tags)
}

/// What was read so far of what may be.
struct Spent {
    limits: SelectLimits,
    cells: usize,
    raw_points: usize,
}

/// One selection: from its only answer, or for an average from the answers of sum and count.
fn frame(
    read: &Read<'_>,
    first: &Answered,
    counts: Option<&Answered>,
    spent: &mut Spent,
) -> Result<SelectionFrame, SelectionError> {
    let columns = fold(read, folded_by(read), first, spent)?;
    let Some(counts) = counts else { return Ok(columns.into()) };
    let counts = fold(read, Aggregate::Sum, counts, spent)?;
    if columns.len() != counts.len() || columns.iter().zip(&counts).any(|(sum, count)| sum.key != count.key) {
        // Points arrived between the two reads of one request, which KairosDB does one after the other.
        return Err(SelectionError::Refused("a series appeared while it was read; ask again".to_owned()));
    }
    Ok(SelectionFrame::from(
        columns.into_iter().zip(counts).map(|(sum, count)| average(sum, &count)).collect::<Vec<_>>(),
    ))
}

/// How what KairosDB answered becomes our buckets: its own buckets are parts of ours.
fn folded_by(read: &Read<'_>) -> Aggregate {
    match read.aggregator {
        Some(Aggregator::Sum | Aggregator::Count) => Aggregate::Sum,
        Some(Aggregator::Min) => Aggregate::Min,
        Some(Aggregator::Max) => Aggregate::Max,
        None => read.selection.aggregate,
    }
}

fn average(sum: GroupColumn, count: &GroupColumn) -> GroupColumn {
    let values = sum.values.iter().zip(&count.values).map(|(sum, count)| sum / count).collect();
    GroupColumn { key: sum.key, values, whole: sum.whole / count.whole }
}

fn fold(
    read: &Read<'_>,
    aggregate: Aggregate,
    answered: &Answered,
    spent: &mut Spent,
) -> Result<Vec<GroupColumn>, SelectionError> {
    let selection = read.selection;
    let kind = if read.aggregator.is_some() { Kind::Delta } else { selection.kind };
    let whole = selection.whole.map(|whole| whole.from..whole.to);
    let mut groups = GroupAccumulator::new(kind, aggregate, whole, &selection.axis);
    for group in answered.results.iter().filter(|group| !group.is_text()) {
        if !selection
            .filter
            .iter()
            .all(|(tag, any)| !read.tags.contains(tag) || any.iter().any(|v| v == group.tag(tag)))
        {
            continue;
        }
        if read.aggregator.is_none() {
            spent.raw_points += group.values.len();
            over("raw_points", spent.raw_points, spent.limits.raw_points)?;
        }
        let key: Vec<Arc<str>> = selection.group_by.iter().map(|tag| group.tag(tag).into()).collect();
        groups.series(&key);
        for (timestamp, value) in &group.values {
            if let Number(Some(value)) = value {
                groups.push(*timestamp, *value);
            }
        }
        over("series", groups.groups(), spent.limits.groups)?;
        over("answer_points", spent.cells + groups.cells(), spent.limits.cells)?;
    }
    spent.cells += groups.cells();
    Ok(groups.finish()?)
}

fn over(limit: &'static str, value: usize, maximum: usize) -> Result<(), SelectionError> {
    match value > maximum {
        true => Err(SelectionError::Limit { limit, value: value as u64, maximum: maximum as u64 }),
        false => Ok(()),
    }
}

/// The values of the tags asked for by [`super::request::values_body`].
pub fn values(bytes: &[u8], queries: &[ValuesQuery]) -> Result<BTreeSet<String>, String> {
    let answer: Answer =
        serde_json::from_slice(bytes).map_err(|error| format!("its answer cannot be read: {error}"))?;
    if answer.queries.len() != queries.len() {
        return Err(format!("it answered {} of {} metrics", answer.queries.len(), queries.len()));
    }
    let mut values = BTreeSet::new();
    for (query, answered) in queries.iter().zip(&answer.queries) {
        let tags = values_tags(query);
        let wanted = |group: &&Group| {
            let looked_at = query.filter.iter().filter(|(tag, _)| tags.contains(tag) && **tag != query.tag);
            !group.is_text()
                && !group.values.is_empty()
                && looked_at.into_iter().all(|(tag, any)| any.iter().any(|v| v == group.tag(tag)))
        };
        values.extend(answered.results.iter().filter(wanted).map(|group| group.tag(&query.tag).to_owned()));
    }
    Ok(values)
}

/// The metric that a refusal names: `query.metric[1].tags[0] name must not be empty`.
pub fn refused_metric(bytes: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, rest) = text.split_once("query.metric[")?;
    rest.split_once(']')?.0.parse().ok()
}

/// Whether a failure is that of a sum which is no number any more.
pub fn is_not_finite(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.contains("NaN or Infinity"))
}
