//! What holds of functions over time and series whatever the points are.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use tsdb_ws::query::Service;
use tsdb_ws::series::Point;

use crate::support::law::MINUTE;
use crate::support::{ask, embedded, point};

const KEYSPACE: &str = r#"
metrics:
  parts: { series: s, group_by: [a, b] }
  whole: s
  level: { series: s, kind: gauge, group_by: [a] }
formulas:
  whole_is: whole
  parts_sum: sum_by(parts)
  by_a_sum: 'sum_by(sum_by(parts, "a"))'
  mean_by_parts: avg_by(parts) * count_by(parts)
  shares: sum_by(share(parts))
  level_is: level
  earlier: 'offset(level, "7m")'
  smooth: 'moving_avg(level, "5m")'
  greatest: 'moving_max(level, "6m")'
  window: 'moving_sum(whole, "13m")'
  running: cumulative(whole)
  change: delta(level)
  change_by_hand: 'level - offset(level, "1m")'
  lifted: 'lift(level, "a", "x")'
  lifted_by_hand: '(level - baseline(level, "a", "x")) / abs(baseline(level, "a", "x"))'
"#;

type Values = Vec<Option<f64>>;

/// The series of each formula over some minutes.
async fn rows(service: &Arc<Service>, formulas: &[&str], minutes: std::ops::Range<i64>) -> Vec<Vec<(Value, Values)>> {
    let request =
        json!({ "formulas": formulas, "from": minutes.start * MINUTE, "to": minutes.end * MINUTE, "step": "1m" });
    let answer = ask(service, "k", request).await.unwrap();
    assert!(answer["stats"]["backend_calls"].as_u64().unwrap() <= 1);
    let values = |series: &Value| series["values"].as_array().unwrap().iter().map(Value::as_f64).collect();
    let series = |result: &Value| -> Vec<(Value, Values)> {
        let series = result["series"].as_array().unwrap_or_else(|| panic!("{result}"));
        series.iter().map(|series| (series["tags"].clone(), values(series))).collect()
    };
    answer["results"].as_array().unwrap().iter().map(series).collect()
}

fn same(what: &str, one: &[Option<f64>], other: &[Option<f64>]) -> Result<(), TestCaseError> {
    let close = |a: &Option<f64>, b: &Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(1.0),
        (a, b) => a == b,
    };
    let equal = one.len() == other.len() && one.iter().zip(other).all(|(a, b)| close(a, b));
    prop_assert!(equal, "{}: {:?} is not {:?}", what, one, other);
    Ok(())
}

async fn hold(points: Vec<Point>) -> Result<(), TestCaseError> {
    let service = Arc::new(embedded(&[("k.yaml", KEYSPACE)], &points, 1_000 * MINUTE).await);
    let all = 100..160;

    let sums = rows(&service, &["whole_is", "parts_sum", "by_a_sum", "mean_by_parts", "shares"], all.clone()).await;
    if !sums[1].is_empty() {
        for other in &sums[1..4] {
            same("the sum of parts is the whole", &sums[0][0].1, &other[0].1)?;
        }
        let one = sums[0][0].1.iter().map(|whole| whole.filter(|whole| *whole != 0.0).map(|_| 1.0));
        same("shares add up to one", &sums[4][0].1, &one.collect::<Values>())?;
    }

    let pairs = rows(&service, &["change", "change_by_hand", "lifted", "lifted_by_hand"], all.clone()).await;
    for (one, other) in pairs[0].iter().filter_map(|one| Some((one, pairs[1].iter().find(|other| other.0 == one.0)?))) {
        same("delta", &one.1, &other.1)?;
    }
    prop_assert_eq!(&pairs[2], &pairs[3]);

    let now = rows(&service, &["level_is"], 110..140).await;
    let later = rows(&service, &["earlier"], 117..147).await;
    prop_assert_eq!(now, later, "offset there and back");

    let sums = rows(&service, &["window", "running"], all.clone()).await;
    let (window, running) = (&sums[0][0].1, &sums[1][0].1);
    let difference = (13..running.len()).map(|index| Some(running[index]? - running[index - 13]?));
    same("a window is a difference of running sums", &window[13..], &difference.collect::<Values>())?;

    let wide = rows(&service, &["smooth", "greatest"], all).await;
    for (formula, narrow) in rows(&service, &["smooth", "greatest"], 120..135).await.iter().enumerate() {
        for (tags, values) in narrow {
            let (_, wider) = wide[formula].iter().find(|(other, _)| other == tags).unwrap();
            same("a wider request", values, &wider[20..35])?;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn identities_of_functions(raw in prop::collection::vec((0..3usize, 0..3usize, 85..165i64, -8..60i32), 0..150)) {
        let tag = |name: &str, value: usize| ["", "x", "y"][value].split_terminator(' ').map(|v| format!("{name}={v}")).collect::<String>();
        let points = raw.into_iter().map(|(a, b, minute, value)| {
            point("s", &format!("{},{},host=h", tag("a", a), tag("b", b)), minute * MINUTE, f64::from(value) / 4.0)
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(hold(points.collect()))?;
    }
}

#[tokio::test]
async fn what_stands_for_a_missing_group_does_not_depend_on_what_else_is_asked() {
    let keyspace = "
metrics:
  w: { series: w, group_by: [a] }
  x: { series: x, group_by: [a, b] }
  y: { series: y, group_by: [b] }
  u: { series: u, group_by: [a, b] }
formulas: { f: 'w + avg_by(x + y, \"a\")', g: u }
";
    let points = [
        point("w", "a=z", 0, 1.0),
        point("x", "a=q,b=v", 0, 10.0),
        point("y", "b=v", 0, 5.0),
        // `g` alone has this group.
        point("u", "a=z,b=v", 0, 7.0),
    ];
    let service = embedded(&[("k.yaml", keyspace)], &points, 60_000).await;
    let request = |formulas: &[&str]| json!({ "formulas": formulas, "from": 0, "to": 60_000, "step": "1m" });
    let alone = ask(&service, "k", request(&["f"])).await.unwrap();
    let batch = ask(&service, "k", request(&["f", "g"])).await.unwrap();
    assert_eq!(alone["results"][0], batch["results"][0]);
    let series = &alone["results"][0]["series"];
    assert_eq!((&series[0]["tags"]["a"], &series[0]["values"]), (&json!("q"), &json!([15])));
    assert_eq!((&series[1]["tags"]["a"], &series[1]["values"]), (&json!("z"), &json!([1])));
}

#[tokio::test]
async fn folds_over_ever_other_tags_stay_small() {
    // Each asks for groups without one tag; groups without two, three, … of them would be as many as there are sets of tags.
    let tags: Vec<String> = (0..16).map(|tag| format!("t{tag:02}")).collect();
    let all = tags.join(", ");
    let fold = |left_out: &String| {
        let by: Vec<String> = tags.iter().filter(|tag| *tag != left_out).map(|tag| format!("\"{tag}\"")).collect();
        format!(
            "  by_{left_out}: 'sum_by(x + y, {})'\n  base_{left_out}: 'baseline(x, \"{left_out}\", \"1\")'\n",
            by.join(", ")
        )
    };
    let formulas: String = tags.iter().map(fold).collect();
    let keyspace = format!("defaults: {{ group_by: [{all}] }}\nmetrics: {{ x: x, y: y }}\nformulas:\n{formulas}");
    let point = |series: &str, number: usize| {
        let tags: Vec<String> =
            tags.iter().enumerate().map(|(at, tag)| format!("{tag}={}", number >> at & 1)).collect();
        point(series, &tags.join(","), 0, 1.0)
    };
    let points: Vec<Point> = (0..60).flat_map(|number| [point("x", number * 7), point("y", number * 7 + 1)]).collect();
    let service = embedded(&[("k.yaml", &keyspace)], &points, 60_000).await;
    let names: Vec<String> = tags.iter().flat_map(|tag| [format!("by_{tag}"), format!("base_{tag}")]).collect();
    let request = json!({ "formulas": names, "from": 0, "to": 60_000, "step": "1m" });
    let begun = std::time::Instant::now();
    let answer = ask(&service, "k", request).await.unwrap();
    assert!(answer["results"].as_array().unwrap().iter().all(|result| result.get("error").is_none()));
    assert_eq!(answer["results"][0]["series"].as_array().unwrap().len(), 60 + 60 - 60 / 2);
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
}
