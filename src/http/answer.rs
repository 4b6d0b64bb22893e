//! Requests for formulas.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::accept::Form;
use super::extract::KeyspaceName;
use super::openapi::{self, Problems};
use super::problem::{Fault, Problem};
use super::reply::Reply;
use super::{Shared, body, encode, params};
use crate::backend::BackendError;
use crate::query::{Answer, QueryError, Request};
use crate::series::Step;
use crate::telemetry::{Outcome, Shed, Stages};

/// Answers of more values than this are encoded on a thread of their own, so that they keep no worker from other requests.
const INLINE_POINTS: usize = 200_000;

/// Evaluates formulas over one time range.
///
/// A formula that fails has its own `error`, and the others are answered.
#[utoipa::path(
    post, path = "/{keyspace}", tag = "formulas", operation_id = "answer",
    params(("keyspace" = String, Path, description = "The keyspace's name", example = "storefront")),
    request_body(content = openapi::RequestBody, content_type = "application/json"),
    responses(
        (status = 200, description = "The answer", headers(("Server-Timing" = String, description = "The time of each stage")),
            content((openapi::AnswerBody = "application/json"), (String = "text/csv", example = "name,timestamp,value,variation\nconversion_rate,1795305600000,0.031,control\n"))),
        Problems
    )
)]
pub async fn post(
    State(shared): State<Arc<Shared>>,
    KeyspaceName(keyspace): KeyspaceName,
    request: HttpRequest,
) -> Result<Response, Problem> {
    let form = Form::negotiate(request.headers())?;
    let bytes = body::read(request, &shared.limits(&keyspace)).await?;
    let mut stages = Stages::default();
    let request = stages.measure("parse", || read_request(&bytes))?;
    let reply = answered(&shared, &keyspace, request, form, stages).await?;
    Ok(Reply { cache_control: "no-store".to_owned(), ..reply }.untagged())
}

/// The same as an address, for caches and links.
#[utoipa::path(
    get, path = "/{keyspace}/query", tag = "formulas", operation_id = "query",
    params(("keyspace" = String, Path, description = "The keyspace's name", example = "storefront"), openapi::QueryParameters),
    responses(
        (status = 200, description = "The answer", headers(
                ("ETag" = String, description = "Identifies the body"),
                ("Cache-Control" = String, description = "`no-store` where the answer is partial or has an error"),
                ("Server-Timing" = String, description = "The time of each stage")),
            content((openapi::AnswerBody = "application/json"), (String = "text/csv"))),
        (status = 304, description = "The caller has this answer already (`If-None-Match`)"),
        Problems
    )
)]
pub async fn get(
    State(shared): State<Arc<Shared>>,
    KeyspaceName(keyspace): KeyspaceName,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let form = Form::negotiate(&headers)?;
    let mut stages = Stages::default();
    let request = stages.measure("parse", || params::request(uri.query().unwrap_or_default()));
    let answered = answered(&shared, &keyspace, request, form, stages).await;
    let reply = answered.map_err(Problem::of_parameters)?;
    Ok(reply.tagged(&headers))
}

/// JSON bytes → a request.
pub fn read_request(bytes: &[u8]) -> Result<Request, Problem> {
    Ok(Request::read(&body::parse(bytes)?))
}

async fn answered(
    shared: &Shared,
    keyspace: &str,
    request: Request,
    form: Form,
    mut stages: Stages,
) -> Result<Reply, Problem> {
    let mut answer =
        shared.service.answer(keyspace, &request).await.inspect_err(|error| count_failure(shared, error))?;
    stages.extend(answer.timings.iter().copied());
    let afterwards = std::mem::take(&mut answer.shadow_read);
    let (cache_control, backend, calls) = (cache_control(&answer), answer.backend, answer.stats.backend_calls);
    let encoding = encode_aside(answer, request, form);
    let bytes = stages.measure_async("encode", encoding).await?;
    count_answer(shared, backend, calls, &stages);
    let media = match form {
        Form::Json => "application/json",
        Form::Csv => "text/csv; charset=utf-8",
    };
    Ok(Reply { bytes, media, cache_control, server_timing: Some(stages.server_timing()), afterwards })
}

async fn encode_aside(answer: Answer, request: Request, form: Form) -> Result<Vec<u8>, Problem> {
    if answer.stats.points <= INLINE_POINTS {
        return encode_as(&answer, &request, form);
    }
    match tokio::task::spawn_blocking(move || encode_as(&answer, &request, form)).await {
        Ok(encoded) => encoded,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Problem::new(Fault::Draining, "the service is shutting down")),
        },
    }
}

fn encode_as(answer: &Answer, request: &Request, form: Form) -> Result<Vec<u8>, Problem> {
    match form {
        Form::Json => Ok(encode::json(answer)),
        Form::Csv => {
            encode::csv(answer).map_err(|(name, error)| Problem::formulas_failed(request, answer, &name, &error))
        }
    }
}

/// What is complete may be kept for half a step, from a second to a minute; the rest changes or may go better next time.
fn cache_control(answer: &Answer) -> String {
    let failed = answer.results.iter().any(|result| result.outcome.is_err());
    if failed || answer.partial_from.is_some() {
        return "no-store".to_owned();
    }
    let step = answer.step.parse::<Step>().map_or(0, Step::nominal_millis);
    format!("private, max-age={}", (step / 2000).clamp(1, 60))
}

fn count_answer(shared: &Shared, backend: &'static str, calls: u32, stages: &Stages) {
    let metrics = &shared.state.metrics;
    for (stage, time) in stages.iter() {
        metrics.stage(stage, time);
        if stage == "backend" && calls > 0 {
            metrics.backend_time(backend, time);
        }
    }
    if calls > 0 {
        metrics.backend_calls(backend, Outcome::Ok, u64::from(calls));
    }
}

/// Counts what kept a request from being answered, where it was a backend or a limit.
pub fn count_failure(shared: &Shared, error: &QueryError) {
    let metrics = &shared.state.metrics;
    match error {
        QueryError::Backend(BackendError::Timeout { backend, millis }) => {
            metrics.backend_calls(backend, Outcome::Timeout, 1);
            metrics.backend_time(backend, Duration::from_millis(*millis));
        }
        QueryError::Backend(BackendError::Unreachable { backend, .. } | BackendError::Failed { backend, .. }) => {
            tracing::warn!(backend = *backend, %error, "backend failed");
            metrics.backend_calls(backend, Outcome::Error, 1);
        }
        QueryError::RateLimited { .. } | QueryError::Overloaded { keyspace: true } => metrics.shed(Shed::KeyspaceLimit),
        QueryError::Overloaded { keyspace: false } => metrics.shed(Shed::Overloaded),
        _ => {}
    }
}
