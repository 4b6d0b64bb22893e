//! `query`: formulas from the configured backend, with no server.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{Status, chart, complain, table};
use crate::app::{self, App};
use crate::config::Flags;
use crate::http::encode;
use crate::query::{Answer, InputError, QueryError, Request};

#[derive(Debug, Args)]
pub struct QueryArgs {
    #[command(flatten)]
    pub request: RequestArgs,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// What is asked for.
#[derive(Debug, Args)]
pub struct RequestArgs {
    /// The keyspace
    pub keyspace: String,
    /// Formulas; `*` is each that has a chart
    // Its own name: an argument called `formulas` would be taken for the flag of the service.
    #[arg(required = true, value_name = "FORMULA")]
    wanted: Vec<String>,
    #[command(flatten)]
    window: WindowArgs,
    /// The timezone of steps of a day and longer [default: the keyspace's]
    #[arg(long)]
    timezone: Option<String>,
    /// Also each formula over the range as one bucket
    #[arg(long)]
    summary: bool,
    /// Also the variations of the keyspace's experiment against its control
    #[arg(long)]
    compare: bool,
}

/// When, and for which values of parameters.
#[derive(Debug, Args)]
pub struct WindowArgs {
    /// A parameter; given again, any of its values
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// RFC 3339, epoch ms, or relative such as now-6h [default: now-1h]
    #[arg(long, allow_hyphen_values = true)]
    from: Option<String>,
    /// As --from [default: now]
    #[arg(long, allow_hyphen_values = true)]
    to: Option<String>,
    /// The width of a point, such as 5m [default: auto]
    #[arg(long)]
    step: Option<String>,
}

impl WindowArgs {
    /// The parameters by name.
    pub fn params(&self) -> anyhow::Result<BTreeMap<String, Value>> {
        params(&self.params)
    }

    /// Writes what is given of the times and the step into the body of a request.
    pub fn write(&self, body: &mut Value) {
        for (field, text) in [("from", &self.from), ("to", &self.to), ("step", &self.step)] {
            if let Some(text) = text {
                body[field] = json!(text);
            }
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Aligned columns
    Table,
    /// As the service answers
    Json,
    /// As the service answers
    Csv,
    /// Lines in the terminal
    Chart,
}

pub async fn run(flags: Flags, args: &QueryArgs, out: &mut impl Write) -> anyhow::Result<Status> {
    let request = args.request.read()?;
    let app = open(flags).await?;
    app.fill_demo().await?;
    match app.service.answer(&args.request.keyspace, &request).await {
        Ok(answer) => write_answer(&answer, args.format, out),
        Err(error) => fail(error),
    }
}

/// The service without listeners.
pub async fn open(flags: Flags) -> anyhow::Result<App> {
    let config = app::read_config(&flags)?;
    App::open(flags, config).await
}

/// What a request that failed as a whole comes to: a finding where it is over a limit, else an error.
pub fn fail(error: QueryError) -> anyhow::Result<Status> {
    match error {
        QueryError::Input(faults) => Err(wrong_request(&faults)),
        QueryError::LimitExceeded { .. } => {
            complain(&format!("tsdb-ws: {error}"));
            Ok(Status::Finding)
        }
        other => Err(other.into()),
    }
}

/// The faults in the words of the command line.
fn wrong_request(faults: &[InputError]) -> anyhow::Error {
    let lines = faults.iter().map(|fault| {
        let flag = match fault.pointer.strip_prefix("/params/") {
            Some(name) => format!("--param {name}"),
            None if fault.pointer.starts_with("/formulas") => "FORMULA".to_owned(),
            None => format!("--{}", fault.pointer.trim_start_matches('/')),
        };
        format!("{flag}: {}", fault.detail)
    });
    anyhow::anyhow!(lines.collect::<Vec<_>>().join("\n"))
}

impl RequestArgs {
    /// The request, read as the service reads a body.
    pub fn read(&self) -> anyhow::Result<Request> {
        let formulas = match self.wanted.as_slice() {
            [all] if all == "*" => json!("*"),
            names => json!(names),
        };
        let params = self.window.params()?;
        let mut body =
            json!({ "formulas": formulas, "summary": self.summary, "compare": self.compare, "params": params });
        self.window.write(&mut body);
        if let Some(timezone) = &self.timezone {
            body["timezone"] = json!(timezone);
        }
        Request::from_json(&body).map_err(|faults| wrong_request(&faults))
    }
}

/// Parameters as they are written after `--param`; one that is given again is a list.
pub fn params(written: &[String]) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut params: BTreeMap<String, Value> = BTreeMap::new();
    for param in written {
        let (name, value) = param.split_once('=').with_context(|| format!("--param {param}: write NAME=VALUE"))?;
        match params.get_mut(name) {
            None => drop(params.insert(name.to_owned(), json!(value))),
            Some(Value::Array(values)) => values.push(json!(value)),
            Some(first) => *first = json!([first.clone(), value]),
        }
    }
    Ok(params)
}

fn write_answer(answer: &Answer, format: Format, out: &mut impl Write) -> anyhow::Result<Status> {
    let mut failed = false;
    for result in &answer.results {
        if let Err(error) = &result.outcome {
            failed = true;
            complain(&format!("tsdb-ws: {}: {} ({})", result.name, error.detail, error.code));
        }
    }
    match format {
        Format::Json => {
            out.write_all(&encode::json(answer))?;
            writeln!(out)?;
        }
        // A CSV cannot tell that a formula failed, so that there is none then.
        Format::Csv => {
            if let Ok(csv) = encode::csv(answer) {
                out.write_all(&csv)?;
            }
        }
        Format::Table => {
            complain_of_warnings(answer);
            table::write(answer, out)?;
        }
        Format::Chart => {
            complain_of_warnings(answer);
            let plain = !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some();
            chart::write(answer, chart::Canvas::of_terminal(!plain), out)?;
        }
    }
    Ok(Status::of_findings(failed))
}

fn complain_of_warnings(answer: &Answer) {
    for result in &answer.results {
        for warning in result.outcome.iter().flat_map(|evaluation| &evaluation.warnings) {
            complain(&format!("tsdb-ws: {}: warning: {}", result.name, warning.detail));
        }
    }
}
