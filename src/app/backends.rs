//! The databases of a configuration, opened.

use std::sync::Arc;

use crate::backend::Backend;
use crate::backend::embedded::EmbeddedStore;
use crate::backend::kairosdb::KairosDb;
use crate::config::{BackendName, Config};
use crate::query::Backends;

/// Opens what some keyspace reads. What an earlier configuration opened in the same place is kept.
pub fn open(config: &Config, earlier: Option<(&Config, &Backends)>) -> anyhow::Result<Backends> {
    let mut backends = Backends::new();
    for name in config.backends_used() {
        let kept = earlier
            .filter(|(before, _)| place(before, name) == place(config, name))
            .and_then(|(_, backends)| backends.get(&name).cloned());
        backends.insert(name, kept.map_or_else(|| open_backend(config, name), Ok)?);
    }
    Ok(backends)
}

/// Opens one database.
///
/// # Errors
/// When it cannot be opened.
pub fn open_backend(config: &Config, name: BackendName) -> anyhow::Result<Arc<dyn Backend>> {
    match name {
        BackendName::Embedded => Ok(Arc::new(open_store(config)?)),
        BackendName::Kairosdb => Ok(Arc::new(KairosDb::new(&config.kairosdb_url, config.limits.deadline)?)),
        BackendName::M3db => anyhow::bail!("m3db is not built yet"),
        BackendName::Elasticsearch => anyhow::bail!("elasticsearch is not built yet"),
        BackendName::Prometheus => anyhow::bail!("prometheus is not built yet"),
    }
}

/// Opens the embedded store.
pub fn open_store(config: &Config) -> anyhow::Result<EmbeddedStore> {
    Ok(EmbeddedStore::open(&config.store)?)
}

/// What decides whether an open database is still the right one.
fn place(config: &Config, name: BackendName) -> String {
    match name {
        BackendName::Embedded => config.store.display().to_string(),
        BackendName::Kairosdb => format!("{} {:?}", config.kairosdb_url, config.limits.deadline),
        BackendName::M3db => format!("{:?} {:?}", config.m3db, config.limits.deadline),
        BackendName::Elasticsearch => format!("{:?} {:?}", config.elasticsearch, config.limits.deadline),
        BackendName::Prometheus => format!("{} {:?}", config.prometheus_url, config.limits.deadline),
    }
}
