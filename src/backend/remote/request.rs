//! Batch → one read of everything that it needs.

use std::collections::BTreeMap;

use prost::Message;
use serde_json::{Value, json};

use super::Dialect;
use super::message::{Matcher, MatcherKind, NAME_LABEL, Query, ReadRequest};
use super::names::ReservedTag;
use crate::backend::{SelectBatch, Selection, SelectionError, SelectionFrame};
use crate::series::aggregate::read_from;

/// Which stored series are read, in the server's own names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The stored name.
    pub series: String,
    /// For each label the values of which any may match; `""` is that of a missing label.
    pub filter: Vec<(String, Vec<String>)>,
}

/// Stored series over a range `[from, to)`, read once for all selections that need them.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// What is read.
    pub source: Source,
    /// The first instant.
    pub from: i64,
    /// The first instant after it.
    pub to: i64,
    /// What is folded from it.
    pub readers: Vec<Reader>,
}

/// A selection that a read is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reader {
    /// Its place in the batch.
    pub selection: usize,
    /// The labels that it is grouped by.
    pub labels: Vec<String>,
}

/// What a batch needs: reads, and the selections that are answered without any.
#[derive(Debug, Default)]
pub struct Reads {
    /// What is to be read.
    pub reads: Vec<Read>,
    /// What needs no reading.
    pub settled: Vec<(usize, Result<SelectionFrame, SelectionError>)>,
}

impl Source {
    /// The stored series of a name that a filter lets through.
    ///
    /// # Errors
    /// A filter by a tag that no stored series can have.
    pub fn new(dialect: &Dialect, series: &str, filter: &BTreeMap<String, Vec<String>>) -> Result<Source, ReservedTag> {
        let label = |(tag, any): (&String, &Vec<String>)| Ok((dialect.names.label(tag)?.into_owned(), any.clone()));
        let filter = filter.iter().map(label).collect::<Result<_, _>>()?;
        Ok(Source { series: dialect.names.series(series).into_owned(), filter })
    }

    /// Whether a stored series is one of these. The server was asked for them; here it is made sure, whatever it understood.
    pub fn has<'a>(&self, label: impl Fn(&str) -> &'a str) -> bool {
        label(NAME_LABEL) == self.series && self.filter.iter().all(|(name, any)| any.iter().any(|v| v == label(name)))
    }

    /// What the server is asked for: all of these and perhaps more. None of them has a label without a name.
    pub fn matchers(&self, dialect: &Dialect) -> Vec<Matcher> {
        let name = matcher(MatcherKind::Equal, NAME_LABEL, self.series.clone());
        let filter = self.filter.iter().filter(|(label, _)| !label.is_empty());
        let filter = filter.filter_map(|(label, any)| match any.as_slice() {
            [one] => Some(matcher(MatcherKind::Equal, label, one.clone())),
            any if any.iter().any(String::is_empty) && !dialect.matches_missing => None,
            any => Some(matcher(MatcherKind::Regex, label, any_of(any))),
        });
        std::iter::once(name).chain(filter).collect()
    }
}

fn matcher(kind: MatcherKind, label: &str, value: String) -> Matcher {
    Matcher { kind: kind.into(), name: label.to_owned(), value }
}

/// An expression that matches just these values; servers anchor it at both ends.
fn any_of(values: &[String]) -> String {
    values.iter().map(|value| escaped(value)).collect::<Vec<String>>().join("|")
}

/// As RE2 quotes a text: what is not one of these stands for itself.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

impl Reads {
    /// What a batch needs: one read for all selections of the same stored series whose ranges touch.
    pub fn new(dialect: &Dialect, batch: &SelectBatch) -> Reads {
        let mut reads = Reads::default();
        let mut sources: BTreeMap<Source, Vec<(i64, i64, Reader)>> = BTreeMap::new();
        for (index, selection) in batch.selections.iter().enumerate() {
            let from = read_from(selection.kind, &selection.axis).max(dialect.instants.start);
            let to = selection.axis.to().min(dialect.instants.end);
            match asked_for(dialect, index, selection) {
                Err(reserved) => reads.settled.push((index, Err(SelectionError::Unsupported(reserved.to_string())))),
                // A range that ends before it begins is everything to some servers; they are never asked for one.
                Ok((source, _)) if source.series.is_empty() || from >= to => {
                    reads.settled.push((index, Ok(SelectionFrame::default())));
                }
                Ok((source, reader)) => sources.entry(source).or_default().push((from, to, reader)),
            }
        }
        for (source, mut ranges) in sources {
            ranges.sort_unstable();
            let mut joined: Vec<Read> = Vec::new();
            for (from, to, reader) in ranges {
                match joined.last_mut() {
                    Some(read) if from <= read.to => {
                        read.to = read.to.max(to);
                        read.readers.push(reader);
                    }
                    _ => joined.push(Read { source: source.clone(), from, to, readers: vec![reader] }),
                }
            }
            reads.reads.extend(joined);
        }
        reads
    }
}

fn asked_for(dialect: &Dialect, index: usize, selection: &Selection) -> Result<(Source, Reader), ReservedTag> {
    let source = Source::new(dialect, &selection.series, &selection.filter)?;
    let labels = selection.group_by.iter().map(|tag| Ok(dialect.names.label(tag)?.into_owned()));
    Ok((source, Reader { selection: index, labels: labels.collect::<Result<_, _>>()? }))
}

/// The message that asks for some reads.
pub fn message(dialect: &Dialect, reads: &[Read]) -> ReadRequest {
    let query =
        |read: &Read| Query { start: read.from, end: dialect.end_of(read.to), matchers: read.source.matchers(dialect) };
    ReadRequest { queries: reads.iter().map(query).collect() }
}

/// The body of a request.
///
/// # Errors
/// When it is too long for the compression: over 4 GiB.
pub fn body(message: &impl Message) -> Result<Vec<u8>, String> {
    let compressed = snap::raw::Encoder::new().compress_vec(&message.encode_to_vec());
    compressed.map_err(|error| format!("the request cannot be compressed: {error}"))
}

/// The same for people to read.
pub fn shown(message: &ReadRequest) -> Value {
    let matcher = |matcher: &Matcher| {
        let kind = if matcher.kind == i32::from(MatcherKind::Equal) { "=" } else { "=~" };
        json!({ "type": kind, "name": matcher.name, "value": matcher.value })
    };
    let query = |query: &Query| {
        let matchers: Vec<Value> = query.matchers.iter().map(matcher).collect();
        json!({ "start": query.start, "end": query.end, "matchers": matchers })
    };
    json!({ "queries": message.queries.iter().map(query).collect::<Vec<Value>>() })
}
