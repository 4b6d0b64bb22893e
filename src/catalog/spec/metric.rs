//! Metrics as written, and the tags of metrics and defaults.

use std::collections::BTreeMap;

use super::{MetricSpec, Reader};
use crate::catalog::yaml::{Node, NodeKind};
use crate::formula::Template;
use crate::series::{Aggregate, Fill, Kind};

impl Reader<'_> {
    pub(super) fn tags(&mut self, node: &Node) -> BTreeMap<String, Option<Vec<Template>>> {
        let mut tags = BTreeMap::new();
        for (name, _, value) in self.entries(node) {
            let values = match &value.kind {
                _ if value.is_null() => None,
                NodeKind::Sequence(items) => Some(items.iter().filter_map(|item| self.template(item)).collect()),
                _ => Some(self.template(value).into_iter().collect()),
            };
            tags.insert(name, values);
        }
        tags
    }

    pub(super) fn metric(&mut self, key: &Node, node: &Node) -> Option<MetricSpec> {
        let mut metric = MetricSpec {
            location: key.location.clone(),
            series: Template::default(),
            tags: BTreeMap::new(),
            group_by: None,
            kind: Kind::Delta,
            aggregate: Aggregate::Sum,
            fill: None,
            unit: None,
            part_of: None,
            description: None,
            approximate: false,
            backends: BTreeMap::new(),
        };
        if node.text().is_some() {
            metric.series = self.template(node)?;
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
                "series" => series = self.template(value),
                "tags" => metric.tags = self.tags(value),
                "group_by" => metric.group_by = Some(self.names(value)),
                "kind" => {
                    let read = |text: &str| Kind::ALL.into_iter().find(|kind| kind.as_str() == text);
                    metric.kind = self.one_of(value, read, "delta, gauge, counter, distinct").unwrap_or_default();
                }
                "aggregate" => {
                    aggregate = self
                        .one_of(value, |text| text.parse().ok(), "sum, avg, min, max, count, first, last, pNN")
                        .map(|found: Aggregate| (found, value))
                }
                "fill" => {
                    let read = |text: &str| {
                        [Fill::None, Fill::Zero, Fill::Previous].into_iter().find(|fill| fill.as_str() == text)
                    };
                    metric.fill = self.one_of(value, read, "none, zero, previous");
                }
                "unit" => metric.unit = self.text(value),
                "part_of" => metric.part_of = self.text(value).map(|name| (name, value.location.clone())),
                "description" => metric.description = self.text(value),
                "approximate" => metric.approximate = self.flag(value),
                _ => {
                    metric.backends = self
                        .entries(value)
                        .into_iter()
                        .map(|(name, _, value)| (name, value.to_json().to_string()))
                        .collect()
                }
            }
        }
        metric.aggregate = aggregate.map_or(metric.kind.default_aggregate(), |(aggregate, _)| aggregate);
        if let Some((aggregate, value)) = aggregate
            && !metric.kind.bears(aggregate)
        {
            let message = format!("a {} does not bear the aggregate {aggregate}", metric.kind.as_str());
            self.fault("kind_misuse", value, message, "counters and distinct counts bear only sum");
        }
        match series {
            Some(series) => metric.series = series,
            None => {
                self.fault("missing_key", key, "a metric needs its stored name", "write series: name");
                return None;
            }
        }
        Some(metric)
    }
}
