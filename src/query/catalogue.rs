//! What a UI can learn of a keyspace: its parameters and formulas.

use serde_json::{Map, Value, json};

use crate::catalog::{Definition, Formula, Keyspace, Parameter, ParameterKind, ParameterValue};
use crate::plan::chart;

/// The answer to `GET /:keyspace`.
pub fn catalogue(keyspace: &Keyspace) -> Value {
    let formulas = keyspace.definitions.values().filter_map(|definition| match definition {
        Definition::Formula(formula) => Some(self::formula(formula)),
        Definition::Metric(_) => None,
    });
    let parameters: Map<String, Value> =
        keyspace.parameters.iter().map(|(name, parameter)| (name.clone(), self::parameter(parameter))).collect();
    without_nulls(json!({
        "keyspace": keyspace.name,
        "revision": keyspace.revision,
        "title": keyspace.title,
        "description": keyspace.description,
        "owner": keyspace.owner,
        "timezone": keyspace.timezone.iana_name().unwrap_or("UTC"),
        "resolution": keyspace.resolution.to_string(),
        "experiment": keyspace.experiment,
        "parameters": parameters,
        "formulas": formulas.collect::<Vec<Value>>(),
    }))
}

fn formula(formula: &Formula) -> Value {
    without_nulls(json!({
        "name": formula.name,
        "description": formula.description,
        "expr": formula.text,
        "chart": formula.chart.as_ref().map(chart::as_written),
        "params": formula.params,
        "metrics": formula.metrics,
        "tags": formula.tags.as_ref(),
    }))
}

fn parameter(parameter: &Parameter) -> Value {
    let own = match &parameter.kind {
        ParameterKind::String { pattern } => {
            json!({ "type": "string", "pattern": pattern.as_ref().map(|pattern| pattern.as_str()) })
        }
        ParameterKind::Enum { values } => json!({ "type": "enum", "values": values }),
        ParameterKind::Number { min, max } => json!({ "type": "number", "min": min, "max": max }),
    };
    let default = parameter.default.as_ref().map(|default| match default {
        ParameterValue::Text(text) => json!(text),
        ParameterValue::Any(texts) => json!(texts),
        ParameterValue::Number(number) => json!(number),
    });
    let mut all = json!({
        "optional": parameter.optional || default.is_some(),
        "default": default,
        "description": parameter.description,
    });
    if let (Value::Object(all), Value::Object(own)) = (&mut all, own) {
        all.extend(own);
    }
    without_nulls(all)
}

/// Absent fields are left out, as everywhere in the answers.
pub(super) fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, field| !field.is_null());
    }
    value
}
