//! The shadow: after an answer has gone, the same read goes to a second database, and the two are compared.
//!
//! - [`Shadow`] has a queue for each database: bounded, so that a shadow that is slow, hangs or fails costs users nothing, nor
//!   other shadows anything; what is over its limits is dropped and counted, and so is what waits for a shadow that is none any
//!   more;
//! - `read` sends one read and compares it, `difference` compares the frames of one selection;
//! - `report` keeps the last differences, each with the request that shows it.
//!
//! What a user's request pays is a copy of the values that were read.

mod difference;
mod read;
mod report;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Handle;

use super::Request;
use super::service::{Setup, Snapshot};
use crate::backend::{Selected, SelectionFrame};
use crate::config::{BackendName, ShadowLimits};
use crate::telemetry::{Metrics, ShadowOutcome};
use report::Report;

/// The reads that wait for a shadow or are under way. Nothing is read until it is started.
#[derive(Default)]
pub struct Shadow {
    started: OnceLock<Started>,
    state: Mutex<State>,
}

struct Started {
    runtime: Handle,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<BackendName, Queue>,
    report: Report,
}

/// The reads of one database.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    /// Values kept by what waits and what is under way.
    values: usize,
    under_way: usize,
}

/// One read to be done again and compared.
struct Job {
    /// The request on its keyspace's own database, and on the shadow.
    primary: Snapshot,
    shadow: Snapshot,
    request: Request,
    /// What the first one read; `None` where a selection failed.
    frames: Vec<Option<SelectionFrame>>,
    values: usize,
    time: Duration,
}

/// Begins the read on the shadow when it is dropped.
#[derive(Default)]
pub struct ShadowRead(Option<Box<(Arc<Shadow>, Job)>>);

impl ShadowRead {
    /// Begins nothing.
    pub fn cancel(mut self) {
        self.0 = None;
    }
}

impl Drop for ShadowRead {
    fn drop(&mut self) {
        if let Some(read) = self.0.take() {
            let (shadow, job) = *read;
            shadow.offer(job);
        }
    }
}

impl fmt::Debug for ShadowRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ShadowRead").field(&self.0.is_some()).finish()
    }
}

impl Shadow {
    /// From now on reads go to shadows, on this runtime, where keyspaces have one.
    pub fn start(&self, metrics: Arc<Metrics>) {
        // A second start changes nothing.
        let _ = self.started.set(Started { runtime: Handle::current(), metrics });
    }

    /// What operators are shown: what waits, what was compared, and the last differences.
    pub fn report(&self) -> Value {
        let state = self.lock();
        let sum = |of: fn(&Queue) -> usize| state.queues.values().map(of).sum();
        state.report.to_json(sum(|queue| queue.waiting.len()), sum(|queue| queue.under_way))
    }

    /// The read to be begun once the answer to a request has gone; nothing where its keyspace has no shadow, or where too many
    /// wait already. `time`: how long the first read took.
    pub(super) fn prepare(
        self: &Arc<Self>,
        primary: &Snapshot,
        request: &Request,
        selected: &Selected,
        time: Duration,
    ) -> ShadowRead {
        let Some(shadow) = self.started.get().and_then(|_| primary.shadow()) else { return ShadowRead::default() };
        let groups = selected.frames.iter().flatten().flat_map(|frame| &frame.groups);
        let values = groups.map(|group| group.values.len()).sum();
        let limits = primary.setup.config.shadow_limits;
        if selected.frames.is_empty() {
            return ShadowRead::default();
        }
        if !self.lock().queue(shadow.backend_name).has_room(values, &limits) {
            self.dropped(&shadow);
            return ShadowRead::default();
        }
        let frames = selected.frames.iter().map(|frame| frame.as_ref().ok().cloned()).collect();
        let job = Job { primary: primary.clone(), shadow, request: request.clone(), frames, values, time };
        ShadowRead(Some(Box::new((Arc::clone(self), job))))
    }

    /// Takes a read into the queue, and sees that somebody works on it.
    fn offer(self: Arc<Self>, job: Job) {
        let Some(started) = self.started.get() else { return };
        let limits = job.primary.setup.config.shadow_limits;
        let backend = job.shadow.backend_name;
        let mut state = self.lock();
        let queue = state.queue(backend);
        if !queue.has_room(job.values, &limits) {
            drop(state);
            return self.dropped(&job.shadow);
        }
        queue.values += job.values;
        queue.waiting.push_back(job);
        if queue.under_way < limits.concurrency {
            queue.under_way += 1;
            drop(state);
            started.runtime.spawn(work(Arc::clone(&self), backend));
        }
    }

    /// Drops what waits for a database that is not the shadow of its keyspace any more.
    pub(super) fn keep_to(&self, setup: &Setup) {
        let mut left = Vec::new();
        for queue in self.lock().queues.values_mut() {
            let (kept, gone) = std::mem::take(&mut queue.waiting).into_iter().partition(|job| job.is_of(setup));
            queue.waiting = kept;
            let gone: VecDeque<Job> = gone;
            queue.values -= gone.iter().map(|job| job.values).sum::<usize>();
            left.extend(gone);
        }
        left.iter().for_each(|job| self.dropped(&job.shadow));
    }

    fn dropped(&self, shadow: &Snapshot) {
        let Some(started) = self.started.get() else { return };
        let backend = shadow.backend.name();
        started.metrics.shadow.read(&shadow.keyspace.name, backend, ShadowOutcome::Dropped);
        self.lock().report.dropped += 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    /// Whether its shadow is still the one that a setup names.
    fn is_of(&self, setup: &Setup) -> bool {
        let name = self.shadow.backend_name;
        setup.config.shadow_of(&self.shadow.keyspace.name) == Some(name)
            && setup.backends.get(&name).is_some_and(|backend| Arc::ptr_eq(backend, &self.shadow.backend))
    }
}

impl State {
    fn queue(&mut self, backend: BackendName) -> &mut Queue {
        self.queues.entry(backend).or_default()
    }
}

impl Queue {
    fn has_room(&self, values: usize, limits: &ShadowLimits) -> bool {
        self.waiting.len() < limits.queue && self.values.saturating_add(values) <= limits.values
    }
}

/// Works until nothing waits for a database any more.
async fn work(shadow: Arc<Shadow>, backend: BackendName) {
    let mut place = Place { shadow: &shadow, backend, values: 0, given_up: false };
    while let Some(job) = place.next() {
        let found = read::run(&job).await;
        if let Some(started) = shadow.started.get() {
            read::count(&job, &found, &started.metrics);
        }
        shadow.lock().report.take(&job, found);
    }
}

/// A place among those who work, given back when its holder ends, also by a panic.
struct Place<'a> {
    shadow: &'a Shadow,
    backend: BackendName,
    /// Those of the read under way.
    values: usize,
    given_up: bool,
}

impl Place<'_> {
    fn next(&mut self) -> Option<Job> {
        let mut state = self.shadow.lock();
        let queue = state.queue(self.backend);
        queue.values = queue.values.saturating_sub(std::mem::take(&mut self.values));
        match queue.waiting.pop_front() {
            Some(job) => {
                self.values = job.values;
                Some(job)
            }
            // Under the same lock, so that no read comes in between for which nobody would work.
            None => {
                queue.under_way -= 1;
                self.given_up = true;
                None
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.given_up {
            let mut state = self.shadow.lock();
            let queue = state.queue(self.backend);
            queue.under_way -= 1;
            queue.values = queue.values.saturating_sub(self.values);
        }
    }
}
