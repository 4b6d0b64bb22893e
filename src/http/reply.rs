//! A body with what caches need to know of it.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body::{Frame, SizeHint};

use crate::query::ShadowRead;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// A successful answer.
pub struct Reply {
    /// The body.
    pub bytes: Vec<u8>,
    /// Its media type.
    pub media: &'static str,
    /// The value of `Cache-Control`.
    pub cache_control: String,
    /// The value of `Server-Timing`, if stages were measured.
    pub server_timing: Option<String>,
    /// What begins once the body has gone.
    pub afterwards: ShadowRead,
}

impl Reply {
    /// JSON.
    pub fn json(bytes: Vec<u8>, cache_control: impl Into<String>) -> Reply {
        let cache_control = cache_control.into();
        Reply {
            bytes,
            media: "application/json",
            cache_control,
            server_timing: None,
            afterwards: ShadowRead::default(),
        }
    }

    /// The answer to a request that may hold `If-None-Match`: 304 without a body where the caller has these bytes already.
    pub fn tagged(self, request: &HeaderMap) -> Response {
        let tag = format!("\"{}\"", &blake3::hash(&self.bytes).to_hex()[..32]);
        let known = is_known(request, &tag);
        let mut response = self.untagged();
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        if known {
            response.headers_mut().remove(header::CONTENT_TYPE);
            *response.body_mut() = Body::empty();
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        response
    }

    /// The answer without an `ETag`.
    pub fn untagged(self) -> Response {
        let body = Followed { body: Body::from(self.bytes), _afterwards: self.afterwards };
        let mut response = Body::new(body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media));
        headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
        let values = [(header::CACHE_CONTROL, Some(self.cache_control)), (SERVER_TIMING, self.server_timing)];
        for (name, value) in values {
            headers.extend(value.and_then(|value| HeaderValue::from_str(&value).ok()).map(|value| (name, value)));
        }
        response
    }
}

/// A body that is followed by something: what it holds is dropped with it, once it was sent or nobody wants it any more.
struct Followed {
    body: Body,
    _afterwards: ShadowRead,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Weak comparison, as for every `If-None-Match` (RFC 9110, 13.1.2).
fn is_known(request: &HeaderMap, tag: &str) -> bool {
    let values = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = values.flat_map(|value| value.split(',')).map(str::trim);
    known.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}
