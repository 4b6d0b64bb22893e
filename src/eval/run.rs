//! A program from its first node to its last. For every node all groups that any operand or user of it may ask for are
//! computed, so that one pass in order is enough and nothing recurses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::kernel::{self, Operand};
use super::{Evaluated, Input, LeftOut, Node, NodeId, Op, Program, Scope};
use crate::formula::Function;
use crate::series::{Column, Fill};

type Key = Vec<Arc<str>>;
type Labels = BTreeSet<Arc<str>>;

/// One group of a node: its values, or the inputs that lack it; and whether it is one of the node's own series.
#[derive(Clone)]
struct Cell {
    value: Result<Operand, Arc<Labels>>,
    own: bool,
}

/// The groups of a node, one for each key of its tags' universe, and the series that it left out.
struct Computed {
    cells: BTreeMap<Key, Cell>,
    left_out: BTreeSet<LeftOut>,
}

/// Runs a program.
pub fn run(program: &Program, outputs: &[NodeId], inputs: &[Input], scope: &Scope<'_>) -> Vec<Evaluated> {
    let universes = universes(program, inputs);
    let mut computed: Vec<Computed> = Vec::with_capacity(program.nodes.len());
    for node in &program.nodes {
        let keys = &universes[&node.tags];
        let next = match &node.op {
            Op::Constant(value) => constant(*value, keys),
            Op::Input { input, fill, label } => read(node, &inputs[*input], *fill, label, keys, scope),
            Op::Unary(_, a) => combine(program, node, &[*a], &computed, keys, scope),
            Op::Binary(_, a, b) => combine(program, node, &[*a, *b], &computed, keys, scope),
            Op::Point(_, operands) => combine(program, node, operands, &computed, keys, scope),
        };
        computed.push(next);
    }
    outputs.iter().map(|output| evaluated(&computed[output.0 as usize], scope)).collect()
}

/// For each set of tags the keys that inputs of it, or of more tags, have.
fn universes(program: &Program, inputs: &[Input]) -> BTreeMap<Arc<[String]>, BTreeSet<Key>> {
    let mut universes: BTreeMap<Arc<[String]>, BTreeSet<Key>> = BTreeMap::new();
    for node in &program.nodes {
        universes.entry(Arc::clone(&node.tags)).or_default();
    }
    let readers = program.nodes.iter().filter_map(|node| match &node.op {
        Op::Input { input, .. } => Some((&node.tags, *input)),
        _ => None,
    });
    let readers: BTreeSet<(&Arc<[String]>, usize)> = readers.collect();
    for (tags, keys) in &mut universes {
        if tags.is_empty() {
            keys.insert(Vec::new());
            continue;
        }
        for (from, input) in &readers {
            if let Some(projection) = projection(from, tags) {
                keys.extend(inputs[*input].groups.iter().map(|(key, _)| project(key, &projection)));
            }
        }
    }
    universes
}

/// Where the values of `to`'s tags stand in a key of `from`'s; `None` where `from` lacks one.
fn projection(from: &[String], to: &[String]) -> Option<Vec<usize>> {
    to.iter().map(|tag| from.iter().position(|other| other == tag)).collect()
}

fn project(key: &Key, projection: &[usize]) -> Key {
    projection.iter().map(|index| Arc::clone(&key[*index])).collect()
}

fn constant(value: Option<f64>, keys: &BTreeSet<Key>) -> Computed {
    let cell = Cell { value: Ok(Operand::Constant(value.unwrap_or(f64::NAN))), own: true };
    Computed { cells: keys.iter().map(|key| (key.clone(), cell.clone())).collect(), left_out: BTreeSet::new() }
}

fn read(node: &Node, input: &Input, fill: Fill, label: &Arc<str>, keys: &BTreeSet<Key>, scope: &Scope<'_>) -> Computed {
    let past = scope.axis.starts().partition_point(|start| *start <= scope.now);
    let empty = || filled(vec![f64::NAN; scope.axis.len()], fill, past);
    let lacking = Arc::new(Labels::from([Arc::clone(label)]));
    let groups: BTreeMap<&Key, &Vec<f64>> = input.groups.iter().map(|(key, values)| (key, values)).collect();
    let cells = keys.iter().map(|key| {
        let own = groups.get(key).map(|values| filled((*values).clone(), fill, past));
        let cell = match own {
            Some(column) => Cell { value: Ok(column), own: true },
            None if node.tags.is_empty() => Cell { value: Ok(empty()), own: true },
            None if fill == Fill::Zero => Cell { value: Ok(empty()), own: false },
            None => Cell { value: Err(Arc::clone(&lacking)), own: false },
        };
        (key.clone(), cell)
    });
    Computed { cells: cells.collect(), left_out: BTreeSet::new() }
}

/// Fills the first `past` buckets; an aggregate that overflowed is null and undefined.
fn filled(mut values: Vec<f64>, fill: Fill, past: usize) -> Operand {
    let undefined = values.iter().any(|value| value.is_infinite());
    let undefined = undefined.then(|| values.iter().map(|value| value.is_infinite()).collect::<Vec<bool>>());
    let overflowed = |index: usize| undefined.as_ref().is_some_and(|marks| marks[index]);
    let mut previous = f64::NAN;
    for (index, value) in values.iter_mut().enumerate() {
        if overflowed(index) {
            *value = f64::NAN;
        } else if value.is_nan() && index < past {
            match fill {
                Fill::None => {}
                Fill::Zero => *value = 0.0,
                Fill::Previous => *value = previous,
            }
        } else if !value.is_nan() {
            previous = *value;
        }
    }
    Operand::Column(Arc::new(Column { values, undefined }))
}

/// A point operator: each group from its operands' groups, those of fewer tags repeated.
fn combine(
    program: &Program,
    node: &Node,
    operands: &[NodeId],
    computed: &[Computed],
    keys: &BTreeSet<Key>,
    scope: &Scope<'_>,
) -> Computed {
    let sides: Vec<(&Computed, Vec<usize>, bool)> = operands
        .iter()
        .map(|operand| {
            let tags = &program.nodes[operand.0 as usize].tags;
            let projection = projection(&node.tags, tags).unwrap_or_default();
            (&computed[operand.0 as usize], projection, tags == &node.tags)
        })
        .collect();
    let mut left_out: BTreeSet<LeftOut> = sides.iter().flat_map(|(side, ..)| side.left_out.iter().cloned()).collect();
    let mut cells = BTreeMap::new();
    for key in keys {
        let found: Vec<(Option<&Cell>, bool)> =
            sides.iter().map(|(side, projection, equal)| (side.cells.get(&project(key, projection)), *equal)).collect();
        let candidate = found.iter().any(|(cell, equal)| *equal && cell.is_some_and(|cell| cell.own));
        let value = apply(&node.op, &found, scope.axis.len());
        if let (true, Err(lacking)) = (candidate, &value) {
            let tags = node.tags.iter().cloned().zip(key.iter().cloned()).collect();
            left_out.insert(LeftOut { tags, lacking: lacking.iter().cloned().collect() });
        }
        let own = candidate && value.is_ok();
        cells.insert(key.clone(), Cell { value, own });
    }
    Computed { cells, left_out }
}

fn apply(op: &Op, found: &[(Option<&Cell>, bool)], len: usize) -> Result<Operand, Arc<Labels>> {
    let forgiving = matches!(op, Op::Point(Function::Coalesce, _));
    let mut operands = Vec::with_capacity(found.len());
    let mut lacking = Labels::new();
    for (cell, _) in found {
        match cell.map(|cell| &cell.value) {
            Some(Ok(operand)) => operands.push(operand.clone()),
            _ if forgiving => operands.push(Operand::Constant(f64::NAN)),
            Some(Err(labels)) => lacking.extend(labels.iter().cloned()),
            None => drop(lacking.insert("an operand".into())),
        }
    }
    if operands.len() < found.len() {
        return Err(Arc::new(lacking));
    }
    Ok(match (op, operands.as_slice()) {
        (Op::Unary(op, _), [a]) => kernel::unary(*op, a, len),
        (Op::Binary(op, ..), [a, b]) => kernel::binary(*op, a, b, len),
        (Op::Point(function, _), operands) => kernel::point(*function, operands, len),
        _ => Operand::Constant(f64::NAN),
    })
}

fn evaluated(computed: &Computed, scope: &Scope<'_>) -> Evaluated {
    let own = computed.cells.iter().filter(|(_, cell)| cell.own);
    let series = own.filter_map(|(key, cell)| {
        let operand = cell.value.as_ref().ok()?.clone();
        Some((key.clone(), operand.into_column(scope.axis.len())))
    });
    Evaluated { series: series.collect(), left_out: computed.left_out.iter().cloned().collect() }
}
