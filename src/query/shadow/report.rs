//! What operators are shown of the shadows.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value, json};

use super::Job;
use super::difference::Difference;
use super::read::{Compared, Found};
use crate::backend::Selection;
use crate::plan::{self, Entry, Formulas, Request};
use crate::telemetry::FormulaOutcome;

/// Differences that are kept, the last ones.
const KEPT: usize = 100;
/// Of one read at most so many, so that one bad request leaves room for others.
const KEPT_OF_READ: usize = 10;

/// What the reads of shadows came to since the start.
#[derive(Debug, Default)]
pub struct Report {
    /// Reads that were never sent.
    pub dropped: u64,
    keyspaces: BTreeMap<String, Keyspace>,
    differences: VecDeque<Value>,
}

#[derive(Debug, Default)]
struct Keyspace {
    compared: u64,
    failed: u64,
    agreeing: u64,
    differing: u64,
    not_answered: u64,
    /// Why the last read failed, if it did.
    failure: Option<String>,
}

impl Report {
    /// Remembers what a read came to. A shadow that begins to fail, or is well again, is logged once.
    pub fn take(&mut self, job: &Job, found: Found) {
        let name = &job.shadow.keyspace.name;
        let (keyspace, shadow) = (self.keyspaces.entry(name.clone()).or_default(), job.shadow.backend.name());
        let compared = match found {
            Err(failure) => {
                keyspace.failed += 1;
                if keyspace.failure.is_none() {
                    tracing::warn!(keyspace = name, shadow, reason = failure.reason, "the shadow fails");
                }
                keyspace.failure = Some(failure.reason);
                return;
            }
            Ok(compared) => compared,
        };
        if keyspace.failure.take().is_some() {
            tracing::info!(keyspace = name, shadow, "the shadow answers again");
        }
        keyspace.compared += 1;
        for formula in &compared.formulas {
            match formula.outcome {
                FormulaOutcome::Agrees => keyspace.agreeing += 1,
                FormulaOutcome::Differs => keyspace.differing += 1,
                FormulaOutcome::Failed => keyspace.not_answered += 1,
            }
        }
        for record in records(job, &compared).into_iter().take(KEPT_OF_READ) {
            if self.differences.len() == KEPT {
                self.differences.pop_front();
            }
            self.differences.push_back(record);
        }
    }

    /// As an operator reads it, the last difference first.
    pub fn to_json(&self, waiting: usize, under_way: usize) -> Value {
        let keyspaces = self.keyspaces.iter().map(|(name, keyspace)| {
            let mut facts = json!({
                "reads_compared": keyspace.compared,
                "reads_failed": keyspace.failed,
                "formulas_agreeing": keyspace.agreeing,
                "formulas_differing": keyspace.differing,
                "formulas_not_answered": keyspace.not_answered,
            });
            if let Some(failure) = &keyspace.failure {
                facts["failure"] = failure.as_str().into();
            }
            (name.clone(), facts)
        });
        json!({
            "waiting": waiting,
            "under_way": under_way,
            "dropped": self.dropped,
            "keyspaces": keyspaces.collect::<Map<String, Value>>(),
            "differences": self.differences.iter().rev().collect::<Vec<&Value>>(),
        })
    }
}

/// What differs or was not answered, each with the formulas that show it and the request.
fn records(job: &Job, compared: &Compared) -> Vec<Value> {
    let request = replayable(job);
    let mut records = Vec::new();
    for (index, (selection, found)) in compared.selections.iter().enumerate() {
        let formulas = compared.formulas.iter().filter(|formula| formula.selections.contains(&index));
        let formulas: Vec<&str> = formulas.map(|formula| formula.formula.as_str()).collect();
        let about = json!({
            "at": job.primary.now,
            "keyspace": job.primary.keyspace.name,
            "formulas": formulas,
            "backend": job.primary.backend.name(),
            "shadow": job.shadow.backend.name(),
            "series": selection.series,
            "filter": selection.filter,
            "aggregate": selection.aggregate.to_string(),
            "request": request,
        });
        match found {
            Ok(differences) => {
                let shown = differences.shown.iter().map(|difference| record(about.clone(), selection, difference));
                records.extend(shown);
            }
            Err(reason) => {
                let mut about = about;
                about["kind"] = "not_answered".into();
                about["reason"] = reason.as_str().into();
                records.push(about);
            }
        }
    }
    records
}

fn record(mut about: Value, selection: &Selection, difference: &Difference) -> Value {
    let tags = selection.group_by.iter().zip(&difference.key);
    about["kind"] = difference.kind.as_str().into();
    about["tags"] =
        tags.map(|(tag, value)| (tag.clone(), Value::from(&**value))).collect::<Map<String, Value>>().into();
    about["timestamp"] = difference.timestamp.into();
    about["value"] = difference.primary.into();
    about["shadow_value"] = difference.shadow.into();
    about
}

/// The request as anybody can send it again: with its times as they were, not relative to now.
fn replayable(job: &Job) -> Value {
    let Request { formulas, step, timezone, max_points, summary, params, .. } = &job.request;
    let zone = timezone.as_deref().and_then(plan::timezone).unwrap_or_else(|| job.primary.keyspace.timezone.clone());
    // A request that was answered has a range.
    let (from, to) = plan::range(&job.primary.context(), &job.request, &zone).unwrap_or_default();
    let mut request =
        json!({ "formulas": entries(formulas), "from": from, "to": to, "summary": summary, "params": params });
    if let Some(step) = step {
        request["step"] = step.to_string().into();
    }
    if let Some(timezone) = timezone {
        request["timezone"] = timezone.as_str().into();
    }
    if let Some(points) = max_points {
        request["max_points"] = (*points).into();
    }
    request
}

fn entries(formulas: &Formulas) -> Value {
    let entry = |entry: &Entry| match entry {
        Entry { formula, name: None, params } if params.is_empty() => json!(formula),
        Entry { formula, name, params } => {
            json!({ "formula": formula, "name": name.as_deref().unwrap_or(formula), "params": params })
        }
    };
    match formulas {
        Formulas::All => json!("*"),
        Formulas::Entries(entries) => entries.iter().map(entry).collect(),
    }
}
