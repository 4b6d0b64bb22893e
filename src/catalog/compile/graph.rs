//! The graph of formulas: references resolved, cycles found, each formula finished from those that it refers to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::names::MAX_DEFINITIONS;
use super::parameters::chart_params;
use super::tags::Inferred;
use super::{Builder, Parameters};
use crate::catalog::spec::FormulaSpec;
use crate::catalog::{Definition, Formula, ParameterKind};
use crate::diagnostic::{nearest, shorten};
use crate::formula::{Expr, ExprKind, Part, Template};

/// References between formulas are at most so deep.
const MAX_CHAIN: usize = 256;

/// A formula whose references are not resolved yet.
pub struct Draft<'a> {
    pub spec: &'a FormulaSpec,
    pub formula: Formula,
}

/// The most references of a keyspace, an enum in one counted for all its values; a small file must not become much work.
const MAX_REFERENCES: usize = 400_000;
/// The most metrics that the formulas of a keyspace reach, counted for each formula.
const MAX_REACHED: usize = 250_000;
/// To look for what was meant takes long; nobody reads more hints than these.
const MAX_SUGGESTIONS: usize = 50;
/// Of the names that one identifier leads to in vain, so many are told.
const SHOWN_NAMES: usize = 3;

impl Builder<'_> {
    /// Puts the formulas in order of evaluation and finishes each from those that it refers to.
    pub(super) fn resolve(
        &mut self,
        drafts: BTreeMap<String, Draft<'_>>,
        definitions: &mut BTreeMap<String, Definition>,
        parameters: &Parameters,
    ) {
        let Some(graph) = self.graph(&drafts, definitions, parameters) else { return };
        let mut depth: BTreeMap<&str, usize> = BTreeMap::new();
        let mut tags = Inferred::default();
        let mut reached = 0;
        // Strongly connected components come in reverse topological order: what is referred to first.
        for component in kosaraju_scc(&graph) {
            let node = component[0];
            let name = graph[node];
            let draft = &drafts[name];
            if component.len() > 1 || graph.contains_edge(node, node) {
                let members: Vec<&str> = cycle(&graph, &component);
                let first = members.first().copied().unwrap_or(name);
                let location = &drafts[first].spec.location;
                let message = format!("formulas refer to one another in a cycle: {}", members.join(" → "));
                self.error("cycle", location, message, "break the cycle: a formula cannot need its own value");
                continue;
            }
            let mut below = graph.neighbors(node).map(|other| depth.get(graph[other]).map(|depth| depth + 1));
            // What leads to a cycle or beyond the limit has no depth and is no fault of its own.
            let Some(below) = below.try_fold(0, |most, below| Some(most.max(below?))) else { continue };
            if below > MAX_CHAIN {
                let message = format!("`{name}` refers to formulas more than {MAX_CHAIN} deep");
                self.error("reference_limit", &draft.spec.location, message, "shorten the chain of references");
                continue;
            }
            depth.insert(name, below);
            reached += self.finish(draft, definitions, parameters, &mut tags);
            if reached > MAX_REACHED {
                let message = format!(
                    "the formulas of the keyspace reach more than {MAX_REACHED} metrics, counted for each formula"
                );
                self.error(
                    "keyspace_limit",
                    &draft.spec.location,
                    message,
                    "split the keyspace, or its largest formulas",
                );
                return;
            }
        }
    }

    /// Which formulas refer to which; every reference to what is not there is a fault.
    fn graph<'d>(
        &mut self,
        drafts: &'d BTreeMap<String, Draft<'_>>,
        definitions: &BTreeMap<String, Definition>,
        parameters: &Parameters,
    ) -> Option<DiGraph<&'d str, ()>> {
        let mut graph: DiGraph<&str, ()> = DiGraph::new();
        let nodes: BTreeMap<&str, NodeIndex> =
            drafts.keys().map(|name| (name.as_str(), graph.add_node(name.as_str()))).collect();
        let (mut count, mut suggestions) = (0, 0);
        for (name, draft) in drafts {
            self.check_parameters(draft, parameters);
            let mut to = BTreeSet::new();
            for expr in draft.formula.expr.walk() {
                let references = names_of(expr, &draft.formula, parameters);
                count += references.len();
                if count > MAX_REFERENCES || references.len() > MAX_DEFINITIONS {
                    let message = format!(
                        "the keyspace has more than {MAX_REFERENCES} references, or {MAX_DEFINITIONS} in one name, an enum in one counted for all its values"
                    );
                    self.error(
                        "keyspace_limit",
                        &draft.spec.at(expr.span.start),
                        message,
                        "use shorter enums in references",
                    );
                    return None;
                }
                let mut unknown = Vec::new();
                for reference in references {
                    if let Some(node) = nodes.get(reference.as_str()) {
                        to.insert(*node);
                    } else if self.whole && !definitions.contains_key(&reference) && !self.unread.contains(&reference) {
                        unknown.push(reference);
                    }
                }
                if let Some(first) = unknown.first() {
                    suggestions += 1;
                    let known = drafts.keys().chain(definitions.keys()).map(String::as_str);
                    let is_one = unknown.len() == 1 && suggestions <= MAX_SUGGESTIONS;
                    let hint = match is_one.then(|| nearest(first, known)).flatten() {
                        Some(near) => format!("did you mean `{near}`?"),
                        None if unknown.len() == 1 => {
                            "declare it under `metrics` or `formulas`, or mend the name".to_owned()
                        }
                        None => "declare them under `metrics` or `formulas`, or take their values out of the enum"
                            .to_owned(),
                    };
                    let message = unknown_names(&unknown, draft.spec.text.get(expr.span.clone()));
                    self.error("unknown_name", &draft.spec.at(expr.span.start), message, &hint);
                }
            }
            for to in to {
                graph.add_edge(nodes[name.as_str()], to, ());
            }
        }
        Some(graph)
    }

    /// Completes a formula from what it refers to; gives how many metrics it reaches.
    fn finish(
        &mut self,
        draft: &Draft<'_>,
        definitions: &mut BTreeMap<String, Definition>,
        parameters: &Parameters,
        inferred: &mut Inferred,
    ) -> usize {
        let mut formula = draft.formula.clone();
        let own = formula.bound.as_ref().map(|(name, _)| name.clone());
        for expr in draft.spec.expr.walk() {
            if let ExprKind::Name(template) | ExprKind::Text(template) = &expr.kind {
                formula.params.extend(template.params().map(str::to_owned));
            }
        }
        formula.params.extend(formula.chart.iter().flat_map(chart_params).map(str::to_owned));
        if let Some(own) = own {
            formula.params.remove(&own);
        }
        for (reference, _) in references(&formula, parameters) {
            match definitions.get(&reference) {
                Some(Definition::Metric(metric)) => {
                    formula.metrics.insert(reference);
                    let templates = metric.tags.values().flatten().chain([&metric.series]);
                    let bound = metric.bound.as_ref().map(|(name, _)| name.as_str());
                    let params = templates.flat_map(Template::params).filter(|param| Some(*param) != bound);
                    formula.params.extend(params.map(str::to_owned));
                }
                Some(Definition::Formula(other)) => {
                    formula.metrics.extend(other.metrics.iter().cloned());
                    formula.params.extend(other.params.iter().cloned());
                }
                None => {}
            }
        }
        formula.tags = self.tags(draft, definitions, parameters, inferred);
        let reached = formula.metrics.len();
        definitions.insert(formula.name.clone(), Definition::Formula(Arc::new(formula)));
        reached
    }
}

pub fn draft(name: String, bound: Option<(String, String)>, spec: &FormulaSpec) -> Draft<'_> {
    let formula = Formula {
        name,
        text: spec.text.clone(),
        expr: Arc::clone(&spec.expr),
        description: spec.description.clone(),
        chart: spec.chart.clone(),
        bound,
        params: BTreeSet::new(),
        metrics: BTreeSet::new(),
        tags: Arc::new([]),
        location: spec.location.clone(),
        place: spec.place.clone(),
    };
    Draft { spec, formula }
}

/// What is said of names that one identifier leads to and nothing defines.
fn unknown_names(names: &[String], written: Option<&str>) -> String {
    let shown: Vec<String> = names.iter().take(SHOWN_NAMES).map(|name| format!("`{}`", shorten(name, 128))).collect();
    let shown = match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    };
    let fault = if names.len() == 1 { "is neither a metric nor a formula" } else { "are neither metrics nor formulas" };
    match written.filter(|written| *written != names[0]) {
        Some(written) => format!("{shown}, which `{}` can become, {fault}", shorten(written, 128)),
        None => format!("{shown} {fault}"),
    }
}

/// The names that a formula refers to, with the place of each in its text; an enum in a name stands for all its values.
pub fn references(formula: &Formula, parameters: &Parameters) -> Vec<(String, Range<usize>)> {
    let mut found = Vec::new();
    for expr in formula.expr.walk() {
        found.extend(names_of(expr, formula, parameters).into_iter().map(|name| (name, expr.span.clone())));
    }
    found
}

/// The names that one node of a formula's tree refers to; none where it is no name, or one of a number.
pub fn names_of(expr: &Expr, formula: &Formula, parameters: &Parameters) -> Vec<String> {
    match &expr.kind {
        ExprKind::Name(template) => values_of(template, formula.bound.as_ref(), parameters),
        _ => Vec::new(),
    }
}

/// The names that an identifier can become; none where a parameter in it is not an enum.
pub fn values_of(template: &Template, bound: Option<&(String, String)>, parameters: &Parameters) -> Vec<String> {
    if let Some(name) = template.as_literal() {
        return vec![name.to_owned()];
    }
    let mut names = vec![String::new()];
    for part in &template.parts {
        let values: Vec<&str> = match part {
            Part::Literal(text) => vec![text],
            Part::Param(param) => match (bound.filter(|(own, _)| own == param), parameters.get(param).map(|p| &p.kind))
            {
                (Some((_, value)), _) => vec![value],
                (None, Some(ParameterKind::Enum { values })) => values.iter().map(String::as_str).collect(),
                _ => return Vec::new(),
            },
        };
        // Two long enums in one identifier could make millions of names, and a keyspace cannot define so many.
        names = names
            .iter()
            .flat_map(|name| values.iter().map(move |value| format!("{name}{value}")))
            .take(MAX_DEFINITIONS + 1)
            .collect();
    }
    names
}

/// One cycle of a component, as names from its first member by name back to it.
fn cycle<'n>(graph: &DiGraph<&'n str, ()>, component: &[NodeIndex]) -> Vec<&'n str> {
    let Some(start) = component.iter().copied().min_by_key(|node| graph[*node]) else { return Vec::new() };
    let members: BTreeSet<NodeIndex> = component.iter().copied().collect();
    let mut came_from: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in graph.neighbors(node).filter(|next| members.contains(next)) {
            if next == start {
                let mut path = vec![graph[start]];
                let mut at = node;
                while at != start {
                    path.push(graph[at]);
                    at = came_from[&at];
                }
                path.push(graph[start]);
                path.reverse();
                return path;
            }
            came_from.entry(next).or_insert_with(|| {
                queue.push_back(next);
                node
            });
        }
    }
    vec![graph[start]]
}
