//! Many changes under requests: each good one is served soon, no request fails or sees two revisions.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tsdb_ws::controller::{Controller, Surroundings};
use tsdb_ws::query::Service;
use tsdb_ws::repository::{Directory, Source};
use tsdb_ws::telemetry::Metrics;

use crate::support::reload::{Running, bad, good, settings};
use crate::support::{ask, embedded, point};

/// Half of them broken. The times from written to served are printed, with `--nocapture`.
const CHANGES: usize = 1_000;
/// So many pairs of keyspaces change beside one another, the two of a pair at the same instant.
const LANES: usize = 4;
const KEYSPACES: usize = 2 * LANES;
/// Between requests: 200 a second, by all callers together.
const PAUSE: Duration = Duration::from_millis(20);
const CALLERS: usize = 4;
/// Longer than a change takes on a machine that others starve; the times that count are those of `benches/reload.rs`.
const PATIENCE: Duration = Duration::from_secs(180);

/// Asks again and again, and holds each answer against itself.
async fn call(service: Arc<Service>, caller: usize, stop: Arc<AtomicBool>, answered: Arc<AtomicUsize>) {
    let request = json!({ "formulas": ["a", "b"], "from": 0, "to": 120_000, "step": "1m" });
    for turn in caller.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let answer = ask(&service, &format!("k{}", turn % KEYSPACES), request.clone()).await.unwrap();
        let expr = |index: usize| answer["results"][index]["expr"].as_str().unwrap().to_owned();
        let (a, b) = (expr(0), expr(1));
        assert_eq!(a.strip_prefix("visitors + "), b.strip_prefix("visitors * "), "one answer, two revisions");
        let version: f64 = a["visitors + ".len()..].parse().unwrap();
        assert_eq!(answer["results"][0]["series"][0]["values"][0].as_f64(), Some(4.0 + version));
        answered.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Writes one version in one of the ways that files are written.
async fn write(root: &Path, keyspace: usize, version: usize) {
    let path = root.join(format!("k{keyspace}.yaml"));
    let text = if version.is_multiple_of(2) { bad(version) } else { good(version) };
    match version / 2 % 3 {
        0 => fs::write(path, text).unwrap(),
        1 => {
            let beside = root.join(format!(".k{keyspace}.new"));
            fs::write(&beside, text).unwrap();
            fs::rename(beside, path).unwrap();
        }
        _ => {
            use std::io::Write;
            let mut file = fs::File::create(path).unwrap();
            file.write_all(&text.as_bytes()[..text.len() / 2]).unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
            file.write_all(&text.as_bytes()[text.len() / 2..]).unwrap();
        }
    }
}

async fn time_to_live(service: &Service, keyspace: usize, version: usize) -> Duration {
    let begun = Instant::now();
    let text = format!("visitors + {version}");
    loop {
        let catalog = service.catalog.snapshot();
        let found = catalog.keyspaces.get(&format!("k{keyspace}")).and_then(|keyspace| keyspace.definitions.get("a"));
        if matches!(found, Some(tsdb_ws::catalog::Definition::Formula(formula)) if formula.text == text) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < PATIENCE, "version {version} of k{keyspace} is not served");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Changes one pair of keyspaces again and again, in each turn one well and the other badly; how long the good ones took.
async fn change(root: PathBuf, service: Arc<Service>, lane: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for turn in 1..=CHANGES / 2 / LANES {
        // Even versions are broken, and no two lanes have one in common.
        let broken = (turn * LANES + lane) * 2;
        let (first, second) = (2 * lane + turn % 2, 2 * lane + (turn + 1) % 2);
        tokio::join!(write(&root, first, broken), write(&root, second, broken + 1));
        times.push(time_to_live(&service, second, broken + 1).await);
    }
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_under_load_are_served_soon_and_no_request_notices() {
    let root = tempfile::tempdir().unwrap();
    (0..KEYSPACES).for_each(|i| fs::write(root.path().join(format!("k{i}.yaml")), good(1)).unwrap());
    let service = Arc::new(embedded(&[], &[point("shop.visitors", "", 0, 4.0)], 3_600_000).await);
    let source: Arc<dyn Source> = Arc::new(Directory::new(root.path(), 1_000));
    let (published, metrics) = (Arc::clone(&service.catalog), Arc::<Metrics>::default());
    let clock = Arc::new(|| jiff::Timestamp::now().as_millisecond());
    let around = Surroundings { published: Arc::clone(&published), metrics: Arc::clone(&metrics), clock };
    let controller = Controller::start(Arc::clone(&source), settings(), around).await.unwrap();
    controller.follow();
    let running = Running { controller, published, metrics };
    let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| tokio::spawn(call(Arc::clone(&service), caller, Arc::clone(&stop), Arc::clone(&answered))))
        .collect();
    let lanes: Vec<_> =
        (0..LANES).map(|lane| tokio::spawn(change(root.path().to_owned(), Arc::clone(&service), lane))).collect();
    let mut times = Vec::new();
    for lane in lanes {
        times.extend(lane.await.unwrap());
    }
    let last = 10 * CHANGES + 1;
    (0..KEYSPACES).for_each(|i| fs::write(root.path().join(format!("k{i}.yaml")), good(last + i)).unwrap());
    running.until_like(source.as_ref()).await;
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "{CHANGES} changes, {} requests; from written to served: p50 {:?}, p99 {:?}, longest {:?}",
        answered.load(Ordering::Relaxed),
        at(50),
        at(99),
        at(100)
    );
    assert!(answered.load(Ordering::Relaxed) > 0);
    assert_eq!(running.metric("tsdb_ws_reload_drops_total "), 0.0);
}
