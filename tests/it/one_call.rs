//! One answer is one request to the database, counted at the socket.

use serde_json::{Value, json};

use crate::support::counting::sends_one_request;
use crate::support::proxy::answering_server;

#[test]
fn sixty_formulas_are_one_request_of_fifty_metrics() {
    // KairosDB's answer where nothing is stored.
    let kairosdb = answering_server(|query| {
        let nothing = |metric: &Value| json!({ "results": [{ "name": metric["name"], "tags": {}, "values": [] }] });
        json!({ "queries": query["metrics"].as_array().unwrap().iter().map(nothing).collect::<Vec<Value>>() })
    });
    sends_one_request(&kairosdb);
}
