//! A program over its inputs: what is asked for, from the outputs back, then values forward from the inputs. Nothing
//! recurses, no column is computed that nothing reads, and each is let go after its last use.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::groups::{Groups, Key};
use super::layout::Layout;
use super::operand::Operand;
use super::standing::Found;
use super::tree::{Scratch, Tree};
use super::{Chosen, Evaluated, Evaluation, Extent, Frame, Input, NodeId, Op, Program, across, window};
use crate::formula::Function;
use crate::series::column::{any_null, wide};
use crate::series::{Column, Fill, TimeAxis};

/// Runs a program.
pub fn run(program: &Program, outputs: &[NodeId], inputs: &[Input], extent: Extent<'_>, now: i64) -> Evaluation {
    let (frames, earlier) = match extent {
        Extent::Buckets => (program.frames.clone(), None),
        Extent::Whole(chosen) => (program.frames.iter().map(single).collect(), Some(chosen)),
    };
    let (groups, layout) = (Groups::new(program, inputs), Layout::new(program, outputs));
    let mut run = Run {
        program,
        inputs,
        frames,
        whole: earlier.is_some(),
        now,
        groups: &groups,
        layout: &layout,
        found: Found { program, groups: &groups, of: Vec::with_capacity(program.nodes.len()) },
        cells: vec![Vec::new(); program.nodes.len()],
        scratch: Scratch::default(),
    };
    let mut chosen = Chosen::new();
    for (index, node) in program.nodes.iter().enumerate() {
        let mut kept = HashSet::new();
        if let (Op::Top(operand, count), true) = (&node.op, layout.is_needed(index)) {
            let id = NodeId(index as u32);
            let keys =
                earlier.and_then(|earlier| earlier.get(&id).cloned()).unwrap_or_else(|| run.top(*operand, *count));
            kept = keys.iter().filter_map(|key| groups.of(index).number(key)).collect();
            chosen.insert(id, keys);
        }
        run.found.add(node, inputs, &kept);
    }
    run.compute(outputs);
    let last = |place: usize| !outputs[place + 1..].contains(&outputs[place]);
    let outputs = (0..outputs.len()).map(|place| run.evaluated(outputs[place], last(place))).collect();
    Evaluation { outputs, chosen }
}

/// The range of a frame as one bucket.
fn single(frame: &Frame) -> Frame {
    Frame { axis: TimeAxis::single(frame.whole.from, frame.whole.to), lead: 0, whole: frame.whole }
}

/// One evaluation.
struct Run<'a> {
    program: &'a Program,
    inputs: &'a [Input],
    /// One for each frame of the program.
    frames: Vec<Frame>,
    /// Whether the range is evaluated as one bucket.
    whole: bool,
    now: i64,
    groups: &'a Groups<'a>,
    layout: &'a Layout,
    found: Found<'a>,
    /// By node and group, where computed and still needed; a node without any has none.
    cells: Vec<Vec<Option<Operand>>>,
    scratch: Scratch,
}

/// Which groups of each node are to be computed; empty where none.
type Wanted = Vec<Vec<bool>>;

impl Run<'_> {
    fn frame(&self, node: usize) -> &Frame {
        &self.frames[self.program.nodes[node].frame.0 as usize]
    }

    fn len(&self, node: usize) -> usize {
        self.frame(node).axis.len()
    }

    /// How many buckets of a node's frame have begun.
    fn past(&self, node: usize) -> usize {
        self.frame(node).axis.starts().partition_point(|start| *start <= self.now)
    }

    fn cell(&self, node: NodeId, group: u32) -> &Operand {
        // What a node reads was computed before it.
        self.cells[node.0 as usize].get(group as usize).and_then(Option::as_ref).unwrap_or(&Operand::NULL)
    }

    /// Computes the series of some nodes, and what they need.
    fn compute(&mut self, nodes: &[NodeId]) {
        let Some(last) = nodes.iter().max() else { return };
        let mut wanted: Wanted = vec![Vec::new(); self.program.nodes.len()];
        for node in nodes {
            self.found.own(*node).for_each(|group| self.want(*node, group, &mut wanted));
        }
        for index in (0..=last.0 as usize).rev() {
            for group in chosen(&wanted[index]) {
                self.reads(index, group, &mut |node, group| self.want(node, group, &mut wanted));
            }
        }
        for (index, wanted) in wanted.iter().enumerate().filter(|(_, wanted)| !wanted.is_empty()) {
            let cells = self.values(index, &chosen(wanted));
            let own = &mut self.cells[index];
            own.resize(wanted.len(), None);
            cells.into_iter().for_each(|(group, cell)| own[group as usize] = Some(cell));
            for node in self.layout.last(index) {
                self.cells[node.0 as usize] = Vec::new();
            }
        }
    }

    /// Marks a cell that has a value and was not computed yet.
    fn want(&self, node: NodeId, group: u32, wanted: &mut Wanted) {
        let (index, place) = (node.0 as usize, group as usize);
        if self.found.get(node, group).is_worth() && self.cells[index].get(place).is_none_or(Option::is_none) {
            let marks = &mut wanted[index];
            marks.resize(self.found.of[index].groups.len(), false);
            marks[place] = true;
        }
    }

    /// The cells that a cell is made of.
    fn reads(&self, index: usize, group: u32, read: &mut dyn FnMut(NodeId, u32)) {
        let op = &self.program.nodes[index].op;
        match op {
            Op::Constant(_) | Op::Input { .. } => {}
            Op::Unary(..) | Op::Binary(..) | Op::Point(..) => {
                for leaf in self.layout.sources(self.program, index) {
                    self.joined(index, *leaf, group).into_iter().for_each(|other| read(*leaf, other));
                }
            }
            Op::Fold(function, a) => {
                self.members(*function, index, *a, group).into_iter().for_each(|member| read(*a, member));
            }
            Op::Share(a) => {
                read(*a, group);
                self.found.own(*a).for_each(|member| read(*a, member));
            }
            Op::Baseline(a, _, value) => {
                self.found.baseline_source(index, *a, value, group).into_iter().for_each(|source| read(*a, source));
            }
            _ => op.operands().iter().for_each(|operand| read(*operand, group)),
        }
    }

    /// The group of a leaf that a group of a tree is joined with. For a series of `coalesce`, a leaf without such a group is
    /// null, not what it gives for zeros.
    fn joined(&self, index: usize, leaf: NodeId, group: u32) -> Option<u32> {
        let other = self.groups.way(index, leaf.0 as usize)[group as usize];
        let chooses = matches!(self.program.nodes[index].op, Op::Point(Function::Coalesce, _));
        let null =
            chooses && self.found.get(NodeId(index as u32), group).is_own() && !self.found.get(leaf, other).is_own();
        (!null).then_some(other)
    }

    /// The groups of its operand that are folded into a group; where none of them is a series, what stands for them.
    fn members(&self, function: Function, index: usize, operand: NodeId, group: u32) -> Vec<u32> {
        let members = self.groups.members(operand.0 as usize, index, group);
        let own: Vec<u32> =
            members.iter().copied().filter(|member| self.found.get(operand, *member).is_own()).collect();
        match own.is_empty() && function != Function::CountBy {
            true => self.groups.stand_in(operand.0 as usize, index, group).into_iter().collect(),
            false => own,
        }
    }

    /// The values of some groups of a node.
    fn values(&mut self, index: usize, groups: &[u32]) -> Vec<(u32, Operand)> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let len = self.len(index);
        let values = match (&self.program.nodes[index].op, self.layout.tree(index)) {
            (_, Some(tree)) => {
                let leaf = |leaf: NodeId, group: u32| match self.joined(index, leaf, group) {
                    Some(other) => self.cell(leaf, other),
                    None => &Operand::NULL,
                };
                let leaves =
                    |group: u32| -> Vec<&Operand> { tree.leaves().iter().map(|of| leaf(*of, group)).collect() };
                groups.iter().map(|group| (*group, tree.evaluate(&leaves(*group), len, &mut scratch))).collect()
            }
            (Op::Share(a), _) => {
                let all: Vec<&Operand> = self.found.own(*a).map(|group| self.cell(*a, group)).collect();
                let sum = across::fold(Function::SumBy, &all, len, self.past(index));
                let quotient = Tree::quotient();
                let part =
                    |group: u32, scratch: &mut Scratch| quotient.evaluate(&[self.cell(*a, group), &sum], len, scratch);
                groups.iter().map(|group| (*group, part(*group, &mut scratch))).collect()
            }
            (Op::Offset(a, rows), _) if window::is_whole(rows, self.len(a.0 as usize)) => {
                groups.iter().map(|group| (*group, self.cell(*a, *group).clone())).collect()
            }
            _ => groups.iter().map(|group| (*group, self.value(index, *group))).collect(),
        };
        self.scratch = scratch;
        values
    }

    /// The value of one group of a node that is computed group by group.
    fn value(&self, index: usize, group: u32) -> Operand {
        let (frame, len, past) = (self.frame(index), self.len(index), self.past(index));
        match &self.program.nodes[index].op {
            Op::Constant(value) => Operand::Constant { value: value.unwrap_or(f64::NAN), undefined: false },
            Op::Input { input, fill, .. } => {
                let groups = &self.inputs[*input].groups;
                let key = &self.groups.of(index).keys[group as usize];
                // Where all of its groups are asked for, a group's number is its place.
                let place =
                    Some(group as usize).filter(|place| groups.get(*place).is_some_and(|(other, _)| other == key));
                let place = place.or_else(|| groups.binary_search_by(|(other, _)| other.cmp(key)).ok());
                filled(place.map(|place| &groups[place].1), len, *fill, past)
            }
            Op::Moving(..) | Op::Cumulative(_) | Op::Delta(_) if self.whole => Operand::NULL,
            Op::Moving(function, a, width) => window::moving(*function, self.cell(*a, group), *width, len, past),
            Op::Cumulative(a) => window::cumulative(self.cell(*a, group), frame, past),
            Op::Delta(a) => window::delta(self.cell(*a, group), len),
            Op::Rate(a) => window::rate(self.cell(*a, group), frame),
            Op::Offset(a, rows) if !self.whole => window::offset(self.cell(*a, group), rows),
            Op::Offset(a, _) | Op::Top(a, _) => self.cell(*a, group).clone(),
            Op::Fold(function, a) => {
                let members = self.members(*function, index, *a, group);
                let members: Vec<&Operand> = members.into_iter().map(|member| self.cell(*a, member)).collect();
                across::fold(*function, &members, len, past)
            }
            Op::Baseline(a, _, value) => match self.found.baseline_source(index, *a, value, group) {
                Some(source) => self.cell(*a, source).clone(),
                None => Operand::NULL,
            },
            // They are computed for all groups together.
            Op::Share(_) | Op::Unary(..) | Op::Binary(..) | Op::Point(..) => Operand::NULL,
        }
    }

    /// The keys of the series with the greatest sums over their frame's own buckets.
    fn top(&mut self, operand: NodeId, count: usize) -> BTreeSet<Key> {
        self.compute(&[operand]);
        let index = operand.0 as usize;
        let own: Vec<u32> = self.found.own(operand).collect();
        let series: Vec<&Operand> = own.iter().map(|group| self.cell(operand, *group)).collect();
        let (lead, len) = (self.frame(index).lead, self.len(index));
        let best = across::top(&series, count, lead, len);
        best.into_iter().map(|place| self.groups.of(index).keys[own[place] as usize].clone()).collect()
    }

    /// The series of an output. Its columns are moved where it is asked for the last time.
    fn evaluated(&mut self, output: NodeId, last: bool) -> Evaluated {
        let (index, len) = (output.0 as usize, self.len(output.0 as usize));
        let mut cells = if last { std::mem::take(&mut self.cells[index]) } else { self.cells[index].clone() };
        let column = |group: u32| {
            let cell = cells.get_mut(group as usize).and_then(Option::take).unwrap_or(Operand::NULL);
            (self.groups.of(index).keys[group as usize].clone(), cell.into_column(len))
        };
        Evaluated { series: self.found.own(output).map(column).collect(), left_out: self.found.left_out(output) }
    }
}

/// The groups that are marked.
fn chosen(wanted: &[bool]) -> Vec<u32> {
    wanted.iter().enumerate().filter(|(_, wanted)| **wanted).map(|(group, _)| group as u32).collect()
}

/// The values of a group of an input, of which the first `past` are filled; shared where there is nothing to fill.
fn filled(column: Option<&Arc<Column>>, len: usize, fill: Fill, past: usize) -> Operand {
    let Some(column) = column else {
        let empty = Column { values: vec![f64::NAN; len], undefined: None };
        return filled(Some(&Arc::new(empty)), len, fill, past);
    };
    if fill == Fill::None || !any_null(&column.values) {
        return Operand::Column(Arc::clone(column));
    }
    let mut column = Column::clone(column);
    let Column { values, undefined } = &mut column;
    let past = past.min(values.len());
    if fill == Fill::Zero && undefined.is_none() {
        wide(|| values[..past].iter_mut().for_each(|value| *value = if value.is_nan() { 0.0 } else { *value }));
        return Operand::Column(Arc::new(column));
    }
    let mut previous = f64::NAN;
    for (index, value) in values.iter_mut().enumerate() {
        let overflowed = undefined.as_ref().is_some_and(|marks| marks[index]);
        if !value.is_nan() {
            previous = *value;
        } else if index < past && !overflowed {
            *value = if fill == Fill::Zero { 0.0 } else { previous };
        }
    }
    Operand::Column(Arc::new(column))
}
