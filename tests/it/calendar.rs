//! Days and weeks of the calendar, as another program found them by walking through the half hours.

use serde_json::{Value, json};
use tsdb_ws::series::Point;

use crate::support::{ask, embedded, point};

const DAYS: &str = include_str!("../testdata/calendar/days.txt");
const HALF: i64 = 1_800_000;
const KEYSPACE: &str = r#"
metrics: { halves: halves }
formulas:
  length: { expr: halves, chart: { title: Half hours, kind: stat } }
  steady: { expr: rate(halves) * 1800, chart: { title: A half hour each half hour, kind: stat } }
  day_before: offset(halves, "1d")
  week_before: offset(halves, "1w")
  two_days: moving_sum(halves, "2d")
  two_weeks: moving_sum(halves, "2w")
  change: delta(halves)
"#;

/// A bucket: its start, its half hours, and those of the one before it by date.
type Bucket = (i64, f64, Option<f64>);

fn bucket(text: &str) -> Bucket {
    let parts: Vec<&str> = text.split('/').collect();
    (parts[0].parse().unwrap(), parts[1].parse().unwrap(), parts[2].parse().ok())
}

async fn check(line: &str) {
    let [zone, step, from, to, cells] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
    let (from, to): (i64, i64) = (from.parse().unwrap(), to.parse().unwrap());
    let buckets: Vec<Bucket> = cells.split(',').map(bucket).collect();
    // A point in each half hour, from well before what windows and offsets read.
    let points: Vec<Point> = ((from - 40 * 86_400_000) / HALF..to / HALF)
        .map(|half| point("halves", "", half * HALF + half % 1000, 1.0))
        .collect();
    let service = embedded(&[("days.yaml", KEYSPACE)], &points, to + 86_400_000).await;
    let (before, two) = if step == "1d" { ("day_before", "two_days") } else { ("week_before", "two_weeks") };
    // A part of the first bucket and of the last: the range is widened to whole ones.
    let request = json!({ "formulas": ["length", "steady", before, two, "change"], "from": from + 1, "to": to - 1,
        "step": step, "timezone": zone });
    let answer = ask(&service, "days", request).await.unwrap();
    assert_eq!((&answer["from"], &answer["to"]), (&json!(from), &json!(to)), "{line}");
    let starts: Vec<i64> = buckets.iter().map(|(start, ..)| *start).collect();
    assert_eq!(answer["timestamps"], json!(starts), "{line}");
    let values = |index: usize| floats(&answer["results"][index]["series"][0]["values"]);
    let lengths: Vec<Option<f64>> = buckets.iter().map(|(_, length, _)| Some(*length)).collect();
    assert_eq!(values(0), lengths, "{line}");
    assert!(values(1).iter().all(|steady| (steady.unwrap() - 1.0).abs() < 1e-12), "{line}");
    assert_eq!(values(2), buckets.iter().map(|(.., before)| *before).collect::<Vec<_>>(), "{line}");
    for index in 1..lengths.len() {
        let (last, this) = (lengths[index - 1].unwrap(), lengths[index].unwrap());
        assert_eq!(values(3)[index], Some(last + this), "{line}");
        assert_eq!(values(4)[index], Some(this - last), "{line}");
    }
    let whole: f64 = lengths.iter().flatten().sum();
    let summary = |index: usize| answer["results"][index]["series"][0]["summary"].as_f64().unwrap();
    assert_eq!((summary(0), (summary(1) - 1.0).abs() < 1e-12), (whole, true), "{line}");
    assert_eq!(answer["stats"]["backend_calls"], 1, "{line}");
}

fn floats(values: &Value) -> Vec<Option<f64>> {
    values.as_array().unwrap().iter().map(Value::as_f64).collect()
}

#[tokio::test]
async fn days_and_weeks_have_their_true_lengths_and_none_is_missing_or_there_twice() {
    assert_eq!(DAYS.lines().count(), 28);
    for line in DAYS.lines() {
        check(line).await;
    }
}
