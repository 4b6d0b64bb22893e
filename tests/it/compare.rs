//! Two backends head to head: what is asked, what is found, and the report.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tsdb_ws::catalog;
use tsdb_ws::compare::{self, Params, Report, Row, Side, Verdict, Window};
use tsdb_ws::config::BackendName;
use tsdb_ws::query::Request;
use tsdb_ws::series::Point;

use crate::support::double::{Double, Health};
use crate::support::{listing, point, service};

const KEYSPACE: &str = "\
parameters:
  id: { type: string, pattern: \"^[a-z]+$\" }
  part: { type: enum, values: [s, t] }
  least: { type: number, min: 2 }
  maybe: { type: string, optional: true }
defaults: { tags: { id: \"${id}\", maybe: \"${maybe}\" }, group_by: [g] }
metrics: { s: s, t: t, users: { series: u, kind: distinct, tags: { id: null } } }
formulas:
  ratio: { expr: s / t, chart: { title: \"Ratio <of> parts\" } }
  chosen: \"${part} * 2\"
  limited: \"if(s > ${least}, s, null)\"
  distinct: users
";
const HOUR: i64 = 3_600_000;

fn points() -> Vec<Point> {
    let minute = |minute: i64| {
        let at = minute * 60_000;
        ["a", "b"].into_iter().flat_map(move |g| {
            let tags = format!("g={g},id=x");
            [point("s", &tags, at, 3.0), point("t", &tags, at, 4.0), point("u", &format!("g={g}"), at, 5.0)]
        })
    };
    (0..60).flat_map(minute).collect()
}

async fn sides(change: impl FnOnce(&mut Vec<Point>)) -> ((Side, Side), Arc<Double>) {
    let mut changed = points();
    change(&mut changed);
    let left = Double::holding("embedded", &points()).await;
    let right = Double::holding("kairosdb", &changed).await;
    let files = [("shop.yaml", KEYSPACE)];
    let side = |name: BackendName, double: &Arc<Double>| Side {
        name: name.as_str(),
        service: service(&files, name, double.clone(), HOUR),
    };
    ((side(BackendName::Embedded, &left), side(BackendName::Kairosdb, &right)), right)
}

async fn compared(change: impl FnOnce(&mut Vec<Point>), tolerance: Option<f64>) -> Report {
    let (sides, _) = sides(change).await;
    let catalog = catalog::compile(&listing(&[("shop.yaml", KEYSPACE)]));
    let windows = BTreeMap::from([("shop".to_owned(), Window { from: 0, to: HOUR, step: None })]);
    let both = (&sides.0, &sides.1);
    let keyspaces = [catalog.keyspaces["shop"].as_ref()];
    let cases = compare::find(both, &keyspaces, &Params::new(), &BTreeMap::new(), &windows).await.unwrap();
    compare::run(both, cases, &windows, tolerance, &|_| {}).await.unwrap()
}

fn row<'r>(report: &'r Report, case: &str) -> &'r Row {
    let cases: Vec<String> = report.rows.iter().map(|row| row.case.to_string()).collect();
    report.rows.iter().find(|row| row.case.to_string() == case).unwrap_or_else(|| panic!("{case} is not in {cases:?}"))
}

#[tokio::test]
async fn every_formula_is_asked_with_parameters_that_lead_somewhere_and_equal_data_agree() {
    let report = compared(|_| {}, None).await;
    let cases: Vec<String> = report.rows.iter().map(|row| row.case.to_string()).collect();
    assert_eq!(
        cases,
        [
            "shop/chosen id=x part=s",
            "shop/chosen id=x part=t",
            "shop/distinct",
            "shop/limited id=x least=2",
            "shop/ratio id=x",
        ]
    );
    assert!(!report.differs() && report.left_out.is_empty());
    for row in &report.rows {
        let outcome = &row.outcome;
        assert_eq!(
            (&outcome.verdict, outcome.compared, outcome.agreeing),
            (&Verdict::Agrees, 120, 120),
            "{}",
            row.case
        );
        assert_eq!((row.left_times.len(), row.right_times.len()), (3, 3));
    }
}

#[tokio::test]
async fn parameters_come_from_the_command_line_or_the_formula_tests_or_the_formula_is_left_out() {
    let (sides, _) = sides(|points| points.clear()).await;
    let catalog = catalog::compile(&listing(&[("shop.yaml", KEYSPACE)]));
    let keyspaces = [catalog.keyspaces["shop"].as_ref()];
    // Nothing is stored so early.
    let windows = BTreeMap::from([("shop".to_owned(), Window { from: -HOUR, to: 0, step: None })]);
    let find = async |given: Params, tests: BTreeMap<String, Vec<Request>>| {
        compare::find((&sides.0, &sides.1), &keyspaces, &given, &tests, &windows).await.unwrap()
    };
    let found = find(Params::new(), BTreeMap::new()).await;
    assert_eq!((found.cases.len(), found.left_out.len()), (1, 3), "{found:?}");
    assert!(found.left_out[0].1.contains("--param id="), "{found:?}");
    let tested =
        json!({ "formulas": ["ratio", { "formula": "limited", "params": { "least": 7 } }], "params": { "id": "y" } });
    let tests = BTreeMap::from([("shop".to_owned(), vec![Request::from_json(&tested).unwrap()])]);
    let found = find(Params::new(), tests.clone()).await;
    assert!(found.cases.iter().any(|case| case.to_string() == "shop/limited id=y least=7"), "{found:?}");
    let found = find(Params::from([("id".to_owned(), json!("z"))]), tests).await;
    assert!(found.cases.iter().any(|case| case.to_string() == "shop/ratio id=z"), "{found:?}");
}

#[tokio::test]
async fn an_altered_point_a_removed_series_and_a_late_bucket_are_named() {
    let change = |points: &mut Vec<Point>| {
        points.retain(|point| point.tags["g"] != "b" || point.series == "u");
        points.retain(|point| !(point.series == "t" && point.timestamp == 20 * 60_000));
        let altered = |point: &&mut Point| point.series == "s" && point.timestamp == 30 * 60_000;
        points.iter_mut().filter(altered).for_each(|point| point.value = 3.3);
    };
    let report = compared(change, None).await;
    assert!(report.differs());
    let outcome = &row(&report, "shop/ratio id=x").outcome;
    assert_eq!((outcome.missing_series, outcome.missing_buckets, outcome.agreeing), (1, 1, 58));
    let of = |series: &str, minute: i64| {
        let found =
            outcome.differences.iter().find(|found| found.series == series && found.timestamp == Some(minute * 60_000));
        let found = found.unwrap_or_else(|| panic!("{:?}", outcome.differences));
        (found.left.clone(), found.right.clone())
    };
    assert_eq!(of("g=a", 30), (Ok(Some(0.75)), Ok(Some(3.3 / 4.0))));
    assert_eq!(of("g=a", 20), (Ok(Some(0.75)), Ok(None)));
    assert_eq!(of("g=b", 0), (Ok(Some(0.75)), Err("no such series".to_owned())));
    assert_eq!(outcome.largest.as_ref().unwrap().timestamp, Some(30 * 60_000));
    assert_eq!(row(&report, "shop/distinct").outcome.verdict, Verdict::Agrees);

    let page = compare::html(&report);
    for said in [
        "g=a",
        "0.825",
        "1970-01-01 00:30",
        "missing on kairosdb",
        "Ratio &lt;of&gt; parts",
        "<svg",
        "prefers-color-scheme",
    ] {
        assert!(page.contains(said), "{said}");
    }
    for outside in ["http:", "https:", "//", "<script", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[tokio::test]
async fn the_tolerance_decides_and_no_tolerance_is_the_bounds_of_the_same_points() {
    let change = |points: &mut Vec<Point>| points.iter_mut().for_each(|point| point.value *= 1.0 + 1e-12);
    assert!(!compared(change, None).await.differs());
    assert!(compared(change, Some(0.0)).await.differs());
    let change = |points: &mut Vec<Point>| points.iter_mut().for_each(|point| point.value *= 1.01);
    assert!(compared(change, None).await.differs());
    assert!(!compared(change, Some(0.02)).await.differs());
}

#[tokio::test]
async fn a_backend_that_goes_away_ends_it_and_one_that_fails_is_a_difference() {
    let (sides, right) = sides(|_| {}).await;
    let windows = BTreeMap::from([("shop".to_owned(), Window { from: 0, to: HOUR, step: None })]);
    let catalog = catalog::compile(&listing(&[("shop.yaml", KEYSPACE)]));
    let keyspaces = [catalog.keyspaces["shop"].as_ref()];
    let both = (&sides.0, &sides.1);
    let cases = async || compare::find(both, &keyspaces, &Params::new(), &BTreeMap::new(), &windows).await.unwrap();
    let (first, second) = (cases().await, cases().await);
    right.fares(Health::Garbage);
    let report = compare::run(both, first, &windows, None, &|_| {}).await.unwrap();
    let difference = &row(&report, "shop/ratio id=x").outcome.differences[0];
    assert_eq!((&difference.left, difference.right.is_err()), (&Ok(None), true));
    right.fares(Health::Down);
    assert!(compare::run(both, second, &windows, None, &|_| {}).await.is_err());
}
