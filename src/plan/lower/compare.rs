//! What it takes to compare a formula's variations: its two sides, and whether one counts a part of the other.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Bindings, FrameId, Lowering};
use crate::catalog::{Chart, ChartValue, Definition, Experiment, Formula, Metric};
use crate::eval::{NodeId, Op};
use crate::formula::{BinaryOp, Function};
use crate::series::Aggregate;

/// A formula that is the quotient of two sums, and what its variations are compared by.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedComparison {
    /// What is divided.
    pub numerator: NodeId,
    /// What it is divided by.
    pub denominator: NodeId,
    /// What was assigned to the variations, and its name.
    pub exposures: (NodeId, String),
    /// Whether the numerator counts a part of the denominator, so that its rate can be tested.
    pub proportion: Proportionality,
}

/// Whether a numerator counts some of what its denominator counts, each at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proportionality {
    /// The keyspace says so with `part_of`.
    Declared,
    /// Nothing says otherwise: both may be counts.
    Assumed,
    /// It does not, or what is divided by was not what was assigned: a stable identifier.
    None(&'static str),
}

/// The sides of a quotient: the names of the metrics that are added up.
type Names = BTreeSet<Arc<str>>;

impl<'a> Lowering<'a> {
    /// What comparing the variations of a formula takes.
    ///
    /// # Errors
    /// Why it cannot be compared, as a sentence.
    pub(super) fn comparison(
        &mut self,
        formula: &Formula,
        output: NodeId,
        bindings: &Bindings<'a>,
    ) -> Result<PlannedComparison, String> {
        let Some(experiment) = &self.context.keyspace.experiment else {
            return Err("the keyspace declares no `experiment`".to_owned());
        };
        let quotient = "only a formula that is the quotient of two sums is compared, such as customers / visitors";
        let node = &self.program.nodes[output.0 as usize];
        let Op::Binary(BinaryOp::Div, [numerator, denominator]) = node.op else { return Err(quotient.to_owned()) };
        let (Some(above), Some(below)) = (self.summed(numerator), self.summed(denominator)) else {
            return Err(quotient.to_owned());
        };
        let tags = Arc::clone(&node.tags);
        let grouped = [numerator, denominator].iter().all(|side| *self.tags(*side) == tags);
        if !grouped || !tags.contains(&experiment.tag) {
            return Err(format!("both sides must be grouped by `{}` and the same further tags", experiment.tag));
        }
        let proportion = self.proportionality(formula, &above, &below, experiment);
        let exposures = match &experiment.exposures {
            None => (denominator, below.iter().map(|name| name.as_ref()).collect::<Vec<&str>>().join(" + ")),
            Some(name) => {
                let Some(Definition::Metric(metric)) = bindings.keyspace().definitions.get(name) else {
                    return Err(format!("`{name}`, the experiment's exposures, is no metric"));
                };
                let node = self.metric(metric, bindings, FrameId(0)).map_err(|error| error.detail)?;
                (node, name.clone())
            }
        };
        Ok(PlannedComparison { numerator, denominator, exposures, proportion })
    }

    /// The metrics that a node adds up: additive ones of the answer's own range, joined by `+` and `sum_by`.
    fn summed(&self, node: NodeId) -> Option<Names> {
        let mut names = Names::new();
        let mut pending = vec![node];
        let mut seen = BTreeSet::new();
        while let Some(node) = pending.pop() {
            // What is added twice counts each of its things twice.
            if !seen.insert(node) {
                return None;
            }
            let node = &self.program.nodes[node.0 as usize];
            match &node.op {
                Op::Input { label, .. } if node.frame == FrameId(0) && self.named(label)?.is_additive() => {
                    if !names.insert(Arc::clone(label)) {
                        return None;
                    }
                }
                Op::Binary(BinaryOp::Add, operands) => pending.extend(operands),
                Op::Fold(Function::SumBy, operand) => pending.push(*operand),
                _ => return None,
            }
        }
        Some(names)
    }

    fn named(&self, name: &str) -> Option<&'a Metric> {
        match self.context.keyspace.definitions.get(name)? {
            Definition::Metric(metric) => Some(metric),
            Definition::Formula(_) => None,
        }
    }

    fn proportionality(
        &self,
        formula: &Formula,
        above: &Names,
        below: &Names,
        experiment: &Experiment,
    ) -> Proportionality {
        let single = |names: &Names| names.first().filter(|_| names.len() == 1).and_then(|name| self.named(name));
        let whole = single(below);
        let is_whole =
            |name: &str| whole.zip(self.named(name)).is_some_and(|(whole, named)| adds_up_the_same(whole, named));
        if experiment.exposures.as_deref().is_some_and(|exposures| !is_whole(exposures)) {
            return Proportionality::None("not_the_exposures");
        }
        let part_of = single(above).and_then(|part| part.part_of.as_deref());
        if part_of.is_some_and(is_whole) {
            return Proportionality::Declared;
        }
        let counts = |names: &Names| names.iter().all(|name| self.named(name).is_some_and(may_count));
        let charted = formula.chart.as_ref().is_none_or(may_be_a_share);
        match part_of.is_none() && charted && counts(above) && counts(below) {
            true => Proportionality::Assumed,
            false => Proportionality::None("not_a_proportion"),
        }
    }
}

/// Whether two metrics add up the same stored points, whatever they are called and grouped by.
fn adds_up_the_same(a: &Metric, b: &Metric) -> bool {
    let read = |metric: &'_ Metric| (metric.kind, metric.aggregate);
    a.name == b.name
        || (read(a) == read(b)
            && (&a.series, &a.tags, &a.bound, &a.backends) == (&b.series, &b.tags, &b.bound, &b.backends))
}

/// Whether nothing says that a metric is anything but a count.
fn may_count(metric: &Metric) -> bool {
    metric.aggregate == Aggregate::Count || metric.unit.as_deref().is_none_or(|unit| unit == "count")
}

/// Whether a chart does not say that it shows something else than a share.
fn may_be_a_share(chart: &Chart) -> bool {
    let unit = chart.fields.iter().find(|(name, _)| name == "unit").map(|(_, value)| value);
    match unit {
        Some(ChartValue::Json(unit)) => matches!(unit.as_str(), Some("percent" | "number")),
        _ => true,
    }
}
