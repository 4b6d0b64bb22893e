//! From a change of one file to its being served, beside what a fresh start costs, and while requests come:
//! `cargo bench --bench reload`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tsdb_ws::backend::Backend;
use tsdb_ws::backend::embedded::EmbeddedStore;
use tsdb_ws::catalog::publish::Published;
use tsdb_ws::config::{BackendName, Config};
use tsdb_ws::controller::{Controller, Settings, Surroundings};
use tsdb_ws::query::{Backends, Request, Service};
use tsdb_ws::repository::Directory;
use tsdb_ws::series::Point;
use tsdb_ws::telemetry::Metrics;

const KEYSPACES: usize = 1_000;
const FORMULAS: usize = 10;
const CHANGES: usize = 100;

const LOADED_KEYSPACES: usize = 8;
const LOADED_CHANGES: usize = 1_000;
const CALLERS: usize = 4;
const REQUESTS_PER_SECOND: u64 = 200;

fn write(root: &Path, keyspace: usize, version: usize) {
    let metrics: String = (0..FORMULAS).map(|i| format!("  m{i}: shop.m{i}\n")).collect();
    let formula = |i: usize| format!("  f{i}: {{ expr: m{i} / m0 + {version}, chart: {{ title: Formula {i} }} }}\n");
    let formulas: String = (0..FORMULAS).map(formula).collect();
    fs::write(root.join(format!("k{keyspace}.yaml")), format!("metrics:\n{metrics}formulas:\n{formulas}")).unwrap();
}

/// Resident memory in KiB, as the kernel has it.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Waits until what is served of a keyspace is something else than before.
async fn served(published: &Published, keyspace: &str, before: Option<&str>) -> Duration {
    let begun = Instant::now();
    while published.snapshot().keyspaces.get(keyspace).map(|found| found.revision.as_str()) == before {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    begun.elapsed()
}

async fn follow(root: &Path, published: &Arc<Published>) -> Controller {
    let around = Surroundings {
        published: Arc::clone(published),
        metrics: Arc::<Metrics>::default(),
        clock: Arc::new(|| jiff::Timestamp::now().as_millisecond()),
    };
    let controller =
        Controller::start(Arc::new(Directory::new(root, 20_000)), Settings::default(), around).await.unwrap();
    controller.follow();
    controller
}

/// Half of the time, nine tenths … of what was measured.
fn percentiles(times: &mut [Duration]) -> String {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!("{:?} (p50), {:?} (p99), {:?} at the latest", at(50), at(99), at(100))
}

/// Changes one file after the other while requests are answered, every other change one to a broken file.
async fn under_load() {
    let root = tempfile::tempdir().unwrap();
    (0..LOADED_KEYSPACES).for_each(|keyspace| write(root.path(), keyspace, 0));
    let store = EmbeddedStore::open_in_memory().unwrap();
    let point =
        |metric: usize| Point { series: format!("shop.m{metric}"), tags: Default::default(), timestamp: 0, value: 1.0 };
    store.write(&(0..FORMULAS).map(point).collect::<Vec<_>>()).await.unwrap();
    let backends = Backends::from([(BackendName::Embedded, Arc::new(store) as Arc<dyn Backend>)]);
    let service = Arc::new(Service::new(Config::default(), backends));
    let _controller = follow(root.path(), &service.catalog).await;
    let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (service, stop, answered) = (Arc::clone(&service), Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                let request = json!({ "formulas": "*", "from": 0, "to": 3_600_000, "step": "1m" });
                let request = Request::from_json(&request).unwrap();
                let mut ticks =
                    tokio::time::interval(Duration::from_millis(1_000 * CALLERS as u64 / REQUESTS_PER_SECOND));
                while !stop.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    let keyspace =
                        format!("k{}", (caller + answered.fetch_add(1, Ordering::Relaxed)) % LOADED_KEYSPACES);
                    let answer = service.answer(&keyspace, &request).await.unwrap();
                    assert!(
                        answer.results.len() == FORMULAS && answer.results.iter().all(|result| result.outcome.is_ok())
                    );
                }
            })
        })
        .collect();
    let begun = Instant::now();
    let mut times = Vec::new();
    for version in 1..=LOADED_CHANGES / 2 {
        let (broken, good) = (version % LOADED_KEYSPACES, (version + 3) % LOADED_KEYSPACES);
        let name = format!("k{good}");
        let before = service.catalog.snapshot().keyspaces[&name].revision.clone();
        fs::write(root.path().join(format!("k{broken}.yaml")), format!("metrics: {{}}\nformulas: {{ f: {version} +\n"))
            .unwrap();
        write(root.path(), good, version);
        times.push(served(&service.catalog, &name, Some(&before)).await);
    }
    let rate = answered.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    println!(
        "{LOADED_CHANGES} changes, half of them broken, under {rate:.0} requests a second, none of which failed: a good one is \
         served after {}",
        percentiles(&mut times)
    );
}

#[tokio::main]
async fn main() {
    let root = tempfile::tempdir().unwrap();
    (0..KEYSPACES).for_each(|keyspace| write(root.path(), keyspace, 0));
    let published = Arc::<Published>::default();
    let begun = Instant::now();
    let _controller = follow(root.path(), &published).await;
    let start = begun.elapsed();
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("start with {KEYSPACES} keyspaces of {FORMULAS} formulas: {start:?}, {} KiB resident", resident());

    let mut times = Vec::new();
    for version in 1..=CHANGES {
        let keyspace = (version * 7) % KEYSPACES;
        let name = format!("k{keyspace}");
        let before = published.snapshot().keyspaces[&name].revision.clone();
        write(root.path(), keyspace, version);
        times.push(served(&published, &name, Some(&before)).await);
    }
    println!("one changed file of them is served after {}, 20 ms of it held back", percentiles(&mut times));
    println!("ratio of a change to a start: {:.4}", times[CHANGES / 2].as_secs_f64() / start.as_secs_f64());

    let before = resident();
    for version in 1..=CHANGES {
        let known = published.snapshot().keyspaces["k0"].revision.clone();
        write(root.path(), 0, CHANGES + version);
        served(&published, "k0", Some(&known)).await;
    }
    println!("the same file changed {CHANGES} times: {} KiB more in all", resident().saturating_sub(before));

    let before = resident();
    for keyspace in KEYSPACES..KEYSPACES + 100 {
        write(root.path(), keyspace, 0);
        served(&published, &format!("k{keyspace}"), None).await;
    }
    println!("100 keyspaces more: {} KiB each", resident().saturating_sub(before) / 100);
    under_load().await;
}
