//! Elasticsearch as it is: what every backend must answer, each of its peculiarities, and documents of another form.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::tz::TimeZone;
use reqwest::Method;
use serde_json::{Value, json};
use tsdb_ws::backend::client::Client;
use tsdb_ws::backend::elasticsearch::Elasticsearch;
use tsdb_ws::backend::{Backend, SelectBatch, SelectLimits, Selected, Selection, SelectionError, ValuesQuery};
use tsdb_ws::config::BackendName;
use tsdb_ws::ingest;
use tsdb_ws::series::{Kind, Point, TimeAxis};

use crate::support::proxy::Proxy;
use crate::support::{ask, lists_what_it_stores, point, service};
use crate::{address, answers, conformance, one_request, unique, values};

const MINUTE: i64 = 60_000;
/// 2026-11-02T00:00:00Z.
const T: i64 = 1_793_577_600_000;
const LIMITS: SelectLimits = SelectLimits { groups: 1_000, cells: 2_000_000, raw_points: 2_000_000 };

fn backend(index: &str) -> Elasticsearch {
    Elasticsearch::new(&address("elasticsearch"), index, None, Duration::from_secs(120)).unwrap()
}

fn server() -> Client {
    Client::new("elasticsearch", &address("elasticsearch"), Duration::from_secs(60)).unwrap()
}

/// An index of documents of any form.
pub async fn index(name: &str, settings: Value, mut properties: Value, documents: &[Value]) {
    properties["@timestamp"] = json!({ "type": "date" });
    let json = [("content-type", "application/json")];
    let body = json!({ "settings": settings, "mappings": { "properties": properties } }).to_string();
    let made = server().send(Method::PUT, &format!("/{name}"), &json, Bytes::from(body)).await.unwrap();
    assert!(made.is_success(), "{}", made.words());
    let lines: String = documents.iter().map(|document| format!("{{\"index\":{{}}}}\n{document}\n")).collect();
    let stored = server().post(&format!("/{name}/_bulk?refresh=true"), &json, lines).await.unwrap();
    let answer: Value = serde_json::from_slice(&stored.body).unwrap();
    assert_eq!(answer["errors"], false, "{answer}");
}

/// A selection by the minute of ten minutes, and what the tests change of it.
fn selection(series: &str, kind: Kind, aggregate: &str, group_by: &[&str]) -> Selection {
    Selection {
        series: series.to_owned(),
        filter: BTreeMap::new(),
        kind,
        aggregate: aggregate.parse().unwrap(),
        group_by: group_by.iter().map(|tag| (*tag).to_owned()).collect(),
        mapping: String::new(),
        approximate: false,
        axis: TimeAxis::covering(T, T + 10 * MINUTE, "1m".parse().unwrap(), &TimeZone::UTC, 100).unwrap(),
        whole: None,
    }
}

fn sum(series: &str) -> Selection {
    selection(series, Kind::Delta, "sum", &[])
}

fn filtered(tag: &str, any: &[&str], selection: Selection) -> Selection {
    let mut any: Vec<String> = any.iter().map(|value| (*value).to_owned()).collect();
    any.sort();
    Selection { filter: BTreeMap::from([(tag.to_owned(), any)]), ..selection }
}

fn mapped(mapping: Value, selection: Selection) -> Selection {
    Selection { mapping: mapping.to_string(), ..selection }
}

fn batch(selections: Vec<Selection>) -> SelectBatch {
    SelectBatch { selections, step: "1m".parse().unwrap(), timezone: TimeZone::UTC, limits: LIMITS }
}

async fn select(backend: &Elasticsearch, selections: Vec<Selection>) -> Selected {
    backend.select(&batch(selections)).await.unwrap()
}

/// Groups as `key: sum of its buckets`, or the error.
fn totals(selected: &Selected, index: usize) -> Result<Vec<(String, f64)>, SelectionError> {
    let frame = selected.frames[index].as_ref().map_err(Clone::clone)?;
    let total = |values: &[f64]| values.iter().filter(|value| !value.is_nan()).sum();
    let key = |key: &[Arc<str>]| key.iter().map(|value| &**value).collect::<Vec<&str>>().join("|");
    Ok(frame.groups.iter().map(|group| (key(&group.key), total(&group.values))).collect())
}

fn group(key: &str, total: f64) -> (String, f64) {
    (key.to_owned(), total)
}

fn words(selected: &Selected, index: usize) -> String {
    selected.frames[index].as_ref().unwrap_err().to_string()
}

#[tokio::test]
async fn every_case_equals_the_reference() {
    conformance::run(&backend(&unique()), &unique()).await;
}

#[tokio::test]
async fn random_selections_equal_the_reference() {
    conformance::random(&backend(&unique()), &unique(), 200).await;
}

#[tokio::test]
async fn whole_answers_equal_plain_arithmetic_and_are_one_request_each() {
    let proxy = Proxy::before(&address("elasticsearch"));
    answers::run(
        BackendName::Elasticsearch,
        &proxy,
        Arc::new(Elasticsearch::new(&proxy.url, &unique(), None, Duration::from_secs(120)).unwrap()),
        &unique(),
    )
    .await;
}

#[tokio::test]
async fn values_are_those_of_points_in_the_range() {
    values::run(&backend(&unique()), &unique()).await;
}

#[tokio::test]
async fn sixty_formulas_are_one_request() {
    let proxy = Proxy::before(&address("elasticsearch"));
    let store = Elasticsearch::new(&proxy.url, &unique(), None, Duration::from_secs(120)).unwrap();
    one_request::run(BackendName::Elasticsearch, &proxy, Arc::new(store), &unique()).await;
}

#[tokio::test]
async fn stored_names_are_listed_with_their_tags() {
    lists_what_it_stores(&backend(&unique()), &unique()).await;
    assert_eq!(backend(&unique()).list_series("*", 10).await.unwrap(), (Vec::new(), false), "no index yet");
}

#[tokio::test]
async fn a_real_test_is_loaded_twice_and_summed_exactly_at_every_step() {
    let store = backend(&unique());
    for _ in 0..2 {
        let file = std::fs::File::open("tests/testdata/ab_test_2017.csv").unwrap();
        let report = ingest::load(file, None, &store, 0, &|_, _| {}).await.unwrap();
        assert_eq!((report.stored, report.refused), (44_048, 0));
    }
    let keyspace = "
metrics:
  visitors: { series: shop.visitors, group_by: [variation] }
  customers: { series: shop.customers, group_by: [variation] }
formulas: { v: visitors, c: customers, conversion_rate: customers / visitors }
";
    let service = service(&[("shop.yaml", keyspace)], BackendName::Elasticsearch, Arc::new(store), 1_700_000_000_000);
    for step in ["1m", "7m", "1h", "1d"] {
        let request = json!({ "formulas": ["v", "c", "conversion_rate"], "from": "2017-01-02T00:00:00Z",
            "to": "2017-01-25T00:00:00Z", "step": step, "summary": true });
        let answer = ask(&service, "shop", request).await.unwrap();
        let sum = |formula: usize, series: usize| -> f64 {
            let values = &answer["results"][formula]["series"][series]["values"];
            values.as_array().unwrap().iter().filter_map(Value::as_f64).sum()
        };
        assert_eq!([sum(0, 0), sum(0, 1), sum(1, 0), sum(1, 1)], [28_521.0, 28_515.0, 3_472.0, 3_387.0], "{step}");
        let series = &answer["results"][2]["series"];
        assert_eq!(series[0]["summary"], json!(3472.0 / 28521.0));
        assert_eq!(series[1]["summary"], json!(3387.0 / 28515.0));
        assert_eq!(answer["stats"]["backend_calls"], 1, "{step}");
    }
}

#[tokio::test]
async fn before_the_first_write_there_is_no_data_and_after_it_what_was_acknowledged() {
    let store = backend(&unique());
    let values =
        ValuesQuery { series: "a".to_owned(), filter: BTreeMap::new(), tag: "v".to_owned(), mapping: String::new() };
    let read = || vec![sum("a"), selection("a", Kind::Counter, "sum", &["v"])];
    let selected = select(&store, read()).await;
    assert_eq!((totals(&selected, 0), totals(&selected, 1)), (Ok(vec![]), Ok(vec![])));
    let range = T..T + MINUTE;
    assert_eq!(store.tag_values(std::slice::from_ref(&values), range.clone(), 5).await.unwrap(), (Vec::new(), false));
    for value in [1.0, 2.5] {
        store.write(&[point("a", "v=x", T, value), point("a", "v=", T, value)]).await.unwrap();
        assert_eq!(totals(&select(&store, read()).await, 0), Ok(vec![group("", value * 2.0)]));
    }
    assert_eq!(store.tag_values(&[values], range, 5).await.unwrap(), (vec!["x".to_owned()], false));
    store.check_health().await.unwrap();
}

#[tokio::test]
async fn selections_without_documents_and_failed_ones_leave_the_others_in_their_places() {
    let name = unique();
    let store = backend(&name);
    store.write(&[point("a", "v=x", T, 1.0), point("b", "v=x", T, 0.0)]).await.unwrap();
    let bad_filter = json!({ "filter": { "nope": { "a": 1 } } });
    let bad_syntax = json!({ "filter": "series:(a" });
    let selected = select(
        &store,
        vec![
            sum("nothing"),
            sum("a"),
            mapped(json!({ "index": "no-such-index" }), sum("a")),
            mapped(json!({ "index": "no-such-*" }), sum("a")),
            mapped(json!({ "value_field": "series" }), sum("a")),
            mapped(bad_filter, sum("a")),
            mapped(bad_syntax, sum("a")),
            mapped(json!({ "indx": "a" }), sum("a")),
            sum("b"),
        ],
    )
    .await;
    assert_eq!(totals(&selected, 0), Ok(vec![]));
    assert_eq!(totals(&selected, 1), Ok(vec![group("", 1.0)]));
    assert!(words(&selected, 2).contains("no such index [no-such-index]"), "{}", words(&selected, 2));
    assert_eq!(totals(&selected, 3), Ok(vec![]));
    assert!(words(&selected, 4).contains("keyword"), "{}", words(&selected, 4));
    assert!(words(&selected, 5).contains("nope"), "{}", words(&selected, 5));
    assert!(words(&selected, 6).contains("series:(a"), "{}", words(&selected, 6));
    assert!(words(&selected, 7).contains("no key `indx`"), "{}", words(&selected, 7));
    let frame = selected.frames[8].as_ref().unwrap();
    assert_eq!(frame.groups[0].values[0], 0.0, "a zero is no empty bucket");
    assert!(frame.groups[0].values[1..].iter().all(|value| value.is_nan()));
    // Three indexes were asked for their fields, and the searches were one request.
    assert_eq!(selected.calls, 4);
}

#[tokio::test]
async fn more_groups_and_buckets_than_a_page_holds_are_all_read() {
    let store = backend(&unique());
    // 100 series of 700 minutes, each minute at its own second: 70,000 rows of points, buckets and values.
    let points = |from: i64, to: i64| -> Vec<Point> {
        let at = |minute: i64| (0..100).map(move |series| (minute, series));
        let all = (from..to).flat_map(at);
        all.map(|(minute, series)| {
            point("wide", &format!("k={series:03}"), T + minute * MINUTE + series * 10, (minute * 100 + series) as f64)
        })
        .collect()
    };
    for part in 0..7 {
        store.write(&points(part * 100, part * 100 + 100)).await.unwrap();
    }
    let axis = TimeAxis::covering(T, T + 700 * MINUTE, "1m".parse().unwrap(), &TimeZone::UTC, 10_000).unwrap();
    let wide =
        |kind: Kind, aggregate: &str| Selection { axis: axis.clone(), ..selection("wide", kind, aggregate, &["k"]) };
    let kinds = [
        (Kind::Delta, "sum"),
        (Kind::Delta, "avg"),
        (Kind::Gauge, "p50"),
        (Kind::Gauge, "last"),
        (Kind::Counter, "sum"),
    ];
    // The second time the density is known, and the pages are searches of one request.
    for expected_calls in [2..=9, 1..=1] {
        let mut calls = 0;
        for (kind, aggregate) in kinds {
            let selected = select(&store, vec![wide(kind, aggregate)]).await;
            calls = calls.max(selected.calls);
            let frame = selected.frames[0].as_ref().unwrap();
            assert_eq!(frame.groups.len(), 100, "{aggregate}");
            for (series, group) in frame.groups.iter().enumerate() {
                for (minute, value) in group.values.iter().enumerate() {
                    match (kind, minute) {
                        (Kind::Counter, 0) => assert!(value.is_nan()),
                        (Kind::Counter, _) => assert_eq!(*value, 100.0, "{series} {minute}"),
                        _ => assert_eq!(*value, (minute * 100 + series) as f64, "{aggregate} {series} {minute}"),
                    }
                }
            }
        }
        assert!(expected_calls.contains(&calls), "{calls} calls, not {expected_calls:?}");
    }
    let few = SelectLimits { groups: 99, ..LIMITS };
    let limited = SelectBatch { limits: few, ..batch(vec![wide(Kind::Delta, "sum"), sum("wide")]) };
    let selected = store.select(&limited).await.unwrap();
    assert_eq!(selected.frames[0], Err(SelectionError::Limit { limit: "series", value: 100, maximum: 99 }));
    assert!(selected.frames[1].is_ok());
    let few = SelectLimits { raw_points: 20_000, ..LIMITS };
    let limited = SelectBatch { limits: few, ..batch(vec![wide(Kind::Counter, "sum")]) };
    let frame = store.select(&limited).await.unwrap().frames.remove(0);
    assert!(matches!(frame, Err(SelectionError::Limit { limit: "raw_points", maximum: 20_000, .. })), "{frame:?}");
    let query =
        ValuesQuery { series: "wide".to_owned(), filter: BTreeMap::new(), tag: "k".to_owned(), mapping: String::new() };
    let (values, truncated) = store.tag_values(&[query], T..T + MINUTE, 30).await.unwrap();
    assert_eq!((values.len(), &*values[29], truncated), (30, "029", true));
}

#[tokio::test]
async fn an_index_with_small_pages_is_read_by_them() {
    let name = unique();
    let documents: Vec<Value> = (0..90)
        .map(|at| json!({ "@timestamp": T + at / 3 * 1000, "series": "c", "value": at / 3, "tags": { "k": at % 3 } }))
        .collect();
    let properties =
        json!({ "tags": { "properties": { "k": { "type": "keyword" } } }, "series": { "type": "keyword" } });
    index(&name, json!({ "index.max_result_window": 10 }), properties, &documents).await;
    let selected = select(&backend(&name), vec![selection("c", Kind::Counter, "sum", &["k"])]).await;
    assert_eq!(totals(&selected, 0), Ok(vec![group("0", 29.0), group("1", 29.0), group("2", 29.0)]));
    assert!(selected.calls > 2);
}

#[tokio::test]
async fn a_value_that_the_index_cannot_keep_is_refused_and_one_that_it_left_out_is_never_taken_for_missing() {
    let store = backend(&unique());
    let long = "x".repeat(40_000);
    let good = point("a", "v=short", T, 1.0);
    let error = store.write(&[good.clone(), point("a", &format!("v={long}"), T, 1.0)]).await.unwrap_err().to_string();
    assert!(error.contains("points refused: 1; the first, of a") && error.contains("immense term"), "{error}");
    let fits = "y".repeat(10_000);
    store.write(&[good, point("a", &format!("v={fits}"), T, 2.0)]).await.unwrap();
    let selected = select(&store, vec![selection("a", Kind::Delta, "sum", &["v"])]).await;
    assert_eq!(totals(&selected, 0), Ok(vec![group("short", 1.0), group(&fits, 2.0)]));

    let name = unique();
    let keyword = json!({ "type": "keyword", "ignore_above": 300 });
    let properties = json!({ "series": { "type": "keyword" }, "tags": { "properties": { "v": keyword } } });
    let document = |v: &str| json!({ "@timestamp": T, "series": "a", "value": 1, "tags": { "v": v } });
    let long = "z".repeat(400);
    index(&name, json!({}), properties, &[document("short"), document(&long)]).await;
    let read = selection("a", Kind::Delta, "sum", &[]);
    let selected = select(
        &backend(&name),
        vec![
            sum("a"),
            filtered("v", &["short"], read.clone()),
            selection("a", Kind::Delta, "sum", &["v"]),
            filtered("v", &[""], read.clone()),
            filtered("v", &[&long], read),
        ],
    )
    .await;
    assert_eq!(totals(&selected, 0), Ok(vec![group("", 2.0)]));
    assert_eq!(totals(&selected, 1), Ok(vec![group("", 1.0)]));
    for index in 2..5 {
        assert!(words(&selected, index).contains("ignore_above"), "{index}: {:?}", selected.frames[index]);
    }
}

#[tokio::test]
async fn an_index_that_was_made_without_the_template_is_not_written_to() {
    let name = unique();
    index(&name, json!({}), json!({}), &[json!({ "@timestamp": T, "series": "a", "value": 1, "tags": {} })]).await;
    let error = backend(&name).write(&[point("a", "", T, 1.5)]).await.unwrap_err().to_string();
    assert!(error.contains("made without the template"), "{error}");
}

/// Events as a shop would log them, with what Elasticsearch makes of their fields by itself.
async fn events(name: &str) {
    let event = |second: i64, variation: &str, amount: Value, status: i64, vip: bool| {
        json!({ "at": T + second * 1000, "variation": variation, "labels": { "host": "h1" }, "amount": amount,
            "status": status, "vip": vip, "message": format!("sold in {variation}") })
    };
    let documents = [
        event(0, "control", json!(10.5), 200, true),
        event(1, "control", json!(20), 200, false),
        event(1, "control", json!(20), 500, false),
        event(61, "Treatment One", json!(1.25), 200, false),
        event(62, "Treatment One", Value::Null, 200, true),
        event(63, "treatment", json!(0), 404, true),
    ];
    let properties = json!({ "at": { "type": "date_nanos" }, "amount": { "type": "float" } });
    index(name, json!({ "number_of_shards": 3 }), properties, &documents).await;
}

#[tokio::test]
async fn documents_of_another_form_are_read_through_the_mapping() {
    let name = unique();
    events(&name).await;
    let store = backend("not-there");
    let own = |more: Value| {
        let mut mapping = json!({ "index": format!("{name}*"), "time_field": "at", "value_field": "amount" });
        mapping.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        mapping
    };
    let by = |tag: &str, aggregate: &str| selection("whatever", Kind::Gauge, aggregate, &[tag]);
    let selections = vec![
        mapped(own(json!({})), by("variation", "sum")),
        mapped(own(json!({})), by("variation", "count")),
        mapped(own(json!({ "value_field": null })), by("variation", "sum")),
        mapped(own(json!({ "filter": "status:200 AND vip:true" })), by("variation", "count")),
        mapped(own(json!({ "filter": { "range": { "status": { "gte": 400 } } } })), by("variation", "max")),
        mapped(own(json!({ "tag_fields": { "v": "variation" } })), by("v", "p50")),
        mapped(own(json!({})), by("status", "sum")),
        mapped(own(json!({})), by("vip", "sum")),
        mapped(own(json!({ "tag_fields": ["labels.host"] })), by("labels.host", "first")),
        // A text would match by its words: `control` is one of the message's.
        mapped(own(json!({ "tag_fields": { "v": "message" } })), filtered("v", &["control"], by("v", "sum"))),
        mapped(own(json!({})), filtered("variation", &["Treatment", "treatment one"], by("variation", "sum"))),
        mapped(own(json!({})), filtered("variation", &["", "Treatment One"], by("variation", "last"))),
    ];
    let expected = [
        vec![group("Treatment One", 1.25), group("control", 50.5), group("treatment", 0.0)],
        vec![group("Treatment One", 1.0), group("control", 3.0), group("treatment", 1.0)],
        vec![group("Treatment One", 2.0), group("control", 3.0), group("treatment", 1.0)],
        vec![group("control", 1.0)],
        vec![group("control", 20.0), group("treatment", 0.0)],
        vec![group("Treatment One", 1.25), group("control", 20.0), group("treatment", 0.0)],
        vec![group("200", 31.75), group("404", 0.0), group("500", 20.0)],
        vec![group("false", 41.25), group("true", 10.5)],
        vec![group("h1", 10.5 + 1.25)],
        vec![],
        vec![],
        vec![group("Treatment One", 1.25)],
    ];
    for calls in [2, 1] {
        let selected = select(&store, selections.clone()).await;
        for (index, expected) in expected.iter().enumerate() {
            assert_eq!(totals(&selected, index).as_ref(), Ok(expected), "selection {index}");
        }
        assert_eq!(selected.calls, calls, "the fields of the index are asked for once");
    }
    let selected = select(&store, vec![mapped(own(json!({})), by("nothing", "min"))]).await;
    assert_eq!(totals(&selected, 0), Ok(vec![group("", 10.5)]), "a tag that no document has is missing");
    let query = |tag: &str| ValuesQuery {
        series: "whatever".to_owned(),
        filter: BTreeMap::from([("status".to_owned(), vec!["200".to_owned()])]),
        tag: tag.to_owned(),
        mapping: own(json!({})).to_string(),
    };
    let (values, _) = store.tag_values(&[query("variation")], T..T + MINUTE, 9).await.unwrap();
    assert_eq!(values, ["control"]);
    let (values, _) = store.tag_values(&[query("variation"), query("vip")], T..T + 9 * MINUTE, 9).await.unwrap();
    assert_eq!(values, ["Treatment One", "control", "false", "true"]);
}

#[tokio::test]
async fn the_stored_series_of_documents_are_told_apart_by_their_fields() {
    let name = unique();
    let level = |second: i64, host: &str, zone: &str, value: i64| json!({ "@timestamp": T + second * 1000, "host": host, "zone": zone, "level": value });
    let documents = [
        level(-60, "a", "x", 5),
        level(0, "a", "x", 7),
        level(60, "a", "x", 1),
        level(-60, "a", "y", 100),
        level(0, "a", "y", 110),
        level(60, "b", "x", 1_000),
    ];
    let keyword = json!({ "type": "keyword" });
    index(&name, json!({}), json!({ "host": keyword, "zone": keyword }), &documents).await;
    let own = |tag_fields: Value| json!({ "index": name, "value_field": "level", "tag_fields": tag_fields });
    let unnamed = json!({ "index": name, "value_field": "level" });
    let read = |kind: Kind, by: &[&str]| selection("s", kind, "sum", by);
    let selected = select(
        &backend("not-there"),
        vec![
            mapped(own(json!(["host", "zone"])), read(Kind::Counter, &["host"])),
            mapped(own(json!(["host", "zone"])), read(Kind::Distinct, &["host"])),
            mapped(own(json!(["host", "zone"])), read(Kind::Distinct, &["host", "zone"])),
            mapped(unnamed, read(Kind::Counter, &["host"])),
        ],
    )
    .await;
    assert_eq!(totals(&selected, 0), Ok(vec![group("a", 13.0), group("b", 0.0)]));
    assert!(matches!(selected.frames[1], Err(SelectionError::NotAdditive(_))), "{:?}", selected.frames[1]);
    assert_eq!(totals(&selected, 2), Ok(vec![group("a|x", 8.0), group("a|y", 110.0), group("b|x", 1_000.0)]));
    assert!(words(&selected, 3).contains("name in tag_fields"), "{}", words(&selected, 3));
}

#[tokio::test]
async fn our_documents_in_another_index_are_read_by_their_series_and_others_count_one() {
    let (ours, logs) = (unique(), unique());
    let store = backend(&ours);
    store.write(&[point("a", "v=x", T, 2.5), point("b", "v=x", T, 7.0), point("a", "v=y", T, 1.0)]).await.unwrap();
    let log = |host: &str| json!({ "@timestamp": T, "host": host });
    index(&logs, json!({}), json!({}), &[log("h"), log("h"), log("i")]).await;
    let selected = select(
        &backend("not-there"),
        vec![
            mapped(json!({ "index": ours }), selection("a", Kind::Delta, "sum", &["v"])),
            mapped(json!({ "index": ours, "series_field": null }), sum("a")),
            mapped(json!({ "index": ours }), selection("a", Kind::Counter, "sum", &["v"])),
            mapped(json!({ "index": logs }), selection("a", Kind::Delta, "sum", &["host"])),
            mapped(json!({ "index": logs }), selection("a", Kind::Gauge, "p99", &["host"])),
        ],
    )
    .await;
    assert_eq!(totals(&selected, 0), Ok(vec![group("x", 2.5), group("y", 1.0)]));
    assert_eq!(totals(&selected, 1), Ok(vec![group("", 10.5)]));
    assert_eq!(totals(&selected, 2), Ok(vec![group("x", 0.0), group("y", 0.0)]));
    assert_eq!(totals(&selected, 3), Ok(vec![group("h", 2.0), group("i", 1.0)]));
    assert_eq!(totals(&selected, 4), Ok(vec![group("h", 1.0), group("i", 1.0)]));
}

#[tokio::test]
async fn names_and_values_are_data() {
    let store = backend(&unique());
    let names = ["a.b", "a", ".x", "a..", "*", "a*", "k,l", "two words", "żółć", "\"}", "_id", "@timestamp", "%2A"];
    let values = ["*", "?", "x OR y", "\"", "\\", "/.*/", "[a TO z]", "{}", "${x}", "a\nb", "żółć", "x"];
    let mut points: Vec<Point> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let own = Point { tags: [((*name).to_owned(), "v".to_owned())].into(), ..point("names", "", T, 1.0) };
        points.push(Point { timestamp: T + index as i64, ..own });
    }
    for value in values {
        points.push(Point { tags: [("k".to_owned(), value.to_owned())].into(), ..point("values", "", T, 1.0) });
    }
    for name in ["a*b", "a?b", "x\" OR series:*"] {
        points.push(point(name, "", T, 1.0));
    }
    store.write(&points).await.unwrap();
    let mut selections = Vec::new();
    let mut expected = Vec::new();
    for name in names {
        selections.push(filtered(name, &["v"], selection("names", Kind::Delta, "sum", &[name])));
        expected.push(vec![group("v", 1.0)]);
        selections.push(filtered(name, &[""], selection("names", Kind::Delta, "sum", &[name])));
        expected.push(vec![group("", names.len() as f64 - 1.0)]);
        selections.push(filtered(name, &["*", "no"], sum("names")));
        expected.push(vec![]);
    }
    for value in values {
        selections.push(filtered("k", &[value], selection("values", Kind::Delta, "sum", &["k"])));
        expected.push(vec![group(value, 1.0)]);
        selections.push(filtered("k", &[value], selection("values", Kind::Counter, "sum", &["k"])));
        expected.push(vec![group(value, 0.0)]);
    }
    for name in ["a*b", "a?b", "x\" OR series:*"] {
        selections.push(sum(name));
        expected.push(vec![group("", 1.0)]);
    }
    let long = "x".repeat(1 << 20);
    selections.extend([sum("*"), sum("a*"), sum(&long), filtered("k", &[&long], sum("values"))]);
    expected.extend([vec![], vec![], vec![], vec![]]);
    let selected = select(&store, selections).await;
    for (index, expected) in expected.into_iter().enumerate() {
        assert_eq!(totals(&selected, index), Ok(expected), "selection {index}");
    }
    assert_eq!(selected.calls, 1);
}
