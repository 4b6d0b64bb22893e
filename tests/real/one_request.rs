//! An answer is one request, counted at the socket.

use std::sync::Arc;

use serde_json::{Value, json};
use tsdb_ws::backend::Backend;
use tsdb_ws::config::BackendName;
use tsdb_ws::series::Point;

use crate::support::proxy::Proxy;
use crate::support::{ask, point, service};

const FORMULAS: usize = 60;
const METRICS: usize = 20;
const MINUTES: i64 = 30;

/// Sixty formulas over twenty metrics of every kind of read: groups, filters, windows, offsets, percentiles and counters.
fn keyspace(prefix: &str) -> String {
    let mut metrics = String::new();
    for metric in 0..METRICS {
        let read = ["aggregate: sum", "kind: gauge, aggregate: p95", "kind: gauge, aggregate: last", "kind: counter"]
            [metric % 4];
        metrics += &format!("  m{metric}: {{ series: \"{prefix}.m{metric}\", {read}, group_by: [v] }}\n");
    }
    let mut formulas = String::new();
    for formula in 0..FORMULAS {
        let (a, b) = (formula % METRICS, (formula * 7 + 3) % METRICS);
        let expr = match formula % 5 {
            0 => format!("m{a} / m{b}"),
            1 => format!("moving_sum(m{a}, '10m')"),
            2 => format!("m{a} - offset(m{a}, '15m')"),
            3 => format!("sum_by(m{a}) + m{b} * 2"),
            _ => format!("m{a}"),
        }
        .replace('\'', "\\\"");
        formulas += &format!("  f{formula}: {{ expr: \"{expr}\", chart: {{ title: F{formula} }} }}\n");
    }
    format!("metrics:\n{metrics}formulas:\n{formulas}")
}

fn points(prefix: &str, to: i64) -> Vec<Point> {
    let mut points = Vec::new();
    for minute in -60..MINUTES {
        for metric in 0..METRICS {
            for (index, tags) in ["v=a,host=x", "v=a,host=y", "v=b,host=x"].iter().enumerate() {
                let value = (minute + 60) as f64 * (index + 1) as f64 + metric as f64;
                points.push(point(&format!("{prefix}.m{metric}"), tags, to + (minute - MINUTES) * 60_000, value));
            }
        }
    }
    points
}

/// All charts of a page in one request, the second time too.
pub async fn run(name: BackendName, proxy: &Proxy, backend: Arc<dyn Backend>, prefix: &str) {
    let to = "2026-11-05T12:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
    backend.write(&points(prefix, to)).await.unwrap();
    proxy.requests();
    let service = service(&[("shop.yaml", &keyspace(prefix))], name, backend, to + 600_000);
    for step in ["1m", "5m"] {
        let request =
            json!({ "formulas": "*", "from": to - MINUTES * 60_000, "to": to, "step": step, "summary": true });
        let answer = ask(&service, "shop", request).await.unwrap();
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.len(), FORMULAS);
        for result in results {
            let values =
                || result["series"].as_array().into_iter().flatten().flat_map(|series| series["values"].as_array());
            assert!(values().flatten().any(Value::is_number), "{result}");
        }
        assert_eq!(answer["stats"]["backend_calls"], 1);
        assert_eq!(proxy.requests(), 1, "at step {step}");
    }
}
