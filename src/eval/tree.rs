//! Trees of point operators, evaluated together: a part of the columns at a time goes through the whole tree, so that what
//! lies between its operators stays in the processor's first cache and nothing is allocated for it.
//!
//! Where every operator gives null for a null, those that an operator makes of values are undefined, and so is all that follows
//! from them. With `if` and `coalesce` which nulls are undefined is found out after the values, for the nulls alone.

use std::ops::Range;
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
    pub fn evaluate(&self, leaves: &[&Operand], len: usize, scratch: &mut Scratch) -> Operand {
        if let [Step::Leaf(leaf)] = self.steps[..] {
            return leaves[leaf].clone();
        }
        let strict = !self.steps.iter().any(|step| matches!(step, Step::Choose | Step::Zip(Zip::Coalesce)));
        scratch.spread_constants(leaves);
        let constant = leaves.iter().all(|leaf| matches!(leaf, Operand::Constant { .. }));
        let len = if constant { 1 } else { len };
        let mut values = Vec::with_capacity(len);
        let mut marks = Marks { len, undefined: None };
        for start in (0..len).step_by(PART) {
            let part = start..(start + PART).min(len);
            self.values(leaves, part.clone(), &mut values, scratch);
            match strict {
                true => marks.follow(leaves, part, &scratch.made),
                false => self.marks(leaves, part, &values, &mut marks, scratch),
            }
        }
        let column = Column { values, undefined: marks.undefined };
        match constant {
            true => Operand::Constant { value: column.values[0], undefined: column.is_undefined(0) },
            false => Operand::Column(Arc::new(column)),
        }
    }

    /// Adds the values of a part, and finds the places of nulls that an operator made of values.
    fn values(&self, leaves: &[&Operand], part: Range<usize>, values: &mut Vec<f64>, scratch: &mut Scratch) {
        let Scratch { free, stack, constants, made, .. } = scratch;
        let leaf = |leaf: usize| match leaves[leaf] {
            Operand::Constant { .. } => Lane { values: &constants[leaf].values[..part.len()], marks: &[] },
            Operand::Column(column) => Lane { values: &column.values[part.clone()], marks: &[] },
        };
        let result = self.run(leaf, part.len(), false, (free, stack, made));
        values.extend_from_slice(&result.values[..part.len()]);
        free.push(result);
    }

    /// Marks the nulls of a part that are undefined: made from values, or from undefined nulls.
    fn marks(&self, leaves: &[&Operand], part: Range<usize>, values: &[f64], marks: &mut Marks, scratch: &mut Scratch) {
        let Scratch { free, stack, made, nulls, .. } = scratch;
        nulls.clear();
        nulls.extend(part.filter(|index| values[*index].is_nan()));
        if nulls.is_empty() {
            return;
        }
        let gathered: Vec<Box<Buffer>> = leaves.iter().map(|leaf| gather(leaf, nulls, take(free))).collect();
        let result = self.run(|leaf| gathered[leaf].lane(nulls.len()), nulls.len(), true, (free, stack, made));
        nulls.iter().zip(&result.marks).filter(|(_, mark)| **mark).for_each(|(index, _)| marks.mark(*index));
        free.push(result);
        free.extend(gathered);
    }

    /// Goes through the steps with `len` values. With `marking` also which nulls are undefined.
    fn run<'a>(
        &self,
        leaf: impl Fn(usize) -> Lane<'a>,
        len: usize,
        marking: bool,
        (free, stack, made): (&mut Vec<Box<Buffer>>, &mut Vec<Slot>, &mut Vec<usize>),
    ) -> Box<Buffer> {
        made.clear();
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
            out.compute(*step, &lanes, len, made);
            if marking {
                out.mark(*step, &lanes, len);
            }
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

/// Which values of a column are undefined nulls.
struct Marks {
    /// Of the column.
    len: usize,
    undefined: Option<Vec<bool>>,
}

impl Marks {
    fn mark(&mut self, index: usize) {
        self.undefined.get_or_insert_with(|| vec![false; self.len])[index] = true;
    }

    /// Marks the nulls of a part that were made of values, and those that follow from undefined nulls of the leaves.
    fn follow(&mut self, leaves: &[&Operand], part: Range<usize>, made: &[usize]) {
        made.iter().for_each(|place| self.mark(part.start + place));
        for leaf in leaves {
            match leaf {
                Operand::Constant { undefined: true, .. } => part.clone().for_each(|index| self.mark(index)),
                Operand::Column(leaf) if leaf.undefined.is_some() => {
                    part.clone().filter(|index| leaf.is_undefined(*index)).for_each(|index| self.mark(index));
                }
                _ => {}
            }
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
    /// The places in a part of nulls that an operator made of values.
    made: Vec<usize>,
    /// The places in the column of a part's nulls.
    nulls: Vec<usize>,
}

impl Scratch {
    fn spread_constants(&mut self, leaves: &[&Operand]) {
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

    fn compute(&mut self, step: Step, [a, b, c]: &[Lane<'_>; 3], len: usize, made: &mut Vec<usize>) {
        let out = &mut self.values[..len];
        match step {
            Step::Leaf(_) => {}
            Step::Map(map) => kernel::map(map, a.values, out, made),
            Step::Zip(zip) => kernel::zip(zip, a.values, b.values, out, made),
            Step::Choose => kernel::choose(a.values, b.values, c.values, out),
        }
    }

    fn mark(&mut self, step: Step, [a, b, c]: &[Lane<'_>; 3], len: usize) {
        for (index, (mark, value)) in self.marks.iter_mut().zip(&self.values[..len]).enumerate() {
            *mark = value.is_nan() && is_undefined(step, [a, b, c], index);
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
