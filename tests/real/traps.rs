//! What KairosDB does that nobody expects, each against the real server.
//!
//! The cases of the conformance suite hold most of it: `end` is inclusive (edges), buckets begin at midnight and weeks on
//! Monday (steps of 7m, 1w), a bucket is stamped by its first point, a percentile is sampled (p50, p95), all series merge
//! without a group, a second grouping by tags is ignored, a missing tag is empty, `*` is literal and `regex:` is not, `[]` is no
//! filter, a series that is not there has one result without groups, a number without a point is read as an integer (tiny,
//! huge), the last of two writes counts. Here is the rest, and whole answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tsdb_ws::backend::Backend;
use tsdb_ws::backend::kairosdb::KairosDb;
use tsdb_ws::config::BackendName;

use crate::support::counting::sends_one_request;
use crate::support::process::{Place, request, send};
use crate::support::{ask, point, service};
use crate::{address, unique};

fn backend() -> Arc<KairosDb> {
    Arc::new(KairosDb::new(&address("kairosdb"), Duration::from_secs(60)).unwrap())
}

fn socket() -> SocketAddr {
    address("kairosdb").strip_prefix("http://").unwrap().parse().unwrap()
}

/// Writes as another program would.
fn write_raw(points: &Value) {
    let json = [("content-type", "application/json")];
    let reply = send(socket(), &request("POST", "/api/v1/datapoints", &json, &points.to_string()));
    assert_eq!(reply.status, 204, "{}", reply.text());
}

const T: i64 = 1_767_571_200_000;

fn minutes(formulas: &[&str]) -> Value {
    json!({ "formulas": formulas, "from": T, "to": T + 180_000, "step": "1m" })
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_beside_numbers_are_no_points() {
    let name = unique();
    write_raw(&json!([
        { "name": name, "tags": { "host": "a" }, "datapoints": [[T, 1.5], [T + 60_000, 2]] },
        { "name": name, "type": "string", "tags": { "host": "a" }, "datapoints": [[T + 1, "x"], [T + 120_000, "y"]] },
        { "name": name, "type": "string", "tags": { "host": "b" }, "datapoints": [[T, "z"]] }
    ]));
    let aggregates = ["sum", "count", "avg", "min", "max", "first", "last", "p50"];
    let metrics: String = aggregates
        .iter()
        .map(|aggregate| {
            format!("  m_{aggregate}: {{ series: {name}, kind: gauge, aggregate: {aggregate}, group_by: [host] }}\n")
        })
        .collect();
    let formulas: String = aggregates.iter().map(|aggregate| format!("  f_{aggregate}: m_{aggregate}\n")).collect();
    let keyspace = format!("metrics:\n{metrics}formulas:\n{formulas}");
    let service = service(&[("k.yaml", &keyspace)], BackendName::Kairosdb, backend(), T + 3_600_000);
    for aggregate in aggregates {
        let answer = ask(&service, "k", minutes(&[&format!("f_{aggregate}")])).await.unwrap();
        let expected = if aggregate == "count" { json!([1, 1, null]) } else { json!([1.5, 2, null]) };
        let series = answer["results"][0]["series"].as_array().unwrap();
        let hosts: Vec<&Value> = series.iter().map(|series| &series["tags"]["host"]).collect();
        assert_eq!(hosts, [&json!("a")], "{aggregate}: {answer}");
        assert_eq!(series[0]["values"], expected, "{aggregate}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integer_and_a_float_of_one_instant_are_two_points() {
    let name = unique();
    let tags = json!({ "host": "a" });
    write_raw(&json!([{ "name": name, "tags": tags, "datapoints": [[T, 2]] }]));
    write_raw(&json!([{ "name": name, "tags": tags, "datapoints": [[T, 2.5]] }]));
    let keyspace = format!(
        "metrics:\n  s: {name}\n  n: {{ series: {name}, aggregate: count }}\nformulas: {{ sum: s, count: n, mean: s / n }}\n"
    );
    let service = service(&[("k.yaml", &keyspace)], BackendName::Kairosdb, backend(), T + 3_600_000);
    let answer = ask(&service, "k", minutes(&["sum", "count", "mean"])).await.unwrap();
    let first = |index: usize| answer["results"][index]["series"][0]["values"][0].clone();
    assert_eq!([first(0), first(1), first(2)], [json!(4.5), json!(2), json!(2.25)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metric_that_it_refuses_does_not_take_the_others_with_it() {
    let name = unique();
    backend().write(&[point(&name, "host=a", T, 3.0)]).await.unwrap();
    // An empty name is refused, and with it the whole batch.
    let refused = json!({ "start_absolute": T, "metrics": [{ "name": name }, { "name": "" }] });
    let json = [("content-type", "application/json")];
    assert_eq!(send(socket(), &request("POST", "/api/v1/datapoints/query", &json, &refused.to_string())).status, 400);
    let keyspace = format!(
        "parameters: {{ which: {{ type: string }} }}\nmetrics:\n  good: {name}\n  bad: {{ series: \"${{which}}\" }}\n\
         formulas: {{ g: good, b: bad, both: good + bad }}\n"
    );
    let service = service(&[("k.yaml", &keyspace)], BackendName::Kairosdb, backend(), T + 3_600_000);
    let mut body = minutes(&["g", "b", "both"]);
    body["params"] = json!({ "which": "" });
    let answer = ask(&service, "k", body).await.unwrap();
    assert_eq!(answer["results"][0]["series"][0]["values"], json!([3, 0, 0]), "{answer}");
    for failed in [1, 2] {
        assert!(answer["results"][failed]["error"]["code"].is_string(), "{answer}");
    }
}

#[test]
fn sixty_formulas_are_one_request_of_fifty_metrics() {
    sends_one_request(&address("kairosdb"));
}

#[test]
fn the_real_input_has_the_same_sums_as_in_the_embedded_store() {
    let keyspace = "metrics:\n  visitors: { series: shop.visitors, group_by: [variation] }\n  customers: { series: \
                    shop.customers, group_by: [variation] }\nformulas: { v: visitors, c: customers, conversion_rate: customers \
                    / visitors }\n";
    let data = format!("{}/tests/testdata/ab_test_2017.csv", env!("CARGO_MANIFEST_DIR"));
    let url = address("kairosdb");
    let place = Place::with(&[("formulas/shop.yaml", keyspace)]);
    for step in ["1m", "7m", "1h", "1d"] {
        let answers = [
            &["--backend", "kairosdb", "--kairosdb-url", url.as_str(), "--limits-deadline", "5m"][..],
            &["--store", "s.db"],
        ]
        .map(|backend| {
            if step == "1m" {
                let loaded = place.run(&[&["load", &data], backend].concat());
                let told = String::from_utf8_lossy(&loaded.stdout).into_owned();
                assert!(told.ends_with("44048 point(s) stored, 0 line(s) refused\n"), "{loaded:?}");
            }
            let range = ["--from", "2017-01-02T00:00:00Z", "--to", "2017-01-25T00:00:00Z", "--step", step, "--summary"];
            let query = ["query", "shop", "v", "c", "conversion_rate", "--format", "json"];
            let output = place.run(&[&query[..], &range, backend].concat());
            serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
        });
        assert_eq!(answers[0]["results"], answers[1]["results"], "{step}");
        assert_eq!(answers[0]["timestamps"], answers[1]["timestamps"], "{step}");
        let summary = |formula: usize, series: usize| &answers[0]["results"][formula]["series"][series]["summary"];
        assert_eq!([summary(0, 0), summary(0, 1)], [&json!(28_521), &json!(28_515)]);
        assert_eq!([summary(1, 0), summary(1, 1)], [&json!(3_472), &json!(3_387)]);
        let rounded = |series| format!("{:.6}", summary(2, series).as_f64().unwrap());
        assert_eq!([rounded(0), rounded(1)], ["0.121735", "0.118780"]);
        for (formula, series, sum) in [(0, 0, 28_521.0), (0, 1, 28_515.0), (1, 0, 3_472.0), (1, 1, 3_387.0)] {
            let values = answers[0]["results"][formula]["series"][series]["values"].as_array().unwrap();
            assert_eq!(values.iter().filter_map(Value::as_f64).sum::<f64>(), sum, "{step}");
        }
    }
}
