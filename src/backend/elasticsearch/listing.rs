//! Stored names and their tags: what is asked, and what is answered.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::decode::{Refusal, text_of};
use super::form::FieldTypes;
use super::request::both_lines;
use crate::backend::{LISTED_VALUES, StoredSeries};

/// Parts of the answers.
pub const PATH: &str = "/_msearch?filter_path=responses.status,responses.error,responses.aggregations.*.sum_other_doc_count,\
    responses.aggregations.*.buckets.key";

/// The lines that ask for the names that a pattern describes, in which `*` is any text.
pub fn names_lines(index: &str, pattern: &str, size: usize) -> Vec<u8> {
    // A question mark and a backslash are data to us, and syntax to Elasticsearch.
    let pattern = pattern.replace('\\', "\\\\").replace('?', "\\?");
    let terms = json!({ "field": "series", "size": size, "order": { "_key": "asc" } });
    let body = json!({
        "size": 0, "track_total_hits": false,
        "query": { "bool": { "filter": [{ "wildcard": { "series": { "value": pattern } } }] } },
        "aggs": { "names": { "terms": terms } },
    });
    both_lines(index, &body)
}

/// The lines that ask for some values of each tag of a name.
pub fn tags_lines(index: &str, name: &str, tags: &[&str]) -> Vec<u8> {
    let values = |(place, tag): (usize, &&str)| {
        // The empty value does not show.
        let terms = json!({ "field": format!("tags.{tag}"), "size": LISTED_VALUES + 1, "order": { "_key": "asc" } });
        (place.to_string(), json!({ "terms": terms }))
    };
    let aggs: Map<String, Json> = tags.iter().enumerate().map(values).collect();
    let query = json!({ "bool": { "filter": [{ "term": { "series": name } }] } });
    both_lines(index, &json!({ "size": 0, "track_total_hits": false, "query": query, "aggs": aggs }))
}

/// The tags that the documents of an index have.
pub fn tags(types: &FieldTypes) -> Vec<&str> {
    let kept = |kinds: &std::collections::BTreeSet<String>| !kinds.contains("object") && !kinds.contains("text");
    types.iter().filter(|(_, kinds)| kept(kinds)).filter_map(|(field, _)| field.strip_prefix("tags.")).collect()
}

/// The names of an answer.
pub fn names(bytes: &[u8]) -> Result<Vec<String>, Refused> {
    let found = aggregations(bytes)?.pop().unwrap_or_default();
    Ok(values(&found["names"]))
}

/// The names that were asked about, each with its tags.
pub fn stored_series(bytes: &[u8], names: Vec<String>, tags: &[&str]) -> Result<Vec<StoredSeries>, Refused> {
    let answered = aggregations(bytes)?;
    if answered.len() != names.len() {
        return Err(Refused::Unreadable(format!("it answered {} of {} searches", answered.len(), names.len())));
    }
    let series = |(name, found): (String, Json)| {
        let listed = |(place, tag): (usize, &&str)| {
            let mut values = values(&found[place.to_string()]);
            values.retain(|value| !value.is_empty());
            values.truncate(LISTED_VALUES);
            (!values.is_empty()).then(|| ((*tag).to_owned(), values))
        };
        let tags: BTreeMap<String, Vec<String>> = tags.iter().enumerate().filter_map(listed).collect();
        StoredSeries { name, tags }
    };
    Ok(names.into_iter().zip(answered).map(series).collect())
}

/// Why there is no list.
#[derive(Debug)]
pub enum Refused {
    /// The answer is none.
    Unreadable(String),
    /// A search was refused.
    Search(Refusal),
}

impl Refused {
    /// What to tell.
    pub fn words(self) -> String {
        match self {
            Refused::Unreadable(words) => words,
            Refused::Search(refusal) => refusal.words,
        }
    }
}

fn aggregations(bytes: &[u8]) -> Result<Vec<Json>, Refused> {
    let mut answer: Json = serde_json::from_slice(bytes)
        .map_err(|error| Refused::Unreadable(format!("its answer cannot be read: {error}")))?;
    let Json::Array(responses) = answer["responses"].take() else {
        return Err(Refused::Unreadable("its answer has no responses".to_owned()));
    };
    let found = |mut response: Json| match &response["error"] {
        Json::Null => Ok(response["aggregations"].take()),
        error => Err(Refused::Search(Refusal::of(response["status"].as_u64().unwrap_or(500) as u16, error))),
    };
    responses.into_iter().map(found).collect()
}

fn values(terms: &Json) -> Vec<String> {
    terms["buckets"].as_array().into_iter().flatten().map(|bucket| text_of(&bucket["key"])).collect()
}
