//! How findings are written: for people, for programs, for annotations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Severity};
use crate::repository::Listing;

/// The most characters of a line that are shown around a fault.
const SHOWN: usize = 120;

/// The lines of the files that findings are about.
pub struct Lines<'l> {
    files: BTreeMap<&'l str, Vec<&'l str>>,
}

impl<'l> Lines<'l> {
    pub fn new(listing: &'l Listing, found: &[Diagnostic]) -> Lines<'l> {
        let named: std::collections::BTreeSet<&str> = found.iter().map(|found| found.location.file.as_str()).collect();
        let files = listing.files.iter().filter(|file| named.contains(file.path.as_str()));
        let text = |bytes: &'l [u8]| std::str::from_utf8(bytes).ok().map(|text| text.trim_start_matches('\u{feff}'));
        let lines =
            files.filter_map(|file| Some((file.path.as_str(), text(file.content.as_ref().ok()?)?.lines().collect())));
        Lines { files: lines.collect() }
    }

    /// The part of a line around a column, and where in it the column is; one character of the file is one shown.
    fn around(&self, file: &str, line: usize, column: usize) -> Option<(String, usize)> {
        let line = self.files.get(file)?.get(line.checked_sub(1)?)?;
        let at = column.saturating_sub(1);
        let begin = if line.chars().nth(SHOWN).is_some() { at.saturating_sub(SHOWN / 2) } else { 0 };
        let plain = |c: char| match c {
            '\t' => ' ',
            c if crate::diagnostic::steers(c) => '\u{fffd}',
            c => c,
        };
        Some((line.chars().skip(begin).take(SHOWN).map(plain).collect(), at - begin))
    }
}

/// For people: the place, what is wrong, the line with a caret, what to do.
/// `prefix` makes its paths ones that can be opened.
pub fn human(found: &Diagnostic, prefix: &str, lines: &Lines<'_>) -> String {
    let location = &found.location;
    let mut text = format!("{prefix}{location}: {}[{}]: {}\n", found.severity.as_str(), found.code, found.message);
    if let Some((line, at)) = lines.around(&location.file, location.line, location.column) {
        let (number, caret) = (location.line.to_string(), " ".repeat(at));
        text.push_str(&format!("  {number} | {line}\n  {} | {caret}^\n", " ".repeat(number.len())));
    }
    found.related.iter().for_each(|other| text.push_str(&format!("  see also: {prefix}{other}\n")));
    found.hint.iter().for_each(|hint| text.push_str(&format!("  hint: {hint}\n")));
    text
}

/// An annotation as a workflow of GitHub reads it; properties and text have their own escapes.
pub fn github(found: &Diagnostic, prefix: &str) -> String {
    let text = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |value: &str| text(value).replace(':', "%3A").replace(',', "%2C");
    let mut hint = found.hint.as_ref().map_or(String::new(), |hint| format!("; {hint}"));
    found.related.iter().for_each(|other| hint.push_str(&format!("; see also {prefix}{other}")));
    let location = &found.location;
    let command = match found.severity {
        Severity::Note => "notice",
        severity => severity.as_str(),
    };
    format!(
        "::{command} file={},line={},col={},title={}::{}",
        property(&format!("{prefix}{}", location.file)),
        location.line,
        location.column,
        property(found.code),
        text(&format!("{}{hint}", found.message))
    )
}

/// What stands before the path of a file so that it can be opened from `base`: the directory that was checked, with a `/`.
pub fn prefix(directory: &Path, base: &Path) -> String {
    let absolute = base.join(directory);
    // A directory that lies below is named from there, whichever way it was written.
    let below = match (absolute.canonicalize(), base.canonicalize()) {
        (Ok(absolute), Ok(base)) => absolute.strip_prefix(base).map(Path::to_owned).ok(),
        _ => None,
    };
    let shown: PathBuf = below.unwrap_or_else(|| directory.to_owned());
    match shown.to_string_lossy().trim_end_matches('/') {
        "" | "." => String::new(),
        shown => format!("{shown}/"),
    }
}
