//! The shadow: after an answer has gone, the same read goes to a second database, and the two are compared.
//!
//! - [`Shadow`] is the queue: bounded, so that a shadow that is slow, hangs or fails costs users nothing; what is over its limits
//!   is dropped and counted;
//! - `read` sends one read and compares it, `difference` compares the frames of one selection;
//! - `report` keeps the last differences, each with the request that shows it.
//!
//! What a user's request pays is a copy of the values that were read.

mod difference;
mod read;
mod report;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Handle;

use super::Request;
use super::service::Snapshot;
use crate::backend::{Selected, SelectionFrame};
use crate::config::ShadowLimits;
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
    waiting: VecDeque<Job>,
    /// Values kept by what waits and what is under way.
    values: usize,
    under_way: usize,
    report: Report,
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
        state.report.to_json(state.waiting.len(), state.under_way)
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
        if !self.lock().has_room(values, &limits) {
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
        let mut state = self.lock();
        if !state.has_room(job.values, &limits) {
            drop(state);
            return self.dropped(&job.shadow);
        }
        state.values += job.values;
        state.waiting.push_back(job);
        if state.under_way < limits.concurrency {
            state.under_way += 1;
            drop(state);
            started.runtime.spawn(work(Arc::clone(&self)));
        }
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

impl State {
    fn has_room(&self, values: usize, limits: &ShadowLimits) -> bool {
        self.waiting.len() < limits.queue && self.values.saturating_add(values) <= limits.values
    }
}

/// Works until nothing waits any more.
async fn work(shadow: Arc<Shadow>) {
    let mut place = Place { shadow: &shadow, values: 0, given_up: false };
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
    /// Those of the read under way.
    values: usize,
    given_up: bool,
}

impl Place<'_> {
    fn next(&mut self) -> Option<Job> {
        let mut state = self.shadow.lock();
        state.values = state.values.saturating_sub(std::mem::take(&mut self.values));
        match state.waiting.pop_front() {
            Some(job) => {
                self.values = job.values;
                Some(job)
            }
            // Under the same lock, so that no read comes in between for which nobody would work.
            None => {
                state.under_way -= 1;
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
            state.under_way -= 1;
            state.values = state.values.saturating_sub(self.values);
        }
    }
}
