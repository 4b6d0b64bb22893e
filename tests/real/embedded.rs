//! The embedded store beside the servers: the same cases, the same seeds, on a file.

use tsdb_ws::backend::embedded::EmbeddedStore;

use crate::support::lists_what_it_stores;
use crate::{conformance, unique};

fn store() -> (tempfile::TempDir, EmbeddedStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path().join("store.db")).unwrap();
    (folder, store)
}

#[tokio::test]
async fn every_case_equals_the_reference() {
    let (_folder, store) = store();
    conformance::run(&store, &unique()).await;
}

#[tokio::test]
async fn random_series_and_selections_equal_the_reference() {
    let (_folder, store) = store();
    conformance::random(&store, &unique(), 200).await;
}

#[tokio::test]
async fn stored_names_are_listed_with_their_tags() {
    let (_folder, store) = store();
    lists_what_it_stores(&store, &unique()).await;
}
