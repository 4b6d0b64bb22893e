//! Metrics put together with the defaults under them.

use std::collections::BTreeMap;

use super::{Builder, Parameters, Spec};
use crate::catalog::Metric;
use crate::catalog::spec::MetricSpec;
use crate::formula::Template;

impl Builder<'_> {
    pub(super) fn metric(
        &mut self,
        name: String,
        bound: Option<(String, String)>,
        spec: &MetricSpec,
        specs: &[&Spec],
        parameters: &Parameters,
    ) -> Metric {
        let mut tags: BTreeMap<String, Vec<Template>> = BTreeMap::new();
        for (tag, values) in specs.iter().flat_map(|spec| &spec.default_tags).chain(&spec.tags) {
            match values {
                Some(values) => drop(tags.insert(tag.clone(), values.clone())),
                None => drop(tags.remove(tag)),
            }
        }
        let templates = tags.values().flatten().map(|template| (template, true)).chain([(&spec.series, false)]);
        for (param, in_tag) in
            templates.flat_map(|(template, in_tag)| template.params().map(move |param| (param, in_tag)))
        {
            match parameters.get(param) {
                None => self.error(
                    "unknown_parameter",
                    &spec.location,
                    format!("`{name}` uses `${{{param}}}`, which is not declared"),
                    "declare it under `parameters`",
                ),
                Some(parameter) if parameter.optional && parameter.default.is_none() && !in_tag => {
                    self.error(
                        "optional_parameter",
                        &spec.location,
                        format!("the stored name of `{name}` cannot hold the optional parameter `{param}`"),
                        "give it a default",
                    );
                }
                Some(_) => {}
            }
        }
        let group_by = spec.group_by.clone().or_else(|| specs.iter().find_map(|spec| spec.default_group_by.clone()));
        Metric {
            name,
            series: spec.series.clone(),
            tags,
            group_by: group_by.unwrap_or_default().into(),
            kind: spec.kind,
            aggregate: spec.aggregate,
            fill: spec.fill.unwrap_or_else(|| spec.kind.default_fill(spec.aggregate)),
            unit: spec.unit.clone(),
            part_of: spec.part_of.as_ref().map(|(whole, _)| whole.clone()),
            description: spec.description.clone(),
            approximate: spec.approximate,
            backends: spec.backends.clone(),
            bound,
            location: spec.location.clone(),
        }
    }
}
