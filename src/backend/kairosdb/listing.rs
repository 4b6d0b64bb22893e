//! Stored names and their tags: what is asked, and what is answered.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::decode::UNTAGGED;
use crate::backend::{LISTED_VALUES, StoredSeries};
use crate::series::pattern;

/// How names begin that KairosDB stores about itself; listed only where they are asked for.
const OWN: &str = "kairosdb.";

#[derive(Deserialize)]
struct Names {
    results: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Answer {
    queries: Vec<Answered>,
}

#[derive(Deserialize)]
struct Answered {
    results: Vec<Tagged>,
}

#[derive(Deserialize)]
struct Tagged {
    tags: BTreeMap<String, BTreeSet<String>>,
}

/// The names of an answer that a pattern describes, sorted.
pub fn names(bytes: &[u8], wanted: &str) -> Result<Vec<String>, String> {
    let names: Names = serde_json::from_slice(bytes).map_err(unreadable)?;
    let named = |name: &String| pattern::matches(wanted, name) && (wanted.starts_with(OWN) || !name.starts_with(OWN));
    Ok(names.results.into_iter().filter(named).collect())
}

/// The body that asks for all tags of stored names.
pub fn tags_body(names: &[String]) -> Vec<u8> {
    let metrics: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
    // From the first millisecond, for it takes 0 for a time that is not given.
    json!({ "start_absolute": 1, "metrics": metrics }).to_string().into_bytes()
}

/// The names that were asked about, each with its tags.
pub fn stored_series(bytes: &[u8], names: Vec<String>) -> Result<Vec<StoredSeries>, String> {
    let answer: Answer = serde_json::from_slice(bytes).map_err(unreadable)?;
    if answer.queries.len() != names.len() {
        return Err(format!("it answered {} of {} metrics", answer.queries.len(), names.len()));
    }
    let series = names.into_iter().zip(answer.queries).map(|(name, answered)| {
        let mut tags: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (tag, values) in answered.results.into_iter().flat_map(|tagged| tagged.tags) {
            if tag != UNTAGGED {
                tags.insert(tag, values.into_iter().filter(|value| !value.is_empty()).take(LISTED_VALUES).collect());
            }
        }
        StoredSeries { name, tags }
    });
    Ok(series.collect())
}

fn unreadable(error: serde_json::Error) -> String {
    format!("its answer cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_tags_as_the_server_answers_them() {
        let all = br#"{"results":["lat.ms","req.count","kairosdb.http.request_time"]}"#;
        assert_eq!(names(all, "*").unwrap(), ["lat.ms", "req.count"]);
        assert_eq!(names(all, "req.*").unwrap(), ["req.count"]);
        assert_eq!(names(all, "kairosdb.*").unwrap(), ["kairosdb.http.request_time"]);
        let asked = vec!["req.count".to_owned(), "load".to_owned()];
        let body: Value = serde_json::from_slice(&tags_body(&asked)).unwrap();
        assert_eq!(body, json!({ "start_absolute": 1, "metrics": [{ "name": "req.count" }, { "name": "load" }] }));
        let answer =
            br#"{"queries":[{"results":[{"name":"req.count","tags":{"dc":["x","y"],"host":["a"]},"values":[]}]},
            {"results":[{"name":"load","tags":{"_untagged":["true"]},"values":[]}]}]}"#;
        let series = stored_series(answer, asked.clone()).unwrap();
        assert_eq!(series[0].tags["dc"], ["x", "y"]);
        assert!(series[1].tags.is_empty(), "KairosDB's own tag does not show");
        assert!(stored_series(br#"{"queries":[]}"#, asked).unwrap_err().contains("0 of 2"));
    }
}
