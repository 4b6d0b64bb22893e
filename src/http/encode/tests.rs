//! What is written reads back as what it was written from.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::number::write_value;
use crate::http::openapi::AnswerBody;
use crate::query::{
    Answer, Comparison, Evaluation, FormulaError, FormulaResult, SampleRatio, SeriesResult, Stats, Summary, Warning,
};
use crate::series::{Column, TimeAxis};

const FROM: i64 = 1_795_305_600_000;

fn answer(results: Vec<FormulaResult>, buckets: i64) -> Answer {
    let step = "1m".parse().unwrap();
    let axis = TimeAxis::covering(FROM, FROM + buckets * 60_000, step, &TimeZone::UTC, 10_000).unwrap();
    Answer {
        keyspace: "storefront".into(),
        revision: "3f9c2ab".into(),
        backend: "m3db",
        timezone: "America/Los_Angeles".into(),
        step: "1m".into(),
        axis,
        partial_from: None,
        settling_from: None,
        results,
        stats: Stats { backend_calls: 1, selections: 3, series: 3, points: 9 },
        timings: vec![("plan", Duration::from_micros(5))],
        shadow_read: Default::default(),
    }
}

fn series(tags: &[(&str, &str)], values: Vec<f64>) -> SeriesResult {
    let tags = tags.iter().map(|(name, value)| (name.to_string(), Arc::from(*value))).collect();
    SeriesResult { tags, column: Column { values, undefined: None }, summary: None, comparison: None }
}

fn result(name: &str, series: Vec<SeriesResult>) -> FormulaResult {
    let tags = series.iter().flat_map(|one| &one.tags).map(|(name, _)| name.clone()).collect();
    let outcome = Ok(Evaluation { expr: "a / b".into(), tags, series, sample_ratio: None, warnings: Vec::new() });
    FormulaResult { name: name.into(), formula: name.into(), chart: None, outcome }
}

fn failed(name: &str) -> FormulaResult {
    let outcome = Err(FormulaError::new("unknown_formula", "there is no formula `nope`"));
    FormulaResult { name: name.into(), formula: name.into(), chart: None, outcome }
}

/// The example of the documentation, with a warning and a summary more.
fn example() -> Answer {
    let mut control = series(&[("variation", "control")], vec![0.031, f64::NAN, -0.0]);
    control.column.undefined = Some(vec![false, true, false]);
    control.summary = Some(Summary::Value(0.5));
    let mut treatment = series(&[("variation", "treatment")], vec![0.029, 0.04, 0.033]);
    treatment.summary = Some(Summary::Null("no_single_bucket"));
    let mut rate = result("conversion_rate", vec![control, treatment]);
    rate.chart =
        json!({ "title": "Conversion rate", "kind": "line", "unit": "percent" }).as_object().cloned().map(Into::into);
    if let Ok(evaluation) = &mut rate.outcome {
        evaluation.warnings = vec![
            Warning { code: "undefined", count: Some(1), detail: "…".into() },
            Warning { code: "x", count: None, detail: "\"".into() },
        ];
    }
    answer(vec![rate, failed("nope")], 3)
}

#[test]
fn the_example_is_written_field_for_field() {
    let expected = json!({
        "keyspace": "storefront", "revision": "3f9c2ab", "backend": "m3db", "timezone": "America/Los_Angeles",
        "from": FROM, "to": FROM + 180_000, "step": "1m", "timestamps": [FROM, FROM + 60_000, FROM + 120_000],
        "results": [
            { "name": "conversion_rate", "formula": "conversion_rate", "expr": "a / b",
              "chart": { "title": "Conversion rate", "kind": "line", "unit": "percent" },
              "series": [
                { "tags": { "variation": "control" }, "values": [0.031, null, 0], "undefined": [[1, 1]], "summary": 0.5 },
                { "tags": { "variation": "treatment" }, "values": [0.029, 0.04, 0.033], "summary": null,
                  "summary_reason": "no_single_bucket" }],
              "warnings": [{ "code": "undefined", "count": 1, "detail": "…" }, { "code": "x", "detail": "\"" }] },
            { "name": "nope", "formula": "nope",
              "error": { "code": "unknown_formula", "detail": "there is no formula `nope`" } }],
        "stats": { "backend_calls": 1, "selections": 3, "series": 3, "points": 9, "cache": "miss", "stale": false }
    });
    let bytes = super::json(&example());
    assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), expected);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains("\"values\":[0.031,null,0]"), "{text}");
    let order = ["\"keyspace\"", "\"timestamps\"", "\"results\"", "\"expr\"", "\"chart\"", "\"series\"", "\"stats\""];
    let places: Vec<usize> = order.iter().map(|key| text.find(key).unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn what_is_written_is_what_the_openapi_document_says() {
    let mut answer = example();
    answer.partial_from = Some(FROM);
    answer.settling_from = Some(FROM);
    if let Ok(evaluation) = &mut answer.results[0].outcome {
        evaluation.series[0].comparison = Some(None);
        let interval = Some((-0.5, 0.25));
        let reason = Some("too_few");
        evaluation.series[1].comparison = Some(Some(Comparison { interval, reason, ..Comparison::default() }));
        let counts = vec![("a\"".to_owned(), 3.0)];
        let ratio = SampleRatio {
            metric: "visitors".into(),
            observed: counts.clone(),
            expected: counts,
            p_value: None,
            mismatch: false,
        };
        evaluation.sample_ratio = Some(ratio);
    }
    let body: AnswerBody = serde_json::from_slice(&super::json(&answer)).unwrap();
    assert_eq!(body.partial_from, Some(FROM));
    let series = body.results[0].series.as_ref().unwrap();
    assert!(series[0].compare.is_none());
    let compared = series[1].compare.as_ref().unwrap();
    assert_eq!((compared.low, compared.high, compared.p_value), (Some(-0.5), Some(0.25), None));
    assert_eq!(compared.reason.as_deref(), Some("too_few"));
    assert_eq!(body.results[0].sample_ratio.as_ref().unwrap().observed["a\""], 3.0);
    assert_eq!(body.results[1].error.as_ref().unwrap().code, "unknown_formula");
}

#[test]
fn a_table_has_every_tag_and_empty_cells_for_null() {
    let one = result("a,\"b", vec![series(&[("variation", "x\ny")], vec![1.5, f64::NAN])]);
    let two = result("c", vec![series(&[("browser", "é")], vec![f64::NAN, 2.0])]);
    let text = String::from_utf8(super::csv(&answer(vec![one, two], 2)).unwrap()).unwrap();
    let later = FROM + 60_000;
    let expected = format!(
        "name,timestamp,value,browser,variation\n\"a,\"\"b\",{FROM},1.5,,\"x\ny\"\n\"a,\"\"b\",{later},,,\"x\ny\"\n\
         c,{FROM},,é,\nc,{later},2,é,\n"
    );
    assert_eq!(text, expected);
    assert_eq!(
        super::csv(&answer(vec![result("a", vec![series(&[], vec![1.0])])], 1)).unwrap(),
        format!("name,timestamp,value\na,{FROM},1\n").into_bytes()
    );
    let (name, error) = super::csv(&example()).unwrap_err();
    assert_eq!((name.as_str(), error.code), ("nope", "unknown_formula"));
}

fn written(value: f64) -> String {
    let mut out = Vec::new();
    write_value(&mut out, value);
    String::from_utf8(out).unwrap()
}

#[test]
fn numbers_are_as_short_as_they_can_be() {
    let cases = [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-3.0, "-3"),
        (0.1, "0.1"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e15, "1000000000000000"),
        (9_007_199_254_740_991.0, "9007199254740991"),
        (f64::NAN, "null"),
        (f64::INFINITY, "null"),
        (f64::NEG_INFINITY, "null"),
        (-1.5, "-1.5"),
    ];
    for (value, text) in cases {
        assert_eq!(written(value), text);
    }
    for value in [1e16, 1e22, 1e300, f64::MAX, f64::MIN_POSITIVE, 5e-324, 123_456_789_012_345_680.0, -1e21] {
        let text = written(value);
        assert_eq!(serde_json::from_str::<f64>(&text).unwrap().to_bits(), value.to_bits(), "{text}");
        assert!(!text.ends_with(".0"), "{text}");
    }
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    let whole = (-1_000_000_i64..1_000_000).prop_map(|value| value as f64);
    let value = prop_oneof![any::<f64>(), whole, Just(f64::NAN), Just(-0.0), -1.0..1.0];
    proptest::collection::vec(value, 1..40)
}

/// Null for what is not finite, 0 for −0.
fn as_read(value: f64) -> Option<f64> {
    value.is_finite().then_some(if value == 0.0 { 0.0 } else { value })
}

proptest! {
    #[test]
    fn columns_come_back_from_json_and_csv(values in values(), tag in "\\PC{0,8}", name in "[\\PC\n\"]{1,8}") {
        let expected: Vec<Option<u64>> = values.iter().map(|value| as_read(*value).map(f64::to_bits)).collect();
        let buckets = values.len() as i64;
        let made = answer(vec![result(&name, vec![series(&[("tag", &tag)], values)])], buckets);
        let body: AnswerBody = serde_json::from_slice(&super::json(&made)).unwrap();
        let read = &body.results[0].series.as_ref().unwrap()[0];
        prop_assert_eq!(&read.tags["tag"], &tag);
        prop_assert_eq!(&body.results[0].name, &name);
        let bits: Vec<Option<u64>> = read.values.iter().map(|value| value.map(f64::to_bits)).collect();
        prop_assert_eq!(&bits, &expected);

        let table = super::csv(&made).unwrap();
        let mut rows = csv::Reader::from_reader(table.as_slice());
        let mut bits = Vec::new();
        for (row, start) in rows.records().zip(made.axis.starts()) {
            let row = row.unwrap();
            prop_assert_eq!(&row[1], start.to_string());
            prop_assert_eq!((&row[0], &row[3]), (name.as_str(), tag.as_str()));
            bits.push((!row[2].is_empty()).then(|| row[2].parse::<f64>().unwrap().to_bits()));
        }
        prop_assert_eq!(&bits, &expected);
    }
}
