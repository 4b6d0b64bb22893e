//! Every error as an RFC 9457 problem document; the one place that decides status codes.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::FieldFault;
use super::params;
use crate::backend::BackendError;
use crate::plan::FormulaError;
use crate::query::{Answer, Formulas, InputError, QueryError, Request};

/// What can go wrong. Each has its status, its stable code and its title in [`Fault::facts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Fault {
    InvalidJson,
    BodyUnreadable,
    BadSignature,
    NotFound,
    UnknownKeyspace,
    MethodNotAllowed,
    NotAcceptable,
    BodyTimeout,
    BodyTooLarge,
    UriTooLong,
    UnsupportedMediaType,
    InvalidRequest,
    LimitExceeded,
    ReloadFailed,
    RateLimited,
    TooManyRequests,
    ProfileUnderWay,
    Internal,
    NotSupported,
    BackendFailed,
    Overloaded,
    NotReady,
    SecretUnreadable,
    Draining,
    BackendTimeout,
    DeadlineExceeded,
}

impl Fault {
    /// The status, the stable code, and the title.
    pub fn facts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Fault::InvalidJson => (S::BAD_REQUEST, "invalid_json", "The body is not JSON"),
            Fault::BodyUnreadable => (S::BAD_REQUEST, "body_unreadable", "The body broke off"),
            Fault::BadSignature => (S::FORBIDDEN, "bad_signature", "The signature is not that of the body"),
            Fault::NotFound => (S::NOT_FOUND, "not_found", "There is no such path"),
            Fault::UnknownKeyspace => (S::NOT_FOUND, "unknown_keyspace", "There is no such keyspace"),
            Fault::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method_not_allowed", "The path does not take this method")
            }
            Fault::NotAcceptable => (S::NOT_ACCEPTABLE, "not_acceptable", "Nothing that is acceptable can be sent"),
            Fault::BodyTimeout => (S::REQUEST_TIMEOUT, "body_timeout", "The body did not arrive in time"),
            Fault::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large"),
            Fault::UriTooLong => (S::URI_TOO_LONG, "uri_too_long", "The address is too long"),
            Fault::UnsupportedMediaType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body has a wrong media type")
            }
            Fault::InvalidRequest => (S::UNPROCESSABLE_ENTITY, "invalid_request", "The request has wrong fields"),
            Fault::LimitExceeded => (S::UNPROCESSABLE_ENTITY, "limit_exceeded", "The request is over a limit"),
            Fault::ReloadFailed => (S::UNPROCESSABLE_ENTITY, "reload_failed", "Nothing was reloaded"),
            Fault::RateLimited => (S::TOO_MANY_REQUESTS, "rate_limited", "The keyspace's rate limit is reached"),
            Fault::TooManyRequests => {
                (S::TOO_MANY_REQUESTS, "too_many_requests", "The keyspace's limit of requests under way is reached")
            }
            Fault::ProfileUnderWay => (S::TOO_MANY_REQUESTS, "profile_under_way", "A profile is being taken"),
            Fault::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "The service has a defect"),
            Fault::NotSupported => (S::NOT_IMPLEMENTED, "not_supported", "This build cannot do that"),
            Fault::BackendFailed => (S::BAD_GATEWAY, "backend_failed", "The backend failed"),
            Fault::Overloaded => (S::SERVICE_UNAVAILABLE, "overloaded", "The service is busy"),
            Fault::NotReady => (S::SERVICE_UNAVAILABLE, "not_ready", "The service is starting"),
            Fault::SecretUnreadable => {
                (S::SERVICE_UNAVAILABLE, "secret_unreadable", "The signature cannot be checked now")
            }
            Fault::Draining => (S::SERVICE_UNAVAILABLE, "draining", "The service is shutting down"),
            Fault::BackendTimeout => (S::GATEWAY_TIMEOUT, "backend_timeout", "The backend did not answer in time"),
            Fault::DeadlineExceeded => (S::GATEWAY_TIMEOUT, "deadline_exceeded", "The deadline passed"),
        }
    }
}

/// A problem document as it is sent.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "urn:tsdb-ws:problem:invalid_request", "title": "The request has wrong fields", "status": 422,
    "detail": "the request has 1 wrong field(s)", "code": "invalid_request",
    "errors": [{ "pointer": "/step", "code": "invalid_step", "detail": "`1y` is not a duration" }]
}))]
pub struct ProblemDocument {
    /// Identifies the kind of problem: `urn:tsdb-ws:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem, for people.
    pub title: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// What went wrong this time and what would be right.
    pub detail: String,
    /// A stable identifier.
    pub code: &'static str,
    /// For input: every field that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<FieldFault>>)]
    pub errors: Vec<InputError>,
    /// For `limit_exceeded`: the limit's name in the operator's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<&'static str>,
    /// For `limit_exceeded`: what the request comes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<u64>,
    /// For `limit_exceeded`: the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<u64>,
    /// For `limit_exceeded`: the step that would fit, where one would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// For `invalid_json`: the line where reading stopped, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// For `invalid_json`: the column where reading stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

/// An answer that is a problem document.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    document: Box<ProblemDocument>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem with a sentence about this time.
    pub fn new(fault: Fault, detail: impl Into<String>) -> Problem {
        let (status, code, title) = fault.facts();
        let document = ProblemDocument {
            kind: format!("urn:tsdb-ws:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            code,
            ..ProblemDocument::default()
        };
        Problem { status, document: Box::new(document), headers: Vec::new() }
    }

    /// The formulas of an answer that failed, where the form of the answer has no place for their errors.
    pub fn formulas_failed(request: &Request, answer: &Answer, name: &str, error: &FormulaError) -> Problem {
        let detail = format!("the formula `{name}` failed: {}", error.detail);
        let mut problem = Problem::new(Fault::InvalidRequest, detail);
        problem.document.kind = format!("urn:tsdb-ws:problem:{}", error.code);
        problem.document.code = error.code;
        problem.document.title = "A formula failed";
        let pointer = |index: usize| match request.formulas {
            Formulas::All => "/formulas".to_owned(),
            Formulas::Entries(_) => format!("/formulas/{index}"),
        };
        let failed = answer.results.iter().enumerate().filter_map(|(index, result)| {
            let error = result.outcome.as_ref().err()?;
            Some(InputError::new(pointer(index), error.code, format!("`{}`: {}", result.name, error.detail)))
        });
        problem.document.errors = failed.collect();
        problem
    }

    /// The same with errors that point at query parameters, not into a body.
    #[must_use]
    pub fn of_parameters(mut self) -> Problem {
        let errors = std::mem::take(&mut self.document.errors);
        self.document.errors = errors.into_iter().map(params::as_parameter).collect();
        self
    }

    /// The same with the place in the JSON text.
    #[must_use]
    pub fn at(mut self, line: usize, column: usize) -> Problem {
        self.document.line = Some(line);
        self.document.column = Some(column);
        self
    }

    /// The same with the time after which it may go better.
    #[must_use]
    pub fn retry_after(self, time: Duration) -> Problem {
        let seconds = time.as_millis().div_ceil(1000).clamp(1, 3600) as u64;
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The same with a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.headers.push((name, value));
        self
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Problem {
        let fault = match &error {
            QueryError::UnknownKeyspace(_) | QueryError::BrokenKeyspace(_) => Fault::UnknownKeyspace,
            QueryError::Input(_) => Fault::InvalidRequest,
            QueryError::LimitExceeded(_) => Fault::LimitExceeded,
            QueryError::RateLimited { .. } => Fault::RateLimited,
            QueryError::Overloaded { keyspace: true } => Fault::TooManyRequests,
            QueryError::Overloaded { keyspace: false } => Fault::Overloaded,
            QueryError::Backend(BackendError::Timeout { .. }) => Fault::BackendTimeout,
            QueryError::Backend(_) => Fault::BackendFailed,
            QueryError::Deadline(_) => Fault::DeadlineExceeded,
        };
        let mut problem = Problem::new(fault, error.to_string());
        match error {
            QueryError::Input(errors) => problem.document.errors = errors,
            QueryError::LimitExceeded(limit) => {
                problem.document.limit = Some(limit.limit);
                problem.document.value = Some(limit.value);
                problem.document.maximum = Some(limit.maximum);
                problem.document.step = limit.step.map(|step| step.to_string());
            }
            QueryError::RateLimited { retry_after, .. } => problem = problem.retry_after(retry_after),
            QueryError::Overloaded { .. } => problem = problem.retry_after(Duration::from_secs(1)),
            _ => {}
        }
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // A document of strings and numbers always serializes; an empty body would still carry the status.
        let body = serde_json::to_vec(&self.document).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers);
        response
    }
}
