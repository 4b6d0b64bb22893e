//! The graph of formulas: references resolved, cycles found, each formula finished from those that it refers to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::parameters::chart_params;
use super::{Builder, Parameters};
use crate::catalog::spec::FormulaSpec;
use crate::catalog::{Definition, Formula, ParameterKind};
use crate::diagnostic::Location;
use crate::formula::{Expr, ExprKind, Part, Template};

/// References between formulas are at most so deep.
const MAX_CHAIN: usize = 256;

/// A formula whose references are not resolved yet.
pub struct Draft<'a> {
    pub spec: &'a FormulaSpec,
    pub formula: Formula,
}

impl Builder<'_> {
    /// Puts the formulas in order of evaluation and finishes each from those that it refers to.
    pub(super) fn resolve(
        &mut self,
        drafts: BTreeMap<String, Draft<'_>>,
        definitions: &mut BTreeMap<String, Definition>,
        parameters: &Parameters,
    ) {
        let mut graph: DiGraph<&str, ()> = DiGraph::new();
        let nodes: BTreeMap<&str, NodeIndex> =
            drafts.keys().map(|name| (name.as_str(), graph.add_node(name.as_str()))).collect();
        for (name, draft) in &drafts {
            self.check_parameters(draft, parameters);
            for (reference, span) in references(&draft.formula, parameters) {
                match nodes.get(reference.as_str()) {
                    Some(to) => drop(graph.update_edge(nodes[name.as_str()], *to, ())),
                    None if definitions.contains_key(&reference) => {}
                    None => {
                        let known = drafts.keys().chain(definitions.keys());
                        let nearest = known.min_by_key(|known| strsim::levenshtein(known, &reference));
                        let hint = nearest.map_or("declare it".to_owned(), |nearest| {
                            format!("declare it, or did you mean `{nearest}`?")
                        });
                        let location = place(draft.spec, &span);
                        self.error(
                            "unknown_name",
                            &location,
                            format!("`{reference}` is neither a metric nor a formula"),
                            &hint,
                        );
                    }
                }
            }
        }
        let mut depth: BTreeMap<&str, usize> = BTreeMap::new();
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
            let below =
                graph.neighbors(node).filter_map(|other| depth.get(graph[other])).max().map_or(0, |depth| depth + 1);
            depth.insert(name, below);
            if below > MAX_CHAIN {
                if below == MAX_CHAIN + 1 {
                    let message = format!("`{name}` refers to formulas more than {MAX_CHAIN} deep");
                    self.error("reference_limit", &draft.spec.location, message, "shorten the chain of references");
                }
                continue;
            }
            self.finish(draft, definitions, parameters);
        }
    }

    fn finish(&mut self, draft: &Draft<'_>, definitions: &mut BTreeMap<String, Definition>, parameters: &Parameters) {
        let mut formula = draft.formula.clone();
        let own = formula.bound.as_ref().map(|(name, _)| name.clone());
        for expr in draft.spec.expr.walk() {
            if let ExprKind::Name(template) | ExprKind::Text(template) = &expr.kind {
                formula.params.extend(template.params().map(str::to_owned));
            }
        }
        formula.params.extend(chart_params(&formula));
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
        formula.tags = self.tags(draft, definitions, parameters);
        definitions.insert(formula.name.clone(), Definition::Formula(Arc::new(formula)));
    }
}

pub fn draft(name: String, bound: Option<(String, String)>, spec: &FormulaSpec) -> Draft<'_> {
    let formula = Formula {
        name,
        text: spec.text.clone(),
        expr: spec.expr.clone(),
        description: spec.description.clone(),
        chart: spec.chart.clone(),
        bound,
        params: BTreeSet::new(),
        metrics: BTreeSet::new(),
        tags: Arc::new([]),
        location: spec.location.clone(),
        expr_location: spec.expr_location.clone(),
    };
    Draft { spec, formula }
}

/// The place of a part of an expression. Exact for texts on one line without escapes.
pub fn place(spec: &FormulaSpec, span: &Range<usize>) -> Location {
    let before = spec.text.get(..span.start).map_or(0, |before| before.chars().count());
    Location { column: spec.expr_location.column + before, ..spec.expr_location.clone() }
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
        // Two long enums in one identifier could make millions of names; a thousand are enough to find a missing one.
        names = names
            .iter()
            .flat_map(|name| values.iter().map(move |value| format!("{name}{value}")))
            .take(1_000)
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
