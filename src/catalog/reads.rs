//! What a keyspace reads of a database, as far as it is known before any request: stored names, tags and their values.

use std::collections::HashMap;

use super::{Definition, Keyspace, Metric, ParameterKind};
use crate::formula::{Part, Template};

/// The most texts that one template is followed to.
const MAX_TEXTS: usize = 1_000;

/// What one metric reads.
#[derive(Debug)]
pub struct Read<'k> {
    /// The metric.
    pub metric: &'k Metric,
    /// The formulas that read it.
    pub readers: Vec<&'k str>,
    /// The stored names, one for each value of its enums.
    pub names: Vec<StoredText>,
    /// The tags that it is filtered or grouped by.
    pub tags: Vec<ReadTag>,
}

/// A stored name, or a value of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredText {
    /// As it is written: `${name}` where only a request says.
    pub text: String,
    /// `*` where only a request says.
    pub pattern: String,
    /// Whether a request completes it.
    pub is_open: bool,
}

/// A tag that a metric reads.
#[derive(Debug, PartialEq, Eq)]
pub struct ReadTag {
    /// Its name.
    pub name: String,
    /// Whether the metric is filtered by it in every request, so that series without it are never read.
    pub is_required: bool,
    /// The values that it is filtered by; `None` where only a request says, or nothing is filtered.
    pub values: Option<Vec<String>>,
}

/// What each metric of a keyspace reads, by the metric's name.
pub fn reads(keyspace: &Keyspace) -> Vec<Read<'_>> {
    let metrics = keyspace.definitions.values().filter_map(|definition| match definition {
        Definition::Metric(metric) => Some(metric.as_ref()),
        Definition::Formula(_) => None,
    });
    let mut readers = readers(keyspace);
    metrics.map(|metric| read(keyspace, metric, readers.remove(metric.name.as_str()).unwrap_or_default())).collect()
}

/// The formulas that read each metric.
fn readers(keyspace: &Keyspace) -> HashMap<&str, Vec<&str>> {
    let mut readers: HashMap<&str, Vec<&str>> = HashMap::new();
    for definition in keyspace.definitions.values() {
        let Definition::Formula(formula) = definition else { continue };
        for metric in &formula.metrics {
            readers.entry(metric).or_default().push(&formula.name);
        }
    }
    readers
}

fn read<'k>(keyspace: &'k Keyspace, metric: &'k Metric, readers: Vec<&'k str>) -> Read<'k> {
    let filtered = metric.tags.iter().map(|(tag, templates)| {
        let texts: Vec<StoredText> = templates.iter().flat_map(|template| texts(keyspace, metric, template)).collect();
        let is_known = !texts.iter().any(|text| text.is_open);
        let takes_any = templates.iter().any(|template| is_optional(keyspace, template));
        ReadTag {
            name: tag.clone(),
            // An empty value stands for a tag that is missing.
            is_required: !takes_any && !texts.iter().any(|text| text.text.is_empty()),
            values: is_known.then(|| texts.into_iter().map(|text| text.text).collect()),
        }
    });
    let grouped = metric.group_by.iter().filter(|tag| !metric.tags.contains_key(*tag));
    let grouped = grouped.map(|tag| ReadTag { name: tag.clone(), is_required: false, values: None });
    Read { metric, readers, names: texts(keyspace, metric, &metric.series), tags: filtered.chain(grouped).collect() }
}

/// Whether a request may leave out what completes a template, which drops the filter.
fn is_optional(keyspace: &Keyspace, template: &Template) -> bool {
    let optional = |name: &String| keyspace.parameters.get(name).is_some_and(|parameter| parameter.optional);
    template.parts.iter().any(|part| matches!(part, Part::Param(name) if optional(name)))
}

/// What a template can become: an enum is each of its values, any other parameter stays open.
fn texts(keyspace: &Keyspace, metric: &Metric, template: &Template) -> Vec<StoredText> {
    let closed = |text: &String| (text.clone(), text.clone(), false);
    let mut texts = vec![StoredText { text: String::new(), pattern: String::new(), is_open: false }];
    for part in &template.parts {
        let pieces: Vec<(String, String, bool)> = match part {
            Part::Literal(text) => vec![closed(text)],
            Part::Param(name) => {
                let bound = metric.bound.as_ref().filter(|(bound, _)| bound == name);
                match (bound, keyspace.parameters.get(name).map(|parameter| &parameter.kind)) {
                    (Some((_, value)), _) => vec![closed(value)],
                    (None, Some(ParameterKind::Enum { values })) => values.iter().map(closed).collect(),
                    _ => vec![(format!("${{{name}}}"), "*".to_owned(), true)],
                }
            }
        };
        let longer = texts.iter().flat_map(|before| {
            pieces.iter().map(|(text, pattern, is_open)| StoredText {
                text: format!("{}{text}", before.text),
                pattern: format!("{}{pattern}", before.pattern),
                is_open: before.is_open || *is_open,
            })
        });
        texts = longer.take(MAX_TEXTS).collect();
    }
    texts
}
