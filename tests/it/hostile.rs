//! No value of a parameter changes the shape of what is sent, or brings data that a plain value would not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tsdb_ws::backend::Backend;
use tsdb_ws::backend::elasticsearch::Elasticsearch;
use tsdb_ws::backend::embedded::EmbeddedStore;
use tsdb_ws::backend::kairosdb::KairosDb;
use tsdb_ws::backend::m3db::M3db;
use tsdb_ws::backend::prometheus::Prometheus;
use tsdb_ws::config::BackendName;
use tsdb_ws::query::{QueryError, Request};
use tsdb_ws::series::Point;

use crate::support::{ask, embedded, service};

const KEYSPACE: &str = "\
parameters: { v: { type: string } }
metrics:
  tagged: { series: shop.tagged, tags: { v: \"${v}\" }, group_by: [v] }
  inside: { series: shop.tagged, tags: { v: \"a-${v}-z\" } }
  named: \"shop.${v}\"
formulas:
  by_tag: { expr: tagged, chart: { title: \"Of ${v}\" } }
  by_part: inside
  by_name: named
  by_text: 'baseline(tagged, \"v\", \"${v}\")'
";

/// A JSON string a line.
fn corpus() -> Vec<String> {
    let lines = include_str!("../testdata/hostile.txt").lines();
    let mut values: Vec<String> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    values.push("x".repeat(1 << 20));
    values
}

fn point(series: &str, tag: &str, value: f64) -> Point {
    Point { series: series.to_owned(), tags: [("v".to_owned(), tag.to_owned())].into(), timestamp: 0, value }
}

fn request(value: &Value, formulas: &[&str]) -> Value {
    json!({ "formulas": formulas, "from": 0, "to": 60_000, "step": "1m", "params": { "v": value } })
}

#[tokio::test]
async fn a_value_brings_what_is_stored_under_it_and_nothing_else() {
    let corpus = corpus();
    let stored: BTreeSet<&String> = corpus.iter().filter(|value| value.len() <= 1024 && !value.is_empty()).collect();
    let mut points: Vec<Point> = Vec::new();
    for (at, value) in stored.iter().enumerate() {
        points.push(point("shop.tagged", value, at as f64 + 1.0));
        points.push(point("shop.tagged", &format!("a-{value}-z"), at as f64 + 10_001.0));
        points.push(point(&format!("shop.{value}"), "x", at as f64 + 20_001.0));
    }
    points.extend(["decoy", "a-decoy-z"].map(|tag| point("shop.tagged", tag, 1e9)));
    points.push(point("shop.decoy", "x", 1e9));
    // The store is asked for what it took: it may refuse some names, such as those with control characters.
    let mut kept = Vec::new();
    let store = EmbeddedStore::open_in_memory().unwrap();
    for point in points {
        if store.write(std::slice::from_ref(&point)).await.is_ok() {
            kept.push(point);
        }
    }
    let service = embedded(&[("k.yaml", KEYSPACE)], &kept, 0).await;
    let expected = |series: &str, tag: &str| {
        kept.iter().find(|point| point.series == series && point.tags["v"] == tag).map(|point| point.value)
    };
    let mut answered = 0;
    for value in &corpus {
        let shown: String = value.chars().take(60).collect();
        let answer = match ask(&service, "k", request(&json!(value), &["by_tag", "by_part", "by_name"])).await {
            Ok(answer) => answer,
            Err(QueryError::Input(errors)) => {
                let detail = errors[0].detail.clone();
                let refused = value.len() > 1024 || value.chars().any(char::is_control);
                assert!(
                    refused && detail.len() < 300 && !detail.chars().any(char::is_control),
                    "{shown:?}: {detail:?}"
                );
                continue;
            }
            Err(error) => panic!("{shown:?}: {error:?}"),
        };
        answered += 1;
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results[0]["chart"]["title"], json!(format!("Of {value}")), "{shown:?}");
        assert_eq!(results[0]["expr"], "tagged");
        let series = results[0]["series"].as_array().unwrap();
        match expected("shop.tagged", value) {
            Some(number) => {
                assert_eq!(series.len(), 1, "{shown:?}: {series:?}");
                assert_eq!(series[0]["tags"]["v"], json!(value), "{shown:?}");
                assert_eq!(series[0]["values"][0].as_f64(), Some(number), "{shown:?}");
            }
            None => assert!(series.is_empty(), "{shown:?}: {series:?}"),
        }
        let single = |result: &Value| result["series"][0]["values"][0].as_f64().unwrap();
        let inside = expected("shop.tagged", &format!("a-{value}-z")).unwrap_or(0.0);
        assert_eq!(single(&results[1]), inside, "{shown:?}");
        assert_eq!(single(&results[2]), expected(&format!("shop.{value}"), "x").unwrap_or(0.0), "{shown:?}");
    }
    assert!(answered > 100, "{answered} values were answered");
}

/// What is sent, with `from` exchanged for `to` in every text that holds it as a value. Lists are in no order: selections are
/// sorted by what they hold.
fn exchanged(body: &Value, from: &str, to: &str) -> Value {
    match body {
        Value::String(text) if text == from => json!(to),
        Value::String(text) if *text == format!("shop.{from}") => json!(format!("shop.{to}")),
        Value::String(text) if *text == format!("a-{from}-z") => json!(format!("a-{to}-z")),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(|item| exchanged(item, from, to)).collect();
            items.sort_by_cached_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(entries) => {
            Value::Object(entries.iter().map(|(key, item)| (key.clone(), exchanged(item, from, to))).collect())
        }
        other => other.clone(),
    }
}

fn is_plain_to_kairosdb(value: &str) -> bool {
    !value.starts_with("regex:") && !value.contains(['\'', '\\'])
}

/// Every text in a body.
fn texts(body: &Value) -> Vec<String> {
    match body {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(entries) => entries.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn what_is_sent_has_the_shape_of_a_plain_value() {
    let timeout = Duration::from_secs(1);
    let url = "http://127.0.0.1:1";
    let backends: [(BackendName, Arc<dyn Backend>); 5] = [
        (BackendName::Embedded, Arc::new(EmbeddedStore::open_in_memory().unwrap())),
        (BackendName::Kairosdb, Arc::new(KairosDb::new(url, timeout).unwrap())),
        (BackendName::M3db, Arc::new(M3db::new(url, false, timeout).unwrap())),
        (BackendName::Elasticsearch, Arc::new(Elasticsearch::new(url, "points", None, timeout).unwrap())),
        (BackendName::Prometheus, Arc::new(Prometheus::new(url, timeout).unwrap())),
    ];
    let legacy = |name: BackendName| name == BackendName::Prometheus;
    for (name, backend) in backends {
        let service = service(&[("k.yaml", KEYSPACE)], name, backend, 0);
        // A stored name may change on the way to Prometheus, which takes no dots.
        let formulas: &[&str] = if legacy(name) { &["by_tag", "by_part"] } else { &["by_tag", "by_part", "by_name"] };
        let calls_of = |value: &Value| {
            let request = Request::from_json(&request(value, formulas)).unwrap();
            service.explain("k", &request).map(|explained| explained["calls"].clone())
        };
        let plain = calls_of(&json!("plain-zz")).unwrap();
        let held = texts(&plain);
        assert!(
            ["plain-zz", "a-plain-zz-z"].iter().all(|text| held.contains(&(*text).to_owned())),
            "{name:?}: {plain}"
        );
        for value in corpus().into_iter().filter(|value| !value.is_empty()) {
            let shown: String = value.chars().take(60).collect();
            match calls_of(&json!(value)) {
                // KairosDB would take such a value for SQL or an expression: it is not sent but looked for in the answer.
                Ok(calls) if name == BackendName::Kairosdb && !is_plain_to_kairosdb(&value) => {
                    assert!(!texts(&calls).contains(&value), "{shown:?}: {calls}");
                }
                Ok(calls) => {
                    // As long, for Elasticsearch looks twice for what may be too long for its index.
                    let plain = format!("plain-{}", "z".repeat(value.len().saturating_sub(6).max(2)));
                    let expected = exchanged(&calls_of(&json!(plain)).unwrap(), &plain, &value);
                    assert_eq!(exchanged(&calls, &value, &value), expected, "{name:?} {shown:?}");
                }
                Err(error) => {
                    let refused = value.len() > 1024 || value.chars().any(char::is_control);
                    assert!(refused, "{name:?} {shown:?}: {error:?}");
                }
            }
        }
        // A list is any of its values, each as it is.
        let listed = calls_of(&json!(["plain-zz", "a\",\"b", "c|d", "e,f"])).unwrap();
        let torn = texts(&listed).into_iter().find(|text| ["b", "d", "f", "c", "e"].contains(&text.as_str()));
        assert_eq!(torn, None, "{name:?}: {listed}");
    }
}
