//! How long to wait before trying again.

use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

/// Twice as long after each failure, up to a limit, less up to a half by chance, so that what failed together is not tried
/// together again.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    chance: RandomState,
}

impl Backoff {
    /// From `first` to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Backoff {
        Backoff { first, longest, chance: RandomState::new() }
    }

    /// The wait after so many failures of `key` in a row, the first being 1.
    pub fn after(&self, key: impl Hash, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        // 53 bits make a fraction that a float holds exactly.
        let fraction = (self.chance.hash_one((key, failures)) >> 11) as f64 / (1_u64 << 53) as f64;
        whole.mul_f64(1.0 - fraction / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_less_a_chance() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for (failures, whole) in [(1, 100), (2, 200), (4, 800), (5, 1_000), (u32::MAX, 1_000)] {
            let wait = backoff.after("key", failures).as_millis() as u64;
            assert!((whole / 2..=whole).contains(&wait), "{failures}: {wait}");
        }
        let waits: std::collections::BTreeSet<Duration> = (0..50).map(|key| backoff.after(key, 1)).collect();
        assert!(waits.len() > 40, "what failed together is not tried together again");
    }
}
