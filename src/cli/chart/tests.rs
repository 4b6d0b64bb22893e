use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::json;

use super::*;
use crate::query::{SeriesResult, Stats};
use crate::series::TimeAxis;

const START: i64 = 1_795_305_600_000;

fn answer(unit: &str, lines: &[(&str, &[f64])]) -> Answer {
    let count = lines[0].1.len() as i64;
    let step = "1m".parse().unwrap();
    let series = lines.iter().map(|(tag, values)| SeriesResult {
        tags: if tag.is_empty() { Vec::new() } else { vec![("variation".to_owned(), Arc::from(*tag))] },
        column: Column { values: values.to_vec(), undefined: None },
        summary: (*tag == "a").then_some(Summary::Value(0.5)),
        comparison: None,
    });
    let evaluation = Evaluation {
        expr: String::new(),
        tags: Vec::new(),
        series: series.collect(),
        sample_ratio: None,
        warnings: Vec::new(),
    };
    Answer {
        keyspace: "shop".to_owned(),
        revision: "r".to_owned(),
        backend: "embedded",
        timezone: "UTC".to_owned(),
        step: "1m".to_owned(),
        axis: TimeAxis::covering(START, START + count * 60_000, step, &TimeZone::UTC, 1000).unwrap(),
        partial_from: None,
        settling_from: None,
        results: vec![FormulaResult {
            name: "rate".to_owned(),
            formula: "rate".to_owned(),
            chart: json!({ "title": "Rate", "kind": "line", "unit": unit }).as_object().cloned().map(Into::into),
            outcome: Ok(evaluation),
        }],
        stats: Stats::default(),
        timings: Vec::new(),
        shadow_read: Default::default(),
    }
}

fn drawn(answer: &Answer) -> String {
    let mut out = Vec::new();
    write(answer, Canvas { columns: 70, rows: 7, colours: false }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn one_line_with_a_gap() {
    let values = [0.01, 0.02, 0.03, f64::NAN, 0.02, 0.05, 0.04];
    insta::assert_snapshot!(drawn(&answer("percent", &[("", &values)])));
}

#[test]
fn two_lines_have_marks_and_a_legend() {
    let (up, down) = ([1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]);
    insta::assert_snapshot!(drawn(&answer("count", &[("a", &up), ("b", &down)])));
}

#[test]
fn colours_are_only_where_they_are_shown() {
    let values = [1.0, 2.0];
    let mut out = Vec::new();
    let canvas = Canvas { columns: 40, rows: 7, colours: true };
    write(&answer("count", &[("a", &values), ("b", &values)]), canvas, &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("\u{1b}[33m"));
}

#[test]
fn odd_values_are_drawn_or_told() {
    assert!(drawn(&answer("count", &[("", &[f64::NAN, f64::NAN])])).ends_with("no data\n"));
    for values in [&[5.0][..], &[0.0, 0.0], &[-f64::MAX, f64::MAX], &[5e-324, 0.0], &[1e-9, -1e9]] {
        let text = drawn(&answer("duration", &[("", values)]));
        assert!(text.lines().count() > 8, "{text}");
    }
}

#[test]
fn a_table_is_aligned() {
    let (a, b) = ([0.031, f64::NAN, 0.0], [12345.678, 1.0, -2.5]);
    let mut answer = answer("percent", &[("a", &a), ("b", &b)]);
    if let Ok(evaluation) = &mut answer.results[0].outcome {
        evaluation.series[0].column.undefined = Some(vec![false, true, false]);
    }
    let mut out = Vec::new();
    crate::cli::table::write(&answer, &mut out).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}
