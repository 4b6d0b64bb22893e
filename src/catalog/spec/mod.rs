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

use reader::Reader;

use super::yaml::Node;
use super::{Chart, Parameter};
use crate::diagnostic::{Diagnostic, Location};
use crate::formula::{Expr, Template};
use crate::series::{Aggregate, Fill, Kind};

/// A metric as written; what is absent is filled in when the keyspace is put together.
#[derive(Debug, Clone)]
pub struct MetricSpec {
    pub location: Location,
    pub series: Template,
    /// `None` takes a default out.
    pub tags: BTreeMap<String, Option<Vec<Template>>>,
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
}

/// A formula as written.
#[derive(Debug, Clone)]
pub struct FormulaSpec {
    pub location: Location,
    pub text: String,
    /// Where the expression stands, for places inside it.
    pub expr_location: Location,
    pub expr: Expr,
    pub description: Option<String>,
    pub chart: Option<Chart>,
}

/// One file.
#[derive(Debug, Default)]
pub struct Spec {
    pub texts: BTreeMap<&'static str, (String, Location)>,
    pub include: Vec<(String, Location)>,
    pub parameters: Vec<(String, Location, Parameter)>,
    pub default_tags: BTreeMap<String, Option<Vec<Template>>>,
    pub default_group_by: Option<Vec<String>>,
    pub experiment: Option<ExperimentSpec>,
    pub metrics: Vec<(String, MetricSpec)>,
    pub formulas: Vec<(String, FormulaSpec)>,
}

/// Reads a file's node.
pub fn read(node: &Node, faults: &mut Vec<Diagnostic>) -> Spec {
    let mut reader = Reader { faults };
    let mut spec = Spec::default();
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
    for (key, value) in reader.fields(node, &FIELDS) {
        match key {
            "include" => spec.include = reader.texts(value),
            "parameters" => spec.parameters = reader.parameters(value),
            "defaults" => {
                for (key, value) in reader.fields(value, &["tags", "group_by"]) {
                    match key {
                        "tags" => spec.default_tags = reader.tags(value),
                        _ => spec.default_group_by = Some(reader.names(value)),
                    }
                }
            }
            "experiment" => spec.experiment = reader.experiment(value),
            "metrics" => {
                for (name, key, value) in reader.entries(value) {
                    reader.check_name(&name, key);
                    spec.metrics.extend(reader.metric(key, value).map(|metric| (name, metric)));
                }
            }
            "formulas" => {
                for (name, key, value) in reader.entries(value) {
                    reader.check_name(&name, key);
                    spec.formulas.extend(reader.formula(key, value).map(|formula| (name, formula)));
                }
            }
            other => {
                let field = FIELDS.into_iter().find(|field| *field == other).unwrap_or("title");
                spec.texts.extend(reader.text(value).map(|text| (field, (text, value.location.clone()))));
            }
        }
    }
    spec
}
