//! The switch of the backend: no request fails, none is mixed, and a slip takes nothing away.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tsdb_ws::app::check_switch;
use tsdb_ws::backend::Backend;
use tsdb_ws::config::{BackendName, Config, KeyspaceConfig};
use tsdb_ws::http::{HttpState, router};
use tsdb_ws::query::{Backends, Service, Setup};
use tsdb_ws::series::{Point, Step, StepUnit};

use crate::support::double::{Double, Health};
use crate::support::{ask, embedded, point, service};

const KEYSPACE: &str = "metrics: { a: s, b: t }\nformulas: { one: a, two: b, both: a + b }\n";
const HOUR: i64 = 3_600_000;

/// Points that tell who holds them.
fn points(value: f64) -> Vec<Point> {
    (0..60).flat_map(|minute| ["s", "t"].map(|series| point(series, "", minute * 60_000, value))).collect()
}

async fn doubles() -> (Arc<Double>, Arc<Double>) {
    (Double::holding("embedded", &points(1.0)).await, Double::holding("kairosdb", &points(2.0)).await)
}

fn setup(backend: BackendName, own: &[(&str, BackendName)], doubles: &(Arc<Double>, Arc<Double>)) -> Setup {
    let keyspace = |backend| KeyspaceConfig { backend: Some(backend), ..KeyspaceConfig::default() };
    let keyspaces = own.iter().map(|(name, backend)| ((*name).to_owned(), keyspace(*backend))).collect();
    let (embedded, kairosdb): (Arc<dyn Backend>, Arc<dyn Backend>) = (doubles.0.clone(), doubles.1.clone());
    let backends = Backends::from([(BackendName::Embedded, embedded), (BackendName::Kairosdb, kairosdb)]);
    Setup { config: Config { backend, keyspaces, ..Config::default() }, backends }
}

async fn post(address: std::net::SocketAddr) -> (String, Value) {
    let body = json!({ "formulas": ["one", "two", "both"], "from": 0, "to": HOUR, "step": "1m" }).to_string();
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /shop HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all((head + &body).as_bytes()).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), serde_json::from_str(body).unwrap())
}

/// Fails unless every value of an answer is of the backend that it names.
fn check_unmixed((status, answer): &(String, Value)) -> String {
    assert_eq!(status, "HTTP/1.1 200 OK", "{answer}");
    let backend = answer["backend"].as_str().unwrap();
    let value = if backend == "embedded" { 1.0 } else { 2.0 };
    for (result, times) in answer["results"].as_array().unwrap().iter().zip([1.0, 1.0, 2.0]) {
        let values = result["series"][0]["values"].as_array().unwrap();
        assert_eq!(values.len(), 60);
        assert!(values.iter().all(|found| *found == value * times), "{backend}: {values:?}");
    }
    backend.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn flips_under_load_fail_and_mix_no_request() {
    let doubles = doubles().await;
    let shop = Arc::new(service(&[("shop.yaml", KEYSPACE)], BackendName::Embedded, doubles.0.clone(), HOUR));
    shop.replace(setup(BackendName::Embedded, &[], &doubles));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = router(Arc::clone(&shop), HttpState::default());
    tokio::spawn(async move { axum::serve(listener, app).await });
    // Requests take longer than a flip, so that many are under way at one.
    doubles.0.fares(Health::Slow(Duration::from_millis(60)));
    doubles.1.fares(Health::Slow(Duration::from_millis(90)));
    let mut requests = Vec::new();
    for round in 0..200 {
        if round % 3 == 0 {
            let flipped = if round % 2 == 0 { BackendName::Kairosdb } else { BackendName::Embedded };
            // For all keyspaces, and for this one.
            let own = [("shop", flipped)];
            let flip =
                if round % 4 == 0 { setup(flipped, &[], &doubles) } else { setup(BackendName::M3db, &own, &doubles) };
            shop.replace(flip);
        }
        requests.push(tokio::spawn(post(address)));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut answered = std::collections::BTreeMap::new();
    for request in requests {
        *answered.entry(check_unmixed(&request.await.unwrap())).or_insert(0) += 1;
    }
    assert!(answered.len() == 2 && answered.values().all(|count| *count > 50), "{answered:?}");
}

#[tokio::test]
async fn a_switch_to_a_database_that_does_not_answer_is_refused_while_the_old_one_does() {
    let doubles = doubles().await;
    let (embedded, kairosdb) = (BackendName::Embedded, BackendName::Kairosdb);
    let before = setup(embedded, &[], &doubles);
    let everything = setup(kairosdb, &[], &doubles);
    let one = setup(embedded, &[("shop", kairosdb)], &doubles);
    assert!(check_switch(&before, &everything).await.is_ok());
    doubles.1.fares(Health::Down);
    let refusal = check_switch(&before, &everything).await.unwrap_err().to_string();
    assert!(refusal.starts_with("the service would move from embedded, which answers, to kairosdb"), "{refusal}");
    let refusal = check_switch(&before, &one).await.unwrap_err().to_string();
    assert!(
        refusal.starts_with("shop would move from embedded") && refusal.contains("connection refused"),
        "{refusal}"
    );
    // A database that is down keeps nobody from changing anything else, nor from leaving it.
    assert!(check_switch(&one, &setup(embedded, &[("shop", kairosdb)], &doubles)).await.is_ok());
    assert!(check_switch(&everything, &before).await.is_ok());
    // Nothing is lost by leaving a dead one for another.
    doubles.0.fares(Health::Garbage);
    assert!(check_switch(&before, &everything).await.is_ok());
}

#[tokio::test]
async fn buckets_before_the_retention_carry_a_warning() {
    let shop: Service = embedded(&[("shop.yaml", KEYSPACE)], &points(1.0), HOUR).await;
    let request = json!({ "formulas": ["one"], "from": 0, "to": HOUR, "step": "10m" });
    let before = ask(&shop, "shop", request.clone()).await.unwrap();
    assert_eq!(before["results"][0]["warnings"], json!([]));
    let setup = shop.setup();
    let mut config = setup.config.clone();
    config.retention.insert(BackendName::Kairosdb, Step::new(1, StepUnit::Second));
    config.retention.insert(BackendName::Embedded, Step::new(45, StepUnit::Minute));
    shop.replace(Setup { config, backends: setup.backends.clone() });
    let after = ask(&shop, "shop", request).await.unwrap();
    let warning = &after["results"][0]["warnings"][0];
    assert_eq!((&warning["code"], &warning["count"]), (&json!("beyond_retention"), &json!(2)), "{after}");
    assert_eq!(after["results"][0]["series"], before["results"][0]["series"], "the points that are there are answered");
}
