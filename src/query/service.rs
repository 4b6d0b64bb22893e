//! What the outside calls: one keyspace, one request.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use serde_json::Value;

use super::admission::{Admission, Permit};
use super::shadow::Shadow;
use super::{Answer, QueryError, Request, catalogue, explain, fitting, values};
use crate::backend::{Backend, BackendError};
use crate::catalog::Keyspace;
use crate::catalog::publish::Published;
use crate::config::{BackendName, Config, KeyspaceConfig, Limits};
use crate::plan::Context;

/// The backends that are configured, by name.
pub type Backends = BTreeMap<BackendName, Arc<dyn Backend>>;

/// Epoch milliseconds of this moment.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What the operator set, and the databases that it names: replaced as one, so that no request sees the configuration of one
/// reload and the databases of another.
pub struct Setup {
    /// The configuration.
    pub config: Config,
    /// Every database that some keyspace reads, or reads along as a shadow.
    pub backends: Backends,
}

/// Everything that a request needs. Shared by all requests.
pub struct Service {
    /// The catalog of this moment.
    pub catalog: Arc<Published>,
    setup: ArcSwap<Setup>,
    /// Held while a request takes both, and while both are replaced.
    both: RwLock<()>,
    /// The time; tests have their own.
    pub clock: Clock,
    /// The reads that go to a second database.
    pub shadow: Arc<Shadow>,
    admission: Admission,
}

/// What one request keeps to its end: a snapshot of everything that may change beside it.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub setup: Arc<Setup>,
    pub keyspace: Arc<Keyspace>,
    pub backend: Arc<dyn Backend>,
    pub backend_name: BackendName,
    pub now: i64,
}

impl Snapshot {
    /// What the operator says of the keyspace.
    pub fn keyspace_config(&self) -> Option<&KeyspaceConfig> {
        self.setup.config.keyspaces.get(&self.keyspace.name)
    }

    /// What a request may cost.
    pub fn limits(&self) -> &Limits {
        self.keyspace_config().and_then(|keyspace| keyspace.limits.as_ref()).unwrap_or(&self.setup.config.limits)
    }

    /// The same request on the shadow of its keyspace, if there is one.
    pub fn shadow(&self) -> Option<Snapshot> {
        let backend_name = self.setup.config.shadow_of(&self.keyspace.name)?;
        let backend = self.setup.backends.get(&backend_name).cloned()?;
        Some(Snapshot { backend, backend_name, ..self.clone() })
    }

    /// The first instant that the backend still keeps, where the operator says how long it keeps points.
    pub fn retained_from(&self) -> Option<i64> {
        let retention = self.setup.config.retention.get(&self.backend_name)?;
        Some(self.now.saturating_sub(retention.nominal_millis()))
    }

    /// What a plan is made in.
    pub fn context(&self) -> Context<'_> {
        Context {
            keyspace: &self.keyspace,
            backend: self.backend.name(),
            allow: self.keyspace_config().and_then(|keyspace| keyspace.allow.as_deref()),
            limits: self.limits(),
            now: self.now,
        }
    }
}

impl Service {
    /// A service with the system's clock and an empty catalog.
    pub fn new(config: Config, backends: Backends) -> Service {
        Service {
            catalog: Arc::default(),
            setup: ArcSwap::from_pointee(Setup { config, backends }),
            both: RwLock::default(),
            clock: Arc::new(|| jiff::Timestamp::now().as_millisecond()),
            shadow: Arc::default(),
            admission: Admission::default(),
        }
    }

    /// What is set up now; keep it for as long as its parts must fit one another.
    pub fn setup(&self) -> Arc<Setup> {
        self.setup.load_full()
    }

    /// Puts another setup in place. Requests under way keep the one that they began with.
    pub fn replace(&self, setup: Setup) {
        let setup = Arc::new(setup);
        self.setup.store(Arc::clone(&setup));
        self.shadow.keep_to(&setup);
    }

    /// Puts another setup in place with the catalog that `publish` publishes: no request sees the one without the other.
    pub fn replace_with(&self, setup: Setup, publish: impl FnOnce()) {
        let _both = self.both.write().unwrap_or_else(PoisonError::into_inner);
        publish();
        self.replace(setup);
    }

    /// Answers a request.
    ///
    /// # Errors
    /// What fails for the whole request; what fails for one formula is in its place of the answer.
    pub async fn answer(&self, keyspace: &str, request: &Request) -> Result<Answer, QueryError> {
        let snapshot = self.snapshot(keyspace)?;
        let _permit = self.admit(&snapshot)?;
        let deadline = snapshot.limits().deadline;
        tokio::time::timeout(deadline, fitting::answer(snapshot, request, &self.shadow))
            .await
            .map_err(|_| QueryError::Deadline(deadline))?
    }

    /// The graph, the plan, the selections and the calls that would be sent.
    ///
    /// # Errors
    /// As [`Service::answer`].
    pub fn explain(&self, keyspace: &str, request: &Request) -> Result<Value, QueryError> {
        let snapshot = self.snapshot(keyspace)?;
        let _permit = self.admit(&snapshot)?;
        explain::explain(&snapshot, request)
    }

    /// The catalogue of a keyspace: title, parameters, and each formula.
    ///
    /// # Errors
    /// No such keyspace.
    pub fn catalogue(&self, keyspace: &str) -> Result<Value, QueryError> {
        Ok(catalogue::catalogue(&self.snapshot(keyspace)?.keyspace))
    }

    /// What a picker of a parameter shows: `{"values": [...], "truncated": false}`. `request` holds from, to and params.
    ///
    /// # Errors
    /// As [`Service::answer`]; a parameter that is not declared is an input error.
    pub async fn values(&self, keyspace: &str, parameter: &str, request: &Request) -> Result<Value, QueryError> {
        let snapshot = self.snapshot(keyspace)?;
        let _permit = self.admit(&snapshot)?;
        let deadline = snapshot.limits().deadline;
        let values = values::values(&snapshot, parameter, request);
        tokio::time::timeout(deadline, values).await.map_err(|_| QueryError::Deadline(deadline))?
    }

    /// Counts the request against the limits of its keyspace.
    fn admit(&self, snapshot: &Snapshot) -> Result<Permit, QueryError> {
        match snapshot.keyspace_config() {
            Some(config) => self.admission.admit(&snapshot.keyspace.name, config),
            None => Ok(None),
        }
    }

    fn snapshot(&self, keyspace: &str) -> Result<Snapshot, QueryError> {
        let (catalog, setup) = {
            let _both = self.both.read().unwrap_or_else(PoisonError::into_inner);
            (self.catalog.snapshot(), self.setup())
        };
        let served = catalog.keyspaces.get(keyspace).cloned();
        let keyspace = served.ok_or_else(|| QueryError::not_served(keyspace, &catalog))?;
        let backend_name = setup.config.backend_of(&keyspace.name);
        let backend = setup.backends.get(&backend_name).cloned().ok_or_else(|| {
            let reason = "it is not configured; name its address in the operator's file".to_owned();
            BackendError::Failed { backend: backend_name.as_str(), reason }
        })?;
        Ok(Snapshot { setup, keyspace, backend, backend_name, now: (self.clock)() })
    }
}
