//! `POST /api/webhook`: only what is signed is believed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ring::hmac;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tsdb_ws::config::Config;
use tsdb_ws::http::{HttpState, router};
use tsdb_ws::query::{Backends, Service};
use tsdb_ws::repository::Secret;

/// The status of one call, and how often the repository was asked for.
async fn call(secret: Option<&str>, headers: &str, body: &str) -> (u16, usize) {
    let mut config = Config::default();
    config.repository.webhook_secret = secret.map(Secret::text);
    let poked = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&poked);
    let poke = move || {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let state = HttpState { poke: Arc::new(poke), ..HttpState::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = Arc::new(Service::new(config, Backends::new()));
    tokio::spawn(async move { axum::serve(listener, router(service, state)).await });
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "POST /api/webhook HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    (answer[9..12].parse().unwrap(), poked.load(Ordering::SeqCst))
}

fn signature(secret: &str, body: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body.as_bytes());
    let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("x-hub-signature-256: sha256={digits}\r\n")
}

#[tokio::test]
async fn a_signed_call_has_the_repository_listed_and_no_other_does() {
    let body = r#"{"ref":"refs/heads/main"}"#;
    assert_eq!(call(Some("s3cret"), &signature("s3cret", body), body).await, (202, 1));
    assert_eq!(call(Some("s3cret"), &signature("other", body), body).await, (403, 0));
    assert_eq!(call(Some("s3cret"), &signature("s3cret", body), "{}").await, (403, 0));
    assert_eq!(call(Some("s3cret"), "", body).await, (403, 0));
    assert_eq!(call(None, &signature("s3cret", body), body).await, (404, 0), "without a secret there is no such path");
}
