//! The command line.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Config;
use crate::diagnostic::{Diagnostic, Severity};
use crate::query::{Entry, Formulas, Request};
use crate::{app, catalog, http, ingest, repository};

/// Formulas over time series, served from the database behind it.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    serve: ServeFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args, Clone)]
struct ServeFlags {
    /// The directory of keyspace files (formulas)
    #[arg(long, env = "TSDB_WS_FORMULAS", global = true)]
    formulas: Option<PathBuf>,
    /// The file of the embedded store (tsdb-ws.db)
    #[arg(long, env = "TSDB_WS_STORE", global = true)]
    store: Option<PathBuf>,
    /// The address of the service (127.0.0.1:8090)
    #[arg(long, env = "TSDB_WS_LISTEN", global = true)]
    listen: Option<SocketAddr>,
    /// The address of status (127.0.0.1:8091)
    #[arg(long, env = "TSDB_WS_ADMIN_LISTEN", global = true)]
    admin_listen: Option<SocketAddr>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve requests (the default)
    Serve,
    /// Check keyspace files; exit status 1 when there are errors
    Check {
        /// The directory
        #[arg(default_value = "formulas")]
        directory: PathBuf,
        /// How findings are written
        #[arg(long, default_value = "human")]
        format: CheckFormat,
    },
    /// Ask the embedded store for formulas
    Query {
        keyspace: String,
        #[arg(required = true)]
        formulas: Vec<String>,
        /// A parameter, as name=value
        #[arg(long = "param")]
        params: Vec<String>,
        #[arg(long)]
        from: Option<String>,
        #[arg(long)]
        to: Option<String>,
        #[arg(long)]
        step: Option<String>,
        #[arg(long)]
        timezone: Option<String>,
        #[arg(long)]
        summary: bool,
        #[arg(long, default_value = "json")]
        format: QueryFormat,
    },
    /// Load points from CSV or NDJSON files (`-` is standard input) into the embedded store
    Load {
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum CheckFormat {
    Human,
    Json,
    Github,
}

#[derive(Clone, Copy, ValueEnum)]
enum QueryFormat {
    Json,
    Csv,
}

impl ServeFlags {
    fn config(&self) -> Config {
        let nothing_set = self.formulas.is_none() && self.store.is_none();
        let default = Config::default();
        Config {
            formulas: self.formulas.clone().unwrap_or(default.formulas),
            store: self.store.clone().unwrap_or(default.store),
            listen: self.listen.unwrap_or(default.listen),
            admin_listen: self.admin_listen.unwrap_or(default.admin_listen),
            demo: nothing_set,
            ..Config::default()
        }
    }
}

/// Runs the command line and gives the exit status: 0 well, 1 a finding, 2 usage or a broken environment.
pub fn run() -> u8 {
    let cli = Cli::parse();
    let level = tracing_subscriber::EnvFilter::try_from_env("TSDB_WS_LOG").unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().json().with_env_filter(level).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return broken(&error.into()),
    };
    let config = cli.serve.config();
    let result = runtime.block_on(async {
        match cli.command.unwrap_or(Command::Serve) {
            Command::Serve => serve(config).await,
            Command::Check { directory, format } => check(&directory, format),
            Command::Query { keyspace, formulas, params, from, to, step, timezone, summary, format } => {
                let request = request(formulas, params, (from, to, step, timezone), summary)?;
                query(config, &keyspace, &request, format).await
            }
            Command::Load { files } => load(config, &files).await,
        }
    });
    result.unwrap_or_else(|error| broken(&error))
}

fn broken(error: &anyhow::Error) -> u8 {
    let _ = writeln!(std::io::stderr(), "tsdb-ws: {error:#}");
    2
}

/// Writes to standard output; a reader that has gone away is no error.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

async fn serve(config: Config) -> anyhow::Result<u8> {
    let demo = config.demo;
    app::serve(config, |address| {
        print(&format!("tsdb-ws serves on http://{address}\n"));
        if demo {
            print(&format!(
                "simulated data are in the keyspace `demo`; try:\n  curl -s http://{address}/demo -H 'content-type: application/json' \
                 -d '{{\"formulas\": [\"conversion_rate\"], \"from\": \"now-1h\", \"step\": \"10m\"}}'\n"
            ));
        }
    })
    .await?;
    Ok(0)
}

fn check(directory: &std::path::Path, format: CheckFormat) -> anyhow::Result<u8> {
    let listing = repository::list_directory(directory)?;
    let catalog = catalog::compile(&listing);
    let found = &catalog.diagnostics;
    match format {
        CheckFormat::Json => print(&format!("{}\n", serde_json::to_string_pretty(found)?)),
        CheckFormat::Human => found.iter().for_each(|diagnostic| print(&human(diagnostic))),
        CheckFormat::Github => found.iter().for_each(|diagnostic| print(&github(diagnostic))),
    }
    let errors = found.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    if matches!(format, CheckFormat::Human) {
        print(&format!("{} keyspace(s) without errors, {errors} error(s)\n", catalog.keyspaces.len()));
    }
    Ok(u8::from(errors > 0))
}

fn human(found: &Diagnostic) -> String {
    let hint = found.hint.as_ref().map_or(String::new(), |hint| format!("  hint: {hint}\n"));
    format!("{}: {}[{}]: {}\n{hint}", found.location, found.severity.as_str(), found.code, found.message)
}

/// An annotation as a workflow of GitHub reads it; properties and text have their own escapes.
fn github(found: &Diagnostic) -> String {
    let text = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |value: &str| text(value).replace(':', "%3A").replace(',', "%2C");
    let message = match &found.hint {
        Some(hint) => format!("{}; {hint}", found.message),
        None => found.message.clone(),
    };
    let place = &found.location;
    format!(
        "::{} file={},line={},col={},title={}::{}\n",
        found.severity.as_str(),
        property(&place.file),
        place.line,
        place.column,
        property(found.code),
        text(&message)
    )
}

type Times = (Option<String>, Option<String>, Option<String>, Option<String>);

fn request(formulas: Vec<String>, params: Vec<String>, times: Times, summary: bool) -> anyhow::Result<Request> {
    let (from, to, step, timezone) = times;
    let step = step.filter(|step| step != "auto").map(|step| step.parse()).transpose()?;
    let param = |param: String| {
        let (name, value) = param.split_once('=').with_context(|| format!("--param {param}: write name=value"))?;
        Ok((name.to_owned(), value.into()))
    };
    Ok(Request {
        formulas: match formulas.as_slice() {
            [all] if all == "*" => Formulas::All,
            _ => Formulas::Entries(formulas.into_iter().map(Entry::named).collect()),
        },
        from: from.map(Into::into),
        to: to.map(Into::into),
        step,
        timezone,
        max_points: None,
        summary,
        params: params.into_iter().map(param).collect::<anyhow::Result<_>>()?,
    })
}

async fn query(config: Config, keyspace: &str, request: &Request, format: QueryFormat) -> anyhow::Result<u8> {
    let (service, _) = app::service(config)?;
    let answer = match service.answer(keyspace, request).await {
        Ok(answer) => answer,
        Err(crate::query::QueryError::Input(errors)) => {
            for error in errors {
                let _ = writeln!(std::io::stderr(), "tsdb-ws: {}: {}", error.pointer, error.detail);
            }
            return Ok(2);
        }
        Err(error) => return Err(error.into()),
    };
    let failed = answer.results.iter().filter_map(|result| Some((&result.name, result.outcome.as_ref().err()?)));
    let failed: Vec<String> = failed.map(|(name, error)| format!("tsdb-ws: {name}: {}", error.detail)).collect();
    failed.iter().for_each(|line| drop(writeln!(std::io::stderr(), "{line}")));
    match format {
        QueryFormat::Json => print(&format!("{}\n", String::from_utf8_lossy(&http::encode::json(&answer)))),
        QueryFormat::Csv if failed.is_empty() => {
            let csv =
                http::encode::csv(&answer).map_err(|(name, error)| anyhow::anyhow!("{name}: {}", error.detail))?;
            print(&String::from_utf8_lossy(&csv));
        }
        QueryFormat::Csv => {}
    }
    Ok(u8::from(!failed.is_empty()))
}

async fn load(config: Config, files: &[PathBuf]) -> anyhow::Result<u8> {
    let store = crate::backend::embedded::EmbeddedStore::open(&config.store)?;
    let mut refused = 0;
    for file in files {
        let input: Box<dyn std::io::Read> = match file.as_os_str() == "-" {
            true => Box::new(std::io::stdin()),
            false => Box::new(std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?),
        };
        let visible = std::io::stderr().is_terminal();
        let progress = |stored: u64| {
            if visible {
                let _ = write!(std::io::stderr(), "\r{stored} points stored");
            }
        };
        let report = ingest::load(input, &store, 0, &progress).await?;
        for (line, fault) in &report.faults {
            let _ = writeln!(std::io::stderr(), "{}:{line}: {fault}", file.display());
        }
        print(&format!("{}: {} points stored, {} lines refused\n", file.display(), report.stored, report.refused));
        refused += report.refused;
    }
    Ok(u8::from(refused > 0))
}
