//! What a test expected against what it got.

use std::collections::{BTreeMap, BTreeSet};

use super::expect::{BySeries, Cell, Expected, ExpectedAnswer, ExpectedSummary, SeriesTags, key};
use super::file::Test;
use crate::cli::show::{self, Times};
use crate::query::{Answer, Evaluation, FormulaResult, SeriesResult, Summary};

/// Points that are shown around the first difference.
const BEFORE: usize = 3;
const AFTER: usize = 6;

/// The differences, a block of lines each; none where the test passes. Only what is named in `expect` is compared.
pub fn differences(test: &Test, answer: &Answer) -> Vec<String> {
    let results: BTreeMap<&str, &FormulaResult> =
        answer.results.iter().map(|result| (result.name.as_str(), result)).collect();
    let mut found = Vec::new();
    for (name, expected) in &test.expect {
        let Some(result) = results.get(name.as_str()) else {
            found.push(format!("{name}: the request does not ask for it"));
            continue;
        };
        match (expected, &result.outcome) {
            (Expected::Error(code), Err(error)) if error.code == code => {}
            (Expected::Error(code), Err(error)) => {
                found.push(format!("{name}: expected the error `{code}`, got `{}`: {}", error.code, error.detail));
            }
            (Expected::Error(code), Ok(_)) => found.push(format!("{name}: expected the error `{code}`, got series")),
            (Expected::Answer(_), Err(error)) => {
                found.push(format!("{name}: failed with `{}`: {}", error.code, error.detail));
            }
            (Expected::Answer(expected), Ok(evaluation)) => {
                Comparer { name, answer, tolerance: test.tolerance, found: &mut found }.compare(expected, evaluation);
            }
        }
    }
    found
}

/// The tags of a series in the order in which a test has them.
pub fn tags_of(series: &SeriesResult) -> SeriesTags {
    let mut tags: SeriesTags = series.tags.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
    tags.sort();
    tags
}

/// The value of a series as a test would expect it.
pub fn cell_of(series: &SeriesResult, index: usize) -> Cell {
    match series.column.get(index) {
        Some(value) => Cell::Value(value),
        None if series.column.is_undefined(index) => Cell::Undefined,
        None => Cell::Null,
    }
}

/// Whether a value is what is expected. A null that is expected may be missing or undefined.
pub fn matches(expected: Cell, got: Cell, tolerance: f64) -> bool {
    match (expected, got) {
        (Cell::Value(expected), Cell::Value(got)) => close(expected, got, tolerance),
        (Cell::Null, Cell::Null | Cell::Undefined) | (Cell::Undefined, Cell::Undefined) => true,
        _ => false,
    }
}

/// Whether a summary is what is expected.
pub fn matches_summary(expected: &ExpectedSummary, got: Option<&Summary>, tolerance: f64) -> bool {
    match (expected, got) {
        (ExpectedSummary::Value(expected), Some(Summary::Value(got))) => close(*expected, *got, tolerance),
        (ExpectedSummary::Null, Some(Summary::Null(_))) => true,
        (ExpectedSummary::Reason(expected), Some(Summary::Null(got))) => expected == got,
        _ => false,
    }
}

/// The codes of warnings, sorted, each once.
pub fn warning_codes(evaluation: &Evaluation) -> Vec<&'static str> {
    let codes: BTreeSet<&'static str> = evaluation.warnings.iter().map(|warning| warning.code).collect();
    codes.into_iter().collect()
}

struct Comparer<'a> {
    name: &'a str,
    answer: &'a Answer,
    tolerance: f64,
    found: &'a mut Vec<String>,
}

type Got<'a> = BTreeMap<SeriesTags, &'a SeriesResult>;

impl Comparer<'_> {
    fn compare(&mut self, expected: &ExpectedAnswer, evaluation: &Evaluation) {
        let got: Got<'_> = evaluation.series.iter().map(|series| (tags_of(series), series)).collect();
        if let Some(series) = &expected.series {
            self.series(series, &got);
        }
        if let Some(summaries) = &expected.summary {
            self.each(summaries, &got, |comparer, label, expected, series| {
                if !matches_summary(expected, series.summary.as_ref(), comparer.tolerance) {
                    let got = shown_summary(series.summary.as_ref());
                    comparer.found.push(format!("{label} summary: expected {}, got {got}", expected_summary(expected)));
                }
            });
        }
        if let Some(undefined) = &expected.undefined {
            self.each(undefined, &got, |comparer, label, expected, series| {
                let runs = series.column.undefined_runs();
                if *expected != runs {
                    comparer.found.push(format!("{label} undefined: expected {expected:?}, got {runs:?}"));
                }
            });
        }
        if let Some(expected) = &expected.warnings {
            let got = warning_codes(evaluation);
            if *expected != got {
                let (expected, got) = (expected.join(", "), got.join(", "));
                self.found.push(format!("{} warnings: expected [{expected}], got [{got}]", self.name));
            }
        }
    }

    fn label(&self, tags: &SeriesTags) -> String {
        format!("{} {{{}}}", self.name, key(tags))
    }

    /// The series that are spoken of; others may be there.
    fn each<T>(&mut self, all: &BySeries<T>, got: &Got<'_>, check: impl Fn(&mut Self, &str, &T, &SeriesResult)) {
        for (tags, expected) in all {
            let label = self.label(tags);
            match got.get(tags) {
                Some(series) => check(self, &label, expected, series),
                None => self.found.push(format!("{label}: the series is missing")),
            }
        }
    }

    fn series(&mut self, expected: &BySeries<Vec<Cell>>, got: &Got<'_>) {
        for tags in expected.keys().chain(got.keys()).collect::<BTreeSet<_>>() {
            let label = self.label(tags);
            match (expected.get(tags), got.get(tags)) {
                (Some(_), None) => self.found.push(format!("{label}: the series is missing")),
                (None, Some(_)) => self.found.push(format!("{label}: the series is not expected")),
                (Some(expected), Some(series)) => {
                    let got: Vec<Cell> = (0..series.column.values.len()).map(|index| cell_of(series, index)).collect();
                    let same = |index: &usize| match (expected.get(*index), got.get(*index)) {
                        (Some(expected), Some(got)) => matches(*expected, *got, self.tolerance),
                        _ => false,
                    };
                    let count = expected.len().max(got.len());
                    if let Some(first) = (0..count).find(|index| !same(index)) {
                        self.found.push(format!("{label}\n{}", points(expected, &got, first, self.answer)));
                    }
                }
                (None, None) => {}
            }
        }
    }
}

/// Equal within the tolerance, relative to the greater and absolute.
fn close(a: f64, b: f64, tolerance: f64) -> bool {
    a == b || (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0)
}

/// A value as a test has it.
pub fn shown(cell: Cell) -> String {
    match cell {
        Cell::Value(value) => show::exact(value),
        Cell::Null => "null".to_owned(),
        Cell::Undefined => "undefined".to_owned(),
    }
}

fn expected_summary(expected: &ExpectedSummary) -> String {
    match expected {
        ExpectedSummary::Value(value) => show::exact(*value),
        ExpectedSummary::Null => "null".to_owned(),
        ExpectedSummary::Reason(reason) => format!("null ({reason})"),
    }
}

fn shown_summary(got: Option<&Summary>) -> String {
    match got {
        Some(Summary::Value(value)) => show::exact(*value),
        Some(Summary::Null(reason)) => format!("null ({reason})"),
        None => "none: ask for it with summary: true".to_owned(),
    }
}

/// The points around the first one that differs, which is marked.
fn points(expected: &[Cell], got: &[Cell], first: usize, answer: &Answer) -> String {
    let times = Times::of(answer);
    let cell = |cells: &[Cell], index: usize| cells.get(index).map_or("nothing".to_owned(), |cell| shown(*cell));
    let header = ["timestamp", "expected", "got"].map(str::to_owned);
    let mut rows = vec![(" ", header)];
    let count = expected.len().max(got.len());
    for index in first.saturating_sub(BEFORE)..count.min(first + AFTER) {
        let time = answer.axis.starts().get(index).map_or("beyond the range".to_owned(), |start| times.show(*start));
        rows.push((if index == first { "▶" } else { " " }, [time, cell(expected, index), cell(got, index)]));
    }
    let width = |column: usize| rows.iter().map(|row| show::width(&row.1[column])).max().unwrap_or(0);
    let (a, b, c) = (width(0), width(1), width(2));
    let lines =
        rows.iter().map(|(mark, [time, expected, got])| format!("    {mark} {time:<a$}  {expected:>b$}  {got:>c$}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::{Cell, close, matches};

    #[test]
    fn closeness_is_relative_and_absolute() {
        assert!(close(1e12, 1e12 + 1.0, 1e-9) && close(0.0, 1e-10, 1e-9) && close(0.3, 0.1 + 0.2, 1e-9));
        assert!(!close(1.0, 1.0 + 1e-6, 1e-9) && !close(0.03, 0.031, 1e-9) && close(2.0, 2.0, 0.0));
    }

    #[test]
    fn an_expected_null_is_any_null_and_undefined_is_undefined() {
        assert!(matches(Cell::Null, Cell::Undefined, 0.0) && matches(Cell::Null, Cell::Null, 0.0));
        assert!(!matches(Cell::Undefined, Cell::Null, 0.0) && !matches(Cell::Null, Cell::Value(0.0), 1.0));
    }
}
