//! Files of points → a backend.
//!
//! A thread reads lines and parses them (`lines`, `parse`); batches of points go through a short queue to the backend, so that
//! reading and writing overlap and memory stays bounded whatever the file's length. A batch of which the backend refuses
//! something is sifted by halves, so that the rest is stored and what is refused is named.

mod lines;
mod parse;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::mpsc;

use crate::backend::{Backend, BackendError};
use crate::series::Point;
use parse::PointReader;

/// Points written at once.
const BATCH: usize = 5_000;
/// Faults that are named; the others are counted.
const NAMED_FAULTS: usize = 1_000;
/// Of a batch a backend may refuse so many points; more are a fault of the file as a whole, such as points that are all too old.
const MAX_REFUSED: usize = 100;
/// For so long, in all of a load, is it found out which those are.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a load came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Points stored.
    pub stored: u64,
    /// Distinct stored series seen.
    pub series: u64,
    /// Lines that were refused; the first thousand are named.
    pub refused: u64,
    /// Line number (from 1) and reason.
    pub faults: Vec<(u64, String)>,
}

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// With a header `series,timestamp,value,<tag>,…`.
    Csv,
    /// `{"series","timestamp","value","tags"}` a line.
    Ndjson,
}

/// Reads points and writes them in batches. `progress` is told the bytes read and the points stored so far. Without a format,
/// a file whose first line begins with `{` is NDJSON, any other CSV. `shift` milliseconds are added to every timestamp.
///
/// # Errors
/// When the file cannot be read or the backend fails; points stored before that stay.
pub async fn load(
    input: impl Read + Send + 'static,
    format: Option<Format>,
    backend: &dyn Backend,
    shift: i64,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> anyhow::Result<Report> {
    load_into(input, format, async |points: &[Point]| Ok(backend.write(points).await?), shift, progress).await
}

/// As [`load`], into whatever takes the points of a batch.
///
/// # Errors
/// When the file cannot be read or `take` fails; what was taken before that stays.
pub async fn load_into(
    input: impl Read + Send + 'static,
    format: Option<Format>,
    mut take: impl AsyncFnMut(&[Point]) -> anyhow::Result<()>,
    shift: i64,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> anyhow::Result<Report> {
    let (sender, mut batches) = mpsc::channel(2);
    // Not a task of the runtime: one that waits for standard input would keep the process from ending.
    std::thread::Builder::new()
        .name("load".to_owned())
        .spawn(move || Reading::new(sender, shift).run(input, format))?;
    let mut stored = 0;
    let (mut refused, mut named) = (0, Vec::new());
    let mut patience = PATIENCE;
    while let Some(message) = batches.recv().await {
        match message {
            Message::Batch { points, lines, bytes } => {
                let mut sifted = Vec::new();
                if let Err(fault) = take(&points).await {
                    let found = sift(&points, fault, &mut take, &mut patience).await;
                    sifted = found.with_context(|| format!("after {stored} points"))?;
                }
                stored += (points.len() - sifted.len()) as u64;
                refused += sifted.len() as u64;
                let room = NAMED_FAULTS.saturating_sub(named.len());
                named.extend(sifted.into_iter().take(room).map(|(place, reason)| (lines[place], reason)));
                progress(bytes, stored);
            }
            Message::End(report) => {
                let mut report = Report { stored, ..report.context("cannot read the file")? };
                report.refused += refused;
                report.faults.extend(named);
                report.faults.sort_by_key(|(line, _)| *line);
                report.faults.truncate(NAMED_FAULTS);
                return Ok(report);
            }
        }
    }
    anyhow::bail!("the reading thread ended before the file did")
}

/// Stores what can be stored of points that a backend did not take as a whole, in their order, and finds those that it refuses:
/// their places and why. It takes its time off `patience`.
///
/// # Errors
/// The first fault, where it is none of the points, or of too many of them to be those of single lines.
async fn sift(
    points: &[Point],
    fault: anyhow::Error,
    take: &mut impl AsyncFnMut(&[Point]) -> anyhow::Result<()>,
    patience: &mut Duration,
) -> anyhow::Result<Vec<(usize, String)>> {
    // A server that is away or does not answer refuses nothing.
    let is_refusal = |fault: &anyhow::Error| matches!(fault.downcast_ref(), Some(BackendError::Failed { .. }));
    if !is_refusal(&fault) {
        return Err(fault);
    }
    let begun = Instant::now();
    let mut refused = Vec::new();
    // The first in order is last. Of points of one instant the last one counts, so that none may be stored before an earlier one.
    let mut pending: Vec<Range<usize>> = Vec::new();
    let halve = |range: Range<usize>, pending: &mut Vec<Range<usize>>| {
        let middle = range.start + range.len() / 2;
        pending.extend([middle..range.end, range.start..middle]);
    };
    match points.len() {
        1 => return Ok(vec![(0, fault.to_string())]),
        len => halve(0..len, &mut pending),
    }
    while let Some(range) = pending.pop() {
        match take(&points[range.clone()]).await {
            Ok(()) => {}
            Err(fault) if !is_refusal(&fault) => return Err(fault),
            Err(fault) if range.len() == 1 => refused.push((range.start, fault.to_string())),
            Err(_) => halve(range, &mut pending),
        }
        if refused.len() > MAX_REFUSED || begun.elapsed() > *patience {
            return Err(fault);
        }
    }
    *patience = patience.saturating_sub(begun.elapsed());
    Ok(refused)
}

/// The greatest timestamp of a file's good lines, for [`shift_to`].
///
/// # Errors
/// When the file cannot be read.
pub fn last_timestamp(input: impl Read, format: Option<Format>) -> anyhow::Result<Option<i64>> {
    let mut reader = PointReader::new(input, format);
    let mut last = None;
    while let Some((_, parsed)) = reader.next().context("cannot read the file")? {
        last = last.max(parsed.ok().map(|point| point.timestamp));
    }
    Ok(last)
}

/// The shift that brings a file's last timestamp to the current minute, never beyond now. Whole minutes, so that what was
/// aligned to minutes stays so.
pub fn shift_to(now: i64, last: i64) -> i64 {
    now.saturating_sub(last).div_euclid(60_000) * 60_000
}

enum Message {
    Batch {
        points: Vec<Point>,
        /// The line of each.
        lines: Vec<u64>,
        /// Read so far.
        bytes: u64,
    },
    /// Everything but what was stored.
    End(io::Result<Report>),
}

/// The thread that reads.
struct Reading {
    sender: mpsc::Sender<Message>,
    shift: i64,
    report: Report,
    points: Vec<Point>,
    /// The line of each.
    lines: Vec<u64>,
    /// Hashes of the series seen: names and tags of millions of them would take too much room.
    seen: HashSet<u64>,
    hasher: RandomState,
}

/// Nobody takes batches any more, for the backend failed.
struct Closed;

impl Reading {
    fn new(sender: mpsc::Sender<Message>, shift: i64) -> Reading {
        Reading {
            sender,
            shift,
            report: Report::default(),
            points: Vec::with_capacity(BATCH),
            lines: Vec::with_capacity(BATCH),
            seen: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    fn run(mut self, input: impl Read, format: Option<Format>) {
        let mut reader = PointReader::new(input, format);
        let outcome = loop {
            let (number, parsed) = match reader.next() {
                Ok(Some(line)) => line,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            match parsed.and_then(|point| self.shifted(point)) {
                Ok(point) => {
                    self.points.push(point);
                    self.lines.push(number);
                }
                Err(reason) => self.refuse(number, reason),
            }
            if self.points.len() == BATCH && self.send(reader.bytes()).is_err() {
                return;
            }
        };
        if self.send(reader.bytes()).is_ok() {
            self.report.series = self.seen.len() as u64;
            // When nobody listens any more, nobody misses the report.
            let _ = self.sender.blocking_send(Message::End(outcome.map(|()| self.report)));
        }
    }

    fn shifted(&self, point: Point) -> Result<Point, String> {
        let timestamp = parse::in_range(point.timestamp.saturating_add(self.shift))?;
        Ok(Point { timestamp, ..point })
    }

    fn refuse(&mut self, number: u64, reason: String) {
        self.report.refused += 1;
        if self.report.faults.len() < NAMED_FAULTS {
            self.report.faults.push((number, reason));
        }
    }

    fn send(&mut self, bytes: u64) -> Result<(), Closed> {
        let points = std::mem::replace(&mut self.points, Vec::with_capacity(BATCH));
        for point in &points {
            self.seen.insert(self.hasher.hash_one((&point.series, &point.tags)));
        }
        let lines = std::mem::replace(&mut self.lines, Vec::with_capacity(BATCH));
        self.sender.blocking_send(Message::Batch { points, lines, bytes }).map_err(|_| Closed)
    }
}
