//! Experiments: statistics equal to statsmodels', the check of the split, what is refused, and what is wrong at load.

use serde_json::{Value, json};
use tsdb_ws::catalog::compile;
use tsdb_ws::eval::statistics::{Proportion, compare_proportions, goodness_of_fit};
use tsdb_ws::http::{HttpState, router};
use tsdb_ws::query::QueryError;
use tsdb_ws::series::Point;

use crate::support::{ask, embedded, listing, point};

const EXPECTED: &str = include_str!("../testdata/experiment/expected.json");
const AB_TEST: &str = include_str!("../testdata/ab_test_2017.csv");
const KEYSPACE: &str = "
experiment: { tag: variation, control: control, split: { control: 0.5, treatment: 0.5 } }
defaults: { group_by: [variation] }
metrics:
  visitors: { series: shop.visitors, unit: count }
  customers: { series: shop.customers, unit: count, part_of: visitors }
  clicks: { series: shop.clicks, unit: count }
  revenue: { series: shop.revenue, unit: currency }
  views: shop.views
  everyone: { series: shop.visitors, group_by: [] }
formulas:
  buyers: customers
  conversion_rate: (buyers) / visitors
  click_rate: clicks / visitors
  revenue_per_visitor: revenue / visitors
  of_all: customers / everyone
  view_rate: views / visitors
  smooth: moving_avg(customers / visitors, \"2d\")
";

fn expected() -> Value {
    serde_json::from_str(EXPECTED).unwrap()
}

fn close(found: &Value, expected: &Value) -> bool {
    let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
    (found - expected).abs() <= 1e-9 * expected.abs().max(1e-3)
}

#[test]
fn tests_of_proportions_equal_statsmodels() {
    let expected = expected();
    let pairs = expected["pairs"].as_object().unwrap();
    assert!(pairs.len() >= 5);
    for (name, pair) in pairs {
        let counts: Vec<f64> = pair["counts"].as_array().unwrap().iter().map(|count| count.as_f64().unwrap()).collect();
        let (variation, control) =
            (Proportion { part: counts[0], of: counts[1] }, Proportion { part: counts[2], of: counts[3] });
        let test = compare_proportions(variation, control).unwrap();
        let lift = test.lift.unwrap();
        let found = [("low", test.difference.0), ("high", test.difference.1), ("lift_low", lift.0)];
        for (field, found) in found.into_iter().chain([("lift_high", lift.1), ("p_value", test.p_value)]) {
            let expected = &pair["compare"][field];
            assert!(close(&json!(found), expected), "{name}: {field} is {found}, not {expected}");
        }
    }
    for (name, split) in expected["splits"].as_object().unwrap() {
        let list = |field: &str| -> Vec<f64> {
            split[field].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
        };
        let found = goodness_of_fit(&list("counts"), &list("weights")).unwrap();
        assert!(close(&json!(found), &split["p_value"]), "{name}: {found}");
    }
}

/// The points of the real A/B test that `keep` keeps, by their index and variation.
fn ab_test(keep: impl Fn(usize, &str) -> bool) -> Vec<Point> {
    let rows = AB_TEST.lines().skip(1).enumerate().filter_map(|(index, line)| {
        let [series, timestamp, value, variation] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let tags = format!("variation={variation}");
        keep(index, variation).then(|| point(series, &tags, timestamp.parse().unwrap(), value.parse().unwrap()))
    });
    rows.collect()
}

fn request(formulas: &[&str]) -> Value {
    json!({ "formulas": formulas, "from": "2017-01-02T00:00:00Z", "to": "2017-01-25T00:00:00Z", "step": "1d", "compare": true })
}

fn codes(result: &Value) -> Vec<&str> {
    // Days without visits are undefined in every test here.
    let codes = result["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap());
    codes.filter(|code| *code != "undefined").collect()
}

#[tokio::test]
async fn the_real_test_is_compared_as_statsmodels_does_and_its_split_is_sound() {
    let service = embedded(&[("shop.yaml", KEYSPACE)], &ab_test(|_, _| true), 1_700_000_000_000).await;
    let answer = ask(&service, "shop", request(&["conversion_rate", "buyers"])).await.unwrap();
    assert_eq!(answer["stats"]["backend_calls"], 1);
    let result = &answer["results"][0];
    let series = &result["series"];
    assert_eq!((&series[0]["tags"]["variation"], &series[0]["compare"]), (&json!("control"), &Value::Null));
    assert!(series[0].as_object().unwrap().contains_key("compare"));
    assert_eq!(series[1]["summary"], json!(3387.0 / 28515.0));
    let expected = expected();
    for (field, expected) in expected["pairs"]["ab_test_2017"]["compare"].as_object().unwrap() {
        let found = &series[1]["compare"][field];
        assert!(close(found, expected), "{field} is {found}, not {expected}");
    }
    let ratio = &result["sample_ratio"];
    assert_eq!(ratio["observed"], json!({ "control": 28521, "treatment": 28515 }));
    assert_eq!((&ratio["metric"], &ratio["mismatch"]), (&json!("visitors"), &json!(false)));
    assert!(close(&ratio["p_value"], &expected["splits"]["ab_test_2017"]["p_value"]));
    assert_eq!(codes(result), [] as [&str; 0]);
    assert_eq!(codes(&answer["results"][1]), ["not_compared"]);
    assert!(answer["results"][1]["series"][1].get("compare").is_none());
}

#[tokio::test]
async fn a_tenth_that_is_missing_is_reported() {
    let points = ab_test(|index, variation| variation == "control" || index % 10 != 0);
    let service = embedded(&[("shop.yaml", KEYSPACE)], &points, 1_700_000_000_000).await;
    let answer = ask(&service, "shop", request(&["conversion_rate"])).await.unwrap();
    let result = &answer["results"][0];
    assert_eq!(result["sample_ratio"]["mismatch"], true, "{result}");
    assert!(result["sample_ratio"]["p_value"].as_f64().unwrap() < 1e-20);
    assert_eq!(codes(result), ["sample_ratio_mismatch"]);
}

#[tokio::test]
async fn what_counts_nothing_has_no_sample_ratio_and_says_so() {
    let points = totals(&[
        ("shop.visitors", "variation=control", 1000.5),
        ("shop.visitors", "variation=treatment", 500.25),
        ("shop.customers", "variation=control", 100.0),
        ("shop.customers", "variation=treatment", 90.0),
    ]);
    let service = embedded(&[("shop.yaml", KEYSPACE)], &points, 1_700_000_000_000).await;
    let answer = ask(&service, "shop", request(&["conversion_rate"])).await.unwrap();
    let result = &answer["results"][0];
    assert_eq!((result.get("sample_ratio"), codes(result)), (None, vec!["no_sample_ratio"]), "{result}");
}

fn totals(rows: &[(&str, &str, f64)]) -> Vec<Point> {
    rows.iter().map(|(series, tags, value)| point(series, tags, 1_483_364_520_000, *value)).collect()
}

#[tokio::test]
async fn what_cannot_be_told_has_its_reason() {
    let points = totals(&[
        ("shop.visitors", "variation=control", 1000.0),
        ("shop.visitors", "variation=treatment", 1000.0),
        ("shop.visitors", "variation=blue", 20.0),
        ("shop.customers", "variation=control", 100.0),
        ("shop.customers", "variation=treatment", 130.0),
        ("shop.customers", "variation=blue", 2.0),
        ("shop.clicks", "variation=control", 2000.0),
        ("shop.clicks", "variation=treatment", 1900.0),
        ("shop.revenue", "variation=control", 500.0),
        ("shop.revenue", "variation=treatment", 800.0),
        ("shop.views", "variation=control", 900.0),
        ("shop.views", "variation=treatment", 950.0),
        ("shop.views", "variation=blue", 60.0),
        // A point without a variation counts nothing that could be divided.
        ("shop.customers", "", 1.0),
    ]);
    let service = embedded(&[("shop.yaml", KEYSPACE)], &points, 1_700_000_000_000).await;
    let formulas = ["conversion_rate", "click_rate", "revenue_per_visitor", "of_all", "smooth", "view_rate"];
    let answer = ask(&service, "shop", request(&formulas)).await.unwrap();
    let compared = |index: usize, variation: &str| -> &Value {
        let series = answer["results"][index]["series"].as_array().unwrap();
        &series.iter().find(|series| series["tags"]["variation"] == variation).unwrap()["compare"]
    };
    // Two of twenty are too few to test, and a variation outside the split is named.
    assert_eq!((&compared(0, "blue")["reason"], &compared(0, "blue")["p_value"]), (&json!("too_few"), &Value::Null));
    assert!(compared(0, "treatment")["p_value"].as_f64().unwrap() < 0.05);
    assert_eq!(codes(&answer["results"][0]), ["unknown_variation"]);
    // More clicks than visitors: no shares, whatever their units.
    assert_eq!(compared(1, "treatment")["reason"], "not_a_proportion");
    assert!((compared(1, "treatment")["difference"].as_f64().unwrap() + 0.1).abs() < 1e-12);
    assert_eq!(codes(&answer["results"][1])[0], "assumed_proportion");
    // Where the data of one variation show that, the others' are no shares either.
    assert_eq!(compared(5, "treatment")["reason"], "not_a_proportion");
    // Money has no variance that sums could tell.
    let money = compared(2, "treatment");
    assert_eq!(
        (&money["reason"], &money["low"], &money["p_value"]),
        (&json!("not_a_proportion"), &Value::Null, &Value::Null)
    );
    assert!((money["lift"].as_f64().unwrap() - 0.6).abs() < 1e-12);
    assert_eq!(compared(3, "treatment"), &Value::Null);
    assert_eq!(
        (codes(&answer["results"][3]), codes(&answer["results"][4])),
        (vec!["not_compared"], vec!["not_compared"])
    );
}

#[tokio::test]
async fn several_variations_and_further_tags_are_each_compared_with_their_control() {
    let keyspace = "
experiment: { tag: v, control: a, split: { a: 0.5, b: 0.25, c: 0.25 }, exposures: seen }
metrics:
  seen: { series: seen, group_by: [v, platform] }
  bought: { series: bought, group_by: [v, platform], part_of: seen }
  orders: { series: orders, group_by: [v, platform] }
formulas: { share_bought: bought / seen, per_order: bought / orders, twice: (bought + bought) / seen }
";
    let mut points = Vec::new();
    for (tags, seen, bought) in [
        ("v=a,platform=web", 2000.0, 0.0),
        ("v=a,platform=ios", 3000.0, 300.0),
        ("v=b,platform=web", 1000.0, 100.0),
        ("v=b,platform=ios", 1450.0, 200.0),
        ("v=c,platform=ios", 2600.0, 100.0),
        ("v=c,platform=tv", 0.0, 0.0),
    ] {
        points.extend(totals(&[("seen", tags, seen), ("bought", tags, bought), ("orders", tags, bought)]));
    }
    let service = embedded(&[("shop.yaml", keyspace)], &points, 1_700_000_000_000).await;
    let answer = ask(&service, "shop", request(&["share_bought", "per_order"])).await.unwrap();
    let result = &answer["results"][0];
    let of = |variation: &str, platform: &str| -> &Value {
        let series = result["series"].as_array().unwrap();
        let tags = json!({ "platform": platform, "v": variation });
        &series.iter().find(|series| series["tags"] == tags).unwrap()["compare"]
    };
    // No lift over a control of zero, but a difference and its test.
    assert_eq!(of("b", "web")["reason"], "near_zero");
    assert_eq!((&of("b", "web")["lift"], &of("b", "web")["lift_low"]), (&Value::Null, &Value::Null));
    assert!(of("b", "web")["p_value"].as_f64().unwrap() < 1e-9 && of("b", "web")["low"].as_f64().unwrap() > 0.0);
    assert!(of("b", "ios")["lift"].as_f64().unwrap() > 0.3 && of("c", "ios")["lift"].as_f64().unwrap() < -0.5);
    assert_eq!(of("c", "tv")["reason"], "no_data");
    assert_eq!(of("a", "ios"), &Value::Null);
    assert_eq!(result["sample_ratio"]["observed"], json!({ "a": 5000, "b": 2450, "c": 2600 }));
    assert!(close(&result["sample_ratio"]["p_value"], &expected()["splits"]["three"]["p_value"]));
    // Each is added twice, so that their number is not that of those who did.
    let twice = ask(&service, "shop", request(&["twice"])).await.unwrap();
    let warnings = twice["results"][0]["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|warning| warning["code"] == "not_compared"), "{twice}");
    // Orders are an outcome, not what was assigned: no test by them, and the split is still that of the exposures.
    let per_order = &answer["results"][1];
    assert_eq!(per_order["series"].as_array().unwrap().last().unwrap()["compare"]["p_value"], Value::Null);
    assert_eq!(per_order["sample_ratio"], result["sample_ratio"]);
}

#[tokio::test]
async fn what_was_assigned_is_known_by_what_is_read_and_not_by_its_name() {
    let keyspace = "
experiment: { tag: v, control: a, exposures: assigned }
metrics:
  assigned: { series: seen, group_by: [v] }
  visitors: { series: seen, group_by: [v, platform] }
  customers: { series: bought, group_by: [v, platform], part_of: assigned }
  mobile: { series: seen, tags: { platform: ios }, group_by: [v, platform] }
formulas:
  conversion: sum_by(customers, \"v\") / sum_by(visitors, \"v\")
  of_mobile: sum_by(customers, \"v\") / sum_by(mobile, \"v\")
";
    let mut points = Vec::new();
    for (tags, seen, bought) in [("v=a,platform=ios", 3000.0, 300.0), ("v=b,platform=ios", 1450.0, 200.0)] {
        points.extend(totals(&[("seen", tags, seen), ("bought", tags, bought)]));
    }
    let service = embedded(&[("shop.yaml", keyspace)], &points, 1_700_000_000_000).await;
    let answer = ask(&service, "shop", request(&["conversion", "of_mobile"])).await.unwrap();
    let compared = |index: usize| &answer["results"][index]["series"][1]["compare"];
    assert!(compared(0)["p_value"].as_f64().is_some(), "{answer}");
    assert_eq!(codes(&answer["results"][0]), [] as [&str; 0]);
    assert_eq!(compared(1)["reason"], "not_the_exposures");
}

#[tokio::test]
async fn a_range_of_parts_of_buckets_is_told_where_it_is_compared() {
    let service = embedded(&[("shop.yaml", KEYSPACE)], &ab_test(|_, _| true), 1_700_000_000_000).await;
    let mut asked = request(&["conversion_rate"]);
    asked["to"] = json!("2017-01-24T12:00:00Z");
    let answer = ask(&service, "shop", asked.clone()).await.unwrap();
    assert_eq!(codes(&answer["results"][0]), ["range_widened"]);
    let detail = answer["results"][0]["warnings"].as_array().unwrap().last().unwrap()["detail"].as_str().unwrap();
    assert!(detail.contains("from 2017-01-02T00:00:00Z to 2017-01-25T00:00:00Z"), "{detail}");
    asked["compare"] = json!(false);
    let answer = ask(&service, "shop", asked).await.unwrap();
    assert_eq!(codes(&answer["results"][0]), [] as [&str; 0]);
}

#[tokio::test]
async fn a_query_string_compares_and_a_keyspace_without_experiment_refuses() {
    let plain = "metrics: { v: shop.visitors }\nformulas: { f: v }\n";
    let service =
        embedded(&[("shop.yaml", KEYSPACE), ("plain.yaml", plain)], &ab_test(|_, _| true), 1_700_000_000_000).await;
    let Err(QueryError::Input(faults)) = ask(&service, "plain", request(&["f"])).await else { panic!("answered") };
    assert_eq!((faults[0].pointer.as_str(), faults[0].code), ("/compare", "no_experiment"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = router(std::sync::Arc::new(service), HttpState::default());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = reqwest_like(address).await;
    let series = &client["results"][0]["series"];
    assert!(close(&series[1]["compare"]["p_value"], &expected()["pairs"]["ab_test_2017"]["compare"]["p_value"]));
}

/// The answer to a GET, without a client that would need TLS.
async fn reqwest_like(address: std::net::SocketAddr) -> Value {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let query = "formula=conversion_rate&from=2017-01-02T00:00:00Z&to=2017-01-25T00:00:00Z&step=1d&compare=true";
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /shop/query?{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_wrong_experiment_is_refused_at_load_with_its_place() {
    let metrics = "metrics: { m: { series: s, group_by: [v] }, g: { series: s, kind: gauge, group_by: [v] }, n: t }\n";
    for (experiment, code, column) in [
        ("{ tag: w, control: a }", "unknown_tag", 20),
        ("{ tag: v }", "missing_key", 13),
        ("{ control: a }", "missing_key", 13),
        ("{ tag: v, control: a, split: { a: 0.5, b: 0.4 } }", "invalid_split", 42),
        ("{ tag: v, control: a, split: { b: 0.5, c: 0.5 } }", "invalid_split", 32),
        ("{ tag: v, control: a, split: { a: 0, b: 1 } }", "invalid_split", 47),
        ("{ tag: v, control: a, split: { a: x, b: 1 } }", "wrong_type", 47),
        ("{ tag: v, control: a, exposures: n }", "unknown_tag", 46),
        ("{ tag: v, control: a, exposures: g }", "kind_misuse", 46),
        ("{ tag: v, control: a, exposures: zork }", "unknown_name", 46),
        ("{ tag: v, control: a, weights: {} }", "unknown_key", 35),
    ] {
        let text = format!("experiment: {experiment}\n{metrics}");
        let found = compile(&listing(&[("k.yaml", &text)])).diagnostics;
        let right =
            found.iter().any(|fault| fault.code == code && fault.location.line == 1 && fault.location.column == column);
        assert!(right && found.iter().all(|fault| fault.hint.is_some()), "{experiment}: {found:#?}");
    }
    let part = "metrics: { m: { series: s, part_of: zork } }\nformulas: { f: m }\n";
    assert_eq!(compile(&listing(&[("k.yaml", part)])).diagnostics[0].code, "unknown_name");
}
