//! What several tests share: a service over given keyspace files, points and a clock.

#![allow(dead_code)]

pub mod counting;
pub mod double;
pub mod law;
pub mod process;
pub mod proxy;
pub mod reference;
pub mod reload;

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
    Listing { revision: Some("test".to_owned()), files: files.iter().map(file).collect(), strays: Vec::new() }
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

/// Whatever a backend is: stored names are listed by pattern, with their tags, up to a limit.
pub async fn lists_what_it_stores(backend: &dyn Backend, prefix: &str) {
    let name = |series: &str| format!("{prefix}.{series}");
    // As the backend keeps names.
    let kept = |series: &str| match backend.name() {
        "prometheus" => name(series).replace('.', "_"),
        _ => name(series),
    };
    let at = 1_793_500_000_000;
    let points = [
        point(&name("a"), "host=x,zone=1", at, 1.0),
        point(&name("a"), "host=y", at, 1.0),
        point(&name("b"), "", at, 1.0),
        point(&format!("{prefix}2.c"), "", at, 1.0),
    ];
    backend.write(&points).await.unwrap();
    let pattern = format!("{prefix}.*");
    let (found, truncated) = backend.list_series(&pattern, 10).await.unwrap();
    assert!(!truncated);
    assert_eq!(found.iter().map(|series| &series.name).collect::<Vec<_>>(), [&kept("a"), &kept("b")]);
    assert_eq!(found[0].tags.keys().collect::<Vec<_>>(), ["host", "zone"]);
    assert_eq!(found[0].tags["host"], ["x", "y"]);
    assert!(found[1].tags.is_empty(), "{found:?}");
    let (found, truncated) = backend.list_series(&pattern, 1).await.unwrap();
    assert_eq!((found.len(), truncated), (1, true));
    assert_eq!(backend.list_series(&name("none"), 10).await.unwrap(), (Vec::new(), false));
}
