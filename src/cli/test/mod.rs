//! `test`: runs `*.test.yaml` on the real engine. Each file has an embedded store of its own, in memory.

mod compare;
mod coverage;
mod expect;
mod file;
mod update;
mod values;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use jiff::tz::TimeZone;

pub use self::coverage::Coverage;
use self::file::{Test, TestFile};
use self::update::Update;
use super::{Status, check, complain};
use crate::backend::Backend;
use crate::backend::embedded::EmbeddedStore;
use crate::catalog::{self, Catalog};
use crate::config::{BackendName, Config, Flags};
use crate::diagnostic::Severity;
use crate::plan::time::parse_time;
use crate::query::{Answer, Backends, QueryError, Request, Service};
use crate::repository::keyspace_of;
use crate::repository::{Listing, SourceFile};

/// Points written at once.
const BATCH: usize = 10_000;

#[derive(Debug, Args)]
pub struct TestArgs {
    /// The directory of keyspace files [default: what the configuration names]
    directory: Option<PathBuf>,
    /// Only tests whose name or file holds this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Write what formulas come to into the files, in place of what was expected
    #[arg(long)]
    update: bool,
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    updated: usize,
}

pub async fn run(flags: &Flags, args: &TestArgs, out: &mut impl Write) -> anyhow::Result<Status> {
    let source = check::source(flags, args.directory.as_deref())?;
    let directory = check::directory(flags, args.directory.as_deref())?.filter(|_| args.update);
    if args.update && directory.is_none() {
        bail!("only the files of a directory can be updated; name one");
    }
    let listing = source.list()?;
    let catalog = catalog::compile(&listing);
    let mut tally = Tally::default();
    for file in listing.files.iter().filter(|file| file.path.ends_with(".test.yaml")) {
        run_file(file, &listing, &catalog, args, directory.as_deref(), &mut tally, out).await?;
    }
    match &args.filter {
        _ if tally.passed + tally.failed + tally.updated > 0 => {}
        Some(text) => bail!("no test's name or file holds `{text}`"),
        None => complain("tsdb-ws: there are no tests (*.test.yaml) to run"),
    }
    if args.update {
        writeln!(out, "{} passed, {} updated, {} failed", tally.passed, tally.updated, tally.failed)?;
    } else {
        writeln!(out, "{} passed, {} failed", tally.passed, tally.failed)?;
    }
    write_coverage(&Coverage::of(&listing, &catalog), out)?;
    Ok(Status::of_findings(tally.failed > 0))
}

fn write_coverage(coverage: &Coverage<'_>, out: &mut impl Write) -> io::Result<()> {
    let covered = coverage.formulas - coverage.uncovered.len();
    writeln!(out, "{covered} of {} formulas covered", coverage.formulas)?;
    coverage.uncovered.iter().try_for_each(|(keyspace, formula)| {
        writeln!(out, "  no test covers {keyspace}/{} ({})", formula.name, formula.location)
    })
}

/// The requests of all tests that can be read, by keyspace.
pub fn requests(listing: &Listing) -> BTreeMap<String, Vec<Request>> {
    let mut requests: BTreeMap<String, Vec<Request>> = BTreeMap::new();
    for file in listing.files.iter().filter(|file| file.path.ends_with(".test.yaml")) {
        let Some(Ok(read)) = file.content.as_ref().ok().map(|bytes| file::read(&file.path, bytes)) else { continue };
        let of_keyspace = requests.entry(keyspace_of_tests(&file.path).to_owned()).or_default();
        of_keyspace.extend(read.tests.into_iter().map(|test| test.request));
    }
    requests
}

async fn run_file(
    file: &SourceFile,
    listing: &Listing,
    catalog: &Catalog,
    args: &TestArgs,
    directory: Option<&Path>,
    tally: &mut Tally,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let path = file.path.as_str();
    let wanted = |name: &str| args.filter.as_deref().is_none_or(|text| name.contains(text) || path.contains(text));
    let read = match &file.content {
        Ok(bytes) => file::read(path, bytes),
        Err(reason) => Err(vec![format!("{path}: {reason}")]),
    };
    let read = match read.and_then(|read| served(path, listing, catalog).map(|keyspace| (read, keyspace))) {
        Ok(read) => read,
        Err(faults) => {
            tally.failed += 1;
            writeln!(out, "FAILED {path}")?;
            faults.iter().try_for_each(|fault| writeln!(out, "  {fault}"))?;
            return Ok(());
        }
    };
    let (TestFile { points, tests }, keyspace) = read;
    let tests: Vec<Test> = tests.into_iter().filter(|test| wanted(&test.name)).collect();
    if tests.is_empty() {
        return Ok(());
    }
    let store = EmbeddedStore::open_in_memory()?;
    for batch in points.chunks(BATCH) {
        store.write(batch).await?;
    }
    let text = file.content.as_deref().ok().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let mut update = directory.zip(text).map(|(directory, text)| (directory.join(path), Update::of(text)));
    for test in &tests {
        let answer = run_test(test, keyspace, catalog, &store).await?;
        let found = answer.as_ref().map_or_else(Clone::clone, |answer| compare::differences(test, answer));
        if found.is_empty() {
            tally.passed += 1;
            writeln!(out, "ok     {path}: {}", test.name)?;
            continue;
        }
        let mut refused = found;
        if let (Some((_, update)), Ok(answer)) = (&mut update, &answer) {
            update.take(test, answer);
            refused = std::mem::take(&mut update.refused);
        }
        if refused.is_empty() {
            tally.updated += 1;
            writeln!(out, "UPDATED {path}:{}: {}", test.line, test.name)?;
        } else {
            tally.failed += 1;
            writeln!(out, "FAILED {path}:{}: {}", test.line, test.name)?;
            refused.iter().try_for_each(|difference| writeln!(out, "  {difference}"))?;
        }
    }
    if let Some((place, text)) = update.and_then(|(place, update)| Some((place, update.finish()?))) {
        write_updated(path, &place, &text)?;
    }
    Ok(())
}

/// Replaces a test file by its new text, which must still be one.
fn write_updated(path: &str, place: &Path, text: &str) -> anyhow::Result<()> {
    if let Err(faults) = file::read(path, text.as_bytes()) {
        bail!("the updated {path} would not be a test file any more, so that it is left alone: {}", faults.join("; "));
    }
    std::fs::write(place, text).with_context(|| format!("cannot write {}", place.display()))
}

/// The keyspace that a test file is of: the folder's, else the one of the file's name.
pub fn keyspace_of_tests(path: &str) -> &str {
    path.split_once('/').map_or_else(|| path.trim_end_matches(".test.yaml"), |(folder, _)| folder)
}

/// The keyspace of a test file, if it is sound.
fn served<'a>(path: &'a str, listing: &Listing, catalog: &Catalog) -> Result<&'a str, Vec<String>> {
    let keyspace = keyspace_of_tests(path);
    if catalog.keyspaces.contains_key(keyspace) {
        return Ok(keyspace);
    }
    let known = listing.files.iter().any(|file| keyspace_of(&file.path) == Some(keyspace));
    if !known {
        return Err(vec![format!("there is no keyspace `{keyspace}`: the name of the file decides which is tested")]);
    }
    let errors = catalog.diagnostics.iter().filter(|found| found.severity == Severity::Error);
    let lines = errors.map(|found| format!("{}: {}", found.location, found.message));
    Err([format!("the keyspace `{keyspace}` has errors")].into_iter().chain(lines.take(20)).collect())
}

/// The answer to a test's request, or why the whole request failed.
async fn run_test(
    test: &Test,
    keyspace: &str,
    catalog: &Catalog,
    store: &EmbeddedStore,
) -> anyhow::Result<Result<Answer, Vec<String>>> {
    let now = clock(test, keyspace, catalog);
    let backends = Backends::from([(BackendName::Embedded, Arc::new(store.clone()) as Arc<dyn Backend>)]);
    let mut service = Service::new(Config::default(), backends);
    service.clock = Arc::new(move || now);
    service.catalog.publish(Catalog {
        revision: catalog.revision.clone(),
        keyspaces: catalog.keyspaces.clone(),
        diagnostics: Vec::new(),
    });
    Ok(service.answer(keyspace, &test.request).await.map_err(|error| match error {
        QueryError::Input(faults) => {
            faults.iter().map(|fault| format!("request{}: {}", fault.pointer, fault.detail)).collect()
        }
        error => vec![error.to_string()],
    }))
}

/// The clock of a test: what it says, else the end of its range. Where that is relative, it is relative to the real clock.
fn clock(test: &Test, keyspace: &str, catalog: &Catalog) -> i64 {
    let real = jiff::Timestamp::now().as_millisecond();
    let timezone = catalog.keyspaces.get(keyspace).map_or(TimeZone::UTC, |keyspace| keyspace.timezone.clone());
    let end = || parse_time(test.request.to.as_ref()?, real, &timezone).ok();
    test.now.or_else(end).unwrap_or(real)
}
