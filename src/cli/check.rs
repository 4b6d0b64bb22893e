//! `check`: what a pull request runs.

mod live;
mod report;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};
use report::Lines;

use super::Status;
use super::diff::revision;
use super::test::{self, Coverage};
use crate::app;
use crate::catalog::{self, Catalog};
use crate::config::{Config, Flags};
use crate::diagnostic::{self, Diagnostic, Severity};
use crate::repository::{Location, Source, keyspace_of};

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The directory of keyspace files, or git+URL#ref:folder [default: what the configuration names]
    directory: Option<String>,
    /// How findings are written
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// A formula that no test covers is an error, not a warning
    #[arg(long)]
    require_tests: bool,
    /// Also ask the database whether it holds the stored series and tags that the keyspaces read
    #[arg(long)]
    live: bool,
    /// The directory, or the revision of the repository, that the change is made to: what it does not read is new, and may
    /// come before its data [default: the last commit, where the files are in one]
    #[arg(long, value_name = "REV", requires = "live")]
    base: Option<String>,
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

pub async fn run(flags: &Flags, args: &CheckArgs, out: &mut impl Write) -> anyhow::Result<Status> {
    let Checked { config, source, directory } = Checked::open(flags, args.directory.as_deref())?;
    let listing = source.list()?;
    if let Some(directory) = &directory {
        listing.check_not_empty(|| directory.display().to_string())?;
    }
    let catalog = catalog::compile(&listing);
    let mut found = catalog.diagnostics.clone();
    // The flag asks about one database, whatever the operator's file says of single keyspaces.
    let backend_of = |keyspace: &str| match flags.backend {
        Some(_) => config.backend,
        None => config.backend_of(keyspace),
    };
    for keyspace in catalog.keyspaces.values() {
        found.extend(catalog::check_backend(keyspace, &config.capabilities(backend_of(&keyspace.name))));
        found.extend(catalog::lint(keyspace));
    }
    if args.live {
        let base = base(args.base.as_deref(), directory.as_deref(), config.repository.files)?;
        found.extend(live::look(&config, backend_of, &catalog, base.as_ref()).await?);
    }
    found.extend(test::diagnostics(&listing));
    let severity = if args.require_tests { Severity::Error } else { Severity::Warning };
    found.extend(Coverage::of(&listing, &catalog).diagnostics(severity));
    diagnostic::sort(&mut found);
    let prefix = prefix(directory.as_deref(), args.format)?;
    let lines = Lines::new(&listing, &found);
    match args.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&relocated(&found, &prefix))?)?,
        Format::Human => {
            for found in &found {
                write!(out, "{}", report::human(found, &prefix, &lines))?;
            }
        }
        Format::Github => {
            for found in &found {
                writeln!(out, "{}", report::github(found, &prefix))?;
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

/// What the change is made to. The last commit is taken only where the files are in it: elsewhere all of them would be new.
fn base(named: Option<&str>, directory: Option<&Path>, files: usize) -> anyhow::Result<Option<Catalog>> {
    let listing = match (named, directory) {
        (Some(_), None) => bail!("--base compares with a directory of keyspace files; name it"),
        (Some(name), Some(directory)) => Some(revision::list(name, directory, files)?),
        // No repository, or none with a commit: there is nothing to compare with.
        (None, Some(directory)) => revision::list("HEAD", directory, files).ok().filter(|base| !base.files.is_empty()),
        (None, None) => None,
    };
    Ok(listing.map(|listing| catalog::compile(&listing)))
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

/// The files that a command is about, and the configuration that they are read under.
pub struct Checked {
    pub config: Config,
    pub source: Arc<dyn Source>,
    /// Where the files lie, if in a directory.
    pub directory: Option<PathBuf>,
}

impl Checked {
    /// The repository that is named, else the configured one. The configuration is read in both cases, so that a wrong
    /// `--backend` or operator's file is told.
    pub fn open(flags: &Flags, named: Option<&str>) -> anyhow::Result<Checked> {
        let mut config = app::read_config(flags)?;
        if let Some(named) = named {
            config.formulas = Location::parse(named).map_err(|fault| anyhow!("{named}: {fault}"))?;
            config.demo = false;
        }
        let directory = match &config.formulas {
            Location::Directory(directory) => Some(directory.clone()).filter(|path| named.is_some() || path.is_dir()),
            Location::Git(_) => None,
        };
        Ok(Checked { source: app::source(&config), config, directory })
    }
}
