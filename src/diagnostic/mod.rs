//! What is said of a file that a user wrote: code, severity, message, place and hint. Collected, never thrown one by one.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The keyspace cannot be served.
    Error,
    /// It can, but somebody should look.
    Warning,
    /// Something to know.
    Note,
}

impl Severity {
    /// `error`, `warning` or `note`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// A place in a file of the repository. Lines and columns count from 1; columns count characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Location {
    /// The path relative to the repository, with `/`.
    pub file: String,
    /// The line, 1 when the whole file is meant.
    pub line: usize,
    /// The column, 1 when the whole line is meant.
    pub column: usize,
}

impl Location {
    /// The beginning of a file, where the whole of it is meant.
    pub fn start(file: impl Into<String>) -> Location {
        Location { file: file.into(), line: 1, column: 1 }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", visible(&self.file), self.line, self.column)
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable identifier, such as `unknown_name`.
    pub code: &'static str,
    /// What is wrong, in a sentence without a full stop.
    pub message: String,
    /// Where.
    #[serde(flatten)]
    pub location: Location,
    /// What to do about it.
    pub hint: Option<String>,
    /// Other places that matter, such as the first definition of a name defined twice.
    pub related: Vec<Location>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, location: Location, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            code,
            message: visible(&message.into()).into_owned(),
            location,
            hint: None,
            related: Vec::new(),
        }
    }

    /// A warning.
    pub fn warning(code: &'static str, location: Location, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, location, message) }
    }

    /// Something to know.
    pub fn note(code: &'static str, location: Location, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Note, ..Diagnostic::error(code, location, message) }
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(visible(&hint.into()).into_owned());
        self
    }

    /// The same with another place that matters.
    #[must_use]
    pub fn with_related(mut self, location: Location) -> Diagnostic {
        self.related.push(location);
        self
    }
}

/// Puts findings in the order of their places, each once.
pub fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|a, b| (&a.location, a.code, &a.message).cmp(&(&b.location, b.code, &b.message)));
    diagnostics.dedup();
}

/// A text whose characters can all be seen: what a file holds must not steer a terminal or turn a line around.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match steers(character) {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Whether a character is none to look at: a control character, a mark that turns a line around, a line break.
pub fn steers(c: char) -> bool {
    let marks = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    marks || c.is_control()
}

/// The beginning of a text that a user wrote, for a message.
pub fn shorten(text: &str, characters: usize) -> Cow<'_, str> {
    match text.char_indices().nth(characters) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// "did you mean": the candidate that is nearest to a name, if it is near.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let length = name.chars().count();
    let far = (length / 3).clamp(1, 4);
    let near = candidates.into_iter().filter(|candidate| candidate.chars().count().abs_diff(length) <= far);
    let near = near.map(|candidate| (strsim::damerau_levenshtein(candidate, name), candidate));
    near.filter(|(distance, _)| *distance <= far).min().map(|(_, candidate)| candidate)
}
