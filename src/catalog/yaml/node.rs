//! A value of a file and where it stands.

use super::place::Place;
use crate::diagnostic::Location;

/// A value of a file and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    pub kind: NodeKind,
    pub location: Location,
    /// Whether it is a scalar without quotes.
    pub plain: bool,
}

#[derive(Debug, Clone)]
pub enum NodeKind {
    /// A text, and where its characters stand.
    Scalar(String, Place),
    Sequence(Vec<Node>),
    /// Keys with their places, no key twice.
    Mapping(Vec<(Node, Node)>),
    /// What is not read, and has its diagnostic already.
    Refused,
}

impl Node {
    /// The text of a scalar; `None` for others and for a plain `null`, `~` or nothing.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar(text, _) if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// The value of a mapping's key.
    pub fn get(&self, name: &str) -> Option<&Node> {
        match &self.kind {
            NodeKind::Mapping(entries) => {
                entries.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// How many entries or items it has.
    pub fn len(&self) -> usize {
        match &self.kind {
            NodeKind::Scalar(..) | NodeKind::Refused => 0,
            NodeKind::Sequence(items) => items.len(),
            NodeKind::Mapping(entries) => entries.len(),
        }
    }

    pub fn is_null(&self) -> bool {
        let null = |text: &str| matches!(text, "" | "~" | "null" | "Null" | "NULL");
        self.plain && matches!(&self.kind, NodeKind::Scalar(text, _) if null(text))
    }

    /// Whether it was not read, and its diagnostic is told already.
    pub fn is_refused(&self) -> bool {
        matches!(self.kind, NodeKind::Refused)
    }

    pub fn is_mapping(&self) -> bool {
        matches!(self.kind, NodeKind::Mapping(_))
    }

    /// Where a byte of its text stands.
    pub fn at(&self, byte: usize) -> Location {
        match &self.kind {
            NodeKind::Scalar(text, place) => place.at(text, byte),
            _ => self.location.clone(),
        }
    }

    /// The value as JSON text, by YAML's core schema: keys in their order, numbers with all their digits.
    pub fn to_json_text(&self) -> String {
        match &self.kind {
            NodeKind::Scalar(text, _) if self.plain && is_json_number(text) => text.clone(),
            NodeKind::Sequence(items) => {
                format!("[{}]", items.iter().map(Node::to_json_text).collect::<Vec<_>>().join(","))
            }
            NodeKind::Mapping(entries) => {
                let key = |key: &Node| serde_json::Value::from(key.text().unwrap_or("null")).to_string();
                let entries = entries.iter().map(|(name, value)| format!("{}:{}", key(name), value.to_json_text()));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
            }
            _ => self.to_json().to_string(),
        }
    }

    /// The value as JSON, by YAML's core schema.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.kind {
            NodeKind::Refused => serde_json::Value::Null,
            NodeKind::Scalar(..) if self.is_null() => serde_json::Value::Null,
            NodeKind::Scalar(text, _) if self.plain => plain_to_json(text),
            NodeKind::Scalar(text, _) => text.as_str().into(),
            NodeKind::Sequence(items) => items.iter().map(Node::to_json).collect(),
            NodeKind::Mapping(entries) => {
                let entry = |(key, value): &(Node, Node)| (key.text().unwrap_or("null").to_owned(), value.to_json());
                serde_json::Value::Object(entries.iter().map(entry).collect())
            }
        }
    }
}

/// Whether a text is a number as JSON writes one, which a reader of 64-bit floats can take.
fn is_json_number(text: &str) -> bool {
    text.ends_with(|last: char| last.is_ascii_digit()) && serde_json::from_str::<f64>(text).is_ok()
}

fn plain_to_json(text: &str) -> serde_json::Value {
    match text {
        "true" | "True" | "TRUE" => return true.into(),
        "false" | "False" | "FALSE" => return false.into(),
        _ => {}
    }
    let based =
        |prefix: &str, radix| text.strip_prefix(prefix).and_then(|digits| u64::from_str_radix(digits, radix).ok());
    if let Some(number) = based("0x", 16).or_else(|| based("0o", 8)) {
        return number.into();
    }
    match (text.parse::<i64>(), text.parse::<u64>(), text.parse::<f64>()) {
        (Ok(number), ..) => number.into(),
        (_, Ok(number), _) => number.into(),
        (.., Ok(number)) if number.is_finite() => number.into(),
        _ => text.into(),
    }
}
