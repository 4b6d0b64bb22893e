//! From a change in the repository to what is served: nothing is lost, nothing that worked is taken away.

mod directory;
mod git;
mod load;
mod process;
mod simulation;
mod webhook;

use std::sync::Arc;

use tokio::time::{Duration, Instant};
use tsdb_ws::controller::{KeyspaceState, ReloadError};
use tsdb_ws::diagnostic::Severity;

use crate::support::reload::{Running, Simulated, bad, good, settings, start};

async fn simulated(files: &[(&str, String)]) -> (Arc<Simulated>, Running) {
    let source = Arc::<Simulated>::default();
    files.iter().for_each(|(path, text)| source.write(path, text));
    let running = start(Arc::clone(&source) as _, settings()).await.unwrap();
    // Until it is watched, and listed once more.
    tokio::time::sleep(Duration::from_millis(100)).await;
    (source, running)
}

#[tokio::test(start_paused = true)]
async fn a_bad_file_keeps_its_keyspace_as_it_was_and_others_move_on() {
    let (source, running) = simulated(&[("shop.yaml", good(1)), ("other.yaml", good(1))]).await;
    let before = running.served();
    source.write("shop.yaml", &bad(2));
    source.write("other.yaml", &good(2));
    let reloaded = running.controller.reload().await.unwrap();
    assert_eq!((reloaded.keyspaces, reloaded.broken), (2, vec!["shop".to_owned()]));
    let served = running.served();
    assert_eq!(served["shop"], before["shop"]);
    assert_ne!(served["other"], before["other"]);
    let shop = running.controller.status().keyspaces.remove("shop").unwrap();
    assert_eq!((shop.state, shop.revision.as_ref()), (KeyspaceState::LastGood, Some(&before["shop"])));
    let found = shop.diagnostics.iter().find(|found| found.severity == Severity::Error).unwrap();
    assert_eq!(found.location.to_string(), "shop.yaml:3:6");
    assert!(running.published.snapshot().diagnostics.contains(found));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let retried = running.controller.status().keyspaces.remove("shop").unwrap();
    assert!(retried.retries > 2 && retried.retry_in_ms.is_some(), "{retried:?}");
    assert_eq!(retried.since, shop.since, "it has been bad since then");
    source.write("shop.yaml", &good(3));
    running.controller.reload().await.unwrap();
    let shop = running.controller.status().keyspaces.remove("shop").unwrap();
    assert_eq!((shop.state, shop.retries), (KeyspaceState::Serving, 0));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_keyspace_goes_after_its_grace_time() {
    let (source, running) = simulated(&[("shop.yaml", good(1)), ("other.yaml", good(1))]).await;
    let before = running.served();
    source.remove("shop.yaml");
    let begun = Instant::now();
    source.hints.lock().unwrap().as_ref().unwrap().file("shop.yaml", true);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(running.served(), before, "it may come back at once, as renamed files do");
    assert_eq!(running.controller.status().keyspaces["shop"].state, KeyspaceState::Leaving);
    running.until("the deletion", |running| !running.served().contains_key("shop")).await;
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    assert!(!running.controller.status().keyspaces.contains_key("shop"));
    source.write("shop.yaml", &good(1));
    running.controller.reload().await.unwrap();
    source.remove("shop.yaml");
    running.controller.reload().await.unwrap();
    assert!(!running.served().contains_key("shop"), "a reload that somebody asks for waits for nothing");
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_vanishes_or_turns_empty_is_an_error_and_recovers() {
    let (source, running) = simulated(&[("shop.yaml", good(1)), ("other.yaml", good(1))]).await;
    let before = running.served();
    let files = source.files.lock().unwrap().clone();
    source.files.lock().unwrap().clear();
    assert!(matches!(running.controller.reload().await, Err(ReloadError::Repository(_))));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(running.served(), before);
    assert_eq!(
        running.controller.status().error.as_deref().map(|error| error.contains("no keyspace files")),
        Some(true)
    );
    assert_eq!(running.metric("tsdb_ws_repository_healthy "), 0.0);
    // Half of a deletion that became the whole one is no deletion either.
    *source.files.lock().unwrap() = files.clone();
    source.remove("shop.yaml");
    running.until("a listing", |running| running.controller.status().error.is_none()).await;
    *source.fault.lock().unwrap() = Some("it is not mounted".to_owned());
    source.hints.lock().unwrap().as_ref().unwrap().anything();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(running.served(), before, "nothing leaves while nobody knows what is there");
    *source.files.lock().unwrap() = files;
    *source.fault.lock().unwrap() = None;
    running.until("recovery", |running| running.controller.status().error.is_none()).await;
    assert_eq!(running.served(), before);
    assert_eq!(running.metric("tsdb_ws_repository_healthy "), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_broken_file_in_the_place_of_all_good_ones_takes_nothing_away() {
    let (source, running) = simulated(&[("shop.yaml", good(1)), ("other.yaml", good(1))]).await;
    let before = running.served();
    source.write("store.yaml", &bad(2));
    source.remove("shop.yaml");
    source.remove("other.yaml");
    ["store.yaml", "shop.yaml", "other.yaml"]
        .iter()
        .for_each(|path| source.hints.lock().unwrap().as_ref().unwrap().file(path, true));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(running.served(), before, "a fresh start would serve nothing");
    let reloaded = running.controller.reload().await.unwrap();
    assert_eq!((reloaded.keyspaces, reloaded.broken), (2, vec!["store".to_owned()]));
    let status = running.controller.status();
    assert_eq!(status.keyspaces["shop"].state, KeyspaceState::Leaving);
    assert_eq!(status.keyspaces["store"].state, KeyspaceState::Broken);
    assert!(status.error.as_ref().unwrap().contains("no keyspace that a simulation holds is good"), "{status:?}");
    // Once it is mended, what it took the place of may go: at once where somebody asks for it.
    source.write("store.yaml", &good(3));
    let reloaded = running.controller.reload().await.unwrap();
    assert_eq!((reloaded.keyspaces, reloaded.broken), (1, Vec::new()));
    assert_eq!(running.served().into_keys().collect::<Vec<_>>(), ["store"]);
    assert_eq!(running.controller.status().error, None);
}

#[tokio::test(start_paused = true)]
async fn a_start_without_one_good_keyspace_is_an_error() {
    let source = Arc::<Simulated>::default();
    source.write("shop.yaml", &bad(1));
    let Err(error) = start(Arc::clone(&source) as _, settings()).await else { panic!("an error") };
    assert!(matches!(error, ReloadError::AllBroken(_)));
    assert!(error.to_string().contains("\n  shop.yaml:3:"), "{error}");
    source.write("other.yaml", &good(1));
    let running = start(source, settings()).await.unwrap();
    assert_eq!(running.controller.status().keyspaces["shop"].state, KeyspaceState::Broken);
}

#[tokio::test(start_paused = true)]
async fn a_library_reaches_those_that_include_it_and_nobody_else() {
    let including = "include: [_common]\nformulas: { total: visitors }\n".to_owned();
    let library = |series: &str| format!("metrics: {{ visitors: {series} }}\n");
    let files =
        [("_common.yaml", library("a")), ("eu.yaml", including.clone()), ("us.yaml", including), ("own.yaml", good(1))];
    let (source, running) = simulated(&files).await;
    let before = running.published.snapshot();
    source.write("_common.yaml", &library("b"));
    source.hints.lock().unwrap().as_ref().unwrap().file("_common.yaml", true);
    let changed = |running: &Running, name: &str| running.served()[name] != before.keyspaces[name].revision;
    running.until("both", |running| changed(running, "eu") && changed(running, "us")).await;
    let after = running.published.snapshot();
    assert!(Arc::ptr_eq(&before.keyspaces["own"], &after.keyspaces["own"]), "it was not even compiled");
    source.write("_common.yaml", "metrics: [\n");
    running.controller.reload().await.unwrap();
    let status = running.controller.status();
    assert_eq!(status.keyspaces["eu"].state, KeyspaceState::LastGood);
    assert_eq!(status.keyspaces["own"].state, KeyspaceState::Serving);
    assert_eq!(status.diagnostics[0].location.file, "_common.yaml");
}
