//! What M3DB, Prometheus and those that speak their protocol have in common: remote read and remote write.
//!
//! - `names` turns our names and tags into those that a server can keep;
//! - `request` makes one read of a batch: each stored series and range once, however many selections need it;
//! - `decode` folds the points of its answer into frames;
//! - `write` makes the requests that store points, and finds out which of them cannot be read again;
//! - `values` asks which values a tag has, `listing` which names there are;
//! - `message` has the messages.
//!
//! The points are read as they are and folded here: that is exact, which no query language of these servers is for our
//! buckets, and fast (docs/BENCHMARKS.md). How servers differ is a [`Dialect`].

mod decode;
mod listing;
mod message;
mod names;
mod request;
#[cfg(test)]
mod tests;
mod values;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
pub use message::{Label, NAME_LABEL, StoredSeries, WriteRequest};
pub use names::Names;
use reqwest::Method;
use reqwest::header::HeaderMap;
pub use values::seconds;
pub use write::{described, first_points, stored};

use super::client::{Client, Reply};
use super::{
    Backend, BackendError, CallPreview, SelectBatch, Selected, SelectionError, SelectionFrame, StoredSeries as Listed,
    ValuesQuery,
};
use crate::series::Point;
use decode::Spent;
use request::{Read, Reads, Source};

/// Requests for one batch at most: more than one only after it was refused for one of its reads.
const MAX_CALLS: u32 = 40;

/// How a server differs from the others that speak its protocol.
#[derive(Debug, Clone)]
pub struct Dialect {
    /// The backend's name.
    pub backend: &'static str,
    /// Where it is read.
    pub read_path: &'static str,
    /// Where it is written.
    pub write_path: &'static str,
    /// What every request says besides.
    pub headers: &'static [(&'static str, &'static str)],
    /// The names that it keeps.
    pub names: Names,
    /// Whether an expression that matches the empty text also matches a missing label.
    pub matches_missing: bool,
    /// Whether remote read gives a point at the very end of what is asked for.
    pub end_is_read: bool,
    /// The instants that it can be asked about, in epoch milliseconds.
    pub instants: Range<i64>,
    /// What an answer's headers say that was left out of it.
    pub limited: fn(&HeaderMap) -> Option<String>,
}

impl Dialect {
    /// The end to ask for, so that what is before `to` is read.
    fn end_of(&self, to: i64) -> i64 {
        if self.end_is_read { to - 1 } else { to }
    }
}

/// A kind of server: what it does in its own way. All else every one does as [`Remote`] has it.
#[async_trait]
pub trait Server: Send + Sync + 'static {
    /// The server.
    fn remote(&self) -> &Remote;

    /// As [`Backend::write`].
    async fn write(&self, points: &[Point]) -> Result<(), BackendError>;

    /// As [`Backend::check_health`].
    async fn check_health(&self) -> Result<(), BackendError>;
}

#[async_trait]
impl<S: Server> Backend for S {
    fn name(&self) -> &'static str {
        self.remote().dialect.backend
    }

    async fn select(&self, batch: &SelectBatch) -> Result<Selected, BackendError> {
        self.remote().select(batch).await
    }

    fn preview(&self, batch: &SelectBatch) -> Vec<CallPreview> {
        self.remote().preview(batch)
    }

    async fn tag_values(
        &self,
        queries: &[ValuesQuery],
        range: Range<i64>,
        limit: usize,
    ) -> Result<(Vec<String>, bool), BackendError> {
        self.remote().tag_values(queries, range, limit).await
    }

    async fn list_series(&self, pattern: &str, limit: usize) -> Result<(Vec<Listed>, bool), BackendError> {
        self.remote().list_series(pattern, limit).await
    }

    async fn write(&self, points: &[Point]) -> Result<(), BackendError> {
        Server::write(self, points).await
    }

    async fn check_health(&self) -> Result<(), BackendError> {
        Server::check_health(self).await
    }
}

/// A server.
#[derive(Debug)]
pub struct Remote {
    dialect: Dialect,
    client: Client,
    timeout: Duration,
}

impl Remote {
    /// The server at `url`; a request may take `timeout`.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(dialect: Dialect, url: &str, timeout: Duration) -> Result<Remote, BackendError> {
        let client = Client::new(dialect.backend, url, timeout)?;
        Ok(Remote { dialect, client, timeout })
    }

    /// The connection.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// An error in its own or our words.
    pub fn failed(&self, reason: String) -> BackendError {
        BackendError::Failed { backend: self.dialect.backend, reason }
    }

    /// Fetches a batch in one request.
    ///
    /// # Errors
    /// When nothing could be answered.
    pub async fn select(&self, batch: &SelectBatch) -> Result<Selected, BackendError> {
        let Reads { reads, settled } = Reads::new(&self.dialect, batch);
        let mut frames: Vec<Option<Result<SelectionFrame, SelectionError>>> = vec![None; batch.selections.len()];
        settled.into_iter().for_each(|(selection, frame)| frames[selection] = Some(frame));
        let mut spent = Spent::new(batch.limits);
        let mut pending = vec![reads.as_slice()];
        let mut calls = 0;
        while let Some(reads) = pending.pop() {
            if reads.is_empty() {
                continue;
            }
            if calls == MAX_CALLS {
                let reason = format!("not asked for again after {calls} requests");
                refused(reads, &reason).for_each(|(selection, error)| frames[selection] = Some(Err(error)));
                continue;
            }
            let reply = self.read(&request::message(&self.dialect, reads)).await?;
            calls += 1;
            match reply.status {
                200 => decode::frames(&reply.body, batch, reads, &mut spent)
                    .map_err(|reason| self.failed(reason))?
                    .into_iter()
                    .for_each(|(selection, frame)| frames[selection] = Some(frame)),
                // One of the reads was refused, and the answer does not say which.
                400 | 413 | 422 if reads.len() > 1 => pending.extend(reads.chunks(reads.len().div_ceil(2))),
                400 | 413 | 422 => {
                    refused(reads, &reply.words()).for_each(|(selection, error)| frames[selection] = Some(Err(error)))
                }
                _ => return Err(self.error(&reply)),
            }
        }
        let unanswered = || Err(SelectionError::Refused("it was not answered".to_owned()));
        Ok(Selected { frames: frames.into_iter().map(|frame| frame.unwrap_or_else(unanswered)).collect(), calls })
    }

    /// The call that [`Remote::select`] would make, none where nothing is to be read.
    pub fn preview(&self, batch: &SelectBatch) -> Vec<CallPreview> {
        let reads = Reads::new(&self.dialect, batch).reads;
        let call = || CallPreview {
            target: format!("POST {}{}", self.client.address(), self.dialect.read_path),
            body: request::shown(&request::message(&self.dialect, &reads)),
        };
        (!reads.is_empty()).then(call).into_iter().collect()
    }

    /// The values of tags of the points in a range.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn tag_values(
        &self,
        queries: &[ValuesQuery],
        range: Range<i64>,
        limit: usize,
    ) -> Result<(Vec<String>, bool), BackendError> {
        let mut values = BTreeSet::new();
        for query in queries {
            // A tag that no stored series can have has no values.
            let Ok(label) = self.dialect.names.label(&query.tag) else { continue };
            let Ok(source) = Source::new(&self.dialect, &query.series, &query.filter) else { continue };
            for values::Query { path, mut form } in values::queries(&self.dialect, &source, &range) {
                form.push(("timeout", format!("{}ms", self.timeout.as_millis())));
                let form: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
                let reply = self.well(self.client.post(path, &self.form_headers(), form).await?)?;
                values.extend(values::values(&reply.body, &source, &label).map_err(|reason| self.failed(reason))?);
            }
        }
        values.remove("");
        let truncated = values.len() > limit;
        Ok((values.into_iter().take(limit).collect(), truncated))
    }

    /// The stored names that a pattern describes, with their tags; the names are those that the server keeps.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn list_series(&self, pattern: &str, limit: usize) -> Result<(Vec<Listed>, bool), BackendError> {
        let unreadable = |reason| self.failed(reason);
        let reply =
            self.well(self.client.send(Method::GET, listing::NAMES_PATH, self.dialect.headers, Bytes::new()).await?)?;
        let mut names = listing::names(&reply.body, &self.dialect.names.pattern(pattern)).map_err(unreadable)?;
        let truncated = names.len() > limit;
        names.truncate(limit);
        let mut series = names.iter().map(|name| (name.clone(), BTreeMap::new())).collect();
        for form in listing::forms(&names) {
            let reply = self.well(self.client.post(listing::SERIES_PATH, &self.form_headers(), form).await?)?;
            listing::add_tags(&reply.body, &mut series).map_err(unreadable)?;
        }
        Ok((listing::shown(series), truncated))
    }

    /// The requests that store points, for [`Remote::store`].
    ///
    /// # Errors
    /// Points that cannot be stored.
    pub fn write_requests(&self, points: &[Point]) -> Result<Vec<WriteRequest>, BackendError> {
        write::requests(points, self.dialect.names).map_err(|reason| self.failed(reason))
    }

    /// Stores points, and gives the server's answer whatever it is.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn store(&self, request: &WriteRequest) -> Result<Reply, BackendError> {
        let body = request::body(request).map_err(|reason| self.failed(reason))?;
        self.client.post(self.dialect.write_path, &self.headers("x-prometheus-remote-write-version"), body).await
    }

    /// Of points that were stored, those that cannot be read.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn missing(&self, written: &WriteRequest) -> Result<WriteRequest, BackendError> {
        let mut missing = Vec::new();
        for series in write::looks(written) {
            let reply = self.well(self.read(&write::look(&self.dialect, series)).await?)?;
            missing.extend(write::missing(&reply.body, series).map_err(|reason| self.failed(reason))?);
        }
        Ok(WriteRequest { series: missing })
    }

    /// Makes sure that it can be read: asks for nothing, which has an answer without results.
    ///
    /// # Errors
    /// What answers that is no remote read.
    pub async fn check_read(&self) -> Result<(), BackendError> {
        let reply = self.well(self.read(&message::ReadRequest { queries: Vec::new() }).await?)?;
        let path = self.dialect.read_path;
        decode::results(&reply.body, 0)
            .map(drop)
            .map_err(|_| self.failed(format!("what answers at {path} is no remote read; mend its address")))
    }

    /// What an answer that is no success comes to.
    pub fn error(&self, reply: &Reply) -> BackendError {
        match reply.status {
            504 => BackendError::Timeout {
                backend: self.dialect.backend,
                millis: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
            },
            _ => self.failed(reply.words()),
        }
    }

    async fn read(&self, message: &message::ReadRequest) -> Result<Reply, BackendError> {
        let body = request::body(message).map_err(|reason| self.failed(reason))?;
        let path = format!("{}?timeout={}ms", self.dialect.read_path, self.timeout.as_millis());
        let reply = self.client.post(&path, &self.headers("x-prometheus-remote-read-version"), body).await?;
        self.whole(reply)
    }

    fn headers(&self, version: &'static str) -> Vec<(&'static str, &'static str)> {
        let mut headers = vec![
            ("content-type", "application/x-protobuf"),
            ("content-encoding", "snappy"),
            // Else the client asks for gzip, which takes the server longer than the answer itself.
            ("accept-encoding", "snappy"),
            (version, "0.1.0"),
        ];
        headers.extend(self.dialect.headers);
        headers
    }

    fn form_headers(&self) -> Vec<(&'static str, &'static str)> {
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        headers.extend(self.dialect.headers);
        headers
    }

    /// An answer that is a success and whole.
    fn well(&self, reply: Reply) -> Result<Reply, BackendError> {
        let reply = self.whole(reply)?;
        if reply.status == 200 { Ok(reply) } else { Err(self.error(&reply)) }
    }

    /// An answer from which nothing was left out, if it is a success.
    fn whole(&self, reply: Reply) -> Result<Reply, BackendError> {
        match (self.dialect.limited)(&reply.headers) {
            Some(limited) if reply.is_success() => Err(self.failed(format!("its answer is not whole: {limited}"))),
            _ => Ok(reply),
        }
    }
}

fn refused(reads: &[Read], reason: &str) -> impl Iterator<Item = (usize, SelectionError)> {
    reads
        .iter()
        .flat_map(|read| &read.readers)
        .map(move |reader| (reader.selection, SelectionError::Refused(reason.to_owned())))
}
