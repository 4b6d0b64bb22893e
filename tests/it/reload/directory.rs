//! A real directory: what editors, volumes and kernels do to it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use tokio::time::Duration;
use tsdb_ws::repository::{Directory, Source};

use crate::support::reload::{Deaf, Running, bad, good, settings, start};

/// More than the tests need, but for those of the limit.
const MAX_FILES: usize = 1_000;

async fn running(root: &Path) -> (Arc<dyn Source>, Running) {
    let source: Arc<dyn Source> = Arc::new(Directory::new(root, MAX_FILES));
    let running = start(Arc::clone(&source), settings()).await.unwrap();
    (source, running)
}

async fn serves(running: &Running, keyspace: &str, text: &str) {
    let definition = format!("{keyspace} with {text}");
    running
        .until(&definition, |running| {
            let catalog = running.published.snapshot();
            let found = catalog.keyspaces.get(keyspace).and_then(|keyspace| keyspace.definitions.get("a").cloned());
            matches!(found, Some(tsdb_ws::catalog::Definition::Formula(formula)) if formula.text == text)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn written_renamed_moved_and_removed_as_editors_do() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    fs::write(path("shop.yaml"), good(1)).unwrap();
    fs::write(path("README.md"), "not a keyspace").unwrap();
    let (source, running) = running(root.path()).await;
    // In place.
    fs::write(path("shop.yaml"), good(2)).unwrap();
    serves(&running, "shop", "visitors + 2").await;
    // Beside it and renamed over it, with a backup of the old one.
    fs::write(path(".shop.yaml.swp"), good(3)).unwrap();
    fs::rename(path("shop.yaml"), path("shop.yaml~")).unwrap();
    fs::rename(path(".shop.yaml.swp"), path("shop.yaml")).unwrap();
    serves(&running, "shop", "visitors + 3").await;
    // A new folder, a file in it, and another one.
    fs::create_dir(path("folder")).unwrap();
    fs::write(path("folder/a.yaml"), good(4)).unwrap();
    serves(&running, "folder", "visitors + 4").await;
    fs::write(path("folder/a.yaml"), good(5)).unwrap();
    serves(&running, "folder", "visitors + 5").await;
    // A folder that is moved away leaves.
    fs::rename(path("folder"), path(".folder")).unwrap();
    running.until("the folder's end", |running| !running.served().contains_key("folder")).await;
    running.until_like(source.as_ref()).await;
    assert_eq!(running.metric("tsdb_ws_repository_missed_total "), 0.0, "events told of all of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_written_in_halves_is_read_when_it_is_whole() {
    use std::io::Write;
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("shop.yaml"), good(1)).unwrap();
    let (_, running) = running(root.path()).await;
    // Until it is watched: what is half written before that is not known to be.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let (first, second) = (good(2), good(2));
    let mut file = fs::File::create(root.path().join("shop.yaml")).unwrap();
    file.write_all(&first.as_bytes()[..60]).unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    file.write_all(&second.as_bytes()[60..]).unwrap();
    drop(file);
    serves(&running, "shop", "visitors + 2").await;
    let events = running.metric("tsdb_ws_repository_events_total{kind=\"updated\"}");
    assert_eq!(events, 1.0, "the first half was never looked at");
}

/// As the kubelet does it: `shop.yaml` → `..data/shop.yaml`, `..data` → a folder of its own for each version.
fn mount(root: &Path, version: usize, files: &[(&str, String)]) {
    let folder = format!("..2026_{version}");
    fs::create_dir(root.join(&folder)).unwrap();
    for (name, text) in files {
        fs::write(root.join(&folder).join(name), text).unwrap();
    }
    let before = fs::read_link(root.join("..data")).ok();
    symlink(&folder, root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    for (name, _) in files.iter().filter(|(name, _)| root.join(name).symlink_metadata().is_err()) {
        symlink(Path::new("..data").join(name), root.join(name)).unwrap();
    }
    if let Some(before) = before {
        fs::remove_dir_all(root.join(before)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mounted_config_map_is_followed_through_its_links() {
    let root = tempfile::tempdir().unwrap();
    mount(root.path(), 0, &[("shop.yaml", good(0)), ("other.yaml", good(0))]);
    let (source, running) = running(root.path()).await;
    assert_eq!(running.served().len(), 2, "hidden folders are no keyspaces");
    for version in 1..=100 {
        mount(root.path(), version, &[("shop.yaml", good(version)), ("other.yaml", good(version + 100))]);
        serves(&running, "shop", &format!("visitors + {version}")).await;
        serves(&running, "other", &format!("visitors + {}", version + 100)).await;
    }
    mount(root.path(), 101, &[("shop.yaml", bad(21)), ("other.yaml", good(21))]);
    serves(&running, "other", "visitors + 21").await;
    serves(&running, "shop", "visitors + 100").await;
    mount(root.path(), 102, &[("shop.yaml", good(22)), ("other.yaml", good(22)), ("new.yaml", good(22))]);
    running.until_like(source.as_ref()).await;
    assert_eq!(running.served().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_directory_itself_may_be_a_link_that_is_swapped_and_may_come_and_go() {
    let parent = tempfile::tempdir().unwrap();
    let path = |name: &str| parent.path().join(name);
    for version in 1..=2 {
        fs::create_dir(path(&format!("v{version}"))).unwrap();
        fs::write(path(&format!("v{version}/shop.yaml")), good(version)).unwrap();
    }
    symlink("v1", path("current")).unwrap();
    let (_, running) = running(&path("current")).await;
    symlink("v2", path("next")).unwrap();
    fs::rename(path("next"), path("current")).unwrap();
    serves(&running, "shop", "visitors + 2").await;
    let before = running.served();
    // It is not mounted any more: an empty folder, or none.
    for gone in ["nothing", "empty"] {
        fs::remove_file(path("current")).unwrap();
        if gone == "empty" {
            fs::create_dir(path("empty")).unwrap();
            symlink("empty", path("current")).unwrap();
        }
        running.until("an error", |running| running.controller.status().error.is_some()).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(running.served(), before, "{gone}");
        assert_eq!(running.metric("tsdb_ws_repository_healthy "), 0.0);
        let _ = fs::remove_file(path("current"));
        symlink("v2", path("current")).unwrap();
        running.until("recovery", |running| running.controller.status().error.is_none()).await;
    }
    fs::write(path("v2/shop.yaml"), good(3)).unwrap();
    serves(&running, "shop", "visitors + 3").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_files_are_an_error_and_the_rest_recovers() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("shop.yaml"), good(1)).unwrap();
    let (source, running) = running(root.path()).await;
    fs::create_dir(root.path().join("many")).unwrap();
    (0..MAX_FILES).for_each(|i| fs::write(root.path().join(format!("many/f{i}.yaml")), "").unwrap());
    running.until("an error", |running| running.controller.status().error.is_some()).await;
    assert!(running.controller.status().error.unwrap().contains("more than 1000 files"));
    serves(&running, "shop", "visitors + 1").await;
    fs::remove_dir_all(root.path().join("many")).unwrap();
    running.until("recovery", |running| running.controller.status().error.is_none()).await;
    running.until_like(source.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_event_told_of_is_found_by_the_next_listing_and_the_metrics_say_so() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("shop.yaml"), good(1)).unwrap();
    let source: Arc<dyn Source> = Arc::new(Directory::new(root.path(), MAX_FILES));
    let running = start(Arc::new(Deaf(source)), settings()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    fs::write(root.path().join("shop.yaml"), good(2)).unwrap();
    serves(&running, "shop", "visitors + 2").await;
    assert_eq!(running.metric("tsdb_ws_repository_missed_total "), 1.0);
    assert_eq!(running.metric("tsdb_ws_repository_events_total{kind=\"updated\"}"), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_that_give_a_folder_several_names_leave_none_of_them_deaf() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    fs::write(path("shop.yaml"), good(1)).unwrap();
    fs::create_dir(path("one")).unwrap();
    fs::write(path("one/a.yaml"), good(1)).unwrap();
    symlink("one", path("other")).unwrap();
    symlink(".", path("zloop")).unwrap();
    let (source, running) = running(root.path()).await;
    fs::write(path("one/a.yaml"), good(2)).unwrap();
    serves(&running, "one", "visitors + 2").await;
    serves(&running, "other", "visitors + 2").await;
    fs::write(path("shop.yaml"), good(2)).unwrap();
    serves(&running, "shop", "visitors + 2").await;
    running.until_like(source.as_ref()).await;
    assert_eq!(running.metric("tsdb_ws_repository_missed_total "), 0.0, "events told of all of it");
}

#[test]
fn a_file_in_a_folder_of_a_folder_is_told_of() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("shop/deep")).unwrap();
    fs::create_dir_all(root.path().join("shop/.git")).unwrap();
    for file in ["shop/a.yaml", "shop/deep/b.yaml", "shop/deep/c.yaml", "shop/.git/d.yaml"] {
        fs::write(root.path().join(file), good(1)).unwrap();
    }
    let listing = Directory::new(root.path(), MAX_FILES).list().unwrap();
    assert_eq!(listing.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["shop/a.yaml"]);
    assert_eq!(listing.strays, ["shop/deep/b.yaml"]);
    let told = &tsdb_ws::catalog::compile(&listing).diagnostics[0];
    assert_eq!((told.code, told.hint.as_deref()), ("nested_file", Some("rename it to shop/b.yaml")));
}

#[test]
fn a_link_out_of_the_repository_is_refused_and_so_is_what_is_no_file() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("secret.yaml"), "password: x\n").unwrap();
    fs::create_dir(outside.path().join("folder")).unwrap();
    fs::write(outside.path().join("folder/a.yaml"), good(1)).unwrap();
    symlink(outside.path().join("secret.yaml"), root.path().join("a.yaml")).unwrap();
    symlink(outside.path().join("folder"), root.path().join("folder")).unwrap();
    symlink("nowhere", root.path().join("b.yaml")).unwrap();
    fs::create_dir(root.path().join("c.yaml")).unwrap();
    fs::write(root.path().join("d.yaml"), "x".repeat((1 << 20) + 1)).unwrap();
    fs::write(root.path().join("good.yaml"), good(1)).unwrap();
    symlink("good.yaml", root.path().join("inside.yaml")).unwrap();
    let listing = Directory::new(root.path(), MAX_FILES).list().unwrap();
    let told: Vec<String> = listing
        .files
        .iter()
        .map(|file| match &file.content {
            Ok(_) => format!("{}: read", file.path),
            Err(reason) => format!("{}: {reason}", file.path),
        })
        .collect();
    assert_eq!(
        told,
        [
            "a.yaml: this is a link out of the repository; put the file itself there",
            "b.yaml: the file cannot be read: No such file or directory (os error 2)",
            "c.yaml: this is not a regular file",
            "d.yaml: the file is larger than 1 MiB; split it",
            "folder/a.yaml: this is a link out of the repository; put the file itself there",
            "good.yaml: read",
            "inside.yaml: read",
        ]
    );
}
