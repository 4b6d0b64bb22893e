//! `load`: files of points into the configured backend.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Mutex;

use super::{Status, complain};
use crate::backend::prometheus::openmetrics;
use crate::config::Flags;
use crate::series::Point;
use crate::{app, ingest};

/// Between two lines of progress where there is no terminal.
const QUIET: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub struct LoadArgs {
    /// CSV (series,timestamp,value,<tag>,…) or NDJSON files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Move all points by whole minutes, so that the last one of the files is now
    #[arg(long)]
    shift_to_now: bool,
    /// Store nothing: write all points, which memory must hold, to a file for `promtool tsdb create-blocks-from openmetrics`
    #[arg(long, value_name = "OUT")]
    promtool: Option<PathBuf>,
}

pub async fn run(flags: &Flags, args: &LoadArgs, out: &mut impl Write) -> anyhow::Result<Status> {
    let config = app::read_config(flags)?;
    let files: Vec<(&str, Option<u64>)> =
        args.files.iter().map(|file| Ok((file.as_str(), length(file)?))).collect::<anyhow::Result<_>>()?;
    let shift = if args.shift_to_now { shift_to_now(&args.files)? } else { 0 };
    let backend = match args.promtool {
        Some(_) => None,
        None => Some(app::open_backend(&config, config.backend)?),
    };
    let mut kept: Vec<Point> = Vec::new();
    let mut take = async |points: &[Point]| match &backend {
        Some(backend) => Ok(backend.write(points).await?),
        None => {
            kept.extend_from_slice(points);
            Ok(())
        }
    };
    let (mut stored, mut refused, mut empty) = (0, 0, false);
    for (file, length) in &files {
        let progress = Arc::new(Progress::new(file, *length));
        let told = Arc::clone(&progress);
        let progressed = move |read, stored| told.stored(read, stored);
        let report = ingest::load_into(open(file)?, None, &mut take, shift, &progressed)
            .await
            .with_context(|| format!("cannot load {file}"))?;
        progress.bar.finish_and_clear();
        report.faults.iter().for_each(|(line, fault)| complain(&format!("{file}:{line}: {fault}")));
        let unnamed = report.refused.saturating_sub(report.faults.len() as u64);
        if unnamed > 0 {
            complain(&format!("{file}: {unnamed} more line(s) refused"));
        }
        if (report.stored, report.refused) == (0, 0) {
            complain(&format!("{file}: there is no point in it; a CSV has a header and a line for each point"));
            empty = true;
        }
        let done = if args.promtool.is_some() { "written" } else { "stored" };
        writeln!(out, "{file}: {} point(s) {done}, {} line(s) refused", report.stored, report.refused)?;
        out.flush()?;
        stored += report.stored;
        refused += report.refused;
    }
    if files.len() > 1 {
        writeln!(out, "{} file(s): {stored} point(s) stored, {refused} line(s) refused", files.len())?;
    }
    if let Some(place) = &args.promtool {
        write_for_promtool(&kept, place).with_context(|| format!("cannot write {}", place.display()))?;
    }
    Ok(Status::of_findings(refused > 0 || empty))
}

fn write_for_promtool(points: &[Point], place: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(place)?);
    openmetrics::write(points, &mut file)?;
    file.flush()
}

/// How long a file is; unknown for standard input. Asked of all files before the first is loaded.
fn length(file: &str) -> anyhow::Result<Option<u64>> {
    if file == "-" {
        return Ok(None);
    }
    let meta = std::fs::metadata(file).with_context(|| format!("cannot read {file}"))?;
    if meta.is_dir() {
        bail!("cannot read {file}: it is a directory");
    }
    Ok(meta.is_file().then_some(meta.len()))
}

fn open(file: &str) -> anyhow::Result<Box<dyn Read + Send>> {
    match file {
        "-" => Ok(Box::new(io::stdin())),
        _ => Ok(Box::new(File::open(file).with_context(|| format!("cannot read {file}"))?)),
    }
}

/// The shift by which the last point of all files comes to the current minute, never beyond now.
fn shift_to_now(files: &[String]) -> anyhow::Result<i64> {
    if files.iter().any(|file| file == "-") {
        bail!("--shift-to-now reads its input twice, which standard input cannot be; name a file");
    }
    let mut last = None;
    for file in files {
        last = last.max(ingest::last_timestamp(open(file)?, None).with_context(|| format!("cannot read {file}"))?);
    }
    let now = jiff::Timestamp::now().as_millisecond();
    Ok(last.map_or(0, |last| ingest::shift_to(now, last)))
}

/// A bar on a terminal; else a line now and then.
struct Progress {
    bar: ProgressBar,
    file: String,
    quiet_since: Mutex<Option<Instant>>,
}

impl Progress {
    fn new(file: &str, length: Option<u64>) -> Progress {
        let terminal = io::stderr().is_terminal();
        let bar = match length {
            _ if !terminal => ProgressBar::hidden(),
            Some(length) => ProgressBar::new(length),
            None => ProgressBar::no_length(),
        };
        let template = match length {
            Some(_) => "{prefix} {wide_bar} {bytes}/{total_bytes} {msg} {eta}",
            None => "{prefix} {spinner} {bytes} {msg} {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(file.to_owned());
        let quiet_since = Mutex::new((!terminal).then(Instant::now));
        Progress { bar, file: file.to_owned(), quiet_since }
    }

    fn stored(&self, read: u64, stored: u64) {
        self.bar.set_position(read);
        self.bar.set_message(format!("{stored} points"));
        let mut quiet_since = self.quiet_since.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if quiet_since.is_some_and(|since| since.elapsed() >= QUIET) {
            *quiet_since = Some(Instant::now());
            complain(&format!("{}: {stored} point(s) stored so far", self.file));
        }
    }
}
