//! From what the repository holds to what is served: keys off the queue, compiled, published; the last good kept.
//!
//! - [`Controller`] starts with a first reload, then follows its source;
//! - `handler` takes keys off the work queue: compile, keep or remove, try again;
//! - `served` is what is served and how each keyspace fares; it makes the catalog that is published;
//! - `status` is what an operator sees of it.
//!
//! A keyspace whose files have errors stays as it was last good, while others move on. A keyspace whose files are gone stays
//! for a grace time. A repository that cannot be listed, or that holds no keyspace any more, changes nothing.

mod handler;
mod served;
mod status;

pub use status::{KeyspaceState, KeyspaceStatus, QueueStatus, Status};

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::catalog::publish::Published;
use crate::diagnostic::{Diagnostic, Severity};
use crate::repository::backoff::Backoff;
use crate::repository::{
    Changed, FoundBy, Intervals, Observer, Reflector, RepositoryError, Source, WorkQueue, keyspace_of,
};
use crate::telemetry::{Metrics, QueueSample};
use served::Served;

/// An error message names at most so many errors of keyspace files.
const SHOWN_ERRORS: usize = 20;
/// A bad keyspace is looked at again after this, then ever later.
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// It is looked at again at least this often.
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// A reload tells how it went after this at the latest; what it found is handled all the same.
const RELOAD_PATIENCE: Duration = Duration::from_secs(20);

/// Epoch milliseconds of this moment.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Why nothing was published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The repository could not be listed, or holds no keyspace file.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// It holds keyspaces, all with errors, and none was served before.
    #[error("no keyspace of the repository could be compiled{}", listed(.0))]
    AllBroken(Vec<Diagnostic>),
}

/// The first errors, a line each.
fn listed(diagnostics: &[Diagnostic]) -> String {
    let errors: Vec<&Diagnostic> = diagnostics.iter().filter(|found| found.severity == Severity::Error).collect();
    let mut lines = String::new();
    for error in errors.iter().take(SHOWN_ERRORS) {
        lines.push_str(&format!("\n  {}: {}", error.location, error.message));
    }
    if errors.len() > SHOWN_ERRORS {
        lines.push_str(&format!("\n  and {} more; `tsdb-ws check` shows all", errors.len() - SHOWN_ERRORS));
    }
    lines
}

/// What a reload came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// The revision of the repository that is served now.
    pub revision: String,
    /// Keyspaces that are served.
    pub keyspaces: usize,
    /// Keyspaces that have errors now: served as they were last good, or not at all.
    pub broken: Vec<String>,
}

/// What an operator can set of a controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How often the source is listed where nothing asks for it.
    pub intervals: Intervals,
    /// How long a keyspace is served whose files are gone.
    pub grace: Duration,
    /// How many keyspaces are compiled at once.
    pub workers: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            intervals: Intervals { resync: Duration::from_secs(15), poll: Duration::from_secs(30) },
            grace: Duration::from_secs(2),
            workers: 2,
        }
    }
}

/// What a controller needs of the process.
#[derive(Clone)]
pub struct Surroundings {
    /// Where catalogs are published.
    pub published: Arc<Published>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What time it is.
    pub clock: Clock,
}

/// Follows one source. Ends when it is dropped; what it published stays.
pub struct Controller {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    place: String,
    reflector: Reflector,
    queue: Arc<WorkQueue>,
    served: Mutex<Served>,
    libraries: handler::Libraries,
    around: Surroundings,
    grace: Duration,
}

impl Controller {
    /// Lists the source, compiles everything and publishes it at once: the first reload.
    ///
    /// # Errors
    /// When the source cannot be listed, or no keyspace can be served; nothing is published then.
    pub async fn start(
        source: Arc<dyn Source>,
        settings: Settings,
        around: Surroundings,
    ) -> Result<Controller, ReloadError> {
        let controller = Controller::prepare(source, settings, around).await?;
        controller.open();
        Ok(controller)
    }

    /// Lists the source and compiles everything. Nothing is published before [`Controller::open`].
    ///
    /// # Errors
    /// As [`Controller::start`].
    pub async fn prepare(
        source: Arc<dyn Source>,
        settings: Settings,
        around: Surroundings,
    ) -> Result<Controller, ReloadError> {
        let shared = Arc::new(Shared {
            place: source.place(),
            reflector: Reflector::new(source, settings.intervals),
            queue: Arc::new(WorkQueue::new(Backoff::new(FIRST_RETRY, LONGEST_RETRY))),
            served: Mutex::default(),
            libraries: handler::Libraries::default(),
            around,
            grace: settings.grace,
        });
        let workers = (0..settings.workers.max(1)).map(|_| tokio::spawn(handler::work(Arc::clone(&shared))));
        let controller = Controller { tasks: Mutex::new(workers.collect()), shared };
        let shared = &controller.shared;
        shared.reflector.list(FoundBy::Start, shared.as_ref()).await?;
        shared.queue.idle().await;
        {
            let served = shared.served();
            if served.keyspaces.is_empty() {
                return Err(ReloadError::AllBroken(served.diagnostics()));
            }
        }
        Ok(controller)
    }

    /// Publishes from now on.
    pub fn open(&self) {
        let mut served = self.shared.served();
        served.is_open = true;
        self.shared.publish(&mut served);
    }

    /// Follows the source from now on.
    pub fn follow(&self) {
        let queue = Arc::clone(&self.shared.queue);
        self.shared.around.metrics.reload.sample_with(move || {
            let sample = queue.sample();
            QueueSample { depth: sample.depth, age: sample.age, retrying: sample.retrying }
        });
        let shared = Arc::clone(&self.shared);
        let follow = tokio::spawn(async move { shared.reflector.follow(shared.as_ref()).await });
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(follow);
    }

    /// Lists the source now and waits until what changed is served. What is gone goes at once, without its grace time.
    ///
    /// # Errors
    /// When the source cannot be listed; what was served before still is.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.reload_with(|publish| publish()).await
    }

    /// The same; nothing is published until all of it is, by what `swap` is given, so that something else can be replaced
    /// with it.
    ///
    /// # Errors
    /// As [`Controller::reload`]; `swap` is not called then.
    pub async fn reload_with(&self, swap: impl FnOnce(&mut dyn FnMut()) + Send) -> Result<Reloaded, ReloadError> {
        let shared = &self.shared;
        let _held = Held::hold(shared);
        shared.reflector.list(FoundBy::Reload, shared.as_ref()).await?;
        let settled = async {
            // What came is served before anything leaves: only then is it known whether something is left.
            shared.queue.idle().await;
            shared.remove_absent_now();
            shared.queue.idle().await;
        };
        if tokio::time::timeout(RELOAD_PATIENCE, settled).await.is_err() {
            tracing::warn!("a reload is not through yet; it goes on");
        }
        let mut served = shared.served();
        served.is_held = false;
        swap(&mut || shared.publish(&mut served));
        drop(served);
        Ok(self.reloaded())
    }

    /// What is served now.
    pub fn reloaded(&self) -> Reloaded {
        let served = self.shared.served();
        Reloaded {
            revision: self.shared.reflector.store.revision(),
            keyspaces: served.keyspaces.len(),
            broken: served.broken(),
        }
    }

    /// Publishes nothing any more: `successor` does.
    pub fn give_way_to(&self, successor: &Controller) {
        let mut served = self.shared.served();
        served.is_open = false;
        let others = successor.shared.served();
        served.leave_metrics(&others, &self.shared.around.metrics.reload);
    }

    /// Ends what follows the source, and has the source give back what it holds on disk. What was published stays.
    pub fn close(&self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(JoinHandle::abort);
        self.shared.reflector.close();
    }

    /// Has the source listed soon.
    pub fn poke(&self) {
        self.shared.reflector.poke();
    }

    /// How the repository and each keyspace fare.
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        let served = shared.served();
        let mut status = served.status(&shared.queue);
        status.source = shared.place.clone();
        status.error = shared.reflector.health().error.or_else(|| {
            let nothing_left = shared.is_open_on_nothing(&served);
            nothing_left
                .then(|| format!("no keyspace that {} holds is good; what was good before is served", shared.place))
        });
        status
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.close();
    }
}

/// While it lives, nothing is published; what came meanwhile is published at its end.
struct Held<'s>(&'s Shared);

impl<'s> Held<'s> {
    fn hold(shared: &'s Shared) -> Held<'s> {
        shared.served().is_held = true;
        Held(shared)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut served = self.0.served();
        if std::mem::take(&mut served.is_held) {
            self.0.publish(&mut served);
        }
    }
}

impl Shared {
    fn served(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a keyspace without files may leave: the repository could be listed, and holds something that is served.
    fn is_believed(&self, served: &Served) -> bool {
        self.reflector.health().error.is_none() && served.has_any_of(&self.reflector.store)
    }

    /// Whether all that is served has no files any more.
    fn is_open_on_nothing(&self, served: &Served) -> bool {
        served.is_open && !served.has_any_of(&self.reflector.store)
    }

    /// Publishes what is served; the lock is held, so that no older catalog follows a newer one.
    fn publish(&self, served: &mut Served) {
        if served.is_open && !served.is_held {
            served.published_at = Some((self.around.clock)());
            self.around.published.publish(served.catalog(self.reflector.store.revision()));
        }
    }

    /// Keyspaces without files leave at once.
    fn remove_absent_now(&self) {
        let present = self.reflector.store.keyspaces();
        let absent = self.served().forget_grace(&present);
        self.queue.add(absent, Instant::now());
    }
}

impl Observer for Shared {
    fn changed(&self, changed: &Changed) {
        let metrics = &self.around.metrics.reload;
        let mut keys = BTreeSet::new();
        {
            let served = self.served();
            for change in &changed.changes {
                metrics.event(change.kind.as_str());
                match keyspace_of(&change.path) {
                    Some(keyspace) => drop(keys.insert(keyspace.to_owned())),
                    None if change.path.ends_with(".test.yaml") => {}
                    None => {
                        keys.extend(served.users_of(&change.path));
                        keys.insert(change.path.clone());
                    }
                }
            }
        }
        if changed.revised {
            metrics.event("revision");
            keys.extend(self.reflector.store.keyspaces());
        }
        if changed.missed {
            metrics.missed(changed.changes.len());
            tracing::warn!(files = changed.changes.len(), "no event told of changed files; a listing found them");
        }
        tracing::debug!(files = changed.changes.len(), by = changed.found_by.as_str(), "the repository changed");
        self.queue.add(keys, changed.since);
    }

    fn listed(&self, outcome: Result<(), &RepositoryError>) {
        let now = (self.around.clock)();
        self.around.metrics.reload.listed(outcome.is_ok(), now);
        let mut served = self.served();
        served.tried_at = Some(now);
        if outcome.is_ok() {
            served.listed_at = Some(now);
        }
        // Told once, not at each try; the status and the metrics tell that it lasts.
        match (std::mem::replace(&mut served.is_failing, outcome.is_err()), outcome) {
            (true, Ok(())) => tracing::info!(repository = self.place, "the repository can be read again"),
            (false, Err(error)) if served.is_open => {
                tracing::error!(%error, "the repository cannot be read; what was good before is served");
            }
            _ => {}
        }
    }

    fn lost(&self, reason: &str) {
        self.around.metrics.reload.event("lost");
        tracing::warn!(reason, "events of the repository were lost; it is listed anew");
    }
}
