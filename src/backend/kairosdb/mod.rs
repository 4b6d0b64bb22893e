//! KairosDB over its HTTP interface.
//!
//! - `request` makes one query of a batch, and says what of it KairosDB computes and what is folded here;
//! - `decode` reads its answer into frames;
//! - `write` makes the bodies that store points;
//! - `listing` asks for stored names and their tags.
//!
//! KairosDB aggregates `sum`, `min`, `max` and `count` exactly, and `avg` is read as sum and count. Its own buckets follow
//! midnights and its own calendar, so that it is asked for buckets of a length that all of ours are multiples of, anchored at
//! the start of the request, and these are folded into ours. Its percentiles are of a random sample, and its first and last
//! know nothing of ties: their points are read raw. So are those of counters and of distinct counts, by stored series.

mod decode;
mod listing;
mod request;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::client::{Client, Reply};
use super::{
    Backend, BackendError, CallPreview, SelectBatch, Selected, SelectionError, SelectionFrame, StoredSeries,
    ValuesQuery,
};
use crate::series::Point;
use decode::Outcome;
use request::{Call, Depth};

const NAME: &str = "kairosdb";
const QUERY: &str = "/api/v1/datapoints/query";
const NAMES: &str = "/api/v1/metricnames";
const TAGS: &str = "/api/v1/datapoints/query/tags";
const WRITE: &str = "/api/v1/datapoints";
const HEALTH: &str = "/api/v1/health/check";
const JSON: (&str, &str) = ("content-type", "application/json");

/// Requests for one batch at most: more than one only after it failed for a selection, or had to learn the tags of a series.
const MAX_CALLS: u32 = 40;
/// Series whose tags are remembered at most.
const MAX_KNOWN: usize = 10_000;

/// The tags that stored series of a name were seen to have.
type KnownTags = BTreeMap<String, BTreeSet<String>>;

/// A KairosDB server.
#[derive(Debug)]
pub struct KairosDb {
    client: Client,
    /// Stored series are told apart by all their tags, which no request can ask for without naming them.
    known: Mutex<KnownTags>,
}

/// Selections of a batch that are still to be asked for.
struct Pending {
    selections: Vec<usize>,
    depth: Depth,
}

impl KairosDb {
    /// The server at `url`; a request may take `timeout`.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(url: &str, timeout: Duration) -> Result<KairosDb, BackendError> {
        Ok(KairosDb { client: Client::new(NAME, url, timeout)?, known: Mutex::default() })
    }

    fn known(&self) -> KnownTags {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, series: &str, tags: BTreeSet<String>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.entry(series.to_owned()).or_default().extend(tags);
    }

    fn failed(&self, reason: String) -> BackendError {
        BackendError::Failed { backend: NAME, reason }
    }

    /// Takes what one answer says of the selections asked for, and gives what is to be asked again.
    fn take(
        &self,
        batch: &SelectBatch,
        asked: Pending,
        call: &Call<'_>,
        reply: &Reply,
        frames: &mut [Option<Result<SelectionFrame, SelectionError>>],
    ) -> Result<Vec<Pending>, BackendError> {
        let words = || reply.words();
        match reply.status {
            200 => {
                let outcomes = decode::frames(&reply.body, batch, call).map_err(|reason| self.failed(reason))?;
                let mut again = Vec::new();
                for (selection, outcome) in outcomes {
                    match outcome {
                        Outcome::Frame(frame) => frames[selection] = Some(frame),
                        Outcome::MoreTags(tags) => {
                            self.learn(&batch.selections[selection].series, tags);
                            again.push(selection);
                        }
                    }
                }
                Ok(vec![Pending { selections: again, depth: asked.depth }])
            }
            400 => {
                let mut refuse = |selection: usize| frames[selection] = Some(Err(SelectionError::Refused(words())));
                let Some(named) = decode::refused_metric(&reply.body).and_then(|metric| call.selection_of(metric))
                else {
                    if let [only] = asked.selections[..] {
                        refuse(only);
                        return Ok(Vec::new());
                    }
                    let (left, right) = asked.selections.split_at(asked.selections.len() / 2);
                    let half = |selections: &[usize]| Pending { selections: selections.to_vec(), depth: asked.depth };
                    return Ok(vec![half(left), half(right)]);
                };
                refuse(named);
                let selections = asked.selections.into_iter().filter(|selection| *selection != named).collect();
                Ok(vec![Pending { selections, depth: asked.depth }])
            }
            // A sum that overflows fails the whole request; the points themselves do not.
            500 if asked.depth == Depth::Buckets && decode::is_not_finite(&reply.body) => {
                Ok(vec![Pending { selections: asked.selections, depth: Depth::Points }])
            }
            _ => Err(self.failed(words())),
        }
    }
}

#[async_trait]
impl Backend for KairosDb {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn select(&self, batch: &SelectBatch) -> Result<Selected, BackendError> {
        let mut frames: Vec<Option<Result<SelectionFrame, SelectionError>>> = vec![None; batch.selections.len()];
        let mut pending = vec![Pending { selections: (0..frames.len()).collect(), depth: Depth::Buckets }];
        let mut calls = 0;
        while let Some(next) = pending.pop() {
            if next.selections.is_empty() {
                continue;
            }
            if calls == MAX_CALLS {
                let reason = format!("not asked for again after {calls} requests");
                next.selections.iter().for_each(|s| frames[*s] = Some(Err(SelectionError::Refused(reason.clone()))));
                continue;
            }
            let call = Call::new(batch, &next.selections, &self.known(), next.depth);
            let reply = self.client.post(QUERY, &[JSON], call.body()).await?;
            calls += 1;
            pending.extend(self.take(batch, next, &call, &reply, &mut frames)?);
        }
        let unanswered = || Err(SelectionError::Refused("it was not answered".to_owned()));
        Ok(Selected { frames: frames.into_iter().map(|frame| frame.unwrap_or_else(unanswered)).collect(), calls })
    }

    fn preview(&self, batch: &SelectBatch) -> Vec<CallPreview> {
        let all: Vec<usize> = (0..batch.selections.len()).collect();
        let call = Call::new(batch, &all, &self.known(), Depth::Buckets);
        let body = serde_json::from_slice(&call.body()).unwrap_or_default();
        vec![CallPreview { target: format!("POST {}{QUERY}", self.client.address()), body }]
    }

    async fn tag_values(
        &self,
        queries: &[ValuesQuery],
        range: Range<i64>,
        limit: usize,
    ) -> Result<(Vec<String>, bool), BackendError> {
        if queries.is_empty() || range.is_empty() {
            return Ok((Vec::new(), false));
        }
        let reply = self.client.post(QUERY, &[JSON], request::values_body(queries, &range)).await?;
        if reply.status != 200 {
            return Err(self.failed(reply.words()));
        }
        let mut values = decode::values(&reply.body, queries).map_err(|reason| self.failed(reason))?;
        values.remove("");
        let truncated = values.len() > limit;
        Ok((values.into_iter().take(limit).collect(), truncated))
    }

    async fn list_series(&self, pattern: &str, limit: usize) -> Result<(Vec<StoredSeries>, bool), BackendError> {
        let reply = self.client.get(NAMES).await?;
        if reply.status != 200 {
            return Err(self.failed(reply.words()));
        }
        let mut names = listing::names(&reply.body, pattern).map_err(|reason| self.failed(reason))?;
        let truncated = names.len() > limit;
        names.truncate(limit);
        if names.is_empty() {
            return Ok((Vec::new(), truncated));
        }
        let reply = self.client.post(TAGS, &[JSON], listing::tags_body(&names)).await?;
        if reply.status != 200 {
            return Err(self.failed(reply.words()));
        }
        let series = listing::stored_series(&reply.body, names).map_err(|reason| self.failed(reason))?;
        Ok((series, truncated))
    }

    async fn write(&self, points: &[Point]) -> Result<(), BackendError> {
        for body in write::bodies(points) {
            let reply = self.client.post(WRITE, &[JSON], body).await?;
            if !reply.is_success() {
                return Err(self.failed(reply.words()));
            }
        }
        Ok(())
    }

    async fn check_health(&self) -> Result<(), BackendError> {
        let reply = self.client.get(HEALTH).await?;
        match reply.status {
            204 => Ok(()),
            // Some balancers want this one (`kairosdb.health.healthyResponseCode`). What answers with a page is another server.
            200 if reply.body.is_empty() => Ok(()),
            200 => Err(self.failed(format!("what answers at {HEALTH} is no KairosDB; mend its address"))),
            _ => Err(self.failed(reply.words())),
        }
    }
}
