//! The answer of an `_msearch` → rows, documents or errors of each search.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::series::Tags;

/// What a search came to.
#[derive(Debug)]
pub enum Item<'a> {
    /// What was found; nothing where the index is not there.
    Found(Found<'a>),
    /// The server refused it.
    Refused(Refusal),
}

/// What a search found.
#[derive(Debug, Default)]
pub struct Found<'a> {
    pub rows: Vec<Row<'a>>,
    /// Where the next page begins, when there is one.
    pub after: Option<&'a RawValue>,
    pub documents: Vec<Document<'a>>,
    /// Documents of which the index left out a value that the search looks at.
    pub cut: u64,
}

/// Why a search was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    /// The server's own words: the innermost reason.
    pub words: String,
    /// `index_not_found_exception`, …
    pub kind: String,
    /// How many rows or documents a search may have, when it asked for more.
    pub max_size: Option<usize>,
}

impl Refusal {
    /// What an error says.
    pub fn of(status: u16, error: &Json) -> Refusal {
        let mut reasons = vec![error];
        // The shard's own reason says more than what surrounds it; a cause more than its effect.
        if let Some(shard) = error["failed_shards"].get(0) {
            reasons.push(&shard["reason"]);
        }
        let mut cause = &error["caused_by"];
        while cause.is_object() && reasons.len() < 20 {
            reasons.push(cause);
            cause = &cause["caused_by"];
        }
        let text = |reason: &Json, key: &str| reason[key].as_str().unwrap_or_default().to_owned();
        let innermost = reasons.iter().rev().find(|reason| !text(reason, "reason").is_empty());
        let words = innermost.map_or_else(|| error.to_string(), |reason| text(reason, "reason"));
        let kind = reasons.iter().map(|reason| text(reason, "type")).find(|kind| !kind.is_empty()).unwrap_or_default();
        let max_size = max_size(&words);
        Refusal { status, words: words.chars().take(600).collect(), kind, max_size }
    }

    /// Whether the server had no room or time for the search, so that it may be answered later.
    pub fn is_overload(&self) -> bool {
        self.max_size.is_none() && (self.status == 429 || self.status >= 500)
    }
}

/// One bucket: the key of its group, its start, and what was asked of it.
#[derive(Debug, Deserialize)]
pub struct Row<'a> {
    #[serde(borrow)]
    pub key: Key<'a>,
    pub doc_count: u64,
    /// The aggregate.
    pub s: Option<Metric>,
    /// How many points.
    pub n: Option<Metric>,
}

/// A metric of a bucket.
#[derive(Debug, Deserialize)]
pub struct Metric {
    pub value: Number,
}

/// A number; a text (`"NaN"`, `"Infinity"`) where it is none, which only a sum that overflowed is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number(pub f64);

/// The key of a row: `g0`, `g1`, …, `t` and `v`.
#[derive(Debug, Default)]
pub struct Key<'a> {
    pub group: Vec<Cow<'a, str>>,
    pub start: i64,
    pub value: Option<f64>,
}

/// A stored document.
#[derive(Debug, Deserialize)]
pub struct Document<'a> {
    sort: [Json; 1],
    #[serde(default, borrow, rename = "_source")]
    source: Source<'a>,
    /// Fields of which the index left out the value.
    #[serde(default, rename = "_ignored")]
    pub ignored: Vec<String>,
    /// Values of the fields asked for.
    #[serde(default)]
    pub fields: BTreeMap<String, Vec<Json>>,
}

#[derive(Debug, Default, Deserialize)]
struct Source<'a> {
    #[serde(borrow)]
    tags: Option<&'a RawValue>,
}

impl Document<'_> {
    /// Its instant.
    pub fn timestamp(&self) -> Option<i64> {
        self.sort[0].as_i64()
    }

    /// Its tags: those of the object `tags`, `None` where it has no such object.
    pub fn tags(&self) -> Option<Tags> {
        let tags: serde_json::Map<String, Json> = serde_json::from_str(self.source.tags?.get()).ok()?;
        let mut flat = Tags::new();
        let mut pending: Vec<(String, Json)> = tags.into_iter().collect();
        while let Some((name, value)) = pending.pop() {
            match value {
                Json::Object(inner) => {
                    pending.extend(inner.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
                }
                value => {
                    let text = text_of(&value);
                    if !text.is_empty() {
                        flat.insert(name, text);
                    }
                }
            }
        }
        Some(flat)
    }
}

/// A value of a tag's field as a text.
pub fn text_of(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Array(values) => values.iter().map(text_of).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    responses: Vec<Response<'a>>,
}

#[derive(Deserialize)]
struct Response<'a> {
    status: u16,
    error: Option<Json>,
    #[serde(default)]
    timed_out: bool,
    #[serde(default, rename = "_shards")]
    shards: Shards,
    #[serde(borrow)]
    aggregations: Option<Aggregations<'a>>,
    #[serde(borrow)]
    hits: Option<Hits<'a>>,
}

#[derive(Deserialize, Default)]
struct Shards {
    #[serde(default)]
    failed: u64,
}

#[derive(Deserialize)]
struct Aggregations<'a> {
    #[serde(borrow)]
    rows: Option<Composite<'a>>,
    cut: Option<Counted>,
    values: Option<Terms>,
}

#[derive(Deserialize)]
struct Composite<'a> {
    #[serde(borrow)]
    after_key: Option<&'a RawValue>,
    #[serde(borrow)]
    buckets: Vec<Row<'a>>,
}

#[derive(Deserialize)]
struct Counted {
    doc_count: u64,
}

#[derive(Deserialize)]
struct Terms {
    sum_other_doc_count: u64,
    buckets: Vec<Term>,
}

#[derive(Deserialize)]
struct Term {
    key: Json,
    key_as_string: Option<String>,
}

#[derive(Deserialize)]
struct Hits<'a> {
    #[serde(borrow, default)]
    hits: Vec<Document<'a>>,
}

/// One item for each of the `expected` searches. The error is for the whole answer.
pub fn items(bytes: &[u8], expected: usize) -> Result<Vec<Item<'_>>, String> {
    Ok(responses(bytes, expected)?.into_iter().map(item).collect())
}

fn responses(bytes: &[u8], expected: usize) -> Result<Vec<Response<'_>>, String> {
    let answer: Answer<'_> =
        serde_json::from_slice(bytes).map_err(|error| format!("its answer cannot be read: {error}"))?;
    match answer.responses.len() {
        count if count == expected => Ok(answer.responses),
        count => Err(format!("it answered {count} of {expected} searches")),
    }
}

fn item(response: Response<'_>) -> Item<'_> {
    if let Some(refusal) = refusal(&response) {
        return Item::Refused(refusal);
    }
    let mut found = Found::default();
    if let Some(aggregations) = response.aggregations {
        found.cut = aggregations.cut.map_or(0, |cut| cut.doc_count);
        if let Some(rows) = aggregations.rows {
            (found.rows, found.after) = (rows.buckets, rows.after_key);
        }
    }
    found.documents = response.hits.map(|hits| hits.hits).unwrap_or_default();
    Item::Found(found)
}

fn refusal(response: &Response<'_>) -> Option<Refusal> {
    let incomplete = |words: &str| {
        Some(Refusal { status: 503, words: words.to_owned(), kind: "incomplete".to_owned(), max_size: None })
    };
    match &response.error {
        Some(error) => Some(Refusal::of(response.status, error)),
        None if response.status != 200 => incomplete(&format!("status {}", response.status)),
        None if response.timed_out => incomplete("the search timed out"),
        None if response.shards.failed > 0 => incomplete("some of its shards failed"),
        None => None,
    }
}

/// `… too many buckets. Must be less than or equal to: [65536] …`, `Result window is too large, … equal to: [10000] …`.
fn max_size(words: &str) -> Option<usize> {
    if !words.contains("too many buckets") && !words.starts_with("Result window is too large") {
        return None;
    }
    words.split_once("less than or equal to: [")?.1.split_once(']')?.0.parse().ok()
}

/// The values of a tag that each search found, and whether it found more.
pub type TagValues = Result<(Vec<String>, bool), Refusal>;

/// One list for each of the `expected` searches for values.
pub fn tag_values(bytes: &[u8], expected: usize) -> Result<Vec<TagValues>, String> {
    let value = |term: Term| term.key_as_string.unwrap_or_else(|| text_of(&term.key));
    let list = |response: Response<'_>| match refusal(&response) {
        Some(refusal) => Err(refusal),
        None => {
            let terms = response.aggregations.and_then(|aggregations| aggregations.values);
            let more = terms.as_ref().is_some_and(|terms| terms.sum_other_doc_count > 0);
            Ok((terms.map_or(Vec::new(), |terms| terms.buckets.into_iter().map(value).collect()), more))
        }
    };
    Ok(responses(bytes, expected)?.into_iter().map(list).collect())
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Number, E> {
        Ok(Number(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Number, E> {
        Ok(Number(f64::INFINITY))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key<'a>, D::Error> {
        deserializer.deserialize_map(KeyVisitor(std::marker::PhantomData))
    }
}

struct KeyVisitor<'a>(std::marker::PhantomData<&'a str>);

impl<'de: 'a, 'a> Visitor<'de> for KeyVisitor<'a> {
    type Value = Key<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the key of a row")
    }

    /// The server keeps the order of the sources.
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Key<'a>, A::Error> {
        let mut key = Key::default();
        while let Some(name) = entries.next_key::<&str>()? {
            match name {
                "t" => key.start = entries.next_value()?,
                "v" => key.value = entries.next_value::<Option<Number>>()?.map(|number| number.0),
                _ => key.group.push(entries.next_value::<Label<'a>>()?.0),
            }
        }
        Ok(key)
    }
}

/// A value of a group's field: most often a text, which is borrowed where nothing in it is escaped.
struct Label<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Label<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Label<'a>, D::Error> {
        let raw: &'de RawValue = Deserialize::deserialize(deserializer)?;
        let text = raw.get();
        let plain = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).filter(|rest| !rest.contains('\\'));
        if let Some(plain) = plain {
            return Ok(Label(Cow::Borrowed(plain)));
        }
        let value: Json = serde_json::from_str(text).map_err(de::Error::custom)?;
        Ok(Label(Cow::Owned(text_of(&value))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server answered to: rows with a sum and a count, rows with values, no rows, documents, a sum over a keyword,
    /// values, an index that is not there, a pattern without indexes, too many documents.
    const ANSWER: &[u8] = include_bytes!("../../../tests/testdata/elasticsearch/msearch.json");
    const TOO_MANY_BUCKETS: &[u8] = include_bytes!("../../../tests/testdata/elasticsearch/too-many-buckets.json");

    fn found<'a>(items: &'a [Item<'_>], index: usize) -> &'a Found<'a> {
        let Item::Found(found) = &items[index] else { unreachable!("{:?}", items[index]) };
        found
    }

    fn refused<'a>(items: &'a [Item<'_>], index: usize) -> &'a Refusal {
        let Item::Refused(refusal) = &items[index] else { unreachable!("{:?}", items[index]) };
        refusal
    }

    #[test]
    fn rows_have_groups_starts_and_metrics() {
        let items = items(ANSWER, 9).unwrap();
        let with_sums = found(&items, 0);
        let groups: Vec<&str> = with_sums.rows.iter().map(|row| &*row.key.group[0]).collect();
        assert_eq!(groups, ["", "a", "a", "b\"q"]);
        assert_eq!(with_sums.rows[2].key.start, 1_795_305_660_000);
        let sums: Vec<f64> = with_sums.rows.iter().map(|row| row.s.as_ref().unwrap().value.0).collect();
        assert_eq!(sums, [0.1, 1.5, f64::INFINITY, 2.5]);
        assert_eq!(with_sums.rows[0].n.as_ref().unwrap().value, Number(2.0));
        assert_eq!(with_sums.cut, 1, "`toolong` is over the ignore_above of its field");
        let with_values = found(&items, 1);
        let values: Vec<f64> = with_values.rows.iter().map(|row| row.key.value.unwrap()).collect();
        assert_eq!(values, [-0.0, 0.1]);
        assert_eq!(with_values.after.unwrap().get(), r#"{"g0":null,"t":1795305720000,"v":0.1}"#);
        for nothing in [2, 7] {
            assert!(found(&items, nothing).rows.is_empty() && found(&items, nothing).after.is_none());
        }
    }

    #[test]
    fn documents_have_instants_values_and_flat_tags() {
        let items = items(ANSWER, 9).unwrap();
        let documents = &found(&items, 3).documents;
        assert_eq!(documents.len(), 6);
        assert_eq!(documents[1].timestamp(), Some(1_795_305_600_001));
        assert_eq!(documents[2].fields["value"][0].as_f64(), Some(1e308));
        let tags = documents[4].tags().unwrap();
        let tags: Vec<(&str, &str)> = tags.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(tags, [("list", "a,b"), ("n.o", "p")]);
    }

    #[test]
    fn refusals_are_told_in_the_innermost_words() {
        let items = items(ANSWER, 9).unwrap();
        let wrong_type = refused(&items, 4);
        assert_eq!(wrong_type.words, "Field [series] of type [keyword] is not supported for aggregation [sum]");
        assert!(!wrong_type.is_overload());
        assert_eq!(refused(&items, 6).kind, "index_not_found_exception");
        assert_eq!(refused(&items, 8).max_size, Some(10_000));
        let buckets = super::items(TOO_MANY_BUCKETS, 2).unwrap();
        assert_eq!(refused(&buckets, 1).max_size, Some(100));
    }

    #[test]
    fn an_answer_that_is_not_whole_is_no_answer() {
        assert_eq!(items(ANSWER, 8).unwrap_err(), "it answered 9 of 8 searches");
        assert!(items(&ANSWER[..ANSWER.len() / 2], 9).unwrap_err().starts_with("its answer cannot be read"));
        for (part, words) in [
            (r#""timed_out":true,"status":200"#, "the search timed out"),
            (r#""_shards":{"failed":1},"status":200"#, "some of its shards failed"),
            (r#""status":429"#, "status 429"),
        ] {
            let answer = format!("{{\"responses\":[{{{part}}}]}}");
            let items = items(answer.as_bytes(), 1).unwrap();
            assert_eq!(refused(&items, 0).words, words);
            assert!(refused(&items, 0).is_overload());
        }
    }

    #[test]
    fn values_say_whether_there_are_more() {
        let lists = tag_values(ANSWER, 9).unwrap();
        assert_eq!(lists[5], Ok((vec!["a".to_owned()], true)));
        assert_eq!(lists[7], Ok((vec![], false)));
        assert_eq!(lists[6].as_ref().unwrap_err().kind, "index_not_found_exception");
    }
}
