//! M3DB through its coordinator: remote read and write as in `remote`, with what is peculiar to it.
//!
//! - Only stored points are read, never those of an aggregated namespace, which the coordinator would else take for ranges
//!   beyond the retention.
//! - A point at the very end of what is asked for is not read, and an expression never matches a missing label: those filters
//!   are left out of the request and looked at here.
//! - It says in headers alone when it cut an answer short.
//! - A new stored series whose points span several of its blocks is not found in all of them unless it was known before: one
//!   point is written first, and the others once that one is found. Points of a new series that are older than the retention
//!   are dropped without a word. So all points are read again after they were written.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::BackendError;
use super::client::Reply;
use super::remote::{Dialect, Names, Remote, Server, StoredSeries, WriteRequest, described, first_points};
use crate::series::Point;

const NAME: &str = "m3db";
/// The last instant that its nanoseconds can hold.
const LAST_INSTANT: i64 = i64::MAX / 1_000_000;
/// How long points may take until they are found, after how long they are sent again, and how long between two looks, at first
/// and at most.
const PATIENCE: Duration = Duration::from_secs(30);
const RESEND: Duration = Duration::from_secs(5);
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
const OUT_OF_RETENTION: &str = "; points must lie within the retention of its namespace, and at most minutes ahead of its clock: \
                                move them with --shift-to-now, or lengthen the retention";
/// How long a series that was found is taken to be known, and how many are remembered.
const KNOWN_FOR: Duration = Duration::from_secs(60);
const MAX_KNOWN: usize = 1_000_000;

/// An M3DB coordinator.
#[derive(Debug)]
pub struct M3db {
    remote: Remote,
    /// Hashes of the stored series that were found lately, and when.
    known: Mutex<HashMap<u64, Instant>>,
    hasher: RandomState,
}

impl M3db {
    /// The coordinator at `url`; a request may take `timeout`. With `legacy_names` characters beyond `[A-Za-z0-9_:]` are `_`.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(url: &str, legacy_names: bool, timeout: Duration) -> Result<M3db, BackendError> {
        let dialect = Dialect {
            backend: NAME,
            read_path: "/api/v1/prom/remote/read",
            write_path: "/api/v1/prom/remote/write",
            headers: &[
                ("m3-metrics-type", "unaggregated"),
                ("m3-limit-require-exhaustive", "true"),
                // The other one refuses the names that ours may be.
                ("m3-engine", "m3query"),
            ],
            names: if legacy_names { Names::Legacy } else { Names::AsTheyAre },
            matches_missing: false,
            end_is_read: false,
            instants: 0..LAST_INSTANT,
            limited,
        };
        let remote = Remote::new(dialect, url, timeout)?;
        Ok(M3db { remote, known: Mutex::default(), hasher: RandomState::new() })
    }

    fn hash(&self, series: &StoredSeries) -> u64 {
        self.hasher.hash_one(series.labels.iter().map(|label| (&label.name, &label.value)).collect::<Vec<_>>())
    }

    fn is_known(&self, series: &StoredSeries) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&self.hash(series)).is_some_and(|found| found.elapsed() < KNOWN_FOR)
    }

    fn learn(&self, found: &WriteRequest) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + found.series.len() > MAX_KNOWN {
            known.clear();
        }
        let now = Instant::now();
        known.extend(found.series.iter().map(|series| (self.hash(series), now)));
    }

    async fn send(&self, request: &WriteRequest) -> Result<(), BackendError> {
        let reply = self.remote.store(request).await?;
        if reply.is_success() { Ok(()) } else { Err(self.refused(&reply)) }
    }

    fn refused(&self, reply: &Reply) -> BackendError {
        let words = reply.words();
        let hint = match words.contains("too far in past") || words.contains("too far in future") {
            true => OUT_OF_RETENTION,
            false => "",
        };
        self.remote.failed(format!("{words}{hint}"))
    }

    /// Stores points and waits until all are found.
    async fn store(&self, request: &WriteRequest) -> Result<(), BackendError> {
        self.send(request).await?;
        let begun = Instant::now();
        let (mut sent_again, mut pause) = (false, PAUSES.0);
        let mut missing = self.remote.missing(request).await?;
        while let Some(first) = described(&missing) {
            if begun.elapsed() > PATIENCE {
                let reason = format!("it took points and does not give them back: {first}{OUT_OF_RETENTION}");
                return Err(self.remote.failed(reason));
            }
            if begun.elapsed() > RESEND && !sent_again {
                self.send(&missing).await?;
                sent_again = true;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
            missing = self.remote.missing(&missing).await?;
        }
        self.learn(request);
        Ok(())
    }
}

/// What the headers of an answer say that was left out of it; the status does not.
fn limited(headers: &HeaderMap) -> Option<String> {
    #[derive(Deserialize)]
    struct Returned {
        #[serde(rename = "Limited")]
        limited: bool,
    }
    let told = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if let Some(limit) = told("m3-results-limited").filter(|limit| !limit.is_empty()) {
        return Some(limit);
    }
    ["m3-returned-data-limited", "m3-returned-metadata-limited"].into_iter().filter_map(told).find(|returned| {
        // What cannot be understood is no word that all is there.
        serde_json::from_str::<Returned>(returned).map_or(true, |returned| returned.limited)
    })
}

#[async_trait]
impl Server for M3db {
    fn remote(&self) -> &Remote {
        &self.remote
    }

    async fn write(&self, points: &[Point]) -> Result<(), BackendError> {
        for request in self.remote.write_requests(points)? {
            let new = first_points(&request, |series| !self.is_known(series));
            if !new.series.is_empty() {
                self.store(&new).await?;
            }
            self.store(&request).await?;
        }
        Ok(())
    }

    async fn check_health(&self) -> Result<(), BackendError> {
        let reply = self.remote.client().get("/ready").await?;
        if !reply.is_success() {
            return Err(self.remote.error(&reply));
        }
        // It says so too while it has no namespace.
        match namespaces(&reply.body) {
            0 => Err(self.remote.failed("it has no namespace that can be read; make its database first".to_owned())),
            _ => Ok(()),
        }
    }
}

fn namespaces(ready: &[u8]) -> usize {
    #[derive(Deserialize)]
    struct Ready {
        #[serde(default, rename = "readyReads")]
        reads: Vec<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Ready>(ready).map_or(0, |ready| ready.reads.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_cut_says_so_in_its_headers_alone() {
        let told = |name: &'static str, value: &'static str| {
            limited(&HeaderMap::from_iter([(reqwest::header::HeaderName::from_static(name), value.parse().unwrap())]))
        };
        // As M3DB 1.5.0 sent them.
        let cut = [
            ("m3-results-limited", "max_fetch_series_limit_applied"),
            ("m3-returned-data-limited", r#"{"Series":3,"Datapoints":33,"TotalSeries":100,"Limited":true}"#),
            ("m3-returned-metadata-limited", r#"{"Results":1,"TotalResults":2,"Limited":true}"#),
            ("m3-returned-data-limited", "yes"),
        ];
        for (name, value) in cut {
            assert_eq!(told(name, value).as_deref(), Some(value));
        }
        let whole = [
            ("m3-returned-data-limited", r#"{"Series":5,"Datapoints":55,"TotalSeries":5,"Limited":false}"#),
            ("m3-returned-metadata-limited", r#"{"Results":8,"TotalResults":8,"Limited":false}"#),
            ("m3-series-count", "5"),
        ];
        for (name, value) in whole {
            assert_eq!(told(name, value), None);
        }
    }

    #[test]
    fn it_is_ready_when_it_names_a_namespace() {
        assert_eq!(namespaces(b"{}"), 0);
        assert_eq!(namespaces(b"<html>"), 0);
        let ready =
            br#"{"readyReads":[{"id":"default","attributes":{"metricsType":"unaggregated"}}],"readyWrites":[]}"#;
        assert_eq!(namespaces(ready), 1);
    }
}
