//! Formulas as written.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chart::ReadChart;
use super::{FormulaSpec, Reader};
use crate::catalog::yaml::{Node, NodeKind};
use crate::diagnostic::Diagnostic;
use crate::formula::{count_operands, parse};

/// The most operands that the expressions of a file have together. Compiling goes by them, so that a file of this many takes
/// a fraction of a second; 5,000 formulas of 100 characters have a third of them.
const MAX_OPERANDS: usize = 150_000;

impl Reader<'_> {
    /// Whether the expressions of a file may be parsed; tells it where they are too much.
    pub(super) fn affords(&mut self, formulas: &Node, entries: &[(String, &Node, &Node)]) -> bool {
        let text = |node: &Node| node.text().or_else(|| node.get("expr")?.text()).map_or(0, count_operands);
        let operands: usize = entries.iter().map(|(_, _, node)| text(node)).sum();
        if operands > MAX_OPERANDS {
            let message = format!(
                "the expressions of the file have {operands} operands together, and at most {MAX_OPERANDS} are compiled"
            );
            self.fault("expression_limit", formulas, message, "split the keyspace, or its longest expressions");
        }
        operands <= MAX_OPERANDS
    }

    pub(super) fn formula(&mut self, key: &Node, node: &Node) -> Option<FormulaSpec> {
        let (mut expr, mut description, mut chart) = (None, None, None);
        if node.text().is_some() {
            expr = Some(node);
        } else {
            for (field, value) in self.fields(node, &["expr", "description", "chart"]) {
                match field {
                    "expr" => expr = Some(value),
                    "description" => description = self.text(value),
                    _ => chart = self.chart(value),
                }
            }
        }
        let Some(node) = expr else {
            if !node.is_refused() {
                self.fault("missing_key", key, "a formula needs its expression", "write expr: \"a / b\"");
            }
            return None;
        };
        let text = self.text(node)?;
        let NodeKind::Scalar(_, place) = &node.kind else { return None };
        match parse(&text) {
            Ok(expr) => {
                let (chart, uses, chart_places) = match chart {
                    Some(ReadChart { chart, uses, places }) => (Some(chart), uses, places),
                    None => (None, Vec::new(), BTreeMap::new()),
                };
                let (location, place, expr) = (key.location.clone(), place.clone(), Arc::new(expr));
                Some(FormulaSpec { location, text, place, expr, description, chart, chart_places, uses })
            }
            Err(faults) => {
                for fault in faults {
                    let found = Diagnostic::error(fault.code, node.at(fault.span.start), fault.message);
                    self.faults.push(match fault.hint {
                        Some(hint) => found.with_hint(hint),
                        None => found,
                    });
                }
                None
            }
        }
    }
}
