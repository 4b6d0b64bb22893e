//! Prometheus, and what speaks its API: remote read and write as in `remote`, with what is peculiar to it.
//!
//! It takes no dots in names, refuses points older than what it has beyond a window that its configuration sets, and drops
//! silently what is not sorted or what it has already: points are sorted first, and read again after they were written.

pub mod openmetrics;

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;

use super::BackendError;
use super::client::Reply;
use super::remote::{Dialect, Names, Remote, Server, WriteRequest, described};
use crate::series::Point;

const NAME: &str = "prometheus";
/// The instants that its own clients can ask about: 64-bit nanoseconds, in milliseconds.
const INSTANTS: Range<i64> = i64::MIN / 1_000_000..i64::MAX / 1_000_000;

/// A Prometheus server.
#[derive(Debug)]
pub struct Prometheus {
    remote: Remote,
}

impl Prometheus {
    /// The server at `url`; a request may take `timeout`.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(url: &str, timeout: Duration) -> Result<Prometheus, BackendError> {
        let dialect = Dialect {
            backend: NAME,
            read_path: "/api/v1/read",
            write_path: "/api/v1/write",
            headers: &[],
            names: Names::Prometheus,
            matches_missing: true,
            end_is_read: true,
            instants: INSTANTS,
            limited: |_| None,
        };
        Ok(Prometheus { remote: Remote::new(dialect, url, timeout)? })
    }

    fn refused(&self, reply: &Reply) -> BackendError {
        let words = reply.words();
        let hint = match reply.status {
            404 | 405 => "; it takes points only when it is started with --web.enable-remote-write-receiver",
            400 | 500 if ["out of order", "out of bounds", "too old"].iter().any(|fault| words.contains(fault)) => {
                "; it takes points older than what it has only within storage.tsdb.out_of_order_time_window of its \
                 configuration file"
            }
            _ => "",
        };
        self.remote.failed(format!("{words}{hint}"))
    }

    /// Makes sure that what was written can be read.
    async fn check(&self, written: &WriteRequest) -> Result<(), BackendError> {
        match described(&self.remote.missing(written).await?) {
            Some(missing) => Err(self.remote.failed(format!(
                "it dropped points without a word: {missing}; it keeps the first value of a point that is written twice, and \
                 nothing older than its retention"
            ))),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Server for Prometheus {
    fn remote(&self) -> &Remote {
        &self.remote
    }

    async fn write(&self, points: &[Point]) -> Result<(), BackendError> {
        for request in self.remote.write_requests(points)? {
            let reply = self.remote.store(&request).await?;
            if !reply.is_success() {
                return Err(self.refused(&reply));
            }
            self.check(&request).await?;
        }
        Ok(())
    }

    async fn check_health(&self) -> Result<(), BackendError> {
        // Not its own path for that, which others that speak its API do not have.
        let reply = self.remote.client().get("/api/v1/query?query=vector(1)").await?;
        if !reply.is_success() {
            return Err(self.remote.error(&reply));
        }
        // What is read is read elsewhere, which others that answer this may not have.
        self.remote.check_read().await
    }
}
