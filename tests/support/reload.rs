//! A controller over a source that tests change, and what it publishes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tsdb_ws::catalog::publish::Published;
use tsdb_ws::catalog::{self, Catalog};
use tsdb_ws::controller::{Controller, ReloadError, Settings, Surroundings};
use tsdb_ws::repository::{Hints, Intervals, Listing, RepositoryError, Source, SourceFile, Watch};
use tsdb_ws::telemetry::Metrics;

/// A good keyspace file that is told apart by a number.
pub fn good(version: usize) -> String {
    format!("metrics: {{ visitors: shop.visitors }}\nformulas:\n  a: visitors + {version}\n  b: visitors * {version}\n")
}

/// A broken one.
pub fn bad(version: usize) -> String {
    format!("metrics: {{ visitors: shop.visitors }}\nformulas:\n  a: visitor + {version}\n")
}

/// Short times, so that tests need not wait.
pub fn settings() -> Settings {
    let intervals = Intervals { resync: Duration::from_secs(2), poll: Duration::from_millis(300) };
    Settings { intervals, grace: Duration::from_millis(300), workers: 2 }
}

/// A controller that follows a source, and where it publishes.
pub struct Running {
    pub controller: Controller,
    pub published: Arc<Published>,
    pub metrics: Arc<Metrics>,
}

pub async fn start(source: Arc<dyn Source>, settings: Settings) -> Result<Running, ReloadError> {
    let (published, metrics) = (Arc::<Published>::default(), Arc::<Metrics>::default());
    let clock = Arc::new(|| jiff::Timestamp::now().as_millisecond());
    let around = Surroundings { published: Arc::clone(&published), metrics: Arc::clone(&metrics), clock };
    let controller = Controller::start(source, settings, around).await?;
    controller.follow();
    Ok(Running { controller, published, metrics })
}

impl Running {
    /// The revision of each keyspace that is served.
    pub fn served(&self) -> BTreeMap<String, String> {
        revisions(&self.published.snapshot())
    }

    /// Waits until that is what is served.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Running) -> bool) {
        for _ in 0..2_000 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what} does not come to be: {:#?}", self.controller.status());
    }

    /// Waits until a fresh start from the same source would serve the same.
    pub async fn until_like(&self, source: &dyn Source) {
        let fresh = || source.list().map(|listing| revisions(&catalog::compile(&listing)));
        self.until("what a fresh start would serve", |running| fresh().is_ok_and(|fresh| fresh == running.served()))
            .await;
    }

    /// A line of the metrics that begins like that: its value.
    pub fn metric(&self, line: &str) -> f64 {
        let text = self.metrics.encode();
        let found = text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("{line} is not in\n{text}"))
    }
}

pub fn revisions(catalog: &Catalog) -> BTreeMap<String, String> {
    catalog.keyspaces.iter().map(|(name, keyspace)| (name.clone(), keyspace.revision.clone())).collect()
}

/// Files in memory; hints are given, or not, by the test.
#[derive(Default)]
pub struct Simulated {
    pub files: Mutex<BTreeMap<String, String>>,
    /// Why it cannot be listed.
    pub fault: Mutex<Option<String>>,
    pub hints: Mutex<Option<Arc<Hints>>>,
}

impl Simulated {
    pub fn write(&self, path: &str, text: &str) {
        self.files.lock().unwrap().insert(path.to_owned(), text.to_owned());
    }

    pub fn remove(&self, path: &str) {
        self.files.lock().unwrap().remove(path);
    }
}

impl Source for Simulated {
    fn place(&self) -> String {
        "a simulation".to_owned()
    }

    fn list(&self) -> Result<Listing, RepositoryError> {
        if let Some(reason) = self.fault.lock().unwrap().clone() {
            return Err(RepositoryError::Unreadable { place: self.place(), reason });
        }
        let paths: Vec<String> = self.files.lock().unwrap().keys().cloned().collect();
        Ok(Listing {
            revision: None,
            files: paths.iter().filter_map(|path| self.read(path)).collect(),
            strays: Vec::new(),
        })
    }

    fn read(&self, path: &str) -> Option<SourceFile> {
        let text = self.files.lock().unwrap().get(path).cloned()?;
        Some(SourceFile { path: path.to_owned(), content: Ok(text.into_bytes()) })
    }

    fn gives_hints(&self) -> bool {
        true
    }

    fn watch(self: Arc<Self>, hints: Arc<Hints>) -> Option<Watch> {
        *self.hints.lock().unwrap() = Some(hints);
        Some(Box::new(()))
    }
}

/// Another source whose hints are all lost.
pub struct Deaf(pub Arc<dyn Source>);

impl Source for Deaf {
    fn place(&self) -> String {
        self.0.place()
    }

    fn list(&self) -> Result<Listing, RepositoryError> {
        self.0.list()
    }

    fn read(&self, path: &str) -> Option<SourceFile> {
        self.0.read(path)
    }

    fn gives_hints(&self) -> bool {
        true
    }

    fn watch(self: Arc<Self>, _: Arc<Hints>) -> Option<Watch> {
        None
    }
}

/// Runs git in a folder, as nobody's user.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .args(["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
