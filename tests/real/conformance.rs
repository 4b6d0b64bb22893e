//! What every backend must answer: cases as data over one set of points, and random ones, each against the plain reference.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use tsdb_ws::backend::{Backend, SelectBatch, SelectLimits, Selection, SelectionError, SelectionFrame, WholeRange};
use tsdb_ws::series::{Kind, Point, TimeAxis};

use crate::support::{point, reference};

const CASES: &str = include_str!("../testdata/conformance.txt");
const LIMITS: SelectLimits = SelectLimits { groups: 1_000, cells: 2_000_000, raw_points: 2_000_000 };
const MINUTE: i64 = 60_000;

fn ms(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// The points of the cases.
fn points(prefix: &str) -> Vec<Point> {
    let mut points = Vec::new();
    let mut add = |name: &str, tags: &str, timestamp: i64, value: f64| {
        points.push(point(&format!("{prefix}.{name}"), tags, timestamp, value));
    };
    // A point each eleven minutes and some over both changes of New York's clocks; every third hour both hosts tie.
    for (begin, days) in [("2026-03-06T00:00:00Z", 5), ("2026-10-30T00:00:00Z", 5)] {
        for (index, tags) in
            ["v=control,host=a", "v=control,host=b", "v=treatment,host=a", "v=treatment"].iter().enumerate()
        {
            for tick in 0..days * 131 {
                let own = index as i64 * 17_250;
                let timestamp = ms(begin) + tick * 11 * MINUTE + if tick % 16 == 0 { 0 } else { own };
                add("plain", tags, timestamp, ((tick * 7 + index as i64 * 3) % 101) as f64 + index as f64 * 0.25);
            }
        }
    }
    let t = ms("2026-11-02T00:00:00Z");
    let values =
        ["*", "regex:.*", "say \"hi\"", "it's", "two words", "żółć✓", "a\\\\b", "${x}", ".*", "{}", "plain", ""];
    for (index, value) in values.iter().enumerate() {
        for minute in 0..4 {
            let tags = if value.is_empty() { "other=o".to_owned() } else { format!("k={value},other=o") };
            add("tagged", &tags, t + minute * MINUTE + index as i64, (1 << index) as f64);
        }
    }
    for at in [-1, 0, 1, MINUTE - 1, MINUTE, 2 * MINUTE, 5 * MINUTE - 1, 5 * MINUTE, 5 * MINUTE + 1] {
        add("edges", "v=x", t + at, 10.0 + at as f64 / 1000.0);
    }
    for (index, value) in [-1.5, 1e300, -2e300, 3.0, -0.0, 1e15, 0.1, 123_456_789.0].into_iter().enumerate() {
        add("odd", "v=x", t + index as i64 * 20_000, value);
    }
    for (index, value) in [1e-300, -1e-300, 3e-300, 1e-7].into_iter().enumerate() {
        add("tiny", "v=x", t + index as i64 * 25_000, value);
    }
    for minute in 0..10 {
        add("short", "v=always", t + minute * MINUTE, 1.0);
        add("bare", "", t + minute * MINUTE + 5, 2.0);
        add("distinct", "v=a", t + minute * MINUTE, 5.0 + minute as f64);
        add("distinct", "v=b", t + minute * MINUTE, 7.0);
        if (3..6).contains(&minute) {
            add("short", "v=late", t + minute * MINUTE, 4.0);
        }
    }
    for tick in -20..240_i64 {
        for (index, tags) in ["v=x,host=a", "v=x,host=b", "v=y,host=a", "v=y"].iter().enumerate() {
            // It grows by something else each time, and begins anew now and then.
            let level = (tick + 20) % (40 + index as i64 * 13) * (index as i64 + 2) + tick.rem_euclid(3);
            add("counter", tags, t + tick * 30_000 + index as i64, level as f64);
        }
    }
    points.sort_by_key(|point| point.timestamp);
    // Written in the wrong order, and one timestamp twice: the last write counts.
    for (timestamp, value) in [(3, 1.0), (1, 2.0), (2, 100.0)] {
        points.push(point(&format!("{prefix}.twice"), "v=x", t + timestamp * MINUTE, value));
    }
    points
}

fn second_writes(prefix: &str) -> Vec<Point> {
    let t = ms("2026-11-02T00:00:00Z");
    vec![point(&format!("{prefix}.twice"), "v=x", t + 2 * MINUTE, 3.0)]
}

/// One case: its name, and a batch of its selection, once without and once with a whole range.
fn case(line: &str, prefix: &str) -> (String, SelectBatch) {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let [name, series, kind, aggregate, step, timezone, from, to, filter, group_by] = cells[..] else {
        panic!("a case has ten cells: {line}")
    };
    let timezone = TimeZone::get(timezone).unwrap();
    let step = step.parse().unwrap();
    let axis = TimeAxis::covering(ms(from), ms(to), step, &timezone, 100_000).unwrap();
    let any = |values: &str| {
        let mut values: Vec<String> = values.split('¦').map(str::to_owned).collect();
        values.sort();
        values
    };
    let filter = filter.split(';').filter_map(|part| part.split_once('='));
    let selection = Selection {
        series: format!("{prefix}.{series}"),
        filter: filter.map(|(tag, values)| (tag.to_owned(), any(values))).collect(),
        kind: kind_named(kind),
        aggregate: aggregate.parse().unwrap(),
        group_by: group_by.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
        mapping: String::new(),
        approximate: false,
        whole: None,
        axis: axis.clone(),
    };
    let whole = Some(WholeRange { from: axis.from(), to: axis.to() });
    let selections = vec![selection.clone(), Selection { whole, ..selection }];
    (name.to_owned(), SelectBatch { selections, step, timezone, limits: LIMITS })
}

fn kind_named(name: &str) -> Kind {
    let kinds = [Kind::Delta, Kind::Gauge, Kind::Counter, Kind::Distinct];
    kinds.into_iter().find(|kind| kind.as_str() == name).unwrap()
}

/// Every case, each alone and all of the same step and timezone in one batch.
pub async fn run(backend: &dyn Backend, prefix: &str) {
    backend.write(&points(prefix)).await.unwrap();
    backend.write(&second_writes(prefix)).await.unwrap();
    cases(backend, prefix).await;
}

/// The same for a backend that cannot replace a point that it has: what is written twice is so within one call.
pub async fn run_written_at_once(backend: &dyn Backend, prefix: &str) {
    let all: Vec<Point> = points(prefix).into_iter().chain(second_writes(prefix)).collect();
    backend.write(&all).await.unwrap();
    cases(backend, prefix).await;
}

async fn cases(backend: &dyn Backend, prefix: &str) {
    let mut points = points(prefix);
    points.retain(|point| !(point.series.ends_with(".twice") && point.value == 100.0));
    points.extend(second_writes(prefix));
    let cases: Vec<(String, SelectBatch)> =
        CASES.lines().filter(|line| !line.starts_with('#')).map(|line| case(line, prefix)).collect();
    assert!(cases.len() >= 80);
    let mut together: BTreeMap<String, SelectBatch> = BTreeMap::new();
    for (name, batch) in cases {
        check(backend, &name, &points, &batch).await;
        let alike = format!("{} {:?}", batch.step, batch.timezone.iana_name());
        let all = together.entry(alike).or_insert_with(|| SelectBatch { selections: Vec::new(), ..batch.clone() });
        all.selections.extend(batch.selections);
    }
    for (name, batch) in together {
        check(backend, &format!("all of {name}"), &points, &batch).await;
    }
}

async fn check(backend: &dyn Backend, name: &str, points: &[Point], batch: &SelectBatch) {
    let selected = backend.select(batch).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(selected.frames.len(), batch.selections.len(), "{name}");
    for (selection, frame) in batch.selections.iter().zip(selected.frames) {
        let read: Vec<Point> = points.iter().filter(|point| point.series == selection.series).cloned().collect();
        match reference::checked(&read, selection, batch) {
            Some(expected) => equal(name, &read, selection, &frame.unwrap_or_else(|e| panic!("{name}: {e}")), expected),
            None => assert!(matches!(frame, Err(SelectionError::NotAdditive(_))), "{name}: {frame:?}"),
        }
    }
}

fn equal(
    name: &str,
    points: &[Point],
    selection: &Selection,
    found: &SelectionFrame,
    expected: BTreeMap<Vec<String>, reference::Group>,
) {
    let tolerance = reference::tolerance(points, selection.aggregate);
    let close = |a: f64, b: f64| a == b || (a - b).abs() <= tolerance || (a.is_nan() && b.is_nan());
    let keys: Vec<Vec<String>> =
        found.groups.iter().map(|group| group.key.iter().map(|value| value.to_string()).collect()).collect();
    assert_eq!(keys, expected.keys().cloned().collect::<Vec<_>>(), "{name}: {selection:?}");
    for (group, (key, expected)) in found.groups.iter().zip(&expected) {
        let whole = expected.whole.unwrap_or(f64::NAN);
        assert!(close(group.whole, whole), "{name} {key:?}: the whole {} is not {whole}", group.whole);
        for (start, value) in selection.axis.starts().iter().zip(&group.values) {
            let bucket = expected.buckets.get(start).copied().unwrap_or(f64::NAN);
            assert!(close(*value, bucket), "{name} {key:?} at {start}: {value} is not {bucket}");
        }
    }
}

/// Random series and selections: all seeds are loaded in one go, and each is a batch of its own.
pub async fn random(backend: &dyn Backend, prefix: &str, seeds: usize) {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let cases: Vec<(Vec<Point>, SelectBatch)> =
        (0..seeds).map(|seed| seeded(&format!("{prefix}.{seed}")).new_tree(&mut runner).unwrap().current()).collect();
    let mut all: Vec<Point> = cases.iter().flat_map(|(points, _)| points.clone()).collect();
    all.sort_by_key(|point| point.timestamp);
    backend.write(&all).await.unwrap();
    for (seed, (points, batch)) in cases.iter().enumerate() {
        check(backend, &format!("seed {seed}"), points, batch).await;
    }
}

fn seeded(series: &str) -> impl Strategy<Value = (Vec<Point>, SelectBatch)> {
    let series = series.to_owned();
    let tag = || prop::sample::select(vec!["", "x", "y z", "é*", "regex:x"]);
    let value = prop_oneof![(-1000..1000i32).prop_map(f64::from), -1e6..1e6f64, Just(1e15), Just(0.1)];
    let at = prop_oneof![(-300..300i64).prop_map(|quarter| quarter * 15 * MINUTE), -270_000_000..270_000_000i64];
    let points = prop::collection::vec((tag(), tag(), at, value), 1..40);
    let anchors = prop::sample::select(vec!["2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z"]);
    let steps = prop::sample::select(vec!["30s", "1m", "7m", "1h", "24h", "1d", "1w"]);
    let zones = prop::sample::select(vec!["UTC", "America/New_York"]);
    let aggregates = prop::sample::subsequence(
        vec!["sum", "avg", "min", "max", "count", "first", "last", "p0", "p50", "p95", "p100"],
        1..6,
    );
    let groups = prop::sample::select(vec![vec![], vec!["a"], vec!["a", "b"]]);
    let any = prop::sample::subsequence(vec!["", "é*", "regex:x", "x"], 0..4);
    let cut = (-100_000_000..100_000_000i64, 60_000..90_000_000i64);
    (points, anchors, steps, zones, aggregates, groups, any, cut, prop::bool::ANY).prop_map(
        move |(raw, anchor, step, zone, aggregates, groups, any, (cut, length), counter)| {
            let mut unique = BTreeMap::new();
            for (a, b, at, value) in raw {
                let timestamp = ms(anchor) + at;
                unique.insert((a, b, timestamp), point(&series, &format!("a={a},b={b},c=1"), timestamp, value));
            }
            let points: Vec<Point> = unique.into_values().map(without_empty).collect();
            let timezone = TimeZone::get(zone).unwrap();
            let step = step.parse().unwrap();
            let from = ms(anchor) + cut;
            let axis = TimeAxis::covering(from, from + length, step, &timezone, 100_000).unwrap();
            let filter = (!any.is_empty()).then(|| ("b".to_owned(), any.iter().map(|v| v.to_string()).collect()));
            let selection = |aggregate: &&str| Selection {
                series: series.clone(),
                filter: filter.clone().into_iter().collect(),
                kind: Kind::Delta,
                aggregate: aggregate.parse().unwrap(),
                group_by: groups.iter().map(|tag| tag.to_string()).collect(),
                mapping: String::new(),
                approximate: false,
                whole: Some(WholeRange { from: axis.from(), to: axis.to() }),
                axis: axis.clone(),
            };
            let mut selections: Vec<Selection> = aggregates.iter().map(selection).collect();
            if counter {
                selections.push(Selection { kind: Kind::Counter, ..selection(&"sum") });
            }
            (points, SelectBatch { selections, step, timezone, limits: LIMITS })
        },
    )
}

fn without_empty(mut point: Point) -> Point {
    point.tags.retain(|_, value| !value.is_empty());
    point
}
