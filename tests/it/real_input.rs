//! A real A/B test: loaded from its file, summed at every step, exactly.

use std::sync::Arc;

use serde_json::json;
use tsdb_ws::backend::embedded::EmbeddedStore;
use tsdb_ws::config::BackendName;
use tsdb_ws::ingest;

use crate::support::{ask, service};

const KEYSPACE: &str = "
metrics:
  visitors: { series: shop.visitors, group_by: [variation] }
  customers: { series: shop.customers, group_by: [variation] }
formulas: { v: visitors, c: customers, conversion_rate: customers / visitors }
";

#[tokio::test]
async fn sums_and_summaries_are_exact_at_every_step() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&folder.path().join("store.db")).unwrap();
    for _ in 0..2 {
        let file = std::fs::File::open("tests/testdata/ab_test_2017.csv").unwrap();
        let report = ingest::load(file, &store, 0, &|_| {}).await.unwrap();
        assert_eq!((report.stored, report.refused), (44_048, 0));
    }
    let service = service(&[("shop.yaml", KEYSPACE)], BackendName::Embedded, Arc::new(store), 1_700_000_000_000);
    for step in ["1m", "7m", "1h", "1d"] {
        let request = json!({ "formulas": ["v", "c", "conversion_rate"], "from": "2017-01-02T00:00:00Z",
            "to": "2017-01-25T00:00:00Z", "step": step, "summary": true });
        let answer = ask(&service, "shop", request).await.unwrap();
        let sum = |formula: usize, series: usize| -> f64 {
            let values = &answer["results"][formula]["series"][series]["values"];
            values.as_array().unwrap().iter().filter_map(serde_json::Value::as_f64).sum()
        };
        assert_eq!([sum(0, 0), sum(0, 1), sum(1, 0), sum(1, 1)], [28_521.0, 28_515.0, 3_472.0, 3_387.0], "{step}");
        let series = &answer["results"][2]["series"];
        assert_eq!(series[0]["summary"], json!(3472.0 / 28521.0));
        assert_eq!(series[1]["summary"], json!(3387.0 / 28515.0));
        assert_eq!(answer["stats"]["backend_calls"], 1);
    }
}
