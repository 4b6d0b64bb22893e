//! Stored names and their tags: what is asked, and what is answered.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::message::NAME_LABEL;
use super::values::quoted;
use crate::backend::{LISTED_VALUES, StoredSeries};
use crate::series::pattern;

/// Where the names of all stored series are.
pub const NAMES_PATH: &str = "/api/v1/label/__name__/values";
/// Where the labels of stored series are.
pub const SERIES_PATH: &str = "/api/v1/series";
/// Names of one request for labels.
const NAMES_PER_REQUEST: usize = 100;

#[derive(Deserialize)]
struct Answer<T> {
    data: Vec<T>,
}

/// The names of an answer that a pattern in the server's own names describes, sorted.
///
/// # Errors
/// Bytes that are no such answer.
pub fn names(body: &[u8], wanted: &str) -> Result<Vec<String>, String> {
    let answer: Answer<String> = serde_json::from_slice(body).map_err(unreadable)?;
    let names: BTreeSet<String> = answer.data.into_iter().filter(|name| pattern::matches(wanted, name)).collect();
    Ok(names.into_iter().collect())
}

/// The forms that ask for the labels of stored names, some names each.
pub fn forms(names: &[String]) -> impl Iterator<Item = String> {
    names.chunks(NAMES_PER_REQUEST).map(|names| {
        let matchers = names.iter().map(|name| ("match[]", format!("{{{NAME_LABEL}={}}}", quoted(name))));
        form_urlencoded::Serializer::new(String::new()).extend_pairs(matchers).finish()
    })
}

/// Adds the labels of an answer to the names that they belong to.
///
/// # Errors
/// Bytes that are no such answer.
pub fn add_tags(body: &[u8], series: &mut BTreeMap<String, BTreeMap<String, BTreeSet<String>>>) -> Result<(), String> {
    let answer: Answer<BTreeMap<String, String>> = serde_json::from_slice(body).map_err(unreadable)?;
    for mut labels in answer.data {
        let Some(tags) = labels.remove(NAME_LABEL).and_then(|name| series.get_mut(&name)) else { continue };
        for (label, value) in labels.into_iter().filter(|(_, value)| !value.is_empty()) {
            tags.entry(label).or_default().insert(value);
        }
    }
    Ok(())
}

/// The names with as many values of each tag as are shown.
pub fn shown(series: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>) -> Vec<StoredSeries> {
    let few = |(tag, values): (String, BTreeSet<String>)| (tag, values.into_iter().take(LISTED_VALUES).collect());
    series.into_iter().map(|(name, tags)| StoredSeries { name, tags: tags.into_iter().map(few).collect() }).collect()
}

fn unreadable(error: serde_json::Error) -> String {
    format!("its answer cannot be read: {error}")
}
