//! `compare`: two backends, every formula, head to head.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::{Status, complain, query, show, test};
use crate::app;
use crate::backend::BackendError;
use crate::catalog::{Catalog, Keyspace};
use crate::compare::{self, Outcome, Params, Report, Row, Side, Verdict, Window};
use crate::config::{BackendName, Config, Flags};
use crate::plan::{Request, time::parse_time};
use crate::query::{Backends, Service};
use crate::series::Step;
use crate::{catalog, repository};

/// The range where nothing says how long the backends keep points, in days.
const DAYS: i64 = 7;
const DAY: i64 = 86_400_000;
/// How long a backend may take to say that it is well.
const PATIENCE: Duration = Duration::from_secs(5);
/// Differences of one formula that are written; the report has more.
const SHOWN: usize = 10;

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The first backend
    #[arg(long, value_name = "NAME")]
    left: String,
    /// The second backend
    #[arg(long, value_name = "NAME")]
    right: String,
    /// The keyspaces [default: all]
    #[arg(value_name = "KEYSPACE", id = "compared_keyspaces")]
    keyspaces: Vec<String>,
    /// RFC 3339, epoch ms, or relative such as now-6h [default: what both backends keep, else now-7d]
    #[arg(long, allow_hyphen_values = true)]
    from: Option<String>,
    /// As --from [default: when the last buckets settled]
    #[arg(long, allow_hyphen_values = true)]
    to: Option<String>,
    /// The width of a point, such as 5m [default: auto]
    #[arg(long)]
    step: Option<Step>,
    /// How far apart two values may be, as a part of the greater one [default: what the same points can come to]
    #[arg(long, value_name = "PART")]
    tolerance: Option<f64>,
    /// A parameter, for every formula that uses it; given again, any of its values
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Also write a report that a browser shows
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

pub async fn run(flags: &Flags, args: &CompareArgs, out: &mut impl Write) -> anyhow::Result<Status> {
    let config = app::read_config(flags)?;
    let (left, right) = (backend("--left", &args.left)?, backend("--right", &args.right)?);
    if left == right {
        bail!("--left and --right are both {}; name two backends", left.as_str());
    }
    if args.tolerance.is_some_and(|tolerance| !tolerance.is_finite() || tolerance < 0.0) {
        bail!("--tolerance must be a part such as 0.01, or 0");
    }
    let listing = app::source(&config).list()?;
    let catalog = catalog::compile(&listing);
    let broken = broken_keyspaces(&listing, &catalog);
    let now = jiff::Timestamp::now().as_millisecond();
    let sides = (side(&config, left, &catalog, now).await?, side(&config, right, &catalog, now).await?);
    let keyspaces = chosen(&catalog, &broken, &args.keyspaces)?;
    let given = query::params(&args.params)?;
    let declared = |name: &&String| keyspaces.iter().any(|keyspace| keyspace.parameters.contains_key(*name));
    if let Some(name) = given.keys().find(|name| !declared(name)) {
        bail!("--param {name}: no keyspace that is compared has such a parameter");
    }
    let mut windows = BTreeMap::new();
    for keyspace in &keyspaces {
        windows.insert(keyspace.name.clone(), window(args, &config, (left, right), keyspace, now)?);
    }
    let report = compared((&sides.0, &sides.1), &keyspaces, given, &test::requests(&listing), &windows, args).await?;
    write_table(&report, out)?;
    write_differences(&report, out)?;
    for (formula, reason) in &report.left_out {
        complain(&format!("tsdb-ws: {formula} was not compared: {reason}"));
    }
    broken.iter().for_each(|name| complain(&format!("tsdb-ws: the keyspace {name} has errors and was not compared")));
    let compared_any = report.differs() || report.rows.iter().any(|row| row.outcome.compared > 0);
    if !compared_any {
        complain("tsdb-ws: there was nothing to compare: no formula has data on either side in that range");
    }
    if let Some(path) = &args.report {
        std::fs::write(path, compare::html(&report)).with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(out, "report: {}", path.display())?;
    }
    // Whoever asks before a switch must not take what could not be compared for what is equal.
    let is_whole = compared_any && report.left_out.is_empty() && broken.is_empty();
    Ok(Status::of_findings(report.differs() || !is_whole))
}

fn backend(flag: &str, name: &str) -> anyhow::Result<BackendName> {
    let names = || BackendName::ALL.map(BackendName::as_str).join(", ");
    BackendName::named(name).with_context(|| format!("{flag} {name}: there is no such backend; there are {}", names()))
}

/// A service that reads from one backend only. Its clock stands still, so that both are asked for the same range.
async fn side(config: &Config, name: BackendName, catalog: &Catalog, now: i64) -> anyhow::Result<Side> {
    // An empty store would be made, and all would differ from it.
    if name == BackendName::Embedded && !config.store.exists() {
        bail!("there is no store {}; mend --store, or `load` something into it first", config.store.display());
    }
    let backend = app::open_backend(config, name)?;
    match tokio::time::timeout(PATIENCE, backend.check_health()).await {
        Ok(health) => health.with_context(|| format!("{} cannot be compared", name.as_str()))?,
        Err(_) => bail!("{} cannot be compared: no answer within {} s", name.as_str(), PATIENCE.as_secs()),
    }
    let mut config = Config { backend: name, shadow: None, ..config.clone() };
    for keyspace in config.keyspaces.values_mut() {
        (keyspace.backend, keyspace.shadow) = (None, None);
        // Limits on how often users may ask are not meant for this.
        (keyspace.queries_per_second, keyspace.concurrency) = (None, None);
    }
    let mut service = Service::new(config, Backends::from([(name, backend)]));
    service.clock = Arc::new(move || now);
    service.catalog.publish(Catalog {
        revision: catalog.revision.clone(),
        keyspaces: catalog.keyspaces.clone(),
        diagnostics: Vec::new(),
    });
    Ok(Side { name: name.as_str(), service })
}

/// The keyspaces that have files and errors in them.
fn broken_keyspaces(listing: &repository::Listing, catalog: &Catalog) -> Vec<String> {
    let named = listing.files.iter().filter_map(|file| repository::keyspace_of(&file.path));
    let mut broken: Vec<String> =
        named.filter(|name| !catalog.keyspaces.contains_key(*name)).map(str::to_owned).collect();
    broken.sort();
    broken.dedup();
    broken
}

fn chosen<'a>(catalog: &'a Catalog, broken: &[String], names: &[String]) -> anyhow::Result<Vec<&'a Keyspace>> {
    if names.is_empty() {
        return Ok(catalog.keyspaces.values().map(|keyspace| keyspace.as_ref()).collect());
    }
    let find = |name: &String| match catalog.keyspaces.get(name) {
        Some(keyspace) => Ok(keyspace.as_ref()),
        None if broken.contains(name) => bail!("the keyspace {name} has errors; `tsdb-ws check` shows them"),
        None => bail!("there is no keyspace {name}"),
    };
    names.iter().map(find).collect()
}

/// From when to when a keyspace is compared: what both backends keep, up to the last bucket that has settled.
fn window(
    args: &CompareArgs,
    config: &Config,
    (left, right): (BackendName, BackendName),
    keyspace: &Keyspace,
    now: i64,
) -> anyhow::Result<Window> {
    let read = |flag: &str, text: &Option<String>| {
        let text = text.as_ref().map(|text| parse_time(&Value::from(text.as_str()), now, &keyspace.timezone));
        text.transpose().map_err(|fault| anyhow::anyhow!("{flag}: {fault}"))
    };
    let kept = |name| config.retention.get(&name).map(|kept: &Step| now.saturating_sub(kept.nominal_millis()));
    let retained = kept(left).max(kept(right));
    let settled = now.saturating_sub(keyspace.settle);
    let to = read("--to", &args.to)?.unwrap_or_else(|| keyspace.resolution.floor(settled, &keyspace.timezone));
    let limits = config.keyspaces.get(&keyspace.name).and_then(|own| own.limits.as_ref()).unwrap_or(&config.limits);
    let mut from = match read("--from", &args.from)? {
        Some(from) => from,
        None => retained.unwrap_or(now - DAYS * DAY).max(to.saturating_sub(limits.range.nominal_millis())),
    };
    if let Some(retained) = retained.filter(|retained| *retained > from) {
        // The bucket that the retention cuts is whole in neither.
        from = keyspace.resolution.next(keyspace.resolution.floor(retained, &keyspace.timezone), &keyspace.timezone);
    }
    if from >= to {
        bail!("{}: there is nothing between --from and --to that both backends keep", keyspace.name);
    }
    Ok(Window { from, to, step: args.step })
}

async fn compared(
    sides: (&Side, &Side),
    keyspaces: &[&Keyspace],
    given: Params,
    tests: &BTreeMap<String, Vec<Request>>,
    windows: &BTreeMap<String, Window>,
    args: &CompareArgs,
) -> Result<Report, BackendError> {
    let cases = compare::find(sides, keyspaces, &given, tests, windows).await?;
    let bar =
        if io::stderr().is_terminal() { ProgressBar::new(cases.cases.len() as u64) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg} {eta}") {
        bar.set_style(style);
    }
    let progress = |case: &compare::Case| {
        bar.inc(1);
        bar.set_message(case.to_string());
    };
    let report = compare::run(sides, cases, windows, args.tolerance, &progress).await;
    bar.finish_and_clear();
    report
}

fn write_table(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let (left, right) = (report.left, report.right);
    let heads = ["formula", "agreement", "missing series", "missing buckets", "largest difference", "at (UTC)"];
    let times = [format!("{left} p50"), "p99".to_owned(), format!("{right} p50"), "p99".to_owned()];
    let mut lines = vec![heads.into_iter().map(str::to_owned).chain(times).collect::<Vec<String>>()];
    lines.extend(report.rows.iter().map(cells));
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| show::width(cell)).max();
    let widths: Vec<usize> = (0..lines[0].len()).map(|column| width(column).unwrap_or(0)).collect();
    for line in &lines {
        let mut text = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let gap = " ".repeat(width.saturating_sub(show::width(cell)));
            // Names begin at the left, figures end at the right.
            text.push_str(&if column == 0 { format!("{cell}{gap}") } else { format!("  {gap}{cell}") });
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

fn cells(row: &Row) -> Vec<String> {
    let outcome = &row.outcome;
    let largest = outcome.largest.as_ref();
    let time =
        |times: &[Duration], percent| compare::percentile(times, percent).map(compare::millis).unwrap_or_default();
    vec![
        row.case.to_string(),
        compare::agreement(outcome),
        outcome.missing_series.to_string(),
        outcome.missing_buckets.to_string(),
        largest.map_or_else(|| "0".to_owned(), |largest| compare::part(largest.relative)),
        largest.and_then(|largest| largest.timestamp).map(compare::time_of).unwrap_or_default(),
        time(&row.left_times, 50),
        time(&row.left_times, 99),
        time(&row.right_times, 50),
        time(&row.right_times, 99),
    ]
}

/// Formula, series, timestamp and both values of what differs, and why a formula was not compared.
fn write_differences(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for row in &report.rows {
        let Outcome { verdict, differences, .. } = &row.outcome;
        if let Verdict::NotCompared(reason) = verdict {
            writeln!(out, "\n{}: neither answers: {reason}", row.case)?;
        }
        if differences.is_empty() {
            continue;
        }
        writeln!(out, "\n{} differs:", row.case)?;
        for found in differences.iter().take(SHOWN) {
            let at =
                found.timestamp.map_or_else(|| "over the whole range".to_owned(), |at| format!("at {}", instant(at)));
            let (left, right) = (compare::value(&found.left), compare::value(&found.right));
            let apart = compare::part(found.relative);
            let apart = if apart.is_empty() { apart } else { format!(" ({apart} apart)") };
            writeln!(out, "  {} {at}: {} {left}, {} {right}{apart}", found.series, report.left, report.right)?;
        }
        if differences.len() > SHOWN {
            writeln!(out, "  and {} more; --report shows them", differences.len() - SHOWN)?;
        }
    }
    writeln!(out)
}

/// RFC 3339.
fn instant(timestamp: i64) -> String {
    jiff::Timestamp::from_millisecond(timestamp).map_or_else(|_| timestamp.to_string(), |at| at.to_string())
}
