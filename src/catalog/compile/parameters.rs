//! Whether parameters can complete the templates that they stand in.

use super::graph::Draft;
use super::{Builder, Parameters, Spec};
use crate::catalog::spec::Use;
use crate::catalog::{Chart, ChartValue, Parameter, ParameterKind};
use crate::diagnostic::{Location, nearest};
use crate::formula::{ExprKind, Function, Template};

impl Builder<'_> {
    /// Checks the parameters in the texts of defaults, metrics and charts.
    pub(super) fn check_uses(&mut self, specs: &[&Spec], parameters: &Parameters) {
        for spec in specs {
            let metrics = spec.metrics.iter().flat_map(|(_, metric)| &metric.uses);
            let charts = spec.formulas.iter().flat_map(|(_, formula)| &formula.uses);
            spec.default_uses.iter().chain(metrics).chain(charts).for_each(|used| self.check_use(used, parameters));
        }
    }

    fn check_use(&mut self, used: &Use, parameters: &Parameters) {
        let name = &used.parameter;
        match parameters.get(name) {
            None => self.unknown_parameter(name, &used.location, parameters),
            Some(parameter) if parameter.optional && parameter.default.is_none() && !used.optional => {
                let message = format!("a stored name cannot hold the optional parameter `{name}`");
                self.error("optional_parameter", &used.location, message, "give it a default, or make it required");
            }
            Some(_) => {}
        }
    }

    pub(super) fn unknown_parameter(&mut self, name: &str, location: &Location, parameters: &Parameters) {
        if !self.whole || self.unread_parameters.contains(name) {
            return;
        }
        let hint = match nearest(name, parameters.keys().map(String::as_str)) {
            Some(nearest) => format!("did you mean `${{{nearest}}}`?"),
            None => {
                format!("declare it: parameters: {{ {name}: {{ type: string }} }}; for a literal `${{` write `$${{`")
            }
        };
        self.error("unknown_parameter", location, format!("`${{{name}}}` is not declared"), &hint);
    }

    /// Checks the parameters in an expression.
    pub(super) fn check_parameters(&mut self, draft: &Draft<'_>, parameters: &Parameters) {
        let own = draft.formula.bound.as_ref().map(|(name, _)| name.as_str());
        for expr in draft.spec.expr.walk() {
            match &expr.kind {
                ExprKind::Name(template) | ExprKind::Text(template) => {
                    let offsets = Template::offsets(&draft.spec.text[expr.span.clone()]);
                    let is_name = matches!(expr.kind, ExprKind::Name(_));
                    let alone = template.as_param().is_some();
                    for (offset, param) in offsets.into_iter().filter(|(_, param)| Some(*param) != own) {
                        let location = draft.spec.at(expr.span.start + offset);
                        self.check_in_expression(param, is_name.then_some(alone), &location, parameters);
                    }
                }
                ExprKind::Call(Function::TopK, arguments) => {
                    let count = arguments.get(1).filter(|count| matches!(count.kind, ExprKind::Name(_)));
                    let Some((count, ExprKind::Name(template))) = count.map(|count| (count, &count.kind)) else {
                        continue;
                    };
                    let kind =
                        template.as_param().and_then(|param| parameters.get(param)).map(|parameter| &parameter.kind);
                    if kind.is_some_and(|kind| !matches!(kind, ParameterKind::Number { .. })) {
                        let message = "how many series `topk` keeps must be a number".to_owned();
                        let location = draft.spec.at(count.span.start);
                        self.error("wrong_parameter", &location, message, "give the parameter type: number");
                    }
                }
                _ => {}
            }
        }
    }

    /// A parameter in an identifier, alone or not, or in a string.
    fn check_in_expression(
        &mut self,
        name: &str,
        identifier: Option<bool>,
        location: &Location,
        parameters: &Parameters,
    ) {
        match (parameters.get(name), identifier) {
            (None, _) => self.unknown_parameter(name, location, parameters),
            (Some(parameter), _) if parameter.optional && parameter.default.is_none() => {
                let message = format!("the optional parameter `{name}` can only fill tags and titles");
                self.error("optional_parameter", location, message, "give it a default, or make it required");
            }
            (Some(Parameter { kind: ParameterKind::String { .. }, .. }), Some(_)) => {
                let message = format!("`{name}` is a string, which can name no metric or formula");
                let hint = "make it an enum whose values lead to defined names, or a number";
                self.error("wrong_parameter", location, message, hint);
            }
            (Some(Parameter { kind: ParameterKind::Number { .. }, .. }), Some(false)) => {
                let message = format!("the number `{name}` cannot be a part of a name");
                self.error("wrong_parameter", location, message, "make it an enum, or use the number alone");
            }
            (Some(_), _) => {}
        }
    }
}

/// The parameters in a chart's texts.
pub fn chart_params(chart: &Chart) -> impl Iterator<Item = &str> {
    let texts = chart.fields.iter().filter_map(|(_, value)| match value {
        ChartValue::Text(template) => Some(template),
        ChartValue::Json(_) | ChartValue::Extra(_) => None,
    });
    texts.chain([&chart.title]).flat_map(Template::params)
}
