//! The chart of a formula as the UI gets it: as written, templates completed.

use serde_json::{Map, Value};

use super::Bindings;
use crate::catalog::{Chart, ChartValue, Formula};
use crate::formula::Template;

/// Whether every series of the chart carries its summary, asked for or not.
pub fn always_summary(chart: &Chart) -> bool {
    matches!(chart.kind.as_str(), "stat" | "bar" | "table")
}

/// The section of a chart; its templates are not completed, so that the order of sections does not depend on parameters.
pub fn section(chart: &Chart) -> Option<String> {
    match field(chart, "section")? {
        ChartValue::Text(text) => Some(text.to_string()),
        ChartValue::Json(_) => None,
    }
}

/// The place of a chart in its section.
pub fn order(chart: &Chart) -> Option<f64> {
    match field(chart, "order")? {
        ChartValue::Json(value) => value.as_f64(),
        ChartValue::Text(_) => None,
    }
}

fn field<'a>(chart: &'a Chart, name: &str) -> Option<&'a ChartValue> {
    chart.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
}

/// The chart with the parameters of a request; a text that lacks one stays as it is written.
pub fn complete(chart: &Chart, bindings: &Bindings<'_>, formula: &Formula) -> Value {
    render(chart, |template| bindings.title(template, formula.bound.as_ref()).unwrap_or_else(|_| template.to_string()))
}

/// The chart with its templates as they are written.
pub fn as_written(chart: &Chart) -> Value {
    render(chart, Template::to_string)
}

fn render(chart: &Chart, text: impl Fn(&Template) -> String) -> Value {
    let mut object = Map::new();
    object.insert("title".to_owned(), Value::String(text(&chart.title)));
    object.insert("kind".to_owned(), Value::String(chart.kind.clone()));
    for (name, value) in &chart.fields {
        let value = match value {
            ChartValue::Text(template) => Value::String(text(template)),
            ChartValue::Json(value) => value.clone(),
        };
        object.insert(name.clone(), value);
    }
    Value::Object(object)
}
