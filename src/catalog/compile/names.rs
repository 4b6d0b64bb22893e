//! Names: those of keyspaces, those defined twice, and those that hold an enum.

use std::collections::BTreeMap;

use super::{Builder, Parameters, Spec};
use crate::catalog::{ParameterKind, spec};
use crate::diagnostic::{Diagnostic, Location, shorten};
use crate::formula::Template;

const RESERVED: [&str; 13] = [
    "keyspaces",
    "openapi.json",
    "docs",
    "healthz",
    "readyz",
    "livez",
    "metrics",
    "version",
    "status",
    "assets",
    "admin",
    "debug",
    "api",
];
/// A keyspace's budgets: enums multiply what is written, and a small file must not become a large keyspace.
pub const MAX_DEFINITIONS: usize = 20_000;
const MAX_OPERANDS: usize = 400_000;

/// What enums have made so far.
#[derive(Default)]
pub struct Budget {
    definitions: usize,
    /// Operands of expressions, each as often as it is defined.
    operands: usize,
    told: bool,
}

impl Builder<'_> {
    pub(super) fn check_keyspace_name(&mut self, name: &str, start: &Location) {
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if RESERVED.contains(&name) {
            let message = format!("`{name}` is a reserved name");
            self.error(
                "reserved_name",
                start,
                message,
                "choose another name for the keyspace: rename its file or folder",
            );
        } else if !plain || name.len() > 63 || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            let message = format!("`{}` cannot name a keyspace", shorten(name, 80));
            let hint = "rename the file or folder: small letters, digits, `_` and `-`, at most 63, the first a letter or digit";
            self.error("invalid_keyspace", start, message, hint);
        }
    }

    /// Remembers where a name is defined. False, and a fault, where it is defined already.
    pub(super) fn claim(&mut self, name: &str, location: &Location, places: &mut BTreeMap<String, Location>) -> bool {
        let Some(first) = places.get(name) else {
            places.insert(name.to_owned(), location.clone());
            return true;
        };
        let fault =
            Diagnostic::error("duplicate_name", location.clone(), format!("`{}` is defined twice", shorten(name, 128)));
        let hint = "rename or remove one of the two";
        self.faults.push(fault.with_hint(hint).with_related(first.clone()));
        false
    }

    pub(super) fn parameters(&mut self, specs: &[&Spec]) -> Parameters {
        let mut places = BTreeMap::new();
        let mut parameters = Parameters::new();
        for (name, location, parameter) in specs.iter().flat_map(|spec| &spec.parameters) {
            if self.claim(name, location, &mut places) {
                parameters.insert(name.clone(), parameter.clone());
            }
        }
        let unread = specs.iter().flat_map(|spec| &spec.unread_parameters).cloned();
        self.unread_parameters = unread.collect();
        parameters
    }

    /// A name that holds an enum parameter is defined once for each of its values; `operands` is how many its expression has.
    pub(super) fn expand(
        &mut self,
        name: &str,
        location: &Location,
        operands: usize,
        parameters: &Parameters,
    ) -> Vec<(String, Option<(String, String)>)> {
        let Ok(template) = Template::parse(name) else { return Vec::new() };
        let params: Vec<&str> = template.params().collect();
        let names = match params.as_slice() {
            [] => vec![(template.complete(|_| None).unwrap_or_default(), None)],
            [param] => match parameters.get(*param).map(|parameter| &parameter.kind) {
                Some(ParameterKind::Enum { values }) => {
                    let one = |value: &String| {
                        let name = template.complete(|_| Some(value.clone())).unwrap_or_default();
                        (name, Some(((*param).to_owned(), value.clone())))
                    };
                    let all: Vec<(String, Option<(String, String)>)> = values.iter().map(one).collect();
                    self.check_expanded(&all, param, location);
                    all
                }
                Some(_) => {
                    let message = format!("`{param}` is no enum, and only an enum can be a part of a name");
                    self.error("wrong_parameter", location, message, "give it type: enum and its values");
                    Vec::new()
                }
                None if !self.whole || self.unread_parameters.contains(*param) => Vec::new(),
                None => {
                    self.unknown_parameter(param, location, parameters);
                    Vec::new()
                }
            },
            _ => {
                let message = "a name may hold one parameter".to_owned();
                self.error("invalid_name", location, message, "use one enum, with a value for each pair");
                Vec::new()
            }
        };
        if self.afford(names.len(), operands, location) { names } else { Vec::new() }
    }

    fn check_expanded(&mut self, names: &[(String, Option<(String, String)>)], param: &str, location: &Location) {
        let wrong = |name: &&(String, Option<(String, String)>)| {
            !crate::formula::is_name(&name.0) || spec::is_reserved(&name.0)
        };
        if let Some((name, _)) = names.iter().find(wrong) {
            let message = format!("with a value of `{param}` this is `{}`, which is not a name", shorten(name, 128));
            self.error("invalid_name", location, message, "in names, an enum's values must be letters, digits and `_`");
        }
    }

    /// Takes definitions off the budget; false where it does not reach.
    fn afford(&mut self, count: usize, operands: usize, location: &Location) -> bool {
        self.budget.definitions += count;
        self.budget.operands += count * operands;
        if self.budget.definitions <= MAX_DEFINITIONS && self.budget.operands <= MAX_OPERANDS {
            return true;
        }
        if !self.budget.told {
            let message = format!(
                "the keyspace has more than {MAX_DEFINITIONS} metrics and formulas, or {MAX_OPERANDS} operands in expressions, each enum in a name counted for all its values"
            );
            self.error("keyspace_limit", location, message, "use shorter enums in names, or split the keyspace");
        }
        self.budget.told = true;
        self.whole = false;
        false
    }
}
