//! `check`: what a pull request runs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::Status;
use super::test::Coverage;
use crate::app;
use crate::config::Flags;
use crate::diagnostic::{Diagnostic, Severity};
use crate::repository::{Directory, Location, Source, keyspace_of};
use crate::{catalog, repository};

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The directory of keyspace files [default: what the configuration names]
    directory: Option<PathBuf>,
    /// How findings are written
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// A formula that no test covers is an error, not a warning
    #[arg(long)]
    require_tests: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Human,
    /// A list of objects
    Json,
    /// Annotations of GitHub's workflows
    Github,
}

pub fn run(flags: &Flags, args: &CheckArgs, out: &mut impl Write) -> anyhow::Result<Status> {
    let listing = source(flags, args.directory.as_deref())?.list()?;
    let config = app::read_config(flags)?;
    let catalog = catalog::compile(&listing);
    let mut found = catalog.diagnostics.clone();
    for keyspace in catalog.keyspaces.values() {
        // The flag asks about one database, whatever the operator's file says of single keyspaces.
        let backend = if flags.backend.is_some() { config.backend } else { config.backend_of(&keyspace.name) };
        found.extend(catalog::check_backend(keyspace, &config.capabilities(backend)));
        found.extend(catalog::lint(keyspace));
    }
    let severity = if args.require_tests { Severity::Error } else { Severity::Warning };
    found.extend(Coverage::of(&listing, &catalog).diagnostics(severity));
    found.sort_by(|a, b| (&a.location, a.code, &a.message).cmp(&(&b.location, b.code, &b.message)));
    found.dedup();
    match args.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?,
        Format::Human => found.iter().try_for_each(|diagnostic| write!(out, "{}", human(diagnostic, &listing)))?,
        Format::Github => found.iter().try_for_each(|diagnostic| writeln!(out, "{}", github(diagnostic)))?,
    }
    let count = |severity| found.iter().filter(|diagnostic| diagnostic.severity == severity).count();
    let errors = count(Severity::Error);
    if args.format == Format::Human {
        let files = listing.files.iter().filter(|file| keyspace_of(&file.path).is_some()).count();
        let (warnings, keyspaces) = (count(Severity::Warning), catalog.keyspaces.len());
        writeln!(out, "{files} file(s), {keyspaces} sound keyspace(s), {errors} error(s), {warnings} warning(s)")?;
    }
    Ok(Status::of_findings(errors > 0))
}

/// The directory that is named, else the configured repository.
pub fn source(flags: &Flags, directory: Option<&Path>) -> anyhow::Result<Arc<dyn Source>> {
    // Read also where a directory is named, so that a wrong `--backend` or file is told.
    let config = app::read_config(flags)?;
    Ok(match directory {
        Some(directory) => Arc::new(Directory::new(directory, config.repository.files)),
        None => app::source(&config),
    })
}

/// The directory that the files lie in, where they do.
pub fn directory(flags: &Flags, named: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    Ok(match (named, app::read_config(flags)?.formulas) {
        (Some(directory), _) => Some(directory.to_owned()),
        (None, Location::Directory(directory)) => Some(directory).filter(|directory| directory.is_dir()),
        (None, Location::Git(_)) => None,
    })
}

fn human(found: &Diagnostic, listing: &repository::Listing) -> String {
    let place = &found.location;
    let mut text = format!("{place}: {}[{}]: {}\n", found.severity.as_str(), found.code, found.message);
    if let Some(line) = source_line(listing, &place.file, place.line) {
        let number = place.line.to_string();
        let caret = " ".repeat(place.column.saturating_sub(1));
        text.push_str(&format!("  {number} | {line}\n  {} | {caret}^\n", " ".repeat(number.len())));
    }
    found.related.iter().for_each(|other| text.push_str(&format!("  see also: {other}\n")));
    found.hint.iter().for_each(|hint| text.push_str(&format!("  hint: {hint}\n")));
    text
}

fn source_line<'a>(listing: &'a repository::Listing, file: &str, line: usize) -> Option<&'a str> {
    let file = listing.files.iter().find(|candidate| candidate.path == file)?;
    let text = std::str::from_utf8(file.content.as_ref().ok()?).ok()?;
    let line = text.lines().nth(line.checked_sub(1)?)?;
    (line.len() <= 400 && !line.chars().any(char::is_control)).then_some(line)
}

/// An annotation as a workflow of GitHub reads it; properties and text have their own escapes.
fn github(found: &Diagnostic) -> String {
    let text = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |value: &str| text(value).replace(':', "%3A").replace(',', "%2C");
    let hint = found.hint.as_ref().map_or(String::new(), |hint| format!("; {hint}"));
    let place = &found.location;
    let command = match found.severity {
        Severity::Note => "notice",
        severity => severity.as_str(),
    };
    format!(
        "::{command} file={},line={},col={},title={}::{}",
        property(&place.file),
        place.line,
        place.column,
        property(found.code),
        text(&format!("{}{hint}", found.message))
    )
}
