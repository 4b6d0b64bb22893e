//! Prometheus as it is: what every backend must answer, and each of its peculiarities.

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
