//! The operator's file as it is written: texts with their places, not yet checked.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_yaml::Spanned;

/// A scalar of the file. Numbers are kept as they are written.
pub type Scalar = Option<Spanned<String>>;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    pub listen: Scalar,
    pub admin_listen: Scalar,
    pub formulas: Scalar,
    pub repository: Repository,
    pub backend: Scalar,
    pub shadow: Scalar,
    pub backends: Backends,
    pub limits: Limits,
    pub keyspaces: Keyspaces,
    pub cors: Cors,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Repository {
    pub resync: Scalar,
    pub poll: Scalar,
    pub grace: Scalar,
    pub files: Scalar,
    pub user: Scalar,
    pub token_file: Scalar,
    pub ssh_key_file: Scalar,
    pub known_hosts_file: Scalar,
    pub webhook_secret_file: Scalar,
}

/// Keyspaces by name.
pub type Keyspaces = BTreeMap<String, Keyspace>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backends {
    pub embedded: Embedded,
    pub kairosdb: Kairosdb,
    pub m3db: M3db,
    pub elasticsearch: Elasticsearch,
    pub prometheus: Prometheus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Embedded {
    pub store: Scalar,
    pub retention: Scalar,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kairosdb {
    pub url: Scalar,
    pub retention: Scalar,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct M3db {
    pub url: Scalar,
    pub names: Scalar,
    pub retention: Scalar,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Elasticsearch {
    pub url: Scalar,
    pub index: Scalar,
    pub user: Scalar,
    pub password_file: Scalar,
    pub retention: Scalar,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prometheus {
    pub url: Scalar,
    pub retention: Scalar,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub body: Scalar,
    pub formulas: Scalar,
    pub series: Scalar,
    pub answer_points: Scalar,
    pub raw_points: Scalar,
    pub range: Scalar,
    pub deadline: Scalar,
    pub concurrency: Scalar,
    pub shadow_queue: Scalar,
    pub shadow_values: Scalar,
    pub shadow_concurrency: Scalar,
    pub shadow_deadline: Scalar,
    pub connections: Scalar,
    pub idle: Scalar,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keyspace {
    pub backend: Scalar,
    pub shadow: Scalar,
    pub allow: Option<Vec<Spanned<String>>>,
    pub limits: KeyspaceLimits,
}

/// Those of the service, and two that only a keyspace has. `concurrency` is the keyspace's own.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyspaceLimits {
    pub body: Scalar,
    pub formulas: Scalar,
    pub series: Scalar,
    pub answer_points: Scalar,
    pub raw_points: Scalar,
    pub range: Scalar,
    pub deadline: Scalar,
    pub queries_per_second: Scalar,
    pub concurrency: Scalar,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    pub origins: Vec<Spanned<String>>,
}
