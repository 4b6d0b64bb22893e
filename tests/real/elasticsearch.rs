//! Elasticsearch as it is.

use std::time::Duration;

use tsdb_ws::backend::elasticsearch::Elasticsearch;

use crate::{address, conformance, unique};

fn backend(index: &str) -> Elasticsearch {
    Elasticsearch::new(&address("elasticsearch"), index, None, Duration::from_secs(120)).unwrap()
}

#[tokio::test]
async fn every_case_equals_the_reference() {
    conformance::run(&backend(&unique()), &unique()).await;
}

#[tokio::test]
async fn random_selections_equal_the_reference() {
    conformance::random(&backend(&unique()), &unique(), 200).await;
}
