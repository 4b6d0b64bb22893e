//! Points → bodies of `_bulk`, and the template of our index.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::form::FieldTypes;
use crate::series::Point;

/// Points and bytes of one body.
const POINTS_PER_BODY: usize = 5_000;
const BYTES_PER_BODY: usize = 8 << 20;

/// What `PUT /_index_template/{name}` gets. Tags are keywords whatever is in their names: `subobjects` keeps the dots in
/// them. There is no `ignore_above`: a value that is too long for the index is refused, not left out.
pub fn template(index: &str) -> Vec<u8> {
    let keywords = json!({ "tags": { "path_match": "tags.*", "mapping": { "type": "keyword" } } });
    let template = json!({
        "index_patterns": [index],
        "priority": 500,
        "template": {
            "settings": { "index.mapping.total_fields.limit": 10_000 },
            "mappings": {
                "dynamic_templates": [keywords],
                "properties": {
                    "@timestamp": { "type": "date" },
                    "series": { "type": "keyword" },
                    "value": { "type": "double" },
                    "tags": { "type": "object", "subobjects": false, "dynamic": true },
                },
            },
        },
    });
    template.to_string().into_bytes()
}

/// Whether an index that is there keeps what we write as it is: a `value` that its first document made a `long` would lose
/// what is behind the point.
pub fn check_fields(index: &str, types: &FieldTypes) -> Result<(), String> {
    for (field, wanted) in [("@timestamp", "date"), ("series", "keyword"), ("value", "double")] {
        if let Some(found) = types.get(field).filter(|found| !found.iter().all(|kind| kind == wanted)) {
            let found: Vec<&str> = found.iter().map(String::as_str).collect();
            return Err(format!(
                "the index {index} keeps `{field}` as {} and not as {wanted}: it was made without the template; write to \
                 another index, or make it anew",
                found.join(" and ")
            ));
        }
    }
    Ok(())
}

/// The bodies that store points and how many each holds, in order: the last write of a point of the same series, tags and
/// timestamp counts.
pub fn bodies(points: &[Point]) -> Vec<(usize, Vec<u8>)> {
    let mut bodies = Vec::new();
    let (mut body, mut count) = (Vec::new(), 0);
    for point in points {
        let action = json!({ "index": { "_id": id(point) } });
        body.extend_from_slice(format!("{action}\n{}\n", document(point)).as_bytes());
        count += 1;
        if count == POINTS_PER_BODY || body.len() >= BYTES_PER_BODY {
            bodies.push((std::mem::take(&mut count), std::mem::take(&mut body)));
        }
    }
    if count > 0 {
        bodies.push((count, body));
    }
    bodies
}

fn document(point: &Point) -> Json {
    let tags: serde_json::Map<String, Json> = tags(point).map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({ "@timestamp": point.timestamp, "series": point.series, "value": point.value, "tags": tags })
}

/// An empty value is the same as a missing tag.
fn tags(point: &Point) -> impl Iterator<Item = (&String, &String)> {
    point.tags.iter().filter(|(_, value)| !value.is_empty())
}

/// The same for the same series, tags and timestamp, whatever their length; lengths keep neighbours apart.
fn id(point: &Point) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add(&point.series);
    for (name, value) in tags(point) {
        add(name);
        add(value);
    }
    hasher.update(&point.timestamp.to_le_bytes());
    hasher.finalize().to_hex()[..40].to_owned()
}

/// What a `_bulk` came to.
#[derive(Debug, PartialEq)]
pub enum Stored {
    /// Everything.
    All,
    /// The server had no room for some, and may have later.
    Later(String),
    /// Some were refused: how many, the place of the first in the body, and why.
    Refused(usize, usize, String),
}

#[derive(Deserialize)]
struct Answer {
    errors: bool,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: Outcome,
}

#[derive(Deserialize)]
struct Outcome {
    status: u16,
    error: Option<Json>,
}

/// Reads the answer to a body.
pub fn outcome(bytes: &[u8]) -> Result<Stored, String> {
    let answer: Answer =
        serde_json::from_slice(bytes).map_err(|error| format!("its answer cannot be read: {error}"))?;
    if !answer.errors {
        return Ok(Stored::All);
    }
    let words = |outcome: &Outcome| {
        let error = outcome.error.clone().unwrap_or_default();
        // The cause says why; what surrounds it repeats the value.
        let reason = error["caused_by"]["reason"].as_str().or(error["reason"].as_str());
        reason.unwrap_or("no reason was given").chars().take(400).collect::<String>()
    };
    let failed: Vec<(usize, &Outcome)> =
        answer.items.iter().map(|item| &item.index).enumerate().filter(|(_, item)| item.error.is_some()).collect();
    match failed.iter().find(|(_, item)| item.status != 429).or(failed.first()) {
        Some((_, first)) if first.status == 429 => Ok(Stored::Later(words(first))),
        Some((place, first)) => Ok(Stored::Refused(failed.len(), *place, words(first))),
        None => Err("it says that points were refused, but not which".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn point(series: &str, tags: &[(&str, &str)], timestamp: i64) -> Point {
        let tags = tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Point { series: series.to_owned(), tags, timestamp, value: 1e300 }
    }

    #[test]
    fn an_id_is_that_of_the_series_its_tags_and_the_instant() {
        let ids = [
            id(&point("a", &[], 0)),
            id(&point("a", &[], 1)),
            id(&point("ab", &[], 0)),
            id(&point("a", &[("b", "c")], 0)),
            id(&point("a", &[("bc", "x")], 0)),
            id(&point("a", &[("b", "cx")], 0)),
            id(&point("a", &[("b", &"c".repeat(10_000))], 0)),
        ];
        let distinct: BTreeMap<&String, ()> = ids.iter().map(|id| (id, ())).collect();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(id(&point("a", &[("b", "c"), ("d", "")], 0)), id(&point("a", &[("b", "c")], 0)));
        assert!(ids.iter().all(|id| id.len() == 40));
    }

    /// What a server answered to a date that is none, a good document, one whose id was taken, and an index with a bad name.
    const ANSWER: &str = include_str!("../../../tests/testdata/elasticsearch/bulk.json");

    #[test]
    fn refused_points_are_told_and_those_that_had_no_room_are_sent_again() {
        let answer = ANSWER.replace("\"create\"", "\"index\"");
        let words = "failed to parse date field [not a date] with format [strict_date_optional_time||epoch_millis]";
        assert_eq!(outcome(answer.as_bytes()), Ok(Stored::Refused(3, 0, words.to_owned())));
        let full = r#"{"errors":true,"items":[{"index":{"status":201}},
            {"index":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"rejected"}}}]}"#;
        assert_eq!(outcome(full.as_bytes()), Ok(Stored::Later("rejected".to_owned())));
        assert_eq!(outcome(br#"{"errors":false}"#), Ok(Stored::All));
        assert!(outcome(br#"{"errors":true}"#).is_err() && outcome(b"{").is_err());
    }

    #[test]
    fn an_index_that_would_change_values_is_not_written_to() {
        let types = |value: &str| FieldTypes::from([("value".to_owned(), [value.to_owned()].into())]);
        assert_eq!(check_fields("i", &types("double")), Ok(()));
        assert!(check_fields("i", &types("long")).unwrap_err().contains("`value` as long and not as double"));
    }

    #[test]
    fn a_body_is_two_lines_a_point() {
        let bodies = bodies(&[point("a \"b\"\n", &[("k.l", "v"), ("e", "")], -5)]);
        let text = String::from_utf8(bodies[0].1.clone()).unwrap();
        let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let document = json!({ "@timestamp": -5, "series": "a \"b\"\n", "value": 1e300, "tags": { "k.l": "v" } });
        assert_eq!(lines[1], document);
        assert!(text.ends_with('\n'));
        let many: Vec<Point> = (0..12_000).map(|at| point("a", &[], at)).collect();
        let counts: Vec<usize> = super::bodies(&many).into_iter().map(|(count, _)| count).collect();
        assert_eq!(counts, [5_000, 5_000, 2_000]);
    }
}
