//! A backend in the place of another: under any name, and well or not as a test wants it.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tsdb_ws::backend::embedded::EmbeddedStore;
use tsdb_ws::backend::{Backend, BackendError, CallPreview, SelectBatch, Selected, ValuesQuery};
use tsdb_ws::series::Point;

/// How it fares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Health {
    Well,
    /// Nobody listens.
    Down,
    /// It takes requests and never answers.
    Hangs,
    /// It answers what cannot be read.
    Garbage,
    /// It answers after a while.
    Slow(Duration),
    /// It answers exact values and calls them estimates.
    Estimates,
}

/// A store in memory that goes by the name of a database.
pub struct Double {
    name: &'static str,
    store: EmbeddedStore,
    health: Mutex<Health>,
    calls: AtomicU32,
}

impl Double {
    /// One that is well.
    pub async fn holding(name: &'static str, points: &[Point]) -> Arc<Double> {
        let store = EmbeddedStore::open_in_memory().unwrap();
        store.write(points).await.unwrap();
        Arc::new(Double { name, store, health: Mutex::new(Health::Well), calls: AtomicU32::new(0) })
    }

    /// From now on it fares so.
    pub fn fares(&self, health: Health) {
        *self.health.lock().unwrap() = health;
    }

    /// How many batches it was asked for.
    pub fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }

    async fn meet(&self) -> Result<Health, BackendError> {
        let health = *self.health.lock().unwrap();
        let backend = self.name;
        match health {
            Health::Down => {
                let (address, reason) = ("nowhere".to_owned(), "connection refused".to_owned());
                return Err(BackendError::Unreachable { backend, address, reason });
            }
            Health::Garbage => return Err(BackendError::Failed { backend, reason: "not JSON".to_owned() }),
            Health::Hangs => std::future::pending().await,
            Health::Slow(time) => tokio::time::sleep(time).await,
            Health::Well | Health::Estimates => {}
        }
        Ok(health)
    }
}

#[async_trait]
impl Backend for Double {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn select(&self, batch: &SelectBatch) -> Result<Selected, BackendError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let health = self.meet().await?;
        let mut selected = self.store.select(batch).await?;
        if health == Health::Estimates {
            selected.frames.iter_mut().flatten().for_each(|frame| frame.estimated = true);
        }
        Ok(selected)
    }

    fn preview(&self, batch: &SelectBatch) -> Vec<CallPreview> {
        self.store.preview(batch)
    }

    async fn tag_values(
        &self,
        queries: &[ValuesQuery],
        range: Range<i64>,
        limit: usize,
    ) -> Result<(Vec<String>, bool), BackendError> {
        self.meet().await?;
        self.store.tag_values(queries, range, limit).await
    }

    async fn write(&self, points: &[Point]) -> Result<(), BackendError> {
        self.store.write(points).await
    }

    async fn check_health(&self) -> Result<(), BackendError> {
        self.meet().await.map(drop)
    }
}
