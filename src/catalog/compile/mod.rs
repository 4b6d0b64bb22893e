//! Files → keyspaces: merged, names expanded, references resolved into a graph, cycles and joins checked.

mod graph;
mod include;
mod lints;
mod metric;
mod names;
mod parameters;
mod settings;
mod tags;

use graph::draft;
pub use graph::{names_of, references};
use metric::put_together;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::parsed::{ParsedFile, ParsedFiles};
use super::spec::Spec;
use super::{Catalog, Definition, Keyspace, Parameter, experiment};
use crate::diagnostic::{self, Diagnostic, Location, Severity};
use crate::formula::{Template, count_operands};
use crate::repository::{self, Listing, keyspace_of};

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
    let mut libraries: BTreeSet<String> = BTreeSet::new();
    for file in listing.files.iter().filter(|file| !file.path.ends_with(".test.yaml")) {
        let parsed = ParsedFile::parse(file);
        catalog.diagnostics.extend_from_slice(parsed.faults());
        files.insert(file.path.clone(), Arc::new(parsed));
        keyspaces.extend(keyspace_of(&file.path));
    }
    for name in keyspaces {
        let mut compiled = compile_keyspace(name, &files, listing.revision.as_deref());
        catalog.diagnostics.append(&mut compiled.diagnostics);
        libraries.append(&mut compiled.libraries);
        catalog.keyspaces.extend(compiled.keyspace.map(|keyspace| (name.to_owned(), keyspace)));
    }
    catalog.diagnostics.extend(lints::unused_libraries(&files, &libraries));
    catalog.diagnostics.extend(listing.strays.iter().map(|path| stray_file(path)));
    diagnostic::sort(&mut catalog.diagnostics);
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
    if paths.is_empty() {
        return Compiled { keyspace: None, diagnostics: Vec::new(), libraries: BTreeSet::new() };
    }
    let mut builder = Builder::new(files);
    let (used, keyspace) = builder.keyspace(name, &paths, revision);
    let failed = builder.has_errors() || used.iter().any(|path| files[*path].is_broken());
    let mut diagnostics = builder.faults;
    diagnostics.extend(used.iter().flat_map(|path| files[*path].faults()).cloned());
    diagnostic::sort(&mut diagnostics);
    Compiled { keyspace: (!failed).then(|| Arc::new(keyspace)), diagnostics, libraries: builder.libraries }
}

/// What is said of a file that only its name or its place keeps from being read.
pub fn stray_file(path: &str) -> Diagnostic {
    let (code, reason) = match path.ends_with(".yaml") {
        true => ("nested_file", "keyspace files lie at the top or in a folder there, not deeper"),
        false => ("misnamed_file", "keyspace files end in .yaml"),
    };
    let message = format!("`{path}` is not read: {reason}");
    Diagnostic::warning(code, Location::start(path), message)
        .with_hint(format!("rename it to {}", repository::renamed(path)))
}

/// Names the content of files, each once.
fn content_revision(paths: &[&str], files: &ParsedFiles) -> String {
    let mut sorted = paths.to_vec();
    sorted.sort_unstable();
    repository::content_revision(sorted.into_iter().map(|path| (path, files[path].hash)))
}

/// Puts one keyspace together.
struct Builder<'a> {
    files: &'a ParsedFiles,
    faults: Vec<Diagnostic>,
    /// False where a file could not be read to its end or is missing, so that missing names are not its users' fault.
    whole: bool,
    /// Where libraries were looked for.
    libraries: BTreeSet<String>,
    /// Names that are there but could not be read: references to them are not faults of their own.
    unread: BTreeSet<String>,
    unread_parameters: BTreeSet<String>,
    budget: names::Budget,
}

type Parameters = BTreeMap<String, Parameter>;

impl<'a> Builder<'a> {
    fn new(files: &'a ParsedFiles) -> Builder<'a> {
        Builder {
            files,
            faults: Vec::new(),
            whole: true,
            libraries: BTreeSet::new(),
            unread: BTreeSet::new(),
            unread_parameters: BTreeSet::new(),
            budget: names::Budget::default(),
        }
    }

    fn error(&mut self, code: &'static str, location: &Location, message: String, hint: &str) {
        self.faults.push(Diagnostic::error(code, location.clone(), message).with_hint(hint));
    }

    fn has_errors(&self) -> bool {
        self.faults.iter().any(|fault| fault.severity == Severity::Error)
    }

    /// The files that it is made of, and what they make.
    fn keyspace(&mut self, name: &str, paths: &[&'a str], revision: Option<&str>) -> (Vec<&'a str>, Keyspace) {
        let start = Location::start(paths[0]);
        self.check_keyspace_name(name, &start);
        if paths.contains(&format!("{name}.yaml").as_str()) && paths.len() > 1 {
            let message = format!("the keyspace `{name}` is both {} and {}", paths[0], paths[1]);
            let fault = Diagnostic::error("duplicate_keyspace", start.clone(), message);
            self.faults.push(fault.with_hint("keep the file or the folder").with_related(Location::start(paths[1])));
        }
        let paths = self.with_includes(paths);
        self.whole &= paths.iter().all(|path| self.files[*path].whole);
        let specs: Vec<&'a Spec> = paths.iter().map(|path| &self.files[*path].spec).collect();
        self.check_sections(&specs, &start);
        let parameters = self.parameters(&specs);
        self.check_uses(&specs, &parameters);
        let definitions = self.definitions(&specs, &parameters);
        let sound = self.whole && !paths.iter().any(|path| self.files[*path].is_broken());
        let experiment = match sound {
            true => experiment::resolve(&specs, &definitions, &mut self.faults),
            false => None,
        };
        let settings = self.settings(&specs);
        let keyspace = Keyspace {
            name: name.to_owned(),
            revision: revision.map_or_else(|| content_revision(&paths, self.files), str::to_owned),
            title: settings.title,
            description: settings.description,
            owner: settings.owner,
            timezone: settings.timezone,
            resolution: settings.resolution,
            settle: settings.settle,
            experiment,
            parameters,
            definitions: definitions.into_iter().collect(),
        };
        // What is wrong comes first: advice about names that could not be read would mislead.
        if sound && !self.has_errors() {
            self.lint(&specs, &keyspace);
        }
        (paths, keyspace)
    }

    /// The metrics and formulas, names that hold an enum expanded, and each formula finished.
    fn definitions(&mut self, specs: &[&'a Spec], parameters: &Parameters) -> BTreeMap<String, Definition> {
        let mut definitions = BTreeMap::new();
        let mut places: BTreeMap<String, Location> = BTreeMap::new();
        let mut drafts = BTreeMap::new();
        for (name, location) in specs.iter().flat_map(|spec| &spec.unread) {
            for name in self.note_unread(name, true, parameters) {
                self.claim(&name, location, &mut places);
            }
        }
        let defaults = self.default_tags(specs);
        for (name, metric) in specs.iter().flat_map(|spec| &spec.metrics) {
            let names = self.expand(name, &metric.location, 0, parameters);
            self.note_unread(name, names.is_empty(), parameters);
            for (name, bound) in names {
                if self.claim(&name, &metric.location, &mut places) {
                    let metric = put_together(name.clone(), bound, metric, &defaults);
                    definitions.insert(name, Definition::Metric(Arc::new(metric)));
                }
            }
        }
        for (name, formula) in specs.iter().flat_map(|spec| &spec.formulas) {
            let names = self.expand(name, &formula.location, count_operands(&formula.text), parameters);
            self.note_unread(name, names.is_empty(), parameters);
            for (name, bound) in names {
                if self.claim(&name, &formula.location, &mut places) {
                    drafts.insert(name.clone(), draft(name, bound, formula));
                }
            }
        }
        self.resolve(drafts, &mut definitions, parameters);
        definitions
    }

    /// Remembers that what a name stands for is there and could not be read.
    fn note_unread(&mut self, name: &str, unread: bool, parameters: &Parameters) -> Vec<String> {
        let names = match Template::parse(name) {
            Ok(template) if unread => graph::values_of(&template, None, parameters),
            _ => Vec::new(),
        };
        self.unread.extend(names.iter().cloned());
        names
    }
}
