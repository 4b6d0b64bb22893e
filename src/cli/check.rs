//! `check`: what a pull request runs.

mod report;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use clap::{Args, ValueEnum};
use report::Lines;

use super::Status;
use super::test::Coverage;
use crate::app;
use crate::catalog;
use crate::config::Flags;
use crate::diagnostic::{Diagnostic, Severity};
use crate::repository::{Directory, Location, Source, keyspace_of};

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
    let directory = directory(flags, args.directory.as_deref())?;
    let is_empty = !listing.files.iter().any(|file| keyspace_of(&file.path).is_some());
    if let Some(directory) = directory.as_ref().filter(|_| is_empty) {
        bail!("{} holds no keyspace files (<keyspace>.yaml, or a folder of them)", directory.display());
    }
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
    let prefix = prefix(directory.as_deref(), args.format)?;
    let lines = Lines::new(&listing, &found);
    match args.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&relocated(&found, &prefix))?)?,
        Format::Human => {
            for found in &found {
                write!(out, "{}", report::human(found, &format!("{prefix}{}", found.location), &lines))?;
            }
        }
        Format::Github => {
            for found in &found {
                writeln!(out, "{}", report::github(found, &format!("{prefix}{}", found.location.file)))?;
            }
        }
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

/// What makes the paths of files ones that can be opened: from the working directory, for annotations from the workspace.
fn prefix(directory: Option<&Path>, format: Format) -> anyhow::Result<String> {
    let Some(directory) = directory else { return Ok(String::new()) };
    let here = std::env::current_dir()?;
    let workspace = std::env::var_os("GITHUB_WORKSPACE").filter(|_| format == Format::Github).map(PathBuf::from);
    Ok(match workspace {
        Some(workspace) => report::prefix(&here.join(directory), &workspace),
        None => report::prefix(directory, &here),
    })
}

/// The findings with paths that can be opened.
fn relocated(found: &[Diagnostic], prefix: &str) -> Vec<Diagnostic> {
    let mut found = found.to_vec();
    for place in found.iter_mut().flat_map(|found| std::iter::once(&mut found.location).chain(&mut found.related)) {
        place.file.insert_str(0, prefix);
    }
    found
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
