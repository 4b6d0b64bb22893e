//! Nodes → what a keyspace file says, every fault gathered.

use std::collections::BTreeMap;

use super::yaml::{Node, NodeKind};
use super::{Chart, ChartValue, Parameter, ParameterKind};
use crate::diagnostic::{Diagnostic, Location};
use crate::formula::{Expr, Function, Template, is_name, parse};
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
    pub metrics: Vec<(String, MetricSpec)>,
    pub formulas: Vec<(String, FormulaSpec)>,
}

/// Reads a file's node.
pub fn read(node: &Node, faults: &mut Vec<Diagnostic>) -> Spec {
    let mut reader = Reader { faults };
    let mut spec = Spec::default();
    const FIELDS: [&str; 11] = [
        "title",
        "description",
        "owner",
        "timezone",
        "resolution",
        "settle",
        "include",
        "parameters",
        "defaults",
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

struct Reader<'f> {
    faults: &'f mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn fault(&mut self, code: &'static str, node: &Node, message: impl Into<String>, hint: &str) {
        self.faults.push(Diagnostic::error(code, node.location.clone(), message).with_hint(hint));
    }

    fn entries<'n>(&mut self, node: &'n Node) -> Vec<(String, &'n Node, &'n Node)> {
        match &node.kind {
            NodeKind::Mapping(entries) => {
                let mut read = Vec::new();
                for (key, value) in entries {
                    match key.text() {
                        Some(text) => read.push((text.to_owned(), key, value)),
                        None => self.fault("wrong_type", key, "a key must be a text", "quote it"),
                    }
                }
                read
            }
            _ if node.is_null() => Vec::new(),
            _ => {
                self.fault("wrong_type", node, "a mapping of names is expected", "write `name: value` lines");
                Vec::new()
            }
        }
    }

    fn fields<'n, 'k>(&mut self, node: &'n Node, known: &'k [&'k str]) -> Vec<(&'k str, &'n Node)> {
        let mut fields = Vec::new();
        for (name, key, value) in self.entries(node) {
            match known.iter().find(|field| **field == name) {
                Some(field) => fields.push((*field, value)),
                None => {
                    let nearest = known.iter().min_by_key(|field| strsim::levenshtein(field, &name));
                    let hint = match nearest.filter(|field| strsim::levenshtein(field, &name) <= 3) {
                        Some(nearest) => {
                            format!("did you mean `{nearest}`? An expression or text with a comma needs quotes")
                        }
                        None => {
                            format!("there are {}; an expression or text with a comma needs quotes", known.join(", "))
                        }
                    };
                    self.fault("unknown_key", key, format!("there is no key `{name}` here"), &hint);
                }
            }
        }
        fields
    }

    fn text(&mut self, node: &Node) -> Option<String> {
        match node.text() {
            Some(text) => Some(text.to_owned()),
            None => {
                self.fault(
                    "wrong_type",
                    node,
                    "a text is expected",
                    "write a text; quote it if it is `null` or has special characters",
                );
                None
            }
        }
    }

    fn texts(&mut self, node: &Node) -> Vec<(String, Location)> {
        match &node.kind {
            NodeKind::Sequence(items) => {
                items.iter().filter_map(|item| self.text(item).map(|text| (text, item.location.clone()))).collect()
            }
            _ => self.text(node).map(|text| (text, node.location.clone())).into_iter().collect(),
        }
    }

    fn names(&mut self, node: &Node) -> Vec<String> {
        let mut names: Vec<String> = self.texts(node).into_iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        names
    }

    fn one_of<T>(&mut self, node: &Node, read: impl Fn(&str) -> Option<T>, expected: &str) -> Option<T> {
        let text = self.text(node)?;
        let value = read(&text);
        if value.is_none() {
            self.fault(
                "invalid_value",
                node,
                format!("`{text}` is not one of {expected}"),
                &format!("use one of {expected}"),
            );
        }
        value
    }

    fn flag(&mut self, node: &Node) -> bool {
        match node.to_json() {
            serde_json::Value::Bool(flag) => flag,
            _ => {
                self.fault("wrong_type", node, "true or false is expected", "write true or false");
                false
            }
        }
    }

    fn number(&mut self, node: &Node) -> Option<f64> {
        let number = node.to_json().as_f64();
        if number.is_none() {
            self.fault("wrong_type", node, "a number is expected", "write a number");
        }
        number
    }

    fn template(&mut self, node: &Node) -> Option<Template> {
        let text = self.text(node)?;
        match Template::parse(&text) {
            Ok(template) => Some(template),
            Err(error) => {
                self.fault("invalid_template", node, error.message, "write `${name}` with a declared parameter");
                None
            }
        }
    }

    fn check_name(&mut self, name: &str, key: &Node) {
        let plain = Template::parse(name).ok().and_then(|name| name.complete(|_| Some("x".to_owned())).ok());
        if !plain.is_some_and(|plain| is_name(&plain)) {
            self.fault(
                "invalid_name",
                key,
                format!("`{name}` is not a name"),
                "names are letters, digits and `_`, at most 128, and begin with no digit",
            );
        } else if is_reserved(name) {
            self.fault("reserved_name", key, format!("`{name}` is a reserved name"), "choose another name");
        }
    }

    fn tags(&mut self, node: &Node) -> BTreeMap<String, Option<Vec<Template>>> {
        let mut tags = BTreeMap::new();
        for (name, _, value) in self.entries(node) {
            let values = match &value.kind {
                _ if value.is_null() => None,
                NodeKind::Sequence(items) => Some(items.iter().filter_map(|item| self.template(item)).collect()),
                _ => Some(self.template(value).into_iter().collect()),
            };
            tags.insert(name, values);
        }
        tags
    }

    fn parameters(&mut self, node: &Node) -> Vec<(String, Location, Parameter)> {
        let mut parameters = Vec::new();
        for (name, key, value) in self.entries(node) {
            if !is_name(&name) || is_reserved(&name) {
                self.fault("invalid_name", key, format!("`{name}` cannot name a parameter"), "choose another name");
            }
            parameters.extend(self.parameter(value).map(|parameter| (name, key.location.clone(), parameter)));
        }
        parameters
    }

    fn parameter(&mut self, node: &Node) -> Option<Parameter> {
        let (mut kind, mut pattern, mut values, mut min, mut max) = (None, None, Vec::new(), None, None);
        let (mut default, mut optional, mut description) = (None, false, None);
        let known = ["type", "default", "optional", "pattern", "values", "min", "max", "description"];
        for (key, value) in self.fields(node, &known) {
            match key {
                "type" => {
                    kind = self.one_of(
                        value,
                        |text| ["string", "enum", "number"].into_iter().find(|kind| *kind == text),
                        "string, enum, number",
                    )
                }
                "default" => default = Some(value),
                "optional" => optional = self.flag(value),
                "pattern" => {
                    pattern = self.text(value).and_then(|text| match regex::Regex::new(&text) {
                        Ok(regex) => Some(regex),
                        Err(_) => {
                            self.fault(
                                "invalid_value",
                                value,
                                "this is not a regular expression",
                                "write one such as ^[a-z0-9-]+$",
                            );
                            None
                        }
                    });
                }
                "values" => values = self.texts(value).into_iter().map(|(text, _)| text).collect(),
                "min" => min = self.number(value),
                "max" => max = self.number(value),
                _ => description = self.text(value),
            }
        }
        let kind = match kind {
            Some("enum") if values.is_empty() => {
                self.fault("invalid_value", node, "an enum needs its values", "write values: [a, b]");
                return None;
            }
            Some("enum") => ParameterKind::Enum { values },
            Some("number") => ParameterKind::Number { min, max },
            Some(_) => ParameterKind::String { pattern },
            None => {
                self.fault("missing_key", node, "a parameter needs a type", "write type: string, enum or number");
                return None;
            }
        };
        let default = default.and_then(|value| {
            let json = match kind {
                ParameterKind::Number { .. } => value.to_json(),
                _ => value.text().unwrap_or_default().into(),
            };
            kind.check(&json)
                .map_err(|detail| {
                    self.fault("invalid_value", value, format!("the default {detail}"), "mend the default")
                })
                .ok()
        });
        Some(Parameter { kind, default, optional, description })
    }

    fn metric(&mut self, key: &Node, node: &Node) -> Option<MetricSpec> {
        let mut metric = MetricSpec {
            location: key.location.clone(),
            series: Template::default(),
            tags: BTreeMap::new(),
            group_by: None,
            kind: Kind::Delta,
            aggregate: Aggregate::Sum,
            fill: None,
            unit: None,
            description: None,
            approximate: false,
            backends: BTreeMap::new(),
        };
        if node.text().is_some() {
            metric.series = self.template(node)?;
            return Some(metric);
        }
        let (mut series, mut aggregate) = (None, None);
        let known = [
            "series",
            "tags",
            "group_by",
            "kind",
            "aggregate",
            "fill",
            "unit",
            "description",
            "approximate",
            "backends",
        ];
        for (field, value) in self.fields(node, &known) {
            match field {
                "series" => series = self.template(value),
                "tags" => metric.tags = self.tags(value),
                "group_by" => metric.group_by = Some(self.names(value)),
                "kind" => {
                    let read = |text: &str| Kind::ALL.into_iter().find(|kind| kind.as_str() == text);
                    metric.kind = self.one_of(value, read, "delta, gauge, counter, distinct").unwrap_or_default();
                }
                "aggregate" => {
                    aggregate = self
                        .one_of(value, |text| text.parse().ok(), "sum, avg, min, max, count, first, last, pNN")
                        .map(|found: Aggregate| (found, value))
                }
                "fill" => {
                    let read = |text: &str| {
                        [Fill::None, Fill::Zero, Fill::Previous].into_iter().find(|fill| fill.as_str() == text)
                    };
                    metric.fill = self.one_of(value, read, "none, zero, previous");
                }
                "unit" => metric.unit = self.text(value),
                "description" => metric.description = self.text(value),
                "approximate" => metric.approximate = self.flag(value),
                _ => {
                    metric.backends = self
                        .entries(value)
                        .into_iter()
                        .map(|(name, _, value)| (name, value.to_json().to_string()))
                        .collect()
                }
            }
        }
        metric.aggregate = aggregate.map_or(metric.kind.default_aggregate(), |(aggregate, _)| aggregate);
        if let Some((aggregate, value)) = aggregate
            && !metric.kind.bears(aggregate)
        {
            let message = format!("a {} does not bear the aggregate {aggregate}", metric.kind.as_str());
            self.fault("kind_misuse", value, message, "counters and distinct counts bear only sum");
        }
        match series {
            Some(series) => metric.series = series,
            None => {
                self.fault("missing_key", key, "a metric needs its stored name", "write series: name");
                return None;
            }
        }
        Some(metric)
    }

    fn formula(&mut self, key: &Node, node: &Node) -> Option<FormulaSpec> {
        let (mut expr, mut description, mut chart) = (None, None, None);
        if node.text().is_some() {
            expr = Some(node);
        } else {
            for (field, value) in self.fields(node, &["expr", "description", "chart"]) {
                match field {
                    "expr" => expr = Some(value),
                    "description" => description = self.text(value),
                    _ => chart = self.chart(value),
                }
            }
        }
        let Some(node) = expr else {
            self.fault("missing_key", key, "a formula needs its expression", "write expr: \"a / b\"");
            return None;
        };
        let text = self.text(node)?;
        match parse(&text) {
            Ok(expr) => {
                let expr_location = inside(node, &text, 0);
                Some(FormulaSpec { location: key.location.clone(), text, expr_location, expr, description, chart })
            }
            Err(faults) => {
                for fault in faults {
                    let mut found = Diagnostic::error(fault.code, inside(node, &text, fault.span.start), fault.message);
                    found.hint = fault.hint;
                    self.faults.push(found);
                }
                None
            }
        }
    }

    fn chart(&mut self, node: &Node) -> Option<Chart> {
        let (mut title, mut kind, mut fields) = (None, "line".to_owned(), Vec::new());
        let known = [
            "title",
            "kind",
            "unit",
            "currency",
            "decimals",
            "min",
            "max",
            "section",
            "order",
            "better",
            "description",
            "extra",
        ];
        const UNITS: [&str; 7] = ["number", "count", "percent", "currency", "duration", "bytes", "rate"];
        for (field, value) in self.fields(node, &known) {
            let among =
                |known: &'static [&'static str]| move |text: &str| known.contains(&text).then(|| text.to_owned());
            match field {
                "title" => title = self.template(value),
                "kind" => {
                    kind = self
                        .one_of(value, among(&["line", "area", "bar", "stat", "table"]), "line, area, bar, stat, table")
                        .unwrap_or(kind)
                }
                "unit" => fields.extend(
                    self.one_of(value, among(&UNITS), &UNITS.join(", "))
                        .map(|unit| (field.to_owned(), ChartValue::Json(unit.into()))),
                ),
                "better" => fields.extend(
                    self.one_of(value, among(&["higher", "lower"]), "higher, lower")
                        .map(|better| (field.to_owned(), ChartValue::Json(better.into()))),
                ),
                "decimals" | "min" | "max" | "order" => {
                    fields.extend(self.number(value).map(|_| (field.to_owned(), ChartValue::Json(value.to_json()))));
                }
                "extra" => fields.push((field.to_owned(), ChartValue::Json(value.to_json()))),
                _ => fields.extend(self.template(value).map(|text| (field.to_owned(), ChartValue::Text(text)))),
            }
        }
        if title.is_none() {
            self.fault("missing_key", node, "a chart needs a title", "write title: …");
        }
        Some(Chart { title: title?, kind, fields })
    }
}

/// The place of a byte of an expression in its file. Exact for texts on one line without escapes.
fn inside(node: &Node, text: &str, byte: usize) -> Location {
    let before = text.get(..byte).unwrap_or(text);
    let quote = usize::from(!node.plain);
    Location { column: node.location.column + quote + before.chars().count(), ..node.location.clone() }
}

/// Words that no metric, formula or parameter may be named.
pub fn is_reserved(name: &str) -> bool {
    let words = ["true", "false", "null", "inf", "infinity", "nan"];
    Function::from_name(name).is_some() || words.contains(&name.to_ascii_lowercase().as_str())
}
