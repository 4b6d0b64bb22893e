//! Formulas as written.

use std::collections::BTreeMap;

use super::chart::ReadChart;
use super::{FormulaSpec, Reader};
use crate::catalog::yaml::{Node, NodeKind};
use crate::diagnostic::Diagnostic;
use crate::formula::parse;

impl Reader<'_> {
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
                let (location, place) = (key.location.clone(), place.clone());
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
