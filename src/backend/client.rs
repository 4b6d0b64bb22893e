//! The one HTTP client of the backends that are reached over HTTP: pooled, bounded, and sparing with what it tells.
//!
//! No blanket conversion of its errors: each is turned into a [`BackendError`] here, where the call is known. Addresses in
//! errors have no user names, passwords or queries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::BackendError;

/// The longest answer that is read, in bytes after decompression.
pub const MAX_ANSWER: usize = 512 << 20;
/// How much of a server's own words is told.
const MAX_WORDS: usize = 600;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of one server. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    backend: &'static str,
    base: Url,
    shown: Arc<str>,
    user: Option<(String, Option<String>)>,
    timeout: Duration,
    http: reqwest::Client,
    calls: Arc<AtomicU64>,
}

/// What a server answered, whatever its status.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The answer's headers.
    pub headers: HeaderMap,
    /// The whole body, decompressed.
    pub body: Bytes,
}

impl Reply {
    /// Whether the status says that it went well.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The server's own words, on one line and shortened, for an error.
    pub fn words(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(4 * MAX_WORDS)]);
        let line: Vec<&str> = text.split_whitespace().collect();
        let mut line = line.join(" ");
        if let Some((cut, _)) = line.char_indices().nth(MAX_WORDS) {
            line.truncate(cut);
            line.push('…');
        }
        format!("status {}: {line}", self.status)
    }
}

impl Client {
    /// A client of the server at `base` (`http://` or `https://`, perhaps with a path). `user:password@` in it is sent as basic
    /// authentication and never shown.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(backend: &'static str, base: &str, timeout: Duration) -> Result<Client, BackendError> {
        let failed = |reason: String| BackendError::Failed { backend, reason };
        let mut base = Url::parse(base).map_err(|error| failed(format!("its url is not one: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(failed("its url must begin with http:// or https:// and name a host".to_owned()));
        }
        let user = (!base.username().is_empty())
            .then(|| (percent_decoded(base.username()), base.password().map(percent_decoded)));
        // Neither can fail for an address with a host.
        let _ = (base.set_username(""), base.set_password(None));
        base.set_query(None);
        base.set_fragment(None);
        let path = base.path().trim_end_matches('/').to_owned();
        base.set_path(&path);
        // Whoever installs it first wins, and all install the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .pool_idle_timeout(Duration::from_secs(30))
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let shown = base.as_str().trim_end_matches('/').into();
        Ok(Client { backend, base, shown, user, timeout, http, calls: Arc::default() })
    }

    /// The same with basic authentication.
    #[must_use]
    pub fn with_user(self, user: String, password: Option<String>) -> Client {
        Client { user: Some((user, password)), ..self }
    }

    /// The server's address without secrets.
    pub fn address(&self) -> &str {
        &self.shown
    }

    /// How many requests were sent so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// `GET` of a path below the address, which may have a query.
    ///
    /// # Errors
    /// When there is no answer; an answer of any status is none.
    pub async fn get(&self, path: &str) -> Result<Reply, BackendError> {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// `POST` to a path below the address.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply, BackendError> {
        self.send(Method::POST, path, headers, body.into()).await
    }

    /// Any other method; a connection that the server had closed meanwhile is tried once more, for all that is sent here may be
    /// sent twice.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Result<Reply, BackendError> {
        let exchange = async {
            match self.exchange(method.clone(), path, headers, body.clone()).await {
                Err(Broken::BeforeAnswer(_)) => self.exchange(method, path, headers, body).await,
                other => other,
            }
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(Broken::BeforeAnswer(reason) | Broken::Unreachable(reason))) => {
                Err(BackendError::Unreachable { backend: self.backend, address: self.shown.to_string(), reason })
            }
            Ok(Err(Broken::Answer(reason))) => Err(BackendError::Failed { backend: self.backend, reason }),
            Err(_) => {
                let millis = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
                Err(BackendError::Timeout { backend: self.backend, millis })
            }
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Result<Reply, Broken> {
        let url = format!("{}{path}", self.shown);
        let url = Url::parse(&url).map_err(|error| Broken::Unreachable(error.to_string()))?;
        debug_assert_eq!(url.host_str(), self.base.host_str());
        let mut request = self.http.request(method, url).headers(header_map(headers)?).body(body);
        if let Some((user, password)) = &self.user {
            request = request.basic_auth(user, password.as_deref());
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        let response = request.send().await.map_err(|error| match error.is_connect() {
            true => Broken::Unreachable(causes(&error)),
            false => Broken::BeforeAnswer(causes(&error)),
        })?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        let mut body = BytesMut::with_capacity(announced.min(MAX_ANSWER));
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| Broken::Answer(format!("its answer broke off: {}", causes(&error))))?;
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(Broken::Answer(format!("its answer is over {} MiB; ask for less", MAX_ANSWER >> 20)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers, body: body.freeze() })
    }
}

/// How an exchange ended without a whole answer.
enum Broken {
    /// No connection.
    Unreachable(String),
    /// The connection broke before the answer began.
    BeforeAnswer(String),
    /// The answer could not be read to its end.
    Answer(String),
}

fn header_map(headers: &[(&'static str, &str)]) -> Result<HeaderMap, Broken> {
    let pair = |(name, value): &(&'static str, &str)| {
        let value = HeaderValue::from_str(value).map_err(|error| Broken::Unreachable(error.to_string()))?;
        Ok((HeaderName::from_static(name), value))
    };
    headers.iter().map(pair).collect()
}

/// An error and what caused it, without the address, which may hold a secret.
fn causes(error: &reqwest::Error) -> String {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    let mut words: Vec<String> = Vec::new();
    while let Some(error) = cause {
        words.push(error.to_string());
        cause = error.source();
    }
    if words.is_empty() { "the connection broke".to_owned() } else { words.join(": ") }
}

fn percent_decoded(text: &str) -> String {
    let pair = format!("v={}", text.replace('+', "%2B"));
    form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        let client =
            Client::new("kairosdb", "http://me:p%40ss@127.0.0.1:1/base/?q=1#f", Duration::from_secs(1)).unwrap();
        assert_eq!(client.address(), "http://127.0.0.1:1/base");
        assert_eq!(client.user, Some(("me".to_owned(), Some("p@ss".to_owned()))));
        for wrong in ["", "127.0.0.1:8080", "ftp://host", "file:///etc/passwd"] {
            assert!(Client::new("kairosdb", wrong, Duration::from_secs(1)).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unreachable() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let client = Client::new("kairosdb", &format!("http://u:secret@{address}"), Duration::from_secs(5)).unwrap();
        let error = client.get("/").await.unwrap_err();
        assert!(matches!(error, BackendError::Unreachable { .. }), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
