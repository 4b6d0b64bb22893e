//! What is asked of both: every formula, with parameters that lead somewhere.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::{Side, Window, stored_values};
use crate::backend::BackendError;
use crate::catalog::{Definition, Keyspace, Parameter, ParameterKind};
use crate::query::{Entry, Formulas, Request};

/// Values of a parameter, by name.
pub type Params = BTreeMap<String, Value>;

/// Values tried of one parameter that has neither a default nor an enum.
const STORED: usize = 3;
/// Values tried of an enum.
const ENUM: usize = 10;
/// Cases of one formula.
const CASES: usize = 12;

/// One formula with parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The keyspace.
    pub keyspace: String,
    /// The formula.
    pub formula: String,
    /// Those that it uses and that have no default.
    pub params: Params,
}

impl Case {
    /// What a request asks for.
    pub fn entry(&self) -> Formulas {
        let (formula, params) = (self.formula.clone(), self.params.clone());
        Formulas::Entries(vec![Entry { formula, params, ..Entry::default() }])
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.keyspace, self.formula)?;
        for (name, value) in &self.params {
            match value {
                Value::String(text) => write!(f, " {name}={text}")?,
                // `2`, not `2.0`.
                Value::Number(number) => write!(f, " {name}={}", number.as_f64().unwrap_or_default())?,
                other => write!(f, " {name}={other}")?,
            }
        }
        Ok(())
    }
}

/// What is to be asked, and the formulas that cannot be, with the reason.
#[derive(Debug, Default)]
pub struct Cases {
    /// In the order of keyspaces and formulas.
    pub cases: Vec<Case>,
    /// The formula and the reason.
    pub left_out: Vec<(String, String)>,
}

/// Finds the cases of keyspaces. `given` are parameters that decide; `tests` the requests of the formula tests by keyspace.
///
/// # Errors
/// When a backend cannot list stored values.
pub async fn find(
    sides: (&Side, &Side),
    keyspaces: &[&Keyspace],
    given: &Params,
    tests: &BTreeMap<String, Vec<Request>>,
    windows: &BTreeMap<String, Window>,
) -> Result<Cases, BackendError> {
    let mut cases = Cases::default();
    for keyspace in keyspaces {
        let Some(window) = windows.get(&keyspace.name) else { continue };
        let mut candidates = BTreeMap::new();
        for (name, parameter) in &keyspace.parameters {
            let tested = tested(tests.get(&keyspace.name).map_or(&[], Vec::as_slice), name);
            let values = match given.get(name) {
                Some(value) => Some(vec![value.clone()]),
                None if parameter.default.is_some() || parameter.optional => None,
                None => Some(candidates_of(sides, keyspace, (name, parameter), tested, window).await?),
            };
            candidates.insert(name.as_str(), values);
        }
        cases.extend(keyspace, &candidates);
    }
    Ok(cases)
}

/// The values to try of a parameter that must be given.
async fn candidates_of(
    sides: (&Side, &Side),
    keyspace: &Keyspace,
    (name, parameter): (&str, &Parameter),
    tested: Vec<Value>,
    window: &Window,
) -> Result<Vec<Value>, BackendError> {
    if let ParameterKind::Enum { values } = &parameter.kind {
        return Ok(values.iter().take(ENUM).map(|value| Value::from(value.as_str())).collect());
    }
    let stored = stored_values(sides, &keyspace.name, name, window).await?;
    let mut values: Vec<Value> = stored.into_iter().chain(tested).collect();
    if let (true, ParameterKind::Number { min, max }) = (values.is_empty(), &parameter.kind) {
        values.push(min.or(*max).unwrap_or(0.0).into());
    }
    values.retain(|value| parameter.kind.check(value).is_ok());
    values.truncate(STORED);
    Ok(values)
}

/// The values that the formula tests give a parameter.
fn tested(requests: &[Request], name: &str) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::new();
    for request in requests {
        let entries = match &request.formulas {
            Formulas::All => &[][..],
            Formulas::Entries(entries) => entries,
        };
        for params in entries.iter().map(|entry| &entry.params).chain([&request.params]) {
            values.extend(params.get(name).filter(|value| !value.is_null() && !values.contains(value)).cloned());
        }
    }
    values
}

impl Cases {
    fn extend(&mut self, keyspace: &Keyspace, candidates: &BTreeMap<&str, Option<Vec<Value>>>) {
        for definition in keyspace.definitions.values() {
            let Definition::Formula(formula) = definition else { continue };
            let mut all = vec![Params::new()];
            let mut missing = None;
            for name in &formula.params {
                let Some(values) = candidates.get(name.as_str()).and_then(Option::as_ref) else { continue };
                if values.is_empty() {
                    missing = Some(name);
                }
                let with = |params: &Params| {
                    let with = |value: &Value| {
                        let mut params = params.clone();
                        params.insert(name.clone(), value.clone());
                        params
                    };
                    values.iter().map(with).collect::<Vec<Params>>()
                };
                all = all.iter().flat_map(with).take(CASES).collect();
            }
            if let Some(name) = missing {
                let reason = format!("the parameter `{name}` has no stored value; give one with --param {name}=…");
                self.left_out.push((format!("{}/{}", keyspace.name, formula.name), reason));
                continue;
            }
            let case = |params| Case { keyspace: keyspace.name.clone(), formula: formula.name.clone(), params };
            self.cases.extend(all.into_iter().map(case));
        }
    }
}
