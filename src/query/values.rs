//! What a picker of a parameter shows.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::QueryError;
use super::service::Snapshot;
use crate::backend::ValuesQuery;
use crate::catalog::{Definition, Metric, ParameterKind};
use crate::plan::{self, Bindings, Request};

/// The most values that are listed.
const LIMIT: usize = 1_000;

/// The answer to `GET /:keyspace/values/:parameter`: an enum's values, else the stored values of the tags that the parameter
/// fills, its own filter dropped.
pub async fn values(snapshot: &Snapshot, parameter: &str, request: &Request) -> Result<Value, QueryError> {
    let context = snapshot.context();
    let (range, params) = plan::values_window(&context, parameter, request)?;
    if let Some(ParameterKind::Enum { values }) = context.keyspace.parameters.get(parameter).map(|found| &found.kind) {
        return Ok(json!({ "values": values, "truncated": false }));
    }
    let bindings = Bindings::new(context.keyspace, &params);
    let queries: BTreeSet<ValuesQuery> = context
        .keyspace
        .definitions
        .values()
        .filter_map(|definition| match definition {
            Definition::Metric(metric) => Some(metric),
            Definition::Formula(_) => None,
        })
        .flat_map(|metric| queries(&context, metric, parameter, &bindings))
        .collect();
    if queries.is_empty() {
        return Ok(json!({ "values": [], "truncated": false }));
    }
    let queries: Vec<ValuesQuery> = queries.into_iter().collect();
    let (values, truncated) = snapshot.backend.tag_values(&queries, range, LIMIT).await?;
    Ok(json!({ "values": values, "truncated": truncated }))
}

/// One query for each tag of the metric that the parameter alone fills. A metric whose stored name cannot be completed is
/// passed over; a filter that cannot be is dropped, so that a first picker works before the others are chosen.
fn queries(context: &plan::Context<'_>, metric: &Metric, parameter: &str, bindings: &Bindings<'_>) -> Vec<ValuesQuery> {
    let fills = |tag: &&String| metric.tags[*tag].iter().any(|template| template.as_param() == Some(parameter));
    let Some(series) = plan::readable_series(context, metric, bindings) else { return Vec::new() };
    let mapping = metric.backends.get(context.backend).cloned().unwrap_or_default();
    let query = |tag: &String| {
        let mut filter = plan::lenient_filter(metric, bindings);
        filter.remove(tag);
        ValuesQuery { series: series.clone(), filter, tag: tag.clone(), mapping: mapping.clone() }
    };
    metric.tags.keys().filter(fills).map(query).collect()
}
