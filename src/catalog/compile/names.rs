//! Names: those of keyspaces, those defined twice, and those that hold an enum.

use std::collections::BTreeMap;

use super::{Builder, Parameters, Spec};
use crate::catalog::{ParameterKind, spec};
use crate::diagnostic::{Diagnostic, Location};
use crate::formula::Template;

const RESERVED: [&str; 12] = [
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
];

impl Builder<'_> {
    pub(super) fn check_keyspace_name(&mut self, name: &str, start: &Location) {
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if !plain || name.len() > 63 || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            self.error(
                "invalid_keyspace",
                start,
                format!("`{name}` cannot name a keyspace"),
                "use [a-z0-9][a-z0-9_-]{0,62}",
            );
        } else if RESERVED.contains(&name) || name == "api" {
            self.error(
                "reserved_name",
                start,
                format!("`{name}` is a reserved name"),
                "choose another name for the keyspace",
            );
        }
    }

    pub(super) fn claim(&mut self, name: &str, location: &Location, places: &mut BTreeMap<String, Location>) {
        match places.get(name) {
            None => drop(places.insert(name.to_owned(), location.clone())),
            Some(first) => {
                let fault = Diagnostic::error("duplicate_name", location.clone(), format!("`{name}` is defined twice"));
                self.faults
                    .push(fault.with_hint(format!("it is defined first at {first}")).with_related(first.clone()));
            }
        }
    }

    pub(super) fn parameters(&mut self, specs: &[&Spec]) -> Parameters {
        let mut places = BTreeMap::new();
        let mut parameters = Parameters::new();
        for (name, location, parameter) in specs.iter().flat_map(|spec| &spec.parameters) {
            self.claim(name, location, &mut places);
            parameters.insert(name.clone(), parameter.clone());
        }
        parameters
    }

    /// A name that holds an enum parameter is defined once for each of its values.
    pub(super) fn expand(
        &mut self,
        name: &str,
        location: &Location,
        parameters: &Parameters,
    ) -> Vec<(String, Option<(String, String)>)> {
        let Ok(template) = Template::parse(name) else { return Vec::new() };
        let params: Vec<&str> = template.params().collect();
        match params.as_slice() {
            [] => vec![(name.to_owned(), None)],
            [param] => match parameters.get(*param).map(|parameter| &parameter.kind) {
                Some(ParameterKind::Enum { values }) => {
                    let one = |value: &String| {
                        let name = template.complete(|_| Some(value.clone())).unwrap_or_default();
                        (name, Some(((*param).to_owned(), value.clone())))
                    };
                    let all: Vec<(String, Option<(String, String)>)> = values.iter().map(one).collect();
                    for (name, _) in &all {
                        if !crate::formula::is_name(name) || spec::is_reserved(name) {
                            self.error(
                                "invalid_name",
                                location,
                                format!("`{name}` is not a name"),
                                "the enum's values must make names",
                            );
                        }
                    }
                    all
                }
                _ => {
                    let message = format!("`${{{param}}}` in a name must be an enum parameter");
                    self.error("unknown_parameter", location, message, "declare it under `parameters` with type: enum");
                    Vec::new()
                }
            },
            _ => {
                self.error(
                    "invalid_name",
                    location,
                    "a name may hold one parameter".to_owned(),
                    "use one enum parameter",
                );
                Vec::new()
            }
        }
    }
}
