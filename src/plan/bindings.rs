//! The parameters of one entry of a request, checked against the keyspace.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::request::{InputError, pointer};
use super::{CheckedParams, FormulaError};
use crate::catalog::{Keyspace, ParameterValue};
use crate::formula::{Part, Template};

/// Checks the parameters of a request or of an entry; `place` is the JSON pointer of their object. A null is no value.
///
/// # Errors
/// Every parameter that is not declared or does not fit its kind.
pub fn check(
    keyspace: &Keyspace,
    params: &BTreeMap<String, Value>,
    place: &str,
) -> Result<CheckedParams, Vec<InputError>> {
    let mut checked = BTreeMap::new();
    let mut errors = Vec::new();
    for (name, value) in params {
        let Some(parameter) = keyspace.parameters.get(name) else {
            let known: Vec<&str> = keyspace.parameters.keys().map(String::as_str).collect();
            let shown: String = name.chars().take(60).collect();
            let detail = match known.as_slice() {
                [] => format!("`{shown}` is not declared; the keyspace has no parameters"),
                known => format!("`{shown}` is not declared; there are {}", known.join(", ")),
            };
            errors.push(InputError::new(pointer(place, name), "unknown_parameter", detail));
            continue;
        };
        match value {
            Value::Null => drop(checked.insert(name.clone(), None)),
            value => match parameter.kind.check(value) {
                Ok(value) => drop(checked.insert(name.clone(), Some(value))),
                Err(detail) => errors.push(InputError::new(pointer(place, name), "invalid_parameter", detail)),
            },
        }
    }
    if errors.is_empty() { Ok(checked) } else { Err(errors) }
}

/// What the parameters of one entry are worth.
#[derive(Debug, Clone, Copy)]
pub struct Bindings<'a> {
    keyspace: &'a Keyspace,
    given: &'a CheckedParams,
}

/// What one parameter is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound<'a> {
    /// A value of the request, or the default.
    Value(&'a ParameterValue),
    /// The value of the enum that the definition's own name held.
    Own(&'a str),
    /// An optional parameter that was not given.
    Absent,
    /// A parameter that must be given and was not.
    Missing,
}

impl<'a> Bindings<'a> {
    /// The checked parameters of an entry over those of its keyspace.
    pub fn new(keyspace: &'a Keyspace, given: &'a CheckedParams) -> Bindings<'a> {
        Bindings { keyspace, given }
    }

    /// The parameters of the entry.
    pub fn given(&self) -> &'a CheckedParams {
        self.given
    }

    /// The keyspace.
    pub fn keyspace(&self) -> &'a Keyspace {
        self.keyspace
    }

    /// What a parameter is worth inside a definition whose name held `own`.
    pub fn get(&self, name: &str, own: Option<&'a (String, String)>) -> Bound<'a> {
        if let Some((_, value)) = own.filter(|(parameter, _)| parameter == name) {
            return Bound::Own(value);
        }
        if let Some(Some(value)) = self.given.get(name) {
            return Bound::Value(value);
        }
        match self.keyspace.parameters.get(name) {
            Some(parameter) => match &parameter.default {
                Some(default) => Bound::Value(default),
                None if parameter.optional => Bound::Absent,
                None => Bound::Missing,
            },
            None => Bound::Missing,
        }
    }

    /// Whether every one of `names` has a value or may go without.
    pub fn complete<'n>(&self, names: impl IntoIterator<Item = &'n String>) -> bool {
        names.into_iter().all(|name| self.get(name, None) != Bound::Missing)
    }

    /// A template as one text, for a title: an absent optional parameter reads empty, a list with commas.
    ///
    /// # Errors
    /// The name of a parameter that is missing.
    pub fn title<'t>(&self, template: &'t Template, own: Option<&'a (String, String)>) -> Result<String, &'t str> {
        template.complete(|name| match self.get(name, own) {
            Bound::Value(value) => Some(text_of(value)),
            Bound::Own(value) => Some(value.to_owned()),
            Bound::Absent => Some(String::new()),
            Bound::Missing => None,
        })
    }

    /// A template as one text that is a name or data.
    ///
    /// # Errors
    /// A parameter that is missing, or a list where one value is needed.
    pub fn single<'t>(
        &self,
        template: &'t Template,
        own: Option<&'a (String, String)>,
    ) -> Result<Cow<'t, str>, FormulaError> {
        if let Some(literal) = template.as_literal() {
            return Ok(Cow::Borrowed(literal));
        }
        let mut values = self.any_of(template, own)?.ok_or_else(|| missing(template.params().next().unwrap_or("")))?;
        match (values.len(), values.pop()) {
            (1, Some(value)) => Ok(Cow::Owned(value)),
            _ => Err(FormulaError::new(
                "invalid_parameter",
                format!("`{template}` needs one value; a list of values can only fill a tag"),
            )),
        }
    }

    /// The texts that a template stands for: several where a parameter is a list; `None` where an optional parameter was
    /// not given.
    ///
    /// # Errors
    /// A parameter that is missing.
    pub fn any_of(
        &self,
        template: &Template,
        own: Option<&'a (String, String)>,
    ) -> Result<Option<Vec<String>>, FormulaError> {
        if let Some(literal) = template.as_literal() {
            return Ok(Some(vec![literal.to_owned()]));
        }
        let mut texts = vec![String::new()];
        for part in &template.parts {
            match part {
                Part::Literal(literal) => texts.iter_mut().for_each(|text| text.push_str(literal)),
                Part::Param(name) => match self.get(name, own) {
                    Bound::Own(value) => texts.iter_mut().for_each(|text| text.push_str(value)),
                    Bound::Value(ParameterValue::Any(values)) => texts = product(&texts, values)?,
                    Bound::Value(value) => texts.iter_mut().for_each(|text| text.push_str(&text_of(value))),
                    Bound::Absent => return Ok(None),
                    Bound::Missing => return Err(missing(name)),
                },
            }
        }
        Ok(Some(texts))
    }
}

/// The most values that one tag's filter may have.
const MAX_VALUES: usize = 1_000;

fn product(texts: &[String], values: &[String]) -> Result<Vec<String>, FormulaError> {
    if texts.len() * values.len() > MAX_VALUES {
        let detail = format!("a tag's filter can have at most {MAX_VALUES} values; ask for fewer");
        return Err(FormulaError::new("limit_exceeded", detail));
    }
    Ok(texts.iter().flat_map(|text| values.iter().map(move |value| format!("{text}{value}"))).collect())
}

fn text_of(value: &ParameterValue) -> String {
    match value {
        ParameterValue::Text(text) => text.clone(),
        ParameterValue::Any(values) => values.join(", "),
        ParameterValue::Number(number) => number.to_string(),
    }
}

pub(super) fn missing(name: &str) -> FormulaError {
    FormulaError::new("missing_parameter", format!("give the parameter `{name}` in \"params\"; it has no default"))
}
