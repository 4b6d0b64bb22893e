//! The only axum: router, middleware, handlers, problem documents, encoding.
//!
//! [`router`] is the service's address and [`admin_router`] the operator's. Both are tables of contents: every route, and
//! what surrounds it, is named there.

mod accept;
mod admin;
mod answer;
mod body;
mod docs;
pub mod encode;
mod extract;
mod health;
mod keyspace;
mod listen;
mod middleware;
pub mod openapi;
mod params;
mod problem;
mod profile;
mod reply;
mod webhook;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use serde_json::Value;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

pub use listen::listen;
pub use problem::{Fault, Problem, ProblemDocument};

use crate::config::Limits;
use crate::controller::Status;
use crate::query::Service;
use crate::telemetry::{Metrics, Readiness};

/// The longest address of a request, in bytes.
const MAX_URI: usize = 8 << 10;

/// Reads the repository and the configuration anew: what `POST /reload` does. Gives what to tell the operator.
pub type Reload = Arc<dyn Fn() -> BoxFuture<'static, Result<Value, String>> + Send + Sync>;

/// Tells how the repository and each keyspace fare.
pub type StatusOf = Arc<dyn Fn() -> Status + Send + Sync>;

/// What the routers need beside the [`Service`].
#[derive(Clone)]
pub struct HttpState {
    /// The metrics of the process.
    pub metrics: Arc<Metrics>,
    /// Whether the process wants more requests.
    pub readiness: Arc<Readiness>,
    /// What `POST /reload` does.
    pub reload: Reload,
    /// What a signed `POST /api/webhook` does: has the repository listed soon.
    pub poke: Arc<dyn Fn() + Send + Sync>,
    /// How the repository and each keyspace fare.
    pub status: StatusOf,
}

impl Default for HttpState {
    /// With metrics of its own and without a reload.
    fn default() -> HttpState {
        let reload: Reload = Arc::new(|| Box::pin(async { Err("this process cannot reload".to_owned()) }));
        HttpState {
            metrics: Arc::default(),
            readiness: Arc::default(),
            reload,
            poke: Arc::new(|| {}),
            status: Arc::new(Status::default),
        }
    }
}

/// What every handler can reach.
struct Shared {
    service: Arc<Service>,
    state: HttpState,
    /// Requests for keyspaces under way.
    under_way: AtomicUsize,
}

impl Shared {
    fn new(service: Arc<Service>, state: HttpState) -> Arc<Shared> {
        Arc::new(Shared { service, state, under_way: AtomicUsize::new(0) })
    }

    /// The limits of a keyspace.
    fn limits(&self, keyspace: &str) -> Limits {
        let config = &self.service.setup().config;
        let own = config.keyspaces.get(keyspace).and_then(|keyspace| keyspace.limits.as_ref());
        own.unwrap_or(&config.limits).clone()
    }
}

/// The service's address.
pub fn router(service: Arc<Service>, state: HttpState) -> Router {
    let shared = Shared::new(service, state);
    let keyspaces = Router::new()
        .route("/{keyspace}", get(keyspace::catalogue).post(answer::post))
        .route("/{keyspace}/query", get(answer::get))
        .route("/{keyspace}/values/{parameter}", get(keyspace::values))
        .route("/{keyspace}/explain", post(keyspace::explain))
        .route_layer(from_fn_with_state(Arc::clone(&shared), middleware::shed));
    let routes = Router::new()
        .route("/", get(|| async { Redirect::temporary("/docs") }))
        .route("/keyspaces", get(keyspace::list))
        .route("/openapi.json", get(docs::openapi))
        .route("/docs", get(docs::page))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/healthz", get(health::health))
        .route("/api/webhook", post(webhook::pushed))
        .merge(keyspaces);
    surrounded(routes, &shared).layer(from_fn_with_state(Arc::clone(&shared), middleware::cors)).with_state(shared)
}

/// The operator's address; it must not be reachable by callers.
pub fn admin_router(service: Arc<Service>, state: HttpState) -> Router {
    let shared = Shared::new(service, state);
    let routes = Router::new()
        .route("/metrics", get(admin::metrics))
        .route("/version", get(admin::version))
        .route("/status", get(admin::status))
        .route("/shadow", get(admin::shadow))
        .route("/reload", post(admin::reload))
        .route("/debug/pprof/profile", get(profile::cpu))
        .route("/debug/pprof/heap", get(profile::heap));
    surrounded(routes, &shared).with_state(shared)
}

/// What surrounds every route, the innermost first.
fn surrounded(routes: Router<Arc<Shared>>, shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    routes
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn(middleware::limit_uri))
        .layer(CatchPanicLayer::custom(middleware::panicked))
        .layer(CompressionLayer::new())
        .layer(map_response(middleware::weaken_tag))
        .layer(from_fn_with_state(Arc::clone(shared), middleware::observe))
}

async fn no_such_path(uri: Uri) -> Problem {
    let detail = match uri.path().ends_with('/') {
        true => "there is no such path; addresses end without a slash",
        false => "there is no such path",
    };
    Problem::new(Fault::NotFound, detail)
}

/// The router adds `Allow`.
async fn no_such_method(method: Method) -> Response {
    match method {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => Problem::new(Fault::MethodNotAllowed, "the header Allow names the methods of this path").into_response(),
    }
}
