//! A node read as a value of a type, its faults told.

use crate::catalog::yaml::{Node, NodeKind};
use crate::diagnostic::{Diagnostic, Location, nearest, shorten};
use crate::formula::{Function, Template, is_name};

/// Reads values and gathers what is wrong with them.
pub struct Reader<'f> {
    pub faults: &'f mut Vec<Diagnostic>,
}

impl Reader<'_> {
    pub(super) fn fault(&mut self, code: &'static str, node: &Node, message: impl Into<String>, hint: &str) {
        self.faults.push(Diagnostic::error(code, node.location.clone(), message).with_hint(hint));
    }

    /// A finding that does not keep the keyspace from being served.
    pub(super) fn warn(&mut self, code: &'static str, node: &Node, message: impl Into<String>, hint: &str) {
        self.faults.push(Diagnostic::warning(code, node.location.clone(), message).with_hint(hint));
    }

    pub(super) fn entries<'n>(&mut self, node: &'n Node) -> Vec<(String, &'n Node, &'n Node)> {
        match &node.kind {
            NodeKind::Mapping(entries) => {
                let mut read = Vec::new();
                for (key, value) in entries {
                    match key.text() {
                        Some(text) => read.push((text.to_owned(), key, value)),
                        None if key.is_refused() => {}
                        None => self.fault("wrong_type", key, "a key must be a text", "quote it"),
                    }
                }
                read
            }
            _ if node.is_null() || node.is_refused() => Vec::new(),
            _ => {
                self.fault(
                    "wrong_type",
                    node,
                    "a mapping is expected",
                    "write `name: value` lines, or { name: value }",
                );
                Vec::new()
            }
        }
    }

    pub(super) fn fields<'n, 'k>(&mut self, node: &'n Node, known: &'k [&'k str]) -> Vec<(&'k str, &'n Node)> {
        let mut fields = Vec::new();
        for (name, key, value) in self.entries(node) {
            match known.iter().find(|field| **field == name) {
                Some(field) => fields.push((*field, value)),
                None => self.unknown_key(&name, key, value, known),
            }
        }
        fields
    }

    fn unknown_key(&mut self, name: &str, key: &Node, value: &Node, known: &[&str]) {
        let hint = match nearest(name, known.iter().copied()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            // `{ expr: max(a, b) }` is read as the keys `expr` and `b)`, the second without a value.
            None if value.is_null() => {
                "inside { } a comma ends a value: quote the text or expression that holds it".to_owned()
            }
            None => format!("there are {}", known.join(", ")),
        };
        self.fault("unknown_key", key, format!("there is no key `{}` here", shorten(name, 60)), &hint);
    }

    pub(super) fn text(&mut self, node: &Node) -> Option<String> {
        match node.text() {
            Some(text) => Some(text.to_owned()),
            None if node.is_refused() => None,
            None => {
                let (message, hint) = match node.is_null() {
                    true => (
                        "a text is expected, and YAML reads this as nothing",
                        "write a text; quote it if it is `null` or `~`",
                    ),
                    false => ("a text is expected", "write one text; quote it if it begins with `[` or `{`"),
                };
                self.fault("wrong_type", node, message, hint);
                None
            }
        }
    }

    /// A text that is data in a database: its name or a tag.
    pub(super) fn stored(&mut self, node: &Node) -> Option<Template> {
        let template = self.template(node)?;
        let text = node.text().unwrap_or_default();
        if text.chars().any(char::is_control) {
            let message = "a control character cannot stand in a stored name or a tag";
            self.fault("invalid_value", node, message, "remove it");
            return None;
        }
        Some(template)
    }

    pub(super) fn texts(&mut self, node: &Node) -> Vec<(String, Location)> {
        match &node.kind {
            NodeKind::Sequence(items) => {
                items.iter().filter_map(|item| self.text(item).map(|text| (text, item.location.clone()))).collect()
            }
            _ => self.text(node).map(|text| (text, node.location.clone())).into_iter().collect(),
        }
    }

    /// The names of tags: sorted, no repeats, and no parameter in them, since they are known at load.
    pub(super) fn tag_names(&mut self, node: &Node) -> Vec<String> {
        let items = match &node.kind {
            NodeKind::Sequence(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut names: Vec<String> = items.iter().filter_map(|item| self.tag_name(item)).collect();
        names.sort();
        names.dedup();
        names
    }

    pub(super) fn tag_name(&mut self, node: &Node) -> Option<String> {
        let template = self.stored(node)?;
        match template.as_literal() {
            Some("") => {
                self.fault("invalid_value", node, "a tag's name cannot be empty", "write the name of a stored tag");
                None
            }
            Some(name) => Some(name.to_owned()),
            None => {
                let message = "the name of a tag cannot hold a parameter: the tags of series are known at load";
                self.fault("invalid_template", node, message, "write the tag's name; its value may hold parameters");
                None
            }
        }
    }

    pub(super) fn one_of<T>(&mut self, node: &Node, read: impl Fn(&str) -> Option<T>, expected: &str) -> Option<T> {
        let text = self.text(node)?;
        let value = read(&text);
        if value.is_none() {
            let hint = match nearest(&text, expected.split(", ")) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("use one of {expected}"),
            };
            self.fault("invalid_value", node, format!("`{}` is not one of {expected}", shorten(&text, 60)), &hint);
        }
        value
    }

    pub(super) fn flag(&mut self, node: &Node) -> bool {
        match node.to_json() {
            serde_json::Value::Bool(flag) => flag,
            _ if node.is_refused() => false,
            _ => {
                self.fault("wrong_type", node, "true or false is expected", "write true or false, without quotes");
                false
            }
        }
    }

    pub(super) fn number(&mut self, node: &Node) -> Option<f64> {
        let number = node.to_json().as_f64();
        if number.is_none() && !node.is_refused() {
            self.fault("wrong_type", node, "a finite number is expected", "write a number, without quotes");
        }
        number
    }

    pub(super) fn template(&mut self, node: &Node) -> Option<Template> {
        let text = self.text(node)?;
        match Template::parse(&text) {
            Ok(template) => Some(template),
            Err(error) => {
                let fault = Diagnostic::error("invalid_template", node.at(error.offset), error.message);
                self.faults
                    .push(fault.with_hint("write `${name}` with a declared parameter, or `$${` for a literal `${`"));
                None
            }
        }
    }

    /// The parameters of a text, each with its place.
    pub(super) fn params(node: &Node) -> impl Iterator<Item = (String, Location)> + '_ {
        let text = node.text().unwrap_or_default();
        Template::offsets(text).into_iter().map(|(offset, name)| (name.to_owned(), node.at(offset)))
    }

    /// Whether a key can name a metric or a formula; tells it where not.
    pub(super) fn check_name(&mut self, name: &str, key: &Node) -> bool {
        let plain = Template::parse(name).ok().and_then(|name| name.complete(|_| Some("x".to_owned())).ok());
        let shown = shorten(name, 60);
        if !plain.is_some_and(|plain| is_name(&plain)) {
            let message = format!("`{shown}` is not a name");
            let hint =
                "names are letters, digits and `_`, at most 128, begin with no digit, and may hold one `${enum}`";
            self.fault("invalid_name", key, message, hint);
            return false;
        }
        self.check_reserved(name, key)
    }

    pub(super) fn check_reserved(&mut self, name: &str, key: &Node) -> bool {
        let message = match Function::from_name(name) {
            Some(_) => format!("`{name}` is the name of a function"),
            None if is_reserved(name) => format!("`{name}` is a reserved word"),
            None => return true,
        };
        self.fault("reserved_name", key, message, &format!("choose another name, such as `{name}_value`"));
        false
    }
}

/// Words that no metric, formula or parameter may be named.
pub fn is_reserved(name: &str) -> bool {
    let words = ["true", "false", "null", "inf", "infinity", "nan"];
    Function::from_name(name).is_some() || words.contains(&name.to_ascii_lowercase().as_str())
}
