//! What handlers take out of an address.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::Shared;
use super::problem::{Fault, Problem};
use crate::query::QueryError;

/// The name of a keyspace that is served. Nothing else of a request is looked at where there is none.
pub struct KeyspaceName(pub String);

impl FromRequestParts<Arc<Shared>> for KeyspaceName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<KeyspaceName, Problem> {
        let name = path_parameter(parts, "keyspace").await?;
        let catalog = shared.service.catalog.snapshot();
        if catalog.keyspaces.contains_key(&name) {
            return Ok(KeyspaceName(name));
        }
        Err(QueryError::not_served(&name, &catalog).into())
    }
}

/// The name of a parameter of a keyspace, as it was written.
pub struct ParameterName(pub String);

impl<S: Send + Sync> FromRequestParts<S> for ParameterName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<ParameterName, Problem> {
        path_parameter(parts, "parameter").await.map(ParameterName)
    }
}

async fn path_parameter(parts: &mut Parts, wanted: &str) -> Result<String, Problem> {
    // Fails where the decoded bytes are not UTF-8, which no name is.
    let found = RawPathParams::from_request_parts(parts, &()).await.ok();
    let found = found.and_then(|all| all.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned()));
    found.ok_or_else(|| Problem::new(Fault::NotFound, "there is no such path: it is not percent-encoded UTF-8"))
}
