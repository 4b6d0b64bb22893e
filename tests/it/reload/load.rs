//! Many changes under requests: each good one is served soon, no request fails or sees two revisions.

use std::fs;
use std::path::Path;
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

/// Those of `cargo test`; `TSDB_WS_TEST_CHANGES=1000` makes more. The times are printed, with `--nocapture`.
const CHANGES: usize = 120;
const KEYSPACES: usize = 8;
/// Between requests: 200 a second, by all callers together.
const PAUSE: Duration = Duration::from_millis(20);
const CALLERS: usize = 4;

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
    match version % 4 {
        1 => fs::write(path, text).unwrap(),
        3 => {
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
        assert!(begun.elapsed() < Duration::from_secs(30), "version {version} of k{keyspace} is not served");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
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
    let changes = std::env::var("TSDB_WS_TEST_CHANGES").ok().and_then(|count| count.parse().ok()).unwrap_or(CHANGES);
    let mut times = Vec::new();
    let mut version = 2;
    while version < changes + 2 {
        // Two keyspaces at the same instant: one good, one bad.
        let (first, second) = (version % KEYSPACES, (version + 3) % KEYSPACES);
        tokio::join!(write(root.path(), first, version), write(root.path(), second, version + 1));
        let (keyspace, good) = if version % 2 == 0 { (second, version + 1) } else { (first, version) };
        times.push(time_to_live(&service, keyspace, good).await);
        version += 2;
    }
    (0..KEYSPACES).for_each(|i| fs::write(root.path().join(format!("k{i}.yaml")), good(version + i)).unwrap());
    running.until_like(source.as_ref()).await;
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "{changes} changes, {} requests; from written to served: p50 {:?}, p99 {:?}, longest {:?}",
        answered.load(Ordering::Relaxed),
        at(50),
        at(99),
        at(100)
    );
    assert!(answered.load(Ordering::Relaxed) > 0);
    assert_eq!(running.metric("tsdb_ws_reload_drops_total "), 0.0);
}
