//! Advice: what is legal and surely not meant.

mod expression;

use std::collections::{BTreeMap, BTreeSet};

use super::{Builder, Spec};
use crate::catalog::parsed::ParsedFiles;
use crate::catalog::{ChartValue, Definition, Keyspace, ParameterKind};
use crate::diagnostic::{Diagnostic, Location};
use crate::formula::{ExprKind, Template};

/// Whether a file is a library: what it defines need not be used by every keyspace.
fn is_library(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with('_'))
}

/// Libraries that no keyspace looks for.
pub fn unused_libraries(files: &ParsedFiles, looked_for: &BTreeSet<String>) -> Vec<Diagnostic> {
    let unused = files.keys().filter(|path| is_library(path) && !looked_for.contains(*path));
    let message = "no keyspace includes this library";
    unused
        .map(|path| {
            Diagnostic::warning("unused_library", Location::start(path), message)
                .with_hint("include it, or remove the file")
        })
        .collect()
}

impl Builder<'_> {
    /// Everything that a sound keyspace should still be told.
    pub(super) fn lint(&mut self, specs: &[&Spec], keyspace: &Keyspace) {
        self.lint_metrics(specs, keyspace);
        self.lint_parameters(specs, keyspace);
        self.lint_orders(specs);
        for (_, formula) in specs.iter().flat_map(|spec| &spec.formulas) {
            self.lint_title(formula, keyspace);
            self.faults.extend(expression::lint(formula, keyspace));
        }
    }

    fn warn(&mut self, code: &'static str, location: &Location, message: String, hint: &str) {
        self.faults.push(Diagnostic::warning(code, location.clone(), message).with_hint(hint));
    }

    fn lint_metrics(&mut self, specs: &[&Spec], keyspace: &Keyspace) {
        let formulas = keyspace.definitions.values().filter_map(|definition| match definition {
            Definition::Formula(formula) => Some(formula),
            Definition::Metric(_) => None,
        });
        let read: BTreeSet<&str> = formulas.flat_map(|formula| &formula.metrics).map(String::as_str).collect();
        // A metric whose name holds an enum is used where one of its values is.
        let places = keyspace.definitions.values().filter_map(|definition| match definition {
            Definition::Metric(metric) if read.contains(metric.name.as_str()) => Some(&metric.location),
            _ => None,
        });
        let used: BTreeSet<&Location> = places.collect();
        let exposures = keyspace.experiment.as_ref().and_then(|experiment| experiment.exposures.as_deref());
        let wholes = specs.iter().flat_map(|spec| &spec.metrics).filter_map(|(_, metric)| metric.part_of.as_ref());
        let named: BTreeSet<&str> = wholes.map(|(whole, _)| whole.as_str()).chain(exposures).collect();
        let defaults: BTreeSet<&String> = specs.iter().flat_map(|spec| spec.default_tags.keys()).collect();
        for (name, metric) in specs.iter().flat_map(|spec| &spec.metrics) {
            if !used.contains(&metric.location) && !named.contains(name.as_str()) && !is_library(&metric.location.file)
            {
                let message = format!("no formula uses the metric `{name}`");
                self.warn("unused_metric", &metric.location, message, "use it in a formula, or remove it");
            }
            for (tag, location) in metric.taken_out.iter().filter(|(tag, _)| !defaults.contains(tag)) {
                let message = format!("`{tag}: null` takes out a default that is not there");
                self.warn("no_default", location, message, "mend the tag's name, or remove the line");
            }
        }
    }

    fn lint_parameters(&mut self, specs: &[&Spec], keyspace: &Keyspace) {
        let mut used: BTreeSet<String> = BTreeSet::new();
        let mut names: BTreeMap<&str, &Location> = BTreeMap::new();
        for spec in specs {
            let metrics = spec.metrics.iter().map(|(name, metric)| (name, &metric.location, &metric.uses));
            let formulas = spec.formulas.iter().map(|(name, formula)| (name, &formula.location, &formula.uses));
            used.extend(spec.default_uses.iter().map(|used| used.parameter.clone()));
            for (name, location, uses) in metrics.chain(formulas) {
                names.insert(name, location);
                used.extend(uses.iter().map(|used| used.parameter.clone()));
                used.extend(Template::offsets(name).into_iter().map(|(_, param)| param.to_owned()));
            }
            for expr in spec.formulas.iter().flat_map(|(_, formula)| formula.expr.walk()) {
                if let ExprKind::Name(template) | ExprKind::Text(template) = &expr.kind {
                    used.extend(template.params().map(str::to_owned));
                }
            }
        }
        for (name, location, _) in specs.iter().flat_map(|spec| &spec.parameters) {
            if !used.contains(name) && !is_library(&location.file) {
                let message = format!("nothing uses the parameter `{name}`");
                self.warn(
                    "unused_parameter",
                    location,
                    message,
                    &format!("write `${{{name}}}` where it belongs, or remove it"),
                );
            }
            if let Some(other) = names.get(name.as_str()).filter(|_| keyspace.parameters.contains_key(name)) {
                let message = format!("the parameter `${{{name}}}` has the name of what `{name}` stands for");
                let warning = Diagnostic::warning("shadowed_name", location.clone(), message);
                self.faults.push(warning.with_hint("give one of the two another name").with_related((*other).clone()));
            }
        }
    }

    /// Two charts at one place of a section.
    fn lint_orders(&mut self, specs: &[&Spec]) {
        let mut places: BTreeMap<(Option<String>, String), &Location> = BTreeMap::new();
        for (_, formula) in specs.iter().flat_map(|spec| &spec.formulas) {
            let (Some(chart), Some(location)) = (&formula.chart, formula.chart_places.get("order")) else { continue };
            let field = |name: &str| chart.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
            let Some(ChartValue::Json(order)) = field("order") else { continue };
            let section = match field("section") {
                Some(ChartValue::Text(section)) => Some(section.to_string()),
                _ => None,
            };
            let told = section
                .as_ref()
                .map_or("charts without a section".to_owned(), |section| format!("section `{section}`"));
            match places.get(&(section.clone(), order.to_string())) {
                Some(first) => {
                    let message = format!("another chart of the {told} has the order {order} too");
                    let warning = Diagnostic::warning("duplicate_order", location.clone(), message);
                    self.faults
                        .push(warning.with_hint("give one of them another order").with_related((*first).clone()));
                }
                None => drop(places.insert((section, order.to_string()), location)),
            }
        }
    }

    /// A chart that an enum changes, and whose texts do not say which value it shows.
    fn lint_title(&mut self, formula: &crate::catalog::spec::FormulaSpec, keyspace: &Keyspace) {
        let Some(title) = formula.chart_places.get("title") else { return };
        let told: BTreeSet<&str> = formula.uses.iter().map(|used| used.parameter.as_str()).collect();
        let enums: BTreeSet<&str> = formula
            .expr
            .walk()
            .filter_map(|expr| match &expr.kind {
                ExprKind::Name(template) => Some(template.params()),
                _ => None,
            })
            .flatten()
            .filter(|param| {
                let kind = keyspace.parameters.get(*param).map(|parameter| &parameter.kind);
                matches!(kind, Some(ParameterKind::Enum { .. })) && !told.contains(param)
            })
            .collect();
        for param in enums {
            let message =
                format!("the chart looks the same for every value of `{param}`, which its formula depends on");
            self.warn("title_parameter", title, message, &format!("write `${{{param}}}` into the title"));
        }
    }
}
