//! An answer as lines in the terminal: a chart a formula, drawn with braille dots, coloured where colours are shown.
//!
//! Where they are not, each of several series has a mark of its own.

use std::io::{self, Write};

use super::show::{self, Times, Unit};
use crate::query::{Answer, Evaluation, FormulaResult, Summary};
use crate::series::Column;

const COLOURS: [u8; 6] = [36, 33, 35, 32, 34, 31];
const MARKS: [char; 8] = ['*', '+', 'o', 'x', '#', '@', '%', '&'];
/// The bits of a braille letter by column and row of its dots.
const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
/// Rows between labels of the vertical axis.
const LABEL_EVERY: usize = 3;

/// What a chart is drawn on.
#[derive(Debug, Clone, Copy)]
pub struct Canvas {
    columns: usize,
    rows: usize,
    colours: bool,
}

impl Canvas {
    /// As wide as the terminal says it is.
    pub fn of_terminal(colours: bool) -> Canvas {
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(100_usize);
        Canvas { columns: columns.clamp(40, 400), rows: 13, colours }
    }
}

/// Writes a chart for each formula that was answered.
pub fn write(answer: &Answer, canvas: Canvas, out: &mut impl Write) -> io::Result<()> {
    let mut first = true;
    for result in &answer.results {
        let Ok(evaluation) = &result.outcome else { continue };
        if !first {
            writeln!(out)?;
        }
        first = false;
        writeln!(out, "{}", show::heading(result))?;
        match Scale::of(result, evaluation) {
            Some(scale) => draw(answer, result, evaluation, scale, canvas, out)?,
            None => writeln!(out, "no data")?,
        }
    }
    Ok(())
}

/// The values at the bottom and at the top.
#[derive(Debug, Clone, Copy)]
struct Scale {
    bottom: f64,
    top: f64,
}

impl Scale {
    /// From the least to the greatest value, or what the chart says; `None` where there is no value.
    fn of(result: &FormulaResult, evaluation: &Evaluation) -> Option<Scale> {
        let values = evaluation.series.iter().flat_map(|series| &series.column.values).filter(|value| !value.is_nan());
        let (least, greatest) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, greatest), value| {
            (least.min(*value), greatest.max(*value))
        });
        if least > greatest {
            return None;
        }
        let bound = |name: &str| result.chart.as_ref()?.get(name)?.as_f64();
        let (bottom, top) = (bound("min").unwrap_or(least), bound("max").unwrap_or(greatest));
        if bottom < top {
            return Some(Scale { bottom, top });
        }
        let margin = if bottom == 0.0 { 1.0 } else { bottom.abs() / 10.0 };
        Some(Scale { bottom: bottom - margin, top: bottom + margin })
    }

    /// Where a value lies, 0 at the bottom and 1 at the top. Halves, because the whole span may overflow.
    fn position(self, value: f64) -> f64 {
        ((value / 2.0 - self.bottom / 2.0) / (self.top / 2.0 - self.bottom / 2.0)).clamp(0.0, 1.0)
    }

    fn value(self, position: f64) -> f64 {
        self.bottom * (1.0 - position) + self.top * position
    }
}

fn draw(
    answer: &Answer,
    result: &FormulaResult,
    evaluation: &Evaluation,
    scale: Scale,
    canvas: Canvas,
    out: &mut impl Write,
) -> io::Result<()> {
    let unit = Unit::of(result);
    let label = |row: usize| match row % LABEL_EVERY {
        0 => unit.show(scale.value(1.0 - row as f64 / (canvas.rows - 1) as f64)),
        _ => String::new(),
    };
    let labels: Vec<String> = (0..canvas.rows).map(label).collect();
    let margin = labels.iter().map(|label| show::width(label)).max().unwrap_or(0);
    let mut plot = Plot::new(canvas.columns.saturating_sub(margin + 3).max(20), canvas.rows);
    for (index, series) in evaluation.series.iter().enumerate() {
        plot.line(index, &series.column, scale);
    }
    let style = Style { colours: canvas.colours, several: evaluation.series.len() > 1 };
    for (row, label) in labels.iter().enumerate() {
        let tick = if label.is_empty() { '│' } else { '┤' };
        writeln!(out, "{label:>margin$} {tick}{}", plot.row(row, style).trim_end())?;
    }
    writeln!(out, "{:margin$} └{}", "", "─".repeat(plot.columns))?;
    writeln!(out, "{:margin$}  {}", "", time_labels(answer, plot.columns))?;
    for (index, series) in evaluation.series.iter().enumerate() {
        let summary = match &series.summary {
            Some(Summary::Value(value)) => format!("  summary {}", unit.show(*value)),
            Some(Summary::Null(reason)) => format!("  summary null ({reason})"),
            None => String::new(),
        };
        writeln!(out, "{:margin$}  {} {}{summary}", "", style.key(index), show::tags(series))?;
    }
    Ok(())
}

/// The first and the last timestamp, and the middle one where there is room.
fn time_labels(answer: &Answer, columns: usize) -> String {
    let times = Times::of(answer);
    let starts = answer.axis.starts();
    let Some((first, last)) = starts.first().zip(starts.last()) else { return String::new() };
    let (first, last) = (times.show(*first), times.show(*last));
    let used = show::width(&first) + show::width(&last);
    if starts.len() == 1 || used + 2 > columns {
        return first;
    }
    let middle = times.show(starts[starts.len() / 2]);
    let room = columns - used;
    if starts.len() < 3 || show::width(&middle) + 4 > room {
        return format!("{first}{}{last}", " ".repeat(room));
    }
    let gap = room - show::width(&middle);
    format!("{first}{}{middle}{}{last}", " ".repeat(gap / 2), " ".repeat(gap - gap / 2))
}

#[derive(Clone, Copy)]
struct Style {
    colours: bool,
    several: bool,
}

impl Style {
    fn key(self, index: usize) -> String {
        let dot = if self.colours || !self.several { '⣿' } else { MARKS[index % MARKS.len()] };
        self.cell(index, dot)
    }

    fn cell(self, index: usize, letter: char) -> String {
        if self.colours {
            return format!("\u{1b}[{}m{letter}\u{1b}[0m", COLOURS[index % COLOURS.len()]);
        }
        letter.to_string()
    }
}

/// Dots, and which series drew last in each cell.
struct Plot {
    columns: usize,
    rows: usize,
    cells: Vec<(u8, usize)>,
}

impl Plot {
    fn new(columns: usize, rows: usize) -> Plot {
        Plot { columns, rows, cells: vec![(0, 0); columns * rows] }
    }

    /// Joins neighbouring values; a null is a gap.
    fn line(&mut self, series: usize, column: &Column, scale: Scale) {
        let steps = column.values.len().saturating_sub(1).max(1) as f64;
        let (right, bottom) = ((self.columns * 2 - 1) as f64, (self.rows * 4 - 1) as f64);
        let mut previous: Option<(i64, i64)> = None;
        for (index, value) in column.values.iter().enumerate() {
            let here = (!value.is_nan()).then(|| {
                let x = (index as f64 / steps * right).round() as i64;
                (x, ((1.0 - scale.position(*value)) * bottom).round() as i64)
            });
            if let Some(here) = here {
                self.segment(series, previous.unwrap_or(here), here);
            }
            previous = here;
        }
    }

    fn segment(&mut self, series: usize, from: (i64, i64), to: (i64, i64)) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let steps = dx.abs().max(dy.abs()).max(1);
        for step in 0..=steps {
            self.dot(series, from.0 + dx * step / steps, from.1 + dy * step / steps);
        }
    }

    fn dot(&mut self, series: usize, x: i64, y: i64) {
        let (x, y) = (x.max(0) as usize, y.max(0) as usize);
        if let Some((dots, top)) = self.cells.get_mut(y / 4 * self.columns + x / 2) {
            *dots |= DOTS[x % 2][y % 4];
            *top = series;
        }
    }

    fn row(&self, row: usize, style: Style) -> String {
        let cells = &self.cells[row * self.columns..(row + 1) * self.columns];
        let letter = |(dots, series): &(u8, usize)| match dots {
            0 => " ".to_owned(),
            _ if style.several && !style.colours => MARKS[series % MARKS.len()].to_string(),
            dots => style.cell(*series, char::from_u32(0x2800 + u32::from(*dots)).unwrap_or('.')),
        };
        cells.iter().map(letter).collect()
    }
}

#[cfg(test)]
mod tests;
