//! Whole answers of random keyspaces: windows that widen the read, offsets, counters with resets, steps of the calendar over
//! changes of the clocks. Every value is that of plain arithmetic, and every answer one request, counted at the socket.

use std::sync::Arc;

use tsdb_ws::backend::Backend;
use tsdb_ws::config::BackendName;
use tsdb_ws::series::Point;

use crate::support::law::{Case, check};
use crate::support::proxy::Proxy;
use crate::support::{ask, service};

const SEEDS: u64 = 120;

/// How many cases have what this is about: without them it would show nothing.
#[derive(Debug, Default)]
struct Seen {
    windows: usize,
    offsets: usize,
    counters: usize,
    calendar: usize,
}

impl Seen {
    fn add(&mut self, keyspace: &str, case: &Case) {
        self.windows += usize::from(keyspace.contains("moving_"));
        self.offsets += usize::from(keyspace.contains("offset("));
        self.counters += usize::from(keyspace.contains("\"counter\""));
        self.calendar += usize::from(case.timezone != "UTC");
    }
}

pub async fn run(name: BackendName, proxy: &Proxy, backend: Arc<dyn Backend>, prefix: &str) {
    let cases: Vec<Case> = (0..SEEDS).map(|seed| Case::of(seed, &format!("{prefix}.{seed}."))).collect();
    let mut points: Vec<Point> = cases.iter().flat_map(|case| case.points.clone()).collect();
    points.sort_by_key(|point| point.timestamp);
    backend.write(&points).await.unwrap();
    proxy.requests();
    let mut seen = Seen::default();
    for (seed, case) in cases.iter().enumerate() {
        let keyspace = case.keyspace();
        let service = service(&[("law.yaml", &keyspace)], name, Arc::clone(&backend), case.now);
        let request = case.request(&case.formula_names());
        let mut answer = ask(&service, "law", request.clone()).await.unwrap();
        // KairosDB tells stored series apart only by tags that it is told to: those of a counter are learnt once.
        if name == BackendName::Kairosdb && answer["stats"]["backend_calls"] == 2 && keyspace.contains("\"counter\"") {
            assert_eq!(proxy.requests(), 2, "seed {seed}");
            answer = ask(&service, "law", request).await.unwrap();
        }
        for result in answer["results"].as_array().unwrap() {
            check(case, result).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{keyspace}"));
        }
        // Formulas of numbers alone read nothing.
        let reads = u32::from(answer["stats"]["selections"] != 0);
        assert_eq!((proxy.requests(), &answer["stats"]["backend_calls"]), (reads, &reads.into()), "seed {seed}");
        seen.add(&keyspace, case);
    }
    assert!([seen.windows, seen.offsets, seen.counters, seen.calendar].iter().all(|seen| *seen >= 10), "{seen:?}");
}
