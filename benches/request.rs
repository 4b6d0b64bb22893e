//! What the service adds to the database's own time: a request for twenty formulas, beside a server that does no more than
//! make the same raw call, decode it to floats and write as many bytes. In turns, over loopback, on each database.
//!
//! `tests/backends/run cargo bench --features real-backends --bench request`

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::json;
use tsdb_ws::backend::client::Client;
use tsdb_ws::backend::elasticsearch::Elasticsearch;
use tsdb_ws::backend::embedded::EmbeddedStore;
use tsdb_ws::backend::kairosdb::KairosDb;
use tsdb_ws::backend::m3db::M3db;
use tsdb_ws::backend::prometheus::Prometheus;
use tsdb_ws::backend::{Backend, SelectBatch};
use tsdb_ws::catalog;
use tsdb_ws::config::{BackendName, Config, Limits};
use tsdb_ws::http::{HttpState, router};
use tsdb_ws::plan::{self, Context};
use tsdb_ws::query::{Backends, Request, Service};
use tsdb_ws::repository::{Listing, SourceFile};
use tsdb_ws::series::Point;

#[path = "ratios/measure.rs"]
#[allow(dead_code)]
mod measure;
// The tests use all of it.
#[allow(dead_code)]
#[path = "../tests/support/proxy.rs"]
mod proxy;

use measure::{Contestant, at_most, take_turns};
use proxy::Proxy;

const FORMULAS: usize = 20;
const MINUTE: i64 = 60_000;
const DAY: i64 = 1440 * MINUTE;
const ROUNDS: usize = 101;
const TIMEOUT: Duration = Duration::from_secs(30);

/// Rates of twenty metrics by variation.
fn keyspace(prefix: &str) -> String {
    let metric = |index| format!("  m{index}: {prefix}.m{index}\n");
    let formula = |index| {
        let other = (index * 7 + 1) % FORMULAS;
        format!("  f{index}: {{ expr: m{index} / m{other} * 100, chart: {{ title: Rate {index} }} }}\n")
    };
    let metrics: String = (0..FORMULAS).map(metric).collect();
    let formulas: String = (0..FORMULAS).map(formula).collect();
    format!("defaults: {{ group_by: [variation] }}\nmetrics:\n{metrics}formulas:\n{formulas}")
}

/// A day of minutes of twenty metrics, two variations and two hosts.
fn points(prefix: &str, from: i64) -> Vec<Point> {
    let mut points = Vec::new();
    for minute in 0..DAY / MINUTE {
        for stored in 0..FORMULAS * 4 {
            let (metric, variation, host) = (stored / 4, stored / 2 % 2, stored % 2);
            let tags = [("variation", ["control", "treatment"][variation]), ("host", ["a", "b"][host])];
            points.push(Point {
                series: format!("{prefix}.m{metric}"),
                tags: tags.map(|(tag, value)| (tag.to_owned(), value.to_owned())).into(),
                timestamp: from + minute * MINUTE,
                value: ((minute * 7 + stored as i64 * 13) % 1009) as f64 + 1.0,
            });
        }
    }
    points
}

/// The call that one request makes, as it went over the wire; of the embedded store, which has no wire, the batch.
#[derive(Clone)]
enum RawCall {
    Http { client: Arc<Client>, path: String, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    Store { store: Arc<dyn Backend>, batch: Arc<SelectBatch> },
}

impl RawCall {
    /// What a proxy saw last.
    fn seen(proxy: &Proxy, url: &str) -> RawCall {
        let (head, body) = proxy.last();
        let mut lines = head.lines();
        let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.filter(|(name, _)| !["host", "content-length"].contains(name));
        let headers = headers.map(|(name, value)| (&*name.to_owned().leak(), value.to_owned())).collect();
        RawCall::Http { client: Arc::new(Client::new("raw", url, TIMEOUT).unwrap()), path, headers, body }
    }

    /// Makes the call, and all numbers of its answer.
    async fn make(&self) -> Vec<f64> {
        match self {
            RawCall::Store { store, batch } => {
                let selected = store.select(batch).await.unwrap();
                let groups = selected.frames.into_iter().flat_map(|frame| frame.unwrap().groups);
                groups.flat_map(|group| group.values).collect()
            }
            RawCall::Http { client, path, headers, body } => {
                let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let reply = client.post(path, &headers, body.clone()).await.unwrap();
                assert!(reply.is_success(), "{}", reply.words());
                match reply.headers.get("content-type").is_some_and(|kind| kind.as_bytes().ends_with(b"protobuf")) {
                    true => samples(&reply.body),
                    false => numbers(&reply.body),
                }
            }
        }
    }
}

/// The numbers of a JSON document.
fn numbers(body: &[u8]) -> Vec<f64> {
    struct Numbers<'a>(&'a mut Vec<f64>);
    impl<'de> DeserializeSeed<'de> for Numbers<'_> {
        type Value = ();
        fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
            from.deserialize_any(self)
        }
    }
    impl<'de> Visitor<'de> for Numbers<'_> {
        type Value = ();
        fn expecting(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
            to.write_str("anything")
        }
        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }
        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }
        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            Ok(())
        }
        fn visit_u64<E>(self, number: u64) -> Result<(), E> {
            self.0.push(number as f64);
            Ok(())
        }
        fn visit_i64<E>(self, number: i64) -> Result<(), E> {
            self.0.push(number as f64);
            Ok(())
        }
        fn visit_f64<E>(self, number: f64) -> Result<(), E> {
            self.0.push(number);
            Ok(())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
            while seq.next_element_seed(Numbers(self.0))?.is_some() {}
            Ok(())
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while map.next_key::<serde::de::IgnoredAny>()?.is_some() {
                map.next_value_seed(Numbers(self.0))?;
            }
            Ok(())
        }
    }
    let mut found = Vec::new();
    Numbers(&mut found).deserialize(&mut serde_json::Deserializer::from_slice(body)).unwrap();
    found
}

/// The values of an answer of remote read.
fn samples(body: &[u8]) -> Vec<f64> {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Answer {
        #[prost(message, repeated, tag = "1")]
        results: Vec<Series>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct Series {
        #[prost(message, repeated, tag = "1")]
        series: Vec<Samples>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct Samples {
        #[prost(message, repeated, tag = "2")]
        samples: Vec<Sample>,
    }
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    struct Sample {
        #[prost(double, tag = "1")]
        value: f64,
        #[prost(int64, tag = "2")]
        timestamp: i64,
    }
    let body = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    let answer: Answer = prost::Message::decode(&body[..]).unwrap();
    answer.results.iter().flat_map(|result| &result.series).flat_map(|s| &s.samples).map(|s| s.value).collect()
}

/// As many bytes of numbers, each written.
fn written(numbers: &[f64], length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 32);
    let mut buffer = zmij::Buffer::new();
    let mut numbers = numbers.iter().cycle();
    while bytes.len() < length {
        bytes.extend_from_slice(buffer.format(*numbers.next().unwrap()).as_bytes());
        bytes.push(b',');
    }
    bytes.truncate(length);
    bytes
}

async fn serve(app: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

struct Database {
    name: BackendName,
    url: Option<String>,
    store: Option<Arc<EmbeddedStore>>,
}

impl Database {
    fn at(&self, url: &str) -> Arc<dyn Backend> {
        match (self.name, &self.store) {
            (_, Some(store)) => Arc::clone(store) as _,
            (BackendName::Kairosdb, _) => Arc::new(KairosDb::new(url, TIMEOUT).unwrap()),
            (BackendName::M3db, _) => Arc::new(M3db::new(url, false, TIMEOUT).unwrap()),
            (BackendName::Prometheus, _) => Arc::new(Prometheus::new(url, TIMEOUT).unwrap()),
            (_, None) => Arc::new(Elasticsearch::new(url, "tsdb-ws", None, TIMEOUT).unwrap()),
        }
    }
}

async fn post_to(client: &reqwest::Client, address: SocketAddr, body: &str) -> usize {
    let sent = client.post(format!("http://{address}/shop")).header("content-type", "application/json");
    let answer = sent.body(body.to_owned()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.bytes().await.unwrap().len()
}

fn compare(runtime: &tokio::runtime::Runtime, database: &Database) {
    let now = jiff::Timestamp::now();
    let prefix = format!("bench{}", now.as_nanosecond());
    let to = "2026-11-05T12:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let request = json!({ "formulas": "*", "from": to - DAY, "to": to, "step": "5m" });
    let text = request.to_string();
    let listing = Listing {
        revision: Some("bench".to_owned()),
        files: vec![SourceFile { path: "shop.yaml".to_owned(), content: Ok(keyspace(&prefix).into_bytes()) }],
        strays: Vec::new(),
    };
    let service = |backend: Arc<dyn Backend>| {
        let config = Config { backend: database.name, ..Config::default() };
        let mut service = Service::new(config, Backends::from([(database.name, backend)]));
        service.clock = Arc::new(move || to + 10 * MINUTE);
        service.catalog.publish(catalog::compile(&listing));
        router(Arc::new(service), HttpState::default())
    };
    let client = reqwest::Client::builder().no_gzip().no_proxy().tcp_nodelay(true).build().unwrap();
    let (ours, raw, length) = runtime.block_on(async {
        let url = database.url.clone().unwrap_or_default();
        let direct = database.at(&url);
        direct.write(&points(&prefix, to - DAY)).await.unwrap();
        let ours = serve(service(Arc::clone(&direct))).await;
        let length = post_to(&client, ours, &text).await;
        let call = match database.store {
            Some(_) => {
                let catalog = catalog::compile(&listing);
                let (keyspace, limits) = (&catalog.keyspaces["shop"], &Limits::default());
                let context = Context { keyspace, backend: "embedded", allow: None, limits, now: to + 10 * MINUTE };
                let planned = plan::plan(&context, &Request::from_json(&request).unwrap()).unwrap();
                RawCall::Store { store: direct, batch: Arc::new(planned.batch(limits)) }
            }
            None => {
                let proxy = Proxy::before(&url);
                let seen = serve(service(database.at(&proxy.url))).await;
                assert_eq!(post_to(&client, seen, &text).await, length);
                assert_eq!(proxy.requests(), 1);
                RawCall::seen(&proxy, &url)
            }
        };
        let handler = move || {
            let call = call.clone();
            async move { written(&call.make().await, length) }
        };
        (ours, serve(Router::new().route("/shop", post(handler))).await, length)
    });
    println!(" {}: an answer of {length} bytes", database.name.as_str());
    let ask = |address: SocketAddr| runtime.block_on(post_to(&client, address, &text));
    let mut contestants = [
        Contestant::new("tsdb-ws", || assert_eq!(ask(ours), length)),
        Contestant::new("the raw call", || assert_eq!(ask(raw), length)),
    ];
    take_turns(&mut contestants, ROUNDS);
    at_most("tsdb-ws by the raw call", contestants[0].ratio_to(&contestants[1]), 1.1);
}

fn main() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(folder.path().join("bench.db")).unwrap());
    compare(&runtime, &Database { name: BackendName::Embedded, url: None, store: Some(store) });
    for name in [BackendName::Kairosdb, BackendName::M3db, BackendName::Elasticsearch, BackendName::Prometheus] {
        let variable = format!("TSDB_WS_TEST_{}_URL", name.as_str().to_uppercase());
        match std::env::var(&variable) {
            Ok(url) => compare(&runtime, &Database { name, url: Some(url), store: None }),
            Err(_) => println!(" {}: not started, {variable} is not set", name.as_str()),
        }
    }
}
