//! Stores points: one transaction a batch.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::series::{Point, Tags};

/// Points as they go into the tables, free of what they were made from.
pub(super) struct Batch {
    series: Vec<Series>,
    /// The index of its series, the timestamp and the value; in the order of the table.
    points: Vec<(usize, i64, f64)>,
}

struct Series {
    name: String,
    /// Without empty values, which are the same as missing tags.
    tags: Tags,
}

impl Batch {
    /// Gathers the points by series. Of two with the same series, tags and timestamp the later wins.
    ///
    /// # Errors
    /// When a value is not finite.
    pub(super) fn new(points: &[Point]) -> Result<Batch, String> {
        let mut known: HashMap<(&str, &Tags), usize> = HashMap::new();
        let mut batch = Batch { series: Vec::new(), points: Vec::with_capacity(points.len()) };
        for point in points {
            if !point.value.is_finite() {
                return Err(format!("a value of `{}` at {} is not finite", point.series, point.timestamp));
            }
            let index = *known.entry((&point.series, &point.tags)).or_insert_with(|| {
                batch.series.push(Series::of(point));
                batch.series.len() - 1
            });
            batch.points.push((index, point.timestamp, point.value));
        }
        // Stable, so that of equal keys the later is stored last.
        batch.points.sort_by_key(|(series, timestamp, _)| (*series, *timestamp));
        Ok(batch)
    }

    /// Stores all of it or nothing.
    pub(super) fn store(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let ids = self.series.iter().map(|series| series.id(&transaction)).collect::<rusqlite::Result<Vec<i64>>>()?;
        {
            let mut upsert = transaction.prepare_cached(
                "INSERT INTO points (series_id, ts, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT (series_id, ts) DO UPDATE SET value = excluded.value",
            )?;
            for (series, timestamp, value) in &self.points {
                upsert.execute((ids[*series], timestamp, value))?;
            }
        }
        transaction.commit()
    }
}

impl Series {
    fn of(point: &Point) -> Series {
        let tags = point.tags.iter().filter(|(_, value)| !value.is_empty());
        Series { name: point.series.clone(), tags: tags.map(|(name, value)| (name.clone(), value.clone())).collect() }
    }

    /// The id in the table, where the series is added if it is new.
    fn id(&self, transaction: &Transaction<'_>) -> rusqlite::Result<i64> {
        let tags = serde_json::json!(self.tags).to_string();
        let known: Option<i64> = transaction
            .prepare_cached("SELECT id FROM series WHERE name = ?1 AND tags = ?2")?
            .query_row((&self.name, &tags), |row| row.get(0))
            .optional()?;
        if let Some(id) = known {
            return Ok(id);
        }
        transaction.prepare_cached("INSERT INTO series (name, tags) VALUES (?1, ?2)")?.execute((&self.name, &tags))?;
        let id = transaction.last_insert_rowid();
        let mut insert = transaction
            .prepare_cached("INSERT INTO tag (series_name, name, value, series_id) VALUES (?1, ?2, ?3, ?4)")?;
        for (name, value) in &self.tags {
            insert.execute((&self.name, name, value, id))?;
        }
        Ok(id)
    }
}
