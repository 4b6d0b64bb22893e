//! What `check --backend` says before a switch.

use serde_json::json;
use tsdb_ws::backend::capabilities::{
    Aggregates, Capabilities, ELASTICSEARCH, EMBEDDED, KAIROSDB, M3DB_LEGACY, Support,
};
use tsdb_ws::catalog;
use tsdb_ws::config::BackendName;
use tsdb_ws::diagnostic::Severity;

use crate::support::double::{Double, Health};
use crate::support::{ask, listing, point, service};

const KEYSPACE: &str = "\
parameters:
  module: { type: enum, values: [a-b, a_b] }
  id: { type: string }
metrics:
  views: expo.views
  same: { series: expo_views, tags: { _untagged: x } }
  spare: { series: \"expo.${id}\", backends: { kairosdb: { index: x } } }
  load: { series: expo.load, kind: gauge, aggregate: p95, group_by: [a.b] }
  rough: { series: \"expo.${module}\", kind: gauge, aggregate: p50, approximate: true, group_by: [a_b] }
  docs: { series: docs, backends: { elasticsearch: { indx: x } } }
formulas:
  one: views + same
  two: load * 2
  three: rough
  four: docs
";

fn found(backend: &Capabilities) -> Vec<String> {
    let catalog = catalog::compile(&listing(&[("shop.yaml", KEYSPACE)]));
    assert!(catalog.diagnostics.iter().all(|found| found.severity != Severity::Error), "{:#?}", catalog.diagnostics);
    let found = catalog::check_backend(&catalog.keyspaces["shop"], backend);
    let line = |found: &tsdb_ws::diagnostic::Diagnostic| {
        let related: Vec<String> = found.related.iter().map(|place| format!(" see {place}")).collect();
        format!("{} {} {}: {}{}", found.location, found.severity.as_str(), found.code, found.message, related.concat())
    };
    found.iter().map(line).collect()
}

#[test]
fn what_would_not_work_has_its_place_and_the_formulas_that_fail() {
    assert!(found(&EMBEDDED).is_empty());
    let on_kairosdb = found(&KAIROSDB);
    assert_eq!(
        on_kairosdb,
        [
            "shop.yaml:6:3 error reserved_tag: `same` reads the tag `_untagged`, which kairosdb uses itself; it fails one",
            "shop.yaml:7:3 warning invalid_mapping: `spare`: kairosdb reads no mapping; no formula reads it",
        ]
    );
    let on_elasticsearch = found(&ELASTICSEARCH);
    assert_eq!(on_elasticsearch.len(), 1, "{on_elasticsearch:#?}");
    assert!(on_elasticsearch[0].starts_with("shop.yaml:10:3 error invalid_mapping: `docs`"), "{on_elasticsearch:#?}");
    assert!(on_elasticsearch[0].contains("`indx`"), "{on_elasticsearch:#?}");
}

#[test]
fn names_that_become_the_same_are_errors_and_changed_ones_notes() {
    let found = found(&M3DB_LEGACY);
    for expected in [
        "shop.yaml:5:3 error name_collision: the stored names `expo_views` and `expo.views` are both `expo_views` on m3db; \
         it fails one see shop.yaml:6:3",
        "shop.yaml:9:3 error name_collision: the tags `a.b` and `a_b` are both `a_b` on m3db; it fails three see shop.yaml:8:3",
        "shop.yaml:9:3 error name_collision: the stored names `expo.a-b` and `expo.a_b` are both `expo_a_b` on m3db; \
         it fails three see shop.yaml:9:3",
        "shop.yaml:7:3 note name_changed: the stored name `expo.${id}` is `expo_${id}` on m3db",
        "shop.yaml:8:3 note name_changed: the tag `a.b` is `a_b` on m3db",
    ] {
        assert!(found.iter().any(|line| line == expected), "{expected}\nis not in\n{found:#?}");
    }
}

#[test]
fn an_estimate_must_be_accepted_and_what_cannot_be_had_fails() {
    let estimates = Aggregates { percentile: Support::Estimated("of a sample"), ..EMBEDDED.aggregates };
    let found = found(&Capabilities { aggregates: estimates, ..EMBEDDED });
    assert_eq!(
        found,
        [
            "shop.yaml:8:3 error unsupported_by_backend: the p95 of `load` would be an estimate on embedded: of a sample; \
             it fails two",
            "shop.yaml:9:3 warning estimated: the p50 of `rough` is an estimate on embedded: of a sample",
        ]
    );
    let none = Aggregates { sum: Support::Unsupported("no sums"), ..EMBEDDED.aggregates };
    let catalog = catalog::compile(&listing(&[("shop.yaml", KEYSPACE)]));
    let found = catalog::check_backend(&catalog.keyspaces["shop"], &Capabilities { aggregates: none, ..EMBEDDED });
    assert_eq!(found.iter().filter(|found| found.severity == Severity::Error).count(), 3);
}

#[tokio::test]
async fn an_answer_made_of_estimates_says_so() {
    let double = Double::holding("embedded", &[point("s", "", 0, 4.0)]).await;
    let files = [("shop.yaml", "metrics: { m: { series: s, approximate: true } }\nformulas: { f: m, g: 1 + 1 }\n")];
    let shop = service(&files, BackendName::Embedded, double.clone(), 3_600_000);
    let request = json!({ "formulas": ["f", "g"], "from": 0, "to": 60_000, "step": "1m" });
    assert_eq!(ask(&shop, "shop", request.clone()).await.unwrap()["results"][0]["warnings"], json!([]));
    double.fares(Health::Estimates);
    let results = ask(&shop, "shop", request).await.unwrap()["results"].clone();
    assert_eq!(results[0]["warnings"][0]["code"], "approximate", "{results}");
    assert_eq!(results[1]["warnings"], json!([]));
}
