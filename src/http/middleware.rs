//! What surrounds every handler.

use std::any::Any;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower::{Layer, ServiceExt};
use tower_http::cors::{AllowOrigin, Any as AnyOrigin, CorsLayer};
use tracing::Instrument;

use super::problem::{Fault, Problem};
use super::{MAX_URI, Shared};
use crate::query::QueryError;
use crate::telemetry::{Handled, Shed};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Gives the request its id and its span, counts it, and writes its line in the log.
pub async fn observe(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let under_way = shared.state.metrics.begin();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned()).unwrap_or_default();
    let keyspace = served_keyspace(&shared, &route, &path);
    let span = tracing::info_span!("request", request_id = id);
    let mut response = next.run(request).instrument(span.clone()).await;
    let time = begun.elapsed();
    let status = response.status().as_u16();
    shared.state.metrics.handled(Handled { route: &route, keyspace: &keyspace, status, time });
    let shown: String = path.chars().take(200).collect();
    let duration_ms = time.as_secs_f64() * 1e3;
    span.in_scope(|| tracing::info!(%method, path = shown, route, keyspace, status, duration_ms, "request"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    drop(under_way);
    response
}

/// The keyspace in the address, if it is served: labels of metrics must not come from what callers make up.
fn served_keyspace(shared: &Shared, route: &str, path: &str) -> String {
    let name = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let is_served = route.starts_with("/{keyspace}") && shared.service.catalog.snapshot().keyspaces.contains_key(name);
    if is_served { name.to_owned() } else { String::new() }
}

/// The caller's id where it is short and plain, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match given {
        Some(id) if (1..=64).contains(&id.len()) && id.bytes().all(plain) => id.to_owned(),
        _ => unique(),
    }
}

/// 32 hexadecimal digits that no other call gave and nobody outside can foresee.
pub fn unique() -> String {
    static SEEDS: LazyLock<(RandomState, RandomState)> = LazyLock::new(Default::default);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:016x}{:016x}", SEEDS.0.hash_one(count), SEEDS.1.hash_one(count))
}

/// Turns requests away while as many as the limit are under way.
pub async fn shed(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let limit = shared.service.setup().config.limits.concurrency;
    let _held = match Held::below(&shared, limit) {
        Some(held) => held,
        None => {
            shared.state.metrics.shed(Shed::Overloaded);
            return Problem::from(QueryError::Overloaded { keyspace: false }).into_response();
        }
    };
    next.run(request).await
}

/// A place among the requests under way, given back when dropped.
struct Held(Arc<Shared>);

impl Held {
    fn below(shared: &Arc<Shared>, limit: usize) -> Option<Held> {
        if shared.under_way.fetch_add(1, Ordering::AcqRel) < limit {
            return Some(Held(Arc::clone(shared)));
        }
        shared.under_way.fetch_sub(1, Ordering::AcqRel);
        None
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Refuses addresses that no caller writes on purpose.
pub async fn limit_uri(request: Request, next: Next) -> Response {
    let uri = request.uri();
    let length = uri.path_and_query().map_or(0, |address| address.as_str().len());
    if length > MAX_URI {
        let detail = format!("the address has {length} bytes, more than {MAX_URI}; use POST");
        return Problem::new(Fault::UriTooLong, detail).into_response();
    }
    next.run(request).await
}

/// Lets browsers of other origins in, as configured at this moment; without origins it adds nothing.
pub async fn cors(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    // Anything else with that method asks what a path takes, which the routes say.
    let preflight = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() == Method::OPTIONS && !preflight {
        return next.run(request).await;
    }
    let setup = shared.service.setup();
    let origins = match setup.config.cors_origins.as_slice() {
        [] => return next.run(request).await,
        origins if origins.iter().any(|origin| origin == "*") => AllowOrigin::from(AnyOrigin),
        origins => AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())),
    };
    let asked = [header::ACCEPT, header::AUTHORIZATION, header::CACHE_CONTROL, header::CONTENT_TYPE];
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::OPTIONS])
        .allow_headers(asked.into_iter().chain([header::IF_NONE_MATCH, REQUEST_ID]).collect::<Vec<HeaderName>>())
        .expose_headers([header::ETAG, header::RETRY_AFTER, REQUEST_ID, SERVER_TIMING])
        .max_age(Duration::from_secs(600));
    match layer.layer(next).oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// A compressed body is another sequence of bytes, so that its tag only says that the content is the same.
pub async fn weaken_tag(mut response: Response) -> Response {
    let headers = response.headers_mut();
    if headers.contains_key(header::CONTENT_ENCODING)
        && let Some(tag) =
            headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).filter(|tag| tag.starts_with('"'))
        && let Ok(weak) = HeaderValue::from_str(&format!("W/{tag}"))
    {
        headers.insert(header::ETAG, weak);
    }
    response
}

/// What is said of a panic: to the log what it was, to the caller that it was.
pub fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("not a text"), "request panicked");
    Problem::new(Fault::Internal, "a defect of the service; please report it with the request's id").into_response()
}
