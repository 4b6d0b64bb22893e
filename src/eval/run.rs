//! A program from its first node to its last. For every node all groups that any operand or user of it may ask for are
//! computed, so that one pass in order is enough and nothing recurses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::kernel::{self, Operand};
use super::{Chosen, Evaluated, Evaluation, Extent, Frame, Input, LeftOut, Node, NodeId, Op, Program, across, window};
use crate::formula::{BinaryOp, Function};
use crate::series::{Column, Fill, TimeAxis};

type Key = Vec<Arc<str>>;
type Universes = BTreeMap<Arc<[String]>, BTreeSet<Key>>;
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

/// What every node of one evaluation shares.
struct Run<'a> {
    program: &'a Program,
    /// One for each frame of the program.
    frames: Vec<Frame>,
    /// What was chosen over the buckets, where the whole is evaluated.
    chosen: Option<&'a Chosen>,
    now: i64,
}

impl Run<'_> {
    fn frame(&self, node: &Node) -> &Frame {
        &self.frames[node.frame.0 as usize]
    }

    fn len(&self, node: &Node) -> usize {
        self.frame(node).axis.len()
    }

    /// How many buckets of a node's frame have begun.
    fn past(&self, node: &Node) -> usize {
        self.frame(node).axis.starts().partition_point(|start| *start <= self.now)
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.program.nodes[id.0 as usize]
    }
}

/// Runs a program.
pub fn run(program: &Program, outputs: &[NodeId], inputs: &[Input], extent: Extent<'_>, now: i64) -> Evaluation {
    let (frames, earlier) = match extent {
        Extent::Buckets => (program.frames.clone(), None),
        Extent::Whole(chosen) => (program.frames.iter().map(single).collect(), Some(chosen)),
    };
    let run = Run { program, frames, chosen: earlier, now };
    let universes = universes(program, inputs);
    let mut computed: Vec<Computed> = Vec::with_capacity(program.nodes.len());
    let mut chosen = Chosen::new();
    for (index, node) in program.nodes.iter().enumerate() {
        let keys = &universes[&node.tags];
        let of = |id: &NodeId| &computed[id.0 as usize];
        let whole = run.chosen.is_some();
        let next = match &node.op {
            Op::Constant(value) => constant(*value, keys),
            Op::Input { input, fill, label } => read(&run, node, &inputs[*input], *fill, label, keys),
            Op::Unary(..) | Op::Binary(..) | Op::Point(..) => combine(&run, node, &computed, keys),
            Op::Moving(..) | Op::Cumulative(_) | Op::Delta(_) if whole => {
                each(of(&node.op.operands()[0]), |_| Operand::Constant(f64::NAN))
            }
            Op::Moving(function, a, width) => {
                each(of(a), |operand| window::moving(*function, operand, *width, run.len(node)))
            }
            Op::Cumulative(a) => each(of(a), |operand| window::cumulative(operand, run.frame(node), run.past(node))),
            Op::Delta(a) => each(of(a), |operand| window::delta(operand, run.len(node))),
            Op::Rate(a) => each(of(a), |operand| window::rate(operand, run.frame(node))),
            Op::Offset(a, _) if whole => each(of(a), Operand::clone),
            Op::Offset(a, rows) => each(of(a), |operand| window::offset(operand, rows)),
            Op::Fold(function, a) => fold(&run, node, *function, run.node(*a), of(a), keys),
            Op::Share(a) => share(&run, node, of(a)),
            Op::Baseline(a, tag, value) => baseline(node, run.node(*a), of(a), tag, value, keys),
            Op::Top(a, count) => {
                let id = NodeId(index as u32);
                let earlier = run.chosen.and_then(|chosen| chosen.get(&id).cloned());
                let keep = earlier.unwrap_or_else(|| top(&run, node, of(a), *count));
                let next = keep_only(of(a), &keep);
                chosen.insert(id, keep);
                next
            }
        };
        computed.push(next);
    }
    let outputs = outputs.iter().map(|id| evaluated(&computed[id.0 as usize], run.len(run.node(*id)))).collect();
    Evaluation { outputs, chosen }
}

/// The range of a frame as one bucket.
fn single(frame: &Frame) -> Frame {
    Frame { axis: TimeAxis::single(frame.whole.from, frame.whole.to), lead: 0, whole: frame.whole }
}

/// For each set of tags the keys that some node of it may be asked for: those that inputs of it, or of more tags, have, and
/// those that functions across series look at.
fn universes(program: &Program, inputs: &[Input]) -> Universes {
    let mut universes = Universes::new();
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
    // Users come after their operands, so that one pass backwards asks for most; what a pass adds to a set that was passed
    // already is found by the next.
    while program.nodes.iter().rev().any(|node| ask(program, node, &mut universes)) {}
    universes
}

/// Adds the keys of its operand that a function across series looks at. True: there were new ones.
fn ask(program: &Program, node: &Node, universes: &mut Universes) -> bool {
    let (Op::Fold(_, operand) | Op::Baseline(operand, ..)) = &node.op else { return false };
    let tags = &program.nodes[operand.0 as usize].tags;
    let Some(own) = projection(tags, &node.tags) else { return false };
    let known = &universes[tags];
    let covered: BTreeSet<Key> = match &node.op {
        // A group of which the operand has no series is worth what one without the other tags would be.
        Op::Fold(..) => known.iter().map(|key| project(key, &own)).collect(),
        _ => BTreeSet::new(),
    };
    let wanted = universes[&node.tags].iter().filter(|key| !covered.contains(*key)).map(|key| {
        let value = |tag: &String| match (node.tags.iter().position(|other| other == tag), &node.op) {
            (Some(place), _) => Arc::clone(&key[place]),
            (None, Op::Baseline(_, _, value)) => Arc::clone(value),
            (None, _) => Arc::from(""),
        };
        tags.iter().map(value).collect::<Key>()
    });
    let new: Vec<Key> = wanted.filter(|key| !known.contains(key)).collect();
    for (other, keys) in universes.iter_mut() {
        if let Some(projection) = projection(tags, other) {
            keys.extend(new.iter().map(|key| project(key, &projection)));
        }
    }
    !new.is_empty()
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

fn read(run: &Run<'_>, node: &Node, input: &Input, fill: Fill, label: &Arc<str>, keys: &BTreeSet<Key>) -> Computed {
    let past = run.past(node);
    let empty = || filled(vec![f64::NAN; run.len(node)], fill, past);
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
fn combine(run: &Run<'_>, node: &Node, computed: &[Computed], keys: &BTreeSet<Key>) -> Computed {
    let sides: Vec<(&Computed, Vec<usize>, bool)> = node
        .op
        .operands()
        .iter()
        .map(|operand| {
            let tags = &run.node(*operand).tags;
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
        let value = apply(&node.op, &found, run.len(node));
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
        (Op::Binary(op, _), [a, b]) => kernel::binary(*op, a, b, len),
        (Op::Point(function, _), operands) => kernel::point(*function, operands, len),
        _ => Operand::Constant(f64::NAN),
    })
}

/// A function of each series by itself.
fn each(operand: &Computed, f: impl Fn(&Operand) -> Operand) -> Computed {
    let cell = |cell: &Cell| Cell { value: cell.value.as_ref().map(&f).map_err(Arc::clone), own: cell.own };
    Computed {
        cells: operand.cells.iter().map(|(key, value)| (key.clone(), cell(value))).collect(),
        left_out: operand.left_out.clone(),
    }
}

/// `sum_by` and its kin. A group without a series of its own is worth what the operand gives there.
fn fold(
    run: &Run<'_>,
    node: &Node,
    function: Function,
    from: &Node,
    operand: &Computed,
    keys: &BTreeSet<Key>,
) -> Computed {
    let projection = projection(&from.tags, &node.tags).unwrap_or_default();
    let mut members: BTreeMap<Key, Vec<&Cell>> = keys.iter().map(|key| (key.clone(), Vec::new())).collect();
    for (key, cell) in &operand.cells {
        members.entry(project(key, &projection)).or_default().push(cell);
    }
    let (len, past) = (run.len(node), run.past(node));
    let cells = members.into_iter().map(|(key, members)| {
        let own: Vec<&Operand> =
            members.iter().filter(|cell| cell.own).filter_map(|cell| cell.value.as_ref().ok()).collect();
        let value = match (own.is_empty(), members.first().map(|cell| &cell.value)) {
            (false, _) => Ok(across::fold(function, &own, len, past)),
            (true, Some(Ok(_))) if function == Function::CountBy => Ok(across::fold(function, &[], len, past)),
            (true, Some(Ok(other))) => Ok(across::fold(function, &[other], len, past)),
            (true, Some(Err(lacking))) => Err(Arc::clone(lacking)),
            (true, None) => Err(Arc::new(Labels::from([function.name().into()]))),
        };
        (key, Cell { value, own: !own.is_empty() })
    });
    Computed { cells: cells.collect(), left_out: operand.left_out.clone() }
}

/// Each series as a part of the sum of all.
fn share(run: &Run<'_>, node: &Node, operand: &Computed) -> Computed {
    let own: Vec<&Operand> =
        operand.cells.values().filter(|cell| cell.own).filter_map(|cell| cell.value.as_ref().ok()).collect();
    let (len, past) = (run.len(node), run.past(node));
    let sum = across::fold(Function::SumBy, &own, len, past);
    each(operand, |value| kernel::binary(BinaryOp::Div, value, &sum, len))
}

/// The series with one value of a tag, without that tag.
fn baseline(
    node: &Node,
    from: &Node,
    operand: &Computed,
    tag: &str,
    value: &Arc<str>,
    keys: &BTreeSet<Key>,
) -> Computed {
    let cells = keys.iter().map(|key| {
        let part = |name: &String| match node.tags.iter().position(|other| other == name) {
            Some(place) => Arc::clone(&key[place]),
            None => Arc::clone(value),
        };
        let source: Key = from.tags.iter().map(part).collect();
        let lacking = || Err(Arc::new(Labels::from([format!("the baseline {tag}={value}").into()])));
        let cell = match operand.cells.get(&source) {
            Some(Cell { value: Ok(found), own }) => Cell { value: Ok(found.clone()), own: *own },
            _ => Cell { value: lacking(), own: false },
        };
        (key.clone(), cell)
    });
    Computed { cells: cells.collect(), left_out: operand.left_out.clone() }
}

/// The keys of the series with the greatest sums.
fn top(run: &Run<'_>, node: &Node, operand: &Computed, count: usize) -> BTreeSet<Key> {
    let own: Vec<(&Key, &Operand)> = operand
        .cells
        .iter()
        .filter(|(_, cell)| cell.own)
        .filter_map(|(key, cell)| Some((key, cell.value.as_ref().ok()?)))
        .collect();
    let series: Vec<&Operand> = own.iter().map(|(_, operand)| *operand).collect();
    let frame = run.frame(node);
    across::top(&series, count, frame.lead, frame.axis.len()).into_iter().map(|place| own[place].0.clone()).collect()
}

fn keep_only(operand: &Computed, keep: &BTreeSet<Key>) -> Computed {
    let cut = Arc::new(Labels::from(["the top".into()]));
    let cells = operand.cells.iter().map(|(key, cell)| match keep.contains(key) {
        true => (key.clone(), cell.clone()),
        false => (key.clone(), Cell { value: Err(Arc::clone(&cut)), own: false }),
    });
    Computed { cells: cells.collect(), left_out: operand.left_out.clone() }
}

fn evaluated(computed: &Computed, len: usize) -> Evaluated {
    let own = computed.cells.iter().filter(|(_, cell)| cell.own);
    let series = own.filter_map(|(key, cell)| {
        let operand = cell.value.as_ref().ok()?.clone();
        Some((key.clone(), operand.into_column(len)))
    });
    Evaluated { series: series.collect(), left_out: computed.left_out.iter().cloned().collect() }
}
