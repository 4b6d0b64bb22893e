//! Charts as written.

use super::Reader;
use crate::catalog::yaml::Node;
use crate::catalog::{Chart, ChartValue};

impl Reader<'_> {
    pub(super) fn chart(&mut self, node: &Node) -> Option<Chart> {
        let (mut title, mut kind, mut fields) = (None, "line".to_owned(), Vec::new());
        let known = [
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
        const UNITS: [&str; 7] = ["number", "count", "percent", "currency", "duration", "bytes", "rate"];
        for (field, value) in self.fields(node, &known) {
            let among =
                |known: &'static [&'static str]| move |text: &str| known.contains(&text).then(|| text.to_owned());
            match field {
                "title" => title = self.template(value),
                "kind" => {
                    kind = self
                        .one_of(value, among(&["line", "area", "bar", "stat", "table"]), "line, area, bar, stat, table")
                        .unwrap_or(kind)
                }
                "unit" => fields.extend(
                    self.one_of(value, among(&UNITS), &UNITS.join(", "))
                        .map(|unit| (field.to_owned(), ChartValue::Json(unit.into()))),
                ),
                "better" => fields.extend(
                    self.one_of(value, among(&["higher", "lower"]), "higher, lower")
                        .map(|better| (field.to_owned(), ChartValue::Json(better.into()))),
                ),
                "decimals" | "min" | "max" | "order" => {
                    fields.extend(self.number(value).map(|_| (field.to_owned(), ChartValue::Json(value.to_json()))));
                }
                "extra" => fields.push((field.to_owned(), ChartValue::Json(value.to_json()))),
                _ => fields.extend(self.template(value).map(|text| (field.to_owned(), ChartValue::Text(text)))),
            }
        }
        if title.is_none() {
            self.fault("missing_key", node, "a chart needs a title", "write title: …");
        }
        Some(Chart { title: title?, kind, fields })
    }
}
