//! Who may begin: the rate and the concurrency of each keyspace.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::QueryError;
use crate::config::KeyspaceConfig;

/// The gates of the keyspaces that have limits of their own. A gate is made anew when its limits change.
#[derive(Default)]
pub struct Admission {
    gates: Mutex<HashMap<String, Arc<Gate>>>,
}

struct Gate {
    queries_per_second: Option<u32>,
    concurrency: Option<usize>,
    rate: Option<DefaultDirectRateLimiter>,
    permits: Option<Arc<Semaphore>>,
}

/// Held while a request is under way.
pub type Permit = Option<OwnedSemaphorePermit>;

impl Admission {
    /// Lets a request begin, or says which limit keeps it out.
    ///
    /// # Errors
    /// [`QueryError::RateLimited`] or [`QueryError::Overloaded`].
    pub fn admit(&self, keyspace: &str, config: &KeyspaceConfig) -> Result<Permit, QueryError> {
        if config.queries_per_second.is_none() && config.concurrency.is_none() {
            return Ok(None);
        }
        let gate = self.gate(keyspace, config);
        if let (Some(rate), Some(limit)) = (&gate.rate, gate.queries_per_second) {
            rate.check().map_err(|until| QueryError::RateLimited {
                limit,
                retry_after: until.wait_time_from(DefaultClock::default().now()),
            })?;
        }
        match &gate.permits {
            None => Ok(None),
            Some(permits) => match Arc::clone(permits).try_acquire_owned() {
                Ok(permit) => Ok(Some(permit)),
                Err(_) => Err(QueryError::Overloaded { keyspace: true }),
            },
        }
    }

    fn gate(&self, keyspace: &str, config: &KeyspaceConfig) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |gate: &&Arc<Gate>| {
            gate.queries_per_second == config.queries_per_second && gate.concurrency == config.concurrency
        };
        if let Some(gate) = gates.get(keyspace).filter(fresh) {
            return Arc::clone(gate);
        }
        let quota = config.queries_per_second.and_then(NonZeroU32::new).map(Quota::per_second);
        let gate = Arc::new(Gate {
            queries_per_second: config.queries_per_second,
            concurrency: config.concurrency,
            rate: quota.map(RateLimiter::direct),
            permits: config.concurrency.map(|permits| Arc::new(Semaphore::new(permits))),
        });
        gates.insert(keyspace.to_owned(), Arc::clone(&gate));
        gate
    }
}
