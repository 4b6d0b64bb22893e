//! Prometheus as it is: what every backend must answer, and each of its peculiarities.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tsdb_ws::backend::Backend;
use tsdb_ws::backend::prometheus::Prometheus;
use tsdb_ws::config::BackendName;

use crate::support::proxy::Proxy;
use crate::support::{lists_what_it_stores, point};
use crate::{address, answers, conformance, one_request, unique, values};

fn backend() -> Prometheus {
    Prometheus::new(&address("prometheus"), Duration::from_secs(60)).unwrap()
}

#[test]
fn a_file_for_promtool_becomes_blocks_with_every_point() {
    let folder = tempfile::tempdir().unwrap();
    let (file, blocks) = (folder.path().join("points.om"), folder.path().join("data"));
    let ab_test = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testdata/ab_test_2017.csv");
    let loaded = Command::new(env!("CARGO_BIN_EXE_tsdb-ws"))
        .args(["load", ab_test, "--promtool"])
        .arg(&file)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(loaded.status.success(), "{loaded:?}");
    let made =
        Command::new("promtool").args(["tsdb", "create-blocks-from", "openmetrics"]).args([&file, &blocks]).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{made:?}");
    // It looks for a log of what no block has yet.
    std::fs::create_dir(blocks.join("wal")).unwrap();
    let dump = Command::new("promtool").args(["tsdb", "dump"]).arg(&blocks).output().unwrap();
    let dump = String::from_utf8(dump.stdout).unwrap();
    let sum = |name: &str, variation: &str| -> f64 {
        let labels = format!("{{__name__=\"{name}\", variation=\"{variation}\"}} ");
        let values = dump.lines().filter_map(|line| line.strip_prefix(&labels)?.split(' ').next());
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    };
    let sums =
        ["control", "treatment"].map(|variation| (sum("shop_visitors", variation), sum("shop_customers", variation)));
    assert_eq!(sums, [(28_521.0, 3_472.0), (28_515.0, 3_387.0)], "{}", &dump[..dump.len().min(500)]);
}

#[test]
fn points_that_it_refuses_are_named_and_the_rest_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let now = jiff::Timestamp::now();
    let name = unique().replace('.', "_");
    let lines = format!("series,timestamp,value\n{name},1,1\n{name},abc,1\n{name},{now},5\n");
    std::fs::write(folder.path().join("points.csv"), lines).unwrap();
    let load = Command::new(env!("CARGO_BIN_EXE_tsdb-ws"))
        .args(["load", "points.csv", "--backend", "prometheus", "--prometheus-url", &address("prometheus")])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let (out, told) = (String::from_utf8(load.stdout).unwrap(), String::from_utf8(load.stderr).unwrap());
    assert_eq!(load.status.code(), Some(1), "{told}");
    assert!(out.contains("1 point(s) stored, 2 line(s) refused"), "{out}{told}");
    assert!(told.contains("points.csv:2: prometheus failed: ") && told.contains("points.csv:3: "), "{told}");
}

#[tokio::test]
async fn a_server_that_answers_something_else_is_not_well() {
    // M3DB knows the query, and not the path that is read.
    for other in ["kairosdb", "elasticsearch", "m3db"] {
        let health = Prometheus::new(&address(other), Duration::from_secs(5)).unwrap().check_health().await;
        assert!(health.is_err(), "{other}");
    }
    assert!(backend().check_health().await.is_ok());
}

#[tokio::test]
async fn every_case_equals_the_reference() {
    conformance::run_written_at_once(&backend(), &unique()).await;
}

#[tokio::test]
async fn random_selections_equal_the_reference() {
    conformance::random(&backend(), &unique(), 200).await;
}

#[tokio::test]
async fn whole_answers_equal_plain_arithmetic_and_are_one_request_each() {
    let proxy = Proxy::before(&address("prometheus"));
    answers::run(
        BackendName::Prometheus,
        &proxy,
        Arc::new(Prometheus::new(&proxy.url, Duration::from_secs(60)).unwrap()),
        &unique(),
    )
    .await;
}

#[tokio::test]
async fn values_are_those_of_points_in_the_range() {
    values::run(&backend(), &unique()).await;
}

#[tokio::test]
async fn stored_names_are_listed_with_their_tags() {
    lists_what_it_stores(&backend(), &unique()).await;
}

#[tokio::test]
async fn sixty_formulas_are_one_request() {
    let proxy = Proxy::before(&address("prometheus"));
    let backend = Arc::new(Prometheus::new(&proxy.url, Duration::from_secs(60)).unwrap());
    one_request::run(BackendName::Prometheus, &proxy, backend, &unique()).await;
}

#[tokio::test]
async fn what_it_drops_or_refuses_is_an_error_that_says_what_to_do() {
    let (series, now) = (unique(), jiff::Timestamp::now().as_millisecond());
    backend().write(&[point(&series, "v=x", now, 1.0)]).await.unwrap();
    let error = backend().write(&[point(&series, "v=x", now - 4_000 * 86_400_000, 1.0)]).await.unwrap_err().to_string();
    assert!(error.contains("out_of_order_time_window"), "{error}");
    // The same again is no fault; another value of a late point is dropped without a word.
    for (at, value) in [(now - 60_000, 1.0), (now - 60_000, 1.0), (now, 1.0)] {
        backend().write(&[point(&series, "v=x", at, value)]).await.unwrap();
    }
    let error = backend().write(&[point(&series, "v=x", now - 60_000, 2.0)]).await.unwrap_err().to_string();
    assert!(error.contains("dropped") && error.contains("first value"), "{error}");
}

#[tokio::test]
async fn names_are_those_that_it_takes() {
    let (series, now) = (unique(), jiff::Timestamp::now().as_millisecond());
    backend().write(&[point(&format!("7.{series}.żółć"), "user.id:x=a.b,7=seven", now, 1.0)]).await.unwrap();
    let error = backend().write(&[point(&series, "a.b=1,a-b=2", now, 1.0)]).await.unwrap_err().to_string();
    assert!(error.contains("a_b"), "{error}");
}

#[tokio::test]
async fn it_is_healthy_when_it_answers() {
    backend().check_health().await.unwrap();
}
