//! The tags of every node of a formula: operands that cannot be joined, functions that a kind does not bear.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::graph::{Draft, values_of};
use super::{Builder, Parameters};
use crate::catalog::Definition;
use crate::formula::{BinaryOp, Expr, ExprKind, Function, FunctionClass};
use crate::series::Kind;

/// What is known of the formulas that are finished.
#[derive(Default)]
pub struct Inferred {
    /// Formulas whose tags nobody can know, since something below them is a fault.
    unknown: BTreeSet<String>,
    /// Formulas that are a distinct count, with the metric that counts.
    distinct: HashMap<String, Arc<str>>,
}

/// What is known of a node.
#[derive(Debug, Clone, Default)]
struct Known {
    /// `None` where something below it is a fault that is told already.
    tags: Option<Arc<[String]>>,
    /// The metric that counts things that may repeat, where the node is such a count.
    distinct: Option<Arc<str>>,
}

/// The formula that is looked at, and what it can refer to.
#[derive(Clone, Copy)]
struct Scope<'s> {
    draft: &'s Draft<'s>,
    definitions: &'s std::collections::BTreeMap<String, Definition>,
    parameters: &'s Parameters,
}

type Side<'e> = (&'e Expr, Known);

impl Builder<'_> {
    /// The names of the tags of a formula's series; operands that cannot be joined are errors.
    pub(super) fn tags(
        &mut self,
        draft: &Draft<'_>,
        definitions: &std::collections::BTreeMap<String, Definition>,
        parameters: &Parameters,
        inferred: &mut Inferred,
    ) -> Arc<[String]> {
        let scope = Scope { draft, definitions, parameters };
        let root = draft.spec.expr.fold(|expr, operands| self.known(scope, expr, operands, inferred));
        inferred.distinct.extend(root.distinct.map(|metric| (draft.formula.name.clone(), metric)));
        root.tags.unwrap_or_else(|| {
            inferred.unknown.insert(draft.formula.name.clone());
            Arc::new([])
        })
    }

    /// What is known of a node from what is known of its operands.
    fn known(&mut self, scope: Scope<'_>, expr: &Expr, operands: Vec<Known>, inferred: &Inferred) -> Known {
        let mut operands = operands.into_iter();
        let mut operand = || operands.next().unwrap_or_default();
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::Null | ExprKind::Text(_) => {
                Known { tags: Some(Arc::new([])), distinct: None }
            }
            ExprKind::Name(_) => self.of_name(scope, expr, inferred),
            ExprKind::Unary(..) => operand(),
            ExprKind::Binary(op, a, b) => {
                let (left, right) = (operand(), operand());
                let scales = |other: &Expr| matches!(other.kind, ExprKind::Number(_));
                let distinct = match op {
                    BinaryOp::Mul | BinaryOp::Div if scales(b) => left.distinct.clone(),
                    BinaryOp::Mul if scales(a) => right.distinct.clone(),
                    BinaryOp::Add | BinaryOp::Sub => left.distinct.clone().or_else(|| right.distinct.clone()),
                    _ => None,
                };
                Known { tags: self.join(scope, &[(a, left), (b, right)]), distinct }
            }
            ExprKind::Call(function, arguments) if function.class() == FunctionClass::Point => {
                let sides: Vec<Side<'_>> = arguments.iter().zip(operands).collect();
                let distinct = sides.iter().find_map(|(_, known)| known.distinct.clone());
                Known { tags: self.join(scope, &sides), distinct }
            }
            ExprKind::Call(function, arguments) => {
                let operand = operand();
                if let (Some(first), Some(metric)) = (arguments.first(), &operand.distinct) {
                    self.check_additive(scope, *function, first, metric);
                }
                self.of_call(scope, *function, arguments, operand)
            }
        }
    }

    fn of_name(&mut self, scope: Scope<'_>, expr: &Expr, inferred: &Inferred) -> Known {
        let ExprKind::Name(template) = &expr.kind else { return Known::default() };
        let names = values_of(template, scope.draft.formula.bound.as_ref(), scope.parameters);
        let mut all: BTreeSet<Arc<[String]>> = BTreeSet::new();
        let mut distinct = None;
        for name in &names {
            match scope.definitions.get(name) {
                Some(Definition::Metric(metric)) => {
                    all.insert(Arc::clone(&metric.group_by));
                    if metric.kind == Kind::Distinct {
                        distinct = Some(Arc::from(name.as_str()));
                    }
                }
                Some(Definition::Formula(formula)) if !inferred.unknown.contains(name) => {
                    all.insert(Arc::clone(&formula.tags));
                    distinct = distinct.or_else(|| inferred.distinct.get(name).cloned());
                }
                _ => return Known::default(),
            }
        }
        if all.len() > 1 {
            let shown: Vec<String> = all.iter().take(3).map(|tags| format!("[{}]", tags.join(", "))).collect();
            let message =
                format!("the values of `{template}` lead to series with different tags: {}", shown.join(", "));
            let hint = "group all that the enum leads to by the same tags";
            self.error("unjoinable", &scope.draft.spec.at(expr.span.start), message, hint);
            return Known::default();
        }
        // A number parameter alone leads to no name, and has no tags.
        Known { tags: Some(all.into_iter().next_back().unwrap_or_else(|| Arc::new([]))), distinct }
    }

    /// The tags of a function over time or across series, from those of its operand.
    fn of_call(&mut self, scope: Scope<'_>, function: Function, arguments: &[Expr], operand: Known) -> Known {
        use Function::{AvgBy, Baseline, CountBy, Lift, MaxBy, MinBy, SumBy};
        let named: &[Expr] = match function {
            SumBy | AvgBy | MinBy | MaxBy | CountBy => arguments.get(1..).unwrap_or_default(),
            Baseline | Lift => arguments.get(1..2).unwrap_or_default(),
            _ => return operand,
        };
        let Some(tags) = &operand.tags else { return Known::default() };
        let mut names: BTreeSet<String> = BTreeSet::new();
        for argument in named {
            let ExprKind::Text(template) = &argument.kind else { continue };
            let Some(name) = template.as_literal() else { continue };
            if !tags.iter().any(|tag| tag == name) {
                let message = format!("`{}` names the tag `{name}`, which its operand does not have", function.name());
                let hint = match tags.is_empty() {
                    true => "its series have no tags: give its metrics a `group_by`".to_owned(),
                    false => format!("its tags are {}", tags.join(", ")),
                };
                self.error("unknown_tag", &scope.draft.spec.at(argument.span.start), message, &hint);
                return Known::default();
            }
            names.insert(name.to_owned());
        }
        let tags: Arc<[String]> = match function {
            Lift => Arc::clone(tags),
            Baseline => tags.iter().filter(|tag| !names.contains(*tag)).cloned().collect(),
            _ => names.into_iter().collect(),
        };
        let keeps = matches!(function, MaxBy | MinBy | AvgBy | Baseline);
        Known { tags: Some(tags), distinct: operand.distinct.filter(|_| keeps) }
    }

    /// Refuses to add up what counts things that may repeat.
    fn check_additive(&mut self, scope: Scope<'_>, function: Function, operand: &Expr, metric: &str) {
        use Function::{Cumulative, MovingSum, Share, SumBy};
        if matches!(function, Cumulative | MovingSum | Share | SumBy) {
            let name = function.name();
            let message = format!("`{name}` adds up `{metric}`, which counts distinct things that may repeat");
            let hint = "store the count at the level that is asked for, or use max_by or avg_by";
            self.error("not_additive", &scope.draft.spec.at(operand.span.start), message, hint);
        }
    }

    /// The tags of operands side by side: those of the one that has most, which the others repeat.
    fn join(&mut self, scope: Scope<'_>, sides: &[Side<'_>]) -> Option<Arc<[String]>> {
        let known = sides.iter().map(|(expr, known)| Some((*expr, known.tags.as_ref()?)));
        let known = known.collect::<Option<Vec<_>>>()?;
        let (_, most) = known.iter().max_by_key(|(_, tags)| tags.len())?;
        for (expr, tags) in &known {
            if let Some(lacking) = tags.iter().find(|tag| !most.contains(tag)) {
                let (one, other) = (tags.join(", "), most.join(", "));
                let message = format!("operands cannot be joined: one has the tags [{one}], the other [{other}]");
                let hint = format!("group both by the same tags, or take `{lacking}` away with sum_by, avg_by, …");
                self.error("unjoinable", &scope.draft.spec.at(expr.span.start), message, &hint);
                return None;
            }
        }
        Some(Arc::clone(most))
    }
}
