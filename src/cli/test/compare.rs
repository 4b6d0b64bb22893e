//! What a test expected against what it got.

use std::collections::{BTreeMap, BTreeSet};

use super::file::{Expected, Test};
use crate::cli::show::{self, Times};
use crate::query::{Answer, Evaluation, FormulaResult};

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
            (Expected::Series(_), Err(error)) => {
                found.push(format!("{name}: failed with `{}`: {}", error.code, error.detail));
            }
            (Expected::Series(expected), Ok(evaluation)) => {
                found.extend(compare_series(name, expected, evaluation, test.tolerance, answer));
            }
        }
    }
    found
}

type Lines = BTreeMap<Vec<(String, String)>, Vec<Option<f64>>>;

fn compare_series(
    name: &str,
    expected: &Lines,
    evaluation: &Evaluation,
    tolerance: f64,
    answer: &Answer,
) -> Vec<String> {
    let got: Lines = evaluation
        .series
        .iter()
        .map(|series| {
            let mut tags: Vec<(String, String)> =
                series.tags.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
            tags.sort();
            (tags, (0..series.column.values.len()).map(|index| series.column.get(index)).collect())
        })
        .collect();
    let mut found = Vec::new();
    for tags in expected.keys().chain(got.keys()).collect::<BTreeSet<_>>() {
        let label = format!("{name} {}", label(tags));
        match (expected.get(tags), got.get(tags)) {
            (Some(_), None) => found.push(format!("{label}: the series is missing")),
            (None, Some(_)) => found.push(format!("{label}: the series is not expected")),
            (Some(expected), Some(got)) => {
                let same = |a: Option<&Option<f64>>, b: Option<&Option<f64>>| match (a, b) {
                    (Some(Some(a)), Some(Some(b))) => close(*a, *b, tolerance),
                    (a, b) => a == b,
                };
                let count = expected.len().max(got.len());
                if let Some(first) = (0..count).find(|index| !same(expected.get(*index), got.get(*index))) {
                    found.push(format!("{label}\n{}", points(expected, got, first, answer)));
                }
            }
            (None, None) => {}
        }
    }
    found
}

/// Equal within the tolerance, relative to the greater and absolute.
fn close(a: f64, b: f64, tolerance: f64) -> bool {
    a == b || (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0)
}

/// The points around the first one that differs, which is marked.
fn points(expected: &[Option<f64>], got: &[Option<f64>], first: usize, answer: &Answer) -> String {
    let times = Times::of(answer);
    let cell = |values: &[Option<f64>], index: usize| match values.get(index) {
        None => "nothing".to_owned(),
        Some(None) => "null".to_owned(),
        Some(Some(value)) => show::exact(*value),
    };
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

fn label(tags: &[(String, String)]) -> String {
    let tags: Vec<String> = tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{{{}}}", tags.join(","))
}

#[cfg(test)]
mod tests {
    use super::close;

    #[test]
    fn closeness_is_relative_and_absolute() {
        assert!(close(1e12, 1e12 + 1.0, 1e-9) && close(0.0, 1e-10, 1e-9) && close(0.3, 0.1 + 0.2, 1e-9));
        assert!(!close(1.0, 1.0 + 1e-6, 1e-9) && !close(0.03, 0.031, 1e-9) && close(2.0, 2.0, 0.0));
    }
}
