//! What a caller can learn of keyspaces.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};

use super::accept::AcceptsJson;
use super::answer::{count_failure, read_request};
use super::extract::{KeyspaceName, ParameterName};
use super::openapi::{self, KeyspaceList, KeyspaceSummary, Problems};
use super::problem::Problem;
use super::reply::Reply;
use super::{Shared, body, params};
use crate::catalog::{Definition, Keyspace};

type Served = State<Arc<Shared>>;

/// The keyspaces.
#[utoipa::path(get, path = "/keyspaces", tag = "keyspaces", operation_id = "keyspaces",
    responses((status = 200, description = "The keyspaces", body = KeyspaceList), Problems))]
pub async fn list(State(shared): Served, _: AcceptsJson) -> Response {
    let catalog = shared.service.catalog.snapshot();
    let keyspaces = catalog.keyspaces.values().map(|keyspace| summary(keyspace)).collect();
    let list = Json(KeyspaceList { revision: catalog.revision.clone(), keyspaces });
    ([(header::CACHE_CONTROL, "no-cache")], list).into_response()
}

fn summary(keyspace: &Keyspace) -> KeyspaceSummary {
    let formulas = keyspace.definitions.values().filter(|definition| matches!(definition, Definition::Formula(_)));
    KeyspaceSummary {
        name: keyspace.name.clone(),
        title: keyspace.title.clone(),
        description: keyspace.description.clone(),
        owner: keyspace.owner.clone(),
        timezone: keyspace.timezone.iana_name().unwrap_or("UTC").to_owned(),
        formulas: formulas.count(),
    }
}

/// The catalogue of a keyspace.
///
/// Its title, its parameters, and each formula: name, description, chart (templates not completed), params, metrics.
#[utoipa::path(get, path = "/{keyspace}", tag = "keyspaces", operation_id = "catalogue",
    params(("keyspace" = String, Path, description = "The keyspace's name", example = "storefront")),
    responses(
        (status = 200, description = "The catalogue", body = openapi::CatalogueBody,
            headers(("ETag" = String, description = "Identifies the body"))),
        (status = 304, description = "The caller has this catalogue already (`If-None-Match`)"),
        Problems))]
pub async fn catalogue(
    State(shared): Served,
    KeyspaceName(keyspace): KeyspaceName,
    _: AcceptsJson,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let catalogue = shared.service.catalogue(&keyspace)?;
    // A reload may change it at any time; with its tag it costs a round trip to know.
    Ok(Reply::json(catalogue.to_string().into_bytes(), "private, no-cache").tagged(&headers))
}

/// The values that a picker of a parameter shows.
///
/// An enum's values, else the stored values of the tags that the parameter fills, its own filter dropped.
#[utoipa::path(get, path = "/{keyspace}/values/{parameter}", tag = "keyspaces", operation_id = "values",
    params(("keyspace" = String, Path, description = "The keyspace's name", example = "storefront"),
        ("parameter" = String, Path, description = "The parameter's name", example = "experiment"),
        openapi::WindowParameters),
    responses((status = 200, description = "The values", body = openapi::ValuesBody), Problems))]
pub async fn values(
    State(shared): Served,
    KeyspaceName(keyspace): KeyspaceName,
    ParameterName(parameter): ParameterName,
    _: AcceptsJson,
    uri: Uri,
) -> Result<Response, Problem> {
    let request = params::window(uri.query().unwrap_or_default());
    let values = shared.service.values(&keyspace, &parameter, &request).await;
    let values = values.inspect_err(|error| count_failure(&shared, error));
    let values = values.map_err(|error| Problem::from(error).of_parameters())?;
    Ok(Reply::json(values.to_string().into_bytes(), "no-store").untagged())
}

/// What a request would do.
///
/// The graph, the plan, the selections, and the exact calls that would be sent; nothing is sent.
#[utoipa::path(post, path = "/{keyspace}/explain", tag = "formulas", operation_id = "explain",
    params(("keyspace" = String, Path, description = "The keyspace's name", example = "storefront")),
    request_body(content = openapi::RequestBody, content_type = "application/json"),
    responses((status = 200, description = "The plan", body = openapi::ExplainBody), Problems))]
pub async fn explain(
    State(shared): Served,
    KeyspaceName(keyspace): KeyspaceName,
    _: AcceptsJson,
    request: HttpRequest,
) -> Result<Response, Problem> {
    let bytes = body::read(request, &shared.limits(&keyspace)).await?;
    let plan = shared.service.explain(&keyspace, &read_request(&bytes)?)?;
    Ok(Reply::json(plan.to_string().into_bytes(), "no-store").untagged())
}
