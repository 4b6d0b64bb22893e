//! The databases of a configuration, opened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::backend::Backend;
use crate::backend::elasticsearch::Elasticsearch;
use crate::backend::embedded::EmbeddedStore;
use crate::backend::kairosdb::KairosDb;
use crate::backend::m3db::M3db;
use crate::backend::prometheus::Prometheus;
use crate::config::{BackendName, Config, ElasticsearchConfig};
use crate::query::{Backends, Setup};

/// How long a database may take to say that it is well, before keyspaces move to it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Whom a password of Elasticsearch without a name belongs to.
const ELASTICSEARCH_USER: &str = "elastic";

/// Opens what some keyspace reads, or reads along. What an earlier configuration opened in the same place is kept; beside an
/// earlier one no store is made, for a slip in its name would be an empty one in the place of all points.
pub fn open(config: &Config, earlier: Option<&Setup>) -> anyhow::Result<Backends> {
    let mut backends = Backends::new();
    for name in config.backends_used() {
        let kept = earlier
            .filter(|before| place(&before.config, name) == place(config, name))
            .and_then(|before| before.backends.get(&name).cloned());
        if earlier.is_some() && kept.is_none() && name == BackendName::Embedded && !config.store.exists() {
            anyhow::bail!(
                "there is no store {}, and a reload makes none; mend `store`, `load` something into it first, or restart the \
                 service to begin with an empty one",
                config.store.display()
            );
        }
        backends.insert(name, kept.map_or_else(|| open_backend(config, name), Ok)?);
    }
    Ok(backends)
}

/// Refuses a switch to a database that does not answer while the one in use does: a slip in an address must not take away what
/// works. Where the one in use is dead too, there is nothing to lose. Only what a keyspace moves to is asked, so that any other
/// change can be made while a database is down; shadows may be down at any time.
///
/// # Errors
/// Which keyspaces would move where, and why that does not answer.
pub async fn check_switch(before: &Setup, after: &Setup) -> anyhow::Result<()> {
    let service = [(None, before.config.backend, after.config.backend)];
    let named = before.config.keyspaces.keys().chain(after.config.keyspaces.keys());
    let keyspaces =
        named.map(|name| (Some(name.as_str()), before.config.backend_of(name), after.config.backend_of(name)));
    let mut moves: BTreeMap<(BackendName, BackendName), BTreeSet<Option<&str>>> = BTreeMap::new();
    for (keyspace, from, to) in service.into_iter().chain(keyspaces) {
        moves.entry((from, to)).or_default().insert(keyspace);
    }
    for ((from, to), keyspaces) in moves {
        let (Some(old), Some(new)) = (before.backends.get(&from), after.backends.get(&to)) else { continue };
        if Arc::ptr_eq(old, new) {
            continue;
        }
        let Err(reason) = answers(new.as_ref()).await else { continue };
        let who: Vec<&str> = keyspaces.into_iter().map(|name| name.unwrap_or("the service")).collect();
        let (who, from, to) = (who.join(", "), from.as_str(), to.as_str());
        if answers(old.as_ref()).await.is_err() {
            tracing::warn!(
                who,
                from,
                to,
                reason,
                "switched to a database that does not answer; neither did the one before"
            );
            continue;
        }
        anyhow::bail!(
            "{who} would move from {from}, which answers, to {to}, which does not: {reason}. Start it or mend its address; to \
             move all the same, restart the service"
        );
    }
    Ok(())
}

async fn answers(backend: &dyn Backend) -> Result<(), String> {
    match tokio::time::timeout(PATIENCE, backend.check_health()).await {
        Ok(health) => health.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// Opens one database.
///
/// # Errors
/// When it cannot be opened.
pub fn open_backend(config: &Config, name: BackendName) -> anyhow::Result<Arc<dyn Backend>> {
    match name {
        BackendName::Embedded => Ok(Arc::new(open_store(config)?)),
        BackendName::Kairosdb => Ok(Arc::new(KairosDb::new(&config.kairosdb_url, config.longest_deadline())?)),
        BackendName::M3db => {
            Ok(Arc::new(M3db::new(&config.m3db.url, config.m3db.legacy_names, config.longest_deadline())?))
        }
        BackendName::Elasticsearch => {
            Ok(Arc::new(open_elasticsearch(&config.elasticsearch, config.longest_deadline())?))
        }
        BackendName::Prometheus => Ok(Arc::new(Prometheus::new(&config.prometheus_url, config.longest_deadline())?)),
    }
}

fn open_elasticsearch(config: &ElasticsearchConfig, timeout: Duration) -> anyhow::Result<Elasticsearch> {
    let password = match &config.password_file {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the password of elasticsearch from {}", file.display()))?;
            Some(text.lines().next().unwrap_or_default().to_owned())
        }
        None => None,
    };
    let named = config.user.clone().or_else(|| password.is_some().then(|| ELASTICSEARCH_USER.to_owned()));
    Ok(Elasticsearch::new(&config.url, &config.index, named.map(|user| (user, password)), timeout)?)
}

/// Opens the embedded store.
pub fn open_store(config: &Config) -> anyhow::Result<EmbeddedStore> {
    Ok(EmbeddedStore::open(&config.store)?)
}

/// What decides whether an open database is still the right one.
fn place(config: &Config, name: BackendName) -> String {
    let deadline = config.longest_deadline();
    match name {
        BackendName::Embedded => config.store.display().to_string(),
        BackendName::Kairosdb => format!("{} {deadline:?}", config.kairosdb_url),
        BackendName::M3db => format!("{:?} {deadline:?}", config.m3db),
        BackendName::Elasticsearch => format!("{:?} {deadline:?}", config.elasticsearch),
        BackendName::Prometheus => format!("{} {deadline:?}", config.prometheus_url),
    }
}
