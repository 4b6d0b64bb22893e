//! An answer as bytes.

use std::collections::BTreeSet;

use serde_json::json;

use crate::query::{Answer, FormulaError, FormulaResult, SeriesResult, Summary};

/// The answer as JSON.
pub fn json(answer: &Answer) -> Vec<u8> {
    let mut head = json!({
        "keyspace": answer.keyspace, "revision": answer.revision, "backend": answer.backend, "timezone": answer.timezone,
        "from": answer.axis.from(), "to": answer.axis.to(), "step": answer.step, "timestamps": answer.axis.starts(),
    });
    for (name, value) in [("partial_from", answer.partial_from), ("settling_from", answer.settling_from)] {
        if let Some(value) = value {
            head[name] = value.into();
        }
    }
    let stats = json!({
        "backend_calls": answer.stats.backend_calls, "selections": answer.stats.selections, "series": answer.stats.series,
        "points": answer.stats.points, "cache": "miss", "stale": false,
    });
    let mut out = head.to_string().into_bytes();
    out.pop();
    out.extend(b",\"results\":[");
    for (index, result) in answer.results.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_result(&mut out, result);
    }
    out.extend(b"],\"stats\":");
    out.extend(stats.to_string().bytes());
    out.push(b'}');
    out
}

fn write_result(out: &mut Vec<u8>, result: &FormulaResult) {
    let mut head = json!({ "name": result.name, "formula": result.formula });
    if let Some(chart) = &result.chart {
        head["chart"] = chart.clone();
    }
    let evaluation = match &result.outcome {
        Err(error) => {
            head["error"] = json!({ "code": error.code, "detail": error.detail });
            out.extend(head.to_string().bytes());
            return;
        }
        Ok(evaluation) => evaluation,
    };
    head["expr"] = evaluation.expr.as_str().into();
    let warnings = evaluation.warnings.iter().map(|warning| {
        let mut value = json!({ "code": warning.code, "detail": warning.detail });
        if let Some(count) = warning.count {
            value["count"] = count.into();
        }
        value
    });
    head["warnings"] = warnings.collect();
    out.extend(head.to_string().bytes());
    out.pop();
    out.extend(b",\"series\":[");
    for (index, series) in evaluation.series.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_series(out, series);
    }
    out.extend(b"]}");
}

fn write_series(out: &mut Vec<u8>, series: &SeriesResult) {
    let tags: serde_json::Map<_, _> =
        series.tags.iter().map(|(name, value)| (name.clone(), value.as_ref().into())).collect();
    let mut head = json!({ "tags": tags });
    match &series.summary {
        Some(Summary::Value(value)) => head["summary"] = json!(value),
        Some(Summary::Null(reason)) => {
            head["summary"] = serde_json::Value::Null;
            head["summary_reason"] = (*reason).into();
        }
        None => {}
    }
    let undefined = series.column.undefined_runs();
    if !undefined.is_empty() {
        head["undefined"] = json!(undefined);
    }
    out.extend(head.to_string().bytes());
    out.pop();
    out.extend(b",\"values\":[");
    for (index, value) in series.column.values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_value(out, *value);
    }
    out.extend(b"]}");
}

/// The shortest text that reads as the same float, whole numbers without a fraction, NaN as null.
fn write_value(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        out.extend(b"null");
    } else if value.fract() == 0.0 && value.abs() < 9e15 {
        out.extend((value as i64).to_string().bytes());
    } else {
        out.extend(json!(value).to_string().bytes());
    }
}

/// The answer as CSV: `name,timestamp,value,<every tag, sorted>`.
///
/// # Errors
/// The name and error of the first formula that failed.
pub fn csv(answer: &Answer) -> Result<Vec<u8>, (String, FormulaError)> {
    let mut evaluations = Vec::new();
    for result in &answer.results {
        match &result.outcome {
            Ok(evaluation) => evaluations.push((&result.name, evaluation)),
            Err(error) => return Err((result.name.clone(), error.clone())),
        }
    }
    let series = || evaluations.iter().flat_map(|(name, evaluation)| evaluation.series.iter().map(move |s| (*name, s)));
    let tags: BTreeSet<&str> =
        series().flat_map(|(_, series)| series.tags.iter().map(|(tag, _)| tag.as_str())).collect();
    let mut rows =
        vec![["name", "timestamp", "value"].into_iter().chain(tags.iter().copied()).map(str::to_owned).collect()];
    for (name, series) in series() {
        for (timestamp, value) in answer.axis.starts().iter().zip(&series.column.values) {
            let mut cell = Vec::new();
            if value.is_finite() {
                write_value(&mut cell, *value);
            }
            let mut row: Vec<String> =
                vec![name.clone(), timestamp.to_string(), String::from_utf8(cell).unwrap_or_default()];
            let value_of = |tag: &&str| series.tags.iter().find(|(name, _)| name == tag).map_or("", |(_, value)| value);
            row.extend(tags.iter().map(|tag| value_of(tag).to_owned()));
            rows.push(row);
        }
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing to memory does not fail, and every row has as many cells as the header.
    let written = rows.iter().try_for_each(|row| writer.write_record(row));
    written.ok().and_then(|()| writer.into_inner().ok()).ok_or_else(|| {
        (answer.keyspace.clone(), FormulaError::new("internal", "the table could not be written; please report it"))
    })
}
