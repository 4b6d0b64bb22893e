//! An answer as aligned columns: a table a formula, `timestamp | series…`.

use std::io::{self, Write};

use super::comparison;
use super::show::{self, Times};
use crate::query::{Answer, Evaluation, SeriesResult, Summary};

/// Writes a table for each formula that was answered.
pub fn write(answer: &Answer, out: &mut impl Write) -> io::Result<()> {
    let times = Times::of(answer);
    let timestamps: Vec<String> = answer.axis.starts().iter().map(|start| times.show(*start)).collect();
    let mut first = true;
    for result in &answer.results {
        let Ok(evaluation) = &result.outcome else { continue };
        if !first {
            writeln!(out)?;
        }
        first = false;
        writeln!(out, "{}", show::heading(result))?;
        if evaluation.series.is_empty() {
            writeln!(out, "no data")?;
            continue;
        }
        rows(evaluation, &timestamps, &answer.timezone, out)?;
        comparison::write(evaluation, out)?;
    }
    Ok(())
}

fn rows(evaluation: &Evaluation, timestamps: &[String], timezone: &str, out: &mut impl Write) -> io::Result<()> {
    let corner = if timezone == "UTC" { "timestamp".to_owned() } else { format!("timestamp ({timezone})") };
    let first = timestamps.iter().map(|text| show::width(text)).max().unwrap_or(0).max(show::width(&corner));
    let columns: Vec<Column> = evaluation.series.iter().map(Column::new).collect();
    write_row(&corner, first, columns.iter().map(|column| (column.label.clone(), column.width)), out)?;
    for (index, timestamp) in timestamps.iter().enumerate() {
        write_row(timestamp, first, columns.iter().map(|column| (column.cell(index), column.width)), out)?;
    }
    if columns.iter().any(|column| column.series.summary.is_some()) {
        write_row("summary", first, columns.iter().map(|column| (column.summary(), column.width)), out)?;
    }
    Ok(())
}

fn write_row(
    first: &str,
    width: usize,
    cells: impl Iterator<Item = (String, usize)>,
    out: &mut impl Write,
) -> io::Result<()> {
    write!(out, "{first:<width$}")?;
    for (cell, width) in cells {
        write!(out, "  {cell:>width$}")?;
    }
    writeln!(out)
}

struct Column<'a> {
    series: &'a SeriesResult,
    label: String,
    width: usize,
}

impl<'a> Column<'a> {
    fn new(series: &'a SeriesResult) -> Column<'a> {
        let label = show::tags(series);
        let mut column = Column { series, label, width: 0 };
        let cells = (0..series.column.values.len()).map(|index| show::width(&column.cell(index))).max().unwrap_or(0);
        column.width = show::width(&column.label).max(cells).max(show::width(&column.summary()));
        column
    }

    fn cell(&self, index: usize) -> String {
        match self.series.column.get(index) {
            Some(value) => show::exact(value),
            None if self.series.column.is_undefined(index) => "undefined".to_owned(),
            None => "null".to_owned(),
        }
    }

    fn summary(&self) -> String {
        match &self.series.summary {
            Some(Summary::Value(value)) => show::exact(*value),
            Some(Summary::Null(reason)) => format!("null ({reason})"),
            None => String::new(),
        }
    }
}
