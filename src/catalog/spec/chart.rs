//! Charts as written.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Reader, Use};
use crate::catalog::yaml::Node;
use crate::catalog::{Chart, ChartValue};
use crate::diagnostic::Location;

const FIELDS: [&str; 12] = [
    "title",
    "kind",
    "unit",
    "currency",
    "decimals",
    "min",
    "max",
    "section",
    "order",
    "better",
    "description",
    "extra",
];
const KINDS: &str = "line, area, bar, stat, table";
const UNITS: &str = "number, count, percent, currency, duration, bytes, rate";
/// A 64-bit float has no more digits than these to show.
const MOST_DECIMALS: f64 = 15.0;

/// A chart, and where its parts stand.
pub struct ReadChart {
    pub chart: Chart,
    pub uses: Vec<Use>,
    pub places: BTreeMap<&'static str, Location>,
}

impl Reader<'_> {
    pub(super) fn chart(&mut self, node: &Node) -> Option<ReadChart> {
        let (mut title, mut kind, mut fields, mut uses) = (None, "line".to_owned(), Vec::new(), Vec::new());
        let mut nodes: BTreeMap<&'static str, &Node> = BTreeMap::new();
        for (field, value) in self.fields(node, &FIELDS) {
            nodes.insert(field, value);
            let json = match field {
                "kind" => {
                    kind = self.among(value, KINDS).unwrap_or(kind);
                    continue;
                }
                "unit" => self.among(value, UNITS).map(Into::into),
                "better" => self.among(value, "higher, lower").map(Into::into),
                "decimals" => self.decimals(value),
                "min" | "max" | "order" => self.number(value).map(|_| value.to_json()),
                "extra" => {
                    let text: Arc<str> = value.to_json_text().into();
                    fields.push((field.to_owned(), ChartValue::Extra(text)));
                    continue;
                }
                _ => {
                    let Some(text) = self.template(value) else { continue };
                    let params = Reader::params(value);
                    uses.extend(params.map(|(parameter, location)| Use { parameter, location, optional: true }));
                    match field {
                        "title" => title = Some(text).filter(|title| !title.parts.is_empty()),
                        _ => fields.push((field.to_owned(), ChartValue::Text(text))),
                    }
                    continue;
                }
            };
            fields.extend(json.map(|json| (field.to_owned(), ChartValue::Json(json))));
        }
        self.check_chart(&nodes);
        if title.is_none() && nodes.get("title").is_none_or(|title| title.text().is_some_and(str::is_empty)) {
            let place = nodes.get("title").copied().unwrap_or(node);
            if !node.is_refused() {
                self.fault("missing_key", place, "a chart needs a title", "write title: …");
            }
        }
        let places = nodes.into_iter().map(|(field, node)| (field, node.location.clone())).collect();
        Some(ReadChart { chart: Chart { title: title?, kind, fields }, uses, places })
    }

    fn among(&mut self, node: &Node, known: &str) -> Option<String> {
        self.one_of(node, |text| known.split(", ").find(|word| *word == text).map(str::to_owned), known)
    }

    fn decimals(&mut self, node: &Node) -> Option<serde_json::Value> {
        let number = self.number(node)?;
        if number < 0.0 || number.fract() != 0.0 {
            self.fault("invalid_value", node, "decimals are a whole number from 0", "write one such as 2");
            return None;
        }
        if number > MOST_DECIMALS {
            let message = format!("a value has no more than about {MOST_DECIMALS} digits to show");
            self.warn("chart_decimals", node, message, "write fewer decimals");
        }
        Some(node.to_json())
    }

    /// What would draw a chart that nobody wants.
    fn check_chart(&mut self, nodes: &BTreeMap<&'static str, &Node>) {
        let number = |field| nodes.get(field).and_then(|node: &&Node| node.to_json().as_f64());
        if let (Some(min), Some(max), Some(node)) = (number("min"), number("max"), nodes.get("max"))
            && min >= max
        {
            let message = format!("nothing lies between the chart's min {min} and its max {max}");
            self.warn("chart_bounds", node, message, "exchange `min` and `max`, or remove one");
        }
        let unit = nodes.get("unit").and_then(|node| node.text());
        match (unit, nodes.get("currency"), nodes.get("unit")) {
            (Some("currency"), None, Some(node)) => {
                let message = "the chart shows an amount of money and does not say of which currency";
                self.warn("chart_currency", node, message, "add currency: USD, or another code of three letters");
            }
            (unit, Some(node), _) if unit != Some("currency") => {
                let message = "the chart names a currency, and its unit is another";
                self.warn("chart_currency", node, message, "write unit: currency, or remove `currency`");
            }
            _ => {}
        }
    }
}
