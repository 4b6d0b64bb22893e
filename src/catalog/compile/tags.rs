//! The tags of every node of a formula: operands that cannot be joined, functions that a kind does not bear.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::graph::{Draft, place, values_of};
use super::{Builder, Parameters};
use crate::catalog::Definition;
use crate::formula::{Expr, ExprKind, Function, FunctionClass};
use crate::series::Kind;

impl Builder<'_> {
    /// The names of the tags of a formula's series; operands that cannot be joined are errors.
    pub(super) fn tags(
        &mut self,
        draft: &Draft<'_>,
        definitions: &BTreeMap<String, Definition>,
        parameters: &Parameters,
    ) -> Arc<[String]> {
        // Children come after their parents in the walk, so that in reverse every operand is known before its user.
        let order: Vec<&Expr> = draft.spec.expr.walk().collect();
        let mut known: std::collections::HashMap<*const Expr, Arc<[String]>> = std::collections::HashMap::new();
        let none: Arc<[String]> = Arc::new([]);
        for expr in order.iter().rev() {
            let of = |child: &Expr| known.get(&std::ptr::from_ref(child)).cloned().unwrap_or_else(|| Arc::clone(&none));
            let tags = match &expr.kind {
                ExprKind::Number(_) | ExprKind::Null | ExprKind::Text(_) => Arc::clone(&none),
                ExprKind::Name(template) => {
                    let names = values_of(template, draft.formula.bound.as_ref(), parameters);
                    let all = names.iter().filter_map(|name| match definitions.get(name)? {
                        Definition::Metric(metric) => Some(Arc::clone(&metric.group_by)),
                        Definition::Formula(formula) => Some(Arc::clone(&formula.tags)),
                    });
                    let all: BTreeSet<Arc<[String]>> = all.collect();
                    if all.len() > 1 {
                        let message = format!("the values of `{template}` lead to series with different tags");
                        self.error(
                            "unjoinable",
                            &place(draft.spec, &expr.span),
                            message,
                            "group all of them by the same tags",
                        );
                    }
                    all.into_iter().next_back().unwrap_or_else(|| Arc::clone(&none))
                }
                ExprKind::Unary(_, a) => of(a),
                ExprKind::Binary(_, a, b) => self.join(draft, &[(a, of(a)), (b, of(b))]),
                ExprKind::Call(function, arguments) if function.class() == FunctionClass::Point => {
                    let sides: Vec<(&Expr, Arc<[String]>)> =
                        arguments.iter().map(|argument| (argument, of(argument))).collect();
                    self.join(draft, &sides)
                }
                ExprKind::Call(function, arguments) => {
                    let operand = arguments.first().map_or_else(|| Arc::clone(&none), of);
                    if let Some(first) = arguments.first() {
                        self.check_kinds(draft, *function, first, definitions, parameters);
                    }
                    self.tags_of_call(draft, *function, arguments, operand)
                }
            };
            known.insert(std::ptr::from_ref(*expr), tags);
        }
        known.remove(&std::ptr::from_ref(&draft.spec.expr)).unwrap_or(none)
    }

    /// The tags of a function over time or across series, from those of its operand.
    pub(super) fn tags_of_call(
        &mut self,
        draft: &Draft<'_>,
        function: Function,
        arguments: &[Expr],
        operand: Arc<[String]>,
    ) -> Arc<[String]> {
        use Function::{AvgBy, Baseline, CountBy, Lift, MaxBy, MinBy, SumBy};
        let named: &[Expr] = match function {
            SumBy | AvgBy | MinBy | MaxBy | CountBy => arguments.get(1..).unwrap_or_default(),
            Baseline | Lift => arguments.get(1..2).unwrap_or_default(),
            _ => return operand,
        };
        let mut names: BTreeSet<String> = BTreeSet::new();
        for argument in named {
            let ExprKind::Text(template) = &argument.kind else { continue };
            let Some(name) = template.as_literal() else { continue };
            if !operand.iter().any(|tag| tag == name) {
                let message = format!("`{}` names the tag `{name}`, which its operand does not have", function.name());
                let hint = match operand.is_empty() {
                    true => "its series have no tags; give its metrics a `group_by`".to_owned(),
                    false => format!("its tags are {}", operand.join(", ")),
                };
                self.error("unknown_tag", &place(draft.spec, &argument.span), message, &hint);
            }
            names.insert(name.to_owned());
        }
        match function {
            Lift => operand,
            Baseline => operand.iter().filter(|tag| !names.contains(*tag)).cloned().collect(),
            _ => names.into_iter().collect(),
        }
    }

    /// Refuses to add up what counts things that may repeat.
    pub(super) fn check_kinds(
        &mut self,
        draft: &Draft<'_>,
        function: Function,
        operand: &Expr,
        definitions: &BTreeMap<String, Definition>,
        parameters: &Parameters,
    ) {
        use Function::{AvgBy, Cumulative, MovingAvg, MovingSum, Share, SumBy};
        let adds = matches!(function, AvgBy | Cumulative | MovingAvg | MovingSum | Share | SumBy);
        let ExprKind::Name(template) = &operand.kind else { return };
        let names = values_of(template, draft.formula.bound.as_ref(), parameters);
        let distinct = names.iter().find(
            |name| matches!(definitions.get(*name), Some(Definition::Metric(metric)) if metric.kind == Kind::Distinct),
        );
        if let (true, Some(name)) = (adds, distinct) {
            let message =
                format!("`{}` adds up `{name}`, which counts distinct things that may repeat", function.name());
            let hint = "store the count at the level that is asked for, or use max_by";
            self.error("not_additive", &place(draft.spec, &operand.span), message, hint);
        }
    }

    pub(super) fn join(&mut self, draft: &Draft<'_>, sides: &[(&Expr, Arc<[String]>)]) -> Arc<[String]> {
        let Some((_, most)) = sides.iter().max_by_key(|(_, tags)| tags.len()) else { return Arc::new([]) };
        for (expr, tags) in sides {
            if !tags.iter().all(|tag| most.contains(tag)) {
                let message = format!(
                    "operands cannot be joined: one has the tags [{}], the other [{}]",
                    tags.join(", "),
                    most.join(", ")
                );
                self.error(
                    "unjoinable",
                    &place(draft.spec, &expr.span),
                    message,
                    "group both by the same tags, or one by fewer of them",
                );
            }
        }
        Arc::clone(most)
    }
}
