//! Metrics put together with the defaults under them.

use std::collections::BTreeMap;

use super::{Builder, Spec};
use crate::backend::elasticsearch;
use crate::catalog::Metric;
use crate::catalog::spec::{MetricSpec, Tags};
use crate::diagnostic::{Diagnostic, Location};
use crate::formula::Template;

/// What is laid under every metric.
#[derive(Default)]
pub struct Defaults {
    tags: Tags,
    group_by: Vec<String>,
}

impl Builder<'_> {
    /// The defaults of all files; what two of them give is a fault.
    pub(super) fn default_tags(&mut self, specs: &[&Spec]) -> Defaults {
        let mut defaults = Defaults::default();
        let mut places: BTreeMap<&str, &Location> = BTreeMap::new();
        let mut grouped: Option<&Location> = None;
        for spec in specs {
            for (tag, values) in &spec.default_tags {
                let Some(location) = spec.default_places.get(tag) else { continue };
                match places.get(tag.as_str()) {
                    Some(first) => self.default_twice(&format!("the tag `{tag}`"), location, first),
                    None => drop(defaults.tags.insert(tag.clone(), values.clone())),
                }
                places.entry(tag).or_insert(location);
            }
            if let Some((tags, location)) = &spec.default_group_by {
                match grouped {
                    Some(first) => self.default_twice("`group_by`", location, first),
                    None => defaults.group_by.clone_from(tags),
                }
                grouped.get_or_insert(location);
            }
        }
        defaults
    }

    fn default_twice(&mut self, what: &str, location: &Location, first: &Location) {
        let message = format!("the default of {what} is given twice");
        let fault = Diagnostic::error("duplicate_key", location.clone(), message);
        self.faults
            .push(fault.with_hint(format!("it is given first at {first}; keep one")).with_related(first.clone()));
    }
}

/// A metric with the defaults under it, tag by tag.
pub fn put_together(name: String, bound: Option<(String, String)>, spec: &MetricSpec, defaults: &Defaults) -> Metric {
    let mut tags: BTreeMap<String, Vec<Template>> = BTreeMap::new();
    for (tag, values) in defaults.tags.iter().chain(&spec.tags) {
        match values {
            Some(values) => drop(tags.insert(tag.clone(), values.clone())),
            None => drop(tags.remove(tag)),
        }
    }
    Metric {
        name,
        series: spec.series.clone(),
        tags,
        group_by: spec.group_by.as_ref().unwrap_or(&defaults.group_by).as_slice().into(),
        kind: spec.kind,
        aggregate: spec.aggregate,
        fill: spec.fill.unwrap_or_else(|| spec.kind.default_fill(spec.aggregate)),
        unit: spec.unit.clone(),
        part_of: spec.part_of.as_ref().map(|(whole, _)| whole.clone()),
        description: spec.description.clone(),
        approximate: spec.approximate,
        backends: spec.backends.clone(),
        index: spec.backends.get(elasticsearch::NAME).and_then(|mapping| elasticsearch::mapped_index(mapping)),
        bound,
        location: spec.location.clone(),
    }
}
