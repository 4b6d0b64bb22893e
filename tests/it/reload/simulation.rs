//! Random histories of a repository whose hints are lost, doubled and reordered: what is published at the end is what a fresh
//! start would publish. Time is simulated, and each seed is one history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Duration;
use tsdb_ws::catalog;
use tsdb_ws::repository::Source;

use crate::support::listing;
use crate::support::reload::{Simulated, bad, good, revisions, settings, start};

const SEEDS: u64 = 100;
const CHANGES: usize = 50;

/// A small generator of numbers, the same for the same seed everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

struct History {
    chance: Chance,
    source: Arc<Simulated>,
    /// Every good version that each keyspace ever had.
    good: BTreeMap<String, BTreeSet<String>>,
    version: usize,
}

impl History {
    fn path(&mut self) -> String {
        format!("k{}.yaml", self.chance.below(6))
    }

    fn write_good(&mut self, path: &str) {
        self.version += 1;
        let text = good(self.version);
        let revision =
            revisions(&catalog::compile(&tsdb_ws::repository::Listing { revision: None, ..listing(&[(path, &text)]) }));
        for (name, revision) in revision {
            self.good.entry(name).or_default().insert(revision);
        }
        self.source.write(path, &text);
    }

    /// One change; its hint may be lost, doubled or late.
    async fn change(&mut self) {
        let path = self.path();
        match self.chance.below(10) {
            0..4 => self.write_good(&path),
            4..6 => {
                self.version += 1;
                self.source.write(&path, &bad(self.version));
            }
            6 => self.source.remove(&path),
            7 => {
                let to = self.path();
                let moved = self.source.files.lock().unwrap().remove(&path);
                // What is renamed is good where it was, and its content is good under the new name as well.
                if let Some(text) = moved {
                    let whole = tsdb_ws::repository::Listing { revision: None, ..listing(&[(&to, &text)]) };
                    for (name, revision) in revisions(&catalog::compile(&whole)) {
                        self.good.entry(name).or_default().insert(revision);
                    }
                    self.source.write(&to, &text);
                }
                self.hint(&to);
            }
            8 => {
                let fault = (self.chance.percent(50)).then(|| "it is not mounted".to_owned());
                *self.source.fault.lock().unwrap() = fault;
            }
            _ => {
                // In halves, the first of which is bad on its own.
                self.version += 1;
                self.source.write(&path, "metrics: { visitors: shop.visitors }\nformulas:\n  a: (visitors\n");
                self.hint(&path);
                tokio::time::sleep(Duration::from_millis(self.chance.below(900))).await;
                self.write_good(&path);
            }
        }
        self.hint(&path);
    }

    fn hint(&mut self, path: &str) {
        let Some(hints) = self.source.hints.lock().unwrap().clone() else { return };
        if self.chance.percent(30) {
            return;
        }
        let times = if self.chance.percent(20) { 2 } else { 1 };
        for _ in 0..times {
            let (hints, path, closed) = (Arc::clone(&hints), path.to_owned(), self.chance.percent(70));
            let late = Duration::from_millis(if self.chance.percent(30) { self.chance.below(3_000) } else { 0 });
            tokio::spawn(async move {
                tokio::time::sleep(late).await;
                hints.file(&path, closed);
            });
        }
    }
}

async fn run(seed: u64) {
    let source = Arc::<Simulated>::default();
    source.write("anchor.yaml", &good(0));
    let mut history =
        History { chance: Chance(seed * 2 + 1), source: Arc::clone(&source), good: BTreeMap::new(), version: 0 };
    let running = start(Arc::clone(&source) as _, settings()).await.unwrap();
    for _ in 0..CHANGES {
        history.change().await;
        tokio::time::sleep(Duration::from_millis(history.chance.below(400))).await;
    }
    *source.fault.lock().unwrap() = None;
    // Longer than a listing, the longest wait for one, and the grace time after it.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let fresh = revisions(&catalog::compile(&source.list().unwrap()));
    let served = running.served();
    for (name, revision) in &fresh {
        assert_eq!(served.get(name), Some(revision), "seed {seed}: {name}");
    }
    let present: BTreeSet<String> =
        source.files.lock().unwrap().keys().map(|path| path.trim_end_matches(".yaml").to_owned()).collect();
    for (name, revision) in served.iter().filter(|(name, _)| !fresh.contains_key(*name)) {
        assert!(present.contains(name), "seed {seed}: {name} has no file");
        assert!(history.good[name].contains(revision), "seed {seed}: {name} never had {revision}");
    }
    let paths: Vec<String> = source.files.lock().unwrap().keys().cloned().collect();
    paths.iter().filter(|path| *path != "anchor.yaml").for_each(|path| history.write_good(path));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(running.served(), revisions(&catalog::compile(&source.list().unwrap())), "seed {seed}: all are good");
    assert_eq!(running.metric("tsdb_ws_reload_drops_total "), 0.0);
    assert_eq!(running.metric("tsdb_ws_reload_queue_depth "), 0.0);
}

#[test]
fn whatever_happens_the_end_is_what_a_fresh_start_would_serve() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
                let runtime = runtime.unwrap();
                (thread..SEEDS).step_by(threads as usize).for_each(|seed| runtime.block_on(run(seed)));
            });
        }
    });
}
