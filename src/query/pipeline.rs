//! The stages of a request, in order: plan, fetch, evaluate, decorate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::service::Snapshot;
use super::shadow::{Shadow, ShadowRead};
use super::{Answer, QueryError, Request, Stats};
use crate::backend::{BackendError, Selected, SelectionError};
use crate::decorate::{self, Evaluations, FormulaResult, Sides, Surroundings};
use crate::eval::{self, Evaluated, Extent, Input, NodeId};
use crate::plan::{self, Plan, PlannedComparison, PlannedEntry};
use crate::series::TimeAxis;

/// Answers of more cells than this are evaluated on a thread of their own, so that they keep no worker from other requests.
const INLINE_CELLS: usize = 200_000;

/// Answers a request.
pub async fn answer(snapshot: Snapshot, request: &Request, shadow: &Arc<Shadow>) -> Result<Answer, QueryError> {
    let mut stages = Stages::start();
    let plan = plan::plan(&snapshot.context(), request)?;
    stages.end("plan");
    // There is no results cache yet; the stage is named so that readers of Server-Timing find it.
    stages.end("cache");
    let selected = fetch(&snapshot, &plan).await?;
    stages.end("backend");
    let shadow_read = shadow.prepare(&snapshot, request, &selected, stages.last());
    let large = cells(&selected) > INLINE_CELLS;
    let work = move || assemble(&snapshot, plan, selected);
    let answer = match large {
        true => tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())),
        false => work(),
    };
    stages.end("evaluate");
    match answer {
        Ok(answer) => Ok(Answer { timings: stages.timings, shadow_read, ..answer }),
        Err(error) => {
            shadow_read.cancel();
            Err(error)
        }
    }
}

/// One call for the whole batch; none where nothing is needed.
async fn fetch(snapshot: &Snapshot, plan: &Plan) -> Result<Selected, BackendError> {
    if plan.selections.is_empty() {
        return Ok(Selected { frames: Vec::new(), calls: 0 });
    }
    snapshot.backend.select(&plan.batch(snapshot.limits())).await
}

fn cells(selected: &Selected) -> usize {
    let groups = selected.frames.iter().flatten().flat_map(|frame| &frame.groups);
    groups.map(|group| group.values.len()).sum()
}

/// What was fetched → the answer.
fn assemble(snapshot: &Snapshot, plan: Plan, selected: Selected) -> Result<Answer, QueryError> {
    let fetched = Fetched::from(selected);
    let outputs = Outputs::of(&plan.entries, &fetched.failed);
    let evaluation = eval::evaluate(&plan.program, &outputs.all, &fetched.buckets, Extent::Buckets, snapshot.now);
    let buckets = evaluation.outputs;
    check_size(snapshot, &plan, &buckets)?;
    let whole = Extent::Whole(&evaluation.chosen);
    let mut summaries = match outputs.summarised.is_empty() {
        true => Vec::new(),
        false => eval::evaluate(&plan.program, &outputs.whole(), &fetched.whole, whole, snapshot.now).outputs,
    };
    let mut sides = summaries.split_off(outputs.summarised.len()).into_iter();

    let surroundings = Surroundings {
        axis: &plan.axis,
        is_widened: plan.is_widened,
        failed: &fetched.failed,
        estimated: &fetched.estimated,
        retained_from: snapshot.retained_from(),
        max_series: snapshot.limits().series,
        experiment: snapshot.keyspace.experiment.as_ref(),
    };
    let (mut buckets, mut summaries) = (buckets.into_iter(), summaries.into_iter());
    let results = plan.entries.into_iter().zip(outputs.entries).map(|(entry, output)| {
        let tags = output.map(|(node, _)| &plan.program.nodes[node.0 as usize].tags[..]).unwrap_or_default();
        let evaluations = output.and_then(|(_, summary)| {
            let summary = summary.then(|| summaries.next()).flatten();
            let sides = comparison_of(&entry).and_then(|planned| {
                let (numerator, denominator, exposures) = (sides.next()?, sides.next()?, sides.next()?);
                let tags = plan.program.nodes[planned.exposures.0.0 as usize].tags.clone();
                Some(Sides { numerator, denominator, exposures: (exposures, tags) })
            });
            buckets.next().map(|buckets| Evaluations { buckets, summary, sides })
        });
        decorate::decorate(entry, tags, evaluations, &surroundings)
    });
    let results: Vec<FormulaResult> = results.collect();
    let settled = snapshot.now.saturating_sub(snapshot.keyspace.settle);
    Ok(Answer {
        keyspace: snapshot.keyspace.name.clone(),
        revision: snapshot.keyspace.revision.clone(),
        backend: snapshot.backend.name(),
        timezone: plan.timezone.iana_name().unwrap_or("UTC").to_owned(),
        step: plan.step.to_string(),
        partial_from: first_ending_after(&plan.axis, snapshot.now),
        settling_from: first_ending_after(&plan.axis, settled),
        stats: stats(&results, plan.selections.len(), fetched.calls),
        axis: plan.axis,
        results,
        timings: Vec::new(),
        shadow_read: ShadowRead::default(),
    })
}

/// What the backend answered, as a program reads it. A selection that failed is an input without groups.
struct Fetched {
    buckets: Vec<Input>,
    whole: Vec<Input>,
    failed: Vec<Option<SelectionError>>,
    estimated: Vec<bool>,
    calls: u32,
}

impl From<Selected> for Fetched {
    fn from(selected: Selected) -> Fetched {
        let count = selected.frames.len();
        let mut fetched = Fetched {
            buckets: Vec::with_capacity(count),
            whole: Vec::with_capacity(count),
            failed: Vec::with_capacity(count),
            estimated: Vec::with_capacity(count),
            calls: selected.calls,
        };
        for frame in selected.frames {
            let (frame, error) = match frame {
                Ok(frame) => (frame, None),
                Err(error) => (Default::default(), Some(error)),
            };
            fetched.estimated.push(frame.estimated);
            let whole = frame.groups.iter().map(|group| (group.key.clone(), vec![group.whole]));
            fetched.whole.push(Input::new(whole));
            fetched.buckets.push(Input::new(frame.groups.into_iter().map(|group| (group.key, group.values))));
            fetched.failed.push(error);
        }
        fetched
    }
}

/// Which nodes are to be evaluated, and for which entries.
struct Outputs {
    all: Vec<NodeId>,
    summarised: Vec<NodeId>,
    /// For each entry whose variations are compared: numerator, denominator and exposures.
    compared: Vec<NodeId>,
    /// For each entry its node and whether it is summarised; `None` where the entry failed.
    entries: Vec<Option<(NodeId, bool)>>,
}

impl Outputs {
    fn of(entries: &[PlannedEntry], failed: &[Option<SelectionError>]) -> Outputs {
        let output = |entry: &PlannedEntry| {
            let formula = entry.outcome.as_ref().ok()?;
            decorate::failure(formula, failed).is_none().then_some((formula.output, formula.summary))
        };
        let sides = |entry: &PlannedEntry| {
            let planned = output(entry).and_then(|_| comparison_of(entry))?;
            Some([planned.numerator, planned.denominator, planned.exposures.0])
        };
        let compared = entries.iter().filter_map(sides).flatten().collect();
        let entries: Vec<Option<(NodeId, bool)>> = entries.iter().map(output).collect();
        Outputs {
            compared,
            all: entries.iter().flatten().map(|(node, _)| *node).collect(),
            summarised: entries.iter().flatten().filter(|(_, summary)| *summary).map(|(node, _)| *node).collect(),
            entries,
        }
    }

    /// What is evaluated over the range as one bucket.
    fn whole(&self) -> Vec<NodeId> {
        self.summarised.iter().chain(&self.compared).copied().collect()
    }
}

fn comparison_of(entry: &PlannedEntry) -> Option<&PlannedComparison> {
    entry.outcome.as_ref().ok()?.comparison.as_ref()?.as_ref().ok()
}

/// Refuses an answer of more points than the limit, and names the step that would fit.
fn check_size(snapshot: &Snapshot, plan: &Plan, evaluated: &[Evaluated]) -> Result<(), QueryError> {
    let series: usize = evaluated.iter().map(|evaluated| evaluated.series.len()).sum();
    let points = series.saturating_mul(plan.axis.len());
    if points <= snapshot.limits().answer_points {
        return Ok(());
    }
    let range = (plan.axis.from(), plan.axis.to());
    Err(plan::answer_points(&snapshot.context(), range, &plan.timezone, points as u64, series as u64).into())
}

/// The start of the first bucket that ends after an instant.
fn first_ending_after(axis: &TimeAxis, instant: i64) -> Option<i64> {
    if axis.to() <= instant {
        return None;
    }
    let index = axis.starts()[1..].partition_point(|end| *end <= instant);
    axis.starts().get(index).copied()
}

fn stats(results: &[FormulaResult], selections: usize, calls: u32) -> Stats {
    let series = || results.iter().filter_map(|result| result.outcome.as_ref().ok()).flat_map(|found| &found.series);
    Stats {
        backend_calls: calls,
        selections,
        series: series().count(),
        points: series().map(|series| series.column.values.len()).sum(),
    }
}

/// The time of each stage since the one before it.
struct Stages {
    begun: Instant,
    timings: Vec<(&'static str, Duration)>,
}

impl Stages {
    fn start() -> Stages {
        Stages { begun: Instant::now(), timings: Vec::with_capacity(4) }
    }

    /// How long the stage took that ended last.
    fn last(&self) -> Duration {
        self.timings.last().map_or(Duration::ZERO, |(_, time)| *time)
    }

    fn end(&mut self, name: &'static str) {
        let now = Instant::now();
        self.timings.push((name, now - self.begun));
        self.begun = now;
    }
}
