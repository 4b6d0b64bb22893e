//! `test`: runs `*.test.yaml` on the real engine. Each file has an embedded store of its own, in memory.

mod compare;
mod coverage;
mod expect;
mod file;
mod update;
mod values;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use jiff::tz::TimeZone;

pub use self::coverage::Coverage;
use self::file::{BrokenTest, Test, TestFile};
use self::update::Update;
use super::check::Checked;
use super::{Status, complain};
use crate::backend::Backend;
use crate::backend::embedded::EmbeddedStore;
use crate::catalog::{self, Catalog};
use crate::config::{BackendName, Config, Flags};
use crate::diagnostic::{Diagnostic, Location, Severity, nearest};
use crate::plan::time::parse_time;
use crate::query::{Answer, Backends, QueryError, Request, Service};
use crate::repository::keyspace_of;
use crate::repository::{Listing, SourceFile};

/// Points written at once.
const BATCH: usize = 10_000;

#[derive(Debug, Args)]
pub struct TestArgs {
    /// The directory of keyspace files, or git+URL#ref:folder [default: what the configuration names]
    directory: Option<String>,
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
    let Checked { source, directory, .. } = Checked::open(flags, args.directory.as_deref())?;
    let directory = directory.filter(|_| args.update);
    if args.update && directory.is_none() {
        bail!("only the files of a directory can be updated; name one");
    }
    let listing = source.list()?;
    let catalog = catalog::compile(&listing);
    let mut tally = Tally::default();
    for file in files(&listing) {
        run_file(file, &listing, &catalog, args, directory.as_deref(), &mut tally, out).await?;
    }
    match &args.filter {
        _ if tally.passed + tally.failed + tally.updated > 0 => {}
        Some(text) => bail!("no test's name or file holds `{text}`"),
        None => {
            // Keyspaces may be without tests, of which `check` warns; a place without keyspaces is a wrong one.
            listing.check_not_empty(|| source.place())?;
            let place = source.place();
            complain(&format!(
                "tsdb-ws: {place} holds no tests: write a <keyspace>.test.yaml beside the keyspace's file"
            ));
        }
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
    for file in files(listing) {
        let Ok(read) = file::read(&file.path, &file.content) else { continue };
        let of_keyspace = requests.entry(keyspace_of_tests(&file.path).to_owned()).or_default();
        of_keyspace.extend(read.tests.into_iter().flatten().map(|test| test.request));
    }
    requests
}

/// The test files of a repository.
fn files(listing: &Listing) -> impl Iterator<Item = &SourceFile> {
    listing.files.iter().filter(|file| file.path.ends_with(".test.yaml"))
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
    let read = file::read(path, &file.content);
    let read = match read.and_then(|read| served(path, listing, catalog).map(|keyspace| (read, keyspace))) {
        Ok(read) => read,
        Err(faults) => return write_broken(path, &faults, tally, out),
    };
    let (TestFile { points, tests }, keyspace) = read;
    let broken = broken_tests(&tests);
    let name = |test: &Result<Test, BrokenTest>| match test {
        Ok(test) => wanted(&test.name),
        Err(broken) => wanted(&broken.name),
    };
    let tests: Vec<Result<Test, BrokenTest>> = tests.into_iter().filter(name).collect();
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
        let test = match test {
            Ok(test) => test,
            Err(broken) => {
                write_broken(&format!("{path}:{}: {}", broken.line, broken.name), &broken.faults, tally, out)?;
                continue;
            }
        };
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
        write_updated(path, &place, &text, broken)?;
    }
    Ok(())
}

fn broken_tests(tests: &[Result<Test, BrokenTest>]) -> usize {
    tests.iter().filter(|test| test.is_err()).count()
}

/// Tells what keeps a file or a test from being run, which counts as a failure.
fn write_broken(what: &str, faults: &[Diagnostic], tally: &mut Tally, out: &mut impl Write) -> anyhow::Result<()> {
    tally.failed += 1;
    writeln!(out, "FAILED {what}")?;
    for fault in faults {
        writeln!(out, "  {}: {}", fault.location, fault.message)?;
        fault.hint.iter().try_for_each(|hint| writeln!(out, "    hint: {hint}"))?;
    }
    Ok(())
}

/// Replaces a test file by its new text, which must still be one, with no more broken tests than it had.
fn write_updated(path: &str, place: &Path, text: &str, broken: usize) -> anyhow::Result<()> {
    let read = file::read(path, &Ok(text.as_bytes().to_vec()));
    if read.map_or(true, |read| broken_tests(&read.tests) > broken) {
        bail!("the updated {path} would not be a test file any more, so that it is left alone");
    }
    std::fs::write(place, text).with_context(|| format!("cannot write {}", place.display()))
}

/// The keyspace that a test file is of: the folder's, else the one of the file's name.
pub fn keyspace_of_tests(path: &str) -> &str {
    path.split_once('/').map_or_else(|| path.trim_end_matches(".test.yaml"), |(folder, _)| folder)
}

/// The keyspace of a test file, if it is sound.
fn served<'a>(path: &'a str, listing: &Listing, catalog: &Catalog) -> Result<&'a str, Vec<Diagnostic>> {
    let keyspace = keyspace_of_tests(path);
    if catalog.keyspaces.contains_key(keyspace) {
        return Ok(keyspace);
    }
    if let Some(orphan) = orphan(path, listing) {
        return Err(vec![orphan]);
    }
    let errors = catalog.diagnostics.iter().filter(|found| found.severity == Severity::Error);
    Err(errors.take(20).cloned().collect())
}

/// The fault of a test file whose keyspace is not there.
fn orphan(path: &str, listing: &Listing) -> Option<Diagnostic> {
    let keyspace = keyspace_of_tests(path);
    let known = || listing.files.iter().filter_map(|file| keyspace_of(&file.path));
    if known().any(|known| known == keyspace) {
        return None;
    }
    let start = Location::start(path);
    let message = format!("there is no keyspace `{keyspace}`: the name of the file decides which is tested");
    let hint = match nearest(keyspace, known()) {
        Some(nearest) => format!("did you mean `{nearest}`? rename the file to {nearest}.test.yaml"),
        None => "rename the file to <keyspace>.test.yaml, or put it into the keyspace's folder".to_owned(),
    };
    Some(Diagnostic::error("orphan_test", start, message).with_hint(hint))
}

/// What is wrong with the test files of a repository, whatever their tests come to.
pub fn diagnostics(listing: &Listing) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for file in files(listing) {
        found.extend(orphan(&file.path, listing));
        match file::read(&file.path, &file.content) {
            Ok(read) => found.extend(read.tests.into_iter().filter_map(Result::err).flat_map(|broken| broken.faults)),
            Err(faults) => found.extend(faults),
        }
    }
    found
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
