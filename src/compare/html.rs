//! The report of a comparison.

use std::fmt::Write;
use std::time::Duration;

use super::outcome::{Difference, Line, Verdict};
use super::{Report, Row, percentile};
use crate::report::{self, Sides, drawing, escape, time_of};

/// Series of a formula that are drawn, those that differ first.
const DRAWN: usize = 12;
/// Of series that agree, at most so many.
const DRAWN_AGREEING: usize = 3;
/// Differences of a formula that are listed.
const LISTED: usize = 50;

/// The report as one HTML document.
pub fn html(report: &Report) -> String {
    let (left, right) = (escape(report.left), escape(report.right));
    let differing = report.rows.iter().filter(|row| row.outcome.verdict == Verdict::Differs).count();
    let word = match (differing, report.rows.len()) {
        (0, _) => "agree".to_owned(),
        (some, all) => format!("differ in {some} of {all}"),
    };
    let mut page = format!(
        "<h1><span class=\"left\">{left}</span> and <span class=\"right\">{right}</span> {word}</h1>\
         <p>Compared at {} UTC. The thick line is {left}, the thin one over it {right}.</p>",
        time_of(report.at)
    );
    table(&mut page, report);
    if !report.left_out.is_empty() {
        page.push_str("<h2>Not compared</h2><ul>");
        for (formula, reason) in &report.left_out {
            let _ = write!(page, "<li><b>{}</b>: {}</li>", escape(formula), escape(reason));
        }
        page.push_str("</ul>");
    }
    for (index, row) in report.rows.iter().enumerate() {
        section(&mut page, index, row, (report.left, report.right));
    }
    report::page(&format!("{} and {} {word}", report.left, report.right), &page)
}

fn table(page: &mut String, report: &Report) {
    let (left, right) = (escape(report.left), escape(report.right));
    let _ = write!(
        page,
        "<div class=\"wide\"><table><thead><tr><th>Formula</th><th>Agreement</th><th>Missing series</th><th>Missing buckets</th>\
         <th>Largest difference</th><th>at</th><th>{left} p50</th><th>p99</th><th>{right} p50</th><th>p99</th></tr></thead><tbody>"
    );
    for (index, row) in report.rows.iter().enumerate() {
        let outcome = &row.outcome;
        let class = if outcome.verdict == Verdict::Differs { " class=\"differs\"" } else { "" };
        let largest = outcome.largest.as_ref();
        let cells = [
            super::agreement(outcome),
            outcome.missing_series.to_string(),
            outcome.missing_buckets.to_string(),
            largest.map_or_else(String::new, |largest| super::part(largest.relative)),
            largest.and_then(|largest| largest.timestamp).map_or_else(String::new, time_of),
            time(&row.left_times, 50),
            time(&row.left_times, 99),
            time(&row.right_times, 50),
            time(&row.right_times, 99),
        ];
        let _ = write!(page, "<tr{class}><th><a href=\"#f{index}\">{}</a></th>", escape(&row.case.to_string()));
        for cell in cells {
            let _ = write!(page, "<td>{}</td>", escape(&cell));
        }
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div>");
}

fn section(page: &mut String, index: usize, row: &Row, names: (&str, &str)) {
    let outcome = &row.outcome;
    let open = if outcome.verdict == Verdict::Differs { " open" } else { "" };
    let verdict = match &outcome.verdict {
        Verdict::Agrees => "agrees".to_owned(),
        Verdict::Differs => "differs".to_owned(),
        Verdict::NotCompared(reason) => format!("not compared: {reason}"),
    };
    let _ = write!(
        page,
        "<details id=\"f{index}\"{open}><summary><b>{}</b> {} <i>{}</i></summary>",
        escape(&row.case.to_string()),
        escape(outcome.title.as_deref().unwrap_or_default()),
        escape(&verdict)
    );
    if let Some(axis) = &outcome.axis {
        let (from, to) = (time_of(axis.from()), time_of(axis.to()));
        let _ = write!(page, "<p>{from} to {to} UTC, by {}</p>", escape(&outcome.step));
        let differing = outcome.lines.iter().filter(|line| !line.agrees);
        let agreeing = outcome.lines.iter().filter(|line| line.agrees).take(DRAWN_AGREEING);
        let lines: Vec<&Line> = differing.chain(agreeing).take(DRAWN).collect();
        for line in &lines {
            let sides = Sides { left: line.left.as_deref(), right: line.right.as_deref(), worst: line.worst };
            figure(page, line, &drawing(sides, axis, &line.name), names);
        }
        let more = outcome.lines.len() - lines.len();
        if more > 0 {
            let _ = write!(page, "<p>{more} more series are not drawn.</p>");
        }
    }
    differences(page, &outcome.differences, names);
    page.push_str("</details>");
}

fn figure(page: &mut String, line: &Line, drawing: &str, (left, right): (&str, &str)) {
    let said = match line {
        Line { left: None, .. } => format!("missing on {}", escape(left)),
        Line { right: None, .. } => format!("missing on {}", escape(right)),
        Line { agrees: true, .. } => "agrees".to_owned(),
        Line { .. } => "differs".to_owned(),
    };
    let name = escape(&line.name);
    let _ = write!(page, "<figure><figcaption><b>{name}</b> {said}</figcaption>{drawing}</figure>");
}

fn differences(page: &mut String, differences: &[Difference], (left, right): (&str, &str)) {
    if differences.is_empty() {
        return;
    }
    let row = |found: &Difference| {
        let at = found.timestamp.map_or_else(|| "whole range".to_owned(), time_of);
        let (left, right) = (super::value(&found.left), super::value(&found.right));
        vec![found.series.clone(), at, left, right, super::part(found.relative)]
    };
    let header = ["Series", "at (UTC)", left, right, "apart"];
    page.push_str(&report::table(&header, differences.iter().take(LISTED).map(row)));
}

fn time(times: &[Duration], percent: usize) -> String {
    percentile(times, percent).map_or_else(String::new, super::millis)
}
