//! Metrics as written, and the tags of metrics and defaults.

use std::collections::BTreeMap;

use super::{MetricSpec, Reader, Spec, Tags, Use};
use crate::catalog::yaml::{Node, NodeKind};
use crate::formula::Template;
use crate::series::{Aggregate, Fill, Kind};

/// The backends that a metric may have a mapping for.
const BACKENDS: [&str; 5] = ["embedded", "kairosdb", "m3db", "elasticsearch", "prometheus"];

/// What tags say, and where.
#[derive(Default)]
struct ReadTags {
    tags: Tags,
    places: BTreeMap<String, crate::diagnostic::Location>,
    taken_out: Vec<(String, crate::diagnostic::Location)>,
    uses: Vec<Use>,
}

impl Reader<'_> {
    pub(super) fn defaults(&mut self, node: &Node, spec: &mut Spec) {
        for (key, value) in self.fields(node, &["tags", "group_by"]) {
            match key {
                "tags" => {
                    let read = self.tags(value);
                    for (tag, location) in &read.taken_out {
                        let message = format!("the default of the tag `{tag}` is nothing");
                        let fault = crate::diagnostic::Diagnostic::error("wrong_type", location.clone(), message);
                        self.faults.push(fault.with_hint("give it a value; null takes a default out of one metric"));
                    }
                    spec.default_uses = read.uses;
                    spec.default_places = read.places;
                    spec.default_tags = read.tags;
                }
                _ => spec.default_group_by = Some((self.tag_names(value), value.location.clone())),
            }
        }
    }

    fn tags(&mut self, node: &Node) -> ReadTags {
        let mut read = ReadTags::default();
        for (_, key, value) in self.entries(node) {
            let Some(name) = self.tag_name(key) else { continue };
            let values = match &value.kind {
                _ if value.is_null() => {
                    read.taken_out.push((name.clone(), key.location.clone()));
                    None
                }
                NodeKind::Sequence(items) if items.is_empty() => {
                    self.fault("invalid_value", value, "no value is listed", "list the values, any of which may match");
                    continue;
                }
                NodeKind::Sequence(items) => {
                    Some(items.iter().filter_map(|item| self.used(item, true, &mut read.uses)).collect())
                }
                _ => Some(self.used(value, true, &mut read.uses).into_iter().collect()),
            };
            read.places.insert(name.clone(), key.location.clone());
            read.tags.insert(name, values);
        }
        read
    }

    /// A template that is data, its parameters remembered.
    fn used(&mut self, node: &Node, optional: bool, uses: &mut Vec<Use>) -> Option<Template> {
        let template = self.stored(node)?;
        uses.extend(Reader::params(node).map(|(parameter, location)| Use { parameter, location, optional }));
        Some(template)
    }

    pub(super) fn metric(&mut self, key: &Node, node: &Node) -> Option<MetricSpec> {
        let mut metric = MetricSpec {
            location: key.location.clone(),
            series: Template::default(),
            tags: BTreeMap::new(),
            taken_out: Vec::new(),
            group_by: None,
            kind: Kind::Delta,
            aggregate: Aggregate::Sum,
            fill: None,
            unit: None,
            part_of: None,
            description: None,
            approximate: false,
            backends: BTreeMap::new(),
            uses: Vec::new(),
        };
        if node.text().is_some() {
            metric.series = self.series(node, &mut metric.uses)?;
            return Some(metric);
        }
        let (mut series, mut aggregate) = (None, None);
        let known = [
            "series",
            "tags",
            "group_by",
            "kind",
            "aggregate",
            "fill",
            "unit",
            "part_of",
            "description",
            "approximate",
            "backends",
        ];
        for (field, value) in self.fields(node, &known) {
            match field {
                "series" => series = Some(self.series(value, &mut metric.uses)),
                "tags" => {
                    let read = self.tags(value);
                    metric.uses.extend(read.uses);
                    (metric.tags, metric.taken_out) = (read.tags, read.taken_out);
                }
                "group_by" => metric.group_by = Some(self.tag_names(value)),
                "kind" => {
                    let read = |text: &str| Kind::ALL.into_iter().find(|kind| kind.as_str() == text);
                    metric.kind = self.one_of(value, read, "delta, gauge, counter, distinct").unwrap_or_default();
                }
                "aggregate" => {
                    let expected = "sum, avg, min, max, count, first, last, pNN";
                    let read = self.one_of(value, |text| text.parse().ok(), expected);
                    aggregate = read.map(|found: Aggregate| (found, value));
                }
                "fill" => {
                    let all = [Fill::None, Fill::Zero, Fill::Previous];
                    let read = |text: &str| all.into_iter().find(|fill| fill.as_str() == text);
                    metric.fill = self.one_of(value, read, "none, zero, previous");
                }
                "unit" => metric.unit = self.text(value),
                "part_of" => metric.part_of = self.text(value).map(|name| (name, value.location.clone())),
                "description" => metric.description = self.text(value),
                "approximate" => metric.approximate = self.flag(value),
                _ => metric.backends = self.backends(value),
            }
        }
        metric.aggregate = aggregate.map_or(metric.kind.default_aggregate(), |(aggregate, _)| aggregate);
        if let Some((aggregate, value)) = aggregate
            && !metric.kind.bears(aggregate)
        {
            let kind = if metric.kind == Kind::Distinct { "distinct count" } else { metric.kind.as_str() };
            let message = format!("a {kind} does not bear the aggregate {aggregate}");
            self.fault(
                "kind_misuse",
                value,
                message,
                &format!("a {kind} bears only sum; a level that goes up and down is a gauge"),
            );
        }
        if series.is_none() && !node.is_refused() {
            self.fault("missing_key", key, "a metric needs its stored name", "write series: name");
        }
        metric.series = series??;
        Some(metric)
    }

    fn series(&mut self, node: &Node, uses: &mut Vec<Use>) -> Option<Template> {
        let template = self.used(node, false, uses)?;
        if template.parts.is_empty() {
            self.fault("invalid_value", node, "the stored name is empty", "write the name of the stored series");
            return None;
        }
        Some(template)
    }

    fn backends(&mut self, node: &Node) -> BTreeMap<String, String> {
        let mut backends = BTreeMap::new();
        for (name, value) in self.fields(node, &BACKENDS) {
            match &value.kind {
                NodeKind::Mapping(_) => drop(backends.insert(name.to_owned(), value.to_json().to_string())),
                _ if value.is_refused() => {}
                _ => self.fault("wrong_type", value, "a mapping is expected", "write { option: value }"),
            }
        }
        backends
    }
}
