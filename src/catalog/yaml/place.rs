//! Where the characters of a scalar stand in its file, whatever quotes, escapes, folds and indentation lie between.

use granit_parser::ScalarStyle;

use crate::diagnostic::Location;

/// Maps a scalar's text to its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where the scalar begins, with its quote.
    start: Location,
    /// Whether a quote stands before the text.
    quoted: bool,
    /// Where the text does not simply go on; empty where it stands on one line as it is.
    marks: Vec<Mark>,
}

/// From this byte of the text on, characters stand side by side from this line and column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    byte: usize,
    line: usize,
    column: usize,
}

impl Place {
    /// The place of a scalar of which `source` is written and `text` is meant.
    pub fn new(start: Location, style: ScalarStyle, source: &str, text: &str) -> Place {
        let quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        let as_it_is = source.get(usize::from(quoted)..).is_some_and(|source| source.starts_with(text));
        let simple = as_it_is && !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) && !text.contains('\n');
        let marks = if simple { Vec::new() } else { marks(&start, style, source, text) };
        Place { start, quoted, marks }
    }

    /// Where a byte of the text stands.
    pub fn at(&self, text: &str, byte: usize) -> Location {
        let first = Mark { byte: 0, line: self.start.line, column: self.start.column + usize::from(self.quoted) };
        let before = self.marks.partition_point(|mark| mark.byte <= byte);
        let mark = before.checked_sub(1).and_then(|index| self.marks.get(index)).copied().unwrap_or(first);
        let between = text.get(mark.byte..byte).map_or(0, |between| between.chars().count());
        Location { file: self.start.file.clone(), line: mark.line, column: mark.column + between }
    }
}

/// White space is what folds and indentation change; all other characters are written in the order in which they are meant.
fn marks(start: &Location, style: ScalarStyle, source: &str, text: &str) -> Vec<Mark> {
    let mut written = Written { rest: source, line: start.line, column: start.column, style };
    written.skip_opening();
    let mut marks = Vec::new();
    let mut expected = None;
    for (byte, character) in text.char_indices() {
        if !character.is_whitespace() {
            let Some((line, column)) = written.next_visible() else { break };
            if expected != Some((line, column)) {
                marks.push(Mark { byte, line, column });
            }
            expected = Some((line, column));
        }
        expected = expected.map(|(line, column)| (line, column + 1));
    }
    marks
}

/// The characters of a scalar as they are written.
struct Written<'s> {
    rest: &'s str,
    line: usize,
    column: usize,
    style: ScalarStyle,
}

impl Written<'_> {
    fn skip_opening(&mut self) {
        match self.style {
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => drop(self.take()),
            // The parser's span of a block begins behind its header and first indentation.
            ScalarStyle::Literal | ScalarStyle::Folded | ScalarStyle::Plain => {}
        }
    }

    /// The next character, the place moved behind it.
    fn take(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.rest = &self.rest[character.len_utf8()..];
        // The second half of a Windows line end begins the line.
        if character == '\n' || (character == '\r' && !self.rest.starts_with('\n')) {
            (self.line, self.column) = (self.line + 1, 1);
        } else {
            self.column += 1;
        }
        Some(character)
    }

    /// The place of the next character that is meant and is not white space.
    fn next_visible(&mut self) -> Option<(usize, usize)> {
        loop {
            let place = (self.line, self.column);
            let meant = match (self.take()?, self.style) {
                ('\'', ScalarStyle::SingleQuoted) => self.take()?,
                ('\\', ScalarStyle::DoubleQuoted) => self.escaped()?,
                (character, _) => character,
            };
            if !meant.is_whitespace() {
                return Some(place);
            }
        }
    }

    /// What stands behind a backslash.
    fn escaped(&mut self) -> Option<char> {
        let digits = match self.take()? {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            'n' | 't' | 'r' | 'v' | 'f' | '_' | 'N' | 'L' | 'P' => return Some(' '),
            other => return Some(other),
        };
        let mut code = 0;
        for _ in 0..digits {
            code = code * 16 + self.take()?.to_digit(16)?;
        }
        char::from_u32(code)
    }
}
