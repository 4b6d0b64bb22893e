//! Functions over time and across series: cases as data, summaries, and what is refused.

use std::process::Command;

use serde_json::{Value, json};
use tsdb_ws::series::Point;

use crate::support::{ask, embedded, listing, point};

const KEYSPACE: &str = include_str!("../testdata/functions/functions.yaml");

#[test]
fn every_case_of_the_test_file_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testdata/functions");
    let run = Command::new(env!("CARGO_BIN_EXE_tsdb-ws")).args(["test", folder]).output().unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    assert_eq!(run.status.code(), Some(0), "{told}");
    assert!(told.contains("54 passed, 0 failed"), "{told}");
}

fn points() -> Vec<Point> {
    let series = |name: &'static str, tags: &'static str, values: &'static [f64]| {
        values.iter().enumerate().map(move |(minute, value)| point(name, tags, minute as i64 * 60_000, *value))
    };
    series("shop.x", "v=control", &[10.0, 20.0, 0.0, 40.0, 50.0, 60.0])
        .chain(series("shop.x", "v=treatment", &[5.0, 0.0, 0.0, 8.0, 4.0, 12.0]))
        .chain(series("shop.parts", "p=one,v=control", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
        .chain(series("shop.parts", "p=one,v=treatment", &[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]))
        .chain(series("shop.parts", "p=two,v=control", &[90.0, 0.0, 0.0, 0.0, 0.0, 10.0]))
        .collect()
}

fn summaries(result: &Value) -> Vec<Value> {
    result["series"].as_array().unwrap().iter().map(|series| series["summary"].clone()).collect()
}

#[tokio::test]
async fn a_summary_is_the_formula_over_the_range_as_one_bucket() {
    let service = embedded(&[("shop.yaml", KEYSPACE)], &points(), 3_600_000).await;
    let names = ["per_second", "earlier", "total", "best", "lifted", "running"];
    let request = json!({ "formulas": names, "from": 180_000, "to": 360_000, "step": "1m" });
    let answer = ask(&service, "shop", request).await.unwrap();
    let found: Vec<Vec<Value>> = answer["results"].as_array().unwrap().iter().map(summaries).collect();
    let expected = [
        json!([150.0 / 180.0, 24.0 / 180.0]),
        // Minutes 1 to 3.
        json!([60.0, 8.0]),
        json!([31.0]),
        // The best by what is shown, 15 and 10, not by the whole of what is stored.
        json!([15.0, 10.0]),
        json!([0.0, (24.0 - 150.0) / 150.0]),
        json!([null, null]),
    ];
    for ((name, found), expected) in names.iter().zip(found).zip(expected) {
        for (found, expected) in found.iter().zip(expected.as_array().unwrap()) {
            let close = match (found.as_f64(), expected.as_f64()) {
                (Some(found), Some(expected)) => (found - expected).abs() < 1e-12,
                (found, expected) => found == expected,
            };
            assert!(close, "{name}: {found} is not {expected}");
        }
    }
    assert_eq!(answer["results"][5]["series"][0]["summary_reason"], "no_single_bucket");
    // One read of each range: the answer's own and the earlier one.
    assert_eq!(answer["stats"]["backend_calls"], 1);
}

#[tokio::test]
async fn nothing_is_shown_after_now() {
    let late = point("shop.level", "v=control", 300_000, 1.0);
    let points: Vec<Point> = points().into_iter().chain([late]).collect();
    let service = embedded(&[("shop.yaml", KEYSPACE)], &points, 210_000).await;
    let request = json!({ "formulas": ["running", "how_many"], "from": 180_000, "to": 360_000, "step": "1m" });
    let answer = ask(&service, "shop", request).await.unwrap();
    // Points after now are there all the same: clocks differ; but nothing is carried or filled into the future.
    assert_eq!(answer["results"][0]["series"][0]["values"], json!([40, null, null]));
    assert_eq!(answer["results"][1]["series"][0]["values"], json!([0, null, 1]));
}

#[tokio::test]
async fn an_operand_of_coalesce_without_the_group_is_null_also_when_it_fills_with_zero() {
    let keyspace = r#"
        defaults: { group_by: [v] }
        metrics: { one: s.one, two: s.two, three: s.three }
        formulas:
          either: coalesce(one, two)
          inside: coalesce(one, two) * 2 + one
          beside: coalesce(one, two) + three
          over: coalesce(one / two, -1)
    "#;
    let points = [
        point("s.one", "v=x", 0, 1.0),
        point("s.two", "v=x", 60_000, 10.0),
        point("s.two", "v=y", 60_000, 20.0),
        point("s.three", "v=z", 60_000, 300.0),
    ];
    let service = embedded(&[("k.yaml", keyspace)], &points, 3_600_000).await;
    let expected = [
        // y is no group of the first: only there the second is taken. x is, and so is filled.
        ("either", json!({ "x": [1, 0], "y": [0, 20] })),
        ("inside", json!({ "x": [3, 0], "y": [0, 40] })),
        // None of its operands has z: it is worth what it gives for zeros.
        ("beside", json!({ "x": [1, 0], "y": [0, 20], "z": [0, 300] })),
        ("over", json!({ "x": [-1, 0], "y": [-1, 0] })),
    ];
    for (formula, expected) in expected {
        let request = json!({ "formulas": [formula], "from": 0, "to": 120_000, "step": "1m" });
        let answer = ask(&service, "k", request).await.unwrap();
        let series = answer["results"][0]["series"].as_array().unwrap().iter();
        let found: serde_json::Map<String, Value> =
            series.map(|series| (series["tags"]["v"].as_str().unwrap().to_owned(), series["values"].clone())).collect();
        assert_eq!(Value::Object(found), expected, "{formula}");
    }
}

#[test]
fn misuses_are_refused_at_load() {
    let metrics = "metrics: { m: { series: s, group_by: [a, b] }, d: { series: t, kind: distinct } }\nformulas:\n";
    for (expr, code) in [
        ("sum_by(m, \"zork\")", "unknown_tag"),
        ("baseline(m, \"zork\", \"x\")", "unknown_tag"),
        ("sum_by(m, \"a\") + sum_by(m, \"b\")", "unjoinable"),
        ("moving_avg(m, \"soon\")", "wrong_argument"),
        ("moving_avg(m)", "wrong_arity"),
        ("topk(m, 0)", "wrong_argument"),
        ("topk(m, 1.5)", "wrong_argument"),
        ("sum_by(d)", "not_additive"),
        ("cumulative(d)", "not_additive"),
        ("offset(m, \"-1d\")", "wrong_argument"),
    ] {
        let text = format!("{metrics}  f: {{ expr: '{expr}' }}\n");
        let found = tsdb_ws::catalog::compile(&listing(&[("k.yaml", &text)])).diagnostics;
        assert!(found.iter().any(|diagnostic| diagnostic.code == code), "{expr}: {found:#?}");
    }
}
