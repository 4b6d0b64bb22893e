//! Parameters as written.

use super::Reader;
use super::is_reserved;
use crate::catalog::yaml::Node;
use crate::catalog::{Parameter, ParameterKind};
use crate::diagnostic::Location;
use crate::formula::is_name;

impl Reader<'_> {
    pub(super) fn parameters(&mut self, node: &Node) -> Vec<(String, Location, Parameter)> {
        let mut parameters = Vec::new();
        for (name, key, value) in self.entries(node) {
            if !is_name(&name) || is_reserved(&name) {
                self.fault("invalid_name", key, format!("`{name}` cannot name a parameter"), "choose another name");
            }
            parameters.extend(self.parameter(value).map(|parameter| (name, key.location.clone(), parameter)));
        }
        parameters
    }

    pub(super) fn parameter(&mut self, node: &Node) -> Option<Parameter> {
        let (mut kind, mut pattern, mut values, mut min, mut max) = (None, None, Vec::new(), None, None);
        let (mut default, mut optional, mut description) = (None, false, None);
        let known = ["type", "default", "optional", "pattern", "values", "min", "max", "description"];
        for (key, value) in self.fields(node, &known) {
            match key {
                "type" => {
                    kind = self.one_of(
                        value,
                        |text| ["string", "enum", "number"].into_iter().find(|kind| *kind == text),
                        "string, enum, number",
                    )
                }
                "default" => default = Some(value),
                "optional" => optional = self.flag(value),
                "pattern" => {
                    pattern = self.text(value).and_then(|text| match regex::Regex::new(&text) {
                        Ok(regex) => Some(regex),
                        Err(_) => {
                            self.fault(
                                "invalid_value",
                                value,
                                "this is not a regular expression",
                                "write one such as ^[a-z0-9-]+$",
                            );
                            None
                        }
                    });
                }
                "values" => values = self.texts(value).into_iter().map(|(text, _)| text).collect(),
                "min" => min = self.number(value),
                "max" => max = self.number(value),
                _ => description = self.text(value),
            }
        }
        let kind = match kind {
            Some("enum") if values.is_empty() => {
                self.fault("invalid_value", node, "an enum needs its values", "write values: [a, b]");
                return None;
            }
            Some("enum") => ParameterKind::Enum { values },
            Some("number") => ParameterKind::Number { min, max },
            Some(_) => ParameterKind::String { pattern },
            None => {
                self.fault("missing_key", node, "a parameter needs a type", "write type: string, enum or number");
                return None;
            }
        };
        let default = default.and_then(|value| {
            let json = match kind {
                ParameterKind::Number { .. } => value.to_json(),
                _ => value.text().unwrap_or_default().into(),
            };
            kind.check(&json)
                .map_err(|detail| {
                    self.fault("invalid_value", value, format!("the default {detail}"), "mend the default")
                })
                .ok()
        });
        Some(Parameter { kind, default, optional, description })
    }
}
