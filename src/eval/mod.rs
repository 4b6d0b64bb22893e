//! Columnar programs over frames: no I/O, no clock.
//!
//! A [`Program`] is a directed acyclic graph of nodes in order of evaluation, built by `plan`; [`evaluate`] runs it over the
//! columns that the backend answered. Each operator
//! is one loop over whole columns; a node that several others use is computed once, and a constant stays one element.

mod kernel;
mod run;

use std::sync::Arc;

use crate::formula::{BinaryOp, Function, UnaryOp};
use crate::series::{Column, Fill, TimeAxis};

/// The index of a node in its [`Program`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// Expressions of one request, lowered. Operands come before the nodes that use them; equal nodes are one node.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The nodes.
    pub nodes: Vec<Node>,
}

/// A node and the names of the tags that its series have.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// The names of its series' tags, sorted. Operands' tags are equal to it or subsets of it (point operators).
    pub tags: Arc<[String]>,
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
    Binary(BinaryOp, NodeId, NodeId),
    /// A function of class `Point`.
    Point(Function, Vec<NodeId>),
}

/// The columns of one selection as a program reads them.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Ascending by key. `values` has one entry for each bucket of the axis; NaN where there is no point, infinite where an
    /// aggregate overflowed.
    pub groups: Vec<(Vec<Arc<str>>, Vec<f64>)>,
}

/// What an evaluation happens in.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// The buckets of every column.
    pub axis: &'a TimeAxis,
    /// Buckets that begin after this instant are never filled.
    pub now: i64,
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
/// Every column of an input has as many values as the axis has buckets. The result has one entry for each output, in order.
pub fn evaluate(program: &Program, outputs: &[NodeId], inputs: &[Input], scope: &Scope<'_>) -> Vec<Evaluated> {
    run::run(program, outputs, inputs, scope)
}
