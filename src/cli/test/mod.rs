//! `test`: runs `*.test.yaml` on the real engine. Each file has an embedded store of its own, in memory.

mod compare;
mod file;
mod values;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;

use self::file::{Test, TestFile};
use super::{Status, check, complain};
use crate::backend::Backend;
use crate::backend::embedded::EmbeddedStore;
use crate::catalog::{self, Catalog};
use crate::config::{BackendName, Config, Flags};
use crate::diagnostic::Severity;
use crate::plan::time::parse_time;
use crate::query::{Backends, QueryError, Service};
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
    /// How results are written
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Human,
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

pub async fn run(flags: &Flags, args: &TestArgs, out: &mut impl Write) -> anyhow::Result<Status> {
    let Format::Human = args.format;
    let listing = check::source(flags, args.directory.as_deref())?.list()?;
    let catalog = catalog::compile(&listing);
    let mut tally = Tally::default();
    for file in listing.files.iter().filter(|file| file.path.ends_with(".test.yaml")) {
        run_file(file, &listing, &catalog, args, &mut tally, out).await?;
    }
    if tally.passed + tally.failed == 0 {
        complain("tsdb-ws: there are no tests (*.test.yaml) to run");
    }
    writeln!(out, "{} passed, {} failed", tally.passed, tally.failed)?;
    Ok(Status::of_findings(tally.failed > 0))
}

async fn run_file(
    file: &SourceFile,
    listing: &Listing,
    catalog: &Catalog,
    args: &TestArgs,
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
    for test in &tests {
        let found = run_test(test, keyspace, catalog, &store).await?;
        if found.is_empty() {
            tally.passed += 1;
            writeln!(out, "ok     {path}: {}", test.name)?;
        } else {
            tally.failed += 1;
            writeln!(out, "FAILED {path}:{}: {}", test.line, test.name)?;
            found.iter().try_for_each(|difference| writeln!(out, "  {difference}"))?;
        }
    }
    Ok(())
}

/// The keyspace that a test file is of: the folder's, else the one of the file's name.
fn served<'a>(path: &'a str, listing: &Listing, catalog: &Catalog) -> Result<&'a str, Vec<String>> {
    let keyspace = path.split_once('/').map_or_else(|| path.trim_end_matches(".test.yaml"), |(folder, _)| folder);
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

/// What differs from what the test expects.
async fn run_test(
    test: &Test,
    keyspace: &str,
    catalog: &Catalog,
    store: &EmbeddedStore,
) -> anyhow::Result<Vec<String>> {
    let now = clock(test, keyspace, catalog);
    let backends = Backends::from([(BackendName::Embedded, Arc::new(store.clone()) as Arc<dyn Backend>)]);
    let mut service = Service::new(Config::default(), backends);
    service.clock = Arc::new(move || now);
    service.catalog.publish(Catalog {
        revision: catalog.revision.clone(),
        keyspaces: catalog.keyspaces.clone(),
        diagnostics: Vec::new(),
    });
    Ok(match service.answer(keyspace, &test.request).await {
        Ok(answer) => compare::differences(test, &answer),
        Err(QueryError::Input(faults)) => {
            faults.iter().map(|fault| format!("request{}: {}", fault.pointer, fault.detail)).collect()
        }
        Err(error) => vec![error.to_string()],
    })
}

/// The clock of a test: what it says, else the end of its range. Where that is relative, it is relative to the real clock.
fn clock(test: &Test, keyspace: &str, catalog: &Catalog) -> i64 {
    let real = jiff::Timestamp::now().as_millisecond();
    let timezone = catalog.keyspaces.get(keyspace).map_or(TimeZone::UTC, |keyspace| keyspace.timezone.clone());
    let end = || parse_time(test.request.to.as_ref()?, real, &timezone).ok();
    test.now.or_else(end).unwrap_or(real)
}
