//! Wires the parts: start-up order, reload, readiness, graceful shutdown, and the demo.

mod backends;
pub mod demo;
mod serve;

pub use backends::{check_switch, open_backend};
pub use serve::{Announcement, serve};

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;

use crate::backend::embedded::EmbeddedStore;
use crate::config::{self, Config, Flags};
use crate::controller::{ReloadError, Reloaded, Reloader, Source, Status};
use crate::query::{Service, Setup};

/// The demo's keyspace, for a working directory that has no keyspace files.
const DEMO_FILES: &[(&str, &str)] = &[("demo.yaml", include_str!("../../formulas/demo.yaml"))];
/// The demo's keyspace: while it is served, its simulated data are kept up to now.
pub const DEMO_KEYSPACE: &str = "demo";

/// Everything of a running service but its listeners.
pub struct App {
    /// What answers requests.
    pub service: Arc<Service>,
    flags: Flags,
    reloader: Reloader,
    /// Held during a reload, so that there is one at a time.
    reloading: Mutex<()>,
    runtime: Handle,
}

impl App {
    /// Opens the databases and loads the repository: the first reload.
    ///
    /// # Errors
    /// When a database cannot be opened, or no keyspace can be served.
    pub fn open(flags: Flags, config: Config) -> anyhow::Result<App> {
        let backends = backends::open(&config, None)?;
        let source = source(&config);
        let service = Arc::new(Service::new(config, backends));
        let app = App {
            service,
            flags,
            reloader: Reloader::default(),
            reloading: Mutex::new(()),
            runtime: Handle::current(),
        };
        app.reload_catalog(&source)?;
        Ok(app)
    }

    /// Reads flags, variables, the operator's file and the repository again. What is wrong changes nothing. It blocks: call it
    /// away from the runtime's own threads.
    ///
    /// # Errors
    /// What is wrong.
    pub fn reload(&self) -> anyhow::Result<Reloaded> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.reload_all();
        match &result {
            Ok(reloaded) => tracing::info!(revision = reloaded.revision, keyspaces = reloaded.keyspaces, "reloaded"),
            Err(error) => tracing::error!(error = format!("{error:#}"), "reload failed; nothing changed"),
        }
        result
    }

    fn reload_all(&self) -> anyhow::Result<Reloaded> {
        let before = self.service.setup();
        let config = read_config(&self.flags)?;
        if (config.listen, config.admin_listen) != (before.config.listen, before.config.admin_listen) {
            tracing::warn!("addresses change at the next start only");
        }
        let backends = backends::open(&config, Some(&before))?;
        let setup = Setup { config, backends };
        self.runtime.block_on(backends::check_switch(&before, &setup))?;
        let reloaded = self.reload_catalog(&source(&setup.config))?;
        self.service.replace(setup);
        Ok(reloaded)
    }

    fn reload_catalog(&self, source: &Source) -> Result<Reloaded, ReloadError> {
        let reloaded = self.reloader.reload(source, &self.service.catalog, (self.service.clock)())?;
        for found in &self.service.catalog.snapshot().diagnostics {
            let place = &found.location;
            tracing::warn!(code = found.code, %place, severity = found.severity.as_str(), "{}", found.message);
        }
        Ok(reloaded)
    }

    /// How the repository and each keyspace fare.
    pub fn status(&self) -> Status {
        self.reloader.status()
    }

    /// Simulates the demo's data up to now, where the demo is what is served: the store, and up to when it has data.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn fill_demo(&self) -> anyhow::Result<Option<(EmbeddedStore, i64)>> {
        if !self.serves_demo() {
            return Ok(None);
        }
        let store = backends::open_store(&self.service.setup().config)?;
        let written_to = demo::fill(&store, (self.service.clock)(), demo::DAYS).await?;
        Ok(Some((store, written_to)))
    }

    fn serves_demo(&self) -> bool {
        self.service.setup().config.demo && self.service.catalog.snapshot().keyspaces.contains_key(DEMO_KEYSPACE)
    }
}

/// Flags, the process's variables and the operator's file, checked.
///
/// # Errors
/// All that is wrong.
pub fn read_config(flags: &Flags) -> Result<Config, config::ConfigError> {
    config::load(flags, &|name| std::env::var(name).ok())
}

/// Where the keyspace files come from: the demo's own where nothing says otherwise and none are there.
pub fn source(config: &Config) -> Source {
    if config.demo && !config.formulas.exists() {
        return Source::BuiltIn(DEMO_FILES);
    }
    Source::Directory(config.formulas.clone())
}
