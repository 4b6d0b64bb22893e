//! From a real A/B test in a real database to a keyspace that answers: `load`, `init`, `check --live`, `query`.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::process::Place;
use crate::{address, elasticsearch, unique};

const INPUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testdata/ab_test_2017.csv");
/// Of control and treatment, over all days.
const VISITORS: [f64; 2] = [28_521.0, 28_515.0];
const CUSTOMERS: [f64; 2] = [3_472.0, 3_387.0];

/// Where points of 2017 are older than what the database keeps, they are moved up to now.
fn run(backend: &str, moved: bool) {
    let (prefix, url) = (unique(), address(backend));
    let input = std::fs::read_to_string(INPUT).unwrap().replace("\nshop.", &format!("\n{prefix}."));
    let place = Place::with(&[("input.csv", &input)]);
    let (flag, value) = (format!("--{backend}-url"), url.as_str());
    let told = |arguments: &[&str]| {
        let output = place.run(&[arguments, &["--backend", backend, &flag, value]].concat());
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    let well = |arguments: &[&str]| {
        let (status, text) = told(arguments);
        assert_eq!(status, Some(0), "{arguments:?}: {text}");
        text
    };
    let loaded = well(if moved { &["load", "input.csv", "--shift-to-now"] } else { &["load", "input.csv"] });
    assert!(loaded.contains("44048 point(s) stored, 0 line(s) refused"), "{loaded}");

    let made = well(&["init", "shop", "--series", &format!("{prefix}.*")]);
    assert!(made.contains("formulas/shop.yaml: 2 metric(s)"), "{made}");
    let file = place.path().join("formulas/shop.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    for line in ["  visitors:\n", "  customers:\n", "    group_by: [\"variation\"]\n", "  visitors_over_time: {"] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let checked = well(&["check", "--live"]);
    assert!(checked.contains("1 sound keyspace(s), 0 error(s)"), "{checked}");

    let range = match moved {
        true => ["--from", "now-24d", "--to", "now"],
        false => ["--from", "2017-01-02T00:00:00Z", "--to", "2017-01-25T00:00:00Z"],
    };
    let query = ["query", "shop", "visitors_over_time", "customers_over_time", "--step", "1h", "--summary"];
    let answer = well(&[&query[..], &range, &["--format", "json"]].concat());
    let answer: Value = serde_json::from_str(&answer).unwrap();
    for (index, expected) in [VISITORS, CUSTOMERS].into_iter().enumerate() {
        let series = answer["results"][index]["series"].as_array().unwrap();
        let variations: Vec<&str> = series.iter().map(|series| series["tags"]["variation"].as_str().unwrap()).collect();
        assert_eq!(variations, ["control", "treatment"]);
        let summaries: Vec<f64> = series.iter().map(|series| series["summary"].as_f64().unwrap()).collect();
        assert_eq!(summaries, expected, "{answer:#}");
    }
    what_is_not_there_is_told(&file, &text, told);
}

/// A stored name, a tag and a value that the database does not have; and a stored name that the change adds.
fn what_is_not_there_is_told(file: &Path, text: &str, told: impl Fn(&[&str]) -> (Option<i32>, String)) {
    let at = text.find("visitors\"").unwrap();
    let renamed = format!("{}vistors\"{}", &text[..at], &text[at + "visitors\"".len()..]);
    std::fs::write(file, &renamed).unwrap();
    let (status, found) = told(&["check", "--live", "--format", "github"]);
    assert_eq!(status, Some(1), "{found}");
    assert!(found.contains("title=unknown_stored_series::") && found.contains("did you mean `"), "{found}");
    let before = file.parent().unwrap().parent().unwrap().join("before");
    std::fs::create_dir(&before).unwrap();
    std::fs::write(before.join("shop.yaml"), text).unwrap();
    let (status, found) = told(&["check", "--live", "--base", "before"]);
    assert!(status == Some(0) && found.contains("warning[unknown_stored_series]"), "{found}");

    let filtered = |tag: &str, value: &str| {
        let group_by = "    group_by: [\"variation\"]\n";
        let tags = format!("    tags: {{ {tag}: {value} }}\n{group_by}");
        std::fs::write(file, text.replacen(group_by, &tags, 1)).unwrap();
        told(&["check", "--live"])
    };
    let (status, found) = filtered("variatio", "control");
    assert!(status == Some(1) && found.contains("error[unknown_stored_tag]"), "{found}");
    let (status, found) = filtered("variation", "contrl");
    assert!(status == Some(0) && found.contains("warning[unknown_stored_value]"), "{found}");
    let (status, found) = filtered("variation", "control");
    assert!(status == Some(0) && !found.contains("unknown_"), "{found}");
}

#[test]
fn of_kairosdb() {
    run("kairosdb", false);
}

#[test]
fn of_m3db() {
    run("m3db", true);
}

#[test]
fn of_elasticsearch() {
    run("elasticsearch", false);
}

#[test]
fn of_prometheus() {
    run("prometheus", true);
}

/// Documents of another form are found by a read, for no listing knows them.
#[tokio::test]
async fn what_a_mapping_reads_is_looked_up_too() {
    let (index, url) = (format!("events-{}", unique()), address("elasticsearch"));
    let documents = [
        json!({ "@timestamp": "2026-11-01T00:00:00Z", "amount": 3, "labels": { "state": "active" } }),
        json!({ "@timestamp": "2017-11-01T00:00:00Z", "amount": 4, "labels": { "state": "idle" } }),
    ];
    elasticsearch::index(&index, json!({}), json!({ "labels.state": { "type": "keyword" } }), &documents).await;
    let keyspace = |index: &str, tag: &str, state: &str| {
        format!(
            "metrics:\n  m:\n    series: m\n    tags: {{ state: {state} }}\n    backends:\n      elasticsearch: {{ index: \
             \"{index}\", value_field: amount, series_field: null, tag_fields: {{ {tag}: labels.state }} }}\nformulas: {{ f: m }}\n"
        )
    };
    let place = Place::with(&[]);
    let told = |text: String| {
        place.write("formulas/shop.yaml", text);
        let output = place.run(&["check", "--live", "--backend", "elasticsearch", "--elasticsearch-url", &url]);
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr))
    };
    let (status, found) = told(keyspace(&index, "state", "active"));
    assert!(status == Some(0) && !found.contains("unknown_"), "{found}");
    let (status, found) = told(keyspace(&index, "state", "gone"));
    assert!(status == Some(0) && found.contains("warning[unknown_stored_value]"), "{found}");
    let (status, found) = told(keyspace(&index, "other", "active"));
    assert!(status == Some(1) && found.contains("error[unknown_stored_tag]"), "{found}");
    let (status, found) = told(keyspace(&format!("no-{index}"), "state", "active"));
    assert!(status == Some(1) && found.contains("series]: "), "{found}");
}
