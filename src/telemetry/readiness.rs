//! Whether the process wants more requests.

use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by whoever shuts the process down and whoever is asked whether it serves. That a repository is loaded is known
/// from the catalog; here is only what the catalog cannot know.
#[derive(Debug, Default)]
pub struct Readiness {
    draining: AtomicBool,
}

impl Readiness {
    /// From now on no new requests are wanted; those under way are answered.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the process is shutting down.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
