//! Flags, environment and the operator's file → one checked [`Config`].
//!
//! [`load`] lays the three over one another (`layers`: flag over variable over file), checks every value (`value`) and gathers
//! all that is wrong with them. Nothing else of the process reads a flag or a variable of its own.

mod file;
mod flags;
mod layers;
mod limits;
mod value;
pub mod yaml;

pub use flags::Flags;
pub use layers::{ConfigError, DEFAULT_FILE, load};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::backend::capabilities::{self, Capabilities};
use crate::repository::{Credentials, Location, Secret};
use crate::series::Step;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BackendName {
    /// The store inside the process.
    Embedded,
    /// KairosDB.
    Kairosdb,
    /// M3DB.
    M3db,
    /// Elasticsearch.
    Elasticsearch,
    /// Prometheus, and what speaks its API.
    Prometheus,
}

impl BackendName {
    /// Every one, in the order in which they are told.
    pub const ALL: [BackendName; 5] = [
        BackendName::Embedded,
        BackendName::Kairosdb,
        BackendName::M3db,
        BackendName::Elasticsearch,
        BackendName::Prometheus,
    ];

    /// The one of that name.
    pub fn named(name: &str) -> Option<BackendName> {
        BackendName::ALL.into_iter().find(|backend| backend.as_str() == name)
    }

    /// As in files, flags and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            BackendName::Embedded => "embedded",
            BackendName::Kairosdb => "kairosdb",
            BackendName::M3db => "m3db",
            BackendName::Elasticsearch => "elasticsearch",
            BackendName::Prometheus => "prometheus",
        }
    }
}

/// Everything an operator can set, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address of the service.
    pub listen: SocketAddr,
    /// The address of metrics, status and profiles.
    pub admin_listen: SocketAddr,
    /// Where the keyspace files are.
    pub formulas: Location,
    /// How they are followed.
    pub repository: RepositoryConfig,
    /// The database for keyspaces that name none.
    pub backend: BackendName,
    /// The database that gets a copy of every read, for comparison.
    pub shadow: Option<BackendName>,
    /// The file of the embedded store.
    pub store: PathBuf,
    /// Where KairosDB answers.
    pub kairosdb_url: String,
    /// Where M3DB answers, and how names are written there.
    pub m3db: M3dbConfig,
    /// Where Elasticsearch answers, and as whom.
    pub elasticsearch: ElasticsearchConfig,
    /// Where Prometheus answers.
    pub prometheus_url: String,
    /// Buckets before `now − retention` carry the warning `beyond_retention`; by backend.
    pub retention: BTreeMap<BackendName, Step>,
    /// Limits for keyspaces that name none.
    pub limits: Limits,
    /// What the reads of shadows may cost.
    pub shadow_limits: ShadowLimits,
    /// By keyspace.
    pub keyspaces: BTreeMap<String, KeyspaceConfig>,
    /// Origins that browsers may call from; `*` is any.
    pub cors_origins: Vec<String>,
    /// Whether an operator's file with something in it was read.
    pub has_file: bool,
    /// True when nothing says what to serve (addresses, limits and origins do not): the demo's data are simulated.
    pub demo: bool,
    /// What was accepted and does nothing, in sentences.
    pub warnings: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8090)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 8091)),
            formulas: Location::Directory(PathBuf::from("formulas")),
            repository: RepositoryConfig::default(),
            backend: BackendName::Embedded,
            shadow: None,
            store: PathBuf::from("tsdb-ws.db"),
            kairosdb_url: "http://127.0.0.1:8080".to_owned(),
            m3db: M3dbConfig { url: "http://127.0.0.1:7201".to_owned(), legacy_names: false },
            elasticsearch: ElasticsearchConfig {
                url: "http://127.0.0.1:9200".to_owned(),
                index: "tsdb-ws".to_owned(),
                user: None,
                password_file: None,
            },
            prometheus_url: "http://127.0.0.1:9090".to_owned(),
            retention: BTreeMap::new(),
            limits: Limits::default(),
            shadow_limits: ShadowLimits::default(),
            keyspaces: BTreeMap::new(),
            cors_origins: Vec::new(),
            has_file: false,
            demo: false,
            warnings: Vec::new(),
        }
    }
}

impl Config {
    /// The database that a keyspace reads.
    pub fn backend_of(&self, keyspace: &str) -> BackendName {
        self.keyspaces.get(keyspace).and_then(|keyspace| keyspace.backend).unwrap_or(self.backend)
    }

    /// The database that reads along with a keyspace's own; none where that would be the same.
    pub fn shadow_of(&self, keyspace: &str) -> Option<BackendName> {
        let own = self.keyspaces.get(keyspace).and_then(|keyspace| keyspace.shadow);
        own.or(self.shadow).filter(|shadow| *shadow != self.backend_of(keyspace))
    }

    /// What a database can do, as it is set up here.
    pub fn capabilities(&self, backend: BackendName) -> Capabilities {
        match backend {
            BackendName::Embedded => capabilities::EMBEDDED,
            BackendName::Kairosdb => capabilities::KAIROSDB,
            BackendName::M3db if self.m3db.legacy_names => capabilities::M3DB_LEGACY,
            BackendName::M3db => capabilities::M3DB,
            BackendName::Elasticsearch => capabilities::ELASTICSEARCH,
            BackendName::Prometheus => capabilities::PROMETHEUS,
        }
    }

    /// The longest time that a request of any keyspace may take.
    pub fn longest_deadline(&self) -> Duration {
        let own = self.keyspaces.values().filter_map(|keyspace| keyspace.limits.as_ref());
        own.map(|limits| limits.deadline).fold(self.limits.deadline, Duration::max)
    }

    /// The databases that some keyspace reads, or reads along as a shadow.
    pub fn backends_used(&self) -> Vec<BackendName> {
        let own = self.keyspaces.values().flat_map(|keyspace| [keyspace.backend, keyspace.shadow]);
        let mut names: Vec<BackendName> = own.chain([Some(self.backend), self.shadow]).flatten().collect();
        names.sort();
        names.dedup();
        names
    }
}

/// What an operator sets for the repository of keyspace files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryConfig {
    /// How often a directory is listed anew, whatever its events say.
    pub resync: Duration,
    /// How often a git server is asked.
    pub poll: Duration,
    /// How long a keyspace is served whose files are gone.
    pub grace: Duration,
    /// The most files.
    pub files: usize,
    /// How to prove to a git server who asks.
    pub credentials: Credentials,
    /// What signs the calls of `POST /api/webhook`; without it there is no such path.
    pub webhook_secret: Option<Secret>,
}

impl Default for RepositoryConfig {
    fn default() -> RepositoryConfig {
        RepositoryConfig {
            resync: Duration::from_secs(15),
            poll: Duration::from_secs(30),
            grace: Duration::from_secs(2),
            files: 20_000,
            credentials: Credentials::default(),
            webhook_secret: None,
        }
    }
}

/// What an operator sets for M3DB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct M3dbConfig {
    /// Where its coordinator answers.
    pub url: String,
    /// `names: legacy`: characters beyond `[A-Za-z0-9_:]` become `_` in names and tags.
    pub legacy_names: bool,
}

/// What an operator sets for Elasticsearch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElasticsearchConfig {
    /// Where it answers.
    pub url: String,
    /// The index that metrics without a mapping are read from, and `load` writes to.
    pub index: String,
    /// The name for basic authentication.
    pub user: Option<String>,
    /// A file whose first line is the password; read each time the backend is opened, so that no configuration holds it.
    pub password_file: Option<PathBuf>,
}

/// What an operator sets for one keyspace.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeyspaceConfig {
    /// Its database.
    pub backend: Option<BackendName>,
    /// The database that gets a copy of every read, for comparison.
    pub shadow: Option<BackendName>,
    /// Patterns (`*` is any text) of the stored series that it may read; `None`: all.
    pub allow: Option<Vec<String>>,
    /// Requests a second, with bursts of as many; `None`: no limit.
    pub queries_per_second: Option<u32>,
    /// Requests under way at once; `None`: no limit of its own.
    pub concurrency: Option<usize>,
    /// The limits, those of the service where the keyspace sets none.
    pub limits: Option<Limits>,
}

/// What one request may cost at most.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body: usize,
    /// Entries of `formulas`.
    pub formulas: usize,
    /// Series of one formula, and groups of one selection.
    pub series: usize,
    /// Values (series × buckets) of an answer.
    pub answer_points: usize,
    /// Raw points read where a backend cannot aggregate.
    pub raw_points: usize,
    /// From `from` to `to`.
    pub range: Step,
    /// For a whole request.
    pub deadline: Duration,
    /// Requests under way at once in the whole service; more are shed with 503.
    pub concurrency: usize,
    /// Connections at once to each address; more wait until one ends. Read at the start only.
    pub connections: usize,
    /// How long a caller may send nothing of a request's header, or take nothing of an answer, before the connection ends.
    /// Read at the start only.
    pub idle: Duration,
}

/// What the reads of one database as a shadow may cost at most, of all keyspaces together. What is over it is dropped and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShadowLimits {
    /// Reads that wait.
    pub queue: usize,
    /// Values kept by reads that wait or are under way, for comparison.
    pub values: usize,
    /// Reads under way at once.
    pub concurrency: usize,
    /// For one read.
    pub deadline: Duration,
}

impl Default for ShadowLimits {
    fn default() -> ShadowLimits {
        ShadowLimits { queue: 64, values: 4_000_000, concurrency: 2, deadline: Duration::from_secs(10) }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body: 1 << 20,
            formulas: 200,
            series: 1000,
            answer_points: 2_000_000,
            raw_points: 20_000_000,
            range: Step::new(400, crate::series::StepUnit::Day),
            deadline: Duration::from_secs(30),
            concurrency: 256,
            connections: 4096,
            idle: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests;
