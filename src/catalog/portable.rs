//! What of a keyspace would not work on a backend: known from its capabilities, without a server.

use std::collections::{BTreeMap, BTreeSet};

use super::{Definition, Keyspace, Metric, ParameterKind};
use crate::backend::capabilities::{Capabilities, Support};
use crate::diagnostic::{Diagnostic, Location};
use crate::formula::{Part, Template};

/// The most stored names of one metric that are looked at.
const MAX_NAMES: usize = 1_000;
/// How many formulas a message names.
const SHOWN: usize = 5;

/// Everything that would not work on the backend, or would work in another way. An error: a formula would fail. A warning: a
/// metric would that no formula reads, or an estimate would be answered. A note: something is stored under another name.
pub fn check_backend(keyspace: &Keyspace, backend: &Capabilities) -> Vec<Diagnostic> {
    let mut checker = Checker { keyspace, backend, found: Vec::new(), names: BTreeMap::new() };
    for definition in keyspace.definitions.values() {
        if let Definition::Metric(metric) = definition {
            checker.metric(metric);
        }
    }
    checker.found
}

/// What a name is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    Series,
    Tag,
}

impl Named {
    fn as_str(self) -> &'static str {
        match self {
            Named::Series => "stored name",
            Named::Tag => "tag",
        }
    }
}

struct Checker<'a> {
    keyspace: &'a Keyspace,
    backend: &'a Capabilities,
    found: Vec<Diagnostic>,
    /// By the name on the backend: the name as it is written, and where it was met first.
    names: BTreeMap<(Named, String), (String, Location)>,
}

impl<'a> Checker<'a> {
    fn metric(&mut self, metric: &'a Metric) {
        self.aggregate(metric);
        self.mapping(metric);
        for (name, stored) in self.stored_names(&metric.series, metric) {
            self.name(Named::Series, &name, stored, metric);
        }
        let tags: BTreeSet<&String> = metric.tags.keys().chain(metric.group_by.iter()).collect();
        for tag in tags {
            let stored = self.backend.names.label(tag).map(|stored| stored.into_owned());
            match stored {
                Ok(stored) if !self.backend.reserved_tags.contains(&stored.as_str()) => {
                    self.name(Named::Tag, tag, stored, metric);
                }
                _ => {
                    let backend = self.backend.backend;
                    let message = format!("`{}` reads the tag `{tag}`, which {backend} uses itself", metric.name);
                    self.fails("reserved_tag", metric, message, "store the tag under another name");
                }
            }
        }
    }

    fn aggregate(&mut self, metric: &Metric) {
        let what = format!("the {} of `{}`", metric.aggregate, metric.name);
        let backend = self.backend.backend;
        match self.backend.support(metric.kind, metric.aggregate) {
            Support::Pushed | Support::Raw => {}
            Support::Estimated(why) if metric.approximate => {
                let message = format!("{what} is an estimate on {backend}: {why}");
                self.found.push(Diagnostic::warning("estimated", metric.location.clone(), message));
            }
            Support::Estimated(why) => {
                let message = format!("{what} would be an estimate on {backend}: {why}");
                let hint = "accept it with `approximate: true`, or use another aggregate";
                self.fails("unsupported_by_backend", metric, message, hint);
            }
            Support::Unsupported(why) => {
                let message = format!("{what} cannot be had from {backend}: {why}");
                self.fails("unsupported_by_backend", metric, message, "use another aggregate, or another backend");
            }
        }
    }

    fn mapping(&mut self, metric: &Metric) {
        let Some(mapping) = metric.backends.get(self.backend.backend) else { return };
        if let Err(fault) = self.backend.check_mapping(mapping) {
            let hint = format!("mend the entry `{}` of its `backends`", self.backend.backend);
            self.fails("invalid_mapping", metric, format!("`{}`: {fault}", metric.name), &hint);
        }
    }

    /// Remembers what a name becomes; a different one that became the same is an error.
    fn name(&mut self, what: Named, name: &str, stored: String, metric: &Metric) {
        let backend = self.backend.backend;
        let key = (what, stored);
        match self.names.get(&key) {
            Some((first, _)) if first == name => {}
            Some((first, place)) => {
                let (what, stored, place) = (what.as_str(), &key.1, place.clone());
                let message = format!("the {what}s `{first}` and `{name}` are both `{stored}` on {backend}");
                let hint = format!("rename one of the two {what}s");
                self.fails("name_collision", metric, message, &hint);
                if let Some(fault) = self.found.last_mut() {
                    fault.related.push(place);
                }
            }
            None => {
                if key.1 != name {
                    let message = format!("the {} `{name}` is `{}` on {backend}", what.as_str(), key.1);
                    self.found.push(Diagnostic::note("name_changed", metric.location.clone(), message));
                }
                self.names.insert(key, (name.to_owned(), metric.location.clone()));
            }
        }
    }

    /// The names that a template can become as far as the keyspace knows, as they are written and as they are stored: an enum
    /// stands for all its values, any other parameter for itself.
    fn stored_names(&self, template: &Template, metric: &Metric) -> BTreeSet<(String, String)> {
        let mut names = vec![(String::new(), String::new())];
        for (index, part) in template.parts.iter().enumerate() {
            let values: Vec<(String, String)> = match part {
                Part::Literal(text) => vec![self.both(text, index == 0)],
                Part::Param(name) => self.values(name, metric, index == 0),
            };
            let all = names.iter().flat_map(|(name, stored)| {
                values.iter().map(move |(value, as_stored)| (format!("{name}{value}"), format!("{stored}{as_stored}")))
            });
            names = all.take(MAX_NAMES).collect();
        }
        names.into_iter().collect()
    }

    fn values(&self, parameter: &str, metric: &Metric, first: bool) -> Vec<(String, String)> {
        let own = metric.bound.as_ref().filter(|(name, _)| name == parameter);
        match (own, self.keyspace.parameters.get(parameter).map(|parameter| &parameter.kind)) {
            (Some((_, value)), _) => vec![self.both(value, first)],
            (None, Some(ParameterKind::Enum { values })) => {
                values.iter().map(|value| self.both(value, first)).collect()
            }
            _ => {
                let itself = format!("${{{parameter}}}");
                vec![(itself.clone(), itself)]
            }
        }
    }

    /// A piece of a stored name as it is written and as it is stored. Only the first piece can begin with what a name cannot.
    fn both(&self, text: &str, first: bool) -> (String, String) {
        const BEFORE: &str = "x";
        let stored = match first {
            true => self.backend.names.series(text).into_owned(),
            false => self.backend.names.series(&format!("{BEFORE}{text}"))[BEFORE.len()..].to_owned(),
        };
        (text.to_owned(), stored)
    }

    /// An error where a formula reads the metric, else a warning.
    fn fails(&mut self, code: &'static str, metric: &Metric, message: String, hint: &str) {
        let readers = self.keyspace.definitions.values().filter_map(|definition| match definition {
            Definition::Formula(formula) if formula.metrics.contains(&metric.name) => Some(formula.name.as_str()),
            _ => None,
        });
        let readers: Vec<&str> = readers.collect();
        let location = metric.location.clone();
        let fault = match readers.len() {
            0 => Diagnostic::warning(code, location, format!("{message}; no formula reads it")),
            count => {
                let named = readers[..count.min(SHOWN)].join(", ");
                let more = if count > SHOWN { format!(" and {} more", count - SHOWN) } else { String::new() };
                Diagnostic::error(code, location, format!("{message}; it fails {named}{more}"))
            }
        };
        self.found.push(fault.with_hint(hint));
    }
}
