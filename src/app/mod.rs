//! Wires the parts: start-up order, reload, readiness, graceful shutdown, and the demo.

mod backends;
pub mod demo;
mod serve;

pub use backends::{check_switch, open_backend};
pub use serve::{Announcement, serve};

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Serialize;

use crate::backend::embedded::EmbeddedStore;
use crate::config::{self, Config, Flags};
use crate::controller::{Controller, ReloadError, Reloaded, Settings, Status, Surroundings};
use crate::diagnostic::nearest;
use crate::query::{Service, Setup};
use crate::repository::{BuiltIn, Directory, Git, Intervals, Location, Source};
use crate::telemetry::Metrics;

/// The demo's keyspace, for a working directory that has no keyspace files.
const DEMO_FILES: &[(&str, &str)] = &[("demo.yaml", include_str!("../../formulas/demo.yaml"))];
/// The demo's keyspace: while it is served, its simulated data are kept up to now.
pub const DEMO_KEYSPACE: &str = "demo";

/// What a reload of everything came to.
#[derive(Debug, Serialize)]
pub struct ReloadedAll {
    /// Of the repository.
    #[serde(flatten)]
    pub repository: Reloaded,
    /// What of the configuration does nothing, or nothing yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Everything of a running service but its listeners.
pub struct App {
    /// What answers requests.
    pub service: Arc<Service>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    flags: Flags,
    controller: ArcSwap<Controller>,
    /// Where it listens, whatever the configuration says by now.
    addresses: (SocketAddr, SocketAddr),
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
        let controller = prepare(&service, &metrics, &service.setup().config).await?;
        controller.open();
        let controller = ArcSwap::from_pointee(controller);
        let setup = service.setup();
        let addresses = (setup.config.listen, setup.config.admin_listen);
        let app = App { service, metrics, flags, controller, addresses, reloading: tokio::sync::Mutex::default() };
        app.unknown_keyspaces(&setup.config).iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(app)
    }

    /// Follows the repository from now on.
    pub fn follow(&self) {
        self.controller.load().follow();
    }

    /// Reads flags, variables, the operator's file and the repository again. What is wrong changes nothing.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn reload(&self) -> anyhow::Result<ReloadedAll> {
        let _one_at_a_time = self.reloading.lock().await;
        let result = self.reload_all().await;
        let result = result.map(|repository| {
            let warnings = self.warnings(&self.service.setup().config);
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            ReloadedAll { repository, warnings }
        });
        match &result {
            Ok(ReloadedAll { repository, .. }) => {
                tracing::info!(revision = repository.revision, keyspaces = repository.keyspaces, "reloaded");
            }
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
            if repository_of(&config).0.is_none() && repository_of(&earlier.config).0.is_some() {
                // An unmounted volume or a lost line, and every keyspace would go with it.
                anyhow::bail!(
                    "no repository is named or there, so that the program's own demo would take the place of all that is \
                     served; put `formulas` right, or restart to serve the demo"
                );
            }
            let backends = backends::open(&config, Some(&earlier))?;
            Ok(Setup { config, backends })
        })
        .await??;
        backends::check_switch(&before, &setup).await?;
        if repository_of(&setup.config) == repository_of(&before.config) {
            let controller = self.controller.load_full();
            return Ok(controller.reload_with(|publish| self.service.replace_with(setup, publish)).await?);
        }
        // What the other repository holds takes the place of everything, or nothing changes.
        let controller = prepare(&self.service, &self.metrics, &setup.config).await?;
        self.service.replace_with(setup, || {
            self.controller.load().give_way_to(&controller);
            controller.open();
        });
        controller.follow();
        let reloaded = controller.reloaded();
        self.controller.store(Arc::new(controller));
        Ok(reloaded)
    }

    /// What of a configuration does nothing, or nothing yet, in sentences.
    fn warnings(&self, config: &Config) -> Vec<String> {
        let moved =
            [("listen", self.addresses.0, config.listen), ("admin_listen", self.addresses.1, config.admin_listen)];
        let moved = moved
            .into_iter()
            .filter(|(_, bound, set)| bound != set)
            .map(|(name, bound, set)| format!("`{name}` is {set} from the next start on; until then it is {bound}"));
        let webhook = config.repository.webhook_secret.as_ref().and_then(|secret| secret.read().err());
        let webhook = webhook.map(|reason| format!("no webhook is believed: {reason}"));
        config.warnings.iter().cloned().chain(moved).chain(webhook).chain(self.unknown_keyspaces(config)).collect()
    }

    /// What is said of keyspaces that the operator's file names and nobody serves; their files may come later.
    fn unknown_keyspaces(&self, config: &Config) -> Vec<String> {
        let status = self.controller.load().status();
        let known = || status.keyspaces.keys().map(String::as_str);
        let unknown = config.keyspaces.keys().filter(|name| !status.keyspaces.contains_key(*name));
        let told = unknown.map(|name| {
            let near = nearest(name, known()).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            format!("the entry `{name}` of `keyspaces` is of no keyspace that there is{near}")
        });
        told.collect()
    }

    /// Ends what follows the repository, and removes what that holds on disk.
    pub fn close(&self) {
        self.controller.load().close();
    }

    /// Has the repository listed soon: somebody says that it changed.
    pub fn poke(&self) {
        self.controller.load().poke();
    }

    /// How the repository and each keyspace fare.
    pub fn status(&self) -> Status {
        Status { warnings: self.warnings(&self.service.setup().config), ..self.controller.load().status() }
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

/// Makes ready to serve what a configuration names.
async fn prepare(service: &Service, metrics: &Arc<Metrics>, config: &Config) -> Result<Controller, ReloadError> {
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
    Controller::prepare(source(config), settings, surroundings).await
}

/// Where the keyspace files come from: the demo's own where nothing says otherwise and none are there.
pub fn source(config: &Config) -> Arc<dyn Source> {
    let (location, repository) = repository_of(config);
    match location {
        None => Arc::new(BuiltIn(DEMO_FILES)),
        Some(Location::Directory(path)) => Arc::new(Directory::new(path, repository.files)),
        Some(Location::Git(git)) => Arc::new(Git::new(git.clone(), repository.credentials.clone(), repository.files)),
    }
}

/// What decides whether a repository that is followed is still the right one: its place, none where the demo's own files are
/// served, and how it is followed.
fn repository_of(config: &Config) -> (Option<&Location>, &config::RepositoryConfig) {
    let built_in = match &config.formulas {
        Location::Directory(path) => config.demo && !path.exists(),
        Location::Git(_) => false,
    };
    ((!built_in).then_some(&config.formulas), &config.repository)
}
