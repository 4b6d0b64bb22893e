//! The only axum: router, handlers, problem documents, encoding.

pub mod encode;
mod problem;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

pub use problem::Problem;

use crate::query::{Answer, Entry, Formulas, InputError, QueryError, Request, Service};

type Shared = State<Arc<Service>>;

/// The longest address of a request, in bytes.
const MAX_URI: usize = 8 << 10;

/// The service's router.
pub fn router(service: Arc<Service>) -> Router {
    let origins = service.config.load().cors_origins.clone();
    let routes = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/healthz", get(ready))
        .route("/keyspaces", get(keyspaces))
        .route("/{keyspace}", get(catalogue).post(answer))
        .route("/{keyspace}/query", get(answer_query))
        .route("/{keyspace}/values/{parameter}", get(values))
        .route("/{keyspace}/explain", post(explain))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such path") })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the path does not take this method")
        })
        .with_state(service);
    let panicked = |_: Box<dyn std::any::Any + Send>| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "a defect of the service; please report it")
            .into_response()
    };
    let routes =
        routes.layer(from_fn(limit_uri)).layer(CatchPanicLayer::custom(panicked)).layer(CompressionLayer::new());
    match origins.as_slice() {
        [] => routes,
        [any] if any == "*" => routes.layer(CorsLayer::new().allow_origin(Any).allow_methods(Any).allow_headers(Any)),
        origins => {
            let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
            let layer = CorsLayer::new().allow_origin(AllowOrigin::list(origins));
            routes.layer(layer.allow_methods(Any).allow_headers(Any))
        }
    }
}

async fn limit_uri(request: HttpRequest, next: Next) -> Response {
    if request.uri().to_string().len() > MAX_URI {
        let detail = format!("the address is longer than {MAX_URI} bytes; use POST");
        return Problem::new(StatusCode::URI_TOO_LONG, "uri_too_long", detail).into_response();
    }
    next.run(request).await
}

async fn ready(State(service): Shared) -> Response {
    match service.catalog.snapshot().revision.as_str() {
        "" => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "no repository is loaded yet").into_response(),
        _ => "ok\n".into_response(),
    }
}

async fn keyspaces(State(service): Shared) -> Json<Value> {
    let catalog = service.catalog.snapshot();
    let keyspaces = catalog.keyspaces.values().map(|keyspace| {
        json!({ "name": keyspace.name, "title": keyspace.title, "description": keyspace.description, "owner": keyspace.owner })
    });
    Json(json!({ "revision": catalog.revision, "keyspaces": keyspaces.collect::<Vec<Value>>() }))
}

async fn catalogue(State(service): Shared, Path(keyspace): Path<String>) -> Result<Json<Value>, Problem> {
    Ok(Json(service.catalogue(&keyspace)?))
}

async fn answer(
    State(service): Shared,
    Path(keyspace): Path<String>,
    request: HttpRequest,
) -> Result<Response, Problem> {
    let begun = Instant::now();
    service.catalogue(&keyspace)?;
    let headers = request.headers().clone();
    let form = Form::accepted(&headers)?;
    let request = body(&service, request).await?;
    let parse = begun.elapsed();
    encoded(&service.answer(&keyspace, &request).await?, form, parse, false)
}

async fn answer_query(
    State(service): Shared,
    Path(keyspace): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let begun = Instant::now();
    let form = Form::accepted(&headers)?;
    let request = from_query(uri.query().unwrap_or_default(), true)?;
    let parse = begun.elapsed();
    let response = encoded(&service.answer(&keyspace, &request).await?, form, parse, true)?;
    let same = response.headers().get(header::ETAG).is_some_and(|tag| headers.get(header::IF_NONE_MATCH) == Some(tag));
    Ok(if same { (StatusCode::NOT_MODIFIED, response.headers().clone()).into_response() } else { response })
}

async fn values(
    State(service): Shared,
    Path((keyspace, parameter)): Path<(String, String)>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let request = from_query(uri.query().unwrap_or_default(), false)?;
    Ok(Json(service.values(&keyspace, &parameter, &request).await?))
}

async fn explain(
    State(service): Shared,
    Path(keyspace): Path<String>,
    request: HttpRequest,
) -> Result<Json<Value>, Problem> {
    service.catalogue(&keyspace)?;
    let request = body(&service, request).await?;
    Ok(Json(service.explain(&keyspace, &request)?))
}

/// The body of a request, checked step by step.
async fn body(service: &Service, request: HttpRequest) -> Result<Request, Problem> {
    let media = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media = media.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if media != "application/json" && !media.ends_with("+json") {
        let detail = "send the body as application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
    }
    let limit = service.config.load().limits.body;
    let bytes = to_bytes(request.into_body(), limit).await.map_err(|_| {
        let detail = format!("the body is larger than {limit} bytes, or broke off");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    })?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_json", format!("the body is not JSON: {error}"))
    })?;
    Ok(Request::from_json(&value).map_err(QueryError::Input)?)
}

/// A request as query parameters: `formula` (repeated), `param.NAME` (repeated: a list) and the fields of a body.
fn from_query(query: &str, with_formulas: bool) -> Result<Request, Problem> {
    let mut fields = serde_json::Map::new();
    let (mut formulas, mut params): (Vec<Value>, BTreeMap<String, Vec<Value>>) = Default::default();
    let mut errors = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "formula" if with_formulas => formulas.push(value.as_ref().into()),
            "summary" if with_formulas && matches!(value.as_ref(), "true" | "false") => {
                fields.insert(name.into_owned(), (value == "true").into());
            }
            "max_points" if with_formulas => {
                fields.insert(name.into_owned(), value.parse::<u64>().map_or(value.as_ref().into(), Value::from));
            }
            "from" | "to" => drop(fields.insert(name.clone().into_owned(), value.as_ref().into())),
            "step" | "timezone" if with_formulas => drop(fields.insert(name.clone().into_owned(), value.as_ref().into())),
            other => match other.strip_prefix("param.") {
                Some(param) => params.entry(param.to_owned()).or_default().push(value.as_ref().into()),
                None => errors.push(InputError::new(
                    format!("/{other}"),
                    "unknown_field",
                    "there is no such parameter; there are formula, from, to, step, timezone, max_points, summary, param.NAME",
                )),
            },
        }
    }
    if !errors.is_empty() {
        return Err(QueryError::Input(errors).into());
    }
    let params = params.into_iter().map(|(name, mut values)| match (values.len(), values.pop()) {
        (1, Some(value)) => (name, value),
        (_, last) => (name, values.into_iter().chain(last).collect()),
    });
    fields.insert("params".to_owned(), Value::Object(params.collect()));
    let all = formulas.len() == 1 && formulas[0] == "*";
    let formulas = if all { "*".into() } else { Value::Array(formulas) };
    fields.insert("formulas".to_owned(), if with_formulas { formulas } else { "*".into() });
    let mut request = Request::from_json(&Value::Object(fields)).map_err(QueryError::Input)?;
    if !with_formulas {
        request.formulas = Formulas::Entries(Vec::<Entry>::new());
    }
    Ok(request)
}

/// What an answer is written as.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Json,
    Csv,
}

impl Form {
    fn accepted(headers: &HeaderMap) -> Result<Form, Problem> {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
        let mut best: Option<(f32, Form)> = None;
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let form = match parts.next().unwrap_or("") {
                "*/*" | "application/*" | "application/json" => Form::Json,
                "text/csv" | "text/*" => Form::Csv,
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if quality > best.map_or(0.0, |(best, _)| best) {
                best = Some((quality, form));
            }
        }
        let detail = "answers are application/json or text/csv";
        best.map(|(_, form)| form).ok_or_else(|| Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", detail))
    }
}

fn encoded(answer: &Answer, form: Form, parse: std::time::Duration, tagged: bool) -> Result<Response, Problem> {
    let begun = Instant::now();
    let (bytes, media) = match form {
        Form::Json => (encode::json(answer), "application/json"),
        Form::Csv => {
            let bytes = encode::csv(answer).map_err(|(name, error)| {
                let detail = format!("the formula `{name}` failed: {}", error.detail);
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.code, detail)
            })?;
            (bytes, "text/csv; charset=utf-8")
        }
    };
    let stages =
        [("parse", parse)].into_iter().chain(answer.timings.iter().copied()).chain([("encode", begun.elapsed())]);
    let timing: Vec<String> =
        stages.map(|(name, time)| format!("{name};dur={:.3}", time.as_secs_f64() * 1e3)).collect();
    let etag = format!("\"{}\"", &blake3::hash(&bytes).to_hex()[..32]);
    let complete = answer.partial_from.is_none() && answer.results.iter().all(|result| result.outcome.is_ok());
    let mut response = Body::from(bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.extend(
        HeaderValue::from_str(&timing.join(", "))
            .ok()
            .map(|value| (header::HeaderName::from_static("server-timing"), value)),
    );
    if tagged {
        headers.extend(HeaderValue::from_str(&etag).ok().map(|value| (header::ETAG, value)));
    }
    let cache = if tagged && complete { "private, max-age=30" } else { "no-store" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

/// The admin address: what an operator looks at.
pub fn admin_router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/version", get(|| async { Json(json!({ "version": env!("CARGO_PKG_VERSION") })) }))
        .route("/status", get(status))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such path") })
        .with_state(service)
}

async fn status(State(service): Shared) -> Json<Value> {
    let catalog = service.catalog.snapshot();
    let keyspaces =
        catalog.keyspaces.values().map(|keyspace| (keyspace.name.clone(), json!({ "revision": keyspace.revision })));
    Json(json!({
        "revision": catalog.revision,
        "keyspaces": keyspaces.collect::<serde_json::Map<String, Value>>(),
        "diagnostics": catalog.diagnostics,
    }))
}
