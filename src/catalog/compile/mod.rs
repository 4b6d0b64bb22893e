//! Files → keyspaces: merged, names expanded, references resolved into a graph, cycles and joins checked.

mod graph;
mod include;
mod metric;
mod names;
mod parameters;
mod tags;

use graph::draft;
pub use graph::{names_of, references};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::parsed::{ParsedFile, ParsedFiles, start_of};
use super::spec::Spec;
use super::{Catalog, Definition, Keyspace, Parameter, experiment};
use crate::diagnostic::{Diagnostic, Location, Severity};
use crate::repository::{self, Listing, keyspace_of};
use crate::series::{Step, StepUnit};

/// One keyspace, compiled on its own.
#[derive(Debug)]
pub struct Compiled {
    /// `None` where it has errors.
    pub keyspace: Option<Arc<Keyspace>>,
    /// Everything found in its files, in the libraries that it pulls in, and between them; by place.
    pub diagnostics: Vec<Diagnostic>,
    /// The paths at which its libraries were looked for, there or not: when one of them changes, so may the keyspace.
    pub libraries: BTreeSet<String>,
}

/// Compiles every keyspace of a listing. Keyspaces with errors are absent from the catalog; the diagnostics of all files are
/// in it.
pub fn compile(listing: &Listing) -> Catalog {
    let mut catalog = Catalog { revision: listing.revision(), ..Catalog::default() };
    let mut files = ParsedFiles::new();
    let mut keyspaces: BTreeSet<&str> = BTreeSet::new();
    for file in listing.files.iter().filter(|file| !file.path.ends_with(".test.yaml")) {
        let parsed = ParsedFile::parse(file);
        catalog.diagnostics.extend_from_slice(parsed.faults());
        files.insert(file.path.clone(), Arc::new(parsed));
        keyspaces.extend(keyspace_of(&file.path));
    }
    for name in keyspaces {
        let mut compiled = compile_keyspace(name, &files, listing.revision.as_deref());
        catalog.diagnostics.append(&mut compiled.diagnostics);
        catalog.keyspaces.extend(compiled.keyspace.map(|keyspace| (name.to_owned(), keyspace)));
    }
    sort(&mut catalog.diagnostics);
    catalog
}

/// Compiles one keyspace from its files and the libraries that they pull in. Where `revision` names none, a hash of their
/// contents does.
pub fn compile_keyspace(name: &str, files: &ParsedFiles, revision: Option<&str>) -> Compiled {
    // The file, and everything in the folder: found without looking at any other keyspace's files.
    let (file, folder) = (format!("{name}.yaml"), format!("{name}/"));
    let own = files.get_key_value(&file).into_iter();
    let inside = files.range(folder.clone()..).take_while(|(path, _)| path.starts_with(&folder));
    let paths: Vec<&str> =
        own.chain(inside).map(|(path, _)| path.as_str()).filter(|path| keyspace_of(path) == Some(name)).collect();
    let mut builder = Builder { files, faults: Vec::new(), complete: true, libraries: BTreeSet::new() };
    if paths.is_empty() {
        return Compiled { keyspace: None, diagnostics: Vec::new(), libraries: builder.libraries };
    }
    let (used, keyspace) = builder.keyspace(name, &paths, revision);
    let failed = builder.faults.iter().any(|fault| fault.severity == Severity::Error) || !builder.complete;
    let mut diagnostics = builder.faults;
    diagnostics.extend(used.iter().flat_map(|path| files[*path].faults()).cloned());
    sort(&mut diagnostics);
    Compiled { keyspace: (!failed).then(|| Arc::new(keyspace)), diagnostics, libraries: builder.libraries }
}

fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|a, b| (&a.location, a.code, &a.message).cmp(&(&b.location, b.code, &b.message)));
    diagnostics.dedup();
}

/// Names the content of files, each once.
fn content_revision(paths: &[&str], files: &ParsedFiles) -> String {
    let mut sorted = paths.to_vec();
    sorted.sort_unstable();
    repository::content_revision(sorted.into_iter().map(|path| (path, files[path].hash)))
}

struct Builder<'a> {
    files: &'a ParsedFiles,
    faults: Vec<Diagnostic>,
    /// False where a file could not be read whole, so that missing names are not its users' fault.
    complete: bool,
    /// Where libraries were looked for.
    libraries: BTreeSet<String>,
}

type Parameters = BTreeMap<String, Parameter>;

impl<'a> Builder<'a> {
    fn error(&mut self, code: &'static str, location: &Location, message: String, hint: &str) {
        self.faults.push(Diagnostic::error(code, location.clone(), message).with_hint(hint));
    }

    /// The files that it is made of, and what they make.
    fn keyspace(&mut self, name: &str, paths: &[&'a str], revision: Option<&str>) -> (Vec<&'a str>, Keyspace) {
        let start = start_of(paths[0]);
        self.check_keyspace_name(name, &start);
        if paths.contains(&format!("{name}.yaml").as_str()) && paths.len() > 1 {
            let message = format!("the keyspace `{name}` is both {} and {}", paths[0], paths[1]);
            self.error("duplicate_keyspace", &start, message, "keep the file or the folder");
        }
        let paths = self.with_includes(paths);
        self.complete = !paths.iter().any(|path| self.files[*path].is_broken());
        let specs: Vec<&Spec> = paths.iter().map(|path| &self.files[*path].spec).collect();
        let parameters = self.parameters(&specs);
        let definitions = self.definitions(&specs, &parameters);
        let experiment = match self.complete {
            true => experiment::resolve(&specs, &definitions, &mut self.faults),
            false => None,
        };
        let text = |field: &str| specs.iter().find_map(|spec| spec.texts.get(field)).cloned();
        let minutes = |count| Step::new(count, StepUnit::Minute);
        let zone = |text: &str| TimeZone::get(text).ok();
        let step = |text: &str| text.parse().ok();
        let timezone = self.setting(text("timezone"), TimeZone::UTC, zone, "a timezone such as America/Los_Angeles");
        let resolution = self.setting(text("resolution"), minutes(1), step, "a duration such as 1m");
        let settle = self.setting(text("settle"), minutes(10), step, "a duration such as 10m");
        let keyspace = Keyspace {
            name: name.to_owned(),
            revision: revision.map_or_else(|| content_revision(&paths, self.files), str::to_owned),
            title: text("title").map(|(text, _)| text),
            description: text("description").map(|(text, _)| text),
            owner: text("owner").map(|(text, _)| text),
            timezone,
            resolution,
            settle: settle.nominal_millis(),
            experiment,
            parameters,
            definitions,
        };
        (paths, keyspace)
    }

    /// The metrics and formulas, names that hold an enum expanded, and each formula finished.
    fn definitions(&mut self, specs: &[&Spec], parameters: &Parameters) -> BTreeMap<String, Definition> {
        let mut definitions = BTreeMap::new();
        let mut places: BTreeMap<String, Location> = BTreeMap::new();
        let mut drafts = BTreeMap::new();
        for (name, metric) in specs.iter().flat_map(|spec| &spec.metrics) {
            for (name, bound) in self.expand(name, &metric.location, parameters) {
                self.claim(&name, &metric.location, &mut places);
                let metric = self.metric(name.clone(), bound, metric, specs, parameters);
                definitions.insert(name, Definition::Metric(Arc::new(metric)));
            }
        }
        for (name, formula) in specs.iter().flat_map(|spec| &spec.formulas) {
            for (name, bound) in self.expand(name, &formula.location, parameters) {
                self.claim(&name, &formula.location, &mut places);
                drafts.insert(name.clone(), draft(name, bound, formula));
            }
        }
        if self.complete {
            self.resolve(drafts, &mut definitions, parameters);
        }
        definitions
    }

    fn setting<T>(
        &mut self,
        text: Option<(String, Location)>,
        default: T,
        read: impl Fn(&str) -> Option<T>,
        expected: &str,
    ) -> T {
        let Some((text, location)) = text else { return default };
        read(&text).unwrap_or_else(|| {
            self.error("invalid_value", &location, format!("`{text}` is not {expected}"), &format!("write {expected}"));
            default
        })
    }
}
