//! A request for 60 formulas over 80 metrics, counted at the socket of KairosDB.

use serde_json::Value;

use super::process::Place;
use super::proxy::Proxy;

/// 60 formulas over 80 metrics, of which 30 are others of them under another name.
fn many() -> String {
    let mut text = "metrics:\n".to_owned();
    for metric in 0..80 {
        text.push_str(&format!("  m{metric}: {{ series: many.s{}, group_by: [host] }}\n", metric % 50));
    }
    text.push_str("formulas:\n");
    for formula in 0..60 {
        text.push_str(&format!("  f{formula}: (m{formula} + 1) / m{}\n", formula + 20));
    }
    text
}

/// A request for 60 formulas over 80 metrics, 30 of them equal selections, is one request to the database, with 50 in it.
pub fn sends_one_request(kairosdb: &str) {
    let proxy = Proxy::before(kairosdb);
    let place = Place::with(&[("formulas/many.yaml", &many())]);
    let server = place.serve(&["--backend", "kairosdb", "--kairosdb-url", &proxy.url]);
    let formulas: Vec<String> = (0..60).map(|formula| format!("f{formula}")).collect();
    let body = serde_json::json!({ "formulas": formulas, "from": "2026-01-05T00:00:00Z", "to": "2026-01-05T01:00:00Z",
        "step": "1m", "summary": true });
    proxy.requests();
    let reply = server.post("/many", &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    assert!(answer["results"].as_array().unwrap().iter().all(|result| result.get("error").is_none()), "{answer}");
    assert_eq!((&answer["stats"]["backend_calls"], &answer["stats"]["selections"]), (&1.into(), &50.into()));
    assert_eq!(proxy.requests(), 1);
    let (head, body) = proxy.last();
    assert!(head.starts_with("POST /api/v1/datapoints/query "), "{head}");
    let query: Value = serde_json::from_slice(&body).unwrap();
    let mut names: Vec<&str> =
        query["metrics"].as_array().unwrap().iter().map(|metric| metric["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 50);
}
