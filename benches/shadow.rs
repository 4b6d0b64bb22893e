//! What a shadow costs users: the time of requests with a shadow that is well, down, hangs or answers garbage, as a ratio to
//! that without one, side by side in one run.
//!
//! `cargo bench --bench shadow`

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tsdb_ws::config::{BackendName, Config, ShadowLimits};
use tsdb_ws::http::{HttpState, router};
use tsdb_ws::query::{Backends, Service, Setup};
use tsdb_ws::series::Point;

// The tests use all of it.
#[allow(dead_code)]
#[path = "../tests/support/double.rs"]
mod double;

use double::{Double, Health};

const ROUNDS: usize = 50;
const REQUESTS: usize = 40;
/// Between two requests: 100 a second, as one keyspace may well be asked.
const PAUSE: Duration = Duration::from_millis(10);
const DAY: i64 = 86_400_000;

/// Twenty formulas over ten groups of a day of minutes.
fn keyspace() -> String {
    let formulas: String = (0..20).map(|index| format!("  f{index}: a * {index} / b\n")).collect();
    format!("defaults: {{ group_by: [g] }}\nmetrics: {{ a: s, b: t }}\nformulas:\n{formulas}")
}

fn points() -> Vec<Point> {
    let of = |minute: i64, group: i64, series: &str| Point {
        series: series.to_owned(),
        tags: [("g".to_owned(), group.to_string())].into(),
        timestamp: minute * 60_000,
        value: (minute % 17 + group) as f64,
    };
    (0..DAY / 60_000).flat_map(|m| (0..10).flat_map(move |g| [of(m, g, "s"), of(m, g, "t")])).collect()
}

struct Mode {
    name: &'static str,
    address: SocketAddr,
    service: Arc<Service>,
    times: Vec<Duration>,
}

async fn mode(name: &'static str, home: &Arc<Double>, shadow: Option<Health>) -> Mode {
    let listing = tsdb_ws::repository::Listing {
        revision: Some("bench".to_owned()),
        files: vec![tsdb_ws::repository::SourceFile {
            path: "shop.yaml".to_owned(),
            content: Ok(keyspace().into_bytes()),
        }],
        strays: Vec::new(),
    };
    let config = Config {
        shadow: shadow.map(|_| BackendName::Kairosdb),
        shadow_limits: ShadowLimits { deadline: Duration::from_millis(100), ..ShadowLimits::default() },
        ..Config::default()
    };
    let mut backends = Backends::from([(BackendName::Embedded, home.clone() as _)]);
    if let Some(health) = shadow {
        let double = Double::holding("kairosdb", &points()).await;
        double.fares(health);
        backends.insert(BackendName::Kairosdb, double);
    }
    let mut service = Service::new(Config::default(), Backends::new());
    service.replace(Setup { config, backends });
    service.clock = Arc::new(|| 2 * DAY);
    service.catalog.publish(tsdb_ws::catalog::compile(&listing));
    let (service, state) = (Arc::new(service), HttpState::default());
    service.shadow.start(Arc::clone(&state.metrics));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = router(Arc::clone(&service), state);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Mode { name, address, service, times: Vec::new() }
}

impl Mode {
    async fn ask(&self) -> Duration {
        let formulas: String = (0..20).map(|index| format!("formula=f{index}&")).collect();
        let head = format!(
            "GET /shop/query?{formulas}from=0&to={DAY}&step=5m HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        );
        let begun = Instant::now();
        let mut socket = tokio::net::TcpStream::connect(self.address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        let time = begun.elapsed();
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        time
    }

    /// Until no read of the shadow is left that could disturb the next mode.
    async fn settle(&self) {
        loop {
            let report = self.service.shadow.report();
            if report["waiting"] == 0 && report["under_way"] == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn percentile(times: &[Duration], percent: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e3
}

#[tokio::main]
async fn main() {
    let home = Double::holding("embedded", &points()).await;
    let shadows = [
        ("none", None),
        ("well", Some(Health::Well)),
        ("down", Some(Health::Down)),
        ("hangs", Some(Health::Hangs)),
        ("garbage", Some(Health::Garbage)),
    ];
    let mut modes = Vec::new();
    for (name, health) in shadows {
        modes.push(mode(name, &home, health).await);
    }
    for round in 0..ROUNDS {
        // Each mode comes after each other one.
        for index in 0..modes.len() {
            let index = (index + round) % modes.len();
            for _ in 0..REQUESTS {
                let time = modes[index].ask().await;
                modes[index].times.push(time);
                tokio::time::sleep(PAUSE).await;
            }
            modes[index].settle().await;
        }
    }
    let base = (percentile(&modes[0].times, 50), percentile(&modes[0].times, 99));
    println!("{:<8} {:>10} {:>10} {:>8} {:>8}  reads", "shadow", "p50 ms", "p99 ms", "p50 ×", "p99 ×");
    for mode in &modes {
        let (p50, p99) = (percentile(&mode.times, 50), percentile(&mode.times, 99));
        let report = mode.service.shadow.report();
        let (keyspace, dropped) = (&report["keyspaces"]["shop"], &report["dropped"]);
        println!(
            "{:<8} {p50:>10.2} {p99:>10.2} {:>8.3} {:>8.3}  compared {}, failed {}, dropped {dropped}",
            mode.name,
            p50 / base.0,
            p99 / base.1,
            keyspace["reads_compared"],
            keyspace["reads_failed"]
        );
    }
}
