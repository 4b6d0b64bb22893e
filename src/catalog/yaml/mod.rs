//! YAML → nodes with places. Read from the parser's events, so that nothing is changed silently and budgets hold while reading.

mod node;
mod place;

pub use node::{Node, NodeKind};
pub use place::Place;

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, Span};

use crate::diagnostic::{Diagnostic, Location, shorten};

/// A file's budgets: no keyspace comes near them, and a bomb dies at them.
const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 200_000;
const MAX_FAULTS: usize = 200;

/// What could be read of a file.
#[derive(Debug, Default)]
pub struct Document {
    /// `None` where the file is empty.
    pub root: Option<Node>,
    /// False where nothing behind some place could be read.
    pub whole: bool,
}

/// Reads one document. What is wrong with it goes to `faults`; what can be read beside it still is.
pub fn read(file: &str, bytes: &[u8], faults: &mut Vec<Diagnostic>) -> Document {
    match text_of(file, bytes).and_then(|text| Reader::new(file, text, faults).document()) {
        Ok(root) => Document { root, whole: true },
        Err(fault) => {
            faults.push(*fault);
            Document::default()
        }
    }
}

/// The place that follows a text.
fn behind(file: &str, before: &str) -> Location {
    let line = before.rsplit('\n').next().unwrap_or(before);
    Location { file: file.to_owned(), line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
}

/// The text of a file, without its byte order mark.
fn text_of<'b>(file: &str, bytes: &'b [u8]) -> Result<&'b str, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let before = before.trim_start_matches('\u{feff}');
        Diagnostic::error("not_utf8", behind(file, before), "the file is not UTF-8").with_hint("save it as UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.find('\0') {
        Some(at) => {
            let fault = Diagnostic::error("yaml_syntax", behind(file, &text[..at]), "the file has a NUL character");
            Err(Box::new(fault.with_hint("remove it; in double quotes \"\\0\" would be one, which no field takes")))
        }
        None => Ok(text),
    }
}

struct Reader<'f, 't> {
    file: &'f str,
    text: &'t str,
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    nodes: usize,
    faults: &'f mut Vec<Diagnostic>,
    documents: usize,
}

/// A collection that is being read.
enum Open {
    Sequence(Vec<Node>, Location),
    Mapping { entries: Vec<(Node, Node)>, key: Option<Node>, seen: HashMap<String, Location>, location: Location },
}

type Fault = Box<Diagnostic>;

impl<'f, 't> Reader<'f, 't> {
    fn new(file: &'f str, text: &'t str, faults: &'f mut Vec<Diagnostic>) -> Reader<'f, 't> {
        let mut options = granit_parser::Options::default();
        options.emit_unresolved_aliases = true;
        Reader { file, text, parser: Parser::new_from_str_with_options(text, options), nodes: 0, faults, documents: 0 }
    }

    fn at(&self, marker: &Marker) -> Location {
        Location { file: self.file.to_owned(), line: marker.line().max(1), column: marker.col() + 1 }
    }

    fn document(&mut self) -> Result<Option<Node>, Fault> {
        let mut open: Vec<Open> = Vec::new();
        let mut refused: Vec<bool> = Vec::new();
        let mut root = None;
        while let Some(event) = self.parser.next_event() {
            let (event, span) = event.map_err(|error| self.syntax(error.marker(), &error.info()))?;
            let location = self.at(&span.start);
            let changed = self.refuse_changed(&event, &span);
            let mut done = match event {
                Event::DocumentStart(..) => {
                    self.documents += 1;
                    if self.documents > 1 {
                        let message = "the file has more than one document";
                        let fault = Diagnostic::error("yaml_unsupported", location, message);
                        return Err(Box::new(fault.with_hint("remove the `---`")));
                    }
                    None
                }
                Event::Alias(_) | Event::UnresolvedAlias(_) => {
                    Some(Node { kind: NodeKind::Refused, location, plain: false })
                }
                Event::Scalar(text, style, ..) => Some(self.scalar(text.into_owned(), style, &span, location)),
                Event::SequenceStart(..) => {
                    refused.push(changed);
                    open.push(Open::Sequence(Vec::new(), location));
                    None
                }
                Event::MappingStart(..) => {
                    refused.push(changed);
                    open.push(Open::Mapping { entries: Vec::new(), key: None, seen: HashMap::new(), location });
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => open.pop().map(|open| closed(open, refused.pop())),
                _ => None,
            };
            if let Some(node) = done.as_mut().filter(|_| changed) {
                node.kind = NodeKind::Refused;
            }
            self.nodes += 1;
            if self.faults.len() > MAX_FAULTS {
                let message = format!("the file has more than {MAX_FAULTS} faults so far, and is read no further");
                let fault = Diagnostic::error("yaml_limit", self.at(&span.start), message);
                return Err(Box::new(fault.with_hint("mend those first")));
            }
            if open.len() > MAX_DEPTH || self.nodes > MAX_NODES {
                return Err(self.too_much(&span.start));
            }
            match done {
                Some(node) if open.is_empty() => root = Some(node),
                Some(node) => self.faults.extend(open.last_mut().and_then(|open| added(open, node))),
                None => {}
            }
        }
        Ok(root)
    }

    fn scalar(&self, text: String, style: granit_parser::ScalarStyle, span: &Span, location: Location) -> Node {
        let source = span.byte_range().and_then(|range| self.text.get(range)).unwrap_or_default();
        let place = Place::new(location.clone(), style, source, &text);
        let plain = style == granit_parser::ScalarStyle::Plain;
        Node { kind: NodeKind::Scalar(text, place), location, plain }
    }

    /// Tags, anchors and aliases would change what the author wrote: `!visitors` is no text to YAML, `&a b` is `b`. Tells it and
    /// says whether it is so.
    fn refuse_changed(&mut self, event: &Event<'_>, span: &Span) -> bool {
        let (tag, anchor) = match event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(_, anchor, tag)
            | Event::MappingStart(_, anchor, tag) => (tag.is_some(), *anchor != 0),
            Event::Alias(_) | Event::Anchor(..) | Event::UnresolvedAlias(_) => (false, true),
            _ => (false, false),
        };
        let (message, hint) = match (tag, anchor) {
            (false, false) => return false,
            (true, _) => (
                "an unquoted `!` is a YAML tag, which would change what follows it",
                "quote the whole text: \"!visitors\"",
            ),
            (false, true) => (
                "an unquoted `&` or `*` is a YAML anchor or alias, which would change what follows it",
                "quote a text that begins with `&` or `*`; to share definitions, put them in a library and `include` it",
            ),
        };
        let location = match (span.tag_start(), matches!(event, Event::Alias(_) | Event::UnresolvedAlias(_))) {
            (Some(start), _) => self.at(&start),
            (None, true) => self.at(&span.start),
            (None, false) => self.before(&span.start, '&'),
        };
        self.faults.push(Diagnostic::error("yaml_unsupported", location, message).with_hint(hint));
        true
    }

    /// The last place of a character before a marker, else the marker's.
    fn before(&self, marker: &Marker, character: char) -> Location {
        let before = marker.byte_offset().and_then(|end| self.text.get(..end)).unwrap_or_default();
        match before.rfind(character) {
            Some(at) => behind(self.file, &before[..at]),
            None => self.at(marker),
        }
    }

    fn syntax(&self, marker: &Marker, reason: &str) -> Fault {
        let message = format!("the file is not YAML: {}", shorten(reason, 200));
        let hint = "mend the brackets, quotes or indentation (spaces, no tabs) here; quote texts that hold `: { } [ ] , & * ! # | > @ %`";
        Box::new(Diagnostic::error("yaml_syntax", self.at(marker), message).with_hint(hint))
    }

    fn too_much(&self, marker: &Marker) -> Fault {
        let message = format!("the file is nested deeper than {MAX_DEPTH} levels or has more than {MAX_NODES} nodes");
        Box::new(Diagnostic::error("yaml_limit", self.at(marker), message).with_hint("split it into several files"))
    }
}

fn closed(open: Open, refused: Option<bool>) -> Node {
    let (kind, location) = match open {
        Open::Sequence(items, location) => (NodeKind::Sequence(items), location),
        Open::Mapping { entries, location, .. } => (NodeKind::Mapping(entries), location),
    };
    Node { kind: if refused == Some(true) { NodeKind::Refused } else { kind }, location, plain: false }
}

/// Puts a node into the collection that it belongs to. A key that stands there already is a fault, and what it holds is left out.
fn added(open: &mut Open, node: Node) -> Option<Diagnostic> {
    match open {
        Open::Sequence(items, _) => {
            items.push(node);
            None
        }
        Open::Mapping { entries, key, seen, .. } => match key.take() {
            None => {
                *key = Some(node);
                None
            }
            Some(key) => {
                let fault = repeated(&key, seen);
                if fault.is_none() {
                    entries.push((key, node));
                }
                fault
            }
        },
    }
}

/// The fault of a key that stands before.
fn repeated(key: &Node, seen: &mut HashMap<String, Location>) -> Option<Diagnostic> {
    let text = key.text()?;
    let Some(first) = seen.get(text) else {
        seen.insert(text.to_owned(), key.location.clone());
        return None;
    };
    let message = format!("the key `{}` stands twice", shorten(text, 60));
    let fault = Diagnostic::error("duplicate_key", key.location.clone(), message);
    Some(fault.with_hint("remove or rename one of the two").with_related(first.clone()))
}
