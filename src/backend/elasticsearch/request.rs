//! Selections → the lines of one `_msearch`. What a user or a parameter said is always a JSON text, never syntax.

use std::ops::Range;

use serde_json::{Map, Value as Json, json};

use super::form::{Form, Series, Value};
use super::mapping::Filter;
use super::slice::Slice;
use crate::backend::{Selection, ValuesQuery};
use crate::series::{Aggregate, Kind};

/// Parts of the answer. Status and error are in every item: one without anything would vanish, and the positions shift.
pub const PATH: &str = "/_msearch?filter_path=responses.status,responses.error,responses.timed_out,\
    responses._shards.failed,responses.aggregations,responses.hits.hits.sort,responses.hits.hits.fields,\
    responses.hits.hits._source,responses.hits.hits._ignored";

/// A filter's value so long may be over the `ignore_above` of its field, so that the index does not know it.
const LONG_VALUE: usize = 200;
/// Bytes of a value that an index can keep.
const MAX_TERM: usize = 32_766;

/// What is read of a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Depth {
    /// An aggregate by group and bucket.
    Buckets,
    /// By group and bucket, how many points have each value: what percentiles need.
    Values,
    /// By group and millisecond, the greatest value: what first and last need.
    Instants,
    /// Every document, with all that tells its stored series.
    Documents,
}

impl Depth {
    /// What gives an exact answer.
    pub fn of(kind: Kind, aggregate: Aggregate) -> Depth {
        match (kind, aggregate) {
            (Kind::Counter | Kind::Distinct, _) => Depth::Documents,
            (_, Aggregate::Percentile(_)) => Depth::Values,
            (_, Aggregate::First | Aggregate::Last) => Depth::Instants,
            _ => Depth::Buckets,
        }
    }

    /// The length of the rows' buckets.
    fn interval(self, slice: &Slice) -> Slice {
        match self {
            Depth::Buckets | Depth::Values => *slice,
            Depth::Instants | Depth::Documents => Slice { interval: 1, ..*slice },
        }
    }
}

/// One search of a selection.
#[derive(Debug, Clone)]
pub struct Search {
    /// Which selection of the batch.
    pub selection: usize,
    pub depth: Depth,
    pub slice: Slice,
    /// Rows or documents of its page at most.
    pub size: usize,
    /// Where the page before it ended, as the server said.
    pub after: Option<Box<serde_json::value::RawValue>>,
}

/// The two lines of a search.
pub fn lines(search: &Search, selection: &Selection, form: &Form) -> Vec<u8> {
    let range = search.slice.from..search.slice.to;
    let query = query(form, &selection.series, selection.filter.iter(), &range, true);
    let body = match search.depth {
        Depth::Documents => documents(search, form, query),
        _ => rows(search, selection, form, query),
    };
    both_lines(&form.index, &body)
}

/// A search fails as a whole rather than with what some of the shards know.
pub fn both_lines(index: &str, body: &Json) -> Vec<u8> {
    let header = json!({ "index": index, "allow_partial_search_results": false });
    format!("{header}\n{body}\n").into_bytes()
}

fn rows(search: &Search, selection: &Selection, form: &Form, query: Json) -> Json {
    let grid = search.depth.interval(&search.slice);
    let mut sources: Vec<Json> = Vec::new();
    for (index, tag) in selection.group_by.iter().enumerate() {
        let mut source = Map::new();
        source.insert(format!("g{index}"), json!({ "terms": { "field": form.field(tag), "missing_bucket": true } }));
        sources.push(Json::Object(source));
    }
    let mut histogram = json!({ "field": form.time, "fixed_interval": format!("{}ms", grid.interval) });
    if grid.offset() > 0 {
        histogram["offset"] = json!(format!("{}ms", grid.offset()));
    }
    sources.push(json!({ "t": { "date_histogram": histogram } }));
    if search.depth == Depth::Values
        && let Value::Field(field) | Value::FieldOrOne(field) = &form.value
    {
        sources.push(json!({ "v": { "terms": { "field": field, "missing_bucket": true } } }));
    }
    let mut composite = json!({ "size": search.size, "sources": sources });
    if let Some(after) = &search.after {
        composite["after"] = serde_json::from_str(after.get()).unwrap_or_default();
    }
    let mut read = json!({ "composite": composite });
    let metrics = metrics(selection.aggregate, search.depth, &form.value);
    if !metrics.is_empty() {
        read["aggs"] = Json::Object(metrics);
    }
    let mut aggs = json!({ "rows": read });
    let unsure = unsure_fields(selection, form);
    if !unsure.is_empty() {
        aggs["cut"] = json!({ "filter": { "terms": { "_ignored": unsure } } });
    }
    json!({ "size": 0, "track_total_hits": false, "query": query, "aggs": aggs })
}

/// `s`: the aggregate; `n`: how many points.
fn metrics(aggregate: Aggregate, depth: Depth, value: &Value) -> Map<String, Json> {
    let (field, missing) = match value {
        Value::Field(field) => (field, None),
        Value::FieldOrOne(field) => (field, Some(1)),
        Value::One => return Map::new(),
    };
    let metric = |name: &str| {
        let mut of = json!({ "field": field });
        if let Some(missing) = missing {
            of["missing"] = json!(missing);
        }
        let mut metric = Map::new();
        metric.insert(name.to_owned(), of);
        Json::Object(metric)
    };
    let wanted: &[(&str, &str)] = match (depth, aggregate) {
        (Depth::Values | Depth::Documents, _) => &[],
        (Depth::Instants, _) | (_, Aggregate::Max) => &[("s", "max")],
        (_, Aggregate::Min) => &[("s", "min")],
        (_, Aggregate::Count) => &[("n", "value_count")],
        (_, Aggregate::Avg) => &[("s", "sum"), ("n", "value_count")],
        (_, Aggregate::Sum | Aggregate::First | Aggregate::Last | Aggregate::Percentile(_)) => &[("s", "sum")],
    };
    wanted.iter().map(|(name, kind)| ((*name).to_owned(), metric(kind))).collect()
}

/// Fields of which a value that the index left out (`ignore_above`) would be taken for a missing one.
pub fn unsure_fields<'a>(selection: &'a Selection, form: &'a Form) -> Vec<&'a str> {
    let filtered = selection.filter.iter().filter(|(_, any)| any.iter().any(|value| is_unsure(value)));
    let mut fields: Vec<&str> =
        selection.group_by.iter().chain(filtered.map(|(tag, _)| tag)).map(|tag| form.field(tag)).collect();
    fields.sort_unstable();
    fields.dedup();
    fields
}

fn is_unsure(value: &str) -> bool {
    value.is_empty() || value.len() > LONG_VALUE
}

fn documents(search: &Search, form: &Form, query: Json) -> Json {
    let mut fields: Vec<&str> = form.identity.iter().map(String::as_str).collect();
    if let Value::Field(field) | Value::FieldOrOne(field) = &form.value {
        fields.push(field);
    }
    let mut sort = Map::new();
    sort.insert(form.time.clone(), json!({ "order": "asc", "unmapped_type": "date", "numeric_type": "date" }));
    json!({
        "size": search.size, "track_total_hits": false, "query": query, "sort": [sort],
        "_source": ["tags"], "docvalue_fields": fields,
    })
}

fn query<'a>(
    form: &Form,
    series: &str,
    filter: impl Iterator<Item = (&'a String, &'a Vec<String>)>,
    range: &Range<i64>,
    with_value: bool,
) -> Json {
    let mut times = Map::new();
    let bounds = json!({ "gte": range.start, "lt": range.end, "format": "epoch_millis" });
    times.insert(form.time.clone(), bounds);
    let mut all = vec![json!({ "range": times })];
    match &form.series {
        Series::All => {}
        Series::Named(field) => all.push(any_of(field, &[series])),
        Series::NamedOrNone(field) => all.push(either(vec![any_of(field, &[series]), none_of(field)])),
    }
    all.extend(filter.map(|(tag, any)| tag_query(form.field(tag), any)));
    if let (true, Value::Field(field)) = (with_value, &form.value) {
        all.push(json!({ "exists": { "field": field } }));
    }
    match &form.filter {
        None => {}
        Some(Filter::QueryString(text)) => all.push(json!({ "query_string": { "query": text } })),
        // Wrapped, so that a query that is wrong fails its own search and not the whole request.
        Some(Filter::Dsl(query)) => {
            all.push(json!({ "wrapper": { "query": base64(Json::Object(query.clone()).to_string().as_bytes()) } }));
        }
    }
    json!({ "bool": { "filter": all } })
}

/// `""` also matches a missing tag. Documents of which the index left out a value that may be the one are let through, for
/// [`unsure_fields`] to find.
fn tag_query(field: &str, any: &[String]) -> Json {
    let values: Vec<&str> = any.iter().map(String::as_str).collect();
    let mut ways = vec![any_of(field, &values)];
    if values.contains(&"") {
        ways.push(none_of(field));
    } else if values.iter().any(|value| is_unsure(value)) {
        ways.push(json!({ "term": { "_ignored": field } }));
    }
    either(ways)
}

fn any_of(field: &str, values: &[&str]) -> Json {
    // A longer value is in no index, and asking for one would fail the whole request.
    let values: Vec<&&str> = values.iter().filter(|value| value.len() <= MAX_TERM).collect();
    let mut terms = Map::new();
    terms.insert(field.to_owned(), json!(values));
    json!({ "terms": terms })
}

fn none_of(field: &str) -> Json {
    // `exists` takes a `*` in a field's name for a wildcard; a range does not.
    let present = if field.contains('*') {
        let mut range = Map::new();
        range.insert(field.to_owned(), json!({ "gte": "" }));
        json!({ "range": range })
    } else {
        json!({ "exists": { "field": field } })
    };
    json!({ "bool": { "must_not": [present] } })
}

fn either(mut ways: Vec<Json>) -> Json {
    if ways.len() == 1 {
        return ways.remove(0);
    }
    json!({ "bool": { "should": ways, "minimum_should_match": 1 } })
}

/// The two lines that ask for the values of a tag.
pub fn values_lines(values: &ValuesQuery, form: &Form, range: &Range<i64>, size: usize) -> Vec<u8> {
    let query = query(form, &values.series, values.filter.iter(), range, true);
    let terms = json!({ "field": form.field(&values.tag), "size": size, "order": { "_key": "asc" } });
    let body =
        json!({ "size": 0, "track_total_hits": false, "query": query, "aggs": { "values": { "terms": terms } } });
    both_lines(&form.index, &body)
}

/// A name as a segment of a path. Commas and wildcards mean something to Elasticsearch, encoded or not.
pub fn in_path(name: &str) -> String {
    let mut path = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b',' | b'*' => path.push(byte as char),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > three.len() { '=' } else { letter as char });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_usual_one() {
        for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn names_cannot_leave_their_segment_of_a_path() {
        assert_eq!(in_path("a-*,b_1.x"), "a-*,b_1.x");
        assert_eq!(in_path("a/../b?c#d é"), "a%2F..%2Fb%3Fc%23d%20%C3%A9");
    }
}
