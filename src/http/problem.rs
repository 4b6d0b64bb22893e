//! Every error as an RFC 9457 problem document; the one place that decides status codes.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::query::QueryError;

/// A problem document.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    fields: Value,
    retry_after: Option<u64>,
}

impl Problem {
    /// A problem with a stable code and a sentence.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem { status, code, detail: detail.into(), fields: json!({}), retry_after: None }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Problem {
        let detail = error.to_string();
        let (status, code) = match &error {
            QueryError::UnknownKeyspace(_) => (StatusCode::NOT_FOUND, "unknown_keyspace"),
            QueryError::Input(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_request"),
            QueryError::LimitExceeded(_) => (StatusCode::UNPROCESSABLE_ENTITY, "limit_exceeded"),
            QueryError::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            QueryError::Overloaded { keyspace: true } => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            QueryError::Overloaded { keyspace: false } => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            QueryError::Backend(crate::backend::BackendError::Timeout { .. }) => {
                (StatusCode::GATEWAY_TIMEOUT, "backend_timeout")
            }
            QueryError::Backend(_) => (StatusCode::BAD_GATEWAY, "backend_failed"),
            QueryError::Deadline(_) => (StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded"),
        };
        let mut problem = Problem::new(status, code, detail);
        match error {
            QueryError::Input(errors) => problem.fields = json!({ "errors": errors }),
            QueryError::LimitExceeded(limit) => {
                problem.fields = json!({ "limit": limit.limit, "value": limit.value, "maximum": limit.maximum,
                    "step": limit.step.map(|step| step.to_string()) });
            }
            QueryError::RateLimited { retry_after, .. } => problem.retry_after = Some(retry_after.as_secs() + 1),
            QueryError::Overloaded { .. } => problem.retry_after = Some(1),
            _ => {}
        }
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({ "type": format!("urn:tsdb-ws:problem:{}", self.code), "code": self.code, "detail": self.detail,
            "title": self.status.canonical_reason().unwrap_or("Error"), "status": self.status.as_u16() });
        if let (Value::Object(body), Value::Object(fields)) = (&mut body, self.fields) {
            body.extend(fields);
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
