//! `diff`: which formulas mean something else than before, which others that reaches, and what both come to over real data.
//!
//! Exit status as that of `git diff --exit-code`: 0 nothing means anything else, 1 something does.

pub(super) mod revision;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use self::values::Compared;
use super::query::WindowArgs;
use super::{Status, complain};
use crate::app;
use crate::catalog::{self, Catalog, Changes, Definition};
use crate::config::Flags;
use crate::diagnostic::Severity;
use crate::repository::Location;

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A directory of keyspace files, or a revision of the git repository that holds the formulas
    base: String,
    /// As BASE [default: the formulas as they are now]
    head: Option<String>,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    window: WindowArgs,
    /// Also both lines of every formula as an HTML page; needs --backend
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Human,
    /// An object
    Json,
}

/// Both sides and what changed between them, by keyspace.
struct Diff {
    base: Catalog,
    head: Catalog,
    changes: BTreeMap<String, Changes>,
}

pub async fn run(flags: Flags, args: &DiffArgs, out: &mut impl Write) -> anyhow::Result<Status> {
    if args.report.is_some() && flags.backend.is_none() {
        bail!("--report shows values: name the database with --backend");
    }
    let config = app::read_config(&flags)?;
    let Location::Directory(formulas) = &config.formulas else {
        bail!("revisions are compared of the repository that a directory lies in: name it with --formulas DIR");
    };
    let side = |name: &str| revision::list(name, formulas, config.repository.files);
    let base = catalog::compile(&side(&args.base)?);
    let head = match &args.head {
        Some(head) => side(head)?,
        None if formulas.is_dir() => app::source(&config).list()?,
        None => bail!("there are no formulas here; name HEAD, or --formulas DIR"),
    };
    let head = catalog::compile(&head);
    refuse_broken(&head)?;
    let broken: BTreeSet<&str> = errors(&base).map(|found| found.location.file.as_str()).collect();
    for file in broken {
        complain(&format!("tsdb-ws: {file} has errors in the base, so that all of its keyspace counts as new"));
    }
    let names: BTreeSet<&String> = base.keyspaces.keys().chain(head.keyspaces.keys()).collect();
    let changes = names.into_iter().map(|name| {
        let of = |catalog: &Catalog| catalog.keyspaces.get(name).cloned();
        (name.clone(), catalog::changes(of(&base).as_deref(), of(&head).as_deref()))
    });
    let changes = changes.collect();
    let diff = Diff { base, head, changes };
    let compared = match &flags.backend {
        Some(_) => values::compare(config, &diff, &args.window).await?,
        None => Vec::new(),
    };
    match args.format {
        Format::Human => write_human(&diff, &compared, out)?,
        Format::Json => {
            let values: Vec<_> = compared.iter().map(Compared::to_json).collect();
            let all = json!({
                "base": diff.base.revision, "head": diff.head.revision, "keyspaces": diff.changes, "values": values
            });
            writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        }
    }
    if let Some(place) = &args.report {
        let report = values::report(&diff, &compared);
        std::fs::write(place, report).with_context(|| format!("cannot write {}", place.display()))?;
    }
    Ok(Status::of_findings(!diff.changes.values().all(Changes::is_empty)))
}

fn errors(catalog: &Catalog) -> impl Iterator<Item = &crate::diagnostic::Diagnostic> {
    catalog.diagnostics.iter().filter(|found| found.severity == Severity::Error)
}

fn refuse_broken(head: &Catalog) -> anyhow::Result<()> {
    let lines: Vec<String> =
        errors(head).take(20).map(|found| format!("{}: {}", found.location, found.message)).collect();
    if lines.is_empty() { Ok(()) } else { bail!("the head has errors:\n  {}", lines.join("\n  ")) }
}

fn write_human(diff: &Diff, compared: &[Compared], out: &mut impl Write) -> io::Result<()> {
    for (keyspace, changes) in diff.changes.iter().filter(|(_, changes)| !is_silent(changes)) {
        writeln!(out, "{keyspace}")?;
        for setting in &changes.settings {
            writeln!(out, "  setting  {setting}: every formula may come to something else")?;
        }
        for changed in &changes.changed {
            writeln!(out, "  changed  {}  {}", changed.name, place(diff, keyspace, &changed.name))?;
            if changed.before != changed.after {
                writeln!(out, "           - {}\n           + {}", changed.before, changed.after)?;
            }
            for metric in &changed.metrics {
                writeln!(out, "           the metric {metric} reads something else")?;
            }
            for parameter in &changed.parameters {
                writeln!(out, "           the parameter {parameter} has another type, default or other values")?;
            }
        }
        for reached in &changes.reached {
            writeln!(out, "  reached  {}  through {}", reached.name, reached.through.join(", "))?;
        }
        let others = [("added", &changes.added), ("removed", &changes.removed), ("shown", &changes.presentation)];
        for (what, names) in others {
            for name in names {
                let note = if what == "shown" { "  otherwise: its chart or description changed" } else { "" };
                writeln!(out, "  {what:<7}  {name}{note}")?;
            }
        }
    }
    let count = |of: fn(&Changes) -> usize| diff.changes.values().map(of).sum::<usize>();
    writeln!(
        out,
        "{} changed, {} reached, {} added, {} removed",
        count(|changes| changes.changed.len()),
        count(|changes| changes.reached.len()),
        count(|changes| changes.added.len()),
        count(|changes| changes.removed.len())
    )?;
    values::write_table(compared, out)
}

fn is_silent(changes: &Changes) -> bool {
    changes.is_empty() && changes.presentation.is_empty()
}

fn place(diff: &Diff, keyspace: &str, formula: &str) -> String {
    match diff.head.keyspaces.get(keyspace).and_then(|keyspace| keyspace.definitions.get(formula)) {
        Some(Definition::Formula(formula)) => format!("({})", formula.location),
        _ => String::new(),
    }
}
