//! Elasticsearch over its HTTP interface.
//!
//! - `mapping` reads what a metric says of documents of another form, and `form` makes of it which fields are read;
//! - `slice` cuts a time axis into stretches of equally long buckets;
//! - `request` makes the searches of one `_msearch`, `decode` reads its answer, `run` plans pages, `fold` makes frames;
//! - `write` makes the bodies of `_bulk`.
//!
//! Sums, counts, least and greatest values come from a `composite` aggregation by group and bucket: it has a row only where
//! there is a document, it pages, and its buckets have a fixed length. Percentiles of its own are estimates, so that the values
//! of each bucket are read with how often each occurs; first and last are read by the millisecond. Counters and distinct
//! counts need to tell stored series apart, of which Elasticsearch knows nothing: their documents themselves are read.

mod decode;
mod fold;
mod form;
mod listing;
mod mapping;
mod request;
mod run;
mod slice;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::Method;

use super::client::{Client, Reply};
use super::{
    Backend, BackendError, CallPreview, SelectBatch, Selected, Selection, SelectionError, StoredSeries, ValuesQuery,
};
use crate::series::Point;
use form::{FieldTypes, Form};
use listing::Refused;
use run::Run;
use write::Stored;

/// Its name, in keyspace files too.
pub const NAME: &str = "elasticsearch";
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const JSON: (&str, &str) = ("content-type", "application/json");
const HEALTH: &str = "/_cluster/health?filter_path=status";

/// Of a search in an index that is not there.
const NO_INDEX: &str = "index_not_found_exception";
/// Names whose tags are asked for in one request.
const LISTED_AT_ONCE: usize = 200;

/// Rows of one search: `search.max_buckets` of a server that nobody changed.
const PAGE: usize = 65_536;
/// Documents of one search: `index.max_result_window` of an index that nobody changed.
const HITS: usize = 10_000;
/// Requests for one batch at most.
const MAX_CALLS: u32 = 2_000;
/// Selections whose density is remembered, and indexes whose fields are.
const MAX_REMEMBERED: usize = 10_000;
/// How long the fields of an index are taken to stay as they are, and how long a field that it lacks to stay away.
const FIELDS_AGE: Duration = Duration::from_secs(600);
const LACKING_AGE: Duration = Duration::from_secs(10);
/// How often a body is sent for which the server has no room, or no time.
const WRITE_ATTEMPTS: u32 = 5;

/// Whether the entry of a metric's `backends` is one that is read here: JSON text of an object.
///
/// # Errors
/// What is wrong with it and what would be right.
pub fn check_mapping(text: &str) -> Result<(), String> {
    mapping::parse(text).map(|_| ())
}

/// The index, or the pattern of several, that a metric's mapping names.
pub fn mapped_index(text: &str) -> Option<String> {
    mapping::parse(text).ok()?.index
}

/// An Elasticsearch server.
#[derive(Debug)]
pub struct Elasticsearch {
    client: Client,
    index: String,
    /// Rows that one search may have on this server.
    page: AtomicUsize,
    /// Rows a millisecond of selections that were read, so that the next read of one is cut into searches that fit a page.
    densities: Mutex<HashMap<u64, f64>>,
    fields: Mutex<HashMap<String, KnownFields>>,
    template_is_there: AtomicBool,
}

/// The fields of an index, as they were.
#[derive(Debug, Clone)]
struct KnownFields {
    types: Arc<FieldTypes>,
    at: Instant,
}

impl Elasticsearch {
    /// The server at `url`; metrics without a mapping are read from `index`, and points are written to it. A request may take
    /// `timeout`.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(
        url: &str,
        index: &str,
        user: Option<(String, Option<String>)>,
        timeout: Duration,
    ) -> Result<Elasticsearch, BackendError> {
        let client = Client::new(NAME, url, timeout)?;
        let client = match user {
            Some((user, password)) => client.with_user(user, password),
            None => client,
        };
        Ok(Elasticsearch {
            client,
            index: index.to_owned(),
            page: AtomicUsize::new(PAGE),
            densities: Mutex::default(),
            fields: Mutex::default(),
            template_is_there: AtomicBool::new(false),
        })
    }

    fn failed(&self, reason: String) -> BackendError {
        BackendError::Failed { backend: NAME, reason }
    }

    /// The form of each selection's documents. `calls` counts the indexes that were asked for their fields.
    async fn forms<'s>(
        &self,
        reads: impl Iterator<Item = (&'s str, BTreeSet<&'s String>)>,
        calls: &mut u32,
    ) -> Result<Vec<Result<Form, SelectionError>>, BackendError> {
        let mut forms = Vec::new();
        for (text, tags) in reads {
            let mapping = match self.mapping(text) {
                Ok(None) => {
                    forms.push(Ok(Form::ours(&self.index, &tags)));
                    continue;
                }
                Ok(Some(mapping)) => mapping,
                Err(error) => {
                    forms.push(Err(error));
                    continue;
                }
            };
            let index = mapping.index.as_deref().unwrap_or(&self.index);
            let types = self.types(index, &mapping, &tags, calls).await?;
            forms.push(Form::mapped(&self.index, &mapping, &tags, &types).map_err(SelectionError::Unsupported));
        }
        Ok(forms)
    }

    fn mapping(&self, text: &str) -> Result<Option<mapping::Mapping>, SelectionError> {
        if text.is_empty() {
            return Ok(None);
        }
        mapping::parse(text).map(Some).map_err(SelectionError::Unsupported)
    }

    /// The fields of an index: those that are remembered, unless they are old or lack a tag.
    async fn types(
        &self,
        index: &str,
        mapping: &mapping::Mapping,
        tags: &BTreeSet<&String>,
        calls: &mut u32,
    ) -> Result<Arc<FieldTypes>, BackendError> {
        let remembered = self.remembered_types(index);
        if let Some(KnownFields { types, at }) = remembered {
            let lacks = tags.iter().any(|tag| !form::is_known(tag, mapping, &types));
            if at.elapsed() < if lacks { LACKING_AGE } else { FIELDS_AGE } {
                return Ok(types);
            }
        }
        let reply = self.client.get(&form::fields_path(index)).await?;
        *calls += 1;
        let types = match reply.status {
            200 => form::decode_fields(&reply.body).map_err(|reason| self.failed(reason))?,
            // The search will say that there is no such index.
            404 => FieldTypes::default(),
            _ => return Err(self.failed(reply.words())),
        };
        let known = KnownFields { types: Arc::new(types), at: Instant::now() };
        let mut fields = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        if fields.len() >= MAX_REMEMBERED {
            fields.clear();
        }
        fields.insert(index.to_owned(), known.clone());
        Ok(known.types)
    }

    fn remembered_types(&self, index: &str) -> Option<KnownFields> {
        self.fields.lock().unwrap_or_else(PoisonError::into_inner).get(index).cloned()
    }

    fn density(&self, selection: &Selection) -> Option<f64> {
        self.densities.lock().unwrap_or_else(PoisonError::into_inner).get(&shape(selection)).copied()
    }

    fn learn_density(&self, selection: &Selection, density: f64) {
        let mut densities = self.densities.lock().unwrap_or_else(PoisonError::into_inner);
        if densities.len() >= MAX_REMEMBERED {
            densities.clear();
        }
        densities.insert(shape(selection), density);
    }

    async fn list(&self, body: Vec<u8>) -> Result<Reply, BackendError> {
        let reply = self.client.post(listing::PATH, &[NDJSON], body).await?;
        if reply.status == 200 { Ok(reply) } else { Err(self.failed(reply.words())) }
    }

    async fn search(&self, body: Vec<u8>) -> Result<Reply, BackendError> {
        self.client.post(request::PATH, &[NDJSON], body).await
    }

    /// Sees to it that an index that comes with the first document has the right fields, and that one that is there has.
    async fn prepare_index(&self) -> Result<(), BackendError> {
        if self.template_is_there.load(Ordering::Relaxed) {
            return Ok(());
        }
        let path = format!("/_index_template/{}", request::in_path(&self.index));
        let found = self.client.get(&path).await?;
        if found.status == 404 {
            let made = self.client.send(Method::PUT, &path, &[JSON], Bytes::from(write::template(&self.index))).await?;
            if !made.is_success() {
                return Err(self.failed(format!("it refused the template of its index: {}", made.words())));
            }
        } else if !found.is_success() {
            return Err(self.failed(found.words()));
        }
        let fields = self.client.get(&form::fields_path(&self.index)).await?;
        if fields.is_success() {
            let types = form::decode_fields(&fields.body).map_err(|reason| self.failed(reason))?;
            write::check_fields(&self.index, &types).map_err(|reason| self.failed(reason))?;
        }
        self.template_is_there.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn store(&self, points: &[Point], body: Vec<u8>) -> Result<(), BackendError> {
        // What is acknowledged can be read.
        let path = format!(
            "/{}/_bulk?refresh=true&filter_path=errors,items.*.status,items.*.error",
            request::in_path(&self.index)
        );
        let body = Bytes::from(body);
        let mut attempt = 1;
        loop {
            let reply = match self.client.post(&path, &[NDJSON], body.clone()).await {
                Ok(reply) => reply,
                // What was stored meanwhile is stored again, as itself.
                Err(BackendError::Timeout { .. }) if attempt < WRITE_ATTEMPTS => {
                    attempt += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let later = match reply.status {
                200 => match write::outcome(&reply.body).map_err(|reason| self.failed(reason))? {
                    Stored::All => return Ok(()),
                    Stored::Later(words) => words,
                    Stored::Refused(count, first, words) => {
                        let of = points
                            .get(first)
                            .map_or(String::new(), |point| format!("{} {:?}", point.series, point.tags));
                        let of: String = of.chars().take(200).collect();
                        return Err(self.failed(format!("points refused: {count}; the first, of {of}: {words}")));
                    }
                },
                429 | 503 => reply.words(),
                _ => return Err(self.failed(reply.words())),
            };
            if attempt == WRITE_ATTEMPTS {
                return Err(self.failed(later));
            }
            tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
            attempt += 1;
        }
    }
}

/// What makes two reads alike but for their range.
fn shape(selection: &Selection) -> u64 {
    let mut hasher = DefaultHasher::new();
    let Selection { series, filter, kind, aggregate, group_by, mapping, axis, whole: _, approximate: _ } = selection;
    let bucket = axis.end_of(0) - axis.from();
    (series, filter, kind, request::Depth::of(*kind, *aggregate), group_by, mapping, bucket).hash(&mut hasher);
    hasher.finish()
}

fn tags_of(selection: &Selection) -> BTreeSet<&String> {
    selection.group_by.iter().chain(selection.filter.keys()).collect()
}

#[async_trait]
impl Backend for Elasticsearch {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn select(&self, batch: &SelectBatch) -> Result<Selected, BackendError> {
        let mut calls = 0;
        let reads = batch.selections.iter().map(|selection| (&*selection.mapping, tags_of(selection)));
        let forms = self.forms(reads, &mut calls).await?;
        let page = self.page.load(Ordering::Relaxed);
        let mut run = Run::new(batch, &forms, page, |selection| self.density(selection));
        while let Some((searches, body)) = run.next_request() {
            if calls >= MAX_CALLS {
                run.give_up(&format!("not asked for after {calls} requests"));
                break;
            }
            let reply = self.search(body).await?;
            calls += 1;
            match reply.status {
                200 => {
                    let items = decode::items(&reply.body, searches.len()).map_err(|reason| self.failed(reason))?;
                    run.take(searches, items);
                }
                400 | 413 => run.take_unreadable(searches, reply.words()),
                _ => return Err(self.failed(reply.words())),
            }
        }
        self.page.fetch_min(run.page(), Ordering::Relaxed);
        let mut frames = Vec::with_capacity(batch.selections.len());
        let finished = run.finish().map_err(|words| self.failed(words))?;
        for (selection, outcome) in batch.selections.iter().zip(finished) {
            if let Some(density) = outcome.density {
                self.learn_density(selection, density);
            }
            frames.push(outcome.frame);
        }
        Ok(Selected { frames, calls })
    }

    fn preview(&self, batch: &SelectBatch) -> Vec<CallPreview> {
        let mut unknown = BTreeSet::new();
        let mut form = |selection: &Selection| {
            let tags = tags_of(selection);
            let Some(mapping) = self.mapping(&selection.mapping)? else { return Ok(Form::ours(&self.index, &tags)) };
            let index = mapping.index.as_deref().unwrap_or(&self.index);
            let known = self.remembered_types(index).map(|known| known.types).unwrap_or_else(|| {
                unknown.insert(form::fields_path(index));
                Arc::default()
            });
            Form::mapped(&self.index, &mapping, &tags, &known).map_err(SelectionError::Unsupported)
        };
        let forms: Vec<Result<Form, SelectionError>> = batch.selections.iter().map(&mut form).collect();
        let target = |method: &str, path: &str| format!("{method} {}{path}", self.client.address());
        let fields = |path: &String| CallPreview { target: target("GET", path), body: serde_json::Value::Null };
        let mut calls: Vec<CallPreview> = unknown.iter().map(fields).collect();
        let mut run = Run::new(batch, &forms, self.page.load(Ordering::Relaxed), |selection| self.density(selection));
        while let Some((_, body)) = run.next_request() {
            let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let lines = lines.map(|line| serde_json::from_slice(line).unwrap_or_default()).collect();
            calls.push(CallPreview { target: target("POST", request::PATH), body: serde_json::Value::Array(lines) });
        }
        calls
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
        let reads = queries.iter().map(|query| (&*query.mapping, query.filter.keys().chain([&query.tag]).collect()));
        let mut body = Vec::new();
        let mut forms = Vec::new();
        for (query, form) in queries.iter().zip(self.forms(reads, &mut 0).await?) {
            let form = form.map_err(|error| self.failed(error.to_string()))?;
            // One more than may be told shows that there are more, and another may be the empty value.
            body.extend(request::values_lines(query, &form, &range, limit.saturating_add(2).min(PAGE)));
            forms.push(form);
        }
        let reply = self.search(body).await?;
        if reply.status != 200 {
            return Err(self.failed(reply.words()));
        }
        let lists = decode::tag_values(&reply.body, forms.len()).map_err(|reason| self.failed(reason))?;
        let mut values = BTreeSet::new();
        let mut truncated = false;
        for (form, list) in forms.iter().zip(lists) {
            match list {
                Ok((found, more)) => {
                    values.extend(found.into_iter().filter(|value| !value.is_empty()));
                    truncated |= more;
                }
                Err(refusal) if form.is_awaited && refusal.kind == NO_INDEX => {}
                Err(refusal) => return Err(self.failed(refusal.words)),
            }
        }
        truncated |= values.len() > limit;
        Ok((values.into_iter().take(limit).collect(), truncated))
    }

    async fn list_series(&self, pattern: &str, limit: usize) -> Result<(Vec<StoredSeries>, bool), BackendError> {
        let lines = listing::names_lines(&self.index, pattern, limit.saturating_add(1).min(PAGE));
        let reply = self.list(lines).await?;
        let mut names = match listing::names(&reply.body) {
            Ok(names) => names,
            Err(Refused::Search(refusal)) if refusal.kind == NO_INDEX => return Ok((Vec::new(), false)),
            Err(refused) => return Err(self.failed(refused.words())),
        };
        let truncated = names.len() > limit;
        names.truncate(limit);
        let fields = self.client.get(&form::fields_path(&self.index)).await?;
        if fields.status != 200 {
            return Err(self.failed(fields.words()));
        }
        let types = form::decode_fields(&fields.body).map_err(|reason| self.failed(reason))?;
        let tags = listing::tags(&types);
        let mut series = Vec::new();
        for names in names.chunks(LISTED_AT_ONCE) {
            let lines = names.iter().flat_map(|name| listing::tags_lines(&self.index, name, &tags)).collect();
            let reply = self.list(lines).await?;
            let found = listing::stored_series(&reply.body, names.to_vec(), &tags);
            series.extend(found.map_err(|refused| self.failed(refused.words()))?);
        }
        Ok((series, truncated))
    }

    async fn write(&self, points: &[Point]) -> Result<(), BackendError> {
        self.prepare_index().await?;
        let mut written = 0;
        for (count, body) in write::bodies(points) {
            self.store(&points[written..], body).await?;
            written += count;
        }
        Ok(())
    }

    async fn check_health(&self) -> Result<(), BackendError> {
        let reply = self.client.get(HEALTH).await?;
        if !reply.is_success() {
            return Err(self.failed(reply.words()));
        }
        // What answers 200 to everything is another server.
        match serde_json::from_slice::<serde_json::Value>(&reply.body) {
            Ok(health) if health["status"].is_string() => Ok(()),
            _ => Err(self.failed(format!("what answers at {HEALTH} is no Elasticsearch; mend its address"))),
        }
    }
}
