//! The command line. Answers go to standard output, everything else to standard error.
//!
//! Exit status: 0 well, 1 a finding, 2 usage or a broken environment.

mod chart;
mod check;
mod compare;
mod comparison;
mod diff;
mod documents;
mod explain;
mod init;
mod load;
mod query;
mod serve;
mod show;
mod table;
mod test;

use std::io::{self, Write};

use clap::{Parser, Subcommand};

use crate::config::Flags;
use crate::telemetry::{LogFormat, init_logging};

/// Formulas over time series, served from the database behind it.
#[derive(Debug, Parser)]
#[command(name = "tsdb-ws", version, infer_subcommands = false)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve requests (the default)
    Serve,
    /// Check keyspace files: all errors and warnings with their places
    Check(check::CheckArgs),
    /// Run the tests of formulas (*.test.yaml), with no backend
    Test(test::TestArgs),
    /// Ask the configured backend for formulas, with no server
    Query(query::QueryArgs),
    /// Show the graph, the plan and the exact calls of a query; nothing is sent
    Explain(explain::ExplainArgs),
    /// Show which formulas mean something else than before, and what that changes
    Diff(diff::DiffArgs),
    /// Compare two backends, every formula, head to head
    Compare(compare::CompareArgs),
    /// Load points from CSV or NDJSON files
    Load(load::LoadArgs),
    /// Write a first keyspace from what the backend holds
    Init(init::InitArgs),
    /// Print the JSON schema of keyspace files
    Schema,
    /// Print the OpenAPI document
    Openapi,
}

/// How a command ended that could do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Well,
    Finding,
}

impl Status {
    fn of_findings(found: bool) -> Status {
        if found { Status::Finding } else { Status::Well }
    }
}

/// Runs the command line and gives the exit status.
pub fn run() -> u8 {
    let cli = Cli::parse();
    // The service logs as JSON; the other commands speak up only when something is wrong, in plain words.
    let serves = matches!(cli.command, None | Some(Command::Serve));
    let (format, default) = if serves { (LogFormat::Json, "info") } else { (LogFormat::Text, "error") };
    if let Err(error) = init_logging(format, default) {
        return exit_status(Err(error.into()));
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit_status(Err(error.into())),
    };
    let result = runtime.block_on(dispatch(cli));
    // A thread that still reads a terminal must not keep the process.
    runtime.shutdown_background();
    exit_status(result)
}

async fn dispatch(cli: Cli) -> anyhow::Result<Status> {
    let mut out = io::BufWriter::new(io::stdout());
    let flags = cli.flags;
    let status = match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(flags, &mut out).await,
        Command::Check(args) => check::run(&flags, &args, &mut out).await,
        Command::Test(args) => test::run(&flags, &args, &mut out).await,
        Command::Query(args) => query::run(flags, &args, &mut out).await,
        Command::Explain(args) => explain::run(flags, &args, &mut out).await,
        Command::Diff(args) => diff::run(flags, &args, &mut out).await,
        Command::Compare(args) => compare::run(&flags, &args, &mut out).await,
        Command::Load(args) => load::run(&flags, &args, &mut out).await,
        Command::Init(args) => init::run(&flags, &args, &mut out).await,
        Command::Schema => documents::schema(&mut out),
        Command::Openapi => documents::openapi(&mut out),
    }?;
    out.flush()?;
    Ok(status)
}

fn exit_status(result: anyhow::Result<Status>) -> u8 {
    match result {
        Ok(Status::Well) => 0,
        Ok(Status::Finding) => 1,
        // Somebody read the beginning of the output and went away, as `head` does.
        Err(error) if is_closed_pipe(&error) => 0,
        Err(error) => {
            complain(&format!("tsdb-ws: {error:#}"));
            2
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(closed))
}

/// Writes a line to standard error. Where that is closed, there is nobody to tell.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
