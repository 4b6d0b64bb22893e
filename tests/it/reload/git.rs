//! A real git remote, beside this process: commits, force pushes, branches that go and come back.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tokio::time::Duration;
use tsdb_ws::repository::{Credentials, Git, Location, Source};

use crate::support::reload::{Running, bad, git, good, settings, start};

const COMMITS: usize = 200;

struct Remote {
    folder: tempfile::TempDir,
}

impl Remote {
    /// A bare repository, and a work tree that is pushed from.
    fn new() -> Remote {
        let remote = Remote { folder: tempfile::tempdir().unwrap() };
        git(remote.folder.path(), &["init", "--quiet", "--bare", "remote.git"]);
        git(remote.folder.path(), &["init", "--quiet", "work"]);
        fs::create_dir(remote.work().join("formulas")).unwrap();
        remote
    }

    fn work(&self) -> std::path::PathBuf {
        self.folder.path().join("work")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.work().join("formulas").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Commits everything and pushes it; the commit.
    fn push(&self, options: &[&str]) -> String {
        git(&self.work(), &["add", "--all"]);
        git(&self.work(), &[&["commit", "--quiet", "--allow-empty", "-m", "change"], options].concat());
        git(&self.work(), &["push", "--quiet", "--force", "../remote.git", "HEAD:refs/heads/main"]);
        git(&self.work(), &["rev-parse", "HEAD"])
    }

    /// The branch is gone.
    fn delete(&self) {
        git(&self.folder.path().join("remote.git"), &["update-ref", "-d", "refs/heads/main"]);
    }

    /// It is back as it was.
    fn restore(&self) {
        git(&self.work(), &["push", "--quiet", "--force", "../remote.git", "HEAD:refs/heads/main"]);
    }

    fn source(&self, fragment: &str) -> Arc<dyn Source> {
        source(&self.folder.path().join("remote.git"), fragment)
    }
}

fn source(repository: &Path, fragment: &str) -> Arc<dyn Source> {
    let Ok(Location::Git(location)) = Location::parse(&format!("git+file://{}#{fragment}", repository.display()))
    else {
        panic!("a location")
    };
    Arc::new(Git::new(location, Credentials::default(), 1_000))
}

fn is_at(running: &Running, keyspace: &str, commit: &str) -> bool {
    running.served().get(keyspace).is_some_and(|revision| commit.starts_with(revision.as_str()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_force_pushes_and_a_branch_that_comes_back() {
    let remote = Remote::new();
    remote.write("shop.yaml", &good(0));
    remote.write("other.yaml", &good(0));
    remote.push(&[]);
    let running = start(remote.source("main:formulas"), settings()).await.unwrap();
    for version in 1..=COMMITS {
        remote.write("shop.yaml", &if version % 3 == 0 { bad(version) } else { good(version) });
        remote.write("other.yaml", &good(version));
        // Every fifth takes the place of the one before.
        let commit = remote.push(if version % 5 == 0 { &["--amend"] } else { &[] });
        running.controller.poke();
        running.until(&format!("commit {version}"), |running| is_at(running, "other", &commit)).await;
        assert_eq!(
            is_at(&running, "shop", &commit),
            version % 3 != 0,
            "{version}: a bad one keeps its last good commit"
        );
        if version % 50 == 0 {
            let served = running.served();
            remote.delete();
            running.controller.poke();
            running.until("an error", |running| running.controller.status().error.is_some()).await;
            assert_eq!(running.served(), served);
            remote.restore();
        }
    }
    remote.write("shop.yaml", &good(9_999));
    let last = remote.push(&[]);
    running.until("what was pushed without a word", |running| is_at(running, "shop", &last)).await;
    let served = running.served();
    remote.delete();
    running.until("an error", |running| running.controller.status().error.is_some()).await;
    assert_eq!(running.served(), served);
    remote.restore();
    running.until("recovery", |running| running.controller.status().error.is_none()).await;
    running.until_like(remote.source("main:formulas").as_ref()).await;
    assert_eq!(running.published.snapshot().revision, served["shop"]);
    // A keyspace that is as it was is of the new commit, too: that is what a fresh start would say.
    remote.write("other.yaml", &good(12_345));
    let commit = remote.push(&[]);
    running.controller.reload().await.unwrap();
    assert!(is_at(&running, "shop", &commit) && is_at(&running, "other", &commit));
}

#[test]
fn a_branch_a_tag_a_commit_and_a_folder_can_be_named() {
    let remote = Remote::new();
    remote.write("shop.yaml", &good(1));
    let first = remote.push(&[]);
    git(&remote.work(), &["tag", "-a", "-m", "one", "v1"]);
    git(&remote.work(), &["push", "--quiet", "../remote.git", "v1"]);
    fs::write(remote.work().join("top.yaml"), good(2)).unwrap();
    std::os::unix::fs::symlink("shop.yaml", remote.work().join("formulas/link.yaml")).unwrap();
    let second = remote.push(&[]);
    git(&remote.folder.path().join("remote.git"), &["symbolic-ref", "HEAD", "refs/heads/main"]);
    let listed = |fragment: &str| {
        let listing = remote.source(fragment).list().unwrap();
        let paths: Vec<String> = listing.files.iter().map(|file| file.path.clone()).collect();
        (listing.revision.unwrap(), paths.join(" "))
    };
    assert_eq!(listed("v1:formulas"), (first[..12].to_owned(), "shop.yaml".to_owned()));
    assert_eq!(listed(&format!("{first}:formulas")), (first[..12].to_owned(), "shop.yaml".to_owned()));
    assert_eq!(listed("main:formulas"), (second[..12].to_owned(), "link.yaml shop.yaml".to_owned()));
    assert_eq!(listed(""), (second[..12].to_owned(), "formulas/link.yaml formulas/shop.yaml top.yaml".to_owned()));
    for (fragment, words) in [("nope", "couldn't find remote ref nope"), ("main:nope", "has no folder nope")] {
        let error = remote.source(fragment).list().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let error = source(&remote.folder.path().join("nothing"), "main").list().unwrap_err().to_string();
    assert!(error.contains("does not appear to be a git repository"), "{error}");
    let held = remote.source("main:formulas");
    held.list().unwrap();
    std::thread::sleep(Duration::from_millis(1));
    assert_eq!(held.read("shop.yaml").unwrap().content, Ok(good(1).into_bytes()));
}

#[test]
fn check_takes_what_serve_takes() {
    let remote = Remote::new();
    remote.write("shop.yaml", &good(1));
    remote.write("team/deep/shop.yaml", &good(1));
    remote.push(&[]);
    let named = format!("git+file://{}#main:formulas", remote.folder.path().join("remote.git").display());
    let check = |place: &str| {
        let told = Command::new(env!("CARGO_BIN_EXE_tsdb-ws")).args(["check", place]).output().unwrap();
        (told.status.code(), String::from_utf8(told.stdout).unwrap(), String::from_utf8(told.stderr).unwrap())
    };
    let (status, told, _) = check(&named);
    assert!(status == Some(0) && told.contains("1 sound keyspace(s)"), "{told}");
    assert!(told.contains("warning[nested_file]: `team/deep/shop.yaml` is not read"), "{told}");
    let (status, _, told) = check("git+ftp://example.com/x");
    assert!(status == Some(2) && told.contains("git+https://"), "{told}");
}
