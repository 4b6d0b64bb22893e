//! `POST /api/webhook`: who pushed to the repository says so. Only a signed body is believed, and all it does is a listing.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use ring::hmac;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::openapi::Problems;
use super::problem::{Fault, Problem};

/// Servers of git tell at length what was pushed.
const MAX_BODY: usize = 4 << 20;
/// A secret that is being renewed is there again after this.
const RETRY: Duration = Duration::from_secs(30);
/// `sha256=` and the HMAC of the body in hexadecimal digits, as GitHub, Gitea and Forgejo send it.
const SIGNATURE: &str = "x-hub-signature-256";

/// The answer to a call that is believed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Accepted {
    /// Always true.
    accepted: bool,
}

/// A git server says that somebody pushed: has the repository listed soon. Without a secret in the configuration there is no
/// such path.
#[utoipa::path(post, path = "/api/webhook", tag = "repository", operation_id = "webhook",
    params(("x-hub-signature-256" = String, Header,
        description = "`sha256=` and the HMAC of the body under the configured secret, in hexadecimal digits")),
    request_body(content = Object, description = "Anything; it is signed and not read"),
    responses((status = 202, description = "The repository is listed soon", body = Accepted), Problems))]
pub async fn pushed(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let setup = shared.service.setup();
    let Some(secret) = &setup.config.repository.webhook_secret else {
        return Err(Problem::new(Fault::NotFound, "there is no such path; repository.webhook_secret_file makes one"));
    };
    let too_large = |_| Problem::new(Fault::BodyTooLarge, format!("a call has at most {MAX_BODY} bytes"));
    let body = axum::body::to_bytes(body, MAX_BODY).await.map_err(too_large)?;
    let secret = secret.read().map_err(|reason| {
        tracing::error!(reason, "a webhook cannot be checked; mend repository.webhook_secret_file");
        let detail = "the signature cannot be checked: the service cannot read the secret; its log says why";
        Problem::new(Fault::SecretUnreadable, detail).retry_after(RETRY)
    })?;
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !is_signed(secret.as_bytes(), &body, signature) {
        return Err(Problem::new(
            Fault::BadSignature,
            format!("the header {SIGNATURE} must be sha256= and the HMAC of the body"),
        ));
    }
    (shared.state.poke)();
    Ok((StatusCode::ACCEPTED, Json(Accepted { accepted: true })))
}

/// Whether a signature is that of the body; takes as long for a wrong one as for the right one.
fn is_signed(secret: &[u8], body: &[u8], signature: &str) -> bool {
    let Some(signature) = signature.strip_prefix("sha256=").and_then(bytes_of_hex) else { return false };
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), body, &signature).is_ok()
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signature_of_this_body_with_this_secret_is_one() {
        // The example of GitHub's documentation.
        let (secret, body) = (b"It's a Secret to Everybody", b"Hello, World!");
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(is_signed(secret, body, signature));
        for wrong in ["", "sha256=", "sha256=7571", "sha1=757107ea", "sha256=zz", &signature.replace("75", "76")] {
            assert!(!is_signed(secret, body, wrong), "{wrong}");
        }
        assert!(!is_signed(b"another", body, signature));
        assert!(!is_signed(secret, b"Hello, World?", signature));
    }
}
