//! Wires the parts: start-up order, reload, readiness, graceful shutdown, and the demo.

mod backends;
pub mod demo;
mod serve;

pub use backends::{check_switch, open_backend};
pub use serve::{Announcement, serve};

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::backend::embedded::EmbeddedStore;
use crate::config::{self, Config, Flags};
use crate::controller::{Controller, ReloadError, Reloaded, Settings, Status, Surroundings};
use crate::query::{Service, Setup};
use crate::repository::{BuiltIn, Directory, Git, Intervals, Location, Source};
use crate::telemetry::Metrics;

/// The demo's keyspace, for a working directory that has no keyspace files.
const DEMO_FILES: &[(&str, &str)] = &[("demo.yaml", include_str!("../../formulas/demo.yaml"))];
/// The demo's keyspace: while it is served, its simulated data are kept up to now.
pub const DEMO_KEYSPACE: &str = "demo";

/// Everything of a running service but its listeners.
pub struct App {
    /// What answers requests.
    pub service: Arc<Service>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    flags: Flags,
    controller: ArcSwap<Controller>,
    /// Held during a reload, so that there is one at a time.
    reloading: tokio::sync::Mutex<()>,
}

impl App {
    /// Opens the databases and loads the repository: the first reload.
    ///
    /// # Errors
    /// When a database cannot be opened, or no keyspace can be served.
    pub async fn open(flags: Flags, config: Config) -> anyhow::Result<App> {
        let (config, backends) = tokio::task::spawn_blocking(move || {
            let backends = backends::open(&config, None);
            (config, backends)
        })
        .await?;
        let service = Arc::new(Service::new(config, backends?));
        let metrics = Arc::<Metrics>::default();
        let controller = start(&service, &metrics, &service.setup().config).await?;
        let controller = ArcSwap::from_pointee(controller);
        Ok(App { service, metrics, flags, controller, reloading: tokio::sync::Mutex::default() })
    }

    /// Follows the repository from now on.
    pub fn follow(&self) {
        self.controller.load().follow();
    }

    /// Reads flags, variables, the operator's file and the repository again. What is wrong changes nothing.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn reload(&self) -> anyhow::Result<Reloaded> {
        let _one_at_a_time = self.reloading.lock().await;
        let result = self.reload_all().await;
        match &result {
            Ok(reloaded) => tracing::info!(revision = reloaded.revision, keyspaces = reloaded.keyspaces, "reloaded"),
            Err(error) => tracing::error!(error = format!("{error:#}"), "reload failed; nothing changed"),
        }
        result
    }

    async fn reload_all(&self) -> anyhow::Result<Reloaded> {
        let before = self.service.setup();
        let (flags, earlier) = (self.flags.clone(), Arc::clone(&before));
        let setup = tokio::task::spawn_blocking(move || -> anyhow::Result<Setup> {
            let config = read_config(&flags)?;
            if earlier.config.has_file && !config.has_file {
                // More often a slip than a wish, and the limits and `allow` of all keyspaces would go with it.
                anyhow::bail!("the operator's file is gone or empty; put it back, or restart to go on without it");
            }
            let backends = backends::open(&config, Some(&earlier))?;
            Ok(Setup { config, backends })
        })
        .await??;
        if (setup.config.listen, setup.config.admin_listen) != (before.config.listen, before.config.admin_listen) {
            tracing::warn!("addresses change at the next start only");
        }
        backends::check_switch(&before, &setup).await?;
        if repository_of(&setup.config) != repository_of(&before.config) {
            // What the other repository holds takes the place of everything, or nothing changes.
            let controller = start(&self.service, &self.metrics, &setup.config).await?;
            self.controller.load().give_way_to(&controller);
            controller.follow();
            self.controller.store(Arc::new(controller));
        }
        let reloaded = self.controller.load_full().reload().await?;
        self.service.replace(setup);
        Ok(reloaded)
    }

    /// Has the repository listed soon: somebody says that it changed.
    pub fn poke(&self) {
        self.controller.load().poke();
    }

    /// How the repository and each keyspace fare.
    pub fn status(&self) -> Status {
        self.controller.load().status()
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

/// Starts to serve what a configuration names.
async fn start(service: &Service, metrics: &Arc<Metrics>, config: &Config) -> Result<Controller, ReloadError> {
    let repository = &config.repository;
    let settings = Settings {
        intervals: Intervals { resync: repository.resync, poll: repository.poll },
        grace: repository.grace,
        ..Settings::default()
    };
    let surroundings = Surroundings {
        published: Arc::clone(&service.catalog),
        metrics: Arc::clone(metrics),
        clock: Arc::clone(&service.clock),
    };
    Controller::start(source(config), settings, surroundings).await
}

/// Where the keyspace files come from: the demo's own where nothing says otherwise and none are there.
pub fn source(config: &Config) -> Arc<dyn Source> {
    let (_, location, repository) = repository_of(config);
    match location {
        None => Arc::new(BuiltIn(DEMO_FILES)),
        Some(Location::Directory(path)) => Arc::new(Directory::new(path, repository.files)),
        Some(Location::Git(git)) => Arc::new(Git::new(git.clone(), repository.credentials.clone(), repository.files)),
    }
}

/// What decides whether a repository that is followed is still the right one: whether the demo's own files are served, the
/// place where they are not, and how it is followed.
fn repository_of(config: &Config) -> (bool, Option<&Location>, &config::RepositoryConfig) {
    let built_in = match &config.formulas {
        Location::Directory(path) => config.demo && !path.exists(),
        Location::Git(_) => false,
    };
    (built_in, (!built_in).then_some(&config.formulas), &config.repository)
}
