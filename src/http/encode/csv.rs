//! An answer as CSV.

use std::collections::BTreeSet;

use csv::Writer;

use super::number::write_value;
use crate::query::{Answer, Evaluation, FormulaError, SeriesResult};

/// The answer as CSV: `name,timestamp,value,<every tag, sorted>`; null is empty.
///
/// # Errors
/// The name and error of the first formula that failed.
pub fn csv(answer: &Answer) -> Result<Vec<u8>, (String, FormulaError)> {
    let mut found = Vec::with_capacity(answer.results.len());
    for result in &answer.results {
        match &result.outcome {
            Ok(evaluation) => found.push((result.name.as_str(), evaluation)),
            Err(error) => return Err((result.name.clone(), error.clone())),
        }
    }
    // Writing to memory does not fail, and every row has as many cells as the header.
    write(answer, &found).map_err(|error| {
        let detail = format!("the table could not be written; please report it: {error}");
        (answer.keyspace.clone(), FormulaError::new("internal", detail))
    })
}

fn write(answer: &Answer, found: &[(&str, &Evaluation)]) -> Result<Vec<u8>, csv::Error> {
    let series = || found.iter().flat_map(|(name, evaluation)| evaluation.series.iter().map(move |one| (*name, one)));
    let tags: BTreeSet<&str> = found.iter().flat_map(|(_, one)| one.tags.iter().map(String::as_str)).collect();
    let mut writer = Writer::from_writer(Vec::new());
    writer.write_record(["name", "timestamp", "value"].into_iter().chain(tags.iter().copied()))?;
    let timestamps: Vec<String> = answer.axis.starts().iter().map(i64::to_string).collect();
    let mut cell = Vec::new();
    for (name, one) in series() {
        let values: Vec<&str> = tags.iter().map(|tag| value_of(one, tag)).collect();
        for (timestamp, value) in timestamps.iter().zip(&one.column.values) {
            cell.clear();
            if value.is_finite() {
                write_value(&mut cell, *value);
            }
            writer.write_field(name)?;
            writer.write_field(timestamp)?;
            writer.write_field(&cell)?;
            writer.write_record(&values)?;
        }
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// The value of a tag; empty where the series does not have it.
fn value_of<'a>(series: &'a SeriesResult, tag: &str) -> &'a str {
    series.tags.iter().find(|(name, _)| name == tag).map_or("", |(_, value)| value)
}
