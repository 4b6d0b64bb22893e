//! Whether the parameters of a formula can complete its templates.

use super::graph::{Draft, place};
use super::{Builder, Parameters};
use crate::catalog::{Formula, Parameter, ParameterKind};
use crate::formula::{ExprKind, Template};

impl Builder<'_> {
    pub(super) fn check_parameters(&mut self, draft: &Draft<'_>, parameters: &Parameters) {
        let own = draft.formula.bound.as_ref().map(|(name, _)| name.as_str());
        for expr in draft.spec.expr.walk() {
            let (ExprKind::Name(template) | ExprKind::Text(template)) = &expr.kind else { continue };
            let is_name = matches!(expr.kind, ExprKind::Name(_));
            for param in template.params().filter(|param| Some(*param) != own) {
                let location = place(draft.spec, &expr.span);
                match parameters.get(param) {
                    None => self.error(
                        "unknown_parameter",
                        &location,
                        format!("`${{{param}}}` is not declared"),
                        "declare it under `parameters`",
                    ),
                    Some(parameter) if parameter.optional && parameter.default.is_none() => {
                        self.error(
                            "optional_parameter",
                            &location,
                            format!("the optional parameter `{param}` can only fill tags and titles"),
                            "give it a default",
                        );
                    }
                    Some(Parameter { kind: ParameterKind::String { .. }, .. }) if is_name => {
                        self.error(
                            "wrong_parameter",
                            &location,
                            format!("`{param}` is a string, which cannot name a metric or formula"),
                            "make it an enum, or a number",
                        );
                    }
                    Some(Parameter { kind: ParameterKind::Number { .. }, .. })
                        if is_name && template.as_param().is_none() =>
                    {
                        self.error(
                            "wrong_parameter",
                            &location,
                            format!("the number `{param}` cannot be a part of a name"),
                            "make it an enum",
                        );
                    }
                    Some(_) => {}
                }
            }
        }
        for param in chart_params(&draft.formula).into_iter().filter(|param| Some(param.as_str()) != own) {
            if !parameters.contains_key(&param) {
                let message = format!("the chart uses `${{{param}}}`, which is not declared");
                self.error("unknown_parameter", &draft.spec.location, message, "declare it under `parameters`");
            }
        }
    }
}

pub fn chart_params(formula: &Formula) -> Vec<String> {
    let Some(chart) = &formula.chart else { return Vec::new() };
    let texts = chart.fields.iter().filter_map(|(_, value)| match value {
        crate::catalog::ChartValue::Text(template) => Some(template),
        crate::catalog::ChartValue::Json(_) => None,
    });
    texts.chain([&chart.title]).flat_map(Template::params).map(str::to_owned).collect()
}
