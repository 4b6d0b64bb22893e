//! The table that a reader of an experiment looks at, a row a day: the same from all five.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tsdb_ws::backend::Backend;
use tsdb_ws::backend::elasticsearch::Elasticsearch;
use tsdb_ws::backend::embedded::EmbeddedStore;
use tsdb_ws::backend::kairosdb::KairosDb;
use tsdb_ws::backend::m3db::M3db;
use tsdb_ws::backend::prometheus::Prometheus;
use tsdb_ws::config::BackendName;
use tsdb_ws::ingest;

use crate::support::{ask, service};
use crate::{address, unique};

const AB_TEST: &str = include_str!("../testdata/ab_test_2017.csv");
const DAY: i64 = 86_400_000;
/// 2017-01-02, the first day of the test.
const FIRST: i64 = 1_483_315_200_000;
const DAYS: i64 = 23;

fn backend(name: BackendName, index: &str) -> Arc<dyn Backend> {
    let timeout = Duration::from_secs(60);
    match name {
        BackendName::Embedded => Arc::new(EmbeddedStore::open_in_memory().unwrap()),
        BackendName::Kairosdb => Arc::new(KairosDb::new(&address("kairosdb"), timeout).unwrap()),
        BackendName::M3db => Arc::new(M3db::new(&address("m3db"), false, timeout).unwrap()),
        BackendName::Elasticsearch => {
            Arc::new(Elasticsearch::new(&address("elasticsearch"), index, None, timeout).unwrap())
        }
        BackendName::Prometheus => Arc::new(Prometheus::new(&address("prometheus"), timeout).unwrap()),
    }
}

/// The real test, moved by whole days to end yesterday, as M3DB keeps nothing of 2017.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_test_by_day_is_the_same_from_all_five() {
    let prefix = unique();
    let now = jiff::Timestamp::now().as_millisecond();
    let shift = (now - FIRST).div_euclid(DAY) * DAY - DAYS * DAY;
    let text = AB_TEST.replace("shop.", &format!("{prefix}."));
    let keyspace = format!(
        "defaults: {{ group_by: [variation] }}\nmetrics: {{ visitors: {prefix}.visitors, customers: {prefix}.customers }}\n\
         formulas:\n  v: visitors\n  c: customers\n  conversion: customers / visitors\n  week: moving_sum(customers, \"7d\") / \
         moving_sum(visitors, \"7d\")\n  change: v - offset(v, \"1d\")\n"
    );
    let from = FIRST + shift;
    let request = json!({ "formulas": ["v", "c", "conversion", "week", "change"], "from": from, "to": from + DAYS * DAY,
        "step": "1d", "summary": true });
    let mut first: Option<Value> = None;
    for name in BackendName::ALL {
        let backend = backend(name, &prefix);
        let report =
            ingest::load(std::io::Cursor::new(text.clone()), None, backend.as_ref(), shift, &|_, _| {}).await.unwrap();
        assert_eq!((report.stored, report.refused), (44_048, 0), "{}", name.as_str());
        let service = service(&[("shop.yaml", &keyspace)], name, backend, now);
        let answer = ask(&service, "shop", request.clone()).await.unwrap();
        assert_eq!(answer["stats"]["backend_calls"], 1, "{}", name.as_str());
        let table = json!({ "days": answer["timestamps"], "results": answer["results"] });
        match &first {
            Some(first) => assert_eq!(&table, first, "{}", name.as_str()),
            None => {
                let summaries = |formula: usize| {
                    [0, 1].map(|series| table["results"][formula]["series"][series]["summary"].clone())
                };
                assert_eq!(table["days"].as_array().unwrap().len(), DAYS as usize);
                assert_eq!(summaries(0), [json!(28_521), json!(28_515)]);
                assert_eq!(summaries(1), [json!(3_472), json!(3_387)]);
                assert_eq!(summaries(2), [json!(3472.0 / 28521.0), json!(3387.0 / 28515.0)]);
                first = Some(table);
            }
        }
    }
}
