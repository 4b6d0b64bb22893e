//! An answer as JSON.

use serde::Serialize;

use super::number::{write_integer, write_value};
use crate::query::{Answer, Comparison, Evaluation, FormulaResult, SampleRatio, SeriesResult, Summary};

/// A guess at the bytes of a value with its comma, so that the body is rarely moved while it grows.
const BYTES_A_VALUE: usize = 12;

/// The answer as JSON, its fields in the order in which the documentation shows them.
pub fn json(answer: &Answer) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024 + (answer.stats.points + answer.axis.len()) * BYTES_A_VALUE);
    out.push(b'{');
    first_field(&mut out, "keyspace", &answer.keyspace);
    field(&mut out, "revision", &answer.revision);
    field(&mut out, "backend", answer.backend);
    field(&mut out, "timezone", &answer.timezone);
    field(&mut out, "from", &answer.axis.from());
    field(&mut out, "to", &answer.axis.to());
    field(&mut out, "step", &answer.step);
    key(&mut out, "timestamps");
    list(&mut out, answer.axis.starts(), |out, start| write_integer(out, *start));
    for (name, value) in [("partial_from", answer.partial_from), ("settling_from", answer.settling_from)] {
        if let Some(value) = value {
            field(&mut out, name, &value);
        }
    }
    key(&mut out, "results");
    list(&mut out, &answer.results, write_result);
    key(&mut out, "stats");
    write_stats(&mut out, answer);
    out.push(b'}');
    out
}

fn write_result(out: &mut Vec<u8>, result: &FormulaResult) {
    out.push(b'{');
    first_field(out, "name", &result.name);
    field(out, "formula", &result.formula);
    if let Ok(evaluation) = &result.outcome {
        field(out, "expr", &evaluation.expr);
    }
    if let Some(chart) = &result.chart {
        field(out, "chart", chart);
    }
    match &result.outcome {
        Ok(evaluation) => write_evaluation(out, evaluation),
        Err(error) => {
            key(out, "error");
            out.push(b'{');
            first_field(out, "code", error.code);
            field(out, "detail", &error.detail);
            if let Some(over) = error.limit {
                field(out, "limit", over.limit);
                field(out, "value", &over.value);
                field(out, "maximum", &over.maximum);
            }
            out.push(b'}');
        }
    }
    out.push(b'}');
}

fn write_evaluation(out: &mut Vec<u8>, evaluation: &Evaluation) {
    key(out, "series");
    list(out, &evaluation.series, write_series);
    if let Some(ratio) = &evaluation.sample_ratio {
        key(out, "sample_ratio");
        write_sample_ratio(out, ratio);
    }
    key(out, "warnings");
    list(out, &evaluation.warnings, |out, warning| {
        out.push(b'{');
        first_field(out, "code", warning.code);
        if let Some(count) = warning.count {
            field(out, "count", &count);
        }
        field(out, "detail", &warning.detail);
        out.push(b'}');
    });
}

fn write_series(out: &mut Vec<u8>, series: &SeriesResult) {
    out.extend_from_slice(b"{\"tags\":{");
    for (index, (name, value)) in series.tags.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        first_field(out, name, value.as_ref());
    }
    out.push(b'}');
    key(out, "values");
    list(out, &series.column.values, |out, value| write_value(out, *value));
    let undefined = series.column.undefined_runs();
    if !undefined.is_empty() {
        field(out, "undefined", &undefined);
    }
    match series.summary {
        Some(Summary::Value(value)) => {
            key(out, "summary");
            write_value(out, value);
        }
        Some(Summary::Null(reason)) => {
            field(out, "summary", &());
            field(out, "summary_reason", reason);
        }
        None => {}
    }
    match &series.comparison {
        Some(Some(comparison)) => {
            key(out, "compare");
            write_comparison(out, comparison);
        }
        // The control is compared with nothing.
        Some(None) => field(out, "compare", &()),
        None => {}
    }
    out.push(b'}');
}

fn write_comparison(out: &mut Vec<u8>, comparison: &Comparison) {
    let ends = |interval: Option<(f64, f64)>| (interval.map(|ends| ends.0), interval.map(|ends| ends.1));
    let (low, high) = ends(comparison.interval);
    let (lift_low, lift_high) = ends(comparison.lift_interval);
    let numbers = [
        ("lift", comparison.lift),
        ("low", low),
        ("high", high),
        ("lift_low", lift_low),
        ("lift_high", lift_high),
        ("p_value", comparison.p_value),
    ];
    out.push(b'{');
    first_key(out, "difference");
    write_value(out, comparison.difference.unwrap_or(f64::NAN));
    for (name, number) in numbers {
        key(out, name);
        write_value(out, number.unwrap_or(f64::NAN));
    }
    if let Some(reason) = comparison.reason {
        field(out, "reason", reason);
    }
    out.push(b'}');
}

fn write_sample_ratio(out: &mut Vec<u8>, ratio: &SampleRatio) {
    out.push(b'{');
    first_field(out, "metric", &ratio.metric);
    for (name, counts) in [("observed", &ratio.observed), ("expected", &ratio.expected)] {
        key(out, name);
        out.push(b'{');
        for (index, (variation, count)) in counts.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            first_key(out, variation);
            write_value(out, *count);
        }
        out.push(b'}');
    }
    key(out, "p_value");
    write_value(out, ratio.p_value.unwrap_or(f64::NAN));
    field(out, "mismatch", &ratio.mismatch);
    out.push(b'}');
}

fn write_stats(out: &mut Vec<u8>, answer: &Answer) {
    out.push(b'{');
    first_field(out, "backend_calls", &answer.stats.backend_calls);
    field(out, "selections", &answer.stats.selections);
    field(out, "series", &answer.stats.series);
    field(out, "points", &answer.stats.points);
    // There is no results cache yet: every answer is fresh.
    field(out, "cache", "miss");
    field(out, "stale", &false);
    out.push(b'}');
}

fn list<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// `,"name":`, where the name is one of ours and needs no escapes.
fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn field(out: &mut Vec<u8>, name: &str, value: &(impl Serialize + ?Sized)) {
    key(out, name);
    serialize(out, value);
}

/// `"name":value`, where the name may be anything.
fn first_field(out: &mut Vec<u8>, name: &str, value: &(impl Serialize + ?Sized)) {
    first_key(out, name);
    serialize(out, value);
}

fn first_key(out: &mut Vec<u8>, name: &str) {
    serialize(out, name);
    out.push(b':');
}

fn serialize(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    // Texts, numbers and JSON values always serialize, and writing to memory does not fail.
    let _ = serde_json::to_writer(out, value);
}
