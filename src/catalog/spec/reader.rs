//! A node read as a value of a type, its faults told.

use crate::catalog::yaml::{Node, NodeKind};
use crate::diagnostic::{Diagnostic, Location};
use crate::formula::{Function, Template, is_name};

/// Reads values and gathers what is wrong with them.
pub struct Reader<'f> {
    pub faults: &'f mut Vec<Diagnostic>,
}

impl Reader<'_> {
    pub(super) fn fault(&mut self, code: &'static str, node: &Node, message: impl Into<String>, hint: &str) {
        self.faults.push(Diagnostic::error(code, node.location.clone(), message).with_hint(hint));
    }

    pub(super) fn entries<'n>(&mut self, node: &'n Node) -> Vec<(String, &'n Node, &'n Node)> {
        match &node.kind {
            NodeKind::Mapping(entries) => {
                let mut read = Vec::new();
                for (key, value) in entries {
                    match key.text() {
                        Some(text) => read.push((text.to_owned(), key, value)),
                        None => self.fault("wrong_type", key, "a key must be a text", "quote it"),
                    }
                }
                read
            }
            _ if node.is_null() => Vec::new(),
            _ => {
                self.fault("wrong_type", node, "a mapping of names is expected", "write `name: value` lines");
                Vec::new()
            }
        }
    }

    pub(super) fn fields<'n, 'k>(&mut self, node: &'n Node, known: &'k [&'k str]) -> Vec<(&'k str, &'n Node)> {
        let mut fields = Vec::new();
        for (name, key, value) in self.entries(node) {
            match known.iter().find(|field| **field == name) {
                Some(field) => fields.push((*field, value)),
                None => {
                    let nearest = known.iter().min_by_key(|field| strsim::levenshtein(field, &name));
                    let hint = match nearest.filter(|field| strsim::levenshtein(field, &name) <= 3) {
                        Some(nearest) => {
                            format!("did you mean `{nearest}`? An expression or text with a comma needs quotes")
                        }
                        None => {
                            format!("there are {}; an expression or text with a comma needs quotes", known.join(", "))
                        }
                    };
                    self.fault("unknown_key", key, format!("there is no key `{name}` here"), &hint);
                }
            }
        }
        fields
    }

    pub(super) fn text(&mut self, node: &Node) -> Option<String> {
        match node.text() {
            Some(text) => Some(text.to_owned()),
            None => {
                self.fault(
                    "wrong_type",
                    node,
                    "a text is expected",
                    "write a text; quote it if it is `null` or has special characters",
                );
                None
            }
        }
    }

    pub(super) fn texts(&mut self, node: &Node) -> Vec<(String, Location)> {
        match &node.kind {
            NodeKind::Sequence(items) => {
                items.iter().filter_map(|item| self.text(item).map(|text| (text, item.location.clone()))).collect()
            }
            _ => self.text(node).map(|text| (text, node.location.clone())).into_iter().collect(),
        }
    }

    pub(super) fn names(&mut self, node: &Node) -> Vec<String> {
        let mut names: Vec<String> = self.texts(node).into_iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        names
    }

    pub(super) fn one_of<T>(&mut self, node: &Node, read: impl Fn(&str) -> Option<T>, expected: &str) -> Option<T> {
        let text = self.text(node)?;
        let value = read(&text);
        if value.is_none() {
            self.fault(
                "invalid_value",
                node,
                format!("`{text}` is not one of {expected}"),
                &format!("use one of {expected}"),
            );
        }
        value
    }

    pub(super) fn flag(&mut self, node: &Node) -> bool {
        match node.to_json() {
            serde_json::Value::Bool(flag) => flag,
            _ => {
                self.fault("wrong_type", node, "true or false is expected", "write true or false");
                false
            }
        }
    }

    pub(super) fn number(&mut self, node: &Node) -> Option<f64> {
        let number = node.to_json().as_f64();
        if number.is_none() {
            self.fault("wrong_type", node, "a number is expected", "write a number");
        }
        number
    }

    pub(super) fn template(&mut self, node: &Node) -> Option<Template> {
        let text = self.text(node)?;
        match Template::parse(&text) {
            Ok(template) => Some(template),
            Err(error) => {
                self.fault("invalid_template", node, error.message, "write `${name}` with a declared parameter");
                None
            }
        }
    }

    pub(super) fn check_name(&mut self, name: &str, key: &Node) {
        let plain = Template::parse(name).ok().and_then(|name| name.complete(|_| Some("x".to_owned())).ok());
        if !plain.is_some_and(|plain| is_name(&plain)) {
            self.fault(
                "invalid_name",
                key,
                format!("`{name}` is not a name"),
                "names are letters, digits and `_`, at most 128, and begin with no digit",
            );
        } else if is_reserved(name) {
            self.fault("reserved_name", key, format!("`{name}` is a reserved name"), "choose another name");
        }
    }
}

/// Words that no metric, formula or parameter may be named.
pub fn is_reserved(name: &str) -> bool {
    let words = ["true", "false", "null", "inf", "infinity", "nan"];
    Function::from_name(name).is_some() || words.contains(&name.to_ascii_lowercase().as_str())
}
