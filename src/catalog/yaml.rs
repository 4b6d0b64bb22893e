//! YAML → nodes with places. Read from the parser's events, so that nothing is changed silently and budgets hold while reading.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser};

use crate::diagnostic::{Diagnostic, Location};

/// A file's budgets: no keyspace comes near them, and a bomb dies at them.
const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 200_000;

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
    Scalar(String),
    Sequence(Vec<Node>),
    /// Keys with their places, no key twice.
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// The text of a scalar; `None` for others and for a plain `null`, `~` or nothing.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar(text) if !self.is_null() => Some(text),
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
            NodeKind::Scalar(_) => 0,
            NodeKind::Sequence(items) => items.len(),
            NodeKind::Mapping(entries) => entries.len(),
        }
    }

    pub fn is_null(&self) -> bool {
        self.plain && matches!(&self.kind, NodeKind::Scalar(text) if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// The value as JSON, by YAML's core schema.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.kind {
            NodeKind::Scalar(_) if self.is_null() => serde_json::Value::Null,
            NodeKind::Scalar(text) if self.plain => match text.as_str() {
                "true" => true.into(),
                "false" => false.into(),
                text => match (text.parse::<i64>(), text.parse::<f64>()) {
                    (Ok(number), _) => number.into(),
                    (_, Ok(number)) if number.is_finite() => number.into(),
                    _ => text.into(),
                },
            },
            NodeKind::Scalar(text) => text.as_str().into(),
            NodeKind::Sequence(items) => items.iter().map(Node::to_json).collect(),
            NodeKind::Mapping(entries) => {
                let entry = |(key, value): &(Node, Node)| (key.text().unwrap_or("null").to_owned(), value.to_json());
                serde_json::Value::Object(entries.iter().map(entry).collect())
            }
        }
    }
}

/// Reads one document.
///
/// # Errors
/// The first thing that keeps the file from being read, or all keys that stand twice.
pub fn read(file: &str, bytes: &[u8]) -> Result<Option<Node>, Vec<Diagnostic>> {
    let place = |line, column| Location { file: file.to_owned(), line, column };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        vec![Diagnostic::error("not_utf8", place(line, 1), "the file is not UTF-8").with_hint("save it as UTF-8")]
    })?;
    let text = text.trim_start_matches('\u{feff}');
    if let Some(at) = text.find('\0') {
        let line = text[..at].matches('\n').count() + 1;
        return Err(vec![Diagnostic::error("yaml_syntax", place(line, 1), "the file has a NUL character")]);
    }
    let mut reader = Reader { file, parser: Parser::new_from_str(text), nodes: 0, faults: Vec::new(), documents: 0 };
    let node = reader.document().map_err(|fault| vec![*fault])?;
    if reader.faults.is_empty() { Ok(node) } else { Err(reader.faults) }
}

struct Reader<'f, 't> {
    file: &'f str,
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    nodes: usize,
    faults: Vec<Diagnostic>,
    documents: usize,
}

/// A collection that is being read.
enum Open {
    Sequence(Vec<Node>, Location),
    Mapping { entries: Vec<(Node, Node)>, key: Option<Node>, seen: HashMap<String, Location>, location: Location },
}

type Fault = Box<Diagnostic>;

impl Reader<'_, '_> {
    fn at(&self, marker: &Marker) -> Location {
        Location { file: self.file.to_owned(), line: marker.line().max(1), column: marker.col() + 1 }
    }

    fn document(&mut self) -> Result<Option<Node>, Fault> {
        let mut open: Vec<Open> = Vec::new();
        let mut root = None;
        while let Some(event) = self.parser.next_event() {
            let (event, span) = event.map_err(|error| {
                let location = self.at(error.marker());
                let message = format!("the file is not YAML: {}", error.info());
                Box::new(
                    Diagnostic::error("yaml_syntax", location, message)
                        .with_hint("quote texts that hold `: { } [ ] , & * ! #`"),
                )
            })?;
            let location = self.at(&span.start);
            let tag = match &event {
                Event::Scalar(_, _, _, tag) | Event::SequenceStart(_, _, tag) | Event::MappingStart(_, _, tag) => {
                    tag.is_some()
                }
                _ => false,
            };
            if tag {
                let message = "an unquoted `!` is a YAML tag, which would change what follows it";
                return Err(self.refuse(location, message, "quote the text: \"!visitors\""));
            }
            let done = match event {
                Event::DocumentStart(..) => {
                    self.documents += 1;
                    if self.documents > 1 {
                        return Err(self.refuse(location, "the file has more than one document", "remove the `---`"));
                    }
                    None
                }
                Event::Alias(_) | Event::Anchor(..) | Event::UnresolvedAlias(_) => {
                    return Err(self.refuse(
                        location,
                        "YAML anchors and aliases are not read",
                        "quote a text that begins with `&` or `*`; share definitions through a library and `include`",
                    ));
                }
                Event::Scalar(_, _, anchor, _)
                | Event::SequenceStart(_, anchor, _)
                | Event::MappingStart(_, anchor, _)
                    if anchor != 0 =>
                {
                    return Err(self.refuse(
                        location,
                        "YAML anchors and aliases are not read",
                        "quote a text that begins with `&` or `*`; share definitions through a library and `include`",
                    ));
                }
                Event::Scalar(text, style, ..) => {
                    let plain = style == granit_parser::ScalarStyle::Plain;
                    Some(Node { kind: NodeKind::Scalar(text.into_owned()), location, plain })
                }
                Event::SequenceStart(..) => {
                    open.push(Open::Sequence(Vec::new(), location));
                    None
                }
                Event::MappingStart(..) => {
                    open.push(Open::Mapping { entries: Vec::new(), key: None, seen: HashMap::new(), location });
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => open.pop().map(closed),
                _ => None,
            };
            self.nodes += 1;
            if open.len() > MAX_DEPTH || self.nodes > MAX_NODES {
                let location = self.at(&span.start);
                let message =
                    format!("the file is nested deeper than {MAX_DEPTH} levels or has more than {MAX_NODES} nodes");
                return Err(Box::new(
                    Diagnostic::error("yaml_limit", location, message).with_hint("split it into several files"),
                ));
            }
            if let Some(node) = done {
                match open.last_mut() {
                    None => root = Some(node),
                    Some(Open::Sequence(items, _)) => items.push(node),
                    Some(Open::Mapping { entries, key, seen, .. }) => match key.take() {
                        None => {
                            self.faults.extend(repeated(&node, seen));
                            *key = Some(node);
                        }
                        Some(key) => entries.push((key, node)),
                    },
                }
            }
        }
        Ok(root)
    }

    fn refuse(&self, location: Location, message: &str, hint: &str) -> Fault {
        Box::new(Diagnostic::error("yaml_unsupported", location, message).with_hint(hint))
    }
}

fn closed(open: Open) -> Node {
    match open {
        Open::Sequence(items, location) => Node { kind: NodeKind::Sequence(items), location, plain: false },
        Open::Mapping { entries, location, .. } => Node { kind: NodeKind::Mapping(entries), location, plain: false },
    }
}

/// The fault of a key that stands before.
fn repeated(key: &Node, seen: &mut HashMap<String, Location>) -> Option<Diagnostic> {
    let text = key.text()?;
    let Some(first) = seen.get(text) else {
        seen.insert(text.to_owned(), key.location.clone());
        return None;
    };
    let fault = Diagnostic::error("duplicate_key", key.location.clone(), format!("the key `{text}` stands twice"));
    Some(fault.with_hint(format!("it stands first at {first}")).with_related(first.clone()))
}
