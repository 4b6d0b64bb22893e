//! `--update`: what a test expected is overwritten by what it got, value by value, so that comments and layout stay.

use std::collections::BTreeMap;
use std::ops::Range;

use granit_parser::{Event, Parser};

use super::compare::{cell_of, matches, matches_summary, shown, tags_of, warning_codes};
use super::expect::{self, BySeries, Cell, Expected, ExpectedSummary, SeriesTags};
use super::file::Test;
use crate::cli::show;
use crate::query::{Answer, Evaluation, SeriesResult, Summary};

/// Where a value stands: keys and indices from the root.
type Path = Vec<String>;

/// The text of a test file and what is to be written into it.
pub struct Update {
    text: String,
    spans: BTreeMap<Path, Range<usize>>,
    edits: BTreeMap<usize, (Range<usize>, String)>,
    /// What could not be rewritten, and why.
    pub refused: Vec<String>,
}

impl Update {
    /// Begins with nothing to write. The text has been read as a test file before.
    pub fn of(text: &str) -> Update {
        Update { text: text.to_owned(), spans: spans(text), edits: BTreeMap::new(), refused: Vec::new() }
    }

    /// Takes over what a test got.
    pub fn take(&mut self, test: &Test, answer: &Answer) {
        for (name, expected) in &test.expect {
            let Some(result) = answer.results.iter().find(|result| result.name == *name) else {
                self.refused.push(format!("{name}: the request does not ask for it"));
                continue;
            };
            let at = ["tests", &test.index.to_string(), "expect", name].map(str::to_owned).to_vec();
            match (expected, &result.outcome) {
                (Expected::Error(code), Err(error)) if code == error.code => {}
                (Expected::Error(_), Err(error)) => self.replace(&below(&at, "error"), error.code),
                (Expected::Answer(_), Err(error)) => self.replace(&at, &format!("{{ error: {} }}", error.code)),
                (Expected::Error(_), Ok(evaluation)) => self.replace(&at, &series_map(evaluation)),
                (Expected::Answer(expected), Ok(evaluation)) => {
                    let parted = ["series", "summary", "undefined", "warnings"]
                        .iter()
                        .any(|part| self.spans.contains_key(&below(&at, part)));
                    if let Some(series) = &expected.series {
                        let at = if parted { below(&at, "series") } else { at.clone() };
                        self.series(&at, series, evaluation, test.tolerance);
                    }
                    if let Some(summaries) = &expected.summary {
                        self.summaries(&below(&at, "summary"), summaries, evaluation, test.tolerance);
                    }
                    if let Some(undefined) = &expected.undefined {
                        self.undefined(&below(&at, "undefined"), undefined, evaluation);
                    }
                    let codes = warning_codes(evaluation);
                    if expected.warnings.as_ref().is_some_and(|expected| *expected != codes) {
                        self.replace(&below(&at, "warnings"), &format!("[{}]", codes.join(", ")));
                    }
                }
            }
        }
    }

    /// The text with everything written into it; `None` where there was nothing to write.
    pub fn finish(self) -> Option<String> {
        if self.edits.is_empty() {
            return None;
        }
        let mut text = self.text;
        for (range, new) in self.edits.into_values().rev() {
            text.replace_range(range, &new);
        }
        Some(text)
    }

    fn series(&mut self, at: &Path, expected: &BySeries<Vec<Cell>>, evaluation: &Evaluation, tolerance: f64) {
        let got: BTreeMap<SeriesTags, &SeriesResult> =
            evaluation.series.iter().map(|series| (tags_of(series), series)).collect();
        if !expected.keys().eq(got.keys()) {
            return self.replace(at, &series_map(evaluation));
        }
        for (key, tags) in self.keys_of(at) {
            let (Some(expected), Some(series)) = (expected.get(&tags), got.get(&tags)) else { continue };
            let at = below(at, &key);
            let got: Vec<Cell> = cells(series);
            if expected.len() != got.len() {
                self.replace(&at, &list(&got));
                continue;
            }
            for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
                if !matches(*expected, got, tolerance) {
                    self.replace(&below(&at, &index.to_string()), &shown(got));
                }
            }
        }
    }

    fn summaries(&mut self, at: &Path, expected: &BySeries<ExpectedSummary>, evaluation: &Evaluation, tolerance: f64) {
        for (key, tags) in self.keys_of(at) {
            let series = evaluation.series.iter().find(|series| tags_of(series) == tags);
            let got = series.and_then(|series| series.summary.as_ref());
            if expected.get(&tags).is_none_or(|expected| matches_summary(expected, got, tolerance)) {
                continue;
            }
            match got {
                Some(Summary::Value(value)) => self.replace(&below(at, &key), &show::exact(*value)),
                Some(Summary::Null(reason)) => self.replace(&below(at, &key), reason),
                None => self.refused.push(format!("{key}: there is no summary of such a series")),
            }
        }
    }

    fn undefined(&mut self, at: &Path, expected: &BySeries<Vec<[usize; 2]>>, evaluation: &Evaluation) {
        for (key, tags) in self.keys_of(at) {
            match evaluation.series.iter().find(|series| tags_of(series) == tags) {
                Some(series) => {
                    let runs = series.column.undefined_runs();
                    if expected.get(&tags) != Some(&runs) {
                        self.replace(&below(at, &key), &format!("{runs:?}"));
                    }
                }
                None => self.refused.push(format!("{key}: there is no such series")),
            }
        }
    }

    /// The series that are named below a place: as they are written, and their tags.
    fn keys_of(&self, at: &Path) -> Vec<(String, SeriesTags)> {
        // A list of dashes has no place of its own, but its items have.
        let inside = self.spans.keys().skip_while(|path| *path <= at).take_while(|path| path.starts_with(at));
        let mut keys: Vec<String> = inside.filter_map(|path| path.get(at.len()).cloned()).collect();
        keys.dedup();
        keys.into_iter().filter_map(|key| expect::tags(&key).ok().map(|tags| (key, tags))).collect()
    }

    fn replace(&mut self, at: &Path, new: &str) {
        let Some(range) = self.spans.get(at).cloned() else {
            self.refused
                .push(format!("{}: only what is written in [ ] or {{ }} is rewritten", at[3..].join(" ").trim_end()));
            return;
        };
        self.edits.insert(range.start, (range, new.to_owned()));
    }
}

fn below(path: &Path, key: &str) -> Path {
    path.iter().cloned().chain([key.to_owned()]).collect()
}

fn cells(series: &SeriesResult) -> Vec<Cell> {
    (0..series.column.values.len()).map(|index| cell_of(series, index)).collect()
}

fn list(cells: &[Cell]) -> String {
    format!("[{}]", cells.iter().map(|cell| shown(*cell)).collect::<Vec<_>>().join(", "))
}

fn series_map(evaluation: &Evaluation) -> String {
    let series = evaluation.series.iter().map(|series| {
        // A JSON string is a YAML string as well.
        format!("{}: {}", serde_json::Value::from(expect::key(&tags_of(series))), list(&cells(series)))
    });
    let series: Vec<String> = series.collect();
    if series.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", series.join(", ")) }
}

/// A collection that is open while spans are gathered.
struct Open {
    start: usize,
    /// The key whose value comes next; `None` where a key comes next, or in a list.
    key: Option<String>,
    /// How many items of a list there were; `None` in a mapping.
    items: Option<usize>,
}

/// The bytes of every scalar and of every collection in brackets.
fn spans(text: &str) -> BTreeMap<Path, Range<usize>> {
    let mut spans = BTreeMap::new();
    let mut open: Vec<Open> = Vec::new();
    let mut path = Path::new();
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { return BTreeMap::new() };
        let Some(range) = span.byte_range() else { return BTreeMap::new() };
        match event {
            Event::Scalar(scalar, ..) => match open.last_mut() {
                Some(parent) if parent.items.is_none() && parent.key.is_none() => {
                    parent.key = Some(scalar.into_owned())
                }
                parent => {
                    path.extend(parent.and_then(segment));
                    spans.insert(path.clone(), range);
                    path.pop();
                }
            },
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                path.extend(open.last_mut().and_then(segment));
                let items = matches!(event, Event::SequenceStart(..)).then_some(0);
                open.push(Open { start: range.start, key: None, items });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let start = open.pop().map_or(0, |open| open.start);
                let written = &text[start..range.end.max(start)];
                if written.starts_with(['[', '{']) && written.ends_with([']', '}']) {
                    spans.insert(path.clone(), start..range.end);
                }
                path.pop();
            }
            _ => {}
        }
    }
    spans
}

/// The name of the next value in a collection.
fn segment(parent: &mut Open) -> Option<String> {
    match &mut parent.items {
        Some(items) => {
            *items += 1;
            Some((*items - 1).to_string())
        }
        None => parent.key.take(),
    }
}

#[cfg(test)]
mod tests {
    use super::spans;

    #[test]
    fn every_value_has_its_bytes() {
        let text = "# é\na:\n  - { \"x=1\": [1, \"two\", null], y: {} } # c\n  - 3\nb: [\n  1, # one\n  2,\n]\n";
        let found = spans(text);
        let of =
            |path: &str| found.get(&path.split('/').map(str::to_owned).collect::<Vec<_>>()).map(|at| &text[at.clone()]);
        assert_eq!(of("a/0/x=1"), Some("[1, \"two\", null]"));
        assert_eq!((of("a/0/x=1/1"), of("a/0/x=1/2"), of("a/0/y")), (Some("\"two\""), Some("null"), Some("{}")));
        assert_eq!((of("a/1"), of("b/1"), of("b")), (Some("3"), Some("2"), Some("[\n  1, # one\n  2,\n]")));
        // A list of dashes has no brackets that could be replaced.
        assert_eq!(of("a"), None);
    }
}
