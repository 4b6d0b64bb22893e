//! Columnar programs over frames: no I/O, no clock.
//!
//! A [`Program`] is a directed acyclic graph of nodes in order of evaluation, built by `plan`; [`evaluate`] runs it over the
//! columns that the backend answered. A node that several others use is computed once, a constant stays one element, and point
//! operators go through columns together.
//!
//! - `groups` numbers the groups, `standing` says which of them are series of a node, `layout` how nodes are computed;
//! - `run` computes what the outputs ask for;
//! - `tree` has point operators, evaluated together, over the loops of `kernel`; `window` the functions over time, `across`
//!   those over series.

mod across;
mod groups;
mod kernel;
mod layout;
mod operand;
mod run;
mod standing;
pub mod statistics;
mod tree;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::backend::WholeRange;
use crate::formula::{BinaryOp, Function, UnaryOp};
use crate::series::{Column, Fill, TimeAxis};

/// The index of a node in its [`Program`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// The index of a [`Frame`] in its [`Program`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameId(pub u32);

/// The buckets of a node's columns: the answer's own, moved by offsets and widened for windows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The buckets.
    pub axis: TimeAxis,
    /// How many of them are only there for windows: the answer's own, or what an offset makes of them, follow.
    pub lead: usize,
    /// The range without the lead.
    pub whole: WholeRange,
}

/// Expressions of one request, lowered. Operands come before the nodes that use them; equal nodes are one node.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The frames; the first is the answer's own.
    pub frames: Vec<Frame>,
}

/// A node and the names of the tags that its series have.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// The names of its series' tags, sorted. Operands' tags are equal to it or subsets of it (point operators).
    pub tags: Arc<[String]>,
    /// The buckets of its columns.
    pub frame: FrameId,
}

/// What a [`Node`] computes.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// The same value everywhere; `None` is null.
    Constant(Option<f64>),
    /// The columns of an input, filled.
    Input {
        /// The index among the inputs.
        input: usize,
        /// What an empty bucket is worth.
        fill: Fill,
        /// The name of the metric, for warnings.
        label: Arc<str>,
    },
    /// A prefix operator.
    Unary(UnaryOp, NodeId),
    /// An infix operator.
    Binary(BinaryOp, [NodeId; 2]),
    /// A function of class `Point`.
    Point(Function, Vec<NodeId>),
    /// `moving_*` over so many buckets; the operand's frame has one fewer in front.
    Moving(Function, NodeId, usize),
    /// `cumulative`.
    Cumulative(NodeId),
    /// `delta`; the operand's frame has one bucket in front.
    Delta(NodeId),
    /// `rate`.
    Rate(NodeId),
    /// `offset`: for each bucket the row of the operand's frame.
    Offset(NodeId, Arc<[Option<u32>]>),
    /// `sum_by` and its kin: the node's tags are some of the operand's.
    Fold(Function, NodeId),
    /// `topk`.
    Top(NodeId, usize),
    /// `share`.
    Share(NodeId),
    /// `baseline`: the operand's series with this value of the tag, which the node's tags lack.
    Baseline(NodeId, String, Arc<str>),
}

impl Op {
    /// The nodes that it reads.
    pub fn operands(&self) -> &[NodeId] {
        match self {
            Op::Constant(_) | Op::Input { .. } => &[],
            Op::Unary(_, a)
            | Op::Moving(_, a, _)
            | Op::Cumulative(a)
            | Op::Delta(a)
            | Op::Rate(a)
            | Op::Offset(a, _)
            | Op::Fold(_, a)
            | Op::Top(a, _)
            | Op::Share(a)
            | Op::Baseline(a, ..) => std::slice::from_ref(a),
            Op::Binary(_, operands) => operands,
            Op::Point(_, operands) => operands,
        }
    }
}

/// The columns of one selection as a program reads them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Input {
    /// Ascending by key. Columns have one value for each bucket of the axis; null where there is no point.
    groups: Vec<(Vec<Arc<str>>, Arc<Column>)>,
}

impl Input {
    /// Groups ascending by key, with NaN where there is no point, infinite where an aggregate overflowed.
    pub fn new(groups: impl IntoIterator<Item = (Vec<Arc<str>>, Vec<f64>)>) -> Input {
        let column = |values: Vec<f64>| Arc::new(Column::settled(values, None));
        Input { groups: groups.into_iter().map(|(key, values)| (key, column(values))).collect() }
    }
}

/// What is evaluated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Extent<'a> {
    /// Every bucket of every frame.
    Buckets,
    /// The range of every frame as one bucket, with what was chosen over the buckets. Functions that have no meaning there are
    /// null.
    Whole(&'a Chosen),
}

/// The series that `topk` chose, by node: the summary keeps to the same.
pub type Chosen = BTreeMap<NodeId, BTreeSet<Vec<Arc<str>>>>;

/// What an evaluation comes to.
#[derive(Debug)]
pub struct Evaluation {
    /// One for each output.
    pub outputs: Vec<Evaluated>,
    /// What `topk` chose.
    pub chosen: Chosen,
}

/// The series of one node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluated {
    /// Ascending by key; the key's values are in the order of the node's tags.
    pub series: Vec<(Vec<Arc<str>>, Column)>,
    /// The series that were left out because an operand lacks their group.
    pub left_out: Vec<LeftOut>,
}

/// A series that a join left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeftOut {
    /// Tag names and values of the group.
    pub tags: Vec<(String, Arc<str>)>,
    /// The labels of the inputs that lack it, sorted.
    pub lacking: Vec<Arc<str>>,
}

/// Evaluates the `outputs` of a program over its inputs.
///
/// Every column of an input has as many values as the axis of the frame that reads it has buckets, or one for the whole. The
/// result has one entry for each output, in order. Buckets that begin after `now` are never filled.
pub fn evaluate(program: &Program, outputs: &[NodeId], inputs: &[Input], extent: Extent<'_>, now: i64) -> Evaluation {
    run::run(program, outputs, inputs, extent, now)
}
