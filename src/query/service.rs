//! What the outside calls: one keyspace, one request.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::Value;

use super::{Answer, QueryError, Request};
use crate::backend::Backend;
use crate::catalog::publish::Published;
use crate::config::{BackendName, Config};

/// The backends that are configured, by name.
pub type KeyspaceBackends = BTreeMap<BackendName, Arc<dyn Backend>>;

/// Everything that a request needs. Shared by all requests.
pub struct Service {
    /// The catalog of this moment.
    pub catalog: Published,
    /// The configuration of this moment.
    pub config: ArcSwap<Config>,
    /// The backends.
    pub backends: KeyspaceBackends,
}

impl Service {
    /// Answers a request.
    ///
    /// # Errors
    /// What fails for the whole request; what fails for one formula is in its place of the answer.
    pub async fn answer(&self, keyspace: &str, request: &Request) -> Result<Answer, QueryError> {
        let _ = (keyspace, request);
        todo!("query")
    }

    /// The graph, the plan, the selections and the calls that would be sent.
    ///
    /// # Errors
    /// As [`Service::answer`].
    pub fn explain(&self, keyspace: &str, request: &Request) -> Result<Value, QueryError> {
        let _ = (keyspace, request);
        todo!("query")
    }

    /// The catalogue of a keyspace: title, parameters, and each formula.
    ///
    /// # Errors
    /// No such keyspace.
    pub fn catalogue(&self, keyspace: &str) -> Result<Value, QueryError> {
        let _ = keyspace;
        todo!("query")
    }

    /// What a picker of a parameter shows: `{"values": [...], "truncated": false}`. `request` holds from, to and params.
    ///
    /// # Errors
    /// As [`Service::answer`]; a parameter that is not declared is an input error.
    pub async fn values(&self, keyspace: &str, parameter: &str, request: &Request) -> Result<Value, QueryError> {
        let _ = (keyspace, parameter, request);
        todo!("query")
    }
}
