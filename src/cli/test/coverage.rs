//! Which formulas the tests of a repository assert: those that some `expect` names, and all that those refer to.

use std::collections::BTreeSet;

use crate::catalog::{Catalog, Definition, Formula};
use crate::diagnostic::{Diagnostic, Location, Severity};
use crate::query::Formulas;
use crate::repository::Listing;

use super::file::{self, Test, TestFile};
use super::{files, keyspace_of_tests};

/// Keyspace and formula.
pub type Name<'a> = (&'a str, &'a str);

/// What is tested and what is not.
#[derive(Debug, Default)]
pub struct Coverage<'a> {
    /// How many formulas there are.
    pub formulas: usize,
    /// Those that no test asserts.
    pub uncovered: Vec<(&'a str, &'a Formula)>,
    /// Keyspaces that have tests at all.
    tested: BTreeSet<&'a str>,
    /// Those some of whose tests cannot be read, so that nobody knows what they cover.
    unread: BTreeSet<&'a str>,
}

impl<'a> Coverage<'a> {
    /// The coverage of all tests of a repository. Files that cannot be read cover nothing.
    pub fn of(listing: &'a Listing, catalog: &'a Catalog) -> Coverage<'a> {
        let mut coverage = Coverage::default();
        let mut covered: BTreeSet<Name<'a>> = BTreeSet::new();
        for file in files(listing) {
            let Some((name, _)) = catalog.keyspaces.get_key_value(keyspace_of_tests(&file.path)) else { continue };
            coverage.tested.insert(name);
            let read = file::read(&file.path, &file.content);
            if read.as_ref().map_or(true, |read| read.tests.iter().any(Result::is_err)) {
                coverage.unread.insert(name);
            }
            for test in read.iter().flat_map(TestFile::sound) {
                cover(name, test, catalog, &mut covered);
            }
        }
        for (keyspace, formula) in formulas(catalog) {
            coverage.formulas += 1;
            if !covered.contains(&(keyspace, &formula.name)) {
                coverage.uncovered.push((keyspace, formula));
            }
        }
        coverage
    }

    /// The findings of `check`: one for each formula, or for a whole keyspace that has no tests.
    pub fn diagnostics(&self, severity: Severity) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let mut untested: BTreeSet<&str> = BTreeSet::new();
        for (keyspace, formula) in self.uncovered.iter().filter(|(keyspace, _)| !self.unread.contains(keyspace)) {
            let (message, hint) = if self.tested.contains(keyspace) {
                (format!("no test covers `{}`", formula.name), "expect it in a test of the keyspace")
            } else if untested.insert(keyspace) {
                let message = format!("the keyspace `{keyspace}` has no tests: nothing says what its formulas come to");
                (message, "write a `<keyspace>.test.yaml` beside it; see `tsdb-ws test --help`")
            } else {
                continue;
            };
            let location: Location = formula.location.clone();
            found.push(Diagnostic {
                severity,
                ..Diagnostic::warning("untested_formula", location, message).with_hint(hint)
            });
        }
        found
    }
}

fn formulas(catalog: &Catalog) -> impl Iterator<Item = (&str, &Formula)> {
    catalog.keyspaces.iter().flat_map(|(name, keyspace)| {
        keyspace.definitions.values().filter_map(move |definition| match definition {
            Definition::Formula(formula) => Some((name.as_str(), formula.as_ref())),
            Definition::Metric(_) => None,
        })
    })
}

/// Marks the formulas that a test asserts and all that they refer to.
fn cover<'a>(keyspace: &'a str, test: &Test, catalog: &'a Catalog, covered: &mut BTreeSet<Name<'a>>) {
    let Some(found) = catalog.keyspaces.get(keyspace) else { return };
    let mut pending: Vec<String> = match &test.request.formulas {
        Formulas::All => test.expect.keys().cloned().collect(),
        Formulas::Entries(entries) => {
            let asserted = entries.iter().filter(|entry| test.expect.contains_key(entry.answer_name()));
            asserted.map(|entry| entry.formula.clone()).collect()
        }
    };
    while let Some(name) = pending.pop() {
        if let Some((name, Definition::Formula(formula))) = found.definitions.get_key_value(&name)
            && covered.insert((keyspace, name))
        {
            pending.extend(found.references(formula));
        }
    }
}
