//! The OpenAPI document and the page that shows it.

use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};

use super::middleware::unique;
use super::problem::{Fault, Problem};
use super::reply::Reply;

const PAGE: &str = include_str!("docs.html");

/// The OpenAPI document.
pub async fn openapi(headers: HeaderMap) -> Result<Response, Problem> {
    let document = super::openapi::document()
        .map_err(|_| Problem::new(Fault::Internal, "the OpenAPI document could not be written"))?;
    Ok(Reply::json(document.into_bytes(), "no-cache").tagged(&headers))
}

/// A page that shows the OpenAPI document, and reaches no other address.
pub async fn page() -> Response {
    let nonce = unique();
    let policy = format!(
        "default-src 'none'; connect-src 'self'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Html(PAGE.replace("{nonce}", &nonce))).into_response()
}
