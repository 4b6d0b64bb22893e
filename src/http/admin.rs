//! What an operator looks at and does.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::problem::{Fault, Problem};
use super::{Shared, health};
use crate::config::Config;
use crate::controller::Status;
use crate::diagnostic::Severity;
use crate::telemetry::Outcome;

type Operated = State<Arc<Shared>>;

/// The metrics as text: as OpenMetrics for who asks for it, as Prometheus does, else in the older format that everyone reads.
pub async fn metrics(State(shared): Operated, headers: HeaderMap) -> Response {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let text = shared.state.metrics.encode();
    let (media, text) = match accept.into_iter().any(|value| value.contains("application/openmetrics-text")) {
        true => ("application/openmetrics-text; version=1.0.0; charset=utf-8", text),
        false => ("text/plain; version=0.0.4; charset=utf-8", as_prometheus(&text)),
    };
    ([(header::CONTENT_TYPE, media)], text).into_response()
}

/// OpenMetrics → the text format of Prometheus: a counter is described under the name of its samples, and there is neither a
/// unit nor an end.
fn as_prometheus(text: &str) -> String {
    let counter = |name: &str| {
        text.contains(&format!("\n# TYPE {name} counter\n")) || text.starts_with(&format!("# TYPE {name} counter\n"))
    };
    let mut lines = String::with_capacity(text.len());
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("UNIT" | "EOF"), ..) => continue,
            (Some("#"), Some(kind), Some(name), Some(rest)) if counter(name) => {
                lines.push_str(&format!("# {kind} {name}_total {rest}"));
            }
            _ => lines.push_str(line),
        }
        lines.push('\n');
    }
    lines
}

/// What was built.
pub async fn version() -> Json<Value> {
    Json(version_facts())
}

/// The version, and the revision of the source where the build knew it.
fn version_facts() -> Value {
    let mut facts = json!({ "version": env!("CARGO_PKG_VERSION") });
    if let Some(revision) = option_env!("TSDB_WS_GIT_REVISION").filter(|revision| !revision.is_empty()) {
        facts["revision"] = revision.into();
    }
    facts
}

/// What is served, what is wrong with it, and how the databases are.
pub async fn status(State(shared): Operated) -> Json<Value> {
    let catalog = shared.service.catalog.snapshot();
    let setup = shared.service.setup();
    let status = (shared.state.status)();
    let errors = catalog.diagnostics.iter().filter(|found| found.severity == Severity::Error).count();
    Json(json!({
        "build": version_facts(),
        "loaded": health::is_loaded(&shared),
        "draining": shared.state.readiness.is_draining(),
        "requests_in_flight": shared.state.metrics.in_flight(),
        "revision": catalog.revision,
        "source": status.source,
        "published_at": status.published_at,
        "tried_at": status.tried_at,
        "listed_at": status.listed_at,
        "queue": status.queue,
        "error": status.error,
        "configuration": status.warnings,
        "keyspaces": keyspaces(&status, &setup.config),
        "errors": errors,
        "warnings": catalog.diagnostics.len() - errors,
        "diagnostics": catalog.diagnostics,
        "backends": health::backends(&shared).await,
    }))
}

fn keyspaces(status: &Status, config: &Config) -> Map<String, Value> {
    let facts = status.keyspaces.iter().map(|(name, keyspace)| {
        let mut facts = json!(keyspace);
        facts["backend"] = config.backend_of(name).as_str().into();
        if let Some(shadow) = config.shadow_of(name) {
            facts["shadow"] = shadow.as_str().into();
        }
        (name.clone(), facts)
    });
    facts.collect()
}

/// How the shadow reads fare: the last differences, each with the request that shows it.
pub async fn shadow(State(shared): Operated) -> Json<Value> {
    Json(shared.service.shadow.report())
}

/// Reads the repository and the configuration anew; what is broken changes nothing.
pub async fn reload(State(shared): Operated) -> Result<Json<Value>, Problem> {
    let reloaded = (shared.state.reload)().await;
    shared.state.metrics.reloaded(if reloaded.is_ok() { Outcome::Ok } else { Outcome::Error });
    reloaded.map(Json).map_err(|reason| Problem::new(Fault::ReloadFailed, reason))
}
