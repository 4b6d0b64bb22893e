//! Whether the process lives and serves. A dead database fails neither: it is shown with `?verbose`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;

use super::Shared;
use super::openapi::{BackendHealth, Health, Problems};
use super::problem::{Fault, Problem};

/// How long a backend may take to say that it is well.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the process lives.
#[utoipa::path(get, path = "/livez", tag = "health", operation_id = "livez",
    params(("verbose" = Option<String>, Query, description = "Also each backend's health")),
    responses((status = 200, description = "It lives", body = Health)))]
pub async fn live(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    well(&shared, &uri).await
}

/// Whether a repository is loaded and served.
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "readyz",
    params(("verbose" = Option<String>, Query, description = "Also each backend's health")),
    responses((status = 200, description = "It serves", body = Health), Problems))]
pub async fn ready(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Problem> {
    check_ready(&shared).map_err(|problem| problem.retry_after(Duration::from_secs(1)))?;
    Ok(well(&shared, &uri).await)
}

/// Both: whether the process lives and serves.
#[utoipa::path(get, path = "/healthz", tag = "health", operation_id = "healthz",
    params(("verbose" = Option<String>, Query, description = "Also each backend's health")),
    responses((status = 200, description = "It lives and serves", body = Health), Problems))]
pub async fn health(shared: State<Arc<Shared>>, uri: Uri) -> Result<Response, Problem> {
    ready(shared, uri).await
}

fn check_ready(shared: &Shared) -> Result<(), Problem> {
    if shared.state.readiness.is_draining() {
        return Err(Problem::new(Fault::Draining, "the service is shutting down"));
    }
    if !is_loaded(shared) {
        return Err(Problem::new(Fault::NotReady, "no repository is loaded yet"));
    }
    Ok(())
}

/// Whether a first catalog was published: only the catalog of the start has no revision.
pub fn is_loaded(shared: &Shared) -> bool {
    !shared.service.catalog.snapshot().revision.is_empty()
}

async fn well(shared: &Shared, uri: &Uri) -> Response {
    let verbose = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).any(|(name, _)| name == "verbose");
    let backends = if verbose { Some(backends(shared).await) } else { None };
    ([(header::CACHE_CONTROL, "no-store")], Json(Health { status: "ok", backends })).into_response()
}

/// The health of each backend, asked of all at once.
pub async fn backends(shared: &Shared) -> BTreeMap<&'static str, BackendHealth> {
    let setup = shared.service.setup();
    let checks = setup.backends.iter().map(|(name, backend)| async move {
        let health = match tokio::time::timeout(PATIENCE, backend.check_health()).await {
            Ok(Ok(())) => BackendHealth { healthy: true, detail: None },
            Ok(Err(error)) => BackendHealth { healthy: false, detail: Some(error.to_string()) },
            Err(_) => {
                let detail = format!("no answer within {} s", PATIENCE.as_secs());
                BackendHealth { healthy: false, detail: Some(detail) }
            }
        };
        (name.as_str(), health)
    });
    join_all(checks).await.into_iter().collect()
}
