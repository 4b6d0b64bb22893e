//! Requests, and answers as they were recorded: M3DB 1.5.0 and Prometheus 2.42.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use prost::Message;
use serde_json::json;

use super::decode::{self, Spent};
use super::message::{ReadAnswer, Sample, WriteRequest};
use super::request::{Read, Reads};
use super::*;
use crate::backend::{SelectLimits, Selection};
use crate::series::{Aggregate, Kind, Point, TimeAxis};

const T: i64 = 1_795_132_800_000;
const MINUTE: i64 = 60_000;
const RECORDED: [(&str, &[u8]); 2] = [
    ("m3db", include_bytes!("../../../tests/testdata/remote/read.m3db.snappy")),
    ("prometheus", include_bytes!("../../../tests/testdata/remote/read.prometheus.snappy")),
];

pub(super) fn dialect(names: Names) -> Dialect {
    Dialect {
        backend: "m3db",
        read_path: "/read",
        write_path: "/write",
        headers: &[],
        names,
        matches_missing: false,
        end_is_read: false,
        instants: 0..i64::MAX / 1_000_000,
        limited: |_| None,
    }
}

fn selection(series: &str, minutes: std::ops::Range<i64>, filter: &[(&str, &[&str])], group_by: &[&str]) -> Selection {
    let any = |values: &&[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    let (from, to) = (T + minutes.start * MINUTE, T + minutes.end * MINUTE);
    Selection {
        series: series.to_owned(),
        filter: filter.iter().map(|(tag, values)| ((*tag).to_owned(), any(values))).collect(),
        kind: Kind::Delta,
        aggregate: Aggregate::Sum,
        group_by: group_by.iter().map(|tag| (*tag).to_owned()).collect(),
        mapping: String::new(),
        approximate: false,
        axis: TimeAxis::covering(from, to, "1m".parse().unwrap(), &TimeZone::UTC, 100_000).unwrap(),
        whole: None,
    }
}

fn batch(selections: Vec<Selection>) -> SelectBatch {
    let limits = SelectLimits { groups: 100, cells: 1_000, raw_points: 1_000 };
    SelectBatch { selections, step: "1m".parse().unwrap(), timezone: TimeZone::UTC, limits }
}

#[test]
fn what_several_selections_need_is_read_once() {
    let maximum = Selection { aggregate: Aggregate::Max, ..selection("a", 0..2, &[], &["v"]) };
    let counter = Selection { kind: Kind::Counter, ..selection("b", 0..2, &[], &[]) };
    let reads = Reads::new(
        &dialect(Names::AsTheyAre),
        &batch(vec![
            selection("a", 0..2, &[], &[]),
            maximum,
            selection("a", -2..0, &[], &[]),
            selection("a", 10..12, &[], &[]),
            selection("a", 0..2, &[("v", &["x"])], &[]),
            counter,
        ]),
    );
    let told = |read: &Read| {
        let selections: Vec<usize> = read.readers.iter().map(|reader| reader.selection).collect();
        ((read.from - T) / MINUTE, (read.to - T) / MINUTE, selections)
    };
    let told: Vec<_> = reads.reads.iter().map(told).collect();
    assert_eq!(told, [(-2, 2, vec![2, 0, 1]), (10, 12, vec![3]), (0, 2, vec![4]), (-5, 2, vec![5])]);
    assert!(reads.settled.is_empty());
}

#[test]
fn no_range_is_asked_for_that_ends_before_it_begins() {
    let before = selection("a", -T / MINUTE - 10..-T / MINUTE - 5, &[], &[]);
    let behind = selection("a", 200_000_000..200_000_001, &[], &[]);
    let reads = Reads::new(&dialect(Names::AsTheyAre), &batch(vec![before, behind, selection("", 0..1, &[], &[])]));
    assert!(reads.reads.is_empty());
    let empty = (0..3).map(|index| (index, Ok(SelectionFrame::default()))).collect::<Vec<_>>();
    assert_eq!(reads.settled, empty);
}

#[test]
fn values_are_data_in_every_matcher() {
    let filter: [(&str, &[&str]); 4] =
        [("a", &["x|y"]), ("b", &["", "z"]), ("c.d", &["(?i)", "[a", "\\", "~"]), ("e", &[""])];
    let batch = batch(vec![selection("na.me", 0..1, &filter, &[])]);
    for (dialect, expected) in [
        (
            dialect(Names::AsTheyAre),
            json!([
                { "type": "=", "name": "__name__", "value": "na.me" },
                { "type": "=", "name": "a", "value": "x|y" },
                { "type": "=~", "name": "c.d", "value": r"\(\?i\)|\[a|\\|~" },
                { "type": "=", "name": "e", "value": "" },
            ]),
        ),
        (
            Dialect { matches_missing: true, end_is_read: true, ..dialect(Names::Prometheus) },
            json!([
                { "type": "=", "name": "__name__", "value": "na_me" },
                { "type": "=", "name": "a", "value": "x|y" },
                { "type": "=~", "name": "b", "value": "|z" },
                { "type": "=~", "name": "c_d", "value": r"\(\?i\)|\[a|\\|~" },
                { "type": "=", "name": "e", "value": "" },
            ]),
        ),
    ] {
        let message = request::message(&dialect, &Reads::new(&dialect, &batch).reads);
        let end = if dialect.end_is_read { T + MINUTE - 1 } else { T + MINUTE };
        let expected = json!({ "queries": [{ "start": T, "end": end, "matchers": expected }] });
        assert_eq!(request::shown(&message), expected);
        let sent = snap::raw::Decoder::new().decompress_vec(&request::body(&message).unwrap()).unwrap();
        assert_eq!(super::message::ReadRequest::decode(sent.as_slice()).unwrap(), message);
    }
}

/// The batch of which the recorded answers are: in the order of its reads.
fn recorded_batch() -> SelectBatch {
    batch(vec![
        selection("rec_visitors", 0..2, &[], &["v"]),
        selection("rec_other", 0..2, &[], &["v", "host"]),
        Selection { aggregate: Aggregate::Count, ..selection("rec_visitors", 0..2, &[], &[]) },
        selection("rec_nothing", 0..2, &[], &[]),
        selection("rec_visitors", 0..2, &[("v", &["control", "x"])], &["host"]),
    ])
}

/// The reads of that batch, as the recorded request had them.
fn recorded_reads(batch: &SelectBatch) -> Vec<Read> {
    let mut reads = Reads::new(&dialect(Names::AsTheyAre), batch).reads;
    let order = ["rec_other", "rec_visitors", "rec_nothing", "rec_visitors"];
    reads.sort_by_key(|read| {
        let place = order.iter().position(|name| *name == read.source.series).unwrap();
        if read.source.filter.is_empty() { place } else { 3 }
    });
    reads
}

#[test]
fn a_recorded_answer_is_folded_by_place() {
    let batch = recorded_batch();
    let reads = recorded_reads(&batch);
    for (backend, body) in RECORDED {
        let mut frames = decode::frames(body, &batch, &reads, &mut Spent::new(batch.limits)).unwrap();
        frames.sort_by_key(|(selection, _)| *selection);
        let told: Vec<_> = frames.into_iter().map(|(_, frame)| told(&frame.unwrap())).collect();
        let control = ("control".to_owned(), vec![Some(2.5), Some(1e300)]);
        assert_eq!(told[0], [(String::new(), vec![None, Some(0.1)]), control], "{backend}");
        assert_eq!(told[1], [("żółć \"x\",".to_owned(), vec![Some(5.0), None])], "{backend}");
        // The marker at the end of a series is no point.
        assert_eq!(told[2], [(String::new(), vec![Some(3.0), Some(3.0)])], "{backend}");
        assert_eq!(told[3], [], "{backend}");
        let hosts = [("a", vec![Some(3.5), Some(4.0)]), ("b", vec![Some(-1.0), Some(1e300)])];
        assert_eq!(told[4], hosts.map(|(host, values)| (host.to_owned(), values)), "{backend}");
    }
}

fn told(frame: &SelectionFrame) -> Vec<(String, Vec<Option<f64>>)> {
    let value = |value: &f64| (!value.is_nan()).then_some(*value);
    frame.groups.iter().map(|group| (group.key.join(","), group.values.iter().map(value).collect())).collect()
}

#[test]
fn a_limit_fails_the_selections_that_reach_it_and_no_other() {
    let whole = recorded_batch();
    let reads = recorded_reads(&whole);
    let limited = |change: fn(&mut SelectLimits)| {
        let mut batch = recorded_batch();
        change(&mut batch.limits);
        let mut frames = decode::frames(RECORDED[0].1, &batch, &reads, &mut Spent::new(batch.limits)).unwrap();
        frames.sort_by_key(|(selection, _)| *selection);
        frames.into_iter().map(|(_, frame)| frame.err().map(|error| error.to_string())).collect::<Vec<_>>()
    };
    let over = |limit: &str| Some(format!("{limit} is over its limit: 2 > 1"));
    assert_eq!(limited(|limits| limits.groups = 1), [over("series"), None, None, None, over("series")]);
    // One point of the first read, seven of the second, none of the third, six of the fourth.
    let refused: Vec<bool> = limited(|limits| limits.raw_points = 7).iter().map(Option::is_some).collect();
    assert_eq!(refused, [true, false, true, false, false]);
    let refused: Vec<bool> = limited(|limits| limits.cells = 4).iter().map(Option::is_some).collect();
    assert_eq!(refused, [true, false, false, false, true]);
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    let batch = recorded_batch();
    let reads = recorded_reads(&batch);
    let body = RECORDED[0].1;
    let frames = |body: &[u8], reads: &[Read]| decode::frames(body, &batch, reads, &mut Spent::new(batch.limits));
    for end in 0..body.len() {
        assert!(frames(&body[..end], &reads).is_err(), "{end}");
    }
    assert!(frames(b"<html>", &reads).is_err());
    assert!(frames(body, &reads[1..]).unwrap_err().contains("4 of 3"));
    // A length that no answer may have is not even made room for.
    assert!(frames(&[0xff, 0xff, 0xff, 0xff, 0x0f], &reads).unwrap_err().contains("MiB"));
    let unsorted = StoredSeries { labels: Vec::new(), samples: vec![Sample { value: 1.0, timestamp: T }; 2] };
    let named = super::message::Label { name: "__name__".to_owned(), value: "rec_other".to_owned() };
    let result = WriteRequest { series: vec![StoredSeries { labels: vec![named], ..unsorted }] };
    // A result is a message of series, as what is written is.
    let answer = ReadAnswer { results: vec![result.encode_to_vec().into()] };
    assert!(frames(&request::body(&answer).unwrap(), &reads[..1]).unwrap_err().contains("order of time"));
}

fn point(series: &str, tags: &[(&str, &str)], timestamp: i64, value: f64) -> Point {
    let tags = tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Point { series: series.to_owned(), tags, timestamp, value }
}

#[test]
fn points_are_written_in_order_and_of_two_at_one_instant_the_last() {
    let points = [
        point("b", &[("v", "x")], 3, 1.0),
        point("a.b", &[("Z", "1"), ("a", "2")], 2, 1.0),
        point("b", &[("v", "x")], 1, 2.0),
        point("b", &[("v", "x")], 3, 3.0),
        point("b", &[], 3, 4.0),
    ];
    let requests = write::requests(&points, Names::Legacy).unwrap();
    let told = |series: &StoredSeries| {
        let labels: Vec<String> = series.labels.iter().map(|label| format!("{}={}", label.name, label.value)).collect();
        let samples: Vec<(i64, f64)> = series.samples.iter().map(|sample| (sample.timestamp, sample.value)).collect();
        (labels.join(","), samples)
    };
    let told: Vec<_> = requests.iter().flat_map(|request| &request.series).map(told).collect();
    assert_eq!(
        told,
        [
            ("Z=1,__name__=a_b,a=2".to_owned(), vec![(2, 1.0)]),
            ("__name__=b".to_owned(), vec![(3, 4.0)]),
            ("__name__=b,v=x".to_owned(), vec![(1, 2.0), (3, 3.0)]),
        ]
    );
    // The earliest points of all series first, however many there are.
    let many: Vec<Point> =
        (0..12_000).map(|i| point("m", &[("v", ["x", "y"][i % 2])], 20_000 - i as i64, 0.0)).collect();
    let requests = write::requests(&many, Names::AsTheyAre).unwrap();
    let spans: Vec<(i64, i64)> = requests
        .iter()
        .map(|request| {
            let times = || request.series.iter().flat_map(|series| &series.samples).map(|sample| sample.timestamp);
            (times().min().unwrap(), times().max().unwrap())
        })
        .collect();
    assert_eq!(spans, [(8_001, 13_000), (13_001, 18_000), (18_001, 20_000)]);
    for (tags, word) in [
        (vec![("a.b", "1"), ("a-b", "2")], "a_b"),
        (vec![("__name__", "x")], "__name__"),
        (vec![("", "x")], "without a name"),
    ] {
        let error = write::requests(&[point("s", &tags, 1, 1.0)], Names::Legacy).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn what_was_written_and_cannot_be_read_is_found_out() {
    let points = [
        point("rec_visitors", &[("host", "a")], T + 119_999, 0.1),
        point("rec_visitors", &[("host", "a")], T + 60_000, 4.0),
        point("rec_visitors", &[("host", "b"), ("v", "control")], T + 10_000, -1.0),
        point("rec_visitors", &[("host", "b"), ("v", "control")], T + 70_000, 1e301),
    ];
    let written = write::requests(&points, Names::AsTheyAre).unwrap().remove(0).series;
    // The second result of the recorded answer has all series of the name, as one for each of those that were written.
    let result = decode::results(RECORDED[0].1, 4).unwrap().swap_remove(1);
    let answer = request::body(&ReadAnswer { results: vec![result.clone(), result] }).unwrap();
    let missing = write::missing(&answer, &written).unwrap();
    let found: Vec<(i64, f64)> =
        missing.iter().flat_map(|series| &series.samples).map(|sample| (sample.timestamp - T, sample.value)).collect();
    assert_eq!(found, [(60_000, 4.0), (70_000, 1e301)]);
    let told = described(&WriteRequest { series: missing }).unwrap();
    assert_eq!(told, "2 point(s), the first of {__name__=\"rec_visitors\", host=\"a\"} at 2026-11-20T00:01:00Z");
}

#[test]
fn recorded_counts_tell_the_values_of_a_tag() {
    let m3db = include_bytes!("../../../tests/testdata/remote/values.m3db.json");
    let prometheus = include_bytes!("../../../tests/testdata/remote/values.prometheus.json");
    let source = |filter: &[(&str, &[&str])]| {
        let selection = selection("rec_visitors", 0..1, filter, &[]);
        Source::new(&dialect(Names::AsTheyAre), &selection.series, &selection.filter).unwrap()
    };
    for body in [&m3db[..], prometheus] {
        let of = |filter: &[(&str, &[&str])], label: &str| {
            values::values(body, &source(filter), label).unwrap().into_iter().collect::<BTreeSet<String>>()
        };
        assert_eq!(of(&[], "host"), ["a", "b"].map(str::to_owned).into());
        assert_eq!(of(&[("v", &[""])], "host"), ["a".to_owned()].into());
        assert_eq!(of(&[("host", &["b", ""])], "v"), ["control".to_owned()].into());
        assert!(values::values(&body[..body.len() - 1], &source(&[]), "v").is_err());
    }
    let cut = br#"{"status":"success","warnings":["max_fetch_series_limit_applied"],"data":{"result":[]}}"#;
    assert!(values::values(cut, &source(&[]), "v").unwrap_err().contains("max_fetch_series"));
    let windows = br#"{"data":{"result":[{"metric":{"v":"x"},"values":[[1,"NaN"],[2,"3"]]},{"metric":{"v":"y"},"values":[[1,"0"]]}]}}"#;
    assert_eq!(values::values(windows, &source(&[]), "v").unwrap(), ["x"]);
    let asked =
        values::queries(&dialect(Names::AsTheyAre), &source(&[("a.b", &["x"]), ("c", &["\"}\\\n"])]), &(T..T + 10));
    let text = r#"count_over_time({__name__="rec_visitors",c="\"}\\\u000a"}[9ms])"#;
    assert_eq!((asked.len(), asked[0].form[0].1.as_str()), (1, text));
}

#[test]
fn names_are_listed_with_the_tags_that_they_have() {
    let names = listing::names(br#"{"status":"success","data":["rec_b","rec_a","other"]}"#, "rec_*").unwrap();
    assert_eq!(names, ["rec_a", "rec_b"]);
    assert_eq!(
        listing::forms(&names).collect::<Vec<_>>(),
        ["match%5B%5D=%7B__name__%3D%22rec_a%22%7D&match%5B%5D=%7B__name__%3D%22rec_b%22%7D"]
    );
    let mut series = names.into_iter().map(|name| (name, BTreeMap::new())).collect();
    let body = br#"{"data":[{"__name__":"rec_a","v":"y"},{"__name__":"rec_a","v":"x"},{"__name__":"gone","v":"z"}]}"#;
    listing::add_tags(body, &mut series).unwrap();
    let shown = listing::shown(series);
    assert_eq!(shown[0].tags["v"], ["x", "y"]);
    assert!(shown[1].tags.is_empty());
}
