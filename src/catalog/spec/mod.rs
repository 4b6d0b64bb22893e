//! Nodes → what a keyspace file says, every fault gathered.

mod chart;
mod experiment;
mod formula;
mod metric;
mod parameter;
mod reader;

pub use experiment::ExperimentSpec;
pub use reader::is_reserved;

use std::collections::BTreeMap;
use std::sync::Arc;

use reader::Reader;

use super::yaml::{Node, Place};
use super::{Chart, Parameter};
use crate::diagnostic::{Diagnostic, Location};
use crate::formula::{Expr, Template};
use crate::series::{Aggregate, Fill, Kind};

/// The values of each tag as written; `None` takes a default out.
pub type Tags = BTreeMap<String, Option<Vec<Template>>>;

/// A metric as written; what is absent is filled in when the keyspace is put together.
#[derive(Debug, Clone)]
pub struct MetricSpec {
    pub location: Location,
    pub series: Template,
    pub tags: Tags,
    /// Where tags stand that take a default out.
    pub taken_out: Vec<(String, Location)>,
    pub group_by: Option<Vec<String>>,
    pub kind: Kind,
    pub aggregate: Aggregate,
    pub fill: Option<Fill>,
    pub unit: Option<String>,
    /// The metric of whose things it counts some, and where that is said.
    pub part_of: Option<(String, Location)>,
    pub description: Option<String>,
    pub approximate: bool,
    pub backends: BTreeMap<String, String>,
    /// The parameters in its texts.
    pub uses: Vec<Use>,
}

/// A parameter in a text.
#[derive(Debug, Clone)]
pub struct Use {
    pub parameter: String,
    pub location: Location,
    /// Whether the text may be left out or read empty where the parameter is not given: a tag, a title.
    pub optional: bool,
}

/// A formula as written.
#[derive(Debug, Clone)]
pub struct FormulaSpec {
    pub location: Location,
    pub text: String,
    /// Where the expression stands, for places inside it.
    pub place: Place,
    pub expr: Arc<Expr>,
    pub description: Option<String>,
    pub chart: Option<Chart>,
    /// Where the chart's fields stand.
    pub chart_places: BTreeMap<&'static str, Location>,
    /// The parameters in the chart's texts.
    pub uses: Vec<Use>,
}

impl FormulaSpec {
    /// Where a byte of the expression stands.
    pub fn at(&self, byte: usize) -> Location {
        self.place.at(&self.text, byte)
    }
}

/// One file.
#[derive(Debug, Default)]
pub struct Spec {
    pub texts: BTreeMap<&'static str, (String, Location)>,
    /// The sections that it has.
    pub sections: BTreeMap<&'static str, Location>,
    pub include: Vec<(String, Location)>,
    pub parameters: Vec<(String, Location, Parameter)>,
    pub default_tags: Tags,
    pub default_places: BTreeMap<String, Location>,
    pub default_uses: Vec<Use>,
    pub default_group_by: Option<(Vec<String>, Location)>,
    pub experiment: Option<ExperimentSpec>,
    pub metrics: Vec<(String, MetricSpec)>,
    pub formulas: Vec<(String, FormulaSpec)>,
    /// Names of metrics and formulas that are there but could not be read.
    pub unread: Vec<(String, Location)>,
    /// Names of parameters that are there but could not be read.
    pub unread_parameters: Vec<String>,
}

const FIELDS: [&str; 12] = [
    "title",
    "description",
    "owner",
    "timezone",
    "resolution",
    "settle",
    "include",
    "parameters",
    "defaults",
    "experiment",
    "metrics",
    "formulas",
];

/// Reads a file's node.
pub fn read(node: &Node, faults: &mut Vec<Diagnostic>) -> Spec {
    let mut reader = Reader { faults };
    let mut spec = Spec::default();
    for (key, value) in reader.fields(node, &FIELDS) {
        spec.sections.insert(key, value.location.clone());
        match key {
            "include" => spec.include = reader.texts(value),
            "parameters" => reader.parameters(value, &mut spec),
            "defaults" => reader.defaults(value, &mut spec),
            "experiment" => spec.experiment = reader.experiment(value),
            "metrics" => {
                for (name, key, value) in reader.entries(value) {
                    let named = reader.check_name(&name, key);
                    match reader.metric(key, value).filter(|_| named) {
                        Some(metric) => spec.metrics.push((name, metric)),
                        None => spec.unread.push((name, key.location.clone())),
                    }
                }
            }
            "formulas" => {
                let entries = reader.entries(value);
                let affordable = reader.affords(value, &entries);
                for (name, key, value) in entries {
                    let named = reader.check_name(&name, key);
                    let formula = if affordable { reader.formula(key, value) } else { None };
                    match formula.filter(|_| named) {
                        Some(formula) => spec.formulas.push((name, formula)),
                        None => spec.unread.push((name, key.location.clone())),
                    }
                }
            }
            text => spec.texts.extend(reader.text(value).map(|read| (text, (read, value.location.clone())))),
        }
    }
    spec
}
