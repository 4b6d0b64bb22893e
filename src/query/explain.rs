//! What a request would do: the graph, the plan, the selections and the exact calls; nothing is sent.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::QueryError;
use super::catalogue::without_nulls;
use super::service::Snapshot;
use crate::backend::Selection;
use crate::catalog::{Definition, Keyspace};
use crate::plan::{self, Plan, PlannedEntry, Request};

/// The answer to `POST /:keyspace/explain`.
pub fn explain(snapshot: &Snapshot, request: &Request) -> Result<Value, QueryError> {
    let plan = plan::plan(&snapshot.context(), request)?;
    let calls = match plan.selections.is_empty() {
        true => Vec::new(),
        false => snapshot.backend.preview(&plan.batch(snapshot.limits())),
    };
    Ok(json!({
        "keyspace": snapshot.keyspace.name,
        "revision": snapshot.keyspace.revision,
        "backend": snapshot.backend.name(),
        "timezone": plan.timezone.iana_name().unwrap_or("UTC"),
        "from": plan.axis.from(),
        "to": plan.axis.to(),
        "step": plan.step.to_string(),
        "buckets": plan.axis.len(),
        "graph": graph(&snapshot.keyspace, &plan),
        "plan": plan.entries.iter().map(|entry| planned(entry, &plan)).collect::<Vec<Value>>(),
        "selections": plan.selections.iter().map(selection).collect::<Vec<Value>>(),
        "calls": calls,
    }))
}

/// The formulas asked for and all that they refer to, as nodes and edges.
fn graph(keyspace: &Keyspace, plan: &Plan) -> Value {
    let mut nodes = BTreeMap::new();
    let mut edges = Vec::new();
    let mut pending: Vec<&str> = plan.entries.iter().map(|entry| entry.formula.as_str()).collect();
    while let Some(name) = pending.pop() {
        let Some((name, definition)) = keyspace.definitions.get_key_value(name) else { continue };
        if nodes.contains_key(name) {
            continue;
        }
        nodes.insert(name, node(definition));
        if let Definition::Formula(formula) = definition {
            for reference in keyspace.references(formula) {
                edges.push(json!({ "from": name, "to": reference }));
                if let Some((reference, _)) = keyspace.definitions.get_key_value(&reference) {
                    pending.push(reference);
                }
            }
        }
    }
    let nodes = nodes.into_iter().map(|(name, mut node)| {
        node["name"] = json!(name);
        node
    });
    json!({ "nodes": nodes.collect::<Vec<Value>>(), "edges": edges })
}

fn node(definition: &Definition) -> Value {
    match definition {
        Definition::Formula(formula) => {
            json!({ "kind": "formula", "expr": formula.text, "tags": formula.tags.as_ref() })
        }
        Definition::Metric(metric) => json!({
            "kind": "metric",
            "series": metric.series.to_string(),
            "tags": metric.group_by.as_ref(),
            "metric_kind": metric.kind.as_str(),
            "aggregate": metric.aggregate.to_string(),
            "fill": metric.fill.as_str(),
        }),
    }
}

fn planned(entry: &PlannedEntry, plan: &Plan) -> Value {
    match &entry.outcome {
        Ok(formula) => json!({
            "name": entry.name,
            "formula": entry.formula,
            "expr": formula.expr,
            "tags": plan.program.nodes[formula.output.0 as usize].tags.as_ref(),
            "selections": formula.selections,
            "summary": formula.summary,
        }),
        Err(error) => json!({
            "name": entry.name,
            "formula": entry.formula,
            "error": without_nulls(json!({
                "code": error.code,
                "detail": error.detail,
                "limit": error.limit.map(|over| over.limit),
                "value": error.limit.map(|over| over.value),
                "maximum": error.limit.map(|over| over.maximum),
            })),
        }),
    }
}

fn selection(selection: &Selection) -> Value {
    json!({
        "series": selection.series,
        "filter": selection.filter,
        "kind": selection.kind.as_str(),
        "aggregate": selection.aggregate.to_string(),
        "group_by": selection.group_by,
        "from": selection.axis.from(),
        "to": selection.axis.to(),
    })
}
