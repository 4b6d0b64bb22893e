//! An answer's bytes → frames.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::message::{QueryResult, ReadAnswer, StoredSeries};
use super::request::{Read, Reader};
use crate::backend::client::MAX_ANSWER;
use crate::backend::{SelectBatch, SelectLimits, Selection, SelectionError, SelectionFrame};
use crate::series::aggregate::GroupAccumulator;

/// A selection of the batch, by its place, and its answer.
pub type Answered = (usize, Result<SelectionFrame, SelectionError>);

/// What was read so far of what may be.
#[derive(Debug)]
pub struct Spent {
    limits: SelectLimits,
    cells: usize,
    raw_points: usize,
}

impl Spent {
    /// Nothing yet.
    pub fn new(limits: SelectLimits) -> Spent {
        Spent { limits, cells: 0, raw_points: 0 }
    }
}

/// The results of an answer, still encoded, in the order of the `queries` that were asked.
///
/// # Errors
/// Bytes that are no such answer.
pub fn results(body: &[u8], queries: usize) -> Result<Vec<Bytes>, String> {
    let unreadable = |reason: String| format!("its answer cannot be read: {reason}");
    let length = snap::raw::decompress_len(body).map_err(|error| unreadable(error.to_string()))?;
    if length > MAX_ANSWER {
        return Err(format!("its answer is over {} MiB; ask for less", MAX_ANSWER >> 20));
    }
    let bytes = snap::raw::Decoder::new().decompress_vec(body).map_err(|error| unreadable(error.to_string()))?;
    let answer = ReadAnswer::decode(Bytes::from(bytes)).map_err(|error| unreadable(error.to_string()))?;
    match answer.results.len() == queries {
        true => Ok(answer.results),
        false => Err(format!("it answered {} of {queries} queries", answer.results.len())),
    }
}

/// The stored series of one result, one after the other.
///
/// # Errors
/// Bytes that are no result.
pub fn stored_series(result: Bytes) -> Result<impl Iterator<Item = Result<StoredSeries, String>>, String> {
    let unreadable = |error: prost::DecodeError| format!("its answer cannot be read: {error}");
    let result = QueryResult::decode(result).map_err(unreadable)?;
    Ok(result.series.into_iter().map(move |series| StoredSeries::decode(series).map_err(unreadable)))
}

/// What the answer to some reads says of each selection that they are for. The error is for the whole answer.
pub fn frames(body: &[u8], batch: &SelectBatch, reads: &[Read], spent: &mut Spent) -> Result<Vec<Answered>, String> {
    let mut answered = Vec::new();
    for (read, result) in reads.iter().zip(results(body, reads.len())?) {
        answered.extend(fold(result, batch, read, spent)?);
    }
    Ok(answered)
}

fn fold(result: Bytes, batch: &SelectBatch, read: &Read, spent: &mut Spent) -> Result<Vec<Answered>, String> {
    let mut folds: Vec<Fold<'_>> =
        read.readers.iter().map(|reader| Fold::new(reader, &batch.selections[reader.selection])).collect();
    let mut points = 0;
    for series in stored_series(result)? {
        let series = series?;
        if !read.source.has(|label| series.label(label)) {
            continue;
        }
        if !series.samples.is_sorted_by(|a, b| a.timestamp < b.timestamp) {
            return Err(format!("it answered points of {:?} that are not in the order of time", read.source.series));
        }
        points += series.samples.len();
        if let Err(error) = over("raw_points", spent.raw_points + points, spent.limits.raw_points) {
            return Ok(read.readers.iter().map(|reader| (reader.selection, Err(error.clone()))).collect());
        }
        for fold in &mut folds {
            fold.add(&series, spent);
        }
    }
    spent.raw_points += points;
    Ok(folds.into_iter().map(|fold| fold.finish(spent)).collect())
}

/// A selection under way.
struct Fold<'a> {
    reader: &'a Reader,
    groups: Result<GroupAccumulator, SelectionError>,
}

impl<'a> Fold<'a> {
    fn new(reader: &'a Reader, selection: &Selection) -> Fold<'a> {
        Fold { reader, groups: Ok(selection.accumulator()) }
    }

    fn add(&mut self, series: &StoredSeries, spent: &Spent) {
        let Ok(groups) = &mut self.groups else { return };
        let key: Vec<Arc<str>> = self.reader.labels.iter().map(|label| series.label(label).into()).collect();
        groups.series(&key);
        // What is not a number marks where a series ended.
        for sample in series.samples.iter().filter(|sample| !sample.value.is_nan()) {
            groups.push(sample.timestamp, sample.value);
        }
        let within = over("series", groups.groups(), spent.limits.groups)
            .and_then(|()| over("answer_points", spent.cells + groups.cells(), spent.limits.cells));
        if let Err(error) = within {
            self.groups = Err(error);
        }
    }

    fn finish(self, spent: &mut Spent) -> Answered {
        let frame = self.groups.and_then(|groups| {
            let cells = spent.cells + groups.cells();
            over("answer_points", cells, spent.limits.cells)?;
            spent.cells = cells;
            Ok(groups.finish()?.into())
        });
        (self.reader.selection, frame)
    }
}

fn over(limit: &'static str, value: usize, maximum: usize) -> Result<(), SelectionError> {
    match value > maximum {
        true => Err(SelectionError::Limit { limit, value: value as u64, maximum: maximum as u64 }),
        false => Ok(()),
    }
}
