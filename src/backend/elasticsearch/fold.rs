//! Rows and documents of one selection → its frame, within the limits of the batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decode::{Document, Found, Metric, Row, text_of};
use super::form::{Form, Value};
use super::request::{Depth, unsure_fields};
use crate::backend::{GroupColumn, SelectLimits, Selection, SelectionError, SelectionFrame};
use crate::series::aggregate::GroupAccumulator;
use crate::series::{Aggregate, Kind, Tags};

/// What was read so far by the batch of what may be.
#[derive(Debug)]
pub struct Spent {
    limits: SelectLimits,
    raw_points: usize,
    cells: usize,
}

impl Spent {
    /// Nothing yet.
    pub fn new(limits: SelectLimits) -> Spent {
        Spent { limits, raw_points: 0, cells: 0 }
    }
}

/// A selection under way.
pub struct Fold<'a> {
    selection: &'a Selection,
    form: &'a Form,
    /// Fields of which a value that the index left out may be taken for a missing one.
    unsure: Vec<&'a str>,
    depth: Depth,
    groups: GroupAccumulator,
    /// How many points there are, for averages.
    counts: Option<GroupAccumulator>,
    /// The points of each stored series, where they are told apart.
    stored: BTreeMap<Identity, Stored>,
    cells: usize,
}

/// All that tells a stored series from others.
type Identity = (Tags, Vec<String>);

struct Stored {
    key: Vec<Arc<str>>,
    points: Vec<(i64, f64)>,
}

impl<'a> Fold<'a> {
    /// Nothing found yet.
    pub fn new(selection: &'a Selection, form: &'a Form) -> Fold<'a> {
        let depth = Depth::of(selection.kind, selection.aggregate);
        let whole = selection.whole.map(|whole| whole.from..whole.to);
        let groups =
            |kind: Kind, aggregate: Aggregate| GroupAccumulator::new(kind, aggregate, whole.clone(), &selection.axis);
        // What the server made of parts of our buckets is put together: counts are added up.
        let (main, counts) = match (depth, selection.aggregate) {
            (Depth::Buckets, Aggregate::Avg) => {
                (groups(Kind::Delta, Aggregate::Sum), Some(groups(Kind::Delta, Aggregate::Sum)))
            }
            (Depth::Buckets, Aggregate::Count) => (groups(Kind::Delta, Aggregate::Sum), None),
            (_, aggregate) => (groups(selection.kind, aggregate), None),
        };
        Fold {
            selection,
            form,
            unsure: unsure_fields(selection, form),
            depth,
            groups: main,
            counts,
            stored: BTreeMap::new(),
            cells: 0,
        }
    }

    /// Takes in a page.
    ///
    /// # Errors
    /// A limit, or an answer that would be wrong.
    pub fn take(&mut self, found: &Found<'_>, spent: &mut Spent) -> Result<(), SelectionError> {
        if found.cut > 0 {
            return Err(self.left_out());
        }
        match self.depth {
            Depth::Documents => self.take_documents(&found.documents, spent),
            _ => self.take_rows(&found.rows, spent),
        }
    }

    fn left_out(&self) -> SelectionError {
        SelectionError::Refused(format!(
            "the index {} left out the value of a tag, for it is longer than the ignore_above of its field",
            self.form.index
        ))
    }

    fn take_rows(&mut self, rows: &[Row<'_>], spent: &mut Spent) -> Result<(), SelectionError> {
        let raw = self.depth != Depth::Buckets;
        let mut before: Option<&Row<'_>> = None;
        for row in rows {
            if before.is_none_or(|before| before.key.group != row.key.group) {
                let key: Vec<Arc<str>> = row.key.group.iter().map(|value| Arc::from(&**value)).collect();
                self.groups.series(&key);
                if let Some(counts) = &mut self.counts {
                    counts.series(&key);
                }
                self.enforce_limits(spent)?;
            }
            before = Some(row);
            if raw {
                let points = if self.depth == Depth::Values { row.doc_count as usize } else { 1 };
                spent.raw_points = spent.raw_points.saturating_add(points);
                over("raw_points", spent.raw_points, spent.limits.raw_points)?;
            }
            self.take_row(row);
        }
        self.enforce_limits(spent)
    }

    fn take_row(&mut self, row: &Row<'_>) {
        let start = row.key.start;
        let points = row.doc_count as f64;
        let metric = |metric: &Option<Metric>, otherwise: f64| {
            metric
                .as_ref()
                .map_or(otherwise, |metric| if metric.value.0.is_finite() { metric.value.0 } else { f64::INFINITY })
        };
        match (self.depth, self.selection.aggregate) {
            (Depth::Values, _) => {
                for _ in 0..row.doc_count {
                    self.groups.push(start, row.key.value.unwrap_or(1.0));
                }
            }
            (Depth::Buckets, Aggregate::Count) => self.groups.push(start, metric(&row.n, points)),
            // Without a value, each document is worth 1.
            (Depth::Buckets, Aggregate::Sum | Aggregate::Avg) => self.groups.push(start, metric(&row.s, points)),
            _ => self.groups.push(start, metric(&row.s, 1.0)),
        }
        if let Some(counts) = &mut self.counts {
            counts.push(start, metric(&row.n, points));
        }
    }

    fn take_documents(&mut self, documents: &[Document<'_>], spent: &mut Spent) -> Result<(), SelectionError> {
        spent.raw_points = spent.raw_points.saturating_add(documents.len());
        over("raw_points", spent.raw_points, spent.limits.raw_points)?;
        for document in documents {
            let Some(timestamp) = document.timestamp() else { continue };
            let Some(value) = self.value_of(document) else { continue };
            let identity = self.identity_of(document)?;
            if document.ignored.iter().any(|field| self.unsure.contains(&field.as_str())) {
                // Our documents tell the value themselves.
                if !self.form.ours {
                    return Err(self.left_out());
                }
                if !self.is_wanted(&identity.0) {
                    continue;
                }
            }
            match self.stored.get_mut(&identity) {
                Some(stored) => stored.points.push((timestamp, value)),
                None => {
                    let key = self.key_of(&identity);
                    self.stored.insert(identity, Stored { key, points: vec![(timestamp, value)] });
                }
            }
        }
        Ok(())
    }

    fn is_wanted(&self, tags: &Tags) -> bool {
        let value = |tag: &String| tags.get(tag).map_or("", String::as_str);
        self.selection.filter.iter().all(|(tag, any)| any.iter().any(|wanted| wanted == value(tag)))
    }

    fn value_of(&self, document: &Document<'_>) -> Option<f64> {
        let value = |field: &String| document.fields.get(field)?.first()?.as_f64();
        match &self.form.value {
            Value::Field(field) => value(field),
            Value::FieldOrOne(field) => Some(value(field).unwrap_or(1.0)),
            Value::One => Some(1.0),
        }
    }

    fn identity_of(&self, document: &Document<'_>) -> Result<Identity, SelectionError> {
        let tags = document.tags();
        if tags.is_none() && !self.form.identified {
            return Err(SelectionError::Unsupported(format!(
                "documents of the index {} do not say of which stored series they are; name in tag_fields all fields that \
                 tell the series of this {} apart",
                self.form.index,
                self.selection.kind.as_str()
            )));
        }
        let value =
            |field: &String| document.fields.get(field).map_or(String::new(), |all| text_of(&all.clone().into()));
        Ok((tags.unwrap_or_default(), self.form.identity.iter().map(value).collect()))
    }

    fn key_of(&self, (tags, fields): &Identity) -> Vec<Arc<str>> {
        let value = |tag: &String| {
            let field = self.form.field(tag);
            match self.form.identity.iter().position(|known| known == field) {
                Some(place) => Arc::from(&*fields[place]),
                None => Arc::from(tags.get(tag).map_or("", String::as_str)),
            }
        };
        self.selection.group_by.iter().map(value).collect()
    }

    fn enforce_limits(&mut self, spent: &mut Spent) -> Result<(), SelectionError> {
        over("series", self.groups.groups(), spent.limits.groups)?;
        spent.cells = spent.cells + self.groups.cells() - self.cells;
        self.cells = self.groups.cells();
        over("answer_points", spent.cells, spent.limits.cells)
    }

    /// The frame, when all pages were taken in.
    ///
    /// # Errors
    /// A limit, or a distinct count that cannot be added up.
    pub fn finish(mut self, spent: &mut Spent) -> Result<SelectionFrame, SelectionError> {
        for (_, mut stored) in std::mem::take(&mut self.stored) {
            stored.points.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            self.groups.series(&stored.key);
            for (timestamp, value) in stored.points {
                self.groups.push(timestamp, value);
            }
            self.enforce_limits(spent)?;
        }
        let groups = self.groups.finish()?;
        let Some(counts) = self.counts else { return Ok(groups.into()) };
        let average = |(sum, count): (GroupColumn, GroupColumn)| {
            let values = sum.values.iter().zip(&count.values).map(|(sum, count)| sum / count).collect();
            GroupColumn { key: sum.key, values, whole: sum.whole / count.whole }
        };
        let averages: Vec<GroupColumn> = groups.into_iter().zip(counts.finish()?).map(average).collect();
        Ok(averages.into())
    }
}

fn over(limit: &'static str, value: usize, maximum: usize) -> Result<(), SelectionError> {
    match value > maximum {
        true => Err(SelectionError::Limit { limit, value: value as u64, maximum: maximum as u64 }),
        false => Ok(()),
    }
}
