//! Two backends head to head: every formula asked of both, and what differs.
//!
//! - `cases` finds what to ask: each formula of a keyspace, with parameters from the command line, defaults, enums, stored values
//!   and the formula tests;
//! - [`run`] asks both in turn and times them;
//! - `outcome` compares two answers;
//! - `html` writes a report that stands alone.

mod cases;
mod html;
mod outcome;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::backend::BackendError;
use crate::query::{Answer, QueryError, Request, Service};
use crate::series::Step;
use crate::series::agreement::Tolerance;

pub use crate::report::time_of;
pub use cases::{Case, Cases, Params, find};
pub use html::html;
pub use outcome::{Difference, Line, Outcome, Verdict};

/// How often each backend is asked the same, for its times.
const SAMPLES: usize = 3;
/// Buckets of a formula that can only be asked at the keyspace's resolution.
const FINE_BUCKETS: i64 = 500;

/// One of the two: a service that reads from one backend only.
pub struct Side {
    /// The backend's name.
    pub name: &'static str,
    /// What answers.
    pub service: Service,
}

/// What all formulas are asked for.
#[derive(Debug, Clone)]
pub struct Window {
    /// Epoch milliseconds.
    pub from: i64,
    /// Epoch milliseconds.
    pub to: i64,
    /// `None` is `auto`.
    pub step: Option<Step>,
}

/// One formula with its parameters, asked of both.
pub struct Row {
    /// What was asked.
    pub case: Case,
    /// What came of it.
    pub outcome: Outcome,
    /// How long the left took, each time.
    pub left_times: Vec<Duration>,
    /// How long the right took, each time.
    pub right_times: Vec<Duration>,
}

/// Everything that was compared.
pub struct Report {
    /// The left backend's name.
    pub left: &'static str,
    /// The right backend's name.
    pub right: &'static str,
    /// When, in epoch milliseconds.
    pub at: i64,
    /// In the order of keyspaces and formulas.
    pub rows: Vec<Row>,
    /// Formulas that could not be asked for, and why.
    pub left_out: Vec<(String, String)>,
}

impl Report {
    /// Whether anything differs.
    pub fn differs(&self) -> bool {
        self.rows.iter().any(|row| row.outcome.verdict == Verdict::Differs)
    }
}

/// A time of which so many percent of all are at most as long.
pub fn percentile(times: &[Duration], percent: usize) -> Option<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).max(1) - 1;
    times.get(rank).copied()
}

/// The share of buckets that agree, as a person reads it; never 100 % where one does not.
pub fn agreement(outcome: &Outcome) -> String {
    match (&outcome.verdict, outcome.compared) {
        (Verdict::NotCompared(_), _) => "not compared".to_owned(),
        (Verdict::Differs, 0) => "0 %".to_owned(),
        (_, 0) => "no data".to_owned(),
        (_, compared) if compared == outcome.agreeing => "100 %".to_owned(),
        (_, compared) => {
            let percent = outcome.agreeing as f64 * 100.0 / compared as f64;
            format!("{:.2} %", (percent * 100.0).floor() / 100.0)
        }
    }
}

/// How far apart two values are, as a person reads it.
pub fn part(relative: f64) -> String {
    match relative {
        relative if !relative.is_finite() => String::new(),
        relative if relative >= 1e-4 => format!("{:.2} %", relative * 100.0),
        relative => format!("{relative:.1e}"),
    }
}

/// A value, or why there is none.
pub fn value(value: &Result<Option<f64>, String>) -> String {
    match value {
        Ok(Some(value)) => value.to_string(),
        Ok(None) => "null".to_owned(),
        Err(reason) => reason.clone(),
    }
}

/// A time in milliseconds.
pub fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Asks both for every case, and tells `progress` after each.
///
/// # Errors
/// When a backend cannot be reached.
pub async fn run(
    (left, right): (&Side, &Side),
    cases: Cases,
    windows: &BTreeMap<String, Window>,
    tolerance: Option<f64>,
    progress: &(dyn Fn(&Case) + Sync),
) -> Result<Report, BackendError> {
    let tolerance = tolerance.map_or(Tolerance::OfScale(crate::backend::SAME), Tolerance::OfValue);
    let mut rows = Vec::with_capacity(cases.cases.len());
    for case in cases.cases {
        let Some(window) = windows.get(&case.keyspace) else { continue };
        rows.push(compare(left, right, &case, window, tolerance).await?);
        progress(&case);
    }
    let at = (left.service.clock)();
    Ok(Report { left: left.name, right: right.name, at, rows, left_out: cases.left_out })
}

/// Asks both for one case, in turn, so that neither has warmer caches than the other.
async fn compare(
    left: &Side,
    right: &Side,
    case: &Case,
    window: &Window,
    tolerance: Tolerance,
) -> Result<Row, BackendError> {
    let mut window = window.clone();
    let mut answers = both(left, right, case, &window).await?;
    if outcome::code(&answers.0.answer) == Some("not_additive")
        && outcome::code(&answers.1.answer) == Some("not_additive")
    {
        window = finest(left, case, &window);
        answers = both(left, right, case, &window).await?;
    }
    let (mut left_times, mut right_times) = (vec![answers.0.time], vec![answers.1.time]);
    for _ in 1..SAMPLES {
        let (left, right) = both(left, right, case, &window).await?;
        left_times.push(left.time);
        right_times.push(right.time);
    }
    let outcome = outcome::compare(&answers.0.answer, &answers.1.answer, tolerance);
    Ok(Row { case: case.clone(), outcome, left_times, right_times })
}

struct Asked {
    answer: Result<Answer, QueryError>,
    time: Duration,
}

async fn both(left: &Side, right: &Side, case: &Case, window: &Window) -> Result<(Asked, Asked), BackendError> {
    Ok((ask(left, case, window).await?, ask(right, case, window).await?))
}

/// One answer of one side; that it cannot be reached ends the comparison.
async fn ask(side: &Side, case: &Case, window: &Window) -> Result<Asked, BackendError> {
    let request = Request {
        from: Some(json!(window.from)),
        to: Some(json!(window.to)),
        step: window.step,
        summary: true,
        ..Request::default()
    };
    let request = Request { formulas: case.entry(), ..request };
    let begun = Instant::now();
    let answer = side.service.answer(&case.keyspace, &request).await;
    let time = begun.elapsed();
    match answer {
        Err(QueryError::Backend(error @ BackendError::Unreachable { .. })) => Err(error),
        answer => Ok(Asked { answer, time }),
    }
}

/// The last buckets of a window at the keyspace's resolution, for what counts distinct things.
fn finest(side: &Side, case: &Case, window: &Window) -> Window {
    let catalog = side.service.catalog.snapshot();
    let Some(keyspace) = catalog.keyspaces.get(&case.keyspace) else { return window.clone() };
    let from = window.to.saturating_sub(FINE_BUCKETS * keyspace.resolution.nominal_millis());
    Window { from: from.max(window.from), to: window.to, step: Some(keyspace.resolution) }
}

/// The values of a parameter that both backends have stored, each once, the left's first.
async fn stored_values(
    sides: (&Side, &Side),
    keyspace: &str,
    parameter: &str,
    window: &Window,
) -> Result<Vec<Value>, BackendError> {
    let request = Request { from: Some(json!(window.from)), to: Some(json!(window.to)), ..Request::default() };
    let mut found: Vec<Value> = Vec::new();
    for side in [sides.0, sides.1] {
        match side.service.values(keyspace, parameter, &request).await {
            Ok(answer) => {
                let values = answer["values"].as_array().cloned().unwrap_or_default();
                found.extend(values.into_iter().filter(|value| !found.contains(value)).collect::<Vec<_>>());
            }
            Err(QueryError::Backend(error)) => return Err(error),
            // A list that cannot be made is no list.
            Err(_) => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_times_are_times_that_were_measured() {
        let times: Vec<Duration> = [5, 1, 3].map(Duration::from_millis).into();
        assert_eq!(percentile(&times, 50), Some(Duration::from_millis(3)));
        assert_eq!(percentile(&times, 99), Some(Duration::from_millis(5)));
        assert_eq!(percentile(&[], 50), None);
    }
}
