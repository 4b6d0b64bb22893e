//! Files of points → a backend: CSV with a header `series,timestamp,value,<tag>,…`, or a JSON object a line.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, bail};
use jiff::Timestamp;
use serde::Deserialize;

use crate::backend::Backend;
use crate::series::{Point, Tags};

/// What a load came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Points stored.
    pub stored: u64,
    /// Lines that were refused.
    pub refused: u64,
    /// Line number (from 1) and reason of the first thousand refused lines.
    pub faults: Vec<(u64, String)>,
}

const BATCH: usize = 5_000;
const NAMED_FAULTS: usize = 1_000;
const MAX_LINE: u64 = 1 << 20;

/// Reads points, moves them by `shift` milliseconds and writes them in batches. `progress` is told the points stored so far.
///
/// # Errors
/// When the file cannot be read or the backend fails; points stored before that stay.
pub async fn load(
    input: impl Read,
    backend: &dyn Backend,
    shift: i64,
    progress: &(dyn Fn(u64) + Sync),
) -> anyhow::Result<Report> {
    let mut lines = Lines { input: BufReader::new(input), number: 0 };
    let mut report = Report::default();
    let mut header: Option<Vec<String>> = None;
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(line) = lines.next()? {
        let point = match line {
            Err(fault) => Err(fault),
            Ok(line) if line.trim().is_empty() => continue,
            Ok(line) if line.trim_start().starts_with('{') => parse_json(&line),
            Ok(line) => match &header {
                Some(header) => cells(&line).and_then(|cells| parse_cells(header, &cells)),
                None => {
                    header = Some(read_header(&line)?);
                    continue;
                }
            },
        };
        match point.and_then(|point| shifted(point, shift)) {
            Ok(point) => batch.push(point),
            Err(fault) => {
                report.refused += 1;
                if report.faults.len() < NAMED_FAULTS {
                    report.faults.push((lines.number, fault));
                }
            }
        }
        if batch.len() == BATCH {
            store(backend, &mut batch, &mut report).await?;
            progress(report.stored);
        }
    }
    store(backend, &mut batch, &mut report).await?;
    progress(report.stored);
    Ok(report)
}

/// The greatest timestamp of a file's good lines.
///
/// # Errors
/// When the file cannot be read.
pub fn last_timestamp(input: impl Read) -> anyhow::Result<Option<i64>> {
    let mut lines = Lines { input: BufReader::new(input), number: 0 };
    let mut header: Option<Vec<String>> = None;
    let mut last = None;
    while let Some(line) = lines.next()? {
        let point = match (line, &header) {
            (Err(_), _) => continue,
            (Ok(line), _) if line.trim().is_empty() => continue,
            (Ok(line), _) if line.trim_start().starts_with('{') => parse_json(&line),
            (Ok(line), Some(header)) => cells(&line).and_then(|cells| parse_cells(header, &cells)),
            (Ok(line), None) => {
                header = Some(read_header(&line)?);
                continue;
            }
        };
        last = last.max(point.ok().map(|point| point.timestamp));
    }
    Ok(last)
}

async fn store(backend: &dyn Backend, batch: &mut Vec<Point>, report: &mut Report) -> anyhow::Result<()> {
    if !batch.is_empty() {
        backend.write(batch).await.context("the points of a batch were not stored")?;
        report.stored += batch.len() as u64;
        batch.clear();
    }
    Ok(())
}

struct Lines<R> {
    input: BufReader<R>,
    number: u64,
}

impl<R: Read> Lines<R> {
    /// The next line, or what keeps it from being read as text; a line over the limit is passed over in pieces.
    fn next(&mut self) -> anyhow::Result<Option<Result<String, String>>> {
        let mut bytes = Vec::new();
        let read = self.input.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if read as u64 == MAX_LINE && bytes.last() != Some(&b'\n') {
            loop {
                bytes.clear();
                let more = self.input.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes)?;
                if more == 0 || bytes.last() == Some(&b'\n') {
                    break;
                }
            }
            return Ok(Some(Err("the line is longer than 1 MiB".to_owned())));
        }
        let text = String::from_utf8(bytes).map_err(|_| "the line is not UTF-8".to_owned());
        Ok(Some(text.map(|text| text.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']).to_owned())))
    }
}

fn cells(line: &str) -> Result<Vec<String>, String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
    match reader.records().next() {
        Some(Ok(record)) => Ok(record.iter().map(str::to_owned).collect()),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("the line is empty".to_owned()),
    }
}

fn read_header(line: &str) -> anyhow::Result<Vec<String>> {
    let header = cells(line).map_err(anyhow::Error::msg)?;
    for column in ["series", "timestamp", "value"] {
        if !header.iter().any(|name| name == column) {
            bail!("the header has no column `{column}`: a CSV file begins with series,timestamp,value,<tag>,…");
        }
    }
    Ok(header)
}

fn parse_cells(header: &[String], cells: &[String]) -> Result<Point, String> {
    if cells.len() != header.len() {
        return Err(format!("the line has {} cells, the header {}", cells.len(), header.len()));
    }
    let (mut series, mut timestamp, mut value, mut tags) = ("", Err(String::new()), f64::NAN, Tags::new());
    for (name, cell) in header.iter().zip(cells) {
        match name.as_str() {
            "series" => series = cell,
            "timestamp" => timestamp = parse_timestamp(cell.trim()),
            "value" => value = cell.trim().parse().map_err(|_| format!("`{cell}` is not a number"))?,
            _ if cell.is_empty() => {}
            _ => drop(tags.insert(name.clone(), cell.clone())),
        }
    }
    point(series, timestamp?, value, tags)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    series: String,
    timestamp: serde_json::Value,
    value: f64,
    #[serde(default)]
    tags: Tags,
}

fn parse_json(line: &str) -> Result<Point, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let timestamp = match &line.timestamp {
        serde_json::Value::Number(number) => {
            number.as_i64().ok_or_else(|| format!("`{number}` is not epoch milliseconds"))?
        }
        serde_json::Value::String(text) => parse_timestamp(text)?,
        _ => return Err("timestamp must be epoch milliseconds or RFC 3339".to_owned()),
    };
    let tags = line.tags.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    point(&line.series, timestamp, line.value, tags)
}

fn parse_timestamp(text: &str) -> Result<i64, String> {
    if let Ok(millis) = text.parse() {
        return Ok(millis);
    }
    let parsed = text.parse::<Timestamp>().map(|instant| instant.as_millisecond());
    parsed.map_err(|_| format!("`{text}` is not a timestamp: epoch milliseconds or RFC 3339"))
}

fn point(series: &str, timestamp: i64, value: f64, tags: Tags) -> Result<Point, String> {
    if series.is_empty() {
        return Err("the series has no name".to_owned());
    }
    if !value.is_finite() {
        return Err(format!("the value {value} is not finite"));
    }
    let texts = tags.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]).chain([series]);
    if texts.flat_map(str::chars).any(char::is_control) {
        return Err("a name or tag has a control character".to_owned());
    }
    if tags.keys().any(String::is_empty) {
        return Err("a tag has no name".to_owned());
    }
    Ok(Point { series: series.to_owned(), tags, timestamp, value })
}

fn shifted(point: Point, shift: i64) -> Result<Point, String> {
    let timestamp =
        point.timestamp.checked_add(shift).filter(|t| (-62_135_596_800_000..253_370_764_800_000).contains(t));
    let timestamp = timestamp.ok_or_else(|| "the timestamp is not in the years 1 to 9998".to_owned())?;
    Ok(Point { timestamp, ..point })
}
