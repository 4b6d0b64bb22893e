//! The catalog: keyspaces, metrics, formulas, charts and their graph; compiled, checked, immutable.

mod compile;
mod experiment;
mod meaning;
mod parsed;
mod portable;
pub mod publish;
mod reads;
mod spec;
mod units;
mod yaml;

pub use compile::{Compiled, compile, compile_keyspace, stray_file};
pub use experiment::Experiment;
pub use meaning::{Changed, Changes, Reached, changes};
pub use parsed::{ParsedFile, ParsedFiles, unreadable_file};
pub use portable::check_backend;
pub use reads::{Read, ReadTag, StoredText, reads};
pub use spec::is_reserved;
pub use units::lint;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indexmap::IndexMap;
use jiff::tz::TimeZone;
use regex::Regex;
use yaml::Place;

use crate::diagnostic::{Diagnostic, Location, Severity};
use crate::formula::{Expr, Template};
use crate::repository;
use crate::series::{Aggregate, Fill, Kind, Step};

/// The JSON schema of keyspace files, for editors.
pub const SCHEMA: &str = include_str!("keyspace.schema.json");

/// Every keyspace of one revision of a repository. A request takes one and keeps it to its end.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The identity of the content (git commit, else a content hash).
    pub revision: String,
    /// By name.
    pub keyspaces: BTreeMap<String, Arc<Keyspace>>,
    /// All errors and warnings of the repository, by file and place.
    pub diagnostics: Vec<Diagnostic>,
}

impl Catalog {
    /// Whether a keyspace is not served because its files have errors.
    pub fn is_broken(&self, keyspace: &str) -> bool {
        let of_it = |found: &&Diagnostic| repository::keyspace_of(&found.location.file) == Some(keyspace);
        let mut errors = self.diagnostics.iter().filter(|found| found.severity == Severity::Error);
        !self.keyspaces.contains_key(keyspace) && errors.any(|found| of_it(&found))
    }
}

/// A tenant: its parameters, metrics and formulas.
#[derive(Debug, Clone)]
pub struct Keyspace {
    /// `[a-z0-9][a-z0-9_-]{0,62}`
    pub name: String,
    /// The commit that it is of, else a hash of the files that it is made of.
    pub revision: String,
    /// For people.
    pub title: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// For people.
    pub owner: Option<String>,
    /// Of steps of a day and longer.
    pub timezone: TimeZone,
    /// The finest step of the stored data.
    pub resolution: Step,
    /// How late points may still arrive, in milliseconds.
    pub settle: i64,
    /// What its formulas are compared by.
    pub experiment: Option<Experiment>,
    /// By name.
    pub parameters: BTreeMap<String, Parameter>,
    /// Metrics and formulas in the order of their names, names that hold an enum expanded.
    pub definitions: IndexMap<String, Definition, foldhash::fast::RandomState>,
}

/// What a name stands for.
#[derive(Debug, Clone)]
pub enum Definition {
    /// A declared read.
    Metric(Arc<Metric>),
    /// A named expression.
    Formula(Arc<Formula>),
}

/// What a request may supply to complete a template.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// What values it takes.
    pub kind: ParameterKind,
    /// The value where the request gives none.
    pub default: Option<ParameterValue>,
    /// Not given: its filter is dropped, and it reads empty in a title.
    pub optional: bool,
    /// For people.
    pub description: Option<String>,
}

/// What values a parameter takes.
#[derive(Debug, Clone)]
pub enum ParameterKind {
    /// Any text, or what a pattern matches.
    String {
        /// Searched in the value; anchor it to match the whole.
        pattern: Option<Regex>,
    },
    /// One of these.
    Enum {
        /// In the order of the file.
        values: Vec<String>,
    },
    /// A finite number.
    Number {
        /// The least, inclusive.
        min: Option<f64>,
        /// The greatest, inclusive.
        max: Option<f64>,
    },
}

/// A value of a parameter, checked against its kind.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterValue {
    /// Of a string or an enum.
    Text(String),
    /// Any of them: only where the parameter fills tags.
    Any(Vec<String>),
    /// Of a number.
    Number(f64),
}

/// A declared read of stored series.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Expanded: holds no template.
    pub name: String,
    /// The stored name.
    pub series: Template,
    /// For each tag, templates any of whose values may match. The defaults are laid under.
    pub tags: BTreeMap<String, Vec<Template>>,
    /// Sorted, no repeats.
    pub group_by: Arc<[String]>,
    /// What the points mean.
    pub kind: Kind,
    /// How a bucket's points become one value.
    pub aggregate: Aggregate,
    /// What an empty bucket is worth.
    pub fill: Fill,
    /// Its unit, for people.
    pub unit: Option<String>,
    /// The metric of whose things it counts some, each at most once.
    pub part_of: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Accepts a backend's estimate.
    pub approximate: bool,
    /// By backend, as JSON text of an object with sorted keys.
    pub backends: BTreeMap<String, String>,
    /// The index of documents that its mapping for Elasticsearch names: what the operator allows holds for it too.
    pub index: Option<String>,
    /// The value of the enum parameter that its name held.
    pub bound: Option<(String, String)>,
    /// Where it is defined.
    pub location: Location,
}

/// A named expression with its chart metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct Formula {
    /// Expanded: holds no template.
    pub name: String,
    /// The text of the expression.
    pub text: String,
    /// Its tree: of the file, not of each value of an enum in the name.
    pub expr: Arc<Expr>,
    /// For people.
    pub description: Option<String>,
    /// Absent for a part of others.
    pub chart: Option<Chart>,
    /// The value of the enum parameter that its name held.
    pub bound: Option<(String, String)>,
    /// The parameters that it and all it refers to need completed or may use, but for bound ones.
    pub params: BTreeSet<String>,
    /// The metrics that it reads, through all references and every value of its enums.
    pub metrics: BTreeSet<String>,
    /// The names of its series' tags, sorted.
    pub tags: Arc<[String]>,
    /// Where it is declared.
    pub location: Location,
    /// Where the characters of its expression stand.
    place: Place,
}

/// What a UI needs to draw a formula; it reaches the UI as written, templates completed.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// The title.
    pub title: Template,
    /// `line`, `area`, `bar`, `stat` or `table`.
    pub kind: String,
    /// All other fields in the order of the file; texts are templates.
    pub fields: Vec<(String, ChartValue)>,
}

/// A value in a chart.
#[derive(Debug, Clone, PartialEq)]
pub enum ChartValue {
    /// A text that may hold parameters.
    Text(Template),
    /// Anything else.
    Json(serde_json::Value),
    /// All of `extra` as JSON text: its keys in their order, its numbers digit by digit.
    Extra(Arc<str>),
}

impl ParameterKind {
    /// Checks a value of a request (a string, a number or a list of strings) against the kind.
    ///
    /// # Errors
    /// What is wrong with it and what would be right.
    pub fn check(&self, value: &serde_json::Value) -> Result<ParameterValue, String> {
        use serde_json::Value;
        match (self, value) {
            (ParameterKind::Number { min, max }, value) => {
                let number =
                    value.as_f64().or_else(|| value.as_str()?.parse().ok()).filter(|number| number.is_finite());
                let number = number.ok_or("must be a finite number")?;
                if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
                    let bound = |bound: &Option<f64>| bound.map_or("any".to_owned(), |bound| bound.to_string());
                    return Err(format!("must lie between {} and {}", bound(min), bound(max)));
                }
                Ok(ParameterValue::Number(number))
            }
            (_, Value::String(text)) => self.text(text).map(ParameterValue::Text),
            (_, Value::Array(items)) if (1..=1000).contains(&items.len()) => {
                let texts =
                    items.iter().map(|item| self.text(item.as_str().ok_or("must be a string or a list of strings")?));
                let texts: std::collections::BTreeSet<String> = texts.collect::<Result<_, String>>()?;
                Ok(ParameterValue::Any(texts.into_iter().collect()))
            }
            _ => Err("must be a string or a list of 1 to 1000 strings".to_owned()),
        }
    }

    fn text(&self, text: &str) -> Result<String, String> {
        if text.len() > 1024 || text.chars().any(char::is_control) {
            return Err("must have at most 1024 bytes and no control characters".to_owned());
        }
        match self {
            ParameterKind::Enum { values } if !values.iter().any(|value| value == text) => {
                Err(format!("must be one of {}", values.join(", ")))
            }
            ParameterKind::String { pattern: Some(pattern) } if !pattern.is_match(text) => {
                Err(format!("must match the pattern {pattern}"))
            }
            _ => Ok(text.to_owned()),
        }
    }
}

impl Formula {
    /// The place of a part of the expression.
    pub fn place(&self, span: &std::ops::Range<usize>) -> Location {
        self.place.at(&self.text, span.start)
    }
}

impl Keyspace {
    /// The names that a formula refers to directly, through every value of its enums; sorted, no repeats.
    pub fn references(&self, formula: &Formula) -> Vec<String> {
        let mut names: Vec<String> =
            compile::references(formula, &self.parameters).into_iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        names
    }
}
