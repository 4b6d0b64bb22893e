//! From a change of one file to its being served, beside what a fresh start costs: `cargo bench --bench reload`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tsdb_ws::catalog::publish::Published;
use tsdb_ws::controller::{Controller, Settings, Surroundings};
use tsdb_ws::repository::Directory;
use tsdb_ws::telemetry::Metrics;

const KEYSPACES: usize = 1_000;
const FORMULAS: usize = 10;
const CHANGES: usize = 100;

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

async fn served(published: &Published, keyspace: &str, before: Option<&str>) -> Duration {
    let begun = Instant::now();
    while published.snapshot().keyspaces.get(keyspace).map(|found| found.revision.as_str()) == before {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    begun.elapsed()
}

#[tokio::main]
async fn main() {
    let root = tempfile::tempdir().unwrap();
    (0..KEYSPACES).for_each(|keyspace| write(root.path(), keyspace, 0));
    let published = Arc::<Published>::default();
    let around = Surroundings {
        published: Arc::clone(&published),
        metrics: Arc::<Metrics>::default(),
        clock: Arc::new(|| jiff::Timestamp::now().as_millisecond()),
    };
    let source = Arc::new(Directory::new(root.path(), 20_000));
    let begun = Instant::now();
    let controller = Controller::start(source, Settings::default(), around).await.unwrap();
    let start = begun.elapsed();
    controller.follow();
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
    times.sort();
    let (middle, late) = (times[CHANGES / 2], times[CHANGES * 99 / 100]);
    println!("one changed file of them is served after {middle:?} (p50), {late:?} (p99), 20 ms of it held back");
    println!("ratio of a change to a start: {:.4}", middle.as_secs_f64() / start.as_secs_f64());

    let before = resident();
    for keyspace in KEYSPACES..KEYSPACES + 100 {
        write(root.path(), keyspace, 0);
        served(&published, &format!("k{keyspace}"), None).await;
    }
    println!("100 keyspaces more: {} KiB each", resident().saturating_sub(before) / 100);
}
