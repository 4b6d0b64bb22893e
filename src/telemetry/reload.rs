//! What is counted and timed on the way from a change in the repository to what is served.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyspaceLabels {
    keyspace: String,
    state: &'static str,
    revision: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyspaceLabel {
    keyspace: String,
}

type Seconds = Gauge<f64, std::sync::atomic::AtomicU64>;

/// The queue as it is when somebody asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct QueueSample {
    /// Keyspaces that wait for a handler, or are with one.
    pub depth: usize,
    /// How long the oldest has been there.
    pub age: Duration,
    /// Keyspaces that wait for their time to be tried again.
    pub retrying: usize,
}

/// One keyspace as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyspaceGauge {
    /// Its name.
    pub keyspace: String,
    /// `serving`, `last_good`, `broken` or `leaving`.
    pub state: &'static str,
    /// What is served; empty where nothing is.
    pub revision: String,
    /// Since when, in epoch milliseconds.
    pub since: i64,
}

type Sampler = Box<dyn Fn() -> QueueSample + Send + Sync>;

/// The metrics of the reload.
#[derive(Default)]
pub struct ReloadMetrics {
    events: Family<KindLabel, Counter>,
    missed: Counter,
    listings: Family<OutcomeLabel, Counter>,
    last_success: Seconds,
    healthy: Gauge,
    live_time: LiveTime,
    retries: Counter,
    drops: Counter,
    depth: Gauge,
    age: Seconds,
    retrying: Gauge,
    keyspaces: Family<KeyspaceLabels, Gauge>,
    keyspace_since: Family<KeyspaceLabel, Seconds>,
    /// What `keyspaces` shows now, so that it can be taken back.
    shown: Mutex<BTreeMap<String, KeyspaceLabels>>,
    sampler: Mutex<Option<Sampler>>,
}

/// From 5 ms to 10 s, close together around a second.
#[derive(Clone)]
struct LiveTime(Histogram);

impl Default for LiveTime {
    fn default() -> LiveTime {
        LiveTime(Histogram::new([0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0]))
    }
}

impl fmt::Debug for ReloadMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReloadMetrics").finish_non_exhaustive()
    }
}

impl ReloadMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "What was heard of the repository: files added, updated and deleted, revisions, and events lost";
        registry.register("repository_events", help, self.events.clone());
        let help = "Files whose change no event told of; a listing found it";
        registry.register("repository_missed", help, self.missed.clone());
        registry.register("repository_listings", "Listings of the repository, by outcome", self.listings.clone());
        let help = "When the repository was last listed whole, in seconds since the epoch";
        registry.register("repository_last_success_timestamp_seconds", help, self.last_success.clone());
        registry.register("repository_healthy", "1 while the repository can be listed", self.healthy.clone());
        let help = "Time from the notice of a change to its being served";
        registry.register_with_unit("reload_live", help, Unit::Seconds, self.live_time.0.clone());
        registry.register("reload_retries", "Keyspaces that were tried again", self.retries.clone());
        registry.register("reload_drops", "Changes that were given up; always zero", self.drops.clone());
        registry.register(
            "reload_queue_depth",
            "Keyspaces that wait for a handler, or are with one",
            self.depth.clone(),
        );
        registry.register("reload_queue_age_seconds", "How long the oldest of them has been there", self.age.clone());
        registry.register("reload_retrying", "Keyspaces that will be tried again", self.retrying.clone());
        registry.register("keyspace", "1 for each keyspace, with its state and revision", self.keyspaces.clone());
        let help = "Since when a keyspace is in its state, in seconds since the epoch";
        registry.register("keyspace_since_timestamp_seconds", help, self.keyspace_since.clone());
    }

    /// Asks for the queue from now on whenever somebody reads the metrics.
    pub fn sample_with(&self, sampler: impl Fn() -> QueueSample + Send + Sync + 'static) {
        *self.sampler.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(sampler));
    }

    pub(super) fn sample(&self) {
        let sample = self.sampler.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|sampler| sampler());
        let sample = sample.unwrap_or_default();
        self.depth.set(sample.depth as i64);
        self.age.set(sample.age.as_secs_f64());
        self.retrying.set(sample.retrying as i64);
    }

    /// Counts what was heard of the repository.
    pub fn event(&self, kind: &'static str) {
        self.events.get_or_create(&KindLabel { kind }).inc();
    }

    /// Counts files whose change no event told of.
    pub fn missed(&self, files: usize) {
        self.missed.inc_by(files as u64);
    }

    /// Counts a listing; `now` is epoch milliseconds.
    pub fn listed(&self, is_ok: bool, now: i64) {
        let outcome = if is_ok { "ok" } else { "error" };
        self.listings.get_or_create(&OutcomeLabel { outcome }).inc();
        self.healthy.set(i64::from(is_ok));
        if is_ok {
            self.last_success.set(now as f64 / 1000.0);
        }
    }

    /// Remembers how long a change took to be served.
    pub fn live(&self, time: Duration) {
        self.live_time.0.observe(time.as_secs_f64());
    }

    /// Counts a keyspace that is tried again.
    pub fn retried(&self) {
        self.retries.inc();
    }

    /// Shows a keyspace in the place of what was shown of it before; `None`: no more.
    pub fn show(&self, keyspace: &str, now: Option<KeyspaceGauge>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let since = KeyspaceLabel { keyspace: keyspace.to_owned() };
        match &now {
            Some(now) => {
                self.keyspace_since.get_or_create(&since).set(now.since as f64 / 1000.0);
            }
            None => {
                self.keyspace_since.remove(&since);
            }
        }
        let labels = now.map(KeyspaceLabels::from);
        let before = match &labels {
            Some(labels) => shown.insert(keyspace.to_owned(), labels.clone()),
            None => shown.remove(keyspace),
        };
        if before == labels {
            return;
        }
        if let Some(before) = before {
            self.keyspaces.remove(&before);
        }
        if let Some(labels) = labels {
            self.keyspaces.get_or_create(&labels).set(1);
        }
    }
}

impl From<KeyspaceGauge> for KeyspaceLabels {
    fn from(gauge: KeyspaceGauge) -> KeyspaceLabels {
        KeyspaceLabels { keyspace: gauge.keyspace, state: gauge.state, revision: gauge.revision }
    }
}
