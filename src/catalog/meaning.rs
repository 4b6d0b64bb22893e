//! What a formula means, apart from how it is written, and what changed of it between two revisions of a keyspace.
//!
//! A formula is named by a hash of its tree with everything that it refers to in place of names: references are the hashes of
//! what they lead to, metrics what they read, parameters what they are without a request. Two formulas of one hash ask the
//! same and compute the same; parentheses, names of parts, the order of what is added or multiplied, which way round a
//! comparison is written, and the unit of a window do not matter.

use std::collections::{BTreeMap, BTreeSet};

use blake3::Hash;
use serde::Serialize;

use super::{Definition, Formula, Keyspace, Metric, ParameterKind, compile, units};
use crate::formula::{BinaryOp, Expr, ExprKind, Function, FunctionClass, Part, Template};
use crate::series::Step;

/// What changed of one keyspace.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Changes {
    /// Formulas that themselves, or whose metrics or parameters, mean something else.
    pub changed: Vec<Changed>,
    /// Formulas that are as they were but refer to changed ones.
    pub reached: Vec<Reached>,
    /// Formulas that are new.
    pub added: Vec<String>,
    /// Formulas that are gone.
    pub removed: Vec<String>,
    /// Settings of the whole keyspace that change what its formulas come to.
    pub settings: Vec<&'static str>,
    /// Formulas that mean the same and are shown otherwise.
    pub presentation: Vec<String>,
}

/// A formula that means something else.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Changed {
    /// The formula.
    pub name: String,
    /// Its expression before.
    pub before: String,
    /// Its expression now.
    pub after: String,
    /// The metrics that it refers to and that read something else.
    pub metrics: Vec<String>,
    /// The parameters that it uses and that are of another type, or have another default or other values.
    pub parameters: Vec<String>,
}

/// A formula that a change reaches.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reached {
    /// The formula.
    pub name: String,
    /// The changed formulas that it refers to, directly or not.
    pub through: Vec<String>,
}

impl Changes {
    /// Whether everything means what it meant.
    pub fn is_empty(&self) -> bool {
        let formulas = self.changed.is_empty() && self.added.is_empty() && self.removed.is_empty();
        formulas && self.reached.is_empty() && self.settings.is_empty()
    }
}

/// What changed between two revisions of a keyspace; one that is not there has no formulas.
pub fn changes(before: Option<&Keyspace>, after: Option<&Keyspace>) -> Changes {
    let (old, new) = (before.map(Meanings::of).unwrap_or_default(), after.map(Meanings::of).unwrap_or_default());
    let mut changes = Changes::default();
    let names: BTreeSet<&str> = formulas(before).chain(formulas(after)).map(|formula| formula.name.as_str()).collect();
    for name in names {
        match (before.and_then(|keyspace| formula(keyspace, name)), after.and_then(|keyspace| formula(keyspace, name)))
        {
            (None, _) => changes.added.push(name.to_owned()),
            (_, None) => changes.removed.push(name.to_owned()),
            (Some(was), Some(is)) if old.whole.get(name) == new.whole.get(name) => {
                if (&was.chart, &was.description) != (&is.chart, &is.description) {
                    changes.presentation.push(name.to_owned());
                }
            }
            (Some(was), Some(is)) => {
                let Some((before, after)) = before.zip(after) else { continue };
                if own((before, &old), was, after) != own((after, &new), is, before) {
                    let mut changed = changed(was, is, &old, &new);
                    changed.parameters = changed_parameters((before, was), (after, is));
                    changes.changed.push(changed);
                } else {
                    changes.reached.push(Reached { name: name.to_owned(), through: Vec::new() });
                }
            }
        }
    }
    if let Some(after) = after {
        let sources: BTreeSet<&str> = changes.changed.iter().map(|changed| changed.name.as_str()).collect();
        for reached in &mut changes.reached {
            reached.through = below(after, &reached.name)
                .into_iter()
                .filter(|name| sources.contains(name))
                .map(str::to_owned)
                .collect();
        }
    }
    if let Some((before, after)) = before.zip(after) {
        let zone = |keyspace: &Keyspace| keyspace.timezone.iana_name().unwrap_or("UTC").to_owned();
        changes.settings.extend((zone(before) != zone(after)).then_some("timezone"));
        changes.settings.extend((before.resolution != after.resolution).then_some("resolution"));
        changes.settings.extend((before.experiment != after.experiment).then_some("experiment"));
    }
    changes
}

fn formulas(keyspace: Option<&Keyspace>) -> impl Iterator<Item = &Formula> {
    keyspace.into_iter().flat_map(|keyspace| keyspace.definitions.values()).filter_map(|definition| match definition {
        Definition::Formula(formula) => Some(formula.as_ref()),
        Definition::Metric(_) => None,
    })
}

fn formula<'a>(keyspace: &'a Keyspace, name: &str) -> Option<&'a Formula> {
    match keyspace.definitions.get(name)? {
        Definition::Formula(formula) => Some(formula),
        Definition::Metric(_) => None,
    }
}

fn changed(was: &Formula, is: &Formula, old: &Meanings, new: &Meanings) -> Changed {
    let both = was.metrics.intersection(&is.metrics);
    Changed {
        name: is.name.clone(),
        before: was.text.clone(),
        after: is.text.clone(),
        metrics: both.filter(|name| old.whole.get(*name) != new.whole.get(*name)).cloned().collect(),
        parameters: Vec::new(),
    }
}

/// The parameters that a formula uses on both sides and that are not as they were.
fn changed_parameters((before, was): (&Keyspace, &Formula), (after, is): (&Keyspace, &Formula)) -> Vec<String> {
    let of = |keyspace: &Keyspace, name: &str| match keyspace.parameters.get(name).map(|parameter| &parameter.kind) {
        Some(ParameterKind::Enum { values }) => (parameter(keyspace, name), values.clone()),
        _ => (parameter(keyspace, name), Vec::new()),
    };
    was.params.intersection(&is.params).filter(|name| of(before, name) != of(after, name)).cloned().collect()
}

/// The formulas that one refers to, directly or not.
fn below<'a>(keyspace: &'a Keyspace, name: &str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut pending = vec![name.to_owned()];
    while let Some(name) = pending.pop() {
        let Some(formula) = formula(keyspace, &name) else { continue };
        for reference in keyspace.references(formula) {
            if let Some(other) = self::formula(keyspace, &reference)
                && seen.insert(other.name.as_str())
            {
                pending.push(reference);
            }
        }
    }
    seen
}

/// The meaning of each definition of a keyspace.
#[derive(Default)]
struct Meanings {
    whole: BTreeMap<String, Meaning>,
}

/// What a definition or a part of one means.
#[derive(Clone, PartialEq)]
struct Meaning {
    hash: Hash,
    /// Where it is a sum or a product: what is added up or multiplied, however that is nested.
    chain: Option<(BinaryOp, Vec<Hash>)>,
}

impl Meaning {
    fn of(text: &str) -> Meaning {
        Meaning { hash: blake3::hash(text.as_bytes()), chain: None }
    }
}

impl Meanings {
    fn of(keyspace: &Keyspace) -> Meanings {
        let mut whole = BTreeMap::new();
        for definition in keyspace.definitions.values() {
            if let Definition::Metric(metric) = definition {
                whole.insert(metric.name.clone(), of_metric(keyspace, metric));
            }
        }
        for formula in units::in_order(keyspace) {
            let of = |name: &str| whole.get(name).cloned().unwrap_or_else(|| Meaning::of(""));
            let meaning = of_formula(keyspace, formula, &of);
            whole.insert(formula.name.clone(), meaning);
        }
        Meanings { whole }
    }
}

/// The meaning of a formula by itself: a reference to a formula that both sides have is its name, so that only the other changes
/// count.
fn own((keyspace, side): (&Keyspace, &Meanings), formula: &Formula, other: &Keyspace) -> Meaning {
    let of = |name: &str| match self::formula(keyspace, name).and(self::formula(other, name)) {
        Some(_) => Meaning::of(&format!("name {name}")),
        None => side.whole.get(name).cloned().unwrap_or_else(|| Meaning::of("")),
    };
    of_formula(keyspace, formula, &of)
}

fn of_metric(keyspace: &Keyspace, metric: &Metric) -> Meaning {
    let bound = metric.bound.as_ref();
    let text = |template: &Template| text_of(keyspace, template, bound);
    let tags: BTreeMap<&String, BTreeSet<String>> =
        metric.tags.iter().map(|(tag, values)| (tag, values.iter().map(text).collect())).collect();
    let read = (text(&metric.series), tags, &metric.group_by, metric.kind, metric.aggregate, metric.fill);
    Meaning::of(&format!("metric {read:?} {} {:?}", metric.approximate, metric.backends))
}

/// A text with the parameters that the request completes, and what those are without it.
fn text_of(keyspace: &Keyspace, template: &Template, bound: Option<&(String, String)>) -> String {
    let part = |part: &Part| match (part, bound) {
        (Part::Literal(text), _) => text.clone(),
        (Part::Param(name), Some((own, value))) if own == name => value.clone(),
        (Part::Param(name), _) => format!("\u{0}{}\u{0}", parameter(keyspace, name)),
    };
    template.parts.iter().map(part).collect()
}

/// A parameter as far as it changes what is read when a request does not give it.
fn parameter(keyspace: &Keyspace, name: &str) -> String {
    let Some(parameter) = keyspace.parameters.get(name) else { return name.to_owned() };
    let kind = match &parameter.kind {
        ParameterKind::String { .. } => "string",
        ParameterKind::Enum { .. } => "enum",
        ParameterKind::Number { .. } => "number",
    };
    format!("{name} {kind} {:?} {}", parameter.default, parameter.optional)
}

/// A window by its length: `60m` is `1h`, but `24h` is no `1d`.
fn window(function: Function, argument: &Expr) -> Option<String> {
    let ExprKind::Text(template) = &argument.kind else { return None };
    let length: Step = template.as_literal().filter(|_| function.class() == FunctionClass::Time)?.parse().ok()?;
    Some(format!("window {} {}", length.is_calendar(), length.nominal_millis()))
}

fn of_formula(keyspace: &Keyspace, formula: &Formula, of: &impl Fn(&str) -> Meaning) -> Meaning {
    formula.expr.fold(|expr, operands: Vec<Meaning>| match &expr.kind {
        ExprKind::Name(template) => {
            let names = compile::names_of(expr, formula, &keyspace.parameters);
            match names.as_slice() {
                // A definition that is another name for one other means the same.
                [name] if template.as_literal().is_some() || formula.bound.is_some() => of(name),
                names => {
                    let values: Vec<String> = names.iter().map(|name| of(name).hash.to_hex().to_string()).collect();
                    Meaning::of(&format!("choice {} {values:?}", text_of(keyspace, template, formula.bound.as_ref())))
                }
            }
        }
        ExprKind::Binary(op @ (BinaryOp::Add | BinaryOp::Mul), ..) => chained(*op, operands),
        kind => Meaning::of(&token(keyspace, formula, kind, operands)),
    })
}

/// Longer chains count as they are nested: references could make them as long as two to the number of formulas.
const MAX_CHAIN: usize = 256;

/// A sum or a product: its operands in any order and nesting.
fn chained(op: BinaryOp, operands: Vec<Meaning>) -> Meaning {
    let parts = operands.into_iter().flat_map(|operand| match operand.chain {
        Some((other, parts)) if other == op => parts,
        _ => vec![operand.hash],
    });
    let mut parts: Vec<Hash> = parts.collect();
    parts.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    let mut hasher = blake3::Hasher::new();
    hasher.update(op.as_str().as_bytes());
    for part in &parts {
        hasher.update(part.as_bytes());
    }
    let chain = (parts.len() <= MAX_CHAIN).then_some((op, parts));
    Meaning { hash: hasher.finalize(), chain }
}

/// What the meaning of any other node is the hash of.
fn token(keyspace: &Keyspace, formula: &Formula, kind: &ExprKind, operands: Vec<Meaning>) -> String {
    let mut operands: Vec<String> = operands.iter().map(|operand| operand.hash.to_hex().to_string()).collect();
    match kind {
        ExprKind::Number(number) => format!("number {:x}", number.to_bits()),
        ExprKind::Null => "null".to_owned(),
        ExprKind::Text(template) | ExprKind::Name(template) => {
            format!("text {}", text_of(keyspace, template, formula.bound.as_ref()))
        }
        ExprKind::Unary(op, _) => format!("{op:?} {operands:?}"),
        ExprKind::Binary(op, ..) => {
            use BinaryOp::{And, Eq, Ge, Gt, Le, Lt, Ne, Or};
            // `a > b` is `b < a`.
            let (op, turned) = match op {
                Gt => (Lt, true),
                Ge => (Le, true),
                op => (*op, false),
            };
            if turned {
                operands.reverse();
            }
            if matches!(op, Eq | Ne | And | Or) {
                operands.sort();
            }
            format!("{op:?} {operands:?}")
        }
        ExprKind::Call(function, arguments) => {
            for (operand, argument) in operands.iter_mut().zip(arguments) {
                if let Some(window) = window(*function, argument) {
                    *operand = window;
                }
            }
            if matches!(function, Function::Min | Function::Max) {
                operands.sort();
            }
            format!("{} {operands:?}", function.name())
        }
    }
}
