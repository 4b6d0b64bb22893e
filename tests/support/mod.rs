//! What several tests share: a service over given keyspace files, points and a clock.

#![allow(dead_code)]

pub mod double;
pub mod law;
pub mod reference;

use std::sync::Arc;

use serde_json::Value;
use tsdb_ws::backend::Backend;
use tsdb_ws::backend::embedded::EmbeddedStore;
use tsdb_ws::catalog;
use tsdb_ws::config::{BackendName, Config};
use tsdb_ws::http::encode;
use tsdb_ws::query::{Backends, QueryError, Request, Service};
use tsdb_ws::repository::{Listing, SourceFile};
use tsdb_ws::series::Point;

/// A repository of files given as (path, text).
pub fn listing(files: &[(&str, &str)]) -> Listing {
    let file =
        |(path, text): &(&str, &str)| SourceFile { path: (*path).to_owned(), content: Ok(text.as_bytes().to_vec()) };
    Listing { revision: Some("test".to_owned()), files: files.iter().map(file).collect() }
}

/// A service over keyspace files that compile, one backend and a fixed clock.
pub fn service(files: &[(&str, &str)], name: BackendName, backend: Arc<dyn Backend>, now: i64) -> Service {
    let catalog = catalog::compile(&listing(files));
    let errors: Vec<_> =
        catalog.diagnostics.iter().filter(|d| d.severity == tsdb_ws::diagnostic::Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let config = Config { backend: name, ..Config::default() };
    let mut service = Service::new(config, Backends::from([(name, backend)]));
    service.clock = Arc::new(move || now);
    service.catalog.publish(catalog);
    service
}

/// A service over an embedded store in memory that holds the points.
pub async fn embedded(files: &[(&str, &str)], points: &[Point], now: i64) -> Service {
    let store = EmbeddedStore::open_in_memory().unwrap();
    store.write(points).await.unwrap();
    service(files, BackendName::Embedded, Arc::new(store), now)
}

/// The answer to a request as a caller reads it.
pub async fn ask(service: &Service, keyspace: &str, request: Value) -> Result<Value, QueryError> {
    let request = Request::from_json(&request).map_err(QueryError::Input)?;
    let answer = service.answer(keyspace, &request).await?;
    Ok(serde_json::from_slice(&encode::json(&answer)).unwrap())
}

/// A point without ceremony: tags as `a=x,b=y`.
pub fn point(series: &str, tags: &str, timestamp: i64, value: f64) -> Point {
    let tags = tags.split(',').filter_map(|tag| tag.split_once('='));
    let tags = tags.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Point { series: series.to_owned(), tags, timestamp, value }
}
