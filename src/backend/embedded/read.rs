//! Answers batches from the tables.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use rusqlite::{Connection, params_from_iter};

use super::Cancelled;
use crate::backend::{
    LISTED_VALUES, SelectBatch, SelectLimits, Selection, SelectionError, SelectionFrame, StoredSeries, ValuesQuery,
};
use crate::series::aggregate::{GroupAccumulator, read_from};
use crate::series::{Tags, pattern};

/// Values of a filter's tag that are handed to SQLite at most; it only narrows the search, and what it finds is checked again.
const NARROWING_VALUES: usize = 500;
/// Series that are counted at most to find out which tag narrows the search best.
const COUNTED_BEARERS: i64 = 2_000;
/// Rows between two looks at the limits.
const ROWS_PER_CHECK: usize = 1024;

type Filter = BTreeMap<String, Vec<String>>;
type Frames = Vec<Result<SelectionFrame, SelectionError>>;

/// A selection that needs a stored series, and the group that the series is in.
struct Use {
    selection: usize,
    key: Vec<Arc<str>>,
}

/// Every stored series that a selection needs is scanned once, in the order of the table.
pub(super) fn select(connection: &Connection, batch: &SelectBatch, cancelled: &Cancelled) -> rusqlite::Result<Frames> {
    let mut uses: BTreeMap<i64, Vec<Use>> = BTreeMap::new();
    for (index, selection) in batch.selections.iter().enumerate() {
        for_each_series(connection, &selection.series, &selection.filter, cancelled, |id, tags| {
            uses.entry(id).or_default().push(Use { selection: index, key: key_of(selection, &tags) });
        })?;
    }
    let mut scan = Scan {
        folds: batch.selections.iter().map(|selection| Ok(selection.accumulator())).collect(),
        limits: batch.limits,
    };
    let mut points = connection
        .prepare_cached("SELECT ts, value FROM points WHERE series_id = ?1 AND ts >= ?2 AND ts < ?3 ORDER BY ts")?;
    for (id, uses) in &uses {
        let needed = stretches(uses.iter().map(|each| &batch.selections[each.selection]));
        scan.begin_series(uses);
        for stretch in needed {
            let mut rows = points.query((id, stretch.start, stretch.end))?;
            let mut unchecked = 0;
            while let Some(row) = rows.next()? {
                scan.push(uses, row.get(0)?, row.get(1)?);
                unchecked += 1;
                if unchecked == ROWS_PER_CHECK {
                    unchecked = 0;
                    cancelled.check()?;
                    scan.enforce_limits(uses);
                }
            }
        }
        cancelled.check()?;
        scan.enforce_limits(uses);
    }
    Ok(scan.finish())
}

/// The times of which points are needed, in order and apart: an offset of a year must not read the year between.
fn stretches<'a>(selections: impl Iterator<Item = &'a Selection>) -> Vec<Range<i64>> {
    let mut reads: Vec<Range<i64>> =
        selections.map(|selection| read_from(selection.kind, &selection.axis)..selection.axis.to()).collect();
    reads.sort_by_key(|read| (read.start, read.end));
    let mut apart: Vec<Range<i64>> = Vec::new();
    for read in reads {
        match apart.last_mut().filter(|last| read.start <= last.end) {
            Some(last) => last.end = last.end.max(read.end),
            None => apart.push(read),
        }
    }
    apart
}

/// The selections of a batch on their way.
struct Scan {
    folds: Vec<Result<GroupAccumulator, SelectionError>>,
    limits: SelectLimits,
}

impl Scan {
    fn begin_series(&mut self, uses: &[Use]) {
        for each in uses {
            if let Ok(fold) = &mut self.folds[each.selection] {
                fold.series(&each.key);
            }
        }
    }

    fn push(&mut self, uses: &[Use], timestamp: i64, value: f64) {
        for each in uses {
            if let Ok(fold) = &mut self.folds[each.selection] {
                fold.push(timestamp, value);
            }
        }
    }

    /// Gives up the selections among `uses` that are, or bring the batch, over a limit.
    fn enforce_limits(&mut self, uses: &[Use]) {
        let mut cells: usize = self.folds.iter().flatten().map(GroupAccumulator::cells).sum();
        let mut kept: usize = self.folds.iter().flatten().map(GroupAccumulator::kept_points).sum();
        for each in uses {
            let Ok(fold) = &self.folds[each.selection] else { continue };
            let own = (fold.groups(), fold.cells(), fold.kept_points());
            let fault = over("series", own.0, self.limits.groups)
                .or_else(|| over("answer_points", cells, self.limits.cells))
                .or_else(|| over("raw_points", kept, self.limits.raw_points).filter(|_| own.2 > 0));
            if let Some(fault) = fault {
                self.folds[each.selection] = Err(fault);
                cells -= own.1;
                kept -= own.2;
            }
        }
    }

    fn finish(self) -> Frames {
        let frame = |fold: GroupAccumulator| Ok(SelectionFrame::from(fold.finish()?));
        self.folds.into_iter().map(|fold| fold.and_then(frame)).collect()
    }
}

fn over(limit: &'static str, value: usize, maximum: usize) -> Option<SelectionError> {
    (value > maximum).then_some(SelectionError::Limit { limit, value: value as u64, maximum: maximum as u64 })
}

fn key_of(selection: &Selection, tags: &Tags) -> Vec<Arc<str>> {
    let value = |name: &String| Arc::from(tags.get(name).map_or("", String::as_str));
    selection.group_by.iter().map(value).collect()
}

/// Calls `found` with the id and tags of every stored series of that name that the filter matches.
fn for_each_series(
    connection: &Connection,
    name: &str,
    filter: &Filter,
    cancelled: &Cancelled,
    mut found: impl FnMut(i64, Tags),
) -> rusqlite::Result<()> {
    let (sql, values) = match narrowest(connection, name, filter)? {
        // The order of the join is told, for SQLite would rather look at every series of the name.
        Some((bearers, values)) => {
            (format!("SELECT id, tags FROM (SELECT series_id {bearers}) CROSS JOIN series ON id = series_id"), values)
        }
        None => ("SELECT id, tags FROM series WHERE name = ?1".to_owned(), vec![name]),
    };
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        cancelled.check()?;
        let text = row.get_ref(1)?.as_str()?;
        let tags: Tags = serde_json::from_str(text)
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(e)))?;
        if matches(filter, &tags) {
            found(row.get(0)?, tags);
        }
    }
    Ok(())
}

/// The tag of the filter that the fewest series bear with one of its values: an SQL clause and the values bound to it. The
/// text depends on how many values there are, never on what they are. `None` where no tag narrows the search.
fn narrowest<'a>(
    connection: &Connection,
    name: &'a str,
    filter: &'a Filter,
) -> rusqlite::Result<Option<(String, Vec<&'a str>)>> {
    let mut best = None;
    let mut fewest = COUNTED_BEARERS;
    for (tag, any) in filter {
        if any.iter().any(String::is_empty) || any.len() > NARROWING_VALUES {
            continue;
        }
        let places: Vec<String> = (0..any.len()).map(|index| format!("?{}", index + 3)).collect();
        let bearers = format!("FROM tag WHERE series_name = ?1 AND name = ?2 AND value IN ({})", places.join(", "));
        let values: Vec<&str> = [name, tag].into_iter().chain(any.iter().map(String::as_str)).collect();
        let count: i64 = connection
            .prepare_cached(&format!("SELECT count(*) FROM (SELECT 1 {bearers} LIMIT {COUNTED_BEARERS})"))?
            .query_row(params_from_iter(&values), |row| row.get(0))?;
        if best.is_none() || count < fewest {
            (best, fewest) = (Some((bearers, values)), count);
        }
    }
    Ok(best)
}

fn matches(filter: &Filter, tags: &Tags) -> bool {
    filter.iter().all(|(tag, any)| {
        let value = tags.get(tag).map_or("", String::as_str);
        any.iter().any(|wanted| wanted == value)
    })
}

/// The values of tags of series that have a point in the range: sorted, at most `limit`, and whether there are more.
pub(super) fn tag_values(
    connection: &Connection,
    queries: &[ValuesQuery],
    range: Range<i64>,
    limit: usize,
    cancelled: &Cancelled,
) -> rusqlite::Result<(Vec<String>, bool)> {
    let mut bearers: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for query in queries {
        for_each_series(connection, &query.series, &query.filter, cancelled, |id, mut tags| {
            if let Some(value) = tags.remove(&query.tag) {
                bearers.entry(value).or_default().push(id);
            }
        })?;
    }
    let mut has_point = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM points WHERE series_id = ?1 AND ts >= ?2 AND ts < ?3)")?;
    let mut values = Vec::new();
    for (value, ids) in bearers {
        for id in ids {
            cancelled.check()?;
            if has_point.query_row((id, range.start, range.end), |row| row.get(0))? {
                if values.len() == limit {
                    return Ok((values, true));
                }
                values.push(value);
                break;
            }
        }
    }
    Ok((values, false))
}

/// The stored names that a pattern describes: sorted, at most `limit`, and whether there are more.
pub(super) fn list_series(
    connection: &Connection,
    pattern: &str,
    limit: usize,
    cancelled: &Cancelled,
) -> rusqlite::Result<(Vec<StoredSeries>, bool)> {
    let mut names = connection.prepare_cached("SELECT DISTINCT name FROM series ORDER BY name")?;
    let mut tags = connection.prepare_cached("SELECT DISTINCT name, value FROM tag WHERE series_name = ?1")?;
    let mut found = Vec::new();
    let mut rows = names.query([])?;
    while let Some(row) = rows.next()? {
        cancelled.check()?;
        let name: String = row.get(0)?;
        if !pattern::matches(pattern, &name) {
            continue;
        }
        if found.len() == limit {
            return Ok((found, true));
        }
        let mut series = StoredSeries { tags: BTreeMap::new(), name };
        let mut values = tags.query([&series.name])?;
        while let Some(row) = values.next()? {
            let listed: &mut Vec<String> = series.tags.entry(row.get(0)?).or_default();
            if listed.len() < LISTED_VALUES {
                listed.push(row.get(1)?);
            }
        }
        found.push(series);
    }
    Ok((found, false))
}
