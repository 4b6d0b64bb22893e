//! Snapshot and request → plan: templates resolved in the tree, time aligned, equal selections found once, one batch.
//!
//! Pure: no I/O, no clock (`now` is given), no panic on a caller's input.

mod bindings;
pub mod chart;
mod frame;
mod lower;
pub mod request;
pub mod time;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use jiff::tz::TimeZone;

pub use bindings::{Bindings, Bound};
pub use lower::{PlannedComparison, Proportionality};
pub use request::{Entry, Formulas, InputError, Request};

use crate::backend::{SelectBatch, SelectLimits, Selection};
use crate::catalog::{Chart, Definition, Formula, Keyspace, Metric, ParameterValue};
use crate::config::Limits;
use crate::eval::{NodeId, Program};
use crate::formula::Template;
use crate::series::{Step, TimeAxis};

/// What a request comes to, before anything is fetched.
#[derive(Debug)]
pub struct Plan {
    /// The buckets of the answer.
    pub axis: TimeAxis,
    /// Their step.
    pub step: Step,
    /// The timezone of calendar steps.
    pub timezone: TimeZone,
    /// Whether the buckets reach beyond the range that was asked for.
    pub is_widened: bool,
    /// In the order asked.
    pub entries: Vec<PlannedEntry>,
    /// All expressions of the request; input `i` is selection `i`.
    pub program: Program,
    /// Distinct selections.
    pub selections: Vec<Selection>,
}

/// One entry of a request.
#[derive(Debug)]
pub struct PlannedEntry {
    /// The name in the answer.
    pub name: String,
    /// The formula's name.
    pub formula: String,
    /// The chart, where the formula is known; a text that lacks a parameter is as it is written.
    pub chart: Option<chart::CompletedChart>,
    /// What is to be evaluated, or why nothing is.
    pub outcome: Result<PlannedFormula, FormulaError>,
}

/// An entry that can be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedFormula {
    /// The expression, templates completed.
    pub expr: String,
    /// Its value.
    pub output: NodeId,
    /// Whether its series carry a summary.
    pub summary: bool,
    /// Why a summary may be null: it has functions that mean nothing over the range as one bucket.
    pub no_summary: Option<&'static str>,
    /// What its variations are compared by, or why they cannot be; where that was asked for.
    pub comparison: Option<Result<PlannedComparison, String>>,
    /// The selections that it depends on, ascending.
    pub selections: Vec<usize>,
}

/// Why one formula was not answered.
#[derive(Debug, Clone, PartialEq)]
pub struct FormulaError {
    /// A stable identifier.
    pub code: &'static str,
    /// A sentence that says what to do.
    pub detail: String,
    /// For `limit_exceeded`: the limit that the operator set.
    pub limit: Option<OverLimit>,
}

/// A limit of the operator's that something is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverLimit {
    /// Its name in the operator's file.
    pub limit: &'static str,
    /// What was reached; where reading stops at a limit, at least that.
    pub value: u64,
    /// The limit.
    pub maximum: u64,
}

impl FormulaError {
    /// An error of one formula.
    pub fn new(code: &'static str, detail: impl Into<String>) -> FormulaError {
        FormulaError { code, detail: detail.into(), limit: None }
    }

    /// A formula that is over a limit; `detail` says what to do.
    pub fn over(limit: OverLimit, detail: impl Into<String>) -> FormulaError {
        FormulaError { limit: Some(limit), ..FormulaError::new("limit_exceeded", detail) }
    }
}

/// A limit that a whole request is over.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{detail}")]
pub struct LimitExceeded {
    /// The limit's name in the operator's file.
    pub limit: &'static str,
    /// What the request comes to.
    pub value: u64,
    /// The limit.
    pub maximum: u64,
    /// The step that would fit, where one would.
    pub step: Option<Step>,
    /// A sentence that says all of this.
    pub detail: String,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// Fields that are wrong.
    #[error("the request has {} wrong field(s)", .0.len())]
    Input(Vec<InputError>),
    /// Range × series over a limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

/// What a plan is made in.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The keyspace of the snapshot.
    pub keyspace: &'a Keyspace,
    /// The backend that will be asked: its entry of a metric's `backends` is the selection's mapping.
    pub backend: &'static str,
    /// Patterns of the stored series that may be read; `None`: all.
    pub allow: Option<&'a [String]>,
    /// What the request may cost.
    pub limits: &'a Limits,
    /// Epoch milliseconds, read once for the request.
    pub now: i64,
}

/// Plans a request.
///
/// # Errors
/// What is wrong with the whole request; what is wrong with one formula is in its entry.
pub fn plan(context: &Context<'_>, request: &Request) -> Result<Plan, PlanError> {
    with_faults(request, plan_fields(context, request))
}

/// Fails where fields could not be read, with these and with what is wrong with others.
fn with_faults<T>(request: &Request, outcome: Result<T, PlanError>) -> Result<T, PlanError> {
    if request.faults.is_empty() {
        return outcome;
    }
    let mut faults = request.faults.clone();
    if let Err(PlanError::Input(further)) = outcome {
        let is_told = |fault: &InputError| request.faults.iter().any(|told| told.pointer == fault.pointer);
        faults.extend(further.into_iter().filter(|fault| !is_told(fault)));
    }
    Err(PlanError::Input(faults))
}

fn plan_fields(context: &Context<'_>, request: &Request) -> Result<Plan, PlanError> {
    let entries = entries(context, request);
    let count = entries.as_ref().map_or(1, |(entries, _)| entries.len());
    let ((entries, params), window) = both(entries, window(context, request, count))?;
    if request.compare && context.keyspace.experiment.is_none() {
        let detail = "the keyspace declares no `experiment`, so that there is nothing to compare";
        return Err(PlanError::Input(vec![InputError::new("/compare", "no_experiment", detail)]));
    }
    let always = request.summary || request.compare;
    let summary_of = |formula: &Formula| always || formula.chart.as_ref().is_some_and(chart::always_summary);
    let summaries = entries.iter().any(|entry| formula_of(context, &entry.formula).is_ok_and(|f| summary_of(f)));

    let frames = frame::Frames::new(&window.axis, window.step, &window.timezone, context.limits.answer_points);
    let mut lowering = lower::Lowering::new(context, window.step, frames, summaries);
    let entries = entries.into_iter().zip(&params).map(|(entry, params)| {
        let bindings = Bindings::new(context.keyspace, params);
        let name = entry.answer_name().to_owned();
        match formula_of(context, &entry.formula) {
            Ok(formula) => PlannedEntry {
                name,
                chart: formula.chart.as_ref().map(|chart| chart::complete(chart, &bindings, formula)),
                outcome: lowering.formula(formula, &bindings, summary_of(formula), request.compare),
                formula: entry.formula,
            },
            Err(error) => PlannedEntry { name, formula: entry.formula, chart: None, outcome: Err(error) },
        }
    });
    let entries = entries.collect();
    let (program, selections) = lowering.finish();
    let Window { axis, step, timezone, is_widened } = window;
    Ok(Plan { axis, step, timezone, is_widened, entries, program, selections })
}

/// Both, or all that is wrong with the fields that either reads.
fn both<A, B>(a: Result<A, PlanError>, b: Result<B, PlanError>) -> Result<(A, B), PlanError> {
    match (a, b) {
        (Err(PlanError::Input(mut errors)), Err(PlanError::Input(further))) => {
            errors.extend(further);
            Err(PlanError::Input(errors))
        }
        // What is wrong with a field goes before a limit, which may only be passed because of it.
        (Err(limit), Err(input @ PlanError::Input(_))) => {
            Err(if matches!(limit, PlanError::Input(_)) { limit } else { input })
        }
        (a, b) => Ok((a?, b?)),
    }
}

impl Plan {
    /// The one call that the plan needs of the backend.
    pub fn batch(&self, limits: &Limits) -> SelectBatch {
        SelectBatch {
            selections: self.selections.clone(),
            step: self.step,
            timezone: self.timezone.clone(),
            limits: SelectLimits {
                groups: limits.series,
                cells: most_cells(limits.answer_points),
                raw_points: limits.raw_points,
            },
        }
    }
}

/// How many values a request may read. Metrics can be more than the formulas made of them; four times the answer keeps memory
/// bounded.
fn most_cells(answer_points: usize) -> usize {
    answer_points.saturating_mul(4)
}

/// Refuses to read more values than a request may: offsets of offsets read as many ranges, each within its own limit.
fn check_cells(cells: usize, answer_points: usize) -> Result<(), FormulaError> {
    let maximum = most_cells(answer_points);
    if cells <= maximum {
        return Ok(());
    }
    let detail = format!(
        "the ranges that it reads have {cells} buckets together, and at most {maximum}, four times the limit `answer_points`; ask \
         for a shorter range, a greater step, or fewer offsets and windows"
    );
    let (value, maximum) = (cells as u64, maximum as u64);
    Err(FormulaError::over(OverLimit { limit: "answer_points", value, maximum }, detail))
}

fn formula_of<'a>(context: &Context<'a>, name: &str) -> Result<&'a Arc<Formula>, FormulaError> {
    match context.keyspace.definitions.get(name) {
        Some(Definition::Formula(formula)) => Ok(formula),
        Some(Definition::Metric(_)) => {
            let detail = format!(
                "`{name}` is a metric; a request names formulas, so declare a formula `{name}_total: {name}` or the like"
            );
            Err(FormulaError::new("unknown_formula", detail))
        }
        None => {
            let shown: String = name.chars().take(80).collect();
            let detail = match name {
                "*" => "`*` beside others is no formula; \"formulas\": \"*\" alone is all that have a chart".to_owned(),
                _ => format!("the keyspace `{}` has no formula `{shown}`", context.keyspace.name),
            };
            Err(FormulaError::new("unknown_formula", detail))
        }
    }
}

/// The parameters of an entry by name; `None` is a null, which is no value.
pub type CheckedParams = BTreeMap<String, Option<ParameterValue>>;

/// The entries of a request and the checked parameters of each.
fn entries(context: &Context<'_>, request: &Request) -> Result<(Vec<Entry>, Vec<CheckedParams>), PlanError> {
    let keyspace = context.keyspace;
    let mut errors = Vec::new();
    let base = bindings::check(keyspace, &request.params, "/params").unwrap_or_else(|faults| {
        errors.extend(faults);
        BTreeMap::new()
    });
    let entries = match &request.formulas {
        Formulas::Entries(entries) => entries.clone(),
        Formulas::All => all_complete(keyspace, &Bindings::new(keyspace, &base)),
    };
    let mut params = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let mut merged = base.clone();
        match bindings::check(keyspace, &entry.params, &format!("/formulas/{index}/params")) {
            Ok(own) => merged.extend(own),
            Err(faults) => errors.extend(faults),
        }
        params.push(merged);
    }
    if !errors.is_empty() {
        return Err(PlanError::Input(errors));
    }
    let (value, maximum) = (entries.len() as u64, context.limits.formulas as u64);
    if value > maximum {
        let detail =
            format!("{value} formulas are over the limit `formulas` of {maximum}; ask for fewer in one request");
        return Err(LimitExceeded { limit: "formulas", value, maximum, step: None, detail }.into());
    }
    Ok((entries, params))
}

/// What `"*"` stands for: each formula that has a chart and whose parameters are complete, by section and order; those
/// without a section or an order come last, and names settle ties.
fn all_complete(keyspace: &Keyspace, bindings: &Bindings<'_>) -> Vec<Entry> {
    let mut formulas: Vec<(&Arc<Formula>, &Chart)> = keyspace
        .definitions
        .values()
        .filter_map(|definition| match definition {
            Definition::Formula(formula) => formula.chart.as_ref().map(|chart| (formula, chart)),
            Definition::Metric(_) => None,
        })
        .filter(|(formula, _)| bindings.complete(&formula.params))
        .collect();
    formulas.sort_by(|(a, a_chart), (b, b_chart)| {
        let section = |chart: &Chart| chart::section(chart).map_or((true, String::new()), |section| (false, section));
        let order = |chart: &Chart| chart::order(chart).unwrap_or(f64::INFINITY);
        section(a_chart)
            .cmp(&section(b_chart))
            .then(order(a_chart).total_cmp(&order(b_chart)))
            .then_with(|| a.name.cmp(&b.name))
    });
    formulas.into_iter().map(|(formula, _)| Entry::named(formula.name.as_str())).collect()
}

/// When a request is about.
struct Window {
    axis: TimeAxis,
    step: Step,
    timezone: TimeZone,
    is_widened: bool,
}

const DEFAULT_RANGE: i64 = 3_600_000;
const DEFAULT_MAX_POINTS: usize = 500;

fn window(context: &Context<'_>, request: &Request, entries: usize) -> Result<Window, PlanError> {
    let keyspace = context.keyspace;
    let zone = match &request.timezone {
        None => Ok(keyspace.timezone.clone()),
        Some(name) => timezone(name).ok_or_else(|| {
            let detail = "is not a timezone of the IANA database, such as UTC or America/Los_Angeles";
            PlanError::Input(vec![InputError::new("/timezone", "invalid_timezone", detail)])
        }),
    };
    let range = range(context, request, zone.as_ref().unwrap_or(&keyspace.timezone));
    let step = match request.step.filter(|step| !step.is_multiple_of(keyspace.resolution)) {
        None => Ok(request.step),
        Some(step) => {
            let resolution = keyspace.resolution;
            let detail =
                format!("{step} is not a multiple of the keyspace's resolution {resolution}; use a multiple, or auto");
            Err(PlanError::Input(vec![InputError::new("/step", "invalid_step", detail)]))
        }
    };
    let ((timezone, (from, to)), step) = both(both(zone, range), step)?;
    let step = step.unwrap_or_else(|| {
        let most = (context.limits.answer_points / entries.max(1)).max(1);
        let points = request.max_points.unwrap_or(DEFAULT_MAX_POINTS).min(most);
        time::auto_step(from, to, points, keyspace.resolution, &timezone)
    });
    let axis = axis(context, (from, to), step, &timezone, entries)?;
    // There is nothing after now that could be more than was asked for.
    let is_widened = (axis.from(), axis.to().min(context.now)) != (from, to.min(context.now));
    Ok(Window { axis, step, timezone, is_widened })
}

/// A timezone of the IANA database by its name; never one that the process's environment names.
pub fn timezone(name: &str) -> Option<TimeZone> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte));
    if !plain || name.is_empty() || name.len() > 64 {
        return None;
    }
    TimeZone::get(name).ok()
}

/// From when to when a request asks, in epoch milliseconds.
///
/// # Errors
/// Times that are none, and an empty range.
pub fn range(context: &Context<'_>, request: &Request, timezone: &TimeZone) -> Result<(i64, i64), PlanError> {
    let mut errors = Vec::new();
    let mut read = |place: &str, value: &Option<serde_json::Value>| {
        let value = value.as_ref()?;
        match time::parse_time(value, context.now, timezone) {
            Ok(time) => Some(time),
            Err(detail) => {
                errors.push(InputError::new(place, "invalid_time", detail));
                None
            }
        }
    };
    let to = read("/to", &request.to).unwrap_or(context.now);
    let from = read("/from", &request.from).unwrap_or(to - DEFAULT_RANGE);
    if errors.is_empty() && from >= to {
        errors.push(InputError::new("/from", "empty_range", "must be before \"to\" (default: now)"));
    }
    if errors.is_empty() { Ok((from, to)) } else { Err(PlanError::Input(errors)) }
}

/// The buckets of the answer, if what it can hold at least is within the limits.
fn axis(
    context: &Context<'_>,
    (from, to): (i64, i64),
    step: Step,
    timezone: &TimeZone,
    entries: usize,
) -> Result<TimeAxis, PlanError> {
    let limits = context.limits;
    let longest = limits.range.nominal_millis();
    if to - from > longest {
        let detail = format!("the range is over the limit `range` of {}; ask for a shorter one", limits.range);
        let (value, maximum) = ((to - from) as u64, longest as u64);
        return Err(LimitExceeded { limit: "range", value, maximum, step: None, detail }.into());
    }
    let buckets = limits.answer_points / entries.max(1);
    TimeAxis::covering(from, to, step, timezone, buckets).map_err(|too_many| {
        let value = too_many.count.saturating_mul(entries.max(1) as u64);
        answer_points(context, (from, to), timezone, value, entries.max(1) as u64).into()
    })
}

/// The error of an answer of `value` points made of `series` series at least.
pub fn answer_points(
    context: &Context<'_>,
    (from, to): (i64, i64),
    timezone: &TimeZone,
    value: u64,
    series: u64,
) -> LimitExceeded {
    let maximum = context.limits.answer_points as u64;
    let step = time::fitting_step(from, to, maximum / series.max(1), context.keyspace.resolution, timezone);
    answer_points_limit(value, maximum, step)
}

/// The same in numbers.
pub fn answer_points_limit(value: u64, maximum: u64, step: Option<Step>) -> LimitExceeded {
    let mend = match step {
        Some(step) => format!("the step {step} would fit"),
        None => "ask for fewer formulas or a shorter range".to_owned(),
    };
    let detail = format!("{value} points are over the limit `answer_points` of {maximum}; {mend}");
    LimitExceeded { limit: "answer_points", value, maximum, step, detail }
}

/// What a list of a parameter's stored values is made in: the range in epoch milliseconds and the checked parameters.
///
/// # Errors
/// A parameter that is not declared, and all that is wrong with the request.
pub fn values_window(
    context: &Context<'_>,
    parameter: &str,
    request: &Request,
) -> Result<(Range<i64>, CheckedParams), PlanError> {
    let params = bindings::check(context.keyspace, &request.params, "/params").map_err(PlanError::Input);
    let range = range(context, request, &context.keyspace.timezone);
    let ((from, to), params) = with_faults(request, both(range, params))?;
    if !context.keyspace.parameters.contains_key(parameter) {
        let asked = BTreeMap::from([(parameter.to_owned(), serde_json::Value::Null)]);
        bindings::check(context.keyspace, &asked, "/parameter").map_err(PlanError::Input)?;
    }
    Ok((from..to, params))
}

/// The stored name of a metric, where it can be completed and may be read.
pub fn readable_series(context: &Context<'_>, metric: &Metric, bindings: &Bindings<'_>) -> Option<String> {
    let series = bindings.single(&metric.series, metric.bound.as_ref()).ok()?;
    lower::refuse_forbidden(context.allow, &series).ok()?;
    lower::refuse_forbidden_index(context, metric).ok()?;
    Some(series.into_owned())
}

/// The filter of a metric without the tags that lack a parameter.
pub fn lenient_filter(metric: &Metric, bindings: &Bindings<'_>) -> BTreeMap<String, Vec<String>> {
    let tag = |(tag, templates): (&String, &Vec<Template>)| {
        let values = lower::tag_values(templates, metric.bound.as_ref(), bindings).ok()?;
        (!values.is_empty()).then(|| (tag.clone(), values))
    };
    metric.tags.iter().filter_map(tag).collect()
}
