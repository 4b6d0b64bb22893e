//! Keys that are to be handled: each once however often it was added, one handler at a time a key, again later where that
//! failed. Nothing is ever dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::backoff::Backoff;

/// What became of a key that was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is done with, until it is added again.
    Done,
    /// It failed: again, the later the more often it failed.
    Retry,
    /// Nothing failed, but it must be looked at again.
    After(Duration),
}

/// The queue at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    /// Keys that wait for a handler, or are with one.
    pub depth: usize,
    /// How long the oldest of them has been there.
    pub age: Duration,
    /// Keys that wait for their time to be tried again.
    pub retrying: usize,
}

/// One key that was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The key.
    pub key: String,
    /// When what it was added for was noticed.
    pub since: Instant,
    /// How often it failed since it was last done.
    pub failures: u32,
}

/// Keys on their way to handlers.
#[derive(Debug)]
pub struct WorkQueue {
    state: Mutex<State>,
    backoff: Backoff,
    /// Something may be due earlier than before.
    added: Notify,
    /// Something was handed back.
    settled: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// By key: when it is due, and since when it waits.
    waiting: BTreeMap<String, Waiting>,
    /// The same by time, so that the next one is found at once.
    order: BTreeSet<(Instant, String)>,
    /// Handed out, each with since when it waited.
    handled: BTreeMap<String, Instant>,
    /// Added while they were handed out.
    again: BTreeMap<String, Instant>,
    failures: BTreeMap<String, u32>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    due: Instant,
    since: Instant,
}

impl State {
    fn wait(&mut self, key: String, waiting: Waiting) {
        if let Some(before) = self.waiting.insert(key.clone(), waiting) {
            self.order.remove(&(before.due, key.clone()));
        }
        self.order.insert((waiting.due, key));
    }

    /// Makes a key due now. What waited only for its time to be tried again waits since now.
    fn add(&mut self, key: String, since: Instant, now: Instant) {
        if let Some(first) =
            self.handled.get(&key).map(|_| self.again.get(&key).map_or(since, |first| since.min(*first)))
        {
            self.again.insert(key, first);
            return;
        }
        let before = self.waiting.get(&key).filter(|before| before.due <= now);
        let since = before.map_or(since, |before| before.since.min(since));
        self.wait(key, Waiting { due: now, since });
    }
}

impl WorkQueue {
    /// An empty queue.
    pub fn new(backoff: Backoff) -> WorkQueue {
        WorkQueue { state: Mutex::default(), backoff, added: Notify::new(), settled: Notify::new() }
    }

    /// Adds keys for what was noticed at `since`; those that are due already stay where they are.
    pub fn add(&self, keys: impl IntoIterator<Item = String>, since: Instant) {
        let mut state = self.lock();
        let now = Instant::now();
        keys.into_iter().for_each(|key| state.add(key, since.min(now), now));
        drop(state);
        self.added.notify_waiters();
        self.added.notify_one();
    }

    /// Waits for keys that are due, and hands out at most `most` of them. Each must be handed back.
    pub async fn take(&self, most: usize) -> Vec<Taken> {
        loop {
            // Registered before looking, so that nothing is added in between unheard.
            let added = self.added.notified();
            let next = match self.take_due(most) {
                Ok(taken) => return taken,
                Err(next) => next,
            };
            match next {
                Some(next) => tokio::select! { () = tokio::time::sleep_until(next) => {}, () = added => {} },
                None => added.await,
            }
        }
    }

    fn take_due(&self, most: usize) -> Result<Vec<Taken>, Option<Instant>> {
        let mut state = self.lock();
        let now = Instant::now();
        let due = state.order.iter().take_while(|(due, _)| *due <= now).take(most);
        let keys: Vec<(Instant, String)> = due.cloned().collect();
        if keys.is_empty() {
            return Err(state.order.first().map(|(due, _)| *due));
        }
        let mut taken = Vec::with_capacity(keys.len());
        for entry in keys {
            state.order.remove(&entry);
            let (_, key) = entry;
            let since = state.waiting.remove(&key).map_or(now, |waiting| waiting.since);
            state.handled.insert(key.clone(), since);
            let failures = state.failures.get(&key).copied().unwrap_or(0);
            taken.push(Taken { key, since, failures });
        }
        Ok(taken)
    }

    /// Hands a key back.
    pub fn hand_back(&self, key: &str, outcome: Outcome) {
        let mut state = self.lock();
        let now = Instant::now();
        state.handled.remove(key);
        let wait = match outcome {
            Outcome::Done => {
                state.failures.remove(key);
                None
            }
            Outcome::Retry => {
                let failures = state.failures.get(key).map_or(1, |before| before.saturating_add(1));
                state.failures.insert(key.to_owned(), failures);
                Some(self.backoff.after(key, failures))
            }
            Outcome::After(wait) => Some(wait),
        };
        if let Some(since) = state.again.remove(key) {
            state.add(key.to_owned(), since, now);
        } else if let Some(wait) = wait {
            let due = now + wait;
            state.wait(key.to_owned(), Waiting { due, since: due });
        }
        drop(state);
        self.added.notify_waiters();
        self.added.notify_one();
        self.settled.notify_waiters();
    }

    /// Waits until no key is due or with a handler.
    pub async fn idle(&self) {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if self.sample().depth == 0 {
                return;
            }
            settled.await;
        }
    }

    /// How often a key failed since it was last done, and how long until it is tried again.
    pub fn retry(&self, key: &str) -> Option<(u32, Duration)> {
        let state = self.lock();
        let failures = *state.failures.get(key)?;
        let due = state.waiting.get(key).map_or(Duration::ZERO, |waiting| waiting.due - Instant::now());
        Some((failures, due))
    }

    /// The queue at this moment.
    pub fn sample(&self) -> Sample {
        let state = self.lock();
        let now = Instant::now();
        let due = || state.waiting.values().filter(|waiting| waiting.due <= now).map(|waiting| waiting.since);
        let oldest = due().chain(state.handled.values().copied()).chain(state.again.values().copied()).min();
        let waiting = due().count();
        Sample {
            depth: waiting + state.handled.len(),
            age: oldest.map_or(Duration::ZERO, |oldest| now - oldest),
            retrying: state.waiting.len() - waiting,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> WorkQueue {
        WorkQueue::new(Backoff::new(Duration::from_millis(100), Duration::from_secs(10)))
    }

    fn add(queue: &WorkQueue, key: &str) {
        queue.add([key.to_owned()], Instant::now());
    }

    async fn keys(queue: &WorkQueue) -> Vec<String> {
        queue.take(10).await.into_iter().map(|taken| taken.key).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_handed_out_once_and_again_if_it_was_added_meanwhile() {
        let queue = queue();
        add(&queue, "shop");
        add(&queue, "shop");
        assert_eq!(keys(&queue).await, ["shop"]);
        add(&queue, "shop");
        assert_eq!(queue.take_due(10).unwrap_err(), None, "one handler at a time a key");
        assert_eq!(queue.sample().depth, 1);
        queue.hand_back("shop", Outcome::Done);
        assert_eq!(keys(&queue).await, ["shop"], "what was added meanwhile is not lost");
        queue.hand_back("shop", Outcome::Done);
        assert_eq!(queue.sample(), Sample::default());
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_comes_back_later_and_at_once_when_it_changes() {
        let queue = queue();
        add(&queue, "shop");
        let begun = Instant::now();
        let mut waits = Vec::new();
        for failures in 0..4 {
            let taken = queue.take(10).await;
            assert_eq!(taken[0].failures, failures);
            waits.push(begun.elapsed());
            queue.hand_back("shop", Outcome::Retry);
        }
        assert!(waits.windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
        assert_eq!((queue.sample().depth, queue.sample().retrying), (0, 1));
        assert_eq!(queue.retry("shop").map(|(failures, _)| failures), Some(4));
        queue.idle().await;
        let before = Instant::now();
        add(&queue, "shop");
        assert_eq!(keys(&queue).await, ["shop"]);
        assert_eq!(before.elapsed(), Duration::ZERO, "a change does not wait for the retry");
        queue.hand_back("shop", Outcome::Done);
        assert_eq!(queue.retry("shop"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_comes_first_and_idle_waits_for_all() {
        let queue = queue();
        add(&queue, "late");
        tokio::time::advance(Duration::from_millis(5)).await;
        add(&queue, "later");
        assert_eq!(queue.sample().age, Duration::from_millis(5));
        assert_eq!(queue.take(1).await[0].key, "late");
        queue.hand_back("late", Outcome::After(Duration::from_secs(3)));
        let handler = async {
            assert_eq!(queue.take(1).await[0].key, "later");
            tokio::time::sleep(Duration::from_secs(1)).await;
            queue.hand_back("later", Outcome::Done);
        };
        let begun = Instant::now();
        tokio::join!(handler, queue.idle());
        assert_eq!(begun.elapsed(), Duration::from_secs(1), "what is to be looked at later does not count");
        assert_eq!(queue.take(1).await[0].key, "late");
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
    }
}
