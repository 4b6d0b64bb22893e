//! M3DB as it is: what every backend must answer, and each of its peculiarities.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use prost::Message;
use tsdb_ws::backend::m3db::M3db;
use tsdb_ws::backend::{Backend, BackendError, SelectBatch, SelectLimits, Selection, SelectionError, SelectionFrame};
use tsdb_ws::config::BackendName;
use tsdb_ws::series::{Aggregate, Kind, Point, Step, TimeAxis};

use crate::support::proxy::Proxy;
use crate::support::{lists_what_it_stores, point};
use crate::{address, answers, conformance, one_request, unique, values};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
const LIMITS: SelectLimits = SelectLimits { groups: 1_000, cells: 2_000_000, raw_points: 2_000_000 };
const WRITE: &str = "/api/v1/prom/remote/write";

fn backend() -> M3db {
    at(&address("m3db"))
}

fn at(url: &str) -> M3db {
    M3db::new(url, false, Duration::from_secs(60)).unwrap()
}

/// The last midnight.
fn today() -> i64 {
    jiff::Timestamp::now().as_millisecond().div_euclid(DAY) * DAY
}

fn count(series: &str, from: i64, to: i64, step: &str) -> SelectBatch {
    let step: Step = step.parse().unwrap();
    let selection = Selection {
        series: series.to_owned(),
        filter: [].into(),
        kind: Kind::Delta,
        aggregate: Aggregate::Count,
        group_by: Arc::default(),
        mapping: String::new(),
        approximate: false,
        whole: None,
        axis: TimeAxis::covering(from, to, step, &TimeZone::UTC, 100_000).unwrap(),
    };
    SelectBatch { selections: vec![selection], step, timezone: TimeZone::UTC, limits: LIMITS }
}

fn filtered(series: &str, from: i64, tag: &str, any: &[&str]) -> Selection {
    let filter = [(tag.to_owned(), any.iter().map(|value| (*value).to_owned()).collect())].into();
    Selection {
        filter,
        group_by: [tag.to_owned()].into(),
        ..count(series, from, from + MINUTE, "1m").selections.remove(0)
    }
}

async fn total(batch: &SelectBatch) -> f64 {
    let mut selected = backend().select(batch).await.unwrap();
    let frame = selected.frames.remove(0).unwrap();
    frame.groups.iter().flat_map(|group| &group.values).filter(|value| !value.is_nan()).sum()
}

fn keys(frame: &Result<SelectionFrame, SelectionError>) -> Vec<String> {
    frame.as_ref().unwrap().groups.iter().map(|group| group.key[0].to_string()).collect()
}

#[tokio::test]
async fn every_case_equals_the_reference() {
    conformance::run(&backend(), &unique()).await;
}

#[tokio::test]
async fn random_selections_equal_the_reference() {
    conformance::random(&backend(), &unique(), 200).await;
}

#[tokio::test]
async fn whole_answers_equal_plain_arithmetic_and_are_one_request_each() {
    let proxy = Proxy::before(&address("m3db"));
    answers::run(BackendName::M3db, &proxy, Arc::new(at(&proxy.url)), &unique()).await;
}

#[tokio::test]
async fn values_are_those_of_points_in_the_range() {
    values::run(&backend(), &unique()).await;
    let legacy = M3db::new(&address("m3db"), true, Duration::from_secs(60)).unwrap();
    values::run(&legacy, &unique()).await;
}

#[tokio::test]
async fn stored_names_are_listed_with_their_tags() {
    lists_what_it_stores(&backend(), &unique()).await;
}

#[tokio::test]
async fn sixty_formulas_are_one_request() {
    let proxy = Proxy::before(&address("m3db"));
    let backend = Arc::new(at(&proxy.url));
    one_request::run(BackendName::M3db, &proxy, backend, &unique()).await;
}

#[tokio::test]
async fn legacy_names_are_written_and_read_as_such_and_others_as_they_are() {
    let (prefix, t) = (unique(), today());
    let legacy = M3db::new(&address("m3db"), true, Duration::from_secs(60)).unwrap();
    let written = format!("{prefix}.żółć-1:a");
    legacy.write(&[point(&written, "user.id=a.b", t, 1.0)]).await.unwrap();
    let by_tag = |series: &str, tag: &str| {
        let mut batch = count(series, t, t + MINUTE, "1m");
        batch.selections[0].group_by = [tag.to_owned()].into();
        batch
    };
    for (backend, series, tag) in
        [(&legacy, written.as_str(), "user.id"), (&backend(), &format!("{prefix}______1:a"), "user_id")]
    {
        let selected = backend.select(&by_tag(series, tag)).await.unwrap();
        assert_eq!(keys(&selected.frames[0]), ["a.b"], "{series}");
    }
    assert_eq!(total(&count(&written, t, t + MINUTE, "1m")).await, 0.0);
}

#[tokio::test]
async fn a_new_series_over_many_blocks_is_found_in_all_of_them() {
    let (series, to) = (unique(), today());
    let points: Vec<Point> = (1..=400).map(|day| point(&series, "v=x", to - day * DAY, 1.0)).collect();
    backend().write(&points).await.unwrap();
    // Each block alone, for a series may be found in one and not in the other.
    for day in (1..=400).step_by(7) {
        assert_eq!(total(&count(&series, to - day * DAY, to - (day - 1) * DAY, "1d")).await, 1.0, "day {day}");
    }
    assert_eq!(total(&count(&series, to - 400 * DAY, to, "1w")).await, 400.0);
}

#[tokio::test]
async fn points_out_of_its_retention_are_an_error_that_says_what_to_do() {
    let (series, now) = (unique(), jiff::Timestamp::now().as_millisecond());
    // For a new series it answers 200 and drops them; a known one it refuses.
    for (name, at) in [("new", now - 3_000 * DAY), ("known", now), ("known", now - 3_000 * DAY), ("known", now + DAY)] {
        let written = backend().write(&[point(&format!("{series}.{name}"), "v=x", at, 1.0)]).await;
        if at == now {
            written.unwrap();
            continue;
        }
        let error = written.unwrap_err().to_string();
        assert!(error.contains("retention") && error.contains("--shift-to-now"), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_range_beyond_what_it_can_tell_is_empty_and_never_everything() {
    let (series, t) = (unique(), today());
    backend().write(&[point(&series, "v=x", t, 1.0)]).await.unwrap();
    for (from, to) in [(-10 * DAY, -9 * DAY), (200_000 * DAY, 200_001 * DAY), (-DAY, DAY)] {
        assert_eq!(total(&count(&series, from, to, "1d")).await, 0.0);
    }
}

#[tokio::test]
async fn points_of_an_aggregated_namespace_are_no_stored_points() {
    #[derive(Clone, PartialEq, Message)]
    struct Text {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        value: String,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Sample {
        #[prost(double, tag = "1")]
        value: f64,
        #[prost(int64, tag = "2")]
        timestamp: i64,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Series {
        #[prost(message, repeated, tag = "1")]
        labels: Vec<Text>,
        #[prost(message, repeated, tag = "2")]
        samples: Vec<Sample>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Write {
        #[prost(message, repeated, tag = "1")]
        series: Vec<Series>,
    }
    let (name, t) = (unique(), today());
    let labels = vec![Text { name: "__name__".to_owned(), value: name.clone() }];
    let write = Write { series: vec![Series { labels, samples: vec![Sample { value: 5.0, timestamp: t }] }] };
    let body = snap::raw::Encoder::new().compress_vec(&write.encode_to_vec()).unwrap();
    let server = tsdb_ws::backend::client::Client::new("m3db", &address("m3db"), Duration::from_secs(60)).unwrap();
    let headers = [
        ("content-encoding", "snappy"),
        ("content-type", "application/x-protobuf"),
        ("m3-metrics-type", "aggregated"),
        ("m3-storage-policy", "1m:17520h"),
    ];
    assert_eq!(server.post(WRITE, &headers, body).await.unwrap().status, 200);
    // Asked without saying which, it would look there for a range that is longer than the retention of stored points.
    let query = format!("/api/v1/query?query=count_over_time({name}%5B700d%5D)&time={}", t / 1000 + 1);
    let begun = std::time::Instant::now();
    while !server.get(&query).await.unwrap().words().contains("value") {
        assert!(begun.elapsed() < Duration::from_secs(10), "the aggregated point is not stored");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(total(&count(&name, t - 650 * DAY, t + DAY, "1d")).await, 0.0);
    backend().write(&[point(&name, "", t, 1.0)]).await.unwrap();
    assert_eq!(total(&count(&name, t - 650 * DAY, t + DAY, "1d")).await, 1.0);
}

#[tokio::test]
async fn what_is_not_a_number_is_no_point() {
    let (series, t) = (unique(), today());
    backend().write(&[point(&series, "v=x", t, 1.0)]).await.unwrap();
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    backend().write(&[point(&series, "v=x", t + 1, stale), point(&series, "v=x", t + 2, f64::NAN)]).await.unwrap();
    backend().write(&[point(&series, "v=x", t + 3, 1.0)]).await.unwrap();
    assert_eq!(total(&count(&series, t, t + MINUTE, "1m")).await, 2.0);
}

#[tokio::test]
async fn hostile_values_are_data_and_an_empty_one_is_a_missing_tag() {
    let (series, t) = (unique(), today());
    let values = ["[", "(?", "a|b", ".*", "\\", "$", "^x", "\"", "\n", "żółć"];
    let mut points: Vec<Point> = values.iter().map(|value| point(&series, &format!("k={value}"), t, 1.0)).collect();
    points.push(point(&series, "other=o", t, 1.0));
    backend().write(&points).await.unwrap();
    let mut batch = count(&series, t, t + MINUTE, "1m");
    let mut expected = Vec::new();
    for value in values {
        batch.selections.push(filtered(&series, t, "k", &[value]));
        expected.push(vec![value]);
        batch.selections.push(filtered(&series, t, "k", &[value, "~"]));
        expected.push(vec![value]);
        batch.selections.push(filtered(&series, t, "k", &["", value]));
        expected.push(vec!["", value]);
    }
    batch.selections.push(filtered(&series, t, "k", &[""]));
    expected.push(vec![""]);
    let selected = backend().select(&batch).await.unwrap();
    assert_eq!(selected.calls, 1);
    for (frame, expected) in selected.frames[1..].iter().zip(expected) {
        assert_eq!(keys(frame), expected);
    }
    // Labels that no series has, or that stand for its name.
    batch.selections = vec![filtered(&series, t, "", &["x"]), filtered(&series, t, "__name__", &[&series])];
    let selected = backend().select(&batch).await.unwrap();
    assert!(keys(&selected.frames[0]).is_empty());
    assert!(matches!(&selected.frames[1], Err(SelectionError::Unsupported(reason)) if reason.contains("__name__")));
}

#[tokio::test]
async fn a_refused_selection_and_one_over_a_limit_do_not_take_the_others_along() {
    let (prefix, t) = (unique(), today());
    // Of letters of its own, which the compression leaves as they are.
    let name = |index: usize| if index == 5 { format!("{prefix}.zebra") } else { format!("{prefix}.{index}") };
    let mut points: Vec<Point> = (0..8).map(|index| point(&name(index), "v=x", t, 1.0)).collect();
    points.extend((1..50).map(|second| point(&name(3), "v=x", t + second * 1000, 1.0)));
    let proxy = Proxy::before(&address("m3db"));
    let backend = at(&proxy.url);
    backend.write(&points).await.unwrap();
    let selections = (0..8).map(|index| count(&name(index), t, t + MINUTE, "1m").selections.remove(0)).collect();
    let mut batch = SelectBatch { selections, ..count(&prefix, t, t + MINUTE, "1m") };

    batch.limits.raw_points = 20;
    let selected = backend.select(&batch).await.unwrap();
    for (index, frame) in selected.frames.iter().enumerate() {
        match index {
            3 => assert!(
                matches!(frame, Err(SelectionError::Limit { limit: "raw_points", maximum: 20, .. })),
                "{frame:?}"
            ),
            _ => assert_eq!(frame.as_ref().unwrap().groups.len(), 1),
        }
    }

    batch.limits = LIMITS;
    proxy.refuse(b"zebra");
    let selected = backend.select(&batch).await.unwrap();
    assert!(selected.calls > 1 && selected.calls < 10, "{}", selected.calls);
    for (index, frame) in selected.frames.iter().enumerate() {
        match index {
            5 => {
                assert!(matches!(frame, Err(SelectionError::Refused(words)) if words.contains("refused")), "{frame:?}")
            }
            _ => assert_eq!(frame.as_ref().unwrap().groups.len(), 1, "{index}"),
        }
    }
}

#[tokio::test]
async fn it_is_healthy_when_it_can_be_read() {
    backend().check_health().await.unwrap();
    let error = at("http://127.0.0.1:1").check_health().await.unwrap_err();
    assert!(matches!(error, BackendError::Unreachable { .. }), "{error}");
}
