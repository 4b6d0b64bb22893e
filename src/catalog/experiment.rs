//! What a keyspace says of its experiment, checked against its metrics.

use std::collections::BTreeMap;

use serde::Serialize;

use super::spec::{ExperimentSpec, Spec};
use super::{Definition, Metric};
use crate::diagnostic::Diagnostic;
use crate::series::{Aggregate, Kind};

/// An experiment: which tag tells its variations apart, and which of them is compared with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Experiment {
    /// The tag.
    pub tag: String,
    /// The variation that the others are compared with.
    pub control: String,
    /// The share of the traffic that each variation was meant to get; they add up to 1. Empty where it is not declared.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub split: BTreeMap<String, f64>,
    /// The metric that counts what was assigned to the variations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposures: Option<String>,
}

impl Metric {
    /// Whether its values over parts of the range, or of its series, add up to its value over all of them.
    pub fn is_additive(&self) -> bool {
        self.kind == Kind::Delta && matches!(self.aggregate, Aggregate::Sum | Aggregate::Count)
    }
}

/// The experiment of a keyspace's files, and what of it and of `part_of` contradicts the metrics.
pub fn resolve(
    specs: &[&Spec],
    definitions: &BTreeMap<String, Definition>,
    faults: &mut Vec<Diagnostic>,
) -> Option<Experiment> {
    for (name, metric) in specs.iter().flat_map(|spec| &spec.metrics) {
        if let Some((whole, location)) = &metric.part_of
            && !matches!(definitions.get(whole), Some(Definition::Metric(_)))
        {
            let message = format!("`{name}` is a part of `{whole}`, which is no metric");
            let hint = "name the metric that counts the whole, such as visitors";
            faults.push(Diagnostic::error("unknown_name", location.clone(), message).with_hint(hint));
        }
    }
    let mut declared = specs.iter().filter_map(|spec| spec.experiment.as_ref());
    let spec = declared.next()?;
    if let Some(second) = declared.next() {
        let fault = Diagnostic::error("duplicate_key", second.location.clone(), "the experiment is declared twice");
        let hint = format!("it is declared first at {}", spec.location);
        faults.push(fault.with_hint(hint).with_related(spec.location.clone()));
    }
    check_tag(spec, definitions, faults);
    check_exposures(spec, definitions, faults);
    Some(Experiment {
        tag: spec.tag.0.clone(),
        control: spec.control.clone(),
        split: spec.split.iter().cloned().collect(),
        exposures: spec.exposures.as_ref().map(|(name, _)| name.clone()),
    })
}

fn check_tag(spec: &ExperimentSpec, definitions: &BTreeMap<String, Definition>, faults: &mut Vec<Diagnostic>) {
    let (tag, location) = &spec.tag;
    let metrics = definitions.values().filter_map(|definition| match definition {
        Definition::Metric(metric) => Some(metric),
        Definition::Formula(_) => None,
    });
    let mut known: Vec<&str> = metrics.flat_map(|metric| metric.group_by.iter().map(String::as_str)).collect();
    known.sort_unstable();
    known.dedup();
    if !known.contains(&tag.as_str()) {
        let message = format!("no metric is grouped by the tag `{tag}` of the experiment");
        let hint = match known.as_slice() {
            [] => format!("write group_by: [{tag}] in the metrics or under `defaults`"),
            known => format!("the metrics are grouped by {}; add `{tag}`, or mend the name", known.join(", ")),
        };
        faults.push(Diagnostic::error("unknown_tag", location.clone(), message).with_hint(hint));
    }
}

fn check_exposures(spec: &ExperimentSpec, definitions: &BTreeMap<String, Definition>, faults: &mut Vec<Diagnostic>) {
    let Some((name, location)) = &spec.exposures else { return };
    let (tag, _) = &spec.tag;
    let fault = match definitions.get(name) {
        Some(Definition::Metric(metric)) if !metric.is_additive() => {
            Some(("kind_misuse", format!("`{name}` cannot be added up"), "exposures are a delta summed or counted"))
        }
        Some(Definition::Metric(metric)) if !metric.group_by.contains(tag) => Some((
            "unknown_tag",
            format!("`{name}` is not grouped by `{tag}`"),
            "add the experiment's tag to its group_by",
        )),
        Some(Definition::Metric(_)) => None,
        _ => Some(("unknown_name", format!("`{name}` is no metric"), "name the metric that counts what was assigned")),
    };
    if let Some((code, message, hint)) = fault {
        faults.push(Diagnostic::error(code, location.clone(), message).with_hint(hint));
    }
}
