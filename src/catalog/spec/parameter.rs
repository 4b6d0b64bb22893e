//! Parameters as written.

use std::collections::BTreeSet;

use super::{Reader, Spec};
use crate::catalog::yaml::Node;
use crate::catalog::{Parameter, ParameterKind};
use crate::diagnostic::{Diagnostic, shorten};
use crate::formula::is_name;

/// The most values of an enum: each name that holds it is defined once for each of them.
const MAX_VALUES: usize = 1_000;
/// The most bytes of a compiled pattern; what a pattern of a parameter needs is far below.
const MAX_PATTERN: usize = 1 << 20;

/// The fields of a parameter as they stand.
#[derive(Default)]
struct Fields<'n> {
    kind: Option<&'static str>,
    default: Option<&'n Node>,
    optional: Option<(bool, &'n Node)>,
    pattern: Option<&'n Node>,
    values: Option<&'n Node>,
    min: Option<&'n Node>,
    max: Option<&'n Node>,
    description: Option<String>,
}

impl Reader<'_> {
    pub(super) fn parameters(&mut self, node: &Node, spec: &mut Spec) {
        for (name, key, value) in self.entries(node) {
            let named = is_name(&name);
            if !named {
                let message = format!("`{}` cannot name a parameter", shorten(&name, 60));
                self.fault(
                    "invalid_name",
                    key,
                    message,
                    "names are letters, digits and `_`, at most 128, and begin with no digit",
                );
            }
            let named = named && self.check_reserved(&name, key);
            match self.parameter(key, value).filter(|_| named) {
                Some(parameter) => spec.parameters.push((name, key.location.clone(), parameter)),
                None => spec.unread_parameters.push(name),
            }
        }
    }

    fn parameter(&mut self, key: &Node, node: &Node) -> Option<Parameter> {
        let mut fields = Fields::default();
        let known = ["type", "default", "optional", "pattern", "values", "min", "max", "description"];
        let mut typed = false;
        for (field, value) in self.fields(node, &known) {
            match field {
                "type" => {
                    typed = true;
                    let read = |text: &str| ["string", "enum", "number"].into_iter().find(|kind| *kind == text);
                    fields.kind = self.one_of(value, read, "string, enum, number");
                }
                "default" => fields.default = Some(value),
                "optional" => fields.optional = Some((self.flag(value), value)),
                "pattern" => fields.pattern = Some(value),
                "values" => fields.values = Some(value),
                "min" => fields.min = Some(value),
                "max" => fields.max = Some(value),
                _ => fields.description = self.text(value),
            }
        }
        let Some(kind) = fields.kind else {
            if !typed && !node.is_refused() {
                self.fault("missing_key", key, "a parameter needs a type", "write type: string, enum or number");
            }
            return None;
        };
        self.check_fields(kind, &fields);
        let kind = match kind {
            "enum" => self.values(key, fields.values)?,
            "number" => self.bounds(fields.min, fields.max)?,
            _ => ParameterKind::String { pattern: fields.pattern.and_then(|node| self.pattern(node)) },
        };
        let default = fields.default.and_then(|node| {
            let json = match kind {
                ParameterKind::Number { .. } => node.to_json(),
                _ => self.text(node)?.into(),
            };
            let fault =
                |detail| Diagnostic::error("invalid_value", node.location.clone(), format!("the default {detail}"));
            let hint = "a default must be what a request may give: mend it, or the rule";
            kind.check(&json).map_err(|detail| self.faults.push(fault(detail).with_hint(hint))).ok()
        });
        let optional = fields.optional.is_some_and(|(optional, _)| optional);
        if let (true, Some(_), Some((_, node))) = (optional, &default, fields.optional) {
            let message = "a parameter with a default always has a value, so that `optional` means nothing";
            self.warn("optional_default", node, message, "remove `optional`, or the default");
        }
        Some(Parameter { kind, default, optional, description: fields.description })
    }

    /// Refuses the fields that mean nothing to a type.
    fn check_fields(&mut self, kind: &str, fields: &Fields<'_>) {
        let rules = [
            (fields.pattern, "pattern", "string"),
            (fields.values, "values", "enum"),
            (fields.min, "min", "number"),
            (fields.max, "max", "number"),
        ];
        for (node, field, of) in rules {
            if let Some(node) = node.filter(|_| kind != of) {
                let message = format!("`{field}` means nothing to a parameter of the type {kind}");
                self.fault("unknown_key", node, message, &format!("remove it, or write type: {of}"));
            }
        }
    }

    fn values(&mut self, key: &Node, node: Option<&Node>) -> Option<ParameterKind> {
        let read = node.map(|node| self.texts(node)).unwrap_or_default();
        if read.is_empty() {
            if !node.is_some_and(Node::is_refused) {
                self.fault("missing_key", key, "an enum needs its values", "write values: [a, b]");
            }
            return None;
        }
        let mut seen = BTreeSet::new();
        let mut values = Vec::new();
        let free = ParameterKind::String { pattern: None };
        for (text, location) in read {
            if let Err(detail) = free.check(&text.as_str().into()) {
                let fault = Diagnostic::error("invalid_value", location, format!("a value of an enum {detail}"));
                self.faults.push(fault.with_hint("mend the value"));
            } else if seen.insert(text.clone()) {
                values.push(text);
            } else {
                let message = format!("the value `{}` stands twice", shorten(&text, 60));
                self.faults
                    .push(Diagnostic::error("invalid_value", location, message).with_hint("remove one of the two"));
            }
        }
        if values.len() > MAX_VALUES {
            let message = format!("an enum has at most {MAX_VALUES} values, not {}", values.len());
            self.fault("enum_limit", key, message, "a parameter that only fills tags can be a string with a pattern");
            return None;
        }
        if let ([value], Some(node)) = (values.as_slice(), node) {
            let message = format!("the enum has one value: there is nothing to choose beside `{}`", shorten(value, 60));
            self.warn("enum_single_value", node, message, "write the value in its place, or add the others");
        }
        Some(ParameterKind::Enum { values })
    }

    fn bounds(&mut self, min: Option<&Node>, max: Option<&Node>) -> Option<ParameterKind> {
        let read = |reader: &mut Self, node: Option<&Node>| node.and_then(|node| reader.number(node));
        let bounds = (read(self, min), read(self, max));
        if let ((Some(least), Some(greatest)), Some(node)) = (bounds, max)
            && least > greatest
        {
            let message = format!("no number lies between {least} and {greatest}");
            self.fault("invalid_value", node, message, "exchange `min` and `max`");
            return None;
        }
        Some(ParameterKind::Number { min: bounds.0, max: bounds.1 })
    }

    fn pattern(&mut self, node: &Node) -> Option<regex::Regex> {
        let text = self.text(node)?;
        let pattern = match regex::RegexBuilder::new(&text).size_limit(MAX_PATTERN).build() {
            Ok(pattern) => pattern,
            Err(error) => {
                let message = format!("this is not a regular expression that can be used: {}", reason(&error));
                self.fault("invalid_value", node, message, "write one such as \"^[a-z0-9-]+$\"");
                return None;
            }
        };
        if !(text.starts_with('^') && text.ends_with('$')) {
            let message = "the pattern lets everything pass in which it is found somewhere";
            self.warn(
                "unanchored_pattern",
                node,
                message,
                &format!("to match whole values write \"^(?:{})$\"", shorten(&text, 60)),
            );
        }
        Some(pattern)
    }
}

/// Why a pattern is none, without the drawing of it that stands before.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").trim_end_matches('.').to_owned()
}
