//! What was evaluated and what a UI needs to know about it → results. Pure.

mod compare;

pub use compare::{Comparison, SampleRatio, Sides};

use std::sync::Arc;

use self::compare::Comparer;
use crate::backend::SelectionError;
use crate::catalog::Experiment;
use crate::eval::{Evaluated, LeftOut};
use crate::plan::chart::CompletedChart;
use crate::plan::{FormulaError, OverLimit, PlannedComparison, PlannedEntry, PlannedFormula};
use crate::series::{Column, TimeAxis};

/// The answer to one entry of a request.
#[derive(Debug, Clone)]
pub struct FormulaResult {
    /// The entry's name.
    pub name: String,
    /// The formula's name.
    pub formula: String,
    /// The chart, templates completed where they could be; always has `title` and `kind`.
    pub chart: Option<CompletedChart>,
    /// The series, or why there are none.
    pub outcome: Result<Evaluation, FormulaError>,
}

/// What a formula came to.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The expression, templates completed.
    pub expr: String,
    /// The names of its series' tags, sorted; known also where it has no series.
    pub tags: Vec<String>,
    /// In the order of their tags.
    pub series: Vec<SeriesResult>,
    /// Whether the traffic was split as declared, where variations were compared.
    pub sample_ratio: Option<SampleRatio>,
    /// Never an error.
    pub warnings: Vec<Warning>,
}

/// One line of an answer.
#[derive(Debug, Clone)]
pub struct SeriesResult {
    /// Names and values, by name.
    pub tags: Vec<(String, Arc<str>)>,
    /// One value a bucket.
    pub column: Column,
    /// The formula over the range as one bucket, where it was asked for.
    pub summary: Option<Summary>,
    /// The series against the control's, where variations were compared; `None` inside for the control itself.
    pub comparison: Option<Option<Comparison>>,
}

/// The formula over the range as one bucket.
#[derive(Debug, Clone, PartialEq)]
pub enum Summary {
    /// Its value.
    Value(f64),
    /// Null, and a stable identifier of the reason: `no_data`, `undefined`, `no_single_bucket`,
    /// `not_additive`.
    Null(&'static str),
}

/// Something a reader of the series should know.
#[derive(Debug, Clone, PartialEq)]
pub struct Warning {
    /// A stable identifier.
    pub code: &'static str,
    /// How many points or series it is about, where that can be counted.
    pub count: Option<usize>,
    /// A sentence.
    pub detail: String,
}

/// What was evaluated for one entry.
pub struct Evaluations {
    /// Over the axis of the answer.
    pub buckets: Evaluated,
    /// Over the range as one bucket, where the entry carries summaries.
    pub summary: Option<Evaluated>,
    /// What its variations are compared by, where they are.
    pub sides: Option<Sides>,
}

/// What an answer knows beside its values.
pub struct Surroundings<'a> {
    /// The answer's axis.
    pub axis: &'a TimeAxis,
    /// Whether the axis reaches beyond the range that was asked for.
    pub is_widened: bool,
    /// The selections that failed, by index.
    pub failed: &'a [Option<SelectionError>],
    /// The selections whose values are a backend's estimate, by index.
    pub estimated: &'a [bool],
    /// Buckets that begin before it may have been deleted by the backend.
    pub retained_from: Option<i64>,
    /// The most series of one formula.
    pub max_series: usize,
    /// The keyspace's.
    pub experiment: Option<&'a Experiment>,
}

/// Makes the result of an entry. `tags` are the names of its series' tags.
pub fn decorate(
    entry: PlannedEntry,
    tags: &[String],
    evaluations: Option<Evaluations>,
    surroundings: &Surroundings<'_>,
) -> FormulaResult {
    let outcome = entry.outcome.and_then(|formula| match (failure(&formula, surroundings.failed), evaluations) {
        (None, Some(evaluations)) => evaluation(formula, tags, evaluations, surroundings),
        (Some(error), _) => Err(error),
        (None, None) => Err(FormulaError::new("internal", "the formula was not evaluated; please report it")),
    });
    FormulaResult { name: entry.name, formula: entry.formula, chart: entry.chart, outcome }
}

/// The error of the first selection of a formula that failed.
pub fn failure(formula: &PlannedFormula, failed: &[Option<SelectionError>]) -> Option<FormulaError> {
    let error = formula.selections.iter().find_map(|selection| failed.get(*selection)?.as_ref())?;
    let code = match *error {
        SelectionError::Unsupported(_) => "unsupported_by_backend",
        SelectionError::Refused(_) => "selection_refused",
        SelectionError::Limit { limit, value, maximum } => {
            return Some(over(OverLimit { limit, value, maximum }, "at least "));
        }
        SelectionError::NotAdditive(_) => "not_additive",
    };
    Some(FormulaError::new(code, error.to_string()))
}

/// The error of a formula that comes to, or whose reads come to, more than a limit.
fn over(limit: OverLimit, least: &str) -> FormulaError {
    let OverLimit { limit: name, value, maximum } = limit;
    let (what, remedy) = match name {
        "series" => ("series", "filter by tags, or group by fewer"),
        "raw_points" => ("raw points", "ask for a shorter range, or an aggregate that the database computes"),
        _ => ("points", "ask for a shorter range, a greater step or fewer formulas"),
    };
    let detail = format!("{least}{value} {what} are over the limit `{name}` of {maximum}; {remedy}");
    FormulaError::over(limit, detail)
}

fn evaluation(
    formula: PlannedFormula,
    tags: &[String],
    evaluations: Evaluations,
    surroundings: &Surroundings<'_>,
) -> Result<Evaluation, FormulaError> {
    let Evaluated { series, left_out } = evaluations.buckets;
    if series.len() > surroundings.max_series {
        let (value, maximum) = (series.len() as u64, surroundings.max_series as u64);
        return Err(over(OverLimit { limit: "series", value, maximum }, ""));
    }
    let mut warnings = undefined_warning(&series).into_iter().collect::<Vec<_>>();
    warnings.extend(left_out_warnings(&left_out));
    if !formula.selections.is_empty() {
        warnings.extend(retention_warning(surroundings));
    }
    warnings.extend(estimate_warning(&formula.selections, surroundings.estimated));
    let summary = evaluations.summary.unwrap_or_default();
    let mut comparisons = Comparisons::default();
    if let Some(planned) = &formula.comparison {
        comparisons = compared(planned, tags, &series, &summary, evaluations.sides.as_ref(), surroundings);
    }
    warnings.extend(comparisons.warnings);
    let mut comparisons_of_series = comparisons.of_series.into_iter();
    let mut summaries = summary.series.into_iter().peekable();
    let series = series.into_iter().map(|(key, column)| {
        // Both lists ascend by key; a key that the summary lacks has no value in it.
        while summaries.next_if(|(other, _)| *other < key).is_some() {}
        let summary = summaries.next_if(|(other, _)| *other == key).map(|(_, column)| column);
        SeriesResult {
            tags: tags.iter().cloned().zip(key).collect(),
            column,
            summary: formula.summary.then(|| summary_of(summary.as_ref(), formula.no_summary)),
            comparison: comparisons_of_series.next(),
        }
    });
    let series = series.collect();
    Ok(Evaluation { expr: formula.expr, tags: tags.to_vec(), series, sample_ratio: comparisons.sample_ratio, warnings })
}

/// What comparing one formula's variations came to.
#[derive(Default)]
struct Comparisons {
    /// One for each series; none where they are not compared.
    of_series: Vec<Option<Comparison>>,
    sample_ratio: Option<SampleRatio>,
    warnings: Vec<Warning>,
}

fn compared(
    planned: &Result<PlannedComparison, String>,
    tags: &[String],
    series: &[(Vec<Arc<str>>, Column)],
    summaries: &Evaluated,
    sides: Option<&Sides>,
    surroundings: &Surroundings<'_>,
) -> Comparisons {
    let refused = |reason: &str| Warning {
        code: "not_compared",
        count: None,
        detail: format!("the variations are not compared: {reason}"),
    };
    let planned = match planned {
        Ok(planned) => planned,
        Err(reason) => return Comparisons { warnings: vec![refused(reason)], ..Comparisons::default() },
    };
    let comparer = surroundings.experiment.zip(sides).and_then(|(experiment, sides)| {
        let comparer = Comparer::new(experiment, planned, tags, summaries, sides)?;
        Some((comparer, experiment, sides))
    });
    let Some((comparer, experiment, sides)) = comparer else { return Comparisons::default() };
    let sample_ratio = compare::sample_ratio(experiment, planned, sides);
    let mut warnings = compare::warnings(experiment, planned, sides, sample_ratio.as_ref());
    warnings.extend(widened_warning(surroundings));
    Comparisons { of_series: series.iter().map(|(key, _)| comparer.compare(key)).collect(), warnings, sample_ratio }
}

/// What is compared is not quite what was asked for: a line may show more than its range, but a number says nothing of it.
fn widened_warning(surroundings: &Surroundings<'_>) -> Option<Warning> {
    let instant = |ms: i64| jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string());
    let (from, to) = (instant(surroundings.axis.from()), instant(surroundings.axis.to()));
    surroundings.is_widened.then(|| Warning {
        code: "range_widened",
        count: None,
        detail: format!(
            "whole buckets are compared, from {from} to {to}, which is more than was asked for; ask for whole buckets, or a \
             smaller step, to compare no more"
        ),
    })
}

fn summary_of(column: Option<&Column>, no_summary: Option<&'static str>) -> Summary {
    if let Some(value) = column.and_then(|column| column.get(0)) {
        return Summary::Value(value);
    }
    let undefined = column.is_some_and(|column| column.is_undefined(0));
    Summary::Null(no_summary.unwrap_or(if undefined { "undefined" } else { "no_data" }))
}

fn undefined_warning(series: &[(Vec<Arc<str>>, Column)]) -> Option<Warning> {
    let marks = |column: &Column| column.undefined.iter().flatten().filter(|mark| **mark).count();
    let count: usize = series.iter().map(|(_, column)| marks(column)).sum();
    (count > 0).then(|| Warning {
        code: "undefined",
        count: Some(count),
        detail: format!("{count} point(s) have no value because a result was not finite, such as a division by zero"),
    })
}

/// How many series left out are named; the others are counted.
const NAMED: usize = 20;

fn left_out_warnings(left_out: &[LeftOut]) -> Vec<Warning> {
    let named = left_out.iter().take(NAMED).map(|series| Warning {
        code: "series_left_out",
        count: None,
        detail: format!(
            "the series {{{}}} is left out: {} has no such group",
            tag_list(&series.tags),
            series.lacking.join(", ")
        ),
    });
    let rest = left_out.len().saturating_sub(NAMED);
    let counted = (rest > 0).then(|| Warning {
        code: "series_left_out",
        count: Some(rest),
        detail: format!("{rest} more series are left out because an operand has no such group"),
    });
    named.chain(counted).collect()
}

fn tag_list(tags: &[(String, Arc<str>)]) -> String {
    tags.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

fn estimate_warning(selections: &[usize], estimated: &[bool]) -> Option<Warning> {
    let count = selections.iter().filter(|selection| estimated.get(**selection) == Some(&true)).count();
    (count > 0).then(|| Warning {
        code: "approximate",
        count: Some(count),
        detail: format!("{count} metric(s) are the backend's estimate, which they accept with `approximate: true`"),
    })
}

fn retention_warning(surroundings: &Surroundings<'_>) -> Option<Warning> {
    let retained_from = surroundings.retained_from?;
    let count = surroundings.axis.starts().partition_point(|start| *start < retained_from);
    (count > 0).then(|| Warning {
        code: "beyond_retention",
        count: Some(count),
        detail: format!("{count} bucket(s) begin before what the backend keeps, and may be missing points"),
    })
}
