//! The chart of a formula as the UI gets it: as written, templates completed.

use std::sync::Arc;

use serde::ser::{Error, SerializeMap};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Bindings;
use crate::catalog::{Chart, ChartValue, Formula};
use crate::formula::Template;

/// A chart as the UI gets it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CompletedChart {
    fields: Map<String, Value>,
    /// JSON text, which passes through untouched.
    extra: Option<Arc<str>>,
}

impl CompletedChart {
    /// A field other than `extra`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }
}

impl From<Map<String, Value>> for CompletedChart {
    fn from(fields: Map<String, Value>) -> CompletedChart {
        CompletedChart { fields, extra: None }
    }
}

impl Serialize for CompletedChart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len() + usize::from(self.extra.is_some())))?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        if let Some(extra) = &self.extra {
            map.serialize_entry("extra", &RawValue::from_string(extra.to_string()).map_err(S::Error::custom)?)?;
        }
        map.end()
    }
}

/// Whether every series of the chart carries its summary, asked for or not.
pub fn always_summary(chart: &Chart) -> bool {
    matches!(chart.kind.as_str(), "stat" | "bar" | "table")
}

/// The section of a chart; its templates are not completed, so that the order of sections does not depend on parameters.
pub fn section(chart: &Chart) -> Option<String> {
    match field(chart, "section")? {
        ChartValue::Text(text) => Some(text.to_string()),
        ChartValue::Json(_) | ChartValue::Extra(_) => None,
    }
}

/// The place of a chart in its section.
pub fn order(chart: &Chart) -> Option<f64> {
    match field(chart, "order")? {
        ChartValue::Json(value) => value.as_f64(),
        ChartValue::Text(_) | ChartValue::Extra(_) => None,
    }
}

fn field<'a>(chart: &'a Chart, name: &str) -> Option<&'a ChartValue> {
    chart.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
}

/// The chart with the parameters of a request; a text that lacks one stays as it is written.
pub fn complete(chart: &Chart, bindings: &Bindings<'_>, formula: &Formula) -> CompletedChart {
    render(chart, |template| bindings.title(template, formula.bound.as_ref()).unwrap_or_else(|_| template.to_string()))
}

/// The chart with its templates as they are written.
pub fn as_written(chart: &Chart) -> CompletedChart {
    render(chart, Template::to_string)
}

fn render(chart: &Chart, text: impl Fn(&Template) -> String) -> CompletedChart {
    let mut completed = CompletedChart::default();
    completed.fields.insert("title".to_owned(), Value::String(text(&chart.title)));
    completed.fields.insert("kind".to_owned(), Value::String(chart.kind.clone()));
    for (name, value) in &chart.fields {
        let value = match value {
            ChartValue::Text(template) => Value::String(text(template)),
            ChartValue::Json(value) => value.clone(),
            ChartValue::Extra(extra) => {
                completed.extra = Some(Arc::clone(extra));
                continue;
            }
        };
        completed.fields.insert(name.clone(), value);
    }
    completed
}
