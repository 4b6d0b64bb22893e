//! Wires the parts: the store, the catalog, the listeners, and the demo's simulated data.

pub mod demo;

use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::net::TcpListener;

use crate::backend::embedded::EmbeddedStore;
use crate::config::{BackendName, Config};
use crate::http;
use crate::query::{Backends, Service};
use crate::{catalog, repository};

/// A service over the configured store and repository.
///
/// # Errors
/// When the store or the repository cannot be opened.
pub fn service(config: Config) -> anyhow::Result<(Arc<Service>, EmbeddedStore)> {
    let store = EmbeddedStore::open(&config.store)?;
    let listing = repository::list_directory(&config.formulas)?;
    let catalog = catalog::compile(&listing);
    for diagnostic in &catalog.diagnostics {
        tracing::warn!(code = diagnostic.code, place = %diagnostic.location, "{}", diagnostic.message);
    }
    let backends = Backends::from([(BackendName::Embedded, Arc::new(store.clone()) as Arc<_>)]);
    let service = Service::new(config, backends);
    service.catalog.publish(catalog);
    Ok((Arc::new(service), store))
}

/// Serves until SIGINT or SIGTERM; `announce` is told the address that is bound.
///
/// # Errors
/// When an address cannot be bound, or nothing can be served.
pub async fn serve(config: Config, announce: impl FnOnce(std::net::SocketAddr)) -> anyhow::Result<()> {
    let (listen, admin, demo) = (config.listen, config.admin_listen, config.demo);
    let (service, store) = service(config)?;
    if service.catalog.snapshot().keyspaces.is_empty() {
        bail!("no keyspace could be loaded; run `tsdb-ws check` to see why");
    }
    if demo && service.catalog.snapshot().keyspaces.contains_key("demo") {
        demo::fill(&store, (service.clock)(), demo::DAYS).await?;
        tokio::spawn(demo::keep_up(store, Arc::clone(&service.clock)));
    }
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}; choose another with --listen"))?;
    let admin_listener = TcpListener::bind(admin)
        .await
        .with_context(|| format!("cannot listen on {admin}; choose another with --admin-listen"))?;
    announce(listener.local_addr()?);
    let admin = axum::serve(admin_listener, http::admin_router(Arc::clone(&service))).with_graceful_shutdown(stopped());
    let public = axum::serve(listener, http::router(service)).with_graceful_shutdown(stopped());
    tokio::try_join!(public.into_future(), admin.into_future())?;
    Ok(())
}

async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! { _ = tokio::signal::ctrl_c() => {}, _ = terminate.recv() => {} }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}
