//! Two answers to the same request, compared as a user sees them. Pure.

use std::cmp::Ordering;

use crate::query::{Answer, Evaluation, FormulaError, QueryError, SeriesResult, Summary};
use crate::series::TimeAxis;
use crate::series::agreement::{self, Disagreement, Tolerance};

/// Differences of one series that are named; all are counted.
const NAMED: usize = 5;

/// Whether two answers agree.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// They do.
    Agrees,
    /// They do not.
    Differs,
    /// Neither answered, for the same reason.
    NotCompared(String),
}

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The series, as `name=value, …`; `(all)` where it has no tags.
    pub series: String,
    /// The start of the bucket; `None`: the summary of the range, or the whole formula.
    pub timestamp: Option<i64>,
    /// The left value, or why there is none.
    pub left: Result<Option<f64>, String>,
    /// The right value, or why there is none.
    pub right: Result<Option<f64>, String>,
    /// As a part of the greater value.
    pub relative: f64,
}

/// One series of either answer.
#[derive(Debug, Clone)]
pub struct Line {
    /// The series, as `name=value, …`.
    pub name: String,
    /// Its values on the left, NaN for null; `None`: it is missing there.
    pub left: Option<Vec<f64>>,
    /// Its values on the right.
    pub right: Option<Vec<f64>>,
    /// Whether the two agree.
    pub agrees: bool,
    /// The bucket in which they are furthest apart, where they do not agree.
    pub worst: Option<usize>,
}

/// What the comparison of two answers came to.
#[derive(Debug)]
pub struct Outcome {
    /// In a word.
    pub verdict: Verdict,
    /// The buckets of both; `None` where nothing was answered.
    pub axis: Option<TimeAxis>,
    /// Their step, such as `1m`.
    pub step: String,
    /// The chart's title.
    pub title: Option<String>,
    /// Buckets in which either has a value.
    pub compared: usize,
    /// Of these, buckets in which both agree.
    pub agreeing: usize,
    /// Series that one of the two lacks.
    pub missing_series: usize,
    /// Buckets of series of both that one of the two lacks.
    pub missing_buckets: usize,
    /// The greatest part by which two values are apart, agreeing or not, and where.
    pub largest: Option<Difference>,
    /// Differences, some of each series.
    pub differences: Vec<Difference>,
    /// Every series.
    pub lines: Vec<Line>,
}

/// The code of the error of an answer's only formula.
pub fn code(answer: &Result<Answer, QueryError>) -> Option<&'static str> {
    let answer = answer.as_ref().ok()?;
    answer.results.first()?.outcome.as_ref().err().map(|error| error.code)
}

/// Compares two answers to a request for one formula.
pub fn compare(left: &Result<Answer, QueryError>, right: &Result<Answer, QueryError>, tolerance: Tolerance) -> Outcome {
    let mut outcome = Outcome {
        verdict: Verdict::Agrees,
        axis: None,
        step: String::new(),
        title: None,
        compared: 0,
        agreeing: 0,
        missing_series: 0,
        missing_buckets: 0,
        largest: None,
        differences: Vec::new(),
        lines: Vec::new(),
    };
    if let Some(answer) = [left, right].into_iter().flatten().next() {
        outcome.axis = Some(answer.axis.clone());
        outcome.step.clone_from(&answer.step);
        let chart = answer.results.first().and_then(|result| result.chart.as_ref());
        outcome.title = chart.and_then(|chart| chart.get("title")?.as_str()).map(str::to_owned);
    }
    match (evaluation(left), evaluation(right)) {
        (Ok(left), Ok(right)) => outcome.series(left, right, tolerance),
        // One limit, or one thing that a kind does not bear, stops both.
        (Err((a, reason)), Err((b, _))) if a == b => outcome.verdict = Verdict::NotCompared(reason),
        (left, right) => {
            let said = |side: Result<&Evaluation, (&str, String)>| side.map(|_| None).map_err(|(_, reason)| reason);
            let (left, right) = (said(left), said(right));
            outcome.verdict = Verdict::Differs;
            let (series, relative) = ("(the formula)".to_owned(), f64::INFINITY);
            outcome.differences.push(Difference { series, timestamp: None, left, right, relative });
        }
    }
    if !outcome.differences.is_empty() {
        outcome.verdict = Verdict::Differs;
    }
    outcome
}

/// The only formula of an answer, or the code and the words of what keeps it from one.
fn evaluation(answer: &Result<Answer, QueryError>) -> Result<&Evaluation, (&'static str, String)> {
    let answer = answer.as_ref().map_err(|error| {
        let code =
            if matches!(error, QueryError::Backend(_) | QueryError::Deadline(_)) { "backend" } else { "request" };
        (code, error.to_string())
    })?;
    let outcome = answer.results.first().map(|result| result.outcome.as_ref());
    let failed = |error: &FormulaError| (error.code, format!("{} ({})", error.detail, error.code));
    outcome.unwrap_or(Err(&FormulaError::new("", ""))).map_err(failed)
}

impl Outcome {
    /// Walks the series of both in the order of their tags.
    fn series(&mut self, left: &Evaluation, right: &Evaluation, tolerance: Tolerance) {
        let (mut left, mut right) = (left.series.iter().peekable(), right.series.iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => return,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(left), Some(right)) => left.tags.cmp(&right.tags),
            };
            match order {
                Ordering::Less => self.missing(left.next(), true),
                Ordering::Greater => self.missing(right.next(), false),
                Ordering::Equal => {
                    if let (Some(left), Some(right)) = (left.next(), right.next()) {
                        self.pair(left, right, tolerance);
                    }
                }
            }
        }
    }

    fn missing(&mut self, series: Option<&SeriesResult>, on_left: bool) {
        let Some(series) = series else { return };
        let values = &series.column.values;
        let present = values.iter().filter(|value| !value.is_nan()).count();
        let (name, first) = (name(series), values.iter().position(|value| !value.is_nan()));
        let agrees = present == 0;
        let kept = Some(values.clone());
        let (left, right) = if on_left { (kept, None) } else { (None, kept) };
        self.lines.push(Line { name: name.clone(), left, right, agrees, worst: None });
        // A series without a single value is nothing that anybody could miss.
        let Some(first) = first else { return };
        self.compared += present;
        self.missing_series += 1;
        let (there, gone) = (Ok(values.get(first).copied()), Err("no such series".to_owned()));
        let (left, right) = if on_left { (there, gone) } else { (gone, there) };
        let timestamp = self.start_of(first);
        self.differences.push(Difference { series: name, timestamp, left, right, relative: f64::INFINITY });
    }

    fn pair(&mut self, left: &SeriesResult, right: &SeriesResult, tolerance: Tolerance) {
        let (name, (a, b)) = (name(left), (&left.column.values, &right.column.values));
        let found = agreement::compare(a, b, 0..a.len(), tolerance);
        self.compared += found.compared;
        self.agreeing += found.compared - found.differing - found.missing();
        self.missing_buckets += found.missing();
        let difference = |found: Disagreement| self.difference(&name, found);
        let largest = found.largest.map(difference).filter(|largest| largest.relative > 0.0);
        let others = agreement::disagreements(a, b, 0..a.len(), tolerance).filter(|other| Some(*other) != found.worst);
        let named: Vec<Difference> = found.worst.into_iter().chain(others).take(NAMED).map(difference).collect();
        self.differences.extend(named);
        if largest.as_ref().map(|largest| largest.relative) > self.largest.as_ref().map(|largest| largest.relative) {
            self.largest = largest;
        }
        let worst = found.worst.map(|worst| worst.index);
        self.lines.push(Line {
            name: name.clone(),
            left: Some(a.clone()),
            right: Some(b.clone()),
            agrees: found.is_whole(),
            worst,
        });
        if found.is_whole() {
            self.summaries(name, left.summary.as_ref(), right.summary.as_ref(), tolerance);
        }
    }

    /// The range as one bucket, where its buckets agree; where they do not, it cannot.
    fn summaries(&mut self, series: String, left: Option<&Summary>, right: Option<&Summary>, tolerance: Tolerance) {
        let value = |summary: Option<&Summary>| match summary {
            Some(Summary::Value(value)) => *value,
            _ => f64::NAN,
        };
        let found = agreement::compare(&[value(left)], &[value(right)], 0..1, tolerance);
        if let Some(worst) = found.worst {
            self.differences.push(Difference { timestamp: None, ..self.difference(&series, worst) });
        }
    }

    fn difference(&self, series: &str, found: Disagreement) -> Difference {
        Difference {
            series: series.to_owned(),
            timestamp: self.start_of(found.index),
            left: Ok(found.left),
            right: Ok(found.right),
            relative: found.relative(),
        }
    }

    fn start_of(&self, index: usize) -> Option<i64> {
        self.axis.as_ref()?.starts().get(index).copied()
    }
}

fn name(series: &SeriesResult) -> String {
    if series.tags.is_empty() {
        return "(all)".to_owned();
    }
    series.tags.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}
