//! The shadow: what it finds, what it passes over, and that it never harms a user.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tsdb_ws::config::{BackendName, Config, ShadowLimits};
use tsdb_ws::query::{Backends, Request, Service, Setup};
use tsdb_ws::series::{Point, Step, StepUnit};
use tsdb_ws::telemetry::Metrics;

use crate::support::double::{Double, Health};
use crate::support::{ask, point, service};

const KEYSPACE: &str = "\
settle: 10m
metrics:
  views: { series: s, group_by: [g] }
  same: { series: s, group_by: [g], backends: { kairosdb: {} } }
  steady: t
formulas: { ratio: views / steady, steady_total: steady, mapped: same * 2 }
";
const HOUR: i64 = 3_600_000;

fn points() -> Vec<Point> {
    let minute = |minute: i64| {
        let at = minute * 60_000;
        [point("s", "g=a", at, 1.0), point("s", "g=b", at, 2.0), point("t", "", at, 4.0)]
    };
    (0..60).flat_map(minute).collect()
}

struct World {
    service: Service,
    shadow: Arc<Double>,
    metrics: Arc<Metrics>,
}

impl World {
    /// The points at home, and what `change` makes of them at the shadow.
    async fn new(change: impl FnOnce(&mut Vec<Point>)) -> World {
        let mut changed = points();
        change(&mut changed);
        let home = Double::holding("embedded", &points()).await;
        let shadow = Double::holding("kairosdb", &changed).await;
        let service = service(&[("shop.yaml", KEYSPACE)], BackendName::Embedded, home.clone(), HOUR);
        let backends =
            Backends::from([(BackendName::Embedded, home as _), (BackendName::Kairosdb, shadow.clone() as _)]);
        let config = Config { shadow: Some(BackendName::Kairosdb), ..service.setup().config.clone() };
        service.replace(Setup { config, backends });
        let metrics = Arc::new(Metrics::default());
        service.shadow.start(Arc::clone(&metrics));
        World { service, shadow, metrics }
    }

    fn configure(&self, change: impl FnOnce(&mut Config)) {
        let setup = self.service.setup();
        let mut config = setup.config.clone();
        change(&mut config);
        self.service.replace(Setup { config, backends: setup.backends.clone() });
    }

    async fn ask(&self) -> Value {
        let request = json!({ "formulas": ["ratio", "steady_total", "mapped"], "from": "now-1h", "step": "1m" });
        ask(&self.service, "shop", request).await.unwrap()
    }

    /// What operators see once so many reads have ended.
    async fn report(&self, ended: u64) -> Value {
        for _ in 0..6_000 {
            let report = self.service.shadow.report();
            let count = |field: &str| report["keyspaces"]["shop"][field].as_u64().unwrap_or(0);
            if count("reads_compared") + count("reads_failed") >= ended {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no read of the shadow ended: {}", self.service.shadow.report());
    }

    fn metric(&self, line: &str) -> Option<u64> {
        let text = self.metrics.encode();
        text.lines().find_map(|found| found.strip_prefix(line)).map(|value| value.trim().parse().unwrap())
    }

    fn formula(&self, formula: &str, result: &str) -> Option<u64> {
        let labels = format!("keyspace=\"shop\",formula=\"{formula}\",result=\"{result}\"");
        self.metric(&format!("tsdb_ws_shadow_formulas_total{{{labels}}}"))
    }

    fn differences(&self, formula: &str, kind: &str) -> Option<u64> {
        let labels = format!("keyspace=\"shop\",formula=\"{formula}\",kind=\"{kind}\"");
        self.metric(&format!("tsdb_ws_shadow_differences_total{{{labels}}}"))
    }

    fn reads(&self, outcome: &str) -> Option<u64> {
        let labels = format!("keyspace=\"shop\",shadow=\"kairosdb\",outcome=\"{outcome}\"");
        self.metric(&format!("tsdb_ws_shadow_reads_total{{{labels}}}"))
    }
}

#[tokio::test]
async fn equal_databases_agree_also_where_a_metric_is_mapped_in_one() {
    let world = World::new(|_| {}).await;
    world.ask().await;
    let report = world.report(1).await;
    assert_eq!(report["differences"], json!([]));
    for formula in ["ratio", "steady_total", "mapped"] {
        assert_eq!((world.formula(formula, "agrees"), world.formula(formula, "failed")), (Some(1), None), "{formula}");
    }
    assert_eq!(world.reads("compared"), Some(1));
    let times = "tsdb_ws_shadow_duration_seconds_count{keyspace=\"shop\",backend";
    assert_eq!(world.metric(&format!("{times}=\"embedded\",side=\"primary\"}}")), Some(1));
    assert_eq!(world.metric(&format!("{times}=\"kairosdb\",side=\"shadow\"}}")), Some(1));
}

#[tokio::test]
async fn a_value_a_series_and_a_bucket_that_differ_are_named_with_the_request_that_shows_them() {
    let world = World::new(|points| {
        let at = |minute: i64| minute * 60_000;
        points.retain(|point| point.tags.get("g").map(String::as_str) != Some("b"));
        points.retain(|point| !(point.series == "t" && point.timestamp == at(20)));
        points.iter_mut().filter(|point| point.series == "s" && point.timestamp == at(30)).for_each(|p| p.value = 1.5);
    })
    .await;
    world.ask().await;
    let report = world.report(1).await;
    assert_eq!((world.formula("ratio", "differs"), world.formula("steady_total", "differs")), (Some(1), Some(1)));
    assert_eq!(world.differences("ratio", "value"), Some(1));
    assert_eq!(world.differences("ratio", "missing_series"), Some(1));
    assert_eq!(world.differences("steady_total", "missing_bucket"), Some(1));
    assert_eq!(world.differences("steady_total", "value"), None);
    let of = |kind: &str| report["differences"].as_array().unwrap().iter().find(|found| found["kind"] == kind).unwrap();
    let value = of("value");
    assert_eq!((&value["timestamp"], &value["tags"]), (&json!(30 * 60_000), &json!({ "g": "a" })), "{report}");
    assert_eq!((&value["value"], &value["shadow_value"]), (&json!(1.0), &json!(1.5)));
    assert_eq!(of("missing_series")["tags"], json!({ "g": "b" }));
    let bucket = of("missing_bucket");
    assert_eq!(
        (&bucket["timestamp"], &bucket["value"], &bucket["shadow_value"]),
        (&json!(20 * 60_000), &json!(4.0), &json!(null))
    );
    assert_eq!(bucket["formulas"], json!(["ratio", "steady_total"]));
    // The request can be sent again, whenever that is.
    let request = &value["request"];
    assert_eq!((&request["from"], &request["to"]), (&json!(0), &json!(HOUR)));
    let again = ask(&world.service, "shop", request.clone()).await.unwrap();
    assert_eq!(again["results"][0]["series"][0]["values"][30], 0.25);
}

#[tokio::test]
async fn buckets_that_settle_or_that_one_does_not_keep_are_passed_over() {
    let world = World::new(|points| {
        points.retain(|point| point.timestamp < 50 * 60_000 && point.timestamp >= 20 * 60_000);
    })
    .await;
    world.ask().await;
    world.report(1).await;
    assert_eq!(world.differences("steady_total", "missing_bucket"), Some(20), "all that settled");
    world.configure(|config| {
        config.retention.insert(BackendName::Kairosdb, Step::new(40, StepUnit::Minute));
    });
    world.ask().await;
    world.report(2).await;
    assert_eq!(world.differences("steady_total", "missing_bucket"), Some(20), "what it does not keep is not missing");
    assert_eq!(world.formula("steady_total", "agrees"), Some(1));
}

#[tokio::test]
async fn a_shadow_begins_when_the_answer_has_gone_and_not_at_all_where_none_was_started() {
    let world = World::new(|_| {}).await;
    let request = Request::from_json(&json!({ "formulas": ["ratio"], "from": 0, "to": HOUR })).unwrap();
    let answer = world.service.answer("shop", &request).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.shadow.calls(), 0, "the answer is still here");
    drop(answer);
    world.report(1).await;
    assert_eq!(world.shadow.calls(), 1);
    world.configure(|config| config.shadow = None);
    world.ask().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.shadow.calls(), 1);
}

#[tokio::test]
async fn a_shadow_that_is_down_or_answers_garbage_is_counted_and_users_see_nothing() {
    let world = World::new(|_| {}).await;
    let well = world.ask().await;
    world.report(1).await;
    for (health, ended, said) in [(Health::Down, 2, "connection refused"), (Health::Garbage, 3, "not JSON")] {
        world.shadow.fares(health);
        assert_eq!(world.ask().await["results"], well["results"]);
        let report = world.report(ended).await;
        let failure = report["keyspaces"]["shop"]["failure"].as_str().unwrap();
        assert!(failure.contains(said), "{report}");
    }
    assert_eq!(world.reads("error"), Some(2));
    world.shadow.fares(Health::Well);
    world.ask().await;
    assert_eq!(world.report(4).await["keyspaces"]["shop"]["failure"], json!(null));
}

#[tokio::test]
async fn what_comes_while_a_shadow_hangs_waits_within_the_limits_and_is_dropped_beyond_them() {
    let world = World::new(|_| {}).await;
    let limits = ShadowLimits { queue: 2, concurrency: 1, deadline: Duration::from_secs(3_600), values: 1_000_000 };
    world.configure(|config| config.shadow_limits = limits);
    world.shadow.fares(Health::Hangs);
    world.ask().await;
    // Until it is under way, it waits.
    while world.shadow.calls() == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..9 {
        world.ask().await;
    }
    let report = world.service.shadow.report();
    assert_eq!(
        (&report["under_way"], &report["waiting"], &report["dropped"]),
        (&json!(1), &json!(2), &json!(7)),
        "{report}"
    );
    assert_eq!(world.reads("dropped"), Some(7));
}

#[tokio::test]
async fn a_shadow_that_hangs_costs_its_deadline_and_gives_its_place_back() {
    let world = World::new(|_| {}).await;
    let limits = ShadowLimits { concurrency: 1, deadline: Duration::from_millis(50), ..ShadowLimits::default() };
    world.configure(|config| config.shadow_limits = limits);
    world.shadow.fares(Health::Hangs);
    world.ask().await;
    world.report(1).await;
    assert_eq!(world.reads("timeout"), Some(1));
    world.shadow.fares(Health::Well);
    world.configure(|config| config.shadow_limits = ShadowLimits { deadline: Duration::from_secs(3_600), ..limits });
    world.ask().await;
    world.report(2).await;
    assert_eq!(world.reads("compared"), Some(1));
    // What is over the limit of kept values is dropped.
    world.configure(|config| config.shadow_limits = ShadowLimits { values: 100, ..limits });
    world.ask().await;
    assert_eq!(world.reads("dropped"), Some(1));
}

#[tokio::test]
async fn a_shadow_that_hangs_blinds_no_other_and_a_reload_frees_its_queue() {
    let world = World::new(|_| {}).await;
    let limits = ShadowLimits { queue: 5, concurrency: 1, deadline: Duration::from_secs(3_600), values: 1_000_000 };
    let well = Double::holding("prometheus", &points()).await;
    let setup = world.service.setup();
    let mut backends = setup.backends.clone();
    backends.insert(BackendName::Prometheus, well.clone() as _);
    world.service.replace(Setup { config: Config { shadow_limits: limits, ..setup.config.clone() }, backends });
    world.shadow.fares(Health::Hangs);
    for _ in 0..4 {
        world.ask().await;
    }
    while world.shadow.calls() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.service.shadow.report()["waiting"], json!(3));
    // A reload that changes nothing of it keeps what waits; one that names another shadow does not, and that one is asked at once.
    world.configure(|_| {});
    assert_eq!(world.service.shadow.report()["waiting"], json!(3));
    world.configure(|config| config.shadow = Some(BackendName::Prometheus));
    let report = world.service.shadow.report();
    assert_eq!((&report["waiting"], &report["under_way"]), (&json!(0), &json!(1)), "{report}");
    assert_eq!(world.reads("dropped"), Some(3));
    world.ask().await;
    world.report(1).await;
    assert_eq!((well.calls(), world.formula("ratio", "agrees")), (1, Some(1)));
}
