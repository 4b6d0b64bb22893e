//! Trees of point operators, evaluated together: a part of the columns at a time goes through the whole tree, so that what
//! lies between its operators stays in the processor's first cache and nothing is allocated for it.
//!
//! Values are computed first, for all. Which nulls are undefined is found out afterwards, for the nulls alone.

use std::sync::Arc;

use super::kernel::{self, Map, Zip};
use super::operand::Operand;
use super::{NodeId, Op, Program};
use crate::formula::{BinaryOp, Function};
use crate::series::Column;

/// The values that go through a tree at a time.
const PART: usize = 512;

/// The most operators of a tree, which bounds its buffers.
pub const MAX_OPERATORS: usize = 64;

/// A step of a tree.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    /// Puts a leaf on the stack.
    Leaf(usize),
    /// Replaces the operand on top.
    Map(Map),
    /// Replaces the two on top.
    Zip(Zip),
    /// Replaces condition, then and else.
    Choose,
}

/// Operators over leaves.
#[derive(Debug, Default, PartialEq)]
pub struct Tree {
    /// In postfix order.
    steps: Vec<Step>,
    /// The nodes that are read, in the order of their first use.
    leaves: Vec<NodeId>,
}

impl Tree {
    /// The tree of a point operator. Operands that are `inner` become parts of it, the others are its leaves.
    pub fn new(program: &Program, root: NodeId, inner: impl Fn(NodeId) -> bool) -> Tree {
        enum Work {
            Enter(NodeId),
            Step(Step),
        }
        let mut tree = Tree::default();
        let mut pending = vec![Work::Enter(root)];
        while let Some(work) = pending.pop() {
            match work {
                Work::Step(step) => tree.steps.push(step),
                Work::Enter(node) if node != root && !inner(node) => {
                    let leaf = tree.leaves.iter().position(|leaf| *leaf == node).unwrap_or_else(|| {
                        tree.leaves.push(node);
                        tree.leaves.len() - 1
                    });
                    tree.steps.push(Step::Leaf(leaf));
                }
                Work::Enter(node) => {
                    let op = &program.nodes[node.0 as usize].op;
                    // Operands and the steps after them, in reverse: the last is done first.
                    for (place, operand) in op.operands().iter().enumerate().rev() {
                        pending.extend(step_after(op, place).map(Work::Step));
                        pending.push(Work::Enter(*operand));
                    }
                }
            }
        }
        tree
    }

    /// One leaf over another.
    pub fn quotient() -> Tree {
        let steps = vec![Step::Leaf(0), Step::Leaf(1), Step::Zip(Zip::Binary(BinaryOp::Div))];
        Tree { steps, leaves: Vec::new() }
    }

    /// The nodes that are read.
    pub fn leaves(&self) -> &[NodeId] {
        &self.leaves
    }

    /// The tree over its leaves, whose columns have `len` values.
    pub fn evaluate(&self, leaves: &[Operand], len: usize, scratch: &mut Scratch) -> Operand {
        if let [Step::Leaf(leaf)] = self.steps[..] {
            return leaves[leaf].clone();
        }
        scratch.spread_constants(leaves);
        let constant = leaves.iter().all(|leaf| matches!(leaf, Operand::Constant { .. }));
        let len = if constant { 1 } else { len };
        let mut column = Column { values: vec![0.0; len], undefined: None };
        for start in (0..len).step_by(PART) {
            let end = (start + PART).min(len);
            self.values(leaves, start, &mut column.values[start..end], scratch);
            self.marks(leaves, start..end, &mut column, scratch);
        }
        match constant {
            true => Operand::Constant { value: column.values[0], undefined: column.is_undefined(0) },
            false => Operand::Column(Arc::new(column)),
        }
    }

    fn values(&self, leaves: &[Operand], start: usize, out: &mut [f64], scratch: &mut Scratch) {
        let Scratch { free, stack, constants, .. } = scratch;
        let leaf = |leaf: usize| match &leaves[leaf] {
            Operand::Constant { .. } => Lane { values: &constants[leaf].values[..out.len()], marks: &[] },
            Operand::Column(column) => Lane { values: &column.values[start..start + out.len()], marks: &[] },
        };
        let result = self.run(leaf, out.len(), false, (free, stack));
        out.copy_from_slice(&result.values[..out.len()]);
        free.push(result);
    }

    /// Marks the nulls of a part that are undefined: made from values, or from undefined nulls.
    fn marks(&self, leaves: &[Operand], part: std::ops::Range<usize>, column: &mut Column, scratch: &mut Scratch) {
        let Scratch { free, stack, nulls, .. } = scratch;
        nulls.clear();
        if column.values[part.clone()].iter().all(|value| !value.is_nan()) {
            return;
        }
        nulls.extend(part.filter(|index| column.values[*index].is_nan()));
        let gathered: Vec<Box<Buffer>> = leaves.iter().map(|leaf| gather(leaf, nulls, take(free))).collect();
        let result = self.run(|leaf| gathered[leaf].lane(nulls.len()), nulls.len(), true, (free, stack));
        let found = &result.marks[..nulls.len()];
        if found.contains(&true) {
            let len = column.values.len();
            let marks = column.undefined.get_or_insert_with(|| vec![false; len]);
            nulls.iter().zip(found).for_each(|(index, mark)| marks[*index] = *mark);
        }
        free.push(result);
        free.extend(gathered);
    }

    /// Goes through the steps with `len` values; with `marking` also with their marks.
    fn run<'a>(
        &self,
        leaf: impl Fn(usize) -> Lane<'a>,
        len: usize,
        marking: bool,
        (free, stack): (&mut Vec<Box<Buffer>>, &mut Vec<Slot>),
    ) -> Box<Buffer> {
        for step in &self.steps {
            if let Step::Leaf(leaf) = step {
                stack.push(Slot::Leaf(*leaf));
                continue;
            }
            let taken = stack.len() - step.operands();
            let mut lanes = [Lane { values: &[], marks: &[] }; 3];
            for (lane, slot) in lanes.iter_mut().zip(&stack[taken..]) {
                *lane = match slot {
                    Slot::Leaf(place) => leaf(*place),
                    Slot::Buffer(buffer) => buffer.lane(len),
                };
            }
            let mut out = take(free);
            out.compute(*step, &lanes, len, marking);
            free.extend(stack.drain(taken..).filter_map(|slot| match slot {
                Slot::Buffer(buffer) => Some(buffer),
                Slot::Leaf(_) => None,
            }));
            stack.push(Slot::Buffer(out));
        }
        match stack.pop() {
            Some(Slot::Buffer(buffer)) => buffer,
            // A tree of one leaf is never run.
            _ => take(free),
        }
    }
}

impl Step {
    fn operands(self) -> usize {
        match self {
            Step::Leaf(_) => 0,
            Step::Map(_) => 1,
            Step::Zip(_) => 2,
            Step::Choose => 3,
        }
    }
}

/// What follows the operand of this place: functions of many operands go from two to two.
fn step_after(op: &Op, place: usize) -> Option<Step> {
    let from_second = |zip: Zip| (place > 0).then_some(Step::Zip(zip));
    match op {
        Op::Unary(op, _) => Some(Step::Map(Map::Unary(*op))),
        Op::Binary(op, _) => from_second(Zip::Binary(*op)),
        Op::Point(function, _) => match function {
            Function::Abs => Some(Step::Map(Map::Abs)),
            Function::Floor => Some(Step::Map(Map::Floor)),
            Function::Ceil => Some(Step::Map(Map::Ceil)),
            Function::Round => Some(Step::Map(Map::Round)),
            Function::Sqrt => Some(Step::Map(Map::Sqrt)),
            Function::Exp => Some(Step::Map(Map::Exp)),
            Function::Ln => Some(Step::Map(Map::Ln)),
            Function::Log10 => Some(Step::Map(Map::Log10)),
            Function::Pow => from_second(Zip::Binary(BinaryOp::Pow)),
            Function::Min => from_second(Zip::Min),
            Function::Max => from_second(Zip::Max),
            Function::Coalesce => from_second(Zip::Coalesce),
            // Not `f64::clamp`, which panics where the bounds are crossed.
            Function::Clamp => from_second(if place == 1 { Zip::Max } else { Zip::Min }),
            Function::If => (place == 2).then_some(Step::Choose),
            // Of other classes, which are no parts of trees.
            _ => None,
        },
        _ => None,
    }
}

/// Some values of an operand and, where they are asked for, which of them are undefined (none where it is empty).
#[derive(Clone, Copy)]
struct Lane<'a> {
    values: &'a [f64],
    marks: &'a [bool],
}

/// An operand on the stack.
#[derive(Debug)]
enum Slot {
    Leaf(usize),
    Buffer(Box<Buffer>),
}

#[derive(Debug)]
struct Buffer {
    values: [f64; PART],
    marks: [bool; PART],
}

/// Buffers that evaluations of trees use one after the other.
#[derive(Debug, Default)]
pub struct Scratch {
    free: Vec<Box<Buffer>>,
    /// Empty between evaluations.
    stack: Vec<Slot>,
    /// One for each leaf that is a constant.
    constants: Vec<Box<Buffer>>,
    nulls: Vec<usize>,
}

impl Scratch {
    fn spread_constants(&mut self, leaves: &[Operand]) {
        while self.constants.len() < leaves.len() {
            self.constants.push(take(&mut self.free));
        }
        for (leaf, buffer) in leaves.iter().zip(&mut self.constants) {
            if let Operand::Constant { value, .. } = leaf {
                buffer.values.fill(*value);
            }
        }
    }
}

fn take(free: &mut Vec<Box<Buffer>>) -> Box<Buffer> {
    free.pop().unwrap_or_else(|| Box::new(Buffer { values: [0.0; PART], marks: [false; PART] }))
}

/// The values and marks of an operand at some places.
fn gather(operand: &Operand, places: &[usize], mut buffer: Box<Buffer>) -> Box<Buffer> {
    match operand {
        Operand::Constant { value, undefined } => {
            buffer.values[..places.len()].fill(*value);
            buffer.marks[..places.len()].fill(*undefined);
        }
        Operand::Column(column) => {
            for (index, place) in places.iter().enumerate() {
                buffer.values[index] = column.values[*place];
                buffer.marks[index] = column.is_undefined(*place);
            }
        }
    }
    buffer
}

impl Buffer {
    fn lane(&self, len: usize) -> Lane<'_> {
        Lane { values: &self.values[..len], marks: &self.marks[..len] }
    }

    fn compute(&mut self, step: Step, [a, b, c]: &[Lane<'_>; 3], len: usize, marking: bool) {
        let out = &mut self.values[..len];
        match step {
            Step::Leaf(_) => {}
            Step::Map(map) => kernel::map(map, a.values, out),
            Step::Zip(zip) => kernel::zip(zip, a.values, b.values, out),
            Step::Choose => kernel::choose(a.values, b.values, c.values, out),
        }
        if marking {
            for (index, (mark, value)) in self.marks.iter_mut().zip(&self.values[..len]).enumerate() {
                *mark = value.is_nan() && is_undefined(step, [a, b, c], index);
            }
        }
    }
}

/// Whether a null that a step gave is undefined.
fn is_undefined(step: Step, [a, b, c]: [&Lane<'_>; 3], index: usize) -> bool {
    let null = |lane: &Lane<'_>| lane.values[index].is_nan();
    match step {
        Step::Leaf(_) => false,
        Step::Map(_) => !null(a) || a.marks[index],
        Step::Zip(Zip::Coalesce) => a.marks[index] || b.marks[index],
        Step::Zip(_) => (!null(a) && !null(b)) || a.marks[index] || b.marks[index],
        Step::Choose if null(a) => a.marks[index],
        Step::Choose if a.values[index] != 0.0 => b.marks[index],
        Step::Choose => c.marks[index],
    }
}
