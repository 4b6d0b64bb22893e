//! KairosDB as it is.

use std::sync::Arc;
use std::time::Duration;

use tsdb_ws::backend::kairosdb::KairosDb;
use tsdb_ws::config::BackendName;

use crate::support::lists_what_it_stores;
use crate::support::proxy::Proxy;
use crate::{address, answers, conformance, unique};

fn backend() -> KairosDb {
    KairosDb::new(&address("kairosdb"), Duration::from_secs(60)).unwrap()
}

#[tokio::test]
async fn every_case_equals_the_reference() {
    conformance::run(&backend(), &unique()).await;
}

#[tokio::test]
async fn random_selections_equal_the_reference() {
    conformance::random(&backend(), &unique(), 200).await;
}

#[tokio::test]
async fn whole_answers_equal_plain_arithmetic_and_are_one_request_each() {
    let proxy = Proxy::before(&address("kairosdb"));
    let backend = Arc::new(KairosDb::new(&proxy.url, Duration::from_secs(60)).unwrap());
    answers::run(BackendName::Kairosdb, &proxy, backend, &unique()).await;
}

#[tokio::test]
async fn stored_names_are_listed_with_their_tags() {
    lists_what_it_stores(&backend(), &unique()).await;
}
