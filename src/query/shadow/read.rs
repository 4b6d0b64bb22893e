//! One read of a shadow: sent, compared, counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Job;
use super::difference::{self, Differences, Scope};
use crate::backend::{BackendError, Selected, Selection};
use crate::eval::Op;
use crate::plan::{self, Plan};
use crate::telemetry::{FormulaOutcome, Metrics, ShadowOutcome};

/// What a read came to.
pub type Found = Result<Compared, Failure>;

/// Why a shadow did not answer.
#[derive(Debug)]
pub struct Failure {
    pub outcome: ShadowOutcome,
    pub reason: String,
}

/// What a comparison came to.
#[derive(Debug)]
pub struct Compared {
    /// How long the shadow took.
    pub time: Duration,
    /// Each formula of the answer, in its order.
    pub formulas: Vec<ComparedFormula>,
    /// What was read, and what differs in it, by the selections of the answer.
    pub selections: Vec<(Selection, Result<Differences, String>)>,
}

/// One formula, compared by all that it reads.
#[derive(Debug)]
pub struct ComparedFormula {
    pub formula: String,
    pub outcome: FormulaOutcome,
    /// Indices of [`Compared::selections`].
    pub selections: Vec<usize>,
}

/// Asks the shadow for what was asked of the first database, and compares.
pub async fn run(job: &Job) -> Found {
    // Planned anew for each, because a metric may be mapped in another way there. A plan of what was planned before succeeds.
    let failed = |reason: String| Failure { outcome: ShadowOutcome::Error, reason };
    let own = plan::plan(&job.primary.context(), &job.request).map_err(|error| failed(error.to_string()))?;
    let there = plan::plan(&job.shadow.context(), &job.request).map_err(|error| failed(error.to_string()))?;
    let batch = there.batch(job.shadow.limits());
    let deadline = job.shadow.setup.config.shadow_limits.deadline;
    let begun = Instant::now();
    let selected = match tokio::time::timeout(deadline, job.shadow.backend.select(&batch)).await {
        Ok(Ok(selected)) => selected,
        Ok(Err(error @ BackendError::Timeout { .. })) => {
            return Err(Failure { outcome: ShadowOutcome::Timeout, reason: error.to_string() });
        }
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => {
            let reason = format!("no answer within {} ms", deadline.as_millis());
            return Err(Failure { outcome: ShadowOutcome::Timeout, reason });
        }
    };
    Ok(compare(job, own, &there, &selected, begun.elapsed()))
}

fn compare(job: &Job, own: Plan, there: &Plan, selected: &Selected, time: Duration) -> Compared {
    let counterparts = counterparts(&own, there);
    let retained = job.primary.retained_from().max(job.shadow.retained_from()).unwrap_or(i64::MIN);
    let settled = job.primary.now.saturating_sub(job.primary.keyspace.settle);
    let differences = |(index, selection): (usize, &Selection)| {
        // What the first database could not answer has nothing to be compared with.
        let Some(frame) = job.frames.get(index).and_then(Option::as_ref) else { return Ok(Differences::default()) };
        let counterpart = counterparts[index].and_then(|counterpart| selected.frames.get(counterpart));
        let other = counterpart.ok_or_else(|| "it is not read there".to_owned())?;
        let other = other.as_ref().map_err(ToString::to_string)?;
        Ok(difference::compare(selection, &Scope::new(selection, retained, settled), frame, other))
    };
    let found: Vec<Result<Differences, String>> = own.selections.iter().enumerate().map(differences).collect();
    let formulas = own.entries.into_iter().filter_map(|entry| {
        let planned = entry.outcome.ok()?;
        let answered = planned.selections.iter().all(|index| matches!(job.frames.get(*index), Some(Some(_))));
        let outcome = outcome(planned.selections.iter().filter_map(|index| found.get(*index)));
        (answered && !planned.selections.is_empty()).then_some(ComparedFormula {
            formula: entry.formula,
            outcome,
            selections: planned.selections,
        })
    });
    let formulas = formulas.collect();
    Compared { time, formulas, selections: own.selections.into_iter().zip(found).collect() }
}

fn outcome<'f>(found: impl Iterator<Item = &'f Result<Differences, String>>) -> FormulaOutcome {
    let mut outcome = FormulaOutcome::Agrees;
    for found in found {
        match found {
            Err(_) => return FormulaOutcome::Failed,
            Ok(differences) if !differences.is_empty() => outcome = FormulaOutcome::Differs,
            Ok(_) => {}
        }
    }
    outcome
}

/// For each selection of one plan the same read in the other: of the same metric, but for its mapping.
fn counterparts(own: &Plan, there: &Plan) -> Vec<Option<usize>> {
    let inputs = |plan: &Plan| -> Vec<(Arc<str>, usize)> {
        let inputs = plan.program.nodes.iter().filter_map(|node| match &node.op {
            Op::Input { input, label, .. } => Some((Arc::clone(label), *input)),
            _ => None,
        });
        inputs.collect()
    };
    let unmapped = |selection: &Selection| Selection { mapping: String::new(), ..selection.clone() };
    let theirs: HashMap<(Arc<str>, Selection), usize> = inputs(there)
        .into_iter()
        .filter_map(|(label, input)| Some(((label, unmapped(there.selections.get(input)?)), input)))
        .collect();
    let mut found = vec![None; own.selections.len()];
    for (label, input) in inputs(own) {
        if let Some(selection) = own.selections.get(input) {
            found[input] = found[input].or_else(|| theirs.get(&(label, unmapped(selection))).copied());
        }
    }
    found
}

/// Counts what a read came to.
pub fn count(job: &Job, found: &Found, metrics: &Metrics) {
    let (metrics, keyspace, shadow) = (&metrics.shadow, &job.shadow.keyspace.name, job.shadow.backend.name());
    let compared = match found {
        Err(failure) => return metrics.read(keyspace, shadow, failure.outcome),
        Ok(compared) => compared,
    };
    metrics.read(keyspace, shadow, ShadowOutcome::Compared);
    metrics.times(keyspace, (job.primary.backend.name(), job.time), (shadow, compared.time));
    for formula in &compared.formulas {
        metrics.formula(keyspace, &formula.formula, formula.outcome);
        for index in &formula.selections {
            let Some((_, Ok(differences))) = compared.selections.get(*index) else { continue };
            for (kind, count) in differences.counts().into_iter().filter(|(_, count)| *count > 0) {
                metrics.differences(keyspace, &formula.formula, kind.as_str(), count);
            }
        }
    }
}
