//! What a picker shows, against points that every backend is given.

use std::collections::BTreeMap;
use std::ops::Range;

use tsdb_ws::backend::{Backend, ValuesQuery};
use tsdb_ws::series::Point;

use crate::support::point;

const MINUTE: i64 = 60_000;

fn query(series: &str, tag: &str, filter: &[(&str, &[&str])]) -> ValuesQuery {
    let any = |values: &&[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<String>>();
    let filter: BTreeMap<String, Vec<String>> =
        filter.iter().map(|(tag, values)| ((*tag).to_owned(), any(values))).collect();
    ValuesQuery { series: series.to_owned(), filter, tag: tag.to_owned(), mapping: String::new() }
}

/// Values by range to the millisecond, by filters with hostile values and missing tags, of several series, and cut.
pub async fn run(backend: &dyn Backend, prefix: &str) {
    let t = "2026-11-03T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let (one, two) = (format!("{prefix}.picked-one"), format!("{prefix}.picked.two"));
    let hostile = ["*", "\"}", "a|b", "[", "(?", "\\", "it's", "two words", "żółć ✓", ".*"];
    let mut points: Vec<Point> = Vec::new();
    for (index, value) in hostile.iter().enumerate() {
        points.push(point(&one, &format!("user.id={value},v={}", index % 2), t + index as i64 * MINUTE, 1.0));
    }
    points.push(point(&one, "v=0", t + 20 * MINUTE, 1.0));
    points.push(point(&two, "user.id=second,v=1", t + 30 * MINUTE, 0.0));
    backend.write(&points).await.unwrap();

    let all = t..t + 40 * MINUTE;
    let cases: Vec<(&str, ValuesQuery, Range<i64>, Vec<&str>)> = vec![
        ("all", query(&one, "user.id", &[]), all.clone(), hostile.to_vec()),
        ("a wide range", query(&one, "user.id", &[]), t - 50_000 * MINUTE..t + MINUTE, vec!["*"]),
        ("weeks, to its first instant", query(&one, "user.id", &[]), t - 40_000 * MINUTE + 7..t + 1, vec!["*"]),
        (
            "weeks, from its last instant",
            query(&one, "user.id", &[]),
            t + 9 * MINUTE..t + 40_000 * MINUTE + 7,
            vec![".*"],
        ),
        ("weeks, and nothing", query(&one, "user.id", &[]), t + 20 * MINUTE + 1..t + 40_000 * MINUTE, vec![]),
        ("its first instant", query(&one, "user.id", &[]), t + MINUTE..t + 2 * MINUTE, vec!["\"}"]),
        ("one instant later", query(&one, "user.id", &[]), t + MINUTE + 1..t + 2 * MINUTE + 1, vec!["a|b"]),
        (
            "by another tag",
            query(&one, "user.id", &[("v", &["1"])]),
            all.clone(),
            vec!["\"}", "[", "\\", "two words", ".*"],
        ),
        ("by a missing tag", query(&one, "v", &[("user.id", &[""])]), all.clone(), vec!["0"]),
        ("by a missing tag or another", query(&one, "v", &[("user.id", &["", "["])]), all.clone(), vec!["0", "1"]),
        (
            "by hostile values",
            query(&one, "user.id", &[("user.id", &["(?", ".*", "[", "\\"])]),
            all.clone(),
            vec!["(?", ".*", "[", "\\"],
        ),
        ("of another series", query(&two, "user.id", &[]), all.clone(), vec!["second"]),
        ("a tag that is not there", query(&one, "nothing", &[]), all.clone(), vec![]),
        ("a series that is not there", query("nothing", "v", &[]), all.clone(), vec![]),
        ("an empty range", query(&one, "v", &[]), t..t, vec![]),
        ("a range that ends before it begins", query(&one, "v", &[]), t + MINUTE..t, vec![]),
    ];
    for (name, query, range, mut expected) in cases {
        expected.sort_unstable();
        let (values, truncated) = backend.tag_values(&[query], range, 100).await.unwrap();
        assert_eq!(values, expected, "{name}");
        assert!(!truncated, "{name}");
    }
    let both = [query(&one, "v", &[]), query(&two, "user.id", &[])];
    assert_eq!(backend.tag_values(&both, all.clone(), 3).await.unwrap().0, ["0", "1", "second"]);
    let (values, truncated) = backend.tag_values(&both, all, 2).await.unwrap();
    assert_eq!((values, truncated), (vec!["0".to_owned(), "1".to_owned()], true));
}
