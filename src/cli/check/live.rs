//! `check --live`: whether a database holds what keyspaces read.
//!
//! A stored name that it does not hold is an error where a formula reads it. What the same change adds may come before its
//! data: it is known from a base, the last commit or what `--base` names, and is a warning.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, bail};
use jiff::tz::TimeZone;

use crate::app;
use crate::backend::capabilities::Capabilities;
use crate::backend::{Backend, SelectBatch, SelectLimits, Selection, SelectionError, StoredSeries};
use crate::catalog::{self, Catalog, Metric, Read, ReadTag, StoredText};
use crate::config::{BackendName, Config};
use crate::diagnostic::{Diagnostic, Severity, nearest};
use crate::series::{Aggregate, Kind, Step, StepUnit, TimeAxis};

/// So many stored names are looked at of a name that a request completes.
const MAX_SERIES: usize = 200;
/// So many stored names are candidates for "did you mean".
const MAX_CANDIDATES: usize = 2_000;
/// How many formulas, tags or values a message names.
const SHOWN: usize = 5;
/// Two buckets that hold every point there is, aligned to the epoch.
const HALF_A_CENTURY: Step = Step::new(438_000, StepUnit::Hour);

/// Looks up all that the keyspaces of a catalog read, each on its backend.
///
/// # Errors
/// A database that cannot be asked.
pub async fn look(
    config: &Config,
    backend_of: impl Fn(&str) -> BackendName,
    catalog: &Catalog,
    base: Option<&Catalog>,
) -> anyhow::Result<Vec<Diagnostic>> {
    let known = Known::of(base);
    let mut held: BTreeMap<BackendName, Held> = BTreeMap::new();
    let mut found = Vec::new();
    for keyspace in catalog.keyspaces.values() {
        let name = backend_of(&keyspace.name);
        if let std::collections::btree_map::Entry::Vacant(entry) = held.entry(name) {
            entry.insert(Held::open(config, name).await?);
        }
        let Some(held) = held.get_mut(&name) else { continue };
        for read in catalog::reads(keyspace) {
            let mut looked = Look { read: &read, known: &known, found: &mut found };
            looked.up(held).await.with_context(|| format!("cannot see what {} holds", name.as_str()))?;
        }
    }
    Ok(found)
}

/// What the base reads, so that the change does not add it. Without a base, everything.
struct Known(Option<BTreeSet<(String, Option<String>)>>);

impl Known {
    fn of(base: Option<&Catalog>) -> Known {
        let keyspaces = base.map(|base| base.keyspaces.values());
        Known(keyspaces.map(|keyspaces| {
            let reads = keyspaces.flat_map(|keyspace| catalog::reads(keyspace));
            let each = reads.flat_map(|read| {
                let tags: Vec<Option<String>> =
                    read.tags.iter().map(|tag| Some(tag.name.clone())).chain([None]).collect();
                let pairs = read
                    .names
                    .into_iter()
                    .flat_map(move |name| tags.clone().into_iter().map(move |tag| (name.pattern.clone(), tag)));
                pairs.collect::<Vec<_>>()
            });
            each.collect()
        }))
    }

    fn is_new(&self, name: &StoredText, tag: Option<&str>) -> bool {
        self.0.as_ref().is_some_and(|known| !known.contains(&(name.pattern.clone(), tag.map(str::to_owned))))
    }
}

/// What one database holds, as far as it was asked.
struct Held {
    backend: Arc<dyn Backend>,
    capabilities: Capabilities,
    /// By pattern.
    listed: BTreeMap<String, Listed>,
    candidates: Option<Vec<String>>,
}

/// The stored names that one text stands for.
#[derive(Clone, Default)]
struct Listed {
    series: Vec<StoredSeries>,
    /// There are more, or their tags are not all known.
    is_cut: bool,
}

impl Listed {
    /// The values of a tag, of all names; `None` where none bears it.
    fn values(&self, tag: &str) -> Option<BTreeSet<&str>> {
        let bearers = self.series.iter().filter_map(|series| series.tags.get(tag));
        let mut bearers = bearers.peekable();
        bearers.peek()?;
        Some(bearers.flatten().map(String::as_str).collect())
    }

    fn tags(&self) -> BTreeSet<&str> {
        self.series.iter().flat_map(|series| series.tags.keys()).map(String::as_str).collect()
    }
}

impl Held {
    async fn open(config: &Config, name: BackendName) -> anyhow::Result<Held> {
        if name == BackendName::Embedded && !config.store.exists() {
            bail!(
                "there is no store {} to look at; name it with --store, or another database with --backend",
                config.store.display()
            );
        }
        let backend = app::open_backend(config, name)?;
        Ok(Held { backend, capabilities: config.capabilities(name), listed: BTreeMap::new(), candidates: None })
    }

    async fn list(&mut self, name: &StoredText) -> anyhow::Result<Listed> {
        if let Some(listed) = self.listed.get(&name.pattern) {
            return Ok(listed.clone());
        }
        let (mut series, is_cut) = self.backend.list_series(&name.pattern, MAX_SERIES).await?;
        if !name.is_open {
            // A star in the name itself is no wildcard.
            let stored = self.capabilities.names.series(&name.text).into_owned();
            series.retain(|series| series.name == stored);
        }
        let listed = Listed { series, is_cut };
        self.listed.insert(name.pattern.clone(), listed.clone());
        Ok(listed)
    }

    /// What a metric with a mapping reads: where other documents lie, only a read finds them.
    async fn probe(&self, read: &Read<'_>, name: &StoredText, mapping: &str) -> anyhow::Result<Result<Listed, String>> {
        let now = jiff::Timestamp::now().as_millisecond();
        let axis = TimeAxis::covering(0, now.max(1), HALF_A_CENTURY, &TimeZone::UTC, 4)?;
        let mut group_by: Vec<String> = read.tags.iter().map(|tag| tag.name.clone()).collect();
        group_by.sort();
        let selection = Selection {
            series: name.text.clone(),
            filter: BTreeMap::new(),
            kind: Kind::Delta,
            aggregate: Aggregate::Count,
            group_by: group_by.as_slice().into(),
            mapping: mapping.to_owned(),
            approximate: true,
            axis,
            whole: None,
        };
        let limits = SelectLimits { groups: 10_000, cells: 40_000, raw_points: 1 };
        let batch = SelectBatch { selections: vec![selection], step: HALF_A_CENTURY, timezone: TimeZone::UTC, limits };
        let frame = match self.backend.select(&batch).await?.frames.pop() {
            Some(Ok(frame)) => frame,
            // There is so much of it that it is there.
            Some(Err(SelectionError::Limit { .. })) => {
                let series = vec![StoredSeries { name: name.text.clone(), tags: BTreeMap::new() }];
                return Ok(Ok(Listed { series, is_cut: true }));
            }
            Some(Err(error)) => return Ok(Err(error.to_string())),
            None => bail!("it answers nothing"),
        };
        let mut tags: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for group in &frame.groups {
            for (tag, value) in group_by.iter().zip(&group.key).filter(|(_, value)| !value.is_empty()) {
                tags.entry(tag.clone()).or_default().insert(value.to_string());
            }
        }
        let tags = tags.into_iter().map(|(tag, values)| (tag, values.into_iter().collect())).collect();
        let series = StoredSeries { name: name.text.clone(), tags };
        let series = if frame.groups.is_empty() { Vec::new() } else { vec![series] };
        Ok(Ok(Listed { series, is_cut: false }))
    }

    /// The stored name that is nearest to one that is not there.
    async fn nearest(&mut self, name: &str) -> anyhow::Result<Option<String>> {
        if self.candidates.is_none() {
            let (series, _) = self.backend.list_series("*", MAX_CANDIDATES).await?;
            self.candidates = Some(series.into_iter().map(|series| series.name).collect());
        }
        let stored = self.capabilities.names.series(name);
        let candidates = self.candidates.iter().flatten().map(String::as_str);
        Ok(nearest(&stored, candidates).map(str::to_owned))
    }
}

/// One metric being looked up.
struct Look<'l> {
    read: &'l Read<'l>,
    known: &'l Known,
    found: &'l mut Vec<Diagnostic>,
}

impl Look<'_> {
    async fn up(&mut self, held: &mut Held) -> anyhow::Result<()> {
        let metric = self.read.metric;
        let mapping = metric.backends.get(held.capabilities.backend).filter(|mapping| *mapping != "{}");
        for name in &self.read.names {
            let listed = match mapping {
                None => held.list(name).await?,
                // Only a request says what to read.
                Some(_) if name.is_open => continue,
                Some(mapping) => match held.probe(self.read, name, mapping).await? {
                    Ok(listed) => listed,
                    Err(reason) => {
                        let message =
                            format!("`{}` cannot be read from {}: {reason}", metric.name, held.backend.name());
                        self.tell("unreadable_series", false, message, "mend its `backends`, or the index");
                        continue;
                    }
                },
            };
            match listed.series.is_empty() {
                true => self.missing_name(name, held, mapping.is_some()).await?,
                false => self.read.tags.iter().for_each(|tag| self.tag(name, tag, &listed, held)),
            }
        }
        Ok(())
    }

    async fn missing_name(&mut self, name: &StoredText, held: &mut Held, is_mapped: bool) -> anyhow::Result<()> {
        let (metric, text, backend) = (self.read.metric, &name.text, held.backend.name());
        let message = match (is_mapped, name.is_open) {
            (true, _) => format!("{backend} holds no documents that `{}` reads", metric.name),
            (false, true) => format!("{backend} holds no stored series like `{text}`, which `{}` reads", metric.name),
            (false, false) => format!("{backend} holds no stored series `{text}`, which `{}` reads", metric.name),
        };
        let is_new = self.known.is_new(name, None);
        let near = if is_mapped || name.is_open { None } else { held.nearest(text).await? };
        let hint = match (near, is_new) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, true) => "have it stored before the formulas are looked at".to_owned(),
            (None, false) => {
                "mend the name, or store the series; if this change adds it, name by --base what it is compared with"
                    .to_owned()
            }
        };
        self.tell("unknown_stored_series", is_new, message, &hint);
        Ok(())
    }

    fn tag(&mut self, name: &StoredText, tag: &ReadTag, listed: &Listed, held: &Held) {
        let (metric, backend) = (self.read.metric, held.backend.name());
        let stored =
            held.capabilities.names.label(&tag.name).map_or_else(|_| tag.name.clone(), |name| name.into_owned());
        let is_new = self.known.is_new(name, Some(&tag.name));
        let text = &name.text;
        let Some(values) = listed.values(&stored) else {
            if listed.is_cut {
                return;
            }
            let what = if metric.tags.contains_key(&tag.name) { "is filtered by" } else { "is grouped by" };
            let message = format!(
                "no stored series `{text}` of {backend} bears the tag `{}`, which `{}` {what}",
                tag.name, metric.name
            );
            let borne = listed.tags();
            let hint = match nearest(&stored, borne.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if borne.is_empty() => "it bears no tags".to_owned(),
                None => format!("it bears {}", shown(borne.iter().copied())),
            };
            // Where the tag only groups, or its filter may be left out, there is an answer all the same.
            return self.tell("unknown_stored_tag", is_new || !tag.is_required, message, &hint);
        };
        // A listing shows some values of each tag; what it does not show may be there.
        let is_whole = !listed.is_cut && values.len() < crate::backend::LISTED_VALUES;
        let Some(wanted) = tag.values.as_ref().filter(|wanted| is_whole && !wanted.iter().any(String::is_empty)) else {
            return;
        };
        let missing = wanted.iter().map(String::as_str).filter(|value| !values.contains(*value));
        if missing.clone().next().is_some() {
            let wanted_text = shown(missing);
            let message = format!(
                "no stored series `{text}` of {backend} has {wanted_text} for the tag `{}`, which `{}` is filtered by",
                tag.name, metric.name
            );
            let hint = format!("it has {}", shown(values.iter().copied()));
            self.tell("unknown_stored_value", true, message, &hint);
        }
    }

    /// An error where a formula reads the metric and the change does not add what is missing, else a warning.
    fn tell(&mut self, code: &'static str, is_mild: bool, message: String, hint: &str) {
        let Metric { location, .. } = self.read.metric;
        let readers = &self.read.readers;
        let message = match readers.len() {
            0 => format!("{message}; no formula reads it"),
            count => {
                let named = readers[..count.min(SHOWN)].join(", ");
                let more = if count > SHOWN { format!(" and {} more", count - SHOWN) } else { String::new() };
                format!("{message}; read by {named}{more}")
            }
        };
        let mut fault = Diagnostic::error(code, location.clone(), message).with_hint(hint);
        if is_mild || readers.is_empty() {
            fault.severity = Severity::Warning;
        }
        self.found.push(fault);
    }
}

/// The first of some names.
fn shown<'n>(names: impl Iterator<Item = &'n str> + Clone) -> String {
    let count = names.clone().count();
    let named: Vec<String> = names.take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = if count > SHOWN { format!(" and {} more", count - SHOWN) } else { String::new() };
    format!("{}{more}", named.join(", "))
}
