//! Formulas as written.

use super::{FormulaSpec, Reader};
use crate::catalog::yaml::Node;
use crate::diagnostic::{Diagnostic, Location};
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
            self.fault("missing_key", key, "a formula needs its expression", "write expr: \"a / b\"");
            return None;
        };
        let text = self.text(node)?;
        match parse(&text) {
            Ok(expr) => {
                let expr_location = inside(node, &text, 0);
                Some(FormulaSpec { location: key.location.clone(), text, expr_location, expr, description, chart })
            }
            Err(faults) => {
                for fault in faults {
                    let mut found = Diagnostic::error(fault.code, inside(node, &text, fault.span.start), fault.message);
                    found.hint = fault.hint;
                    self.faults.push(found);
                }
                None
            }
        }
    }
}

/// The place of a byte of an expression in its file. Exact for texts on one line without escapes.
fn inside(node: &Node, text: &str, byte: usize) -> Location {
    let before = text.get(..byte).unwrap_or(text);
    let quote = usize::from(!node.plain);
    Location { column: node.location.column + quote + before.chars().count(), ..node.location.clone() }
}
